"""The table of seeded faults against the sources as they are today."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.fault import Fault
from tests.mutants.table import FAULTS, INVARIANTS
from tests.mutants.trial import marked_files
from tests.mutants.workshop import ROOT

PLACES = (
    *("csrc/nic/", "csrc/tcp/", "csrc/wire/", "csrc/stack/", "csrc/copy/"),
    *("vnic/miniport/", "vnic/protocol/", "vnic/netdma/"),
)


def name(fault: Fault) -> str:
    """Of a fault, in the name of a test."""
    return f"{fault.invariant}-{Path(fault.file).name}"


def test_every_invariant_has_a_fault_and_a_test() -> None:
    assert {fault.invariant for fault in FAULTS} == set(INVARIANTS)
    for invariant in INVARIANTS:
        assert marked_files(ROOT, [invariant]), invariant


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_a_fault_can_be_seeded(fault: Fault) -> None:
    assert fault.occurrences(ROOT) == 1
    assert fault.text != fault.wrong
    assert fault.file.startswith(PLACES)
    assert fault.file.endswith((".c", ".py"))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.is_compiled], ids=name)
def test_a_broken_module_is_still_a_module(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / fault.file
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / fault.file).read_bytes())
    fault.seed(tmp_path)
    ast.parse(path.read_text(encoding="utf-8"))


def test_no_fault_is_there_twice() -> None:
    assert len({(fault.file, fault.text, fault.wrong) for fault in FAULTS}) == len(FAULTS)
