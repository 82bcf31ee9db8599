"""Faults of the copy engine: invariants 58 to 67 at its registers."""

from __future__ import annotations

from tests.mutants.fault import Fault

CHANNEL = "csrc/copy/channel.c"
STEP = "csrc/copy/step.c"
HELD = "csrc/copy/held.c"
DESCRIPTOR = "csrc/copy/descriptor.c"
TRANSFER = "csrc/copy/transfer.c"

FAULTS = (
    Fault(
        "INV-58",
        CHANNEL,
        "            channel_fail(copy, n, CHANERR_DESC_COUNT_MASK);\n",
        "            ch->status = CHAN_STATUS_ACTIVE;\n            copy_note_ready(copy, n);\n",
        "A count sets a halted channel going.",
    ),
    Fault(
        "INV-58",
        CHANNEL,
        "    case CHANCMD_ABORT_MASK: /* [DMA-8] */\n        channel_stop(&copy->state.channel[n]);\n",
        "    case CHANCMD_ABORT_MASK: /* [DMA-8] */\n        channel_stop(&copy->state.channel[n]);\n"
        "        copy->state.channel[n].status = CHAN_STATUS_DONE;\n",
        "An aborted channel takes an append.",
    ),
    Fault(
        "INV-59",
        CHANNEL,
        "    if (ch->status != CHAN_STATUS_SUSPENDED && !channel_is_at_hand(ch)) {\n",
        "    if (ch->status == CHAN_STATUS_ACTIVE && !channel_is_at_hand(ch)) {\n",
        "An append to a chain that has just ended is lost.",
    ),
    Fault(
        "INV-59",
        CHANNEL,
        "    const bool is_changed = count != channel_count(copy, n);\n",
        "    const bool is_changed = count != channel_count(copy, n);\n    ch->processed = 0;\n",
        "A count is taken for that of descriptors to come.",
    ),
    Fault(
        "INV-59",
        STEP,
        "    ch->next = copy_descriptor_next(ch->word); /* [DMA-5] */\n",
        "    ch->next = ch->current + COPY_DESCRIPTOR_BYTES;\n",
        "The chain is taken for an array.",
    ),
    Fault(
        "INV-60",
        CHANNEL,
        "    ch->change = CHANNEL_NEW_CHAIN;\n",
        "    channel_stop(ch);\n    ch->change = CHANNEL_NEW_CHAIN;\n",
        "A start drops the descriptor at hand.",
    ),
    Fault(
        "INV-60",
        CHANNEL,
        "    if (ch->change & CHANNEL_NEW_CHAIN) {\n        channel_take_chain(copy, n);\n    }\n",
        "    if (ch->change == CHANNEL_NEW_CHAIN && ch->is_first) {\n"
        "        channel_take_chain(copy, n);\n    }\n",
        "A start on a running chain goes on with the old one.",
    ),
    Fault(
        "INV-61",
        CHANNEL,
        "        ch->change |= CHANNEL_SUSPEND;\n        return;\n",
        "        channel_stop(ch);\n",
        "A suspend stops in the midst of a descriptor.",
    ),
    Fault(
        "INV-61",
        CHANNEL,
        "        ch->must_reread = !ch->is_first;\n",
        "        ch->must_reread = false;\n",
        "A resume goes on with the NEXT that was fetched before.",
    ),
    Fault(
        "INV-61",
        STEP,
        "        return CHAN_STATUS_SUSPENDED;\n",
        "        return CHAN_STATUS_ACTIVE;\n",
        "The completion of the last descriptor before a suspend does not tell of it.",
    ),
    Fault(
        "INV-62",
        CHANNEL,
        "        channel_forget(copy, n);\n",
        "        channel_stop(&copy->state.channel[n]);\n",
        "A reset is an abort.",
    ),
    Fault(
        "INV-62",
        CHANNEL,
        "    ch->phase = CHANNEL_BETWEEN;\n    ch->report = 0;\n    ch->change = 0;\n",
        "    ch->change = 0;\n",
        "A descriptor that was aborted is completed.",
    ),
    Fault(
        "INV-63",
        STEP,
        "    if (ch->report & REPORT_WRITE) {\n        const unsigned status",
        "    if (ch->report != 0) {\n        const unsigned status",
        "An interrupt that is asked for writes the status, too.",
    ),
    Fault(
        "INV-63",
        STEP,
        "        bytes = COPY_COMPLETION_BYTES;\n    }\n    if (ch->report & REPORT_INTERRUPT) {\n",
        "        bytes = COPY_COMPLETION_BYTES;\n    }\n    if (ch->report != 0) {\n",
        "A status that is asked for interrupts, too.",
    ),
    Fault(
        "INV-63",
        STEP,
        "    return channel_left(copy, n) != 0 ? CHAN_STATUS_ACTIVE : CHAN_STATUS_DONE;\n",
        "    return CHAN_STATUS_ACTIVE;\n",
        "The completion of the last descriptor says that there are more.",
    ),
    Fault(
        "INV-64",
        STEP,
        "    if (!descriptor_is_moving(ch->word) && ch->held.len == 0) {\n",
        "    if (copy_descriptor_op(ch->word) == COPY_OP_CONTEXT_CHANGE && ch->held.len == 0) {\n",
        "A NULL transfer moves what its size says.",
    ),
    Fault(
        "INV-64",
        STEP,
        "    ch->report = descriptor_report(ch->word);\n",
        "    ch->report = descriptor_is_moving(ch->word) ? descriptor_report(ch->word) : 0;\n",
        "A NULL transfer does not complete.",
    ),
    Fault(
        "INV-65",
        HELD,
        "           && !copy_descriptor_fence(ch->word) && channel_left",
        "           && channel_left",
        "SERIALIZE is not looked at.",
    ),
    Fault(
        "INV-65",
        HELD,
        ".is_last = is_end && held_may_wait(copy, n)};\n",
        ".is_last = is_end};\n",
        "SERIALIZE is forgotten when the descriptor before was held back.",
    ),
    Fault(
        "INV-66",
        DESCRIPTOR,
        "        room = bits_min64(room, page_rest(copy_descriptor_dst(word)) + COPY_PAGE);\n",
        "        room = bits_min64(room, page_rest(copy_descriptor_src(word)) + COPY_PAGE);\n",
        "What the destination's pages hold is reckoned from the source.",
    ),
    Fault(
        "INV-66",
        DESCRIPTOR,
        "        room = bits_min64(room, page_rest(copy_descriptor_src(word)) + COPY_PAGE);\n",
        "        room = bits_min64(room, page_rest(copy_descriptor_src(word)));\n",
        "With a page break of the source the second page counts for nothing.",
    ),
    Fault(
        "INV-67",
        DESCRIPTOR,
        "size > descriptor_room(word, max_bytes)",
        "size > descriptor_room(word, UINT32_MAX)",
        "XFERCAP is not looked at.",
    ),
    Fault(
        "INV-67",
        STEP,
        "    if ((ch->next & (COPY_DESCRIPTOR_BYTES - 1)) == 0) {\n",
        "    if ((ch->next & 7) == 0) {\n",
        "A descriptor may lie at any multiple of 8.",
    ),
    Fault(
        "INV-67",
        TRANSFER,
        "        p->is_to_beyond\n            ? transfer_refuse(copy)\n",
        "        p->is_to_beyond\n            ? VNIC_DMA_OK\n",
        "A write behind the last address is no error.",
    ),
    Fault(
        "INV-67",
        STEP,
        "        const uint32_t error = step_move_slow(copy, n, &p, &bytes);\n        if (error) {\n",
        "        uint32_t error = step_move_slow(copy, n, &p, &bytes);\n"
        "        error &= ~CHANERR_SRC_ADDR_MASK;\n        if (error) {\n",
        "A piece that cannot be read is left out.",
    ),
)
