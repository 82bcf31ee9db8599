/* The fields of an image in their order: saving and loading are the same walk. */
#ifndef VNIC_TCP_IMAGE_WALK_H
#define VNIC_TCP_IMAGE_WALK_H

#include "base/archive.h"
#include "tcp/state.h"

enum {
    IMAGE_MAGIC = 0x50435476, /* "vTCP" */
    IMAGE_VERSION = 1,
    TAG_MAGIC = 1,
    TAG_VERSION,
    TAG_LOCAL,
    TAG_REMOTE,
    TAG_HAS_RECOVERY,
    TAG_RUNS,
    TAG_RANGES,
    TAG_END,
    TAG_CONNECTION = 0x100, /* and the field's place in its table */
    TAG_RECOVERY = 0x200,
    TAG_NODE = 0x300
};

/* Bytes of a window, of a queue. */
enum { IMAGE_SPAN_MAX = 1 << 30 };

/* A connection and its recovery entry apart from the engine, times turned; c.recovery says whether there is one. */
struct image {
    struct tcp_connection c;
    struct tcp_recovery r;
};

/* Magic and version: true when the rest may follow, otherwise *refusal is enum tcp_load_result. */
bool image_walk_header(struct archive *a, int *refusal);

void image_walk_connection(struct archive *a, struct image *image);
void image_walk_node(struct archive *a, struct tcp_node *node);

/* A connection with its lists, without magic, version and end: it may be CLOSED. */
void image_save(const struct tcp_engine *e, const struct tcp_connection *c, struct archive *a);

/* What image_save() wrote, up to the lists, checked; a->failed when it cannot be. */
void image_read(struct tcp_engine *e, struct archive *a, struct image *image);

/*
 * The rest of it, into connection `index`, which is taken already; no timer is started. False: a->failed, or nodes or
 * recovery entries are used up; what was taken is given back, the connection aside.
 */
bool image_build(struct tcp_engine *e, const struct image *image, struct archive *a, uint32_t index);

/* All times become the ages that they have now, and ages the times. ts_offset is not turned: the saver adds the time, the loader takes it off. */
void image_turn(struct image *image, const struct tcp_engine *e);

/* The same for one. */
static inline void image_turn_one(uint32_t *value, uint32_t now)
{
    *value = now - *value;
}

#endif
