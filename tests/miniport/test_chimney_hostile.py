"""A card that reports nonsense of connections, and memory that runs out: nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.errors import AllocationError
from vnic.gen.descriptors import ChmAdminCompletion, ChmCompletion, ChmData, ChmEventEntry, ChmTcp
from vnic.gen.enums import ChmEvent, ChmReason, ChmStatus, CompletionType
from vnic.host.cpu import Level
from vnic.miniport.receive import RingFault
from vnic.testbench.chimney.blocks import (
    ABORTED,
    EVENT,
    FAILURE,
    OK,
    REASON,
    STATE,
    TYPE,
    UPLOAD,
    block_of,
    tcp,
)
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH

NONSENSE: list[Any] = [
    ChmAdminCompletion(cookie=12345, type=CompletionType.CHM_ADMIN),
    ChmCompletion(count=2, type=CompletionType.CHM_SEND),
    ChmCompletion(count=1 << 31, type=CompletionType.CHM_SEND),
    ChmCompletion(count=3, type=CompletionType.CHM_RECEIVE),
    ChmCompletion(count=1, bytes=101, type=CompletionType.CHM_RECEIVE),
    ChmCompletion(count=4, status=ChmStatus.LATE, type=CompletionType.CHM_RECEIVE),
    ChmCompletion(count=1, type=CompletionType.CHM_DISCONNECT),
    ChmCompletion(count=1, type=CompletionType.CHM_FORWARD),
    ChmData(len=10, index=99, data_count=10, type=CompletionType.CHM_DATA),
    ChmData(len=10, index=0, data_count=11, type=CompletionType.CHM_DATA),
    ChmData(len=1 << 20, index=0, data_count=1 << 20, type=CompletionType.CHM_DATA),
    ChmEventEntry(event=ChmEvent.RETRIEVE, reason=99, type=CompletionType.CHM_EVENT),
]


@pytest.mark.parametrize("entry", NONSENSE, ids=str)
def test_an_entry_that_makes_no_sense_costs_a_reset(entry: Any) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"one")
        connection.post(100)
        entry.handle = connection.handle.MiniportOffloadContext.value.handle
        queue = bench.miniport.card.queues[0]  # type: ignore[attr-defined]
        poll = queue.poll

        def poll_once(budget: int) -> Any:
            queue.poll = poll
            harvest = poll(budget)
            harvest.chimney.append(entry.pack())
            return harvest

        queue.poll = poll_once
        connection.receive(b"wakes the queue", flags=PUSH)
        ends = [each for each in connection.log if each[0] in (EVENT.RETRIEVE.name, EVENT.ABORT.name)]
        assert ends == [(EVENT.RETRIEVE.name, REASON.HARDWARE_FAILURE), (EVENT.ABORT.name, 0)]
        assert {each[1] for each in connection.log if each[0] in ("sent", "received")} <= {OK, ABORTED}
        assert connection.terminate().Status == FAILURE
        bench.release()
        bench.transmitted.clear()
        (again,) = bench.connect()
        again.send(b"works")
        assert again.acknowledge() == b"works"


def test_entries_of_connections_that_are_gone_are_nobodys() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        handle = connection.handle.MiniportOffloadContext.value.handle
        connection.terminate()
        gone = [
            ChmCompletion(handle=handle, count=1, type=kind).pack()
            for kind in (CompletionType.CHM_SEND, CompletionType.CHM_RECEIVE, CompletionType.CHM_FORWARD)
        ]
        gone.append(ChmEventEntry(handle=handle, event=ChmEvent.FIN, type=CompletionType.CHM_EVENT).pack())
        gone.append(
            ChmEventEntry(handle=77, event=ChmEvent.NEIGHBOUR_QUERY, type=CompletionType.CHM_EVENT).pack()
        )
        bench.rings.serve(0, gone)
        assert connection.log == []


def no_memory(*_: object, **__: object) -> None:
    raise AllocationError("none left")


def test_receives_that_cannot_be_mapped_are_filled_through_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        monkeypatch.setattr(bench.system, "map", no_memory)
        connection.post(10, 10)
        monkeypatch.undo()
        connection.receive(b"0123456789abc", flags=PUSH)
        assert connection.told("received") == [(OK, 10), (OK, 3)]
        assert connection.stream == b"0123456789abc"


def test_a_segment_that_cannot_be_copied_stays_with_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        monkeypatch.setattr(bench.system, "alloc_coherent", no_memory)
        connection.forward(connection.peer.tcp(b"data", flags=PUSH))
        monkeypatch.undo()
        assert connection.told("forwarded") == [(UPLOAD,)]
        connection.receive(b"data", flags=PUSH)
        assert connection.stream == b"data"


def test_buffered_data_that_cannot_be_copied_fails_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        bench.connect()
        assert bench.path_block is not None
        block = tcp(40001, RcvWnd=60000, BufferedData=bench.nbl(b"old"))
        bench.path_block.DependentBlockList = None
        monkeypatch.setattr(bench.memory, "alloc_pages", no_memory)
        root = block_of(TYPE.NONE, block, handle=bench.path_block.OffloadHandle)
        assert bench.control("initiate", root) == [FAILURE, FAILURE]
        monkeypatch.undo()
        assert bench.rings.work.used == 0


def test_a_state_that_there_is_not_ends_a_terminate_with_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.post(10)
        complete = bench.rings.commands.complete

        def corrupt(entry: ChmAdminCompletion) -> None:
            at = (2 * (entry.cookie % 64) + 1) * 192
            bench.rings.commands._images.view[at + 44] = 99  # DELEGATED State
            complete(entry)

        monkeypatch.setattr(bench.rings.commands, "complete", corrupt)
        assert connection.terminate().Status == FAILURE
        assert connection.told("received") == [(ABORTED, 0)]


@pytest.mark.parametrize("state", [STATE.CLOSE_WAIT, STATE.FIN_WAIT2, STATE.ESTABLISHED])
@pytest.mark.parametrize("closes", [False, True])
def test_a_card_that_would_rather_not_is_not_heard_when_half_closed(state: STATE, closes: bool) -> None:
    """Reasons that oblige nobody are told only of connections that are open both ways. (C1)"""
    with ChimneyBench() as bench:
        (connection,) = bench.connect(tcp(State=state))
        if closes and state is STATE.ESTABLISHED:
            connection.disconnect()
            connection.acknowledge()
            assert connection.told("disconnected") == [(OK,)]
        handle = connection.handle.MiniportOffloadContext.value.handle
        entry = ChmEventEntry(
            handle=handle,
            event=ChmEvent.RETRIEVE,
            reason=ChmReason.SMALL_IO,
            type=CompletionType.CHM_EVENT,
        )
        with bench.processors.raised_to(Level.DISPATCH):
            bench.rings.serve(0, [entry.pack()])
        is_open = state is STATE.ESTABLISHED and not closes
        assert connection.told(EVENT.RETRIEVE.name) == ([(REASON.SMALL_IO,)] if is_open else [])


def test_what_comes_behind_a_send_that_failed_counts_for_nothing() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"a" * 10, b"b" * 10)
        handle = connection.handle.MiniportOffloadContext.value.handle
        statuses = (ChmStatus.AFTER_FIN, ChmStatus.OK)
        bench.rings.serve(
            0,
            [
                ChmCompletion(handle=handle, count=1, status=status, type=CompletionType.CHM_SEND).pack()
                for status in statuses
            ],
        )
        assert connection.told("sent") == [(UPLOAD, 0), (UPLOAD, 0)]


def test_what_nonsense_left_untold_is_told_when_the_card_is_lost() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"one")
        handle = connection.handle.MiniportOffloadContext.value.handle
        sound = ChmCompletion(handle=handle, count=1, type=CompletionType.CHM_SEND)
        entries = [sound.pack(), NONSENSE[0].pack()]
        with bench.processors.raised_to(Level.DISPATCH), pytest.raises(RingFault):
            bench.rings.serve(0, entries)
        assert connection.log == []
        bench.rings.fail()
        bench.settle()
        assert [each[0] for each in connection.log] == ["sent", EVENT.RETRIEVE.name, EVENT.ABORT.name]


@pytest.mark.parametrize("lie", [{"snd_una": 5001}, {"rcv_nxt": 999}, {"snd_max": 5020}, {"rcv_nxt": 1001}])
def test_states_that_contradict_what_was_reported_fail(
    lie: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More acknowledged, less or more received, or more in flight than was reported."""
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"0123456789")
        complete = bench.rings.commands.complete

        def corrupt(entry: ChmAdminCompletion) -> None:
            at = (2 * (entry.cookie % 64) + 1) * 192
            images = bench.rings.commands._images.view
            images[at : at + ChmTcp.SIZE] = replace(ChmTcp.unpack(images, at), **lie).pack()
            complete(entry)

        monkeypatch.setattr(bench.rings.commands, "complete", corrupt)
        assert connection.terminate().Status == FAILURE
        assert connection.told("sent") == [(ABORTED, 0)]
        monkeypatch.undo()
