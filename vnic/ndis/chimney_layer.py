"""The chimney of one adapter: who registered handlers, what is offloaded, and what of it is on which side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vnic.ndis.chimney import ProviderChimney
from vnic.ndis.chimney_client import ChimneyClient
from vnic.ndis.chimney_control import Control
from vnic.ndis.chimney_inbox import Inbox
from vnic.ndis.chimney_neighbors import NeighborEvents
from vnic.ndis.chimney_objects import Kind, OffloadObject, Phase, Registry
from vnic.ndis.chimney_operation import Operation
from vnic.ndis.chimney_outcome import is_offloaded
from vnic.ndis.chimney_provider import ChimneyProvider
from vnic.ndis.chimney_status import OffloadState, OffloadStatus
from vnic.ndis.offload import (
    Encapsulation,
    OffloadParameters,
    Switch,
    TcpConnectionOffload,
    TcpConnectionOffloadParameters,
)
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.states import AdapterState
from vnic.ndis.structures import StructureError

if TYPE_CHECKING:
    from vnic.ndis.adapter import Adapter
    from vnic.ndis.binding import Binding
    from vnic.ndis.verifier import Call

_RECOGNISED = Encapsulation.IEEE_802_3 | Encapsulation.IEEE_LLC_SNAP_ROUTED


class Chimney:
    """What Adapter.chimney is."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.verifier = adapter.verifier
        self.miniport = adapter.miniport
        self.handlers: ProviderChimney | None = None
        self._enabled_by: Binding | None = None
        self.registry = Registry()
        self.inbox = Inbox(self.verifier, self.miniport)
        self.statuses = OffloadStatus(self)
        self.neighbors = NeighborEvents(self)
        self.control = Control(self)
        self.provider = ChimneyProvider(self)

    # -- who may use it ------------------------------------------------------------------------------------

    @property
    def provider_handlers(self) -> ProviderChimney:
        """The miniport's entry points; there when a client is."""
        assert self.handlers is not None
        return self.handlers

    @property
    def capabilities(self) -> TcpConnectionOffload | None:
        """What the hardware can do; None without handlers or without an encapsulation NDIS recognises."""
        offload = self.adapter.known_offload
        hardware = offload.connection_hardware if offload is not None else None
        if self.handlers is None or hardware is None or not hardware.encapsulation & _RECOGNISED:
            return None
        return hardware

    @property
    def parameters(self) -> TcpConnectionOffloadParameters | None:
        """The connection parameters as last set."""
        return self.adapter.known_connection_parameters

    def client_of(self, binding: Binding) -> ChimneyClient | None:
        """BindingHandle.chimney: None when either side registered nothing, or the adapter cannot."""
        if binding.client_handlers is None or self.capabilities is None:
            return None
        return ChimneyClient(self, binding)

    # -- calls of the miniport -----------------------------------------------------------------------------

    @contextmanager
    def called_by_miniport(self, function: str, detail: str = "") -> Iterator[Call]:
        """Every function of a target: not without registration, not where the adapter is gone."""
        with self.verifier.called(self.miniport, function, detail) as call:
            state = self.adapter.state
            is_there = state not in (AdapterState.HALTED, AdapterState.SHUTDOWN)
            text = f"{function} while {state.value}"
            self.verifier.require(is_there, "STATE-1", self.miniport, text)
            yield call

    def find(self, handle: object, function: str) -> OffloadObject:
        """The object of an NdisOffloadHandle; raises CHIM-5 for anything else."""
        if not isinstance(handle, OffloadObject) or handle.binding.adapter is not self.adapter:
            text = f"{function} with {handle!r}, which is no NdisOffloadHandle of this adapter"
            raise self.verifier.breach("CHIM-5", self.miniport, text)
        if handle.phase is Phase.GONE:
            text = f"{function} for {handle}, which is not offloaded any more"
            raise self.verifier.breach("CHIM-5", self.miniport, text, handle.calls)
        return handle

    def check_initiated(self, operation: Operation) -> None:
        """An initiate took effect: within the capacity, and not between UPLOAD_ALL and OFFLOAD_RESUME."""
        done = [pair for pair in operation.subjects() if is_offloaded(pair.block)]
        if done and self.statuses.state is OffloadState.UPLOADING:
            text = f"{done[0]} is offloaded between UPLOAD_ALL and OFFLOAD_RESUME"
            raise self.verifier.breach("INV-41", self.miniport, text, done[0].take().calls)
        capabilities = self.capabilities
        capacity = capabilities.capacity if capabilities is not None else 0
        count = self.registry.count(Kind.TCP)
        text = f"{count} connections are offloaded, TcpConnectionOffloadCapacity is {capacity}"
        is_within = count <= capacity or not any(pair.kind is Kind.TCP for pair in done)
        self.verifier.require(is_within, "INV-12", self.miniport, text)

    def check_enabled(self, operation: Operation) -> None:
        """Connections are offloaded only of an IP version for which connection offload is on."""
        offload = self.adapter.known_offload
        config = offload.connection_default_config if offload is not None else None
        if config is None:
            return
        for pair in operation.subjects():
            if pair.kind is not Kind.TCP or pair.parent is None:
                continue
            is_ipv6 = pair.parent.is_ipv6_path
            is_on = config.ipv6 if is_ipv6 else config.ipv4
            text = f"a connection over {'IPv6' if is_ipv6 else 'IPv4'} is offloaded, which is not enabled"
            self.verifier.require(is_on, "CHIM-9", operation.binding.protocol, text)

    def check_set(self, binding: Binding, request: OidRequest) -> None:
        """A protocol that disables connection offload has terminated what it concerns."""
        if request.is_query or request.oid != OID.TCP_OFFLOAD_PARAMETERS:
            return
        try:
            wanted = OffloadParameters.parse(request.data)
        except StructureError:
            return  # the miniport's to refuse
        switches = (wanted.tcp_connection_ipv4, wanted.tcp_connection_ipv6)
        if Switch.ENABLED in switches:
            other = self._enabled_by
            is_free = other in (None, binding) or other not in self.adapter.bindings
            text = "connection offload is enabled, which another protocol has enabled"
            self.verifier.require(is_free, "CHIM-14", binding.protocol, text)
            self._enabled_by = binding
        for is_ipv6, switch in zip((False, True), switches, strict=True):
            count = self.established(is_ipv6) if switch is Switch.DISABLED else 0
            text = f"connection offload is disabled with {count} connections offloaded"
            self.verifier.require(not count, "CHIM-12", binding.protocol, text)

    # -- what is left --------------------------------------------------------------------------------------

    def initiating(self) -> int:
        """Objects whose initiate is pending."""
        return sum(each.phase is Phase.OFFLOADING for each in self.registry.live)

    def check_uploaded(self, binding: Binding, what: str) -> None:
        """The protocol says that something is done which asks for everything to be terminated."""
        left = self.registry.of(binding)
        about = left[0].calls if left else ()
        if left:
            text = f"{what} with {len(left)} offloaded objects, {left[0]} the first"
            raise self.verifier.breach("CHIM-12", binding.protocol, text, about)

    def check_returned(self, binding: Binding) -> None:
        """The binding closes: no indication is out."""
        count = self.inbox.outstanding(binding)
        text = f"{count} chimney indications are not returned"
        self.verifier.require(count == 0, "INV-27", binding.protocol, text)

    def established(self, is_ipv6: bool) -> int:
        """Connections of one IP version that are offloaded."""
        return sum(each.kind is Kind.TCP and each.is_ipv6 == is_ipv6 for each in self.registry.live)
