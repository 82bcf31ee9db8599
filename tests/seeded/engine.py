"""More mistakes in the copy engine: page breaks, counts, commands, interrupts, errors."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CHANNEL = "csrc/copy/channel.c"
INTERRUPT = "csrc/copy/interrupt.c"
STEP = "csrc/copy/step.c"


FAULTS = (
    Fault(
        "CE-7",
        Subject.COPY_ENGINE,
        "csrc/copy/descriptor.h",
        "        return next + (at - first);\n",
        "        return next + ((start + at) & (COPY_PAGE - 1)) + (start & 7);\n",
        "Behind a page break the bytes lie a few bytes off.",
        Cites("DMA-22 and INV-66: go on at NEXT_SRC when the first source page ends"),
    ),
    Fault(
        "CE-8",
        Subject.COPY_ENGINE,
        CHANNEL,
        "    ch->processed = 0;\n    if (ch->status",
        "    if (ch->status",
        "A new chain goes on with the count of the old one.",
        Cites("DMA-1: its count and DMACOUNT are 0"),
    ),
    Fault(
        "CE-9",
        Subject.COPY_ENGINE,
        CHANNEL,
        "        ch->must_reread = !ch->is_first;\n",
        "        ch->must_reread = false;\n",
        "A resumed channel goes where its last descriptor led when it was fetched.",
        Cites("DMA-7 and INV-61: NEXT of the one it returns, edited, takes effect at Resume"),
    ),
    Fault(
        "CE-10",
        Subject.COPY_ENGINE,
        CHANNEL,
        "    case CHANCMD_ABORT_MASK: /* [DMA-8] */\n        channel_stop(&copy->state.channel[n]);\n",
        "    case CHANCMD_ABORT_MASK: /* [DMA-8] */\n        channel_suspend(&copy->state.channel[n]);\n",
        "ABORT finishes the descriptor at hand.",
        Cites("DMA-8 and INV-62: nothing is written any more, the state is HALTED"),
    ),
    Fault(
        "CE-11",
        Subject.COPY_ENGINE,
        INTERRUPT,
        "    copy_set_channel_reg(copy, COPY_CHANCTRL, n,\n"
        "                         copy_channel_reg(copy, COPY_CHANCTRL, n) | CHANCTRL_INT_DISABLE_MASK);\n",
        "",
        "A channel interrupts again before it is armed again.",
        Cites("DMA-32: set INT_DISABLE"),
    ),
    Fault(
        "CE-12",
        Subject.COPY_ENGINE,
        "csrc/copy/transfer.c",
        "    [VNIC_DMA_POISONED] = CHANERR_DATA_INTEGRITY_MASK, ",
        "    [VNIC_DMA_POISONED] = 0, ",
        "Poisoned data is copied on.",
        Cites("DMA-41: write nothing of a piece whose read failed"),
    ),
    Fault(
        "CE-13",
        Subject.COPY_ENGINE,
        CHANNEL,
        "    const bool interrupts = (control & CHANCTRL_ERR_INT_EN_MASK) && (errors & ~masked);\n",
        "    const bool interrupts = (control & CHANCTRL_ERR_INT_EN_MASK) && (errors | masked);\n",
        "Errors that CHANERRMSK masks interrupt.",
        Cites("DMA-42: an error that CHANERRMSK does not mask"),
    ),
    Fault(
        "CE-14",
        Subject.COPY_ENGINE,
        STEP,
        "    return channel_left(copy, n) != 0 ? CHAN_STATUS_ACTIVE : CHAN_STATUS_DONE;\n",
        "    return CHAN_STATUS_DONE;\n",
        "A completion in the middle of a chain says DONE.",
        Cites("DMA-30: ACTIVE when counted descriptors are left"),
    ),
    Fault(
        "CE-15",
        Subject.COPY_ENGINE,
        INTERRUPT,
        "(general & GENERAL_MSIX_VECTOR_CONTROL_MASK) != 0 && n < copy->config.vectors;\n",
        "(general & GENERAL_MSIX_VECTOR_CONTROL_MASK) != 0 && n + 1u < copy->config.vectors;\n",
        "The last channel interrupts by vector 0.",
        Cites("DMA-32: the message of vector n of channel n"),
    ),
    Fault(
        "CE-16",
        Subject.COPY_ENGINE,
        INTERRUPT,
        "    if (enabled & GENERAL_MASTER_INT_EN_MASK) {\n",
        "    if (enabled == 0) {\n",
        "Reading INTRCTRL leaves MASTER_INT_EN set: the line stays up.",
        Cites("DMA-34: reading INTRCTRL clears MASTER_INT_EN after the value was taken"),
    ),
    Fault(
        "CE-17",
        Subject.COPY_ENGINE,
        "csrc/copy/reset.c",
        "        channel_reset(copy, n);\n",
        "        (void)n;\n",
        "A Function Level Reset leaves the channels as they are.",
        Cites("DMA-53: every channel HALTED"),
    ),
    Fault(
        "CE-18",
        Subject.COPY_ENGINE,
        STEP,
        "    return ch->is_first ? CHANERR_CHAIN_ADDR_MASK : CHANERR_NEXT_ALIGN_MASK;\n",
        "    return 0;\n",
        "A descriptor at an address that is not aligned is fetched.",
        Cites("DMA-40 and its table: NEXT not aligned is NEXT_ALIGN; INV-67"),
    ),
)
