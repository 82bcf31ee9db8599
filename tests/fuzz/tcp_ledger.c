/* tcp_ledger.c: sets of stored bytes by sequence number, with nothing of the engine's in them. */
#include "tcp_ledger.h"

#include <string.h>

#include "wire/seq.h"

void ledger_open(struct ledger *l)
{
    memset(l, 0, sizeof *l);
    l->is_kept = true;
}

/* ---- sets ---- */

static void range_remove(struct ledger *l, uint32_t at, uint32_t count)
{
    memmove(&l->range[at], &l->range[at + count], (l->count - at - count) * sizeof l->range[0]);
    l->count -= count;
}

/* Joins what it touches. */
static void range_add(struct ledger *l, uint32_t left, uint32_t right)
{
    uint32_t at = 0, last;

    while (at < l->count && seq_lt(l->range[at].right, left)) {
        at++;
    }
    for (last = at; last < l->count && seq_le(l->range[last].left, right); last++) {
        left = seq_min(left, l->range[last].left);
        right = seq_gt(l->range[last].right, right) ? l->range[last].right : right;
    }
    range_remove(l, at, last - at);
    if (l->count == LEDGER_RANGES) {
        l->is_kept = false;
        return;
    }
    memmove(&l->range[at + 1], &l->range[at], (l->count - at) * sizeof l->range[0]);
    l->range[at] = (struct tcp_block){.left = left, .right = right};
    l->count++;
}

static bool range_holds(const struct ledger *l, uint32_t left, uint32_t right)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (seq_le(l->range[i].left, left) && seq_le(right, l->range[i].right)) {
            return true;
        }
    }
    return left == right;
}

/* What is delivered needs no books. */
static void range_forget(struct ledger *l, uint32_t below)
{
    while (l->count != 0 && seq_le(l->range[0].right, below)) {
        range_remove(l, 0, 1);
    }
}

void ledger_drop(struct ledger *l, const struct tcp_connection *c)
{
    while (l->count != 0 && seq_gt(l->range[l->count - 1].left, c->rcv_nxt)) {
        l->count--;
    }
    if (l->count != 0) {
        l->range[l->count - 1].right = seq_min(l->range[l->count - 1].right, c->rcv_nxt);
    }
}

/* ---- received ---- */

const char *ledger_input(struct ledger *l, const struct tcp_connection *before,
                         const struct tcp_connection *c, const struct tcp_result *result)
{
    const bool has_fin = tcp_has(c, TCP_FIN_RECEIVED) && !tcp_has(before, TCP_FIN_RECEIVED);

    if (before->state == TCP_STATE_SYN_SENT || !l->is_kept) {
        return NULL; /* numbers of the peer start here */
    }
    if ((result->events & TCP_EVENT_DATA) != 0) {
        range_add(l, result->seq, result->seq + result->len);
    }
    if (l->is_kept && !range_holds(l, before->rcv_nxt, c->rcv_nxt - has_fin)) {
        return "what nobody stored is acknowledged";
    }
    range_forget(l, c->rcv_nxt);
    if ((result->events & TCP_EVENT_DROP_RANGES) != 0) {
        ledger_drop(l, c);
    }
    return NULL;
}

static const char *check_ranges(const struct ledger *l, const tcp_engine *engine,
                                const struct tcp_connection *c)
{
    struct tcp_block held, next;

    for (uint32_t i = 0; tcp_range_at(engine, c, i, &held); i++) {
        const bool is_last = !tcp_range_at(engine, c, i + 1, &next);
        const uint32_t right = held.right - (is_last && tcp_has(c, TCP_FIN_SEEN));
        if (!range_holds(l, held.left, right)) {
            return "a range is held that nobody stored";
        }
    }
    return NULL;
}

const char *ledger_check(struct ledger *l, const tcp_engine *engine, const struct tcp_connection *c)
{
    const char *wrong = NULL;

    if (!l->is_kept || !tcp_is_synchronized(c)) {
        return NULL;
    }
    if (l->has_edge && (seq_lt(c->snd_una, l->una) || seq_lt(c->rcv_adv, l->edge))) {
        wrong = "an edge has moved back";
    }
    l->has_edge = true;
    l->una = c->snd_una;
    l->edge = c->rcv_adv;
    return wrong != NULL ? wrong : check_ranges(l, engine, c);
}

/* ---- sent ---- */

const char *ledger_output(const struct tcp_connection *before, const struct tcp_segment *out)
{
    const uint32_t end = out->seq + out->len;

    if ((out->control & TCP_ACK) != 0 && before->state != TCP_STATE_SYN_SENT && out->ack != before->rcv_nxt) {
        return "another number is acknowledged than the next";
    }
    if (tcp_is_synchronized(before) && out->len > 1 && seq_gt(end, before->snd_nxt)
        && end - before->snd_una > before->snd_wnd) {
        return "new data is sent beyond the window";
    }
    return NULL;
}
