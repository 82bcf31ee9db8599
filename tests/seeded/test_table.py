"""The list of seeded faults against the sources as they are today."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.workshop import ROOT
from tests.seeded.__main__ import chosen
from tests.seeded.fault import Fault, Subject
from tests.seeded.judgement import Judgement, note
from tests.seeded.table import FAULTS, SAMPLE
from tests.seeded.workshop import C_SOURCE, DRIVER_HEADERS, EXAMPLES

PLACES = {
    Subject.MINIPORT: ("vnic/miniport/",),
    Subject.PROVIDER: ("vnic/netdma/",),
    Subject.C_EXAMPLE: (C_SOURCE, DRIVER_HEADERS),
    Subject.PYTHON_EXAMPLE: ("vnic/examples/minimal.py",),
    Subject.CARD: ("csrc/nic/", "csrc/pci/", "csrc/tcp/", "csrc/wire/"),
    Subject.COPY_ENGINE: ("csrc/copy/",),
}
#: Of the specification: letters of a chapter, and a number.
REQUIREMENT = re.compile(r"\b(?:RING|RX|TX|INT|RST|PROG|RSS|DEV|PCI|CHM|DMA|NDMA|INV)-\d+\b")
COMPILED = [fault for fault in FAULTS if fault.is_compiled]


def name(fault: Fault) -> str:
    """Of a fault, in the name of a test."""
    return fault.id


@pytest.fixture(scope="module")
def requirements() -> set[str]:
    """Every id that a chapter defines."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "spec").glob("*.md"))
    found = re.findall(r"^- \*\*([A-Z]+-\d+)\*\*|^\| (INV-\d+) ", text, re.MULTILINE)
    return {listed or tabled for listed, tabled in found}


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_a_fault_can_be_seeded(fault: Fault, requirements: set[str]) -> None:
    assert fault.occurrences(ROOT) == 1
    assert fault.text != fault.wrong
    assert fault.file.startswith(PLACES[fault.subject])
    assert fault.mistake.endswith(".")
    assert fault.cites.rule
    assert set(REQUIREMENT.findall(fault.cites.rule)) <= requirements


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.is_compiled], ids=name)
def test_a_broken_module_is_still_a_module(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / fault.file
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / fault.file).read_bytes())
    fault.seed(tmp_path)
    ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("fault", COMPILED[::9], ids=name)
def test_a_broken_source_still_compiles(fault: Fault, tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("needs a C compiler")
    shutil.copytree(ROOT / EXAMPLES, tmp_path / EXAMPLES)
    (tmp_path / fault.file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / fault.file, tmp_path / fault.file)
    fault.seed(tmp_path)
    source = tmp_path / fault.file
    if source.suffix == ".h":  # in the place of the right one, for somebody who includes it
        is_ours = fault.subject is Subject.C_EXAMPLE
        source = tmp_path / C_SOURCE if is_ours else ROOT / "csrc/nic/receive.c"
    includes = [f"-I{root}/{folder}" for root in (tmp_path, ROOT) for folder in ("csrc", "csrc/include")]
    command = [compiler, "-std=gnu11", "-fsyntax-only", *includes, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_list_is_long_and_spread() -> None:
    counts = Counter(fault.subject for fault in FAULTS)
    assert len(FAULTS) >= 66
    assert set(counts) == set(Subject)
    assert min(counts.values()) >= 5
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)
    assert len({(fault.file, fault.text, fault.wrong) for fault in FAULTS}) == len(FAULTS)


def test_faults_are_chosen_by_name_and_by_letters() -> None:
    assert [fault.id for fault in chosen(["CC-2"], False)] == ["CC-2"]
    assert {fault.subject for fault in chosen(["CE"], False)} == {Subject.COPY_ENGINE}
    assert [fault.id for fault in chosen([], True)] == [each.id for each in FAULTS if each.id in SAMPLE]
    assert len(chosen([], True)) == len(SAMPLE)
    with pytest.raises(SystemExit, match="no fault XX-1"):
        chosen(["XX-1"], False)


def test_a_suite_is_read_case_by_case() -> None:
    found = Judgement()
    for line in (
        "PASSED         send.every_length                12 ms",
        "FAILED         send.jumbo_frames                 7 ms  status RESOURCES",
        "HUNG           removal.while_sending         20000 ms  ",
        "NOT SUPPORTED  rss.key                           1 ms  no receive side scaling",
        "FAILED         power.sleeps                      3 ms  it did so before",
        "CRASHED        Traceback of no case",
    ):
        note(line, frozenset({"power.sleeps"}), found)
    assert found.failed == {"send.jumbo_frames": "FAILED", "removal.while_sending": "HUNG"}
    assert found.cases == 5
    assert not found.is_void
    assert Judgement().is_void
