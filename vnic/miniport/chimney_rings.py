"""The chimney's rings in host memory: commands, and each pair's submissions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand, ChmNeighbour, ChmPath, ChmSubmission, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0
from vnic.host.bus import Bus, Coherent
from vnic.miniport.receive import RingFault
from vnic.miniport.registers import Registers
from vnic.miniport.ring import DescriptorRing

_IMAGE_ROOM = 192
_IMAGE_BYTES = {
    ChmObject.NEIGHBOUR: ChmNeighbour.SIZE,
    ChmObject.PATH: ChmPath.SIZE,
    ChmObject.TCP: ChmTcp.SIZE,
}
_ANSWERS = (ChmOp.QUERY, ChmOp.TERMINATE)
_RINGS_AGAIN, _IS_STUCK = 1, 3  # checks for hang at which the oldest command was under way already


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended; `is_lost`: the card was reset or is gone, and never said."""

    status: int
    handle: int = 0
    placed: int = 0
    acked: int = 0
    image: bytes = b""
    is_lost: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return self.status == ChmStatus.OK and not self.is_lost


LOST = Outcome(ChmStatus.BAD_COMMAND, is_lost=True)


@dataclass(slots=True, eq=False)
class Command:
    """One admin command; `done` is called with the lock held when it ended, once."""

    op: ChmOp
    object: ChmObject
    done: Callable[[Outcome], None]
    handle: int = 0
    parent: int = 0
    queue: int = 0
    image: bytes = b""
    sends: Sequence[bytes] = ()
    list_memory: Coherent | None = field(default=None, repr=False)


class CommandRing:
    """The admin ring with an image area a slot. Callers hold the chimney's lock."""

    def __init__(self, bus: Bus, registers: Registers, count: int) -> None:
        self._bus = bus
        self._registers = registers
        self.ring = DescriptorRing(bus, count, ChmCommand.SIZE)
        try:
            self._images = bus.alloc_coherent(2 * count * _IMAGE_ROOM)
        except Exception:
            self.ring.free()
            raise
        self._waiting: deque[Command] = deque()
        self._in_flight: dict[int, Command] = {}
        self._announced = 0
        self._oldest: int | None = None
        self._still_checks = 0

    def start(self, queue: int) -> None:
        """Configure and run the ring; `queue` takes what no connection's does. Raises RingFault."""
        registers = self._registers
        registers.write(BAR0.CHM_ADMIN_BASE, self.ring.memory.addr)
        registers.write(BAR0.CHM_ADMIN_COUNT, self.ring.count)
        registers.write(BAR0.CHM_ADMIN_QUEUE, queue)
        registers.write(BAR0.CHM_ADMIN_CTRL, 1)
        if not registers.field(BAR0.CHM_ADMIN_STATUS, "RUNNING"):
            raise RingFault("the admin ring does not start")

    @property
    def outstanding(self) -> int:
        """Commands that have not ended."""
        return len(self._waiting) + len(self._in_flight)

    def submit(self, command: Command) -> None:
        """Hand a command over, in order; it waits for room. Raises AllocationError for its send list."""
        if command.sends:
            command.list_memory = self._bus.alloc_coherent(len(command.sends) * ChmSubmission.SIZE)
            command.list_memory.view[:] = b"".join(command.sends)
        self._waiting.append(command)

    def flush(self) -> None:
        """Write what waits while there is room, and ring the doorbell once."""
        while self._waiting and self.ring.room:
            self._write(self._waiting.popleft())
        if self.ring.tail != self._announced:
            self._announced = self.ring.tail
            self._registers.write(BAR0.CHM_ADMIN_TAIL, self.ring.tail_index)

    def is_stuck(self) -> bool:
        """At each hang check: whether the oldest command does not end; a lost doorbell is rung again."""
        oldest = next(iter(self._in_flight), None)
        is_still = oldest is not None and oldest == self._oldest
        self._still_checks = self._still_checks + 1 if is_still else 0
        self._oldest = oldest
        if self._still_checks == _RINGS_AGAIN:
            self._registers.write(BAR0.CHM_ADMIN_TAIL, self.ring.tail_index)
        return self._still_checks >= _IS_STUCK

    def _write(self, command: Command) -> None:
        slot, cookie = self.ring.tail % self.ring.count, self.ring.tail & 0xFFFFFFFF
        at = 2 * slot * _IMAGE_ROOM
        size = _IMAGE_BYTES[command.object]
        self._images.view[at : at + len(command.image)] = command.image
        has_out = command.op in _ANSWERS
        if has_out:  # nonsense for any object, should the card's write be lost
            self._images.view[at + _IMAGE_ROOM : at + _IMAGE_ROOM + size] = b"\xff" * size
        memory = command.list_memory
        self.ring.put(
            ChmCommand(
                op=command.op,
                object=command.object,
                queue=command.queue,
                cookie=cookie,
                handle=command.handle,
                parent=command.parent,
                in_addr=self._images.addr + at if command.image else 0,
                in_len=len(command.image),
                out_addr=self._images.addr + at + _IMAGE_ROOM if has_out else 0,
                out_len=size if has_out else 0,
                send_addr=memory.addr if memory is not None else 0,
                send_count=len(command.sends),
            ).pack()
        )
        self._in_flight[cookie] = command

    def complete(self, entry: ChmAdminCompletion) -> None:
        """One CHM_ADMIN entry: its command ends. Raises RingFault for a cookie of nobody."""
        command = self._in_flight.get(entry.cookie)
        if command is None or entry.op != command.op or entry.object != command.object:
            raise RingFault(f"completion of admin command {entry.cookie:#x}, which is not under way")
        del self._in_flight[entry.cookie]
        at = (2 * (entry.cookie % self.ring.count) + 1) * _IMAGE_ROOM
        image = bytes(self._images.view[at : at + _IMAGE_BYTES[command.object]])
        self._drop_list(command)
        self._pass_over_done()
        command.done(Outcome(entry.status, entry.handle, entry.placed, entry.acked, image))

    def _pass_over_done(self) -> None:
        """Commands of connections end on their own rings, so slots come free out of order."""
        ring = self.ring
        while ring.head != ring.tail and ring.head & 0xFFFFFFFF not in self._in_flight:
            ring.head += 1

    def _drop_list(self, command: Command) -> None:
        if command.list_memory is not None:
            self._bus.free_coherent(command.list_memory)
            command.list_memory = None

    def abandon(self) -> None:
        """The card was reset or is gone: every command ends as lost."""
        commands = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting.clear()
        self.ring.clear()
        self._announced = 0
        self._oldest, self._still_checks = None, 0
        for command in commands:
            self._drop_list(command)
            command.done(LOST)

    def free(self) -> None:
        """Give the memory back; the ring is stopped."""
        self.abandon()
        self._bus.free_coherent(self._images)
        self.ring.free()


class SubmissionRing:
    """The submission ring of one pair, and what waits for room in it. Callers hold the chimney's lock."""

    def __init__(self, bus: Bus, registers: Registers, index: int, count: int) -> None:
        self.index = index
        self.ring = DescriptorRing(bus, count, ChmSubmission.SIZE)
        self._registers = registers
        self._waiting: deque[bytes] = deque()
        self._announced = 0

    def start(self) -> None:
        """Configure and run the ring. Raises RingFault."""
        registers, i = self._registers, self.index
        registers.write(BAR0.CHQ_SQ_BASE, self.ring.memory.addr, i)
        registers.write(BAR0.CHQ_SQ_COUNT, self.ring.count, i)
        registers.write(BAR0.CHQ_SQ_CTRL, 1, i)
        if not registers.field(BAR0.CHQ_SQ_STATUS, "RUNNING", i):
            raise RingFault(f"submission ring {i} does not start")

    def put(self, entries: Sequence[ChmSubmission]) -> None:
        """One request, in one or several pieces; goes out with the next flush."""
        self._waiting.extend(entry.pack() for entry in entries)

    def flush(self) -> None:
        """Write what waits while there is room, and ring the doorbell once."""
        ring = self.ring
        if not self._waiting:
            return
        if ring.room < len(self._waiting):
            head = self._registers.read(BAR0.CHQ_SQ_HEAD, self.index)
            ring.head += (head - ring.head) % ring.count
        while self._waiting and ring.room:
            ring.put(self._waiting.popleft())
        if ring.tail != self._announced:
            self._announced = ring.tail
            self._registers.write(BAR0.CHQ_SQ_TAIL, ring.tail_index, self.index)

    @property
    def is_waiting(self) -> bool:
        """Whether something finds no room."""
        return bool(self._waiting)

    def clear(self) -> None:
        """The card's ring was reset."""
        self._waiting.clear()
        self.ring.clear()
        self._announced = 0

    def free(self) -> None:
        """Give the memory back; the ring is stopped."""
        self.ring.free()
