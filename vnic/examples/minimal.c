/* minimal.c: a driver of the card: one queue pair, one interrupt. How it grows is told in docs/first_c_driver.md. */
#include <vnic/vnic_plain_card.h>

enum { RING = 128, BUFFERS = RING - 1, CQ = 2 * RING, BUFFER = 2048 };

struct shared { /* what driver and card both see */
    uint64_t cq[CQ][TX_COMPLETION_WORDS], rx[RING][RX_DESC_WORDS], tx[RING][TX_DATA_WORDS];
    uint8_t in[BUFFERS][BUFFER], out[RING][BUFFER];
};
#define BUS_ADDR(m, member) ((m)->plain.shared_addr + offsetof(struct shared, member))

struct minimal {
    struct vnic_plain_miniport plain; /* NDIS's books; they come first */
    struct vnic_plain_receive receives[BUFFERS];
    struct shared *mem;
    uint32_t rx_head, rx_tail, tx_head, tx_tail;
    uint32_t cq_next; /* counts all completions taken: its low bits are an index, those above the pass */
    uint32_t owner[RING]; /* the buffer in each receive descriptor */
};

static uint32_t card_open(void *context, struct vnic_plain_identity *identity)
{
    struct minimal *m = context;
    uint32_t status = vnic_card_bring_up(context, identity); /* PROG-1, PROG-3 */

    if (!status) {
        m->mem = vnic_plain_share(context, sizeof *m->mem);
        status = !m->mem ? NDIS_STATUS_RESOURCES
                         : vnic_plain_add_receives(context, m->receives, BUFFERS, m->mem->in[0], BUFFER);
    }
    return status ? status : vnic_plain_connect(context); /* PROG-6 */
}

static bool rings_restart(void *context)
{
    struct minimal *m = context;

    memset(m->mem->cq, 0, sizeof m->mem->cq);
    m->rx_head = m->rx_tail = m->tx_tail = m->tx_head = m->cq_next = 0;
    vnic_plain_write32(context, REG_QP_CQ_CTRL, QP_CQ_CTRL_RESET_MASK); /* PROG-22 */
    vnic_card_enable(context); /* PROG-7, PROG-11 */
    if (!vnic_card_start_ring(context, REG_QP_CQ_BASE, BUS_ADDR(m, cq), CQ)) { /* PROG-8 */
        return false;
    }
    vnic_plain_write32(context, REG_QP_CQ_TAIL, CQ - 1);
    vnic_plain_write32(context, REG_QP_RX_BUF_LEN, BUFFER);
    return vnic_card_start_ring(context, REG_QP_RX_BASE, BUS_ADDR(m, rx), RING) /* PROG-9 */
           && vnic_card_start_ring(context, REG_QP_TX_BASE, BUS_ADDR(m, tx), RING); /* PROG-10 */
}

static void ring_post(void *context, uint32_t buffer) /* PROG-9 */
{
    struct minimal *m = context;

    m->owner[m->rx_tail] = buffer;
    m->mem->rx[m->rx_tail][0] = BUS_ADDR(m, in[buffer]);
    m->rx_tail = (m->rx_tail + 1) % RING;
    vnic_write_barrier();
    vnic_plain_write32(context, REG_QP_RX_TAIL, m->rx_tail);
}

/* The oldest packet has been sent, or not; false: no card that works writes that. */
static bool on_tx(struct minimal *m, struct vnic_plain_work *work, const uint64_t *w)
{
    const uint32_t head = (uint32_t)tx_completion_head(w);

    if ((head - m->tx_head) % RING > (m->tx_tail - m->tx_head) % RING) {
        return false;
    }
    m->tx_head = head % RING;
    vnic_plain_sent(work, vnic_card_send_status(tx_completion_status(w)));
    return true;
}

/* The oldest buffer has a frame in it, or one that is not whole. */
static bool on_rx(struct minimal *m, struct vnic_plain_work *work, const uint64_t *w)
{
    const uint32_t buffer = m->owner[m->rx_head];

    if (rx_completion_type(w) != COMPLETION_TYPE_RX || rx_completion_index(w) != m->rx_head
        || m->rx_head == m->rx_tail) {
        return false;
    }
    m->rx_head = (m->rx_head + 1) % RING;
    if (rx_completion_error(w) == RX_ERROR_NONE) {
        return vnic_plain_received(work, buffer, (uint32_t)rx_completion_len(w));
    }
    ring_post(m, buffer);
    return true;
}

static void serve(void *context)
{
    struct minimal *m = context;
    struct vnic_plain_work work;
    uint64_t w[TX_COMPLETION_WORDS];
    uint32_t left = CQ; /* the card has no more slots before we give it some */
    bool is_sound = true;

    vnic_card_events(context); /* PROG-16 */
    vnic_plain_begin(context, &work);
    while (rx_completion_gen(m->mem->cq[m->cq_next % CQ]) != (m->cq_next / CQ & 1) && is_sound && left--) {
        vnic_read_barrier(); /* PROG-13, PROG-14: GEN is 1 in the first pass */
        memcpy(w, m->mem->cq[m->cq_next++ % CQ], sizeof w);
        is_sound = rx_completion_type(w) == COMPLETION_TYPE_TX ? on_tx(m, &work, w) : on_rx(m, &work, w);
    }
    vnic_plain_write32(context, REG_QP_CQ_TAIL, (m->cq_next - 1) % CQ);
    vnic_plain_end(&work, is_sound);
    vnic_plain_write32(context, REG_VEC_CTRL, VEC_CTRL_ENABLE_MASK | VEC_CTRL_AUTO_MASK_MASK);
}

static bool transmit(void *context, const struct vnic_net_buffer *packet) /* PROG-12 */
{
    struct minimal *m = context;
    uint64_t *w = m->mem->tx[m->tx_tail];

    if ((m->tx_tail + 1) % RING == m->tx_head) {
        return false;
    }
    w[0] = BUS_ADDR(m, out[m->tx_tail]);
    w[1] = TX_DATA_EOP_MASK | TX_DATA_RS_MASK;
    tx_data_set_type(w, DESC_TYPE_DATA);
    tx_data_set_len(w, vnic_net_buffer_copy(packet, m->mem->out[m->tx_tail], BUFFER));
    m->tx_tail = (m->tx_tail + 1) % RING;
    vnic_write_barrier();
    vnic_plain_write32(context, REG_QP_TX_TAIL, m->tx_tail);
    return true;
}

static const struct vnic_plain_card card = {
    .vendor_description = "minimal",
    .frame_max = 1514,
    .sends_max = RING - 1,
    .list_max = REG_MAC_MULTICAST_COUNT,
    .open = card_open,
    .close = vnic_card_close,
    .quiet = vnic_card_quiet,
    .restart_rings = rings_restart,
    .post = ring_post,
    .listen = vnic_card_listen,
    .subscribe = vnic_card_subscribe,
    .is_raised = vnic_card_is_raised,
    .serve = serve,
    .transmit = transmit,
    .statistics = vnic_card_statistics,
};

VNIC_PLAIN_DRIVER(struct minimal, card)
