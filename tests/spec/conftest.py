"""What the tests of the manual share: C programs built on the generated tables, and what they print."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from vnic.gen.model import RegisterMap

WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]

PRINT_MAP = r"""
#include <inttypes.h>
#include <stdio.h>
%(includes)s

static void print_map(const struct reg_map *map)
{
    printf("map %%s %%" PRIu32 " %%" PRIu64 " %%" PRIu32 "\n", map->name, map->size, map->hash, map->regs);
    for (uint32_t offset = 0; offset < map->size; offset += 4) {
        uint8_t index = map->page[offset >> REG_PAGE_SHIFT];
        if (index == REG_PAGE_NONE)
            continue;
        const struct reg_span *span = &map->span[index];
        uint32_t at = offset - span->base, word = at %% span->stride / 4;
        if (at / span->stride >= span->count || word >= span->words || span->word[word].reg == REG_NONE)
            continue;
        const struct reg_word *w = &span->word[word];
        printf("%%u %%s %%u", offset, map->reg_name[w->reg], at / span->stride);
        printf(" %%u %%u", w->hooks, w->high);
        printf(" %%u %%u %%u %%u %%u %%u %%u\n", w->reset, w->ro, w->rw, w->w1c, w->rc, w->pulse, w->sticky);
    }
}

int main(void)
{
%(calls)s
    return 0;
}
"""


def build_and_run(tmp_path: Path, cc: str, gen: Path, source: str, files: list[Path]) -> str:
    """Compile a program with the generated sources under full warnings, run it, return what it prints."""
    program = tmp_path / f"program_{cc}"
    main = tmp_path / "main.c"
    main.write_text(source)
    build = [cc, *WARNINGS, "-I", str(gen), "-o", str(program), str(main), *map(str, files)]
    subprocess.run(build, check=True, timeout=120)
    return subprocess.run([program], check=True, timeout=60, capture_output=True, text=True).stdout


def words_in_c(tmp_path: Path, cc: str, gen: Path, maps: list[str]) -> list[str]:
    """What the C table of each map says of each implemented word."""
    includes = "\n".join(f'#include "{name}.h"' for name in maps)
    calls = "\n".join(f"    print_map(&{name}_map);" for name in maps)
    source = PRINT_MAP % {"includes": includes, "calls": calls}
    return build_and_run(tmp_path, cc, gen, source, [gen / f"{name}.c" for name in maps]).splitlines()


def words_in_python(reg_map: RegisterMap) -> list[str]:
    """The same lines from the Python registers."""
    lines = [f"map {reg_map.name} {reg_map.size} {reg_map.hash} {len(reg_map.registers)}"]
    words = [
        (register.at(i, j) + 4 * high, register, i, high)
        for register in reg_map
        for i in range(register.count)
        for j in range(register.inner_count)
        for high in range(register.width // 32)
    ]
    for offset, register, index, high in sorted(words, key=lambda word: word[0]):
        sticky = sum(f.mask for f in register.fields if f.sticky)
        readable = register.mask("ro", "rw", "w1c", "rc")
        masks = [register.reset, readable, *(register.mask(k) for k in ("rw", "w1c", "rc", "pulse")), sticky]
        bits = " ".join(str(mask >> 32 * high & 0xFFFF_FFFF) for mask in masks)
        hooks = register.hook_read + 2 * register.hook_write
        lines.append(f"{offset} {register.name} {{}} {hooks} {high} {bits}".format(index))
    return lines


def without_index(lines: list[str]) -> list[str]:
    """Drop the element number: a register array outside regfiles is one span of count 1 in C."""
    return [" ".join(part for n, part in enumerate(line.split()) if n != 2) for line in lines]


@pytest.fixture
def run_c(tmp_path: Path) -> Callable[..., str]:
    """`run_c(cc, include_dir, source, files)`: what the program prints."""
    return lambda *build: build_and_run(tmp_path, *build)


@pytest.fixture
def c_words(tmp_path: Path) -> Callable[..., list[str]]:
    """`c_words(cc, gen_dir, map_names)`: a line per map and per implemented word."""
    return lambda *build: words_in_c(tmp_path, *build)


@pytest.fixture
def words_agree(tmp_path: Path) -> Callable[[str, Path, Iterable[RegisterMap]], int]:
    """`words_agree(cc, gen_dir, maps)`: fails unless C and Python say the same; the number of words."""

    def compare(cc: str, gen: Path, maps: Iterable[RegisterMap]) -> int:
        expected = [line for reg_map in maps for line in words_in_python(reg_map)]
        found = words_in_c(tmp_path, cc, gen, [reg_map.name for reg_map in maps])
        assert without_index(found) == without_index(expected)
        return len(found)

    return compare
