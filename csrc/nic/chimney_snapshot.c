/* chimney_snapshot.c: the chimney's section of a snapshot: what it saves, in which order, and its lists [CHM-80]. */
#include "nic/chimney_snapshot.h"

#include <stddef.h>

#include "tcp/engine_archive.h"

/* ---- numbers ---- */

static void snapshot_status(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    struct chm_parameters *p = &m->parameters;
    uint8_t last = (uint8_t)(card->config.queue_pairs - 1);
    ARCHIVE(a, CHM_TAG_ENABLED, m->is_enabled, 1);
    ARCHIVE(a, CHM_TAG_STATUS, m->is_paused, 1);
    ARCHIVE(a, CHM_TAG_STATUS, m->must_upload_all, 1);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->ticks_per_second, 1000);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->push_ticks, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->nce_stale_ticks, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->congestion, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->out_of_order_rate, 100);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->drop_rate, 100);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->small_io, CHM_SMALL_IO_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->unposted_bytes, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->idle_ticks, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_PARAMETER, p->fragments, UINT16_MAX);
    ARCHIVE(a, CHM_TAG_LOOK, m->look_at, card->config.connections);
    ARCHIVE(a, CHM_TAG_LOOK, m->look_ns, UINT64_MAX);
    ARCHIVE(a, CHM_TAG_LOOK, m->look_is_on, 1);
    ARCHIVE(a, CHM_TAG_LOOK, m->look_found, 1);
    ARCHIVE(a, CHM_TAG_FENCES, m->fences, UINT32_MAX);
    ARCHIVE(a, CHM_TAG_TURN, m->submit_turn, last);
    ARCHIVE(a, CHM_TAG_TURN, m->report_turn, last);
    ARCHIVE(a, CHM_TAG_IDENTIFICATION, m->identification, UINT16_MAX);
    for (unsigned i = 0; i < CHM_STATS; i++) {
        ARCHIVE(a, CHM_TAG_STAT, m->stat[i], UINT64_MAX);
    }
}

/* What arithmetic relies on while the chimney runs. */
static bool status_is_sound(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    uint32_t rate = m->parameters.ticks_per_second;
    uint64_t pairs = (UINT64_C(1) << card->config.queue_pairs) - 1;
    return (!m->is_enabled || rate == 10 || rate == 100 || rate == 1000) && (m->fences & ~pairs) == 0
           && m->parameters.congestion <= TCP_CC_CUBIC;
}

static void snapshot_generations(struct vnic *card, struct archive *a)
{
    const struct vnic_config *config = &card->config;
    const uint32_t places[3] = {config->neighbours, config->paths, config->connections};
    struct chimney *m = card->chimney;
    for (unsigned k = 0; k < 3; k++) {
        ARCHIVE(a, CHM_TAG_TOP, m->tops[k], places[k]);
        for (uint32_t i = 1; i <= m->tops[k] && !a->failed; i++) {
            ARCHIVE(a, CHM_TAG_GENERATION, m->generations[k][i], CHM_GENERATION_MAX);
        }
    }
}

/* ---- lists of connections ---- */

/* Linked both ways by two members of struct chm_connection; whoever is in it has the flag. */
struct snapshot_list {
    uint32_t *first, *last;
    size_t next, prev;
    uint16_t flag;
};

#define LIST(first, last, name, flag)                                                                        \
    (struct snapshot_list)                                                                                   \
    {                                                                                                        \
        &(first), &(last), offsetof(struct chm_connection, name##_next),                                     \
            offsetof(struct chm_connection, name##_prev), (flag)                                             \
    }

static uint32_t *list_link(struct chimney *m, uint32_t index, size_t offset)
{
    return (uint32_t *)(void *)((uint8_t *)chimney_connection(m, index) + offset);
}

/* At the end; false when it is no connection, or in a list of this kind already. */
static bool list_append(struct chimney *m, const struct snapshot_list *list, uint32_t index)
{
    struct chm_connection *c = chimney_connection(m, index);
    if (!chimney_has(c, CHM_LIVE) || chimney_has(c, list->flag)) {
        return false;
    }
    c->flags |= list->flag;
    *list_link(m, index, list->prev) = *list->last;
    *list_link(m, index, list->next) = 0;
    *(*list->last != 0 ? list_link(m, *list->last, list->next) : list->first) = index;
    *list->last = index;
    return true;
}

static void list_archive(struct chimney *m, struct archive *a, struct snapshot_list list)
{
    uint32_t count = 0, index = *list.first;
    for (uint32_t i = index; i != 0; i = *list_link(m, i, list.next)) {
        count++;
    }
    count = archive_count(a, CHM_TAG_LIST, count, m->live_connections);
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        ARCHIVE(a, CHM_TAG_MEMBER, index, m->tops[CHM_OBJECT_TCP - 1]);
        if (archive_is_loading(a)) {
            archive_refuse_if(a, !a->failed && !list_append(m, &list, index));
        } else {
            index = *list_link(m, index, list.next);
        }
    }
}

/* In order of expiry, for only the first is looked at. */
static bool push_is_sorted(const struct chimney *m)
{
    uint64_t before = 0;
    for (uint32_t i = m->push_first; i != 0; i = m->connections[i].push_next) {
        if (m->connections[i].push_ns < before) {
            return false;
        }
        before = m->connections[i].push_ns;
    }
    return true;
}

/* Members stand in the lists of the pair that they name, and those that starve in the other one. */
static bool reports_are_sound(const struct chimney *m, uint32_t first, unsigned pair, bool is_starved)
{
    for (uint32_t i = first; i != 0; i = m->connections[i].report_next) {
        const struct chm_connection *c = chimney_connection(m, i);
        if (c->report_queue != pair || chimney_has(c, CHM_STARVED) != is_starved) {
            return false;
        }
    }
    return true;
}

static void snapshot_reports(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    for (unsigned i = 0; i < card->config.queue_pairs && !a->failed; i++) {
        struct chm_queue *q = &m->queue[i];
        list_archive(m, a, LIST(q->report_first, q->report_last, report, CHM_IN_REPORT));
        list_archive(m, a, LIST(q->starved_first, q->starved_last, report, CHM_IN_REPORT));
        archive_refuse_if(a, !a->failed
                                 && (!reports_are_sound(m, q->report_first, i, false)
                                     || !reports_are_sound(m, q->starved_first, i, true)));
    }
    list_archive(m, a, LIST(m->moving_first, m->moving_last, report, CHM_IN_REPORT));
}

/* Only those that are in a list of reports starve. */
static bool starving_are_listed(const struct chimney *m)
{
    for (uint32_t i = 1; i <= m->tops[CHM_OBJECT_TCP - 1]; i++) {
        const struct chm_connection *c = chimney_connection(m, i);
        if (chimney_has(c, CHM_STARVED) && !chimney_has(c, CHM_IN_REPORT)) {
            return false;
        }
    }
    return true;
}

static void snapshot_lists(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    list_archive(m, a, LIST(m->output_first, m->output_last, output, CHM_IN_OUTPUT));
    list_archive(m, a, LIST(m->push_first, m->push_last, push, CHM_PUSH_TIMER));
    list_archive(m, a, LIST(m->held_first, m->held_last, held, CHM_HOLDS_RANGES));
    snapshot_reports(card, a);
    archive_refuse_if(a, !a->failed && (!push_is_sorted(m) || !starving_are_listed(m)));
}

/* ---- all ---- */

static void snapshot_body(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    snapshot_neighbours(card, a);
    snapshot_paths(card, a);
    if (!a->failed) {
        tcp_engine_archive(m->engine, a);
        archive_refuse_if(a, tcp_engine_now(m->engine) > card->pci.now_ns);
    }
    if (!a->failed) {
        snapshot_connections(card, a);
    }
    snapshot_queries(card, a);
    snapshot_lists(card, a);
    snapshot_admin(card, a);
    snapshot_queues(card, a);
    chimney_output_archive(card, a);
}

void chimney_archive(struct vnic *card, struct archive *a)
{
    struct chimney *m = card->chimney;
    if (m == NULL) {
        return;
    }
    if (archive_is_loading(a)) {
        chimney_reset(card);
        m->is_reset = false;
    }
    snapshot_status(card, a);
    archive_refuse_if(a, !status_is_sound(card));
    snapshot_generations(card, a);
    if (!a->failed) {
        snapshot_body(card, a);
    }
    if (archive_is_loading(a) && a->failed) {
        chimney_reset(card);
    } else if (archive_is_loading(a)) {
        chimney_lookup_rebuild(card);
    }
}
