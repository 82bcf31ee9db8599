/* The port of the lwIP built here: the checksum is the card's own kernel, time stands still. */
#include "lwip/inet_chksum.h"
#include "lwip/sys.h"
#include "wire/checksum.h"

/* In memory order, not complemented, as lwip_standard_chksum(). */
uint16_t lwip_tuned_chksum(const void *data, int len)
{
    static const struct csum_ops *ops;

    if (!ops) {
        ops = csum_ops_best();
    }
    return __builtin_bswap16(
        csum_fold(len < 64 ? csum_add(0, data, (size_t)len) : ops->add(0, data, (size_t)len)));
}

u32_t sys_now(void)
{
    return 0;
}
