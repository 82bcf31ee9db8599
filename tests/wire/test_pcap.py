"""The classic pcap codec: round trips, the header's fields, cut and damaged files."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire.capture_source import CaptureError, TruncatedCapture
from vnic.wire.pcap import PcapReader, PcapRecord, PcapWriter

RECORDS = st.lists(
    st.tuples(st.integers(0, (2**32 - 1) * 10**9), st.binary(max_size=40), st.integers(0, 2**32 - 1)),
    max_size=5,
)


def file_of(records: list[tuple[int, bytes, int]], *, nanoseconds: bool = True, order: str = "<") -> bytes:
    """A pcap file in memory."""
    stream = io.BytesIO()
    writer = PcapWriter(stream, nanoseconds=nanoseconds, order=order)
    for time_ns, data, orig_len in records:
        writer.packet(time_ns, data, orig_len)
    return stream.getvalue()


def read_until_error(data: bytes) -> tuple[list[PcapRecord], CaptureError | None]:
    """The records before an error, and the error."""
    records: list[PcapRecord] = []
    try:
        for record in PcapReader(io.BytesIO(data)):
            records.append(record)
    except CaptureError as error:
        return records, error
    return records, None


@settings(deadline=None)
@given(RECORDS, st.booleans(), st.sampled_from(["<", ">"]))
def test_round_trip(records: list[tuple[int, bytes, int]], nanoseconds: bool, order: str) -> None:
    reader = PcapReader(io.BytesIO(file_of(records, nanoseconds=nanoseconds, order=order)))
    assert (reader.order, reader.nanoseconds, reader.linktype, reader.snaplen) == (
        order,
        nanoseconds,
        1,
        262_144,
    )
    unit = 1 if nanoseconds else 1000
    assert [(r.time_ns, r.data, r.orig_len) for r in reader] == [
        (time_ns // unit * unit, data, orig_len) for time_ns, data, orig_len in records
    ]


def test_magic_numbers_on_disk() -> None:
    starts = {
        (nanoseconds, order): file_of([], nanoseconds=nanoseconds, order=order)[:4].hex()
        for nanoseconds in (True, False)
        for order in "<>"
    }
    assert starts == {
        (False, "<"): "d4c3b2a1",
        (False, ">"): "a1b2c3d4",
        (True, "<"): "4d3cb2a1",
        (True, ">"): "a1b23c4d",
    }


def test_cut_at_every_byte() -> None:
    whole = file_of([(1, b"abc", 3), (2, b"", 0), (3, b"defgh", 99)])
    full, _ = read_until_error(whole)
    ends = {24, 24 + 19, 24 + 19 + 16}
    for cut in range(len(whole)):
        records, error = read_until_error(whole[:cut])
        assert records == full[: len(records)]
        if cut in ends:
            assert error is None
        elif cut >= 4:
            assert isinstance(error, TruncatedCapture) and error.offset == cut
        else:
            assert error is not None


@examples(80)
@given(st.data())
def test_damaged_files_end_in_capture_error_or_records(data: st.DataObject) -> None:
    file = bytearray(file_of([(1, b"abc", 3), (2, b"defgh", 5)]))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    records, error = read_until_error(bytes(file))
    assert error is None or error.offset <= len(file)
    assert len(records) <= len(file) // 16


def test_record_over_the_limit_is_refused_before_it_is_read() -> None:
    file = file_of([(1, b"abc", 3)]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    records, error = read_until_error(file)
    assert len(records) == 1
    assert error is not None and "over the limit" in str(error)
    assert error.offset == 24 + 19 + 8


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 0, 1), "modified pcap"),
        (struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 3, 0, 0, 0, 1), "version 2.3"),
        (b"MThd" + bytes(20), "not a pcap file: starts with 4d 54 68 64"),
    ],
)
def test_header_that_is_refused(header: bytes, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        PcapReader(io.BytesIO(header))


def test_fcs_length_in_the_upper_bits_of_the_link_type() -> None:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 2 << 28 | 1 << 26 | 1)
    reader = PcapReader(io.BytesIO(header))
    assert (reader.linktype, reader.fcs_bytes) == (1, 4)


def test_writer_refuses_what_does_not_fit() -> None:
    writer = PcapWriter(io.BytesIO(), snaplen=4)
    with pytest.raises(ValueError, match="32-bit seconds"):
        writer.packet(-1, b"")
    with pytest.raises(ValueError, match="32-bit seconds"):
        writer.packet((1 << 32) * 10**9, b"")
    with pytest.raises(ValueError, match="snaplen 4"):
        writer.packet(0, b"12345")
    with pytest.raises(ValueError, match="byte order"):
        PcapWriter(io.BytesIO(), order="big")
