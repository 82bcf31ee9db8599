/* Queues of frames by interface, bounded in frames and in bytes. */
#include "stack/outbox.h"

#include "stack/network.h"
#include "stack/state.h"

#include <stdlib.h>

enum { BYTES_PER_FRAME = 2048, LOOP_BOXES = 1, WAITING_BOXES = 1 };

int outboxes_create(struct vnic_stack *s)
{
    struct outboxes *o = &s->outboxes;
    const uint64_t frames =
        (uint64_t)s->config.outbox_frames * (s->config.interfaces + LOOP_BOXES + WAITING_BOXES);

    if (frames >= UINT32_MAX) {
        return VNIC_ENOMEM;
    }
    o->entries = malloc((size_t)(frames + 1) * sizeof(*o->entries));
    o->looped = malloc(WIRE_MAX_FRAME);
    if (o->entries == NULL || o->looped == NULL || !chains_create(&o->chains, frames * BYTES_PER_FRAME)) {
        return VNIC_ENOMEM;
    }
    pool_start(&o->pool, o->entries, sizeof(*o->entries), (uint32_t)frames);
    return VNIC_OK;
}

void outboxes_destroy(struct vnic_stack *s)
{
    free(s->outboxes.entries);
    free(s->outboxes.looped);
    chains_destroy(&s->outboxes.chains);
}

bool outbox_has_room(const struct vnic_stack *s, uint32_t queued, uint32_t frames, uint64_t bytes)
{
    const struct outboxes *o = &s->outboxes;

    return queued + frames <= s->config.outbox_frames && pool_left(&o->pool) >= frames
           && chains_have_room(&o->chains, bytes + (uint64_t)frames * CHAIN_BLOCK_BYTES);
}

uint32_t outbox_new(struct vnic_stack *s, uint32_t interface)
{
    const uint32_t frame = pool_take(&s->outboxes.pool);

    if (frame != 0) {
        s->outboxes.entries[frame] = (struct outbox_frame){.interface = (uint8_t)interface};
    }
    return frame;
}

struct outbox_frame *outbox_at(struct vnic_stack *s, uint32_t frame)
{
    return &s->outboxes.entries[frame];
}

bool outbox_append(struct vnic_stack *s, uint32_t frame, const void *bytes, uint32_t len)
{
    return chain_append(&s->outboxes.chains, &s->outboxes.entries[frame].chain, bytes, len);
}

void outbox_discard(struct vnic_stack *s, uint32_t frame)
{
    chain_free(&s->outboxes.chains, &s->outboxes.entries[frame].chain);
    pool_give(&s->outboxes.pool, frame);
}

static void append(struct vnic_stack *s, struct outbox *box, uint32_t frame)
{
    s->outboxes.entries[frame].next = 0;
    if (box->first == 0) {
        box->first = frame;
    } else {
        s->outboxes.entries[box->last].next = frame;
    }
    box->last = frame;
    box->count++;
}

static uint32_t take(struct vnic_stack *s, struct outbox *box)
{
    const uint32_t frame = box->first;

    if (frame != 0) {
        box->first = s->outboxes.entries[frame].next;
        box->count--;
    }
    return frame;
}

void outbox_put(struct vnic_stack *s, uint32_t frame)
{
    const uint32_t interface = s->outboxes.entries[frame].interface;
    struct outbox *box = &s->outboxes.list[interface];

    if (!s->interfaces.list[interface].is_up || box->count >= s->config.outbox_frames) {
        s->statistics.outbox_full++;
        outbox_discard(s, frame);
        return;
    }
    append(s, box, frame);
}

void outbox_put_loop(struct vnic_stack *s, uint32_t frame)
{
    if (s->outboxes.loop.count >= s->config.outbox_frames) {
        s->statistics.outbox_full++;
        outbox_discard(s, frame);
        return;
    }
    append(s, &s->outboxes.loop, frame);
}

uint32_t outbox_take_loop(struct vnic_stack *s)
{
    return take(s, &s->outboxes.loop);
}

static void wake_datagram_sockets(struct vnic_stack *s)
{
    if (s->outboxes.is_wanted) {
        s->outboxes.is_wanted = false;
        udp_on_room(s);
    }
}

void outbox_flush(struct vnic_stack *s, uint32_t interface)
{
    uint32_t frame;

    while ((frame = take(s, &s->outboxes.list[interface])) != 0) {
        outbox_discard(s, frame);
    }
    wake_datagram_sockets(s);
}

static int copy_out(struct vnic_stack *s, uint32_t frame, uint8_t *out, struct vnic_stack_frame *meta)
{
    const struct outbox_frame *f = &s->outboxes.entries[frame];
    const struct vnic_stack_interface *config = &s->interfaces.list[f->interface].config;

    *meta = (struct vnic_stack_frame){
        .len = f->chain.len,
        .vlan = (config->offload & VNIC_STACK_TX_VLAN) != 0 ? config->vlan : 0,
        .checksum_start = f->checksum_start,
        .checksum_offset = f->checksum_offset,
        .is_ipv6 = f->is_ipv6,
        .is_tcp = f->is_tcp,
    };
    chain_read(&s->outboxes.chains, &f->chain, 0, out, f->chain.len);
    outbox_discard(s, frame);
    return (int)meta->len;
}

int outbox_transmit(struct vnic_stack *s, uint32_t interface, uint8_t *out, uint32_t capacity,
                    struct vnic_stack_frame *frame)
{
    struct outbox *box = &s->outboxes.list[interface];
    int len;

    if (capacity < s->interfaces.list[interface].config.mtu + WIRE_ETH_LEN + WIRE_VLAN_LEN) {
        return VNIC_EINVAL;
    }
    if (box->first == 0) {
        return 0;
    }
    len = copy_out(s, take(s, box), out, frame);
    if (box->count <= s->config.outbox_frames / 2) {
        wake_datagram_sockets(s);
    }
    return len;
}
