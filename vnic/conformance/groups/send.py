"""Sends: every byte leaves once, in order, and every NET_BUFFER_LIST comes back once with what became
of it."""

from __future__ import annotations

import random
from typing import Any

from vnic.abi import DmaPurpose, EventType, FaultAction, FaultSite
from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    assert_all_sent,
    contexts,
    injected,
    outgoing,
    padded,
    resets,
    same,
    statuses,
    transmit_ring,
    works,
)
from vnic.conformance.pages import ddi, guide, manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_SEND = ddi("nc-ndis-miniport_send_net_buffer_lists")
_COMPLETE = ddi("nf-ndis-ndismsendnetbufferlistscomplete")
_BUFFERS = guide("net-buffer-structure")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


@case(_SEND, "a miniport transmits the whole frame that a NET_BUFFER describes", **ONE)
def every_length(bench: Bench) -> None:
    """Send a frame of each length from 14 to 150 bytes, and of those around powers of two up to 1514."""
    lengths = [*range(14, 151), *(n + d for n in (256, 512, 1024) for d in (-1, 0, 1)), 1513, 1514]
    frames = [plain_frame(length, 0xA5A5A5A5, PEER) for length in lengths]
    for frame in frames:
        bench.send(frame)
        bench.settle()
    assert_all_sent(bench, frames)


@case(
    _SEND,
    "an Ethernet frame is at least 60 bytes without FCS: who sends a shorter one has it padded, with zeros",
    **ONE,
)
def short_frames_are_padded_with_zeros(bench: Bench) -> None:
    """Send long frames of ones, then short ones: the padding of the short ones holds nothing of the
    long ones."""
    for _ in range(4):
        bench.send(PEER + bench.station + b"\xff" * 300)
    frames = [PEER + bench.station + b"\x88\xb5" + b"\xff" * n for n in range(0, 46, 5)]
    for frame in frames:
        bench.send(frame)
    bench.settle()
    same(bench.transmitted[4:], [padded(frame) for frame in frames], "left")


@case(
    _BUFFERS, "a packet's data is in a chain of MDLs, and begins CurrentMdlOffset bytes into the first", **ONE
)
def data_in_chains_of_mdls(bench: Bench) -> None:
    """Send frames cut into 1 to 30 pieces of 1 to 97 bytes each."""
    frames = []
    for number in range(60):
        frames.append(plain_frame(200 + 17 * number, number, PEER))
        bench.send(frames[-1], pieces=[1 + (number * 7) % 97] * (number % 30))
        bench.settle()
    assert_all_sent(bench, frames)


@case(_BUFFERS, "CurrentMdlOffset says where the data begins; what is before it is not sent", **ONE)
def data_that_does_not_begin_where_its_mdl_does(bench: Bench) -> None:
    """Send frames with 1 to 64 unused bytes before them, in one MDL and in several."""
    frames = []
    for backfill in range(1, 65):
        frames.append(plain_frame(100 + backfill, backfill, PEER))
        # The first MDL goes on behind the unused bytes.
        bench.send(
            frames[-1], backfill=backfill, pieces=[backfill + 1 + backfill % 20] if backfill % 2 else []
        )
    bench.settle()
    assert_all_sent(bench, frames)


@case(
    _BUFFERS,
    "a packet may be in any number of MDLs: the miniport sends it, copying where its hardware cannot",
    **ONE,
)
def more_pieces_than_hardware_may_take(bench: Bench) -> None:
    """Send frames in 1, 10, 50, 127, 200 and 700 pieces."""
    frame = plain_frame(1400, 7, PEER)
    for pieces in (1, 10, 50, 127, 200, 700):
        bench.send(frame, pieces=[2] * (pieces - 1))
    bench.settle()
    assert_all_sent(bench, [frame] * 6)


@case(
    _BUFFERS,
    "a packet may be in more MDLs than the transmit ring has descriptors",
    keywords={"*TransmitBuffers": 8},
    **ONE,
)
def more_pieces_than_the_ring_has_room_for(bench: Bench) -> None:
    """Send frames in 6, 7, 8, 9 and 40 pieces through a ring of 8 descriptors, more than once each."""
    frames = []
    for number, pieces in enumerate((6, 7, 8, 9, 40) * 3):
        frames.append(plain_frame(300, number, PEER))
        bench.send(frames[-1], pieces=[3] * (pieces - 1))
    bench.settle()
    assert_all_sent(bench, frames)


@case(_SEND, "every NET_BUFFER of a NET_BUFFER_LIST is sent, in order; the list is completed once", **ONE)
def many_net_buffers_in_a_list(bench: Bench) -> None:
    """Send lists of 1, 2, 7 and 40 NET_BUFFERs."""
    frames = outgoing(50)
    at = 0
    for count in (1, 2, 7, 40):
        bench.send(*frames[at : at + count])
        at += count
    bench.settle()
    same(bench.transmitted, frames, "left")
    assert statuses(bench) == [OK] * 4, f"{len(statuses(bench))} lists came back of 4: {statuses(bench)}"


@case(
    _SEND, "MiniportSendNetBufferLists gets a chain of lists, and sends them in the order of the chain", **ONE
)
def a_chain_of_lists(bench: Bench) -> None:
    """Send chains of 1, 2, 5 and 60 lists."""
    frames = outgoing(68)
    for first, last in ((0, 1), (1, 3), (3, 8), (8, 68)):
        bench.protocol.send_chain(frames[first:last])
        bench.settle()
    assert_all_sent(bench, frames)


@case(
    _COMPLETE,
    "a send's data stays as it is until the miniport has completed it; then it may be changed",
    **ONE,
)
def completes_only_what_the_card_is_done_with(bench: Bench) -> None:
    """While the card does nothing no send may be completed; each is once the card has sent it."""
    bench.device.is_manual = True
    frames = outgoing(5, 700)
    for frame in frames:
        bench.send(frame)
    bench.processors.run_until_idle()
    gone = len(bench.protocol.sent)
    bench.device.is_manual = False
    bench.settle()
    # A driver may copy and complete at once; then the bytes on the wire still have to be right.
    assert gone in (0, 5), f"{gone} of 5 sends were completed while the card had read none"
    assert_all_sent(bench, frames)


@case(
    _SEND,
    "a miniport accepts every send: what its ring has no room for waits in the driver, in order",
    **_EMPTY,
)
def more_sends_than_the_ring_holds(bench: Bench) -> None:
    """Hand a driver with a ring of 8 descriptors 92 frames more than that while the card stands still;
    let it go."""
    frames = outgoing(transmit_ring(bench) + 92)
    bench.device.is_manual = True
    for frame in frames:
        bench.send(frame)
    bench.device.is_manual = False
    bench.settle()
    assert_all_sent(bench, frames)
    works(bench, "after its ring was full")


@case(_SEND, "the ring is used again and again, full and empty", **_EMPTY)
def round_the_ring_many_times(bench: Bench) -> None:
    """Send 400 frames through a ring of 8 descriptors, in bursts of 1 to 13, of lengths that tell them
    apart."""
    choose = random.Random(7)
    frames = [plain_frame(60 + n * 37 % 1400, n, PEER) for n in range(max(400, 3 * transmit_ring(bench)))]
    at = 0
    while at < len(frames):
        burst = choose.randrange(1, 14)
        for frame in frames[at : at + burst]:
            bench.send(frame, pieces=[14] if choose.random() < 0.3 else [])
        at += burst
        bench.settle()
    assert_all_sent(bench, frames)


@case(manual("PROG-12"), "a driver never writes TX_TAIL so that the ring is entirely full", **_EMPTY)
def never_fills_the_ring_entirely(bench: Bench) -> None:
    """Watch the tail of a ring of 8 while 40 frames wait for a card that stands still."""
    count = transmit_ring(bench)
    tails: list[int] = []

    def see(event: Event) -> None:
        if event.index == 0 and event.addr == BAR0.QP_TX_TAIL.offset:
            tails.append(event.value)

    head = bench.device.read32(BAR0.QP_TX_HEAD.offset)
    bench.device.is_manual = True
    with bench.device.observe(see, (EventType.MMIO_WRITE,)):
        for frame in outgoing(count + 32):
            bench.send(frame)
    assert tails, "no frame was handed to the card"
    held = (tails[-1] - head) % count
    assert 0 < held < count, f"the tail is at {tails[-1]}, the head at {head} of {count}"
    steps = [(after - before) % count for before, after in zip([head, *tails], tails, strict=False)]
    assert sum(steps) < count, f"{sum(steps)} descriptors were announced in a ring of {count}"
    bench.device.is_manual = False
    bench.settle()
    assert len(bench.transmitted) == count + 32


@case(
    _COMPLETE,
    "a send that was not transmitted is completed with the status of its failure, the others with success",
    **ONE,
)
def a_zero_length_packet_fails_alone(bench: Bench) -> None:
    """Send an empty packet between two whole ones."""
    good = outgoing(2)
    bench.send(good[0], context=0)
    bench.send(b"", context=1)
    bench.send(good[1], context=2)
    bench.settle()
    ended = {sent.context: sent.status for sent in bench.protocol.sent}
    assert sorted(contexts(bench), key=repr) == [0, 1, 2], "not every send came back"
    assert ended[1] != OK, "an empty packet was completed with success"
    assert (ended[0], ended[2]) == (OK, OK), f"the others ended {ended[0]!s} and {ended[2]!s}"
    same(bench.transmitted, good, "left")
    works(bench)


@case(_COMPLETE, "a packet without a whole Ethernet header cannot be sent", **ONE)
def a_packet_shorter_than_its_header_fails_alone(bench: Bench) -> None:
    """Send packets of 1 and 13 bytes, and a good one."""
    for length in (1, 13):
        bench.send(plain_frame(length, 0, PEER))
    bench.send(outgoing(1)[0])
    bench.settle()
    ended = statuses(bench)
    assert len(ended) == 3, f"{len(ended)} of 3 sends came back"
    assert ended.count(OK) == 1, f"they ended {[str(status) for status in ended]}"
    same(bench.transmitted, outgoing(1), "left")
    assert resets(bench) == 0, "bad packets led to a reset"


@case(
    _COMPLETE,
    "a packet longer than the adapter can send is completed with an error, and harms no other",
    **ONE,
)
def a_packet_that_is_far_too_long_fails_alone(bench: Bench) -> None:
    """A filter sends packets of 70,000 and 300,000 bytes below the protocols; a good one follows."""
    bench.inject(plain_frame(70_000, 1, PEER))
    bench.inject(bytes(300_000), pieces=[1000] * 299)
    bench.settle()
    ended = injected(bench)
    assert len(ended) == 2, f"{len(ended)} of 2 sends came back"
    assert OK not in ended, "a packet that cannot be on the wire was completed with success"
    works(bench, "after packets that were too long")


@case(
    _COMPLETE,
    "a list whose NET_BUFFERs were not all sent is not completed with success; it is completed once",
    **ONE,
)
def one_bad_packet_among_good_ones_of_a_list(bench: Bench) -> None:
    """A list of three NET_BUFFERs, of which the second has 13 bytes."""
    bench.send(plain_frame(80, 1, PEER), plain_frame(13), plain_frame(80, 2, PEER))
    bench.settle()
    assert len(statuses(bench)) == 1, f"the list came back {len(statuses(bench))} times"
    assert statuses(bench) != [OK], "the list was completed with success"
    works(bench)


@case(
    guide("ndis-status-link-state"),
    "sends while the medium is disconnected are completed, with MEDIA_DISCONNECTED",
    **ONE,
)
def sends_without_a_link_come_back(bench: Bench) -> None:
    """The link goes down, ten frames are sent, the link comes up again."""
    bench.device.set_link(0)
    bench.settle()
    for frame in outgoing(10):
        bench.send(frame)
    bench.settle()
    assert len(statuses(bench)) == 10, f"{len(statuses(bench))} of 10 sends came back"
    assert bench.transmitted == []
    assert set(statuses(bench)) <= {
        NDIS_STATUS.MEDIA_DISCONNECTED,
        NDIS_STATUS.NO_CABLE,
        OK,
        NDIS_STATUS.FAILURE,
    }
    bench.device.set_link(10_000)
    bench.settle()
    works(bench, "after the link was down")


@case(
    _COMPLETE,
    "a send whose data could not be read is completed with an error, the others are sent",
    is_rough=True,
    **ONE,
)
def data_that_cannot_be_read_fails_that_send(bench: Bench) -> None:
    """The card's second read of payload ends with an Unsupported Request."""
    frames = outgoing(4)
    fault = Fault(
        site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=1, argument=1
    )
    with bench.device.arm(fault):
        for number, frame in enumerate(frames):
            bench.send(frame, context=number)
        bench.settle()
        bench.advance(10_000_000_000)
    ended = {sent.context: sent.status for sent in bench.protocol.sent}
    assert len(ended) == 4, f"{len(ended)} of 4 sends came back"
    if ended[1] == OK and frames[1] not in bench.transmitted:
        raise AssertionError("a send that never left was completed with success")
    lost = [
        number
        for number, frame in enumerate(frames)
        if ended[number] == OK and frame not in bench.transmitted
    ]
    assert not lost, f"sends {lost} ended with success and did not leave"
    works(bench, "after a DMA error")


@case(
    _SEND,
    "sends come from any processor, and each is completed once",
    Feature.RSS,
)
def sends_from_every_processor(bench: Bench) -> None:
    """Each of four processors sends fifty frames in turns."""
    frames = outgoing(200)
    for number, frame in enumerate(frames):
        with bench.processors.on(number % 4):
            bench.send(frame, context=number)
    bench.settle()
    assert sorted(bench.transmitted) == sorted(frames)
    assert statuses(bench) == [OK] * 200
    for cpu in range(4):
        mine = [frame for frame in bench.transmitted if frame in frames[cpu::4]]
        assert mine == frames[cpu::4], f"frames of processor {cpu} left in another order"


@case(_BUFFERS, "the bytes of a frame may lie in any pages, at any offset", scatter=True, **ONE)
def frames_across_pages(bench: Bench) -> None:
    """Send frames whose pieces cross page borders, with pages that are nowhere near each other on the bus."""
    frames = []
    for number in range(40):
        frames.append(plain_frame(1514, number, PEER))
        bench.send(frames[-1], backfill=4096 - 600 + number * 31, pieces=[])
        bench.settle()
    assert_all_sent(bench, frames)


@case(
    guide("keywords-that-can-be-edited"),
    "a driver with *JumboPacket sends frames of that size",
    keywords={"*JumboPacket": 9014},
    **ONE,
)
def jumbo_frames(bench: Bench) -> None:
    """Send frames of 1515, 4000 and 9014 bytes, whole and in pieces."""
    assert bench.adapter.general is not None
    if bench.adapter.general.mtu_size < 9000:
        raise NotSupported(f"*JumboPacket: MtuSize is {bench.adapter.general.mtu_size}")
    frames = [plain_frame(length, length, PEER) for length in (1515, 4000, 9014)] * 2
    for number, frame in enumerate(frames):
        bench.send(frame, pieces=[1000] * 3 if number > 2 else [])
    bench.settle()
    assert_all_sent(bench, frames)
