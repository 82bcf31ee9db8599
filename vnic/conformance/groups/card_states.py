"""The card's interrupts under every condition that holds them back, and what of them outlasts each reset."""

from __future__ import annotations

from collections.abc import Callable

from vnic.abi import InterruptKind
from vnic.conformance.card_drive import LEVELS, reset
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.rig import Rig


def _level(rig: Rig, before: int) -> int:
    """The line after what was done last."""
    changes = messages(rig)
    assert all(a != b for a, b in zip([before, *changes], changes, strict=False)), f"the line: {changes}"
    return changes[-1] if changes else before


def _master(rig: Rig, on: int) -> None:
    rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=on))


def _intx(rig: Rig, on: int) -> None:
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, INTX_DISABLE=1 - on)


def _msi(rig: Rig, on: int) -> None:
    rig.configure(CONFIG.MSI_CTRL, ENABLE=1 - on)


def _msix(rig: Rig, on: int) -> None:
    rig.configure(CONFIG.MSIX_CTRL, ENABLE=1 - on)


def _bus_master(rig: Rig, on: int) -> None:
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=on)


@card_case(
    manual("INT-4", "interrupts"),
    "the line is up exactly while a cause is unread, MASTER_ENABLE is set, and nothing of PCI forbids it",
    level=InterruptKind.INTX,
    pairs=2,
)
def conditions_of_the_line(rig: Rig) -> None:
    """Each condition ends and begins alone, with a cause and without; Bus Master Enable is none of them."""
    messages(rig)
    level = 0
    conditions: dict[str, tuple[Callable[[Rig, int], None], int]] = {
        "MASTER_ENABLE": (_master, 1),
        "Interrupt Disable": (_intx, 1),
        "MSI Enable": (_msi, 1),
        "MSI-X Enable": (_msix, 1),
        "Bus Master Enable": (_bus_master, 0),
    }
    for name, (put, matters) in conditions.items():
        for has_cause in (0, 1):
            rig.get(BAR0.INT_CAUSE)
            level = _level(rig, level)
            assert level == 0, "the line is up with every cause read"
            if has_cause:
                rig.put(BAR0.TEST_FIRE, 1)
            level = _level(rig, level)
            assert level == has_cause, f"the line is {level} with {has_cause} cause"
            put(rig, 0)
            found = _level(rig, level)
            wanted = has_cause * (1 - matters)
            assert found == wanted, f"{name} ended, {has_cause} cause: the line is {found}"
            status = CONFIG.COMMAND.decode(rig.device.config_read(CONFIG.COMMAND.offset))["INTX_STATUS"]
            says = has_cause if name in ("Interrupt Disable", "Bus Master Enable") else 0
            assert status == says, f"{name} ended, {has_cause} cause: Interrupt Status is {status}"
            put(rig, 1)
            level = _level(rig, found)
            assert level == has_cause, f"{name} is back, {has_cause} cause: the line is {level}"


@card_case(
    manual("PCI-19", "pci"), "in D3hot and with the card gone the line is down, whatever caused it",
    level=InterruptKind.INTX,
)  # fmt: skip
def lines_without_power(rig: Rig) -> None:
    """The line is up; D3hot; back; up again by a new cause; surprise removal."""
    rig.put(BAR0.TEST_FIRE, 0)
    assert messages(rig)[-1:] == [1]
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    assert messages(rig) == [0], "the line stays up in D3hot"
    rig.power_up()
    assert messages(rig) == [], "the line moves on the way to D0"
    rig.bring_up(0)
    rig.put(BAR0.TEST_FIRE, 0)
    assert messages(rig)[-1:] == [1]
    rig.device.remove()
    assert messages(rig)[-1:] == [0], "the line stays up when the card is gone"


def _come_back(rig: Rig, level: InterruptKind) -> None:
    """As a driver does, without a reset of its own."""
    rig.power_up()
    rig.set_level(level)
    for vector in range(rig.vectors):
        rig.put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(ENABLE=1), vector)
    rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))


@card_case(
    manual("RST-2", "reset"),
    "causes, enables, intervals and counts of vectors, and INT_CAUSE, outlast no reset of the device",
    pairs=2,
    vectors=4,
)
def vectors_over_resets(rig: Rig) -> None:
    """Vectors whose causes wait for ENABLE, an interval, the master enable; each level of reset."""
    for level in LEVELS:
        for hold in ("ENABLE", "interval", "master enable"):
            _come_back(rig, InterruptKind.MSIX)
            rig.device.advance(rig.device.now_ns + 10_000_000)
            messages(rig)
            if hold == "ENABLE":
                rig.change(BAR0.VEC_CTRL, 1, ENABLE=0)
            elif hold == "interval":
                rig.put(BAR0.VEC_INTERVAL, 5_000_000, 1)
                rig.put(BAR0.TEST_FIRE, 1)
            else:
                rig.put(BAR0.INT_CTRL, 0)
            rig.put(BAR0.TEST_FIRE, 1)
            messages(rig)
            reset(rig, level)
            rig.power_up()
            found = [rig.get(each, 1) for each in (BAR0.VEC_STATUS, BAR0.VEC_CTRL, BAR0.VEC_INTERVAL,
                                                   BAR0.VEC_CAUSES, BAR0.VEC_RAISED)]  # fmt: skip
            assert found == [0] * 5, f"{level} reset: STATUS, CTRL, INTERVAL, CAUSES, RAISED are {found}"
            assert rig.get(BAR0.INT_CAUSE_PEEK) == 0
            rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
            rig.set_level(InterruptKind.MSIX)
            rig.put(BAR0.TEST_FIRE, 2)
            assert messages(rig) == [], f"{level} reset: a vector that nobody enabled is raised"
            _come_back(rig, InterruptKind.MSIX)
            rig.device.advance(rig.device.now_ns + 10_000_000)
            assert messages(rig) == [2], (
                f"{level} reset: what waited for its {hold} is raised, or what came is not"
            )


@card_case(
    manual("PCI-23", "pci"),
    "pending messages and masks outlast a device reset, and nothing else; none is sent after another reset",
    pairs=2,
    vectors=4,
)
def pending_messages_over_resets(rig: Rig) -> None:
    """A pending message of MSI, and one of MSI-X, through each level; then unmask everything."""
    for level in LEVELS:
        for kind in (InterruptKind.MSI, InterruptKind.MSIX):
            _come_back(rig, kind)
            if kind == InterruptKind.MSI:
                rig.device.config_write(CONFIG.MSI_MASK.offset, 0b0110)
            else:
                rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(1), 1)
            messages(rig)
            rig.put(BAR0.TEST_FIRE, 1)
            assert messages(rig) == []
            reset(rig, level)
            stays = int(level == "device")
            rig.power_up()
            if kind == InterruptKind.MSI:
                pending = rig.device.config_read(CONFIG.MSI_PENDING.offset)
                mask = rig.device.config_read(CONFIG.MSI_MASK.offset)
                assert (pending, mask) == (2 * stays, 0b0110 * stays), (
                    f"{level} reset: MSI {pending:#x}, {mask:#x}"
                )
                rig.device.config_write(CONFIG.MSI_MASK.offset, 0)
            else:
                pending = rig.device.read(2, 0x1000)
                masked = rig.device.read(2, MSIX_TABLE.ENTRY_CTRL.at(1))
                assert (pending, masked) == (2 * stays, 1), (
                    f"{level} reset: MSI-X {pending:#x}, mask {masked}"
                )
            _come_back(rig, kind)
            wanted = [1] if stays else []
            assert messages(rig) == wanted, (
                f"{level} reset: a pending message of {kind.name} is sent, or is lost"
            )
            rig.set_level(InterruptKind.INTX)


@card_case(
    manual("RST-1", "reset"),
    "an interval that runs at a reset holds nothing back after it, though no time went by",
    pairs=2,
    vectors=4,
)
def intervals_over_resets(rig: Rig) -> None:
    """Two vectors within their intervals, one with a cause; each level of reset; a cause of each at once."""
    for level in LEVELS:
        for vector in (1, 3):
            rig.put(BAR0.VEC_INTERVAL, 1_000_000_000, vector)
            rig.put(BAR0.TEST_FIRE, vector)
        rig.put(BAR0.TEST_FIRE, 3)
        messages(rig)
        reset(rig, level)
        _come_back(rig, InterruptKind.MSIX)
        assert messages(rig) == [], f"{level} reset: what waited for its interval is raised"
        assert rig.device.next_deadline_ns() is None, f"{level} reset: something is due that nobody waits for"
        for vector in (1, 3):
            rig.put(BAR0.TEST_FIRE, vector)
            assert messages(rig) == [vector], (
                f"{level} reset: vector {vector} waits for an interval of before"
            )
