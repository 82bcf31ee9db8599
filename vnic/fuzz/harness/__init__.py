"""The C harness that fuzzes a driver in C: NDIS, a machine and a card that may lie, for libFuzzer.

`clang -g -O1 -fsanitize=fuzzer,address,undefined mine.c $(python -m vnic.fuzz.harness) -o fuzz` builds it.
"""

from __future__ import annotations

from pathlib import Path

from vnic.headers import include_dir

__all__ = ["FOLDER", "LANGUAGE", "arguments", "sources"]

FOLDER = Path(__file__).resolve().parent
LANGUAGE = ("-D_POSIX_C_SOURCE=200809L",)


def sources() -> list[Path]:
    """Its C files: all of them belong into a program."""
    return sorted(FOLDER.glob("*.c"))


def arguments() -> list[str]:
    """What a compiler needs beside the driver's own files: flags and sources. FileNotFoundError."""
    return [*LANGUAGE, f"-I{include_dir()}", f"-I{FOLDER}", *map(str, sources())]
