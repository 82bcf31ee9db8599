"""The policy alone: rules, thresholds, ranks, patience; and what switches and components allow."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest

from vnic.errors import ArgumentError, UnknownError
from vnic.ndis.chimney import TCP_UPLOAD_REASON
from vnic.protocol.chimney_policy import ALLOW_ALL, AutomaticPolicy, Policy, Rule, Seen, Verdict
from vnic.protocol.coexistence import Coexistence, Component
from vnic.protocol.journal import Cause, Happening, Journal
from vnic.protocol.switches import PLAIN, Switches
from vnic.stack.address import Endpoint

MS = 1_000_000
LOCAL = Endpoint(ip_address("10.0.0.1"), 50_000)
REMOTE = Endpoint(ip_address("10.0.0.2"), 80)
POLICY = AutomaticPolicy()


def seen(**members: object) -> Seen:
    """A connection that is worth its entry."""
    plain = {
        "local": LOCAL,
        "remote": REMOTE,
        "age_ns": 100 * MS,
        "moved": 1 << 20,
        "moved_lately": 100_000,
        "lately_ns": 10 * MS,
        "request_bytes": 16_384,
    }
    return Seen(**plain | members)  # type: ignore[arg-type]


@pytest.mark.requirement("POL-11")
@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({}, Verdict.OFFLOAD),
        ({"request_bytes": None}, Verdict.OFFLOAD),
        ({"age_ns": POLICY.min_age_ns - 1}, Verdict.WAIT),
        ({"age_ns": POLICY.min_age_ns}, Verdict.OFFLOAD),
        ({"moved": POLICY.min_bytes - 1}, Verdict.WAIT),
        ({"moved": POLICY.min_bytes}, Verdict.OFFLOAD),
        ({"moved_lately": 0}, Verdict.WAIT),
        ({"request_bytes": POLICY.min_request_bytes - 1}, Verdict.WAIT),
        ({"request_bytes": POLICY.min_request_bytes}, Verdict.OFFLOAD),
    ],
)
def test_thresholds(members: dict[str, object], verdict: Verdict) -> None:
    assert POLICY.verdict(seen(**members)) is verdict


@pytest.mark.requirement("POL-10")
def test_the_first_rule_that_matches_decides_and_without_one_nothing_is_offloaded() -> None:
    rules = (
        Rule(allow=False, remote_ports=range(3389, 3390)),
        Rule(allow=True, remote=ip_network("10.0.0.0/8")),
        Rule(allow=False, remote=ip_network("10.0.0.0/24")),
    )
    policy = AutomaticPolicy(rules=rules)
    assert policy.verdict(seen()) is Verdict.OFFLOAD
    assert policy.verdict(seen(remote=Endpoint(REMOTE.address, 3389))) is Verdict.DENY
    assert policy.verdict(seen(remote=Endpoint(ip_address("192.0.2.1"), 80))) is Verdict.DENY
    assert policy.verdict(seen(remote=Endpoint(ip_address("fd00::2"), 80))) is Verdict.DENY
    assert AutomaticPolicy(rules=()).verdict(seen()) is Verdict.DENY
    assert AutomaticPolicy().rules == (ALLOW_ALL,)


@pytest.mark.requirement("POL-12")
def test_small_requests_bring_a_connection_back_after_a_while_and_a_denial_at_once() -> None:
    small = seen(request_bytes=100, offloaded_ns=POLICY.min_stay_ns)
    assert POLICY.objection(small) is Cause.SMALL_IO
    assert POLICY.objection(small._replace(offloaded_ns=POLICY.min_stay_ns - 1)) is None
    assert POLICY.objection(small._replace(moved_lately=0)) is None
    assert POLICY.objection(small._replace(request_bytes=4096)) is None
    assert AutomaticPolicy(rules=()).objection(seen(offloaded_ns=1)) is Cause.POLICY


@pytest.mark.requirement("POL-13")
def test_who_outranks_whom() -> None:
    ports = Rule(allow=True, remote_ports=range(80, 81), priority=5)
    policy = AutomaticPolicy(rules=(ports, ALLOW_ALL))
    other = Endpoint(REMOTE.address, 90)
    settled = seen(remote=other, offloaded_ns=policy.min_stay_ns)
    assert policy.outranks(seen(moved_lately=1), settled)
    assert not policy.outranks(settled, seen())
    fast = seen(remote=other, moved_lately=250_000)
    assert policy.outranks(fast, settled)
    assert not policy.outranks(fast._replace(moved_lately=200_000), settled)
    assert not policy.outranks(fast, settled._replace(offloaded_ns=policy.min_stay_ns - 1))


@pytest.mark.requirement("POL-14")
def test_patience_doubles_and_is_bounded() -> None:
    waits = [POLICY.back_off(refusals) for refusals in range(1, 40)]
    assert waits[0] == POLICY.back_off_ns
    assert all(later == min(2 * earlier, POLICY.back_off_max_ns) for earlier, later in pairwise(waits))
    assert waits[-1] == POLICY.back_off_max_ns


@pytest.mark.requirement("POL-15")
def test_the_policy_names_what_it_heeds() -> None:
    deaf = AutomaticPolicy(heeded=frozenset({TCP_UPLOAD_REASON.HIGH_DROP_RATE}))
    assert deaf.heeds(TCP_UPLOAD_REASON.HIGH_DROP_RATE)
    assert not deaf.heeds(TCP_UPLOAD_REASON.LOW_ACTIVITY)
    assert all(POLICY.heeds(reason) for reason in TCP_UPLOAD_REASON)


def test_a_manual_policy_moves_nothing_by_itself() -> None:
    policy = Policy()
    assert policy.interval_ns == 0
    assert policy.verdict(seen()) is Verdict.DENY
    assert policy.objection(seen(request_bytes=1, offloaded_ns=1 << 60)) is None
    assert not policy.outranks(seen(), seen(moved_lately=0))


# ---- switches ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-1")
def test_absent_switches() -> None:
    absent = Switches()
    assert absent.EnableTCPChimney and absent.EnableRSS and absent.EnableTCPA
    assert (absent.MaxNumRssCpus, absent.RssBaseCpu) == (4, 0)
    assert not (PLAIN.EnableTCPChimney or PLAIN.EnableRSS or PLAIN.EnableTCPA)


@pytest.mark.requirement("POL-2")
@pytest.mark.parametrize(
    ("switches", "present", "cpus"),
    [
        (Switches(), 8, (0, 1, 2, 3)),
        (Switches(), 2, (0, 1)),
        (Switches(MaxNumRssCpus=2, RssBaseCpu=1), 4, (1, 2)),
        (Switches(RssBaseCpu=3), 4, (3,)),
        (Switches(RssBaseCpu=9), 4, (3,)),
        (Switches(EnableRSS=False), 4, ()),
    ],
)
def test_processors_of_rss(switches: Switches, present: int, cpus: tuple[int, ...]) -> None:
    assert switches.rss_cpus(present, queues=4) == cpus


@pytest.mark.parametrize("wrong", [{"MaxNumRssCpus": 0}, {"MaxNumRssCpus": 65}, {"RssBaseCpu": -1}])
def test_switches_out_of_bounds(wrong: dict[str, int]) -> None:
    with pytest.raises(ArgumentError):
        Switches(**wrong)  # type: ignore[arg-type]


# ---- components --------------------------------------------------------------------------------------------

OF_THE_HOST = [each for each in Component if not each.is_of_a_binding]


@pytest.mark.requirement("POL-30", "INV-49")
@pytest.mark.parametrize("component", OF_THE_HOST)
def test_a_component_of_the_host_forbids_chimney_and_netdma_everywhere(component: Component) -> None:
    rules, one = Coexistence(), object()
    rules.attach(component)
    for binding in (None, one):
        assert not rules.may_chimney(binding) and not rules.may_netdma(binding)
        assert rules.may_rss(binding)
        assert rules.obstacles(binding) == (component,)
    rules.detach(component)
    assert rules.may_chimney(one) and rules.may_netdma()


@pytest.mark.requirement("POL-30", "INV-49")
def test_an_intermediate_driver_of_ndis_5_1_acts_on_its_binding() -> None:
    rules, one, other = Coexistence(), object(), object()
    rules.attach(Component.NDIS_5_1_INTERMEDIATE, one)
    assert not rules.may_chimney(one) and not rules.may_netdma(one)
    assert rules.may_chimney(other) and rules.may_netdma(other) and rules.may_rss(one)


def test_what_is_attached_twice_is_detached_twice_and_heard_of_each_time() -> None:
    rules = Coexistence()
    heard: list[bool] = []
    rules.listeners.append(lambda: heard.append(rules.may_chimney()))
    rules.attach(Component.IPSEC)
    rules.attach(Component.IPSEC)
    rules.detach(Component.IPSEC)
    rules.detach(Component.IPSEC)
    assert heard == [False, False, False, True]
    with pytest.raises(UnknownError):
        rules.detach(Component.IPSEC)


def test_a_component_goes_with_a_binding_or_with_none() -> None:
    with pytest.raises(ArgumentError):
        Coexistence().attach(Component.IPNAT, object())
    with pytest.raises(ArgumentError):
        Coexistence().attach(Component.NDIS_5_1_INTERMEDIATE)


def test_a_journal_keeps_the_newest_and_tells_listeners() -> None:
    times = iter(range(10))
    journal = Journal(lambda: next(times), limit=3)
    heard: list[object] = []
    journal.listeners.append(heard.append)
    for number in range(5):
        journal.note(Happening.BLOCKED, f"adapter {number}", "why")
    assert [entry.time_ns for entry in journal] == [2, 3, 4] and len(heard) == 5
    assert [entry.subject for entry in journal.of(Happening.BLOCKED)] == [
        "adapter 2",
        "adapter 3",
        "adapter 4",
    ]
    assert journal.of(Happening.ALLOWED) == []
    assert str(next(iter(journal))) == "0.000000 adapter 2: blocked (why)"
