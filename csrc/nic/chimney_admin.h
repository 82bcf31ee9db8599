/* chimney_admin.h: the command at hand, and where the parts of its execution meet. */
#ifndef VNIC_NIC_CHIMNEY_ADMIN_H
#define VNIC_NIC_CHIMNEY_ADMIN_H

#include "nic/chimney.h"
#include "tcp/offload_state.h"

#define ADMIN_WALK_MAX 32u /* connections that a step of a walk visits */
#define ADMIN_LIST_MAX 32u /* entries of a send list that a step reads */

/* What the next step does. */
enum chm_admin_phase {
    CHM_ADMIN_FETCH,   /* no command is at hand */
    CHM_ADMIN_READ,    /* read its image */
    CHM_ADMIN_LIST,    /* read on in its send list */
    CHM_ADMIN_EXECUTE, /* do it, or refuse it with `status` */
    CHM_ADMIN_WALK,    /* visit what hangs on the object */
    CHM_ADMIN_OWE,     /* TERMINATE of a connection: send what it owes, and freeze it */
    CHM_ADMIN_END,     /* ... write its image and release it, once everything of it was reported */
    CHM_ADMIN_DONE,    /* complete it with `status` */
    CHM_ADMIN_PHASES
};

static inline enum chm_op admin_op(const struct chm_admin *a)
{
    return (enum chm_op)chm_command_op(a->command);
}

static inline enum chm_object admin_object(const struct chm_admin *a)
{
    return (enum chm_object)chm_command_object(a->command);
}

static inline bool admin_is(const struct chm_admin *a, enum chm_op op, enum chm_object object)
{
    return admin_op(a) == op && admin_object(a) == object;
}

/* -- chimney_command.c -- */
/* [CHM-3] What can be said of the command by itself and by the objects that it names; target and parent are found. */
enum chm_status admin_check(const struct vnic *card, struct chm_admin *a);

/* -- chimney_image.c -- */
bool image_neighbour_is_sound(const uint64_t *image);
bool image_path_is_sound(const uint64_t *image);
bool image_tcp_is_sound(const uint64_t *image);
void image_take_neighbour(const struct vnic *card, const uint64_t *image, struct chm_neighbour *n);
void image_update_neighbour(const struct vnic *card, const uint64_t *image, struct chm_neighbour *n);
void image_give_neighbour(const struct vnic *card, const struct chm_neighbour *n, uint64_t *image);
void image_take_path(const uint64_t *image, struct chm_path *p);
void image_give_path(const struct chm_path *p, uint64_t *image);
void image_take_state(const uint64_t *image, const struct chm_path *p, uint16_t vlan,
                      struct tcp_offload_state *s);
void image_take_cached(const uint64_t *image, struct tcp_offload_cached *cached);
/* What of CONST and CACHED the engine does not keep, or not as it was given. */
void image_keep_cached(const struct tcp_offload_cached *cached, struct chm_connection *c);
void image_give_tcp(struct vnic *card, uint32_t index, uint64_t *image);
uint32_t image_largest_mtu(const struct vnic *card);

/* -- chimney_create.c -- */
/* Reads on in the send list; bytes moved. */
uint64_t create_read_list(struct vnic *card);
void create_drop_list(struct chimney *m);
/* On OK a->target is the new object. */
enum chm_status create_object(struct vnic *card);
/* The new connection's completion is written: from here on it lives. */
void create_go(struct vnic *card, uint32_t index, bool has_fin);
/* The pair on whose completion ring the connection to be made will report. */
unsigned create_report_pair(const struct vnic *card);

/* -- chimney_change.c -- */
/* UPDATE, QUERY, INVALIDATE, and TERMINATE of a neighbour or path; the walk is prepared where one follows. */
enum chm_status change_object(struct vnic *card, uint64_t *bytes);
/* Visits some of what hangs on the object; a->walk_path is 0 at the end. */
void change_walk(struct vnic *card);
/* The connection leaves the lookup and takes nothing more. */
void change_begin_end(struct vnic *card);
/* Sends what it owes; true when it is frozen. */
bool change_freeze(struct vnic *card);
bool change_may_freeze(const struct vnic *card);
enum chm_status change_write_image(struct vnic *card, uint64_t *bytes);

/* -- chimney_admin.c -- */
void admin_stop(struct vnic *card, uint8_t error);
uint64_t chimney_admin_idle_steps(const struct vnic *card);

#endif
