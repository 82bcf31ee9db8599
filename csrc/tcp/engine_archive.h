/* The engine as a whole in an archive: every connection in its place, timers in their order, free places in theirs. */
#ifndef VNIC_TCP_ENGINE_ARCHIVE_H
#define VNIC_TCP_ENGINE_ARCHIVE_H

#include "base/archive.h"
#include "tcp/engine.h"

/*
 * Saves, hashes or loads (base/archive.h). An engine that was loaded does from then on what the saved one does: the
 * same segments, and the same places for new connections. It costs what lives, and four bytes a place that lived.
 *
 * Loading is for an engine of the same config, whatever it holds; it believes nothing. When a->failed afterwards the
 * engine is as after tcp_engine_reset(). Entries of nodes and of loss recovery have no places that anybody sees: they
 * are taken anew.
 */
void tcp_engine_archive(tcp_engine *engine, struct archive *a);

/* A connection is there, CLOSED and not released perhaps. */
bool tcp_is_live(const tcp_engine *engine, uint32_t index);

/* cdef begin */

/* The same alone: its size, and when that is no more than capacity, its bytes. */
size_t tcp_engine_save(tcp_engine *engine, uint8_t *out, size_t capacity);

/* False: it was refused, and the engine is empty. */
bool tcp_engine_load(tcp_engine *engine, const uint8_t *bytes, size_t len);

/* Of all that it saves. */
uint64_t tcp_engine_hash(tcp_engine *engine);

/* cdef end */

#endif
