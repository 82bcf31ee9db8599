/* regfile.h: a register file driven by a generated access table: kinds of access, byte enables, hooks. */
#ifndef VNIC_PCI_REGFILE_H
#define VNIC_PCI_REGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/archive.h"
#include "gen/reg_map.h"
#include "vnic/vnic.h"

/* Which word is accessed. */
struct reg_ref {
    uint16_t reg;    /* generated register id */
    uint8_t high;    /* upper word of a 64-bit register */
    uint32_t index;  /* instance in the span's array */
    uint32_t offset; /* of the word in the map */
};

struct regfile_ops {
    /* A register with a read hook: the word's value now. enabled: bits of the bytes that are read (for
     * read-to-clear). */
    uint32_t (*on_read)(void *owner, const struct reg_ref *ref, uint32_t stored, uint32_t enabled);
    /* A register with a write hook, after the word changed. pulses: trigger bits written as 1. written:
     * value & enabled. */
    void (*on_write)(void *owner, const struct reg_ref *ref, uint32_t old, uint32_t now, uint32_t pulses,
                     uint32_t written);
};

struct regfile {
    const struct reg_map *map;
    uint32_t *word; /* map->size / 4 words, by offset */
    const uint32_t
        *plain; /* likewise: the bits that read back, where a read asks no hook and clears nothing; or 0 */
    const uint32_t *initial; /* likewise: reset values, 0 where there is no register */
    uint64_t *touched; /* a bit a page: where the bit is clear, every word is at its reset value */
    const struct regfile_ops *ops;
    void *owner;
    uint64_t strays; /* accesses to words that are no register */
    bool has_identity; /* the owner sets bits that no access changes, and checks them when they are loaded */
};

/* Words of 64 bits that hold a bit for each page of a map. */
static inline size_t regfile_touched_words(const struct reg_map *map)
{
    return ((size_t)map->size >> REG_PAGE_SHIFT) / 64 + 1;
}

/* Bytes that a file of this map allocates. */
static inline size_t regfile_bytes(const struct reg_map *map)
{
    return 3 * (size_t)map->size + regfile_touched_words(map) * sizeof(uint64_t);
}

int regfile_create(struct regfile *r, const struct reg_map *map, const struct regfile_ops *ops, void *owner);
void regfile_destroy(struct regfile *r);
/* Reset values everywhere, strays forgotten; keep: bits marked keep stay. No hook runs. */
void regfile_reset(struct regfile *r, bool keep);
/* The same for one instance of an array span. */
void regfile_reset_instance(struct regfile *r, uint32_t base, uint32_t index);
/* An access as the bus makes it: any offset, width 1, 2, 4 or 8; words beyond the map read 0. Another
 * width reads all ones and writes nothing. Each word that is no register, and each bad width, is a stray. */
uint64_t regfile_read(struct regfile *r, uint64_t offset, unsigned width);
void regfile_write(struct regfile *r, uint64_t offset, unsigned width, uint64_t value);

/* The stored word or register as the device sees it, hooks aside. */
static inline uint32_t regfile_get(const struct regfile *r, uint32_t offset)
{
    return r->word[offset / 4];
}

static inline uint64_t regfile_get64(const struct regfile *r, uint32_t offset)
{
    return r->word[offset / 4] | (uint64_t)r->word[offset / 4 + 1] << 32;
}

static inline void regfile_touch(struct regfile *r, uint32_t offset)
{
    const uint32_t page = offset >> REG_PAGE_SHIFT;
    r->touched[page / 64] |= 1ull << page % 64;
}

static inline void regfile_set(struct regfile *r, uint32_t offset, uint32_t value)
{
    r->word[offset / 4] = value;
    regfile_touch(r, offset);
}

/* An aligned word whose read has no effect and asks nobody; false: regfile_read() says. */
static inline bool regfile_read_plain(const struct regfile *r, uint64_t offset, uint64_t *value)
{
    if (offset >= r->map->size || offset % 4 != 0 || r->plain[offset / 4] == 0) {
        return false;
    }
    *value = r->word[offset / 4] & r->plain[offset / 4];
    return true;
}

/* Bits of a word that read back and that no access changes; 0 where there is no register. */
uint32_t regfile_fixed_bits(const struct regfile *r, uint32_t offset);
/* The register that the byte at offset is of; NULL where there is none. */
const char *regfile_name(const struct reg_map *map, uint64_t offset);
uint32_t regfile_reset_value(const struct regfile *r, uint32_t offset);

/* Only words that differ from their reset value are saved; on loading, bits that no access can set are
 * refused. */
void regfile_archive(struct regfile *r, struct archive *a);

#endif
