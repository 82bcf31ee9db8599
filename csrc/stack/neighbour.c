/* The table of neighbours: lookup, holding, and giving up the least useful entry (RFC 6583). */
#include "stack/neighbour.h"

#include "base/bits.h"
#include "base/check.h"
#include "stack/neighbour_entry.h"
#include "stack/network.h"
#include "stack/state.h"

#include <stdlib.h>

static uint32_t buckets_for(uint32_t entries)
{
    return 1u << (bits_log2(bits_max32(entries, 2) - 1) + 1);
}

int neighbours_create(struct vnic_stack *s)
{
    struct neighbours *t = &s->neighbours;
    const size_t places = (size_t)s->config.neighbours + 1;
    const uint32_t buckets = buckets_for(s->config.neighbours);

    t->entries = malloc(places * sizeof(*t->entries));
    t->alarms = malloc(places * sizeof(*t->alarms));
    t->buckets = calloc(buckets, sizeof(*t->buckets));
    if (t->entries == NULL || t->alarms == NULL || t->buckets == NULL) {
        return VNIC_ENOMEM;
    }
    t->bucket_mask = buckets - 1;
    pool_start(&t->pool, t->entries, sizeof(*t->entries), s->config.neighbours);
    return VNIC_OK;
}

void neighbours_destroy(struct vnic_stack *s)
{
    free(s->neighbours.entries);
    free(s->neighbours.alarms);
    free(s->neighbours.buckets);
}

static uint32_t *bucket_of(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    uint8_t key[20];

    memcpy(key, address->bytes, 16);
    le32_store(key + 16, interface << 1 | address->is_ipv6);
    return &s->neighbours
                .buckets[secret_hash(s, key, sizeof(key), SECRET_NEIGHBOURS) & s->neighbours.bucket_mask];
}

uint32_t neighbour_find(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    uint32_t index = *bucket_of(s, interface, address);

    while (index != 0) {
        const struct neighbour *n = &s->neighbours.entries[index];

        if (n->interface == interface && address_is_equal(&n->address, address)) {
            return index;
        }
        index = n->next;
    }
    return 0;
}

/* -- lists of those that may go -------------------------------------------------------------------------- */

static void unlist(struct vnic_stack *s, struct neighbour *n)
{
    struct neighbours *t = &s->neighbours;

    if (n->list == NEIGHBOUR_UNLISTED) {
        return;
    }
    *(n->older != 0 ? &t->entries[n->older].newer : &t->oldest[n->list]) = n->newer;
    *(n->newer != 0 ? &t->entries[n->newer].older : &t->newest[n->list]) = n->older;
    n->list = NEIGHBOUR_UNLISTED;
}

static uint8_t list_for(const struct neighbour *n)
{
    if (n->holds > 0 || n->state == VNIC_NEIGHBOUR_PERMANENT) {
        return NEIGHBOUR_UNLISTED;
    }
    return n->state <= VNIC_NEIGHBOUR_INCOMPLETE ? NEIGHBOUR_UNRESOLVED : NEIGHBOUR_RESOLVED;
}

void neighbour_relist(struct vnic_stack *s, uint32_t index)
{
    struct neighbours *t = &s->neighbours;
    struct neighbour *n = &t->entries[index];
    const uint8_t list = list_for(n);

    if (t->newest[list] == index && n->list == list) {
        return;
    }
    unlist(s, n);
    if (list == NEIGHBOUR_UNLISTED) {
        return;
    }
    n->list = list;
    n->older = t->newest[list];
    n->newer = 0;
    *(n->older != 0 ? &t->entries[n->older].newer : &t->oldest[list]) = index;
    t->newest[list] = index;
}

/* -- entries --------------------------------------------------------------------------------------------- */

void neighbour_remove(struct vnic_stack *s, uint32_t index)
{
    struct neighbours *t = &s->neighbours;
    struct neighbour *n = &t->entries[index];
    uint32_t *link = bucket_of(s, n->interface, &n->address);

    vnic_assert(n->holds == 0);
    neighbour_drop_waiting(s, index);
    neighbour_cancel_alarm(s, index);
    unlist(s, n);
    while (*link != index) {
        link = &t->entries[*link].next;
    }
    *link = n->next;
    n->is_used = 0;
    pool_give(&t->pool, index);
}

static uint32_t new_entry(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    struct neighbours *t = &s->neighbours;
    const uint32_t index = pool_take(&t->pool);
    uint32_t *bucket = bucket_of(s, interface, address);

    if (index == 0) {
        return 0;
    }
    t->entries[index] = (struct neighbour){
        .next = *bucket,
        .interface = (uint8_t)interface,
        .address = *address,
        .is_used = 1,
        .use = (uint16_t)(t->uses++ % NEIGHBOUR_USES),
    };
    *bucket = index;
    neighbour_relist(s, index);
    return index;
}

static bool evict(struct vnic_stack *s)
{
    const struct neighbours *t = &s->neighbours;
    const uint32_t unresolved = t->oldest[NEIGHBOUR_UNRESOLVED];
    const uint32_t index = unresolved != 0 ? unresolved : t->oldest[NEIGHBOUR_RESOLVED];

    if (index == 0) {
        return false;
    }
    s->statistics.neighbours_evicted++;
    neighbour_remove(s, index);
    return true;
}

uint32_t neighbour_get(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    const uint32_t index = neighbour_find(s, interface, address);

    if (index != 0) {
        return index;
    }
    if (pool_left(&s->neighbours.pool) == 0 && !evict(s)) {
        return 0;
    }
    return new_entry(s, interface, address);
}

uint32_t neighbour_get_free(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address)
{
    const uint32_t index = neighbour_find(s, interface, address);

    return index != 0 ? index : new_entry(s, interface, address);
}

void neighbour_hold(struct vnic_stack *s, uint32_t index)
{
    s->neighbours.entries[index].holds++;
    neighbour_relist(s, index);
}

void neighbour_release(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = &s->neighbours.entries[index];

    vnic_assert(n->holds > 0);
    n->holds--;
    if (n->holds == 0 && n->state == VNIC_NEIGHBOUR_NONE) {
        neighbour_remove(s, index);
        return;
    }
    neighbour_relist(s, index);
}

void neighbour_set_permanent(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_local)
{
    struct neighbour *n = &s->neighbours.entries[index];
    const bool is_news = n->state != VNIC_NEIGHBOUR_PERMANENT || memcmp(n->mac, mac, 6) != 0;

    memcpy(n->mac, mac, 6);
    n->is_local = is_local;
    n->state = VNIC_NEIGHBOUR_PERMANENT;
    neighbour_cancel_alarm(s, index);
    neighbour_relist(s, index);
    neighbour_send_waiting(s, index);
    if (is_news && n->holds > 0) {
        sockets_on_neighbour(s, index, true);
    }
}

void neighbour_forget_local(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = &s->neighbours.entries[index];

    n->is_local = false;
    n->state = VNIC_NEIGHBOUR_NONE;
    if (n->holds == 0) {
        neighbour_remove(s, index);
    }
}
