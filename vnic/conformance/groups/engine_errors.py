"""What the copy engine refuses and how it fails: each error has its bit, and halts its channel."""

from __future__ import annotations

from typing import Any, NamedTuple

from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite
from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanctrl, Chanerr
from vnic.host.bus import PAGE
from vnic.testbench.engine_rig import CHANCTRL_RUN, Channel, EngineRig, Memory

_NOWHERE = 0x7000_0000
_READ, _WRITE = FaultSite.DMA_READ, FaultSite.DMA_WRITE
_TOP = 1 << 64
_UR, _CA, _POISON, _TIMEOUT = (
    DmaStatus.UNSUPPORTED,
    DmaStatus.ABORTED,
    DmaStatus.POISONED,
    DmaStatus.TIMEOUT,
)


def _wrong() -> list[tuple[dict[str, Any], int]]:
    """Descriptors that must be refused, and the bit for each; 64 bytes of sound addresses else."""
    control, length = Chanerr.DESC_CONTROL, Chanerr.DESC_LENGTH
    return [
        ({"size": 0}, length),
        ({"size": (1 << 20) + 1}, length),
        ({"size": 0xFFFF_FFFF}, length),
        ({"op": 2}, control),
        ({"op": 0x87}, control),
        ({"op": CopyOp.FILL, "null": 1}, control),
        ({"op": CopyOp.FILL, "src_brk": 1}, control),
        ({"op": CopyOp.CONTEXT_CHANGE, "null": 1}, control),
        ({"src_brk": 1, "next_src": 8}, control),
        ({"dst_brk": 1, "next_dst": PAGE - 64}, control),
        ({"size": 2 * PAGE + 1, "src_brk": 1}, length),
        ({"size": 2 * PAGE + 1, "dst_brk": 1}, length),
        ({"op": 3, "size": 0}, control),
        ({"src": _NOWHERE}, Chanerr.SRC_ADDR),
        ({"dst": _NOWHERE}, Chanerr.DEST_ADDR),
        ({"op": CopyOp.FILL, "dst": _NOWHERE}, Chanerr.DEST_ADDR),
        ({"src": _TOP - 32}, Chanerr.SRC_ADDR),
        ({"dst": _TOP - 32}, Chanerr.DEST_ADDR),
    ]


class _Scene(NamedTuple):
    """A good copy, one that fails, and a good one behind it."""

    channel: Channel
    slots: list[int]
    targets: list[int]


def _scene(rig: EngineRig, **wrong: Any) -> _Scene:
    channel = rig.channel(0)
    source, targets = rig.memory.put(content(3 * PAGE), align=PAGE), []
    made = []
    for n in range(3):
        targets.append(rig.memory.alloc(2 * PAGE, align=PAGE))
        usual: dict[str, Any] = {"size": 64, "src": source, "dst": targets[-1]}
        made.append(CopyDescriptor(**usual | (wrong if n == 1 else {})))
    return _Scene(channel, channel.post(*made), targets)


def _assert_halted(rig: EngineRig, scene: _Scene, bit: int, what: str) -> None:
    channel, slots, targets = scene
    assert channel.chanerr == bit, f"{what}: CHANERR is {channel.chanerr:#x}, not {bit:#x}"
    assert channel.status == ChanStatus.HALTED, f"{what}: the channel is {channel.status.name}"
    assert channel.read(COPY_BAR0.CHANSTS) >> 3 & 1, f"{what}: SOFT_ERR is clear"
    assert channel.last == slots[0], f"{what}: CHANSTS does not name the last one that was processed"
    assert channel.read(COPY_BAR0.CDAR) == slots[1], f"{what}: CDAR does not name the one at fault"
    assert rig.memory.get(targets[0], 64) == content(64)
    for target in targets[1:]:
        assert rig.memory.get(target, 2 * PAGE) == bytes(2 * PAGE), f"{what}: something was written"


def _works(channel: Channel, what: str) -> None:
    target = channel.post_copy(content(40))
    channel.counted = channel.posted - 1
    channel.start()
    found = channel.driver.memory.get(target, 40)
    assert (channel.chanerr, found) == (0, content(40)), f"after {what} the channel does not work"


@engine_case(
    manual("DMA-40", "netdma"), "a descriptor that cannot be done halts its channel with the bit of its error"
)
def descriptors_that_are_refused(rig: EngineRig) -> None:
    """Reserved operations, sizes, page breaks and addresses in the middle of a chain; then work again."""
    rig.channel(0)
    mark = rig.memory.mark()
    for number, (wrong, bit) in enumerate(_wrong()):
        scene = _scene(rig, **wrong)
        scene.channel.start()
        _assert_halted(rig, scene, bit, f"{wrong}")
        if number % 2:
            scene.channel.command("RESET")
        else:
            scene.channel.clear_error()
        _works(scene.channel, f"{wrong}")
        rig.memory.rewind(mark)


def _room(at: int, is_broken: bool) -> int:
    """Bytes from `at` of a page to where a page break ends, or to the largest transfer."""
    return 2 * PAGE - at if is_broken else 1 << 20


@engine_case(
    manual("DMA-40", "netdma"),
    "with page breaks a transfer is as long as the shorter of both ends, each counted from its own offset",
)
def sizes_with_page_breaks(rig: EngineRig) -> None:
    """Break source, destination and both, from unlike offsets: the last size that fits, and one byte more."""
    channel = rig.channel(0)
    source = rig.memory.put(content(4 * PAGE), align=PAGE)
    target = rig.memory.alloc(4 * PAGE, align=PAGE)
    for src_brk, dst_brk in ((1, 0), (0, 1), (1, 1)):
        for src_at, dst_at in ((0, 0), (64, 0), (PAGE - 1, 5), (5, PAGE - 1)):
            limit = min(_room(src_at, bool(src_brk)), _room(dst_at, bool(dst_brk)))
            for size, bit in ((limit, 0), (limit + 1, Chanerr.DESC_LENGTH)):
                rig.memory.set(target, bytes(4 * PAGE))
                channel.post(
                    CopyDescriptor(
                        size=size, src=source + src_at, dst=target + dst_at, src_brk=src_brk, dst_brk=dst_brk,
                        next_src=source + PAGE, next_dst=target + PAGE,
                    )
                )  # fmt: skip
                channel.counted = channel.posted - 1
                channel.start()
                what = f"breaks {src_brk}{dst_brk}, {size} bytes from {src_at} to {dst_at}"
                assert channel.chanerr == bit, f"{what}: CHANERR {channel.chanerr:#x}, not {bit:#x}"
                wanted = b"" if bit else content(4 * PAGE)[src_at : src_at + size]
                found = rig.memory.get(target, 4 * PAGE)
                assert found == (bytes(dst_at) + wanted).ljust(4 * PAGE, b"\0"), f"{what}: other bytes"
                channel.command("RESET")


@engine_case(
    manual("DMA-40", "netdma"),
    "chain addresses and NEXT that are not aligned or lead nowhere have their bits",
)
def chains_that_lead_nowhere(rig: EngineRig) -> None:
    """CHAINADDR and NEXT: not aligned by 8 and by 32, and where no memory is."""
    reads: list[Event] = []
    for wrong, first, later in (
        (8, Chanerr.CHAIN_ADDR, Chanerr.NEXT_ALIGN),
        (32, Chanerr.CHAIN_ADDR, Chanerr.NEXT_ALIGN),
        (_NOWHERE, Chanerr.NEXT_ADDR, Chanerr.NEXT_ADDR),
    ):
        channel = rig.channel(0)
        reads.clear()
        with rig.engine.observe(reads.append, (EventType.DMA_READ,)):
            channel.start_at(wrong if wrong == _NOWHERE else channel.ring + wrong, 1)
        assert channel.chanerr == first, f"CHAINADDR + {wrong:#x}: CHANERR {channel.chanerr:#x}"
        assert wrong == _NOWHERE or not reads, "a descriptor was read that is not aligned"
        channel.command("RESET")
        (slot,) = channel.post(CopyDescriptor(null=1, next=wrong))
        channel.start_at(slot, 2)
        assert channel.chanerr == later, f"NEXT {wrong:#x}: CHANERR {channel.chanerr:#x}"
        assert channel.last == slot
        channel.command("RESET")
        _works(channel, f"an address of {wrong:#x}")


class _Failure(NamedTuple):
    """A transfer that the bus ends so, and the bit for it."""

    site: FaultSite
    purpose: DmaPurpose
    status: DmaStatus
    bit: int


_FAILURES = (
    *(_Failure(_READ, DmaPurpose.DESCRIPTOR, each, Chanerr.NEXT_ADDR) for each in (_UR, _CA, _TIMEOUT)),
    _Failure(_READ, DmaPurpose.DESCRIPTOR, _POISON, Chanerr.DESC_INTEGRITY),
    *(_Failure(_READ, DmaPurpose.DATA, each, Chanerr.SRC_ADDR) for each in (_UR, _CA)),
    _Failure(_READ, DmaPurpose.DATA, _POISON, Chanerr.DATA_INTEGRITY),
    _Failure(_READ, DmaPurpose.DATA, _TIMEOUT, Chanerr.READ_DATA),
    *(_Failure(_WRITE, DmaPurpose.DATA, each, Chanerr.DEST_ADDR) for each in (_UR, _CA)),
    *(_Failure(_WRITE, DmaPurpose.DATA, each, Chanerr.WRITE_DATA) for each in (_POISON, _TIMEOUT)),
)


@engine_case(
    manual("DMA-41", "netdma"),
    "nothing is written of a piece whose read failed, nor after it; each failure of the bus has its bit",
)
def transfers_that_fail(rig: EngineRig) -> None:
    """The second descriptor's fetch, read or write ends in UR, CA, poison or a timeout."""
    rig.channel(0)
    mark = rig.memory.mark()
    for failure in _FAILURES:
        scene = _scene(rig)
        rig.engine.arm(
            Fault(
                site=failure.site, action=FaultAction.ERROR, index=failure.purpose, skip=1, count=1,
                argument=failure.status,
            )
        )  # fmt: skip
        if failure.purpose == DmaPurpose.DESCRIPTOR:
            rig.engine.is_manual = True
        what = f"{failure.site.name} of {failure.purpose.name} with {failure.status.name}"
        scene.channel.start()
        rig.engine.run()
        rig.engine.is_manual = False
        _assert_halted(rig, scene, failure.bit, what)
        scene.channel.command("RESET")
        _works(scene.channel, what)
        rig.memory.rewind(mark)


@engine_case(
    manual("DMA-41", "netdma"), "the pieces before the one that fails stay written, and nothing else is"
)
def pieces_before_a_failure(rig: EngineRig) -> None:
    """A copy and a fill of four pages whose third destination page is not there."""
    island = Memory(rig.engine, 0x4000_0000, 2 * PAGE)
    source = rig.memory.put(content(4 * PAGE), align=PAGE)
    for op in (CopyOp.COPY, CopyOp.FILL):
        channel = rig.channel(0)
        island.set(island.base, bytes(2 * PAGE))
        pattern = 0x0102_0304_0506_0708
        src = source if op == CopyOp.COPY else pattern
        channel.post(CopyDescriptor(op=op, size=4 * PAGE, src=src, dst=island.base))
        channel.start()
        assert channel.chanerr == Chanerr.DEST_ADDR, f"{op.name}: CHANERR {channel.chanerr:#x}"
        wanted = content(4 * PAGE) if op == CopyOp.COPY else pattern.to_bytes(8, "little") * PAGE
        assert island.get(island.base, 2 * PAGE) == wanted[: 2 * PAGE], (
            f"{op.name}: pieces before are missing"
        )
        channel.command("RESET")


@engine_case(
    manual("DMA-42", "netdma"),
    "an error writes a completion and interrupts as CHANCTRL and CHANERRMSK say, each by itself",
)
def reports_of_errors(rig: EngineRig) -> None:
    """An error with each of ERR_COMPLETION_EN and ERR_INT_EN, masked and not."""
    for completes in (0, 1):
        for interrupts in (0, 1):
            for is_masked in (False, True):
                channel = rig.channel(1)
                control = Chanctrl.ERR_COMPLETION_EN * completes | Chanctrl.ERR_INT_EN * interrupts
                channel.write(COPY_BAR0.CHANCTRL, Chanctrl.INT_DISABLE | control)
                channel.write(
                    COPY_BAR0.CHANERRMSK, Chanerr.DESC_LENGTH if is_masked else ~Chanerr.DESC_LENGTH & 0x7FFFF
                )
                rig.memory.set(channel.completion_addr, bytes(8))
                (good, _) = channel.post(CopyDescriptor(null=1), CopyDescriptor(size=0))
                channel.start()
                what = f"ERR_COMPLETION_EN {completes}, ERR_INT_EN {interrupts}, masked {is_masked}"
                wanted = (ChanStatus.HALTED, good) if completes else (ChanStatus.ACTIVE, 0)
                assert channel.completion == wanted, f"{what}: completion {channel.completion}"
                vectors = [1] if interrupts and not is_masked else []
                assert rig.vectors() == vectors, f"{what}: {vectors} expected"
                noted = CONFIG.CHANERR_INT.decode(rig.engine.config_read(CONFIG.CHANERR_INT.offset))["ERRORS"]
                assert noted == (0 if is_masked else Chanerr.DESC_LENGTH), f"{what}: CHANERR_INT {noted:#x}"
                rig.engine.config_write(CONFIG.CHANERR_INT.offset, 0x7FFFF)
                channel.command("RESET")
    channel.write(COPY_BAR0.CHANERRMSK, 0)
    channel.write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN)


@engine_case(
    manual("DMA-2", "netdma"),
    "a channel is not armed while its CHANERR is not 0, and clearing that starts nothing",
)
def errors_stand_until_they_are_cleared(rig: EngineRig) -> None:
    """An error, CHAINADDR, then clear CHANERR, then CHAINADDR again."""
    scene = _scene(rig, size=0)
    scene.channel.start()
    channel = scene.channel
    channel.write(COPY_BAR0.CHAINADDR, scene.slots[2])
    found = channel.status
    assert found == ChanStatus.HALTED, "a channel with an error is armed"
    channel.write(COPY_BAR0.CHANERR, Chanerr.DESC_COUNT)
    assert channel.chanerr == Chanerr.DESC_LENGTH, "1 to another bit clears an error"
    channel.clear_error()
    found = channel.status
    assert (found, channel.chanerr) == (ChanStatus.HALTED, 0), "clearing CHANERR starts the channel"
    assert not channel.read(COPY_BAR0.CHANSTS) >> 3 & 1, "SOFT_ERR stays"
    channel.start_at(scene.slots[2], 1)
    assert channel.status == ChanStatus.DONE
    assert rig.memory.get(scene.targets[2], 64) == content(64)


@engine_case(manual("DMA-40", "netdma"), "an error halts its channel and no other")
def other_channels_go_on(rig: EngineRig) -> None:
    """Channel 0 fails while 1, 2 and 3 have work."""
    rig.engine.is_manual = True
    scene = _scene(rig, dst=_NOWHERE)
    targets = {}
    for index in (1, 2, 3):
        targets[index] = [rig.channel(index).post_copy(content(500, index)) for _ in range(5)]
        rig.channel(index).start()
    scene.channel.start()
    rig.engine.run()
    _assert_halted(rig, scene, Chanerr.DEST_ADDR, "a destination that is not there")
    for index, places in targets.items():
        assert rig.channel(index).status == ChanStatus.DONE, f"channel {index} stopped too"
        assert all(rig.memory.get(place, 500) == content(500, index) for place in places)


@engine_case(
    manual("DMA-42", "netdma"), "a completion that cannot be written is an error of its own, and interrupts"
)
def completions_that_fail(rig: EngineRig) -> None:
    """A completion address where no memory is, of a descriptor that is good."""
    channel = rig.channel(0)
    channel.post(CopyDescriptor(null=1, compl_write=1), CopyDescriptor(null=1))
    channel.completion_addr, sound = _NOWHERE, channel.completion_addr
    channel.start()
    assert (channel.status, channel.chanerr) == (ChanStatus.HALTED, Chanerr.CMPL_ADDR)
    assert rig.vectors() == [0], "nobody is told"
    channel.command("RESET")
    channel.rearm()
    channel.post(CopyDescriptor(size=0))
    channel.counted = channel.posted - 1
    channel.start()
    both = Chanerr.DESC_LENGTH | Chanerr.CMPL_ADDR
    found = channel.chanerr
    assert found == both, f"an error whose completion fails: CHANERR {found:#x}, not {both:#x}"
    assert rig.vectors() == [0], "nobody is told of the error"
    channel.completion_addr = sound
    channel.command("RESET")
    _works(channel, "a completion that failed")
