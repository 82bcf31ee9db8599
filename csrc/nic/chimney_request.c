/* chimney_request.c: what submissions ask for: pieces collected, and given to who carries them out. */
#include "nic/chimney_request.h"

#include "base/bits.h"
#include "nic/chimney_send.h"
#include "nic/completion.h"

static struct chm_submission_ring *request_ring(struct chimney *m, unsigned pair)
{
    return &m->queue[pair].submissions;
}

/* ---- ends that are not good ---- */

static enum completion_type request_completion_type(uint64_t op)
{
    switch (op) {
    case CHM_SUBMISSION_OP_RECEIVE:
        return COMPLETION_TYPE_CHM_RECEIVE;
    case CHM_SUBMISSION_OP_DISCONNECT:
        return COMPLETION_TYPE_CHM_DISCONNECT;
    case CHM_SUBMISSION_OP_FORWARD:
        return COMPLETION_TYPE_CHM_FORWARD;
    default:
        return COMPLETION_TYPE_CHM_SEND;
    }
}

static void request_write_entry(struct vnic *card, unsigned pair, uint32_t handle, uint64_t op,
                                enum chm_status status)
{
    const struct chimney *m = card->chimney;
    uint32_t index = chimney_find(m, CHM_OBJECT_TCP, handle);
    uint64_t words[COMPLETION_WORDS] = {0};
    chm_completion_set_handle(words, handle);
    chm_completion_set_count(words, 1);
    chm_completion_set_status(words, status);
    if (status == CHM_STATUS_LATE) {
        chm_completion_set_data_count(words, chimney_connection(m, index)->pool_count);
    }
    chm_completion_set_type(words, request_completion_type(op));
    chimney_write_entry(card, request_report_pair(card, pair, handle), words);
}

static void request_close(struct chm_submission_ring *s)
{
    s->request_handle = 0;
    s->pieces = 0;
    s->pieces_last = 0;
    s->bytes = 0;
    s->request_op = 0;
    s->request_status = CHM_STATUS_OK;
}

static void request_drop_pieces(struct chimney *m, struct chm_submission_ring *s)
{
    chimney_work_give(m, s->pieces, s->pieces_last);
    s->pieces = 0;
    s->pieces_last = 0;
    s->bytes = 0;
}

void request_forget(struct chimney *m, unsigned pair)
{
    struct chm_submission_ring *s = request_ring(m, pair);
    request_drop_pieces(m, s);
    request_close(s);
}

/* Earlier ones of its kind are held: the driver gets it back with them, when ABORT or TERMINATE ends them all. */
static bool request_ends_with_others(const struct chimney *m, uint32_t index, const uint64_t w[],
                                     enum chm_status status)
{
    const struct chm_connection *c = chimney_connection(m, index);
    bool is_upload =
        status == CHM_STATUS_UPLOAD || status == CHM_STATUS_XMIT_BUFFER || status == CHM_STATUS_RCV_BUFFER;
    if (!is_upload) {
        return false;
    }
    return request_sends(w) ? c->sends != 0 : request_is(w, CHM_SUBMISSION_OP_RECEIVE) && c->posts != 0;
}

/* [CHM-22] What follows could only be sent out of order, or be received into the wrong request. */
static void request_ask_for_upload(struct vnic *card, uint32_t index, const uint64_t w[],
                                   enum chm_status status)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    bool is_driver_error = status == CHM_STATUS_BAD_COMMAND || status == CHM_STATUS_BAD_LENGTH;
    bool is_short = status == CHM_STATUS_XMIT_BUFFER || status == CHM_STATUS_RCV_BUFFER;
    if (request_sends(w) && (is_driver_error || is_short)) {
        c->flags |= CHM_SENDS_REFUSED;
        chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);
    } else if (is_short && request_is(w, CHM_SUBMISSION_OP_RECEIVE)) {
        chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);
    }
}

static void request_refuse(struct vnic *card, unsigned pair, const uint64_t w[], enum chm_status status)
{
    struct chimney *m = card->chimney;
    uint32_t index = request_connection(m, w), handle = (uint32_t)chm_submission_handle(w);
    if (index == 0 || !request_ends_with_others(m, index, w, status)) {
        request_write_entry(card, pair, handle, chm_submission_op(w), status);
    }
    if (index != 0 && chimney_connection(m, index)->queue == pair) {
        request_ask_for_upload(card, index, w, status);
    }
}

/* ---- carrying out ---- */

static struct chm_work request_work(const uint64_t w[])
{
    unsigned flags = (chm_submission_more(w) ? CHM_WORK_MORE : 0u)
                     | (chm_submission_push(w) ? CHM_WORK_PUSH : 0u)
                     | (chm_submission_no_push(w) ? CHM_WORK_NO_PUSH : 0u);
    bool is_receive = request_is(w, CHM_SUBMISSION_OP_RECEIVE);
    return (struct chm_work){
        .len = (uint32_t)chm_submission_len(w),
        .addr = chm_submission_addr(w),
        .before = is_receive ? (uint32_t)chm_submission_before(w) : 0,
        .op = (uint8_t)chm_submission_op(w),
        .flags = (uint8_t)flags,
    };
}

static void request_add(struct chimney *m, struct chm_submission_ring *s, const uint64_t w[])
{
    struct chm_work work = request_work(w);
    s->bytes += work.len;
    if (!request_needs_work(s, w)) {
        if (s->pieces != 0 && work.len == 0) {
            struct chm_work *last = &m->work[s->pieces_last];
            last->flags = (uint8_t)((last->flags & ~CHM_WORK_MORE) | work.flags);
        }
        return;
    }
    uint32_t index = pool_take(&m->work_pool);
    m->work[index] = work;
    if (s->pieces != 0) {
        m->work[s->pieces_last].next = index;
    } else {
        s->pieces = index;
    }
    s->pieces_last = index;
}

/* [CHM-24] A RST, and silence. The receives held go with the disconnect's completion. */
static void request_abort(struct vnic *card, unsigned pair, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    struct tcp_segment rst;
    bool is_closing = c->sends != 0 && m->work[c->sends].op == CHM_SUBMISSION_OP_DISCONNECT;
    if (tcp_abort(m->engine, &m->tcp[index], card->pci.now_ns, &rst)) {
        chimney_output_segment(card, index, &rst);
    }
    chimney_count_state(card, index, TCP_REASON_ABORTED);
    c->flags |= CHM_ABORTED;
    chimney_output_forget(m, index);
    chimney_send_drop(m, index);
    if (is_closing) {
        request_write_entry(card, pair, chimney_handle(index, c->generation), CHM_SUBMISSION_OP_DISCONNECT,
                            CHM_STATUS_ABORTED);
    }
    chimney_report(card, index, CHM_PENDING_DISCONNECT);
}

/* Reads the segment into the stage; its last piece is the submission itself. */
static bool request_read_segment(struct vnic *card, const struct chm_submission_ring *s, const uint64_t w[])
{
    struct chimney *m = card->chimney;
    uint32_t len = (uint32_t)chm_submission_len(w), at = s->bytes - len, offset = 0;
    for (uint32_t piece = s->pieces; piece != 0 && offset < at; piece = m->work[piece].next) {
        const struct chm_work *part = &m->work[piece];
        if (dma_read(&card->pci, &m->hint_receive, part->addr, m->stage + offset, part->len, VNIC_DMA_DATA)
            != VNIC_DMA_OK) {
            return false;
        }
        offset += part->len;
    }
    return len == 0
           || dma_read(&card->pci, &m->hint_receive, chm_submission_addr(w), m->stage + at, len,
                       VNIC_DMA_DATA)
                  == VNIC_DMA_OK;
}

/* [CHM-50] */
static void request_forward(struct vnic *card, unsigned pair, uint32_t index, const uint64_t w[],
                            uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    struct chm_submission_ring *s = request_ring(m, pair);
    enum chm_status status = CHM_STATUS_DMA;
    uint32_t len = s->bytes;
    if (request_read_segment(card, s, w)) {
        chimney_receive_forwarded(card, index, m->stage, len);
        status = CHM_STATUS_OK;
    }
    *bytes += len;
    request_drop_pieces(m, s);
    request_write_entry(card, pair, (uint32_t)chm_submission_handle(w), CHM_SUBMISSION_OP_FORWARD, status);
}

static void request_post(struct vnic *card, unsigned pair, uint32_t index, const uint64_t w[])
{
    struct chimney *m = card->chimney;
    struct chm_submission_ring *s = request_ring(m, pair);
    enum chm_status status =
        chimney_post(card, index, s->pieces, s->pieces_last, (uint32_t)chm_submission_data_count(w));
    if (status != CHM_STATUS_OK) {
        request_drop_pieces(m, s);
        request_refuse(card, pair, w, status);
        return;
    }
    chimney_habit_posted(m, index);
    chimney_habit_request(card, index, s->bytes);
}

/* A request is complete and sound. */
static void request_carry_out(struct vnic *card, unsigned pair, const uint64_t w[], uint64_t *bytes)
{
    struct chm_submission_ring *s = request_ring(card->chimney, pair);
    uint32_t index = request_connection(card->chimney, w);
    if (request_is_abort(w)) {
        request_abort(card, pair, index);
    } else if (request_sends(w)) {
        chimney_send_append(card, index, s->pieces, s->pieces_last, s->bytes);
        chimney_habit_request(card, index, s->bytes);
    } else if (request_is(w, CHM_SUBMISSION_OP_FORWARD)) {
        request_forward(card, pair, index, w, bytes);
    } else {
        request_post(card, pair, index, w);
    }
    request_close(s);
}

/* Bytes that the driver has and gave no credit for: no more can be consumed. */
static uint32_t request_outstanding(const struct chimney *m, uint32_t index)
{
    uint32_t unread = m->tcp[index].rcv_unread, waiting = chimney_waiting(m, index);
    return unread > waiting ? unread - waiting : 0;
}

/* [CHM-45] Nothing is reported of credit: what names no live connection came too late. */
static void request_credit(struct vnic *card, unsigned pair, const uint64_t w[])
{
    struct chimney *m = card->chimney;
    enum chm_status status = request_check(m, pair, w);
    if (status != CHM_STATUS_OK) {
        if (status == CHM_STATUS_BAD_COMMAND || status == CHM_STATUS_WRONG_QUEUE) {
            card_count_guest_error(card);
        }
        return;
    }
    uint32_t index = request_connection(m, w);
    uint32_t most = request_outstanding(m, index), len = (uint32_t)chm_submission_len(w);
    struct tcp_result result;
    if (len > most) {
        card_count_guest_error(card);
    }
    tcp_consume(m->engine, &m->tcp[index], card->pci.now_ns, bits_min32(len, most), &result);
    chimney_apply(card, index, &result, NULL);
}

/* ---- taking ---- */

/* [CHM-20] The next submission is another's: this request never got its end. */
static void request_break_off(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    struct chm_submission_ring *s = request_ring(m, pair);
    uint64_t w[CHM_SUBMISSION_WORDS] = {0};
    chm_submission_set_handle(w, s->request_handle);
    chm_submission_set_op(w, s->request_op);
    request_forget(m, pair);
    request_refuse(card, pair, w, CHM_STATUS_BAD_COMMAND);
}

bool request_take(struct vnic *card, unsigned pair, const uint64_t w[], uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    struct chm_submission_ring *s = request_ring(m, pair);
    if (request_is_open(s) && !request_belongs(s, w)) {
        request_break_off(card, pair);
        return false;
    }
    if (request_is(w, CHM_SUBMISSION_OP_CREDIT)) {
        request_credit(card, pair, w);
        return true;
    }
    enum chm_status status = request_judge(m, pair, w);
    if (status == CHM_STATUS_OK) {
        request_add(m, s, w);
    } else {
        request_drop_pieces(m, s);
    }
    if (chm_submission_more(w)) {
        s->request_handle = (uint32_t)chm_submission_handle(w);
        s->request_op = (uint8_t)chm_submission_op(w);
        s->request_status = (uint8_t)status;
    } else if (status == CHM_STATUS_OK) {
        request_carry_out(card, pair, w, bytes);
    } else {
        request_close(s);
        request_refuse(card, pair, w, status);
    }
    return true;
}
