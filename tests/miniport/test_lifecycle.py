"""The adapter's states under traffic: every NBL comes back, and nothing is left behind."""

from __future__ import annotations

import pytest

from vnic.gen.registers import BAR0
from vnic.miniport import Adapter
from vnic.ndis.attributes import PnpEvent, ShutdownAction
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, LinkState, MediaConnectState
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame, tcp_frame

LEVELS = ["msix", "msi", "line"]
OK = NDIS_STATUS.SUCCESS
SMALL = {"*TransmitBuffers": 8, "*ReceiveBuffers": 16}


def load(bench: Bench, count: int = 20) -> None:
    """Frames in the card and sends in and behind the rings, none of them looked at yet."""
    bench.device.is_manual = True
    bench.receive(*[plain_frame(100, n) for n in range(count)])
    for n in range(count):
        bench.send(plain_frame(90, n), context=n)


def let_go(bench: Bench) -> None:
    """The card works again."""
    bench.device.is_manual = False


def works(bench: Bench) -> None:
    """Frames go through in both directions."""
    bench.protocol.received.clear()
    bench.transmitted.clear()
    bench.receive(tcp_frame(b"in"))
    bench.send(plain_frame(99, 1))
    bench.settle()
    assert bench.received == [tcp_frame(b"in")]
    assert bench.transmitted == [plain_frame(99, 1)]


@pytest.mark.requirement("PROG-21")
@pytest.mark.parametrize("interrupt", LEVELS)
def test_bring_up_and_halt_again_and_again(interrupt: str) -> None:
    with Bench(interrupt=interrupt) as bench:
        for _ in range(3):
            works(bench)
            bench.adapter.halt()
            assert bench.system.iommu.mapped == []
            bench.start()
        works(bench)


@pytest.mark.parametrize("interrupt", LEVELS)
def test_pause_under_traffic_waits_for_sends_and_returns(interrupt: str) -> None:
    with Bench(interrupt=interrupt, keywords=SMALL) as bench:
        bench.protocol.keeps_nbls = True
        load(bench)
        let_go(bench)
        bench.adapter.pause()
        assert bench.adapter.state is AdapterState.PAUSED
        assert sorted(sent.context for sent in bench.protocol.sent) == list(range(20))  # type: ignore[type-var]
        assert bench.protocol.held == []
        count = len(bench.received)
        bench.receive(plain_frame(100))
        bench.settle()
        assert len(bench.received) == count, "a paused adapter indicates nothing"
        assert bench.adapter.restart() == OK
        bench.protocol.keeps_nbls = False
        works(bench)


def test_sends_to_a_paused_miniport_end_paused() -> None:
    with Bench() as bench:
        bench.adapter.pause()
        bench.inject(plain_frame(80))
        bench.settle()
        assert [status for _, status in bench.injector.completed] == [NDIS_STATUS.PAUSED]
        assert bench.transmitted == []
        bench.adapter.restart()
        works(bench)


def test_sends_that_wait_when_the_miniport_is_paused_end_paused() -> None:
    with Bench(queues=1, cpus=1, keywords=SMALL) as bench:
        bench.device.is_manual = True
        for n in range(20):
            bench.inject(plain_frame(80, n))
        bench.device.is_manual = False
        bench.adapter.pause()
        statuses = [status for _, status in bench.injector.completed]
        assert statuses.count(NDIS_STATUS.PAUSED) == 13
        assert statuses.count(OK) == 7
        assert len(bench.transmitted) == 7
        bench.adapter.restart()


@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.requirement("PROG-23")
def test_reset_under_traffic_ends_every_send_and_the_card_works_as_configured(interrupt: str) -> None:
    with Bench(interrupt=interrupt, keywords=SMALL, strict_rss=True) as bench:
        assert bench.set_rss((3, 1)) == OK
        bench.protocol.keeps_nbls = True
        bench.receive(*[tcp_frame(b"before", ports=(n, 80)) for n in range(5)])
        bench.settle()
        load(bench)
        bench.adapter.reset()
        let_go(bench)
        bench.settle()
        assert len(bench.protocol.sent) == 20
        assert {sent.status for sent in bench.protocol.sent} <= {OK, NDIS_STATUS.RESET_IN_PROGRESS}
        assert len(bench.protocol.held) == 5, "what protocols hold survives a reset"
        bench.protocol.keeps_nbls = False
        bench.protocol.release()
        works(bench)
        bench.protocol.received.clear()
        bench.receive(*[tcp_frame(b"after", ports=(n, 80)) for n in range(20)])
        bench.settle()
        assert {frame.cpu for frame in bench.protocol.received} == {1, 3}
        assert NDIS_STATUS.RESET_END in [each.status for each in bench.protocol.statuses]


def test_statistics_go_on_over_a_reset() -> None:
    with Bench() as bench:
        bench.receive(plain_frame(100))
        bench.settle()
        bench.adapter.reset()
        bench.receive(plain_frame(100))
        bench.settle()
        assert int.from_bytes(bench.query(OID.GEN_DIRECTED_FRAMES_RCV, 8), "little") == 2


def test_a_healthy_adapter_is_never_reset() -> None:
    with Bench() as bench:
        for _ in range(5):
            works(bench)
            bench.advance(3_000_000_000)
        assert int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little") == 0


def test_a_card_that_stops_sending_is_reset_by_the_hang_check() -> None:
    with Bench() as bench:
        bench.device.write32(BAR0.MAC_TX_CTRL.offset, 0)
        bench.send(plain_frame(80))
        bench.advance(10_000_000_000)
        assert [sent.status for sent in bench.protocol.sent] == [NDIS_STATUS.RESET_IN_PROGRESS]
        assert int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little") == 1
        works(bench)


@pytest.mark.requirement("PROG-16", "PROG-22")
@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.parametrize("doorbell", ["QP_RX_TAIL", "QP_TX_TAIL", "QP_CQ_TAIL"])
def test_a_ring_that_stopped_is_started_again(interrupt: str, doorbell: str) -> None:
    with Bench(interrupt=interrupt, queues=2, cpus=2) as bench:
        bench.device.write32(BAR0.MAP[doorbell].offset, 0xFFFF)
        bench.settle()
        assert int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little") == 0
        works(bench)


@pytest.mark.requirement("PROG-24")
@pytest.mark.parametrize("interrupt", LEVELS)
def test_low_power_and_back(interrupt: str) -> None:
    with Bench(interrupt=interrupt, strict_rss=True) as bench:
        assert bench.set_rss((2, 3)) == OK
        bench.request(set_(OID.O802_3_MULTICAST_LIST, bytes.fromhex("01005e000001")))
        assert bench.adapter.set_power(DevicePowerState.D3) == OK
        assert bench.device.config_read(0x44) & 3 == 3
        bench.receive(plain_frame(80))
        bench.inject(plain_frame(80))
        bench.settle()
        assert [status for _, status in bench.injector.completed] == [NDIS_STATUS.LOW_POWER_STATE]
        assert bench.received == []
        assert bench.adapter.set_power(DevicePowerState.D0) == OK
        works(bench)
        bench.protocol.received.clear()
        bench.receive(*[tcp_frame(b"x", ports=(n, 80)) for n in range(16)])
        bench.settle()
        assert {frame.cpu for frame in bench.protocol.received} == {2, 3}


def test_in_low_power_the_last_statistics_are_known_and_nothing_can_be_set() -> None:
    with Bench() as bench:
        bench.receive(plain_frame(100))
        bench.settle()
        assert bench.adapter.set_power(DevicePowerState.D3) == OK
        assert int.from_bytes(bench.query(OID.GEN_RCV_OK, 8), "little") == 1
        assert bench.request(set_(OID.GEN_VLAN_ID, bytes(4))) == NDIS_STATUS.LOW_POWER_STATE
        assert bench.adapter.set_power(DevicePowerState.D0) == OK
        assert bench.request(set_(OID.GEN_VLAN_ID, bytes(4))) == OK
        works(bench)


def test_a_link_that_went_down_in_low_power_is_reported_at_d0() -> None:
    with Bench() as bench:
        bench.adapter.set_power(DevicePowerState.D3)
        bench.device.set_link(0)
        bench.adapter.set_power(DevicePowerState.D0)
        bench.settle()
        assert bench.adapter.link_state.connect is MediaConnectState.DISCONNECTED


def test_halt_in_low_power() -> None:
    with Bench() as bench:
        bench.adapter.set_power(DevicePowerState.D3)
        bench.adapter.halt()
        assert bench.adapter.state is AdapterState.HALTED


def test_a_line_interrupt_of_another_device_is_not_claimed() -> None:
    with Bench(interrupt="line") as bench:
        assert isinstance(bench.miniport, Adapter)
        interrupts = bench.miniport.card.interrupts
        assert not interrupts.service(0).is_claimed
        bench.device.remove()
        assert not interrupts.service(0).is_claimed, "all ones are no cause"
        bench.adapter.surprise_remove()


@pytest.mark.requirement("PROG-25", "RST-9")
@pytest.mark.parametrize("interrupt", LEVELS)
def test_surprise_removal_under_traffic(interrupt: str) -> None:
    with Bench(interrupt=interrupt, keywords=SMALL) as bench:
        bench.protocol.keeps_nbls = True
        bench.receive(*[plain_frame(80, n) for n in range(3)])
        bench.settle()
        load(bench)
        bench.device.remove()
        let_go(bench)
        bench.adapter.surprise_remove()
        bench.settle()
        assert len(bench.protocol.sent) == 20
        ended = {sent.status for sent in bench.protocol.sent}
        assert NDIS_STATUS.ADAPTER_REMOVED in ended
        assert bench.adapter.state is AdapterState.HALTED


def test_a_removal_that_nobody_reports_is_noticed_by_the_hang_check() -> None:
    with Bench(keywords=SMALL) as bench:
        load(bench)
        bench.device.remove()
        let_go(bench)
        bench.advance(5_000_000_000)
        assert len(bench.protocol.sent) == 20
        assert bench.adapter.state is AdapterState.HALTED


def test_shutdown_leaves_the_card_as_after_a_reset() -> None:
    with Bench() as bench:
        bench.adapter.shutdown(ShutdownAction.POWER_OFF)
        assert bench.device.read32(BAR0.QP_CQ_CTRL.offset) == 0
        assert bench.device.read32(BAR0.INT_CTRL.offset) == 0
        assert not bench.device.config_read(4) & 4
        bench.abandon()


@pytest.mark.requirement("PROG-16")
def test_link_changes_are_indicated_with_speed() -> None:
    with Bench() as bench:
        bench.device.set_link(0)
        bench.settle()
        bench.device.set_link(25_000)
        bench.settle()
        links = [
            LinkState.parse(each.buffer)
            for each in bench.protocol.statuses
            if each.status == NDIS_STATUS.LINK_STATE
        ]
        assert [link.connect for link in links] == [
            MediaConnectState.DISCONNECTED,
            MediaConnectState.CONNECTED,
        ]
        assert links[1].xmit_speed_bps == 25_000_000_000
        assert LinkState.parse(bench.query(OID.GEN_LINK_STATE, 40)) == links[1]


def test_a_link_that_is_down_at_the_start() -> None:
    with Bench(link_mbps=0) as bench:
        assert LinkState.parse(bench.query(OID.GEN_LINK_STATE, 40)).connect is MediaConnectState.DISCONNECTED
        bench.device.set_link(1000)
        bench.settle()
        works(bench)


def test_other_pnp_events_change_nothing() -> None:
    with Bench() as bench:
        for event in (PnpEvent.QUERY_REMOVED, PnpEvent.POWER_PROFILE_CHANGED):
            bench.adapter.notify_pnp(event)
        works(bench)
