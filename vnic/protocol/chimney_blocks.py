"""Offload block lists as this host builds them: neighbour, path, connection, and who leads there."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from vnic.ndis.chimney import (
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
    PATH_OFFLOAD_STATE_DELEGATED,
    Cached,
)
from vnic.protocol.chimney_objects import Neighbour, Owned, Path, Phase
from vnic.protocol.chimney_state import neighbour_states, path_states
from vnic.stack.offload import Route

Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
_Type = OFFLOAD_STATE_TYPE


def siblings(blocks: Sequence[Block]) -> Block | None:
    """Chain blocks by NextBlock; the first."""
    for block, following in itertools.pairwise(blocks):
        block.NextBlock = following
    return blocks[0] if blocks else None


def walk_blocks(block: Block | None) -> Iterator[Block]:
    """Every block of a tree of ours, depth first."""
    while block is not None:
        yield block
        yield from walk_blocks(block.DependentBlockList)
        block = block.NextBlock


def placeholder(dependents: Block | None) -> Block:
    """A node that stands for an object which the operation is not about."""
    return Block(DependentBlockList=dependents)


def linker(handle: Owned, dependents: Block | None = None) -> Block:
    """A node that names an offloaded object."""
    return Block(OffloadHandle=handle, DependentBlockList=dependents)


# -- initiate ------------------------------------------------------------------------------------------------


def neighbour_to_offload(
    neighbour: Neighbour, route: Route, ticks_per_second: int, below: Block | None
) -> Block:
    """A new neighbour, or a linker to one that is there."""
    if neighbour.phase is Phase.TARGET:
        return linker(neighbour.handle, below)
    const, cached, delegated = neighbour_states(route, ticks_per_second)
    return Block(
        _Type.NEIGHBOR_ALL, const, cached, delegated, OffloadHandle=neighbour.handle, DependentBlockList=below
    )


def path_to_offload(path: Path, below: Block | None) -> Block:
    """A new path, or a linker to one that is there."""
    if path.phase is Phase.TARGET:
        return linker(path.handle, below)
    const, cached = path_states(path.route)
    return Block(
        _Type.IP6_PATH_ALL if path.is_ipv6 else _Type.IP4_PATH_ALL,
        const,
        cached,
        PATH_OFFLOAD_STATE_DELEGATED(),
        OffloadHandle=path.handle,
        DependentBlockList=below,
    )


# -- update --------------------------------------------------------------------------------------------------


def neighbour_update(neighbour: Neighbour, cached: Cached) -> Block:
    """New CACHED values of a neighbour."""
    return Block(_Type.NEIGHBOR_CACHED, cached=cached, OffloadHandle=neighbour.handle)


def path_update(path: Path, cached: Cached) -> Block:
    """New CACHED values of a path."""
    kind = _Type.IP6_PATH_CACHED if path.is_ipv6 else _Type.IP4_PATH_CACHED
    return placeholder(Block(kind, cached=cached, OffloadHandle=path.handle))


def relink(neighbour: Neighbour, paths: Iterable[Path]) -> Block:
    """Paths that hang on another neighbour from now on."""
    return linker(neighbour.handle, siblings([linker(path.handle) for path in paths]))


# -- invalidate and terminate --------------------------------------------------------------------------------


def neighbour_invalidation(neighbour: Neighbour) -> Block:
    """A neighbour that is not to be used any more, nor what hangs on it."""
    return linker(neighbour.handle)


def path_termination(paths: Iterable[Path]) -> Block | None:
    """Paths that nobody needs."""
    blocks = [
        Block(
            _Type.IP6_PATH_DELEGATED if path.is_ipv6 else _Type.IP4_PATH_DELEGATED,
            delegated=PATH_OFFLOAD_STATE_DELEGATED(),
            OffloadHandle=path.handle,
        )
        for path in paths
    ]
    head = siblings(blocks)
    return placeholder(head) if head is not None else None


def neighbour_termination(neighbours: Iterable[Neighbour]) -> Block | None:
    """Neighbours that nobody needs."""
    return siblings(
        [
            Block(
                _Type.NEIGHBOR_DELEGATED,
                delegated=NEIGHBOR_OFFLOAD_STATE_DELEGATED(),
                OffloadHandle=neighbour.handle,
            )
            for neighbour in neighbours
        ]
    )
