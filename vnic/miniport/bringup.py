"""Bringing the card up: the numbered steps from a cold function to known capacities and proven DMA."""

from __future__ import annotations

from dataclasses import dataclass

from vnic.errors import UnknownError
from vnic.gen.enums import TestOp, TestResult
from vnic.gen.registers import BAR0, CONFIG, GlbCtrl, GlbFeatures
from vnic.host.bus import Bus, Coherent
from vnic.miniport.registers import BlockError, Registers
from vnic.ndis.miniport import NdisFailure
from vnic.ndis.status import NDIS_STATUS

_CLASS_ETHERNET = 0x020000
_ECHO_PATTERNS = (0x00000000, 0x55555555, 0xAAAAAAAA, 0x7FFFFFFF)
_TEST_BYTES = 256
_POLL_NS = 1_000
_POLLS = 1_000
_FRAME_MIN, _FRAME_MAX = 1514, 65_535
_RING_MIN, _RING_MAX = 16, 1 << 16
_LSO_MAX = 1 << 20
_TABLE_LOG2_MAX = 7


class BringUpError(NdisFailure):
    """The card cannot be used; `status` is what initialization returns."""


@dataclass(frozen=True, slots=True)
class Capacities:
    """What the card says of itself; lengths in bytes without FCS."""

    queue_pairs: int
    vectors: int
    multicast: int
    rss_table_log2: int
    features: int
    max_frame: int
    max_ring: int
    max_lso: int
    min_mss: int
    rx_buffer: int
    permanent_address: bytes

    def has(self, feature: int) -> bool:
        """Whether a bit of GLB_FEATURES is set."""
        return bool(self.features & feature)

    @property
    def has_udp_hash(self) -> bool:
        """Whether UDP ports can be hashed."""
        return self.has(GlbFeatures.RSS_UDP)


def bring_up(bus: Bus) -> tuple[Registers, Capacities]:
    """Steps 1 to 7: the card as after a device reset. BringUpError, AllocationError leave it disabled."""
    identify(bus)
    try:
        bus.enable_device()
    except UnknownError as error:  # gone since
        raise BringUpError(NDIS_STATUS.ADAPTER_NOT_FOUND, str(error)) from None
    bus.set_master()
    try:
        registers = find_registers(bus)
        reset_device(registers)
        check_echo(registers)
        check_dma(bus, registers)
        return registers, read_capacities(registers)
    except Exception:
        bus.disable_device()
        raise


def identify(bus: Bus) -> None:
    """1: there is a function, and it is an Ethernet controller."""
    vendor = CONFIG.ID.field("VENDOR").get(bus.config_read(CONFIG.ID.offset))
    code = CONFIG.CLASS.field("CLASS").get(bus.config_read(CONFIG.CLASS.offset))
    if vendor == 0xFFFF:
        raise BringUpError(NDIS_STATUS.ADAPTER_NOT_FOUND, "no function answers")
    if code != _CLASS_ETHERNET:
        raise BringUpError(NDIS_STATUS.ADAPTER_NOT_FOUND, f"class {code:06X} is no Ethernet controller")


def find_registers(bus: Bus) -> Registers:
    """3: the register blocks."""
    registers = Registers(bus)
    try:
        registers.discover()
    except BlockError as error:
        raise BringUpError(NDIS_STATUS.ADAPTER_NOT_FOUND, str(error)) from None
    return registers


def reset_device(registers: Registers) -> None:
    """4: device reset; RESET is a pulse, so nothing is to be waited for."""
    registers.write(BAR0.GLB_CTRL, GlbCtrl.RESET)


def check_echo(registers: Registers) -> None:
    """5: the echo register reads twice what was written."""
    for pattern in _ECHO_PATTERNS:
        registers.write(BAR0.TEST_ECHO, pattern)
        heard = registers.read(BAR0.TEST_ECHO)
        if heard != pattern * 2 & 0xFFFFFFFF:
            raise BringUpError(NDIS_STATUS.DEVICE_FAILED, f"echo of {pattern:#x} is {heard:#x}")


def check_dma(bus: Bus, registers: Registers) -> None:
    """6: fill, copy and invert arrive in memory, and nothing beside them changes."""
    memory = bus.alloc_coherent(4 * _TEST_BYTES)
    try:
        _check_dma_in(bus, registers, memory)
    finally:
        bus.free_coherent(memory)


def _check_dma_in(bus: Bus, registers: Registers, memory: Coherent) -> None:
    pattern = 0x600DCAFE
    first, second = memory.addr, memory.addr + 2 * _TEST_BYTES
    registers.write(BAR0.TEST_DMA_PATTERN, pattern)
    for operation, source, destination in (
        (TestOp.FILL, 0, first),
        (TestOp.COPY, first, second),
        (TestOp.INVERT, 0, first),
    ):
        _run_dma(bus, registers, operation, source, destination)
    filled = pattern.to_bytes(4, "little") * (_TEST_BYTES // 4)
    expected = bytes(~byte & 0xFF for byte in filled) + bytes(_TEST_BYTES) + filled + bytes(_TEST_BYTES)
    if bytes(memory.view) != expected:
        raise BringUpError(NDIS_STATUS.DEVICE_FAILED, "the DMA test left other bytes than it should")


def _run_dma(bus: Bus, registers: Registers, operation: TestOp, source: int, destination: int) -> None:
    registers.write(BAR0.TEST_DMA_SRC, source)
    registers.write(BAR0.TEST_DMA_DST, destination)
    registers.write(BAR0.TEST_DMA_LEN, _TEST_BYTES)
    registers.write(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=operation))
    for _ in range(_POLLS):
        state = BAR0.TEST_DMA_STATUS.decode(registers.read(BAR0.TEST_DMA_STATUS))
        if not state["BUSY"]:
            break
        bus.delay_ns(_POLL_NS)
    else:
        raise BringUpError(NDIS_STATUS.DEVICE_FAILED, f"DMA test {operation.name} does not end")
    if state["RESULT"] != TestResult.OK:
        raise BringUpError(
            NDIS_STATUS.DEVICE_FAILED, f"DMA test {operation.name} ended with {state['RESULT']}"
        )


def read_capacities(registers: Registers) -> Capacities:
    """7: what the card has; BringUpError when that is no card that could work."""
    capacities = _read_capacities(registers)
    wrong = _contradiction(capacities)
    if wrong:
        raise BringUpError(NDIS_STATUS.DEVICE_FAILED, wrong)
    return capacities


def _contradiction(found: Capacities) -> str:
    """What no card says of itself, or nothing; lengths that are too long are memory's to refuse."""
    for what, is_wrong in (
        (f"{found.queue_pairs} queue pairs", not 1 <= found.queue_pairs <= BAR0.QP_CQ_BASE.count),
        (f"{found.vectors} vectors", not 1 <= found.vectors <= BAR0.VEC_CTRL.count),
        (f"frames of {found.max_frame} bytes", not _FRAME_MIN <= found.max_frame <= _FRAME_MAX),
        (f"rings of {found.max_ring}", not _RING_MIN <= found.max_ring <= _RING_MAX),
        (f"large sends of {found.max_lso} bytes", not found.max_frame <= found.max_lso <= _LSO_MAX),
        (f"{found.multicast} multicast addresses", found.multicast > BAR0.MAC_MULTICAST.count),
        ("a group address as its own", bool(found.permanent_address[0] & 1)),
        (f"an RSS table of 2^{found.rss_table_log2}", found.rss_table_log2 > _TABLE_LOG2_MAX),
    ):
        if is_wrong:
            return what
    return ""


def _read_capacities(registers: Registers) -> Capacities:
    caps = BAR0.GLB_CAPS.decode(registers.read(BAR0.GLB_CAPS))
    return Capacities(
        queue_pairs=caps["QUEUE_PAIRS"],
        vectors=caps["VECTORS"],
        multicast=caps["MULTICAST"],
        rss_table_log2=caps["RSS_TABLE_LOG2"],
        features=registers.read(BAR0.GLB_FEATURES),
        max_frame=registers.read(BAR0.GLB_MAX_FRAME),
        max_ring=registers.read(BAR0.GLB_MAX_RING),
        max_lso=registers.read(BAR0.GLB_MAX_LSO),
        min_mss=registers.read(BAR0.GLB_MIN_MSS),
        rx_buffer=registers.read(BAR0.GLB_RX_BUFFER),
        permanent_address=registers.read(BAR0.MAC_PERM_ADDR).to_bytes(8, "little")[:6],
    )
