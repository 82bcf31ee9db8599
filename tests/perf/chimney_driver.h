/* A polling driver of the card's TCP chimney that knows a bus only: objects, sends, receives, and what comes back. */
#ifndef PERF_CHIMNEY_DRIVER_H
#define PERF_CHIMNEY_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include <vnic/vnic_driver.h>

enum {
    CHIMNEY_CQ_COUNT = 8192,
    CHIMNEY_ADMIN_COUNT = 512,
    CHIMNEY_SQ_COUNT = 4096,
    CHIMNEY_POOL_COUNT = 128,
    CHIMNEY_BUFFER_BYTES = 2048,
    /* Not a power of two: equal offsets in all buffers would fall into the same few cache sets. */
    CHIMNEY_BUFFER_STRIDE = 2048 + 256,
    CHIMNEY_BATCH = 256 /* commands at once, each with an image of its own */
};

/* Memory that driver and card share. */
struct toe_memory {
    uint64_t *words;
    uint64_t addr;
    size_t len;
};

/* An entry of kind CHM_DATA, where its bytes are. */
struct toe_data {
    uint32_t handle, len, seq;
    const uint8_t *bytes;
};

/* What polls found since the driver was opened. */
struct toe_harvest {
    uint64_t sends, receives; /* complete, OK */
    uint64_t received; /* bytes, in the pool and in posted receives */
    uint64_t failed; /* completions that are not OK, RETRIEVE, ABORT and FIN events */
};

struct toe_driver {
    struct vnic_bus bus;
    struct toe_memory cq, admin, sq, pool, buffers, images;
    uint32_t admin_tail, sq_tail, sq_rung, pool_tail, pool_rung;
    uint32_t cq_next; /* index of the completion awaited */
    uint64_t generation; /* that it will carry */
    uint32_t answered; /* admin completions */
    uint32_t *handles; /* by the cookies of commands */
    uint32_t credit_handle, credit_bytes; /* consumed, to be told */
    struct toe_harvest harvest;
    void (*on_data)(void *context, const struct toe_data *data); /* NULL: nobody looks */
    void *context;
};

/* Returns NULL, or which step of the bring-up failed. The card is put in loopback: both ends are in it. */
const char *toe_open(struct toe_driver *d, const struct vnic_bus *bus);
void toe_close(struct toe_driver *d);

/* One end of a connection: which is local, how its numbers start. */
struct toe_end {
    uint32_t path;
    uint16_t local_port, remote_port;
    uint32_t snd_una, rcv_nxt;
    uint32_t hash, window;
};

/* The handle, 0 when it is refused. Addresses are the last octets of 10.x.y.z. */
uint32_t toe_add_neighbour(struct toe_driver *d);
uint32_t toe_add_path(struct toe_driver *d, uint32_t neighbour, uint32_t local, uint32_t remote);

/*
 * A batch of at most CHIMNEY_BATCH commands: each call queues one; toe_flush() rings the doorbell and returns true
 * when all of them ended well. handles[i] is where the i-th handle of the batch comes to.
 */
void toe_create(struct toe_driver *d, unsigned i, const struct toe_end *end);
void toe_terminate(struct toe_driver *d, unsigned i, uint32_t handle);
bool toe_flush(struct toe_driver *d, unsigned count, uint32_t *handles);

/* Queue a submission; toe_ring() gives all of them to the card. */
void toe_send(struct toe_driver *d, uint32_t handle, uint64_t addr, uint32_t len);
void toe_post(struct toe_driver *d, uint32_t handle, uint64_t addr, uint32_t len);
void toe_ring(struct toe_driver *d);

/* Takes every completion, gives pool buffers back with credit for what was in them, and rings each doorbell once. */
void toe_poll(struct toe_driver *d);

#endif
