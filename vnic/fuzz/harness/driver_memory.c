/* driver_memory.c: allocations one by one, bus addresses for them, and the way from a bus address to the bytes. */
#include "driver_memory.h"

#include <stdlib.h>
#include <string.h>

#include "driver_judge.h"
#include "driver_slab.h"

/* Bus addresses: coherent memory in windows of 4 GiB, by slot; pages of streaming DMA below, none beside the next. */
#define COHERENT_SHIFT 32u
#define COHERENT_FIRST 16u
#define COHERENT_SLOTS 4096u
#define STREAM_BASE 0x40000000u
#define STRIDE 769u /* pages scatter */
#define COHERENT_MOST (64u << 20)

bool fuzz_memory_refuses(struct fuzz_memory *m)
{
    if (m->refusals == 0) {
        return false;
    }
    m->refusals--;
    return true;
}

static uint64_t coherent_addr(const struct fuzz_memory *m)
{
    uint64_t slot = COHERENT_FIRST;
    for (uint32_t i = 0; i < m->blocks; i++) {
        if (m->block[i].addr >> COHERENT_SHIFT >= slot) {
            slot = (m->block[i].addr >> COHERENT_SHIFT) + 1;
        }
    }
    return slot << COHERENT_SHIFT;
}

static uint8_t *bytes_take(size_t len, size_t align)
{
    void *bytes = len >= FUZZ_SLAB_LEAST && align <= FUZZ_PAGE ? fuzz_slab_take(len) : NULL;
    if (bytes == NULL) {
        if (posix_memalign(&bytes, align, len) != 0) {
            return NULL;
        }
        memset(bytes, 0, len);
    }
    return bytes;
}

static void bytes_give(uint8_t *bytes)
{
    if (!fuzz_slab_give(bytes)) {
        free(bytes);
    }
}

uint8_t *fuzz_memory_alloc(struct fuzz_memory *m, size_t len, size_t align, enum fuzz_block_kind kind)
{
    uint8_t *bytes;
    if (len == 0 || len > COHERENT_MOST || (align & (align - 1)) != 0 || m->blocks == FUZZ_BLOCKS
        || fuzz_memory_refuses(m)) {
        return NULL;
    }
    bytes = bytes_take(len, align < 16 ? 16 : align);
    if (bytes == NULL) {
        return NULL;
    }
    const uint64_t addr = kind == FUZZ_COHERENT ? coherent_addr(m) : 0;
    m->block[m->blocks++] = (struct fuzz_block){bytes, len, addr, kind};
    return bytes;
}

/* From the newest on: who frees or maps something mostly has just got it. */
static uint32_t block_at(const struct fuzz_memory *m, const void *bytes)
{
    for (uint32_t i = m->blocks; i > 0; i--) {
        if (m->block[i - 1].bytes == bytes) {
            return i - 1;
        }
    }
    return FUZZ_BLOCKS;
}

static bool is_mapped(const struct fuzz_memory *m, const struct fuzz_block *block)
{
    for (uint32_t i = 0, seen = 0; seen < m->mappings; i++) {
        const struct fuzz_mapping *mapping = &m->mapping[i];
        seen += mapping->bytes != NULL;
        if (mapping->bytes >= block->bytes && mapping->bytes < block->bytes + block->len) {
            return true;
        }
    }
    return false;
}

void fuzz_memory_free(struct fuzz_memory *m, const void *bytes, enum fuzz_block_kind kind, const char *call)
{
    const uint32_t at = block_at(m, bytes);
    FUZZ_REQUIRE(at != FUZZ_BLOCKS && m->block[at].kind == kind, "DRV-13",
                 "%s of memory that is not allocated so (or was freed before)", call);
    FUZZ_REQUIRE(!is_mapped(m, &m->block[at]), "DRV-13", "%s of memory that is mapped for DMA", call);
    bytes_give(m->block[at].bytes);
    m->block[at] = m->block[--m->blocks];
}

const struct fuzz_block *fuzz_memory_find(const struct fuzz_memory *m, const void *bytes, size_t len)
{
    const uint8_t *first = bytes;
    for (uint32_t i = m->blocks; i > 0; i--) {
        const struct fuzz_block *block = &m->block[i - 1];
        if (first >= block->bytes && first <= block->bytes + block->len) {
            return (size_t)(block->bytes + block->len - first) >= len ? block : NULL;
        }
    }
    return NULL;
}

/* ---- streaming DMA ---- */

static uint32_t page_count(const uint8_t *bytes, size_t len)
{
    return (uint32_t)((((uintptr_t)bytes & (FUZZ_PAGE - 1)) + len + FUZZ_PAGE - 1) / FUZZ_PAGE);
}

static uint32_t mapping_take(struct fuzz_memory *m)
{
    do {
        m->mapping_next = (m->mapping_next + STRIDE) % FUZZ_PAGES;
    } while (m->mapping[m->mapping_next].bytes != NULL);
    m->mappings++;
    return m->mapping_next;
}

unsigned fuzz_memory_map(struct fuzz_memory *m, void *bytes, size_t len, enum vnic_bus_direction direction,
                         struct vnic_segment *segments, unsigned capacity)
{
    const uint32_t pages = page_count(bytes, len);
    if (len == 0 || pages > FUZZ_PAGES - m->mappings || fuzz_memory_refuses(m)) {
        return 0;
    }
    if (pages > capacity || segments == NULL) {
        return pages;
    }
    uint8_t *at = bytes;
    for (uint32_t i = 0; i < pages; i++) {
        const uint32_t offset = (uint32_t)((uintptr_t)at & (FUZZ_PAGE - 1));
        const uint32_t room = FUZZ_PAGE - offset;
        const uint32_t part = len < room ? (uint32_t)len : room;
        const uint32_t slot = mapping_take(m);
        m->mapping[slot] = (struct fuzz_mapping){at, offset, part, direction};
        segments[i] = (struct vnic_segment){STREAM_BASE + (uint64_t)slot * FUZZ_PAGE + offset, part};
        at += part;
        len -= part;
    }
    return pages;
}

static struct fuzz_mapping *mapping_at(const struct fuzz_memory *m, uint64_t addr)
{
    const uint64_t slot = (addr - STREAM_BASE) / FUZZ_PAGE;
    if (addr < STREAM_BASE || slot >= FUZZ_PAGES || m->mapping[slot].bytes == NULL) {
        return NULL;
    }
    return (struct fuzz_mapping *)&m->mapping[slot];
}

void fuzz_memory_unmap(struct fuzz_memory *m, const struct vnic_segment *segments, unsigned count,
                       enum vnic_bus_direction direction)
{
    for (unsigned i = 0; i < count; i++) {
        struct fuzz_mapping *mapping = mapping_at(m, segments[i].addr);
        FUZZ_REQUIRE(mapping != NULL && mapping->offset == segments[i].addr % FUZZ_PAGE
                         && mapping->len == segments[i].len && mapping->direction == direction,
                     "DRV-13", "unmap of a segment that is not mapped so");
        mapping->bytes = NULL;
        m->mappings--;
    }
}

/* ---- what the card reaches ---- */

static uint8_t *reach_coherent(const struct fuzz_memory *m, uint64_t addr, uint64_t len)
{
    for (uint32_t i = 0; i < m->blocks; i++) {
        const struct fuzz_block *block = &m->block[i];
        const uint64_t offset = addr - block->addr;
        if (block->addr != 0 && addr >= block->addr && offset <= block->len) {
            return len <= block->len - offset ? block->bytes + offset : NULL;
        }
    }
    return NULL;
}

uint8_t *fuzz_memory_reach(const struct fuzz_memory *m, uint64_t addr, uint64_t len, bool is_write)
{
    const struct fuzz_mapping *mapping = mapping_at(m, addr);
    const enum vnic_bus_direction denied = is_write ? VNIC_BUS_TO_DEVICE : VNIC_BUS_FROM_DEVICE;
    if (addr >> COHERENT_SHIFT >= COHERENT_FIRST) {
        return reach_coherent(m, addr, len);
    }
    const uint64_t offset = addr % FUZZ_PAGE;
    if (mapping == NULL || mapping->direction == denied || offset < mapping->offset
        || offset - mapping->offset > mapping->len || len > mapping->len - (offset - mapping->offset)) {
        return NULL;
    }
    return mapping->bytes + (offset - mapping->offset);
}

uint8_t *fuzz_memory_writable(const struct fuzz_memory *m, uint32_t number, size_t *len)
{
    uint32_t count = m->mappings;
    for (uint32_t i = 0; i < m->blocks; i++) {
        count += m->block[i].addr != 0;
    }
    number = count == 0 ? 0 : number % count;
    for (uint32_t i = 0; i < m->blocks; i++) {
        if (m->block[i].addr != 0 && number-- == 0) {
            *len = m->block[i].len;
            return m->block[i].bytes;
        }
    }
    for (uint32_t i = 0, seen = 0; seen < m->mappings; i++) {
        const struct fuzz_mapping *mapping = &m->mapping[i];
        seen += mapping->bytes != NULL;
        if (mapping->bytes != NULL && number-- == 0) {
            *len = mapping->len;
            return mapping->direction == VNIC_BUS_TO_DEVICE ? NULL : mapping->bytes;
        }
    }
    return NULL;
}

/* ---- the end ---- */

uint32_t fuzz_memory_left(const struct fuzz_memory *m)
{
    return m->mappings + m->blocks;
}

void fuzz_memory_clear(struct fuzz_memory *m)
{
    for (uint32_t i = 0; i < m->blocks; i++) {
        bytes_give(m->block[i].bytes);
    }
    for (uint32_t i = 0; m->mappings > 0; i++) {
        m->mappings -= m->mapping[i].bytes != NULL;
        m->mapping[i].bytes = NULL;
    }
    m->blocks = m->mapping_next = m->refusals = 0;
}
