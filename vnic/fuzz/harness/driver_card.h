/* driver_card.h: the card below the driver: its registers and rings, honest until the input tells it otherwise. */
#ifndef VNIC_DRIVER_CARD_H
#define VNIC_DRIVER_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "vnic/vnic_registers.h"

struct fuzz_world;

#define FUZZ_PAIRS 2u
#define FUZZ_CARD_WORDS (REG_MAP_BYTES / 4u)
#define FUZZ_CONFIG_WORDS 64u
#define FUZZ_LIES 8u

enum fuzz_twist { TWIST_SET, TWIST_XOR, TWIST_ADD, TWIST_ONES, TWISTS };

/* The next `left` reads of a word give something else. */
struct fuzz_lie {
    uint32_t offset, value, left;
    uint8_t twist;
};

/* The next `left` writes of a word are not heard. */
struct fuzz_deafness {
    uint32_t offset, left;
};

/* A ring as latched when it was started. */
struct fuzz_ring {
    bool is_running;
    uint8_t error, vector;
    uint32_t count, head, tail, buf_len;
    uint64_t base, taken; /* taken: entries since the start; its passes are GEN */
};

struct fuzz_pair {
    struct fuzz_ring rx, tx, cq;
};

#define FUZZ_FRAMES 1024u

/* Frames that the card has completed, by the sum of their bytes: what is indicated is one of them, once. */
struct fuzz_frames {
    uint64_t sum[FUZZ_FRAMES], part; /* part: of a frame that is not complete */
    uint32_t next, lost; /* lost: there were too many to remember */
};

struct fuzz_card {
    uint32_t reg[FUZZ_CARD_WORDS], config[FUZZ_CONFIG_WORDS], table[FUZZ_CONFIG_WORDS];
    struct fuzz_pair pair[FUZZ_PAIRS];
    uint64_t cause; /* INT_CAUSE */
    uint32_t waiting; /* vectors with a cause that is not raised yet */
    uint32_t link_mbps;
    bool is_gone;
    struct fuzz_frames frames;
    /* tricks */
    struct fuzz_lie lie[FUZZ_LIES];
    struct fuzz_deafness deaf[FUZZ_LIES];
    uint32_t lost_interrupts, corrupt_left, corrupt_word;
    uint64_t corrupt_bits;
    bool is_holding;
    bool
        has_lied; /* what the card was given may not be what it has, nor what it wrote what the driver finds */
    bool has_forged; /* it has made up completions of transmits */
    bool has_misbehaved; /* it, or the machine, has done what a sound one would not */
    bool is_eager; /* it fetches when the doorbell rings */
    uint32_t held; /* messages that are held */
};

/* Power-on: registers as they are then, rings stopped; nothing is hostile. */
void fuzz_card_power_on(struct fuzz_world *w);
uint64_t fuzz_card_read(struct fuzz_world *w, unsigned bar, uint64_t offset, unsigned width);
void fuzz_card_write(struct fuzz_world *w, unsigned bar, uint64_t offset, unsigned width, uint64_t value);
uint32_t fuzz_card_config_read(struct fuzz_world *w, uint32_t offset, unsigned width);
void fuzz_card_config_write(struct fuzz_world *w, uint32_t offset, unsigned width, uint32_t value);
/* Memory Space Enable and Bus Master Enable. */
bool fuzz_card_is_enabled(const struct fuzz_world *w);
bool fuzz_card_is_master(const struct fuzz_world *w);

/* A vector has a cause; what can be raised is raised. */
void fuzz_card_cause(struct fuzz_world *w, uint32_t vector);
void fuzz_card_event(struct fuzz_world *w, uint32_t bits);
void fuzz_card_raise(struct fuzz_world *w);
void fuzz_card_message(struct fuzz_world *w, uint32_t message);
void fuzz_card_link(struct fuzz_world *w, uint32_t mbps);

/* driver_rings.c */
void fuzz_ring_write(struct fuzz_world *w, uint32_t pair, uint32_t offset, uint32_t value);
uint32_t fuzz_ring_read(const struct fuzz_world *w, uint32_t pair, uint32_t offset, uint32_t stored);
bool fuzz_ring_any_runs(const struct fuzz_card *card);
/* Entries that are the card's. */
uint32_t fuzz_ring_held(const struct fuzz_ring *ring);
/* Stops by itself. */
void fuzz_ring_fail(struct fuzz_world *w, struct fuzz_ring *ring, uint8_t error);
/* Bytes that the driver handed over by their bus address; NULL ends the ring, and is the driver's fault or a lie's. */
uint8_t *fuzz_ring_reach(struct fuzz_world *w, uint64_t addr, uint64_t len, bool is_write, const char *what);
/* The descriptor at an index; NULL: it cannot be read, and the ring is stopped. */
const uint64_t *fuzz_ring_fetch(struct fuzz_world *w, struct fuzz_ring *ring, uint32_t index,
                                const char *what);
/* Writes a completion where the driver looks next, with the generation that makes it new. */
void fuzz_ring_complete(struct fuzz_world *w, uint32_t pair, uint64_t words[4]);

/* driver_transfer.c */
/* One frame of a pair is sent, or received: false when there is nothing, or no room. */
bool fuzz_transfer_send(struct fuzz_world *w, uint32_t pair);
bool fuzz_transfer_receive(struct fuzz_world *w, uint32_t pair, const uint8_t *frame, uint32_t len);
/* An eager card fetches the newest receive descriptor at once, and looks where its buffer is. */
void fuzz_transfer_look(struct fuzz_world *w, uint32_t pair);
/* So many frames at most, of those that wait to be sent. */
void fuzz_transfer_work(struct fuzz_world *w, uint32_t most);
/* A piece of a frame is in a buffer; is_last: it is whole. */
void fuzz_transfer_note(struct fuzz_world *w, const uint8_t *bytes, uint32_t len, bool is_last);
/* FUZ-35: these are the bytes of a frame that the card completed, and of no other. */
void fuzz_transfer_match(struct fuzz_world *w, uint64_t sum);
uint64_t fuzz_transfer_sum(uint64_t sum, const uint8_t *bytes, uint32_t len);
#define FUZZ_SUM_BEGIN 0xCBF29CE484222325ull

/* driver_tricks.c: hostile acts; a, b and c are the input's. */
void fuzz_trick_lie(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c);
void fuzz_trick_deafen(struct fuzz_world *w, uint32_t a, uint32_t b);
void fuzz_trick_receive(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c);
void fuzz_trick_transmit(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c);
void fuzz_trick_corrupt(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c);
void fuzz_trick_scribble(struct fuzz_world *w, uint32_t a, uint32_t b, uint32_t c);
void fuzz_trick_stop(struct fuzz_world *w, uint32_t a, uint32_t b);
void fuzz_trick_hold(struct fuzz_world *w);
/* What a read gives instead of the truth; whether a write is heard. */
uint32_t fuzz_trick_answer(struct fuzz_card *card, uint32_t offset, uint32_t truth);
bool fuzz_trick_hears(struct fuzz_card *card, uint32_t offset);
/* Honest from now on; what was held comes. */
void fuzz_trick_reform(struct fuzz_world *w);

#endif
