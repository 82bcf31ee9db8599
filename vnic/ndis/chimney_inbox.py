"""Indications that the host has accepted and not returned, over the end of their connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnic.ndis.chimney_extent import Extent
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding
    from vnic.ndis.chimney_objects import OffloadObject
    from vnic.ndis.verifier import Verifier


@dataclass(frozen=True, slots=True)
class Held:
    """One NBL at the host; `context` is the target's, of the connection it came from."""

    nbl: NetBufferList
    subject: OffloadObject
    context: object
    extent: Extent


class Inbox:
    """The indications of one adapter that are out."""

    def __init__(self, verifier: Verifier, miniport: object) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._held: dict[int, Held] = {}

    def outstanding(self, binding: Binding | None = None) -> int:
        """How many NBLs the host has, of all or of one binding."""
        return sum(binding is None or each.subject.binding is binding for each in self._held.values())

    def __contains__(self, nbl: NetBufferList) -> bool:
        return id(nbl) in self._held

    def extent(self, subject: OffloadObject, nbl: NetBufferList) -> Extent:
        """The data of an NBL that is about to be indicated; it must be the target's to give."""
        is_own = nbl not in self and (nbl.custodian is None or nbl.holder is self._miniport)
        text = f"{subject}: an NBL that the host still has is indicated again"
        if not is_own:
            raise self._verifier.breach("INV-27", self._miniport, text, subject.calls)
        try:
            return Extent.of(nbl, self._verifier.verify_data)
        except NetBufferError as error:
            raise self._verifier.breach("NBL-2", self._miniport, str(error), subject.calls) from None

    def keep(self, subject: OffloadObject, nbl: NetBufferList, extent: Extent) -> None:
        """The host accepted it."""
        context = subject.handle.MiniportOffloadContext.value
        self._held[id(nbl)] = Held(nbl, subject, context, extent)

    def refused(self, subject: OffloadObject, nbl: NetBufferList) -> None:
        """The host refused it, whole or in part: it is the target's again."""
        if self._held.pop(id(nbl), None) is None:
            text = f"{subject}: a refused indication was returned too"
            raise self._verifier.breach("CHIM-32", subject.binding.protocol, text, subject.calls)
        self._verifier.give(nbl, self._miniport)

    def take_all(self, subject: OffloadObject, nbls: list[NetBufferList]) -> bytes:
        """BufferedData of a terminate passes to the host; returns its bytes."""
        parts = []
        for nbl in nbls:
            extent = self.extent(subject, nbl)
            parts.append(extent.data(0, extent.length))
            self.keep(subject, nbl, extent)
        for nbl in nbls:
            self._verifier.give(nbl, subject.binding.protocol)
        return b"".join(parts)

    def give_back(self, binding: Binding, handle: object, nbls: list[NetBufferList]) -> list[Held]:
        """The host returns NBLs of one connection, which may be terminated by now."""
        found = []
        for nbl in nbls:
            held = self._held.get(id(nbl))
            if held is None or held.subject.binding is not binding or held.subject.handle is not handle:
                text = "an NBL was returned that was not accepted from this connection"
                raise self._verifier.breach("CHIM-32", binding.protocol, text)
            is_same = held.extent.advanced(nbl) == 0 and held.extent.has_same_bytes()
            text = f"{held.subject}: an indicated NBL changed before it was returned"
            if not is_same:
                raise self._verifier.breach("INV-27", self._miniport, text, held.subject.calls)
            found.append(held)
        for held in found:
            self._held.pop(id(held.nbl), None)
            self._verifier.give(held.nbl, self._miniport)
        return found
