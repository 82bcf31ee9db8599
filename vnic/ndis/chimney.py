"""TCP chimney as NDIS 6 names it: block lists and the handlers of both sides; the state is chimney_state's.

Sources: the documentation of ndischimney.h, and "Full TCP Offload" of the NDIS design guide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vnic.ndis.chimney_state import (
    BACKLOG_UNKNOWN,
    INDICATE_OFFLOAD_EVENT,
    MAX_RT_UNLIMITED,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_CONST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
    OFFLOADABLE,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CONST,
    PATH_OFFLOAD_STATE_DELEGATED,
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_EVENT_TYPE,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
    TCP_UPLOAD_REASON,
    TIMER_STOPPED,
    Cached,
    Const,
    Delegated,
    KeepAliveState,
    RetransmitState,
    TcpCachedFlag,
    TcpConstFlag,
    TcpDisconnectFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.protocol import BindingHandle

__all__ = [
    "BACKLOG_UNKNOWN",
    "INDICATE_OFFLOAD_EVENT",
    "MAX_RT_UNLIMITED",
    "NDIS_MINIPORT_OFFLOAD_BLOCK_LIST",
    "NDIS_OFFLOAD_HANDLE",
    "NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST",
    "NEIGHBOR_OFFLOAD_STATE_CACHED",
    "NEIGHBOR_OFFLOAD_STATE_CONST",
    "NEIGHBOR_OFFLOAD_STATE_DELEGATED",
    "OFFLOADABLE",
    "OFFLOAD_STATE_TYPE",
    "PATH_OFFLOAD_STATE_CACHED",
    "PATH_OFFLOAD_STATE_CONST",
    "PATH_OFFLOAD_STATE_DELEGATED",
    "TCP_OFFLOAD_CONNECTION_STATE",
    "TCP_OFFLOAD_EVENT_TYPE",
    "TCP_OFFLOAD_STATE_CACHED",
    "TCP_OFFLOAD_STATE_CONST",
    "TCP_OFFLOAD_STATE_DELEGATED",
    "TCP_UPLOAD_REASON",
    "TIMER_STOPPED",
    "Cached",
    "ClientCalls",
    "ClientChimney",
    "Const",
    "Delegated",
    "KeepAliveState",
    "MiniportOffloadContext",
    "OffloadBlock",
    "ProviderCalls",
    "ProviderChimney",
    "RetransmitState",
    "TcpCachedFlag",
    "TcpConstFlag",
    "TcpDisconnectFlag",
]


# -- block lists ---------------------------------------------------------------------------------------------


class MiniportOffloadContext:
    """The cell that `*MiniportOffloadContext` is: `value` None until the target wrote it on success."""

    __slots__ = ("value",)

    def __init__(self, value: object = None) -> None:
        self.value = value


@dataclass(slots=True, eq=False)
class NDIS_OFFLOAD_HANDLE:
    """What the host allocates for each object; NDIS and the target keep their contexts in it."""

    NdisReserved: object = None
    MiniportOffloadContext: MiniportOffloadContext = field(default_factory=MiniportOffloadContext)


@dataclass(slots=True, eq=False)
class OffloadBlock:
    """What both kinds of block lists have; the structures that follow a block in memory are members here.

    `Status` is None until somebody wrote it. Placeholder: no context or handle, `state_type` NONE. Linker: a
    context with a value, `state_type` NONE. New offload: a context without a value, and state.
    """

    state_type: OFFLOAD_STATE_TYPE = OFFLOAD_STATE_TYPE.NONE
    const: Const | None = None
    cached: Cached | None = None
    delegated: Delegated | None = None
    Status: NDIS_STATUS | None = None
    ProtocolReserved: object = None
    ImReserved: object = None
    NdisReserved: object = None
    Scratch: object = None
    SourceHandle: object = None
    PortNumber: int = 0
    NetBufferListChain: NetBufferList | None = None


@dataclass(slots=True, eq=False)
class NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(OffloadBlock):
    """A node of the tree that a miniport sees: siblings by NextBlock, dependents by DependentBlockList.

    MiniportOffloadContext None is a NULL pointer: a placeholder. NdisOffloadHandle is what the target passes
    to the Ndis functions that concern this object.
    """

    NextBlock: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST | None = None
    DependentBlockList: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST | None = None
    MiniportOffloadContext: MiniportOffloadContext | None = None
    NdisOffloadHandle: object = None
    MiniportReserved: object = None


@dataclass(slots=True, eq=False)
class NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST(OffloadBlock):
    """The same as a protocol, or a protocol edge, sees it; OffloadHandle None: a placeholder."""

    NextBlock: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST | None = None
    DependentBlockList: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST | None = None
    OffloadHandle: NDIS_OFFLOAD_HANDLE | None = None


# -- handlers ------------------------------------------------------------------------------------------------


class ProviderChimney(ABC):
    """NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_ and _TCP_CHARACTERISTICS: the target's entry points.

    A miniport registers one in MiniportSetOptions (m_set_optional_handlers). Calls return nothing and
    complete later, with the same block list, by the NdisMXxxComplete function of their name; I/O calls return
    PENDING.
    `context` is the value that the target wrote into MiniportOffloadContext.
    """

    @abstractmethod
    def initiate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportInitiateOffload."""

    @abstractmethod
    def terminate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportTerminateOffload."""

    @abstractmethod
    def update_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportUpdateOffload."""

    @abstractmethod
    def invalidate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportInvalidateOffload."""

    @abstractmethod
    def query_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportQueryOffload."""

    @abstractmethod
    def tcp_offload_send(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadSend: PENDING."""

    @abstractmethod
    def tcp_offload_receive(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceive: PENDING."""

    @abstractmethod
    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceiveReturn: SUCCESS."""

    @abstractmethod
    def tcp_offload_disconnect(
        self, context: object, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        """MiniportTcpOffloadDisconnect: PENDING."""

    @abstractmethod
    def tcp_offload_forward(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadForward: PENDING."""


class ProviderCalls(ABC):
    """The NDIS-provided functions a target calls (NdisMGetOffloadHandlers with NdisTcpChimneyOffload).

    `handle` is the block's NdisOffloadHandle. The NDIS_TCP_OFFLOAD_EVENT_HANDLERS run at DISPATCH_LEVEL.
    """

    @abstractmethod
    def m_initiate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMInitiateOffloadComplete."""

    @abstractmethod
    def m_terminate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMTerminateOffloadComplete."""

    @abstractmethod
    def m_update_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMUpdateOffloadComplete."""

    @abstractmethod
    def m_invalidate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMInvalidateOffloadComplete."""

    @abstractmethod
    def m_query_offload_state_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMQueryOffloadStateComplete."""

    @abstractmethod
    def m_offload_event_indicate(
        self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST | None, event: INDICATE_OFFLOAD_EVENT
    ) -> None:
        """NdisMOffloadEventIndicate: the host answers a reachability query in the block's CACHED state."""

    @abstractmethod
    def tcp_offload_event_handler(self, handle: object, event: TCP_OFFLOAD_EVENT_TYPE, info: int) -> None:
        """NdisTcpOffloadEventHandler; info: TCP_UPLOAD_REASON of RETRIEVE, bytes of SEND_BACKLOG_CHANGE."""

    @abstractmethod
    def tcp_offload_receive_handler(self, handle: object, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        """NdisTcpOffloadReceiveHandler: SUCCESS, OFFLOAD_DATA_NOT_ACCEPTED or _PARTIALLY_ACCEPTED, and
        BytesConsumed."""

    @abstractmethod
    def tcp_offload_send_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadSendComplete; each NBL has its Status and TcpOffloadBytesTransferred."""

    @abstractmethod
    def tcp_offload_receive_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadReceiveComplete."""

    @abstractmethod
    def tcp_offload_disconnect_complete(self, handle: object, nbl: NetBufferList) -> None:
        """NdisTcpOffloadDisconnectComplete."""

    @abstractmethod
    def tcp_offload_forward_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadForwardComplete."""


class ClientChimney(ABC):
    """NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_ and _TCP_CHARACTERISTICS: the entry points of a protocol.

    A protocol names one in Protocol.client_chimney (NdisSetOptionalHandlers in ProtocolSetOptions). `handle`
    is the NDIS_OFFLOAD_HANDLE that the protocol allocated for the object.
    """

    @abstractmethod
    def initiate_offload_complete(
        self, binding: BindingHandle, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
    ) -> None:
        """ProtocolInitiateOffloadComplete."""

    @abstractmethod
    def terminate_offload_complete(
        self, binding: BindingHandle, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
    ) -> None:
        """ProtocolTerminateOffloadComplete."""

    @abstractmethod
    def update_offload_complete(
        self, binding: BindingHandle, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
    ) -> None:
        """ProtocolUpdateOffloadComplete."""

    @abstractmethod
    def invalidate_offload_complete(
        self, binding: BindingHandle, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
    ) -> None:
        """ProtocolInvalidateOffloadComplete."""

    @abstractmethod
    def query_offload_complete(self, binding: BindingHandle, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """ProtocolQueryOffloadComplete."""

    @abstractmethod
    def indicate_offload_event(
        self,
        binding: BindingHandle,
        block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST | None,
        event: INDICATE_OFFLOAD_EVENT,
    ) -> None:
        """ProtocolIndicateOffloadEvent."""

    @abstractmethod
    def tcp_offload_event(
        self, handle: NDIS_OFFLOAD_HANDLE, event: TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        """ProtocolTcpOffloadEventIndicate."""

    @abstractmethod
    def tcp_offload_receive_indicate(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        """ProtocolTcpOffloadReceiveIndicate: the status, and BytesConsumed."""

    @abstractmethod
    def tcp_offload_send_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadSendComplete."""

    @abstractmethod
    def tcp_offload_receive_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadReceiveComplete."""

    @abstractmethod
    def tcp_offload_disconnect_complete(self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        """ProtocolTcpOffloadDisconnectComplete."""

    @abstractmethod
    def tcp_offload_forward_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadForwardComplete."""


class ClientCalls(ABC):
    """The NdisXxx chimney functions of one binding, for a protocol."""

    @abstractmethod
    def initiate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisInitiateOffload."""

    @abstractmethod
    def terminate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisTerminateOffload."""

    @abstractmethod
    def update_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisUpdateOffload."""

    @abstractmethod
    def invalidate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisInvalidateOffload."""

    @abstractmethod
    def query_offload_state(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisQueryOffloadState."""

    @abstractmethod
    def offload_tcp_send(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpSend: PENDING."""

    @abstractmethod
    def offload_tcp_receive(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpReceive: PENDING."""

    @abstractmethod
    def offload_tcp_receive_return(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpReceiveReturn: SUCCESS."""

    @abstractmethod
    def offload_tcp_disconnect(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        """NdisOffloadTcpDisconnect: PENDING."""

    @abstractmethod
    def offload_tcp_forward(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpForward: PENDING."""
