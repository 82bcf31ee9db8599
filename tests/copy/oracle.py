"""The reference copy engine in plain Python, made from spec/netdma.md alone: registers, turns, interrupts."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import NamedTuple

from tests.copy.oracle_bus import Memory
from tests.copy.oracle_channel import COMMANDS, Channel
from tests.copy.oracle_held import OverlappingChannel
from vnic.gen.registers import Chancmd, Chanctrl, Copy, General, Intrdelay

ALL = (1 << 64) - 1
IRQ = 16
STEPS_A_TURN = 16
NS_PER_US = 1000
WORD = 4

KEPT_CHANCTRL = (
    Chanctrl.ERR_COMPLETION_EN
    | Chanctrl.ANY_ERR_ABORT_EN
    | Chanctrl.ERR_INT_EN
    | Chanctrl.DESC_SNOOP
    | Chanctrl.IN_USE
    | Chanctrl.COMPL_DCA_EN
    | Chanctrl.PRIORITY_MASK
)
ERROR_MASK = 0x7_FFFF


class Mode(Enum):
    """How interrupts leave the engine."""

    LINE = "line"
    MSI = "msi"
    MSIX = "msix"


class Said(NamedTuple):
    """A message of a vector; of the line, its new level."""

    mode: Mode
    number: int


class Vector:
    """The interrupt of one channel. `cleared_ns`: when INT_DISABLE was last cleared."""

    def __init__(self, now_ns: int) -> None:
        self.is_disabled = self.is_due = False
        self.cleared_ns = now_ns

    def rearm(self, now_ns: int) -> None:
        """1 was written to INT_REARM."""
        self.is_disabled, self.cleared_ns = False, now_ns


class Oracle:
    """An engine whose Memory Space is enabled and whose messages are not masked."""

    def __init__(
        self,
        memory: Memory,
        *,
        channels: int,
        transfer_log2: int,
        vectors: int,
        mode: Mode,
        messages: int,
        is_overlapping: bool,
    ) -> None:
        self.memory = memory
        self.mode = mode
        self._shape = channels, transfer_log2, vectors, messages
        self._make = OverlappingChannel if is_overlapping else Channel
        self.now_ns = 0
        self.power_on()

    def power_on(self) -> None:
        """As after a power cycle and a bring-up; memory and time stay as they are."""
        self.is_master, self.chanerr_int = True, 0
        self.said: list[Said] = []
        self._held: set[int] = set()
        self._is_line_up = False
        channels, transfer_log2, _, _ = self._shape
        self.master_int_en = self.vector_control = False
        self.attention = self.delay_us = 0
        self.vectors = [Vector(self.now_ns) for _ in range(channels)]
        self.channels: list[Channel] = [
            self._make(self.memory, 1 << transfer_log2, self._log, partial(self._fall_due, number))
            for number in range(channels)
        ]
        self._turn = self._taken = 0

    # -- registers -------------------------------------------------------------------------------------------

    def read(self, offset: int, width: int) -> int:
        """A read of any width and offset, with what it changes."""
        value = 0
        for word in range(offset // WORD * WORD, offset + width, WORD):
            shift = 8 * (word - offset)
            enabled = _shifted((1 << 8 * width) - 1, -shift) & 0xFFFF_FFFF
            value |= _shifted(self._read_word(word, enabled) & enabled, shift)
        return value

    def write(self, offset: int, value: int, width: int) -> None:
        """A write of any width and offset."""
        value &= (1 << 8 * width) - 1
        for word in range(offset // WORD * WORD, offset + width, WORD):
            shift = 8 * (offset - word)
            enabled = _shifted((1 << 8 * width) - 1, shift) & 0xFFFF_FFFF
            self._write_word(word, enabled, _shifted(value, shift) & enabled)
        self._rest()

    def _read_word(self, offset: int, enabled: int) -> int:
        place = self._channel_at(offset)
        if place is not None:
            return self._read_channel(*place, enabled)
        match offset:
            case Copy.GENERAL:
                return self._read_general(enabled)
            case Copy.ATTNSTATUS:
                value = self.attention
                self.attention &= ~enabled
                self._settle_line()
                return value
            case Copy.CBVER:
                return 0x32
            case Copy.INTRDELAY:
                return self.delay_us | Intrdelay.COALESCE
            case Copy.DMACAP:
                return 0x41
        return 0

    def _read_general(self, enabled: int) -> int:
        channels, transfer_log2, _, _ = self._shape
        value = channels | transfer_log2 << General.XFERCAP_SHIFT
        value |= General.MASTER_INT_EN * self.master_int_en
        value |= General.INT_STATUS * bool(self.attention)
        value |= General.INT * self._wants_line
        value |= General.MSIX_VECTOR_CONTROL * self.vector_control
        if enabled & General.MASTER_INT_EN:
            self.master_int_en = False
            self._settle_line()
        return value

    def _write_word(self, offset: int, enabled: int, value: int) -> None:
        place = self._channel_at(offset)
        if place is not None:
            self._write_channel(*place, enabled, value)
        elif offset == Copy.GENERAL:
            if enabled & General.MASTER_INT_EN:
                self.master_int_en = bool(value & General.MASTER_INT_EN)
                self.vector_control = bool(value & General.MSIX_VECTOR_CONTROL)
            self._settle_line()
        elif offset == Copy.INTRDELAY:
            self.delay_us = _merged(self.delay_us, enabled, value) & Intrdelay.DELAY_MASK

    def _channel_at(self, offset: int) -> tuple[int, int] | None:
        """Channel and offset in its block."""
        number, inside = divmod(offset - Copy.CHANCTRL, Copy.CHAN_STRIDE)
        return (number, inside + Copy.CHANCTRL) if 0 <= number < len(self.channels) else None

    def _read_channel(self, number: int, offset: int, enabled: int) -> int:
        channel = self.channels[number]
        match offset:
            case Copy.CHANCTRL:
                value = channel.ctrl | self.vectors[number].is_disabled | 2 << 16
                channel.ctrl |= enabled & Chanctrl.IN_USE
                return value
            case Copy.CHANCMD:
                return channel.count << Chancmd.DMACOUNT_SHIFT
            case Copy.CHANERR:
                return channel.errors
            case Copy.CHANERRMSK:
                return channel.mask
            case Copy.DCACTRL:
                return channel.dca
        return self._read_half(channel, offset)

    @staticmethod
    def _read_half(channel: Channel, offset: int) -> int:
        wide = {
            Copy.CHANSTS: channel.status,
            Copy.CHAINADDR: channel.chain,
            Copy.CHANCMP: channel.completion,
            Copy.CDAR: channel.current,
        }
        return wide.get(offset & ~7, 0) >> 8 * (offset & 4) & 0xFFFF_FFFF

    def _write_channel(self, number: int, offset: int, enabled: int, value: int) -> None:
        channel = self.channels[number]
        match offset:
            case Copy.CHANCTRL:
                channel.ctrl = _merged(channel.ctrl, enabled, value) & KEPT_CHANCTRL
                if value & Chanctrl.INT_DISABLE:
                    self.vectors[number].rearm(self.now_ns)
            case Copy.CHANCMD:
                self._write_command(number, enabled, value)
            case Copy.CHANERR:
                channel.errors &= ~value
            case Copy.CHANERRMSK:
                channel.mask = _merged(channel.mask, enabled, value) & ERROR_MASK
            case Copy.DCACTRL:
                channel.dca = _merged(channel.dca, enabled, value) & 0xFFFF
        high = 8 * (offset & 4)
        if offset & ~7 == Copy.CHAINADDR:
            channel.start(_merged(channel.chain, enabled << high, value << high))
        elif offset & ~7 == Copy.CHANCMP:
            channel.completion = _merged(channel.completion, enabled << high, value << high) & ~7

    def _write_command(self, number: int, enabled: int, value: int) -> None:
        channel = self.channels[number]
        channel.command(value & 0xFF)
        if value & COMMANDS == Chancmd.RESET:
            self.attention &= ~(1 << number)
            self.vectors[number] = Vector(self.now_ns)
            self._settle_line()
        if enabled >> Chancmd.DMACOUNT_SHIFT:
            channel.add(_merged(channel.count << 16, enabled, value) >> 16)

    # -- interrupts ------------------------------------------------------------------------------------------

    @property
    def _wants_line(self) -> bool:
        return bool(self.attention) and self.master_int_en

    def _settle_line(self) -> None:
        wanted = self._wants_line and self.mode == Mode.LINE
        if wanted != self._is_line_up:
            self._is_line_up = wanted
            self.said.append(Said(Mode.LINE, int(wanted)))

    def _may_interrupt(self, vector: Vector) -> bool:
        return not vector.is_disabled and self.master_int_en and self.now_ns >= self._due_ns(vector)

    def _due_ns(self, vector: Vector) -> int:
        return vector.cleared_ns + self.delay_us * NS_PER_US

    def _fall_due(self, number: int) -> None:
        if self._may_interrupt(self.vectors[number]):
            self._raise(number)
        else:
            self.vectors[number].is_due = True

    def _raise(self, number: int) -> None:
        self.attention |= 1 << number
        self.vectors[number].is_disabled, self.vectors[number].is_due = True, False
        _, _, vectors, messages = self._shape
        has_own = self.vector_control and number < vectors
        self._send((number if has_own else 0) % (messages if self.mode == Mode.MSI else ALL))
        self._settle_line()

    def _send(self, number: int) -> None:
        if self.mode == Mode.LINE:
            return
        if self.is_master:
            self.said.append(Said(self.mode, number))
        else:
            self._held.add(number)

    def set_master(self, is_master: bool) -> None:
        """Bus Master Enable; what it held back goes in the order of the messages."""
        self.is_master = is_master
        if is_master:
            self.said += [Said(self.mode, number) for number in sorted(self._held)]
            self._held.clear()
        self._rest()

    def _log(self, bit: int) -> None:
        self.chanerr_int |= bit

    # -- time and work ---------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Virtual time is `now_ns` now."""
        self.now_ns = now_ns

    @property
    def deadline_ns(self) -> int | None:
        """When INTRDELAY lets the next interrupt go."""
        times = [
            self._due_ns(vector)
            for vector in self.vectors
            if vector.is_due and not vector.is_disabled and self.master_int_en
        ]
        return min((time for time in times if time > self.now_ns), default=None)

    @property
    def runnable(self) -> list[int]:
        """Channels that could take a step, and IRQ."""
        numbers = [n for n, channel in enumerate(self.channels) if channel.can_step and self.is_master]
        ripe = any(vector.is_due and self._may_interrupt(vector) for vector in self.vectors)
        return numbers + [IRQ] * ripe

    def step(self, part: int) -> int | None:
        """One step of a part; the bytes that it moved, or None when it had nothing to do."""
        if part not in self.runnable:
            return None
        moved = 0
        if part == IRQ:
            ripe = (n for n, v in enumerate(self.vectors) if v.is_due and self._may_interrupt(v))
            self._raise(next(ripe))
        else:
            moved = self.channels[part].step()
        self._rest()
        return moved

    def _rest(self) -> None:
        """An engine that is idle starts with channel 0."""
        if not self.runnable:
            self._turn = self._taken = 0

    def run(self, steps: int) -> tuple[int, int]:
        """At most `steps` steps, by turns; steps and bytes that were taken."""
        taken = moved = 0
        while taken < steps and (part := self._whose_turn()) is not None:
            self._taken += 1
            moved += self.step(part) or 0
            taken += 1
        return taken, moved

    def _whose_turn(self) -> int | None:
        runnable = self.runnable
        if not runnable:
            return None
        if self._taken == STEPS_A_TURN or self._turn not in runnable:
            after = self._turn + (self._taken == STEPS_A_TURN)
            self._turn = next((part for part in runnable if part >= after), runnable[0])
            self._taken = 0
        return self._turn


def _shifted(value: int, bits: int) -> int:
    return value << bits if bits >= 0 else value >> -bits


def _merged(old: int, enabled: int, value: int) -> int:
    """A register after a write of some of its bytes."""
    return old & ~enabled | value & enabled
