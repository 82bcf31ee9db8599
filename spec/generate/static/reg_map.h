/* The shape of a generated register map: access masks for every 32-bit word, found by 64-byte page. */
/* clang-format off */
#ifndef VNIC_GEN_REG_MAP_H
#define VNIC_GEN_REG_MAP_H

#include <stdint.h>

#define REG_HOOK_READ 1u     /* the device supplies the value that is read */
#define REG_HOOK_WRITE 2u    /* the device is told of a write */
#define REG_NONE 0xFFFFu     /* reg_word.reg of a word that is not implemented */
#define REG_PAGE_SHIFT 6u    /* a page is 64 bytes */
#define REG_PAGE_NONE 0xFFu  /* reg_map.page of a page without registers */

/* One 32-bit word of a register. The masks say which bits are of a kind; `ro` holds every bit that reads
   back, of whatever kind, so all but `pulse`; a bit in none of the masks reads 0 and ignores writes. */
struct reg_word {
    uint32_t reset;
    uint32_t ro;
    uint32_t rw;
    uint32_t w1c;
    uint32_t rc;
    uint32_t pulse;  /* write acts and is not stored; reads 0 */
    uint32_t sticky; /* survives a Function Level Reset */
    uint16_t reg;    /* register id, the same for all elements of an array */
    uint8_t hooks;
    uint8_t high;    /* 1: upper half of a 64-bit register */
};

/* `count` elements of `words` words each, `stride` bytes apart. `base` is a multiple of 64. The word of an
   offset is word[((offset - base) % stride) / 4] of element (offset - base) / stride; an element number of
   `count` or above and a word number of `words` or above are not implemented. */
struct reg_span {
    uint32_t base;
    uint32_t stride;
    uint32_t count;
    uint32_t words;
    const struct reg_word *word;
};

struct reg_map {
    const char *name;
    uint32_t size; /* bytes; `page` has size / 64 entries */
    uint32_t spans;
    const struct reg_span *span;
    const uint8_t *page; /* span index of each page, or REG_PAGE_NONE */
    uint64_t hash;       /* FNV-1a of offsets, names, access and resets: equal maps behave alike */
    uint32_t regs;
    const char *const *reg_name; /* by register id */
};

#endif
