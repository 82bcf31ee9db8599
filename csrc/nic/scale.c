/* scale.c: commit, reset and snapshot of the RSS configuration. */
#include "nic/scale.h"

#include <string.h>

#include "base/bytes.h"
#include "nic/chimney.h"
#include "nic/tags.h"
#include "wire/rss.h"

#define TABLE_LOG2_MAX 7u

/* The rules of plain frames, asked of the same function that decides for all. */
static void scale_make_rules(struct vnic *card)
{
    static const uint8_t addresses_and_ports[WIRE_ETH_LEN + WIRE_IPV6_LEN + 4];
    for (unsigned kind = 0; kind < SCALE_KINDS; kind++) {
        bool is_ipv4 = kind == SCALE_TCP_IPV4 || kind == SCALE_UDP_IPV4;
        bool is_tcp = kind == SCALE_TCP_IPV4 || kind == SCALE_TCP_IPV6;
        struct wire_frame frame = {
            .len = sizeof addresses_and_ports,
            .l4_len = 4,
            .l2_len = WIRE_ETH_LEN,
            .l4_offset = (uint16_t)(WIRE_ETH_LEN + (is_ipv4 ? WIRE_IPV4_LEN : WIRE_IPV6_LEN)),
            .l3 = is_ipv4 ? WIRE_L3_IPV4 : WIRE_L3_IPV6,
            .l4 = is_tcp ? WIRE_L4_TCP : WIRE_L4_UDP,
        };
        uint8_t input[RSS_INPUT_MAX];
        struct scale_kind_rule *rule = &card->scratch.kind_rule[kind];
        rule->type = rss_input(&frame, addresses_and_ports, card->state.rss.types, input, &rule->len);
    }
}

static void scale_read_registers(const struct vnic *card, struct rss *rss)
{
    uint32_t ctrl = card_reg(card, REG_RSS_CTRL);
    rss->is_active = (ctrl & RSS_CTRL_ENABLE_MASK) != 0;
    rss->table_log2 = (uint8_t)((ctrl & RSS_CTRL_TABLE_LOG2_MASK) >> RSS_CTRL_TABLE_LOG2_SHIFT);
    rss->default_queue = (uint8_t)((ctrl & RSS_CTRL_DEFAULT_QUEUE_MASK) >> RSS_CTRL_DEFAULT_QUEUE_SHIFT);
    rss->types = card_reg(card, REG_RSS_TYPES) & RSS_TYPE_MASK;
    for (uint32_t i = 0; i < CARD_RSS_ENTRIES / 4; i++) {
        le32_store(rss->table + 4 * i, card_reg(card, REG_RSS_TABLE + 4 * i));
    }
    for (uint32_t i = 0; i < CARD_RSS_KEY_BYTES / 4; i++) {
        le32_store(rss->key + 4 * i, card_reg(card, REG_RSS_KEY + 4 * i));
    }
}

static bool scale_is_sound(const struct vnic *card, const struct rss *rss)
{
    if (rss->table_log2 > TABLE_LOG2_MAX || rss->default_queue >= card->config.queue_pairs) {
        return false;
    }
    for (uint32_t i = 0; i < 1u << rss->table_log2; i++) {
        if (rss->table[i] >= card->config.queue_pairs) {
            return false;
        }
    }
    return true;
}

/* Only an active configuration is asked for hashes: a reset prepares nothing, and the same key is not prepared twice. */
static void scale_prepare_key(struct vnic *card)
{
    struct toeplitz *t = &card->scratch.toeplitz;
    const struct rss *rss = &card->state.rss;
    if (rss->is_active && (t->hash == NULL || memcmp(t->key, rss->key, sizeof rss->key) != 0)) {
        toeplitz_prepare(t, rss->key);
    }
}

/* [RSS-8] Whole or not at all, and between two frames: a commit is a register write, and no step is under
 * way. */
void scale_commit(struct vnic *card)
{
    struct rss next = card->state.rss;
    scale_read_registers(card, &next);
    if (!scale_is_sound(card, &next)) {
        card->state.rss.is_refused = true;
        card_count_guest_error(card);
        return;
    }
    next.is_refused = false;
    next.generation++;
    card->state.rss = next;
    chimney_fence(card);
    scale_make_rules(card);
    scale_prepare_key(card);
}

uint32_t scale_read_status(const struct vnic *card)
{
    const struct rss *rss = &card->state.rss;
    return (uint32_t)rss->is_active << RSS_STATUS_ACTIVE_SHIFT
           | (uint32_t)rss->is_refused << RSS_STATUS_REFUSED_SHIFT
           | (uint32_t)rss->generation << RSS_STATUS_GENERATION_SHIFT;
}

void scale_reset(struct vnic *card)
{
    card->state.rss = (struct rss){0};
    scale_make_rules(card);
}

void scale_archive(struct vnic *card, struct archive *a)
{
    struct rss *rss = &card->state.rss;
    ARCHIVE(a, TAG_RSS_ACTIVE, rss->is_active, 1);
    ARCHIVE(a, TAG_RSS_REFUSED, rss->is_refused, 1);
    ARCHIVE(a, TAG_RSS_LOG2, rss->table_log2, TABLE_LOG2_MAX);
    ARCHIVE(a, TAG_RSS_DEFAULT, rss->default_queue, UINT8_MAX);
    ARCHIVE(a, TAG_RSS_GENERATION, rss->generation, UINT16_MAX);
    ARCHIVE(a, TAG_RSS_TYPES, rss->types, RSS_TYPE_MASK);
    archive_refuse_if(a, (rss->types & ~(uint32_t)RSS_TYPE_MASK) != 0);
    archive_bytes(a, TAG_RSS_TABLE, rss->table, sizeof rss->table);
    archive_bytes(a, TAG_RSS_KEY, rss->key, sizeof rss->key);
    archive_refuse_if(a, !scale_is_sound(card, rss));
    if (archive_is_loading(a)) {
        scale_make_rules(card);
        scale_prepare_key(card);
    }
}
