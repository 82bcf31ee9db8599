"""What a driver does wrong at the registers is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vnic.gen.registers import BAR0
from vnic.testbench.rig import Rig

HOLE = BAR0.GLB_EVENT_VECTOR.offset + 4


@pytest.mark.requirement("DEV-7")
def test_accesses_to_no_register_are_counted(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    window = rig.device.window(0)
    assert rig.stat("GUEST_ERRORS") == 0
    assert window.read32(HOLE) == 0
    window.write32(HOLE, 1)
    assert window.read64(HOLE) == 0
    assert rig.stat("GUEST_ERRORS") == 4
    rig.put(BAR0.STAT_CTRL, BAR0.STAT_CTRL.encode(CLEAR=1))
    assert rig.stat("GUEST_ERRORS") == 0
