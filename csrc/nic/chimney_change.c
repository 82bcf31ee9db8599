/* chimney_change.c: objects that are there: UPDATE, QUERY, INVALIDATE, and how a connection ends. */
#include "base/bytes.h"
#include "nic/chimney_admin.h"
#include "nic/emit.h"
#include "tcp/handoff.h"

/* ---- UPDATE ---- */

static enum chm_status change_update_neighbour(struct vnic *card)
{
    const struct chm_admin *a = &card->chimney->admin;
    image_update_neighbour(card, a->image, &card->chimney->neighbours[a->target]);
    return CHM_STATUS_OK;
}

/* The whole path goes over at once; its connections learn of the MTU one after the other, before it is completed. */
static enum chm_status change_update_path(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    struct chm_path *p = &m->paths[a->target];
    uint64_t mtu = chm_path_path_mtu(a->image), least = p->is_ipv6 ? 1280 : 68;
    if (mtu < least || mtu > image_largest_mtu(card)) {
        return mtu < least ? CHM_STATUS_BAD_VALUE : CHM_STATUS_PATH_MTU;
    }
    if (a->parent != 0) {
        chimney_unhang_path(m, a->target);
        chimney_hang_path(m, a->target, a->parent);
    }
    if (p->mtu != mtu) {
        p->mtu = (uint32_t)mtu;
        a->walk_path = a->target;
    }
    return CHM_STATUS_OK;
}

static enum chm_status change_update_tcp(struct vnic *card)
{
    struct chimney *m = card->chimney;
    const struct chm_admin *a = &m->admin;
    struct tcp_offload_cached cached;
    struct tcp_result result;
    image_take_cached(a->image, &cached);
    if (cached.Flags & ~0x1Fu) {
        return CHM_STATUS_BAD_VALUE;
    }
    if (cached.InitialRcvWnd > CHM_WINDOW_MAX) {
        return CHM_STATUS_RCV_WINDOW;
    }
    if (tcp_offload_update(m->engine, &m->tcp[a->target], card->pci.now_ns, m->parameters.ticks_per_second,
                           &cached, &result)
        != TCP_OFFLOAD_OK) {
        return CHM_STATUS_BAD_VALUE;
    }
    image_keep_cached(&cached, chimney_connection(m, a->target));
    chimney_apply(card, a->target, &result, NULL);
    return CHM_STATUS_OK;
}

static enum chm_status change_update(struct vnic *card)
{
    switch (admin_object(&card->chimney->admin)) {
    case CHM_OBJECT_NEIGHBOUR:
        return change_update_neighbour(card);
    case CHM_OBJECT_PATH:
        return change_update_path(card);
    default:
        return change_update_tcp(card);
    }
}

/* ---- INVALIDATE ---- */

static void change_invalidate_connection(struct vnic *card, uint32_t index)
{
    struct chm_connection *c = chimney_connection(card->chimney, index);
    if (!chimney_has(c, CHM_INVALID)) {
        c->flags |= CHM_INVALID;
        chimney_retrieve(card, index, CHM_REASON_INVALID_STATE);
    }
}

/* [CHM-8] */
static enum chm_status change_invalidate(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    switch (admin_object(a)) {
    case CHM_OBJECT_NEIGHBOUR:
        m->neighbours[a->target].flags |= CHM_INVALID;
        a->walk_path = m->neighbours[a->target].paths;
        break;
    case CHM_OBJECT_PATH:
        a->walk_path = a->target;
        break;
    default:
        change_invalidate_connection(card, a->target);
        break;
    }
    return CHM_STATUS_OK;
}

/* ---- the walk over what hangs on an object ---- */

static void change_tell_mtu(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct tcp_connection *t = &m->tcp[index];
    struct tcp_result result;
    if (t->state != TCP_STATE_CLOSED && !tcp_has(t, TCP_FROZEN)) {
        tcp_set_path_mtu(m->engine, t, card->pci.now_ns, m->paths[m->admin.target].mtu, &result);
        chimney_apply(card, index, &result, NULL);
    }
}

static void change_visit(struct vnic *card, uint32_t index)
{
    if (admin_op(&card->chimney->admin) == CHM_OP_INVALIDATE) {
        change_invalidate_connection(card, index);
    } else {
        change_tell_mtu(card, index);
    }
}

static void change_enter_path(struct chimney *m)
{
    struct chm_admin *a = &m->admin;
    struct chm_path *p = &m->paths[a->walk_path];
    if (admin_op(a) == CHM_OP_INVALIDATE) {
        p->flags |= CHM_INVALID;
    }
    a->walk = p->connections;
}

static void change_leave_path(struct chimney *m)
{
    struct chm_admin *a = &m->admin;
    uint32_t next = m->paths[a->walk_path].next;
    bool has_next = admin_object(a) == CHM_OBJECT_NEIGHBOUR && next != m->neighbours[a->target].paths;
    a->walk_path = has_next ? next : 0;
}

/* One path, and so many of its connections. */
void change_walk(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    if (a->walk == 0) {
        change_enter_path(m);
    }
    for (uint32_t n = 0; n < ADMIN_WALK_MAX && a->walk != 0; n++) {
        uint32_t next = chimney_connection(m, a->walk)->next;
        change_visit(card, a->walk);
        a->walk = next != m->paths[a->walk_path].connections ? next : 0;
    }
    if (a->walk == 0) {
        change_leave_path(m);
    }
}

/* ---- QUERY, and TERMINATE of a neighbour or path ---- */

enum chm_status change_write_image(struct vnic *card, uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    const struct chm_admin *a = &m->admin;
    uint64_t image[CHM_TCP_WORDS] = {0};
    uint32_t len = (uint32_t)chm_command_out_len(a->command);
    switch (admin_object(a)) {
    case CHM_OBJECT_NEIGHBOUR:
        image_give_neighbour(card, &m->neighbours[a->target], image);
        break;
    case CHM_OBJECT_PATH:
        image_give_path(&m->paths[a->target], image);
        break;
    default:
        image_give_tcp(card, a->target, image);
        break;
    }
    for (unsigned i = 0; i < CHM_TCP_WORDS; i++) {
        le64_store(&image[i], image[i]);
    }
    *bytes += len;
    return dma_write(&card->pci, &m->hint_image, chm_command_out_addr(a->command), image, len, VNIC_DMA_STATE)
                   == VNIC_DMA_OK
               ? CHM_STATUS_OK
               : CHM_STATUS_DMA;
}

static enum chm_status change_end_parent(struct vnic *card, uint64_t *bytes)
{
    struct chimney *m = card->chimney;
    const struct chm_admin *a = &m->admin;
    enum chm_status status = change_write_image(card, bytes);
    if (status != CHM_STATUS_OK) {
        return status;
    }
    if (admin_object(a) == CHM_OBJECT_NEIGHBOUR) {
        chimney_give_neighbour(m, a->target);
    } else {
        chimney_give_path(m, a->target);
    }
    return CHM_STATUS_OK;
}

enum chm_status change_object(struct vnic *card, uint64_t *bytes)
{
    switch (admin_op(&card->chimney->admin)) {
    case CHM_OP_UPDATE:
        return change_update(card);
    case CHM_OP_QUERY:
        return change_write_image(card, bytes);
    case CHM_OP_INVALIDATE:
        return change_invalidate(card);
    default:
        return change_end_parent(card, bytes);
    }
}

/* ---- the end of a connection ---- */

/* [CHM-7] Data in order goes to the pool from here on, and what is out of order is dropped. A connection that the engine
 * stopped to be uploaded owes the ACK of what it took before. */
void change_begin_end(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct tcp_connection *t = &m->tcp[m->admin.target];
    struct tcp_result result;
    chimney_unlist(m, m->admin.target);
    chimney_connection(m, m->admin.target)->flags |= CHM_ENDING;
    if (tcp_has(t, TCP_FROZEN) && t->state != TCP_STATE_CLOSED) {
        tcp_thaw(m->engine, t, card->pci.now_ns, &result);
    }
}

static bool change_is_silent(const struct chm_connection *c)
{
    return chimney_has(c, CHM_INVALID | CHM_ABORTED);
}

/* Where a frame could leave if the link took earlier ones, it is waited for; where none can, what is owed is lost. */
bool change_may_freeze(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    uint32_t index = m->admin.target;
    bool is_open = card_is_set(card, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK)
                   && (card->state.link_mbps != 0 || card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK));
    if (change_is_silent(chimney_connection(m, index)) || !is_open) {
        return true;
    }
    return !chimney_output_is_cutting(card, index) && emit_has_room(card, card->config.max_frame);
}

bool change_freeze(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t index = m->admin.target;
    struct tcp_segment owed;
    if (!tcp_freeze(m->engine, &m->tcp[index], card->pci.now_ns, &owed)) {
        chimney_report(card, index, CHM_PENDING_RECEIVE);
        return true;
    }
    if (!change_is_silent(chimney_connection(m, index))) {
        chimney_output_segment(card, index, &owed);
    }
    return false;
}
