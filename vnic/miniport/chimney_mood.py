"""Whether the card wants more: OFFLOAD_PAUSE, UPLOAD_ALL, OFFLOAD_RESUME, and initiates that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from vnic.gen.registers import BAR0, ChmStatus
from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_initiate import Block, Initiate, fail_all
from vnic.miniport.receive import RingFault
from vnic.miniport.registers import ALL_ONES, Registers
from vnic.ndis.status import NDIS_STATUS


class State(Enum):
    """What the host was last told."""

    OPEN = 0
    PAUSED = 1
    UPLOADING = 2


class Mood:
    """Follows CHM_STATUS. `indicate` passes a status up; `give_up` asks for a reset."""

    def __init__(
        self,
        chimney: Chimney,
        registers: Registers,
        indicate: Callable[[NDIS_STATUS], None],
        give_up: Callable[[], None],
    ) -> None:
        self.chimney = chimney
        self._registers = registers
        self._indicate = indicate
        self._give_up = give_up
        self._state = State.OPEN
        self._waiting: deque[Block] = deque()

    @property
    def is_uploading(self) -> bool:
        """Whether everything is to be taken back."""
        return self._state is State.UPLOADING

    def initiate(self, root: Block) -> None:
        """Begin, or keep it until offloading resumes; called with the lock held. [INV-41]"""
        if self._state is not State.OPEN:
            self._waiting.append(root)
        elif self.chimney.is_started:
            Initiate(self.chimney, root).begin()
        else:
            self._refuse(root)

    def _refuse(self, root: Block) -> None:
        fail_all(root)
        self.chimney.complete_later(lambda: self.chimney.ndis.m_initiate_offload_complete(root))

    def look(self) -> None:
        """GLB_EVENT.CHIMNEY: the card's status changed."""
        status = self._registers.read(BAR0.CHM_STATUS)
        if status == ALL_ONES or not self.chimney.is_started or self.is_uploading:
            return
        if status & ChmStatus.UPLOAD_ALL:
            self._state = State.UPLOADING
            self._indicate(NDIS_STATUS.UPLOAD_ALL)
            if not self.chimney.has_objects:
                self.on_empty()
        elif status & ChmStatus.PAUSE and self._state is State.OPEN:
            self._state = State.PAUSED
            self._indicate(NDIS_STATUS.OFFLOAD_PAUSE)
        elif not status & ChmStatus.PAUSE and self._state is State.PAUSED:
            self.resume()

    def on_empty(self) -> None:
        """Nothing is offloaded any more: after UPLOAD_ALL the chimney starts anew."""
        if self._state is not State.UPLOADING or self.chimney.has_objects:
            return
        try:
            self.chimney.restart()
        except RingFault:
            self._give_up()
            return
        self.resume()

    def resume(self) -> None:
        """The card takes offloads again: tell the host, and do what has waited."""
        if self._state is State.OPEN:
            return
        self._state = State.OPEN
        self._indicate(NDIS_STATUS.OFFLOAD_RESUME)
        with self.chimney.section():
            waiting, self._waiting = self._waiting, deque()
            for root in waiting:
                self.initiate(root)

    def refuse_waiting(self) -> None:
        """The card is gone for good: what waits fails."""
        with self.chimney.section():
            while self._waiting:
                self._refuse(self._waiting.popleft())
