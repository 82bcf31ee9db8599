"""The registers of an I/OAT engine as its driver reaches them."""

from __future__ import annotations

from vnic.gen.enums import ChanStatus
from vnic.gen.model import Register
from vnic.gen.registers import CONFIG, COPY_BAR0
from vnic.host.bus import Bus
from vnic.netdma.descriptor import CompletionStatus

BAR = 0
ALL_ONES = 0xFFFF_FFFF
#: INTRCTRL is the last byte of GENERAL, CHANCMD the first and DMACOUNT the upper half of one word.
_INTRCTRL = COPY_BAR0.GENERAL.offset + 3
_INTRCTRL_SHIFT = 24
_DMACOUNT = 2
_COUNT_MASK = 0xFFFF


def _intrctrl(**fields: int) -> int:
    return COPY_BAR0.GENERAL.encode(**fields) >> _INTRCTRL_SHIFT


MASTER_INT_EN = _intrctrl(MASTER_INT_EN=1)
INT_STATUS = _intrctrl(INT_STATUS=1)
MSIX_VECTOR_CONTROL = _intrctrl(MSIX_VECTOR_CONTROL=1)
_GONE_BYTE = 0xFF


class Registers:
    """The general registers. One access each, in the width that the engine's documents name."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.window = bus.window(BAR)

    def read(self, register: Register, channel: int = 0) -> int:
        """A register, whole."""
        offset = register.at(channel)
        return self.window.read64(offset) if register.width == 64 else self.window.read32(offset)

    def write(self, register: Register, value: int, channel: int = 0) -> None:
        """Write a register, whole."""
        if register.width == 64:
            self.window.write64(register.at(channel), value)
        else:
            self.window.write32(register.at(channel), value)

    def field(self, register: Register, name: str) -> int:
        """One field."""
        return register.field(name).get(self.read(register))

    @property
    def is_answering(self) -> bool:
        """False when the engine is gone: reads return all ones."""
        return self.read(COPY_BAR0.CBVER) != ALL_ONES

    def write_interrupt_control(self, bits: int) -> None:
        """INTRCTRL."""
        self.window.write8(_INTRCTRL, bits)

    def take_interrupt_control(self) -> int:
        """INTRCTRL; reading it clears MASTER_INT_EN. 0 when the engine is gone."""
        value = self.window.read8(_INTRCTRL)
        return 0 if value == _GONE_BYTE else value

    def take_attention(self) -> int:
        """ATTNSTATUS: a bit a channel; reading clears it."""
        value = self.read(COPY_BAR0.ATTNSTATUS)
        return 0 if value == ALL_ONES else value


class ChannelRegisters:
    """The block of registers of one channel."""

    def __init__(self, registers: Registers, number: int) -> None:
        self._registers = registers
        self._number = number
        window = registers.window
        self._read64, self._write64 = window.read64, window.write64
        self._write8, self._write16 = window.write8, window.write16
        self._status = COPY_BAR0.CHANSTS.at(number)
        self._chain = COPY_BAR0.CHAINADDR.at(number)
        self._command = COPY_BAR0.CHANCMD.at(number)

    def read(self, register: Register) -> int:
        """A register of the channel."""
        return self._registers.read(register, self._number)

    def write(self, register: Register, value: int) -> None:
        """Write a register of the channel."""
        self._registers.write(register, value, self._number)

    @property
    def status(self) -> CompletionStatus:
        """CHANSTS: the last processed descriptor, and the state; of an engine that is gone, HALTED."""
        value = self._read64(self._status)
        if value == (1 << 64) - 1:
            return CompletionStatus(0, ChanStatus.HALTED)
        return CompletionStatus(value & ~0x3F, value & 0x7)

    @property
    def errors(self) -> int:
        """CHANERR; 0 when the engine is gone."""
        value = self.read(COPY_BAR0.CHANERR)
        return 0 if value == ALL_ONES else value

    def clear_errors(self, errors: int) -> None:
        """CHANERR, and their copy in configuration space."""
        self.write(COPY_BAR0.CHANERR, errors)
        self._registers.bus.config_write(CONFIG.CHANERR_INT.offset, errors)

    def start_chain(self, address: int) -> None:
        """CHAINADDR: a new chain, of which nothing is counted yet."""
        self._write64(self._chain, address)

    def count(self, total: int) -> None:
        """DMACOUNT: descriptors of the chain so far."""
        self._write16(self._command + _DMACOUNT, total & _COUNT_MASK)

    def command(self, bit: int) -> None:
        """CHANCMD."""
        self._write8(self._command, bit)
