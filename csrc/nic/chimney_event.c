/* chimney_event.c: the report engine: completions, events and fences, one a step. */
#include "base/bits.h"
#include "nic/chimney_place.h"
#include "nic/chimney_report.h"
#include "nic/completion.h"

#define RETRIEVE_MANDATORY                                                                                   \
    (1u << CHM_REASON_RECEIVED_URGENT_DATA | 1u << CHM_REASON_TIMEOUT_EXPIRATION                             \
     | 1u << CHM_REASON_INVALID_STATE | 1u << CHM_REASON_UPLOAD_REQUESTED                                    \
     | 1u << CHM_REASON_HARDWARE_FAILURE)

/* ---- asking to be uploaded ---- */

static bool retrieve_is_mandatory(uint32_t reason)
{
    return (RETRIEVE_MANDATORY >> reason & 1u) != 0;
}

/* [CHM-62] Nothing more is asked for after a mandatory reason. One that cannot wait takes the place of one that can; of
 * two that can the second comes when it arises again. */
void report_retrieve(struct vnic *card, uint32_t index, enum chm_reason reason)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    if (chimney_has(c, CHM_ENDING | CHM_ABORTED) || (c->retrieved & (RETRIEVE_MANDATORY | 1u << reason)) != 0
        || (!retrieve_is_mandatory(reason) && (c->pending & CHM_PENDING_RETRIEVE) != 0)) {
        return;
    }
    c->retrieved |= (uint16_t)(1u << reason);
    c->pending &= (1u << CHM_PENDING_REASON_SHIFT) - 1;
    chimney_report(card, index, CHM_PENDING_RETRIEVE | (uint32_t)reason << CHM_PENDING_REASON_SHIFT);
}

void chimney_retrieve(struct vnic *card, uint32_t index, enum chm_reason reason)
{
    struct chimney *m = card->chimney;
    report_retrieve(card, index, reason);
    if (retrieve_is_mandatory(reason)) {
        chimney_connection(m, index)->flags |= CHM_STOPPED;
        push_stop(m, index);
    }
}

/* ---- entries of a connection; false: the completion ring stopped ---- */

static bool event_requests(struct vnic *card, unsigned pair, uint32_t index, enum completion_type type,
                           uint32_t count, uint32_t bytes)
{
    const struct chm_connection *c = chimney_connection(card->chimney, index);
    uint64_t words[CHM_COMPLETION_WORDS] = {[3] = type};
    chm_completion_set_handle(words, chimney_handle(index, c->generation));
    chm_completion_set_count(words, count);
    chm_completion_set_status(words, CHM_STATUS_OK);
    chm_completion_set_bytes(words, bytes);
    return report_write(card, pair, words);
}

static bool event_write(struct vnic *card, unsigned pair, uint32_t handle, enum chm_event event,
                        uint32_t count, uint32_t more)
{
    uint64_t words[CHM_EVENT_ENTRY_WORDS] = {[3] = COMPLETION_TYPE_CHM_EVENT};
    chm_event_entry_set_handle(words, handle);
    chm_event_entry_set_count(words, count);
    chm_event_entry_set_event(words, event);
    if (event == CHM_EVENT_RETRIEVE) {
        chm_event_entry_set_reason(words, more);
    } else {
        chm_event_entry_set_acked(words, more);
    }
    return report_write(card, pair, words);
}

static uint32_t event_handle(const struct chimney *m, uint32_t index)
{
    return chimney_handle(index, chimney_connection(m, index)->generation);
}

static void event_sends(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    if (event_requests(card, pair, index, COMPLETION_TYPE_CHM_SEND, c->sends_done, 0)) {
        c->sends_done = 0;
        c->pending &= ~(uint32_t)CHM_PENDING_SEND;
    }
}

/* [CHM-24] Of an abortive one: what was held ends here. */
static void event_disconnect(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    bool is_abortive = chimney_has(c, CHM_ABORTED) && (c->pending & CHM_PENDING_ABORT) == 0;
    uint32_t bytes = is_abortive ? c->placed : 0;
    if (!event_requests(card, pair, index, COMPLETION_TYPE_CHM_DISCONNECT, 1, bytes)) {
        return;
    }
    c->pending &= ~(uint32_t)CHM_PENDING_DISCONNECT;
    if (is_abortive) {
        post_drop(m, index);
        place_forget_waiting(card, index);
    }
}

static void event_fin(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_FIN, 0, 0)) {
        c->flags |= CHM_FIN_REPORTED;
        c->pending &= ~(uint32_t)CHM_PENDING_FIN;
        c->pending |= c->post_open != 0 ? CHM_PENDING_RECEIVE : 0; /* [CHM-46] */
    }
}

/* [CHM-47] What is received and was not delivered stays until TERMINATE. */
static void event_abort(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_ABORT, c->placed,
                    chimney_send_partial(m, index))) {
        c->pending = 0;
        chimney_send_drop(m, index);
        post_drop(m, index);
        if (chimney_has(c, CHM_ENDING) && chimney_waiting(m, index) != 0) {
            c->pending = CHM_PENDING_RECEIVE;
        }
    }
}

static void event_retrieve(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_RETRIEVE, 0,
                    c->pending >> CHM_PENDING_REASON_SHIFT)) {
        c->pending &= (1u << CHM_PENDING_REASON_SHIFT) - 1 - CHM_PENDING_RETRIEVE;
        m->stat[CHM_STAT(UPLOADS_ASKED)]++;
    }
}

static void event_backlog(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    if (event_write(card, pair, event_handle(m, index), CHM_EVENT_SEND_BACKLOG, c->backlog, 0)) {
        c->pending &= ~(uint32_t)CHM_PENDING_BACKLOG;
    }
}

/* ---- a connection's turn ---- */

/* [CHM-64] What need not be asked is not when one side has closed meanwhile. */
static bool event_is_void(const struct chimney *m, uint32_t index, uint32_t pending)
{
    return (pending & CHM_PENDING_RETRIEVE) != 0
           && !retrieve_is_mandatory(pending >> CHM_PENDING_REASON_SHIFT) && !chimney_may_ask(m, index);
}

/* Of one that is being terminated the image says the rest; of one that was reset ABORT does. */
static void event_forget_void(const struct chimney *m, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (event_is_void(m, index, c->pending)) {
        c->pending &= (1u << CHM_PENDING_REASON_SHIFT) - 1 - CHM_PENDING_RETRIEVE;
    }
    if (chimney_has(c, CHM_ENDING | CHM_ABORTED)) {
        c->pending &= CHM_PENDING_SEND | CHM_PENDING_RECEIVE | CHM_PENDING_DISCONNECT | CHM_PENDING_ABORT;
    }
}

/* The first of these, in the order of enum chm_pending; false: there is none. */
static bool event_write_next(struct vnic *card, unsigned pair, uint32_t index, uint32_t pending)
{
    if (pending & CHM_PENDING_DISCONNECT) {
        event_disconnect(card, pair, index);
    } else if (pending & CHM_PENDING_FIN) {
        event_fin(card, pair, index);
    } else if (pending & CHM_PENDING_ABORT) {
        event_abort(card, pair, index);
    } else if (pending & CHM_PENDING_RETRIEVE) {
        event_retrieve(card, pair, index);
    } else if (pending & CHM_PENDING_BACKLOG) {
        event_backlog(card, pair, index);
    } else {
        return false;
    }
    return true;
}

/* Data first, then the FIN; false: neither can go on now. What is here all the same, and the FIN, TERMINATE tells of. */
static bool event_of_data(struct vnic *card, uint32_t index, uint64_t *bytes, bool *is_starved)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    if ((c->pending & CHM_PENDING_RECEIVE) && chimney_place_step(card, index, bytes)) {
        return true;
    }
    *is_starved = place_state(card, index) == PLACE_STARVED;
    if (!*is_starved) {
        bool is_kept = chimney_waiting(card->chimney, index) != 0;
        c->pending &= ~(uint32_t)(is_kept ? CHM_PENDING_RECEIVE | CHM_PENDING_FIN : CHM_PENDING_RECEIVE);
    }
    return false;
}

/* One piece of work; false when all that is left waits for a pool buffer. Sends and data that are done come first, and
 * the FIN follows all data. */
static bool event_of_connection(struct vnic *card, unsigned pair, uint32_t index, uint64_t *bytes)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    bool is_starved = false;
    event_forget_void(card->chimney, index);
    if (c->pending & CHM_PENDING_SEND) {
        *bytes += COMPLETION_BYTES;
        event_sends(card, pair, index);
        return true;
    }
    if ((c->pending & (CHM_PENDING_RECEIVE | CHM_PENDING_FIN))
        && event_of_data(card, index, bytes, &is_starved)) {
        return true;
    }
    uint32_t fin = is_starved ? CHM_PENDING_FIN : 0;
    bool is_written = event_write_next(card, pair, index, c->pending & ~fin);
    *bytes += is_written ? COMPLETION_BYTES : 0;
    return is_written;
}

static uint64_t event_turn(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    uint32_t index = report_next(card, pair);
    uint64_t bytes = 0;
    __builtin_prefetch(&m->connections[chimney_connection(m, index)->report_next]);
    bool is_done = event_of_connection(card, pair, index, &bytes);
    report_settle(card, index, !is_done);
    m->report_turn = (uint8_t)((pair + 1) % card->config.queue_pairs);
    return bytes;
}

/* ---- neighbours and fences ---- */

static uint64_t event_query(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t index = chimney_reach_take(m);
    const struct chm_neighbour *n = &m->neighbours[index];
    m->stat[CHM_STAT(NEIGHBOUR_QUERIES)]++;
    (void)event_write(card, m->admin.queue, chimney_handle(index, n->generation), CHM_EVENT_NEIGHBOUR_QUERY,
                      n->query_delta, 0);
    return COMPLETION_BYTES;
}

/* A ring that has stopped gets none. */
static bool event_can_fence(const struct vnic *card, unsigned pair)
{
    const struct completion_ring *cq = &card->state.pair[pair].cq;
    return (card->chimney->fences >> pair & 1u) && (!cq->ring.is_running || completion_free(cq) != 0);
}

static uint64_t event_fence(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    uint64_t words[CHM_FENCE_WORDS] = {[3] = COMPLETION_TYPE_CHM_FENCE};
    m->fences &= ~(1u << pair);
    if (!card->state.pair[pair].cq.ring.is_running) {
        return 0;
    }
    chm_fence_set_generation(words, card->state.rss.generation);
    m->stat[CHM_STAT(FENCES)]++;
    chimney_write_entry(card, pair, words);
    return COMPLETION_BYTES;
}

/* ---- the engine ---- */

enum event_kind { EVENT_NONE, EVENT_FENCE, EVENT_MOVE, EVENT_QUERY, EVENT_TURN };
struct event_choice {
    enum event_kind kind;
    unsigned pair;
};

static bool event_has_turn(const struct vnic *card, unsigned pair)
{
    return report_next(card, pair) != 0 && chimney_may_report(card, pair);
}

/* The first pair from the turn on for which it holds; as many as there are: none. */
static unsigned event_find(const struct vnic *card, bool (*holds)(const struct vnic *card, unsigned pair))
{
    unsigned pairs = card->config.queue_pairs;
    for (unsigned n = 0, pair = card->chimney->report_turn; n < pairs; n++, pair = (pair + 1) % pairs) {
        if (holds(card, pair)) {
            return pair;
        }
    }
    return pairs;
}

static struct event_choice event_choose(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    unsigned pairs = card->config.queue_pairs;
    if (!m || !m->is_enabled || !card->pci.is_master) {
        return (struct event_choice){EVENT_NONE, 0};
    }
    if (m->fences != 0) {
        unsigned pair = event_find(card, event_can_fence);
        return (struct event_choice){pair < pairs ? EVENT_FENCE : EVENT_NONE, pair};
    }
    if (m->moving_first != 0) {
        return (struct event_choice){EVENT_MOVE, 0};
    }
    if (m->query_first != 0 && chimney_may_report(card, m->admin.queue)) {
        return (struct event_choice){EVENT_QUERY, 0};
    }
    unsigned pair = event_find(card, event_has_turn);
    return (struct event_choice){pair < pairs ? EVENT_TURN : EVENT_NONE, pair};
}

bool chimney_report_is_runnable(const struct vnic *card)
{
    return event_choose(card).kind != EVENT_NONE;
}

/* A pool buffer and its entry, or the entries of a pool. */
uint64_t chimney_report_next_bytes(const struct vnic *card)
{
    uint32_t most = CHM_POOL_CACHED * CHM_POOL_BUFFER_BYTES + BLOCK_BYTES;
    for (unsigned pair = 0; pair < card->config.queue_pairs; pair++) {
        most = bits_max32(most, card->chimney->queue[pair].pool.buf_len);
    }
    return most + 2 * COMPLETION_BYTES;
}

uint64_t chimney_report_step(struct vnic *card)
{
    struct event_choice choice = event_choose(card);
    switch (choice.kind) {
    case EVENT_FENCE:
        return event_fence(card, choice.pair);
    case EVENT_MOVE:
        report_move(card);
        return 0;
    case EVENT_QUERY:
        return event_query(card);
    case EVENT_TURN:
        return event_turn(card, choice.pair);
    default:
        return 0;
    }
}
