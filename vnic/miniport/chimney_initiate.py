"""MiniportInitiateOffload: a tree of block lists becomes commands, one node after the other, depth first."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from copy import copy
from typing import TYPE_CHECKING

from vnic.errors import AllocationError, CapacityError
from vnic.gen.enums import ChmObject, ChmOp
from vnic.miniport.chimney_adoption import Adoption, AdoptionError
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_images import ImageError, pack_neighbour, pack_path
from vnic.miniport.chimney_objects import ChimneyObject, Neighbour, Path
from vnic.miniport.chimney_rings import Command, Outcome
from vnic.miniport.chimney_status import initiate_status
from vnic.ndis.chimney import (
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_CONST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
)
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney

Block = NDIS_MINIPORT_OFFLOAD_BLOCK_LIST
Work = Generator[Command, Outcome, bool]

_SUCCESS = NDIS_STATUS.SUCCESS
_PARTIAL = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
_FAILURE = NDIS_STATUS.FAILURE


class NodeError(Exception):
    """A node cannot be offloaded; `status` is its block's."""

    def __init__(self, status: NDIS_STATUS) -> None:
        super().__init__(str(status))
        self.status = status


def siblings(block: Block | None) -> Iterator[Block]:
    """A block and those that follow it by NextBlock."""
    while block is not None:
        yield block
        block = block.NextBlock


def has_parent(root: Block) -> bool:
    """Whether a tree hangs on something offloaded, not to be terminated before the initiate ends. [INV-11]"""
    return any(
        (each.MiniportOffloadContext is not None and each.MiniportOffloadContext.value is not None)
        or (each.DependentBlockList is not None and has_parent(each.DependentBlockList))
        for each in siblings(root)
    )


class Initiate:
    """One call. Contexts are written when all is done, so that a card lost on the way leaves none. [INV-2]"""

    def __init__(self, chimney: Chimney, root: Block) -> None:
        self._chimney = chimney
        self._root = root
        self._made: list[tuple[Block, ChimneyObject]] = []
        self._is_lost = False
        self._work = self._all()

    def begin(self) -> None:
        """Submit the first command; called with the lock held."""
        self._chimney.initiates += 1
        self._go_on(None)

    def _go_on(self, outcome: Outcome | None) -> None:
        """The next command, until there is none."""
        if outcome is not None and outcome.is_lost:
            self._lose()
        try:
            command = self._work.send(outcome)  # type: ignore[arg-type]  # None starts a generator
            while not self._submit(command):
                command = self._work.throw(NodeError(NDIS_STATUS.RESOURCES))
        except StopIteration:
            self._chimney.complete_later(self._complete)

    def _lose(self) -> None:
        """The card was reset on the way: what it had made is as if it had never been. [INV-3]"""
        self._is_lost = True
        for _, each in self._made:
            self._chimney.delist(each)
            if isinstance(each, Connection):
                each.disown()
        self._made = []

    def _submit(self, command: Command) -> bool:
        command.done = self._go_on
        try:
            self._chimney.commands.submit(command)
        except (AllocationError, CapacityError):
            return False
        return True

    def _complete(self) -> None:
        """Everything has its status. Connections speak when the completion has returned. [INV-6]"""
        made = self._made
        if self._is_lost:
            fail_all(self._root)
        for block, each in made:
            assert block.MiniportOffloadContext is not None
            block.MiniportOffloadContext.value = each
        self._chimney.ndis.m_initiate_offload_complete(self._root)
        try:
            self._open(made)
        finally:
            self._chimney.end_initiate()
        if not made:
            self._chimney.check_quiet()

    def _open(self, made: list[tuple[Block, ChimneyObject]]) -> None:
        with self._chimney.section():
            for _, each in made:
                each.is_open = True
                if isinstance(each, Connection):
                    each.pump()
                    each.defer()
                elif isinstance(each, Neighbour):
                    self._chimney.reachability.pass_on(each)
            for _, each in made:
                if isinstance(each, Connection):
                    self._chimney.inbox.catch_up(each)

    # -- the walk ----------------------------------------------------------------------------------------

    def _all(self) -> Work:
        for block in siblings(self._root):
            yield from self._visit(block, None)
        return True

    def _visit(self, block: Block, parent: ChimneyObject | None) -> Work:
        """One node, then what depends on it; whether the node is offloaded."""
        if block.MiniportOffloadContext is None:
            yield from self._dependents(block, parent)
            block.Status = _SUCCESS
            return True
        known = block.MiniportOffloadContext.value
        if block.state_type is OFFLOAD_STATE_TYPE.NONE:
            return (yield from self._visit_linker(block, known))
        try:
            made = yield from self._create(block, parent)
        except NodeError as error:
            block.Status = error.status
            fail_all(block.DependentBlockList)
            return False
        all_are, _ = yield from self._dependents(block, made)
        block.Status = _SUCCESS if all_are else _PARTIAL
        return True

    def _visit_linker(self, block: Block, known: object) -> Work:
        if not isinstance(known, ChimneyObject) or known.is_lost:
            block.Status = _FAILURE
            fail_all(block.DependentBlockList)
            return False
        all_are, one_is = yield from self._dependents(block, known)
        block.Status = _SUCCESS if all_are else _PARTIAL if one_is else _FAILURE
        return block.Status != _FAILURE

    def _dependents(
        self, block: Block, parent: ChimneyObject | None
    ) -> Generator[Command, Outcome, tuple[bool, bool]]:
        """Whether all immediate dependents are offloaded, and whether one is."""
        done = []
        for each in siblings(block.DependentBlockList):
            done.append((yield from self._visit(each, parent)))
        return all(done), any(done)

    # -- nodes -------------------------------------------------------------------------------------------

    def _create(
        self, block: Block, parent: ChimneyObject | None
    ) -> Generator[Command, Outcome, ChimneyObject]:
        """A new object. Raises NodeError."""
        if self._is_lost:
            raise NodeError(_FAILURE)
        kind = block.state_type
        if kind is OFFLOAD_STATE_TYPE.NEIGHBOR_ALL:
            return (yield from self._create_neighbour(block))
        if kind in (OFFLOAD_STATE_TYPE.IP4_PATH_ALL, OFFLOAD_STATE_TYPE.IP6_PATH_ALL):
            return (yield from self._create_path(block, parent))
        if kind is OFFLOAD_STATE_TYPE.TCP_ALL:
            return (yield from self._create_connection(block, parent))
        raise NodeError(_FAILURE)

    def _create_neighbour(self, block: Block) -> Generator[Command, Outcome, ChimneyObject]:
        const, cached, delegated = block.const, block.cached, block.delegated
        if not (
            isinstance(const, NEIGHBOR_OFFLOAD_STATE_CONST)
            and isinstance(cached, NEIGHBOR_OFFLOAD_STATE_CACHED)
            and isinstance(delegated, NEIGHBOR_OFFLOAD_STATE_DELEGATED)
        ):
            raise NodeError(_FAILURE)
        self._check_vlan(const.VlanId)
        made = Neighbour(block.NdisOffloadHandle, const, cached)
        image = _image(lambda: pack_neighbour(const, cached, delegated))
        return (
            yield from self._made_by(
                block, made, Command(ChmOp.CREATE, ChmObject.NEIGHBOUR, _nobody, image=image)
            )
        )

    def _check_vlan(self, vlan_id: int) -> None:
        """A tag that is not the interface's own, where that has one. [G:determining-whether-to-fail]"""
        own = self._chimney.vlan_id
        if vlan_id and own and vlan_id != own:
            raise NodeError(NDIS_STATUS.OFFLOAD_VLAN_MISMATCH)

    def _create_path(
        self, block: Block, parent: ChimneyObject | None
    ) -> Generator[Command, Outcome, ChimneyObject]:
        const, cached = block.const, block.cached
        is_ipv6 = block.state_type is OFFLOAD_STATE_TYPE.IP6_PATH_ALL
        if not (
            isinstance(const, PATH_OFFLOAD_STATE_CONST)
            and isinstance(cached, PATH_OFFLOAD_STATE_CACHED)
            and isinstance(parent, Neighbour)
        ):
            raise NodeError(_FAILURE)
        image = _image(lambda: pack_path(const, cached, is_ipv6))
        made = Path(block.NdisOffloadHandle, parent, const, cached)
        command = Command(ChmOp.CREATE, ChmObject.PATH, _nobody, parent=parent.handle, image=image)
        return (yield from self._made_by(block, made, command))

    def _create_connection(
        self, block: Block, parent: ChimneyObject | None
    ) -> Generator[Command, Outcome, ChimneyObject]:
        const, cached, delegated = block.const, block.cached, block.delegated
        if not (
            isinstance(const, TCP_OFFLOAD_STATE_CONST)
            and isinstance(cached, TCP_OFFLOAD_STATE_CACHED)
            and isinstance(delegated, TCP_OFFLOAD_STATE_DELEGATED)
            and isinstance(parent, Path)
        ):
            raise NodeError(_FAILURE)
        if not self._chimney.may_offload(parent.is_ipv6):
            raise NodeError(NDIS_STATUS.OFFLOAD_CONNECTION_REJECTED)
        chimney = self._chimney
        made = Connection(chimney, block.NdisOffloadHandle, parent, copy(const), copy(cached))
        made.receiving.indication_size = cached.RcvIndicationSize
        made.account.open(delegated)
        adoption = Adoption(chimney, made)
        try:
            command = adoption.command(const, cached, delegated, block.NetBufferListChain)
            yield from self._made_by(block, made, command)
        except AdoptionError as error:
            adoption.undo()
            raise NodeError(error.status) from None
        except NodeError:
            adoption.undo()
            raise
        adoption.settle()
        return made

    def _made_by(
        self, block: Block, made: ChimneyObject, command: Command
    ) -> Generator[Command, Outcome, ChimneyObject]:
        outcome = yield command
        if not outcome.is_ok:
            raise NodeError(_FAILURE if outcome.is_lost else initiate_status(command.object, outcome.status))
        made.handle = outcome.handle
        self._chimney.enlist(made)
        self._made.append((block, made))
        return made


def _nobody(_: Outcome) -> None:
    """Until the walk puts itself there."""


def _image(pack: Callable[[], bytes]) -> bytes:
    try:
        return pack()
    except ImageError:
        raise NodeError(_FAILURE) from None


def fail_all(block: Block | None) -> None:
    """What hangs on a node that failed is not attempted; placeholders have SUCCESS all the same."""
    for each in siblings(block):
        each.Status = _SUCCESS if each.MiniportOffloadContext is None else _FAILURE
        fail_all(each.DependentBlockList)
