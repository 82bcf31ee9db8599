/* Initial sequence numbers (RFC 6528) and ephemeral ports (RFC 6056) from the seed. */
#include "stack/isn.h"

#include "stack/network.h"
#include "stack/state.h"

enum { PORT_FIRST = 49152, PORT_COUNT = 16384, ISN_TICK_NS = 4000 };

/* Families differ in length, so no two tuples are the same bytes. */
static uint64_t tuple_secret(const struct vnic_stack *s, const struct tuple *tuple, uint32_t purpose)
{
    const uint32_t ports = (uint32_t)tuple->local_port << 16 | tuple->remote_port;
    const uint32_t brief[3] = {tuple_brief(tuple->local[0]), tuple_brief(tuple->remote[0]), ports};

    return tuple->is_ipv6 ? secret_hash(s, tuple, sizeof(*tuple), purpose)
                          : secret_hash(s, brief, sizeof(brief), purpose);
}

struct isn isn_choose(const struct vnic_stack *s, const struct tuple *tuple)
{
    const uint64_t hash = tuple_secret(s, tuple, SOCKETS_SECRET_ISN);

    return (struct isn){
        .iss = (uint32_t)(s->now_ns / ISN_TICK_NS) + (uint32_t)hash,
        .ts_offset = (uint32_t)(hash >> 32),
    };
}

static bool port_is_free(const struct vnic_stack *s, const struct tuple *tuple)
{
    const bool is_self = memcmp(tuple->local, tuple->remote, sizeof(tuple->local)) == 0
                         && tuple->local_port == tuple->remote_port;

    return !is_self && lookup_find(s, tuple) == 0;
}

uint16_t port_choose(struct vnic_stack *s, const struct tuple *tuple)
{
    struct tuple candidate = *tuple;
    uint32_t offset;

    candidate.local_port = 0;
    offset = (uint32_t)tuple_secret(s, &candidate, SOCKETS_SECRET_PORT);
    for (uint32_t i = 0; i < PORT_COUNT; i++) {
        candidate.local_port = (uint16_t)(PORT_FIRST + (offset + s->sockets.ports++) % PORT_COUNT);
        if (port_is_free(s, &candidate)) {
            return candidate.local_port;
        }
    }
    return 0;
}
