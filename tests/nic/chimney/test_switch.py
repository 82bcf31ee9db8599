"""The chimney on and off: parameters and bounds, rings that start and stop, resets, a card without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.nic.chimney.driver import Driver, neighbour_image, tcp_image
from vnic.abi import Engine, ResetLevel
from vnic.gen.descriptors import ChmCommand
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus, RingError
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

ENGINES = (Engine.ADMIN, Engine.SUBMIT, Engine.RX, Engine.CHIMNEY, Engine.REPORT)
LIMITS = ("FREE_WORK", "FREE_BLOCKS", "FREE_NODES")

BOUNDS = [
    ("TICKS_PER_SECOND", (10, 100, 1000), (0, 1, 9, 11, 999, 1001, 0xFFFF_FFFF)),
    ("ACK_FREQUENCY", (1, 2, 255), (0, 256, 0xFFFF_FFFF)),
    ("DELAYED_ACK_TICKS", (0, 1, 499), (500, 0xFFFF_FFFF)),
    ("MAX_RETRANSMISSIONS", (1, 255), (0, 256)),
    ("DOUBT_RETRANSMISSIONS", (1, 255), (0, 256)),
    ("SWS_TICKS", (0, 100, 1000), (1, 99, 1001, 0xFFFF_FFFF)),
    ("DUPLICATE_ACK_THRESHOLD", (2, 255), (0, 1, 256)),
    ("PUSH_TICKS", (0, 0xFFFF_FFFF), ()),
    ("NCE_STALE_TICKS", (0, 0xFFFF_FFFF), ()),
    ("CONGESTION", (0, 1), (2, 15)),
    ("OUT_OF_ORDER_RATE", (0, 100), (101, 0xFFFF_FFFF)),
    ("DROP_RATE", (0, 100), (101, 0xFFFF_FFFF)),
    ("SMALL_IO", (0, 1 << 24), ((1 << 24) + 1, 0xFFFF_FFFF)),
    ("UNPOSTED_BYTES", (0, 0xFFFF_FFFF), ()),
    ("IDLE_TICKS", (0, 1, 0xFFFF_FFFF), ()),
    ("FRAGMENTS", (0, 0xFFFF), (0x10000, 0xFFFF_FFFF)),
]


@pytest.mark.requirement("CHM-1")
@pytest.mark.parametrize(("name", "good", "bad"), BOUNDS, ids=[name for name, _, _ in BOUNDS])
def test_parameters_have_bounds(name: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    with Driver(enables=False) as driver:
        ticks = {"DELAYED_ACK_TICKS": 4} if name == "TICKS_PER_SECOND" else {}
        for value in good:
            fitting = {"DELAYED_ACK_TICKS": 0} if (name, value) == ("TICKS_PER_SECOND", 10) else ticks
            assert driver.switch_on(**fitting | {name: value}), value
            assert driver.stat("STATUS") == 1
            driver.switch_off()
        errors = driver.rig.stat("GUEST_ERRORS")
        for n, value in enumerate(bad, 1):
            assert not driver.switch_on(**ticks | {name: value}), value
            assert (driver.stat("STATUS"), driver.rig.stat("GUEST_ERRORS")) == (0, errors + n)


@pytest.mark.requirement("CHM-1")
def test_parameters_are_latched() -> None:
    """What is written while it runs counts from the next ENABLE on."""
    with Driver(parameters={"DELAYED_ACK_TICKS": 100}) as driver:
        driver.rig.put(BAR0.CHM_DELAYED_ACK_TICKS, 10)
        driver.rig.put(BAR0.CHM_CTRL, BAR0.CHM_CTRL.encode(ENABLE=1))
        connection = driver.connect()
        connection.receive(b"x")
        driver.advance(50_000_000)
        assert connection.sent() == []
        driver.advance(50_000_000)
        assert len(connection.sent()) == 1


def off(driver: Driver) -> None:
    """CHM_CTRL.ENABLE to 0."""
    driver.switch_off()


def device_reset(driver: Driver) -> None:
    """GLB_CTRL.RESET."""
    driver.rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))


def hot_reset(driver: Driver) -> None:
    """From the bus."""
    driver.device.reset(ResetLevel.HOT)
    driver.rig.power_up()


def function_reset(driver: Driver) -> None:
    """FLR."""
    driver.rig.configure(CONFIG.DEVCTL, FLR=1)
    driver.rig.power_up()


def surprise(driver: Driver) -> None:
    """Pulled out and put back."""
    driver.device.remove()
    driver.device.insert()
    driver.rig.power_up()


ENDS = [off, device_reset, hot_reset, function_reset, surprise]


def busy(driver: Driver) -> None:
    """Everything that a chimney can hold."""
    path = driver.path()
    for port in range(1, 6):
        connection = driver.connect(path, remote_port=port, sends=[b"old"])
        connection.send(bytes(5000))
        connection.post(100)
        connection.receive(b"later", seq=connection.peer.seq + 50)
        connection.receive(bytes(300))
    driver.connect(path, remote_port=9, state=6).disconnect(b"bye")


@pytest.mark.requirement("CHM-1", "RST-1")
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_nothing_is_left(end: Callable[[Driver], None]) -> None:
    """No frame, entry or interrupt afterwards, everything free, and all of it works again."""
    with Driver() as driver:
        busy(driver)
        driver.rig.sent()
        driver.take()
        end(driver)
        driver.device.interrupts()
        driver.advance(100_000_000_000)
        names = ("CONNECTIONS", "PATHS", "NEIGHBOURS", "STATUS", "TCP4_ESTABLISHED")
        assert [driver.stat(name) for name in names] == [0] * 5
        assert [driver.stat(n) for n in LIMITS] == [driver.stat(n.replace("FREE", "MAX")) for n in LIMITS]
        assert (driver.rig.sent(), driver.device.interrupts()) == ([], [])
        assert all(entry == 0 for entry in driver.rig[0].cq_memory.view[driver.rig[0].cq_index * 32 :][:32])
        driver.rig.bring_up(8)
        driver.connections.clear()
        driver.enable()
        connection = driver.connect()
        connection.send(b"again")
        assert connection.sent()[0].payload == b"again"


@pytest.mark.requirement("CHM-1", "CHM-80")
@pytest.mark.parametrize("at", range(0, 60, 3))
def test_off_and_reset_at_any_step(at: int) -> None:
    """The same between any two steps of any engine; afterwards the card is like one that never had it on."""
    with Driver(manual=True, pairs=2) as driver, Driver(manual=True, pairs=2, enables=False) as fresh:
        driver.run()
        path = driver.path()
        connection = driver.connect(path)
        driver.memory.write(driver.image_memory.address, tcp_image(remote_port=1).pack())
        listed = driver.send_list([b"x"] * 40)
        driver.command(
            ChmCommand(op=1, object=3, parent=path, in_addr=driver.image_memory.address, in_len=160, **listed)
        )
        connection.send(bytes(3000), cuts=(10, 20, 30))
        connection.post(50)
        driver.command(ChmCommand(op=ChmOp.INVALIDATE, object=ChmObject.PATH, handle=path))
        connection.receive(bytes(100))
        connection.receive(bytes(100), flags=packet.ACK | packet.PSH)
        driver.command(
            ChmCommand(
                op=ChmOp.TERMINATE,
                object=ChmObject.TCP,
                handle=connection.handle,
                out_addr=driver.image_memory.address,
                out_len=160,
            )
        )
        taken = 0
        while taken < at and (ready := driver.device.runnable):
            order = [
                e
                for e in (Engine.ADMIN, Engine.SUBMIT, Engine.RX, Engine.CHIMNEY, Engine.REPORT)
                if e in ready
            ]
            if not order:
                break
            driver.device.step(order[taken % len(order)])
            taken += 1
        driver.switch_off()
        driver.run()
        assert driver.device.is_idle
        assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
        for each in (driver, fresh):
            each.device.reset(ResetLevel.POWER)
            each.device.advance(10)
        assert driver.device.state_hash() == fresh.device.state_hash()


# -- rings ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-63", "CHM-1")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"ADMIN_COUNT": 7}, RingError.BAD_COUNT),
        ({"ADMIN_COUNT": 4}, RingError.BAD_COUNT),
        ({"ADMIN_COUNT": 65536}, RingError.BAD_COUNT),
        ({"ADMIN_BASE": 0x1020}, RingError.BAD_BASE),
        ({"ADMIN_QUEUE": 1}, RingError.NO_CQ),
        ({"ADMIN_QUEUE": 255}, RingError.NO_CQ),
    ],
)
def test_the_admin_ring_is_checked(fields: dict[str, int], error: RingError) -> None:
    with Driver(enables=False) as driver:
        driver.switch_on(ADMIN_BASE=driver.admin_memory.address, ADMIN_COUNT=64)
        for name, value in fields.items():
            driver.rig.put(BAR0.MAP[f"CHM_{name}"], value)
        driver.rig.put(BAR0.GLB_EVENT, 0xFF)
        driver.rig.put(BAR0.CHM_ADMIN_CTRL, 1)
        assert driver.rig.get(BAR0.CHM_ADMIN_CTRL) == 0
        assert driver.rig.field(BAR0.CHM_ADMIN_STATUS, "ERROR") == error
        assert driver.rig.field(BAR0.GLB_EVENT, "RING") == 1
        driver.start_admin()
        driver.neighbour()


@pytest.mark.requirement("CHM-63")
def test_a_bad_doorbell_stops_the_admin_ring() -> None:
    """Everything is to be uploaded, connections run on; started again it takes commands."""
    with Driver() as driver:
        connection = driver.connect()
        errors = driver.rig.stat("GUEST_ERRORS")
        driver.rig.put(BAR0.GLB_EVENT, 0xFF)
        driver.rig.put(BAR0.CHM_ADMIN_TAIL, 64)
        assert driver.rig.field(BAR0.CHM_ADMIN_STATUS, "ERROR") == RingError.BAD_TAIL
        assert driver.rig.stat("GUEST_ERRORS") == errors + 1
        status = BAR0.CHM_STATUS.decode(driver.stat("STATUS"))
        assert status == {"RUNNING": 1, "PAUSE": 0, "UPLOAD_ALL": 1}
        event = BAR0.GLB_EVENT.decode(driver.rig.get(BAR0.GLB_EVENT))
        assert (event["RING"], event["CHIMNEY"]) == (1, 1)
        connection.send(b"on and on")
        assert connection.sent()[0].payload == b"on and on"
        driver.rig.put(BAR0.CHM_ADMIN_TAIL, 5)
        assert driver.rig.stat("GUEST_ERRORS") == errors + 2
        assert driver.rig.get(BAR0.CHM_ADMIN_TAIL) == driver.admin_tail
        driver.start_admin()
        connection.terminate()
        driver.switch_off()
        driver.enable()
        assert driver.stat("STATUS") == 1


@pytest.mark.requirement("CHM-1", "CHM-63")
def test_rings_run_only_while_it_is_on() -> None:
    with Driver(enables=False) as driver:
        errors = driver.rig.stat("GUEST_ERRORS")
        driver.start_admin()
        driver.start_submissions(0)
        assert driver.rig.get(BAR0.CHM_ADMIN_CTRL) == driver.rig.get(BAR0.CHQ_SQ_CTRL) == 0
        driver.rig.put(BAR0.CHM_ADMIN_TAIL, 1)
        assert driver.rig.stat("GUEST_ERRORS") == errors + 3
        assert driver.device.is_idle


@pytest.mark.requirement("CHM-63")
def test_a_ring_that_stops_gives_its_command_up() -> None:
    """Of a CREATE nothing is left; a connection in the middle of its TERMINATE can be terminated again."""
    with Driver(manual=True, pool_posted=0) as driver:
        driver.run()
        connection = driver.connect()
        connection.receive(b"stuck")
        driver.run()
        free = driver.stat("FREE_WORK")
        create = driver.creation(tcp_image(remote_port=2), ChmObject.TCP, parent=driver.path())
        create["object"] = create.pop("kind")
        driver.command(ChmCommand(**create, **driver.send_list([b"x"] * 40)))
        for _ in range(3):
            driver.device.step(Engine.ADMIN)
        assert driver.stat("FREE_WORK") < free
        driver.rig.put(BAR0.CHM_ADMIN_CTRL, 0)
        assert driver.stat("FREE_WORK") == free
        driver.start_admin()
        ending = ChmCommand(
            op=ChmOp.TERMINATE,
            object=ChmObject.TCP,
            handle=connection.handle,
            out_addr=driver.image_memory.address,
            out_len=160,
        )
        driver.command(ending)
        driver.run()
        driver.rig.put(BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_CTRL.encode(RESET=1))
        driver.start_admin()
        driver.take()
        assert driver.update(tcp_image(), connection.handle).status == ChmStatus.BUSY
        assert driver.invalidate(ChmObject.TCP, connection.handle).status == ChmStatus.BUSY
        assert connection.query().state == 4
        driver.post_pool(0, driver.pool_buffers[0].address)
        connection.terminate()
        assert (bytes(connection.data), driver.stat("CONNECTIONS")) == (b"stuck", 0)


@pytest.mark.requirement("CHM-63", "RING-4")
def test_a_completion_ring_that_stops_takes_the_chimneys_with_it() -> None:
    """Those of its pair alone; started again, what happened meanwhile is reported."""
    with Driver(pairs=2) as driver:
        connection = driver.connect(queue=1)
        connection.send(b"x")
        driver.take()
        driver.rig.put(BAR0.QP_CQ_CTRL, 0, 0)
        stopped = [BAR0.CHM_ADMIN_STATUS, BAR0.CHQ_SQ_STATUS, BAR0.CHQ_POOL_STATUS]
        assert [driver.rig.field(register, "RUNNING") for register in stopped] == [0, 0, 0]
        assert driver.rig.field(BAR0.CHQ_SQ_STATUS, "RUNNING", 1) == 1
        assert driver.stat("STATUS") == 1
        connection.receive(ack=ISS + 1)
        driver.rig[0].start()
        driver.start_admin()
        driver.start_submissions(0)
        driver.start_pool(0)
        entries = driver.take()
        assert [getattr(entry, "handle", 0) for entry in entries if entry.type == 4] == [connection.handle]
        connection.terminate()


# -- pressure ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-49")
def test_water_marks_of_what_is_written() -> None:
    """A mark that is moved counts at once; each change is an event."""
    with Driver(chimney_bytes=65536) as driver:
        free = driver.stat("FREE_BLOCKS")
        driver.rig.put(BAR0.GLB_EVENT, 0xFF)
        for low, high, pause in (
            (free, free, 0),
            (free + 1, free + 1, 1),
            (0, free + 1, 1),
            (0, free, 0),
            (free + 1, 0, 1),
            (0, 0, 0),
        ):
            before = driver.rig.field(BAR0.CHM_STATUS, "PAUSE")
            driver.rig.put(BAR0.CHM_BLOCKS_HIGH, max(high, free + 1) if before else high)
            driver.rig.put(BAR0.CHM_BLOCKS_LOW, low)
            driver.rig.put(BAR0.CHM_BLOCKS_HIGH, high)
            assert driver.rig.field(BAR0.CHM_STATUS, "PAUSE") == pause, (low, high)
            assert driver.rig.field(BAR0.GLB_EVENT, "CHIMNEY") == int(before != pause)
            driver.rig.put(BAR0.GLB_EVENT, 0xFF)


# -- a card without ------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-1", "DEV-3")
def test_a_card_without_a_chimney() -> None:
    with Rig(connections=0) as rig:
        assert rig.field(BAR0.GLB_FEATURES, "CHIMNEY") == 0
        errors = rig.stat("GUEST_ERRORS")
        for n, register in enumerate(
            (BAR0.CHM_CTRL, BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_TAIL, BAR0.CHQ_SQ_CTRL, BAR0.CHQ_POOL_TAIL), 1
        ):
            rig.put(register, 1)
            assert (rig.get(register), rig.stat("GUEST_ERRORS")) == (0, errors + n)
        assert rig.get(BAR0.CHM_MAX_CONNECTIONS) == 0
        assert len(rig.receive(plain_frame())) == 1


@pytest.mark.requirement("CHM-1", "RING-9")
def test_pairs_that_the_card_lacks() -> None:
    with Driver(pairs=2) as driver:
        errors = driver.rig.stat("GUEST_ERRORS")
        driver.rig.put(BAR0.CHQ_SQ_BASE, 64, 2)
        driver.rig.put(BAR0.CHQ_SQ_CTRL, 1, 2)
        assert (driver.rig.get(BAR0.CHQ_SQ_BASE, 2), driver.rig.get(BAR0.CHQ_SQ_CTRL, 2)) == (0, 0)
        assert driver.rig.stat("GUEST_ERRORS") == errors + 1


@pytest.mark.requirement("CHM-70")
def test_statistics_of_established_connections() -> None:
    """ESTABLISHED counts connections now, and no clearing changes that; the rest starts at 0 again."""
    with Driver() as driver:
        four, six = driver.path(), driver.path(version=6)
        connections = [driver.connect(four, remote_port=port) for port in (1, 2, 3)]
        connections.append(driver.connect(six, version=6))
        driver.connect(four, remote_port=4, state=9, fin=True)
        connections[0].receive(b"x")
        driver.rig.inject(connections[1].peer.frame(flags=packet.RST))
        assert [driver.stat(f"TCP{v}_ESTABLISHED") for v in (4, 6)] == [2, 1]
        assert [driver.stat(f"TCP{v}_RESET_ESTABLISHED") for v in (4, 6)] == [1, 0]
        assert (driver.stat("TCP4_IN_SEGMENTS"), driver.stat("IP4_IN_RECEIVES")) == (2, 2)
        assert driver.stat("IP4_IN_OCTETS") == 41 + 40
        driver.rig.put(BAR0.CHM_STAT_CLEAR, BAR0.CHM_STAT_CLEAR.encode(TCP4=1))
        assert [driver.stat(f"TCP{v}_ESTABLISHED") for v in (4, 6)] == [2, 1]
        assert (driver.stat("TCP4_IN_SEGMENTS"), driver.stat("TCP4_RESET_ESTABLISHED")) == (0, 0)
        assert driver.stat("IP4_IN_RECEIVES") == 2
        driver.rig.put(BAR0.CHM_STAT_CLEAR, BAR0.CHM_STAT_CLEAR.encode(IP4=1, TCP6=1, IP6=1))
        assert driver.stat("IP4_IN_RECEIVES") == driver.stat("IP4_IN_OCTETS") == 0
        connections[0].terminate()
        connections[3].terminate()
        assert [driver.stat(f"TCP{v}_ESTABLISHED") for v in (4, 6)] == [1, 0]
        assert neighbour_image() is not None
