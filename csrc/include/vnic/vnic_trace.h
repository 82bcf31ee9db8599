/* vnic_trace.h: recording and strict replay of what happens to devices, as vnic-trace/1 (spec/trace.md). */
#ifndef VNIC_VNIC_TRACE_H
#define VNIC_VNIC_TRACE_H

#include "vnic/vnic.h"
#include "vnic/vnic_copy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cdef begin */

enum {
    VNIC_TRACE_COMPACT = 1, /* flag of a recorder: outputs with data are written as length and digest */
    VNIC_TRACE_FUNCTIONS = 8, /* functions of one device */
    VNIC_TRACE_BUFFER_MIN = 1 << 18 /* octets: the largest block fits */
};

/* -- recording ---------------------------------------------------------------------------------------------- */

typedef struct vnic_trace vnic_trace;

/* Takes octets of the file in their order; 0, or anything else when it failed: then the recording is over. */
typedef int (*vnic_trace_sink)(void *opaque, const uint8_t *octets, size_t len);

/* capacity: octets held before they go to the sink. NULL: no memory, or capacity below VNIC_TRACE_BUFFER_MIN. */
VNIC_API vnic_trace *vnic_trace_create(size_t capacity, uint32_t flags, vnic_trace_sink sink, void *opaque);
/* Octets that stand before the events: section header and interfaces. */
VNIC_API int vnic_trace_head(vnic_trace *trace, const uint8_t *octets, size_t len);
/* The frames of a function belong to interface `port`, every other event to interface `device`. */
VNIC_API int vnic_trace_interfaces(vnic_trace *trace, unsigned function, uint32_t port, uint32_t device);
/* A vnic_observer: opaque is the recorder. */
VNIC_API void vnic_trace_event(void *trace, const struct vnic_event *event);
/* Who else wants to see a function's events, each after it was recorded; NULL: nobody. mask as of vnic_observe(). */
VNIC_API int vnic_trace_forward(vnic_trace *trace, unsigned function, vnic_observer observer, void *opaque,
                                uint32_t mask);
/* Hands what is held to the sink. VNIC_OK, or VNIC_ENOSPC when a sink has failed, now or before. */
VNIC_API int vnic_trace_flush(vnic_trace *trace);
VNIC_API uint64_t vnic_trace_events(const vnic_trace *trace); /* recorded */
VNIC_API uint64_t vnic_trace_octets(const vnic_trace *trace); /* of the file so far */
VNIC_API void vnic_trace_destroy(vnic_trace *trace); /* does not flush */

/* -- strict replay ------------------------------------------------------------------------------------------ */

typedef struct vnic_replay vnic_replay;

/* Gives up to len octets of the file; how many, 0 at its end, below 0 when it failed. */
typedef int64_t (*vnic_replay_source)(void *opaque, uint8_t *octets, size_t len);

enum vnic_replay_result {
    VNIC_REPLAY_STOPPED = 0, /* at the event that was asked for */
    VNIC_REPLAY_END = 1, /* of the file: all of it was as it says */
    VNIC_REPLAY_CUT = 2, /* the file ends within a block: all before was as it says */
    VNIC_REPLAY_DIFFERENT = 3, /* see vnic_replay_expected() and vnic_replay_actual() */
    VNIC_REPLAY_BAD = 4, /* not a trace, or one of other functions: see vnic_replay_offset() */
    VNIC_REPLAY_FAILED = 5 /* the source failed, or there is no memory */
};

/* The source starts anywhere between two blocks; what is no packet of a known interface is skipped. NULL: no memory. */
VNIC_API vnic_replay *vnic_replay_create(vnic_replay_source source, void *opaque);
VNIC_API void vnic_replay_destroy(vnic_replay *replay); /* its devices are free again */
/* Which device a function is, fresh, and which interfaces are its. The replay is its observer and its memory. */
VNIC_API int vnic_replay_card(vnic_replay *replay, unsigned function, vnic *card, uint32_t port,
                              uint32_t device);
VNIC_API int vnic_replay_engine(vnic_replay *replay, unsigned function, vnic_copy *engine, uint32_t device);
/* The device of a function is gone. */
VNIC_API void vnic_replay_forget(vnic_replay *replay, unsigned function);
/* What to do about a difference. */
enum vnic_replay_verdict {
    VNIC_REPLAY_STOP = 0, /* the replay ends: VNIC_REPLAY_DIFFERENT */
    VNIC_REPLAY_GO_ON = 1, /* the two are as good as one: both are behind */
    VNIC_REPLAY_DROP_ACTUAL = 2, /* what came out is not in the file */
    VNIC_REPLAY_DROP_EXPECTED = 3 /* what is in the file did not come out: look at the next one */
};
/* Asked at each difference; either event has type 0 when it is not there. Without a judge: VNIC_REPLAY_STOP.
 * Of the data of `actual` the first 64 octets are there at most, whatever its len says; vnic_replay_actual() likewise. */
typedef int (*vnic_replay_judge)(void *opaque, const struct vnic_event *expected,
                                 const struct vnic_event *actual);
VNIC_API void vnic_replay_set_judge(vnic_replay *replay, vnic_replay_judge judge, void *opaque);
/* Who sees what the devices do, in the order of the file, and what no device says, as MAP and MARK, as the file has it:
 * vnic_trace_event, to record it. Not told of an event that ends the replay. */
VNIC_API void vnic_replay_follow(vnic_replay *replay, vnic_observer follower, void *opaque);
/* Replays until this many events of the file are behind. */
VNIC_API int vnic_replay_run(vnic_replay *replay, uint64_t until);
VNIC_API uint64_t vnic_replay_events(const vnic_replay *replay); /* that are behind */
VNIC_API uint64_t
vnic_replay_offset(const vnic_replay *replay); /* of the next block, from where the source began */
/* Numbers of events that are missing in the file, and events of a kind that is not known. */
VNIC_API uint64_t vnic_replay_lost(const vnic_replay *replay);
VNIC_API uint64_t vnic_replay_skipped(const vnic_replay *replay);
/* The first difference: type 0 when there is no such event. Valid until the next call. */
VNIC_API const struct vnic_event *vnic_replay_expected(const vnic_replay *replay);
VNIC_API const struct vnic_event *vnic_replay_actual(const vnic_replay *replay);

/* cdef end */

#ifdef __cplusplus
}
#endif
#endif
