"""Every way in which a transfer can fail, for every purpose: CHANERR, the bus's own registers, and memory."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.copy.pair import DATA
from tests.copy.scene import COMPLETION, Scene, completion_word, copy, slot
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, Chanctrl, Chanerr

READ, WRITE = FaultSite.DMA_READ, FaultSite.DMA_WRITE
UR, CA, POISON, TIMEOUT = DmaStatus.UNSUPPORTED, DmaStatus.ABORTED, DmaStatus.POISONED, DmaStatus.TIMEOUT


class Failure(NamedTuple):
    """A transfer of some kind that ends so, and the bit of CHANERR for it."""

    site: FaultSite
    purpose: DmaPurpose
    status: DmaStatus
    bit: int

    def fault(self, skip: int) -> Fault:
        """The transfer of this kind after `skip` good ones fails."""
        return Fault(
            site=self.site, action=FaultAction.ERROR, index=self.purpose, skip=skip, argument=self.status
        )


FAILURES = (
    Failure(READ, DmaPurpose.DESCRIPTOR, UR, Chanerr.NEXT_ADDR),
    Failure(READ, DmaPurpose.DESCRIPTOR, CA, Chanerr.NEXT_ADDR),
    Failure(READ, DmaPurpose.DESCRIPTOR, TIMEOUT, Chanerr.NEXT_ADDR),
    Failure(READ, DmaPurpose.DESCRIPTOR, POISON, Chanerr.DESC_INTEGRITY),
    Failure(READ, DmaPurpose.DATA, UR, Chanerr.SRC_ADDR),
    Failure(READ, DmaPurpose.DATA, CA, Chanerr.SRC_ADDR),
    Failure(READ, DmaPurpose.DATA, TIMEOUT, Chanerr.READ_DATA),
    Failure(READ, DmaPurpose.DATA, POISON, Chanerr.DATA_INTEGRITY),
    Failure(WRITE, DmaPurpose.DATA, UR, Chanerr.DEST_ADDR),
    Failure(WRITE, DmaPurpose.DATA, CA, Chanerr.DEST_ADDR),
    Failure(WRITE, DmaPurpose.DATA, TIMEOUT, Chanerr.WRITE_DATA),
    Failure(WRITE, DmaPurpose.DATA, POISON, Chanerr.WRITE_DATA),
    Failure(WRITE, DmaPurpose.COMPLETION, UR, Chanerr.CMPL_ADDR),
    Failure(WRITE, DmaPurpose.COMPLETION, CA, Chanerr.CMPL_ADDR),
    Failure(WRITE, DmaPurpose.COMPLETION, TIMEOUT, Chanerr.CMPL_ADDR),
    Failure(WRITE, DmaPurpose.COMPLETION, POISON, Chanerr.CMPL_ADDR),
)
#: Where each way to fail is logged: (register, field) of configuration space.
LOGGED = {
    UR: ("COMMAND", "RCV_MASTER_ABORT"),
    CA: ("COMMAND", "RCV_TARGET_ABORT"),
    POISON: ("COMMAND", "PARITY_ERROR"),
    TIMEOUT: ("AER_UNCOR_STATUS", "TIMEOUT"),
}
SIZE, SOURCE, TARGET = 8000, DATA.addr + 0x100, DATA.addr + 0x3800


def broken(scene: Scene, failure: Failure, skip: int) -> None:
    """Two copies of several pieces with a completion each, and a failure on the way."""
    scene.chain(*(copy(SIZE, src=SOURCE + n, dst=TARGET + n, compl_write=1) for n in range(2)))
    scene.pair.arm(failure.fault(skip))
    scene.start(2)
    scene.run()


def name(failure: Failure) -> str:
    """In the names of tests."""
    return f"{failure.site.name.lower()}-{failure.purpose.name.lower()}-{failure.status.name.lower()}"


@pytest.mark.requirement("DMA-40", "DMA-41", "DMA-42", "DMA-43", "DMA-46", "INV-67")
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("failure", FAILURES, ids=name)
def test_a_transfer_that_fails(failure: Failure, skip: int) -> None:
    with Scene() as scene:
        broken(scene, failure, skip)
        has_moved = failure.purpose == DmaPurpose.COMPLETION
        is_second = skip and failure.purpose != DmaPurpose.DATA
        current = slot(1) if is_second else slot(0)
        last = current if has_moved else slot(0) if is_second else 0
        scene.assert_halted(failure.bit, current=current, last=last)
        assert scene.vectors == [0]
        for status, place in LOGGED.items():
            assert scene.config(*place) == (status == failure.status), place
        assert scene.config("AER_UNCOR_STATUS", "POISONED") == 0  # advisory, and masked as such
        assert scene.config("AER_COR_STATUS", "ADVISORY") == (failure.status == POISON)
        assert scene.config("CHANERR_INT", "ERRORS") == failure.bit
        assert scene.config("AER_UNCOR_STATUS", "INTERNAL") == 1
        assert scene.config("DEVCTL", "FATAL") == 1
        scene.recover()


@pytest.mark.requirement("DMA-21", "DMA-41", "INV-67")
@pytest.mark.parametrize("failure", FAILURES[4:12], ids=name)
@pytest.mark.parametrize("skip", range(4))
def test_pieces_before_the_one_that_fails_stay_and_no_byte_of_it_or_behind_it_is_written(
    failure: Failure, skip: int
) -> None:
    with Scene() as scene:
        broken(scene, failure, skip)
        edges = [0, 0x800, 0xF00, 0x1800]  # of the target's page, the source's, the target's again
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        moved = scene.old(SOURCE, edges[skip])
        scene.assert_only([(TARGET, moved), (COMPLETION, halted)])


@pytest.mark.requirement("DMA-42")
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("enabled", range(4))
@pytest.mark.parametrize("failure", [FAILURES[0], FAILURES[4], FAILURES[8], FAILURES[12]], ids=name)
def test_an_error_reports_itself_as_it_was_told(failure: Failure, enabled: int, is_masked: bool) -> None:
    completes, interrupts = enabled & 1, enabled >> 1
    chanctrl = Chanctrl.ERR_COMPLETION_EN * completes | Chanctrl.ERR_INT_EN * interrupts
    with Scene(chanctrl=chanctrl) as scene:
        scene.write("CHANERRMSK", failure.bit if is_masked else ~failure.bit & 0x7_FFFF)
        scene.chain(copy(compl_write=failure.bit == Chanerr.CMPL_ADDR))
        scene.pair.arm(failure.fault(0))
        scene.start(1)
        scene.run()
        assert (scene.state(), scene.read("CHANERR")) == (ChanStatus.HALTED, failure.bit)
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        if failure.bit == Chanerr.CMPL_ADDR:
            scene.assert_only([(copy().dst, scene.old(copy().src, 256))])
        else:
            scene.assert_only([(COMPLETION, halted)] if completes else [])
        assert scene.vectors == ([0] if interrupts and not is_masked else [])
        assert scene.config("CHANERR_INT", "ERRORS") == (0 if is_masked else failure.bit)
        assert scene.config("AER_UNCOR_STATUS", "INTERNAL") == (not is_masked)


@pytest.mark.requirement("DMA-43", "PCI-48")
def test_a_mask_in_configuration_space_keeps_an_error_from_aer_only() -> None:
    with Scene() as scene:
        scene.pair.engine.config_write(CONFIG.CHANERRMSK_INT.offset, Chanerr.CHANCMD)
        scene.command("START")
        scene.run()
        assert scene.config("CHANERR_INT", "ERRORS") == Chanerr.CHANCMD
        assert scene.config("AER_UNCOR_STATUS", "INTERNAL") == 0
        scene.pair.engine.config_write(CONFIG.CHANERR_INT.offset, Chanerr.CHANCMD)
        assert scene.config("CHANERR_INT", "ERRORS") == 0
        assert scene.read("CHANERR") == Chanerr.CHANCMD


@pytest.mark.requirement("DMA-41", "DMA-42")
@pytest.mark.parametrize("masked", [0, Chanerr.DESC_LENGTH, Chanerr.CMPL_ADDR, 0x7_FFFF], ids=hex)
def test_a_completion_of_an_error_that_fails_itself(masked: int) -> None:
    with Scene() as scene:
        scene.write("CHANERRMSK", masked)
        scene.chain(copy(0))
        scene.pair.arm(Failure(WRITE, DmaPurpose.COMPLETION, UR, 0).fault(0))
        scene.start(1)
        scene.run()
        scene.assert_halted(Chanerr.DESC_LENGTH | Chanerr.CMPL_ADDR, current=slot(0), last=0)
        scene.assert_only([])
        assert scene.vectors == ([] if masked == 0x7_FFFF else [0])
        scene.write("CHANERRMSK", 0)
        scene.recover()


@pytest.mark.requirement("DMA-44", "DMA-46")
@pytest.mark.parametrize("failure", FAILURES, ids=name)
def test_a_channel_goes_on_after_its_errors_were_cleared(failure: Failure) -> None:
    with Scene() as scene:
        scene.chain(copy(compl_write=1), copy(at=1, compl_write=1))
        scene.pair.arm(failure.fault(0))
        scene.start(2)
        scene.run()
        assert scene.read("CHANSTS") >> 3 & 1
        scene.write("CHANERR", failure.bit)
        assert not scene.read("CHANSTS") >> 3 & 1
        assert scene.run() == 0
        scene.start(2)
        scene.run()
        assert (scene.state(), scene.last) == (ChanStatus.DONE, slot(1))
        done = (COMPLETION, completion_word(slot(1), ChanStatus.DONE))
        scene.assert_only([*((copy(at=n).dst, scene.old(copy(at=n).src, 256)) for n in (0, 1)), done])


@pytest.mark.requirement("DMA-40")
def test_an_error_halts_no_other_channel() -> None:
    with Scene() as scene:
        scene.chain(copy(compl_write=1))
        scene.pair.put(slot(16), copy(0))
        scene.before = scene.image()
        other = scene.neighbour(1)
        other.start(1, slot(16))
        scene.start(1)
        scene.run()
        assert (scene.state(), scene.last) == (ChanStatus.DONE, slot(0))
        assert other.state() == ChanStatus.HALTED
        assert other.read("CHANERR") == Chanerr.DESC_LENGTH


@pytest.mark.requirement("DMA-45")
@pytest.mark.parametrize("steps", range(5))
def test_a_channel_waits_while_bus_master_enable_is_clear(steps: int) -> None:
    with Scene() as scene:
        scene.chain(copy(5000, compl_write=1, int_en=1))
        scene.start(1)
        scene.step(steps)
        scene.pair.set_master(False)
        scene.before = scene.image()
        assert scene.pair.engine.is_idle and not scene.pair.step(0)
        assert scene.pair.run(100) == 0
        scene.assert_only([])
        assert (scene.state(), scene.read("CHANERR")) == (ChanStatus.ACTIVE, 0)
        assert scene.config("COMMAND", "RCV_MASTER_ABORT") == 0
        scene.pair.set_master(True)
        scene.run()
        assert scene.state() == ChanStatus.DONE
        assert scene.vectors == [0]
        assert scene.pair.get(copy().dst, 5000) == scene.old(copy().src, 5000)
