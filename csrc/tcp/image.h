/* The exact image of a connection: all of its state as flat bytes, saved from one engine, loaded into another. */
#ifndef VNIC_TCP_IMAGE_H
#define VNIC_TCP_IMAGE_H

#include "tcp/engine.h"

/*
 * For snapshots, and for moving a connection between engines of this kind without any loss: the scoreboard, ranges
 * out of order, loss recovery, the private state of congestion control, pending output. Times are saved as distances
 * from the time of saving and become times of the loading engine; so the connection goes on as if nothing had been,
 * exactly when the two times differ by whole milliseconds (else timers in ms and TSval may shift within their unit).
 * Payload is not the engine's: the caller moves the bytes snd_una .. snd_end, those out of order and those unread.
 *
 * Tagged fields (base/archive.h) in a fixed order, little-endian, with a version. Loading trusts nothing: every field
 * has bounds, runs must cover UNA .. NXT, ranges must be sorted beyond RCV.NXT, and tcp_check() must hold.
 */

/* cdef begin */

enum tcp_load_result {
    TCP_LOAD_OK = 0,
    TCP_LOAD_FORMAT = -1, /* cut short, or something in it cannot be */
    TCP_LOAD_VERSION = -2, /* an image, but of another version */
    TCP_LOAD_RESOURCES =
        -3 /* this engine has no connection, node or recovery entry left, or allows fewer ranges */
};

/* Bytes that tcp_save() would write now. */
size_t tcp_image_size(const tcp_engine *engine, const struct tcp_connection *c);

/*
 * Writes the image of c as of now_ns and returns its size; 0 when that exceeds capacity (then out is undefined). The
 * connection stays as it is. Not for TCP_STATE_CLOSED, which tcp_load() refuses.
 */
size_t tcp_save(tcp_engine *engine, const struct tcp_connection *c, uint64_t now_ns, uint8_t *out,
                size_t capacity);

/*
 * Makes a connection of an image. TCP_LOAD_OK: *c is in this engine, its timers run, and output may be pending, so
 * the caller goes on with tcp_output(). Otherwise enum tcp_load_result, and nothing has changed.
 */
int tcp_load(tcp_engine *engine, uint64_t now_ns, const uint8_t *bytes, size_t len,
             struct tcp_connection **c);

/* cdef end */

#endif
