"""The TCP/IP protocol driver: binds the host's stack to adapters, one interface for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from vnic.errors import VnicError
from vnic.host.clock import VirtualClock
from vnic.ndis.chimney import ClientChimney
from vnic.ndis.miniport import ReceiveFlag, SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.offload import Offload, TcpConnectionOffload
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    DevicePowerState,
    LinkState,
    MediaConnectState,
    StatusIndication,
    StructureError,
)
from vnic.protocol.capture import Memory
from vnic.protocol.chimney import Chimney
from vnic.protocol.journal import Cause
from vnic.protocol.netdma import NetDma
from vnic.protocol.offload_choice import OffloadChoice
from vnic.protocol.scaling import scaling_request
from vnic.protocol.send_arena import SendArena
from vnic.protocol.tcpip_binding import TcpipBinding
from vnic.stack.config import InterfaceConfig
from vnic.stack.stack import Stack

_CONFIG_BYTES = 64
_CHIMNEY_STATUSES = (NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME)

#: Called when an adapter is bound for the first time: the place to give its interface addresses and routes.
Configure = Callable[[TcpipBinding], None]


class TcpipProtocol(Protocol):
    """A protocol driver over a stack, and a link of the world: advance() lets the stack act at PASSIVE.

    addresses: of the interface of the first adapter, as '10.0.0.1/24'. An adapter that comes back (after a
    halt, a removal) is given the interface that it had, known by its station address.

    chimney: moves connections to adapters that are targets, and says by its switches whether RSS is wanted
    and over how many of the host's `processors`; without it there is neither.

    netdma: moves received data by a copy engine.
    """

    def __init__(
        self,
        stack: Stack,
        memory: Memory,
        clock: VirtualClock,
        *,
        addresses: Sequence[str] = (),
        configure: Configure | None = None,
        vlan: int = 0,
        wants_large_send: bool = True,
        chimney: Chimney | None = None,
        processors: int = 1,
        netdma: NetDma | None = None,
    ) -> None:
        self.stack = stack
        self.bindings: list[TcpipBinding] = []
        #: Requests of ask() that were completed later, with their status.
        self.completed: list[tuple[OidRequest, NDIS_STATUS]] = []
        self.chimney = chimney
        self.netdma = netdma
        if netdma is not None:
            netdma.on_released = self._end_pauses
        self._processors = processors
        self._memory = memory
        self._clock = clock
        self._addresses = addresses
        self._configure = configure
        self._vlan = vlan
        self._wants_large_send = wants_large_send
        self._by_handle: dict[int, TcpipBinding] = {}
        self._resuming: list[TcpipBinding] = []

    # -- link of the world -----------------------------------------------------------------------------------

    def next_deadline_ns(self) -> int | None:
        """When the stack, or the chimney's policy, has something to do by itself."""
        if self.stack.is_closed:
            return None
        known = [self.stack.next_deadline_ns(), self.chimney.next_deadline_ns() if self.chimney else None]
        return min((deadline for deadline in known if deadline is not None), default=None)

    def advance(self, now_ns: int) -> int:
        """Let time pass for the stack, tell the sockets, send what follows; how much was done."""
        if self.stack.is_closed:
            return 0
        self._pass_time()
        return self.stack.dispatch() + self._flush() + self._run_chimney() + self._run_netdma()

    def _flush(self) -> int:
        if self.stack.is_closed:
            return 0
        count = sum([binding.flush() for binding in self.bindings])
        if count and self.chimney is not None:
            self.chimney.stir()
        return count

    def _run_chimney(self) -> int:
        if self.chimney is None or self.stack.is_closed:
            return 0
        self._resume(self.chimney)
        count = self.chimney.run()
        if count:
            count += self._flush()
        self._end_pauses()
        return count

    def _run_netdma(self) -> int:
        return 0 if self.netdma is None else self.netdma.submit()

    def _resume(self, chimney: Chimney) -> None:
        """OFFLOAD_RESUME: the capabilities may be others than before."""
        resuming, self._resuming = self._resuming, []
        for binding in resuming:
            if binding.handle is None:
                continue
            request = query(OID.TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG, _CONFIG_BYTES)
            if binding.request(request) == NDIS_STATUS.SUCCESS:
                with suppress(StructureError):
                    chimney.on_config(binding.handle, TcpConnectionOffload.parse(request.data))
            chimney.on_status(binding.handle, NDIS_STATUS.OFFLOAD_RESUME)

    def _end_pauses(self) -> None:
        """NetEventPause is over when every send, connection and received NBL is where it belongs."""
        for binding in self.bindings:
            handle = binding.handle
            if handle is not None and binding.must_report_pause and self._is_quiet(binding, handle):
                binding.must_report_pause = False
                handle.complete_net_pnp_event(binding.pending_event, NDIS_STATUS.SUCCESS)

    def _is_quiet(self, binding: TcpipBinding, handle: BindingHandle) -> bool:
        if self.netdma is not None and self.netdma.holds.count(handle):
            return False
        return not binding.outstanding and (self.chimney is None or self.chimney.is_stopped(handle))

    def _pass_time(self) -> None:
        # Even at the same time: a timer may have been set for this very moment.
        self.stack.advance(self._clock.now_ns)

    # -- binding ---------------------------------------------------------------------------------------------

    def bind_adapter_ex(self, handle: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx: an interface for the adapter; RESOURCES when the stack has none left."""
        try:
            binding = self._known(parameters) or self._make(parameters)
        except VnicError:
            return NDIS_STATUS.RESOURCES
        binding.handle = handle
        self._by_handle[id(handle)] = binding
        binding.set_offload(parameters.offload_config, wants_large_send=self._wants_large_send)
        binding.ask_for_offloads()
        if self.chimney is not None:
            self._ask_for_scaling(binding, parameters)
            self._ask_for_chimney(self.chimney, binding, parameters)
        self._on_link(binding, parameters.link_state)
        return NDIS_STATUS.SUCCESS

    def client_chimney(self) -> ClientChimney | None:
        """The handlers of the chimney, where there is one."""
        return None if self.chimney is None else self.chimney.client

    def _ask_for_scaling(self, binding: TcpipBinding, parameters: BindParameters) -> None:
        assert self.chimney is not None
        key, switches = self.chimney.options.rss_key, self.chimney.switches
        request = scaling_request(parameters.receive_scale, switches, self._processors, key)
        if request is not None:
            binding.request(request)

    def _ask_for_chimney(self, chimney: Chimney, binding: TcpipBinding, parameters: BindParameters) -> None:
        assert binding.handle is not None
        if binding.handle.chimney is not None:
            constants = chimney.parameters.pack()
            binding.request(set_(OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, constants))
        config = parameters.connection_offload_config
        chimney.add_target(binding.interface.number, binding.handle, config)

    def _known(self, parameters: BindParameters) -> TcpipBinding | None:
        for binding in self.bindings:
            config = binding.interface.config
            same = config.mac == parameters.current_mac_address and config.mtu == parameters.mtu_size
            if binding.handle is None and same:
                return binding
        return None

    def _make(self, parameters: BindParameters) -> TcpipBinding:
        choice = OffloadChoice(parameters.offload_config, wants_large_send=self._wants_large_send)
        config = InterfaceConfig(
            mac=parameters.current_mac_address,
            mtu=parameters.mtu_size,
            vlan=self._vlan,
            offload=int(choice.stack_offload),
            tso_bytes=choice.large_send_bytes,
        )
        interface = self.stack.add_interface(config)
        binding = TcpipBinding(interface, SendArena(self._memory, interface.frame_room))
        if not self.bindings:
            for address in self._addresses:
                interface.add_address(address)
        self.bindings.append(binding)
        if self._configure is not None:
            self._configure(binding)
        return binding

    def unbind_adapter_ex(self, handle: BindingHandle) -> NDIS_STATUS:
        """ProtocolUnbindAdapterEx: the interface stays, without a link."""
        binding = self._by_handle.pop(id(handle))
        binding.handle = None
        if self.chimney is not None:
            self.chimney.remove_target(binding.interface.number, handle)
        if not self.stack.is_closed:
            binding.interface.set_link(False)
        binding.free()
        handle.close()
        return NDIS_STATUS.SUCCESS

    def ask(self, request: OidRequest) -> NDIS_STATUS:
        """A request of the host's own, on the first binding; the final status, or PENDING."""
        return self.bindings[0].request(request)

    def oid_request_complete(self, handle: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """ProtocolOidRequestComplete."""
        self._by_handle[id(handle)].on_request_complete(request)
        self.completed.append((request, status))

    # -- events ----------------------------------------------------------------------------------------------

    def net_pnp_event(self, handle: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: a pause lasts until every send is back; low power is a link that is down."""
        binding = self._by_handle[id(handle)]
        if event is NetEvent.PAUSE:
            binding.is_running = False
            return self._quieten(binding, handle, event, Cause.PAUSE)
        if event is NetEvent.RESTART:
            binding.open_filter()
            binding.is_running = True
            self._start_chimney(handle)
        elif event is NetEvent.SET_POWER and data is not DevicePowerState.D0:
            self._set_link(binding, False)
            return self._quieten(binding, handle, event, Cause.POWER)
        elif event is NetEvent.SET_POWER:
            self._set_link(binding, binding.is_connected)
            if binding.is_running:
                self._start_chimney(handle)
        return NDIS_STATUS.SUCCESS

    def _start_chimney(self, handle: BindingHandle) -> None:
        if self.chimney is not None:
            self.chimney.start(handle)

    def _quieten(
        self, binding: TcpipBinding, handle: BindingHandle, event: NetEvent, cause: Cause
    ) -> NDIS_STATUS:
        """Take everything back from the target; PENDING until that is done and every send is back."""
        if self.chimney is not None:
            self.chimney.stop(handle, cause)
        binding.pending_event = event
        binding.must_report_pause = not self._is_quiet(binding, handle)
        return NDIS_STATUS.PENDING if binding.must_report_pause else NDIS_STATUS.SUCCESS

    def status_ex(self, handle: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx: the link, and the offloads in force."""
        binding = self._by_handle.get(id(handle))
        if binding is None or self.stack.is_closed:
            return
        try:
            if indication.status == NDIS_STATUS.LINK_STATE:
                self._on_link(binding, LinkState.parse(indication.buffer))
            elif indication.status == NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG:
                config = Offload.parse(indication.buffer)
                binding.set_offload(config, wants_large_send=self._wants_large_send)
            elif indication.status in _CHIMNEY_STATUSES and self.chimney is not None:
                if indication.status == NDIS_STATUS.OFFLOAD_RESUME:
                    self._resuming.append(binding)  # asked at PASSIVE_LEVEL what it can do now
                else:
                    self.chimney.on_status(handle, NDIS_STATUS(indication.status))
        except StructureError:
            return  # NDIS told the miniport

    def _on_link(self, binding: TcpipBinding, state: LinkState) -> None:
        binding.is_connected = state.connect is not MediaConnectState.DISCONNECTED
        self._set_link(binding, binding.is_connected)
        if self.chimney is not None and not binding.is_connected and binding.handle is not None:
            self.chimney.on_media_loss(binding.handle)

    def _set_link(self, binding: TcpipBinding, is_up: bool) -> None:
        if not self.stack.is_closed and binding.interface.is_up != is_up:
            self._pass_time()
            binding.interface.set_link(is_up)

    # -- data ------------------------------------------------------------------------------------------------

    def receive_net_buffer_lists(
        self, handle: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        """ProtocolReceiveNetBufferLists: into the stack, back to the miniport, and out with the answers."""
        binding = self._by_handle[id(handle)]
        nbls = list(walk(chain))
        is_lent = bool(flags & ReceiveFlag.RESOURCES)
        if not self.stack.is_closed:
            self._pass_time()
            binding.receive(nbls, self.netdma, may_keep=not is_lent)
            if self.chimney is not None:
                self.chimney.stir()
        if not is_lent:
            self._give_back(handle, nbls)
        self._run_netdma()
        self._flush()

    def _give_back(self, handle: BindingHandle, nbls: list[NetBufferList]) -> None:
        """What a copy engine reads goes back later."""
        netdma = self.netdma
        head = link(nbls if netdma is None else [nbl for nbl in nbls if not netdma.holds.has(nbl)])
        if head is not None:
            handle.return_net_buffer_lists(head)

    def send_net_buffer_lists_complete(
        self, handle: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete: memory is there again for what waits."""
        binding = self._by_handle[id(handle)]
        binding.take_back(chain)
        self._end_pauses()
        self._flush()
