/* regfile.c: finds the word of an offset, applies its kinds of access under byte enables, and calls its
 * hooks. */
#include "pci/regfile.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "pci/tags.h"

#define REG_PAGE_BYTES (1u << REG_PAGE_SHIFT)

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
        regfile_touch(r, (uint32_t)offset);
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
    regfile_touch(r, (uint32_t)offset);
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

static void regfile_lay_out(const struct reg_map *map, uint32_t plain[], uint32_t initial[])
{
    for (uint32_t offset = 0; offset < map->size; offset += 4) {
        struct reg_ref ref;
        const struct reg_word *word = regfile_find(map, offset, &ref);
        const bool is_plain = word != NULL && word->rc == 0 && (word->hooks & REG_HOOK_READ) == 0;
        plain[offset / 4] = is_plain ? word->ro : 0;
        initial[offset / 4] = word != NULL ? word->reset : 0;
    }
}

int regfile_create(struct regfile *r, const struct reg_map *map, const struct regfile_ops *ops, void *owner)
{
    *r = (struct regfile){.map = map, .ops = ops, .owner = owner};
    const size_t words = map->size / 4;
    r->word = calloc(3 * words, sizeof *r->word);
    r->touched = calloc(regfile_touched_words(map), sizeof *r->touched);
    if (r->word == NULL || r->touched == NULL) {
        regfile_destroy(r);
        return VNIC_ENOMEM;
    }
    r->plain = r->word + words;
    r->initial = r->word + 2 * words;
    regfile_lay_out(map, r->word + words, r->word + 2 * words);
    memcpy(r->word, r->initial, map->size);
    return VNIC_OK;
}

void regfile_destroy(struct regfile *r)
{
    free(r->word);
    free(r->touched);
    r->word = NULL;
    r->touched = NULL;
    r->plain = NULL;
    r->initial = NULL;
}

static void regfile_reset_words(struct regfile *r, const struct reg_span *span, uint32_t index)
{
    uint32_t *stored = &r->word[(span->base + index * span->stride) / 4];
    for (uint32_t i = 0; i < span->words; i++) {
        stored[i] = span->word[i].reset;
    }
}

/* The first page from *page on that was touched; false when there is none. */
static bool regfile_next_touched(const struct regfile *r, uint32_t *page)
{
    const uint32_t pages = r->map->size >> REG_PAGE_SHIFT;
    for (; *page < pages; *page = (*page / 64 + 1) * 64) {
        const uint64_t here = r->touched[*page / 64] >> *page % 64;
        if (here != 0) {
            *page += bits_ctz(here);
            return *page < pages;
        }
    }
    return false;
}

/* All of the page but what is kept; whether that is nothing. */
static bool regfile_reset_page_but(struct regfile *r, uint32_t page)
{
    const uint32_t first = page << REG_PAGE_SHIFT;
    uint32_t kept = 0;
    for (uint32_t offset = first; offset < first + REG_PAGE_BYTES; offset += 4) {
        struct reg_ref ref;
        const struct reg_word *word = regfile_find(r->map, offset, &ref);
        if (word != NULL) {
            r->word[offset / 4] = (r->word[offset / 4] & word->sticky) | (word->reset & ~word->sticky);
            kept |= r->word[offset / 4] ^ word->reset;
        }
    }
    return kept == 0;
}

static bool regfile_reset_page(struct regfile *r, uint32_t page)
{
    const size_t first = (size_t)page * REG_PAGE_BYTES / 4;
    memcpy(r->word + first, r->initial + first, REG_PAGE_BYTES);
    return true;
}

void regfile_reset(struct regfile *r, bool keep)
{
    for (uint32_t page = 0; regfile_next_touched(r, &page); page++) {
        if (keep ? regfile_reset_page_but(r, page) : regfile_reset_page(r, page)) {
            r->touched[page / 64] &= ~(1ull << page % 64);
        }
    }
    r->strays = 0;
}

void regfile_reset_instance(struct regfile *r, uint32_t base, uint32_t index)
{
    for (uint32_t s = 0; s < r->map->spans; s++) {
        const struct reg_span *span = &r->map->span[s];
        if (span->base == base && index < span->count) {
            regfile_reset_words(r, span, index);
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

/* Saves the words of a page that differ from their reset values; with a NULL it only counts them. */
static uint32_t regfile_save_page(const struct regfile *r, uint32_t page, struct archive *a)
{
    const uint32_t first = page << REG_PAGE_SHIFT;
    uint32_t count = 0;
    for (uint32_t offset = first; offset < first + REG_PAGE_BYTES; offset += 4) {
        if (r->word[offset / 4] == r->initial[offset / 4]) {
            continue;
        }
        count++;
        if (a != NULL) {
            uint64_t entry = (uint64_t)offset << 32 | r->word[offset / 4];
            ARCHIVE(a, TAG_REG_WORD, entry, UINT64_MAX);
        }
    }
    return count;
}

/* By rising offset. */
static uint32_t regfile_save_words(const struct regfile *r, struct archive *a)
{
    uint32_t count = 0;
    for (uint32_t page = 0; regfile_next_touched(r, &page); page++) {
        count += regfile_save_page(r, page, a);
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
    regfile_set(r, offset, value);
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
