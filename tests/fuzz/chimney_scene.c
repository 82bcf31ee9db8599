/* chimney_scene.c: bring-up by templates, and acts whose fields come from a fuzzer. */
#include "chimney_scene.h"

#include <stdlib.h>
#include <string.h>

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"
#include "see.h"
#include "wire/checksum.h"

enum {
    CQ_AT = 0,
    ADMIN_AT = 0x4000,
    SQ_AT = 0x8000,
    POOL_AT = 0x9000,
    IMAGE_AT = 0xA000,
    BUFFERS_AT = 0x10000,
    BUFFER_BYTES = 2048,
    DATA_AT = 0x30000,
    CQ_COUNT = 64,
    ISS = 5000,
    IRS = 9000,
    WINDOW = 30000,
    PORT = 4000,
    SAVE_MOST = 1 << 20,
    NEIGHBOUR = SCENE_CONNECTIONS, /* places in `handle` behind the connections */
    PATHS
};

#define OWN_ADDRESS 0x665544332202u
#define PEER_ADDRESS 0x665544332204u
#define NOT_RUNNING 0xFFFFFFFFu

static uint8_t byte_take(struct scene_bytes *b)
{
    if (b->left == 0) {
        return 0;
    }
    b->left--;
    return *b->next++;
}

static uint32_t word_take(struct scene_bytes *b)
{
    const uint32_t low = byte_take(b);

    return low | (uint32_t)byte_take(b) << 8;
}

static void reg_write(struct scene *s, uint32_t offset, uint64_t value)
{
    vnic_write(s->card, 0, offset, 4, value & UINT32_MAX);
}

static void reg_write64(struct scene *s, uint32_t offset, uint64_t value)
{
    vnic_write(s->card, 0, offset, 8, value);
}

static uint64_t *words_at(struct scene *s, uint32_t at)
{
    return (uint64_t *)(void *)(s->memory + at);
}

/* -- to rest ------------------------------------------------------------------------------------------------ */

const char *scene_settle(struct scene *s)
{
    const uint64_t bound = vnic_idle_steps(s->card);
    const struct vnic_budget all = {UINT64_MAX, UINT64_MAX};
    struct vnic_budget used = {0, 0};

    if (vnic_run(s->card, &all, &used) != 0) {
        return "the card does not come to rest";
    }
    s->steps += used.steps;
    return used.steps > bound ? "more steps than the bound" : NULL;
}

/* -- bring-up ----------------------------------------------------------------------------------------------- */

static void bars_place(struct scene *s)
{
    for (uint32_t bar = 0; bar < 4; bar += 2) {
        vnic_cfg_write(s->card, CFG_BAR + bar * CFG_BAR_STRIDE, 4, bar << 20);
        vnic_cfg_write(s->card, CFG_BAR + (bar + 1) * CFG_BAR_STRIDE, 4, 0xF0000000u);
    }
    vnic_cfg_write(s->card, CFG_COMMAND, 2, COMMAND_MEMORY_MASK | COMMAND_MASTER_MASK);
}

static void rings_start(struct scene *s)
{
    reg_write64(s, REG_QP_CQ_BASE, SCENE_IOVA + CQ_AT);
    reg_write(s, REG_QP_CQ_COUNT, CQ_COUNT);
    reg_write(s, REG_QP_CQ_CTRL, QP_CQ_CTRL_ENABLE_MASK);
    reg_write(s, REG_CHM_CTRL, CHM_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHM_ADMIN_BASE, SCENE_IOVA + ADMIN_AT);
    reg_write(s, REG_CHM_ADMIN_COUNT, SCENE_RING);
    reg_write(s, REG_CHM_ADMIN_CTRL, CHM_ADMIN_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHQ_SQ_BASE, SCENE_IOVA + SQ_AT);
    reg_write(s, REG_CHQ_SQ_COUNT, SCENE_RING);
    reg_write(s, REG_CHQ_SQ_CTRL, CHQ_SQ_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHQ_POOL_BASE, SCENE_IOVA + POOL_AT);
    reg_write(s, REG_CHQ_POOL_COUNT, SCENE_RING);
    reg_write(s, REG_CHQ_POOL_BUF_LEN, BUFFER_BYTES);
    reg_write(s, REG_CHQ_POOL_CTRL, CHQ_POOL_CTRL_ENABLE_MASK);
    for (uint32_t i = 0; i < SCENE_RING; i++) {
        words_at(s, POOL_AT)[i] = SCENE_IOVA + BUFFERS_AT + i * BUFFER_BYTES;
    }
    s->pool_tail = 5;
    reg_write(s, REG_CHQ_POOL_TAIL, s->pool_tail);
    reg_write(s, REG_QP_CQ_TAIL, CQ_COUNT - 1);
    reg_write64(s, REG_MAC_ADDR, OWN_ADDRESS);
    reg_write(s, REG_MAC_RX_CTRL, MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_UNICAST_MASK);
    reg_write(s, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);
}

static uint64_t *command_next(struct scene *s, uint64_t op, uint64_t object)
{
    uint64_t *w = words_at(s, ADMIN_AT) + s->admin_tail * (size_t)CHM_COMMAND_WORDS;

    s->admin_tail = (s->admin_tail + 1) % SCENE_RING;
    memset(w, 0, CHM_COMMAND_BYTES);
    chm_command_set_op(w, op);
    chm_command_set_object(w, object);
    return w;
}

/* The driver takes what is there and gives every slot back; handles of what was made are noted by their cookies. */
static void completions_take(struct scene *s)
{
    for (uint32_t i = 0; i < CQ_COUNT; i++) {
        const uint64_t *w = words_at(s, CQ_AT) + s->cq_seen % CQ_COUNT * (size_t)CHM_COMPLETION_WORDS;

        if (chm_completion_gen(w) != (s->cq_seen / CQ_COUNT + 1) % 2) {
            break;
        }
        see_bytes(w, CHM_COMPLETION_BYTES);
        if (chm_completion_type(w) == COMPLETION_TYPE_CHM_ADMIN && chm_admin_completion_op(w) == CHM_OP_CREATE
            && chm_admin_completion_status(w) == CHM_STATUS_OK) {
            s->handle[chm_admin_completion_cookie(w) % SCENE_HANDLES] =
                (uint32_t)chm_admin_completion_handle(w);
        }
        s->cq_seen++;
    }
    reg_write(s, REG_QP_CQ_TAIL, (s->cq_seen + CQ_COUNT - 1) % CQ_COUNT);
}

static void create(struct scene *s, uint64_t object, uint32_t cookie, uint32_t parent, uint32_t bytes)
{
    uint64_t *w = command_next(s, CHM_OP_CREATE, object);

    chm_command_set_cookie(w, cookie);
    chm_command_set_parent(w, parent);
    chm_command_set_in_addr(w, SCENE_IOVA + IMAGE_AT);
    chm_command_set_in_len(w, bytes);
    reg_write(s, REG_CHM_ADMIN_TAIL, s->admin_tail);
    (void)scene_settle(s);
    completions_take(s);
}

static void tcp_image(uint64_t *w, uint32_t number)
{
    memset(w, 0, CHM_TCP_BYTES);
    chm_tcp_set_const_flags(w, number % 2 * 2);
    chm_tcp_set_remote_port(w, PORT + number);
    chm_tcp_set_local_port(w, 80);
    chm_tcp_set_remote_mss(w, 1000);
    chm_tcp_set_hash_value(w, number);
    chm_tcp_set_ttl_or_hop_limit(w, 64);
    chm_tcp_set_initial_rcv_wnd(w, WINDOW);
    chm_tcp_set_state(w, 4);
    chm_tcp_set_rcv_nxt(w, IRS);
    chm_tcp_set_rcv_wnd(w, WINDOW);
    chm_tcp_set_snd_una(w, ISS);
    chm_tcp_set_snd_nxt(w, ISS);
    chm_tcp_set_snd_max(w, ISS);
    chm_tcp_set_snd_wnd(w, WINDOW);
    chm_tcp_set_max_snd_wnd(w, WINDOW);
    chm_tcp_set_send_wl1(w, IRS);
    chm_tcp_set_cwnd(w, WINDOW);
    chm_tcp_set_ss_thresh(w, WINDOW);
    chm_tcp_set_keep_alive_timeout_delta(w, NOT_RUNNING);
    chm_tcp_set_retransmit_timeout_delta(w, NOT_RUNNING);
}

/* 10.0.0.1 here, 10.0.0.2 and 10.0.0.3 there, in network order. */
static void objects_create(struct scene *s)
{
    uint64_t *w = words_at(s, IMAGE_AT);

    memset(w, 0, CHM_TCP_BYTES);
    chm_neighbour_set_destination_address(w, PEER_ADDRESS);
    create(s, CHM_OBJECT_NEIGHBOUR, NEIGHBOUR, 0, CHM_NEIGHBOUR_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        memset(w, 0, CHM_TCP_BYTES);
        chm_path_set_source_lo(w, 0x0100000Au);
        chm_path_set_destination_lo(w, 0x0200000Au + (i << 24));
        chm_path_set_path_mtu(w, 1500);
        create(s, CHM_OBJECT_PATH, PATHS + i, s->handle[NEIGHBOUR], CHM_PATH_BYTES);
    }
    for (uint32_t i = 0; i < SCENE_CONNECTIONS; i++) {
        s->peer_seq[i] = IRS;
        tcp_image(w, i);
        create(s, CHM_OBJECT_TCP, i, s->handle[PATHS + i % 2], CHM_TCP_BYTES);
    }
}

static bool card_make(struct scene *s)
{
    struct vnic_config config;

    vnic_config_init(&config);
    config.queue_pairs = 1;
    config.connections = 8;
    config.paths = 4;
    config.neighbours = 2;
    config.chimney_work = 32;
    config.chimney_nodes = 16;
    config.chimney_recoveries = 2;
    config.chimney_bytes = 1 << 16;
    s->memory = aligned_alloc(4096, SCENE_MEMORY);
    return s->memory && vnic_create(&config, &s->card) == VNIC_OK
           && vnic_map(s->card, SCENE_IOVA, s->memory, SCENE_MEMORY, VNIC_MAP_READ | VNIC_MAP_WRITE)
                  == VNIC_OK;
}

const char *scene_start(struct scene *s)
{
    if (s->card == NULL && !card_make(s)) {
        return "no memory for a card";
    }
    vnic_reset(s->card, VNIC_RESET_POWER);
    *s = (struct scene){.card = s->card, .memory = s->memory};
    memset(s->memory, 0, SCENE_MEMORY);
    bars_place(s);
    vnic_set_link(s->card, 10000);
    rings_start(s);
    objects_create(s);
    for (uint32_t i = 0; i < PATHS + 2; i++) {
        if (s->handle[i] == 0) {
            return "an object is refused";
        }
    }
    return NULL;
}

/* -- acts --------------------------------------------------------------------------------------------------- */

static uint32_t handle_take(struct scene *s, struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);

    return pick < 200 ? s->handle[pick % (PATHS + 2)] : s->handle[pick % (PATHS + 2)] ^ word_take(b);
}

static uint64_t address_take(struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);

    return pick < 240 ? SCENE_IOVA + DATA_AT + pick * 8u : (uint64_t)pick << (pick % 60);
}

/* Fields of the image as they should be, but for some bytes. */
static const char *act_command(struct scene *s, struct scene_bytes *b)
{
    const uint64_t op = byte_take(b) % 6, object = byte_take(b) % 4;
    uint64_t *w = command_next(s, op, object);
    static const uint32_t bytes[] = {CHM_TCP_BYTES, CHM_NEIGHBOUR_BYTES, CHM_PATH_BYTES, CHM_TCP_BYTES};

    tcp_image(words_at(s, IMAGE_AT), byte_take(b) % (SCENE_CONNECTIONS + 2));
    for (unsigned n = byte_take(b) % 4; n > 0; n--) {
        const uint8_t at = byte_take(b);
        s->memory[IMAGE_AT + at % CHM_TCP_BYTES] ^= byte_take(b);
    }
    chm_command_set_cookie(w, byte_take(b) % SCENE_HANDLES);
    chm_command_set_handle(w, op == CHM_OP_CREATE ? 0 : handle_take(s, b));
    chm_command_set_parent(w, op == CHM_OP_CREATE ? handle_take(s, b) : 0);
    if (op == CHM_OP_CREATE || op == CHM_OP_UPDATE) {
        chm_command_set_in_addr(w, SCENE_IOVA + IMAGE_AT);
        chm_command_set_in_len(w, bytes[object]);
    }
    if (op == CHM_OP_QUERY || op == CHM_OP_TERMINATE) {
        chm_command_set_out_addr(w, SCENE_IOVA + IMAGE_AT + 0x400);
        chm_command_set_out_len(w, bytes[object]);
    }
    reg_write(s, REG_CHM_ADMIN_TAIL, s->admin_tail);
    return NULL;
}

static const char *act_submit(struct scene *s, struct scene_bytes *b)
{
    for (unsigned n = 1 + byte_take(b) % 3; n > 0; n--) {
        uint64_t *w = words_at(s, SQ_AT) + s->sq_tail * (size_t)CHM_SUBMISSION_WORDS;

        s->sq_tail = (s->sq_tail + 1) % SCENE_RING;
        memset(w, 0, CHM_SUBMISSION_BYTES);
        chm_submission_set_op(w, byte_take(b) % 7);
        chm_submission_set_handle(w, handle_take(s, b));
        chm_submission_set_len(w, word_take(b) % 8192);
        chm_submission_set_addr(w, chm_submission_len(w) != 0 ? address_take(b) : 0);
        w[2] |= (uint64_t)(byte_take(b) & 15) << CHM_SUBMISSION_MORE_SHIFT;
        chm_submission_set_data_count(w, byte_take(b) < 220 ? 0 : word_take(b));
    }
    reg_write(s, REG_CHQ_SQ_TAIL, s->sq_tail);
    return NULL;
}

static void be16_put(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void be32_put(uint8_t *out, uint32_t value)
{
    be16_put(out, value >> 16);
    be16_put(out + 2, value & 0xFFFF);
}

/* Headers of a segment to connection `number`, checksums right. */
static void frame_write(uint8_t *f, uint32_t number, uint32_t seq, uint32_t ack, uint8_t control,
                        uint32_t len)
{
    static const uint8_t ethernet[14] = {0x02, 0x22, 0x33, 0x44, 0x55, 0x66, 0x04,
                                         0x22, 0x33, 0x44, 0x55, 0x66, 0x08, 0x00};
    uint8_t *ip = f + 14, *tcp = f + 34;

    memset(f, 0, 54);
    memcpy(f, ethernet, sizeof ethernet);
    ip[0] = 0x45;
    be16_put(ip + 2, 40 + len);
    ip[8] = 64;
    ip[9] = 6;
    be32_put(ip + 12, 0x0A000002u + number % 2);
    be32_put(ip + 16, 0x0A000001u);
    be16_put(tcp, PORT + number);
    be16_put(tcp + 2, 80);
    be32_put(tcp + 4, seq);
    be32_put(tcp + 8, ack);
    tcp[12] = 5 << 4;
    tcp[13] = control;
    be16_put(tcp + 14, WINDOW);
    const uint16_t header = csum_fold(csum_add(0, ip, 20));
    memcpy(ip + 10, &header, sizeof header);
    const uint16_t sum = csum_fold(csum_add(csum_pseudo_v4(ip + 12, 6, 20 + len), tcp, 20 + len));
    memcpy(tcp + 16, &sum, sizeof sum);
}

static const char *act_segment(struct scene *s, struct scene_bytes *b)
{
    static const uint8_t controls[] = {0x10, 0x18, 0x10, 0x11, 0x14, 0x02, 0x30, 0x04};
    static uint8_t frame[54 + 1460];
    const uint8_t number = byte_take(b) % SCENE_CONNECTIONS, how = byte_take(b);
    const uint8_t pick = byte_take(b);
    const uint32_t len = word_take(b) % 1460, control = controls[pick < 160 ? 0 : pick % 8];
    const uint32_t skew = how < 160 ? 0 : word_take(b) - 0x4000u;

    memset(frame + 54, number, len);
    frame_write(frame, number, s->peer_seq[number] + skew, ISS + word_take(b) % 0x4000u, (uint8_t)control,
                len);
    (void)vnic_receive(s->card, frame, 54 + len);
    s->peer_seq[number] += skew == 0 ? len : 0;
    return NULL;
}

static const char *act_time(struct scene *s, struct scene_bytes *b)
{
    const uint64_t by = UINT64_C(1) << byte_take(b) % 41;

    (void)vnic_advance(s->card, vnic_now(s->card) + by);
    return NULL;
}

static const char *act_steps(struct scene *s, struct scene_bytes *b)
{
    uint64_t moved;

    for (unsigned n = byte_take(b) % 16; n > 0; n--) {
        (void)vnic_step(s->card, byte_take(b) % VNIC_ENGINES, &moved);
    }
    return NULL;
}

/* The driver takes completions, and gives buffers and credit back, or not. */
static const char *act_poll(struct scene *s, struct scene_bytes *b)
{
    struct vnic_frame frames[32];

    completions_take(s);
    const size_t count = vnic_frames(s->card, frames, 32);
    for (size_t i = 0; i < count; i++) {
        see_bytes(frames[i].data, frames[i].len);
    }
    vnic_frames_release(s->card, count);
    s->pool_tail = (s->pool_tail + byte_take(b) % 4) % SCENE_RING;
    reg_write(s, REG_CHQ_POOL_TAIL, s->pool_tail);
    return NULL;
}

static const char *act_register(struct scene *s, struct scene_bytes *b)
{
    const uint32_t block = byte_take(b) % 4 != 0 ? REG_CHM_TYPE : REG_CHQ_SQ_BASE;
    const uint32_t offset = block + byte_take(b) % 64u * 4;
    const uint32_t value = word_take(b);

    if (offset != REG_CHM_CTRL || value % 16 == 0) {
        reg_write(s, offset, value);
    }
    return NULL;
}

/* A card restored is the same card. A forged snapshot is refused, or lived with: what comes of it may be refused. */
static const char *act_restore(struct scene *s, struct scene_bytes *b)
{
    static uint8_t image[SAVE_MOST];
    const size_t size = vnic_save(s->card, image, sizeof image);
    const uint64_t hash = vnic_state_hash(s->card);
    const uint8_t forgeries = byte_take(b) % 4;

    if (size > sizeof image) {
        return "a snapshot of such a size";
    }
    for (unsigned n = forgeries; n > 0; n--) {
        const size_t low = word_take(b), at = (low | (size_t)byte_take(b) << 16) % size;
        image[at] ^= byte_take(b);
    }
    if (vnic_load(s->card, image, size) != VNIC_OK) {
        return forgeries != 0 || s->is_forged ? scene_start(s) : "a snapshot is refused";
    }
    s->is_forged |= forgeries != 0;
    return forgeries != 0 || vnic_state_hash(s->card) == hash ? NULL : "a restored card is another";
}

const char *scene_act(struct scene *s, struct scene_bytes *bytes)
{
    static const char *(*const acts[])(struct scene *, struct scene_bytes *) = {
        act_command, act_submit, act_segment, act_segment, act_submit,   act_time,
        act_steps,   act_poll,   act_poll,    act_steps,   act_register, act_restore,
    };
    const uint8_t what = byte_take(bytes);
    const char *wrong = acts[what % (sizeof acts / sizeof acts[0])](s, bytes);

    if (wrong == NULL && what % 3 != 0) {
        wrong = scene_settle(s);
    }
    return wrong;
}
