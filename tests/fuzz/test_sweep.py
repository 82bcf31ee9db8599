"""Every offset of every register space in every width, read and written, on a card that is up."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from vnic.abi import OpCode
from vnic.device import Budget
from vnic.fuzz.bring_up import BRING_UP, Level, check_card, reset
from vnic.fuzz.coverage import Coverage
from vnic.fuzz.oplang import Step
from vnic.fuzz.world import World
from vnic.gen.model import RegisterMap
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.oplist import Op, OpList

requirement = pytest.mark.requirement

WIDTHS = (1, 2, 4, 8)
VALUES = (0, (1 << 64) - 1, 0x5A5A_A5A5_0102_0304)
BATCH = 4096
SPACES: dict[str, tuple[int, int, RegisterMap]] = {
    "bar0": (0, BAR0.MAP.size + 64, BAR0.MAP),
    "bar2": (2, MSIX_TABLE.MAP.size + 64, MSIX_TABLE.MAP),
    "config": (-1, CONFIG.MAP.size + 64, CONFIG.MAP),
}


def accesses(bar: int, size: int) -> Iterator[Op]:
    """A read and a write at each offset, in an order that depends on nothing but the numbers."""
    read, write = (OpCode.CFG_READ, OpCode.CFG_WRITE) if bar < 0 else (OpCode.READ, OpCode.WRITE)
    for width in WIDTHS:
        for offset in range(size):
            value = VALUES[(offset * 7 + width) % len(VALUES)]
            yield Op(read, max(bar, 0), width, offset)
            yield Op(write, max(bar, 0), width, offset, value)


def run_batch(world: World, ops: list[Op]) -> None:
    """The operations in one call, and then a bounded piece of the work that they made."""
    batch = OpList(len(ops))
    for op in ops:
        batch.append(op)
    assert world.device.batch(batch) == len(ops)
    used = world.device.run(Budget(64, 1 << 20))
    assert used.steps <= 64 and used.bytes <= 1 << 20


@requirement("PCI-1", "PCI-7", "PCI-8", "PCI-9", "RUN-6")
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_every_offset_in_every_width(coverage: Coverage, space: str, order: str) -> None:
    bar, size, registers = SPACES[space]
    ops = list(accesses(bar, size))
    if order == "shuffled":
        random.Random(space).shuffle(ops)
    with World() as world:
        world.apply(BRING_UP)
        for at in range(0, len(ops), BATCH):
            run_batch(world, ops[at : at + BATCH])
        coverage.note_program(Step(op.code, op.index, op.width, op.addr, op.value) for op in ops)
        coverage.note_world(world)
        world.check_guards()
        reset(world, Level.POWER)
        world.apply(BRING_UP)
        check_card(world)
    missed = {(register.name, kind) for register in registers for kind in ("read", "write")}
    missed -= {(register, kind) for name, register, kind, _ in coverage.accesses if name == registers.name}
    assert not missed
