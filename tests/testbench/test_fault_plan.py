"""Fault plans as values and as text: what is written is read again, and nonsense is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultPick, FaultSite, FaultTimer
from vnic.errors import ArgumentError
from vnic.fault import ANY, Fault
from vnic.fuzz.effort import examples
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0, COPY_BAR0
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.fault_plan import (
    ALWAYS,
    FaultPlan,
    Pending,
    Rule,
    Where,
    admin,
    descriptor_fetch,
    dma,
    frame,
    interrupt,
    oid,
    payload,
    register,
    timer,
    write_back,
)
from vnic.testbench.fault_plan_text import (
    format_plan,
    parse_plan,
    parse_rule,
    plan_from_json,
    plan_to_json,
)

BYTE, WORD = st.integers(0, 255), st.integers(0, 2**64 - 1)
REGISTERS = [each for each in BAR0.MAP if each.count > 1] + [BAR0.GLB_STATUS, COPY_BAR0.CHANCTRL]
WAYS = st.sampled_from(["read", "write"])

places = st.one_of(
    st.builds(
        lambda r, n, a: register(r.name, n % r.count, access=a), st.sampled_from(REGISTERS), BYTE, WAYS
    ),
    st.builds(dma, WAYS, st.sampled_from(["", *(p.name.lower() for p in DmaPurpose)]), first=WORD),
    st.builds(interrupt, st.none() | BYTE),
    st.builds(frame, st.just("in"), shortest=BYTE, longest=st.integers(256, 2**64 - 1)),
    st.builds(frame, st.just("out"), st.none() | BYTE),
    st.builds(timer, st.sampled_from([t.name.lower() for t in FaultTimer]), st.none() | BYTE),
    st.builds(admin, st.sampled_from(["", "create", "terminate"]), st.sampled_from(["", "path", "tcp"])),
    st.builds(oid, st.sampled_from(["", "OID_GEN_RCV_OK"]), st.sampled_from(["", "query", "set"])),
)


whens = st.tuples(
    st.integers(0, 3),
    st.just(ALWAYS) | st.integers(1, 9),
    st.sampled_from(["", "every", "one_in"]),
    st.integers(1, 9),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule that means something."""
    start = Pending(FaultPlan(), draw(places))
    after, times, thinned, one_of = draw(whens)
    when = {"after": after, "times": times} | ({thinned: one_of} if thinned else {})
    status = draw(st.sampled_from([DmaStatus.POISONED, NDIS_STATUS.RESOURCES, ChmStatus.BUSY]))
    number, mask = draw(WORD), draw(st.integers(1, 2**64 - 1))
    makers: list[Callable[[], FaultPlan]] = [
        lambda: start.error(**when),
        lambda: start.error(status, **when),
        lambda: start.drop(**when),
        lambda: start.corrupt(mask, number, **when),
        lambda: start.duplicate(number, **when),
        lambda: start.delay(number, **when),
        lambda: start.reorder(number, **when),
        lambda: start.stuck(number & mask, mask, **when),
        lambda: start.remove(**when),
    ]
    for maker in draw(st.permutations(makers)):
        try:
            return maker().rules[0]
        except ArgumentError:
            continue
    raise AssertionError(f"nothing means anything at {start.where}")


plans = st.builds(FaultPlan, st.lists(rules(), max_size=4).map(tuple), st.integers(0, 2**32))


@pytest.mark.requirement("FLT-13")
@given(plan=plans)
@examples(40)
def test_what_is_written_is_read_again(plan: FaultPlan) -> None:
    assert parse_plan(format_plan(plan)) == plan
    assert plan_from_json(plan_to_json(plan)) == plan


TAIL = BAR0.QP_TX_TAIL.at(1)


@pytest.mark.requirement("FLT-13")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "register QP_TX_TAIL queue=1 write drop after=3 times=2",
            Fault(
                site=FaultSite.MMIO_WRITE,
                action=FaultAction.DROP,
                index=0,
                first=TAIL,
                last=TAIL + 3,
                skip=3,
                count=2,
            ),
        ),
        (
            "write-back corrupt offset=8 mask=0x10000",
            Fault(
                site=FaultSite.DMA_WRITE,
                action=FaultAction.CORRUPT,
                index=DmaPurpose.COMPLETION,
                argument=8,
                mask=0x10000,
            ),
        ),
        (
            "interrupt vector=1 delay 50us one-in=10",
            Fault(
                site=FaultSite.INTERRUPT,
                action=FaultAction.DELAY,
                index=1,
                argument=50_000,
                count=ALWAYS,
                pick=FaultPick.CHANCE,
                one_in=10,
                seed=5,
            ),
        ),
        (
            "interrupt drop every=3",
            Fault(
                site=FaultSite.INTERRUPT,
                action=FaultAction.DROP,
                count=ALWAYS,
                pick=FaultPick.EVERY,
                one_in=3,
            ),
        ),
        (
            "descriptor-fetch error poisoned",
            Fault(
                site=FaultSite.DMA_READ,
                action=FaultAction.ERROR,
                index=DmaPurpose.DESCRIPTOR,
                argument=DmaStatus.POISONED,
            ),
        ),
        (
            "payload read error",
            Fault(
                site=FaultSite.DMA_READ,
                action=FaultAction.ERROR,
                index=DmaPurpose.DATA,
                argument=DmaStatus.ABORTED,
            ),
        ),
        (
            "frame in length=60..100 reorder 2",
            Fault(site=FaultSite.FRAME_IN, action=FaultAction.REORDER, first=60, last=100, argument=2),
        ),
        (
            "frame out queue=1 duplicate",
            Fault(site=FaultSite.FRAME_OUT, action=FaultAction.DUPLICATE, index=1),
        ),
        (
            "register GLB_STATUS read stuck LINK_UP=0",
            Fault(
                site=FaultSite.MMIO_READ,
                action=FaultAction.STUCK,
                index=0,
                first=BAR0.GLB_STATUS.offset,
                last=BAR0.GLB_STATUS.offset + 3,
                count=ALWAYS,
                mask=BAR0.GLB_STATUS.field("LINK_UP").mask,
            ),
        ),
        (
            "timer moderation vector=2 early",
            Fault(
                site=FaultSite.TIMER, action=FaultAction.ERROR, index=FaultTimer.MODERATION, first=2, last=2
            ),
        ),
        (
            "timer tcp late 1ms times=always",
            Fault(
                site=FaultSite.TIMER,
                action=FaultAction.DELAY,
                index=FaultTimer.TCP,
                argument=1_000_000,
                count=ALWAYS,
            ),
        ),
        (
            "admin create object=tcp error TCP_ENTRIES",
            Fault(
                site=FaultSite.ADMIN,
                action=FaultAction.ERROR,
                index=ChmOp.CREATE,
                first=ChmObject.TCP,
                last=ChmObject.TCP,
                argument=ChmStatus.TCP_ENTRIES,
            ),
        ),
        (
            "dma write addr=0x1000.. remove",
            Fault(site=FaultSite.DMA_WRITE, action=FaultAction.REMOVE, first=0x1000),
        ),
        ("admin drop", Fault(site=FaultSite.ADMIN, action=FaultAction.DROP, index=ANY)),
    ],
)
def test_what_text_means(text: str, fault: Fault) -> None:
    assert parse_rule(text).fault(seed=5) == fault


def test_a_rule_of_a_copy_engine() -> None:
    rule = parse_rule("register CHANCTRL index=2 read error")
    offset = COPY_BAR0.CHANCTRL.at(2)
    assert rule.fault("copy").first == offset
    with pytest.raises(ArgumentError, match="kind nic has no register CHANCTRL"):
        rule.fault("nic")


@pytest.mark.requirement("FLT-13")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("registre X drop", "no site 'registre'.*did you mean register"),
        ("register QP_TX_TAL drop", "did you mean QP_TX_TAIL"),
        ("register QP_TX_TAIL queue=99 drop", "has 32 elements: 99"),
        ("register drop", "no register ''"),
        ("register QP_TX_TAIL stuck value=1", "value=.. and mask=.., or FIELD=.."),
        ("register QP_TX_TAIL stuck NOT=1", "no field 'NOT'"),
        ("register GLB_STATUS read stuck LINK_UP=2", "LINK_UP has 1 bits: 2"),
        ("register GLB_STATUS read stuck LINK_UP=1 IDLE=1", "one field"),
        ("interrupt", "does not say what happens: corrupt, delay"),
        ("interrupt vector=x drop", "vector is a number, not 'x'"),
        ("interrupt 3 drop", "'3' means nothing here"),
        ("interrupt drop 3", "'3' means nothing here"),
        ("interrupt delay soon", "a time is a number with ns, us, ms or s"),
        ("interrupt delay", "a time is"),
        ("interrupt error ABORTED", "has no status"),
        ("dma drop", "DMA is read or write"),
        ("dma read drop", "DROP means nothing at DMA_READ: a read without an answer is an ERROR"),
        ("dma read desc error", "no purpose of DMA 'desc': descriptor, data"),
        ("dma read error BLA", "no status 'BLA': ABORTED"),
        ("dma read error 77", "no status '77'"),
        ("frame drop", "a frame goes in or out"),
        ("frame in queue=1 drop", "has no queue yet"),
        ("frame in error", "no FCS"),
        ("timer vector=1 drop", "no timer ''"),
        ("timer tcp early", "interval of a vector"),
        ("admin creat drop", "no operation 'creat': create, update"),
        ("admin create object=car drop", "no object 'car': neighbour"),
        ("oid OID_GEN_CURRENT drop", "no OID 'OID_GEN_CURRENT'; did you mean"),
        ("oid set reorder", "REORDER means nothing for a request"),
        ("oid set error SUCCESS", "is no failure"),
        ("admin error 256", "no status of a command"),
        ("oid set delay 0", "a delay of 0"),
        ("write-back drop evry=3", r"no option 'evry' here.*did you mean every"),
        ("write-back drop every=3 one-in=2", "not both"),
        ("write-back drop times=0", "at least 1"),
        ("write-back x drop", "'x' means nothing here"),
        ("seed x", "seed is a number"),
    ],
)
def test_what_is_refused_and_how(text: str, why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        parse_plan(text)


@pytest.mark.requirement("FLT-13")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "in JSON"),
        ("[]", "is {"),
        ('{"rules": "x"}', "is {"),
        ('{"rules": [], "seed": "x"}', "is {"),
        ('{"rules": [], "sed": 1}', "is {"),
        ('{"rules": ["interrupt"]}', "does not say what happens"),
    ],
)
def test_json_that_is_none(text: str, why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        plan_from_json(text)


def test_a_plan_is_built_rule_by_rule() -> None:
    plan = (
        FaultPlan(seed=7)
        .on(register("QP_TX_TAIL", queue=1))
        .drop(after=3, times=2)
        .on(write_back())
        .delay(50_000)
        .on(register("GLB_STATUS", access="read"))
        .stuck_field("LINK_UP", 0)
        .on(oid("OID_GEN_CURRENT_PACKET_FILTER", "set"))
        .error(NDIS_STATUS.RESOURCES)
    )
    assert plan == parse_plan(
        """
        seed 7
        register QP_TX_TAIL queue=1 write drop after=3 times=2  # the doorbell is lost
        write-back late 50us; register GLB_STATUS read stuck LINK_UP=0

        oid OID_GEN_CURRENT_PACKET_FILTER set error NDIS_STATUS_RESOURCES
        """
    )
    assert len(plan) == 4
    assert len(plan | FaultPlan().on(interrupt()).drop()) == 5
    with pytest.raises(TypeError, match="evry"):
        FaultPlan().on(interrupt()).drop(evry=3)
    with pytest.raises(ArgumentError, match="read or written"):
        register("GLB_STATUS", access="poke")
    with pytest.raises(ArgumentError, match="query or a set"):
        oid("", "method")


@pytest.mark.requirement("FLT-14")
def test_generators_are_apart_and_repeatable() -> None:
    plan = FaultPlan(seed=1)
    for _ in range(8):
        plan = plan.on(interrupt()).drop(one_in=2)
    other = FaultPlan(plan.rules, 2)
    assert list(plan.seeds()) == list(plan.seeds())
    assert len({*plan.seeds(), *other.seeds()}) == 16


def test_aliases_of_sites() -> None:
    assert descriptor_fetch() == dma("read", "descriptor")
    assert payload("write") == dma("write", "data")
    assert str(Where("register", "QP_TX_TAIL", "write", 1)) == "register QP_TX_TAIL write index=1"
