"""What a protocol may put into the buffer of an OID request: right, nearly right, and anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from vnic.ndis.offload import OffloadEncapsulation, OffloadParameters, Switch, Toggle
from vnic.ndis.oid import OID
from vnic.ndis.rss import (
    HashType,
    ReceiveHashFlag,
    ReceiveHashParameters,
    ReceiveScaleParameters,
    RssFlag,
)
from vnic.ndis.structures import InterruptModeration, InterruptModerationState

__all__ = ["QUERIES", "SETS", "payload"]

_TYPES = HashType.IPV4 | HashType.TCP_IPV4 | HashType.IPV6 | HashType.TCP_IPV6
_TOGGLES = tuple(f"{name}_checksum" for name in ("ipv4", "tcp_ipv4", "udp_ipv4", "tcp_ipv6", "udp_ipv6"))
_SWITCHES = ("lso_v1", "lso_v2_ipv4", "lso_v2_ipv6")
_CONNECTION = (Switch.NO_CHANGE, Switch.DISABLED)


def _ulong(rng: random.Random) -> bytes:
    return rng.choice((0, 1, 0x0B, 0x20, 0x2F, rng.getrandbits(16), rng.getrandbits(32))).to_bytes(
        4, "little"
    )


def _addresses(rng: random.Random) -> bytes:
    return b"".join(bytes([rng.choice((1, 1, 3, 2)), *rng.randbytes(5)]) for _ in range(rng.randrange(40)))


def _scaling(rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 8, 128))
    return ReceiveScaleParameters(
        hash_information=rng.choice((int(_TYPES) | 1, int(HashType.TCP_IPV4) | 1, 0)),
        table=tuple(rng.randrange(3) for _ in range(size)),
        key=rng.randbytes(40),
        flags=RssFlag(rng.choice((0, 0, 0, 1, 2, 4, 8, 16))),
    ).pack()


def _receive_hash(rng: random.Random) -> bytes:
    return ReceiveHashParameters(
        ReceiveHashFlag(rng.choice((0, 1, 2))), int(_TYPES) | 1, rng.randbytes(40)
    ).pack()


def _offload(rng: random.Random) -> bytes:
    toggles = {name: rng.choice(list(Toggle)) for name in _TOGGLES}
    switches = {name: rng.choice(list(Switch)) for name in _SWITCHES}
    connection = {f"tcp_connection_ipv{version}": rng.choice(_CONNECTION) for version in (4, 6)}
    return OffloadParameters(**toggles, **switches, **connection).pack()  # type: ignore[arg-type]


def _encapsulation(rng: random.Random) -> bytes:
    return OffloadEncapsulation(rng.randrange(3), 1, 14, rng.randrange(3), 1, 14).pack()


def _moderation(rng: random.Random) -> bytes:
    return InterruptModeration(rng.choice(list(InterruptModerationState))).pack()


_MAKERS: Mapping[OID, Callable[[random.Random], bytes]] = {
    OID.GEN_CURRENT_PACKET_FILTER: _ulong,
    OID.GEN_CURRENT_LOOKAHEAD: _ulong,
    OID.GEN_VLAN_ID: _ulong,
    OID.GEN_INTERRUPT_MODERATION: _moderation,
    OID.O802_3_MULTICAST_LIST: _addresses,
    OID.O802_3_ADD_MULTICAST_ADDRESS: _addresses,
    OID.O802_3_DELETE_MULTICAST_ADDRESS: _addresses,
    OID.GEN_RECEIVE_SCALE_PARAMETERS: _scaling,
    OID.GEN_RECEIVE_HASH: _receive_hash,
    OID.TCP_OFFLOAD_PARAMETERS: _offload,
    OID.OFFLOAD_ENCAPSULATION: _encapsulation,
    OID.GEN_LINK_PARAMETERS: lambda rng: rng.randbytes(rng.randrange(64)),
    OID.GEN_NETWORK_LAYER_ADDRESSES: lambda rng: rng.randbytes(rng.randrange(64)),
    OID.PNP_ENABLE_WAKE_UP: _ulong,
}
#: By number, for scripts: who adds, adds at the end.
SETS: Final = tuple(_MAKERS)
#: Those of power move the machine, those of the chimney's statistics need one.
QUERIES: Final = tuple(oid for oid in OID if oid not in (OID.PNP_SET_POWER, OID.PNP_QUERY_POWER))


def payload(oid: OID, damage: int, seed: int) -> bytes:
    """For a set; damage 0: as it should be, 1: bytes changed, 2: cut short or lengthened, 3: anything."""
    rng = random.Random(seed)
    if damage >= 3:
        return rng.randbytes(rng.choice((0, 1, 3, 4, 20, 28, 40, 200)))
    data = bytearray(_MAKERS[oid](rng))
    if damage == 2:
        return bytes(data[: rng.randrange(len(data) + 1)]) + rng.randbytes(rng.choice((0, 0, 4)))
    for _ in range(damage and rng.randint(1, 3)):
        if data:
            data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(data)
