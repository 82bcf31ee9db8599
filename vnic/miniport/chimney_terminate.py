"""MiniportTerminateOffload: objects end, dependents first, and what a connection held goes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmTcp
from vnic.gen.enums import ChmOp
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_images import ImageError, unpack_delegated, unpack_neighbour
from vnic.miniport.chimney_initiate import Block, siblings
from vnic.miniport.chimney_objects import ChimneyObject, Neighbour
from vnic.miniport.chimney_rings import LOST, Command, Outcome
from vnic.miniport.chimney_status import operation_status
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE, TCP_OFFLOAD_STATE_DELEGATED
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney

_SUCCESS = NDIS_STATUS.SUCCESS
_FAILURE = NDIS_STATUS.FAILURE
_ENDS = (
    OFFLOAD_STATE_TYPE.NEIGHBOR_DELEGATED,
    OFFLOAD_STATE_TYPE.IP4_PATH_DELEGATED,
    OFFLOAD_STATE_TYPE.IP6_PATH_DELEGATED,
    OFFLOAD_STATE_TYPE.TCP_DELEGATED,
)


def bottom_up(block: Block | None) -> Iterator[Block]:
    """Every block of a tree, dependents before what they depend on."""
    for each in siblings(block):
        yield from bottom_up(each.DependentBlockList)
        yield each


class Terminate:
    """One call; blocks with DELEGATED state are those that end, the others only lead there."""

    def __init__(self, chimney: Chimney, root: Block) -> None:
        self._chimney = chimney
        self._root = root
        self._left = 1

    def begin(self) -> None:
        """Submit all commands, which the card executes in order; called with the lock held."""
        self._chimney.terminates += 1
        for block in bottom_up(self._root):
            if block.state_type not in _ENDS:
                block.Status = _SUCCESS
                continue
            context = block.MiniportOffloadContext
            known = context.value if context is not None else None
            if not isinstance(known, ChimneyObject):
                block.Status = _FAILURE
                continue
            self._left += 1
            self._end(block, known)
        self.end_one()

    def _end(self, block: Block, known: ChimneyObject) -> None:
        if isinstance(known, Connection):
            known.is_stopped = True

        def done(outcome: Outcome) -> None:
            self._on_end(block, known, outcome)

        if known.is_lost:
            done(LOST)
            return
        command = Command(ChmOp.TERMINATE, known.kind.value, done, handle=known.handle)
        self._chimney.commands.submit(command)

    def _on_end(self, block: Block, known: ChimneyObject, outcome: Outcome) -> None:
        if isinstance(known, Connection):
            known.ending = Uploading(self, block, outcome)
            known.defer()
            return
        block.Status = operation_status(outcome.status)
        if outcome.is_ok and isinstance(known, Neighbour):
            block.delegated = unpack_neighbour(outcome.image)[2]
        self._chimney.delist(known)  # whatever the card says: the host knows of it no longer
        self.end_one()

    def end_one(self) -> None:
        """One object of the tree is over; with the last one the call is complete."""
        self._left -= 1
        if not self._left:
            self._chimney.complete_later(self._complete)

    def _complete(self) -> None:
        self._chimney.ndis.m_terminate_offload_complete(self._root)
        self._chimney.end_terminate()


class Uploading:
    """The last thing that a terminated connection does: requests end, data and state go back. [INV-37]"""

    def __init__(self, tree: Terminate, block: Block, outcome: Outcome) -> None:
        self._tree = tree
        self._block = block
        self._outcome = outcome
        self._is_wound_up = False

    def wind_up(self, connection: Connection) -> None:
        """Twice: first everything outstanding is completed, then, when that is told, the object is over."""
        if not self._is_wound_up:
            self._is_wound_up = True
            self._give_back(connection)
            if connection.calls:
                return
        connection.ending = None
        connection.is_open = False
        connection.chimney.delist(connection)
        self._tree.end_one()

    def _read_state(self, connection: Connection) -> TCP_OFFLOAD_STATE_DELEGATED | None:
        """None when the card did not say, or nonsense, or something else than it reported before."""
        outcome = self._outcome
        if not outcome.is_ok:
            return None
        try:
            state = unpack_delegated(ChmTcp.unpack(outcome.image))
        except ImageError:
            return None
        acked, placed = connection.outstanding(outcome.acked, outcome.placed)
        is_void = connection.is_aborted
        return state if is_void or connection.account.fits(state, acked, placed) else None

    def _give_back(self, connection: Connection) -> None:
        block, outcome = self._block, self._outcome
        state = self._read_state(connection)
        if state is None:
            block.Status = _FAILURE
            connection.end_requests(NDIS_STATUS.REQUEST_ABORTED)
            connection.receiving.drop()
            return
        block.Status = _SUCCESS
        connection.receiving.end_all(NDIS_STATUS.UPLOAD_IN_PROGRESS, outcome.placed)
        sending = connection.sending
        if sending.end is None and not connection.disconnects:
            head, tail = sending.chain_back(outcome.acked)
            block.NetBufferListChain = state.SendDataHead = head
            state.SendDataTail = tail
        connection.end_requests(NDIS_STATUS.UPLOAD_IN_PROGRESS, acked=outcome.acked)
        state.BufferedData = connection.receiving.give_out()
        block.delegated = state
