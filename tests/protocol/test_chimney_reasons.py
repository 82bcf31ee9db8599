"""Optional upload reasons end to end: the card asks, and the policy takes a connection back or leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.protocol.test_chimney_host import MS, QUICK, Site
from vnic.link.impairments import Impairments
from vnic.ndis.chimney import TCP_UPLOAD_REASON
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.chimney_policy import Policy
from vnic.protocol.chimney_tally import Where
from vnic.protocol.journal import Cause, Happening
from vnic.stack.stream import Stream

IDLE = {"ChimneyIdleTicks": 100}
SMALL = {"ChimneySmallIo": 100}
REORDERED = {"ChimneyOutOfOrderRate": 5}
LOSSY = {"ChimneyDropRate": 5}
UNPOSTED = {"ChimneyUnpostedBytes": 100_000}


@dataclass(slots=True, kw_only=True)
class Obliging(Policy):
    """Offloads nothing by itself, and takes back what the target does not want when `heeding`."""

    heeding: bool

    def heeds(self, reason: TCP_UPLOAD_REASON) -> bool:
        """All or nothing."""
        return self.heeding


def site_of(heeding: bool, keywords: dict[str, int], wire: Impairments = QUICK) -> Site:
    """A site whose miniport has these keywords."""
    options = ChimneyOptions(policy=Obliging(heeding=heeding))
    return Site(options, wire=wire, bench={"keywords": {"*InterruptModeration": 0} | keywords})


def idle(site: Site, near: Stream, far: Stream) -> None:
    """Nothing happens."""
    site.network.run_for(300 * MS)


def exchange(site: Site, near: Stream, far: Stream) -> None:
    """400 kB each way."""
    site.exchange(near, far)


def chat(site: Site, near: Stream, far: Stream) -> None:
    """Small questions, small answers."""
    for _ in range(70):
        near.write_all(b"ping")
        assert far.read_exactly(4) == b"ping"
        far.write_all(b"pong")
        assert near.read_exactly(4) == b"pong"


CASES = {
    Cause.LOW_ACTIVITY: (IDLE, QUICK, idle),
    Cause.TARGET_SMALL_IO: (SMALL, QUICK, chat),
    Cause.HIGH_OUT_OF_ORDER_PACKETS: (
        REORDERED,
        Impairments(delay_ns=200_000, reorder=0.2, jitter_ns=150_000),
        exchange,
    ),
    Cause.HIGH_DROP_RATE: (LOSSY, Impairments(delay_ns=100_000, loss=0.1), exchange),
    Cause.NO_BUFFER_PREPOSTING: (UNPOSTED, QUICK, exchange),
}


@pytest.mark.requirement("POL-15", "CHM-64")
@pytest.mark.parametrize("heeding", [True, False])
@pytest.mark.parametrize("cause", CASES)
def test_what_the_card_asks_for(cause: Cause, heeding: bool) -> None:
    keywords, wire, work = CASES[cause]
    with site_of(heeding, keywords, wire) as site:
        near, far = site.offloaded()
        work(site, near, far)
        site.exchange(near, far, 10_000)
        if heeding:
            site.reach(near, Where.IN_HOST)
            assert site.chimney.uploads == {cause: 1}
        else:
            assert site.chimney.where(near.socket) is Where.OFFLOADED
            ignored = site.chimney.journal.of(Happening.IGNORED)
            assert [entry.reason for entry in ignored] == [str(cause)]
        site.exchange(near, far, 10_000)


def test_without_keywords_nothing_is_asked() -> None:
    with site_of(True, {}) as site:
        near, far = site.offloaded()
        for work in (idle, chat, exchange):
            work(site, near, far)
        assert site.chimney.where(near.socket) is Where.OFFLOADED
        assert not site.chimney.uploads
