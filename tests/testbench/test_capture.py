"""Capture: what passes between NDIS and a driver is held, read, and let go in another order or otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from vnic.errors import UnknownError
from vnic.miniport import Adapter
from vnic.ndis.miniport import ReceiveFlag, ResetResult
from vnic.ndis.net_buffer_list import walk
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import RequestType, query, set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters
from vnic.ndis.verifier import NdisViolation
from vnic.protocol.chimney_options import manual
from vnic.testbench.bench import Bench
from vnic.testbench.frames import MAC, PEER, plain_frame, tcp_frame
from vnic.testbench.host import Host
from vnic.testbench.peer import Peer
from vnic.testbench.world import World

S = NDIS_STATUS


def captured(**options: Any) -> Bench:
    return Bench(**{"queues": 1, "cpus": 1, "captures": True} | options)


def sizes(bench: Bench) -> list[int]:
    return [len(frame) for frame in bench.received]


def statuses(bench: Bench) -> list[tuple[int, NDIS_STATUS]]:
    return [(len(sent.data[0]), sent.status) for sent in bench.protocol.sent]


# -- NBLs ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-30", "BEN-31")
def test_sends_are_held_before_the_driver_has_them() -> None:
    with captured() as bench:
        with bench.capture.sends() as held:
            for size in (70, 80, 90):
                bench.send(plain_frame(size))
            bench.settle()
            assert bench.transmitted == []
            assert [each.frames for each in held] == [(plain_frame(size),) for size in (70, 80, 90)]
            held[1].complete(S.INVALID_PACKET)
            assert statuses(bench) == [(80, S.INVALID_PACKET)]
            held.pass_on([1, 0])
            bench.settle()
        assert bench.transmitted == [plain_frame(90), plain_frame(70)]
        assert held.caught == 3
        assert len(held) == 0


@pytest.mark.requirement("BEN-30", "BEN-31")
def test_completions_are_held_behind_the_driver() -> None:
    with captured() as bench:
        with bench.capture.completions() as held:
            for size in (70, 80, 90):
                bench.send(plain_frame(size))
            bench.settle()
            assert len(bench.transmitted) == 3
            assert bench.protocol.sent == []
            held[2].complete(S.RESOURCES)
            held[0].nbl.status = S.FAILURE
            held.pass_on()
        assert statuses(bench) == [(90, S.RESOURCES), (70, S.FAILURE), (80, S.SUCCESS)]


@pytest.mark.requirement("BEN-30", "BEN-31")
def test_indications_go_up_in_another_order_or_not_at_all() -> None:
    with captured() as bench:
        with bench.capture.indications() as held:
            bench.receive(*(plain_frame(size) for size in (70, 80, 90)))
            bench.settle()
            assert bench.received == []
            held[1].complete()
            held.pass_on([1, 0])
        assert sizes(bench) == [90, 70]


@pytest.mark.requirement("BEN-30")
def test_what_is_returned_is_held_before_the_driver_has_it_back() -> None:
    def receive(count: int) -> int:
        before = len(bench.received)
        for number in range(count):
            bench.receive(plain_frame(100, number))
            bench.settle()
        return len(bench.received) - before

    with captured(keywords={"*ReceiveBuffers": 64, "*InterruptModeration": 0}) as bench:
        with bench.capture.returns() as held:
            arrived = receive(80)
            lent = sum(frame.was_lent for frame in bench.protocol.received)
            assert len(held) == arrived - lent
            assert len(held) < 64
        assert receive(80) == 80


@pytest.mark.requirement("BEN-30")
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"pattern": MAC}, [100, 102]),
        ({"pattern": PEER[:6]}, [101]),
        ({"pattern": b"\x00\x00\x00\x00\x00\x01", "mask": b"\x00\x00\x00\x00\x00\x0f"}, [100, 102]),
        ({"pattern": b"\x88\xb5\x00\x00\x00\x02", "offset": 12}, [102]),
        ({"where": lambda frame: len(frame) == 101}, [101]),
        ({"pattern": MAC, "where": lambda frame: len(frame) > 100}, [102]),
        ({"pattern": b"x" * 200}, []),
    ],
)
def test_frames_are_chosen_by_pattern_and_by_function(chosen: dict[str, Any], expected: list[int]) -> None:
    with captured() as bench:
        frames = [plain_frame(100 + n, n, to=PEER if n == 1 else MAC) for n in range(3)]
        with bench.capture.sends(**chosen) as held:
            bench.protocol.send_chain(frames)
            bench.settle()
            assert [len(each.frames[0]) for each in held] == expected
            others = [frame for frame in frames if len(frame) not in expected]
            assert bench.transmitted == others
        bench.settle()
        assert sorted(bench.transmitted) == sorted(frames)


@pytest.mark.requirement("BEN-30")
def test_a_mask_is_as_long_as_its_pattern() -> None:
    with captured() as bench, pytest.raises(ValueError, match="a mask of 1 bytes for a pattern of 2"):
        bench.capture.sends(b"ab", b"\xff")


@pytest.mark.requirement("BEN-31")
def test_nothing_is_let_go_twice() -> None:
    with captured() as bench, bench.capture.sends() as held:
        bench.send(plain_frame(70))
        first = held[0]
        first.pass_on()
        for again in (first.pass_on, first.complete):
            with pytest.raises(UnknownError, match="not held any more"):
                again()


@pytest.mark.requirement("BEN-30")
def test_two_holds_share_what_comes_the_older_one_first() -> None:
    with captured() as bench, bench.capture.sends(MAC) as first, bench.capture.sends() as second:
        bench.protocol.send_chain([plain_frame(70), plain_frame(71, to=PEER)])
        assert (len(first), len(second)) == (1, 1)


class Lender(Adapter):
    """Indicates everything as if it were short of buffers."""

    def initialize_ex(self, handle: Any, parameters: Any) -> NDIS_STATUS:
        """With a flag on the way up."""
        indicate = handle.m_indicate_receive_net_buffer_lists

        def lend(chain: Any, port: int, count: int, flags: int = 0) -> None:
            nbls = list(walk(chain))
            indicate(chain, port, count, flags | ReceiveFlag.RESOURCES)
            for nbl in nbls:
                nbl.next = None
                self.return_net_buffer_lists(nbl, 0)  # type: ignore[arg-type]

        handle.m_indicate_receive_net_buffer_lists = lend
        return super().initialize_ex(handle, parameters)


@pytest.mark.requirement("BEN-36")
def test_what_is_lent_passes() -> None:
    with captured(miniport=Lender) as bench, bench.capture.indications() as held:
        bench.receive(plain_frame(100))
        bench.settle()
        assert held.caught == 0
        assert bench.protocol.received[0].was_lent
        assert bench.protocol.received[0].data == plain_frame(100)


# -- OID requests --------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-32")
def test_a_request_is_read_answered_or_passed_on() -> None:
    with captured() as bench:
        with bench.capture.requests(OID.GEN_STATISTICS) as held:
            asked = [query(OID.GEN_STATISTICS, 256) for _ in range(3)]
            assert [bench.request(each) for each in asked] == [S.PENDING] * 3
            assert held[0].request is asked[0]
            held[0].complete(S.SUCCESS, bytes(range(152)))
            held[0].pass_on()
            held[0].complete(S.FAILURE)
        assert [(each, status) for each, status in bench.protocol.oids_completed] == [
            (asked[0], S.SUCCESS),
            (asked[1], S.SUCCESS),
            (asked[2], S.FAILURE),
        ]
        assert asked[0].data == bytes(range(152))
        assert asked[1].data != asked[0].data
        assert held.caught == 3


@pytest.mark.requirement("BEN-32")
def test_an_answer_is_held_and_overruled() -> None:
    with captured() as bench:
        with bench.capture.answers(OID.GEN_CURRENT_PACKET_FILTER, RequestType.SET_INFORMATION) as held:
            wanted = set_(OID.GEN_CURRENT_PACKET_FILTER, (1).to_bytes(4, "little"))
            assert bench.request(wanted) == S.PENDING
            assert held[0].status == S.SUCCESS
            held[0].complete(S.FAILURE)
            again = set_(OID.GEN_CURRENT_PACKET_FILTER, (1).to_bytes(4, "little"))
            bench.request(again)
        assert [status for _, status in bench.protocol.oids_completed] == [S.FAILURE, S.SUCCESS]


@pytest.mark.requirement("BEN-32")
@pytest.mark.parametrize(
    ("chosen", "is_held"),
    [
        ({}, True),
        ({"oid": OID.GEN_STATISTICS}, True),
        ({"oid": OID.GEN_LINK_PARAMETERS}, False),
        ({"type": RequestType.QUERY_INFORMATION}, True),
        ({"type": RequestType.SET_INFORMATION}, False),
        ({"port": 0}, True),
        ({"port": 1}, False),
    ],
)
def test_requests_are_chosen_by_oid_type_and_port(chosen: dict[str, Any], is_held: bool) -> None:
    with captured() as bench, bench.capture.requests(**chosen) as held:
        status = bench.request(query(OID.GEN_STATISTICS, 256))
        assert (status, len(held)) == ((S.PENDING, 1) if is_held else (S.SUCCESS, 0))


@pytest.mark.requirement("BEN-32")
def test_requests_of_the_start_can_be_held() -> None:
    with captured(starts=False) as bench:
        with bench.capture.requests(OID.GEN_CURRENT_PACKET_FILTER) as held:
            bench.start()
            assert len(held) == 1
            bench.receive(plain_frame(100))
            bench.settle()
            assert bench.received == []
        bench.receive(plain_frame(101))
        bench.settle()
        assert sizes(bench) == [101]


# -- the end of a hold ---------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-33")
def test_an_error_inside_gives_everything_back() -> None:
    with captured() as bench:
        with pytest.raises(ZeroDivisionError), bench.capture.sends() as held:
            bench.send(plain_frame(70))
            assert len(held) == 1
            raise ZeroDivisionError
        bench.settle()
        assert bench.transmitted == [plain_frame(70)]
        bench.send(plain_frame(71))
        bench.settle()
        assert held.caught == 1


@pytest.mark.requirement("BEN-33")
def test_a_bench_ends_the_holds_that_are_left() -> None:
    with captured() as bench:
        bench.capture.sends()
        bench.capture.indications()
        bench.capture.requests()
        bench.send(plain_frame(70))
        bench.receive(plain_frame(80))
        bench.request(query(OID.GEN_STATISTICS, 256))
        bench.settle()
        assert len(bench.holding()) == 3
    assert bench.transmitted == [plain_frame(70)]
    assert sizes(bench) == [80]
    assert bench.protocol.oids_completed[0][1] == S.SUCCESS


def test_a_bench_without_a_filter_says_so() -> None:
    with Bench(queues=1, cpus=1) as bench, pytest.raises(AttributeError, match="captures=True"):
        _ = bench.capture


# -- NDIS's rules --------------------------------------------------------------------------------------------


class Hasty(Adapter):
    """Says that it is paused while what it indicated is out."""

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """At once."""
        super().pause(parameters)
        return S.SUCCESS


@pytest.mark.requirement("BEN-34")
def test_a_driver_that_does_not_wait_for_what_is_held_has_broken_the_rule() -> None:
    bench = captured(miniport=Hasty)
    bench.capture.indications()
    bench.receive(plain_frame(100))
    bench.settle()
    with pytest.raises(NdisViolation, match=r"PAUSE-1: Hasty: 1 indicated NBLs") as caught:
        bench.adapter.pause()
    assert caught.value.driver == "Hasty"
    bench.abandon()


@pytest.mark.requirement("BEN-34")
def test_a_right_driver_waits_for_what_is_held() -> None:
    with captured() as bench, bench.capture.indications() as held:
        bench.receive(plain_frame(100))
        bench.settle()
        bench.clock.call_after(5_000_000, held[0].complete)
        before_ns = bench.clock.now_ns
        bench.adapter.pause()
        assert bench.clock.now_ns >= before_ns + 5_000_000
        assert bench.adapter.restart() == S.SUCCESS


class Toucher(Adapter):
    """Looks at a send that it has completed."""

    def send_net_buffer_lists(self, chain: Any, port: int, flags: Any) -> None:
        """Too late."""
        chain.status = S.SUCCESS
        self.handle.m_send_net_buffer_lists_complete(chain, 0)
        chain.status = S.FAILURE


@pytest.mark.requirement("BEN-34")
def test_a_breach_is_the_drivers_not_the_filters() -> None:
    bench = captured(miniport=Toucher)
    with pytest.raises(NdisViolation, match=r"NBL-1: Toucher"):
        bench.send(plain_frame(70))
    bench.abandon()


@pytest.mark.requirement("BEN-35")
def test_cancellations_reach_what_is_held() -> None:
    with captured() as bench:
        binding = bench.protocol.bindings[0]
        with bench.capture.sends() as held, bench.capture.requests() as requests:
            bench.send(plain_frame(70), cancel_id="a")
            bench.send(plain_frame(71), cancel_id="b")
            binding.cancel_send_net_buffer_lists("a")
            assert statuses(bench) == [(70, S.SEND_ABORTED)]
            assert len(held) == 1
            request = query(OID.GEN_STATISTICS, 256)
            request.request_id = 9
            bench.request(request)
            binding.cancel_oid_request(8)
            assert len(requests) == 1
            binding.cancel_oid_request(9)
            assert bench.protocol.oids_completed == [(request, S.REQUEST_ABORTED)]


@pytest.mark.requirement("BEN-35")
def test_a_reset_leaves_nothing_held() -> None:
    with captured() as bench:
        capture = bench.capture
        with capture.sends(where=lambda frame: len(frame) == 70), capture.completions(), capture.requests():
            bench.send(plain_frame(70))
            bench.send(plain_frame(80))
            asked = query(OID.GEN_STATISTICS, 256)
            bench.request(asked)
            bench.settle()
            bench.adapter.reset()
            bench.settle()
            assert statuses(bench) == [(70, S.RESET_IN_PROGRESS), (80, S.SUCCESS)]
            assert bench.protocol.oids_completed == [(asked, S.REQUEST_ABORTED)]
            assert bench.holding() == []
        bench.send(plain_frame(90))
        bench.settle()
        assert bench.transmitted[-1] == plain_frame(90)


class LateReset(Adapter):
    """Completes its reset later."""

    ndis_version = (6, 30)

    def reset_ex(self) -> ResetResult:
        """In a work item."""
        result = super().reset_ex()
        self.handle.m_queue_work_item(
            lambda: self.handle.m_reset_complete(result.status, result.addressing_reset)
        )
        return ResetResult(S.PENDING)


@pytest.mark.requirement("BEN-35")
def test_a_reset_that_ends_later_does_neither() -> None:
    with captured(miniport=LateReset) as bench, bench.capture.completions():
        bench.send(plain_frame(80))
        bench.settle()
        bench.adapter.reset()
        bench.settle()
        assert statuses(bench) == [(80, S.SUCCESS)]


@pytest.mark.requirement("BEN-35")
def test_an_injected_send_that_is_held_does_not_outlive_the_pause() -> None:
    with captured() as bench, bench.capture.completions() as held:
        bench.inject(plain_frame(80))
        bench.settle()
        assert len(held) == 1
        bench.adapter.pause()
        assert len(bench.injector.completed) == 1
        bench.adapter.restart()


# -- nothing is different with a filter ----------------------------------------------------------------------


def run(captures: bool) -> list[list[str]]:
    with Bench(queues=4, cpus=4, captures=captures) as bench:
        bench.set_rss()
        for number in range(8):
            bench.receive(tcp_frame(ports=(40000 + number, 80)))
            bench.send(plain_frame(100 + number))
        bench.settle()
        bench.adapter.reset()
        bench.settle()
        bench.adapter.pause()
        bench.adapter.restart()
        bench.receive(plain_frame(70))
        bench.settle()
        told = [each.status for each in bench.protocol.statuses]
        seen = (bench.protocol.received, bench.transmitted, told, statuses(bench))
        return [[str(each) for each in part] for part in seen]


@pytest.mark.requirement("BEN-34")
def test_a_filter_that_holds_nothing_changes_nothing() -> None:
    assert run(captures=True) == run(captures=False)


@pytest.mark.requirement("BEN-34")
def test_the_chimney_passes_by() -> None:
    world = World()
    peer = Peer(world)
    with Host("10.0.0.1/24", link=peer.end, world=world, bench={"captures": True}, chimney=manual()) as host:
        peer.wire.attach(0, host.bench.device)
        listener = peer.listen(80)
        near = host.streams.connect(("10.0.0.2", 80))
        far = peer.accept(listener)
        assert host.chimney.offload(near.socket)
        near.write_all(bytes(50_000))
        near.finish()
        assert far.read_all() == bytes(50_000)
        assert host.bench.adapter.chimney.registry.initiated > 0
        near.close()
        far.close()
    peer.close()
