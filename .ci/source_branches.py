"""Take the sanitizer's own branches out of the graphs that gcov reads: the source's are to be counted.

UBSan turns `1u << n`, `a / b`, the load of a bool and the arguments of memcpy into tests with a way out
that only undefined behaviour takes: a call that does not return. gcc counts these as branches. Marked as
what they are in the .gcno files (a fake arc, as from a call that ends the program), gcov does not. Run it
before gcovr; to run it again changes nothing. The source itself has no such way out but vnic_assert, which
is about our own mistakes and does not count.
"""

from __future__ import annotations

import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

FUNCTION, ARCS = 0x0100_0000, 0x0143_0000
FAKE = 2
_WORD = struct.Struct("<I")
_MAGIC = b"oncg"
_HEADER = 16
_LENGTHS_IN_BYTES = 12  # since this version of gcc

# Arcs of a function: source block to (place of the flags in the file, destination block, flags).
Arcs = dict[int, list[tuple[int, int, int]]]


def word(graph: bytes | bytearray, at: int) -> int:
    """The number at a place."""
    found: int = _WORD.unpack_from(graph, at)[0]
    return found


def start_of_records(graph: bytes | bytearray) -> int:
    """Behind magic, version, stamp, checksum, folder and a flag; ValueError for another format."""
    version = bytes(graph[4:8][::-1])
    is_graph = len(graph) > _HEADER and graph[:4] == _MAGIC
    if not is_graph or (version[0] - ord("A")) * 10 + version[1] - ord("0") < _LENGTHS_IN_BYTES:
        raise ValueError("not a graph that gcc 12 or later wrote")
    return _HEADER + 4 + word(graph, _HEADER) + 4


def functions(graph: bytes | bytearray) -> Iterator[Arcs]:
    """The arcs of each function."""
    arcs: Arcs = defaultdict(list)
    at = start_of_records(graph)
    while at < len(graph):
        tag, length = word(graph, at), word(graph, at + 4)
        if tag == FUNCTION:
            yield arcs
            arcs = defaultdict(list)
        elif tag == ARCS:
            source = word(graph, at + 8)
            for place in range(at + 12, at + 8 + length, 8):
                arcs[source].append((place + 4, word(graph, place), word(graph, place + 4)))
        at += 8 + length
    yield arcs


def dead_ends(arcs: Arcs) -> set[int]:
    """Blocks from which every way leads to a call that does not return."""
    ends: set[int] = set()
    found = True
    while found:
        fresh = {
            block
            for block, out in arcs.items()
            if block not in ends and all(flags & FAKE or target in ends for _, target, flags in out)
        }
        ends |= fresh
        found = bool(fresh)
    return ends


def forget(path: Path) -> int:
    """Mark the ways into dead ends of one file; how many were new."""
    graph = bytearray(path.read_bytes())
    count = 0
    for arcs in functions(graph):
        ends = dead_ends(arcs)
        for block, out in arcs.items():
            for place, target, flags in out if block not in ends else ():
                if target in ends and not flags & FAKE:
                    _WORD.pack_into(graph, place, flags | FAKE)
                    count += 1
    path.write_bytes(graph)
    return count


def main(folder: str) -> None:
    """All graphs below a folder."""
    counts = [forget(path) for path in sorted(Path(folder).rglob("*.gcno"))]
    print(f"{sum(counts)} branches of sanitizers in {len(counts)} files are not counted")


if __name__ == "__main__":
    main(sys.argv[1])
