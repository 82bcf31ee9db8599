"""The books that `vnic_plain_*.h` keep for a driver, whatever its card leaves out or makes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query, set_
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatisticsInfo
from vnic.testbench.bench import Bench
from vnic.testbench.driver import load_driver

from .conftest import Build

HERE = Path(__file__).parent
FRAMES = [bytes.fromhex("ffffffffffff0200000000020800") + bytes([number]) * 60 for number in range(250)]
RESET_AFTER_NS = 30_000_000_000


@pytest.fixture(scope="module")
def bare(build: Build) -> Path:
    """A driver with open and close."""
    return build(HERE / "bare.c")


@pytest.fixture(scope="module")
def liar(build: Build) -> Path:
    """The example over a card that reports too much."""
    return build(HERE / "liar.c")


def bench_of(library: Path, **parameters: object) -> Bench:
    """One machine with the driver."""
    return Bench(miniport=load_driver(str(library)).make, queues=1, **parameters)  # type: ignore[arg-type]


@pytest.mark.requirement("DRV-18")
def test_a_card_without_rings_lives_and_answers(bare: Path) -> None:
    with bench_of(bare) as bench:
        bench.receive(FRAMES[0])
        bench.settle()
        assert bench.received == []
        assert bench.query(OID.GEN_VENDOR_DESCRIPTION) == b"bare\0"
        assert bench.query(OID.GEN_RECEIVE_BUFFER_SPACE) == bytes(4)
        assert StatisticsInfo.parse(bench.query(OID.GEN_STATISTICS)) == StatisticsInfo()
        assert bench.request(query(OID.GEN_STATISTICS, 151)) == NDIS_STATUS.BUFFER_TOO_SHORT
        addresses = b"".join(bytes([1, 0, 0x5E, 0, 0, number]) for number in range(2))
        assert bench.request(set_(OID.O802_3_MULTICAST_LIST, addresses)) == NDIS_STATUS.SUCCESS


@pytest.mark.requirement("DRV-18")
def test_sends_that_no_ring_takes_come_back_at_a_reset(bare: Path) -> None:
    with bench_of(bare) as bench:
        bench.protocol.send_chain(FRAMES[:3])
        assert bench.protocol.sends_outstanding == 3
        bench.advance(RESET_AFTER_NS)
        assert {sent.status for sent in bench.protocol.sent} == {NDIS_STATUS.RESET_IN_PROGRESS}
        bench.protocol.send_chain(FRAMES[:2], cancel_id="these")
        bench.protocol.bindings[0].cancel_send_net_buffer_lists("these")
        assert [sent.status for sent in bench.protocol.sent[3:]] == [NDIS_STATUS.SEND_ABORTED] * 2


@pytest.mark.requirement("DRV-18")
def test_sends_that_no_ring_takes_come_back_at_a_removal(bare: Path) -> None:
    with bench_of(bare) as bench:
        bench.protocol.send_chain(FRAMES[:3])
        bench.device.remove()
        bench.adapter.surprise_remove()
        assert {sent.status for sent in bench.protocol.sent} == {NDIS_STATUS.ADAPTER_REMOVED}
        assert bench.adapter.state is AdapterState.HALTED


@pytest.mark.requirement("DRV-18")
@pytest.mark.parametrize("seed", [None, 1])
def test_what_was_not_in_the_ring_is_not_reported(liar: Path, seed: int | None) -> None:
    """Each send comes back once, and what waits is sent, though the card reports all too early."""
    with bench_of(liar, seed=seed) as bench:
        for start in range(0, 250, 50):
            bench.protocol.send_chain(FRAMES[start : start + 50])
            bench.receive(*FRAMES[start : start + 50])
            bench.settle()
        assert bench.protocol.sends_outstanding == 0
        assert sorted(bench.transmitted) == sorted(FRAMES)
        assert bench.received == FRAMES
