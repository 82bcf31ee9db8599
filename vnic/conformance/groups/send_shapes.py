"""Sends of unusual shape: MDLs without bytes and beyond the data, chains whose lists differ."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    assert_all_sent,
    current_offload,
    let_go,
    outgoing,
    padded,
    same,
    take,
    transmit_ring,
    works,
)
from vnic.conformance.groups.checksum import asked, has, unsummed
from vnic.conformance.groups.lso import headers, payload_of
from vnic.conformance.groups.vlan import modes
from vnic.conformance.pages import ddi, guide, manual
from vnic.ndis.net_buffer_list import Mdl, NetBufferList, link
from vnic.ndis.oob import LargeSend, LargeSendType, Vlan
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame, udp_frame
from vnic.wire import packet
from vnic.wire.segment import segment

_SEND = ddi("nc-ndis-miniport_send_net_buffer_lists")
_BUFFERS = guide("net-buffer-structure")
_RETURN = ddi("nc-ndis-miniport_return_net_buffer_lists")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


def made(bench: Bench, *packets: bytes, **oob: Any) -> NetBufferList:
    """A list that a filter sends below the protocols."""
    nbl, _ = bench.protocol.make_nbl(packets, **oob)
    nbl.source_handle = None
    return nbl


def send_all(bench: Bench, nbls: list[NetBufferList]) -> None:
    """In one chain; every list has to come back with success."""
    before = len(bench.injector.completed)
    head = link(nbls)
    assert head is not None
    bench.injector.send(head)
    bench.settle()
    ended = [status for _, status in bench.injector.completed[before:]]
    assert ended == [OK] * len(nbls), (
        f"{len(ended)} of {len(nbls)} lists came back, {ended.count(OK)} with success"
    )


def _mdls(nbl: NetBufferList) -> list[Mdl]:
    assert nbl.first_net_buffer is not None
    found, mdl = [], nbl.first_net_buffer.mdl_chain
    while mdl is not None:
        found.append(mdl)
        mdl = mdl.next
    return found


@case(_BUFFERS, "an MDL of a NET_BUFFER may have no bytes, anywhere in the chain", **_EMPTY)
def mdls_without_bytes(bench: Bench) -> None:
    """Frames in four pieces, with an MDL of no bytes before, between and behind them."""
    frames = outgoing(6, 200)
    nbls = []
    for place, frame in enumerate(frames):
        nbl = made(bench, frame, pieces=[14, 20, 40])
        mdls = _mdls(nbl)
        empty = Mdl(mdls[0].buffer[:0], mdls[0].address)
        where = place % (len(mdls) + 1)
        assert nbl.first_net_buffer is not None
        if where == 0:
            empty.next, nbl.first_net_buffer.mdl_chain = mdls[0], empty
        else:
            empty.next, mdls[where - 1].next = mdls[where - 1].next, empty
        nbls.append(nbl)
    send_all(bench, nbls)
    same(bench.transmitted, frames, "left")


@case(_BUFFERS, "DataLength bytes are sent, whatever MDLs have behind them", **_EMPTY)
def mdls_beyond_the_data(bench: Bench) -> None:
    """Frames whose last MDL goes on, and that have further MDLs behind: nothing of those leaves."""
    wanted, nbls = [], []
    for number in range(8):
        frame = plain_frame(300 + number, number, PEER)
        nbl = made(bench, frame + b"\xee" * 200, pieces=[60, 100 + number, 90])
        assert nbl.first_net_buffer is not None
        nbl.first_net_buffer.data_length = len(frame) - number * 30
        nbls.append(nbl)
        wanted.append(padded(frame[: len(frame) - number * 30]))
    send_all(bench, nbls)
    same(bench.transmitted, wanted, "left")


@case(_BUFFERS, "data may begin and end in any MDL of a chain", **_EMPTY)
def data_in_the_middle_of_its_mdls(bench: Bench) -> None:
    """Frames that begin 1 to 150 bytes into their chain of MDLs of 1 to 60 bytes, and end before its end."""
    choose = random.Random(17)
    wanted, nbls = [], []
    for number in range(30):
        frame = plain_frame(60 + choose.randrange(300), number, PEER)
        before = choose.randrange(1, 150)
        sizes = [choose.randrange(1, 60) for _ in range(40)]
        nbl = made(bench, frame + b"\xee" * choose.randrange(1, 90), pieces=sizes, backfill=before)
        assert nbl.first_net_buffer is not None
        nbl.first_net_buffer.data_length = len(frame)
        nbls.append(nbl)
        wanted.append(padded(frame))
    for start in range(0, 30, 6):
        send_all(bench, nbls[start : start + 6])
    same(bench.transmitted, wanted, "left")


@case(
    _SEND,
    "the out-of-band information of a list is its own: lists of one chain may ask for different things",
    Feature.CHECKSUM,
    **ONE,
)
def a_chain_whose_lists_differ(bench: Bench) -> None:
    """One chain of lists that ask for nothing, a tag, sums over both IPs, a large send, in any order."""
    choose = random.Random(23)
    has_priority, has_vlan = modes(bench)
    kinds = ["plain", "plain"]
    kinds += ["tag"] * (2 if has_priority and has_vlan else 0)
    kinds += [
        f"{what}{version}"
        for version in (4, 6)
        for what in ("tcp", "udp")
        if has(bench, "transmit", version, what)
    ]
    kinds += ["large"] * (1 if current_offload(bench).lso_v2.ipv4_max_offload_size >= 4000 else 0)
    if len(kinds) < 4:
        raise NotSupported("offloads to mix")
    for _ in range(4):
        chosen = kinds * 2
        choose.shuffle(chosen)
        pairs = [_asking(bench, kind, number) for number, kind in enumerate(chosen)]
        bench.transmitted.clear()
        send_all(bench, [nbl for nbl, _ in pairs])
        same(bench.transmitted, [frame for _, frames in pairs for frame in frames], "left")


def _asking(bench: Bench, kind: str, number: int) -> tuple[NetBufferList, list[bytes]]:
    """A list that asks for something, and the frames that have to leave."""
    data = bytes((number * 13 + n) & 255 for n in range(70 + number))
    if kind == "plain":
        frame = tcp_frame(data, field=0x1234, to=PEER)
        return made(bench, frame), [padded(frame)]
    if kind == "tag":
        tagged = tcp_frame(data, tags=[(0x8100, 0x6000 | number + 1)], to=PEER)
        return made(bench, tcp_frame(data, to=PEER), vlan=Vlan(3, False, number + 1)), [padded(tagged)]
    if kind == "large":
        head, payload = headers(4, seq=number << 16), payload_of(3500)
        wish = LargeSend(1000, 34, LargeSendType.V2, False)
        frames = [padded(each) for each in segment(head, payload, 1000, l4_offset=34)]
        return made(bench, head + payload, large_send=wish, pieces=[len(head)]), frames
    version, is_tcp = int(kind[3:]), kind.startswith("tcp")
    l4 = 34 if version == 4 else 54
    right = (tcp_frame if is_tcp else udp_frame)(data, version=version, to=PEER)
    bits: dict[str, Any] = {"tcp": True, "tcp_header_offset": l4} if is_tcp else {"udp": True}
    sent = unsummed(right, version, l4, packet.TCP if is_tcp else packet.UDP)
    return made(bench, sent, checksum=asked(version, **bits)), [padded(right)]


@case(
    _SEND,
    "a chain may be longer than any ring, its lists of one packet or of many",
    **_EMPTY,
)
def a_chain_of_lists_of_all_lengths(bench: Bench) -> None:
    """One chain of sixty lists of 1 to 9 packets while the card stands still; all leave, in their order."""
    choose = random.Random(29)
    frames, nbls = list[bytes](), list[NetBufferList]()
    for _ in range(60):
        some = outgoing(choose.randrange(1, 10), 70 + choose.randrange(80), first=len(frames))
        frames += some
        nbls.append(made(bench, *some))
    bench.device.is_manual = True
    head = link(nbls)
    assert head is not None
    bench.injector.send(head)
    bench.device.is_manual = False
    bench.settle()
    assert [status for _, status in bench.injector.completed] == [OK] * 60
    same(bench.transmitted, frames, "left")


@case(
    _RETURN,
    "one chain may hand back lists of every queue, in any order",
    Feature.RSS,
    keywords=SHORT_RINGS | {"*ReceiveBuffers": 32},
)
def lists_of_all_queues_in_one_chain(bench: Bench) -> None:
    """RSS over four processors; a protocol keeps frames of all and returns them shuffled; ten times."""
    assert bench.set_rss() == OK
    choose = random.Random(31)
    protocol = bench.protocol
    for turn in range(10):
        protocol.keeps_nbls = True
        flows = [
            tcp_frame(n.to_bytes(4), ports=(9000 + n % 23, 80), seq=turn, to=bench.station, min_len=60)
            for n in range(48)
        ]
        got = take(bench, *flows)
        assert sorted(frame.data for frame in got) == sorted(flows), (
            f"{len(got)} of 48 frames came in turn {turn}"
        )
        choose.shuffle(protocol._held)  # they go back in another order than they came
        protocol.release()
        bench.settle()
        protocol.keeps_nbls = False
    works(bench, "after lists of all queues came back together")


@case(
    ddi("nc-ndis-miniport_reset"),
    "after a reset a packet in many MDLs is sent as before, whatever was under way when it came",
    **ONE,
)
def many_pieces_and_a_reset(bench: Bench) -> None:
    """Twice: packets of 60 to 300 MDLs are under way when the adapter is reset; then others are sent."""
    frame = plain_frame(1400, 7, PEER)
    for turn in range(2):
        bench.protocol.sent.clear()
        bench.device.is_manual = True
        for pieces in (300, 60, 200):
            bench.send(frame, pieces=[2] * (pieces - 1))
        bench.adapter.reset()
        let_go(bench)
        assert len(bench.protocol.sent) == 3, f"{len(bench.protocol.sent)} of 3 sends are back in turn {turn}"
        bench.protocol.sent.clear()
        bench.transmitted.clear()
        for pieces in (300, 60, 200):
            bench.send(frame, pieces=[2] * (pieces - 1))
        bench.settle()
        assert_all_sent(bench, [frame] * 3)


@case(
    manual("PROG-12"),
    "a packet and the descriptors that go with it wait until all of them have room in the ring",
    **_EMPTY,
)
def many_pieces_in_a_ring_that_is_nearly_full(bench: Bench) -> None:
    """Behind sends that leave 0 to 2 descriptors free come packets of more MDLs than that, with a tag and
    without; the card stands still until all are handed over, and then some more are sent."""
    ring = transmit_ring(bench)
    asked = Vlan(5, False, 0) if modes(bench)[0] else None
    for free, tag in product(range(3), (asked, None)):
        bench.protocol.sent.clear()
        bench.transmitted.clear()
        ahead = outgoing(ring - 1 - free, first=free * 100)
        bench.device.is_manual = True
        for frame in ahead:
            bench.send(frame)
        wanted = list(ahead)
        for pieces in (ring + 2, 2, ring + 4):
            frame = plain_frame(600 + pieces, free, PEER)
            bench.send(frame, pieces=[3] * (pieces - 1), vlan=tag)
            wanted.append(frame if tag is None else frame[:12] + b"\x81\x00\xa0\x00" + frame[12:])
        let_go(bench)
        assert_all_sent(bench, wanted)
    works(bench, "after packets of many pieces behind others")
