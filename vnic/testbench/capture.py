"""NBLs and OID requests in flight: held, looked at, and passed on in another order or with another status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.ndis.miniport import ReturnFlag, SendFlag
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.oid_request import OidRequest, RequestType
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.filter import Filter, FilterHandle, Taker
from vnic.testbench.held import Catch, Held, HeldList, HeldRequest, Pattern, Place, Selection

_BEFORE_DRIVER = (Place.SEND, Place.REQUEST)


class Capture(Taker):
    """The holds of a Filter; each is a context manager that passes on, at its end, all that it still holds.

    NDIS's rules hold for what the protocol and the driver see: a driver whose NBLs are held is still bound
    by them, and is told of a breach as its own. What a driver lends with RESOURCES cannot be held, nor what
    passes by the chimney's own entry points. Before a pause, a reset or a halt is complete everything that
    is held behind the driver goes on; sends and requests that it has not seen are aborted by a reset.
    """

    def __init__(self, filter: Filter) -> None:
        self.filter = filter
        filter.taker = self
        self._catches: list[Catch[Any]] = []

    # -- holding ---------------------------------------------------------------------------------------------

    def sends(
        self,
        pattern: bytes = b"",
        mask: bytes | None = None,
        *,
        offset: int = 0,
        where: Callable[[bytes], bool] | None = None,
    ) -> Catch[HeldList]:
        """Hold sends before the driver has them."""
        return self._add(Catch(Place.SEND, Pattern(pattern, mask, offset, where), self._remove))

    def completions(
        self,
        pattern: bytes = b"",
        mask: bytes | None = None,
        *,
        offset: int = 0,
        where: Callable[[bytes], bool] | None = None,
    ) -> Catch[HeldList]:
        """Hold sends that the driver has completed."""
        return self._add(Catch(Place.COMPLETION, Pattern(pattern, mask, offset, where), self._remove))

    def indications(
        self,
        pattern: bytes = b"",
        mask: bytes | None = None,
        *,
        offset: int = 0,
        where: Callable[[bytes], bool] | None = None,
    ) -> Catch[HeldList]:
        """Hold what the driver indicates before a protocol has it."""
        return self._add(Catch(Place.INDICATION, Pattern(pattern, mask, offset, where), self._remove))

    def returns(
        self,
        pattern: bytes = b"",
        mask: bytes | None = None,
        *,
        offset: int = 0,
        where: Callable[[bytes], bool] | None = None,
    ) -> Catch[HeldList]:
        """Hold what protocols return before the driver has it back."""
        return self._add(Catch(Place.RETURN, Pattern(pattern, mask, offset, where), self._remove))

    def requests(
        self, oid: int | None = None, type: RequestType | None = None, port: int | None = None
    ) -> Catch[HeldRequest]:
        """Hold OID requests before the driver has them; pass_on() is "do your normal thing"."""
        return self._add(Catch(Place.REQUEST, Selection(oid, type, port), self._remove))

    def answers(
        self, oid: int | None = None, type: RequestType | None = None, port: int | None = None
    ) -> Catch[HeldRequest]:
        """Hold OID requests that the driver has completed."""
        return self._add(Catch(Place.ANSWER, Selection(oid, type, port), self._remove))

    def give_back(self) -> None:
        """End every hold."""
        for each in list(self._catches):
            each.close()

    def holding(self) -> list[str]:
        """What is held, for a report."""
        return [f"the test holds {held}" for each in self._catches for held in each]

    def _add(self, catch: Catch[Any]) -> Catch[Any]:
        self._catches.append(catch)
        return catch

    def _remove(self, catch: object) -> None:
        self._catches = [each for each in self._catches if each is not catch]

    def _held(self, *places: Place) -> list[Held[Any]]:
        return [held for each in self._catches if each.place in places for held in each]

    # -- NBLs ------------------------------------------------------------------------------------------------

    @property
    def _handle(self) -> FilterHandle:
        return self.filter.handle

    def _keep_lists(
        self, chain: NetBufferList | None, place: Place, make: Callable[[NetBufferList], HeldList]
    ) -> NetBufferList | None:
        """Hold those of a chain that a hold wants; the others, linked again."""
        catches = [each for each in self._catches if each.place is place]
        if not catches:
            return chain
        rest = []
        for nbl in list(walk(chain)):
            catch = next((each for each in catches if each.wants(nbl)), None)
            if catch is None:
                rest.append(nbl)
                continue
            nbl.next = None
            catch.keep(make(nbl))
        return link(rest)

    def on_sends(self, chain: NetBufferList) -> NetBufferList | None:
        """Some wait."""
        return self._keep_lists(
            chain, Place.SEND, lambda nbl: self._list(nbl, Place.SEND, self._send, self._complete)
        )

    def on_completions(self, chain: NetBufferList | None) -> NetBufferList | None:
        """Some wait."""
        return self._keep_lists(
            chain,
            Place.COMPLETION,
            lambda nbl: self._list(nbl, Place.COMPLETION, self._complete, self._complete),
        )

    def on_indications(self, chain: NetBufferList | None, port: int) -> NetBufferList | None:
        """Some wait."""

        def indicate(nbl: NetBufferList) -> None:
            flags = self._dispatch_flag
            self._handle.pass_up(nbl, port, 1, flags)

        return self._keep_lists(
            chain, Place.INDICATION, lambda nbl: self._list(nbl, Place.INDICATION, indicate, self._return)
        )

    def on_returns(self, chain: NetBufferList) -> NetBufferList | None:
        """Some wait."""
        return self._keep_lists(
            chain, Place.RETURN, lambda nbl: self._list(nbl, Place.RETURN, self._return, self._return)
        )

    def _list(
        self,
        nbl: NetBufferList,
        place: Place,
        go_on: Callable[[NetBufferList], None],
        complete: Callable[[NetBufferList], None],
    ) -> HeldList:
        return HeldList(nbl, place, self._handle.now_ns(), go_on, complete)

    @property
    def _dispatch_flag(self) -> int:
        return self.filter.dispatch_flag

    def _send(self, nbl: NetBufferList) -> None:
        with self.filter.entering("MiniportSendNetBufferLists", "1 NBL that was held"):
            self.filter.below.send_net_buffer_lists(nbl, 0, SendFlag(self._dispatch_flag))

    def _complete(self, nbl: NetBufferList) -> None:
        self._handle.above.m_send_net_buffer_lists_complete(nbl, self._dispatch_flag)

    def _return(self, nbl: NetBufferList) -> None:
        with self.filter.entering("MiniportReturnNetBufferLists", "1 NBL that was held"):
            self.filter.below.return_net_buffer_lists(nbl, ReturnFlag(self._dispatch_flag))

    def on_cancel_send(self, cancel_id: object) -> None:
        """NDIS's cancellation reaches what waits before the driver."""
        for held in self._held(Place.SEND):
            if isinstance(held, HeldList) and held.nbl.cancel_id == cancel_id is not None:
                held.complete(NDIS_STATUS.SEND_ABORTED)

    # -- OID requests ----------------------------------------------------------------------------------------

    def _keep_request(self, held: HeldRequest) -> bool:
        for catch in self._catches:
            if catch.place is held.place and catch.wants(held.request):
                catch.keep(held)
                return True
        return False

    def takes_request(self, request: OidRequest) -> bool:
        """Whether it waits."""
        now_ns = self._handle.now_ns()
        complete = self._handle.above.m_oid_request_complete
        return self._keep_request(
            HeldRequest(request, Place.REQUEST, now_ns, go_on=self._ask, complete=complete)
        )

    def takes_answer(self, request: OidRequest, status: NDIS_STATUS) -> bool:
        """Whether it waits."""
        complete = self._handle.above.m_oid_request_complete
        now_ns = self._handle.now_ns()
        return self._keep_request(
            HeldRequest(request, Place.ANSWER, now_ns, go_on=complete, complete=complete, status=status)
        )

    def _ask(self, request: OidRequest, _: NDIS_STATUS) -> None:
        with self.filter.entering("MiniportOidRequest", f"{request} that was held") as call:
            status = self.filter.ask(request)
            call.result = str(status)
        if status != NDIS_STATUS.PENDING:
            self._handle.above.m_oid_request_complete(request, status)

    def on_cancel_request(self, request_id: int) -> bool:
        """NDIS's cancellation reaches what is held."""
        for held in self._held(Place.REQUEST, Place.ANSWER):
            if isinstance(held, HeldRequest) and held.request.request_id == request_id:
                held.complete(NDIS_STATUS.REQUEST_ABORTED)
                return True
        return False

    # -- changes of state ------------------------------------------------------------------------------------

    def on_paused(self) -> None:
        """The driver has said that it is paused: with NBLs of its own held it cannot be."""
        received = self._held(Place.INDICATION, Place.RETURN)
        text = f"{len(received)} indicated NBLs (which a filter holds) are not back"
        self.filter.require(not received, "PAUSE-1", text)
        self._pass_on(Place.COMPLETION)

    def on_reset(self) -> None:
        """What the driver has not seen is aborted, what it has done goes on."""
        for held in self._held(Place.SEND):
            if isinstance(held, HeldList):
                held.complete(NDIS_STATUS.RESET_IN_PROGRESS)
        for held in self._held(Place.REQUEST):
            if isinstance(held, HeldRequest):
                held.complete(NDIS_STATUS.REQUEST_ABORTED)
        self._pass_on(Place.COMPLETION, Place.ANSWER)

    def on_halt(self) -> None:
        """Nothing is the driver's any more."""
        self._pass_on(Place.COMPLETION, Place.ANSWER)

    def _pass_on(self, *places: Place) -> None:
        for held in self._held(*places):
            held.pass_on()
