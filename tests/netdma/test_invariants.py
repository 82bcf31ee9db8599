"""Invariants 58 to 67 at the provider: chains made by hand, the engine stopped at each of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.netdma.scene import ONE_OF_EACH, REPORT, RawChain
from vnic.abi import DmaPurpose, EventType
from vnic.events import Event
from vnic.gen.registers import COPY_BAR0
from vnic.host.bus import PAGE, Direction
from vnic.netdma.descriptor import NET_DMA, NET_DMA_TRANSFER_STATUS
from vnic.netdma.types import NTSTATUS
from vnic.testbench.copy_bench import CopyBench

STATUS = NET_DMA_TRANSFER_STATUS
#: More steps than any chain here takes.
MOMENTS = range(0, 12)


@contextmanager
def raw(version: tuple[int, int], **settings: Any) -> Iterator[RawChain]:
    """A raw channel; the engine moves by steps only, and the provider gets what no interface would pass."""
    chain_settings = {key: settings.pop(key) for key in ("pieces", "piece") if key in settings}
    bench_settings: dict[str, Any] = {"manual": True, "scatter": False, "is_checked": False} | settings
    with CopyBench(version=version, **bench_settings) as bench:
        chain = RawChain(bench, **chain_settings)
        yield chain
        chain.close()


def steps(chain: RawChain, count: int) -> None:
    """So many steps of the engine, or as many as there are."""
    for _ in range(count):
        chain.bench.step(0)


def finish(chain: RawChain) -> None:
    """Let the engine and the processors come to rest."""
    chain.bench.settle()


def fetches(chain: RawChain, seen: list[int]) -> Any:
    """Keep the places of descriptors that are read."""

    def note(event: Event) -> None:
        if event.index == DmaPurpose.DESCRIPTOR:
            seen.append(chain.place(event.addr))

    return chain.bench.engine.observe(note, [EventType.DMA_READ])


def writes(chain: RawChain, seen: list[int]) -> Any:
    """Keep the pieces that are written, as often as they are."""

    def note(event: Event) -> None:
        if event.index == DmaPurpose.DATA:
            seen.append((event.addr - chain.destination_segment.addr) // chain.piece)

    return chain.bench.engine.observe(note, [EventType.DMA_WRITE])


# -- 58 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-58")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("before", ["allocate", "abort", "reset"])
def test_58_append_without_start_moves_nothing(version: tuple[int, int], before: str) -> None:
    with raw(version) as chain:
        if before != "allocate":
            chain.put([5])
            assert chain.start(5) == NTSTATUS.SUCCESS
            finish(chain)
            getattr(chain.handle, before)()
        chain.put([0, 1])
        append = chain.handle.record.characteristics.append_dma
        assert append is not None
        pointer = chain.pointer(0)
        status = append(chain.handle.context, pointer, pointer.physical, 2)
        finish(chain)
        assert status == NTSTATUS.UNSUCCESSFUL
        assert chain.copied == ({5} if before != "allocate" else set())
        assert chain.start(0, 1) == NTSTATUS.SUCCESS
        finish(chain)
        assert chain.copied >= {0, 1}


# -- 59 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-59", "NDMA-4")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("moment", MOMENTS)
def test_59_append_at_every_step_loses_nothing(version: tuple[int, int], moment: int) -> None:
    """Before, while and after the last descriptor is fetched, moved, completed; and once more just after."""
    for second in range(0, 6, 1 if version < (2, 0) else 3):
        with raw(version) as chain:
            order: list[int] = []
            with writes(chain, order):
                chain.put([0, 1], onward=2)
                chain.put([2], onward=3)
                chain.put([3, 4])
                assert chain.start(0, 1) == NTSTATUS.SUCCESS
                steps(chain, moment)
                assert chain.append(2) == NTSTATUS.SUCCESS
                steps(chain, second)
                assert chain.append(3, 4) == NTSTATUS.SUCCESS
                finish(chain)
            assert order == [0, 1, 2, 3, 4], (moment, second)
            assert chain.copied == {0, 1, 2, 3, 4}
            assert chain.completion == (chain.pointer(4).physical, STATUS.IDLE)


@pytest.mark.requirement("INV-59", "NDMA-4")
@pytest.mark.parametrize("overlapping", [False, True])
def test_59_the_engine_goes_on_while_the_provider_waits(overlapping: bool) -> None:
    """Descriptors of several pieces: SUSPEND meets one in the middle, and Append has to wait for it."""
    for moment in range(14):
        device = {"is_overlapping": overlapping}
        with raw((1, 0), pieces=4, piece=3 * PAGE, device=device) as chain:
            chain.put([0])
            chain.put([1])
            assert chain.start(0) == NTSTATUS.SUCCESS
            steps(chain, moment)
            assert chain.append(1) == NTSTATUS.SUCCESS
            finish(chain)
            assert chain.copied == {0, 1}, moment


@pytest.mark.requirement("INV-59", "NDMA-5")
def test_59_more_descriptors_than_the_counter_holds() -> None:
    """A ring of seven NULL transfers, gone round until DMACOUNT passes 2^16, and on."""
    with raw((2, 0), manual=False) as chain:
        null = NET_DMA.NULL_TRANSFER | NET_DMA.STATUS_UPDATE_ON_COMPLETION
        chain.put(range(7), *[chain.make(place, null) for place in range(7)], onward=0)
        first = chain.pointer(0)
        assert chain.handle.start(first, 0xFFF0) == NTSTATUS.SUCCESS
        assert chain.completion == (chain.pointer((0xFFF0 - 1) % 7).physical, STATUS.IDLE)
        assert chain.handle.append(first, 0x20) == NTSTATUS.SUCCESS
        assert chain.completion == (chain.pointer((0x1_0010 - 1) % 7).physical, STATUS.IDLE)
        counter = COPY_BAR0.CHANCMD.at(0) + 2
        assert chain.bench.engine.read(0, counter, 2) == 0x10
        assert chain.copied == set()


# -- 60 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-60")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("moment", MOMENTS)
def test_60_start_on_a_running_chain(version: tuple[int, int], moment: int) -> None:
    with raw(version, pieces=8, piece=2 * PAGE) as chain:
        chain.put([0, 1, 2, 3])
        chain.put([6, 7])
        assert chain.start(0, 1, 2, 3) == NTSTATUS.SUCCESS
        seen: list[int] = []
        with fetches(chain, seen):
            steps(chain, moment)
            begun = list(seen)
            assert chain.start(6, 7) == NTSTATUS.SUCCESS
            finish(chain)
        assert seen == [*begun, 6, 7]
        assert chain.copied == {*begun, 6, 7}, "what was begun is finished, what was not is not touched"
        assert chain.completion == (chain.pointer(7).physical, STATUS.IDLE)


# -- 61 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-61", "NDMA-13")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("moment", MOMENTS)
def test_61_suspend_finishes_the_current_one_and_next_may_be_edited(
    version: tuple[int, int], moment: int
) -> None:
    with raw(version, pieces=8, piece=2 * PAGE) as chain:
        chain.put([0, 1, 2, 3])
        chain.put([6])
        assert chain.start(0, 1, 2, 3) == NTSTATUS.SUCCESS
        seen: list[int] = []
        with fetches(chain, seen):
            steps(chain, moment)
            status, last = chain.handle.suspend()
        done = len(seen)
        assert status == NTSTATUS.SUCCESS
        assert last == (chain.pointer(seen[-1]).physical if seen else 0)
        assert chain.completion == (last, STATUS.SUSPEND)
        steps(chain, 20)
        assert chain.copied == set(range(done)), "exactly what was begun, and nothing while suspended"
        if 0 < done < 3:  # 6 in place of the next one
            edited = chain.pointer(6).read()
            edited.next_descriptor = chain.pointer(done + 1).physical
            chain.pointer(6).write(edited)
            chain.pointer(done - 1).link(chain.pointer(6).physical)
        assert chain.handle.resume() == NTSTATUS.SUCCESS
        finish(chain)
        skipped = {done} if 0 < done < 3 else set()
        assert chain.copied == {0, 1, 2, 3} - skipped | ({6} if skipped else set())


@pytest.mark.requirement("INV-61", "NDMA-4")
@pytest.mark.parametrize("moment", range(1, 9))
def test_61_a_list_of_version_1_may_change_its_length(moment: int) -> None:
    """Two inserted, or all of the rest cut off and appended again later."""
    for change in ("insert", "cut"):
        with raw((1, 0)) as chain:
            chain.put([0, 1, 2])
            chain.put([5, 6])
            assert chain.start(0, 1, 2) == NTSTATUS.SUCCESS
            steps(chain, moment)
            _, last = chain.handle.suspend()
            place = chain.place(last) if last else 0
            rest = chain.pointer(place).read().next_descriptor
            if change == "insert" and last:
                chain.pointer(6).link(rest)
                chain.pointer(place).link(chain.pointer(5).physical)
            elif last:
                chain.pointer(place).link(0)
            assert chain.handle.resume() == NTSTATUS.SUCCESS
            finish(chain)
            if change == "insert":
                assert chain.copied == {0, 1, 2, 5, 6}
            else:
                assert chain.copied == set(range(place + 1))
                chain.put([4])
                chain.pointer(place).link(chain.pointer(4).physical)
                assert chain.handle.append(chain.pointer(4), 1) == NTSTATUS.SUCCESS
                finish(chain)
                assert chain.copied == {*range(place + 1), 4}


@pytest.mark.requirement("INV-61")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_61_append_while_suspended_waits_for_resume(version: tuple[int, int]) -> None:
    with raw(version) as chain:
        chain.put([0, 1], onward=2)
        chain.put([2])
        assert chain.start(0, 1) == NTSTATUS.SUCCESS
        steps(chain, 2)
        assert chain.handle.suspend()[0] == NTSTATUS.SUCCESS
        assert chain.append(2) == NTSTATUS.SUCCESS
        steps(chain, 20)
        assert chain.copied == {0}
        assert chain.handle.resume() == NTSTATUS.SUCCESS
        finish(chain)
        assert chain.copied == {0, 1, 2}


# -- 62 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-62", "NDMA-13")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("how", ["abort", "reset"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_62_nothing_is_written_after_abort_or_reset(version: tuple[int, int], how: str, moment: int) -> None:
    with raw(version, pieces=8, piece=2 * PAGE) as chain:
        last = [chain.make(place, REPORT) for place in (0, 1, 2, 3)]
        chain.put([0, 1, 2, 3], *last)
        chain.put([6])
        assert chain.start(0, 1, 2, 3) == NTSTATUS.SUCCESS
        steps(chain, moment)
        assert getattr(chain.handle, how)() == NTSTATUS.SUCCESS
        memory, completion = bytes(chain.destination.view), chain.completion
        assert completion.status == STATUS.HALTED
        seen: list[int] = []
        with fetches(chain, seen):
            steps(chain, 40)
            finish(chain)
            assert (bytes(chain.destination.view), chain.completion) == (memory, completion)
            assert chain.start(6) == NTSTATUS.SUCCESS
            finish(chain)
        assert seen == [6]
        assert chain.completion == (chain.pointer(6).physical, STATUS.IDLE)


# -- 63, 64 --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-63", "INV-64")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("null", [0, NET_DMA.NULL_TRANSFER])
@pytest.mark.parametrize(
    "flags", [0, NET_DMA.STATUS_UPDATE_ON_COMPLETION, NET_DMA.INTERRUPT_ON_COMPLETION, REPORT]
)
def test_63_status_and_interrupt_are_independent(version: tuple[int, int], null: int, flags: int) -> None:
    with raw(version, manual=False) as chain:
        chain.handle.clear_completion()
        chain.put([0], chain.make(0, flags | null, transfer_size=1 if null else chain.piece))
        assert chain.start(0) == NTSTATUS.SUCCESS
        finish(chain)
        address = chain.pointer(0).physical
        is_written = bool(flags & NET_DMA.STATUS_UPDATE_ON_COMPLETION)
        assert chain.completion == ((address, STATUS.IDLE) if is_written else (0, STATUS.ARMED))
        assert chain.reports == ([0] if flags & NET_DMA.INTERRUPT_ON_COMPLETION else [])
        assert chain.copied == (set() if null else {0})


@pytest.mark.requirement("INV-63")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_63_every_status_is_a_legal_one(version: tuple[int, int]) -> None:
    """Each descriptor of a chain reports: ACTIVE before the last one, IDLE at it, with its own address."""
    with raw(version) as chain:
        seen: list[tuple[int, int]] = []

        def note(event: Event) -> None:
            if event.index == DmaPurpose.COMPLETION:
                value = int.from_bytes(event.data, "little")
                seen.append((chain.place(value & ~0x3F), value & 0x3F))

        chain.put([0, 1, 2], *[chain.make(place, REPORT) for place in (0, 1, 2)])
        with chain.bench.engine.observe(note, [EventType.DMA_WRITE]):
            assert chain.start(0, 1, 2) == NTSTATUS.SUCCESS
            finish(chain)
        assert seen == [(0, STATUS.ACTIVE), (1, STATUS.ACTIVE), (2, STATUS.IDLE)]
        assert chain.reports[-1] == 2 and set(chain.reports) <= {0, 1, 2}


@pytest.mark.requirement("INV-64")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("size", [0, 1, 64, 0xFFFF_FFFF])
def test_64_a_null_transfer_of_any_size_moves_nothing(version: tuple[int, int], size: int) -> None:
    with raw(version) as chain:
        null = chain.make(
            1, NET_DMA.NULL_TRANSFER, transfer_size=size, source_address=3, destination_address=5
        )
        chain.put([0, 1, 2], chain.make(0), null, chain.make(2, REPORT))
        assert chain.start(0, 1, 2) == NTSTATUS.SUCCESS
        finish(chain)
        assert chain.copied == {0, 2} and chain.reports == [2]


# -- 65 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-65")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("flags", [0, NET_DMA.SERIALIZE_TRANSFER])
def test_65_serialize_shows_the_next_one_what_was_written(version: tuple[int, int], flags: int) -> None:
    """A to B, then B to C. With the flag C is A; without it the engine may read B early, and here it does."""
    with raw(version, device={"is_overlapping": True}, check_races=None if flags else False) as chain:
        bench = chain.bench
        middle = bench.buffer(b"\x55" * chain.piece, align=PAGE)
        (segment,) = bench.system.map(middle.address, len(middle), Direction.BIDIRECTIONAL)
        first = chain.make(0, flags, destination_address=segment.addr)
        second = chain.make(1, REPORT, source_address=segment.addr)
        chain.put([0, 1], first, second)
        assert chain.start(0, 1) == NTSTATUS.SUCCESS
        finish(chain)
        arrived = bytes(chain.destination.view[chain.piece : 2 * chain.piece])
        assert bytes(middle.view) == chain.content[: chain.piece]
        assert arrived == (chain.content[: chain.piece] if flags else b"\x55" * chain.piece)
        bench.system.unmap([segment], Direction.BIDIRECTIONAL)
        middle.free()


# -- 66 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-66")
@pytest.mark.parametrize("source_inset", [0, 1, 64, PAGE - 1])
@pytest.mark.parametrize("destination_inset", [0, 7, PAGE - 64])
@pytest.mark.parametrize("size", [1, PAGE])
def test_66_page_breaks_equal_two_fragments(source_inset: int, destination_inset: int, size: int) -> None:
    """The second pages are apart from the first on both sides: pieces 0 and 2 of each."""
    with raw((2, 0), pieces=3, piece=PAGE) as chain:
        flags = REPORT | NET_DMA.SOURCE_PAGE_BREAK | NET_DMA.DESTINATION_PAGE_BREAK
        one = chain.make(0, flags, transfer_size=size)
        one.source_address += source_inset
        one.destination_address += destination_inset
        one.next_source_address = chain.source_segment.addr + 2 * PAGE
        one.next_destination_address = chain.destination_segment.addr + 2 * PAGE
        chain.put([0], one)
        assert chain.start(0) == NTSTATUS.SUCCESS
        finish(chain)
        fragments = chain.content[source_inset:PAGE] + chain.content[2 * PAGE :]
        expected = bytearray(3 * PAGE)
        pages = [*range(destination_inset, PAGE), *range(2 * PAGE, 3 * PAGE)]
        for at, byte in zip(pages, fragments[:size], strict=False):
            expected[at] = byte
        assert bytes(chain.destination.view) == bytes(expected)
        assert chain.reports == [0]


# -- 67 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-67", "NDMA-9")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("what", ["size", "next", "source", "destination", "flags"])
def test_67_what_cannot_be_done_halts_and_harms_nothing(version: tuple[int, int], what: str) -> None:
    with raw(version, device={"transfer_log2": 12}) as chain:
        wrong = {
            "size": chain.make(1, transfer_size=PAGE + 1),
            "next": chain.make(1),
            "source": chain.make(1, source_address=1 << 60),
            "destination": chain.make(1, destination_address=(1 << 64) - 32),
            "flags": chain.make(1, 0x0200_0000),
        }[what]
        chain.put([0, 1, 2], chain.make(0, REPORT), wrong, chain.make(2, REPORT))
        if what == "next":
            chain.pointer(1).link(chain.pointer(2).physical + 8)
        assert chain.start(0, 1, 2) == NTSTATUS.SUCCESS
        finish(chain)
        assert chain.reports[-1] is None
        assert chain.copied == ({0, 1} if what == "next" else {0})
        assert chain.completion.status == STATUS.HALTED
        chain.put([5])
        assert chain.start(5) == NTSTATUS.SUCCESS
        finish(chain)
        assert 5 in chain.copied and chain.reports[-1] == 5
