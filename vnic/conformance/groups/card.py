"""The card itself, by registers and rings: a bench whose card is wrong can judge no driver."""

from __future__ import annotations

from vnic.abi import EventType, InterruptKind, ResetLevel
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import MESSAGE_DATA, Pair, Rig

_ONES = 0xFFFF_FFFF


def messages(rig: Rig) -> list[int]:
    """The vectors of the interrupts since the last look; of the line 1 for up, 0 for down."""
    taken = rig.device.interrupts()
    return [each.data if each.kind is InterruptKind.INTX else each.data - MESSAGE_DATA for each in taken]


def frames(count: int, length: int = 100) -> list[bytes]:
    """Distinct frames to the card."""
    return [plain_frame(length, number) for number in range(count)]


def through(rig: Rig, pair: int = 0) -> None:
    """A frame in, a frame out."""
    got = [each.data for each in rig.receive(plain_frame(90, 7))]
    assert got == [plain_frame(90, 7)], f"{len(got)} of 1 frame came in"
    rig[pair].send(plain_frame(91, 8))
    assert [report.status for report in rig[pair].reports()] == [0], "the send did not end well"
    assert rig.sent() == [plain_frame(91, 8)]


@card_case(
    manual("RST-1", "reset"),
    "a device reset returns everything behind BAR0 to its reset value; link, time and PCI stay",
    pairs=2,
)
def device_reset(rig: Rig) -> None:
    """Traffic, then GLB_CTRL.RESET: every register is compared with its reset value; then bring-up again."""
    through(rig)
    rig.put(BAR0.MAC_VLAN, 5)
    rig.device.advance(50_000)
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
    _assert_reset(rig, "a device reset")
    assert rig.field(BAR0.GLB_STATUS, "LINK_UP") == 1, "the link went with the reset"
    assert rig.device.config_read(CONFIG.COMMAND.offset, 2) & 6 == 6, (
        "configuration space went with the reset"
    )
    _again(rig)


def _assert_reset(rig: Rig, what: str) -> None:
    """Registers that a driver can write have their reset values, counters are 0."""
    wrong = []
    for register in BAR0.MAP:
        is_plain = any(field.access == "rw" for field in register.fields) and not register.name.startswith(
            "CH"
        )
        if (
            not is_plain
            and not register.name.startswith("STAT_RX")
            and not register.name.startswith("STAT_TX")
        ):
            continue
        mask = register.mask("rw") if is_plain else register.mask("ro", "rc")
        for index in range(min(register.count, 3)):
            value = rig.device.read(0, register.at(index), register.bytes) & mask
            if value != register.reset & mask and register.name != "MAC_ADDR":
                wrong.append(f"{register.name}[{index}] 0x{value:x}")
    assert not wrong, f"after {what}: " + ", ".join(wrong[:8])


def _again(rig: Rig) -> None:
    rig.pairs = [Pair(rig, number) for number in range(len(rig.pairs))]
    rig.bring_up(rig.rx_count - 1)
    messages(rig)
    rig.device.frames()
    through(rig)


@card_case(
    manual("RST-6", "reset"),
    "a Function Level Reset stops everything and resets configuration space too",
    pairs=2,
)
def function_level_reset(rig: Rig) -> None:
    """FLR with frames under way: nothing moves afterwards, registers are reset; then bring-up again."""
    through(rig)
    rig.device.is_manual = True
    for frame in frames(5):
        rig.inject(frame)
    moved: list[Event] = []
    _reset_function(rig)
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)):
        rig.device.is_manual = False
        rig.device.run()
    assert not moved, f"{moved[0].type.name} after a Function Level Reset"
    assert rig.device.config_read(CONFIG.COMMAND.offset, 2) & 6 == 0, "COMMAND was not reset"
    rig.power_up()
    _assert_reset(rig, "a Function Level Reset")
    _again(rig)


def _reset_function(rig: Rig) -> None:
    register = CONFIG.DEVCTL
    rig.device.config_write(register.offset, register.encode(FLR=1), 2)


@card_case(manual("RST-2", "reset"), "a hot reset resets the function", pairs=2)
def hot_reset(rig: Rig) -> None:
    """A conventional reset of the bus."""
    through(rig)
    rig.device.reset(ResetLevel.HOT)
    rig.power_up()
    _assert_reset(rig, "a hot reset")
    _again(rig)


@card_case(
    manual("RST-7", "reset"), "in D3hot there is no DMA, no interrupt and no frame; the way back to D0 resets"
)
def low_power(rig: Rig) -> None:
    """To D3hot, frames arrive, back to D0."""
    through(rig)
    messages(rig)
    moved: list[Event] = []
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)):
        for frame in frames(5):
            rig.inject(frame)
    assert not moved, f"{moved[0].type.name} in D3hot"
    assert rig.device.read(0, 0) == _ONES, "BAR0 answers in D3hot"
    assert rig.device.config_read(0, 4) != _ONES, "configuration space does not answer in D3hot"
    rig.power_up()
    _assert_reset(rig, "D3hot")
    _again(rig)


@card_case(
    manual("RST-8", "reset"),
    "a card that was pulled reads all ones and moves nothing; one put in is as after power-on",
)
def removal_and_insertion(rig: Rig) -> None:
    """Pull it with frames under way, look, put it in."""
    rig.device.is_manual = True
    rig.inject(plain_frame(100))
    moved: list[Event] = []
    rig.device.remove()
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)):
        rig.device.is_manual = False
        rig.device.run()
    assert not moved
    assert rig.device.read(0, 0) == _ONES
    assert rig.device.config_read(0, 4) == _ONES
    rig.device.insert()
    rig.power_up()
    _assert_reset(rig, "an insertion")
    _again(rig)


@card_case(
    manual("RST-4", "reset"),
    "a queue reset forgets the ring and keeps its configuration and the other rings",
    pairs=2,
)
def queue_reset(rig: Rig) -> None:
    """Reset pair 1 with frames waiting in it; start it again; pair 0 goes on."""
    rig[1].send(plain_frame(100))
    rig[1].put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1))
    for register in (BAR0.QP_RX_HEAD, BAR0.QP_RX_TAIL, BAR0.QP_TX_HEAD, BAR0.QP_TX_TAIL, BAR0.QP_CQ_HEAD):
        assert rig[1].get(register) == 0, f"{register.name} is {rig[1].get(register)} after a reset"
    assert rig[1].get(BAR0.QP_CQ_COUNT) == rig.cq_count, "the configuration went with the reset"
    rig.sent()
    through(rig)
    rig.pairs[1] = Pair(rig, 1)
    rig[1].start()
    rig[1].send(plain_frame(101))
    assert rig.sent() == [plain_frame(101)]


@card_case(
    manual("PROG-4"),
    "the bring-up registers answer: twice what was written, vectors that fire, FILL, COPY and INVERT",
)
def bring_up_registers(rig: Rig) -> None:
    """Write TEST_ECHO; fire both vectors and one that is not there."""
    for value in (0, 1, 0x1234_5678, 0x7FFF_FFFF):
        rig.put(BAR0.TEST_ECHO, value)
        assert rig.get(BAR0.TEST_ECHO) == 2 * value & _ONES
    messages(rig)
    for vector in (0, 1):
        rig.put(BAR0.TEST_FIRE, vector)
    assert messages(rig) == [0, 1]
    before = rig.stat("GUEST_ERRORS")
    rig.put(BAR0.TEST_FIRE, 60)
    assert messages(rig) == []
    assert rig.stat("GUEST_ERRORS") == before + 1


@card_case(manual("RX-2", "receive"), "what the card drops it counts, once, by its reason", posted=4)
def drops_are_counted(rig: Rig) -> None:
    """Runts, frames that are too long, to another station, with no descriptor left, with receiving off."""
    rig.put(BAR0.MAC_RX_MAX, 1000)
    rig.inject(plain_frame(10))
    rig.inject(plain_frame(1001))
    rig.inject(plain_frame(100, 1, bytes.fromhex("020000000002")))
    rig.inject(plain_frame(100, 1, bytes.fromhex("01005e000001")))
    for frame in frames(6):
        rig.inject(frame)
    rig.change(BAR0.MAC_RX_CTRL, ENABLE=0)
    rig.inject(plain_frame(100))
    wanted = {"RUNT": 1, "OVERSIZE": 1, "ADDRESS": 2, "NO_DESCRIPTOR": 2, "DISABLED": 1}
    found = rig.counters("RX_DROP_")
    assert found == wanted, f"drops are counted as {found}"
    assert rig.stat("RX_UNICAST_FRAMES") == 4
    assert rig.stat("RX_UNICAST_BYTES") == 400
    assert [each.data for each in rig[0].take()] == frames(4)


@card_case(
    manual("RING-6", "rings"),
    "a tail beyond the ring, or over the head, stops that ring with an error, and no other",
    pairs=2,
)
def wild_tails(rig: Rig) -> None:
    """Write impossible tails to each ring of pair 1; pair 0 works on."""
    for tail, status in (
        (BAR0.QP_RX_TAIL, BAR0.QP_RX_STATUS),
        (BAR0.QP_TX_TAIL, BAR0.QP_TX_STATUS),
        (BAR0.QP_CQ_TAIL, BAR0.QP_CQ_STATUS),
    ):
        for value in (0xFFFF, rig[1].get(BAR0.MAP[tail.name.replace("TAIL", "COUNT")])):
            rig.pairs[1] = Pair(rig, 1)
            rig[1].put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1))
            rig[1].start()
            rig[1].put(tail, value)
            assert status.decode(rig[1].get(status))["ERROR"], f"{tail.name} {value} is taken"
            assert status.decode(rig[1].get(status))["RUNNING"] == 0
        rig.sent()
        through(rig)


@card_case(
    manual("TX-2", "transmit"),
    "a frame is sent when all of it is there, padded to 60 bytes, and reported once",
)
def frames_that_come_in_parts(rig: Rig) -> None:
    """Hand over a frame in two doorbells; nothing leaves before the second."""
    pair = rig[0]
    pair.send_raw([pair.piece(b"\x02" * 14, eop=0)])
    assert rig.sent() == [], "half a frame left"
    assert pair.reports() == []
    pair.send_raw([pair.piece(b"tail", eop=1, rs=1)])
    assert rig.sent() == [(b"\x02" * 14 + b"tail").ljust(60, b"\0")]
    assert len(pair.reports()) == 1


@card_case(
    manual("RX-10", "receive"), "a frame that needs several buffers has a completion for each", buf_len=256
)
def frames_in_several_buffers(rig: Rig) -> None:
    """Frames of 60 to 1514 bytes into buffers of 256."""
    for length in (60, 255, 256, 257, 512, 513, 1514):
        (got,) = rig.receive(plain_frame(length, length))
        assert got.data == plain_frame(length, length), f"{length} bytes came otherwise"
        assert len(got.parts) == -(-length // 256), f"{length} bytes in {len(got.parts)} buffers"
        rig[0].post_rx(len(got.parts))
