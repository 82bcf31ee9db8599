"""Reachability queries: a target asks, the host answers at once in the CACHED state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    OFFLOAD_STATE_TYPE,
)
from vnic.ndis.chimney_objects import Kind, OffloadObject
from vnic.ndis.chimney_tree import state_fault
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_layer import Chimney

#: How much earlier than NceStaleTicks a repeated query may come across the border: entries wait in rings.
_TOLERANCE = 0.9


class NeighborEvents:
    """NdisMOffloadEventIndicate of one adapter."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney
        self._verifier = chimney.verifier
        self._miniport = chimney.miniport

    def indicate(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST | None, event: INDICATE_OFFLOAD_EVENT) -> None:
        """Check the block, let the protocol answer, bring the answer back."""
        is_query = event == INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
        self._require(is_query, "CHIM-41", f"event {event!r}: there is the reachability query only")
        self._require(block is not None, "CHIM-41", "a reachability query without a block")
        assert block is not None
        subject = self._chimney.find(block.NdisOffloadHandle, "NdisMOffloadEventIndicate")
        self._check_block(subject, block)
        self._check_announced(subject)
        self._check_not_too_often(subject)
        source = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST(
            state_type=block.state_type,
            const=block.const,
            cached=block.cached,
            delegated=block.delegated,
            Status=NDIS_STATUS.SUCCESS,
            OffloadHandle=subject.handle,
        )
        block.cached = self._ask(subject, source, event)

    def _require(
        self, condition: bool, rule_id: str, message: str, subject: OffloadObject | None = None
    ) -> None:
        if not condition:
            about = tuple(subject.calls) if subject is not None else ()
            raise self._verifier.breach(rule_id, self._miniport, message, about)

    def _check_block(self, subject: OffloadObject, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        faults = (
            (f"it is about {subject}", subject.kind is not Kind.NEIGHBOR),
            (f"type {block.state_type!r}", block.state_type != OFFLOAD_STATE_TYPE.NEIGHBOR_ALL),
            ("it is linked to others", (block.NextBlock, block.DependentBlockList) != (None, None)),
            (f"status {block.Status}", block.Status != NDIS_STATUS.SUCCESS),
            (state_fault(block), bool(state_fault(block))),
        )
        text = ", ".join(text for text, is_so in faults if is_so)
        self._require(not text, "CHIM-41", f"a reachability query: {text}", subject)

    def _check_announced(self, subject: OffloadObject) -> None:
        text = f"a reachability query of {subject} before NdisMInitiateOffloadComplete returned"
        self._require(subject.is_announced, "INV-6", text, subject)

    def _check_not_too_often(self, subject: OffloadObject) -> None:
        parameters = self._chimney.parameters
        if subject.queried_ns is None or parameters is None:
            return
        stale_ns = parameters.nce_stale_ticks * 1_000_000_000 // parameters.ticks_per_second
        passed_ns = self._verifier.clock.now_ns - subject.queried_ns
        text = f"{subject} is asked about again after {passed_ns} ns, NceStaleTicks are {stale_ns} ns"
        self._require(passed_ns >= stale_ns * _TOLERANCE, "INV-46", text, subject)

    def _ask(
        self, subject: OffloadObject, source: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, event: INDICATE_OFFLOAD_EVENT
    ) -> NEIGHBOR_OFFLOAD_STATE_CACHED:
        binding, verifier = subject.binding, self._verifier
        before = (copy.copy(source.const), copy.copy(source.delegated))
        address = getattr(source.cached, "DlDestinationAddress", b"")
        with verifier.entering(binding.protocol, "ProtocolIndicateOffloadEvent", str(subject)) as call:
            subject.remember(call)
            binding.chimney_handlers.indicate_offload_event(binding, source, event)
        answer = source.cached
        is_right = (
            isinstance(answer, NEIGHBOR_OFFLOAD_STATE_CACHED)
            and answer.DlDestinationAddress == address
            and (source.const, source.delegated) == before
            and 0 <= answer.HostReachabilityDelta < 1 << 32
        )
        if not isinstance(answer, NEIGHBOR_OFFLOAD_STATE_CACHED) or not is_right:
            text = f"{subject}: the answer changed more than HostReachabilityDelta: {answer}"
            raise verifier.breach("CHIM-42", binding.protocol, text, subject.calls)
        now_ns = verifier.clock.now_ns
        subject.queried_ns = now_ns if answer.HostReachabilityDelta == 0 else None
        if isinstance(subject.cached, NEIGHBOR_OFFLOAD_STATE_CACHED):
            subject.cached.HostReachabilityDelta = answer.HostReachabilityDelta
        return answer
