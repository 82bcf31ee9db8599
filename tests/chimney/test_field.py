"""What Microsoft's support articles report of the Pack in the field, as scenarios that must not happen here.

KB 942861: SQL Server's clients lose connections with "General network error" or "transport-level error"
while TCP chimney is on. KB 948496: Remote Desktop sessions drop, shares and Outlook cannot be reached, idle
connections are never cleaned up, FTP fails, the network is slow, NAT and ISA clients get nowhere, nonpaged
pool runs out.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.chimney.stage import MS, Script, Stage
from vnic.gen.registers import BAR0
from vnic.link.impairments import Impairments
from vnic.stack.stream import Stream
from vnic.testbench.network import Station

S = 1000 * MS
HOUR = 3600 * S


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A quick wire, nothing lost, and a policy that does nothing by itself."""
    with Stage(Script((), Impairments(delay_ns=100_000)), "moving") as made:
        yield made


def pair(stage: Stage, port: int = 1433) -> tuple[Stream, Stream]:
    """A connection that the peer opens to the host, offloaded."""
    listener = stage.host.stack.listen(("10.0.0.1", port))
    assert isinstance(stage.peer, Station)
    far = stage.peer.streams.connect(("10.0.0.1", port))
    near = stage.host.streams.accept(listener)
    listener.close()
    offload(stage, near)
    return near, far


def offload(stage: Stage, near: Stream) -> None:
    """Into the card, and wait until it is there."""
    assert stage.host.chimney.offload(near.socket)
    assert stage.network.run_until(lambda: str(stage.host.chimney.where(near.socket)) == "Offloaded", S)


def ask(near: Stream, far: Stream, size: int = 700) -> None:
    """A request of the peer, an answer of the host."""
    question, answer = Random(size).randbytes(size), Random(size + 1).randbytes(3 * size)
    far.write_all(question)
    assert near.read_exactly(size) == question
    near.write_all(answer)
    assert far.read_exactly(3 * size) == answer


def test_a_database_session_survives_hours_of_idleness(stage: Stage) -> None:
    near, far = pair(stage)
    near.socket.set_keepalive(time_ms=600_000, interval_ms=1000, limit=10)
    for _ in range(4):
        ask(near, far)
        stage.network.run_for(2 * HOUR)
    ask(near, far)
    assert near.socket.error is None and far.socket.error is None
    assert str(stage.host.chimney.where(near.socket)) == "Offloaded"


def test_a_remote_desktop_session_survives_a_cable_that_was_out(stage: Stage) -> None:
    near, far = pair(stage, 3389)
    for _ in range(20):
        ask(near, far, 60)
        stage.network.run_for(200 * MS)
    stage.wire.set_link(False, stage.network.clock.now_ns)
    far.write_all(b"a key was pressed")
    stage.network.run_for(3 * S)
    stage.wire.set_link(True, stage.network.clock.now_ns)
    assert near.read_exactly(17) == b"a key was pressed"
    ask(near, far, 60)


def test_no_stall_of_seconds_while_a_share_is_read(stage: Stage) -> None:
    near, far = pair(stage, 445)
    data = Random(5).randbytes(2 << 20)
    longest, last = 0, stage.network.clock.now_ns
    got = bytearray()

    def turn() -> bool:
        nonlocal longest, last
        near_socket_moves(near, data)
        part = far.socket.recv()
        if part:
            got.extend(part)
            now = stage.network.clock.now_ns
            longest, last = max(longest, now - last), now
        return len(got) == len(data)

    assert stage.network.run_until(turn, 60 * S)
    assert bytes(got) == data and longest < 100 * MS


def register(stage: Stage, name: str) -> int:
    """A chimney register of the card."""
    return stage.host.bench.device.read32(BAR0.MAP[f"CHM_{name}"].offset)


def near_socket_moves(near: Stream, data: bytes) -> None:
    """Write as much as there is room for."""
    written = getattr(near, "written", 0)
    written += near.socket.send(data[written : written + 65_536]) if written < len(data) else 0
    near.written = written  # type: ignore[attr-defined]


def test_an_idle_session_whose_client_is_gone_is_cleaned_up(stage: Stage) -> None:
    near, _ = pair(stage, 135)
    near.socket.set_keepalive(time_ms=60_000, interval_ms=1000, limit=5)
    stage.wire.attach(1, None)
    stage.network.run_for(300 * S)
    assert near.socket.is_over and near.socket.error is not None
    near.close()
    stage.network.run_for(S)
    assert register(stage, "CONNECTIONS") == 0


def test_a_data_connection_that_ends_with_its_last_byte(stage: Stage) -> None:
    """FTP: everything in one go, and FIN right behind it."""
    near, far = pair(stage, 20)
    data = Random(6).randbytes(200_000)
    far.write_all(data)
    far.finish()
    assert near.read_all() == data
    near.finish()
    assert far.read_all() == b""


def test_requests_in_flight_survive_an_upload_at_any_moment(stage: Stage) -> None:
    near, far = pair(stage)
    random = Random(8)
    for turn in range(30):
        question = random.randbytes(random.choice([1, 100, 3000, 20_000]))
        far.write_all(question)
        stage.network.run_for(random.choice([0, 50_000, 120_000, MS]))
        where = str(stage.host.chimney.where(near.socket))
        if where == "Offloaded":
            assert stage.host.chimney.upload(near.socket)
        elif where == "InHost":
            assert stage.host.chimney.offload(near.socket)
        assert near.read_exactly(len(question)) == question, turn
    assert near.socket.error is None


def test_thousands_of_connections_leave_nothing_behind(stage: Stage) -> None:
    for port in range(2000, 2200):
        near, far = pair(stage, port)
        ask(near, far, 40)
        near.finish()
        far.finish()
        assert near.read_all() == b"" and far.read_all() == b""
        near.close()
        far.close()
    stage.network.run_for(300 * S)
    assert register(stage, "CONNECTIONS") == register(stage, "PATHS") == register(stage, "NEIGHBOURS") == 0
    assert register(stage, "FREE_WORK") == register(stage, "MAX_WORK")
    assert register(stage, "FREE_BLOCKS") == register(stage, "MAX_BLOCKS")
