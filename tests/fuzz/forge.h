/* forge.h: edits of tagged records, as of a snapshot or an image: one field made another, repeated, exchanged, gone. */
#ifndef VNIC_FUZZ_FORGE_H
#define VNIC_FUZZ_FORGE_H

#include <stddef.h>
#include <stdint.h>

/* Edits `image` as the bytes `how` say, mostly once; its new length, at most `room`. Zeros follow the last byte. */
size_t forge(uint8_t *image, size_t len, size_t room, const uint8_t *how, size_t how_len);

#endif
