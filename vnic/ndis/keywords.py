"""The standardized INF keywords of a network adapter: documented range and default, read with a warning.

Sources: "Enumeration Keywords", "Keywords That Can Be Edited", "Standardized INF Keywords for RSS" of the
Windows driver documentation; ranges that it leaves to the vendor are marked so. Those without an asterisk are
this adapter's own: from which on its chimney asks for a connection back for an optional TCP_UPLOAD_REASON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword; values are whole numbers from `least` to `most`."""

    name: str
    text: str
    default: int
    least: int
    most: int
    is_vendor_range: bool = False
    needs_power_of_two: bool = False

    def accepts(self, value: int) -> bool:
        """Whether a value lies in the range."""
        if not self.least <= value <= self.most:
            return False
        return not self.needs_power_of_two or value & value - 1 == 0


def _switch(name: str, text: str, default: int = 1) -> Keyword:
    return Keyword(name, text, default, 0, 1)


def _checksum(name: str, text: str) -> Keyword:
    return Keyword(name, text + ": 0 off, 1 Tx, 2 Rx, 3 both", 3, 0, 3)


def _vendor(name: str, text: str, default: int, span: tuple[int, int], power_of_two: bool = False) -> Keyword:
    return Keyword(name, text, default, *span, is_vendor_range=True, needs_power_of_two=power_of_two)


def _reason(name: str, text: str, most: int) -> Keyword:
    return _vendor(name, f"{text}; 0: never", 0, (0, most))


KEYWORDS: Mapping[str, Keyword] = {
    keyword.name: keyword
    for keyword in (
        Keyword("*SpeedDuplex", "Speed & Duplex: 0 auto, 1-10 fixed", 0, 0, 10),
        Keyword("*FlowControl", "Flow Control: 0 off, 1 Tx, 2 Rx, 3 both, 4 auto", 0, 0, 4),
        Keyword("*PriorityVLANTag", "0 off, 1 packet priority, 2 VLAN, 3 both", 3, 0, 3),
        _switch("*InterruptModeration", "Interrupt Moderation"),
        _switch("*HeaderDataSplit", "Header Data Split", 0),
        _checksum("*IPChecksumOffloadIPv4", "IPv4 Checksum Offload"),
        _checksum("*TCPChecksumOffloadIPv4", "TCP Checksum Offload (IPv4)"),
        _checksum("*TCPChecksumOffloadIPv6", "TCP Checksum Offload (IPv6)"),
        _checksum("*UDPChecksumOffloadIPv4", "UDP Checksum Offload (IPv4)"),
        _checksum("*UDPChecksumOffloadIPv6", "UDP Checksum Offload (IPv6)"),
        _switch("*LsoV1IPv4", "Large Send Offload Version 1 (IPv4)"),
        _switch("*LsoV2IPv4", "Large Send Offload Version 2 (IPv4)"),
        _switch("*LsoV2IPv6", "Large Send Offload Version 2 (IPv6)"),
        _switch("*TCPConnectionOffloadIPv4", "TCP Connection Offload (IPv4)"),
        _switch("*TCPConnectionOffloadIPv6", "TCP Connection Offload (IPv6)"),
        _switch("*RSS", "Receive Side Scaling"),
        Keyword("*RSSProfile", "RSS load balancing profile", 4, 1, 6),
        _vendor("*NumRssQueues", "Number of RSS queues", 8, (1, 64)),
        _vendor("*MaxRssProcessors", "Maximum number of RSS processors", 16, (1, 64)),
        _vendor("*RssBaseProcGroup", "Group of the first RSS processor", 0, (0, 0)),
        _vendor("*RssBaseProcNumber", "First RSS processor", 0, (0, 63)),
        _vendor("*RssMaxProcGroup", "Group of the last RSS processor", 0, (0, 0)),
        _vendor("*RssMaxProcNumber", "Last RSS processor", 63, (0, 63)),
        _vendor("*NumaNodeId", "Preferred NUMA node; 65535 none", 65535, (0, 65535)),
        _vendor("*JumboPacket", "Largest frame with its Ethernet header", 1514, (1514, 9614)),
        _vendor("*ReceiveBuffers", "Receive descriptors a queue", 512, (8, 4096), True),
        _vendor("*TransmitBuffers", "Transmit descriptors a queue", 512, (8, 4096), True),
        _reason("ChimneyOutOfOrderRate", "HighOutOfOrderPackets: per cent of segments ahead of RcvNxt", 100),
        _reason("ChimneyDropRate", "HighDropRate: per cent of packets sent again", 100),
        _reason("ChimneySmallIo", "SmallIO: mean bytes of a request, below", 1 << 24),
        _reason("ChimneyUnpostedBytes", "NoBufferPreposting: bytes without a receive", (1 << 32) - 1),
        _reason("ChimneyIdleTicks", "LowActivity: ticks without data", (1 << 32) - 1),
        _reason("ChimneyFragments", "HighFragmentation: first fragments", 65535),
    )
}

#: The Scalable Networking Pack of 2003 had RSS over TCP and IP only, LSOv1 and the chimney; nothing later.
SNP2003: Mapping[str, int] = {
    "*LsoV2IPv4": 0,
    "*LsoV2IPv6": 0,
    "*HeaderDataSplit": 0,
    "*RSSProfile": 1,
}


@dataclass(frozen=True, slots=True)
class KeywordWarning:
    """A configured value that was not taken, and what is used instead."""

    name: str
    value: object
    used: int | None
    reason: str

    def __str__(self) -> str:
        instead = "ignored" if self.used is None else f"using {self.used}"
        return f"{self.name} = {self.value!r}: {self.reason}; {instead}"


@dataclass(slots=True)
class Settings(Mapping[str, int]):
    """Every keyword with its value in force; read it like a mapping. Names are not case-sensitive when given.

    `has_udp_hash` is False under the profile snp2003: UDP hash types came long after the Pack.
    """

    profile: str = "default"
    in_force: dict[str, int] = field(default_factory=lambda: {k.name: k.default for k in KEYWORDS.values()})
    warnings: list[KeywordWarning] = field(default_factory=list)
    network_address: bytes | None = None
    has_udp_hash: bool = True

    def __getitem__(self, name: str) -> int:
        return self.in_force[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.in_force)

    def __len__(self) -> int:
        return len(self.in_force)


PROFILES = ("default", "snp2003")


def read_settings(configured: Mapping[str, object] | None = None, profile: str = "default") -> Settings:
    """Settings from configured values: one out of range gives its default and a warning; raises ValueError
    for an unknown profile."""
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    settings = Settings(profile, has_udp_hash=profile != "snp2003")
    if profile == "snp2003":
        settings.in_force |= SNP2003
    folded = {name.casefold(): keyword for name, keyword in KEYWORDS.items()}
    for name, value in (configured or {}).items():
        if name.casefold() == "networkaddress":
            _read_network_address(settings, value)
        elif name.casefold() in folded:
            _read_number(settings, folded[name.casefold()], value)
        else:
            settings.warnings.append(KeywordWarning(name, value, None, "unknown keyword"))
    _check_rss_range(settings)
    _check_large_send(settings)
    return settings


def _read_number(settings: Settings, keyword: Keyword, value: object) -> None:
    try:
        number = int(str(value), 0)
    except ValueError:
        number = None
    name = keyword.name
    if number is None or not keyword.accepts(number):
        reason = f"not in {keyword.least} to {keyword.most}"
        if keyword.needs_power_of_two:
            reason += ", a power of two"
        settings.in_force[name] = keyword.default
        settings.warnings.append(KeywordWarning(name, value, keyword.default, reason))
    elif settings.profile == "snp2003" and number > SNP2003.get(name, number):
        reason = "not offered by the profile snp2003"
        settings.warnings.append(KeywordWarning(name, value, SNP2003[name], reason))
    else:
        settings.in_force[name] = number


def _read_network_address(settings: Settings, value: object) -> None:
    text = str(value).replace("-", "").replace(":", "")
    try:
        address = bytes.fromhex(text)
    except ValueError:
        address = b""
    if len(address) != 6 or address[0] & 1 or not any(address):
        settings.warnings.append(KeywordWarning("NetworkAddress", value, None, "not a unicast MAC address"))
    else:
        settings.network_address = address


def _check_rss_range(settings: Settings) -> None:
    base, last = settings["*RssBaseProcNumber"], settings["*RssMaxProcNumber"]
    if base > last:
        settings.in_force["*RssBaseProcNumber"] = 0
        reason = f"above *RssMaxProcNumber {last}"
        settings.warnings.append(KeywordWarning("*RssBaseProcNumber", base, 0, reason))


def _check_large_send(settings: Settings) -> None:
    """Large send includes the checksums that it computes ("Combining Types of Task Offloads")."""
    for lso, needed in (
        ("*LsoV1IPv4", ("*IPChecksumOffloadIPv4", "*TCPChecksumOffloadIPv4")),
        ("*LsoV2IPv4", ("*IPChecksumOffloadIPv4", "*TCPChecksumOffloadIPv4")),
        ("*LsoV2IPv6", ("*TCPChecksumOffloadIPv6",)),
    ):
        if settings[lso] and not all(settings[name] & 1 for name in needed):
            settings.in_force[lso] = 0
            reason = f"needs {' and '.join(needed)} for Tx"
            settings.warnings.append(KeywordWarning(lso, 1, 0, reason))
