/* twins_main.c: the judge of programs as a program: a random author for some seconds, or the files named. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "author.h"
#include "judge.h"

#define SHOWN_BYTES 48u
#define INPUT_MAX (1u << 18)
#define SCRATCH_BYTES (OPLANG_BYTES_MAX + 64u)

/* Code, index, width, addr, value, bytes of data, and the first `most` of those. */
static void op_print(const struct oplang_program *p, const struct oplang_op *o, uint32_t most)
{
    printf("%u %u %u %" PRIu64 " %" PRIu64 " %u ", o->op.code, o->op.index, o->op.width, o->op.addr,
           o->op.value, o->data_len);
    for (uint32_t i = 0; i < o->data_len && i < most; i++) {
        printf("%02x", p->bytes[o->data + i]);
    }
    printf("\n");
}

static void program_print(const struct oplang_program *p, uint32_t most)
{
    printf("flags %u\n", p->flags);
    for (uint32_t i = 0; i < p->count; i++) {
        op_print(p, &p->op[i], most);
    }
}

static double seconds_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void program_save(const struct oplang_program *p, const char *path)
{
    static uint8_t scratch[SCRATCH_BYTES], out[INPUT_MAX];
    size_t len = oplang_encode(p, scratch, out, sizeof out);
    FILE *file = fopen(path, "wb");
    if (file) {
        (void)fwrite(out, 1, len, file);
        (void)fclose(file);
    }
}

static int report_failure(struct judge *j, struct oplang_program *p, const char *wrong, const char *path)
{
    judge_shrink(j, p, wrong);
    program_print(p, SHOWN_BYTES);
    fprintf(stderr, "%s\n", wrong);
    if (path) {
        program_save(p, path);
        fprintf(stderr, "written to %s\n", path);
    }
    return 1;
}

/* Every program follows from its own number, so a failure is found again by it. */
static int run_random(struct judge *j, double seconds, uint64_t seed, const char *save)
{
    static struct oplang_program program;
    double start = seconds_now();
    for (uint64_t n = 0; n % 64 != 0 || seconds_now() - start < seconds; n++) {
        struct author author = {(seed << 32) + n};
        author_write(&author, &program, 4 + (uint32_t)(n % 60));
        if (save) {
            program_save(&program, save);
        }
        const char *wrong = judge_program(j, &program);
        if (wrong) {
            fprintf(stderr, "program %" PRIu64 " of seed %" PRIu64 ":\n", n, seed);
            return report_failure(j, &program, wrong, "fuzz_twins.failure");
        }
    }
    double took = seconds_now() - start;
    printf("%" PRIu64 " programs of %" PRIu64 " operations, %" PRIu64 " steps, %" PRIu64
           " saves with work pending; %.0f programs/s\n",
           j->programs, j->ops, j->steps, j->kept, (double)j->programs / took);
    return 0;
}

static bool program_load(const char *path, struct oplang_program *p)
{
    static uint8_t in[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    size_t len = fread(in, 1, sizeof in, file);
    (void)fclose(file);
    return oplang_decode(in, len, p);
}

static int run_file(struct judge *j, const char *path, bool is_printed)
{
    static struct oplang_program program;
    if (!program_load(path, &program)) {
        fprintf(stderr, "%s is no program\n", path);
        return 2;
    }
    if (is_printed) {
        program_print(&program, UINT32_MAX);
        return 0;
    }
    const char *wrong = judge_program(j, &program);
    return wrong ? report_failure(j, &program, wrong, NULL) : 0;
}

static int print_bring_up(void)
{
    static struct oplang_program program;
    bring_up_append(&program);
    program_print(&program, UINT32_MAX);
    return 0;
}

struct options {
    double seconds;
    uint64_t seed;
    const char *save;
    bool is_printing, has_files;
};

/* An option with its value at argument[i]; how many arguments that were, 0: it is a file. */
static int option_take(struct options *o, int count, char **argument, int i)
{
    if (strcmp(argument[i], "--print") == 0) {
        o->is_printing = true;
        return 1;
    }
    if (i + 1 == count) {
        return 0;
    }
    if (strcmp(argument[i], "--seconds") == 0) {
        o->seconds = strtod(argument[i + 1], NULL);
    } else if (strcmp(argument[i], "--seed") == 0) {
        o->seed = strtoull(argument[i + 1], NULL, 0);
    } else if (strcmp(argument[i], "--save") == 0) {
        o->save = argument[i + 1];
    } else {
        return 0;
    }
    return 2;
}

static int run_arguments(struct judge *j, struct options *o, int count, char **argument)
{
    int result = 0;
    for (int i = 1, taken; i < count && result == 0; i += taken ? taken : 1) {
        taken = option_take(o, count, argument, i);
        if (taken == 0) {
            o->has_files = true;
            result = run_file(j, argument[i], o->is_printing);
        }
    }
    return o->has_files ? result : run_random(j, o->seconds, o->seed, o->save);
}

/* fuzz_twins [--seconds N] [--seed N] [--save FILE] | --bring-up | [--print] FILE... */
int main(int count, char **argument)
{
    static struct judge j;
    struct options options = {.seconds = 1, .seed = 1};
    if (count == 2 && strcmp(argument[1], "--bring-up") == 0) {
        return print_bring_up();
    }
    if (!judge_create(&j)) {
        return 2;
    }
    int result = run_arguments(&j, &options, count, argument);
    judge_destroy(&j);
    return result;
}
