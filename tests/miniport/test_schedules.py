"""Races between processors: seeded schedules over traffic, table changes, pauses, resets and cancels."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vnic.fuzz.effort import EFFORT
from vnic.host.bus import InterruptKind
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.frames import tcp_frame

LEVELS = ["msix", "msi", "line"]
FLOWS = 12
SMALL = {"*TransmitBuffers": 16, "*ReceiveBuffers": 32}


def flow_frame(number: int) -> bytes:
    """Frame number n belongs to flow n modulo FLOWS."""
    return tcp_frame(number.to_bytes(4), ports=(20000 + number % FLOWS, 80), seq=number)


def flow_of(frame: bytes) -> int:
    """The source port tells the flow."""
    return int.from_bytes(frame[34:36], "big") - 20000


def assert_order_per_flow(frames: list[bytes]) -> None:
    """Sequence numbers never go back within a flow."""
    last: dict[int, int] = {}
    for frame in frames:
        sequence = int.from_bytes(frame[38:42], "big")
        assert sequence > last.get(flow_of(frame), -1)
        last[flow_of(frame)] = sequence


@pytest.mark.requirement("INV-52", "INV-55")
@pytest.mark.parametrize("seed", range(int(50 * min(EFFORT, 1))))
def test_traffic_on_four_processors_under_a_seeded_schedule(seed: int) -> None:
    choose = random.Random(seed)
    interrupt = LEVELS[seed % 3]
    with Bench(
        seed=seed,
        interrupt=interrupt,
        keywords=SMALL | {"*ReceiveBuffers": 256},
        frames_per_dpc=choose.choice([1, 3, 8, 64]),
        strict_rss=True,
        checks_hashes=seed % 5 == 0,
    ) as bench:
        assert bench.set_rss() == NDIS_STATUS.SUCCESS
        sent = received = 0
        for _ in range(24):
            burst = choose.randrange(1, 9)
            bench.receive(*[flow_frame(n) for n in range(received, received + burst)])
            received += burst
            with bench.processors.on(choose.randrange(4)):
                for _ in range(choose.randrange(6)):
                    bench.send(flow_frame(sent), context=sent)
                    sent += 1
            if choose.random() < 0.3:
                bench.settle()
        bench.settle()
        assert Counter(bench.received) == Counter(flow_frame(n) for n in range(received))
        assert_order_per_flow(bench.received)
        assert Counter(bench.transmitted) == Counter(flow_frame(n).ljust(60, b"\0") for n in range(sent))
        assert {end.status for end in bench.protocol.sent} <= {NDIS_STATUS.SUCCESS}
        assert len(bench.protocol.sent) == sent


class Turmoil:
    """Random operations on a running adapter; counts what it put in."""

    def __init__(self, bench: Bench, choose: random.Random) -> None:
        self.bench = bench
        self.choose = choose
        self.sent = 0

    def receive(self) -> None:
        """A burst from the link."""
        self.bench.receive(
            *[flow_frame(self.choose.randrange(1000)) for _ in range(self.choose.randrange(1, 12))]
        )

    def send(self) -> None:
        """A few NBLs from some processor."""
        with self.bench.processors.on(self.choose.randrange(4)):
            for _ in range(self.choose.randrange(1, 8)):
                self.bench.send(flow_frame(self.sent), cancel_id=self.sent % 3)
                self.sent += 1

    def cancel(self) -> None:
        """Cancel a third of what waits."""
        self.bench.protocol.bindings[0].cancel_send_net_buffer_lists(self.choose.randrange(3))

    def scale(self) -> None:
        """Another indirection table."""
        table = tuple(self.choose.randrange(4) for _ in range(self.choose.choice([1, 4, 16])))
        assert self.bench.set_rss(table) == NDIS_STATUS.SUCCESS

    def ask(self) -> None:
        """A query that reads the card."""
        assert self.bench.request(query(OID.GEN_STATISTICS, 152)) == NDIS_STATUS.SUCCESS

    def reset(self) -> None:
        """MiniportResetEx."""
        self.bench.adapter.reset()

    def pause(self) -> None:
        """There and back."""
        self.bench.adapter.pause()
        assert self.bench.adapter.restart() == NDIS_STATUS.SUCCESS

    def hold(self) -> None:
        """The protocol keeps NBLs for a while, or lets go."""
        self.bench.protocol.keeps_nbls = not self.bench.protocol.keeps_nbls
        self.bench.protocol.release()

    def stall(self) -> None:
        """The card stands still for a while, or goes on. Its line would stand still too, as no line does."""
        if self.bench.system.vector_kind != InterruptKind.INTX:
            self.bench.device.is_manual = not self.bench.device.is_manual

    def step(self) -> None:
        """One random operation."""
        common = [self.receive, self.send] * 6
        rare = [self.cancel, self.scale, self.ask, self.reset, self.hold, self.stall, self.bench.settle]
        action = self.choose.choice(common + rare)
        if action == self.reset and self.choose.random() < 0.3:
            self.bench.device.is_manual = False
            action = self.pause
        action()


@pytest.mark.parametrize("seed", range(int(60 * min(EFFORT, 1))))
def test_turmoil_leaves_nothing_behind(seed: int) -> None:
    choose = random.Random(seed)
    with Bench(
        seed=seed, interrupt=LEVELS[seed % 3], keywords=SMALL, frames_per_dpc=choose.choice([2, 64]),
        checks_hashes=False,
    ) as bench:  # fmt: skip
        turmoil = Turmoil(bench, choose)
        for _ in range(60):
            turmoil.step()
        bench.device.is_manual = False
        bench.settle()
        assert len(bench.protocol.sent) == turmoil.sent
        assert bench.adapter.state is AdapterState.RUNNING
        bench.transmitted.clear()
        bench.send(flow_frame(1))
        bench.settle()
        assert bench.transmitted == [flow_frame(1).ljust(60, b"\0")]


@pytest.mark.parametrize("seed", [0, 7, 23])
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    def run() -> list[object]:
        with Bench(seed=seed, keywords=SMALL, checks_hashes=False) as bench:
            turmoil = Turmoil(bench, random.Random(seed))
            for _ in range(30):
                turmoil.step()
            bench.device.is_manual = False
            bench.settle()
            return [*bench.processors.schedule, bench.device.state_hash(), *bench.received]

    assert run() == run()
