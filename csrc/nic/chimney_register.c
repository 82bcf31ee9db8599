/* chimney_register.c: what the registers of the chimney read, and which part of it a write speaks to. */
#include "base/bits.h"
#include "nic/chimney_admin.h"

/* ---- status ---- */

/* [CHM-49] */
void chimney_set_status(struct vnic *card, bool *bit, bool value)
{
    if (*bit != value) {
        *bit = value;
        card_raise_event(card, GLB_EVENT_CHIMNEY_MASK);
    }
}

void chimney_ring_failed(struct vnic *card, bool must_upload)
{
    card_raise_event(card, GLB_EVENT_RING_MASK);
    if (must_upload) {
        chimney_set_status(card, &card->chimney->must_upload_all, true);
    }
}

/* Below the low mark a pause, from the high one on none; between them as it was. */
void chimney_check_pressure(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint32_t left = blocks_left(&m->blocks), low = card_reg(card, REG_CHM_BLOCKS_LOW);
    uint32_t high = bits_max32(low, card_reg(card, REG_CHM_BLOCKS_HIGH));
    if (m->is_enabled && (left < low || left >= high)) {
        chimney_set_status(card, &m->is_paused, left < low);
    }
}

static uint32_t register_status(const struct chimney *m)
{
    return (uint32_t)m->is_enabled << CHM_STATUS_RUNNING_SHIFT
           | (uint32_t)m->is_paused << CHM_STATUS_PAUSE_SHIFT
           | (uint32_t)m->must_upload_all << CHM_STATUS_UPLOAD_ALL_SHIFT;
}

/* ---- completion rings ---- */

/* [RING-4] Rings of the chimney that complete there stop with it; what connections have to report waits. */
void chimney_on_cq_stop(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    if (m == NULL) {
        return;
    }
    chimney_submit_stop(card, pair, m->queue[pair].submissions.ring.error);
    chimney_stop_pool(card, pair, m->queue[pair].pool.ring.error);
    if (m->admin.ring.is_running && m->admin.queue == pair) {
        admin_stop(card, RING_ERROR_NONE);
    }
}

void chimney_on_cq_reset(struct vnic *card, unsigned pair)
{
    struct chimney *m = card->chimney;
    if (m != NULL) {
        m->queue[pair].submissions.ring = (struct ring){0};
        m->queue[pair].pool.ring = (struct ring){0};
        regfile_set(&card->regs, REG_CHQ_SQ_TAIL + pair * REG_CHQ_STRIDE, 0);
        regfile_set(&card->regs, REG_CHQ_POOL_TAIL + pair * REG_CHQ_STRIDE, 0);
    }
}

/* ---- reads ---- */

static uint32_t register_ring_status(const struct ring *r)
{
    return (uint32_t)r->is_running << CHM_ADMIN_STATUS_RUNNING_SHIFT
           | (uint32_t)r->error << CHM_ADMIN_STATUS_ERROR_SHIFT;
}

static uint32_t register_head(const struct ring *r)
{
    return r->count ? ring_index(r, r->head) : 0;
}

/* [CHM-10] Limits are those of the card's making. */
static uint32_t register_read_limit(const struct vnic *card, const struct reg_ref *ref, uint32_t stored)
{
    const struct vnic_config *c = &card->config;
    switch (ref->reg) {
    case REGID_CHM_MAX_CONNECTIONS:
        return c->connections;
    case REGID_CHM_MAX_PATHS:
        return c->paths;
    case REGID_CHM_MAX_NEIGHBOURS:
        return c->neighbours;
    case REGID_CHM_MAX_BLOCKS:
        return card->chimney->blocks.pool.capacity;
    case REGID_CHM_MAX_WORK:
        return c->chimney_work;
    case REGID_CHM_MAX_NODES:
        return c->chimney_nodes;
    case REGID_CHM_MAX_RECOVERIES:
        return c->chimney_recoveries;
    case REGID_CHM_MAX_WINDOW:
        return CHM_WINDOW_MAX;
    case REGID_CHM_MAX_VLANS:
        return CHM_VLANS;
    case REGID_CHM_MAX_MTU:
        return image_largest_mtu(card);
    default:
        return stored;
    }
}

static uint32_t register_read_usage(const struct chimney *m, const struct reg_ref *ref, uint32_t stored)
{
    switch (ref->reg) {
    case REGID_CHM_STATUS:
        return register_status(m);
    case REGID_CHM_CONNECTIONS:
        return m->live_connections;
    case REGID_CHM_PATHS:
        return m->live_paths;
    case REGID_CHM_NEIGHBOURS:
        return m->live_neighbours;
    case REGID_CHM_FREE_BLOCKS:
        return blocks_left(&m->blocks);
    case REGID_CHM_FREE_WORK:
        return pool_left(&m->work_pool);
    case REGID_CHM_FREE_NODES:
        return tcp_nodes_left(m->engine);
    case REGID_CHM_ADMIN_STATUS:
        return register_ring_status(&m->admin.ring);
    case REGID_CHM_ADMIN_HEAD:
        return register_head(&m->admin.ring);
    default:
        return stored;
    }
}

static uint32_t register_read_queue(const struct vnic *card, const struct reg_ref *ref, uint32_t stored)
{
    const struct chm_queue *q = &card->chimney->queue[ref->index];
    switch (ref->reg) {
    case REGID_CHQ_SQ_STATUS:
        return register_ring_status(&q->submissions.ring);
    case REGID_CHQ_SQ_HEAD:
        return register_head(&q->submissions.ring);
    case REGID_CHQ_POOL_STATUS:
        return register_ring_status(&q->pool.ring);
    case REGID_CHQ_POOL_HEAD:
        return register_head(&q->pool.ring);
    default:
        return stored;
    }
}

static bool register_is_statistic(const struct reg_ref *ref)
{
    return ref->reg >= REGID_CHM_TCP4_IN_SEGMENTS && ref->reg <= REGID_CHM_FENCES;
}

uint32_t chimney_read(const struct vnic *card, const struct reg_ref *ref, uint32_t stored)
{
    const struct chimney *m = card->chimney;
    if (m == NULL) {
        return stored;
    }
    if (register_is_statistic(ref)) {
        uint64_t count = m->stat[ref->reg - REGID_CHM_TCP4_IN_SEGMENTS];
        return (uint32_t)(ref->high ? count >> 32 : count);
    }
    if (ref->reg >= REGID_CHQ_SQ_BASE) {
        return register_read_queue(card, ref, stored);
    }
    return register_read_usage(m, ref, register_read_limit(card, ref, stored));
}

/* ---- writes ---- */

/* The card lacks what the register speaks to: it keeps nothing [RING-9]. */
static void register_refuse(struct vnic *card, const struct reg_ref *ref)
{
    bool is_queue = ref->reg >= REGID_CHQ_SQ_BASE;
    regfile_reset_instance(&card->regs, is_queue ? REG_CHQ_SQ_BASE : REG_CHM_TYPE, is_queue ? ref->index : 0);
    card_count_guest_error(card);
}

static void register_write_queue(struct vnic *card, const struct reg_ref *ref, uint32_t now, uint32_t pulses)
{
    switch (ref->reg) {
    case REGID_CHQ_SQ_CTRL:
        chimney_on_sq_ctrl(card, ref->index, now, pulses);
        break;
    case REGID_CHQ_SQ_TAIL:
        chimney_on_sq_tail(card, ref->index, now);
        break;
    case REGID_CHQ_POOL_CTRL:
        chimney_on_pool_ctrl(card, ref->index, now, pulses);
        break;
    case REGID_CHQ_POOL_TAIL:
        chimney_on_pool_tail(card, ref->index, now);
        break;
    default:
        break;
    }
}

static void register_write_chimney(struct vnic *card, const struct reg_ref *ref, uint32_t now,
                                   uint32_t pulses)
{
    switch (ref->reg) {
    case REGID_CHM_CTRL:
        chimney_on_ctrl(card, now);
        break;
    case REGID_CHM_BLOCKS_LOW:
    case REGID_CHM_BLOCKS_HIGH:
        chimney_check_pressure(card);
        break;
    case REGID_CHM_ADMIN_CTRL:
        chimney_on_admin_ctrl(card, now, pulses);
        break;
    case REGID_CHM_ADMIN_TAIL:
        chimney_on_admin_tail(card, now);
        break;
    case REGID_CHM_STAT_CLEAR:
        chimney_clear_statistics(card, pulses);
        break;
    default:
        break;
    }
}

void chimney_on_write(struct vnic *card, const struct reg_ref *ref, uint32_t now, uint32_t pulses)
{
    bool is_queue = ref->reg >= REGID_CHQ_SQ_BASE;
    if (card->chimney == NULL || (is_queue && ref->index >= card->config.queue_pairs)) {
        register_refuse(card, ref);
    } else if (is_queue) {
        register_write_queue(card, ref, now, pulses);
    } else {
        register_write_chimney(card, ref, now, pulses);
    }
}
