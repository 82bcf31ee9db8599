"""Whose turn it is on the wire: what the rings of the card owe each other."""

from __future__ import annotations

from collections.abc import Iterator

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import TxContext
from vnic.gen.enums import DescType
from vnic.testbench.frames import PEER, large_send, plain_frame
from vnic.testbench.rig import Rig

_QUANTUM = 16384
_LONG = 1500


def _fill(rig: Rig, ring: int, count: int) -> None:
    """So many long frames, with one doorbell."""
    for number in range(count):
        rig[ring].send(plain_frame(_LONG, number, PEER), ring=False, report=False)
    rig[ring].ring_tx()


def _leaving(rig: Rig) -> Iterator[int]:
    """The rings of frames as they leave, step by step."""
    while rig.device.runnable:
        rig.device.step(rig.device.runnable[0])
        for frame in rig.device.frames():
            yield frame.queue


@card_case(
    manual("TX-14", "transmit"),
    "a large send is paid off in the rounds that follow: a ring without a frame keeps its debt",
    pairs=2,
    tx_count=512,
    cq_count=1024,
    manual=True,
)
def debts_of_large_sends(rig: Rig) -> None:
    """A large send of 100 KB on either ring; at once, or after a while without any, frames behind it."""
    for debtor, idle in ((0, 0), (0, 20), (1, 20)):
        other = 1 - debtor
        data, context, cut = large_send(bytes(100_000), 1400)
        rig[debtor].send(data, cuts=[50_000], **context)
        if idle == 0:
            _fill(rig, debtor, 4)
        _fill(rig, other, 140)
        large, waited, given = len(cut), 0, 0
        for ring in _leaving(rig):
            if ring == debtor and large:
                large -= 1
                continue
            if ring == debtor:
                break
            given += _LONG * (not large)
            waited += not large
            if idle and waited == idle:
                _fill(rig, debtor, 4)
                given = 0
        owed = sum(map(len, cut)) - _QUANTUM
        what = f"ring {debtor}, idle for {idle} frames:"
        assert given >= owed - 2 * _QUANTUM, f"{what} it owes {owed} bytes, the other was given {given}"
        assert given <= owed + 2 * _QUANTUM, f"{what} it owes {owed} bytes, and waits for {given}"
        for _ in _leaving(rig):
            pass
        for pair in rig.pairs:
            pair.poll()


@card_case(
    manual("TX-14", "transmit"),
    "a ring without a frame to send saves no credit: after a while of nothing it has one turn, like any",
    pairs=3,
    tx_count=512,
    cq_count=1024,
    manual=True,
)
def rings_that_were_idle(rig: Rig) -> None:
    """One ring sends 30 frames alone; then another gets 40, and no turn of it is longer than the others."""
    _fill(rig, 0, 120)
    order = []
    for ring in _leaving(rig):
        order.append(ring)
        if len(order) == 30:
            _fill(rig, 2, 40)
    assert len(order) == 160, f"{len(order)} of 160 frames left"
    first = order.index(2)
    last = len(order) - 1 - order[::-1].index(2)
    turn, turns = 1, []
    for before, after in zip(order[first:last], order[first + 1 : last + 1], strict=True):
        if before == after:
            turn += 1
        else:
            turns.append(turn)
            turn = 1
    most = _QUANTUM // _LONG + 2
    assert turns and max(turns) <= most, f"turns of {turns} frames of {_LONG} bytes; {most} are a turn's most"


@card_case(
    manual("TX-5", "transmit"),
    "RS asks for a report in the descriptor with EOP, and says nothing in any other",
)
def reports_that_are_asked_for(rig: Rig) -> None:
    """Frames in three pieces with RS in each set of them, between frames of one piece, with a context too."""
    for context in (False, True):
        for asked in range(8):
            rig.device.is_manual = True
            first = rig[0].tx_tail
            rig[0].send(plain_frame(70, 1, PEER), report=False)
            head = [_tag_context()] if context else []
            body = plain_frame(90, asked, PEER)
            parts = [body[:30], body[30:60], body[60:]]
            made = [rig[0].piece(part, eop=int(n == 2), rs=asked >> n & 1) for n, part in enumerate(parts)]
            rig[0].send_raw([*head, *made])
            rig[0].send(plain_frame(71, 1, PEER), report=False)
            rig.device.run()
            rig.device.is_manual = False
            assert len(rig.sent()) == 3
            found = [each.index for each in rig[0].reports()]
            wanted = [(first + 1) % rig.tx_count] if asked & 4 else []
            assert found == wanted, f"RS in {asked:03b} of three descriptors: reports of {found}"


def _tag_context() -> bytes:
    return TxContext(type=DescType.CONTEXT, vlan_insert=1, vlan_tci=5).pack()
