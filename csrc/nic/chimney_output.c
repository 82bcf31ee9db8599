/* chimney_output.c: timers of connections, and whose segment leaves next. */
#include "base/bits.h"
#include "nic/chimney_frame.h"
#include "nic/emit.h"
#include "nic/tags.h"
#include "pci/disturb.h"
#include "wire/seq.h"

#define TRAIN_PACKETS 32u /* of one connection in its turn */
#define CACHE_LINE 64u

/* ---- who has something ---- */

/* Connections that neither send nor have timers any more: what they hold waits for TERMINATE. */
static bool output_is_silent(const struct chm_connection *c)
{
    return chimney_has(c, CHM_INVALID | CHM_ENDING | CHM_ABORTED | CHM_STOPPED) || !chimney_has(c, CHM_LIVE);
}

static void output_append(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    c->output_next = 0;
    c->output_prev = m->output_last;
    if (m->output_last != 0) {
        chimney_connection(m, m->output_last)->output_next = index;
    } else {
        m->output_first = index;
    }
    m->output_last = index;
}

static void output_unlink(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (c->output_prev != 0) {
        chimney_connection(m, c->output_prev)->output_next = c->output_next;
    } else {
        m->output_first = c->output_next;
    }
    if (c->output_next != 0) {
        chimney_connection(m, c->output_next)->output_prev = c->output_prev;
    } else {
        m->output_last = c->output_prev;
    }
    c->output_next = 0;
    c->output_prev = 0;
}

void chimney_schedule(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, CHM_IN_OUTPUT) || output_is_silent(c)) {
        return;
    }
    c->flags |= CHM_IN_OUTPUT;
    output_append(m, index);
}

static void output_remove(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, CHM_IN_OUTPUT)) {
        c->flags &= (uint16_t)~CHM_IN_OUTPUT;
        output_unlink(m, index);
    }
}

void chimney_output_forget(struct chimney *m, uint32_t index)
{
    output_remove(m, index);
    if (m->train.index == index) {
        m->train = (struct chm_train){0};
    }
}

/* ---- what may go on now ---- */

/* While the link is down nothing is taken from the engine: nothing is lost by it. */
static bool output_is_open(const struct vnic *card)
{
    return card->pci.is_master && card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK)
           && (card->state.link_mbps != 0 || card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK))
           && emit_has_room(card, card->config.max_frame + VLAN_TAG_BYTES);
}

/* What the engine handed out before a TERMINATE or RETRIEVE still leaves: for the engine it was sent. */
static bool output_may_cut(const struct chm_connection *c)
{
    return chimney_has(c, CHM_LIVE) && !chimney_has(c, CHM_INVALID | CHM_ABORTED);
}

bool chimney_output_is_cutting(const struct vnic *card, uint32_t index)
{
    const struct chimney *m = card->chimney;
    return m->train.index == index && output_may_cut(chimney_connection(m, index)) && output_is_open(card);
}

static bool output_has_expired(const struct vnic *card)
{
    const uint64_t deadline = tcp_deadline(card->chimney->engine);
    return deadline != UINT64_MAX && deadline <= card->pci.now_ns;
}

static bool output_has_timer(const struct vnic *card)
{
    return output_has_expired(card) || chimney_push_is_due(card) || chimney_look_is_due(card);
}

static bool output_can_send(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return (m->train.index != 0 || m->output_first != 0) && output_is_open(card);
}

bool chimney_output_is_runnable(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    return m != NULL && m->is_enabled && pci_is_d0(&card->pci)
           && (output_can_send(card) || output_has_timer(card));
}

uint64_t chimney_output_next_bytes(const struct vnic *card)
{
    return card->config.max_frame;
}

/* ---- timers ---- */

/* [FLT-11] A fault lets the timer go by, or come later; a lost one is started by what happens to the connection next. */
static bool output_is_disturbed(struct vnic *card, uint32_t index, struct tcp_connection *t)
{
    const struct fault_occurrence what = {
        .site = VNIC_FAULT_TIMER, .index = VNIC_FAULT_TIMER_TCP, .first = index, .last = index};
    int id = 0;
    const struct vnic_fault *fault = pci_fault(&card->pci, &what, &id);
    if (fault == NULL) {
        return false;
    }
    if (fault->action == VNIC_FAULT_DELAY) {
        tcp_postpone(card->chimney->engine, t, card->pci.now_ns, fault->argument);
    } else {
        tcp_skip_timeout(card->chimney->engine, t, card->pci.now_ns);
    }
    return true;
}

/* A timer of a silent connection is over: in its state it expires at once where it goes on. */
static void output_expire(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct tcp_connection *t = tcp_expired(m->engine, card->pci.now_ns);
    if (t == NULL) {
        return;
    }
    uint32_t index = tcp_index(m->engine, t);
    struct tcp_result result;
    if (!output_is_silent(chimney_connection(m, index)) && !output_is_disturbed(card, index, t)) {
        tcp_timeout(m->engine, t, card->pci.now_ns, &result);
        chimney_apply(card, index, &result, NULL);
    }
}

/* ---- segments ---- */

/* Payload that may be asked for at once: frames of a train are alike, so nothing that only one may carry. */
static uint32_t output_limit(const struct tcp_connection *t)
{
    return t->ranges != 0 ? 0 : TRAIN_PACKETS * (uint32_t)t->snd_mss;
}

/* After this segment nothing waits, for certain. */
static bool output_is_last(const struct tcp_connection *t)
{
    uint32_t fin = tcp_has(t, TCP_FIN_QUEUED) ? 1 : 0;
    return t->phase == TCP_PHASE_OPEN && t->snd_nxt == t->snd_end + fin
           && !tcp_has(t, TCP_ACK_NOW | TCP_FIN_SENT);
}

static bool output_is_again(const struct tcp_segment *s, uint32_t snd_nxt)
{
    return seq_lt(s->seq, snd_nxt) && (s->len != 0 || (s->control & TCP_FIN) != 0);
}

/* The connection whose turn is next. */
static void output_prefetch(const struct chimney *m, uint32_t index)
{
    const uint8_t *tcp = (const uint8_t *)&m->tcp[index];
    __builtin_prefetch(&m->connections[index], 1);
    for (unsigned at = 0; at < sizeof *m->tcp; at += CACHE_LINE) {
        __builtin_prefetch(tcp + at, 1);
    }
}

/* The next segment of the connection at the front; connections take turns. */
static void output_pull(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t index = m->output_first;
    struct tcp_connection *t = &m->tcp[index];
    uint32_t snd_nxt = t->snd_nxt;
    output_prefetch(m, chimney_connection(m, index)->output_next);
    tcp_prefetch_timer(m->engine, index);
    bool has_one = !output_is_silent(chimney_connection(m, index))
                   && tcp_output(m->engine, t, card->pci.now_ns, output_limit(t), &m->train.segment);
    if (!has_one) {
        output_remove(m, index);
        return;
    }
    m->train.index = index;
    m->train.is_again = output_is_again(&m->train.segment, snd_nxt);
    if (output_is_last(t)) {
        output_remove(m, index);
    } else if (m->output_last != index) {
        output_unlink(m, index);
        output_append(m, index);
    }
    chimney_reach_check(card, index);
}

/* A peer may acknowledge what it cannot have seen: those bytes are gone. False: all of them. */
static bool output_skip_acknowledged(struct tcp_segment *left, const struct tcp_connection *t)
{
    uint32_t gone = t->snd_una - left->seq;
    if (seq_le(t->snd_una, left->seq)) {
        return true;
    }
    if (gone >= left->len) {
        return left->len == 0;
    }
    left->seq += gone;
    left->len -= gone;
    return true;
}

static void output_end_train(struct chimney *m)
{
    m->train = (struct chm_train){0};
}

/* The next packets of the train: each is a step. */
static uint32_t output_cut(struct vnic *card, uint32_t max_steps, uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    struct tcp_segment *left = &m->train.segment;
    uint32_t index = m->train.index, steps = 0;
    struct frame_run run;
    bool is_sent = true;
    frame_begin(card, &run, index, left, m->train.is_again);
    max_steps = left->sacks != 0 ? 1 : max_steps;
    left->sacks = 0; /* said by the first packet */
    do {
        uint32_t len = bits_min32(run.len, left->len);
        is_sent = frame_send(card, &run, left->seq, len, len == left->len);
        left->seq += len;
        left->len -= len;
        *bytes += len;
        steps++;
    } while (is_sent && left->len != 0 && steps < max_steps && output_is_open(card));
    if (!is_sent || left->len == 0) {
        output_end_train(m);
    }
    return steps;
}

/* One segment, or packets of one. */
static uint32_t output_send(struct vnic *card, uint32_t max_steps, uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    if (m->train.index == 0) {
        output_pull(card);
        if (m->train.index == 0) {
            return 1;
        }
    }
    uint32_t index = m->train.index;
    if (!output_may_cut(chimney_connection(m, index))
        || !output_skip_acknowledged(&m->train.segment, &m->tcp[index])) {
        output_end_train(m);
        return 1;
    }
    return output_cut(card, max_steps, bytes);
}

uint64_t chimney_output_step(struct vnic *card)
{
    uint64_t bytes = 0;
    if (output_has_expired(card)) {
        output_expire(card);
    } else if (chimney_push_is_due(card)) {
        chimney_push_expire(card);
    } else if (chimney_look_is_due(card)) {
        chimney_look(card);
    } else {
        output_send(card, 1, &bytes);
    }
    return bytes;
}

uint64_t chimney_output_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    uint64_t bound = chimney_output_next_bytes(card), steps = 0;
    *bytes = 0;
    while (steps < max_steps && *bytes + bound <= max_bytes && output_can_send(card)
           && !output_has_timer(card)) {
        uint64_t most = bits_min64(max_steps - steps, (max_bytes - *bytes - bound) / bound + 1);
        steps += output_send(card, (uint32_t)bits_min64(most, TRAIN_PACKETS), bytes);
    }
    return steps;
}

void chimney_output_segment(struct vnic *card, uint32_t index, const struct tcp_segment *segment)
{
    const struct tcp_connection *t = &card->chimney->tcp[index];
    bool is_again = segment->len != 0 && seq_lt(segment->seq + segment->len, t->snd_nxt);
    uint32_t sent = 0, len;
    struct frame_run run;
    frame_begin(card, &run, index, segment, is_again);
    do {
        len = bits_min32(run.len, segment->len - sent);
        sent += len;
    } while (frame_send(card, &run, segment->seq + sent - len, len, sent == segment->len)
             && sent < segment->len);
}

/* ---- snapshot ---- */

static bool output_train_is_sound(const struct chimney *m)
{
    const struct tcp_segment *left = &m->train.segment;
    const struct tcp_connection *t = &m->tcp[m->train.index];
    return m->train.index != 0
               ? chimney_has(chimney_connection(m, m->train.index), CHM_LIVE) && left->mss != 0
                     && left->len != 0 && seq_le(left->seq + left->len, t->snd_nxt)
                     && left->len <= t->snd_end - left->seq
               : left->len == 0;
}

void chimney_output_archive(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    struct tcp_segment *left = &m->train.segment;
    ARCHIVE(a, TAG_TRAIN_INDEX, m->train.index, card->config.connections);
    ARCHIVE(a, TAG_TRAIN_AGAIN, m->train.is_again, 1);
    ARCHIVE(a, TAG_TRAIN_SEQ, left->seq, UINT32_MAX);
    ARCHIVE(a, TAG_TRAIN_LEN, left->len, CHM_WINDOW_MAX);
    ARCHIVE(a, TAG_TRAIN_ACK, left->ack, UINT32_MAX);
    ARCHIVE(a, TAG_TRAIN_WND, left->wnd, UINT16_MAX);
    ARCHIVE(a, TAG_TRAIN_CONTROL, left->control, TCP_ACK | TCP_PSH | TCP_FIN);
    ARCHIVE(a, TAG_TRAIN_OPTIONS, left->options, TCP_OPT_TIMESTAMP);
    ARCHIVE(a, TAG_TRAIN_MSS, left->mss, UINT16_MAX);
    ARCHIVE(a, TAG_TRAIN_TS_VAL, left->ts_val, UINT32_MAX);
    ARCHIVE(a, TAG_TRAIN_TS_ECR, left->ts_ecr, UINT32_MAX);
    archive_refuse_if(a, !output_train_is_sound(m));
}
