"""The map of host memory, transfers at its edges, and faults that are made: what is refused, and what
fires."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from vnic import errors
from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite, Map, RxVerdict
from vnic.conformance.case import card_case
from vnic.conformance.chain import content
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.enums import TestOp, TestResult
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import MESSAGE_DATA, Rig

_PAGE = 4096
_BASE = 0x5000_0000
_END = 1 << 64
_BOTH = Map.READ | Map.WRITE
_PURPOSES = (DmaPurpose.DESCRIPTOR, DmaPurpose.DATA, DmaPurpose.COMPLETION)


def _fill(rig: Rig, at: int, length: int, byte: int) -> bool:
    """Whether the card can write there."""
    rig.put(BAR0.TEST_DMA_DST, at)
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_PATTERN, byte * 0x0101_0101)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.FILL))
    return rig.field(BAR0.TEST_DMA_STATUS, "RESULT") == TestResult.OK


def _error_of(act: Callable[..., object], *arguments: object) -> type[Exception] | None:
    try:
        act(*arguments)
    except errors.VnicError as error:
        return type(error)
    return None


class _Pages:
    """What ought to be mapped: which byte of which memory each page is, and what the card finds there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.pages: dict[int, tuple[bytearray, int]] = {}

    def map(self, first: int, count: int) -> None:
        memory = bytearray(count * _PAGE)
        self.rig.device.map(_BASE + first * _PAGE, memory, _BOTH)
        self.pages |= {first + n: (memory, n * _PAGE) for n in range(count)}

    def unmap(self, first: int, count: int) -> None:
        self.rig.device.unmap(_BASE + first * _PAGE, count * _PAGE)
        for n in range(count):
            del self.pages[first + n]

    def check(self, what: str) -> None:
        """Write to each page, mapped or not."""
        for n in range(16):
            byte = 0x11 + n
            is_there = _fill(self.rig, _BASE + n * _PAGE + 8, 16, byte)
            assert is_there == (n in self.pages), (
                f"{what}: page {n} is {'mapped' if is_there else 'not mapped'}"
            )
            if is_there:
                memory, at = self.pages[n]
                assert memory[at + 8 : at + 24] == bytes([byte]) * 16, f"{what}: page {n} is another's"
                memory[at + 8 : at + 24] = bytes(16)


@card_case(
    manual("PCI-11", "pci"),
    "a mapping of whole granules that overlaps none is taken; any other is refused and leaves the map as "
    "it was",
)
def mappings_that_are_refused(rig: Rig) -> None:
    """Mappings at every overlap of another, of odd lengths and places, without leave, around 2^64; all are
    looked at."""
    pages = _Pages(rig)
    pages.map(4, 4)
    pages.map(10, 1)
    for first, count in (
        (3, 2),
        (4, 1),
        (4, 4),
        (5, 2),
        (7, 1),
        (7, 2),
        (3, 6),
        (0, 16),
        (8, 3),
        (10, 1),
        (9, 2),
    ):
        memory = bytearray(count * _PAGE)
        at = _BASE + first * _PAGE
        found = _error_of(rig.device.map, at, memory, _BOTH)
        assert found is errors.OverlapError, f"{count} pages from {first} on: {found}"
    for at, length, permissions in (
        (_BASE, 0, _BOTH), (_BASE, 100, _BOTH), (_BASE, _PAGE + 1, _BOTH), (_BASE + 1, _PAGE, _BOTH),
        (_BASE + 2048, _PAGE, _BOTH), (_BASE, _PAGE, 0), (_BASE, _PAGE, 4), (_BASE, _PAGE, 7),
        (_END - _PAGE, 2 * _PAGE, _BOTH),
    ):  # fmt: skip
        found = _error_of(rig.device.map, at, bytearray(length), permissions)
        assert found is errors.ArgumentError, f"{length} bytes at {at:#x} with {permissions}: {found}"
    pages.check("after what was refused")
    pages.map(8, 2)
    pages.map(3, 1)
    pages.map(11, 1)
    pages.check("after pages beside others")
    last = bytearray(_PAGE)
    rig.device.map(_END - _PAGE, last, _BOTH)
    assert _fill(rig, _END - 64, 64, 0x77) and last[-64:] == b"\x77" * 64, "the last page is not mapped"


@card_case(
    manual("PCI-12", "pci"),
    "any mapped range of granules can be taken away, across mappings and out of them; the rest stays in "
    "place",
)
def ranges_that_are_taken_away(rig: Rig) -> None:
    """Ranges from within one mapping to within another, whole ones, ends; ranges with a hole; all are
    looked at."""
    for first, count in ((2, 9), (0, 13), (5, 3), (3, 1), (0, 4), (11, 2), (1, 11), (4, 4), (12, 1)):
        pages = _Pages(rig)
        for start, length in ((0, 4), (4, 4), (8, 5)):
            pages.map(start, length)
        pages.unmap(first, count)
        pages.check(f"{count} pages from {first} on taken away")
        left = dict(pages.pages)
        for start, length in ((first, count), (max(first - 1, 0), count + 1), (0, 16), (first, 1)):
            found = _error_of(rig.device.unmap, _BASE + start * _PAGE, length * _PAGE)
            assert found is errors.UnknownError, f"{length} pages from {start} on, some not mapped: {found}"
        for at, length in ((_BASE + 1, _PAGE), (_BASE, 100), (_BASE, 0)):
            found = _error_of(rig.device.unmap, at, length)
            assert found is errors.ArgumentError, f"{length} bytes at {at:#x}: {found}"
        pages.check(f"{count} pages from {first} on, and what was refused")
        for page in left:
            rig.device.unmap(_BASE + page * _PAGE, _PAGE)
    through(rig)


@card_case(
    manual("PCI-12", "pci"),
    "the map holds as many ranges as it was made for: one more, or a split into one more, is refused",
    map_regions=4,
)
def a_map_that_is_full(rig: Rig) -> None:
    """Three ranges beside the rig's; a fourth; a hole in the middle of one; an end; then there is room
    again."""
    pages = _Pages(rig)
    for first in (0, 4, 8):
        pages.map(first, 3)
    found = _error_of(rig.device.map, _BASE + 14 * _PAGE, bytearray(_PAGE), _BOTH)
    assert found is errors.CapacityError, f"a range more than the map holds: {found}"
    found = _error_of(rig.device.unmap, _BASE + 5 * _PAGE, _PAGE)
    assert found is errors.CapacityError, f"a split that does not fit: {found}"
    pages.check("a map that is full")
    pages.unmap(0, 1)
    pages.unmap(6, 1)
    pages.check("ends of ranges taken away")
    pages.unmap(8, 3)
    pages.unmap(1, 2)
    pages.map(12, 3)
    pages.unmap(13, 1)
    pages.check("there is room again")
    assert len(pages.pages) == 4


@card_case(
    manual("PCI-17", "pci"),
    "a transfer ends at 2^64, though there is memory at 0; the bytes before the end have been moved",
)
def the_end_of_the_address_space(rig: Rig) -> None:
    """Memory at the top and at 0: fill across the end, copy across it; a frame whose bytes lie there."""
    top, bottom = bytearray(_PAGE), bytearray(_PAGE)
    rig.device.map(_END - _PAGE, top, _BOTH)
    is_mine = _error_of(rig.device.map, 0, bottom, _BOTH) is None
    for length in (65, 100, 4096):
        assert not _fill(rig, _END - 64, length, 0x42), f"{length} bytes over the end are written"
        assert top[-64:] == b"\x42" * 64, "the bytes before the end were not moved"
        assert not any(bottom), "a transfer goes on at 0"
        top[-64:] = bytes(64)
    assert _fill(rig, _END - 64, 64, 0x42)
    if is_mine:
        assert _fill(rig, 0, 64, 0x42) and bottom[:64] == b"\x42" * 64
    rig[0].send_raw([rig[0].piece(b"", addr=_END - 50, len=100, rs=1)])
    (report,) = rig[0].reports()
    assert (report.status, rig.sent()) == (4, []), "a frame whose bytes lie on both sides of 2^64 leaves"


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
        found = _error_of(rig.device.arm, Fault(**fields))  # type: ignore[arg-type]
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
