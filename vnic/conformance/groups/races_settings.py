"""Races with settings: tables, moderation, links and pauses change while four processors send and receive."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, SHORT_RINGS, ask, tell
from vnic.conformance.groups.link import known_as
from vnic.conformance.groups.races import Turmoil, assert_order, ended, numbered
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import OID
from vnic.ndis.structures import InterruptModeration, InterruptModerationState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER

_TABLE = guide("rss-configuration")
_SYNC = guide("synchronization-and-notification-in-network-drivers")
_SEEDS = (201, 202, 203)
_RINGS: dict[str, Any] = {
    "keywords": SHORT_RINGS | {"*ReceiveBuffers": 256, "*TransmitBuffers": 16, "*InterruptModeration": 0},
    "frames_per_dpc": 4,
}


class Changes(Turmoil):
    """Turmoil in which settings change, too."""

    speed = 10_000

    def table(self) -> None:
        """Another indirection table, of 1 to 16 entries."""
        entries = 1 << self.choose.randrange(5)
        table = tuple(self.choose.randrange(len(self.bench.processors)) for _ in range(entries))
        assert self.bench.set_rss(table) == OK, f"a table of {entries} entries was refused"

    def moderation(self) -> None:
        """On or off."""
        state = self.choose.choice([InterruptModerationState.ENABLED, InterruptModerationState.DISABLED])
        tell(self.bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(state).pack())

    def link(self) -> None:
        """Another speed; down only for a moment, since frames would be lost."""
        self.speed = self.choose.choice([1_000, 25_000, 100_000])
        self.bench.device.set_link(self.speed)


def _all_arrived(bench: Bench, turmoil: Turmoil) -> None:
    wanted = sorted(numbered(bench, n) for n in range(turmoil.received))
    assert sorted(bench.received) == wanted, f"{len(bench.received)} of {len(wanted)} frames arrived"
    assert {sent.status for sent in bench.protocol.sent} <= {OK}
    ended(bench, turmoil)


def _tables(bench: Bench) -> None:
    turmoil = Changes(bench)
    turmoil.table()
    turmoil.run(45, ["table", "table", "table"])
    _all_arrived(bench, turmoil)


@case(
    _TABLE,
    "the table may change at any time: no frame is lost, none comes twice",
    Feature.RSS,
    seeds=_SEEDS,
    **_RINGS,
)
def tables(bench: Bench) -> None:
    """Traffic on four processors while the indirection table changes again and again."""
    _tables(bench)


@case(
    _TABLE,
    "the table may change at any time, with the line",
    Feature.RSS,
    seeds=_SEEDS,
    interrupt="line",
    **_RINGS,
)
def tables_with_the_line(bench: Bench) -> None:
    """The same with the INTx line."""
    _tables(bench)


@case(
    _TABLE, "the table may change at any time, with MSI", Feature.RSS, seeds=_SEEDS, interrupt="msi", **_RINGS
)
def tables_with_msi(bench: Bench) -> None:
    """The same with MSI."""
    _tables(bench)


@case(
    _TABLE,
    "the table may change at any time, with fewer queues than processors",
    Feature.RSS,
    seeds=_SEEDS,
    queues=2,
    cpus=4,
    **_RINGS,
)
def tables_over_two_queues(bench: Bench) -> None:
    """The same with two queues for four processors."""
    _tables(bench)


@case(guide("oid-gen-interrupt-moderation"), "moderation may change at any time", seeds=_SEEDS, **_RINGS)
def moderation(bench: Bench) -> None:
    """Traffic on four processors while moderation goes on and off: every frame comes, in its flow's order."""
    state = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data)
    unable = (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN)
    if state.state in unable or state.flags:
        raise NotSupported("interrupt moderation that changes at once")
    turmoil = Changes(bench)
    turmoil.run(45, ["moderation", "moderation"])
    assert_order(bench.received)
    _all_arrived(bench, turmoil)


@case(
    guide("ndis-status-link-state"),
    "the link may change at any time, and is known as it is",
    seeds=_SEEDS,
    **_RINGS,
)
def links(bench: Bench) -> None:
    """Traffic on four processors while the link changes its speed; in the end NDIS knows it."""
    turmoil = Changes(bench)
    turmoil.run(45, ["link", "link", "hold"])
    known_as(bench, turmoil.speed, "after all that")
    ended(bench, turmoil)


@case(
    ddi("nc-ndis-miniport_pause"),
    "a pause ends when nothing is under way any more, on whatever processor it was",
    seeds=(*_SEEDS, 204),
    **_RINGS,
)
def pauses_and_tables(bench: Bench) -> None:
    """Traffic with pauses, cancellations and kept NBLs, where RSS is there with tables that change."""
    turmoil = Changes(bench)
    has_rss = bench.set_rss() == OK
    turmoil.run(45, ["pause", "pause", "cancel", "hold", *(["table"] if has_rss else [])])
    ended(bench, turmoil)


@case(
    ddi("nc-ndis-miniport_pause"),
    "a pause is complete when the last send of the last processor is back",
    seeds=tuple(range(211, 217)),
    **_RINGS,
)
def pauses_with_sends_on_every_processor(bench: Bench) -> None:
    """Eight times: the card stands still with sends of four processors, and goes on as the adapter pauses."""
    count = 0
    for _ in range(8):
        bench.device.is_manual = True
        for cpu in range(4):
            with bench.processors.on(cpu):
                for _ in range(3):
                    bench.send(numbered(bench, count, PEER), context=count)
                    count += 1
        bench.device.is_manual = False
        bench.adapter.pause()
        assert len(bench.protocol.sent) == count, f"{len(bench.protocol.sent)} of {count} sends are back"
        assert bench.adapter.restart() == OK
    bench.settle()


@case(_SYNC, "requests, resets and changes of every kind at once", seeds=_SEEDS, **_RINGS)
def everything_at_once(bench: Bench) -> None:
    """Traffic with resets, pauses, cancellations, sets, queries and link changes."""
    turmoil = Changes(bench)
    has_rss = bench.set_rss() == OK
    rare = ["reset", "pause", "cancel", "hold", "ask", "link", "moderation", *(["table"] if has_rss else [])]
    turmoil.run(50, rare)
    known_as(bench, turmoil.speed, "after all that")
    ended(bench, turmoil)
