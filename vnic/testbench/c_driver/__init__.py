"""Drivers written in C: a shared library against vnic_driver.h becomes a Miniport."""

from vnic.testbench.c_driver.library import CDriver
from vnic.testbench.c_driver.miniport import CMiniport

__all__ = ["CDriver", "CMiniport"]
