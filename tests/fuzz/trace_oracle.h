/* The events of a trace, read once more by other means: what a reader is to say of any file. */
#ifndef FUZZ_TRACE_ORACLE_H
#define FUZZ_TRACE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>

#include <vnic/vnic_trace.h>

enum { ORACLE_EVENTS = 4096, ORACLE_JOINED = 1 << 18 };

/* Interfaces are those of one card, and one copy engine behind it. */
struct oracle_interfaces {
    uint32_t port, card, engine;
};

struct oracle {
    uint32_t count; /* of events; behind them, `is_over`, nothing is known */
    bool is_over;
    struct oracle_interfaces interfaces;
    struct vnic_event event[ORACLE_EVENTS]; /* data: NULL where the file has a digest */
    uint8_t joined[ORACLE_JOINED];
    uint32_t joined_used, part_len;
    bool is_joining;
};

void oracle_read(struct oracle *o, const uint8_t *file, size_t len,
                 const struct oracle_interfaces *interfaces);

/* Whether the event of that number is what a reader says; always true of what is not known. */
bool oracle_agrees(const struct oracle *o, uint64_t number, const struct vnic_event *said);

#endif
