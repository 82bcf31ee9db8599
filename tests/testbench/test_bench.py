"""The bench itself: what it wires, how its time passes, and that it catches what a driver leaves behind."""

from __future__ import annotations

import pytest

from vnic.abi import Engine
from vnic.errors import LeakError
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestMemory
from vnic.link.wire import Impairments
from vnic.miniport import Adapter
from vnic.miniport.card import Card
from vnic.ndis.attributes import HaltAction
from vnic.ndis.keywords import read_settings
from vnic.ndis.miniport import InitParameters, MiniportHandle
from vnic.ndis.oob import LargeSend
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench, WiredBenches, World
from vnic.testbench.bench import RSS_KEY, hash_oracle
from vnic.testbench.frames import ADDRESSES, plain_frame, tcp_frame
from vnic.wire import packet
from vnic.wire.segment import seed_of


class Leaky(Adapter):
    """A driver that forgets a page at halt."""

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """One page more than it gives back."""
        status = super().initialize_ex(handle, parameters)
        self.card.bus.alloc_coherent(4096)
        return status


class Forgetful(Adapter):
    """A driver that does not deregister its interrupt."""

    def halt_ex(self, action: HaltAction) -> None:
        """Nothing is done."""


def test_a_leak_of_coherent_memory_is_an_error() -> None:
    with pytest.raises(LeakError, match="coherent memory of 4096"), Bench(miniport=Leaky):
        pass


def test_a_driver_that_keeps_its_interrupt_is_a_breach() -> None:
    with pytest.raises(AssertionError, match="HALT-1"), Bench(miniport=Forgetful):
        pass


def test_an_error_inside_the_block_is_not_covered_by_the_checks() -> None:
    with pytest.raises(ZeroDivisionError), Bench(miniport=Leaky):
        raise ZeroDivisionError


def test_a_driver_that_declines_is_named_with_its_status() -> None:
    with pytest.raises(RuntimeError, match="NDIS_STATUS_RESOURCES"):
        Bench(memory_bytes=16 * 4096)


def test_a_fault_plan_is_armed_on_a_bench() -> None:
    with (
        Bench(queues=1, cpus=1) as bench,
        bench.plan("frame in drop", must_fire=True) as plan,
    ):
        bench.receive(plain_frame(100), plain_frame(101))
        bench.settle()
        assert bench.received == [plain_frame(101)]
        assert plan.fired == 1


def test_a_driver_that_declines_leaves_nothing_open() -> None:
    before = set(Bench.open)
    with pytest.raises(RuntimeError, match="does not start"):
        Bench(memory_bytes=16 * 4096)
    assert set(Bench.open) == before


def test_in_manual_mode_nothing_happens_but_what_is_called() -> None:
    with Bench(queues=1, cpus=1, manual=True) as bench:
        bench.receive(plain_frame(100))
        bench.settle()
        assert bench.received == []
        assert bench.device.runnable == [Engine.RX]
        while not bench.device.is_idle:
            bench.device.step(bench.device.runnable[0])
        bench.device.is_manual = False
        bench.settle()
        assert bench.received == [plain_frame(100)]


def test_settling_lets_the_time_of_moderation_pass_and_no_more() -> None:
    with Bench(queues=1, cpus=1) as bench:
        start = bench.clock.now_ns
        bench.receive(plain_frame(100, 1))
        bench.settle()
        bench.receive(plain_frame(100, 2))
        bench.settle()
        assert len(bench.received) == 2
        assert 0 < bench.clock.now_ns - start <= 40_000
        assert bench.device.now_ns == bench.clock.now_ns


def test_time_passes_for_the_card_as_for_the_host() -> None:
    with Bench(queues=1, cpus=1) as bench:
        start = bench.clock.now_ns
        bench.advance(5_000_000)
        assert bench.clock.now_ns == start + 5_000_000
        assert bench.device.read64(BAR0.GLB_TIME.offset) == start + 5_000_000


def test_waiting_ends_when_what_is_waited_for_has_come() -> None:
    world = World()
    fired: list[int] = []
    world.clock.call_at(700, lambda: fired.append(world.clock.now_ns))
    assert world.run_until(lambda: bool(fired), within_ns=1000)
    assert world.clock.now_ns == 700
    assert not world.run_until(lambda: False, within_ns=300)
    assert world.clock.now_ns == 1000


def test_the_hash_oracle_of_the_bench_knows_the_published_vectors() -> None:
    segment = packet.tcp("66.9.149.187", "161.142.100.80", 2794, 1766)
    frame = packet.ethernet(packet.ipv4("66.9.149.187", "161.142.100.80", packet.TCP, segment))
    assert hash_oracle(frame, 0x200, RSS_KEY) == (0x200, 0x51CCC178)
    assert hash_oracle(frame, 0x100, RSS_KEY) == (0x100, 0x323E8FC2)
    assert hash_oracle(plain_frame(60), 0x300, RSS_KEY) == (0, 0)


def test_a_card_can_be_taken_from_its_parts() -> None:
    with Bench(starts=False) as bench:
        card = Card(bench.system, bench.memory, read_settings())
        assert card.capacities.queue_pairs == 4
        assert card.station == bytes.fromhex("020000000001")


def test_memory_of_the_bench_is_the_drivers_too() -> None:
    seen: list[GuestMemory] = []

    def make(memory: GuestMemory) -> Adapter:
        seen.append(memory)
        return Adapter(memory)

    with Bench(miniport=make) as bench:
        assert seen == [bench.memory]


def test_two_cards_talk_over_a_wire_with_delay() -> None:
    with WiredBenches(forth=Impairments(delay_ns=50_000)) as both:
        frames = [plain_frame(200, n) for n in range(20)]
        both.first.protocol.send_chain(frames)
        both.settle()
        assert both.second.received == frames
        both.second.send(plain_frame(99))
        both.settle()
        assert both.first.received == [plain_frame(99)]
        assert both.world.clock.now_ns >= 50_000


def test_a_wire_that_loses_frames_loses_the_same_ones_each_time() -> None:
    def run() -> list[bytes]:
        with WiredBenches(forth=Impairments(loss=0.3), seed=5) as both:
            for n in range(60):
                both.first.send(plain_frame(80, n))
            both.settle()
            return both.second.received

    seen = run()
    assert 20 < len(seen) < 60
    assert run() == seen


def test_a_wire_that_is_pulled_takes_both_links_down() -> None:
    with WiredBenches() as both:
        both.set_link(False)
        for bench in (both.first, both.second):
            assert bench.protocol.statuses[-1].status == NDIS_STATUS.LINK_STATE
        both.first.send(plain_frame(80))
        both.settle()
        assert both.first.protocol.sent[0].status == NDIS_STATUS.MEDIA_DISCONNECTED
        both.set_link(True)
        both.first.send(plain_frame(81))
        both.settle()
        assert both.second.received == [plain_frame(81)]


def test_a_large_send_arrives_as_segments_whose_checksums_the_other_card_verified() -> None:
    source, destination = (packet.packed(address) for address in ADDRESSES[4])
    head = tcp_frame(field=seed_of(source, destination))
    payload = bytes(n & 0xFF for n in range(30_000))
    with WiredBenches(first={"interrupt": "line"}, second={"interrupt": "msi"}) as both:
        both.second.set_rss()
        both.first.send(head + payload, large_send=LargeSend(1460, 34))
        both.settle()
        seen = both.second.protocol.received
        assert b"".join(frame.data[54:] for frame in seen) == payload
        assert all(frame.checksum.tcp_succeeded and frame.checksum.ip_succeeded for frame in seen)
        assert len({frame.hash for frame in seen}) == 1


@pytest.mark.parametrize("seed", range(6))
def test_two_machines_answer_each_other_under_seeded_schedules(seed: int) -> None:
    with WiredBenches(first={"seed": seed}, second={"seed": seed + 100}, seed=seed) as both:
        for n in range(40):
            both.first.send(plain_frame(100, n))
            both.second.send(plain_frame(100, 1000 + n))
        both.settle()
        assert sorted(both.second.received) == [plain_frame(100, n) for n in range(40)]
        assert sorted(both.first.received) == [plain_frame(100, 1000 + n) for n in range(40)]
