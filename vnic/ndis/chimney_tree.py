"""Block lists as trees: walked depth-first, with a defined answer for every hostile shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vnic.ndis import chimney as nd
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE as TYPE
from vnic.ndis.chimney_objects import Kind

B = TypeVar("B", nd.NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, nd.NDIS_MINIPORT_OFFLOAD_BLOCK_LIST)

#: More levels than a tree has kinds of objects are a fault; that many blocks as well.
_MOST_BLOCKS = 1 << 20


class TreeError(ValueError):
    """A block list that is no tree of neighbors, paths and connections."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What an OFFLOAD_STATE_TYPE says: the kind of object, and which structures follow the block."""

    kind: Kind
    is_ipv6: bool
    parts: frozenset[str]


_ALL = ("const", "cached", "delegated")


def _shapes(kind: Kind, is_ipv6: bool, first: int, last: int) -> dict[TYPE, Shape]:
    each = {TYPE(first + place): Shape(kind, is_ipv6, frozenset((part,))) for place, part in enumerate(_ALL)}
    return {**each, TYPE(last): Shape(kind, is_ipv6, frozenset(_ALL))}


SHAPES: dict[TYPE, Shape] = {
    **_shapes(Kind.NEIGHBOR, False, TYPE.NEIGHBOR_CONST, TYPE.NEIGHBOR_ALL),
    **_shapes(Kind.PATH, False, TYPE.IP4_PATH_CONST, TYPE.IP4_PATH_ALL),
    **_shapes(Kind.PATH, True, TYPE.IP6_PATH_CONST, TYPE.IP6_PATH_ALL),
    **_shapes(Kind.TCP, False, TYPE.TCP_CONST, TYPE.TCP_ALL),
}

_CLASSES: dict[Kind, dict[str, type]] = {
    Kind.NEIGHBOR: {
        "const": nd.NEIGHBOR_OFFLOAD_STATE_CONST,
        "cached": nd.NEIGHBOR_OFFLOAD_STATE_CACHED,
        "delegated": nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    },
    Kind.PATH: {
        "const": nd.PATH_OFFLOAD_STATE_CONST,
        "cached": nd.PATH_OFFLOAD_STATE_CACHED,
        "delegated": nd.PATH_OFFLOAD_STATE_DELEGATED,
    },
    Kind.TCP: {
        "const": nd.TCP_OFFLOAD_STATE_CONST,
        "cached": nd.TCP_OFFLOAD_STATE_CACHED,
        "delegated": nd.TCP_OFFLOAD_STATE_DELEGATED,
    },
}


def state_fault(block: nd.OffloadBlock) -> str:
    """What is wrong with the state that follows a block, "" for nothing."""
    if block.state_type not in SHAPES:
        present = [part for part in _ALL if getattr(block, part) is not None]
        if block.state_type == TYPE.NONE:
            return f"type NONE, followed by {', '.join(present)}" if present else ""
        return f"type {block.state_type!r} is no state of an object"
    shape = SHAPES[block.state_type]
    for part in _ALL:
        value = getattr(block, part)
        if part in shape.parts and type(value) is not _CLASSES[shape.kind][part]:
            return f"type {block.state_type.name}, but {part} is {type(value).__name__}"
        if part not in shape.parts and value is not None:
            return f"type {block.state_type.name}, followed by {part} too"
    return ""


@dataclass(slots=True, eq=False)
class Node(Generic[B]):
    """A block with its place in the tree."""

    block: B
    parent: Node[B] | None
    level: int
    dependents: list[Node[B]] = field(default_factory=list)

    def below(self) -> Iterator[Node[B]]:
        """Every node under it, depth-first."""
        for each in self.dependents:
            yield each
            yield from each.below()


def flatten(root: B) -> list[Node[B]]:
    """Every node depth-first, a block before its dependents, those before its siblings; raises TreeError."""
    found: list[Node[B]] = []
    seen: set[int] = set()
    stack: list[tuple[B, Node[B] | None, int]] = [(root, None, 0)]
    while stack:
        block, parent, level = stack.pop()
        if id(block) in seen:
            raise TreeError("a block is linked twice: the list is cyclic or shared")
        if level >= len(Kind):
            raise TreeError("a TCP connection has dependents, or the tree is deeper than neighbor, path, TCP")
        if len(found) >= _MOST_BLOCKS:
            raise TreeError(f"more than {_MOST_BLOCKS} blocks")
        seen.add(id(block))
        node = Node(block, parent, level)
        found.append(node)
        if parent is not None:
            parent.dependents.append(node)
        if block.NextBlock is not None:
            stack.append((_checked(root, block.NextBlock), parent, level))
        if block.DependentBlockList is not None:
            stack.append((_checked(root, block.DependentBlockList), node, level + 1))
    return found


def _checked(root: B, block: object) -> B:
    if type(block) is not type(root):
        raise TreeError(f"a link to {type(block).__name__} in a {type(root).__name__}")
    return block
