/* kept_card.c: what a target does to a card, and what comes of it. */
#include <vnic/vnic.h>

#define DEVICE vnic
#define OF(x) vnic_##x
#define NAME(x) "vnic_" #x
#include "kept_function.h"

DECLARED(size_t, batch, vnic *card, struct vnic_op *ops, size_t count, const uint8_t *data, size_t data_len);
size_t WRAP(batch)(vnic *card, struct vnic_op *ops, size_t count, const uint8_t *data, size_t data_len)
{
    kept_enter();
    const size_t done = REAL(batch)(card, ops, count, data, data_len);
    for (size_t i = 0; i < done; i++) {
        kept_word(ops[i].value);
    }
    told_all(card, NAME(batch), done);
    return done;
}

DECLARED(void, set_link, vnic *card, uint32_t speed_mbps);
void WRAP(set_link)(vnic *card, uint32_t speed_mbps)
{
    kept_enter();
    REAL(set_link)(card, speed_mbps);
    told_all(card, NAME(set_link), speed_mbps);
}

DECLARED(int, receive, vnic *card, const uint8_t *frame, size_t len);
int WRAP(receive)(vnic *card, const uint8_t *frame, size_t len)
{
    kept_enter();
    const int verdict = REAL(receive)(card, frame, len);
    told_all(card, NAME(receive), (uint64_t)verdict);
    return verdict;
}

DECLARED(size_t, frames, vnic *card, struct vnic_frame *frames, size_t max);
size_t WRAP(frames)(vnic *card, struct vnic_frame *frames, size_t max)
{
    kept_enter();
    const size_t count = REAL(frames)(card, frames, max);
    for (size_t i = 0; i < count; i++) {
        kept_word(frames[i].queue);
        kept_bytes(frames[i].data, frames[i].len);
    }
    told(card, NAME(frames), count);
    return count;
}

DECLARED(void, frames_release, vnic *card, size_t count);
void WRAP(frames_release)(vnic *card, size_t count)
{
    kept_enter();
    REAL(frames_release)(card, count);
    told_all(card, NAME(frames_release), count);
}
