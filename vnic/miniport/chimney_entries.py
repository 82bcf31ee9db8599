"""Entries of the chimney on their way from completion rings to objects, in order also across fences."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmAdminCompletion, ChmCompletion, ChmData, ChmEventEntry, ChmFence
from vnic.gen.enums import ChmEvent, CompletionType
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_objects import Kind
from vnic.miniport.chimney_pool import ReceivePool
from vnic.miniport.receive import RingFault

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney

_GENERATIONS = 1 << 16
_KIND_BYTE = 24


class Inbox:
    """What each queue has brought and is not dealt with. Callers hold the chimney's lock.

    A fence says that from there on connections report by a new indirection table. Nothing behind it is looked
    at before every queue has come to it: then all of its old ring is dealt with. [CHM-61]
    """

    def __init__(self, chimney: Chimney, pools: Sequence[ReceivePool]) -> None:
        self._chimney = chimney
        self._pools = pools
        self._held: list[deque[bytes]] = [deque() for _ in pools]
        self._seen = [0] * len(pools)
        self._on: dict[int, Callable[[int, bytes], None]] = {
            CompletionType.CHM_ADMIN: self._on_admin,
            CompletionType.CHM_SEND: self._on_send,
            CompletionType.CHM_RECEIVE: self._on_receive,
            CompletionType.CHM_DISCONNECT: self._on_disconnect,
            CompletionType.CHM_FORWARD: self._on_forward,
            CompletionType.CHM_DATA: self._on_data,
            CompletionType.CHM_EVENT: self._on_event,
        }

    def start(self, generation: int) -> None:
        """The card begins with the table of this generation in force."""
        for held in self._held:
            held.clear()
        self._seen = [generation] * len(self._seen)

    def add(self, queue: int, entries: Sequence[bytes]) -> None:
        """Entries from a queue's completion ring, in its order."""
        self._held[queue].extend(entries)

    def is_holding(self, queue: int) -> bool:
        """Whether a queue brought what is not dealt with."""
        return bool(self._held[queue])

    def take(self, queue: int) -> None:
        """Deal with what a queue brought, up to a fence that others have not come to. Raises RingFault."""
        held = self._held[queue]
        while held and not self._is_behind_fence(queue):
            entry = held.popleft()
            kind = entry[_KIND_BYTE] & 0xF
            if kind == CompletionType.CHM_FENCE:
                self._pass_fence(queue, ChmFence.unpack(entry).generation)
            else:
                self._on[kind](queue, entry)

    def _is_behind_fence(self, queue: int) -> bool:
        """A ring can have missed a fence for a later one, so "seen" is "this or a later one"."""
        own = self._seen[queue]
        return any(0 < (own - other) % _GENERATIONS < _GENERATIONS // 2 for other in self._seen)

    def _pass_fence(self, queue: int, generation: int) -> None:
        self._seen[queue] = generation
        for other, held in enumerate(self._held):
            if other != queue and held and not self._is_behind_fence(other):
                self._chimney.kick(other)

    # -- kinds -------------------------------------------------------------------------------------------

    def _on_admin(self, queue: int, entry: bytes) -> None:
        self._chimney.commands.complete(ChmAdminCompletion.unpack(entry))

    def _completion(self, entry: bytes) -> tuple[Connection | None, ChmCompletion]:
        """Its connection, or none that it still matters to."""
        parsed = ChmCompletion.unpack(entry)
        found = self._chimney.find(Kind.TCP, parsed.handle)
        if not isinstance(found, Connection) or found.is_aborted:
            return None, parsed
        if not found.is_open:
            found.early.append(entry)
            return None, parsed
        found.defer()
        return found, parsed

    def catch_up(self, connection: Connection) -> None:
        """The host knows it as offloaded: what came before that is dealt with. Raises RingFault. [INV-3]"""
        early, connection.early = connection.early, []
        for entry in early:
            self._on[entry[_KIND_BYTE] & 0xF](connection.queue, entry)

    def _on_send(self, queue: int, entry: bytes) -> None:
        connection, parsed = self._completion(entry)
        if connection is not None:
            connection.sending.on_completed(parsed)

    def _on_receive(self, queue: int, entry: bytes) -> None:
        connection, parsed = self._completion(entry)
        if connection is not None:
            connection.receiving.on_completed(parsed)

    def _on_disconnect(self, queue: int, entry: bytes) -> None:
        connection, parsed = self._completion(entry)
        if connection is not None:
            connection.on_disconnected(parsed)

    def _on_forward(self, queue: int, entry: bytes) -> None:
        connection, parsed = self._completion(entry)
        if connection is not None:
            connection.on_forwarded(parsed)

    def _on_data(self, queue: int, entry: bytes) -> None:
        parsed = ChmData.unpack(entry)
        kept = self._pools[queue].take(parsed.index, parsed.len, bool(parsed.push))
        if kept is None:
            return
        found = self._chimney.find(Kind.TCP, parsed.handle)
        if not isinstance(found, Connection):
            kept.release()
            return
        found.receiving.on_data(kept)
        if found.receiving.data_count != parsed.data_count:
            raise RingFault(
                f"{parsed.data_count} bytes given to the pool, {found.receiving.data_count} taken"
            )
        found.defer()

    def _on_event(self, queue: int, entry: bytes) -> None:
        parsed = ChmEventEntry.unpack(entry)
        if parsed.event == ChmEvent.NEIGHBOUR_QUERY:
            self._chimney.reachability.on_query(parsed.handle, parsed.count)
            return
        found = self._chimney.find(Kind.TCP, parsed.handle)
        if isinstance(found, Connection) and not found.is_open:
            found.early.append(entry)
        elif isinstance(found, Connection):
            found.on_event(parsed)
            found.defer()
