"""A card from any state to running, by spec/programming.md, and the tests that show that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from vnic.abi import InterruptKind, OpCode, ResetLevel
from vnic.fuzz.oplang import Step, WorldCode
from vnic.fuzz.world import BAR0_ADDRESS, BAR2_ADDRESS, LINK_MBPS, PAIRS, RAM, RUN_MAX, VECTORS, Broken, World
from vnic.gen.descriptors import RxDesc, TxContext, TxData
from vnic.gen.enums import DescType, L3Kind, L4Kind, TestOp, TestResult
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.bus import Interrupt

STARTED = 2
RING_COUNT = 64
BUF_LEN = 512
HDR_LEN = 64
RX_POSTED = RING_COUNT - 16

_PAIR_BYTES = 0x10000
_FRAME_TCP, _FRAME_UDP = RAM + 0x20000, RAM + 0x21000
_PAYLOAD, _SCRATCH = RAM + 0x24000, RAM + 0x3E000
_TCP_BYTES, _UDP_BYTES = 1054, 562
_MESSAGE = 0xFEE0_0000
_DATA = 0x40
_EVENT_VECTOR = VECTORS - 1
_NO_RISE = 64
_ONES = 0xFFFF_FFFF
_KEY = 0x6D5A_56DA_255B_0EC2

_ETHERNET = bytes.fromhex("020000000001 020000000099")
_TCP_HEADERS = _ETHERNET + bytes.fromhex(
    "0800 45000410123440004006 0000 0a000001 0a000002 3039 0050 00000001 00000002 5018ffff00000000"
)
_UDP_HEADERS = _ETHERNET + bytes.fromhex(
    "86dd 6000000001fc1140 fd000000000000000000000000000001 fd000000000000000000000000000002 1388138901fc0000"
)


class Level(IntEnum):
    """How far a card is reset before it is brought up again."""

    DEVICE = 0
    QUEUE = 1
    FLR = 2
    D3 = 3
    HOT = 4
    POWER = 5
    REMOVE = 6


def rx_ring(pair: int) -> int:
    """Bus address of a receive ring."""
    return RAM + pair * _PAIR_BYTES


def tx_ring(pair: int) -> int:
    """Bus address of a transmit ring."""
    return rx_ring(pair) + 0x1000


def cq_ring(pair: int) -> int:
    """Bus address of a completion ring."""
    return rx_ring(pair) + 0x2000


def headers(pair: int) -> int:
    """Bus address of the header buffer that all descriptors share."""
    return rx_ring(pair) + 0x3000


def buffers(pair: int) -> int:
    """Bus address of the first data buffer."""
    return rx_ring(pair) + 0x4000


# -- memory --------------------------------------------------------------------------------------------------


def _frame(head: bytes, length: int) -> bytes:
    return head + bytes(i & 0xFF for i in range(len(head), length))


def _fill(addr: int, stride: int, count: int, rise: int, data: bytes) -> Step:
    return Step(WorldCode.FILL, rise, stride, addr, count, data)


def _data(addr: int, length: int, *, end: int, report: int) -> bytes:
    return TxData(addr, length, DescType.DATA, end, report).pack()


def transmit_block() -> bytes:
    """Eight descriptors: two plain frames, one with checksums in two pieces, one large send."""
    tcp = {
        "type": DescType.CONTEXT,
        "l3_offset": 14,
        "l4_offset": 34,
        "l3_kind": L3Kind.IPV4,
        "l4_kind": L4Kind.TCP,
    }
    checksums = TxContext(**tcp, ip_csum=1, l4_csum=1)
    large_send = TxContext(**tcp, lso=1, mss=500, hdr_len=54, vlan_insert=1, vlan_tci=5)
    return b"".join(
        (
            _data(_FRAME_TCP, _TCP_BYTES, end=1, report=1),
            _data(_FRAME_UDP, _UDP_BYTES, end=1, report=0),
            checksums.pack(),
            _data(_FRAME_TCP, 100, end=0, report=0),
            _data(_FRAME_TCP + 100, _TCP_BYTES - 100, end=1, report=1),
            large_send.pack(),
            _data(_FRAME_TCP, 54, end=0, report=0),
            _data(_PAYLOAD, 2500, end=1, report=1),
        )
    )


def _memory() -> Iterator[Step]:
    yield Step(WorldCode.POKE, addr=_FRAME_TCP, data=_frame(_TCP_HEADERS, _TCP_BYTES))
    yield Step(WorldCode.POKE, addr=_FRAME_UDP, data=_frame(_UDP_HEADERS, _UDP_BYTES))
    yield _fill(_PAYLOAD, 128, 512, 0, bytes(i * 7 & 0xFF for i in range(128)))
    for pair in range(STARTED):
        yield _fill(rx_ring(pair), RxDesc.SIZE, RING_COUNT, 9, RxDesc(buffers(pair), headers(pair)).pack())
        yield _fill(cq_ring(pair), 128, RING_COUNT // 4, _NO_RISE, bytes(128))
        block = transmit_block()
        yield _fill(tx_ring(pair), len(block), RING_COUNT // 8, _NO_RISE, block)


# -- registers -----------------------------------------------------------------------------------------------


def put(register: Register, value: int, i: int = 0, *, bar: int = 0) -> Step:
    """A write of a register, in one access of its width."""
    return Step(OpCode.WRITE, bar, register.bytes, register.at(i), value)


def _configure(register: Register, value: int, i: int = 0) -> Step:
    return Step(OpCode.CFG_WRITE, 0, 4, register.at(i), value)


def _function() -> Iterator[Step]:
    """PROG-1, PROG-6."""
    yield _configure(CONFIG.PM_CTRL, 0)
    for slot, value in enumerate((BAR0_ADDRESS, 0, BAR2_ADDRESS, 0)):
        yield _configure(CONFIG.BAR, value, slot)
    yield _configure(CONFIG.COMMAND, CONFIG.COMMAND.encode(MEMORY=1, MASTER=1))
    for vector in range(VECTORS):
        yield put(MSIX_TABLE.ENTRY_ADDR_LO, _MESSAGE, vector, bar=2)
        yield put(MSIX_TABLE.ENTRY_ADDR_HI, 0, vector, bar=2)
        yield put(MSIX_TABLE.ENTRY_DATA, _DATA + vector, vector, bar=2)
        yield put(MSIX_TABLE.ENTRY_CTRL, 0, vector, bar=2)
    yield _configure(CONFIG.MSIX_CTRL, CONFIG.MSIX_CTRL.encode(ENABLE=1))


def _vectors() -> Iterator[Step]:
    """PROG-7."""
    for vector in range(VECTORS):
        yield put(BAR0.VEC_INTERVAL, 0, vector)
        yield put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(ENABLE=1), vector)
    yield put(BAR0.GLB_EVENT_VECTOR, _EVENT_VECTOR)
    yield put(BAR0.GLB_EVENT, _ONES)
    yield put(BAR0.GLB_EVENT_ENABLE, _ONES)
    yield put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))


def _scale() -> Iterator[Step]:
    """PROG-18: two entries, for pairs 0 and 1."""
    yield put(BAR0.RSS_TYPES, _ONES)
    for at in range(0, 40, 8):
        yield Step(OpCode.WRITE, 0, 8, BAR0.RSS_KEY.at(0) + at, _KEY + at)
    yield put(BAR0.RSS_TABLE, 0x0100)
    yield put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=1))
    yield put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))


def start_pair(pair: int) -> Iterator[Step]:
    """PROG-8 to PROG-10."""
    yield put(BAR0.QP_CQ_BASE, cq_ring(pair), pair)
    yield put(BAR0.QP_CQ_COUNT, RING_COUNT, pair)
    yield put(BAR0.QP_CQ_VECTOR, pair, pair)
    yield put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(ENABLE=1), pair)
    yield put(BAR0.QP_CQ_TAIL, RING_COUNT - 1, pair)
    yield put(BAR0.QP_RX_BASE, rx_ring(pair), pair)
    yield put(BAR0.QP_RX_COUNT, RING_COUNT, pair)
    yield put(BAR0.QP_RX_BUF_LEN, BUF_LEN, pair)
    yield put(BAR0.QP_RX_HDR_LEN, HDR_LEN, pair)
    yield put(BAR0.QP_RX_CTRL, BAR0.QP_RX_CTRL.encode(ENABLE=1), pair)
    yield put(BAR0.QP_RX_TAIL, RX_POSTED, pair)
    yield put(BAR0.QP_TX_BASE, tx_ring(pair), pair)
    yield put(BAR0.QP_TX_COUNT, RING_COUNT, pair)
    yield put(BAR0.QP_TX_CTRL, BAR0.QP_TX_CTRL.encode(ENABLE=1), pair)


def _bring_up() -> Iterator[Step]:
    yield from _memory()
    yield Step(OpCode.LINK, value=LINK_MBPS)
    yield from _function()
    yield from _vectors()
    yield put(BAR0.GLB_CTRL, 0)
    yield from _scale()
    yield put(BAR0.MAC_ADDR, 0x0100_0000_0002)
    yield put(BAR0.MAC_RX_MAX, 9728)
    for pair in range(STARTED):
        yield from start_pair(pair)
    yield put(BAR0.MAC_TX_CTRL, BAR0.MAC_TX_CTRL.encode(ENABLE=1, PAD=1))
    yield put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, PROMISCUOUS=1, CSUM=1))


BRING_UP = tuple(_bring_up())


# -- tests of a card that was brought up ---------------------------------------------------------------------


def _get(world: World, register: Register, i: int = 0) -> int:
    return world.device.read(0, register.at(i), register.bytes)


def _put(world: World, register: Register, value: int, i: int = 0) -> None:
    world.act(put(register, value, i))


def _require(what: bool, otherwise: str) -> None:
    if not what:
        raise Broken(otherwise)


def _test_fire(world: World) -> None:
    world.device.interrupts()
    _put(world, BAR0.TEST_FIRE, _EVENT_VECTOR)
    world.settle()
    message = Interrupt(InterruptKind.MSIX, _EVENT_VECTOR, _MESSAGE, _DATA + _EVENT_VECTOR)
    _require(message in world.device.interrupts(), "FIRE raised nothing after the bring-up")


def _test_dma(world: World, op: TestOp, dst: int, src: int, expected: int) -> None:
    _put(world, BAR0.TEST_DMA_DST, dst)
    _put(world, BAR0.TEST_DMA_SRC, src)
    _put(world, BAR0.TEST_DMA_LEN, 100)
    _put(world, BAR0.TEST_DMA_PATTERN, 0x5A5A_5A5A)
    _put(world, BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))
    world.settle()
    status = BAR0.TEST_DMA_STATUS.decode(_get(world, BAR0.TEST_DMA_STATUS))
    _require(status == {"BUSY": 0, "RESULT": TestResult.OK}, f"bring-up DMA {op.name} ended with {status}")
    written = world.read(dst, 101)
    _require(written == bytes([expected] * 100) + b"\0", f"bring-up DMA {op.name} wrote something else")


def _test_loop(world: World) -> None:
    """The ring's first descriptor, a plain frame of three buffers, to the pair that its hash chose."""
    _put(world, BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=1))
    _put(world, BAR0.QP_TX_TAIL, 1)
    world.settle()
    _put(world, BAR0.GLB_CTRL, 0)
    heads = [_get(world, BAR0.QP_RX_HEAD, pair) for pair in range(STARTED)]
    _require(sorted(heads) == [0, 3], f"a frame looped back, and the receive heads are {heads}")
    _require(_get(world, BAR0.QP_TX_HEAD) == 1, "a frame was sent, and the transmit head is not 1")
    arrived = world.read(buffers(heads.index(3)), _TCP_BYTES)
    _require(arrived == world.read(_FRAME_TCP, _TCP_BYTES), "a frame looped back arrived changed")


def check_card(world: World) -> None:
    """ECHO, FIRE, DMA fill, copy and invert, and one frame looped back; Broken when one of them fails."""
    _put(world, BAR0.TEST_ECHO, 0x1234_5678)
    _require(_get(world, BAR0.TEST_ECHO) == 2 * 0x1234_5678, "ECHO read something else")
    _test_fire(world)
    world.poke(_SCRATCH, bytes(0x1000))
    _test_dma(world, TestOp.FILL, _SCRATCH, 0, 0x5A)
    _test_dma(world, TestOp.COPY, _SCRATCH + 0x800, _SCRATCH, 0x5A)
    _test_dma(world, TestOp.INVERT, _SCRATCH, 0, 0xA5)
    _test_loop(world)


# -- resets --------------------------------------------------------------------------------------------------


def _make_reachable(world: World) -> None:
    world.device.config_write(CONFIG.PM_CTRL.offset, 0)
    world.device.config_write(CONFIG.COMMAND.offset, CONFIG.COMMAND.encode(MEMORY=1, MASTER=1))


def _reset_queues(world: World) -> None:
    """Work goes on until there is none, and every moderation interval ends."""
    device = world.device
    _make_reachable(world)
    _put(world, BAR0.MAC_RX_CTRL, 0)
    for pair in range(PAIRS):
        _put(world, BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1), pair)
    for vector in range(VECTORS):
        _put(world, BAR0.VEC_INTERVAL, 0, vector)
    device.advance(min(device.now_ns + _ONES, (1 << 64) - 1))
    _require(world.settle(64 * RUN_MAX), "the card did not come to rest before its queues were reset")


def reset(world: World, level: Level) -> None:
    """Take a card from any state to where BRING_UP can start."""
    device = world.device
    world.repair()
    device.insert()
    match level:
        case Level.DEVICE:
            _make_reachable(world)
            _put(world, BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        case Level.QUEUE:
            _reset_queues(world)
        case Level.FLR:
            device.config_write(CONFIG.PM_CTRL.offset, 0)
            device.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(FLR=1))
        case Level.D3:
            device.config_write(CONFIG.PM_CTRL.offset, CONFIG.PM_CTRL.encode(STATE=3))
            device.config_write(CONFIG.PM_CTRL.offset, 0)
        case Level.HOT:
            device.reset(ResetLevel.HOT)
        case Level.POWER:
            device.reset(ResetLevel.POWER)
        case Level.REMOVE:
            device.remove()
            device.insert()
