/* chimney_peer.c: segments of the other end, near what both ends know, with its bytes in them. */
#include <string.h>

#include "chimney_acts.h"
#include "wire/checksum.h"

enum { NUMBERS = 8 }; /* those behind SCENE_PLACES are nobody's */

struct segment {
    uint32_t number, seq, ack, len, options;
    uint16_t window;
    uint8_t control;
};

enum { HEADERS = 54, PAYLOAD_MOST = 1460, OPTIONS_MOST = 40 };

static void be16_put(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void be32_put(uint8_t *out, uint32_t value)
{
    be16_put(out, value >> 16);
    be16_put(out + 2, value & 0xFFFF);
}

/* Headers around what is there already; checksums are right. */
static void frame_write(uint8_t *f, const struct segment *g)
{
    static const uint8_t ethernet[14] = {0x02, 0x22, 0x33, 0x44, 0x55, 0x66, 0x04,
                                         0x22, 0x33, 0x44, 0x55, 0x66, 0x08, 0x00};
    uint8_t *ip = f + 14, *tcp = f + 34;
    const uint32_t len = 20 + g->options + g->len;

    memset(f, 0, HEADERS);
    memcpy(f, ethernet, sizeof ethernet);
    ip[0] = 0x45;
    be16_put(ip + 2, 20 + len);
    ip[8] = 64;
    ip[9] = 6;
    be32_put(ip + 12, 0x0A000002u + g->number % 2);
    be32_put(ip + 16, 0x0A000001u);
    be16_put(tcp, SCENE_PORT + g->number);
    be16_put(tcp + 2, 80);
    be32_put(tcp + 4, g->seq);
    be32_put(tcp + 8, g->ack);
    tcp[12] = (uint8_t)((5 + g->options / 4) << 4);
    tcp[13] = g->control;
    be16_put(tcp + 14, g->window);
    const uint16_t header = csum_fold(csum_add(0, ip, 20));
    memcpy(ip + 10, &header, sizeof header);
    const uint16_t sum = csum_fold(csum_add(csum_pseudo_v4(ip + 12, 6, (uint16_t)len), tcp, len));
    memcpy(tcp + 16, &sum, sizeof sum);
}

/* A timestamp, or blocks of what came out of order; their bytes. */
static uint32_t options_write(uint8_t *out, uint32_t ack, struct scene_bytes *b)
{
    const uint8_t pick = byte_take(b);
    const uint32_t blocks = pick % 16 == 15 ? 1 + pick / 16 % 4 : 0;

    if (pick % 16 == 14) {
        const uint8_t head[4] = {1, 1, 8, 10};
        memcpy(out, head, sizeof head);
        be32_put(out + 4, word_take(b));
        be32_put(out + 8, word_take(b));
        return 12;
    }
    if (blocks != 0) {
        const uint8_t head[4] = {1, 1, 5, (uint8_t)(2 + 8 * blocks)};
        memcpy(out, head, sizeof head);
    }
    for (uint32_t i = 0; i < blocks; i++) {
        const uint32_t left = ack + 1 + word_take(b) % 0x2000;
        be32_put(out + 4 + 8 * i, left);
        be32_put(out + 8 + 8 * i, left + 1 + word_take(b) % 0x1000);
    }
    return blocks != 0 ? 4 + 8 * blocks : 0;
}

/* Near what both ends know, more often than not. */
static struct segment segment_take(struct scene *s, struct scene_bytes *b)
{
    static const uint8_t controls[] = {0x10, 0x18, 0x10, 0x11, 0x14, 0x02, 0x30, 0x04};
    struct segment g = {.number = byte_take(b) % NUMBERS};
    const struct stream *t = &s->stream[g.number % SCENE_PLACES];
    const uint8_t how = byte_take(b), pick = byte_take(b), acked = byte_take(b);

    g.seq = s->peer_seq[g.number % SCENE_PLACES] + (how < 144 ? 0 : word_take(b) % 0x3000u - 0x800u);
    g.len = how % 8 == 0 ? 0 : word_take(b) % PAYLOAD_MOST;
    g.control = controls[pick < 176 ? pick % 3 : pick % 8];
    g.ack = SCENE_ISS + (acked < 96 ? t->sent : acked < 240 ? word_take(b) % (t->sent + 2) : word_take(b));
    g.window = (uint16_t)(pick < 224 ? SCENE_WINDOW : pick < 240 ? UINT16_MAX : word_take(b));
    return g;
}

static void peer_note(struct scene *s, const struct segment *g)
{
    struct stream *t = &s->stream[g->number];
    const uint32_t end = g->seq + g->len + ((g->control & 3) != 0 ? 1 : 0);

    if (end - t->irs < UINT32_C(1) << 31 && end - t->irs > t->heard - t->irs) {
        t->heard = end;
    }
    s->peer_seq[g->number] += g->seq == s->peer_seq[g->number] ? g->len : 0;
}

const char *act_segment(struct scene *s, struct scene_bytes *b)
{
    static uint8_t frame[HEADERS + OPTIONS_MOST + PAYLOAD_MOST];
    struct segment g = segment_take(s, b);

    g.options = options_write(frame + HEADERS, g.ack, b);
    for (uint32_t i = 0; i < g.len; i++) {
        frame[HEADERS + g.options + i] =
            stream_peer_byte(&s->stream[g.number % SCENE_PLACES], g.seq + ((g.control & 2) != 0) + i);
    }
    frame_write(frame, &g);
    if (g.number < SCENE_PLACES) {
        peer_note(s, &g);
    }
    (void)vnic_receive(s->card, frame, HEADERS + g.options + g.len);
    return NULL;
}
