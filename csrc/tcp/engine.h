/* The TCP engine: segments, user calls and virtual time in; segments, events and the next deadline out. */
#ifndef VNIC_TCP_ENGINE_H
#define VNIC_TCP_ENGINE_H

#include "tcp/connection.h"

/*
 * The engine knows no ring, register, socket or host. It holds no payload either: a segment is its header fields and
 * a length, and the caller keeps the bytes. What it allocates comes at creation from bounded pools; it has no clock
 * and no randomness (initial sequence numbers and timestamp offsets come with tcp_open).
 *
 * Every call takes the time, which never runs backwards. After a call whose result has TCP_EVENT_OUTPUT the caller
 * pulls segments with tcp_output() until it returns false, now or later: all segments that wait at the caller may be
 * put in first, so that one ACK answers them (RFC 9293 MUST-58, MUST-59).
 */

/* cdef begin */

typedef struct tcp_engine tcp_engine;

struct tcp_engine_config {
    uint32_t connections;    /* at once, TIME_WAIT included; 1 to 4 million */
    uint32_t nodes;          /* runs and reassembly ranges, of all connections together */
    uint32_t recoveries;     /* connections in loss recovery at once */
    uint32_t ranges_per_connection; /* out-of-order ranges that one connection may hold, 4 to 1024 */
    uint32_t rto_initial_us; /* RFC 6298 2.1: 1 s */
    uint32_t rto_min_us;     /* 200 ms, as Linux; RFC 6298 2.4 says 1 s */
    uint32_t rto_max_us;     /* at least 60 s */
    uint32_t delack_us;      /* below 500 ms; 40 ms */
    uint32_t override_us;    /* sender SWS override, 100 ms to 1 s */
    uint32_t msl_ms;         /* 30 s */
    uint32_t fin_wait_2_ms;  /* 60 s */
    uint32_t r1;             /* timeouts in a row until TCP_EVENT_R1, at least 3 */
    uint32_t r2_ms;          /* until the connection is given up, at least 100 s */
    uint32_t syn_r2_ms;      /* the same for a SYN, at least 180 s */
    uint32_t challenge_limit;    /* challenge ACKs a connection sends in ... */
    uint32_t challenge_period_ms;
    uint32_t initial_segments;   /* initial window, RFC 6928: 10 */
};

/* Fills in the defaults above, for that many connections. */
void tcp_engine_defaults(struct tcp_engine_config *config, uint32_t connections);

/* NULL when a value is out of its bounds or memory is short. */
tcp_engine *tcp_engine_create(const struct tcp_engine_config *config);
void tcp_engine_destroy(tcp_engine *engine);

/* As after creation: every connection is forgotten without a word, and any time may come next. O(1). */
void tcp_engine_reset(tcp_engine *engine);

/* What may change while connections live: it counts from the next segment or timeout on. */
struct tcp_engine_parameters {
    uint32_t delack_us;   /* as in the config; 0: no ACK waits */
    uint32_t ack_every; /* full-sized segments until an ACK leaves at once, 1 to 255: 2; 1: no ACK waits */
    uint32_t override_us; /* as in the config */
    uint32_t dup_threshold; /* DupThresh, 2 to 255: 3 */
    uint32_t
        max_retransmissions; /* CHIMNEY without a user timeout: timeouts in a row, to 255; 0: R2 decides */
    uint32_t doubt; /* timeouts in a row until TCP_EVENT_R1, 1 to 255: the config's r1 */
};
void tcp_engine_get_parameters(const tcp_engine *engine, struct tcp_engine_parameters *parameters);

/* False when a value is out of its bounds; then nothing has changed. */
bool tcp_engine_set_parameters(tcp_engine *engine, const struct tcp_engine_parameters *parameters);

/* What a connection starts with. */
struct tcp_open {
    uint8_t local[16], remote[16];
    uint16_t local_port, remote_port;
    uint16_t vlan;
    uint8_t is_ipv6;
    uint8_t profile, congestion;
    uint8_t ttl, tos;
    uint8_t rcv_wscale; /* offered, 0 to 14 */
    uint32_t flags; /* options to offer or accept (TCP_HAS_*), and TCP_NODELAY .. TCP_PLPMTUD */
    uint32_t iss, ts_offset;
    uint32_t mtu; /* of the interface: MMS_S and MMS_R follow */
    uint32_t rcv_buf;
    uint32_t keep_time_ms, keep_interval_ms, user_timeout_ms;
    uint8_t keep_limit;
    uint8_t reserved[3];
};

/* tcp_result.events */
enum tcp_event {
    TCP_EVENT_OUTPUT = 1, /* tcp_output() has something, or may have */
    TCP_EVENT_CONNECTED = 2, /* the handshake is over */
    TCP_EVENT_DATA = 4, /* store: `len` payload bytes from `skip` on at sequence number `seq` */
    TCP_EVENT_READABLE = 8, /* `delivered` more in-order bytes, from the old rcv_nxt on */
    TCP_EVENT_ACKED = 16, /* `acked` bytes leave the front of the send queue */
    TCP_EVENT_FIN = 32, /* the peer will send no more, and all it sent is in order */
    TCP_EVENT_WINDOW = 64, /* the send window opened or the send queue became empty */
    TCP_EVENT_R1 = 128, /* timeouts reached R1: tell the user, look for another route */
    TCP_EVENT_URGENT = 256, /* rcv_up moved; urgent data up to rcv_up, exclusive */
    TCP_EVENT_PUSH = 512, /* what was delivered ends with a push */
    TCP_EVENT_REPLY_RST = 1024, /* answer this segment with tcp_reset_for() */
    TCP_EVENT_TIME_WAIT = 2048, /* state is TIME_WAIT now */
    TCP_EVENT_CLOSED = 4096, /* state is CLOSED: `reason` says why; the caller releases it */
    TCP_EVENT_DROP_RANGES = 8192, /* all out-of-order bytes held for this connection are void */
    TCP_EVENT_UPLOAD = 16384, /* CHIMNEY: the host must take it back: `reason` */
    TCP_EVENT_CONFIRMED = 32768, /* the path to the neighbour works: forward progress (RFC 4861 7.3.1) */
    TCP_EVENT_MTU = 65536 /* the path MTU changed */
};

enum tcp_reason {
    TCP_REASON_NONE = 0,
    TCP_REASON_CLOSED = 1, /* both sides closed, acknowledged */
    TCP_REASON_RESET = 2, /* RST in ESTABLISHED and later */
    TCP_REASON_REFUSED = 3, /* RST in answer to our SYN, or an ICMP hard error */
    TCP_REASON_TIMEOUT = 4, /* R2, user timeout or MaxRT */
    TCP_REASON_KEEPALIVE = 5, /* probes without answer */
    TCP_REASON_DATA_AFTER_CLOSE = 6, /* SHLD-3: data that nobody can read */
    TCP_REASON_ABORTED = 7, /* by the user */
    TCP_REASON_UNREACHABLE = 8, /* SYN timed out and ICMP said why */
    /* CHIMNEY uploads */
    TCP_REASON_UPLOAD_SYN = 16,
    TCP_REASON_UPLOAD_URGENT = 17,
    TCP_REASON_UPLOAD_TIMEOUT = 18,
    TCP_REASON_UPLOAD_TIME_WAIT = 19,
    TCP_REASON_UPLOAD_RESOURCES = 20 /* no node for what is out of order, or data after closing */
};

struct tcp_result {
    uint32_t events;
    uint32_t reason;
    uint32_t acked;
    uint32_t seq, skip, len;
    uint32_t delivered;
    uint32_t reserved;
};

/* Counters since creation, of all connections. */
struct tcp_statistics {
    uint64_t segments_in, segments_out, bytes_in, bytes_out;
    uint64_t retransmits, retransmitted_bytes; /* segments; RSTs and probes not counted */
    uint64_t timeouts, fast_recoveries, tail_probes, window_probes, keepalive_probes;
    uint64_t spurious_timeouts, undone;
    uint64_t out_of_order, duplicates, dsacks_in, dsacks_out;
    uint64_t challenge_acks, challenge_suppressed, paws_drops, bad_acks, bad_options;
    uint64_t resets_in, resets_out;
    uint64_t opened_active, opened_passive, aborted;
    uint64_t no_nodes, no_recoveries, no_connections; /* a pool was used up */
    uint64_t ce_in, ece_in;
};
const struct tcp_statistics *tcp_engine_statistics(const tcp_engine *engine);

/* -- opening and closing ------------------------------------------------------------------------------------ */

/* SYN_SENT, the SYN is pending output. NULL when all connections are in use. */
struct tcp_connection *tcp_connect(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open);

/* SYN_RECEIVED from a SYN that a listener accepts, the SYN,ACK is pending output; text in it has to come again. */
struct tcp_connection *tcp_accept(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open,
                                  const struct tcp_segment *syn);

/*
 * ESTABLISHED from the ACK that returned a SYN cookie; `syn` is the SYN as the cookie remembers it. NULL also when the
 * ACK does not acknowledge open->iss. Its payload is the caller's to give to tcp_input() next.
 */
struct tcp_connection *tcp_accept_cookie(tcp_engine *engine, uint64_t now_ns, const struct tcp_open *open,
                                         const struct tcp_segment *syn, const struct tcp_segment *ack);

/* Forgets the connection, in any state and without a word to the peer. */
void tcp_release(tcp_engine *engine, struct tcp_connection *c);

/* The user sends no more: FIN after all that is queued. */
void tcp_shutdown(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result);

/*
 * The user neither sends nor reads any more. With unread data, or data that arrives later, the connection is reset
 * (RFC 9293 SHLD-3): then true, *rst is to be sent, and the result says TCP_EVENT_CLOSED.
 */
bool tcp_close(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result,
               struct tcp_segment *rst);

/* CLOSED at once. True when *rst is to be sent: in SYN_RECEIVED to CLOSE_WAIT (RFC 9293 3.10.5). */
bool tcp_abort(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_segment *rst);

/* -- segments ----------------------------------------------------------------------------------------------- */

/*
 * One segment of this connection whose checksum is good. `refused` in the segment: the caller cannot store its
 * payload, which is then treated as beyond the window. On TCP_EVENT_DATA the caller stores the bytes at their
 * sequence number; if it cannot keep out-of-order bytes after all, it calls tcp_drop_ranges() before any output.
 * In TIME_WAIT a SYN may be a new connection's: see tcp_may_reopen().
 */
void tcp_input(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
               const struct tcp_segment *segment, struct tcp_result *result);

/*
 * The next segment to send, payload bytes seq .. seq + len of the send queue; false when there is none now. Up to
 * max_len bytes of payload for a large send: then len exceeds mss, which is what each packet may carry with these
 * options, and the packets are cut by it. max_len 0: no more than one packet. out->ecn is the codepoint to send.
 */
bool tcp_output(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t max_len,
                struct tcp_segment *out);

/* The answer of a closed port to any segment: false for a RST, which is never answered (RFC 9293 3.10.7.1). */
bool tcp_reset_for(const struct tcp_segment *segment, struct tcp_segment *rst);

/* RFC 6191 and RFC 9293 3.6.1: this SYN may take the place of the connection in TIME_WAIT. */
bool tcp_may_reopen(const struct tcp_connection *c, const struct tcp_segment *syn);

/* -- the user's side ---------------------------------------------------------------------------------------- */

/*
 * The user appended bytes to the send queue; nothing happens after shutdown, or if more than 2^30 would be
 * unacknowledged. Without push, less than a packet waits for more, at most override_us (RFC 9293 3.8.6.2.1).
 */
void tcp_queue(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes, bool push,
               struct tcp_result *result);

/* The bytes queued so far end with urgent data: SND.UP. */
void tcp_queue_urgent(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns,
                      struct tcp_result *result);

/* The user took in-order bytes: the window may open. */
void tcp_consume(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes,
                 struct tcp_result *result);

/* A new size of the receive buffer, at least one unit of the scaled window; the right edge never moves back. */
void tcp_set_receive_buffer(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t bytes,
                            struct tcp_result *result);

/* Out-of-order bytes are gone; later ACKs do not report them (RFC 2018 8). */
void tcp_drop_ranges(tcp_engine *engine, struct tcp_connection *c);

/* Keepalive, user timeout, Nagle: flags are TCP_NODELAY and TCP_KEEPALIVE. */
void tcp_set_options(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t flags,
                     uint32_t keep_time_ms, uint32_t keep_interval_ms, uint32_t keep_limit,
                     uint32_t user_timeout_ms, struct tcp_result *result);

/* An ICMP error that quotes one of our segments (RFC 5927). */
enum tcp_icmp { TCP_ICMP_SOFT = 0, TCP_ICMP_HARD = 1, TCP_ICMP_TOO_BIG = 2, TCP_ICMP_QUENCH = 3 };
void tcp_icmp(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t kind,
              uint32_t quoted_seq, uint32_t mtu, struct tcp_result *result);

/*
 * The path carries packets of that size now, larger or smaller than before: what is in flight and larger is sent again.
 * Less than the least of its IP version counts as that.
 */
void tcp_set_path_mtu(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint32_t mtu,
                      struct tcp_result *result);

/* -- time --------------------------------------------------------------------------------------------------- */

/*
 * When the engine wants to be called again, in ns; UINT64_MAX: never. It may be earlier than the first timer, never
 * later.
 */
uint64_t tcp_deadline(tcp_engine *engine);

/* A connection one of whose timers has expired, or NULL; the caller then calls tcp_timeout(). */
struct tcp_connection *tcp_expired(tcp_engine *engine, uint64_t now_ns);
void tcp_timeout(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, struct tcp_result *result);

/* In place of tcp_timeout(): the timers that have expired do so that much later, rounded up to a unit more. */
void tcp_postpone(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns, uint64_t delay_ns);

/* Likewise: they are stopped, and nothing follows. What next starts them, starts them. */
void tcp_skip_timeout(tcp_engine *engine, struct tcp_connection *c, uint64_t now_ns);

/* When this connection's first timer expires, in ns; UINT64_MAX: none runs. */
uint64_t tcp_connection_deadline(const tcp_engine *engine, const struct tcp_connection *c);

/* -- looking ------------------------------------------------------------------------------------------------ */

/* Place of a connection in the engine's array, 1 to connections; 0 is none. */
uint32_t tcp_index(const tcp_engine *engine, const struct tcp_connection *c);
struct tcp_connection *tcp_at(tcp_engine *engine, uint32_t index);

/* Fetches what arming its timer will touch of others; the connection itself should be near. */
void tcp_prefetch_timer(const tcp_engine *engine, uint32_t index);

/* That array; it stays where it is, so whoever asks often keeps it. Element 0 is none. */
struct tcp_connection *tcp_connections(tcp_engine *engine);

/* The window to advertise now, unscaled. */
uint32_t tcp_receive_window(const struct tcp_connection *c);

/* Bytes that congestion control counts in the network. */
uint32_t tcp_pipe(const tcp_engine *engine, const struct tcp_connection *c);

/* The i-th run of the scoreboard or range of the reassembly list, oldest first; false beyond the last. */
bool tcp_run_at(const tcp_engine *engine, const struct tcp_connection *c, uint32_t i, struct tcp_block *block,
                uint32_t *sent_us, uint32_t *marks);
bool tcp_range_at(const tcp_engine *engine, const struct tcp_connection *c, uint32_t i,
                  struct tcp_block *block);

/* NULL, or the name of an invariant that does not hold (spec/tcp.md TCP-*). For tests. */
const char *tcp_check(const tcp_engine *engine, const struct tcp_connection *c);

/* The same, but whether something ends every wait: of a connection whose expired timers the caller let go by. */
const char *tcp_check_structure(const tcp_engine *engine, const struct tcp_connection *c);

/* The time of the last call; connections in use; entries for runs and ranges that are free. */
uint64_t tcp_engine_now(const tcp_engine *engine);
uint32_t tcp_connections_used(const tcp_engine *engine);
uint32_t tcp_nodes_left(const tcp_engine *engine);

/* Bytes that tcp_engine_create() allocates. */
size_t tcp_engine_footprint(const tcp_engine *engine);

/* cdef end */

#endif
