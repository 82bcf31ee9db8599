/* chimney_create.c: new neighbours, paths and connections, and the send data that a connection comes with. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/chimney_admin.h"

#define ENTRY_RESERVED_W2 0x00000000FFFFF000ull
#define ENTRY_RESERVED_W3 0xFFFFFFFF00000000ull

/* ---- the send list ---- */

void create_drop_list(struct chimney *m)
{
    struct chm_admin *a = &m->admin;
    for (uint32_t next, at = a->sends; at != 0; at = next) {
        next = at != a->sends_last ? m->work[at].next : 0;
        pool_give(&m->work_pool, at);
    }
    a->sends = a->sends_last = 0;
}

/* Requests follow each other, a disconnect is the last. */
static enum chm_status create_check_entry(const struct chimney *m, const uint64_t *entry)
{
    const struct chm_admin *a = &m->admin;
    uint64_t op = chm_submission_op(entry), len = chm_submission_len(entry);
    bool is_first = a->sends_read == 0, is_piece = a->has_more;
    bool is_end = op == CHM_SUBMISSION_OP_DISCONNECT;
    if ((op != CHM_SUBMISSION_OP_SEND && !is_end) || chm_submission_abortive(entry)
        || (entry[2] & ENTRY_RESERVED_W2) || (entry[3] & ENTRY_RESERVED_W3)) {
        return CHM_STATUS_BAD_COMMAND;
    }
    if (!is_first && (is_piece ? is_end != a->has_fin : a->has_fin)) {
        return CHM_STATUS_BAD_COMMAND;
    }
    return len <= CHM_WINDOW_MAX - a->send_bytes ? CHM_STATUS_OK : CHM_STATUS_BAD_LENGTH;
}

static enum chm_status create_take_entry(struct chimney *m, const uint64_t *entry)
{
    struct chm_admin *a = &m->admin;
    enum chm_status status = create_check_entry(m, entry);
    uint32_t at = status == CHM_STATUS_OK ? pool_take(&m->work_pool) : 0;
    if (at == 0) {
        return status != CHM_STATUS_OK ? status : CHM_STATUS_XMIT_BUFFER;
    }
    a->has_more = chm_submission_more(entry) != 0;
    a->has_fin = chm_submission_op(entry) == CHM_SUBMISSION_OP_DISCONNECT;
    m->work[at] = (struct chm_work){
        .len = (uint32_t)chm_submission_len(entry),
        .addr = chm_submission_addr(entry),
        .op = (uint8_t)chm_submission_op(entry),
        .flags =
            (uint8_t)((a->has_more ? CHM_WORK_MORE : 0) | (chm_submission_push(entry) ? CHM_WORK_PUSH : 0)),
    };
    if (a->sends_last != 0) {
        m->work[a->sends_last].next = at;
    }
    a->sends = a->sends != 0 ? a->sends : at;
    a->sends_last = at;
    a->sends_read++;
    a->send_bytes += m->work[at].len;
    return CHM_STATUS_OK;
}

static uint32_t create_list_left(const struct chm_admin *a)
{
    return (uint32_t)chm_command_send_count(a->command) - a->sends_read;
}

uint64_t create_read_list(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    uint64_t entries[ADMIN_LIST_MAX][CHM_SUBMISSION_WORDS];
    uint32_t n = bits_min32(create_list_left(a), ADMIN_LIST_MAX), bytes = n * CHM_SUBMISSION_BYTES;
    uint64_t from = chm_command_send_addr(a->command) + (uint64_t)a->sends_read * CHM_SUBMISSION_BYTES;
    if (dma_read(&card->pci, &m->hint_image, from, entries, bytes, VNIC_DMA_STATE) != VNIC_DMA_OK) {
        a->status = CHM_STATUS_DMA;
        return bytes;
    }
    for (uint32_t i = 0; i < n && a->status == CHM_STATUS_OK; i++) {
        for (unsigned w = 0; w < CHM_SUBMISSION_WORDS; w++) {
            entries[i][w] = le64_load(&entries[i][w]);
        }
        a->status = (uint8_t)create_take_entry(m, entries[i]);
    }
    if (a->status == CHM_STATUS_OK && create_list_left(a) == 0 && a->has_more) {
        a->status = CHM_STATUS_BAD_COMMAND;
    }
    return bytes;
}

/* ---- neighbours and paths ---- */

static enum chm_status create_neighbour(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    uint16_t vlan = (uint16_t)chm_neighbour_vlan_id(a->image);
    if (!image_neighbour_is_sound(a->image)) {
        return CHM_STATUS_BAD_VALUE;
    }
    if (!chimney_vlan_take(m, vlan)) {
        return CHM_STATUS_VLAN_ENTRIES;
    }
    a->target = chimney_take_neighbour(m);
    if (a->target == 0) {
        chimney_vlan_give(m, vlan);
        return CHM_STATUS_NEIGHBOUR_ENTRIES;
    }
    image_take_neighbour(card, a->image, &m->neighbours[a->target]);
    return CHM_STATUS_OK;
}

static enum chm_status create_path(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    if (!image_path_is_sound(a->image)) {
        return CHM_STATUS_BAD_VALUE;
    }
    if (chm_path_path_mtu(a->image) > image_largest_mtu(card)) {
        return CHM_STATUS_PATH_MTU;
    }
    a->target = chimney_take_path(m, a->parent);
    if (a->target == 0) {
        return CHM_STATUS_PATH_ENTRIES;
    }
    image_take_path(a->image, &m->paths[a->target]);
    return CHM_STATUS_OK;
}

/* ---- connections ---- */

/* [CHM-5] Is there a FIN of ours that is not acknowledged, may there be one, or can there be none? */
static bool create_fin_is_sound(const struct chm_admin *a, uint32_t state)
{
    switch (state) {
    case TcpConnectionFinWait1:
    case TcpConnectionClosing:
    case TcpConnectionLastAck:
        return a->has_fin;
    case TcpConnectionFinWait2:
        return a->sends_read == 0;
    default:
        return true;
    }
}

/* Of a list that found no room nobody knows the end. */
static bool create_list_is_sound(const struct chm_admin *a, const struct tcp_offload_delegated *d)
{
    return a->status == CHM_STATUS_XMIT_BUFFER
           || (a->send_bytes == d->SendBacklogSize && create_fin_is_sound(a, d->State));
}

static bool create_is_duplicate(const struct chimney *m, const struct tcp_offload_state *s)
{
    struct chm_tuple tuple = {
        .local_port = s->Const.LocalPort, .remote_port = s->Const.RemotePort, .is_ipv6 = s->Path.IsIpv6};
    memcpy(tuple.local, s->Path.SourceAddress, sizeof tuple.local);
    memcpy(tuple.remote, s->Path.DestinationAddress, sizeof tuple.remote);
    return chimney_lookup_has(m, &tuple, s->Path.VlanId);
}

/* A window that is too large has a status of its own; everything else of the state is judged without it. */
static bool create_cut_windows(struct tcp_offload_state *s)
{
    bool is_over = s->Cached.InitialRcvWnd > CHM_WINDOW_MAX || s->Delegated.RcvWnd > CHM_WINDOW_MAX;
    s->Cached.InitialRcvWnd = bits_min32(s->Cached.InitialRcvWnd, CHM_WINDOW_MAX);
    s->Delegated.RcvWnd = bits_min32(s->Delegated.RcvWnd, CHM_WINDOW_MAX);
    return is_over;
}

static void create_fill(struct chimney *m, uint32_t index, const struct tcp_offload_state *s)
{
    struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    bool has_fin = tcp_has(t, TCP_FIN_RECEIVED);
    c->queue = (uint8_t)chm_command_queue(m->admin.command);
    c->hash_value = s->Const.HashValue;
    image_keep_cached(&s->Cached, c);
    c->deliver_seq = t->rcv_nxt - has_fin;
    c->flags |= has_fin ? CHM_FIN_REPORTED : 0; /* the host had it */
}

/* The list is a ring from here on. */
static void create_adopt_list(struct chimney *m, uint32_t index, uint32_t first_seq)
{
    struct chm_admin *a = &m->admin;
    if (a->sends_last != 0) {
        m->work[a->sends_last].next = a->sends;
        chimney_send_adopt(m, index, a->sends_last, first_seq);
        a->sends = a->sends_last = 0;
    }
}

/* [CHM-3] `taken` is what the engine said of the state. */
static enum chm_status create_judge(const struct chimney *m, const struct tcp_offload_state *s, int taken,
                                    bool is_over)
{
    const struct chm_admin *a = &m->admin;
    if (taken == TCP_OFFLOAD_STATE) {
        return CHM_STATUS_BAD_STATE;
    }
    if (taken == TCP_OFFLOAD_VALUE || !image_tcp_is_sound(a->image)
        || !create_list_is_sound(a, &s->Delegated)) {
        return CHM_STATUS_BAD_VALUE;
    }
    if (is_over) {
        return CHM_STATUS_RCV_WINDOW;
    }
    if (create_is_duplicate(m, s)) {
        return CHM_STATUS_DUPLICATE;
    }
    return taken == TCP_OFFLOAD_RESOURCES ? CHM_STATUS_TCP_ENTRIES : (enum chm_status)a->status;
}

static enum chm_status create_connection(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    const struct chm_path *p = &m->paths[a->parent];
    const struct tcp_offload_taker taker = {.profile = TCP_PROFILE_CHIMNEY,
                                            .congestion = (uint8_t)m->parameters.congestion,
                                            .ticks_per_second = m->parameters.ticks_per_second};
    struct tcp_offload_state s;
    struct tcp_connection *t = NULL;
    image_take_state(a->image, p, m->neighbours[p->neighbour].vlan, &s);
    bool is_over = create_cut_windows(&s);
    int taken = tcp_from_offload(m->engine, card->pci.now_ns, &taker, &s, &t);
    enum chm_status status = create_judge(m, &s, taken, is_over);
    if (status != CHM_STATUS_OK) {
        if (taken == TCP_OFFLOAD_OK) {
            tcp_release(m->engine, t);
        }
        return status;
    }
    a->target = tcp_index(m->engine, t);
    chimney_enliven(card, a->target, a->parent);
    create_fill(m, a->target, &s);
    create_adopt_list(m, a->target, s.Delegated.SndUna);
    return CHM_STATUS_OK;
}

enum chm_status create_object(struct vnic *card)
{
    const struct chm_admin *a = &card->chimney->admin;
    switch (admin_object(a)) {
    case CHM_OBJECT_NEIGHBOUR:
        return create_neighbour(card);
    case CHM_OBJECT_PATH:
        return create_path(card);
    default:
        return create_connection(card);
    }
}

void create_go(struct vnic *card, uint32_t index, bool has_fin)
{
    struct chimney *m = card->chimney;
    struct tcp_result result;
    if (has_fin) {
        tcp_shutdown(m->engine, &m->tcp[index], card->pci.now_ns, &result);
        chimney_apply(card, index, &result, NULL);
    }
    chimney_send_acked(card, index, 0);
    chimney_schedule(card, index);
}

unsigned create_report_pair(const struct vnic *card)
{
    const struct chm_connection c = {.hash_value = (uint32_t)chm_tcp_hash_value(card->chimney->admin.image)};
    return chimney_report_pair(card, &c);
}
