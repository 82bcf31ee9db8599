"""The copy engine's finer rules: copies of descriptors, commands, delays from a reset, logs, steps."""

from __future__ import annotations

from itertools import product

from vnic.abi import EventType
from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanerr
from vnic.host.bus import PAGE
from vnic.testbench.engine_rig import CHANCTRL_RUN, Channel, EngineRig

_NOWHERE = 1 << 44
_US = 1000
_COMMANDS = ("START", "APPEND", "SUSPEND", "ABORT", "RESUME", "RESET")
#: What of a descriptor is wrong, and its bit of CHANERR.
_WRONG: tuple[tuple[str, int, dict[str, int]], ...] = (
    ("SRC_ADDR", Chanerr.SRC_ADDR, {"src": _NOWHERE}),
    ("DEST_ADDR", Chanerr.DEST_ADDR, {"dst": _NOWHERE}),
    ("DESC_CONTROL", Chanerr.DESC_CONTROL, {"op": 0x7F}),
    ("DESC_LENGTH", Chanerr.DESC_LENGTH, {"size": 0}),
)


@engine_case(
    manual("DMA-5", "netdma"),
    "NEXT is that of the copy that was fetched: one that is written later does not count",
)
def next_that_is_written_later(rig: EngineRig) -> None:
    """After 1 to 4 steps, and at rest, the NEXT of a descriptor that was fetched leads elsewhere."""
    rig.engine.is_manual = True
    source = rig.memory.put(content(64))
    for index, steps in product((0, 3), range(1, 6)):
        channel = rig.channel(index)
        good, bad = rig.memory.alloc(64 * 3), rig.memory.alloc(64)
        stray = rig.memory.put(CopyDescriptor(size=64, src=source, dst=bad).pack())
        channel.counted = channel.posted
        slots = channel.post(
            *(CopyDescriptor(size=64, src=source, dst=good + 64 * n, compl_write=n == 0) for n in range(3))
        )
        channel.start_at(slots[0], 1)
        for _ in range(steps):
            rig.engine.step(index)
        rig.memory.set(slots[0] + 24, stray.to_bytes(8, "little"))
        channel.set_count(3)
        rig.engine.run()
        what = f"channel {index}, NEXT written after {steps} steps"
        assert rig.memory.get(bad, 64) == bytes(64), f"{what} is used"
        assert rig.memory.get(good, 192) == content(64) * 3, f"{what}: the chain is lost"
        assert (channel.status, channel.last) == (ChanStatus.DONE, slots[2]), f"{what}: {channel.status.name}"


@engine_case(
    manual("DMA-11", "netdma"),
    "commands read as 0, RESET too: they are done within the access, of the channel alone",
)
def commands_that_read_zero(rig: EngineRig) -> None:
    """Each command to a channel at rest and at work, by bytes and by words; DMACOUNT beside it."""
    for index, name, is_busy in product((0, 2), _COMMANDS, (False, True)):
        channel = rig.channel(index)
        rig.engine.is_manual = True
        channel.command("RESET")
        channel.post_copy(content(300))
        channel.start()
        if is_busy:
            rig.engine.step(index)
        count = channel.counted - channel.origin
        channel.command(name)
        value = COPY_BAR0.CHANCMD.decode(channel.read(COPY_BAR0.CHANCMD))
        what = f"channel {index}, {name}"
        assert not any(value[each] for each in _COMMANDS), f"{what} reads {value}"
        wanted = 0 if name == "RESET" else count
        assert value["DMACOUNT"] == wanted, f"{what}: DMACOUNT is {value['DMACOUNT']}, not {wanted}"
        if name == "RESET":
            found = [channel.read(each) for each in (COPY_BAR0.CHAINADDR, COPY_BAR0.CDAR, COPY_BAR0.CHANERR)]
            assert found == [0, 0, 0], f"{what}: CHAINADDR, CDAR, CHANERR are {found}"
            assert channel.read(COPY_BAR0.CHANCMP) == channel.completion_addr, f"{what}: CHANCMP"
            control = channel.read(COPY_BAR0.CHANCTRL) & 0xFF
            assert control == CHANCTRL_RUN & ~1, f"{what}: CHANCTRL is {control:#x}"
        channel.command("RESET")
        channel.clear_error()
        rig.engine.is_manual = False


@engine_case(
    manual("DMA-35", "netdma"),
    "INTRDELAY runs from RESET and from every reset of the engine as if INT_DISABLE had been cleared then",
)
def delays_from_a_reset(rig: EngineRig) -> None:
    """RESET, FLR and D3hot to D0 at odd times; an interrupt that is due at once comes after the delay."""
    for index, way in product((0, 3), ("RESET", "FLR", "D3hot")):
        channel = rig.channel(index)
        rig.engine.advance(rig.engine.now_ns + 777 * _US)
        begun = rig.engine.now_ns
        if way == "RESET":
            rig.engine.write32(COPY_BAR0.INTRDELAY.offset, 100)
            channel.command("RESET")
        else:
            if way == "FLR":
                rig.engine.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(FLR=1), 2)
            else:
                rig.engine.config_write(CONFIG.PM_CTRL.offset, 3)
                rig.engine.config_write(CONFIG.PM_CTRL.offset, 0)
            rig.engine.advance(rig.engine.now_ns + 30 * _US)
            _enable_without_arming(rig)
            rig.engine.write32(COPY_BAR0.INTRDELAY.offset, 100)
        rig.vectors()
        channel.counted = channel.posted
        channel.post(CopyDescriptor(null=1, int_en=1))
        channel.start()
        what = f"channel {index}, {way}"
        assert list(rig.vectors()) == [], f"{what}: an interrupt before the delay"
        rig.engine.advance(begun + 100 * _US - 1)
        assert list(rig.vectors()) == [], f"{what}: an interrupt before the delay is over"
        rig.engine.advance(begun + 100 * _US)
        assert list(rig.vectors()) == [index], f"{what}: no interrupt after the delay"
        rig.engine.write32(COPY_BAR0.INTRDELAY.offset, 0)
        rig.enable()


def _enable_without_arming(rig: EngineRig) -> None:
    """As enable(), but INT_REARM is not written."""
    armed = rig.engine.write32

    def write32(offset: int, value: int) -> None:
        armed(offset, value & ~1 if offset & 0x7F == 0 and offset >= 0x80 else value)

    rig.engine.write32 = write32  # type: ignore[method-assign]
    try:
        rig.enable()
    finally:
        rig.engine.write32 = armed  # type: ignore[method-assign]


def _halted(rig: EngineRig, channel: Channel, wrong: dict[str, int]) -> None:
    """An error of a descriptor that is wrong."""
    channel.counted = channel.posted
    good = {"size": 64, "src": rig.memory.put(content(64)), "dst": rig.memory.alloc(64)}
    channel.post(CopyDescriptor(**good | wrong))
    channel.start()


@engine_case(
    manual("DMA-43", "netdma"),
    "errors that CHANERRMSK does not mask are in CHANERR_INT and, unless CHANERRMSK_INT masks them, in AER",
)
def errors_that_are_logged(rig: EngineRig) -> None:
    """Four errors with each mask, alone and with all others masked; both registers are cleared by 1."""
    config = rig.engine.config_read
    for (name, bit, wrong), own, internal, index in product(_WRONG, (0, 1), (0, 1), (0, 2)):
        channel = rig.channel(index)
        others = COPY_BAR0.CHANERRMSK.mask() & ~bit
        channel.write(COPY_BAR0.CHANERRMSK, bit if own else others)
        rig.engine.config_write(CONFIG.CHANERRMSK_INT.offset, bit if internal else 0)
        for register in (CONFIG.CHANERR_INT, CONFIG.AER_UNCOR_STATUS):
            rig.engine.config_write(register.offset, 0xFFFF_FFFF)
            assert config(register.offset) == 0, f"{register.name} is not cleared by 1"
        _halted(rig, channel, wrong)
        what = f"channel {index}, {name}, masks {own} and {internal}"
        assert channel.chanerr == bit, f"{what}: CHANERR is {channel.chanerr:#x}"
        found = config(CONFIG.CHANERR_INT.offset)
        assert found == (0 if own else bit), f"{what}: CHANERR_INT is {found:#x}"
        logged = CONFIG.AER_UNCOR_STATUS.decode(config(CONFIG.AER_UNCOR_STATUS.offset))["INTERNAL"]
        assert logged == (not own and not internal), f"{what}: AER's INTERNAL is {logged}"
        channel.clear_error()
        assert config(CONFIG.CHANERR_INT.offset) == found, f"{what}: CHANERR clears CHANERR_INT"
        channel.write(COPY_BAR0.CHANERRMSK, 0)
        channel.command("RESET")


@engine_case(
    manual("DMA-44", "netdma"),
    "SOFT_ERR is in CHANSTS and in the completion while CHANERR is not 0; clearing CHANERR starts nothing",
)
def errors_that_are_shown(rig: EngineRig) -> None:
    """Two errors of a channel, cleared one by one; the channel stays HALTED, and works after CHAINADDR."""
    for index, (name, bit, wrong) in product((0, 3), _WRONG):
        channel = rig.channel(index)
        _halted(rig, channel, wrong)
        channel.set_count(5)  # [DMA-4] one more error
        what = f"channel {index}, {name}"
        both = bit | Chanerr.DESC_COUNT
        assert channel.chanerr == both, f"{what}: CHANERR is {channel.chanerr:#x}"
        word = int.from_bytes(rig.memory.get(channel.completion_addr, 8), "little")
        assert word & 15 == int(ChanStatus.HALTED) | 8, f"{what}: the completion says {word & 15}"
        for left in (bit, 0):
            channel.write(COPY_BAR0.CHANERR, both & ~left)
            both = left
            status = channel.read(COPY_BAR0.CHANSTS) & 15
            assert status == int(ChanStatus.HALTED) | (8 if left else 0), f"{what}: CHANSTS says {status}"
            assert channel.chanerr == left, f"{what}: CHANERR is {channel.chanerr:#x}"
        rig.engine.run()
        assert channel.status == ChanStatus.HALTED, f"{what}: clearing starts the channel"
        channel.counted = channel.posted
        target = channel.post_copy(content(100), compl_write=1)
        channel.start()
        assert rig.memory.get(target, 100) == content(100), f"{what}: then nothing is copied [DMA-46]"
        word = int.from_bytes(rig.memory.get(channel.completion_addr, 8), "little")
        assert word & 15 == int(ChanStatus.DONE), f"{what}: SOFT_ERR is still in the completion"
        rig.vectors()
        channel.rearm()


@engine_case(
    manual("DMA-50", "netdma"),
    "a step is a fetch, a piece or a report; none moves more than 8 KiB, and an access moves nothing",
)
def steps_of_a_channel(rig: EngineRig) -> None:
    """Copies, fills and NULLs of none to five pieces, with and without a report: steps, and bytes of each."""
    rig.engine.is_manual = True
    channel = rig.channel(1)
    source, target = rig.memory.put(bytes(6 * PAGE), align=PAGE), rig.memory.alloc(6 * PAGE, align=PAGE)
    rows: tuple[tuple[dict[str, int], int], ...] = (
        ({"null": 1, "size": 7}, 0),
        ({"size": 1}, 1),
        ({"size": PAGE}, 1),
        ({"size": PAGE, "src": source + 1, "dst": target + 1}, 2),
        ({"size": PAGE, "src": source + 1, "dst": target + 2}, 3),
        ({"size": 3 * PAGE, "src": source + 5}, 6),
        ({"size": 3 * PAGE}, 3),
        ({"size": 2 * PAGE + 1, "op": int(CopyOp.FILL), "src": 7}, 3),
        ({"size": 100, "op": int(CopyOp.FILL), "src": 7, "dst": target + PAGE - 1}, 2),
    )
    for (fields, pieces), report in product(rows, ({}, {"compl_write": 1}, {"int_en": 1, "compl_write": 1})):
        moved: list[Event] = []
        channel.counted = channel.posted
        channel.post(CopyDescriptor(**{"src": source, "dst": target} | fields | report))
        with rig.engine.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
            channel.start()
            channel.read(COPY_BAR0.CHANSTS)
            assert not moved, "an access moves something"
            steps = 0
            while rig.engine.runnable:
                before = len(moved)
                rig.engine.step(1)
                size = sum(len(each.data) if each.data else 0 for each in moved[before:])
                assert size <= 2 * PAGE, f"{fields}: a step moves {size} bytes"
                steps += 1
                assert steps < 20, f"{fields}: it never ends"
        wanted = 1 + pieces + bool(report)
        assert steps == wanted, f"{fields}, {report or 'no report'}: {steps} steps, not {wanted}"
        channel.rearm()
        rig.vectors()
