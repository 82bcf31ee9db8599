/* chimney.c: the life of the chimney: made with the card, on and off, reset, its deadline and its bound of steps. */
#include "nic/chimney.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/pages.h"
#include "nic/chimney_admin.h"

#define STAGE_BYTES (CHM_SEGMENT_MAX + 1u + TX_STAGE_OFFSET + TX_HEADER_MAX)
#define FIN_WAIT_2_MS 120000u /* [G:overview-of-tcp-timers] */
#define SECOND_US 1000000u

/* ---- made and unmade ---- */

static struct tcp_engine_config chimney_engine_config(const struct vnic_config *c)
{
    struct tcp_engine_config config;
    tcp_engine_defaults(&config, c->connections);
    config.nodes = c->chimney_nodes;
    config.recoveries = c->chimney_recoveries;
    config.fin_wait_2_ms = FIN_WAIT_2_MS;
    return config;
}

static bool chimney_make_generations(struct chimney *m, const struct vnic_config *c)
{
    const uint32_t places[3] = {c->neighbours, c->paths, c->connections};
    bool is_made = true;
    for (unsigned k = 0; k < 3; k++) {
        m->generations[k] = pages_calloc(places[k] + 1ull, sizeof *m->generations[k]);
        is_made = is_made && m->generations[k] != NULL;
    }
    return is_made;
}

static bool chimney_make_arrays(struct chimney *m, const struct vnic_config *c)
{
    m->connections = pages_calloc(c->connections + 1ull, sizeof *m->connections);
    m->paths = pages_calloc(c->paths + 1ull, sizeof *m->paths);
    m->neighbours = pages_calloc(c->neighbours + 1ull, sizeof *m->neighbours);
    m->work = pages_calloc(c->chimney_work + 1ull, sizeof *m->work);
    m->stage = calloc(1, STAGE_BYTES);
    return m->connections && m->paths && m->neighbours && m->work && m->stage;
}

static bool chimney_make(struct chimney *m, const struct vnic_config *c)
{
    const struct tcp_engine_config config = chimney_engine_config(c);
    m->engine = tcp_engine_create(&config);
    if (m->engine == NULL || !chimney_make_arrays(m, c) || !chimney_make_generations(m, c)) {
        return false;
    }
    m->tcp = tcp_connections(m->engine);
    return blocks_create(&m->blocks, c->chimney_bytes) && chimney_lookup_create(m, c->connections);
}

int chimney_create(struct vnic *card)
{
    if (card->config.connections == 0) {
        return VNIC_OK;
    }
    card->chimney = calloc(1, sizeof *card->chimney);
    return card->chimney && chimney_make(card->chimney, &card->config) ? VNIC_OK : VNIC_ENOMEM;
}

static void chimney_free_array(void *array, uint64_t places, size_t size)
{
    if (array != NULL) {
        pages_free(array, places + 1, size);
    }
}

void chimney_destroy(struct vnic *card)
{
    const struct vnic_config *c = &card->config;
    struct chimney *m = card->chimney;
    if (m == NULL) {
        return;
    }
    chimney_free_array(m->generations[0], c->neighbours, sizeof *m->generations[0]);
    chimney_free_array(m->generations[1], c->paths, sizeof *m->generations[1]);
    chimney_free_array(m->generations[2], c->connections, sizeof *m->generations[2]);
    chimney_free_array(m->connections, c->connections, sizeof *m->connections);
    chimney_free_array(m->paths, c->paths, sizeof *m->paths);
    chimney_free_array(m->neighbours, c->neighbours, sizeof *m->neighbours);
    chimney_free_array(m->work, c->chimney_work, sizeof *m->work);
    blocks_destroy(&m->blocks);
    chimney_lookup_destroy(m);
    tcp_engine_destroy(m->engine);
    free(m->stage);
    free(m);
    card->chimney = NULL;
}

size_t chimney_footprint(const struct vnic *card)
{
    const struct vnic_config *c = &card->config;
    const struct chimney *m = card->chimney;
    if (m == NULL) {
        return 0;
    }
    size_t generations = sizeof *m->generations[0];
    return sizeof *m + STAGE_BYTES + (c->connections + 1ull) * (sizeof *m->connections + generations)
           + (c->paths + 1ull) * (sizeof *m->paths + generations)
           + (c->neighbours + 1ull) * (sizeof *m->neighbours + generations)
           + (c->chimney_work + 1ull) * sizeof *m->work
           + (m->blocks.pool.capacity + 1ull) * sizeof *m->blocks.blocks + chimney_lookup_footprint(m)
           + tcp_engine_footprint(m->engine);
}

/* ---- off and reset ---- */

static void chimney_start_pools(struct chimney *m, const struct vnic_config *c)
{
    pool_start(&m->path_pool, m->paths, sizeof *m->paths, c->paths);
    pool_start(&m->neighbour_pool, m->neighbours, sizeof *m->neighbours, c->neighbours);
    pool_start(&m->work_pool, m->work, sizeof *m->work, c->chimney_work);
    pool_start(&m->blocks.pool, m->blocks.blocks, sizeof *m->blocks.blocks, m->blocks.pool.capacity);
    tcp_engine_reset(m->engine);
}

static void chimney_forget_objects(struct chimney *m)
{
    memset(m->neighbours + 1, 0, m->tops[CHM_OBJECT_NEIGHBOUR - 1] * sizeof *m->neighbours);
    memset(m->paths + 1, 0, m->tops[CHM_OBJECT_PATH - 1] * sizeof *m->paths);
    memset(m->connections + 1, 0, m->tops[CHM_OBJECT_TCP - 1] * sizeof *m->connections);
    memset(m->vlan, 0, sizeof m->vlan);
    m->vlans = 0;
    m->live_neighbours = m->live_paths = m->live_connections = 0;
    m->stat[CHM_STAT(TCP4_ESTABLISHED)] = m->stat[CHM_STAT(TCP6_ESTABLISHED)] = 0;
}

static void chimney_forget_lists(struct chimney *m, uint32_t pairs)
{
    m->output_first = m->output_last = 0;
    m->train = (struct chm_train){0};
    m->push_first = m->push_last = 0;
    m->look_at = 0;
    m->look_ns = 0;
    m->look_is_on = m->look_found = false;
    m->query_first = m->query_last = 0;
    m->moving_first = m->moving_last = 0;
    m->held_first = m->held_last = 0;
    m->fences = 0;
    m->submit_turn = m->report_turn = 0;
    m->submit_ready = 0;
    m->identification = 0;
    memset(&m->admin, 0, sizeof m->admin);
    memset(m->queue, 0, pairs * sizeof m->queue[0]);
}

/* Rings of a chimney that is off read as after a reset of them. */
static void chimney_show_off(struct vnic *card)
{
    regfile_set(&card->regs, REG_CHM_CTRL, 0);
    regfile_set(&card->regs, REG_CHM_ADMIN_CTRL, 0);
    regfile_set(&card->regs, REG_CHM_ADMIN_TAIL, 0);
    for (uint32_t q = 0; q < card->config.queue_pairs; q++) {
        uint32_t at = q * REG_CHQ_STRIDE;
        regfile_set(&card->regs, REG_CHQ_SQ_CTRL + at, 0);
        regfile_set(&card->regs, REG_CHQ_SQ_TAIL + at, 0);
        regfile_set(&card->regs, REG_CHQ_POOL_CTRL + at, 0);
        regfile_set(&card->regs, REG_CHQ_POOL_TAIL + at, 0);
    }
}

void chimney_forget(struct vnic *card)
{
    struct chimney *m = card->chimney;
    chimney_lookup_clear(card);
    chimney_forget_objects(m);
    chimney_forget_lists(m, card->config.queue_pairs);
    chimney_start_pools(m, &card->config);
    m->is_enabled = m->is_paused = m->must_upload_all = false;
    m->parameters = (struct chm_parameters){0};
}

void chimney_reset(struct vnic *card)
{
    struct chimney *m = card->chimney;
    if (m == NULL || m->is_reset) {
        return;
    }
    chimney_forget(card);
    for (unsigned k = 0; k < 3; k++) {
        memset(m->generations[k], 0, (m->tops[k] + 1ull) * sizeof *m->generations[k]);
        m->tops[k] = 0;
    }
    memset(m->stat, 0, sizeof m->stat);
    m->is_reset = true;
}

/* ---- on ---- */

static uint32_t chimney_ticks_us(uint32_t ticks, uint32_t per_second)
{
    return (uint32_t)bits_min64((uint64_t)ticks * (SECOND_US / per_second), UINT32_MAX);
}

static bool chimney_is_rate(uint32_t per_second)
{
    return per_second == 10 || per_second == 100 || per_second == 1000;
}

/* What the engine is told; it checks its bounds itself. */
static bool chimney_set_engine(struct vnic *card, uint32_t per_second)
{
    struct tcp_engine *engine = card->chimney->engine;
    struct tcp_engine_parameters p;
    uint32_t sws_ticks = card_reg(card, REG_CHM_SWS_TICKS);
    tcp_engine_get_parameters(engine, &p);
    p.delack_us = chimney_ticks_us(card_reg(card, REG_CHM_DELAYED_ACK_TICKS), per_second);
    p.ack_every = card_reg(card, REG_CHM_ACK_FREQUENCY);
    p.override_us = sws_ticks != 0 ? chimney_ticks_us(sws_ticks, per_second) : p.override_us;
    p.dup_threshold = card_reg(card, REG_CHM_DUPLICATE_ACK_THRESHOLD);
    p.max_retransmissions = card_reg(card, REG_CHM_MAX_RETRANSMISSIONS);
    p.doubt = card_reg(card, REG_CHM_DOUBT_RETRANSMISSIONS);
    return p.max_retransmissions != 0 && tcp_engine_set_parameters(engine, &p);
}

static bool chimney_has_bounds(const struct chm_parameters *p)
{
    return chimney_is_rate(p->ticks_per_second) && p->congestion <= CHM_CONGESTION_CUBIC
           && p->out_of_order_rate <= 100 && p->drop_rate <= 100 && p->small_io <= CHM_SMALL_IO_MAX
           && p->fragments <= UINT16_MAX;
}

/* [CHM-1] */
static bool chimney_latch(struct vnic *card)
{
    struct chm_parameters *p = &card->chimney->parameters;
    *p = (struct chm_parameters){
        .ticks_per_second = card_reg(card, REG_CHM_TICKS_PER_SECOND),
        .push_ticks = card_reg(card, REG_CHM_PUSH_TICKS),
        .nce_stale_ticks = card_reg(card, REG_CHM_NCE_STALE_TICKS),
        .congestion = card_reg(card, REG_CHM_CONGESTION) & CHM_CONGESTION_VALUE_MASK,
        .out_of_order_rate = card_reg(card, REG_CHM_OUT_OF_ORDER_RATE),
        .drop_rate = card_reg(card, REG_CHM_DROP_RATE),
        .small_io = card_reg(card, REG_CHM_SMALL_IO),
        .unposted_bytes = card_reg(card, REG_CHM_UNPOSTED_BYTES),
        .idle_ticks = card_reg(card, REG_CHM_IDLE_TICKS),
        .fragments = card_reg(card, REG_CHM_FRAGMENTS),
    };
    return chimney_has_bounds(p) && chimney_set_engine(card, p->ticks_per_second);
}

static void chimney_switch_on(struct vnic *card)
{
    struct chimney *m = card->chimney;
    m->is_reset = false;
    chimney_forget(card); /* the lookup takes the key that the driver has set by now */
    chimney_show_off(card);
    if (!chimney_latch(card)) {
        m->parameters = (struct chm_parameters){0};
        card_count_guest_error(card);
        return;
    }
    chimney_set_status(card, &m->is_enabled, true);
    regfile_set(&card->regs, REG_CHM_CTRL, CHM_CTRL_ENABLE_MASK);
    chimney_check_pressure(card);
}

void chimney_on_ctrl(struct vnic *card, uint32_t now)
{
    struct chimney *m = card->chimney;
    bool enable = (now & CHM_CTRL_ENABLE_MASK) != 0;
    if (enable && !m->is_enabled) {
        chimney_switch_on(card);
    } else if (!enable && m->is_enabled) {
        chimney_forget(card);
        chimney_show_off(card);
        card_raise_event(card, GLB_EVENT_CHIMNEY_MASK);
    }
}

/* ---- time and bound ---- */

/* What is due already is work now, or waits for something else than time. */
uint64_t chimney_deadline(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    if (m == NULL || !m->is_enabled) {
        return UINT64_MAX;
    }
    uint64_t deadline = bits_min64(tcp_deadline(m->engine), chimney_push_deadline(card));
    deadline = bits_min64(deadline, chimney_look_deadline(card));
    return deadline > card->pci.now_ns ? deadline : UINT64_MAX;
}

/* Looped back, connections of the card may talk to each other until every queue is empty. */
#define STEPS_LOOPED (1ull << 40)
#define STEPS_OF_ENTRY 8ull

/* What the rings hand over, and the slots that entries can still go to. */
static uint64_t chimney_ring_entries(const struct vnic *card)
{
    uint64_t entries = 0;
    for (uint32_t q = 0; q < card->config.queue_pairs; q++) {
        const struct chm_queue *own = &card->chimney->queue[q];
        const struct ring *const rings[] = {&own->submissions.ring, &own->pool.ring,
                                            &card->state.pair[q].cq.ring};
        for (unsigned i = 0; i < 3; i++) {
            entries += rings[i]->is_running ? ring_owned(rings[i]) : 0;
        }
    }
    return entries;
}

/* [RUN-4] What is in the card moves on until frames, slots, buffers or it itself are used up; each of these costs a few
 * steps, and so does each connection, which has three timers and may have nothing to say in its turn. */
uint64_t chimney_idle_steps(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    if (m == NULL || !m->is_enabled) {
        return 0;
    }
    if (card_is_set(card, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK)) {
        return STEPS_LOOPED;
    }
    uint64_t entries = chimney_ring_entries(card) + m->live_connections + m->live_neighbours
                       + m->work_pool.used + m->blocks.pool.used + card->rx_buffer.count
                       + card->tx_buffer.size / PACKET_SLOT;
    return STEPS_OF_ENTRY * entries + chimney_look_idle_steps(m) + chimney_admin_idle_steps(card);
}
