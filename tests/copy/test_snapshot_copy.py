"""Snapshots of the engine at every step, and snapshots that a stranger wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.copy.pair import CHAINS, DATA, FRESH, REGIONS, Shape, bring_up
from tests.copy.scene import COMPLETION, Scene, copy, slot
from vnic.abi import ResetLevel
from vnic.copy_engine import IRQ, CopyEngine, CopyEngineConfig
from vnic.errors import SnapshotConfigError, SnapshotError
from vnic.function import Budget
from vnic.fuzz import strategies
from vnic.fuzz.effort import examples
from vnic.fuzz.records import edited, records
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0, Copy

ALL = (1 << 64) - 1
SHAPE = Shape(channels=3)
OVERLAPPING = Shape(channels=3, is_overlapping=True)


def busy(scene: Scene) -> None:
    """Chains on two channels: breaks, fills, completions, interrupts that wait for INTRDELAY."""
    broken = {"src_brk": 1, "dst_brk": 1, "next_src": DATA.addr + 0x1000, "next_dst": DATA.addr + 0x5000}
    scene.chain(
        copy(6000, compl_write=1, int_en=1),
        copy(0x300, src=DATA.addr + 0xF00, dst=DATA.addr + 0x4E80, **broken),
        copy(5000, op=1, src=0x1234_5678_9ABC_DEF0, int_en=1),
        copy(64, at=5),
        copy(64, at=6),
    )
    scene.write("CHANCTRL", 0x1D)
    scene.pair.write(Copy.INTRDELAY, 2, 2)
    scene.start(5)
    other = scene.neighbour(1)
    other.start(2, slot(3))


@pytest.mark.requirement("DMA-54", "PCI-45")
@pytest.mark.parametrize("shape", [SHAPE, OVERLAPPING], ids=["in order", "overlapping"])
def test_an_engine_loaded_at_any_step_goes_on_as_if_nothing_had_been(shape: Shape) -> None:
    with Scene(shape) as reference:
        busy(reference)
        steps = reference.pair.engine.run().steps
        reference.pair.engine.advance(1_000_000)
        reference.pair.engine.run()
        ended = reference.image(), reference.pair.engine.interrupts(), reference.pair.engine.state_hash()
    assert steps > 20
    for step in range(steps):
        with Scene(shape) as scene:
            engine = scene.pair.engine
            busy(scene)
            engine.run(Budget(step, ALL))
            image = engine.save()
            engine.reset(ResetLevel.POWER)
            engine.load(image)
            assert engine.save() == image
            engine.run()
            engine.advance(1_000_000)
            engine.run()
            assert (scene.image(), engine.interrupts(), engine.state_hash()) == ended


def fresh(scene: Scene) -> None:
    """Nothing happened."""


def at_step(count: int) -> Callable[[Scene], None]:
    """In the midst of chains."""

    def arrive(scene: Scene) -> None:
        busy(scene)
        scene.pair.engine.run(Budget(count, ALL))

    return arrive


def suspended(scene: Scene) -> None:
    """One channel suspended, one about to be, one with a new chain that waits."""
    busy(scene)
    scene.pair.engine.run(Budget(3, ALL))
    scene.command("SUSPEND")
    other = scene.neighbour(1)
    other.pair.engine.step(1)
    other.write("CHAINADDR", slot(0))
    other.command("SUSPEND")
    third = scene.neighbour(2)
    third.start(1, slot(4))
    third.command("SUSPEND")


def halted(scene: Scene) -> None:
    """Errors, one that is told and one that is still to be told."""
    scene.chain(copy(0))
    scene.start(1)
    scene.pair.engine.run()
    scene.neighbour(1).command("START")


def resumed(scene: Scene) -> None:
    """NEXT is to be read again."""
    scene.chain(copy(), copy(at=1))
    scene.start(2)
    scene.pair.engine.run(Budget(2, ALL))
    scene.command("SUSPEND")
    scene.command("RESUME")


MOMENTS: dict[str, Callable[[Scene], None]] = {
    "fresh": fresh,
    "fetched": at_step(1),
    "in a transfer": at_step(2),
    "to be completed": at_step(4),
    "second turn": at_step(18),
    "suspended": suspended,
    "halted": halted,
    "resumed": resumed,
}
IMAGES: dict[tuple[str, bool], bytes] = {}


def image_at(moment: str, is_overlapping: bool = False) -> bytes:
    """The snapshot of an engine at a moment."""
    key = moment, is_overlapping
    if key not in IMAGES:
        with Scene(OVERLAPPING if is_overlapping else SHAPE) as scene:
            MOMENTS[moment](scene)
            IMAGES[key] = scene.pair.engine.save()
    return IMAGES[key]


class Victim:
    """One engine for all: that it refused before must not matter."""

    def __init__(self, shape: Shape) -> None:
        self.engine = CopyEngine(manual=True, channels=3, vectors=16, transfer_log2=13, msi_capable_log2=2,
                                 is_overlapping=shape.is_overlapping)  # fmt: skip
        self.shape = shape
        self.bytes = {region: bytearray(FRESH[region]) for region in REGIONS}
        for region, data in self.bytes.items():
            self.engine.map(region.addr, data, region.permissions)

    def swallow(self, image: bytes) -> bool:
        """Load; False when it is refused. What is accepted is saved the same way, and ends."""
        try:
            self.engine.load(image)
        except SnapshotError:
            return False
        assert self.engine.save() == image
        self.end()
        return True

    def end(self) -> None:
        """It comes to rest within the bound that it gives, whatever it is about to do."""
        engine = self.engine
        bound = engine.idle_steps
        used = engine.run(Budget(min(bound, 5000), ALL))
        assert engine.is_idle or used.steps == 5000 < bound
        engine.interrupts()

    def check(self) -> None:
        """Inserted anew, it copies."""
        engine = self.engine
        engine.remove()
        engine.insert()
        engine.interrupts()
        bring_up(engine, self.shape.mode)
        work = CopyDescriptor(size=64, src=DATA.addr, dst=DATA.addr + 0x5000, compl_write=1)
        self.bytes[CHAINS][:64] = work.pack()
        self.bytes[CHAINS][0x2000:0x2008] = bytes(8)
        engine.write(0, COPY_BAR0.CHANCMP.offset, COMPLETION, 8)
        engine.write(0, COPY_BAR0.CHAINADDR.offset, slot(0), 8)
        engine.write(0, COPY_BAR0.CHANCMD.offset + 2, 1, 2)
        engine.run()
        assert self.bytes[DATA][:64] == self.bytes[DATA][0x5000:0x5040]
        assert int.from_bytes(self.bytes[CHAINS][0x2000:0x2008], "little") == slot(0) | 1


@pytest.fixture(scope="module", params=[False, True], ids=["in order", "overlapping"])
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    """An engine with a past."""
    made = Victim(OVERLAPPING if request.param else SHAPE)
    with made.engine:
        yield made


@pytest.mark.requirement("DMA-54", "PCI-46")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_snapshot_that_is_cut_short_or_too_long_is_refused(victim: Victim, moment: str) -> None:
    image = image_at(moment, victim.shape.is_overlapping)
    edges = [record.at + step for record in records(image) for step in (0, 1, 4, 5)]
    for cut in sorted({*edges[::3], *edges[-40:]}):
        if cut < len(image):
            assert not victim.swallow(image[:cut]), cut
    assert not victim.swallow(image + b"\0")
    victim.check()


@pytest.mark.requirement("DMA-54", "PCI-46")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_flipped_bit_is_refused_or_harmless(victim: Victim, moment: str) -> None:
    image = image_at(moment, victim.shape.is_overlapping)
    for bit in range(0, 8 * len(image), max(8 * len(image) // 300, 1) | 1):
        changed = bytearray(image)
        changed[bit // 8] ^= 1 << bit % 8
        victim.swallow(bytes(changed))
    victim.check()
    assert victim.swallow(image)


@pytest.mark.requirement("DMA-54", "PCI-46")
@examples(60)
@given(
    moment=st.sampled_from(sorted(MOMENTS)), triples=strategies.edits, part=st.sampled_from((0, 1, 2, IRQ))
)
def test_edited_fields_are_refused_or_harmless(
    victim: Victim, moment: str, triples: list[tuple[int, int, int]], part: int
) -> None:
    changed = edited(image_at(moment, victim.shape.is_overlapping), triples)
    victim.swallow(changed)
    victim.engine.step(part)
    victim.end()
    victim.check()


@pytest.mark.requirement("DMA-54", "PCI-45")
@pytest.mark.parametrize(
    "other",
    [{"channels": 4}, {"channels": 3, "transfer_log2": 14}, {"channels": 3, "is_overlapping": True}],
    ids=str,
)
def test_an_engine_of_another_shape_is_refused(other: dict[str, int]) -> None:
    config = CopyEngineConfig(**{"vectors": 16, "transfer_log2": 13, "msi_capable_log2": 2, **other})  # type: ignore[arg-type]
    with CopyEngine(config, manual=True) as engine, pytest.raises(SnapshotConfigError):
        engine.load(image_at("fetched"))
