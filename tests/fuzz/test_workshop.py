"""Building, planting, exporting: what surrounds the fuzz targets; what takes clang runs when asked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.campaign import Outcome, cause_of, table
from tests.fuzz.planted_bugs import BUGS
from tests.fuzz.seeds import cuttings, programs
from tests.fuzz.workshop import ROOT, has_libfuzzer, targets
from vnic.fuzz.effort import EFFORT
from vnic.fuzz.oplang import decode

needs_nightly = pytest.mark.skipif(EFFORT <= 1, reason="in `make nightly` only: builds with clang")


@pytest.mark.requirement("FUZ-7")
@pytest.mark.parametrize("number", range(len(BUGS)))
def test_a_planted_bug_changes_one_place(number: int) -> None:
    bug = BUGS[number]
    assert bug.fault.occurrences(ROOT) == 1
    assert bug.fault.wrong != bug.fault.text


@pytest.mark.requirement("FUZ-7")
def test_five_bugs_a_target() -> None:
    assert {name: sum(bug.target == name for bug in BUGS) for name in targets()} == dict.fromkeys(
        targets(), 5
    )


@pytest.mark.requirement("FUZ-8")
@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("copy engine: the twins' memory differs (at byte 7)\n==1== ERROR: libFuzzer: deadly signal\n"
         "SUMMARY: libFuzzer: deadly signal\n", "copy engine: the twins' memory differs"),
        ("SUMMARY: AddressSanitizer: heap-buffer-overflow csrc/a.c:3:4 in f\n",
         "heap-buffer-overflow csrc/a.c:3:4 in f"),
        ("==3== ERROR: libFuzzer: timeout after 20 seconds\nSUMMARY: libFuzzer: timeout\n",
         "libFuzzer: timeout after 20 seconds"),
        ("", "ended without a word"),
    ],
)  # fmt: skip
def test_findings_are_told_apart_by_their_cause(said: str, cause: str) -> None:
    assert cause_of(said) == cause


@pytest.mark.requirement("FUZ-8")
def test_a_campaign_is_a_line() -> None:
    outcome = Outcome("card", "asan", 60.0, 1_800_000, 900, 1700, 1750, 8000, 200)
    head, line = table([outcome]).splitlines()
    assert head.split()[0] == "target" and line.split() == [
        "card",
        "asan",
        "1.0",
        "1800000",
        "30000",
        "900",
        "1700",
        "1750",
        "200",
        "0",
    ]


@pytest.mark.requirement("FUZ-6")
def test_kept_traces_are_seeds() -> None:
    """The programs are the language's, and the pieces are files that begin as the traces do."""
    assert all(len(decode(octets).steps) > 0 for octets in programs())
    assert all(octets[:4] == b"\n\r\r\n" for octets in cuttings())


@needs_nightly
@pytest.mark.requirement("FUZ-9")
def test_clusterfuzzlite_builds_a_target(tmp_path: Path) -> None:
    if not has_libfuzzer():
        pytest.skip("needs clang with libFuzzer")
    environment = {
        "PATH": os.environ["PATH"],
        "OUT": str(tmp_path / "out"),
        "WORK": str(tmp_path / "work"),
        "FUZZ_TARGETS": "segment",
        "CC": "clang",
        "CFLAGS": "-O1 -fsanitize=address,undefined,fuzzer-no-link",
        "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer",
    }
    subprocess.run([str(ROOT / ".clusterfuzzlite" / "build.sh")], check=True, env=environment, timeout=600)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} >= {
        "segment_fuzzer",
        "segment_fuzzer.options",
        "segment_fuzzer_seed_corpus.zip",
    }
    command = [str(out / "segment_fuzzer"), "-max_total_time=1", "-seed=1"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60, capture_output=True)
