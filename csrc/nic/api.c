/* api.c: the public calls: each is an input or an output of the card, observed and handed on. */
#include "base/bits.h"
#include "nic/access.h"
#include "nic/chimney.h"
#include "nic/classify.h"
#include "nic/emit.h"
#include "nic/filter.h"
#include "nic/receive.h"
#include "nic/run.h"
#include "nic/snapshot.h"
#include "nic/vector.h"
#include "pci/disturb.h"
#include "pci/host.h"

const char *vnic_strerror(int result)
{
    static const char *const text[] = {
        "success",
        "an argument is out of range",
        "out of memory",
        "the address range is mapped already",
        "a capacity given at creation is used up",
        "no such mapping or fault",
        "time would go backwards",
        "not a snapshot, or cut short, or a field out of range",
        "a snapshot of another version",
        "a snapshot of a card of another configuration",
    };
    int n = -result;
    return n >= 0 && n < (int)(sizeof text / sizeof text[0]) ? text[n] : "unknown result";
}

static void api_emit(struct vnic *card, struct vnic_event event)
{
    if (pci_is_observed(&card->pci, event.type)) {
        pci_emit(&card->pci, &event);
    }
}

/* ---- registers ---- */

uint64_t vnic_read(vnic *card, unsigned bar, uint64_t offset, unsigned width)
{
    return access_read(card, bar, offset, width);
}

void vnic_write(vnic *card, unsigned bar, uint64_t offset, unsigned width, uint64_t value)
{
    pci_bar_write(&card->pci, bar, offset, width, value);
}

uint32_t vnic_cfg_read(vnic *card, uint32_t offset, unsigned width)
{
    return pci_config_read(&card->pci, offset, width);
}

void vnic_cfg_write(vnic *card, uint32_t offset, unsigned width, uint32_t value)
{
    pci_config_write(&card->pci, offset, width, value);
}

/* ---- memory ---- */

int vnic_map(vnic *card, uint64_t iova, void *host, uint64_t len, unsigned permissions)
{
    return host_map(&card->pci, iova, host, len, permissions);
}

int vnic_unmap(vnic *card, uint64_t iova, uint64_t len)
{
    return host_unmap(&card->pci, iova, len);
}

void vnic_unmap_all(vnic *card)
{
    host_unmap_all(&card->pci);
}

void vnic_set_unmapped(vnic *card, vnic_unmapped answer, void *opaque)
{
    host_set_unmapped(&card->pci, answer, opaque);
}

/* ---- link ---- */

void vnic_set_link(vnic *card, uint32_t speed_mbps)
{
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_LINK, .value = speed_mbps});
    if (card->state.link_mbps != speed_mbps) {
        card->state.link_mbps = speed_mbps;
        card_raise_event(card, GLB_EVENT_LINK_MASK);
    }
}

static int api_take(struct vnic *card, const uint8_t *frame, uint32_t len)
{
    if (card->pci.is_removed) {
        return VNIC_RX_DROPPED;
    }
    if (card->state.link_mbps == 0) {
        card_count(card, STAT(RX_DROP_LINK));
        return VNIC_RX_DROPPED;
    }
    return receive_frame(card, frame, len);
}

static int api_take_twice(struct vnic *card, const uint8_t *frame, uint32_t len,
                          const struct vnic_fault *fault, int id)
{
    int verdict = api_take(card, frame, len);
    if (fault_is_keeping(fault)) {
        pci_keep(&card->pci, id, (struct fault_item){.len = len}, frame);
    } else {
        (void)api_take(card, frame, len);
    }
    return verdict;
}

/* A corrupted frame is corrupted where it lies. */
static int api_take_corrupt(struct vnic *card, const uint8_t *frame, uint32_t len,
                            const struct vnic_fault *fault)
{
    int verdict = api_take(card, frame, len);
    if (verdict == VNIC_RX_TAKEN) {
        struct packet *last = packet_buffer_at(&card->rx_buffer, card->rx_buffer.count - 1);
        fault_corrupt(fault, card->rx_buffer.bytes + last->offset, last->len);
    }
    return verdict;
}

/* One that is kept is on the wire still: for who sent it, it was taken. */
static int api_take_as(struct vnic *card, const uint8_t *frame, uint32_t len, const struct vnic_fault *fault,
                       int id)
{
    switch (fault->action) {
    case VNIC_FAULT_CORRUPT:
        return api_take_corrupt(card, frame, len, fault);
    case VNIC_FAULT_DUPLICATE:
        return api_take_twice(card, frame, len, fault, id);
    case VNIC_FAULT_DELAY:
    case VNIC_FAULT_REORDER:
        pci_keep(&card->pci, id, (struct fault_item){.len = len}, frame);
        return VNIC_RX_TAKEN;
    default:
        return VNIC_RX_DROPPED; /* dropped, or the card is gone */
    }
}

/* The same with the faults of frames that arrive. */
static int api_take_faulty(struct vnic *card, const uint8_t *frame, uint32_t len)
{
    const struct fault_occurrence what = {
        .site = VNIC_FAULT_FRAME_IN, .index = 0xFF, .first = len, .last = len, .len = len};
    int id = 0;
    const struct vnic_fault *fault = pci_fault(&card->pci, &what, &id);
    int verdict = fault ? api_take_as(card, frame, len, fault, id) : api_take(card, frame, len);
    pci_let_go_behind(&card->pci, VNIC_FAULT_FRAME_IN);
    pci_settle_leaving(&card->pci);
    return verdict;
}

bool api_take_late(void *owner, enum vnic_fault_site site, unsigned pair, const uint8_t *frame, uint32_t len)
{
    struct vnic *card = owner;
    if (site == VNIC_FAULT_FRAME_OUT) {
        return emit_late(card, pair, frame, len);
    }
    (void)api_take(card, frame, len);
    return true;
}

static void api_tell_frame(struct vnic *card, const uint8_t *frame, uint32_t len, int verdict)
{
    struct vnic_event event = {
        .type = VNIC_EVENT_FRAME_IN, .len = len, .value = (uint64_t)verdict, .data = frame};
    if (verdict == VNIC_RX_TAKEN) {
        struct rx_class c;
        classify_foresee(card, frame, len, &c);
        event.index = (uint8_t)c.pair;
        event.addr = c.hash_type != 0 ? c.hash | 1ull << VNIC_FRAME_HASHED_SHIFT : 0;
    }
    pci_emit(&card->pci, &event);
}

int vnic_receive(vnic *card, const uint8_t *frame, size_t len)
{
    uint32_t length = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    bool is_faulty = card->pci.faults.armed[VNIC_FAULT_FRAME_IN] != 0;
    int verdict = is_faulty ? api_take_faulty(card, frame, length) : api_take(card, frame, length);
    if (__builtin_expect(pci_is_observed(&card->pci, VNIC_EVENT_FRAME_IN), 0)) {
        api_tell_frame(card, frame, length, verdict);
    }
    return verdict;
}

size_t vnic_frames(vnic *card, struct vnic_frame *frames, size_t max)
{
    const struct packet_buffer *b = &card->tx_buffer;
    size_t n = b->count < max ? b->count : max;
    for (size_t i = 0; i < n; i++) {
        const struct packet *p = packet_buffer_at(b, (uint32_t)i);
        frames[i] = (struct vnic_frame){.data = b->bytes + p->offset, .len = p->len, .queue = p->queue};
    }
    return n;
}

void vnic_frames_release(vnic *card, size_t count)
{
    const size_t some = bits_min64(count, card->tx_buffer.count);
    if (some != 0) {
        api_emit(card, (struct vnic_event){.type = VNIC_EVENT_RELEASE, .value = some});
    }
    for (size_t i = 0; i < some; i++) {
        packet_buffer_pop(&card->tx_buffer);
    }
    if (card->pci.faults.held.count != 0) {
        pci_let_go(&card->pci, 1u << VNIC_FAULT_FRAME_OUT);
    }
}

size_t vnic_interrupts(vnic *card, struct vnic_interrupt *interrupts, size_t max)
{
    return pci_interrupts(&card->pci, interrupts, max);
}

/* ---- time and work ---- */

int vnic_advance(vnic *card, uint64_t now_ns)
{
    const int result = host_set_time(&card->pci, now_ns);
    if (result == VNIC_OK) {
        vector_set_time(card);
    }
    return result;
}

uint64_t vnic_now(const vnic *card)
{
    return card->pci.now_ns;
}

uint64_t vnic_deadline(const vnic *card)
{
    return bits_min64(host_deadline(&card->pci), bits_min64(vector_deadline(card), chimney_deadline(card)));
}

uint32_t vnic_runnable(const vnic *card)
{
    return run_runnable(card);
}

int vnic_step(vnic *card, unsigned engine, uint64_t *bytes)
{
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_STEP, .index = (uint8_t)engine});
    int is_taken = run_step(card, engine, bytes);
    pci_settle_leaving(&card->pci);
    return is_taken;
}

uint32_t vnic_run(vnic *card, const struct vnic_budget *budget, struct vnic_budget *used)
{
    struct vnic_budget taken;
    if (__builtin_expect(pci_is_observed(&card->pci, VNIC_EVENT_RUN), 0)) {
        api_emit(card,
                 (struct vnic_event){.type = VNIC_EVENT_RUN, .addr = budget->steps, .value = budget->bytes});
    }
    run_within(card, budget, &taken);
    pci_settle_leaving(&card->pci);
    if (used) {
        *used = taken;
    }
    return run_runnable(card);
}

uint64_t vnic_idle_steps(const vnic *card)
{
    return run_idle_steps(card);
}

/* ---- reset, removal, snapshot ---- */

void vnic_reset(vnic *card, unsigned level)
{
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_RESET, .value = level});
    pci_reset(&card->pci, level == VNIC_RESET_HOT ? PCI_RESET_HOT : PCI_RESET_POWER);
    pci_settle_leaving(&card->pci);
}

void vnic_remove(vnic *card)
{
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_REMOVE, .value = 1});
    pci_remove(&card->pci);
    card_reset_device(card);
}

void vnic_insert(vnic *card)
{
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_REMOVE, .value = 0});
    pci_insert(&card->pci);
}

size_t vnic_save(vnic *card, uint8_t *buf, size_t capacity)
{
    struct archive a;
    int refusal;
    archive_save(&a, NULL, 0);
    snapshot_walk(card, &a, &refusal);
    size_t size = a.at;
    if (buf && size <= capacity) {
        archive_save(&a, buf, capacity);
        snapshot_walk(card, &a, &refusal);
    }
    return size;
}

int vnic_load(vnic *card, const uint8_t *buf, size_t len)
{
    struct archive a;
    int refusal;
    api_emit(card, (struct vnic_event){.type = VNIC_EVENT_LOAD, .len = (uint32_t)len, .data = buf});
    pci_reset(&card->pci, PCI_RESET_POWER);
    bool has_edge = card->pci.out_count != 0;
    archive_load(&a, buf, len);
    snapshot_walk(card, &a, &refusal);
    if (refusal != VNIC_OK) {
        pci_refuse(&card->pci, has_edge);
        card->state.link_mbps = 0;
    }
    pci_refresh(&card->pci);
    return refusal;
}

uint64_t vnic_state_hash(vnic *card)
{
    struct archive a;
    int refusal;
    archive_hash(&a);
    snapshot_walk(card, &a, &refusal);
    return a.hash;
}

/* ---- observation and faults ---- */

void vnic_observe(vnic *card, vnic_observer observer, void *opaque, uint32_t mask)
{
    host_observe(&card->pci, observer, opaque, mask);
}

void vnic_retell(vnic *card)
{
    host_retell(&card->pci);
}

int vnic_fault_arm(vnic *card, const struct vnic_fault *fault)
{
    return host_arm(&card->pci, fault);
}

int vnic_fault_disarm(vnic *card, int id)
{
    return host_disarm(&card->pci, id);
}

int64_t vnic_fault_fired(const vnic *card, int id)
{
    return host_fired(&card->pci, id);
}

uint32_t vnic_fault_kept(const vnic *card)
{
    return host_kept(&card->pci);
}

uint64_t vnic_register_map_hash(void)
{
    return vnic_bar0_map.hash;
}
