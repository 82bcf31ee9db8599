"""Races: many interleavings of four processors, the card and the link; nothing is lost, doubled or out
of order."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from vnic.conformance.case import Feature, case
from vnic.conformance.drive import OK, SHORT_RINGS, ask, padded, set_filter, statistics, works
from vnic.conformance.pages import ddi, guide
from vnic.host.bus import InterruptKind
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, tcp_frame

_SYNC = guide("synchronization-and-notification-in-network-drivers")
_FLOWS = 12
_SEEDS = (101, 102, 103)
_RINGS: dict[str, Any] = {"keywords": SHORT_RINGS | {"*ReceiveBuffers": 256, "*TransmitBuffers": 16}}
_ENDS = {
    OK,
    NDIS_STATUS.SEND_ABORTED,
    NDIS_STATUS.REQUEST_ABORTED,
    NDIS_STATUS.RESET_IN_PROGRESS,
    NDIS_STATUS.MEDIA_DISCONNECTED,
    NDIS_STATUS.PAUSED,
    NDIS_STATUS.FAILURE,
}


def numbered(bench: Bench, number: int, to: bytes | None = None) -> bytes:
    """Frame n belongs to flow n modulo the number of flows, and its sequence number is n."""
    return tcp_frame(
        number.to_bytes(4) * 3,
        ports=(20_000 + number % _FLOWS, 80),
        seq=number,
        to=to or bench.station,
        min_len=60,
    )


def assert_order(frames: list[bytes]) -> None:
    """Within a flow the sequence numbers never go back."""
    last: dict[bytes, int] = {}
    for frame in frames:
        flow, sequence = frame[34:36], int.from_bytes(frame[38:42])
        assert sequence > last.get(flow, -1), f"frame {sequence} of a flow came after frame {last[flow]}"
        last[flow] = sequence


class Turmoil:
    """Random operations on a running adapter, by the bench's own seed; counts what it put in."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.choose = random.Random(bench.processors.seed)
        self.sent = self.received = 0

    def receive(self) -> None:
        """A burst from the link."""
        burst = self.choose.randrange(1, 9)
        self.bench.receive(*[numbered(self.bench, n) for n in range(self.received, self.received + burst)])
        self.received += burst

    def send(self) -> None:
        """A few lists from some processor."""
        with self.bench.processors.on(self.choose.randrange(4)):
            for _ in range(self.choose.randrange(1, 7)):
                frame = numbered(self.bench, self.sent, PEER)
                self.bench.send(frame, cancel_id=self.sent % 3, context=self.sent)
                self.sent += 1

    def cancel(self) -> None:
        """Cancel a third of what waits."""
        self.bench.protocol.bindings[0].cancel_send_net_buffer_lists(self.choose.randrange(3))

    def ask(self) -> None:
        """A query that reads the card, and a set."""
        statistics(self.bench)
        set_filter(
            self.bench,
            self.choose.choice([PacketFilter.DIRECTED, PacketFilter.DIRECTED | PacketFilter.BROADCAST]),
        )

    def reset(self) -> None:
        """MiniportResetEx."""
        self.bench.adapter.reset()

    def pause(self) -> None:
        """There and back; the card has to work for that."""
        self.bench.device.is_manual = False
        self.bench.adapter.pause()
        assert self.bench.adapter.restart() == OK

    def hold(self) -> None:
        """The protocol keeps NBLs for a while, or lets go."""
        self.bench.protocol.keeps_nbls = not self.bench.protocol.keeps_nbls
        self.bench.protocol.release()

    def stall(self) -> None:
        """The card stands still for a while, or goes on. Its line would stand still too, as no line does."""
        if self.bench.system.vector_kind is not InterruptKind.INTX:
            self.bench.device.is_manual = not self.bench.device.is_manual

    def run(self, steps: int, rare: list[str]) -> None:
        """So many random operations: traffic mostly, and the rare ones named."""
        common = [self.receive, self.send] * 6
        for _ in range(steps):
            action = self.choose.choice([*common, self.bench.settle, *(getattr(self, name) for name in rare)])
            action()
        self.bench.device.is_manual = False
        self.bench.protocol.keeps_nbls = False
        self.bench.protocol.release()
        self.bench.settle()


def ended(bench: Bench, turmoil: Turmoil) -> None:
    """Every send came back once and truthfully, nothing is doubled, and the adapter works."""
    contexts = Counter(sent.context for sent in bench.protocol.sent)
    assert len(contexts) == turmoil.sent, (
        f"{turmoil.sent - len(contexts)} of {turmoil.sent} sends never came back"
    )
    assert set(contexts.values()) <= {1}, "a send came back twice"
    strange = {str(sent.status) for sent in bench.protocol.sent} - {str(status) for status in _ENDS}
    assert not strange, f"sends ended {', '.join(sorted(strange))}"
    doubled = [frame for frame, count in Counter(bench.received).items() if count > 1]
    assert not doubled, f"{len(doubled)} frames were indicated twice"
    left = Counter(bench.transmitted)
    assert not left or max(left.values()) == 1, "a frame left twice"
    done = [padded(sent.data[0]) for sent in bench.protocol.sent if sent.status == OK]
    missing = Counter(done) - left
    assert not missing, f"{missing.total()} sends ended with success and never left"
    assert bench.adapter.state is AdapterState.RUNNING
    bench.protocol.received.clear()
    works(bench, "after all that")


def _traffic(bench: Bench) -> None:
    turmoil = Turmoil(bench)
    turmoil.run(45, [])
    wanted = [numbered(bench, n) for n in range(turmoil.received)]
    assert sorted(bench.received) == sorted(wanted), f"{len(bench.received)} of {len(wanted)} frames arrived"
    assert_order(bench.received)
    assert {sent.status for sent in bench.protocol.sent} <= {OK}
    ended(bench, turmoil)


@case(_SYNC, "a driver is called on several processors at once", seeds=_SEEDS, **_RINGS)
def traffic_on_four_processors(bench: Bench) -> None:
    """Frames in and out on four processors under four schedules: every frame once, in the order of its
    flow."""
    _traffic(bench)


@case(
    _SYNC,
    "a driver is called on several processors at once, with the line",
    seeds=_SEEDS,
    interrupt="line",
    **_RINGS,
)
def traffic_on_the_line(bench: Bench) -> None:
    """The same with the INTx line."""
    _traffic(bench)


@case(
    _SYNC,
    "a driver is called on several processors at once, with MSI",
    seeds=_SEEDS[:2],
    interrupt="msi",
    **_RINGS,
)
def traffic_with_msi(bench: Bench) -> None:
    """The same with MSI."""
    _traffic(bench)


@case(
    guide("rss-configuration"),
    "RSS spreads flows over processors and keeps the order within each",
    Feature.RSS,
    seeds=_SEEDS,
    strict_rss=True,
    **_RINGS,
)
def traffic_with_rss(bench: Bench) -> None:
    """The same with RSS over four processors; each frame on the one that the table names."""
    assert bench.set_rss() == OK
    _traffic(bench)


@case(
    ddi("nc-ndis-miniport_cancel_send"),
    "cancelling races with completion: each send comes back once",
    seeds=_SEEDS,
    **_RINGS,
)
def cancels(bench: Bench) -> None:
    """Traffic with cancellations, while the card stands still from time to time."""
    turmoil = Turmoil(bench)
    turmoil.run(45, ["cancel", "cancel", "stall"])
    ended(bench, turmoil)


@case(ddi("nc-ndis-miniport_reset"), "a reset races with everything", seeds=_SEEDS, **_RINGS)
def resets(bench: Bench) -> None:
    """Traffic with resets, kept NBLs and a card that stands still from time to time."""
    turmoil = Turmoil(bench)
    turmoil.run(45, ["reset", "hold", "stall"])
    ended(bench, turmoil)


@case(ddi("nc-ndis-miniport_pause"), "a pause races with everything", seeds=_SEEDS, **_RINGS)
def pauses(bench: Bench) -> None:
    """Traffic with pauses, kept NBLs and cancellations."""
    turmoil = Turmoil(bench)
    turmoil.run(50, ["pause", "hold", "cancel"])
    ended(bench, turmoil)


@case(ddi("nc-ndis-miniport_oid_request"), "OID requests race with everything", seeds=_SEEDS, **_RINGS)
def requests(bench: Bench) -> None:
    """Traffic with queries, sets of the filter, resets and pauses."""
    turmoil = Turmoil(bench)
    turmoil.run(50, ["ask", "ask", "reset", "pause", "cancel", "hold"])
    ended(bench, turmoil)
    assert ask(bench, OID.GEN_STATISTICS, 152).status == OK


@case(
    ddi("nc-ndis-miniport_halt"),
    "a halt waits for what is under way on other processors",
    seeds=_SEEDS,
    **_RINGS,
)
def halts(bench: Bench) -> None:
    """Halt in the midst of traffic, five times."""
    for _ in range(5):
        turmoil = Turmoil(bench)
        bench.protocol.sent.clear()
        for _ in range(8):
            turmoil.receive()
            turmoil.send()
        bench.adapter.halt()
        assert len(bench.protocol.sent) == turmoil.sent, "a send did not come back before the halt"
        bench.system.assert_no_leaks()
        bench.start()
    bench.protocol.received.clear()
    works(bench)
