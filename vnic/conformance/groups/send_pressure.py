"""Sends under pressure: full rings wherever they stand, no map registers, failures among many, callbacks
that send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    assert_all_sent,
    frames_to,
    outgoing,
    padded,
    statuses,
    take,
    transmit_ring,
    works,
)
from vnic.conformance.pages import ddi, guide, manual
from vnic.errors import CapacityError
from vnic.fault import Fault
from vnic.host.bus import Direction, Segment
from vnic.ndis.miniport import SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.ndis.protocol import BindingHandle
from vnic.protocol.capture import CaptureProtocol
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_SEND = ddi("nc-ndis-miniport_send_net_buffer_lists")
_COMPLETE = ddi("nf-ndis-ndismsendnetbufferlistscomplete")
_MAPPING = guide("ndis-scatter-gather-dma")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE
_HALF_A_MINUTE_NS = 30_000_000_000


def _data_errors(skip: int, count: int = 1) -> Fault:
    return Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.ERROR,
        index=DmaPurpose.DATA,
        skip=skip,
        count=count,
        argument=1,
    )


def _truthful(bench: Bench, count: int) -> None:
    """Every send came back once; success is what left, and nothing left of what failed."""
    ended = bench.protocol.sent
    assert len(ended) == count, f"{len(ended)} of {count} sends came back"
    for sent in ended:
        gone = [padded(frame) in bench.transmitted for frame in sent.data]
        if sent.status == OK:
            assert all(gone), f"send {sent.context} ended with success, and did not leave"
        else:
            assert not all(gone), f"send {sent.context} left whole, and ended {sent.status!s}"


@case(manual("PROG-12"), "a ring is full at COUNT - 1 descriptors, wherever in it the head stands", **_EMPTY)
def full_at_every_position(bench: Bench) -> None:
    """Go on by a fifth of the ring, then hand over a ring and 20 frames more while the card stands still;
    twelve times."""
    ring = transmit_ring(bench)
    for turn in range(12):
        bench.transmitted.clear()
        bench.protocol.sent.clear()
        some = outgoing(ring // 5 + 1, first=turn * 1000)
        for frame in some:
            bench.send(frame)
        bench.settle()
        many = outgoing(ring + 20, first=turn * 1000 + 500)
        bench.device.is_manual = True
        for frame in many:
            bench.send(frame)
        bench.device.is_manual = False
        bench.settle()
        assert_all_sent(bench, some + many)


@contextmanager
def _without_maps(bench: Bench, numbers: range) -> Iterator[list[int]]:
    """These mappings of data to be sent fail, counted from now on; the list has those that were asked for."""
    genuine, asked = bench.system.map, list[int]()

    def map_(address: int, length: int, direction: Direction) -> list[Segment]:
        if direction is Direction.TO_DEVICE:
            asked.append(length)
            if len(asked) - 1 in numbers:
                raise CapacityError("no map registers")
        return genuine(address, length, direction)

    setattr(bench.system, "map", map_)  # noqa: B010 - an instance's own
    try:
        yield asked
    finally:
        setattr(bench.system, "map", genuine)  # noqa: B010


@case(
    _MAPPING,
    "a send that cannot be mapped for DMA comes back or waits, and what was mapped of it is unmapped",
    **_EMPTY,
)
def map_registers_run_out(bench: Bench) -> None:
    """Of eight frames in four pieces each, the 1st, 2nd ... 8th mapping fails; nothing else happens for half
    a minute."""
    for number in range(8):
        bench.transmitted.clear()
        bench.protocol.sent.clear()
        with _without_maps(bench, range(number, number + 1)) as asked:
            for place, frame in enumerate(outgoing(8, 400)):
                bench.send(frame, pieces=[14, 40, 100], context=place)
            bench.settle()
            bench.advance(_HALF_A_MINUTE_NS)
        if not asked:
            raise NotSupported("copies what it sends")
        _truthful(bench, 8)
    works(bench, "after mappings that failed")


@case(_MAPPING, "with no map register at all sends come back, and go on when there are some", **_EMPTY)
def no_map_registers_for_a_while(bench: Bench) -> None:
    """Every mapping of twelve sends fails, half a minute goes by; then there are map registers again."""
    with _without_maps(bench, range(10_000)) as asked:
        for place, frame in enumerate(outgoing(12, 300)):
            bench.send(frame, context=place)
        bench.settle()
        bench.advance(_HALF_A_MINUTE_NS)
    if not asked:
        raise NotSupported("copies what it sends")
    works_again = outgoing(3, first=900)
    for frame in works_again:
        bench.send(frame)
    bench.settle()
    _truthful(bench, 15)
    assert set(works_again) <= set(bench.transmitted), "sends do not go on when there are map registers again"


@case(
    _COMPLETE,
    "of many frames that were handed over together one fails, and the others succeed",
    is_rough=True,
    **ONE,
)
def one_failure_among_many(bench: Bench) -> None:
    """Twenty frames wait for a card that stands still, one by one or in a chain; the data of the 1st, 7th or
    20th cannot be read."""
    for turn, (bad, is_chain) in enumerate(product((0, 6, 19), (False, True))):
        bench.transmitted.clear()
        bench.protocol.sent.clear()
        frames = outgoing(20, first=turn * 100)
        bench.device.is_manual = True
        if is_chain:
            bench.protocol.send_chain(frames)
        else:
            for frame in frames:
                bench.send(frame)
        with bench.device.arm(_data_errors(bad)) as handle:
            bench.device.is_manual = False
            bench.settle()
            bench.advance(_HALF_A_MINUTE_NS)
            assert handle.fired == 1, "no data was read"
        _truthful(bench, 20)
        failed = [sent for sent in bench.protocol.sent if sent.status != OK]
        assert len(failed) <= 1, f"{len(failed)} sends failed, the data of one could not be read"
    works(bench, "after data that could not be read")


@case(
    _COMPLETE,
    "a list one of whose packets was not sent does not succeed, whichever packet it was",
    is_rough=True,
    **ONE,
)
def one_failure_within_a_list(bench: Bench) -> None:
    """Lists of four packets: the data of each in turn cannot be read; a good list follows."""
    for bad in range(4):
        bench.transmitted.clear()
        bench.protocol.sent.clear()
        frames = outgoing(8, first=bad * 20)
        with bench.device.arm(_data_errors(bad)) as handle:
            bench.send(*frames[:4], context=0)
            bench.settle()
            bench.advance(_HALF_A_MINUTE_NS)
            assert handle.fired == 1, "no data was read"
        bench.send(*frames[4:], context=1)
        bench.settle()
        _truthful(bench, 2)
        ended = {sent.context: sent.status for sent in bench.protocol.sent}
        assert ended[1] == OK, f"a good list ended {ended[1]!s} behind one that failed"


@case(
    _COMPLETE,
    "what a send of many pieces held is free again when it has failed",
    is_rough=True,
    device={"vectors": 2},
    **ONE,
)
def many_pieces_after_a_failure(bench: Bench) -> None:
    """Frames in 300 pieces: the data of the first cannot be read; then three more, in a list of two too."""
    pieces = [3] * 299
    with bench.device.arm(_data_errors(0)) as handle:
        bench.send(plain_frame(1400, 1, PEER), pieces=pieces, context=1)
        bench.settle()
        bench.advance(_HALF_A_MINUTE_NS)
        assert handle.fired == 1, "no data was read"
    for number in (2, 3):
        bench.send(plain_frame(1400, number, PEER), pieces=pieces, context=number)
    bench.send(plain_frame(1300, 4, PEER), plain_frame(1200, 5, PEER), pieces=pieces, context=4)
    bench.settle()
    _truthful(bench, 4)
    later = [sent.status for sent in bench.protocol.sent if sent.context != 1]
    assert later == [OK] * 3, (
        f"sends in many pieces ended {[str(each) for each in later]} after one that failed"
    )
    works(bench, "after a send of many pieces that failed")


@case(
    _COMPLETE,
    "each NET_BUFFER of a list is a packet of its own: one that is too long is not cut short and sent",
    **ONE,
)
def a_packet_too_long_within_a_list(bench: Bench) -> None:
    """A filter sends lists of three packets below the protocols, of which the 2nd or 3rd has 70,000 bytes."""
    good = outgoing(4)
    for at in (1, 2):
        packets = good[:2]
        packets.insert(at, plain_frame(70_000, at, PEER))
        bench.inject(*packets)
    bench.settle()
    ended = [status for _, status in bench.injector.completed]
    assert len(ended) == 2, f"{len(ended)} of 2 lists came back"
    assert OK not in ended, "a list with a packet that cannot be sent was completed with success"
    strange = [frame for frame in bench.transmitted if frame not in good]
    assert not strange, (
        f"{len(strange)} frames left that nobody sent, of {[len(each) for each in strange]} bytes"
    )
    works(bench, "after lists with packets that were too long")


class _Answers(CaptureProtocol):
    """Sends a frame from within each completion, as a transport does whose window opened."""

    def __init__(self, bench: Bench, most: int) -> None:
        super().__init__(bench.memory, bench.processors, packet_filter=bench.protocol.packet_filter)
        self._most = most

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete."""
        count = len(list(walk(chain)))
        super().send_net_buffer_lists_complete(binding, chain, flags)
        for _ in range(count):
            if self._most > 0:
                self._most -= 1
                self.send(plain_frame(70, 5000 + self._most, PEER), cancel_id="again")


def _answering(bench: Bench, most: int) -> _Answers:
    """Binds such a protocol; it is the bench's from now on."""
    bench.adapter.unbind(bench.adapter.bindings[0])
    protocol = _Answers(bench, most)
    bench.adapter.bind(protocol)
    bench.protocol = protocol
    return protocol


@case(
    _COMPLETE,
    "a protocol may send from within its completion handler: no lock is held while it is called",
    **_EMPTY,
)
def completions_that_send_again(bench: Bench) -> None:
    """Ten sends, of which each completion sends another, up to a hundred in a ring of 8."""
    protocol = _answering(bench, 100)
    for number, frame in enumerate(outgoing(10)):
        protocol.send(frame, context=number)
    bench.settle()
    assert statuses(bench) == [OK] * 110, f"{len(statuses(bench))} of 110 sends came back"
    assert len(bench.transmitted) == 110


@case(
    ddi("nc-ndis-miniport_cancel_send"),
    "a protocol may send from within the completion of what it cancelled",
    **_EMPTY,
)
def cancelled_completions_that_send_again(bench: Bench) -> None:
    """Sends wait behind a card that stands still; half are cancelled, each completion sends another."""
    count = transmit_ring(bench) + 40
    protocol = _answering(bench, 30)
    bench.device.is_manual = True
    for number, frame in enumerate(outgoing(count)):
        protocol.send(frame, cancel_id=number % 2, context=number)
    protocol.bindings[0].cancel_send_net_buffer_lists(1)
    bench.device.is_manual = False
    bench.settle()
    assert len(statuses(bench)) == count + 30, f"{len(statuses(bench))} of {count + 30} sends came back"
    _truthful(bench, count + 30)


@case(
    ddi("nc-ndis-miniport_reset"),
    "a protocol may send from within the completion of a send that a reset ended",
    **_EMPTY,
)
def completions_of_a_reset_that_send_again(bench: Bench) -> None:
    """Thirty sends wait behind a card that stands still; a reset; each completion sends another."""
    protocol = _answering(bench, 30)
    bench.device.is_manual = True
    for frame in outgoing(30):
        protocol.send(frame)
    bench.adapter.reset()
    bench.device.is_manual = False
    bench.settle()
    assert len(statuses(bench)) == 60, f"{len(statuses(bench))} of 60 sends came back"
    frames = frames_to(bench.station, 3)
    assert len(take(bench, *frames)) == 3
