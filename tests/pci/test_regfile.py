"""The register file against a plain model built from the generated register map: every width, any offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.gen.model import Register
from vnic.gen.registers import BAR0

Make = Callable[..., Any]
HOOK_MASK = 0xA5C35A3C  # what harness.c's read hook adds
SIZE = BAR0.MAP.size
KINDS = ("ro", "rw", "w1c", "rc", "pulse")


@dataclass
class Model:
    """One byte at a time, registers as plain integers: nothing of the C shape."""

    values: dict[tuple[str, int], int] = field(default_factory=dict)
    strays: int = 0

    def stored(self, register: Register, index: int) -> int:
        return self.values.get((register.name, index), register.reset)

    def word_at(self, offset: int) -> tuple[Register, int, int] | None:
        """Register, element and bit position of a word."""
        if offset + 4 > SIZE:
            return None
        try:
            register, index = BAR0.MAP.lookup(offset)
        except KeyError:
            return None
        return register, index, 8 * (offset - register.at(*divmod(index, register.inner_count)))

    def bytes_by_word(self, offset: int, width: int) -> dict[int, list[int]]:
        words: dict[int, list[int]] = {}
        for byte in range(offset, offset + width):
            words.setdefault(byte - byte % 4, []).append(byte)
        return words

    def read(self, offset: int, width: int) -> int:
        if width not in (1, 2, 4, 8):
            self.strays += 1
            return 2**64 - 1
        out = {}
        for word, enabled in self.bytes_by_word(offset, width).items():
            found = self.word_at(word)
            if found is None:
                self.strays += 1
                continue
            register, index, shift = found
            stored = self.stored(register, index)
            shown = (stored >> shift ^ (HOOK_MASK if register.hook_read else 0)) << shift
            shown &= register.mask("ro", "rw", "w1c", "rc")
            for byte in enabled:
                bit = shift + 8 * (byte - word)
                out[byte] = shown >> bit & 0xFF
                stored &= ~(0xFF << bit & register.mask("rc"))
            self.values[register.name, index] = stored
        return sum(value << 8 * (byte - offset) for byte, value in out.items())

    def write(self, offset: int, width: int, value: int) -> list[tuple[Register, int, int, int]]:
        """Returns the write hooks to expect: register, element, word, pulses."""
        if width not in (1, 2, 4, 8):
            self.strays += 1
            return []
        hooks = []
        for word, enabled in self.bytes_by_word(offset, width).items():
            found = self.word_at(word)
            if found is None:
                self.strays += 1
                continue
            register, index, shift = found
            stored, pulses = self.stored(register, index), 0
            for byte in enabled:
                bit = shift + 8 * (byte - word)
                bits = (value >> 8 * (byte - offset) & 0xFF) << bit
                lane = 0xFF << bit
                stored = stored & ~(lane & register.mask("rw")) | bits & register.mask("rw")
                stored &= ~(bits & register.mask("w1c"))
                pulses |= bits & register.mask("pulse")
            self.values[register.name, index] = stored
            if register.hook_write:
                hooks.append((register, index, word, pulses >> shift))
        return hooks


def hooks_of(f: Any) -> list[Any]:
    out = f.ffi.new("struct harness_hook[]", 64)
    return [out[i] for i in range(f.hooks(out, 64))]


INTERESTING = sorted(
    {o + d for r in BAR0.MAP for o in r.offsets() for d in (-3, -1, 0, 1, 2, 4, 5) if o + d >= 0}
)
OFFSETS = st.one_of(
    st.sampled_from(INTERESTING),
    st.integers(0, SIZE + 64),
    st.sampled_from(
        [SIZE - 1, SIZE - 4, SIZE - 7, SIZE, 2**32 - 4, 2**32, 2**63, 2**64 - 1, 2**64 - 4, 2**64 - 7]
    ),
)
WIDTHS = st.one_of(st.sampled_from([1, 2, 4, 8]), st.sampled_from([0, 3, 5, 6, 7, 9, 16, 64, 2**31]))
OPS = st.tuples(st.booleans(), OFFSETS, WIDTHS, st.integers(0, 2**64 - 1))


@pytest.mark.requirement("PCI-7", "PCI-8", "PCI-9")
@given(
    pokes=st.lists(st.tuples(st.sampled_from(list(BAR0.MAP)), st.integers(0, 2**64 - 1)), max_size=6),
    ops=st.lists(OPS, min_size=1, max_size=40),
)
@examples(100)
def test_any_access_equals_the_model(
    make: Make, pokes: list[tuple[Register, int]], ops: list[tuple[bool, int, int, int]]
) -> None:
    f, model = make(bars=[2**31, 0, 0x2000, 0, 0, 0]), Model()
    f.start()
    for register, value in pokes:
        stored = value & register.mask("ro", "rw", "w1c", "rc")
        model.values[register.name, 0] = stored
        for part in range(register.bytes // 4):
            f.poke(register.offset + 4 * part, stored >> 32 * part & 0xFFFFFFFF)
    for is_write, offset, width, value in ops:
        f.hooks(f.ffi.new("struct harness_hook[]", 64), 64)
        if offset >= 2**31:
            assert f.read(0, offset, width) == (2 ** (8 * width) - 1 if width in (1, 2, 4, 8) else 2**64 - 1)
        elif is_write:
            f.write(0, offset, width, value)
            expected = model.write(offset, width, value)
            told = [(h.offset, h.index, h.pulses) for h in hooks_of(f) if h.is_write]
            assert told == [
                (word, index // r.inner_count if r.count > 1 else 0, pulses)
                for r, index, word, pulses in expected
            ]
        else:
            assert f.read(0, offset, width) == model.read(offset, width), BAR0.MAP.describe(offset)
        assert f.strays() == model.strays
    for register in BAR0.MAP:
        for index, at in enumerate(register.offsets()):
            for part in range(register.bytes // 4):
                assert f.peek(at + 4 * part) == model.stored(register, index) >> 32 * part & 0xFFFFFFFF
    f.close()


@pytest.mark.requirement("PCI-7", "PCI-9")
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_every_offset_of_the_map(make: Make, width: int) -> None:
    f, model = make(), Model()
    f.start()
    for offset in range(SIZE - 8):
        if offset % 64 < 12 or width == 8:
            assert f.read(0, offset, width) == model.read(offset, width), hex(offset)
    assert f.strays() == model.strays


@pytest.mark.requirement("PCI-7")
def test_an_unaligned_eight_byte_access_touches_three_words(function: Any) -> None:
    base = BAR0.RSS_KEY.offset
    function.write(0, base, 8, 0x0807060504030201)
    function.write(0, base + 8, 8, 0x100F0E0D0C0B0A09)
    assert function.read(0, base + 3, 8) == 0x0B0A090807060504
    function.write(0, base + 1, 8, 0xFFFFFFFFFFFFFFFF)
    assert [function.read(0, base + 4 * i, 4) for i in range(3)] == [0xFFFFFF01, 0xFFFFFFFF, 0x0C0B0AFF]


@pytest.mark.requirement("PCI-8")
def test_hooks_are_told_what_was_written(function: Any) -> None:
    ctrl = BAR0.QP_RX_CTRL
    offset = ctrl.at(5)
    function.write(0, offset + 1, 1, 0xFF)
    function.write(0, offset, 1, 3)
    first, second = hooks_of(function)
    assert (first.written, first.pulses, first.now) == (0xFF00, 0, 0)
    assert (second.offset, second.index, second.first, second.now) == (offset, 5, 0, 1)
    assert (second.pulses, second.written) == (ctrl.field("RESET").mask, 3)


@pytest.mark.requirement("PCI-8")
def test_read_to_clear_takes_only_the_bytes_read(function: Any) -> None:
    cause = BAR0.INT_CAUSE.offset
    for part in (0, 4):
        function.poke(cause + part, 0xFFFFFFFF)
    function.read(0, cause + 1, 1)
    assert function.peek(cause) == 0xFFFF00FF
    function.read(0, cause + 2, 4)
    assert function.peek(cause) == 0x000000FF
    assert function.peek(cause + 4) == 0xFFFF0000
    assert [h.written for h in hooks_of(function)] == [0xFF00, 0xFFFF0000, 0x0000FFFF]


@pytest.mark.requirement("PCI-8")
def test_reset_of_one_element_leaves_the_others(function: Any) -> None:
    tail = BAR0.QP_RX_BUF_LEN
    for i in range(tail.count):
        function.write(0, tail.at(i), 4, 100 + i)
    function.reset_instance(BAR0.QP_RX_BASE.offset, 7)
    function.reset_instance(BAR0.QP_RX_BASE.offset, tail.count)
    function.reset_instance(BAR0.QP_RX_BASE.offset + 4, 3)
    values = [function.read(0, tail.at(i), 4) for i in range(tail.count)]
    assert values == [tail.reset if i == 7 else 100 + i for i in range(tail.count)]


@pytest.mark.requirement("PCI-10")
def test_a_register_may_change_between_two_accesses_of_its_halves(function: Any) -> None:
    base = BAR0.TEST_DMA_DST.offset
    function.write(0, base, 8, 0x1111111122222222)
    low = function.read(0, base, 4)
    function.write(0, base, 8, 0x3333333344444444)
    assert function.read(0, base + 4, 4) << 32 | low == 0x3333333322222222


@pytest.mark.requirement("PCI-30")
@pytest.mark.parametrize("vectors", [1, 7, 33, 64])
def test_msix_table_has_as_many_entries_as_vectors(make: Make, vectors: int) -> None:
    f = make(vectors=vectors)
    f.start()
    for n in range(64):
        f.write(2, 16 * n, 8, 0xFFFFFFFFFFFFFFFF)
        f.write(2, 16 * n + 8, 8, 0xFFFFFFFFFFFFFFFF)
    entries = [(f.read(2, 16 * n, 8), f.read(2, 16 * n + 8, 8)) for n in range(64)]
    assert entries[:vectors] == [(0xFFFFFFFFFFFFFFFC, 0x1FFFFFFFF)] * vectors
    assert entries[vectors:] == [(0, 0)] * (64 - vectors)
