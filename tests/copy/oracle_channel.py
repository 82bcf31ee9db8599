"""A channel of the reference engine: commands, descriptors, pieces, completions and errors, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.copy.oracle_bus import PAGE, BusError, Memory
from vnic.abi import DmaPurpose, DmaStatus
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import Chancmd, Chanctrl, Chanerr

COUNTS = 1 << 16
RESERVED_BITS = 0x00FF_F800 << 32
COMMANDS = 0x3F
VERSION_1 = Chancmd.START | Chancmd.APPEND

READ_ERRORS = {DmaStatus.POISONED: Chanerr.DATA_INTEGRITY, DmaStatus.TIMEOUT: Chanerr.READ_DATA}
WRITE_ERRORS = {DmaStatus.UNSUPPORTED: Chanerr.DEST_ADDR, DmaStatus.ABORTED: Chanerr.DEST_ADDR}


class Refused(Exception):
    """A descriptor that the engine does not carry out; `bit` of CHANERR."""

    def __init__(self, bit: int) -> None:
        super().__init__(f"{bit:#x}")
        self.bit = bit


def is_empty(d: CopyDescriptor) -> bool:
    """Whether it moves nothing, whatever its size and addresses."""
    return bool(d.null) or d.op == CopyOp.CONTEXT_CHANGE


def check_control(d: CopyDescriptor, word: int) -> None:
    """Raises Refused for reserved bits, operations and combinations."""
    unknown = word & RESERVED_BITS or d.op not in tuple(CopyOp)
    senseless = d.op != CopyOp.COPY and (d.null or d.src_brk)
    off_page = not is_empty(d) and ((d.src_brk and d.next_src % PAGE) or (d.dst_brk and d.next_dst % PAGE))
    if unknown or senseless or off_page:
        raise Refused(Chanerr.DESC_CONTROL)


def check_length(d: CopyDescriptor, most: int) -> None:
    """Raises Refused for a size of 0, above `most`, or that two pages do not hold."""
    if is_empty(d):
        return
    too_long = (d.src_brk and d.size > 2 * PAGE - d.src % PAGE) or (
        d.dst_brk and d.size > 2 * PAGE - d.dst % PAGE
    )
    if not 0 < d.size <= most or too_long:
        raise Refused(Chanerr.DESC_LENGTH)


def place(start: int, following: int | None, at: int) -> int:
    """Where byte `at` of one side lies; `following`: of a page break."""
    room = PAGE - start % PAGE
    return start + at if following is None or at < room else following + at - room


@dataclass
class Hand:
    """The descriptor at hand, and how many of its bytes were moved."""

    addr: int
    descriptor: CopyDescriptor
    moved: int = 0
    is_processed: bool = False

    @property
    def source(self) -> int | None:
        """Of the next byte; None of FILL."""
        d = self.descriptor
        if d.op == CopyOp.FILL:
            return None
        return place(d.src, d.next_src if d.src_brk else None, self.moved)

    @property
    def destination(self) -> int:
        """Of the next byte."""
        d = self.descriptor
        return place(d.dst, d.next_dst if d.dst_brk else None, self.moved)

    @property
    def piece(self) -> int:
        """Bytes to the end of the transfer, of the source's page or of the destination's."""
        room = PAGE - self.destination % PAGE
        if self.source is not None:
            room = min(room, PAGE - self.source % PAGE)
        return min(room, self.descriptor.size - self.moved)

    def pattern(self, count: int) -> bytes:
        """The next bytes of FILL."""
        word = self.descriptor.src.to_bytes(8, "little")
        return bytes(word[(self.moved + i) % 8] for i in range(count))


@dataclass
class Report:
    """What an error still has to tell."""

    completion: bool
    interrupt: bool


class Channel:
    """`log`: told of errors that CHANERRMSK does not keep away. `interrupt`: an interrupt falls due."""

    def __init__(
        self, memory: Memory, most: int, log: Callable[[int], None], interrupt: Callable[[], None]
    ) -> None:
        self._memory = memory
        self._most = most
        self._log = log
        self._interrupt = interrupt
        self.ctrl = self.completion = self.mask = self.dca = 0
        self._forget()

    def _forget(self) -> None:
        """As after RESET."""
        self.is_halted, self.is_suspended = True, False
        self.chain = self.count = self.current = self.last = self.errors = 0
        self._next = self._done = 0
        self._has_fetched = False
        self._drop()

    def _drop(self) -> None:
        """Nothing is at hand, and nothing is to come."""
        self.hand: Hand | None = None
        self._report: Report | None = None
        self._has_new_chain = self._wants_suspend = self._must_reread = False

    # -- what is seen ----------------------------------------------------------------------------------------

    @property
    def is_at_hand(self) -> bool:
        """Whether a descriptor must be finished before anything else takes effect."""
        return self.hand is not None

    @property
    def left(self) -> int:
        """Counted descriptors that are not processed."""
        return (self.count - (0 if self._has_new_chain else self._done)) % COUNTS

    @property
    def state(self) -> ChanStatus:
        """As CHANSTS tells it."""
        if self.is_halted:
            return ChanStatus.HALTED
        if self.is_suspended:
            return ChanStatus.SUSPENDED
        if self.is_at_hand or self._must_reread or self.left:
            return ChanStatus.ACTIVE
        return ChanStatus.DONE if self._has_fetched else ChanStatus.ARMED

    @property
    def status(self) -> int:
        """CHANSTS."""
        return self._status(self.state)

    def _status(self, state: ChanStatus) -> int:
        return (0 if state == ChanStatus.ARMED else self.last) | bool(self.errors) << 3 | state

    @property
    def can_step(self) -> bool:
        """Whether there is something to do."""
        if self.is_at_hand or self._report:
            return True
        return not self.is_halted and not self.is_suspended and (self._must_reread or self.left > 0)

    # -- what the driver does --------------------------------------------------------------------------------

    def start(self, chain: int) -> None:
        """CHAINADDR was written."""
        self.chain, self.count = chain, 0
        if self.errors:
            return
        self._wants_suspend = False
        if self.is_at_hand:
            self._has_new_chain = True
        else:
            self._arm()

    def _arm(self) -> None:
        self._drop()
        self.is_halted = self.is_suspended = False
        self._next, self._done, self._has_fetched = self.chain, 0, False

    def add(self, count: int) -> None:
        """DMACOUNT was written."""
        is_changed, self.count = count != self.count, count
        if is_changed and self.is_halted:
            self.fail(Chanerr.DESC_COUNT)

    def command(self, commands: int) -> None:
        """CHANCMD was written."""
        commands &= COMMANDS
        if commands & VERSION_1 or commands.bit_count() > 1:
            self.fail(Chanerr.CHANCMD)
        elif commands == Chancmd.SUSPEND:
            self._suspend()
        elif commands == Chancmd.RESUME:
            self._resume()
        elif commands == Chancmd.ABORT:
            self.is_halted, self.is_suspended = True, False
            self._drop()
        elif commands == Chancmd.RESET:
            self._forget()

    def _suspend(self) -> None:
        if self.is_at_hand:
            self._wants_suspend = True
        elif not self.is_halted:
            self.is_suspended, self._must_reread = True, False

    def _resume(self) -> None:
        self._wants_suspend = False
        if self.is_suspended:
            self.is_suspended, self._must_reread = False, self._has_fetched

    # -- steps -----------------------------------------------------------------------------------------------

    def step(self) -> int:
        """One step; bytes that it moved. Something is to be done."""
        if self._report:
            return self._tell(self._report)
        if self.hand:
            return self._complete(self.hand) if self.hand.is_processed else self._move(self.hand)
        return self._reread() if self._must_reread else self._fetch()

    def _read_descriptor(self, addr: int) -> bytes | None:
        self.current = addr
        try:
            return self._memory.read(addr, CopyDescriptor.SIZE, DmaPurpose.DESCRIPTOR)
        except BusError as error:
            is_poisoned = error.status == DmaStatus.POISONED
            self._halt(Chanerr.DESC_INTEGRITY if is_poisoned else Chanerr.NEXT_ADDR)
            return None

    def _reread(self) -> int:
        raw = self._read_descriptor(self.last)
        if raw is None:
            return 0
        self._must_reread, self._next = False, CopyDescriptor.unpack(raw).next
        return len(raw)

    def _fetch(self) -> int:
        self.current = self._next
        if self._next % CopyDescriptor.SIZE:
            self._halt(Chanerr.NEXT_ALIGN if self._has_fetched else Chanerr.CHAIN_ADDR)
            return 0
        raw = self._read_descriptor(self._next)
        if raw is None:
            return 0
        descriptor = CopyDescriptor.unpack(raw)
        try:
            check_control(descriptor, int.from_bytes(raw[:8], "little"))
            check_length(descriptor, self._most)
        except Refused as refused:
            self._halt(refused.bit)
            return len(raw)
        self.hand = Hand(self._next, descriptor)
        self._next, self._has_fetched = descriptor.next, True
        self._begin(self.hand)
        return len(raw)

    def _begin(self, hand: Hand) -> None:
        if is_empty(hand.descriptor):
            self._process(hand)

    def _move(self, hand: Hand) -> int:
        count, source = hand.piece, hand.source
        try:
            data = (
                hand.pattern(count) if source is None else self._memory.read(source, count, DmaPurpose.DATA)
            )
        except BusError as error:
            self.fail(READ_ERRORS.get(error.status, Chanerr.SRC_ADDR))
            return 0
        try:
            self._memory.write(hand.destination, data, DmaPurpose.DATA)
        except BusError as error:
            self.fail(WRITE_ERRORS.get(error.status, Chanerr.WRITE_DATA))
            return count if source is not None else 0
        hand.moved += count
        if hand.moved == hand.descriptor.size:
            self._process(hand)
        return count if source is None else 2 * count

    def _process(self, hand: Hand) -> None:
        hand.is_processed = True
        self._count_processed(hand.addr)
        if not hand.descriptor.compl_write and not hand.descriptor.int_en:
            self._finish()

    def _count_processed(self, addr: int) -> None:
        self.last = addr
        self._done = (self._done + 1) % COUNTS

    def _complete(self, hand: Hand) -> int:
        written = 0
        if hand.descriptor.compl_write:
            state = ChanStatus.ACTIVE if self.left else ChanStatus.DONE
            if not self._write_completion(ChanStatus.SUSPENDED if self._wants_suspend else state):
                self.fail(Chanerr.CMPL_ADDR)
                return 0
            written = 8
        if hand.descriptor.int_en:
            self._interrupt()
        self._finish()
        return written

    def _write_completion(self, state: ChanStatus) -> bool:
        try:
            word = self._status(state).to_bytes(8, "little")
            self._memory.write(self.completion, word, DmaPurpose.COMPLETION)
        except BusError:
            return False
        return True

    def _finish(self) -> None:
        wants_suspend = self._wants_suspend
        if self._has_new_chain:
            self._arm()
        self._drop()
        self.is_suspended = wants_suspend

    # -- errors ----------------------------------------------------------------------------------------------

    def _halt(self, bit: int) -> None:
        """The next descriptor cannot be had."""
        self.fail(bit)

    def fail(self, bit: int) -> None:
        """Halt with an error, and drop what is at hand."""
        earlier = self._report or Report(False, False)
        self.note(bit)
        self.is_halted, self.is_suspended = True, False
        self._drop()
        completion = bool(self.ctrl & Chanctrl.ERR_COMPLETION_EN) and bit != Chanerr.CMPL_ADDR
        report = Report(completion or earlier.completion, self._interrupts(bit) or earlier.interrupt)
        self._report = report if report.completion or report.interrupt else None

    def _interrupts(self, bit: int) -> bool:
        return bool(self.ctrl & Chanctrl.ERR_INT_EN) and not bit & self.mask

    def note(self, bit: int) -> None:
        """Set a bit of CHANERR."""
        self.errors |= bit
        if bit & ~self.mask:
            self._log(bit)

    def _tell(self, report: Report) -> int:
        self._report = None
        written, interrupts = 0, report.interrupt
        if report.completion:
            if self._write_completion(ChanStatus.HALTED):
                written = 8
            else:
                self.note(Chanerr.CMPL_ADDR)
                interrupts |= self._interrupts(Chanerr.CMPL_ADDR)
        if interrupts:
            self._interrupt()
        return written
