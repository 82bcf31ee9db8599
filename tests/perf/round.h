/* The line protocol between the benchmark harness and a C program: one "round EFFORT" line in, one JSON line out. */
#ifndef PERF_ROUND_H
#define PERF_ROUND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* CPU time of the calling thread: what other processes on the machine do does not count. */
static inline uint64_t round_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One figure of a round, nanoseconds for one unit of work; below 0 says that the round went wrong. */
struct round_figure {
    const char *name;
    double ns;
};

static inline bool round_print(const struct round_figure figure[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (figure[i].ns < 0) {
            fprintf(stderr, "%s: the frames sent and the frames received differ\n", figure[i].name);
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        printf("%s\"%s\": %.4f", i ? ", " : "{", figure[i].name, figure[i].ns);
    }
    puts("}");
    return fflush(stdout) == 0;
}

/* Waits for the next round; false at the end of input. effort scales the amount of work, 1 is the usual. */
static inline bool round_await(double *effort)
{
    char line[64];

    if (!fgets(line, sizeof line, stdin)) {
        return false;
    }
    return sscanf(line, "round %lf", effort) == 1 && *effort > 0;
}

static inline bool round_ready(void)
{
    puts("ready");
    return fflush(stdout) == 0;
}

#endif
