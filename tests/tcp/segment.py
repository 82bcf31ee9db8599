"""A TCP segment as a Python value: every field of struct tcp_segment, and its payload."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vnic._core import ffi, lib

if TYPE_CHECKING:
    from vnic._core import tcp_segment as Raw

MODULUS = 1 << 32
CONTROLS = {
    "SYN": lib.TCP_SYN,
    "FIN": lib.TCP_FIN,
    "RST": lib.TCP_RST,
    "PSH": lib.TCP_PSH,
    "ACK": lib.TCP_ACK,
    "URG": lib.TCP_URG,
    "ECE": lib.TCP_ECE,
    "CWR": lib.TCP_CWR,
}


def control_bits(names: str) -> int:
    """`"SYN,ACK"` as control bits; KeyError for a name that is none."""
    bits = 0
    for name in filter(None, names.split(",")):
        bits |= CONTROLS[name]
    return bits


def control_names(bits: int) -> str:
    """Control bits as `"SYN,ACK"`."""
    return ",".join(name for name, bit in CONTROLS.items() if bits & bit)


def signed(number: int) -> int:
    """A difference of sequence numbers as a distance of -2^31 to 2^31 - 1."""
    return (number + (1 << 31)) % MODULUS - (1 << 31)


def pattern(offset: int, length: int) -> bytes:
    """Bytes of a stream that tell where they belong: no two places within 64 KiB look alike."""
    start = offset % PATTERN_PERIOD
    whole = PATTERN[start:] + PATTERN * (length // PATTERN_PERIOD + 1)
    return whole[:length]


PATTERN_PERIOD = 251 * 257
PATTERN = bytes((i % 251 * 7 + i % 257 * 13 + i // 251) % 256 for i in range(PATTERN_PERIOD))


@dataclass(frozen=True, slots=True)
class Segment:
    """Numbers as in the header: absolute, unscaled; `options` are bits of enum tcp_option."""

    control: int
    seq: int
    ack: int
    wnd: int
    payload: bytes = b""
    urgent: int = 0
    ecn: int = 0
    options: int = 0
    wscale: int = 0
    mss: int = 0
    user_timeout: int = 0
    ts_val: int = 0
    ts_ecr: int = 0
    sack: tuple[tuple[int, int], ...] = ()
    refused: bool = False

    @classmethod
    def of(cls, raw: Raw, payload: bytes) -> Segment:
        """What the C structure says, with the bytes that belong to it."""
        sack = tuple((raw.sack[i].left, raw.sack[i].right) for i in range(raw.sacks))
        return cls(
            raw.control, raw.seq, raw.ack, raw.wnd, payload, raw.urgent, raw.ecn, raw.options, raw.wscale,
            raw.mss, raw.user_timeout, raw.ts_val, raw.ts_ecr, sack,
        )  # fmt: skip

    def fill(self, raw: Raw) -> Raw:
        """Copies every field into the C structure and returns it."""
        raw.seq, raw.ack, raw.len, raw.wnd = self.seq, self.ack, len(self.payload), self.wnd
        raw.urgent, raw.control, raw.ecn, raw.options = self.urgent, self.control, self.ecn, self.options
        raw.wscale, raw.mss, raw.user_timeout = self.wscale, self.mss, self.user_timeout
        raw.ts_val, raw.ts_ecr, raw.refused = self.ts_val, self.ts_ecr, self.refused
        raw.sacks = len(self.sack)
        for i, (left, right) in enumerate(self.sack):
            raw.sack[i].left, raw.sack[i].right = left, right
        return raw

    def raw(self) -> Raw:
        """A C structure of its own."""
        made: Raw = ffi.new("struct tcp_segment *")
        return self.fill(made)

    def packets(self) -> list[Segment]:
        """What a large send becomes on the wire: FIN and PSH on the last packet, CWR on the first."""
        size = self.mss if self.payload and not self.control & lib.TCP_SYN else 0
        if not size or len(self.payload) <= size:
            return [self]
        cuts = range(0, len(self.payload), size)
        return [self._packet(at, size, is_last=at + size >= len(self.payload)) for at in cuts]

    def _packet(self, at: int, size: int, is_last: bool) -> Segment:
        late = 0 if is_last else lib.TCP_FIN | lib.TCP_PSH
        control = self.control & ~(late | (lib.TCP_CWR if at else 0))
        seq = (self.seq + at) % MODULUS
        return replace(self, control=control, seq=seq, payload=self.payload[at : at + size])

    @property
    def end(self) -> int:
        """One beyond the last sequence number, SYN and FIN counted."""
        phantom = bool(self.control & lib.TCP_SYN) + bool(self.control & lib.TCP_FIN)
        return (self.seq + len(self.payload) + phantom) % MODULUS

    @property
    def is_pure_ack(self) -> bool:
        """Carries nothing but an acknowledgment."""
        return self.control & ~(lib.TCP_PSH | lib.TCP_ECE) == lib.TCP_ACK and not self.payload
