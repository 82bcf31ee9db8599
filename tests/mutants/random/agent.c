// Keeps the flags that clang's coverage sets in each module, so that a test's own can be read and cleared.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

enum { MODULES = 64, PATH_BYTES = 512 };

struct module {
    uint8_t *flags;
    const uintptr_t *blocks; // pairs: address, kind
    uint64_t count;
    uint64_t base;
    char path[PATH_BYTES];
};

static struct module modules[MODULES];
static uint32_t module_count;

void __sanitizer_cov_bool_flag_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);
uint32_t agent_modules(void);
const struct module *agent_module(uint32_t n);
void agent_clear(void);

// Comes before the addresses of the same module.
void __sanitizer_cov_bool_flag_init(uint8_t *start, uint8_t *stop)
{
    if (start == stop || module_count == MODULES
        || (module_count > 0 && modules[module_count - 1].flags == start)) {
        return;
    }
    modules[module_count].flags = start;
    modules[module_count].count = (uint64_t)(stop - start);
    module_count++;
}

void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop)
{
    Dl_info info;
    if (start == stop || module_count == 0 || dladdr(start, &info) == 0) {
        return;
    }
    struct module *m = &modules[module_count - 1];
    m->blocks = start;
    m->base = (uint64_t)(uintptr_t)info.dli_fbase;
    strncpy(m->path, info.dli_fname, PATH_BYTES - 1);
    (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE); // its flags stay readable
}

uint32_t agent_modules(void)
{
    return module_count;
}

const struct module *agent_module(uint32_t n)
{
    return &modules[n];
}

void agent_clear(void)
{
    for (uint32_t n = 0; n < module_count; n++) {
        memset(modules[n].flags, 0, modules[n].count);
    }
}
