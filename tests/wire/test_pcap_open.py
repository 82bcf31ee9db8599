"""Opening a capture by its content: kinds, compression, foreign and broken files, the shipped sample."""

from __future__ import annotations

import builtins
import gzip
import io
import os
import random
import struct
from importlib import resources
from pathlib import Path

import pytest

from vnic.wire.capture import CapturedFrame, CaptureError, TruncatedCapture, open_capture
from vnic.wire.pcap import PcapWriter
from vnic.wire.pcapng import LINKTYPE_USER0, Interface, PacketOptions, PcapngWriter

SAMPLES = Path(__file__).parent.parent / "samples"


def read_until_error(data: bytes) -> tuple[list[CapturedFrame], CaptureError | None]:
    """The frames before an error, and the error."""
    frames: list[CapturedFrame] = []
    try:
        for frame in open_capture(io.BytesIO(data)):
            frames.append(frame)
    except CaptureError as error:
        return frames, error
    return frames, None


def pcapng_of(*frames: bytes, interface: Interface | None = None, flags: int | None = None) -> bytes:
    """A pcapng file with one interface, a frame each microsecond."""
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    writer.add_interface(interface or Interface())
    for number, frame in enumerate(frames):
        writer.packet(0, number * 1000, frame, options=PacketOptions(flags=flags))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "count", "data_bytes"),
    [("flows.pcap", 1316, 576_273), ("ipxe-e1000e.pcap", 9, 3330), ("linux-e1000e.pcap", 15, 9384)],
)
def test_samples(name: str, count: int, data_bytes: int) -> None:
    with open_capture(SAMPLES / name) as capture:
        frames = list(capture)
        assert capture.format == "pcap"
        assert capture.position() == capture.size == (SAMPLES / name).stat().st_size
    assert len(frames) == count
    assert sum(len(frame.data) for frame in frames) == data_bytes
    assert [frame.number for frame in frames] == list(range(1, count + 1))
    assert not any(frame.is_cut for frame in frames)


def test_shipped_capture_is_the_sample() -> None:
    shipped = resources.files("vnic") / "data" / "flows.pcap"
    assert shipped.read_bytes() == (SAMPLES / "flows.pcap").read_bytes()


def test_same_frames_from_every_kind_of_file() -> None:
    original = list(open_capture(SAMPLES / "linux-e1000e.pcap"))
    plain = io.BytesIO()
    writer = PcapngWriter(plain)
    writer.add_interface(Interface(tsresol=9))
    for frame in original:
        writer.packet(0, frame.time_ns, frame.data, frame.orig_len)
    classic = io.BytesIO()
    pcap = PcapWriter(classic, order=">")
    for frame in original:
        pcap.packet(frame.time_ns, frame.data, frame.orig_len)
    split = gzip.compress(classic.getvalue()[:1000]) + gzip.compress(classic.getvalue()[1000:])
    for data in (plain.getvalue(), gzip.compress(plain.getvalue()), classic.getvalue(), split):
        frames = list(open_capture(io.BytesIO(data)))
        assert [(f.data, f.time_ns, f.orig_len) for f in frames] == [
            (f.data, f.time_ns, f.orig_len) for f in original
        ]


def test_position_moves_to_the_size_of_a_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "random.pcap.gz"
    noise = random.Random(5)
    path.write_bytes(gzip.compress(pcapng_of(*(noise.randbytes(1500) for _ in range(500)))))
    with open_capture(path) as capture:
        seen = [capture.position() for _ in capture]
        assert capture.compression == "gzip"
        assert seen == sorted(seen) and len(set(seen)) > 5
        assert capture.position() == capture.size == path.stat().st_size
    assert open_capture(io.BytesIO(pcapng_of())).size is None


def test_gzip_cut_or_damaged_gives_what_could_be_read() -> None:
    whole = gzip.compress((SAMPLES / "flows.pcap").read_bytes())
    frames, error = read_until_error(whole[: len(whole) // 2])
    assert isinstance(error, TruncatedCapture)
    assert 200 < len(frames) < 1316
    damaged = bytearray(whole)
    damaged[-8] ^= 1  # the CRC-32 behind the data
    frames, error = read_until_error(bytes(damaged))
    assert error is not None and "damaged gzip data" in str(error)
    assert len(frames) >= 1300
    frames, error = read_until_error(whole + bytes(200_000))
    assert error is None and len(frames) == 1316
    frames, error = read_until_error(whole + b"trailing rubbish")
    assert error is not None and len(frames) == 1316


def test_gzip_bomb_stays_bounded() -> None:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1)
    bomb = gzip.compress(header + struct.pack("<IIII", 0, 0, 1 << 31, 1 << 31) + bytes(50_000_000))
    frames, error = read_until_error(bomb)
    assert frames == [] and error is not None and "over the limit" in str(error)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"\x7fELF\x02\x01\x01\x00more", "not a pcap or pcapng file: starts with 7f 45 4c 46 02 01 01 00"),
        (b"\n\r\r\nThis is a text file", "not a pcap or pcapng file: starts with 0a 0d 0d 0a"),
        (b"x", "starts with 78"),
        (gzip.compress(b"", mtime=0), "empty file"),
        (gzip.compress(b"hello world", mtime=0), "not a pcap or pcapng file: starts with 68 65 6c 6c 6f"),
        (gzip.compress(b"hello", mtime=0)[:5], "ends inside"),
        (b"\x1f\x8bnot gzip at all", "damaged gzip data"),
    ],
)
def test_foreign_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        open_capture(io.BytesIO(data))


@pytest.mark.parametrize("magic", [b"\n\r\r\n", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d"])
def test_a_magic_number_alone_is_a_truncated_file(magic: bytes) -> None:
    for size in (1, 2, 3, 4):
        with pytest.raises(TruncatedCapture):
            list(open_capture(io.BytesIO(magic[:size])))


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_capture(tmp_path / "none.pcap")


def test_refused_file_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(b"not a capture")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        with pytest.raises(CaptureError):
            open_capture(path)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before


def test_zstandard_asks_for_its_package_or_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str) -> object:
        if name == "zstandard":
            raise ImportError(name)
        return real_import(name)

    monkeypatch.setattr("importlib.import_module", without)
    with pytest.raises(CaptureError, match="install the package zstandard"):
        open_capture(io.BytesIO(b"\x28\xb5\x2f\xfd...."))


def test_zstandard_reads_when_installed() -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs zstandard: an optional package")
    data = zstandard.ZstdCompressor().compress((SAMPLES / "flows.pcap").read_bytes())
    assert len(list(open_capture(io.BytesIO(data)))) == 1316
    frames, error = read_until_error(data[: len(data) // 2])
    assert error is not None and frames


def test_other_link_types_are_refused_or_left_out() -> None:
    user0 = pcapng_of(b"event", interface=Interface(linktype=LINKTYPE_USER0))
    mixed = pcapng_of(b"frame") + user0 + pcapng_of(b"last")
    frames, error = read_until_error(mixed)
    assert [frame.data for frame in frames] == [b"frame"]
    assert error is not None and "link type 147 is not Ethernet" in str(error)
    capture = open_capture(io.BytesIO(mixed), skip_other_links=True)
    kept = list(capture)
    assert [(f.data, f.number, f.interface) for f in kept] == [(b"frame", 1, 0), (b"last", 3, 2)]
    assert capture.skipped == 1
    everything = list(open_capture(io.BytesIO(mixed), linktypes=None))
    assert [frame.linktype for frame in everything] == [1, 147, 1]
    classic = io.BytesIO()
    PcapWriter(classic, linktype=113).packet(0, b"cooked")
    with pytest.raises(CaptureError, match="link type 113 is not Ethernet"):
        open_capture(io.BytesIO(classic.getvalue()))
    skipping = open_capture(io.BytesIO(classic.getvalue()), skip_other_links=True)
    assert list(skipping) == [] and skipping.skipped == 1


def test_fcs_is_taken_off_as_each_format_declares_it() -> None:
    classic = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 2 << 28 | 1 << 26 | 1)
    classic += struct.pack("<IIII", 0, 0, 12, 12) + b"framedatFCS!"
    by_interface = pcapng_of(b"framedatFCS!", interface=Interface(fcs_bytes=4))
    by_flags = pcapng_of(b"framedatFCS!", flags=4 << 5)
    for data in (classic, by_interface, by_flags):
        frame = next(iter(open_capture(io.BytesIO(data))))
        assert (frame.data, frame.orig_len, frame.is_cut) == (b"framedat", 8, False)
    cut = classic[:24] + struct.pack("<IIII", 0, 0, 10, 12) + b"framedatFC"
    frame = next(iter(open_capture(io.BytesIO(cut))))
    assert (frame.data, frame.is_cut) == (b"framedat", False)


def test_frames_cut_by_snaplen_are_flagged() -> None:
    stream = io.BytesIO()
    writer = PcapWriter(stream, snaplen=8)
    writer.packet(0, b"12345678", 100)
    writer.packet(0, b"1234", 4)
    frames = list(open_capture(io.BytesIO(stream.getvalue())))
    assert [frame.is_cut for frame in frames] == [True, False]


def test_frame_without_time_takes_the_one_before() -> None:
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    writer.add_interface(Interface(tsresol=9))
    writer.simple_packet(b"first")
    writer.packet(0, 77, b"second")
    writer.simple_packet(b"third")
    frames = list(open_capture(io.BytesIO(stream.getvalue())))
    assert [frame.time_ns for frame in frames] == [0, 77, 77]


def test_options_reach_the_frame() -> None:
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    writer.add_interface(Interface(tsresol=9, name="port0"))
    options = PacketOptions(flags=2, toeplitz=0x51CCC178, queue=5, comments=("note",))
    writer.packet(0, 1, b"frame", options=options)
    capture = open_capture(io.BytesIO(stream.getvalue()))
    assert next(iter(capture)).options == options
    assert capture.interfaces[0].name == "port0"
