"""Hypothesis strategies for single operations: what a hostile guest, peer and host would do."""

from __future__ import annotations

import random
from functools import cache
from importlib import resources

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from vnic.abi import DmaStatus, Engine, FaultAction, FaultSite, OpCode
from vnic.fault import ANY, Fault
from vnic.fuzz.bring_up import RING_COUNT, STARTED, rx_ring, transmit_block, tx_ring
from vnic.fuzz.oplang import Step, WorldCode, pack_edits, pack_fault
from vnic.fuzz.records import Edit
from vnic.fuzz.world import BAR0_ADDRESS, BAR2_ADDRESS, FAULTS, PAIRS, PLACES, RAM, VECTORS, Region
from vnic.gen.descriptors import RxDesc, TxContext, TxData
from vnic.gen.enums import DescType
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.wire.capture import open_capture

_EDGES = (
    *(
        0,
        1,
        2,
        7,
        8,
        14,
        59,
        60,
        63,
        64,
        65,
        127,
        128,
        255,
        256,
        1024,
        1514,
        2048,
        4095,
        4096,
        9728,
        9729,
        32767,
    ),
    *(
        32768,
        32769,
        65535,
        65536,
        65537,
        262_144,
        262_145,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FFFF,
        1 << 32,
        1 << 63,
    ),
    (1 << 64) - 1,
)
_LAST = (1 << 64) - 1
_ANYWHERE = st.integers(0, _LAST)

values = st.sampled_from(_EDGES) | st.integers(0, 64) | _ANYWHERE
widths = st.sampled_from((1, 2, 4, 8)) | st.integers(0, 255)

# Bus addresses: of memory, read-only and write-only too, of the card's own BARs, of nothing; and the edges.
_BASES = (
    *(RAM, RAM, RAM, *(place.addr for place in PLACES)),
    *(BAR0_ADDRESS, BAR2_ADDRESS, BAR2_ADDRESS + 0x1000, 0, 0x70_0000_0000, _LAST - 4095),
)
addresses = st.builds(
    lambda base, page, into: (base + page * 4096 + into) & _LAST,
    st.sampled_from(_BASES),
    st.integers(0, 4),
    st.sampled_from((0, 0, 64, -1, -60, -200)) | st.integers(0, 4095),
)


def _registers(bar: int) -> tuple[Register, ...]:
    return tuple({0: BAR0.MAP, 2: MSIX_TABLE.MAP}[bar])


@st.composite
def _offsets(draw: st.DrawFn, bar: int) -> int:
    if draw(st.integers(0, 7)) == 0:
        return draw(st.integers(0, 0x12000) | _ANYWHERE)
    register = draw(st.sampled_from(_registers(bar)))
    count = min(register.count, {32: PAIRS + 1, 64: VECTORS + 1}.get(register.count, register.count))
    offset = register.at(draw(st.integers(0, count - 1)), draw(st.integers(0, register.inner_count - 1)))
    return offset + draw(st.sampled_from((0, 0, 0, 0, 4, 1, 2, 3, -1)))


@st.composite
def registers(draw: st.DrawFn) -> Step:
    """Reads and writes of every width at every offset, most of them of registers."""
    bar = draw(st.sampled_from((0, 0, 0, 0, 0, 0, 2, 2)))
    offset = max(draw(_offsets(bar)), 0)
    index = bar if draw(st.integers(0, 15)) else draw(st.integers(0, 255))
    width = 4 if draw(st.booleans()) else draw(widths)
    if draw(st.integers(0, 3)) == 0:
        return Step(OpCode.READ, index, width, offset)
    return Step(OpCode.WRITE, index, width, offset, draw(values | addresses))


_COMMANDS = st.sampled_from((6, 6, 6, 6, 4, 2, 0, 0x406, 0x506))


@st.composite
def configs(draw: st.DrawFn) -> Step:
    """Configuration space: Command, power, capabilities, BARs, anything."""
    registers = tuple(CONFIG.MAP)
    register = draw(
        st.sampled_from((*registers, CONFIG.COMMAND, CONFIG.PM_CTRL, CONFIG.MSI_CTRL, CONFIG.MSIX_CTRL))
    )
    offset = (
        draw(st.sampled_from(tuple(register.offsets())))
        if draw(st.integers(0, 7))
        else draw(st.integers(0, 0x1100))
    )
    width = 4 if draw(st.integers(0, 3)) else draw(widths)
    if draw(st.integers(0, 3)) == 0:
        return Step(OpCode.CFG_READ, 0, width, offset)
    value = draw(_COMMANDS if register is CONFIG.COMMAND else values)
    return Step(OpCode.CFG_WRITE, 0, width, offset, value & 0xFFFF_FFFF)


TAILS = (BAR0.QP_RX_TAIL, BAR0.QP_TX_TAIL, BAR0.QP_CQ_TAIL)
_CONTROLS = (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL)
_COUNTS = (BAR0.QP_RX_COUNT, BAR0.QP_TX_COUNT, BAR0.QP_CQ_COUNT)
_RING_BASES = (BAR0.QP_RX_BASE, BAR0.QP_TX_BASE, BAR0.QP_CQ_BASE)
REST = (BAR0.QP_RX_BUF_LEN, BAR0.QP_RX_HDR_LEN, BAR0.QP_CQ_VECTOR)


def doorbells() -> SearchStrategy[Step]:
    """Tails of pairs that run, within the ring."""
    return st.builds(
        lambda register, pair, tail: Step(OpCode.WRITE, 0, 4, register.at(pair), tail),
        st.sampled_from((BAR0.QP_TX_TAIL, BAR0.QP_TX_TAIL, *TAILS)),
        st.integers(0, STARTED - 1),
        st.integers(0, RING_COUNT - 1),
    )


@st.composite
def queues(draw: st.DrawFn) -> Step:
    """Tails out of range, starts, stops and resets, sizes 0 and maximum, rings in any memory and none."""
    group = draw(st.sampled_from((TAILS, _CONTROLS, _CONTROLS, _COUNTS, _RING_BASES, REST)))
    register = draw(st.sampled_from(group))
    pair = draw(st.integers(0, PAIRS))
    if group is _CONTROLS:
        value = draw(st.sampled_from((1, 1, 1, 0, 2, 3)))
    elif group is _COUNTS:
        value = draw(st.sampled_from((0, 8, 16, 64, 32768, 65536)) | st.integers(0, 70))
    elif group is _RING_BASES:
        value = draw(addresses) & ~63 if draw(st.integers(0, 7)) else draw(addresses)
    else:
        value = draw(values) & 0xFFFF_FFFF
    return Step(OpCode.WRITE, 0, register.bytes, register.at(pair), value)


# -- descriptors ---------------------------------------------------------------------------------------------

_LENGTHS = st.integers(1, 2000) | st.sampled_from((0, 1, 13, 14, 59, 60, 9728, 9729, 65536, 262_144, 0xFFFFF))
bits = st.integers(0, 1)


def _mostly(usual: int, limit: int) -> SearchStrategy[int]:
    return st.just(usual) | st.just(usual) | st.integers(0, limit)


data_descriptors = st.builds(
    lambda addr, length, end, report: TxData(addr, length, DescType.DATA, end, report).pack(),
    addresses,
    _LENGTHS,
    st.sampled_from((1, 1, 0)),
    bits,
)
context_descriptors = st.builds(
    lambda l3, l4, header, mss, **bits: TxContext(
        l3, l4, header, mss=mss, type=DescType.CONTEXT, **bits
    ).pack(),
    _mostly(14, 511),
    _mostly(34, 511),
    _mostly(54, 511),
    _mostly(500, 65535),
    vlan_tci=st.integers(0, 65535),
    ip_csum=bits,
    l4_csum=bits,
    lso=bits,
    vlan_insert=bits,
    l3_kind=st.sampled_from((0, 0, 0, 1)),
    l4_kind=st.sampled_from((0, 0, 0, 1)),
)
receive_descriptors = st.builds(lambda data, header: RxDesc(data, header).pack(), addresses, addresses)
noise_descriptors = st.binary(min_size=16, max_size=16)
_BLOCK = transmit_block()
sound_descriptors = st.sampled_from((_BLOCK, _BLOCK[:16], _BLOCK[16:32], _BLOCK[32:80], _BLOCK[80:]))


@st.composite
def descriptors(draw: st.DrawFn) -> Step:
    """Descriptors into the rings that the bring-up started."""
    kind = st.one_of(
        data_descriptors, data_descriptors, context_descriptors, sound_descriptors, noise_descriptors
    )
    is_receive = draw(st.integers(0, 3)) == 0
    ring = (rx_ring if is_receive else tx_ring)(draw(st.integers(0, STARTED - 1)))
    if draw(st.integers(0, 7)) == 0:
        rise = draw(st.integers(0, 64))
        return Step(
            WorldCode.FILL, rise, 16, ring, RING_COUNT, draw(receive_descriptors if is_receive else kind)
        )
    many = draw(st.lists(receive_descriptors if is_receive else kind, min_size=1, max_size=6))
    return Step(WorldCode.POKE, addr=ring + 16 * draw(st.integers(0, RING_COUNT - 1)), data=b"".join(many))


# -- frames --------------------------------------------------------------------------------------------------


@cache
def real_frames() -> tuple[bytes, ...]:
    """Frames of the capture that comes with the package: the first of each length."""
    with (
        resources.as_file(resources.files("vnic") / "data" / "flows.pcap") as path,
        open_capture(path) as capture,
    ):
        by_length = {len(packet.data): packet.data for packet in capture}
    return tuple(by_length[length] for length in sorted(by_length))


def _noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


noise_frames = st.builds(_noise, st.integers(0, 65535), st.integers(0, 1600) | st.integers(0, 65536))


@st.composite
def mutated_frames(draw: st.DrawFn) -> bytes:
    """A real frame with bytes changed, cut short or lengthened."""
    frame = bytearray(draw(st.sampled_from(real_frames())))
    frame[:6] = draw(st.sampled_from((frame[:6], frame[:6], b"\xff" * 6, bytes.fromhex("01005e000001"))))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, min(len(frame), 80) - 1))] = draw(st.integers(0, 255))
    if draw(st.integers(0, 3)) == 0:
        del frame[draw(st.integers(0, len(frame))) :]
    return bytes(frame)


def frames() -> SearchStrategy[Step]:
    """A frame arrives."""
    real = st.deferred(lambda: st.sampled_from(real_frames()))
    return st.one_of(real, mutated_frames(), noise_frames).map(lambda frame: Step(OpCode.RECEIVE, data=frame))


# -- the host ------------------------------------------------------------------------------------------------


@st.composite
def faults(draw: st.DrawFn) -> Step:
    """A fault is armed, or disarmed."""
    if draw(st.integers(0, 3)) == 0:
        return Step(WorldCode.DISARM, value=draw(st.integers(0, FAULTS - 1)))
    fault = Fault(
        site=draw(st.sampled_from(FaultSite)),
        action=draw(st.sampled_from(FaultAction)),
        index=draw(st.just(ANY) | st.integers(0, 4)),
        skip=draw(st.integers(0, 7)),
        count=draw(st.integers(1, 4)),
        argument=draw(st.integers(DmaStatus.UNSUPPORTED, DmaStatus.TIMEOUT) | values),
        mask=draw(_ANYWHERE),
    )
    return Step(WorldCode.ARM, data=pack_fault(fault))


def mappings() -> SearchStrategy[Step]:
    """Memory is taken away, and given again with any permissions."""
    unmap = st.builds(
        lambda addr, pages: Step(WorldCode.UNMAP, addr=addr & ~4095, value=4096 * pages),
        addresses,
        st.integers(1, 3),
    )
    again = st.builds(
        lambda region, rights: Step(WorldCode.MAP, rights, addr=region),
        st.sampled_from(Region),
        st.integers(0, 3),
    )
    return unmap | again


def surroundings() -> SearchStrategy[Step]:
    """Link, time, resets from outside, removal and return."""
    link = st.sampled_from((0, 1000, 10_000, 10_000)).map(lambda mbps: Step(OpCode.LINK, value=mbps))
    time = (st.integers(0, 100_000) | values).map(lambda ns: Step(OpCode.ADVANCE, value=ns))
    reset = st.integers(0, 2).map(lambda level: Step(OpCode.RESET, level))
    removal = st.sampled_from((0, 0, 1)).map(lambda removed: Step(OpCode.REMOVE, value=removed))
    return st.one_of(link, link, time, time, reset, removal)


def work() -> SearchStrategy[Step]:
    """Steps of engines, runs of random budgets, outputs taken."""
    step = st.sampled_from((*Engine, len(Engine), 255)).map(lambda engine: Step(OpCode.STEP, engine))
    run = st.builds(
        lambda steps, byte_count: Step(OpCode.RUN, addr=steps, value=byte_count),
        st.integers(0, 20) | st.sampled_from((64, 200, 1000)),
        st.integers(0, 30_000) | st.just(_LAST) | st.just(_LAST),
    )
    return st.one_of(step, run, run, run, st.just(Step(OpCode.DRAIN)))


edits = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(Edit), values), max_size=3)


def tampers() -> SearchStrategy[Step]:
    """A snapshot is saved, edited, and loaded."""
    return edits.map(lambda triples: Step(WorldCode.TAMPER, data=pack_edits(triples)))
