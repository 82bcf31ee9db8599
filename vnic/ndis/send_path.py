"""Sends: from an originator through MiniportSendNetBufferLists and back, each completed once and rightly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vnic.ndis.ledger import Fingerprint, Ledger
from vnic.ndis.miniport import Miniport, SendCompleteFlag, SendFlag
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList, link
from vnic.ndis.offload import Offload
from vnic.ndis.oob import LargeSend, LargeSendType, Slot, TransmitChecksum
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import Call, Verifier


class Originator(Protocol):
    """Who sends: a binding, or a test that injects below the protocols."""

    @property
    def driver(self) -> object:
        """The driver that owns the NBLs."""

    def on_sends_complete(self, chain: NetBufferList, flags: SendCompleteFlag) -> None:
        """Its NBLs are back."""


@dataclass(slots=True)
class Send:
    """One NBL that the miniport has."""

    originator: Originator
    fingerprint: Fingerprint
    state: AdapterState
    is_low_power: bool
    cancel_id: object
    large_send: LargeSend | None
    payload_bytes: int
    #: The call by which it came.
    since: Call | None
    is_cancelled: bool = False


class SendPath:
    """The sends of one adapter; `state`, `is_low_power` and `offload` are kept up to date by the adapter."""

    def __init__(self, verifier: Verifier, miniport: Miniport) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._ledger: Ledger[Send] = Ledger()
        self.state = AdapterState.HALTED
        self.is_low_power = False
        self.offload: Offload | None = None
        self.completed = 0

    def outstanding(self, originator: Originator | None = None) -> int:
        """How many NBLs the miniport has, of all or of one originator."""
        if originator is None:
            return len(self._ledger)
        return sum(send.originator is originator for send in self._ledger.records())

    def away(self) -> list[tuple[NetBufferList, Send]]:
        """The NBLs that the miniport has, oldest first."""
        return self._ledger.items()

    # -- down ----------------------------------------------------------------------------------------------

    def submit(self, originator: Originator, chain: NetBufferList | None, port: int = 0) -> None:
        """Hand a chain to the miniport; an adapter that is not there completes it ADAPTER_NOT_READY."""
        nbls = self._verifier.walk(chain, originator.driver)
        if not nbls:
            return
        for nbl in nbls:
            self._check_owned(originator, nbl)
        if self.state in (AdapterState.HALTED, AdapterState.SHUTDOWN, AdapterState.INITIALIZING):
            for nbl in nbls:
                nbl.status = NDIS_STATUS.ADAPTER_NOT_READY
            self._deliver(originator, nbls)
            return
        for nbl in nbls:
            self._ledger.open(nbl, self._record(originator, nbl))
            self._verifier.give(nbl, self._miniport)
        flags = SendFlag(self._verifier.dispatch_flag)
        with self._verifier.entering(self._miniport, "MiniportSendNetBufferLists", f"{len(nbls)} NBLs"):
            self._miniport.send_net_buffer_lists(nbls[0], port, flags)

    def _check_owned(self, originator: Originator, nbl: NetBufferList) -> None:
        is_own = nbl.custodian is None or nbl.holder is originator.driver
        message = "a NET_BUFFER_LIST that is not its own, or still being sent"
        self._verifier.require(is_own, "PSEND-1", originator.driver, message)

    def _record(self, originator: Originator, nbl: NetBufferList) -> Send:
        try:
            fingerprint = Fingerprint.of(nbl, self._verifier.verify_data)
        except NetBufferError as error:
            raise self._verifier.breach("NBL-2", originator.driver, str(error)) from None
        self._verifier.require(
            bool(fingerprint.buffers), "NBL-2", originator.driver, "an NBL without NET_BUFFER"
        )
        value = nbl.info(Slot.TCP_LARGE_SEND)
        large_send = LargeSend.of(value) if value else None
        if large_send is not None and not large_send.mss:
            large_send = None
        payload = tcp_payload_bytes(nbl, large_send) if large_send is not None else 0
        return Send(
            originator,
            fingerprint,
            self.state,
            self.is_low_power,
            nbl.cancel_id,
            large_send,
            payload,
            self._verifier.last_call,
        )

    def cancel(self, cancel_id: object) -> None:
        """Pass a cancellation on; from now on SEND_ABORTED is a fair answer for these."""
        for send in self._ledger.records():
            if send.cancel_id is not None and send.cancel_id == cancel_id:
                send.is_cancelled = True
        with self._verifier.entering(self._miniport, "MiniportCancelSend", repr(cancel_id)):
            self._miniport.cancel_send(cancel_id)

    # -- and back ------------------------------------------------------------------------------------------

    def complete(self, chain: NetBufferList | None) -> None:
        """The miniport gives sends back; each goes to its originator, in the order given."""
        nbls = self._verifier.walk(chain, self._miniport)
        groups: list[tuple[Originator, list[NetBufferList]]] = []
        for nbl in nbls:
            send = self._take(nbl)
            self._check_status(send, nbl)
            self._check_unchanged(send, nbl)
            self._check_large_send(send, nbl)
            if not groups or groups[-1][0] is not send.originator:
                groups.append((send.originator, []))
            groups[-1][1].append(nbl)
        for originator, group in groups:
            self._deliver(originator, group)

    def _deliver(self, originator: Originator, nbls: list[NetBufferList]) -> None:
        self.completed += len(nbls)
        head = link(nbls)
        for nbl in nbls:
            self._verifier.give(nbl, originator.driver)
        assert head is not None
        originator.on_sends_complete(head, SendCompleteFlag(self._verifier.dispatch_flag))

    def _take(self, nbl: NetBufferList) -> Send:
        send = self._ledger.close(nbl)
        if send is None:
            if self._ledger.was_closed(nbl):
                raise self._verifier.breach("SEND-2", self._miniport, "a send was completed twice")
            raise self._verifier.breach("SEND-1", self._miniport, "an NBL that was never sent was completed")
        return send

    def _check_status(self, send: Send, nbl: NetBufferList) -> None:
        require, miniport, status = self._verifier.require, self._miniport, nbl.status
        require(status != NDIS_STATUS.PENDING, "SEND-4", miniport, "completed with PENDING")
        if send.is_low_power:
            require(
                status == NDIS_STATUS.LOW_POWER_STATE,
                "SEND-6",
                miniport,
                f"sent in low power, completed {status!s}",
            )
        elif send.state in (AdapterState.PAUSED, AdapterState.PAUSING):
            text = f"sent while {send.state.value}, completed {status!s}"
            require(status == NDIS_STATUS.PAUSED, "SEND-3", miniport, text)
        if status == NDIS_STATUS.SEND_ABORTED:
            require(send.is_cancelled, "SEND-7", miniport, f"cancel id {send.cancel_id!r} was not cancelled")

    def _check_unchanged(self, send: Send, nbl: NetBufferList) -> None:
        try:
            now = Fingerprint.of(nbl, self._verifier.verify_data)
        except NetBufferError as error:
            raise self._verifier.breach("NBL-2", self._miniport, str(error)) from None
        text = "NET_BUFFERs, their data start or their bytes changed while the send was out"
        self._verifier.require(now == send.fingerprint, "SEND-5", self._miniport, text)

    def _check_large_send(self, send: Send, nbl: NetBufferList) -> None:
        wanted = send.large_send
        if wanted is None or nbl.status != NDIS_STATUS.SUCCESS:
            return
        value = nbl.info(Slot.TCP_LARGE_SEND)
        if wanted.type is LargeSendType.V1:
            text = f"TcpPayload {value & 0x3FFFFFFF}, sent {send.payload_bytes}"
            is_right = value == wanted.completed(send.payload_bytes)
        else:
            text = f"0x{value:08X} is not the completed form of LSOv2"
            is_right = value == wanted.completed(send.payload_bytes)
        self._verifier.require(is_right, "LSO-1", self._miniport, text)


def tcp_payload_bytes(nbl: NetBufferList, large_send: LargeSend) -> int:
    """TCP payload of a large send's one NET_BUFFER; 0 when its TCP header is not there."""
    buffer = nbl.first_net_buffer
    at = large_send.tcp_header_offset
    if buffer is None or buffer.data_length < at + 20:
        return 0
    header = (buffer.data(at + 12, 1)[0] >> 4) * 4
    return max(buffer.data_length - at - header, 0)


def offload_faults(nbl: NetBufferList, config: Offload) -> list[str]:
    """What an NBL asks for that the current configuration does not have."""
    checksum, large_send = nbl.info(Slot.TCP_IP_CHECKSUM), nbl.info(Slot.TCP_LARGE_SEND)
    faults = _checksum_faults(TransmitChecksum.of(checksum), config) if checksum else []
    return faults + (_large_send_faults(nbl, LargeSend.of(large_send), config) if large_send else [])


def _checksum_faults(asked: TransmitChecksum, config: Offload) -> list[str]:
    can = config.ipv6_transmit if asked.is_ipv6 else config.ipv4_transmit
    version = "IPv6" if asked.is_ipv6 else "IPv4"
    checks = (
        (f"TCP checksum over {version}", asked.tcp and not can.tcp_checksum),
        (f"UDP checksum over {version}", asked.udp and not can.udp_checksum),
        ("IP header checksum", asked.ip_header and not (can.ip_checksum and asked.is_ipv4)),
        ("TCP and UDP checksum at once", asked.tcp and asked.udp),
        ("IPv4 and IPv6 at once", asked.is_ipv4 and asked.is_ipv6),
        (
            "a checksum without an IP version",
            (asked.tcp or asked.udp or asked.ip_header) and not (asked.is_ipv4 or asked.is_ipv6),
        ),
    )
    return [text for text, is_so in checks if is_so]


def _large_send_faults(nbl: NetBufferList, asked: LargeSend, config: Offload) -> list[str]:
    if not asked.mss:
        return []
    if asked.type is LargeSendType.V1:
        name, most, least = "LSOv1", config.lso_v1.max_offload_size, config.lso_v1.min_segment_count
    elif asked.is_ipv6:
        name, most, least = (
            "LSOv2 over IPv6",
            config.lso_v2.ipv6_max_offload_size,
            config.lso_v2.ipv6_min_segment_count,
        )
    else:
        name, most, least = (
            "LSOv2 over IPv4",
            config.lso_v2.ipv4_max_offload_size,
            config.lso_v2.ipv4_min_segment_count,
        )
    if not most:
        return [f"{name} is not enabled"]
    payload = tcp_payload_bytes(nbl, asked)
    segments = -(-payload // asked.mss)
    checks = (
        (f"{name} of {payload} bytes, {most} at most", payload > most),
        (f"{name} in {segments} segments, {least} at least", segments < least),
        (
            f"{name} with {sum(1 for _ in nbl.net_buffers())} NET_BUFFERs",
            sum(1 for _ in nbl.net_buffers()) != 1,
        ),
    )
    return [text for text, is_so in checks if is_so]
