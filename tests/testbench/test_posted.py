"""A reader who posts buffers: what it is given, the end of the stream, and its memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vnic.host.memory import GuestMemory
from vnic.link.impairments import Impairments
from vnic.stack.stream import Stream
from vnic.testbench.network import Network
from vnic.testbench.posted import PostedSocket

MS = 1_000_000


class Ends:
    """A reader, and the station that writes to it."""

    def __init__(self) -> None:
        self.network = Network()
        first, second = (self.network.station(f"10.0.0.{n}/24") for n in (1, 2))
        self.network.join(
            first, second, forth=Impairments(delay_ns=10_000), back=Impairments(delay_ns=10_000)
        )
        listener = second.stack.listen(("10.0.0.2", 80))
        near = first.streams.connect(("10.0.0.2", 80))
        self.far: Stream = second.streams.accept(listener)
        self.memory = GuestMemory(1 << 20)
        self.reader = PostedSocket(near.socket, self.memory, buffers=2, buffer_bytes=4096)

    def run(self) -> None:
        """Let what is under way arrive."""
        self.network.run_for(100 * MS)

    def text(self, data: memoryview | bytes | None) -> bytes:
        """What was read."""
        assert data is not None
        return bytes(data)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Both."""
    made = Ends()
    with made.network:
        yield made


def test_parts_of_what_completed(ends: Ends) -> None:
    assert ends.reader.recv(10) is None
    ends.far.write_all(b"one buffer")
    ends.run()
    assert ends.text(ends.reader.recv(3)) == b"one"
    assert ends.text(ends.reader.recv(100)) == b" buffer"
    assert ends.reader.recv(100) is None


def test_more_than_is_posted_waits_in_the_stack(ends: Ends) -> None:
    data = bytes(range(256)) * 100
    ends.far.write_all(data)
    ends.run()
    got = b""
    for _ in range(20):
        while part := ends.reader.recv(3000):
            got += bytes(part)
        ends.run()
    assert got == data


def test_the_end_of_the_stream(ends: Ends) -> None:
    ends.far.write_all(b"last")
    ends.far.finish()
    ends.run()
    assert ends.text(ends.reader.recv(100)) == b"last"
    assert ends.reader.recv(100) == b"" == ends.reader.recv(100)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("has_data", [False, True])
def test_the_memory_goes_back_when_the_stack_has_none_of_it(ends: Ends, how: str, has_data: bool) -> None:
    if has_data:
        ends.far.write_all(b"unread")
        ends.run()
    assert len(ends.memory.live) == 1
    getattr(ends.reader, how)()
    ends.run()
    ends.memory.assert_no_leaks()


def test_a_connection_that_breaks(ends: Ends) -> None:
    ends.far.socket.abort()
    ends.run()
    assert ends.reader.error is not None and ends.reader.recv(1) is None
    ends.reader.close()
    ends.memory.assert_no_leaks()
