/* chimney_requests.c: submissions: sends and receives whose bytes are known, and others. */
#include <string.h>

#include "chimney_acts.h"
#include "gen/descriptors.h"
#include "gen/vnic_bar0.h"

enum { SUBMISSION_OPS = 7 };

static uint32_t submissions_left(struct scene *s)
{
    const uint32_t head = (uint32_t)vnic_read(s->card, 0, REG_CHQ_SQ_HEAD, 4);

    return SCENE_RING - 1 - (s->sq_tail - head) % SCENE_RING;
}

static uint64_t *submission_next(struct scene *s, uint64_t op, uint32_t handle)
{
    uint64_t *w = scene_words(s, SQ_AT) + s->sq_tail * (size_t)CHM_SUBMISSION_WORDS;

    s->sq_tail = (s->sq_tail + 1) % SCENE_RING;
    memset(w, 0, CHM_SUBMISSION_BYTES);
    chm_submission_set_op(w, op);
    chm_submission_set_handle(w, handle);
    return w;
}

/* Areas start anew when nobody uses them; false: there is no room. */
static bool area_has(struct scene *s, uint32_t *used, bool is_of_sends, uint32_t len)
{
    uint32_t users = 0;

    for (uint32_t i = 0; i < SCENE_PLACES; i++) {
        users += is_of_sends ? s->stream[i].unsent_requests : s->stream[i].count;
    }
    *used = users == 0 ? 0 : *used;
    return len <= AREA_BYTES - *used;
}

static void submit_piece(struct scene *s, uint32_t number, uint32_t len, uint64_t flags)
{
    struct stream *t = &s->stream[number];
    uint64_t *w = submission_next(s, CHM_SUBMISSION_OP_SEND, s->handle[number]);
    const uint32_t at = SENDS_AT + s->sends_used;

    for (uint32_t i = 0; i < len; i++) {
        s->memory[at + i] = stream_host_byte(t, t->sent + i);
    }
    chm_submission_set_addr(w, SCENE_IOVA + at);
    chm_submission_set_len(w, len);
    w[2] |= flags;
    t->sent += len;
    s->sends_used += len;
}

static void submit_send(struct scene *s, uint32_t number, struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint32_t len = 1 + (pick < 128 ? pick : word_take(b) % 8000), first = pick % 8 == 7 ? len / 3 : 0;
    const uint64_t flags = pick % 4 == 1 ? CHM_SUBMISSION_PUSH_MASK : 0;

    if (!area_has(s, &s->sends_used, true, len)) {
        return;
    }
    if (first != 0) {
        submit_piece(s, number, first, CHM_SUBMISSION_MORE_MASK);
    }
    submit_piece(s, number, len - first, flags);
    s->stream[number].unsent_requests++;
}

static void submit_receive(struct scene *s, uint32_t number, struct scene_bytes *b)
{
    struct stream *t = &s->stream[number];
    const uint32_t len = 1 + word_take(b) % 3000, at = RECEIVES_AT + s->receives_used;
    const uint8_t pick = byte_take(b);

    if (!area_has(s, &s->receives_used, false, len) || (t->knows_received && !stream_post(t, at, len))) {
        return;
    }
    uint64_t *w = submission_next(s, CHM_SUBMISSION_OP_RECEIVE, s->handle[number]);
    s->receives_used += len;
    chm_submission_set_addr(w, SCENE_IOVA + at);
    chm_submission_set_len(w, len);
    chm_submission_set_data_count(w, t->pooled);
    chm_submission_set_no_push(w, pick % 4 == 3);
    chm_submission_set_before(w, pick >= 240);
}

static void submit_credit(struct scene *s, uint32_t number, struct scene_bytes *b)
{
    uint64_t *w = submission_next(s, CHM_SUBMISSION_OP_CREDIT, s->handle[number]);
    const uint8_t pick = byte_take(b);

    chm_submission_set_len(w, pick < 240 ? s->stream[number].pooled * pick / 240u : word_take(b));
}

static void submit_end(struct scene *s, uint32_t number, struct scene_bytes *b)
{
    uint64_t *w = submission_next(s, CHM_SUBMISSION_OP_DISCONNECT, s->handle[number]);

    chm_submission_set_abortive(w, byte_take(b) >= 192);
    s->stream[number].knows_sent = false;
}

static uint64_t address_take(struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);

    return pick < 240 ? SCENE_IOVA + BUFFERS_AT + pick * 8u : (uint64_t)pick << (pick % 60);
}

static void submit_anything(struct scene *s, struct scene_bytes *b)
{
    const uint64_t op = byte_take(b) % SUBMISSION_OPS;
    uint64_t *w = submission_next(s, op, handle_take(s, b));

    chm_submission_set_len(w, word_take(b) % 8192);
    chm_submission_set_addr(w, chm_submission_len(w) != 0 ? address_take(b) : 0);
    w[2] |= (uint64_t)(byte_take(b) & 15) << CHM_SUBMISSION_MORE_SHIFT;
    chm_submission_set_data_count(w, byte_take(b) < 220 ? 0 : word_take(b));
    chm_submission_set_before(w, byte_take(b) < 220 ? 0 : word_take(b));
    if (chm_submission_more(w)) { /* what comes next is a part of it, whosever it is */
        streams_doubt(s);
    }
}

const char *act_submit(struct scene *s, struct scene_bytes *b)
{
    static void (*const honest[])(struct scene *, uint32_t, struct scene_bytes *) = {
        submit_send, submit_receive, submit_send, submit_receive, submit_receive, submit_credit, submit_send,
    };

    for (unsigned n = 1 + byte_take(b) % 3; n > 0 && submissions_left(s) > 2; n--) {
        const uint8_t pick = byte_take(b);
        const uint32_t number = byte_take(b) % SCENE_PLACES;
        if (pick >= HONEST + 8) {
            submit_anything(s, b);
        } else if (pick >= HONEST) {
            submit_end(s, number, b);
        } else {
            honest[pick % (sizeof honest / sizeof honest[0])](s, number, b);
        }
    }
    scene_write(s, REG_CHQ_SQ_TAIL, s->sq_tail);
    return NULL;
}
