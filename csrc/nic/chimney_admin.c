/* chimney_admin.c: the admin ring: fetching commands, executing them step by step, and completing them. */
#include "nic/chimney_admin.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "nic/completion.h"
#include "pci/disturb.h"

#define PENDING_KINDS ((1u << CHM_PENDING_REASON_SHIFT) - 1)

/* ---- the ring ---- */

static void admin_show(struct vnic *card)
{
    const struct ring *r = &card->chimney->admin.ring;
    regfile_set(&card->regs, REG_CHM_ADMIN_CTRL, r->is_running ? CHM_ADMIN_CTRL_ENABLE_MASK : 0);
    regfile_set(&card->regs, REG_CHM_ADMIN_TAIL, r->tail);
}

/* [CHM-63] The command at hand is abandoned: it is not completed, and what it did stands. */
void admin_stop(struct vnic *card, uint8_t error)
{
    struct chm_admin *a = &card->chimney->admin;
    struct ring ring = a->ring;
    create_drop_list(card->chimney);
    *a = (struct chm_admin){.ring = ring, .queue = a->queue};
    ring_stop(&a->ring, error);
    admin_show(card);
}

static void admin_fail(struct vnic *card, uint8_t error)
{
    admin_stop(card, error);
    chimney_ring_failed(card, true);
}

static void admin_start(struct vnic *card)
{
    struct chm_admin *a = &card->chimney->admin;
    uint32_t queue = card_reg(card, REG_CHM_ADMIN_QUEUE) & CHM_ADMIN_QUEUE_QUEUE_MASK;
    if (!card->chimney->is_enabled) {
        card_count_guest_error(card);
        return;
    }
    uint8_t error = ring_start(&a->ring, regfile_get64(&card->regs, REG_CHM_ADMIN_BASE),
                               card_reg(card, REG_CHM_ADMIN_COUNT));
    bool has_queue = queue < card->config.queue_pairs && card->state.pair[queue].cq.ring.is_running;
    error = error ? error : has_queue ? RING_ERROR_NONE : RING_ERROR_NO_CQ;
    a->queue = (uint8_t)queue;
    if (error) {
        a->queue = 0;
        admin_stop(card, error);
        chimney_ring_failed(card, false);
    }
}

void chimney_on_admin_ctrl(struct vnic *card, uint32_t now, uint32_t pulses)
{
    struct chm_admin *a = &card->chimney->admin;
    bool enable = (now & CHM_ADMIN_CTRL_ENABLE_MASK) != 0;
    if (pulses & CHM_ADMIN_CTRL_RESET_MASK) {
        admin_stop(card, RING_ERROR_NONE);
        a->ring = (struct ring){0};
    } else if (enable && !a->ring.is_running) {
        admin_start(card);
    } else if (!enable && a->ring.is_running) {
        admin_stop(card, RING_ERROR_NONE);
    }
    admin_show(card);
}

void chimney_on_admin_tail(struct vnic *card, uint32_t tail)
{
    struct ring *r = &card->chimney->admin.ring;
    bool was_running = r->is_running;
    if (ring_set_tail(r, tail)) {
        return;
    }
    card_count_guest_error(card);
    if (was_running) {
        admin_fail(card, RING_ERROR_BAD_TAIL);
    }
    admin_show(card);
}

/* ---- what may go on ---- */

/* A receive that is complete is older than what the command will say. */
static bool admin_has_completed_receive(const struct chimney *m, const struct chm_connection *c)
{
    return c->posts != 0 && (m->work[m->work[c->posts].next].flags & CHM_WORK_DONE);
}

/* [CHM-60] What happened to the connection before is reported before. Data that waits for a buffer need not be. */
static bool admin_is_next(const struct chimney *m)
{
    const struct chm_admin *a = &m->admin;
    if (admin_object(a) != CHM_OBJECT_TCP || admin_op(a) == CHM_OP_CREATE || a->target == 0) {
        return true;
    }
    const struct chm_connection *c = chimney_connection(m, a->target);
    if (a->phase == CHM_ADMIN_END) {
        return c->pending == 0;
    }
    return !(c->pending & PENDING_KINDS & ~(uint32_t)CHM_PENDING_RECEIVE)
           && !admin_has_completed_receive(m, c);
}

/* [CHM-2] On whose completion ring it ends. */
static unsigned admin_report_pair(const struct vnic *card)
{
    const struct chm_admin *a = &card->chimney->admin;
    bool is_connection = admin_object(a) == CHM_OBJECT_TCP && a->target != 0;
    return is_connection ? chimney_report_pair(card, chimney_connection(card->chimney, a->target)) : a->queue;
}

/* A connection that is made reports on its own ring, one that is refused on the other: nobody knows which before. */
static bool admin_may_complete(const struct vnic *card)
{
    const struct chm_admin *a = &card->chimney->admin;
    bool is_made = admin_is(a, CHM_OP_CREATE, CHM_OBJECT_TCP) && a->phase == CHM_ADMIN_EXECUTE
                   && (a->status == CHM_STATUS_OK || a->status == CHM_STATUS_XMIT_BUFFER);
    return chimney_may_report(card, admin_report_pair(card))
           && (!is_made || chimney_may_report(card, create_report_pair(card)));
}

/* [FLT-12] A fault lets the command at hand wait. */
static bool admin_is_waiting(const struct vnic *card)
{
    return card->pci.faults.command_due_ns > card->pci.now_ns
           && card->chimney->admin.phase != CHM_ADMIN_FETCH;
}

bool chimney_admin_is_runnable(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    if (m == NULL || !m->is_enabled || !card->pci.is_master || admin_is_waiting(card)) {
        return false;
    }
    switch ((enum chm_admin_phase)m->admin.phase) {
    case CHM_ADMIN_FETCH:
        return m->admin.ring.is_running && ring_owned(&m->admin.ring) != 0;
    case CHM_ADMIN_EXECUTE:
    case CHM_ADMIN_END:
    case CHM_ADMIN_DONE:
        return admin_is_next(m) && admin_may_complete(card);
    case CHM_ADMIN_OWE:
        return change_may_freeze(card);
    default:
        return true;
    }
}

uint64_t chimney_admin_next_bytes(const struct vnic *card)
{
    return card->chimney->admin.phase == CHM_ADMIN_LIST ? ADMIN_LIST_MAX * CHM_SUBMISSION_BYTES
                                                        : CHM_TCP_BYTES + COMPLETION_BYTES;
}

/* ---- steps ---- */

/* [FLT-12] A second completion, where there is room for it. */
static void admin_complete_again(struct vnic *card, uint64_t words[COMPLETION_WORDS])
{
    const unsigned pair = admin_report_pair(card);
    if (!card->pci.faults.is_command_twice || !chimney_may_report(card, pair)) {
        return;
    }
    card->pci.faults.is_command_twice = false;
    words[3] = COMPLETION_TYPE_CHM_ADMIN;
    chimney_write_entry(card, pair, words);
}

static uint64_t admin_complete(struct vnic *card, uint32_t placed, uint32_t acked, uint32_t handle)
{
    struct chm_admin *a = &card->chimney->admin;
    uint64_t words[COMPLETION_WORDS] = {0};
    chm_admin_completion_set_handle(words, handle);
    chm_admin_completion_set_cookie(words, chm_command_cookie(a->command));
    chm_admin_completion_set_status(words, a->status);
    chm_admin_completion_set_op(words, chm_command_op(a->command));
    chm_admin_completion_set_object(words, chm_command_object(a->command));
    chm_admin_completion_set_placed(words, placed);
    chm_admin_completion_set_acked(words, acked);
    chm_admin_completion_set_type(words, COMPLETION_TYPE_CHM_ADMIN);
    chimney_write_entry(card, admin_report_pair(card), words);
    admin_complete_again(card, words);
    return COMPLETION_BYTES;
}

static void admin_forget_command(struct chimney *m)
{
    struct chm_admin *a = &m->admin;
    create_drop_list(m);
    *a = (struct chm_admin){.ring = a->ring, .queue = a->queue};
}

static uint8_t admin_first_phase(const struct chm_admin *a)
{
    if (a->status != CHM_STATUS_OK) {
        return CHM_ADMIN_DONE;
    }
    if (admin_is(a, CHM_OP_TERMINATE, CHM_OBJECT_TCP)) {
        return CHM_ADMIN_OWE;
    }
    return chm_command_in_addr(a->command) != 0 ? CHM_ADMIN_READ : CHM_ADMIN_EXECUTE;
}

/* ---- faults of commands ---- */

static const struct vnic_fault *admin_fault(struct vnic *card, const struct chm_admin *a, int *id)
{
    struct fault_registry *faults = &card->pci.faults;
    const struct fault_occurrence what = {.site = VNIC_FAULT_ADMIN,
                                          .index = (uint8_t)chm_command_op(a->command),
                                          .first = chm_command_object(a->command),
                                          .last = chm_command_object(a->command)};
    faults->command_due_ns = 0;
    faults->is_command_twice = false;
    return pci_fault(&card->pci, &what, id);
}

static void admin_corrupt(struct chm_admin *a, const struct vnic_fault *fault)
{
    uint8_t bytes[CHM_COMMAND_BYTES];
    for (unsigned i = 0; i < CHM_COMMAND_WORDS; i++) {
        le64_store(bytes + 8 * i, a->command[i]);
    }
    fault_corrupt(fault, bytes, sizeof bytes);
    for (unsigned i = 0; i < CHM_COMMAND_WORDS; i++) {
        a->command[i] = le64_load(bytes + 8 * i);
    }
}

/* [FLT-12] What the fault makes of the command; the status that it ends with at once, or OK. */
static enum chm_status admin_disturb(struct vnic *card, struct chm_admin *a, const struct vnic_fault *fault,
                                     int id)
{
    struct fault_registry *faults = &card->pci.faults;
    const uint64_t now_ns = card->pci.now_ns;
    switch (fault->action) {
    case VNIC_FAULT_ERROR:
        return (enum chm_status)fault->argument;
    case VNIC_FAULT_CORRUPT:
        admin_corrupt(a, fault);
        break;
    case VNIC_FAULT_DUPLICATE:
        faults->is_command_twice = true;
        break;
    case VNIC_FAULT_DELAY:
        faults->command_due_ns = now_ns + bits_min64(fault->argument, UINT64_MAX - now_ns);
        faults->command_fault = (uint32_t)id;
        break;
    default:
        break;
    }
    return CHM_STATUS_OK;
}

static uint64_t admin_fetch(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    int id = 0;
    uint64_t addr = a->ring.base + (uint64_t)ring_index(&a->ring, a->ring.head) * CHM_COMMAND_BYTES;
    if (dma_read(&card->pci, &m->hint_admin, addr, a->command, CHM_COMMAND_BYTES, VNIC_DMA_DESCRIPTOR)
        != VNIC_DMA_OK) {
        admin_fail(card, RING_ERROR_FETCH_DMA);
        return CHM_COMMAND_BYTES;
    }
    for (unsigned i = 0; i < CHM_COMMAND_WORDS; i++) {
        a->command[i] = le64_load(&a->command[i]);
    }
    a->ring.head++;
    const struct vnic_fault *fault = admin_fault(card, a, &id);
    enum chm_status refusal = fault ? admin_disturb(card, a, fault, id) : CHM_STATUS_OK;
    if (fault && (fault->action == VNIC_FAULT_DROP || fault->action == VNIC_FAULT_REMOVE)) {
        admin_forget_command(m);
        return CHM_COMMAND_BYTES;
    }
    a->status = (uint8_t)admin_check(card, a);
    a->status = refusal != CHM_STATUS_OK ? (uint8_t)refusal : a->status;
    a->phase = admin_first_phase(a);
    if (a->phase == CHM_ADMIN_OWE) {
        change_begin_end(card);
    }
    return CHM_COMMAND_BYTES;
}

static uint64_t admin_read(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    uint32_t len = (uint32_t)chm_command_in_len(a->command);
    if (dma_read(&card->pci, &m->hint_image, chm_command_in_addr(a->command), a->image, len, VNIC_DMA_STATE)
        != VNIC_DMA_OK) {
        a->status = CHM_STATUS_DMA;
        a->phase = CHM_ADMIN_DONE;
        return len;
    }
    for (unsigned i = 0; i < CHM_TCP_WORDS; i++) {
        a->image[i] = le64_load(&a->image[i]);
    }
    a->phase = chm_command_send_count(a->command) != 0 ? CHM_ADMIN_LIST : CHM_ADMIN_EXECUTE;
    return len;
}

/* Without room for the list, what is wrong with the state is still said first [CHM-3]. */
static uint64_t admin_list(struct vnic *card)
{
    struct chm_admin *a = &card->chimney->admin;
    uint64_t bytes = create_read_list(card);
    bool is_over = a->sends_read == chm_command_send_count(a->command);
    if (a->status == CHM_STATUS_XMIT_BUFFER || (a->status == CHM_STATUS_OK && is_over)) {
        a->phase = CHM_ADMIN_EXECUTE;
    } else if (a->status != CHM_STATUS_OK) {
        a->phase = CHM_ADMIN_DONE;
    }
    return bytes;
}

static uint32_t admin_new_handle(const struct chimney *m)
{
    uint32_t index = m->admin.target;
    switch (admin_object(&m->admin)) {
    case CHM_OBJECT_NEIGHBOUR:
        return chimney_handle(index, m->neighbours[index].generation);
    case CHM_OBJECT_PATH:
        return chimney_handle(index, m->paths[index].generation);
    default:
        return chimney_handle(index, m->connections[index].generation);
    }
}

/* [CHM-5] Nothing of the new connection is reported before its completion, so both are one step. */
static uint64_t admin_create(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    a->status = (uint8_t)create_object(card);
    bool is_made = a->status == CHM_STATUS_OK, has_fin = a->has_fin;
    uint32_t connection = is_made && admin_object(a) == CHM_OBJECT_TCP ? a->target : 0;
    uint64_t bytes = admin_complete(card, 0, 0, is_made ? admin_new_handle(m) : 0);
    if (connection != 0) {
        create_go(card, connection, has_fin); /* also where the ring stopped on the completion */
    }
    admin_forget_command(m);
    return bytes;
}

static uint64_t admin_execute(struct vnic *card)
{
    struct chm_admin *a = &card->chimney->admin;
    uint64_t bytes = 0;
    if (admin_op(a) == CHM_OP_CREATE) {
        return admin_create(card);
    }
    a->status = (uint8_t)change_object(card, &bytes);
    a->phase = a->walk_path != 0 ? CHM_ADMIN_WALK : CHM_ADMIN_DONE;
    return bytes;
}

static uint64_t admin_walk(struct vnic *card)
{
    struct chm_admin *a = &card->chimney->admin;
    change_walk(card);
    a->phase = a->walk_path != 0 ? CHM_ADMIN_WALK : CHM_ADMIN_DONE;
    return 0;
}

static uint64_t admin_done(struct vnic *card)
{
    struct chimney *m = card->chimney;
    uint64_t bytes = admin_complete(card, 0, 0, (uint32_t)chm_command_handle(m->admin.command));
    admin_forget_command(m);
    return bytes;
}

static uint64_t admin_owe(struct vnic *card)
{
    if (change_freeze(card)) {
        card->chimney->admin.phase = CHM_ADMIN_END;
    }
    return 0;
}

/* [CHM-7] Where the image cannot be written the connection stays as it is, and can be terminated again. */
static uint64_t admin_end(struct vnic *card)
{
    struct chimney *m = card->chimney;
    struct chm_admin *a = &m->admin;
    uint32_t index = a->target, handle = (uint32_t)chm_command_handle(a->command);
    uint64_t bytes = 0;
    a->status = (uint8_t)change_write_image(card, &bytes);
    bool is_over = a->status == CHM_STATUS_OK;
    bytes += admin_complete(card, is_over ? chimney_connection(m, index)->placed : 0,
                            is_over ? chimney_send_partial(m, index) : 0, handle);
    if (is_over) {
        chimney_release(card, index);
    }
    admin_forget_command(m);
    return bytes;
}

uint64_t chimney_admin_step(struct vnic *card)
{
    switch ((enum chm_admin_phase)card->chimney->admin.phase) {
    case CHM_ADMIN_FETCH:
        return admin_fetch(card);
    case CHM_ADMIN_READ:
        return admin_read(card);
    case CHM_ADMIN_LIST:
        return admin_list(card);
    case CHM_ADMIN_EXECUTE:
        return admin_execute(card);
    case CHM_ADMIN_WALK:
        return admin_walk(card);
    case CHM_ADMIN_OWE:
        return admin_owe(card);
    case CHM_ADMIN_END:
        return admin_end(card);
    default:
        return admin_done(card);
    }
}

/* Each command may read a list that takes all work entries, and walk over every object. */
uint64_t chimney_admin_idle_steps(const struct vnic *card)
{
    const struct chimney *m = card->chimney;
    uint64_t commands = (m->admin.ring.is_running ? ring_owned(&m->admin.ring) : 0) + 1u;
    uint64_t objects = m->live_connections + m->live_paths + commands;
    return commands * (8u + objects + m->work_pool.capacity / ADMIN_LIST_MAX);
}
