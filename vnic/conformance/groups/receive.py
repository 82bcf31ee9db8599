"""Receives: every frame once, whole and in order, and every buffer back for the next."""

from __future__ import annotations

import random
from enum import IntFlag
from typing import Any

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import OK, ONE, SHORT_RINGS, frames_to, has_oid, let_go, resets, same, take, works
from vnic.conformance.pages import ddi, guide, manual
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench
from vnic.testbench.frames import plain_frame, tcp_frame, udp_frame

_INDICATE = ddi("nf-ndis-ndismindicatereceivenetbufferlists")
_RETURN = ddi("nc-ndis-miniport_return_net_buffer_lists")
_FRAMES = guide("indicating-received-ethernet-frames")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


def ring_of(bench: Bench) -> int:
    """Descriptors of the first receive ring, as the driver told the card."""
    return bench.device.read32(BAR0.QP_RX_COUNT.offset)


@case(
    _FRAMES,
    "a received frame is indicated whole, from the Ethernet header to the last byte before the FCS",
    **ONE,
)
def every_length(bench: Bench) -> None:
    """Receive a frame of each length from 60 to 200 bytes, and around powers of two up to 1514."""
    lengths = [*range(60, 201), *(n + d for n in (256, 512, 1024) for d in (-1, 0, 1)), 1513, 1514]
    frames = [plain_frame(length, length, bench.station) for length in lengths]
    for start in range(0, len(frames), 10):
        bench.receive(*frames[start : start + 10])
        bench.settle()
    same(bench.received, frames)


@case(_FRAMES, "frames are indicated in the order in which they came", **ONE)
def in_order(bench: Bench) -> None:
    """Receive 300 frames of all sorts in bursts of 1 to 30."""
    choose = random.Random(3)
    makers = (
        lambda n: tcp_frame(
            bytes([n & 255]) * (n * 37 % 1400), ports=(1000 + n % 7, 80), to=bench.station, min_len=60
        ),
        lambda n: udp_frame(bytes([n & 255]) * (n * 53 % 1400), version=6, to=bench.station, min_len=60),
        lambda n: plain_frame(60 + n * 41 % 1400, n, bench.station),
    )
    frames = [makers[n % 3](n) for n in range(300)]
    at = 0
    while at < len(frames):
        burst = choose.randrange(1, 31)
        bench.receive(*frames[at : at + burst])
        at += burst
        bench.settle()
    same(bench.received, frames)


@case(_RETURN, "a buffer whose NET_BUFFER_LIST came back is used again: the ring never runs dry", **_EMPTY)
def round_the_ring_many_times(bench: Bench) -> None:
    """Receive 500 frames through a ring of 16 descriptors, in bursts of 1 to 12."""
    choose = random.Random(11)
    frames = [plain_frame(60 + n * 53 % 1400, n, bench.station) for n in range(max(500, 3 * ring_of(bench)))]
    at = 0
    while at < len(frames):
        burst = choose.randrange(1, 13)
        bench.receive(*frames[at : at + burst])
        at += burst
        bench.settle()
    same(bench.received, frames)


@case(
    manual("PROG-13"), "a burst that fills the completion ring is taken whole, and the ring goes on", **_EMPTY
)
def bursts_that_fill_the_ring(bench: Bench) -> None:
    """While the processors stand still the card fills every descriptor it has, ten times over."""
    count = ring_of(bench)
    for turn in range(10):
        bench.protocol.received.clear()
        frames = frames_to(bench.station, max(1, count - 2), 90, first=turn * 1000)
        bench.device.is_manual = True
        bench.receive(*frames)
        let_go(bench)
        same(bench.received, frames)


@case(_RETURN, "NBLs may come back in any order, and long after", **_EMPTY)
def returned_in_any_order(bench: Bench) -> None:
    """A protocol keeps what it gets and returns it shuffled, again and again; no buffer is lost and
    none used twice."""
    choose = random.Random(5)
    protocol = bench.protocol
    frames = frames_to(bench.station, 300, 128)
    for start in range(0, 300, 6):
        protocol.keeps_nbls = True
        bench.receive(*frames[start : start + 6])
        bench.settle()
        choose.shuffle(protocol._held)
        protocol.release(max(choose.randrange(1, 7), len(protocol.held) - 4))
        bench.settle()
    protocol.release()
    bench.settle()
    same(bench.received, frames)
    works(bench)


@case(
    _INDICATE,
    "a driver that runs short of buffers indicates with NDIS_RECEIVE_FLAGS_RESOURCES, or drops and recovers",
    **_EMPTY,
)
def all_buffers_lent_out(bench: Bench) -> None:
    """A protocol keeps every NBL of 100 frames; then it returns them, and everything is as before."""
    bench.protocol.keeps_nbls = True
    frames = frames_to(bench.station, ring_of(bench) + 84, 100)
    for frame in frames:
        bench.receive(frame)
        bench.settle()
    got = bench.received
    held = bench.protocol.held
    assert held, "the protocol was lent every frame: it can keep none"
    order = [frames.index(frame) for frame in got]
    assert order == sorted(set(order)), "frames came twice or in another order"
    bench.protocol.keeps_nbls = False
    bench.protocol.release()
    bench.settle()
    for turn in range(5):
        burst = frames_to(bench.station, 10, 100, first=5000 + turn * 10)
        same([frame.data for frame in take(bench, *burst)], burst)


@case(_INDICATE, "data that a protocol keeps stays as it is until it is returned", **_EMPTY)
def what_is_kept_stays_as_it_is(bench: Bench) -> None:
    """A protocol keeps three frames while a hundred others go through the same ring."""
    bench.protocol.keeps_nbls = True
    kept = frames_to(bench.station, 3, 300, first=7000)
    bench.receive(*kept)
    bench.settle()
    nbls = bench.protocol.held
    if len(nbls) < 3:
        raise NotSupported("lends frames only")
    bench.protocol.keeps_nbls = False
    others = frames_to(bench.station, 100, 300)
    for frame in others:
        bench.receive(frame)
        bench.settle()
    for nbl, frame in zip(nbls, kept, strict=True):
        assert nbl.first_net_buffer is not None
        assert nbl.first_net_buffer.data() == frame, "a frame changed while a protocol kept it"
    bench.protocol.release()
    bench.settle()
    same(bench.received, kept + others)


@case(_INDICATE, "a frame longer than the adapter takes is not indicated, nor is a part of it", **ONE)
def frames_that_are_too_long(bench: Bench) -> None:
    """Frames of 1519, 2000 and 9000 bytes arrive between good ones; *JumboPacket is 1514."""
    good = frames_to(bench.station, 4, 200)
    long = [plain_frame(length, length, bench.station) for length in (1519, 2000, 9000)]
    got = take(bench, good[0], long[0], good[1], long[1], good[2], long[2], good[3])
    same([frame.data for frame in got], good)
    assert resets(bench) == 0


@case(
    guide("keywords-that-can-be-edited"),
    "a driver with *JumboPacket receives frames of that size",
    keywords={"*JumboPacket": 9014},
    **ONE,
)
def jumbo_frames(bench: Bench) -> None:
    """Receive frames of 1515, 2048, 2049, 4096, 4097, 9000 and 9014 bytes, three times."""
    assert bench.adapter.general is not None
    if bench.adapter.general.mtu_size < 9000:
        raise NotSupported(f"*JumboPacket: MtuSize is {bench.adapter.general.mtu_size}")
    for turn in range(3):
        frames = [
            plain_frame(n, n + turn, bench.station) for n in (1515, 2048, 2049, 60, 4096, 4097, 9000, 9014)
        ]
        same([frame.data for frame in take(bench, *frames)], frames)


@case(
    manual("PROG-14"),
    "a frame that the card could not write whole is thrown away, and its buffer used again",
    is_rough=True,
    **_EMPTY,
)
def a_frame_that_could_not_be_written(bench: Bench) -> None:
    """The third write of payload fails with an Unsupported Request; 200 frames follow."""
    frames = frames_to(bench.station, 200, 100)
    fault = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=2, argument=1
    )
    with bench.device.arm(fault) as handle:
        for start in range(0, 200, 4):
            bench.receive(*frames[start : start + 4])
            bench.settle()
        bench.advance(10_000_000_000)
        assert handle.fired == 1, "the card wrote no third buffer"
    wrong = [frame for frame in bench.received if frame not in frames]
    assert not wrong, f"{len(wrong)} frames were indicated that nobody sent"
    assert len(bench.received) >= 180, f"{len(bench.received)} of 200 frames arrived around one DMA error"
    works(bench, "after a DMA error")


@case(
    _INDICATE,
    "no frame is indicated twice, whatever interrupts come",
    is_rough=True,
    keywords={"*InterruptModeration": 0},
    **ONE,
)
def once_each_though_interrupts_come_twice(bench: Bench) -> None:
    """Every interrupt message comes twice."""
    frames = frames_to(bench.station, 60, 100)
    with bench.device.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DUPLICATE, count=1000)):
        for start in range(0, 60, 3):
            bench.receive(*frames[start : start + 3])
            bench.settle()
    same(bench.received, frames)


@case(manual("PROG-13"), "a completion is there when its GEN says so, and not before", is_rough=True, **ONE)
def a_completion_whose_generation_is_old(bench: Bench) -> None:
    """The card writes a completion with everything but GEN, and raises its interrupt: nothing may be
    indicated of it."""
    flip = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=DmaPurpose.COMPLETION,
        argument=24,
        mask=0x80 << 56,
    )
    bench.receive(*frames_to(bench.station, 5, 100))
    bench.settle()
    with bench.device.arm(flip) as handle:
        bench.receive(plain_frame(111, 77, bench.station))
        bench.settle()
        assert handle.fired == 1
        assert plain_frame(111, 77, bench.station) not in bench.received, (
            "a completion was taken whose GEN is old"
        )


@case(_FRAMES, "a frame may carry any EtherType and any payload", **ONE)
def frames_of_any_content(bench: Bench) -> None:
    """Receive frames of zeros, ones, random bytes, of LLC, of IPv4 cut short, of IPv6 cut short."""
    choose = random.Random(1)
    head = bench.station + bytes.fromhex("020000000099")
    bodies = [
        bytes(60),
        b"\xff" * 700,
        b"\x00\x2e" + bytes(46),
        b"\x08\x00\x45" + bytes(50),
        b"\x08\x00\x4f" + b"\xff" * 50,
        b"\x86\xdd\x60" + bytes(50),
        b"\x86\xdd\x60" + bytes(5) + b"\x00\x00" + b"\xff" * 40,
        b"\x81\x00\x00\x00\x81\x00\x00\x00\x08\x00\x45" + bytes(48),
        *(choose.randbytes(choose.randrange(46, 1400)) for _ in range(40)),
    ]
    frames = [head + body for body in bodies]
    got = take(bench, *frames)
    untagged = [frame for frame in frames if frame[12:14] != b"\x81\x00"]
    same(
        [frame.data for frame in got if frame.vlan.value == 0 and frame.data[12:14] != b"\x81\x00"], untagged
    )
    assert resets(bench) == 0
    assert bench.adapter.restart_status in (None, OK)


class NblFlag(IntFlag):
    """NDIS_NBL_FLAGS_* of nblflags.h."""

    HD_SPLIT = 0x0100
    IS_IPV4 = 0x0200
    IS_IPV6 = 0x0400
    IS_TCP = 0x0800
    IS_UDP = 0x1000
    SPLIT_AT_UPPER_LAYER_PROTOCOL_HEADER = 0x2000
    SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD = 0x4000


_HEADERS = {4: 54, 6: 74}


def _split_kind(version: int, is_tcp: bool) -> NblFlag:
    family = NblFlag.IS_IPV4 if version == 4 else NblFlag.IS_IPV6
    upper = NblFlag.IS_TCP if is_tcp else NblFlag.IS_UDP
    return NblFlag.HD_SPLIT | family | upper | NblFlag.SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD


@case(
    guide("header-data-split"),
    "with header-data split headers are in an MDL of their own, and the flags say what was split where",
    keywords={"*HeaderDataSplit": 1, "*JumboPacket": 9014},
    **ONE,
)
def headers_apart_from_data(bench: Bench) -> None:
    """*HeaderDataSplit is 1: TCP and UDP over IPv4 and IPv6 with 0 to 5,000 bytes arrive, and no IP."""
    if not has_oid(bench, OID.GEN_HD_SPLIT_PARAMETERS):
        raise NotSupported("header-data split")
    frames = []
    for version in (4, 6):
        for size in (0, 1, 700, 1400, 5000):
            data = bytes(n * 13 & 255 for n in range(size))
            frames.append((tcp_frame(data, version=version, to=bench.station), version, True))
            frames.append((udp_frame(data, version=version, to=bench.station), version, False))
    got = take(bench, *[frame for frame, _, _ in frames])
    same([each.data for each in got], [frame for frame, _, _ in frames])
    for each, (frame, version, is_tcp) in zip(got, frames, strict=True):
        headers = _HEADERS[version] - (0 if is_tcp else 12)
        assert each.nbl_flags == _split_kind(version, is_tcp), (
            f"{'TCP' if is_tcp else 'UDP'} over IPv{version} of {len(frame)} bytes: flags "
            f"0x{each.nbl_flags:x}"
        )
        assert each.pieces[0] == headers, f"the first MDL has {each.pieces[0]} of {headers} header bytes"
    (plain,) = take(bench, plain_frame(300, 1, bench.station))
    assert not plain.nbl_flags & NblFlag.HD_SPLIT, "a frame that is no IP was said to be split"
    assert plain.data == plain_frame(300, 1, bench.station)


@case(
    guide("header-data-split"),
    "only what was split is said to be: without header-data split no NBL has its flags",
    **ONE,
)
def no_split_that_was_not_asked_for(bench: Bench) -> None:
    """*HeaderDataSplit is 0: TCP over IPv4 and IPv6."""
    for version in (4, 6):
        (each,) = take(bench, tcp_frame(b"x" * 500, version=version, to=bench.station))
        assert not each.nbl_flags & NblFlag.HD_SPLIT, f"NBL flags 0x{each.nbl_flags:x}"
