/* talk_user.c: what users of a stack's sockets do, right and wrong, and what an administrator does. */
#include <string.h>

#include "kept.h"
#include "talk.h"

enum { PORTS = 3, FIRST_PORT = 80 };

void talk_keep_socket(struct talk_host *h, vnic_socket socket)
{
    if (socket <= 0) {
        return;
    }
    unsigned at = talk_below(h->talk, TALK_SOCKETS);
    for (unsigned i = 0; i < TALK_SOCKETS; i++) {
        at = h->socket[i] == 0 ? i : at;
    }
    if (h->socket[at] != 0) {
        talk_told(h, "vnic_stack_close", vnic_stack_close(h->stack, h->socket[at]));
    }
    h->socket[at] = socket;
    h->target[at].is_there = false;
}

static vnic_socket socket_any(struct talk *t, struct talk_host *h)
{
    unsigned at = talk_below(t, TALK_SOCKETS);

    for (unsigned i = 0; i < TALK_SOCKETS && h->socket[at] == 0; i++) {
        at = (at + 1) % TALK_SOCKETS;
    }
    return h->socket[at];
}

/* -- sockets -------------------------------------------------------------------------------------------------- */

static void user_listens(struct talk *t, struct talk_host *h)
{
    const bool is_ipv6 = talk_may(t, 100);
    struct vnic_endpoint place = {.port = (uint16_t)(FIRST_PORT + talk_below(t, PORTS))};

    place.address.is_ipv6 = is_ipv6;
    if (talk_may(t, 64)) {
        place = talk_place((unsigned)(h - t->host), is_ipv6, place.port);
    }
    const vnic_socket made = vnic_tcp_listen(h->stack, &place, 1 + talk_below(t, 4));
    talk_told(h, "vnic_tcp_listen", made);
    talk_keep_socket(h, made);
}

static void user_connects(struct talk *t, struct talk_host *h)
{
    const unsigned other = h == t->host ? 1 : 0;
    const bool is_ipv6 = talk_may(t, 100);
    struct vnic_endpoint to = talk_place(other, is_ipv6, (uint16_t)(FIRST_PORT + talk_below(t, PORTS)));
    struct vnic_endpoint from = talk_place(!other, is_ipv6, (uint16_t)(talk_may(t, 128) ? 5000 : 0));

    if (talk_may(t, 10)) {
        to.address.bytes[is_ipv6 ? 15 : 3] = 77; /* nobody */
    }
    const vnic_socket made = vnic_tcp_connect(h->stack, talk_may(t, 40) ? &from : NULL, &to);
    talk_told(h, "vnic_tcp_connect", made);
    talk_keep_socket(h, made);
}

static void user_accepts(struct talk *t, struct talk_host *h)
{
    for (unsigned i = 0; i < TALK_SOCKETS; i++) {
        if (h->socket[i] != 0) {
            const vnic_socket made = vnic_tcp_accept(h->stack, h->socket[i]);
            talk_told(h, "vnic_tcp_accept", made);
            talk_keep_socket(h, made);
        }
    }
    (void)t;
}

static void user_sends(struct talk *t, struct talk_host *h)
{
    struct vnic_bytes piece[3];
    const uint32_t count = 1 + talk_below(t, 3), most = talk_may(t, 128) ? 600 : 30000;
    const uint32_t flags = talk_may(t, 12) ? VNIC_SEND_URGENT : talk_below(t, 16) & ~2u;

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = talk_below(t, TALK_SOURCE / 2);
        piece[i] = (struct vnic_bytes){talk_source + at, talk_below(t, most)};
    }
    const vnic_socket socket = socket_any(t, h);
    talk_told(h, "vnic_tcp_send", vnic_tcp_send(h->stack, socket, piece, count, flags, talk_below(t, 1000)));
}

static void user_receives(struct talk *t, struct talk_host *h)
{
    static uint8_t into[40000];
    const vnic_socket socket = socket_any(t, h);
    const int64_t got = vnic_tcp_receive(h->stack, socket, into, talk_below(t, sizeof into));

    kept_bytes(into, got > 0 ? (size_t)got : 0);
    talk_told(h, "vnic_tcp_receive", got);
}

static void user_looks(struct talk *t, struct talk_host *h)
{
    struct vnic_bytes piece[4];
    const vnic_socket socket = socket_any(t, h);
    const int count = vnic_tcp_peek(h->stack, socket, piece, 4);
    uint64_t len = 0;

    for (int i = 0; i < count; i++) {
        kept_bytes(piece[i].data, piece[i].len);
        len += piece[i].len;
    }
    talk_told(h, "vnic_tcp_peek", count);
    if (count > 0) {
        const uint64_t some = talk_may(t, 128) ? len : talk_random(t) % (len + 2);
        talk_told(h, "vnic_tcp_consume", vnic_tcp_consume(h->stack, socket, some));
    }
}

static void user_posts(struct talk *t, struct talk_host *h)
{
    uint8_t *buffer = h->buffer[h->buffers++ % TALK_BUFFERS];

    const vnic_socket socket = socket_any(t, h);
    const uint32_t len = 1 + talk_below(t, TALK_BUFFER);

    talk_told(h, "vnic_tcp_post", vnic_tcp_post(h->stack, socket, buffer, len, h->buffers));
}

static void user_ends(struct talk *t, struct talk_host *h)
{
    const uint32_t kind = talk_below(t, 8);
    const unsigned at = talk_below(t, TALK_SOCKETS);
    const vnic_socket socket = h->socket[at];

    if (kind < 3) {
        talk_told(h, "vnic_tcp_shutdown", vnic_tcp_shutdown(h->stack, socket));
        return;
    }
    talk_told(h, kind < 6 ? "vnic_stack_close" : "vnic_tcp_abort",
              kind < 6 ? vnic_stack_close(h->stack, socket) : vnic_tcp_abort(h->stack, socket));
    h->socket[at] = h->target[at].is_there ? socket : 0; /* its client goes on */
}

static void user_sets(struct talk *t, struct talk_host *h)
{
    static const uint32_t values[] = {0, 1, 3, 64, 1000, 10000, 20000, 65536, 300000, UINT32_MAX};
    const uint32_t option = talk_below(t, VNIC_OPTION_TOS + 2);
    const uint32_t value = values[talk_below(t, sizeof values / sizeof values[0])];

    talk_told(h, "vnic_stack_set_option", vnic_stack_set_option(h->stack, socket_any(t, h), option, value));
}

static void user_asks(struct talk *t, struct talk_host *h)
{
    const vnic_socket socket = socket_any(t, h);
    struct vnic_tcp_info info;
    struct vnic_completion done[8];
    struct vnic_stack_event event[8];

    const int known = vnic_tcp_get_info(h->stack, socket, &info);
    if (known == 0) {
        kept_bytes(&info, sizeof info);
    }
    talk_told(h, "vnic_tcp_get_info", known);
    const int completions = vnic_stack_completions(h->stack, socket, done, 8);
    kept_bytes(done, completions > 0 ? (size_t)completions * sizeof done[0] : 0);
    talk_told(h, "vnic_stack_completions", completions);
    const int events = vnic_stack_events(h->stack, event, 8);
    for (int i = 0; i < events; i++) {
        kept_word((uint64_t)event[i].socket);
        kept_word((uint64_t)event[i].events << 32 | (uint32_t)event[i].result);
    }
    talk_told(h, "vnic_stack_events", events);
}

/* -- datagrams ------------------------------------------------------------------------------------------------ */

static void user_binds(struct talk *t, struct talk_host *h)
{
    const bool is_ipv6 = talk_may(t, 128);
    struct vnic_endpoint place = {.port = (uint16_t)(talk_may(t, 200) ? 9 : 0)};

    place.address.is_ipv6 = is_ipv6;
    const vnic_socket made =
        talk_may(t, 60) ? vnic_icmp_open(h->stack, is_ipv6) : vnic_udp_bind(h->stack, &place);
    talk_told(h, "vnic_udp_bind", made);
    talk_keep_socket(h, made);
}

static void user_tells(struct talk *t, struct talk_host *h)
{
    static const uint32_t sizes[] = {0, 1, 8, 100, 1232, 1452, 1472, 1473, 4000, 20000, 65507, 65527};
    uint8_t echo[64] = {8, 0, 0, 0, 0, 1, 0, 1};
    const bool is_ipv6 = talk_may(t, 128), is_echo = talk_may(t, 64);
    struct vnic_endpoint to = talk_place(h == t->host, is_ipv6, (uint16_t)(talk_may(t, 200) ? 9 : 7));

    echo[0] = is_ipv6 ? 128 : 8;
    const vnic_socket socket = socket_any(t, h);
    const uint32_t len = is_echo ? 40 : sizes[talk_below(t, sizeof sizes / sizeof sizes[0])];
    talk_told(h, "vnic_udp_send", vnic_udp_send(h->stack, socket, &to, is_echo ? echo : talk_source, len));
}

static void user_hears(struct talk *t, struct talk_host *h)
{
    static uint8_t into[70000];
    struct vnic_endpoint from = {0};
    const uint32_t room = talk_may(t, 200) ? sizeof into : talk_below(t, 200);
    const int64_t got = vnic_udp_receive(h->stack, socket_any(t, h), &from, into, room);

    kept_bytes(into, got > 0 ? (size_t)(got < room ? got : room) : 0);
    kept_bytes(&from, got >= 0 ? sizeof from : 0);
    talk_told(h, "vnic_udp_receive", got);
}

/* -- the administrator ---------------------------------------------------------------------------------------- */

static void admin_routes(struct talk *t, struct talk_host *h)
{
    const bool is_ipv6 = talk_may(t, 128);
    const struct vnic_endpoint other = talk_place(h == t->host, is_ipv6, 0);
    const struct vnic_address none = {.is_ipv6 = is_ipv6};
    const struct vnic_address *gateway = talk_may(t, 128) ? &none : &other.address;
    const uint32_t len = is_ipv6 ? 64 + 64 * talk_below(t, 2) : 8 * (1 + talk_below(t, 4));
    static const uint8_t elsewhere[6] = {2, 0, 0, 0, 2, 2};

    switch (talk_below(t, 4)) {
    case 0:
        talk_told(h, "vnic_stack_add_route",
                  vnic_stack_add_route(h->stack, &other.address, len, gateway, 0, talk_below(t, 3)));
        break;
    case 1:
        talk_told(h, "vnic_stack_remove_route", vnic_stack_remove_route(h->stack, &other.address, len, 0));
        break;
    case 2:
        talk_told(h, "vnic_stack_add_neighbour",
                  vnic_stack_add_neighbour(h->stack, 0, &other.address, elsewhere));
        break;
    default:
        talk_told(h, "vnic_stack_add_address",
                  vnic_stack_add_address(h->stack, 0, &(struct vnic_address){{10, 1, 2, 3}, 0, {0}}, 16));
        break;
    }
}

static void admin_links(struct talk *t, struct talk_host *h)
{
    if (talk_may(t, 128)) {
        talk_told(h, "vnic_stack_set_link", vnic_stack_set_link(h->stack, 0, 0));
        talk_told(h, "vnic_stack_set_link", vnic_stack_set_link(h->stack, 0, 1));
    } else {
        const uint32_t offload = talk_below(t, 4);
        talk_told(h, "vnic_stack_set_offload", vnic_stack_set_offload(h->stack, 0, offload, 20000));
    }
}

static void copies_end(struct talk *t, struct talk_host *h)
{
    while (h->copies > 0 && !talk_may(t, 40)) {
        h->copies--;
        memcpy(h->copy[h->copies].to, h->copy[h->copies].from, h->copy[h->copies].len);
        talk_told(h, "vnic_stack_copied", vnic_stack_copied(h->stack, h->ticket[h->copies]));
    }
}

void talk_user(struct talk *t, struct talk_host *h)
{
    static void (*const acts[])(struct talk *, struct talk_host *) = {
        user_connects, user_sends,   user_sends, user_sends, user_sends, user_receives, user_receives,
        user_looks,    user_posts,   user_asks,  user_asks,  user_tells, user_hears,    user_accepts,
        user_accepts,  user_listens, copies_end, user_sets,  user_binds, user_ends,     user_connects};
    const uint32_t kind = talk_below(t, 256);

    if (kind < 3) {
        admin_routes(t, h);
    } else if (kind < 6) {
        admin_links(t, h);
    } else {
        acts[kind % (sizeof acts / sizeof acts[0])](t, h);
    }
}
