/* chimney_judge.c: whether a submission can be taken now, and whether its request is sound. */
#include "nic/chimney_request.h"
#include "nic/completion.h"
#include "nic/emit.h"
#include "wire/frame.h"

#define FORWARD_PIECES_MAX 32u
#define RESET_FRAME_MAX 128u
#define REQUEST_PENDING (CHM_PENDING_SEND | CHM_PENDING_DISCONNECT | CHM_PENDING_ABORT)

#define SUBMISSION_W2_USED                                                                                   \
    (CHM_SUBMISSION_OP_MASK | CHM_SUBMISSION_MORE_MASK | CHM_SUBMISSION_PUSH_MASK                            \
     | CHM_SUBMISSION_NO_PUSH_MASK | CHM_SUBMISSION_ABORTIVE_MASK | CHM_SUBMISSION_DATA_COUNT_MASK)

/* ---- sound ---- */

static bool request_is_sound(const uint64_t w[])
{
    uint64_t op = chm_submission_op(w);
    bool may_go_on = op != CHM_SUBMISSION_OP_CREDIT && !request_is_abort(w);
    return op >= CHM_SUBMISSION_OP_SEND && op <= CHM_SUBMISSION_OP_FORWARD
           && (w[2] & ~SUBMISSION_W2_USED) == 0 && (w[3] & ~CHM_SUBMISSION_BEFORE_MASK) == 0
           && (may_go_on || !chm_submission_more(w));
}

static enum chm_status request_check_state(const struct chimney *m, uint32_t index, const uint64_t w[])
{
    const struct chm_connection *c = chimney_connection(m, index);
    if (chimney_has(c, CHM_ABORTED)) {
        return CHM_STATUS_ABORTED;
    }
    if (chimney_has(c, CHM_ENDING | CHM_STOPPED | CHM_INVALID) || m->tcp[index].state == TCP_STATE_CLOSED) {
        return CHM_STATUS_UPLOAD;
    }
    if (!request_sends(w)) {
        return CHM_STATUS_OK;
    }
    if (chimney_has(c, CHM_SENDS_REFUSED)) {
        return CHM_STATUS_UPLOAD;
    }
    return tcp_has(&m->tcp[index], TCP_FIN_QUEUED) ? CHM_STATUS_BAD_STATE : CHM_STATUS_OK;
}

enum chm_status request_check(const struct chimney *m, unsigned pair, const uint64_t w[])
{
    if (!request_is_sound(w)) {
        return CHM_STATUS_BAD_COMMAND;
    }
    uint32_t index = request_connection(m, w);
    if (index == 0) {
        return CHM_STATUS_BAD_HANDLE;
    }
    if (chimney_connection(m, index)->queue != pair) {
        return CHM_STATUS_WRONG_QUEUE;
    }
    return request_check_state(m, index, w);
}

static enum chm_status request_check_len(uint32_t before, const uint64_t w[])
{
    uint64_t len = before + chm_submission_len(w);
    bool is_last = !chm_submission_more(w), is_sound = len <= CHM_WINDOW_MAX;
    if (request_is(w, CHM_SUBMISSION_OP_FORWARD)) {
        is_sound = len <= CHM_SEGMENT_MAX && (!is_last || len >= WIRE_TCP_LEN);
    } else if (request_is_abort(w)) {
        is_sound = len == 0;
    }
    return is_sound ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;
}

static uint32_t request_pieces(const struct chimney *m, const struct chm_submission_ring *s)
{
    uint32_t n = s->pieces != 0;
    for (uint32_t at = s->pieces; at != s->pieces_last; at = m->work[at].next) {
        n++;
    }
    return n;
}

/* [CHM-22] */
static enum chm_status request_check_room(const struct chimney *m, const struct chm_submission_ring *s,
                                          const uint64_t w[])
{
    enum chm_status none = request_sends(w) ? CHM_STATUS_XMIT_BUFFER : CHM_STATUS_RCV_BUFFER;
    if (request_needs_work(s, w) && pool_left(&m->work_pool) == 0) {
        return none;
    }
    if (request_is(w, CHM_SUBMISSION_OP_FORWARD)) {
        return request_pieces(m, s) < FORWARD_PIECES_MAX ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;
    }
    if (!request_sends(w)) {
        return CHM_STATUS_OK;
    }
    const struct tcp_connection *t = &m->tcp[request_connection(m, w)];
    uint32_t queued = t->snd_end - t->snd_una;
    return queued + s->bytes + chm_submission_len(w) <= CHM_WINDOW_MAX ? CHM_STATUS_OK : none;
}

enum chm_status request_judge(const struct chimney *m, unsigned pair, const uint64_t w[])
{
    const struct chm_submission_ring *s = &m->queue[pair].submissions;
    enum chm_status status = s->request_status;
    status = status != CHM_STATUS_OK ? status : request_check(m, pair, w);
    status = status != CHM_STATUS_OK ? status : request_check_len(s->bytes, w);
    return status != CHM_STATUS_OK ? status : request_check_room(m, s, w);
}

/* ---- whether ---- */

unsigned request_report_pair(const struct vnic *card, unsigned pair, uint32_t handle)
{
    const struct chimney *m = card->chimney;
    uint32_t index = chimney_find(m, CHM_OBJECT_TCP, handle);
    return index != 0 ? chimney_report_pair(card, chimney_connection(m, index)) : pair;
}

/* [CHM-60] Receives that are complete are reported before one that comes later. */
static bool request_is_behind_receives(const struct chimney *m, uint32_t index)
{
    const struct chm_connection *c = chimney_connection(m, index);
    return c->posts != 0 && (m->work[m->work[c->posts].next].flags & CHM_WORK_DONE) != 0;
}

/* What is complete and not reported yet goes before the end of this one. */
static bool request_is_in_order(const struct chimney *m, unsigned pair, const uint64_t w[], uint32_t index)
{
    uint32_t pending = chimney_connection(m, index)->pending;
    if (request_is(w, CHM_SUBMISSION_OP_RECEIVE)) {
        return (pending & CHM_PENDING_ABORT) == 0 && !request_is_behind_receives(m, index);
    }
    if ((pending & REQUEST_PENDING) == 0) {
        return true;
    }
    return !request_is_abort(w) && request_judge(m, pair, w) == CHM_STATUS_OK;
}

bool request_may_take(const struct vnic *card, unsigned pair, const uint64_t w[])
{
    const struct chimney *m = card->chimney;
    const struct chm_submission_ring *s = &m->queue[pair].submissions;
    if (request_is_open(s) && !request_belongs(s, w)) {
        return chimney_may_report(card, request_report_pair(card, pair, s->request_handle));
    }
    if (chm_submission_more(w) || request_is(w, CHM_SUBMISSION_OP_CREDIT)) {
        return true;
    }
    if (request_is_abort(w) && !emit_has_room(card, RESET_FRAME_MAX)) {
        return false;
    }
    uint32_t index = request_connection(m, w);
    if (index == 0) {
        return chimney_may_report(card, pair);
    }
    return chimney_may_report(card, chimney_report_pair(card, chimney_connection(m, index)))
           && request_is_in_order(m, pair, w, index);
}

uint64_t request_next_bytes(const uint64_t w[])
{
    uint64_t moved = request_is(w, CHM_SUBMISSION_OP_FORWARD) ? 2 * CHM_SEGMENT_MAX : 0;
    return moved + 2 * COMPLETION_BYTES;
}
