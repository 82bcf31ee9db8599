/* A polling driver of the card that knows a bus only: bring-up, send, poll, halt. */
#ifndef PERF_POLL_DRIVER_H
#define PERF_POLL_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include <vnic/vnic_driver.h>

enum {
    DRIVER_QUEUES_MAX = 8,
    DRIVER_RX_COUNT = 128,
    DRIVER_TX_COUNT = 128,
    DRIVER_CQ_COUNT = 512,
    DRIVER_BUFFER_BYTES = 2048,
    /* Not a power of two: equal offsets in all buffers would fall into the same few cache sets. */
    DRIVER_BUFFER_STRIDE = 2048 + 256,
};

/* Memory that driver and card share. */
struct driver_memory {
    uint64_t *words;
    uint64_t addr;
    size_t len;
};

struct driver_queue {
    struct driver_memory rx, tx, cq, buffers;
    uint32_t rx_tail, tx_tail, tx_head;
    uint32_t cq_next;    /* index of the completion awaited */
    uint64_t generation; /* that it will carry */
    uint32_t base;       /* offset of the pair's registers */
};

struct driver {
    struct vnic_bus bus;
    struct driver_queue queue[DRIVER_QUEUES_MAX];
    unsigned queues;
    bool inserts_csum; /* ask for checksum insertion in every frame sent */
};

struct driver_frame {
    uint64_t addr; /* bus address of memory mapped to the device */
    uint32_t len;
};

/* What a poll found. Frames that miss what was asked of the card (hash, verified checksums) count as frames only. */
struct driver_harvest {
    uint64_t received, sent;
    uint64_t right; /* received, of the length awaited, hashed, both checksums good */
    uint64_t failed; /* sends that ended with an error */
};

/* Returns NULL, or which step of the bring-up failed. Frames sent come back: the card is put in loopback. */
const char *driver_initialize(struct driver *driver, const struct vnic_bus *bus, unsigned queues,
                              bool inserts_csum);
void driver_halt(struct driver *driver);

/* Queues frames and rings the doorbell once; returns how many the ring had room for. */
unsigned driver_send(struct driver *driver, unsigned queue, const struct driver_frame frame[],
                     unsigned count);

/* Takes every completion of every queue, returns the buffers, and rings each doorbell at most once. */
void driver_poll(struct driver *driver, uint32_t awaited_len, struct driver_harvest *harvest);

#endif
