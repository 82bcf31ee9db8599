/* snapshot.c: the order of a snapshot's sections, and its header. */
#include "nic/snapshot.h"

#include "nic/chimney.h"
#include "nic/pair.h"
#include "nic/receive.h"
#include "nic/scale.h"
#include "nic/tags.h"
#include "nic/test_block.h"
#include "nic/transmit.h"
#include "nic/vector.h"

#define SNAPSHOT_MAGIC 0x70616E7363696E76ull /* "vnicsnap" */
#define SNAPSHOT_VERSION 1u

/* What state depends on: a snapshot loads into a card of the same shape only. */
static uint64_t snapshot_shape(const struct vnic *card)
{
    const struct vnic_config *c = &card->config;
    const uint64_t parts[] = {
        c->queue_pairs,     c->vectors,      c->msi_capable_log2, c->max_frame,          c->rx_buffer_bytes,
        c->tx_buffer_bytes, c->vendor_id,    c->device_id,        c->connections,        c->paths,
        c->neighbours,      c->chimney_work, c->chimney_nodes,    c->chimney_recoveries, c->chimney_bytes};
    uint64_t hash = 0xCBF29CE484222325ull;
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (unsigned shift = 0; shift < 64; shift += 8) {
            hash = (hash ^ (parts[i] >> shift & 0xFF)) * 0x100000001B3ull;
        }
    }
    return hash;
}

static int snapshot_header(struct vnic *card, struct archive *a)
{
    uint64_t magic = SNAPSHOT_MAGIC, map = vnic_bar0_map.hash, shape = snapshot_shape(card);
    uint32_t version = SNAPSHOT_VERSION;
    ARCHIVE(a, TAG_MAGIC, magic, UINT64_MAX);
    if (a->failed || magic != SNAPSHOT_MAGIC) {
        return VNIC_EFORMAT;
    }
    ARCHIVE(a, TAG_VERSION, version, UINT32_MAX);
    ARCHIVE(a, TAG_REGISTER_MAP, map, UINT64_MAX);
    if (!a->failed && (version != SNAPSHOT_VERSION || map != vnic_bar0_map.hash)) {
        return VNIC_EVERSION;
    }
    ARCHIVE(a, TAG_CONFIG, shape, UINT64_MAX);
    return a->failed ? VNIC_EFORMAT : shape == snapshot_shape(card) ? VNIC_OK : VNIC_ECONFIG;
}

static void snapshot_card(struct vnic *card, struct archive *a)
{
    struct card_state *s = &card->state;
    ARCHIVE(a, TAG_LINK, s->link_mbps, UINT32_MAX);
    ARCHIVE(a, TAG_RUN_ENGINE, s->run_engine, VNIC_ENGINES - 1);
    ARCHIVE(a, TAG_RUN_STEPS, s->run_steps, RUN_TURN);
    for (unsigned i = 0; i < STATS; i++) {
        ARCHIVE(a, TAG_STAT, s->stat[i], UINT64_MAX);
    }
}

void snapshot_walk(struct vnic *card, struct archive *a, int *refusal)
{
    uint8_t end = 0;
    *refusal = snapshot_header(card, a);
    if (*refusal != VNIC_OK) {
        return;
    }
    pci_archive(&card->pci, a);
    regfile_archive(&card->regs, a);
    snapshot_card(card, a);
    vector_archive(card, a);
    scale_archive(card, a);
    test_block_archive(card, a);
    packet_buffer_archive(&card->rx_buffer, a, card->config.max_frame, card->config.queue_pairs);
    packet_buffer_archive(&card->tx_buffer, a, card->config.max_frame + VLAN_TAG_BYTES,
                          card->config.queue_pairs);
    for (unsigned i = 0; i < card->config.queue_pairs; i++) {
        pair_archive(card, i, a);
    }
    receive_archive(card, a);
    transmit_archive(card, a);
    chimney_archive(card, a);
    ARCHIVE(a, TAG_END, end, 0);
    archive_refuse_if(a, archive_is_loading(a) && a->at != a->len);
    *refusal = a->failed ? VNIC_EFORMAT : VNIC_OK;
}
