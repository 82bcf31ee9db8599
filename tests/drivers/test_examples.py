"""The two example drivers side by side: what a small driver has to get right, each point once."""

from __future__ import annotations

import pytest

from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import MediaConnectState, StatisticsInfo
from vnic.testbench.bench import Bench
from vnic.testbench.driver import Driver, load_driver

from .conftest import EXAMPLES

HEAD = bytes.fromhex("ffffffffffff0200000000020800")
FRAMES = [HEAD + bytes([number]) * (50 + number) for number in range(250)]


@pytest.fixture(params=["minimal.py", "minimal.so"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of them."""
    if request.param == "minimal.py":
        return load_driver(f"{EXAMPLES / 'minimal.py'}:Minimal")
    return load_driver(str(request.getfixturevalue("minimal")))


def bench_of(driver: Driver, **parameters: object) -> Bench:
    """One machine with the driver."""
    return Bench(miniport=driver.make, queues=1, **parameters)  # type: ignore[arg-type]


@pytest.mark.requirement("DRV-16")
@pytest.mark.parametrize(("interrupt", "seed"), [("msix", None), ("line", 1), ("msi", 2)])
def test_more_frames_than_the_ring_holds(driver: Driver, interrupt: str, seed: int | None) -> None:
    with bench_of(driver, interrupt=interrupt, seed=seed) as bench:
        for start in range(0, 250, 50):
            bench.receive(*FRAMES[start : start + 50])
            bench.settle()
        assert bench.received == FRAMES
        bench.protocol.send_chain(FRAMES)
        bench.settle()
        assert bench.transmitted == FRAMES


def test_a_pause_waits_for_what_protocols_keep(driver: Driver) -> None:
    with bench_of(driver) as bench:
        bench.protocol.keeps_nbls = True
        bench.receive(*FRAMES[:100])
        bench.settle()
        assert len(bench.protocol.held) == 100
        bench.adapter.pause()
        assert bench.adapter.state is AdapterState.PAUSED
        bench.receive(FRAMES[0])
        bench.inject(FRAMES[1])
        assert [nbl.status for nbl, _ in bench.injector.completed] == [NDIS_STATUS.PAUSED]
        bench.adapter.restart()
        bench.receive(FRAMES[2])
        bench.settle()
        assert bench.received[100:] == [FRAMES[2]]


def test_what_waits_can_be_cancelled(driver: Driver) -> None:
    with bench_of(driver, manual=True) as bench:
        bench.protocol.send_chain(FRAMES, cancel_id="these")
        bench.protocol.bindings[0].cancel_send_net_buffer_lists("these")
        aborted = [sent for sent in bench.protocol.sent if sent.status == NDIS_STATUS.SEND_ABORTED]
        assert len(aborted) >= 250 - 128
        bench.device.is_manual = False
        bench.settle()
        assert len(bench.transmitted) == 250 - len(aborted)


def test_a_send_that_does_not_end_leads_to_a_reset(driver: Driver) -> None:
    with bench_of(driver, manual=True) as bench:
        bench.protocol.send_chain(FRAMES[:3])
        bench.advance(30_000_000_000)
        assert bench.adapter.oids.known.resets >= 1
        bench.device.is_manual = False
        bench.settle()
        assert bench.protocol.sends_outstanding == 0
        bench.receive(FRAMES[7])
        bench.settle()
        assert bench.received == [FRAMES[7]]


def test_a_packet_that_no_frame_can_carry(driver: Driver) -> None:
    with bench_of(driver) as bench:
        bench.send(HEAD[:13])
        bench.send(HEAD + bytes(1501))
        bench.send(HEAD + bytes(1500))
        bench.settle()
        statuses = [sent.status for sent in bench.protocol.sent]
        assert statuses == [NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.SUCCESS]


def test_the_link_is_reported(driver: Driver) -> None:
    with bench_of(driver) as bench:
        bench.device.set_link(0)
        bench.settle()
        assert bench.adapter.link_state.connect is MediaConnectState.DISCONNECTED
        bench.send(FRAMES[0])
        bench.settle()
        assert bench.protocol.sent[-1].status == NDIS_STATUS.MEDIA_DISCONNECTED
        bench.device.set_link(25_000)
        bench.settle()
        assert bench.adapter.link_state.xmit_speed_bps == 25_000_000_000


def test_counters_and_requests(driver: Driver) -> None:
    with bench_of(driver) as bench:
        bench.receive(*FRAMES[:5])
        bench.send(*FRAMES[:3])
        bench.settle()
        statistics = StatisticsInfo.parse(bench.query(OID.GEN_STATISTICS))
        assert statistics.if_hc_in_broadcast_pkts == 5
        assert statistics.if_hc_out_broadcast_octets == sum(map(len, FRAMES[:3]))
        assert bench.request(query(OID.GEN_VENDOR_ID, 3)) == NDIS_STATUS.BUFFER_TOO_SHORT
        assert bench.request(query(OID.GEN_INTERRUPT_MODERATION, 12)) == NDIS_STATUS.SUCCESS


def test_surprise_removal_in_the_midst_of_traffic(driver: Driver) -> None:
    with bench_of(driver, manual=True) as bench:
        bench.protocol.send_chain(FRAMES)
        bench.device.remove()
        bench.adapter.surprise_remove()
        assert bench.adapter.state is AdapterState.HALTED
        assert NDIS_STATUS.SUCCESS not in {sent.status for sent in bench.protocol.sent}
