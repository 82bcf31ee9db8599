/* copy_judge.c: follows an engine from descriptor to descriptor by its DMA alone [DMA-20 to DMA-24, DMA-30]. */
#include "copy_judge.h"

#include <string.h>

#include "base/bytes.h"
#include "gen/descriptors.h"
#include "gen/enums.h"

enum { STATUS_BITS = 0x3F, STATUS_OF_ERROR = 3, STATUSES = 7 };

/* Part of a transfer that crosses no page. */
struct part {
    uint64_t from, to;
    uint32_t len;
};

void copy_judge_start(struct copy_judge *j)
{
    j->count = 0;
    j->is_blind = false;
    j->wrong = NULL;
}

static void accuse(struct copy_judge *j, const char *wrong)
{
    if (j->wrong == NULL) {
        j->wrong = wrong;
    }
}

/* ---- what a descriptor asks for ---- */

static bool is_fill(const struct fetched *f)
{
    return copy_descriptor_op(f->word) == COPY_OP_FILL;
}

static uint32_t page_left(uint64_t addr)
{
    return JUDGE_PAGE - (uint32_t)(addr % JUDGE_PAGE);
}

/* [DMA-22] */
static uint64_t place_of(uint64_t first, uint64_t next, bool is_broken, uint32_t at)
{
    const uint32_t here = page_left(first);

    return is_broken && at >= here ? next + (at - here) : first + at;
}

static struct part part_next(const struct fetched *f)
{
    struct part p = {
        .to = place_of(copy_descriptor_dst(f->word), copy_descriptor_next_dst(f->word),
                       copy_descriptor_dst_brk(f->word) != 0, f->moved),
        .len = (uint32_t)copy_descriptor_size(f->word) - f->moved,
    };

    p.len = p.len < page_left(p.to) ? p.len : page_left(p.to);
    if (!is_fill(f)) {
        p.from = place_of(copy_descriptor_src(f->word), copy_descriptor_next_src(f->word),
                          copy_descriptor_src_brk(f->word) != 0, f->moved);
        p.len = p.len < page_left(p.from) ? p.len : page_left(p.from);
    }
    return p;
}

/* [DMA-21] [DMA-24] may_be_any: of a piece that several had to read, it is not known which bytes are whose. */
static bool is_what_was_asked(const struct fetched *f, const uint8_t *bytes, uint32_t len, bool may_be_any)
{
    const uint64_t pattern = copy_descriptor_src(f->word);

    if (!is_fill(f)) {
        return f->has_read && ((may_be_any && f->is_shared) || memcmp(f->data, bytes, len) == 0);
    }
    for (uint32_t i = 0; i < len; i++) {
        if (bytes[i] != (uint8_t)(pattern >> 8 * ((f->moved + i) % 8))) {
            return false;
        }
    }
    return true;
}

/* ---- what the engine does ---- */

static void on_fetch(struct copy_judge *j, const struct vnic_event *event)
{
    struct fetched *f = &j->fetch[j->count % JUDGE_FETCHES];

    if (j->count >= JUDGE_FETCHES && f->is_live) {
        j->is_blind = true; /* whatever is still to come of it */
    }
    j->count++;
    f->at = event->addr;
    f->moved = 0;
    f->has_read = f->is_shared = false;
    for (unsigned i = 0; i < JUDGE_WORDS; i++) {
        f->word[i] = le64_load(event->data + 8 * (size_t)i);
    }
    const uint64_t op = copy_descriptor_op(f->word);
    f->is_live = (op == COPY_OP_COPY || op == COPY_OP_FILL) && copy_descriptor_null(f->word) == 0
                 && copy_descriptor_size(f->word) != 0;
}

static uint32_t kept(const struct copy_judge *j)
{
    return j->count < JUDGE_FETCHES ? j->count : JUDGE_FETCHES;
}

static bool reads_next(const struct fetched *f, const struct vnic_event *event)
{
    if (!f->is_live || is_fill(f)) {
        return false;
    }
    const struct part p = part_next(f);
    return p.from == event->addr && p.len == event->len;
}

/* Channels may have the same piece to read, at different times: then either's bytes will do. */
static void on_read(struct copy_judge *j, const struct vnic_event *event)
{
    uint32_t readers = 0;

    for (uint32_t i = 0; i < kept(j); i++) {
        readers += reads_next(&j->fetch[i], event);
    }
    for (uint32_t i = 0; i < kept(j) && readers != 0; i++) {
        struct fetched *f = &j->fetch[i];
        if (reads_next(f, event)) {
            memcpy(f->data, event->data, event->len);
            f->has_read = true;
            f->is_shared = readers > 1;
        }
    }
    if (readers == 0) {
        accuse(j, "data is read that no descriptor asks for");
    }
}

/* Whether a descriptor asked for these bytes there; it has them then. */
static bool is_written_for(struct copy_judge *j, const struct vnic_event *event, bool may_be_any)
{
    for (uint32_t n = 0; n < kept(j); n++) {
        struct fetched *f = &j->fetch[(j->count - 1 - n) % JUDGE_FETCHES];
        const struct part p = f->is_live ? part_next(f) : (struct part){0};
        if (f->is_live && p.to == event->addr && p.len == event->len
            && is_what_was_asked(f, event->data, event->len, may_be_any)) {
            f->moved += event->len;
            f->has_read = false;
            f->is_live = f->moved != (uint32_t)copy_descriptor_size(f->word);
            return true;
        }
    }
    return false;
}

/* Who asked for just these bytes comes before one whose bytes may be any: else that one is taken for done. */
static void on_write(struct copy_judge *j, const struct vnic_event *event)
{
    if (!is_written_for(j, event, false) && !is_written_for(j, event, true)) {
        accuse(j, "data is written that no descriptor asks for");
    }
}

/* [DMA-30] Of the descriptor that it names, which is done; of an error, whatever was done last. */
static void on_completion(struct copy_judge *j, const struct vnic_event *event)
{
    const uint64_t word = le64_load(event->data), status = word & STATUS_BITS & STATUSES;

    if (event->len != COPY_COMPLETION_BYTES) {
        accuse(j, "a completion of another length");
    }
    if (status == STATUS_OF_ERROR) {
        return;
    }
    for (uint32_t n = 0; n < kept(j); n++) {
        const struct fetched *f = &j->fetch[(j->count - 1 - n) % JUDGE_FETCHES];
        if (f->at == (word & ~(uint64_t)STATUS_BITS) && copy_descriptor_compl_write(f->word) != 0
            && !f->is_live) {
            return;
        }
    }
    accuse(j, "a completion of what did not ask for one, or is not done");
}

void copy_judge_event(struct copy_judge *j, const struct vnic_event *event)
{
    if (j->is_blind || j->wrong != NULL || event->value != VNIC_DMA_OK) {
        return;
    }
    if (event->index == VNIC_DMA_DESCRIPTOR) {
        on_fetch(j, event);
    } else if (event->index == VNIC_DMA_COMPLETION) {
        on_completion(j, event);
    } else if (event->type == VNIC_EVENT_DMA_READ) {
        on_read(j, event);
    } else {
        on_write(j, event);
    }
}
