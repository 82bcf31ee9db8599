"""Images of neighbours, paths and connections, as a driver of the card writes them into its memory."""

from __future__ import annotations

from typing import Any

from vnic.gen.descriptors import ChmNeighbour, ChmPath, ChmTcp
from vnic.gen.enums import ChmObject
from vnic.testbench.frames import ADDRESSES, PEER
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

Image = ChmNeighbour | ChmPath | ChmTcp

NOT_RUNNING = 0xFFFF_FFFF
ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK = 4, 5, 6, 7, 8, 9
#: Flags of a connection's CONST and CACHED parts.
TIMESTAMPS, SACK, SCALING = 1, 2, 4
NAGLING = 2
IMAGES: dict[ChmObject, type[Any]] = {
    ChmObject.NEIGHBOUR: ChmNeighbour,
    ChmObject.PATH: ChmPath,
    ChmObject.TCP: ChmTcp,
}


def number_of(address: bytes) -> int:
    """An address as images hold it: octet 0 in the lowest bits."""
    return int.from_bytes(address, "little")


def neighbour_image(**fields: int) -> ChmNeighbour:
    """The peer, untagged, confirmed just now."""
    return ChmNeighbour(**{"destination_address": number_of(PEER)} | fields)


def path_image(version: int = 4, **fields: int) -> ChmPath:
    """From the card's host to the peer's, 1500 bytes."""
    peer, us = (packet.packed(address).ljust(16, b"\0") for address in ADDRESSES[version])
    return ChmPath(
        **{
            "source_lo": number_of(us[:8]),
            "source_hi": number_of(us[8:]),
            "destination_lo": number_of(peer[:8]),
            "destination_hi": number_of(peer[8:]),
            "path_mtu": 1500,
            "ipv6": int(version == 6),
        }
        | fields
    )


def tcp_image(**fields: int) -> ChmTcp:
    """An established connection at rest: ISS is our next number, IRS the peer's; no options, no timers."""
    return ChmTcp(
        **{
            "remote_port": 40000,
            "local_port": 80,
            "remote_mss": 1460,
            "ttl_or_hop_limit": 64,
            "initial_rcv_wnd": 65535,
            "state": ESTABLISHED,
            "rcv_nxt": IRS,
            "rcv_wnd": 65535,
            "snd_una": ISS,
            "snd_nxt": ISS,
            "snd_max": ISS,
            "snd_wnd": 65535,
            "max_snd_wnd": 65535,
            "send_wl1": IRS,
            "cwnd": 14600,
            "ss_thresh": 0x7FFF_FFFF,
            "keep_alive_timeout_delta": NOT_RUNNING,
            "retransmit_timeout_delta": NOT_RUNNING,
        }
        | fields
    )


def kind_of(image: Image) -> ChmObject:
    """The kind of object whose image this is."""
    return next(kind for kind, cls in IMAGES.items() if isinstance(image, cls))
