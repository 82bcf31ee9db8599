#!/bin/bash -eu
# Every target of tests/fuzz/targets.txt with the flags that are given, its corpus and its options.
: "${CC:=clang}" "${CFLAGS:=-O1 -fsanitize=address,undefined,fuzzer-no-link}" "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer}"
: "${OUT:?where the targets go}"
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." 2>/dev/null && pwd)
[ -d "$source/csrc" ] || source=$PWD # as a copy outside of the project, it runs in it
fuzz=$source/tests/fuzz
work=${WORK:-$(mktemp -d)}/vnic-objects
language="-std=c11 -D_POSIX_C_SOURCE=200809L -I$source/csrc -I$source/csrc/include -I$fuzz -I$source/vnic/fuzz/harness"
mkdir -p "$work" "$OUT"

# Objects of the rooms, and of what targets share: each file once. FUZZ_TARGETS: only these.
objects_of() {
    local name=$1 line rooms parts
    line=$(grep -E "^$name " "$fuzz/targets.txt")
    rooms=$(cut -d: -f1 <<<"$line" | cut -d' ' -f2-)
    parts=$(cut -d: -f2 <<<"$line" | cut -d+ -f1)
    for room in $rooms; do
        find "$source/csrc/$room" -maxdepth 1 -name '*.c' | sort
    done
    set -f # a name with a folder may stand for several files
    for part in $parts; do
        set +f
        case $part in
        */*) find "$source"/$part.c | sort ;;
        *) echo "$fuzz/$part.c" ;;
        esac
    done
}

compile() {
    local object=$2
    [ -e "$object" ] || $CC $CFLAGS $language -c "$1" -o "$object"
}
export -f compile
export CC CFLAGS language

for name in ${FUZZ_TARGETS:-$(grep -oE '^[a-z]+' "$fuzz/targets.txt")}; do
    files=$(objects_of "$name")
    for file in $files; do
        printf '%s %s\n' "$file" "$work/$(sed 's|/|-|g' <<<"${file#"$source"/}").o"
    done | xargs -P "$(nproc)" -n 2 bash -c 'compile "$0" "$1"'
    objects=()
    for file in $files; do
        objects+=("$work/$(sed 's|/|-|g' <<<"${file#"$source"/}").o")
    done
    ${CXX:-$CC} ${CXXFLAGS:-$CFLAGS} "${objects[@]}" $LIB_FUZZING_ENGINE -o "$OUT/${name}_fuzzer"
    if [ -d "$fuzz/corpus/$name" ]; then
        (cd "$fuzz/corpus/$name" && python3 -m zipfile -c "$OUT/${name}_fuzzer_seed_corpus.zip" ./*)
    fi
    cp "$fuzz/fuzz.options" "$OUT/${name}_fuzzer.options"
done
