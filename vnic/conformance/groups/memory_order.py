"""Memory order: descriptors before doorbells, completions by their generation, and nobody in a buffer
that is another's."""

from __future__ import annotations

from typing import Any

from vnic.abi import DmaPurpose, EventType
from vnic.conformance.case import case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    assert_all_sent,
    frames_to,
    padded,
    same,
    statuses,
    take,
    works,
)
from vnic.conformance.pages import guide, manual
from vnic.events import Event
from vnic.gen.registers import BAR0
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_DMA = guide("ndis-scatter-gather-dma")
_BARRIER = manual("RING-8", "rings")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


def both_ways(bench: Bench, count: int, length: int = 300) -> None:
    """`count` frames in, then `count` out, a few at a time."""
    frames = frames_to(bench.station, count, length)
    for start in range(0, count, 5):
        bench.receive(*frames[start : start + 5])
        bench.settle()
    same(bench.received[-count:], frames)
    out = [plain_frame(length, n, PEER) for n in range(count)]
    bench.transmitted.clear()
    for start in range(0, count, 5):
        for frame in out[start : start + 5]:
            bench.send(frame, pieces=[33, 100] if start % 2 else [])
        bench.settle()
    same(bench.transmitted, [padded(frame) for frame in out], "left")


@case(_BARRIER, "a receive descriptor is written whole before RX_TAIL says that it is there", **_EMPTY)
def receive_descriptors_before_their_doorbell(bench: Bench) -> None:
    """The card fetches descriptors within the write of RX_TAIL, for three hundred frames: each leads to
    a buffer."""
    fetched: list[bytes] = []

    def see(event: Event) -> None:
        if event.index == DmaPurpose.DESCRIPTOR:
            fetched.append(event.data)

    with bench.device.observe(see, (EventType.DMA_READ,)):
        both_ways(bench, 150)
    assert fetched, "the card fetched no descriptor"
    assert not any(bytes(16) in _descriptors(data) for data in fetched), (
        "an empty descriptor was handed to the card"
    )


def _descriptors(data: bytes) -> list[bytes]:
    return [data[at : at + 16] for at in range(0, len(data), 16)]


@case(
    _DMA, "a buffer that is mapped for DMA is the card's until its mapping ends", check_races=True, **_EMPTY
)
def no_race_for_a_buffer(bench: Bench) -> None:
    """Traffic in both directions, watched for accesses of driver and card to the same bytes at the same
    time."""
    both_ways(bench, 60)
    bench.protocol.keeps_nbls = True
    both_ways_kept = frames_to(bench.station, 10, 200, first=900)
    bench.receive(*both_ways_kept)
    bench.settle()
    bench.protocol.release()
    bench.adapter.reset()
    bench.settle()
    works(bench)


@case(
    _DMA,
    "a buffer that is mapped for DMA is the card's until its mapping ends, on every processor",
    check_races=True,
    seeds=(21, 22),
    keywords=SHORT_RINGS,
)
def no_race_on_four_processors(bench: Bench) -> None:
    """Traffic of four processors in two interleavings, watched for races."""
    sent = 0
    for turn in range(4):
        bench.receive(*frames_to(bench.station, 6, 200, first=turn * 10))
        for cpu in range(4):
            with bench.processors.on(cpu):
                bench.send(plain_frame(200, sent, PEER))
                sent += 1
    bench.settle()
    assert len(bench.protocol.sent) == sent
    assert set(statuses(bench)) == {OK}


@case(
    manual("PROG-13"),
    "GEN changes with every pass: a driver that loses its place takes old completions for new",
    **_EMPTY,
)
def after_any_number_of_passes(bench: Bench) -> None:
    """After one, two and three passes of the completion ring, and a bit, the rings are reset and used
    again."""
    count = bench.device.read32(BAR0.QP_CQ_COUNT.offset)
    for passes in range(1, 4):
        target = count * passes // 2 + 3
        both_ways(bench, min(max(10, target), 700), 70)
        bench.adapter.reset()
        bench.settle()
        bench.protocol.received.clear()
        works(bench, f"after a reset in pass {passes}")


@case(manual("PROG-13"), "CQ_TAIL moves only over completions that were taken", **_EMPTY)
def completion_slots_are_given_back_in_order(bench: Bench) -> None:
    """Watch CQ_TAIL while a hundred frames pass: it never passes the card's head, nor goes back."""
    count = bench.device.read32(BAR0.QP_CQ_COUNT.offset)
    written = 0
    announced: list[int] = []
    ahead: list[str] = []
    start = bench.device.read32(BAR0.QP_CQ_TAIL.offset)
    last = start

    def see(event: Event) -> None:
        nonlocal written, last
        if event.type is EventType.DMA_WRITE and event.index == DmaPurpose.COMPLETION:
            written += max(1, len(event.data) // 32)
        elif event.type is EventType.MMIO_WRITE and event.index == 0 and event.addr == BAR0.QP_CQ_TAIL.offset:
            announced.append((event.value - last) % count)
            last = event.value
            if sum(announced) > written:
                ahead.append(f"{sum(announced)} slots given back of {written} completions")

    with bench.device.observe(see, (EventType.DMA_WRITE, EventType.MMIO_WRITE)):
        both_ways(bench, 100)
    assert announced, "CQ_TAIL was never written"
    assert not ahead, ahead[0]
    assert written - sum(announced) < count, "completions are taken and never given back"


@case(_BARRIER, "a driver reads a completion once it is whole: what is behind it in memory may be old", **ONE)
def old_bytes_behind_completions(bench: Bench) -> None:
    """Frames of very different length and kind alternate, so that what is left of old completions
    differs from new."""
    frames = [plain_frame(60 if n % 2 else 1500, n, bench.station) for n in range(200)]
    for start in range(0, 200, 7):
        same([frame.data for frame in take(bench, *frames[start : start + 7])], frames[start : start + 7])


@case(_DMA, "bus addresses are 64 bits wide, and not those of memory", scatter=True, **ONE)
def addresses_above_four_gigabytes(bench: Bench) -> None:
    """Every buffer lies above 4 GiB on the bus, no two pages side by side: count what the card reads
    and writes there."""
    high: list[int] = []

    def see(event: Event) -> None:
        if event.index == DmaPurpose.DATA:
            high.append(event.addr)

    with bench.device.observe(see, (EventType.DMA_READ, EventType.DMA_WRITE)):
        both_ways(bench, 20, 1514)
    assert high
    assert max(high) >> 32, "the bench has no high address: nothing was tried"


@case(manual("PROG-12"), "a doorbell is written for what is there, and not again for nothing", **_EMPTY)
def no_doorbell_for_nothing(bench: Bench) -> None:
    """Settle after traffic; while nothing happens for ten seconds no tail moves."""
    both_ways(bench, 20)
    tails = {register.offset for register in (BAR0.QP_RX_TAIL, BAR0.QP_TX_TAIL, BAR0.QP_CQ_TAIL)}
    moved: list[Event] = []

    def see(event: Event) -> None:
        if event.index == 0 and event.addr in tails:
            moved.append(event)

    with bench.device.observe(see, (EventType.MMIO_WRITE,)):
        bench.advance(10_000_000_000)
    assert len({(event.addr, event.value) for event in moved}) <= 3, f"{len(moved)} doorbells without work"


@case(manual("PROG-12"), "descriptors are written whole before the doorbell says so", **_EMPTY)
def descriptors_are_ready_when_the_doorbell_rings(bench: Bench) -> None:
    """The card fetches a descriptor within the write of its doorbell: nothing of it may be written later."""
    frames = [plain_frame(60 + 13 * n, n, PEER) for n in range(64)]
    for frame in frames:
        bench.send(frame, pieces=[20, 20])
    bench.settle()
    assert_all_sent(bench, frames)
    assert bench.counters()["TX_DROP_DESCRIPTOR"] == 0
