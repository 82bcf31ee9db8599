"""Receive buffers: lent and kept in every mixture, chains of MDLs that end, memory as it was asked for."""

from __future__ import annotations

import random
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    frames_to,
    has_oid,
    same,
    set_filter,
    take,
    tell,
    works,
)
from vnic.conformance.groups.receive import ring_of
from vnic.conformance.pages import ddi, guide
from vnic.host.bus import PAGE
from vnic.host.memory import GuestBuffer
from vnic.ndis.net_buffer_list import Mdl, NetBufferList
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oob import Vlan
from vnic.protocol.capture import Received
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame, tcp_frame

_INDICATE = ddi("nf-ndis-ndismindicatereceivenetbufferlists")
_RETURN = ddi("nc-ndis-miniport_return_net_buffer_lists")
_MDLS = guide("net-buffer-structure")
_SIZES = guide("oid-gen-maximum-frame-size")
_MEMORY = ddi("nf-ndis-ndisallocatememorywithtagpriority")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE
_MDLS_MAX = 64


@case(
    _INDICATE,
    "lists are the miniport's when the call returns if NDIS_RECEIVE_FLAGS_RESOURCES was set, and only then",
    **_EMPTY,
)
def lent_while_others_come_back(bench: Bench) -> None:
    """A protocol keeps every list until some are only lent, and returns all it has from within that call;
    thirty times, and no buffer is lost."""
    ring = ring_of(bench)
    protocol = bench.protocol
    protocol.keeps_nbls = True

    def looks(frame: Received) -> None:
        if frame.was_lent:
            protocol.release()

    protocol.on_frame = looks
    for turn in range(30):
        frames = frames_to(bench.station, 12, 120, first=turn * 100)
        protocol.received.clear()
        for at in range(0, 12, 3):
            if len(protocol.held) + 3 >= ring:  # a driver may never lend
                protocol.release()
            bench.receive(*frames[at : at + 3])
            bench.settle()
        same(bench.received, frames, f"arrived in turn {turn}")
    protocol.on_frame, protocol.keeps_nbls = None, False
    protocol.release()
    burst = frames_to(bench.station, ring - 2, 100, first=5000)
    same([frame.data for frame in take(bench, *burst)], burst)


@case(_INDICATE, "a protocol returns lists whenever it likes, also from within an indication", **_EMPTY)
def returned_from_within_indications(bench: Bench) -> None:
    """Each frame that is indicated makes the protocol return one or all of those it has kept."""
    choose, protocol = random.Random(5), bench.protocol
    protocol.keeps_nbls = True

    def looks(frame: Received) -> None:
        if frame.was_lent or choose.random() < 0.6:
            protocol.release(None if choose.random() < 0.3 else 1)

    protocol.on_frame = looks
    frames = frames_to(bench.station, 300, 90)
    for at in range(0, 300, 4):
        bench.receive(*frames[at : at + 4])
        bench.settle()
    same(bench.received, frames)
    protocol.on_frame, protocol.keeps_nbls = None, False
    protocol.release()
    works(bench)


def _chain_of(nbl: NetBufferList) -> list[Mdl]:
    """The MDLs of an NBL; AssertionError when they go in a circle."""
    buffer = nbl.first_net_buffer
    assert buffer is not None
    found: list[Mdl] = []
    mdl = buffer.mdl_chain
    while mdl is not None:
        found.append(mdl)
        assert len(found) <= _MDLS_MAX, "the chain of MDLs has no end"
        mdl = mdl.next
    return found


def _apart(nbls: list[NetBufferList]) -> None:
    """No MDL is in two chains, and each chain holds its data."""
    seen: dict[int, int] = {}
    for number, nbl in enumerate(nbls):
        chain = _chain_of(nbl)
        for mdl in chain:
            other = seen.setdefault(id(mdl), number)
            assert other == number, f"an MDL is in the chains of list {other} and list {number}"
        buffer = nbl.first_net_buffer
        assert buffer is not None
        room = sum(len(mdl.buffer) for mdl in chain)
        assert buffer.data_offset + buffer.data_length <= room, "the data goes on behind the last MDL"


def _keep_and_shuffle(bench: Bench, lengths: tuple[int, ...]) -> None:
    choose = random.Random(11)
    bench.protocol.keeps_nbls = True
    for turn in range(20):
        frames = [plain_frame(length, 50 * turn + at, bench.station) for at, length in enumerate(lengths)]
        choose.shuffle(frames)
        before = len(bench.protocol.held)
        got = [frame.data for frame in take(bench, *frames)]
        same(got, frames, f"arrived in turn {turn}")
        _apart(bench.protocol.held)
        assert len(bench.protocol.held) >= before, "lists went back by themselves"
        choose.shuffle(bench.protocol._held)  # they go back in another order than they came
        bench.protocol.release()
        bench.settle()
    bench.protocol.keeps_nbls = False


@case(_MDLS, "each received list has MDLs of its own, in a chain that ends", **ONE)
def chains_of_mdls(bench: Bench) -> None:
    """Frames of 60 to 1514 bytes, kept and given back in any order: chains end, and share no MDL."""
    _keep_and_shuffle(bench, (60, 100, 1514, 300, 1000, 64))


@case(
    _MDLS,
    "each received list has MDLs of its own, in a chain that ends, though frames take several buffers",
    keywords={"*JumboPacket": 9014},
    **ONE,
)
def chains_of_mdls_of_jumbo_frames(bench: Bench) -> None:
    """Frames of 60 to 9014 bytes, kept and given back in any order: chains end, and share no MDL."""
    assert bench.adapter.general is not None
    if bench.adapter.general.mtu_size < 9000:
        raise NotSupported(f"*JumboPacket: MtuSize is {bench.adapter.general.mtu_size}")
    _keep_and_shuffle(bench, (9014, 60, 4097, 2048, 2049, 100, 7000))


@case(
    _SIZES,
    "a tag is no part of the frame size: the longest frame may have one, either way",
    Feature.VLAN,
    **ONE,
)
def the_longest_frame_with_a_tag(bench: Bench) -> None:
    """Receive and send frames of MtuSize with a tag, in and out of band; with a VLAN id set as well."""
    assert bench.adapter.general is not None
    mtu = bench.adapter.general.mtu_size
    payload = mtu - 40
    for turn in range(2):
        inner = tcp_frame(bytes(payload), to=bench.station)
        tagged = tcp_frame(bytes(payload), tags=[(0x8100, 0x2005)], to=bench.station)
        assert len(inner) == mtu + 14
        (seen, *_) = [*take(bench, tagged), None]
        assert seen is not None, f"a frame of {len(tagged)} bytes with its tag did not come"
        assert (seen.data, seen.vlan.vlan_id) == (inner, 5), "the longest frame with a tag came as another"
        out = tcp_frame(bytes(payload), to=PEER)
        bench.transmitted.clear()
        bench.send(out, vlan=Vlan(1, False, 5))
        bench.settle()
        same([frame[:12] + frame[16:] for frame in bench.transmitted], [out], "left")
        if turn or not has_oid(bench, OID.GEN_VLAN_ID):
            return
        assert tell(bench, OID.GEN_VLAN_ID, (5).to_bytes(4, "little")) == OK
        set_filter(bench, PacketFilter.DIRECTED)
        bench.protocol.packet_filter = int(PacketFilter.DIRECTED)


@case(
    _MEMORY,
    "memory is aligned as was asked, and no better: what must not cross a page has to say so",
    starts=False,
    **ONE,
)
def memory_no_better_than_asked_for(bench: Bench) -> None:
    """Every other allocation crosses a page if its alignment lets it; frames of many lengths come."""
    genuine, fillers = bench.memory.alloc, list[GuestBuffer]()

    def alloc(size: int, *, align: int = 16, label: str = "") -> GuestBuffer:
        if align < PAGE:
            fillers.append(genuine(PAGE - align, align=PAGE))  # what follows begins just before a page
        return genuine(size, align=align, label=label)

    setattr(bench.memory, "alloc", alloc)  # noqa: B010 - an instance's own
    try:
        bench.start()
    finally:
        setattr(bench.memory, "alloc", genuine)  # noqa: B010
    assert bench.adapter.general is not None
    longest = bench.adapter.general.mtu_size + 14
    count = max(3 * ring_of(bench), 60)
    for start in range(0, count, 10):
        frames = [plain_frame(longest - n % 7 * 200, n, bench.station) for n in range(start, start + 10)]
        same([frame.data for frame in take(bench, *frames)], frames, "arrived in memory that crosses pages")
    works(bench)
    bench.adapter.halt()
    for filler in fillers:
        filler.free()
