/* fault_held.c: the store of what faults keep for later. */
#include "pci/fault_held.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

bool fault_held_create(struct fault_held *h)
{
    h->item = calloc(FAULT_HELD_MAX, sizeof(*h->item));
    h->bytes = calloc(1, FAULT_HELD_BYTES);
    return h->item != NULL && h->bytes != NULL;
}

void fault_held_destroy(struct fault_held *h)
{
    free(h->item);
    free(h->bytes);
}

uint32_t fault_held_footprint(const struct fault_held *h)
{
    return h->item != NULL ? (uint32_t)(FAULT_HELD_MAX * sizeof(*h->item)) + FAULT_HELD_BYTES : 0;
}

bool fault_held_fits(const struct fault_held *h, uint64_t len)
{
    return h->item != NULL && h->count < FAULT_HELD_MAX && len <= FAULT_HELD_BYTES - h->used;
}

void fault_held_put(struct fault_held *h, struct fault_item item, const uint8_t *bytes)
{
    item.offset = h->used;
    if (item.len != 0) {
        memcpy(h->bytes + h->used, bytes, item.len);
    }
    h->used += item.len;
    h->item[h->count++] = item;
}

static bool item_is_due(const struct fault_item *item, uint64_t now_ns, uint32_t sites)
{
    return item->passes == 0 && item->due_ns <= now_ns && (sites >> item->site & 1u) != 0;
}

/* How many due items go before this one: those due earlier, and of those due at the same time the older ones. */
static uint32_t item_rank(const struct fault_held *h, uint32_t at, uint64_t now_ns, uint32_t sites)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const uint64_t due_ns = h->item[i].due_ns, own_ns = h->item[at].due_ns;
        const bool is_before = due_ns < own_ns || (due_ns == own_ns && i < at);
        rank += is_before && item_is_due(&h->item[i], now_ns, sites);
    }
    return rank;
}

const struct fault_item *fault_held_due(const struct fault_held *h, uint64_t now_ns, uint32_t sites,
                                        uint32_t after)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (item_is_due(&h->item[i], now_ns, sites) && item_rank(h, i, now_ns, sites) == after) {
            return &h->item[i];
        }
    }
    return NULL;
}

static bool item_is_ripe(const struct fault_item *item)
{
    return item->due_ns == 0;
}

void fault_held_drop(struct fault_held *h, const struct fault_item *item)
{
    const uint32_t at = (uint32_t)(item - h->item), offset = item->offset, len = item->len;
    h->ripe -= item_is_ripe(item);
    memmove(h->bytes + offset, h->bytes + offset + len, h->used - offset - len);
    h->used -= len;
    h->count--;
    memmove(&h->item[at], &h->item[at + 1], (h->count - at) * sizeof(*h->item));
    for (uint32_t i = at; i < h->count; i++) {
        h->item[i].offset -= len;
    }
}

void fault_held_clear(struct fault_held *h)
{
    h->count = 0;
    h->used = 0;
    h->ripe = 0;
}

static void item_ripen(struct fault_held *h, struct fault_item *item)
{
    h->ripe += !item_is_ripe(item);
    item->passes = 0;
    item->due_ns = 0;
}

void fault_held_pass(struct fault_held *h, uint32_t fault)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct fault_item *item = &h->item[i];
        if (item->fault == fault && item->passes != 0 && --item->passes == 0) {
            item_ripen(h, item);
        }
    }
}

bool fault_held_has(const struct fault_held *h, uint32_t fault)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->item[i].fault == fault) {
            return true;
        }
    }
    return false;
}

void fault_held_free(struct fault_held *h, uint32_t fault)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->item[i].fault == fault) {
            item_ripen(h, &h->item[i]);
            h->item[i].fault = UINT32_MAX;
        }
    }
}

uint64_t fault_held_deadline(const struct fault_held *h, uint64_t now_ns)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; i < h->count; i++) {
        const uint64_t due_ns = h->item[i].due_ns;
        earliest = due_ns > now_ns ? bits_min64(earliest, due_ns) : earliest;
    }
    return earliest;
}
