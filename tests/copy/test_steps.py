"""Steps, turns, budgets, resets, removal: what the engine does when, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.copy.driver import Driver
from vnic.abi import EventType, ResetLevel
from vnic.copy_engine import IRQ, Budget, CopyEngine
from vnic.errors import SnapshotError
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanerr
from vnic.host import pci

PAGE = 4096
ALL = (1 << 64) - 1


def manual(**parameters: Any) -> Driver:
    """An engine that takes steps when told."""
    return Driver(CopyEngine(manual=True, **parameters))


def fill_ring(driver: Driver, index: int, count: int, size: int = 64) -> None:
    """Start a chain of copies with completions."""
    channel = driver.channel(index)
    source, target = (
        driver.memory.put(bytes(range(1, 65)) * (size // 64), size),
        driver.memory.alloc(size, size),
    )
    channel.post(*(CopyDescriptor(size=size, src=source, dst=target, compl_write=1) for _ in range(count)))
    channel.start()


@pytest.mark.requirement("DMA-50")
def test_a_step_is_a_fetch_or_a_piece_or_a_completion() -> None:
    driver = manual()
    channel = driver.channel(0)
    source, target = driver.memory.alloc(3 * PAGE, PAGE), driver.memory.alloc(3 * PAGE, PAGE)
    channel.post(
        CopyDescriptor(size=2 * PAGE, src=source, dst=target, compl_write=1, int_en=1),
        CopyDescriptor(null=1),
        CopyDescriptor(null=1, int_en=1),
        CopyDescriptor(size=100, op=CopyOp.FILL, dst=target),
    )
    channel.start()
    used = []
    while (step := driver.engine.run(Budget(1, ALL))).steps:
        used.append(step.bytes)
    assert used == [64, 2 * PAGE, 2 * PAGE, 8, 64, 64, 0, 64, 100]
    assert max(used) <= 8192


@pytest.mark.requirement("DMA-50")
def test_an_access_takes_no_step() -> None:
    driver = manual()
    seen: list[Event] = []
    fill_ring(driver, 0, 3)
    with driver.engine.observe(seen.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        for command in ("SUSPEND", "RESUME", "ABORT", "RESET"):
            driver.channel(0).command(command)
        driver.channel(0).set_count(9)
        driver.channel(0).command("SUSPEND", "ABORT")
    assert seen == []
    assert list(driver.engine.runnable) == [0]  # the report of an error


@pytest.mark.requirement("DMA-50")
@pytest.mark.parametrize(
    ("limit", "total"), [(63, 0), (64, 64), (2 * PAGE - 1, 64), (2 * PAGE, 4 * (64 + 2 * PAGE + 8))]
)
def test_a_budget_of_bytes_is_never_exceeded(limit: int, total: int) -> None:
    driver = manual()
    fill_ring(driver, 0, 4, size=PAGE)
    moved = 0
    while (used := driver.engine.run(Budget(1000, limit))).steps:
        assert used.bytes <= limit
        moved += used.bytes
    assert moved == total


class Writes:
    """Addresses and bytes of what an engine writes."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []

    def __call__(self, event: Event) -> None:
        self.seen.append((event.addr, event.data))

    def run(self, driver: Driver, steps: int) -> None:
        """To the end, `steps` at a time."""
        with driver.engine.observe(self, (EventType.DMA_WRITE,)):
            while driver.engine.run(Budget(steps, ALL)).steps:
                pass


@pytest.mark.requirement("DMA-51")
def test_channels_take_turns_of_16_steps_in_their_order() -> None:
    driver = manual(channels=3)
    for index in range(3):
        fill_ring(driver, index, 12)
    owner = {driver.channel(index).completion_addr: index for index in range(3)}
    writes = Writes()
    writes.run(driver, 1)
    # 36 steps a channel: the 16th ends in the 6th copy, the 32nd in the 11th.
    expected = [0] * 5 + [1] * 5 + [2] * 5 + [0] * 5 + [1] * 5 + [2] * 5 + [0] * 2 + [1] * 2 + [2] * 2
    assert [owner[addr] for addr, _ in writes.seen if addr in owner] == expected


@pytest.mark.requirement("DMA-51")
@pytest.mark.parametrize("cut", [1, 2, 5, 16, 17, 1000])
def test_how_a_budget_is_cut_changes_nothing(cut: int) -> None:
    whole, pieces = (manual(channels=3), Writes()), (manual(channels=3), Writes())
    for (driver, writes), steps in ((whole, 10**6), (pieces, cut)):
        for index in range(3):
            fill_ring(driver, index, 9 + index)
        writes.run(driver, steps)
    assert whole[1].seen == pieces[1].seen
    assert whole[0].memory.bytes == pieces[0].memory.bytes
    assert whole[0].engine.state_hash() == pieces[0].engine.state_hash()


@pytest.mark.requirement("DMA-51")
def test_an_engine_that_was_idle_starts_with_channel_0() -> None:
    driver = manual()
    fill_ring(driver, 2, 1)
    driver.engine.run(Budget(1, ALL))
    while driver.engine.step(2):
        pass
    for index in (3, 0):
        fill_ring(driver, index, 1)
    driver.engine.run(Budget(3, ALL))
    assert [driver.channel(index).status for index in (0, 3)] == [ChanStatus.DONE, ChanStatus.ACTIVE]


@pytest.mark.requirement("DMA-52")
def test_a_descriptor_that_points_to_itself_ends_with_its_count() -> None:
    driver = manual()
    channel = driver.channel(0)
    word = CopyDescriptor(size=64, src=driver.memory.alloc(64), dst=driver.memory.alloc(64))
    word.next = channel.slot(0)
    channel.post(word)
    channel.start_at(channel.slot(0), 0xFFFF)
    bound = driver.engine.idle_steps
    used = driver.engine.run()
    assert used.steps == 2 * 0xFFFF <= bound
    assert (channel.status, driver.engine.idle_steps) == (ChanStatus.DONE, 16)


@pytest.mark.requirement("DMA-52")
@pytest.mark.parametrize("log2", [12, 20])
def test_idle_steps_are_an_upper_bound_at_every_step(log2: int) -> None:
    driver = manual(transfer_log2=log2)
    channel = driver.channel(0)
    source, target = driver.memory.alloc(5 * PAGE, PAGE), driver.memory.alloc(5 * PAGE, PAGE)
    size = min(3 * PAGE, 1 << log2)
    channel.post(
        CopyDescriptor(size=size, src=source + 1, dst=target + 2, compl_write=1, int_en=1),
        CopyDescriptor(size=size, src=source + 1, dst=1 << 50),
    )
    channel.start()
    bounds = [driver.engine.idle_steps]
    while driver.engine.step(0):
        bounds.append(driver.engine.idle_steps)
    assert channel.chanerr == Chanerr.DEST_ADDR
    assert all(bound >= len(bounds) - 1 - taken for taken, bound in enumerate(bounds))


@pytest.mark.requirement("DMA-53")
@pytest.mark.parametrize("level", ["FLR", "D3", ResetLevel.HOT, ResetLevel.POWER])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_every_reset_of_the_function_resets_the_engine(level: ResetLevel | str, after: int) -> None:
    driver = manual()
    fill_ring(driver, 0, 2)
    driver.engine.write16(COPY_BAR0.INTRDELAY.offset, 5)
    for _ in range(after):
        driver.engine.step(0)
    if level == "FLR":
        driver.engine.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(FLR=1))
    elif level == "D3":
        for state in (3, 0):
            driver.engine.config_write(CONFIG.PM_CTRL.offset, CONFIG.PM_CTRL.encode(STATE=state))
    elif isinstance(level, ResetLevel):
        driver.engine.reset(level)
    assert driver.engine.is_idle
    pci.Fields(driver.engine).change(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    fresh = manual()
    for offset in (*range(0, 0x18, 4), *range(0x80, 0x280, 4)):
        if offset not in (
            0x00,
            *range(0x80, 0x280, 0x80),
        ):  # INTRCTRL and CHANCTRL are not at reset in `fresh`
            assert driver.engine.read32(offset) == fresh.engine.read32(offset), hex(offset)
    assert driver.engine.read32(0x00) >> 24 == 0
    assert [driver.engine.read32(COPY_BAR0.CHANCTRL.at(index)) for index in range(4)] == [0x20000] * 4


@pytest.mark.requirement("DMA-54")
@pytest.mark.parametrize("is_overlapping", [0, 1])
def test_a_snapshot_at_every_step_goes_on_as_the_original(is_overlapping: int) -> None:
    def start() -> Driver:
        driver = manual(is_overlapping=is_overlapping)
        channel = driver.channel(0)
        source, target = driver.memory.put(bytes(range(200)) * 50), driver.memory.alloc(10000)
        channel.post(
            CopyDescriptor(size=5000, src=source, dst=target),
            CopyDescriptor(size=3000, op=CopyOp.FILL, src=ALL, dst=target + 5000),
            CopyDescriptor(size=20, src=source, dst=target + 8000, compl_write=1, int_en=1),
            CopyDescriptor(size=0),
        )
        channel.start()
        return driver

    whole = start()
    steps = whole.engine.run().steps
    vectors, image = whole.vectors(), bytes(whole.memory.bytes)
    for taken in range(steps + 1):
        first, second = start(), manual(is_overlapping=is_overlapping)
        first.engine.run(Budget(taken, ALL))
        second.memory.bytes[:] = first.memory.bytes
        saved = first.engine.save()
        second.engine.load(saved)
        assert second.engine.state_hash() == first.engine.state_hash()
        assert second.engine.save() == saved
        second.engine.run()
        assert bytes(second.memory.bytes) == image
        assert second.vectors() == vectors
        assert second.engine.state_hash() != whole.engine.state_hash() or second.engine.interrupts() == []


@pytest.mark.requirement("DMA-54")
def test_a_snapshot_of_another_shape_or_cut_short_is_refused() -> None:
    driver = manual()
    fill_ring(driver, 0, 2)
    image = driver.engine.save()
    fresh = CopyEngine(manual=True).state_hash()
    for length in (0, 5, len(image) // 2, len(image) - 1):
        engine = CopyEngine(manual=True)
        with pytest.raises(SnapshotError):
            engine.load(image[:length])
        assert engine.state_hash() == fresh
    for other in ({"channels": 5}, {"vectors": 3}, {"transfer_log2": 21}, {"is_overlapping": True}):
        with pytest.raises(SnapshotError):
            CopyEngine(manual=True, **other).load(image)


@pytest.mark.requirement("DMA-55")
@pytest.mark.parametrize("after", range(4))
def test_a_removed_engine_reads_all_ones_and_moves_nothing(after: int) -> None:
    driver = manual()
    fill_ring(driver, 0, 2)
    for _ in range(after):
        driver.engine.step(0)
    before = bytes(driver.memory.bytes)
    driver.engine.remove()
    assert driver.engine.is_idle
    assert driver.engine.read64(COPY_BAR0.CHANSTS.at(0)) == ALL
    driver.channel(0).start()
    driver.engine.run()
    assert bytes(driver.memory.bytes) == before
    driver.engine.insert()
    driver.enable()
    driver.channel(0).start_at(driver.channel(0).slot(0), 2)  # the mapping is still there
    driver.engine.run()
    assert driver.channel(0).status == ChanStatus.DONE


@pytest.mark.requirement("DMA-45")
def test_channels_wait_for_bus_master_enable() -> None:
    driver = manual()
    fill_ring(driver, 0, 1)
    command = pci.Fields(driver.engine)
    steps = 0
    for is_on in (0, 1) * 3:
        command.change(CONFIG.COMMAND, MASTER=is_on)
        assert list(driver.engine.runnable) == [0] * is_on
        steps += driver.engine.step(0)
    assert (steps, driver.channel(0).status) == (3, ChanStatus.DONE)
    assert not driver.engine.step(IRQ)
