/* The Linux kernel's TCP: between two namespaces over veth without offloads, and connect and close over loopback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../round.h"
#include "../tcp_load.h"

/*
 * What counts as CPU time of a round: both processes, the system calls and the softirqs that run on their account,
 * and ksoftirqd of the processor that everything is pinned to. A kernel that keeps interrupt time apart
 * (IRQ_TIME_ACCOUNTING) looks faster here than it is, and so does any when others use that processor too: some
 * softirqs then run on their account.
 */
enum { CHUNK_BYTES = 64 * 1024, ONE_SEGMENTS = 40000, CONNECTS = 2048, FILES = 2 * LOAD_MANY };

struct order {
    uint64_t bytes; /* that the sink is to read from each of its sockets in turn */
    uint64_t turns;
    uint32_t count; /* sockets; 0: end */
};

struct path {
    pid_t sink;
    int to_sink, from_sink;
    int fd[LOAD_MANY];
    uint32_t *order;
    char soft_path[64]; /* schedstat of ksoftirqd */
    unsigned rounds;
};

static uint8_t bytes[CHUNK_BYTES];

static void path_die(const char *what)
{
    fprintf(stderr, "kernel_path: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(EXIT_FAILURE);
}

static void command(const char *text)
{
    if (system(text) != 0) {
        errno = 0;
        path_die(text);
    }
}

static void setting(const char *path, const char *value)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(value, file) < 0 || fclose(file) != 0) {
        path_die(path);
    }
}

static void namespace_enter(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        path_die("needs root: no new network namespace");
    }
    errno = 0;
    setting("/proc/sys/net/ipv4/tcp_congestion_control", "reno"); /* the default may be paced */
}

/* Large sends, their merging, and checksums by the device, of a device that has none in hardware anyway. */
static void offloads_off(const char *name)
{
    static const uint32_t what[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_SRXCSUM,
                                    ETHTOOL_STXCSUM};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        struct ethtool_value value = {.cmd = what[i], .data = 0};
        struct ifreq request = {.ifr_data = (char *)&value};

        strncpy(request.ifr_name, name, IFNAMSIZ - 1);
        if (ioctl(fd, SIOCETHTOOL, &request) != 0) {
            path_die("an offload of veth cannot be turned off");
        }
    }
    close(fd);
}

static struct sockaddr_in endpoint(uint32_t address)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(LOAD_SERVER_PORT), .sin_addr.s_addr = htonl(address)};
}

static int listener_open(void)
{
    const struct sockaddr_in any = endpoint(INADDR_ANY);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof any) != 0 || listen(fd, LOAD_MANY) != 0) {
        path_die("listen");
    }
    return fd;
}

static int connection_open(uint32_t address)
{
    const struct sockaddr_in to = endpoint(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        path_die("connect");
    }
    return fd;
}

static void pipe_write(int fd, const void *data, size_t len)
{
    if (write(fd, data, len) != (ssize_t)len) {
        path_die("the other process is gone");
    }
}

static void pipe_read(int fd, void *data, size_t len)
{
    if (read(fd, data, len) != (ssize_t)len) {
        path_die("the other process is gone");
    }
}

static bool read_all(int fd, uint64_t len)
{
    while (len) {
        ssize_t got = recv(fd, bytes, len < CHUNK_BYTES ? len : CHUNK_BYTES, 0);

        if (got <= 0) {
            return false;
        }
        len -= (uint64_t)got;
    }
    return true;
}

static bool write_all(int fd, uint64_t len)
{
    while (len) {
        ssize_t put = send(fd, bytes, len < CHUNK_BYTES ? len : CHUNK_BYTES, MSG_NOSIGNAL);

        if (put <= 0) {
            return false;
        }
        len -= (uint64_t)put;
    }
    return true;
}

/* The process at the other end: reads what it is told to read, then answers. */
static void sink_run(int from, int to)
{
    static int fd[LOAD_MANY];
    const uint32_t *order = load_order(LOAD_MANY);
    struct order wanted;
    int listener;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    namespace_enter();
    pipe_write(to, "", 1);
    pipe_read(from, &wanted, 1); /* the interface is there */
    command("ip address add 10.0.0.2/24 dev vb && ip link set vb up");
    offloads_off("vb");
    listener = listener_open();
    pipe_write(to, "", 1);
    for (unsigned i = 0; i < LOAD_MANY && (fd[i] = accept(listener, NULL, NULL)) >= 0; i++)
        ;
    while (read(from, &wanted, sizeof wanted) == sizeof wanted) {
        for (uint64_t i = 0; i < wanted.turns * wanted.count; i++) {
            if (!read_all(fd[wanted.count > 1 ? order[i % wanted.count] : 0], wanted.bytes)) {
                path_die("recv");
            }
        }
        pipe_write(to, "", 1);
    }
    exit(EXIT_SUCCESS);
}

static void sink_start(struct path *path)
{
    int there[2], back[2];

    if (pipe(there) != 0 || pipe(back) != 0 || (path->sink = fork()) < 0) {
        path_die("fork");
    }
    if (path->sink == 0) {
        close(there[1]), close(back[0]);
        sink_run(there[0], back[1]);
    }
    close(there[0]), close(back[1]);
    path->to_sink = there[1], path->from_sink = back[0];
}

/* ksoftirqd of the processor that we are pinned to; its time is in nanoseconds in schedstat. */
static void soft_find(struct path *path)
{
    char wanted[32], name[32], file[300];
    DIR *folder = opendir("/proc");
    struct dirent *entry;

    snprintf(wanted, sizeof wanted, "ksoftirqd/%d\n", sched_getcpu());
    while (folder && (entry = readdir(folder))) {
        FILE *comm;

        snprintf(file, sizeof file, "/proc/%s/comm", entry->d_name);
        comm = atoi(entry->d_name) > 0 ? fopen(file, "r") : NULL;
        if (comm && fgets(name, sizeof name, comm) && strcmp(name, wanted) == 0) {
            snprintf(path->soft_path, sizeof path->soft_path, "/proc/%.20s/schedstat", entry->d_name);
        }
        if (comm) {
            fclose(comm);
        }
    }
    closedir(folder);
    errno = 0;
    if (!*path->soft_path) {
        path_die("ksoftirqd is not to be seen: its time would be missing");
    }
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0) {
        path_die("clock_gettime");
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t path_cpu_ns(const struct path *path)
{
    unsigned long long soft = 0;
    FILE *file = fopen(path->soft_path, "r");
    clockid_t sink;

    if (!file || fscanf(file, "%llu", &soft) != 1) {
        path_die(path->soft_path);
    }
    fclose(file);
    if (!path->sink) {
        return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + soft;
    }
    if (clock_getcpuclockid(path->sink, &sink) != 0) {
        path_die("clock_getcpuclockid");
    }
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + clock_ns(sink) + soft;
}

static void veth_open(struct path *path)
{
    char line[128], ready;

    path->order = load_order(LOAD_MANY);
    sink_start(path);
    pipe_read(path->from_sink, &ready, 1);
    snprintf(line, sizeof line, "ip link add va type veth peer name vb netns %d", (int)path->sink);
    command(line);
    command("ip address add 10.0.0.1/24 dev va && ip link set va up");
    offloads_off("va");
    pipe_write(path->to_sink, "", 1);
    pipe_read(path->from_sink, &ready, 1);
    for (unsigned i = 0; i < LOAD_MANY; i++) {
        path->fd[i] = connection_open(0x0a000002);
    }
}

static void loopback_open(struct path *path)
{
    command("ip link set lo up");
    setting("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535");
    path->fd[0] = listener_open();
}

static struct tcp_info info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        path_die("TCP_INFO");
    }
    return info;
}

/* CPU nanoseconds a segment; the kernel's own count says how many there were. */
static double measure_one(struct path *path, double effort)
{
    const struct tcp_info before = info_of(path->fd[0]);
    const struct order order = {
        .bytes = before.tcpi_snd_mss * load_units(ONE_SEGMENTS, effort), .turns = 1, .count = 1};
    uint64_t start = path_cpu_ns(path), spent;
    struct tcp_info after;
    char done;

    pipe_write(path->to_sink, &order, sizeof order);
    if (!write_all(path->fd[0], order.bytes)) {
        path_die("send");
    }
    pipe_read(path->from_sink, &done, 1);
    spent = path_cpu_ns(path) - start;
    after = info_of(path->fd[0]);
    return (double)spent / (double)(after.tcpi_data_segs_out - before.tcpi_data_segs_out);
}

static double measure_many(struct path *path, double effort)
{
    const struct order order = {
        .bytes = info_of(path->fd[0]).tcpi_snd_mss, .turns = load_turns(effort), .count = LOAD_MANY};
    uint64_t start = path_cpu_ns(path), spent;
    char done;

    pipe_write(path->to_sink, &order, sizeof order);
    for (uint64_t i = 0; i < order.turns * LOAD_MANY; i++) {
        if (!write_all(path->fd[path->order[i % LOAD_MANY]], order.bytes)) {
            path_die("send");
        }
    }
    pipe_read(path->from_sink, &done, 1);
    spent = path_cpu_ns(path) - start;
    return (double)spent / (double)(order.turns * LOAD_MANY);
}

static bool round_veth(struct path *path, double effort)
{
    const struct round_figure figure[] = {
        {"Linux veth 1 connection", measure_one(path, effort)},
        {"Linux veth 4096 connections", measure_many(path, effort)},
    };

    return round_print(figure, sizeof figure / sizeof *figure);
}

/* Another address each round: the ports of the last one are still in TIME-WAIT. */
static bool round_connects(struct path *path, double effort)
{
    uint64_t connects = load_units(CONNECTS, effort), start = path_cpu_ns(path), spent;
    uint32_t address = 0x7f000001 + path->rounds++;

    for (uint64_t i = 0; i < connects; i++) {
        int client = connection_open(address), server = accept(path->fd[0], NULL, NULL);

        if (server < 0 || close(client) != 0 || close(server) != 0) {
            path_die("accept");
        }
    }
    spent = path_cpu_ns(path) - start;
    return round_print((const struct round_figure[]){{"Linux loopback", (double)spent / (double)connects}},
                       1);
}

int main(int argc, char **argv)
{
    const bool is_veth = argc == 2 && strcmp(argv[1], "veth") == 0;
    const struct rlimit files = {FILES, FILES};
    static struct path path;
    double effort;

    if (!is_veth && (argc != 2 || strcmp(argv[1], "connects") != 0)) {
        path_die("usage: kernel_path veth|connects");
    }
    setrlimit(RLIMIT_NOFILE, &files);
    soft_find(&path);
    namespace_enter();
    is_veth ? veth_open(&path) : loopback_open(&path);
    round_ready();
    while (round_await(&effort) && (is_veth ? round_veth : round_connects)(&path, effort))
        ;
    return EXIT_SUCCESS;
}
