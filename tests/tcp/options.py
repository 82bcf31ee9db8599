"""What a conversation starts with, and what both sides offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.tcp.segment import MODULUS
from vnic._core import ffi, lib

ISS, IRS = 1_000_000, 77_000_000
PROFILES = {"rfc": lib.TCP_PROFILE_RFC, "chimney": lib.TCP_PROFILE_CHIMNEY}
CONGESTIONS = {"newreno": lib.TCP_CC_NEWRENO, "cubic": lib.TCP_CC_CUBIC}


@dataclass(frozen=True)
class Options:
    """What a conversation starts with; both sides agree on options unless `peer_options` says otherwise."""

    iss: int = ISS
    irs: int = IRS
    profile: str = "rfc"
    congestion: str = "newreno"
    is_ipv6: bool = False
    mtu: int = 1500
    rcv_buf: int = 65535
    timestamps: bool = False
    sack: bool = False
    ecn: bool = False
    wscale: int | None = None  # ours
    peer_wscale: int = 0  # with wscale
    peer_mss: int | None = 1460
    peer_wnd: int = 65535  # bytes, also of the SYN if it fits
    peer_options: int | None = None  # enum tcp_option in the peer's SYN
    nodelay: bool = False
    keepalive: bool = False
    strict_timestamps: bool = False
    plpmtud: bool = False
    ts_offset: int = 5000
    peer_ts: int = 900_000
    keep_time_ms: int = 7_200_000
    keep_interval_ms: int = 75_000
    keep_limit: int = 9
    user_timeout_ms: int = 0
    ttl: int = 64
    max_len: int = 0  # of a large send
    start_ns: int = 5_000_000_000
    is_active: bool = False
    rtt_ms: float = 0  # of the handshake
    config: dict[str, int] = field(default_factory=dict)  # struct tcp_engine_config

    @property
    def flags(self) -> int:
        """As struct tcp_open takes them."""
        chosen = {
            lib.TCP_HAS_TIMESTAMPS: self.timestamps,
            lib.TCP_HAS_SACK: self.sack,
            lib.TCP_HAS_ECN: self.ecn,
            lib.TCP_HAS_WSCALE: self.wscale is not None,
            lib.TCP_NODELAY: self.nodelay,
            lib.TCP_KEEPALIVE: self.keepalive,
            lib.TCP_STRICT_TIMESTAMPS: self.strict_timestamps,
            lib.TCP_PLPMTUD: self.plpmtud,
        }
        return sum(flag for flag, is_on in chosen.items() if is_on)

    @property
    def syn_options(self) -> int:
        """Of the peer's SYN."""
        if self.peer_options is not None:
            return self.peer_options
        options = lib.TCP_OPT_MSS if self.peer_mss is not None else 0
        options |= lib.TCP_OPT_TIMESTAMP if self.timestamps else 0
        options |= lib.TCP_OPT_SACK_PERMITTED if self.sack else 0
        return options | (lib.TCP_OPT_WSCALE if self.wscale is not None else 0)

    def raw(self) -> Any:
        """struct tcp_open."""
        made = ffi.new("struct tcp_open *")
        local, remote = (b"\x20\x01\x0d\xb8" + bytes(11),) * 2 if self.is_ipv6 else (b"\xc0\x00\x02",) * 2
        made.local[0 : len(local) + 1], made.remote[0 : len(remote) + 1] = local + b"\1", remote + b"\2"
        made.local_port, made.remote_port, made.is_ipv6 = 80, 40000, self.is_ipv6
        made.profile, made.congestion = PROFILES[self.profile], CONGESTIONS[self.congestion]
        made.ttl, made.rcv_wscale, made.flags = self.ttl, self.wscale or 0, self.flags
        made.iss, made.ts_offset = self.iss % MODULUS, self.ts_offset % MODULUS
        made.mtu, made.rcv_buf = self.mtu, self.rcv_buf
        made.keep_time_ms, made.keep_interval_ms = self.keep_time_ms, self.keep_interval_ms
        made.keep_limit, made.user_timeout_ms = self.keep_limit, self.user_timeout_ms
        return made
