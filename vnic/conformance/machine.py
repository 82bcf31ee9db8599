"""The machine of a case: a bench with the driver under test, and what that driver says it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnic.abi import DmaStatus, EventType
from vnic.conformance.case import Case, Feature, NotSupported
from vnic.errors import CapacityError
from vnic.events import Event
from vnic.function import PciFunction
from vnic.gen.registers import BAR0
from vnic.host.bus import VectorKinds
from vnic.ndis.attributes import MacOption
from vnic.ndis.offload import Offload
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import INTERRUPTS, Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.driver import Driver

_SETTLED = 0xFFFF_FFFF


class CaseBench(Bench):
    """A bench that knows its driver, for cases that want a second adapter of it."""

    def __init__(self, driver: Driver, **parameters: Any) -> None:
        self.driver = driver
        super().__init__(miniport=driver.make, **parameters)


def second_bench(bench: Bench, **parameters: Any) -> Bench:
    """Another machine with an adapter of the same driver."""
    assert isinstance(bench, CaseBench)
    return CaseBench(bench.driver, **parameters)


def make_bench(case: Case, driver: Driver, seed: int | None = None) -> Bench:
    """The bench of a case, not started; its machine grants interrupts of the kind that the case names."""
    wanted: dict[str, Any] = dict(case.bench)
    wanted.pop("starts", None)
    if seed is not None:
        wanted["seed"] = seed
    is_manual = wanted.pop("manual", False)
    kinds = INTERRUPTS[wanted.get("interrupt", "any")]
    bench: Bench
    if Feature.CHIMNEY in case.needs:
        bench = ChimneyBench(miniport=driver.make, starts=False, **wanted)
    else:
        bench = CaseBench(driver, starts=False, **wanted)
    _grant_only(bench, kinds)
    bench.device.is_manual = is_manual
    return bench


def start(case: Case, bench: Bench) -> None:
    """Bring the adapter up where the case wants it so, and see that it has what the case needs.

    Raises NotSupported.
    """
    if not case.bench.get("starts", True):
        return
    is_manual, bench.device.is_manual = bench.device.is_manual, False
    status = bench.adapter.initialize()
    if status == NDIS_STATUS.RESOURCE_CONFLICT and case.bench.get("interrupt", "any") not in ("any", "msix"):
        raise NotSupported(f"does not start with interrupts of kind {case.bench['interrupt']}")
    if status == NDIS_STATUS.SUCCESS:
        bench.adapter.bind(bench.protocol)
        status = bench.adapter.restart()
    assert status == NDIS_STATUS.SUCCESS, f"the adapter does not start: {status!s}"
    bench.settle()
    missing = case.needs - features(bench)
    if missing:
        raise NotSupported("no " + ", ".join(sorted(each.value for each in missing)))
    bench.device.is_manual = is_manual


def _grant_only(bench: Bench, kinds: VectorKinds) -> None:
    """The platform grants no other kind of interrupt, whatever the card has."""
    if kinds == VectorKinds.ANY:
        return
    vectors = bench.system.vectors
    allocate = vectors.allocate

    def grant(minimum: int, maximum: int, wanted: VectorKinds) -> int:
        """As Vectors.allocate."""
        if not wanted & kinds:
            raise CapacityError(f"this machine grants {kinds!r} only")
        return allocate(minimum, maximum, wanted & kinds)

    setattr(vectors, "allocate", grant)  # noqa: B010 - its parameters have other names


def features(bench: Bench) -> frozenset[Feature]:
    """What the driver's attributes say it has."""
    general = bench.adapter.general
    assert general is not None
    offload = bench.adapter.known_offload
    hardware = offload.hardware if offload is not None else Offload()
    found = {
        Feature.CHECKSUM: _has_checksum(hardware),
        Feature.LSO: max(
            hardware.lso_v1.max_offload_size,
            hardware.lso_v2.ipv4_max_offload_size,
            hardware.lso_v2.ipv6_max_offload_size,
        )
        > 0,
        Feature.VLAN: bool(general.mac_options & (MacOption.EIGHT_Q1_VLAN | MacOption.EIGHT_P1_PRIORITY)),
        Feature.RSS: general.receive_scale is not None,
        Feature.CHIMNEY: offload is not None and offload.connection_hardware is not None,
        Feature.POWER: general.power is not None,
        Feature.MULTICAST: general.max_multicast_list_size > 0,
    }
    return frozenset(feature for feature, has in found.items() if has) | {Feature.CANCEL}


def _has_checksum(hardware: Offload) -> bool:
    parts = (hardware.ipv4_transmit, hardware.ipv4_receive, hardware.ipv6_transmit, hardware.ipv6_receive)
    return any(part.tcp_checksum or part.udp_checksum or part.ip_checksum for part in parts)


class Witness:
    """What the card saw the driver do that no driver may: DMA that led nowhere, accesses to no register."""

    def __init__(self, device: PciFunction[Any]) -> None:
        self.faults: list[str] = []
        kinds = (EventType.MMIO_READ, EventType.MMIO_WRITE, EventType.DMA_READ, EventType.DMA_WRITE)
        self._observation = device.observe(self._see, kinds)

    def _see(self, event: Event) -> None:
        if len(self.faults) > 20:
            return
        if event.type in (EventType.DMA_READ, EventType.DMA_WRITE):
            if event.value not in (DmaStatus.OK, DmaStatus.MASTER_OFF):
                self.faults.append(f"{event.type.name} of {len(event.data)} bytes at 0x{event.addr:x} failed")
        elif event.index == 0 and not _is_register(event.addr, event.width):
            self.faults.append(
                f"{event.type.name} of {event.width} bytes at BAR0 0x{event.addr:x}: no register"
            )

    def close(self) -> None:
        """Look no more."""
        self._observation.cancel()


def _is_register(offset: int, width: int) -> bool:
    try:
        BAR0.MAP.lookup(offset)
    except (KeyError, LookupError):
        return False
    return offset % width == 0


#: Drops that are no driver's fault: nobody asked for these frames.
_INNOCENT = ("RX_DROP_ADDRESS", "RX_DROP_VLAN", "RX_DROP_DISABLED", "RX_DROP_LINK")


def card_words(bench: Bench) -> list[str]:
    """What the card's own error counters say, `name value` each; nothing of a card that is gone."""
    if bench.device.is_closed or bench.device.read32(BAR0.GLB_TYPE.offset) == _SETTLED:
        return []
    counters: Mapping[str, int] = bench.counters()
    words = [
        f"{name} {value}"
        for name, value in counters.items()
        if value and ("DROP" in name or "ERRORS" in name) and name not in _INNOCENT
    ]
    return words + _ring_words(bench)


def _ring_words(bench: Bench) -> list[str]:
    words = []
    for name in ("QP_RX_STATUS", "QP_TX_STATUS", "QP_CQ_STATUS"):
        register = BAR0.MAP[name]
        for queue in range(bench.device.config.queue_pairs or 0):
            error = register.decode(bench.device.read32(register.at(queue))).get("ERROR", 0)
            if error:
                words.append(f"{name} of pair {queue}: error {error}")
    return words
