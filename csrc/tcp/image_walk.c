/* image_walk.c: every field of a connection, its bounds, and what of it is time. */
#include "tcp/image_walk.h"

#include "tcp/congestion.h"
#include "tcp/image.h"
#include "tcp/timer.h"

#include <stddef.h>

/* Bounds: what arithmetic of the engine relies on. */
enum {
    DELAY_MAX = INT32_MAX, /* of a timer, us or ms */
    FLAGS_MAX = INT32_MAX, /* all of enum tcp_flag */
    MARKS_MAX = 31         /* all of enum scoreboard_mark */
};

#define RTT_MAX (UINT32_C(1) << 31) /* eight times SRTT, four times RTTVAR */

struct image_field {
    uint16_t offset, size;
    uint32_t max;
};

/* Name and greatest value of every field. Times are saved as ages; see times_turn(). */
#define CONNECTION_FIELDS(X)                                                                                 \
    X(tcp_connection, local_port, UINT16_MAX)                                                                \
    X(tcp_connection, remote_port, UINT16_MAX)                                                               \
    X(tcp_connection, vlan, UINT16_MAX)                                                                      \
    X(tcp_connection, is_ipv6, 1)                                                                            \
    X(tcp_connection, state, TCP_STATES - 1)                                                                 \
    X(tcp_connection, flags, FLAGS_MAX)                                                                      \
    X(tcp_connection, snd_una, UINT32_MAX)                                                                   \
    X(tcp_connection, snd_nxt, UINT32_MAX)                                                                   \
    X(tcp_connection, snd_end, UINT32_MAX)                                                                   \
    X(tcp_connection, snd_wnd, IMAGE_SPAN_MAX)                                                               \
    X(tcp_connection, snd_wl1, UINT32_MAX)                                                                   \
    X(tcp_connection, snd_wl2, UINT32_MAX)                                                                   \
    X(tcp_connection, max_snd_wnd, IMAGE_SPAN_MAX)                                                           \
    X(tcp_connection, rcv_nxt, UINT32_MAX)                                                                   \
    X(tcp_connection, rcv_adv, UINT32_MAX)                                                                   \
    X(tcp_connection, rcv_acked, UINT32_MAX)                                                                 \
    X(tcp_connection, rcv_unread, IMAGE_SPAN_MAX)                                                            \
    X(tcp_connection, rcv_buf, IMAGE_SPAN_MAX)                                                               \
    X(tcp_connection, snd_mss, UINT16_MAX)                                                                   \
    X(tcp_connection, rcv_mss, UINT16_MAX)                                                                   \
    X(tcp_connection, path_mtu, UINT16_MAX)                                                                  \
    X(tcp_connection, probe_mtu, UINT16_MAX)                                                                 \
    X(tcp_connection, snd_wscale, 14)                                                                        \
    X(tcp_connection, rcv_wscale, 14)                                                                        \
    X(tcp_connection, profile, TCP_PROFILE_CHIMNEY)                                                          \
    X(tcp_connection, congestion, TCP_CC_CUBIC)                                                              \
    X(tcp_connection, ts_recent, UINT32_MAX)                                                                 \
    X(tcp_connection, ts_recent_ms, UINT32_MAX)                                                              \
    X(tcp_connection, ts_offset, UINT32_MAX)                                                                 \
    X(tcp_connection, srtt_us, RTT_MAX)                                                                      \
    X(tcp_connection, rttvar_us, RTT_MAX)                                                                    \
    X(tcp_connection, rto_us, DELAY_MAX)                                                                     \
    X(tcp_connection, min_rtt_us, UINT32_MAX)                                                                \
    X(tcp_connection, cwnd, CONGESTION_WINDOW_MAX)                                                           \
    X(tcp_connection, ssthresh, UINT32_MAX)                                                                  \
    X(tcp_connection, cc[0], UINT32_MAX)                                                                     \
    X(tcp_connection, cc[1], UINT32_MAX)                                                                     \
    X(tcp_connection, cc[2], UINT32_MAX)                                                                     \
    X(tcp_connection, cc[3], UINT32_MAX)                                                                     \
    X(tcp_connection, cc[4], UINT32_MAX)                                                                     \
    X(tcp_connection, cc[5], UINT32_MAX)                                                                     \
    X(tcp_connection, tail_end, UINT32_MAX)                                                                  \
    X(tcp_connection, run_seq, UINT32_MAX)                                                                   \
    X(tcp_connection, run_us, UINT32_MAX)                                                                    \
    X(tcp_connection, run_marks, MARKS_MAX)                                                                  \
    X(tcp_connection, phase, TCP_PHASE_LOSS)                                                                 \
    X(tcp_connection, dup_acks, UINT8_MAX)                                                                   \
    X(tcp_connection, reo_mult, UINT8_MAX)                                                                   \
    X(tcp_connection, reo_persist, UINT8_MAX)                                                                \
    X(tcp_connection, t_xmit_us, UINT32_MAX)                                                                 \
    X(tcp_connection, t_delack_us, UINT32_MAX)                                                               \
    X(tcp_connection, t_keep_ms, UINT32_MAX)                                                                 \
    X(tcp_connection, armed, TCP_TIMER_XMIT | TCP_TIMER_DELACK | TCP_TIMER_KEEP)                             \
    X(tcp_connection, xmit, TCP_XMIT_OVERRIDE)                                                               \
    X(tcp_connection, backoff, UINT8_MAX)                                                                    \
    X(tcp_connection, retransmits, UINT8_MAX)                                                                \
    X(tcp_connection, retrans_ms, UINT32_MAX)                                                                \
    X(tcp_connection, keep_time_ms, DELAY_MAX)                                                               \
    X(tcp_connection, keep_interval_ms, DELAY_MAX)                                                           \
    X(tcp_connection, user_timeout_ms, UINT32_MAX)                                                           \
    X(tcp_connection, keep_limit, UINT8_MAX)                                                                 \
    X(tcp_connection, probes, UINT8_MAX)                                                                     \
    X(tcp_connection, ttl, UINT8_MAX)                                                                        \
    X(tcp_connection, tos, UINT8_MAX)                                                                        \
    X(tcp_connection, rcv_up, UINT32_MAX)                                                                    \
    X(tcp_connection, snd_up, UINT32_MAX)                                                                    \
    X(tcp_connection, heard_ms, UINT32_MAX)                                                                  \
    X(tcp_connection, challenge_ms, UINT16_MAX)                                                              \
    X(tcp_connection, challenges, UINT8_MAX)                                                                 \
    X(tcp_connection, ack_owed, UINT8_MAX)                                                                   \
    X(tcp_connection, mss_limit, UINT16_MAX)                                                                 \
    X(tcp_connection, snd_probed, 1)

#define RECOVERY_FIELDS(X)                                                                                   \
    X(tcp_recovery, recover, UINT32_MAX)                                                                     \
    X(tcp_recovery, sacked, IMAGE_SPAN_MAX)                                                                  \
    X(tcp_recovery, lost, IMAGE_SPAN_MAX + 2)                                                                \
    X(tcp_recovery, rack_us, UINT32_MAX)                                                                     \
    X(tcp_recovery, rack_end, UINT32_MAX)                                                                    \
    X(tcp_recovery, rack_rtt_us, UINT32_MAX)                                                                 \
    X(tcp_recovery, fack, UINT32_MAX)                                                                        \
    X(tcp_recovery, prr_delivered, UINT32_MAX)                                                               \
    X(tcp_recovery, prr_out, UINT32_MAX)                                                                     \
    X(tcp_recovery, recover_fs, UINT32_MAX)                                                                  \
    X(tcp_recovery, prior_cwnd, UINT32_MAX)                                                                  \
    X(tcp_recovery, prior_ssthresh, UINT32_MAX)                                                              \
    X(tcp_recovery, undo_una, UINT32_MAX)                                                                    \
    X(tcp_recovery, undo_bytes, UINT32_MAX)                                                                  \
    X(tcp_recovery, dsack_round, UINT32_MAX)                                                                 \
    X(tcp_recovery, retrans_ts, UINT32_MAX)                                                                  \
    X(tcp_recovery, rescue, UINT32_MAX)                                                                      \
    X(tcp_recovery, rto_start_us, UINT32_MAX)                                                                \
    X(tcp_recovery, cc_saved[0], UINT32_MAX)                                                                 \
    X(tcp_recovery, cc_saved[1], UINT32_MAX)                                                                 \
    X(tcp_recovery, cc_saved[2], UINT32_MAX)                                                                 \
    X(tcp_recovery, cc_saved[3], UINT32_MAX)                                                                 \
    X(tcp_recovery, cc_saved[4], UINT32_MAX)                                                                 \
    X(tcp_recovery, cc_saved[5], UINT32_MAX)                                                                 \
    X(tcp_recovery, frto, 2)                                                                                 \
    X(tcp_recovery, flags, UINT8_MAX)

#define NODE_FIELDS(X)                                                                                       \
    X(tcp_node, left, UINT32_MAX)                                                                            \
    X(tcp_node, right, UINT32_MAX)                                                                           \
    X(tcp_node, stamp, UINT32_MAX)                                                                           \
    X(tcp_node, marks, MARKS_MAX)

#define FIELD_OF(type, name, max) {offsetof(struct type, name), sizeof(((struct type *)0)->name), (max)},
#define SIZE_OF(type, name, max) +sizeof(((struct type *)0)->name)
#define BYTES(type, name) sizeof(((struct type *)0)->name)

static const struct image_field connection_fields[] = {CONNECTION_FIELDS(FIELD_OF)};
static const struct image_field recovery_fields[] = {RECOVERY_FIELDS(FIELD_OF)};
static const struct image_field node_fields[] = {NODE_FIELDS(FIELD_OF)};

/* A field that nobody saves is found by its bytes: addresses are saved apart, links are made anew. */
_Static_assert((0 CONNECTION_FIELDS(SIZE_OF)) + BYTES(tcp_connection, local) + BYTES(tcp_connection, remote)
                       + BYTES(tcp_connection, runs) + BYTES(tcp_connection, recovery)
                       + BYTES(tcp_connection, ranges) + BYTES(tcp_connection, wheel_next)
                       + BYTES(tcp_connection, wheel_prev)
                   == sizeof(struct tcp_connection),
               "every field of a connection is in its image");
_Static_assert((0 RECOVERY_FIELDS(SIZE_OF)) + BYTES(tcp_recovery, reserved) == sizeof(struct tcp_recovery),
               "every field of a recovery entry is in the image");
_Static_assert((0 NODE_FIELDS(SIZE_OF)) + BYTES(tcp_node, next) + BYTES(tcp_node, reserved)
                   == sizeof(struct tcp_node),
               "every field of a node is in the image");

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void fields_walk(struct archive *a, unsigned tag, const struct image_field *fields, size_t count,
                        void *object)
{
    for (size_t i = 0; i < count; i++) {
        archive_field(a, (uint16_t)(tag + i), (uint8_t *)object + fields[i].offset, fields[i].size,
                      fields[i].max);
    }
}

static void timer_turn(const struct tcp_connection *c, uint32_t timer, uint32_t *at, uint32_t now)
{
    *at = timer_is_set(c, timer) ? now - *at : 0;
}

/* CUBIC's epoch is the only time in the private state of a congestion control. */
static void epochs_turn(struct image *image, uint32_t now_ms)
{
    if (image->c.congestion != TCP_CC_CUBIC) {
        return;
    }
    if (!tcp_has(&image->c, TCP_HYSTART)) {
        image_turn_one(&image->c.cc[2], now_ms);
    }
    if ((image->r.flags & TCP_RECOVERY_WAS_HYSTART) == 0) {
        image_turn_one(&image->r.cc_saved[2], now_ms);
    }
}

void image_turn(struct image *image, const struct tcp_engine *e)
{
    const uint32_t us = engine_us(e), ms = engine_ms(e);
    struct tcp_connection *c = &image->c;

    timer_turn(c, TCP_TIMER_XMIT, &c->t_xmit_us, us);
    timer_turn(c, TCP_TIMER_DELACK, &c->t_delack_us, us);
    timer_turn(c, TCP_TIMER_KEEP, &c->t_keep_ms, ms);
    image_turn_one(&c->run_us, us);
    image_turn_one(&c->ts_recent_ms, ms);
    image_turn_one(&c->retrans_ms, ms);
    image_turn_one(&c->heard_ms, ms);
    c->challenge_ms = (uint16_t)(ms - c->challenge_ms);
    image_turn_one(&image->r.rack_us, us);
    image_turn_one(&image->r.rto_start_us, us);
    epochs_turn(image, ms);
}

bool image_walk_header(struct archive *a, int *refusal)
{
    uint32_t magic = IMAGE_MAGIC;
    uint16_t version = IMAGE_VERSION;

    *refusal = TCP_LOAD_FORMAT;
    ARCHIVE(a, TAG_MAGIC, magic, UINT32_MAX);
    archive_refuse_if(a, magic != IMAGE_MAGIC);
    ARCHIVE(a, TAG_VERSION, version, UINT16_MAX);
    if (!a->failed && version != IMAGE_VERSION) {
        *refusal = TCP_LOAD_VERSION;
    }
    return !a->failed && version == IMAGE_VERSION;
}

void image_walk_connection(struct archive *a, struct image *image)
{
    uint8_t has_recovery = image->c.recovery != 0;

    archive_bytes(a, TAG_LOCAL, image->c.local, sizeof image->c.local);
    archive_bytes(a, TAG_REMOTE, image->c.remote, sizeof image->c.remote);
    fields_walk(a, TAG_CONNECTION, connection_fields, COUNT(connection_fields), &image->c);
    ARCHIVE(a, TAG_HAS_RECOVERY, has_recovery, 1);
    if (has_recovery != 0 && !a->failed) {
        fields_walk(a, TAG_RECOVERY, recovery_fields, COUNT(recovery_fields), &image->r);
    }
    image->c.recovery = has_recovery;
}

void image_walk_node(struct archive *a, struct tcp_node *node)
{
    fields_walk(a, TAG_NODE, node_fields, COUNT(node_fields), node);
}
