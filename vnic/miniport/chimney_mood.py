"""Whether the card wants more: OFFLOAD_PAUSE, UPLOAD_ALL, OFFLOAD_RESUME, and initiates that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from vnic.gen.registers import BAR0, ChmStatus
from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_initiate import Block, Initiate, fail_all, has_parent
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
        self._pass_up = indicate
        self._news: deque[NDIS_STATUS] = deque()
        self._is_telling = self._is_upload_due = False
        self._give_up = give_up
        self._state = State.OPEN
        self._waiting: deque[Block] = deque()

    def _indicate(self, status: NDIS_STATUS) -> None:
        """In order: who has news while another processor tells leaves them to it."""
        self._news.append(status)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._news:
                self._pass_up(self._news.popleft())
        finally:
            self._is_telling = False

    @property
    def is_uploading(self) -> bool:
        """Whether everything is to be taken back."""
        return self._state is State.UPLOADING

    @property
    def is_holding_up(self) -> bool:
        """Whether the host waits for OFFLOAD_RESUME, or will: UPLOAD_ALL is not told while it initiates."""
        return self._state is not State.OPEN or self._is_upload_due

    def check(self) -> None:
        """Whether that is still so. A card that has nothing has no reason: its chimney starts anew."""
        self.on_empty()
        self.look()
        chimney = self.chimney
        if self.is_holding_up and not (chimney.has_objects or chimney.initiates):
            self._begin_anew()

    def initiate(self, root: Block) -> None:
        """Begin, or keep it until offloading resumes; called with the lock held. [INV-41]"""
        if self.is_uploading and has_parent(root):
            self._refuse(root)  # its parent must go, and cannot as long as it waits
        elif self.is_holding_up:
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
            self._is_upload_due = True
            self.on_initiated()
        elif status & ChmStatus.PAUSE and self._state is State.OPEN:
            self._state = State.PAUSED
            self._indicate(NDIS_STATUS.OFFLOAD_PAUSE)
        elif not status & ChmStatus.PAUSE and self._state is State.PAUSED:
            self.resume()

    def on_initiated(self) -> None:
        """No initiate is under way: what has to be taken back is told now, for nothing joins it. [INV-41]"""
        if not self._is_upload_due or self.chimney.initiates:
            return
        self._is_upload_due = False
        self._state = State.UPLOADING
        self._do_what_waits()
        self._indicate(NDIS_STATUS.UPLOAD_ALL)
        if not self.chimney.has_objects:
            self.on_empty()

    def on_fail(self) -> None:
        """The card has forgotten what it wanted."""
        self._is_upload_due = False

    def on_empty(self) -> None:
        """Nothing is offloaded any more: after UPLOAD_ALL the chimney starts anew."""
        if self._state is not State.UPLOADING or self.chimney.has_objects:
            return
        self._begin_anew()

    def _begin_anew(self) -> None:
        try:
            self.chimney.restart()
        except RingFault:
            self._give_up()
            return
        self.resume()

    def resume(self) -> None:
        """The card takes offloads again: tell the host, and do what has waited."""
        is_quiet = not (self.is_holding_up or self._waiting)
        if is_quiet or (self.is_uploading and self.chimney.has_objects):
            return
        self._is_upload_due = False
        if self._state is not State.OPEN:
            self._open()
        self._do_what_waits()

    def _do_what_waits(self) -> None:
        with self.chimney.section():
            waiting, self._waiting = self._waiting, deque()
            for root in waiting:
                self.initiate(root)

    def _open(self) -> None:
        self._state = State.OPEN
        self._indicate(NDIS_STATUS.OFFLOAD_RESUME)

    def refuse_waiting(self) -> None:
        """The card is gone for good: what waits fails."""
        with self.chimney.section():
            while self._waiting:
                self._refuse(self._waiting.popleft())
