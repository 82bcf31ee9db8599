"""The block of a reachability query, as a right target makes it."""

from __future__ import annotations

from vnic.ndis import chimney as nd
from vnic.ndis.chimney import NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, OFFLOAD_STATE_TYPE
from vnic.ndis.status import NDIS_STATUS


def question(handle: object) -> NDIS_MINIPORT_OFFLOAD_BLOCK_LIST:
    """About the neighbor with this NdisOffloadHandle."""
    return NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
        OFFLOAD_STATE_TYPE.NEIGHBOR_ALL,
        nd.NEIGHBOR_OFFLOAD_STATE_CONST(),
        nd.NEIGHBOR_OFFLOAD_STATE_CACHED(),
        nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(40_000),
        Status=NDIS_STATUS.SUCCESS,
        NdisOffloadHandle=handle,
    )
