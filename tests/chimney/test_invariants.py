"""What a driver developer gets wrong most easily: a short scene for each, through NDIS, miniport and card."""

from __future__ import annotations

from typing import Any

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from tests.nic.chimney.driver import Driver
from vnic.errors import AllocationError
from vnic.gen.descriptors import ChmCommand, ChmTcp
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0
from vnic.ndis import chimney as nd
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.chimney.blocks import (
    FAILURE,
    OK,
    PARTIAL,
    TYPE,
    UPLOAD,
    Block,
    block_of,
    bytes_of,
    context_of,
    neighbour,
    tcp,
    tree,
)
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH
FIN = packet.ACK | packet.FIN


def below_path(bench: ChimneyBench, *blocks: Block) -> Block:
    """A linker to the bench's path over new connections, which are enlisted."""
    for block in blocks:
        bench.enlist(block)
    assert bench.path_block is not None
    return block_of(TYPE.NONE, *blocks, handle=bench.path_block.OffloadHandle)


def forget(bench: ChimneyBench, *blocks: Block) -> None:
    """They were not offloaded, so there is nothing to terminate."""
    for block in blocks:
        del bench.connections[block.OffloadHandle]


def interrupt(bench: ChimneyBench) -> None:
    """What the card has done by itself is announced; it does nothing more."""
    bench.device.is_manual = False
    bench.device.read32(BAR0.CHM_STATUS.offset)
    bench.device.is_manual = True


def cached_of(connection: Connection) -> object:
    """CACHED as the target tells it."""
    asked = block_of(TYPE.TCP_CACHED, handle=connection.handle, cached=nd.TCP_OFFLOAD_STATE_CACHED())
    assert connection.bench.control("query", asked) == [OK]
    return asked.cached


def update(connection: Connection, cached: nd.TCP_OFFLOAD_STATE_CACHED) -> list[Any]:
    """Statuses of an update."""
    block = block_of(TYPE.TCP_CACHED, handle=connection.handle, cached=cached)
    return connection.bench.control("update", block)


# -- trees ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-1", "INV-4")
def test_siblings_behind_a_node_that_failed_are_offloaded() -> None:
    with ChimneyBench() as bench:
        bench.connect()
        bad, good = tcp(40001, cached={"InitialRcvWnd": 1 << 31}), tcp(40002)
        statuses = bench.control("initiate", below_path(bench, bad, good))
        assert statuses == [PARTIAL, NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW, OK]
        forget(bench, bad)


@pytest.mark.requirement("INV-1", "INV-2")
def test_a_placeholder_has_success_though_the_card_is_reset() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        fresh = tcp(40001)
        root = block_of(TYPE.NONE, below_path(bench, fresh))
        bench.device.is_manual = True
        bench.control("initiate", root, settles=False)
        bench.adapter.reset()
        bench.device.is_manual = False
        bench.settle()
        assert [each.Status for each in tree(root)] == [OK, FAILURE, FAILURE]
        assert context_of(fresh) is None
        forget(bench, fresh)
        assert connection.terminate().Status == FAILURE


@pytest.mark.requirement("INV-2", "INV-3")
def test_a_connection_that_was_made_and_lost_leaves_its_sends_alone() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        first, second = tcp(40001), tcp(40002)
        nbl = first.NetBufferListChain = bench.nbl(b"comes back")
        bench.device.is_manual = True
        root = below_path(bench, first, second)
        bench.control("initiate", root, settles=False)
        bench.device.run()
        interrupt(bench)
        known = len(bench.rings._objects)
        bench.settle()
        assert len(bench.rings._objects) == known + 1
        bench.adapter.reset()
        bench.device.is_manual = False
        bench.settle()
        assert [each.Status for each in tree(root)] == [FAILURE] * 3
        assert (nbl.status, bytes_of(nbl)) == (OK, b"comes back")
        assert [context_of(each) for each in (first, second)] == [None, None]
        forget(bench, first, second)
        assert connection.terminate().Status == FAILURE


@pytest.mark.requirement("INV-6")
def test_the_first_of_two_connections_is_silent_while_the_second_is_made() -> None:
    with ChimneyBench() as bench:
        bench.connect()
        first, second = tcp(40001), tcp(40002)
        root = below_path(bench, first, second)
        connection = bench.connections[first.OffloadHandle]
        bench.device.is_manual = True
        bench.control("initiate", root, settles=False)
        bench.device.run()
        connection.receive(b"at once", flags=PUSH, settles=False)
        bench.device.run()
        interrupt(bench)
        bench.settle()
        assert bench.rings.commands.outstanding == 1
        assert connection.log == []
        bench.device.is_manual = False
        bench.settle()
        assert connection.stream == b"at once"


@pytest.mark.requirement("INV-10", "INV-42")
def test_cached_values_are_told_as_they_were_given() -> None:
    given: dict[str, Any] = {
        "InitialRcvWnd": 65535, "TtlOrHopLimit": 64, "RcvIndicationSize": 4000, "KaProbeCount": 3,
        "KaTimeout": 7001, "KaInterval": 503, "MaxRT": 60001, "TosOrTrafficClass": 8,
    }  # fmt: skip
    with ChimneyBench() as bench:
        (connection,) = bench.connect(tcp(cached=given))
        assert cached_of(connection) == nd.TCP_OFFLOAD_STATE_CACHED(**given)
        changed = given | {"RcvIndicationSize": 100, "KaTimeout": 9, "MaxRT": 77, "TtlOrHopLimit": 3}
        assert update(connection, nd.TCP_OFFLOAD_STATE_CACHED(**changed)) == [OK]
        assert cached_of(connection) == nd.TCP_OFFLOAD_STATE_CACHED(**changed)
        too_large = nd.TCP_OFFLOAD_STATE_CACHED(**given | {"InitialRcvWnd": 1 << 31})
        assert update(connection, too_large) == [FAILURE]
        assert cached_of(connection) == nd.TCP_OFFLOAD_STATE_CACHED(**changed)
        connection.send(b"goes on")
        assert [each.ip[8] for each in connection.sent()] == [3]


# -- sends ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-14")
def test_send_variables_are_in_order_while_data_is_in_flight() -> None:
    with Driver() as driver:
        connection = driver.connect(snd_wnd=3000)
        there = 0
        for size in (1000, 3000, 500):
            connection.send(bytes(size))
            there += sum(len(each.payload) for each in connection.sent())
            image = connection.query()
            assert image.snd_una <= image.snd_nxt <= image.snd_max
            assert (image.snd_una, image.snd_max) == (ISS, ISS + there)
        connection.peer.ack = ISS + 1200
        connection.receive()
        _, image = connection.terminate()
        assert image.snd_una == ISS + 1200
        assert image.snd_una <= image.snd_nxt <= image.snd_max


@pytest.mark.requirement("INV-17")
def test_a_send_of_no_bytes_fails_behind_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()

        def no_mapping(*_: object) -> None:
            raise AllocationError("no mapping")

        monkeypatch.setattr(bench.system, "map", no_mapping)
        connection.send(b"cannot be mapped", b"", b"nor this")
        monkeypatch.undo()
        assert connection.told("sent") == [(UPLOAD, 0)] * 3


# -- data ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-23")
def test_who_comes_while_the_host_is_told_leaves_it_to_the_first() -> None:
    """A processor that finds the connection in its list while another one is inside the receive handler."""
    with ChimneyBench() as bench:
        (connection,) = bench.connect(tcp(cached={"RcvIndicationSize": 1}))
        miniports: Any = context_of(connection.block)
        inside: list[str] = []

        def another_processor(what: str, handle: object) -> None:
            inside.append(what)
            miniports.run()
            inside.pop()
            assert inside == []

        bench.client.during = another_processor
        connection.receive(b"one", flags=PUSH, settles=False)
        connection.receive(b"two", flags=PUSH, settles=False)
        bench.settle()
        assert connection.told("indicate") == [(3,), (3,)]
        assert connection.stream == b"onetwo"


@pytest.mark.requirement("INV-24")
def test_what_was_refused_goes_into_a_receive_before_anything_is_indicated() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.accepts = lambda data: 0
        connection.receive(b"refused", flags=PUSH)
        connection.post(3, 4, no_push=True)
        assert connection.told("indicate") == [(7,)]
        assert connection.told("received") == [(OK, 3), (OK, 4)]


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-28")
def test_the_fin_waits_for_data_that_waits_for_a_pool_buffer() -> None:
    with Driver(pool_posted=1) as driver:
        driver.keeps_pool = True
        connection = driver.connect()
        connection.receive(b"first", flags=PUSH)
        connection.receive(b"second", flags=PUSH)
        connection.receive(flags=FIN)
        assert driver.events() == []
        assert bytes(connection.data) == b"first"
        driver.post_pool(0, driver.pool_buffers[0].address + driver.pool_len)
        assert [event.event for event in driver.events()] == [ChmEvent.FIN]
        assert bytes(connection.data) == b"firstsecond"


@pytest.mark.requirement("INV-36")
@pytest.mark.parametrize("is_invalidated", [False, True])
def test_what_was_received_is_there_until_the_terminate(is_invalidated: bool) -> None:
    with Driver(pool_posted=1) as driver:
        driver.keeps_pool = True
        connection, other = driver.connect(), driver.connect(local_port=81)
        connection.receive(b"in the pool, ")
        connection.receive(b"in the card")
        other.post(100)
        other.receive(b"in a receive")
        if is_invalidated:
            for each in (connection, other):
                assert driver.invalidate(ChmObject.TCP, each.handle).status == ChmStatus.OK
            assert other.terminate()[0].placed == 12
        else:
            connection.receive(flags=packet.RST | packet.ACK)
        driver.poll()
        assert bytes(connection.data) == b"in the pool, "
        driver.post_pool(0, driver.pool_buffers[0].address + driver.pool_len)
        connection.terminate()
        driver.poll()
        assert bytes(connection.data) == b"in the pool, in the card"


@pytest.mark.requirement("INV-38")
def test_what_comes_while_a_terminate_waits_goes_the_plain_way() -> None:
    with Driver(pool_posted=1) as driver:
        driver.keeps_pool = True
        connection = driver.connect()
        connection.receive(b"in the pool, ")
        connection.receive(b"in the card")
        out = driver.image_memory.address + 1024
        driver.command(
            ChmCommand(
                op=ChmOp.TERMINATE, object=ChmObject.TCP, handle=connection.handle, cookie=99, out_addr=out,
                out_len=ChmTcp.SIZE,
            )
        )  # fmt: skip
        late = connection.peer.frame(b"too late")
        driver.rig.inject(late)
        driver.poll()
        assert [each.data for each in driver.frames] == [late]
        driver.post_pool(0, driver.pool_buffers[0].address + driver.pool_len)
        assert driver.completion_of(99).status == ChmStatus.OK
        assert bytes(connection.data) == b"in the pool, in the card"


@pytest.mark.requirement("INV-45")
@pytest.mark.parametrize("vlan", [6, 9])
def test_a_vlan_that_is_not_the_interfaces(vlan: int) -> None:
    with ChimneyBench(keywords={"*PriorityVLANTag": 3}) as bench:
        assert bench.request(set_(OID.GEN_VLAN_ID, (7).to_bytes(4, "little"))) == OK
        assert bench.control("initiate", neighbour(VlanId=vlan)) == [NDIS_STATUS.OFFLOAD_VLAN_MISMATCH]
        assert not bench.rings.has_objects


@pytest.mark.requirement("INV-48")
def test_both_counts_of_the_persist_timer_come_back() -> None:
    with Driver() as driver:
        probing: dict[str, Any] = {
            "snd_wnd_probe_count": 3,
            "retransmit_count": 1,
            "retransmit_timeout_delta": 500,
        }
        connection = driver.connect(snd_wnd=0, srtt=400, rtt_var=100, sends=[b"waits"], **probing)
        image = connection.query()
        assert (image.snd_wnd_probe_count, image.retransmit_count) == (3, 1)
        _, image = connection.terminate()
        assert (image.snd_wnd_probe_count, image.retransmit_count) == (3, 1)


@pytest.mark.requirement("INV-50")
def test_a_half_closed_connection_counts_as_established() -> None:
    with Driver() as driver:
        connection = driver.connect()
        assert driver.stat("TCP4_ESTABLISHED") == 1
        connection.receive(flags=FIN)
        assert driver.stat("TCP4_ESTABLISHED") == 1
        connection.disconnect()
        assert driver.stat("TCP4_ESTABLISHED") == 0


@pytest.mark.requirement("INV-29", "INV-39")
@pytest.mark.parametrize("payload", [b"", b"a delayed ACK is owed"])
def test_a_terminate_resets_nobody(payload: bytes) -> None:
    with Driver() as driver:
        connection = driver.connect()
        connection.send(b"in flight")
        connection.receive(payload)
        connection.sent()
        connection.terminate()
        sent = connection.sent()
        assert not any(each.flags & packet.RST for each in sent)
        assert [each.ack for each in sent] == ([connection.peer.seq] if payload else [])


@pytest.mark.requirement("INV-31")
def test_a_disconnect_that_fits_waits_for_a_send_that_does_not() -> None:
    with ChimneyBench(device={"chimney_work": 16}) as bench:
        (connection,) = bench.connect()
        miniports: Any = context_of(connection.block)
        sends = [bytes([n]) * 60 for n in range(4)]
        for number, each in enumerate(sends):
            connection.send(each, cuts=(10,) * 4 if number else ())
        assert miniports.sending.is_waiting
        assert bench.rings.work.take_send(1)
        bench.rings.work.give_send(1)
        connection.disconnect()
        data = b""
        while part := connection.acknowledge():
            data += part
        assert data == b"".join(sends)
        told = [entry[:2] for entry in connection.log if entry[0] in ("sent", "disconnected")]
        assert told == [("sent", OK)] * 4 + [("disconnected", OK)]


# -- processors ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-57")
def test_a_connection_speaks_where_the_table_of_now_says() -> None:
    with ChimneyBench(queues=4, cpus=4) as bench:
        assert bench.set_rss((0, 1, 2, 3)) == OK
        connections = bench.connect(*[tcp(40000 + n, n) for n in range(4)])
        for table in ((3, 2, 1, 0), (2, 2, 1, 1)):
            assert bench.set_rss(table) == OK
            for number, connection in enumerate(connections):
                connection.cpus.clear()
                connection.send(b"x")
                connection.acknowledge()
                connection.receive(b"y", flags=PUSH)
                assert set(connection.cpus) == {table[number]}
