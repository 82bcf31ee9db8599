/* fuzz_card.c: libFuzzer target: hostile programs on a card of the default shape, whose DMA the program answers. */
#include <stdio.h>
#include <stdlib.h>

#include "answers.h"
#include "counters.h"
#include "input.h"
#include "see.h"
#include "world.h"

/* Of an input, in all. Longer runs are what `twins` is for: here, two short inputs see more than one. */
#define STEPS_MOST 256u /* one by one */
#define RUNS_MOST 64u /* steps of runs */
#define BYTES_MOST 32768u
#define FAULTS 8
#define LOOKS 64u /* every so many inputs the card is held against a fresh one */
#define FLAG_UP 1u /* starts from a card that is brought up, as JUDGE_UP */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
    vnic *card;
    struct answers answers;
    struct vnic_op up[OPLANG_OPS_MAX]; /* registers of a bring-up */
    uint32_t up_count;
    uint8_t *fresh; /* snapshot */
    size_t fresh_len;
    uint64_t fresh_hash;
    uint64_t steps, ran, bytes; /* of the input: steps one by one, and of runs; what they moved */
    uint32_t armed; /* faults, as bits */
    const char *wrong;
    uint64_t inputs, ops, reads, writes; /* of all inputs */
};

static struct bench bench;

/* ---- life ---- */

static void figures_print(void)
{
    const double n = bench.inputs != 0 ? (double)bench.inputs : 1;
    fprintf(stderr, "an input has %.1f operations and %.1f DMA reads and %.1f DMA writes\n",
            (double)bench.ops / n, (double)bench.reads / n, (double)bench.writes / n);
}

/* An access of the bring-up is left out when it writes what is there. */
static bool up_changes(struct bench *b, const struct vnic_op *op)
{
    struct vnic_op copy = *op;
    const uint64_t before = vnic_state_hash(b->card);
    (void)vnic_batch(b->card, &copy, 1, NULL, 0);
    return vnic_state_hash(b->card) != before;
}

/* What the bring-up puts into memory answers for good; its register accesses are done for each input. */
static void up_make(struct bench *b)
{
    static struct oplang_program up;
    bring_up_append(&up);
    for (uint32_t i = 0; i < up.count; i++) {
        const struct oplang_op *o = &up.op[i];
        if (o->op.code >= VNIC_OP_CODES) {
            answers_add(&b->answers, &o->op, up.bytes + o->data, o->data_len);
        } else if (up_changes(b, &o->op)) {
            b->up[b->up_count++] = o->op;
        }
    }
    answers_keep(&b->answers);
}

static void bench_make(struct bench *b)
{
    struct vnic_config config;
    vnic_config_init(&config);
    if (vnic_create(&config, &b->card) != VNIC_OK) {
        abort();
    }
    b->fresh_len = vnic_save(b->card, NULL, 0);
    b->fresh = malloc(b->fresh_len);
    if (b->fresh == NULL || vnic_save(b->card, b->fresh, b->fresh_len) != b->fresh_len) {
        abort();
    }
    b->fresh_hash = vnic_state_hash(b->card);
    vnic_set_unmapped(b->card, answers_give, &b->answers);
    up_make(b);
    if (getenv("VNIC_FUZZ_FIGURES") != NULL) {
        (void)atexit(figures_print);
    }
}

static void card_drain(struct bench *b)
{
    static struct vnic_interrupt interrupts[32];
    static struct vnic_frame frames[32];
    for (size_t n; (n = vnic_interrupts(b->card, interrupts, 32)) > 0;) {
        see_bytes(interrupts, n * sizeof interrupts[0]);
    }
    for (size_t n; (n = vnic_frames(b->card, frames, 32)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            see_bytes(frames[i].data, frames[i].len);
        }
        vnic_frames_release(b->card, n);
    }
}

static void faults_disarm(struct bench *b)
{
    for (int id = 0; b->armed != 0; id++, b->armed >>= 1) {
        if (b->armed & 1) {
            (void)vnic_fault_disarm(b->card, id);
        }
    }
}

/* Only loading takes time back; it is a reset of everything, too. */
static void card_reset(struct bench *b)
{
    if (vnic_now(b->card) == 0) {
        vnic_reset(b->card, VNIC_RESET_POWER);
    } else if (vnic_load(b->card, b->fresh, b->fresh_len) != VNIC_OK) {
        b->wrong = "a good snapshot is refused";
    }
}

/* As on the first day: a reset, and what it said, as that a line is low again, is taken. */
static void bench_begin(struct bench *b, bool is_up)
{
    faults_disarm(b);
    vnic_insert(b->card);
    vnic_set_link(b->card, 0); /* a change of it is an event, so before the reset */
    card_reset(b);
    card_drain(b);
    if (b->inputs++ % LOOKS == 0 && vnic_state_hash(b->card) != b->fresh_hash) {
        b->wrong = "a reset left something behind";
    }
    answers_forget(&b->answers);
    b->steps = b->ran = b->bytes = 0;
    if (is_up) {
        (void)vnic_batch(b->card, b->up, b->up_count, NULL, 0);
    }
}

/* ---- operations ---- */

static void bench_check(struct bench *b, bool is_so, const char *otherwise)
{
    if (!is_so && b->wrong == NULL) {
        b->wrong = otherwise;
    }
}

static void card_run(struct bench *b, uint64_t steps, uint64_t bytes)
{
    const uint64_t left = RUNS_MOST - b->ran, room = BYTES_MOST - b->bytes;
    const struct vnic_budget budget = {steps < left ? steps : left, bytes < room ? bytes : room};
    struct vnic_budget used;
    const uint32_t runnable = vnic_run(b->card, &budget, &used);
    bench_check(b, used.steps <= budget.steps && used.bytes <= budget.bytes, "a run exceeded its budget");
    bench_check(b, used.bytes <= used.steps * WORLD_STEP_BYTES, "a step moved more than it may");
    bench_check(b, runnable == vnic_runnable(b->card), "a run returned something else than what is runnable");
    bench_check(b, used.steps > 0 || budget.steps == 0 || budget.bytes < WORLD_STEP_BYTES || runnable == 0,
                "no progress");
    b->ran += used.steps;
    b->bytes += used.bytes;
}

static void card_step(struct bench *b, unsigned engine)
{
    uint64_t bytes = 0;
    const bool was_runnable = engine < VNIC_ENGINES && (vnic_runnable(b->card) >> engine & 1);
    if (b->steps == STEPS_MOST || BYTES_MOST - b->bytes < WORLD_STEP_BYTES) {
        return;
    }
    const int taken = vnic_step(b->card, engine, &bytes);
    bench_check(b, taken == was_runnable, "a step and what is runnable disagree");
    bench_check(b, bytes <= (taken ? WORLD_STEP_BYTES : 0), "a step moved more than it may");
    b->steps += (uint64_t)taken;
    b->bytes += bytes;
}

static void fault_arm(struct bench *b, const uint8_t *data, uint32_t len)
{
    struct vnic_fault fault = {0};
    memcpy(&fault, data, len < sizeof fault ? len : sizeof fault);
    const int id = vnic_fault_arm(b->card, &fault);
    if (id >= FAULTS) {
        (void)vnic_fault_disarm(b->card, id);
    } else if (id >= 0) {
        b->armed |= 1u << id;
    }
}

/* Nothing is mapped here, and snapshots are another target's. */
static void bench_apply(struct bench *b, const struct vnic_op *op, const uint8_t *data, uint32_t len)
{
    struct vnic_op copy = *op;
    switch (op->code) {
    case VNIC_OP_RUN:
        card_run(b, op->addr, op->value);
        break;
    case VNIC_OP_STEP:
        card_step(b, op->index);
        break;
    case VNIC_OP_DRAIN:
        card_drain(b);
        break;
    case OPLANG_POKE:
    case OPLANG_FILL:
        answers_add(&b->answers, op, data, len);
        break;
    case OPLANG_ARM:
        fault_arm(b, data, len);
        break;
    case OPLANG_DISARM:
        (void)vnic_fault_disarm(b->card, (int)(op->value % FAULTS));
        break;
    case VNIC_OP_RECEIVE:
        copy.addr = 0;
        copy.value = len < WORLD_FRAME_MAX ? len : WORLD_FRAME_MAX;
        /* fall through */
    default:
        if (op->code < VNIC_OP_CODES) {
            (void)vnic_batch(b->card, &copy, 1, data, len);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct oplang_program program;
    struct bench *b = &bench;
    if (b->card == NULL) {
        bench_make(b);
    }
    if (!oplang_decode(data, size, &program)) {
        return -1;
    }
    bench_begin(b, program.flags & FLAG_UP);
    counters_clear();
    for (uint32_t i = 0; i < program.count && b->wrong == NULL; i++) {
        const struct oplang_op *o = &program.op[i];
        bench_apply(b, &o->op, program.bytes + o->data, o->data_len);
    }
    card_drain(b);
    if (b->wrong != NULL) {
        fprintf(stderr, "card: %s\n", b->wrong);
        abort();
    }
    b->ops += program.count;
    b->reads += b->answers.reads;
    b->writes += b->answers.writes;
    return 0;
}
