"""What an offloaded connection's numbers have to add up to: the bytes that its completions told of."""

from __future__ import annotations

from vnic.ndis.chimney import TCP_OFFLOAD_CONNECTION_STATE, TCP_OFFLOAD_STATE_DELEGATED

_MODULUS = 1 << 32
_STATE = TCP_OFFLOAD_CONNECTION_STATE
#: The host's FIN is queued or in flight; the peer's has not come.
_OWN_FIN = (_STATE.FIN_WAIT1, _STATE.CLOSING, _STATE.LAST_ACK)
_PEER_OPEN = (_STATE.ESTABLISHED, _STATE.FIN_WAIT1, _STATE.FIN_WAIT2)


class Account:
    """Opened with DELEGATED of the initiate.

    `given`: bytes of sends and disconnects; `acked`: those that were reported transferred; `arrived`: bytes
    that the card placed or gave to the pool. `is_void`: an abort leaves sequence numbers that mean nothing.
    `is_half_closed`: one of the ends has closed, or had before.
    """

    __slots__ = (
        *("_has_fin", "_rcv_nxt", "_snd_una", "_state"),
        *("acked", "arrived", "given", "is_half_closed", "is_void"),
    )

    def __init__(self) -> None:
        self._state = _STATE.ESTABLISHED
        self._snd_una = self._rcv_nxt = 0
        self._has_fin = self.is_void = self.is_half_closed = False
        self.given = self.acked = self.arrived = 0

    def open(self, state: TCP_OFFLOAD_STATE_DELEGATED) -> None:
        """The connection begins here."""
        self._state, self._snd_una, self._rcv_nxt = state.State, state.SndUna, state.RcvNxt
        self._has_fin = state.State in _OWN_FIN
        self.is_half_closed = state.State is not _STATE.ESTABLISHED

    def disconnect(self, length: int, is_abortive: bool) -> None:
        """The host closes, with so many bytes before its FIN."""
        self.given += length
        self._has_fin = self.is_half_closed = True
        self.is_void |= is_abortive

    def fits(self, state: TCP_OFFLOAD_STATE_DELEGATED, acked: int, placed: int) -> bool:
        """Whether DELEGATED can be, with so many bytes more acknowledged and placed. [INV-18] to [INV-20]"""
        return self.is_void or (self._fits_sent(state, acked) and self._fits_received(state, placed))

    def _fits_sent(self, state: TCP_OFFLOAD_STATE_DELEGATED, acked: int) -> bool:
        acked += self.acked
        fin = (state.SndUna - self._snd_una - acked) % _MODULUS
        in_flight = (state.SndMax - state.SndUna) % _MODULUS
        return fin <= self._has_fin and in_flight <= self.given - acked + self._has_fin

    def _fits_received(self, state: TCP_OFFLOAD_STATE_DELEGATED, placed: int) -> bool:
        may_have_fin = self._state in _PEER_OPEN and state.State not in _PEER_OPEN
        fin = (state.RcvNxt - self._rcv_nxt - self.arrived - placed) % _MODULUS
        return fin <= may_have_fin
