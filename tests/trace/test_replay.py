"""The replay: exact where nothing changed, and precise about the first thing that did."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.traces import events_of, recorded
from tests.traces.scenarios import FLOWS
from vnic.abi import EventType
from vnic.fuzz.effort import examples
from vnic.testbench.bench import RSS_KEY, RSS_TYPES, Bench, hash_oracle
from vnic.trace.event import FRAMES, HEAD, INPUTS, TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import TraceError
from vnic.trace.judge import Tolerant
from vnic.trace.names import Names
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Decision, Difference, Outcome, Replay

OCTETS = recorded(4)
EVENTS = events_of(OCTETS)


def rewritten(change: Callable[[list[TraceEvent]], list[TraceEvent]], octets: bytes = OCTETS) -> io.BytesIO:
    """The trace with other events."""
    reader = TraceReader(io.BytesIO(octets))
    stream = io.BytesIO()
    writer = TraceWriter(stream, reader.header)
    for event in change(list(reader)):
        writer.write(event)
    stream.seek(0)
    return stream


def the(kind: EventType, number: int = 0) -> int:
    """Where the event of a kind stands."""
    return [event.number for event in EVENTS if event.type == kind][number]


def changed(number: int, **values: Any) -> Callable[[list[TraceEvent]], list[TraceEvent]]:
    """One event with other values."""

    def change(events: list[TraceEvent]) -> list[TraceEvent]:
        events[number] = events[number]._replace(**values)
        return events

    return change


@pytest.mark.requirement("TRC-20")
@pytest.mark.parametrize("compact", [False, True], ids=["full", "compact"])
def test_a_replay_is_exact(compact: bool) -> None:
    octets = recorded(4, compact=compact)
    with Replay(io.BytesIO(octets)) as replay:
        assert replay.run() is Outcome.END
        assert replay.events == len(events_of(octets))
        assert (replay.lost, replay.skipped, replay.difference) == (0, 0, None)


@pytest.mark.requirement("TRC-20")
def test_what_is_written_again_is_the_same_bytes() -> None:
    assert rewritten(lambda events: events).getvalue() == OCTETS


@pytest.mark.requirement("TRC-21")
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (EventType.MMIO_READ, {"value": 0x1234}),
        (EventType.CFG_READ, {"value": 0x4321}),
        (EventType.DMA_WRITE, {"addr": 0x1000}),
        (EventType.DMA_WRITE, {"data": b"\xa5" * 32}),
        (EventType.INTERRUPT, {"value": 99}),
        (EventType.FRAME_IN, {"value": 1}),
        (EventType.FRAME_OUT, {"data": b"something else" * 5}),
        (EventType.HASH, {"value": 1}),
    ],
    ids=lambda each: each.name if isinstance(each, EventType) else "-".join(each),
)
def test_the_first_difference_is_named(kind: EventType, values: dict[str, object]) -> None:
    number = the(kind)
    with Replay(rewritten(changed(number, **values))) as replay:
        assert replay.run() is Outcome.DIFFERENT
        difference = replay.difference
    assert difference is not None
    assert difference.number == number
    assert difference.expected is not None
    assert difference.actual is not None
    (field,) = values
    assert getattr(difference.expected, field) == values[field]
    assert getattr(difference.actual, field)[:64] if field == "data" else True
    if field != "data":
        assert getattr(difference.actual, field) == getattr(EVENTS[number], field)


@pytest.mark.requirement("TRC-21")
@pytest.mark.parametrize(
    ("kind", "field", "by"),
    [
        (EventType.DMA_WRITE, "index", 1), (EventType.DMA_WRITE, "index", -1),
        (EventType.DMA_WRITE, "addr", 1), (EventType.DMA_WRITE, "addr", -1),
        (EventType.DMA_WRITE, "time_ns", 1), (EventType.DMA_WRITE, "function", 1),
        (EventType.INTERRUPT, "width", 1), (EventType.INTERRUPT, "width", -1),
        (EventType.INTERRUPT, "value", 1), (EventType.INTERRUPT, "value", -1),
    ],
)  # fmt: skip
def test_no_field_may_be_one_off(kind: EventType, field: str, by: int) -> None:
    """An output that says less than the trace is as different as one that says more."""
    last = next(each.number for each in EVENTS if each.type == kind and getattr(each, field) + by >= 0)
    other = changed(last, **{field: getattr(EVENTS[last], field) + by})
    with Replay(rewritten(lambda events: other(events)[: last + 1])) as replay:
        assert replay.run() is Outcome.DIFFERENT
        assert replay.difference is not None
        assert replay.difference.number == last


@pytest.mark.requirement("TRC-21")
def test_an_output_too_many_and_one_too_few() -> None:
    number = the(EventType.DMA_WRITE, 3)

    def doubled(events: list[TraceEvent]) -> list[TraceEvent]:
        return [*events[: number + 1], events[number], *events[number + 1 :]]

    with Replay(rewritten(doubled)) as replay:
        assert replay.run() is Outcome.DIFFERENT
        assert replay.difference is not None
        assert replay.difference.number == number + 1
    with Replay(rewritten(lambda events: [*events[:number], *events[number + 1 :]])) as replay:
        assert replay.run() is Outcome.DIFFERENT
        assert replay.difference is not None
        assert replay.difference.actual is not None
        assert replay.difference.actual.type == EventType.DMA_WRITE


@pytest.mark.requirement("TRC-21")
def test_outputs_that_nothing_causes() -> None:
    def first(events: list[TraceEvent]) -> list[TraceEvent]:
        return [*events, events[the(EventType.INTERRUPT)]]

    with Replay(rewritten(first)) as replay:
        assert replay.run() is Outcome.DIFFERENT
        assert replay.difference is not None
        assert replay.difference.number == len(EVENTS)
        assert replay.difference.actual is None


def test_it_stops_where_it_is_told_and_goes_on() -> None:
    with Replay(io.BytesIO(OCTETS)) as replay:
        for until in range(0, len(EVENTS), 10):
            outcome = replay.run(until)
            assert outcome is Outcome.STOPPED
            assert replay.events >= until
        assert replay.run() is Outcome.END


@pytest.mark.requirement("TRC-22")
def test_masks_bear_what_may_differ() -> None:
    names = Names(TraceReader(io.BytesIO(OCTETS)).header)
    number = the(EventType.MMIO_READ, 2)
    register = names.name(EVENTS[number]).split("[")[0]
    wrong = EVENTS[number].value ^ 0x6
    for mask, kept in ((0x6, 0), (0x2, 1), (-1, 0)):
        judge = Tolerant(names, {register: mask})
        with Replay(rewritten(changed(number, value=wrong)), judge=judge) as replay:
            assert replay.run() is Outcome.END
        assert len(judge.differences) == kept
        assert judge.borne == 1 - kept
        assert dict(judge.counts) == ({register: 1} if kept else {})


@pytest.mark.requirement("TRC-22")
def test_without_resync_a_missing_event_ends_it() -> None:
    judge = Tolerant(Names(TraceReader(io.BytesIO(OCTETS)).header))
    number = the(EventType.DMA_WRITE, 3)
    with Replay(rewritten(lambda events: [*events[:number], *events[number + 1 :]]), judge=judge) as replay:
        assert replay.run() is Outcome.DIFFERENT


@pytest.mark.requirement("TRC-23")
@examples(10)
@given(st.data())
def test_resync_finds_its_way_back(data: st.DataObject) -> None:
    """Outputs taken out, doubled or changed: the replay meets the trace again and ends with the same hash."""
    outputs = [e.number for e in EVENTS if e.type not in INPUTS | _ASIDE | FRAMES]
    chosen = data.draw(st.lists(st.sampled_from(outputs), min_size=1, max_size=6, unique=True))
    manner = data.draw(st.sampled_from(["drop", "double", "change"]))

    def change(events: list[TraceEvent]) -> list[TraceEvent]:
        out: list[TraceEvent] = []
        for event in events:
            if event.number not in chosen:
                out.append(event)
            elif manner == "double":
                out += [event, event]
            elif manner == "change":
                out.append(event._replace(addr=event.addr ^ 8))
        return out

    judge = Tolerant(Names(TraceReader(io.BytesIO(OCTETS)).header), resync=True)
    with Replay(rewritten(change), judge=judge) as replay:
        assert replay.run() is Outcome.END
    assert judge.differences
    assert EventType.HASH.name not in judge.counts


# What a DMA read returned decides what the device does: without it, it goes another way.
_ASIDE = frozenset({EventType.DMA_READ, EventType.MAP, EventType.UNMAP, EventType.MARK, EventType.HASH})


def test_a_judge_that_raises() -> None:
    def judge(difference: Difference) -> Decision:
        raise ZeroDivisionError("of the judge")

    with (
        Replay(rewritten(changed(the(EventType.MMIO_READ), value=77)), judge=judge) as replay,
        pytest.raises(ZeroDivisionError, match="of the judge"),
    ):
        replay.run()


@pytest.mark.requirement("TRC-20")
def test_another_register_map_is_noted() -> None:
    """Not refused: the replay says by name what of the map makes a difference, if anything does."""
    text = TraceReader(io.BytesIO(OCTETS)).header.functions[0].map
    with Replay(io.BytesIO(OCTETS)) as replay:
        assert replay.notes == []
    with Replay(io.BytesIO(OCTETS.replace(text.encode(), b"0" * 16, 1))) as replay:
        assert "another register map, 0000000000000000" in replay.notes[0]
        assert replay.run() is Outcome.END


@pytest.mark.requirement("TRC-4")
def test_frames_carry_hash_and_queue_of_their_arrival() -> None:
    stream = io.BytesIO()
    with Bench(queues=4, cpus=4) as bench:
        bench.set_rss()
        with Recorder(stream, bench.device):
            bench.receive(*FLOWS)
    frames = [event for event in events_of(stream.getvalue()) if event.type == EventType.FRAME_IN]
    assert [event.data for event in frames] == FLOWS
    for event in frames:
        _, hash_value = hash_oracle(event.data, int(RSS_TYPES), RSS_KEY)
        assert event.addr == hash_value | 1 << 32
    assert len({event.index for event in frames}) > 1
    stream.seek(0)
    with Replay(stream) as replay:
        assert replay.run() is Outcome.END


@pytest.mark.requirement("TRC-9")
@pytest.mark.parametrize("number", [1, 100, len(EVENTS) - 1])
def test_a_file_cut_short_is_replayed_to_its_end(number: int) -> None:
    whole = OCTETS[: EVENTS[number].offset + 16]
    with Replay(io.BytesIO(whole)) as replay:
        assert replay.run() is Outcome.CUT
        assert replay.events == number
    reader = TraceReader(io.BytesIO(whole))
    assert len(list(reader)) == number
    assert reader.cut == len(whole)


@pytest.mark.requirement("TRC-8")
def test_what_is_not_known_is_skipped() -> None:
    number = the(EventType.MMIO_READ, 4)
    event = EVENTS[number]
    octets = bytearray(OCTETS)
    # Behind the block's head: version, then type.
    for place, value in ((0, 2), (1, 99)):
        odd = bytearray(octets)
        odd[event.offset + 28 + place] = value
        reader = TraceReader(io.BytesIO(bytes(odd)))
        assert len(list(reader)) == len(EVENTS) - 1
        assert reader.skipped == 1
        with Replay(io.BytesIO(bytes(odd))) as replay:
            replay.run()
            assert replay.skipped == 1


@pytest.mark.requirement("TRC-10")
def test_events_that_are_missing_are_reported() -> None:
    marks = [event for event in EVENTS if event.type == EventType.MARK]
    start = marks[0].offset
    length = int.from_bytes(OCTETS[start + 4 : start + 8], "little")
    octets = OCTETS[:start] + OCTETS[start + length :]
    reader = TraceReader(io.BytesIO(octets))
    list(reader)
    assert reader.lost == 1
    with Replay(io.BytesIO(octets)) as replay:
        assert replay.run() is Outcome.END
        assert replay.lost == 1


@pytest.mark.parametrize("flags", [2, 4, 6, 3, 7])
def test_parts_without_a_beginning_an_end_or_data(flags: int) -> None:
    """Flags of parts on events that are whole, most of them without data: none is joined with another."""
    octets = bytearray(OCTETS)
    for event in EVENTS[3:40]:
        octets[event.offset + 28 + 5] = flags
    reader = TraceReader(io.BytesIO(bytes(octets)))
    assert len(list(reader)) <= len(EVENTS)
    with Replay(io.BytesIO(bytes(octets))) as replay:
        assert replay.run() in {Outcome.DIFFERENT, Outcome.END}


@examples(10)
@given(st.data())
def test_damaged_files_end_in_words(data: st.DataObject) -> None:
    octets = bytearray(OCTETS)
    for _ in range(data.draw(st.integers(1, 8))):
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        with Replay(io.BytesIO(bytes(octets))) as replay:
            replay.run()
    except TraceError as error:
        assert str(error)


@examples(10)
@given(st.data())
def test_damaged_events_end_in_words(data: st.DataObject) -> None:
    """As above, in the events' own fields: a device is told nonsense, and bears it."""
    octets = bytearray(OCTETS)
    for _ in range(data.draw(st.integers(1, 20))):
        event = data.draw(st.sampled_from(EVENTS))
        place = event.offset + 28 + data.draw(st.integers(0, HEAD.size - 1))
        if place < len(octets):
            octets[place] = data.draw(st.integers(0, 255))
    judge = Tolerant(Names(TraceReader(io.BytesIO(OCTETS)).header), resync=True)
    for each in (None, judge):
        try:
            with Replay(io.BytesIO(bytes(octets)), judge=each) as replay:
                replay.run()
        except TraceError as error:
            assert str(error)


@examples(10)
@given(st.permutations(range(60)))
def test_events_in_another_order_end_in_words(order: list[int]) -> None:
    with Replay(rewritten(lambda events: [events[i] for i in order] + events[60:])) as replay:
        assert replay.run() in {Outcome.DIFFERENT, Outcome.END}
