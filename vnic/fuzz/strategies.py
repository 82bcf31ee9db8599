"""Hypothesis strategies for programs: what a hostile guest, peer and host would do."""

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


_TAILS = (BAR0.QP_RX_TAIL, BAR0.QP_TX_TAIL, BAR0.QP_CQ_TAIL)
_CONTROLS = (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL)
_COUNTS = (BAR0.QP_RX_COUNT, BAR0.QP_TX_COUNT, BAR0.QP_CQ_COUNT)
_RING_BASES = (BAR0.QP_RX_BASE, BAR0.QP_TX_BASE, BAR0.QP_CQ_BASE)
_REST = (BAR0.QP_RX_BUF_LEN, BAR0.QP_RX_HDR_LEN, BAR0.QP_CQ_VECTOR)


def doorbells() -> SearchStrategy[Step]:
    """Tails of pairs that run, within the ring."""
    return st.builds(
        lambda register, pair, tail: Step(OpCode.WRITE, 0, 4, register.at(pair), tail),
        st.sampled_from((BAR0.QP_TX_TAIL, BAR0.QP_TX_TAIL, *_TAILS)),
        st.integers(0, STARTED - 1),
        st.integers(0, RING_COUNT - 1),
    )


@st.composite
def queues(draw: st.DrawFn) -> Step:
    """Tails out of range, starts, stops and resets, sizes 0 and maximum, rings in any memory and none."""
    group = draw(st.sampled_from((_TAILS, _CONTROLS, _CONTROLS, _COUNTS, _RING_BASES, _REST)))
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
_BITS = st.integers(0, 1)


def _mostly(usual: int, limit: int) -> SearchStrategy[int]:
    return st.just(usual) | st.just(usual) | st.integers(0, limit)


data_descriptors = st.builds(
    lambda addr, length, end, report: TxData(addr, length, DescType.DATA, end, report).pack(),
    addresses,
    _LENGTHS,
    st.sampled_from((1, 1, 0)),
    _BITS,
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
    ip_csum=_BITS,
    l4_csum=_BITS,
    lso=_BITS,
    vlan_insert=_BITS,
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
    step = st.sampled_from((*Engine, 5, 255)).map(lambda engine: Step(OpCode.STEP, engine))
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


# -- programs ------------------------------------------------------------------------------------------------


@st.composite
def sendings(draw: st.DrawFn) -> list[Step]:
    """Descriptors into a transmit ring, its doorbell, and some work."""
    pair, index = draw(st.integers(0, STARTED - 1)), draw(st.integers(0, RING_COUNT - 1))
    kinds = st.one_of(
        sound_descriptors, sound_descriptors, data_descriptors, context_descriptors, noise_descriptors
    )
    many = b"".join(draw(st.lists(kinds, min_size=1, max_size=4)))
    tail = (
        draw(st.integers(0, RING_COUNT - 1))
        if draw(st.booleans())
        else (index + len(many) // 16) % RING_COUNT
    )
    filled = [Step(WorldCode.POKE, addr=tx_ring(pair) + 16 * index, data=many)] if draw(st.booleans()) else []
    return [
        *filled,
        Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(pair), tail),
        *draw(st.lists(work(), max_size=2)),
    ]


@st.composite
def arrivals(draw: st.DrawFn) -> list[Step]:
    """Frames, and some work."""
    return draw(st.lists(frames(), min_size=1, max_size=4)) + draw(st.lists(work(), max_size=2))


def _switch(register: Register, **fields: int) -> Step:
    return Step(OpCode.WRITE, 0, register.bytes, register.offset, register.encode(**fields))


@st.composite
def switches(draw: st.DrawFn) -> list[Step]:
    """Modes of taking and sending frames: filters, split, strip, padding, loopback, moderation, levels."""

    def bit() -> int:
        return draw(_BITS)

    receive = _switch(
        BAR0.MAC_RX_CTRL,
        ENABLE=draw(st.sampled_from((1, 1, 1, 0))),
        **{name: bit() for name in ("PROMISCUOUS", "UNICAST", "ALL_MULTICAST", "BROADCAST", "CSUM")},
        **{name: bit() for name in ("VLAN_FILTER", "VLAN_STRIP", "HEADER_SPLIT")},
    )
    pair, vector = draw(st.integers(0, STARTED - 1)), draw(st.integers(0, VECTORS - 1))
    others = (
        _switch(BAR0.MAC_TX_CTRL, ENABLE=draw(st.sampled_from((1, 1, 1, 0))), PAD=bit()),
        _switch(BAR0.GLB_CTRL, LOOPBACK=bit()),
        _switch(
            BAR0.RSS_CTRL,
            ENABLE=bit(),
            TABLE_LOG2=draw(st.integers(0, 8)),
            DEFAULT_QUEUE=draw(st.integers(0, 3)),
        ),
        _switch(BAR0.RSS_COMMIT, GO=1),
        Step(OpCode.WRITE, 0, 4, BAR0.VEC_INTERVAL.at(vector), draw(st.integers(0, 100_000))),
        Step(
            OpCode.WRITE, 0, 4, BAR0.VEC_CTRL.at(vector), BAR0.VEC_CTRL.encode(ENABLE=bit(), AUTO_MASK=bit())
        ),
        Step(
            OpCode.WRITE,
            0,
            4,
            BAR0.QP_RX_BUF_LEN.at(pair),
            draw(st.sampled_from((64, 100, 512, 2048, 65536))),
        ),
        Step(
            OpCode.CFG_WRITE,
            0,
            4,
            CONFIG.MSIX_CTRL.offset,
            CONFIG.MSIX_CTRL.encode(ENABLE=bit(), FUNCTION_MASK=bit()),
        ),
        Step(OpCode.CFG_WRITE, 0, 4, CONFIG.MSI_CTRL.offset, CONFIG.MSI_CTRL.encode(ENABLE=bit())),
    )
    return [receive, *draw(st.lists(st.sampled_from(others), max_size=3))]


_RINGS = (
    (BAR0.QP_RX_CTRL, BAR0.QP_RX_BASE, BAR0.QP_RX_COUNT),
    (BAR0.QP_TX_CTRL, BAR0.QP_TX_BASE, BAR0.QP_TX_COUNT),
    (BAR0.QP_CQ_CTRL, BAR0.QP_CQ_BASE, BAR0.QP_CQ_COUNT),
)
_SIZES = st.sampled_from((8, 16, 64, 32768, 0, 7, 65536))


@st.composite
def restarts(draw: st.DrawFn) -> list[Step]:
    """A ring stopped or reset, configured anew, soundly or not, and started."""
    control, base, count = draw(st.sampled_from(_RINGS))
    pair = draw(st.integers(0, PAIRS - 1))
    steps = [Step(OpCode.WRITE, 0, 4, control.at(pair), draw(st.sampled_from((0, 2, 2))))]
    if draw(st.booleans()):
        address = draw(addresses)
        steps.append(Step(OpCode.WRITE, 0, 8, base.at(pair), address if draw(_BITS) else address & ~63))
    if draw(st.booleans()):
        steps.append(Step(OpCode.WRITE, 0, 4, count.at(pair), draw(_SIZES)))
    if draw(st.booleans()):
        register = draw(st.sampled_from(_REST))
        steps.append(
            Step(OpCode.WRITE, 0, 4, register.at(pair), draw(st.sampled_from((0, 3, 4, 63, 64, 1024, 65537))))
        )
    tail = Step(OpCode.WRITE, 0, 4, draw(st.sampled_from(_TAILS)).at(pair), draw(st.integers(0, RING_COUNT)))
    return [*steps, Step(OpCode.WRITE, 0, 4, control.at(pair), 1), tail, *draw(st.lists(work(), max_size=2))]


@st.composite
def bring_up_operations(draw: st.DrawFn) -> list[Step]:
    """Bring-up DMA to anywhere, sound or not."""
    steps = [
        Step(OpCode.WRITE, 0, 8, BAR0.TEST_DMA_DST.offset, draw(addresses)),
        Step(OpCode.WRITE, 0, 8, BAR0.TEST_DMA_SRC.offset, draw(addresses)),
        Step(
            OpCode.WRITE,
            0,
            4,
            BAR0.TEST_DMA_LEN.offset,
            draw(st.sampled_from((0, 1, 100, 4096, 4097, 65536, 65537))),
        ),
        Step(
            OpCode.WRITE,
            0,
            4,
            BAR0.TEST_DMA_CMD.offset,
            BAR0.TEST_DMA_CMD.encode(GO=1, OP=draw(st.integers(0, 3))),
        ),
    ]
    return steps + draw(st.lists(work(), max_size=2))


def _alone(*one: SearchStrategy[Step]) -> SearchStrategy[list[Step]]:
    return st.one_of(*one).map(lambda step: [step])


_TRAFFIC: tuple[SearchStrategy[list[Step]], ...] = (
    *(sendings(), sendings(), arrivals(), arrivals(), switches()),
    *(_alone(work()), _alone(doorbells()), _alone(descriptors())),
)
_MISCHIEF: tuple[SearchStrategy[list[Step]], ...] = (
    *(_alone(registers()), _alone(configs()), _alone(queues()), _alone(mappings()), _alone(surroundings())),
    bring_up_operations(),
    restarts(),
)


@st.composite
def scenes(draw: st.DrawFn, *, with_tampers: bool = True, with_faults: bool = True) -> list[Step]:
    """A few operations that belong together; traffic as often as mischief."""
    mischief = (
        *_MISCHIEF,
        *((_alone(faults()),) if with_faults else ()),
        *((_alone(tampers()),) if with_tampers else ()),
    )
    return draw(draw(st.sampled_from(draw(st.sampled_from((_TRAFFIC, mischief))))))


def programs(
    least: int = 0, most: int = 12, *, with_tampers: bool = True, with_faults: bool = True
) -> SearchStrategy[tuple[Step, ...]]:
    """A number of scenes; whether they start from a card that is up is for the test to draw."""
    scene = scenes(with_tampers=with_tampers, with_faults=with_faults)
    return st.lists(scene, min_size=least, max_size=most).map(
        lambda many: tuple(step for scene in many for step in scene)
    )
