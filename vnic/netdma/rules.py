"""The rules to which the NetDMA interface holds providers and clients, with the manual's ids."""

from __future__ import annotations

from dataclasses import dataclass

from vnic.host.cpu import Level

_DDI = "windows-driver-docs-ddi: netdma/"
_GUIDE = "windows-driver-docs: network/"


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement: its id in spec/netdma.md, whom it binds, and the public page that states it."""

    id: str
    binds: str
    text: str
    page: str


_PROVIDER, _CLIENT, _BOTH = "provider", "client", "driver"

#: By a short name; several rules may elaborate one requirement.
RULES = {
    "lifecycle": Rule(
        "NDMA-1", _PROVIDER,
        "registers, starts, stops and deregisters in this order, and stops before it deregisters",
        _DDI + "nf-netdma-netdmaproviderstop"),
    "quiet": Rule(
        "NDMA-1", _PROVIDER, "has no interrupt or DPC for a channel that was freed",
        _DDI + "nc-netdma-dma_channel_free_handler"),
    "characteristics": Rule(
        "NDMA-2", _PROVIDER,
        "offers AllocateDmaChannel, FreeDmaChannel, StartDma and AppendDma, Suspend with Resume",
        _DDI + "ns-netdma-_net_dma_provider_characteristics"),
    "version": Rule(
        "NDMA-2", _PROVIDER,
        "registers with a version that the interface has, and calls what is in that version",
        _DDI + "nf-netdma-netdmagetversion"),
    "status": Rule(
        "NDMA-2", _PROVIDER, "returns one of the status values of the function",
        _DDI + "nc-netdma-dma_start_handler"),
    "attributes": Rule(
        "NDMA-3", _PROVIDER,
        "moves at least 4 KB with a descriptor and has no more channels than it registered",
        _DDI + "ns-netdma-_net_dma_provider_attributes"),
    "channel": Rule(
        "NDMA-3", _PROVIDER, "gives a channel to one client at a time, and names the processor of its DPC",
        _DDI + "nc-netdma-dma_channel_allocate_handler"),
    "isr": Rule(
        "NDMA-6", _PROVIDER,
        "calls NetDmaIsr from its ISR, for a channel of its own, with a descriptor's address",
        _DDI + "nf-netdma-netdmaisr"),
    "dpc": Rule(
        "NDMA-6", _PROVIDER,
        "calls NetDmaInterruptDpc from its DPC with the last processed descriptor, or NULL",
        _GUIDE + "handling-a-netdma-interrupt-dpc"),
    "append": Rule(
        "INV-58", _CLIENT, "appends after a Start, and after an Abort or Reset not before the next one",
        _GUIDE + "appending-dma-descriptors-to-a-dma-channel"),
    "halted": Rule(
        "INV-62", _PROVIDER, "leaves the completion status at Halted after an Abort or Reset",
        _DDI + "nc-netdma-dma_abort_handler"),
    "suspended": Rule(
        "INV-61", _PROVIDER, "answers Suspend with the last processed descriptor",
        _DDI + "nc-netdma-dma_suspend_handler"),
    "freed": Rule(
        "NDMA-7", _CLIENT, "uses no channel after it was freed", _DDI + "nc-netdma-dma_channel_free_handler"),
    "level": Rule(
        "NDMA-7", _BOTH, "makes and answers each call at its IRQL, and leaves level and locks as they were",
        _DDI + "index"),
    "alignment": Rule(
        "NDMA-7", _CLIENT, "aligns descriptors to 64 bytes, and the second pages of page breaks to pages",
        _DDI + "ns-netdma-_net_dma_channel_parameters"),
    "suspend": Rule(
        "NDMA-7", _CLIENT, "follows each Suspend by a Resume, a Start, an Abort or a Reset",
        _GUIDE + "suspending-and-resuming-a-dma-transfer"),
    "optional": Rule(
        "NDMA-7", _CLIENT, "calls only the functions that the provider has",
        _DDI + "ns-netdma-_net_dma_provider_characteristics"),
    "size": Rule(
        "NDMA-7", _CLIENT,
        "moves no more than MaximumTransferSize with a descriptor, within MaximumAddressSpace",
        _DDI + "ns-netdma-_net_dma_provider_attributes"),
    "flags": Rule(
        "NDMA-7", _CLIENT, "sets control flags that are defined in the provider's version",
        _DDI + "ns-netdma-_net_dma_descriptor"),
    "chain": Rule(
        "NDMA-7", _CLIENT,
        "ends a chain of version 1.x with NULL, and counts the descriptors of one of version 2.0",
        _GUIDE + "extensions-to-chained-descriptors"),
    "transfer": Rule(
        "NDMA-7", _CLIENT, "passes transfers that lie in memory and do not overlap themselves",
        _DDI + "ns-netdma-_net_dma_descriptor"),
    "mapped": Rule(
        "NDMA-7", _BOTH, "leaves the memory of a transfer in flight mapped",
        _DDI + "nc-netdma-dma_channel_free_handler"),
    "notify": Rule(
        "NDMA-8", _PROVIDER, "notifies of power down and power up only, of a started provider, by turns",
        _DDI + "nf-netdma-netdmapnpeventnotify"),
}  # fmt: skip

#: The lowest and the highest level at which a function may be called.
LEVELS = {
    "NetDmaRegisterProvider": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaDeregisterProvider": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaProviderStart": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaProviderStop": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaPnPEventNotify": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaGetVersion": (Level.PASSIVE, Level.PASSIVE),
    "NetDmaIsr": (Level.DIRQL, Level.DIRQL),
    "NetDmaInterruptDpc": (Level.DISPATCH, Level.DISPATCH),
    "ProviderSetDmaChannelCpuAffinity": (Level.PASSIVE, Level.PASSIVE),
}
#: All other functions: at most this.
LEVEL_MAX = Level.DISPATCH
