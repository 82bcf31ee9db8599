/* The emulated path: a bottleneck with a drop-tail queue, a delay each way, and random loss or reordering. */
#include "path.h"

#include <stdlib.h>

enum { LANE_SIZE = 1 << 16, MILLION = 1000000 };

#define SECOND_NS UINT64_C(1000000000)

static bool lane_open(struct path_lane *lane)
{
    lane->head = lane->tail = 0;
    lane->packets = malloc(LANE_SIZE * sizeof *lane->packets);
    return lane->packets != NULL;
}

static void lane_put(struct path_lane *lane, uint64_t at_ns, uint32_t flow, const struct tcp_segment *segment)
{
    if (lane->tail - lane->head == LANE_SIZE) {
        abort(); /* more in flight than the path can hold: the sender ignores its window */
    }
    lane->packets[lane->tail++ % LANE_SIZE] = (struct path_packet){*segment, at_ns, flow};
}

static uint64_t lane_next(const struct path_lane *lane)
{
    return lane->head != lane->tail ? lane->packets[lane->head % LANE_SIZE].at_ns : UINT64_MAX;
}

bool path_open(struct path *p, const struct path_config *config)
{
    *p = (struct path){.config = *config, .random = config->seed};
    return lane_open(&p->forward) && lane_open(&p->late) && lane_open(&p->back);
}

void path_close(struct path *p)
{
    free(p->forward.packets);
    free(p->late.packets);
    free(p->back.packets);
}

/* SplitMix64. */
static uint64_t random_next(struct path *p)
{
    uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool happens(struct path *p, uint32_t ppm)
{
    return ppm != 0 && random_next(p) % MILLION < ppm;
}

static uint64_t sending_ns(const struct path *p, uint64_t bytes)
{
    return bytes * 8 * SECOND_NS / p->config.bits_per_second;
}

bool path_send(struct path *p, uint64_t now_ns, uint32_t flow, const struct tcp_segment *segment,
               uint32_t frame_bytes)
{
    uint64_t waiting_ns = p->free_at_ns > now_ns ? p->free_at_ns - now_ns : 0;
    bool is_handshake = (segment->control & TCP_SYN) != 0;

    if (waiting_ns + sending_ns(p, frame_bytes) > sending_ns(p, p->config.queue_bytes)) {
        return false;
    }
    p->free_at_ns = now_ns + waiting_ns + sending_ns(p, frame_bytes);
    if (!is_handshake && happens(p, p->config.loss_ppm)) {
        return false;
    }
    if (!is_handshake && happens(p, p->config.reorder_ppm)) {
        lane_put(&p->late, p->free_at_ns + p->config.delay_ns + p->config.extra_ns, flow, segment);
    } else {
        lane_put(&p->forward, p->free_at_ns + p->config.delay_ns, flow, segment);
    }
    return true;
}

void path_return(struct path *p, uint64_t now_ns, uint32_t flow, const struct tcp_segment *segment)
{
    lane_put(&p->back, now_ns + p->config.delay_ns, flow, segment);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t path_next(const struct path *p)
{
    return earlier(lane_next(&p->back), earlier(lane_next(&p->forward), lane_next(&p->late)));
}

const struct path_packet *path_take(struct path *p, uint64_t now_ns, bool *is_data)
{
    struct path_lane *lanes[] = {&p->forward, &p->late, &p->back};
    uint64_t next = path_next(p);

    for (unsigned i = 0; i < 3 && next <= now_ns; i++) {
        if (lane_next(lanes[i]) == next) {
            *is_data = i != 2;
            return &lanes[i]->packets[lanes[i]->head++ % LANE_SIZE];
        }
    }
    return NULL;
}
