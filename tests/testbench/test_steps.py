"""Steps: what is possible is foreseen, one is chosen and taken, others are held, all orders are legal."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from vnic.abi import Engine, EventType
from vnic.device import Device
from vnic.function import PciFunction
from vnic.gen.registers import BAR0
from vnic.link.wire import Impairments
from vnic.ndis.status import NDIS_STATUS
from vnic.netdma.types import Transfer
from vnic.protocol.chimney_options import manual
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.frames import plain_frame, tcp_frame
from vnic.testbench.host import Host
from vnic.testbench.peer import ADDRESS, Peer
from vnic.testbench.rig import Rig
from vnic.testbench.step import (
    COMPLETION_WRITE,
    DATA_MOVE,
    DESCRIPTOR_FETCH,
    FRAME_OUT,
    INTERRUPT_DELIVERY,
    INTERRUPT_RAISE,
    Step,
    StepKind,
)
from vnic.testbench.steps import StepError, Steps
from vnic.testbench.wired import WiredBenches

_ALL = range(1, 12)


def small(**options: object) -> Bench:
    return Bench(queues=1, cpus=1, keywords={"*InterruptModeration": 0}, **options)  # type: ignore[arg-type]


def kinds(steps: list[Step]) -> list[StepKind]:
    return [step.kind for step in steps]


def two_queues() -> tuple[Bench, list[bytes]]:
    """A bench with RSS over two queues, and a frame for each."""
    bench = Bench(queues=2, cpus=2, keywords={"*InterruptModeration": 0})
    bench.set_rss()
    frames: dict[int, bytes] = {}
    for port in range(40000, 40100):
        frame = tcp_frame(ports=(port, 80))
        bench.receive(frame)
        bench.settle()
        frames.setdefault(bench.protocol.received[-1].cpu, frame)
        if len(frames) == 2:
            break
    bench.protocol.received.clear()
    return bench, [frames[0], frames[1]]


# -- what is possible ----------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-10", "BEN-11")
def test_a_frame_takes_its_steps_one_after_the_other() -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(plain_frame(100))
        seen = []
        while possible := steps.possible():
            seen.append(steps.take(possible[0]).kind)
        assert seen == [
            DESCRIPTOR_FETCH,
            DATA_MOVE,
            INTERRUPT_RAISE,
            COMPLETION_WRITE,
            INTERRUPT_DELIVERY,
            StepKind.ISR,
            StepKind.DPC,
        ]
        assert bench.received == [plain_frame(100)]


@pytest.mark.requirement("BEN-10")
def test_what_is_foreseen_is_what_happens() -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(*(plain_frame(60 + 300 * n, n) for n in range(5)))
        bench.send(plain_frame(1000), plain_frame(70))
        compared = 0
        while possible := steps.possible():
            for foreseen in possible:
                if foreseen.part is None:
                    continue
                done = steps.take(foreseen)
                compared += 1
                assert [a._replace(time_ns=0) for a in done.acts] == [
                    a._replace(time_ns=0) for a in foreseen.acts
                ]
                assert done.kind == foreseen.kind
                break
            else:
                steps.take(possible[0])
        assert compared >= 8
        assert len(bench.received) == 5


@pytest.mark.requirement("BEN-10")
def test_looking_changes_nothing_and_is_in_no_trace() -> None:
    made: list[PciFunction[object]] = []  # type: ignore[type-var]
    PciFunction.watchers.append(made.append)
    try:
        with small() as bench:
            steps = bench.steps
            bench.receive(plain_frame(100))
            events: list[EventType] = []
            with bench.device.observe(lambda event: events.append(event.type)):
                before = bench.device.state_hash()
                assert kinds(steps.possible()) == [DESCRIPTOR_FETCH]
                assert "reads" in str(steps.possible()[0])
                assert bench.device.state_hash() == before
                assert set(events) <= {EventType.TAKE}
            steps.settle()
    finally:
        PciFunction.watchers.pop()
    assert len(made) == 1


@pytest.mark.requirement("BEN-11")
def test_a_step_that_is_not_possible_is_refused() -> None:
    with small() as bench:
        steps = bench.steps
        with pytest.raises(StepError, match="nothing is possible"):
            steps.take()
        bench.receive(plain_frame(100))
        (fetch,) = steps.possible()
        steps.settle()
        with pytest.raises(StepError, match="not possible now"):
            steps.take(fetch)
        assert steps.taken[0].kind is DESCRIPTOR_FETCH


@pytest.mark.requirement("BEN-11")
def test_the_test_chooses_which_engine_goes_first() -> None:
    for first in (Engine.RX, Engine.TX):
        with small() as bench:
            steps = bench.steps
            bench.receive(plain_frame(100))
            bench.send(plain_frame(200))
            assert {step.part for step in steps.possible()} == {Engine.RX, Engine.TX}
            chosen = next(step for step in steps.possible() if step.part == first)
            assert steps.take(chosen).part == first
            steps.settle()
            assert bench.received == [plain_frame(100)]
            assert bench.transmitted == [plain_frame(200)]


# -- posted writes -------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-12")
def test_one_can_stand_between_the_data_and_its_completion() -> None:
    with Rig(manual=True) as rig:
        steps = Steps(rig.device)
        rig.inject(plain_frame(100))
        steps.until(DATA_MOVE)
        assert rig.memory.read(rig[0].buffers.address, 100) == plain_frame(100)
        assert kinds(steps.possible())[-1] is COMPLETION_WRITE
        generation = rig[0].cq_memory.view[31] >> 7
        assert generation == 0
        steps.until(COMPLETION_WRITE)
        assert rig[0].cq_memory.view[31] >> 7 == 1
        steps.close()
        assert rig[0].take()[0].data == plain_frame(100)


@pytest.mark.requirement("BEN-12")
def test_the_answer_of_a_register_read_pushes_the_completion() -> None:
    with Rig(manual=True) as rig:
        steps = Steps(rig.device)
        rig.inject(plain_frame(100))
        steps.until(DATA_MOVE)
        rig.put(BAR0.TEST_ECHO, 1)
        assert rig[0].cq_memory.view[31] >> 7 == 0
        rig.get(BAR0.TEST_ECHO)
        assert rig[0].cq_memory.view[31] >> 7 == 1
        steps.close()


@pytest.mark.requirement("BEN-12")
def test_a_message_does_not_overtake_the_completion_before_it() -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(plain_frame(100))
        with steps.hold(before=COMPLETION_WRITE):
            steps.settle()
            assert bench.processors.is_idle
            assert kinds(steps.held) == [COMPLETION_WRITE]
            assert "1 writes and messages" not in "".join(steps.holding())
        steps.settle()
        assert bench.received == [plain_frame(100)]


@pytest.mark.requirement("BEN-12")
def test_a_write_whose_memory_is_gone_touches_nothing() -> None:
    with Rig(manual=True) as rig:
        steps = Steps(rig.device)
        rig.inject(plain_frame(100))
        steps.until(DATA_MOVE)
        rig.device.unmap_all()
        steps.close()
        assert rig[0].cq_memory.view[31] == 0


# -- going on ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-13")
@pytest.mark.parametrize("queue", [0, 1])
@pytest.mark.parametrize("kind", [DATA_MOVE, COMPLETION_WRITE, INTERRUPT_RAISE])
def test_until_and_before_find_the_step_of_a_queue(kind: StepKind, queue: int) -> None:
    bench, frames = two_queues()
    with bench:
        steps = bench.steps
        bench.receive(*frames)
        found = steps.before(kind, queue)
        assert found.kind is kind
        assert queue in found.queues
        assert steps.until(kind, queue).source == found.source
        steps.settle()
        assert sorted(bench.received) == sorted(frames)


@pytest.mark.requirement("BEN-13")
def test_a_descriptor_fetch_tells_the_queue_by_its_ring() -> None:
    with Rig(pairs=2, manual=True) as rig:
        steps = Steps(rig.device)
        for pair in rig.pairs:
            pair.send(plain_frame(100, pair.number))
        assert steps.before(DESCRIPTOR_FETCH, 1).queues == {1}
        assert steps.until(DATA_MOVE, 1).queues == {1}
        steps.settle()
        steps.close()
        assert sorted(rig.sent()) == [plain_frame(100, number) for number in range(2)]


@pytest.mark.requirement("BEN-13")
def test_what_never_comes_is_said() -> None:
    with small() as bench:
        with pytest.raises(StepError, match="DATA_MOVE of queue 0 never comes: nothing is possible"):
            bench.steps.until(DATA_MOVE, 0)
        bench.receive(plain_frame(90))
        with (
            bench.steps.hold(before=DESCRIPTOR_FETCH),
            pytest.raises(StepError, match=r"never comes: only what is held is possible: DESCRIPTOR_FETCH"),
        ):
            bench.steps.before(DATA_MOVE)


@pytest.mark.requirement("BEN-13", "BEN-17")
def test_time_passes_to_the_deadline_of_moderation() -> None:
    with Bench(queues=1, cpus=1) as bench:
        for number in range(2):
            bench.receive(plain_frame(100, number))
            bench.settle()
        steps = bench.steps
        bench.receive(plain_frame(100, 2))
        while possible := steps.possible():
            steps.take(possible[0])
        before_ns = bench.clock.now_ns
        with pytest.raises(StepError):
            steps.until(INTERRUPT_RAISE, lets_time_pass=False)
        deadline_ns = bench.device.next_deadline_ns()
        assert deadline_ns is not None
        assert deadline_ns > before_ns
        assert steps.advance_to_deadline() == deadline_ns == bench.clock.now_ns == bench.device.now_ns
        assert len(bench.received) == 2
        assert steps.until(INTERRUPT_RAISE).kind is INTERRUPT_RAISE
        steps.settle()
        assert len(bench.received) == 3


@pytest.mark.requirement("BEN-17")
def test_a_device_alone_has_deadlines_too() -> None:
    with Rig(manual=True, interval_ns=500, auto_mask=False) as rig:
        steps = Steps(rig.device)
        for number in range(2):
            rig.inject(plain_frame(100, number))
            while steps.possible():
                steps.take()
        assert steps.advance_to_deadline() == 500
        assert steps.until(INTERRUPT_RAISE).part == Engine.IRQ
        assert steps.advance_to_deadline() is None
        steps.close()


# -- holding -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-14")
@pytest.mark.parametrize("kind", [DESCRIPTOR_FETCH, DATA_MOVE, COMPLETION_WRITE, INTERRUPT_RAISE])
def test_a_hold_before_a_kind_keeps_it_and_no_more(kind: StepKind) -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(plain_frame(100))
        with steps.hold(before=kind):
            steps.settle()
            assert kinds(steps.held) == [kind]
            assert steps.possible() == []
            assert kind not in kinds(list(steps.taken))
            assert bench.received == []
            assert any(f"before {kind.name}" in line for line in bench.holding())
            with pytest.raises(StepError, match="held"):
                steps.take(steps.held[0])
        steps.settle()
        assert bench.received == [plain_frame(100)]


@pytest.mark.requirement("BEN-14")
@pytest.mark.parametrize("kind", [COMPLETION_WRITE, INTERRUPT_RAISE, INTERRUPT_DELIVERY])
def test_a_hold_of_one_queue_lets_the_other_go_on(kind: StepKind) -> None:
    bench, frames = two_queues()
    with bench:
        steps = bench.steps
        with steps.hold(before=kind, queue=1):
            bench.receive(frames[0])
            steps.settle()
            bench.receive(frames[1])
            steps.settle()
            assert bench.received == [frames[0]]
        steps.settle()
        assert bench.received == frames


@pytest.mark.requirement("BEN-15")
@pytest.mark.parametrize(
    ("kind", "following"),
    [
        (DESCRIPTOR_FETCH, DATA_MOVE),
        (DATA_MOVE, COMPLETION_WRITE),
        (COMPLETION_WRITE, INTERRUPT_DELIVERY),
        (INTERRUPT_RAISE, INTERRUPT_DELIVERY),
    ],
)
def test_a_hold_after_a_kind_lets_the_first_through(kind: StepKind, following: StepKind) -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(plain_frame(100))
        with steps.hold(after=kind) as hold:
            steps.settle()
            assert hold.met is not None
            assert hold.met.is_(kind)
            assert kinds(list(steps.taken)).count(kind) == 1
            assert any(step.is_(following) for step in steps.held) or following is INTERRUPT_DELIVERY
            assert bench.received == []
        steps.settle()
        assert bench.received == [plain_frame(100)]


@pytest.mark.requirement("BEN-14", "BEN-15")
def test_a_hold_is_before_or_after() -> None:
    with small() as bench:
        for before, after in ((None, None), (DATA_MOVE, DATA_MOVE)):
            with pytest.raises(StepError, match="before a kind of step, or after"):
                bench.steps.hold(before=before, after=after)


@pytest.mark.requirement("BEN-19")
def test_a_hold_that_is_released_holds_nothing() -> None:
    with small() as bench:
        hold = bench.steps.hold(before=DATA_MOVE)
        bench.receive(plain_frame(100))
        bench.steps.settle()
        assert bench.received == []
        hold.release()
        hold.release()
        bench.steps.settle()
        assert bench.received == [plain_frame(100)]


@pytest.mark.requirement("BEN-14")
def test_a_frame_can_be_kept_from_the_link() -> None:
    with small() as bench:
        steps = bench.steps
        with steps.hold(before=FRAME_OUT):
            bench.send(plain_frame(100))
            steps.settle()
            assert bench.transmitted == []
            assert bench.protocol.sent[0].status == NDIS_STATUS.SUCCESS
            assert "1 frames have not left" in "".join(bench.holding())
        steps.settle()
        assert bench.transmitted == [plain_frame(100)]


# -- any legal order -----------------------------------------------------------------------------------------


def traffic(bench: Bench) -> None:
    for number in range(4):
        bench.receive(plain_frame(100 + 400 * number, number))
        bench.send(plain_frame(200, 10 + number))


@pytest.mark.requirement("BEN-16")
@pytest.mark.parametrize("interrupt", ["msix", "line"])
def test_any_order_ends_the_same(interrupt: str) -> None:
    orders = set()
    for seed in range(3):
        with Bench(queues=2, cpus=2, interrupt=interrupt) as bench:
            steps = bench.steps
            traffic(bench)
            taken = steps.shuffle(seed)
            orders.add(tuple(str(step.kind) for step in taken))
            assert bench.received == [plain_frame(100 + 400 * n, n) for n in range(4)]
            assert bench.transmitted == [plain_frame(200, 10 + n) for n in range(4)]
            assert [sent.status for sent in bench.protocol.sent] == [NDIS_STATUS.SUCCESS] * 4
    assert len(orders) == 3


@pytest.mark.requirement("BEN-16")
def test_the_same_seed_chooses_the_same_order() -> None:
    def run() -> list[str]:
        with Bench(queues=2, cpus=2) as bench:
            steps = bench.steps
            traffic(bench)
            return [str(step) for step in steps.shuffle(7)]

    assert run() == run()


@pytest.mark.requirement("BEN-16")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.vnic(chimney=manual(), queues=2, cpus=2)
def test_an_offloaded_connection_bears_any_order(host: Host, peer: Peer, seed: int) -> None:
    listener = peer.listen(80)
    near = host.streams.connect((ADDRESS, 80))
    far = peer.accept(listener)
    assert host.chimney.offload(near.socket)
    host.world.run_for(10_000_000)
    assert host.bench.adapter.chimney.registry.initiated == 3
    steps, chance = host.bench.steps, random.Random(seed)
    near.write_all(bytes(25_000))
    far.write_all(b"y" * 3000)
    up, down = bytearray(), bytearray()
    while len(up) < 25_000 or len(down) < 3000:
        if possible := steps.possible():
            steps.take(chance.choice(possible))
        else:
            assert steps.advance_to_deadline() is not None
        up += far.socket.recv() or b""
        down += near.socket.recv() or b""
    assert (bytes(up), bytes(down)) == (bytes(25_000), b"y" * 3000)
    assert "engine CHIMNEY" in {step.who for step in steps.taken}
    steps.close()
    near.close()
    far.close()


@pytest.mark.requirement("BEN-12")
def test_completions_arrive_in_their_order() -> None:
    """One that begins a step does not overtake one that is on its way."""
    with Rig(manual=True) as rig:
        steps = Steps(rig.device)
        rig.inject(plain_frame(100, 1))
        steps.until(DATA_MOVE)
        rig[0].send_raw([bytes(16)])  # no type: its completion is all that comes of it
        while engines := [step for step in steps.possible() if step.part is not None]:
            steps.take(engines[0])
        assert [rig[0].cq_memory.view[32 * slot + 31] >> 7 for slot in range(2)] == [0, 0]
        steps.until(COMPLETION_WRITE)
        assert [rig[0].cq_memory.view[32 * slot + 31] >> 7 for slot in range(2)] == [1, 0]
        steps.until(COMPLETION_WRITE)
        assert [rig[0].cq_memory.view[32 * slot + 31] >> 7 for slot in range(2)] == [1, 1]
        steps.close()


@pytest.mark.requirement("BEN-10", "BEN-16")
def test_links_between_machines_are_steps() -> None:
    with WiredBenches(forth=Impairments(delay_ns=3000)) as both:
        steps = both.first.steps
        both.first.send(plain_frame(150))
        taken = steps.shuffle(1)
        assert StepKind.LINK in kinds(taken)
        both.settle()
        assert both.second.received == [plain_frame(150)]
        steps.close()


# -- the copy engine -----------------------------------------------------------------------------------------


class Client:
    """Nobody who minds."""

    def pnp_event(self, code: object, provider: object) -> None:
        """Nothing to do."""


@pytest.mark.requirement("BEN-18")
def test_the_copy_engine_has_the_same_steps() -> None:
    with CopyBench(channels=2, cpus=1) as bench:
        channel = bench.interface.register_client(Client()).allocate_channel(0)
        assert channel is not None
        source, target = bench.buffer(bytes(range(200))), bench.buffer(200)
        done: list[bool] = []
        steps = bench.steps
        assert channel.copy([Transfer(target.address, source.address, 200)], done.append)
        with steps.hold(before=DATA_MOVE):
            steps.settle()
            assert kinds(steps.held) == [DATA_MOVE]
            assert bytes(target.view) == bytes(200)
            assert all("channel" in step.who for step in steps.held)
        with steps.hold(before=COMPLETION_WRITE, queue=next(iter(steps.before(DATA_MOVE).queues))):
            steps.settle()
            assert bytes(target.view) == bytes(range(200))
            assert done == []
            assert COMPLETION_WRITE in kinds(steps.held)
        steps.settle()
        steps.close()
        bench.settle()
        assert done == [True]
        channel.free()
        source.free()
        target.free()


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-19")
def test_closing_lets_everything_arrive() -> None:
    with small() as bench:
        steps = bench.steps
        bench.receive(plain_frame(100))
        bench.send(plain_frame(120))
        while any(step.part is not None for step in steps.possible()):
            steps.take(next(step for step in steps.possible() if step.part is not None))
        assert "writes and messages" in "".join(steps.holding())
        steps.close()
        steps.close()
        assert steps.holding() == []
        bench.settle()
        assert bench.received == [plain_frame(100)]
        assert bench.transmitted == [plain_frame(120)]


@pytest.mark.requirement("BEN-19")
def test_closed_steps_leave_the_device_as_it_was() -> None:
    with small() as bench:
        steps = bench.steps
        assert bench.device.is_manual
        bench.receive(plain_frame(100))
        steps.close()
        assert not bench.device.is_manual
        bench.settle()
        bench.adapter.pause()
        bench.adapter.restart()
        bench.receive(plain_frame(101))
        assert bench.steps is not steps
        bench.steps.settle()
        assert bench.received == [plain_frame(100), plain_frame(101)]


@pytest.mark.requirement("BEN-14")
def test_a_hold_outlasts_the_deadline_of_what_it_holds() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.receive(plain_frame(100))
        bench.settle()
        bench.receive(plain_frame(101))
        with bench.steps.hold(before=INTERRUPT_RAISE):
            bench.steps.settle()
            assert kinds(bench.steps.held) == [INTERRUPT_RAISE]
            with pytest.raises(StepError, match="only what is held is possible"):
                bench.steps.until(INTERRUPT_DELIVERY)
        bench.steps.settle()
        assert len(bench.received) == 2


def test_what_has_no_steps_says_so() -> None:
    with pytest.raises(StepError, match="object: it does not take steps"):
        Steps(object())  # type: ignore[arg-type]


def test_steps_of_a_device_that_nobody_connected_leave_its_outputs_to_be_fetched() -> None:
    with Rig(manual=True) as rig:
        steps = Steps(rig.device)
        rig[0].send(plain_frame(100))
        steps.settle()
        steps.close()
        assert rig.sent() == [plain_frame(100)]
        assert rig.device.interrupts() != []


@pytest.mark.parametrize(
    "call", [lambda device: device.unmap(0x3000, 0x1000), lambda device: device.unmap_all()]
)
def test_memory_is_found_as_it_is_mapped(call: Callable[[Device], None]) -> None:
    with Device(manual=True) as device:
        memory = bytearray(range(256)) * 64
        device.map(0x2000, memory, 3)
        assert device.memory_at(0x1FFF, 1) is None
        found = device.memory_at(0x3FFF, 4)
        assert found is not None
        assert (bytes(found[0]), found[1]) == (b"\xff\x00\x01\x02", 3)
        call(device)
        assert device.memory_at(0x3FFF, 4) is None
        left = device.memory_at(0x2FFE, 9)
        assert left is None or len(left[0]) == 2
