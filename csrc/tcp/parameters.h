/* The parameters of an engine: bounds that its config shares. */
#ifndef VNIC_TCP_PARAMETERS_H
#define VNIC_TCP_PARAMETERS_H

#include "tcp/state.h"

enum {
    PARAMETER_DELACK_MAX_US = 499999, /* RFC 9293 MUST-40: below half a second */
    PARAMETER_OVERRIDE_LEAST_US = 100000, /* RFC 9293 3.8.6.2.1 */
    PARAMETER_OVERRIDE_MAX_US = 1000000
};

/* As after creation. */
void engine_default_parameters(struct tcp_engine *e);

/* All of them are within their bounds. */
bool parameters_are_sound(const struct tcp_engine_parameters *p);

#endif
