"""A channel of the reference engine that holds the last piece of a descriptor back, as DMA-27 has it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.copy.oracle_bus import BusError
from tests.copy.oracle_channel import READ_ERRORS, WRITE_ERRORS, Channel, Hand, is_empty
from vnic.abi import DmaPurpose
from vnic.gen.enums import CopyOp
from vnic.gen.registers import Chanerr


@dataclass
class Held:
    """A piece that was read: of which descriptor, where it goes, and what it is."""

    owner: int
    target: int
    data: bytes


class OverlappingChannel(Channel):
    """Holds back whenever it may. `_own`: a piece of the descriptor at hand, read and to be written next."""

    _written = 0

    def _drop(self) -> None:
        super()._drop()
        self._held: Held | None = None
        self._own: bytes | None = None

    @property
    def is_at_hand(self) -> bool:
        """A descriptor whose last piece is held is not finished."""
        return self.hand is not None or self._held is not None

    def step(self) -> int:
        """One step; bytes that it moved."""
        self._written = 0
        moved = self._step()
        return moved + self._written

    def _step(self) -> int:
        if self._report or (self.hand and self.hand.is_processed):
            return super().step()
        if self.hand:
            return self._go_on(self.hand)
        if self._held and (self._wants_suspend or self._has_new_chain or self.left == 1):
            return self._end()
        return self._fetch() if self._held else super().step()

    def _go_on(self, hand: Hand) -> int:
        if self._own is not None:
            return self._write_own(hand, self._own)
        if self._held:
            reads = not is_empty(hand.descriptor) and hand.source is not None
            return self._exchange(hand) if reads else self._let_go(hand)
        is_last = hand.moved + hand.piece == hand.descriptor.size
        return self._take(hand) if is_last and self._may_hold(hand) else self._move(hand)

    def _may_hold(self, hand: Hand) -> bool:
        d = hand.descriptor
        asks = d.fence or d.compl_write or d.int_en
        return not asks and self.left != 1 and not self._wants_suspend and not self._has_new_chain

    def _begin(self, hand: Hand) -> None:
        if self._held is None:
            super()._begin(hand)

    def _halt(self, bit: int) -> None:
        if self._held is None or self._flush(self._held):
            self.fail(bit)

    def _end(self) -> int:
        if self._held and self._flush(self._held):
            self._finish()
        return 0

    def _flush(self, held: Held) -> bool:
        """Write what is held; False when that was an error, which is its descriptor's."""
        try:
            self._memory.write(held.target, held.data, DmaPurpose.DATA)
        except BusError as error:
            self.current = held.owner
            self.fail(WRITE_ERRORS.get(error.status, Chanerr.WRITE_DATA))
            return False
        self._written += len(held.data)
        self._held = None
        self._count_processed(held.owner)
        return True

    def _take(self, hand: Hand) -> int:
        """Read the last piece, and keep it."""
        data = self._read(hand)
        if data is not None:
            self._hold(hand, data)
        return 0 if data is None or hand.descriptor.op == CopyOp.FILL else len(data)

    def _read(self, hand: Hand) -> bytes | None:
        source, count = hand.source, hand.piece
        if source is None:
            return hand.pattern(count)
        try:
            return self._memory.read(source, count, DmaPurpose.DATA)
        except BusError as error:
            self._halt(READ_ERRORS.get(error.status, Chanerr.SRC_ADDR))
            return None

    def _hold(self, hand: Hand, data: bytes) -> None:
        self._held = Held(hand.addr, hand.destination, data)
        self.hand = None

    def _exchange(self, hand: Hand) -> int:
        """Read the first piece, then write what is held of the descriptor before."""
        data, held = self._read(hand), self._held
        if data is None or held is None:
            return 0
        if self._flush(held):
            if len(data) == hand.descriptor.size and self._may_hold(hand):
                self._hold(hand, data)
            else:
                self._own = data
        return len(data)

    def _let_go(self, hand: Hand) -> int:
        """A descriptor that reads nothing only waits for what is held."""
        if self._held and self._flush(self._held) and is_empty(hand.descriptor):
            self._process(hand)
        return 0

    def _write_own(self, hand: Hand, data: bytes) -> int:
        try:
            self._memory.write(hand.destination, data, DmaPurpose.DATA)
        except BusError as error:
            self.fail(WRITE_ERRORS.get(error.status, Chanerr.WRITE_DATA))
            return 0
        self._own = None
        hand.moved += len(data)
        if hand.moved == hand.descriptor.size:
            self._process(hand)
        return len(data)
