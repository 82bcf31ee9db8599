/* The applications at both ends of a pair of stacks, and what they count. */
#ifndef PERF_STACK_APPS_H
#define PERF_STACK_APPS_H

#include <stdbool.h>
#include <stdint.h>

#include "stack_pair.h"

/*
 * What the applications do: `peek` looks at received bytes where the stack put them, `post` has them put into its own
 * buffer, `copy` has both sides' bytes copied between stack and application. The others send by reference.
 */
enum apps_mode { APPS_PEEK, APPS_POST, APPS_COPY };

enum { POST_BYTES = 64 * 1024, SEGMENT_MAX = 1460 };

struct apps {
    struct stack_pair pair;
    enum apps_mode mode;
    vnic_socket *socket; /* the client's */
    uint32_t *order;
    uint32_t connections;
    uint32_t segment_bytes; /* payload of a full-sized segment */
    uint64_t time_wait_ns;
    uint64_t sent, completed, received, answered; /* bytes */
    uint64_t connected, accepted, closed;
    bool answers; /* the server answers each message */
    bool closes;  /* the client closes when connected */
    uint8_t out[LOAD_BURST * SEGMENT_MAX], in[POST_BYTES];
};

/* Two stacks for that many connections, none open yet. All that fails ends the program. */
struct apps *apps_open(uint32_t connections, enum apps_mode mode);
void apps_close(struct apps *apps);

/* Opens connections 0 to count - 1. */
void apps_connect(struct apps *apps, uint32_t count);

/* Fills in segment_bytes. */
void apps_learn_segment(struct apps *apps);

/* The client sends so many bytes, all or the program ends. */
void apps_send(struct apps *apps, uint32_t connection, uint32_t len);

/* Frames pass and events are served until there are none. */
void apps_run(struct apps *apps);

/* Frames pass, and delayed ACKs that are still due leave. */
void apps_settle(struct apps *apps);

/* Everything arrived, once, and nothing was sent twice. */
bool apps_is_whole(const struct apps *apps);

_Noreturn void apps_die(const char *what);

#endif
