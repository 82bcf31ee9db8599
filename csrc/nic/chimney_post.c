/* chimney_post.c: posted receives of a connection: taken, filled, completed, in order. */
#include "nic/chimney_place.h"
#include "nic/chimney_send.h"

static struct chm_work *post_open(const struct chimney *m, const struct chm_connection *c)
{
    return &m->work[c->post_open];
}

/* The next piece of the request takes the place of the open one. */
static void post_next_piece(struct chimney *m, struct chm_connection *c)
{
    struct chm_work *w = post_open(m, c);
    uint32_t gone = w->next;
    *w = m->work[gone];
    if (c->posts == gone) {
        c->posts = c->post_open;
    }
    pool_give(&m->work_pool, gone);
}

/* A complete request is one entry of the list: what is left to say of it. */
static void post_close(struct vnic *card, uint32_t index, enum chm_status status, bool is_pushed)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    struct chm_work *w = post_open(m, c);
    push_stop(m, index);
    while (w->flags & CHM_WORK_MORE) {
        post_next_piece(m, c);
    }
    w->addr = 0;
    w->len = c->placed;
    w->before = 0;
    w->status = (uint8_t)status;
    w->flags = (uint8_t)(CHM_WORK_DONE | (is_pushed ? CHM_WORK_PUSHED : 0));
    c->post_open = c->post_open == c->posts ? 0 : w->next;
    c->placed = 0;
    c->post_offset = 0;
    chimney_report(card, index, CHM_PENDING_RECEIVE);
}

/* The request that is the first open one now: [CHM-43] without room it is complete at once; with bytes of the driver's
 * in it its push timer runs [CHM-44]. */
static void post_begin(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    while (c->post_open != 0) {
        struct chm_work *w = post_open(m, c);
        uint32_t before = w->before;
        while (w->len == 0 && (w->flags & CHM_WORK_MORE)) {
            post_next_piece(m, c);
        }
        w->before = before;
        if (w->len != 0) {
            if (post_is_pushable(m, c)) {
                push_start(card, index);
            }
            return;
        }
        post_close(card, index, CHM_STATUS_OK, false);
    }
}

bool post_is_pushable(const struct chimney *m, const struct chm_connection *c)
{
    const struct chm_work *w = post_open(m, c);
    return c->post_open != 0 && (w->flags & CHM_WORK_NO_PUSH) == 0 && (c->placed | w->before) != 0;
}

void post_finish(struct vnic *card, uint32_t index, enum chm_status status, bool is_pushed)
{
    post_close(card, index, status, is_pushed);
    post_begin(card, index);
}

void post_advance(struct vnic *card, uint32_t index, uint32_t n)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    struct chm_work *w = post_open(m, c);
    c->placed += n;
    c->post_offset += n;
    while (c->post_offset == w->len) {
        if ((w->flags & CHM_WORK_MORE) == 0) {
            post_finish(card, index, CHM_STATUS_OK, false);
            return;
        }
        post_next_piece(m, c);
        c->post_offset = 0;
    }
}

enum chm_status chimney_post(struct vnic *card, uint32_t index, uint32_t pieces, uint32_t pieces_last,
                             uint32_t data_count)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, CHM_ABORTED) && (c->pending & (CHM_PENDING_ABORT | CHM_PENDING_DISCONNECT)) == 0) {
        return CHM_STATUS_ABORTED;
    }
    if (data_count != c->pool_count) {
        m->stat[CHM_STAT(LATE_RECEIVES)]++;
        return CHM_STATUS_LATE; /* [CHM-43] */
    }
    if (chimney_has(c, CHM_FIN_REPORTED)) {
        return CHM_STATUS_AFTER_FIN; /* [CHM-46] */
    }
    m->work[pieces_last].next = c->posts != 0 ? post_first(m, c) : pieces;
    if (c->posts != 0) {
        m->work[c->posts].next = pieces;
    }
    c->posts = pieces_last;
    if (c->post_open == 0) {
        c->post_open = pieces;
        post_begin(card, index);
    }
    if (chimney_waiting(m, index) != 0) {
        chimney_report(card, index, CHM_PENDING_RECEIVE);
    }
    return CHM_STATUS_OK;
}

void post_forget_done(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t first = post_first(m, c);
    m->work[c->posts].next = m->work[first].next;
    if (c->posts == first) {
        c->posts = 0;
    }
    pool_give(&m->work_pool, first);
}

void post_drop(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    push_stop(m, index);
    if (c->posts != 0) {
        chimney_work_give(m, post_first(m, c), c->posts);
    }
    c->posts = 0;
    c->post_open = 0;
    c->placed = 0;
    c->post_offset = 0;
}
