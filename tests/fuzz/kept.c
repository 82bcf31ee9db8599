/* kept.c: runs the inputs named and prints a line of each: its name, how many calls it made, and their digests. */
#include "kept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"

#define FNV_OFFSET 0xCBF29CE484222325ull
#define FNV_PRIME 0x100000001B3ull
#define NOTES_MOST 64 /* digests on the way, after 1, 2, 3, 4, 6, 8, 12, 16, 24 .. calls */

static struct {
    uint64_t digest;
    uint64_t calls, next_note;
    uint8_t note[NOTES_MOST];
    unsigned notes, depth;
    bool is_telling; /* prints every call */
    void (*ask)(void *device);
    void *device;
} kept;

void kept_ask_last(void (*ask)(void *device), void *device)
{
    kept.ask = ask;
    kept.device = device;
}

void kept_forget(const void *device)
{
    if (kept.device == device) {
        kept_ask_last(NULL, NULL);
    }
}

void kept_enter(void)
{
    kept.depth++;
}

bool kept_leave(void)
{
    return --kept.depth == 0;
}

void kept_word(uint64_t word)
{
    kept.digest = (kept.digest ^ word) * FNV_PRIME;
    kept.digest ^= kept.digest >> 29;
}

void kept_bytes(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t word = 0;

    kept_word(len);
    for (; len >= sizeof word; at += sizeof word, len -= sizeof word) {
        memcpy(&word, at, sizeof word);
        kept_word(word);
    }
    for (; len != 0; len--) {
        kept_word(*at++);
    }
}

void kept_text(const char *text)
{
    kept_bytes(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* Two in each octave. */
static uint64_t note_behind(uint64_t calls)
{
    return calls < 4 ? calls + 1 : (calls & (calls - 1)) == 0 ? calls + calls / 2 : calls / 3 * 4;
}

void kept_tell(const char *call, uint64_t answer, uint64_t state)
{
    kept_word(answer);
    kept_word(state);
    kept.calls++;
    if (kept.calls == kept.next_note) {
        kept.note[kept.notes++] = (uint8_t)(kept.digest >> 32);
        kept.next_note = note_behind(kept.calls);
    }
    if (kept.is_telling && kept.next_note != 0) {
        printf("%" PRIu64 " %s: %" PRIx64 ", state %016" PRIx64 ", all %016" PRIx64 "\n", kept.calls, call,
               answer, state, kept.digest);
    }
}

static void input_begin(void)
{
    kept.digest = FNV_OFFSET;
    kept.calls = 0;
    kept.next_note = 1;
    kept.notes = 0;
}

static void input_end(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (kept.ask != NULL) {
        kept.ask(kept.device);
    }
    kept_look();
    printf("%s %" PRIu64 " %016" PRIx64 " ", slash != NULL ? slash + 1 : path, kept.calls, kept.digest);
    for (unsigned i = 0; i < kept.notes; i++) {
        printf("%02x", kept.note[i]);
    }
    printf("%s\n", kept.notes == 0 ? "-" : "");
    (void)fflush(stdout);
}

static size_t input_read(const char *path, uint8_t *in, size_t room)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    const size_t size = fread(in, 1, room, file);
    (void)fclose(file);
    return size;
}

/* As the target's author makes them, by their numbers: so many lines, each of so many inputs one after the other. */
static void run_made(uint64_t lines, uint64_t each, uint8_t *in, size_t room)
{
    for (uint64_t n = 0; n < lines * each; n++) {
        char name[32];
        if (n % each == 0) {
            input_begin();
        }
        (void)LLVMFuzzerTestOneInput(in, input_write(n, in, room));
        if (n % each == each - 1) {
            (void)snprintf(name, sizeof name, "made-%" PRIu64, n / each);
            input_end(name);
        }
    }
}

/* kept [--tell] [--made LINES EACH] FILE... What the first input makes for all that follow is no input's: one is lost. */
int main(int count, char **argument)
{
    static uint8_t in[INPUT_MOST];
    int first = 1;
    uint64_t made = 0, each = 1;

    kept.is_telling = count > first && strcmp(argument[first], "--tell") == 0;
    first += kept.is_telling ? 1 : 0;
    if (count > first + 2 && strcmp(argument[first], "--made") == 0) {
        made = strtoull(argument[first + 1], NULL, 10);
        each = strtoull(argument[first + 2], NULL, 10);
        first += 3;
    }
    (void)LLVMFuzzerTestOneInput(in, input_write(0, in, sizeof in));
    for (int i = first; i < count; i++) {
        const size_t size = input_read(argument[i], in, sizeof in);
        input_begin();
        (void)LLVMFuzzerTestOneInput(in, size);
        input_end(argument[i]);
    }
    run_made(made, each, in, sizeof in);
    return 0;
}
