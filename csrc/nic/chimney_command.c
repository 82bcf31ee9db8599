/* chimney_command.c: what is wrong with a command by itself, and by the objects that it names. */
#include "nic/chimney_admin.h"

#define COMMAND_W0_MASK                                                                                      \
    (CHM_COMMAND_OP_MASK | CHM_COMMAND_OBJECT_MASK | CHM_COMMAND_QUEUE_MASK | CHM_COMMAND_COOKIE_MASK)

/* What an operation takes: bits of enum command_part. */
enum command_part { PART_IN = 1, PART_OUT = 2, PART_HANDLE = 4 };

static unsigned command_parts(enum chm_op op)
{
    static const uint8_t parts[] = {
        [CHM_OP_CREATE] = PART_IN,
        [CHM_OP_UPDATE] = PART_IN | PART_HANDLE,
        [CHM_OP_QUERY] = PART_OUT | PART_HANDLE,
        [CHM_OP_INVALIDATE] = PART_HANDLE,
        [CHM_OP_TERMINATE] = PART_OUT | PART_HANDLE,
    };
    return parts[op];
}

static bool command_is_known(const uint64_t *w)
{
    uint64_t op = chm_command_op(w), object = chm_command_object(w);
    return op >= CHM_OP_CREATE && op <= CHM_OP_TERMINATE && object >= CHM_OBJECT_NEIGHBOUR
           && object <= CHM_OBJECT_TCP;
}

static bool command_has_reserved(const uint64_t *w)
{
    return (w[0] & ~COMMAND_W0_MASK) || (w[6] & ~CHM_COMMAND_SEND_COUNT_MASK) || w[7];
}

static bool command_takes_parent(const struct chm_admin *a)
{
    if (admin_op(a) == CHM_OP_CREATE) {
        return admin_object(a) != CHM_OBJECT_NEIGHBOUR;
    }
    return admin_is(a, CHM_OP_UPDATE, CHM_OBJECT_PATH);
}

/* Addresses and handles are there where the operation takes them, and nowhere else. A relink is the driver's choice. */
static bool command_is_complete(const struct chm_admin *a)
{
    const uint64_t *w = a->command;
    unsigned parts = command_parts(admin_op(a));
    return (chm_command_in_addr(w) != 0) == ((parts & PART_IN) != 0)
           && (chm_command_out_addr(w) != 0) == ((parts & PART_OUT) != 0)
           && ((parts & PART_HANDLE) || chm_command_handle(w) == 0)
           && (command_takes_parent(a) || chm_command_parent(w) == 0);
}

static bool command_is_fit_for_connection(const struct vnic *card, const struct chm_admin *a)
{
    const uint64_t *w = a->command;
    bool has_list = chm_command_send_count(w) != 0;
    if (!admin_is(a, CHM_OP_CREATE, CHM_OBJECT_TCP)) {
        return chm_command_queue(w) == 0 && chm_command_send_addr(w) == 0 && !has_list;
    }
    return chm_command_queue(w) < card->config.queue_pairs && (chm_command_send_addr(w) != 0) == has_list;
}

static uint32_t command_image_bytes(enum chm_object object)
{
    return object == CHM_OBJECT_NEIGHBOUR ? CHM_NEIGHBOUR_BYTES
           : object == CHM_OBJECT_PATH    ? CHM_PATH_BYTES
                                          : CHM_TCP_BYTES;
}

static bool command_has_lengths(const struct chm_admin *a)
{
    unsigned parts = command_parts(admin_op(a));
    uint32_t bytes = command_image_bytes(admin_object(a));
    return chm_command_in_len(a->command) == (parts & PART_IN ? bytes : 0)
           && chm_command_out_len(a->command) == (parts & PART_OUT ? bytes : 0);
}

/* ---- objects ---- */

/* What hangs on an object that was invalidated is invalid itself. */
static bool command_has_parent(const struct chimney *m, struct chm_admin *a)
{
    uint32_t handle = (uint32_t)chm_command_parent(a->command);
    enum chm_object kind = admin_object(a) == CHM_OBJECT_TCP ? CHM_OBJECT_PATH : CHM_OBJECT_NEIGHBOUR;
    if (!command_takes_parent(a) || (handle == 0 && admin_op(a) == CHM_OP_UPDATE)) {
        return true;
    }
    a->parent = chimney_find(m, kind, handle);
    unsigned flags = kind == CHM_OBJECT_PATH ? m->paths[a->parent].flags : m->neighbours[a->parent].flags;
    return a->parent != 0 && !(flags & CHM_INVALID);
}

/* An earlier TERMINATE of the connection did not come to its end. */
static bool command_is_late(const struct chimney *m, const struct chm_admin *a)
{
    return admin_object(a) == CHM_OBJECT_TCP && a->target != 0 && admin_op(a) != CHM_OP_QUERY
           && admin_op(a) != CHM_OP_TERMINATE && chimney_has(chimney_connection(m, a->target), CHM_ENDING);
}

static bool command_has_dependents(const struct chimney *m, const struct chm_admin *a)
{
    if (admin_op(a) != CHM_OP_TERMINATE) {
        return false;
    }
    return (admin_object(a) == CHM_OBJECT_NEIGHBOUR && m->neighbours[a->target].paths != 0)
           || (admin_object(a) == CHM_OBJECT_PATH && m->paths[a->target].connections != 0);
}

static enum chm_status command_check_objects(const struct chimney *m, struct chm_admin *a)
{
    if (admin_op(a) != CHM_OP_CREATE) {
        a->target = chimney_find(m, admin_object(a), (uint32_t)chm_command_handle(a->command));
        if (a->target == 0) {
            return CHM_STATUS_BAD_HANDLE;
        }
    }
    if (!command_has_parent(m, a)) {
        return CHM_STATUS_BAD_PARENT;
    }
    if (command_is_late(m, a)) {
        return CHM_STATUS_BUSY;
    }
    return command_has_dependents(m, a) ? CHM_STATUS_HAS_DEPENDENTS : CHM_STATUS_OK;
}

enum chm_status admin_check(const struct vnic *card, struct chm_admin *a)
{
    if (!command_is_known(a->command) || command_has_reserved(a->command) || !command_is_complete(a)
        || !command_is_fit_for_connection(card, a)) {
        return CHM_STATUS_BAD_COMMAND;
    }
    return command_has_lengths(a) ? command_check_objects(card->chimney, a) : CHM_STATUS_BAD_LENGTH;
}
