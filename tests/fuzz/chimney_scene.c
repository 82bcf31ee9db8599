/* chimney_scene.c: a card and its driver, brought up by templates, and what must hold when the card comes to rest. */
#include "chimney_scene.h"

#include <stdlib.h>
#include <string.h>

#include "gen/descriptors.h"
#include "gen/pci_config.h"
#include "gen/vnic_bar0.h"

#define OWN_ADDRESS 0x665544332202u
#define PEER_ADDRESS 0x665544332204u
#define NOT_RUNNING 0xFFFFFFFFu

void scene_write(struct scene *s, uint32_t offset, uint64_t value)
{
    vnic_write(s->card, 0, offset, 4, value & UINT32_MAX);
}

static void reg_write64(struct scene *s, uint32_t offset, uint64_t value)
{
    vnic_write(s->card, 0, offset, 8, value);
}

uint64_t *scene_words(struct scene *s, uint32_t at)
{
    return (uint64_t *)(void *)(s->memory + at);
}

/* -- to rest ------------------------------------------------------------------------------------------------ */

const char *scene_settle(struct scene *s)
{
    const uint64_t bound = vnic_idle_steps(s->card);
    const struct vnic_budget enough = {bound < UINT64_MAX ? bound + 1 : bound, UINT64_MAX};
    struct vnic_budget used = {0, 0};
    const uint32_t left = vnic_run(s->card, &enough, &used);

    s->steps += used.steps;
    if (used.steps > bound) {
        return "more steps than the bound";
    }
    return left != 0 ? "the card does not come to rest" : NULL;
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

static void pair_start(struct scene *s)
{
    scene_write(s, REG_VEC_CTRL, VEC_CTRL_ENABLE_MASK);
    scene_write(s, REG_INT_CTRL, INT_CTRL_MASTER_ENABLE_MASK);
    reg_write64(s, REG_QP_CQ_BASE, SCENE_IOVA + CQ_AT);
    scene_write(s, REG_QP_CQ_COUNT, SCENE_COMPLETIONS);
    scene_write(s, REG_QP_CQ_CTRL, QP_CQ_CTRL_ENABLE_MASK);
    scene_write(s, REG_QP_CQ_TAIL, SCENE_COMPLETIONS - 1);
    reg_write64(s, REG_QP_RX_BASE, SCENE_IOVA + RX_AT);
    scene_write(s, REG_QP_RX_COUNT, SCENE_RING);
    scene_write(s, REG_QP_RX_BUF_LEN, RX_BUFFER_BYTES);
    scene_write(s, REG_QP_RX_CTRL, QP_RX_CTRL_ENABLE_MASK);
    for (uint32_t i = 0; i < SCENE_RING; i++) {
        rx_desc_set_buf_addr(scene_words(s, RX_AT) + i * (size_t)RX_DESC_WORDS,
                             SCENE_IOVA + RX_BUFFERS_AT + i * RX_BUFFER_BYTES);
    }
    s->rx_tail = SCENE_RING / 2;
    scene_write(s, REG_QP_RX_TAIL, s->rx_tail);
    reg_write64(s, REG_QP_TX_BASE, SCENE_IOVA + TX_AT);
    scene_write(s, REG_QP_TX_COUNT, SCENE_RING);
    scene_write(s, REG_QP_TX_CTRL, QP_TX_CTRL_ENABLE_MASK);
}

static void chimney_start(struct scene *s)
{
    scene_write(s, REG_CHM_CTRL, CHM_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHM_ADMIN_BASE, SCENE_IOVA + ADMIN_AT);
    scene_write(s, REG_CHM_ADMIN_COUNT, SCENE_RING);
    scene_write(s, REG_CHM_ADMIN_CTRL, CHM_ADMIN_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHQ_SQ_BASE, SCENE_IOVA + SQ_AT);
    scene_write(s, REG_CHQ_SQ_COUNT, SCENE_RING);
    scene_write(s, REG_CHQ_SQ_CTRL, CHQ_SQ_CTRL_ENABLE_MASK);
    reg_write64(s, REG_CHQ_POOL_BASE, SCENE_IOVA + POOL_AT);
    scene_write(s, REG_CHQ_POOL_COUNT, SCENE_RING);
    scene_write(s, REG_CHQ_POOL_BUF_LEN, BUFFER_BYTES);
    scene_write(s, REG_CHQ_POOL_CTRL, CHQ_POOL_CTRL_ENABLE_MASK);
    for (uint32_t i = 0; i < SCENE_RING; i++) {
        scene_words(s, POOL_AT)[i] = SCENE_IOVA + BUFFERS_AT + i * BUFFER_BYTES;
    }
    s->pool_tail = SCENE_RING - 5;
    scene_write(s, REG_CHQ_POOL_TAIL, s->pool_tail);
    reg_write64(s, REG_MAC_ADDR, OWN_ADDRESS);
    scene_write(s, REG_MAC_RX_CTRL, MAC_RX_CTRL_ENABLE_MASK | MAC_RX_CTRL_UNICAST_MASK);
    scene_write(s, REG_MAC_TX_CTRL, MAC_TX_CTRL_ENABLE_MASK);
}

uint64_t *scene_command(struct scene *s, uint64_t op, uint64_t object)
{
    uint64_t *w = scene_words(s, ADMIN_AT) + s->admin_tail * (size_t)CHM_COMMAND_WORDS;

    s->admin_tail = (s->admin_tail + 1) % SCENE_RING;
    memset(w, 0, CHM_COMMAND_BYTES);
    chm_command_set_op(w, op);
    chm_command_set_object(w, object);
    return w;
}

static void image_tcp(uint64_t *w, uint32_t number)
{
    static const uint8_t flags[] = {0, 2, 6, 2, 7, 4}; /* timestamps, SACK, scaled windows */
    const uint8_t shape = flags[number % sizeof flags];

    chm_tcp_set_const_flags(w, shape);
    chm_tcp_set_snd_wind_scale(w, (shape & 4) != 0 ? 2 : 0);
    chm_tcp_set_rcv_wind_scale(w, (shape & 4) != 0 ? 1 : 0);
    chm_tcp_set_remote_port(w, SCENE_PORT + number);
    chm_tcp_set_local_port(w, 80);
    chm_tcp_set_remote_mss(w, 1000);
    chm_tcp_set_hash_value(w, number);
    chm_tcp_set_ttl_or_hop_limit(w, 64);
    chm_tcp_set_initial_rcv_wnd(w, SCENE_WINDOW);
    chm_tcp_set_state(w, 4);
    chm_tcp_set_rcv_nxt(w, SCENE_IRS);
    chm_tcp_set_rcv_wnd(w, SCENE_WINDOW);
    chm_tcp_set_snd_una(w, SCENE_ISS);
    chm_tcp_set_snd_nxt(w, SCENE_ISS);
    chm_tcp_set_snd_max(w, SCENE_ISS);
    chm_tcp_set_snd_wnd(w, SCENE_WINDOW);
    chm_tcp_set_max_snd_wnd(w, SCENE_WINDOW);
    chm_tcp_set_send_wl1(w, SCENE_IRS);
    chm_tcp_set_cwnd(w, SCENE_WINDOW);
    chm_tcp_set_ss_thresh(w, SCENE_WINDOW);
    chm_tcp_set_keep_alive_timeout_delta(w, NOT_RUNNING);
    chm_tcp_set_retransmit_timeout_delta(w, NOT_RUNNING);
}

/* 10.0.0.1 here, 10.0.0.2 and 10.0.0.3 there, in network order. */
void scene_image(uint64_t *w, uint64_t object, uint32_t number)
{
    memset(w, 0, CHM_TCP_BYTES);
    switch (object) {
    case CHM_OBJECT_NEIGHBOUR:
        chm_neighbour_set_destination_address(w, PEER_ADDRESS);
        break;
    case CHM_OBJECT_PATH:
        chm_path_set_source_lo(w, 0x0100000Au);
        chm_path_set_destination_lo(w, 0x0200000Au + (number % 2 << 24));
        chm_path_set_path_mtu(w, 1500);
        break;
    default:
        image_tcp(w, number);
        break;
    }
}

static const char *create(struct scene *s, uint64_t object, uint32_t cookie, uint32_t number, uint32_t parent,
                          uint32_t bytes)
{
    uint64_t *w = scene_command(s, CHM_OP_CREATE, object);

    scene_image(scene_words(s, IMAGE_AT), object, number);
    chm_command_set_cookie(w, cookie | SCENE_PLAIN);
    chm_command_set_parent(w, parent);
    chm_command_set_in_addr(w, SCENE_IOVA + IMAGE_AT);
    chm_command_set_in_len(w, bytes);
    scene_write(s, REG_CHM_ADMIN_TAIL, s->admin_tail);
    (void)scene_settle(s);
    const char *wrong = scene_take(s);
    return wrong != NULL ? wrong : s->handle[cookie] == 0 ? "an object is refused" : NULL;
}

static const char *objects_create(struct scene *s)
{
    const char *wrong = create(s, CHM_OBJECT_NEIGHBOUR, SCENE_NEIGHBOUR, 0, 0, CHM_NEIGHBOUR_BYTES);

    for (uint32_t i = 0; i < 2 && wrong == NULL; i++) {
        wrong = create(s, CHM_OBJECT_PATH, SCENE_PATHS + i, i, s->handle[SCENE_NEIGHBOUR], CHM_PATH_BYTES);
    }
    for (uint32_t i = 0; i < SCENE_CONNECTIONS && wrong == NULL; i++) {
        wrong = create(s, CHM_OBJECT_TCP, i, i, s->handle[SCENE_PATHS + i % 2], CHM_TCP_BYTES);
    }
    return wrong;
}

/* -- life --------------------------------------------------------------------------------------------------- */

static bool card_make(struct scene *s)
{
    struct vnic_config config;

    vnic_config_init(&config);
    config.queue_pairs = 1;
    config.connections = SCENE_PLACES;
    config.paths = 3;
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
    pair_start(s);
    chimney_start(s);
    return objects_create(s);
}

const char *scene_clone(struct scene *s, const struct scene *from, const uint8_t *image, size_t len)
{
    vnic *card;
    uint8_t *memory;

    if (s->card == NULL && !card_make(s)) {
        return "no memory for a card";
    }
    card = s->card;
    memory = s->memory;
    *s = *from;
    s->card = card;
    s->memory = memory;
    vnic_reset(card, VNIC_RESET_POWER);
    if (vnic_load(card, image, len) != VNIC_OK) {
        return "a snapshot is refused";
    }
    scene_take_interrupts(s); /* what the line does in a power cycle */
    s->said = from->said;
    return NULL;
}
