/* fuzz_driver.c: the libFuzzer target: a driver in C that is linked in, under NDIS and on a card that may lie. */
#include <stdlib.h>
#include <string.h>

#include "driver_input.h"
#include "driver_tell.h"
#include "driver_world.h"

#define CONTEXT_MOST (64u << 20)
#define FRAME_MOST 9728u
#define PACKET_MOST 1518u
#define LONG_LISTS 8u /* more of them at once are short: their number is what they are about */
#define SHORT_MOST 128u

static struct fuzz_world world;

/* ---- the driver ---- */

#define IS_THERE(member) FUZZ_REQUIRE(table->member != NULL, "DRV-1", "entry point " #member " is NULL")

/* DRV-1. */
static const struct vnic_miniport *driver_load(void)
{
    const struct vnic_miniport *table = vnic_driver_entry(VNIC_DRIVER_ABI);
    FUZZ_REQUIRE(table != NULL, "DRV-1", "vnic_driver_entry(%d) returned NULL: it wants another ABI",
                 VNIC_DRIVER_ABI);
    FUZZ_REQUIRE(table->abi == VNIC_DRIVER_ABI && table->size >= sizeof *table, "DRV-1",
                 "a table of %u bytes, ABI %u", table->size, table->abi);
    FUZZ_REQUIRE(table->ndis_major == 6, "DRV-1", "written for NDIS %u, not 6.x", table->ndis_major);
    FUZZ_REQUIRE(table->context_bytes <= CONTEXT_MOST, "DRV-1", "context_bytes is above 64 MiB");
    IS_THERE(initialize_ex);
    IS_THERE(halt_ex);
    IS_THERE(pause);
    IS_THERE(restart);
    IS_THERE(send_net_buffer_lists);
    IS_THERE(return_net_buffer_lists);
    IS_THERE(oid_request);
    IS_THERE(reset_ex);
    IS_THERE(device_pnp_event_notify);
    IS_THERE(shutdown_ex);
    IS_THERE(interrupt);
    IS_THERE(interrupt_dpc);
    return table;
}

/* ---- traffic ---- */

/* To the adapter, to everybody, to a group, to somebody else; a body that its number tells apart. */
static uint32_t frame_make(const struct fuzz_world *w, uint8_t *out, uint32_t len, uint32_t number)
{
    static const uint8_t to[4][6] = {
        {0}, {255, 255, 255, 255, 255, 255}, {1, 0, 0x5E, 0, 0, 1}, {2, 9, 9, 9, 9, 9}};
    const uint32_t size = len < 14 ? 14 : len > FRAME_MOST ? FRAME_MOST : len;
    const uint32_t kind = number >> 8 & 7;
    memset(out, (int)number, size);
    memcpy(out, kind > 0 && kind < 4 ? to[kind] : w->adapter.mac, 6);
    return size;
}

/* As the filter of the card lets it in. */
static bool is_let_in(const struct fuzz_world *w, const uint8_t *frame, uint32_t len)
{
    const uint32_t ctrl = w->card.reg[REG_MAC_RX_CTRL / 4];
    if (!(ctrl & MAC_RX_CTRL_ENABLE_MASK) || len > w->card.reg[REG_MAC_RX_MAX / 4]) {
        return false;
    }
    if (ctrl & MAC_RX_CTRL_PROMISCUOUS_MASK) {
        return true;
    }
    if (frame[0] == 255) {
        return ctrl & MAC_RX_CTRL_BROADCAST_MASK;
    }
    return ctrl
           & (frame[0] & 1 ? MAC_RX_CTRL_MULTICAST_MASK | MAC_RX_CTRL_ALL_MULTICAST_MASK
                           : MAC_RX_CTRL_UNICAST_MASK);
}

static void arrive(struct fuzz_world *w, uint32_t count, uint32_t pair, uint32_t len, uint32_t number)
{
    static uint8_t frame[FRAME_MOST];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = frame_make(w, frame, len, number + i);
        const bool is_in = is_let_in(w, frame, size);
        FUZZ_REQUIRE(is_in || w->card.has_misbehaved || w->adapter.state != FUZZ_RUNNING
                         || size > w->adapter.mtu_size + 14 || !fuzz_receive_wants(w, frame),
                     "FUZ-36", "the card's filter keeps out what NDIS's lets in");
        if (is_in && !w->card.is_gone) {
            fuzz_transfer_receive(w, pair % FUZZ_PAIRS, frame, size);
        }
    }
}

static void send(struct fuzz_world *w, uint32_t lists, const struct fuzz_act *act)
{
    if (fuzz_life_is_up(w)) {
        const uint32_t most = lists > LONG_LISTS ? SHORT_MOST : PACKET_MOST;
        fuzz_send_submit(w, lists, 1 + act->b % most, act->c);
    }
}

/* ---- acts, by number: those of NDIS, and those of the card ---- */

static void act_traffic(struct fuzz_world *w, const struct fuzz_act *act)
{
    switch (act->code % ACTS) {
    case ACT_SETTLE:
        fuzz_life_settle(w);
        break;
    case ACT_WORK:
        fuzz_transfer_work(w, 1 + act->a % 16);
        break;
    case ACT_RUN:
        fuzz_processor_run(w, 1 + act->a % 4);
        break;
    case ACT_SEND:
        send(w, 1 + act->a % 3, act);
        break;
    case ACT_SEND_MANY:
        send(w, act->a, act);
        break;
    case ACT_CANCEL:
        if (fuzz_life_is_up(w)) {
            fuzz_send_cancel(w, act->a);
        }
        break;
    case ACT_ARRIVE:
        arrive(w, 1, act->a, act->b, act->c);
        break;
    case ACT_ARRIVE_MANY:
        arrive(w, act->a, act->c >> 16, act->b, act->c);
        break;
    case ACT_RETURN:
        if (fuzz_life_is_up(w)) {
            fuzz_receive_return(w, 1 + act->a, act->b & 1);
        }
        break;
    case ACT_KEEP:
        w->receives.keeps = !w->receives.keeps;
        break;
    case ACT_WAIT:
        fuzz_processor_wait(w, (uint64_t)act->c << (act->a & 7));
        break;
    default:
        w->cpu.race = 1 + act->b % 512;
        break;
    }
}

static void act_ndis(struct fuzz_world *w, const struct fuzz_act *act)
{
    switch (act->code % ACTS) {
    case ACT_QUERY:
        fuzz_oid_query(w, act->a, act->b);
        break;
    case ACT_SET:
        fuzz_oid_set(w, act->a, act->b, act->c);
        break;
    case ACT_CANCEL_REQUEST:
        fuzz_oid_cancel(w);
        break;
    case ACT_FILTER:
        fuzz_oid_set_filter(w, act->c);
        break;
    case ACT_PAUSE:
        fuzz_life_pause(w);
        break;
    case ACT_RESTART:
        fuzz_life_restart(w);
        break;
    case ACT_RESET:
        fuzz_life_reset(w);
        break;
    case ACT_CHECK_FOR_HANG:
        fuzz_life_check_for_hang(w);
        break;
    case ACT_HALT:
        fuzz_life_halt(w, NDIS_HALT_DISABLED);
        break;
    case ACT_INITIALIZE:
        fuzz_life_initialize(w);
        break;
    case ACT_SHUT_DOWN:
        fuzz_life_shut_down(w);
        break;
    default:
        w->memory.refusals = 1 + act->a % 8;
        break;
    }
}

static void act_insert(struct fuzz_world *w)
{
    if (w->card.is_gone) {
        fuzz_life_remove(w, true); /* who was not told is told now */
        const bool is_eager = w->card.is_eager, has_lied = w->card.has_lied;
        fuzz_card_power_on(w);
        w->card.is_eager = is_eager;
        w->card.has_lied = has_lied;
        w->card.has_misbehaved = true;
    }
}

static void act_card(struct fuzz_world *w, const struct fuzz_act *act)
{
    switch (act->code % ACTS) {
    case ACT_REMOVE:
        fuzz_life_remove(w, act->a & 1);
        break;
    case ACT_INSERT:
        act_insert(w);
        break;
    case ACT_LINK:
        fuzz_card_link(w, act->b);
        break;
    case ACT_EVENT:
        fuzz_card_event(w,
                        act->a & (w->options.is_bounded ? GLB_EVENT_LINK_MASK | GLB_EVENT_TEST_MASK : 0xFF));
        break;
    case ACT_STOP_RING:
        fuzz_trick_stop(w, act->a, act->b);
        break;
    case ACT_INTERRUPT:
        fuzz_card_message(w, act->a % (w->adapter.messages ? w->adapter.messages : FUZZ_MESSAGES));
        break;
    case ACT_LOSE_INTERRUPTS:
        w->card.lost_interrupts = 1 + act->a % 8;
        break;
    case ACT_HOLD_INTERRUPTS:
        fuzz_trick_hold(w);
        break;
    default:
        fuzz_trick_reform(w);
        break;
    }
}

static void act_trick(struct fuzz_world *w, const struct fuzz_act *act)
{
    switch (act->code % ACTS) {
    case ACT_LIE:
        fuzz_trick_lie(w, act->a, act->b, act->c);
        break;
    case ACT_DEAFEN:
        fuzz_trick_deafen(w, act->a, act->b);
        break;
    case ACT_FORGE_RECEIVE:
        fuzz_trick_receive(w, act->a, act->b, act->c);
        break;
    case ACT_FORGE_TRANSMIT:
        fuzz_trick_transmit(w, act->a, act->b, act->c);
        break;
    case ACT_CORRUPT:
        fuzz_trick_corrupt(w, act->a, act->b, act->c);
        break;
    default:
        fuzz_trick_scribble(w, act->a, act->b, act->c);
        break;
    }
}

/* From here on a driver may think that the hardware is broken. */
static bool is_misbehaviour(uint32_t code)
{
    return code == ACT_NO_MEMORY
           || (code >= ACT_REMOVE && code != ACT_INSERT && code != ACT_LINK && code != ACT_INTERRUPT
               && code != ACT_REFORM);
}

static void act_do(struct fuzz_world *w, const struct fuzz_act *act)
{
    const uint32_t code = act->code % ACTS;
    w->accesses = 0;
    if (is_misbehaviour(code)) {
        if (w->options.is_sound) {
            return;
        }
        w->card.has_misbehaved = true;
    }
    if (code <= ACT_RACE) {
        act_traffic(w, act);
    } else if (code <= ACT_NO_MEMORY) {
        act_ndis(w, act);
    } else if (code >= ACT_LIE && code <= ACT_SCRIBBLE) {
        act_trick(w, act);
    } else {
        act_card(w, act);
    }
    FUZZ_REQUIRE(w->cpu.locks_held == 0, "LOCK-2", "a spin lock is left held");
}

/* ---- an input ---- */

/* A driver allocates much in little time: what a report tells of an allocation is kept short. ASAN_OPTIONS wins. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16:malloc_context_size=6";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}

/* Of an input's first bytes. */
static void world_begin(struct fuzz_world *w, uint8_t low, uint8_t high)
{
    static const uint32_t kinds[] = {VNIC_INTERRUPT_MSIX, VNIC_INTERRUPT_MSIX, VNIC_INTERRUPT_MSI,
                                     VNIC_INTERRUPT_LINE};
    w->options = (struct fuzz_options){.is_bounded = low & 1,
                                       .is_sound = high & 0x40,
                                       .has_address = low & 2,
                                       .kind = kinds[low >> 2 & 3],
                                       .buffers = high & 0x80 ? 8u << (high & 3) : 0};
    fuzz_card_power_on(w);
    w->card.is_eager = low & 0x10;
    if (fuzz_tells()) {
        fuzz_tell_options(w);
    }
    if (!(low & 0x80)) {
        fuzz_life_initialize(w);
        fuzz_life_restart(w);
    }
}

static void world_end(struct fuzz_world *w)
{
    w->accesses = 0;
    fuzz_life_finish(w);
    fuzz_send_clear(w);
    fuzz_receive_clear(w);
    fuzz_oid_clear(w);
    fuzz_memory_clear(&w->memory);
    fuzz_processor_clear(w);
    w->cpu.now_ns = 0;
    if (w->adapter.state == FUZZ_SHUT_DOWN) {
        free(w->context);
    }
    w->adapter.state = FUZZ_HALTED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_world *w = &world;
    if (w->driver == NULL) {
        w->driver = driver_load();
    }
    w->accesses = 0;
    world_begin(w, size > 0 ? data[0] : 0, size > 1 ? data[1] : 0);
    size_t at = FUZZ_OPTION_BYTES;
    for (uint32_t n = 0; at < size && n < FUZZ_ACTS_MOST; n++, at += FUZZ_ACT_BYTES) {
        const struct fuzz_act act = fuzz_act_read(data + at, size - at);
        if (fuzz_tells()) {
            fuzz_tell_act(w, n, &act);
        }
        act_do(w, &act);
    }
    world_end(w);
    return 0;
}
