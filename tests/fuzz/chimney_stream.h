/* What the bytes of an offloaded connection must be: both ends write what follows from place in the stream alone. */
#ifndef FUZZ_CHIMNEY_STREAM_H
#define FUZZ_CHIMNEY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_POSTED = 32 };

struct posted {
    uint32_t at, len; /* in the guest's memory */
};

struct stream {
    bool knows_sent, knows_received; /* nobody did what makes it unforeseeable */
    uint8_t number;
    uint32_t iss, irs;
    uint32_t sent, unsent_requests; /* bytes submitted; sends that are not complete */
    uint32_t heard; /* one beyond the last number that the peer used */
    uint32_t delivered; /* next number that the driver is to be given */
    uint32_t pooled; /* bytes that came by the pool */
    uint32_t first, count; /* of `posted` */
    struct posted posted[STREAM_POSTED];
};

void stream_start(struct stream *t, uint8_t number, uint32_t iss, uint32_t irs);

/* Both ends' bytes: host's at `from` of all it ever sent, peer's at a sequence number. */
uint8_t stream_host_byte(const struct stream *t, uint32_t from);
uint8_t stream_peer_byte(const struct stream *t, uint32_t seq);

/* False: no room to remember it. */
bool stream_post(struct stream *t, uint32_t at, uint32_t len);

/* Data in a pool's buffer; NULL, or what is wrong. */
const char *stream_take_pool(struct stream *t, uint32_t seq, const uint8_t *bytes, uint32_t len);

/* `count` posted receives are complete, the last with so many bytes. */
const char *stream_take_posted(struct stream *t, uint32_t count, uint32_t bytes, const uint8_t *memory);

/* A frame that left the card; of other connections, anything. */
const char *stream_judge_frame(const struct stream *streams, unsigned count, const uint8_t *frame, size_t len,
                               uint16_t first_port);

#endif
