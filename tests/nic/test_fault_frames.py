"""Faults of a whole card: frames and intervals that are late, lost, early or out of order, and removal."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from vnic._core import ffi
from vnic.abi import DmaPurpose, EventType, FaultAction, FaultSite, FaultTimer, Result, RxVerdict
from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.events import Event
from vnic.fault import MEANINGS, Fault, refusal
from vnic.gen.registers import BAR0
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import Rig

A, B, C = (plain_frame(100, number) for number in range(3))
IN, OUT = FaultSite.FRAME_IN, FaultSite.FRAME_OUT
INTERVAL_NS = 5000
AROUND_NS = 2**32 - 1


def received(rig: Rig) -> list[bytes]:
    """Frames that came in."""
    return [frame.data for frame in rig[0].take()]


def argument_of(action: FaultAction, site: FaultSite) -> int:
    """One that fits."""
    return int(
        action in (FaultAction.ERROR, FaultAction.DELAY, FaultAction.REORDER) and site != FaultSite.MMIO_READ
    )


@pytest.mark.requirement("FLT-1", "PCI-42")
@pytest.mark.parametrize("action", FaultAction)
@pytest.mark.parametrize("site", FaultSite)
def test_what_is_refused_is_refused_with_a_reason(site: FaultSite, action: FaultAction) -> None:
    """The table of Python says what C does, and why."""
    fault = Fault(site=site, action=action, index=0, argument=argument_of(action, site))
    with Device() as device:
        if site in MEANINGS[action]:
            assert refusal(fault) is None
            assert device.arm(fault).fired == 0
        else:
            with pytest.raises(ArgumentError, match=f"{action.name} means nothing at {site.name}: ."):
                device.arm(fault)
            raw = ffi.new("struct vnic_fault *", asdict(fault))  # past the check of Python
            assert device._calls.fault_arm(device._enter(), raw) == Result.EINVAL


@pytest.mark.requirement("FLT-1")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(site=FaultSite.DMA_READ, action=FaultAction.ERROR), "no status that a transfer"),
        (Fault(site=FaultSite.ADMIN, action=FaultAction.ERROR, argument=256), "no status of a command"),
        (Fault(site=FaultSite.TIMER, action=FaultAction.ERROR, index=FaultTimer.TCP), "interval of a vector"),
        (Fault(site=FaultSite.TIMER, action=FaultAction.ERROR), "interval of a vector"),
        (Fault(site=FaultSite.ADMIN, action=FaultAction.DUPLICATE, argument=1), "follows at once"),
        (Fault(site=OUT, action=FaultAction.DELAY), "by 0 changes nothing"),
        (Fault(site=FaultSite.DMA_WRITE, action=FaultAction.STUCK, mask=0), "mask of 0"),
        (Fault(site=OUT, action=FaultAction.DROP, first=2, last=1), "a range from 0x2"),
        (Fault(site=OUT, action=FaultAction.DROP, count=0), "never fires"),
        (Fault(site=OUT, action=FaultAction.DROP, one_in=2), "pick 0"),
        (Fault(site=9, action=FaultAction.DROP), "not a valid FaultSite"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(fault: Fault, why: str) -> None:
    with Device() as device, pytest.raises(ArgumentError, match=why):
        device.arm(fault)


# -- frames --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("FLT-4")
def test_a_late_frame_comes_in_at_its_time() -> None:
    with Rig() as rig, rig.device.arm(Fault(site=IN, action=FaultAction.DELAY, argument=700)) as armed:
        assert [rig.inject(frame) for frame in (A, B)] == [RxVerdict.TAKEN] * 2
        assert received(rig) == [B]
        assert rig.device.next_deadline_ns() == 700
        rig.device.advance(699)
        assert received(rig) == []
        rig.device.advance(700)
        assert received(rig) == [A]
        assert (armed.fired, rig.device.next_deadline_ns()) == (1, None)


@pytest.mark.requirement("FLT-4", "FLT-5")
@pytest.mark.parametrize("observed", [False, True])
def test_late_and_swapped_frames_leave(observed: bool) -> None:
    events: list[Event] = []
    with Rig() as rig:
        if observed:
            rig.device.observe(events.append, [EventType.FRAME_OUT])
        with rig.device.arm(Fault(site=OUT, action=FaultAction.REORDER, argument=1)):
            assert [rig.transmit(frame)[0] for frame in (A, B, C)] == [[], [B, A], [C]]
        with rig.device.arm(Fault(site=OUT, action=FaultAction.DELAY, argument=50)):
            frames, report = rig.transmit(A)
            assert (frames, report.status, report.bytes) == ([], 0, len(A))  # for who sent it, it is sent
            rig.device.advance(50)
            assert rig.sent() == [A]
        with rig.device.arm(Fault(site=OUT, action=FaultAction.DUPLICATE, argument=50)):
            assert rig.transmit(B)[0] == [B]
            rig.device.advance(100)
            assert rig.sent() == [B]
        assert [event.data for event in events] == ([B, A, C, A, B, B] if observed else [])


@pytest.mark.requirement("FLT-5")
def test_frames_that_arrive_change_places() -> None:
    with Rig() as rig, rig.device.arm(Fault(site=IN, action=FaultAction.REORDER, argument=1, count=2)):
        for frame in (A, B, C):
            rig.inject(frame)
        assert received(rig) == [B, A]
    with Rig() as rig:
        armed = rig.device.arm(Fault(site=IN, action=FaultAction.REORDER, argument=1))
        rig.inject(A)
        assert received(rig) == []
        armed.disarm()
        assert received(rig) == [A]


@pytest.mark.requirement("FLT-8")
def test_a_frame_waits_for_room_on_the_link() -> None:
    with Rig(manual=True, max_frame=1514, tx_buffer_bytes=8192) as rig:
        rig.device.arm(Fault(site=OUT, action=FaultAction.DELAY, argument=10))
        big = [plain_frame(1500, number) for number in range(6)]
        rig[0].send(big[0])
        rig.device.run()
        for frame in big[1:]:
            rig[0].send(frame)
        rig.device.run()
        rig.device.advance(10)
        assert [frame.data for frame in rig.device.frames()] == [*big[1:], big[0]]


@pytest.mark.requirement("FLT-8")
def test_late_frames_find_the_link_as_it_is_then() -> None:
    with Rig() as rig:
        rig.device.arm(Fault(site=OUT, action=FaultAction.DELAY, argument=10))
        rig.device.arm(Fault(site=IN, action=FaultAction.DELAY, argument=10))
        rig.inject(A)
        rig.transmit(B)
        rig.device.set_link(0)
        rig.device.advance(10)
        assert (rig.stat("RX_DROP_LINK"), rig.stat("TX_DROP_LINK")) == (1, 1)
        assert (received(rig), rig.sent()) == ([], [])


@pytest.mark.requirement("FLT-4")
def test_a_late_frame_that_loops() -> None:
    with Rig() as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig.device.arm(Fault(site=OUT, action=FaultAction.DELAY, argument=10))
        rig[0].send(A)
        assert received(rig) == []
        rig.device.advance(10)
        assert received(rig) == [A]


# -- write-backs and descriptors -----------------------------------------------------------------------------


@pytest.mark.requirement("FLT-4", "FLT-5")
def test_write_backs_are_late_and_swapped() -> None:
    with Rig() as rig:
        late = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.DELAY, index=DmaPurpose.COMPLETION, argument=100
        )
        with rig.device.arm(late):
            rig.inject(A)
            assert received(rig) == []
            rig.inject(B)
            assert received(rig) == []  # the entry before it is not there yet
            rig.device.advance(100)
            assert received(rig) == [A, B]
        swapped = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.REORDER, index=DmaPurpose.COMPLETION, argument=1
        )
        with rig.device.arm(swapped):
            rig.inject(A)
            rig.inject(B)
            assert received(rig) == [A, B]


@pytest.mark.requirement("FLT-7")
def test_a_stuck_line_in_payload() -> None:
    stuck = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.STUCK, index=DmaPurpose.DATA, argument=0, mask=1, count=9
    )
    with Rig() as rig, rig.device.arm(stuck):
        rig.inject(b"\xff" * 64)
        (frame,) = received(rig)
        assert frame == (b"\xfe" + b"\xff" * 7) * 8


# -- intervals -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("FLT-11")
@pytest.mark.parametrize(
    ("action", "argument", "length"),
    [
        (FaultAction.ERROR, 0, 0),
        (FaultAction.DELAY, 700, INTERVAL_NS + 700),
        (FaultAction.DELAY, 2**64 - 1, AROUND_NS),
        (FaultAction.DROP, 0, AROUND_NS),
    ],
)
def test_the_interval_of_a_vector(action: FaultAction, argument: int, length: int) -> None:
    fault = Fault(
        site=FaultSite.TIMER,
        action=action,
        index=FaultTimer.MODERATION,
        argument=argument,
        first=0,
        last=0,
        count=1,
    )
    with Rig() as rig:
        rig.put(BAR0.VEC_INTERVAL, INTERVAL_NS)
        rig.device.arm(fault)
        told: list[int] = []
        rig.device.observe(lambda event: told.append(event.time_ns), [EventType.INTERRUPT])
        rig.inject(A)
        rig.inject(B)
        assert told == ([0, 0] if length == 0 else [0])
        assert rig.device.next_deadline_ns() == (length or None)
        rig.device.advance(length)
        assert told == [0, length]
        rig.inject(C)  # the next interval is whole
        assert rig.device.next_deadline_ns() == length + INTERVAL_NS
        image = rig.device.save()
        rig.device.load(image)


@pytest.mark.requirement("FLT-9", "FLT-11")
def test_an_interval_can_take_the_card_away() -> None:
    fault = Fault(site=FaultSite.TIMER, action=FaultAction.REMOVE, index=FaultTimer.MODERATION)
    with Rig() as rig:
        rig.put(BAR0.VEC_INTERVAL, INTERVAL_NS)
        rig.device.arm(fault)
        rig.inject(A)
        assert rig.device.read32(BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF


# -- removal -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("FLT-9")
@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize(
    ("site", "index"),
    [
        (FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR),
        (FaultSite.DMA_READ, DmaPurpose.DATA),
        (FaultSite.DMA_WRITE, DmaPurpose.DATA),
        (FaultSite.DMA_WRITE, DmaPurpose.COMPLETION),
        (FaultSite.INTERRUPT, 0),
        (FaultSite.FRAME_IN, 0xFF),
        (FaultSite.FRAME_OUT, 0),
        (FaultSite.MMIO_WRITE, 0),
    ],
)
def test_removal_in_the_middle_of_work(manual: bool, site: FaultSite, index: int) -> None:
    """Whatever step is under way, the card is gone as if pulled out, and comes back as from the shop."""
    with Rig(manual=manual) as rig:
        rig.device.arm(Fault(site=site, action=FaultAction.REMOVE, index=index))
        rig.inject(A)
        for frame in (B, C):
            rig[0].send(frame)
        rig.device.run()
        device = rig.device
        assert device.config_read(0) == device.read32(0) == 0xFFFF_FFFF
        assert (device.is_idle, device.frames()) == (True, [])
        gone = device.state_hash()
        device.remove()
        assert device.state_hash() == gone
        device.insert()
        assert device.config_read(0) == 0x10F0_1AF4


@pytest.mark.requirement("FLT-8", "FLT-9")
def test_what_is_kept_goes_with_the_card() -> None:
    with Rig() as rig:
        rig.device.arm(Fault(site=IN, action=FaultAction.DELAY, argument=10))
        rig.inject(A)
        rig.device.remove()
        rig.device.insert()
        assert rig.device.next_deadline_ns() is None
