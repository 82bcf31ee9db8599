"""The five control calls: down to the miniport as its own block list, up again checked, with their effect."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    TCP_OFFLOAD_STATE_DELEGATED,
    ClientChimney,
    ProviderChimney,
)
from vnic.ndis.chimney_connection import Connection
from vnic.ndis.chimney_objects import Kind, OffloadObject, Phase
from vnic.ndis.chimney_operation import Operation, Pair, Request, Role
from vnic.ndis.chimney_outcome import OutcomeReader, is_offloaded
from vnic.ndis.chimney_request import RequestReader
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import Call

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding
    from vnic.ndis.chimney_layer import Chimney

_Block = NDIS_MINIPORT_OFFLOAD_BLOCK_LIST
_Call = Callable[[NDIS_MINIPORT_OFFLOAD_BLOCK_LIST], None]


class Control:
    """The control calls of one adapter that the miniport has not completed."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney
        self._verifier = chimney.verifier
        self._requests = RequestReader(chimney.verifier)
        self._outcomes = OutcomeReader(chimney.verifier, chimney.miniport)
        self._open: dict[int, Operation] = {}
        self._lent: dict[int, Operation] = {}

    def outstanding(self, binding: Binding | None = None) -> int:
        """How many calls the miniport has, of all or of one binding."""
        return sum(binding is None or each.binding is binding for each in self._open.values())

    def find(self, binding: Binding, handle: object) -> OffloadObject | None:
        """The object of a protocol's handle."""
        return self._requests.find(binding, handle)  # type: ignore[arg-type]

    # -- down ----------------------------------------------------------------------------------------------

    def submit(
        self, binding: Binding, request: Request, root: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, call: Call
    ) -> None:
        """A protocol's call: read, take effect as far as it does at once, and pass on."""
        operation = self._requests.read(binding, request, root)
        self._check_free(operation)
        if request is Request.INITIATE:
            self._chimney.check_enabled(operation)
        self._begin(operation)
        operation.lend()
        block = operation.root.block
        self._open[id(block)] = operation
        self._lent |= {id(pair.source): operation for pair in operation.pairs}
        self._remember(operation, call)
        with self._verifier.entering(self._chimney.miniport, request.to_miniport, _text(operation)) as entry:
            self._remember(operation, entry)
            operation.inside = self._verifier.processors.depth
            try:
                self._entry_point(request)(block)
            finally:
                operation.inside = None

    def _check_free(self, operation: Operation) -> None:
        if any(id(pair.source) in self._lent for pair in operation.pairs):
            text = "a block list that is still the target's is passed again"
            raise self._verifier.breach("CHIM-1", operation.binding.protocol, text)

    def _entry_point(self, request: Request) -> _Call:
        provider: ProviderChimney = self._chimney.provider_handlers
        return {
            Request.INITIATE: provider.initiate_offload,
            Request.QUERY: provider.query_offload,
            Request.UPDATE: provider.update_offload,
            Request.INVALIDATE: provider.invalidate_offload,
            Request.TERMINATE: provider.terminate_offload,
        }[request]

    def _remember(self, operation: Operation, call: Call) -> None:
        for pair in operation.subjects():
            pair.take().remember(call)

    def _begin(self, operation: Operation) -> None:
        for pair in operation.pairs:
            pair.source.Status = None
        if operation.request is Request.INITIATE:
            for pair in operation.subjects():
                self._begin_initiate(operation, pair)
            return
        for pair in operation.subjects():
            subject = pair.take()
            if operation.request is Request.QUERY:
                subject.queries += 1
            elif operation.request is Request.UPDATE:
                subject.is_updating = True
            elif operation.request is Request.INVALIDATE:
                subject.is_invalidating = True
            else:
                subject.phase = Phase.TERMINATING

    def _begin_initiate(self, operation: Operation, pair: Pair) -> None:
        source, handle = pair.source, pair.source.OffloadHandle
        assert handle is not None
        subject = self._chimney.registry.create(pair.kind, operation.binding, handle)
        subject.is_ipv6 = pair.source.state_type == OFFLOAD_STATE_TYPE.IP6_PATH_ALL
        subject.const, subject.cached = copy.copy(source.const), copy.copy(source.cached)
        pair.subject = subject
        pair.block.NdisOffloadHandle = subject
        if pair.parent is not None:
            self._chimney.registry.attach(subject, pair.parent.subject)
            if pair.kind is Kind.TCP:
                subject.is_ipv6 = pair.parent.take().is_ipv6
        if isinstance(source.delegated, TCP_OFFLOAD_STATE_DELEGATED):
            self._hand_over(subject, pair, source.delegated)

    def _hand_over(self, subject: OffloadObject, pair: Pair, state: TCP_OFFLOAD_STATE_DELEGATED) -> None:
        verifier, protocol = self._verifier, subject.binding.protocol
        connection = Connection(verifier, self._chimney.miniport, subject, state)
        subject.connection = connection
        connection.sends.post(verifier.walk(pair.source.NetBufferListChain, protocol))
        buffered = verifier.walk(state.BufferedData, protocol)
        try:
            connection.receives.start(b"".join(_bytes(nbl) for nbl in buffered))
        except NetBufferError as error:
            raise verifier.breach("NBL-2", protocol, str(error), subject.calls) from None
        for nbl in buffered:
            verifier.give(nbl, self._chimney.miniport)
        connection.receives.lent = buffered

    # -- up ------------------------------------------------------------------------------------------------

    def complete(self, request: Request, block: _Block, call: Call) -> None:
        """A miniport's completion: check, take effect, tell the protocol."""
        operation = self._take(request, block)
        self._remember(operation, call)
        self._outcomes.check(operation)
        for pair in operation.pairs:
            self._lent.pop(id(pair.source), None)
        self._finish(operation)
        operation.give_back()
        call.result = _statuses(operation)
        self._tell(operation)
        for pair in operation.subjects():
            if request is Request.INITIATE:
                pair.take().is_announced = True

    def _take(self, request: Request, block: _Block) -> Operation:
        miniport = self._chimney.miniport
        operation = self._open.get(id(block))
        if operation is None or operation.request is not request:
            text = f"{request.from_miniport} of a block list that is not pending there (completed before?)"
            raise self._verifier.breach("INV-9", miniport, text)
        if operation.inside is not None and operation.inside == self._verifier.processors.depth:
            text = f"{request.from_miniport} from within {request.to_miniport}"
            raise self._verifier.breach("INV-9", miniport, text)
        del self._open[id(block)]
        return operation

    def _tell(self, operation: Operation) -> None:
        binding, request = operation.binding, operation.request
        client: ClientChimney = binding.chimney_handlers
        tell = {
            Request.INITIATE: client.initiate_offload_complete,
            Request.QUERY: client.query_offload_complete,
            Request.UPDATE: client.update_offload_complete,
            Request.INVALIDATE: client.invalidate_offload_complete,
            Request.TERMINATE: client.terminate_offload_complete,
        }[request]
        text = _text(operation)
        with self._verifier.entering(binding.protocol, request.to_protocol, text) as call:
            self._remember(operation, call)
            tell(binding, operation.root.source)

    def _finish(self, operation: Operation) -> None:
        finish = {
            Request.INITIATE: self._finish_initiate,
            Request.QUERY: self._finish_query,
            Request.UPDATE: self._finish_update,
            Request.INVALIDATE: self._finish_invalidate,
            Request.TERMINATE: self._finish_terminate,
        }[operation.request]
        for pair in reversed(operation.pairs):
            if pair.role is Role.SUBJECT:
                finish(pair)
        if operation.request is Request.INITIATE:
            self._chimney.check_initiated(operation)

    def _finish_initiate(self, pair: Pair) -> None:
        subject = pair.take()
        connection = subject.connection
        if connection is not None:
            for nbl in connection.receives.lent:
                self._verifier.give(nbl, subject.binding.protocol)
            connection.receives.lent = []
        if is_offloaded(pair.block):
            subject.phase = Phase.OFFLOADED
            self._chimney.registry.initiated += 1
            pair.block.NetBufferListChain = None
            return
        if connection is not None:
            chain = self._verifier.walk(pair.block.NetBufferListChain, self._chimney.miniport)
            connection.sends.take_back(chain)
        self._chimney.registry.forget(subject)

    def _finish_query(self, pair: Pair) -> None:
        pair.take().queries -= 1

    def _finish_update(self, pair: Pair) -> None:
        subject = pair.take()
        subject.is_updating = False
        if pair.block.Status != NDIS_STATUS.SUCCESS:
            return
        subject.queried_ns = None
        if pair.block.cached is not None:
            subject.cached = copy.copy(pair.block.cached)
        if pair.moves_to is not None:
            self._chimney.registry.attach(subject, pair.moves_to)

    def _finish_invalidate(self, pair: Pair) -> None:
        subject = pair.take()
        subject.is_invalidating = False
        subject.is_invalid = True

    def _finish_terminate(self, pair: Pair) -> None:
        subject = pair.take()
        connection = subject.connection
        if connection is not None:
            self._take_back(subject, connection, pair)
        self._chimney.registry.terminated += 1
        self._chimney.registry.forget(subject)

    def _take_back(self, subject: OffloadObject, connection: Connection, pair: Pair) -> None:
        verifier, miniport = self._verifier, self._chimney.miniport
        is_known = pair.block.Status == NDIS_STATUS.SUCCESS
        state = pair.block.delegated
        chain = verifier.walk(pair.block.NetBufferListChain, miniport)
        connection.check_nothing_outstanding()
        if not isinstance(state, TCP_OFFLOAD_STATE_DELEGATED) or not is_known:
            connection.sends.chain_back(chain, None)
            return
        connection.sends.chain_back(chain, state)
        buffered = verifier.walk(state.BufferedData, miniport)
        connection.receives.give_out(self._chimney.inbox.take_all(subject, buffered))
        connection.check_sequence(state)


def _bytes(nbl: NetBufferList) -> bytes:
    return b"".join(buffer.data() for buffer in nbl.net_buffers())


def _text(operation: Operation) -> str:
    names = [str(pair.subject) for pair in operation.subjects()]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _statuses(operation: Operation) -> str:
    found = {pair.block.Status.name: None for pair in operation.pairs if pair.block.Status is not None}
    return ", ".join(found)
