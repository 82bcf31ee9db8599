/* Listeners: opening and closing them, and what a segment for one brings about. */
#include "stack/listen.h"

#include "base/bits.h"
#include "stack/answer.h"
#include "stack/cookie.h"
#include "stack/event.h"
#include "stack/handle.h"
#include "stack/hop.h"
#include "stack/isn.h"
#include "stack/network.h"
#include "stack/outcome.h"
#include "stack/segment_in.h"
#include "stack/state.h"
#include "wire/seq.h"

static struct listener *listener_at(struct vnic_stack *s, uint32_t index)
{
    return &s->sockets.listeners[index];
}

/* 2: this very address, 1: any, 0: not this listener. */
static uint32_t listener_fit(const struct listener *l, const struct vnic_address *local, uint16_t port,
                             uint32_t interface)
{
    if (l->port != port || l->address.is_ipv6 != local->is_ipv6) {
        return 0;
    }
    if (l->is_any) {
        return 1;
    }
    return memcmp(l->address.bytes, local->bytes, sizeof(local->bytes)) == 0
                   && (l->zone == 0 || l->zone == interface + 1)
               ? 2
               : 0;
}

uint32_t listener_find(const struct vnic_stack *s, const struct vnic_address *local, uint16_t port,
                       uint32_t interface)
{
    const struct sockets *sockets = &s->sockets;
    uint32_t best = 0, best_fit = 0;

    for (uint32_t index = sockets->listener_heads[port % LISTENER_HEADS]; index != 0;
         index = sockets->listeners[index].next_of_port) {
        const uint32_t fit = listener_fit(&sockets->listeners[index], local, port, interface);

        if (fit > best_fit) {
            best = index;
            best_fit = fit;
        }
    }
    return best;
}

/* -- the listener's lists ----------------------------------------------------------------------------------- */

static void embryonic_add(struct vnic_stack *s, struct listener *l, struct socket *socket)
{
    struct socket *list = s->sockets.list;

    socket->prev = 0;
    socket->next = l->embryonic_first;
    if (socket->next != 0) {
        list[socket->next].prev = socket_index(&s->sockets, socket);
    }
    l->embryonic_first = socket_index(&s->sockets, socket);
    l->embryonic++;
    socket_set(socket, SOCKET_EMBRYONIC);
}

void listener_forget(struct vnic_stack *s, struct socket *socket)
{
    struct listener *l = listener_at(s, socket->listener);
    struct socket *list = s->sockets.list;

    if (socket->prev != 0) {
        list[socket->prev].next = socket->next;
    } else {
        l->embryonic_first = socket->next;
    }
    if (socket->next != 0) {
        list[socket->next].prev = socket->prev;
    }
    l->embryonic--;
    socket->next = 0;
    socket->prev = 0;
    socket_clear(socket, SOCKET_EMBRYONIC);
}

void listener_on_connected(struct vnic_stack *s, struct socket *socket)
{
    struct listener *l = listener_at(s, socket->listener);
    const uint32_t index = socket_index(&s->sockets, socket);

    listener_forget(s, socket);
    if (l->ready_last != 0) {
        s->sockets.list[l->ready_last].next = index;
    } else {
        l->ready_first = index;
    }
    l->ready_last = index;
    l->ready++;
    socket_set(socket, SOCKET_READY);
    event_raise_other(s, l->other, VNIC_EVENT_ACCEPT);
}

static struct socket *ready_take(struct vnic_stack *s, struct listener *l)
{
    struct socket *socket = &s->sockets.list[l->ready_first];

    if (l->ready_first == 0) {
        return NULL;
    }
    l->ready_first = socket->next;
    l->ready_last = l->ready_first != 0 ? l->ready_last : 0;
    l->ready--;
    socket->next = 0;
    socket->prev = 0;
    socket_clear(socket, SOCKET_READY);
    return socket;
}

/* -- segments ----------------------------------------------------------------------------------------------- */

/* A cookie is the ISS; else one beyond all that a connection in TIME_WAIT used (RFC 9293 3.6.1). */
static void listener_choose_iss(struct vnic_stack *s, const struct arrived *in, bool is_cookie,
                                struct tcp_open *open)
{
    if (is_cookie) {
        open->iss = in->segment.ack - 1;
    } else if (in->above_snd_nxt != 0 && seq_le(open->iss, in->above_snd_nxt)) {
        open->iss = in->above_snd_nxt + 1 + (secret_random(s) & 0xffff);
    }
}

struct socket *listener_open(struct vnic_stack *s, uint32_t index, const struct arrived *in,
                             const struct tcp_segment *syn, bool is_cookie)
{
    struct listener *l = listener_at(s, index);
    const struct tuple tuple =
        tuple_of(&in->local, in->local_port, &in->remote, in->remote_port, in->interface);
    struct vnic_address source = in->local;
    struct tcp_connection *c;
    struct socket *socket;
    struct tcp_open open;
    struct path path;

    if (network_find_path(s, &source, &in->remote, hop_mask(&in->remote, in->interface), &path) != VNIC_OK) {
        return NULL;
    }
    socket_open_from(s, &l->options, &tuple, &path, &open);
    open.flags |= s->config.ecn != 0 ? TCP_HAS_ECN : 0;
    listener_choose_iss(s, in, is_cookie, &open);
    c = is_cookie ? tcp_accept_cookie(s->tcp, s->now_ns, &open, syn, &in->segment)
                  : tcp_accept(s->tcp, s->now_ns, &open, syn);
    if (c == NULL) {
        network_drop_path(s, &path);
        return NULL;
    }
    socket = socket_start(s, c, &path, &l->options);
    socket->listener = (uint16_t)index;
    embryonic_add(s, l, socket);
    return socket;
}

static void listener_on_syn(struct vnic_stack *s, uint32_t index, const struct arrived *in)
{
    struct listener *l = listener_at(s, index);
    const bool is_full = l->embryonic + l->ready >= l->backlog;
    struct socket *socket;

    if (l->ready >= l->backlog) {
        s->statistics.backlog_full++;
        s->statistics.syn_dropped++;
        return;
    }
    s->statistics.backlog_full += is_full ? 1 : 0;
    if (!is_full && s->config.syn_cookies != 2) {
        socket = listener_open(s, index, in, &in->segment, false);
        if (socket != NULL) {
            socket_schedule(s, socket);
            return;
        }
    }
    if (s->config.syn_cookies != 0) {
        cookie_send(s, l, in);
    } else {
        s->statistics.syn_dropped++;
    }
}

/* The connection is ESTABLISHED without ever having been embryonic; the segment may carry more than its ACK. */
static void listener_on_cookie(struct vnic_stack *s, uint32_t index, const struct arrived *in,
                               const struct tcp_segment *syn)
{
    struct listener *l = listener_at(s, index);
    struct tcp_result result;
    struct socket *socket;
    struct tcp_connection *c;

    s->statistics.cookies_good++;
    if (l->ready >= l->backlog) {
        s->statistics.backlog_full++;
        return; /* the peer's data, sent again, may find room */
    }
    socket = listener_open(s, index, in, syn, true);
    if (socket == NULL) {
        return;
    }
    c = socket_connection(s, socket);
    result = (struct tcp_result){.events = TCP_EVENT_CONNECTED};
    outcome_apply(s, socket, c, &result, NULL);
    if (in->segment.len != 0 || (in->segment.control & (TCP_FIN | TCP_URG)) != 0) {
        struct tcp_segment segment = in->segment;

        segment_in_put(s, socket, &segment, in->payload);
    }
}

void listener_on_segment(struct vnic_stack *s, uint32_t index, const struct arrived *in)
{
    const uint8_t control = in->segment.control;
    struct tcp_segment syn;

    if ((control & TCP_RST) != 0) {
        return;
    }
    if ((control & TCP_ACK) != 0) {
        if (cookie_is_possible(s) && (control & TCP_SYN) == 0) {
            if (cookie_check(s, in, &syn)) {
                listener_on_cookie(s, index, in, &syn);
                return;
            }
            s->statistics.cookies_bad++;
        }
        answer_refuse(s, in);
    } else if ((control & TCP_SYN) != 0 && !in->is_multicast) {
        listener_on_syn(s, index, in);
    }
}

/* -- the user's side ---------------------------------------------------------------------------------------- */

static int listener_check(struct vnic_stack *s, const struct vnic_address *address, bool is_any,
                          uint16_t port)
{
    uint32_t index;

    if (!is_any && interface_mask_of(s, address) == 0) {
        return VNIC_STACK_EADDRNOTAVAIL;
    }
    for (index = s->sockets.listener_heads[port % LISTENER_HEADS]; index != 0;
         index = s->sockets.listeners[index].next_of_port) {
        const struct listener *l = &s->sockets.listeners[index];

        if (l->port == port && l->is_any == is_any && address_is_equal(&l->address, address)) {
            return VNIC_STACK_EADDRINUSE;
        }
    }
    return VNIC_OK;
}

/* Port 0: one that nobody listens at. */
static uint16_t listener_choose_port(struct vnic_stack *s, const struct vnic_address *address, bool is_any)
{
    for (uint32_t i = 0; i < 16384; i++) {
        const uint16_t port = (uint16_t)(49152 + (secret_random(s) + i) % 16384);

        if (listener_check(s, address, is_any, port) == VNIC_OK) {
            return port;
        }
    }
    return 0;
}

static vnic_socket listener_start(struct vnic_stack *s, const struct vnic_address *address, uint16_t port,
                                  uint32_t backlog)
{
    struct sockets *sockets = &s->sockets;
    const uint32_t index = pool_take(&sockets->listener_pool);
    struct listener *l = listener_at(s, index);
    vnic_socket handle;

    if (index == 0) {
        return VNIC_STACK_ENOBUFS;
    }
    handle = sockets_open_other(s, SOCKET_LISTENER, index);
    if (handle < 0) {
        pool_give(&sockets->listener_pool, index);
        return handle;
    }
    *l = (struct listener){
        .next_of_port = sockets->listener_heads[port % LISTENER_HEADS],
        .other = (uint32_t)handle - s->config.connections,
        .address = *address,
        .port = port,
        .is_any = address_is_any(address),
        .backlog = backlog,
    };
    socket_default_options(s, &l->options);
    if (address_is_link_local(address)) {
        l->zone = (uint8_t)(bits_ctz(interface_mask_of(s, address)) + 1);
    }
    sockets->listener_heads[port % LISTENER_HEADS] = index;
    return handle;
}

vnic_socket vnic_tcp_listen(vnic_stack *stack, const struct vnic_endpoint *local, uint32_t backlog)
{
    struct vnic_address address;
    uint16_t port;
    bool is_any;
    int result;

    if (local == NULL || backlog == 0 || local->address.is_ipv6 > 1) {
        return VNIC_EINVAL;
    }
    address = address_clean(&local->address);
    is_any = address_is_any(&address);
    port = local->port != 0 ? local->port : listener_choose_port(stack, &address, is_any);
    if (port == 0) {
        return VNIC_STACK_EADDRNOTAVAIL;
    }
    result = listener_check(stack, &address, is_any, port);
    return result == VNIC_OK ? listener_start(stack, &address, port, backlog) : result;
}

vnic_socket vnic_tcp_accept(vnic_stack *stack, vnic_socket listener)
{
    struct listener *l = socket_listener_of(stack, listener);
    struct socket *socket;

    if (l == NULL) {
        return socket_of(stack, listener) != NULL ? VNIC_EINVAL : VNIC_STACK_EBADF;
    }
    socket = ready_take(stack, l);
    if (socket == NULL) {
        return VNIC_STACK_EAGAIN;
    }
    socket_set(socket, SOCKET_OPEN);
    event_raise(stack, socket, 0); /* what happened before */
    return socket_handle(stack, socket);
}

static void listener_unlink(struct vnic_stack *s, const struct listener *l, uint32_t index)
{
    uint32_t *link = &s->sockets.listener_heads[l->port % LISTENER_HEADS];

    while (*link != index) {
        link = &s->sockets.listeners[*link].next_of_port;
    }
    *link = l->next_of_port;
}

static void listener_abort(struct vnic_stack *s, struct socket *socket)
{
    struct tcp_connection *c = socket_connection(s, socket);

    if (c->state == TCP_STATE_CLOSED) {
        socket_settle(s, socket, c);
    } else {
        outcome_abort(s, socket, c, VNIC_STACK_ECONNABORTED);
    }
}

void listener_close(struct vnic_stack *s, struct listener *listener)
{
    const uint32_t index = (uint32_t)(listener - s->sockets.listeners);
    struct socket *socket;

    listener_unlink(s, listener, index);
    while (listener->embryonic_first != 0) {
        listener_abort(s, &s->sockets.list[listener->embryonic_first]);
    }
    while ((socket = ready_take(s, listener)) != NULL) {
        listener_abort(s, socket);
    }
    sockets_close_other(s, handle_of_other(s, listener->other));
    pool_give(&s->sockets.listener_pool, index);
}
