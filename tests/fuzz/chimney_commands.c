/* chimney_commands.c: commands of a driver: objects made as they should be, nearly so, or by nobody's rules. */
#include <string.h>

#include "chimney_acts.h"
#include "gen/descriptors.h"
#include "gen/vnic_bar0.h"

enum {
    IMAGE_STRIDE = 256,
    OUT_AT = IMAGE_AT + SCENE_RING * IMAGE_STRIDE,
    OPS = 6,
    OBJECTS = 4,
    ESTABLISHED = 4,
    TIME_WAIT = 10
};

static const uint32_t image_bytes[OBJECTS] = {CHM_TCP_BYTES, CHM_NEIGHBOUR_BYTES, CHM_PATH_BYTES,
                                              CHM_TCP_BYTES};

#define FIELDS(X)                                                                                            \
    X(CONST_FLAGS)                                                                                           \
    X(REMOTE_PORT)                                                                                           \
    X(LOCAL_PORT)                                                                                            \
    X(SND_WIND_SCALE)                                                                                        \
    X(RCV_WIND_SCALE)                                                                                        \
    X(REMOTE_MSS)                                                                                            \
    X(HASH_VALUE)                                                                                            \
    X(CACHED_FLAGS)                                                                                          \
    X(KA_PROBE_COUNT)                                                                                        \
    X(TTL_OR_HOP_LIMIT)                                                                                      \
    X(TOS_OR_TRAFFIC_CLASS)                                                                                  \
    X(USER_PRIORITY)                                                                                         \
    X(FLOW_LABEL)                                                                                            \
    X(INITIAL_RCV_WND)                                                                                       \
    X(RCV_INDICATION_SIZE)                                                                                   \
    X(KA_TIMEOUT)                                                                                            \
    X(KA_INTERVAL)                                                                                           \
    X(MAX_RT)                                                                                                \
    X(STATE)                                                                                                 \
    X(RCV_NXT)                                                                                               \
    X(RCV_WND)                                                                                               \
    X(SND_UNA)                                                                                               \
    X(SND_NXT)                                                                                               \
    X(SND_MAX)                                                                                               \
    X(SND_WND)                                                                                               \
    X(MAX_SND_WND)                                                                                           \
    X(SEND_WL1)                                                                                              \
    X(CWND)                                                                                                  \
    X(SS_THRESH)                                                                                             \
    X(SRTT)                                                                                                  \
    X(RTT_VAR)                                                                                               \
    X(TS_RECENT)                                                                                             \
    X(TS_RECENT_AGE)                                                                                         \
    X(TS_TIME)                                                                                               \
    X(TOTAL_RT)                                                                                              \
    X(DUP_ACK_COUNT)                                                                                         \
    X(SND_WND_PROBE_COUNT)                                                                                   \
    X(KEEP_ALIVE_PROBE_COUNT)                                                                                \
    X(RETRANSMIT_COUNT)                                                                                      \
    X(KEEP_ALIVE_TIMEOUT_DELTA)                                                                              \
    X(RETRANSMIT_TIMEOUT_DELTA)                                                                              \
    X(SEND_BACKLOG_SIZE)                                                                                     \
    X(RECEIVE_BACKLOG_SIZE)                                                                                  \
    X(D_WND)

#define FIELD_OF(name) {CHM_TCP_##name##_WORD, CHM_TCP_##name##_SHIFT, CHM_TCP_##name##_WIDTH},

/* Where the fields of a connection's image are; those of the others are in fewer words. */
static const struct {
    uint8_t word, shift, width;
} fields[] = {FIELDS(FIELD_OF)};

static uint64_t value_take(uint64_t old, uint64_t most, struct scene_bytes *b)
{
    const uint8_t how = byte_take(b), more = byte_take(b);

    switch (how % 5) {
    case 0:
        return most >> more % 3;
    case 1:
        return more;
    case 2:
        return old ^ UINT64_C(1) << more % 64;
    case 3:
        return most - more % 16;
    default:
        return old + more - 128u;
    }
}

/* A field at an edge, near what it was, or small. */
static void image_edit(uint64_t *image, uint32_t words, struct scene_bytes *b)
{
    const uint32_t field = byte_take(b) % (sizeof fields / sizeof fields[0]), shift = fields[field].shift;
    const uint64_t most = UINT64_MAX >> (64 - fields[field].width);
    uint64_t *word = &image[fields[field].word % words];
    const uint64_t value = value_take(*word >> shift & most, most, b);

    *word = (*word & ~(most << shift)) | (value & most) << shift;
}

static uint32_t cookie_of(uint64_t object, uint32_t number)
{
    switch (object) {
    case CHM_OBJECT_NEIGHBOUR:
        return SCENE_NEIGHBOUR + number % 2;
    case CHM_OBJECT_PATH:
        return SCENE_PATHS + number % 3;
    default:
        return number % SCENE_PLACES;
    }
}

static uint32_t parent_of(const struct scene *s, uint64_t object, uint32_t number)
{
    switch (object) {
    case CHM_OBJECT_NEIGHBOUR:
        return 0;
    case CHM_OBJECT_PATH:
        return s->handle[SCENE_NEIGHBOUR];
    default:
        return s->handle[SCENE_PATHS + number % 2];
    }
}

/* What no document allows: scales above 14 or without the option (RFC 7323 2.3), no window to send in, a state that is
 * not offloaded. Of the rest nothing is said. */
static bool is_image_unsound(const uint64_t *w, uint64_t object)
{
    const uint64_t sending = chm_tcp_snd_wind_scale(w), receiving = chm_tcp_rcv_wind_scale(w);
    const bool is_scaled = (chm_tcp_const_flags(w) & 4) != 0;

    return object == CHM_OBJECT_TCP
           && (sending > 14 || receiving > 14 || (!is_scaled && (sending | receiving) != 0)
               || chm_tcp_cwnd(w) == 0 || chm_tcp_state(w) < ESTABLISHED || chm_tcp_state(w) >= TIME_WAIT);
}

/* The image for a command, edited or as it should be; what its cookie says of it. */
static uint32_t image_take(struct scene *s, uint64_t *w, uint64_t object, uint32_t number,
                           struct scene_bytes *b)
{
    const uint32_t at = IMAGE_AT + s->admin_tail * IMAGE_STRIDE;
    const uint8_t pick = byte_take(b);
    const uint32_t edits = pick < 112 ? 0 : pick < 224 ? 1 : pick % 4;

    scene_image(scene_words(s, at), object, number);
    for (uint32_t n = edits; n > 0; n--) {
        image_edit(scene_words(s, at), image_bytes[object] / 8, b);
    }
    chm_command_set_in_addr(w, SCENE_IOVA + at);
    chm_command_set_in_len(w, image_bytes[object]);
    if (edits == 0) {
        return SCENE_PLAIN;
    }
    return is_image_unsound(scene_words(s, at), object) ? SCENE_UNSOUND : 0;
}

static void command_create(struct scene *s, uint64_t *w, uint64_t object, struct scene_bytes *b)
{
    const uint32_t number = byte_take(b) % SCENE_PLACES, said = image_take(s, w, object, number, b);
    const bool is_honest = byte_take(b) < HONEST;

    chm_command_set_cookie(w, cookie_of(object, number) | (is_honest ? said : said & SCENE_UNSOUND));
    chm_command_set_parent(w, is_honest ? parent_of(s, object, number) : handle_take(s, b));
    if (byte_take(b) >= 240) { /* a backlog of sends, somewhere */
        chm_command_set_send_addr(w, SCENE_IOVA + word_take(b) * 8u);
        chm_command_set_send_count(w, byte_take(b) % 8);
        chm_command_set_cookie(w, cookie_of(object, number) | (said & SCENE_UNSOUND));
    }
}

static void command_other(struct scene *s, uint64_t *w, uint64_t op, uint64_t object, struct scene_bytes *b)
{
    const uint32_t number = byte_take(b) % SCENE_PLACES;
    const bool is_honest = byte_take(b) < HONEST;
    const uint32_t handle = is_honest ? s->handle[cookie_of(object, number)] : handle_take(s, b);

    if (op == CHM_OP_UPDATE) {
        (void)image_take(s, w, object, number, b);
    } else if (op != CHM_OP_QUERY) {
        stream_doubt(s, handle);
    }
    chm_command_set_handle(w, handle);
    if (op == CHM_OP_QUERY || op == CHM_OP_TERMINATE) {
        chm_command_set_out_addr(w, SCENE_IOVA + OUT_AT + s->admin_tail * (uint64_t)IMAGE_STRIDE);
        chm_command_set_out_len(w, image_bytes[object]);
    }
}

const char *act_command(struct scene *s, struct scene_bytes *b)
{
    static const uint8_t ops[] = {CHM_OP_CREATE, CHM_OP_CREATE, CHM_OP_CREATE,    CHM_OP_UPDATE,
                                  CHM_OP_QUERY,  CHM_OP_UPDATE, CHM_OP_TERMINATE, CHM_OP_INVALIDATE};
    static const uint8_t objects[] = {CHM_OBJECT_TCP, CHM_OBJECT_TCP,  CHM_OBJECT_TCP,
                                      CHM_OBJECT_TCP, CHM_OBJECT_PATH, CHM_OBJECT_NEIGHBOUR};
    const uint8_t pick = byte_take(b), kind = byte_take(b);
    const uint64_t op = pick < 240 ? ops[pick % sizeof ops] : pick % OPS;
    const uint64_t object = kind < 240 ? objects[kind % sizeof objects] : kind % OBJECTS;
    uint64_t *w = scene_command(s, op, object);

    (op == CHM_OP_CREATE ? command_create(s, w, object, b) : command_other(s, w, op, object, b));
    scene_write(s, REG_CHM_ADMIN_TAIL, s->admin_tail);
    return NULL;
}
