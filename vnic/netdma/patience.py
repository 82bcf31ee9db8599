"""How long a channel waits for its interrupt before it looks for itself, and then gives the engine up."""

from __future__ import annotations

from collections.abc import Callable

from vnic.host.clock import Timer
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.watch import Watch

#: Between two looks, ns of virtual time: longer than engines delay an interrupt.
LOOK_NS = 20_000_000
#: Looks without progress after which the engine is stopped.
LOOKS = 10

#: Called in a DPC, with whether this look is the last without progress; says whether to go on waiting.
Impatient = Callable[[bool], bool]


class Patience:
    """One timer for a channel: it runs while something is outstanding."""

    def __init__(self, watch: Watch, handle: ChannelHandle, on_impatience: Impatient) -> None:
        self._watch = watch
        self._handle = handle
        self._on_impatience = on_impatience
        self._timer: Timer | None = None
        self._looks = 0
        self._last = -1

    def begin(self) -> None:
        """Something is outstanding."""
        if self._timer is None:
            self._looks, self._last = 0, -1
            self._arm()

    def end(self) -> None:
        """The channel is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watch.processors.discard(self)

    def _arm(self) -> None:
        self._timer = self._watch.clock.call_after(LOOK_NS, self._expire)

    def _expire(self) -> None:
        self._watch.processors.queue_dpc(self._handle.cpu, self._look, source=self)

    def _look(self, _: object) -> None:
        self._timer = None
        self._watch.note("the interface looks at the completion status")
        at = self._handle.completion.address
        self._looks = 0 if at != self._last else self._looks + 1
        self._last = at
        if self._on_impatience(self._looks >= LOOKS) and self._timer is None:
            self._arm()
