"""The driver under test by its name: what is found, and what a user is told when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnic.examples.minimal import Minimal
from vnic.host.memory import GuestMemory
from vnic.miniport import Adapter
from vnic.testbench.driver import DriverError, load_driver

GOOD = "from vnic.examples.minimal import Minimal\nclass Mine(Minimal):\n    pass\nnumber = 3\n"


def test_what_a_name_can_be(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(GOOD, encoding="utf-8")
    memory = GuestMemory(1 << 20)
    assert isinstance(load_driver().make(memory), Adapter)
    assert isinstance(load_driver("vnic.examples.minimal:Minimal").make(memory), Minimal)
    assert type(load_driver(f"{tmp_path}/driver.py:Mine").make(memory)).__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "a driver is reference, module:Class"),
        ("driver.py", "a driver is reference, module:Class"),
        ("{folder}/none.py:Mine", "no such file"),
        ("{folder}/driver.py:None", "no class derived from"),
        ("{folder}/driver.py:number", "no class derived from"),
        ("{folder}/broken.py:Mine", "broken.py: SyntaxError"),
        ("{folder}/raises.py:Mine", "raises.py: ZeroDivisionError"),
        ("vnic.no_such:Mine", "No module named"),
        ("{folder}/none.so", "no such file"),
    ],
)
def test_what_is_no_driver_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "driver.py").write_text(GOOD, encoding="utf-8")
    (tmp_path / "broken.py").write_text("class", encoding="utf-8")
    (tmp_path / "raises.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(DriverError, match=words):
        load_driver(name.format(folder=tmp_path))
