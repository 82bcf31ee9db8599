"""What the tests of the device share: a card, and one in a machine that can use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vnic.device import Device
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestMemory
from vnic.host.system import System


@pytest.fixture
def device() -> Iterator[Device]:
    """A card in auto mode, as it comes: no BAR assigned, link down."""
    with Device() as made:
        yield made


@pytest.fixture
def system(device: Device) -> System:
    """The same card enabled in a machine, bus master on."""
    made = System(device, GuestMemory(1 << 20))
    made.enable_device()
    made.set_master()
    device.write32(BAR0.INT_CTRL.offset, 1)
    return made
