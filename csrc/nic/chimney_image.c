/* chimney_image.c: images of objects in host memory, as objects of the card and as the engine's view of a connection. */
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/chimney_admin.h"

#define NS_PER_SECOND 1000000000ull
#define ETHERNET_BYTES 14u
#define MTU_LEAST_IPV4 68u
#define MTU_LEAST_IPV6 1280u
#define VLAN_RESERVED 0xFFFu
#define CONST_FLAGS 0x7u
#define CACHED_FLAGS 0x1Fu
#define IPV4_BYTES 4u

/* ---- soundness ---- */

/* Bits of an image that no field has are 0. */
static bool image_has_only(const uint64_t *image, const uint64_t *masks, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        if (image[i] & ~masks[i]) {
            return false;
        }
    }
    return true;
}

/* Frames of a card have a source that is no group. */
bool image_neighbour_is_sound(const uint64_t *image)
{
    static const uint64_t masks[CHM_NEIGHBOUR_WORDS] = {
        CHM_NEIGHBOUR_SOURCE_ADDRESS_MASK | CHM_NEIGHBOUR_VLAN_ID_MASK,
        CHM_NEIGHBOUR_DESTINATION_ADDRESS_MASK, CHM_NEIGHBOUR_HOST_REACHABILITY_DELTA_MASK,
        CHM_NEIGHBOUR_NIC_REACHABILITY_DELTA_MASK};
    return image_has_only(image, masks, CHM_NEIGHBOUR_WORDS) && chm_neighbour_vlan_id(image) != VLAN_RESERVED
           && !(chm_neighbour_source_address(image) & 1);
}

bool image_path_is_sound(const uint64_t *image)
{
    static const uint64_t masks[CHM_PATH_WORDS] = {CHM_PATH_SOURCE_LO_MASK,
                                                   CHM_PATH_SOURCE_HI_MASK,
                                                   CHM_PATH_DESTINATION_LO_MASK,
                                                   CHM_PATH_DESTINATION_HI_MASK,
                                                   CHM_PATH_PATH_MTU_MASK | CHM_PATH_IPV6_MASK,
                                                   0};
    bool is_ipv6 = chm_path_ipv6(image) != 0;
    bool is_padded = !(chm_path_source_lo(image) >> 32 || chm_path_source_hi(image)
                       || chm_path_destination_lo(image) >> 32 || chm_path_destination_hi(image));
    return image_has_only(image, masks, CHM_PATH_WORDS) && (is_ipv6 || is_padded)
           && chm_path_path_mtu(image) >= (is_ipv6 ? MTU_LEAST_IPV6 : MTU_LEAST_IPV4);
}

bool image_tcp_is_sound(const uint64_t *image)
{
    static const uint64_t masks[CHM_TCP_WORDS] = {[0] = 0x00FFFFFFFFFFFFFFull,
                                                  [1] = 0xFFFFFFFF0000FFFFull,
                                                  [2] = 0xFFFFF7FFFFFFFFFFull,
                                                  [3] = UINT64_MAX,
                                                  [4] = UINT64_MAX,
                                                  [5] = 0x000000FFFFFFFFFFull,
                                                  [6] = UINT64_MAX,
                                                  [7] = UINT64_MAX,
                                                  [8] = UINT64_MAX,
                                                  [9] = UINT64_MAX,
                                                  [10] = UINT64_MAX,
                                                  [11] = UINT64_MAX,
                                                  [12] = UINT64_MAX,
                                                  [13] = UINT64_MAX,
                                                  [14] = UINT64_MAX,
                                                  [15] = UINT64_MAX,
                                                  [16] = 0x00000000FFFFFFFFull};
    return image_has_only(image, masks, CHM_TCP_WORDS) && chm_tcp_const_flags(image) <= CONST_FLAGS
           && chm_tcp_cached_flags(image) <= CACHED_FLAGS;
}

/* ---- neighbours ---- */

static uint64_t image_tick_ns(const struct vnic *card)
{
    return NS_PER_SECOND / card->chimney->parameters.ticks_per_second;
}

static void image_take_address(uint64_t value, uint8_t address[6])
{
    for (unsigned i = 0; i < 6; i++) {
        address[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t image_of_address(const uint8_t address[6])
{
    return le32_load(address) | (uint64_t)le16_load(address + 4) << 32;
}

/* HRT = NCT - HRD; the host's word ends a query. */
void image_update_neighbour(const struct vnic *card, const uint64_t *image, struct chm_neighbour *n)
{
    image_take_address(chm_neighbour_destination_address(image), n->destination);
    n->host_delta = (uint32_t)chm_neighbour_host_reachability_delta(image);
    n->host_ns = card->pci.now_ns - n->host_delta * image_tick_ns(card);
    n->is_queried = 0;
}

void image_take_neighbour(const struct vnic *card, const uint64_t *image, struct chm_neighbour *n)
{
    image_update_neighbour(card, image, n);
    image_take_address(chm_neighbour_source_address(image), n->source);
    n->vlan = (uint16_t)chm_neighbour_vlan_id(image);
    n->nic_ns = card->pci.now_ns - chm_neighbour_nic_reachability_delta(image) * image_tick_ns(card);
}

void image_give_neighbour(const struct vnic *card, const struct chm_neighbour *n, uint64_t *image)
{
    uint64_t age = (card->pci.now_ns - n->nic_ns) / image_tick_ns(card);
    chm_neighbour_set_source_address(image, image_of_address(n->source));
    chm_neighbour_set_vlan_id(image, n->vlan);
    chm_neighbour_set_destination_address(image, image_of_address(n->destination));
    chm_neighbour_set_host_reachability_delta(image, n->host_delta);
    chm_neighbour_set_nic_reachability_delta(image, bits_min64(age, UINT32_MAX));
}

/* ---- paths ---- */

uint32_t image_largest_mtu(const struct vnic *card)
{
    return card->config.max_frame - ETHERNET_BYTES;
}

void image_take_path(const uint64_t *image, struct chm_path *p)
{
    le64_store(p->source, chm_path_source_lo(image));
    le64_store(p->source + 8, chm_path_source_hi(image));
    le64_store(p->destination, chm_path_destination_lo(image));
    le64_store(p->destination + 8, chm_path_destination_hi(image));
    p->mtu = (uint32_t)chm_path_path_mtu(image);
    p->is_ipv6 = chm_path_ipv6(image) != 0;
}

void image_give_path(const struct chm_path *p, uint64_t *image)
{
    chm_path_set_source_lo(image, le64_load(p->source));
    chm_path_set_source_hi(image, le64_load(p->source + 8));
    chm_path_set_destination_lo(image, le64_load(p->destination));
    chm_path_set_destination_hi(image, le64_load(p->destination + 8));
    chm_path_set_path_mtu(image, p->mtu);
    chm_path_set_ipv6(image, p->is_ipv6);
}

/* ---- connections ---- */

static void image_take_const(const uint64_t *image, struct tcp_offload_const *out)
{
    *out = (struct tcp_offload_const){
        .Flags = (uint16_t)chm_tcp_const_flags(image),
        .RemotePort = (uint16_t)chm_tcp_remote_port(image),
        .LocalPort = (uint16_t)chm_tcp_local_port(image),
        .SndWindScale = (uint8_t)chm_tcp_snd_wind_scale(image),
        .RcvWindScale = (uint8_t)chm_tcp_rcv_wind_scale(image),
        .RemoteMss = (uint16_t)chm_tcp_remote_mss(image),
        .HashValue = (uint32_t)chm_tcp_hash_value(image),
    };
}

void image_take_cached(const uint64_t *image, struct tcp_offload_cached *cached)
{
    *cached = (struct tcp_offload_cached){
        .Flags = (uint16_t)chm_tcp_cached_flags(image),
        .KaProbeCount = (uint8_t)chm_tcp_ka_probe_count(image),
        .TtlOrHopLimit = (uint8_t)chm_tcp_ttl_or_hop_limit(image),
        .TosOrTrafficClass = (uint8_t)chm_tcp_tos_or_traffic_class(image),
        .UserPriority = (uint8_t)chm_tcp_user_priority(image),
        .InitialRcvWnd = (uint32_t)chm_tcp_initial_rcv_wnd(image),
        .RcvIndicationSize = (uint32_t)chm_tcp_rcv_indication_size(image),
        .KaTimeout = (uint32_t)chm_tcp_ka_timeout(image),
        .KaInterval = (uint32_t)chm_tcp_ka_interval(image),
        .MaxRT = (uint32_t)chm_tcp_max_rt(image),
        .FlowLabel = (uint32_t)chm_tcp_flow_label(image),
    };
}

static void image_take_numbers(const uint64_t *image, struct tcp_offload_delegated *d)
{
    *d = (struct tcp_offload_delegated){
        .State = (uint32_t)chm_tcp_state(image),
        .RcvNxt = (uint32_t)chm_tcp_rcv_nxt(image),
        .RcvWnd = (uint32_t)chm_tcp_rcv_wnd(image),
        .SndUna = (uint32_t)chm_tcp_snd_una(image),
        .SndNxt = (uint32_t)chm_tcp_snd_nxt(image),
        .SndMax = (uint32_t)chm_tcp_snd_max(image),
        .SndWnd = (uint32_t)chm_tcp_snd_wnd(image),
        .MaxSndWnd = (uint32_t)chm_tcp_max_snd_wnd(image),
        .SendWL1 = (uint32_t)chm_tcp_send_wl1(image),
        .CWnd = (uint32_t)chm_tcp_cwnd(image),
        .SsThresh = (uint32_t)chm_tcp_ss_thresh(image),
        .DupAckCount = (uint8_t)chm_tcp_dup_ack_count(image),
        .SendBacklogSize = (uint32_t)chm_tcp_send_backlog_size(image),
        .ReceiveBacklogSize = (uint32_t)chm_tcp_receive_backlog_size(image),
        .DWnd = (uint32_t)chm_tcp_d_wnd(image),
    };
}

static void image_take_clocks(const uint64_t *image, struct tcp_offload_delegated *d)
{
    d->SRtt = (uint16_t)chm_tcp_srtt(image);
    d->RttVar = (uint16_t)chm_tcp_rtt_var(image);
    d->TsRecent = (uint32_t)chm_tcp_ts_recent(image);
    d->TsRecentAge = (uint32_t)chm_tcp_ts_recent_age(image);
    d->TsTime = (uint32_t)chm_tcp_ts_time(image);
    d->TotalRT = (uint32_t)chm_tcp_total_rt(image);
    d->SndWndProbeCount = (uint8_t)chm_tcp_snd_wnd_probe_count(image);
    d->KeepAlive.ProbeCount = (uint32_t)chm_tcp_keep_alive_probe_count(image);
    d->KeepAlive.TimeoutDelta = (uint32_t)chm_tcp_keep_alive_timeout_delta(image);
    d->Retransmit.Count = (uint32_t)chm_tcp_retransmit_count(image);
    d->Retransmit.TimeoutDelta = (uint32_t)chm_tcp_retransmit_timeout_delta(image);
}

void image_take_state(const uint64_t *image, const struct chm_path *p, uint16_t vlan,
                      struct tcp_offload_state *s)
{
    memset(s, 0, sizeof *s);
    memcpy(s->Path.SourceAddress, p->source, sizeof p->source);
    memcpy(s->Path.DestinationAddress, p->destination, sizeof p->destination);
    s->Path.PathMtu = p->mtu;
    s->Path.VlanId = vlan;
    s->Path.IsIpv6 = p->is_ipv6;
    image_take_const(image, &s->Const);
    image_take_cached(image, &s->Cached);
    image_take_numbers(image, &s->Delegated);
    image_take_clocks(image, &s->Delegated);
}

void image_keep_cached(const struct tcp_offload_cached *cached, struct chm_connection *c)
{
    c->initial_rcv_wnd = cached->InitialRcvWnd;
    c->rcv_indication_size = cached->RcvIndicationSize;
    c->label_priority = cached->FlowLabel | (uint32_t)cached->UserPriority << 29;
    c->ka_timeout = cached->KaTimeout;
    c->ka_interval = cached->KaInterval;
    c->max_rt = cached->MaxRT;
    c->cached_flags = cached->Flags;
}

static void image_give_const(const struct chm_connection *c, const struct tcp_offload_const *in,
                             uint64_t *image)
{
    chm_tcp_set_const_flags(image, in->Flags);
    chm_tcp_set_remote_port(image, in->RemotePort);
    chm_tcp_set_local_port(image, in->LocalPort);
    chm_tcp_set_snd_wind_scale(image, in->SndWindScale);
    chm_tcp_set_rcv_wind_scale(image, in->RcvWindScale);
    chm_tcp_set_remote_mss(image, in->RemoteMss);
    chm_tcp_set_hash_value(image, c->hash_value);
}

/* [CHM-4] As they were given, not as the engine rounds them. */
static void image_give_cached(const struct chm_connection *c, const struct tcp_offload_cached *in,
                              uint64_t *image)
{
    chm_tcp_set_cached_flags(image, c->cached_flags);
    chm_tcp_set_ka_probe_count(image, in->KaProbeCount);
    chm_tcp_set_ttl_or_hop_limit(image, in->TtlOrHopLimit);
    chm_tcp_set_tos_or_traffic_class(image, in->TosOrTrafficClass);
    chm_tcp_set_user_priority(image, c->label_priority >> 29);
    chm_tcp_set_flow_label(image, c->label_priority);
    chm_tcp_set_initial_rcv_wnd(image, c->initial_rcv_wnd);
    chm_tcp_set_rcv_indication_size(image, c->rcv_indication_size);
    chm_tcp_set_ka_timeout(image, c->ka_timeout);
    chm_tcp_set_ka_interval(image, c->ka_interval);
    chm_tcp_set_max_rt(image, c->max_rt);
}

static void image_give_numbers(const struct tcp_offload_delegated *d, uint64_t *image)
{
    chm_tcp_set_state(image, d->State);
    chm_tcp_set_rcv_nxt(image, d->RcvNxt);
    chm_tcp_set_rcv_wnd(image, d->RcvWnd);
    chm_tcp_set_snd_una(image, d->SndUna);
    chm_tcp_set_snd_nxt(image, d->SndNxt);
    chm_tcp_set_snd_max(image, d->SndMax);
    chm_tcp_set_snd_wnd(image, d->SndWnd);
    chm_tcp_set_max_snd_wnd(image, d->MaxSndWnd);
    chm_tcp_set_send_wl1(image, d->SendWL1);
    chm_tcp_set_cwnd(image, d->CWnd);
    chm_tcp_set_ss_thresh(image, d->SsThresh);
    chm_tcp_set_dup_ack_count(image, d->DupAckCount);
    chm_tcp_set_send_backlog_size(image, d->SendBacklogSize);
    chm_tcp_set_d_wnd(image, d->DWnd);
}

static void image_give_clocks(const struct tcp_offload_delegated *d, uint64_t *image)
{
    chm_tcp_set_srtt(image, d->SRtt);
    chm_tcp_set_rtt_var(image, d->RttVar);
    chm_tcp_set_ts_recent(image, d->TsRecent);
    chm_tcp_set_ts_recent_age(image, d->TsRecentAge);
    chm_tcp_set_ts_time(image, d->TsTime);
    chm_tcp_set_total_rt(image, d->TotalRT);
    chm_tcp_set_snd_wnd_probe_count(image, d->SndWndProbeCount);
    chm_tcp_set_keep_alive_probe_count(image, d->KeepAlive.ProbeCount);
    chm_tcp_set_keep_alive_timeout_delta(image, d->KeepAlive.TimeoutDelta);
    chm_tcp_set_retransmit_count(image, d->Retransmit.Count);
    chm_tcp_set_retransmit_timeout_delta(image, d->Retransmit.TimeoutDelta);
}

/* [CHM-9] What waits in the card is not the host's yet. */
void image_give_tcp(struct vnic *card, uint32_t index, uint64_t *image)
{
    struct chimney *m = card->chimney;
    const struct chm_connection *c = chimney_connection(m, index);
    struct tcp_offload_state s;
    (void)tcp_to_offload(m->engine, &m->tcp[index], card->pci.now_ns, m->parameters.ticks_per_second, &s);
    image_give_const(c, &s.Const, image);
    image_give_cached(c, &s.Cached, image);
    image_give_numbers(&s.Delegated, image);
    image_give_clocks(&s.Delegated, image);
    uint32_t waiting = bits_min32(chimney_waiting(m, index), s.Delegated.ReceiveBacklogSize);
    chm_tcp_set_receive_backlog_size(image, s.Delegated.ReceiveBacklogSize - waiting);
}
