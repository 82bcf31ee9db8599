/* driver_oid.h: the OID request that the driver has, one at a time, and what of its answers NDIS keeps. */
#ifndef VNIC_DRIVER_OID_H
#define VNIC_DRIVER_OID_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic_driver.h"

struct fuzz_world;

struct fuzz_oids {
    struct vnic_oid_request *request, was; /* NULL: none is pending */
    uint64_t next_id;
    uint32_t filter, hang_checks;
    uint32_t asked, answered;
};

/* which chooses one of the driver's OIDs, or any; len: bytes of the buffer; seed: of what a set says. */
void fuzz_oid_query(struct fuzz_world *w, uint32_t which, uint32_t len);
void fuzz_oid_set(struct fuzz_world *w, uint32_t which, uint32_t len, uint32_t seed);
void fuzz_oid_cancel(struct fuzz_world *w);
/* The filter that a protocol sets when it binds. */
void fuzz_oid_set_filter(struct fuzz_world *w, uint32_t filter);
/* NdisMOidRequestComplete. */
void fuzz_oid_complete(struct fuzz_world *w, struct vnic_oid_request *request, uint32_t status);
void fuzz_oid_clear(struct fuzz_world *w);

#endif
