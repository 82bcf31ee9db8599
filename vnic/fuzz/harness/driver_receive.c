/* driver_receive.c: lists on their way up and back: the driver's own, well-formed, and untouched while they are out. */
#include "driver_receive.h"

#include <stdlib.h>
#include <string.h>

#include "driver_world.h"

#define PLACES (2u * FUZZ_LISTS)
#define ETHERNET_HEADER 14u
#define CHAIN_MOST 64u

/* ---- structures by address ---- */

static uint32_t place_of(const void *key)
{
    return (uint32_t)((uintptr_t)key >> 4) * 2654435761u >> 8 & (PLACES - 1);
}

static uint32_t table_find(const struct fuzz_receives *r, const void *key)
{
    uint32_t at = place_of(key);
    while (r->key[at] != NULL && r->key[at] != key) {
        at = (at + 1) & (PLACES - 1);
    }
    return at;
}

static void table_put(struct fuzz_receives *r, const void *key, uint32_t value)
{
    const uint32_t at = table_find(r, key);
    r->key[at] = key;
    r->value[at] = value;
}

/* Those behind it close up, so that an empty table is all empty. */
static void table_take(struct fuzz_receives *r, uint32_t at)
{
    uint32_t hole = at;
    r->key[hole] = NULL;
    for (uint32_t i = (at + 1) & (PLACES - 1); r->key[i] != NULL; i = (i + 1) & (PLACES - 1)) {
        const uint32_t wanted = place_of(r->key[i]);
        if (((i - wanted) & (PLACES - 1)) >= ((i - hole) & (PLACES - 1))) {
            r->key[hole] = r->key[i];
            r->value[hole] = r->value[i];
            r->key[i] = NULL;
            hole = i;
        }
    }
}

static struct fuzz_list *list_of(struct fuzz_receives *r, const void *list)
{
    const uint32_t at = table_find(r, list);
    return r->key[at] != NULL && r->value[at] < FUZZ_LISTS ? &r->each[r->value[at]] : NULL;
}

/* ---- allocation ---- */

struct vnic_mdl *fuzz_receive_alloc_mdl(struct fuzz_world *w, void *memory, uint32_t len)
{
    const struct fuzz_block *block = fuzz_memory_find(&w->memory, memory, len);
    FUZZ_REQUIRE(block != NULL, "DRV-10", "alloc_mdl: %u bytes that are in no allocation of the driver's",
                 len);
    if (w->receives.mdls == FUZZ_LISTS || fuzz_memory_refuses(&w->memory)) {
        return NULL;
    }
    struct vnic_mdl *mdl = calloc(1, sizeof *mdl);
    mdl->data = memory;
    mdl->len = len;
    table_put(&w->receives, mdl, FUZZ_LISTS);
    w->receives.mdls++;
    return mdl;
}

void fuzz_receive_free_mdl(struct fuzz_world *w, struct vnic_mdl *mdl)
{
    const uint32_t at = table_find(&w->receives, mdl);
    FUZZ_REQUIRE(w->receives.key[at] != NULL && w->receives.value[at] == FUZZ_LISTS, "DRV-13",
                 "free_mdl of an MDL that is not allocated (or was freed before)");
    table_take(&w->receives, at);
    w->receives.mdls--;
    free(mdl);
}

struct vnic_net_buffer_list *fuzz_receive_alloc(struct fuzz_world *w, struct vnic_mdl *mdl_chain,
                                                uint32_t offset, uint32_t length)
{
    struct fuzz_receives *r = &w->receives;
    if (r->lists == FUZZ_LISTS || fuzz_memory_refuses(&w->memory)) {
        return NULL;
    }
    while (r->each[r->next_free].owner != OWNER_NONE) {
        r->next_free = (r->next_free + 1) % FUZZ_LISTS;
    }
    struct fuzz_list *made = &r->each[r->next_free];
    made->list = calloc(1, sizeof *made->list);
    made->buffer = calloc(1, sizeof *made->buffer);
    made->list->first_net_buffer = made->buffer;
    *made->buffer =
        (struct vnic_net_buffer){.mdl_chain = mdl_chain, .data_offset = offset, .data_length = length};
    made->owner = OWNER_DRIVER;
    table_put(r, made->list, r->next_free);
    r->lists++;
    return made->list;
}

void fuzz_receive_free(struct fuzz_world *w, struct vnic_net_buffer_list *list)
{
    struct fuzz_list *found = list_of(&w->receives, list);
    FUZZ_REQUIRE(found != NULL, "DRV-13",
                 "free_net_buffer_list of a list that is not allocated (or was freed before)");
    FUZZ_REQUIRE(found->owner == OWNER_DRIVER, "NBL-1", "free_net_buffer_list of a list that NDIS has");
    table_take(&w->receives, table_find(&w->receives, list));
    free(found->buffer);
    free(found->list);
    found->owner = OWNER_NONE;
    w->receives.next_free = (uint32_t)(found - w->receives.each);
    w->receives.lists--;
}

/* ---- up ---- */

/* The bytes of a frame, in memory of the driver's; the first ones in `head`. NBL-2, DRV-10. */
static uint64_t frame_sum(struct fuzz_world *w, const struct vnic_net_buffer *buffer,
                          uint8_t head[ETHERNET_HEADER])
{
    uint32_t skip = buffer->data_offset, left = buffer->data_length, mdls = 0, at = 0;
    uint64_t sum = FUZZ_SUM_BEGIN;
    for (const struct vnic_mdl *mdl = buffer->mdl_chain; mdl != NULL; mdl = mdl->next) {
        const uint32_t place = table_find(&w->receives, mdl);
        FUZZ_REQUIRE(w->receives.key[place] && w->receives.value[place] == FUZZ_LISTS && mdls++ < CHAIN_MOST,
                     "NBL-2", "an indicated chain has an MDL that is none of the driver's, or is cyclic");
        FUZZ_REQUIRE(fuzz_memory_find(&w->memory, mdl->data, mdl->len), "DRV-10",
                     "an indicated MDL is over memory that is not allocated");
        const uint32_t from = skip < mdl->len ? skip : mdl->len;
        const uint32_t len = mdl->len - from < left ? mdl->len - from : left;
        for (uint32_t i = 0; i < len; i++, at++) {
            const uint8_t byte = mdl->data[from + i];
            sum = (sum ^ byte) * 0x100000001B3ull;
            if (at < ETHERNET_HEADER) {
                head[at] = byte;
            }
        }
        skip -= from;
        left -= len;
    }
    FUZZ_REQUIRE(left == 0, "NBL-2", "an indicated NET_BUFFER has %u bytes at %u, its MDLs %u less",
                 buffer->data_length, buffer->data_offset, left);
    return sum;
}

static void list_indicate(struct fuzz_world *w, struct fuzz_list *each, uint8_t head[ETHERNET_HEADER])
{
    const struct vnic_net_buffer_list *list = each->list;
    FUZZ_REQUIRE(list->first_net_buffer == each->buffer && each->buffer->next == NULL, "RECV-5",
                 "an indicated list has other NET_BUFFERs than its own one");
    FUZZ_REQUIRE(each->buffer->data_length >= ETHERNET_HEADER, "RECV-5", "a frame of %u bytes is indicated",
                 each->buffer->data_length);
    each->sum = frame_sum(w, each->buffer, head);
    fuzz_transfer_match(w, each->sum);
    each->list_was = *list;
    each->buffer_was = *each->buffer;
    each->owner = OWNER_PROTOCOL;
}

/* Whose list it is, once: a chain with a cycle meets a list that is out. */
static struct fuzz_list *chain_next(struct fuzz_world *w, const struct vnic_net_buffer_list *list)
{
    struct fuzz_list *found = list_of(&w->receives, list);
    FUZZ_REQUIRE(found != NULL, "RECV-3", "a list is indicated that the driver did not allocate");
    FUZZ_REQUIRE(found->owner == OWNER_DRIVER, "RECV-3",
                 "a list is indicated that is out already, or a cyclic chain");
    return found;
}

/* NBL-1, RECV-7: nobody wrote to it. A card that lies may have written to the data. */
static void list_back(struct fuzz_world *w, struct fuzz_list *each)
{
    uint8_t head[ETHERNET_HEADER];
    FUZZ_REQUIRE(memcmp(each->list, &each->list_was, sizeof each->list_was) == 0
                     && memcmp(each->buffer, &each->buffer_was, sizeof each->buffer_was) == 0,
                 "NBL-1", "the structures of an indicated list were written while NDIS had it");
    FUZZ_REQUIRE(w->card.has_lied || frame_sum(w, each->buffer, head) == each->sum, "RECV-7",
                 "the data of an indicated list changed before it was returned");
    each->owner = OWNER_DRIVER;
}

bool fuzz_receive_wants(const struct fuzz_world *w, const uint8_t to[6])
{
    static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};
    const uint32_t filter = w->oids.filter;
    if (filter & NDIS_PACKET_TYPE_PROMISCUOUS) {
        return true;
    }
    if (memcmp(to, everybody, 6) == 0) {
        return filter & NDIS_PACKET_TYPE_BROADCAST;
    }
    if (to[0] & 1) {
        return filter & (NDIS_PACKET_TYPE_MULTICAST | NDIS_PACKET_TYPE_ALL_MULTICAST);
    }
    return filter & NDIS_PACKET_TYPE_DIRECTED && memcmp(to, w->adapter.mac, 6) == 0;
}

static void protocol_keep(struct fuzz_receives *r, const struct fuzz_list *each)
{
    r->held[(r->held_first + r->holds++) % FUZZ_LISTS] = (uint32_t)(each - r->each);
}

static void return_chain(struct fuzz_world *w, struct vnic_net_buffer_list *head)
{
    const bool is_raised = fuzz_processor_level(w) == VNIC_IRQL_DISPATCH;
    if (head != NULL) {
        const struct fuzz_call call = fuzz_enter(w, "return_net_buffer_lists", fuzz_processor_level(w));
        w->driver->return_net_buffer_lists(w->context, head, is_raised ? NDIS_RETURN_FLAG_DISPATCH_LEVEL : 0);
        fuzz_leave(w, &call);
    }
}

/* All are the driver's again when the call returns. */
static void indicate_lent(struct fuzz_world *w, struct vnic_net_buffer_list *chain, uint32_t count)
{
    uint8_t head[ETHERNET_HEADER] = {0};
    uint32_t seen = 0;
    struct vnic_net_buffer_list *list = chain;
    for (; list != NULL; list = list->next, seen++) {
        list_indicate(w, chain_next(w, list), head);
    }
    FUZZ_REQUIRE(count == seen, "RECV-2", "NumberOfNetBufferLists %u, the chain has %u", count, seen);
    for (list = chain; list != NULL; list = list->next) {
        list_back(w, list_of(&w->receives, list));
    }
}

void fuzz_receive_indicate(struct fuzz_world *w, struct vnic_net_buffer_list *chain, uint32_t count,
                           uint32_t flags)
{
    struct vnic_net_buffer_list *back = NULL, **end = &back;
    uint8_t head[ETHERNET_HEADER] = {0};
    uint32_t seen = 0;
    FUZZ_REQUIRE(w->adapter.state == FUZZ_RUNNING || w->adapter.state == FUZZ_PAUSING, "RECV-1",
                 "data is indicated while the adapter is neither Running nor Pausing");
    FUZZ_REQUIRE(!(flags & NDIS_RECEIVE_FLAG_DISPATCH_LEVEL) || fuzz_processor_level(w) == VNIC_IRQL_DISPATCH,
                 "LEVEL-2", "an indication says DISPATCH_LEVEL at another level");
    w->receives.indicated += count;
    if (flags & NDIS_RECEIVE_FLAG_RESOURCES) {
        indicate_lent(w, chain, count);
        return;
    }
    while (chain != NULL) {
        struct fuzz_list *each = chain_next(w, chain);
        chain = chain->next;
        each->list->next = NULL; /* NDIS's while it has the list */
        list_indicate(w, each, head);
        seen++;
        if (fuzz_receive_wants(w, head) && w->receives.keeps) {
            protocol_keep(&w->receives, each);
        } else {
            list_back(w, each);
            *end = each->list;
            end = &each->list->next;
        }
    }
    FUZZ_REQUIRE(count == seen, "RECV-2", "NumberOfNetBufferLists %u, the chain has %u", count, seen);
    w->receives.calls++;
    return_chain(w, back);
    w->receives.calls--;
}

/* ---- and back ---- */

void fuzz_receive_return(struct fuzz_world *w, uint32_t most, bool is_raised)
{
    struct fuzz_receives *r = &w->receives;
    struct vnic_net_buffer_list *head = NULL, **end = &head;
    for (; most > 0 && r->holds > 0; most--, r->holds--) {
        struct fuzz_list *each = &r->each[r->held[r->held_first]];
        r->held_first = (r->held_first + 1) % FUZZ_LISTS;
        list_back(w, each);
        *end = each->list;
        end = &each->list->next;
    }
    uint32_t *level = &w->cpu.each[w->cpu.current].level;
    const uint32_t before = *level;
    *level = is_raised ? VNIC_IRQL_DISPATCH : before;
    return_chain(w, head);
    *level = before;
}

/* ---- the end ---- */

void fuzz_receive_check(const struct fuzz_world *w)
{
    FUZZ_REQUIRE(w->receives.lists == 0 && w->receives.mdls == 0, "DRV-13",
                 "%u NET_BUFFER_LISTs and %u MDLs were not freed", w->receives.lists, w->receives.mdls);
}

void fuzz_receive_clear(struct fuzz_world *w)
{
    struct fuzz_receives *r = &w->receives;
    for (uint32_t at = 0; (r->lists || r->mdls) && at < PLACES; at++) {
        if (r->key[at] != NULL && r->value[at] == FUZZ_LISTS) {
            free((void *)(uintptr_t)r->key[at]);
            r->mdls--;
        } else if (r->key[at] != NULL) {
            free(r->each[r->value[at]].buffer);
            free(r->each[r->value[at]].list);
            r->each[r->value[at]].owner = OWNER_NONE;
            r->lists--;
        }
        r->key[at] = NULL;
    }
    r->held_first = r->holds = r->next_free = r->indicated = 0;
    r->keeps = false;
}
