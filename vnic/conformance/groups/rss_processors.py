"""RSS, processors: which of them keywords allow, and where frames go that have no hash."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, take
from vnic.conformance.groups.rss import capabilities, enable, flows, in_order
from vnic.conformance.groups.rss_sets import set_parameters
from vnic.conformance.pages import ddi, guide
from vnic.host.bus import InterruptKind
from vnic.ndis.rss import ReceiveScaleParameters, RssCapability, RssFlag
from vnic.testbench.bench import RSS_KEY, RSS_TYPES, Bench
from vnic.testbench.frames import plain_frame

_KEYWORDS = guide("standardized-inf-keywords-for-rss")
_PARAMETERS = ddi("ns-ntddndis-_ndis_receive_scale_parameters", "ntddndis")
_TABLE = guide("rss-configuration")
_CAPABILITIES = ddi("ns-ntddndis-_ndis_receive_scale_capabilities", "ntddndis")


def _unhashed(bench: Bench, count: int = 12) -> set[int]:
    """The processors on which frames without a hash come up."""
    got = take(bench, *[plain_frame(90, number, bench.station) for number in range(count)])
    assert len(got) == count, f"{len(got)} of {count} frames came"
    assert {frame.hash for frame in got} == {None}, "a frame that is no IP has a hash"
    return {frame.cpu for frame in got}


@case(
    _PARAMETERS,
    "frames without a hash come up on DefaultProcessorNumber, of revision 3",
    Feature.RSS,
)
def the_default_processor(bench: Bench) -> None:
    """Set each processor as the default, with a table that names others."""
    count = min(len(bench.processors), capabilities(bench).receive_queues)
    if count < 3:
        raise NotSupported("three processors")
    for default in (count - 1, 1, 0):
        others = tuple(cpu for cpu in range(count) if cpu != default)[:2]
        wanted = ReceiveScaleParameters(
            hash_information=int(RSS_TYPES) | 1,
            table=others,
            key=RSS_KEY,
            revision=3,
            default_processor=default,
        )
        status = set_parameters(bench, wanted)
        if status != OK:
            raise NotSupported(f"NDIS_RECEIVE_SCALE_PARAMETERS of revision 3: {status!s}")
        assert _unhashed(bench) == {default}, (
            f"frames without a hash come up on others than processor {default}"
        )
        assert {frame.cpu for frame in in_order(bench, flows(bench, 24))} <= set(others), (
            "hashed frames come up on processors that the table does not name"
        )


@case(
    _PARAMETERS,
    "a default processor that the host does not have is refused, and changes nothing",
    Feature.RSS,
)
def a_default_processor_that_is_none(bench: Bench) -> None:
    """With RSS on, set default processors that are not there, with tables that are right."""
    count = len(bench.processors)
    enable(bench)
    frames = flows(bench, 16)
    before = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
    for default in (count, count + 1, 63):
        wanted = ReceiveScaleParameters(
            hash_information=int(RSS_TYPES) | 1,
            table=(1, 0),
            key=RSS_KEY,
            revision=3,
            default_processor=default,
        )
        status = set_parameters(bench, wanted)
        assert status.is_error, f"default processor {default} of {count} was accepted ({status!s})"
        after = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
        assert after == before, f"default processor {default} was refused, and changed where frames come up"
    _unhashed(bench)


def _allowed(bench: Bench, processors: set[int]) -> None:
    found = _unhashed(bench)
    assert found <= processors, (
        f"frames come up on processors {sorted(found)}, keywords allow {sorted(processors)}"
    )
    claimed = capabilities(bench).receive_queues
    assert claimed <= len(processors), (
        f"{claimed} receive queues are claimed for {len(processors)} processors"
    )
    table = tuple(sorted(processors))
    enable(bench, table if len(table) in (1, 2, 4) else table[:1])
    seen = {frame.cpu for frame in in_order(bench, flows(bench, 40))}
    assert seen <= processors, f"with RSS frames come up on {sorted(seen)}"


@case(
    _KEYWORDS,
    "RSS processors begin at *RssBaseProcNumber",
    Feature.RSS,
    queues=4,
    cpus=4,
    keywords={"*RssBaseProcNumber": 2},
)
def from_the_base_processor_on(bench: Bench) -> None:
    """*RssBaseProcNumber is 2 on a machine with four processors."""
    _allowed(bench, {2, 3})


@case(
    _KEYWORDS,
    "RSS processors end at *RssMaxProcNumber",
    Feature.RSS,
    queues=4,
    cpus=4,
    keywords={"*RssMaxProcNumber": 1},
)
def up_to_the_last_processor(bench: Bench) -> None:
    """*RssMaxProcNumber is 1 on a machine with four processors."""
    _allowed(bench, {0, 1})


@case(
    _KEYWORDS,
    "no more processors are used than *MaxRssProcessors",
    Feature.RSS,
    queues=4,
    cpus=4,
    keywords={"*MaxRssProcessors": 2},
)
def no_more_processors_than_allowed(bench: Bench) -> None:
    """*MaxRssProcessors is 2 on a machine with four."""
    _allowed(bench, {0, 1})


@case(
    _PARAMETERS,
    "DISABLE_RSS leads back to the state after initialization, whatever was set before it",
    Feature.RSS,
)
def disabled_after_everything(bench: Bench) -> None:
    """Over one processor, then off: hashes and processors are as at first, also after a reset; then on."""
    first = [(frame.cpu, frame.hash) for frame in in_order(bench, flows(bench, 10))]
    base = _unhashed(bench)
    last = min(len(bench.processors), capabilities(bench).receive_queues) - 1
    enable(bench, (last,))
    assert set_parameters(bench, ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS)) == OK
    for when in ("", " after a reset"):
        after = [(frame.cpu, frame.hash) for frame in in_order(bench, flows(bench, 10))]
        assert after == first, f"frames are still hashed or spread when RSS is off{when}"
        assert _unhashed(bench) == base, f"frames without a hash come up elsewhere when RSS is off{when}"
        bench.adapter.reset()
        bench.settle()
    enable(bench)
    assert any(frame.hash for frame in in_order(bench, flows(bench, 10))), "RSS cannot be switched on again"


@case(_TABLE, "a set is in force for every frame that comes after it", Feature.RSS)
def tables_in_force_at_once(bench: Bench) -> None:
    """Twenty tables, one after the other: the next frames come up where the last of them says."""
    count = min(len(bench.processors), capabilities(bench).receive_queues)
    frames = flows(bench, 16)
    for turn in range(20):
        table = tuple((entry * (turn + 1) + turn) % count for entry in range(1 << turn % 5))
        enable(bench, table)
        for frame in in_order(bench, frames):
            assert frame.hash is not None
            wanted = table[frame.hash[2] & len(table) - 1]
            assert frame.cpu == wanted, f"table {turn}: processor {frame.cpu}, not {wanted}"


def _messages(bench: Bench, kind: InterruptKind) -> None:
    """The flags and the count of messages against what the machine granted; then RSS on what there is."""
    said = capabilities(bench)
    assert bench.system.vector_kind is kind
    signalled = bool(said.flags & RssCapability.MESSAGE_SIGNALED_INTERRUPTS)
    assert signalled == (kind is not InterruptKind.INTX), f"MESSAGE_SIGNALED_INTERRUPTS is {signalled}"
    using = bool(said.flags & RssCapability.USING_MSI_X)
    assert using == (kind is InterruptKind.MSIX), f"USING_MSI_X is {using}"
    most = 1 if kind is InterruptKind.INTX else len(bench.processors) + 1
    assert 1 <= said.interrupt_messages <= most, f"{said.interrupt_messages} messages, of {most} granted"
    enable(bench)
    frames = flows(bench, 24)
    cpus = {frame.cpu for frame in in_order(bench, frames)}
    assert len(cpus) > 1 or kind is not InterruptKind.MSIX, "frames of 24 flows are on one processor"


@case(_CAPABILITIES, "with MSI-X the messages and their kind are told", Feature.RSS, queues=4, cpus=4)
def capabilities_with_msi_x(bench: Bench) -> None:
    """The machine grants MSI-X; compare the capabilities, then spread 24 flows."""
    _messages(bench, InterruptKind.MSIX)


@case(
    _CAPABILITIES,
    "with MSI the message is told, and no MSI-X",
    Feature.RSS,
    queues=4,
    cpus=4,
    interrupt="msi",
)
def capabilities_with_msi(bench: Bench) -> None:
    """The machine grants MSI and nothing else; compare the capabilities, then spread 24 flows."""
    _messages(bench, InterruptKind.MSI)


@case(_CAPABILITIES, "with the line no message is told of", Feature.RSS, queues=4, cpus=4, interrupt="line")
def capabilities_with_the_line(bench: Bench) -> None:
    """The machine grants the INTx line and nothing else; compare the capabilities, then spread 24 flows."""
    _messages(bench, InterruptKind.INTX)


@case(
    _PARAMETERS,
    "with RSS off again frames are where they were before it was on",
    Feature.RSS,
    queues=4,
    cpus=4,
)
def back_home(bench: Bench) -> None:
    """Note the processor of 24 flows; RSS on with tables of one processor each, off; three times."""
    frames = flows(bench, 24)
    before = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
    last = min(len(bench.processors), capabilities(bench).receive_queues) - 1
    for processor in (last, 1, last):
        enable(bench, (processor,) * 4)
        assert {frame.cpu for frame in in_order(bench, frames)} == {processor}
        assert set_parameters(bench, ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS)) == OK
        after = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
        assert after == before, f"after RSS on processor {processor} frames are on other ones than before"


@case(
    _KEYWORDS,
    "a *RssBaseProcNumber that the machine does not have takes no processor away",
    Feature.RSS,
    queues=4,
    cpus=4,
    keywords={"*RssBaseProcNumber": 17},
)
def a_base_that_there_is_not(bench: Bench) -> None:
    """*RssBaseProcNumber is 17 on a machine with four processors: RSS works, or is not offered."""
    if bench.adapter.general is None or bench.adapter.general.receive_scale is None:
        raise NotSupported("RSS behind the last processor")
    assert bench.set_rss((0,) * 4) == OK, "processor 0 is refused"
    frames = flows(bench, 12)
    assert {frame.cpu for frame in in_order(bench, frames)} == {0}
