"""The TCP chimney of one card: its rings, its objects, and who runs what when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmSubmission
from vnic.gen.registers import BAR0
from vnic.host.bus import Bus
from vnic.host.cpu import Level, SpinLock
from vnic.miniport.buffers import Memory
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_entries import Inbox
from vnic.miniport.chimney_indication import Indication
from vnic.miniport.chimney_objects import ChimneyObject, Kind, Path
from vnic.miniport.chimney_pool import ReceivePool
from vnic.miniport.chimney_reachability import Reachability
from vnic.miniport.chimney_rings import CommandRing, SubmissionRing
from vnic.miniport.chimney_settings import ChimneySettings
from vnic.miniport.chimney_work import WorkBudget
from vnic.miniport.interrupts import Interrupts
from vnic.miniport.queue import QueuePair
from vnic.miniport.receive import RingFault
from vnic.miniport.registers import Registers
from vnic.miniport.rss import Scaling
from vnic.ndis.chimney import ProviderCalls
from vnic.ndis.miniport import MiniportHandle
from vnic.ndis.net_buffer_list import NetBufferList, walk

if TYPE_CHECKING:
    from vnic.miniport.chimney_mood import Mood

_COMMANDS = 64
_SUBMISSIONS = 256
_POOL_BUFFERS = 128


class Chimney:
    """Shared by all objects; one lock, for a completion on one connection frees what another waits for.

    Whatever is to be told to NDIS is told outside of the lock, in the DPC of the queue that HashValue and the
    indirection table choose [INV-57], or, while the card cannot interrupt, in a work item.
    """

    def __init__(
        self,
        handle: MiniportHandle,
        ndis: ProviderCalls,
        *,
        bus: Bus,
        memory: Memory,
        registers: Registers,
        queues: Sequence[QueuePair],
        interrupts: Interrupts,
        scaling: Scaling,
        settings: ChimneySettings,
        vlan_id: Callable[[], int],
    ) -> None:
        """Allocates the rings; AllocationError leaves nothing allocated."""
        self.handle = handle
        self.ndis = ndis
        self.bus = bus
        self.memory = memory
        self.settings = settings
        self._vlan_id = vlan_id
        self.is_started = False
        self.mood: Mood | None = None
        self.unreturned = 0
        self.terminates = self.initiates = 0
        self.epoch = 0
        self.on_quiet: Callable[[], None] = _nothing
        self.lock = SpinLock(handle.processors, "chimney")
        self.work = WorkBudget(registers.read(BAR0.CHM_MAX_WORK))
        self._registers = registers
        self._queues = queues
        self._interrupts = interrupts
        self._scaling = scaling
        self._found: dict[tuple[Kind, int], ChimneyObject] = {}
        self._objects: dict[ChimneyObject, None] = {}
        self._wants_room: dict[Connection, None] = {}
        self._creditors: dict[Connection, None] = {}
        self._dirty: dict[SubmissionRing, None] = {}
        self._deferred: list[deque[Connection]] = [deque() for _ in queues]
        self._later: deque[Callable[[], None]] = deque()
        self._kicks: set[int] = set()
        self._has_freed = False
        self._served: set[int] = set()
        self._has_work_item = self._is_closed = False
        self._allocate()
        self.inbox = Inbox(self, self._pools)
        self.reachability = Reachability(self)

    def _allocate(self) -> None:
        indexes = [queue.index for queue in self._queues]
        registers = self._registers
        with ExitStack() as undo:
            self.commands = CommandRing(self.bus, registers, _COMMANDS)
            undo.callback(self.commands.free)
            self._rings: list[SubmissionRing] = []
            self._pools: list[ReceivePool] = []
            for index in indexes:
                self._rings.append(SubmissionRing(self.bus, registers, index, _SUBMISSIONS))
                undo.callback(self._rings[-1].free)
                self._pools.append(ReceivePool(self.bus, self.memory, registers, index, _POOL_BUFFERS))
                undo.callback(self._pools[-1].free)
            undo.pop_all()

    # -- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """[PROG-26] to [PROG-29]; completion rings run, RSS is configured. Raises RingFault."""
        registers = self._registers
        self.settings.write(registers)
        registers.write(BAR0.CHM_CTRL, 1)
        if not registers.field(BAR0.CHM_STATUS, "RUNNING"):
            raise RingFault("the card refuses the chimney's parameters")
        self.commands.start(self._queues[0].index)
        self.inbox.start(registers.field(BAR0.RSS_STATUS, "GENERATION"))
        for ring, pool in zip(self._rings, self._pools, strict=True):
            ring.start()
            pool.start()
        self.is_started = True

    def restart(self) -> None:
        """Off and on again, with nothing offloaded. Raises RingFault."""
        self._registers.write(BAR0.CHM_CTRL, 0)
        self.fail()
        self.start()

    def fail(self) -> None:
        """The card was reset, switched off or is gone: nothing of the chimney is left in it."""
        with self.lock:
            self.is_started = False
            self.epoch += 1
            self.commands.abandon()
            for each in list(self._objects):
                each.lose()
            self._found.clear()
            self._wants_room.clear()
            self._dirty.clear()
            self._creditors.clear()
            for ring, pool in zip(self._rings, self._pools, strict=True):
                ring.clear()
                pool.reclaim()
            self.inbox.start(0)
            self._kick_all()
            if self.mood is not None:
                self.mood.on_fail()
        self._send_kicks()

    def _kick_all(self) -> None:
        """Where there is something to tell: a DPC that met nonsense has left it, and no other may come."""
        self._kicks.update(queue for queue, waiting in enumerate(self._deferred) if waiting)
        if self._later:
            self._kicks.add(0)

    def close(self) -> None:
        """Give everything back; the card was reset or its chimney switched off. Nothing is told any more."""
        self._is_closed = True
        self.fail()
        self.commands.free()
        for ring, pool in zip(self._rings, self._pools, strict=True):
            ring.free()
            pool.free()

    # -- what the card has -------------------------------------------------------------------------------

    @property
    def has_failed_ring(self) -> bool:
        """Whether the admin ring or a pool ring stopped by itself; of a submission ring CHM_STATUS tells."""
        registers = self._registers
        if registers.field(BAR0.CHM_ADMIN_STATUS, "ERROR"):
            return True
        return any(registers.field(BAR0.CHQ_POOL_STATUS, "ERROR", pool.index) for pool in self._pools)

    @property
    def has_objects(self) -> bool:
        """Whether anything is offloaded, or lost and not terminated."""
        return bool(self._objects)

    def count(self, is_ipv6: bool) -> int:
        """Connections of a version of IP that are offloaded."""
        paths = [each.parent for each in self._objects if isinstance(each, Connection)]
        return sum(isinstance(path, Path) and path.is_ipv6 == is_ipv6 for path in paths)

    @property
    def is_uploading(self) -> bool:
        """Whether the host was asked to take everything back."""
        return self.mood is not None and self.mood.is_uploading

    def find(self, kind: Kind, handle: int) -> ChimneyObject | None:
        """The object that the card means."""
        return self._found.get((kind, handle))

    def has(self, each: ChimneyObject) -> bool:
        """Whether an object is offloaded, and the card knows of it."""
        return each in self._objects and not each.is_lost

    def enlist(self, each: ChimneyObject) -> None:
        """The card has made it."""
        self._found[each.kind, each.handle] = each
        self._objects[each] = None

    def delist(self, each: ChimneyObject) -> None:
        """It is terminated."""
        self._found.pop((each.kind, each.handle), None)
        self._objects.pop(each, None)

    def end_terminate(self) -> None:
        """A terminate is complete."""
        self.terminates -= 1
        self.check_quiet()

    def end_initiate(self) -> None:
        """An initiate is complete."""
        self.initiates -= 1
        if not self.initiates and self.mood is not None:
            self.mood.on_initiated()

    def check_quiet(self) -> None:
        """Who waits for the last terminate, or for the last object to go, goes on."""
        if not self.terminates:
            self.on_quiet()

    @property
    def vlan_id(self) -> int:
        """The interface's own VLAN, 0 for none."""
        return self._vlan_id()

    def may_offload(self, is_ipv6: bool) -> bool:
        """Whether connections of an IP version are switched on."""
        return self.settings.is_on(is_ipv6)

    def queue_of(self, hash_value: int) -> int:
        """The queue on which a connection with this HashValue reports."""
        return self._scaling.queue_of_hash(hash_value)

    # -- the lock, and what follows its release ----------------------------------------------------------

    @contextmanager
    def section(self) -> Iterator[None]:
        """Hold the lock; what was handed over meanwhile is announced at the end, and DPCs are queued."""
        with self.lock:
            yield
            if self.is_started:
                self._grant_room()
                self._flush()
        self._send_kicks()

    def _flush(self) -> None:
        while self._creditors:
            self._creditors.popitem()[0].submit_credit()
        self.commands.flush()
        while self._dirty:
            ring, _ = self._dirty.popitem()
            ring.flush()
        for pool in self._pools:
            if pool.has_spare:
                pool.flush()

    def is_stuck(self) -> bool:
        """Whether a command has not ended between several hang checks."""
        with self.lock:
            return self.is_started and self.commands.is_stuck()

    def poke(self) -> None:
        """Now and then: what found no room in a ring may find it now."""
        with self.section():
            for ring in self._rings:
                if ring.is_waiting:
                    self._dirty[ring] = None

    def kick(self, queue: int) -> None:
        """Have a queue's DPC run when the lock is released; the one that runs now goes on by itself."""
        if queue not in self._served:
            self._kicks.add(queue)

    def _send_kicks(self) -> None:
        kicks, self._kicks = self._kicks, set()
        if kicks and not self._interrupts.is_live:
            self._queue_work_item()
            return
        for index in kicks:
            self._interrupts.queue_again(0, self._queues[index])

    def _queue_work_item(self) -> None:
        if not (self._has_work_item or self._is_closed):
            self._has_work_item = True
            self.handle.m_queue_work_item(self._run_work_item)

    def _run_work_item(self) -> None:
        self._has_work_item = False
        if self._is_closed:
            return
        try:
            self.run_all()
        except RingFault:
            self.handle.m_reset_miniport()

    def defer(self, connection: Connection) -> None:
        """A connection may have something to tell: its queue's DPC will see."""
        if connection.is_open and not connection.is_deferred:
            connection.is_deferred = True
            queue = self.queue_of(connection.hash_value)
            self._deferred[queue].append(connection)
            self.kick(queue)

    def complete_later(self, call: Callable[[], None]) -> None:
        """A call to NDIS that concerns no single connection, made from a DPC or a work item. [INV-9]"""
        self._later.append(call)
        self.kick(0)

    def run_all(self) -> None:
        """Tell everything that waits, now, from PASSIVE."""
        with self.handle.processors.raised_to(Level.DISPATCH):
            for queue in self._queues:
                self.serve(queue.index, ())

    def serve(self, queue: int, entries: Sequence[bytes], epoch: int | None = None) -> None:
        """A DPC's part: what the queue brought, then what is to be told. Raises RingFault.

        epoch: when the entries were taken; those of before a reset say nothing any more.
        """
        has_work = self._has_work(queue)  # asked in any case: what waits for room goes with the next flush
        if not (entries or has_work):
            return
        self._served.add(queue)
        try:
            with self.section():
                if epoch in (None, self.epoch):
                    self.inbox.add(queue, entries)
                self.inbox.take(queue)
            self._tell(queue)
        finally:
            self._served.discard(queue)

    def _has_work(self, queue: int) -> bool:
        """Whether a DPC finds anything to do without new entries."""
        ring = self._rings[queue]
        if ring.is_waiting:
            self._dirty[ring] = None
        return bool(self._dirty or self._deferred[queue] or self._later or self.inbox.is_holding(queue))

    def _tell(self, queue: int) -> None:
        deferred = self._deferred[queue]
        while deferred or self._later:
            if self._later:
                self._later.popleft()()
                continue
            connection = deferred.popleft()
            connection.is_deferred = False
            connection.run()

    # -- room in the card --------------------------------------------------------------------------------

    def submit(self, queue: int, entries: Sequence[ChmSubmission]) -> None:
        """Put a request on a submission ring; it is announced when the lock is released."""
        ring = self._rings[queue]
        ring.put(entries)
        self._dirty[ring] = None

    def announce_credit(self, connection: Connection) -> None:
        """A connection has credit for the card."""
        self._creditors[connection] = None

    def wait_for_room(self, connection: Connection) -> None:
        """A connection has requests for which the card has no room."""
        self._wants_room[connection] = None

    def give_send_work(self, pieces: int) -> None:
        """Pieces of sends came back."""
        self.work.give_send(pieces)
        self._has_freed = True

    def give_receive_work(self, pieces: int) -> None:
        """Pieces of receives came back."""
        self.work.give_receive(pieces)
        self._has_freed = True

    def _grant_room(self) -> None:
        """Who waited longest is asked first, once; who still finds none waits on."""
        if not self._has_freed:
            return
        self._has_freed = False
        waiting, self._wants_room = self._wants_room, {}
        for connection in waiting:
            if self.work.has_room:
                connection.pump()
            else:
                self._wants_room[connection] = None

    # -- NBLs of the miniport's own ----------------------------------------------------------------------

    @property
    def source_handle(self) -> object:
        """SourceHandle of indications."""
        return self.handle

    def lend(self, indication: Indication) -> Indication:
        """An NBL goes up."""
        self.unreturned += 1
        return indication

    def take_back(self, indication: Indication) -> None:
        """An NBL was refused."""
        self.unreturned -= 1

    def receive_return(self, chain: NetBufferList) -> None:
        """MiniportTcpOffloadReceiveReturn: the window opens by what the host has consumed."""
        with self.section():
            for nbl in walk(chain):
                indication = nbl.miniport_reserved
                if not isinstance(indication, Indication) or indication.is_returned:
                    continue
                indication.release()
                self.unreturned -= 1
                if indication.connection is not None:
                    indication.connection.credit(indication.length)


def _nothing() -> None:
    """Nobody waits for the last terminate."""
