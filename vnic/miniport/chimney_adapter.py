"""The chimney as its adapter deals with it: opening, its share of DPCs and events, waiting power."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.errors import AllocationError, CapacityError
from vnic.miniport import oids
from vnic.miniport.card import Card
from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_provider import Provider
from vnic.miniport.queue import Harvest, QueuePair
from vnic.miniport.receive import RingFault
from vnic.ndis.miniport import MiniportHandle
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatusIndication

if TYPE_CHECKING:
    from vnic.miniport.adapter import Adapter


class AdapterChimney:
    """Does nothing while the card has no chimney. `provider` is what MiniportSetOptions registers."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._waiting: OidRequest | None = None
        self.provider = Provider(adapter.check_pause)

    @property
    def _chimney(self) -> Chimney | None:
        return self._adapter.card.chimney

    def open(self, card: Card, handle: MiniportHandle) -> None:
        """In MiniportInitializeEx; without memory for its rings and pools the adapter does without."""
        if card.chimney_settings is None:
            return
        try:
            mood = card.open_chimney(handle, handle.m_get_offload_handlers(), self._indicate)
        except (AllocationError, CapacityError):
            card.chimney_settings = None
            return
        mood.chimney.on_quiet = self._on_quiet
        self.provider.mood = mood

    def _indicate(self, status: NDIS_STATUS) -> None:
        handle = self._adapter.handle
        handle.m_indicate_status_ex(StatusIndication(status, b"", handle))

    # -- DPCs and events -----------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of entries that are taken now."""
        return self._chimney.epoch if self._chimney is not None else 0

    def serve(self, queue: QueuePair, harvest: Harvest, epoch: int) -> None:
        """What connections had to report; an entry that makes no sense is a fault of the ring."""
        if self._chimney is None:
            return
        try:
            self._chimney.serve(queue.index, harvest.chimney, epoch)
        except RingFault as fault:
            harvest.fault = fault

    def start(self) -> None:
        """It has ended with a ring that stopped; a card that refuses to begin anew is reset."""
        try:
            if self._chimney is not None:
                self._chimney.start()
        except RingFault:
            self._adapter.handle.m_reset_miniport()

    def look(self) -> None:
        """GLB_EVENT.CHIMNEY."""
        if self._adapter.card.mood is not None:
            self._adapter.card.mood.look()

    def poke(self) -> None:
        """At each hang check; that offloading may go on can have been told by an interrupt that was lost."""
        if self._chimney is not None:
            self._chimney.poke()
        mood = self._adapter.card.mood
        if mood is not None and mood.is_holding_up:
            mood.check()

    @property
    def is_stuck(self) -> bool:
        """At each hang check: whether the card does not end its commands."""
        return self._chimney is not None and self._chimney.is_stuck()

    def tell_all(self) -> None:
        """The card was reset: what was offloaded hears of it before the reset is complete."""
        if self._chimney is not None:
            self._chimney.run_all()
        self.resume()

    def resume(self) -> None:
        """A chimney that started anew takes offloads, whatever was said before."""
        mood = self._adapter.card.mood
        if mood is not None and mood.chimney.is_started:
            mood.resume()

    def give_up(self) -> None:
        """The card is gone for good."""
        if self._adapter.card.mood is not None:
            self._adapter.card.mood.refuse_waiting()

    # -- power -----------------------------------------------------------------------------------------------

    def holds(self, request: OidRequest) -> bool:
        """Whether a request has to wait: OID_PNP_SET_POWER ends only when every terminate has. [INV-37]"""
        is_power = request.oid == OID.PNP_SET_POWER and not request.is_query
        if not is_power or self._chimney is None or not self._chimney.terminates:
            return False
        self._waiting = request
        return True

    def _on_quiet(self) -> None:
        """No terminate is under way any more."""
        if self._adapter.card.mood is not None:
            self._adapter.card.mood.on_empty()
        request, self._waiting = self._waiting, None
        if request is not None:
            self._adapter.handle.m_oid_request_complete(request, oids.answer(self._adapter, request))
