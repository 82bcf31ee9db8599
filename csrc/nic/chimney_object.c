/* chimney_object.c: handles of neighbours, paths and connections, and what hangs on what. */
#include <string.h>

#include "base/bits.h"
#include "nic/chimney.h"

/* ---- handles ---- */

static bool object_is(const struct chimney *m, enum chm_object object, uint32_t index, uint16_t generation)
{
    const struct chm_neighbour *n = &m->neighbours[index];
    const struct chm_path *p = &m->paths[index];
    const struct chm_connection *c = &m->connections[index];
    switch (object) {
    case CHM_OBJECT_NEIGHBOUR:
        return (n->flags & CHM_LIVE) && n->generation == generation;
    case CHM_OBJECT_PATH:
        return (p->flags & CHM_LIVE) && p->generation == generation;
    case CHM_OBJECT_TCP:
        return (c->flags & CHM_LIVE) && c->generation == generation;
    default:
        return false;
    }
}

uint32_t chimney_find(const struct chimney *m, enum chm_object object, uint32_t handle)
{
    uint32_t index = handle & CHM_INDEX_MASK;
    if (index == 0 || index > m->tops[object - 1]) {
        return 0;
    }
    return object_is(m, object, index, (uint16_t)(handle >> CHM_INDEX_BITS)) ? index : 0;
}

/* From 1 to 1023 and around: a handle is never 0, and an old one names nothing. */
uint16_t chimney_next_generation(struct chimney *m, enum chm_object object, uint32_t index)
{
    uint16_t *last = &m->generations[object - 1][index];
    *last = (uint16_t)(*last % CHM_GENERATION_MAX + 1);
    m->tops[object - 1] = bits_max32(m->tops[object - 1], index);
    return *last;
}

/* ---- neighbours ---- */

static uint32_t vlan_find(const struct chimney *m, uint16_t id)
{
    uint32_t i = 0;
    while (i < m->vlans && m->vlan[i].id != id) {
        i++;
    }
    return i;
}

bool chimney_vlan_take(struct chimney *m, uint16_t id)
{
    uint32_t i = vlan_find(m, id);
    if (id == 0) {
        return true;
    }
    if (i == CHM_VLANS) {
        return false;
    }
    if (i == m->vlans) {
        m->vlan[m->vlans++] = (struct chm_vlan){.id = id};
    }
    m->vlan[i].neighbours++;
    return true;
}

void chimney_vlan_give(struct chimney *m, uint16_t id)
{
    uint32_t i = vlan_find(m, id);
    if (id != 0 && i < m->vlans && --m->vlan[i].neighbours == 0) {
        m->vlan[i] = m->vlan[--m->vlans];
        m->vlan[m->vlans] = (struct chm_vlan){0};
    }
}

uint32_t chimney_take_neighbour(struct chimney *m)
{
    uint32_t index = pool_take(&m->neighbour_pool);
    if (index != 0) {
        uint16_t generation = chimney_next_generation(m, CHM_OBJECT_NEIGHBOUR, index);
        m->neighbours[index] = (struct chm_neighbour){.generation = generation, .flags = CHM_LIVE};
        m->live_neighbours++;
    }
    return index;
}

void chimney_give_neighbour(struct chimney *m, uint32_t neighbour)
{
    chimney_reach_forget(m, neighbour);
    chimney_vlan_give(m, m->neighbours[neighbour].vlan);
    m->neighbours[neighbour].flags = 0;
    pool_give(&m->neighbour_pool, neighbour);
    m->live_neighbours--;
}

/* ---- paths ---- */

void chimney_hang_path(struct chimney *m, uint32_t path, uint32_t neighbour)
{
    struct chm_path *p = &m->paths[path];
    uint32_t first = m->neighbours[neighbour].paths;
    p->neighbour = neighbour;
    p->next = first != 0 ? first : path;
    p->prev = first != 0 ? m->paths[first].prev : path;
    m->paths[p->prev].next = path;
    m->paths[p->next].prev = path;
    m->neighbours[neighbour].paths = first != 0 ? first : path;
}

void chimney_unhang_path(struct chimney *m, uint32_t path)
{
    struct chm_path *p = &m->paths[path];
    struct chm_neighbour *n = &m->neighbours[p->neighbour];
    m->paths[p->prev].next = p->next;
    m->paths[p->next].prev = p->prev;
    if (n->paths == path) {
        n->paths = p->next != path ? p->next : 0;
    }
}

uint32_t chimney_take_path(struct chimney *m, uint32_t neighbour)
{
    uint32_t index = pool_take(&m->path_pool);
    if (index != 0) {
        uint16_t generation = chimney_next_generation(m, CHM_OBJECT_PATH, index);
        m->paths[index] = (struct chm_path){.generation = generation, .flags = CHM_LIVE};
        chimney_hang_path(m, index, neighbour);
        m->live_paths++;
    }
    return index;
}

void chimney_give_path(struct chimney *m, uint32_t path)
{
    chimney_unhang_path(m, path);
    m->paths[path].flags = 0;
    pool_give(&m->path_pool, path);
    m->live_paths--;
}

/* ---- connections ---- */

struct chm_neighbour *chimney_neighbour_of(const struct chimney *m, const struct chm_connection *c)
{
    return &m->neighbours[m->paths[c->path].neighbour];
}

void chimney_hang_connection(struct chimney *m, uint32_t connection, uint32_t path)
{
    struct chm_connection *c = &m->connections[connection];
    uint32_t first = m->paths[path].connections;
    c->path = path;
    c->next = first != 0 ? first : connection;
    c->prev = first != 0 ? m->connections[first].prev : connection;
    m->connections[c->prev].next = connection;
    m->connections[c->next].prev = connection;
    m->paths[path].connections = first != 0 ? first : connection;
}

static void object_unhang_connection(struct chimney *m, uint32_t connection)
{
    struct chm_connection *c = &m->connections[connection];
    struct chm_path *p = &m->paths[c->path];
    m->connections[c->prev].next = c->next;
    m->connections[c->next].prev = c->prev;
    if (p->connections == connection) {
        p->connections = c->next != connection ? c->next : 0;
    }
}

void chimney_enliven(struct vnic *card, uint32_t connection, uint32_t path)
{
    struct chimney *m = card->chimney;
    uint16_t generation = chimney_next_generation(m, CHM_OBJECT_TCP, connection);
    m->connections[connection] =
        (struct chm_connection){.generation = generation, .flags = CHM_LIVE | CHM_LISTED | CHM_ACTIVE};
    chimney_hang_connection(m, connection, path);
    chimney_lookup_insert(m, connection);
    m->live_connections++;
    chimney_count_state(card, connection, TCP_REASON_NONE);
    chimney_look_begin(card);
}

void chimney_unlist(struct chimney *m, uint32_t connection)
{
    struct chm_connection *c = chimney_connection(m, connection);
    if (chimney_has(c, CHM_LISTED)) {
        chimney_lookup_remove(m, connection);
        c->flags &= (uint16_t)~CHM_LISTED;
    }
}

void chimney_release(struct vnic *card, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    chimney_unlist(m, index);
    chimney_output_forget(m, index);
    chimney_report_leave(m, index);
    chimney_send_drop(m, index);
    chimney_place_drop(m, index);
    object_unhang_connection(m, index);
    chimney_count_end(card, index);
    tcp_release(m->engine, &m->tcp[index]);
    *c = (struct chm_connection){0};
    m->live_connections--;
    chimney_check_pressure(card);
}
