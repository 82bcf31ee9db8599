/* chimney_apply.c: what the result of an engine's call means to the chimney: data, acknowledgments, ends. */
#include "nic/chimney_apply.h"

#define APPLY_RARE                                                                                           \
    (TCP_EVENT_DROP_RANGES | TCP_EVENT_FIN | TCP_EVENT_R1 | TCP_EVENT_UPLOAD | TCP_EVENT_CLOSED)

/* ---- data ---- */

/* There was room when the segment was let in; should there be none after all, nothing out of order is kept. */
static void apply_store(struct vnic *card, uint32_t index, const struct tcp_result *result,
                        const uint8_t *payload)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (blocks_write(&m->blocks, &c->blocks, result->seq, payload + result->skip, result->len)
        < result->len) {
        m->stat[CHM_STAT(RANGES_DROPPED)]++;
        tcp_drop_ranges(m->engine, &m->tcp[index]);
        held_drop(card, index);
    }
    chimney_check_pressure(card);
}

/* [CHM-44] All up to now ends with a push. */
static void apply_push(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    c->push_seq = c->deliver_seq + chimney_waiting(m, index);
    c->flags |= CHM_PUSHED;
}

static void apply_data(struct vnic *card, uint32_t index, const struct tcp_result *result,
                       const struct apply_payload *payload)
{
    struct chimney *m = card->chimney;
    bool is_early = payload && payload->early != PLACE_EARLY_NOT;
    if ((result->events & TCP_EVENT_DATA) && payload && !is_early) {
        apply_store(card, index, result, payload->bytes);
    }
    if (result->events & TCP_EVENT_PUSH) {
        apply_push(card, index);
    }
    if ((result->events & TCP_EVENT_READABLE) && is_early) {
        place_commit(card, index, payload->early, payload->bytes, result->delivered);
    } else if (result->events & TCP_EVENT_READABLE) {
        chimney_report(card, index, CHM_PENDING_RECEIVE);
    } else if ((result->events & TCP_EVENT_PUSH) && chimney_waiting(m, index) == 0) {
        place_push(card, index);
    }
    held_follow(m, index);
}

/* ---- ends ---- */

static enum chm_reason apply_reason(uint32_t reason)
{
    switch (reason) {
    case TCP_REASON_UPLOAD_URGENT:
        return CHM_REASON_RECEIVED_URGENT_DATA;
    case TCP_REASON_UPLOAD_TIMEOUT:
        return CHM_REASON_TIMEOUT_EXPIRATION;
    default:
        return CHM_REASON_UPLOAD_REQUESTED;
    }
}

/* [CHM-47] */
static void apply_reset(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    chimney_connection(m, index)->flags |= CHM_ABORTED;
    push_stop(m, index);
    chimney_report(card, index, CHM_PENDING_ABORT);
}

/* [CHM-41] In TIME-WAIT the connection goes on acknowledging FINs until the host has taken it. */
static void apply_end(struct vnic *card, uint32_t index, const struct tcp_result *result)
{
    if (result->reason == TCP_REASON_RESET) {
        apply_reset(card, index);
    } else if (result->reason == TCP_REASON_CLOSED || result->reason == TCP_REASON_UPLOAD_TIME_WAIT) {
        report_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);
    } else {
        chimney_retrieve(card, index, apply_reason(result->reason));
    }
}

static void apply_rare(struct vnic *card, uint32_t index, const struct tcp_result *result)
{
    struct chimney *m = card->chimney;
    if (result->events & TCP_EVENT_DROP_RANGES) {
        held_drop(card, index);
    }
    if (result->events & TCP_EVENT_FIN) {
        chimney_report(card, index, CHM_PENDING_FIN);
    }
    if (result->events & TCP_EVENT_R1) {
        chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);
    }
    if (result->events & (TCP_EVENT_UPLOAD | TCP_EVENT_CLOSED)) {
        apply_end(card, index, result);
        tcp_drop_ranges(m->engine, &m->tcp[index]);
        held_drop(card, index);
    }
}

/* ---- all of it ---- */

void apply_result(struct vnic *card, uint32_t index, const struct tcp_result *result,
                  const struct apply_payload *payload)
{
    const uint32_t events = result->events;
    if (events & (TCP_EVENT_ACKED | TCP_EVENT_CONFIRMED)) {
        chimney_send_acked(card, index, result->acked);
    }
    if (events & (TCP_EVENT_DATA | TCP_EVENT_READABLE | TCP_EVENT_PUSH)) {
        apply_data(card, index, result, payload);
    }
    if (events & TCP_EVENT_CONFIRMED) {
        chimney_reach_confirm(card, index);
    }
    if (events & APPLY_RARE) {
        apply_rare(card, index, result);
    }
    if (events & TCP_EVENT_OUTPUT) {
        chimney_schedule(card, index);
    }
    chimney_count_state(card, index, result->reason);
}

void chimney_apply(struct vnic *card, uint32_t index, const struct tcp_result *result, const uint8_t *payload)
{
    const struct apply_payload bytes = {payload, PLACE_EARLY_NOT};
    apply_result(card, index, result, payload ? &bytes : NULL);
}
