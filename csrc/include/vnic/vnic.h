/* vnic.h: the card as a C library; this header is its manual, and the marked part is also what Python sees. */
#ifndef VNIC_VNIC_H
#define VNIC_VNIC_H

#include <stddef.h>
#include <stdint.h>

/* Defined by who builds the library into something of his own. */
#if !defined(VNIC_API) && defined(__GNUC__)
#define VNIC_API __attribute__((visibility("default")))
#elif !defined(VNIC_API)
#define VNIC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A card is a pure function of its ordered inputs: register and configuration accesses, the bytes that a DMA read
 * returned, frames, link changes, changes of the memory map, steps, time, reset and injected faults. It has no clock,
 * no thread and no randomness, never allocates after creation, and never calls back into a caller that is inside it.
 *
 * An access does no work: it marks work. vnic_step() takes one step of one engine (one bounded DMA, or one frame),
 * vnic_run() schedules steps within a budget. What the card says to the outside (interrupts, frames) is queued and
 * fetched with vnic_interrupts() and vnic_frames().
 *
 * A card is used by one thread at a time. Different cards share nothing.
 */

/* cdef begin */

typedef struct vnic vnic;

/* Results of calls that can fail. The caller's mistakes only: a guest's mistakes are status bits and counters. */
enum vnic_result {
    VNIC_OK = 0,
    VNIC_EINVAL = -1, /* an argument is out of range */
    VNIC_ENOMEM = -2, /* no memory at creation */
    VNIC_EOVERLAP = -3, /* the address range is mapped already */
    VNIC_ENOSPC = -4, /* a capacity given at creation is used up */
    VNIC_ENOENT = -5, /* no such mapping or fault */
    VNIC_ETIME = -6, /* time would go backwards */
    VNIC_EFORMAT = -7, /* not a snapshot, or cut short, or a field out of range */
    VNIC_EVERSION = -8, /* a snapshot of another version */
    VNIC_ECONFIG = -9 /* a snapshot of a card of another configuration */
};

struct vnic_config {
    uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
    uint8_t revision;
    uint8_t function; /* function number, carried by every event */
    uint8_t is_multifunction; /* its slot has other functions; a function above 0 is in such a slot */
    uint8_t queue_pairs; /* 1 to 32 */
    uint8_t vectors; /* 1 to 64 */
    uint8_t msi_capable_log2; /* messages MSI offers, log2, 0 to 5 */
    uint8_t mac[6];
    uint32_t max_frame; /* bytes without FCS, 1514 to 65535 */
    uint32_t rx_buffer_bytes; /* receive packet buffer, a power of two, >= 4 * max_frame */
    uint32_t tx_buffer_bytes; /* frames sent and not yet taken by the link, likewise */
    uint32_t map_regions; /* capacity of the memory map */
    uint32_t faults; /* capacity of the fault registry */
    /* TCP chimney; with connections 0 the card has none and the others are not looked at */
    uint32_t connections; /* at most 1 << 20 */
    uint32_t paths, neighbours; /* likewise */
    uint32_t chimney_work; /* pieces of sends and receives that the card holds, 16 to 1 << 24 */
    uint32_t chimney_nodes; /* runs of scoreboards and ranges out of order, at least 16 */
    uint32_t chimney_recoveries; /* connections in loss recovery at once */
    uint64_t chimney_bytes; /* of blocks for payload: out of order, or without a buffer; at least 64 KiB */
};

/* Access to the map of host memory. */
enum { VNIC_MAP_READ = 1, VNIC_MAP_WRITE = 2 };

/* Engines, in the order in which vnic_run() visits them. */
enum vnic_engine {
    VNIC_ENGINE_TEST = 0, /* bring-up DMA */
    VNIC_ENGINE_RX = 1,
    VNIC_ENGINE_TX = 2,
    VNIC_ENGINE_LSO = 3, /* segmentation of the large send at hand */
    VNIC_ENGINE_ADMIN = 4, /* chimney: commands */
    VNIC_ENGINE_SUBMIT = 5, /* chimney: submissions */
    VNIC_ENGINE_CHIMNEY = 6, /* chimney: timers, and segments to send */
    VNIC_ENGINE_REPORT = 7, /* chimney: data that waits for buffers, completions, events, fences */
    VNIC_ENGINE_IRQ = 8, /* raising of vectors that moderation held back */
    VNIC_ENGINES = 9
};

struct vnic_budget {
    uint64_t steps;
    uint64_t bytes; /* moved by DMA */
};

/* An interrupt that leaves the card. */
enum vnic_interrupt_kind { VNIC_INTX = 0, VNIC_MSI = 1, VNIC_MSIX = 2 };
struct vnic_interrupt {
    uint64_t addr; /* message address; 0 for INTx */
    uint32_t data; /* message data; for INTx 1 is assert, 0 is deassert */
    uint8_t kind;
    uint8_t vector; /* message number; 0 for INTx */
    uint8_t reserved[2];
};

/* A frame sent, still in the card's buffer: valid until vnic_frames_release(). */
struct vnic_frame {
    const uint8_t *data;
    uint32_t len;
    uint32_t queue;
};

/* Why a received frame was not taken at the door. Later drops are counted in the STAT registers. */
enum vnic_rx_verdict { VNIC_RX_TAKEN = 0, VNIC_RX_DROPPED = 1, VNIC_RX_FULL = 2 };

/* Reset levels a host can apply from outside. Queue, device and Function Level Reset are register writes. */
enum vnic_reset_level {
    VNIC_RESET_HOT = 0, /* conventional reset of the bus: as FLR, registers marked keep stay */
    VNIC_RESET_POWER = 1 /* power cycle: everything */
};

/* What a DMA transfer is for. */
enum vnic_dma_purpose {
    VNIC_DMA_DESCRIPTOR = 0,
    VNIC_DMA_DATA = 1,
    VNIC_DMA_HEADER = 2,
    VNIC_DMA_COMPLETION = 3,
    VNIC_DMA_TEST = 4,
    VNIC_DMA_STATE = 5, /* chimney: images of objects */
    VNIC_DMA_PURPOSES = 6
};

/* How a DMA transfer ended. */
enum vnic_dma_status {
    VNIC_DMA_OK = 0,
    VNIC_DMA_UNSUPPORTED = 1, /* unmapped, or the card's own BAR: Unsupported Request */
    VNIC_DMA_ABORTED = 2, /* no permission: Completer Abort */
    VNIC_DMA_POISONED = 3, /* poisoned data (injected) */
    VNIC_DMA_TIMEOUT = 4, /* no completion (injected) */
    VNIC_DMA_MASTER_OFF = 5 /* Bus Master Enable is clear; nothing was issued */
};

/* Inputs and outputs, in the order in which they happened. */
enum vnic_event_type {
    VNIC_EVENT_MMIO_READ = 1,
    VNIC_EVENT_MMIO_WRITE = 2,
    VNIC_EVENT_CFG_READ = 3,
    VNIC_EVENT_CFG_WRITE = 4,
    VNIC_EVENT_DMA_READ = 5, /* data: the bytes returned */
    VNIC_EVENT_DMA_WRITE = 6, /* data: the bytes written */
    VNIC_EVENT_INTERRUPT = 7, /* addr, value: of the message; index: vector; width: kind */
    VNIC_EVENT_FRAME_IN = 8, /* data: the frame; value: verdict; index, addr: enum vnic_frame_hash */
    VNIC_EVENT_FRAME_OUT = 9, /* data: the frame; index: queue */
    VNIC_EVENT_TIME = 10, /* value: new time */
    VNIC_EVENT_RUN = 11, /* addr: budget of steps, value: of bytes */
    VNIC_EVENT_STEP = 12, /* index: engine */
    VNIC_EVENT_LINK = 13, /* value: Mb/s, 0 down */
    VNIC_EVENT_MAP = 14, /* addr, value: length; width: permissions */
    VNIC_EVENT_UNMAP = 15, /* addr, value: length */
    VNIC_EVENT_RESET = 16, /* value: level */
    VNIC_EVENT_REMOVE = 17, /* value: 1 removed, 0 inserted */
    VNIC_EVENT_FAULT = 18, /* a fault fired; value: its id */
    VNIC_EVENT_ARM =
        19, /* a fault was armed (data: struct vnic_fault) or, without data, disarmed; value: its id */
    VNIC_EVENT_LOAD = 20, /* data: the snapshot that was loaded */
    VNIC_EVENT_TAKE = 21, /* interrupts were fetched; value: how many */
    VNIC_EVENT_RELEASE = 22, /* frames were given back; value: how many */
    /* of traces only */
    VNIC_EVENT_MARK = 30, /* data: text */
    VNIC_EVENT_HASH = 31 /* value: state hash */
};

/* Of a frame that was taken, as RSS is configured when it arrives: index is its queue pair, and addr its hash. */
enum vnic_frame_hash { VNIC_FRAME_HASHED_SHIFT = 32 /* bit of addr: there is a hash, in the bits below */ };

struct vnic_event {
    uint8_t type;
    uint8_t function;
    uint8_t index; /* BAR, vector, queue, engine or DMA purpose */
    uint8_t width; /* bytes of a register access; kind; permissions */
    uint32_t len; /* bytes at data */
    uint64_t time_ns;
    uint64_t addr;
    uint64_t value; /* for DMA: enum vnic_dma_status */
    const uint8_t *data; /* valid during the call */
};
typedef void (*vnic_observer)(void *opaque, const struct vnic_event *event);

/*
 * A fault: the (skip+1)th .. (skip+count)th match of what is named behaves as said. spec/faults.md has the table of the
 * actions that mean something at a site. What a fault keeps for later is outside the card, on the bus or the wire:
 * resets do not touch it; removal, a power cycle and loading a snapshot take it along; disarming lets it go at once.
 */
enum vnic_fault_site {
    VNIC_FAULT_DMA_READ = 0,
    VNIC_FAULT_DMA_WRITE = 1,
    VNIC_FAULT_INTERRUPT = 2,
    VNIC_FAULT_FRAME_IN = 3,
    VNIC_FAULT_FRAME_OUT = 4,
    VNIC_FAULT_MMIO_READ = 5,
    VNIC_FAULT_MMIO_WRITE = 6,
    VNIC_FAULT_TIMER = 7, /* index: enum vnic_fault_timer; range: vector, or connection */
    VNIC_FAULT_ADMIN = 8, /* a chimney command, once fetched; index: operation; range: kind of object */
    VNIC_FAULT_SITES = 9
};
enum vnic_fault_action {
    VNIC_FAULT_ERROR =
        0, /* DMA, commands: end with status `argument`; reads of registers: all ones; timers: early */
    VNIC_FAULT_DROP = 1, /* as if it had not been: the write, interrupt, frame, expiry, command is lost */
    VNIC_FAULT_CORRUPT = 2, /* the 8 bytes at offset `argument` (modulo length) are XORed with `mask` */
    VNIC_FAULT_DUPLICATE = 3, /* twice: the second `argument` ns later, 0: at once */
    VNIC_FAULT_DELAY = 4, /* `argument` ns later */
    VNIC_FAULT_REORDER = 5, /* behind the next `argument` matches */
    VNIC_FAULT_STUCK = 6, /* bits of `mask` are those of `argument`; byte 0 at `first`, repeated to `last` */
    VNIC_FAULT_REMOVE = 7, /* it does not happen: the card is gone, as after vnic_remove() */
    VNIC_FAULT_ACTIONS = 8
};
enum vnic_fault_timer {
    VNIC_FAULT_TIMER_MODERATION = 0, /* as the interval of a vector begins */
    VNIC_FAULT_TIMER_TCP = 1, /* as one of a connection of the chimney expires */
    VNIC_FAULT_TIMER_PUSH = 2,
    VNIC_FAULT_TIMERS = 3
};
/* Which occurrences are matches. */
enum vnic_fault_pick {
    VNIC_FAULT_PICK_ALL = 0, /* one_in and seed are 0 */
    VNIC_FAULT_PICK_CHANCE = 1, /* one in `one_in`, drawn from `seed` (splitmix64) */
    VNIC_FAULT_PICK_EVERY = 2 /* each `one_in`th; seed: how many went before, below one_in */
};
struct vnic_fault {
    uint8_t site, action;
    uint8_t index; /* DMA purpose, vector, queue or BAR; 0xFF any */
    uint8_t pick;
    uint32_t one_in;
    uint64_t first, last; /* bus address or register offset range, inclusive; frames: length range */
    uint64_t skip, count;
    uint64_t argument, mask;
    uint64_t seed;
};

/* One operation of a batch: register accesses, and everything else a test or a fuzzer does to a card. */
enum vnic_op_code {
    VNIC_OP_READ = 0, /* index: BAR; addr: offset; result in value */
    VNIC_OP_WRITE = 1,
    VNIC_OP_CFG_READ = 2,
    VNIC_OP_CFG_WRITE = 3,
    VNIC_OP_RUN = 4, /* addr: steps, value: bytes; steps taken in value */
    VNIC_OP_STEP = 5, /* index: engine; 1 in value when a step was taken */
    VNIC_OP_ADVANCE = 6, /* value: ns to add to the time */
    VNIC_OP_LINK = 7, /* value: Mb/s */
    VNIC_OP_RESET = 8, /* index: level */
    VNIC_OP_REMOVE = 9, /* value: 1 remove, 0 insert */
    VNIC_OP_RECEIVE =
        10, /* addr: offset, value: length in the data that came with the batch; verdict in value */
    VNIC_OP_DRAIN = 11, /* takes and forgets interrupts and frames; their number in value */
    VNIC_OP_CODES = 12
};
struct vnic_op {
    uint8_t code, index, width, reserved[5];
    uint64_t addr, value;
};

/* Life. A card is created in D0uninitialized state, link down, time 0, nothing mapped. */
VNIC_API void vnic_config_init(struct vnic_config *config);
VNIC_API int vnic_create(const struct vnic_config *config, vnic **card);
VNIC_API void vnic_destroy(vnic *card);
VNIC_API const char *vnic_strerror(int result);
VNIC_API size_t vnic_footprint(const vnic *card); /* bytes allocated */

/* Registers. width: 1, 2, 4 or 8. Any offset: an access is byte enables over 32-bit words, lowest first. */
VNIC_API uint64_t vnic_read(vnic *card, unsigned bar, uint64_t offset, unsigned width);
VNIC_API void vnic_write(vnic *card, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
VNIC_API uint32_t vnic_cfg_read(vnic *card, uint32_t offset, unsigned width);
VNIC_API void vnic_cfg_write(vnic *card, uint32_t offset, unsigned width, uint32_t value);
/* Runs ops in order; data, data_len: what VNIC_OP_RECEIVE refers to. Stops at an op that is none: returns how many ran. */
VNIC_API size_t vnic_batch(vnic *card, struct vnic_op *ops, size_t count, const uint8_t *data,
                           size_t data_len);

/* The map of host memory, 4 KiB granules. host: where the bytes are; it must outlive the mapping. */
VNIC_API int vnic_map(vnic *card, uint64_t iova, void *host, uint64_t len, unsigned permissions);
VNIC_API int vnic_unmap(vnic *card, uint64_t iova, uint64_t len);
VNIC_API void vnic_unmap_all(vnic *card);
/* Asked for what is not mapped; answers enum vnic_dma_status. NULL: such DMA ends in VNIC_DMA_UNSUPPORTED. */
typedef int (*vnic_unmapped)(void *opaque, uint64_t iova, uint8_t *bytes, uint32_t len, int is_write);
VNIC_API void vnic_set_unmapped(vnic *card, vnic_unmapped answer, void *opaque);

/* The link. speed_mbps 0: down. A frame: destination address to the last byte before the FCS, at most 65535 bytes. */
VNIC_API void vnic_set_link(vnic *card, uint32_t speed_mbps);
VNIC_API int vnic_receive(vnic *card, const uint8_t *frame, size_t len);
VNIC_API size_t vnic_frames(vnic *card, struct vnic_frame *frames, size_t max);
VNIC_API void vnic_frames_release(vnic *card, size_t count);
VNIC_API size_t vnic_interrupts(vnic *card, struct vnic_interrupt *interrupts, size_t max);

/* Time, in virtual ns since power-on. vnic_deadline: when moderation would next raise a vector; UINT64_MAX: never. */
VNIC_API int vnic_advance(vnic *card, uint64_t now_ns);
VNIC_API uint64_t vnic_now(const vnic *card);
VNIC_API uint64_t vnic_deadline(const vnic *card);

/* Work. Bit e of vnic_runnable: engine e could take a step. vnic_step: 1 if a step was taken; *bytes: moved by it.
 * vnic_run: never exceeds the budget in either unit; *used: what was taken. Ends when idle or when the budget is too
 * small for the next step; returns vnic_runnable(). vnic_idle_steps: an upper bound of the steps to idle from here. */
VNIC_API uint32_t vnic_runnable(const vnic *card);
VNIC_API int vnic_step(vnic *card, unsigned engine, uint64_t *bytes);
VNIC_API uint32_t vnic_run(vnic *card, const struct vnic_budget *budget, struct vnic_budget *used);
VNIC_API uint64_t vnic_idle_steps(const vnic *card);

/* Reset from outside, surprise removal (reads all ones, nothing moves) and return (as after a power cycle). */
VNIC_API void vnic_reset(vnic *card, unsigned level);
VNIC_API void vnic_remove(vnic *card);
VNIC_API void vnic_insert(vnic *card);

/* Snapshot of the whole state, work pending included; mappings, observer and faults are the host's and not in it.
 * vnic_save returns the size; it writes only when that fits. A card that refuses to load is as after a power cycle. */
VNIC_API size_t vnic_save(vnic *card, uint8_t *buf, size_t capacity);
VNIC_API int vnic_load(vnic *card, const uint8_t *buf, size_t len);
VNIC_API uint64_t vnic_state_hash(vnic *card); /* FNV-1a 64 over that encoding */

/* Observation and faults. mask: bit t for event type t. An observer must not call the card. */
VNIC_API void vnic_observe(vnic *card, vnic_observer observer, void *opaque, uint32_t mask);
/* Tells the observer of what stands: VNIC_EVENT_MAP of each mapping, VNIC_EVENT_ARM of each fault, as far as it is left. */
VNIC_API void vnic_retell(vnic *card);
VNIC_API int vnic_fault_arm(vnic *card, const struct vnic_fault *fault); /* id >= 0, or an enum vnic_result */
VNIC_API int vnic_fault_disarm(vnic *card, int id);
VNIC_API int64_t vnic_fault_fired(const vnic *card, int id); /* how often; or an enum vnic_result */
/* Writes, interrupts, frames and commands that faults keep for later. vnic_retell() cannot tell of them. */
VNIC_API uint32_t vnic_fault_kept(const vnic *card);

/* Names, for traces and messages. NULL when there is none. */
VNIC_API const char *vnic_register_name(unsigned bar, uint64_t offset);
VNIC_API uint64_t vnic_register_map_hash(void);

/* cdef end */

/* What version 1 of struct vnic_fault had; events and traces leave out what is behind it while that is 0. */
#define VNIC_FAULT_BYTES_1 56u

#ifdef __cplusplus
}
#endif
#endif
