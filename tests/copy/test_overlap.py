"""An engine whose transfers overlap: what is held back, what a fence forbids, what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.copy.driver import Channel, Driver
from vnic.abi import DmaPurpose, EventType
from vnic.copy_engine import Budget, CopyEngine
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0, Chanerr

OLD, NEW = b"old!" * 16, b"new!" * 16
NOWHERE = 1 << 50


class Chain:
    """A to B, then B to C: without a fence C may get what B was before."""

    def __init__(self, *, is_overlapping: bool = True, **first: Any) -> None:
        driver = Driver(CopyEngine(manual=True, is_overlapping=is_overlapping))
        self.engine = driver.engine
        self.memory = driver.memory
        self.channel: Channel = driver.channel(0)
        self.a, self.b = self.memory.put(NEW), self.memory.put(OLD)
        self.c = self.memory.alloc(64)
        self.first = CopyDescriptor(size=64, src=self.a, dst=self.b, **first)
        self.second = CopyDescriptor(size=64, src=self.b, dst=self.c)

    def start(self) -> None:
        """Both are counted."""
        self.channel.post(self.first, self.second)
        self.channel.start()

    def run(self) -> list[tuple[str, int]]:
        """To the end; the transfers of data in order."""
        seen: list[Event] = []
        with self.engine.observe(seen.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
            self.start()
            self.engine.run()
        data = [event for event in seen if event.index == DmaPurpose.DATA]
        return [(event.type.name[4:], event.addr) for event in data]

    def steps(self, count: int) -> None:
        """Steps that there must be."""
        for _ in range(count):
            assert self.engine.step(0)

    @property
    def result(self) -> tuple[bytes, bytes]:
        """What B and C are."""
        return self.memory.get(self.b, 64), self.memory.get(self.c, 64)


@pytest.mark.requirement("DMA-27", "DMA-28")
def test_without_a_fence_the_next_read_overtakes_the_write() -> None:
    chain = Chain()
    assert chain.run() == [("READ", chain.a), ("READ", chain.b), ("WRITE", chain.b), ("WRITE", chain.c)]
    assert chain.result == (NEW, OLD)
    assert (chain.channel.status, chain.channel.last) == (ChanStatus.DONE, chain.channel.slot(1))


@pytest.mark.requirement("DMA-26", "DMA-28", "INV-65")
@pytest.mark.parametrize(
    "flags", [{"fence": 1}, {"compl_write": 1}, {"int_en": 1}, {"fence": 1, "compl_write": 1}]
)
def test_a_fence_a_completion_and_an_interrupt_let_nothing_overtake(flags: dict[str, Any]) -> None:
    chain = Chain(**flags)
    assert chain.run() == [("READ", chain.a), ("WRITE", chain.b), ("READ", chain.b), ("WRITE", chain.c)]
    assert chain.result == (NEW, NEW)


@pytest.mark.requirement("DMA-27")
def test_an_engine_made_otherwise_moves_one_after_the_other() -> None:
    chain = Chain(is_overlapping=False)
    chain.run()
    assert chain.result == (NEW, NEW)


@pytest.mark.requirement("DMA-27")
def test_the_last_counted_descriptor_is_not_held_back() -> None:
    chain = Chain()
    chain.channel.post(chain.first, chain.second)
    chain.channel.start_at(chain.channel.slot(0), 1)
    chain.steps(2)
    assert (chain.channel.status, chain.memory.get(chain.b, 64)) == (ChanStatus.DONE, NEW)
    chain.channel.set_count(2)
    chain.engine.run()
    assert chain.result == (NEW, NEW)


@pytest.mark.requirement("DMA-27", "DMA-50")
def test_a_held_descriptor_is_processed_when_its_piece_is_written() -> None:
    chain = Chain()
    chain.start()
    chain.steps(3)  # fetched, read, the second fetched
    assert (chain.result, chain.channel.last) == ((OLD, bytes(64)), 0)
    chain.steps(1)  # the second is read, the first written
    assert (chain.result, chain.channel.last) == ((NEW, bytes(64)), chain.channel.slot(0))
    chain.steps(1)
    assert (chain.result, chain.channel.last) == ((NEW, OLD), chain.channel.slot(1))
    assert chain.engine.is_idle


@pytest.mark.requirement("DMA-27")
@pytest.mark.parametrize(
    "fields", [{"null": 1}, {"op": CopyOp.CONTEXT_CHANGE}, {"op": CopyOp.FILL, "src": 0}]
)
def test_a_successor_that_reads_nothing_waits_for_the_write(fields: dict[str, int]) -> None:
    chain = Chain()
    chain.second = CopyDescriptor(**{"size": 64, "dst": chain.b, "compl_write": 1, **fields})
    order = chain.run()
    is_fill = "src" in fields
    assert order == [("READ", chain.a), ("WRITE", chain.b)] + [("WRITE", chain.b)] * is_fill
    assert chain.result == (bytes(64) if is_fill else NEW, bytes(64))
    assert chain.channel.completion == (ChanStatus.DONE, chain.channel.slot(1))


@pytest.mark.requirement("DMA-27", "DMA-24")
def test_a_fill_is_held_back_like_a_copy() -> None:
    chain = Chain()
    chain.first = CopyDescriptor(size=64, op=CopyOp.FILL, src=int.from_bytes(NEW[:8], "little"), dst=chain.b)
    assert chain.run() == [("READ", chain.b), ("WRITE", chain.b), ("WRITE", chain.c)]
    assert chain.result == (NEW, OLD)


@pytest.mark.requirement("DMA-27", "DMA-6")
@pytest.mark.parametrize(("after", "result"), [(2, (NEW, bytes(64))), (3, (NEW, OLD)), (4, (NEW, OLD))])
def test_suspend_writes_what_is_held(after: int, result: tuple[bytes, bytes]) -> None:
    chain = Chain()
    chain.start()
    chain.steps(after)
    chain.channel.command("SUSPEND")
    assert chain.channel.status == ChanStatus.ACTIVE
    chain.engine.run()
    assert (chain.channel.status, chain.result) == (ChanStatus.SUSPENDED, result)
    assert chain.channel.last == chain.channel.slot(0 if after == 2 else 1)
    chain.channel.command("RESUME")
    chain.engine.run()
    assert (chain.channel.status, chain.channel.last) == (ChanStatus.DONE, chain.channel.slot(1))


@pytest.mark.requirement("DMA-27", "DMA-1")
@pytest.mark.parametrize("after", [2, 3])
def test_a_new_chain_writes_what_is_held(after: int) -> None:
    chain = Chain()
    chain.start()
    chain.steps(after)
    chain.channel.post(CopyDescriptor(size=64, src=chain.b, dst=chain.c, fence=1))
    chain.channel.write(COPY_BAR0.CHAINADDR, chain.channel.slot(2))
    chain.channel.set_count(1)
    chain.engine.run()
    assert (chain.channel.status, chain.channel.last) == (ChanStatus.DONE, chain.channel.slot(2))
    assert chain.result == (NEW, NEW)


@pytest.mark.requirement("DMA-27", "DMA-3")
def test_a_successor_that_is_counted_out_has_the_piece_written() -> None:
    chain = Chain()
    chain.start()
    chain.steps(2)
    chain.channel.set_count(1)
    chain.steps(1)
    assert (chain.channel.status, chain.result) == (ChanStatus.DONE, (NEW, bytes(64)))


@pytest.mark.requirement("DMA-27", "DMA-8", "DMA-9", "INV-62")
@pytest.mark.parametrize("command", [("ABORT",), ("RESET",), ("ABORT", "RESET")])
@pytest.mark.parametrize("after", [2, 3])
def test_abort_reset_and_wrong_commands_drop_what_is_held(command: tuple[str, ...], after: int) -> None:
    chain = Chain()
    chain.start()
    chain.steps(after)
    chain.channel.command(*command)
    chain.engine.run()
    assert (chain.channel.status, chain.channel.last) == (ChanStatus.HALTED, 0)
    assert chain.result == (OLD, bytes(64))


@pytest.mark.requirement("DMA-27", "DMA-41")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"src": NOWHERE}, Chanerr.SRC_ADDR),
        ({"op": 7}, Chanerr.DESC_CONTROL),
        ({"size": 0}, Chanerr.DESC_LENGTH),
    ],
)
def test_an_error_of_the_successor_writes_what_is_held_first(fields: dict[str, int], error: int) -> None:
    chain = Chain()
    chain.second = CopyDescriptor(**{"size": 64, "src": chain.b, "dst": chain.c, **fields})
    chain.run()
    assert (chain.channel.status, chain.channel.chanerr) == (ChanStatus.HALTED, error)
    assert (chain.channel.last, chain.channel.read(COPY_BAR0.CDAR)) == (
        chain.channel.slot(0),
        chain.channel.slot(1),
    )
    assert chain.result == (NEW, bytes(64))


@pytest.mark.requirement("DMA-27", "DMA-40")
@pytest.mark.parametrize(("where", "error"), [(3, Chanerr.NEXT_ALIGN), (NOWHERE, Chanerr.NEXT_ADDR)])
def test_a_successor_that_cannot_be_fetched_writes_what_is_held_first(where: int, error: int) -> None:
    chain = Chain()
    chain.first.next = where
    chain.run()
    assert (chain.channel.status, chain.channel.chanerr) == (ChanStatus.HALTED, error)
    assert (chain.channel.last, chain.channel.read(COPY_BAR0.CDAR)) == (chain.channel.slot(0), where)
    assert chain.result == (NEW, bytes(64))


@pytest.mark.requirement("DMA-27", "DMA-41")
@pytest.mark.parametrize("second", [{}, {"op": 7}, {"src": NOWHERE}, {"null": 1}])
def test_an_error_of_the_held_write_is_the_held_descriptors(second: dict[str, int]) -> None:
    chain = Chain()
    chain.first.dst = NOWHERE
    chain.second = CopyDescriptor(**{"size": 64, "src": chain.b, "dst": chain.c, **second})
    chain.run()
    assert (chain.channel.status, chain.channel.chanerr) == (ChanStatus.HALTED, Chanerr.DEST_ADDR)
    assert (chain.channel.last, chain.channel.read(COPY_BAR0.CDAR)) == (0, chain.channel.slot(0))
    assert chain.result == (OLD, bytes(64))


@pytest.mark.requirement("DMA-27", "DMA-21")
def test_only_the_last_piece_is_held_and_only_the_first_one_overtakes() -> None:
    driver = Driver(CopyEngine(manual=True, is_overlapping=True))
    channel, memory = driver.channel(0), driver.memory
    source = memory.put(bytes(range(256)) * 48, align=4096)
    target = memory.alloc(6 * 4096, align=4096)
    channel.post(
        CopyDescriptor(size=8192, src=source, dst=target),
        CopyDescriptor(size=8192, src=source + 4096, dst=target + 8192),
    )
    seen: list[Event] = []
    with driver.engine.observe(seen.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        channel.start()
        used = driver.engine.run()
    assert [
        (event.type.name[4:], event.addr - target) for event in seen if event.type == EventType.DMA_WRITE
    ] == [
        ("WRITE", 0),
        ("WRITE", 4096),
        ("WRITE", 8192),
        ("WRITE", 12288),
    ]
    order = "".join(event.type.name[4] for event in seen if event.index == DmaPurpose.DATA)
    assert order == "RWRRWWRW"
    assert memory.get(target, 16384) == memory.get(source, 8192) + memory.get(source + 4096, 8192)
    assert used.bytes == 2 * 64 + 2 * 16384


@pytest.mark.requirement("DMA-27", "DMA-41")
def test_a_last_piece_that_cannot_be_read_is_not_held() -> None:
    chain = Chain()
    chain.first.src = NOWHERE
    chain.run()
    assert (chain.channel.status, chain.channel.chanerr) == (ChanStatus.HALTED, Chanerr.SRC_ADDR)
    assert (chain.channel.last, chain.channel.read(COPY_BAR0.CDAR)) == (0, chain.channel.slot(0))
    assert chain.result == (OLD, bytes(64))


@pytest.mark.requirement("DMA-27", "DMA-50")
@pytest.mark.parametrize("limit", [64, 127, 128, 192])
def test_a_budget_of_bytes_holds_for_steps_that_read_and_write(limit: int) -> None:
    chain = Chain()
    chain.start()
    moved = 0
    while (used := chain.engine.run(Budget(1000, limit))).steps:
        assert used.bytes <= limit
        moved += used.bytes
    # The fetch of the second may have to write what is held: 128 bytes at most, as the exchange has.
    assert moved == (64 + 64 if limit < 128 else 6 * 64)
    assert chain.engine.is_idle == (limit >= 128)
