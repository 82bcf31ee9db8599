"""Is an address in use? Probes on a link before it is taken, by ARP (RFC 5227) or ND (RFC 4862 5.4)."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from vnic.link.tap import Tap
from vnic.stack.address import Address
from vnic.wire import packet

_PROBES = 3
_WAIT_S = 0.1
_BROADCAST = b"\xff" * 6
_ARP_BYTES = 42
_ND_BYTES = 14 + 40 + 24
_SOLICITATION, _ADVERTISEMENT = 135, 136


def probe_of(address: Address, mac: bytes) -> bytes:
    """A frame that asks who has an address, sent by somebody who has none yet."""
    if isinstance(address, IPv4Address):
        question = packet.arp("0.0.0.0", address, operation=1, source_mac=mac, target_mac=bytes(6))
        return packet.ethernet(
            question, ethertype=packet.ETHERTYPE_ARP, source=mac, destination=_BROADCAST, min_len=60
        )
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + address.packed[13:])
    message = packet.icmpv6("::", group, _SOLICITATION, 0, bytes(4) + address.packed)
    datagram = packet.ipv6("::", group, packet.ICMPV6, message, hop_limit=255)
    return packet.ethernet(datagram, source=mac, destination=b"\x33\x33" + group.packed[12:])


def claimant(frame: bytes, address: Address, mac: bytes) -> bytes | None:
    """The MAC address of another host that has the address, or is about to take it, by this frame."""
    sender = frame[6:12]
    if sender == mac:
        return None
    if isinstance(address, IPv4Address):
        return sender if _is_arp_claim(frame, address.packed) else None
    return sender if _is_nd_claim(frame, address.packed) else None


def _is_arp_claim(frame: bytes, address: bytes) -> bool:
    if len(frame) < _ARP_BYTES or frame[12:20] != bytes.fromhex("0806000108000604"):
        return False
    is_probe = frame[28:32] == bytes(4) and frame[20:22] == b"\0\1"
    return frame[28:32] == address or (is_probe and frame[38:42] == address)


def _is_nd_claim(frame: bytes, address: bytes) -> bool:
    is_nd = len(frame) >= _ND_BYTES and frame[12:14] == b"\x86\xdd" and frame[20] == packet.ICMPV6
    if not is_nd or frame[21] != 255 or frame[62:78] != address:
        return False
    is_probe = frame[54] == _SOLICITATION and frame[22:38] == bytes(16)
    return frame[54] == _ADVERTISEMENT or is_probe


def find_conflict(tap: Tap, addresses: Iterable[Address], mac: bytes) -> tuple[Address, bytes] | None:
    """An address that somebody on the link has, and who; takes a third of a second when nobody has one."""
    wanted = list(addresses)
    for _ in range(_PROBES):
        for address in wanted:
            tap.write(probe_of(address, mac))
        end = time.monotonic() + _WAIT_S
        while (left := end - time.monotonic()) > 0:
            select.select([tap], [], [], left)
            while (frame := tap.read()) is not None:
                for address in wanted:
                    who = claimant(frame, address, mac)
                    if who is not None:
                        return address, who
    return None
