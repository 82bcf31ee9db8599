"""The clients of NetDMA: who uses the channels of providers, and hears what becomes of these."""

from __future__ import annotations

from typing import Protocol

from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.record import ProviderRecord
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, Transfer

__all__ = ["Broker", "ClientHandle", "DmaChannel", "NetDmaClient", "ProviderRecord", "Transfer"]


class NetDmaClient(Protocol):
    """A client. The documents leave its interface open; this is ours."""

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: ProviderRecord) -> None:
        """What became of a provider, at PASSIVE; from POWER_DOWN and REMOVAL on it takes nothing more."""


class Broker(Protocol):
    """Who has channels to give."""

    def grant(self, client: NetDmaClient, cpu: int) -> ChannelHandle | None:
        """A channel of any usable provider, its DPCs on `cpu` where that can be."""

    def take_back(self, handle: ChannelHandle) -> None:
        """A channel is no longer used."""

    def make_channel(self, handle: ChannelHandle, owner: ClientHandle) -> DmaChannel:
        """What copies through a channel; it is in the owner's list until it is freed."""

    def forget(self, client: ClientHandle) -> None:
        """A client is gone."""


class ClientHandle:
    """One registered client and its channels."""

    def __init__(self, broker: Broker, client: NetDmaClient) -> None:
        self.client = client
        self.channels: list[DmaChannel] = []
        self._broker = broker

    def allocate_channel(self, cpu: int = 0) -> DmaChannel | None:
        """A channel of its own, `done` called on `cpu` where the engine allows; None when there is none."""
        handle = self._broker.grant(self.client, cpu)
        if handle is None:
            return None
        return self._broker.make_channel(handle, self)

    def allocate_raw_channel(self, cpu: int = 0) -> ChannelHandle | None:
        """A channel for chains that the client makes itself; give it back with free_raw_channel()."""
        return self._broker.grant(self.client, cpu)

    def free_raw_channel(self, handle: ChannelHandle) -> None:
        """Give it back; nothing is outstanding."""
        self._broker.take_back(handle)

    def deregister(self) -> None:
        """Free what it still holds, and hear no more; what is outstanding ends with done(False)."""
        for channel in list(self.channels):
            channel.free()
        self._broker.forget(self)
