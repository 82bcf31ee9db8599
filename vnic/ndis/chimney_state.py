"""Offloaded state as NDIS 6 names it: the objects of neighbor, path and connection, and enumerations.

Source: the documentation of ndischimney.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from vnic.ndis.net_buffer_list import NetBufferList

#: Of Retransmit.TimeoutDelta and KeepAlive.TimeoutDelta: the timer does not run.
TIMER_STOPPED = 0xFFFF_FFFF
#: Of SendBacklogSize and ReceiveBacklogSize: not supported.
BACKLOG_UNKNOWN = 0xFFFF_FFFF
#: Of MaxRT: no limit.
MAX_RT_UNLIMITED = 0xFFFF_FFFF


class TCP_OFFLOAD_CONNECTION_STATE(IntEnum):
    """State of TCP_OFFLOAD_STATE_DELEGATED."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RCVD = 3
    ESTABLISHED = 4
    FIN_WAIT1 = 5
    FIN_WAIT2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10


OFFLOADABLE = frozenset(TCP_OFFLOAD_CONNECTION_STATE(value) for value in (4, 5, 6, 7, 8, 9))


class TCP_UPLOAD_REASON(IntEnum):
    """Why a target indicates TcpIndicateRetrieve."""

    LOW_ACTIVITY = 1
    HIGH_DROP_RATE = 2
    SMALL_IO = 3
    NO_BUFFER_PREPOSTING = 4
    RECEIVED_URGENT_DATA = 5
    HIGH_FRAGMENTATION = 6
    HIGH_OUT_OF_ORDER_PACKETS = 7
    TIMEOUT_EXPIRATION = 8
    INVALID_STATE = 9
    UPLOAD_REQUESTED = 10
    HARDWARE_FAILURE = 11

    @property
    def is_mandatory(self) -> bool:
        """Whether the host always uploads, and the target stops processing."""
        return self.value in (5, 8, 9, 10, 11)


class TCP_OFFLOAD_EVENT_TYPE(IntEnum):
    """Events of NdisTcpOffloadEventHandler."""

    SEND_BACKLOG_CHANGE = 1
    DISCONNECT = 2
    RETRIEVE = 3
    ABORT = 4


class INDICATE_OFFLOAD_EVENT(IntEnum):
    """Events of NdisMOffloadEventIndicate."""

    NEIGHBOR_REACHABILITY_IN_DOUBT = 1
    NEIGHBOR_REACHABILITY_QUERY = 2


class TcpDisconnectFlag(IntFlag):
    """TCP_DISCONNECT_*_CLOSE."""

    GRACEFUL_CLOSE = 1
    ABORTIVE_CLOSE = 2


class OFFLOAD_STATE_TYPE(IntEnum):
    """What state follows a block; 0 here: none."""

    NONE = 0
    NEIGHBOR_CONST = 1
    NEIGHBOR_CACHED = 2
    NEIGHBOR_DELEGATED = 3
    NEIGHBOR_ALL = 4
    IP4_PATH_CONST = 5
    IP4_PATH_CACHED = 6
    IP4_PATH_DELEGATED = 7
    IP4_PATH_ALL = 8
    IP6_PATH_CONST = 9
    IP6_PATH_CACHED = 10
    IP6_PATH_DELEGATED = 11
    IP6_PATH_ALL = 12
    TCP_CONST = 13
    TCP_CACHED = 14
    TCP_DELEGATED = 15
    TCP_RESOURCE = 16
    TCP_ALL = 17


class TcpConstFlag(IntFlag):
    """TCP_OFFLOAD_STATE_CONST.Flags."""

    TIMESTAMP_ENABLED = 0x01
    SACK_ENABLED = 0x02
    WINDOW_SCALING_ENABLED = 0x04


class TcpCachedFlag(IntFlag):
    """TCP_OFFLOAD_STATE_CACHED.Flags."""

    KEEP_ALIVE_ENABLED = 0x01
    NAGLING_ENABLED = 0x02
    KEEP_ALIVE_RESTART = 0x04
    MAX_RT_RESTART = 0x08
    UPDATE_RCV_WND = 0x10


_NO_CONST_FLAG = TcpConstFlag(0)
_NO_CACHED_FLAG = TcpCachedFlag(0)


# -- state objects -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class NEIGHBOR_OFFLOAD_STATE_CONST:
    """DlSourceAddress: all zeros, or the source MAC to use; VlanId 0: no VLAN."""

    DlSourceAddress: bytes = bytes(6)
    VlanId: int = 0


@dataclass(slots=True)
class NEIGHBOR_OFFLOAD_STATE_CACHED:
    """HostReachabilityDelta in ticks."""

    DlDestinationAddress: bytes = bytes(6)
    HostReachabilityDelta: int = 0


@dataclass(slots=True)
class NEIGHBOR_OFFLOAD_STATE_DELEGATED:
    """NicReachabilityDelta in ticks."""

    NicReachabilityDelta: int = 0


@dataclass(slots=True)
class PATH_OFFLOAD_STATE_CONST:
    """Addresses in network order, 4 or 16 bytes by the block's type."""

    SourceAddress: bytes = b""
    DestinationAddress: bytes = b""


@dataclass(slots=True)
class PATH_OFFLOAD_STATE_CACHED:
    """PathMtu in bytes."""

    PathMtu: int = 0


@dataclass(slots=True)
class PATH_OFFLOAD_STATE_DELEGATED:
    """Nothing."""


@dataclass(slots=True)
class TCP_OFFLOAD_STATE_CONST:
    """Ports in host order; HashValue: the RSS hash of the connection."""

    Flags: TcpConstFlag = _NO_CONST_FLAG
    RemotePort: int = 0
    LocalPort: int = 0
    SndWindScale: int = 0
    RcvWindScale: int = 0
    RemoteMss: int = 0
    HashValue: int = 0


@dataclass(slots=True)
class TCP_OFFLOAD_STATE_CACHED:
    """Times in ticks; MaxRT 0: by TcpMaximumRetransmissions; RcvIndicationSize 0: unspecified."""

    Flags: TcpCachedFlag = _NO_CACHED_FLAG
    InitialRcvWnd: int = 0
    RcvIndicationSize: int = 0
    KaProbeCount: int = 0
    KaTimeout: int = 0
    KaInterval: int = 0
    MaxRT: int = 0
    FlowLabel: int = 0
    TtlOrHopLimit: int = 0
    TosOrTrafficClass: int = 0
    UserPriority: int = 0


@dataclass(slots=True)
class KeepAliveState:
    """TCP_OFFLOAD_STATE_DELEGATED.KeepAlive; ticks."""

    ProbeCount: int = 0
    TimeoutDelta: int = TIMER_STOPPED


@dataclass(slots=True)
class RetransmitState:
    """TCP_OFFLOAD_STATE_DELEGATED.Retransmit; ticks."""

    Count: int = 0
    TimeoutDelta: int = TIMER_STOPPED


@dataclass(slots=True)
class TCP_OFFLOAD_STATE_DELEGATED:
    """SRtt is in ticks times 8, RttVar times 4; SndWnd in bytes.

    At initiate and terminate: SendDataHead and SendDataTail are of the block's NetBufferListChain,
    BufferedData a NET_BUFFER_LIST that ends left of RcvNxt. At query: SendBacklogSize and ReceiveBacklogSize.
    """

    State: TCP_OFFLOAD_CONNECTION_STATE = TCP_OFFLOAD_CONNECTION_STATE.CLOSED
    RcvNxt: int = 0
    RcvWnd: int = 0
    SndUna: int = 0
    SndNxt: int = 0
    SndMax: int = 0
    SndWnd: int = 0
    MaxSndWnd: int = 0
    SendWL1: int = 0
    CWnd: int = 0
    SsThresh: int = 0
    SRtt: int = 0
    RttVar: int = 0
    TsRecent: int = 0
    TsRecentAge: int = 0
    TsTime: int = 0
    TotalRT: int = 0
    DupAckCount: int = 0
    SndWndProbeCount: int = 0
    KeepAlive: KeepAliveState = field(default_factory=KeepAliveState)
    Retransmit: RetransmitState = field(default_factory=RetransmitState)
    SendDataHead: NetBufferList | None = None
    SendDataTail: NetBufferList | None = None
    SendBacklogSize: int = 0
    BufferedData: NetBufferList | None = None
    ReceiveBacklogSize: int = 0
    DWnd: int = 0


Const = NEIGHBOR_OFFLOAD_STATE_CONST | PATH_OFFLOAD_STATE_CONST | TCP_OFFLOAD_STATE_CONST
Cached = NEIGHBOR_OFFLOAD_STATE_CACHED | PATH_OFFLOAD_STATE_CACHED | TCP_OFFLOAD_STATE_CACHED
Delegated = NEIGHBOR_OFFLOAD_STATE_DELEGATED | PATH_OFFLOAD_STATE_DELEGATED | TCP_OFFLOAD_STATE_DELEGATED
