"""Sockets in Python over two stacks on a wire: what they move, what they say, what they keep alive."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from vnic import errors
from vnic.abi import HookAnswer, SocketEvent, SocketOption, TcpState
from vnic.link.impairments import Impairments
from vnic.stack import Endpoint, Stack, Stream, TcpSocket
from vnic.stack.errors import (
    AbortedError,
    AddressInUseError,
    AddressNotAvailableError,
    HostUnreachableError,
    NotConnectedError,
    PipeError,
    RefusedError,
    ResetError,
    SocketClosedError,
    StreamEndError,
    TimedOutError,
)
from vnic.stack.interface import Area
from vnic.stack.memory import move, pointer_to
from vnic.testbench.network import Network

S = 1_000_000_000
NOISE = random.Random(7).randbytes(400_000)


@pytest.fixture
def network() -> Iterator[Network]:
    """Two hosts on a wire of 100 us."""
    with Network() as made:
        buffers: dict[str, Any] = {"send_buffer": 1 << 16, "receive_buffer": 1 << 16}
        first = made.station("10.0.0.1/24", "fd00::1/64", **buffers)
        second = made.station("10.0.0.2/24", "fd00::2/64", **buffers)
        made.join(first, second, forth=Impairments(delay_ns=100_000))
        yield made


def pair(network: Network, address: str = "10.0.0.1", port: int = 80) -> tuple[Stream, Stream]:
    """The client's and the server's end of a connection."""
    first, second = network.stations
    listener = first.stack.listen((address, port))
    client = second.streams.connect((address, port))
    server = first.streams.accept(listener)
    listener.close()
    return client, server


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_bytes_both_ways_and_an_orderly_end(network: Network, address: str) -> None:
    client, server = pair(network, address)
    sent = NOISE[:120_000]  # more than one window: the rest waits for the reader
    client.write_all(sent)
    client.finish()
    server.write_all(sent[::-1])
    server.finish()
    assert server.read_all() == sent and client.read_all() == sent[::-1]
    server.wait_closed()
    client.wait_closed()
    assert client.socket.error is None


def test_info_tells_where_and_how(network: Network) -> None:
    client, server = pair(network)
    client.write_all(b"x" * 5000)
    client.drain()
    info = client.socket.info
    assert info.remote == Endpoint(*server.socket.info.local) and str(info.remote) == "10.0.0.1:80"
    assert info.state is TcpState.ESTABLISHED and info.sent_bytes == 5000 and info.send_queued == 0
    assert 200_000 <= info.srtt_us * 1000 < 60_000_000 and info.retransmits == 0
    assert server.socket.info.receive_queued == 5000


def test_a_listener_has_info_and_takes_options(network: Network) -> None:
    listener = network.stations[0].stack.listen(("::", 80))
    listener.set_option(SocketOption.RECEIVE_BUFFER, 8000)
    assert listener.info.state is None and listener.accept() is None
    client = network.stations[1].streams.connect(("fd00::1", 80))
    assert client.socket.info.snd_wnd <= 8000
    listener.close()
    with pytest.raises(SocketClosedError):
        listener.accept()
    with pytest.raises(errors.ArgumentError):
        client.socket.set_option(SocketOption.KEEP_TIME_MS, 1)


# -- what goes wrong -


def test_refused_is_pythons_own_exception_too(network: Network) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        network.stations[1].streams.connect(("10.0.0.1", 81))
    assert isinstance(caught.value, RefusedError) and isinstance(caught.value, errors.VnicError)
    assert caught.value.errno == 111


def test_unreachable_without_a_route_and_without_an_answer(network: Network) -> None:
    streams = network.stations[1].streams
    with pytest.raises(HostUnreachableError):
        streams.connect(("192.0.2.1", 80))
    with pytest.raises(HostUnreachableError):
        streams.connect(("10.0.0.77", 80))


def test_addresses_that_are_taken_or_not_ours(network: Network) -> None:
    stack = network.stations[0].stack
    stack.listen(("10.0.0.1", 80))
    with pytest.raises(AddressInUseError):
        stack.listen(("10.0.0.1", 80))
    with pytest.raises(AddressNotAvailableError):
        stack.listen(("10.0.0.9", 80))


def test_reset_by_the_peer_and_by_ourselves(network: Network) -> None:
    client, server = pair(network)
    ended: list[object] = []
    assert client.socket.send_by_reference(NOISE[:1000], done=lambda size, error: ended.append(error))
    client.abort()
    assert isinstance(ended[0], AbortedError)
    with pytest.raises(ResetError):
        server.read_all()
        server.wait_closed()
    with pytest.raises(SocketClosedError):
        client.socket.send(b"x")


def test_sending_after_shutdown(network: Network) -> None:
    client, _ = pair(network)
    client.finish()
    with pytest.raises(BrokenPipeError) as caught:
        client.socket.send(b"x")
    assert isinstance(caught.value, PipeError)


def test_a_connection_that_is_not_there_yet(network: Network) -> None:
    socket = network.stations[1].stack.connect(("10.0.0.1", 80))
    with pytest.raises(NotConnectedError):
        socket.recv(1)
    socket.abort()


def test_a_stream_that_ends_early(network: Network) -> None:
    client, server = pair(network)
    client.write_all(b"abc")
    client.finish()
    with pytest.raises(StreamEndError, match="3 of 4"):
        server.read_exactly(4)


def test_patience_ends(network: Network) -> None:
    client, _ = pair(network)
    with pytest.raises(TimedOutError, match="data"):
        client.read()


def test_a_closed_stack_says_so() -> None:
    stack = Stack()
    stack.add_interface(mac=bytes.fromhex("020000000001"))
    stack.close()
    stack.close()
    for call in (stack.dispatch, lambda: stack.statistics, lambda: stack.listen(("0.0.0.0", 1))):
        with pytest.raises(errors.ClosedError):
            call()


@pytest.mark.parametrize(
    "make",
    [
        lambda stack: stack.add_interface(mac=b"12345"),
        lambda stack: stack.add_interface(mac=bytes(6), mtu=-1),
        lambda stack: stack.add_interface(mac=bytes.fromhex("020000000001"), mtu=100),
        lambda stack: stack.listen(("10.0.0.300", 80)),
        lambda stack: stack.listen(("fe80::1%eth0", 80)),
        lambda stack: stack.listen(("0.0.0.0", 70_000)),
        lambda stack: stack.add_route("10.0.0.1/8"),
        lambda stack: stack.ping(5),
        lambda stack: Stack(connections=-1),
        lambda stack: Stack(interfaces=0),
        lambda stack: Stack(interfaces=100),
    ],
)
def test_arguments_that_are_none(make: Callable[[Stack], object]) -> None:
    with Stack() as stack, pytest.raises(errors.ArgumentError):
        make(stack)


# -- memory -


def test_what_is_sent_by_reference_is_kept_and_let_go(network: Network) -> None:
    client, server = pair(network)

    class Owned(bytearray):
        """Bytes whose end can be seen."""

    data, ends = Owned(b"y" * 30_000), list[tuple[int, object]]()
    seen = weakref.ref(data)
    assert client.socket.send_by_reference(data, done=lambda size, error: ends.append((size, error)))
    del data
    gc.collect()
    assert seen() is not None and client.socket.outstanding == 1
    assert server.read_exactly(30_000) == b"y" * 30_000
    network.run_for(S)
    gc.collect()
    assert ends == [(30_000, None)] and client.socket.outstanding == 0 and seen() is None


def test_close_with_references_out_still_sends_them(network: Network) -> None:
    client, server = pair(network)
    assert client.socket.send_by_reference(NOISE[:30_000])
    client.close()
    assert server.read_all() == NOISE[:30_000]
    server.close()
    network.run_for(S)
    assert client.socket.is_closed and client.socket.outstanding == 0


def test_many_parts_are_one_reference(network: Network) -> None:
    client, server = pair(network)
    parts = [bytes([n]) * 10 for n in range(200)]
    assert client.socket.send_by_reference(*parts)
    assert client.socket.send_all(b"a", b"b", b"c") == 3
    assert server.read_exactly(2003) == b"".join(parts) + b"abc"


def test_posted_buffers_are_filled_in_order(network: Network) -> None:
    client, server = pair(network)
    rooms = [bytearray(1000), bytearray(5000)]
    done: list[tuple[int, int]] = []
    for number, room in enumerate(rooms):
        assert server.socket.post(room, lambda size, error, number=number: done.append((number, size)))  # type: ignore[misc]
    client.write_all(NOISE[:3000])
    client.finish()
    network.run_for(S)
    assert done == [(0, 1000), (1, 2000)]
    assert bytes(rooms[0]) + bytes(rooms[1][:2000]) == NOISE[:3000]


def test_peek_shows_and_consume_gives_up(network: Network) -> None:
    client, server = pair(network)
    client.write_all(b"hello world")
    network.run_for(S)
    assert b"".join(server.socket.peek()) == b"hello world"
    server.socket.consume(6)
    assert server.socket.recv() == b"world" and server.socket.recv() is None
    with pytest.raises(errors.ArgumentError):
        server.socket.consume(1)


def test_backpressure_and_room_again(network: Network) -> None:
    client, server = pair(network)
    taken = rounds = 0
    while rounds < 3:  # until the peer's window and our buffer are full
        count = client.socket.send(NOISE[taken : taken + 10_000])
        taken += count
        if not count:
            network.run_for(S)
            rounds += 1
    client.socket.events &= ~SocketEvent.WRITABLE
    got = bytearray()
    while not client.socket.events & SocketEvent.WRITABLE:
        got += server.read()
    client.finish()
    assert bytes(got) + server.read_all() == NOISE[:taken]


# -- the copy hook -


def test_a_copy_engine_moves_posted_data_when_it_likes(network: Network) -> None:
    client, server = pair(network)
    stack = network.stations[0].stack
    waiting: list[tuple[int, int, int, int]] = []

    def hook(to: int, source: int, length: int, ticket: int) -> HookAnswer:
        waiting.append((to, source, length, ticket))
        return HookAnswer.LATER

    stack.set_copy_hook(hook)
    room, done = bytearray(4000), list[int]()
    assert server.socket.post(room, lambda size, error: done.append(size))
    client.write_all(NOISE[:4000])
    network.run_for(S)
    assert waiting and not done
    while waiting:
        to, source, length, ticket = waiting.pop(0)
        move(to, source, length)
        stack.copied(ticket)
        network.run_for(S)
    assert done == [4000] and room == NOISE[:4000]
    stack.set_copy_hook(None)


def test_what_a_hook_raises_comes_out_and_loses_no_byte(network: Network) -> None:
    client, server = pair(network)
    stack = network.stations[0].stack

    def hook(to: int, source: int, length: int, ticket: int) -> HookAnswer:
        raise ZeroDivisionError

    stack.set_copy_hook(hook)
    room = bytearray(100)
    assert server.socket.post(room)
    client.write_all(NOISE[:100])
    with pytest.raises(ZeroDivisionError):
        network.run_for(S)
    stack.set_copy_hook(None)
    network.run_for(S)
    assert room == NOISE[:100]


def test_a_hook_must_not_use_its_stack(network: Network) -> None:
    client, server = pair(network)
    stack = network.stations[0].stack

    def hook(to: int, source: int, length: int, ticket: int) -> HookAnswer:
        stack.dispatch()
        return HookAnswer.DONE

    stack.set_copy_hook(hook)
    assert server.socket.post(bytearray(100))
    client.write_all(NOISE[:100])
    with pytest.raises(errors.InsideError):
        network.run_for(S)
    stack.set_copy_hook(None)


# -- datagrams -


@pytest.mark.parametrize(("here", "there"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_datagrams(network: Network, here: str, there: str) -> None:
    first = network.stations[0].stack.udp((here, 53))
    second = network.stations[1].stack.udp((there, 0))
    second.send_to(b"question", (here, 53))
    network.run_for(S)
    found = first.receive()
    assert found is not None and found[0] == b"question" and str(found[1].address) == there
    first.send_to(NOISE[:5000], found[1])
    network.run_for(S)
    assert second.receive() == (NOISE[:5000], (ip_address(here), 53)) and second.receive() is None
    first.close()
    second.close()


@pytest.mark.parametrize(("version", "to"), [(4, "10.0.0.1"), (6, "fd00::1")])
def test_echo(network: Network, version: int, to: str) -> None:
    ping = network.stations[1].stack.ping(version)
    for sequence in (1, 2):
        ping.request(to, sequence, b"payload" * sequence)
    network.run_for(S)
    answers = [ping.answer(), ping.answer()]
    assert [(each[0], each[1]) for each in answers if each] == [(1, b"payload"), (2, b"payload" * 2)]
    assert ping.answer() is None
    ping.close()


def test_neighbours_and_counters_are_seen(network: Network) -> None:
    pair(network)
    found = network.stations[1].stack.neighbours
    assert [(str(each.address), each.mac.hex()) for each in found] == [("10.0.0.1", "020000000001")]
    assert network.stations[0].stack.statistics["arp_in"] >= 1


def test_events_reach_the_one_who_listens(network: Network) -> None:
    heard: list[SocketEvent] = []
    listener = network.stations[0].stack.listen(("0.0.0.0", 80))
    accepted: list[TcpSocket] = []

    def accept(events: SocketEvent) -> None:
        socket = listener.accept()
        assert socket is not None
        socket.on_event = heard.append
        accepted.append(socket)

    listener.on_event = accept
    client = network.stations[1].streams.connect(("10.0.0.1", 80))
    client.write_all(b"x")
    client.finish()
    network.run_for(S)
    assert accepted and SocketEvent.READABLE & heard[0] and SocketEvent.FIN & accepted[0].events


def test_memory_of_frames_has_no_export() -> None:
    """CPython's collector crashes on a memoryview that has an export while it is cleared."""
    area = Area(bytearray(64))
    assert area.at(63) != area.at(0)
    area.view.release()
    memory = memoryview(bytearray(8))
    assert pointer_to(memory)[0] == 0
    memory.release()
