"""Neighbours that the card asks about: the question goes up, the answer comes down as an update. [INV-46]"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.gen.enums import ChmObject, ChmOp
from vnic.miniport.chimney_objects import Kind, Neighbour
from vnic.miniport.chimney_rings import Command, Outcome
from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
)
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney


class Reachability:
    """Of one chimney's neighbours."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney

    def on_query(self, handle: int, delta: int) -> None:
        """CHM_EVENT NEIGHBOUR_QUERY; delta: NicReachabilityDelta. Called with the lock held."""
        neighbour = self._chimney.find(Kind.NEIGHBOUR, handle)
        if isinstance(neighbour, Neighbour):
            neighbour.asked = delta
            self.pass_on(neighbour)

    def pass_on(self, neighbour: Neighbour) -> None:
        """Ask the host, once it knows the neighbour as offloaded. [INV-6]"""
        delta = neighbour.asked
        if neighbour.is_open and delta is not None:
            neighbour.asked = None
            self._chimney.complete_later(lambda: self._ask(neighbour, delta))

    def _ask(self, neighbour: Neighbour, delta: int) -> None:
        """NdisMOffloadEventIndicate: the host answers in the block."""
        if not self._chimney.has(neighbour):
            return
        cached = neighbour.cached
        block = NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
            OFFLOAD_STATE_TYPE.NEIGHBOR_ALL,
            neighbour.const,
            NEIGHBOR_OFFLOAD_STATE_CACHED(cached.DlDestinationAddress, cached.HostReachabilityDelta),
            NEIGHBOR_OFFLOAD_STATE_DELEGATED(delta),
            Status=NDIS_STATUS.SUCCESS,
            NdisOffloadHandle=neighbour.ndis_handle,
        )
        query = INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
        self._chimney.ndis.m_offload_event_indicate(block, query)
        answer = block.cached
        if isinstance(answer, NEIGHBOR_OFFLOAD_STATE_CACHED):
            with self._chimney.section():
                self._answer(neighbour, answer.HostReachabilityDelta)

    def _answer(self, neighbour: Neighbour, delta: int) -> None:
        """With the destination as last given: an update of it may be on its way."""
        if not self._chimney.has(neighbour):
            return
        newest = NEIGHBOR_OFFLOAD_STATE_CACHED(neighbour.newest.DlDestinationAddress, delta)
        neighbour.newest = neighbour.cached = newest
        image = neighbour.image(newest)
        command = Command(ChmOp.UPDATE, ChmObject.NEIGHBOUR, _nobody, handle=neighbour.handle, image=image)
        self._chimney.commands.submit(command)


def _nobody(_: Outcome) -> None:
    """Nobody waits for the answer's completion."""
