"""NDIS waits as long as what it waits for takes: the card's own deadlines count, not the next timer of
the host."""

from __future__ import annotations

from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame


def test_a_pause_that_waits_for_moderated_interrupts_takes_microseconds() -> None:
    with Bench(queues=1, cpus=1, keywords={"*TransmitBuffers": 8}) as bench:
        for number in range(100):
            bench.send(plain_frame(80, number))
        before = bench.clock.now_ns
        bench.adapter.pause()
        assert len(bench.protocol.sent) == 100
        assert bench.clock.now_ns - before < 10_000_000


def test_a_wait_for_a_card_that_is_held_still_ends() -> None:
    with Bench(queues=1, cpus=1) as bench:
        bench.device.is_manual = True
        bench.receive(plain_frame(80))
        bench.send(plain_frame(80))
        assert not bench.ndis.wait_until(lambda: False)
        bench.device.is_manual = False
