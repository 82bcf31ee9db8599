"""Structures that a C driver holds: zeroed when given out, poisoned when given back, and looked at again."""

from __future__ import annotations

from collections import deque

from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared, new

__all__ = ["Heap"]

_POISON = 0xDB
#: So many structures lie poisoned before the first of them is used again.
_QUARANTINE = 256


class Heap:
    """Structures of one kind. Who writes to one that was given back is found when it is looked at again.

    Of a driver built with AddressSanitizer they are freed instead: it reports the first access.
    """

    def __init__(self, crossing: Crossing, kind: str, name: str) -> None:
        self._crossing = crossing
        self._kind = kind
        self._name = name
        self._size = declared().sizeof(kind)
        self._poison = bytes([_POISON]) * self._size
        self._quarantine: deque[C] = deque()

    def take(self) -> C:
        """One of them, zeroed."""
        if len(self._quarantine) < _QUARANTINE:
            return new(f"{self._kind} *")
        again = self._quarantine.popleft()
        self._check(again)
        declared().buffer(again, self._size)[:] = bytes(self._size)
        return again

    def give(self, structure: C) -> None:
        """It is the driver's no more."""
        if self._crossing.is_instrumented:
            declared().release(structure)
            return
        declared().buffer(structure, self._size)[:] = self._poison
        self._quarantine.append(structure)

    def check(self) -> None:
        """Look at everything that was given back; raises DRV-11."""
        for structure in self._quarantine:
            self._check(structure)

    def _check(self, structure: C) -> None:
        if bytes(declared().buffer(structure, self._size)) != self._poison:
            where = address_of(structure)
            text = f"a {self._name} at {where:#x} was written after it had been given back"
            raise self._crossing.breach("DRV-11", text)
