/* tcp_world_handoff.c: connections saved and loaded, frozen and thawed, offloaded and taken back, at any moment. */
#include <stdlib.h>
#include <string.h>

#include "tcp/handoff.h"
#include "tcp/offload_state.h"
#include "tcp/state.h"
#include "tcp_world.h"
#include "wire/seq.h"

enum { FREEZE_MOST = 300 };

const char *world_reload(struct world *w, unsigned slot)
{
    const size_t size = tcp_image_size(w->engine, w->c[slot]);
    static uint8_t again[WORLD_IMAGE_BYTES];

    if (size > sizeof w->image) {
        return "an image larger than its nodes allow";
    }
    if (tcp_save(w->engine, w->c[slot], w->now_ns, w->image, sizeof w->image) != size) {
        return "an image of another size than announced";
    }
    world_drop(w, slot);
    if (tcp_load(w->engine, w->now_ns, w->image, size, &w->c[slot]) != TCP_LOAD_OK) {
        w->c[slot] = NULL;
        return w->is_forged ? NULL : "an image that is not taken back";
    }
    if (tcp_save(w->engine, w->c[slot], w->now_ns, again, sizeof again) != size
        || memcmp(again, w->image, size) != 0) {
        return "a loaded connection has another image";
    }
    return NULL;
}

/* What the user did to a frozen connection counts from the thaw on. */
static const char *freeze(struct world *w, unsigned slot)
{
    struct tcp_result result;
    struct tcp_segment out;

    tcp_thaw(w->engine, w->c[slot], w->now_ns, &result);
    for (unsigned n = 0; tcp_freeze(w->engine, w->c[slot], w->now_ns, &out); n++) {
        if (n > FREEZE_MOST) {
            return "never frozen";
        }
    }
    return NULL;
}

/* What the border carries, of which a taker may know less: what a host suspects; which bytes are lost, without nodes. */
static bool is_same_state(struct world *w, const struct tcp_offload_taker *taker, bool is_short_of_nodes,
                          const struct tcp_offload_state *given, const struct tcp_offload_state *back)
{
    struct tcp_offload_delegated wanted = given->Delegated;

    if (taker->profile == TCP_PROFILE_RFC && (given->Cached.Flags & TCP_CONNECTION_KEEP_ALIVE_ENABLED) == 0) {
        wanted.KeepAlive = back->Delegated.KeepAlive;
    }
    if (is_short_of_nodes && seq_lt(back->Delegated.SndNxt, wanted.SndNxt)) {
        wanted.SndNxt = back->Delegated.SndNxt; /* then more is sent again than is lost */
    }
    return w->is_forged || memcmp(&wanted, &back->Delegated, sizeof wanted) == 0;
}

/* To the other side and back again without a packet: what both sides know is the same (CH-16). */
static const char *offload_round(struct world *w, unsigned slot, uint32_t kind)
{
    static const uint32_t rates[] = {10, 100, 1000};
    const struct tcp_offload_taker taker = {
        .profile = kind & 1, .congestion = kind >> 1 & 1, .ticks_per_second = rates[(kind >> 2) % 3]};
    struct tcp_offload_state given, back;
    struct tcp_connection *taken = NULL;

    if (!tcp_may_offload(w->c[slot])) {
        return NULL;
    }
    (void)tcp_to_offload(w->engine, w->c[slot], w->now_ns, taker.ticks_per_second, &given);
    const uint64_t no_nodes = tcp_engine_statistics(w->engine)->no_nodes;
    world_drop(w, slot);
    if (tcp_from_offload(w->engine, w->now_ns, &taker, &given, &taken) != TCP_OFFLOAD_OK) {
        return w->is_forged ? NULL : "an offloaded state that is not taken";
    }
    w->c[slot] = taken;
    ledger_drop(&w->ledger[slot], taken);
    (void)tcp_to_offload(w->engine, taken, w->now_ns, taker.ticks_per_second, &back);
    const bool is_short_of_nodes = tcp_engine_statistics(w->engine)->no_nodes != no_nodes;
    return is_same_state(w, &taker, is_short_of_nodes, &given, &back) ? NULL : "delegated state changed";
}

const char *world_hand_off(struct world *w, unsigned slot, struct world_bytes *bytes)
{
    const uint32_t kind = world_take8(bytes);
    struct tcp_result result;
    const char *wrong;

    if (w->c[slot]->state == TCP_STATE_CLOSED) {
        return NULL;
    }
    if (kind < 128) {
        return world_reload(w, slot);
    }
    wrong = freeze(w, slot);
    if (wrong == NULL && kind >= 192) {
        return offload_round(w, slot, kind);
    }
    if ((kind & 1) == 0) {
        tcp_thaw(w->engine, w->c[slot], w->now_ns, &result);
    }
    return wrong;
}

/* -- a life in short ---------------------------------------------------------------------------------------- */

const char *world_exercise(struct world *w, unsigned slot)
{
    enum { PULL = 128, SEGMENT = 0, QUEUE = 18, READ = 21, RELOAD = 25, LATER = 28, SOON = 30 };
    static const uint8_t life[][12] = {
        {PULL | SEGMENT, 0, 0, 0, 255, 15}, /* an ACK of all that was sent */
        {PULL | QUEUE, 15, 0x40, 0}, /* the user writes */
        {PULL | SEGMENT, 8, 0, 0, 255, 0}, /* data in order */
        {PULL | SEGMENT, 8, 5, 1, 200, 0}, /* and beyond a gap */
        {PULL | SEGMENT, 72, 4, 1, 200, 0, 1, 9, 0}, /* a block of what came out of order there */
        {PULL | READ, 0x10, 0}, /* the user reads */
        {PULL | SOON, 45}, /* timers */
        {PULL | SEGMENT, 0, 0, 0, 1, 15},
        {PULL | LATER, 0, 72, 22},
        {RELOAD, 0}, /* once around a border */
        {PULL | LATER, 0, 200, 23}, /* seconds */
        {PULL | SEGMENT, 4, 0, 0, 255, 15}, /* a FIN */
        {PULL | LATER, 0, 200, 24},
    };
    const char *wrong = NULL;

    for (unsigned i = 0; i < sizeof life / sizeof life[0] && wrong == NULL && w->c[slot] != NULL; i++) {
        uint8_t act[sizeof life[0]];
        memcpy(act, life[i], sizeof act);
        act[0] |= (uint8_t)(slot << 5);
        struct world_bytes bytes = {act, sizeof act};
        wrong = world_step(w, &bytes);
    }
    return wrong;
}

/* ---- two lives ---- */

/* More than a timestamp lives (RFC 7323 5.5). */
#define SHIFT_MS (UINT64_C(1) << 31 | 12345)

/* The image in an engine of its own, as many milliseconds later, and what becomes of it. */
static const char *mirror_live(struct world *mirror, const struct world *w, const uint8_t *image, size_t size,
                               uint64_t shift_ms)
{
    memset(mirror, 0, sizeof *mirror);
    mirror->engine = tcp_engine_create(&w->engine->config);
    if (mirror->engine == NULL) {
        abort();
    }
    mirror->now_ns = w->now_ns + shift_ms * 1000000;
    if (tcp_load(mirror->engine, mirror->now_ns, image, size, &mirror->c[0]) != TCP_LOAD_OK) {
        mirror->c[0] = NULL;
        return "an image that is not taken by an engine with room";
    }
    return world_exercise(mirror, 0);
}

/* Times that mean nothing are anything: what counts is what they say, and whether they live. */
static bool is_same_life(const struct world *one, const struct world *other)
{
    return one->said == other->said && (one->c[0] == NULL) == (other->c[0] == NULL)
           && (one->c[0] == NULL || one->c[0]->state == other->c[0]->state);
}

const char *world_lives_alike(const struct world *w, const uint8_t *image, size_t size)
{
    static struct world early, late;
    const char *wrong;

    if (w->now_ns > UINT64_MAX / 4) {
        return NULL; /* where time ends, clocks do not differ only */
    }
    wrong = mirror_live(&early, w, image, size, 0);
    const char *other = mirror_live(&late, w, image, size, SHIFT_MS);
    wrong = wrong != NULL ? wrong : other;
    if (wrong == NULL && !is_same_life(&early, &late)) {
        wrong = "two lives of an image differ";
    }
    world_end(&early);
    world_end(&late);
    return wrong;
}
