/* chimney_request.h: requests that submissions make up, collected piece by piece. */
#ifndef VNIC_NIC_CHIMNEY_REQUEST_H
#define VNIC_NIC_CHIMNEY_REQUEST_H

#include "nic/chimney.h"

/* ---- what a submission says ---- */

static inline bool request_is(const uint64_t w[], enum chm_submission_op op)
{
    return chm_submission_op(w) == op;
}

static inline bool request_is_abort(const uint64_t w[])
{
    return request_is(w, CHM_SUBMISSION_OP_DISCONNECT) && chm_submission_abortive(w) != 0;
}

/* Its bytes are to be sent: one that is refused makes a gap, behind which nothing may follow. */
static inline bool request_sends(const uint64_t w[])
{
    return request_is(w, CHM_SUBMISSION_OP_SEND)
           || (request_is(w, CHM_SUBMISSION_OP_DISCONNECT) && !request_is_abort(w));
}

/* The connection that it names, or 0. */
static inline uint32_t request_connection(const struct chimney *m, const uint64_t w[])
{
    return chimney_find(m, CHM_OBJECT_TCP, (uint32_t)chm_submission_handle(w));
}

/* ---- the request at hand ---- */

static inline bool request_is_open(const struct chm_submission_ring *s)
{
    return s->request_handle != 0;
}

static inline bool request_belongs(const struct chm_submission_ring *s, const uint64_t w[])
{
    return s->request_handle == chm_submission_handle(w) && s->request_op == chm_submission_op(w);
}

/* A submission of no bytes behind others needs no entry of its own, nor does what is carried out at once. */
static inline bool request_needs_work(const struct chm_submission_ring *s, const uint64_t w[])
{
    bool is_forward = request_is(w, CHM_SUBMISSION_OP_FORWARD);
    if (request_is_abort(w) || (is_forward && !chm_submission_more(w))) {
        return false;
    }
    return s->pieces == 0 || chm_submission_len(w) != 0;
}

/* ---- chimney_judge.c ---- */

/* [CHM-20] Of a request's first submission. */
enum chm_status request_check(const struct chimney *m, unsigned pair, const uint64_t w[]);
/* What becomes of the request with this submission. Its connection may have changed since the first one. */
enum chm_status request_judge(const struct chimney *m, unsigned pair, const uint64_t w[]);
/* The pair on whose completion ring a request of that handle ends. */
unsigned request_report_pair(const struct vnic *card, unsigned pair, uint32_t handle);
/* The submission can be taken now: what may have to be reported of it finds a slot, behind what is pending. */
bool request_may_take(const struct vnic *card, unsigned pair, const uint64_t w[]);
/* Most bytes that taking it moves. */
uint64_t request_next_bytes(const uint64_t w[]);

/* ---- chimney_request.c ---- */

/* Takes it: false when it ends the request before it, which it does not belong to, and has to be taken again. */
bool request_take(struct vnic *card, unsigned pair, const uint64_t w[], uint64_t *bytes);
/* The request being collected is forgotten. */
void request_forget(struct chimney *m, unsigned pair);

#endif
