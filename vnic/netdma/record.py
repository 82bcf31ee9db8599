"""What the NetDMA interface knows of a registered provider: NetDmaProviderHandle."""

from __future__ import annotations

from enum import Enum

from vnic.netdma.types import (
    NET_DMA_PROVIDER_ATTRIBUTES,
    NET_DMA_PROVIDER_CHARACTERISTICS,
    TRANSFER_MIN,
    ProviderFlags,
    Version,
)
from vnic.netdma.watch import Watch


class ProviderState(Enum):
    """Where a provider is in its life."""

    REGISTERED = "registered"
    STARTED = "started"
    STOPPING = "stopping"
    DEREGISTERED = "deregistered"


class ProviderRecord:
    """One registered provider; `driver` is its ProviderContext, and whom a breach is blamed on."""

    def __init__(self, driver: object, characteristics: NET_DMA_PROVIDER_CHARACTERISTICS) -> None:
        self.driver = driver
        self.characteristics = characteristics
        self.state = ProviderState.REGISTERED
        self.is_powered = True
        self._attributes: NET_DMA_PROVIDER_ATTRIBUTES | None = None

    def __repr__(self) -> str:
        name = self.characteristics.friendly_name or type(self.driver).__name__
        return f"<provider {name}: {self.state.value}>"

    @property
    def version(self) -> Version:
        """Its version."""
        return self.characteristics.version

    @property
    def attributes(self) -> NET_DMA_PROVIDER_ATTRIBUTES:
        """What it said of its engine when it was started last."""
        if self._attributes is None:
            raise RuntimeError("the provider was never started")
        return self._attributes

    @property
    def is_started(self) -> bool:
        """Between NetDmaProviderStart and NetDmaProviderStop."""
        return self.state is ProviderState.STARTED

    @property
    def is_usable(self) -> bool:
        """Whether clients may post to it."""
        return self.is_started and self.is_powered

    @property
    def has_dca(self) -> bool:
        """Whether it takes context changes."""
        return bool(self.characteristics.flags & ProviderFlags.DCA_SUPPORTED)

    def start(self, attributes: NET_DMA_PROVIDER_ATTRIBUTES) -> None:
        """It is started with these attributes, which a restart may change."""
        self._attributes = attributes
        self.state = ProviderState.STARTED
        self.is_powered = True


def check_characteristics(
    watch: Watch, driver: object, given: NET_DMA_PROVIDER_CHARACTERISTICS, interface: Version
) -> None:
    """Raise the breach that the characteristics of a provider are, if they are one."""
    mandatory = {
        "AllocateDmaChannel": given.allocate_dma_channel,
        "FreeDmaChannel": given.free_dma_channel,
        "StartDma": given.start_dma,
        "AppendDma": given.append_dma,
    }
    missing = [name for name, function in mandatory.items() if function is None]
    watch.require(not missing, "characteristics", driver, f"NULL for {', '.join(missing)}")
    is_pair = (given.suspend_dma is None) == (given.resume_dma is None)
    watch.require(is_pair, "characteristics", driver, "one of SuspendDma and ResumeDma without the other")
    watch.require(given.max_dma_channel_count > 0, "characteristics", driver, "MaxDmaChannelCount 0")
    allowed = int(ProviderFlags.DCA_SUPPORTED) if given.version.is_counted else 0
    watch.require(not given.flags & ~allowed, "characteristics", driver, f"Flags {int(given.flags):#x}")
    newer = f"version {given.version} on an interface of {interface}"
    watch.require(given.version <= interface, "version", driver, newer)


def check_attributes(watch: Watch, record: ProviderRecord, given: NET_DMA_PROVIDER_ATTRIBUTES) -> None:
    """Raise the breach that the attributes of a provider are, if they are one."""
    driver, most = record.driver, record.characteristics.max_dma_channel_count
    too_many = f"{given.dma_channel_count} channels where MaxDmaChannelCount is {most}"
    watch.require(0 < given.dma_channel_count <= most, "attributes", driver, too_many)
    size = given.maximum_transfer_size
    watch.require(size >= TRANSFER_MIN, "attributes", driver, f"MaximumTransferSize {size}")
    space = given.maximum_address_space
    watch.require(space >= TRANSFER_MIN, "attributes", driver, f"MaximumAddressSpace {space:#x}")
    watch.require(given.flags == 0, "attributes", driver, f"Flags {given.flags:#x}")
