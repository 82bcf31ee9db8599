"""A copy engine that does what a test says, with the interface that a client in the receive path sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from vnic.host.memory import GuestMemory
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE as Code
from vnic.netdma.types import Transfer

Done = Callable[[bool], None]


class ToldChannel:
    """A channel: it keeps copies until it is told, in their order."""

    def __init__(self, copier: ToldCopier, cpu: int) -> None:
        self.copier, self.cpu = copier, cpu
        self.waiting: deque[tuple[Sequence[Transfer], Done]] = deque()
        self.is_freed = False
        #: Took its last copy.
        self.is_full = False
        #: Copies are made, but nobody is told before poll().
        self.is_mute = False
        self.finished: deque[Done] = deque()
        self.polls = 0

    @property
    def outstanding(self) -> int:
        return len(self.waiting) + len(self.finished)

    def copy(self, transfers: Sequence[Transfer], done: Done) -> bool:
        assert not self.is_freed and transfers
        if self.is_full:
            return False
        for each in transfers:
            self.copier.check(each)
        self.waiting.append((list(transfers), done))
        return True

    def step(self) -> bool:
        """Make the copies of one call."""
        if not self.waiting:
            return False
        transfers, done = self.waiting.popleft()
        memory = self.copier.memory
        for each in transfers:
            memory.write(each.destination, memory.read(each.source, each.length))
            self.copier.moved += each.length
        if self.is_mute:
            self.finished.append(done)
        else:
            done(True)
        return True

    def fail(self) -> None:
        """An error: what is under way is undefined, half of it written."""
        waiting, self.waiting = self.waiting, deque()
        for transfers, done in waiting:
            for each in transfers:
                self.copier.memory.write(each.destination, b"\xee" * (each.length // 2))
            done(False)

    def poll(self) -> int:
        self.polls += 1
        count = len(self.finished)
        while self.finished:
            self.finished.popleft()(True)
        return count

    def free(self) -> None:
        assert not self.is_freed
        self.is_freed = True
        self.copier.channels.remove(self)
        self.poll()
        self.fail()


class ToldCopier:
    """Registration, interface and copier in one: `channels` are those that are allocated."""

    def __init__(self, memory: GuestMemory, *, channels: int = 4) -> None:
        self.memory = memory
        self.room = channels
        self.channels: list[ToldChannel] = []
        self.client: Any = None
        self.moved = 0
        self.is_automatic = False
        self.is_closed = False
        self.interrupts = 0

    @property
    def interface(self) -> ToldCopier:
        return self

    def register_client(self, client: Any) -> ToldCopier:
        assert self.client is None
        self.client = client
        client.pnp_event(Code.ARRIVAL, self)
        return self

    def deregister(self) -> None:
        assert not self.channels
        self.client = None

    def allocate_channel(self, cpu: int = 0) -> ToldChannel | None:
        if len(self.channels) >= self.room:
            return None
        made = ToldChannel(self, cpu)
        self.channels.append(made)
        return made

    def check(self, transfer: Transfer) -> None:
        """Both ends are guest memory, and allocated."""
        for start in (transfer.destination, transfer.source):
            owners = [
                each
                for each in self.memory.live
                if each.address <= start and start + transfer.length <= each.address + len(each)
            ]
            assert len(owners) == 1, f"{start:#x}+{transfer.length:#x} is nobody's"

    # -- link of the world: an engine that copies by itself

    def next_deadline_ns(self) -> int | None:
        return None

    def advance(self, now_ns: int) -> int:
        return sum(channel.step() for channel in list(self.channels)) if self.is_automatic else 0

    # -- copier

    def close(self) -> None:
        assert self.client is None
        self.is_closed = True

    def abandon(self) -> None:
        self.is_closed = True
