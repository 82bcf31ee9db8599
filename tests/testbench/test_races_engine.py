"""The DMA race checker on the copy engine: seeded races are named, near misses are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.testbench.race_scene import EngineScene
from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.errors import ArgumentError
from vnic.fault import Fault
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0, Chancmd
from vnic.host.bus import Direction
from vnic.testbench.races import DmaRaceError, RaceChecker, RaceKind

_TO, _FROM = Direction.TO_DEVICE, Direction.FROM_DEVICE
_BOTH = Direction.BIDIRECTIONAL


# -- the host ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-30")
@pytest.mark.parametrize("size", [256, 4096])
def test_a_write_to_the_source_between_fetch_and_copy_is_found(size: int) -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers(size)
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, size)
        assert scene.engine.step(0)
        source.view[size - 1] ^= 0xFF
        scene.engine.run()
        race = scene.only(RaceKind.HOST_WRITE)
        assert (race.address, race.length) == (source.address + size - 1, 1)
        assert (race.parties[0].name, race.parties[0].detail) == ("engine channel 0 #0", "reads")
        assert race.parties[0].descriptor == scene.descriptor(0)
        assert race.label == f"source+{size - 1:#x}"
        assert race.writes[-1].startswith("engine CHANCMD[0]+2 = 0x1 at ")


@pytest.mark.requirement("NDMA-30")
def test_a_write_to_the_destination_is_found_before_the_engine_writes_over_it() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 256)
        assert scene.engine.step(0)
        target.view[9] = 0x77
        scene.engine.run()
        race = scene.only(RaceKind.HOST_WRITE)
        assert (race.address, race.after) == (target.address + 9, b"\x77")
        assert race.parties[0].detail == "writes"


@pytest.mark.requirement("NDMA-30")
def test_a_write_to_a_destination_between_its_pieces_is_found_on_either_side_of_the_engine() -> None:
    with EngineScene(manual=True) as scene:
        source = scene.memory.alloc_pages(4 * 4096, label="source")
        target = scene.memory.alloc_pages(4 * 4096, label="target")
        scene.chain()
        (first, *_), (last, *_) = (scene.system.map(b.address, 4096, _BOTH) for b in (source, target))
        scene.copy(first.addr, last.addr, 4096)
        assert scene.engine.step(0)
        assert scene.engine.step(0)
        target.view[0] ^= 1
        scene.engine.run()
        assert scene.only(RaceKind.HOST_WRITE).address == target.address


@pytest.mark.requirement("NDMA-30")
@pytest.mark.parametrize("page", [0, 1, 2, 3])
def test_a_write_to_a_later_page_of_a_destination_is_found_though_the_engine_does_all_at_once(
    page: int,
) -> None:
    with EngineScene(manual=True) as scene:
        ends = [scene.system.alloc_coherent(4 * 4096) for _ in range(2)]
        scene.chain()
        scene.copy(ends[0].addr, ends[1].addr, 4 * 4096)
        assert scene.engine.step(0)
        ends[1].view[page * 4096 + 5] ^= 1
        scene.engine.run()
        assert scene.only(RaceKind.HOST_WRITE).label == f"coherent+{page * 4096 + 5:#x}"


@pytest.mark.requirement("NDMA-30")
def test_a_source_that_is_changed_and_put_back_is_found_if_the_engine_read_it_meanwhile() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 256)
        for _ in range(2):
            assert scene.engine.step(0)
            source.view[7] ^= 1
        scene.engine.run()
        first, second = scene.checker.look()
        assert (first.before, first.after) == (second.after, second.before) == (b"\x07", b"\x06")


@pytest.mark.requirement("NDMA-30")
def test_a_write_between_mapping_and_handing_over_is_found() -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        source.view[100] ^= 1
        scene.chain()
        scene.copy(there.addr, here.addr, 256)
        race = scene.only(RaceKind.HOST_WRITE)
        assert (race.address, race.parties[0].name) == (source.address + 100, "mapping of engine")


@pytest.mark.requirement("NDMA-30")
def test_what_is_moved_but_not_reported_is_still_in_flight() -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.post(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 256)
        scene.count()
        assert target.view == source.view
        scene.memory.read(target.address, 4)
        race = scene.only(RaceKind.HOST_READ)
        assert (race.address, race.length) == (target.address, 4)


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize(
    "how", ["completion", "later completion", "interrupt", "CHANSTS", "ABORT", "RESET", "CHAINADDR"]
)
def test_a_transfer_ends_where_the_driver_can_know_it(how: str) -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        scene.interrupts()
        scene.chain()
        scene.post(there, here, 256, compl_write=int(how == "completion"), int_en=int(how == "interrupt"))
        scene.count()
        match how:
            case "later completion":
                scene.post(0, 0, 1, compl_write=1, null=1)
                scene.count()
            case "CHANSTS":
                scene.system.read(0, COPY_BAR0.CHANSTS.offset)
            case "ABORT":
                scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.ABORT, width=1)
            case "RESET":
                scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.RESET, width=1)
            case "CHAINADDR":
                scene.chain()
        scene.system.unmap(scene.system.iommu.mapped[0][:1], _TO)
        scene.system.unmap(scene.system.iommu.mapped[0][:1], _FROM)
        scene.memory.write(source.address, b"mine")
        scene.memory.write(target.address, b"mine")
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("reads", [True, False])
def test_an_error_ends_what_is_in_flight_when_the_driver_reads_of_it(reads: bool) -> None:
    with EngineScene() as scene:
        source, _ = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _BOTH).addr, 1 << 40, 64)
        if reads:
            assert scene.system.read(0, COPY_BAR0.CHANERR.offset) != 0
        scene.system.unmap(scene.system.iommu.mapped[0][:1], _BOTH)
        kinds = [race.kind for race in scene.checker.look()]
        assert kinds == ([] if reads else [RaceKind.UNMAPPED])


@pytest.mark.requirement("NDMA-30")
@pytest.mark.parametrize("direction", [_TO, _FROM, _BOTH])
def test_memory_that_is_mapped_is_not_the_hosts_even_with_nothing_in_flight(direction: Direction) -> None:
    with EngineScene() as scene:
        source, _ = scene.buffers()
        segment = scene.map(source, direction)
        source.view[3] ^= 1
        scene.system.unmap([segment], direction)
        race = scene.only(RaceKind.HOST_WRITE)
        assert race.address == source.address + 3
        assert (race.parties[0].name, race.parties[0].bus) == ("mapping of engine", segment.addr)


@pytest.mark.requirement("NDMA-30")
def test_freeing_memory_that_is_mapped_is_a_write_to_it() -> None:
    with EngineScene() as scene:
        source, _ = scene.buffers()
        scene.map(source, _TO)
        source.free()
        assert scene.only(RaceKind.HOST_WRITE).label == "not allocated"


@pytest.mark.requirement("NDMA-35")
def test_what_lies_beside_a_mapping_in_the_same_page_is_the_hosts() -> None:
    with EngineScene() as scene:
        source = scene.memory.alloc(4096, align=4096)
        (segment,) = scene.system.map(source.address + 64, 64, _TO)
        scene.memory.write(source.address, bytes(64))
        scene.memory.write(source.address + 128, bytes(64))
        source.view[63] = source.view[128] = 9
        assert scene.checker.look() == ()
        scene.memory.write(source.address + 127, b"x")
        assert scene.only(RaceKind.HOST_WRITE).address == source.address + 127
        assert segment.len == 64


def test_a_poisoned_mapping_shows_who_reads_it_early() -> None:
    with EngineScene(manual=True, poisons=True) as scene:
        source, target = scene.buffers()
        target.view[:] = b"before!!" * 32
        scene.chain()
        there, here = scene.map(source, _TO), scene.map(target, _FROM)
        scene.copy(there.addr, here.addr, 256)
        assert bytes(target.view) == b"\xdb" * 256
        assert bytes(source.view[:4]) == b"\x00\x01\x02\x03"
        scene.engine.run()
        assert target.view == source.view
        assert scene.checker.look() == ()


# -- descriptors ---------------------------------------------------------------------------------------------


def change(scene: EngineScene, at: int, value: int) -> None:
    """Write 8 bytes of the first descriptor."""
    scene.ring().view[at : at + 8] = value.to_bytes(8, "little")


@pytest.mark.requirement("NDMA-33")
@pytest.mark.parametrize("at", [0, 8, 16])
def test_a_descriptor_that_changes_between_fetch_and_completion_is_found(at: int) -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 256)
        assert scene.engine.step(0)
        change(scene, at, 0x4242_4242_4242_4242)
        scene.engine.run()
        race = scene.only(RaceKind.DESCRIPTOR)
        ring = scene.ring().addr
        assert race.parties[0].descriptor == ring
        assert race.address % 64 // 8 == at // 8


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("at", [48, 56])
def test_the_words_of_the_driver_in_a_descriptor_are_its_own(at: int) -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        scene.chain()
        scene.copy(scene.map(source, _TO).addr, scene.map(target, _FROM).addr, 256)
        assert scene.engine.step(0)
        change(scene, at, 0x4242)
        scene.engine.run()
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-33", "NDMA-35")
@pytest.mark.parametrize("resumes", [False, True])
def test_a_new_next_counts_after_resume_and_is_a_race_without(resumes: bool) -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        scene.chain()
        scene.post(there, here, 64)
        scene.count()
        packed = CopyDescriptor(size=64, src=there, dst=here + 128, compl_write=1).pack()
        scene.ring().view[10 * 64 : 11 * 64] = packed
        if resumes:
            scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.SUSPEND, width=1)
        change(scene, 24, scene.descriptor(10))
        if resumes:
            scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.RESUME, width=1)
        scene.post(there + 128, here + 64, 64, compl_write=1)
        scene.count()
        if resumes:
            assert scene.checker.look() == ()
            assert target.view[128:192] == source.view[:64]
        else:
            race = scene.only(RaceKind.DESCRIPTOR)
            assert race.length == 8
            assert int.from_bytes(race.before, "little") == scene.descriptor(1)
            assert int.from_bytes(race.after, "little") == scene.descriptor(10)


@pytest.mark.requirement("NDMA-35")
def test_a_descriptor_that_cannot_be_read_again_is_no_race() -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        scene.chain()
        scene.copy(there, here, 64)
        scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.SUSPEND, width=1)
        change(scene, 24, scene.descriptor(10))
        fault = Fault(site=FaultSite.DMA_READ, action=FaultAction.ERROR, argument=DmaStatus.ABORTED)
        with scene.engine.arm(fault) as armed:
            scene.put(COPY_BAR0.CHANCMD.offset, Chancmd.RESUME, width=1)
            scene.count()
            assert armed.fired == 1
        assert scene.checker.look() == ()


@pytest.mark.requirement("NDMA-35")
def test_a_descriptor_is_the_drivers_again_when_it_is_completed() -> None:
    with EngineScene() as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        for _ in range(3):
            scene.chain()
            scene.copy(there, here, 256)
            scene.copy(here, there, 256)
            change(scene, 0, 0)
        assert scene.checker.look() == ()


# -- reports -------------------------------------------------------------------------------------------------


def test_a_report_says_who_what_where_and_after_which_registers() -> None:
    with EngineScene(manual=True) as scene:
        source, target = scene.buffers()
        there, here = scene.map(source, _TO).addr, scene.map(target, _FROM).addr
        scene.chain()
        scene.copy(there, here, 256)
        assert scene.engine.step(0)
        scene.memory.write(source.address + 16, b"\xff\xff")
        with pytest.raises(DmaRaceError) as caught:
            scene.checker.check()
        headline, first, second, change, noticed, writes = str(caught.value.races[0]).splitlines()
        where = f"guest {source.address + 16:#x} (source+0x10)"
        assert headline == f"HOST_WRITE of 2 bytes at {where}: the host wrote memory that a device has"
        memory = f"descriptor at bus {scene.descriptor(0):#x}, 256 bytes at bus {there:#x}"
        assert first == f"  engine channel 0 #0: reads, {memory}, since 0 ns"
        assert second.startswith("  host: ")
        assert second.endswith("in test_a_report_says_who_what_where_and_after_which_registers()")
        assert change == "  bytes: 10 11 became ff ff"
        assert noticed == "  noticed at 0 ns"
        assert writes.startswith("  last register writes: ")
        assert writes.endswith("; engine CHANCMD[0]+2 = 0x1 at 0 ns")


def test_a_check_raises_what_was_found_since_the_last_one() -> None:
    with EngineScene() as scene:
        source, _ = scene.buffers()
        scene.map(source, _TO)
        source.view[0] ^= 1
        with pytest.raises(DmaRaceError, match=r"^1 DMA races\nHOST_WRITE of 1 bytes"):
            scene.checker.check()
        scene.checker.check()
        source.view[1] ^= 1
        with pytest.raises(DmaRaceError, match=r"^1 DMA races"):
            scene.checker.check()


# -- limits --------------------------------------------------------------------------------------------------


def _loop(scene: EngineScene) -> None:
    scene.ring().view[:64] = CopyDescriptor(size=1, null=1, next=scene.descriptor(0)).pack()
    scene.chain()
    scene.posted[0] = 3000
    scene.count()


def _races(scene: EngineScene) -> None:
    buffer, _ = scene.buffers()
    scene.map(buffer, _FROM)
    for number in range(500):
        scene.memory.write(buffer.address, bytes([number & 0xFF]))


@pytest.mark.parametrize("hostile", [_loop, _races])
def test_what_the_checker_keeps_is_bounded(hostile: Callable[[EngineScene], None]) -> None:
    with EngineScene() as scene:
        hostile(scene)
        assert len(scene.checker.races) <= 64


def test_the_checker_lets_go_when_it_is_closed() -> None:
    with EngineScene() as scene:
        source, _ = scene.buffers()
        scene.map(source, _TO)
        scene.checker.close()
        scene.checker.close()
        scene.memory.write(source.address, b"x")
        assert scene.memory.watcher is None
        assert scene.checker.races == ()


def test_a_memory_has_one_checker_and_an_iommu_one_watcher_from_the_start() -> None:
    with EngineScene() as scene:
        with pytest.raises(ArgumentError, match="one checker"):
            RaceChecker(scene.memory)
        scene.checker.close()
        with pytest.raises(ArgumentError, match="before the first mapping"):
            RaceChecker(scene.memory).watch_engine(scene.engine, scene.system.iommu)
