/* Datagrams that wait for a neighbour: at most NEIGHBOUR_WAITING, the newest ones. */
#include "base/bits.h"
#include "stack/header.h"
#include "stack/icmp.h"
#include "stack/neighbour_entry.h"
#include "stack/state.h"

enum { QUOTE_MAX = 128 };

static uint32_t datagram_end(struct vnic_stack *s, uint32_t frame)
{
    while (outbox_at(s, frame)->is_more) {
        frame = outbox_at(s, frame)->next;
    }
    return frame;
}

/* The oldest one, as a list. */
static uint32_t take_datagram(struct vnic_stack *s, struct neighbour *n)
{
    const uint32_t first = n->waiting_first;
    struct outbox_frame *last = outbox_at(s, datagram_end(s, first));

    n->waiting_first = last->next;
    n->waiting_last = n->waiting_first != 0 ? n->waiting_last : 0;
    n->waiting_count--;
    last->next = 0;
    return first;
}

/* Its sender hears of it as of an ICMP host unreachable (RFC 1122 2.3.2.2, RFC 4861 7.2.2). */
static void report_lost(struct vnic_stack *s, uint32_t frame)
{
    const struct outbox_frame *f = outbox_at(s, frame);
    const uint32_t len = bits_min32(f->chain.len, QUOTE_MAX);
    const struct icmp_report report = {.result = VNIC_STACK_EHOSTUNREACH};
    uint8_t bytes[QUOTE_MAX];
    uint32_t at = WIRE_ETH_LEN;

    chain_read(&s->outboxes.chains, &f->chain, 0, bytes, len);
    at += be16_load(bytes + 12) == WIRE_ETHERTYPE_VLAN ? WIRE_VLAN_LEN : 0;
    icmp_deliver(s, f->is_ipv6 != 0, bytes + at, len - at, &report);
}

static void discard(struct vnic_stack *s, uint32_t frame)
{
    while (frame != 0) {
        const uint32_t next = outbox_at(s, frame)->next;

        s->outboxes.waiting--;
        outbox_discard(s, frame);
        frame = next;
    }
}

void neighbour_wait(struct vnic_stack *s, uint32_t index, uint32_t first)
{
    struct neighbour *n = &s->neighbours.entries[index];

    if (n->waiting_count == NEIGHBOUR_WAITING) {
        s->statistics.outbox_full++;
        discard(s, take_datagram(s, n));
    }
    if (n->waiting_first == 0) {
        n->waiting_first = first;
    } else {
        outbox_at(s, n->waiting_last)->next = first;
    }
    n->waiting_last = datagram_end(s, first);
    n->waiting_count++;
    for (uint32_t frame = first; frame != 0; frame = outbox_at(s, frame)->next) {
        s->outboxes.waiting++;
    }
}

void neighbour_send_waiting(struct vnic_stack *s, uint32_t index)
{
    struct neighbour *n = &s->neighbours.entries[index];
    uint32_t frame = n->waiting_first;

    if (frame == 0 || !neighbour_use(s, index)) {
        return;
    }
    n->waiting_first = n->waiting_last = n->waiting_count = 0;
    while (frame != 0) {
        const uint32_t next = outbox_at(s, frame)->next;

        s->outboxes.waiting--;
        chain_patch(&s->outboxes.chains, &outbox_at(s, frame)->chain, 0, n->mac, sizeof(n->mac));
        outbox_put(s, frame);
        frame = next;
    }
}

void neighbour_drop_waiting(struct vnic_stack *s, uint32_t index)
{
    while (s->neighbours.entries[index].waiting_first != 0) {
        const uint32_t first = take_datagram(s, &s->neighbours.entries[index]);

        report_lost(s, first);
        discard(s, first);
    }
}
