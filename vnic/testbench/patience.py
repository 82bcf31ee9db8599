"""How a stream waits: until virtual time has passed in a world, or real time in a pump."""

from __future__ import annotations

import errno
from collections.abc import Callable

from vnic.host.pump import Pump
from vnic.stack.errors import TimedOutError
from vnic.stack.stream import Wait
from vnic.testbench.world import World


def in_virtual_time(world: World, within_s: float = 120) -> Wait:
    """Wait by letting the world's time pass, so much at most at a time."""

    def wait(is_done: Callable[[], bool], what: str) -> None:
        if not world.run_until(is_done, int(within_s * 1e9)):
            raise TimedOutError(errno.ETIMEDOUT, f"{what}: nothing within {within_s:g} s of virtual time")

    return wait


def in_real_time(pump: Pump, within_s: float = 20) -> Wait:
    """Wait by pumping, so long at most at a time."""

    def wait(is_done: Callable[[], bool], what: str) -> None:
        if not pump.run_until(is_done, within_s):
            raise TimedOutError(errno.ETIMEDOUT, f"{what}: nothing within {within_s:g} s")

    return wait
