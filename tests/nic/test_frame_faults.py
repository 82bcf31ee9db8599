"""Faults of frames: dropped, corrupted or doubled on their way in and out, with and without loopback."""

from __future__ import annotations

import pytest

from vnic.abi import EventType, FaultAction, FaultSite, RxVerdict
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.testbench.frames import large_send
from vnic.testbench.rig import Rig, plain_frame

MASK = 0x0102_0304_0506_0708
FRAME = plain_frame(200)
OTHER = plain_frame(200, 1)

EXPECTED = {
    FaultAction.DROP: [],
    FaultAction.DUPLICATE: [FRAME, FRAME],
    FaultAction.CORRUPT: [
        FRAME[:20]
        + bytes(a ^ b for a, b in zip(FRAME[20:28], MASK.to_bytes(8, "little"), strict=True))
        + FRAME[28:]
    ],
}
ACTIONS = list(EXPECTED)


def fault_of(site: FaultSite, action: FaultAction, *, skip: int = 0, count: int = 1) -> Fault:
    """One that fires once, at byte 20."""
    at = 20 if action == FaultAction.CORRUPT else 0
    return Fault(site=site, action=action, argument=at, mask=MASK, skip=skip, count=count)


def received(rig: Rig) -> list[bytes]:
    """Frames that came in."""
    return [frame.data for frame in rig[0].take()]


@pytest.mark.requirement("PCI-43")
@pytest.mark.parametrize("action", ACTIONS)
def test_frames_that_arrive(action: FaultAction) -> None:
    with Rig() as rig, rig.device.arm(fault_of(FaultSite.FRAME_IN, action)) as armed:
        verdict = rig.inject(FRAME)
        assert verdict == (RxVerdict.DROPPED if action == FaultAction.DROP else RxVerdict.TAKEN)
        assert received(rig) == EXPECTED[action]
        assert armed.fired == 1
        assert rig.receive(OTHER)[0].data == OTHER


@pytest.mark.requirement("PCI-43")
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observed", [False, True])
def test_frames_that_leave(action: FaultAction, observed: bool) -> None:
    events: list[Event] = []
    with Rig() as rig, rig.device.arm(fault_of(FaultSite.FRAME_OUT, action)) as armed:
        if observed:
            rig.device.observe(events.append, [EventType.FRAME_OUT])
        frames, report = rig.transmit(FRAME)
        assert frames == EXPECTED[action]
        assert (report.status, report.frames, report.bytes) == (0, 1, len(FRAME))
        assert rig.stat("TX_UNICAST_FRAMES") == 1
        assert armed.fired == 1
        assert rig.transmit(OTHER)[0] == [OTHER]
        assert [event.data for event in events] == ([*EXPECTED[action], OTHER] if observed else [])


@pytest.mark.requirement("PCI-43", "TX-16")
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("site", [FaultSite.FRAME_OUT, FaultSite.FRAME_IN])
def test_frames_that_loop(site: FaultSite, action: FaultAction) -> None:
    """A looped frame leaves the transmit path; it does not come in from the link."""
    with Rig() as rig, rig.device.arm(fault_of(site, action)) as armed:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig[0].send(FRAME)
        assert received(rig) == (EXPECTED[action] if site == FaultSite.FRAME_OUT else [FRAME])
        assert armed.fired == int(site == FaultSite.FRAME_OUT)
        assert rig.sent() == []


def test_a_doubled_frame_needs_room_for_the_second() -> None:
    with Rig(manual=True, max_frame=1514, tx_buffer_bytes=8192) as rig:
        rig.device.arm(fault_of(FaultSite.FRAME_OUT, FaultAction.DUPLICATE, count=100))
        for number in range(3):
            rig[0].send(plain_frame(1500, number))
        rig.device.run()
        assert rig.sent() == [plain_frame(1500, number) for number in (0, 0, 1, 1, 2)]
        assert len(rig[0].reports()) == 3


@pytest.mark.parametrize("action", [FaultAction.CORRUPT, FaultAction.DUPLICATE])
def test_a_fault_makes_no_frame_fit(action: FaultAction) -> None:
    """What is refused at the door stays refused, once or twice, and nothing else is touched."""
    with Rig(manual=True, max_frame=1514, rx_buffer_bytes=8192) as rig:
        for number in range(5):
            assert rig.inject(plain_frame(1500, number)) == RxVerdict.TAKEN
        rig.device.arm(fault_of(FaultSite.FRAME_IN, action))
        assert rig.inject(plain_frame(1500, 5)) == RxVerdict.FULL
        assert rig.stat("RX_DROP_BUFFER") == (2 if action == FaultAction.DUPLICATE else 1)
        rig.device.run()
        assert received(rig) == [plain_frame(1500, number) for number in range(5)]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_frame_is_dropped_before_its_fault_when_the_link_is_down(action: FaultAction) -> None:
    with Rig() as rig, rig.device.arm(fault_of(FaultSite.FRAME_OUT, action)) as armed:
        rig.device.set_link(0)
        rig[0].send(FRAME)
        assert rig.stat("TX_DROP_LINK") == 1
        assert (armed.fired, rig.sent()) == (0, [])


@pytest.mark.requirement("PCI-41")
@pytest.mark.parametrize("action", ACTIONS)
def test_one_segment_of_a_large_send(action: FaultAction) -> None:
    data, context, frames = large_send(bytes(range(250)) * 14, 1000)
    with Rig() as rig, rig.device.arm(fault_of(FaultSite.FRAME_OUT, action, skip=1)) as armed:
        sent, report = rig.transmit(data, **context)
        assert report.frames == len(frames) == 4
        assert armed.fired == 1
        assert sent[0] == frames[0]
        assert sent[-2:] == frames[-2:]
        assert len(sent) == {FaultAction.DROP: 3, FaultAction.DUPLICATE: 5, FaultAction.CORRUPT: 4}[action]


@pytest.mark.requirement("PCI-41")
def test_a_fault_matches_by_length_and_queue() -> None:
    with Rig(pairs=2) as rig:
        with rig.device.arm(
            Fault(site=FaultSite.FRAME_OUT, action=FaultAction.DROP, index=1, count=9)
        ) as armed:
            rig[0].send(FRAME)
            rig[1].send(FRAME)
            assert (len(rig.sent()), armed.fired) == (1, 1)
        short = Fault(site=FaultSite.FRAME_IN, action=FaultAction.DROP, first=0, last=100, count=9)
        with rig.device.arm(short) as armed:
            verdicts = [rig.inject(plain_frame(length)) for length in (60, 100, 101, 200)]
            assert verdicts == [RxVerdict.DROPPED] * 2 + [RxVerdict.TAKEN] * 2
            assert armed.fired == 2
        assert rig.inject(FRAME) == RxVerdict.TAKEN
