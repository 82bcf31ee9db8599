/* CUBIC's window: a cubic function of the time since the last reduction (RFC 9438), in integers. */
#include "tcp/congestion.h"

/* c->cc[]: bytes, milliseconds of the engine. */
enum {
    W_MAX = 0,     /* where the plateau lies; 0: none, the next epoch starts at its own */
    K_MS = 1,      /* from the start of the epoch to the plateau */
    EPOCH_MS = 2,  /* start of the epoch */
    W_EST = 3,     /* the Reno-friendly window; 0: no epoch runs */
    EST_ACKED = 4, /* bytes acknowledged since W_EST grew */
    REMAINDER = 5  /* of the division in cubic_increase() */
};

enum {
    CURVE_MS_MAX = 100000, /* (t - K) beyond which the target is far over any limit */
    BETA_TENTHS = 7        /* beta_cubic = 0.7 */
};

/* Largest x with x^3 <= n. */
static uint32_t cube_root(uint64_t n)
{
    uint64_t root = 0;

    for (int shift = 63; shift >= 0; shift -= 3) {
        uint64_t next;

        root <<= 1;
        next = 3 * root * (root + 1) + 1;
        if ((n >> shift) >= next) {
            n -= next << shift;
            root++;
        }
    }
    return (uint32_t)root;
}

/* K = cbrt((W_max - cwnd_epoch) / C) with C = 0.4 segments/s^3 (RFC 9438 4.2). */
static uint32_t plateau_ms(const struct tcp_connection *c, uint32_t below)
{
    return cube_root((uint64_t)below * 2500000000u / congestion_smss(c));
}

static void epoch_begin(const struct tcp_engine *e, struct tcp_connection *c)
{
    if (c->cc[W_MAX] <= c->cwnd) { /* 4.8, or past the plateau: convex from here on */
        c->cc[W_MAX] = c->cwnd;
        c->cc[K_MS] = 0;
    } else {
        c->cc[K_MS] = plateau_ms(c, c->cc[W_MAX] - c->cwnd);
    }
    c->cc[EPOCH_MS] = engine_ms(e);
    c->cc[W_EST] = c->cwnd;
    c->cc[EST_ACKED] = 0;
    c->cc[REMAINDER] = 0;
}

/* W_cubic(t) = C (t - K)^3 + W_max in bytes, at least 0 and at most twice the limit of cwnd. */
static uint32_t curve(const struct tcp_connection *c, uint32_t t_ms)
{
    bool is_concave = t_ms < c->cc[K_MS];
    uint64_t x = is_concave ? c->cc[K_MS] - t_ms : t_ms - c->cc[K_MS];
    uint64_t far = 2u * (uint64_t)CONGESTION_WINDOW_MAX;
    uint64_t height;

    x = x < CURVE_MS_MAX ? x : CURVE_MS_MAX;
    height = x * x * x / 1000 * congestion_smss(c) * 2 / 5 / 1000000;
    if (is_concave) {
        return height < c->cc[W_MAX] ? c->cc[W_MAX] - (uint32_t)height : 0;
    }
    height += c->cc[W_MAX];
    return (uint32_t)(height < far ? height : far);
}

/* 4.3: W_est += alpha * acked / cwnd segments; alpha = 9/17 below the window before the reduction, then 1. */
static uint32_t friendly_window(struct tcp_connection *c, uint32_t acked)
{
    uint64_t prior = (uint64_t)c->ssthresh * 10 / BETA_TENTHS;
    uint64_t step = c->cwnd;

    if (c->cc[W_EST] < prior) {
        step = step * 17 / 9;
    }
    c->cc[EST_ACKED] += acked;
    if (c->cc[EST_ACKED] >= step) {
        c->cc[EST_ACKED] -= (uint32_t)step;
        c->cc[W_EST] += congestion_smss(c);
    }
    return c->cc[W_EST];
}

/* 4.4, 4.5: (target - cwnd) / cwnd segments for every segment acknowledged. */
static void cubic_increase(struct tcp_connection *c, uint32_t target, uint32_t acked)
{
    uint64_t growth = (uint64_t)(target - c->cwnd) * acked + c->cc[REMAINDER];

    c->cc[REMAINDER] = (uint32_t)(growth % c->cwnd);
    congestion_grow(c, (uint32_t)(growth / c->cwnd));
}

static void cubic_on_ack(struct tcp_engine *e, struct tcp_connection *c, const struct congestion_ack *ack)
{
    uint32_t acked = ack->acked < c->cwnd ? ack->acked : c->cwnd;
    uint32_t t_ms, target, friendly;

    if (c->cc[W_EST] == 0) {
        epoch_begin(e, c);
    }
    t_ms = engine_ms(e) - c->cc[EPOCH_MS];
    friendly = friendly_window(c, acked);
    if (curve(c, t_ms) < friendly) {
        if (friendly > c->cwnd) {
            congestion_grow(c, friendly - c->cwnd);
        }
        return;
    }
    target = curve(c, t_ms + (c->srtt_us >> 3) / 1000);
    if (target > c->cwnd + c->cwnd / 2) {
        target = c->cwnd + c->cwnd / 2;
    }
    if (target > c->cwnd) {
        cubic_increase(c, target, acked);
    }
}

/* 4.6, 4.7 fast convergence, 4.8 timeout. */
static uint32_t cubic_on_signal(struct tcp_engine *e, struct tcp_connection *c, enum congestion_signal signal,
                                uint32_t flight)
{
    (void)e;
    c->cc[W_EST] = 0;
    if (signal == CONGESTION_TIMEOUT) {
        c->cc[W_MAX] = 0;
    } else if (c->cwnd < c->cc[W_MAX]) {
        c->cc[W_MAX] = (uint32_t)((uint64_t)c->cwnd * (10 + BETA_TENTHS) / 20);
    } else {
        c->cc[W_MAX] = c->cwnd;
    }
    return congestion_at_least_two(c, (uint32_t)((uint64_t)flight * BETA_TENTHS / 10));
}

static void cubic_on_idle(struct tcp_engine *e, struct tcp_connection *c)
{
    (void)e;
    c->cc[W_EST] = 0;
}

const struct congestion_ops cubic_ops = {cubic_on_ack, cubic_on_signal, cubic_on_idle};
