"""The pcapng codec against itself and against hand-made, cut and damaged files."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire.pcapng import (
    NO_OPTIONS,
    OBSOLETE_PACKET,
    SIMPLE_PACKET,
    Block,
    CaptureError,
    Direction,
    Interface,
    InterfaceStatistics,
    NameRecord,
    NameResolution,
    Option,
    Packet,
    PacketHash,
    PacketOptions,
    PcapngReader,
    PcapngWriter,
    RawBlock,
    Section,
    TruncatedCapture,
    Verdict,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
CONTENT = st.tuples(st.binary(max_size=70), U32)
ORDERS = st.sampled_from(["<", ">"])


def options_of_packets() -> st.SearchStrategy[PacketOptions]:
    """Any set of packet options that a file can hold."""
    return st.builds(
        PacketOptions,
        flags=st.none() | U32,
        toeplitz=st.none() | U32,
        queue=st.none() | U32,
        dropcount=st.none() | U64,
        packetid=st.none() | U64,
        processid_threadid=st.none() | U64,
        comments=st.lists(TEXT, max_size=2).map(tuple),
        hashes=st.lists(st.builds(PacketHash, st.just(2), st.binary(min_size=4, max_size=4)), max_size=2).map(
            tuple
        ),
        verdicts=st.lists(
            st.builds(Verdict, st.just(0), st.binary(max_size=9))
            | st.builds(Verdict, st.sampled_from([1, 2]), st.binary(min_size=8, max_size=8)),
            max_size=2,
        ).map(tuple),
        other=st.lists(st.builds(Option, st.integers(9, 0xFFFF), st.binary(max_size=9)), max_size=2).map(
            tuple
        ),
    )


INTERFACES = st.builds(
    Interface,
    linktype=st.integers(0, 0xFFFF),
    snaplen=st.just(0),
    tsresol=st.integers(0, 9) | st.integers(0x80, 0x80 + 29),
    tsoffset=st.integers(-(2**31), 2**31),
    name=st.none() | TEXT,
    description=st.none() | TEXT,
    hardware=st.none() | TEXT,
    os=st.none() | TEXT,
    mac=st.none() | st.binary(min_size=6, max_size=6),
    speed_bps=st.none() | U64,
    fcs_bytes=st.none() | st.integers(0, 255),
    comments=st.lists(TEXT, max_size=2).map(tuple),
    other=st.lists(st.builds(Option, st.integers(20, 0xFFFF), st.binary(max_size=9)), max_size=2).map(tuple),
)


def written(write: Callable[[PcapngWriter], object], section: Section | None = None) -> bytes:
    """The bytes of a file that `write` fills."""
    stream = io.BytesIO()
    write(PcapngWriter(stream, section))
    return stream.getvalue()


def read(data: bytes, **settings_: bool | int) -> list[Block]:
    """All blocks of a file in memory."""
    return list(PcapngReader(io.BytesIO(data), **settings_))  # type: ignore[arg-type]


def read_until_error(data: bytes) -> tuple[list[Block], CaptureError | None]:
    """The blocks before an error, and the error."""
    blocks: list[Block] = []
    try:
        for block in PcapngReader(io.BytesIO(data), raw_blocks=True):
            blocks.append(block)
    except CaptureError as error:
        return blocks, error
    return blocks, None


def one_packet(interface: Interface, *packet: object, order: str = "<") -> bytes:
    """A file with one interface and one packet."""
    stream = io.BytesIO()
    writer = PcapngWriter(stream, Section(order))
    writer.add_interface(interface)
    writer.packet(0, *packet)  # type: ignore[arg-type]
    return stream.getvalue()


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A raw block around a body."""
    total = len(body) + 12
    return struct.pack(order + "II", kind, total) + body + struct.pack(order + "I", total)


def sample(order: str = "<") -> bytes:
    """A small file with one block of each kind."""

    def fill(writer: PcapngWriter) -> None:
        writer.add_interface(Interface(snaplen=96, tsresol=9, name="port0"))
        writer.packet(
            0, 1_700_000_000_123_456_789, b"frame one", 60, PacketOptions(flags=1, toeplitz=7, queue=3)
        )
        writer.simple_packet(b"simple")
        writer.name_resolution([NameRecord(1, bytes((10, 0, 0, 1)), ("host",))])
        writer.custom(32473, b"example")
        writer.statistics(InterfaceStatistics(Interface(), 5, received=2), 0)
        writer.packet(0, 1_700_000_000_123_456_790, b"frame two!!")

    return written(fill, Section(order=order, hardware="card", application="test"))


@examples(60)
@given(
    ORDERS, INTERFACES, st.integers(0, 2**40), st.tuples(st.binary(max_size=70), U32), options_of_packets()
)
def test_packet_round_trip(
    order: str, interface: Interface, ticks: int, content: tuple[bytes, int], options: PacketOptions
) -> None:
    time_ns = interface.to_ns(ticks)
    data, orig_len = content
    file = one_packet(interface, time_ns, data, orig_len, options, order=order)
    section, described, packet = read(file)
    assert isinstance(section, Section) and section.order == order
    assert isinstance(described, Interface) and isinstance(packet, Packet)
    for name in (
        "linktype", "tsresol", "tsoffset", "name", "description", "hardware", "os", "mac",
        "speed_bps", "fcs_bytes", "comments", "other",
    ):  # fmt: skip
        assert getattr(described, name) == getattr(interface, name), name
    assert (packet.time_ns, packet.data, packet.orig_len) == (time_ns, data, orig_len)
    assert packet.options == options


@given(ORDERS, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=3))
def test_section_round_trip(
    order: str, hardware: str, os_name: str, application: str, notes: list[str]
) -> None:
    section = Section(order, (1, 0), None, hardware, os_name, application, tuple(notes))
    assert read(written(lambda w: None, section)) == [section]


@given(st.integers(0, 18) | st.integers(0x80, 0x80 + 40), st.integers(0, 2**63))
def test_time_of_any_resolution_is_within_one_tick(tsresol: int, time_ns: int) -> None:
    interface = Interface(tsresol=tsresol)
    ticks = interface.to_ticks(time_ns)
    # A tick's ns is cut, so a tick "not after" may lie less than 1 ns after.
    assert ticks * 10**9 <= time_ns * interface.ticks_per_s + interface.ticks_per_s
    assert (ticks + 1) * 10**9 > time_ns * interface.ticks_per_s
    again = interface.to_ns(ticks)
    assert interface.to_ns(interface.to_ticks(again)) == again


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_block_kind_is_read(order: str) -> None:
    blocks = read(sample(order), raw_blocks=True)
    kinds = [type(block) for block in blocks]
    assert kinds == [
        Section,
        Interface,
        Packet,
        Packet,
        NameResolution,
        RawBlock,
        InterfaceStatistics,
        Packet,
    ]
    first = blocks[2]
    assert isinstance(first, Packet)
    assert first.options == PacketOptions(flags=1, toeplitz=7, queue=3)
    assert first.options.direction is Direction.INBOUND
    assert (first.orig_len, first.time_ns) == (60, 1_700_000_000_123_456_789)
    simple = blocks[3]
    assert isinstance(simple, Packet)
    assert (simple.time_ns, simple.data, simple.block_type) == (None, b"simple", SIMPLE_PACKET)
    names = blocks[4]
    assert isinstance(names, NameResolution) and names.records[0].names == ("host",)
    raw = blocks[5]
    assert isinstance(raw, RawBlock) and raw.body[4:11] == b"example"
    statistics = blocks[6]
    assert isinstance(statistics, InterfaceStatistics) and statistics.received == 2
    assert [type(block) for block in read(sample(order))] == [kind for kind in kinds if kind is not RawBlock]


def test_epb_hash_is_algorithm_octet_5_and_four_bytes_in_section_order() -> None:
    for order, value in (("<", b"\x05\x44\x33\x22\x11"), (">", b"\x05\x11\x22\x33\x44")):
        file = one_packet(Interface(), 0, b"", 0, PacketOptions(toeplitz=0x11223344), order=order)
        assert struct.pack(order + "HH", 3, 5) + value + bytes(3) in file


def test_writer_is_deterministic() -> None:
    assert sample() == sample()


def test_sections_of_both_orders_follow_each_other_and_interfaces_start_again() -> None:
    blocks = read(sample("<") + sample(">") + sample("<"))
    interfaces = [block for block in blocks if isinstance(block, Interface)]
    assert [interface.index for interface in interfaces] == [0, 0, 0]
    assert [interface.number for interface in interfaces] == [0, 1, 2]
    packets = [block for block in blocks if isinstance(block, Packet)]
    assert [packet.data for packet in packets] == [b"frame one", b"simple", b"frame two!!"] * 3


def test_obsolete_packet_block() -> None:
    body = struct.pack("<HHIIII", 0, 7, 0, 1_000_000, 3, 5) + b"abc\0"
    body += struct.pack("<HHI", 2, 4, 2) + bytes(4)
    file = written(lambda w: w.add_interface(Interface())) + block(OBSOLETE_PACKET, body)
    packet = read(file)[2]
    assert isinstance(packet, Packet)
    assert (packet.time_ns, packet.data, packet.orig_len) == (10**9, b"abc", 5)
    assert packet.options == PacketOptions(flags=2, dropcount=7)
    unknown = body[:2] + b"\xff\xff" + body[4:]
    packet = read(written(lambda w: w.add_interface(Interface())) + block(OBSOLETE_PACKET, unknown))[2]
    assert isinstance(packet, Packet) and packet.options.dropcount is None


def test_simple_packet_is_cut_by_snaplen() -> None:
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    writer.add_interface(Interface(snaplen=4))
    writer.simple_packet(b"abcd", 10)
    packet = read(stream.getvalue())[2]
    assert isinstance(packet, Packet) and (packet.data, packet.orig_len) == (b"abcd", 10)
    with pytest.raises(ValueError, match="cannot hold"):
        writer.simple_packet(b"abcdef")


@pytest.mark.parametrize("order", ["<", ">"])
def test_file_cut_at_every_byte(order: str) -> None:
    whole = sample(order)
    full = read(whole, raw_blocks=True)
    boundaries = 0
    for cut in range(len(whole)):
        blocks, error = read_until_error(whole[:cut])
        assert blocks == full[: len(blocks)], cut
        if error is None:
            boundaries += 1
            assert blocks
        elif cut >= 4:
            assert isinstance(error, TruncatedCapture), cut
            assert error.offset == cut
    assert boundaries == len(full) - 1


@examples(150)
@given(st.data())
def test_damaged_files_end_in_capture_error_or_blocks(data: st.DataObject) -> None:
    file = bytearray(sample(data.draw(ORDERS)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    blocks, error = read_until_error(bytes(file))
    assert error is None or 0 <= error.offset <= len(file)
    assert len(blocks) <= len(file) // 12


@examples(100)
@given(ORDERS, st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=60)), max_size=4))
def test_noise_in_well_framed_blocks(order: str, bodies: list[tuple[int, bytes]]) -> None:
    file = written(lambda w: w.add_interface(Interface()), Section(order))
    file += b"".join(block(kind, body + bytes(-len(body) & 3), order) for kind, body in bodies)
    blocks, error = read_until_error(file)
    assert len(blocks) == 2 + len(bodies) or error is not None


def flawed(body: bytes, kind: int = 6) -> bytes:
    """A file whose third block, at offset 48, has a flaw."""
    return written(lambda w: w.add_interface(Interface())) + block(kind, body)


EPB = struct.pack("<IIIII", 0, 0, 0, 4, 4) + b"data"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (flawed(struct.pack("<IIIII", 1, 0, 0, 0, 0)), "interface 1 of 1"),
        (flawed(struct.pack("<IIIII", 0, 0, 0, 5, 5) + b"data"), "packet of 5 bytes overruns"),
        (flawed(struct.pack("<IIIII", 0, 0, 0, 0xFFFFFFFF, 5) + b"data"), "overruns"),
        (flawed(b"\0" * 16), "fewer than 20"),
        (flawed(EPB + struct.pack("<HH", 2, 40)), "option 2 of 40 bytes overruns"),
        (flawed(EPB + struct.pack("<HHI", 2, 3, 0)), "epb_flags is 3 bytes, not 4"),
        (flawed(EPB + struct.pack("<HHIHHI", 2, 4, 0, 2, 4, 0)), "epb_flags stands twice"),
        (flawed(EPB + struct.pack("<HH", 3, 0)), "epb_hash is empty"),
        (flawed(EPB + struct.pack("<HHI", 3, 3, 5)), "algorithm 5 is 2 bytes, not 4"),
        (flawed(EPB + struct.pack("<HHI", 7, 4, 1)), "epb_verdict of kind 1 is 3 bytes"),
        (flawed(b"", 3), "without its length"),
        (flawed(b"\x40\0\0\0", 3), "packet of 64 bytes overruns"),
        (flawed(b"\x01\0\0\0", 1), "fewer than 8"),
        (flawed(struct.pack("<HHIHHI", 1, 0, 0, 9, 4, 0), 1), "tsresol is 4 bytes, not 1"),
        (flawed(struct.pack("<HHIHHI", 1, 0, 0, 6, 4, 0), 1), "option mac is 4 bytes"),
        (flawed(b"", 4), "without its end record"),
        (flawed(struct.pack("<HH", 1, 40), 4), "name record of 40 bytes overruns"),
        (flawed(struct.pack("<HHI", 2, 4, 0) + bytes(4), 4), "name record of kind 2 has 4 bytes"),
        (flawed(bytes(8), 5), "fewer than 12"),
        (flawed(bytes(20), 2)[:-4] + b"\0\0\0\0", "ends with length 0"),
        (flawed(b"") + struct.pack("<II", 6, 13), "fewer than 20"),
        (written(lambda w: None) + struct.pack("<II", 6, 13) + bytes(20), "no multiple of 4"),
        (written(lambda w: None) + struct.pack("<II", 6, 8) + bytes(20), "too short"),
        (written(lambda w: None) + struct.pack("<II", 6, 0x7FFFFFFC), "over the limit"),
        (written(lambda w: None) + b"\x0a\x0d\x0d\x0a" + struct.pack("<II", 28, 1), "magic is 01 00 00 00"),
        (block(0x0A0D0D0A, struct.pack("<IHHQ", 0x1A2B3C4D, 2, 0, 0)), "version 2.0"),
        (block(0x0A0D0D0A, struct.pack("<IHH", 0x1A2B3C4D, 1, 0)), "fewer than 28"),
        (b"GIF89a..", "not a pcapng file: starts with 47 49 46 38"),
        (b"", "starts with nothing"),
    ],
)
def test_each_flaw_is_named(file: bytes, message: str) -> None:
    _, error = read_until_error(file)
    assert error is not None
    assert message in str(error)


def test_error_names_the_offset_of_the_flaw() -> None:
    blocks, error = read_until_error(flawed(struct.pack("<IIIII", 0, 0, 0, 0, 0)) + b"\x06\0\0\0\x0d\0\0\0")
    assert len(blocks) == 3
    assert error is not None and error.offset == 28 + 20 + 32


def test_block_limit_bounds_blocks_and_interface_descriptions() -> None:
    big = one_packet(Interface(), 0, bytes(2000))
    assert len(read(big)) == 3
    with pytest.raises(CaptureError, match="over the limit of 1024"):
        read(big, block_limit=1024)
    crowd = written(lambda w: [w.add_interface(Interface()) for _ in range(100)])
    assert len(read(crowd)) == 101
    with pytest.raises(CaptureError, match="interface descriptions of one section are over 1024"):
        read(crowd, block_limit=1024)


def test_writer_refuses_what_has_no_place_in_the_file() -> None:
    stream = io.BytesIO()
    writer = PcapngWriter(stream)
    writer.add_interface(Interface(snaplen=4, tsresol=9))
    size = stream.tell()
    with pytest.raises(ValueError, match="snaplen 4"):
        writer.packet(0, 0, b"12345")
    with pytest.raises(ValueError, match="no timestamp"):
        writer.packet(0, -1, b"")
    with pytest.raises(ValueError, match="no timestamp"):
        writer.packet(0, 1 << 64, b"")
    with pytest.raises(ValueError, match="start_section"):
        writer.raw_block(0x0A0D0D0A, b"")
    with pytest.raises(ValueError, match="16-bit"):
        writer.packet(0, 0, b"", 0, PacketOptions(comments=("x" * 70_000,)))
    with pytest.raises(IndexError):
        writer.packet(1, 0, b"")
    with pytest.raises(ValueError, match="address bytes"):
        writer.name_resolution([NameRecord(2, bytes(4), ())])
    with pytest.raises(ValueError, match="byte order"):
        writer.start_section(Section(order="="))
    assert stream.tell() == size


def test_wrong_utf8_survives_a_rewrite() -> None:
    body = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 2, 3) + b"\xff\xfea\0" + bytes(4)
    file = written(lambda w: None) + block(1, body)
    described = read(file)[1]
    assert isinstance(described, Interface)
    assert written(lambda w: w.add_interface(described)) == file


def test_packet_without_options_shares_the_empty_set() -> None:
    packets = list(PcapngReader(io.BytesIO(sample())).packets())
    assert packets[2].options is NO_OPTIONS
