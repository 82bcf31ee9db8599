"""The copy engine's state: what reading a register marks, and what a snapshot carries into another engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.copy_engine import UNBOUNDED, Budget, CopyEngine
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import CopyOp
from vnic.gen.registers import COPY_BAR0, Chanctrl
from vnic.host.bus import PAGE, Interrupt
from vnic.testbench.engine_rig import BASE, CHANCTRL_RUN, Channel, EngineRig

_INTRCTRL = COPY_BAR0.GENERAL.offset + 3
_ENABLE = COPY_BAR0.GENERAL.encode(MASTER_INT_EN=1, MSIX_VECTOR_CONTROL=1) >> 24
_PATTERN = 0x1122_3344_5566_7788
_A_STEP = Budget(1, UNBOUNDED.bytes)
_US = 1000
_DELAY_US = 50
_CHANNELS = 4


# -- a channel in use --------------------------------------------------------------------------------------


@engine_case(
    manual("DMA-9", "netdma"),
    "CHANNEL_IN_USE is set by reading, so that the first reader sees 0, and RESET leaves it as it is",
)
def a_channel_in_use(rig: EngineRig) -> None:
    """Each channel's first reader sees 0, later ones 1, until 0 is written; other bytes count not."""
    for index in (2, 0, 3, 1):
        for turn in range(2):
            at = COPY_BAR0.CHANCTRL.at(index)
            what = f"channel {index}, taken {turn} times"
            rig.engine.read8(at)
            rig.engine.read16(at + 2)
            assert not rig.engine.read32(at) & Chanctrl.IN_USE, f"{what}: its first reader sees it in use"
            assert rig.engine.read32(at) & Chanctrl.IN_USE, f"{what}: its second reader sees it free"
            assert rig.engine.read8(at + 1) & 1, f"{what}: another reader sees it free"
            rig.channel(index).write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN)
            assert rig.engine.read8(at + 1) & 1 == 0, f"{what}: who frees it does not free it"
            assert rig.engine.read8(at + 1) & 1, f"{what}: a read of its own byte does not take it"
            rig.channel(index).command("RESET")
            assert rig.engine.read8(at + 1) & 1, f"{what}: RESET frees it"
            rig.channel(index).write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN)


# -- snapshots ---------------------------------------------------------------------------------------------


class _End(NamedTuple):
    """All that can be seen when an engine is at rest."""

    registers: dict[str, int]
    interrupts: list[Interrupt]
    memory: bytes


def _registers(rig: EngineRig) -> Iterator[tuple[str, int]]:
    names = ("CHANCTRL", "CHANCMD", "CHANSTS", "CHAINADDR", "CHANCMP", "CDAR", "CHANERR")
    for index in range(_CHANNELS):
        for name in names:
            register = COPY_BAR0.MAP[name]
            yield f"{name} {index}", rig.engine.read(0, register.at(index), register.bytes)
    for name in ("GENERAL", "ATTNSTATUS", "INTRDELAY"):
        yield name, rig.engine.read32(COPY_BAR0.MAP[name].offset)


def _bytes(rig: EngineRig) -> bytes:
    """What of its memory is in use."""
    return rig.memory.get(BASE, rig.memory.mark() - BASE)


def _end(rig: EngineRig, interrupts: list[Interrupt]) -> _End:
    rig.engine.run()
    interrupts.extend(rig.engine.interrupts())
    return _End(dict(_registers(rig)), interrupts, _bytes(rig))


def _twin(rig: EngineRig) -> EngineRig:
    """An engine of the same shape, which knows nothing."""
    return EngineRig(CopyEngine(rig.engine.config, manual=True))


def _become(twin: EngineRig, image: bytes, memory: bytes) -> None:
    twin.engine.load(image)
    twin.engine.interrupts()
    twin.memory.rewind(BASE)
    twin.memory.set(twin.memory.alloc(len(memory)), memory)
    assert twin.engine.save() == image, "what was loaded is saved as something else"


def _same(found: _End, wanted: _End, what: str) -> None:
    differ = [
        f"{name} is {value:#x}, not {wanted.registers[name]:#x}"
        for name, value in found.registers.items()
        if value != wanted.registers[name]
    ]
    assert not differ, f"{what}: {differ[0]}"
    vectors = [[each.vector for each in end.interrupts] for end in (found, wanted)]
    assert found.interrupts == wanted.interrupts, f"{what}: vectors {vectors[0]}, not {vectors[1]}"
    assert found.memory == wanted.memory, f"{what}: other bytes in memory"


def _chain(channel: Channel) -> None:
    """A descriptor of each kind, the third and the last with completion and interrupt."""
    memory = channel.driver.memory
    source, target = memory.put(content(4 * PAGE, channel.index), align=PAGE), memory.alloc(4 * PAGE, PAGE)
    channel.post(
        CopyDescriptor(size=PAGE + 100, src=source + 60, dst=target + 1),
        CopyDescriptor(op=CopyOp.FILL, size=PAGE, src=_PATTERN, dst=target + PAGE + 333),
        CopyDescriptor(null=1, compl_write=1, int_en=1),
        CopyDescriptor(
            size=900, src=source + PAGE - 99, dst=target + 3 * PAGE - 500, src_brk=1, dst_brk=1,
            next_src=source + 3 * PAGE, next_dst=target + 3 * PAGE,
        ),
        CopyDescriptor(size=77, src=source, dst=target + 3 * PAGE + 1000, fence=1),
        CopyDescriptor(size=5, src=source + 9, dst=target, compl_write=1, int_en=1),
    )  # fmt: skip
    channel.start()


def _at_every_step(rig: EngineRig, what: str) -> None:
    """Go on step by step; from each snapshot on the way another engine goes the same way."""
    shots, interrupts = [], list[Interrupt]()
    while True:
        shots.append((rig.engine.save(), _bytes(rig), len(interrupts)))
        if not rig.engine.run(_A_STEP).steps:
            break
        interrupts.extend(rig.engine.interrupts())
    wanted = _end(rig, interrupts)
    twin = _twin(rig)
    with twin.engine:
        for number, (image, memory, came) in enumerate(shots):
            _become(twin, image, memory)
            found = _end(twin, wanted.interrupts[:came])
            _same(found, wanted, f"{what}, saved after {number} of {len(shots) - 1} steps")


def _along_a_chain(rig: EngineRig) -> None:
    rig.engine.is_manual = True
    mark = rig.memory.mark()
    orders: dict[str, Callable[[Channel], None]] = {
        "a chain": lambda channel: None,
        "with SUSPEND pending": lambda channel: channel.command("SUSPEND"),
        "with a new chain pending": lambda channel: channel.start_at(channel.slot(2), 2),
        "with a refused descriptor": lambda channel: rig.memory.set(channel.slot(3), b"\xff" * 8),
    }
    for what, order in orders.items():
        rig.memory.rewind(mark)
        for index in (1, 2):
            channel = Channel(rig, index)
            _enable(rig)
            channel.command("RESET")
            channel.write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN)
            _chain(channel)
            if index == 1:
                rig.engine.step(1)
                rig.engine.step(1)
                order(channel)
        rig.engine.interrupts()
        _at_every_step(rig, what)


@engine_case(
    manual("DMA-54", "netdma"),
    "a snapshot is the whole state: an engine that loads it goes on as the one that was saved would have",
)
def snapshots_at_every_step(rig: EngineRig) -> None:
    """Two channels with every kind of descriptor, with a SUSPEND, new chain or error to come; save at each
    step."""
    _along_a_chain(rig)


@engine_case(
    manual("DMA-54", "netdma"),
    "what an engine that overlaps holds back is in its snapshot",
    is_overlapping=True,
)
def snapshots_of_what_is_held(rig: EngineRig) -> None:
    """The same on an engine that overlaps."""
    _along_a_chain(rig)


def _fall_due(rig: EngineRig, *indexes: int) -> None:
    for index in indexes:
        channel = rig.channel(index)
        channel.post(CopyDescriptor(null=1, int_en=1))
        channel.start()
        rig.engine.run()


def _rearm(rig: EngineRig) -> None:
    for index in (3, 1):
        rig.engine.write32(COPY_BAR0.CHANCTRL.at(index), CHANCTRL_RUN)


def _wait_for_arming(rig: EngineRig) -> None:
    _fall_due(rig, 3, 1, 3, 1)


def _wait_for_the_master_enable(rig: EngineRig) -> None:
    rig.engine.read8(_INTRCTRL)
    _fall_due(rig, 3, 1)


def _enable(rig: EngineRig) -> None:
    rig.engine.write8(_INTRCTRL, _ENABLE)


def _wait_for_the_delay(rig: EngineRig) -> None:
    rig.engine.advance(7 * _US)
    rig.engine.write32(COPY_BAR0.INTRDELAY.offset, _DELAY_US)
    _rearm(rig)
    _fall_due(rig, 3, 1)


def _let_time_pass(rig: EngineRig) -> None:
    wanted = (7 + _DELAY_US) * _US
    found = rig.engine.next_deadline_ns()
    assert found == wanted, f"an interrupt is due at {found}, not {wanted}"
    rig.engine.advance(wanted - 1)
    rig.engine.run()
    assert not rig.engine.interrupts(), "an interrupt came early"
    rig.engine.advance(wanted)


def _suspend(rig: EngineRig) -> None:
    channel = rig.channel(1)
    slots = channel.post(*(CopyDescriptor(null=1, compl_write=1) for _ in range(4)))
    channel.start()
    rig.engine.step(1)
    channel.command("SUSPEND")
    rig.engine.run()
    rig.memory.set(slots[0], CopyDescriptor(null=1, next=slots[2]).pack())


def _resume(rig: EngineRig) -> None:
    rig.engine.write8(COPY_BAR0.CHANCMD.at(1), COPY_BAR0.CHANCMD.encode(RESUME=1))


@engine_case(
    manual("DMA-54", "netdma"),
    "what waits for the driver or for the time is in a snapshot: interrupts, delays, suspended chains",
)
def snapshots_of_what_waits(rig: EngineRig) -> None:
    """Interrupts that wait for arming, for MASTER_INT_EN and for INTRDELAY; a suspended chain, edited."""
    scenes: dict[str, tuple[Callable[[EngineRig], None], Callable[[EngineRig], None]]] = {
        "an interrupt that waits for INT_REARM": (_wait_for_arming, _rearm),
        "an interrupt that waits for MASTER_INT_EN": (_wait_for_the_master_enable, _enable),
        "an interrupt that waits for INTRDELAY": (_wait_for_the_delay, _let_time_pass),
        "a suspended chain": (_suspend, _resume),
    }
    rig.engine.is_manual = True
    twin = _twin(rig)
    with twin.engine:
        for what, (wait, go_on) in scenes.items():
            _rearm(rig)
            wait(rig)
            rig.engine.interrupts()
            _become(twin, rig.engine.save(), _bytes(rig))
            go_on(twin)
            found = _end(twin, [])
            go_on(rig)
            _same(found, _end(rig, []), f"{what}, in another engine")
            _enable(rig)
