"""Snapshots: the encoding by itself, the function's state, hostile input."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

Make = Callable[..., Any]
EFORMAT = -7
COMMAND, PM_CTRL, MSIX_CTRL = 0x04, 0x44, 0xB0
MASTER, FUNCTION_MASK, ENABLE = 1 << 2, 1 << 30, 1 << 31
TAG_STRAYS, TAG_COUNT, TAG_WORD = 0x200, 0x201, 0x202
TAG_REMOVED, TAG_ASSERTED, TAG_OUT, TAG_MSIX, TAG_MSI = 0x211, 0x212, 0x213, 0x214, 0x215
TAG_QUEUE, TAG_KIND, TAG_VECTOR, TAG_ADDR, TAG_DATA = 0x216, 0x217, 0x218, 0x219, 0x21A


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def record(tag: int, value: bytes) -> bytes:
    return struct.pack("<HH", tag, len(value)) + value


def records(data: bytes) -> list[tuple[int, bytes]]:
    out, at = [], 0
    while at < len(data):
        tag, size = struct.unpack_from("<HH", data, at)
        out.append((tag, data[at + 4 : at + 4 + size]))
        at += 4 + size
    assert at == len(data)
    return out


def join(parts: list[tuple[int, bytes]]) -> bytes:
    return b"".join(record(tag, value) for tag, value in parts)


# --- the encoding


class Value:
    """A struct harness_value and its bytes."""

    def __init__(self, library: tuple[Any, Any], size: int, **fields: Any) -> None:
        self.ffi, self.lib = library
        self.bytes = self.ffi.new("uint8_t[]", max(size, 1))
        self.v = self.ffi.new("struct harness_value *", {"len": size, "bytes": self.bytes, **fields})
        self.size = size

    def save(self, capacity: int | None = None) -> tuple[int, bytes]:
        size = self.lib.harness_value_save(self.v, self.ffi.NULL, 0)
        room = size if capacity is None else capacity
        buf = self.ffi.new("uint8_t[]", b"\xcc" * (room + 8))
        assert self.lib.harness_value_save(self.v, buf, room) == size
        assert bytes(self.ffi.buffer(buf)[room : room + 8]) == b"\xcc" * 8
        return size, bytes(self.ffi.buffer(buf)[:room])

    def load(self, data: bytes) -> int:
        return int(self.lib.harness_value_load(self.v, self.ffi.from_buffer(data), len(data)))

    def tuple(self) -> tuple[Any, ...]:
        v = self.v
        data = bytes(self.ffi.buffer(self.bytes)[: self.size])
        return (v.u8, v.u16, v.u32, v.u64, v.flag, [v.element[i] for i in range(v.count)], data)


VALUES = st.fixed_dictionaries(
    {
        "u8": st.integers(0, 200).filter(lambda n: n != 13),
        "u16": st.integers(0, 2**16 - 1),
        "u32": st.integers(0, 2**31),
        "u64": st.integers(0, 2**64 - 1),
        "flag": st.integers(0, 1),
        "element": st.lists(st.integers(0, 2**64 - 1), max_size=8),
    }
)


def fields_of(drawn: dict[str, Any]) -> dict[str, Any]:
    return {**drawn, "count": len(drawn["element"])}


@given(drawn=VALUES, data=st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_are_as_the_format_says(library: tuple[Any, Any], drawn: dict[str, Any], data: bytes) -> None:
    value = Value(library, len(data), **fields_of(drawn))
    value.ffi.memmove(value.bytes, data, len(data))
    expected = b"".join(
        [
            record(1, struct.pack("<B", drawn["u8"])),
            record(2, struct.pack("<H", drawn["u16"])),
            record(3, struct.pack("<I", drawn["u32"])),
            record(4, struct.pack("<Q", drawn["u64"])),
            record(5, struct.pack("<B", drawn["flag"])),
            record(6, struct.pack("<I", len(drawn["element"]))),
            *(record(7, struct.pack("<Q", e)) for e in drawn["element"]),
            record(8, data),
        ]
    )
    assert value.save() == (len(expected), expected)
    assert value.lib.harness_value_hash(value.v) == fnv1a(expected)
    other = Value(library, len(data))
    assert other.load(expected) == 0
    assert other.tuple() == value.tuple()


def test_long_bytes_go_in_pieces(library: tuple[Any, Any]) -> None:
    for size in (0x7FFF, 0x8000, 0x8001, 0x10000, 200_001):
        value = Value(library, size)
        value.ffi.memmove(value.bytes, bytes(i % 251 for i in range(size)), size)
        _, saved = value.save()
        pieces = [v for tag, v in records(saved) if tag == 8]
        assert max(map(len, pieces)) <= 0x8000
        assert b"".join(pieces) == value.tuple()[-1]
        other = Value(library, size)
        assert other.load(saved) == 0
        assert other.tuple() == value.tuple()


def test_a_buffer_too_small_is_not_overrun(library: tuple[Any, Any]) -> None:
    value = Value(library, 10, u8=1, count=2)
    size, whole = value.save()
    for capacity in range(size):
        assert value.save(capacity)[0] == size
    assert value.save(size + 50)[1][:size] == whole


@pytest.mark.requirement("PCI-46")
def test_values_beyond_their_range(library: tuple[Any, Any]) -> None:
    _, good = Value(library, 4, u8=200, u32=2**31, flag=1, count=1).save()
    parts = records(good)
    wrong = [
        (0, (1, b"\xc9")),
        (0, (1, b"\x0d")),
        (2, (3, struct.pack("<I", 2**31 + 1))),
        (4, (5, b"\2")),
        (4, (5, b"\xff")),
        (5, (6, struct.pack("<I", 9))),
        (5, (6, struct.pack("<I", 2**32 - 1))),
        (0, (1, b"\1\0")),
        (1, (1, b"\1\0")),
        (7, (8, b"abc")),
        (7, (8, b"abcde")),
    ]
    for at, bad in wrong:
        assert Value(library, 4).load(join([*parts[:at], bad, *parts[at + 1 :]])) == EFORMAT, bad
    assert Value(library, 4).load(good) == 0
    assert Value(library, 4).load(good + b"\0") == EFORMAT


@given(data=st.binary(max_size=120))
@examples(80)
def test_noise_is_refused(library: tuple[Any, Any], data: bytes) -> None:
    assert Value(library, 5).load(data) == EFORMAT


# --- the function


def busy(f: Any) -> None:
    """A state with something in every place that is saved."""
    f.enable_msi(2)
    f.cfg_write(0x60, 4, 0xFF)
    f.raise_vector(2)
    f.enable_msix()
    f.write(2, 16 * 5 + 12, 4, 1)
    for n in (1, 5, 3):
        f.raise_vector(n)
    f.take(1)
    f.set_now(987654321)
    f.write(0, 0x640, 8, 0x1122334455667788)
    f.write(0, 0x44, 4, 1)
    f.set_line(1)
    f.log_unsupported(1)


@pytest.mark.requirement("PCI-45")
def test_a_copy_behaves_the_same(make: Make) -> None:
    f, copy = make(), make()
    f.start()
    busy(f)
    saved = f.snapshot()
    assert copy.restore(saved) == 0
    assert copy.snapshot() == saved
    assert copy.hash() == f.hash() == fnv1a(saved)
    for g in (f, copy):
        g.write(2, 16 * 5 + 12, 4, 0)
        g.cfg_set(MSIX_CTRL, ENABLE, 0)
        g.cfg_write(0x60, 4, 0)
    taken = f.take()
    assert [(m.kind, m.vector) for m in taken] == [(2, 3), (2, 5), (1, 2)]
    assert copy.take() == taken
    assert copy.read(0, 0x640, 8) == 0x1122334455667788
    assert [f.cfg(o) for o in range(0, 0x200, 4)] == [copy.cfg(o) for o in range(0, 0x200, 4)]
    assert f.snapshot() == copy.snapshot()


@pytest.mark.requirement("PCI-45")
def test_what_is_derived_follows(make: Make) -> None:
    f, copy = make(), make()
    f.start()
    memory = copy.memory(0x4000_0000_0000, 0x10000)
    assert copy.restore(f.snapshot()) == 0
    assert copy.is_master()
    assert copy.is_memory_enabled()
    assert copy.dma_put(0x4000_0000_0000, b"x") == 1
    assert copy.restore(make().snapshot()) == 0
    assert not copy.is_master()
    assert memory[0] == b"\0"


@pytest.mark.requirement("PCI-45")
def test_the_queue_is_saved_from_its_head(make: Make) -> None:
    f, g = make(), make()
    for h in (f, g):
        h.start()
        h.enable_msix()
    for _ in range(200):
        f.raise_vector(0)
    f.take(200)
    for h in (f, g):
        for n in range(100):
            h.raise_vector(n % 8)
    assert f.snapshot() == g.snapshot()
    assert f.hash() == g.hash()


@pytest.mark.requirement("PCI-45")
def test_a_removed_function_stays_removed(make: Make) -> None:
    f, copy = make(), make()
    f.start()
    f.remove()
    assert copy.restore(f.snapshot()) == 0
    assert copy.cfg(0) == 0xFFFFFFFF
    copy.insert()
    assert copy.cfg(0) == 0x0C0D1AF4


def test_the_cost_of_a_snapshot_is_what_is_live(make: Make) -> None:
    idle = len(make().snapshot())
    f = make()
    f.write(0, 0x640, 4, 1)
    f.start()
    f.write(0, 0x640, 4, 1)
    assert idle < 500
    assert len(f.snapshot()) < idle + 12 * 10


@pytest.mark.requirement("PCI-46")
def test_every_truncation_is_refused(make: Make) -> None:
    f = make()
    f.start()
    busy(f)
    saved = f.snapshot()
    victim = make()
    fresh = victim.snapshot()
    for size in range(len(saved)):
        assert victim.restore(saved[:size]) == EFORMAT
    assert victim.restore(saved + b"\0") == EFORMAT
    assert victim.snapshot() == fresh


@pytest.mark.requirement("PCI-24", "PCI-46")
def test_after_a_refusal_the_line_falls_once(make: Make) -> None:
    f = make()
    f.start()
    f.set_line(1)
    assert len(f.take()) == 1
    saved = f.snapshot()
    assert f.restore(saved[:-1]) == EFORMAT
    assert [(m.kind, m.data) for m in f.take()] == [(0, 0)]
    assert f.snapshot() == make().snapshot()
    f.set_line(1)
    assert [(m.kind, m.data) for m in f.take()] == [(0, 1)]


@pytest.mark.requirement("PCI-46")
def test_every_bit_flip_is_refused_or_is_another_state(make: Make) -> None:
    f = make()
    f.start()
    busy(f)
    saved = f.snapshot()
    victim = make()
    accepted = 0
    for at in range(len(saved)):
        for bit in range(8):
            wrong = bytearray(saved)
            wrong[at] ^= 1 << bit
            if victim.restore(bytes(wrong)) == 0:
                accepted += 1
                assert victim.snapshot() == bytes(wrong)
    assert accepted > 100
    assert accepted < len(saved) * 8 // 2


@pytest.mark.requirement("PCI-46")
@given(data=st.data())
@examples(80)
def test_hostile_records(make: Make, data: st.DataObject) -> None:
    """Records swapped, doubled, dropped, overwritten: refused, or saved again byte for byte; it works on."""
    f = make()
    f.start()
    busy(f)
    parts = records(f.snapshot())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(parts) - 1))
        match data.draw(st.sampled_from(["drop", "double", "swap", "fill"])):
            case "drop":
                del parts[at]
            case "double":
                parts.insert(at, parts[at])
            case "swap":
                other = data.draw(st.integers(0, len(parts) - 1))
                parts[at], parts[other] = parts[other], parts[at]
            case "fill":
                size = len(parts[at][1])
                parts[at] = (parts[at][0], data.draw(st.binary(min_size=size, max_size=size)))
    wrong = join(parts)
    if f.restore(wrong) == 0:
        assert f.snapshot() == wrong
    f.start()
    f.enable_msix()
    f.cfg_write(0x60, 4, 0)
    f.take()
    f.raise_vector(0)
    assert f.take()[-1].vector == 0
    f.close()


def entry(offset: int, value: int) -> tuple[int, bytes]:
    return (TAG_WORD, struct.pack("<Q", offset << 32 | value))


def with_config_word(parts: list[tuple[int, bytes]], offset: int, value: int) -> list[tuple[int, bytes]]:
    """The first register file is configuration space: replace or insert a word of it, in its place."""
    start = next(i for i, (tag, _) in enumerate(parts) if tag == TAG_COUNT)
    count = struct.unpack("<I", parts[start][1])[0]
    entries = {struct.unpack("<Q", v)[0] >> 32: v for _, v in parts[start + 1 : start + 1 + count]}
    entries[offset] = entry(offset, value)[1]
    table = [(TAG_WORD, entries[o]) for o in sorted(entries)]
    return [*parts[:start], (TAG_COUNT, struct.pack("<I", len(table))), *table, *parts[start + 1 + count :]]


@pytest.mark.requirement("PCI-46")
@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0x00, 0x0C0D1AF5),
        (0x08, 0x02000008),
        (0x10, 0xC),
        (0x10, 0x8004),
        (0x10, 0x10000),
        (0x20, 1),
        (0x2C, 1),
        (0x34, 0x50),
        (0x3C, 0x2FF),
        (0x44, 1),
        (0x44, 2),
        (0x50, 0x01807005),
        (0x50, 0x01887005 | 1 << 25),
        (0x74, 0),
        (0x78, 0x202810),
        (0x78, 0x00802810),
        (0xB0, 0x00060011),
        (0xB4, 0),
        (0x104, 1),
        (0x118, 14),
        (0x11C, 1),
        (0x28, 1),
        (0xC0, 1),
        (0x200, 1),
        (0x3, 1),
    ],
)
def test_configurations_that_cannot_be(make: Make, offset: int, value: int) -> None:
    f = make()
    parts = records(f.snapshot())
    assert f.restore(join(with_config_word(parts, offset, value))) == EFORMAT


@pytest.mark.requirement("PCI-46")
@pytest.mark.parametrize(
    ("offset", "value"),
    [(0x04, 0x00100006), (0x10, 0xABCD0004), (0x44, 3), (0x3C, 0x122), (0x104, 1 << 20), (0x10C, 1 << 14)],
)
def test_configurations_that_can_be(make: Make, offset: int, value: int) -> None:
    f = make()
    wanted = join(with_config_word(records(f.snapshot()), offset, value))
    assert f.restore(wanted) == 0
    assert f.snapshot() == wanted


def replace(parts: list[tuple[int, bytes]], tag: int, value: bytes, extra: bytes = b"") -> bytes:
    out = []
    for t, v in parts:
        out.append(record(t, value if t == tag else v))
        if t == tag:
            out.append(extra)
    return b"".join(out)


def message(kind: int, vector: int, addr: int, data: int) -> bytes:
    return b"".join(
        [
            record(TAG_KIND, bytes([kind])),
            record(TAG_VECTOR, bytes([vector])),
            record(TAG_ADDR, struct.pack("<Q", addr)),
            record(TAG_DATA, struct.pack("<I", data)),
        ]
    )


@pytest.mark.requirement("PCI-46")
def test_interrupts_that_cannot_be(make: Make) -> None:
    f = make()
    parts = records(f.snapshot())
    one = struct.pack("<I", 1)
    for wrong in [
        (3, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 1, 0),
        (0, 0, 0, 2),
        (1, 8, 0, 0),
        (2, 8, 0, 0),
        (2, 255, 0, 0),
    ]:
        assert f.restore(replace(parts, TAG_QUEUE, one, message(*wrong))) == EFORMAT
    for good in [(0, 0, 0, 0), (0, 0, 0, 1), (1, 7, 99, 2**32 - 1), (2, 7, 2**64 - 1, 5)]:
        assert f.restore(replace(parts, TAG_QUEUE, one, message(*good))) == 0
    assert f.restore(replace(parts, TAG_QUEUE, struct.pack("<I", 256), message(2, 7, 0, 0) * 256)) == 0
    assert f.restore(replace(parts, TAG_QUEUE, struct.pack("<I", 257), message(2, 7, 0, 0) * 257)) == EFORMAT
    assert f.restore(replace(parts, TAG_MSIX, struct.pack("<Q", 1 << 8))) == EFORMAT
    assert f.restore(replace(parts, TAG_MSIX, struct.pack("<Q", 1 << 7))) == 0
    assert f.restore(replace(parts, TAG_MSI, struct.pack("<I", 1 << 8))) == EFORMAT
    assert f.restore(replace(parts, TAG_OUT, b"\1")) == EFORMAT
    assert f.restore(replace(parts, TAG_ASSERTED, b"\1")) == EFORMAT
    assert f.restore(replace(parts, TAG_REMOVED, b"\2")) == EFORMAT


@pytest.mark.requirement("PCI-46")
@pytest.mark.parametrize("mode", ["msi", "msix"])
def test_nothing_waits_that_could_go(make: Make, mode: str) -> None:
    f = make()
    f.start()
    f.enable_msi(2)
    if mode == "msix":
        f.enable_msix()
    parts = records(f.snapshot())
    tag, value = (TAG_MSIX, struct.pack("<Q", 2)) if mode == "msix" else (TAG_MSI, struct.pack("<I", 2))
    assert f.restore(replace(parts, tag, value)) == EFORMAT
    f.start()
    f.cfg_set(COMMAND, MASTER, 0)
    f.enable_msi(2)
    if mode == "msix":
        f.enable_msix()
    assert f.restore(replace(records(f.snapshot()), tag, value)) == 0
    f.cfg_set(COMMAND, MASTER)
    assert len(f.take()) == 1


@pytest.mark.requirement("PCI-46")
def test_an_identity_that_is_not_ours(make: Make) -> None:
    for options in (
        {"vectors": 9},
        {"msi_log2": 2},
        {"pin": 2},
        {"multi": 1},
        {"bars": [0x8000, 0, 0x2000, 0, 0, 0]},
    ):
        f = make(**options)
        f.start()
        plain = make()
        plain.start()
        same = options.get("bars") is not None  # the addresses in use fit both sizes
        assert plain.restore(f.snapshot()) == (0 if same else EFORMAT)
