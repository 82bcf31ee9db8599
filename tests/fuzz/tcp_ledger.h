/* What the caller of a TCP engine knows of a connection's stream by its own books, to hold the engine's against. */
#ifndef TESTS_FUZZ_TCP_LEDGER_H
#define TESTS_FUZZ_TCP_LEDGER_H

#include "tcp/engine.h"

enum { LEDGER_RANGES = 64 };

struct ledger {
    bool is_kept; /* else nothing is known: of another's image, or of more than there is room for */
    bool has_edge; /* una and edge are those of the step before */
    uint32_t una, edge;
    uint32_t count;
    struct tcp_block range[LEDGER_RANGES]; /* bytes to be stored, as the engine told; in order, apart */
};

void ledger_open(struct ledger *l);

/* A segment was taken: what it told to store, and what moved by it. NULL, or what is wrong. */
const char *ledger_input(struct ledger *l, const struct tcp_connection *before,
                         const struct tcp_connection *c, const struct tcp_result *result);

/* Between any two calls: every range that the engine would report was stored; no edge moves back. */
const char *ledger_check(struct ledger *l, const tcp_engine *engine, const struct tcp_connection *c);

/* A segment that leaves. */
const char *ledger_output(const struct tcp_connection *before, const struct tcp_segment *out);

/* What came out of order is void. */
void ledger_drop(struct ledger *l, const struct tcp_connection *c);

#endif
