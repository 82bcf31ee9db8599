"""Errors of the engine on the way through provider and interface, lost interrupts, and engines that hang."""

from __future__ import annotations

import pytest

from tests.netdma.scene import ONE_OF_EACH, Client, pattern, transfer
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanerr
from vnic.netdma.engine_channel import EngineChannel
from vnic.netdma.patience import LOOK_NS, LOOKS
from vnic.netdma.types import NTSTATUS
from vnic.testbench.copy_bench import CopyBench

READ, WRITE = FaultSite.DMA_READ, FaultSite.DMA_WRITE
DESCRIPTOR, DATA, COMPLETION = DmaPurpose.DESCRIPTOR, DmaPurpose.DATA, DmaPurpose.COMPLETION

ERRORS = [
    (READ, DESCRIPTOR, DmaStatus.UNSUPPORTED, Chanerr.NEXT_ADDR),
    (READ, DESCRIPTOR, DmaStatus.POISONED, Chanerr.DESC_INTEGRITY),
    (READ, DATA, DmaStatus.ABORTED, Chanerr.SRC_ADDR),
    (READ, DATA, DmaStatus.POISONED, Chanerr.DATA_INTEGRITY),
    (READ, DATA, DmaStatus.TIMEOUT, Chanerr.READ_DATA),
    (WRITE, DATA, DmaStatus.UNSUPPORTED, Chanerr.DEST_ADDR),
    (WRITE, COMPLETION, DmaStatus.UNSUPPORTED, Chanerr.CMPL_ADDR),
]


@pytest.mark.requirement("NDMA-9")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize(("site", "purpose", "status", "bit"), ERRORS)
def test_an_error_is_read_reported_cleared_and_got_over(
    version: tuple[int, int], site: FaultSite, purpose: DmaPurpose, status: DmaStatus, bit: int
) -> None:
    """The second of three copies meets it: the first is whole, the others are undone, a further one works.

    Where only the status could not be written, the second is whole as well, and CHANSTS says so.
    """
    with CopyBench(version=version) as bench:
        client = Client(bench)
        channel, other = client.channel(0), client.channel(1)
        source, target = bench.buffer(pattern(300)), bench.buffer(300)
        client.copy(channel, transfer(target, source, length=100))
        bench.engine.is_manual = True
        for n in (1, 2):
            client.copy(channel, transfer(target, source, at=100 * n, length=100))
        bench.engine.arm(Fault(site=site, action=FaultAction.ERROR, index=purpose, argument=status, count=1))
        bench.engine.is_manual = False
        client.copy(other, transfer(target, source, length=10))
        bench.settle()
        assert sorted((number, ok) for number, ok, _ in client.ended) == [
            (0, True),
            (1, purpose == COMPLETION),
            (2, False),
            (3, True),
        ]
        assert (channel.errors, other.errors, channel.outstanding) == (
            1 if purpose == COMPLETION else 2,
            0,
            0,
        )
        context = channel.handle.context
        assert isinstance(context, EngineChannel) and context.errors_seen == bit
        assert context.registers.errors == 0
        assert bench.engine.config_read(CONFIG.CHANERR_INT.offset) == 0
        target.view[:] = bytes(300)
        assert client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results[-1] and bytes(target.view) == pattern(300)
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-9")
@pytest.mark.parametrize("interrupt", ["msix", "msi", "line"])
def test_an_error_interrupts_by_every_kind(interrupt: str) -> None:
    with CopyBench(interrupt=interrupt) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        bench.engine.arm(Fault(site=READ, action=FaultAction.ERROR, index=DATA, argument=DmaStatus.ABORTED))
        for _ in range(2):
            client.copy(channel, transfer(target, source))
            bench.settle()
        assert client.results == [False, True] and bytes(target.view) == pattern(64)
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-9")
def test_a_start_does_not_overtake_the_report_of_an_error() -> None:
    """The error is not reported yet: the channel takes nothing, and what failed is not lost."""
    with CopyBench() as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        bench.engine.arm(Fault(site=READ, action=FaultAction.ERROR, index=DATA, argument=DmaStatus.ABORTED))
        assert client.copy(channel, transfer(target, source))
        assert not client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [False]
        assert client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [False, True]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-12")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_a_lost_interrupt_is_noticed(version: tuple[int, int]) -> None:
    with CopyBench(version=version) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        bench.engine.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DROP))
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == []
        assert channel.poll() == 1 and client.results == [True], "who looks need not wait"
        bench.engine.arm(Fault(site=FaultSite.INTERRUPT, action=FaultAction.DROP))
        channel.handle.stop()
        client.copy(channel, transfer(target, source))
        bench.advance(2 * LOOK_NS)
        assert client.results == [True, True] and channel.lost_interrupts == 1
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [True] * 3, "interrupts come again"
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-12")
def test_an_engine_that_hangs_is_reset() -> None:
    with CopyBench(manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        client.copy(channel, transfer(target, source))
        bench.advance(LOOKS * LOOK_NS)
        assert client.results == []
        bench.advance(2 * LOOK_NS)
        assert client.results == [False] and channel.errors == 1
        bench.engine.run()
        assert bytes(target.view) == bytes(64)
        bench.engine.is_manual = False
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [False, True]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-12")
def test_slow_is_not_hung() -> None:
    """One step a look: the status does not move, then it does, and nobody is reset."""
    with CopyBench(manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(640)), bench.buffer(640)
        for n in range(10):
            client.copy(channel, transfer(target, source, at=64 * n, length=64))
        for _ in range(40):
            bench.advance(LOOK_NS)
            bench.step()
        bench.settle()
        assert client.results == [True] * 10 and channel.errors == 0
        assert bytes(target.view) == pattern(640)
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-9", "INV-62")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_the_status_after_an_abort_never_names_what_was_before(version: tuple[int, int]) -> None:
    """A ring of 8: place 0 is processed, 1 to 4 are aborted; the next chain goes over 0 and fails at once."""
    with CopyBench(version=version, ring=8, options={"has_reset": False}) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(640)), bench.buffer(640)
        client.copy(channel, transfer(target, source, length=64))
        bench.settle()
        bench.engine.is_manual = True
        for _ in range(4):
            client.copy(channel, transfer(target, source, length=64))
        channel.abandon()
        for _ in range(5):
            client.copy(channel, transfer(target, source, at=64, length=64))
        bench.engine.arm(Fault(site=READ, action=FaultAction.ERROR, index=DATA, argument=DmaStatus.ABORTED))
        bench.engine.is_manual = False
        bench.settle()
        assert client.results == [True] + [False] * 9
        assert bytes(target.view[64:]) == bytes(576)
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-11")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_free_in_mid_flight_stops_the_engine(version: tuple[int, int]) -> None:
    for moment in range(8):
        with CopyBench(version=version, manual=True) as bench:
            client = Client(bench)
            channel = client.channel()
            source, target = bench.buffer(pattern(300)), bench.buffer(300)
            for n in range(3):
                client.copy(channel, transfer(target, source, at=100 * n, length=100))
            for _ in range(moment):
                bench.step()
            channel.free()
            assert len(client.ended) == 3 and channel.handle.is_freed
            seen = bytes(target.view)
            for number, is_copied, _ in client.ended:
                assert not is_copied or seen[100 * number :][:100] == source.view[100 * number :][:100]
            bench.engine.run()
            assert bytes(target.view) == seen
            assert bench.engine.read(0, COPY_BAR0.CHANSTS.at(0), 8) & 7 == 3
            source.free()
            target.free()


def test_no_memory_to_map_means_no_copy() -> None:
    with CopyBench(device={"map_regions": 8}) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(40_000)), bench.buffer(40_000)
        assert not client.copy(channel, transfer(target, source))
        assert client.copy(channel, transfer(target, source, length=64))
        bench.settle()
        assert client.results == [True]
        source.free()
        target.free()


@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_an_engine_that_does_not_stop_in_time_is_left_alone(
    version: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspend fails after its wait, an Append of 1.x takes nothing; what was under way ends well."""
    with CopyBench(version=version, manual=True) as bench:
        monkeypatch.setattr(bench.system, "_delay", bench.world.delay)
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(128)), bench.buffer(128)
        client.copy(channel, transfer(target, source, length=64))
        bench.step(0)
        assert channel.handle.suspend() == (NTSTATUS.UNSUCCESSFUL, 0)
        is_taken = client.copy(channel, transfer(target, source, at=64, length=64))
        assert is_taken == (version >= (2, 0))
        bench.settle()
        assert client.results == ([True, True] if is_taken else [True])
        assert bytes(target.view) == pattern(128)[: 128 if is_taken else 64] + bytes(0 if is_taken else 64)
        source.free()
        target.free()
