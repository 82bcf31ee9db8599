"""Block lists of the chimney as a host builds them: neighbour, path and connections, and what ends them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList, link
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.frames import ADDRESSES, PEER
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

Block = nd.NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
TYPE = nd.OFFLOAD_STATE_TYPE
STATE = nd.TCP_OFFLOAD_CONNECTION_STATE
OK = NDIS_STATUS.SUCCESS
PARTIAL = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
FAILURE = NDIS_STATUS.FAILURE
ABORTED = NDIS_STATUS.REQUEST_ABORTED
UPLOAD = NDIS_STATUS.UPLOAD_IN_PROGRESS
EVENT = nd.TCP_OFFLOAD_EVENT_TYPE
REASON = nd.TCP_UPLOAD_REASON


def tree(block: Any) -> Iterator[Any]:
    """Depth first."""
    while block is not None:
        yield block
        yield from tree(block.DependentBlockList)
        block = block.NextBlock


def bytes_of(nbl: NetBufferList) -> bytes:
    """The data of an NBL."""
    return b"".join(each.data() for each in nbl.net_buffers())


def chain_of(nbls: Sequence[NetBufferList]) -> NetBufferList:
    """NBLs, at least one, in order."""
    head = link(nbls)
    assert head is not None
    return head


def chain(blocks: Sequence[Block]) -> Block | None:
    """Siblings."""
    for block, following in itertools.pairwise(blocks):
        block.NextBlock = following
    return blocks[0] if blocks else None


def block_of(kind: TYPE, *dependents: Block, handle: Any = None, **members: Any) -> Block:
    """One block over others."""
    found = Block(kind, OffloadHandle=handle, **members)
    found.DependentBlockList = chain(dependents)
    return found


def neighbour(*dependents: Block, **const: Any) -> Block:
    """A new neighbour: the peer of these tests."""
    return block_of(
        TYPE.NEIGHBOR_ALL,
        *dependents,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.NEIGHBOR_OFFLOAD_STATE_CONST(**const),
        cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED(PEER, 0),
        delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(0),
    )


def path(*dependents: Block, version: int = 4, mtu: int = 1500) -> Block:
    """A new path from the card's host to the peer's."""
    peer, us = (packet.packed(address) for address in ADDRESSES[version])
    return block_of(
        TYPE.IP4_PATH_ALL if version == 4 else TYPE.IP6_PATH_ALL,
        *dependents,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.PATH_OFFLOAD_STATE_CONST(us, peer),
        cached=nd.PATH_OFFLOAD_STATE_CACHED(mtu),
        delegated=nd.PATH_OFFLOAD_STATE_DELEGATED(),
    )


def tcp(
    port: int = 40000, hash_value: int = 0, *, cached: dict[str, Any] | None = None, **delegated: Any
) -> Block:
    """A new connection at rest, from the peer's `port` to ours, 80."""
    state = {
        "State": STATE.ESTABLISHED, "RcvNxt": IRS, "RcvWnd": 65535, "SndUna": ISS, "SndNxt": ISS,
        "SndMax": ISS, "SndWnd": 65535, "MaxSndWnd": 65535, "SendWL1": IRS, "CWnd": 14600,
        "SsThresh": 0x7FFF_FFFF,
    }  # fmt: skip
    return block_of(
        TYPE.TCP_ALL,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.TCP_OFFLOAD_STATE_CONST(RemotePort=port, LocalPort=80, RemoteMss=1460, HashValue=hash_value),
        cached=nd.TCP_OFFLOAD_STATE_CACHED(**{"InitialRcvWnd": 65535, "TtlOrHopLimit": 64} | (cached or {})),
        delegated=nd.TCP_OFFLOAD_STATE_DELEGATED(**state | delegated),
    )


ENDS: dict[TYPE, tuple[TYPE, Any]] = {
    TYPE.TCP_ALL: (TYPE.TCP_DELEGATED, nd.TCP_OFFLOAD_STATE_DELEGATED),
    TYPE.IP4_PATH_ALL: (TYPE.IP4_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.IP6_PATH_ALL: (TYPE.IP6_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.NEIGHBOR_ALL: (TYPE.NEIGHBOR_DELEGATED, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED),
}


def context_of(block: Block) -> object:
    """What the miniport wrote into MiniportOffloadContext."""
    assert block.OffloadHandle is not None
    return block.OffloadHandle.MiniportOffloadContext.value


def ending_of(block: Block) -> Block:
    """A block that terminates what this one offloaded."""
    kind, state = ENDS[block.state_type]
    return block_of(kind, handle=block.OffloadHandle, delegated=state())
