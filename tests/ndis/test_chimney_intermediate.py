"""An intermediate driver with chimney handlers: one driver, two adapters, block lists converted between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ndis.chimney_toys import (
    CONNECTIONS,
    SUCCESS,
    ChimneyProtocol,
    Rig,
    ToyTarget,
    make_rig,
    neighbor,
    path,
    tcp,
    tree,
)
from tests.ndis.conftest import HARDWARE, OIDS, STATION
from vnic.ndis import chimney as nd
from vnic.ndis.adapter import Adapter, AdapterOptions
from vnic.ndis.attributes import (
    AttributeFlag,
    GeneralAttributes,
    HaltAction,
    OffloadAttributes,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
from vnic.ndis.binding import Binding
from vnic.ndis.chimney import NDIS_MINIPORT_OFFLOAD_BLOCK_LIST as Block
from vnic.ndis.chimney import NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST as ProtocolBlock
from vnic.ndis.miniport import (
    DriverHandle,
    InitParameters,
    InterruptResult,
    Miniport,
    MiniportHandle,
    ReceiveFlag,
    ResetResult,
    ReturnFlag,
    SendCompleteFlag,
    SendFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters, RestartParameters, StatusIndication


class Entry:
    """What the driver keeps of an object: the handle that it made below, the one that it got from above."""

    def __init__(self, upper: object) -> None:
        self.upper = upper
        self.lower = nd.NDIS_OFFLOAD_HANDLE(None)


class Lower(nd.ProviderChimney):
    """The virtual miniport's entry points: everything goes down."""

    def __init__(self, driver: Intermediate) -> None:
        self.driver = driver

    def _down(self, name: str, block: Block) -> None:
        getattr(self.driver.below, name)(self.driver.convert(block))

    def initiate_offload(self, block: Block) -> None:
        self._down("initiate_offload", block)

    def terminate_offload(self, block: Block) -> None:
        self._down("terminate_offload", block)

    def update_offload(self, block: Block) -> None:
        self._down("update_offload", block)

    def invalidate_offload(self, block: Block) -> None:
        self._down("invalidate_offload", block)

    def query_offload(self, block: Block) -> None:
        self._down("query_offload_state", block)

    def tcp_offload_send(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Entry)
        return self.driver.below.offload_tcp_send(context.lower, chain)

    def tcp_offload_receive(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Entry)
        return self.driver.below.offload_tcp_receive(context.lower, chain)

    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Entry)
        return self.driver.below.offload_tcp_receive_return(context.lower, chain)

    def tcp_offload_disconnect(
        self, context: object, nbl: NetBufferList, flags: nd.TcpDisconnectFlag
    ) -> NDIS_STATUS:
        assert isinstance(context, Entry)
        return self.driver.below.offload_tcp_disconnect(context.lower, nbl, flags)

    def tcp_offload_forward(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Entry)
        return self.driver.below.offload_tcp_forward(context.lower, chain)


class Upper(nd.ClientChimney):
    """The protocol edge's entry points: everything goes up."""

    def __init__(self, driver: Intermediate) -> None:
        self.driver = driver

    def _up(self, name: str, block: ProtocolBlock) -> None:
        getattr(self.driver.above, name)(self.driver.convert_back(block))

    def initiate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._up("m_initiate_offload_complete", block)

    def terminate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._up("m_terminate_offload_complete", block)

    def update_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._up("m_update_offload_complete", block)

    def invalidate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._up("m_invalidate_offload_complete", block)

    def query_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._up("m_query_offload_state_complete", block)

    def indicate_offload_event(
        self, binding: BindingHandle, block: ProtocolBlock | None, event: nd.INDICATE_OFFLOAD_EVENT
    ) -> None:
        self.driver.above.m_offload_event_indicate(None, event)

    def _entry(self, handle: nd.NDIS_OFFLOAD_HANDLE) -> object:
        return self.driver.entries[id(handle)].upper

    def tcp_offload_event(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, event: nd.TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        self.driver.above.tcp_offload_event_handler(self._entry(handle), event, info)

    def tcp_offload_receive_indicate(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        return self.driver.above.tcp_offload_receive_handler(self._entry(handle), nbl)

    def tcp_offload_send_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        self.driver.above.tcp_offload_send_complete(self._entry(handle), chain)

    def tcp_offload_receive_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        self.driver.above.tcp_offload_receive_complete(self._entry(handle), chain)

    def tcp_offload_disconnect_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        self.driver.above.tcp_offload_disconnect_complete(self._entry(handle), nbl)

    def tcp_offload_forward_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        self.driver.above.tcp_offload_forward_complete(self._entry(handle), chain)


class Intermediate(Miniport, Protocol):
    """Bound to the adapter below, a miniport to the protocol above; carries chimney calls only."""

    def __init__(self, has_upper: bool = True, has_lower: bool = True) -> None:
        self.has_upper, self.has_lower = has_upper, has_lower
        self.binding: BindingHandle | None = None
        self._above: nd.ProviderCalls | None = None
        self.entries: dict[int, Entry] = {}
        self.blocks: dict[int, Block] = {}

    @property
    def below(self) -> nd.ClientCalls:
        """The adapter below."""
        assert self.binding is not None
        assert self.binding.chimney is not None
        return self.binding.chimney

    @property
    def above(self) -> nd.ProviderCalls:
        """NDIS above."""
        assert self._above is not None
        return self._above

    def convert(self, block: Block | None) -> Any:
        """A miniport's block list as a protocol's; an object has a handle of this driver's own."""
        if block is None:
            return None
        handle = None
        if block.MiniportOffloadContext is not None:
            entry = block.MiniportOffloadContext.value or Entry(block.NdisOffloadHandle)
            assert isinstance(entry, Entry)
            handle = entry.lower
            self.entries[id(handle)] = entry
        made = ProtocolBlock(
            block.state_type, block.const, block.cached, block.delegated, OffloadHandle=handle,
            NetBufferListChain=block.NetBufferListChain,
        )  # fmt: skip
        self.blocks[id(made)] = block
        made.DependentBlockList = self.convert(block.DependentBlockList)
        made.NextBlock = self.convert(block.NextBlock)
        return made

    def convert_back(self, made: ProtocolBlock) -> Block:
        """Statuses and state into the block list that came."""
        for each in tree(made):
            block = self.blocks.pop(id(each))
            block.Status, block.delegated = each.Status, each.delegated
            block.NetBufferListChain = each.NetBufferListChain
            context = block.MiniportOffloadContext
            is_carried = each.Status in (SUCCESS, NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS)
            if context is not None and context.value is None and is_carried:
                context.value = self.entries[id(each.OffloadHandle)]
            if each is made:
                found = block
        return found

    # protocol edge

    def client_chimney(self) -> nd.ClientChimney | None:
        return Upper(self) if self.has_lower else None

    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        self.binding = binding
        return SUCCESS

    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        binding.close()
        return SUCCESS

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        return SUCCESS

    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        binding.return_net_buffer_lists(chain)

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        raise AssertionError("nothing was sent")

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """Nothing is passed on here."""

    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """Nothing is asked."""

    # miniport edge

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        return handle.m_set_optional_handlers(Lower(self)) if self.has_upper else SUCCESS

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        handle.m_set_miniport_attributes(RegistrationAttributes(self, AttributeFlag.NDIS_WDM))
        handle.m_set_miniport_attributes(GeneralAttributes(STATION, STATION, supported_oids=OIDS))
        offload = OffloadAttributes(HARDWARE, HARDWARE, CONNECTIONS, CONNECTIONS)
        handle.m_set_miniport_attributes(offload)
        if self.has_upper:
            self._above = handle.m_get_offload_handlers()
        return SUCCESS

    def halt_ex(self, action: HaltAction) -> None:
        """Nothing to free."""

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        return SUCCESS

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        return SUCCESS

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        raise AssertionError("nothing is sent")

    def cancel_send(self, cancel_id: object) -> None:
        """Nothing is queued."""

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """Nothing is indicated."""

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        if request.oid in (OID.GEN_CURRENT_PACKET_FILTER, OID.O802_3_MULTICAST_LIST):
            request.bytes_read = request.buffer_length
            return SUCCESS
        return NDIS_STATUS.NOT_SUPPORTED

    def cancel_oid_request(self, request_id: int) -> None:
        """Nothing pends."""

    def check_for_hang_ex(self) -> bool:
        return False

    def reset_ex(self) -> ResetResult:
        return ResetResult(SUCCESS)

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """No device."""

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """No device."""

    def interrupt(self, message_id: int) -> InterruptResult:
        return InterruptResult(False)

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """No interrupt."""


class Tower:
    """A physical adapter, the intermediate driver on it, and a protocol on its virtual adapter."""

    def __init__(self, driver: Intermediate, seed: int | None = None) -> None:
        self.bottom = make_rig(2, seed)
        self.bottom.adapter.initialize()
        self.driver = driver
        self.below = self.bottom.adapter.bind(driver)
        self.bottom.adapter.restart()
        self.virtual: Adapter = self.bottom.ndis.add_adapter(driver, AdapterOptions("virtual"))
        self.top = Rig(
            self.bottom.ndis, self.bottom.bus, self.bottom.miniport, ChimneyProtocol(), self.virtual
        )
        self.top.start()

    @property
    def target(self) -> ToyTarget:
        """At the bottom."""
        return self.bottom.target

    @property
    def binding(self) -> Binding:
        """At the top."""
        assert self.top.binding is not None
        return self.top.binding


@pytest.fixture(params=[None, 1, 2, 3], ids=lambda seed: f"seed {seed}")
def tower(request: pytest.FixtureRequest) -> Iterator[Tower]:
    """With handlers on both edges; nothing may be wrong in the end."""
    tower = Tower(Intermediate(), request.param)
    yield tower
    assert tower.bottom.ndis.violations == []


def test_a_connection_runs_through_the_driver(tower: Tower) -> None:
    top, target = tower.top, tower.target
    top.offload(sends=(b"abc",), buffered=b"old")
    (found,) = target.connections
    assert str(found.handle) == "tcp 1"
    assert found.handle.binding is tower.below
    top.send(b"defg")
    top.target_does(lambda: target.ack(found))
    assert top.client.sent == [(SUCCESS, 3), (SUCCESS, 4)]
    top.target_does(lambda: target.arrive(found, b"new"))
    top.post(2, no_push=True)
    top.target_does(lambda: target.arrive(found, b"er"))
    assert top.client.stream == b"oldnewer"
    top.give_back()
    top.disconnect(b"end")
    top.target_does(lambda: target.fin(found))
    assert top.client.events[-1][0] is nd.TCP_OFFLOAD_EVENT_TYPE.DISCONNECT
    top.terminate()
    assert top.client.disconnected == [NDIS_STATUS.UPLOAD_IN_PROGRESS]
    assert not tower.bottom.adapter.chimney.registry.live
    assert not tower.virtual.chimney.registry.live
    tower.virtual.halt()
    tower.bottom.adapter.halt()


def test_a_refusal_below_is_a_refusal_above(tower: Tower) -> None:
    full = NDIS_STATUS.OFFLOAD_TCP_ENTRIES
    tower.target.refuses = lambda block: full if isinstance(block.const, nd.TCP_OFFLOAD_STATE_CONST) else None
    top = tower.top
    top.root = top.initiate(neighbor(path(tcp(sends=(b"abc",)))))
    partial = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
    assert top.client.statuses == [SUCCESS, partial, full]
    assert len(tower.virtual.chimney.registry.live) == 2


@pytest.mark.parametrize(("has_upper", "has_lower"), [(False, True), (True, False)])
def test_a_driver_without_handlers_blocks_it(has_upper: bool, has_lower: bool) -> None:
    tower = Tower(Intermediate(has_upper, has_lower))
    if not has_upper:
        assert tower.binding.chimney is None
    else:
        assert tower.driver.binding is not None
        assert tower.driver.binding.chimney is None
