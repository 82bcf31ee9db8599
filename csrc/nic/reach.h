/* reach.h: the piece of memory that a hint points at, for many transfers of one length in a row. */
#ifndef VNIC_NIC_REACH_H
#define VNIC_NIC_REACH_H

#include "pci/dma.h"

#define REACH_AHEAD 8u /* transfers for which memory is on its way to the cache */

/* A transfer may start anywhere in [iova, iova + room]. Good while nothing watches and the memory map
 * stays. */
struct reach {
    uint64_t iova, room;
    uint8_t *host;
    uint32_t len;
};

/* The piece around addr; NULL, and nothing is within reach, when a transfer from there on is not in one
 * piece. */
static inline uint8_t *reach_seek(struct reach *r, struct pci_function *f, struct dma_hint *hint,
                                  uint64_t addr, uint32_t len, unsigned permissions)
{
    uint8_t *host = dma_direct(f, hint, addr, len, permissions);
    *r = (struct reach){.iova = addr, .host = host, .len = len};
    if (host) {
        *r = (struct reach){
            .iova = hint->iova, .room = hint->last - hint->iova - (len - 1), .host = hint->host, .len = len};
    }
    return host;
}

static inline uint8_t *reach_at(const struct reach *r, uint64_t addr)
{
    return r->host && addr - r->iova <= r->room ? r->host + (addr - r->iova) : NULL;
}

/* The address may be anything: nothing is read. */
static inline void reach_prefetch_read(const struct reach *r, uint64_t addr)
{
    __builtin_prefetch((const void *)((uintptr_t)r->host + (uintptr_t)(addr - r->iova)), 0);
}

static inline void reach_prefetch_write(const struct reach *r, uint64_t addr)
{
    __builtin_prefetch((const void *)((uintptr_t)r->host + (uintptr_t)(addr - r->iova)), 1);
}

#endif
