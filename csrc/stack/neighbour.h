/* The neighbour cache: reachability states of RFC 4861 7.3 for ARP and ND alike, and datagrams that wait. */
#ifndef VNIC_STACK_NEIGHBOUR_H
#define VNIC_STACK_NEIGHBOUR_H

#include "base/pool.h"
#include "stack/address.h"
#include "stack/limit.h"

enum {
    NEIGHBOUR_PROBES = 3,        /* MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT */
    NEIGHBOUR_WAITING = 3,       /* datagrams that wait for one neighbour */
    NEIGHBOUR_USES = 2048
};

enum neighbour_list { NEIGHBOUR_UNLISTED, NEIGHBOUR_UNRESOLVED, NEIGHBOUR_RESOLVED, NEIGHBOUR_LISTS };

struct neighbour {
    uint32_t next;         /* of the hash bucket; the pool's link */
    uint32_t holds;        /* paths that name it */
    uint8_t mac[6];
    uint8_t state;         /* enum vnic_neighbour_state */
    uint8_t interface;
    uint64_t confirmed_ns;
    struct vnic_address address;
    uint8_t is_router, is_local; /* local: an address of ours */
    uint8_t is_used;
    uint8_t probes;        /* sent in this state */
    uint8_t list;          /* enum neighbour_list */
    uint8_t waiting_count;
    uint16_t use; /* counts the entries that were made, low bits */
    uint32_t older, newer; /* in the list */
    uint32_t alarm;        /* place in the heap; 0: no timer */
    uint32_t waiting_first, waiting_last; /* frames of the outbox */
};

struct neighbour_alarm {
    uint64_t at_ns;
    uint32_t neighbour;
};

struct neighbours {
    struct pool pool;
    struct neighbour *entries;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint32_t uses;
    /* Those that may be given up, least recently used first: unresolved ones go first (RFC 6583 7.1). */
    uint32_t oldest[NEIGHBOUR_LISTS], newest[NEIGHBOUR_LISTS];
    struct neighbour_alarm *alarms; /* a heap, from 1 on */
    uint32_t alarm_count;
    struct limit answers;    /* to ARP requests and neighbour solicitations */
};

struct vnic_stack;

int neighbours_create(struct vnic_stack *s);
void neighbours_destroy(struct vnic_stack *s);

/* 0: none. */
uint32_t neighbour_find(const struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
/* Finds it or makes one in state NONE; 0 when all entries are held. */
uint32_t neighbour_get(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
/* The same without giving up an entry that is in use: for what a stranger said. */
uint32_t neighbour_get_free(struct vnic_stack *s, uint32_t interface, const struct vnic_address *address);
void neighbour_hold(struct vnic_stack *s, uint32_t index);
void neighbour_release(struct vnic_stack *s, uint32_t index);
void neighbour_set_permanent(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_local);

/* The address is ours no more. */
void neighbour_forget_local(struct vnic_stack *s, uint32_t index);
/* As it counts now: REACHABLE only as long as the last proof lasts. */
uint8_t neighbour_state(struct vnic_stack *s, uint32_t index);

/* Whether a frame can go now; starts resolution or, when STALE, the wait before the check. */
bool neighbour_use(struct vnic_stack *s, uint32_t index);
/* Takes a list of outbox frames, one datagram: they leave when the neighbour is resolved, or are dropped. */
void neighbour_wait(struct vnic_stack *s, uint32_t index, uint32_t first);

/* What was heard of a neighbour's Ethernet address (RFC 4861 7.2.5). */
void neighbour_learn(struct vnic_stack *s, uint32_t index, const uint8_t mac[6], bool is_solicited,
                     bool is_override);
/* An answer without an address: reachable, if it is the state for it. */
void neighbour_confirm(struct vnic_stack *s, uint32_t index);
/* The same of a proof that is so old; one that is older than what is known says nothing. */
void neighbour_confirm_since(struct vnic_stack *s, uint32_t index, uint64_t age_ns);
/* Forgets all of an interface but the permanent ones. */
void neighbours_flush(struct vnic_stack *s, uint32_t interface);

void neighbours_run_timers(struct vnic_stack *s);
uint64_t neighbours_deadline(const struct vnic_stack *s);

#endif
