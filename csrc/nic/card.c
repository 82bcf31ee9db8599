/* card.c: creation and end of a card, and its configuration. */
#include "nic/card.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "nic/chimney.h"

#define CLASS_ETHERNET 0x020000u
#define MSIX_PBA_OFFSET 0x1000u
#define MAX_FRAME_MIN 1514u
#define MAX_FRAME_MAX 65535u
#define BUFFER_BYTES_MAX (1u << 28)
#define OBJECTS_MAX (1u << 20)
#define WORK_MIN 16u
#define WORK_MAX (1u << 24)
#define CHIMNEY_BYTES_MIN (64ull << 10)
#define CHIMNEY_BYTES_MAX (1ull << 36)

void vnic_config_init(struct vnic_config *config)
{
    *config = (struct vnic_config){
        .vendor_id = 0x1AF4, /* with a device id outside the ranges that virtio uses */
        .device_id = 0x10F0,
        .subsystem_vendor_id = 0x1AF4,
        .subsystem_id = 0x1100,
        .revision = 1,
        .queue_pairs = 16,
        .vectors = 17,
        .msi_capable_log2 = 5,
        .mac = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01},
        .max_frame = 9728,
        .rx_buffer_bytes = 1u << 20,
        .tx_buffer_bytes = 1u << 20,
        .map_regions = 65536,
        .faults = 64,
        .connections = 1024,
        .paths = 1024,
        .neighbours = 256,
        .chimney_work = 16384,
        .chimney_nodes = 8192,
        .chimney_recoveries = 512,
        .chimney_bytes = 4u << 20,
    };
}

static bool buffer_is_sound(uint32_t bytes, uint32_t max_frame)
{
    return bits_is_pow2(bytes) && bytes <= BUFFER_BYTES_MAX && bytes / 4 >= max_frame;
}

static bool is_between(uint64_t value, uint64_t least, uint64_t most)
{
    return value >= least && value <= most;
}

/* Without connections there is no chimney, and what else is said of it does not count. */
static bool chimney_config_is_sound(const struct vnic_config *c)
{
    return c->connections == 0
           || (c->connections <= OBJECTS_MAX && is_between(c->paths, 1, OBJECTS_MAX)
               && is_between(c->neighbours, 1, OBJECTS_MAX) && is_between(c->chimney_work, WORK_MIN, WORK_MAX)
               && is_between(c->chimney_nodes, WORK_MIN, WORK_MAX)
               && is_between(c->chimney_recoveries, 1, OBJECTS_MAX)
               && is_between(c->chimney_bytes, CHIMNEY_BYTES_MIN, CHIMNEY_BYTES_MAX));
}

static bool config_is_sound(const struct vnic_config *c)
{
    return c->queue_pairs >= 1 && c->queue_pairs <= CARD_PAIRS_MAX && c->vectors >= 1
           && c->vectors <= CARD_VECTORS_MAX && c->msi_capable_log2 <= 5 && c->max_frame >= MAX_FRAME_MIN
           && c->max_frame <= MAX_FRAME_MAX && buffer_is_sound(c->rx_buffer_bytes, c->max_frame)
           && buffer_is_sound(c->tx_buffer_bytes, c->max_frame) && c->map_regions >= 1
           && c->map_regions <= 1u << 24 && c->faults <= 65536 && !(c->mac[0] & 1) && c->function < 8
           && chimney_config_is_sound(c);
}

static struct pci_identity card_identity(const struct vnic_config *c)
{
    return (struct pci_identity){
        .vendor = c->vendor_id,
        .device = c->device_id,
        .subsystem_vendor = c->subsystem_vendor_id,
        .subsystem = c->subsystem_id,
        .class_code = CLASS_ETHERNET,
        .revision = c->revision,
        .function = c->function,
        .interrupt_pin = 1,
        .is_multifunction = c->function != 0 || c->is_multifunction != 0,
        .bar_bytes = {[0] = CARD_BAR0_BYTES, [2] = CARD_BAR2_BYTES},
        .vectors = c->vectors,
        .msi_capable_log2 = c->msi_capable_log2,
        .msix_bar = 2,
        .msix_table_offset = 0,
        .msix_pba_offset = MSIX_PBA_OFFSET,
        .map_regions = c->map_regions,
        .faults = c->faults,
    };
}

static int card_allocate(struct vnic *card)
{
    struct pci_identity identity = card_identity(&card->config);
    int result = pci_create(&card->pci, &identity, &card_pci_ops, card);
    if (result == VNIC_OK) {
        result = regfile_create(&card->regs, &vnic_bar0_map, &card_register_ops, card);
    }
    if (result == VNIC_OK) {
        result = packet_buffer_create(&card->rx_buffer, card->config.rx_buffer_bytes);
    }
    if (result == VNIC_OK) {
        result = packet_buffer_create(&card->tx_buffer, card->config.tx_buffer_bytes);
    }
    if (result == VNIC_OK) {
        result = chimney_create(card);
    }
    card->stage = calloc(1, card_stage_bytes(card));
    card->test_chunk = calloc(1, TEST_CHUNK);
    return result == VNIC_OK && (!card->stage || !card->test_chunk) ? VNIC_ENOMEM : result;
}

int vnic_create(const struct vnic_config *config, vnic **card)
{
    *card = NULL;
    if (!config_is_sound(config)) {
        return VNIC_EINVAL;
    }
    struct vnic *made = aligned_alloc(_Alignof(struct vnic), sizeof *made);
    if (!made) {
        return VNIC_ENOMEM;
    }
    memset(made, 0, sizeof *made);
    made->config = *config;
    made->scratch.csum = csum_ops_best();
    int result = card_allocate(made);
    if (result != VNIC_OK) {
        vnic_destroy(made);
        return result;
    }
    pci_reset(&made->pci, PCI_RESET_POWER);
    *card = made;
    return VNIC_OK;
}

void vnic_destroy(vnic *card)
{
    if (!card) {
        return;
    }
    chimney_destroy(card);
    packet_buffer_destroy(&card->rx_buffer);
    packet_buffer_destroy(&card->tx_buffer);
    regfile_destroy(&card->regs);
    pci_destroy(&card->pci);
    free(card->stage);
    free(card->test_chunk);
    free(card);
}

size_t vnic_footprint(const vnic *card)
{
    size_t buffers = 0;
    const struct packet_buffer *const both[] = {&card->rx_buffer, &card->tx_buffer};
    for (unsigned i = 0; i < 2; i++) {
        buffers += both[i]->size + PACKET_TAILROOM + both[i]->size / PACKET_SLOT * sizeof(struct packet);
    }
    return sizeof *card + buffers + regfile_bytes(&vnic_bar0_map) + card_stage_bytes(card) + TEST_CHUNK
           + pci_footprint(&card->pci) + chimney_footprint(card);
}
