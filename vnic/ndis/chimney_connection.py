"""An offloaded TCP connection as the border sees it: its sends, its receives, its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vnic.ndis.chimney import TCP_OFFLOAD_CONNECTION_STATE, TCP_OFFLOAD_STATE_DELEGATED
from vnic.ndis.chimney_close import CloseWatch
from vnic.ndis.chimney_receive import ReceiveWatch
from vnic.ndis.chimney_send import SendWatch
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_objects import OffloadObject
    from vnic.ndis.verifier import Verifier

_STATE = TCP_OFFLOAD_CONNECTION_STATE
#: Offloaded in one of these, the connection's FIN is sent and may be unacknowledged.
_FIN_SENT = (_STATE.FIN_WAIT1, _STATE.CLOSING, _STATE.LAST_ACK)
#: ... and in these the peer's FIN has not come.
_PEER_OPEN = (_STATE.ESTABLISHED, _STATE.FIN_WAIT1, _STATE.FIN_WAIT2)
_HALF_CLOSED = (_STATE.FIN_WAIT1, _STATE.FIN_WAIT2, _STATE.CLOSE_WAIT)

#: Statuses of each kind of request, besides SUCCESS.
_ENDED = (NDIS_STATUS.UPLOAD_IN_PROGRESS, NDIS_STATUS.REQUEST_ABORTED)


class Connection:
    """Made at initiate from the delegated state; the same rules hold until terminate is complete."""

    def __init__(
        self,
        verifier: Verifier,
        miniport: object,
        subject: OffloadObject,
        delegated: TCP_OFFLOAD_STATE_DELEGATED,
    ) -> None:
        self.verifier = verifier
        self.miniport = miniport
        self.subject = subject
        self.state = delegated.State
        self.snd_una, self.rcv_nxt = delegated.SndUna, delegated.RcvNxt
        self.sends = SendWatch(self)
        self.receives = ReceiveWatch(self)
        self.close = CloseWatch(self)
        self.indicating = 0
        self._inside: dict[str, int] = {}

    @property
    def protocol(self) -> object:
        """The driver that offloaded it."""
        return self.subject.binding.protocol

    def require(self, condition: bool, rule_id: str, driver: object, message: str) -> None:
        """Raise the breach of a rule, with this connection's calls, unless `condition` holds."""
        if not condition:
            raise self.verifier.breach(rule_id, driver, f"{self.subject}: {message}", self.subject.calls)

    @contextmanager
    def serialized(self, function: str) -> Iterator[None]:
        """A call of the protocol: no other processor is inside the same one; a completion within may be."""
        depth = self.verifier.processors.depth
        outer = self._inside.get(function)
        text = f"{function} while another processor is inside it"
        self.require(outer is None or outer >= depth, "CHIM-20", self.protocol, text)
        self._inside[function] = depth
        try:
            yield
        finally:
            if outer is None:
                del self._inside[function]
            else:
                self._inside[function] = outer

    def check_nobody_inside(self) -> None:
        """Before a terminate: the calls of the protocol have returned."""
        depth = self.verifier.processors.depth
        inside = [name for name, at in self._inside.items() if at < depth]
        self.require(not inside, "CHIM-8", self.protocol, f"terminated while inside {', '.join(inside)}")

    @contextmanager
    def indication(self) -> Iterator[None]:
        """An indication is in progress."""
        self.indicating += 1
        try:
            yield
        finally:
            self.indicating -= 1

    def check_announced(self, what: str) -> None:
        """Nothing is indicated before the completion of the initiate has returned."""
        is_announced = self.subject.is_announced
        text = f"{what} before NdisMInitiateOffloadComplete returned"
        self.require(is_announced, "INV-6", self.miniport, text)

    def check_status(self, what: str, status: NDIS_STATUS, *more: NDIS_STATUS) -> None:
        """A request ended with a status that it can have; after an abort there is one only."""
        is_one = status == NDIS_STATUS.SUCCESS or status in _ENDED or status in more
        self.require(is_one, "CHIM-22", self.miniport, f"{what} completed with {status!s}")
        aborted = self.close.aborted
        if aborted is not None and self.verifier.must_know(aborted):
            text = f"{what} completed with {status!s} after Abort was indicated"
            self.require(status != NDIS_STATUS.SUCCESS, "INV-30", self.miniport, text)

    @property
    def is_half_closed(self) -> bool:
        """Whether one direction has ended: what bars a target from optional upload requests (C1)."""
        return self.state in _HALF_CLOSED or self.close.is_half_closed

    # -- the end -------------------------------------------------------------------------------------------

    def check_nothing_outstanding(self) -> None:
        """What a complete terminate leaves behind, the sends that it chains apart."""
        left = {
            "receives": len(self.receives.posts),
            "disconnects": len(self.close.disconnects),
            "forwarded segments": len(self.close.forwards),
            "indications in progress": self.indicating,
        }
        text = ", ".join(f"{count} {what}" for what, count in left.items() if count)
        self.require(not text, "INV-37", self.miniport, f"terminate completed with {text}")

    def check_sequence(self, state: TCP_OFFLOAD_STATE_DELEGATED) -> None:
        """The sequence space at upload against the bytes that crossed the border."""
        self.check_order(state, self.miniport)
        if self.close.aborted is not None or self.close.is_abortive:
            return
        self._check_sent(state)
        self._check_received(state)

    def check_order(self, state: TCP_OFFLOAD_STATE_DELEGATED, driver: object) -> None:
        """SndUna <= SndNxt <= SndMax, modulo 2^32."""
        nxt, top = (state.SndNxt - state.SndUna) & 0xFFFFFFFF, (state.SndMax - state.SndUna) & 0xFFFFFFFF
        text = f"SndUna {state.SndUna}, SndNxt {state.SndNxt}, SndMax {state.SndMax}"
        self.require(nxt <= top < 1 << 31, "INV-14", driver, text)

    def _check_sent(self, state: TCP_OFFLOAD_STATE_DELEGATED) -> None:
        moved = (state.SndUna - self.snd_una) & 0xFFFFFFFF
        acked = self.sends.acked + self.close.acked
        may_have_fin = self.state in _FIN_SENT or self.close.is_graceful
        is_right = (moved - acked) & 0xFFFFFFFF in (0, int(may_have_fin))
        text = f"SndUna moved by {moved}, {acked} bytes were reported transferred"
        self.require(is_right, "INV-18", self.miniport, text)
        left = self.sends.returned + self.close.returned
        sent = (state.SndMax - state.SndUna) & 0xFFFFFFFF
        text = f"SndMax is {sent} beyond SndUna, {left} bytes come back"
        self.require(sent <= left + may_have_fin, "INV-19", self.miniport, text)

    def _check_received(self, state: TCP_OFFLOAD_STATE_DELEGATED) -> None:
        moved = (state.RcvNxt - self.rcv_nxt) & 0xFFFFFFFF
        receives = self.receives
        arrived = receives.buffered_in + moved
        left = receives.delivered + receives.buffered_out
        may_have_fin = self.state in _PEER_OPEN and state.State not in _PEER_OPEN
        is_right = (arrived - left) & 0xFFFFFFFF in (0, int(may_have_fin))
        text = (
            f"{receives.buffered_in} bytes of BufferedData and {moved} of RcvNxt came,"
            f" {receives.delivered} were delivered, {receives.buffered_out} come back"
        )
        self.require(is_right, "INV-20", self.miniport, text)
