"""MiniportUpdateOffload, -InvalidateOffload, -QueryOffload: a command for each object concerned."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmTcp
from vnic.gen.enums import ChmOp
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_images import (
    ImageError,
    pack_tcp,
    unpack_cached,
    unpack_const,
    unpack_delegated,
    unpack_neighbour,
    unpack_path,
)
from vnic.miniport.chimney_initiate import Block, siblings
from vnic.miniport.chimney_objects import ChimneyObject, Neighbour, Path
from vnic.miniport.chimney_rings import Command, Outcome
from vnic.miniport.chimney_status import operation_status
from vnic.ndis.chimney import (
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    OFFLOAD_STATE_TYPE,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_DELEGATED,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
    TcpCachedFlag,
)
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vnic.miniport.chimney import Chimney

_SUCCESS = NDIS_STATUS.SUCCESS
_FAILURE = NDIS_STATUS.FAILURE
_COMMANDS = TcpCachedFlag.KEEP_ALIVE_RESTART | TcpCachedFlag.MAX_RT_RESTART | TcpCachedFlag.UPDATE_RCV_WND


def known_object(block: Block) -> ChimneyObject | None:
    """The offloaded object that a block names."""
    context = block.MiniportOffloadContext
    known = context.value if context is not None else None
    return known if isinstance(known, ChimneyObject) else None


class Operation:
    """One call over a tree: every block gets SUCCESS or FAILURE; complete with the last one. [INV-8]"""

    def __init__(self, chimney: Chimney, root: Block, complete: Callable[[Block], None]) -> None:
        self._chimney = chimney
        self._root = root
        self._complete = complete
        self._left = 1

    def begin(self) -> None:
        """Submit a command for each object concerned; called with the lock held."""
        self._walk(self._root, None)
        self._end_one()

    def _walk(self, block: Block | None, parent: Block | None) -> None:
        for each in siblings(block):
            each.Status = _SUCCESS
            known = known_object(each)
            if self.is_concerned(each, known, parent):
                self._submit(each, known, parent)
            self._walk(each.DependentBlockList, each)

    def is_concerned(self, block: Block, known: ChimneyObject | None, parent: Block | None) -> bool:
        """Whether the object of a block is what the call is about."""
        raise NotImplementedError

    def command(self, block: Block, known: ChimneyObject, parent: Block | None) -> Command:
        """What the card is told; raises ImageError."""
        raise NotImplementedError

    def take(self, block: Block, known: ChimneyObject, outcome: Outcome) -> None:
        """The card has done it."""

    def _submit(self, block: Block, known: ChimneyObject | None, parent: Block | None) -> None:
        if known is None or known.is_lost:
            block.Status = _FAILURE
            return
        try:
            command = self.command(block, known, parent)
        except ImageError:
            block.Status = _FAILURE
            return

        def done(outcome: Outcome) -> None:
            block.Status = _FAILURE if outcome.is_lost else operation_status(outcome.status)
            if outcome.is_ok:
                self._take(block, known, outcome)
            elif isinstance(known, Neighbour):
                known.newest = known.cached
            self._end_one()

        command.done = done
        self._left += 1
        self._chimney.commands.submit(command)

    def _take(self, block: Block, known: ChimneyObject, outcome: Outcome) -> None:
        try:
            self.take(block, known, outcome)
        except ImageError:
            block.Status = _FAILURE

    def _end_one(self) -> None:
        self._left -= 1
        if not self._left:
            self._chimney.complete_later(lambda: self._complete(self._root))


def _nobody(_: Outcome) -> None:
    """Until the operation puts itself there."""


class Update(Operation):
    """CACHED values, and paths that move to another neighbour."""

    def is_concerned(self, block: Block, known: ChimneyObject | None, parent: Block | None) -> bool:
        """A block with CACHED state, or a path under a neighbour that it does not hang on."""
        if block.MiniportOffloadContext is None:
            return False
        return (
            block.state_type is not OFFLOAD_STATE_TYPE.NONE or self._new_neighbour(known, parent) is not None
        )

    def _new_neighbour(self, known: ChimneyObject | None, parent: Block | None) -> ChimneyObject | None:
        above = known_object(parent) if parent is not None else None
        if isinstance(known, Path) and isinstance(above, Neighbour) and known.parent is not above:
            return above
        return None

    def command(self, block: Block, known: ChimneyObject, parent: Block | None) -> Command:
        """UPDATE with the whole image, of which the card takes CACHED; raises ImageError."""
        above = self._new_neighbour(known, parent)
        if above is not None and above.is_lost:
            raise ImageError("the new neighbour is lost")
        return Command(
            ChmOp.UPDATE,
            known.kind.value,
            _nobody,
            handle=known.handle,
            parent=above.handle if above is not None else 0,
            image=_cached_image(block, known),
        )

    def take(self, block: Block, known: ChimneyObject, outcome: Outcome) -> None:
        """Remember what holds now."""
        cached = block.cached
        if isinstance(known, Neighbour) and isinstance(cached, NEIGHBOR_OFFLOAD_STATE_CACHED):
            known.cached = cached
        elif isinstance(known, Path):
            known.cached = cached if isinstance(cached, PATH_OFFLOAD_STATE_CACHED) else known.cached
            self._move(known)
        elif isinstance(known, Connection) and isinstance(cached, TCP_OFFLOAD_STATE_CACHED):
            known.cached = copy(cached)
            known.receiving.indication_size = cached.RcvIndicationSize

    def _move(self, path: Path) -> None:
        for above in siblings(self._root):
            for each in siblings(above.DependentBlockList):
                found = known_object(above)
                if known_object(each) is path and isinstance(found, Neighbour):
                    path.parent = found


def _cached_image(block: Block, known: ChimneyObject) -> bytes:
    cached = block.cached
    if isinstance(known, Neighbour) and isinstance(cached, NEIGHBOR_OFFLOAD_STATE_CACHED):
        image = known.image(cached)
        known.newest = cached
        return image
    if isinstance(known, Path):
        return known.image(cached if isinstance(cached, PATH_OFFLOAD_STATE_CACHED) else None)
    if isinstance(known, Connection) and isinstance(cached, TCP_OFFLOAD_STATE_CACHED):
        return pack_tcp(TCP_OFFLOAD_STATE_CONST(), cached, TCP_OFFLOAD_STATE_DELEGATED())
    raise ImageError("no CACHED state of the object's kind")


class Invalidate(Operation):
    """The leaves are what is invalidated; blocks above them only lead there."""

    def is_concerned(self, block: Block, known: ChimneyObject | None, parent: Block | None) -> bool:
        """A block without dependents that is no placeholder."""
        return block.DependentBlockList is None and block.MiniportOffloadContext is not None

    def command(self, block: Block, known: ChimneyObject, parent: Block | None) -> Command:
        """INVALIDATE."""
        return Command(ChmOp.INVALIDATE, known.kind.value, _nobody, handle=known.handle)


class Query(Operation):
    """State as it is now."""

    def is_concerned(self, block: Block, known: ChimneyObject | None, parent: Block | None) -> bool:
        """A block with a structure to fill."""
        return block.MiniportOffloadContext is not None and block.state_type is not OFFLOAD_STATE_TYPE.NONE

    def command(self, block: Block, known: ChimneyObject, parent: Block | None) -> Command:
        """QUERY."""
        return Command(ChmOp.QUERY, known.kind.value, _nobody, handle=known.handle)

    def take(self, block: Block, known: ChimneyObject, outcome: Outcome) -> None:
        """Fill the structures that the block has. The sends that wait here count as backlog too."""
        if isinstance(known, Neighbour):
            const, cached, delegated = unpack_neighbour(outcome.image)
            _require((const, cached) in ((known.const, known.cached), (known.const, known.newest)))
            _fill(block, const, cached, delegated)
        elif isinstance(known, Path):
            values = unpack_path(outcome.image)
            _require(values == (known.const, known.cached))
            _fill(block, *values, PATH_OFFLOAD_STATE_DELEGATED())
        else:
            assert isinstance(known, Connection)
            image = ChmTcp.unpack(outcome.image)
            state, stored = unpack_delegated(image), unpack_cached(image)
            _require(unpack_const(image) == known.const)
            _require(_without_commands(stored) == _without_commands(known.cached))
            state.SendBacklogSize = min(state.SendBacklogSize + known.sending.backlog, 0xFFFF_FFFE)
            _fill(block, copy(known.const), stored, state)


def _require(is_so: bool) -> None:
    """CONST and CACHED are the host's: a card that tells others is not believed. [INV-10]"""
    if not is_so:
        raise ImageError("the card tells other CONST or CACHED values than it was given")


def _without_commands(cached: TCP_OFFLOAD_STATE_CACHED) -> TCP_OFFLOAD_STATE_CACHED:
    return replace(cached, Flags=TcpCachedFlag(cached.Flags & ~_COMMANDS))


def _fill(block: Block, const: object, cached: object, delegated: object) -> None:
    """Only the structures that follow the block in memory."""
    for name, value in (("const", const), ("cached", cached), ("delegated", delegated)):
        if getattr(block, name) is not None:
            setattr(block, name, value)
