"""The TCP header as fields: option lists against a plain reader, what is written against what is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

MSS, WSCALE, SACK_PERMITTED, TIMESTAMP, USER_TIMEOUT, MALFORMED = 1, 2, 4, 8, 16, 128
EXACT = {2: 4, 3: 3, 4: 2, 8: 10, 28: 4}  # kind: length
MARK = b"\xa5"


@dataclass
class Fields:
    """A segment as the engine sees it."""

    seq: int = 0
    ack: int = 0
    len: int = 0
    wnd: int = 0
    urgent: int = 0
    control: int = 0
    options: int = 0
    wscale: int = 0
    mss: int = 0
    user_timeout: int = 0
    ts_val: int = 0
    ts_ecr: int = 0
    sack: list[tuple[int, int]] = field(default_factory=list)


def read_option(fields: Fields, kind: int, value: bytes) -> None:
    """One option of a legal length."""
    if kind == 2:
        fields.options, fields.mss = fields.options | MSS, int.from_bytes(value)
    elif kind == 3:
        fields.options, fields.wscale = fields.options | WSCALE, value[0]
    elif kind == 4:
        fields.options |= SACK_PERMITTED
    elif kind == 5:
        numbers = struct.unpack(f">{len(value) // 4}I", value)
        fields.sack = list(zip(numbers[::2], numbers[1::2], strict=True))
    elif kind == 8:
        fields.options |= TIMESTAMP
        fields.ts_val, fields.ts_ecr = struct.unpack(">II", value)
    elif kind == 28:
        fields.options, fields.user_timeout = fields.options | USER_TIMEOUT, int.from_bytes(value)


def read_options(fields: Fields, text: bytes) -> None:
    """RFC 9293 3.2: kinds 0 and 1 alone, all others with a length that counts kind and length."""
    while text and text[0] != 0:
        kind = text[0]
        if kind == 1:
            text = text[1:]
            continue
        length = text[1] if len(text) > 1 else 0
        if length < 2 or length > len(text):
            fields.options |= MALFORMED
            return
        is_wrong = length != EXACT.get(kind, length) or (kind == 5 and (length < 10 or length % 8 != 2))
        if is_wrong:
            fields.options |= MALFORMED
        else:
            read_option(fields, kind, text[2:length])
        text = text[length:]


def read(data: bytes) -> Fields | None:
    """The whole of a segment, or None when its header is not whole."""
    if len(data) < 20 or not 20 <= data[12] // 16 * 4 <= len(data):
        return None
    offset = data[12] // 16 * 4
    seq, ack, _, control, wnd, _, urgent = struct.unpack(">IIBBHHH", data[4:20])
    fields = Fields(seq=seq, ack=ack, len=len(data) - offset, wnd=wnd, urgent=urgent, control=control)
    read_options(fields, data[20:offset])
    return fields


def parse(kernels: Any, data: bytes) -> Fields | None:
    """What C says of bytes that end at inaccessible memory; it must leave alone what is not its own."""
    segment = kernels.ffi.new("struct tcp_segment *")
    kernels.ffi.memmove(segment, MARK * kernels.ffi.sizeof(segment[0]), kernels.ffi.sizeof(segment[0]))
    before = bytes(kernels.ffi.buffer(segment))
    result = kernels.lib.tcp_header_parse(segment, kernels.source.put(data), len(data))
    assert segment.ecn == segment.refused == MARK[0]
    if result != 0:
        assert result == -1
        assert bytes(kernels.ffi.buffer(segment)) == before
        return None
    assert segment.sacks <= 4
    assert bytes(kernels.ffi.buffer(segment.sack))[8 * segment.sacks :] == MARK * (32 - 8 * segment.sacks)
    names = [name for name in Fields.__dataclass_fields__ if name != "sack"]
    sack = [(segment.sack[i].left, segment.sack[i].right) for i in range(segment.sacks)]
    return Fields(**{name: getattr(segment, name) for name in names}, sack=sack)


def header(options: bytes, payload: bytes = b"", *, offset: int | None = None) -> bytes:
    """A segment with these options; their length is rounded up with zeros."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if offset is None else offset
    fixed = struct.pack(">HHIIBBHHH", 80, 1024, 0x01020304, 0xF1F2F3F4, words << 4, 0x18, 0x7001, 0, 9)
    return fixed + options + payload


TIMES = b"\x08\x0a" + bytes(range(8))
OPTION = st.one_of(
    st.just(b"\x01"),
    st.just(b"\x00"),
    st.sampled_from([b"\x04\x02", b"\x01\x01" + TIMES, TIMES]),
    st.binary(min_size=2, max_size=2).map(lambda value: b"\x02\x04" + value),
    st.binary(min_size=1, max_size=1).map(lambda value: b"\x03\x03" + value),
    st.binary(min_size=2, max_size=2).map(lambda value: b"\x1c\x04" + value),
    st.integers(0, 5).flatmap(
        lambda n: st.binary(min_size=8 * n, max_size=8 * n).map(lambda v: bytes([5, 2 + 8 * n]) + v)
    ),
    st.tuples(st.sampled_from([2, 3, 4, 5, 8, 28, 30, 253]), st.integers(0, 255), st.binary(max_size=6)).map(
        lambda parts: bytes(parts[:2]) + parts[2]
    ),
    st.binary(max_size=4),
)


@pytest.mark.requirement("OPT-01", "OPT-02", "SEG-02")
@examples(150)
@given(
    options=st.lists(OPTION, max_size=8).map(lambda parts: b"".join(parts)[:40]),
    payload=st.binary(max_size=12),
    offset=st.one_of(st.none(), st.none(), st.integers(0, 15)),
)
@example(options=b"\x01\x01" + TIMES, payload=b"", offset=None)
@example(options=b"\x01\x01" + TIMES, payload=b"", offset=7)
@example(options=TIMES + b"\x01\x01", payload=b"x", offset=None)
def test_any_options(kernels: Any, options: bytes, payload: bytes, offset: int | None) -> None:
    data = header(options, payload, offset=offset)
    assert parse(kernels, data) == read(data)


@pytest.mark.requirement("SEG-02")
@examples(80)
@given(data=st.binary(max_size=80))
def test_any_bytes(kernels: Any, data: bytes) -> None:
    assert parse(kernels, data) == read(data)


@pytest.mark.requirement("SEG-02")
@pytest.mark.parametrize("offset", range(16))
def test_data_offset(kernels: Any, offset: int) -> None:
    """TCP-Fuzz on TLDK: a wrong data offset was followed by a wrong read."""
    for length in (0, 1, 19, 20, 21, 23, 24, 59, 60, 61):
        data = header(b"\x01" * 44, b"", offset=offset)[:length]
        fields = parse(kernels, data)
        assert (fields is not None) == (length >= 20 and 5 <= offset <= length // 4)
        if fields is not None:
            assert fields.len == length - 4 * offset


@pytest.mark.requirement("OPT-02")
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 8, 28, 30, 255])
@pytest.mark.parametrize("length", [0, 1])
def test_length_zero_or_one_ends_the_list(kernels: Any, kind: int, length: int) -> None:
    """TCP-Fuzz on TLDK: option length 0 was an endless loop. What came before counts, the rest does not."""
    fields = parse(kernels, header(b"\x02\x04\x05\xb4" + bytes([kind, length]) + b"\x03\x03\x07"))
    assert fields is not None
    assert fields.options == MSS | MALFORMED
    assert fields.mss == 1460


@pytest.mark.requirement("OPT-02")
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 8, 28, 30, 255])
def test_length_beyond_the_header(kernels: Any, kind: int) -> None:
    for options in ([1, 1, kind, 3], [1, 1, 1, kind], [kind, 255, 0, 0]):
        fields = parse(kernels, header(bytes(options)) + b"\xff" * 300)
        assert fields is not None
        assert fields.options == MALFORMED
        assert fields.len == 300


@pytest.mark.requirement("OPT-02")
@pytest.mark.parametrize("kind,length", [(2, 3), (2, 5), (3, 2), (3, 4), (4, 3), (8, 9), (8, 11), (28, 3)])
def test_wrong_length_of_a_known_option(kernels: Any, kind: int, length: int) -> None:
    """It is skipped by the length that it gives; the list goes on."""
    fields = parse(kernels, header(bytes([kind, length]) + b"\x07" * (length - 2) + b"\x04\x02"))
    assert fields is not None
    assert fields.options & ~SACK_PERMITTED == MALFORMED
    assert fields.options & SACK_PERMITTED


@pytest.mark.requirement("CC-12", "OPT-02")
@pytest.mark.parametrize("length", range(2, 41))
def test_sack_length(kernels: Any, length: int) -> None:
    """Bug class 8: 2 + 8 n only; never more than four blocks."""
    value = b"".join(struct.pack(">I", n) for n in range(10))[: length - 2]
    fields = parse(kernels, header(bytes([5, length]) + value))
    assert fields is not None
    is_legal = length % 8 == 2 and length > 2
    assert len(fields.sack) == ((length - 2) // 8 if is_legal else 0)
    assert fields.sack == [(2 * n, 2 * n + 1) for n in range(len(fields.sack))]
    assert (fields.options & MALFORMED == 0) == is_legal


def test_last_of_two_counts(kernels: Any) -> None:
    twice = b"\x02\x04\x00\x01" + TIMES + b"\x02\x04\x00\x02" + b"\x08\x0a" + b"\xff" * 8
    fields = parse(kernels, header(twice))
    assert fields is not None
    assert (fields.mss, fields.ts_val, fields.ts_ecr) == (2, 2**32 - 1, 2**32 - 1)


@pytest.mark.requirement("OPT-01")
@pytest.mark.parametrize("shift", range(4))
def test_shortcut_agrees(kernels: Any, shift: int) -> None:
    """The usual layout has a way of its own; the same option anywhere else means the same."""
    plain = parse(kernels, header(b"\x01\x01" + TIMES, b"data"))
    other = parse(kernels, header(b"\x01" * shift + TIMES + b"\x01" * (6 - shift), b"data"))
    assert plain is not None
    assert other is not None
    assert plain == other
    assert plain.ts_val == 0x00010203


# --- writing

SEQUENCE = st.integers(0, 2**32 - 1)
WRITTEN = st.builds(
    Fields,
    seq=SEQUENCE,
    ack=SEQUENCE,
    wnd=st.integers(0, 65535),
    urgent=st.integers(0, 65535),
    control=st.integers(0, 255),
    options=st.integers(0, 31),
    wscale=st.integers(0, 255),
    mss=st.integers(0, 65535),
    user_timeout=st.integers(0, 65535),
    ts_val=SEQUENCE,
    ts_ecr=SEQUENCE,
    sack=st.lists(st.tuples(SEQUENCE, SEQUENCE), max_size=4),
)


def write(kernels: Any, fields: Fields) -> bytes:
    """The header in C, which must not touch a byte beyond its length."""
    segment = kernels.ffi.new("struct tcp_segment *")
    for name in Fields.__dataclass_fields__:
        if name != "sack":
            setattr(segment, name, getattr(fields, name))
    segment.sacks = len(fields.sack)
    for i, (left, right) in enumerate(fields.sack):
        segment.sack[i].left, segment.sack[i].right = left, right
    length = int(kernels.lib.tcp_header_len(segment))
    kernels.sink.put(b"\xee" * 60)
    at = kernels.sink.base + kernels.sink.size - length
    assert kernels.lib.tcp_header_write(segment, 443, 50000, at) == length
    whole = kernels.sink.take(60)
    assert whole[: 60 - length] == b"\xee" * (60 - length)
    return bytes(whole[60 - length :])


def kept(fields: Fields, data: bytes) -> Fields:
    """What of the fields the header is to carry: those of its options, and the blocks that fit."""
    on = fields.options
    others = 4 * bool(on & MSS) + 4 * bool(on & WSCALE) + 4 * bool(on & USER_TIMEOUT)
    others += 12 if on & TIMESTAMP else 4 * bool(on & SACK_PERMITTED)
    return Fields(
        seq=fields.seq,
        ack=fields.ack,
        wnd=fields.wnd,
        urgent=fields.urgent if fields.control & 0x20 else 0,
        control=fields.control,
        options=on,
        wscale=fields.wscale if on & WSCALE else 0,
        mss=fields.mss if on & MSS else 0,
        user_timeout=fields.user_timeout if on & USER_TIMEOUT else 0,
        ts_val=fields.ts_val if on & TIMESTAMP else 0,
        ts_ecr=fields.ts_ecr if on & TIMESTAMP else 0,
        sack=fields.sack[: (36 - others) // 8],
    )


@pytest.mark.requirement("OPT-03", "ACK-06")
@examples(80)
@given(fields=WRITTEN)
def test_written_is_read_back(kernels: Any, fields: Fields) -> None:
    data = write(kernels, fields)
    assert len(data) % 4 == 0
    assert data[:4] == struct.pack(">HH", 443, 50000)
    assert data[16:18] == b"\0\0"
    assert data[12] & 15 == 0
    assert read(data) == kept(fields, data)
    assert parse(kernels, data) == kept(fields, data)


@pytest.mark.requirement("OPT-03")
@examples(80)
@given(fields=WRITTEN)
def test_padding_is_zero(kernels: Any, fields: Fields) -> None:
    """MUST-69: behind the last option come zeros only (and here none are needed)."""
    text = write(kernels, fields)[20:]
    at = 0
    while at < len(text) and text[at] != 0:
        at += 1 if text[at] == 1 else text[at + 1]
    assert text[at:] == bytes(len(text) - at)


@pytest.mark.requirement("ACK-06")
def test_blocks_that_fit(kernels: Any) -> None:
    """RFC 2018 3: four, and three with timestamps."""
    four = [(n, n + 1) for n in range(4)]
    assert len(write(kernels, Fields(sack=four))) == 20 + 4 + 32
    assert len(write(kernels, Fields(sack=four, options=TIMESTAMP))) == 20 + 12 + 4 + 24


def test_usual_layouts(kernels: Any) -> None:
    """RFC 7323 Appendix A, so that a peer's shortcut takes it; SACK-permitted fills the gap of a SYN."""
    with_times = Fields(options=TIMESTAMP, ts_val=1, ts_ecr=2)
    assert write(kernels, with_times)[20:] == bytes.fromhex("0101080a0000000100000002")
    syn = Fields(options=MSS | WSCALE | SACK_PERMITTED | TIMESTAMP, mss=1460, wscale=7, ts_val=1)
    assert write(kernels, syn)[20:] == bytes.fromhex("020405b401030307 0402080a0000000100000000")
