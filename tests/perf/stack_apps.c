/* Applications as a user of the stack writes them: events, peek and consume, posted buffers, sends by reference. */
#include "stack_apps.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECES = 8 };

void apps_die(const char *what)
{
    fprintf(stderr, "stack_path: %s\n", what);
    exit(EXIT_FAILURE);
}

/* -- the applications --------------------------------------------------------------------------------------- */

static uint64_t bytes_peek(vnic_stack *stack, vnic_socket socket)
{
    struct vnic_bytes piece[PIECES];
    uint64_t total = 0;
    int count;

    while ((count = vnic_tcp_peek(stack, socket, piece, PIECES)) > 0) {
        uint64_t len = 0;

        for (int i = 0; i < count; i++) {
            len += piece[i].len;
        }
        vnic_tcp_consume(stack, socket, len);
        total += len;
        if (count < PIECES) {
            break;
        }
    }
    return total;
}

static uint64_t bytes_copy(struct apps *apps, vnic_stack *stack, vnic_socket socket)
{
    uint64_t total = 0;
    int64_t got;

    while ((got = vnic_tcp_receive(stack, socket, apps->in, sizeof apps->in)) > 0) {
        total += (uint64_t)got;
    }
    return total;
}

static void buffer_post(struct apps *apps, vnic_socket socket)
{
    if (vnic_tcp_post(apps->pair.server, socket, apps->in, sizeof apps->in, 0) != VNIC_OK) {
        apps_die("vnic_tcp_post");
    }
}

static uint64_t buffer_take(struct apps *apps, vnic_socket socket)
{
    struct vnic_completion done[PIECES];
    uint64_t total = 0;
    int count;

    while ((count = vnic_stack_completions(apps->pair.server, socket, done, PIECES)) > 0) {
        for (int i = 0; i < count; i++) {
            total += done[i].len;
            buffer_post(apps, socket);
        }
    }
    return total;
}

static void sends_complete(struct apps *apps, vnic_socket socket)
{
    struct vnic_completion done[PIECES];
    int count;

    while ((count = vnic_stack_completions(apps->pair.client, socket, done, PIECES)) > 0) {
        for (int i = 0; i < count; i++) {
            apps->completed += done[i].len;
        }
    }
}

static void on_client_event(struct apps *apps, const struct vnic_stack_event *event)
{
    if (event->events & VNIC_EVENT_CLOSED) {
        apps_die("a connection ended before its time");
    }
    if (event->events & VNIC_EVENT_CONNECTED) {
        apps->connected++;
        if (apps->closes) {
            vnic_stack_close(apps->pair.client, event->socket);
            return;
        }
    }
    if (event->events & VNIC_EVENT_SENT) {
        sends_complete(apps, event->socket);
    }
    if (event->events & VNIC_EVENT_READABLE) {
        apps->answered += bytes_peek(apps->pair.client, event->socket);
    }
}

static void on_accept(struct apps *apps, vnic_socket listener)
{
    vnic_socket socket;

    while ((socket = vnic_tcp_accept(apps->pair.server, listener)) > 0) {
        apps->accepted++;
        if (apps->mode == APPS_POST) {
            buffer_post(apps, socket);
        }
    }
}

static void on_message(struct apps *apps, vnic_socket socket, uint64_t len)
{
    const struct vnic_bytes answer = {apps->out, len};

    if (vnic_tcp_send(apps->pair.server, socket, &answer, 1, 0, 0) != (int64_t)len) {
        apps_die("vnic_tcp_send of an answer");
    }
}

static void on_server_data(struct apps *apps, vnic_socket socket)
{
    uint64_t len = apps->mode == APPS_COPY ? bytes_copy(apps, apps->pair.server, socket)
                                           : bytes_peek(apps->pair.server, socket);

    apps->received += len;
    if (apps->answers && len) {
        on_message(apps, socket, len);
    }
}

static void on_server_event(struct apps *apps, const struct vnic_stack_event *event)
{
    if (event->events & VNIC_EVENT_ACCEPT) {
        on_accept(apps, event->socket);
    }
    if (event->events & VNIC_EVENT_READABLE && apps->mode != APPS_POST) {
        on_server_data(apps, event->socket);
    }
    if (event->events & VNIC_EVENT_RECEIVED) {
        apps->received += buffer_take(apps, event->socket);
    }
    if (event->events & VNIC_EVENT_FIN) {
        apps->closed++;
        vnic_stack_close(apps->pair.server, event->socket);
    }
}

/* -- both of them and the link ------------------------------------------------------------------------------ */

static void apps_events(struct apps *apps, vnic_stack *stack,
                        void (*on_event)(struct apps *apps, const struct vnic_stack_event *event))
{
    struct vnic_stack_event event[PAIR_EVENTS];
    int count;

    while ((count = vnic_stack_events(stack, event, PAIR_EVENTS)) > 0) {
        for (int i = 0; i < count; i++) {
            on_event(apps, &event[i]);
        }
    }
}

void apps_run(struct apps *apps)
{
    unsigned moved;

    do {
        moved = pair_to_server(&apps->pair);
        apps_events(apps, apps->pair.server, on_server_event);
        moved += pair_to_client(&apps->pair);
        apps_events(apps, apps->pair.client, on_client_event);
    } while (moved);
}

void apps_send(struct apps *apps, uint32_t connection, uint32_t len)
{
    const struct vnic_bytes piece = {apps->out, len};
    const uint32_t flags = apps->mode == APPS_COPY || len < SEGMENT_MAX / 2 ? 0 : VNIC_SEND_REFERENCE;

    if (vnic_tcp_send(apps->pair.client, apps->socket[connection], &piece, 1, flags, connection) != len) {
        apps_die("vnic_tcp_send");
    }
    apps->sent += len;
    apps->completed += flags ? 0 : len;
}

void apps_settle(struct apps *apps)
{
    apps_run(apps);
    pair_wait(&apps->pair, (PAIR_DELACK_MS + 1) * 1000u * 1000u);
    apps_run(apps);
}

/* The first full-sized segment tells what one carries: the options that were agreed are in it. */
void apps_learn_segment(struct apps *apps)
{
    uint8_t *frame = apps->pair.frame[0];
    struct vnic_stack_frame about;
    int len;

    apps_send(apps, 0, 2 * SEGMENT_MAX);
    len = vnic_stack_transmit(apps->pair.client, 0, frame, PAIR_FRAME_BYTES, &about);
    apps->segment_bytes = len == 1514 ? 1514 - 34 - (frame[46] >> 4) * 4u : 0;
    if (!apps->segment_bytes || vnic_stack_receive(apps->pair.server, 0, frame, 1514, 0) < 0) {
        apps_die("no full-sized segment");
    }
    apps_settle(apps);
}

void apps_connect(struct apps *apps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        apps->socket[i] = pair_connect(&apps->pair, i);
        if (apps->socket[i] < 0) {
            apps_die("vnic_tcp_connect");
        }
        if (i % LOAD_BURST == LOAD_BURST - 1 || i == count - 1) {
            apps_run(apps);
        }
    }
    if (apps->connected != count || apps->accepted != count) {
        apps_die("not all connections opened");
    }
}

struct apps *apps_open(uint32_t connections, enum apps_mode mode)
{
    struct apps *apps = calloc(1, sizeof *apps);
    const char *complaint = apps ? pair_open(&apps->pair, connections + 2 * LOAD_BURST) : "no memory";

    if (complaint) {
        apps_die(complaint);
    }
    apps->mode = mode;
    apps->connections = connections;
    apps->order = load_order(connections);
    apps->socket = calloc(connections + 1, sizeof *apps->socket);
    if (!apps->order || !apps->socket) {
        apps_die("no memory");
    }
    for (size_t i = 0; i < sizeof apps->out; i++) {
        apps->out[i] = (uint8_t)(i * 31);
    }
    return apps;
}

void apps_close(struct apps *apps)
{
    pair_close(&apps->pair);
    free(apps->order);
    free(apps->socket);
    free(apps);
}

bool apps_is_whole(const struct apps *apps)
{
    struct vnic_stack_statistics client, server;

    vnic_stack_get_statistics(apps->pair.client, &client);
    vnic_stack_get_statistics(apps->pair.server, &server);
    return apps->received == apps->sent && apps->completed == apps->sent
           && apps->answered == (apps->answers ? apps->sent : 0) && !client.tcp_retransmits
           && !server.tcp_retransmits && !server.bad_l4_checksum && !server.bad_frame;
}
