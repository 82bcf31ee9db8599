"""DMA that comes back as a register access: the card's own BARs are no memory that it could reach."""

from __future__ import annotations

from typing import Any

import pytest

from vnic.abi import DmaStatus, EventType, Map
from vnic.copy_engine import CopyEngine
from vnic.events import Event
from vnic.function import PciFunction
from vnic.gen.descriptors import TxData
from vnic.gen.enums import DescType, RingError, RxError, TestOp, TestResult, TxStatus
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0, MSIX_TABLE
from vnic.testbench.rig import BAR0_ADDRESS, BAR2_ADDRESS, MAC, Rig, plain_frame

ISSUES = "QEMU gitlab 62, 540, 541, 556, 557, 827 and 1282"
DOORBELL = BAR0_ADDRESS + BAR0.QP_TX_TAIL.offset
#: Where a hostile driver aims DMA: what a write there would do if it were taken for an access.
TARGETS = {
    "the transmit doorbell": DOORBELL,
    "the receive doorbell": BAR0_ADDRESS + BAR0.QP_RX_TAIL.offset,
    "the device reset": BAR0_ADDRESS + BAR0.GLB_CTRL.offset,
    "the DMA test": BAR0_ADDRESS + BAR0.TEST_DMA_CMD.offset,
    "the cause, which clears by a read": BAR0_ADDRESS + BAR0.INT_CAUSE.offset,
    "the MSI-X table": BAR2_ADDRESS + MSIX_TABLE.ENTRY_ADDR_LO.offset,
}
REFUSED = (DmaStatus.UNSUPPORTED, DmaStatus.ABORTED)


@pytest.fixture(params=TARGETS, ids=lambda name: name.replace(" ", "_"))
def target(request: pytest.FixtureRequest) -> int:
    """An address in a BAR of the card."""
    return TARGETS[request.param]


class Accesses:
    """Register accesses and failed DMA of a card, on a host that would route DMA to a BAR: peer to peer."""

    def __init__(self, function: PciFunction[Any]) -> None:
        self.accesses = 0
        self.refused = 0
        self.routed: list[int] = []
        self._observation = function.observe(self._see)
        function.answer_unmapped(self._route)

    def _route(self, address: int, _: memoryview, is_write: bool) -> DmaStatus:
        self.routed.append(address)
        return DmaStatus.OK

    def _see(self, event: Event) -> None:
        if event.type in (EventType.MMIO_READ, EventType.MMIO_WRITE):
            self.accesses += 1
        elif event.type in (EventType.DMA_READ, EventType.DMA_WRITE):
            self.refused += event.value in REFUSED

    def close(self) -> None:
        """Look no more."""
        self._observation.cancel()


def watch(rig: Rig) -> Accesses:
    """What the card does of itself: accesses to its registers, and DMA that is refused; none is routed."""
    seen = Accesses(rig.device)
    rig.device.run()
    seen.close()
    assert seen.routed == []
    return seen


def state(rig: Rig) -> tuple[int, ...]:
    """What a nested access would have changed."""
    table = [rig.device.read(2, MSIX_TABLE.ENTRY_ADDR_LO.at(v)) for v in range(rig.vectors)]
    registers = (BAR0.QP_TX_TAIL, BAR0.QP_RX_TAIL, BAR0.RSS_CTRL, BAR0.MAC_RX_CTRL, BAR0.TEST_DMA_STATUS)
    return (*table, *(rig.get(register) for register in registers))


def test_cve_2021_20257_receive_dma_onto_the_doorbell(target: int) -> None:
    """QEMU e1000: a looped frame was received onto TDT, which transmitted it again, and again.

    Here DMA to an own BAR is an Unsupported Request [PCI-16]: the frame ends with DMA.
    """
    with Rig(manual=True, posted=0) as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig[0].post_rx(1, [target])
        before = state(rig)
        rig[0].send(MAC + bytes.fromhex("ff00000000000100") * 8)
        seen = watch(rig)
        assert (seen.accesses, seen.refused) == (0, 1)
        (frame,) = rig[0].take()
        assert frame.first.error == RxError.DMA
        after = state(rig)
        assert after[: rig.vectors] == before[: rig.vectors]
        assert rig.get(BAR0.QP_TX_TAIL) == 1, "the one frame that the driver sent"


def test_gitlab_62_and_others_transmit_data_read_from_registers(target: int) -> None:
    """QEMU gitlab 62, 540, 541, 556, 557, 827, 1282: DMA reads of MMIO had side effects in mid-frame.

    Here the send ends with DMA, nothing leaves, and a register that clears by a read keeps what it has.
    """
    with Rig(manual=True) as rig:
        rig[0].send_raw([TxData(target, 64, DescType.DATA, eop=1, rs=1).pack()])
        seen = watch(rig)
        assert (seen.accesses, seen.refused) == (0, 1)
        assert [report.status for report in rig[0].reports()] == [TxStatus.DMA]
        assert rig.sent() == []


@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
def test_gitlab_827_rings_that_lie_in_registers(ring: str, target: int) -> None:
    """A ring in the card's own registers: each descriptor read, or entry written, was an access.

    Here the ring stops: FETCH_DMA where it is read, WRITE_DMA where it is written.
    """
    with Rig(manual=True, posted=0) as rig:
        base = target & ~63
        for register in (BAR0.QP_CQ_CTRL,):
            rig[0].put(register, register.encode(RESET=1))
        pair = rig[0]
        pair.start()
        control, where = BAR0.MAP[f"QP_{ring}_CTRL"], BAR0.MAP[f"QP_{ring}_BASE"]
        pair.put(control, 0)
        pair.put(where, base)
        if ring == "CQ":
            pair.put(control, 1)
            pair.put(BAR0.QP_CQ_TAIL, 16)
            pair.start_rx()
            pair.start_tx()
        else:
            pair.put(control, 1)
        if ring == "RX":
            pair.put(BAR0.QP_RX_TAIL, 4)
        rig.inject(plain_frame())
        pair.put(BAR0.QP_TX_TAIL, 1) if ring == "TX" else pair.send(plain_frame())
        seen = watch(rig)
        assert seen.accesses == 0
        assert seen.refused >= 1
        expected = RingError.WRITE_DMA if ring == "CQ" else RingError.FETCH_DMA
        assert pair.error(BAR0.MAP[f"QP_{ring}_STATUS"]) == expected


def test_gitlab_1282_the_dma_test_aimed_at_its_own_command(target: int) -> None:
    """The engine for bring-up, told to fill the registers that tell it what to do, or to copy out of them."""
    with Rig(manual=True) as rig:
        source = rig.stage(bytes(64))
        aimed = ((TestOp.FILL, 0, target), (TestOp.COPY, source, target), (TestOp.COPY, target, source))
        for operation, src, dst in aimed:
            rig.put(BAR0.TEST_DMA_SRC, src)
            rig.put(BAR0.TEST_DMA_DST, dst)
            rig.put(BAR0.TEST_DMA_LEN, 64)
            rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=operation))
            seen = watch(rig)
            assert (seen.accesses, seen.refused) == (0, 1)
            assert rig.field(BAR0.TEST_DMA_STATUS, "RESULT") == TestResult.DMA_ERROR


def test_memory_that_is_mapped_over_a_bar_stays_out_of_reach() -> None:
    """An own BAR comes before memory at the same address, so that no map makes a way to it."""
    with Rig(manual=True) as rig:
        page = bytearray(4096)
        rig.device.map(BAR0_ADDRESS, page, Map.READ | Map.WRITE)
        rig[0].send_raw([TxData(BAR0_ADDRESS, 64, DescType.DATA, eop=1, rs=1).pack()])
        assert watch(rig).refused == 1
        rig.configure(CONFIG.COMMAND, MASTER=1)  # decodes no more: now it is memory
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        assert [report.status for report in rig[0].reports()] == [TxStatus.DMA]


def test_both_functions_the_copy_engine_aimed_at_its_own_channel() -> None:
    """The same for the other function: a chain that copies onto CHANCMD does not command the channel.

    Here the write is an Unsupported Request: the channel halts with DEST_ADDR, and counts what it did before.
    """
    with CopyEngine(manual=True) as engine:
        memory = bytearray(8192)
        engine.map(0x10000, memory, Map.READ | Map.WRITE)
        for register, value in ((CONFIG.BAR.at(0), BAR0_ADDRESS), (CONFIG.BAR.at(1), 0)):
            engine.config_write(register, value)
        engine.config_write(CONFIG.COMMAND.offset, CONFIG.COMMAND.encode(MEMORY=1, MASTER=1))
        target = BAR0_ADDRESS + COPY_BAR0.CHANCMD.at(0)
        words = (64, 0x11000, target, 0x10000, 0, 0, 0, 0)
        memory[:64] = b"".join(word.to_bytes(8, "little") for word in words)
        memory[0x1000:0x1040] = b"\x20" * 64  # RESET, if it were a command
        engine.write(0, COPY_BAR0.CHAINADDR.at(0), 0x10000, 8)
        engine.write(0, COPY_BAR0.CHANCMD.at(0) + 2, 1, 2)
        seen = Accesses(engine)
        engine.run()
        assert engine.is_idle
        assert (seen.accesses, seen.refused, seen.routed) == (0, 1, [])
        error = COPY_BAR0.CHANERR.field("DEST_ADDR").get(engine.read(0, COPY_BAR0.CHANERR.at(0)))
        assert error == 1


@pytest.mark.parametrize("is_write", [False, True], ids=["read", "write"])
def test_both_functions_the_card_aimed_at_its_neighbour(is_write: bool) -> None:
    """What is another function's BAR is the host's to route: the card asks once, and takes what it is told.

    Here the host says that it does not route between peers, as most do not: the transfer has failed.
    """
    neighbour = BAR0_ADDRESS + (1 << 24)
    asked: list[tuple[int, bool]] = []

    def refuse(address: int, _: memoryview, is_a_write: bool) -> DmaStatus:
        asked.append((address, is_a_write))
        return DmaStatus.UNSUPPORTED

    with Rig(manual=True, posted=0) as rig:
        rig.device.answer_unmapped(refuse)
        if is_write:
            rig[0].post_rx(1, [neighbour])
            rig.inject(plain_frame(64))
        else:
            rig[0].send_raw([TxData(neighbour, 64, DescType.DATA, eop=1, rs=1).pack()])
        rig.device.run()
        assert asked == [(neighbour, is_write)]
        if is_write:
            assert rig[0].take()[0].first.error == RxError.DMA
        else:
            assert [report.status for report in rig[0].reports()] == [TxStatus.DMA]
