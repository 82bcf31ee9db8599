/* names.c: names of the card's registers, for traces and messages. */
#include "nic/card.h"

static const struct reg_span *names_span(const struct reg_map *map, uint64_t offset)
{
    if (offset >= map->size || map->page[offset >> REG_PAGE_SHIFT] == REG_PAGE_NONE) {
        return NULL;
    }
    return &map->span[map->page[offset >> REG_PAGE_SHIFT]];
}

const char *vnic_register_name(unsigned bar, uint64_t offset)
{
    const struct reg_span *span = bar == 0 ? names_span(&vnic_bar0_map, offset) : NULL;
    if (!span || offset < span->base) {
        return NULL;
    }
    uint64_t at = offset - span->base;
    uint64_t word = at % span->stride / 4;
    if (at / span->stride >= span->count || word >= span->words || span->word[word].reg == REG_NONE) {
        return NULL;
    }
    return vnic_bar0_map.reg_name[span->word[word].reg];
}
