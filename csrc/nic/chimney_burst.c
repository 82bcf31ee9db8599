/* chimney_burst.c: segments of connections in a row, while what the next ones will touch is on its way to the cache. */
#include "base/bits.h"
#include "nic/chimney_arrival.h"
#include "nic/receive.h"

#define AHEAD 8u /* frames for which the lookup's bucket is fetched */
#define AHEAD_STATE 4u /* ... and the connection that is probably found there */
#define LINE 64u

/* A frame behind the front: whose it probably is. */
struct burst_frame {
    struct rx_class class;
    uint64_t hash; /* 0: not one that could be a connection's */
    uint32_t guess; /* 0: none */
};

struct burst {
    struct burst_frame frame[AHEAD]; /* by their places modulo AHEAD */
    uint32_t at; /* place of the front frame */
};

static struct burst_frame *burst_at(struct burst *b, uint32_t n)
{
    return &b->frame[(b->at + n) % AHEAD];
}

static void burst_fetch(const void *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i += LINE) {
        __builtin_prefetch((const uint8_t *)from + i);
    }
}

/* The n-th frame from the front on. */
static void burst_fetch_bucket(const struct vnic *card, struct burst *b, uint32_t n)
{
    struct burst_frame *at = burst_at(b, n);
    struct chm_tuple tuple;
    at->hash = 0;
    at->guess = 0;
    if (n >= card->rx_buffer.count) {
        return;
    }
    const struct packet *p = packet_buffer_at(&card->rx_buffer, n);
    const uint8_t *frame = card->rx_buffer.bytes + p->offset;
    at->class = (struct rx_class){0};
    if (wire_parse_plain(&at->class.frame, frame, p->len) && at->class.frame.l4 == WIRE_L4_TCP) {
        chimney_tuple_of(&at->class.frame, frame, &tuple);
        at->hash = chimney_lookup_fetch(card->chimney, &tuple);
    }
}

static void burst_fetch_state(const struct vnic *card, struct burst *b, uint32_t n)
{
    const struct chimney *m = card->chimney;
    struct burst_frame *at = burst_at(b, n);
    at->guess = at->hash != 0 ? chimney_lookup_guess(m, at->hash) : 0;
    if (at->guess != 0) {
        burst_fetch(&m->connections[at->guess], sizeof m->connections[at->guess]);
        burst_fetch(&m->tcp[at->guess], sizeof m->tcp[at->guess]);
    }
}

static void burst_begin(const struct vnic *card, struct burst *b)
{
    b->at = 0;
    for (uint32_t n = 0; n < AHEAD; n++) {
        burst_fetch_bucket(card, b, n);
    }
    for (uint32_t n = 0; n < AHEAD_STATE; n++) {
        burst_fetch_state(card, b, n);
    }
}

/* The front frame left: all are one place nearer. */
static void burst_advance(const struct vnic *card, struct burst *b)
{
    b->at++;
    burst_fetch_bucket(card, b, AHEAD - 1);
    burst_fetch_state(card, b, AHEAD_STATE - 1);
}

static bool burst_step(struct vnic *card, struct burst *b, uint64_t *bytes)
{
    const struct burst_frame *front = burst_at(b, 0);
    if (front->hash == 0 || !receive_step_offloaded(card, &front->class, front->guess, bytes)) {
        return false;
    }
    burst_advance(card, b);
    return true;
}

uint64_t chimney_receive_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes)
{
    struct burst b;
    uint64_t steps = 0, done = 0;
    if (!chimney_has_connections(card)) {
        return 0;
    }
    burst_begin(card, &b);
    while (steps < max_steps && card->rx_buffer.count > 0 && receive_next_bytes(card) <= max_bytes - done
           && burst_step(card, &b, &done)) {
        steps++;
    }
    *bytes += done;
    return steps;
}
