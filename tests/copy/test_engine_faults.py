"""Faults of a copy engine: what is late, swapped, doubled, stuck, or takes the engine away."""

from __future__ import annotations

import pytest

from tests.copy.driver import Driver
from vnic.abi import DmaPurpose, DmaStatus
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError
from vnic.fault import Fault, FaultAction, FaultSite
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import COPY_BAR0

TEXT = bytes(i * 7 & 0xFF for i in range(600))
WRITE = FaultSite.DMA_WRITE


@pytest.mark.requirement("FLT-1")
@pytest.mark.parametrize("site", [FaultSite.FRAME_IN, FaultSite.FRAME_OUT, FaultSite.TIMER, FaultSite.ADMIN])
def test_what_an_engine_lacks(engine: CopyEngine, site: FaultSite) -> None:
    with pytest.raises(ArgumentError):
        engine.arm(Fault(site=site, action=FaultAction.REMOVE))


@pytest.mark.requirement("FLT-4")
def test_a_late_completion(driver: Driver, engine: CopyEngine) -> None:
    fault = Fault(site=WRITE, action=FaultAction.DELAY, index=DmaPurpose.COMPLETION, argument=500)
    channel = driver.channel(0)
    target = channel.post_copy(TEXT, int_en=1, compl_write=1)
    before = channel.completion
    with engine.arm(fault) as armed:
        channel.start()
        assert driver.vectors() == [0]  # the interrupt is faster
        assert driver.memory.get(target, len(TEXT)) == TEXT
        assert channel.completion == before
        assert engine.next_deadline_ns() == 500
        engine.advance(500)
        assert channel.completion[0] is ChanStatus.DONE
        assert armed.fired == 1


@pytest.mark.requirement("FLT-5")
def test_pieces_change_places(driver: Driver, engine: CopyEngine) -> None:
    """Two copies to one place: the order decides what is there in the end."""
    fault = Fault(site=WRITE, action=FaultAction.REORDER, index=DmaPurpose.DATA, argument=1)
    channel = driver.channel(0)
    first = channel.post_copy(b"first")
    second = channel.post_copy(b"later")
    with engine.arm(fault):
        channel.start()
        assert driver.memory.get(second, 5) == b"later"
        assert driver.memory.get(first, 5) == b"first"


@pytest.mark.requirement("FLT-7")
def test_a_stuck_line_while_reading(driver: Driver, engine: CopyEngine) -> None:
    fault = Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.STUCK,
        index=DmaPurpose.DATA,
        argument=0,
        mask=0xFF,
        count=100,
    )
    channel = driver.channel(0)
    target = channel.post_copy(TEXT)
    with engine.arm(fault):
        channel.start()
    copied = driver.memory.get(target, len(TEXT))
    different = [n for n in range(len(TEXT)) if copied[n] != TEXT[n]]
    assert {n % 8 for n in different} == {different[0] % 8}
    assert all(copied[n] == 0 for n in different)


@pytest.mark.requirement("FLT-9")
@pytest.mark.parametrize(
    ("site", "index"),
    [
        (FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR),
        (FaultSite.DMA_READ, DmaPurpose.DATA),
        (WRITE, DmaPurpose.DATA),
        (WRITE, DmaPurpose.COMPLETION),
        (FaultSite.INTERRUPT, 0),
        (FaultSite.MMIO_WRITE, 0),
        (FaultSite.MMIO_READ, 0),
    ],
)
def test_removal_in_the_middle_of_work(
    driver: Driver, engine: CopyEngine, site: FaultSite, index: int
) -> None:
    channel = driver.channel(0)
    channel.post_copy(TEXT, int_en=1, compl_write=1)
    engine.arm(Fault(site=site, action=FaultAction.REMOVE, index=index))
    channel.start()
    engine.read32(COPY_BAR0.CBVER.offset)
    assert engine.read32(COPY_BAR0.CBVER.offset) == engine.config_read(0) == 0xFFFF_FFFF
    assert engine.is_idle
    gone = engine.state_hash()
    engine.remove()
    assert engine.state_hash() == gone
    engine.insert()
    assert engine.config_read(0) & 0xFFFF == 0x8086


@pytest.mark.requirement("FLT-3")
def test_every_second_descriptor_is_poisoned(driver: Driver, engine: CopyEngine) -> None:
    channel = driver.channel(0)
    for _ in range(3):
        channel.post_copy(b"text")
    poison = Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.ERROR,
        index=DmaPurpose.DESCRIPTOR,
        argument=DmaStatus.POISONED,
        pick=2,  # type: ignore[arg-type]
        one_in=2,
        count=9,
    )
    with engine.arm(poison) as armed:
        channel.start()
        assert channel.status is ChanStatus.HALTED
        assert channel.clear_error() == COPY_BAR0.CHANERR.field("DESC_INTEGRITY").mask
        assert armed.fired == 1
