"""Task offloads: what the card can do, what is switched on, and what the protocols are told of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from vnic.gen.registers import GlbFeatures
from vnic.miniport.bringup import Capacities
from vnic.ndis.keywords import Settings
from vnic.ndis.offload import (
    ChecksumOffload,
    Encapsulation,
    LargeSendV1,
    LargeSendV2,
    Offload,
    OffloadEncapsulation,
    OffloadParameters,
    Switch,
    Toggle,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError
from vnic.ndis.task_offload import ChecksumBits, ChecksumTask, HeaderFormat, LargeSendTask, TaskOffload

#: The longest headers of a large send that the card takes, bytes.
LSO_HEADER_MAX = 256
_LSO_V1_MAX = 0x10000
_MIN_SEGMENTS = 2
_ETHERNET = Encapsulation.IEEE_802_3
_TAGGED = Encapsulation.IEEE_802_3_P_AND_Q | Encapsulation.IEEE_802_3_P_AND_Q_IN_OOB
_TX, _RX = 1, 2


@dataclass(frozen=True, slots=True)
class Switches:
    """Every offload on or off, transmit and receive apart."""

    ip4_tx: bool = False
    ip4_rx: bool = False
    tcp4_tx: bool = False
    tcp4_rx: bool = False
    udp4_tx: bool = False
    udp4_rx: bool = False
    tcp6_tx: bool = False
    tcp6_rx: bool = False
    udp6_tx: bool = False
    udp6_rx: bool = False
    lso_v1: bool = False
    lso_v2_ipv4: bool = False
    lso_v2_ipv6: bool = False

    def masked(self, other: Switches) -> Switches:
        """On where both are."""
        return Switches(*(getattr(self, f.name) and getattr(other, f.name) for f in fields(self)))

    def exceeds(self, other: Switches) -> bool:
        """Whether something is on here that is off there."""
        return self.masked(other) != self

    def combined(self) -> Switches:
        """Large send needs the checksums that it computes ("Combining Types of Task Offloads")."""
        can4, can6 = self.ip4_tx and self.tcp4_tx, self.tcp6_tx
        return replace(
            self,
            lso_v1=self.lso_v1 and can4,
            lso_v2_ipv4=self.lso_v2_ipv4 and can4,
            lso_v2_ipv6=self.lso_v2_ipv6 and can6,
        )


ALL_ON = Switches(*(True,) * len(fields(Switches)))

_CHECKSUM_KEYWORDS = (
    ("ip4", "*IPChecksumOffloadIPv4"),
    ("tcp4", "*TCPChecksumOffloadIPv4"),
    ("udp4", "*UDPChecksumOffloadIPv4"),
    ("tcp6", "*TCPChecksumOffloadIPv6"),
    ("udp6", "*UDPChecksumOffloadIPv6"),
)
_LSO_KEYWORDS = (("lso_v1", "*LsoV1IPv4"), ("lso_v2_ipv4", "*LsoV2IPv4"), ("lso_v2_ipv6", "*LsoV2IPv6"))


def configured(settings: Settings) -> Switches:
    """What the keywords switch on."""
    on: dict[str, bool] = {}
    for name, keyword in _CHECKSUM_KEYWORDS:
        on[f"{name}_tx"] = bool(settings[keyword] & _TX)
        on[f"{name}_rx"] = bool(settings[keyword] & _RX)
    on |= {name: bool(settings[keyword]) for name, keyword in _LSO_KEYWORDS}
    return Switches(**on).combined()


class TaskOffloads:
    """The offloads of one adapter. A change that fails leaves all as it was."""

    def __init__(self, capacities: Capacities, settings: Settings) -> None:
        self._max_lso = capacities.max_lso
        tags = _TAGGED if capacities.has(GlbFeatures.VLAN) and settings["*PriorityVLANTag"] else 0
        self._encapsulation = int(_ETHERNET | tags)
        self.able = _able(capacities, settings)
        self._wanted = configured(settings).masked(self.able)
        self._families = (True, True)
        self._refresh()

    def _refresh(self) -> None:
        four, six = self._families
        self.on = self._wanted.masked(_family_mask(four, six)).combined()
        self.current = self._describe(self.on)

    @property
    def hardware(self) -> Offload:
        """NDIS_OFFLOAD of OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES."""
        return self._describe(self.able)

    def receive(self, is_ipv6: bool) -> ChecksumOffload:
        """Receive checksums in force for one IP version."""
        return self.current.ipv6_receive if is_ipv6 else self.current.ipv4_receive

    @property
    def verifies(self) -> bool:
        """Whether the card has any receive checksum to verify."""
        on = self.on
        return on.ip4_rx or on.tcp4_rx or on.udp4_rx or on.tcp6_rx or on.udp6_rx

    def _describe(self, on: Switches) -> Offload:
        return Offload(
            ipv4_transmit=self._checksum(on.tcp4_tx, on.udp4_tx, on.ip4_tx),
            ipv4_receive=self._checksum(on.tcp4_rx, on.udp4_rx, on.ip4_rx),
            ipv6_transmit=self._checksum(on.tcp6_tx, on.udp6_tx, False),
            ipv6_receive=self._checksum(on.tcp6_rx, on.udp6_rx, False),
            lso_v1=self._lso_v1(on.lso_v1),
            lso_v2=self._lso_v2(on.lso_v2_ipv4, on.lso_v2_ipv6),
        )

    def _checksum(self, tcp: bool, udp: bool, ip: bool) -> ChecksumOffload:
        if not (tcp or udp or ip):
            return ChecksumOffload()
        return ChecksumOffload(self._encapsulation, True, tcp, tcp, udp, ip)

    def _lso_v1(self, on: bool) -> LargeSendV1:
        if not on:
            return LargeSendV1()
        size = min(_LSO_V1_MAX, self._max_lso) - LSO_HEADER_MAX
        return LargeSendV1(self._encapsulation, size, _MIN_SEGMENTS, True, True)

    def _lso_v2(self, ipv4: bool, ipv6: bool) -> LargeSendV2:
        size = self._max_lso - LSO_HEADER_MAX
        four = (self._encapsulation, size, _MIN_SEGMENTS) if ipv4 else (0, 0, 0)
        six = (self._encapsulation, size, _MIN_SEGMENTS) if ipv6 else (0, 0, 0)
        return LargeSendV2(*four, *six, ipv6_extension_headers=ipv6, ipv6_tcp_options=ipv6)

    # -- OID_TCP_OFFLOAD_PARAMETERS ----------------------------------------------------------------------

    def set_parameters(self, data: bytes) -> None:
        """Raises StructureError: malformed, or NOT_SUPPORTED for what the hardware does not have."""
        wanted = OffloadParameters.parse(data)
        changes: dict[str, bool] = {}
        for name, toggle in (
            ("ip4", wanted.ipv4_checksum),
            ("tcp4", wanted.tcp_ipv4_checksum),
            ("udp4", wanted.udp_ipv4_checksum),
            ("tcp6", wanted.tcp_ipv6_checksum),
            ("udp6", wanted.udp_ipv6_checksum),
        ):
            changes |= _toggled(name, toggle)
        for name, switch in (
            ("lso_v1", wanted.lso_v1),
            ("lso_v2_ipv4", wanted.lso_v2_ipv4),
            ("lso_v2_ipv6", wanted.lso_v2_ipv6),
        ):
            if switch != Switch.NO_CHANGE:
                changes[name] = switch == Switch.ENABLED
        self._take(replace(self._wanted, **changes))

    def _take(self, wanted: Switches) -> None:
        if wanted.exceeds(self.able):
            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "an offload that the hardware does not have")
        self._wanted = wanted.combined()
        self._refresh()

    # -- OID_OFFLOAD_ENCAPSULATION -----------------------------------------------------------------------

    def set_encapsulation(self, data: bytes) -> None:
        """Offloads of an IP version on or off; raises StructureError, NOT_SUPPORTED for foreign headers."""
        wanted = OffloadEncapsulation.parse(data)
        families = list(self._families)
        for place, (enabled, kind) in enumerate(
            ((wanted.ipv4_enabled, wanted.ipv4_type), (wanted.ipv6_enabled, wanted.ipv6_type))
        ):
            if enabled == 1 and (kind == 0 or kind & ~self._encapsulation):
                raise StructureError(NDIS_STATUS.NOT_SUPPORTED, f"encapsulation {kind}")
            if enabled:
                families[place] = enabled == 1
        self._families = (families[0], families[1])
        self._refresh()

    # -- OID_TCP_TASK_OFFLOAD of NDIS 5.x ----------------------------------------------------------------

    def task_offload(self) -> TaskOffload:
        """What the hardware can do, in the form of the Pack's time."""
        able = self.able
        checksum = ChecksumTask(
            ChecksumBits(able.ip4_tx, able.tcp4_tx, able.tcp4_tx, able.udp4_tx, able.ip4_tx),
            ChecksumBits(able.ip4_rx, able.tcp4_rx, able.tcp4_rx, able.udp4_rx, able.ip4_rx),
            ChecksumBits(able.tcp6_tx, able.tcp6_tx, able.tcp6_tx, able.udp6_tx, False),
            ChecksumBits(able.tcp6_rx, able.tcp6_rx, able.tcp6_rx, able.udp6_rx, False),
        )
        v1 = self._lso_v1(able.lso_v1)
        large = LargeSendTask(v1.max_offload_size, v1.min_segment_count, True, True) if able.lso_v1 else None
        return TaskOffload(checksum, large)

    def set_task_offload(self, data: bytes) -> None:
        """Switch on exactly the tasks listed; LSOv2, unknown to the list, goes off. Raises StructureError."""
        wanted = TaskOffload.parse(data)
        if wanted.header_format != HeaderFormat.IEEE_802_3:
            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, f"encapsulation {wanted.header_format.name}")
        task = wanted.checksum or ChecksumTask()
        four_tx, four_rx, six_tx, six_rx = (
            task.v4_transmit,
            task.v4_receive,
            task.v6_transmit,
            task.v6_receive,
        )
        if wanted.large_send is not None and wanted.large_send.max_offload_size > _LSO_V1_MAX:
            raise StructureError(
                NDIS_STATUS.INVALID_DATA, f"large sends of {wanted.large_send.max_offload_size}"
            )
        self._take(
            Switches(
                four_tx.ip_checksum, four_rx.ip_checksum, four_tx.tcp_checksum, four_rx.tcp_checksum,
                four_tx.udp_checksum, four_rx.udp_checksum, six_tx.tcp_checksum, six_rx.tcp_checksum,
                six_tx.udp_checksum, six_rx.udp_checksum, wanted.large_send is not None,
            )
        )  # fmt: skip


def _able(capacities: Capacities, settings: Settings) -> Switches:
    tx, rx = capacities.has(GlbFeatures.TX_CSUM), capacities.has(GlbFeatures.RX_CSUM)
    lso = tx and capacities.has(GlbFeatures.LSO)
    has_v2 = lso and settings.profile != "snp2003"
    return Switches(tx, rx, tx, rx, tx, rx, tx, rx, tx, rx, lso, has_v2, has_v2)


def _family_mask(four: bool, six: bool) -> Switches:
    return Switches(four, four, four, four, four, four, six, six, six, six, four, four, six)


def _toggled(name: str, toggle: Toggle) -> dict[str, bool]:
    if toggle == Toggle.NO_CHANGE:
        return {}
    return {
        f"{name}_tx": toggle in (Toggle.TX_ENABLED_RX_DISABLED, Toggle.TX_RX_ENABLED),
        f"{name}_rx": toggle in (Toggle.RX_ENABLED_TX_DISABLED, Toggle.TX_RX_ENABLED),
    }
