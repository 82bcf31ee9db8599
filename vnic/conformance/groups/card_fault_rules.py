"""Faults that are made, and what is told: which fire, what they do, what is refused, and when it is told."""

from __future__ import annotations

from itertools import product

from vnic import errors
from vnic.abi import (
    DmaPurpose,
    DmaStatus,
    EventType,
    FaultAction,
    FaultSite,
    InterruptKind,
    Map,
    RxVerdict,
)
from vnic.conformance.case import card_case
from vnic.conformance.chain import content
from vnic.conformance.groups.card import messages, through
from vnic.conformance.groups.card_memory_rules import error_of
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import MESSAGE_DATA, Rig

_PAGE = 4096
_BASE = 0x5000_0000
_BOTH = Map.READ | Map.WRITE


def _arm(rig: Rig, **fields: int) -> int:
    return rig.device.arm(Fault(**fields)).number  # type: ignore[arg-type]


@card_case(
    manual("PCI-41", "pci"),
    "a fault fires at the matches skip + 1 to skip + count; of several that would, the lowest id does",
)
def faults_and_their_turns(rig: Rig) -> None:
    """One fault with each skip and count, two that overlap, one that is disarmed; frames, and which of
    them fail."""

    def failing(count: int) -> list[int]:
        found = []
        for number in range(count):
            _, report = rig.transmit(plain_frame(90, number, PEER))
            if report.status:
                found.append(number)
        return found

    error = {"site": FaultSite.DMA_READ, "action": FaultAction.ERROR, "index": DmaPurpose.DATA}
    for skip, count in product((0, 1, 3), (1, 2, 5)):
        number = _arm(rig, **error, argument=DmaStatus.ABORTED, skip=skip, count=count)
        found = failing(9)
        assert found == list(range(skip, skip + count)), f"skip {skip}, count {count}: {found} fail"
        assert rig.device.fault_fired(number) == count
        rig.device.disarm(number)
        assert failing(2) == [], "a fault that is disarmed fires"
    first = _arm(rig, **error, argument=DmaStatus.ABORTED, skip=1, count=2)
    second = _arm(rig, **error, argument=DmaStatus.ABORTED, skip=2, count=3)
    assert first < second
    found = failing(8)
    assert found == [1, 2, 3, 4], f"two faults, at 1 to 2 and at 2 to 4: {found} fail"
    fired = rig.device.fault_fired(first), rig.device.fault_fired(second)
    assert fired == (2, 2), f"where both would fire, they fired {fired} times"
    rig.device.disarm(first)
    assert _arm(rig, **error, argument=DmaStatus.ABORTED, skip=1 << 40, count=1) == first, (
        "the lowest id is not free"
    )
    at = rig.stage(plain_frame(90, 1, PEER))
    _arm(rig, **error, argument=DmaStatus.ABORTED, first=at + 89, last=at + 89, count=2)
    for length, status in ((89, 0), (90, 4)):
        rig[0].send_raw([rig[0].piece(b"", addr=at, len=length, rs=1)])
        (report,) = rig[0].reports()
        assert report.status == status, f"{length} bytes, a fault at the 90th: {report.status}"
    rig.device.frames()


@card_case(
    manual("PCI-43", "pci"),
    "corruption is XOR of the mask, lowest byte first, from offset argument modulo the length; none behind "
    "the end",
)
def corruption(rig: Rig) -> None:
    """Frames in and out, a completion, a message, a register, corrupted at several offsets."""
    mask = 0x8877_6655_4433_2211

    def spoiled(data: bytes, at: int) -> bytes:
        start = at % len(data)
        changed = bytearray(data)
        for n in range(min(8, len(data) - start)):
            changed[start + n] ^= mask >> 8 * n & 0xFF
        return bytes(changed)

    frame = plain_frame(100, 1, PEER)
    corrupt = {"action": FaultAction.CORRUPT, "mask": mask, "count": 1}
    for at in (14, 92, 95, 99, 114, 1 << 40):
        for site in (FaultSite.FRAME_OUT, FaultSite.DMA_READ):
            index = {"index": DmaPurpose.DATA} if site == FaultSite.DMA_READ else {}
            number = _arm(rig, site=site, argument=at, **corrupt, **index)
            assert rig.transmit(frame)[0] == [spoiled(frame, at)], f"{site.name} at {at}"
            rig.device.disarm(number)
        for site in (FaultSite.FRAME_IN, FaultSite.DMA_WRITE):
            index = {"index": DmaPurpose.DATA} if site == FaultSite.DMA_WRITE else {}
            number = _arm(rig, site=site, argument=at, **corrupt, **index)
            came = plain_frame(100, 2)
            got = [each.data for each in rig.receive(came)]
            assert got == [spoiled(came, at)], f"{site.name} at {at}"
            rig[0].post_rx(1)
            rig.device.disarm(number)
    messages(rig)
    number = _arm(rig, site=FaultSite.INTERRUPT, argument=2, **corrupt)
    rig.put(BAR0.TEST_FIRE, 1)
    data = int.from_bytes(spoiled((MESSAGE_DATA + 1).to_bytes(4, "little"), 2), "little")
    assert [each.data for each in rig.device.interrupts()] == [data], "the data of a message"
    rig.device.disarm(number)
    rig.put(BAR0.TEST_DMA_DST, 0)
    number = _arm(rig, site=FaultSite.MMIO_WRITE, argument=1, **corrupt)
    rig.put(BAR0.TEST_DMA_DST, 0)
    wanted = int.from_bytes(spoiled(bytes(8), 1), "little")
    assert rig.get(BAR0.TEST_DMA_DST) == wanted, f"a register is written as {rig.get(BAR0.TEST_DMA_DST):#x}"
    rig.device.disarm(number)


@card_case(
    manual("PCI-42", "pci"),
    "a fault that means nothing is refused; a read that fails is all ones and touches nothing; drops are "
    "silent",
)
def faults_that_are_refused(rig: Rig) -> None:
    """Every action at sites where it means nothing, ranges and counts that are none; a register read that
    fails."""
    read, write = FaultSite.MMIO_READ, FaultSite.MMIO_WRITE
    bad: tuple[dict[str, int], ...] = (
        {"site": read, "action": FaultAction.DROP}, {"site": write, "action": FaultAction.ERROR},
        {"site": FaultSite.DMA_READ, "action": FaultAction.DROP},
        {"site": FaultSite.INTERRUPT, "action": FaultAction.ERROR},
        {"site": FaultSite.FRAME_IN, "action": FaultAction.ERROR},
        {"site": FaultSite.DMA_READ, "action": FaultAction.ERROR, "argument": DmaStatus.OK},
        {"site": FaultSite.DMA_READ, "action": FaultAction.ERROR, "argument": DmaStatus.TIMEOUT + 1},
        {"site": FaultSite.FRAME_IN, "action": FaultAction.DROP, "first": 5, "last": 4},
        {"site": FaultSite.FRAME_IN, "action": FaultAction.DROP, "count": 0},
        {"site": FaultSite.FRAME_IN, "action": FaultAction.CORRUPT, "mask": 0},
        {"site": FaultSite.FRAME_IN, "action": FaultAction.DELAY, "argument": 0},
    )  # fmt: skip
    for fields in bad:
        found = error_of(rig.device.arm, Fault(**fields))  # type: ignore[arg-type]
        assert found is errors.ArgumentError, f"{fields}: {found}"
    rig.set_level(rig.level)
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    rig.put(BAR0.TEST_DMA_LEN, 0x55)
    first = BAR0.TEST_DMA_LEN.offset
    number = _arm(rig, site=read, action=FaultAction.ERROR, first=first, last=first + 3, count=1)
    assert rig.get(BAR0.TEST_DMA_LEN) == 0xFFFF_FFFF, "a read that fails has an answer"
    assert rig.get(BAR0.TEST_DMA_LEN) == 0x55
    rig.device.disarm(number)
    number = _arm(rig, site=write, action=FaultAction.DROP, first=first, last=first, count=1)
    rig.put(BAR0.TEST_DMA_LEN, 0x66)
    assert rig.get(BAR0.TEST_DMA_LEN) == 0x55, "a write that was dropped arrives"
    rig.device.disarm(number)
    before = rig.counters("")
    number = _arm(rig, site=FaultSite.FRAME_IN, action=FaultAction.DROP, count=1)
    assert rig.inject(plain_frame(100)) == RxVerdict.DROPPED
    assert rig.counters("") == before, "a frame that is lost on the wire is counted"
    rig.device.disarm(number)
    through(rig)


@card_case(
    manual("PCI-44", "pci"),
    "a write is told of before what it causes, a read after it, transfers with their bytes, messages as "
    "they queue",
)
def what_is_told(rig: Rig) -> None:
    """Watch a doorbell, a frame, a message that is taken, accesses of configuration space; compare with
    the bytes."""
    told: list[Event] = []
    frame = plain_frame(100, 3, PEER)
    with rig.device.observe(told.append):
        rig[0].send(frame)
        rig.device.frames()
        rig.get(BAR0.GLB_CTRL)
        rig.device.config_read(0)
        rig.device.config_write(0x3C, 0x12, 1)
        rig.device.interrupts()
    told = [event for event in told if event.type not in (EventType.RUN, EventType.STEP, EventType.RELEASE)]
    kinds = [event.type for event in told]
    wanted = [EventType.MMIO_WRITE, EventType.DMA_READ, EventType.DMA_READ, EventType.FRAME_OUT,
              EventType.DMA_WRITE, EventType.INTERRUPT, EventType.MMIO_READ, EventType.CFG_READ,
              EventType.CFG_WRITE, EventType.TAKE]  # fmt: skip
    assert kinds == wanted, f"told: {', '.join(kind.name for kind in kinds)}"
    assert (told[0].addr, told[0].value) == (BAR0.QP_TX_TAIL.at(0), 1), "the doorbell"
    assert [bytes(event.data) for event in told[1:4]] == [bytes(rig[0].tx_memory.view[:16]), frame, frame]
    assert bytes(told[4].data) == bytes(rig[0].cq_memory.view[:32]), "the completion"
    assert [event.index for event in told[1:3]] == [DmaPurpose.DESCRIPTOR, DmaPurpose.DATA]
    assert (told[5].value, told[7].value, told[8].value) == (MESSAGE_DATA, 0x10F0_1AF4, 0x12)
    failed = content(16)
    rig.device.map(_BASE, bytearray(failed + bytes(_PAGE - 16)), _BOTH)
    told.clear()
    with rig.device.observe(told.append, (EventType.DMA_READ,)):
        rig[0].send_raw([rig[0].piece(b"", addr=_BASE + _PAGE - 20, len=60, rs=1)])
    assert (len(told[1].data), told[1].value) == (20, DmaStatus.UNSUPPORTED), "what moved before the failure"


@card_case(
    manual("PCI-44", "pci"),
    "what an access sets off at once is told of behind a write, and in front of a read",
    level=InterruptKind.INTX,
)
def accesses_that_set_something_off(rig: Rig) -> None:
    """A cause is read, the master enable and Interrupt Disable are written, an entry is unmasked: what is
    told when."""
    told: list[Event] = []

    def kinds() -> list[str]:
        found = [event.type.name for event in told if event.type not in (EventType.RUN, EventType.STEP)]
        told.clear()
        return found

    rig.put(BAR0.TEST_FIRE, 0)
    with rig.device.observe(told.append):
        rig.put(BAR0.INT_CTRL, 0)
        assert kinds() == ["MMIO_WRITE", "INTERRUPT"], "a register is written, and the line falls"
        rig.put(BAR0.INT_CTRL, 1)
        assert kinds() == ["MMIO_WRITE", "INTERRUPT"], "a register is written, and the line rises"
        rig.device.config_write(CONFIG.COMMAND.offset, CONFIG.COMMAND.encode(MEMORY=1, INTX_DISABLE=1), 2)
        assert kinds() == ["CFG_WRITE", "INTERRUPT"], "Interrupt Disable is written, and the line falls"
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        assert kinds() == ["CFG_WRITE", "INTERRUPT"]
        rig.get(BAR0.INT_CAUSE)
        assert kinds() == ["INTERRUPT", "MMIO_READ"], "the cause is read, and the line falls"
        rig.set_level(InterruptKind.MSIX)
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(1), 1)
        rig.put(BAR0.TEST_FIRE, 1)
        told.clear()
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(1), 0)
        assert kinds() == ["MMIO_WRITE", "INTERRUPT"], "an entry is unmasked, and its message leaves"
