"""The chimney's bench with the reference miniport, which tests of it also call and watch from inside."""

from __future__ import annotations

from typing import Any

from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.chimney import bench
from vnic.testbench.chimney.blocks import (
    EVENT,
    OK,
    Block,
    bytes_of,
    tree,
)


class Recorder(nd.ProviderCalls):
    """NDIS as the miniport calls it when there is no NDIS between: keeps what comes, `accepts` everything."""

    def __init__(self) -> None:
        self.completed: list[tuple[str, Any]] = []
        self.told: list[tuple[Any, ...]] = []

    @property
    def indicated(self) -> list[NetBufferList]:
        """NBLs that were indicated."""
        return [entry[1] for entry in self.told if entry[0] == "indicate"]

    def m_initiate_offload_complete(self, block: Any) -> None:
        self.completed.append(("initiate", block))

    def m_terminate_offload_complete(self, block: Any) -> None:
        self.completed.append(("terminate", block))

    def m_update_offload_complete(self, block: Any) -> None:
        self.completed.append(("update", block))

    def m_invalidate_offload_complete(self, block: Any) -> None:
        self.completed.append(("invalidate", block))

    def m_query_offload_state_complete(self, block: Any) -> None:
        self.completed.append(("query", block))

    def m_offload_event_indicate(self, block: Any, event: nd.INDICATE_OFFLOAD_EVENT) -> None:
        self.told.append(("query", block))

    def tcp_offload_event_handler(self, handle: object, event: EVENT, info: int) -> None:
        self.told.append((event.name, info))

    def tcp_offload_receive_handler(self, handle: object, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        self.told.append(("indicate", nbl))
        return OK, len(bytes_of(nbl))

    def tcp_offload_send_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("sent", nbl.status) for nbl in walk(chain)]

    def tcp_offload_receive_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("received", nbl.status) for nbl in walk(chain)]

    def tcp_offload_disconnect_complete(self, handle: object, nbl: NetBufferList) -> None:
        self.told.append(("disconnected", nbl.status))

    def tcp_offload_forward_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("forwarded", nbl.status) for nbl in walk(chain)]


def for_miniport(block: Any) -> Any:
    """The same tree as a miniport sees it, contexts shared."""
    if block is None:
        return None
    handle = block.OffloadHandle
    return nd.NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
        block.state_type,
        block.const,
        block.cached,
        block.delegated,
        NetBufferListChain=block.NetBufferListChain,
        NextBlock=for_miniport(block.NextBlock),
        DependentBlockList=for_miniport(block.DependentBlockList),
        MiniportOffloadContext=handle.MiniportOffloadContext if handle is not None else None,
        NdisOffloadHandle=handle,
    )


class ChimneyBench(bench.ChimneyBench):
    """With the reference miniport."""

    @property
    def rings(self) -> Any:
        """The miniport's chimney."""
        chimney = self.miniport.card.chimney  # type: ignore[attr-defined]
        assert chimney is not None
        return chimney

    def record(self) -> Recorder:
        """From now on the miniport calls a recorder: for what NDIS would not let a protocol ask."""
        recorder = Recorder()
        self.rings.ndis = recorder
        return recorder

    def direct(self, name: str, block: Block) -> list[NDIS_STATUS | None]:
        """A call of the miniport's entry point; the statuses of the tree, depth first."""
        recorder = self.rings.ndis
        given = for_miniport(block)
        before = len(recorder.completed)
        getattr(self.miniport._chimney.provider, f"{name}_offload")(given)  # type: ignore[attr-defined]
        assert len(recorder.completed) == before, "completed before the call returned"
        self.settle()
        assert [(what, each is given) for what, each in recorder.completed[before:]] == [(name, True)]
        return [each.Status for each in tree(given)]
