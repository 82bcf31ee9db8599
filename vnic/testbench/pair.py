"""One queue pair as the smallest driver runs it: three rings in guest memory, frames out and frames in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING

from vnic.gen.descriptors import RxCompletion, RxDesc, TxCompletion, TxContext, TxData
from vnic.gen.enums import CompletionType, DescType, RingError
from vnic.gen.model import Register
from vnic.gen.registers import BAR0

if TYPE_CHECKING:
    from vnic.testbench.rig import Rig

UNTOUCHED = 0xEE  # what receive buffers hold until the card writes them

_WORD = Struct("<Q")
_SLOT = RxCompletion.SIZE
Completion = RxCompletion | TxCompletion


class RigError(Exception):
    """The card refused a step of the bring-up."""


@dataclass
class Received:
    """A frame put together from its completions (PROG-14)."""

    parts: list[RxCompletion] = field(default_factory=list)
    header: bytes = b""
    payload: bytes = b""

    @property
    def data(self) -> bytes:
        """The whole frame."""
        return self.header + self.payload

    @property
    def first(self) -> RxCompletion:
        """The completion of its first buffer."""
        return self.parts[0]


class Pair:
    """One queue pair: its three rings in guest memory and where the driver is in each."""

    def __init__(self, rig: Rig, number: int) -> None:
        self.rig = rig
        self.number = number
        memory = rig.memory
        self.rx_memory = memory.alloc(rig.rx_count * RxDesc.SIZE, align=64)
        self.tx_memory = memory.alloc(rig.tx_count * TxData.SIZE, align=64)
        self.cq_memory = memory.alloc(rig.cq_count * _SLOT, align=64)
        self.buffers = memory.alloc(rig.rx_count * rig.buf_len, align=64)
        self.headers = memory.alloc(rig.rx_count * rig.hdr_len, align=64)
        self.rx_tail = self.tx_tail = self.cq_index = 0
        self.generation = 1
        self.posted: dict[int, tuple[int, int]] = {}
        self._open: Received | None = None

    # -- registers -------------------------------------------------------------------------------------------

    def get(self, register: Register) -> int:
        """A register of this pair."""
        return self.rig.get(register, self.number)

    def put(self, register: Register, value: int) -> None:
        """Write a register of this pair."""
        self.rig.put(register, value, self.number)

    def error(self, status: Register) -> RingError:
        """Why a ring stopped."""
        return RingError(status.field("ERROR").get(self.get(status)))

    # -- start and stop --------------------------------------------------------------------------------------

    def start(self) -> None:
        """All three rings, every completion slot given to the card; no receive descriptors yet."""
        self.start_cq()
        self.start_rx()
        self.start_tx()

    def start_cq(self) -> None:
        """PROG-8."""
        self.cq_memory.view[:] = bytes(len(self.cq_memory))
        self.cq_index, self.generation, self._open = 0, 1, None
        self.put(BAR0.QP_CQ_BASE, self.cq_memory.address)
        self.put(BAR0.QP_CQ_COUNT, self.rig.cq_count)
        self.put(BAR0.QP_CQ_VECTOR, self.number % self.rig.vectors)
        self._enable(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_STATUS)
        self.put(BAR0.QP_CQ_TAIL, self.rig.cq_count - 1)

    def start_rx(self) -> None:
        """PROG-9, without descriptors."""
        self.rx_tail = 0
        self.posted.clear()
        self.put(BAR0.QP_RX_BASE, self.rx_memory.address)
        self.put(BAR0.QP_RX_COUNT, self.rig.rx_count)
        self.put(BAR0.QP_RX_BUF_LEN, self.rig.buf_len)
        self.put(BAR0.QP_RX_HDR_LEN, self.rig.hdr_len)
        self._enable(BAR0.QP_RX_CTRL, BAR0.QP_RX_STATUS)

    def start_tx(self) -> None:
        """PROG-10."""
        self.tx_tail = 0
        self.put(BAR0.QP_TX_BASE, self.tx_memory.address)
        self.put(BAR0.QP_TX_COUNT, self.rig.tx_count)
        self._enable(BAR0.QP_TX_CTRL, BAR0.QP_TX_STATUS)

    def reset(self) -> None:
        """PROG-22, up to starting again."""
        self.put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1))

    def _enable(self, control: Register, status: Register) -> None:
        self.put(control, control.encode(ENABLE=1))
        if not self.get(control) & control.field("ENABLE").mask:
            raise RigError(f"{control} of pair {self.number}: {self.error(status).name}")

    # -- receive ---------------------------------------------------------------------------------------------

    def post_rx(self, count: int = 1, buffers: Sequence[int] | None = None) -> None:
        """Hand descriptors over with one doorbell: the pair's own buffers, or those at bus addresses."""
        for n in range(count):
            index = self.rx_tail
            own = self.buffers.address + index * self.rig.buf_len
            data = own if buffers is None else buffers[n]
            header = self.headers.address + index * self.rig.hdr_len
            if buffers is None:
                self.rig.memory.write(data, bytes([UNTOUCHED]) * self.rig.buf_len)
            self.rig.memory.write(header, bytes([UNTOUCHED]) * self.rig.hdr_len)
            offset = index * RxDesc.SIZE
            self.rx_memory.view[offset : offset + RxDesc.SIZE] = RxDesc(data, header).pack()
            self.posted[index] = (data, header)
            self.rx_tail = (index + 1) % self.rig.rx_count
        self.put(BAR0.QP_RX_TAIL, self.rx_tail)

    def take(self) -> list[Received]:
        """Poll, and the frames that are whole now; transmit completions are passed over."""
        return self.assemble(entry for entry in self.poll() if isinstance(entry, RxCompletion))

    def assemble(self, entries: Iterable[RxCompletion]) -> list[Received]:
        """Frames out of receive completions; one still open is kept for the next call."""
        whole: list[Received] = []
        for entry in entries:
            frame = self._open or Received()
            data, header = self.posted.pop(entry.index)
            frame.parts.append(entry)
            frame.header += self.rig.peek(header, entry.hdr_len)
            frame.payload += self.rig.peek(data, entry.len)
            self._open = None if entry.eop else frame
            if entry.eop:
                whole.append(frame)
        return whole

    # -- transmit --------------------------------------------------------------------------------------------

    def send(
        self,
        frame: bytes,
        *,
        cuts: Sequence[int] = (),
        report: bool = True,
        ring: bool = True,
        **context: int,
    ) -> None:
        """A frame, cut into descriptors of the given lengths; offloads by the context's field names."""
        data = [TxData(self.rig.stage(piece), len(piece), DescType.DATA) for piece in _cut(frame, cuts)]
        data[-1].eop, data[-1].rs = 1, int(report)
        head = [TxContext(type=DescType.CONTEXT, **context).pack()] if context else []
        self.send_raw([*head, *(descriptor.pack() for descriptor in data)], ring=ring)

    def piece(self, content: bytes, *, eop: int = 1, rs: int = 0, **fields: int) -> bytes:
        """A data descriptor of bytes that are put into transmit memory; fields given replace its own."""
        given = {"addr": self.rig.stage(content), "len": len(content), "type": DescType.DATA} | fields
        return TxData(**given, eop=eop, rs=rs).pack()

    def send_raw(self, descriptors: Iterable[bytes], *, ring: bool = True) -> None:
        """Descriptors as they are."""
        for packed in descriptors:
            offset = self.tx_tail * TxData.SIZE
            self.tx_memory.view[offset : offset + TxData.SIZE] = packed
            self.tx_tail = (self.tx_tail + 1) % self.rig.tx_count
        if ring:
            self.ring_tx()

    def ring_tx(self) -> None:
        """The transmit doorbell."""
        self.put(BAR0.QP_TX_TAIL, self.tx_tail)

    def reports(self) -> list[TxCompletion]:
        """Poll, and the transmit completions; receive completions are passed over."""
        return [entry for entry in self.poll() if isinstance(entry, TxCompletion)]

    # -- completions -----------------------------------------------------------------------------------------

    def poll(self, *, give_back: bool = True) -> list[Completion]:
        """PROG-13: what the card wrote since the last call."""
        entries: list[Completion] = []
        while (word := self._word(3)) >> 63 == self.generation and len(entries) < self.rig.cq_count:
            kind = TxCompletion if word & 0xF == CompletionType.TX else RxCompletion
            entries.append(kind.unpack(self.cq_memory.view, self.cq_index * _SLOT))
            self.cq_index += 1
            if self.cq_index == self.rig.cq_count:
                self.cq_index, self.generation = 0, 1 - self.generation
        if entries and give_back:
            self.give_back()
        return entries

    def give_back(self) -> None:
        """Every slot that was read."""
        self.put(BAR0.QP_CQ_TAIL, (self.cq_index - 1) % self.rig.cq_count)

    def _word(self, number: int) -> int:
        word: int = _WORD.unpack_from(self.cq_memory.view, self.cq_index * _SLOT + 8 * number)[0]
        return word


def _cut(frame: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Pieces of the given lengths, as far as they go, and the rest; none is empty unless the frame is."""
    pieces, at = [], 0
    for length in cuts:
        pieces.append(frame[at : at + length])
        at += length
    return [piece for piece in (*pieces, frame[at:]) if piece] or [b""]
