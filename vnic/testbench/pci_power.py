"""What a PCI bus driver does around D3: save what a function forgets there, and put it back at D0."""

from __future__ import annotations

from vnic.gen.registers import CONFIG, MSIX_TABLE
from vnic.host.pci import CapabilityId, capability_fields
from vnic.host.system import System
from vnic.ndis.structures import DevicePowerState

_D3HOT = 3


class PciPower:
    """The power state of one function; message interrupts survive the way through D3."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._msi: dict[int, int] = {}
        self._msix_control = 0
        self._msix_table: list[tuple[int, int]] = []

    def set(self, state: DevicePowerState) -> None:
        """To D0 or to D3hot; D1 and D2 are not implemented by the card and count as D3hot."""
        if state is DevicePowerState.D0:
            self._system.set_power_state(0)
            self._restore()
        else:
            self._save()
            self._system.set_power_state(_D3HOT)

    def _save(self) -> None:
        system = self._system
        msi = capability_fields(system, CONFIG.MSI_CTRL, CapabilityId.MSI)
        first = (CONFIG.MSI_ADDR_LO, CONFIG.MSI_ADDR_HI, CONFIG.MSI_DATA, CONFIG.MSI_MASK, CONFIG.MSI_CTRL)
        self._msi = {register.offset: msi.read(register) for register in first}
        msix = capability_fields(system, CONFIG.MSIX_CTRL, CapabilityId.MSIX)
        self._msix_control = msix.read(CONFIG.MSIX_CTRL)
        window = system.window(msix[CONFIG.MSIX_TABLE, "BIR"])
        start = msix[CONFIG.MSIX_TABLE, "OFFSET"] * 8
        size = (msix[CONFIG.MSIX_CTRL, "TABLE_SIZE"] + 1) * MSIX_TABLE.ENTRY_CTRL.stride
        self._msix_table = [(at, window.read32(at)) for at in range(start, start + size, 4)]

    def _restore(self) -> None:
        """Message addresses and data first, then the bits that switch them on."""
        system = self._system
        msi = capability_fields(system, CONFIG.MSI_CTRL, CapabilityId.MSI)
        for register in CONFIG.MAP:
            if register.offset in self._msi and register is not CONFIG.MSI_CTRL:
                msi.write(register, self._msi[register.offset])
        msi.write(CONFIG.MSI_CTRL, self._msi.get(CONFIG.MSI_CTRL.offset, 0))
        msix = capability_fields(system, CONFIG.MSIX_CTRL, CapabilityId.MSIX)
        window = system.window(msix[CONFIG.MSIX_TABLE, "BIR"])
        for at, value in self._msix_table:
            window.write32(at, value)
        msix.write(CONFIG.MSIX_CTRL, self._msix_control)
