"""The chimney of an NDIS 6 intermediate driver: block lists converted, calls handed on both ways."""

from __future__ import annotations

from typing import Protocol

from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NDIS_OFFLOAD_HANDLE,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    TCP_OFFLOAD_EVENT_TYPE,
    ClientCalls,
    ClientChimney,
    ProviderCalls,
    ProviderChimney,
    TcpDisconnectFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS

_Upper = NDIS_MINIPORT_OFFLOAD_BLOCK_LIST
_Lower = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
_GOOD = (NDIS_STATUS.SUCCESS, NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS)


class Edges(Protocol):
    """Where calls go on: the adapter below, NDIS above."""

    @property
    def below(self) -> ClientCalls:
        """The NdisXxx chimney functions of the lower binding."""

    @property
    def above(self) -> ProviderCalls:
        """The NdisMXxx chimney functions of the virtual adapter."""


class Passed(NDIS_OFFLOAD_HANDLE):
    """The driver's own handle of an object below; `above` is NDIS's handle of it at the virtual miniport.

    `calls` are those of the binding that it was offloaded through.
    """

    __slots__ = ("above", "calls")

    def __init__(self, above: object) -> None:
        super().__init__()
        self.above = above
        self.calls: ClientCalls | None = None


class Conversion:
    """Block lists on their way: a call entry keeps what belongs to the list that came from above.

    The context of an object at the virtual miniport is the driver's handle of it below; a linker above is
    one below, a placeholder one below.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[_Lower, _Upper]] = {}

    def down(self, block: _Upper | None) -> _Lower | None:
        """A miniport's block list as a protocol's."""
        if block is None:
            return None
        made = _Lower(
            block.state_type,
            block.const,
            block.cached,
            block.delegated,
            ProtocolReserved=block.ProtocolReserved,
            ImReserved=block.ImReserved,
            SourceHandle=block.SourceHandle,
            PortNumber=block.PortNumber,
            NetBufferListChain=block.NetBufferListChain,
            OffloadHandle=_handle_of(block),
        )
        self._entries[id(made)] = made, block
        made.DependentBlockList = self.down(block.DependentBlockList)
        made.NextBlock = self.down(block.NextBlock)
        return made

    def up(self, made: _Lower) -> _Upper:
        """The block list that came from above, with statuses, states and contexts of the one below."""
        block = self._entries.pop(id(made))[1]
        block.Status, block.const, block.cached = made.Status, made.const, made.cached
        block.delegated, block.NetBufferListChain = made.delegated, made.NetBufferListChain
        context = block.MiniportOffloadContext
        if context is not None and context.value is None and made.Status in _GOOD:
            context.value = made.OffloadHandle
        for each in (made.DependentBlockList, made.NextBlock):
            if each is not None:
                self.up(each)
        return block


def _handle_of(block: _Upper) -> Passed | None:
    context = block.MiniportOffloadContext
    if context is None:
        return None
    return context.value if isinstance(context.value, Passed) else Passed(block.NdisOffloadHandle)


class ChimneyDown(ProviderChimney):
    """The entry points of the virtual miniport: everything goes down."""

    def __init__(self, edges: Edges, conversion: Conversion) -> None:
        self._edges = edges
        self._conversion = conversion

    def _converted(self, block: _Upper) -> _Lower:
        made = self._conversion.down(block)
        assert made is not None
        return made

    def initiate_offload(self, block: _Upper) -> None:
        """MiniportInitiateOffload."""
        self._edges.below.initiate_offload(self._converted(block))

    def terminate_offload(self, block: _Upper) -> None:
        """MiniportTerminateOffload."""
        self._edges.below.terminate_offload(self._converted(block))

    def update_offload(self, block: _Upper) -> None:
        """MiniportUpdateOffload."""
        self._edges.below.update_offload(self._converted(block))

    def invalidate_offload(self, block: _Upper) -> None:
        """MiniportInvalidateOffload."""
        self._edges.below.invalidate_offload(self._converted(block))

    def query_offload(self, block: _Upper) -> None:
        """MiniportQueryOffload."""
        self._edges.below.query_offload_state(self._converted(block))

    def tcp_offload_send(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadSend."""
        return self._edges.below.offload_tcp_send(_passed(context), chain)

    def tcp_offload_receive(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceive."""
        return self._edges.below.offload_tcp_receive(_passed(context), chain)

    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceiveReturn."""
        return self._edges.below.offload_tcp_receive_return(_passed(context), chain)

    def tcp_offload_disconnect(
        self, context: object, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        """MiniportTcpOffloadDisconnect."""
        return self._edges.below.offload_tcp_disconnect(_passed(context), nbl, flags)

    def tcp_offload_forward(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadForward."""
        return self._edges.below.offload_tcp_forward(_passed(context), chain)


class ChimneyUp(ClientChimney):
    """The entry points of the protocol edge: everything goes up."""

    def __init__(self, edges: Edges, conversion: Conversion) -> None:
        self._edges = edges
        self._conversion = conversion

    def initiate_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolInitiateOffloadComplete."""
        self._edges.above.m_initiate_offload_complete(self._conversion.up(block))

    def terminate_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolTerminateOffloadComplete."""
        self._edges.above.m_terminate_offload_complete(self._conversion.up(block))

    def update_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolUpdateOffloadComplete."""
        self._edges.above.m_update_offload_complete(self._conversion.up(block))

    def invalidate_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolInvalidateOffloadComplete."""
        self._edges.above.m_invalidate_offload_complete(self._conversion.up(block))

    def query_offload_complete(self, binding: BindingHandle, block: _Lower) -> None:
        """ProtocolQueryOffloadComplete."""
        self._edges.above.m_query_offload_state_complete(self._conversion.up(block))

    def indicate_offload_event(
        self, binding: BindingHandle, block: _Lower | None, event: INDICATE_OFFLOAD_EVENT
    ) -> None:
        """ProtocolIndicateOffloadEvent: the answer of the host above is the answer below."""
        if block is None or not isinstance(block.OffloadHandle, Passed):
            self._edges.above.m_offload_event_indicate(None, event)
            return
        asked = _Upper(
            block.state_type,
            block.const,
            block.cached,
            block.delegated,
            block.Status,
            MiniportOffloadContext=None,
            NdisOffloadHandle=block.OffloadHandle.above,
        )
        self._edges.above.m_offload_event_indicate(asked, event)
        block.cached = asked.cached

    def tcp_offload_event(
        self, handle: NDIS_OFFLOAD_HANDLE, event: TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        """ProtocolTcpOffloadEventIndicate."""
        self._edges.above.tcp_offload_event_handler(_above(handle), event, info)

    def tcp_offload_receive_indicate(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        """ProtocolTcpOffloadReceiveIndicate."""
        return self._edges.above.tcp_offload_receive_handler(_above(handle), nbl)

    def tcp_offload_send_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadSendComplete."""
        self._edges.above.tcp_offload_send_complete(_above(handle), chain)

    def tcp_offload_receive_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadReceiveComplete."""
        self._edges.above.tcp_offload_receive_complete(_above(handle), chain)

    def tcp_offload_disconnect_complete(self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        """ProtocolTcpOffloadDisconnectComplete."""
        self._edges.above.tcp_offload_disconnect_complete(_above(handle), nbl)

    def tcp_offload_forward_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadForwardComplete."""
        self._edges.above.tcp_offload_forward_complete(_above(handle), chain)


def _passed(context: object) -> Passed:
    assert isinstance(context, Passed)
    return context


def _above(handle: NDIS_OFFLOAD_HANDLE) -> object:
    return _passed(handle).above
