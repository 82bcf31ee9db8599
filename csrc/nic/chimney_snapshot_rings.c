/* chimney_snapshot_rings.c: the admin ring with the command at hand, submission rings and receive pools. */
#include "nic/chimney_admin.h"
#include "nic/chimney_snapshot.h"

/* Of what was fetched, no more than the ring holds. */
static void cached_archive(struct archive *a, uint16_t tag, const struct ring *r, uint32_t *cached,
                           uint32_t most)
{
    ARCHIVE(a, tag, *cached, most);
    archive_refuse_if(a, *cached != 0 && (!r->is_running || *cached > ring_owned(r)));
}

/* ---- admin ---- */

static void admin_archive_words(struct archive *a, struct chm_admin *admin)
{
    for (unsigned i = 0; i < CHM_COMMAND_WORDS; i++) {
        ARCHIVE(a, CHM_TAG_ADMIN + 2, admin->command[i], UINT64_MAX);
    }
    for (unsigned i = 0; i < CHM_TCP_WORDS; i++) {
        ARCHIVE(a, CHM_TAG_ADMIN + 3, admin->image[i], UINT64_MAX);
    }
}

static bool admin_is_live(const struct chimney *m, enum chm_object object, uint32_t index)
{
    switch (object) {
    case CHM_OBJECT_NEIGHBOUR:
        return index <= m->tops[0] && (m->neighbours[index].flags & CHM_LIVE) != 0;
    case CHM_OBJECT_PATH:
        return index <= m->tops[1] && (m->paths[index].flags & CHM_LIVE) != 0;
    case CHM_OBJECT_TCP:
        return index <= m->tops[2] && chimney_has(chimney_connection(m, index), CHM_LIVE);
    default:
        return false;
    }
}

static bool admin_names_objects(const struct chimney *m)
{
    const struct chm_admin *admin = &m->admin;
    return (admin->walk == 0 || admin_is_live(m, CHM_OBJECT_TCP, admin->walk))
           && (admin->walk_path == 0 || admin_is_live(m, CHM_OBJECT_PATH, admin->walk_path))
           && (admin->target == 0 || admin_is_live(m, admin_object(admin), admin->target));
}

/* Commands that come to this phase. */
static bool admin_may_be_in(const struct chm_admin *admin)
{
    switch (admin->phase) {
    case CHM_ADMIN_READ:
        return admin_op(admin) == CHM_OP_CREATE || admin_op(admin) == CHM_OP_UPDATE;
    case CHM_ADMIN_LIST:
        return admin_is(admin, CHM_OP_CREATE, CHM_OBJECT_TCP)
               && admin->sends_read <= chm_command_send_count(admin->command);
    case CHM_ADMIN_WALK:
        return admin_op(admin) == CHM_OP_UPDATE || admin_op(admin) == CHM_OP_INVALIDATE;
    case CHM_ADMIN_OWE:
    case CHM_ADMIN_END:
        return admin_is(admin, CHM_OP_TERMINATE, CHM_OBJECT_TCP);
    default:
        return true;
    }
}

/* What was found when the command was fetched would be found now; one that is refused goes straight to its end. */
static bool admin_is_sound(const struct vnic *card)
{
    const struct chm_admin *admin = &card->chimney->admin;
    struct chm_admin again = *admin;
    again.target = 0;
    again.parent = 0;
    if (!admin_names_objects(card->chimney)) {
        return false;
    }
    if (admin->phase == CHM_ADMIN_DONE) {
        return true;
    }
    if (admin_check(card, &again) != CHM_STATUS_OK) {
        return admin->phase == CHM_ADMIN_EXECUTE && admin->status != CHM_STATUS_OK;
    }
    return again.target == admin->target && again.parent == admin->parent && admin_may_be_in(admin);
}

static void admin_archive_command(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    struct chm_admin *admin = &m->admin;
    uint32_t top = m->tops[CHM_OBJECT_TCP - 1];
    for (unsigned k = 0; k < CHM_OBJECT_TCP - 1; k++) {
        top = m->tops[k] > top ? m->tops[k] : top;
    }
    admin_archive_words(a, admin);
    ARCHIVE(a, CHM_TAG_ADMIN + 4, admin->status, UINT8_MAX);
    ARCHIVE(a, CHM_TAG_ADMIN + 5, admin->has_more, 1);
    ARCHIVE(a, CHM_TAG_ADMIN + 6, admin->walk, m->tops[CHM_OBJECT_TCP - 1]);
    ARCHIVE(a, CHM_TAG_ADMIN + 7, admin->walk_path, m->tops[CHM_OBJECT_PATH - 1]);
    ARCHIVE(a, CHM_TAG_ADMIN + 8, admin->target, top);
    ARCHIVE(a, CHM_TAG_ADMIN + 9, admin->parent, top);
    ARCHIVE(a, CHM_TAG_ADMIN + 10, admin->sends_read, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_ADMIN + 11, admin->send_bytes, CHM_WINDOW_MAX);
    ARCHIVE(a, CHM_TAG_ADMIN + 12, admin->has_fin, 1);
    uint64_t bytes = snapshot_work(m, a, &admin->sends, &admin->sends_last);
    archive_refuse_if(a, bytes != admin->send_bytes);
    archive_refuse_if(a, !a->failed && !admin_is_sound(card));
}

void snapshot_admin(struct vnic *card, struct archive *a)
{
    struct chm_admin *admin = &card->chimney->admin;
    ring_archive(&admin->ring, a);
    ARCHIVE(a, CHM_TAG_ADMIN, admin->queue, CARD_PAIRS_MAX - 1);
    ARCHIVE(a, CHM_TAG_ADMIN + 1, admin->phase, CHM_ADMIN_PHASES - 1);
    if (admin->phase != 0 && !a->failed) {
        admin_archive_command(card, a);
    }
}

/* ---- submission rings ---- */

static void submissions_archive(struct chimney *m, struct archive *a, struct chm_submission_ring *s)
{
    ring_archive(&s->ring, a);
    cached_archive(a, CHM_TAG_QUEUE, &s->ring, &s->cached, CHM_SUBMISSIONS_CACHED);
    for (uint32_t i = 0; i < s->cached && !a->failed; i++) {
        archive_bytes(a, CHM_TAG_QUEUE + 1, s->entry[(s->ring.head + i) % CHM_SUBMISSIONS_CACHED],
                      CHM_SUBMISSION_BYTES);
    }
    ARCHIVE(a, CHM_TAG_QUEUE + 2, s->request_handle, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_QUEUE + 3, s->request_op, UINT8_MAX);
    ARCHIVE(a, CHM_TAG_QUEUE + 4, s->request_status, UINT8_MAX);
    uint64_t bytes = snapshot_work(m, a, &s->pieces, &s->pieces_last);
    s->bytes = archive_is_loading(a) ? (uint32_t)bytes : s->bytes;
    archive_refuse_if(a, s->request_handle == 0 && s->pieces != 0);
    archive_refuse_if(a, s->request_handle != 0 && !s->ring.is_running);
    archive_refuse_if(a, bytes > UINT32_MAX);
}

/* ---- receive pools ---- */

static void pool_ring_archive(struct archive *a, struct chm_receive_pool *p)
{
    ring_archive(&p->ring, a);
    ARCHIVE(a, CHM_TAG_QUEUE + 5, p->buf_len, UINT32_MAX);
    cached_archive(a, CHM_TAG_QUEUE + 6, &p->ring, &p->cached, CHM_POOL_CACHED);
    archive_refuse_if(a, p->ring.is_running && p->buf_len == 0);
    for (uint32_t i = 0; i < p->cached && !a->failed; i++) {
        ARCHIVE(a, CHM_TAG_QUEUE + 7, p->entry[(p->ring.head + i) % CHM_POOL_CACHED], UINT64_MAX);
    }
}

/* ---- all of them ---- */

static bool ring_was_used(const struct ring *r)
{
    return r->count != 0 || r->error != RING_ERROR_NONE;
}

static void queue_archive(struct chimney *m, struct archive *a, struct chm_queue *q)
{
    bool is_live = ring_was_used(&q->submissions.ring) || ring_was_used(&q->pool.ring);
    ARCHIVE(a, CHM_TAG_QUEUE + 8, is_live, 1);
    if (is_live && !a->failed) {
        submissions_archive(m, a, &q->submissions);
        pool_ring_archive(a, &q->pool);
    }
}

void snapshot_queues(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    for (unsigned i = 0; i < card->config.queue_pairs && !a->failed; i++) {
        queue_archive(m, a, &m->queue[i]);
    }
    if (archive_is_loading(a)) {
        m->submit_ready = UINT32_MAX;
    }
}
