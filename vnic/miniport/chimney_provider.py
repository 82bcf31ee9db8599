"""The target's entry points, registered in MiniportSetOptions: each saves what it is given and returns."""

from __future__ import annotations

from collections.abc import Callable

from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_connection import Connection
from vnic.miniport.chimney_mood import Mood
from vnic.miniport.chimney_operations import Invalidate, Query, Update
from vnic.miniport.chimney_terminate import Terminate
from vnic.ndis.chimney import NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, ProviderChimney, TcpDisconnectFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

_PENDING = NDIS_STATUS.PENDING
_SUCCESS = NDIS_STATUS.SUCCESS


class Provider(ProviderChimney):
    """NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_ and _TCP_CHARACTERISTICS of the miniport.

    `on_return`: called when the host has given indications back.
    """

    def __init__(self, on_return: Callable[[], None]) -> None:
        self._on_return = on_return
        self.mood: Mood | None = None

    @property
    def chimney(self) -> Chimney:
        """There while the adapter offers it; NDIS calls nothing else."""
        assert self.mood is not None
        return self.mood.chimney

    # -- state objects -----------------------------------------------------------------------------------

    def initiate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportInitiateOffload."""
        assert self.mood is not None
        with self.chimney.section():
            self.mood.initiate(block)

    def terminate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportTerminateOffload."""
        with self.chimney.section():
            Terminate(self.chimney, block).begin()

    def update_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportUpdateOffload."""
        with self.chimney.section():
            Update(self.chimney, block, self.chimney.ndis.m_update_offload_complete).begin()

    def invalidate_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportInvalidateOffload."""
        with self.chimney.section():
            Invalidate(self.chimney, block, self.chimney.ndis.m_invalidate_offload_complete).begin()

    def query_offload(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """MiniportQueryOffload."""
        with self.chimney.section():
            Query(self.chimney, block, self.chimney.ndis.m_query_offload_state_complete).begin()

    # -- I/O ---------------------------------------------------------------------------------------------

    def tcp_offload_send(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadSend: all are accepted."""
        with self.chimney.section():
            _connection(context).sending.post(chain)
        return _PENDING

    def tcp_offload_receive(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceive."""
        with self.chimney.section():
            _connection(context).receiving.post(chain)
        return _PENDING

    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadReceiveReturn."""
        self.chimney.receive_return(chain)
        self._on_return()
        return _SUCCESS

    def tcp_offload_disconnect(
        self, context: object, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        """MiniportTcpOffloadDisconnect."""
        with self.chimney.section():
            _connection(context).disconnect(nbl, flags)
        return _PENDING

    def tcp_offload_forward(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        """MiniportTcpOffloadForward."""
        with self.chimney.section():
            _connection(context).forward(chain)
        return _PENDING


def _connection(context: object) -> Connection:
    """What the miniport wrote into MiniportOffloadContext."""
    assert isinstance(context, Connection)
    return context
