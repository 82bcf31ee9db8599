/* kept_memory.c: which memory of the host devices can write, and what they left there. */
#include <stdlib.h>

#include "kept.h"

#define PIECES_MOST 4096

struct piece {
    const void *device;
    uint64_t iova, len;
    const uint8_t *host;
};

static struct piece piece[PIECES_MOST];
static unsigned pieces;

static void piece_add(struct piece p)
{
    if (p.len == 0) {
        return;
    }
    if (pieces == PIECES_MOST) {
        abort();
    }
    piece[pieces++] = p;
}

void kept_map(const void *device, uint64_t iova, const uint8_t *host, uint64_t len)
{
    piece_add((struct piece){device, iova, len, host});
}

/* What of a piece lies from `first` to `last`; nothing when len is 0. */
static struct piece piece_part(const struct piece *p, uint64_t first, uint64_t last)
{
    const uint64_t from = first > p->iova ? first : p->iova, end = p->iova + (p->len - 1);
    const uint64_t to = last < end ? last : end;

    return from > to ? (struct piece){0}
                     : (struct piece){p->device, from, to - from + 1, p->host + (from - p->iova)};
}

static void piece_look(const struct piece *p)
{
    kept_word(p->iova);
    kept_bytes(p->host, p->len);
}

void kept_unmap(const void *device, uint64_t iova, uint64_t len)
{
    const uint64_t last = iova + (len - 1);

    for (unsigned i = len != 0 ? pieces : 0; i-- > 0;) {
        const struct piece whole = piece[i], part = piece_part(&whole, iova, last);
        if (whole.device == device && part.len != 0) {
            piece_look(&part);
            piece[i] = piece[--pieces];
            piece_add(iova > whole.iova ? piece_part(&whole, whole.iova, iova - 1) : (struct piece){0});
            piece_add(last != UINT64_MAX ? piece_part(&whole, last + 1, UINT64_MAX) : (struct piece){0});
        }
    }
}

void kept_unmap_all(const void *device)
{
    kept_unmap(device, 0, UINT64_MAX);
    kept_unmap(device, UINT64_MAX, 1);
}

void kept_look(void)
{
    for (unsigned i = 0; i < pieces; i++) {
        piece_look(&piece[i]);
    }
}
