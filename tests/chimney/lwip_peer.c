/* lwip_peer.c: Debian's lwIP as a peer in virtual time: frames in and out, its timers called by the test, no thread. */
#include <string.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "netif/ethernet.h"

enum { FRAMES = 4096, FRAME_BYTES = 1600, ENDS = 64 };

struct end {
    struct tcp_pcb *pcb;
    struct pbuf *received; /* not read yet: the window stays closed by it */
    unsigned offset;       /* read of its first bytes */
    int is_used, is_connected, has_fin, error;
};

static struct netif interface;
static struct frame {
    unsigned len;
    unsigned char bytes[FRAME_BYTES];
} frames[FRAMES];
static unsigned frames_head, frames_tail;
static struct end ends[ENDS];
static int accepted = -1;

static err_t link_output(struct netif *netif, struct pbuf *pbuf)
{
    struct frame *f = &frames[frames_tail % FRAMES];

    (void)netif;
    if (frames_tail - frames_head == FRAMES || pbuf->tot_len > FRAME_BYTES) {
        return ERR_OK; /* a lost frame */
    }
    f->len = pbuf_copy_partial(pbuf, f->bytes, pbuf->tot_len, 0);
    frames_tail++;
    return ERR_OK;
}

static err_t netif_start(struct netif *netif)
{
    netif->name[0] = 'l', netif->name[1] = 'w';
    netif->output = etharp_output;
    netif->linkoutput = link_output;
    netif->mtu = 1500;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    memcpy(netif->hwaddr, "\2\0\0\0\0\x22", ETH_HWADDR_LEN);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    return ERR_OK;
}

int peer_open(void)
{
    ip4_addr_t address, mask, gateway;

    IP4_ADDR(&address, 10, 0, 0, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 0, 0, 0, 0);
    lwip_init();
    if (!netif_add(&interface, &address, &mask, &gateway, NULL, netif_start, ethernet_input)) {
        return -1;
    }
    netif_set_default(&interface);
    netif_set_link_up(&interface);
    netif_set_up(&interface);
    return 0;
}

/* What is in TIME-WAIT goes without a word. */
static void let_go(void)
{
    for (int i = 0; i < ENDS; i++) {
        if (ends[i].pcb && ends[i].pcb->state == TIME_WAIT) {
            tcp_arg(ends[i].pcb, NULL);
            ends[i].pcb = NULL;
        }
    }
}

void peer_input(const unsigned char *bytes, unsigned len)
{
    struct pbuf *pbuf = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);

    if (pbuf && pbuf_take(pbuf, bytes, (u16_t)len) == ERR_OK && interface.input(pbuf, &interface) == ERR_OK) {
        let_go();
        return;
    }
    if (pbuf) {
        pbuf_free(pbuf);
    }
}

int peer_output(unsigned char *out, unsigned capacity)
{
    const struct frame *f = &frames[frames_head % FRAMES];

    if (frames_head == frames_tail || f->len > capacity) {
        return 0;
    }
    memcpy(out, f->bytes, f->len);
    frames_head++;
    return (int)f->len;
}

/* Every 250 ms. */
void peer_tick(void)
{
    static unsigned ticks;

    tcp_tmr();
    if (++ticks % (ARP_TMR_INTERVAL / TCP_TMR_INTERVAL) == 0) {
        etharp_tmr();
    }
}

/* -- connections -- */

static err_t on_received(void *opaque, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
    struct end *e = opaque;

    (void)pcb, (void)error;
    if (!pbuf) {
        e->has_fin = 1;
    } else if (e->received) {
        pbuf_cat(e->received, pbuf);
    } else {
        e->received = pbuf;
    }
    return ERR_OK;
}

static void on_error(void *opaque, err_t error)
{
    struct end *e = opaque;

    e->pcb = NULL;
    e->error = error == ERR_CLSD ? 0 : error; /* both sides have closed */
}

static int take(struct tcp_pcb *pcb)
{
    for (int i = 0; i < ENDS; i++) {
        if (!ends[i].is_used) {
            ends[i] = (struct end){.pcb = pcb, .is_used = 1};
            tcp_arg(pcb, &ends[i]);
            tcp_recv(pcb, on_received);
            tcp_err(pcb, on_error);
            return i;
        }
    }
    return -1;
}

static err_t on_connected(void *opaque, struct tcp_pcb *pcb, err_t error)
{
    (void)pcb, (void)error;
    ((struct end *)opaque)->is_connected = 1;
    return ERR_OK;
}

static struct tcp_pcb *listener;

static err_t on_accepted(void *opaque, struct tcp_pcb *pcb, err_t error)
{
    (void)opaque, (void)error;
    accepted = take(pcb);
    if (accepted < 0) {
        return ERR_MEM;
    }
    ends[accepted].is_connected = 1;
    return ERR_OK;
}

int peer_listen(unsigned short port)
{
    struct tcp_pcb *pcb = tcp_new();

    if (!pcb || tcp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK) {
        return -1;
    }
    listener = tcp_listen_with_backlog(pcb, 4);
    tcp_accept(listener, on_accepted);
    accepted = -1;
    return 0;
}

int peer_accepted(void)
{
    if (accepted >= 0 && listener) {
        tcp_close(listener);
        listener = NULL;
    }
    return accepted;
}

int peer_connect(unsigned short port)
{
    struct tcp_pcb *pcb = tcp_new();
    int number = pcb ? take(pcb) : -1;
    ip_addr_t remote = IPADDR4_INIT_BYTES(10, 0, 0, 1);

    if (number < 0 || tcp_connect(pcb, &remote, port, on_connected) != ERR_OK) {
        return -1;
    }
    return number;
}

int peer_is_connected(int number)
{
    return ends[number].is_connected;
}

int peer_send(int number, const void *data, unsigned len)
{
    struct end *e = &ends[number];
    unsigned room;

    if (!e->pcb) {
        return 0;
    }
    room = tcp_sndbuf(e->pcb);
    len = len < room ? len : room;
    if (len == 0 || tcp_write(e->pcb, data, (u16_t)len, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        return 0;
    }
    tcp_output(e->pcb);
    return (int)len;
}

/* Bytes read; 0: none now, -1: the end, -2: broken. */
int peer_receive(int number, unsigned char *out, unsigned capacity)
{
    struct end *e = &ends[number];
    unsigned len;

    if (e->received) {
        len = pbuf_copy_partial(e->received, out, (u16_t)(capacity < 0xFFFF ? capacity : 0xFFFF), 0);
        e->received = pbuf_free_header(e->received, (u16_t)len);
        if (e->pcb) {
            tcp_recved(e->pcb, (u16_t)len);
        }
        return (int)len;
    }
    return e->error ? -2 : e->has_fin ? -1 : 0;
}

void peer_shutdown(int number)
{
    if (ends[number].pcb) {
        tcp_shutdown(ends[number].pcb, 0, 1);
    }
}

void peer_abort(int number)
{
    struct end *e = &ends[number];

    if (e->pcb) {
        tcp_arg(e->pcb, NULL);
        tcp_err(e->pcb, NULL);
        tcp_abort(e->pcb);
        e->pcb = NULL;
    }
}

int peer_error(int number)
{
    return ends[number].error;
}

/* Another run: nothing of the last one is left. */
void peer_forget(void)
{
    for (int i = 0; i < ENDS; i++) {
        peer_abort(i);
        if (ends[i].received) {
            pbuf_free(ends[i].received);
        }
        ends[i] = (struct end){0};
    }
    if (listener) {
        tcp_close(listener);
        listener = NULL;
    }
    while (tcp_tw_pcbs) {
        tcp_abort(tcp_tw_pcbs);
    }
    etharp_cleanup_netif(&interface);
    frames_head = frames_tail;
}
