/* chimney_acts.c: what drivers, peers, time and strangers do to a chimney, chosen by a fuzzer's bytes. */
#include "chimney_acts.h"

#include <string.h>

#include "forge.h"
#include "gen/descriptors.h"
#include "gen/vnic_bar0.h"

uint8_t byte_take(struct scene_bytes *b)
{
    if (b->left == 0) {
        return 0;
    }
    b->left--;
    return *b->next++;
}

uint32_t word_take(struct scene_bytes *b)
{
    const uint32_t low = byte_take(b);

    return low | (uint32_t)byte_take(b) << 8;
}

void stream_doubt(struct scene *s, uint32_t handle)
{
    for (uint32_t i = 0; i < SCENE_PLACES; i++) {
        if (s->handle[i] == handle) {
            s->stream[i].knows_sent = s->stream[i].knows_received = false;
        }
    }
}

void streams_doubt(struct scene *s)
{
    for (uint32_t i = 0; i < SCENE_PLACES; i++) {
        s->stream[i].knows_sent = s->stream[i].knows_received = false;
    }
}

uint32_t handle_take(struct scene *s, struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint32_t handle = s->handle[pick % SCENE_HANDLES] ^ (pick < 200 ? 0 : word_take(b));

    stream_doubt(s, handle);
    return handle;
}

/* -- the rest of the driver --------------------------------------------------------------------------------- */

/* Frames of no protocol. */
static const char *act_transmit(struct scene *s, struct scene_bytes *b)
{
    const uint32_t len = 60 + word_take(b) % 1000;
    uint64_t *w = scene_words(s, TX_AT) + s->tx_tail * (size_t)TX_DATA_WORDS;

    memset(s->memory + FRAME_AT, 0x88, len);
    w[0] = w[1] = 0;
    tx_data_set_addr(w, SCENE_IOVA + FRAME_AT);
    tx_data_set_len(w, len);
    tx_data_set_type(w, DESC_TYPE_DATA);
    tx_data_set_eop(w, byte_take(b) < 240);
    tx_data_set_rs(w, len % 2);
    s->tx_tail = (s->tx_tail + 1) % SCENE_RING;
    scene_write(s, REG_QP_TX_TAIL, s->tx_tail);
    return NULL;
}

static const char *act_time(struct scene *s, struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint64_t now = vnic_now(s->card), deadline = vnic_deadline(s->card);
    const bool is_due = pick >= 128 && deadline != UINT64_MAX && deadline > now;

    (void)vnic_advance(s->card, is_due ? deadline : now + (UINT64_C(1) << pick % 41));
    return NULL;
}

static const char *act_steps(struct scene *s, struct scene_bytes *b)
{
    for (unsigned n = byte_take(b) % 16; n > 0; n--) {
        const uint32_t could = vnic_runnable(s->card), engine = byte_take(b) % VNIC_ENGINES;
        uint64_t moved = 0;
        if (vnic_step(s->card, engine, &moved) != (int)(could >> engine & 1)) {
            return "a step that could not be, or was not";
        }
    }
    return NULL;
}

/* The driver takes what there is, and gives buffers back, or not. */
static const char *act_poll(struct scene *s, struct scene_bytes *b)
{
    const char *wrong = scene_take(s);
    const uint32_t given = byte_take(b) % 4, back = given < s->pool_taken ? given : s->pool_taken;

    s->pool_taken -= back;
    s->pool_tail = (s->pool_tail + back) % SCENE_RING;
    scene_write(s, REG_CHQ_POOL_TAIL, s->pool_tail);
    s->rx_tail = (s->rx_tail + byte_take(b) % 2) % SCENE_RING;
    scene_write(s, REG_QP_RX_TAIL, s->rx_tail);
    return wrong;
}

static const char *act_register(struct scene *s, struct scene_bytes *b)
{
    static const uint32_t blocks[] = {REG_CHM_TYPE, REG_CHM_TYPE, REG_VEC_CTRL,
                                      REG_CHM_TYPE, REG_VEC_CTRL, REG_CHQ_SQ_BASE};
    const uint32_t block = blocks[byte_take(b) % (sizeof blocks / sizeof blocks[0])];
    const uint32_t offset = block + byte_take(b) % 64u * 4, value = word_take(b);

    if (block == REG_CHQ_SQ_BASE || (offset >= REG_CHM_ADMIN_BASE && offset <= REG_CHM_ADMIN_TAIL)) {
        streams_doubt(s);
    }
    if (offset != REG_CHM_CTRL || value % 16 == 0) {
        scene_write(s, offset, value);
    }
    return NULL;
}

/* A card restored is the same card. A forged snapshot is refused, or lived with: what comes of it may be refused. */
static const char *act_restore(struct scene *s, struct scene_bytes *b)
{
    static uint8_t image[SCENE_SAVE_MOST];
    const bool is_forged = byte_take(b) >= 160;
    const uint64_t hash = vnic_state_hash(s->card), deadline = vnic_deadline(s->card);
    const uint32_t runnable = vnic_runnable(s->card);
    size_t size = vnic_save(s->card, image, sizeof image);

    if (size > sizeof image) {
        return "a snapshot of such a size";
    }
    if (is_forged) {
        size = forge(image, size, sizeof image, b->next, b->left);
    }
    if (vnic_load(s->card, image, size) != VNIC_OK) {
        return is_forged || s->is_forged ? scene_start(s) : "a snapshot is refused";
    }
    s->is_forged |= is_forged;
    if (is_forged) {
        return NULL;
    }
    return vnic_state_hash(s->card) == hash && vnic_deadline(s->card) == deadline
                   && vnic_runnable(s->card) == runnable
               ? NULL
               : "a restored card is another";
}

/* -- all of it ---------------------------------------------------------------------------------------------- */

const char *scene_act(struct scene *s, struct scene_bytes *bytes)
{
    static const char *(*const acts[])(struct scene *, struct scene_bytes *) = {
        act_command, act_submit, act_segment,  act_segment, act_submit,  act_time,   act_steps, act_poll,
        act_poll,    act_steps,  act_register, act_restore, act_segment, act_submit, act_time,  act_transmit,
    };
    const uint8_t what = byte_take(bytes);
    const char *wrong = acts[what % (sizeof acts / sizeof acts[0])](s, bytes);

    if (wrong == NULL && what % 3 != 0) {
        wrong = scene_settle(s);
    }
    return wrong;
}

const char *scene_exercise(struct scene *s)
{
    static const uint8_t life[][8] = {
        {1, 2, 0, 0, 100, 1, 1, 200},      /* sends and receives on some connections */
        {2, 0, 1, 0, 0, 200, 0, 0},        /* data for the first, in order */
        {2, 1, 1, 0, 0, 200, 0, 0},        /* for the second, */
        {2, 3, 145, 0, 0, 0, 9, 100},      /* beyond a gap */
        {2, 6, 1, 0, 0, 90, 0, 0},         /* and for none */
        {15, 100, 0, 0, 0, 0, 0, 0},       /* a frame leaves */
        {0, 4, 0, 0, 0, 0, 0, 0},          /* a query */
        {5, 128, 0, 0, 0, 0, 0, 0},        /* the next deadline */
        {7, 3, 1, 0, 0, 0, 0, 0},          /* the driver looks */
        {1, 2, 2, 2, 255, 255, 10, 3},     /* a large send */
        {5, 28, 0, 0, 0, 0, 0, 0},         /* a quarter of a second */
        {2, 2, 0, 0, 0, 0, 0, 0},          /* an acknowledgement */
        {5, 36, 0, 0, 0, 0, 0, 0},         /* a minute */
        {7, 3, 1, 0, 0, 0, 0, 0},          /* the driver looks */
        {0, 6, 0, 1, 0, 0, 0, 0},          /* the second is terminated */
        {7, 3, 1, 0, 0, 0, 0, 0},
    };
    const char *wrong = NULL;

    for (unsigned i = 0; i < sizeof life / sizeof life[0] && wrong == NULL; i++) {
        struct scene_bytes bytes = {life[i], sizeof life[i]};
        wrong = scene_act(s, &bytes);
        wrong = wrong != NULL ? wrong : scene_settle(s);
    }
    return wrong;
}
