"""The bugs that are planted in a copy of csrc: five for each target, each a mistake that it should find."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.fault import Fault


@dataclass(frozen=True, slots=True)
class Bug:
    """Which target has to find it, of what kind it is, and under which sanitizer."""

    target: str
    #: memory, undefined, uninitialised, endless; or `result`: what a judge sees.
    kind: str
    fault: Fault

    @property
    def sanitizer(self) -> str:
        """The flavour that shows this kind."""
        return "memory" if self.kind == "uninitialised" else "asan"


def _bug(target: str, kind: str, file: str, change: tuple[str, str], broken: str) -> Bug:
    return Bug(target, kind, Fault(target, f"csrc/{file}", *change, broken))


_CARD = [
    _bug(
        "card",
        "memory",
        "nic/test_block.c",
        ("return bits_min32(TEST_CHUNK, t->len - t->at);", "return t->len - t->at;"),
        "a bring-up copy is not cut to the buffer that it goes through",
    ),
    _bug(
        "card",
        "endless",
        "nic/vector.c",
        (
            "uint64_t waiting = vector_mask(card) & ~card->scratch.vector_ripe;\n"
            "    for (; waiting; waiting &= waiting - 1) {",
            "uint64_t waiting = vector_mask(card) & ~card->scratch.vector_ripe;\n"
            "    for (; waiting; waiting |= waiting - 1) {",
        ),
        "the look for vectors whose interval is over never ends",
    ),
    _bug(
        "card",
        "undefined",
        "wire/segment.c",
        ("if (mss == 0 || mss > IP_DATAGRAM_MAX", "if (mss > IP_DATAGRAM_MAX"),
        "a large send with segments of no size divides by it",
    ),
    _bug(
        "card",
        "result",
        "nic/transmit.c",
        (
            "uint64_t transmit_next_bytes(const struct vnic *card)\n{\n"
            "    return card->config.max_frame + COMPLETION_BYTES;",
            "uint64_t transmit_next_bytes(const struct vnic *card)\n{\n    return COMPLETION_BYTES;",
        ),
        "a step of the transmit engine asks for less of a budget than it takes",
    ),
    _bug(
        "card",
        "uninitialised",
        "nic/receive.c",
        ("struct rx_class c = {0};\n    uint32_t drop", "struct rx_class c;\n    uint32_t drop"),
        "a completion says what nobody worked out",
    ),
]

_TWINS = [
    _bug(
        "twins",
        "result",
        "nic/snapshot.c",
        ("    ARCHIVE(a, TAG_RUN_STEPS, s->run_steps, RUN_TURN);\n", ""),
        "how far an engine is in its turn is not saved",
    ),
    _bug(
        "twins",
        "result",
        "pci/dma.c",
        (
            "if (addr >= window->base && addr <= window->last) {",
            "if (addr > window->base && addr <= window->last) {",
        ),
        "DMA to the first byte of an own BAR is let through",
    ),
    _bug(
        "twins",
        "memory",
        "pci/dma.c",
        (
            "bits_min64(t->len - 1, hint->last - t->addr) + 1",
            "bits_min64(t->len - 1, hint->last + 8 - t->addr) + 1",
        ),
        "a transfer goes on behind the end of the memory that is mapped",
    ),
    _bug(
        "twins",
        "result",
        "nic/reset.c",
        ("    transmit_reset(card);\n", ""),
        "a reset leaves the frame that is being built",
    ),
    _bug(
        "twins",
        "result",
        "pci/regfile.c",
        ("offset % 4 != 0 || offset < *next ||", "offset % 4 != 0 ||"),
        "a snapshot may name a register twice",
    ),
]

_SEGMENT = [
    _bug(
        "segment",
        "result",
        "tcp/reassembly.c",
        ("fit.right = seq_min(right, node->left);", "fit.right = right;"),
        "data out of order that overlaps what is held is kept twice",
    ),
    _bug(
        "segment",
        "result",
        "tcp/reassembly.c",
        (
            "        c->flags &= ~(uint32_t)TCP_DSACK_PENDING;\n        pool_give(&e->node_pool, index);",
            "        c->flags &= ~(uint32_t)TCP_DSACK_PENDING;",
        ),
        "the node of a duplicate is lost when it was reported",
    ),
    _bug(
        "segment",
        "undefined",
        "tcp/option.c",
        ("(uint8_t)bits_min32(syn->wscale, WINDOW_SHIFT_MAX)", "syn->wscale"),
        "any window scale of a peer's SYN is taken",
    ),
    _bug(
        "segment",
        "endless",
        "tcp/reassembly.c",
        (
            "while (i != 0 && seq_le(e->nodes[i].right, block->left)) {\n        i = e->nodes[i].next;",
            "while (i != 0 && seq_le(e->nodes[i].right, block->left)) {\n        i = reassembly_first(e, c);",
        ),
        "the look for the range around a duplicate stays where it is",
    ),
    _bug(
        "segment",
        "uninitialised",
        "tcp/reassembly.c",
        ("count, found = 0, around = 0;", "count, found = 0, around;"),
        "without a duplicate, the range around it is anything",
    ),
]

_IMAGE = [
    _bug(
        "image",
        "result",
        "tcp/image_load.c",
        ("        pool_give(&e->recovery_pool, c->recovery);\n", ""),
        "an image that is refused keeps its state of loss recovery",
    ),
    _bug(
        "image",
        "result",
        "tcp/image_load.c",
        (
            "    e->nodes[index].next = c->runs != 0 ? last->next : index;",
            "    e->nodes[index].next = index;",
        ),
        "runs are loaded into no ring",
    ),
    _bug(
        "image",
        "undefined",
        "tcp/image_walk.c",
        ("    X(tcp_connection, snd_wscale, 14)", "    X(tcp_connection, snd_wscale, 255)"),
        "any window scale is loaded",
    ),
    _bug(
        "image",
        "uninitialised",
        "tcp/image_load.c",
        ("    memset(image, 0, sizeof *image);\n", ""),
        "what an image does not name is anything",
    ),
    _bug(
        "image",
        "memory",
        "tcp/image_load.c",
        (
            "        if (node == NULL) {\n            return false;\n        }\n        *link = index;",
            "        *link = index;",
        ),
        "a range is loaded where no node is left",
    ),
]

_CHIMNEY = [
    _bug(
        "chimney",
        "endless",
        "nic/chimney_send.c",
        ("        send_pop(m, c);\n    }\n    return pending;", "    }\n    return pending;"),
        "a send that is over stays the first",
    ),
    _bug(
        "chimney",
        "result",
        "nic/chimney_snapshot.c",
        (
            "ARCHIVE(a, CHM_TAG_TOP, m->tops[k], places[k]);",
            "ARCHIVE(a, CHM_TAG_TOP, m->tops[k], places[k] - 1);",
        ),
        "the snapshot of a card whose places are all in use is refused",
    ),
    _bug(
        "chimney",
        "result",
        "nic/chimney_snapshot.c",
        (
            "        chimney_lookup_rebuild(card);\n",
            "        chimney_lookup_rebuild(card);\n        m->identification = 0;\n",
        ),
        "a card that is restored begins its Identifications anew",
    ),
    _bug(
        "chimney",
        "undefined",
        "tcp/offload_admit.c",
        ("shape->SndWindScale <= 14", "shape->SndWindScale <= 255"),
        "any window scale is taken from a host",
    ),
    _bug(
        "chimney",
        "uninitialised",
        "nic/chimney_admin.c",
        (
            "uint64_t words[COMPLETION_WORDS] = {0};\n    chm_admin_completion_set_handle",
            "uint64_t words[COMPLETION_WORDS];\n    chm_admin_completion_set_handle",
        ),
        "a completion of a command has fields that nobody wrote",
    ),
]

_COPY = [
    _bug(
        "copy",
        "result",
        "copy/step.c",
        (
            "copy->scratch.ops->fill(data, copy_descriptor_src(ch->word), ch->moved % 8, p->len);",
            "copy->scratch.ops->fill(data, copy_descriptor_src(ch->word), 0, p->len);",
        ),
        "a fill starts its pattern anew in each page",
    ),
    _bug(
        "copy",
        "result",
        "copy/channel_snapshot.c",
        ("    ARCHIVE(a, TAG_CHANNEL_DUE, ch->is_due, 1);\n", ""),
        "that an interrupt is due is not saved",
    ),
    _bug(
        "copy",
        "result",
        "copy/step.c",
        ("descriptors * a_descriptor + 3", "descriptors * 2 + 3"),
        "the bound of steps forgets the pages of a descriptor",
    ),
    _bug(
        "copy",
        "result",
        "copy/channel.c",
        ("    ch->change &= (uint8_t)~CHANNEL_SUSPEND;\n", "    ch->change = CHANNEL_SUSPEND;\n"),
        "a channel that is to go on is suspended",
    ),
    _bug(
        "copy",
        "uninitialised",
        "copy/held.c",
        (
            "    const uint32_t error = held_read(copy, n, p, held_bytes(copy, n));\n",
            "    uint8_t other[COPY_PAGE];\n    const uint32_t error = held_read(copy, n, p, other);\n"
            "    for (uint32_t i = 1; i < p->len; i++) {\n"
            "        held_bytes(copy, n)[i - 1] = other[i] | other[p->len % COPY_PAGE];\n    }\n",
        ),
        "a piece that waits is put together with a byte behind it",
    ),
]

_SNAPSHOT = [
    _bug(
        "snapshot",
        "result",
        "pci/power.c",
        ("    f->out_count = 0;\n    f->now_ns = 0;\n", "    f->out_count = 0;\n"),
        "a card that refused a snapshot has its time",
    ),
    _bug(
        "snapshot",
        "undefined",
        "base/archive.c",
        ("    if (value > max) {\n", "    if (value > max && size > 1) {\n"),
        "what is true in a snapshot may be more than 1",
    ),
    _bug(
        "snapshot",
        "undefined",
        "nic/pair_snapshot.c",
        ("p->cq.ring.is_running && p->cq.vector >= card->config.vectors", "false"),
        "a completion ring of a snapshot may have a vector that there is not",
    ),
    _bug(
        "snapshot",
        "memory",
        "nic/chimney_snapshot.c",
        (
            "ARCHIVE(a, CHM_TAG_MEMBER, index, m->tops[CHM_OBJECT_TCP - 1]);",
            "ARCHIVE(a, CHM_TAG_MEMBER, index, UINT32_MAX);",
        ),
        "a list of a snapshot may name a connection that there is no place for",
    ),
    _bug(
        "snapshot",
        "result",
        "pci/regfile.c",
        ("offset % 4 != 0 || offset < *next ||", "offset % 4 != 0 ||"),
        "a snapshot may name a register twice",
    ),
]

_TRACE = [
    _bug(
        "trace",
        "memory",
        "trace/reader.c",
        ("        if (span > len) {\n            return NULL;\n        }\n", ""),
        "an option may be longer than its block",
    ),
    _bug(
        "trace",
        "memory",
        "trace/replay.c",
        ("e->len < most ? e->len : most", "e->len"),
        "all octets of a difference are kept, however many",
    ),
    _bug(
        "trace",
        "result",
        "trace/record.c",
        ("(uint32_t)(event->value & 0xFF) << 8", "(uint32_t)(event->value & 0xFF)"),
        "the verdict on a frame is recorded where nobody reads it",
    ),
    _bug(
        "trace",
        "result",
        "trace/replay.c",
        (
            "        if (verdict == VNIC_REPLAY_DROP_ACTUAL) {\n            replay_tell(replay, event);\n",
            "        if (verdict == VNIC_REPLAY_DROP_ACTUAL) {\n",
        ),
        "who follows a replay is not told of what the file does not have",
    ),
    _bug(
        "trace",
        "uninitialised",
        "trace/record.c",
        ("    memset(block + BLOCK_PACKET_BYTES + len, 0, block_padded(len) - len);\n", ""),
        "the octets that fill up a block are anything",
    ),
]

_EXAMPLE = "vnic/examples/minimal.c"
_TRAFFIC = "csrc/include/vnic/vnic_plain_traffic.h"
_PLAIN_CARD = "csrc/include/vnic/vnic_plain_card.h"
_DRIVER = [
    Bug(
        "driver",
        "memory",
        Fault(
            "driver",
            _EXAMPLE,
            "    const uint32_t buffer = m->owner[m->rx_head];\n\n"
            "    if (rx_completion_type(w) != COMPLETION_TYPE_RX || rx_completion_index(w) != m->rx_head\n"
            "        || m->rx_head == m->rx_tail) {",
            "    const uint32_t buffer = m->owner[rx_completion_index(w)];\n\n"
            "    if (rx_completion_type(w) != COMPLETION_TYPE_RX || m->rx_head == m->rx_tail) {",
            "the index of a completion is trusted",
        ),
    ),
    Bug(
        "driver",
        "memory",
        Fault(
            "driver",
            _TRAFFIC,
            "    for (const struct vnic_net_buffer_list *list = chain; list; list = list->next) {\n"
            "        count++;\n    }\n    if (count) {\n"
            "        p->ops->send_net_buffer_lists_complete(p->ndis->adapter, chain, 0);\n",
            "    if (chain) {\n"
            "        p->ops->send_net_buffer_lists_complete(p->ndis->adapter, chain, 0);\n"
            "        for (const struct vnic_net_buffer_list *list = chain; list; list = list->next) {\n"
            "            count++;\n        }\n",
            "sends are counted when they are NDIS's again",
        ),
    ),
    Bug(
        "driver",
        "endless",
        Fault(
            "driver",
            _PLAIN_CARD,
            "    return (vnic_plain_read32(p, base + (REG_QP_CQ_STATUS - REG_QP_CQ_BASE))"
            " & QP_CQ_STATUS_RUNNING_MASK)\n"
            "           != 0;\n",
            "    while (!(vnic_plain_read32(p, base + (REG_QP_CQ_STATUS - REG_QP_CQ_BASE))\n"
            "             & QP_CQ_STATUS_RUNNING_MASK)) {\n    }\n    return true;\n",
            "a ring is waited for that does not run",
        ),
    ),
    Bug(
        "driver",
        "result",
        Fault(
            "driver",
            _TRAFFIC,
            "    if (len < VNIC_ETHERNET_HEADER_BYTES || len > work->plain->receive_bytes) {",
            "    if (len < VNIC_ETHERNET_HEADER_BYTES) {",
            "a frame is longer than its buffer, says the card",
        ),
    ),
    Bug(
        "driver",
        "result",
        Fault(
            "driver",
            _TRAFFIC,
            "    p->out += work->count;\n    vnic_plain_unlock(p);",
            "    vnic_plain_unlock(p);",
            "a pause does not wait for what protocols have",
        ),
    ),
]

BUGS = [*_CARD, *_TWINS, *_SEGMENT, *_IMAGE, *_CHIMNEY, *_COPY, *_SNAPSHOT, *_TRACE, *_DRIVER]
