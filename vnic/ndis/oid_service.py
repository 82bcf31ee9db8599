"""OID requests of bindings: answered by NDIS, combined over bindings, or passed down; and their effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from vnic.ndis.attributes import OffloadAttributes
from vnic.ndis.chimney_stats import IpOffloadStats, TcpOffloadStats
from vnic.ndis.miniport import Miniport
from vnic.ndis.offload import (
    Offload,
    OffloadEncapsulation,
    OffloadParameters,
    Switch,
    TcpConnectionOffloadParameters,
)
from vnic.ndis.oid import OID, OIDS, Answerer
from vnic.ndis.oid_answers import STATISTICS, Known
from vnic.ndis.oid_queue import Finish, OidQueue
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.receive_path import Filter
from vnic.ndis.rss import ReceiveHashParameters, ReceiveScaleParameters
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    DevicePowerState,
    InterruptModeration,
    LinkParameters,
    StatisticsInfo,
    StructureError,
    parse_multicast_list,
)
from vnic.ndis.task_offload import TaskOffload
from vnic.ndis.verifier import Verifier

#: Structures whose malformed bytes a miniport must not accept.
_PARSERS: dict[int, Callable[[bytes], object]] = {
    OID.GEN_RECEIVE_SCALE_PARAMETERS: ReceiveScaleParameters.parse,
    OID.GEN_RECEIVE_HASH: ReceiveHashParameters.parse,
    OID.TCP_OFFLOAD_PARAMETERS: OffloadParameters.parse,
    OID.OFFLOAD_ENCAPSULATION: OffloadEncapsulation.parse,
    OID.GEN_INTERRUPT_MODERATION: InterruptModeration.parse,
    OID.GEN_LINK_PARAMETERS: LinkParameters.parse,
    OID.PNP_SET_POWER: DevicePowerState.parse,
    OID.TCP_TASK_OFFLOAD: TaskOffload.parse,
    OID.TCP_CONNECTION_OFFLOAD_PARAMETERS: TcpConnectionOffloadParameters.parse,
}

_STATS: dict[int, Callable[[bytes], TcpOffloadStats | IpOffloadStats]] = {
    OID.TCP4_OFFLOAD_STATS: TcpOffloadStats.parse,
    OID.TCP6_OFFLOAD_STATS: TcpOffloadStats.parse,
    OID.IP4_OFFLOAD_STATS: IpOffloadStats.parse,
    OID.IP6_OFFLOAD_STATS: IpOffloadStats.parse,
}

_POWER = (OID.PNP_SET_POWER, OID.PNP_QUERY_POWER)


class Subscriber(Protocol):
    """A binding, as far as its filter is concerned."""

    packet_filter: int
    multicast: frozenset[bytes]


class OidService:
    """The OID side of one adapter."""

    def __init__(
        self, verifier: Verifier, miniport: Miniport, known: Known, subscribers: Sequence[Subscriber]
    ) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._subscribers = subscribers
        self._last_offload_set: bytes | None = None
        self._was_config_indicated = False
        self.known = known
        self.filter = Filter(station=known.general.current_mac_address)
        self.queue = OidQueue(verifier, miniport)
        self.queue.supported = frozenset(known.general.supported_oids)
        self.awaits_offload_status: OidRequest | None = None
        #: How many connections of an IP version (True: IPv6) are offloaded.
        self.offloaded: Callable[[bool], int] = lambda is_ipv6: 0

    # -- requests ------------------------------------------------------------------------------------------

    def request(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        """Serve a binding; the final status, or PENDING and finish(status) later."""
        self.check_offload_status_came()
        if request.oid in _POWER:
            return NDIS_STATUS.NOT_SUPPORTED
        known = OIDS.get(OID(request.oid)) if request.oid in OID._value2member_map_ else None
        if known is not None and (known.query if request.is_query else known.set) is Answerer.NOBODY:
            return NDIS_STATUS.NOT_SUPPORTED
        if request.is_query:
            return self._query(subscriber, request, finish)
        return self._set(subscriber, request, finish)

    def _query(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        answered = self.known.answer(request, subscriber.packet_filter, subscriber.multicast)
        if answered is not None:
            return answered
        if request.oid in STATISTICS:
            return self._query_statistic(subscriber, request, finish)
        if request.oid in _STATS:
            return self._forward(
                request, finish, subscriber, lambda status: self._check_stats(request, status)
            )
        return self._forward(request, finish, subscriber)

    def _check_stats(self, request: OidRequest, status: NDIS_STATUS) -> NDIS_STATUS:
        """Offload statistics have their structure's size, and count no more than is offloaded."""
        if status != NDIS_STATUS.SUCCESS:
            return status
        try:
            stats = _STATS[request.oid](request.data)
        except StructureError as error:
            raise self._verifier.breach("OID-2", self._miniport, f"{request}: {error}") from None
        if isinstance(stats, TcpOffloadStats):
            most = self.offloaded(request.oid == OID.TCP6_OFFLOAD_STATS)
            text = f"{request}: CurrentlyEstablished {stats.currently_established}, {most} are offloaded"
            is_right = stats.currently_established <= most
            self._verifier.require(is_right, "INV-50", self._miniport, text)
        return status

    def _query_statistic(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        inner = query(OID.GEN_STATISTICS, StatisticsInfo.SIZE)

        def on_statistics(status: NDIS_STATUS) -> NDIS_STATUS:
            if status != NDIS_STATUS.SUCCESS:
                return status
            value = STATISTICS[request.oid](StatisticsInfo.parse(inner.data)) & (1 << 64) - 1
            size = 4 if 4 <= request.buffer_length < 8 else 8
            return request.answer((value & (1 << 8 * size) - 1).to_bytes(size, "little"))

        return self._forward(inner, finish, subscriber, on_statistics)

    def _set(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        try:
            if request.oid == OID.GEN_CURRENT_PACKET_FILTER:
                return self._set_packet_filter(subscriber, request, finish)
            if request.oid == OID.GEN_CURRENT_LOOKAHEAD:
                return self._set_lookahead(subscriber, request, finish)
            if request.oid == OID.O802_3_MULTICAST_LIST:
                wanted = parse_multicast_list(request.data, self.known.general.max_multicast_list_size)
                return self._set_multicast(subscriber, request, frozenset(wanted), finish)
            if request.oid in (OID.O802_3_ADD_MULTICAST_ADDRESS, OID.O802_3_DELETE_MULTICAST_ADDRESS):
                return self._edit_multicast(subscriber, request, finish)
        except StructureError as error:
            return error.fail(request)
        return self._forward(request, finish, subscriber, lambda status: self._on_set(request, status))

    def _set_lookahead(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        """NDIS refuses itself what is beyond the adapter's lookahead."""
        status = request.accept(4)
        if status != NDIS_STATUS.SUCCESS:
            return status
        wanted = int.from_bytes(request.data[:4], "little")
        if wanted > self.known.general.lookahead_size:
            return NDIS_STATUS.INVALID_DATA

        def on_done(status: NDIS_STATUS) -> NDIS_STATUS:
            if status == NDIS_STATUS.SUCCESS:
                self.known.lookahead = wanted
            return status

        return self._forward(request, finish, subscriber, on_done)

    def _set_packet_filter(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        status = request.accept(4)
        if status != NDIS_STATUS.SUCCESS:
            return status
        wanted = int.from_bytes(request.data[:4], "little")
        if wanted & ~int(self.known.general.supported_packet_filters):
            return NDIS_STATUS.NOT_SUPPORTED
        others = [each for each in self._subscribers if each is not subscriber]
        combined = wanted
        for each in others:
            combined |= each.packet_filter

        def on_done(status: NDIS_STATUS) -> NDIS_STATUS:
            if status == NDIS_STATUS.SUCCESS:
                subscriber.packet_filter = wanted
                self.filter.packet_filter = combined
            return status

        inner = set_(OID.GEN_CURRENT_PACKET_FILTER, combined.to_bytes(4, "little"))
        return self._forward(inner, finish, subscriber, on_done)

    def _set_multicast(
        self, subscriber: Subscriber, request: OidRequest, wanted: frozenset[bytes], finish: Finish
    ) -> NDIS_STATUS:
        request.bytes_read = request.buffer_length
        combined = wanted.union(*(each.multicast for each in self._subscribers if each is not subscriber))
        limit = self.known.general.max_multicast_list_size
        if len(combined) > limit:
            raise StructureError(
                NDIS_STATUS.MULTICAST_FULL, f"{len(combined)} addresses, {limit} fit", limit * 6
            )

        def on_done(status: NDIS_STATUS) -> NDIS_STATUS:
            if status == NDIS_STATUS.SUCCESS:
                subscriber.multicast = wanted
                self.filter.multicast = combined
            return status

        inner = set_(OID.O802_3_MULTICAST_LIST, b"".join(sorted(combined)))
        return self._forward(inner, finish, subscriber, on_done)

    def _edit_multicast(self, subscriber: Subscriber, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        status = request.accept(6)
        if status != NDIS_STATUS.SUCCESS:
            return status
        (address,) = parse_multicast_list(request.data[:6], 1)
        is_listed = address in subscriber.multicast
        if request.oid == OID.O802_3_ADD_MULTICAST_ADDRESS:
            if is_listed:
                return NDIS_STATUS.MULTICAST_EXISTS
            wanted = subscriber.multicast | {address}
        else:
            if not is_listed:
                return NDIS_STATUS.MULTICAST_NOT_FOUND
            wanted = subscriber.multicast - {address}
        return self._set_multicast(subscriber, request, wanted, finish)

    def _forward(
        self,
        request: OidRequest,
        finish: Finish,
        owner: object,
        on_done: Callable[[NDIS_STATUS], NDIS_STATUS] | None = None,
    ) -> NDIS_STATUS:
        """Queue for the miniport; `on_done` may replace its status."""
        final: list[NDIS_STATUS] = []
        is_waiting = [True]

        def on_complete(status: NDIS_STATUS) -> None:
            outcome = on_done(status) if on_done is not None else status
            if is_waiting[0]:
                final.append(outcome)
            else:
                finish(outcome)

        self.queue.submit(request, on_complete, owner)
        is_waiting[0] = False
        return final[0] if final else NDIS_STATUS.PENDING

    def tell(self, request: OidRequest, finish: Finish) -> None:
        """A request of NDIS's own (power, restoring after a reset)."""
        status = self._forward(request, finish, self, lambda final: self._on_set(request, final))
        if status != NDIS_STATUS.PENDING:
            finish(status)

    # -- effects -------------------------------------------------------------------------------------------

    def _on_set(self, request: OidRequest, status: NDIS_STATUS) -> NDIS_STATUS:
        """The miniport completed a set: check that it was right to accept it, and keep what it changes."""
        if status != NDIS_STATUS.SUCCESS or request.is_query or request.oid not in _PARSERS:
            return status
        try:
            self._keep(request, _PARSERS[request.oid](request.data))
        except StructureError as error:
            raise self._verifier.breach("OID-7", self._miniport, f"{request} accepted: {error}") from None
        return status

    def _keep(self, request: OidRequest, content: object) -> None:
        rss = self.known.rss
        if isinstance(content, ReceiveScaleParameters):
            rss.set_parameters(content)
        elif isinstance(content, ReceiveHashParameters):
            rss.set_receive_hash(content)
        elif isinstance(content, OffloadEncapsulation):
            self.known.encapsulation = content
            self._expect_offload_status(request)
        elif isinstance(content, OffloadParameters):
            self._last_offload_set = request.data
            self._switch_connections(content)
            self._expect_offload_status(request)
        elif isinstance(content, TcpConnectionOffloadParameters):
            self.known.connection_parameters = content
        both = rss.parameters is not None and rss.receive_hash is not None
        self._verifier.require(
            not both, "OID-8", self._miniport, f"{request} accepted with the other enabled"
        )

    def _switch_connections(self, wanted: OffloadParameters) -> None:
        """TcpConnectionIPv4 and IPv6 took effect."""
        offload = self.known.offload
        if offload is None or offload.connection_hardware is None:
            return
        now = offload.connection_default_config or offload.connection_hardware
        for member, switch in (("ipv4", wanted.tcp_connection_ipv4), ("ipv6", wanted.tcp_connection_ipv6)):
            if switch is Switch.NO_CHANGE:
                continue
            is_on = switch is Switch.ENABLED
            can = getattr(offload.connection_hardware, member)
            text = f"enabled beyond the hardware: connection offload, {member}"
            self._verifier.require(can or not is_on, "OFFLOAD-1", self._miniport, text)
            now = replace(now, **{member: is_on})
        self.known.offload = replace(offload, connection_default_config=now)

    def _expect_offload_status(self, request: OidRequest) -> None:
        if self.known.offload is not None and not self._was_config_indicated:
            self.awaits_offload_status = request
        self._was_config_indicated = False

    def on_offload_config(self, config: Offload) -> None:
        """TASK_OFFLOAD_CURRENT_CONFIG was indicated, while its set is pending or after it completed."""
        offload = self.known.offload or OffloadAttributes()
        self.known.offload = replace(offload, default_config=config)
        current = self.queue.current
        changing = (OID.TCP_OFFLOAD_PARAMETERS, OID.OFFLOAD_ENCAPSULATION)
        self._was_config_indicated = current is not None and current.request.oid in changing
        self.awaits_offload_status = None

    def check_offload_status_came(self) -> None:
        """Called before the next request: the indication may follow the set's completion, but not this."""
        request, self.awaits_offload_status = self.awaits_offload_status, None
        if request is not None:
            text = f"{request} succeeded without NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG"
            raise self._verifier.breach("OID-6", self._miniport, text)

    def drop_subscriber(self, subscriber: Subscriber) -> None:
        """A binding closed: what it alone had enabled goes off."""
        subscriber.packet_filter, subscriber.multicast = 0, frozenset()
        combined = 0
        lists: frozenset[bytes] = frozenset()
        for each in self._subscribers:
            if each is not subscriber:
                combined |= each.packet_filter
                lists |= each.multicast
        if combined != self.filter.packet_filter:
            self.filter.packet_filter = combined
            self.tell(set_(OID.GEN_CURRENT_PACKET_FILTER, combined.to_bytes(4, "little")), _ignore)
        if lists != self.filter.multicast:
            self.filter.multicast = lists
            self.tell(set_(OID.O802_3_MULTICAST_LIST, b"".join(sorted(lists))), _ignore)

    def restore_addressing(self) -> None:
        """After a reset that lost them: packet filter, multicast list and task offloads."""
        self.tell(
            set_(OID.GEN_CURRENT_PACKET_FILTER, self.filter.packet_filter.to_bytes(4, "little")), _ignore
        )
        self.tell(set_(OID.O802_3_MULTICAST_LIST, b"".join(sorted(self.filter.multicast))), _ignore)
        if self._last_offload_set is not None:
            self.tell(set_(OID.TCP_OFFLOAD_PARAMETERS, self._last_offload_set), _ignore)


def _ignore(_: NDIS_STATUS) -> None:
    """NDIS's own request failed or not: nobody waits for it."""
