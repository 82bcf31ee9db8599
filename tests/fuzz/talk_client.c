/* talk_client.c: what the client of an offload target does with a stack's connections, on behalf of a target that lies. */
#include <assert.h>
#include <string.h>

#include "kept.h"
#include "talk.h"
#include "tcp/offload_state.h"

enum { TICKS = 1000, DELIVERY = 6000 };

static_assert(sizeof(struct tcp_offload_state) <= sizeof(((struct talk_target *)0)->state), "it has room");

static struct tcp_offload_state *state_of(struct talk_target *target)
{
    return (struct tcp_offload_state *)(void *)target->state;
}

/* -- away ----------------------------------------------------------------------------------------------------- */

static void pieces_told(struct talk_host *h, vnic_socket socket)
{
    struct vnic_bytes piece[8];
    const int count = vnic_tcp_offload_send_pieces(h->stack, socket, 0, piece, 8);

    for (int i = 0; i < count; i++) {
        kept_bytes(piece[i].data, piece[i].len);
    }
    talk_told(h, "vnic_tcp_offload_send_pieces", count);
}

static void client_begins(struct talk *t, struct talk_host *h, unsigned at)
{
    static uint8_t buffered[1 << 18];
    struct talk_target *target = &h->target[at];
    const vnic_socket socket = h->socket[at];
    const int result = vnic_tcp_offload_begin(h->stack, socket, TICKS, state_of(target));

    if (result == VNIC_OK) {
        kept_bytes(state_of(target), sizeof(struct tcp_offload_state));
    }
    talk_told(h, "vnic_tcp_offload_begin", result);
    if (result != VNIC_OK) {
        return;
    }
    const int64_t len = vnic_tcp_offload_buffered(h->stack, socket, buffered, sizeof buffered);
    kept_bytes(buffered, len > 0 ? (size_t)len : 0);
    talk_told(h, "vnic_tcp_offload_buffered", len);
    pieces_told(h, socket);
    const bool is_offloaded = talk_may(t, 220);
    talk_told(h, "vnic_tcp_offload_end", vnic_tcp_offload_end(h->stack, socket, is_offloaded));
    target->is_there = is_offloaded;
    if (is_offloaded && len > 0) { /* what nobody read is the target's to give back first */
        talk_told(h, "vnic_tcp_offload_deliver",
                  vnic_tcp_offload_deliver(h->stack, socket, buffered, (uint64_t)len, 0));
    }
}

/* -- there ---------------------------------------------------------------------------------------------------- */

static void target_acknowledges(struct talk *t, struct talk_host *h, unsigned at)
{
    struct tcp_offload_delegated *d = &state_of(&h->target[at])->Delegated;
    int has_fin = 0;
    const int64_t queued = vnic_tcp_offload_queued(h->stack, h->socket[at], &has_fin);

    kept_word((uint64_t)has_fin);
    talk_told(h, "vnic_tcp_offload_queued", queued);
    if (queued > 0) {
        const uint32_t bytes = talk_may(t, 128) ? (uint32_t)queued : talk_below(t, (uint32_t)queued + 1);
        const int result = vnic_tcp_offload_acked(h->stack, h->socket[at], bytes);
        talk_told(h, "vnic_tcp_offload_acked", result);
        d->SndUna += result == VNIC_OK ? bytes : 0;
        d->SndNxt = (int32_t)(d->SndNxt - d->SndUna) < 0 ? d->SndUna : d->SndNxt;
        d->SndMax = (int32_t)(d->SndMax - d->SndUna) < 0 ? d->SndUna : d->SndMax;
    } else if (has_fin && talk_may(t, 128)) {
        talk_told(h, "vnic_tcp_offload_shut", vnic_tcp_offload_shut(h->stack, h->socket[at]));
    }
}

static void target_delivers(struct talk *t, struct talk_host *h, unsigned at)
{
    const uint32_t len = 1 + talk_below(t, DELIVERY), cookie = talk_may(t, 90) ? 0 : 1 + talk_below(t, 100);
    const uint8_t *data = talk_source + talk_below(t, TALK_SOURCE / 2);
    const int64_t taken = vnic_tcp_offload_deliver(h->stack, h->socket[at], data, len, cookie);

    talk_told(h, "vnic_tcp_offload_deliver", taken);
    state_of(&h->target[at])->Delegated.RcvNxt += taken > 0 ? (uint32_t)taken : 0;
}

static void target_fills(struct talk *t, struct talk_host *h, unsigned at)
{
    struct vnic_offload_post post = {0};
    const int result = vnic_tcp_offload_post(h->stack, h->socket[at], &post);

    kept_word(post.len);
    kept_word(post.done);
    talk_told(h, "vnic_tcp_offload_post", result);
    if (result == 1) {
        const uint32_t room = (uint32_t)(post.len - post.done), len = talk_may(t, 128) ? room : room / 2;
        memset((uint8_t *)post.data + post.done, 0x5A, len);
        const int done =
            vnic_tcp_offload_posted(h->stack, h->socket[at], len, len == room || talk_may(t, 128));
        talk_told(h, "vnic_tcp_offload_posted", done);
        state_of(&h->target[at])->Delegated.RcvNxt += done == VNIC_OK ? len : 0;
    }
}

static void target_ends(struct talk *t, struct talk_host *h, unsigned at)
{
    const uint32_t kind = talk_below(t, 8);
    struct tcp_offload_delegated *d = &state_of(&h->target[at])->Delegated;

    if (kind < 2) {
        const int result = vnic_tcp_offload_fin(h->stack, h->socket[at]);
        talk_told(h, "vnic_tcp_offload_fin", result);
        if (result == VNIC_OK && d->State == TcpConnectionEstablished) {
            d->State = TcpConnectionCloseWait;
            d->RcvNxt++;
        }
    } else if (kind == 2) {
        talk_told(h, "vnic_tcp_offload_aborted", vnic_tcp_offload_aborted(h->stack, h->socket[at]));
    } else if (kind == 3) {
        talk_told(h, "vnic_tcp_offload_shut", vnic_tcp_offload_shut(h->stack, h->socket[at]));
    }
}

/* Held segments go to the target, which may send them back. */
static void client_forwards(struct talk *t, struct talk_host *h, unsigned at)
{
    static uint8_t segment[70000];
    const int len = vnic_tcp_offload_forward(h->stack, h->socket[at], segment, sizeof segment);

    kept_bytes(segment, len > 0 ? (size_t)len : 0);
    talk_told(h, "vnic_tcp_offload_forward", len);
    if (len > 0 && talk_may(t, 80)) {
        talk_told(h, "vnic_tcp_offload_hold",
                  vnic_tcp_offload_hold(h->stack, h->socket[at], segment, (uint32_t)len));
    }
}

static void client_asks(struct talk *t, struct talk_host *h, unsigned at)
{
    const vnic_socket socket = h->socket[at];
    struct vnic_offload_route route;
    uint64_t cookies[8];
    int64_t room = 0;

    memset(&route, 0, sizeof route);
    const int routed = vnic_tcp_offload_route(h->stack, socket, &route);
    kept_bytes(&route, routed == 0 ? sizeof route : 0);
    talk_told(h, "vnic_tcp_offload_route", routed);
    if (routed == 0 && talk_may(t, 100)) {
        talk_told(h, "vnic_stack_offload_confirm",
                  vnic_stack_offload_confirm(h->stack, route.neighbour, talk_below(t, 60000)));
        const int known = vnic_stack_offload_query(h->stack, route.neighbour, talk_below(t, 60000), &route);
        kept_bytes(&route, known == 0 ? sizeof route : 0);
        talk_told(h, "vnic_stack_offload_query", known);
    }
    talk_told(h, "vnic_tcp_offload_where", vnic_tcp_offload_where(h->stack, socket));
    const int returned = vnic_tcp_offload_returns(h->stack, socket, cookies, 8);
    kept_bytes(cookies, returned > 0 ? (size_t)returned * sizeof cookies[0] : 0);
    talk_told(h, "vnic_tcp_offload_returns", returned);
    const int64_t unread = vnic_tcp_offload_unread(h->stack, socket, &room);
    kept_word((uint64_t)room);
    talk_told(h, "vnic_tcp_offload_unread", unread);
    if (talk_may(t, 60)) {
        talk_told(h, "vnic_tcp_offload_own", vnic_tcp_offload_own(h->stack, socket));
    }
}

static void client_updates(struct talk *t, struct talk_host *h, unsigned at)
{
    struct tcp_offload_state fresh;

    memset(&fresh, 0, sizeof fresh);
    const int result = vnic_tcp_offload_cached(h->stack, h->socket[at], TICKS, &fresh);
    kept_bytes(&fresh.Cached, sizeof fresh.Cached);
    talk_told(h, "vnic_tcp_offload_cached", result);
    (void)t;
}

/* -- back ----------------------------------------------------------------------------------------------------- */

static void client_uploads(struct talk *t, struct talk_host *h, unsigned at)
{
    struct talk_target *target = &h->target[at];
    struct tcp_offload_state *state = state_of(target);
    static const int results[] = {VNIC_OK, VNIC_STACK_ECONNRESET, VNIC_STACK_ETIMEDOUT,
                                  VNIC_STACK_ECONNABORTED};
    const uint32_t buffered = talk_may(t, 128) ? 0 : talk_below(t, 3000);
    int ended = 0;

    talk_told(h, "vnic_tcp_upload_begin", vnic_tcp_upload_begin(h->stack, h->socket[at]));
    if (talk_may(t, 30)) {
        state->Delegated.State = TcpConnectionClosed;
        ended = results[talk_below(t, 4)];
    } else {
        state->Delegated.RcvNxt += buffered;
    }
    client_forwards(t, h, at);
    const int result =
        vnic_tcp_upload_end(h->stack, h->socket[at], TICKS, state, talk_source, buffered, ended);
    talk_told(h, "vnic_tcp_upload_end", result);
    if (result != VNIC_OK) {
        state->Delegated.State = TcpConnectionClosed;
        talk_told(
            h, "vnic_tcp_upload_end",
            vnic_tcp_upload_end(h->stack, h->socket[at], TICKS, state, NULL, 0, VNIC_STACK_ECONNABORTED));
    }
    target->is_there = false;
}

static void news_take(struct talk_host *h)
{
    struct vnic_offload_news news[4];
    const int count = vnic_stack_offload_news(h->stack, news, 4);

    for (int i = 0; i < count; i++) {
        kept_word((uint64_t)news[i].socket);
        kept_word(news[i].events);
    }
    talk_told(h, "vnic_stack_offload_news", count);
}

void talk_client(struct talk *t, struct talk_host *h)
{
    static void (*const acts[])(struct talk *, struct talk_host *, unsigned) = {
        target_acknowledges, target_acknowledges, target_delivers, target_delivers, target_delivers,
        target_fills,        target_fills,        target_ends,     client_forwards, client_asks,
        client_asks,         client_updates,      client_uploads};
    const unsigned at = talk_below(t, TALK_SOCKETS);

    news_take(h);
    if (h->socket[at] == 0) {
        return;
    }
    if (!h->target[at].is_there) {
        client_begins(t, h, at);
    } else {
        acts[talk_below(t, sizeof acts / sizeof acts[0])](t, h, at);
    }
}
