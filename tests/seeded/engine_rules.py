"""Mistakes in the copy engine and its provider: delays, logs, steps, attributes, channels, vectors."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

PROVIDER = "vnic/netdma/provider.py"

FAULTS = (
    Fault(
        "CE-36",
        Subject.COPY_ENGINE,
        "csrc/copy/interrupt.c",
        "    copy->state.channel[n].is_due = false;\n    interrupt_enable(copy, n);\n",
        "    copy->state.channel[n].is_due = false;\n",
        "INTRDELAY does not run from a RESET.",
        Cites("DMA-35"),
    ),
    Fault(
        "ND-48",
        Subject.PROVIDER,
        PROVIDER,
        "            dma_channel_count=capacities.channels,\n",
        "            dma_channel_count=min(capacities.channels, 8),\n",
        "Eight channels are said to be there at most.",
        Cites("NDMA-3"),
    ),
    Fault(
        "ND-49",
        Subject.PROVIDER,
        PROVIDER,
        "            vendor_id=capacities.vendor_id,\n",
        "            vendor_id=0,\n",
        "VendorId is 0.",
        Cites("NDMA-3"),
    ),
    Fault(
        "ND-53",
        Subject.PROVIDER,
        PROVIDER,
        "            major_hw_version=capacities.major,\n            minor_hw_version=capacities.minor,\n",
        "            major_hw_version=capacities.minor,\n            minor_hw_version=capacities.major,\n",
        "MajorHwVersion and MinorHwVersion are exchanged.",
        Cites("NDMA-3: attributes that are the engine's"),
    ),
)
