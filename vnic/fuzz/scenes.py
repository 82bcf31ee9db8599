"""Scenes: operations that belong together, as traffic and as mischief; and programs made of them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from vnic.abi import OpCode
from vnic.fuzz.bring_up import RING_COUNT, STARTED, tx_ring
from vnic.fuzz.oplang import Step, WorldCode
from vnic.fuzz.strategies import (
    REST,
    TAILS,
    addresses,
    bits,
    configs,
    context_descriptors,
    data_descriptors,
    descriptors,
    doorbells,
    faults,
    frames,
    mappings,
    noise_descriptors,
    queues,
    registers,
    sound_descriptors,
    surroundings,
    tampers,
    work,
)
from vnic.fuzz.world import PAIRS, VECTORS
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG


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
        return draw(bits)

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
        steps.append(Step(OpCode.WRITE, 0, 8, base.at(pair), address if draw(bits) else address & ~63))
    if draw(st.booleans()):
        steps.append(Step(OpCode.WRITE, 0, 4, count.at(pair), draw(_SIZES)))
    if draw(st.booleans()):
        register = draw(st.sampled_from(REST))
        steps.append(
            Step(OpCode.WRITE, 0, 4, register.at(pair), draw(st.sampled_from((0, 3, 4, 63, 64, 1024, 65537))))
        )
    tail = Step(OpCode.WRITE, 0, 4, draw(st.sampled_from(TAILS)).at(pair), draw(st.integers(0, RING_COUNT)))
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
