"""Interrupts of channels: attention, rearming, the master enable, INTRDELAY, vectors, the line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.copy.driver import CHANCTRL_RUN, Driver
from vnic.abi import InterruptKind, ResetLevel
from vnic.copy_engine import IRQ, CopyEngine
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanctrl, General
from vnic.host import pci

INTRCTRL = COPY_BAR0.GENERAL.offset + 3
ATTNSTATUS = COPY_BAR0.ATTNSTATUS.offset
INTRDELAY = COPY_BAR0.INTRDELAY.offset
ENABLE = General.MASTER_INT_EN >> 24
VECTORS = General.MSIX_VECTOR_CONTROL >> 24


def manual(**parameters: Any) -> Driver:
    """An engine that takes steps when told."""
    return Driver(CopyEngine(manual=True, **parameters))


def ring(driver: Driver, index: int = 0) -> None:
    """Carry out a NULL descriptor with an interrupt."""
    channel = driver.channel(index)
    channel.post(CopyDescriptor(null=1, int_en=1))
    channel.start()
    while driver.engine.step(index):
        pass
    assert channel.status == ChanStatus.DONE


def without_messages(driver: Driver) -> Driver:
    """The same engine on the line."""
    control = pci.capability_fields(driver.engine, CONFIG.MSIX_CTRL, pci.CapabilityId.MSIX)
    control[CONFIG.MSIX_CTRL, "ENABLE"] = 0
    return driver


def levels(driver: Driver) -> list[int]:
    """What the line did."""
    taken = driver.engine.interrupts()
    assert all(interrupt.kind == InterruptKind.INTX for interrupt in taken)
    return [interrupt.data for interrupt in taken]


@pytest.mark.requirement("DMA-30", "DMA-31", "INV-63")
@pytest.mark.parametrize("compl_write", [0, 1])
@pytest.mark.parametrize("int_en", [0, 1])
def test_completion_and_interrupt_come_if_and_only_if_asked_for(compl_write: int, int_en: int) -> None:
    driver = manual()
    channel = driver.channel(0)
    source, target = driver.memory.put(b"x" * 64), driver.memory.alloc(64)
    channel.post(
        *(
            CopyDescriptor(size=64, src=source, dst=target, compl_write=compl_write, int_en=int_en)
            for _ in range(2)
        )
    )
    channel.start()
    driver.engine.step(0)
    driver.engine.step(0)
    assert (driver.vectors(), channel.completion) == ([], (ChanStatus.ACTIVE, 0))
    if compl_write or int_en:
        driver.engine.step(0)
    assert channel.completion == (ChanStatus.ACTIVE, channel.slot(0) if compl_write else 0)
    assert driver.vectors() == [0] * int_en
    driver.engine.run()
    assert channel.completion == (
        (ChanStatus.DONE, channel.slot(1)) if compl_write else (ChanStatus.ACTIVE, 0)
    )


@pytest.mark.requirement("DMA-32")
def test_an_interrupt_sets_attention_and_disables_its_channel() -> None:
    driver = manual()
    ring(driver, 2)
    assert driver.vectors() == [2]
    assert driver.channel(2).read(COPY_BAR0.CHANCTRL) & Chanctrl.INT_DISABLE
    assert not driver.channel(1).read(COPY_BAR0.CHANCTRL) & Chanctrl.INT_DISABLE
    assert driver.engine.read32(ATTNSTATUS) == 1 << 2
    assert driver.engine.read32(ATTNSTATUS) == 0


@pytest.mark.requirement("DMA-32")
@pytest.mark.parametrize(
    ("vectors", "control", "expected"),
    [(16, VECTORS, 3), (16, 0, 0), (4, VECTORS, 3), (3, VECTORS, 0), (1, VECTORS, 0)],
)
def test_a_channel_has_its_vector_or_vector_0(vectors: int, control: int, expected: int) -> None:
    driver = manual(vectors=vectors)
    driver.engine.write8(INTRCTRL, ENABLE | control)
    ring(driver, 3)
    assert driver.vectors() == [expected]


@pytest.mark.requirement("DMA-32")
def test_msi_has_the_same_vectors_modulo_what_is_granted() -> None:
    driver = without_messages(manual())
    control = pci.capability_fields(driver.engine, CONFIG.MSI_CTRL, pci.CapabilityId.MSI)
    control.change(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=1)
    for index in (2, 3):
        ring(driver, index)
    taken = driver.engine.interrupts()
    assert [(interrupt.kind, interrupt.vector) for interrupt in taken] == [
        (InterruptKind.MSI, 0),
        (InterruptKind.MSI, 1),
    ]


@pytest.mark.requirement("DMA-33", "DMA-36")
def test_an_interrupt_waits_for_rearming_and_several_are_one() -> None:
    driver = manual()
    ring(driver)
    assert driver.vectors() == [0]
    for _ in range(3):
        ring(driver)
    assert (driver.vectors(), list(driver.engine.runnable)) == ([], [])
    driver.channel(0).rearm()
    assert (driver.vectors(), list(driver.engine.runnable)) == ([], [IRQ])
    driver.engine.step(IRQ)
    assert (driver.vectors(), list(driver.engine.runnable)) == ([0], [])
    driver.channel(0).rearm()
    assert driver.engine.is_idle


@pytest.mark.requirement("DMA-33", "DMA-34", "DMA-36")
def test_an_interrupt_waits_for_the_master_enable() -> None:
    driver = manual()
    assert driver.engine.read8(INTRCTRL) == ENABLE | VECTORS
    for index in (3, 0, 1):
        ring(driver, index)
    assert (driver.vectors(), driver.engine.is_idle) == ([], True)
    assert driver.engine.read32(ATTNSTATUS) == 0
    driver.engine.write8(INTRCTRL, ENABLE | VECTORS)
    seen = []
    while driver.engine.step(IRQ):
        seen.append(driver.vectors())
    assert seen == [[0], [1], [3]]


@pytest.mark.requirement("DMA-33", "DMA-35")
@pytest.mark.parametrize("delay_us", [1, 100, 0x3FFF])
def test_an_interrupt_waits_for_intrdelay_after_rearming(delay_us: int) -> None:
    driver = manual()
    driver.engine.write16(INTRDELAY, delay_us)
    driver.engine.advance(delay_us * 1000)
    ring(driver)
    assert driver.vectors() == [0]
    driver.engine.advance(100_000_000)
    driver.channel(0).rearm()
    ring(driver)
    due = 100_000_000 + delay_us * 1000
    assert (driver.vectors(), driver.engine.next_deadline_ns()) == ([], due)
    driver.engine.advance(due - 1)
    assert driver.engine.is_idle
    driver.engine.advance(due)
    assert (list(driver.engine.runnable), driver.engine.next_deadline_ns()) == ([IRQ], None)
    driver.engine.step(IRQ)
    assert driver.vectors() == [0]


@pytest.mark.requirement("DMA-33")
def test_the_delay_runs_from_rearming_not_from_the_descriptor() -> None:
    driver = manual()
    driver.engine.write16(INTRDELAY, 50)
    driver.engine.advance(1_000_000)
    driver.channel(0).rearm()  # INT_DISABLE was clear: that counts, too
    driver.engine.advance(1_030_000)
    ring(driver)
    assert driver.engine.next_deadline_ns() == 1_050_000
    driver.engine.write16(INTRDELAY, 30)
    assert list(driver.engine.runnable) == [IRQ]
    driver.engine.write16(INTRDELAY, 60)
    assert driver.engine.next_deadline_ns() == 1_060_000
    driver.channel(0).write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN & ~Chanctrl.INT_DISABLE)
    assert driver.engine.next_deadline_ns() == 1_060_000
    driver.engine.read8(INTRCTRL)
    assert driver.engine.next_deadline_ns() is None


@pytest.mark.requirement("DMA-35")
@pytest.mark.parametrize("level", [ResetLevel.HOT, ResetLevel.POWER, "RESET", "FLR"])
def test_every_reset_starts_the_delay(level: ResetLevel | str) -> None:
    driver = manual()
    driver.engine.advance(5_000_000)
    if level == "RESET":
        driver.channel(0).command("RESET")
    elif level == "FLR":
        driver.engine.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(FLR=1))
    elif isinstance(level, ResetLevel):
        driver.engine.reset(level)
    driver.engine.advance(5_010_000)
    if level != "RESET":
        control = COPY_BAR0.CHANCTRL.at(0)
        pci.Fields(driver.engine).change(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        assert driver.engine.read32(control) & Chanctrl.INT_DISABLE == 0
        driver.engine.write8(INTRCTRL, ENABLE)
    driver.engine.write16(INTRDELAY, 20)
    ring(driver)
    assert driver.engine.next_deadline_ns() == 5_020_000


@pytest.mark.requirement("DMA-34")
def test_the_line_is_up_while_there_is_attention_and_the_master_enable() -> None:
    driver = without_messages(manual())
    ring(driver, 1)
    assert levels(driver) == [1]
    ring(driver, 2)
    assert levels(driver) == []
    everything = General.MASTER_INT_EN | General.INT_STATUS | General.INT
    assert driver.engine.read8(INTRCTRL) == (everything >> 24) | VECTORS
    assert levels(driver) == [0]
    assert driver.engine.read8(INTRCTRL) == General.INT_STATUS >> 24 | VECTORS
    driver.engine.write8(INTRCTRL, ENABLE)
    assert levels(driver) == [1]
    assert driver.engine.read32(ATTNSTATUS) == 0b110
    assert levels(driver) == [0]
    assert driver.engine.read8(INTRCTRL) == ENABLE


@pytest.mark.requirement("DMA-34")
def test_only_reading_the_byte_of_intrctrl_clears_the_master_enable() -> None:
    driver = manual()
    driver.engine.read16(COPY_BAR0.GENERAL.offset)
    driver.engine.read8(COPY_BAR0.GENERAL.offset + 2)
    driver.engine.read32(ATTNSTATUS)
    assert driver.engine.read32(COPY_BAR0.GENERAL.offset) & General.MASTER_INT_EN
    assert not driver.engine.read32(COPY_BAR0.GENERAL.offset) & General.MASTER_INT_EN


@pytest.mark.requirement("DMA-34")
def test_reading_a_byte_of_attention_clears_that_byte() -> None:
    driver = without_messages(manual(channels=16))
    for index in (1, 9):
        ring(driver, index)
    assert driver.engine.read8(ATTNSTATUS + 1) == 0b10
    assert levels(driver) == [1]
    assert driver.engine.read32(ATTNSTATUS) == 0b10
    assert levels(driver) == [0]


@pytest.mark.requirement("DMA-9", "DMA-32")
def test_reset_takes_the_channels_attention_and_waiting_interrupt_along() -> None:
    driver = without_messages(manual())
    for index in (0, 1, 0):
        ring(driver, index)
    driver.channel(0).command("RESET")
    assert levels(driver) == [1]
    assert driver.engine.read32(ATTNSTATUS) == 0b10
    driver.channel(0).rearm()
    assert driver.engine.is_idle
    assert levels(driver) == [0]
