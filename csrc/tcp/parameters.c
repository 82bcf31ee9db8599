/* parameters.c: what a host may change of a living engine: acknowledging, patience, giving up. */
#include "tcp/parameters.h"

enum {
    ACK_EVERY = 2,    /* RFC 9293 SHLD-19 */
    DUP_THRESHOLD = 3, /* RFC 5681 3.2 */
    COUNT_MAX = 255   /* of what a connection counts in a byte */
};

void engine_default_parameters(struct tcp_engine *e)
{
    e->parameters = (struct tcp_engine_parameters){
        .delack_us = e->config.delack_us,
        .ack_every = ACK_EVERY,
        .override_us = e->config.override_us,
        .dup_threshold = DUP_THRESHOLD,
        .max_retransmissions = 0,
        .doubt = e->config.r1,
    };
}

static bool is_between(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

bool parameters_are_sound(const struct tcp_engine_parameters *p)
{
    return p->delack_us <= PARAMETER_DELACK_MAX_US && is_between(p->ack_every, 1, COUNT_MAX)
           && is_between(p->override_us, PARAMETER_OVERRIDE_LEAST_US, PARAMETER_OVERRIDE_MAX_US)
           && is_between(p->dup_threshold, 2, COUNT_MAX) && p->max_retransmissions <= COUNT_MAX
           && is_between(p->doubt, 1, COUNT_MAX);
}

void tcp_engine_get_parameters(const tcp_engine *engine, struct tcp_engine_parameters *parameters)
{
    *parameters = engine->parameters;
}

bool tcp_engine_set_parameters(tcp_engine *engine, const struct tcp_engine_parameters *parameters)
{
    if (!parameters_are_sound(parameters)) {
        return false;
    }
    engine->parameters = *parameters;
    return true;
}
