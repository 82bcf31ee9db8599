"""The race checker finds nothing in the reference drivers, of card and engine, whatever they do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testbench.watched_rig import WatchedRig
from vnic.config import CopyEngineConfig
from vnic.copy_engine import CopyEngine
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0
from vnic.host.system import System
from vnic.miniport.queue import QueuePair
from vnic.ndis.attributes import HaltAction
from vnic.netdma.types import Transfer
from vnic.testbench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.frames import plain_frame, tcp_frame
from vnic.testbench.races import RaceKind
from vnic.testbench.wired import WiredBenches

_FRAMES = [plain_frame(60 + n * 41 % 1400, n) for n in range(40)]


def machine(**options: Any) -> Bench:
    """A machine of two queues, watched."""
    return Bench(**{"queues": 2, "cpus": 2, "check_races": True} | options)


# -- the miniport --------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("interrupt", ["msix", "line"])
@pytest.mark.parametrize("strict", [True, False])
def test_the_miniport_receives_and_sends(interrupt: str, strict: bool) -> None:
    with machine(interrupt=interrupt, strict_dma=strict, scatter=strict, seed=3) as bench:
        for _ in range(2):
            bench.receive(*_FRAMES)
            bench.send(*_FRAMES)
            bench.settle()
        assert sorted(bench.received) == sorted(_FRAMES * 2)
        assert sorted(bench.transmitted) == sorted(_FRAMES * 2)


@pytest.mark.requirement("NDMA-35")
def test_the_miniport_splits_headers_and_cuts_large_sends_and_jumbo_frames() -> None:
    keywords = {"*HeaderDataSplit": 1, "*JumboPacket": 9014}
    with machine(keywords=keywords) as bench:
        bench.receive(tcp_frame(b"x" * 1000), plain_frame(9000))
        bench.send(plain_frame(9000))
        bench.settle()
        assert len(bench.received) == 2
        assert len(bench.transmitted) == 1


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("how", ["reset", "remove", "link", "restart"])
def test_the_miniport_gives_up_in_the_middle(how: str) -> None:
    with machine() as bench:
        bench.device.is_manual = True
        bench.receive(*_FRAMES)
        bench.send(*_FRAMES)
        match how:
            case "reset":
                bench.adapter.reset()
            case "remove":
                bench.device.remove()
                bench.adapter.surprise_remove()
            case "link":
                bench.device.set_link(0)
            case "restart":
                bench.device.is_manual = False
                bench.adapter.halt(HaltAction.DISABLED)
        bench.device.is_manual = False
        bench.settle()


@pytest.mark.requirement("NDMA-35")
def test_two_machines_on_a_wire_have_a_checker_each() -> None:
    watched = {"check_races": True, "queues": 1, "cpus": 1}
    with WiredBenches(first=watched, second=watched) as wired:
        wired.first.send(*_FRAMES)
        wired.second.send(*_FRAMES)
        wired.settle()
        assert wired.first.received == wired.second.received == _FRAMES
        assert wired.first.races is not wired.second.races


@pytest.mark.requirement("NDMA-30", "NDMA-35")
def test_a_miniport_that_writes_a_buffer_after_mapping_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference, but for one line: a receive buffer is written when it is posted again, and so mapped."""
    refill = QueuePair._refill

    def clears(pair: QueuePair) -> None:
        refill(pair)
        pair.receive._posted[-1].data.view[0] ^= 0xFF

    monkeypatch.setattr(QueuePair, "_refill", clears)
    with machine() as bench:
        bench.receive(*_FRAMES[:3])
        bench.settle()
        assert bench.races is not None
        races = bench.races.look()
        assert {race.kind for race in races} == {RaceKind.HOST_WRITE}
        assert races[0].parties[0].name.startswith("card RX[")
        assert races[0].label.startswith("receive data+0x")
        bench.abandon()


@pytest.mark.requirement("NDMA-34")
def test_watching_changes_nothing_of_what_the_card_does() -> None:
    hashes = set()
    for checks in (False, True):
        with machine(check_races=checks, seed=5) as bench:
            bench.receive(*_FRAMES)
            bench.send(*_FRAMES)
            bench.settle()
            hashes.add((bench.device.state_hash(), bench.clock.now_ns, tuple(bench.received)))
    assert len(hashes) == 1


# -- the provider --------------------------------------------------------------------------------------------


class Client:
    """Takes what it is told."""

    def pnp_event(self, code: object, provider: object) -> None:
        """Nothing to do."""


@pytest.mark.requirement("NDMA-35")
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("strict", [True, False])
def test_the_provider_copies(version: tuple[int, int], strict: bool) -> None:
    with CopyBench(version=version, strict_dma=strict, check_races=True) as bench:
        handle = bench.interface.register_client(Client())
        channel = handle.allocate_channel(0)
        assert channel is not None
        source = bench.memory.alloc(64 << 10, label="source")
        target = bench.memory.alloc(64 << 10, label="target")
        source.view[:] = bytes(n * 7 & 0xFF for n in range(64 << 10))
        done: list[bool] = []
        for at in range(0, 64 << 10, 16 << 10):
            parts = [
                Transfer(target.address + at + n, source.address + at + n, 4000) for n in (0, 4000, 8000)
            ]
            rest = Transfer(target.address + at + 12000, source.address + at + 12000, (16 << 10) - 12000)
            assert channel.copy([*parts, rest], done.append)
        bench.settle()
        assert done == [True] * 4
        assert target.view == source.view
        channel.free()
        handle.deregister()
        source.free()
        target.free()
        assert bench.races is not None
        assert bench.races.look() == ()


# -- card and engine in one machine --------------------------------------------------------------------------


class TwoFunctions(WatchedRig):
    """The smallest driver of the card, and an engine that reaches the same memory at the same addresses."""

    def copy(self, source: int, target: int, size: int) -> None:
        """Move memory by the engine, from its own ring."""
        engine = CopyEngine(CopyEngineConfig(channels=1))
        system = System(engine, self.memory, mmio_base=0xF000_0000)
        tap = self.checker.watch_engine(engine)
        engine.map(self.memory.base, self.memory.view, 3)
        tap.placed(self.memory.base, self.memory.base, self.memory.size)
        system.enable_device()
        system.set_master()
        ring = self.memory.alloc(128, align=64)
        ring.view[:64] = CopyDescriptor(size=size, src=source, dst=target, compl_write=1).pack()
        system.write(0, COPY_BAR0.CHANCMP.offset, ring.address + 64, 8)
        system.write(0, COPY_BAR0.CHAINADDR.offset, ring.address, 8)
        system.write(0, COPY_BAR0.CHANCMD.offset + 2, 1, 2)


@pytest.mark.requirement("NDMA-31", "NDMA-34")
def test_an_engine_that_reads_what_the_card_may_write_is_found() -> None:
    with TwoFunctions() as rig:
        rig.copy(rig.buffer(0), rig.stage(bytes(64)), 64)
        race = rig.only(RaceKind.OVERLAP)
        assert (race.address, race.length) == (rig.buffer(0), 64)
        assert [party.name for party in race.parties] == ["card RX[0] #0", "engine channel 0 #0"]


@pytest.mark.requirement("NDMA-34", "NDMA-35")
def test_an_engine_that_takes_a_frame_out_of_a_completed_buffer_is_right() -> None:
    with TwoFunctions() as rig:
        frame = plain_frame(200)
        rig.receive(frame)
        target = rig.stage(bytes(200))
        rig.copy(rig.buffer(0), target, 200)
        assert rig.memory.read(target, 200) == frame
        assert rig.checker.look() == ()
