/* chimney_snapshot_objects.c: neighbours, paths and connections, in their places and on each other. */
#include <string.h>

#include "base/pool_archive.h"
#include "nic/chimney_snapshot.h"
#include "tcp/engine_archive.h"

enum {
    MTU_LEAST_IPV4 = 68,
    MTU_LEAST_IPV6 = 1280,
    VLAN_ID_MAX = 0xFFF,
    PENDING_KNOWN = 0x7F,
    REASONS_KNOWN = 2 * (1 << CHM_REASON_HARDWARE_FAILURE) - 2,
    FLAGS_OF_LISTS = CHM_PUSH_TIMER | CHM_IN_OUTPUT | CHM_IN_REPORT | CHM_HOLDS_RANGES,
    FLAGS_KNOWN = CHM_LIVE | CHM_INVALID | CHM_LISTED | CHM_ENDING | CHM_ABORTED | CHM_STOPPED
        | CHM_SENDS_REFUSED | CHM_FIN_REPORTED | CHM_PUSHED | CHM_STARVED | CHM_ESTABLISHED | CHM_ACTIVE
};

/* ---- of every object ---- */

/* Flags, without those that a list sets, and the generation, which is that of its place. */
static void object_archive(struct chimney *m, struct archive *a, enum chm_object object, uint32_t index,
                           uint16_t *flags, uint16_t *generation)
{
    uint16_t known = object == CHM_OBJECT_TCP ? FLAGS_KNOWN : CHM_LIVE | CHM_INVALID;
    uint16_t shown = *flags & (uint16_t)~FLAGS_OF_LISTS;
    ARCHIVE(a, CHM_TAG_FLAGS, shown, known);
    ARCHIVE(a, CHM_TAG_OBJECT_GENERATION, *generation, CHM_GENERATION_MAX);
    archive_refuse_if(a, (shown & ~known) != 0 || (shown & CHM_LIVE) == 0);
    archive_refuse_if(a, *generation == 0 || *generation != m->generations[object - 1][index]);
    if (archive_is_loading(a)) {
        *flags = a->failed ? 0 : shown;
    }
}

/* The next live one, whose index is higher than the last one's. */
static uint32_t index_archive(struct archive *a, uint32_t live, uint32_t before, uint32_t top)
{
    ARCHIVE(a, CHM_TAG_INDEX, live, top);
    archive_refuse_if(a, archive_is_loading(a) && live <= before);
    return a->failed ? 0 : live;
}

/* ---- neighbours ---- */

static uint32_t neighbour_behind(const struct chimney *m, uint32_t index)
{
    do {
        index++;
    } while (index <= m->tops[CHM_OBJECT_NEIGHBOUR - 1] && (m->neighbours[index].flags & CHM_LIVE) == 0);
    return index;
}

static void neighbour_archive(struct chimney *m, struct archive *a, uint32_t index)
{
    struct chm_neighbour *n = &m->neighbours[index];
    object_archive(m, a, CHM_OBJECT_NEIGHBOUR, index, &n->flags, &n->generation);
    archive_bytes(a, CHM_TAG_NEIGHBOUR, n->source, sizeof n->source);
    archive_bytes(a, CHM_TAG_NEIGHBOUR + 1, n->destination, sizeof n->destination);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 2, n->vlan, VLAN_ID_MAX);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 3, n->is_queried, 1);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 4, n->host_ns, UINT64_MAX);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 5, n->nic_ns, UINT64_MAX);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 6, n->queried_ns, UINT64_MAX);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 7, n->host_delta, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_NEIGHBOUR + 8, n->query_delta, UINT32_MAX);
    archive_refuse_if(a, !a->failed && !chimney_vlan_take(m, n->vlan));
}

void snapshot_neighbours(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    struct pool *p = &m->neighbour_pool;
    uint32_t index = 0;
    pool_archive(p, a, CHM_TAG_POOL);
    for (uint32_t i = 0; i < p->used && !a->failed; i++) {
        uint32_t live = archive_is_loading(a) ? 0 : neighbour_behind(m, index);
        index = index_archive(a, live, index, m->tops[CHM_OBJECT_NEIGHBOUR - 1]);
        if (!a->failed) {
            m->neighbours[index].paths = archive_is_loading(a) ? 0 : m->neighbours[index].paths;
            m->neighbours[index].query_next = archive_is_loading(a) ? 0 : m->neighbours[index].query_next;
            neighbour_archive(m, a, index);
        }
    }
    archive_refuse_if(a, !a->failed && !pool_is_sound(p));
    m->live_neighbours = p->used;
}

/* Each neighbour once: it is listed when another follows it, or when it is the last. */
void snapshot_queries(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    uint32_t count = 0, index = m->query_first;
    for (uint32_t i = index; i != 0; i = m->neighbours[i].query_next) {
        count++;
    }
    count = archive_count(a, CHM_TAG_COUNT, count, m->live_neighbours);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        uint32_t next = archive_is_loading(a) ? 0 : m->neighbours[index].query_next;
        ARCHIVE(a, CHM_TAG_INDEX, index, m->tops[CHM_OBJECT_NEIGHBOUR - 1]);
        if (archive_is_loading(a)) {
            struct chm_neighbour *n = &m->neighbours[index];
            archive_refuse_if(a, index == 0 || (n->flags & CHM_LIVE) == 0 || n->query_next != 0
                                     || index == m->query_last);
            if (a->failed) {
                return;
            }
            *(m->query_last != 0 ? &m->neighbours[m->query_last].query_next : &m->query_first) = index;
            m->query_last = index;
        } else {
            index = next;
        }
    }
}

/* ---- paths ---- */

static bool path_is_sound(const struct vnic *card, const struct chm_path *p)
{
    static const uint8_t zero[12];
    bool is_padded =
        memcmp(p->source + 4, zero, sizeof zero) == 0 && memcmp(p->destination + 4, zero, sizeof zero) == 0;
    uint32_t least = p->is_ipv6 ? MTU_LEAST_IPV6 : MTU_LEAST_IPV4;
    return p->mtu >= least && p->mtu <= card->config.max_frame - FRAME_MIN && (p->is_ipv6 || is_padded);
}

static void path_archive(struct vnic *card, struct archive *a, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_path *p = &m->paths[index];
    object_archive(m, a, CHM_OBJECT_PATH, index, &p->flags, &p->generation);
    ARCHIVE(a, CHM_TAG_PATH, p->mtu, UINT16_MAX);
    archive_bytes(a, CHM_TAG_PATH + 1, p->source, sizeof p->source);
    archive_bytes(a, CHM_TAG_PATH + 2, p->destination, sizeof p->destination);
    ARCHIVE(a, CHM_TAG_PATH + 3, p->is_ipv6, 1);
    archive_refuse_if(a, !path_is_sound(card, p));
}

/* Paths of a neighbour in the order in which it is walked over; loading hangs each of them, once. */
static void path_ring(struct chimney *m, struct archive *a, uint32_t neighbour)
{
    uint32_t first = m->neighbours[neighbour].paths, at = first, count = first != 0;
    for (uint32_t i = first; i != 0 && m->paths[i].next != first; i = m->paths[i].next) {
        count++;
    }
    count = archive_count(a, CHM_TAG_COUNT, count, m->live_paths);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        ARCHIVE(a, CHM_TAG_INDEX, at, m->tops[CHM_OBJECT_PATH - 1]);
        if (archive_is_loading(a)) {
            archive_refuse_if(a,
                              at == 0 || (m->paths[at].flags & CHM_LIVE) == 0 || m->paths[at].neighbour != 0);
            if (!a->failed) {
                chimney_hang_path(m, at, neighbour);
            }
        } else {
            at = m->paths[at].next;
        }
    }
}

static uint32_t path_behind(const struct chimney *m, uint32_t index)
{
    do {
        index++;
    } while (index <= m->tops[CHM_OBJECT_PATH - 1] && (m->paths[index].flags & CHM_LIVE) == 0);
    return index;
}

static bool paths_hang(const struct chimney *m)
{
    uint32_t top = m->tops[CHM_OBJECT_PATH - 1];
    for (uint32_t i = path_behind(m, 0); i <= top; i = path_behind(m, i)) {
        if (m->paths[i].neighbour == 0) {
            return false;
        }
    }
    return true;
}

void snapshot_paths(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    struct pool *p = &m->path_pool;
    uint32_t index = 0, top = m->tops[CHM_OBJECT_NEIGHBOUR - 1];
    pool_archive(p, a, CHM_TAG_POOL);
    for (uint32_t i = 0; i < p->used && !a->failed; i++) {
        uint32_t live = archive_is_loading(a) ? 0 : path_behind(m, index);
        index = index_archive(a, live, index, m->tops[CHM_OBJECT_PATH - 1]);
        if (!a->failed) {
            m->paths[index].next = archive_is_loading(a) ? 0 : m->paths[index].next;
            path_archive(card, a, index);
        }
    }
    archive_refuse_if(a, !a->failed && !pool_is_sound(p));
    m->live_paths = p->used;
    for (uint32_t i = neighbour_behind(m, 0); i <= top && !a->failed; i = neighbour_behind(m, i)) {
        path_ring(m, a, i);
    }
    archive_refuse_if(a, !a->failed && !paths_hang(m));
}

/* ---- connections ---- */

static uint32_t connection_behind(const struct chimney *m, uint32_t index)
{
    do {
        index++;
    } while (index <= m->tops[CHM_OBJECT_TCP - 1] && !chimney_has(chimney_connection(m, index), CHM_LIVE));
    return index;
}

static void connection_fields(struct vnic *card, struct archive *a, struct chm_connection *c)
{
    uint8_t last = (uint8_t)(card->config.queue_pairs - 1);
    uint16_t tag = CHM_TAG_CONNECTION;
    ARCHIVE(a, tag++, c->hash_value, UINT32_MAX);
    ARCHIVE(a, tag++, c->initial_rcv_wnd, CHM_WINDOW_MAX);
    ARCHIVE(a, tag++, c->rcv_indication_size, UINT32_MAX);
    ARCHIVE(a, tag++, c->label_priority, UINT32_MAX);
    ARCHIVE(a, tag++, c->ka_timeout, UINT32_MAX);
    ARCHIVE(a, tag++, c->ka_interval, UINT32_MAX);
    ARCHIVE(a, tag++, c->max_rt, UINT32_MAX);
    ARCHIVE(a, tag++, c->cached_flags, UINT16_MAX);
    ARCHIVE(a, tag++, c->queue, last);
    ARCHIVE(a, tag++, c->report_queue, last);
    ARCHIVE(a, tag++, c->retrieved, REASONS_KNOWN);
    ARCHIVE(a, tag++, c->pending, UINT32_MAX);
    ARCHIVE(a, tag++, c->send_seq, UINT32_MAX);
    ARCHIVE(a, tag++, c->sends_done, UINT32_MAX);
    ARCHIVE(a, tag++, c->placed, UINT32_MAX);
    ARCHIVE(a, tag++, c->post_offset, UINT32_MAX);
    ARCHIVE(a, tag++, c->deliver_seq, UINT32_MAX);
    ARCHIVE(a, tag++, c->pool_count, UINT32_MAX);
    ARCHIVE(a, tag++, c->push_seq, UINT32_MAX);
    ARCHIVE(a, tag++, c->push_ns, UINT64_MAX);
    ARCHIVE(a, tag++, c->backlog, CHM_WINDOW_MAX);
    ARCHIVE(a, tag++, c->habit.in, UINT8_MAX);
    ARCHIVE(a, tag++, c->habit.in_ahead, c->habit.in);
    ARCHIVE(a, tag++, c->habit.out, UINT8_MAX);
    ARCHIVE(a, tag++, c->habit.out_again, c->habit.out);
    ARCHIVE(a, tag++, c->habit.requests, CHM_HABIT_REQUESTS - 1);
    ARCHIVE(a, tag++, c->habit.fragments, UINT16_MAX);
    ARCHIVE(a, tag++, c->habit.request_bytes, CHM_HABIT_REQUESTS * CHM_SMALL_IO_MAX);
    ARCHIVE(a, tag++, c->habit.unposted, UINT32_MAX);
}

static bool pending_is_sound(uint32_t pending)
{
    uint32_t reason = pending >> CHM_PENDING_REASON_SHIFT;
    uint32_t known = PENDING_KNOWN | (uint32_t)UINT8_MAX << CHM_PENDING_REASON_SHIFT;
    return (pending & ~known) == 0 && reason <= CHM_REASON_HARDWARE_FAILURE
           && (reason != 0) == ((pending & CHM_PENDING_RETRIEVE) != 0);
}

/* What the engine holds of it is a connection of a target. */
static bool connection_is_sound(const struct chimney *m, uint32_t index)
{
    const struct tcp_connection *t = &m->tcp[index];
    return tcp_is_live(m->engine, index) && t->profile == TCP_PROFILE_CHIMNEY
           && (tcp_is_synchronized(t) || t->state == TCP_STATE_CLOSED)
           && pending_is_sound(chimney_connection(m, index)->pending);
}

static void connection_archive(struct vnic *card, struct archive *a, uint32_t index)
{
    struct chimney *m = card->chimney;
    struct chm_connection *c = chimney_connection(m, index);
    object_archive(m, a, CHM_OBJECT_TCP, index, &c->flags, &c->generation);
    connection_fields(card, a, c);
    archive_refuse_if(a, !a->failed && !connection_is_sound(m, index));
    if (!a->failed) {
        snapshot_sends(m, a, index);
        snapshot_posts(m, a, index);
        snapshot_blocks(m, a, index);
    }
}

/* Its addresses are the path's, for nothing else keeps them in step. */
static bool connection_fits(const struct chimney *m, uint32_t index, uint32_t path)
{
    const struct tcp_connection *t = &m->tcp[index];
    const struct chm_path *p = &m->paths[path];
    return t->is_ipv6 == p->is_ipv6 && memcmp(t->local, p->source, sizeof t->local) == 0
           && memcmp(t->remote, p->destination, sizeof t->remote) == 0;
}

static void connection_ring(struct chimney *m, struct archive *a, uint32_t path)
{
    uint32_t first = m->paths[path].connections, at = first, count = first != 0;
    for (uint32_t i = first; i != 0 && m->connections[i].next != first; i = m->connections[i].next) {
        count++;
    }
    count = archive_count(a, CHM_TAG_COUNT, count, m->live_connections);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        ARCHIVE(a, CHM_TAG_INDEX, at, m->tops[CHM_OBJECT_TCP - 1]);
        if (archive_is_loading(a)) {
            const struct chm_connection *c = chimney_connection(m, at);
            archive_refuse_if(a, !chimney_has(c, CHM_LIVE) || c->path != 0 || !connection_fits(m, at, path));
            if (!a->failed) {
                chimney_hang_connection(m, at, path);
            }
        } else {
            at = m->connections[at].next;
        }
    }
}

static bool connections_hang(const struct chimney *m)
{
    uint32_t top = m->tops[CHM_OBJECT_TCP - 1];
    for (uint32_t i = connection_behind(m, 0); i <= top; i = connection_behind(m, i)) {
        if (m->connections[i].path == 0) {
            return false;
        }
    }
    return true;
}

void snapshot_connections(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    uint32_t index = 0, top = m->tops[CHM_OBJECT_PATH - 1];
    m->live_connections = archive_count(a, CHM_TAG_COUNT, m->live_connections, m->tops[CHM_OBJECT_TCP - 1]);
    archive_refuse_if(a, m->live_connections != tcp_connections_used(m->engine));
    for (uint32_t i = 0; i < m->live_connections && !a->failed; i++) {
        uint32_t live = archive_is_loading(a) ? 0 : connection_behind(m, index);
        index = index_archive(a, live, index, m->tops[CHM_OBJECT_TCP - 1]);
        if (!a->failed) {
            connection_archive(card, a, index);
        }
    }
    for (uint32_t i = path_behind(m, 0); i <= top && !a->failed; i = path_behind(m, i)) {
        connection_ring(m, a, i);
    }
    archive_refuse_if(a, !a->failed && !connections_hang(m));
}
