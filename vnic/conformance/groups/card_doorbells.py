"""The card's doorbells, by registers: what may be taken back, what was copied, what a wrong tail does."""

from __future__ import annotations

from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames
from vnic.conformance.groups.card_rings import again, state
from vnic.conformance.pages import manual
from vnic.gen.descriptors import RxDesc, TxData
from vnic.gen.enums import DescType, RingError
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import UNTOUCHED, Rig


@card_case(
    manual("RING-7", "rings"),
    "a tail that takes back what the card has begun to use is BAD_TAIL; taking back other entries is allowed",
)
def tails_that_go_back(rig: Rig) -> None:
    """Take back fetched transmit descriptors, and ones that were not; buffers of a frame, and others."""
    pair = rig[0]
    rig.device.is_manual = True
    for number in range(40):
        pair.send(plain_frame(80, number, PEER), ring=False)
    pair.ring_tx()
    pair.put(BAR0.QP_TX_TAIL, 30)
    assert state(rig, "TX")[1] == 1, "taking back what was not fetched stops the ring"
    rig.device.step(rig.device.runnable[0])
    pair.put(BAR0.QP_TX_TAIL, 1)
    assert state(rig, "TX") == (0, 0, RingError.BAD_TAIL), "fetched descriptors may be taken back"
    assert rig.field(BAR0.GLB_EVENT, "RING") == 1
    again(rig)
    pair = rig[0]
    pair.put(BAR0.QP_RX_TAIL, 10)
    assert state(rig, "RX")[1] == 1
    rig.inject(plain_frame(1500, 1))
    rig.device.run()
    assert len(pair.take()) == 1
    again(rig)
    errors = rig.stat("GUEST_ERRORS")
    rig[0].put(BAR0.QP_TX_TAIL, rig.tx_count)
    assert rig.stat("GUEST_ERRORS") == errors + 1, "a tail beyond the ring is no guest error"
    rig[0].put(BAR0.QP_TX_TAIL, 1)
    assert rig.stat("GUEST_ERRORS") == errors + 2, "a tail on a ring that stopped is no guest error"
    assert rig[0].get(BAR0.QP_TX_TAIL) != 1, "a tail that was not accepted reads back"


@card_case(
    manual("RING-7", "rings"),
    "receive descriptors that were taken back are never looked at; handed over again, they count anew",
    rx_count=64,
)
def receive_descriptors_that_are_taken_back(rig: Rig) -> None:
    """Take back all but 2 of those that the card has read, point them elsewhere, hand them over; 8 frames."""
    pair = rig[0]
    rig.device.is_manual = True
    rig.inject(frames(1)[0])
    rig.device.step(rig.device.runnable[0])
    pair.put(BAR0.QP_RX_TAIL, 2)
    others = rig.memory.alloc(16 * rig.buf_len, align=64)
    others.view[:] = bytes([UNTOUCHED]) * len(others)
    places = [pair.posted[n][0] for n in range(16)]
    for n in range(2, 16):
        places[n] = others.address + n * rig.buf_len
        pair.rx_memory.view[n * RxDesc.SIZE : (n + 1) * RxDesc.SIZE] = RxDesc(places[n], 0).pack()
    pair.put(BAR0.QP_RX_TAIL, 16)
    for frame in frames(8)[1:]:
        rig.inject(frame)
    rig.device.run()
    entries = pair.poll()
    assert len(entries) == 8, f"{len(entries)} of 8 frames came"
    for number, frame in enumerate(frames(8)):
        found = rig.peek(places[number], len(frame))
        assert found == frame, f"frame {number} is not where its descriptor says"


@card_case(
    manual("RING-8", "rings"),
    "a descriptor is copied once: what is changed after that is never seen, what is changed before is",
    tx_count=64,
)
def descriptors_that_are_changed(rig: Rig) -> None:
    """Change transmit descriptors and data before the fetch, after the fetch, and behind the tail."""
    pair = rig[0]
    rig.device.is_manual = True
    sent = [plain_frame(90 + n, n, PEER) for n in range(6)]
    for frame in sent:
        pair.send(frame, ring=False)
    other = plain_frame(77, 99, PEER)
    changed = TxData(rig.stage(other), len(other), DescType.DATA, eop=1, rs=1).pack()
    pair.tx_memory.view[TxData.SIZE : 2 * TxData.SIZE] = changed
    pair.put(BAR0.QP_TX_TAIL, 4)
    rig.device.step(rig.device.runnable[0])
    for place in (2, 3, 5):
        pair.tx_memory.view[place * TxData.SIZE : (place + 1) * TxData.SIZE] = changed
    rig.device.run()
    left = rig.sent()
    assert left == [sent[0], other, sent[2], sent[3]], "a descriptor was looked at twice, or too early"
    pair.put(BAR0.QP_TX_TAIL, 6)
    rig.device.run()
    assert rig.sent() == [sent[4], other], "what was changed before its doorbell does not count"
    assert len(pair.reports()) == 6
