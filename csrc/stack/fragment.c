/* Reassembly: pieces in the order of their offsets, without overlap, until they are a whole. */
#include "base/bits.h"
#include "stack/fragment_table.h"
#include "stack/header.h"
#include "stack/icmp.h"
#include "stack/network.h"
#include "stack/state.h"

enum { QUOTE_MAX = 1280 };

static struct fragment_datagram *at(struct vnic_stack *s, uint32_t index)
{
    return &s->fragments.datagrams[index];
}

/* -- pieces ---------------------------------------------------------------------------------------------- */

enum placing { PLACE_FREE, PLACE_DUPLICATE, PLACE_OVERLAP };

/* Where it goes: behind piece *previous (0: first). */
static enum placing find_place(struct vnic_stack *s, const struct fragment_datagram *d,
                               const struct fragment_arrival *a, uint32_t *previous)
{
    const struct fragments *f = &s->fragments;
    const uint32_t end = a->offset + a->len;
    uint32_t next = d->first;

    *previous = 0;
    if (d->last != 0 && f->pieces[d->last].offset + f->pieces[d->last].chain.len <= a->offset) {
        *previous = d->last; /* in order, as nearly always */
        return PLACE_FREE;
    }
    while (next != 0 && f->pieces[next].offset + f->pieces[next].chain.len <= a->offset) {
        *previous = next;
        next = f->pieces[next].next;
    }
    if (next == 0 || end <= f->pieces[next].offset) {
        return PLACE_FREE;
    }
    if (f->pieces[next].offset == a->offset && f->pieces[next].chain.len == a->len
        && chain_is_equal(&f->chains, &f->pieces[next].chain, a->data)) {
        return PLACE_DUPLICATE;
    }
    return PLACE_OVERLAP;
}

/* The end is where a last piece says, for all pieces. */
static bool is_end_consistent(const struct vnic_stack *s, const struct fragment_datagram *d,
                              const struct fragment_arrival *a)
{
    const struct fragments *f = &s->fragments;
    const uint32_t end = a->offset + a->len;
    const uint32_t highest = d->last != 0 ? f->pieces[d->last].offset + f->pieces[d->last].chain.len : 0;

    if (d->total != 0) {
        return a->is_last ? end == d->total : end <= d->total;
    }
    return !a->is_last || highest <= end;
}

/* Room for the piece: the oldest datagrams go. False when that was this one, or there can be no room. */
static bool make_room(struct vnic_stack *s, uint32_t index, const struct fragment_arrival *a)
{
    struct fragments *f = &s->fragments;
    const uint64_t bytes = (uint64_t)a->len + a->header_len + CHAIN_BLOCK_BYTES;

    while (!chains_have_room(&f->chains, bytes) || pool_left(&f->pieces_pool) == 0) {
        const uint32_t oldest = fragment_oldest(s);

        fragment_give_up_oldest(s);
        if (oldest == index) {
            return false;
        }
    }
    return true;
}

static void insert(struct vnic_stack *s, struct fragment_datagram *d, const struct fragment_arrival *a,
                   uint32_t previous)
{
    struct fragments *f = &s->fragments;
    const uint32_t index = pool_take(&f->pieces_pool);
    struct fragment_piece *piece = &f->pieces[index];
    uint32_t *link = previous != 0 ? &f->pieces[previous].next : &d->first;

    *piece = (struct fragment_piece){.next = *link, .offset = a->offset};
    *link = index;
    d->last = piece->next == 0 ? index : d->last;
    (void)chain_append(&f->chains, &piece->chain, a->data, a->len); /* there is room */
    d->pieces++;
    d->have += a->len;
    d->total = a->is_last ? a->offset + a->len : d->total;
    d->ecn_seen |= (uint8_t)(1u << a->ecn);
    if (a->offset == 0) {
        (void)chain_append(&f->chains, &d->header, a->header, a->header_len);
        d->next_header = a->next_header;
        d->next_offset = a->next_offset;
    }
}

/* -- the whole ------------------------------------------------------------------------------------------- */

/* RFC 3168 5.3; false: the codepoints contradict each other. */
static bool join_ecn(uint8_t seen, uint8_t *ecn)
{
    const bool has_not_ect = (seen & 1) != 0;
    const bool has_ce = (seen & 8) != 0;

    if (has_ce && has_not_ect) {
        return false;
    }
    if (has_ce) {
        *ecn = 3;
    } else if (has_not_ect) {
        *ecn = 0;
    }
    return true;
}

static uint32_t finish_ipv4(uint8_t *ip, uint32_t header_len, uint32_t total, uint8_t ecn)
{
    be16_store(ip + 2, (uint16_t)(header_len + total));
    be16_store(ip + 6, 0);
    ip[1] = (uint8_t)((ip[1] & ~3u) | ecn);
    return header_len + total;
}

static uint32_t finish_ipv6(const struct fragment_datagram *d, uint8_t *ip, uint32_t header_len,
                            uint32_t total, uint8_t ecn)
{
    ip[d->next_offset] = d->next_header;
    be16_store(ip + 4, (uint16_t)(header_len - WIRE_IPV6_LEN + total));
    ip[1] = (uint8_t)((ip[1] & ~0x30u) | (uint32_t)ecn << 4);
    return header_len + total;
}

/* Puts it together in `whole`; 0 when it must be dropped. */
static uint32_t assemble(struct vnic_stack *s, const struct fragment_datagram *d)
{
    struct fragments *f = &s->fragments;
    const bool is_ipv6 = d->key.source.is_ipv6 != 0;
    const uint32_t header_len = d->header.len - (is_ipv6 ? IPV6_FRAGMENT_LEN : 0);
    const uint32_t limit = FRAGMENT_MAX_PAYLOAD + (is_ipv6 ? WIRE_IPV6_LEN : 0);
    uint8_t ecn;

    if (header_len + d->total > limit) {
        s->statistics.bad_ip++;
        return 0;
    }
    chain_read(&f->chains, &d->header, 0, f->whole, header_len);
    for (uint32_t piece = d->first; piece != 0; piece = f->pieces[piece].next) {
        chain_read(&f->chains, &f->pieces[piece].chain, 0, f->whole + header_len + f->pieces[piece].offset,
                   f->pieces[piece].chain.len);
    }
    ecn = is_ipv6 ? f->whole[1] >> 4 & 3 : f->whole[1] & 3;
    if (!join_ecn(d->ecn_seen, &ecn)) {
        s->statistics.bad_ip++;
        return 0;
    }
    s->statistics.reassembled++;
    return is_ipv6 ? finish_ipv6(d, f->whole, header_len, d->total, ecn)
                   : finish_ipv4(f->whole, header_len, d->total, ecn);
}

/*
 * RFC 5722 3: of an IPv6 datagram the rest is dropped as well. IPv4 identifications come back too soon for
 * that.
 */
static void on_overlap(struct vnic_stack *s, uint32_t index)
{
    struct fragment_datagram *d = at(s, index);

    s->statistics.fragments_overlap++;
    if (!d->key.source.is_ipv6) {
        fragment_forget(s, index);
        return;
    }
    fragment_empty(s, d);
    d->is_void = 1;
}

static bool is_acceptable(const struct fragment_arrival *a)
{
    const uint32_t limit = FRAGMENT_MAX_PAYLOAD - (a->key.source.is_ipv6 ? 0 : WIRE_IPV4_LEN);

    return a->len > 0 && (a->is_last || a->len % 8 == 0) && a->offset + a->len <= limit;
}

static enum fragment_result add_to(struct vnic_stack *s, uint32_t index, const struct fragment_arrival *a,
                                   uint32_t *len)
{
    struct fragment_datagram *d = at(s, index);
    uint32_t previous;
    enum placing placing;

    if (d->is_void) {
        return FRAGMENT_DROPPED;
    }
    placing = is_end_consistent(s, d, a) ? find_place(s, d, a, &previous) : PLACE_OVERLAP;
    if (placing == PLACE_DUPLICATE) {
        return FRAGMENT_KEPT;
    }
    if (placing == PLACE_OVERLAP) {
        on_overlap(s, index);
        return FRAGMENT_DROPPED;
    }
    if (d->pieces == FRAGMENT_PIECES) {
        s->statistics.fragments_no_room++; /* so fine a cut is no honest one */
        fragment_forget(s, index);
        return FRAGMENT_DROPPED;
    }
    if (!make_room(s, index, a)) {
        return FRAGMENT_DROPPED;
    }
    insert(s, d, a, previous);
    if (d->have != d->total) {
        return FRAGMENT_KEPT;
    }
    *len = assemble(s, d);
    fragment_forget(s, index);
    return *len != 0 ? FRAGMENT_WHOLE : FRAGMENT_DROPPED;
}

enum fragment_result fragment_add(struct vnic_stack *s, const struct fragment_arrival *a, uint32_t *len)
{
    uint32_t index;

    s->statistics.fragments_in++;
    if (!is_acceptable(a)) {
        s->statistics.bad_ip++;
        return FRAGMENT_DROPPED;
    }
    index = fragment_find(s, &a->key);
    return add_to(s, index != 0 ? index : fragment_start(s, a), a, len);
}

/* -- time ------------------------------------------------------------------------------------------------ */

/* RFC 1122 3.3.2, RFC 8200 4.5: told to the sender when the first fragment is here. */
static void report_timeout(struct vnic_stack *s, const struct fragment_datagram *d)
{
    struct fragments *f = &s->fragments;
    const struct fragment_piece *piece = &f->pieces[d->first];
    struct packet packet = {
        .source = d->key.source,
        .destination = d->key.destination,
        .interface = d->key.interface,
        .is_multicast = d->is_multicast,
        .ip = f->whole,
        .mac = d->mac,
    };
    uint32_t len;

    if (d->header.len == 0) {
        return;
    }
    len = bits_min32(piece->chain.len, QUOTE_MAX);
    chain_read(&f->chains, &d->header, 0, f->whole, d->header.len);
    chain_read(&f->chains, &piece->chain, 0, f->whole + d->header.len, len);
    packet.ip_len = d->header.len + len;
    icmp_send_error(s, &packet, ICMP_ERROR_REASSEMBLY, 0);
}

static void expire_family(struct vnic_stack *s, uint32_t family)
{
    uint32_t index;

    while ((index = s->fragments.oldest[family]) != 0 && at(s, index)->deadline_ns <= s->now_ns) {
        if (!at(s, index)->is_void) {
            s->statistics.fragments_timed_out++;
            report_timeout(s, at(s, index));
        }
        fragment_forget(s, index);
    }
}

void fragments_run_timers(struct vnic_stack *s)
{
    expire_family(s, 0);
    expire_family(s, 1);
}
