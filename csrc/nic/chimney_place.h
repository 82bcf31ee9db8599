/* chimney_place.h: posted receives, receive pools and push timers, as those who deliver data share them. */
#ifndef VNIC_NIC_CHIMNEY_PLACE_H
#define VNIC_NIC_CHIMNEY_PLACE_H

#include "nic/chimney.h"

/* Blocks that are kept for data on its way to a pool buffer, should its entry not find into memory: enough for a packet
 * of the usual size. */
#define PLACE_RESERVE 2u
#define PLACE_PIECES 4u /* of posted receives that one segment is placed in before it is taken */

/* ---- chimney_post.c: posted receives, oldest first ---- */

/* First work entry of the list, or 0. */
static inline uint32_t post_first(const struct chimney *m, const struct chm_connection *c)
{
    return c->posts != 0 ? m->work[c->posts].next : 0;
}

/* The oldest is complete and not reported yet. */
static inline bool post_is_done(const struct chimney *m, const struct chm_connection *c)
{
    return c->posts != 0 && (m->work[post_first(m, c)].flags & CHM_WORK_DONE) != 0;
}

/* n bytes more are in the open request's first piece, which has room for them: [CHM-44] one that is full is complete. */
void post_advance(struct vnic *card, uint32_t index, uint32_t n);
/* The open request is complete as it is. */
void post_finish(struct vnic *card, uint32_t index, enum chm_status status, bool is_pushed);
/* The oldest, which is complete, is the driver's again. */
void post_forget_done(struct chimney *m, uint32_t index);
void post_drop(struct chimney *m, uint32_t index);
/* Something is in the open request, and it need not be full. */
bool post_is_pushable(const struct chimney *m, const struct chm_connection *c);

/* ---- chimney_push.c ---- */

void push_start(struct vnic *card, uint32_t index); /* or again */
void push_stop(struct chimney *m, uint32_t index);

/* ---- chimney_pool.c ---- */

/* A buffer is at hand, or can be read from the ring. */
bool pool_has_buffer(const struct vnic *card, unsigned pair);
/* One DMA: entries of the ring; true when there is a buffer now. */
bool pool_fetch(struct vnic *card, unsigned pair);
/* Waiting data into the front buffer, with its entry: bytes moved. There is a buffer, and a slot. */
uint64_t pool_give_waiting(struct vnic *card, unsigned pair, uint32_t index);
/* A payload into the front buffer; false: not there. */
bool pool_try(struct vnic *card, unsigned pair, const uint8_t *payload, uint32_t len);
/* What pool_try() put there is the next of the connection's data: its entry; false: it could not be written. */
bool pool_commit(struct vnic *card, unsigned pair, uint32_t index, uint32_t len);

/* ---- chimney_place.c ---- */

/* What the REPORT engine finds to do with the connection's data. */
enum place_state {
    PLACE_IDLE,    /* nothing */
    PLACE_READY,   /* chimney_place_step() */
    PLACE_STARVED  /* data waits for a buffer of the pool */
};
enum place_state place_state(const struct vnic *card, uint32_t index);

/* Where the payload of a segment was put before the engine has seen it. */
enum place_early { PLACE_EARLY_NOT, PLACE_EARLY_POST, PLACE_EARLY_POOL };
enum place_early place_try(struct vnic *card, uint32_t index, const uint8_t *payload, uint32_t len);
/* The engine took it: the bytes are delivered. */
void place_commit(struct vnic *card, uint32_t index, enum place_early early, const uint8_t *payload,
                  uint32_t len);

/* What came up to now ends with a push. */
void place_push(struct vnic *card, uint32_t index);
/* Bytes were delivered: the blocks that held them are free. */
void place_trim(struct vnic *card, uint32_t index);
/* Nothing that waits is delivered any more. */
void place_forget_waiting(struct vnic *card, uint32_t index);

/* ---- chimney_report.c ---- */

/* chimney_retrieve() that lets the connection go on: RETRIEVE alone. */
void report_retrieve(struct vnic *card, uint32_t index, enum chm_reason reason);
/* chimney_write_entry(); false: it could not be written, and the pair's rings stopped. */
bool report_write(struct vnic *card, unsigned pair, uint64_t words[4]);

/* ---- chimney_held.c: data out of order, and what is given up for room ---- */

/* After the engine took a segment: is data out of order held? */
void held_follow(struct chimney *m, uint32_t index);
void held_leave(struct chimney *m, uint32_t index);
/* The engine holds nothing out of order any more. */
void held_drop(struct vnic *card, uint32_t index);
/* Blocks for bytes seq .. seq + len are there. */
bool held_has_room(const struct chimney *m, uint32_t index, uint32_t seq, uint32_t len);
/* [CHM-48] The same for bytes in order, if need be at the cost of data out of order. */
bool held_make_room(struct vnic *card, uint32_t index, uint32_t seq, uint32_t len);

#endif
