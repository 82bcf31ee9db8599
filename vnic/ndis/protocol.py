"""The contract of an NDIS 6 protocol driver: the ProtocolXxx entry points, and its handle of a binding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum

from vnic.ndis.chimney import ClientCalls, ClientChimney
from vnic.ndis.miniport import ReceiveFlag, SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.offload import Offload, TcpConnectionOffload
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.rss import ReceiveScaleCapabilities
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, StatusIndication


class NetEvent(IntEnum):
    """NET_PNP_EVENT_CODE of ProtocolNetPnPEvent."""

    SET_POWER = 0
    QUERY_POWER = 1
    QUERY_REMOVE_DEVICE = 2
    CANCEL_REMOVE_DEVICE = 3
    RECONFIGURE = 4
    BIND_LIST = 5
    BINDS_COMPLETE = 6
    PNP_CAPABILITIES = 7
    PAUSE = 8
    RESTART = 9
    PORT_ACTIVATION = 10
    PORT_DEACTIVATION = 11


@dataclass(frozen=True, slots=True)
class BindParameters:
    """NDIS_BIND_PARAMETERS: what a protocol learns of the adapter below it."""

    adapter_name: str
    current_mac_address: bytes
    mtu_size: int
    link_state: LinkState
    max_multicast_list_size: int
    supported_packet_filters: int
    receive_scale: ReceiveScaleCapabilities | None = None
    offload_config: Offload | None = None
    connection_offload_config: TcpConnectionOffload | None = None
    data_backfill: int = 0


class BindingHandle(ABC):
    """NdisBindingHandle: the NdisXxx functions of one binding."""

    @abstractmethod
    def send_net_buffer_lists(self, chain: NetBufferList, port: int = 0) -> None:
        """NdisSendNetBufferLists: gives the NBLs away until they are completed."""

    @abstractmethod
    def cancel_send_net_buffer_lists(self, cancel_id: object) -> None:
        """NdisCancelSendNetBufferLists."""

    @abstractmethod
    def return_net_buffer_lists(self, chain: NetBufferList) -> None:
        """NdisReturnNetBufferLists."""

    @abstractmethod
    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """NdisOidRequest: the final status, or PENDING and later Protocol.oid_request_complete."""

    @abstractmethod
    def cancel_oid_request(self, request_id: int) -> None:
        """NdisCancelOidRequest."""

    @abstractmethod
    def complete_net_pnp_event(self, event: NetEvent, status: NDIS_STATUS) -> None:
        """NdisCompleteNetPnPEvent: ends an event for which net_pnp_event said PENDING."""

    @abstractmethod
    def close(self) -> None:
        """NdisCloseAdapterEx: nothing may be outstanding."""

    @property
    @abstractmethod
    def chimney(self) -> ClientCalls | None:
        """The NdisXxx chimney functions; None where the adapter or the protocol has no chimney."""


class Protocol(ABC):
    """A protocol driver; may be bound to several adapters and serve all of their calls."""

    def client_chimney(self) -> ClientChimney | None:
        """NdisSetOptionalHandlers of ProtocolSetOptions: the chimney handlers, asked for at each bind."""
        return None

    @abstractmethod
    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx: PASSIVE; the binding starts Paused."""

    @abstractmethod
    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        """ProtocolUnbindAdapterEx: PASSIVE; close the binding."""

    @abstractmethod
    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: PASSIVE; SUCCESS, PENDING, or NOT_SUPPORTED."""

    @abstractmethod
    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        """ProtocolReceiveNetBufferLists: up to DISPATCH, on several processors at once."""

    @abstractmethod
    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete: up to DISPATCH."""

    @abstractmethod
    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx: up to DISPATCH."""

    @abstractmethod
    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """ProtocolOidRequestComplete: up to DISPATCH."""
