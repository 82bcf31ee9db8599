/* judge.c: what holds for every program: budgets, bounds, guards, determinism, restoring, resets. */
#include "judge.h"

#include <stdlib.h>

static void judge_bring_up(struct world *w)
{
    static struct oplang_program up;
    if (up.count == 0) {
        bring_up_append(&up);
    }
    world_apply(w, &up, 0, up.count);
}

bool judge_create(struct judge *j)
{
    *j = (struct judge){.fresh = malloc(sizeof *j->fresh), .up = malloc(sizeof *j->up)};
    if (!j->fresh || !j->up || !world_create(&j->card) || !world_create(&j->twin)) {
        return false;
    }
    (void)world_keep(&j->card, j->fresh);
    judge_bring_up(&j->card);
    (void)world_keep(&j->card, j->up);
    return true;
}

void judge_destroy(struct judge *j)
{
    world_destroy(&j->card);
    world_destroy(&j->twin);
    free(j->fresh);
    free(j->up);
}

static void judge_begin(struct judge *j, struct world *w, const struct oplang_program *p, uint32_t split)
{
    world_begin(w, p->flags & JUDGE_UP ? j->up : j->fresh, p->flags & JUDGE_ANSWER, split);
}

static void judge_end(struct world *w)
{
    static struct oplang_program last;
    if (last.count == 0) {
        (void)oplang_append(&last, (struct vnic_op){.code = VNIC_OP_DRAIN}, NULL, 0);
    }
    (void)world_settle(w, WORLD_RUN_MAX);
    world_apply(w, &last, 0, 1);
}

/* What the card saves, another card's life, and loading: the same state, which is saved as the same bytes. */
static const char *judge_restore(struct judge *j, struct world *w)
{
    static uint8_t image[WORLD_SNAPSHOT_MAX], again[WORLD_SNAPSHOT_MAX];
    size_t len = vnic_save(w->card, image, sizeof image);
    j->kept += vnic_runnable(w->card) != 0;
    vnic_reset(w->card, VNIC_RESET_POWER);
    if (vnic_load(w->card, image, len) != VNIC_OK) {
        return "a snapshot that the card saved is refused";
    }
    if (vnic_save(w->card, again, sizeof again) != len || memcmp(image, again, len) != 0) {
        return "a restored card saves something else";
    }
    return NULL;
}

static const char *judge_twin(struct judge *j, const struct oplang_program *p)
{
    static const uint8_t splits[] = {1, 2, 3, 64};
    struct world *a = &j->card, *b = &j->twin;
    const char *wrong = NULL;
    uint32_t middle = p->count / 2;
    judge_begin(j, b, p, splits[p->flags / 8 % 4]);
    world_watch(b, p->flags & JUDGE_WATCH);
    world_apply(b, p, 0, middle);
    /* What a fault keeps for later is the host's: a power cycle drops it, and a snapshot does not have it. */
    if (p->flags & JUDGE_RESTORE && vnic_fault_kept(b->card) == 0) {
        wrong = judge_restore(j, b);
    }
    world_apply(b, p, middle, p->count);
    judge_end(b);
    world_watch(b, false);
    if (wrong || b->broken) {
        return wrong ? wrong : b->broken;
    }
    if (a->digest != b->digest) {
        return "the twin says something else";
    }
    if (vnic_state_hash(a->card) != vnic_state_hash(b->card)) {
        return "the twin is in another state";
    }
    return world_is_same_memory(a, b) ? NULL : "the twin wrote something else";
}

/* Whether BAR0 was decoded over the shadow all the time. */
static bool judge_is_shadowed(const struct oplang_program *p)
{
    bool is_shadowed = (p->flags & JUDGE_UP) != 0;
    for (uint32_t i = 0; i < p->count && is_shadowed; i++) {
        unsigned code = p->op[i].op.code;
        is_shadowed = code != VNIC_OP_CFG_WRITE && code != VNIC_OP_RESET && code != VNIC_OP_REMOVE
                      && code != OPLANG_TAMPER;
    }
    return is_shadowed;
}

static bool judge_is_shadow_clean(struct world *w)
{
    const uint8_t *shadow = world_memory(w, WORLD_SHADOW, WORLD_SHADOW_BYTES);
    bool is_clean = true;
    for (uint32_t i = 0; i < WORLD_SHADOW_BYTES; i++) {
        is_clean = is_clean && shadow[i] == 0;
    }
    return is_clean;
}

/* The host repairs what is its own, the card is reset, and then it must come up as on the first day. */
static const char *judge_level(struct world *w, enum bring_up_level level)
{
    world_host_repair(w);
    const char *wrong = bring_up_reset(w, level);
    if (wrong) {
        return w->broken ? w->broken : wrong;
    }
    judge_bring_up(w);
    wrong = bring_up_test(w);
    return w->broken ? w->broken : wrong;
}

const char *judge_program(struct judge *j, const struct oplang_program *p)
{
    struct world *w = &j->card;
    judge_begin(j, w, p, 0);
    world_apply(w, p, 0, p->count);
    judge_end(w);
    j->programs++;
    j->ops += p->count;
    j->steps += w->steps;
    const char *wrong = w->broken;
    if (!wrong && !world_is_intact(w)) {
        wrong = "memory was written that the card may not write";
    }
    if (!wrong && judge_is_shadowed(p) && !judge_is_shadow_clean(w)) {
        wrong = "memory behind the card's own BAR was written";
    }
    if (!wrong && !(p->flags & JUDGE_NO_TWIN)) {
        wrong = judge_twin(j, p);
    }
    return !wrong && p->flags & JUDGE_LEVEL ? judge_level(w, (enum bring_up_level)(w->digest % LEVELS))
                                            : wrong;
}

void judge_shrink(struct judge *j, struct oplang_program *p, const char *wrong)
{
    static struct oplang_program less;
    for (uint32_t n = p->count / 2; n > 0; n /= 2) {
        for (uint32_t at = 0; at + n <= p->count;) {
            less = *p;
            memmove(&less.op[at], &less.op[at + n], (less.count - at - n) * sizeof less.op[0]);
            less.count -= n;
            if (judge_program(j, &less) == wrong) {
                *p = less;
            } else {
                at += n;
            }
        }
    }
}
