"""The options of pcapng blocks: lists of code, length, value, and the typed set that a packet carries."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from vnic.wire.capture_source import CaptureError

END_OF_OPTIONS: Final = 0
COMMENT: Final = 1

# Section Header Block
SHB_HARDWARE: Final = 2
SHB_OS: Final = 3
SHB_USERAPPL: Final = 4

# Interface Description Block
IF_NAME: Final = 2
IF_DESCRIPTION: Final = 3
IF_MACADDR: Final = 6
IF_SPEED: Final = 8
IF_TSRESOL: Final = 9
IF_OS: Final = 12
IF_FCSLEN: Final = 13
IF_TSOFFSET: Final = 14
IF_HARDWARE: Final = 15

# Enhanced Packet Block (2 and 3 also in the obsolete Packet Block)
EPB_FLAGS: Final = 2
EPB_HASH: Final = 3
EPB_DROPCOUNT: Final = 4
EPB_PACKETID: Final = 5
EPB_QUEUE: Final = 6
EPB_VERDICT: Final = 7
EPB_PROCESSID_THREADID: Final = 8

# Interface Statistics Block
ISB_STARTTIME: Final = 2
ISB_ENDTIME: Final = 3
ISB_IFRECV: Final = 4
ISB_IFDROP: Final = 5
ISB_FILTERACCEPT: Final = 6
ISB_OSDROP: Final = 7
ISB_USRDELIV: Final = 8


class Direction(IntEnum):
    """Bits 0-1 of epb_flags, seen from the interface."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


class HashAlgorithm(IntEnum):
    """First octet of epb_hash."""

    TWOS_COMPLEMENT = 0
    XOR = 1
    CRC32 = 2
    MD5 = 3
    SHA1 = 4
    TOEPLITZ = 5


class VerdictKind(IntEnum):
    """First octet of epb_verdict."""

    HARDWARE = 0
    LINUX_EBPF_TC = 1
    LINUX_EBPF_XDP = 2


HASH_BYTES: Final = {
    HashAlgorithm.CRC32: 4,
    HashAlgorithm.MD5: 16,
    HashAlgorithm.SHA1: 20,
    HashAlgorithm.TOEPLITZ: 4,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it stands in the file."""

    code: int
    value: bytes


@dataclass(frozen=True, slots=True)
class PacketHash:
    """An epb_hash; `value` is in the section's byte order, the way DPDK's pcapng library writes it."""

    algorithm: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """An epb_verdict; the value of the two eBPF kinds is 8 bytes in the section's byte order."""

    kind: int
    value: bytes


@dataclass(frozen=True, slots=True)
class PacketOptions:
    """What a packet block says of its packet beside time and lengths; None where the option is absent."""

    flags: int | None = None
    toeplitz: int | None = None
    queue: int | None = None
    dropcount: int | None = None
    packetid: int | None = None
    processid_threadid: int | None = None
    comments: tuple[str, ...] = ()
    hashes: tuple[PacketHash, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    other: tuple[Option, ...] = ()

    @property
    def direction(self) -> Direction:
        """Inbound or outbound; UNKNOWN also for the undefined code 3."""
        code = (self.flags or 0) & 3
        return Direction(code) if code < 3 else Direction.UNKNOWN

    @property
    def fcs_bytes(self) -> int:
        """Length of the FCS at the frame's end by epb_flags bits 5-8; 0 says nothing."""
        return (self.flags or 0) >> 5 & 15


NO_OPTIONS: Final = PacketOptions()


def text(value: bytes) -> str:
    """A UTF-8 option; wrong bytes stay visible and are written back unchanged."""
    return value.decode("utf-8", "surrogateescape")


def text_option(code: int, value: str) -> Option:
    """An option that holds UTF-8 text."""
    return Option(code, value.encode("utf-8", "surrogateescape"))


def split(area: bytes, order: str, offset: int) -> list[Option]:
    """Split an option area that starts at file `offset`; raises CaptureError where it overruns its block."""
    options: list[Option] = []
    position = 0
    header = struct.Struct(order + "HH")
    while position + 4 <= len(area):
        code, length = header.unpack_from(area, position)
        if code == END_OF_OPTIONS:
            return options
        value = area[position + 4 : position + 4 + length]
        if len(value) < length:
            raise CaptureError(f"option {code} of {length} bytes overruns its block", offset + position)
        options.append(Option(code, value))
        position += 4 + (length + 3 & ~3)
    return options


def join(options: Iterable[Option], order: str) -> bytes:
    """Write an option area with its end mark; empty when there is no option."""
    parts = []
    for option in options:
        length = len(option.value)
        if not (0 < option.code <= 0xFFFF and length <= 0xFFFF):
            raise ValueError(f"option {option.code} of {length} bytes does not fit 16-bit fields")
        parts.append(struct.pack(order + "HH", option.code, length) + option.value + bytes(-length & 3))
    if not parts:
        return b""
    return b"".join(parts) + bytes(4)


def number(option: Option, layout: str, name: str, offset: int) -> int:
    """The integer in an option by a struct layout; raises CaptureError on another length."""
    if len(option.value) != struct.calcsize(layout):
        raise CaptureError(f"{name} is {len(option.value)} bytes, not {struct.calcsize(layout)}", offset)
    value: int = struct.unpack(layout, option.value)[0]
    return value


_PACKET_NUMBERS: Final = {
    EPB_FLAGS: ("flags", "I"),
    EPB_DROPCOUNT: ("dropcount", "Q"),
    EPB_PACKETID: ("packetid", "Q"),
    EPB_QUEUE: ("queue", "I"),
    EPB_PROCESSID_THREADID: ("processid_threadid", "Q"),
}


def parse_packet_options(area: bytes, order: str, offset: int) -> PacketOptions:
    """Read an Enhanced Packet Block's option area; raises CaptureError on a value of the wrong length."""
    numbers: dict[str, int] = {}
    comments: list[str] = []
    hashes: list[PacketHash] = []
    verdicts: list[Verdict] = []
    other: list[Option] = []
    for option in split(area, order, offset):
        if option.code in _PACKET_NUMBERS:
            name, layout = _PACKET_NUMBERS[option.code]
            if name in numbers:
                raise CaptureError(f"epb_{name} stands twice", offset)
            numbers[name] = number(option, order + layout, f"epb_{name}", offset)
        elif option.code == COMMENT:
            comments.append(text(option.value))
        elif option.code == EPB_HASH:
            _add_hash(option, order, offset, numbers, hashes)
        elif option.code == EPB_VERDICT:
            verdicts.append(_verdict(option, offset))
        else:
            other.append(option)
    return PacketOptions(
        **numbers,
        comments=tuple(comments),
        hashes=tuple(hashes),
        verdicts=tuple(verdicts),
        other=tuple(other),
    )


def _add_hash(
    option: Option, order: str, offset: int, numbers: dict[str, int], hashes: list[PacketHash]
) -> None:
    if not option.value:
        raise CaptureError("epb_hash is empty", offset)
    algorithm, value = option.value[0], option.value[1:]
    expected = HASH_BYTES.get(HashAlgorithm(algorithm)) if algorithm <= HashAlgorithm.TOEPLITZ else None
    if expected is not None and len(value) != expected:
        raise CaptureError(f"epb_hash of algorithm {algorithm} is {len(value)} bytes, not {expected}", offset)
    if algorithm == HashAlgorithm.TOEPLITZ and "toeplitz" not in numbers:
        numbers["toeplitz"] = struct.unpack(order + "I", value)[0]
    else:
        hashes.append(PacketHash(algorithm, value))


def _verdict(option: Option, offset: int) -> Verdict:
    if not option.value:
        raise CaptureError("epb_verdict is empty", offset)
    kind, value = option.value[0], option.value[1:]
    if kind in (VerdictKind.LINUX_EBPF_TC, VerdictKind.LINUX_EBPF_XDP) and len(value) != 8:
        raise CaptureError(f"epb_verdict of kind {kind} is {len(value)} bytes, not 8", offset)
    return Verdict(kind, value)


def build_packet_options(options: PacketOptions, order: str) -> bytes:
    """Write an Enhanced Packet Block's option area, by option code, always in the same order."""
    if options is NO_OPTIONS:
        return b""
    out = [text_option(COMMENT, comment) for comment in options.comments]
    if options.flags is not None:
        out.append(Option(EPB_FLAGS, struct.pack(order + "I", options.flags)))
    if options.toeplitz is not None:
        out.append(Option(EPB_HASH, struct.pack(order + "BI", HashAlgorithm.TOEPLITZ, options.toeplitz)))
    out += [Option(EPB_HASH, bytes((entry.algorithm,)) + entry.value) for entry in options.hashes]
    for code, name, layout in (
        (EPB_DROPCOUNT, "dropcount", "Q"),
        (EPB_PACKETID, "packetid", "Q"),
        (EPB_QUEUE, "queue", "I"),
    ):
        value = getattr(options, name)
        if value is not None:
            out.append(Option(code, struct.pack(order + layout, value)))
    out += [Option(EPB_VERDICT, bytes((entry.kind,)) + entry.value) for entry in options.verdicts]
    if options.processid_threadid is not None:
        out.append(Option(EPB_PROCESSID_THREADID, struct.pack(order + "Q", options.processid_threadid)))
    return join([*out, *options.other], order)


def parse_obsolete_options(area: bytes, order: str, offset: int, dropcount: int | None) -> PacketOptions:
    """Read the obsolete Packet Block's options and add the drop count that its header carries."""
    parsed = parse_packet_options(area, order, offset)
    return parsed if dropcount is None else replace(parsed, dropcount=dropcount)
