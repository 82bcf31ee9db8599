/* driver_tell.h: an input in words, when it is asked for. */
#ifndef VNIC_DRIVER_TELL_H
#define VNIC_DRIVER_TELL_H

#include "driver_input.h"
#include "driver_world.h"

bool fuzz_tells(void);
void fuzz_tell_options(const struct fuzz_world *w);
/* The act that comes next. */
void fuzz_tell_act(const struct fuzz_world *w, uint32_t number, const struct fuzz_act *act);
/* How a request was answered. */
void fuzz_tell_answer(const struct vnic_oid_request *request, uint32_t status);

#endif
