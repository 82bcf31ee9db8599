/* The polling driver of the chimney: bring-up, commands, submissions, completions. */
#include "chimney_driver.h"

#include <string.h>

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "descriptors are little-endian words, and this driver writes them as its own"
#endif

enum { STATE_ESTABLISHED = 4, FLAGS_ALL = 7, SCALE = 7, MSS = 1460, MTU = 1500, TTL = 64, SETTLE_NS = 1000 };

#define NOT_RUNNING 0xFFFFFFFFu
#define OWN_ADDRESS 0x665544332202u /* of the card, and of the neighbour that is the card again */

/* -- registers and memory ----------------------------------------------------------------------------------- */

static uint32_t reg_read(const struct toe_driver *d, uint32_t offset)
{
    return (uint32_t)d->bus.ops->read(d->bus.opaque, 0, offset, 4);
}

static void reg_write(const struct toe_driver *d, uint32_t offset, uint32_t value)
{
    d->bus.ops->write(d->bus.opaque, 0, offset, 4, value);
}

static void reg_write64(const struct toe_driver *d, uint32_t offset, uint64_t value)
{
    d->bus.ops->write(d->bus.opaque, 0, offset, 8, value);
}

static bool memory_get(const struct toe_driver *d, struct toe_memory *m, size_t len)
{
    m->len = len;
    m->words = d->bus.ops->alloc_coherent(d->bus.opaque, len, &m->addr);
    return m->words != NULL;
}

static void memory_put(const struct toe_driver *d, struct toe_memory *m)
{
    if (m->words) {
        d->bus.ops->free_coherent(d->bus.opaque, m->words, m->len, m->addr);
    }
    m->words = NULL;
}

/* -- bring-up ----------------------------------------------------------------------------------------------- */

static bool memory_allocate(struct toe_driver *d)
{
    return memory_get(d, &d->cq, CHIMNEY_CQ_COUNT * (size_t)CHM_COMPLETION_BYTES)
           && memory_get(d, &d->admin, CHIMNEY_ADMIN_COUNT * (size_t)CHM_COMMAND_BYTES)
           && memory_get(d, &d->sq, CHIMNEY_SQ_COUNT * (size_t)CHM_SUBMISSION_BYTES)
           && memory_get(d, &d->pool, CHIMNEY_POOL_COUNT * (size_t)CHM_POOL_BUFFER_BYTES)
           && memory_get(d, &d->buffers, CHIMNEY_POOL_COUNT * (size_t)CHIMNEY_BUFFER_STRIDE)
           && memory_get(d, &d->images, CHIMNEY_BATCH * (size_t)CHM_TCP_BYTES);
}

/* The completion ring comes first: a ring without one does not start. */
static bool rings_start(const struct toe_driver *d)
{
    reg_write64(d, REG_QP_CQ_BASE, d->cq.addr);
    reg_write(d, REG_QP_CQ_COUNT, CHIMNEY_CQ_COUNT);
    reg_write(d, REG_QP_CQ_VECTOR, 0);
    reg_write(d, REG_QP_CQ_CTRL, QP_CQ_CTRL_ENABLE_MASK);
    reg_write(d, REG_CHM_CTRL, CHM_CTRL_ENABLE_MASK);
    reg_write64(d, REG_CHM_ADMIN_BASE, d->admin.addr);
    reg_write(d, REG_CHM_ADMIN_COUNT, CHIMNEY_ADMIN_COUNT);
    reg_write(d, REG_CHM_ADMIN_QUEUE, 0);
    reg_write(d, REG_CHM_ADMIN_CTRL, CHM_ADMIN_CTRL_ENABLE_MASK);
    reg_write64(d, REG_CHQ_SQ_BASE, d->sq.addr);
    reg_write(d, REG_CHQ_SQ_COUNT, CHIMNEY_SQ_COUNT);
    reg_write(d, REG_CHQ_SQ_CTRL, CHQ_SQ_CTRL_ENABLE_MASK);
    reg_write64(d, REG_CHQ_POOL_BASE, d->pool.addr);
    reg_write(d, REG_CHQ_POOL_COUNT, CHIMNEY_POOL_COUNT);
    reg_write(d, REG_CHQ_POOL_BUF_LEN, CHIMNEY_BUFFER_BYTES);
    reg_write(d, REG_CHQ_POOL_CTRL, CHQ_POOL_CTRL_ENABLE_MASK);
    return reg_read(d, REG_CHM_STATUS) & CHM_STATUS_RUNNING_MASK
           && reg_read(d, REG_CHM_ADMIN_STATUS) & CHM_ADMIN_STATUS_RUNNING_MASK
           && reg_read(d, REG_CHQ_SQ_STATUS) & CHQ_SQ_STATUS_RUNNING_MASK
           && reg_read(d, REG_CHQ_POOL_STATUS) & CHQ_POOL_STATUS_RUNNING_MASK;
}

/* Gives the card every slot but one: equal indices would say that it owns none. */
static void slots_return(const struct toe_driver *d)
{
    reg_write(d, REG_QP_CQ_TAIL, (d->cq_next - 1) % CHIMNEY_CQ_COUNT);
}

static void buffers_post(struct toe_driver *d)
{
    for (uint32_t i = 0; i < CHIMNEY_POOL_COUNT; i++) {
        d->pool.words[i] = d->buffers.addr + i * (uint64_t)CHIMNEY_BUFFER_STRIDE;
    }
    d->pool_tail = d->pool_rung = CHIMNEY_POOL_COUNT - 1;
    reg_write(d, REG_CHQ_POOL_TAIL, d->pool_tail);
}

static void mac_enable(const struct toe_driver *d)
{
    reg_write(d, REG_GLB_CTRL, GLB_CTRL_LOOPBACK_MASK);
    reg_write64(d, REG_MAC_ADDR, OWN_ADDRESS);
    reg_write(d, REG_MAC_RX_CTRL, MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_UNICAST_MASK | MAC_RX_CTRL_CSUM_MASK);
    reg_write(d, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);
}

const char *toe_open(struct toe_driver *d, const struct vnic_bus *bus)
{
    uint32_t command = bus->ops->config_read(bus->opaque, CFG_COMMAND, 2);

    *d = (struct toe_driver){.bus = *bus, .generation = 1};
    bus->ops->config_write(bus->opaque, CFG_COMMAND, 2, command | COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
    if (reg_read(d, REG_CHM_TYPE) != BLOCK_TYPE_CHIMNEY || reg_read(d, REG_CHM_MAX_CONNECTIONS) == 0) {
        return "the card has no chimney";
    }
    if (!memory_allocate(d)) {
        return "no memory for the rings";
    }
    if (!rings_start(d)) {
        return "a ring of the chimney does not start";
    }
    slots_return(d);
    buffers_post(d);
    mac_enable(d);
    return NULL;
}

void toe_close(struct toe_driver *d)
{
    reg_write(d, REG_GLB_CTRL, GLB_CTRL_RESET_MASK);
    d->bus.ops->delay_ns(d->bus.opaque, SETTLE_NS);
    memory_put(d, &d->cq);
    memory_put(d, &d->admin);
    memory_put(d, &d->sq);
    memory_put(d, &d->pool);
    memory_put(d, &d->buffers);
    memory_put(d, &d->images);
}

/* -- completions -------------------------------------------------------------------------------------------- */

static uint64_t *sq_slot(struct toe_driver *d)
{
    uint64_t *w = d->sq.words + d->sq_tail * (size_t)CHM_SUBMISSION_WORDS;

    d->sq_tail = (d->sq_tail + 1) % CHIMNEY_SQ_COUNT;
    return w;
}

static void submit(struct toe_driver *d, uint64_t op, uint32_t handle, uint64_t addr, uint32_t len)
{
    uint64_t *w = sq_slot(d);

    w[0] = addr;
    w[1] = handle | (uint64_t)len << CHM_SUBMISSION_LEN_SHIFT;
    w[2] = op;
    w[3] = 0;
}

/* Data of one connection mostly comes together: it is given back with one credit. */
static void credit_tell(struct toe_driver *d)
{
    if (d->credit_bytes) {
        submit(d, CHM_SUBMISSION_OP_CREDIT, d->credit_handle, 0, d->credit_bytes);
        d->credit_bytes = 0;
    }
}

static void on_data(struct toe_driver *d, const uint64_t w[])
{
    const uint64_t buffer = d->pool.words[chm_data_index(w)];
    const struct toe_data data = {
        .handle = (uint32_t)chm_data_handle(w),
        .len = (uint32_t)chm_data_len(w),
        .seq = (uint32_t)chm_data_seq(w),
        .bytes = (const uint8_t *)d->buffers.words + (buffer - d->buffers.addr),
    };

    d->harvest.received += data.len;
    if (d->on_data) {
        d->on_data(d->context, &data);
    }
    if (data.handle != d->credit_handle) {
        credit_tell(d);
        d->credit_handle = data.handle;
    }
    d->credit_bytes += data.len;
    d->pool.words[d->pool_tail] = buffer;
    d->pool_tail = (d->pool_tail + 1) % CHIMNEY_POOL_COUNT;
}

static void on_admin(struct toe_driver *d, const uint64_t w[])
{
    const uint32_t cookie = (uint32_t)chm_admin_completion_cookie(w);

    d->answered++;
    d->harvest.failed += chm_admin_completion_status(w) != CHM_STATUS_OK;
    if (d->handles) {
        d->handles[cookie] = (uint32_t)chm_admin_completion_handle(w);
    }
}

static void on_entry(struct toe_driver *d, const uint64_t w[])
{
    const bool is_ok = chm_completion_status(w) == CHM_STATUS_OK;

    switch (chm_completion_type(w)) {
    case COMPLETION_TYPE_CHM_DATA:
        on_data(d, w);
        break;
    case COMPLETION_TYPE_CHM_SEND:
        d->harvest.sends += is_ok ? chm_completion_count(w) : 0;
        d->harvest.failed += !is_ok;
        break;
    case COMPLETION_TYPE_CHM_RECEIVE:
        d->harvest.receives += is_ok;
        d->harvest.failed += !is_ok;
        d->harvest.received += chm_completion_bytes(w);
        break;
    case COMPLETION_TYPE_CHM_ADMIN:
        on_admin(d, w);
        break;
    case COMPLETION_TYPE_CHM_EVENT:
        d->harvest.failed += chm_event_entry_event(w) != CHM_EVENT_SEND_BACKLOG
                             && chm_event_entry_event(w) != CHM_EVENT_NEIGHBOUR_QUERY;
        break;
    default:
        d->harvest.failed++;
        break;
    }
}

void toe_ring(struct toe_driver *d)
{
    if (d->sq_tail != d->sq_rung) {
        reg_write(d, REG_CHQ_SQ_TAIL, d->sq_tail);
        d->sq_rung = d->sq_tail;
    }
}

void toe_poll(struct toe_driver *d)
{
    uint32_t first = d->cq_next;
    const uint64_t *w = d->cq.words + d->cq_next * (size_t)CHM_COMPLETION_WORDS;

    while (chm_completion_gen(w) == d->generation) {
        on_entry(d, w);
        d->cq_next++;
        if (d->cq_next == CHIMNEY_CQ_COUNT) {
            d->cq_next = 0;
            d->generation ^= 1;
        }
        w = d->cq.words + d->cq_next * (size_t)CHM_COMPLETION_WORDS;
    }
    credit_tell(d);
    if (d->cq_next != first) {
        slots_return(d);
    }
    if (d->pool_tail != d->pool_rung) {
        reg_write(d, REG_CHQ_POOL_TAIL, d->pool_tail);
        d->pool_rung = d->pool_tail;
    }
    toe_ring(d);
}

/* -- submissions -------------------------------------------------------------------------------------------- */

void toe_send(struct toe_driver *d, uint32_t handle, uint64_t addr, uint32_t len)
{
    submit(d, CHM_SUBMISSION_OP_SEND | CHM_SUBMISSION_PUSH_MASK, handle, addr, len);
}

void toe_post(struct toe_driver *d, uint32_t handle, uint64_t addr, uint32_t len)
{
    submit(d, CHM_SUBMISSION_OP_RECEIVE | CHM_SUBMISSION_NO_PUSH_MASK, handle, addr, len);
}

/* -- commands ----------------------------------------------------------------------------------------------- */

static uint64_t *image_of(const struct toe_driver *d, unsigned i)
{
    uint64_t *image = d->images.words + i * (size_t)CHM_TCP_WORDS;

    memset(image, 0, CHM_TCP_BYTES);
    return image;
}

static uint64_t image_addr(const struct toe_driver *d, unsigned i)
{
    return d->images.addr + i * (uint64_t)CHM_TCP_BYTES;
}

/* A command in the next slot, its cookie its number in the batch. */
static uint64_t *command_of(struct toe_driver *d, enum chm_op op, enum chm_object object, unsigned i)
{
    uint64_t *w = d->admin.words + d->admin_tail * (size_t)CHM_COMMAND_WORDS;

    d->admin_tail = (d->admin_tail + 1) % CHIMNEY_ADMIN_COUNT;
    memset(w, 0, CHM_COMMAND_BYTES);
    chm_command_set_op(w, op);
    chm_command_set_object(w, object);
    chm_command_set_cookie(w, i);
    return w;
}

bool toe_flush(struct toe_driver *d, unsigned count, uint32_t *handles)
{
    const uint64_t failed = d->harvest.failed;
    const uint32_t answered = d->answered;

    d->handles = handles;
    reg_write(d, REG_CHM_ADMIN_TAIL, d->admin_tail);
    d->bus.ops->delay_ns(d->bus.opaque, SETTLE_NS);
    toe_poll(d);
    d->handles = NULL;
    return d->answered - answered == count && d->harvest.failed == failed;
}

static uint32_t create_one(struct toe_driver *d, enum chm_object object, uint32_t parent, uint32_t bytes)
{
    uint64_t *w = command_of(d, CHM_OP_CREATE, object, 0);
    uint32_t handle = 0;

    chm_command_set_parent(w, parent);
    chm_command_set_in_addr(w, image_addr(d, 0));
    chm_command_set_in_len(w, bytes);
    return toe_flush(d, 1, &handle) ? handle : 0;
}

uint32_t toe_add_neighbour(struct toe_driver *d)
{
    chm_neighbour_set_destination_address(image_of(d, 0), OWN_ADDRESS);
    return create_one(d, CHM_OBJECT_NEIGHBOUR, 0, CHM_NEIGHBOUR_BYTES);
}

/* 10.x.y.z in network order, as bytes of a little-endian word. */
static uint64_t address_word(uint32_t host)
{
    return 10u | (host >> 16 & 0xFF) << 8 | (host >> 8 & 0xFF) << 16 | (host & 0xFF) << 24;
}

uint32_t toe_add_path(struct toe_driver *d, uint32_t neighbour, uint32_t local, uint32_t remote)
{
    uint64_t *image = image_of(d, 0);

    chm_path_set_source_lo(image, address_word(local));
    chm_path_set_destination_lo(image, address_word(remote));
    chm_path_set_path_mtu(image, MTU);
    return create_one(d, CHM_OBJECT_PATH, neighbour, CHM_PATH_BYTES);
}

static void image_write(uint64_t *image, const struct toe_end *end)
{
    chm_tcp_set_const_flags(image, FLAGS_ALL);
    chm_tcp_set_remote_port(image, end->remote_port);
    chm_tcp_set_local_port(image, end->local_port);
    chm_tcp_set_snd_wind_scale(image, SCALE);
    chm_tcp_set_rcv_wind_scale(image, SCALE);
    chm_tcp_set_remote_mss(image, MSS);
    chm_tcp_set_hash_value(image, end->hash);
    chm_tcp_set_ttl_or_hop_limit(image, TTL);
    chm_tcp_set_initial_rcv_wnd(image, end->window);
    chm_tcp_set_state(image, STATE_ESTABLISHED);
    chm_tcp_set_rcv_nxt(image, end->rcv_nxt);
    chm_tcp_set_rcv_wnd(image, end->window);
    chm_tcp_set_snd_una(image, end->snd_una);
    chm_tcp_set_snd_nxt(image, end->snd_una);
    chm_tcp_set_snd_max(image, end->snd_una);
    chm_tcp_set_snd_wnd(image, end->window);
    chm_tcp_set_max_snd_wnd(image, end->window);
    chm_tcp_set_send_wl1(image, end->rcv_nxt);
    chm_tcp_set_cwnd(image, end->window);
    chm_tcp_set_ss_thresh(image, INT32_MAX);
    chm_tcp_set_keep_alive_timeout_delta(image, NOT_RUNNING);
    chm_tcp_set_retransmit_timeout_delta(image, NOT_RUNNING);
}

void toe_create(struct toe_driver *d, unsigned i, const struct toe_end *end)
{
    uint64_t *w = command_of(d, CHM_OP_CREATE, CHM_OBJECT_TCP, i);

    image_write(image_of(d, i), end);
    chm_command_set_parent(w, end->path);
    chm_command_set_in_addr(w, image_addr(d, i));
    chm_command_set_in_len(w, CHM_TCP_BYTES);
}

void toe_terminate(struct toe_driver *d, unsigned i, uint32_t handle)
{
    uint64_t *w = command_of(d, CHM_OP_TERMINATE, CHM_OBJECT_TCP, i);

    chm_command_set_handle(w, handle);
    chm_command_set_out_addr(w, image_addr(d, i));
    chm_command_set_out_len(w, CHM_TCP_BYTES);
}
