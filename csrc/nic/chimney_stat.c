/* chimney_stat.c: what the chimney counts: TCP_OFFLOAD_STATS and IP_OFFLOAD_STATS, IPv4 and IPv6 apart. */
#include "nic/chimney.h"

#define STAT_TCP6 (CHM_STAT(TCP6_IN_SEGMENTS) - CHM_STAT(TCP4_IN_SEGMENTS))
#define STAT_IP6 (CHM_STAT(IP6_IN_RECEIVES) - CHM_STAT(IP4_IN_RECEIVES))

void chimney_count_in(struct vnic *card, bool is_ipv6, uint32_t ip_len)
{
    uint64_t *stat = card->chimney->stat;
    uint64_t *ip = stat + (is_ipv6 ? STAT_IP6 : 0), *tcp = stat + (is_ipv6 ? STAT_TCP6 : 0);
    ip[CHM_STAT(IP4_IN_RECEIVES)]++;
    ip[CHM_STAT(IP4_IN_OCTETS)] += ip_len;
    ip[CHM_STAT(IP4_IN_DELIVERS)]++;
    tcp[CHM_STAT(TCP4_IN_SEGMENTS)]++;
}

static bool stat_is_established(const struct tcp_connection *t)
{
    return t->state == TCP_STATE_ESTABLISHED || t->state == TCP_STATE_CLOSE_WAIT;
}

void chimney_count_state(struct vnic *card, uint32_t index, uint32_t reason)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    const struct tcp_connection *t = &m->tcp[index];
    uint64_t *tcp = m->stat + (t->is_ipv6 ? STAT_TCP6 : 0);
    bool is_established = stat_is_established(t);
    if (is_established == chimney_has(c, CHM_ESTABLISHED)) {
        return;
    }
    c->flags ^= CHM_ESTABLISHED;
    if (is_established) {
        tcp[CHM_STAT(TCP4_ESTABLISHED)]++;
        return;
    }
    tcp[CHM_STAT(TCP4_ESTABLISHED)]--;
    if (t->state == TCP_STATE_CLOSED && (reason == TCP_REASON_RESET || reason == TCP_REASON_ABORTED)) {
        tcp[CHM_STAT(TCP4_RESET_ESTABLISHED)]++;
    }
}

void chimney_count_end(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    if (chimney_has(chimney_connection(m, index), CHM_ESTABLISHED)) {
        m->stat[CHM_STAT(TCP4_ESTABLISHED) + (m->tcp[index].is_ipv6 ? STAT_TCP6 : 0)]--;
    }
}

/* [CHM-70] CurrentlyEstablished is no count of what was. */
static void stat_clear_tcp(uint64_t *tcp)
{
    uint64_t established = tcp[CHM_STAT(TCP4_ESTABLISHED)];
    for (unsigned i = 0; i < STAT_TCP6; i++) {
        tcp[i] = 0;
    }
    tcp[CHM_STAT(TCP4_ESTABLISHED)] = established;
}

static void stat_clear_ip(uint64_t *ip)
{
    for (unsigned i = 0; i < STAT_IP6; i++) {
        ip[i] = 0;
    }
}

void chimney_clear_statistics(struct vnic *card, uint32_t pulses)
{
    uint64_t *stat = card->chimney->stat;
    if (pulses & CHM_STAT_CLEAR_TCP4_MASK) {
        stat_clear_tcp(stat);
    }
    if (pulses & CHM_STAT_CLEAR_TCP6_MASK) {
        stat_clear_tcp(stat + STAT_TCP6);
    }
    if (pulses & CHM_STAT_CLEAR_IP4_MASK) {
        stat_clear_ip(stat + CHM_STAT(IP4_IN_RECEIVES));
    }
    if (pulses & CHM_STAT_CLEAR_IP6_MASK) {
        stat_clear_ip(stat + CHM_STAT(IP6_IN_RECEIVES));
    }
}
