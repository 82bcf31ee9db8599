"""The card and its bus: errors that are masked, and messages that wait while their number changes."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaStatus, InterruptKind
from vnic.conformance.card_drive import transmit_unread
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.rig import MESSAGE_DATA, Rig


def _time_out(rig: Rig, severity: int, serr: int) -> None:
    """a completion timeout"""
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, SERR=serr)
    transmit_unread(rig, DmaStatus.TIMEOUT)


def _write_nowhere(rig: Rig, severity: int, serr: int) -> None:
    """a write that is not supported"""
    rig.configure(CONFIG.COMMAND, MASTER=1, SERR=serr)
    rig.device.write(0, BAR0.TEST_ECHO.offset, 1)


def _poison(rig: Rig, severity: int, serr: int) -> None:
    """a poisoned completion"""
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, SERR=serr)
    transmit_unread(rig, DmaStatus.POISONED)


_ERRORS = {"TIMEOUT": _time_out, "UR": _write_nowhere, "POISONED": _poison}


def _clear(rig: Rig) -> None:
    for register in (CONFIG.AER_UNCOR_STATUS, CONFIG.AER_COR_STATUS):
        rig.device.config_write(register.offset, 0xFFFF_FFFF)
    for register in (CONFIG.COMMAND, CONFIG.DEVCTL):
        word = rig.device.config_read(register.offset) & ~CONFIG.DEVCTL.encode(FLR=1)
        rig.device.config_write(register.offset, word | register.mask("w1c"))


@card_case(
    manual("PCI-40", "pci"),
    "an error that is masked is in the status and in Device Status; it is no system error and no first error",
)
def errors_that_are_masked(rig: Rig) -> None:
    """Three errors, masked, another masked, or none, by severity, with SERR# enabled and not (PCI-39)."""
    status = CONFIG.AER_UNCOR_STATUS
    for (name, happen), severity, serr in product(_ERRORS.items(), (0, 1), (0, 1)):
        bit = status.field(name).mask
        for mask in (0, bit, status.mask() & ~bit):
            rig.device.config_write(CONFIG.AER_UNCOR_MASK.offset, mask)
            rig.device.config_write(CONFIG.AER_UNCOR_SEVERITY.offset, bit * severity)
            _clear(rig)
            happen(rig, severity, serr)
            is_advisory = name == "POISONED" and not severity
            is_shown = not mask & bit and not is_advisory
            command = CONFIG.COMMAND.decode(rig.device.config_read(CONFIG.COMMAND.offset))
            control = CONFIG.DEVCTL.decode(rig.device.config_read(CONFIG.DEVCTL.offset))
            first = CONFIG.AER_CTRL.decode(rig.device.config_read(CONFIG.AER_CTRL.offset))["FIRST"]
            what = f"{happen.__doc__}, severity {severity}, mask {mask:#x}, SERR# {serr}"
            stands = rig.device.config_read(status.offset) & bit
            assert bool(stands) == (not is_advisory), f"{what}: AER has {stands:#x}"
            assert command["SIG_SERR"] == int(is_shown and serr), (
                f"{what}: Signaled System Error {command['SIG_SERR']}"
            )
            told = control["FATAL"], control["NONFATAL"], control["CORRECTABLE"]
            wanted = severity, 1 - severity if not is_advisory else 0, int(is_advisory)
            assert told == wanted, f"{what}: FATAL, NONFATAL, CORRECTABLE are {told}"
            assert first == (bit.bit_length() - 1 if is_shown else 0), f"{what}: First Error Pointer {first}"
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)


@card_case(
    manual("PCI-33", "pci"),
    "of messages that wait none is lost when fewer are granted: each goes by its number modulo the grant",
    level=InterruptKind.MSI,
    pairs=2,
    vectors=32,
)
def grants_that_change(rig: Rig) -> None:
    """One of 32 messages waits, masked, or several; then 1 to 16 are granted, and all are unmasked."""
    sets = (*((n,) for n in (0, 1, 5, 15, 16, 17, 31)), (3, 19), (1, 30, 31), (8, 16, 24), tuple(range(32)))
    for waiting, granted in product(sets, range(5)):
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=5)
        rig.device.config_write(CONFIG.MSI_MASK.offset, 0xFFFF_FFFF)
        messages(rig)
        for vector in waiting:
            rig.put(BAR0.TEST_FIRE, vector)
        pending = rig.device.config_read(CONFIG.MSI_PENDING.offset)
        assert pending == sum(1 << n for n in waiting), f"{waiting} wait: pending bits {pending:#x}"
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=granted)
        wanted = sorted({n % (1 << granted) for n in waiting})
        pending = rig.device.config_read(CONFIG.MSI_PENDING.offset)
        what = f"{waiting} wait, {1 << granted} are granted"
        assert pending == sum(1 << n for n in wanted), f"{what}: pending bits {pending:#x}"
        rig.device.config_write(CONFIG.MSI_MASK.offset, 0)
        data = sorted(each.data - MESSAGE_DATA for each in rig.device.interrupts())
        assert data == wanted, f"{what}: the messages {data} are sent"
