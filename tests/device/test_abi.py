"""The generated view of the C headers: up to date, and what the compiled module says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from vnic import abi
from vnic._core import ffi, lib
from vnic.config import DeviceConfig
from vnic.fault import Fault

ROOT = Path(__file__).resolve().parent.parent.parent

PREFIXES = {
    abi.Engine: "VNIC_ENGINE_",
    abi.CopyPart: "VNIC_COPY_ENGINE_",
    abi.Copy: "VNIC_COPY_",
    abi.EventType: "VNIC_EVENT_",
    abi.DmaStatus: "VNIC_DMA_",
    abi.OpCode: "VNIC_OP_",
    abi.Result: "VNIC_",
    abi.Map: "VNIC_MAP_",
}


def test_generated_files_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "spec" / "abi.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(("enum", "prefix"), PREFIXES.items())
def test_enums_are_those_of_the_library(enum: type[abi.Engine], prefix: str) -> None:
    for member in enum:
        assert getattr(lib, prefix + member.name) == member


def test_structures_have_the_same_fields() -> None:
    def names(structure: str) -> set[str]:
        return {name for name, _ in ffi.typeof(structure).fields} - {"reserved"}

    assert names("struct vnic_config") == {field.name for field in fields(DeviceConfig)}
    assert names("struct vnic_fault") == {field.name for field in fields(Fault)}
