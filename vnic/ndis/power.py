"""Power transitions of an adapter, as NDIS makes them around OID_PNP_SET_POWER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.ndis.attributes import AttributeFlag, HaltAction
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.protocol import NetEvent
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState

if TYPE_CHECKING:
    from vnic.ndis.adapter import Adapter

_PAUSE_FOR_LOW_POWER = 1


class Power:
    """The power state of one adapter; one without power management is halted for low power."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.state = DevicePowerState.D0

    def set(self, state: DevicePowerState) -> NDIS_STATUS:
        """Go to a state; the miniport's status."""
        adapter = self._adapter
        is_low = state is not DevicePowerState.D0
        if adapter.general is not None and adapter.general.power is None:
            return self._by_halting(is_low)
        if not is_low:
            return self._up()
        for binding in adapter.bindings:
            binding.notify(NetEvent.SET_POWER, state)
            adapter.chimney.check_uploaded(binding, "NetEventSetPower is complete")
        return self._down(state)

    def _by_halting(self, is_low: bool) -> NDIS_STATUS:
        adapter = self._adapter
        if is_low:
            adapter.halt(HaltAction.POWERED_DOWN)
            return NDIS_STATUS.SUCCESS
        return adapter.start() if adapter.state is AdapterState.HALTED else NDIS_STATUS.SUCCESS

    def _down(self, state: DevicePowerState) -> NDIS_STATUS:
        adapter = self._adapter
        registration = adapter.registration
        keeps_running = registration is not None and registration.flags & AttributeFlag.NO_PAUSE_ON_SUSPEND
        if adapter.state is AdapterState.RUNNING and not keeps_running:
            adapter.pause(_PAUSE_FOR_LOW_POWER)
        status = self._tell(state)
        if status == NDIS_STATUS.SUCCESS:
            self.state = state
            adapter.sends.is_low_power = True
            self._move_device(state)
        return status

    def _up(self) -> NDIS_STATUS:
        adapter = self._adapter
        self._move_device(DevicePowerState.D0)
        status = self._tell(DevicePowerState.D0)
        if status != NDIS_STATUS.SUCCESS:
            return status
        self.state = DevicePowerState.D0
        adapter.sends.is_low_power = False
        if adapter.state is AdapterState.PAUSED:
            status = adapter.restart()
        for binding in adapter.bindings:
            binding.notify(NetEvent.SET_POWER, DevicePowerState.D0)
        return status

    def _move_device(self, state: DevicePowerState) -> None:
        """What the bus driver does: after the miniport is ready for low power, before it hears of D0."""
        if self._adapter.options.on_power is not None:
            self._adapter.options.on_power(state)

    def _tell(self, state: DevicePowerState) -> NDIS_STATUS:
        adapter = self._adapter
        final: list[NDIS_STATUS] = []
        request = set_(OID.PNP_SET_POWER, int(state).to_bytes(4, "little"))
        adapter.oids.tell(request, final.append)
        adapter.wait_until(lambda: bool(final), adapter.miniport, str(request))
        return final[0]
