/* tcp_world_handoff.c: connections saved and loaded, frozen and thawed, offloaded and taken back, at any moment. */
#include <string.h>

#include "tcp/handoff.h"
#include "tcp/offload_state.h"
#include "tcp_world.h"

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
    world_drop(w, slot);
    if (tcp_from_offload(w->engine, w->now_ns, &taker, &given, &taken) != TCP_OFFLOAD_OK) {
        return w->is_forged ? NULL : "an offloaded state that is not taken";
    }
    w->c[slot] = taken;
    (void)tcp_to_offload(w->engine, taken, w->now_ns, taker.ticks_per_second, &back);
    if (taker.profile == TCP_PROFILE_RFC && (given.Cached.Flags & TCP_CONNECTION_KEEP_ALIVE_ENABLED) == 0) {
        given.Delegated.KeepAlive = back.Delegated.KeepAlive; /* a host suspects no attack */
    }
    return w->is_forged || memcmp(&given.Delegated, &back.Delegated, sizeof given.Delegated) == 0
               ? NULL
               : "delegated state changed";
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
