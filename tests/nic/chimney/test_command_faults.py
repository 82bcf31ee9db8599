"""Faults of chimney commands and timers: late, lost, refused, doubled; and what goes on afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nic.chimney.driver import Driver, neighbour_image
from vnic.abi import EventType, FaultAction, FaultSite, FaultTimer
from vnic.fault import ANY, Fault
from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import ISS

NEIGHBOUR, PATH, TCP = ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP
PUSH_NS = 500_000_000


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def of_command(
    action: FaultAction, *, op: int = ANY, kind: ChmObject | None = None, argument: int = 0, mask: int = 1
) -> Fault:
    """A fault of one command."""
    first, last = (0, 2**64 - 1) if kind is None else (kind, kind)
    return Fault(
        site=FaultSite.ADMIN, action=action, index=op, first=first, last=last, argument=argument, mask=mask
    )


def create_neighbour(driver: Driver) -> int:
    """A CREATE, not waited for; its cookie."""
    driver.cookie += 1
    fields = driver.creation(neighbour_image(), NEIGHBOUR)
    fields["object"] = fields.pop("kind")
    driver.command(ChmCommand(cookie=driver.cookie, **fields))
    driver.run()
    driver.poll()
    return driver.cookie


def completions(driver: Driver, cookie: int) -> list[ChmStatus]:
    """How the command with this cookie ended, each time it did."""
    done = [e for e in driver.entries if isinstance(e, ChmAdminCompletion) and e.cookie == cookie]
    return [ChmStatus(entry.status) for entry in done]


@pytest.mark.requirement("FLT-12")
def test_a_command_ends_with_the_status_of_the_fault(driver: Driver) -> None:
    fault = of_command(FaultAction.ERROR, op=ChmOp.CREATE, argument=ChmStatus.NEIGHBOUR_ENTRIES)
    with driver.device.arm(fault) as armed:
        done = driver.try_create(neighbour_image())
        assert (done.status, armed.fired) == (ChmStatus.NEIGHBOUR_ENTRIES, 1)
    assert driver.neighbour()


@pytest.mark.requirement("FLT-12")
def test_a_terminate_that_is_refused_leaves_the_connection(driver: Driver) -> None:
    connection = driver.connect()
    fault = of_command(FaultAction.ERROR, op=ChmOp.TERMINATE, kind=TCP, argument=ChmStatus.DMA)
    with driver.device.arm(fault):
        done, _ = driver.read_out(ChmOp.TERMINATE, TCP, connection.handle)
        assert done.status == ChmStatus.DMA
    connection.receive(b"goes on")
    driver.poll()
    assert connection.data == b"goes on"
    assert connection.terminate()[0].status == ChmStatus.OK


@pytest.mark.requirement("FLT-12")
def test_a_command_is_lost(driver: Driver) -> None:
    with driver.device.arm(of_command(FaultAction.DROP)):
        lost = create_neighbour(driver)
        assert completions(driver, lost) == []
        assert driver.device.is_idle
        assert completions(driver, create_neighbour(driver)) == [ChmStatus.OK]


@pytest.mark.requirement("FLT-12")
def test_a_command_waits(driver: Driver) -> None:
    with driver.device.arm(of_command(FaultAction.DELAY, argument=300)) as armed:
        late = create_neighbour(driver)
        assert (completions(driver, late), driver.device.next_deadline_ns()) == ([], 300)
        driver.advance(299)
        driver.poll()
        assert completions(driver, late) == []
        driver.advance(1)
        driver.poll()
        assert completions(driver, late) == [ChmStatus.OK]
        assert armed.fired == 1


@pytest.mark.requirement("FLT-8", "FLT-12")
def test_disarming_and_resets_end_the_wait(driver: Driver) -> None:
    armed = driver.device.arm(of_command(FaultAction.DELAY, argument=300))
    late = create_neighbour(driver)
    armed.disarm()
    driver.poll()
    assert completions(driver, late) == [ChmStatus.OK]
    driver.device.arm(of_command(FaultAction.DELAY, argument=2**64 - 1))
    create_neighbour(driver)
    driver.rig.put(BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_CTRL.encode(RESET=1))
    driver.start_admin()
    assert completions(driver, create_neighbour(driver)) == [ChmStatus.OK]


@pytest.mark.requirement("FLT-12")
def test_a_completion_comes_twice(driver: Driver) -> None:
    with driver.device.arm(of_command(FaultAction.DUPLICATE)):
        assert completions(driver, create_neighbour(driver)) == [ChmStatus.OK] * 2
    assert completions(driver, create_neighbour(driver)) == [ChmStatus.OK]


@pytest.mark.requirement("FLT-12")
def test_a_command_is_corrupted_before_it_is_looked_at(driver: Driver) -> None:
    with driver.device.arm(of_command(FaultAction.CORRUPT, argument=0, mask=0xFF)):
        assert completions(driver, create_neighbour(driver)) == [ChmStatus.BAD_COMMAND]


@pytest.mark.requirement("FLT-9", "FLT-12")
def test_a_command_takes_the_card_away(driver: Driver) -> None:
    driver.device.arm(of_command(FaultAction.REMOVE))
    create_neighbour(driver)
    assert driver.device.read32(BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF


# -- timers --------------------------------------------------------------------------------------------------


def of_timer(which: FaultTimer, action: FaultAction, argument: int = 0) -> Fault:
    """A fault of one expiry."""
    return Fault(site=FaultSite.TIMER, action=action, index=which, argument=argument)


def retransmission_ns(driver: Driver) -> int:
    """When the card sends again what nobody acknowledges, run from now."""
    connection = driver.connect()
    connection.send(b"unheard")
    assert [segment.payload for segment in connection.sent()] == [b"unheard"]
    for _ in range(50):
        deadline = driver.device.next_deadline_ns()
        assert deadline is not None
        driver.device.advance(deadline)
        if any(segment.payload for segment in connection.sent()):
            return driver.device.now_ns
    raise AssertionError("never sent again")


@pytest.mark.requirement("FLT-11")
def test_a_retransmission_is_late() -> None:
    late_ns = 3_000_000
    with Driver() as driver:
        usual = retransmission_ns(driver)
    with Driver() as driver:
        told: list[int] = []
        driver.device.observe(lambda event: told.append(event.time_ns), [EventType.FAULT])
        with driver.device.arm(of_timer(FaultTimer.TCP, FaultAction.DELAY, late_ns)) as armed:
            assert usual + late_ns <= retransmission_ns(driver) <= usual + late_ns + 2_000_000
            assert armed.fired == 1
        (first,) = told
        assert first <= usual


@pytest.mark.requirement("FLT-11")
def test_a_lost_timer_is_started_by_what_happens_next() -> None:
    with Driver() as driver:
        connection = driver.connect()
        driver.device.arm(of_timer(FaultTimer.TCP, FaultAction.DROP))
        connection.send(b"unheard")
        assert len(connection.sent()) == 1
        driver.advance(60_000_000_000)
        assert connection.sent() == []
        image = driver.device.save()
        driver.device.load(image)
        connection.send(b" again")
        assert [segment.payload for segment in connection.sent()] == [b" again"]
        driver.advance(60_000_000_000)
        assert [segment.seq for segment in connection.sent()] == [ISS]


@pytest.mark.requirement("FLT-11")
@pytest.mark.parametrize(
    ("action", "argument", "at_ns"), [(FaultAction.DELAY, 7, PUSH_NS + 7), (FaultAction.DROP, 0, 0)]
)
def test_a_push_timer(action: FaultAction, argument: int, at_ns: int) -> None:
    with Driver() as driver:
        connection, other = driver.connect(), driver.connect(remote_port=41000)
        connection.post(10)
        driver.device.arm(of_timer(FaultTimer.PUSH, action, argument))
        connection.receive(b"abc")
        driver.advance(PUSH_NS)
        assert driver.completions(CompletionType.CHM_RECEIVE) == []
        other.post(10)
        other.receive(b"abc")  # starts behind the late one, or in an empty list
        if action == FaultAction.DELAY:
            assert driver.device.next_deadline_ns() == at_ns
            driver.advance(7)
        else:
            driver.advance(100 * PUSH_NS)
            assert [done.handle for done in driver.completions(CompletionType.CHM_RECEIVE)] == [other.handle]
            connection.receive(b"def")
            driver.advance(PUSH_NS)
        assert driver.completions(CompletionType.CHM_RECEIVE)[-1].handle == connection.handle


@pytest.mark.requirement("FLT-11")
def test_late_push_timers_stay_in_the_order_of_time() -> None:
    with Driver() as driver:
        first, second = driver.connect(), driver.connect(remote_port=41000)
        driver.device.arm(of_timer(FaultTimer.PUSH, FaultAction.DELAY, 3 * PUSH_NS))
        for connection in (first, second):
            connection.post(10)
            connection.receive(b"abc")
            driver.advance(1000)
        driver.device.load(driver.device.save())
        driver.advance(PUSH_NS)
        driver.device.load(driver.device.save())  # a list out of order would be refused
        assert [done.handle for done in driver.completions(CompletionType.CHM_RECEIVE)] == [second.handle]
        driver.advance(3 * PUSH_NS)
        assert [done.handle for done in driver.completions(CompletionType.CHM_RECEIVE)][-1] == first.handle
