/* Results in words. */
#include "vnic/vnic_stack.h"

enum { STRERROR_FIRST = -VNIC_STACK_EAGAIN };

/* Those of enum vnic_result that a stack returns. */
static const char *strerror_common(int result)
{
    switch (result) {
    case VNIC_EINVAL:
        return "an argument is out of range";
    case VNIC_ENOMEM:
        return "out of memory";
    case VNIC_ENOSPC:
        return "a capacity given at creation is used up";
    case VNIC_ENOENT:
        return "no such entry";
    case VNIC_ETIME:
        return "time would go backwards";
    default:
        return result >= 0 ? "success" : "unknown result";
    }
}

const char *vnic_stack_strerror(int result)
{
    static const char *const text[] = {
        "not now: an event will tell",
        "no such socket",
        "address in use",
        "address not available",
        "host unreachable",
        "connection refused",
        "connection reset",
        "timed out",
        "not connected",
        "sending after shutdown",
        "message too long",
        "no buffer space left",
        "connection aborted",
    };
    const unsigned n = (unsigned)-result - STRERROR_FIRST;

    return n < sizeof text / sizeof text[0] ? text[n] : strerror_common(result);
}
