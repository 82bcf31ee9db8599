"""The headers that a C driver includes: found, generated from their sources, and usable from C and C++."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

import vnic
from vnic.headers import include_dir
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS

from .conftest import ROOT

HEADERS = ("vnic_driver.h", "vnic_ndis.h", "vnic_registers.h")
#: For simple drivers; each is enough for itself, and includes what is below it.
PLAIN = tuple(f"vnic_plain_{name}.h" for name in ("context", "traffic", "miniport", "card"))


@pytest.mark.requirement("DRV-15")
def test_the_headers_are_where_the_package_says() -> None:
    folder = Path(vnic.get_include())
    assert folder == include_dir()
    assert all((folder / "vnic" / name).is_file() for name in (*HEADERS, *PLAIN))


@pytest.mark.requirement("DRV-15")
def test_an_installation_without_headers_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vnic.headers.__file__", str(tmp_path / "vnic" / "headers.py"))
    with pytest.raises(FileNotFoundError, match="without its C headers"):
        include_dir()


@pytest.mark.requirement("DRV-15")
def test_ndis_numbers_are_those_of_the_vocabulary() -> None:
    text = (include_dir() / "vnic" / "vnic_ndis.h").read_text(encoding="utf-8")
    assert text == runpy.run_path(str(ROOT / "spec" / "ndis_header.py"))["header_text"]()
    numbers = {name: int(value, 16) for name, value in re.findall(r"#define (\w+) (0x\w+)u", text)}
    assert numbers["NDIS_STATUS_SEND_ABORTED"] == NDIS_STATUS.SEND_ABORTED
    assert numbers["OID_802_3_MULTICAST_LIST"] == OID.O802_3_MULTICAST_LIST


@pytest.mark.requirement("DRV-15")
@pytest.mark.parametrize(("compiler", "standard"), [("cc", "c11"), ("c++", "c++17")])
def test_headers_stand_alone(compiler: str, standard: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / ("all.c" if compiler == "cc" else "all.cc")
    source.write_text(
        "".join(f"#include <vnic/{name}>\n" for name in (*PLAIN, *HEADERS, "vnic.h")), encoding="utf-8"
    )
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]
    command = [compiler, f"-std={standard}", *warnings, f"-I{include_dir()}", "-fsyntax-only", str(source)]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.requirement("DRV-15")
def test_a_build_puts_the_headers_into_the_package() -> None:
    """What setup.py copies is every public header, to where include_dir() looks first."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert 'Path(self.build_lib, "vnic", "include", "vnic")' in text
    assert 'Path("csrc/include/vnic").glob("*.h")' in text
