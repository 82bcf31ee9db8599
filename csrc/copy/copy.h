/* copy.h: the copy engine: what is constant, what is state, what is derived. */
#ifndef VNIC_COPY_COPY_H
#define VNIC_COPY_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "copy/move.h"
#include "gen/copy_bar0.h"
#include "gen/descriptors.h"
#include "pci/dma.h"
#include "pci/function.h"
#include "vnic/vnic_copy.h"

#define COPY_BAR0_BYTES 0x4000u
#define COPY_MSIX_TABLE 0x2000u
#define COPY_MSIX_PBA 0x3000u
#define COPY_PAGE 4096u
#define COPY_SPANS 2             /* of the register map: general, channels */
#define COPY_TURN 16u            /* [DMA-51] steps a channel may take in its turn */
#define COPY_STEP_BYTES_MAX 8192u /* [DMA-50] */
#define COPY_WORDS 6u            /* of a descriptor that are looked at */

/* Where a channel stands with the descriptor at hand. */
enum channel_phase {
    CHANNEL_BETWEEN, /* there is none */
    CHANNEL_MOVING,
    CHANNEL_REPORTING /* it is processed, or an error halted the channel: completion or interrupt are due */
};

/* What takes effect when the descriptor at hand is finished. */
enum { CHANNEL_SUSPEND = 1, CHANNEL_NEW_CHAIN = 2 };

/* What a step in CHANNEL_REPORTING does. */
enum { REPORT_WRITE = 1, REPORT_INTERRUPT = 2 };

/* [DMA-27] A piece that was read and is not written yet, of the descriptor at `descriptor`. */
struct held_piece {
    uint64_t descriptor, to;
    uint32_t len;   /* 0: none */
    bool is_last;   /* of its descriptor, which is at hand no more */
    bool is_beyond; /* it would lie behind the end of the address space */
};

struct channel {
    uint64_t next;    /* where the next descriptor of the chain is */
    uint64_t current; /* the last one that was to be read */
    uint64_t last;    /* the last one that was processed */
    uint64_t word[COPY_WORDS]; /* of the descriptor at hand */
    uint32_t moved;   /* bytes of it */
    uint16_t processed; /* descriptors of the chain, modulo 2^16 */
    uint8_t status;   /* enum chan_status */
    uint8_t phase;
    uint8_t report;
    uint8_t change;
    bool is_first;    /* nothing of the chain was read yet */
    bool must_reread; /* [DMA-7] the last processed descriptor, for its NEXT */
    bool is_due;      /* an interrupt waits */
    uint64_t enabled_ns; /* when INT_DISABLE was last cleared */
    struct held_piece held;
};

struct copy_state {
    struct channel channel[VNIC_COPY_CHANNELS_MAX];
    uint8_t turn;       /* whose turn it is in vnic_copy_run */
    uint8_t turn_steps; /* steps taken in it */
};

/* Where DMA last hit, a use. */
struct channel_hints {
    struct dma_hint descriptor, source, destination, completion;
};

struct copy_scratch {
    const struct move_ops *ops;
    uint32_t ready; /* bit n: channel n has a step to take, once it may master the bus */
    struct channel_hints hint[VNIC_COPY_CHANNELS_MAX];
    uint8_t piece[COPY_PAGE];
};

struct vnic_copy {
    struct vnic_copy_config config;
    struct pci_function pci;
    struct regfile regs;
    struct reg_map map; /* as generated, with the channels that this engine has */
    struct reg_span span[COPY_SPANS];
    struct copy_state state;
    uint8_t *held; /* COPY_PAGE bytes a channel; NULL unless is_overlapping */
    struct copy_scratch scratch;
};

static inline uint32_t copy_channel_offset(uint32_t reg, unsigned n)
{
    return reg + n * COPY_CHAN_STRIDE;
}

static inline uint32_t copy_channel_reg(const struct vnic_copy *copy, uint32_t reg, unsigned n)
{
    return regfile_get(&copy->regs, copy_channel_offset(reg, n));
}

static inline void copy_set_channel_reg(struct vnic_copy *copy, uint32_t reg, unsigned n, uint32_t value)
{
    regfile_set(&copy->regs, copy_channel_offset(reg, n), value);
}

/* All that a step or an access can change of a channel's wish to go on, in one place. */
static inline bool channel_is_ready(const struct channel *ch)
{
    return ch->status == CHAN_STATUS_ACTIVE || ch->phase == CHANNEL_REPORTING;
}

static inline void copy_note_ready(struct vnic_copy *copy, unsigned n)
{
    const uint32_t bit = 1u << n;
    copy->scratch.ready &= ~bit;
    copy->scratch.ready |= channel_is_ready(&copy->state.channel[n]) ? bit : 0;
}

/* reset.c */
void copy_reset(struct vnic_copy *copy);
extern const struct pci_ops copy_pci_ops;
/* registers.c */
extern const struct regfile_ops copy_register_ops;

#endif
