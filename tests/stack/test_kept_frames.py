"""Received frames that stay where the link put them: their payload goes from there to posted buffers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.stack.keeper import GOOD, KEPT, Keeper, next_frame, start
from tests.stack.offload_scene import Scene
from tests.stack.peer import (
    ACK,
    FIN,
    PSH,
    RST,
    Peer,
    completions,
    connect,
    events,
    info,
    receive,
    resolve,
    statistics,
)
from tests.stack.world import World
from vnic._core import ffi, lib
from vnic.abi import HookAnswer
from vnic.stack.memory import move, pointer_of
from vnic.wire import packet


@pytest.fixture
def keeper(make_world: Callable[..., World]) -> Iterator[Keeper]:
    """A stack with an engine and a link that keeps frames."""
    world = make_world()
    resolve(world)
    yield Keeper(world)


@pytest.mark.requirement("SOCK-29")
def test_payload_goes_from_the_frame_to_the_posted_buffer(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    buffer = keeper.post(socket, 100)
    before = statistics(world).copied_bytes
    keeper.hear(next_frame(peer, ACK, b"straight "))
    keeper.hear(next_frame(peer, ACK | PSH, b"ahead"))
    assert (keeper.held, keeper.copied_from_frames) == (2, 14)
    assert completions(world, socket) == [] and ffi.buffer(buffer)[:] == bytes(100)
    world.advance(0.1)
    assert peer.heard()[-1].ack == peer.seq  # received, whoever copies when
    keeper.finish_all()
    assert completions(world, socket) == [(1, 14, 0, False)] and keeper.held == 0
    assert ffi.buffer(buffer)[:14] == b"straight ahead"
    assert statistics(world).copied_bytes == before and statistics(world).hooked_bytes == 14


@pytest.mark.requirement("SOCK-29")
def test_the_processor_copies_once_what_the_hook_declines(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    keeper.answer = lambda: lib.VNIC_HOOK_DECLINED
    buffer = keeper.post(socket, 100)
    before = statistics(world).copied_bytes
    keeper.hear(next_frame(peer, ACK | PSH, b"too short"))
    assert completions(world, socket) == [(1, 9, 0, False)]
    assert ffi.buffer(buffer)[:9] == b"too short"
    assert statistics(world).copied_bytes == before + 9 and statistics(world).hooked_bytes == 0


@pytest.mark.requirement("SOCK-29", "SOCK-13")
def test_a_declined_copy_waits_for_those_before_it(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    buffer = keeper.post(socket, 9)
    keeper.hear(next_frame(peer, ACK, b"slow "))
    keeper.answer = lambda: lib.VNIC_HOOK_DECLINED
    keeper.hear(next_frame(peer, ACK | PSH, b"fast"))
    assert completions(world, socket) == []
    keeper.finish_all()
    assert completions(world, socket) == [(1, 9, 0, False)] and ffi.buffer(buffer)[:] == b"slow fast"


@pytest.mark.requirement("SOCK-29")
def test_what_posted_buffers_do_not_hold_is_stored(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    first, second = keeper.post(socket, 3, 1), keeper.post(socket, 4, 2)
    keeper.hear(next_frame(peer, ACK | PSH, b"abcdefghijk"))
    assert [each[2] for each in keeper.waiting.values()] == [3, 4]
    assert info(world, socket).receive_queued == 4
    assert events(world) == {socket: lib.VNIC_EVENT_READABLE}
    third = keeper.post(socket, 2, 3)  # from the stack's own memory, behind what is under way
    keeper.finish_all()
    assert completions(world, socket) == [(1, 3, 0, False), (2, 4, 0, False), (3, 2, 0, False)]
    assert [ffi.buffer(each)[:] for each in (first, second, third)] == [b"abc", b"defg", b"hi"]
    assert receive(world, socket) == b"jk"
    assert (keeper.copied_from_frames, keeper.copied_from_stack) == (7, 2)


@pytest.mark.requirement("SOCK-29", "SOCK-26")
@pytest.mark.parametrize("is_last_pushed", [False, True])
def test_a_burst_is_one_input_and_each_part_stays_in_its_frame(keeper: Keeper, is_last_pushed: bool) -> None:
    world, peer, socket = start(keeper)
    parts = [bytes([65 + i]) * 1000 for i in range(20)]
    buffer = keeper.post(socket, 40_000 if is_last_pushed else 20_000)
    flags = [ACK] * 19 + [ACK | (PSH if is_last_pushed else 0)]
    keeper.hear(*[next_frame(peer, each, part) for each, part in zip(flags, parts, strict=True)])
    assert (keeper.held, keeper.copied_from_frames) == (20, 20_000)
    assert [segment.ack for segment in peer.heard()] == [peer.seq]
    keeper.finish_all()
    assert completions(world, socket) == [(1, 20_000, 0, False)]
    assert ffi.buffer(buffer)[:20_000] == b"".join(parts)


@pytest.mark.requirement("SOCK-29", "SOCK-26")
def test_a_burst_beyond_the_posted_buffers(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    parts = [bytes([65 + i]) * 1000 for i in range(6)]
    buffers = [keeper.post(socket, size, size) for size in (1500, 2200)]
    keeper.hear(*[next_frame(peer, ACK, part) for part in parts])
    keeper.finish_all()
    assert [each[:2] for each in completions(world, socket)] == [(1500, 1500), (2200, 2200)]
    got = b"".join(ffi.buffer(buffer)[:] for buffer in buffers)
    rest = receive(world, socket)
    assert isinstance(rest, bytes) and got + rest == b"".join(parts)
    assert keeper.copied_from_frames == 3700


def out_of_order(keeper: Keeper, peer: Peer, socket: int) -> None:
    frames = [next_frame(peer, ACK, b"x" * 10) for _ in range(2)]
    keeper.hear(frames[1])
    keeper.hear(frames[0])


def not_verified(keeper: Keeper, peer: Peer, socket: int) -> None:
    keeper.hear(next_frame(peer, ACK, b"x" * 20), flags=KEPT & ~lib.VNIC_STACK_RX_L4_GOOD)


def not_kept(keeper: Keeper, peer: Peer, socket: int) -> None:
    keeper.hear(next_frame(peer, ACK, b"x" * 20), flags=GOOD)


def with_fin(keeper: Keeper, peer: Peer, socket: int) -> None:
    keeper.hear(next_frame(peer, ACK | FIN, b"x" * 20))


def in_fragments(keeper: Keeper, peer: Peer, socket: int) -> None:
    frame = next_frame(peer, ACK, b"x" * 20)
    for fragment in packet.ipv4_fragments(frame[14:], 24):
        keeper.hear(frame[:14] + fragment)


@pytest.mark.requirement("SOCK-29")
@pytest.mark.parametrize("how", [out_of_order, not_verified, not_kept, with_fin, in_fragments])
def test_everything_else_is_stored_first(keeper: Keeper, how: Callable[[Keeper, Peer, int], None]) -> None:
    world, peer, socket = start(keeper)
    buffer = keeper.post(socket, 20)
    how(keeper, peer, socket)
    assert keeper.held == 0 and keeper.copied_from_stack == 20
    keeper.finish_all()
    assert completions(world, socket) == [(1, 20, 0, False)] and ffi.buffer(buffer)[:] == b"x" * 20


@pytest.mark.requirement("SOCK-29", "LOOK-3")
def test_a_checksum_that_is_wrong_and_not_verified_counts(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    buffer = keeper.post(socket, 20)
    frame = bytearray(peer.frame(ACK, b"y" * 20))
    frame[-1] ^= 1
    keeper.hear(bytes(frame), flags=KEPT & ~lib.VNIC_STACK_RX_L4_GOOD)
    assert not keeper.waiting and ffi.buffer(buffer)[:] == bytes(20)
    assert statistics(world).bad_l4_checksum == 1


@pytest.mark.requirement("SOCK-29")
def test_data_that_nobody_posted_for(keeper: Keeper) -> None:
    world, peer, socket = start(keeper)
    keeper.hear(next_frame(peer, ACK, b"waits"))
    buffer = keeper.post(socket, 9)
    keeper.hear(next_frame(peer, ACK, b"next"))
    assert (keeper.copied_from_stack, keeper.copied_from_frames) == (5, 4)
    keeper.finish_all()
    assert completions(world, socket) == [(1, 9, 0, False)] and ffi.buffer(buffer)[:] == b"waitsnext"


@pytest.mark.requirement("SOCK-29", "SOCK-27")
@pytest.mark.parametrize("end", ["abort", "close", "reset", "fin", "silence"])
def test_the_end_waits_for_copies_from_frames(keeper: Keeper, end: str) -> None:
    world, peer, socket = start(keeper)
    buffer = keeper.post(socket, 10)
    keeper.hear(next_frame(peer, ACK, b"flight"))
    result = {"reset": lib.VNIC_STACK_ECONNRESET, "fin": 0}.get(end, lib.VNIC_STACK_ECONNABORTED)
    if end == "abort":
        assert lib.vnic_tcp_abort(world.stack, socket) == 0
    elif end == "close":
        assert lib.vnic_stack_close(world.stack, socket) == 0
    elif end == "reset":
        peer.send(RST)
    elif end == "fin":
        keeper.hear(next_frame(peer, FIN | ACK, b""))
    else:
        world.advance(5)
        assert lib.vnic_tcp_abort(world.stack, socket) == 0
    peer.heard()
    world.advance(5)
    assert completions(world, socket) == [] and keeper.held == 1
    keeper.finish_all()
    assert ffi.buffer(buffer)[:6] == b"flight"
    assert completions(world, socket) == [(1, 6, result, False)]


@pytest.mark.requirement("SOCK-29")
def test_tickets_run_out(make_world: Callable[..., World]) -> None:
    world = make_world(connections=4, receive_buffer=1 << 20)
    resolve(world)
    keeper = Keeper(world)
    peer = Peer(world)
    socket = connect(world, peer)
    data = random.Random(5).randbytes(1600)
    buffers = [keeper.post(socket, 1, cookie) for cookie in range(1300)]
    for _ in range(2):  # a frame for more posted buffers than there are tickets
        keeper.hear(next_frame(peer, ACK, data[:800]))
        data = data[800:] + data[:800]
    assert len(keeper.waiting) <= 1025
    keeper.finish_all()
    done = completions(world, socket)
    while more := completions(world, socket):
        done += more
    assert [each[0] for each in done] == list(range(1300))
    assert b"".join(ffi.buffer(each)[:] for each in buffers) + receive(world, socket) == data  # type: ignore[operator]


@pytest.mark.requirement("SOCK-29")
@pytest.mark.parametrize("is_burst", [False, True])
def test_nothing_overtakes_what_waits_for_a_ticket(make_world: Callable[..., World], is_burst: bool) -> None:
    world = make_world(connections=4, receive_buffer=1 << 20)
    resolve(world)
    keeper = Keeper(world)
    others, peer = Peer(world, port=40000), Peer(world, port=40001)
    other, socket = connect(world, others), connect(world, peer)
    keeper.post(other, 1000, 1)
    buffer = keeper.post(socket, 2000, 2)
    for _ in range(400):
        keeper.hear(next_frame(others, ACK, b"o"))
    sent = bytes(i & 0xFF for i in range(700))  # more than there are tickets
    for each in sent:
        keeper.hear(next_frame(peer, ACK, bytes([each])))
    assert info(world, socket).receive_queued > 0
    for ticket in list(keeper.waiting)[:400]:
        keeper.finish(ticket)
    late = [next_frame(peer, ACK, b"late"), next_frame(peer, ACK, b"r")]
    for together in [late] if is_burst else [[each] for each in late]:
        keeper.hear(*together)
    keeper.hear(next_frame(peer, ACK | PSH, b"!"))
    keeper.finish_all()
    assert completions(world, socket) == [(2, 706, 0, False)]
    assert ffi.buffer(buffer)[:706] == sent + b"later!"


@pytest.mark.requirement("SOCK-29")
def test_no_room_for_the_rest_refuses_nothing_for_ever(make_world: Callable[..., World]) -> None:
    world = make_world(connections=4, buffer_bytes=512 << 10, receive_buffer=1 << 20)
    resolve(world)
    keeper = Keeper(world)
    hoarder, peer = Peer(world, port=40000), Peer(world, port=40001)
    greedy, socket = connect(world, hoarder), connect(world, peer)
    for _ in range(400):
        keeper.hear(next_frame(hoarder, ACK, b"h" * 1000))
        hoarder.heard()
    assert info(world, greedy).receive_queued < 400_000
    got, sent = b"", b""
    for i in range(50):
        buffer = keeper.post(socket, 700, i)
        part = bytes([i]) * 1000
        keeper.hear(next_frame(peer, ACK, part))
        keeper.finish_all()
        sent += part
        done = completions(world, socket)
        assert [each[0] for each in done] == [i]
        got += ffi.buffer(buffer)[:700]
        rest = receive(world, socket)
        got += rest if isinstance(rest, bytes) else b""
        world.advance(0.1)
        assert peer.heard()[-1].ack == peer.seq
    assert got == sent


class Storm:
    """Segments in any order, twice, lost, in bursts and alone, kept or not; copies end when they like."""

    def __init__(self, keeper: Keeper, seed: int) -> None:
        self.keeper, self.chance = keeper, random.Random(seed)
        self.world, self.peer, self.socket = start(keeper)
        self.data = self.chance.randbytes(250_000)
        self.base = self.peer.seq
        self.got = b""
        self.posts: dict[int, Any] = {}
        self.cookie = 0
        keeper.answer = self.answer

    def answer(self) -> int:
        return self.chance.choices(
            [lib.VNIC_HOOK_LATER, lib.VNIC_HOOK_DONE, lib.VNIC_HOOK_DECLINED], [6, 1, 1]
        )[0]

    def frames(self) -> Sequence[bytes]:
        """Some segments from what is acknowledged on."""
        at = (self.peer.seq - self.base) & 0xFFFFFFFF
        cuts = []
        for _ in range(self.chance.randrange(1, 12)):
            size = self.chance.choice([1460, 1460, 1460, 1000, 17])
            if at >= len(self.data):
                break
            flags = ACK | (PSH if self.chance.random() < 0.1 else 0)
            seq = (self.base + at) & 0xFFFFFFFF
            cuts.append(self.peer.frame(flags, self.data[at : at + size], seq=seq))
            at += size
        if self.chance.random() < 0.15:
            self.chance.shuffle(cuts)
        if self.chance.random() < 0.1 and cuts:
            cuts.append(cuts[0])
        return [each for each in cuts if self.chance.random() > 0.02]

    def step(self) -> None:
        while len(self.posts) < 8 and self.chance.random() < 0.9:
            self.cookie += 1
            size = self.chance.choice([1, 1460, 5000, 20_000])
            self.posts[self.cookie] = self.keeper.post(self.socket, size, self.cookie)
        frames = self.frames()
        flags = self.chance.choice([KEPT, KEPT, KEPT, GOOD])
        if frames and self.chance.random() < 0.7:
            self.keeper.hear(*frames, flags=flags)
        else:
            for frame in frames:
                self.keeper.hear(frame, flags=flags)
        self.world.advance(0.05)
        for segment in self.peer.heard():
            if ((segment.ack - self.peer.seq) & 0xFFFFFFFF) < 1 << 31:
                self.peer.seq = segment.ack
        tickets = list(self.keeper.waiting)
        for ticket in self.chance.sample(tickets, min(len(tickets), self.chance.randrange(6))):
            self.keeper.finish(ticket)
        self.collect()

    def collect(self) -> None:
        for cookie, length, result, _ in completions(self.world, self.socket):
            assert result == 0 and cookie == min(self.posts)
            self.got += ffi.buffer(self.posts.pop(cookie))[:length]


@pytest.mark.requirement("SOCK-29", "SOCK-26", "SOCK-27")
@pytest.mark.parametrize("seed", range(6))
def test_a_storm_delivers_every_byte_once(keeper: Keeper, seed: int) -> None:
    storm = Storm(keeper, seed)
    for _ in range(2000):
        storm.step()
        if (storm.peer.seq - storm.base) & 0xFFFFFFFF >= len(storm.data) and not keeper.waiting:
            break
    keeper.finish_all()
    storm.collect()
    assert lib.vnic_tcp_shutdown(storm.world.stack, storm.socket) == 0
    keeper.hear(storm.peer.frame(ACK | FIN, b"", seq=storm.peer.seq))
    keeper.finish_all()
    storm.collect()
    rest = receive(storm.world, storm.socket)
    got = storm.got + (rest if isinstance(rest, bytes) else b"")
    assert len(got) == len(storm.data) and got == storm.data
    assert keeper.held == 0 and keeper.copied_from_frames > 5_000
    assert lib.vnic_tcp_abort(storm.world.stack, storm.socket) == 0


@pytest.mark.requirement("SOCK-29")
def test_ip_version_6(keeper: Keeper) -> None:
    world = keeper.world
    six = Peer(world, us="2001:db8::1", them="2001:db8::2")
    socket = connect(world, six)
    buffer = keeper.post(socket, 5)
    keeper.hear(next_frame(six, ACK, b"sixth"))
    assert keeper.copied_from_frames == 5
    keeper.finish_all()
    assert ffi.buffer(buffer)[:] == b"sixth"


@pytest.mark.requirement("SOCK-29", "OFS-7")
@pytest.mark.parametrize("ends", ["before", "away", "back"])
def test_a_connection_leaves_while_copies_from_frames_run(scene: Scene, ends: str) -> None:
    tickets: list[tuple[int, int, int, int]] = []

    def later(to: int, source: int, length: int, ticket: int) -> HookAnswer:
        tickets.append((to, source, length, ticket))
        return HookAnswer.LATER

    def finish() -> None:
        while tickets:
            to, source, length, ticket = tickets.pop(0)
            move(to, source, length)
            scene.hosts.a.copied(ticket)

    scene.hosts.a.set_copy_hook(later)
    room, done = bytearray(6), list[int]()
    assert scene.user.post(room, lambda size, error: done.append(size))
    scene.peer.set_nodelay()
    scene.peer.send(b"abc")
    sent = scene.hosts.ports[1].transmit()
    assert sent is not None
    frame = bytearray(sent[0])
    frame[14 + 20 + 13] &= ~PSH  # verified below, so the checksum does not matter
    scene.hosts.ports[0].receive(frame, KEPT)
    start = pointer_of(memoryview(frame))
    assert [start <= source < start + len(frame) for _, source, _, _ in tickets] == [True]
    if ends == "before":
        finish()
    scene.leave()
    if ends == "away":
        assert scene.offload.post(scene.handle) is None, "bytes are on their way there"
        finish()
    if ends != "back":
        posted = scene.offload.post(scene.handle)
        assert posted is not None and posted.done == 3
        posted.view[3:6] = b"def"
        scene.offload.posted(scene.handle, 3, True)
        scene.back(RcvNxt=3)
    else:
        scene.back()
        scene.hosts.run(1000)
        finish()
        scene.peer.send(b"def")
        scene.hosts.run(1000)
        finish()
    scene.told()
    assert done == [6] and room == b"abcdef"
