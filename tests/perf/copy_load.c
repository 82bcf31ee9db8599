/* copy_load.c: sizes, orders and checks of the copies of the dma rows. */
#include "copy_load.h"

#include <stdlib.h>

#include "round.h"

enum {
    ARENA = 64 << 20,
    HOT_BYTES = 128 << 20,
    COLD_BYTES = 32 << 20,
    COPIES_MOST = 100000,
    COLD_STRIDE = 256,
    SIZES_MOST = 8
};

/* ---- memory */

/* No two words alike, so that a copy from the wrong place shows. */
static void load_write(struct copy_load *load)
{
    uint64_t word = 0x9E3779B97F4A7C15;
    for (size_t at = 0; at < load->arena_bytes; at += sizeof(word)) {
        word += 0x9E3779B97F4A7C15;
        memcpy(load->from + at, &word, sizeof(word));
    }
    memset(load->to, 0, load->arena_bytes);
}

bool copy_load_open(struct copy_load *load)
{
    *load = (struct copy_load){.arena_bytes = ARENA};
    load->from = aligned_alloc(2 << 20, ARENA);
    load->to = aligned_alloc(2 << 20, ARENA);
    if (load->from == NULL || load->to == NULL) {
        copy_load_close(load);
        return false;
    }
    load_write(load);
    return true;
}

void copy_load_close(struct copy_load *load)
{
    free(load->from);
    free(load->to);
}

/* ---- one measurement */

static uint64_t load_copies(uint64_t bytes, uint32_t len, double effort)
{
    const uint64_t copies = bytes / len < COPIES_MOST ? bytes / len : COPIES_MOST;
    return (uint64_t)((double)copies * effort) + 1;
}

static double load_measure(const struct copier *copier, const struct copy_job job[], uint64_t copies,
                           uint32_t len)
{
    const uint64_t start = round_cpu_ns();
    bool is_right = true;
    for (uint64_t done = 0; done < copies && is_right; done += COPY_BURST) {
        const uint64_t left = copies - done;
        is_right =
            copier->start(copier->opaque, job + done, left < COPY_BURST ? (unsigned)left : COPY_BURST, len);
    }
    is_right = copier->finish(copier->opaque) && is_right;
    return is_right ? (double)(round_cpu_ns() - start) / (double)copies : -1;
}

static bool load_is_copied(const struct copy_job job[], uint64_t copies, uint32_t len)
{
    for (uint64_t i = 0; i < copies; i++) {
        if (memcmp(job[i].from, job[i].to, len) != 0) {
            return false;
        }
    }
    return true;
}

static double load_run(const struct copier *copier, struct copy_job job[], uint64_t copies, uint32_t len)
{
    const double ns = load_measure(copier, job, copies, len);
    const bool is_right = ns >= 0 && load_is_copied(job, copies, len);
    free(job);
    return is_right ? ns : -1;
}

double copy_load_hot(struct copy_load *load, const struct copier *copier, uint32_t len, double effort)
{
    const uint64_t copies = load_copies(HOT_BYTES, len, effort);
    struct copy_job *job = malloc(copies * sizeof(*job));
    if (job == NULL) {
        return -1;
    }
    for (uint64_t i = 0; i < copies; i++) {
        job[i] = (struct copy_job){load->from, load->to};
    }
    memset(load->to, 0, len);
    copier->start(copier->opaque, job, 1, len);
    return copier->finish(copier->opaque) ? load_run(copier, job, copies, len) : -1;
}

/* Places in an order that no prefetcher guesses, each again only when all others had their turn. */
double copy_load_cold(struct copy_load *load, const struct copier *copier, uint32_t len, double effort)
{
    const uint64_t copies = load_copies(COLD_BYTES, len, effort);
    const size_t stride = (len + COLD_STRIDE - 1) / COLD_STRIDE * COLD_STRIDE;
    const uint64_t places = load->arena_bytes / stride;
    struct copy_job *job = malloc(copies * sizeof(*job));
    if (job == NULL) {
        return -1;
    }
    for (uint64_t i = 0; i < copies; i++) {
        const size_t at = (size_t)(load->next++ * 0x9E3779B1u % places) * stride;
        job[i] = (struct copy_job){load->from + at, load->to + at};
    }
    return load_run(copier, job, copies, len);
}

/* ---- rounds */

struct load_row {
    const char *kind;
    uint32_t size[SIZES_MOST];
    bool has_cold;
};

static const struct load_row rows[] = {
    {"descriptor", {64, 1500, 4096}, false},
    {"bandwidth", {64, 256, 1024, 4096, 16384, 65536, 1 << 20, COPY_LARGEST}, true},
};

static void figure_name(char *text, size_t capacity, const char *name, uint32_t len, const char *cache)
{
    if (len >= 1 << 20) {
        snprintf(text, capacity, "%s %u MiB %s", name, len >> 20, cache);
    } else if (len >= 4096) {
        snprintf(text, capacity, "%s %u KiB %s", name, len >> 10, cache);
    } else {
        snprintf(text, capacity, "%s %u B %s", name, len, cache);
    }
}

static bool row_measure(const struct load_row *row, const char *name, struct copy_load *load,
                        const struct copier *copier, double effort)
{
    char text[2 * SIZES_MOST][64];
    struct round_figure figure[2 * SIZES_MOST];
    size_t count = 0;
    for (unsigned i = 0; i < SIZES_MOST && row->size[i] != 0; i++) {
        for (unsigned is_cold = 0; is_cold <= (unsigned)row->has_cold; is_cold++, count++) {
            const uint32_t len = row->size[i];
            figure_name(text[count], sizeof(text[count]), name, len, is_cold ? "cold" : "hot");
            figure[count].name = text[count];
            figure[count].ns = is_cold ? copy_load_cold(load, copier, len, effort)
                                       : copy_load_hot(load, copier, len, effort);
        }
    }
    return round_print(figure, count);
}

bool copy_load_serve(const char *name, const char *kind, struct copy_load *load, const struct copier *copier)
{
    double effort;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (strcmp(rows[i].kind, kind) == 0) {
            round_ready();
            while (round_await(&effort) && row_measure(&rows[i], name, load, copier, effort)) {
            }
            return true;
        }
    }
    return false;
}
