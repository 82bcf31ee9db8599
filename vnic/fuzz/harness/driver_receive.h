/* driver_receive.h: MDLs and NET_BUFFER_LISTs that the driver allocated, and who has which. */
#ifndef VNIC_DRIVER_RECEIVE_H
#define VNIC_DRIVER_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic_driver.h"

struct fuzz_world;

#define FUZZ_LISTS 4096u /* of each kind; and places of the table by pointer, twice as many */

enum fuzz_owner { OWNER_NONE, OWNER_DRIVER, OWNER_PROTOCOL };

/* A list of the driver's, and how it was when it was indicated. */
struct fuzz_list {
    struct vnic_net_buffer_list *list, list_was;
    struct vnic_net_buffer *buffer, buffer_was;
    uint64_t sum;
    enum fuzz_owner owner;
};

struct fuzz_receives {
    struct fuzz_list each[FUZZ_LISTS];
    uint32_t next_free, lists, mdls;
    /* Structures by their address, open addressing: where a list is in each[], and for MDLs FUZZ_LISTS. */
    const void *key[2 * FUZZ_LISTS];
    uint32_t value[2 * FUZZ_LISTS];
    uint32_t held[FUZZ_LISTS], held_first, holds; /* lists that the protocol keeps, oldest first */
    bool keeps;
    uint32_t indicated, calls; /* calls: indications that have not returned */
};

struct vnic_mdl *fuzz_receive_alloc_mdl(struct fuzz_world *w, void *memory, uint32_t len);
void fuzz_receive_free_mdl(struct fuzz_world *w, struct vnic_mdl *mdl);
struct vnic_net_buffer_list *fuzz_receive_alloc(struct fuzz_world *w, struct vnic_mdl *mdl_chain,
                                                uint32_t offset, uint32_t length);
void fuzz_receive_free(struct fuzz_world *w, struct vnic_net_buffer_list *list);
/* NdisMIndicateReceiveNetBufferLists. */
void fuzz_receive_indicate(struct fuzz_world *w, struct vnic_net_buffer_list *chain, uint32_t count,
                           uint32_t flags);
/* Whether a frame to this address passes the filter that NDIS was answered for. */
bool fuzz_receive_wants(const struct fuzz_world *w, const uint8_t to[6]);
/* The protocol returns at most so many of what it keeps. */
void fuzz_receive_return(struct fuzz_world *w, uint32_t most, bool is_raised);
/* What a halted driver must have freed; DRV-13. */
void fuzz_receive_check(const struct fuzz_world *w);
void fuzz_receive_clear(struct fuzz_world *w);

#endif
