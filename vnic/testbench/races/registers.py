"""What a driver has written to registers, word by word, from accesses of any width."""

from __future__ import annotations


class Written:
    """The last value written to each 32-bit word; 0 where nothing was."""

    def __init__(self) -> None:
        self._words: dict[int, int] = {}

    def write(self, offset: int, width: int, value: int) -> dict[int, int]:
        """An access: byte enables of every word that it touches, by the word's offset."""
        touched: dict[int, int] = {}
        for n in range(width):
            word, lane = (offset + n) & ~3, (offset + n) & 3
            byte = value >> 8 * n & 0xFF
            self._words[word] = self._words.get(word, 0) & ~(0xFF << 8 * lane) | byte << 8 * lane
            touched[word] = touched.get(word, 0) | 1 << lane
        return touched

    def __getitem__(self, offset: int) -> int:
        return self._words.get(offset, 0)

    def wide(self, offset: int) -> int:
        """64 bits, of two words."""
        return self[offset] | self[offset + 4] << 32

    def clear(self) -> None:
        """Everything is 0."""
        self._words.clear()
