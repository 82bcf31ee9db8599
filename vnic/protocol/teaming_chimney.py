"""The chimney of a team: everything offloaded is at one member, and leaves it before another gets any."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from vnic.ndis.chimney import (
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    ClientCalls,
    ProviderCalls,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.intermediate_chimney import ChimneyDown, ChimneyUp, Conversion, Passed

_Upper = NDIS_MINIPORT_OFFLOAD_BLOCK_LIST
_Lower = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST


class Mood(IntEnum):
    """What somebody last said of offloading: a member of itself, the team to the host."""

    OPEN = 0
    PAUSED = 1
    UPLOADING = 2


MOODS = {
    NDIS_STATUS.OFFLOAD_RESUME: Mood.OPEN,
    NDIS_STATUS.OFFLOAD_PAUSE: Mood.PAUSED,
    NDIS_STATUS.UPLOAD_ALL: Mood.UPLOADING,
}
_STATUSES = {mood: status for status, mood in MOODS.items()}


class Roster(Conversion):
    """Block lists converted, and which handles are offloaded, or under way, below."""

    def __init__(self) -> None:
        super().__init__()
        self.live: set[Passed] = set()
        self.calls: ClientCalls | None = None

    def down(self, block: _Upper | None) -> _Lower | None:
        """A new offload counts from now on."""
        made = super().down(block)
        handle = made.OffloadHandle if made is not None else None
        if isinstance(handle, Passed) and handle.calls is None:
            handle.calls = self.calls
            self.live.add(handle)
        return made

    def up(self, made: _Lower) -> _Upper:
        """One that failed does not count any more."""
        block = super().up(made)
        context = block.MiniportOffloadContext
        if context is not None and context.value is None and isinstance(made.OffloadHandle, Passed):
            self.live.discard(made.OffloadHandle)
        return block

    def strike(self, made: _Lower | None) -> None:
        """What a terminated block list named is gone; linkers in it stay."""
        while made is not None:
            if isinstance(made.OffloadHandle, Passed) and made.state_type is not OFFLOAD_STATE_TYPE.NONE:
                self.live.discard(made.OffloadHandle)
            self.strike(made.DependentBlockList)
            made = made.NextBlock


class TeamChimney:
    """Where offloads go, and what the host is told of it.

    When the member in use is to be left, the host hears OFFLOAD_PAUSE while initiates are under way (none
    may succeed after UPLOAD_ALL), then UPLOAD_ALL, and OFFLOAD_RESUME once nothing is left there. Initiates
    that come in between are kept, those that hang on objects of the old member fail. [INV-41]
    """

    def __init__(self, indicate: Callable[[NDIS_STATUS], None], later: Callable[[Callable[[], None]], None]):
        self.roster = Roster()
        self.mood = Mood.OPEN
        self._indicate = indicate
        self._later = later
        self._initiating = 0
        self._waiting: deque[_Upper] = deque()
        self._above: ProviderCalls | None = None

    # -- edges -----------------------------------------------------------------------------------------------

    @property
    def below(self) -> ClientCalls:
        """The chimney of the member that has everything."""
        assert self.roster.calls is not None
        return self.roster.calls

    @property
    def above(self) -> ProviderCalls:
        """NDIS's chimney functions of the virtual adapter."""
        assert self._above is not None
        return self._above

    def start(self, above: ProviderCalls, calls: ClientCalls | None) -> None:
        """The virtual adapter is initialized: nothing is offloaded."""
        self._above, self.mood, self.roster.calls = above, Mood.OPEN, calls

    def is_at(self, calls: ClientCalls | None) -> bool:
        """Whether anything is offloaded, or under way, through a binding."""
        return any(each.calls is calls for each in self.roster.live)

    # -- moods -----------------------------------------------------------------------------------------------

    def review(self, calls: ClientCalls | None, mood: Mood) -> None:
        """`calls` is the member to use from now on, None: there is none; `mood` is its own."""
        must_leave = self.roster.calls is not calls and (bool(self.roster.live) or calls is None)
        if must_leave:
            mood = Mood.PAUSED if self._initiating else Mood.UPLOADING
        if mood > self.mood:
            self._tell(mood)
        if not must_leave:
            self.roster.calls = calls
        is_stuck = self.mood is Mood.UPLOADING and bool(self.roster.live)
        if mood is Mood.OPEN and self.mood is not Mood.OPEN and not is_stuck:
            self._tell(Mood.OPEN)
            self._go_on()

    def _tell(self, mood: Mood) -> None:
        self.mood = mood
        self._indicate(_STATUSES[mood])

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for root in waiting:
            self.initiate(root)

    # -- initiates -------------------------------------------------------------------------------------------

    def initiate(self, root: _Upper) -> None:
        """Down, or kept until offloading resumes."""
        if self.mood is Mood.OPEN:
            self._initiating += 1
            made = self.roster.down(root)
            assert made is not None
            self.below.initiate_offload(made)
        elif self.mood is Mood.UPLOADING and _has_linker(root):
            _fail(root)
            self._later(lambda: self.above.m_initiate_offload_complete(root))
        else:
            self._waiting.append(root)

    def on_initiated(self) -> None:
        """The host knows how one ended."""
        self._initiating -= 1


class TeamDown(ChimneyDown):
    """The entry points of the virtual miniport; a buffer goes back to the member whose it is."""

    def __init__(self, chimney: TeamChimney) -> None:
        super().__init__(chimney, chimney.roster)
        self._chimney = chimney

    def initiate_offload(self, block: _Upper) -> None:
        """MiniportInitiateOffload."""
        self._chimney.initiate(block)

    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceiveReturn: perhaps long after the connection has left the member."""
        assert isinstance(context, Passed) and context.calls is not None
        return context.calls.offload_tcp_receive_return(context, chain)


class TeamUp(ChimneyUp):
    """The entry points of the protocol edge; after each that may have been the last, `review` looks."""

    def __init__(self, chimney: TeamChimney, review: Callable[[], None]) -> None:
        super().__init__(chimney, chimney.roster)
        self._chimney = chimney
        self._review = review

    def initiate_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolInitiateOffloadComplete."""
        super().initiate_offload_complete(binding, block)
        self._chimney.on_initiated()
        self._review()

    def terminate_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolTerminateOffloadComplete."""
        super().terminate_offload_complete(binding, block)
        self._chimney.roster.strike(block)
        self._review()


def _has_linker(root: _Upper | None) -> bool:
    while root is not None:
        context = root.MiniportOffloadContext
        if (context is not None and context.value is not None) or _has_linker(root.DependentBlockList):
            return True
        root = root.NextBlock
    return False


def _fail(root: _Upper | None) -> None:
    """Placeholders have SUCCESS all the same. [INV-1]"""
    while root is not None:
        is_placeholder = root.MiniportOffloadContext is None
        root.Status = NDIS_STATUS.SUCCESS if is_placeholder else NDIS_STATUS.FAILURE
        _fail(root.DependentBlockList)
        root = root.NextBlock
