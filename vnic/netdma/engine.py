"""Bringing an I/OAT engine up: what it is, how many channels it has and how much each can move at once."""

from __future__ import annotations

from dataclasses import dataclass

from vnic.errors import UnknownError
from vnic.gen.registers import CONFIG, COPY_BAR0, Chancmd
from vnic.host.bus import Bus
from vnic.netdma.registers import ALL_ONES, BAR, Registers
from vnic.netdma.types import TRANSFER_MIN

_CLASS_SYSTEM_PERIPHERAL = 0x088000
#: The layout of version 3 and later: DMACOUNT, page breaks.
_MAJOR = 3
_COMPATIBLE = 2
_BAR_BYTES = 0x1000


class EngineError(Exception):
    """There is no engine, or none that this driver knows."""


@dataclass(frozen=True, slots=True)
class Capacities:
    """What an engine says of itself; sizes in bytes."""

    vendor_id: int
    major: int
    minor: int
    channels: int
    transfer_max: int
    has_dca: bool
    has_page_breaks: bool


def bring_up(bus: Bus) -> tuple[Registers, Capacities]:
    """An engine with every channel reset and no interrupt enabled; EngineError leaves it disabled."""
    vendor = _identify(bus)
    try:
        bus.enable_device()
    except UnknownError as error:  # gone since
        raise EngineError(str(error)) from None
    bus.set_master()
    try:
        registers = Registers(bus)
        capacities = _read_capacities(registers, vendor)
        quiet(registers, capacities.channels)
        return registers, capacities
    except Exception:
        bus.disable_device()
        raise


def quiet(registers: Registers, channels: int) -> None:
    """No interrupt, every channel halted."""
    registers.write_interrupt_control(0)
    for channel in range(channels):
        registers.window.write8(COPY_BAR0.CHANCMD.at(channel), Chancmd.RESET)


def _identify(bus: Bus) -> int:
    word = bus.config_read(CONFIG.ID.offset)
    if word == ALL_ONES:
        raise EngineError("no function answers")
    code = CONFIG.CLASS.field("CLASS").get(bus.config_read(CONFIG.CLASS.offset))
    if code != _CLASS_SYSTEM_PERIPHERAL:
        raise EngineError(f"class {code:06X} is no copy engine")
    if bus.bar_size(BAR) < _BAR_BYTES:
        raise EngineError(f"BAR {BAR} has {bus.bar_size(BAR):#x} bytes")
    return CONFIG.ID.field("VENDOR").get(word)


def _read_capacities(registers: Registers, vendor: int) -> Capacities:
    version = COPY_BAR0.CBVER.decode(registers.read(COPY_BAR0.CBVER))
    if not registers.is_answering:
        raise EngineError("the engine does not answer")
    if version["MAJOR"] < _MAJOR:
        raise EngineError(f"version {version['MAJOR']}.{version['MINOR']} has other registers")
    general = COPY_BAR0.GENERAL.decode(registers.read(COPY_BAR0.GENERAL))
    is_sound = 1 <= general["CHANCNT"] <= COPY_BAR0.CHANCMD.count and 1 << general["XFERCAP"] >= TRANSFER_MIN
    if not is_sound:
        raise EngineError(f"{general['CHANCNT']} channels that move 2^{general['XFERCAP']} bytes")
    if COPY_BAR0.CHANCTRL.field("DMA_COMP").get(registers.read(COPY_BAR0.CHANCTRL)) < _COMPATIBLE:
        raise EngineError("a channel of version 1, which cannot count")
    return Capacities(
        vendor,
        version["MAJOR"],
        version["MINOR"],
        general["CHANCNT"],
        1 << general["XFERCAP"],
        bool(registers.field(COPY_BAR0.DMACAP, "DCA")),
        bool(registers.field(COPY_BAR0.DMACAP, "PAGE_BREAK")),
    )
