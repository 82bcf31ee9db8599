"""How a function is made: the parameters that stay as they are for its life."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Parameters of creation; None takes the library's default (vnic_config_init)."""

    vendor_id: int | None = None
    device_id: int | None = None
    subsystem_vendor_id: int | None = None
    subsystem_id: int | None = None
    revision: int | None = None
    #: Function number, carried by every event.
    function: int | None = None
    #: Its slot has other functions; a function above 0 is in such a slot.
    is_multifunction: bool | None = None
    #: 1 to 32.
    queue_pairs: int | None = None
    #: MSI-X vectors, 1 to 64.
    vectors: int | None = None
    #: Messages that MSI offers, log2, 0 to 5.
    msi_capable_log2: int | None = None
    #: Six octets.
    mac: bytes | None = None
    #: Bytes without FCS, 1514 to 65535.
    max_frame: int | None = None
    #: Receive packet buffer, a power of two, at least 4 * max_frame.
    rx_buffer_bytes: int | None = None
    #: Frames sent and not yet taken by the link, likewise.
    tx_buffer_bytes: int | None = None
    #: Ranges that the memory map holds.
    map_regions: int | None = None
    #: Faults that can be armed at once.
    faults: int | None = None
    #: TCP chimney: connections at once, at most 1 << 20; 0: none, and the rest is not looked at.
    connections: int | None = None
    #: Path objects at once.
    paths: int | None = None
    #: Neighbour objects at once.
    neighbours: int | None = None
    #: Pieces of sends and receives that the card holds, 16 to 1 << 24.
    chimney_work: int | None = None
    #: Runs of scoreboards and ranges out of order, at least 16.
    chimney_nodes: int | None = None
    #: Connections in loss recovery at once.
    chimney_recoveries: int | None = None
    #: Blocks that hold payload out of order or without a buffer: their bytes together, at least 64 KiB.
    chimney_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyEngineConfig:
    """Parameters of creation; None takes the library's default (vnic_copy_config_init)."""

    vendor_id: int | None = None
    device_id: int | None = None
    subsystem_vendor_id: int | None = None
    subsystem_id: int | None = None
    revision: int | None = None
    #: Function number, carried by every event.
    function: int | None = None
    #: 1 to 16.
    channels: int | None = None
    #: MSI-X vectors, 1 to 17; a channel without a vector of its own has vector 0.
    vectors: int | None = None
    #: Messages that MSI offers, log2, 0 to 5.
    msi_capable_log2: int | None = None
    #: XFERCAP: log2 of the largest transfer, 12 to 30.
    transfer_log2: int | None = None
    #: Without a fence, reads of a descriptor overtake the last write of the one before.
    is_overlapping: bool | None = None
    #: Ranges that the memory map holds.
    map_regions: int | None = None
    #: Faults that can be armed at once.
    faults: int | None = None
