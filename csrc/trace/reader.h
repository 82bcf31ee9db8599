/* reader.h: the events of a trace, one after the other, with a look at those that follow. */
#ifndef VNIC_TRACE_READER_H
#define VNIC_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "vnic/vnic_trace.h"

#define READER_BUFFER (4u << 20)     /* octets of the file at hand */
#define READER_AHEAD 1024u           /* events known at once */
#define READER_DATA_MAX (1u << 30)   /* of an event in parts */

enum reader_end { READER_GOES_ON, READER_AT_END, READER_CUT, READER_BAD, READER_FAILED };

/* An event as the file has it; its data are found by the reader. */
struct traced {
    struct vnic_event event;
    uint64_t at;         /* offset of its data in the file; parts: in `joined` */
    uint64_t offset;     /* of its block */
    uint64_t digest;
    bool is_digest, is_joined;
};

struct reader {
    vnic_replay_source source;
    void *opaque;
    uint8_t *buffer;
    uint64_t base;        /* offset in the file of buffer[0] */
    size_t used;
    uint64_t next;        /* offset of the next block to parse */
    enum reader_end end;  /* why there are no more */
    struct traced *ahead; /* a ring */
    uint32_t first, count;
    uint8_t *joined;      /* data of the event in parts that was met last */
    size_t joined_len, joined_capacity;
    bool is_joining;
    uint64_t lost, skipped, events; /* events: parsed */
    uint32_t port[VNIC_TRACE_FUNCTIONS], device[VNIC_TRACE_FUNCTIONS];
};

bool reader_create(struct reader *r, vnic_replay_source source, void *opaque);
void reader_destroy(struct reader *r);

/* The event `ahead` places behind the next one, NULL: there is none, see r->end. */
const struct traced *reader_peek(struct reader *r, uint32_t ahead);
/* The octets of an event that was peeked at; NULL: it has none. */
const uint8_t *reader_data(const struct reader *r, const struct traced *event);
/* The next event is behind. */
void reader_pass(struct reader *r);

#endif
