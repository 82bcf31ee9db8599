"""How a stack and its interfaces are made: the parameters that stay as they are for their life."""

from __future__ import annotations

from dataclasses import dataclass

_BUFFER_BYTES = 64 << 20
#: Payload in a page of a send queue.
_BLOCK_BYTES = 4080
_PAGE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """Parameters of creation; None takes the library's default (vnic_stack_defaults)."""

    #: Of initial sequence numbers, cookies, ports, identifications: the only randomness.
    seed: int | None = None
    #: TCP connections at once, TIME_WAIT included.
    connections: int | None = None
    listeners: int | None = None
    udp_sockets: int | None = None
    #: 1 to 8.
    interfaces: int | None = None
    #: Entries of the neighbour caches together.
    neighbours: int | None = None
    routes: int | None = None
    #: Payload that all sockets together hold, bytes.
    buffer_bytes: int | None = None
    #: Frames of ARP, ND, ICMP, UDP and resets that wait for the link, per interface.
    outbox_frames: int | None = None
    #: Datagrams in reassembly, together, bytes.
    fragments_bytes: int | None = None
    #: Of a socket, bytes.
    send_buffer: int | None = None
    receive_buffer: int | None = None
    rto_min_us: int | None = None
    delack_us: int | None = None
    msl_ms: int | None = None
    fin_wait_2_ms: int | None = None
    #: 0 never, 1 when the backlog is full, 2 always.
    syn_cookies: int | None = None
    #: A TcpCongestion.
    congestion: int | None = None
    #: 0 off, 1 asked for and accepted, 2 only accepted.
    ecn: int | None = None
    #: 0: a new address is ours at once; else probed so often first.
    address_probes: int | None = None
    #: 0 to 3, when a link with IPv6 comes up.
    router_solicitations: int | None = None


def send_memory_bytes(config: StackConfig) -> int:
    """How much memory, at a page, `Stack(send_memory=...)` takes for the send queues of `config`."""
    asked = config.buffer_bytes if config.buffer_bytes is not None else _BUFFER_BYTES
    return (-(-asked // 2 // _BLOCK_BYTES) + 1) * _PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceConfig:
    """One interface; `offload` is what the link below does for it (StackOffload)."""

    #: Six octets.
    mac: bytes
    #: Longest IP packet, 576 (1280 with IPv6) to 65535.
    mtu: int = 1500
    #: Tag of all its frames; 0: untagged.
    vlan: int = 0
    offload: int = 0
    #: Payload of a large send, bytes, with StackOffload.TSO.
    tso_bytes: int = 0
