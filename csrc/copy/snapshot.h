/* snapshot.h: the one walk over an engine's state that saves, hashes and loads it. */
#ifndef VNIC_COPY_SNAPSHOT_H
#define VNIC_COPY_SNAPSHOT_H

#include "copy/copy.h"

/* *refusal: VNIC_OK, or why a snapshot is not loaded. */
void snapshot_walk_copy(struct vnic_copy *copy, struct archive *a, int *refusal);
/* channel_snapshot.c */
void channel_archive(struct vnic_copy *copy, unsigned n, struct archive *a);

#endif
