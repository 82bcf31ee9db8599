"""Armed fault plans: who fired and when, OID requests, traces that replay, and a driver that survives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import EventType
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.errors import ArgumentError, CapacityError
from vnic.fuzz.effort import examples
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query, set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation
from vnic.netdma.types import Transfer
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.fault_plan import FaultPlan, interrupt, write_back
from vnic.testbench.fault_plan_handle import Firing, NeverFired, arm
from vnic.testbench.fault_plan_text import parse_plan
from vnic.testbench.frames import plain_frame, tcp_frame
from vnic.trace.ambient import recording
from vnic.trace.file import TraceReader
from vnic.trace.replay import Outcome, Replay
from vnic.trace.text import Lines

SECOND_NS = 1_000_000_000


# -- the handle ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("FLT-15")
def test_a_handle_says_what_fired_and_when() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.advance(1000)
        with arm(bench, "frame out length=60..99 delay 2us times=2; interrupt drop; frame in drop") as handle:
            bench.receive(plain_frame(100))
            assert handle.fired == 1
            bench.send(plain_frame(70))
            bench.settle()
            bench.send(plain_frame(80))
            bench.settle()
        assert [(f.rule, f.time_ns, f.addr) for f in handle.firings if f.rule != 1] == [
            (2, 1000, 100),
            (0, 1000, 70),
            (0, 3000, 80),
        ]
        assert [handle.fired_of(rule) for rule in range(3)] == [2, 1, 1]
        assert (handle.first_fired_ns, handle.silent) == (1000, [])
        assert bench.transmitted == [plain_frame(70), plain_frame(80)]
        handle.disarm()
        bench.advance(10 * SECOND_NS)  # the driver has found out about its lost interrupt
        bench.receive(plain_frame(100))
        bench.settle()
        assert (bench.received[-1:], handle.fired) == ([plain_frame(100)], 4)


@pytest.mark.requirement("FLT-15")
def test_what_had_to_fire_and_did_not() -> None:
    plan = FaultPlan().on(interrupt(0)).drop().on(write_back()).drop(after=5)
    with Device() as device:
        silent = pytest.raises(NeverFired, match=r"interrupt vector=0 drop; write-back drop after=5")
        with silent, arm(device, plan, must_fire=True) as handle:
            assert handle.first_fired_ns is None
        with pytest.raises(KeyError), arm(device, plan, must_fire=True):
            raise KeyError  # an error of the test's own is not covered up
        with arm(device, plan) as handle:
            pass
        assert len(handle.silent) == 2


def test_what_cannot_be_armed_leaves_nothing_behind() -> None:
    with Device(faults=2) as device:
        with pytest.raises(CapacityError):
            arm(device, "interrupt drop; interrupt drop; interrupt drop")
        arm(device, "interrupt drop; interrupt drop").disarm()
        with pytest.raises(ArgumentError, match="arm the plan on a bench"):
            arm(device, "oid drop")
    with CopyEngine() as engine:
        with pytest.raises(ArgumentError, match="arm"):
            arm(engine, "frame in drop")
        with pytest.raises(ArgumentError, match="has no register QP_TX_TAIL"):
            arm(engine, "register QP_TX_TAIL drop")
        assert arm(engine, "register CHANCTRL index=1 write drop").fired == 0


@pytest.mark.requirement("FLT-14")
def test_the_same_plan_fires_the_same() -> None:
    def firings(seed: int) -> list[Firing]:
        with (
            Bench(queues=1, cpus=1) as bench,
            arm(bench, parse_plan("frame in drop one-in=3", seed)) as handle,
        ):
            for number in range(30):
                bench.receive(plain_frame(100 + number))
            bench.settle()
            return handle.firings

    assert firings(1) == firings(1)
    assert firings(1) != firings(2)
    assert 0 < len(firings(1)) < 30


# -- requests ------------------------------------------------------------------------------------------------

FILTER = OID.GEN_CURRENT_PACKET_FILTER


def set_filter(bench: Bench) -> NDIS_STATUS:
    """A set that goes to the miniport, and 10 us for its end; PENDING: it has none."""
    request = set_(FILTER, (1).to_bytes(4, "little"))
    status = bench.request(request)
    if status == NDIS_STATUS.PENDING:
        bench.advance(10_000)
        return {id(each): ended for each, ended in bench.protocol.oids_completed}.get(id(request), status)
    return status


@pytest.mark.requirement("FLT-16")
def test_a_request_fails_without_the_miniport() -> None:
    with Bench(queues=1, cpus=1) as bench:
        plan = "oid OID_GEN_CURRENT_PACKET_FILTER set error NDIS_STATUS_RESOURCES after=1"
        with arm(bench, plan, must_fire=True) as handle:
            assert set_filter(bench) == NDIS_STATUS.SUCCESS
            assert set_filter(bench) == NDIS_STATUS.RESOURCES
            assert set_filter(bench) == NDIS_STATUS.SUCCESS
            assert [firing.addr for firing in handle.firings] == [FILTER]


@pytest.mark.requirement("FLT-16")
def test_a_request_is_late() -> None:
    with Bench(queues=1, cpus=1) as bench:
        with arm(bench, "oid OID_GEN_CURRENT_PACKET_FILTER delay 5us"):
            began = bench.clock.now_ns
            assert set_filter(bench) == NDIS_STATUS.SUCCESS
            assert bench.clock.now_ns == began + 10_000
        with arm(bench, "oid OID_GEN_CURRENT_PACKET_FILTER delay 50us"):
            assert set_filter(bench) == NDIS_STATUS.PENDING
        assert set_filter(bench) == NDIS_STATUS.SUCCESS


@pytest.mark.requirement("FLT-16")
@pytest.mark.parametrize("plan", ["oid set drop", "oid set delay 1000s"])
def test_disarming_completes_what_waits(plan: str) -> None:
    with Bench(queues=1, cpus=1) as bench:
        handle = arm(bench, plan)
        bench.clock.call_after(1000, handle.disarm)
        expected = NDIS_STATUS.REQUEST_ABORTED if "drop" in plan else NDIS_STATUS.SUCCESS
        assert set_filter(bench) == expected
        assert len(bench.adapter.oids.queue) == 0


@pytest.mark.requirement("FLT-16")
def test_a_completion_that_comes_twice_is_a_breach() -> None:
    bench = Bench(queues=1, cpus=1)
    with arm(bench, "oid set duplicate"), pytest.raises(NdisViolation, match="OID-1"):
        set_filter(bench)
    bench.abandon()


@pytest.mark.requirement("FLT-16")
def test_the_trace_says_which_request_it_was(tmp_path: Path) -> None:
    path = tmp_path / "requests.pcapng"
    with recording(path), Bench(queues=1, cpus=1) as bench, arm(bench, "oid set error after=1"):
        set_filter(bench)
        set_filter(bench)
    with TraceReader(path) as trace:
        marks = [event.text for event in trace if event.type == EventType.MARK]
    told = "fault 0 of the plan: oid set error NDIS_STATUS_FAILURE after=1, on OID_GEN_CURRENT_PACKET_FILTER"
    assert marks == [told]
    with Replay(path) as replay:
        assert replay.run() == Outcome.END


def test_every_second_query_fails() -> None:
    with Bench(queues=1, cpus=1) as bench, arm(bench, "oid query error every=2") as handle:
        asked = [bench.request(query(OID.GEN_INTERRUPT_MODERATION, 64)) for _ in range(4)]
        assert [status == NDIS_STATUS.FAILURE for status in asked] == [False, True, False, True]
        assert handle.fired == 2


# -- the table, end to end -----------------------------------------------------------------------------------


def exchange(bench: Bench) -> None:
    """Frames both ways, time, and a request."""
    for number in range(6):
        bench.receive(tcp_frame(b"in%d" % number), plain_frame(90 + number))
        bench.send(plain_frame(100 + number))
        bench.settle()
    bench.query(OID.GEN_RESET_COUNTS, 4)
    bench.advance(3 * SECOND_NS)  # a check for hang comes by


CELLS = [
    "descriptor-fetch corrupt offset=8 mask=0xff00 after=1",
    "descriptor-fetch stuck value=0 mask=0xff times=1",
    "payload read corrupt",
    "payload read error TIMEOUT",
    "payload write error UNSUPPORTED",
    "payload write drop",
    "payload write duplicate 3us",
    "payload write delay 4us",
    "payload write reorder",
    "payload write stuck value=0x80 mask=0x80 times=3",
    "write-back drop after=2",
    "write-back error ABORTED after=2",
    "write-back corrupt offset=24 mask=7 after=2",
    "write-back duplicate 5us after=1",
    "write-back delay 7us after=1",
    "write-back reorder after=1",
    "interrupt drop every=3",
    "interrupt corrupt mask=0xffff every=3",
    "interrupt duplicate every=2",
    "interrupt delay 9us every=2",
    "interrupt reorder every=2",
    "frame in drop every=4",
    "frame in corrupt offset=30 mask=0xff every=4",
    "frame in duplicate every=4",
    "frame in delay 2us every=4",
    "frame in reorder every=4",
    "frame out drop every=2",
    "frame out corrupt offset=30 every=2",
    "frame out duplicate 1us every=2",
    "frame out delay 2us every=2",
    "frame out reorder every=2",
    "register QP_TX_TAIL index=0 write drop after=1",
    "register QP_TX_TAIL index=0 write duplicate after=1",
    "register QP_TX_TAIL index=0 write delay 3us after=1",
    "register QP_TX_TAIL index=0 write reorder after=1",
    "register QP_TX_TAIL index=0 write corrupt mask=0x100 after=1",
    "register QP_RX_TAIL index=0 write stuck value=0 mask=1 times=2 after=1",
    "register QP_TX_HEAD index=0 read corrupt mask=3",
    "register QP_RX_STATUS index=0 read duplicate",
    "register QP_TX_STATUS index=0 read stuck RUNNING=0 times=1",
    "register QP_TX_STATUS index=0 read error",
    "timer moderation early every=2",
    "timer moderation late 1ms every=2",
    "timer moderation lost after=1",
]
REMOVALS = [
    "descriptor-fetch remove after=2",
    "payload read remove after=2",
    "payload write remove after=2",
    "write-back remove after=2",
    "interrupt remove after=1",
    "frame in remove after=3",
    "frame out remove after=1",
    "register QP_TX_TAIL index=0 write remove after=1",
    "register QP_TX_STATUS read remove",
    "timer moderation remove",
]


def survives(bench: Bench) -> bool:
    """Whether frames pass both ways in the end; if not, the driver said that the hardware is gone."""
    if bench.adapter.state.takes_oids and bench.device.config_read(0) != 0xFFFF_FFFF:
        bench.advance(10 * SECOND_NS)  # checks for hang have come by
        bench.receive(tcp_frame(b"brings to light what is wrong in the rings still"))
        bench.send(plain_frame(99))
        bench.advance(10 * SECOND_NS)
        bench.protocol.received.clear()
        bench.transmitted.clear()
        bench.receive(tcp_frame(b"afterwards"))
        bench.send(plain_frame(99, 1))
        bench.settle()
        assert bench.received == [tcp_frame(b"afterwards")]
        assert bench.transmitted == [plain_frame(99, 1)]
        return True
    return False


def replays(path: Path) -> list[str]:
    """The lines of a trace, whose strict replay comes to its end."""
    with Replay(path) as replay:
        assert replay.run() == Outcome.END, replay.difference
    with TraceReader(path) as reader:
        lines = Lines(reader.header)
        return [lines.what(event) for event in reader if event.type in (EventType.FAULT, EventType.ARM)]


@pytest.mark.requirement("FLT-2", "FLT-17")
@pytest.mark.parametrize("plan", CELLS)
def test_a_cell_fires_replays_and_is_survived(plan: str, tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    with recording(path), Bench(queues=2, cpus=2) as bench:
        with arm(bench, plan, must_fire=True) as handle:
            exchange(bench)
        assert survives(bench)
        fired = handle.fired
    lines = replays(path)
    name = lines[0].split()[2:4]
    assert [line.split()[3:5] for line in lines if " fired: " in line] == [[name[0], f"{name[1]},"]] * fired


@pytest.mark.requirement("FLT-9", "FLT-17")
@pytest.mark.parametrize("plan", REMOVALS)
def test_a_removal_is_noticed_by_the_driver(plan: str, tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    with recording(path), Bench(queues=2, cpus=2) as bench:
        with arm(bench, plan, must_fire=True):
            try:
                exchange(bench)
            except AssertionError:  # the adapter takes no requests any more
                assert not bench.adapter.state.takes_oids
        bench.advance(10 * SECOND_NS)
        assert not survives(bench)
        assert not bench.adapter.sends.outstanding()
    replays(path)


# -- at random -----------------------------------------------------------------------------------------------

SITES = [
    "descriptor-fetch",
    "payload read",
    "payload write",
    "write-back",
    "interrupt",
    "frame in",
    "frame out",
]
SITES += ["register QP_TX_TAIL index=0 write", "register QP_RX_TAIL index=0 write", "timer moderation"]
WHATS = [
    "error",
    "drop",
    "corrupt offset=9 mask=0xff01",
    "duplicate",
    "delay 3us",
    "reorder",
    "stuck value=1 mask=3",
]


def means_something(text: str) -> bool:
    """Whether a rule can be armed."""
    try:
        parse_plan(text)
    except ArgumentError:
        return False
    return True


# A descriptor that was changed stays in the card's cache; an address that is wrong says so to nobody.
UNNOTICED = ("descriptor-fetch corrupt", "descriptor-fetch stuck")
RULES = [
    rule
    for site in SITES
    for what in WHATS
    if means_something(rule := f"{site} {what}") and not rule.startswith(UNNOTICED)
]
whens = st.builds(
    "after={} times={} one-in={}".format, st.integers(0, 8), st.integers(1, 4), st.integers(1, 4)
)
rules = st.builds("{} {}".format, st.sampled_from(RULES), whens)


@pytest.mark.requirement("FLT-17")
@given(texts=st.lists(rules, min_size=1, max_size=4), seed=st.integers(0, 99))
@examples(15)
def test_the_reference_driver_survives_any_plan(texts: list[str], seed: int) -> None:
    plan = parse_plan("; ".join(texts), seed)
    with Bench(queues=2, cpus=2, seed=seed) as bench:
        with arm(bench, plan):
            exchange(bench)
        assert survives(bench) or not bench.adapter.state.takes_oids
        assert not bench.adapter.sends.outstanding()


# -- the copy engine -----------------------------------------------------------------------------------------


class Client:
    """Nothing to do."""

    def pnp_event(self, code: object, provider: object) -> None:
        """Nothing."""


def copies(bench: CopyBench) -> None:
    """Some copies, each completed whatever its fault; the processor would copy what failed."""
    channel = bench.interface.register_client(Client()).allocate_channel(0)
    assert channel is not None
    source, target = bench.buffer(bytes(range(256)) * 8), bench.buffer(2048)
    done: list[bool] = []
    for _ in range(4):
        assert channel.copy([Transfer(target.address, source.address, 2048)], done.append)
        bench.settle()
    bench.advance(10 * SECOND_NS)
    assert len(done) == 4
    channel.free()
    source.free()
    target.free()


@pytest.mark.requirement("FLT-17")
@pytest.mark.parametrize(
    "plan",
    [
        "write-back delay 5us",
        "write-back drop",
        "payload write reorder",
        "payload read stuck value=0 mask=0xff times=2",
        "interrupt delay 5us",
        "descriptor-fetch error POISONED",
    ],
)
def test_faults_of_a_copy_engine_replay(plan: str, tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    with recording(path), CopyBench(channels=2, cpus=2) as bench, arm(bench.engine, plan, must_fire=True):
        copies(bench)
    assert any(" fired: " in line for line in replays(path))
