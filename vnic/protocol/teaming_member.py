"""One adapter of a team: its binding, what it is able to do, and whether it may be used now."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from vnic.ndis.chimney import ClientCalls
from vnic.ndis.offload import ChecksumOffload, LargeSendV1, LargeSendV2, Offload, TcpConnectionOffload
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent
from vnic.ndis.rss import ReceiveScaleCapabilities
from vnic.ndis.structures import LinkState, MediaConnectState
from vnic.protocol.teaming_chimney import Mood

_Part = TypeVar("_Part", ChecksumOffload, LargeSendV1, LargeSendV2, TcpConnectionOffload)


@dataclass(slots=True, eq=False)
class Member:
    """`calls` is its chimney, None where it has none; `leaving` an event of NDIS that waits for quiet."""

    binding: BindingHandle
    parameters: BindParameters
    calls: ClientCalls | None
    link: LinkState
    #: In force now.
    offload: Offload | None
    mood: Mood = Mood.OPEN
    is_running: bool = False
    is_powered: bool = True
    #: Sends that are with it.
    sending: int = 0
    leaving: NetEvent | None = None

    @property
    def takes_frames(self) -> bool:
        """Whether it may be given anything to send."""
        return self.is_running and self.is_powered

    @property
    def is_fit(self) -> bool:
        """Whether it could carry the team's traffic."""
        return self.takes_frames and self.link.connect is not MediaConnectState.DISCONNECTED


def common_parameters(members: list[Member]) -> BindParameters:
    """What every member can do: the capabilities of the virtual adapter."""
    first, *others = [each.parameters for each in members]
    common = first
    for other in others:
        common = replace(
            common,
            mtu_size=min(common.mtu_size, other.mtu_size),
            max_multicast_list_size=min(common.max_multicast_list_size, other.max_multicast_list_size),
            supported_packet_filters=common.supported_packet_filters & other.supported_packet_filters,
            receive_scale=common_scaling(common.receive_scale, other.receive_scale),
            offload_config=common_offload(common.offload_config, other.offload_config),
            connection_offload_config=common_connections(
                common.connection_offload_config, other.connection_offload_config
            ),
            data_backfill=max(common.data_backfill, other.data_backfill),
        )
    return common


def common_scaling(
    one: ReceiveScaleCapabilities | None, other: ReceiveScaleCapabilities | None
) -> ReceiveScaleCapabilities | None:
    """RSS over as many queues as each has; None when either has none."""
    if one is None or other is None:
        return None
    return ReceiveScaleCapabilities(
        one.flags & other.flags,
        min(one.interrupt_messages, other.interrupt_messages),
        min(one.receive_queues, other.receive_queues),
        min(one.table_entries, other.table_entries),
        min(one.revision, other.revision),
    )


def common_offload(one: Offload | None, other: Offload | None) -> Offload | None:
    """Tasks that both can do; None when either can do nothing."""
    if one is None or other is None:
        return None
    return Offload(
        _lesser(one.ipv4_transmit, other.ipv4_transmit),
        _lesser(one.ipv4_receive, other.ipv4_receive),
        _lesser(one.ipv6_transmit, other.ipv6_transmit),
        _lesser(one.ipv6_receive, other.ipv6_receive),
        _lesser(one.lso_v1, other.lso_v1),
        _lesser(one.lso_v2, other.lso_v2),
        one.flags & other.flags,
    )


def common_connections(
    one: TcpConnectionOffload | None, other: TcpConnectionOffload | None
) -> TcpConnectionOffload | None:
    """The chimney that both have; None when either has none. Connections are at one member at a time."""
    return None if one is None or other is None else _lesser(one, other)


def _lesser(one: _Part, other: _Part) -> _Part:
    """Sets are intersected, least sizes are the larger one, and everything else the smaller."""
    values: dict[str, Any] = {}
    for each in fields(one):
        mine, its = getattr(one, each.name), getattr(other, each.name)
        if "encapsulation" in each.name or each.name == "flags":
            values[each.name] = mine & its
        else:
            values[each.name] = max(mine, its) if each.name.endswith("min_segment_count") else min(mine, its)
    return replace(one, **values)
