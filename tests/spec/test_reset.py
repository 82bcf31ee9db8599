"""Reset: what each level resets and what stays, removal, power states, by spec/reset.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vnic.abi import DmaPurpose, Engine, EventType, FaultAction, FaultSite, ResetLevel, RxVerdict
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.enums import RingError, TestOp
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import tcp_frame
from vnic.testbench.rig import Rig, RigError, plain_frame

WORK = [EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT]
# What a reset of the device leaves as it is, and what follows from the moment.
OUTSIDE = {
    "GLB_STATUS",
    "GLB_SPEED",
    "GLB_TIME",
    "GLB_CAPS",
    "GLB_FEATURES",
    "GLB_MAX_FRAME",
    "GLB_RX_BUFFER",
    "MAC_PERM_ADDR",
    "MAC_ADDR",
}


def reset_device(rig: Rig) -> None:
    """GLB_CTRL.RESET."""
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))


def reset_flr(rig: Rig) -> None:
    """Initiate Function Level Reset."""
    rig.configure(CONFIG.DEVCTL, FLR=1)


def reset_d3(rig: Rig) -> None:
    """To D3hot and back."""
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    rig.configure(CONFIG.PM_CTRL, STATE=0)


def reset_hot(rig: Rig) -> None:
    """Conventional reset."""
    rig.device.reset(ResetLevel.HOT)


def reset_power(rig: Rig) -> None:
    """Power cycle."""
    rig.device.reset(ResetLevel.POWER)


def reset_by_removal(rig: Rig) -> None:
    """Out and in again."""
    rig.device.remove()
    rig.device.insert()


FUNCTION_LEVELS = [reset_flr, reset_d3, reset_hot, reset_power, reset_by_removal]
LEVELS = [reset_device, *FUNCTION_LEVELS]
Level = Callable[[Rig], None]


def name_of(level: Level) -> str:
    """For test ids."""
    return level.__name__


def make_busy(rig: Rig) -> None:
    """Work of every kind, half done, in a card that was configured in every way."""
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=1, DEFAULT_QUEUE=1))
    rig.put(BAR0.RSS_TYPES, 0x1FF00)
    rig.put(BAR0.RSS_TABLE, 0x0101)
    rig.put(BAR0.RSS_COMMIT, 1)
    rig.put(BAR0.MAC_VLAN, 0xFFFF_FFFF, 5)
    rig.put(BAR0.MAC_ADDR, 0x0605_0403_0200)
    rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1, VLAN_STRIP=1)
    rig.put(BAR0.VEC_INTERVAL, 500, 0)
    for number in range(6):
        rig.inject(tcp_frame(bytes(300), ports=(number, 1)))
        rig[number % 2].send(plain_frame(500, number), cuts=[100, 100])
    for engine in (Engine.RX, Engine.RX, Engine.RX, Engine.TX, Engine.TX, Engine.TX, Engine.IRQ):
        rig.device.step(engine)
    for _ in range(4):
        rig.device.step(Engine.TX)
    rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(10000)))
    rig.put(BAR0.TEST_DMA_LEN, 10000)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.FILL))
    rig.device.step(Engine.TEST)
    rig.put(BAR0.TEST_FIRE, 1)
    assert {Engine.TEST, Engine.RX, Engine.TX, Engine.IRQ} <= set(rig.device.runnable)


def busy_rig() -> Rig:
    """A rig in the middle of everything."""
    rig = Rig(pairs=2, manual=True, buf_len=128)
    make_busy(rig)
    return rig


@pytest.mark.requirement("RST-1", "RST-2", "RST-11")
@pytest.mark.parametrize("level", LEVELS, ids=name_of)
def test_registers_are_as_after_power_on(level: Level) -> None:
    with busy_rig() as rig:
        level(rig)
        rig.power_up()
        for register in BAR0.MAP:
            if register.name in OUTSIDE or register.name.startswith(("CHM_MAX_", "CHM_FREE_")):
                continue
            for offset in register.offsets():
                value = rig.device.read(0, offset, register.bytes)
                assert value == register.reset, BAR0.MAP.describe(offset)
        assert rig.get(BAR0.MAC_ADDR) == rig.get(BAR0.MAC_PERM_ADDR)
        assert rig.device.is_idle


@pytest.mark.requirement("RST-1", "RST-2", "RST-3")
@pytest.mark.parametrize("level", LEVELS, ids=name_of)
def test_card_is_indistinguishable_from_a_fresh_one(level: Level) -> None:
    with busy_rig() as rig, Rig(pairs=2, manual=True, buf_len=128) as fresh:
        for one in (rig, fresh):
            level(one)
            one.device.interrupts()
            for pair in one.pairs:
                pair.rx_tail = pair.tx_tail = 0
            one.bring_up(20)
            one.device.run()
            one.device.interrupts()
        assert rig.device.state_hash() == fresh.device.state_hash()


@pytest.mark.requirement("RST-11", "RST-1")
@pytest.mark.parametrize("level", LEVELS, ids=name_of)
def test_all_work_is_forgotten(level: Level) -> None:
    with busy_rig() as rig:
        rig.device.frames()
        level(rig)
        rig.device.interrupts()
        events: list[Event] = []
        with rig.device.observe(events.append, WORK):
            rig.device.advance(1_000_000)
            assert rig.device.run().steps == 0
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
            assert rig.device.run().steps == 0
        assert events == []
        assert rig.sent() == []


@pytest.mark.requirement("RST-3")
@pytest.mark.parametrize("level", LEVELS, ids=name_of)
def test_card_comes_up_again(level: Level) -> None:
    with busy_rig() as rig:
        for round_number in range(3):
            level(rig)
            rig.device.interrupts()
            rig.device.frames()
            rig.bring_up(50)
            rig.device.is_manual = False
            (received,) = rig.receive(plain_frame(300, round_number))
            assert received.data == plain_frame(300, round_number)
            assert rig.transmit(plain_frame(200, round_number))[0] == [plain_frame(200, round_number)]
            assert {interrupt.vector for interrupt in rig.device.interrupts()} == {0}
            rig.device.is_manual = True
            make_busy(rig)


@pytest.mark.requirement("RST-1")
def test_device_reset_leaves_configuration_space_and_msix() -> None:
    with busy_rig() as rig:
        config = [rig.device.config_read(offset) for offset in range(0, 4096, 4)]
        table = [rig.device.read(2, MSIX_TABLE.ENTRY_ADDR_LO.at(0) + n, 4) for n in range(0, 48, 4)]
        rig.device.advance(777)
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1, LOOPBACK=1))
        assert [rig.device.config_read(offset) for offset in range(0, 4096, 4)] == config
        assert [rig.device.read(2, n, 4) for n in range(0, 48, 4)] == table
        assert rig.get(BAR0.GLB_TIME) == 777
        assert rig.get(BAR0.GLB_SPEED) == 10_000
        assert rig.get(BAR0.GLB_CTRL) == 0


@pytest.mark.requirement("RST-2", "RST-6")
@pytest.mark.parametrize("level", FUNCTION_LEVELS, ids=name_of)
def test_function_is_reset_and_the_link_and_the_time_stay(level: Level) -> None:
    with busy_rig() as rig:
        rig.device.advance(4242)
        level(rig)
        assert rig.device.config_read(CONFIG.COMMAND.offset) & 0xFFFF == 0
        assert [rig.device.config_read(CONFIG.BAR.at(bar)) & ~0xF for bar in (0, 2)] == [0, 0]
        assert rig.device.config_read(CONFIG.MSIX_CTRL.offset) >> 30 == 0
        assert rig.device.read(0, 0) == 0xFFFF_FFFF
        rig.power_up()
        assert rig.get(BAR0.GLB_SPEED) == 10_000
        assert rig.get(BAR0.GLB_TIME) == 4242
        assert rig.device.read(2, MSIX_TABLE.ENTRY_DATA.at(0), 4) == 0
        assert rig.device.read(2, MSIX_TABLE.ENTRY_CTRL.at(0), 4) == 1


@pytest.mark.requirement("RST-2")
@pytest.mark.parametrize("level", LEVELS, ids=name_of)
def test_error_registers_survive_all_but_a_power_cycle(level: Level) -> None:
    with Rig() as rig:
        with rig.device.arm(Fault(site=FaultSite.DMA_READ, action=FaultAction.ERROR, argument=3)):
            rig[0].send(plain_frame())
        status = rig.device.config_read(CONFIG.AER_COR_STATUS.offset)
        assert status == CONFIG.AER_COR_STATUS.encode(ADVISORY=1)
        level(rig)
        kept = level not in (reset_power, reset_by_removal)
        assert rig.device.config_read(CONFIG.AER_COR_STATUS.offset) == (status if kept else 0)


@pytest.mark.requirement("RST-6", "PROG-24")
def test_function_level_reset_asks_for_configuration_again() -> None:
    with Rig() as rig:
        reset_flr(rig)
        with pytest.raises(RigError, match="no card"):
            rig.discover()
        rig.power_up()
        rig.discover()
        rig.bring_up(5)
        assert len(rig.receive(plain_frame())) == 1


# ---- queue reset


@pytest.mark.requirement("RST-4")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
@pytest.mark.parametrize("enable", [0, 1])
def test_queue_reset(ring: str, enable: int) -> None:
    with Rig(pairs=2) as rig:
        for pair in rig.pairs:
            pair.send(plain_frame())
        rig.inject(plain_frame())
        others = [rig[1].get(BAR0.MAP[f"QP_{r}_{n}"]) for r in ("RX", "TX", "CQ") for n in ("HEAD", "TAIL")]
        configured = {n: rig[0].get(BAR0.MAP[f"QP_{ring}_{n}"]) for n in ("BASE", "COUNT")}
        control = BAR0.MAP[f"QP_{ring}_CTRL"]
        rig[0].put(control, control.encode(RESET=1, ENABLE=enable))
        for reset in ("RX", "TX", "CQ") if ring == "CQ" else (ring,):
            names = ("HEAD", "TAIL", "STATUS", "CTRL")
            assert [rig[0].get(BAR0.MAP[f"QP_{reset}_{n}"]) for n in names] == [0] * 4
        assert {n: rig[0].get(BAR0.MAP[f"QP_{ring}_{n}"]) for n in configured} == configured
        now = [rig[1].get(BAR0.MAP[f"QP_{r}_{n}"]) for r in ("RX", "TX", "CQ") for n in ("HEAD", "TAIL")]
        assert now == others
        assert rig.stat("TX_UNICAST_FRAMES") == 2


@pytest.mark.requirement("RST-4")
def test_queue_reset_clears_the_error() -> None:
    with Rig() as rig:
        rig[0].put(BAR0.QP_TX_TAIL, 0xFFFF)
        assert rig[0].error(BAR0.QP_TX_STATUS) == RingError.BAD_TAIL
        rig[0].put(BAR0.QP_TX_CTRL, BAR0.QP_TX_CTRL.encode(RESET=1))
        assert rig[0].error(BAR0.QP_TX_STATUS) == RingError.NONE
        rig[0].start_tx()
        assert rig.transmit(plain_frame())[0] == [plain_frame()]


@pytest.mark.requirement("RST-5")
@pytest.mark.parametrize("how", ["stop", "reset", "fail", "pair"])
@pytest.mark.parametrize("steps", range(1, 5))
def test_frame_in_delivery_is_discarded(how: str, steps: int) -> None:
    with Rig(manual=True, buf_len=64, cq_count=16) as rig:
        pair = rig[0]
        rig.inject(plain_frame(300, 1))
        rig.inject(plain_frame(60, 2))
        for _ in range(steps):
            rig.device.step(Engine.RX)
        if how == "fail":
            pair.put(BAR0.QP_RX_TAIL, 0xFFFF)
        elif how == "pair":
            pair.reset()
        else:
            pair.put(BAR0.QP_RX_CTRL, 2 if how == "reset" else 0)
        assert rig.stat("RX_DROP_RESET") == pair.get(BAR0.QP_RX_DROPS) == 1
        entries = pair.poll(give_back=how != "pair")
        assert len(entries) == steps - 1
        if how == "pair":
            pair.start_cq()
        pair.start_rx()
        pair.post_rx(40)
        rig.device.run()
        (received,) = pair.take()
        assert received.data == plain_frame(60, 2)
        # Had slots stayed reserved, fifteen would not fit.
        for number in range(16):
            rig.inject(plain_frame(60, number))
        rig.device.run()
        assert len(pair.take()) == 15


@pytest.mark.requirement("RST-5")
@pytest.mark.parametrize("how", [0, 2])
@pytest.mark.parametrize("steps", range(1, 4))
def test_frame_being_built_is_discarded(how: int, steps: int) -> None:
    with Rig(manual=True, cq_count=16) as rig:
        pair = rig[0]
        pair.send(plain_frame(500, 1), cuts=[100, 100, 100])
        for _ in range(steps):
            rig.device.step(Engine.TX)
        pair.put(BAR0.QP_TX_CTRL, how)
        rig.device.run()
        assert rig.sent() == []
        assert pair.poll() == []
        pair.start_tx()
        for number in range(16):
            pair.send(plain_frame(100, number), ring=False)
        pair.ring_tx()
        rig.device.run()
        assert len(rig.sent()) == 15


@pytest.mark.requirement("RST-5")
def test_segments_that_left_stay_sent() -> None:
    context: dict[str, Any] = {"lso": 1, "mss": 100, "hdr_len": 54, "l3_offset": 14, "l4_offset": 34}
    with Rig(manual=True) as rig:
        rig[0].send(tcp_frame(bytes(1000)), cuts=[54, *[100] * 9], **context)
        while rig.stat("TX_LSO_SEGMENTS") < 3:
            rig.device.step(Engine.TX)
            rig.device.step(Engine.LSO)
        rig[0].put(BAR0.QP_TX_CTRL, 0)
        rig.device.run()
        assert len(rig.sent()) == 3
        assert rig[0].poll() == []
        assert rig.stat("TX_LSO_SENDS") == 0


# ---- power states and removal


@pytest.mark.requirement("RST-7")
def test_d3hot() -> None:
    with busy_rig() as rig:
        rig.device.interrupts()
        rig.device.frames()
        rig.configure(CONFIG.PM_CTRL, STATE=3)
        events: list[Event] = []
        with rig.device.observe(events.append, WORK):
            assert rig.device.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
            assert rig.device.read(2, 0) == 0xFFFF_FFFF
            rig.device.write(0, BAR0.TEST_FIRE.offset, 1)
            assert rig.inject(plain_frame()) == RxVerdict.DROPPED
            rig.device.advance(10_000)
            assert rig.device.run().steps == 0
            identity = CONFIG.ID.decode(rig.device.config_read(0))
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
            assert rig.device.run().steps == 0
        assert events == []
        assert identity["VENDOR"] not in (0, 0xFFFF)
        assert rig.device.config_read(CONFIG.PM_CTRL.offset) & 3 == 3
        rig.configure(CONFIG.PM_CTRL, STATE=0)
        assert rig.device.config_read(CONFIG.COMMAND.offset) & 7 == 0


@pytest.mark.requirement("RST-8")
def test_surprise_removal() -> None:
    with busy_rig() as rig:
        rig.device.remove()
        events: list[Event] = []
        with rig.device.observe(events.append, WORK):
            for width in (1, 2, 4, 8):
                ones = (1 << 8 * width) - 1
                assert rig.device.read(0, 0, width) == rig.device.read(2, 8, width) == ones
            assert [rig.device.config_read(0, width) for width in (1, 2, 4)] == [0xFF, 0xFFFF, 0xFFFF_FFFF]
            rig.put(BAR0.TEST_FIRE, 0)
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
            assert rig.inject(plain_frame()) == RxVerdict.DROPPED
            rig.device.advance(100_000)
            assert rig.device.is_idle
            assert rig.device.run().steps == 0
        assert events == []
        assert [i for i in rig.device.interrupts() if i.addr] == []
        assert rig.device.frames() == []


@pytest.mark.requirement("RST-8")
def test_removal_lets_the_line_fall() -> None:
    with Rig(level=0) as rig:  # type: ignore[arg-type]
        rig.put(BAR0.TEST_FIRE, 0)
        assert [i.data for i in rig.device.interrupts()][-1:] == [1]
        rig.device.remove()
        assert [i.data for i in rig.device.interrupts()][-1:] == [0]


@pytest.mark.requirement("RST-9", "PROG-25")
def test_driver_sees_that_the_card_is_gone() -> None:
    with Rig() as rig:
        rig.device.remove()
        with pytest.raises(RigError, match="no card"):
            rig.discover()
        rig.device.insert()
        rig.bring_up(5)
        assert len(rig.receive(plain_frame())) == 1


@pytest.mark.requirement("RST-10", "RING-4")
@pytest.mark.parametrize("how", ["stop", "reset", "master"])
def test_memory_can_be_freed_after_a_stop(how: str) -> None:
    with busy_rig() as rig:
        for pair in rig.pairs:
            if how != "master":
                pair.put(BAR0.QP_CQ_CTRL, 2 if how == "reset" else 0)
        if how == "master":
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
        rig.device.unmap_all()
        events: list[Event] = []
        with rig.device.observe(events.append, [EventType.DMA_READ, EventType.DMA_WRITE]):
            rig.inject(tcp_frame())
            rig.device.run()
        assert [event for event in events if event.index != DmaPurpose.TEST] == []
