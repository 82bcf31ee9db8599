/* lwIP to lwIP in one process: data over one and many connections, messages, connect and close, bytes a connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../round.h"
#include "../tcp_load.h"
#include "lwip_end.h"

enum { SEGMENT_BYTES = TCP_MSS, CONNECTS = 8192 };

struct path {
    struct lwip_end client, server;
    struct tcp_pcb *listener;
    struct tcp_pcb *pcb[LOAD_MANY]; /* the client's */
    uint32_t *order;
    uint8_t out[LOAD_BURST * SEGMENT_BYTES], in[SEGMENT_BYTES];
    uint64_t connected, closed, received, answered, sent; /* bytes; connections */
    bool copies; /* the applications copy what they receive */
    bool answers; /* the server answers each message */
    bool closes; /* the client closes when connected */
};

static void path_die(const char *what)
{
    fprintf(stderr, "lwip_path: %s\n", what);
    exit(EXIT_FAILURE);
}

static void data_take(struct path *path, struct lwip_end *end, struct tcp_pcb *pcb, struct pbuf *pbuf)
{
    if (path->copies) {
        end->call.pbuf_copy_partial(pbuf, path->in, pbuf->tot_len, 0);
    }
    end->call.tcp_recved(pcb, pbuf->tot_len);
    end->call.pbuf_free(pbuf);
}

static err_t on_client_data(void *arg, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
    struct path *path = arg;

    (void)error;
    if (pbuf) {
        path->answered += pbuf->tot_len;
        data_take(path, &path->client, pcb, pbuf);
    }
    return ERR_OK;
}

static err_t on_server_data(void *arg, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
    struct path *path = arg;
    struct lwip_calls *call = &path->server.call;
    uint16_t len = pbuf ? pbuf->tot_len : 0;

    (void)error;
    if (!pbuf) {
        path->closed++;
        return call->tcp_close(pcb);
    }
    path->received += len;
    data_take(path, &path->server, pcb, pbuf);
    return path->answers ? call->tcp_write(pcb, path->out, len, LWIP_WRITE) : ERR_OK;
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct path *path = arg;

    if (error != ERR_OK) {
        return error;
    }
    path->server.call.tcp_arg(pcb, path);
    path->server.call.tcp_recv(pcb, on_server_data);
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct path *path = arg;

    (void)error;
    path->connected++;
    return path->closes ? path->client.call.tcp_close(pcb) : ERR_OK;
}

static void on_error(void *arg, err_t error)
{
    (void)arg;
    fprintf(stderr, "lwip_path: connection lost, error %d\n", error);
    exit(EXIT_FAILURE);
}

static struct tcp_pcb *path_connect(struct path *path)
{
    const ip_addr_t address = lwip_address(2);
    struct lwip_calls *call = &path->client.call;
    struct tcp_pcb *pcb = call->tcp_new();

    if (!pcb) {
        path_die("tcp_new");
    }
    call->tcp_arg(pcb, path);
    call->tcp_recv(pcb, on_client_data);
    call->tcp_err(pcb, on_error);
    if (call->tcp_connect(pcb, &address, LOAD_SERVER_PORT, on_connected) != ERR_OK) {
        path_die("tcp_connect");
    }
    return pcb;
}

static void path_listen(struct path *path)
{
    const ip_addr_t address = lwip_address(2);
    struct lwip_calls *call = &path->server.call;
    struct tcp_pcb *pcb = call->tcp_new();

    if (!pcb || call->tcp_bind(pcb, &address, LOAD_SERVER_PORT) != ERR_OK) {
        path_die("tcp_bind");
    }
    path->listener = call->tcp_listen_with_backlog(pcb, TCP_DEFAULT_LISTEN_BACKLOG);
    if (!path->listener) {
        path_die("tcp_listen");
    }
    call->tcp_arg(path->listener, path);
    call->tcp_accept(path->listener, on_accept);
}

static void path_open(struct path *path, const char *library, unsigned connections)
{
    const char *complaint = lwip_open(&path->client, library, 1);

    complaint = complaint ? complaint : lwip_open(&path->server, library, 2);
    path->order = load_order(LOAD_MANY);
    if (complaint || !path->order) {
        path_die(complaint ? complaint : "no memory");
    }
    for (size_t i = 0; i < sizeof path->out; i++) {
        path->out[i] = (uint8_t)(i * 31);
    }
    lwip_join(&path->client, &path->server);
    path_listen(path);
    for (unsigned i = 0; i < connections; i++) {
        path->pcb[i] = path_connect(path);
        lwip_run(&path->client, &path->server);
    }
    if (path->connected != connections) {
        path_die("not all connections opened");
    }
}

static void path_send(struct path *path, struct tcp_pcb *pcb, uint16_t len)
{
    struct lwip_calls *call = &path->client.call;

    if (call->tcp_write(pcb, path->out, len, LWIP_WRITE) != ERR_OK || call->tcp_output(pcb) != ERR_OK) {
        path_die("tcp_write");
    }
    path->sent += len;
}

/* Virtual time: delayed ACKs leave and the clock of lwIP ticks once. */
static void path_tick(struct path *path)
{
    path->client.call.tcp_tmr();
    path->server.call.tcp_tmr();
    lwip_run(&path->client, &path->server);
}

static bool is_whole(const struct path *path)
{
    return path->received == path->sent && !path->client.lost && !path->server.lost
           && path->answered == (path->answers ? path->sent : 0);
}

/* CPU nanoseconds a full-sized segment over one connection, as fast as its window lets it. */
static double measure_one(struct path *path, bool copies, double effort)
{
    uint64_t segments = load_units(LOAD_SEGMENTS, effort), start = round_cpu_ns(), spent;
    struct tcp_pcb *pcb = path->pcb[0];

    path->copies = copies;
    for (uint64_t i = 0; i < segments; i += LOAD_BURST) {
        path_send(path, pcb, LOAD_BURST * SEGMENT_BYTES);
        lwip_run(&path->client, &path->server);
    }
    spent = round_cpu_ns() - start;
    path_tick(path);
    return is_whole(path) ? (double)spent / (double)segments : -1;
}

/* CPU nanoseconds for a unit of so many bytes on each connection in turn. */
static double measure_many(struct path *path, uint16_t len, double effort)
{
    uint64_t units = load_turns(effort) * LOAD_MANY, start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < units; i += LOAD_BURST) {
        for (uint64_t k = i; k < i + LOAD_BURST; k++) {
            path_send(path, path->pcb[path->order[k % LOAD_MANY]], len);
        }
        lwip_run(&path->client, &path->server);
    }
    spent = round_cpu_ns() - start;
    path_tick(path);
    return is_whole(path) ? (double)spent / (double)units : -1;
}

/* CPU nanoseconds to open and close a connection in order, both ends, TIME-WAIT included. */
static double measure_connects(struct path *path, double effort)
{
    uint64_t connects = load_units(CONNECTS, effort), before = path->closed, start = round_cpu_ns(), spent;

    for (uint64_t i = 0; i < connects; i += LOAD_BURST) {
        for (uint64_t k = 0; k < LOAD_BURST; k++) {
            path_connect(path);
            lwip_run(&path->client, &path->server); /* one by one: its lists are shorter then */
        }
        lwip_expire(&path->client);
        lwip_expire(&path->server);
    }
    spent = round_cpu_ns() - start;
    return path->closed - before == connects && !*path->client.call.tcp_tw_pcbs
               ? (double)spent / (double)connects
               : -1;
}

static bool round_data(struct path *path, double effort)
{
    const struct round_figure figure[] = {
        {"lwIP 1 connection", measure_one(path, false, effort)},
        {"lwIP 1 connection, copied to the application", measure_one(path, true, effort)},
    };

    return round_print(figure, sizeof figure / sizeof *figure);
}

static bool round_many(struct path *path, double effort)
{
    const struct round_figure figure[] = {
        {"lwIP 4096 connections", measure_many(path, SEGMENT_BYTES, effort)},
    };

    return round_print(figure, 1);
}

/* A request and its answer are two messages. */
static bool round_messages(struct path *path, double effort)
{
    double ns;

    path->answers = true;
    ns = measure_many(path, LOAD_MESSAGE_BYTES, effort);
    return round_print((const struct round_figure[]){{"lwIP", ns < 0 ? ns : ns / 2}}, 1);
}

static bool round_connects(struct path *path, double effort)
{
    double ns;

    path->closes = true;
    ns = measure_connects(path, effort);
    return round_print((const struct round_figure[]){{"lwIP", ns}}, 1);
}

static bool round_memory(struct path *path, double effort)
{
    (void)path, (void)effort;
    return round_print((const struct round_figure[]){{"lwIP struct tcp_pcb", sizeof(struct tcp_pcb)}}, 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        unsigned connections;
        bool (*round)(struct path *path, double effort);
    } kind[] = {
        {"data", 1, round_data},
        {"many", LOAD_MANY, round_many},
        {"messages", LOAD_MANY, round_messages},
        {"connects", 0, round_connects},
        {"memory", 0, round_memory},
    };
    static struct path path;
    double effort;

    for (size_t i = 0; argc == 3 && i < sizeof kind / sizeof *kind; i++) {
        if (strcmp(argv[1], kind[i].name) == 0) {
            path_open(&path, argv[2], kind[i].connections);
            round_ready();
            while (round_await(&effort) && kind[i].round(&path, effort))
                ;
            return EXIT_SUCCESS;
        }
    }
    path_die("usage: lwip_path data|many|messages|connects|memory LIBRARY");
}
