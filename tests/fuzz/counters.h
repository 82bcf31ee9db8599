/* counters.h: edges that count: what only prepares an input is none of its merits. */
#ifndef VNIC_FUZZ_COUNTERS_H
#define VNIC_FUZZ_COUNTERS_H

/* What is reached counts from here on: a reset and a bring-up reach the same for every input. */
void counters_clear(void);

#endif
