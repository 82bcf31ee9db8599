/* close.c: the user's ways to end a connection, and the RST of ports and connections that are closed. */
#include "tcp/emit.h"
#include "tcp/ending.h"
#include "tcp/output.h"
#include "tcp/reassembly.h"
#include "wire/seq.h"

/* RFC 9293 3.10.4: FIN follows all data; the state tells at once that it will. */
static void close_sending(struct tcp_connection *c)
{
    c->flags |= TCP_FIN_QUEUED;
    if (c->state == TCP_STATE_ESTABLISHED) {
        c->state = TCP_STATE_FIN_WAIT_1;
    } else if (c->state == TCP_STATE_CLOSE_WAIT) {
        c->state = TCP_STATE_LAST_ACK;
    }
}

static void close_finish(struct tcp_engine *e, struct tcp_connection *c, struct tcp_result *result)
{
    if (output_is_due(e, c)) {
        result->events |= TCP_EVENT_OUTPUT;
    }
}

void tcp_shutdown(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result)
{
    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    if (c->state == TCP_STATE_CLOSED) {
        return;
    }
    if (!tcp_has(c, TCP_FIN_QUEUED)) {
        close_sending(c);
    }
    close_finish(engine, c, result);
}

/* Data is here, or on its way into order, that nobody will read. */
static bool close_loses_data(const struct tcp_engine *e, const struct tcp_connection *c)
{
    return tcp_is_synchronized(c) && c->state != TCP_STATE_TIME_WAIT
           && (c->rcv_unread != 0 || !reassembly_is_empty(e, c));
}

bool tcp_close(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result,
               struct tcp_segment *rst)
{
    engine_at(engine, now_ns);
    *result = (struct tcp_result){0};
    if (c->state == TCP_STATE_CLOSED) {
        return false;
    }
    if (c->state == TCP_STATE_SYN_SENT) {
        ending_close(engine, c, result, TCP_REASON_CLOSED);
        return false;
    }
    if (close_loses_data(engine, c)) {
        emit_reset(engine, c, rst);
        engine->statistics.resets_out++;
        engine->statistics.aborted++;
        ending_close(engine, c, result, TCP_REASON_ABORTED);
        return true;
    }
    c->flags |= TCP_CLOSED_BY_USER;
    if (!tcp_has(c, TCP_FIN_QUEUED)) {
        close_sending(c);
    }
    if (c->state == TCP_STATE_FIN_WAIT_2) {
        ending_enter_fin_wait_2(engine, c);
    }
    close_finish(engine, c, result);
    return false;
}

/* RFC 9293 3.10.5: the states in which the peer would not know otherwise. */
static bool abort_needs_reset(uint8_t state)
{
    return state >= TCP_STATE_SYN_RECEIVED && state <= TCP_STATE_CLOSE_WAIT;
}

bool tcp_abort(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_segment *rst)
{
    const bool is_needed = abort_needs_reset(c->state);
    struct tcp_result result = {0};

    engine_at(engine, now_ns);
    if (c->state == TCP_STATE_CLOSED) {
        return false;
    }
    if (is_needed) {
        emit_reset(engine, c, rst);
        engine->statistics.resets_out++;
    }
    engine->statistics.aborted++;
    ending_close(engine, c, &result, TCP_REASON_ABORTED);
    return is_needed;
}

/* RFC 7323 3.2: with a timestamp if the other has one; the TSval is one that the peer has seen. */
bool tcp_reset_for(const struct tcp_segment *segment, struct tcp_segment *rst)
{
    const bool has_ack = (segment->control & TCP_ACK) != 0;
    const uint32_t syn = (segment->control & TCP_SYN) != 0, fin = (segment->control & TCP_FIN) != 0;

    if ((segment->control & TCP_RST) != 0) {
        return false;
    }
    *rst = (struct tcp_segment){.control = TCP_RST};
    if (has_ack) {
        rst->seq = segment->ack;
    } else {
        rst->ack = segment->seq + segment->len + syn + fin;
        rst->control |= TCP_ACK;
    }
    if ((segment->options & TCP_OPT_TIMESTAMP) != 0) {
        rst->options = TCP_OPT_TIMESTAMP;
        rst->ts_val = has_ack ? segment->ts_ecr : 0;
        rst->ts_ecr = has_ack ? 0 : segment->ts_val;
    }
    return true;
}

/* RFC 6191 2: timestamps decide, or else the sequence number. */
bool tcp_may_reopen(const struct tcp_connection *c, const struct tcp_segment *syn)
{
    const unsigned control = syn->control & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
    const bool has_timestamp = (syn->options & TCP_OPT_TIMESTAMP) != 0;
    const bool is_newer = seq_gt(syn->seq, c->rcv_nxt);
    int32_t later;

    if (c->state != TCP_STATE_TIME_WAIT || control != TCP_SYN) {
        return false;
    }
    if (!has_timestamp) {
        return is_newer;
    }
    later = (int32_t)(syn->ts_val - c->ts_recent);
    return !tcp_has(c, TCP_HAS_TIMESTAMPS) || later > 0 || (later == 0 && is_newer);
}
