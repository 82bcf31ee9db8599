"""A right miniport of memory only, a right protocol, and a stage on which either can be made to misbehave."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from vnic.errors import CapacityError
from vnic.host.bus import Handler, InterruptKind, VectorKinds
from vnic.host.clock import VirtualClock
from vnic.host.cpu import Level, Processors
from vnic.ndis.adapter import Adapter, AdapterOptions
from vnic.ndis.attributes import (
    GeneralAttributes,
    HaltAction,
    OffloadAttributes,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
from vnic.ndis.binding import Binding
from vnic.ndis.layer import Ndis
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
    SendCompleteFlag,
    SendFlag,
    TimerHandle,
)
from vnic.ndis.net_buffer_list import NetBufferList, link, net_buffer_list, walk
from vnic.ndis.offload import (
    ChecksumOffload,
    Encapsulation,
    LargeSendV1,
    LargeSendV2,
    Offload,
    OffloadEncapsulation,
    OffloadParameters,
)
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.oob import LargeSend, Slot
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.rss import (
    ReceiveHashParameters,
    ReceiveScaleCapabilities,
    ReceiveScaleParameters,
    RssCapability,
)
from vnic.ndis.send_path import tcp_payload_bytes
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    InterruptModeration,
    InterruptModerationState,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    PauseParameters,
    PnpCapabilities,
    RestartParameters,
    StatisticsInfo,
    StatusIndication,
    StructureError,
)

STATION = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
CAN = ChecksumOffload(Encapsulation.IEEE_802_3, True, True, True, True, True)
HARDWARE = Offload(
    CAN,
    CAN,
    CAN,
    CAN,
    LargeSendV1(Encapsulation.IEEE_802_3, 65536, 2, True, True),
    LargeSendV2(2, 262144, 2, 2, 262144, 2, True, True),
)
OIDS = (
    OID.GEN_STATISTICS,
    OID.GEN_CURRENT_PACKET_FILTER,
    OID.GEN_CURRENT_LOOKAHEAD,
    OID.GEN_VENDOR_DESCRIPTION,
    OID.GEN_INTERRUPT_MODERATION,
    OID.GEN_RECEIVE_SCALE_PARAMETERS,
    OID.GEN_RECEIVE_HASH,
    OID.O802_3_MULTICAST_LIST,
    OID.TCP_OFFLOAD_PARAMETERS,
    OID.OFFLOAD_ENCAPSULATION,
    OID.PNP_SET_POWER,
)


class FakeBus:
    """Interrupt vectors without a device behind them."""

    def __init__(self, processors: Processors, messages: int = 4) -> None:
        self._processors = processors
        self._messages = messages
        self._count = 0
        self.handlers: dict[int, tuple[Handler, int]] = {}

    def alloc_vectors(self, minimum: int, maximum: int, kinds: VectorKinds = VectorKinds.ANY) -> int:
        if self._count or not minimum <= self._messages:
            raise CapacityError("no vectors")
        self._count = min(maximum, self._messages)
        return self._count

    def free_vectors(self) -> None:
        assert not self.handlers
        self._count = 0

    @property
    def vector_kind(self) -> InterruptKind:
        return InterruptKind.MSIX

    def request_irq(self, vector: int, handler: Handler, cpu: int = 0) -> None:
        self.handlers[vector] = (handler, cpu)

    def free_irq(self, vector: int) -> None:
        del self.handlers[vector]

    def signal(self, vector: int) -> None:
        """A device's message; nobody home: it is lost."""
        if vector in self.handlers:
            cpu = self.handlers[vector][1]
            self._processors.raise_interrupt(lambda _: self._deliver(vector), cpu, ("vector", vector))

    def _deliver(self, vector: int) -> None:
        if vector in self.handlers:
            self.handlers[vector][0](vector)


class FakeMiniport(Miniport):
    """Right in everything; `hooks` replaces an entry point by its name, the original as first argument."""

    def __init__(self, bus: FakeBus) -> None:
        self.bus = bus
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.handle: Any = None
        self.interrupt_handle: InterruptHandle | None = None
        self.timer: TimerHandle | None = None
        self.is_running = self.is_low_power = False
        self.completes_at_once = True
        self.sends: deque[NetBufferList] = deque()
        self.wire: deque[tuple[int, NetBufferList]] = deque()
        self.out = 0
        self.is_pausing = False
        self.pending_oid: OidRequest | None = None
        self.rss: ReceiveScaleParameters | None = None
        self.packet_filter = 0
        self.multicast: frozenset[bytes] = frozenset()
        self.config = HARDWARE
        self.power: PnpCapabilities | None = PnpCapabilities()
        self.seen: list[str] = []
        self.resets = 0
        self.lookahead = 0
        self.registration = RegistrationAttributes(self)

    def _do(self, name: str, default: Callable[..., Any], *arguments: Any) -> Any:
        self.seen.append(name)
        hook = self.hooks.get(name)
        return hook(default, *arguments) if hook else default(*arguments)

    # entry points

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        return NDIS_STATUS(self._do("initialize_ex", self._initialize, handle, parameters))

    def halt_ex(self, action: HaltAction) -> None:
        self._do("halt_ex", self._halt, action)

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        return NDIS_STATUS(self._do("pause", self._pause))

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        return NDIS_STATUS(self._do("restart", self._restart))

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        self._do("send", self._send, chain)

    def cancel_send(self, cancel_id: object) -> None:
        self._do("cancel_send", self._cancel_send, cancel_id)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        self._do("return", self._return, chain)

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        return NDIS_STATUS(self._do("oid_request", self.answer, request))

    def cancel_oid_request(self, request_id: int) -> None:
        self._do("cancel_oid_request", self._cancel_oid, request_id)

    def check_for_hang_ex(self) -> bool:
        return bool(self._do("check_for_hang_ex", lambda: False))

    def reset_ex(self) -> ResetResult:
        result = self._do("reset_ex", self._reset)
        assert isinstance(result, ResetResult)
        return result

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        self.seen.append(event.name)

    def shutdown_ex(self, action: ShutdownAction) -> None:
        self._do("shutdown_ex", lambda: None)

    def driver_unload(self) -> None:
        self.seen.append("driver_unload")

    def interrupt(self, message_id: int) -> InterruptResult:
        result = self._do("interrupt", lambda message: InterruptResult(True, default_dpc=True), message_id)
        assert isinstance(result, InterruptResult)
        return result

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        self._do("dpc", self._dpc, message_id)

    # right behaviour

    def general(self) -> GeneralAttributes:
        flags = RssCapability.TOEPLITZ | RssCapability.HASH_TYPE_TCP_IPV4 | RssCapability.HASH_TYPE_TCP_IPV6
        return GeneralAttributes(
            STATION,
            STATION,
            connect_state=MediaConnectState.CONNECTED,
            supported_oids=OIDS,
            max_multicast_list_size=2,
            receive_scale=ReceiveScaleCapabilities(flags, 4, 4),
            power=self.power,
        )

    def _initialize(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        self.handle = handle
        handle.m_set_miniport_attributes(self.registration)
        handle.m_set_miniport_attributes(self.general())
        handle.m_set_miniport_attributes(OffloadAttributes(self.config, HARDWARE))
        try:
            self.interrupt_handle = handle.m_register_interrupt_ex(InterruptCharacteristics(4))
        except NdisFailure as failure:
            return failure.status
        self.timer = handle.m_allocate_timer(lambda: self.seen.append("timer"))
        return NDIS_STATUS.SUCCESS

    def _halt(self, action: HaltAction) -> None:
        assert self.timer is not None
        assert self.interrupt_handle is not None
        self.timer.cancel()
        self.handle.m_deregister_interrupt_ex(self.interrupt_handle)

    def _pause(self) -> NDIS_STATUS:
        self.is_running, self.is_pausing = False, True
        self.wire.clear()
        self.finish_sends(NDIS_STATUS.PAUSED)
        if self.out:
            return NDIS_STATUS.PENDING
        self.is_pausing = False
        return NDIS_STATUS.SUCCESS

    def _restart(self) -> NDIS_STATUS:
        self.is_running = True
        return NDIS_STATUS.SUCCESS

    def _send(self, chain: NetBufferList) -> None:
        self.sends.extend(walk(chain))
        if self.is_low_power:
            self.finish_sends(NDIS_STATUS.LOW_POWER_STATE)
        elif not self.is_running:
            self.finish_sends(NDIS_STATUS.PAUSED)
        elif self.completes_at_once:
            self.finish_sends()

    def finish_sends(self, status: NDIS_STATUS = NDIS_STATUS.SUCCESS) -> None:
        """Complete all that is queued."""
        done = list(self.sends)
        self.sends.clear()
        for nbl in done:
            nbl.status = status
            asked = LargeSend.of(nbl.info(Slot.TCP_LARGE_SEND))
            if asked.mss:
                nbl.set_info(Slot.TCP_LARGE_SEND, asked.completed(tcp_payload_bytes(nbl, asked)))
        if done:
            self.handle.m_send_net_buffer_lists_complete(link(done), self._at_dispatch())

    def _at_dispatch(self) -> int:
        return int(self.handle.processors.level == Level.DISPATCH)

    def _cancel_send(self, cancel_id: object) -> None:
        named = [nbl for nbl in self.sends if nbl.cancel_id == cancel_id]
        for nbl in named:
            self.sends.remove(nbl)
            nbl.status = NDIS_STATUS.SEND_ABORTED
        if named:
            self.handle.m_send_net_buffer_lists_complete(link(named))

    def nbl(self, frame: bytes) -> NetBufferList:
        """A received frame, ready to be indicated."""
        return net_buffer_list(frame, self.handle)

    def receive(self, frame: bytes, vector: int = 0) -> None:
        """A frame arrives: an interrupt, then the DPC indicates it."""
        self.wire.append((vector, self.nbl(frame)))
        self.bus.signal(vector)

    def _dpc(self, message_id: int) -> None:
        mine = [nbl for vector, nbl in self.wire if vector == message_id]
        self.wire = deque((vector, nbl) for vector, nbl in self.wire if vector != message_id)
        if mine and self.is_running:
            self.indicate(mine)

    def indicate(self, nbls: list[NetBufferList], flags: int = 0) -> None:
        """Indicate on the current processor."""
        head = link(nbls)
        if not flags & ReceiveFlag.RESOURCES:
            self.out += len(nbls)
        self.handle.m_indicate_receive_net_buffer_lists(head, 0, len(nbls), flags | self._at_dispatch())

    def _return(self, chain: NetBufferList) -> None:
        self.out -= sum(1 for _ in walk(chain))
        if self.is_pausing and not self.out:
            self.is_pausing = False
            self.handle.m_pause_complete()

    def _reset(self) -> ResetResult:
        self.resets += 1
        self.finish_sends(NDIS_STATUS.RESET_IN_PROGRESS)
        if self.pending_oid is not None:
            request, self.pending_oid = self.pending_oid, None
            self.handle.m_oid_request_complete(request, NDIS_STATUS.REQUEST_ABORTED)
        return ResetResult(NDIS_STATUS.SUCCESS)

    def _cancel_oid(self, request_id: int) -> None:
        if self.pending_oid is not None and self.pending_oid.request_id == request_id:
            request, self.pending_oid = self.pending_oid, None
            self.handle.m_oid_request_complete(request, NDIS_STATUS.REQUEST_ABORTED)

    def answer(self, request: OidRequest) -> NDIS_STATUS:
        """The right answer to an OID request."""
        if request.is_query:
            answers = {
                OID.GEN_STATISTICS: StatisticsInfo(if_hc_in_ucast_pkts=7, if_hc_in_broadcast_pkts=5).pack(),
                OID.GEN_VENDOR_DESCRIPTION: b"fake\0",
                OID.GEN_INTERRUPT_MODERATION: InterruptModeration(InterruptModerationState.ENABLED).pack(),
            }
            data = answers.get(OID(request.oid))
            return NDIS_STATUS.NOT_SUPPORTED if data is None else request.answer(data)
        try:
            return self._set(request)
        except StructureError as error:
            return error.fail(request)

    def _set(self, request: OidRequest) -> NDIS_STATUS:
        data = request.data
        if request.oid == OID.GEN_CURRENT_PACKET_FILTER:
            self.packet_filter = int.from_bytes(data, "little")
        elif request.oid == OID.O802_3_MULTICAST_LIST:
            self.multicast = frozenset(data[at : at + 6] for at in range(0, len(data), 6))
        elif request.oid == OID.GEN_RECEIVE_SCALE_PARAMETERS:
            wanted = ReceiveScaleParameters.parse(data)
            self.rss = None if wanted.is_disabling else wanted.merged_over(self.rss)
        elif request.oid == OID.GEN_RECEIVE_HASH:
            ReceiveHashParameters.parse(data)
            if self.rss is not None:
                return NDIS_STATUS.NOT_SUPPORTED
        elif request.oid in (OID.TCP_OFFLOAD_PARAMETERS, OID.OFFLOAD_ENCAPSULATION):
            parse = (
                OffloadParameters.parse
                if request.oid == OID.TCP_OFFLOAD_PARAMETERS
                else OffloadEncapsulation.parse
            )
            parse(data)
            self.indicate_status(NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG, self.config.pack())
        elif request.oid == OID.GEN_CURRENT_LOOKAHEAD:
            self.lookahead = int.from_bytes(data, "little")
        elif request.oid == OID.PNP_SET_POWER:
            self.is_low_power = data != b"\x01\0\0\0"
        else:
            return NDIS_STATUS.NOT_SUPPORTED
        request.bytes_read = len(data)
        return NDIS_STATUS.SUCCESS

    def indicate_status(self, status: int, buffer: bytes = b"") -> None:
        """Indicate a status."""
        self.handle.m_indicate_status_ex(StatusIndication(status, buffer, self.handle))

    def link(self, connect: MediaConnectState) -> None:
        """The link changes."""
        state = LinkState(connect, MediaDuplexState.FULL, 10**10, 10**10)
        self.indicate_status(NDIS_STATUS.LINK_STATE, state.pack())


class FakeProtocol(Protocol):
    """Right in everything; `keeps` holds received NBLs until give_back()."""

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.binding: Any = None
        self.parameters: BindParameters | None = None
        self.keeps = False
        self.kept: list[NetBufferList] = []
        self.frames: list[tuple[int, bytes]] = []
        self.flags: list[ReceiveFlag] = []
        self.completed: list[tuple[NetBufferList, NDIS_STATUS]] = []
        self.out = 0
        self.is_pausing = False
        self.statuses: list[int] = []
        self.events: list[NetEvent] = []
        self.oids: list[tuple[OidRequest, NDIS_STATUS]] = []

    def _do(self, name: str, default: Callable[..., Any], *arguments: Any) -> Any:
        hook = self.hooks.get(name)
        return hook(default, *arguments) if hook else default(*arguments)

    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        self.binding, self.parameters = binding, parameters
        return NDIS_STATUS(self._do("bind", lambda: NDIS_STATUS.SUCCESS))

    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        self._do("unbind", binding.close)
        return NDIS_STATUS.SUCCESS

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        self.events.append(event)
        return NDIS_STATUS(self._do("event", self._event, event))

    def _event(self, event: NetEvent) -> NDIS_STATUS:
        if event is NetEvent.PAUSE:
            self.give_back()
            if self.out:
                self.is_pausing = True
                return NDIS_STATUS.PENDING
        return NDIS_STATUS.SUCCESS

    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        self._do("receive", self._receive, binding, chain, flags)

    def _receive(self, binding: BindingHandle, chain: NetBufferList, flags: ReceiveFlag) -> None:
        nbls = list(walk(chain))
        self.flags.append(flags)
        for nbl in nbls:
            assert nbl.first_net_buffer is not None
            self.frames.append((self.binding.adapter.processors.current, nbl.first_net_buffer.data()))
        if flags & ReceiveFlag.RESOURCES:
            return
        if self.keeps:
            self.kept += nbls
        else:
            binding.return_net_buffer_lists(chain)

    def give_back(self) -> None:
        """Return what was kept."""
        kept, self.kept = self.kept, []
        head = link(kept)
        if head is not None:
            self.binding.return_net_buffer_lists(head)

    def send(self, *frames: bytes, cancel_id: object = None) -> list[NetBufferList]:
        """Send frames in one chain."""
        nbls = [net_buffer_list(frame, self.binding) for frame in frames]
        for nbl in nbls:
            nbl.cancel_id = cancel_id
        self.send_nbls(nbls)
        return nbls

    def send_nbls(self, nbls: list[NetBufferList]) -> None:
        """Send NBLs in one chain."""
        head = link(nbls)
        assert head is not None
        self.out += len(nbls)
        self.binding.send_net_buffer_lists(head)

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        for nbl in walk(chain):
            self.completed.append((nbl, nbl.status))
            self.out -= 1
        self._do("sent", lambda: None)
        if self.is_pausing and not self.out:
            self.is_pausing = False
            binding.complete_net_pnp_event(NetEvent.PAUSE, NDIS_STATUS.SUCCESS)

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        self.statuses.append(indication.status)

    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        self.oids.append((request, status))

    def query(self, oid: int, size: int = 256) -> tuple[NDIS_STATUS, bytes]:
        """Query and get the final status and data at once."""
        request = query(oid, size)
        status = self.binding.oid_request(request)
        return status, request.data

    def set(self, oid: int, data: bytes) -> NDIS_STATUS:
        """Set and get the final status at once."""
        return NDIS_STATUS(self.binding.oid_request(set_(oid, data)))


@dataclass
class Stage:
    """One host, one adapter with its miniport, one protocol bound to it."""

    ndis: Ndis
    bus: FakeBus
    miniport: FakeMiniport
    protocol: FakeProtocol
    adapter: Adapter
    binding: Binding | None = None
    protocols: list[FakeProtocol] = field(default_factory=list)

    def state(self) -> AdapterState:
        """The adapter's state now."""
        return self.adapter.state

    def run(self) -> None:
        """Until nothing pends."""
        self.ndis.run_until_idle()

    def start(self) -> Stage:
        """Initialize, bind, restart, and let everything through the filter."""
        assert self.adapter.initialize() == NDIS_STATUS.SUCCESS
        self.binding = self.adapter.bind(self.protocol)
        assert self.adapter.restart() == NDIS_STATUS.SUCCESS
        self.set_filter(PacketFilter.DIRECTED | PacketFilter.BROADCAST | PacketFilter.MULTICAST)
        return self

    def set_filter(self, bits: int) -> None:
        """Set the protocol's packet filter."""
        status = self.protocol.set(OID.GEN_CURRENT_PACKET_FILTER, int(bits).to_bytes(4, "little"))
        assert status == NDIS_STATUS.SUCCESS

    def as_miniport(self, routine: Callable[[], Any], level: Level = Level.PASSIVE) -> Any:
        """Run code as the miniport's, at a level."""
        with self.ndis.processors.raised_to(level), self.ndis.verifier.entering(self.miniport, "Test"):
            return routine()

    def as_protocol(self, routine: Callable[[], Any]) -> Any:
        """Run code as the protocol's."""
        with self.ndis.verifier.entering(self.protocol, "Test"):
            return routine()


StageMaker = Callable[..., Stage]


@pytest.fixture
def make_stage() -> Iterator[StageMaker]:
    """make_stage(cpus=2, seed=None, **ndis options) -> a Stage that has not started."""

    def make(cpus: int = 2, seed: int | None = None, messages: int = 4, **options: Any) -> Stage:
        processors, clock = Processors(cpus, seed), VirtualClock()
        ndis = Ndis(processors, clock, **options)
        bus = FakeBus(processors, messages)
        miniport = FakeMiniport(bus)
        adapter = ndis.add_adapter(miniport, AdapterOptions("fake", interrupts=bus))
        return Stage(ndis, bus, miniport, FakeProtocol(), adapter)

    yield make


@pytest.fixture
def stage(make_stage: StageMaker) -> Stage:
    """A running adapter with one binding."""
    return make_stage().start()


def frame_to(destination: bytes, payload: bytes = b"payload") -> bytes:
    """An Ethernet frame."""
    return destination + PEER + b"\x08\x00" + payload


@pytest.fixture
def frame() -> bytes:
    """A frame to the station."""
    return frame_to(STATION)


@pytest.fixture
def to() -> Callable[..., bytes]:
    """frame_to."""
    return frame_to
