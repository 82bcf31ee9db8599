/* interrupt.c: the line, MSI and MSI-X: which of them is in force, what may go, what waits, and the queue
 * outward. */
#include "pci/interrupt.h"

#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "pci/config.h"
#include "pci/disturb.h"
#include "pci/msix.h"
#include "pci/tags.h"

/* --- what is in force */

/* [PCI-26] Software must not enable both; if it does, MSI-X is in force. */
enum pci_interrupt_mode pci_mode(const struct pci_function *f)
{
    if (config_is_set(f, CFG_MSIX_CTRL, MSIX_CTRL_ENABLE_MASK)) {
        return PCI_MODE_MSIX;
    }
    return config_is_set(f, CFG_MSI_CTRL, MSI_CTRL_ENABLE_MASK) ? PCI_MODE_MSI : PCI_MODE_INTX;
}

void interrupt_look(const struct pci_function *f, struct interrupt_view *view)
{
    const uint32_t command = COMMAND_INTX_DISABLE_MASK | COMMAND_MASTER_MASK;
    view->word[0] = regfile_get(&f->config, CFG_COMMAND) & command;
    view->word[1] = regfile_get(&f->config, CFG_PM_CTRL);
    view->word[2] = regfile_get(&f->config, CFG_MSI_CTRL);
    view->word[3] = regfile_get(&f->config, CFG_MSI_MASK);
    view->word[4] = regfile_get(&f->config, CFG_MSIX_CTRL);
}

bool interrupt_has_changed(const struct pci_function *f, const struct interrupt_view *before)
{
    struct interrupt_view now;
    interrupt_look(f, &now);
    return memcmp(&now, before, sizeof(now)) != 0;
}

bool interrupt_is_line_pending(const struct pci_function *f)
{
    return f->is_line_asserted && pci_mode(f) == PCI_MODE_INTX;
}

/* [PCI-27] Bus Master Enable does not matter to the line: INTx travels as a Message. */
static bool interrupt_is_line_wanted(const struct pci_function *f)
{
    return interrupt_is_line_pending(f) && f->identity.interrupt_pin != 0 && pci_is_d0(f) && !f->is_removed
           && !config_is_set(f, CFG_COMMAND, COMMAND_INTX_DISABLE_MASK);
}

/* log2 of the messages that MSI may use. */
static unsigned interrupt_msi_log2(const struct pci_function *f)
{
    const uint32_t granted =
        (regfile_get(&f->config, CFG_MSI_CTRL) & MSI_CTRL_GRANTED_MASK) >> MSI_CTRL_GRANTED_SHIFT;
    return bits_min32(granted, f->identity.msi_capable_log2);
}

/* --- the queue outward */

static struct vnic_interrupt *interrupt_at(struct pci_function *f, uint32_t n)
{
    return &f->out[(f->out_head + n) % PCI_OUT_MAX];
}

static bool interrupt_is_full(const struct pci_function *f)
{
    return f->out_count == PCI_OUT_MAX;
}

static void interrupt_push(struct pci_function *f, const struct vnic_interrupt *message)
{
    if (interrupt_is_full(f)) {
        return;
    }
    *interrupt_at(f, f->out_count++) = *message;
    struct vnic_event event = {.type = VNIC_EVENT_INTERRUPT,
                               .index = message->vector,
                               .width = message->kind,
                               .addr = message->addr,
                               .value = message->data};
    pci_emit(f, &event);
}

static bool interrupt_is_same(const struct vnic_interrupt *a, const struct vnic_interrupt *b)
{
    return a->kind == b->kind && a->vector == b->vector && a->addr == b->addr && a->data == b->data;
}

static bool interrupt_is_queued(struct pci_function *f, const struct vnic_interrupt *message)
{
    for (uint32_t n = 0; n < f->out_count; n++) {
        if (interrupt_is_same(interrupt_at(f, n), message)) {
            return true;
        }
    }
    return false;
}

/* The line has no data but its level. */
static void interrupt_corrupt(const struct vnic_fault *fault, struct vnic_interrupt *message)
{
    uint8_t data[4];
    le32_store(data, message->data);
    fault_corrupt(fault, data, sizeof(data));
    message->data = le32_load(data);
    if (message->kind == VNIC_INTX) {
        message->data &= 1u;
    }
}

static void interrupt_keep(struct pci_function *f, int id, const struct vnic_interrupt *message)
{
    const struct fault_item item = {.index = message->vector, .len = sizeof(*message)};
    uint8_t bytes[sizeof(*message)];
    memcpy(bytes, message, sizeof(bytes));
    pci_keep(f, id, item, bytes);
}

static void interrupt_emit_faulty(struct pci_function *f, const struct vnic_interrupt *message,
                                  const struct vnic_fault *fault, int id)
{
    struct vnic_interrupt sent = *message;
    const bool is_twice = fault->action == VNIC_FAULT_DUPLICATE;
    if (fault_is_keeping(fault)) {
        interrupt_keep(f, id, message);
    } else if (is_twice) {
        interrupt_push(f, message);
    }
    if (fault->action == VNIC_FAULT_CORRUPT) {
        interrupt_corrupt(fault, &sent);
    }
    if (is_twice || fault->action == VNIC_FAULT_CORRUPT) {
        interrupt_push(f, &sent);
    }
}

/* Past the point of no return: queues the message as a fault would have it. */
static void interrupt_emit(struct pci_function *f, const struct vnic_interrupt *message)
{
    int id = 0;
    const struct fault_occurrence what = {.site = VNIC_FAULT_INTERRUPT,
                                          .index = message->vector,
                                          .first = message->addr,
                                          .last = message->addr,
                                          .len = sizeof(*message)};
    const struct vnic_fault *fault = pci_fault(f, &what, &id);
    if (fault == NULL) {
        interrupt_push(f, message);
    } else {
        interrupt_emit_faulty(f, message, fault, id);
    }
    pci_let_go_behind(f, VNIC_FAULT_INTERRUPT);
}

/* [FLT-8] An edge of the line that has become untrue meanwhile is followed by the true one. */
bool interrupt_send_late(struct pci_function *f, const struct vnic_interrupt *message)
{
    const bool is_untrue = message->kind == VNIC_INTX && (message->data != 0) != f->is_line_out;
    if (f->out_count + 1u + is_untrue > PCI_OUT_MAX) {
        return message->kind != VNIC_INTX && interrupt_is_queued(f, message);
    }
    interrupt_push(f, message);
    if (is_untrue) {
        const struct vnic_interrupt edge = {.kind = VNIC_INTX, .data = f->is_line_out};
        interrupt_push(f, &edge);
    }
    return true;
}

/* [PCI-34] In a full queue a message equal to one in it is the same interrupt; another waits. false: it
 * waits. */
static bool interrupt_send(struct pci_function *f, const struct vnic_interrupt *message)
{
    if (interrupt_is_full(f)) {
        return interrupt_is_queued(f, message);
    }
    interrupt_emit(f, message);
    return true;
}

/* --- raising */

static bool interrupt_send_msix(struct pci_function *f, unsigned vector)
{
    if (!f->is_master || msix_is_masked(f, vector)
        || config_is_set(f, CFG_MSIX_CTRL, MSIX_CTRL_FUNCTION_MASK_MASK)) {
        return false;
    }
    struct vnic_interrupt message;
    msix_message(f, vector, &message);
    return interrupt_send(f, &message);
}

/* number: below the granted messages. */
static bool interrupt_send_msi(struct pci_function *f, unsigned number)
{
    if (!f->is_master || config_is_set(f, CFG_MSI_MASK, 1u << number)) {
        return false;
    }
    const uint32_t low = (1u << interrupt_msi_log2(f)) - 1;
    const struct vnic_interrupt message = {
        .addr = regfile_get64(&f->config, CFG_MSI_ADDR_LO),
        .data = (regfile_get(&f->config, CFG_MSI_DATA) & ~low) | number,
        .kind = VNIC_MSI,
        .vector = (uint8_t)number,
    };
    return interrupt_send(f, &message);
}

static bool interrupt_raise_msix(struct pci_function *f, unsigned vector)
{
    if (interrupt_send_msix(f, vector)) {
        return true;
    }
    f->msix_pending |= 1ull << vector;
    return false;
}

static bool interrupt_raise_msi(struct pci_function *f, unsigned vector)
{
    const unsigned number = vector & ((1u << interrupt_msi_log2(f)) - 1);
    if (interrupt_send_msi(f, number)) {
        return true;
    }
    f->msi_pending |= 1u << number;
    return false;
}

bool pci_raise(struct pci_function *f, unsigned vector)
{
    if (vector >= f->identity.vectors) {
        return false;
    }
    switch (pci_mode(f)) {
    case PCI_MODE_MSIX:
        return interrupt_raise_msix(f, vector);
    case PCI_MODE_MSI:
        return interrupt_raise_msi(f, vector);
    case PCI_MODE_INTX:
        break;
    }
    return false;
}

static void interrupt_settle_line(struct pci_function *f)
{
    const bool wanted = interrupt_is_line_wanted(f);
    if (wanted == f->is_line_out || interrupt_is_full(f)) {
        return;
    }
    f->is_line_out = wanted;
    const struct vnic_interrupt edge = {.kind = VNIC_INTX, .data = wanted};
    interrupt_emit(f, &edge);
}

void pci_set_line(struct pci_function *f, bool asserted)
{
    f->is_line_asserted = asserted;
    interrupt_settle_line(f);
}

/* --- what waited */

static void interrupt_settle_msix(struct pci_function *f)
{
    for (uint64_t left = f->msix_pending; left != 0; left &= left - 1) {
        const unsigned vector = bits_ctz(left);
        if (interrupt_send_msix(f, vector)) {
            f->msix_pending &= ~(1ull << vector);
        }
    }
}

/* When fewer messages are granted than before, what waits for a higher one goes by the number that it has
 * now. */
static void interrupt_fold_msi(struct pci_function *f)
{
    const unsigned granted = 1u << interrupt_msi_log2(f);
    for (unsigned span = 32; span > granted; span /= 2) {
        f->msi_pending = (f->msi_pending | f->msi_pending >> span / 2) & ((1u << span / 2) - 1);
    }
}

static void interrupt_settle_msi(struct pci_function *f)
{
    interrupt_fold_msi(f);
    for (uint32_t left = f->msi_pending; left != 0; left &= left - 1) {
        const unsigned number = bits_ctz(left);
        if (interrupt_send_msi(f, number)) {
            f->msi_pending &= ~(1u << number);
        }
    }
}

/* [PCI-33] Pending bits belong to their mode: they stay while another is in force, and are not sent by it. */
void interrupt_settle(struct pci_function *f)
{
    interrupt_settle_line(f);
    switch (pci_mode(f)) {
    case PCI_MODE_MSIX:
        interrupt_settle_msix(f);
        break;
    case PCI_MODE_MSI:
        interrupt_settle_msi(f);
        break;
    case PCI_MODE_INTX:
        break;
    }
}

static size_t interrupt_take(struct pci_function *f, struct vnic_interrupt *out, size_t max)
{
    const uint32_t n = max < f->out_count ? (uint32_t)max : f->out_count;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = *interrupt_at(f, i);
    }
    f->out_head = (f->out_head + n) % PCI_OUT_MAX;
    f->out_count -= n;
    return n;
}

/* What found the queue full goes as soon as there is room, so something can wait for room only while it is
 * full. Each round takes a full queue, and what waits is at most one message a vector and one edge. */
size_t pci_interrupts(struct pci_function *f, struct vnic_interrupt *out, size_t max)
{
    size_t taken = 0;
    while (taken < max && f->out_count != 0) {
        const bool was_full = interrupt_is_full(f);
        taken += interrupt_take(f, out + taken, max - taken);
        if (was_full) {
            interrupt_settle(f);
            pci_let_go(f, 1u << VNIC_FAULT_INTERRUPT);
        }
    }
    if (taken != 0) {
        struct vnic_event event = {.type = VNIC_EVENT_TAKE, .value = taken};
        pci_emit(f, &event);
    }
    pci_settle_leaving(f);
    return taken;
}

void interrupt_discard(struct pci_function *f)
{
    bool may_be_up = f->is_line_out;
    for (uint32_t n = 0; n < f->out_count; n++) {
        may_be_up |= interrupt_at(f, n)->kind == VNIC_INTX;
    }
    f->out_head = 0;
    f->out_count = 0;
    f->is_line_out = false;
    if (may_be_up) {
        const struct vnic_interrupt edge = {.kind = VNIC_INTX, .data = 0};
        interrupt_push(f, &edge);
    }
}

/* --- snapshot */

static bool interrupt_is_message_sound(const struct pci_function *f, const struct vnic_interrupt *message)
{
    switch (message->kind) {
    case VNIC_INTX:
        return message->vector == 0 && message->addr == 0 && message->data <= 1;
    case VNIC_MSI:
        return message->vector < 1u << f->identity.msi_capable_log2;
    default:
        return message->vector < f->identity.vectors;
    }
}

static void interrupt_archive_message(struct pci_function *f, struct archive *a, uint32_t n)
{
    struct vnic_interrupt message = {0};
    if (!archive_is_loading(a)) {
        message = *interrupt_at(f, n);
    }
    ARCHIVE(a, TAG_PCI_OUT_KIND, message.kind, VNIC_MSIX);
    ARCHIVE(a, TAG_PCI_OUT_VECTOR, message.vector, UINT8_MAX);
    ARCHIVE(a, TAG_PCI_OUT_ADDR, message.addr, UINT64_MAX);
    ARCHIVE(a, TAG_PCI_OUT_DATA, message.data, UINT32_MAX);
    archive_refuse_if(a, !interrupt_is_message_sound(f, &message));
    if (archive_is_loading(a) && !a->failed) {
        f->out[n] = message;
    }
}

void interrupt_archive(struct pci_function *f, struct archive *a)
{
    const uint32_t msi_bits = UINT32_MAX >> (32 - (1u << f->identity.msi_capable_log2));
    ARCHIVE(a, TAG_PCI_LINE_ASSERTED, f->is_line_asserted, 1);
    ARCHIVE(a, TAG_PCI_LINE_OUT, f->is_line_out, 1);
    ARCHIVE(a, TAG_PCI_MSIX_PENDING, f->msix_pending, msix_vectors(f));
    archive_refuse_if(a, (f->msix_pending & ~msix_vectors(f)) != 0);
    ARCHIVE(a, TAG_PCI_MSI_PENDING, f->msi_pending, msi_bits);
    const uint32_t count = archive_count(a, TAG_PCI_OUT_COUNT, f->out_count, PCI_OUT_MAX);
    if (archive_is_loading(a)) {
        f->out_head = 0;
        f->out_count = count;
    }
    for (uint32_t n = 0; n < count && !a->failed; n++) {
        interrupt_archive_message(f, a, n);
    }
}

static bool interrupt_could_go(const struct pci_function *f)
{
    const uint64_t masked_by_function =
        config_is_set(f, CFG_MSIX_CTRL, MSIX_CTRL_FUNCTION_MASK_MASK) ? UINT64_MAX : 0;
    uint64_t left = f->msix_pending & ~masked_by_function;
    switch (pci_mode(f)) {
    case PCI_MODE_MSIX:
        while (left != 0 && msix_is_masked(f, bits_ctz(left))) {
            left &= left - 1;
        }
        return f->is_master && left != 0;
    case PCI_MODE_MSI:
        return f->is_master && (f->msi_pending & ~regfile_get(&f->config, CFG_MSI_MASK)) != 0;
    case PCI_MODE_INTX:
        break;
    }
    return false;
}

/* Nothing waits that could go, unless the queue is full: else it would wait for ever. */
bool interrupt_is_sound(const struct pci_function *f)
{
    return interrupt_is_full(f) || (interrupt_is_line_wanted(f) == f->is_line_out && !interrupt_could_go(f));
}
