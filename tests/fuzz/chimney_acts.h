/* The acts on a chimney, and how they take their fields from a fuzzer's bytes. */
#ifndef FUZZ_CHIMNEY_ACTS_H
#define FUZZ_CHIMNEY_ACTS_H

#include "chimney_scene.h"

/* Of 256: those that do what a driver should. */
enum { HONEST = 208 };

uint8_t byte_take(struct scene_bytes *b);
uint32_t word_take(struct scene_bytes *b);

/* An object's handle, or none that there is; what is then done to it cannot be foreseen. */
uint32_t handle_take(struct scene *s, struct scene_bytes *b);

/* What becomes of the connection's bytes, of all connections', cannot be foreseen any more. */
void stream_doubt(struct scene *s, uint32_t handle);
void streams_doubt(struct scene *s);

/* Each: NULL, or what must not be. */
const char *act_command(struct scene *s, struct scene_bytes *b);
const char *act_submit(struct scene *s, struct scene_bytes *b);
const char *act_segment(struct scene *s, struct scene_bytes *b);

#endif
