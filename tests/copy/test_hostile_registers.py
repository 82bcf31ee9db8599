"""Every offset of BAR0 and of configuration space in every width, read and written, against the reference."""

from __future__ import annotations

import random

import pytest

from tests.copy.oracle import Mode
from tests.copy.pair import Pair, Shape
from tests.copy.programs import completion_of, slot
from tests.copy.scene import Scene
from vnic.abi import ResetLevel
from vnic.function import Budget
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import CONFIG, COPY_BAR0, Copy, Devctl

ALL = (1 << 64) - 1
WIDTHS = (1, 2, 4, 8)
VALUES = (0, ALL, 0x5A5A_A5A5_0102_0304, 0x0010_0080_0004_0009)
CHANNELS = 3
#: Registers of three channels, and some words behind them that are none.
END = Copy.CHANCTRL + CHANNELS * Copy.CHAN_STRIDE + 0x40


def offsets(order: str) -> list[tuple[int, int]]:
    """Every offset in every width."""
    found = [(offset, width) for width in WIDTHS for offset in range(END)]
    if order == "shuffled":
        random.Random(order).shuffle(found)
    return found


@pytest.mark.requirement("PCI-7", "PCI-8", "PCI-9", "DMA-9", "DMA-10", "DMA-34")
@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_every_offset_in_every_width_does_as_the_reference(order: str) -> None:
    pair = Pair(Shape(channels=CHANNELS, mode=Mode.LINE))
    with pair.engine:
        for index in range(CHANNELS):
            for number in range(8):
                work = CopyDescriptor(size=8, src=slot(0, 0), dst=completion_of(8), compl_write=1, int_en=1)
                work.next = slot(index, number + 1)
                pair.put(slot(index, number), work)
        for at, (offset, width) in enumerate(offsets(order)):
            pair.read(offset, width)
            pair.write(offset, VALUES[(offset * 7 + width + at) % len(VALUES)], width)
            if at % 4 == 0:
                pair.run(2)
            if at % 64 == 0:
                pair.check()
        pair.check()


@pytest.mark.requirement("PCI-1", "PCI-6", "PCI-9", "PCI-46", "DMA-53")
@pytest.mark.parametrize("space", ["bar", "config"])
def test_hostile_accesses_everywhere_leave_an_engine_that_comes_up(space: str) -> None:
    with Scene() as scene:
        engine = scene.pair.engine
        end = 0x4000 + 64 if space == "bar" else 4096 + 64
        places = [(offset, width) for offset in range(end) for width in WIDTHS]
        random.Random(space).shuffle(places)
        for at, (offset, width) in enumerate(places):
            value = VALUES[(offset + at) % len(VALUES)]
            if space == "bar":
                engine.read(0, offset, width)
                engine.write(0, offset, value, width)
            else:
                engine.config_read(offset, width)
                engine.config_write(offset, value & 0xFFFF_FFFF, width)
            if at % 64 == 0:
                used = engine.run(Budget(16, 1 << 16))
                assert used.steps <= 16 and used.bytes <= 1 << 16
                engine.interrupts()
        engine.reset(ResetLevel.POWER)
        scene.pair.power_cycle()
        for register in COPY_BAR0.MAP:
            if register.name not in ("GENERAL", "CHANCTRL"):
                value = engine.read(0, register.offset, register.bytes)
                assert value == register.reset, register.name
        scene.pair.write(3, 0x09, 1)
        scene.recover()


@pytest.mark.requirement("DMA-53", "RST-2")
@pytest.mark.parametrize("way", ["FLR", "D3", "hot", "power"])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_a_reset_at_any_step_leaves_nothing_to_do(way: str, steps: int) -> None:
    with Scene() as scene:
        work = CopyDescriptor(size=5000, src=0x20_0000, dst=0x20_3000, compl_write=1, int_en=1)
        scene.chain(work)
        scene.start(1)
        scene.step(steps)
        engine = scene.pair.engine
        scene.before = scene.image()
        if way == "FLR":
            engine.config_write(CONFIG.DEVCTL.offset, Devctl.FLR, 2)
        elif way == "D3":
            engine.config_write(CONFIG.PM_CTRL.offset, 3, 2)
            assert engine.is_idle
            engine.config_write(CONFIG.PM_CTRL.offset, 0, 2)
        else:
            engine.reset(ResetLevel.HOT if way == "hot" else ResetLevel.POWER)
        assert engine.is_idle and engine.run() == Budget(0, 0)
        scene.assert_only([])
        scene.pair.come_up()
        scene.pair.write(3, 0x09, 1)
        scene.recover()
