/* wheel_archive.c: saves the lists of the wheel, whose order is that of equal deadlines, and loads a stranger's. */
#include "base/archive.h"
#include "base/bits.h"
#include "tcp/state.h"
#include "tcp/wheel.h"

enum { TAG_NOW = 0x440, TAG_SOON_NS, TAG_BUSY, TAG_COUNT, TAG_INDEX, TAG_PLACE, SLOT_BITS = 6 };

/* At the end of a list that ends with *last; false when no connection of this engine may stand there. */
static bool member_link(struct wheel *w, uint32_t *head, uint32_t *last, uint32_t index, uint32_t place)
{
    struct tcp_connection *c = &w->connections[index];

    if (index == 0 || c->profile == ENGINE_PROFILE_FREE || c->wheel_prev != 0 || place == 0) {
        return false;
    }
    c->wheel_prev = place << WHEEL_INDEX_BITS | *last;
    c->wheel_next = 0;
    if (*last != 0) {
        w->connections[*last].wheel_next = index;
    } else {
        *head = index;
    }
    *last = index;
    return true;
}

/* Members of `due` keep the place where they were filed; those of another list stand in it. */
static void member_archive(struct wheel *w, struct archive *a, uint32_t most, uint32_t *index,
                           uint32_t *place, bool is_due)
{
    if (!archive_is_loading(a)) {
        *place = wheel_place(&w->connections[*index]);
    }
    ARCHIVE(a, TAG_INDEX, *index, most);
    if (is_due) {
        ARCHIVE(a, TAG_PLACE, *place, WHEEL_DUE);
    }
}

static uint32_t list_len(const struct wheel *w, uint32_t head)
{
    uint32_t count = 0;

    for (uint32_t i = head; i != 0; i = w->connections[i].wheel_next) {
        count++;
    }
    return count;
}

static void list_archive(struct wheel *w, struct archive *a, uint32_t most, uint32_t *head, uint32_t place)
{
    const bool is_loading = archive_is_loading(a), is_due = head == &w->due;
    const uint32_t count = archive_count(a, TAG_COUNT, is_loading ? 0 : list_len(w, *head), most);
    uint32_t index = *head, last = 0;

    for (uint32_t i = 0; i < count && !a->failed; i++) {
        member_archive(w, a, most, &index, &place, is_due);
        if (is_loading) {
            archive_refuse_if(a, !a->failed && !member_link(w, head, &last, index, place));
        } else {
            index = w->connections[index].wheel_next;
        }
    }
}

/* No slot of a level lies at or behind the present one: time would run backwards. */
static uint64_t slots_ahead(const struct wheel *w, unsigned level)
{
    const uint64_t present = w->now_ns / WHEEL_TICK_NS >> (level * SLOT_BITS) & (WHEEL_SLOTS - 1);

    return present == WHEEL_SLOTS - 1 ? 0 : ~UINT64_C(0) << (present + 1);
}

static void level_archive(struct wheel *w, struct archive *a, uint32_t most, unsigned level)
{
    ARCHIVE(a, TAG_BUSY, w->busy[level], UINT64_MAX);
    archive_refuse_if(a, (w->busy[level] & ~slots_ahead(w, level)) != 0);
    for (unsigned i = 0; i < WHEEL_SLOTS && !a->failed; i++) {
        const uint32_t at = level * WHEEL_SLOTS + i;
        if ((w->busy[level] >> i & 1) != 0) {
            list_archive(w, a, most, &w->slots[at], at + 1);
            archive_refuse_if(a, w->slots[at] == 0);
        }
    }
}

void wheel_archive(struct wheel *w, struct archive *a, uint32_t last)
{
    ARCHIVE(a, TAG_NOW, w->now_ns, UINT64_MAX);
    ARCHIVE(a, TAG_SOON_NS, w->soon_ns, UINT64_MAX);
    for (unsigned level = 0; level < WHEEL_LEVELS && !a->failed; level++) {
        level_archive(w, a, last, level);
    }
    list_archive(w, a, last, &w->soon, WHEEL_SOON);
    list_archive(w, a, last, &w->due, WHEEL_DUE);
    archive_refuse_if(a, (w->soon == 0) != (w->soon_ns == UINT64_MAX));
}
