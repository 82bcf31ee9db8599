/* scarce_memory.c: one allocation of a loaded library fails, and what it allocates is counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int64_t calls_left; /* of allocations that succeed; negative: all do */
static int64_t live;       /* pieces of memory and mappings */
static bool has_failed;

static bool is_refused(void)
{
    if (calls_left < 0) {
        return false;
    }
    has_failed = calls_left-- == 0 || has_failed;
    return has_failed && calls_left == -1;
}

static void *counted(void *memory)
{
    live += memory != NULL ? 1 : 0;
    return memory;
}

static void *scarce_malloc(size_t size)
{
    return is_refused() ? NULL : counted(malloc(size));
}

static void *scarce_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : counted(calloc(count, size));
}

static void *scarce_aligned(size_t alignment, size_t size)
{
    return is_refused() ? NULL : counted(aligned_alloc(alignment, size));
}

static void *scarce_realloc(void *memory, size_t size)
{
    void *more = is_refused() ? NULL : realloc(memory, size);

    live += more != NULL && memory == NULL ? 1 : 0;
    return more;
}

static void scarce_free(void *memory)
{
    live -= memory != NULL ? 1 : 0;
    free(memory);
}

static void *scarce_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return is_refused() ? MAP_FAILED : mmap(at, len, protection, flags, fd, offset);
}

static void *instead_of(const char *name)
{
    static const struct {
        const char *name;
        void (*call)(void);
    } all[] = {{"malloc", (void (*)(void))scarce_malloc},   {"calloc", (void (*)(void))scarce_calloc},
               {"realloc", (void (*)(void))scarce_realloc}, {"aligned_alloc", (void (*)(void))scarce_aligned},
               {"free", (void (*)(void))scarce_free},       {"mmap", (void (*)(void))scarce_mmap}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return (void *)(uintptr_t)all[i].call;
        }
    }
    return NULL;
}

static int replace(uint64_t base, const ElfW(Rela) * relocation, const ElfW(Sym) * symbols, const char *names)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *call = instead_of(names + symbols[ELF64_R_SYM(relocation->r_info)].st_name);
    void **slot = (void **)(base + relocation->r_offset);

    if (call == NULL) {
        return 0;
    }
    if (mprotect((void *)((uintptr_t)slot / page * page), page, PROT_READ | PROT_WRITE) != 0) {
        return 0;
    }
    *slot = call;
    return 1;
}

/* The calls that a loaded library makes become ours; how many there were. */
int scarce_watch(const char *library);
int scarce_watch(const char *library)
{
    struct link_map *map = dlopen(library, RTLD_NOLOAD | RTLD_NOW);
    const ElfW(Rela) * lists[2] = {NULL, NULL};
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t bytes[2] = {0, 0};
    int found = 0;

    for (const ElfW(Dyn) *d = map != NULL ? map->l_ld : NULL; d != NULL && d->d_tag != DT_NULL; d++) {
        const void *at = (const void *)d->d_un.d_ptr;
        lists[0] = d->d_tag == DT_JMPREL ? at : lists[0];
        lists[1] = d->d_tag == DT_RELA ? at : lists[1];
        bytes[0] = d->d_tag == DT_PLTRELSZ ? d->d_un.d_val : bytes[0];
        bytes[1] = d->d_tag == DT_RELASZ ? d->d_un.d_val : bytes[1];
        symbols = d->d_tag == DT_SYMTAB ? at : symbols;
        names = d->d_tag == DT_STRTAB ? at : names;
    }
    calls_left = -1;
    for (int list = 0; list < 2; list++) {
        for (size_t i = 0; i < bytes[list] / sizeof(ElfW(Rela)); i++) {
            const uint32_t type = (uint32_t)ELF64_R_TYPE(lists[list][i].r_info);
            if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT) {
                found += replace(map->l_addr, &lists[list][i], symbols, names);
            }
        }
    }
    return found;
}

/* So many allocations succeed, then one fails, then all succeed again; negative: all succeed. */
void scarce_fail_after(int64_t calls);
void scarce_fail_after(int64_t calls)
{
    calls_left = calls;
    has_failed = false;
}

int scarce_has_failed(void);
int scarce_has_failed(void)
{
    return has_failed ? 1 : 0;
}

int64_t scarce_live(void);
int64_t scarce_live(void)
{
    return live;
}
