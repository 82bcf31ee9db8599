"""Payload blocks against a plain model, and how sockets share them when they run short."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI
from hypothesis import given
from hypothesis import strategies as st

from tests.stack.peer import (
    ACK,
    PSH,
    RST,
    Peer,
    completions,
    connect,
    events,
    info,
    mss,
    receive,
    refer,
    resolve,
    sack_permitted,
    scale,
    segment_of,
    send,
    statistics,
)
from tests.stack.world import World
from vnic._core import ffi, lib
from vnic.fuzz.effort import examples

ROOT = Path(__file__).resolve().parents[2]
BLOCK = 4080
NUMBERS = 2**32
DECLARED = """
typedef struct block_pool pool_t; typedef struct block_chain chain_t;
struct pool { uint8_t *entries; size_t size; uint32_t capacity, fresh, free, used; };
struct block_pool { void *blocks; struct pool pool; };
struct block_chain { uint32_t head, tail, at; };
bool blocks_create(struct block_pool *p, uint64_t bytes);
void blocks_destroy(struct block_pool *p);
uint8_t *blocks_place(pool_t *p, chain_t *chain, uint32_t seq, uint32_t *room);
uint8_t *blocks_find(const pool_t *p, chain_t *chain, uint32_t seq, uint32_t *len);
uint32_t blocks_write(pool_t *p, chain_t *chain, uint32_t seq, const void *bytes,
    uint32_t len);
void blocks_read(const pool_t *p, chain_t *chain, uint32_t seq, void *out, uint32_t len);
uint32_t blocks_missing(const pool_t *p, const chain_t *chain, uint32_t seq, uint32_t len);
void blocks_release_before(pool_t *p, chain_t *chain, uint32_t seq);
void blocks_release_from(pool_t *p, chain_t *chain, uint32_t seq);
void blocks_release_all(pool_t *p, chain_t *chain);
"""


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[FFI, Any]:
    """csrc/tcp/blocks.c on its own."""
    target = tmp_path_factory.mktemp("blocks") / "blocks.so"
    flags = ["-std=c11", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'csrc'}"]
    subprocess.run(["gcc", *flags, "-o", target, ROOT / "csrc/tcp/blocks.c"], check=True, timeout=60)
    module = FFI()
    module.cdef(DECLARED)
    return module, module.dlopen(str(target))


class Chain:
    """A chain of blocks and beside it what it must hold: bytes by distance from a first number."""

    def __init__(self, blocks: tuple[FFI, Any], first: int, capacity: int) -> None:
        self.ffi, self.lib = blocks
        self.first = first
        self.pool: Any = self.ffi.new("struct block_pool *")
        assert self.lib.blocks_create(self.pool, capacity * BLOCK)
        self.chain = self.ffi.new("struct block_chain *")
        self.model: dict[int, int] = {}
        self.low = 0

    def close(self) -> None:
        """Gives all back; AssertionError when something is lost."""
        self.lib.blocks_release_all(self.pool, self.chain)
        assert self.pool.pool.used == 0
        self.lib.blocks_destroy(self.pool)

    def seq(self, at: int) -> int:
        """The number of a byte."""
        return (self.first + at) % NUMBERS

    def write(self, at: int, data: bytes) -> None:
        """Writes as much as the pool lets."""
        at = max(at, self.low)
        missing = self.lib.blocks_missing(self.pool, self.chain, self.seq(at), len(data))
        left = self.pool.pool.capacity - self.pool.pool.used
        count = self.lib.blocks_write(self.pool, self.chain, self.seq(at), data, len(data))
        assert (count == len(data)) == (missing <= left)
        assert self.pool.pool.capacity - self.pool.pool.used == max(left - missing, 0)
        self.model |= {at + i: data[i] for i in range(count)}

    def drop_before(self, at: int) -> None:
        """What lies before is consumed."""
        self.low = max(self.low, at)
        self.lib.blocks_release_before(self.pool, self.chain, self.seq(self.low))
        self.model = {key: value for key, value in self.model.items() if key >= self.low}

    def drop_from(self, at: int) -> None:
        """What lies behind is void."""
        at = max(at, self.low)
        self.lib.blocks_release_from(self.pool, self.chain, self.seq(at))
        self.model = {key: value for key, value in self.model.items() if key < at}

    def judge(self) -> None:
        """Everything is there, in pieces that end where a block ends, and no block is kept in vain."""
        runs: list[list[int]] = []
        for key in sorted(self.model):
            if runs and runs[-1][1] == key:
                runs[-1][1] += 1
            else:
                runs.append([key, key + 1])
        length = self.ffi.new("uint32_t *")
        held = set()
        for left, right in runs:
            out = self.ffi.new("uint8_t[]", right - left)
            self.lib.blocks_read(self.pool, self.chain, self.seq(left), out, right - left)
            assert bytes(self.ffi.buffer(out)) == bytes(self.model[key] for key in range(left, right))
            at = left
            while at < right:
                assert self.lib.blocks_find(self.pool, self.chain, self.seq(at), length) != self.ffi.NULL
                assert 0 < length[0] <= BLOCK
                at += length[0]
                held.add(at)
        assert len(held) <= self.pool.pool.used


OPERATION = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 60000), st.integers(0, 9000)),
    st.tuples(st.just("before"), st.integers(0, 60000), st.just(0)),
    st.tuples(st.just("from"), st.integers(0, 60000), st.just(0)),
)


@pytest.mark.requirement("BUF-1", "BUF-2")
@examples(30)
@given(
    first=st.sampled_from([0, 1, 2**31 - 5000, 2**32 - 1, 2**32 - 30000]),
    capacity=st.sampled_from([1, 3, 40]),
    operations=st.lists(OPERATION, max_size=25),
)
def test_a_chain_is_what_its_model_is(
    blocks: tuple[FFI, Any], first: int, capacity: int, operations: list[tuple[str, int, int]]
) -> None:
    chain = Chain(blocks, first, capacity)
    for step, (kind, at, size) in enumerate(operations):
        if kind == "write":
            chain.write(at, bytes((at + i + step) & 255 for i in range(size)))
        elif kind == "before":
            chain.drop_before(at)
        else:
            chain.drop_from(at)
        chain.judge()
    chain.close()


@pytest.mark.requirement("BUF-1")
def test_holes_cost_nothing(blocks: tuple[FFI, Any]) -> None:
    chain = Chain(blocks, 2**32 - 10, 3)
    for at in (10 * BLOCK, 5 * BLOCK, 0):
        chain.write(at, b"x")
    assert chain.pool.pool.used == 3
    length = chain.ffi.new("uint32_t *")
    assert chain.lib.blocks_find(chain.pool, chain.chain, chain.seq(2 * BLOCK), length) == chain.ffi.NULL
    chain.judge()
    chain.close()


@pytest.mark.requirement("BUF-1")
def test_a_pool_of_nothing(blocks: tuple[FFI, Any]) -> None:
    module, library = blocks
    pool = module.new("struct block_pool *")
    assert not library.blocks_create(pool, 0)
    assert not library.blocks_create(pool, 2**63)
    library.blocks_destroy(pool)


# -- sockets that share the pool

SMALL = 512 << 10  # a quarter of a MiB each way: 65 blocks
HALF = 65


@pytest.fixture
def small(make_world: Callable[..., World]) -> World:
    """A stack with the least buffers."""
    world = make_world(buffer_bytes=SMALL, connections=64, receive_buffer=1 << 20, send_buffer=1 << 20)
    resolve(world)
    return world


def fill(world: World, peer: Peer) -> int:
    """Data until the stack takes no more of it; bytes taken."""
    taken = 0
    for _ in range(400):
        peer.send(ACK, b"f" * 1400)
        found = peer.heard()
        if found and found[-1].ack != peer.seq:
            peer.seq = found[-1].ack
            return taken
        taken += 1400
    raise AssertionError("it takes everything")


@pytest.mark.requirement("BUF-3", "BUF-4")
def test_others_may_still_receive_when_one_does_not_read(small: World) -> None:
    peers = [Peer(small, port=40000 + i) for i in range(6)]
    sockets = [connect(small, peer, options=mss(1460)) for peer in peers]
    taken = fill(small, peers[0])
    assert HALF * BLOCK * 0.9 < taken < HALF * BLOCK
    for peer, socket in zip(peers[1:5], sockets[1:5], strict=True):
        peer.send(ACK | PSH, b"small")
        assert info(small, socket).receive_queued == 5
    peers[5].send(ACK, b"none left", seq=peers[5].seq)
    assert info(small, sockets[5]).receive_queued == 0
    refused = peers[5].one()
    assert refused.ack == peers[5].seq
    assert statistics(small).buffers_full >= 2
    while isinstance(receive(small, sockets[0]), bytes):
        pass
    peers[5].send(ACK, b"now some")
    assert receive(small, sockets[5]) == b"now some"
    assert [receive(small, socket) for socket in sockets[1:5]] == [b"small"] * 4


@pytest.mark.requirement("BUF-3", "WIN-11")
def test_refused_data_comes_again(small: World) -> None:
    greedy, modest = Peer(small), Peer(small, port=40001)
    first, second = connect(small, greedy), connect(small, modest)
    modest.send(ACK, b"m")
    fill(small, greedy)
    modest.send(ACK, b"n" * 5000, seq=modest.seq)
    assert modest.heard()[-1].ack == modest.seq
    while isinstance(receive(small, first), bytes):
        pass
    modest.send(ACK, b"n" * 5000)
    assert receive(small, second) == b"m" + b"n" * 5000


@pytest.mark.requirement("BUF-3", "ACK-09")
def test_out_of_order_data_goes_first(small: World) -> None:
    peer, other = Peer(small), Peer(small, port=40001)
    socket = connect(small, peer, options=mss(1460) + sack_permitted() + scale(7))
    connect(small, other)
    start = peer.seq
    for i in range(200):  # everything but the first
        peer.send(ACK, bytes([i & 255]) * 1400, seq=(start + 1400 * (i + 1)))
    last = peer.heard()[-1]
    assert last.ack == start
    assert statistics(small).buffers_full > 0  # three quarters of the pool, no more
    fill(small, other)
    peer.send(ACK, b"\xff" * 1400, seq=start)
    got = receive(small, socket)
    assert isinstance(got, bytes)
    assert got[:1400] == b"\xff" * 1400
    at = start + len(got)
    small.advance(0.1)
    assert peer.heard()[-1].ack == at
    for i in range(len(got), 1400 * 201, 1400):  # the rest again
        data = bytes([(i // 1400 - 1) & 255]) * 1400
        peer.send(ACK, data, seq=start + i)
        piece = receive(small, socket)
        got += piece if isinstance(piece, bytes) else b""
    assert got == b"\xff" * 1400 + b"".join(bytes([i & 255]) * 1400 for i in range(200))


@pytest.mark.requirement("BUF-4", "BUF-5", "SOCK-7")
def test_senders_wait_for_blocks_and_are_told(small: World) -> None:
    peers = [Peer(small, port=40000 + i, window=20000) for i in range(3)]
    sockets = [connect(small, peer) for peer in peers]
    taken = send(small, sockets[0], b"a" * (1 << 20))
    assert HALF * BLOCK * 0.85 < taken < HALF * BLOCK
    assert send(small, sockets[0], b"a") == lib.VNIC_STACK_EAGAIN
    few = send(small, sockets[1], b"b" * 20000)
    assert 0 < few <= BLOCK  # the share of one that holds nothing
    assert send(small, sockets[1], b"b" * (20000 - few)) == lib.VNIC_STACK_EAGAIN
    data = ffi.new("uint8_t[]", b"r" * 20000)
    assert refer(small, sockets[2], [data], 5) == 20001  # takes no block
    events(small)
    told: set[int] = set()
    for _ in range(200):
        for segment in map(segment_of, small.transmit()):
            peer = peers[segment.port - 40000]
            peer.ack = (segment.seq + len(segment.data)) % NUMBERS
            peer.send(ACK)
        told |= {socket for socket, bits in events(small).items() if bits & lib.VNIC_EVENT_WRITABLE}
    assert told >= {sockets[0], sockets[1]}
    assert send(small, sockets[1], b"b" * 20000) > 0
    assert completions(small, sockets[2]) == [(5, 20001, 0, True)]


@pytest.mark.requirement("BUF-5", "SOCK-7")
def test_who_waited_once_is_told_again(small: World) -> None:
    """Twice one socket takes all blocks, and another waits for them: both times it is told."""
    peers = [Peer(small, port=40000 + i, window=20000) for i in range(2)]
    greedy, patient = (connect(small, peer) for peer in peers)
    for _ in range(2):
        while send(small, greedy, b"a" * (1 << 18)) > 0:
            pass
        while send(small, patient, b"b" * 20000) > 0:
            pass
        events(small)
        told = 0
        for _ in range(200):
            for segment in map(segment_of, small.transmit()):
                peer = peers[segment.port - 40000]
                peer.ack = (segment.seq + len(segment.data)) % NUMBERS
                peer.send(ACK)
            told |= events(small).get(patient, 0)
        assert told & lib.VNIC_EVENT_WRITABLE


@pytest.mark.requirement("BUF-2")
@pytest.mark.parametrize("end", ["read", "reset", "abort", "close"])
def test_every_block_comes_back(small: World, end: str) -> None:
    for round_number in range(12):  # together many times what the pool has
        peer = Peer(small, port=40000 + round_number)
        socket = connect(small, peer, options=mss(1460) + sack_permitted())
        start = peer.seq
        for _ in range(40):
            peer.send(ACK, b"i" * 1400)
        for i in range(40):
            peer.send(ACK, b"o" * 1400, seq=start + 1400 * (60 + 2 * i))
        assert info(small, socket).receive_queued == 56000
        assert send(small, socket, b"s" * 100000) == 100000
        if end == "read":
            assert receive(small, socket, 56000) == b"i" * 56000
            assert lib.vnic_tcp_abort(small.stack, socket) == 0
        elif end == "reset":
            peer.send(RST)
            assert lib.vnic_stack_close(small.stack, socket) == 0
        elif end == "abort":
            assert lib.vnic_tcp_abort(small.stack, socket) == 0
        else:
            assert lib.vnic_stack_close(small.stack, socket) == 0
        peer.heard()
        assert statistics(small).connections == 0


@pytest.mark.requirement("BUF-2")
def test_a_predicted_segment_with_a_wrong_checksum_takes_no_block(small: World) -> None:
    peers = [Peer(small, port=40000 + i) for i in range(60)]
    for peer in peers:
        connect(small, peer)
        peer.send(ACK, b"wrong" * 100, seq=peer.seq, field=1)
    assert statistics(small).bad_l4_checksum == 60
    assert fill(small, peers[0]) > HALF * BLOCK * 0.9  # nothing was left behind
