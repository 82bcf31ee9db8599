/* driver_world.h: everything of one execution: the driver under test, NDIS above it, the card below, the machine. */
#ifndef VNIC_DRIVER_WORLD_H
#define VNIC_DRIVER_WORLD_H

#include "driver_card.h"
#include "driver_judge.h"
#include "driver_memory.h"
#include "driver_oid.h"
#include "driver_processor.h"
#include "driver_receive.h"
#include "driver_send.h"

#define FUZZ_OIDS 256u
/* Register accesses of an act beyond which a driver is said to spin. */
#define FUZZ_ACCESSES_MOST 100000u

enum fuzz_state {
    FUZZ_HALTED,
    FUZZ_INITIALIZING,
    FUZZ_PAUSED,
    FUZZ_RESTARTING,
    FUZZ_RUNNING,
    FUZZ_PAUSING,
    FUZZ_HALTING,
    FUZZ_SHUT_DOWN
};

/* What the driver told NDIS of its adapter. */
struct fuzz_adapter {
    enum fuzz_state state;
    bool is_registered, is_described, has_offload; /* attributes that were set */
    bool has_interrupt, is_resetting, is_pause_done, is_restart_done, wants_removal, wants_reset,
        wants_filter;
    uint32_t restart_status, interrupt_kind, messages;
    uint32_t mtu_size, lookahead_size, filters, multicast_most;
    uint8_t mac[6];
    uint32_t oids, oid[FUZZ_OIDS];
    bool has_vectors; /* of the bus, without NDIS */
    vnic_bus_handler handler[FUZZ_MESSAGES];
    void *handler_context[FUZZ_MESSAGES];
};

/* How the input wants the machine. */
struct fuzz_options {
    bool is_bounded, has_address;
    bool is_sound; /* neither the card nor the machine misbehaves: such acts are passed over */
    uint32_t kind; /* VNIC_INTERRUPT_*, the best there is */
    uint32_t buffers; /* keyword *ReceiveBuffers; 0: there is none */
};

struct fuzz_world {
    const struct vnic_miniport *driver;
    void *context;
    struct vnic_ndis ndis;
    struct fuzz_options options;
    struct fuzz_adapter adapter;
    struct fuzz_memory memory;
    struct fuzz_processors cpu;
    struct fuzz_card card;
    struct fuzz_sends sends;
    struct fuzz_receives receives;
    struct fuzz_oids oids;
    uint32_t accesses; /* of registers, in the act at hand */
};

/* Around every call of the driver's: the level it is called at, and what must be as it was when it returns. */
struct fuzz_call {
    const char *name;
    uint32_t level, locks, processor;
};
struct fuzz_call fuzz_enter(struct fuzz_world *w, const char *name, uint32_t level);
void fuzz_leave(struct fuzz_world *w, const struct fuzz_call *call);

/* The tables of functions that the driver is given. */
extern const struct vnic_bus_ops fuzz_bus_ops;
extern const struct vnic_ndis_ops fuzz_ndis_ops;

/* driver_attributes.c: NdisMSetMiniportAttributes, and link states anywhere. */
uint32_t fuzz_attributes_registration(struct fuzz_world *w,
                                      const struct vnic_registration_attributes *attributes);
uint32_t fuzz_attributes_general(struct fuzz_world *w, const struct vnic_general_attributes *a);
uint32_t fuzz_attributes_offload(struct fuzz_world *w, const struct vnic_offload_attributes *a);
void fuzz_attributes_check_link(const struct vnic_link_state *link, const char *rule);

/* driver_interrupt.c */
uint32_t fuzz_interrupt_register(struct fuzz_world *w, const struct vnic_interrupt_characteristics *wanted,
                                 struct vnic_ndis_interrupt *granted);
void fuzz_interrupt_deregister(struct fuzz_world *w, const void *handle);
void fuzz_interrupt_own(const struct fuzz_world *w, const void *handle, const char *call);
void fuzz_interrupt_service(struct fuzz_world *w, uint32_t message);
void fuzz_interrupt_dpc(struct fuzz_world *w, uint32_t message, void *context);

/* driver_life.c: each is passed over when it is not legal now. */
void fuzz_life_initialize(struct fuzz_world *w);
void fuzz_life_restart(struct fuzz_world *w);
void fuzz_life_pause(struct fuzz_world *w);
void fuzz_life_reset(struct fuzz_world *w);
void fuzz_life_reset_complete(struct fuzz_world *w, uint32_t status, bool addressing_reset);
void fuzz_life_check_for_hang(struct fuzz_world *w);
void fuzz_life_halt(struct fuzz_world *w, uint32_t action);
void fuzz_life_remove(struct fuzz_world *w, bool is_told);
void fuzz_life_shut_down(struct fuzz_world *w);
bool fuzz_life_is_up(const struct fuzz_world *w);
/* PAUSE-1, PAUSE-2. */
void fuzz_life_check_paused(const struct fuzz_world *w);
/* Card, interrupts, DPCs, timers, work: until nothing is under way, and what the driver asked for is done. */
void fuzz_life_settle(struct fuzz_world *w);
/* The card is sound again, everything is given back, the driver halts, and nothing is left. */
void fuzz_life_finish(struct fuzz_world *w);

#endif
