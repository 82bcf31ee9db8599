/* chimney_snapshot.h: the parts of the chimney's section of a snapshot, in the order in which they stand in it. */
#ifndef VNIC_NIC_CHIMNEY_SNAPSHOT_H
#define VNIC_NIC_CHIMNEY_SNAPSHOT_H

#include "base/archive.h"
#include "nic/chimney.h"

/*
 * Loading starts from a chimney that was forgotten and believes nothing: after each part a->failed may be set, and
 * then what is there is whole enough to be forgotten again. Not saved, for nobody outside can tell: places of work
 * entries and blocks, hints, and what follows from the rest (the lookup, the VLAN table, numbers of objects).
 */

enum chm_tag {
    CHM_TAG_ENABLED = 0x500,
    CHM_TAG_STATUS,
    CHM_TAG_PARAMETER,
    CHM_TAG_FENCES,
    CHM_TAG_TURN,
    CHM_TAG_IDENTIFICATION,
    CHM_TAG_STAT,
    CHM_TAG_TOP,
    CHM_TAG_GENERATION,
    CHM_TAG_LIST,
    CHM_TAG_MEMBER,
    CHM_TAG_LOOK,

    CHM_TAG_POOL = 0x520,
    CHM_TAG_COUNT,
    CHM_TAG_INDEX,
    CHM_TAG_FLAGS,
    CHM_TAG_OBJECT_GENERATION,

    CHM_TAG_NEIGHBOUR = 0x540, /* and the field's place in the structure */
    CHM_TAG_PATH = 0x550,
    CHM_TAG_CONNECTION = 0x560,
    CHM_TAG_ADMIN = 0x590,
    CHM_TAG_QUEUE = 0x5B0,
    CHM_TAG_WORK = 0x5C0,
    CHM_TAG_BLOCKS = 0x5D0
};

/* ---- chimney_snapshot_objects.c ---- */

/* Neighbours, and the paths on them. */
void snapshot_neighbours(struct vnic *card, struct archive *a);
void snapshot_paths(struct vnic *card, struct archive *a);
/* Connections but for the engine's part, which is there already, with their requests and data. */
void snapshot_connections(struct vnic *card, struct archive *a);
/* [CHM-28] Neighbours with a query to be reported. */
void snapshot_queries(struct vnic *card, struct archive *a);

/* ---- chimney_snapshot_requests.c ---- */

/* Work entries linked by `next` from *first to *last, both 0 when there are none; their bytes. */
uint64_t snapshot_work(struct chimney *m, struct archive *a, uint32_t *first, uint32_t *last);
void snapshot_sends(struct chimney *m, struct archive *a, uint32_t index);
void snapshot_posts(struct chimney *m, struct archive *a, uint32_t index);
/* Bytes that wait in blocks, in order and not. */
void snapshot_blocks(struct chimney *m, struct archive *a, uint32_t index);

/* ---- chimney_snapshot_rings.c ---- */

void snapshot_admin(struct vnic *card, struct archive *a);
void snapshot_queues(struct vnic *card, struct archive *a);

#endif
