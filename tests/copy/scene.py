"""One channel of a pair on a chain of the test's making, and what must be true when it ended."""

from __future__ import annotations

from collections.abc import Iterable

from tests.copy.pair import CHAINS, DATA, INTRCTRL, REGIONS, Pair, Region, Shape
from vnic.abi import DmaPurpose, EventType
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, COPY_BAR0, Chancmd, Chanctrl

SLOT = CopyDescriptor.SIZE
COMPLETION = CHAINS.addr + 0x2000
#: Where the chain of recover() is: nobody else's slots.
SPARE = CHAINS.addr + 0x1E00
#: A chain of some descriptors ends within so many steps.
ENOUGH = 200
REPORTING = Chanctrl.INT_DISABLE | Chanctrl.ERR_COMPLETION_EN | Chanctrl.ERR_INT_EN


def slot(number: int) -> int:
    """Address of a descriptor of the chain."""
    return CHAINS.addr + number * SLOT


def copy(size: int = 256, *, at: int = 0, **fields: int) -> CopyDescriptor:
    """From the first pages of DATA to its last ones; `at` keeps several apart."""
    fields = {"src": DATA.addr + 0x100 + at * 0x400, "dst": DATA.addr + 0x4000 + at * 0x400, **fields}
    return CopyDescriptor(size=size, **fields)


def completion_word(addr: int, state: ChanStatus, *, has_error: bool = False) -> bytes:
    """The 8 bytes that a completion writes."""
    return (addr | has_error << 3 | state).to_bytes(8, "little")


class Scene:
    """A pair, and channel `index` of it."""

    def __init__(
        self,
        shape: Shape | None = None,
        *,
        pair: Pair | None = None,
        index: int = 0,
        chanctrl: int = REPORTING,
    ) -> None:
        self.pair = pair or Pair(shape)
        self.index = index
        self.before = self.image()
        self.pair.write(INTRCTRL, 0x09, 1)
        self.write("CHANCTRL", chanctrl)
        self.completion = COMPLETION + 64 * index
        self.write("CHANCMP", self.completion)

    def neighbour(self, index: int) -> Scene:
        """Another channel of the same engine."""
        return Scene(pair=self.pair, index=index)

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.pair.engine.close()

    # -- registers -------------------------------------------------------------------------------------------

    def write(self, name: str, value: int) -> None:
        """A register of the channel, whole."""
        register = COPY_BAR0.MAP[name]
        self.pair.write(register.at(self.index), value, register.bytes)

    def read(self, name: str) -> int:
        """A register of the channel, whole."""
        register = COPY_BAR0.MAP[name]
        return self.pair.read(register.at(self.index), register.bytes)

    def command(self, *names: str) -> None:
        """Write CHANCMD, 8 bits."""
        bits = COPY_BAR0.CHANCMD.encode(**dict.fromkeys(names, 1))
        self.pair.write(COPY_BAR0.CHANCMD.at(self.index), bits, 1)

    def count(self, count: int) -> None:
        """Write DMACOUNT."""
        self.pair.write(COPY_BAR0.CHANCMD.at(self.index) + 2, count, 2)

    def state(self) -> ChanStatus:
        """As CHANSTS shows it."""
        return ChanStatus(self.read("CHANSTS") & 7)

    @property
    def last(self) -> int:
        """The descriptor that CHANSTS names."""
        return self.read("CHANSTS") & ~0x3F

    @property
    def dmacount(self) -> int:
        """DMACOUNT as it reads."""
        return self.read("CHANCMD") >> Chancmd.DMACOUNT_SHIFT

    @property
    def vectors(self) -> list[int]:
        """Messages since the last look."""
        return [said.number for said in self.pair.heard()]

    def config(self, name: str, field: str) -> int:
        """A field of configuration space."""
        register = CONFIG.MAP[name]
        return register.field(field).get(self.pair.engine.config_read(register.offset))

    # -- chains ----------------------------------------------------------------------------------------------

    def chain(self, *descriptors: CopyDescriptor, first: int = 0) -> None:
        """Write descriptors into slots; NEXT, where it is 0, is the slot behind."""
        for number, descriptor in enumerate(descriptors, first):
            descriptor.next = descriptor.next or slot(number + 1)
            self.pair.put(slot(number), descriptor)
        self.before = self.image()

    def start(self, count: int, addr: int = slot(0)) -> None:
        """A new chain, and how many descriptors of it."""
        self.write("CHAINADDR", addr)
        self.count(count)

    def step(self, times: int = 1) -> None:
        """Steps of the channel, each compared."""
        for _ in range(times):
            assert self.pair.step(self.index)
            self.pair.check_memory()

    def run(self, steps: int = ENOUGH) -> int:
        """Run to the end, which is near; everything is compared."""
        taken = self.pair.run(steps)
        assert taken < steps
        for name in ("CHANSTS", "CDAR", "CHANERR", "CHANCMD"):
            self.read(name)
        self.pair.check_memory()
        return taken

    # -- what is in memory -----------------------------------------------------------------------------------

    def image(self) -> dict[Region, bytes]:
        """All memory as the engine left it."""
        return {region: bytes(data) for region, data in self.pair.bytes.items()}

    def assert_only(self, changes: Iterable[tuple[int, bytes]]) -> None:
        """Memory is as before the run, but for these bytes: none is missing, none is stray."""
        expected = {region: bytearray(data) for region, data in self.before.items()}
        for addr, data in changes:
            region = next(r for r in REGIONS if r.addr <= addr < r.end)
            expected[region][addr - region.addr : addr - region.addr + len(data)] = data
        for region, data in self.image().items():
            assert data == expected[region], region

    def old(self, addr: int, count: int) -> bytes:
        """Bytes as they were before the run; they lie in one region."""
        region = next(r for r in REGIONS if r.addr <= addr < r.end)
        return self.before[region][addr - region.addr : addr - region.addr + count]

    def assert_halted(self, bit: int, *, current: int, last: int) -> None:
        """By one error, at `current`, after `last`."""
        assert self.state() == ChanStatus.HALTED
        assert self.read("CHANERR") == bit
        assert self.read("CHANSTS") >> 3 & 1
        assert (self.read("CDAR"), self.last) == (current, last)
        assert self.pair.oracle.runnable == list(self.pair.engine.runnable) == []

    def recover(self) -> None:
        """RESET, and the engine copies as if nothing had been."""
        self.command("RESET")
        assert (self.state(), self.read("CHANERR"), self.last) == (ChanStatus.HALTED, 0, 0)
        self.write("CHANCMP", COMPLETION)
        source, target = DATA.addr + 0x20, DATA.addr + 0x5800
        work = CopyDescriptor(size=100, src=source, dst=target, compl_write=1, int_en=1, next=SPARE)
        self.pair.put(SPARE, work)
        self.before = self.image()
        self.write("CHANCTRL", REPORTING)
        self.start(1, SPARE)
        self.run()
        assert self.state() == ChanStatus.DONE
        done = completion_word(SPARE, ChanStatus.DONE)
        self.assert_only([(target, self.old(source, 100)), (COMPLETION, done)])


class Log:
    """What the engine does on the bus: descriptors it fetches, and transfers in order."""

    def __init__(self, scene: Scene) -> None:
        self.events: list[Event] = []
        types = (EventType.DMA_READ, EventType.DMA_WRITE)
        scene.pair.engine.observe(self.events.append, types)

    @property
    def fetched(self) -> list[int]:
        """Addresses of descriptors, in order."""
        return [event.addr for event in self.events if event.index == DmaPurpose.DESCRIPTOR]

    def of(self, event_type: EventType, purpose: DmaPurpose, addr: int) -> int:
        """Which event a transfer at this address was."""
        wanted = (event_type, purpose, addr)
        return next(n for n, e in enumerate(self.events) if (e.type, e.index, e.addr) == wanted)
