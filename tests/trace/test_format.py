"""The format: octets by the table of the manual, headers, parts, and files that are none."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.traces import recorded
from vnic.abi import EventType
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.trace.event import FRAMES, HEAD, PART_BYTES, TraceEvent, digest_of, event_octets
from vnic.trace.file import SNAPLEN, TraceReader, TraceWriter
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.trace.recorder import Recorder
from vnic.wire.pcapng import LINKTYPE_ETHERNET, LINKTYPE_USER0, Interface, Packet, PcapngReader, Section

NIC = TraceHeader((FunctionHeader(0, "nic", "00" * 8, {"queue_pairs": 4, "mac": b"\2\0\0\0\0\1"}),), seed=7)
BOTH = TraceHeader((FunctionHeader(0, "nic"), FunctionHeader(1, "copy")))

U8, U32, U64 = st.integers(0, 255), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
EVENTS = st.builds(
    lambda kind, time, function, index, width, addr, value, data: TraceEvent(
        0, kind, time, function, index, width, addr, value, data, None, len(data)
    ),
    st.sampled_from([kind for kind in EventType if kind not in FRAMES]),
    U64,
    st.integers(0, 1),
    U8,
    U8,
    U64,
    U64,
    st.binary(max_size=100),
)


def written(header: TraceHeader, events: list[TraceEvent]) -> bytes:
    """A file of these events."""
    stream = io.BytesIO()
    writer = TraceWriter(stream, header)
    for event in events:
        writer.write(event)
    return stream.getvalue()


def read(octets: bytes) -> list[TraceEvent]:
    """Its events."""
    return list(TraceReader(io.BytesIO(octets)))


@pytest.mark.requirement("TRC-6")
def test_an_event_is_these_octets() -> None:
    event = TraceEvent(
        0x01020304, EventType.DMA_WRITE, 9, 1, 2, 3, 0x1122334455667788, 0x99AABBCCDDEEFF00, b"abc", None, 3
    )
    assert event_octets(event) == [
        bytes.fromhex("01 06 01 02 03 00 0000 8877665544332211 00ffeeddccbbaa99 03000000 04030201") + b"abc"
    ]


@pytest.mark.requirement("TRC-6")
def test_a_digest_stands_for_data() -> None:
    assert digest_of(b"") == 0xCBF29CE484222325
    value = (0xCBF29CE484222325 ^ 3 ^ 0x636261) * 0x100000001B3 & (1 << 64) - 1
    assert digest_of(b"abc") == value ^ value >> 32
    event = TraceEvent(0, EventType.DMA_WRITE, 0, digest=digest_of(b"abc"), length=3)
    (octets,) = event_octets(event)
    assert octets[5] == 1
    assert octets[HEAD.size :] == digest_of(b"abc").to_bytes(8, "little")
    assert read(written(BOTH, [event]))[0]._replace(offset=0) == event


@pytest.mark.requirement("TRC-1")
def test_the_header_is_one_line_of_canonical_json() -> None:
    name, _, line = NIC.text().partition(" ")
    assert name == "vnic-trace/1"
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
    assert TraceHeader.parse(NIC.text()).text() == NIC.text()
    with Device(manual=True) as card, CopyEngine(manual=True) as engine:
        stream = io.BytesIO()
        Recorder(stream, card, engine, seed=5).close()
    header = TraceReader(io.BytesIO(stream.getvalue())).header
    assert [(each.function, each.kind) for each in header.functions] == [(0, "nic"), (1, "copy")]
    assert header.seed == 5
    assert header.functions[0].config["queue_pairs"] == card.config.queue_pairs


@pytest.mark.requirement("TRC-2")
def test_the_interfaces() -> None:
    blocks = list(PcapngReader(io.BytesIO(written(BOTH, []))))
    assert isinstance(blocks[0], Section)
    found = [(each.linktype, each.name, each.tsresol) for each in blocks if isinstance(each, Interface)]
    assert found == [(LINKTYPE_ETHERNET, "port0", 9), (LINKTYPE_USER0, "vnic-dev", 9)]


@pytest.mark.requirement("TRC-5")
def test_all_but_frames_are_on_the_device_interface() -> None:
    for block in PcapngReader(io.BytesIO(recorded(3))):
        if isinstance(block, Packet):
            is_frame = block.interface.name == "port0"
            assert is_frame or block.data[0] == 1
            assert is_frame or EventType(block.data[1]) not in FRAMES


@pytest.mark.requirement("TRC-7")
@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 5 * PART_BYTES - 1])
def test_long_data_are_cut_and_joined(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    events = [
        TraceEvent(0, EventType.LOAD, 5, data=data[:size], length=size),
        TraceEvent(1, EventType.TIME, 6, value=6),
    ]
    octets = written(NIC, events)
    assert [event._replace(offset=0) for event in read(octets)] == events
    packets = [block for block in PcapngReader(io.BytesIO(octets)) if isinstance(block, Packet)]
    assert len(packets) == max(1, -(-size // PART_BYTES)) + 1
    assert all(len(packet.data) <= SNAPLEN for packet in packets)


@given(st.lists(EVENTS, max_size=20))
def test_what_is_written_is_read(events: list[TraceEvent]) -> None:
    octets = written(BOTH, events)
    numbered = [event._replace(number=number) for number, event in enumerate(events)]
    assert [event._replace(offset=0) for event in read(octets)] == numbered
    assert written(BOTH, read(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "no trace"),
        (b"hello, world, this is text", "not a pcapng file"),
        (
            written(NIC, []).replace(b"vnic-trace/1", b"other-file/2"),
            "the section header says 'other-file/2'",
        ),
        (written(NIC, []).replace(b'{"clock"', b'["clock"'), "header of the trace"),
        (written(NIC, []).replace(b'"kind":"nic"', b'"kind":"???"'), "header of the trace"),
        (written(NIC, [])[:20], "no trace"),
    ],
    ids=["empty", "text", "other", "json", "kind", "cut"],
)
def test_what_is_no_trace(octets: bytes, said: str) -> None:
    with pytest.raises(TraceError, match=said):
        TraceReader(io.BytesIO(octets))


def test_files_are_found_by_their_content(tmp_path: Path) -> None:
    event = TraceEvent(0, EventType.TIME, 1, value=1)
    for name in ("a.pcapng", "b.pcapng.gz"):
        with TraceWriter(tmp_path / name, NIC) as writer:
            writer.write(event)
        with TraceReader(tmp_path / name) as reader:
            assert [each._replace(offset=0) for each in reader] == [event]
    with pytest.raises(FileNotFoundError):
        TraceReader(tmp_path / "missing")
