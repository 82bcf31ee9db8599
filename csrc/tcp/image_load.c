/* image_load.c: makes a connection of an image that a stranger may have written. */
#include "tcp/image.h"
#include "tcp/image_walk.h"
#include "tcp/reassembly.h"
#include "tcp/runs.h"
#include "tcp/timer.h"
#include "wire/seq.h"

#include <string.h>

static bool is_padded(const uint8_t *address)
{
    static const uint8_t zero[12] = {0};

    return memcmp(address + 4, zero, sizeof zero) == 0;
}

static bool is_basis_sound(const struct tcp_connection *c)
{
    const uint16_t least = c->is_ipv6 != 0 ? 1280 : 68;

    if (tcp_is_synchronized(c) && (c->cwnd == 0 || c->snd_mss == 0)) {
        return false;
    }
    if (c->path_mtu != 0 && c->path_mtu < least) {
        return false;
    }
    return c->is_ipv6 != 0 || (is_padded(c->local) && is_padded(c->remote));
}

/* UNA <= NXT, and NXT as far as what was queued, SYN and FIN included. */
static bool is_sender_sound(const struct tcp_connection *c)
{
    const bool is_fin_sent = tcp_has(c, TCP_FIN_SENT);
    const uint32_t last = is_fin_sent ? c->snd_end + 1 : c->snd_end;

    if (is_fin_sent && (!tcp_has(c, TCP_FIN_QUEUED) || c->snd_nxt != last)) {
        return false;
    }
    return last - c->snd_una <= IMAGE_SPAN_MAX + 2U && c->snd_nxt - c->snd_una <= last - c->snd_una;
}

/* Before the handshake is over there is a SYN, sent or not, and nothing else. */
static bool is_handshake_sound(const struct tcp_connection *c)
{
    return tcp_is_synchronized(c) || c->state == TCP_STATE_CLOSED
           || (tcp_flight(c) <= 1 && c->snd_end != c->snd_una && !tcp_has(c, TCP_FIN_SENT)
               && c->rcv_acked == c->rcv_nxt && c->phase == TCP_PHASE_OPEN && c->recovery == 0);
}

/* What the xmit timer is for must fit: an RTO what is in flight, the override what waits with nothing in flight. */
static bool is_xmit_sound(const struct tcp_connection *c)
{
    if (!timer_is_set(c, TCP_TIMER_XMIT) || c->xmit == TCP_XMIT_PERSIST) {
        return tcp_is_synchronized(c) || !timer_is_set(c, TCP_TIMER_XMIT);
    }
    return (c->xmit == TCP_XMIT_OVERRIDE) == (tcp_flight(c) == 0)
           && (tcp_is_synchronized(c) || c->xmit == TCP_XMIT_RTO);
}

/* In SYN_SENT the right edge is our window, wherever the peer's numbers will start. */
static bool is_receiver_sound(const struct tcp_connection *c)
{
    if (c->state == TCP_STATE_SYN_SENT && c->rcv_adv > IMAGE_SPAN_MAX) {
        return false;
    }
    return c->rcv_adv + 1 - c->rcv_nxt <= IMAGE_SPAN_MAX + 1U
           && c->rcv_nxt - c->rcv_acked <= IMAGE_SPAN_MAX + 2U;
}

/* Takes a node at the end of a list; NULL when none is left. */
static struct tcp_node *node_load(struct tcp_engine *e, struct archive *a, uint32_t *index)
{
    struct tcp_node node = {0};

    image_walk_node(a, &node);
    *index = a->failed ? 0 : pool_take(&e->node_pool);
    if (*index == 0) {
        return NULL;
    }
    e->nodes[*index] = node;
    return &e->nodes[*index];
}

/* At the end of the ring. */
static void run_append(struct tcp_engine *e, struct tcp_connection *c, uint32_t index)
{
    struct tcp_node *last = c->runs != 0 ? &e->nodes[c->runs] : &e->nodes[index];

    e->nodes[index].next = c->runs != 0 ? last->next : index;
    last->next = index;
    c->runs = index;
}

/* With nothing in flight the newest run is empty, and where the next one starts. */
static bool is_idle_sound(const struct tcp_connection *c)
{
    return !tcp_is_synchronized(c) || (c->run_seq == c->snd_nxt && c->run_marks == 0);
}

/* What ended without a word has no runs, whatever was in flight. */
static bool is_given_up(const struct tcp_connection *c)
{
    return c->state == TCP_STATE_CLOSED && c->runs == 0 && c->run_seq == c->snd_nxt;
}

/* Runs must cover UNA .. run_seq without a gap. */
static bool runs_load(struct tcp_engine *e, struct tcp_connection *c, struct archive *a)
{
    const uint32_t count = archive_count(a, TAG_RUNS, 0, e->config.nodes);
    uint32_t at = c->snd_una, index;

    for (uint32_t i = 0; i < count; i++) {
        struct tcp_node *node = node_load(e, a, &index);
        if (node == NULL) {
            return false;
        }
        run_append(e, c, index);
        image_turn_one(&node->stamp, engine_us(e));
        archive_refuse_if(a, (node->marks & SCOREBOARD_SACKED) != 0 && !tcp_has(c, TCP_HAS_SACK));
        archive_refuse_if(a, node->left != at || node->right - at - 1 >= c->snd_nxt - at);
        at = node->right;
    }
    archive_refuse_if(a, (c->run_marks & SCOREBOARD_SACKED) != 0); /* what is SACKed is a node */
    archive_refuse_if(a, c->snd_una != c->snd_nxt && c->run_seq != at && !is_given_up(c));
    archive_refuse_if(a, c->snd_una == c->snd_nxt && (count != 0 || !is_idle_sound(c)));
    return true;
}

/* Farther from RCV.NXT than the one before, and not touching it. */
static bool is_range_sound(const struct tcp_node *node, uint32_t rcv_nxt, uint32_t beyond)
{
    return node->left - rcv_nxt > beyond && node->right - rcv_nxt <= IMAGE_SPAN_MAX + 1U;
}

/* Ranges must be sorted, apart from each other, and beyond RCV.NXT; a duplicate in front may lie anywhere. */
static bool ranges_load(struct tcp_engine *e, struct tcp_connection *c, struct archive *a,
                        uint32_t has_duplicate)
{
    const uint32_t count = archive_count(a, TAG_RANGES, 0, e->config.nodes);
    uint32_t *link = &c->ranges, beyond = 0, index;

    archive_refuse_if(a, count < has_duplicate);
    for (uint32_t i = 0; i < count; i++) {
        struct tcp_node *node = node_load(e, a, &index);
        if (node == NULL) {
            return false;
        }
        *link = index;
        link = &node->next;
        archive_refuse_if(a, node->right - node->left - 1 >= IMAGE_SPAN_MAX);
        if (i < has_duplicate) {
            c->flags |= TCP_DSACK_PENDING;
        } else {
            archive_refuse_if(a, !is_range_sound(node, c->rcv_nxt, beyond));
            beyond = node->right - c->rcv_nxt;
        }
    }
    return count <= e->config.ranges_per_connection + has_duplicate;
}

/* Links and entries of the engine: none yet. */
static void image_place(struct tcp_engine *e, const struct image *image, struct tcp_connection *c,
                        uint32_t recovery)
{
    *c = image->c;
    c->flags &= ~(uint32_t)TCP_DSACK_PENDING; /* until its node is there */
    c->ts_offset -= engine_ms(e);
    c->recovery = recovery;
    c->runs = 0;
    c->ranges = 0;
    c->wheel_next = 0;
    c->wheel_prev = 0;
    if (recovery != 0) {
        e->recoveries[recovery] = image->r;
    }
}

static void timers_start(struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->armed != 0 && !tcp_has(c, TCP_FROZEN)) {
        timer_resume(e, c);
    }
}

/* Gives back what was taken but the connection; a stranger's lists are whole, for they were built here. */
static void build_undo(struct tcp_engine *e, struct tcp_connection *c)
{
    timer_release(e, c);
    runs_release(e, c);
    reassembly_drop(e, c);
    if (c->recovery != 0) {
        pool_give(&e->recovery_pool, c->recovery);
        c->recovery = 0;
    }
}

bool image_build(struct tcp_engine *e, const struct image *image, struct archive *a, uint32_t index)
{
    const uint32_t recovery = image->c.recovery != 0 ? pool_take(&e->recovery_pool) : 0;
    struct tcp_connection *c = &e->connections[index];

    if (a->failed || (recovery == 0 && image->c.recovery != 0)) {
        return false;
    }
    image_place(e, image, c, recovery);
    const uint32_t has_duplicate = tcp_has(&image->c, TCP_DSACK_PENDING) ? 1 : 0;
    if (!runs_load(e, c, a) || !ranges_load(e, c, a, has_duplicate) || a->failed) {
        build_undo(e, c);
        return false;
    }
    return true;
}

/* A timer that is not armed has no time: saved again, the image is the same. */
static bool are_times_of_timers(const struct tcp_connection *c)
{
    return (timer_is_set(c, TCP_TIMER_XMIT) || c->t_xmit_us == 0)
           && (timer_is_set(c, TCP_TIMER_DELACK) || c->t_delack_us == 0)
           && (timer_is_set(c, TCP_TIMER_KEEP) || c->t_keep_ms == 0);
}

void image_read(struct tcp_engine *e, struct archive *a, struct image *image)
{
    memset(image, 0, sizeof *image);
    image_walk_connection(a, image);
    archive_refuse_if(a, !are_times_of_timers(&image->c));
    image_turn(image, e);
    archive_refuse_if(a, !is_basis_sound(&image->c) || !is_sender_sound(&image->c));
    archive_refuse_if(a, !is_receiver_sound(&image->c) || !is_handshake_sound(&image->c));
    archive_refuse_if(a, !is_xmit_sound(&image->c));
}

static bool image_ends(struct archive *a)
{
    uint8_t end = 0;

    ARCHIVE(a, TAG_END, end, 0);
    archive_refuse_if(a, a->at != a->len);
    return !a->failed;
}

/* enum tcp_load_result. */
static int image_load(struct tcp_engine *e, const struct image *image, struct archive *a, uint32_t index)
{
    struct tcp_connection *c = &e->connections[index];

    if (!image_build(e, image, a, index)) {
        return a->failed ? TCP_LOAD_FORMAT : TCP_LOAD_RESOURCES;
    }
    if (image_ends(a)) {
        timers_start(e, c);
        if (tcp_check(e, c) == NULL) {
            return TCP_LOAD_OK;
        }
    }
    build_undo(e, c);
    return TCP_LOAD_FORMAT;
}

int tcp_load(tcp_engine *engine, uint64_t now_ns, const uint8_t *bytes, size_t len, struct tcp_connection **c)
{
    struct image image;
    struct archive a;
    int refusal, result;
    uint32_t index;

    engine_at(engine, now_ns);
    archive_load(&a, bytes, len);
    if (!image_walk_header(&a, &refusal)) {
        return refusal;
    }
    image_read(engine, &a, &image);
    if (a.failed || image.c.state == TCP_STATE_CLOSED) {
        return TCP_LOAD_FORMAT;
    }
    index = pool_take(&engine->connection_pool);
    if (index == 0) {
        return TCP_LOAD_RESOURCES;
    }
    result = image_load(engine, &image, &a, index);
    if (result != TCP_LOAD_OK) {
        engine_forget(engine, &engine->connections[index]);
        return result;
    }
    *c = &engine->connections[index];
    return TCP_LOAD_OK;
}
