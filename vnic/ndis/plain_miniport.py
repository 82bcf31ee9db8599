"""A miniport with NDIS's books kept: a driver of a simple card derives from it and adds registers and rings.

Sends wait here until the ring has room and are completed in order; receives are counted while protocols have
them; a pause pends until both are back; requests are answered from tables. No rule is bent for it: the NDIS
layer checks what comes out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar

from vnic.errors import AllocationError, CapacityError, UnknownError
from vnic.host.bus import Bus, Coherent, InterruptKind
from vnic.host.cpu import SpinLock
from vnic.host.memory import GuestMemory
from vnic.ndis.attributes import (
    AttributeFlag,
    GeneralAttributes,
    HaltAction,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
from vnic.ndis.keywords import Settings
from vnic.ndis.miniport import (
    InitParameters,
    InterruptCharacteristics,
    InterruptHandle,
    InterruptResult,
    Miniport,
    MiniportHandle,
    NdisFailure,
    ReceiveFlag,
    ResetResult,
    ReturnFlag,
    SendFlag,
)
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList, link, walk
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    InterruptModeration,
    InterruptModerationState,
    LinkState,
    PauseParameters,
    RestartParameters,
    StatisticsInfo,
    StatusIndication,
    StructureError,
    parse_multicast_list,
)

__all__ = ["PlainMiniport"]

_HEADER_BYTES = 14
_KIND = AttributeFlag.HARDWARE_DEVICE | AttributeFlag.BUS_MASTER | AttributeFlag.SURPRISE_REMOVE_OK
_NO_MODERATION = InterruptModeration(InterruptModerationState.NOT_SUPPORTED).pack()
_SETS = (OID.GEN_CURRENT_PACKET_FILTER, OID.GEN_CURRENT_LOOKAHEAD, OID.O802_3_MULTICAST_LIST)
_OTHERS = (OID.GEN_VENDOR_DESCRIPTION, OID.GEN_INTERRUPT_MODERATION, OID.GEN_STATISTICS)
_LINK_SPEED_MAX_BPS = 100_000_000_000
_NO_VENDOR = 0x00FFFFFF
_DRIVER_VERSION = 0x00010000


class Freeable(Protocol):
    """What can be given back."""

    def free(self) -> None:
        """Do so."""


F = TypeVar("F", bound=Freeable)


class PlainMiniport(Miniport):
    """One adapter, one interrupt. A driver needs open(); what else it adds is what its card then does.

    frame_max: bytes of the longest frame, header included. sends_max, receives_max: frames that the rings
    hold. buffer_bytes: of a receive buffer. list_max: addresses of the multicast list.
    """

    frame_max = 1514
    sends_max = receives_max = 127
    buffer_bytes = 2048
    list_max = 32

    def __init__(self, memory: GuestMemory) -> None:
        self.memory = memory
        #: What close() undoes, the last first.
        self.undo = ExitStack()

    handle: MiniportHandle
    bus: Bus
    #: Guards the transmit ring and the sends; held while transmit() runs.
    lock: SpinLock
    #: The registered interrupt, from open() on.
    irq: InterruptHandle | None = None

    # -- the card: what a driver adds --------------------------------------------------------------------

    @abstractmethod
    def open(self, settings: Settings) -> tuple[bytes, bytes, LinkState]:
        """Bring the card up, all but its rings; permanent and current address, and the link.

        What is to be undone at the end goes to `undo`, also of an attempt that fails: NdisFailure,
        AllocationError, CapacityError or UnknownError (no card).
        """

    def quiet(self) -> None:
        """Bring the card to its initial state, without a call to NDIS and without freeing anything."""

    def allocate(self) -> None:
        """Get rings and buffers, if open() leaves that to a method of its own."""

    def listen(self, packet_filter: int) -> None:
        """Receive what matches an NDIS packet filter; nothing unless is_running."""

    def subscribe(self, multicast: bytes) -> None:
        """The multicast list: addresses of 6 bytes, one behind the other."""

    def transmit(self, packet: NetBuffer) -> bool:
        """Put a packet into the ring, and report() it when the card has done with it; False: no room now."""
        return False

    def recycle(self, nbls: list[NetBufferList]) -> None:
        """Lists that indicate() took are the driver's again."""

    def restart_rings(self) -> bool:
        """Empty the rings and start them; whether they run. Called after open(), and for MiniportResetEx."""
        return True

    def is_raised(self) -> bool:
        """Whether the card's interrupt cause is set; not asked with MSI-X, which says so by its message."""
        return False

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """Serve the card: report() and indicate() what it has completed, and let it interrupt again."""

    def statistics(self) -> StatisticsInfo:
        """What the card counted."""
        return StatisticsInfo()

    # -- what open() uses ------------------------------------------------------------------------------------

    def own(self, thing: F) -> F:
        """Have something freed at the end."""
        self.undo.callback(thing.free)
        return thing

    def coherent(self, size: int) -> Coherent:
        """Coherent memory, freed at the end."""
        memory = self.bus.alloc_coherent(size)
        self.undo.callback(self.bus.free_coherent, memory)
        return memory

    def connect(self) -> None:
        """Register for one interrupt; from now on it may come."""
        self.irq = self.handle.m_register_interrupt_ex(InterruptCharacteristics(1))
        self.undo.callback(self.handle.m_deregister_interrupt_ex, self.irq)

    # -- bring-up and end --------------------------------------------------------------------------------

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx."""
        if parameters.bus is None:
            return NDIS_STATUS.RESOURCES
        self.handle, self.bus, self.irq = handle, parameters.bus, None
        self.lock = SpinLock(handle.processors)
        self._waiting: deque[tuple[NetBufferList, NetBuffer]] = deque()
        self._posted: deque[tuple[NetBufferList, NetBuffer]] = deque()
        self._lent = self._filter = 0
        self._seen: tuple[NetBuffer | None, int] = (None, 0)
        self.is_gone = self.is_running = self._is_pausing = False
        handle.m_set_miniport_attributes(RegistrationAttributes(self, _KIND))
        try:
            handle.m_set_miniport_attributes(self._describe(*self.open(parameters.settings)))
            does_run = self.restart_rings()
        except NdisFailure as error:
            return self._give_up(error.status)
        except (AllocationError, CapacityError):
            return self._give_up(NDIS_STATUS.RESOURCES)
        except UnknownError:
            return self._give_up(NDIS_STATUS.ADAPTER_NOT_FOUND)
        return NDIS_STATUS.SUCCESS if does_run else self._give_up(NDIS_STATUS.DEVICE_FAILED)

    def _give_up(self, status: NDIS_STATUS) -> NDIS_STATUS:
        self.undo.close()
        return status

    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx."""
        self.undo.close()

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """MiniportShutdownEx."""
        self.quiet()

    def _describe(self, permanent: bytes, current: bytes, link: LinkState) -> GeneralAttributes:
        return GeneralAttributes(
            permanent,
            current,
            mtu_size=self.frame_max - _HEADER_BYTES,
            max_link_speed_bps=_LINK_SPEED_MAX_BPS,
            link_speed_bps=link.xmit_speed_bps,
            connect_state=link.connect,
            duplex_state=link.duplex,
            lookahead_size=self.frame_max - _HEADER_BYTES,
            max_multicast_list_size=self.list_max,
            supported_oids=(*self._numbers(), *_OTHERS, *_SETS),
        )

    def _numbers(self) -> Mapping[int, int]:
        """OIDs whose answer is a ULONG; the medium has no collisions and no alignment."""
        return {
            OID.GEN_TRANSMIT_BUFFER_SPACE: self.sends_max * self.frame_max,
            OID.GEN_RECEIVE_BUFFER_SPACE: self.receives_max * self.buffer_bytes,
            OID.GEN_TRANSMIT_BLOCK_SIZE: self.frame_max,
            OID.GEN_RECEIVE_BLOCK_SIZE: self.buffer_bytes,
            OID.GEN_MAXIMUM_TOTAL_SIZE: self.frame_max,
            OID.GEN_VENDOR_ID: _NO_VENDOR,
            OID.GEN_VENDOR_DRIVER_VERSION: _DRIVER_VERSION,
            OID.O802_3_RCV_ERROR_ALIGNMENT: 0,
            OID.O802_3_XMIT_ONE_COLLISION: 0,
            OID.O802_3_XMIT_MORE_COLLISIONS: 0,
        }

    # -- pause and restart -------------------------------------------------------------------------------

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """MiniportPause: no more receives; pends while anything is out."""
        self.is_running = False
        self._listen(0)
        self._is_pausing = self._is_busy
        return NDIS_STATUS.PENDING if self._is_pausing else NDIS_STATUS.SUCCESS

    @property
    def _is_busy(self) -> bool:
        return bool(self._posted or self._waiting or self._lent)

    def _check_pause(self) -> None:
        if self._is_pausing and not self._is_busy:
            self._is_pausing = False
            self.handle.m_pause_complete()

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """MiniportRestart."""
        self.is_running = True
        self._listen(self._filter)
        return NDIS_STATUS.SUCCESS

    def _listen(self, packet_filter: int) -> None:
        if not self.is_gone:
            self.listen(packet_filter)

    # -- sends -------------------------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists."""
        refused = []
        for nbl in walk(chain):
            nbl.status = self._judge(nbl)
            if nbl.status != NDIS_STATUS.SUCCESS:
                refused.append(nbl)
                continue
            with self.lock:
                self._waiting.extend((nbl, packet) for packet in nbl.net_buffers())
        self._complete(refused)
        self._pump()

    def _judge(self, nbl: NetBufferList) -> NDIS_STATUS:
        if not self.is_running or self.is_gone:
            return NDIS_STATUS.ADAPTER_REMOVED if self.is_running else NDIS_STATUS.PAUSED
        lengths = [packet.data_length for packet in nbl.net_buffers()]
        is_sound = min(lengths) >= _HEADER_BYTES and max(lengths) <= self.frame_max
        return NDIS_STATUS.SUCCESS if is_sound else NDIS_STATUS.INVALID_LENGTH

    def _pump(self) -> None:
        with self.lock:
            while self._waiting and self.transmit(self._waiting[0][1]):
                self._posted.append(self._waiting.popleft())

    def report(self, statuses: Sequence[NDIS_STATUS]) -> None:
        """The card has done with so many of the oldest packets, and this is how each ended."""
        done = []
        with self.lock:
            for status in statuses[: len(self._posted)]:
                nbl, packet = self._posted.popleft()
                if status != NDIS_STATUS.SUCCESS:
                    nbl.status = status
                if packet.next is None:
                    done.append(nbl)
        self._complete(done)
        self._pump()
        self._check_pause()

    def _complete(self, nbls: Sequence[NetBufferList]) -> None:
        self.handle.m_send_net_buffer_lists_complete(link(nbls))

    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend: what the ring has a packet of is sent."""
        begun = {id(nbl) for nbl, _ in self._posted} | {id(nbl) for nbl, _ in list(self._waiting)[:1]}
        self._abort(
            [nbl for nbl, _ in self._waiting if nbl.cancel_id == cancel_id and id(nbl) not in begun],
            NDIS_STATUS.SEND_ABORTED,
        )

    def _abort(self, nbls: Sequence[NetBufferList], status: NDIS_STATUS) -> None:
        named = {id(nbl): nbl for nbl in nbls}
        with self.lock:
            self._posted = deque(each for each in self._posted if id(each[0]) not in named)
            self._waiting = deque(each for each in self._waiting if id(each[0]) not in named)
        for nbl in named.values():
            nbl.status = status
        self._complete(list(named.values()))

    def _abort_all(self, status: NDIS_STATUS) -> None:
        self._abort([nbl for nbl, _ in (*self._posted, *self._waiting)], status)
        self._check_pause()

    # -- receives ----------------------------------------------------------------------------------------

    def indicate(self, nbls: list[NetBufferList], *, is_short: bool = False) -> None:
        """Pass received lists up, one frame each; `is_short`: only lend them, buffers are running out."""
        if not nbls:
            return
        if not self.is_running:
            self.recycle(nbls)
            return
        flags = ReceiveFlag.RESOURCES if is_short else ReceiveFlag(0)
        self._lent += len(nbls)
        self.handle.m_indicate_receive_net_buffer_lists(link(nbls), 0, len(nbls), flags)
        if is_short:
            self._take_back(nbls)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists."""
        self._take_back(list(walk(chain)))

    def _take_back(self, nbls: list[NetBufferList]) -> None:
        self._lent -= len(nbls)
        self.recycle(nbls)
        self._check_pause()

    def interrupt(self, message_id: int) -> InterruptResult:
        """MiniportInterrupt; nothing is ours before registration has returned."""
        if self.irq is None or self.is_gone:
            return InterruptResult(False)
        is_ours = self.irq.kind is InterruptKind.MSIX or self.is_raised()
        return InterruptResult(is_ours, default_dpc=True)

    # -- trouble -----------------------------------------------------------------------------------------

    def check_for_hang_ex(self) -> bool:
        """MiniportCheckForHangEx: a packet that stays the oldest. A DPC in case an interrupt was lost."""
        if self.is_gone or self.irq is None:
            return False
        self.handle.m_queue_dpc_ex(self.irq, 0, frozenset({self.irq.affinity[0]}))
        oldest, times = self._posted[0][1] if self._posted else None, self._seen[1]
        self._seen = (oldest, times + 1 if oldest is not None and oldest is self._seen[0] else 0)
        return self._seen[1] > 1

    def reset_ex(self) -> ResetResult:
        """MiniportResetEx: the rings; filters and counters stand."""
        does_run = not self.is_gone and self.restart_rings()
        self._abort_all(NDIS_STATUS.RESET_IN_PROGRESS)
        return ResetResult(NDIS_STATUS.SUCCESS if does_run else NDIS_STATUS.HARD_ERRORS)

    def tell(self, news: StatusIndication | None) -> None:
        """Indicate a status, if there is one."""
        if news is not None:
            self.handle.m_indicate_status_ex(news)

    def lose(self, *, tells: bool = False) -> None:
        """The card is gone: every send ends, and NDIS hears of it unless it said so itself."""
        self.is_gone = True
        self._abort_all(NDIS_STATUS.ADAPTER_REMOVED)
        if tells:
            self.handle.m_remove_miniport()

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify."""
        if event is PnpEvent.SURPRISE_REMOVED:
            self.lose()

    # -- OIDs --------------------------------------------------------------------------------------------

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest."""
        if self.is_gone:
            return NDIS_STATUS.ADAPTER_REMOVED
        return self._query(request) if request.is_query else self._set(request)

    def _query(self, request: OidRequest) -> NDIS_STATUS:
        number = self._numbers().get(request.oid)
        if number is not None:
            return request.answer(number.to_bytes(4, "little"))
        if request.oid == OID.GEN_STATISTICS:
            return request.answer(self.statistics().pack())
        if request.oid == OID.GEN_INTERRUPT_MODERATION:
            return request.answer(_NO_MODERATION)
        if request.oid == OID.GEN_VENDOR_DESCRIPTION:
            return request.answer(type(self).__name__.encode() + b"\0")
        return NDIS_STATUS.NOT_SUPPORTED

    def _set(self, request: OidRequest) -> NDIS_STATUS:
        if request.oid == OID.O802_3_MULTICAST_LIST:
            try:
                parse_multicast_list(request.data, self.list_max)
            except StructureError as error:
                return error.fail(request)
            self.subscribe(request.data)
            return request.accept(len(request.data))
        if request.oid not in _SETS:
            return NDIS_STATUS.NOT_SUPPORTED
        status = request.accept(4)
        if status == NDIS_STATUS.SUCCESS and request.oid == OID.GEN_CURRENT_PACKET_FILTER:
            self._filter = int.from_bytes(request.data[:4], "little")
            self.listen(self._filter if self.is_running else 0)
        return status

    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest: none is ever pending."""
