/* driver_send.c: sends on their way down and back: each completed once, with a status, and as it was given. */
#include "driver_send.h"

#include <stdlib.h>
#include <string.h>

#include "driver_world.h"

#define LISTS_MOST 200u
#define OFFSET_MOST 64u
#define SG_MOST 64u
#define FRAME_LEAST 60u

/* Every bit of every word counts: a multiplication by an odd number loses none. */
static uint64_t sum_of(uint64_t sum, const uint8_t *bytes, uint32_t len)
{
    uint64_t word = 0;
    for (; len >= sizeof word; len -= (uint32_t)sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15ull;
    }
    word = 0;
    memcpy(&word, bytes, len);
    return (sum ^ word) * 0x9E3779B97F4A7C15ull;
}

static uint64_t send_sum(const struct fuzz_send *send)
{
    uint64_t sum = FUZZ_SUM_BEGIN;
    for (uint32_t i = 0; i < send->packets; i++) {
        for (uint32_t k = 0; k < send->packet[i].mdls; k++) {
            sum = sum_of(sum, send->packet[i].mdl_was[k].data, send->packet[i].mdl_was[k].len);
        }
    }
    return sum;
}

/* ---- down ---- */

/* The four bytes of a number again and again, from a place on: no two packets are alike. */
static void piece_fill(uint8_t *bytes, uint32_t len, uint32_t place, uint32_t number)
{
    uint32_t done = len < 4 ? len : 4;
    for (uint32_t i = 0; i < done; i++) {
        bytes[i] = (uint8_t)(number >> 8 * ((place + i) & 3));
    }
    while (done < len) {
        const uint32_t part = done < len - done ? done : len - done;
        memcpy(bytes + done, bytes, part);
        done += part;
    }
}

static void packet_mdl(struct fuzz_packet *packet, uint32_t len, uint32_t number)
{
    const uint32_t at = packet->mdls;
    struct vnic_mdl *mdl = calloc(1, sizeof *mdl);
    mdl->len = len;
    mdl->data = malloc(len);
    piece_fill(mdl->data, len, packet->bytes, number);
    packet->bytes += len;
    packet->mdl[packet->mdls++] = mdl;
    if (at > 0) {
        packet->mdl[at - 1]->next = mdl;
        packet->mdl_was[at - 1].next = mdl;
    }
    packet->mdl_was[at] = *mdl;
}

/* `shape` chooses how many pieces it is in, and how far into them its data starts. */
static void packet_make(struct fuzz_packet *packet, uint32_t len, uint32_t shape, uint32_t number)
{
    const uint32_t pieces = 1 + (shape & 3), offset = shape >> 2 & 1 ? shape >> 3 & (OFFSET_MOST - 1) : 0;
    uint32_t left = offset + len;
    memset(packet, 0, sizeof *packet);
    for (uint32_t i = 1; i < pieces && left > 1; i++) {
        const uint32_t part = 1 + (shape >> 5) * i % (left - 1);
        packet_mdl(packet, part, number);
        left -= part;
    }
    packet_mdl(packet, left ? left : 1, number);
    packet->buffer = calloc(1, sizeof *packet->buffer);
    packet->buffer->mdl_chain = packet->mdl[0];
    packet->buffer->data_offset = offset;
    packet->buffer->data_length = len;
}

static struct fuzz_send *record_take(struct fuzz_sends *sends)
{
    if (sends->top < FUZZ_SENDS) {
        return &sends->each[sends->top++];
    }
    for (uint32_t i = 0; i < FUZZ_SENDS; i++) {
        if (sends->each[i].list == NULL) {
            return &sends->each[i];
        }
    }
    return NULL;
}

static struct vnic_net_buffer_list *send_make(struct fuzz_world *w, uint32_t len, uint32_t shape)
{
    struct fuzz_send *send = record_take(&w->sends);
    if (send == NULL) {
        return NULL;
    }
    memset(send, 0, sizeof *send);
    send->list = calloc(1, sizeof *send->list);
    send->packets = 1 + (shape >> 8 & 0xFF) % FUZZ_SEND_BUFFERS;
    for (uint32_t i = 0; i < send->packets; i++) {
        packet_make(&send->packet[i], len + i * (shape >> 16 & 0x3F), (shape ^ i * 0x55) & 0x3FF,
                    (uint32_t)w->sends.cancel_id * FUZZ_SEND_BUFFERS + i);
    }
    for (uint32_t i = 0; i < send->packets; i++) {
        struct fuzz_packet *packet = &send->packet[i];
        packet->buffer->next = i + 1 < send->packets ? send->packet[i + 1].buffer : NULL;
        packet->buffer_was = *packet->buffer;
    }
    send->list->first_net_buffer = send->packet[0].buffer;
    send->list->cancel_id = send->cancel_id = ++w->sends.cancel_id;
    send->must_be_paused = w->adapter.state == FUZZ_PAUSED || w->adapter.state == FUZZ_PAUSING;
    send->sum = send_sum(send);
    w->sends.outstanding++;
    return send->list;
}

void fuzz_send_submit(struct fuzz_world *w, uint32_t lists, uint32_t len, uint32_t shape)
{
    struct vnic_net_buffer_list *head = NULL, **end = &head;
    const bool is_raised = shape >> 31 & 1;
    for (uint32_t i = 0; i < lists && i < LISTS_MOST; i++) {
        *end = send_make(w, len, shape + i * 0x9E37);
        if (*end == NULL) {
            break;
        }
        end = &(*end)->next;
    }
    if (head == NULL) {
        return;
    }
    const struct fuzz_call call =
        fuzz_enter(w, "send_net_buffer_lists", is_raised ? VNIC_IRQL_DISPATCH : VNIC_IRQL_PASSIVE);
    w->driver->send_net_buffer_lists(w->context, head, 0, is_raised ? NDIS_SEND_FLAG_DISPATCH_LEVEL : 0);
    fuzz_leave(w, &call);
}

void fuzz_send_cancel(struct fuzz_world *w, uint32_t back)
{
    const uint64_t id = w->sends.cancel_id - back;
    for (uint32_t i = 0; i < w->sends.top; i++) {
        w->sends.each[i].is_cancelled |= w->sends.each[i].list && w->sends.each[i].cancel_id == id;
    }
    if (w->driver->cancel_send) {
        const struct fuzz_call call = fuzz_enter(w, "cancel_send", VNIC_IRQL_PASSIVE);
        w->driver->cancel_send(w->context, id);
        fuzz_leave(w, &call);
    }
}

/* ---- and back ---- */

static struct fuzz_send *record_of(struct fuzz_sends *sends, const struct vnic_net_buffer_list *list)
{
    for (uint32_t i = 0; i < sends->top; i++) {
        if (sends->each[i].list == list) {
            return &sends->each[i];
        }
    }
    return NULL;
}

static bool is_buffer_same(const struct vnic_net_buffer *now, const struct vnic_net_buffer *was)
{
    return now->next == was->next && now->mdl_chain == was->mdl_chain && now->data_offset == was->data_offset
           && now->data_length == was->data_length;
}

/* SEND-5. */
static void send_check_unchanged(const struct fuzz_send *send)
{
    bool is_same = send->list->first_net_buffer == send->packet[0].buffer;
    for (uint32_t i = 0; i < send->packets; i++) {
        const struct fuzz_packet *packet = &send->packet[i];
        is_same &= is_buffer_same(packet->buffer, &packet->buffer_was);
        for (uint32_t k = 0; k < packet->mdls; k++) {
            const struct vnic_mdl *now = packet->mdl[k], *was = &packet->mdl_was[k];
            is_same &= now->next == was->next && now->data == was->data && now->len == was->len;
        }
    }
    FUZZ_REQUIRE(is_same, "SEND-5", "NET_BUFFERs or MDLs of a send were changed by the driver");
    FUZZ_REQUIRE(send_sum(send) == send->sum, "SEND-5", "the bytes of a send were changed while it was out");
}

/* Sent means that the card had it, when all completions were its own. */
static void send_check_left(struct fuzz_world *w, const struct fuzz_send *send)
{
    for (uint32_t i = 0; i < send->packets; i++) {
        w->sends.has_aborted |= !send->packet[i].was_handed;
        FUZZ_REQUIRE(w->card.has_lied || w->card.has_forged || send->list->status != NDIS_STATUS_SUCCESS
                         || send->packet[i].has_left,
                     "FUZ-35", "a send is completed with SUCCESS, and packet %u was not sent", i);
    }
}

static void send_check_status(const struct fuzz_send *send)
{
    const uint32_t status = fuzz_status(send->list->status, "the status of a completed send");
    FUZZ_REQUIRE(status != NDIS_STATUS_PENDING, "SEND-4", "a send is completed with PENDING");
    FUZZ_REQUIRE(!send->must_be_paused || status == NDIS_STATUS_PAUSED, "SEND-3",
                 "sent while not Running, completed 0x%08X", status);
    FUZZ_REQUIRE(status != NDIS_STATUS_SEND_ABORTED || send->is_cancelled, "SEND-7",
                 "a send that was not cancelled is completed with SEND_ABORTED");
}

static void send_free(struct fuzz_world *w, struct fuzz_send *send)
{
    for (uint32_t i = 0; i < send->packets; i++) {
        for (uint32_t k = 0; k < send->packet[i].mdls; k++) {
            free(send->packet[i].mdl_was[k].data);
            free(send->packet[i].mdl[k]);
        }
        free(send->packet[i].buffer);
    }
    free(send->list);
    send->list = NULL;
    while (w->sends.top > 0 && w->sends.each[w->sends.top - 1].list == NULL) {
        w->sends.top--;
    }
}

void fuzz_send_complete(struct fuzz_world *w, struct vnic_net_buffer_list *chain, uint32_t flags)
{
    FUZZ_REQUIRE(!(flags & NDIS_SEND_COMPLETE_FLAG_DISPATCH_LEVEL)
                     || fuzz_processor_level(w) == VNIC_IRQL_DISPATCH,
                 "LEVEL-2", "a send completion says DISPATCH_LEVEL at another level");
    while (chain != NULL) {
        struct fuzz_send *send = record_of(&w->sends, chain);
        FUZZ_REQUIRE(send != NULL, "SEND-1",
                     "a list is completed that is no send of the driver's, or was before");
        chain = chain->next;
        send_check_status(send);
        send_check_unchanged(send);
        send_check_left(w, send);
        send_free(w, send);
        w->sends.outstanding--;
        w->sends.completed++;
    }
}

bool fuzz_send_holds(const struct fuzz_world *w, const uint8_t *bytes, size_t len)
{
    for (uint32_t i = 0; i < w->sends.top; i++) {
        const struct fuzz_send *send = &w->sends.each[i];
        for (uint32_t k = 0; send->list && k < send->packets * FUZZ_SEND_MDLS; k++) {
            const struct fuzz_packet *packet = &send->packet[k / FUZZ_SEND_MDLS];
            const struct vnic_mdl *mdl = &packet->mdl_was[k % FUZZ_SEND_MDLS];
            if (k % FUZZ_SEND_MDLS < packet->mdls && bytes >= mdl->data && bytes < mdl->data + mdl->len) {
                return len <= (size_t)(mdl->data + mdl->len - bytes);
            }
        }
    }
    return false;
}

/* Whether the packet's bytes are these; a driver may have padded it to the least length of a frame. */
static bool is_packet(const struct fuzz_packet *packet, const uint8_t *frame, uint32_t len)
{
    uint32_t skip = packet->buffer_was.data_offset, left = packet->buffer_was.data_length;
    if (packet->was_handed || left > len || (left < len && len > FRAME_LEAST)) {
        return false;
    }
    for (uint32_t i = 0; i < packet->mdls && left; i++) {
        const struct vnic_mdl *mdl = &packet->mdl_was[i];
        const uint32_t from = skip < mdl->len ? skip : mdl->len;
        const uint32_t part = mdl->len - from < left ? mdl->len - from : left;
        if (memcmp(mdl->data + from, frame, part) != 0) {
            return false;
        }
        frame += part;
        left -= part;
        skip -= from;
    }
    return true;
}

void fuzz_send_leave(struct fuzz_world *w, const uint8_t *frame, uint32_t len, bool is_sent)
{
    for (uint32_t i = 0; i < w->sends.top; i++) {
        for (uint32_t k = 0; w->sends.each[i].list && k < w->sends.each[i].packets; k++) {
            if (is_packet(&w->sends.each[i].packet[k], frame, len)) {
                w->sends.each[i].packet[k].was_handed = true;
                w->sends.each[i].packet[k].has_left = is_sent;
                return;
            }
        }
    }
    FUZZ_REQUIRE(w->card.has_lied || w->card.has_forged || w->sends.has_aborted, "FUZ-35",
                 "the card is handed a frame of %u bytes that no send has, or had before", len);
}

/* ---- scatter-gather lists ---- */

static const struct fuzz_packet *packet_of(const struct fuzz_sends *sends,
                                           const struct vnic_net_buffer *buffer)
{
    for (uint32_t i = 0; i < sends->top; i++) {
        for (uint32_t k = 0; sends->each[i].list && k < sends->each[i].packets; k++) {
            if (sends->each[i].packet[k].buffer == buffer) {
                return &sends->each[i].packet[k];
            }
        }
    }
    fuzz_breach("DRV-10", "alloc_net_buffer_sg_list of a NET_BUFFER that is in no send of the driver's");
}

static struct fuzz_sg *sg_take(struct fuzz_sends *sends)
{
    for (uint32_t i = 0; i < FUZZ_SENDS; i++) {
        if (!sends->sg[i].is_live) {
            return &sends->sg[i];
        }
    }
    return NULL;
}

static uint32_t packet_map(struct fuzz_world *w, const struct fuzz_packet *packet,
                           struct vnic_segment *segments)
{
    uint32_t skip = packet->buffer_was.data_offset, left = packet->buffer_was.data_length, count = 0;
    for (uint32_t i = 0; i < packet->mdls && left; i++) {
        const struct vnic_mdl *mdl = &packet->mdl_was[i];
        const uint32_t from = skip < mdl->len ? skip : mdl->len;
        const uint32_t len = mdl->len - from < left ? mdl->len - from : left;
        if (len) {
            const uint32_t added = fuzz_memory_map(&w->memory, mdl->data + from, len, VNIC_BUS_TO_DEVICE,
                                                   segments + count, SG_MOST - count);
            if (added == 0 || added > SG_MOST - count) {
                fuzz_memory_unmap(&w->memory, segments, count, VNIC_BUS_TO_DEVICE);
                return 0;
            }
            count += added;
        }
        skip -= from;
        left -= len;
    }
    return count;
}

const struct vnic_sg_list *fuzz_send_map(struct fuzz_world *w, struct vnic_net_buffer *buffer)
{
    const struct fuzz_packet *packet = packet_of(&w->sends, buffer);
    struct vnic_segment *segments = calloc(SG_MOST, sizeof *segments);
    struct fuzz_sg *sg = sg_take(&w->sends);
    const uint32_t count = sg ? packet_map(w, packet, segments) : 0;
    if (count == 0) {
        free(segments);
        return NULL;
    }
    *sg = (struct fuzz_sg){{count, segments}, segments, true};
    w->sends.sgs++;
    return &sg->list;
}

void fuzz_send_unmap(struct fuzz_world *w, const struct vnic_sg_list *list)
{
    for (uint32_t i = 0; i < FUZZ_SENDS; i++) {
        struct fuzz_sg *sg = &w->sends.sg[i];
        if (sg->is_live && &sg->list == list) {
            fuzz_memory_unmap(&w->memory, sg->segments, sg->list.count, VNIC_BUS_TO_DEVICE);
            free(sg->segments);
            sg->is_live = false;
            w->sends.sgs--;
            return;
        }
    }
    fuzz_breach("DRV-13", "free_net_buffer_sg_list of a list that is not allocated (or was freed before)");
}

/* ---- the end ---- */

void fuzz_send_clear(struct fuzz_world *w)
{
    while (w->sends.top > 0) {
        send_free(w, &w->sends.each[w->sends.top - 1]);
    }
    for (uint32_t i = 0; w->sends.sgs && i < FUZZ_SENDS; i++) {
        if (w->sends.sg[i].is_live) {
            free(w->sends.sg[i].segments);
            w->sends.sg[i].is_live = false;
            w->sends.sgs--;
        }
    }
    w->sends.outstanding = w->sends.completed = 0;
    w->sends.cancel_id = 0;
    w->sends.has_aborted = false;
}
