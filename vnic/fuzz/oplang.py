"""Programs of operations as bytes: one record each, framed as in RFC 1055, so that damage stays local.

A program is a version, flags, and records between END bytes. A record is a code, its fields as LEB128 in the
order of index, width, addr, value as far as the code has them, and the rest is data. Fields that a record is
too short for are 0, records of an unknown code are passed over: any bytes behind the version are a program.
The C fuzzer (tests/fuzz/oplang.h) reads and writes the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import NamedTuple

from vnic.abi import OpCode
from vnic.errors import ArgumentError
from vnic.fault import Fault, pack, unpack

VERSION = 1
STEPS_MAX = 256
BYTES_MAX = 262_144
_HEADER = 2
_BYTE, _WORD = 0xFF, (1 << 64) - 1

_END, _ESC = b"\xc0", b"\xdb"
_ESC_END, _ESC_ESC = b"\xdb\xdc", b"\xdb\xdd"


class WorldCode(IntEnum):
    """Codes beyond those of OpCode: what the world around the card does."""

    POKE = 0x80
    FILL = 0x81
    MAP = 0x82
    UNMAP = 0x83
    ARM = 0x84
    DISARM = 0x85
    TAMPER = 0x86


class Flag(IntFlag):
    """How a program is run and judged; SPLIT is two bits that choose pieces of 1, 2, 3 or 64 steps."""

    UP = 1
    ANSWER = 2
    WATCH = 4
    SPLIT_LOW = 8
    SPLIT_HIGH = 16
    RESTORE = 32
    LEVEL = 64
    NO_TWIN = 128


class Step(NamedTuple):
    """One operation; which fields count is for the code to say."""

    code: int
    index: int = 0  # type: ignore[assignment]  # a tuple has an index(), which nobody needs of this
    width: int = 0
    addr: int = 0
    value: int = 0
    data: bytes = b""


class Program(NamedTuple):
    """Flags and operations."""

    flags: Flag
    steps: tuple[Step, ...]


_INDEX, _WIDTH, _ADDR, _VALUE, _DATA = "index", "width", "addr", "value", "data"
_FIELDS: dict[int, tuple[str, ...]] = {
    OpCode.READ: (_INDEX, _WIDTH, _ADDR),
    OpCode.WRITE: (_INDEX, _WIDTH, _ADDR, _VALUE),
    OpCode.CFG_READ: (_WIDTH, _ADDR),
    OpCode.CFG_WRITE: (_WIDTH, _ADDR, _VALUE),
    OpCode.RUN: (_ADDR, _VALUE),
    OpCode.STEP: (_INDEX,),
    OpCode.ADVANCE: (_VALUE,),
    OpCode.LINK: (_VALUE,),
    OpCode.RESET: (_INDEX,),
    OpCode.REMOVE: (_VALUE,),
    OpCode.RECEIVE: (_DATA,),
    OpCode.DRAIN: (),
    WorldCode.POKE: (_ADDR, _DATA),
    WorldCode.FILL: (_INDEX, _WIDTH, _ADDR, _VALUE, _DATA),
    WorldCode.MAP: (_INDEX, _ADDR),
    WorldCode.UNMAP: (_ADDR, _VALUE),
    WorldCode.ARM: (_DATA,),
    WorldCode.DISARM: (_VALUE,),
    WorldCode.TAMPER: (_DATA,),
}


def fields_of(code: int) -> tuple[str, ...]:
    """The fields that a code has; none for an unknown one."""
    return _FIELDS.get(code, ())


# -- numbers -------------------------------------------------------------------------------------------------


def put_number(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def get_number(record: bytes, at: int) -> tuple[int, int]:
    """A number and where the next begins: modulo 2^64, and of one that is cut short what there is of it."""
    value = shift = 0
    while at < len(record):
        byte = record[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value & _WORD, at


# -- records -------------------------------------------------------------------------------------------------


def _escape(record: bytes) -> bytes:
    return record.replace(_ESC, _ESC_ESC).replace(_END, _ESC_END)


def _unescape(record: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(record):
        pair = record[at : at + 2]
        if pair in (_ESC_END, _ESC_ESC):
            out += _END if pair == _ESC_END else _ESC
            at += 2
        else:
            out.append(record[at])
            at += 1
    return bytes(out)


def _record(step: Step) -> bytes:
    out = bytearray([step.code])
    for name in fields_of(step.code):
        out += step.data if name == _DATA else put_number(getattr(step, name))
    return bytes(out)


def _step(record: bytes) -> Step:
    code, at = record[0], 1
    values: dict[str, int] = {}
    data = b""
    for name in fields_of(code):
        if name == _DATA:
            data = record[at:]
        else:
            value, at = get_number(record, at)
            values[name] = value & (_BYTE if name in (_INDEX, _WIDTH) else _WORD)
    return Step(
        code, values.get(_INDEX, 0), values.get(_WIDTH, 0), values.get(_ADDR, 0), values.get(_VALUE, 0), data
    )


# -- programs ------------------------------------------------------------------------------------------------


def encode(program: Program) -> bytes:
    """The program as bytes."""
    records = (_escape(_record(step)) + _END for step in program.steps)
    return bytes([VERSION, program.flags]) + b"".join(records)


def decode(encoded: bytes) -> Program:
    """The program that bytes are; ArgumentError when their version is another."""
    if len(encoded) < _HEADER or encoded[0] != VERSION:
        raise ArgumentError(f"not a program of version {VERSION}")
    steps: list[Step] = []
    room = BYTES_MAX
    for framed in encoded[_HEADER:].split(_END):
        record = _unescape(framed)[:room]
        if len(steps) == STEPS_MAX:
            break
        if record and record[0] in _FIELDS:
            steps.append(_step(record))
            room -= len(record) if _DATA in fields_of(record[0]) else 0
    return Program(Flag(encoded[1]), tuple(steps))


def from_text(text: str) -> Program:
    """A program as the C fuzzer prints it: a line of flags, then numbers and hexadecimal data a step."""
    first, *lines = text.strip().splitlines()
    steps = []
    for line in lines:
        code, index, width, addr, value, length, *data = line.split()
        step = Step(int(code), int(index), int(width), int(addr), int(value), bytes.fromhex("".join(data)))
        if len(step.data) != int(length):
            raise ArgumentError(f"data of {length} bytes was cut short: {line[:80]}")
        steps.append(step)
    return Program(Flag(int(first.split()[1])), tuple(steps))


# -- faults and edits as data --------------------------------------------------------------------------------


def pack_fault(fault: Fault) -> bytes:
    """The data of an ARM: struct vnic_fault."""
    return pack(fault)


def unpack_fault(data: bytes) -> Fault:
    """The fault of an ARM, sound or not."""
    return unpack(data)


def pack_edits(edits: Iterable[tuple[int, int, int]]) -> bytes:
    """The data of a TAMPER: triples of record, kind and value."""
    return b"".join(put_number(number) for edit in edits for number in edit)


def unpack_edits(data: bytes) -> list[tuple[int, int, int]]:
    """The triples of a TAMPER."""
    edits = []
    at = 0
    while at < len(data):
        record, at = get_number(data, at)
        kind, at = get_number(data, at)
        value, at = get_number(data, at)
        edits.append((record, kind, value))
    return edits
