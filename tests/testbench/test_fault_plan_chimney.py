"""Fault plans against offloaded connections, and what they found in the reference driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.errors import ArgumentError
from vnic.fuzz.effort import examples
from vnic.ndis.miniport import SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid import OID
from vnic.ndis.protocol import BindingHandle
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.chimney_policy import AutomaticPolicy
from vnic.stack.errors import StackError
from vnic.testbench.bench import Bench
from vnic.testbench.fault_plan_handle import arm
from vnic.testbench.fault_plan_text import parse_plan
from vnic.testbench.frames import plain_frame, tcp_frame
from vnic.testbench.traffic import Traffic, TrafficPlan

SECOND_NS = 1_000_000_000
AT_ONCE = AutomaticPolicy(min_age_ns=0, min_bytes=0, min_request_bytes=0)


@pytest.mark.requirement("FLT-12", "FLT-17")
@pytest.mark.parametrize(
    "plan",
    [
        "admin create object=tcp drop",  # the check for hang finds a command that never ends
        "admin create corrupt mask=0xff after=2",  # its completion names what nobody asked for
        "register CHM_ADMIN_TAIL write drop after=1",  # the doorbell is rung again
        "admin create object=tcp error TCP_ENTRIES; admin delay 5ms times=always",
        "admin terminate object=tcp drop; dma write state error",
        "dma write state drop",  # the state is not the one of an earlier command
    ],
)
def test_connections_come_to_their_end(plan: str) -> None:
    few = TrafficPlan(
        connections=2, total_bytes=1 << 14, workload="web", delay_ns=1_000_000, queues=1, cpus=1
    )
    traffic = Traffic(few, ChimneyOptions(policy=AT_ONCE))
    try:
        with arm(traffic.host.bench, plan, must_fire=True):
            traffic.run()
            assert traffic.broken == []
            traffic.close()  # connections are terminated
    except BaseException:
        traffic.abandon()
        raise


SITES = ["descriptor-fetch", "write-back", "interrupt", "frame in", "frame out", "admin", "timer tcp"]
SITES += [
    f"register {name} write" for name in ("QP_TX_TAIL", "CHQ_SQ_TAIL", "CHQ_POOL_TAIL", "CHM_ADMIN_TAIL")
]
WHATS = [
    "error",
    "drop",
    "duplicate",
    "duplicate 300us",
    "delay 3us",
    "delay 2ms",
    "reorder",
    "corrupt mask=0xff",
]


def means_something(text: str) -> bool:
    """Whether a rule can be armed."""
    try:
        parse_plan(text)
    except ArgumentError:
        return False
    return True


RULES = [rule for site in SITES for what in WHATS if means_something(rule := f"{site} {what}")]
whens = st.builds(
    "after={} times={} one-in={}".format, st.integers(0, 12), st.integers(1, 3), st.integers(1, 3)
)
rules = st.builds("{} {}".format, st.sampled_from(RULES), whens)


@pytest.mark.requirement("FLT-17")
@given(texts=st.lists(rules, min_size=1, max_size=3), seed=st.integers(0, 99))
@examples(3)
def test_connections_survive_any_plan_or_say_why_not(texts: list[str], seed: int) -> None:
    """A socket that ends with an error is told so; a breach of a rule by the driver comes out of the run."""
    few = TrafficPlan(
        connections=2, total_bytes=1 << 13, workload="web", delay_ns=1_000_000, queues=2, cpus=2, seed=seed
    )
    traffic = Traffic(few, ChimneyOptions(policy=AT_ONCE))
    try:
        with arm(traffic.host.bench, parse_plan("; ".join(texts), seed)):
            traffic.run()
        traffic.close()
    except StackError:
        traffic.abandon()
    except BaseException:
        traffic.abandon()
        raise


def resets(bench: Bench) -> int:
    """How often NDIS reset the adapter."""
    return int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little")


@pytest.mark.requirement("FLT-17")
def test_a_hole_in_a_ring_that_only_receives_is_found() -> None:
    """The entry that is lost is followed by others; no send is there to notice."""
    with Bench(queues=1, cpus=1) as bench:
        with arm(bench, "write-back drop", must_fire=True):
            for number in range(4):
                bench.receive(plain_frame(90 + number))
                bench.settle()
        bench.advance(10 * SECOND_NS)
        assert (resets(bench), bench.received) == (1, [])
        bench.receive(tcp_frame(b"afterwards"))
        bench.settle()
        assert bench.received == [tcp_frame(b"afterwards")]


@pytest.mark.requirement("FLT-17")
def test_what_is_sent_from_a_completion_does_not_outlive_the_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(queues=1, cpus=1, manual=True) as bench:
        complete = bench.protocol.send_net_buffer_lists_complete
        again: list[NetBufferList] = []

        def sends_again(binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag) -> None:
            complete(binding, chain, flags)
            is_first = not again
            again.append(chain)
            if is_first:
                bench.send(plain_frame(70))

        bench.send(plain_frame(80))
        monkeypatch.setattr(bench.protocol, "send_net_buffer_lists_complete", sends_again)
        bench.adapter.reset()
        assert (resets(bench), len(again)) == (1, 2)
        assert not bench.adapter.sends.outstanding()
