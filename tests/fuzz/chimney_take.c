/* chimney_take.c: a driver takes completions, frames and interrupts, and looks at every byte that it is given. */
#include "chimney_scene.h"
#include "gen/descriptors.h"
#include "gen/vnic_bar0.h"
#include "see.h"

#define MIX 0x100000001B3u

static struct stream *stream_of(struct scene *s, uint32_t handle)
{
    for (uint32_t i = 0; i < SCENE_PLACES && handle != 0; i++) {
        if (s->handle[i] == handle) {
            return &s->stream[i];
        }
    }
    return NULL;
}

/* Handles of what was made are noted by their cookies. */
static const char *take_admin(struct scene *s, const uint64_t *w)
{
    const uint32_t said = (uint32_t)chm_admin_completion_cookie(w), cookie = said % SCENE_HANDLES;

    if (chm_admin_completion_op(w) != CHM_OP_CREATE || chm_admin_completion_status(w) != CHM_STATUS_OK) {
        return NULL;
    }
    s->handle[cookie] = (uint32_t)chm_admin_completion_handle(w);
    if (cookie < SCENE_PLACES) {
        struct stream *t = &s->stream[cookie];
        stream_start(t, (uint8_t)cookie, SCENE_ISS, SCENE_IRS);
        s->peer_seq[cookie] = SCENE_IRS;
        t->knows_sent = t->knows_received = !s->is_forged && (said & SCENE_PLAIN) != 0;
    }
    return (said & SCENE_UNSOUND) != 0 ? "an image is taken that nobody may take" : NULL;
}

static const char *take_data(struct scene *s, const uint64_t *w)
{
    const uint32_t at = BUFFERS_AT + (uint32_t)chm_data_index(w) % SCENE_RING * BUFFER_BYTES;
    const uint32_t len = (uint32_t)chm_data_len(w);
    struct stream *t = stream_of(s, (uint32_t)chm_data_handle(w));

    s->pool_taken++;
    if (t == NULL || !t->knows_received) {
        return NULL;
    }
    return len > BUFFER_BYTES ? "more data than a buffer holds"
                              : stream_take_pool(t, (uint32_t)chm_data_seq(w), s->memory + at, len);
}

/* [CHM-46] What did not end well may have bytes in it; only what came LATE has none. */
static const char *take_receives(struct scene *s, const uint64_t *w)
{
    const uint32_t status = (uint32_t)chm_completion_status(w), count = (uint32_t)chm_completion_count(w);
    struct stream *t = stream_of(s, (uint32_t)chm_completion_handle(w));

    if (t == NULL) {
        return NULL;
    }
    if (status == CHM_STATUS_LATE && count <= t->count) {
        t->first = (t->first + count) % STREAM_POSTED;
        t->count -= count;
        return NULL;
    }
    t->knows_received = t->knows_received && status == CHM_STATUS_OK;
    return stream_take_posted(t, count, (uint32_t)chm_completion_bytes(w), s->memory);
}

static const char *take_sends(struct scene *s, const uint64_t *w)
{
    const uint32_t count = (uint32_t)chm_completion_count(w);
    struct stream *t = stream_of(s, (uint32_t)chm_completion_handle(w));

    if (t == NULL || !t->knows_sent) {
        return NULL;
    }
    if (count > t->unsent_requests) {
        return "more sends are complete than there were";
    }
    t->unsent_requests -= count;
    return NULL;
}

static const char *take_one(struct scene *s, const uint64_t *w)
{
    struct stream *t;

    switch (chm_completion_type(w)) {
    case COMPLETION_TYPE_CHM_ADMIN:
        return take_admin(s, w);
    case COMPLETION_TYPE_CHM_SEND:
        return take_sends(s, w);
    case COMPLETION_TYPE_CHM_RECEIVE:
        return take_receives(s, w);
    case COMPLETION_TYPE_CHM_DATA:
        return take_data(s, w);
    case COMPLETION_TYPE_CHM_EVENT:
        t = stream_of(s, (uint32_t)chm_event_entry_handle(w));
        if (t != NULL && chm_event_entry_event(w) == CHM_EVENT_ABORT) {
            t->knows_sent = t->knows_received = false;
        }
        return NULL;
    default:
        return NULL;
    }
}

static const char *take_completions(struct scene *s)
{
    const char *wrong = NULL;

    for (uint32_t i = 0; i < SCENE_COMPLETIONS && wrong == NULL; i++) {
        const uint64_t *w =
            scene_words(s, CQ_AT) + s->cq_seen % SCENE_COMPLETIONS * (size_t)CHM_COMPLETION_WORDS;
        if (chm_completion_gen(w) != (s->cq_seen / SCENE_COMPLETIONS + 1) % 2) {
            break;
        }
        see_bytes(w, CHM_COMPLETION_BYTES);
        wrong = take_one(s, w);
        s->cq_seen++;
    }
    scene_write(s, REG_QP_CQ_TAIL, (s->cq_seen + SCENE_COMPLETIONS - 1) % SCENE_COMPLETIONS);
    return s->is_forged ? NULL : wrong;
}

static void say(struct scene *s, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < len; i++) {
        s->said = (s->said ^ at[i]) * MIX;
    }
}

static const char *take_frames(struct scene *s)
{
    struct vnic_frame frames[32];
    const size_t count = vnic_frames(s->card, frames, 32);
    const char *wrong = NULL;

    for (size_t i = 0; i < count; i++) {
        see_bytes(frames[i].data, frames[i].len);
        say(s, frames[i].data, frames[i].len);
        if (wrong == NULL && !s->is_forged) {
            wrong = stream_judge_frame(s->stream, SCENE_PLACES, frames[i].data, frames[i].len, SCENE_PORT);
        }
    }
    vnic_frames_release(s->card, count);
    return wrong;
}

void scene_take_interrupts(struct scene *s)
{
    struct vnic_interrupt taken[16];
    const size_t count = vnic_interrupts(s->card, taken, 16);

    for (size_t i = 0; i < count; i++) {
        say(s, &taken[i].kind, sizeof taken[i].kind);
        say(s, &taken[i].data, sizeof taken[i].data);
    }
}

const char *scene_take(struct scene *s)
{
    const char *frames = take_frames(s),
               *wrong = take_completions(s); /* a place may be another's from here on */

    scene_take_interrupts(s);
    return frames != NULL ? frames : wrong;
}
