/* The routing table, a sorted array: few entries, asked once for each flow. */
#include "stack/route.h"

#include "base/bits.h"
#include "stack/state.h"

#include <stdlib.h>

int routes_create(struct vnic_stack *s)
{
    struct routes *r = &s->routes;
    const uint32_t others = s->config.interfaces * (INTERFACE_ADDRESSES + ROUTE_ADVERTISED_MAX);

    r->statics_max = s->config.routes;
    r->capacity = r->statics_max + others;
    r->entries = malloc(r->capacity * sizeof(*r->entries));
    return r->entries != NULL ? VNIC_OK : VNIC_ENOMEM;
}

void routes_destroy(struct vnic_stack *s)
{
    free(s->routes.entries);
    s->routes.entries = NULL;
}

const struct route *route_find(const struct vnic_stack *s, const struct vnic_address *destination,
                               uint32_t mask)
{
    for (uint32_t k = 0; k < s->routes.count; k++) {
        const struct route *r = &s->routes.entries[k];

        if ((mask >> r->interface & 1) != 0 && s->interfaces.list[r->interface].is_up
            && address_is_in(destination, &r->prefix, r->prefix_len)) {
            return r;
        }
    }
    return NULL;
}

/* Whether a comes before b. */
static bool is_before(const struct route *a, const struct route *b)
{
    if (a->prefix_len != b->prefix_len) {
        return a->prefix_len > b->prefix_len;
    }
    return a->metric < b->metric;
}

static bool is_same(const struct route *a, const struct vnic_address *prefix, uint32_t prefix_len,
                    uint32_t interface, enum route_origin origin, const struct vnic_address *gateway)
{
    return a->prefix_len == prefix_len && a->interface == interface && a->origin == origin
           && address_is_equal(&a->prefix, prefix)
           && (gateway == NULL || address_is_equal(&a->gateway, gateway));
}

static void remove_at(struct routes *r, uint32_t k)
{
    r->statics -= r->entries[k].origin == ROUTE_STATIC ? 1 : 0;
    r->count--;
    memmove(&r->entries[k], &r->entries[k + 1], (r->count - k) * sizeof(r->entries[0]));
}

int route_remove(struct vnic_stack *s, const struct vnic_address *prefix, uint32_t prefix_len,
                 uint32_t interface, enum route_origin origin, const struct vnic_address *gateway)
{
    struct routes *r = &s->routes;
    int result = VNIC_ENOENT;

    for (uint32_t k = r->count; k-- > 0;) {
        if (is_same(&r->entries[k], prefix, prefix_len, interface, origin, gateway)) {
            remove_at(r, k);
            r->generation++;
            result = VNIC_OK;
        }
    }
    return result;
}

static uint32_t count_advertised(const struct routes *r, uint32_t interface)
{
    uint32_t count = 0;

    for (uint32_t k = 0; k < r->count; k++) {
        count += r->entries[k].origin == ROUTE_ADVERTISED && r->entries[k].interface == interface ? 1 : 0;
    }
    return count;
}

static bool has_room_for(const struct routes *r, const struct route *route)
{
    switch (route->origin) {
    case ROUTE_STATIC:
        return r->statics < r->statics_max;
    case ROUTE_ADVERTISED:
        return count_advertised(r, route->interface) < ROUTE_ADVERTISED_MAX;
    default:
        return r->count < r->capacity;
    }
}

/* A router says again what it said: no path changes. */
static bool renew(struct routes *r, const struct route *route)
{
    for (uint32_t k = 0; k < r->count; k++) {
        struct route *old = &r->entries[k];

        if (old->metric == route->metric
            && is_same(old, &route->prefix, route->prefix_len, route->interface, route->origin,
                       &route->gateway)) {
            old->expires_ns = route->expires_ns;
            return true;
        }
    }
    return false;
}

int route_put(struct vnic_stack *s, const struct route *route)
{
    struct routes *r = &s->routes;
    uint32_t at = 0;

    if (renew(r, route)) {
        return VNIC_OK;
    }
    route_remove(s, &route->prefix, route->prefix_len, route->interface, route->origin, &route->gateway);
    if (!has_room_for(r, route)) {
        return VNIC_ENOSPC;
    }
    while (at < r->count && !is_before(route, &r->entries[at])) {
        at++;
    }
    memmove(&r->entries[at + 1], &r->entries[at], (r->count - at) * sizeof(r->entries[0]));
    r->entries[at] = *route;
    r->count++;
    r->statics += route->origin == ROUTE_STATIC ? 1 : 0;
    r->generation++;
    return VNIC_OK;
}

uint64_t routes_expire(struct vnic_stack *s)
{
    struct routes *r = &s->routes;
    uint64_t next_ns = UINT64_MAX;

    for (uint32_t k = r->count; k-- > 0;) {
        if (r->entries[k].expires_ns <= s->now_ns) {
            remove_at(r, k);
            r->generation++;
        } else {
            next_ns = bits_min64(next_ns, r->entries[k].expires_ns);
        }
    }
    return next_ns;
}
