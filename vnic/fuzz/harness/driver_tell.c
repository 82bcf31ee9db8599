/* driver_tell.c: what an input does, act by act, for who looks into a finding: VNIC_FUZZ_TELL=1. */
#include "driver_tell.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const names[ACTS] = {
    [ACT_SETTLE] = "settle",
    [ACT_WORK] = "work",
    [ACT_RUN] = "run",
    [ACT_SEND] = "send",
    [ACT_SEND_MANY] = "send many",
    [ACT_CANCEL] = "cancel",
    [ACT_ARRIVE] = "arrive",
    [ACT_ARRIVE_MANY] = "arrive many",
    [ACT_RETURN] = "return",
    [ACT_KEEP] = "keep",
    [ACT_WAIT] = "wait",
    [ACT_RACE] = "race",
    [ACT_QUERY] = "query",
    [ACT_SET] = "set",
    [ACT_CANCEL_REQUEST] = "cancel request",
    [ACT_FILTER] = "filter",
    [ACT_PAUSE] = "pause",
    [ACT_RESTART] = "restart",
    [ACT_RESET] = "reset",
    [ACT_CHECK_FOR_HANG] = "check for hang",
    [ACT_HALT] = "halt",
    [ACT_INITIALIZE] = "initialize",
    [ACT_SHUT_DOWN] = "shut down",
    [ACT_NO_MEMORY] = "no memory",
    [ACT_REMOVE] = "remove",
    [ACT_INSERT] = "insert",
    [ACT_LINK] = "link",
    [ACT_EVENT] = "event",
    [ACT_LIE] = "lie",
    [ACT_DEAFEN] = "deafen",
    [ACT_FORGE_RECEIVE] = "forge receive",
    [ACT_FORGE_TRANSMIT] = "forge transmit",
    [ACT_CORRUPT] = "corrupt",
    [ACT_SCRIBBLE] = "scribble",
    [ACT_STOP_RING] = "stop ring",
    [ACT_INTERRUPT] = "interrupt",
    [ACT_LOSE_INTERRUPTS] = "lose interrupts",
    [ACT_HOLD_INTERRUPTS] = "hold interrupts",
    [ACT_REFORM] = "reform",
};
static const char *const states[] = {"Halted",  "Initializing", "Paused",  "Restarting",
                                     "Running", "Pausing",      "Halting", "Shut down"};

bool fuzz_tells(void)
{
    static int answer = -1;
    if (answer < 0) {
        const char *asked = getenv("VNIC_FUZZ_TELL");
        answer = asked != NULL && asked[0] != '\0' && asked[0] != '0';
    }
    return answer > 0;
}

void fuzz_tell_options(const struct fuzz_world *w)
{
    const char *kind = w->options.kind == VNIC_INTERRUPT_MSIX  ? "MSI-X"
                       : w->options.kind == VNIC_INTERRUPT_MSI ? "MSI"
                                                               : "line";
    fprintf(stderr, "the card is %s%s; interrupts: %s; buffers: %u\n",
            w->options.is_sound     ? "sound"
            : w->options.is_bounded ? "bounded"
                                    : "unbounded",
            w->card.is_eager ? ", eager" : "", kind, w->options.buffers);
}

void fuzz_tell_act(const struct fuzz_world *w, uint32_t number, const struct fuzz_act *act)
{
    fprintf(stderr, "%3u %-13s %-18s a=%u b=%u c=0x%X\n", number, states[w->adapter.state],
            names[act->code % ACTS], act->a, act->b, act->c);
}

void fuzz_tell_answer(const struct vnic_oid_request *request, uint32_t status)
{
    const bool is_set = request->type == NDIS_REQUEST_SET_INFORMATION;
    fprintf(stderr, "    OID 0x%08X %s: 0x%08X, %u bytes\n", request->oid, is_set ? "set" : "query", status,
            is_set ? request->bytes_read : request->bytes_written);
}
