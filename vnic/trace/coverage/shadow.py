"""The shadow of an offloaded connection: its state, as far as segments and commands tell it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from vnic.gen.descriptors import ChmTcp
from vnic.trace.report.connections import Segment
from vnic.trace.report.half import ACK, FIN, RST, SYN

_URG: Final = 0x20
_HALF: Final = 1 << 31
_MODULO: Final = (1 << 32) - 1


class State(Enum):
    """Rows of the matrix: RFC 9293's states of a connection that has one, and the two that silence it."""

    ESTABLISHED = 4
    FIN_WAIT1 = 5
    FIN_WAIT2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10
    INVALIDATED = 11
    RETRIEVED = 12


class Came(Enum):
    """What comes in by the wire: what a segment is, first of these in their order."""

    RST = "RST"
    SYN = "SYN"
    URG = "URG"
    FIN = "FIN"
    DATA = "DATA"
    GAP = "GAP"
    OLD = "OLD"
    SACK = "SACK"
    ZERO_WINDOW = "ZERO_WINDOW"
    ACK = "ACK"
    DUPLICATE = "DUPLICATE"


def is_before(first: int, second: int) -> bool:
    """Sequence arithmetic of RFC 9293 3.4."""
    return first != second and (second - first) & _MODULO < _HALF


@dataclass
class Shadow:
    """From its image on; `fin` is the sequence number behind our FIN, once it was sent."""

    state: State
    rcv_nxt: int
    snd_una: int
    snd_max: int
    fin: int | None = None
    is_last: bool = False

    @classmethod
    def of(cls, image: ChmTcp) -> Shadow:
        """As CREATE's image describes it; what cannot be offloaded is taken as ESTABLISHED."""
        known = image.state in range(State.ESTABLISHED.value, State.TIME_WAIT.value)
        shadow = cls(
            State(image.state) if known else State.ESTABLISHED, image.rcv_nxt, image.snd_una, image.snd_max
        )
        if shadow.state in (State.FIN_WAIT1, State.CLOSING, State.LAST_ACK):
            shadow.fin = image.snd_max
        shadow.is_last = shadow.state is State.LAST_ACK
        return shadow

    @property
    def is_silent(self) -> bool:
        """Whether segments no longer change it."""
        return self.state in (State.INVALIDATED, State.RETRIEVED)

    def kind_of(self, segment: Segment) -> Came:
        """What a segment from the peer is to it."""
        for flag, came in ((RST, Came.RST), (SYN, Came.SYN), (_URG, Came.URG), (FIN, Came.FIN)):
            if segment.flags & flag:
                return came
        if segment.length:
            if segment.seq == self.rcv_nxt:
                return Came.DATA
            return Came.OLD if is_before(segment.seq, self.rcv_nxt) else Came.GAP
        if segment.sacks:
            return Came.SACK
        if segment.window == 0:
            return Came.ZERO_WINDOW
        return Came.ACK if is_before(self.snd_una, segment.ack) else Came.DUPLICATE

    def receive(self, segment: Segment) -> None:
        """A segment of the peer that reached the card."""
        if self.is_silent or not segment.flags & ACK or segment.flags & (RST | SYN):
            return
        if is_before(self.snd_una, segment.ack) and not is_before(self.snd_max, segment.ack):
            self.snd_una = segment.ack
            if self.fin is not None and not is_before(segment.ack, self.fin):
                self._on_fin_acknowledged()

    def _on_fin_acknowledged(self) -> None:
        following = {State.FIN_WAIT1: State.FIN_WAIT2, State.CLOSING: State.TIME_WAIT}
        self.state = following.get(self.state, State.TIME_WAIT if self.is_last else self.state)

    def take_fin(self) -> None:
        """The peer's FIN was accepted: its acknowledgement left, or the card says so."""
        following = {
            State.ESTABLISHED: State.CLOSE_WAIT,
            State.FIN_WAIT1: State.CLOSING,
            State.FIN_WAIT2: State.TIME_WAIT,
        }
        self.state = following.get(self.state, self.state)

    def send(self, segment: Segment) -> bool:
        """A segment of ours left; whether it is a retransmission of data or of the FIN."""
        fin = bool(segment.flags & FIN)
        end = (segment.seq + segment.length + fin) & _MODULO
        again = end != segment.seq and not is_before(self.snd_max, end)
        if is_before(self.snd_max, end):
            self.snd_max = end
        if segment.flags & ACK and is_before(self.rcv_nxt, segment.ack):
            self.rcv_nxt = segment.ack
        if fin and self.fin is None:
            self.fin = end
            self.is_last = self.state is State.CLOSE_WAIT
            following = {State.ESTABLISHED: State.FIN_WAIT1, State.CLOSE_WAIT: State.LAST_ACK}
            self.state = following.get(self.state, self.state)
        return again
