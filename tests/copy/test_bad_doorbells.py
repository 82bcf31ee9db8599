"""Doorbells and commands at the wrong time, errors that are cleared, removal: nothing moves that must not."""

from __future__ import annotations

import pytest

from tests.copy.scene import COMPLETION, Scene, completion_word, copy, slot
from vnic.function import Budget
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import COPY_BAR0, Chanerr

ALL = (1 << 64) - 1


@pytest.mark.requirement("DMA-4", "DMA-40", "DMA-46", "INV-58")
@pytest.mark.parametrize("way", ["power-on", "ABORT", "RESET", "error"])
def test_a_doorbell_of_a_halted_channel(way: str) -> None:
    with Scene() as scene:
        scene.chain(copy(), copy(at=1))
        if way in ("ABORT", "RESET"):
            scene.start(1)
            scene.step()
            scene.command(way)
        elif way == "error":
            scene.command("START")
            scene.run()
        errors = scene.read("CHANERR")
        scene.before = scene.image()
        scene.count(scene.dmacount + 2)
        scene.run()
        assert scene.state() == ChanStatus.HALTED
        assert scene.read("CHANERR") == errors | Chanerr.DESC_COUNT
        scene.assert_only([(COMPLETION, completion_word(scene.last, ChanStatus.HALTED, has_error=True))])
        scene.write("CHANERR", scene.read("CHANERR"))
        scene.start(1)
        scene.run()
        assert scene.state() == ChanStatus.DONE


@pytest.mark.requirement("DMA-10", "DMA-40", "INV-58")
@pytest.mark.parametrize(
    "names", [("START",), ("APPEND",), ("SUSPEND", "RESUME"), ("ABORT", "RESET")], ids=str
)
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_command_that_is_none(names: tuple[str, ...], steps: int) -> None:
    with Scene() as scene:
        scene.chain(copy(5000, compl_write=1))
        scene.start(1)
        scene.step(steps)
        scene.before = scene.image()
        scene.command(*names)
        assert (scene.state(), scene.read("CHANERR")) == (ChanStatus.HALTED, Chanerr.CHANCMD)
        scene.run()
        scene.assert_only([(COMPLETION, completion_word(scene.last, ChanStatus.HALTED, has_error=True))])
        assert scene.vectors == [0]
        scene.recover()


@pytest.mark.requirement("DMA-42", "INV-62")
@pytest.mark.parametrize("way", ["ABORT", "RESET", "chain"])
def test_what_an_error_would_report_is_dropped(way: str) -> None:
    with Scene() as scene:
        scene.chain(copy())
        scene.command("APPEND")
        scene.write("CHANERR", Chanerr.CHANCMD)
        if way == "chain":
            scene.write("CHAINADDR", slot(0))
        else:
            scene.command(way)
        assert scene.run() == 0
        scene.assert_only([])
        assert scene.vectors == []


@pytest.mark.requirement("DMA-2", "DMA-44", "DMA-46")
def test_a_chain_does_not_start_before_errors_are_cleared() -> None:
    with Scene() as scene:
        scene.chain(copy())
        scene.command("APPEND")
        scene.run()
        scene.write("CHAINADDR", slot(0))
        assert scene.state() == ChanStatus.HALTED
        scene.write("CHANERR", Chanerr.CHANCMD)
        assert (scene.state(), scene.read("CHANSTS") & 0xF) == (ChanStatus.HALTED, ChanStatus.HALTED)
        scene.before = scene.image()
        scene.run()
        scene.assert_only([])
        scene.start(1)
        scene.run()
        assert scene.state() == ChanStatus.DONE
        scene.assert_only([(copy().dst, scene.old(copy().src, 256))])


@pytest.mark.requirement("DMA-55", "PCI-24")
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_removal_ends_all_at_any_step(steps: int) -> None:
    with Scene() as scene:
        scene.chain(copy(5000, compl_write=1, int_en=1), copy(at=1))
        scene.start(2)
        scene.step(steps)
        engine = scene.pair.engine
        scene.before = scene.image()
        engine.remove()
        assert not list(engine.runnable) and engine.run() == Budget(0, 0)
        assert engine.read(0, COPY_BAR0.CHANSTS.offset, 8) == ALL
        engine.write(0, COPY_BAR0.CHANCMD.offset + 2, 9, 2)
        engine.run()
        assert engine.interrupts() == []
        scene.assert_only([])
        engine.insert()
        scene.pair.power_cycle()
        scene.pair.write(3, 0x09, 1)
        scene.recover()
