/* fuzz_talk.c: two hosts, a bad line, and time: what both stacks say to all that follows from an input's number. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "input.h"
#include "kept.h"
#include "talk.h"
#include "wire/checksum.h"

enum { ACTS = 400, LAST_SECONDS = 200, VISITS_MOST = 400, LINE_BYTES = 4 << 20 };

static const uint8_t mac[TALK_HOSTS][6] = {{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 2, 2}};
uint8_t talk_source[TALK_SOURCE];
static uint8_t line[LINE_BYTES];
static size_t line_used;

/* -- chance --------------------------------------------------------------------------------------------------- */

uint64_t talk_random(struct talk *t)
{
    uint64_t z = t->random += 0x9E3779B97F4A7C15ull;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

uint32_t talk_below(struct talk *t, uint32_t most)
{
    return (uint32_t)(talk_random(t) >> 33) % most;
}

bool talk_may(struct talk *t, uint32_t of_256)
{
    return talk_below(t, 256) < of_256;
}

static uint32_t one_of(struct talk *t, const uint32_t *of, uint32_t count)
{
    return of[talk_below(t, count)];
}
#define ONE_OF(t, ...)                                                                                       \
    one_of(t, (const uint32_t[]){__VA_ARGS__}, sizeof (uint32_t[]){__VA_ARGS__} / sizeof(uint32_t))

/* -- what is told --------------------------------------------------------------------------------------------- */

void talk_told(struct talk_host *h, const char *call, int64_t answer)
{
    struct vnic_stack_statistics counters;
    uint64_t state = 0xCBF29CE484222325ull;
    const uint64_t *counter = (const uint64_t *)(const void *)&counters;

    vnic_stack_get_statistics(h->stack, &counters);
    for (size_t i = 0; i < sizeof counters / sizeof *counter; i++) {
        state = (state ^ counter[i]) * 0x100000001B3ull;
    }
    kept_tell(call, (uint64_t)answer, state ^ vnic_stack_deadline(h->stack));
}

static void tables_told(struct talk_host *h)
{
    struct vnic_neighbour n;
    struct vnic_interface_address a;

    for (uint32_t i = 0; vnic_stack_neighbour(h->stack, i, &n) == 0; i++) {
        kept_bytes(n.address.bytes, 16);
        kept_bytes(n.mac, 6);
        kept_word((uint64_t)n.state << 40 | (uint64_t)n.is_router << 32 | n.interface);
        kept_word(n.confirmed_ns);
    }
    for (uint32_t i = 0; vnic_stack_address(h->stack, i, &a) == 0; i++) {
        kept_bytes(a.address.bytes, 16);
        kept_word((uint64_t)a.state << 32 | a.prefix_len);
    }
}

/* -- the line ------------------------------------------------------------------------------------------------- */

static uint8_t *line_take(uint32_t len)
{
    line_used = line_used + len > sizeof line ? 0 : line_used;
    line_used += len;
    return line + line_used - len;
}

/* What the link below has promised to do: a sum to complete, a tag to insert. */
static uint32_t frame_finish(const struct vnic_stack_frame *f, uint8_t *bytes)
{
    uint32_t len = f->len;

    if (f->checksum_start != 0 && f->mss == 0) {
        csum_complete(csum_ops_best(), bytes + f->checksum_start, len - f->checksum_start, f->checksum_offset,
                      !f->is_tcp);
    }
    if (f->vlan != 0) {
        memmove(bytes + 16, bytes + 12, len - 12);
        be16_store(bytes + 12, 0x8100);
        be16_store(bytes + 14, f->vlan);
        len += 4;
    }
    return len;
}

static void frame_put(struct talk *t, uint32_t to, const uint8_t *bytes, uint32_t len, uint32_t flags)
{
    if (t->flying == TALK_FLYING) {
        return;
    }
    struct talk_frame *f = &t->frame[t->flying++];
    f->bytes = line_take(len);
    memcpy(f->bytes, bytes, len);
    f->to = to;
    f->len = len;
    f->flags = flags;
    f->at_ns = t->now_ns + t->delay_ns + (talk_may(t, 24) ? talk_random(t) % (4 * t->delay_ns + 1) : 0);
}

static void frame_send(struct talk *t, uint32_t from, uint8_t *bytes, const struct vnic_stack_frame *f)
{
    static uint8_t error[2048];
    const uint32_t made = frame_finish(f, bytes);
    const uint32_t len = f->mss == 0 && talk_may(t, 5) ? talk_lengthen(t, bytes, made) : made;
    const bool is_damaged = talk_may(t, t->damage);
    uint32_t flags = f->mss != 0 || talk_may(t, 64) ? VNIC_STACK_RX_L4_GOOD : 0;

    if (talk_may(t, 6)) {
        const uint32_t size = talk_complain(t, bytes, len, error);
        frame_put(t, from, error, size, 0);
    }
    if (talk_may(t, t->loss)) {
        return;
    }
    if (is_damaged) {
        bytes[talk_below(t, len)] ^= (uint8_t)(1u << talk_below(t, 8));
        flags = 0;
    }
    flags |= t->host[!from].has_hook && flags != 0 && talk_may(t, 128) ? VNIC_STACK_RX_KEPT : 0;
    frame_put(t, !from, bytes, len, flags);
    if (talk_may(t, t->twice)) {
        frame_put(t, !from, bytes, len, flags);
    }
}

static void host_transmit(struct talk *t, uint32_t from, uint32_t most)
{
    static uint8_t out[TALK_FRAME];
    struct vnic_stack_frame f;
    struct talk_host *h = &t->host[from];

    for (uint32_t n = 0; n < most; n++) {
        const int len = vnic_stack_transmit(h->stack, 0, out, TALK_FRAME - 64, &f);
        if (len > 0) {
            kept_bytes(out, (size_t)len);
            kept_word((uint64_t)f.mss << 48 | (uint64_t)f.vlan << 32 | (uint64_t)f.checksum_start << 16
                      | f.checksum_offset);
            kept_word((uint64_t)f.header_len << 16 | (uint64_t)f.is_ipv6 << 8 | f.is_tcp);
        }
        talk_told(h, "vnic_stack_transmit", len);
        if (len <= 0) {
            return;
        }
        frame_send(t, from, out, &f);
    }
}

/* All that has arrived by now, one by one or several at once. */
static void line_deliver(struct talk *t, uint32_t to)
{
    struct vnic_stack_packet packet[8];
    uint32_t count = 0;
    struct talk_host *h = &t->host[to];
    const uint32_t at_once = 1 + talk_below(t, 8);

    for (unsigned i = 0; i < t->flying && count < at_once;) {
        if (t->frame[i].to == to && t->frame[i].at_ns <= t->now_ns) {
            packet[count++] =
                (struct vnic_stack_packet){t->frame[i].bytes, t->frame[i].len, t->frame[i].flags};
            memmove(&t->frame[i], &t->frame[i + 1], (--t->flying - i) * sizeof t->frame[0]);
        } else {
            i++;
        }
    }
    if (count == 1) {
        talk_told(h, "vnic_stack_receive",
                  vnic_stack_receive(h->stack, 0, packet[0].data, packet[0].len, packet[0].flags));
    } else if (count != 0) {
        talk_told(h, "vnic_stack_receive_burst", vnic_stack_receive_burst(h->stack, 0, packet, count));
    }
}

/* -- time ----------------------------------------------------------------------------------------------------- */

static uint64_t next_ns(struct talk *t)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < TALK_HOSTS; i++) {
        const uint64_t deadline = vnic_stack_deadline(t->host[i].stack);
        next = deadline < next ? deadline : next;
    }
    for (unsigned i = 0; i < t->flying; i++) {
        next = t->frame[i].at_ns < next ? t->frame[i].at_ns : next;
    }
    return next > t->now_ns ? next : t->now_ns;
}

static void time_set(struct talk *t, uint64_t now_ns)
{
    t->now_ns = now_ns;
    for (unsigned i = 0; i < TALK_HOSTS; i++) {
        talk_told(&t->host[i], "vnic_stack_time", vnic_stack_time(t->host[i].stack, now_ns));
    }
}

static void time_pass(struct talk *t, uint64_t until_ns, unsigned visits)
{
    for (unsigned n = 0; n < visits && next_ns(t) <= until_ns; n++) {
        time_set(t, next_ns(t));
        for (uint32_t i = 0; i < TALK_HOSTS; i++) {
            line_deliver(t, i);
            host_transmit(t, i, 64);
        }
    }
    if (next_ns(t) > until_ns && until_ns > t->now_ns) {
        time_set(t, until_ns);
    }
}

/* -- life ----------------------------------------------------------------------------------------------------- */

struct vnic_endpoint talk_place(unsigned host, bool is_ipv6, uint16_t port)
{
    static const uint8_t four[4] = {10, 0, 0, 0}, six[16] = {0x20, 1, 0xd, 0xb8};
    struct vnic_endpoint e = {.port = port, .address = {.is_ipv6 = is_ipv6}};

    memcpy(e.address.bytes, is_ipv6 ? six : four, is_ipv6 ? 16 : 4);
    e.address.bytes[is_ipv6 ? 15 : 3] = (uint8_t)(host + 1);
    return e;
}

static int copy_take(void *opaque, void *to, const void *from, uint64_t len, uint64_t ticket)
{
    struct talk_host *h = opaque;
    const uint32_t kind = talk_below(h->talk, 4);

    kept_word(len);
    if (kind == 0 || h->copies == TALK_TICKETS) {
        return VNIC_HOOK_DECLINED;
    }
    if (kind == 1) {
        memcpy(to, from, len);
        return VNIC_HOOK_DONE;
    }
    h->copy[h->copies].to = to;
    h->copy[h->copies].from = from;
    h->copy[h->copies].len = len;
    h->ticket[h->copies++] = ticket;
    return VNIC_HOOK_LATER;
}

static void config_make(struct talk *t, struct vnic_stack_config *c)
{
    vnic_stack_defaults(c);
    c->seed = talk_random(t);
    c->connections = ONE_OF(t, 3, 8, 24);
    c->listeners = ONE_OF(t, 1, 2, 4);
    c->udp_sockets = ONE_OF(t, 1, 2, 4);
    c->neighbours = ONE_OF(t, 4, 8, 64);
    c->routes = ONE_OF(t, 4, 16);
    c->buffer_bytes = ONE_OF(t, 1 << 19, 1 << 20, 1 << 22);
    c->outbox_frames = ONE_OF(t, 8, 24, 64);
    c->fragments_bytes = ONE_OF(t, 8192, 70000, 200000);
    c->send_buffer = ONE_OF(t, 4096, 20000, 65536, 200000);
    c->receive_buffer = ONE_OF(t, 4096, 20000, 65536, 200000);
    c->syn_cookies = talk_below(t, 3);
    c->congestion = talk_below(t, 2);
    c->ecn = talk_below(t, 3);
    c->address_probes = talk_may(t, 48) ? 1 : 0;
    c->router_solicitations = talk_may(t, 48) ? 2 : 0;
}

static bool host_make(struct talk *t, unsigned i, uint32_t vlan)
{
    struct talk_host *h = &t->host[i];
    struct vnic_stack_config config;
    struct vnic_stack_interface interface = {.vlan = (uint16_t)vlan,
                                             .mtu = ONE_OF(t, 1280, 1500, 1500, 9000)};
    const struct vnic_endpoint four = talk_place(i, false, 0), six = talk_place(i, true, 0);

    memset(h, 0, sizeof *h);
    h->talk = t;
    config_make(t, &config);
    h->stack = vnic_stack_create(&config);
    memcpy(interface.mac, mac[i], 6);
    interface.offload = ONE_OF(t, 0, 0, VNIC_STACK_TX_CHECKSUM, VNIC_STACK_TX_CHECKSUM | VNIC_STACK_TSO);
    interface.offload |= vlan != 0 && talk_may(t, 128) ? VNIC_STACK_TX_VLAN : 0;
    interface.tso_bytes = (interface.offload & VNIC_STACK_TSO) != 0 ? 30000 : 0;
    if (h->stack == NULL || vnic_stack_add_interface(h->stack, &interface) != 0) {
        return false;
    }
    h->mtu = interface.mtu;
    h->has_hook = talk_may(t, 80);
    vnic_stack_set_copy_hook(h->stack, h->has_hook ? copy_take : NULL, h);
    talk_told(h, "vnic_stack_set_link", vnic_stack_set_link(h->stack, 0, 1));
    talk_told(h, "vnic_stack_add_address", vnic_stack_add_address(h->stack, 0, &four.address, 24));
    talk_told(h, "vnic_stack_add_address", vnic_stack_add_address(h->stack, 0, &six.address, 64));
    return true;
}

static void talk_start(struct talk *t, uint64_t number)
{
    *t = (struct talk){.random = number};
    line_used = 0;
    t->loss = ONE_OF(t, 0, 0, 4, 20);
    t->damage = ONE_OF(t, 0, 0, 4, 12);
    t->twice = ONE_OF(t, 0, 0, 8);
    t->delay_ns = ONE_OF(t, 0, 20000, 1000000, 40000000);
    t->has_router = talk_may(t, 128);
    const uint32_t vlan = ONE_OF(t, 0, 0, 0, 5);
    for (size_t i = 0; talk_source[1] == 0 && i < sizeof talk_source; i++) {
        talk_source[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
    }
    for (unsigned i = 0; i < TALK_HOSTS; i++) {
        if (!host_make(t, i, vlan)) {
            abort();
        }
    }
}

static void router_speaks(struct talk *t)
{
    static uint8_t out[256];
    const uint32_t len = talk_advertise(t, out);

    for (uint32_t i = 0; i < TALK_HOSTS; i++) {
        frame_put(t, i, out, len, 0);
    }
}

static void act(struct talk *t)
{
    if (t->has_router && talk_may(t, 8)) {
        router_speaks(t);
    }
    struct talk_host *h = &t->host[talk_below(t, TALK_HOSTS)];
    const uint32_t kind = talk_below(t, 16);

    if (kind < 8) {
        talk_user(t, h);
    } else if (kind < 11) {
        talk_client(t, h);
    } else if (kind == 11) {
        host_transmit(t, (uint32_t)(h - t->host), 1 + talk_below(t, 4));
    } else if (kind == 12) {
        line_deliver(t, (uint32_t)(h - t->host));
    } else {
        static const uint64_t spans[] = {1000, 100000, 5000000, 60000000, 1000000000, 9000000000};
        time_pass(t, t->now_ns + spans[talk_below(t, kind == 15 ? 6 : 4)], VISITS_MOST / 4);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct talk talk;
    uint64_t number = 0;

    memcpy(&number, data, size < sizeof number ? size : sizeof number);
    talk_start(&talk, number);
    for (unsigned n = 0; n < ACTS; n++) {
        act(&talk);
    }
    time_pass(&talk, talk.now_ns + LAST_SECONDS * UINT64_C(1000000000), VISITS_MOST);
    for (unsigned i = 0; i < TALK_HOSTS; i++) {
        tables_told(&talk.host[i]);
        talk_told(&talk.host[i], "the end", 0);
        vnic_stack_destroy(talk.host[i].stack);
    }
    return 0;
}

size_t input_write(uint64_t number, uint8_t *out, size_t room)
{
    const size_t size = room < sizeof number ? room : sizeof number;

    memcpy(out, &number, size);
    return size;
}
