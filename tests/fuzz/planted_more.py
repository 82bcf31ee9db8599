"""Five more bugs for each target that were thought of when these were done, and tried as they were."""

from __future__ import annotations

from tests.fuzz.planted_bugs import Bug
from tests.mutants.fault import Fault


def _bug(target: str, kind: str, file: str, change: tuple[str, str], broken: str) -> Bug:
    return Bug(target, kind, Fault(target, f"csrc/{file}", *change, broken))


_SEGMENT = [
    _bug(
        "segment",
        "result",
        "tcp/text.c",
        ("a->result->skip = seq - a->text;", "a->result->skip = 0;"),
        "of a segment that is in part old, the old part is to be stored in the new one's place",
    ),
    _bug(
        "segment",
        "result",
        "tcp/window.c",
        ("    if (window < offered) {\n", "    if (window < offered && room > offered) {\n"),
        "the right edge moves back when nobody reads",
    ),
    _bug(
        "segment",
        "result",
        "tcp/text.c",
        ("        tcp_drop_ranges(a->e, a->c);\n        a->result", "        a->result"),
        "data behind the FIN is kept",
    ),
    _bug(
        "segment",
        "result",
        "tcp/timer.c",
        ("    if (rest != UINT64_MAX) {\n        wheel_file(&e->wheel, index_of(e, c), rest);\n    }\n", ""),
        "when one timer expires the others are forgotten",
    ),
    _bug(
        "segment",
        "result",
        "tcp/text.c",
        ("        timer_set_delack(e, c, p->delack_us);\n", "        (void)timer_set_delack;\n"),
        "nothing ends the wait of an ACK",
    ),
]

_IMAGE = [
    _bug(
        "image",
        "result",
        "tcp/image_load.c",
        ("        archive_refuse_if(a, node->left != at || node->right - at - 1 >= c->snd_nxt - at);\n", ""),
        "runs may leave gaps, or lie beyond what was sent",
    ),
    _bug(
        "image",
        "result",
        "tcp/image_load.c",
        ("archive_refuse_if(a, !is_range_sound(node, c->rcv_nxt, beyond));", ""),
        "ranges may come in any order",
    ),
    _bug(
        "image",
        "result",
        "tcp/image_load.c",
        (
            "if (c->armed != 0 && !tcp_has(c, TCP_FROZEN)) {",
            "if ((c->armed & TCP_TIMER_XMIT) != 0 && !tcp_has(c, TCP_FROZEN)) {",
        ),
        "a connection that only waits to acknowledge is loaded without its timer",
    ),
    _bug(
        "image",
        "result",
        "tcp/image_walk.c",
        ("    image_turn_one(&c->ts_recent_ms, ms);\n", ""),
        "the age of a timestamp is saved as a time of the engine it came from",
    ),
    _bug(
        "image",
        "undefined",
        "tcp/image_load.c",
        ("(c->cwnd == 0 || c->snd_mss == 0)", "c->cwnd == 0"),
        "a connection with packets of no size is loaded",
    ),
]

_CHIMNEY = [
    _bug(
        "chimney",
        "result",
        "nic/chimney_place.c",
        ("w->addr + offset, payload + done", "w->addr, payload + done"),
        "data goes to the start of a receive that has some already",
    ),
    _bug(
        "chimney",
        "endless",
        "nic/chimney_push.c",
        (
            "    push_stop(m, index);\n    chimney_connection(m, index)->push_ns",
            "    chimney_connection(m, index)->push_ns",
        ),
        "a push timer that runs is started a second time",
    ),
    _bug(
        "chimney",
        "result",
        "nic/chimney_snapshot.c",
        ("    ARCHIVE(a, CHM_TAG_LOOK, m->look_ns, UINT64_MAX);\n", ""),
        "when idle connections were last looked for is not saved",
    ),
    _bug(
        "chimney",
        "result",
        "nic/chimney_place.c",
        ("    held_leave(m, index);\n", ""),
        "a connection that is gone still counts as one that holds data out of order",
    ),
    _bug(
        "chimney",
        "memory",
        "nic/chimney_pool.c",
        ("bits_min32(p->ring.count - index, CHM_POOL_CACHED - slot)", "p->ring.count - index"),
        "more buffers of the pool are fetched than there is room for",
    ),
]

_COPY = [
    _bug(
        "copy",
        "result",
        "copy/burst.c",
        ("return (uintptr_t)e->to - (uintptr_t)e->from >= e->len;", "return e->to != e->from;"),
        "a copy onto its own source is taken in one go",
    ),
    _bug(
        "copy",
        "result",
        "copy/burst.c",
        (
            "is_sound &= to >= end || to + t->errand[i].len <= t->low;",
            "is_sound &= to >= end || to <= t->low;",
        ),
        "a descriptor that was read early may be copied onto",
    ),
    _bug(
        "copy",
        "result",
        "copy/descriptor.h",
        ("if (is_broken && at >= first) {", "if (is_broken && at > first) {"),
        "a page break comes one byte too late",
    ),
    _bug(
        "copy",
        "result",
        "copy/interrupt.c",
        (
            "    copy->state.channel[n].is_due = false;\n    interrupt_enable(copy, n);",
            "    interrupt_enable(copy, n);",
        ),
        "an interrupt that was due before a RESET comes after it",
    ),
    _bug(
        "copy",
        "result",
        "copy/step.c",
        (
            "return channel_left(copy, n) != 0 ? CHAN_STATUS_ACTIVE",
            "return channel_left(copy, n) != 1 ? CHAN_STATUS_ACTIVE",
        ),
        "a completion says that the channel is done when it is not, and that it is not when it is",
    ),
]

_SNAPSHOT = [
    _bug(
        "snapshot",
        "result",
        "nic/chimney_snapshot.c",
        ("(!push_is_sorted(m) || !starving_are_listed(m))", "!starving_are_listed(m)"),
        "push timers of a snapshot may be in any order",
    ),
    _bug(
        "snapshot",
        "result",
        "nic/pair_snapshot.c",
        ("    archive_refuse_if(a, tx->ends != ends);\n", ""),
        "a transmit ring may claim more whole frames than it has",
    ),
    _bug(
        "snapshot",
        "memory",
        "nic/pair_snapshot.c",
        (
            "ARCHIVE(a, TAG_RX_CACHED, rx->cached, RX_CACHE);",
            "ARCHIVE(a, TAG_RX_CACHED, rx->cached, UINT32_MAX);",
        ),
        "a receive ring may have read more descriptors than it can",
    ),
    _bug(
        "snapshot",
        "endless",
        "nic/chimney_snapshot.c",
        ("!chimney_has(c, CHM_LIVE) || chimney_has(c, list->flag)", "!chimney_has(c, CHM_LIVE)"),
        "a connection may be in a list twice",
    ),
    _bug(
        "snapshot",
        "undefined",
        "nic/chimney_snapshot.c",
        ("(!m->is_enabled || rate == 10 || rate == 100 || rate == 1000)", "rate <= 1000"),
        "a chimney may count no ticks in a second",
    ),
]

_TRACE = [
    _bug(
        "trace",
        "result",
        "trace/reader.c",
        ("        r->joined_len = 0;\n", ""),
        "an event in parts begins with those of the one before",
    ),
    _bug(
        "trace",
        "memory",
        "trace/reader.c",
        ("head.captured > total - BLOCK_PACKET_BYTES - 4\n        || ", ""),
        "a packet may have captured almost all there is",
    ),
    _bug(
        "trace",
        "memory",
        "trace/replay.c",
        ("if (left == 0 || left < len) {", "if (left == 0) {"),
        "a DMA read is answered with more than the file has of it",
    ),
    _bug(
        "trace",
        "result",
        "trace/record.c",
        ("le32_store(at + 5, hash);", "le32_store(at + 4, hash);"),
        "the hash of a frame is recorded in the place of its kind",
    ),
    _bug(
        "trace",
        "memory",
        "trace/target.c",
        ("e->len < VNIC_FAULT_BYTES_1 || e->len > sizeof *fault", "e->len < VNIC_FAULT_BYTES_1"),
        "a fault of a trace may be longer than a fault",
    ),
]

MORE = [*_SEGMENT, *_IMAGE, *_CHIMNEY, *_COPY, *_SNAPSHOT, *_TRACE]
