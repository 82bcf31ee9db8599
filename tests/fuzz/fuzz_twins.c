/* fuzz_twins.c: libFuzzer target: hostile programs on two cards in a guest's memory, and what must hold of both. */
#include <stdio.h>
#include <stdlib.h>

#include "input.h"
#include "judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct judge judge;
    static struct oplang_program program;
    if (!judge.card.card && !judge_create(&judge)) {
        abort();
    }
    if (!oplang_decode(data, size, &program)) {
        return -1;
    }
    const char *wrong = judge_program(&judge, &program);
    if (wrong) {
        fprintf(stderr, "twins: %s\n", wrong);
        abort();
    }
    return 0;
}
