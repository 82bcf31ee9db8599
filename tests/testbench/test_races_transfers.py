"""The DMA race checker on transfers of the engine that meet each other, or the end of a mapping."""

from __future__ import annotations

import pytest

from tests.testbench.race_scene import EngineScene
from vnic.abi import DmaPurpose, DmaStatus, EventType
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0, Chancmd
from vnic.host.bus import Direction
from vnic.testbench.races import RaceKind

_TO, _FROM = Direction.TO_DEVICE, Direction.FROM_DEVICE
_BOTH = Direction.BIDIRECTIONAL


# -- transfers that meet -------------------------------------------------------------------------------------


def overlapping(scene: EngineScene, first_fence: int, **first: int) -> None:
    """A to B, then B to C, handed over together."""
    a, b = scene.buffers()
    c = scene.memory.alloc(256, align=4096, label="third")
    ends = [scene.map(each, _BOTH).addr for each in (a, b, c)]
    scene.chain()
    scene.post(ends[0], ends[1], 256, fence=first_fence, **first)
    scene.post(ends[1], ends[2], 256, compl_write=1)
    scene.count()


@pytest.mark.requirement("NDMA-31")
@pytest.mark.parametrize("is_overlapping", [0, 1])
@pytest.mark.parametrize("completes", [0, 1])
def test_a_copy_from_what_the_one_before_writes_needs_a_fence(is_overlapping: int, completes: int) -> None:
    with EngineScene(is_overlapping=is_overlapping) as scene:
        overlapping(scene, 0, compl_write=completes)
        race = scene.only(RaceKind.OVERLAP)
        assert race.length == 256
        assert race.label == "target+0x0"
        assert [party.index for party in race.parties] == [0, 1]
        assert [party.detail for party in race.parties] == ["writes", "reads"]


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("is_overlapping", [0, 1])
def test_a_fence_orders_everything_before_it_and_everything_behind(is_overlapping: int) -> None:
    with EngineScene(is_overlapping=is_overlapping) as scene:
        overlapping(scene, 1)
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-31", "NDMA-35")
@pytest.mark.parametrize(("fenced", "is_race"), [(None, True), (0, False), (1, False), (2, True)])
def test_the_fence_may_be_of_any_descriptor_from_the_first_to_the_one_before(
    fenced: int | None, is_race: bool
) -> None:
    with EngineScene() as scene:
        a, b = scene.buffers()
        there, here = scene.map(a, _BOTH).addr, scene.map(b, _BOTH).addr
        scene.chain()
        scene.post(there, here, 16, fence=int(fenced == 0))
        scene.post(there + 64, here + 64, 16, fence=int(fenced == 1))
        scene.post(here + 8, there + 128, 16, fence=int(fenced == 2), compl_write=1)
        scene.count()
        assert [race.kind for race in scene.checker.look()] == [RaceKind.OVERLAP] * is_race


@pytest.mark.requirement("NDMA-31")
@pytest.mark.parametrize(
    ("source", "target"), [(512, 8), (8, 512), (512, 0)], ids=["write-write", "read-write", "write-write-all"]
)
def test_writing_what_another_writes_or_reads_is_a_race(source: int, target: int) -> None:
    with EngineScene() as scene:
        memory = scene.memory.alloc_pages(4096)
        base = scene.map(memory, _BOTH).addr
        scene.chain()
        first = (base + 1024, base) if target != 512 else (base + 1024, base + 8)
        scene.post(*first, 16)
        scene.post(base + source, base + target, 16, compl_write=1)
        scene.count()
        scene.only(RaceKind.OVERLAP)


@pytest.mark.requirement("NDMA-35")
def test_reading_the_same_twice_and_touching_without_meeting_are_no_races() -> None:
    with EngineScene() as scene:
        memory = scene.memory.alloc_pages(4096)
        base = scene.map(memory, _BOTH).addr
        scene.chain()
        for number in range(4):
            scene.post(base + 2048, base + 16 * number, 16, compl_write=number == 3)
        scene.count()
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-35")
def test_one_that_was_known_complete_when_the_next_was_handed_over_needs_no_fence() -> None:
    with EngineScene() as scene:
        a, b = scene.buffers()
        there, here = scene.map(a, _BOTH).addr, scene.map(b, _BOTH).addr
        scene.chain()
        scene.copy(there, here, 64)
        scene.copy(here, there + 128, 64)
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-35")
def test_what_ended_before_the_next_was_handed_over_is_no_rival_though_another_channel_waits() -> None:
    with EngineScene(manual=True) as scene:
        a, b = scene.buffers()
        there, here = scene.map(a, _BOTH).addr, scene.map(b, _BOTH).addr
        scene.chain(1)
        scene.post(0, 0, 1, 1, null=1)
        scene.count(1)
        scene.chain()
        for source, target in ((there, here), (here, there)):
            scene.copy(source, target, 64)
            while scene.engine.step(0):
                pass
        scene.engine.run()
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-35")
def test_a_new_chain_begins_when_the_descriptor_at_hand_is_done() -> None:
    with EngineScene(manual=True) as scene:
        a, b = scene.buffers()
        there, here = scene.map(a, _BOTH).addr, scene.map(b, _BOTH).addr
        scene.chain()
        scene.copy(there, here, 64)
        assert scene.engine.step(0)
        packed = CopyDescriptor(size=64, src=here, dst=there + 128, compl_write=1).pack()
        scene.ring().view[640:704] = packed
        scene.put(COPY_BAR0.CHAINADDR.offset, scene.descriptor(10), width=8)
        scene.count()
        scene.engine.run()
        assert a.view[128:192] == a.view[:64]
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-31")
def test_channels_are_not_ordered_by_fences() -> None:
    with EngineScene(manual=True) as scene:
        a, b = scene.buffers()
        there, here = scene.map(a, _BOTH).addr, scene.map(b, _BOTH).addr
        for channel in (0, 1):
            scene.chain(channel)
        scene.post(there, here, 64, 0, fence=1, compl_write=1)
        scene.post(here, there + 128, 64, 1, fence=1, compl_write=1)
        scene.count(0)
        scene.count(1)
        scene.engine.run()
        race = scene.only(RaceKind.OVERLAP)
        assert [party.name for party in race.parties] == ["engine channel 0 #0", "engine channel 1 #0"]
        assert race.parties[0].until is not None  # it ended before the other began, by luck


@pytest.mark.requirement("NDMA-31")
def test_page_breaks_and_fills_count_for_what_they_touch() -> None:
    with EngineScene() as scene:
        memory = scene.memory.alloc_pages(4 * 4096)
        pages = [segment.addr for segment in scene.system.map(memory.address, 4 * 4096, _BOTH)]
        scene.chain()
        scene.post(pages[0] + 4000, pages[1], 200, src_brk=1, next_src=pages[3])
        scene.post(0x1122334455667788, pages[3] + 100, 8, op=1, compl_write=1)
        scene.count()
        race = scene.only(RaceKind.OVERLAP)
        assert (race.address, race.length) == (memory.address + 3 * 4096 + 100, 4)


# -- mappings and completions --------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-32")
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("is_target", [False, True])
def test_unmapping_under_a_transfer_in_flight_is_found(strict: bool, is_target: bool) -> None:
    with EngineScene(manual=True, strict_dma=strict) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        scene.chain()
        scene.copy(there.addr, here.addr, 256)
        assert scene.engine.step(0)
        scene.system.unmap([here if is_target else there], _FROM if is_target else _TO)
        race = scene.only(RaceKind.UNMAPPED)
        assert (race.address, race.length) == ((target if is_target else source).address, 256)
        assert race.parties[0].name == "engine channel 0 #0"
        assert race.parties[1].detail == ("FROM_DEVICE" if is_target else "TO_DEVICE")
        scene.engine.run()
        assert len(scene.checker.look()) == 1


@pytest.mark.requirement("NDMA-35")
def test_memory_that_is_mapped_twice_at_one_address_is_there_until_both_end() -> None:
    with EngineScene(manual=True, strict_dma=False) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        assert scene.map(source, _TO) == there
        scene.chain()
        scene.copy(there.addr, here.addr, 256)
        assert scene.engine.step(0)
        scene.system.unmap([there], _TO)
        assert scene.checker.look() == ()
        scene.system.unmap([there], _TO)
        scene.only(RaceKind.UNMAPPED)


@pytest.mark.requirement("NDMA-32")
@pytest.mark.parametrize("strict", [True, False])
def test_a_descriptor_with_a_stale_address_is_found_when_the_engine_uses_it(strict: bool) -> None:
    with EngineScene(strict_dma=strict) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        scene.system.unmap([here], _FROM)
        scene.chain()
        scene.copy(there.addr, here.addr, 64)
        race = scene.only(RaceKind.UNMAPPED)
        assert race.address == target.address
        assert race.parties[0].bus == here.addr
        assert race.parties[1].bus == here.addr


@pytest.mark.requirement("NDMA-32")
def test_a_chain_in_memory_that_was_freed_is_found_and_named() -> None:
    with EngineScene() as scene:
        scene.engine.advance(1500)
        ring = scene.ring()
        scene.system.free_coherent(ring)
        scene.chain()
        scene.posted[0] = 1
        scene.count()
        race = scene.only(RaceKind.UNMAPPED)
        assert (race.parties[0].detail, race.parties[0].bus) == ("coherent", ring.addr)
        assert (race.address, race.seen.ns) == (scene.memory.base, 1500)
        assert race.parties[0].until is not None


@pytest.mark.requirement("NDMA-32")
def test_freeing_a_ring_with_a_descriptor_in_flight_is_found() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 64)
        assert scene.engine.step(0)
        scene.system.free_coherent(scene.ring())
        race = scene.only(RaceKind.UNMAPPED)
        assert race.parties[1].detail == "coherent"


@pytest.mark.requirement("NDMA-35")
def test_unmapping_while_bus_master_enable_is_clear_is_allowed() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        scene.chain()
        scene.copy(there.addr, here.addr, 256)
        assert scene.engine.step(0)
        scene.system.set_master(False)
        scene.system.unmap([there], _TO)
        scene.system.unmap([here], _FROM)
        source.free()
        target.free()
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-32")
def test_an_engine_that_writes_after_abort_is_found() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        scene.chain()
        scene.copy(there, here, 256)
        assert scene.engine.step(0)
        scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.ABORT, width=1)
        scene.engine.run()
        assert scene.checker.look() == ()
        # As a broken engine would: ours does not.
        late = Event(EventType.DMA_WRITE, 1, DmaPurpose.DATA, 0, 0, here, DmaStatus.OK, bytes(16))
        scene.tap.on_event(late)
        race = scene.only(RaceKind.COMPLETED)
        assert (race.address, race.length) == (target.address, 16)
        assert race.parties[0].name == "engine channel 0 #0"
