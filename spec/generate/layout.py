"""Lays a map out as spans of 32-bit words, one span per 64-byte page: the shape of `struct reg_map`."""

from __future__ import annotations

from dataclasses import dataclass

from .model import ArraySpec, MapSpec, RegisterSpec, SpecError

PAGE_BYTES = 64
NO_SPAN = 0xFF
WORD_MASK = 0xFFFF_FFFF


@dataclass(frozen=True)
class Word:
    """One half of a 64-bit register, or a whole 32-bit one."""

    reg: int
    spec: RegisterSpec
    high: bool

    def bits(self, value: int) -> int:
        """This word's part of a value of the register."""
        return value >> 32 if self.high else value & WORD_MASK


@dataclass(frozen=True)
class Span:
    """`count` copies, `stride` bytes apart, of the same words; None is an unimplemented word."""

    base: int
    stride: int
    count: int
    words: tuple[Word | None, ...]

    @property
    def pages(self) -> range:
        last = self.base + self.stride * (self.count - 1) + len(self.words) * 4 - 1
        return range(self.base // PAGE_BYTES, last // PAGE_BYTES + 1)


def spans_of(reg_map: MapSpec) -> list[Span]:
    """The spans of a map by rising base; raises SpecError when two of them would share a page."""
    ids = {reg.name: index for index, reg in enumerate(reg_map.registers)}
    files: dict[ArraySpec, dict[int, Word]] = {}
    single: dict[int, Word] = {}
    for reg in reg_map.registers:
        base = reg.file.offset if reg.file else 0
        words = files.setdefault(reg.file, {}) if reg.file else single
        step, count = (reg.inner.stride, reg.inner.count) if reg.inner else (0, 1)
        for index in range(count):
            _place(words, reg.offset - base + index * step, ids[reg.name], reg)
    spans = [_file_span(reg_map, file, words) for file, words in files.items()] + _runs(single)
    return sorted(spans, key=lambda span: span.base)


def page_table(reg_map: MapSpec, spans: list[Span]) -> list[int]:
    """The span index of every 64-byte page of the map, NO_SPAN where there is none."""
    if len(spans) >= NO_SPAN:
        raise SpecError(f"{reg_map.name}: {len(spans)} spans, the page table holds {NO_SPAN - 1}")
    table = [NO_SPAN] * (reg_map.size // PAGE_BYTES)
    for index, span in enumerate(spans):
        for page in span.pages:
            if table[page] != NO_SPAN:
                raise SpecError(
                    f"{reg_map.name}: spans at {spans[table[page]].base:#x} and {span.base:#x} "
                    f"share the 64-byte page at {page * PAGE_BYTES:#x}"
                )
            table[page] = index
    return table


def _place(words: dict[int, Word], offset: int, reg: int, spec: RegisterSpec) -> None:
    for high in range(spec.width // 32):
        words[offset + 4 * high] = Word(reg, spec, bool(high))


def _file_span(reg_map: MapSpec, file: ArraySpec, words: dict[int, Word]) -> Span:
    if file.offset % PAGE_BYTES:
        raise SpecError(f"{reg_map.name}: array {file.name} at {file.offset:#x} must start on a 64-byte page")
    return Span(file.offset, file.stride, file.count, _row(words, 0, max(words) + 4))


def _runs(words: dict[int, Word]) -> list[Span]:
    """Registers outside arrays, gathered into spans of adjacent pages."""
    spans: list[Span] = []
    pages = sorted({offset // PAGE_BYTES for offset in words})
    while pages:
        size = next((n for n, page in enumerate(pages) if page != pages[0] + n), len(pages))
        start, end = pages[0] * PAGE_BYTES, (pages[size - 1] + 1) * PAGE_BYTES
        last = max(offset for offset in words if offset < end)
        row = _row(words, start, last + 4)
        spans.append(Span(start, len(row) * 4, 1, row))
        pages = pages[size:]
    return spans


def _row(words: dict[int, Word], start: int, end: int) -> tuple[Word | None, ...]:
    return tuple(words.get(offset) for offset in range(start, end, 4))
