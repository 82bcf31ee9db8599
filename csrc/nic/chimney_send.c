/* chimney_send.c: what connections are to send: pieces of host memory by sequence number. */
#include "nic/chimney_send.h"

#include "base/bits.h"
#include "wire/checksum.h"
#include "wire/seq.h"

/* ---- the list ---- */

static uint32_t send_first(const struct chimney *m, const struct chm_connection *c)
{
    return m->work[c->sends].next;
}

static bool send_is_last_piece(const struct chm_work *w)
{
    return (w->flags & CHM_WORK_MORE) == 0;
}

/* One beyond the last byte of the queue that is acknowledged: a FIN is no byte of it. */
static uint32_t send_front(const struct tcp_connection *t)
{
    return seq_min(t->snd_una, t->snd_end);
}

static bool send_is_fin_acked(const struct tcp_connection *t)
{
    return tcp_has(t, TCP_FIN_SENT) && seq_gt(t->snd_una, t->snd_end);
}

void chimney_work_give(struct chimney *m, uint32_t first, uint32_t last)
{
    while (first != 0) {
        uint32_t next = first != last ? m->work[first].next : 0;
        pool_give(&m->work_pool, first);
        first = next;
    }
}

void chimney_send_drop(struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (c->sends != 0) {
        chimney_work_give(m, send_first(m, c), c->sends);
    }
    c->sends = 0;
    c->send_at = 0;
    c->send_at_seq = 0;
}

uint32_t chimney_send_partial(const struct chimney *m, uint32_t index)
{
    const struct chm_connection *c = chimney_connection(m, index);
    if (c->sends == 0) {
        return 0;
    }
    return m->work[send_first(m, c)].before + (send_front(&m->tcp[index]) - c->send_seq);
}

/* ---- acknowledged ---- */

/* [CHM-21] Every byte of the piece; of a disconnect's last one the FIN too [CHM-24]. */
static bool send_is_over(const struct chm_connection *c, const struct tcp_connection *t,
                         const struct chm_work *w)
{
    if (seq_lt(send_front(t), c->send_seq + w->len)) {
        return false;
    }
    return w->op != CHM_SUBMISSION_OP_DISCONNECT || !send_is_last_piece(w) || send_is_fin_acked(t);
}

/* The first piece leaves the list; what of the request's bytes goes with it is remembered in the next one. */
static void send_pop(struct chimney *m, struct chm_connection *c)
{
    uint32_t first = send_first(m, c);
    struct chm_work *w = &m->work[first], *next = &m->work[w->next];
    if (!send_is_last_piece(w)) {
        next->before = w->before + w->len;
    }
    c->send_seq += w->len;
    if (c->send_at == first) {
        c->send_at = 0;
    }
    m->work[c->sends].next = w->next;
    c->sends = first != c->sends ? c->sends : 0;
    pool_give(&m->work_pool, first);
}

/* Pieces that are over; enum chm_pending of what has to be reported. */
static uint32_t send_release(struct chimney *m, struct chm_connection *c, const struct tcp_connection *t)
{
    uint32_t pending = 0;
    while (c->sends != 0) {
        const struct chm_work *w = &m->work[send_first(m, c)];
        if (!send_is_over(c, t, w)) {
            break;
        }
        if (send_is_last_piece(w)) {
            bool is_send = w->op == CHM_SUBMISSION_OP_SEND;
            c->sends_done += is_send;
            pending |= is_send ? CHM_PENDING_SEND : CHM_PENDING_DISCONNECT;
        }
        send_pop(m, c);
    }
    return pending;
}

/* What keeps the connection busy: two windows, rounded up to a power of two. */
static uint32_t send_backlog(const struct tcp_connection *t)
{
    uint32_t window = bits_max32(bits_min32(t->cwnd, t->max_snd_wnd), bits_max32(t->snd_mss, 2));
    return window < CHM_WINDOW_MAX / 2 ? 4u << bits_log2(window - 1) : CHM_WINDOW_MAX;
}

/* SendBacklogChange: more is told at once, less when it is a quarter, for windows breathe. */
static uint32_t send_watch_backlog(struct chm_connection *c, const struct tcp_connection *t)
{
    uint32_t backlog = send_backlog(t);
    if (backlog <= c->backlog && backlog > c->backlog / 4) {
        return 0;
    }
    c->backlog = backlog;
    return CHM_PENDING_BACKLOG;
}

void chimney_send_acked(struct vnic *card, uint32_t index, uint32_t bytes)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    uint32_t pending = send_release(m, c, t);
    if (bytes != 0) {
        pending |= send_watch_backlog(c, t);
    }
    if (pending != 0) {
        chimney_report(card, index, pending);
    }
}

/* ---- appended ---- */

static void send_join(struct chimney *m, struct chm_connection *c, uint32_t pieces, uint32_t pieces_last)
{
    m->work[pieces_last].next = c->sends != 0 ? send_first(m, c) : pieces;
    if (c->sends != 0) {
        m->work[c->sends].next = pieces;
    }
    c->sends = pieces_last;
}

/* A send ends where the application wanted it to: nothing of it waits for more [SWS: "not at NBL end"]. */
static void send_tell_engine(struct vnic *card, uint32_t index, uint32_t bytes, bool is_disconnect)
{
    struct chimney *m = card->chimney;
    struct tcp_connection *t = &m->tcp[index];
    struct tcp_result result;
    tcp_queue(m->engine, t, card->pci.now_ns, bytes, true, &result);
    chimney_apply(card, index, &result, NULL);
    if (is_disconnect) {
        tcp_shutdown(m->engine, t, card->pci.now_ns, &result);
        chimney_count_state(card, index, TCP_REASON_NONE);
        chimney_apply(card, index, &result, NULL);
    }
}

void chimney_send_append(struct vnic *card, uint32_t index, uint32_t pieces, uint32_t pieces_last,
                         uint32_t bytes)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    bool is_disconnect = m->work[pieces_last].op == CHM_SUBMISSION_OP_DISCONNECT;
    if (c->sends == 0) {
        c->send_seq = m->tcp[index].snd_end;
    }
    send_join(m, c, pieces, pieces_last);
    send_tell_engine(card, index, bytes, is_disconnect);
    chimney_send_acked(card, index, 0); /* a send of no bytes may be over */
}

void chimney_send_adopt(struct chimney *m, uint32_t index, uint32_t pieces_last, uint32_t first_seq)
{
    struct chm_connection *c = chimney_connection(m, index);
    c->sends = pieces_last;
    c->send_seq = first_seq;
    c->send_at = 0;
}

/* ---- read ---- */

/* A piece and its first byte's number. */
struct send_cursor {
    uint32_t piece, seq;
};

static bool send_cursor_is_before(const struct chimney *m, const struct send_cursor *at, uint32_t seq)
{
    return seq_le(at->seq + m->work[at->piece].len, seq);
}

static void send_cursor_advance(const struct chimney *m, struct send_cursor *at)
{
    at->seq += m->work[at->piece].len;
    at->piece = m->work[at->piece].next;
}

/* The piece that holds seq. New data goes on where the last new data was; retransmissions are near the front. */
static struct send_cursor send_seek(const struct chimney *m, const struct chm_connection *c, uint32_t seq)
{
    struct send_cursor at = {send_first(m, c), c->send_seq};
    if (c->send_at != 0 && seq_le(c->send_at_seq, seq)) {
        at = (struct send_cursor){c->send_at, c->send_at_seq};
    }
    while (send_cursor_is_before(m, &at, seq) && at.piece != c->sends) {
        send_cursor_advance(m, &at);
    }
    return at;
}

/* Bytes of one piece, summed on the way if nothing watches. */
static bool send_copy(struct vnic *card, uint64_t addr, uint32_t len, uint8_t *out, uint64_t *sum)
{
    const struct csum_ops *csum = card->scratch.csum;
    struct dma_hint *hint = &card->chimney->hint_send;
    const uint8_t *from = dma_direct(&card->pci, hint, addr, len, VNIC_MAP_READ);
    if (from != NULL) {
        *sum = csum->copy(out, from, len, 0);
        return true;
    }
    if (dma_read(&card->pci, hint, addr, out, len, VNIC_DMA_DATA) != VNIC_DMA_OK) {
        return false;
    }
    *sum = csum->add(0, out, len);
    return true;
}

static bool send_ends_pushed(const struct chm_work *w, uint32_t end, uint32_t piece_end)
{
    return end == piece_end && w->len != 0 && send_is_last_piece(w) && (w->flags & CHM_WORK_PUSH) != 0;
}

/* Of new data, which goes on here. */
static void send_remember(struct chimney *m, uint32_t index, const struct send_cursor *at)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (m->train.index == index && !m->train.is_again) {
        c->send_at = at->piece;
        c->send_at_seq = at->seq;
    }
}

const uint8_t *chimney_send_at(struct vnic *card, uint32_t index, struct send_read *r)
{
    struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    if (c->sends == 0) {
        return NULL;
    }
    struct send_cursor at = send_seek(m, c, r->seq);
    const struct chm_work *w = &m->work[at.piece];
    uint32_t offset = r->seq - at.seq;
    const uint8_t *from = offset + r->len <= w->len
                              ? dma_direct(&card->pci, &m->hint_send, w->addr + offset, r->len, VNIC_MAP_READ)
                              : NULL;
    if (from != NULL) {
        r->is_pushed = send_ends_pushed(w, r->seq + r->len, at.seq + w->len);
        send_remember(m, index, &at);
    }
    return from;
}

bool chimney_send_read(struct vnic *card, uint32_t index, struct send_read *r, uint8_t *out)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    uint32_t done = 0;
    r->sum = 0;
    r->is_pushed = false;
    if (c->sends == 0) {
        return false;
    }
    for (struct send_cursor at = send_seek(m, c, r->seq);; send_cursor_advance(m, &at)) {
        const struct chm_work *w = &m->work[at.piece];
        uint32_t offset = r->seq + done - at.seq, n = bits_min32(w->len - offset, r->len - done);
        uint64_t sum = 0;
        if (n != 0 && !send_copy(card, w->addr + offset, n, out + done, &sum)) {
            return false;
        }
        r->sum = csum_join(r->sum, sum, done);
        done += n;
        r->is_pushed |= send_ends_pushed(w, r->seq + done, at.seq + w->len);
        if (done == r->len) {
            send_remember(m, index, &at);
            return true;
        }
        if (at.piece == c->sends) {
            return false; /* more than was queued */
        }
    }
}
