"""What a protocol asks for, before the miniport sees it: roles of blocks, their state, the right time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    NDIS_OFFLOAD_HANDLE,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    OFFLOADABLE,
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_STATE_DELEGATED,
)
from vnic.ndis.chimney_objects import Kind, OffloadObject, Phase
from vnic.ndis.chimney_operation import Operation, Pair, Request, Role, image_of
from vnic.ndis.chimney_tree import SHAPES, Node, TreeError, flatten, state_fault

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding
    from vnic.ndis.verifier import Verifier

_ProtocolNode = Node[NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST]
_ALL_TYPES = (
    OFFLOAD_STATE_TYPE.NEIGHBOR_ALL,
    OFFLOAD_STATE_TYPE.IP4_PATH_ALL,
    OFFLOAD_STATE_TYPE.IP6_PATH_ALL,
    OFFLOAD_STATE_TYPE.TCP_ALL,
)
#: Which state may follow a subject of each call.
_PARTS: dict[Request, frozenset[str]] = {
    Request.UPDATE: frozenset(("cached",)),
    Request.TERMINATE: frozenset(("delegated",)),
}
_UNSENT_FIN = (
    TCP_OFFLOAD_CONNECTION_STATE.FIN_WAIT1,
    TCP_OFFLOAD_CONNECTION_STATE.CLOSING,
    TCP_OFFLOAD_CONNECTION_STATE.LAST_ACK,
)


class RequestReader:
    """Reads the block lists of protocols; every fault is the protocol's and raises its breach."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def read(self, binding: Binding, request: Request, root: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> Operation:
        """The operation, its blocks resolved; nothing has changed yet."""
        if not isinstance(root, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST):
            raise self._breach(binding, "CHIM-1", f"{request.from_protocol} of {type(root).__name__}")
        try:
            nodes = flatten(root)
        except TreeError as error:
            raise self._breach(binding, "CHIM-1", str(error)) from None
        kinds = self._kinds(binding, request, nodes)
        pairs: dict[_ProtocolNode, Pair] = {}
        for node in nodes:
            parent = pairs[node.parent] if node.parent is not None else None
            pair = self._pair(binding, request, node, kinds[node], parent)
            pairs[node] = pair
            if parent is not None:
                parent.dependents.append(pair)
        operation = Operation(request, binding, list(pairs.values()))
        self._check_subjects(operation)
        return operation

    def _breach(
        self, binding: Binding, rule_id: str, message: str, subject: OffloadObject | None = None
    ) -> Exception:
        about = tuple(subject.calls) if subject is not None else ()
        return self._verifier.breach(rule_id, binding.protocol, message, about)

    # -- kinds and roles -----------------------------------------------------------------------------------

    def _kinds(
        self, binding: Binding, request: Request, nodes: list[_ProtocolNode]
    ) -> dict[_ProtocolNode, Kind]:
        """From the objects and states; a placeholder is one level above what hangs on it."""
        kinds: dict[_ProtocolNode, Kind] = {}
        for node in reversed(nodes):
            kind = self._own_kind(binding, node)
            if kind is None and node.block.OffloadHandle is not None:
                raise self._breach(binding, "CHIM-3", "a linker names an object that is not offloaded")
            if kind is None:
                below = kinds[node.dependents[0]] if node.dependents else None
                if not below:  # none, or a neighbor
                    raise self._breach(binding, "CHIM-1", "a placeholder that leads to no path or connection")
                kind = Kind(below - 1)
            if any(kinds[each] != kind + 1 for each in node.dependents):
                text = f"a dependent of a {kind.name.lower()} is not one level below it"
                raise self._breach(binding, "CHIM-1", text)
            kinds[node] = kind
        if len({kinds[node] for node in nodes if node.parent is None}) != 1:
            raise self._breach(binding, "CHIM-1", f"{request.from_protocol}: siblings of different kinds")
        return kinds

    def _own_kind(self, binding: Binding, node: _ProtocolNode) -> Kind | None:
        block = node.block
        fault = state_fault(block)
        if fault:
            raise self._breach(binding, "CHIM-2", fault)
        subject = self.find(binding, block.OffloadHandle)
        shape = SHAPES.get(block.state_type)
        if subject is None:
            return shape.kind if shape is not None else None
        is_family = subject.kind is not Kind.PATH or shape is None or shape.is_ipv6 == subject.is_ipv6
        is_same = shape is None or (shape.kind is subject.kind and is_family)
        if not is_same:
            raise self._breach(binding, "CHIM-2", f"{block.state_type.name} follows {subject}", subject)
        return subject.kind

    def find(self, binding: Binding, handle: NDIS_OFFLOAD_HANDLE | None) -> OffloadObject | None:
        """The object of a handle; None for a NULL handle, or one whose object is not offloaded yet."""
        if handle is None:
            return None
        if not isinstance(handle, NDIS_OFFLOAD_HANDLE):
            raise self._breach(binding, "CHIM-3", f"{type(handle).__name__} is no NDIS_OFFLOAD_HANDLE")
        found = handle.NdisReserved
        if found is None:
            return None
        if not isinstance(found, OffloadObject) or found.handle is not handle:
            raise self._breach(binding, "CHIM-3", "NdisReserved of an NDIS_OFFLOAD_HANDLE was changed")
        if found.binding is not binding:
            raise self._breach(binding, "CHIM-3", f"{found} belongs to another binding", found)
        return found

    def _pair(
        self, binding: Binding, request: Request, node: _ProtocolNode, kind: Kind, parent: Pair | None
    ) -> Pair:
        block = node.block
        subject = self.find(binding, block.OffloadHandle)
        role = self._role(binding, request, node, subject, parent)
        pair = Pair(node, image_of(block, subject), kind, role, subject, parent)
        above = parent.subject if parent is not None else None
        if subject is not None and above is not None and subject.parent is not above:
            if request is not Request.UPDATE or kind is not Kind.PATH:
                rule = "CHIM-7" if request is Request.UPDATE else "CHIM-1"
                raise self._breach(
                    binding, rule, f"{subject} hangs on {subject.parent}, not {above}", subject
                )
            pair.moves_to = above
        return pair

    def _role(
        self,
        binding: Binding,
        request: Request,
        node: _ProtocolNode,
        subject: OffloadObject | None,
        parent: Pair | None,
    ) -> Role:
        block = node.block
        if block.OffloadHandle is None:
            if block.state_type != OFFLOAD_STATE_TYPE.NONE:
                raise self._breach(binding, "CHIM-2", "state follows a placeholder")
            return Role.PLACEHOLDER
        if request is Request.INITIATE:
            return self._role_in_initiate(binding, block, subject, parent)
        if subject is None:
            text = f"{request.from_protocol} names an object that is not offloaded"
            raise self._breach(binding, "CHIM-3", text)
        if block.state_type == OFFLOAD_STATE_TYPE.NONE:
            above = parent.subject if parent is not None else None
            is_moved = request is Request.UPDATE and subject.kind is Kind.PATH
            is_subject = (request is Request.INVALIDATE and not node.dependents) or (
                is_moved and above is not None and subject.parent is not above
            )
            return Role.SUBJECT if is_subject else Role.LINKER
        if request is Request.INVALIDATE:
            raise self._breach(binding, "CHIM-2", "state follows a block of an invalidate", subject)
        wanted = _PARTS.get(request)
        if wanted is not None and SHAPES[block.state_type].parts != wanted:
            text = f"{block.state_type.name} in {request.from_protocol}"
            raise self._breach(binding, "CHIM-2", text, subject)
        return Role.SUBJECT

    def _role_in_initiate(
        self,
        binding: Binding,
        block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
        subject: OffloadObject | None,
        parent: Pair | None,
    ) -> Role:
        if subject is not None:
            if block.state_type != OFFLOAD_STATE_TYPE.NONE:
                raise self._breach(binding, "CHIM-2", f"state follows {subject}, a linker", subject)
            return Role.LINKER
        if block.state_type not in _ALL_TYPES:
            text = f"a new offload is followed by {block.state_type.name}"
            raise self._breach(binding, "CHIM-2", text)
        handle = block.OffloadHandle
        if handle is None or handle.MiniportOffloadContext.value is not None:
            raise self._breach(binding, "CHIM-2", "a new offload whose context has a value")
        is_rooted = parent is None or parent.role is not Role.PLACEHOLDER
        if not is_rooted or (parent is None and SHAPES[block.state_type].kind is not Kind.NEIGHBOR):
            raise self._breach(binding, "CHIM-1", "a new offload hangs on nothing that is or gets offloaded")
        return Role.SUBJECT

    # -- may it ask ----------------------------------------------------------------------------------------

    def _check_subjects(self, operation: Operation) -> None:
        subjects = list(operation.subjects())
        binding = operation.binding
        if not subjects:
            raise self._breach(binding, "CHIM-2", f"{operation.request.from_protocol} of no object at all")
        handles = [pair.source.OffloadHandle for pair in subjects]
        if len({id(handle) for handle in handles}) != len(handles):
            raise self._breach(binding, "CHIM-1", "one object twice in a tree")
        for pair in operation.pairs:
            subject = pair.subject
            if subject is not None and not subject.is_usable:
                text = f"{operation.request.from_protocol} of {subject}, which is {subject.phase.value}"
                raise self._breach(binding, "CHIM-6", text, subject)
        check = {
            Request.INITIATE: self._check_initiate,
            Request.UPDATE: self._check_update,
            Request.INVALIDATE: self._check_invalidate,
            Request.TERMINATE: self._check_terminate,
        }.get(operation.request)
        for pair in subjects:
            if check is not None:
                check(operation, pair)

    def _check_initiate(self, operation: Operation, pair: Pair) -> None:
        state = pair.source.delegated
        if not isinstance(state, TCP_OFFLOAD_STATE_DELEGATED):
            if pair.source.NetBufferListChain is not None:
                raise self._breach(operation.binding, "CHIM-11", f"send data with a {pair.kind.name.lower()}")
            return
        if state.State not in OFFLOADABLE:
            raise self._breach(operation.binding, "INV-7", f"a connection in {state.State!r} is offloaded")
        nxt, top = (state.SndNxt - state.SndUna) & 0xFFFFFFFF, (state.SndMax - state.SndUna) & 0xFFFFFFFF
        if not nxt <= top < 1 << 31:
            text = f"SndUna {state.SndUna}, SndNxt {state.SndNxt}, SndMax {state.SndMax}"
            raise self._breach(operation.binding, "INV-14", text)
        self._check_send_data(operation, pair, state, top)

    def _check_send_data(
        self, operation: Operation, pair: Pair, state: TCP_OFFLOAD_STATE_DELEGATED, sent: int
    ) -> None:
        protocol = operation.binding.protocol
        chain = self._verifier.walk(pair.source.NetBufferListChain, protocol)
        held = sum(buffer.data_length for nbl in chain for buffer in nbl.net_buffers())
        fin = state.State in _UNSENT_FIN
        if sent > held + fin:
            text = f"{sent} bytes were sent from SndUna on, NetBufferListChain holds {held}"
            raise self._breach(operation.binding, "CHIM-11", text)
        ends = (chain[0], chain[-1]) if chain else (None, None)
        if state.SendDataHead not in (None, ends[0]) or state.SendDataTail not in (None, ends[1]):
            text = "SendDataHead and SendDataTail are not of NetBufferListChain"
            raise self._breach(operation.binding, "CHIM-11", text)

    def _check_update(self, operation: Operation, pair: Pair) -> None:
        subject = pair.take()
        if subject.is_updating or subject.is_invalid:
            how = "is being updated" if subject.is_updating else "was invalidated"
            raise self._breach(operation.binding, "CHIM-7", f"{subject} {how}", subject)

    def _check_invalidate(self, operation: Operation, pair: Pair) -> None:
        subject = pair.take()
        if subject.is_invalidating:
            text = f"{subject} is being invalidated"
            raise self._breach(operation.binding, "CHIM-6", text, subject)

    def _check_terminate(self, operation: Operation, pair: Pair) -> None:
        subject = pair.take()
        if subject.is_updating or subject.is_invalidating or subject.queries:
            text = f"{subject} is terminated with other calls of it outstanding"
            raise self._breach(operation.binding, "CHIM-8", text, subject)
        going = {each.take() for each in operation.subjects()}
        left = [each for each in subject.dependents if each not in going]
        if left:
            text = f"{subject} is terminated, {left[0]} hangs on it"
            raise self._breach(operation.binding, "INV-11", text, subject)
        if subject.phase is Phase.OFFLOADED and subject.connection is not None:
            subject.connection.check_nobody_inside()
