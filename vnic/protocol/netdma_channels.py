"""The channels of a NetDMA client: one a processor, given up when it fails, and asked for again later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE as Code
from vnic.netdma.types import Transfer
from vnic.protocol.netdma_options import NetDmaOptions


class Channel(Protocol):
    """A DMA channel of the NetDMA interface."""

    @property
    def outstanding(self) -> int:
        """Copies that were taken and are not done."""

    def copy(self, transfers: Sequence[Transfer], done: Callable[[bool], None]) -> bool:
        """Begin; False: nothing was taken. done(True): every byte is there, done(False): none may be."""

    def poll(self) -> int:
        """Look for copies that are done, without an interrupt; how many were."""

    def free(self) -> None:
        """Give it back; what is outstanding ends with done(False)."""


class Registration(Protocol):
    """The client's handle at the interface."""

    def allocate_channel(self, cpu: int = 0) -> Channel | None:
        """A channel of the client's own; None: there is none now."""

    def deregister(self) -> None:
        """Give every channel back, and the registration."""


class Channels:
    """Hands out channels by processor. After a failure all wait, longer each time, for the next try."""

    def __init__(self, options: NetDmaOptions, now_ns: Callable[[], int]) -> None:
        self.registration: Registration | None = None
        self._options = options
        self._now_ns = now_ns
        self._by_cpu: dict[int, Channel] = {}
        self._retry_at_ns = 0
        self._retry_ns = options.retry_ns
        self._is_powered = True

    @property
    def is_open(self) -> bool:
        """Whether there is one now, or it is time to ask for one."""
        if self.registration is None or not self._is_powered:
            return False
        return bool(self._by_cpu) or self._now_ns() >= self._retry_at_ns

    @property
    def channels(self) -> list[Channel]:
        """Those that are held."""
        return list(self._by_cpu.values())

    def of(self, cpu: int) -> Channel | None:
        """The channel for copies on a processor: its own, or one of another's where there are too few."""
        channel = self._by_cpu.get(cpu)
        if channel is not None and self._is_powered:
            return channel
        if self.registration is None or not self.is_open:
            return None
        if self._now_ns() >= self._retry_at_ns:
            made = self.registration.allocate_channel(cpu)
            if made is not None:
                self._by_cpu[cpu] = made
                return made
            self._retry_at_ns = self._now_ns() + self._retry_ns
        return next(iter(self._by_cpu.values()), None)

    def on_success(self) -> None:
        """A channel works: the next failure is the first again."""
        self._retry_ns = self._options.retry_ns

    def give_up(self, channel: Channel) -> None:
        """A channel failed: it goes back, which ends what is outstanding; none is asked for for a while."""
        self._by_cpu = {cpu: each for cpu, each in self._by_cpu.items() if each is not channel}
        self._retry_at_ns = self._now_ns() + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, self._options.retry_max_ns)
        channel.free()

    def on_event(self, code: Code) -> None:
        """What became of providers: after a loss nothing is asked for before an arrival."""
        if code is Code.POWER_DOWN:
            self._is_powered = False
        elif code is Code.REMOVAL:
            for channel in self.channels:
                self.give_up(channel)
        elif code in (Code.ARRIVAL, Code.CHANNEL_ARRIVAL, Code.POWER_UP):
            self._is_powered = True
            self._retry_at_ns = 0

    def close(self) -> None:
        """Give everything back."""
        channels, self._by_cpu = self.channels, {}
        for channel in channels:
            channel.free()
        if self.registration is not None:
            self.registration.deregister()
            self.registration = None
