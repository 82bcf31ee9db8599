"""One control call on its way: the protocol's block list, the miniport's, and what each block is in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    Cached,
    Const,
    MiniportOffloadContext,
)
from vnic.ndis.chimney_objects import Kind, OffloadObject
from vnic.ndis.chimney_tree import Node

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding


class Request(Enum):
    """The five calls that manipulate offloaded state."""

    INITIATE = "Initiate"
    QUERY = "Query"
    UPDATE = "Update"
    INVALIDATE = "Invalidate"
    TERMINATE = "Terminate"

    @property
    def from_protocol(self) -> str:
        """NdisXxxOffload."""
        return "NdisQueryOffloadState" if self is Request.QUERY else f"Ndis{self.value}Offload"

    @property
    def to_miniport(self) -> str:
        """MiniportXxxOffload."""
        return f"Miniport{self.value}Offload"

    @property
    def from_miniport(self) -> str:
        """NdisMXxxOffloadComplete."""
        middle = "State" if self is Request.QUERY else ""
        return f"NdisM{self.value}Offload{middle}Complete"

    @property
    def to_protocol(self) -> str:
        """ProtocolXxxOffloadComplete."""
        return f"Protocol{self.value}OffloadComplete"


class Role(Enum):
    """What a block is in a call."""

    PLACEHOLDER = "placeholder"
    LINKER = "linker"
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class Lent:
    """What a miniport block looked like when it left, members that the target must leave alone."""

    links: tuple[object, ...]
    reserved: tuple[object, ...]
    const: Const | None
    cached: Cached | None

    @classmethod
    def of(cls, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> Lent:
        """Now; CONST and CACHED are copied."""
        links = (
            block.NextBlock,
            block.DependentBlockList,
            block.MiniportOffloadContext,
            block.NdisOffloadHandle,
            block.NdisReserved,
        )
        reserved = (block.ProtocolReserved, block.ImReserved, block.SourceHandle, block.state_type)
        return cls(links, reserved, copy.copy(block.const), copy.copy(block.cached))

    def difference(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> str:
        """The members that changed, CONST and CACHED apart."""
        now = Lent.of(block)
        names = (
            "NextBlock",
            "DependentBlockList",
            "MiniportOffloadContext",
            "NdisOffloadHandle",
            "NdisReserved",
        )
        changed = [
            name for name, old, new in zip(names, self.links, now.links, strict=True) if old is not new
        ]
        others = ("ProtocolReserved", "ImReserved", "SourceHandle", "type")
        pairs = zip(others, self.reserved, now.reserved, strict=True)
        changed += [name for name, old, new in pairs if old is not new]
        return ", ".join(changed)


@dataclass(slots=True, eq=False)
class Pair:
    """A block of the protocol and its image for the miniport; `subject` is None for a placeholder."""

    node: Node[NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST]
    block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST
    kind: Kind
    role: Role
    subject: OffloadObject | None
    parent: Pair | None
    dependents: list[Pair] = field(default_factory=list)
    lent: Lent | None = None
    #: Of an update: the neighbor that a path moves to.
    moves_to: OffloadObject | None = None

    @property
    def source(self) -> NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST:
        """The protocol's block."""
        return self.node.block

    def __str__(self) -> str:
        return f"{self.role.value} {self.subject or self.kind.name.lower()}"

    @property
    def is_ipv6_path(self) -> bool:
        """Whether this is a path, new or linked, of IPv6."""
        if self.subject is not None:
            return self.subject.is_ipv6
        return self.source.state_type == OFFLOAD_STATE_TYPE.IP6_PATH_ALL

    def take(self) -> OffloadObject:
        """The object of a block that is no placeholder."""
        assert self.subject is not None
        return self.subject


@dataclass(slots=True, eq=False)
class Operation:
    """A call that is not completed; `inside` is the depth of frames while the miniport is called."""

    request: Request
    binding: Binding
    pairs: list[Pair]
    inside: int | None = None

    @property
    def root(self) -> Pair:
        """The block that was passed."""
        return self.pairs[0]

    def subjects(self) -> Iterator[Pair]:
        """The blocks that the call is about."""
        return (pair for pair in self.pairs if pair.role is Role.SUBJECT)

    def lend(self) -> None:
        """Link the miniport's blocks as the protocol's are, and keep what must not change."""
        by_source = {id(pair.source): pair.block for pair in self.pairs}
        for pair in self.pairs:
            following, below = pair.source.NextBlock, pair.source.DependentBlockList
            pair.block.NextBlock = by_source[id(following)] if following is not None else None
            pair.block.DependentBlockList = by_source[id(below)] if below is not None else None
        for pair in self.pairs:
            pair.block.NdisReserved = self
            pair.lent = Lent.of(pair.block)

    def give_back(self) -> None:
        """Into the protocol's blocks: status, state that was filled, chains."""
        for pair in self.pairs:
            source, block = pair.source, pair.block
            source.Status = block.Status
            source.delegated = block.delegated
            source.NetBufferListChain = block.NetBufferListChain
            if self.request is Request.QUERY:
                source.const, source.cached = block.const, block.cached
            block.NdisReserved = None


def image_of(
    source: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, subject: OffloadObject | None
) -> NDIS_MINIPORT_OFFLOAD_BLOCK_LIST:
    """The same block as a miniport sees it, not linked yet; the state is the protocol's own."""
    context: MiniportOffloadContext | None = None
    if source.OffloadHandle is not None:
        context = source.OffloadHandle.MiniportOffloadContext
    return NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
        state_type=source.state_type,
        const=source.const,
        cached=source.cached,
        delegated=source.delegated,
        ProtocolReserved=source.ProtocolReserved,
        ImReserved=source.ImReserved,
        SourceHandle=source.SourceHandle,
        PortNumber=source.PortNumber,
        NetBufferListChain=source.NetBufferListChain,
        MiniportOffloadContext=context,
        NdisOffloadHandle=subject,
    )
