"""Bursts must not show: an engine that nobody watches does step for step what a watched one does."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.copy.driver import BASE, Driver
from vnic.abi import EventType, Map
from vnic.copy_engine import Budget, CopyEngine
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import CopyOp
from vnic.gen.registers import COPY_BAR0, Chanerr

ALL = (1 << 64) - 1
PAGE, SLOT = 4096, CopyDescriptor.SIZE
PAGES = 48
RINGS = 14  # pages that the channels' rings and completions take
CHANNELS = 3
SLOTS = 32
SIZES = (1, 8, 63, 64, 65, 256, 1500, 1500, 2048, 4095, 4096, 4096, 4097, 8192, 12000, 20000, 65536)
HOLE = BASE + 64 * PAGE
READ_ONLY = HOLE + PAGE
DMA = (EventType.DMA_READ, EventType.DMA_WRITE)


def built(is_watched: bool) -> Driver:
    """An engine with pages of noise, and a page that is read-only behind a hole."""
    driver = Driver(CopyEngine(channels=CHANNELS, manual=True, transfer_log2=16), size=PAGES * PAGE)
    driver.memory.bytes[:] = random.Random(65).randbytes(PAGES * PAGE)
    driver.engine.map(READ_ONLY, bytearray(PAGE), int(Map.READ))
    if is_watched:
        driver.engine.observe(lambda _: None, DMA)
    return driver


class Script:
    """What a seed makes of a chain: the same for every engine that it is played to."""

    def __init__(self, seed: int, *, is_rough: bool) -> None:
        self.random = random.Random(seed)
        self.is_rough = is_rough

    def place(self, size: int) -> int:
        """Anywhere in the memory, the rings included, or in a page of its own."""
        if self.is_rough and self.random.random() < 0.04:
            return self.random.choice((HOLE, READ_ONLY, HOLE - 8, READ_ONLY + PAGE - 40))
        if self.random.random() < 0.5:
            return BASE + self.random.randrange(RINGS, PAGES - 17) * PAGE
        first = 0 if self.is_rough else RINGS * PAGE
        return BASE + self.random.randrange(first, PAGES * PAGE - size)

    def descriptor(self) -> CopyDescriptor:
        """Plain copies mostly; now and then something that ends a burst."""
        pick = self.random.random
        size = self.random.choice(SIZES if pick() < 0.3 else SIZES[:8])
        made = CopyDescriptor(size=size, src=self.place(size), dst=self.place(size), fence=pick() < 0.1)
        made.compl_write, made.int_en = pick() < 0.1, pick() < 0.05
        if pick() < 0.06:
            made.null = 1
        elif pick() < 0.06:
            made.op = CopyOp.FILL
        elif pick() < 0.05 and size <= PAGE:
            made.src_brk, made.next_src = 1, BASE + self.random.randrange(RINGS, PAGES) * PAGE
        elif self.is_rough and pick() < 0.02:
            made.size = self.random.choice((0, 65537, 1 << 31))
        return made

    def play(self, driver: Driver, run: Callable[[CopyEngine, Budget], None]) -> None:
        """Chains on every channel, in turns with budgets, appends and suspensions."""
        channels = [driver.channel(n) for n in range(CHANNELS)]
        for channel in channels:
            channel.post(*(self.descriptor() for _ in range(self.random.randrange(1, SLOTS))))
            if self.is_rough and self.random.random() < 0.2:
                bent = channel.slot(self.random.randrange(channel.posted))
                driver.memory.set(bent + 24, self.random.choice((bent, bent + 8, HOLE)).to_bytes(8, "little"))
            channel.start()
        for _ in range(self.random.randrange(12)):
            run(driver.engine, self.budget())
            channel = self.random.choice(channels)
            match self.random.randrange(6):
                case 0:
                    channel.append(self.descriptor(), self.descriptor())
                case 1:
                    channel.command("SUSPEND")
                case 2:
                    channel.command("RESUME")
                case 3:
                    channel.start()
        run(driver.engine, Budget(ALL, ALL))

    def budget(self) -> Budget:
        """Small and odd ones, and some that are as good as none."""
        steps = self.random.choice((1, 2, 3, 5, 16, 17, 33, 100, ALL))
        return Budget(steps, self.random.choice((64, 200, 4096, 9000, 40000, ALL, ALL)))


def picture(driver: Driver) -> list[object]:
    """All that can be seen from outside."""
    engine = driver.engine
    words = [engine.read32(at) for at in range(COPY_BAR0.CHANCTRL.at(0), COPY_BAR0.CHANCTRL.at(CHANNELS), 4)]
    config = [engine.config_read(at, 4) for at in (0x04, 0x78, 0x104, 0x180)]
    return [engine.state_hash(), bytes(driver.memory.bytes), words, config, list(driver.vectors())]


def compare(seed: int, *, is_rough: bool) -> list[Budget]:
    """Play one script to an engine that is watched and to one that is not; what the runs used."""
    told: list[list[tuple[Budget, int]]] = []
    pictures = []
    for is_watched in (False, True):
        used: list[tuple[Budget, int]] = []

        def run(engine: CopyEngine, budget: Budget, used: list[tuple[Budget, int]] = used) -> None:
            used.append((engine.run(budget), engine.state_hash()))

        driver = built(is_watched)
        Script(seed, is_rough=is_rough).play(driver, run)
        told.append(used)
        pictures.append(picture(driver))
        driver.engine.close()
    assert told[0] == told[1]
    assert pictures[0] == pictures[1]
    return [budget for budget, _ in told[0]]


@pytest.mark.requirement("DMA-51")
@examples(40)
@given(seed=st.integers(0, 2**32))
def test_a_burst_is_its_steps(seed: int) -> None:
    assert all(used.steps >= 0 for used in compare(seed, is_rough=False))


@pytest.mark.requirement("DMA-51", "DMA-20", "DMA-41")
@examples(60)
@given(seed=st.integers(0, 2**32))
def test_a_burst_stops_before_what_is_not_simple(seed: int) -> None:
    """Errors, chains that bend, copies onto descriptors and onto each other."""
    compare(seed, is_rough=True)


@pytest.mark.requirement("DMA-51")
@pytest.mark.parametrize("seed", range(4))
def test_one_step_at_a_time_comes_to_the_same(seed: int) -> None:
    whole, single = built(False), built(False)
    total = [Budget(0, 0), Budget(0, 0)]

    def at_once(engine: CopyEngine, _: Budget) -> None:
        used = engine.run()
        total[0] = Budget(total[0].steps + used.steps, total[0].bytes + used.bytes)

    def singly(engine: CopyEngine, _: Budget) -> None:
        while not engine.is_idle:
            used = engine.run(Budget(1, ALL))
            assert used.steps == 1
            total[1] = Budget(total[1].steps + 1, total[1].bytes + used.bytes)

    Script(seed, is_rough=False).play(whole, at_once)
    Script(seed, is_rough=False).play(single, singly)
    assert total[0] == total[1]
    assert picture(whole) == picture(single)


@pytest.mark.requirement("DMA-20")
def test_a_copy_onto_the_next_descriptor_counts() -> None:
    """The second descriptor is what the first one made of it."""
    for is_watched in (False, True):
        driver = built(is_watched)
        memory, channel = driver.memory, driver.channel(0)
        wanted, target = memory.put(b"wanted"), memory.put(bytes(8))
        changed = CopyDescriptor(size=6, src=wanted, dst=target, next=channel.slot(2))
        image = memory.put(changed.pack())
        channel.post(
            CopyDescriptor(size=SLOT, src=image, dst=channel.slot(1)),
            CopyDescriptor(size=6, src=image, dst=target),
        )
        channel.start()
        driver.engine.run()
        assert memory.get(target, 8) == b"wanted\0\0"


@pytest.mark.requirement("DMA-20")
@pytest.mark.parametrize("counts", [(2,), (1, 2)])
@pytest.mark.parametrize("size", [1984, 2048, 2 * PAGE])
def test_a_copy_onto_the_whole_ring_counts(size: int, counts: tuple[int, ...]) -> None:
    """Short or long: the first descriptor was read before, those behind it are read after."""
    pictures = []
    for is_watched in (False, True):
        driver = built(is_watched)
        memory, channel = driver.memory, driver.channel(0)
        image, target = BASE + 30 * PAGE, BASE + 40 * PAGE
        channel.post(
            CopyDescriptor(size=size, src=image, dst=channel.slot(0)),
            *(CopyDescriptor(size=3000, src=image, dst=target) for _ in range(3)),
        )
        changed = bytearray(memory.get(channel.slot(0), size))
        changed[:SLOT] = CopyDescriptor(null=1, compl_write=1, next=channel.slot(1)).pack()
        wanted = CopyDescriptor(size=2500, src=image + PAGE, dst=target + 100, next=channel.slot(2))
        changed[SLOT : 2 * SLOT] = wanted.pack()
        memory.set(image, bytes(changed))
        before = memory.get(target, PAGE)
        channel.start_at(channel.slot(0), 0)
        for count in counts:
            channel.set_count(count)
            driver.engine.run()
            pictures.append(picture(driver))
        moved = memory.get(image + PAGE, 2500)
        assert memory.get(target, PAGE) == before[:100] + moved + before[2600:]
        assert channel.last == channel.slot(1)
    assert pictures[: len(counts)] == pictures[len(counts) :]


@pytest.mark.requirement("DMA-21")
@pytest.mark.parametrize("distance", [1, 100, 4095, 4096, 4097, 9000, -1, -100, -4096, -9000])
def test_overlapping_ends_are_copied_piece_by_piece(distance: int) -> None:
    """A destination that begins inside the source is overwritten by pieces that are read later."""
    size = 5 * PAGE + 77
    results = []
    for is_watched in (False, True):
        driver = built(is_watched)
        source = BASE + 20 * PAGE + 40
        channel = driver.channel(0)
        channel.post(CopyDescriptor(size=size, src=source, dst=source + distance))
        channel.start()
        wanted = bytearray(driver.memory.bytes)
        driver.engine.run()
        results.append(bytes(driver.memory.bytes))
    at = 0
    while at < size:
        ends = [PAGE - (addr + at) % PAGE for addr in (source, source + distance)]
        step = min(size - at, *ends)
        start = source + at - BASE
        wanted[start + distance : start + distance + step] = wanted[start : start + step]
        at += step
    changed = slice(source - BASE - 10000, None)
    assert results[0][changed] == results[1][changed] == bytes(wanted)[changed]


@pytest.mark.requirement("DMA-40", "DMA-5")
@pytest.mark.parametrize("is_watched", [False, True])
def test_a_descriptor_off_its_place_ends_the_burst(is_watched: bool) -> None:
    """It would be a good one, if it were aligned."""
    driver = built(is_watched)
    memory, channel = driver.memory, driver.channel(0)
    source, target = memory.put(b"moved"), memory.put(bytes(16))
    ghost = memory.alloc(2 * SLOT) + 8
    memory.set(ghost, CopyDescriptor(size=5, src=source, dst=target + 8).pack())
    channel.post(CopyDescriptor(size=5, src=source, dst=target, next=ghost), CopyDescriptor(null=1))
    channel.start()
    driver.engine.run()
    assert channel.chanerr == Chanerr.NEXT_ALIGN
    assert memory.get(target, 16) == b"moved" + bytes(11)


@pytest.mark.requirement("DMA-51")
@pytest.mark.parametrize("cut", [1, 3, 16, 7, 1000])
def test_turns_of_sixteen_steps_however_a_budget_is_cut(cut: int) -> None:
    """A NULL descriptor is one step: how far each channel came says whose turn it was."""
    driver = built(False)
    channels = [driver.channel(n) for n in (0, 2)]
    counts = (40, 60)
    for channel, count in zip(channels, counts, strict=True):
        channel.post(*(CopyDescriptor(null=1) for _ in range(count)))
        channel.start()
    order = [0] * 16 + [1] * 16 + [0] * 16 + [1] * 16 + [0] * 8 + [1] * 28
    for done in range(cut, sum(counts) + cut, cut):
        driver.engine.run(Budget(cut, ALL))
        expected = [order[:done].count(n) for n in range(2)]
        came = [(c.last - c.slot(0)) // SLOT + 1 if c.last else 0 for c in channels]
        assert came == expected
