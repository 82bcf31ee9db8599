/* kept.h: what the core does with an input: a digest of every call into it, every answer, and the state after it. */
#ifndef VNIC_FUZZ_KEPT_H
#define VNIC_FUZZ_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The linker leads a target's calls of f() to __wrap_f(), and __real_f() is the core's (ld --wrap). A wrapper enters,
 * calls, and tells what came of it. Calls within calls are the core's own affair and are not told; what leaves the core
 * meanwhile (answers to DMA, events, octets of a trace) is.
 */
void kept_enter(void);
/* Whether a target called, and not the core itself. */
bool kept_leave(void);
/* One call more: its name, what it answered, and the state behind it. */
void kept_tell(const char *call, uint64_t answer, uint64_t state);

/* Into the digest. */
void kept_bytes(const void *bytes, size_t len);
void kept_word(uint64_t word);
void kept_text(const char *text); /* NULL, too */

/* At the end of the input, or when it is destroyed, whoever made the last call is asked some more. */
void kept_ask_last(void (*ask)(void *device), void *device);
void kept_forget(const void *device);

/* Some records of a snapshot get another value, one after the other; `load` tells what became of each. */
void kept_edit(uint8_t *image, size_t len, unsigned edits, void (*load)(void *device, size_t len),
               void *device);

/* Memory of the host that a device may write: it is looked at when it is taken away, and at the end of the input. */
void kept_map(const void *device, uint64_t iova, const uint8_t *host, uint64_t len);
void kept_unmap(const void *device, uint64_t iova, uint64_t len);
void kept_unmap_all(const void *device);
void kept_look(void);

#endif
