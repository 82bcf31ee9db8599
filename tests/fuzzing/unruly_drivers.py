"""Drivers that do what no driver may: raise, die, spin, sleep for ever. Shards must survive them."""

from __future__ import annotations

import os
import time

from vnic.miniport import Adapter
from vnic.ndis.miniport import ResetResult


class Raises(Adapter):
    """An exception out of MiniportResetEx."""

    def reset_ex(self) -> ResetResult:
        raise ZeroDivisionError("in MiniportResetEx")


class Dies(Adapter):
    """The process is gone, as after a fault in C."""

    def reset_ex(self) -> ResetResult:
        os.abort()


class Spins(Adapter):
    """A loop without an access to the card."""

    def reset_ex(self) -> ResetResult:
        while True:
            pass


class Sleeps(Adapter):
    """A wait that Python cannot interrupt: a signal only makes it begin again."""

    def reset_ex(self) -> ResetResult:
        while True:
            try:
                time.sleep(60)
            except BaseException:
                continue
