/* card.h: the card: what is constant, what is state, what is derived. */
#ifndef VNIC_NIC_CARD_H
#define VNIC_NIC_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "gen/descriptors.h"
#include "gen/vnic_bar0.h"
#include "nic/packet_buffer.h"
#include "nic/ring.h"
#include "nic/statistics.h"
#include "pci/dma.h"
#include "pci/function.h"
#include "vnic/vnic.h"
#include "wire/checksum.h"
#include "wire/segment.h"
#include "wire/toeplitz.h"

#define CARD_PAIRS_MAX REG_QP_COUNT
#define CARD_VECTORS_MAX REG_VEC_COUNT
#define CARD_RSS_ENTRIES 128u
#define CARD_RSS_KEY_BYTES 40u
#define CARD_BAR0_BYTES 65536u
#define CARD_BAR2_BYTES 8192u

#define RX_CACHE 32u         /* descriptors held a receive ring, and the most fetched in one step */
#define TX_CACHE 128u        /* descriptors held a transmit ring: the most a frame may have */
#define TX_FETCH 32u         /* the most fetched in one step */
#define TX_QUANTUM 16384     /* bytes a transmit ring may send in its turn */
#define TX_DEBT_MAX (1 << 22) /* more than the largest large send with its headers can overdraw */
#define TX_LSO_MAX 262144u   /* bytes of a large send, headers included */
#define TX_MSS_MIN 64u
#define TX_HEADER_MAX 256u   /* bytes of headers of a large send */
#define FRAME_MIN 14u
#define TX_PAD_TO 60u
#define TX_STAGE_OFFSET 64u  /* a frame is built here in the stage: a tag goes before it */
#define VLAN_TAG_BYTES 4u
#define TEST_CHUNK 4096u
#define TEST_LEN_MAX 65536u
#define RUN_TURN 64u         /* steps an engine may take in its turn */

struct completion_ring {
    struct ring ring;
    uint32_t reserved; /* slots promised to work in progress */
    uint8_t vector;
};

struct rx_ring {
    struct ring ring;
    uint32_t buf_len, hdr_len;
    uint32_t cached; /* descriptors from ring.head on that are in desc[] at their count modulo RX_CACHE */
    uint64_t frames, bytes, drops;
    uint64_t desc[RX_CACHE][RX_DESC_WORDS];
};

struct tx_ring {
    struct ring ring;
    uint32_t cached;   /* descriptors from ring.head on that are in desc[] at their count modulo TX_CACHE */
    uint32_t ends;     /* how many of them have EOP */
    int32_t credit;    /* deficit round robin, bytes */
    bool is_skipping;  /* the end of a frame of too many descriptors has not come yet */
    uint32_t skip_first; /* ring.head at that frame's first descriptor */
    uint64_t frames, bytes;
    uint64_t desc[TX_CACHE][TX_DATA_WORDS];
};

struct queue_pair {
    struct rx_ring rx;
    struct tx_ring tx;
    struct completion_ring cq;
};

/* The frame at the front of the receive buffer, while it is being delivered. */
struct rx_frame {
    bool is_active;
    bool is_first;        /* no buffer used yet */
    uint8_t pair;
    uint32_t offset;      /* bytes delivered */
    uint32_t hdr_len;     /* bytes that go to the header buffer */
    uint32_t reserved;    /* completion slots still reserved */
    uint64_t words[3];    /* of its completions, as far as they are the same */
};

/* The frame that the transmit engine builds. */
enum tx_phase { TX_PHASE_NONE, TX_PHASE_GATHER, TX_PHASE_READY, TX_PHASE_SEGMENT };
struct tx_frame {
    uint8_t phase;
    uint8_t pair;
    bool has_context;
    bool wants_report;
    uint64_t context[TX_CONTEXT_WORDS];
    uint32_t first;          /* ring.head at its first descriptor */
    uint32_t descriptors;    /* of the frame, context included */
    uint32_t at, at_offset;  /* descriptor being read, counted from first, and bytes read of it */
    uint32_t total;          /* bytes that the descriptors hold */
    uint32_t taken;          /* of these, read */
    uint32_t filled;         /* bytes in the stage */
    uint32_t segment;        /* large send: number of the one being built */
    uint32_t sent_frames, sent_bytes;
    uint8_t header[TX_HEADER_MAX];
};

struct vector {
    uint64_t next_ns; /* not raised before */
    uint32_t causes, raised;
};

struct test_block {
    bool is_busy;
    uint8_t op, result;
    uint32_t at, len, pattern;
    uint64_t dst, src;
};

struct rss {
    bool is_active, is_refused;
    uint8_t table_log2, default_queue;
    uint16_t generation;
    uint32_t types;
    uint8_t table[CARD_RSS_ENTRIES];
    uint8_t key[CARD_RSS_KEY_BYTES];
};

struct card_state {
    uint32_t link_mbps;
    struct queue_pair pair[CARD_PAIRS_MAX];
    struct rx_frame rx;
    struct tx_frame tx;
    uint8_t tx_turn;         /* transmit ring whose turn it is */
    bool tx_turn_open;       /* it has had its quantum */
    struct vector vector[CARD_VECTORS_MAX];
    uint64_t vector_pending, vector_enabled, cause;
    uint8_t vector_turn;     /* where the search for the next vector to raise starts */
    struct test_block test;
    struct rss rss;
    uint8_t run_engine;      /* whose turn it is in vnic_run */
    uint8_t run_steps;       /* steps taken in this turn */
    uint64_t stat[STATS];
};

/* Where DMA last hit, a use. */
struct pair_hints {
    struct dma_hint rx_ring, rx_data, rx_header, tx_ring, tx_data, completion;
};

/* Plain frames: untagged, no options, extension headers or fragments. */
enum scale_kind { SCALE_TCP_IPV4, SCALE_UDP_IPV4, SCALE_TCP_IPV6, SCALE_UDP_IPV6, SCALE_KINDS };

/* What the active hash types make of a kind: the type, and how many bytes from the source address on are
 * hashed. */
struct scale_kind_rule {
    uint32_t type, len;
};

struct card_scratch {
    _Alignas(64) struct toeplitz toeplitz; /* of state.rss.key, when RSS is active */
    struct segment_plan plan;    /* of the large send being built, once its headers are read */
    struct scale_kind_rule kind_rule[SCALE_KINDS]; /* of state.rss.types */
    const struct csum_ops *csum;
    uint64_t vector_ripe;        /* bit v: now >= vector[v].next_ns */
    uint32_t tx_ready;           /* bit q: transmit ring q may have something to do */
    struct pair_hints hint[CARD_PAIRS_MAX];
    struct dma_hint test_hint[2];
};

struct vnic {
    struct vnic_config config;
    struct pci_function pci;
    struct regfile regs;
    struct card_state state;
    struct packet_buffer rx_buffer, tx_buffer;
    struct chimney *chimney;
    uint8_t *stage;     /* the frame being built for transmit */
    uint8_t *test_chunk;
    struct card_scratch scratch;
};

/* A frame being built has room for a tag before it and padding behind. */
static inline uint32_t card_stage_bytes(const struct vnic *card)
{
    return TX_STAGE_OFFSET + TX_HEADER_MAX + card->config.max_frame + TX_PAD_TO;
}

static inline void card_count(struct vnic *card, unsigned counter)
{
    card->state.stat[counter]++;
}

static inline void card_count_guest_error(struct vnic *card)
{
    card->state.stat[STAT(GUEST_ERRORS)]++;
}

static inline uint32_t card_reg(const struct vnic *card, uint32_t offset)
{
    return regfile_get(&card->regs, offset);
}

static inline bool card_is_set(const struct vnic *card, uint32_t offset, uint32_t mask)
{
    return (regfile_get(&card->regs, offset) & mask) != 0;
}

/* reset.c */
void card_reset_device(struct vnic *card);
extern const struct pci_ops card_pci_ops;
extern const struct regfile_ops card_register_ops;
/* api.c: a frame that a fault kept goes on its way. */
bool api_take_late(void *owner, enum vnic_fault_site site, unsigned pair, const uint8_t *frame, uint32_t len);
/* event.c: a bit of GLB_EVENT. */
void card_raise_event(struct vnic *card, uint32_t event);

#endif
