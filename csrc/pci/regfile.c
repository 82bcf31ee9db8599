/* regfile.c: finds the word of an offset, applies its kinds of access under byte enables, and calls its
 * hooks. */
#include "pci/regfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "pci/tags.h"

static inline void regfile_divide(const struct reg_span *span, uint32_t into, uint32_t *index, uint32_t *rest)
{
    if (span->count == 1) {
        *index = 0;
        *rest = into;
    } else if (bits_is_pow2(span->stride)) {
        *index = into >> bits_ctz(span->stride);
        *rest = into & (span->stride - 1);
    } else {
        *index = into / span->stride;
        *rest = into % span->stride;
    }
}

/* The access masks of the word at offset (a multiple of 4 below map->size), or NULL when it is no
 * register. */
static inline const struct reg_word *regfile_find(const struct reg_map *map, uint32_t offset,
                                                  struct reg_ref *ref)
{
    const uint8_t page = map->page[offset >> REG_PAGE_SHIFT];
    if (page == REG_PAGE_NONE) {
        return NULL;
    }
    const struct reg_span *span = &map->span[page];
    uint32_t index, rest;
    regfile_divide(span, offset - span->base, &index, &rest);
    if (index >= span->count || rest / 4 >= span->words) {
        return NULL;
    }
    const struct reg_word *word = &span->word[rest / 4];
    *ref = (struct reg_ref){.reg = word->reg, .high = word->high, .index = index, .offset = offset};
    return word->reg != REG_NONE ? word : NULL;
}

static uint32_t regfile_read_word(struct regfile *r, uint64_t offset, uint32_t enabled)
{
    struct reg_ref ref;
    const struct reg_word *word = offset < r->map->size ? regfile_find(r->map, (uint32_t)offset, &ref) : NULL;
    if (word == NULL) {
        r->strays++;
        return 0;
    }
    uint32_t *stored = &r->word[offset / 4];
    uint32_t value = *stored;
    if (word->hooks & REG_HOOK_READ) {
        value = r->ops->on_read(r->owner, &ref, value, enabled);
    }
    if (word->rc != 0) {
        *stored &= ~(word->rc & enabled);
    }
    return value & word->ro & enabled;
}

static void regfile_write_word(struct regfile *r, uint64_t offset, uint32_t enabled, uint32_t value)
{
    struct reg_ref ref;
    const struct reg_word *word = offset < r->map->size ? regfile_find(r->map, (uint32_t)offset, &ref) : NULL;
    if (word == NULL) {
        r->strays++;
        return;
    }
    const uint32_t written = value & enabled;
    const uint32_t stores = word->rw & enabled;
    const uint32_t old = r->word[offset / 4];
    const uint32_t now = ((old & ~stores) | (written & stores)) & ~(written & word->w1c);
    r->word[offset / 4] = now;
    if (word->hooks & REG_HOOK_WRITE) {
        r->ops->on_write(r->owner, &ref, old, now, written & word->pulse, written);
    }
}

static inline bool regfile_is_width(unsigned width)
{
    return width <= 8 && bits_is_pow2(width);
}

/* An access cut into words: the n-th word starts `at` bits into the access, negative for the first if
 * unaligned. */
static inline uint32_t regfile_enables(unsigned width, int at)
{
    const uint64_t bits = UINT64_MAX >> (64 - 8 * width);
    return at < 0 ? (uint32_t)(bits << -at) : (uint32_t)(bits >> at);
}

/* Far offsets are as good as any other beyond the map, and must not wrap into it. */
static inline uint64_t regfile_first_word(uint64_t offset)
{
    return bits_min64(offset & ~3ull, 1ull << 63);
}

static uint64_t regfile_read_any(struct regfile *r, uint64_t offset, unsigned width)
{
    if (!regfile_is_width(width)) {
        r->strays++;
        return UINT64_MAX;
    }
    uint64_t value = 0;
    uint64_t word = regfile_first_word(offset);
    for (int at = -8 * (int)(offset & 3); at < 8 * (int)width; at += 32, word += 4) {
        const uint64_t part = regfile_read_word(r, word, regfile_enables(width, at));
        value |= at < 0 ? part >> -at : part << at;
    }
    return value;
}

static void regfile_write_any(struct regfile *r, uint64_t offset, unsigned width, uint64_t value)
{
    if (!regfile_is_width(width)) {
        r->strays++;
        return;
    }
    uint64_t word = regfile_first_word(offset);
    for (int at = -8 * (int)(offset & 3); at < 8 * (int)width; at += 32, word += 4) {
        const uint32_t part = (uint32_t)(at < 0 ? value << -at : value >> at);
        regfile_write_word(r, word, regfile_enables(width, at), part);
    }
}

/* [PCI-7] */
uint64_t regfile_read(struct regfile *r, uint64_t offset, unsigned width)
{
    if (width == 4 && offset % 4 == 0) {
        return regfile_read_word(r, offset, UINT32_MAX);
    }
    return regfile_read_any(r, offset, width);
}

void regfile_write(struct regfile *r, uint64_t offset, unsigned width, uint64_t value)
{
    if (width == 4 && offset % 4 == 0) {
        regfile_write_word(r, offset, UINT32_MAX, (uint32_t)value);
        return;
    }
    regfile_write_any(r, offset, width, value);
}

static void regfile_find_plain(const struct reg_map *map, uint32_t plain[])
{
    for (uint32_t offset = 0; offset < map->size; offset += 4) {
        struct reg_ref ref;
        const struct reg_word *word = regfile_find(map, offset, &ref);
        const bool is_plain = word != NULL && word->rc == 0 && (word->hooks & REG_HOOK_READ) == 0;
        plain[offset / 4] = is_plain ? word->ro : 0;
    }
}

int regfile_create(struct regfile *r, const struct reg_map *map, const struct regfile_ops *ops, void *owner)
{
    *r = (struct regfile){.map = map, .ops = ops, .owner = owner};
    r->word = calloc(1, regfile_bytes(map));
    if (r->word == NULL) {
        return VNIC_ENOMEM;
    }
    regfile_find_plain(map, r->word + map->size / 4);
    r->plain = r->word + map->size / 4;
    regfile_reset(r, false);
    return VNIC_OK;
}

void regfile_destroy(struct regfile *r)
{
    free(r->word);
    r->word = NULL;
    r->plain = NULL;
}

static void regfile_reset_words(struct regfile *r, const struct reg_span *span, uint32_t index, bool keep)
{
    uint32_t *stored = &r->word[(span->base + index * span->stride) / 4];
    for (uint32_t i = 0; i < span->words; i++) {
        const uint32_t stays = keep ? span->word[i].sticky : 0;
        stored[i] = (stored[i] & stays) | (span->word[i].reset & ~stays);
    }
}

void regfile_reset(struct regfile *r, bool keep)
{
    for (uint32_t s = 0; s < r->map->spans; s++) {
        for (uint32_t i = 0; i < r->map->span[s].count; i++) {
            regfile_reset_words(r, &r->map->span[s], i, keep);
        }
    }
    r->strays = 0;
}

void regfile_reset_instance(struct regfile *r, uint32_t base, uint32_t index)
{
    for (uint32_t s = 0; s < r->map->spans; s++) {
        const struct reg_span *span = &r->map->span[s];
        if (span->base == base && index < span->count) {
            regfile_reset_words(r, span, index, false);
        }
    }
}

uint32_t regfile_fixed_bits(const struct regfile *r, uint32_t offset)
{
    struct reg_ref ref;
    const struct reg_word *word = offset < r->map->size ? regfile_find(r->map, offset, &ref) : NULL;
    return word != NULL ? word->ro & ~(word->rw | word->w1c | word->rc) : 0;
}

uint32_t regfile_reset_value(const struct regfile *r, uint32_t offset)
{
    struct reg_ref ref;
    const struct reg_word *word = offset < r->map->size ? regfile_find(r->map, offset, &ref) : NULL;
    return word != NULL ? word->reset : 0;
}

const char *regfile_name(const struct reg_map *map, uint64_t offset)
{
    struct reg_ref ref;
    const struct reg_word *word = offset < map->size ? regfile_find(map, (uint32_t)offset, &ref) : NULL;
    return word != NULL ? map->reg_name[ref.reg] : NULL;
}

/* --- snapshot */

/* Saves every word that differs from its reset value, by rising offset; with a NULL it only counts them. */
static uint32_t regfile_save_words(const struct regfile *r, struct archive *a)
{
    uint32_t count = 0;
    for (uint32_t s = 0; s < r->map->spans; s++) {
        const struct reg_span *span = &r->map->span[s];
        for (uint32_t n = 0; n < span->count * span->words; n++) {
            const uint32_t offset = span->base + n / span->words * span->stride + n % span->words * 4;
            if (r->word[offset / 4] == span->word[n % span->words].reset) {
                continue;
            }
            count++;
            if (a != NULL) {
                uint64_t entry = (uint64_t)offset << 32 | r->word[offset / 4];
                ARCHIVE(a, TAG_REG_WORD, entry, UINT64_MAX);
            }
        }
    }
    return count;
}

/* [PCI-46] One state has one encoding: offsets rise, and a word at its reset value is not named. */
static void regfile_load_word(struct regfile *r, struct archive *a, uint64_t *next)
{
    uint64_t entry = 0;
    ARCHIVE(a, TAG_REG_WORD, entry, UINT64_MAX);
    const uint32_t offset = (uint32_t)(entry >> 32), value = (uint32_t)entry;
    struct reg_ref ref;
    if (a->failed || offset % 4 != 0 || offset < *next || offset >= r->map->size) {
        archive_refuse_if(a, true);
        return;
    }
    const struct reg_word *word = regfile_find(r->map, offset, &ref);
    if (word == NULL || (value & ~word->ro) != 0 || value == word->reset) {
        archive_refuse_if(a, true);
        return;
    }
    archive_refuse_if(a, !r->has_identity && ((value ^ word->reset) & regfile_fixed_bits(r, offset)) != 0);
    r->word[offset / 4] = value;
    *next = (uint64_t)offset + 4;
}

void regfile_archive(struct regfile *r, struct archive *a)
{
    uint32_t count = 0;
    if (archive_is_loading(a)) {
        regfile_reset(r, false);
    } else {
        count = regfile_save_words(r, NULL);
    }
    ARCHIVE(a, TAG_REG_STRAYS, r->strays, UINT64_MAX);
    count = archive_count(a, TAG_REG_COUNT, count, r->map->size / 4);
    if (!archive_is_loading(a)) {
        regfile_save_words(r, a);
        return;
    }
    uint64_t next = 0;
    for (uint32_t i = 0; i < count && !a->failed; i++) {
        regfile_load_word(r, a, &next);
    }
}
