"""The NetDMA provider under a client and the PnP manager, over a bus that may fail."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError, VnicError
from vnic.fault import Fault
from vnic.fuzz.choice import OneOf, Range
from vnic.fuzz.scene import Broken, Scene, act
from vnic.host.memory import GuestBuffer
from vnic.netdma.client import ClientHandle
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.record import ProviderRecord
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

__all__ = ["NetDmaScene"]

CHANNELS = 2
_OPTIONS: Final[dict[str, Any]] = {
    **{"seed": 0, "interrupt": "msix", "minor": 20, "is_overlapping": False},
    "unbounded": True,
}
_MEMORY = 2 << 20
_LIVE_MAX = 24
_FAULTS = 8
_STATUSES = tuple(DmaStatus)[1:]


class Copy:
    """One copy: its memory, what is to be there in the end, and how often and how it ended."""

    def __init__(self, source: GuestBuffer, target: GuestBuffer, is_judged: bool) -> None:
        """is_judged: the engine tells the truth, so that what ended as copied is copied."""
        self.source, self.target = source, target
        self.is_judged = is_judged
        self.ends: list[bool] = []

    def check(self) -> None:
        """Broken when it ended twice, or as done with other bytes in place."""
        if len(self.ends) > 1:
            raise Broken("netdma-twice", "the end of a copy was told twice")
        if self.is_judged and self.ends == [True] and self.source.view != self.target.view:
            raise Broken("netdma-data", f"{len(self.source)} bytes were copied, and are not there")

    def free(self) -> None:
        """Give the memory back."""
        self.source.free()
        self.target.free()


class Client:
    """A client that keeps the events; channels are the scene's."""

    def __init__(self, bench: CopyBench) -> None:
        self.events: list[NET_DMA_PNP_NOTIFICATION_CODE] = []
        self.handle: ClientHandle = bench.interface.register_client(self)

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: ProviderRecord) -> None:
        """Keep it."""
        self.events.append(code)


class NetDmaScene(Scene):
    """A CopyBench; copies are made through the interface, which holds both sides to its rules."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options.keys() - _OPTIONS.keys():
            raise ArgumentError(f"options of a provider's scene: {sorted(options.keys() - _OPTIONS.keys())}")
        options = _OPTIONS | options
        self.bench = self.make_bench(options)
        self.interrupt = options["interrupt"]
        self.client = Client(self.bench)
        self.channels: list[DmaChannel | None] = [None] * CHANNELS
        self.copies: list[Copy] = []
        self.is_asleep = self.is_removed = False

    def make_bench(self, options: dict[str, Any], **more: Any) -> CopyBench:
        """The bench that the options describe; `more` is CopyBench's."""
        usual: dict[str, Any] = {"cpus": 2, "memory_bytes": _MEMORY}
        return CopyBench(
            channels=CHANNELS,
            seed=options["seed"] or None,
            interrupt=options["interrupt"],
            version=divmod(options["minor"], 10),
            device={"is_overlapping": options["is_overlapping"], "faults": _FAULTS},
            ring=16,
            **usual | more,
        )

    @property
    def engine(self) -> CopyEngine:
        """The engine itself."""
        return self.bench.engine

    @property
    def is_truthful(self) -> bool:
        """Whether what the engine says is so."""
        return True

    @property
    def is_started(self) -> bool:
        """Whether the provider runs."""
        record = self.bench.provider.record
        return record is not None and record.is_started

    @property
    def is_here(self) -> bool:
        """Whether the engine is there, at full power."""
        return not (self.is_asleep or self.is_removed)

    @property
    def situation(self) -> str:
        """Power, and how many channels are held."""
        where = "removed" if self.is_removed else "asleep" if self.is_asleep else "up"
        return f"{where}, {sum(each is not None for each in self.channels)} channels"

    # -- channels and copies ---------------------------------------------------------------------------------

    @act(8, slot=Range(0, CHANNELS - 1), cpu=Range(0, 1))
    def allocate(self, slot: int, cpu: int) -> None:
        """NetDmaAllocateChannel, or free."""
        held = self.channels[slot]
        if held is None:
            self.channels[slot] = self.client.handle.allocate_channel(cpu)
            return
        self.channels[slot] = None
        if not held.handle.is_freed:
            held.free()

    @act(
        24,
        when=lambda s: len(s.copies) < _LIVE_MAX,
        slot=Range(0, CHANNELS - 1),
        size=OneOf(64, 1, 1460, 4096, 5000, 9000),
        inset=OneOf(0, 1, 60, 4090),
        pieces=Range(1, 3),
    )
    def copy(self, slot: int, size: int, inset: int, pieces: int) -> None:
        """A copy of some bytes from anywhere in a page, in a few transfers."""
        channel = self.channels[slot]
        if channel is None or not channel.is_usable:
            return
        made = self._make(size, inset)
        cut = max(size // pieces, 1)
        transfers = [
            Transfer(made.target.address + at, made.source.address + at, min(cut, size - at))
            for at in range(0, size, cut)
        ]
        if not channel.copy(transfers, made.ends.append):
            self.reached.add("no room")
            made.free()
            return
        self.copies.append(made)

    def _make(self, size: int, inset: int) -> Copy:
        memory = self.bench.memory
        number = len(self.copies) + 1
        source = memory.alloc(size, align=16, label=f"source {inset}")
        target = memory.alloc(size, align=16, label="target")
        source.view[:] = bytes((i * 167 + (i >> 8) * 31 + number * 97 + inset) & 0xFF for i in range(size))
        target.view[:] = bytes(size)
        return Copy(source, target, self.is_truthful)

    # -- the engine stands still -----------------------------------------------------------------------------

    @act(4)
    def hold(self) -> None:
        """The engine does nothing by itself, or does so again."""
        self.engine.is_manual = not self.engine.is_manual

    @act(10, when=lambda s: s.engine.is_manual, count=OneOf(1, 2, 9))
    def step(self, count: int) -> None:
        """Steps of the parts that can."""
        for _ in range(count):
            self.bench.step()

    @act(6)
    def restore(self) -> None:
        """The engine is saved and loaded, whatever it was at."""
        engine = self.engine
        was_manual, engine.is_manual = engine.is_manual, True
        image, before = engine.save(), engine.state_hash()
        engine.load(image)
        if engine.state_hash() != before or engine.save() != image:
            raise Broken("netdma-restore", "an engine that loaded its own snapshot is another")
        engine.is_manual = was_manual

    @act(
        4,
        site=OneOf(int(FaultSite.DMA_READ), int(FaultSite.DMA_WRITE), int(FaultSite.INTERRUPT)),
        skip=Range(0, 9),
        status=Range(0, len(_STATUSES) - 1),
    )
    def fail(self, site: int, skip: int, status: int) -> None:
        """A DMA error, or an interrupt that is lost."""
        is_interrupt = site == FaultSite.INTERRUPT
        if is_interrupt and self.interrupt == "line":
            return  # a deassertion that is lost has the kernel switch the line off
        action = FaultAction.DROP if is_interrupt else FaultAction.ERROR
        fault = Fault(site=FaultSite(site), action=action, skip=skip, argument=int(_STATUSES[status]))
        try:
            self.engine.arm(fault)
        except VnicError:
            return  # no room
        self.reached.add(f"fault: {FaultSite(site).name}")

    # -- PnP -------------------------------------------------------------------------------------------------

    @act(2, when=lambda s: s.is_started and not s.is_removed)
    def sleep(self) -> None:
        """To D3, or back; a provider of 1.0 does not go while clients have channels."""
        self.engine.is_manual = False
        if self.is_asleep:
            self.bench.provider.power_up()
            self.is_asleep = False
        else:
            status = self.bench.provider.power_down()
            self.is_asleep = status == NTSTATUS.SUCCESS
            self.reached.add(f"power down: {status.name}")

    @act(1, when=lambda s: s.is_here and s.is_started)
    def remove(self) -> None:
        """Surprise removal: everything ends as an error, at once."""
        self.bench.remove()
        self.is_removed = True
        if any(not each.ends for each in self.copies):
            raise Broken("netdma-removal", "a copy did not end when its engine was removed")

    # -- time and a look -------------------------------------------------------------------------------------

    @act(8, ns=OneOf(1_000, 1_000_000, 100_000_000))
    def wait(self, ns: int) -> None:
        """Time goes on."""
        self.bench.world.run_for(ns)

    @act(10)
    def settle(self) -> None:
        """To rest; copies that ended are over."""
        self.engine.is_manual = False
        self.bench.settle()
        self._forget_ended()

    def _forget_ended(self) -> None:
        for each in [copy for copy in self.copies if copy.ends]:
            each.check()
            self.reached.add(f"ended: {each.ends[0]}")
            each.free()
            self.copies.remove(each)

    def check(self) -> None:
        """No copy ended twice or wrong; no rule was broken and hidden."""
        for each in self.copies:
            each.check()
        if self.bench.interface.violations:
            raise self.bench.interface.violations[0]

    def finish(self) -> None:
        """Every copy has an end; nothing is left."""
        for number in range(_FAULTS):
            with suppress(VnicError):
                self.engine.disarm(number)
        self.engine.is_manual = False
        if self.is_asleep:
            self.sleep()
        self.bench.world.run_for(10_000_000_000)
        self.bench.settle()
        for channel in filter(None, self.channels):
            if not channel.handle.is_freed:
                channel.free()
        self.bench.settle()
        if lost := sum(not each.ends for each in self.copies):
            raise Broken("netdma-lost", f"{lost} copies never ended")
        self._forget_ended()
        self.client.handle.deregister()
        self.bench.close()

    def abandon(self) -> None:
        """Pull the plug."""
        self.bench.abandon()
