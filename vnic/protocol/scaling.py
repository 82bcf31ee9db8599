"""Receive-side scaling as the host asks for it: over which processors, by which key."""

from __future__ import annotations

from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, set_
from vnic.ndis.rss import (
    HASH_FUNCTION_TOEPLITZ,
    HashType,
    ReceiveScaleCapabilities,
    ReceiveScaleParameters,
    RssCapability,
    RssFlag,
)
from vnic.protocol.switches import Switches

_ENTRIES = 128


def _types(capabilities: ReceiveScaleCapabilities) -> HashType:
    types = HashType.IPV4 | HashType.TCP_IPV4
    if capabilities.flags & RssCapability.HASH_TYPE_TCP_IPV6:
        types |= HashType.IPV6 | HashType.TCP_IPV6
    return types


def scaling_request(
    capabilities: ReceiveScaleCapabilities | None, switches: Switches, processors: int, key: bytes
) -> OidRequest | None:
    """OID_GEN_RECEIVE_SCALE_PARAMETERS; None where there is one queue only, or none is wanted."""
    if capabilities is None or capabilities.receive_queues < 2:
        return None
    cpus = switches.rss_cpus(processors, capabilities.receive_queues)
    if not cpus:
        return None
    entries = min(capabilities.table_entries, _ENTRIES)
    wanted = ReceiveScaleParameters(
        hash_information=int(_types(capabilities)) | HASH_FUNCTION_TOEPLITZ,
        table=tuple(cpus[entry % len(cpus)] for entry in range(entries)),
        key=key,
    )
    return set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, wanted.pack())


def scaling_off() -> OidRequest:
    """DISABLE_RSS: as after initialisation."""
    off = ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS)
    return set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, off.pack())
