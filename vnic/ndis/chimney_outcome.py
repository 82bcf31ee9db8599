"""What a miniport made of a control call: statuses, contexts and values, before the protocol sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_DELEGATED,
    OffloadBlock,
    TcpCachedFlag,
)
from vnic.ndis.chimney_objects import Kind
from vnic.ndis.chimney_operation import Operation, Pair, Request, Role
from vnic.ndis.chimney_tree import SHAPES, state_fault
from vnic.ndis.status import NDIS_STATUS, status_name

if TYPE_CHECKING:
    from vnic.ndis.chimney_objects import OffloadObject
    from vnic.ndis.verifier import Verifier

_SUCCESS = NDIS_STATUS.SUCCESS
_PARTIAL = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
_FAILURE = NDIS_STATUS.FAILURE
_COMMANDS = TcpCachedFlag.KEEP_ALIVE_RESTART | TcpCachedFlag.MAX_RT_RESTART | TcpCachedFlag.UPDATE_RCV_WND
_OFFLOADED = (_SUCCESS, _PARTIAL)

_ANY_KIND = (_SUCCESS, _PARTIAL, _FAILURE, NDIS_STATUS.RESOURCES)
#: Statuses of an initiate that only a block of this kind can have.
_OF_KIND: dict[Kind, tuple[NDIS_STATUS, ...]] = {
    Kind.NEIGHBOR: (
        NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES,
        NDIS_STATUS.OFFLOAD_HW_ADDRESS_ENTRIES,
        NDIS_STATUS.OFFLOAD_VLAN_ENTRIES,
        NDIS_STATUS.OFFLOAD_VLAN_MISMATCH,
    ),
    Kind.PATH: (
        NDIS_STATUS.OFFLOAD_PATH_ENTRIES,
        NDIS_STATUS.OFFLOAD_IP_ADDRESS_ENTRIES,
    ),
    Kind.TCP: (
        NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
        NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER,
        NDIS_STATUS.OFFLOAD_TCP_RCV_BUFFER,
        NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW,
        NDIS_STATUS.OFFLOAD_CONNECTION_REJECTED,
    ),
}


def is_offloaded(block: OffloadBlock) -> bool:
    """Whether an initiate says that this node is offloaded."""
    return block.Status in _OFFLOADED


class OutcomeReader:
    """Reads completed block lists; every fault is the miniport's and raises its breach."""

    def __init__(self, verifier: Verifier, miniport: object) -> None:
        self._verifier = verifier
        self._miniport = miniport

    def check(self, operation: Operation) -> None:
        """The whole tree, by the rules of the call."""
        for pair in operation.pairs:
            self._check_untouched(operation, pair)
            self._check_written(operation, pair)
        if operation.request is Request.INITIATE:
            for pair in operation.pairs:
                self._check_initiated(pair)
            return
        for pair in operation.pairs:
            status = pair.block.Status
            text = f"{operation.request.from_miniport}: {pair} has {_name(status)}"
            self._require(status in (_SUCCESS, _FAILURE), "INV-8", text, pair.subject)
            if pair.role is Role.SUBJECT and status == _SUCCESS:
                self._check_filled(operation, pair)

    def _require(self, condition: bool, rule_id: str, message: str, subject: OffloadObject | None) -> None:
        if not condition:
            about = tuple(subject.calls) if subject is not None else ()
            raise self._verifier.breach(rule_id, self._miniport, message, about)

    # -- of every call -------------------------------------------------------------------------------------

    def _check_untouched(self, operation: Operation, pair: Pair) -> None:
        lent = pair.lent
        if lent is None:
            return
        changed = lent.difference(pair.block)
        text = f"{operation.request.from_miniport}: {changed} of {pair} changed"
        self._require(not changed, "CHIM-4", text, pair.subject)
        if operation.request is not Request.QUERY:
            is_same = (pair.block.const, pair.block.cached) == (lent.const, lent.cached)
            text = f"{operation.request.from_miniport}: CONST or CACHED of {pair} changed"
            self._require(is_same, "INV-10", text, pair.subject)

    def _check_written(self, operation: Operation, pair: Pair) -> None:
        status = pair.block.Status
        text = f"{operation.request.from_miniport}: no status in the block of {pair}"
        self._require(status is not None, "INV-1", text, pair.subject)
        if pair.role is Role.PLACEHOLDER:
            text = f"{operation.request.from_miniport}: a {pair} has {_name(status)}"
            self._require(status == _SUCCESS, "INV-1", text, None)

    # -- initiate ------------------------------------------------------------------------------------------

    def _check_initiated(self, pair: Pair) -> None:
        if pair.role is Role.PLACEHOLDER:
            return
        status = pair.block.Status
        self._require(
            status in _ANY_KIND or status in _OF_KIND[pair.kind],
            "CHIM-10",
            f"the initiate of {pair} ended with {_name(status)}",
            pair.subject,
        )
        if pair.role is Role.SUBJECT:
            self._check_context(pair)
        self._check_dependents(pair)

    def _check_context(self, pair: Pair) -> None:
        context = pair.block.MiniportOffloadContext
        value = context.value if context is not None else None
        text = f"{pair} has {_name(pair.block.Status)}, its MiniportOffloadContext is {value!r}"
        self._require((value is not None) == is_offloaded(pair.block), "INV-2", text, pair.subject)

    def _check_dependents(self, pair: Pair) -> None:
        status = pair.block.Status
        good = [each for each in pair.dependents if is_offloaded(each.block)]
        text = (
            f"{pair} has {_name(status)}, {len(good)} of its {len(pair.dependents)} dependents are offloaded"
        )
        is_linker = pair.role is Role.LINKER
        if not is_offloaded(pair.block):
            new = [each for each in good if each.role is Role.SUBJECT]
            self._require(not new, "INV-4", text, pair.subject)
            return
        is_complete = len(good) == len(pair.dependents)
        if status == _SUCCESS:
            self._require(is_complete, "INV-5", text, pair.subject)
        else:
            is_below = any(each.block.Status == _PARTIAL for each in pair.dependents)
            may = not is_complete or is_below or (is_linker and not good)
            self._require(may, "INV-5", text, pair.subject)

    # -- query, update, terminate --------------------------------------------------------------------------

    def _check_filled(self, operation: Operation, pair: Pair) -> None:
        fault = state_fault(pair.block)
        text = f"{operation.request.from_miniport}: {pair}: {fault}"
        self._require(not fault, "CHIM-13", text, pair.subject)
        if operation.request is Request.QUERY:
            self._check_answer(pair)

    def _check_answer(self, pair: Pair) -> None:
        """CONST and CACHED of a query are as the host last gave them."""
        subject, block = pair.take(), pair.block
        parts = SHAPES[block.state_type].parts
        for part, known in (("const", subject.const), ("cached", subject.cached)):
            is_same = part not in parts or _as_values(getattr(block, part)) == _as_values(known)
            text = f"a query of {subject} tells other {part.upper()} values than the host gave"
            self._require(is_same, "INV-10", text, subject)
        state = block.delegated
        if isinstance(state, TCP_OFFLOAD_STATE_DELEGATED) and subject.connection is not None:
            subject.connection.check_order(state, self._miniport)


def _as_values(state: object) -> object:
    """Without the flags that only command something."""
    if not isinstance(state, TCP_OFFLOAD_STATE_CACHED):
        return state
    return replace(state, Flags=TcpCachedFlag(state.Flags & ~_COMMANDS))


def _name(status: NDIS_STATUS | None) -> str:
    return "no status" if status is None else status_name(status)
