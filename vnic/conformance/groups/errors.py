"""Hardware errors: DMA that fails, rings that stop, registers that do not take; the driver counts,
recovers, goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import OK, ONE, SHORT_RINGS, frames_to, outgoing, statistics, works
from vnic.conformance.pages import guide, manual
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.testbench.bench import Bench

_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE
_HALF_A_MINUTE_NS = 30_000_000_000


def after_an_error(bench: Bench, fault: Fault) -> None:
    """Traffic with one error in it, half a minute, and traffic again; every send comes back."""
    with bench.device.arm(fault) as handle:
        for turn in range(6):
            bench.receive(*frames_to(bench.station, 3, 100, first=turn * 10))
            for frame in outgoing(3, first=turn * 10):
                bench.send(frame)
            bench.settle()
        bench.advance(_HALF_A_MINUTE_NS)
        assert handle.fired == 1, "the error never happened"
    assert len(bench.protocol.sent) == 18, f"{len(bench.protocol.sent)} of 18 sends came back"
    good = frames_to(bench.station, 60, 100)
    strange = [frame for frame in bench.received if frame not in good]
    assert not strange, f"{len(strange)} frames were indicated that nobody sent"
    doubled = len(bench.received) - len(set(bench.received))
    assert not doubled, f"{doubled} frames were indicated twice"
    lost = [
        sent for sent in bench.protocol.sent if sent.status == OK and sent.data[0] not in bench.transmitted
    ]
    assert not lost, f"{len(lost)} sends ended with success and never left"
    works(bench, "after an error")


def _dma(site: FaultSite, purpose: DmaPurpose, skip: int = 3) -> Fault:
    return Fault(site=site, action=FaultAction.ERROR, index=purpose, skip=skip, argument=1)


@case(
    manual("PROG-16"), "a ring whose descriptors could not be read is started again", is_rough=True, **_EMPTY
)
def descriptors_that_cannot_be_read(bench: Bench) -> None:
    """One read of descriptors ends with an Unsupported Request."""
    after_an_error(bench, _dma(FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR))


@case(
    manual("PROG-16"),
    "rings whose completions could not be written are started again",
    is_rough=True,
    **_EMPTY,
)
def completions_that_cannot_be_written(bench: Bench) -> None:
    """One write of a completion ends with an Unsupported Request."""
    after_an_error(bench, _dma(FaultSite.DMA_WRITE, DmaPurpose.COMPLETION))


@case(
    manual("PROG-16"),
    "rings whose completions could not be written are started again, on the line",
    is_rough=True,
    interrupt="line",
    **_EMPTY,
)
def completions_that_cannot_be_written_on_the_line(bench: Bench) -> None:
    """The same with the INTx line."""
    after_an_error(bench, _dma(FaultSite.DMA_WRITE, DmaPurpose.COMPLETION))


@case(
    manual("PROG-16"), "payload that could not be moved costs its frame and no other", is_rough=True, **_EMPTY
)
def payload_that_cannot_be_moved(bench: Bench) -> None:
    """A read and a write of payload end with an Unsupported Request."""
    after_an_error(bench, _dma(FaultSite.DMA_READ, DmaPurpose.DATA))
    bench.protocol.sent.clear()
    bench.protocol.received.clear()
    bench.transmitted.clear()
    after_an_error(bench, _dma(FaultSite.DMA_WRITE, DmaPurpose.DATA))


def _spoiled(bench: Bench, good_after: int) -> None:
    """More frames than there are buffers cannot be written; each `good_after` of them is followed by a good
    one."""
    many = bench.device.read32(BAR0.QP_RX_COUNT.offset) + 20
    error = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, count=many, argument=1
    )
    spoilt = frames_to(bench.station, 4, 100)
    good = frames_to(bench.station, 4, 120, first=0xD00D)
    for start in range(0, many, good_after):
        count = min(good_after, many - start)
        with bench.device.arm(replace(error, count=count)) as handle:
            for number in range(count):
                bench.receive(spoilt[number % 4])
                bench.settle()
            assert handle.fired == count, f"{handle.fired} of {count} frames found a buffer"
        assert not bench.received, "a frame was indicated that could not be written"
        if start + count < many:
            bench.receive(good[start % 4])
            bench.settle()
            assert bench.received == [good[start % 4]], f"no frame arrives after {start + count} errors"
            bench.protocol.received.clear()
    bench.protocol.received.clear()
    works(bench, f"after {many} frames that could not be written")


@case(
    manual("PROG-14"),
    "a buffer whose frame has an error is the card's again, however many do: none is lost",
    is_rough=True,
    **_EMPTY,
)
def more_errors_than_buffers(bench: Bench) -> None:
    """As many frames as the ring has descriptors, and twenty more, cannot be written; then frames arrive."""
    _spoiled(bench, good_after=1 << 20)


@case(
    manual("PROG-14"),
    "a buffer whose frame has an error is the card's again, with good frames between",
    is_rough=True,
    **_EMPTY,
)
def more_errors_than_buffers_among_good_frames(bench: Bench) -> None:
    """The same, where each tenth frame is a good one."""
    _spoiled(bench, good_after=9)


@case(
    manual("PROG-14"),
    "every buffer of a frame in several is the card's again when the frame has an error in any of them",
    is_rough=True,
    keywords=SHORT_RINGS | {"*JumboPacket": 9014},
    **ONE,
)
def more_errors_of_long_frames_than_buffers(bench: Bench) -> None:
    """Frames of 7,000 bytes cannot be written whole: the 1st, 2nd, 3rd write in turn; each third is good."""
    long = frames_to(bench.station, 2, 7000)
    if bench.adapter.general is not None and bench.adapter.general.mtu_size < 7000:
        raise NotSupported(f"*JumboPacket: MtuSize is {bench.adapter.general.mtu_size}")
    for turn in range(36):
        with bench.device.arm(_dma(FaultSite.DMA_WRITE, DmaPurpose.DATA, skip=turn % 3)) as handle:
            bench.receive(long[0])
            bench.settle()
            assert handle.fired == 1, f"frame {turn} finds no buffer"
        assert not bench.received, "a frame was indicated that could not be written"
        if turn % 3 == 2:
            bench.receive(long[1])
            bench.settle()
            assert bench.received == [long[1]], f"no frame arrives after {turn + 1} errors"
            bench.protocol.received.clear()
    works(bench, "after long frames that could not be written")


@case(
    guide("oid-gen-statistics"),
    "ifOutErrors or ifOutDiscards counts what could not be transmitted",
    is_rough=True,
    **ONE,
)
def counts_sends_that_failed(bench: Bench) -> None:
    """Two of six sends fail, because their data cannot be read."""
    before = statistics(bench)
    fault = Fault(
        site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=1, count=2, argument=1
    )
    with bench.device.arm(fault):
        for frame in outgoing(6):
            bench.send(frame)
            bench.settle()
    bench.advance(_HALF_A_MINUTE_NS)
    failed = 6 - len(bench.transmitted)
    if failed != 2:
        raise NotSupported("copies before it sends, or sends again")
    after = statistics(bench)
    found = after.if_out_errors + after.if_out_discards - before.if_out_errors - before.if_out_discards
    assert found == failed, f"errors and discards grew by {found}, {failed} sends failed"
    assert after.if_hc_out_ucast_pkts - before.if_hc_out_ucast_pkts == 4, "what failed is counted as sent"


@case(
    guide("oid-gen-statistics"),
    "ifInErrors or ifInDiscards counts frames that the hardware lost",
    is_rough=True,
    **ONE,
)
def counts_frames_that_were_lost(bench: Bench) -> None:
    """Two of ten frames cannot be written to memory."""
    before = statistics(bench)
    fault = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=3, count=2, argument=1
    )
    with bench.device.arm(fault):
        for frame in frames_to(bench.station, 10, 100):
            bench.receive(frame)
            bench.settle()
    after = statistics(bench)
    arrived = len(bench.received)
    found = after.if_in_errors + after.if_in_discards - before.if_in_errors - before.if_in_discards
    assert found == 10 - arrived, f"{arrived} of 10 frames arrived; errors and discards grew by {found}"
    assert after.if_hc_in_ucast_pkts - before.if_hc_in_ucast_pkts == arrived, (
        "what was lost is counted as received"
    )


@case(
    manual("PROG-8"),
    "a driver sees whether a completion ring started, and does something about one that did not",
    is_rough=True,
    starts=False,
    **ONE,
)
def a_ring_that_does_not_start(bench: Bench) -> None:
    """The write that enables the completion ring is lost, once."""
    at = BAR0.QP_CQ_CTRL.offset
    lost = Fault(site=FaultSite.MMIO_WRITE, action=FaultAction.DROP, index=0, first=at, last=at)
    with bench.device.arm(lost) as handle:
        status = bench.adapter.initialize()
        bench.settle()
        assert handle.fired == 1, "QP_CQ_CTRL is never written"
    if status == OK:
        # It may notice later: what counts is that it does.
        bench.adapter.bind(bench.protocol)
        assert bench.adapter.restart() == OK
        bench.advance(_HALF_A_MINUTE_NS)
        works(bench, "half a minute after the completion ring did not start")
        return
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    bench.start()
    works(bench)
