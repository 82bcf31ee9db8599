/* DPDK's packet paths inside one process: virtio_user <-> vhost (one copy), and net_ring (no copy). */
#include <stdlib.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "../round.h"

/* 256 entries: the best of 128, 256 and 1024; the buffers under way stay in the second-level cache. */
enum {
    BURST = 32,
    RING_ENTRIES = 256,
    POOL_FRAMES = 8191,
    FRAMES_A_ROUND = 200000,
    WAKE_TRIES = 5000,
    IDLE_POLLS = 64
};

struct path_pair {
    uint16_t vhost;
    uint16_t virtio;
};

struct path_ports {
    struct path_pair split;
    struct path_pair packed;
    uint16_t ring;
    struct rte_mempool *pool;
};

static void path_die(const char *what)
{
    fprintf(stderr, "dpdk_path: %s: %s\n", what, rte_strerror(rte_errno));
    exit(EXIT_FAILURE);
}

/* A valid IPv4/TCP start in every buffer, so that what moves is a frame and every page is present. */
static void frame_fill(struct rte_mempool *pool, void *opaque, void *object, unsigned index)
{
    static const uint8_t header[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45};
    struct rte_mbuf *frame = object;

    (void)pool, (void)opaque;
    memset(frame->buf_addr, (int)(index & 0xff), frame->buf_len);
    memcpy((uint8_t *)frame->buf_addr + RTE_PKTMBUF_HEADROOM, header, sizeof header);
}

static void port_start(uint16_t port, struct rte_mempool *pool)
{
    struct rte_eth_conf conf = {0};

    if (rte_eth_dev_configure(port, 1, 1, &conf) < 0) {
        path_die("rte_eth_dev_configure");
    }
    if (rte_eth_rx_queue_setup(port, 0, RING_ENTRIES, (unsigned)SOCKET_ID_ANY, NULL, pool) < 0) {
        path_die("rte_eth_rx_queue_setup");
    }
    if (rte_eth_tx_queue_setup(port, 0, RING_ENTRIES, (unsigned)SOCKET_ID_ANY, NULL) < 0) {
        path_die("rte_eth_tx_queue_setup");
    }
    if (rte_eth_dev_start(port) < 0) {
        path_die("rte_eth_dev_start");
    }
}

static uint16_t vdev_open(const char *name, const char *arguments)
{
    uint16_t port;

    if (rte_vdev_init(name, arguments) < 0 || rte_eth_dev_get_port_by_name(name, &port) < 0) {
        path_die(name);
    }
    return port;
}

static void ring_port_open(struct path_ports *ports)
{
    struct rte_ring *ring =
        rte_ring_create("loop", RING_ENTRIES, (unsigned)SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    int port;

    if (!ring) {
        path_die("rte_ring_create");
    }
    port = rte_eth_from_rings("loop", &ring, 1, &ring, 1, (unsigned)SOCKET_ID_ANY);
    if (port < 0) {
        path_die("rte_eth_from_rings");
    }
    ports->ring = (uint16_t)port;
    port_start(ports->ring, ports->pool);
}

static bool is_right(const struct rte_mbuf *frame, uint32_t len)
{
    return frame->pkt_len == len && rte_pktmbuf_mtod(frame, const uint8_t *)[14] == 0x45;
}

/* Fills frame[have..BURST) with new frames of the length asked for. */
static void burst_fill(struct rte_mbuf *frame[], unsigned have, struct rte_mempool *pool, uint16_t len)
{
    if (have == BURST) {
        return;
    }
    if (rte_pktmbuf_alloc_bulk(pool, frame + have, BURST - have) < 0) {
        path_die("rte_pktmbuf_alloc_bulk");
    }
    for (unsigned i = have; i < BURST; i++) {
        frame[i]->data_len = len, frame[i]->pkt_len = len;
    }
}

/* Takes what is still under way; the count of frames that came through whole. */
static unsigned path_drain(uint16_t port, uint32_t len)
{
    struct rte_mbuf *frame[BURST];
    unsigned right = 0;

    for (unsigned idle = 0; idle < IDLE_POLLS; idle++) {
        uint16_t got = rte_eth_rx_burst(port, 0, frame, BURST);

        for (uint16_t i = 0; i < got; i++) {
            right += is_right(frame[i], len);
        }
        rte_pktmbuf_free_bulk(frame, got);
        if (got) {
            idle = 0;
        }
    }
    return right;
}

/* Frames pass only after the vhost-user handshake, which runs in a thread of DPDK's own. */
static void path_wake(uint16_t from, uint16_t to, struct rte_mempool *pool)
{
    for (unsigned i = 0; i < WAKE_TRIES; i++) {
        struct rte_mbuf *frame[BURST];
        uint16_t sent;

        burst_fill(frame, 0, pool, 64);
        sent = rte_eth_tx_burst(from, 0, frame, BURST);
        rte_pktmbuf_free_bulk(frame + sent, (unsigned)BURST - sent);
        if (path_drain(to, 64)) {
            return;
        }
        usleep(1000);
    }
    path_die("no frame passes");
}

/* vhost's socket exists from configure on, so virtio_user is created after vhost was started. */
static void pair_open(struct path_pair *pair, unsigned number, const char *folder, struct rte_mempool *pool)
{
    char name[32], arguments[256];

    snprintf(name, sizeof name, "net_vhost%u", number);
    snprintf(arguments, sizeof arguments, "iface=%s/vhost%u,queues=1", folder, number);
    pair->vhost = vdev_open(name, arguments);
    port_start(pair->vhost, pool);
    snprintf(name, sizeof name, "net_virtio_user%u", number);
    snprintf(arguments, sizeof arguments, "path=%s/vhost%u,queues=1,queue_size=%d,packed_vq=%u", folder,
             number, RING_ENTRIES, number);
    pair->virtio = vdev_open(name, arguments);
    port_start(pair->virtio, pool);
    path_wake(pair->virtio, pair->vhost, pool);
    path_wake(pair->vhost, pair->virtio, pool);
}

/* CPU nanoseconds a frame, both sides of the path; -1 if a frame was lost or changed.
   The burst received is the next one sent: that saves the peer an allocation and a release per frame. */
static double path_measure(uint16_t from, uint16_t to, struct rte_mempool *pool, uint16_t len, double effort)
{
    uint64_t bursts = (uint64_t)(FRAMES_A_ROUND * effort) / BURST + 1;
    uint64_t sent = 0, received = 0, start = round_cpu_ns(), spent;
    struct rte_mbuf *frame[BURST];
    unsigned have = 0;

    for (uint64_t i = 0; i < bursts; i++) {
        uint16_t took;

        burst_fill(frame, have, pool, len);
        took = rte_eth_tx_burst(from, 0, frame, BURST);
        rte_pktmbuf_free_bulk(frame + took, (unsigned)BURST - took);
        sent += took;
        have = rte_eth_rx_burst(to, 0, frame, BURST);
        for (unsigned k = 0; k < have; k++) {
            received += is_right(frame[k], len);
        }
    }
    spent = round_cpu_ns() - start;
    rte_pktmbuf_free_bulk(frame, have);
    received += path_drain(to, len);
    return sent && received == sent ? (double)spent / (double)received : -1;
}

static bool round_measure(const struct path_ports *p, double effort)
{
    const struct path_pair *split = &p->split, *packed = &p->packed;
    struct rte_mempool *pool = p->pool;
    const struct round_figure figure[] = {
        {"virtio_user -> vhost packed 64 B", path_measure(packed->virtio, packed->vhost, pool, 64, effort)},
        {"vhost -> virtio_user packed 64 B", path_measure(packed->vhost, packed->virtio, pool, 64, effort)},
        {"virtio_user -> vhost split 64 B", path_measure(split->virtio, split->vhost, pool, 64, effort)},
        {"vhost -> virtio_user split 64 B", path_measure(split->vhost, split->virtio, pool, 64, effort)},
        {"net_ring 64 B", path_measure(p->ring, p->ring, pool, 64, effort)},
        {"virtio_user -> vhost packed 1514 B",
         path_measure(packed->virtio, packed->vhost, pool, 1514, effort)},
        {"vhost -> virtio_user packed 1514 B",
         path_measure(packed->vhost, packed->virtio, pool, 1514, effort)},
        {"virtio_user -> vhost split 1514 B", path_measure(split->virtio, split->vhost, pool, 1514, effort)},
        {"vhost -> virtio_user split 1514 B", path_measure(split->vhost, split->virtio, pool, 1514, effort)},
        {"net_ring 1514 B", path_measure(p->ring, p->ring, pool, 1514, effort)},
    };

    return round_print(figure, RTE_DIM(figure));
}

static void ports_open(struct path_ports *ports, const char *folder)
{
    ports->pool = rte_pktmbuf_pool_create("frames", POOL_FRAMES, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                          (unsigned)SOCKET_ID_ANY);
    if (!ports->pool) {
        path_die("rte_pktmbuf_pool_create");
    }
    rte_mempool_obj_iter(ports->pool, frame_fill, NULL);
    pair_open(&ports->split, 0, folder, ports->pool);
    pair_open(&ports->packed, 1, folder, ports->pool);
    ring_port_open(ports);
}

/* dpdk_path FOLDER CPU: the vhost-user sockets are made in FOLDER, which the caller removes. */
int main(int argc, char **argv)
{
    struct path_ports ports;
    double effort;

    if (argc != 3) {
        fputs("usage: dpdk_path FOLDER CPU\n", stderr);
        return EXIT_FAILURE;
    }
    char *eal[] = {argv[0],          "--no-huge",     "-m", "256",  "--no-pci", "--no-shconf",
                   "--no-telemetry", "--log-level=4", "-l", argv[2]};
    if (rte_eal_init((int)RTE_DIM(eal), eal) < 0) {
        path_die("rte_eal_init");
    }
    ports_open(&ports, argv[1]);
    round_ready();
    while (round_await(&effort) && round_measure(&ports, effort))
        ;
    return EXIT_SUCCESS;
}
