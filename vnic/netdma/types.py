"""The structures that providers and the NetDMA interface exchange, under NetDMA's own names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from vnic.host.bus import Bus
from vnic.netdma.descriptor import (
    NET_DMA,
    NET_DMA_DESCRIPTOR,
    NET_DMA_TRANSFER_STATUS,
    CompletionStatus,
    DescriptorPointer,
)

__all__ = [
    "NET_DMA",
    "NET_DMA_CHANNEL_CPU_AFFINITY",
    "NET_DMA_CHANNEL_PARAMETERS",
    "NET_DMA_DESCRIPTOR",
    "NET_DMA_PNP_NOTIFICATION",
    "NET_DMA_PNP_NOTIFICATION_CODE",
    "NET_DMA_PROVIDER_ATTRIBUTES",
    "NET_DMA_PROVIDER_CHARACTERISTICS",
    "NET_DMA_TRANSFER_STATUS",
    "NTSTATUS",
    "VERSIONS",
    "CompletionStatus",
    "DescriptorPointer",
    "ProviderFlags",
    "Transfer",
    "Version",
]

#: MaximumTransferSize is at least this.
TRANSFER_MIN = 4096


class Version(NamedTuple):
    """Of the NetDMA interface or of a provider; the documents name 1.0, 1.1 and 2.0.

    2.1 is 2.0 with revision 2 of the channel parameters, as Windows 7 passes it.
    """

    major: int
    minor: int

    @property
    def is_counted(self) -> bool:
        """Whether chains are counted and not NULL-terminated, and transfers may have page breaks."""
        return self.major >= 2

    @property
    def has_notifications(self) -> bool:
        """Whether NetDmaGetVersion and NetDmaPnPEventNotify are there."""
        return self >= (1, 1)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


VERSIONS = (Version(1, 0), Version(1, 1), Version(2, 0), Version(2, 1))


class Transfer(NamedTuple):
    """A copy of `length` bytes between guest addresses."""

    destination: int
    source: int
    length: int

    @property
    def overlaps_itself(self) -> bool:
        """Whether its source and destination share a byte."""
        return abs(self.destination - self.source) < self.length


class NTSTATUS(IntEnum):
    """What the functions of a provider and of the interface return."""

    SUCCESS = 0x0000_0000
    UNSUCCESSFUL = 0xC000_0001
    RESOURCES = 0xC000_009A


class ProviderFlags(IntFlag):
    """NET_DMA_PROVIDER_CHARACTERISTICS_..."""

    DCA_SUPPORTED = 1


class NET_DMA_PNP_NOTIFICATION_CODE(IntEnum):
    """NetDmaNotification...: what became of a provider or channel."""

    REGISTERED = 1
    ARRIVAL = 2
    REMOVAL = 3
    CHANNEL_ARRIVAL = 4
    POWER_DOWN = 5
    POWER_UP = 6


@dataclass(frozen=True, slots=True)
class NET_DMA_PNP_NOTIFICATION:
    """What a provider passes to NetDmaPnPEventNotify; power notifications carry no data."""

    notification_code: NET_DMA_PNP_NOTIFICATION_CODE
    structure_revision: int = 1
    buffer: bytes = b""


@dataclass(frozen=True, slots=True)
class NET_DMA_CHANNEL_CPU_AFFINITY:
    """The processor that the MSI-X interrupts of a channel shall go to."""

    dma_channel: int
    cpu_number: int


@dataclass(slots=True)
class NET_DMA_CHANNEL_PARAMETERS:
    """How AllocateDmaChannel shall set a channel up; cpu_number is the provider's answer."""

    completion_virtual_address: memoryview
    completion_physical_address: int
    processor_affinity_mask: int
    revision: int = 1
    flags: int = 0
    channel_priority: int = 0
    cpu_number: int = -1
    processor_affinity_mask_ex: tuple[int, int] | None = None  # group and mask; revision 2


@dataclass(frozen=True, slots=True)
class NET_DMA_PROVIDER_ATTRIBUTES:
    """What NetDmaProviderStart says of the engine; sizes in bytes."""

    vendor_id: int
    dma_channel_count: int
    maximum_transfer_size: int
    maximum_address_space: int
    major_hw_version: int = 0
    minor_hw_version: int = 0
    flags: int = 0


# The functions of a provider. Each takes the context that the provider gave for itself or for a channel.
SetDmaChannelCpuAffinity = Callable[[object, Sequence[NET_DMA_CHANNEL_CPU_AFFINITY]], NTSTATUS]
# With the NetDmaChannelHandle; answers with the channel's context.
AllocateDmaChannel = Callable[[object, NET_DMA_CHANNEL_PARAMETERS, object], tuple[NTSTATUS, object]]
FreeDmaChannel = Callable[[object], None]
# Descriptor as the processor sees it and as the engine does, and how many there are.
StartDma = Callable[[object, DescriptorPointer, int, int], NTSTATUS]
AppendDma = Callable[[object, DescriptorPointer, int, int], NTSTATUS]
# Answers with the last descriptor that was processed.
SuspendDma = Callable[[object], tuple[NTSTATUS, int]]
ChannelCommand = Callable[[object], NTSTATUS]


@dataclass(frozen=True, slots=True)
class NET_DMA_PROVIDER_CHARACTERISTICS:
    """What a provider registers: its version, its functions, and the bus that its engine is on (the PDO)."""

    version: Version
    physical_device_object: Bus
    max_dma_channel_count: int
    allocate_dma_channel: AllocateDmaChannel | None
    free_dma_channel: FreeDmaChannel | None
    start_dma: StartDma | None
    append_dma: AppendDma | None
    set_dma_channel_cpu_affinity: SetDmaChannelCpuAffinity | None = None
    suspend_dma: SuspendDma | None = None
    resume_dma: ChannelCommand | None = None
    abort_dma: ChannelCommand | None = None
    reset_channel: ChannelCommand | None = None
    flags: int = 0  # ProviderFlags
    friendly_name: str = ""
