"""The reference miniport with one fault at a time: NDIS names the rule that it breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.miniport import chimney_requests
from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_indication import KeptData
from vnic.miniport.chimney_initiate import Initiate
from vnic.miniport.chimney_receiving import Receiving
from vnic.miniport.chimney_sending import Sending
from vnic.miniport.chimney_terminate import Uploading
from vnic.ndis import chimney as nd
from vnic.ndis.chimney import TCP_OFFLOAD_EVENT_TYPE as EVENT
from vnic.ndis.net_buffer_list import link, walk
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation
from vnic.testbench.chimney.blocks import TYPE, block_of, path, tcp
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH
Patch = pytest.MonkeyPatch


def busy_connection(bench: ChimneyBench) -> None:
    """A connection that does a bit of everything, refusals included, and goes home."""
    buffered = tcp(RcvWnd=60000, BufferedData=bench.nbl(b"buffered"))
    connection, other = bench.connect(buffered, tcp(40001))
    other.post(50, 50, no_push=True)
    other.receive(b"in part", flags=PUSH)
    bench.client.accepts = lambda data: 2
    connection.receive(b"refused in part", flags=PUSH)
    connection.receive(b"waits", flags=PUSH)
    connection.post(3, 4)
    connection.send(b"one", b"two")
    connection.acknowledge()
    connection.send(b"three", b"four")
    bench.client.accepts = lambda data: None
    connection.post(0)
    connection.receive(b"more", flags=PUSH)
    connection.post(10, 10)
    connection.receive(b"and more", flags=PUSH)
    connection.receive(b"and more", flags=PUSH)
    bench.client.accepts = lambda data: 0
    connection.receive(b"done", flags=PUSH | packet.FIN)
    connection.terminate()
    other.terminate()


def completes_at_once(patch: Patch) -> None:
    patch.setattr(Chimney, "complete_later", lambda self, call: call())


def forgets_the_advance(patch: Patch) -> None:
    patch.setattr(chimney_requests, "advance", lambda nbl, count: None)


def turns_sends_round(patch: Patch) -> None:
    tell = Connection.tell_sends
    patch.setattr(Connection, "tell_sends", lambda self, nbls: tell(self, nbls[::-1]))


def turns_receives_round(patch: Patch) -> None:
    tell = Receiving._tell
    patch.setattr(Receiving, "_tell", lambda self, nbls: tell(self, nbls[::-1]))


def turns_the_chain_round(patch: Patch) -> None:
    back = Sending.chain_back

    def wrong(self: Sending, acked: int) -> Any:
        nbls = list(walk(back(self, acked)[0]))[::-1]
        return link(nbls), nbls[-1] if nbls else None

    patch.setattr(Sending, "chain_back", wrong)


def loses_what_was_refused(patch: Patch) -> None:
    def wrong(self: KeptData, pieces: list[Any], consumed: int) -> None:
        for piece in pieces:
            piece.release()

    patch.setattr(KeptData, "put_back", wrong)


def indicates_after_a_refusal(patch: Patch) -> None:
    answer = Receiving._on_answer

    def wrong(self: Receiving, *arguments: Any) -> None:
        answer(self, *arguments)
        self._may_indicate = True

    patch.setattr(Receiving, "_on_answer", wrong)


def indicates_past_receives(patch: Patch) -> None:
    def wrong(self: Receiving) -> None:
        if self.kept and self._may_indicate:
            self._indicate()

    patch.setattr(Receiving, "deliver", wrong)


def tells_the_fin_at_once(patch: Patch) -> None:
    patch.setattr(Receiving, "on_fin", lambda self: self._of.tell_event(EVENT.DISCONNECT))


def keeps_sends_at_the_end(patch: Patch) -> None:
    patch.setattr(Sending, "chain_back", lambda self, acked: (None, None))
    patch.setattr(Sending, "end_all", lambda self, status, acked: [])


def keeps_receives_at_the_end(patch: Patch) -> None:
    patch.setattr(Receiving, "end_all", lambda self, status, placed: None)


def speaks_too_early(patch: Patch) -> None:
    complete = Initiate._complete

    def wrong(self: Initiate) -> None:
        for _, each in self._made:
            each.is_open = True
            if isinstance(each, Connection):
                each.run()
        complete(self)

    patch.setattr(Initiate, "_complete", wrong)


def says_nothing_of_a_connection(patch: Patch) -> None:
    give_back = Uploading._give_back

    def wrong(self: Uploading, connection: Connection) -> None:
        give_back(self, connection)
        self._block.Status = None

    patch.setattr(Uploading, "_give_back", wrong)


@pytest.mark.requirement(
    "INV-1", "INV-6", "INV-9", "INV-17", "INV-18", "INV-19", "INV-20", "INV-21", "INV-22", "INV-24", "INV-25",
    "INV-28", "INV-37",
)  # fmt: skip
@pytest.mark.parametrize(
    ("fault", "rules"),
    [
        (forgets_the_advance, {"CHIM-23"}),
        (turns_sends_round, {"INV-17"}),
        (turns_receives_round, {"INV-22"}),
        (turns_the_chain_round, {"INV-19"}),
        (loses_what_was_refused, {"INV-20", "INV-21"}),
        (indicates_after_a_refusal, {"INV-25"}),
        (indicates_past_receives, {"INV-24", "INV-25"}),
        (tells_the_fin_at_once, {"INV-28"}),
        (keeps_sends_at_the_end, {"INV-18", "INV-37"}),
        (keeps_receives_at_the_end, {"INV-22", "INV-37"}),
        (speaks_too_early, {"INV-6"}),
        (says_nothing_of_a_connection, {"INV-1"}),
    ],
)
def test_a_fault_is_caught_by_name(
    fault: Callable[[Patch], None], rules: set[str], monkeypatch: Patch
) -> None:
    bench = ChimneyBench()
    fault(monkeypatch)
    try:
        with pytest.raises(NdisViolation) as caught:
            busy_connection(bench)
        assert caught.value.rule_id in rules
        assert caught.value.driver == "Adapter"
        assert caught.value.history
    finally:
        bench.abandon()


@pytest.mark.requirement("INV-2", "INV-5", "INV-10")
@pytest.mark.parametrize("rule", ["INV-2", "INV-5", "INV-10"])
def test_a_wrong_answer_to_an_initiate_is_caught_by_name(rule: str, monkeypatch: Patch) -> None:
    complete = Initiate._complete

    def wrong(self: Initiate) -> None:
        root = self._root
        child: Any = root.DependentBlockList
        if rule == "INV-2":
            child.MiniportOffloadContext.value = object()
        elif rule == "INV-5":
            root.Status = NDIS_STATUS.SUCCESS
        else:
            child.cached.PathMtu = 9
        complete(self)

    bench = ChimneyBench()
    try:
        bench.connect()
        assert bench.neighbour_block is not None
        monkeypatch.setattr(Initiate, "_complete", wrong)
        good, bad = path(mtu=1), path(version=6)
        assert isinstance(good.cached, nd.PATH_OFFLOAD_STATE_CACHED)
        root = block_of(TYPE.NONE, good, bad, handle=bench.neighbour_block.OffloadHandle)
        with pytest.raises(NdisViolation) as caught:
            bench.control("initiate", root)
        assert (caught.value.rule_id, caught.value.driver) == (rule, "Adapter")
    finally:
        bench.abandon()


@pytest.mark.requirement("INV-9")
def test_a_completion_within_the_call_is_caught_by_name(monkeypatch: Patch) -> None:
    bench = ChimneyBench()
    try:
        bench.connect()
        assert bench.path_block is not None
        completes_at_once(monkeypatch)
        root = block_of(
            TYPE.NONE, tcp(40001, cached={"InitialRcvWnd": 1 << 31}), handle=bench.path_block.OffloadHandle
        )
        bench.rings.is_started = False
        with pytest.raises(NdisViolation) as caught:
            bench.control("initiate", root)
        assert caught.value.rule_id in ("INV-9", "LOCK-1")
    finally:
        bench.abandon()
