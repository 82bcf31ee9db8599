"""What the bytes of an Ethernet frame are, read one header after the other: the reference of the C parser."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_FRAME = 14 + 8 + 40 + 65535
MAX_EXTENSIONS = 8
TAGS = {0x8100, 0x88A8}
PROTO_TCP, PROTO_UDP = 6, 17
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY = 0, 43, 44, 51, 60, 135
EXTENSIONS = {HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY}
HOME_ADDRESS_OPTION = 0xC9


class L3(enum.IntEnum):
    """The network header found."""

    NONE = 0
    IPV4 = 1
    IPV6 = 2


class L4(enum.IntEnum):
    """The transport header found."""

    NONE = 0
    TCP = 1
    UDP = 2
    OTHER = 3


class Mark(enum.IntFlag):
    """What else is to be said of a frame; the bits of struct wire_frame."""

    NONE = 0
    VLAN = 1 << 0
    QINQ = 1 << 1
    FRAGMENT = 1 << 2
    FIRST_FRAGMENT = 1 << 3
    IP_OPTIONS = 1 << 4
    ROUTED = 1 << 5
    BAD_L2 = 1 << 8
    BAD_VERSION = 1 << 9
    BAD_IHL = 1 << 10
    BAD_TOTAL = 1 << 11
    CUT = 1 << 12
    BAD_L4 = 1 << 13
    UNSKIPPABLE = 1 << 14


class HashType(enum.IntFlag):
    """NDIS_HASH_* of ntddndis.h."""

    NONE = 0
    IPV4 = 0x100
    TCP_IPV4 = 0x200
    IPV6 = 0x400
    IPV6_EX = 0x800
    TCP_IPV6 = 0x1000
    TCP_IPV6_EX = 0x2000
    UDP_IPV4 = 0x4000
    UDP_IPV6 = 0x8000
    UDP_IPV6_EX = 0x10000


class _Stop(Exception):
    """Parsing went as far as the bytes allow; carries the reason."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(mark)
        self.mark = mark


@dataclass
class Frame:
    """The facts of one frame; offsets in bytes from its start, 0 where an address is not there."""

    data: bytes
    l2_len: int = 0
    ethertype: int = 0
    vlan_tci: int = 0
    inner_tci: int = 0
    l3: L3 = L3.NONE
    l4: L4 = L4.NONE
    proto: int = 0
    l4_offset: int = 0
    l4_len: int = 0
    header_end: int = 0
    home_address: int = 0
    routing_address: int = 0
    marks: Mark = Mark.NONE

    @classmethod
    def parse(cls, data: bytes) -> Frame:
        """Parses any bytes, the first MAX_FRAME of them at most."""
        frame = cls(data[:MAX_FRAME])
        try:
            frame._read_link()
            frame._end_headers(frame.l2_len, len(frame.data))
            if frame.ethertype == 0x0800:
                frame._read_ipv4()
            elif frame.ethertype == 0x86DD:
                frame._read_ipv6()
        except _Stop as stop:
            frame.marks |= stop.mark
            if stop.mark is Mark.BAD_L2:
                frame._end_headers(frame.l2_len, len(frame.data))
        return frame

    @property
    def source(self) -> IPv4Address | IPv6Address | None:
        """The source address of the IP header."""
        return self._address(12, 8)

    @property
    def destination(self) -> IPv4Address | IPv6Address | None:
        """The destination address of the IP header."""
        return self._address(16, 24)

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination port of a whole TCP or UDP header."""
        if self.l4 not in (L4.TCP, L4.UDP):
            return None
        return self._number(self.l4_offset, 2), self._number(self.l4_offset + 2, 2)

    @property
    def payload(self) -> bytes:
        """What follows the last header, up to the end of the IP datagram: no Ethernet padding."""
        return self.data[self.header_end : self.l4_offset + self.l4_len]

    def _address(self, ipv4_offset: int, ipv6_offset: int) -> IPv4Address | IPv6Address | None:
        if self.l3 is L3.IPV4:
            return ip_address(self._slice(self.l2_len + ipv4_offset, 4))
        if self.l3 is L3.IPV6:
            return ip_address(self._slice(self.l2_len + ipv6_offset, 16))
        return None

    def _slice(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def _number(self, offset: int, length: int) -> int:
        return int.from_bytes(self._slice(offset, length))

    def _end_headers(self, offset: int, end: int) -> None:
        self.l4_offset = self.header_end = offset
        self.l4_len = end - offset

    def _read_link(self) -> None:
        if len(self.data) < 14:
            self.l2_len = len(self.data)
            raise _Stop(Mark.BAD_L2)
        self.l2_len, self.ethertype = 14, self._number(12, 2)
        tcis: list[int] = []
        while self.ethertype in TAGS and len(tcis) < 2:
            tag = self._slice(self.l2_len, 4)
            if len(tag) < 4:
                raise _Stop(Mark.BAD_L2)
            tcis.append(int.from_bytes(tag[:2]))
            self.ethertype = int.from_bytes(tag[2:])
            self.l2_len += 4
            self.vlan_tci, self.inner_tci = (*tcis, 0)[:2]
            self.marks |= (Mark.VLAN, Mark.QINQ)[len(tcis) - 1]

    def _read_ipv4(self) -> None:
        header = self.data[self.l2_len :]
        if len(header) < 20:
            raise _Stop(Mark.BAD_IHL)
        version, words = divmod(header[0], 16)
        if version != 4:
            raise _Stop(Mark.BAD_VERSION)
        if not 20 <= 4 * words <= len(header):
            raise _Stop(Mark.BAD_IHL)
        total = int.from_bytes(header[2:4])
        if total < 4 * words:
            raise _Stop(Mark.BAD_TOTAL)
        self.l3, self.proto = L3.IPV4, header[9]
        if words > 5:
            self.marks |= Mark.IP_OPTIONS
        word = int.from_bytes(header[6:8])
        self._note_fragment(offset=word % 0x2000, more=bool(word & 0x2000))
        self._enter_datagram(4 * words, total)
        self._read_transport()

    def _enter_datagram(self, header_len: int, length: int) -> None:
        if length > len(self.data) - self.l2_len:
            self.marks |= Mark.CUT
        self._end_headers(self.l2_len + header_len, min(self.l2_len + length, len(self.data)))

    def _note_fragment(self, *, offset: int, more: bool) -> None:
        if offset or more:
            self.marks |= Mark.FRAGMENT
            if not offset:
                self.marks |= Mark.FIRST_FRAGMENT

    def _read_ipv6(self) -> None:
        header = self._slice(self.l2_len, 40)
        if len(header) < 40:
            raise _Stop(Mark.BAD_IHL)
        if header[0] // 16 != 6:
            raise _Stop(Mark.BAD_VERSION)
        self.l3, self.proto = L3.IPV6, header[6]
        self._enter_datagram(40, 40 + int.from_bytes(header[4:6]))
        seen = 0
        while self.proto in EXTENSIONS and Mark.FRAGMENT not in self.marks:
            seen += 1
            if seen > MAX_EXTENSIONS:
                raise _Stop(Mark.UNSKIPPABLE)
            self._skip_extension()
        self._read_transport()

    def _skip_extension(self) -> None:
        rest = self._slice(self.l4_offset, self.l4_len)
        if len(rest) < 8:
            raise _Stop(Mark.UNSKIPPABLE)
        length = {FRAGMENT: 8, AUTHENTICATION: 4 * (rest[1] + 2)}.get(self.proto, 8 * (rest[1] + 1))
        if length > len(rest):
            raise _Stop(Mark.UNSKIPPABLE)
        self.marks |= Mark.IP_OPTIONS
        header = rest[:length]
        if self.proto == DESTINATION:
            self._find_home_address(header)
        elif self.proto == ROUTING and header[3] > 0:
            if header[2] != 2:
                self.marks |= Mark.ROUTED
            elif header[1] == 2 and header[3] == 1 and not self.routing_address:
                self.routing_address = self.l4_offset + 8
        elif self.proto == FRAGMENT:
            self._note_fragment(offset=int.from_bytes(header[2:4]) >> 3, more=bool(header[3] & 1))
        self.proto = header[0]
        self._end_headers(self.l4_offset + length, self.l4_offset + self.l4_len)

    def _find_home_address(self, header: bytes) -> None:
        options = header[2:]
        while options and not self.home_address:
            kind, *rest = options
            if kind == 0:
                options = options[1:]
                continue
            if not rest or len(rest) - 1 < rest[0]:
                return
            if kind == HOME_ADDRESS_OPTION and rest[0] == 16:
                self.home_address = self.l4_offset + len(header) - len(options) + 2
            options = options[2 + rest[0] :]

    def _read_transport(self) -> None:
        if Mark.FRAGMENT in self.marks:
            return
        segment = self._slice(self.l4_offset, self.l4_len)
        if self.proto == PROTO_TCP:
            length = segment[12] // 16 * 4 if len(segment) >= 20 else 0
            self._take_transport(L4.TCP, length, length >= 20 and length <= len(segment))
        elif self.proto == PROTO_UDP:
            self._take_transport(L4.UDP, 8, len(segment) >= 8)
        else:
            self.l4 = L4.OTHER

    def _take_transport(self, kind: L4, length: int, whole: bool) -> None:
        if not whole:
            raise _Stop(Mark.BAD_L4)
        self.l4 = kind
        self.header_end += length


# Per IP version and transport: the plain type and its _EX form, the transport's own first.
_CANDIDATES: dict[tuple[L3, L4], tuple[tuple[HashType, HashType], ...]] = {
    (L3.IPV4, L4.TCP): ((HashType.TCP_IPV4, HashType.NONE), (HashType.IPV4, HashType.NONE)),
    (L3.IPV4, L4.UDP): ((HashType.UDP_IPV4, HashType.NONE), (HashType.IPV4, HashType.NONE)),
    (L3.IPV4, L4.OTHER): ((HashType.IPV4, HashType.NONE),),
    (L3.IPV6, L4.TCP): ((HashType.TCP_IPV6, HashType.TCP_IPV6_EX), (HashType.IPV6, HashType.IPV6_EX)),
    (L3.IPV6, L4.UDP): ((HashType.UDP_IPV6, HashType.UDP_IPV6_EX), (HashType.IPV6, HashType.IPV6_EX)),
    (L3.IPV6, L4.OTHER): ((HashType.IPV6, HashType.IPV6_EX),),
}
_WITH_PORTS = (
    HashType.TCP_IPV4
    | HashType.UDP_IPV4
    | HashType.TCP_IPV6
    | HashType.TCP_IPV6_EX
    | HashType.UDP_IPV6
    | HashType.UDP_IPV6_EX
)
_EX = HashType.IPV6_EX | HashType.TCP_IPV6_EX | HashType.UDP_IPV6_EX


def rss_input(frame: Frame, types: HashType | int) -> tuple[HashType, bytes]:
    """The hash type that applies under the enabled types and the bytes to hash; (NONE, b"") when none does.

    Where the frame carries addresses of mobility headers and both forms are enabled, _EX applies. Source:
    Microsoft, "RSS hashing types".
    """
    kind = L4.OTHER if frame.l4 is L4.NONE else frame.l4
    if frame.l3 is L3.NONE or Mark.UNSKIPPABLE in frame.marks:
        return HashType.NONE, b""
    has_mobile = bool(frame.home_address or frame.routing_address)
    for plain, ex in _CANDIDATES[frame.l3, kind]:
        for chosen in (ex, plain) if has_mobile else (plain, ex):
            if chosen & types:
                return chosen, _hashed_bytes(frame, chosen)
    return HashType.NONE, b""


def _hashed_bytes(frame: Frame, chosen: HashType) -> bytes:
    assert frame.source is not None
    assert frame.destination is not None
    source, destination = frame.source.packed, frame.destination.packed
    if chosen & _EX and frame.home_address:
        source = frame.data[frame.home_address :][:16]
    if chosen & _EX and frame.routing_address:
        destination = frame.data[frame.routing_address :][:16]
    ports = frame.data[frame.l4_offset :][:4] if chosen & _WITH_PORTS else b""
    return source + destination + ports
