/* chimney_snapshot_requests.c: what connections hold: requests as pieces of host memory, and payload in blocks. */
#include "base/bits.h"
#include "nic/chimney_place.h"
#include "nic/chimney_snapshot.h"
#include "wire/seq.h"

enum {
    TAG_WORK_COUNT = CHM_TAG_WORK,
    TAG_WORK_LEN,
    TAG_WORK_ADDR,
    TAG_WORK_BEFORE,
    TAG_WORK_OP,
    TAG_WORK_FLAGS,
    TAG_WORK_STATUS,
    TAG_BLOCK_COUNT = CHM_TAG_BLOCKS,
    TAG_BLOCK_SEQ,
    TAG_BLOCK_LEN,
    TAG_BLOCK_BYTES,
    WORK_FLAGS = CHM_WORK_MORE | CHM_WORK_PUSH | CHM_WORK_NO_PUSH | CHM_WORK_DONE | CHM_WORK_PUSHED
};

/* ---- pieces ---- */

static void work_fields(struct archive *a, struct chm_work *w)
{
    ARCHIVE(a, TAG_WORK_LEN, w->len, UINT32_MAX);
    ARCHIVE(a, TAG_WORK_ADDR, w->addr, UINT64_MAX);
    ARCHIVE(a, TAG_WORK_BEFORE, w->before, UINT32_MAX);
    ARCHIVE(a, TAG_WORK_OP, w->op, UINT8_MAX);
    ARCHIVE(a, TAG_WORK_FLAGS, w->flags, WORK_FLAGS);
    ARCHIVE(a, TAG_WORK_STATUS, w->status, UINT8_MAX);
}

static uint32_t work_count(const struct chimney *m, uint32_t first, uint32_t last)
{
    uint32_t count = first != 0;
    for (uint32_t i = first; i != last; i = m->work[i].next) {
        count++;
    }
    return count;
}

/* A piece at the end of the list; false: it is not sound, or none is left. */
static bool work_load(struct chimney *m, struct archive *a, uint32_t *first, uint32_t *last)
{
    struct chm_work w = {0};
    work_fields(a, &w);
    uint32_t index = a->failed ? 0 : pool_take(&m->work_pool);
    archive_refuse_if(a, index == 0);
    if (index == 0) {
        return false;
    }
    m->work[index] = w;
    if (*last != 0) {
        m->work[*last].next = index;
    } else {
        *first = index;
    }
    *last = index;
    return true;
}

uint64_t snapshot_work(struct chimney *m, struct archive *a, uint32_t *first, uint32_t *last)
{
    uint32_t count = archive_is_loading(a) ? 0 : work_count(m, *first, *last), at = *first;
    uint64_t bytes = 0;
    count = archive_count(a, TAG_WORK_COUNT, count, m->work_pool.capacity);
    if (archive_is_loading(a)) {
        *first = 0;
        *last = 0;
    }
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        if (archive_is_loading(a)) {
            bytes += work_load(m, a, first, last) ? m->work[*last].len : 0;
        } else {
            work_fields(a, &m->work[at]);
            bytes += m->work[at].len;
            at = m->work[at].next;
        }
    }
    return bytes;
}

/* The list of a connection is a ring, named by its last piece. */
static uint64_t work_ring(struct chimney *m, struct archive *a, uint32_t *ring)
{
    uint32_t first = *ring != 0 ? m->work[*ring].next : 0;
    uint64_t bytes = snapshot_work(m, a, &first, ring);
    if (archive_is_loading(a) && *ring != 0) {
        m->work[*ring].next = first;
    }
    return bytes;
}

/* ---- sends ---- */

static bool sends_are_of(const struct chimney *m, const struct chm_connection *c)
{
    uint32_t at = c->sends;
    do {
        const struct chm_work *w = &m->work[at];
        if ((w->op != CHM_SUBMISSION_OP_SEND && w->op != CHM_SUBMISSION_OP_DISCONNECT)
            || (w->flags & (CHM_WORK_DONE | CHM_WORK_PUSHED)) != 0) {
            return false;
        }
        at = w->next;
    } while (at != c->sends);
    return (m->work[c->sends].flags & CHM_WORK_MORE) == 0;
}

/* They are the engine's queue, from the first byte that is not acknowledged or before. */
static bool sends_fit(const struct chimney *m, const struct chm_connection *c, const struct tcp_connection *t,
                      uint64_t bytes)
{
    return bytes == t->snd_end - c->send_seq && seq_le(c->send_seq, seq_min(t->snd_una, t->snd_end))
           && sends_are_of(m, c);
}

void snapshot_sends(struct chimney *m, struct archive *a, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    uint64_t bytes = work_ring(m, a, &c->sends);
    archive_refuse_if(a, !a->failed && c->sends != 0 && !sends_fit(m, c, &m->tcp[index], bytes));
    if (archive_is_loading(a)) {
        c->send_at = 0;
        c->send_at_seq = 0;
    }
}

/* ---- posted receives ---- */

/* Complete ones are in front, one entry each; the first of the others is the open one. */
static uint32_t posts_find_open(const struct chimney *m, const struct chm_connection *c)
{
    uint32_t at = post_first(m, c);
    while (at != c->posts && (m->work[at].flags & CHM_WORK_DONE) != 0) {
        at = m->work[at].next;
    }
    return at != 0 && (m->work[at].flags & CHM_WORK_DONE) == 0 ? at : 0;
}

static bool posts_are_sound(const struct chimney *m, const struct chm_connection *c)
{
    bool is_open = false;
    for (uint32_t at = post_first(m, c);; at = m->work[at].next) {
        const struct chm_work *w = &m->work[at];
        is_open |= (w->flags & CHM_WORK_DONE) == 0;
        if (w->op != CHM_SUBMISSION_OP_RECEIVE
            || (is_open && (w->flags & (CHM_WORK_DONE | CHM_WORK_PUSHED)) != 0)
            || (!is_open && (w->flags & CHM_WORK_MORE) != 0)) {
            return false;
        }
        if (at == c->posts) {
            return (w->flags & CHM_WORK_MORE) == 0;
        }
    }
}

static bool posts_offset_is_sound(const struct chimney *m, const struct chm_connection *c)
{
    if (c->post_open == 0) {
        return c->placed == 0 && c->post_offset == 0;
    }
    return c->post_offset < m->work[c->post_open].len && c->post_offset <= c->placed;
}

void snapshot_posts(struct chimney *m, struct archive *a, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    work_ring(m, a, &c->posts);
    if (!archive_is_loading(a) || a->failed) {
        return;
    }
    archive_refuse_if(a, c->posts != 0 && !posts_are_sound(m, c));
    c->post_open = a->failed ? 0 : posts_find_open(m, c);
    archive_refuse_if(a, !posts_offset_is_sound(m, c));
}

/* ---- blocks ---- */

static void blocks_walk_chain(struct chimney *m, struct archive *a, struct block_chain *chain)
{
    struct block_pool *p = &m->blocks;
    uint32_t count = 0, at = chain->head, seq = 0, room = 0;
    for (uint32_t i = at; i != 0; i = p->blocks[i].next) {
        count++;
    }
    count = archive_count(a, TAG_BLOCK_COUNT, count, p->pool.capacity);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        seq = archive_is_loading(a) ? 0 : p->blocks[at].seq;
        ARCHIVE(a, TAG_BLOCK_SEQ, seq, UINT32_MAX);
        if (archive_is_loading(a)) {
            bool is_behind = chain->head == 0 || seq - p->blocks[chain->head].seq < 1u << 31;
            archive_refuse_if(a, !is_behind || (chain->tail != 0 && seq_le(seq, p->blocks[chain->tail].seq)));
            archive_refuse_if(a, !a->failed && (!blocks_place(p, chain, seq, &room) || room != BLOCK_BYTES));
        } else {
            at = p->blocks[at].next;
        }
    }
}

/* What of seq .. end is in blocks, piece by piece; a piece of 0 bytes ends it. */
static void blocks_walk_bytes(struct chimney *m, struct archive *a, struct block_chain *chain, uint32_t seq,
                              uint32_t end)
{
    uint32_t len = 1;
    while (seq_lt(seq, end) && len != 0 && !a->failed) {
        uint32_t room = 0;
        uint8_t *bytes = blocks_find(&m->blocks, chain, seq, &room);
        room = bytes != NULL ? bits_min32(room, end - seq) : 0;
        len = room;
        ARCHIVE(a, TAG_BLOCK_LEN, len, room);
        if (len != 0 && !a->failed) {
            archive_bytes(a, TAG_BLOCK_BYTES, bytes, len);
        }
        seq += len;
    }
}

/* A FIN that came early is the last number held, and no byte. */
static void blocks_walk_ranges(struct chimney *m, struct archive *a, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    struct tcp_block range, next;
    bool has = tcp_range_at(m->engine, t, 0, &range);
    for (uint32_t i = 1; has && !a->failed; i++) {
        bool has_next = tcp_range_at(m->engine, t, i, &next);
        uint32_t fin = !has_next && tcp_has(t, TCP_FIN_SEEN);
        blocks_walk_bytes(m, a, &c->blocks, range.left, range.right - fin);
        range = next;
        has = has_next;
    }
}

void snapshot_blocks(struct chimney *m, struct archive *a, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    archive_refuse_if(a, chimney_waiting(m, index) > bits_min32(t->rcv_unread, CHM_WINDOW_MAX));
    if (a->failed) {
        return;
    }
    blocks_walk_chain(m, a, &c->blocks);
    blocks_walk_bytes(m, a, &c->blocks, c->deliver_seq, c->deliver_seq + chimney_waiting(m, index));
    blocks_walk_ranges(m, a, index);
}
