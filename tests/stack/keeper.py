"""A link that keeps received frames and a copy engine that reads them, for tests of the copy hook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.stack.peer import FIN, Peer, connect
from tests.stack.world import World
from vnic._core import ffi, lib

GOOD = lib.VNIC_STACK_RX_L4_GOOD | lib.VNIC_STACK_RX_IP_GOOD
KEPT = GOOD | lib.VNIC_STACK_RX_KEPT
POISON = 0xDB


class Keeper:
    """The link and a copy engine: frames live until the copies from them are done, then they are poison."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answer: Callable[[], int] = lambda: lib.VNIC_HOOK_LATER
        #: By ticket: to, from, length, and the frame, or None: the bytes lie in the stack.
        self.waiting: dict[int, tuple[Any, Any, int, int | None]] = {}
        self.copied_from_frames = self.copied_from_stack = 0
        self._frames: dict[int, Any] = {}
        self._held: dict[int, int] = {}
        self._posts: list[Any] = []
        self._at_hand: set[int] = set()
        maker: Any = ffi
        self._hook = maker.callback("int(void *, void *, const void *, uint64_t, uint64_t)", self._take)
        lib.vnic_stack_set_copy_hook(world.stack, self._hook, ffi.NULL)

    def _frame_of(self, source: int, length: int) -> int | None:
        for number, frame in self._frames.items():
            start = int(ffi.cast("uintptr_t", frame))
            if start <= source and source + length <= start + len(frame):
                return number
        return None

    def _take(self, opaque: Any, to: Any, source: Any, length: int, ticket: int) -> int:
        number = self._frame_of(int(ffi.cast("uintptr_t", source)), length)
        assert number is None or number in self._at_hand or self._held[number]
        answer = self.answer()
        if answer == lib.VNIC_HOOK_DECLINED:
            return answer
        if number is None:
            self.copied_from_stack += length
        else:
            self.copied_from_frames += length
        if answer == lib.VNIC_HOOK_DONE:
            ffi.memmove(to, source, length)
            return answer
        self.waiting[ticket] = (to, source, length, number)
        if number is not None:
            self._held[number] += 1
        return answer

    # -- frames

    def hear(self, *frames: bytes, flags: int = KEPT) -> None:
        """Frames arrive together, as one burst where there are several."""
        numbers = [self._keep(frame) for frame in frames]
        self._at_hand = set(numbers)
        batch = [{"data": self._frames[n], "len": len(self._frames[n]), "flags": flags} for n in numbers]
        if len(batch) == 1:
            one = batch[0]
            assert lib.vnic_stack_receive(self.world.stack, 0, one["data"], one["len"], flags) == 0
        else:
            raw = ffi.new("struct vnic_stack_packet[]", batch)
            assert lib.vnic_stack_receive_burst(self.world.stack, 0, raw, len(batch)) == 0
        self._at_hand = set()
        for number in numbers:
            self._release(number)

    def _keep(self, frame: bytes) -> int:
        number = len(self._held)
        self._frames[number] = ffi.new("uint8_t[]", frame)
        self._held[number] = 0
        return number

    def _release(self, number: int) -> None:
        """The link has the frame back, unless a copy is under way: whoever reads it later reads poison."""
        if not self._held[number]:
            frame = self._frames.pop(number)
            ffi.memmove(frame, bytes([POISON]) * len(frame), len(frame))
            self._posts.append(frame)  # nothing else comes to lie there

    @property
    def held(self) -> int:
        """Frames from which copies are under way."""
        return len(self._frames)

    # -- the engine

    def finish(self, ticket: int) -> None:
        """Copy, say so, and give the frame back."""
        to, source, length, number = self.waiting.pop(ticket)
        ffi.memmove(to, source, length)
        assert lib.vnic_stack_copied(self.world.stack, ticket) == 0
        if number is not None:
            self._held[number] -= 1
            self._release(number)

    def finish_all(self) -> None:
        """Copy all that waits, and what comes meanwhile."""
        while self.waiting:
            self.finish(next(iter(self.waiting)))

    # -- the user

    def post(self, socket: int, size: int, cookie: int = 1) -> Any:
        """A posted buffer; it lives as long as this."""
        buffer = ffi.new("uint8_t[]", size)
        self._posts.append(buffer)
        assert lib.vnic_tcp_post(self.world.stack, socket, buffer, size, cookie) == 0
        return buffer


def start(keeper: Keeper) -> tuple[World, Peer, int]:
    """A connection."""
    peer = Peer(keeper.world)
    return keeper.world, peer, connect(keeper.world, peer)


def next_frame(peer: Peer, flags: int, data: bytes) -> bytes:
    """The peer's next segment, counted."""
    frame = peer.frame(flags, data)
    peer.seq = (peer.seq + len(data) + bool(flags & FIN)) & 0xFFFFFFFF
    return frame
