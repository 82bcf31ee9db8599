/* RACK: a segment is lost when one sent sufficiently later has arrived (RFC 8985 6). */
#ifndef VNIC_TCP_RACK_H
#define VNIC_TCP_RACK_H

#include "tcp/scoreboard.h"

/* Steps 1 to 3: takes in what an ACK delivered. */
void rack_update(struct tcp_connection *c, struct tcp_recovery *r, const struct delivery *d);

/* Step 4: a D-SACK says that we were hasty; r may be NULL. */
void rack_on_dsack(struct tcp_connection *c, struct tcp_recovery *r);

/* ... and a recovery without one lets the adaptation fade. */
void rack_on_recovery_end(struct tcp_connection *c);

/*
 * Step 5, with IsLost of RFC 6675 while no reordering was seen: marks what is lost. Returns how long to wait, in us,
 * for the segments of which one cannot tell yet; 0: there are none.
 */
uint32_t rack_detect(struct tcp_engine *e, struct tcp_connection *c, struct tcp_recovery *r);

#endif
