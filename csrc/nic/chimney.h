/* chimney.h: the TCP chimney of the card: its objects, its queues, and where its parts meet. */
#ifndef VNIC_NIC_CHIMNEY_H
#define VNIC_NIC_CHIMNEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "nic/card.h"
#include "tcp/blocks.h"
#include "tcp/engine.h"

#define CHM_INDEX_BITS 22u
#define CHM_INDEX_MASK ((1u << CHM_INDEX_BITS) - 1)
#define CHM_GENERATION_MAX 1023u
#define CHM_SUBMISSIONS_CACHED 32u /* and the most fetched in one step */
#define CHM_POOL_CACHED 32u
#define CHM_VLANS 64u
#define CHM_WINDOW_MAX (1u << 30)
/* The number of a counter: its register's distance from the first. */
#define CHM_STAT(name) ((REG_CHM_##name - REG_CHM_TCP4_IN_SEGMENTS) / 8u)
#define CHM_STATS (CHM_STAT(FENCES) + 1u)
#define CHM_SMALL_IO_MAX (1u << 24)
#define CHM_HABIT_SEGMENTS 256u /* received, or sent: a window */
#define CHM_HABIT_REQUESTS 64u
#define CHM_SEGMENT_MAX 65535u /* bytes of a forwarded segment */

/* ---- objects ---- */

/* Of every object. */
enum chm_flag {
    CHM_LIVE = 1 << 0,
    CHM_INVALID = 1 << 1,     /* invalidated, or something that it hangs on */
    /* of connections */
    CHM_LISTED = 1 << 2,      /* in the lookup table */
    CHM_ENDING = 1 << 3,      /* TERMINATE is under way */
    CHM_ABORTED = 1 << 4,     /* RST came, or an abortive disconnect: takes and sends nothing */
    CHM_STOPPED = 1 << 5,     /* a mandatory RETRIEVE was raised: takes and sends nothing */
    CHM_SENDS_REFUSED = 1 << 6, /* [CHM-22] */
    CHM_FIN_REPORTED = 1 << 7,
    CHM_PUSHED = 1 << 8,      /* push_seq is valid */
    CHM_PUSH_TIMER = 1 << 9,  /* in the list of push timers */
    CHM_IN_OUTPUT = 1 << 10,  /* in the output list */
    CHM_IN_REPORT = 1 << 11,  /* in a report list */
    CHM_STARVED = 1 << 12,    /* in a list of those that wait for pool buffers */
    CHM_HOLDS_RANGES = 1 << 13, /* in the list of those that hold data out of order */
    CHM_ESTABLISHED = 1 << 14, /* counted in TCPx_ESTABLISHED */
    CHM_ACTIVE = 1 << 15       /* data went or came since the last look [CHM-69] */
};

/* What tells whether the card is the better place for a connection; counts of the windows that are open. */
struct chm_habit {
    uint8_t in, in_ahead;   /* segments with data received, and those ahead of RcvNxt */
    uint8_t out, out_again; /* segments with data sent, and those sent again */
    uint16_t requests;      /* sends and receives */
    uint16_t fragments;     /* first fragments */
    uint32_t request_bytes; /* of the requests, each at most CHM_SMALL_IO_MAX */
    uint32_t unposted;      /* bytes given to the pool since the last receive was taken */
};

/* A TCP connection, beside the engine's; the same index. Idle ones cost this, 256 bytes and their lookup entry. */
struct chm_connection {
    uint16_t generation;
    uint16_t flags;           /* enum chm_flag */
    uint32_t path;
    uint32_t next, prev;      /* ring list of the path's connections */
    uint32_t hash_value;      /* CONST HashValue */
    uint32_t initial_rcv_wnd, rcv_indication_size; /* CACHED */
    uint32_t label_priority;  /* CACHED FlowLabel, and UserPriority in bits 31:29 */
    uint32_t ka_timeout, ka_interval, max_rt; /* CACHED, ticks, as they were given [CHM-4] */
    uint16_t cached_flags;    /* CACHED Flags likewise */
    uint16_t reserved;
    uint8_t queue;            /* pair whose submission ring is its own */
    uint8_t report_queue;     /* pair in whose ready or starved list it stands */
    uint16_t retrieved;       /* reasons raised: bit enum chm_reason */
    uint32_t pending;         /* enum chm_pending: what is to be reported */

    /* sending: pieces of host memory by sequence number, a ring list by its last */
    uint32_t sends;
    uint32_t send_seq;        /* of the first piece's first byte */
    uint32_t send_at, send_at_seq; /* piece read last and its first byte's number: a hint, or 0 */
    uint32_t sends_done;      /* requests to be reported */

    /* receiving: posted pieces, a ring list by its last; in-order data not delivered is in blocks from deliver_seq on */
    uint32_t posts;
    uint32_t post_open; /* first piece left of the first request that is not complete, or 0 */
    uint32_t placed; /* bytes placed in the first request, all its pieces */
    uint32_t post_offset; /* bytes placed in its first piece that is left */
    struct block_chain blocks;
    uint32_t deliver_seq; /* first in-order byte neither placed nor given to the pool */
    uint32_t pool_count; /* bytes given to the pool, modulo 2^32 */
    uint32_t push_seq; /* one beyond the last byte that came with PSH */
    uint32_t push_next, push_prev; /* list of push timers, in the order of expiry */
    uint64_t push_ns;
    uint32_t output_next, output_prev;
    uint32_t report_next, report_prev; /* lists of reports: ready, starved or moving */
    uint32_t held_next, held_prev; /* list of those that hold data out of order */
    uint32_t backlog; /* last SEND_BACKLOG raised */
    struct chm_habit habit;
};
_Static_assert(sizeof(struct chm_connection) <= 192,
               "an idle connection fits 512 bytes with engine and lookup");

/* What waits to be reported, in the order in which it is reported. */
enum chm_pending {
    CHM_PENDING_SEND = 1 << 0, /* sends_done */
    CHM_PENDING_RECEIVE = 1 << 1, /* the first post is complete, or data can be placed or given to the pool */
    CHM_PENDING_DISCONNECT = 1 << 2,
    CHM_PENDING_FIN = 1 << 3,
    CHM_PENDING_ABORT = 1 << 4,
    CHM_PENDING_RETRIEVE = 1 << 5, /* the reason in bits 31:24 */
    CHM_PENDING_BACKLOG = 1 << 6,
    CHM_PENDING_REASON_SHIFT = 24
};

struct chm_path {
    uint32_t next, prev; /* ring list of the neighbour's paths; next is first: the pool's link */
    uint16_t generation, flags;
    uint32_t neighbour;
    uint32_t connections; /* one of its ring list, or 0 */
    uint32_t mtu;
    uint8_t source[16], destination[16];
    uint8_t is_ipv6;
};

/* A VLAN id other than 0 that neighbours use. */
struct chm_vlan {
    uint16_t id, neighbours;
};

struct chm_neighbour {
    uint32_t query_next; /* list of queries to be reported; first: the pool's link */
    uint16_t generation, flags;
    uint16_t vlan;
    uint8_t source[6]; /* all zeros: MAC_ADDR */
    uint8_t destination[6];
    uint8_t is_queried; /* NEIGHBOUR_QUERY was raised and is not answered */
    uint32_t paths; /* one of its ring list, or 0 */
    uint64_t host_ns, nic_ns; /* HRT and NRT; before time 0: modulo 2^64 */
    uint64_t queried_ns;
    uint32_t host_delta; /* CACHED HostReachabilityDelta as it was given */
    uint32_t query_delta; /* NicReachabilityDelta of a query to be reported, ticks */
};

/* A piece of a request: where it is in host memory. */
struct chm_work {
    uint32_t next; /* first: the pool's link */
    uint32_t len;
    uint64_t addr;
    uint32_t before; /* receives: bytes the driver placed; first piece */
    uint8_t op; /* enum chm_submission_op */
    uint8_t flags; /* enum chm_work_flag */
    uint8_t status; /* enum chm_status of a receive that is complete */
    uint8_t reserved;
};
enum chm_work_flag {
    CHM_WORK_MORE = 1,
    CHM_WORK_PUSH = 2,
    CHM_WORK_NO_PUSH = 4,
    CHM_WORK_DONE = 8, /* a receive that is complete and not reported yet */
    CHM_WORK_PUSHED = 16 /* ... by PSH, timer or FIN */
};

/* ---- rings ---- */

struct chm_admin {
    struct ring ring;
    uint8_t queue; /* pair whose completion ring takes what no connection's does */
    uint8_t phase; /* enum chm_admin_phase of chimney_admin.c; 0: no command is at hand */
    uint8_t status; /* enum chm_status that the command at hand has come to */
    bool has_more; /* CREATE: the last entry read of the list had MORE */
    uint32_t walk; /* UPDATE, INVALIDATE: the connection whose turn it is, or 0 */
    uint32_t walk_path; /* the path on which it hangs, or 0 */
    uint32_t target; /* index of the object it works on, or 0 */
    uint32_t parent; /* index of PARENT, or 0 */
    uint64_t command[CHM_COMMAND_WORDS];
    uint64_t image[CHM_TCP_WORDS];
    uint32_t sends_read; /* CREATE: entries of the list that were read */
    uint32_t sends,
        sends_last; /* ... the first and the last of them that has a work entry, linked by next; or 0 */
    uint32_t send_bytes; /* ... their bytes, at most CHM_WINDOW_MAX */
    bool has_fin; /* ... the last one is a DISCONNECT */
};

struct chm_submission_ring {
    struct ring ring;
    uint32_t cached; /* from ring.head on, at their count modulo CHM_SUBMISSIONS_CACHED */
    uint64_t entry[CHM_SUBMISSIONS_CACHED][CHM_SUBMISSION_WORDS];
    /* the request whose pieces are coming */
    uint32_t request_handle; /* 0: none */
    uint32_t pieces, pieces_last, bytes;
    uint8_t request_op, request_status;
};

struct chm_receive_pool {
    struct ring ring;
    uint32_t buf_len;
    uint32_t cached;
    uint64_t entry[CHM_POOL_CACHED];
};

struct chm_queue {
    struct chm_submission_ring submissions;
    struct chm_receive_pool pool;
    uint32_t report_first, report_last; /* connections that have something to report here */
    uint32_t starved_first, starved_last; /* connections whose data waits for a pool buffer */
};

/* A large segment of a connection on its way out, cut into frames one by one. */
struct chm_train {
    uint32_t index; /* connection; 0: none under way */
    bool is_again; /* its bytes were sent before */
    struct tcp_segment segment; /* what is left of it */
};

/* Parameters as latched by CHM_CTRL.ENABLE. */
struct chm_parameters {
    uint32_t ticks_per_second, push_ticks, nce_stale_ticks, congestion;
    /* from which on an optional reason is raised; 0: never */
    uint32_t out_of_order_rate, drop_rate, small_io, unposted_bytes, idle_ticks, fragments;
};

/* ---- lookup: see chimney_lookup.h ---- */
struct chm_bucket;

struct chimney {
    /* state, saved */
    bool is_enabled, is_paused, must_upload_all;
    struct chm_parameters parameters;
    struct tcp_engine *engine;
    struct chm_connection *connections; /* [0] is never used, as in all arrays below */
    struct chm_path *paths;
    struct chm_neighbour *neighbours;
    struct chm_work *work;
    struct pool path_pool, neighbour_pool, work_pool;
    struct block_pool blocks;
    uint16_t *generations
        [3]; /* of neighbours, paths, connections: the last one used of each place since the reset */
    uint32_t tops[3]; /* the highest place of each kind that was used since the reset */
    struct chm_admin admin;
    struct chm_queue queue[CARD_PAIRS_MAX];
    uint32_t output_first, output_last; /* connections that may have something to send */
    struct chm_train train;
    uint8_t submit_turn; /* submission ring whose turn it is */
    uint32_t push_first, push_last; /* push timers */
    uint32_t look_at; /* the place at which the look for idle connections goes on; 0: none is under way */
    uint64_t look_ns; /* the next one begins, if looks go on */
    bool look_is_on; /* looks go on: there may be a connection to be asked for */
    bool look_found; /* the one under way found such a connection */
    uint32_t query_first, query_last; /* neighbours with a query to be reported */
    uint32_t fences; /* bit q: a CHM_FENCE is to be written there before anything else of the chimney */
    uint32_t moving_first, moving_last; /* connections that are to go to the lists of the new table */
    uint32_t held_first, held_last; /* connections that hold data out of order, the oldest first */
    uint8_t report_turn; /* pair whose reports come next */
    uint16_t identification; /* next IPv4 Identification, bit 15 aside */
    uint32_t live_connections, live_paths, live_neighbours;
    struct chm_vlan vlan[CHM_VLANS]; /* those in use first */
    uint32_t vlans;
    uint64_t stat[CHM_STATS];
    /* scratch, derived */
    bool is_reset; /* all of the state is as after a reset: it was never on since */
    struct tcp_connection *tcp; /* the engine's array */
    struct chm_bucket *buckets;
    uint32_t bucket_count, bucket_mask;
    uint64_t lookup_key[4];
    uint8_t *stage; /* the frame being built; a forwarded segment */
    uint32_t submit_ready; /* bit q: submission ring q may have something to do */
    struct dma_hint hint_admin, hint_image, hint_send, hint_receive;
    struct dma_hint hint_queue[CARD_PAIRS_MAX], hint_pool[CARD_PAIRS_MAX], hint_pool_data[CARD_PAIRS_MAX];
};

static inline uint32_t chimney_handle(uint32_t index, uint16_t generation)
{
    return (uint32_t)generation << CHM_INDEX_BITS | index;
}

static inline struct chm_connection *chimney_connection(const struct chimney *m, uint32_t index)
{
    return &m->connections[index];
}

static inline uint32_t chimney_index(const struct chimney *m, const struct chm_connection *c)
{
    return (uint32_t)(c - m->connections);
}

static inline bool chimney_has(const struct chm_connection *c, unsigned flags)
{
    return (c->flags & flags) != 0;
}

/* The pair on whose completion ring the connection reports. */
unsigned chimney_report_pair(const struct vnic *card, const struct chm_connection *c);

/* ==== parts; who writes which is who owns the file of that name ==== */

/* -- chimney.c: life -- */
int chimney_create(struct vnic *card); /* VNIC_OK or VNIC_ENOMEM; nothing when config.connections is 0 */
void chimney_destroy(struct vnic *card);
size_t chimney_footprint(const struct vnic *card);
void chimney_reset(struct vnic *card); /* as it was made */
/* Every object, request, byte and ring is forgotten; handles of before name nothing. */
void chimney_forget(struct vnic *card);
void chimney_on_ctrl(struct vnic *card, uint32_t now);
uint64_t chimney_deadline(const struct vnic *card); /* UINT64_MAX: none */
uint64_t chimney_idle_steps(const struct vnic *card);
void chimney_archive(struct vnic *card, struct archive *a); /* chimney_snapshot.c */

/* -- chimney_register.c: what CHM_ and CHQ_ registers read, and their side effects -- */
uint32_t chimney_read(const struct vnic *card, const struct reg_ref *ref, uint32_t stored);
void chimney_on_write(struct vnic *card, const struct reg_ref *ref, uint32_t now, uint32_t pulses);
/* A bit of CHM_STATUS, and the event when it changes [CHM-49]. */
void chimney_set_status(struct vnic *card, bool *bit, bool value);
void chimney_on_cq_stop(struct vnic *card, unsigned pair);
void chimney_on_cq_reset(struct vnic *card, unsigned pair);
/* A ring of the chimney stopped with an error: the driver is told [CHM-63]. */
void chimney_ring_failed(struct vnic *card, bool must_upload);
void chimney_check_pressure(struct vnic *card); /* water marks, after blocks were taken or given */

/* -- chimney_object.c: handles, parents and dependents -- */
/* Index of the live object that the handle names, or 0. */
uint32_t chimney_find(const struct chimney *m, enum chm_object object, uint32_t handle);
/* Takes the connection out of everything and gives back what it holds; the engine's part too. */
void chimney_release(struct vnic *card, uint32_t index);
struct chm_neighbour *chimney_neighbour_of(const struct chimney *m, const struct chm_connection *c);
/* A free place, live and with a new generation; 0: there is none. */
uint32_t chimney_take_neighbour(struct chimney *m);
uint32_t chimney_take_path(struct chimney *m, uint32_t neighbour);
/* A connection that the engine has just taken, on its path and in the lookup; everything else of it is 0. */
void chimney_enliven(struct vnic *card, uint32_t connection, uint32_t path);
/* Out of the lookup: segments go the plain way. */
void chimney_unlist(struct chimney *m, uint32_t connection);
void chimney_give_path(struct chimney *m, uint32_t path);
void chimney_give_neighbour(struct chimney *m, uint32_t neighbour);
uint16_t chimney_next_generation(struct chimney *m, enum chm_object object, uint32_t index);
void chimney_hang_path(struct chimney *m, uint32_t path, uint32_t neighbour);
void chimney_unhang_path(struct chimney *m, uint32_t path);
void chimney_hang_connection(struct chimney *m, uint32_t connection, uint32_t path);
/* One more neighbour with this VLAN id, 0 included; false: no id is free. */
bool chimney_vlan_take(struct chimney *m, uint16_t id);
void chimney_vlan_give(struct chimney *m, uint16_t id);

/* -- chimney_admin.c: the admin ring and its commands -- */
void chimney_on_admin_ctrl(struct vnic *card, uint32_t now, uint32_t pulses);
void chimney_on_admin_tail(struct vnic *card, uint32_t tail);
bool chimney_admin_is_runnable(const struct vnic *card);
uint64_t chimney_admin_next_bytes(const struct vnic *card);
uint64_t chimney_admin_step(struct vnic *card);

/* -- chimney_lookup.c: by addresses, ports and VLAN -- */
enum chm_match { CHM_MATCH_NONE, CHM_MATCH_FOUND, CHM_MATCH_WRONG_VLAN };
struct chm_tuple {
    uint8_t local[16], remote[16]; /* as in struct tcp_connection */
    uint16_t local_port, remote_port; /* host order */
    uint8_t is_ipv6;
};
bool chimney_lookup_create(struct chimney *m, uint32_t connections); /* false: memory is short */
size_t chimney_lookup_footprint(const struct chimney *m);
void chimney_lookup_destroy(struct chimney *m);
void chimney_lookup_clear(struct vnic *card); /* all that is listed leaves; a new key */
void chimney_lookup_rebuild(struct vnic *card); /* into the empty table, all that is listed */
void chimney_lookup_insert(struct chimney *m, uint32_t index);
void chimney_lookup_remove(struct chimney *m, uint32_t index);
/* True: a connection with this tuple on this VLAN is there already. */
bool chimney_lookup_has(const struct chimney *m, const struct chm_tuple *tuple, uint16_t vlan);
/* vlan: of the frame, 0 untagged. *index is a guess, a connection that is listed, or 0. */
enum chm_match chimney_lookup(const struct chimney *m, const struct chm_tuple *tuple, uint16_t vlan,
                              uint32_t *index);
/* Fetches the bucket that a search will touch first; later, which connection it probably finds, or 0. */
uint64_t chimney_lookup_fetch(const struct chimney *m, const struct chm_tuple *tuple);
uint32_t chimney_lookup_guess(const struct chimney *m, uint64_t hash);

/* -- chimney_submit.c: submission rings -- */
void chimney_on_sq_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses);
void chimney_on_sq_tail(struct vnic *card, unsigned pair, uint32_t tail);
bool chimney_submit_is_runnable(const struct vnic *card);
uint64_t chimney_submit_next_bytes(const struct vnic *card);
uint64_t chimney_submit_step(struct vnic *card);
/* Steps taken together; the same as taking them one by one. */
uint64_t chimney_submit_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes);

/* The ring stops: what was fetched of it and the request being collected are forgotten. */
void chimney_submit_stop(struct vnic *card, unsigned pair, uint8_t error);

/* -- chimney_send.c: what is to be sent, in host memory -- */
/* Appends a complete request; the engine is told. */
void chimney_send_append(struct vnic *card, uint32_t index, uint32_t pieces, uint32_t pieces_last,
                         uint32_t bytes);
/* CREATE: hangs the list, a closed ring, in without telling the engine, whose snd_end and FIN came with the state. */
void chimney_send_adopt(struct chimney *m, uint32_t index, uint32_t pieces_last, uint32_t first_seq);
/* `bytes` more are acknowledged: finished requests go to the reports. */
void chimney_send_acked(struct vnic *card, uint32_t index, uint32_t bytes);
void chimney_send_drop(struct chimney *m, uint32_t index);
/* Of the first request that is not complete: bytes acknowledged. */
uint32_t chimney_send_partial(const struct chimney *m, uint32_t index);

/* -- chimney_output.c: timers and segments that leave -- */
void chimney_schedule(struct vnic *card, uint32_t index); /* it may have something to send */
/* Bytes that the engine handed out are being cut into frames, and the next one can leave now. */
bool chimney_output_is_cutting(const struct vnic *card, uint32_t index);
void chimney_output_forget(struct chimney *m,
                           uint32_t index); /* out of the list; nothing of it leaves any more */
void chimney_output_archive(struct vnic *card, struct archive *a); /* train */
bool chimney_output_is_runnable(const struct vnic *card);
uint64_t chimney_output_next_bytes(const struct vnic *card);
uint64_t chimney_output_step(struct vnic *card);
/* Steps that send, taken together; the same as taking them one by one. 0: the next is none. */
uint64_t chimney_output_burst(struct vnic *card, uint64_t max_steps, uint64_t max_bytes, uint64_t *bytes);
/* One segment that is not pulled: an owed ACK of a connection that is being terminated, a RST. */
void chimney_output_segment(struct vnic *card, uint32_t index, const struct tcp_segment *segment);

/* -- chimney_receive.c, chimney_burst.c, chimney_apply.c: segments that arrive -- */
/* The front frame of the receive buffer, parsed as c: true when it was a connection's and is dealt with (popped or
 * not is the caller's); *bytes moved. */
struct rx_class;
bool chimney_receive(struct vnic *card, const uint8_t *frame, const struct rx_class *c, uint64_t *bytes);
/* A segment from the TCP header on (FORWARD). */
void chimney_receive_forwarded(struct vnic *card, uint32_t index, const uint8_t *segment, uint32_t len);
/* What every engine call's result means to the chimney: input, timeouts, user calls. payload: of input, or NULL. */
void chimney_apply(struct vnic *card, uint32_t index, const struct tcp_result *result,
                   const uint8_t *payload);

/* -- chimney_place.c, _post.c, _pool.c, _push.c, _held.c: in-order data into receives and pool buffers; push timers -- */
void chimney_on_pool_ctrl(struct vnic *card, unsigned pair, uint32_t now, uint32_t pulses);
void chimney_on_pool_tail(struct vnic *card, unsigned pair, uint32_t tail);
/* A complete receive request: enum chm_status, of which OK means it was taken. */
enum chm_status chimney_post(struct vnic *card, uint32_t index, uint32_t pieces, uint32_t pieces_last,
                             uint32_t data_count);
/* One bounded piece of work for the connection; bytes moved; false when there is none now. */
bool chimney_place_step(struct vnic *card, uint32_t index, uint64_t *bytes);
void chimney_place_drop(struct chimney *m, uint32_t index);
/* In-order bytes that are neither placed nor given to the pool. */
uint32_t chimney_waiting(const struct chimney *m, uint32_t index);
/* The pair's pool ring stops (its completion ring did). */
void chimney_stop_pool(struct vnic *card, unsigned pair, uint8_t error);
bool chimney_push_is_due(const struct vnic *card);
void chimney_push_expire(struct vnic *card); /* one connection */
uint64_t chimney_push_deadline(const struct vnic *card);

/* -- chimney_habit.c: optional reasons, judged by what a connection does [CHM-64] -- */
/* Its state lets the card ask for it although it need not: open both ways. */
bool chimney_may_ask(const struct chimney *m, uint32_t index);
void chimney_habit_received(struct vnic *card, uint32_t index, bool is_ahead); /* a segment with new data */
void chimney_habit_sent(struct vnic *card, uint32_t index, bool is_again); /* a segment with data */
void chimney_habit_request(struct vnic *card, uint32_t index, uint32_t len); /* a send, or a receive */
void chimney_habit_posted(struct chimney *m, uint32_t index); /* a receive was taken */
void chimney_habit_unposted(struct vnic *card, uint32_t index, uint32_t len); /* data went to the pool */
void chimney_habit_fragment(struct vnic *card, uint32_t index); /* a first fragment */
void chimney_look_begin(struct vnic *card); /* a connection was taken: looks go on */
uint64_t chimney_look_deadline(const struct vnic *card);
bool chimney_look_is_due(const struct vnic *card);
void chimney_look(struct vnic *card); /* at some connections */
uint64_t chimney_look_idle_steps(const struct chimney *m);

/* -- chimney_report.c, chimney_event.c: entries on completion rings, and fences -- */
void chimney_report(struct vnic *card, uint32_t index, uint32_t pending); /* enum chm_pending */
void chimney_retrieve(struct vnic *card, uint32_t index, enum chm_reason reason);
void chimney_fence(struct vnic *card); /* the indirection table changed */
/* Takes the connection out of the lists of reports. */
void chimney_report_leave(struct chimney *m, uint32_t index);
/* Slots of the pair's completion ring are free and the chimney may use them now (no fence is pending). */
bool chimney_may_report(const struct vnic *card, unsigned pair);
/* Writes one entry; chimney_may_report() holds. words[3] holds the type only. */
void chimney_write_entry(struct vnic *card, unsigned pair, uint64_t words[4]);
bool chimney_report_is_runnable(const struct vnic *card);
uint64_t chimney_report_next_bytes(const struct vnic *card);
uint64_t chimney_report_step(struct vnic *card);

/* -- chimney_reach.c: ages of neighbours -- */
void chimney_reach_confirm(struct vnic *card, uint32_t index); /* forward progress of a connection */
void chimney_reach_check(struct vnic *card, uint32_t index); /* before each send */
uint32_t chimney_reach_take(struct chimney *m); /* next neighbour with a query to be reported, or 0 */
void chimney_reach_forget(struct chimney *m, uint32_t neighbour);

/* -- chimney_stat.c -- */
/* A datagram of ip_len bytes that was given to the TCP of a connection: IP's InReceives, InOctets and InDelivers,
 * TCP's InSegments. */
void chimney_count_in(struct vnic *card, bool is_ipv6, uint32_t ip_len);
/* After anything that may have changed the connection's state; reason: enum tcp_reason when it went to CLOSED. */
void chimney_count_state(struct vnic *card, uint32_t index, uint32_t reason);
void chimney_count_end(struct vnic *card, uint32_t index); /* it is released */
void chimney_clear_statistics(struct vnic *card, uint32_t pulses);

#endif
