"""Receives: from NdisMIndicateReceiveNetBufferLists to the bindings whose filter matches, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vnic.ndis.ledger import Fingerprint, Ledger
from vnic.ndis.miniport import Miniport, ReceiveFlag, ReturnFlag
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList, link
from vnic.ndis.oid import filter_accepts
from vnic.ndis.oob import ReceiveChecksum, Slot
from vnic.ndis.rss_watch import RssWatch
from vnic.ndis.states import AdapterState
from vnic.ndis.verifier import Call, Verifier

_CONTRADICTIONS = tuple(", ".join(ReceiveChecksum.of(value).contradictions) for value in range(64))


class Receiver(Protocol):
    """A binding, as the receive path sees it."""

    @property
    def driver(self) -> object:
        """The protocol driver."""

    def accepts(self, destination: bytes) -> bool:
        """Whether its packet filter wants a frame to this address."""

    def deliver(self, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag) -> None:
        """Call ProtocolReceiveNetBufferLists."""


@dataclass(slots=True)
class Filter:
    """The packet filter that the miniport was last given."""

    packet_filter: int = 0
    multicast: frozenset[bytes] = frozenset()
    station: bytes = bytes(6)


@dataclass(slots=True)
class Indication:
    """One NBL that a protocol has."""

    receiver: Receiver
    fingerprint: Fingerprint
    #: The call by which it came.
    since: Call | None


class ReceivePath:
    """The indications of one adapter; `state` and `filter` are kept up to date by the adapter."""

    def __init__(self, verifier: Verifier, miniport: Miniport, adapter: object, rss: RssWatch) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._adapter = adapter
        self._rss = rss
        self._ledger: Ledger[Indication] = Ledger()
        self._lent: dict[int, NetBufferList] = {}
        self.state = AdapterState.HALTED
        self.filter = Filter()
        self.receivers: list[Receiver] = []
        self.calls_in_progress = 0
        self.indicated = 0

    def outstanding(self, receiver: Receiver | None = None) -> int:
        """How many NBLs protocols have, all or one; an indication that has not returned counts too."""
        if receiver is None:
            return len(self._ledger) + self.calls_in_progress
        return sum(indication.receiver is receiver for indication in self._ledger.records())

    def away(self) -> list[tuple[NetBufferList, Indication]]:
        """The NBLs that protocols have, oldest first."""
        return self._ledger.items()

    # -- up ------------------------------------------------------------------------------------------------

    def indicate(self, chain: NetBufferList | None, port: int, count: int, flags: ReceiveFlag) -> None:
        """Check what the miniport indicates and offer it to the bindings."""
        require, miniport = self._verifier.require, self._miniport
        require(self.state.may_indicate_data, "RECV-1", miniport, f"data indicated while {self.state.value}")
        nbls = self._verifier.walk(chain, miniport)
        require(
            count == len(nbls),
            "RECV-2",
            miniport,
            f"NumberOfNetBufferLists {count}, the chain has {len(nbls)}",
        )
        prints = [self._check(nbl, flags) for nbl in nbls]
        self.indicated += len(nbls)
        self.calls_in_progress += 1
        try:
            if flags & ReceiveFlag.RESOURCES:
                self._lend(nbls, prints, port, flags)
            else:
                self._hand_over(nbls, prints, port, flags)
        finally:
            self.calls_in_progress -= 1

    def _lend(
        self, nbls: list[NetBufferList], prints: list[Fingerprint], port: int, flags: ReceiveFlag
    ) -> None:
        """Every taker copies; all are the miniport's again when this returns."""
        for receiver in self.receivers:
            wanted = [nbl for nbl in nbls if receiver.accepts(_destination(nbl))]
            self._lend_to(receiver, wanted, port, flags | ReceiveFlag.RESOURCES)
        for nbl, before in zip(nbls, prints, strict=True):
            self._check_unchanged(nbl, before)
        link(nbls)
        for nbl in nbls:
            self._verifier.give(nbl, self._miniport)

    def _lend_to(self, receiver: Receiver, nbls: list[NetBufferList], port: int, flags: ReceiveFlag) -> None:
        head = link(nbls)
        if head is None:
            return
        for nbl in nbls:
            self._lent[id(nbl)] = nbl
            self._verifier.give(nbl, receiver.driver)
        try:
            receiver.deliver(head, port, len(nbls), flags)
            is_intact = self._verifier.walk(head, receiver.driver) == nbls
        finally:
            for nbl in nbls:
                del self._lent[id(nbl)]
        self._verifier.require(
            is_intact, "PRECV-2", receiver.driver, "the chain lent with RESOURCES was changed"
        )

    def _hand_over(
        self, nbls: list[NetBufferList], prints: list[Fingerprint], port: int, flags: ReceiveFlag
    ) -> None:
        """The last taker of each NBL gets it, those before it copy; what nobody wants goes straight back."""
        takers = [self._takers(_destination(nbl)) for nbl in nbls]
        for receiver in self.receivers[:-1]:
            copied = [nbl for nbl, who in zip(nbls, takers, strict=True) if receiver in who[:-1]]
            self._lend_to(receiver, copied, port, flags | ReceiveFlag.RESOURCES)
        unwanted = [nbl for nbl, who in zip(nbls, takers, strict=True) if not who]
        since = self._verifier.last_call
        for receiver in self.receivers:
            taken = []
            for nbl, who, fingerprint in zip(nbls, takers, prints, strict=True):
                if who and who[-1] is receiver:
                    self._ledger.open(nbl, Indication(receiver, fingerprint, since))
                    self._verifier.give(nbl, receiver.driver)
                    taken.append(nbl)
            head = link(taken)
            if head is not None:
                receiver.deliver(head, port, len(taken), flags)
        self._back_to_miniport(unwanted)

    def _takers(self, destination: bytes) -> list[Receiver]:
        return [receiver for receiver in self.receivers if receiver.accepts(destination)]

    # -- and back ------------------------------------------------------------------------------------------

    def give_back(self, receiver: Receiver, chain: NetBufferList | None) -> None:
        """A protocol returns NBLs; they go on to MiniportReturnNetBufferLists."""
        nbls = self._verifier.walk(chain, receiver.driver)
        for nbl in nbls:
            if id(nbl) in self._lent:
                text = "an NBL indicated with RESOURCES was returned"
                raise self._verifier.breach("PRECV-2", receiver.driver, text)
            indication = self._ledger.record(nbl)
            if indication is None or indication.receiver is not receiver:
                text = "an NBL was returned that this binding does not have"
                raise self._verifier.breach("PRECV-1", receiver.driver, text)
            self._check_unchanged(nbl, indication.fingerprint)
            self._ledger.close(nbl)
        self._back_to_miniport(nbls)

    def _back_to_miniport(self, nbls: list[NetBufferList]) -> None:
        head = link(nbls)
        if head is None:
            return
        for nbl in nbls:
            self._verifier.give(nbl, self._miniport)
        flags = ReturnFlag(self._verifier.dispatch_flag)
        with self._verifier.entering(self._miniport, "MiniportReturnNetBufferLists", f"{len(nbls)} NBLs"):
            self._miniport.return_net_buffer_lists(head, flags)

    # -- checks --------------------------------------------------------------------------------------------

    def _check(self, nbl: NetBufferList, flags: ReceiveFlag) -> Fingerprint:
        require, miniport = self._verifier.require, self._miniport
        is_own = nbl not in self._ledger and (nbl.custodian is None or nbl.holder is miniport)
        require(is_own, "RECV-3", miniport, "an NBL was indicated that is out already")
        if nbl.source_handle is not self._adapter:
            raise self._verifier.breach("RECV-4", miniport, f"SourceHandle is {nbl.source_handle!r}")
        try:
            fingerprint = Fingerprint.of(nbl, self._verifier.verify_data)
        except NetBufferError as error:
            raise self._verifier.breach("NBL-2", miniport, str(error)) from None
        buffers = fingerprint.buffers
        require(len(buffers) == 1, "RECV-5", miniport, f"{len(buffers)} NET_BUFFERs in one NBL")
        require(buffers[0][2] >= 14, "RECV-5", miniport, f"a frame of {buffers[0][2]} bytes")
        if flags & ReceiveFlag.PERFECT_FILTERED:
            current = self.filter
            to = _destination(nbl)
            matches = filter_accepts(current.packet_filter, to, current.station, current.multicast)
            require(
                matches,
                "RECV-6",
                miniport,
                f"{to.hex(':')} does not match filter 0x{current.packet_filter:X}",
            )
        contradictions = _CONTRADICTIONS[nbl.info(Slot.TCP_IP_CHECKSUM) & 63]
        require(not contradictions, "RECV-8", miniport, contradictions)
        self._rss.check(miniport, nbl)
        return fingerprint

    def _check_unchanged(self, nbl: NetBufferList, before: Fingerprint) -> None:
        try:
            is_same = Fingerprint.of(nbl, self._verifier.verify_data) == before
        except NetBufferError:
            is_same = False
        text = "an indicated NBL changed before it was returned (buffer reused, or written by the protocol)"
        self._verifier.require(is_same, "RECV-7", self._miniport, text)


def _destination(nbl: NetBufferList) -> bytes:
    buffer = nbl.first_net_buffer
    return b"" if buffer is None else buffer.data(0, 6)
