/* lwIP without its thread: the program calls it, its frames go to a neighbour in the same process, copied once. */
#define _GNU_SOURCE
#include "lwip_end.h"

#include <dlfcn.h>
#include <string.h>

#include "../tcp_load.h"

static void frame_free(struct pbuf *pbuf)
{
    struct lwip_frame *frame = (struct lwip_frame *)(void *)pbuf;
    struct lwip_end *end = frame->end;

    end->unused[end->unused_count++] = frame;
}

/* The copy onto the link: what lwIP sent stays queued there until it is acknowledged. */
static err_t link_output(struct netif *netif, struct pbuf *pbuf)
{
    struct lwip_end *end = ((struct lwip_end *)netif->state)->peer;
    struct lwip_frame *frame;

    if (!end->unused_count || pbuf->tot_len > LWIP_FRAME_BYTES) {
        end->lost++;
        return ERR_OK;
    }
    frame = end->unused[--end->unused_count];
    frame->len = 0;
    for (; pbuf; pbuf = pbuf->next) {
        memcpy(frame->bytes + frame->len, pbuf->payload, pbuf->len);
        frame->len = (uint16_t)(frame->len + pbuf->len);
    }
    end->waiting[end->tail++ % LWIP_FRAMES] = frame;
    return ERR_OK;
}

static err_t netif_start(struct netif *netif)
{
    struct lwip_end *end = netif->state;

    netif->name[0] = 'v', netif->name[1] = 'n';
    netif->output = end->call.etharp_output;
    netif->linkoutput = link_output;
    netif->mtu = 1500;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    return ERR_OK;
}

/* ISO C has no conversion from an object's address to a function's. */
static bool symbol_load(void *library, const char *name, void *to, size_t size)
{
    void *symbol = dlsym(library, name);

    memcpy(to, &symbol, size);
    return symbol != NULL;
}

static const char *calls_load(struct lwip_calls *call, const char *name)
{
    void *library = dlmopen(LM_ID_NEWLM, name, RTLD_NOW);

    if (!library) {
        return dlerror();
    }
#define LWIP_LOAD(name)                                                                                      \
    if (!symbol_load(library, #name, &call->name, sizeof call->name)) {                                      \
        return "the library lacks " #name;                                                                   \
    }
    LWIP_CALLS(LWIP_LOAD)
    LWIP_LOAD(tcp_ticks)
    LWIP_LOAD(tcp_tw_pcbs)
#undef LWIP_LOAD
    return NULL;
}

const char *lwip_open(struct lwip_end *end, const char *library, uint8_t number)
{
    const ip4_addr_t address = {PP_HTONL(LWIP_MAKEU32(10, 0, 0, 0)) | PP_HTONL((u32_t)number)};
    const ip4_addr_t mask = {PP_HTONL(LWIP_MAKEU32(255, 255, 255, 0))}, gateway = {0};
    const char *complaint = calls_load(&end->call, library);

    if (complaint) {
        return complaint;
    }
    for (unsigned i = 0; i < LWIP_FRAMES; i++) {
        end->frame[i].end = end;
        end->frame[i].pbuf.custom_free_function = frame_free;
        end->unused[end->unused_count++] = &end->frame[i];
    }
    end->call.lwip_init();
    if (!end->call.netif_add(&end->netif, &address, &mask, &gateway, end, netif_start,
                             end->call.ethernet_input)) {
        return "netif_add";
    }
    memcpy(end->netif.hwaddr, (const uint8_t[]){2, 0, 0, 0, 0, number}, ETH_HWADDR_LEN);
    return NULL;
}

/* Only now up: the announcement of the address needs somebody who hears it. */
void lwip_join(struct lwip_end *one, struct lwip_end *other)
{
    one->peer = other, other->peer = one;
    one->call.netif_set_up(&one->netif), one->call.netif_set_link_up(&one->netif);
    other->call.netif_set_up(&other->netif), other->call.netif_set_link_up(&other->netif);
    lwip_run(one, other);
}

static void frame_input(struct lwip_end *end, struct lwip_frame *frame)
{
    struct pbuf *pbuf = end->call.pbuf_alloced_custom(PBUF_RAW, frame->len, PBUF_REF, &frame->pbuf,
                                                      frame->bytes, sizeof frame->bytes);

    if (end->netif.input(pbuf, &end->netif) != ERR_OK) {
        end->call.pbuf_free(pbuf);
    }
}

unsigned lwip_receive(struct lwip_end *end)
{
    unsigned count = end->tail - end->head;

    if (count > LOAD_BURST) {
        count = LOAD_BURST;
    }
    for (unsigned i = 0; i < count; i++) {
        frame_input(end, end->waiting[end->head++ % LWIP_FRAMES]);
    }
    return count;
}

void lwip_run(struct lwip_end *one, struct lwip_end *other)
{
    while (lwip_receive(one) + lwip_receive(other)) {
    }
}

/* tcp_priv.h: 2 * TCP_MSL in ticks of TCP_SLOW_INTERVAL. The slow timer counts one tick itself. */
void lwip_expire(struct lwip_end *end)
{
    *end->call.tcp_ticks += 2 * TCP_MSL / TCP_SLOW_INTERVAL;
    end->call.tcp_slowtmr();
}
