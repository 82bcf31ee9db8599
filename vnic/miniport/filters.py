"""Which frames the adapter receives: packet filter, station address, multicast list, VLAN id."""

from __future__ import annotations

from vnic.gen.registers import BAR0, MacMulticast, MacRxCtrl
from vnic.miniport.registers import Registers
from vnic.ndis.oid import PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError, parse_multicast_list

SUPPORTED_FILTERS = (
    PacketFilter.DIRECTED
    | PacketFilter.MULTICAST
    | PacketFilter.ALL_MULTICAST
    | PacketFilter.BROADCAST
    | PacketFilter.PROMISCUOUS
)
_TAG_BYTES = 4
_VLAN_ID_MAX = 4094

_CONTROL = {
    PacketFilter.DIRECTED: MacRxCtrl.UNICAST,
    PacketFilter.MULTICAST: MacRxCtrl.MULTICAST,
    PacketFilter.ALL_MULTICAST: MacRxCtrl.ALL_MULTICAST,
    PacketFilter.BROADCAST: MacRxCtrl.BROADCAST,
    PacketFilter.PROMISCUOUS: MacRxCtrl.PROMISCUOUS,
}


class ReceiveFilter:
    """The filter and its registers; `options` are the MAC_RX_CTRL bits that are not the filter's."""

    def __init__(self, registers: Registers, station: bytes, frame_bytes: int, list_size: int) -> None:
        self._registers = registers
        self._frame_bytes = frame_bytes
        self.list_size = list_size
        self.station = station
        self.packet_filter = 0
        self.multicast: tuple[bytes, ...] = ()
        self.vlan_id = 0
        self.options = 0
        self.is_open = False

    def set_packet_filter(self, wanted: int) -> None:
        """Raises StructureError NOT_SUPPORTED for a filter that the card does not have."""
        if wanted & ~int(SUPPORTED_FILTERS):
            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, f"packet filter {wanted:#x}")
        self.packet_filter = wanted
        self.write_control()

    def set_multicast(self, data: bytes) -> None:
        """Raises StructureError INVALID_LENGTH, INVALID_DATA or MULTICAST_FULL; the old list then stands."""
        self.multicast = parse_multicast_list(data, self.list_size)
        self._write_multicast()

    def set_vlan_id(self, vlan_id: int) -> None:
        """OID_GEN_VLAN_ID: frames of this VLAN and untagged ones only; 0 takes all. Raises StructureError."""
        if vlan_id > _VLAN_ID_MAX:
            raise StructureError(NDIS_STATUS.INVALID_DATA, f"VLAN id {vlan_id}")
        self.vlan_id = vlan_id
        self._write_vlan()
        self.write_control()

    def open(self, is_open: bool) -> None:
        """Let frames in, or none."""
        self.is_open = is_open
        self.write_control()

    def program(self) -> None:
        """Write everything: the card was reset."""
        self._registers.write(BAR0.MAC_ADDR, int.from_bytes(self.station, "little"))
        self._registers.write(BAR0.MAC_RX_MAX, min(self._frame_bytes + _TAG_BYTES, 0xFFFF))
        self._write_multicast()
        self._write_vlan()
        self.write_control()

    def write_control(self) -> None:
        """MAC_RX_CTRL from filter, options and whether the adapter receives."""
        control = self.options
        for kind, bit in _CONTROL.items():
            control |= bit if self.packet_filter & kind else 0
        control |= MacRxCtrl.VLAN_FILTER if self.vlan_id else 0
        control |= MacRxCtrl.ENABLE if self.is_open else 0
        self._registers.write(BAR0.MAC_RX_CTRL, control)

    def _write_multicast(self) -> None:
        for place in range(self.list_size):
            is_used = place < len(self.multicast)
            entry = int.from_bytes(self.multicast[place], "little") | MacMulticast.VALID if is_used else 0
            self._registers.write(BAR0.MAC_MULTICAST, entry, place)

    def _write_vlan(self) -> None:
        for word in range(BAR0.MAC_VLAN.count):
            bit = 1 << self.vlan_id % 32 if self.vlan_id and self.vlan_id // 32 == word else 0
            self._registers.write(BAR0.MAC_VLAN, bit, word)
