/* Timers of neighbours: a binary heap, so that a table of any size costs only what is due. */
#include "stack/neighbour_entry.h"
#include "stack/state.h"

static void place(struct neighbours *t, uint32_t at, struct neighbour_alarm alarm)
{
    t->alarms[at] = alarm;
    t->entries[alarm.neighbour].alarm = at;
}

static void sift_up(struct neighbours *t, uint32_t at, struct neighbour_alarm alarm)
{
    while (at > 1 && t->alarms[at / 2].at_ns > alarm.at_ns) {
        place(t, at, t->alarms[at / 2]);
        at /= 2;
    }
    place(t, at, alarm);
}

static void sift_down(struct neighbours *t, uint32_t at, struct neighbour_alarm alarm)
{
    for (;;) {
        uint32_t child = at * 2;

        if (child < t->alarm_count && t->alarms[child + 1].at_ns < t->alarms[child].at_ns) {
            child++;
        }
        if (child > t->alarm_count || t->alarms[child].at_ns >= alarm.at_ns) {
            break;
        }
        place(t, at, t->alarms[child]);
        at = child;
    }
    place(t, at, alarm);
}

void neighbour_cancel_alarm(struct vnic_stack *s, uint32_t index)
{
    struct neighbours *t = &s->neighbours;
    const uint32_t at = t->entries[index].alarm;
    struct neighbour_alarm last;

    if (at == 0) {
        return;
    }
    t->entries[index].alarm = 0;
    last = t->alarms[t->alarm_count--];
    if (last.neighbour == index) {
        return;
    }
    if (at > 1 && t->alarms[at / 2].at_ns > last.at_ns) {
        sift_up(t, at, last);
    } else {
        sift_down(t, at, last);
    }
}

void neighbour_set_alarm(struct vnic_stack *s, uint32_t index, uint64_t at_ns)
{
    struct neighbours *t = &s->neighbours;

    neighbour_cancel_alarm(s, index);
    t->alarm_count++;
    sift_up(t, t->alarm_count, (struct neighbour_alarm){at_ns, index});
}

uint32_t neighbour_expired(struct vnic_stack *s)
{
    struct neighbours *t = &s->neighbours;
    uint32_t index;

    if (t->alarm_count == 0 || t->alarms[1].at_ns > s->now_ns) {
        return 0;
    }
    index = t->alarms[1].neighbour;
    neighbour_cancel_alarm(s, index);
    return index;
}

uint64_t neighbours_deadline(const struct vnic_stack *s)
{
    return s->neighbours.alarm_count > 0 ? s->neighbours.alarms[1].at_ns : UINT64_MAX;
}
