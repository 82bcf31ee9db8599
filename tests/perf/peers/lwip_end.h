/* One lwIP in a namespace of the linker's own: two of them in one process share no list. */
#ifndef PERF_LWIP_END_H
#define PERF_LWIP_END_H

#include <stdbool.h>
#include <stdint.h>

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <netif/ethernet.h>

/* As many as connections can send at one tick of the clock. */
enum { LWIP_FRAMES = 8192, LWIP_FRAME_BYTES = 1536 };

/* The functions used, from one copy of the library. */
#define LWIP_CALLS(X)                                                                                        \
    X(lwip_init)                                                                                             \
    X(netif_add)                                                                                             \
    X(netif_set_link_up)                                                                                     \
    X(netif_set_up)                                                                                          \
    X(etharp_output)                                                                                         \
    X(ethernet_input)                                                                                        \
    X(pbuf_alloced_custom)                                                                                   \
    X(pbuf_copy_partial)                                                                                     \
    X(pbuf_free)                                                                                             \
    X(tcp_abort)                                                                                             \
    X(tcp_accept)                                                                                            \
    X(tcp_arg)                                                                                               \
    X(tcp_bind)                                                                                              \
    X(tcp_close)                                                                                             \
    X(tcp_connect)                                                                                           \
    X(tcp_err)                                                                                               \
    X(tcp_listen_with_backlog)                                                                               \
    X(tcp_new)                                                                                               \
    X(tcp_output)                                                                                            \
    X(tcp_recv)                                                                                              \
    X(tcp_recved)                                                                                            \
    X(tcp_sent)                                                                                              \
    X(tcp_slowtmr)                                                                                           \
    X(tcp_tmr)                                                                                               \
    X(tcp_write)

struct lwip_calls {
#define LWIP_MEMBER(name) __typeof__(&(name)) name;
    LWIP_CALLS(LWIP_MEMBER)
#undef LWIP_MEMBER
    u32_t *tcp_ticks;
    struct tcp_pcb **tcp_tw_pcbs;
};

struct lwip_end;

/* A frame on its way to an end; lwIP holds it as a pbuf until the application gives it back. */
struct lwip_frame {
    struct pbuf_custom pbuf; /* first: lwIP returns this address */
    struct lwip_end *end;
    uint16_t len;
    uint8_t bytes[LWIP_FRAME_BYTES];
};

struct lwip_end {
    struct lwip_calls call;
    struct netif netif;
    struct lwip_end *peer;
    struct lwip_frame frame[LWIP_FRAMES];    /* that come to this end */
    struct lwip_frame *unused[LWIP_FRAMES];
    unsigned unused_count;
    struct lwip_frame *waiting[LWIP_FRAMES]; /* a ring: head and tail run on */
    unsigned head, tail;
    uint64_t lost;                           /* frames for which no place was free */
};

/* Loads a copy of the library and gives it the address 10.0.0.number. NULL, or what failed. */
const char *lwip_open(struct lwip_end *end, const char *library, uint8_t number);

/* Two ends become neighbours. */
void lwip_join(struct lwip_end *one, struct lwip_end *other);

/* Hands the end up to LOAD_BURST frames that wait for it; how many there were. */
unsigned lwip_receive(struct lwip_end *end);

/* Frames pass in bursts, in turns, until none is left. */
void lwip_run(struct lwip_end *one, struct lwip_end *other);

/* 2 MSL pass: what is in TIME-WAIT goes. */
void lwip_expire(struct lwip_end *end);

/* Data is sent by reference where the library can: Debian's cannot, it gives the link single pbufs. */
enum { LWIP_WRITE = LWIP_NETIF_TX_SINGLE_PBUF ? TCP_WRITE_FLAG_COPY : 0 };

static inline ip_addr_t lwip_address(uint8_t number)
{
    ip_addr_t address = IPADDR4_INIT_BYTES(10, 0, 0, number);

    return address;
}

#endif
