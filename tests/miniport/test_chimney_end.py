"""The end of a chimney by other means: reset, removal, low power, pause, and a card that asks for uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.miniport.chimney_bench import ChimneyBench, for_miniport
from vnic.gen.registers import BAR0
from vnic.ndis import chimney as nd
from vnic.ndis.chimney_stats import IpOffloadStats, TcpOffloadStats
from vnic.ndis.offload import TcpConnectionOffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.chimney.blocks import (
    ABORTED,
    EVENT,
    FAILURE,
    OK,
    REASON,
    TYPE,
    block_of,
    bytes_of,
    context_of,
    ending_of,
    tcp,
    tree,
)
from vnic.testbench.chimney.connection import Connection
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH
LOST = [(EVENT.RETRIEVE.name, REASON.HARDWARE_FAILURE), (EVENT.ABORT.name, 0)]


def indications(bench: ChimneyBench) -> list[NDIS_STATUS]:
    """OFFLOAD_PAUSE, UPLOAD_ALL and OFFLOAD_RESUME that came."""
    known = (NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME)
    return [NDIS_STATUS(each.status) for each in bench.protocol.statuses if each.status in known]


class Fork:
    """NDIS, but for the completions of calls that it did not make."""

    def __init__(self, ndis: Any) -> None:
        self.ndis = ndis
        self.completed: list[tuple[str, Any]] = []

    def m_initiate_offload_complete(self, block: Any) -> None:
        """Of a call that came past NDIS."""
        self.completed.append(("initiate", block))

    def m_terminate_offload_complete(self, block: Any) -> None:
        """Of a call that came past NDIS."""
        self.completed.append(("terminate", block))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ndis, name)


def load(bench: ChimneyBench) -> Connection:
    """A connection with something of everything outstanding."""
    (connection,) = bench.connect()
    bench.client.returns = False
    connection.receive(b"indicated", flags=PUSH)
    connection.send(b"unacknowledged")
    connection.post(100, no_push=True)
    connection.receive(b"part", flags=PUSH)
    connection.disconnect(b"bye")
    return connection


def lost_everything(bench: ChimneyBench, connection: Connection) -> None:
    """The hardware-corrupt sequence: Retrieve, Abort, everything ends; the terminate fails."""
    ends = [entry for entry in connection.log if entry[0] not in ("indicate", "SEND_BACKLOG_CHANGE")]
    assert ends[:2] == LOST
    assert sorted(ends[2:], key=str) == sorted(
        [("sent", ABORTED, 0), ("received", ABORTED, 0), ("disconnected", ABORTED)], key=str
    )
    block = connection.terminate()
    assert block.Status == FAILURE
    assert bench.path_block is not None
    assert bench.release() == [FAILURE, FAILURE]
    assert not bench.rings.has_objects
    assert bench.rings.work.used == 0


@pytest.mark.requirement("PROG-26", "PROG-27", "PROG-28", "PROG-29")
def test_the_chimney_comes_up_with_all_its_rings() -> None:
    with ChimneyBench(device={"chimney_bytes": 1 << 16}) as bench:
        read = bench.device.read32
        for _ in range(2):
            assert read(BAR0.CHM_STATUS.offset) & 1
            assert read(BAR0.CHM_ADMIN_STATUS.offset) == 1
            for pair in range(2):
                assert read(BAR0.CHQ_SQ_STATUS.at(pair)) == 1
                assert read(BAR0.CHQ_POOL_STATUS.at(pair)) == 1
                count = read(BAR0.CHQ_POOL_COUNT.at(pair))
                owned = read(BAR0.CHQ_POOL_TAIL.at(pair)) - read(BAR0.CHQ_POOL_HEAD.at(pair))
                assert owned % count == count - 1
            assert read(BAR0.CHM_BLOCKS_HIGH.offset) <= read(BAR0.CHM_MAX_BLOCKS.offset) // 4
            bench.adapter.halt()
            assert bench.system.iommu.mapped == []
            bench.start()


@pytest.mark.parametrize("interrupt", ["msix", "line"])
def test_a_reset_loses_what_was_offloaded_and_nothing_else(interrupt: str) -> None:
    with ChimneyBench(interrupt=interrupt) as bench:
        connection = load(bench)
        bench.adapter.reset()
        bench.settle()
        lost_everything(bench, connection)
        bench.transmitted.clear()
        (again,) = bench.connect()
        again.send(b"works")
        assert again.acknowledge() == b"works"


def test_commands_under_way_when_the_card_is_reset_fail() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        assert bench.path_block is not None
        bench.device.is_manual = True
        fresh = tcp(40001)
        query = block_of(
            TYPE.TCP_DELEGATED, handle=connection.handle, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED()
        )
        root = block_of(TYPE.NONE, fresh, handle=bench.path_block.OffloadHandle)
        fresh.NetBufferListChain = bench.nbl(b"comes back")
        bench.enlist(fresh)
        bench.control("query", query, settles=False)
        bench.control("initiate", root, settles=False)
        bench.adapter.reset()
        bench.device.is_manual = False
        bench.settle()
        assert query.Status == FAILURE
        assert [each.Status for each in tree(root)] == [FAILURE, FAILURE]
        del bench.connections[fresh.OffloadHandle]
        assert connection.terminate().Status == FAILURE


@pytest.mark.requirement("INV-2", "INV-3")
def test_a_tree_half_offloaded_when_the_card_is_reset_leaves_nothing() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        assert bench.path_block is not None
        bench.device.is_manual = True
        first, second = tcp(40001), tcp(40002)
        nbl = first.NetBufferListChain = bench.nbl(b"comes back")
        root = block_of(TYPE.NONE, first, second, handle=bench.path_block.OffloadHandle)
        bench.control("initiate", root, settles=False)
        bench.device.run()  # the first is made, and the second asked for
        bench.settle()
        assert bench.device.read32(BAR0.CHM_CONNECTIONS.offset) == 2
        bench.adapter.reset()
        bench.device.is_manual = False
        bench.settle()
        assert [each.Status for each in tree(root)] == [FAILURE] * 3
        assert (nbl.status, bytes_of(nbl)) == (OK, b"comes back")
        assert [context_of(each) for each in (first, second)] == [None, None]
        assert connection.terminate().Status == FAILURE
        bench.release()
        assert not bench.rings.has_objects
        assert bench.rings.work.used == 0


def test_a_terminate_under_way_when_the_card_is_reset_fails() -> None:
    with ChimneyBench() as bench:
        connection = load(bench)
        bench.device.is_manual = True
        block = connection.ending()
        bench.control("terminate", block, settles=False)
        bench.adapter.reset()
        bench.device.is_manual = False
        bench.settle()
        assert block.Status == FAILURE
        connection.state = block.delegated  # type: ignore[assignment]
        assert {entry[1] for entry in connection.log if entry[0] in ("sent", "received", "disconnected")} == {
            ABORTED
        }
        assert bench.rings.work.used == 0


def test_surprise_removal() -> None:
    bench = ChimneyBench()
    connection = load(bench)
    parked = connection.ending()

    def upload() -> None:
        bench.client.give_back()
        bench.control("terminate", parked, settles=False)
        assert bench.path_block is not None
        assert bench.neighbour_block is not None
        lower = block_of(
            TYPE.IP4_PATH_DELEGATED,
            handle=bench.path_block.OffloadHandle,
            delegated=nd.PATH_OFFLOAD_STATE_DELEGATED(),
        )
        upper = block_of(
            TYPE.NEIGHBOR_DELEGATED,
            lower,
            handle=bench.neighbour_block.OffloadHandle,
            delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(),
        )
        bench.settle()
        bench.control("terminate", upper)

    bench.protocol.on_pause = upload  # type: ignore[attr-defined]
    bench.device.remove()
    bench.adapter.surprise_remove()
    assert bench.adapter.state is AdapterState.HALTED
    assert parked.Status == FAILURE
    assert [entry for entry in connection.log if entry[0] in ("RETRIEVE", "ABORT")] == LOST
    connection.state = parked.delegated  # type: ignore[assignment]
    bench.path_block = bench.neighbour_block = None
    bench.close()


@pytest.mark.requirement("INV-37")
def test_low_power_waits_for_the_terminates() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        block = connection.ending()

        def upload() -> None:
            bench.protocol.on_pause = lambda: None  # type: ignore[attr-defined]
            bench.client.give_back()
            bench.control("terminate", block)
            bench.release()

        bench.protocol.on_pause = upload  # type: ignore[attr-defined]
        assert bench.adapter.set_power(DevicePowerState.D3) == OK
        connection.state = block.delegated  # type: ignore[assignment]
        assert block.Status == OK
        assert bench.adapter.set_power(DevicePowerState.D0) == OK
        bench.settle()
        bench.transmitted.clear()
        (again,) = bench.connect()
        again.send(b"awake")
        assert again.acknowledge() == b"awake"


def test_set_power_pends_while_a_terminate_is_under_way() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        block = connection.ending()
        bench.device.is_manual = True
        bench.control("terminate", block, settles=False)
        request = set_(OID.PNP_SET_POWER, int(DevicePowerState.D0).to_bytes(4, "little"))
        assert bench.miniport.oid_request(request) == NDIS_STATUS.PENDING
        finished: list[NDIS_STATUS] = []
        handle: Any = bench.adapter
        handle.m_oid_request_complete = lambda _, status: finished.append(status)
        bench.device.run()
        bench.device.is_manual = False
        assert finished == []
        bench.settle()
        assert (block.Status, finished) == (OK, [OK])
        connection.state = block.delegated  # type: ignore[assignment]


@pytest.mark.requirement("INV-41", "PROG-31")
def test_a_card_short_of_blocks_asks_for_a_pause() -> None:
    with ChimneyBench(device={"chimney_bytes": 1 << 18}) as bench:
        (connection,) = bench.connect()
        free = bench.device.read32(BAR0.CHM_FREE_BLOCKS.offset)
        bench.device.write32(BAR0.CHM_BLOCKS_HIGH.offset, free)
        bench.device.write32(BAR0.CHM_BLOCKS_LOW.offset, free)
        connection.receive(b"out of order", seq=connection.peer.seq + 100, flags=PUSH)
        assert indications(bench) == [NDIS_STATUS.OFFLOAD_PAUSE]
        assert bench.path_block is not None
        late = block_of(TYPE.NONE, tcp(40001), handle=bench.path_block.OffloadHandle)
        given = for_miniport(late)  # on its way when the pause was indicated: NDIS lets no other through
        fork = bench.rings.ndis = Fork(bench.rings.ndis)
        bench.miniport._chimney.provider.initiate_offload(given)  # type: ignore[attr-defined]
        bench.settle()
        assert fork.completed == []
        connection.receive(b"x" * 100, flags=PUSH)
        connection.peer.seq += 12
        assert indications(bench) == [NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.OFFLOAD_RESUME]
        assert [each.Status for each in tree(given)] == [OK, OK]
        assert connection.stream == b"x" * 100 + b"out of order"
        assert late.DependentBlockList is not None
        assert bench.direct("terminate", ending_of(late.DependentBlockList)) == [OK]
        bench.rings.ndis = fork.ndis


@pytest.mark.requirement("CHM-63", "INV-41", "PROG-31")
def test_a_submission_ring_that_stops_has_everything_uploaded() -> None:
    with ChimneyBench() as bench:
        one, two = bench.connect(tcp(40001), tcp(40002))
        one.send(b"in the card")
        bench.device.write32(BAR0.CHQ_SQ_TAIL.at(0), 1 << 20)
        bench.settle()
        assert indications(bench) == [NDIS_STATUS.UPLOAD_ALL]
        assert one.acknowledge() == b"in the card"
        two.send(b"comes back")
        assert two.told("sent") == [(NDIS_STATUS.UPLOAD_IN_PROGRESS, 0)]
        one.terminate()
        two.terminate()
        bench.release()
        assert indications(bench) == [NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME]
        bench.transmitted.clear()
        (again,) = bench.connect()
        again.send(b"works")
        assert again.acknowledge() == b"works"


@pytest.mark.requirement("INV-11", "INV-41")
@pytest.mark.parametrize("is_told", [False, True], ids=["before UPLOAD_ALL", "after it"])
def test_an_initiate_below_what_is_to_be_uploaded_does_not_wait_for_its_end(is_told: bool) -> None:
    with ChimneyBench(device={"chimney_bytes": 1 << 18}) as bench:
        (connection,) = bench.connect()
        free = bench.device.read32(BAR0.CHM_FREE_BLOCKS.offset)
        bench.device.write32(BAR0.CHM_BLOCKS_HIGH.offset, free)
        bench.device.write32(BAR0.CHM_BLOCKS_LOW.offset, free)
        connection.receive(b"out of order", seq=connection.peer.seq + 100, flags=PUSH)
        assert bench.path_block is not None
        late = block_of(TYPE.NONE, tcp(40001), handle=bench.path_block.OffloadHandle)
        given = for_miniport(late)
        fork = bench.rings.ndis = Fork(bench.rings.ndis)
        steps: list[Callable[[], None]] = [
            lambda: bench.miniport._chimney.provider.initiate_offload(given),  # type: ignore[attr-defined]
            lambda: bench.device.write32(BAR0.CHQ_SQ_TAIL.at(0), 1 << 20),
        ]
        for step in reversed(steps) if is_told else steps:
            step()
            bench.settle()
        assert indications(bench) == [NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL]
        assert [what for what, _ in fork.completed] == ["initiate"]
        assert [each.Status for each in tree(given)] == [FAILURE, FAILURE]
        bench.rings.ndis = fork.ndis
        connection.terminate()
        bench.release()
        assert indications(bench)[2:] == [NDIS_STATUS.OFFLOAD_RESUME]


@pytest.mark.parametrize("break_it", [
    lambda bench: bench.device.write32(BAR0.CHM_ADMIN_TAIL.offset, 1 << 20),
    lambda bench: bench.device.write32(BAR0.CHQ_POOL_TAIL.at(0), 1 << 20),
    lambda bench: bench.device.write32(BAR0.QP_RX_TAIL.at(0), 1 << 20),
])  # fmt: skip
def test_a_ring_that_stops_takes_the_chimney_with_it_and_it_comes_back(
    break_it: Callable[[ChimneyBench], None],
) -> None:
    with ChimneyBench() as bench:
        connection = load(bench)
        break_it(bench)
        bench.settle()
        lost_everything(bench, connection)
        bench.transmitted.clear()
        (again,) = bench.connect()
        again.send(b"works")
        assert again.acknowledge() == b"works"


def test_a_halt_under_load_leaves_nothing() -> None:
    bench = ChimneyBench()
    connection = load(bench)
    block = connection.ending()

    def upload() -> None:
        bench.control("terminate", block)
        bench.release()
        bench.client.give_back()

    bench.protocol.on_pause = upload  # type: ignore[attr-defined]
    bench.adapter.halt()
    assert block.Status == OK
    connection.state = block.delegated  # type: ignore[assignment]
    state = block.delegated
    assert isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED)
    assert state.BufferedData is None
    assert bench.system.iommu.mapped == []
    bench.path_block = None
    bench.close()


@pytest.mark.requirement("INV-50")
def test_statistics_count_offloaded_traffic_and_survive_a_reset() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"x" * 3000)
        connection.acknowledge()
        connection.receive(b"y", flags=PUSH)
        before = TcpOffloadStats.parse(bench.query(OID.TCP4_OFFLOAD_STATS))
        assert before.out_segments >= 3
        assert before.currently_established == 1
        assert IpOffloadStats.parse(bench.query(OID.IP4_OFFLOAD_STATS)).out_octets > 3000
        assert TcpOffloadStats.parse(bench.query(OID.TCP6_OFFLOAD_STATS)) == TcpOffloadStats()
        bench.adapter.reset()
        bench.settle()
        after = TcpOffloadStats.parse(bench.query(OID.TCP4_OFFLOAD_STATS))
        assert (after.out_segments, after.in_segments) == (before.out_segments, before.in_segments)
        assert after.currently_established == 0
        assert bench.request(set_(OID.TCP4_OFFLOAD_STATS, b"")) == OK
        assert TcpOffloadStats.parse(bench.query(OID.TCP4_OFFLOAD_STATS)) == TcpOffloadStats()


@pytest.mark.requirement("PROG-26")
def test_connection_parameters_reach_the_card_while_nothing_is_offloaded() -> None:
    def change(**members: int) -> NDIS_STATUS:
        wanted = TcpConnectionOffloadParameters(**members)
        return bench.request(set_(OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, wanted.pack()))

    with ChimneyBench() as bench:
        assert change(push_ticks=50, ticks_per_second=100, delayed_ack_ticks=4) == OK
        assert bench.device.read32(BAR0.CHM_PUSH_TICKS.offset) == 50
        assert change(ack_frequency=0) == NDIS_STATUS.INVALID_DATA
        assert bench.device.read32(BAR0.CHM_ACK_FREQUENCY.offset) == 2
        (connection,) = bench.connect()
        assert change(push_ticks=60) == NDIS_STATUS.INVALID_STATE
        connection.post(10)
        connection.receive(b"abc", flags=packet.ACK)
        bench.advance(499_000_000)
        assert connection.told("received") == []
        bench.advance(2_000_000)
        assert connection.told("received") == [(OK, 3)]


@pytest.mark.parametrize("keywords", [{"*TCPConnectionOffloadIPv4": 0, "*TCPConnectionOffloadIPv6": 0}, {}])
def test_an_adapter_without_a_chimney(keywords: dict[str, int]) -> None:
    device = {} if keywords else {"connections": 0}
    from vnic.testbench import Bench  # noqa: PLC0415

    with Bench(keywords=keywords, device=device) as bench:
        assert bench.miniport.card.chimney is None  # type: ignore[attr-defined]
        assert bench.adapter.chimney.capabilities is None
        supported = bench.adapter.oids.known.general.supported_oids
        assert OID.TCP4_OFFLOAD_STATS not in supported
