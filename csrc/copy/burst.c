/* burst.c: plain copies of a channel in a row, when nothing watches and no piece is held back. */
#include "copy/burst.h"

#include "base/bits.h"
#include "copy/channel.h"
#include "copy/step.h"
#include "copy/transfer.h"

/* What makes a descriptor anything but a plain copy. */
#define W0_RESERVED 0x00FFF80000000000ull
#define NOT_PLAIN                                                                                            \
    (COPY_DESCRIPTOR_NULL_MASK | COPY_DESCRIPTOR_SRC_BRK_MASK | COPY_DESCRIPTOR_DST_BRK_MASK                 \
     | COPY_DESCRIPTOR_OP_MASK | W0_RESERVED)

enum {
    TRAIN_MOST = 16,
    LONG_LEAST = 2048 /* bytes of a copy that gains nothing from a train */
};

/* Memory in one piece, around where DMA last hit. Good while nothing watches and the memory map stays. */
struct stretch {
    uint64_t iova, room; /* bytes behind the first */
    uint8_t *host;
};

struct reach {
    struct stretch descriptor, source, destination;
};

/* One copy, both ends found. */
struct errand {
    uint8_t *to;
    const uint8_t *from;
    uint32_t len;
};

/* How far a burst came. */
struct progress {
    uint64_t steps, bytes;
    uint64_t last, next; /* bus addresses: of the last descriptor, and of what follows */
    const uint8_t *at;   /* the last one in the host's memory */
    uint32_t descriptors;
};

/* Descriptors that follow each other, read before any of them is carried out. */
struct train {
    struct errand errand[TRAIN_MOST];
    uint32_t count;
    uintptr_t low, high; /* where in the host's memory they lie */
};

struct limits {
    uint64_t steps, bytes;
    uint32_t descriptors;
};

/* --- memory */

__attribute__((noinline)) static uint8_t *stretch_seek(struct stretch *s, struct vnic_copy *copy,
                                                       struct dma_hint *hint, uint64_t addr, uint32_t len,
                                                       unsigned permissions)
{
    uint8_t *host = dma_direct(&copy->pci, hint, addr, len, permissions);
    if (host != NULL) {
        *s = (struct stretch){.iova = hint->iova, .room = hint->last - hint->iova, .host = hint->host};
    }
    return host;
}

/* len is not 0. */
static inline uint8_t *stretch_at(struct stretch *s, struct vnic_copy *copy, struct dma_hint *hint,
                                  uint64_t addr, uint32_t len, unsigned permissions)
{
    const uint64_t offset = addr - s->iova;
    const bool is_here = s->host != NULL && offset <= s->room && len - 1 <= s->room - offset;
    return __builtin_expect(is_here, 1) ? s->host + offset
                                        : stretch_seek(s, copy, hint, addr, len, permissions);
}

/* --- a copy */

/* [DMA-21] Pieces of a copy: one more for each page boundary of either end. */
static inline uint32_t pieces_of(uint64_t from, uint64_t to, uint32_t len)
{
    const uint32_t a = (uint32_t)(from & (COPY_PAGE - 1)), b = (uint32_t)(to & (COPY_PAGE - 1));
    const uint64_t reads = ((uint64_t)a + len - 1) / COPY_PAGE, writes = ((uint64_t)b + len - 1) / COPY_PAGE;
    return 1 + (uint32_t)(a == b ? reads : reads + writes);
}

/* In one go only where no piece writes what a later one reads. */
static inline bool is_apart(const struct errand *e)
{
    return (uintptr_t)e->to - (uintptr_t)e->from >= e->len;
}

/* Finds the two ends; false: not a plain copy within the limits of size, or not in memory that is there. */
static inline bool errand_find(struct vnic_copy *copy, unsigned n, struct reach *r,
                               const uint64_t word[COPY_WORDS], struct errand *e)
{
    struct channel_hints *hint = &copy->scratch.hint[n];
    e->len = descriptor_size(word);
    if ((word[0] & NOT_PLAIN) != 0 || e->len - 1 >= 1u << copy->config.transfer_log2) {
        return false;
    }
    e->to = stretch_at(&r->destination, copy, &hint->destination, copy_descriptor_dst(word), e->len,
                       VNIC_MAP_WRITE);
    e->from = stretch_at(&r->source, copy, &hint->source, copy_descriptor_src(word), e->len, VNIC_MAP_READ);
    return e->to != NULL && e->from != NULL;
}

/* Goes on behind a copy; false: the limits end before it, or it must be taken piece by piece. */
static inline bool progress_add(struct progress *p, const struct limits *max, const uint8_t *at,
                                const uint64_t word[COPY_WORDS], const struct errand *e)
{
    const uint32_t pieces = pieces_of(copy_descriptor_src(word), copy_descriptor_dst(word), e->len);
    const uint64_t steps = p->steps + 1 + pieces;
    const uint64_t bytes = p->bytes + COPY_DESCRIPTOR_BYTES + 2 * (uint64_t)e->len;
    if (steps > max->steps || bytes > max->bytes || (pieces != 1 && !is_apart(e))) {
        return false;
    }
    *p = (struct progress){steps, bytes, p->next, copy_descriptor_next(word), at, p->descriptors + 1};
    return true;
}

/* Where the next descriptor is in the host's memory; NULL: not to be read in a burst. */
static inline const uint8_t *progress_next(struct vnic_copy *copy, unsigned n, struct reach *r,
                                           const struct progress *p)
{
    const uint8_t *at = stretch_at(&r->descriptor, copy, &copy->scratch.hint[n].descriptor, p->next,
                                   COPY_DESCRIPTOR_BYTES, VNIC_MAP_READ);
    return (p->next & (COPY_DESCRIPTOR_BYTES - 1)) == 0 ? at : NULL;
}

static inline bool word_is_reporting(uint64_t control)
{
    return (control & (COPY_DESCRIPTOR_COMPL_WRITE_MASK | COPY_DESCRIPTOR_INT_EN_MASK)) != 0;
}

static inline bool is_reporting(const struct progress *p)
{
    return word_is_reporting(le64_load(p->at));
}

/* --- a train */

/* Reads one more descriptor; false: it is not simple, and was not read. */
static inline bool train_add(struct vnic_copy *copy, unsigned n, struct reach *r, const struct limits *max,
                             struct progress *p, struct train *t)
{
    uint64_t word[COPY_WORDS];
    struct errand e;
    const uint8_t *at = progress_next(copy, n, r, p);
    if (at == NULL) {
        return false;
    }
    transfer_unpack(at, word);
    if (!errand_find(copy, n, r, word, &e) || !progress_add(p, max, at, word, &e)) {
        return false;
    }
    __builtin_prefetch(e.from);
    __builtin_prefetch(e.to, 1);
    t->errand[t->count++] = e;
    t->low = (uintptr_t)at < t->low ? (uintptr_t)at : t->low;
    t->high = (uintptr_t)at > t->high ? (uintptr_t)at : t->high;
    return true;
}

/* Up to the first that reports. */
static inline void train_gather(struct vnic_copy *copy, unsigned n, struct reach *r, const struct limits *max,
                                struct progress *p, struct train *t)
{
    const uint32_t most = bits_min32(TRAIN_MOST, max->descriptors - p->descriptors);
    t->count = 0;
    t->low = UINTPTR_MAX;
    t->high = 0;
    while (t->count < most && train_add(copy, n, r, max, p, t) && !is_reporting(p)) {
    }
}

/* [DMA-20] None is copied onto, for then it would have to be read after that. */
static inline bool train_is_sound(const struct train *t)
{
    const uintptr_t end = t->high + COPY_DESCRIPTOR_BYTES;
    bool is_sound = true;
    for (uint32_t i = 0; i < t->count; i++) {
        const uintptr_t to = (uintptr_t)t->errand[i].to;
        is_sound &= to >= end || to + t->errand[i].len <= t->low;
    }
    return is_sound;
}

static inline void train_carry_out(const struct vnic_copy *copy, const struct train *t)
{
    void (*move)(uint8_t *, const uint8_t *, size_t) = copy->scratch.ops->move;
    for (uint32_t i = 0; i < t->count; i++) {
        move(t->errand[i].to, t->errand[i].from, t->errand[i].len);
    }
}

static inline void train_take(struct vnic_copy *copy, unsigned n, struct reach *r, const struct limits *max,
                              struct progress *done)
{
    struct progress ahead = *done;
    struct train t;
    train_gather(copy, n, r, max, &ahead, &t);
    if (t.count != 0 && train_is_sound(&t)) {
        train_carry_out(copy, &t);
        *done = ahead;
    }
}

/* --- long ones, each carried out as it is read: what is not stored on the way need not wait behind the stores of the
 * copy before, so that the processor reads the next descriptor while those drain */

/* [DMA-20] As train_is_sound(), of the copy itself. */
static inline bool is_onto(const struct errand *e, const uint8_t *at)
{
    const uintptr_t to = (uintptr_t)e->to, end = (uintptr_t)at + COPY_DESCRIPTOR_BYTES;
    return to < end && to + e->len > (uintptr_t)at;
}

/* false: it was not taken, or it is the last because it reports. */
static inline bool long_take(struct vnic_copy *copy, unsigned n, struct reach *r, const struct limits *max,
                             struct progress *p, void (*move)(uint8_t *, const uint8_t *, size_t))
{
    uint64_t word[COPY_WORDS];
    struct errand e;
    const uint8_t *at = progress_next(copy, n, r, p);
    if (at == NULL) {
        return false;
    }
    transfer_unpack(at, word);
    if (descriptor_size(word) < LONG_LEAST || !errand_find(copy, n, r, word, &e) || is_onto(&e, at)
        || !progress_add(p, max, at, word, &e)) {
        return false;
    }
    move(e.to, e.from, e.len);
    return !word_is_reporting(word[0]);
}

__attribute__((noinline)) static void longs_take(struct vnic_copy *copy, unsigned n, struct reach *r,
                                                 const struct limits *max, struct progress *done)
{
    void (*move)(uint8_t *, const uint8_t *, size_t) = copy->scratch.ops->move;
    struct progress p = *done;
    while (p.descriptors < max->descriptors && long_take(copy, n, r, max, &p, move)) {
    }
    *done = p;
}

/* A guess: whoever takes it reads it himself. */
static inline bool is_long_next(struct vnic_copy *copy, unsigned n, struct reach *r, const struct progress *p)
{
    const uint8_t *at = progress_next(copy, n, r, p);
    return at != NULL && le32_load(at) >= LONG_LEAST;
}

/* --- plain copies */

/* Where single steps would have left the channel. */
static void progress_arrive(const struct progress *p, struct vnic_copy *copy, unsigned n)
{
    struct channel *ch = &copy->state.channel[n];
    transfer_unpack(p->at, ch->word);
    ch->is_first = false;
    ch->next = p->next;
    ch->current = p->last;
    ch->processed = (uint16_t)(ch->processed + p->descriptors - 1);
    ch->moved = descriptor_size(ch->word);
    ch->report = descriptor_report(ch->word);
    step_end_moving(copy, n);
}

static uint64_t burst_copies(struct vnic_copy *copy, unsigned n, uint64_t max_steps, uint64_t max_bytes,
                             uint64_t *bytes)
{
    const struct limits max = {max_steps, max_bytes, channel_left(copy, n)};
    struct reach reach = {0};
    struct progress done = {.next = copy->state.channel[n].next};
    uint32_t before;
    do {
        before = done.descriptors;
        if (is_long_next(copy, n, &reach, &done)) {
            longs_take(copy, n, &reach, &max, &done);
        } else {
            train_take(copy, n, &reach, &max, &done);
        }
    } while (done.descriptors != before && done.descriptors < max.descriptors && !is_reporting(&done));
    if (done.descriptors != 0) {
        progress_arrive(&done, copy, n);
    }
    *bytes = done.bytes;
    return done.steps;
}

/* --- pieces of the descriptor at hand */

static uint64_t burst_pieces(struct vnic_copy *copy, unsigned n, uint64_t max_steps, uint64_t max_bytes,
                             uint64_t *bytes)
{
    struct channel *ch = &copy->state.channel[n];
    const uint32_t size = descriptor_size(ch->word);
    uint64_t steps = 0;
    while (steps < max_steps && ch->moved < size) {
        const struct piece p = descriptor_piece(ch->word, ch->moved);
        const uint64_t more = descriptor_is_fill(ch->word) ? p.len : 2 * (uint64_t)p.len;
        if (more > max_bytes - *bytes || !transfer_move_direct(copy, n, &p)) {
            return steps;
        }
        ch->moved += p.len;
        *bytes += more;
        steps++;
    }
    if (steps != 0 && ch->moved == size) {
        step_end_moving(copy, n);
    }
    return steps;
}

/* --- either */

static bool burst_may_start(const struct vnic_copy *copy, const struct channel *ch)
{
    return copy->pci.is_direct && copy->held == NULL && ch->status == CHAN_STATUS_ACTIVE && !ch->must_reread;
}

uint64_t burst_take(struct vnic_copy *copy, unsigned n, uint64_t max_steps, uint64_t max_bytes,
                    uint64_t *bytes)
{
    const struct channel *ch = &copy->state.channel[n];
    *bytes = 0;
    if (!burst_may_start(copy, ch)) {
        return 0;
    }
    switch (ch->phase) {
    case CHANNEL_BETWEEN:
        return burst_copies(copy, n, max_steps, max_bytes, bytes);
    case CHANNEL_MOVING:
        return burst_pieces(copy, n, max_steps, max_bytes, bytes);
    default:
        return 0;
    }
}
