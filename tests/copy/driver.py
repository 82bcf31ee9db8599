"""The copy engine driven by its registers: the testbench's rig under the name that these tests use."""

from __future__ import annotations

from vnic.testbench.engine_rig import BAR_ADDRESS, BASE, CHANCTRL_RUN, MESSAGE_ADDRESS, Channel, Memory
from vnic.testbench.engine_rig import EngineRig as Driver

__all__ = ["BAR_ADDRESS", "BASE", "CHANCTRL_RUN", "MESSAGE_ADDRESS", "Channel", "Driver", "Memory"]
