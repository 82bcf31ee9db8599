"""Trains: large segments that the stack cuts itself, and bursts of which it makes one segment."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stack.peer import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Peer,
    Segment,
    completions,
    connect,
    events,
    info,
    listen,
    mss,
    peer6,
    receive,
    refer,
    resolve,
    sack_permitted,
    scale,
    segment_of,
    send,
    statistics,
    timestamp,
)
from tests.stack.seen import read
from tests.stack.world import PEER, US, World, endpoint
from vnic._core import ffi, lib
from vnic.fuzz.effort import examples
from vnic.wire import packet

DATA = bytes(i * 31 >> 3 & 255 for i in range(40_000))


@pytest.fixture
def near(make_world: Callable[..., World]) -> World:
    """A stack that knows its peers' Ethernet addresses."""
    world = make_world(send_buffer=1 << 18)
    resolve(world)
    return world


def wide(world: World, peer: Peer, options: bytes = mss(1460) + scale(7)) -> int:
    """A connection whose congestion window is wider than a train; all is acknowledged."""
    socket = connect(world, peer, options=options)
    assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_NODELAY, 1) == 0
    for _ in range(4):
        assert send(world, socket, b"w" * 30000) == 30000
        while found := peer.heard():
            for each in found:
                peer.ack = each.seq + len(each.data)
                peer.send(ACK, window=2000)
    assert info(world, socket).send_queued == 0
    assert info(world, socket).cwnd > 45000
    return socket


def pull(world: World, count: int) -> list[Segment]:
    """The next frames that leave, at most so many."""
    out, frame = ffi.new("uint8_t[1600]"), ffi.new("struct vnic_stack_frame *")
    found = []
    for _ in range(count):
        length = lib.vnic_stack_transmit(world.stack, 0, out, 1600, frame)
        if length == 0:
            break
        found.append(segment_of(read(bytes(ffi.buffer(out, length)))))
    return found


class TestOut:
    @pytest.mark.requirement("SOCK-28")
    @pytest.mark.parametrize("make", [Peer, peer6])
    @pytest.mark.parametrize("size", [1461, 2920, 14600, 14601, 40000])
    @pytest.mark.parametrize("has_fin", [True, False])
    def test_packets_are_those_of_one_segment(
        self, near: World, make: Callable[..., Peer], size: int, has_fin: bool
    ) -> None:
        peer = make(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA[:size]) == size
        if has_fin:
            assert lib.vnic_tcp_shutdown(near.stack, socket) == 0
        found = peer.heard()
        limit = 1460 if make is Peer else 1440
        assert [len(each.data) for each in found[:-1]] == [limit] * (len(found) - 1)
        assert b"".join(each.data for each in found) == DATA[:size]
        assert [each.seq for each in found] == [peer.ack + limit * i for i in range(len(found))]
        assert {each.ack for each in found} == {peer.seq}
        last = PSH | FIN if has_fin else PSH
        assert [each.flags & ~ACK for each in found] == [0] * (len(found) - 1) + [last]

    @pytest.mark.requirement("SOCK-28")
    def test_what_lies_in_pieces(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        parts = [
            ffi.new("uint8_t[]", DATA[at:to]) for at, to in ((0, 1), (1, 2000), (2000, 2001), (2001, 9000))
        ]
        assert send(near, socket, b"head" * 500) == 2000
        assert refer(near, socket, parts, 1) == 9004  # each with the 0 that ffi puts behind it
        assert send(near, socket, b"tail") == 4
        expected = b"".join(bytes(ffi.buffer(part)) for part in parts)
        assert b"".join(each.data for each in peer.heard()) == b"head" * 500 + expected + b"tail"

    @pytest.mark.requirement("SOCK-28", "SOCK-8")
    @pytest.mark.parametrize("acked", [3000, 4380, 20000, 39999, 40000])
    def test_bytes_that_were_acknowledged_are_not_sent(self, near: World, acked: int) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        data = ffi.new("char[]", 40000)
        ffi.memmove(data, DATA, 40000)
        assert refer(near, socket, [data], 9) == 40000
        first = pull(near, 2)
        peer.send(ACK, ack=peer.ack + acked, window=2000)  # of packets that have not left yet
        if acked == 40000:
            assert completions(near, socket) == [(9, 40000, 0, True)]
            ffi.memmove(data, b"!" * 40000, 40000)  # it is the user's again
        rest = pull(near, 100)
        if acked < 40000:
            assert rest[0].seq == peer.ack + max(acked, 2920)
        assert all(each.seq >= first[0].seq + acked for each in rest)
        for each in rest:
            at = each.seq - peer.ack
            assert each.data == DATA[at : at + len(each.data)]

    @pytest.mark.requirement("SOCK-28", "SOCK-17")
    def test_abort_in_the_middle(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        pull(near, 3)
        assert lib.vnic_tcp_abort(near.stack, socket) == 0
        assert [each.flags & RST for each in peer.heard()] == [RST]
        again = connect(near, Peer(near, port=40001))
        assert (
            again & 0xFFFFFFFF == socket & 0xFFFFFFFF
        )  # the same slot: nothing of the old train comes out of it
        assert send(near, again, b"new") == 3
        assert [each.data for each in peer.heard()] == [b"new"]

    @pytest.mark.requirement("SOCK-28", "SOCK-15")
    def test_close_in_the_middle(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        found = pull(near, 3)
        assert lib.vnic_stack_close(near.stack, socket) == 0
        found += peer.heard()
        assert b"".join(each.data for each in found) == DATA
        assert found[-1].flags & FIN

    @pytest.mark.requirement("SOCK-28", "SOCK-6")
    def test_reset_in_the_middle(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        pull(near, 3)
        peer.send(RST)
        peer.silent()
        assert events(near)[socket] & lib.VNIC_EVENT_CLOSED

    @pytest.mark.requirement("SOCK-28")
    @pytest.mark.parametrize("change", ["link", "route"])
    def test_the_path_changes_in_the_middle(self, near: World, change: str) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        found = pull(near, 3)
        if change == "link":
            near.set_link(False)
            peer.silent()
            near.set_link(True)
        else:
            assert near.add_route("192.0.2.0/24", None) == 0
        got = bytearray(b"".join(each.data for each in found))
        for _ in range(300):
            near.advance(0.2)
            for each in peer.heard():
                if each.seq == peer.ack + len(got):
                    got += each.data
                peer.send(ACK, ack=peer.ack + len(got), window=2000)
            if len(got) == 40000:
                break
        assert bytes(got) == DATA
        assert info(near, socket).send_queued == 0

    @pytest.mark.requirement("SOCK-28")
    def test_other_frames_come_between(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        found = pull(near, 3)
        near.hear_arp(1, "10.0.0.9", US)
        frames = near.transmit()
        assert frames[0].arp is not None
        found += [segment_of(frame) for frame in frames[1:]]
        assert b"".join(each.data for each in found) == DATA

    @pytest.mark.requirement("SOCK-28")
    def test_the_mtu_falls_in_the_middle(self, near: World) -> None:
        peer = Peer(near)
        socket = wide(near, peer)
        assert send(near, socket, DATA) == 40000
        found = pull(near, 3)
        quoted = found[0].seen.raw[14:]
        body = struct.pack("!HH", 0, 1000) + quoted[:28]
        near.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(3, 4, body)))
        found += peer.heard()
        assert {len(each.data) for each in found} >= {960}
        assert info(near, socket).mss == 960

    @pytest.mark.requirement("SOCK-28", "ECN-01")
    def test_marks_of_the_header(self, make_world: Callable[..., World]) -> None:
        world = make_world(send_buffer=1 << 18, ecn=1)
        resolve(world)
        peer = Peer(world)
        socket = int(lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(PEER, peer.port)))
        syn = peer.take()
        peer.our_port = syn.source_port
        peer.send(SYN | ACK | 0x40, options=mss(1460) + scale(7) + timestamp(5, syn.timestamp[0]))
        peer.take()
        peer.options = timestamp(6, syn.timestamp[0])
        for option, value in ((lib.VNIC_OPTION_TOS, 0x28), (lib.VNIC_OPTION_NODELAY, 1)):
            assert lib.vnic_stack_set_option(world.stack, socket, option, value) == 0
        assert send(world, socket, DATA[:10000]) == 10000
        found = peer.heard()
        assert len(found) == 7
        assert {each.seen.datagram.tos for each in found} == {0x2A}  # ECT(0) on each
        assert len({each.timestamp for each in found}) == 1


# -- in


@dataclass
class Shot:
    """A segment of a burst: bytes start .. start + size of the stream, and what is odd about it."""

    start: int
    size: int
    flags: int = ACK
    window: int = 1000
    is_corrupt: bool = False
    is_marked: bool = False
    stamp: int = 10
    ack: int = 0
    pad: int = 0


def shoot(world: World, peer: Peer, shots: list[Shot], base: int, is_burst: bool) -> None:
    """Gives the stack the segments, together or one by one."""
    frames = []
    for shot in shots:
        data = DATA[shot.start : shot.start + shot.size]
        if peer.options:
            peer.options = timestamp(shot.stamp, struct.unpack("!I", peer.options[8:12])[0])
        frame = bytearray(
            peer.frame(
                shot.flags, data, seq=(base + shot.start) % 2**32, window=shot.window, ack=peer.ack + shot.ack
            )
        )
        if shot.is_marked and peer.us != US:
            frame[15] |= 0x30  # CE
        elif shot.is_marked:
            frame[15] |= 3  # the header's checksum follows
            frame[24:26] = b"\0\0"
            total = sum(struct.unpack("!10H", frame[14:34]))
            frame[24:26] = (~(total + (total >> 16)) & 0xFFFF).to_bytes(2)
        if shot.is_corrupt:
            frame[-1] ^= 0x10
        frames.append(bytes(frame) + bytes(shot.pad))
    kept = [ffi.from_buffer("uint8_t[]", frame) for frame in frames]
    packets = [{"data": data, "len": len(data), "flags": 0} for data in kept]
    for group in [packets] if is_burst else [[each] for each in packets]:
        out = ffi.new("struct vnic_stack_packet[]", group)
        assert lib.vnic_stack_receive_burst(world.stack, 0, out, len(group)) == 0


@contextmanager
def receiver(has_stamps: bool, make: Callable[..., Peer] = Peer) -> Iterator[tuple[World, Peer, int]]:
    """A connection to receive with."""
    with World(receive_buffer=1 << 16) as world:
        resolve(world)
        peer = make(world)
        options = mss(1460) + sack_permitted() + (timestamp(1) if has_stamps else b"")
        socket = connect(world, peer, options=options, local_port=7000)
        if has_stamps:
            peer.options = timestamp(2, peer.sent[0].timestamp[0])
        assert send(world, socket, b"q" * 1000) == 1000
        peer.heard()
        yield world, peer, socket


def result_of(
    shots: list[Shot], make: Callable[..., Peer], has_stamps: bool, post: int, is_burst: bool
) -> tuple[Any, ...]:
    """What the user sees, what the peer hears last, and what was counted."""
    with receiver(has_stamps, make) as (world, peer, socket):
        base = peer.seq
        buffer = ffi.new("uint8_t[]", max(post, 1))
        if post:
            assert lib.vnic_tcp_post(world.stack, socket, buffer, post, 1) == 0
        shoot(world, peer, shots, base, is_burst)
        done = completions(world, socket)
        world.advance(0.1)
        heard = peer.heard()
        last = (heard[-1].ack, heard[-1].window, heard[-1].flags) if heard else None
        rest = receive(world, socket)
        found, counted = info(world, socket), statistics(world)
        state = (found.state, found.flight, found.snd_wnd, found.receive_queued)
        errors = (counted.bad_l4_checksum, counted.bad_ip, counted.bad_frame, counted.buffers_full)
        if post and not done:
            assert lib.vnic_tcp_abort(world.stack, socket) == 0
            done = completions(world, socket)
        posted = [(length, bytes(ffi.buffer(buffer, length))) for _, length, _, _ in done]
        return posted, rest, last, state, errors


SHOT = st.builds(
    Shot,
    start=st.integers(0, 12).map(lambda i: i * 700),
    size=st.sampled_from([700, 700, 700, 700, 1400, 1, 0]),
    flags=st.sampled_from([ACK, ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | 0x20]),
    window=st.sampled_from([1000, 1000, 1000, 2000]),
    is_corrupt=st.sampled_from([False] * 9 + [True]),
    is_marked=st.sampled_from([False] * 9 + [True]),
    stamp=st.sampled_from([10, 10, 10, 11, 9]),
    ack=st.sampled_from([0, 0, 0, 500, 1000]),
    pad=st.sampled_from([0, 0, 0, 6]),
)


def stream(*sizes: int) -> list[Shot]:
    """Segments of these sizes that follow each other."""
    shots, at = [], 0
    for size in sizes:
        shots.append(Shot(at, size))
        at += size
    return shots


class TestIn:
    @pytest.mark.requirement("SOCK-26")
    @examples(50)
    @given(
        tail=st.lists(SHOT, max_size=8),
        head=st.integers(0, 10),
        odd=st.lists(st.tuples(st.integers(0, 10), SHOT), max_size=2),
        kind=st.tuples(st.sampled_from([Peer, peer6]), st.booleans()),
        post=st.sampled_from([0, 0, 1000, 5000]),
    )
    def test_a_burst_is_what_its_frames_are(
        self,
        tail: list[Shot],
        head: int,
        odd: list[tuple[int, Shot]],
        kind: tuple[Callable[..., Peer], bool],
        post: int,
    ) -> None:
        shots = stream(*[700] * head)
        for at, shot in odd:
            if at < len(shots):
                shot.start, shot.size = shots[at].start, shots[at].size
                shots[at] = shot
        shots += tail
        together = result_of(shots, *kind, post, True)
        alone = result_of(shots, *kind, post, False)
        assert together[0] == alone[0]
        assert together[1] == alone[1]
        assert together[3:] == alone[3:]
        assert (together[2] is None) == (alone[2] is None)
        if together[2] is not None and alone[2] is not None:
            assert together[2][0] == alone[2][0]

    @pytest.mark.requirement("SOCK-26", "LOOK-3")
    def test_a_corrupt_packet_in_the_middle(self) -> None:
        shots = stream(*[700] * 10)
        shots[4].is_corrupt = True
        with receiver(True) as (world, peer, socket):
            base = peer.seq
            shoot(world, peer, shots, base, True)
            assert receive(world, socket) == DATA[:2800]
            assert statistics(world).bad_l4_checksum == 1
            shoot(world, peer, [Shot(2800, 700)], base, True)
            assert receive(world, socket) == DATA[2800:7000]

    @pytest.mark.requirement("SOCK-26", "SOCK-13")
    def test_a_push_in_the_middle_ends_a_posted_buffer(self) -> None:
        shots = stream(*[700] * 6)
        shots[2].flags |= PSH
        with receiver(False) as (world, peer, socket):
            buffer = ffi.new("uint8_t[60000]")
            assert lib.vnic_tcp_post(world.stack, socket, buffer, 60000, 4) == 0
            shoot(world, peer, shots, peer.seq, True)
            assert completions(world, socket) == [(4, 2100, 0, False)]
            assert ffi.buffer(buffer, 2100)[:] == DATA[:2100]
            assert receive(world, socket) == DATA[2100:4200]

    @pytest.mark.requirement("SOCK-26", "ECN-03")
    def test_a_mark_in_the_middle_is_told(self) -> None:
        with World(ecn=2) as world:
            resolve(world)
            peer = Peer(world)
            listener = listen(world)
            peer.send(SYN | packet.ECE | packet.CWR, options=mss(1460))
            assert peer.take().flags == SYN | ACK | packet.ECE
            peer.send(ACK)
            socket = int(lib.vnic_tcp_accept(world.stack, listener))
            shots = stream(*[700] * 6)
            shots[3].is_marked = True
            shoot(world, peer, shots, peer.seq, True)
            assert receive(world, socket) == DATA[:4200]
            assert peer.one().flags & packet.ECE

    @pytest.mark.requirement("SOCK-26", "WIN-01")
    def test_a_train_ends_at_the_window(self) -> None:
        with World(receive_buffer=4000) as world:
            resolve(world)
            peer = Peer(world)
            socket = connect(world, peer)
            shoot(world, peer, stream(*[700] * 8), peer.seq, True)
            assert receive(world, socket) == DATA[:4000]
            assert peer.heard()[-1].ack == peer.seq + 4000

    @pytest.mark.requirement("SOCK-26")
    def test_trains_of_several_connections(self, near: World) -> None:
        peers = [Peer(near, port=43000 + i) for i in range(3)]
        sockets = [connect(near, peer) for peer in peers]
        frames = []
        for i in range(8):
            for peer in peers:
                frames.append(peer.frame(ACK, DATA[i * 500 : i * 500 + 500], seq=peer.seq + i * 500))
        kept = [ffi.from_buffer("uint8_t[]", frame) for frame in frames + frames[::-1]]
        burst = ffi.new(
            "struct vnic_stack_packet[]", [{"data": data, "len": len(data), "flags": 0} for data in kept]
        )
        assert lib.vnic_stack_receive_burst(near.stack, 0, burst, len(kept)) == 0
        assert [receive(near, socket) for socket in sockets] == [DATA[:4000]] * 3
