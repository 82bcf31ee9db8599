"""The device's side of a trace, replayed to a driver: the same driver passes, a changed one is named."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trace.traces import recorded
from tests.traces import scenarios
from vnic.abi import EventType, FaultAction, FaultSite, Map
from vnic.device import Device
from vnic.fault import Fault
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestMemory
from vnic.host.system import System
from vnic.testbench import Bench
from vnic.trace.driver_memory import DriverMemory
from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import TraceError
from vnic.trace.names import Names
from vnic.trace.recorder import Recorder
from vnic.trace.standin import StandIn, StandInError

FOLDER = Path(scenarios.__file__).parent
Change = Callable[[TraceEvent, Names], TraceEvent | None]


def kept(name: str) -> bytes:
    return gzip.decompress((FOLDER / f"{name}.pcapng.gz").read_bytes())


def changed(octets: bytes, change: Change) -> bytes:
    """The trace of another driver: each event as `change` gives it, None to leave it out."""
    stream = io.BytesIO()
    reader = TraceReader(io.BytesIO(octets))
    names = Names(reader.header)
    writer = TraceWriter(stream, reader.header)
    for event in reader:
        other = change(event, names)
        if other is not None:
            writer.write(other)
    return stream.getvalue()


@pytest.mark.requirement("TRC-26")
@pytest.mark.parametrize("name", ["bring-up", "rss", "line-interrupt", "dma-errors"])
def test_the_reference_miniport_does_what_it_did(name: str) -> None:
    """Bring-up, frames in and out, halt: no device is there."""
    scenario, _ = scenarios.SCENARIOS[name]
    with StandIn(io.BytesIO(kept(name))) as standin:
        scenario(function=lambda config: standin)
        standin.finish()


@pytest.mark.requirement("TRC-26")
def test_the_copy_engines_driver_does_what_it_did() -> None:
    """Copies, page breaks and a bus error: what the engine copied comes out of the trace."""
    scenario, _ = scenarios.SCENARIOS["copies"]
    with StandIn(io.BytesIO(kept("copies"))) as standin:
        scenario(function=lambda config: standin)
        standin.finish()


@pytest.mark.requirement("TRC-26")
def test_frames_reach_the_protocol_and_the_wire() -> None:
    def work(**more: Any) -> tuple[list[bytes], list[bytes]]:
        with Bench(queues=2, cpus=2, keywords={"*InterruptModeration": 0}, **more) as machine:
            machine.receive(*scenarios.FLOWS[:4])
            machine.send(*scenarios.FLOWS[4:7])
            machine.settle()
            return machine.received, machine.transmitted

    stream = io.BytesIO()
    recorders: list[Recorder] = []
    Device.watchers.append(lambda device: recorders.append(Recorder(stream, device)))
    try:
        before = work()
    finally:
        Device.watchers.pop()
        recorders[0].close()
    with StandIn(io.BytesIO(stream.getvalue())) as standin:
        assert work(function=lambda config: standin) == before
        standin.finish()
    assert len(before[0]) == 4
    assert len(before[1]) == 3


def a_write_left_out(register: str) -> Change:
    """The first write to a register is not in the trace: the driver makes it all the same."""
    done: list[int] = []

    def change(event: TraceEvent, names: Names) -> TraceEvent | None:
        if event.type == EventType.MMIO_WRITE and names.name(event) == register and not done:
            done.append(event.number)
            return None
        return event

    return change


def another_value(register: str, bit: int) -> Change:
    """Every write to a register had another bit."""

    def change(event: TraceEvent, names: Names) -> TraceEvent | None:
        is_it = event.type == EventType.MMIO_WRITE and names.name(event) == register
        return event._replace(value=event.value ^ bit) if is_it else event

    return change


@pytest.mark.requirement("TRC-26")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (a_write_left_out("QP_RX_CTRL[1]"), ["driver: mw32 b0 QP_RX_CTRL[1] <- 0x1"]),
        (
            another_value("MAC_RX_CTRL", 0x40),
            ["trace:  mw32 b0 MAC_RX_CTRL", "VLAN_FILTER: 1 in the trace, 0 now"],
        ),
    ],
    ids=["left out", "changed"],
)
def test_a_driver_with_another_register_write_is_named(change: Change, said: list[str]) -> None:
    with (
        StandIn(io.BytesIO(changed(kept("bring-up"), change))) as standin,
        pytest.raises(StandInError) as caught,
    ):
        scenarios.bring_up(function=lambda config: standin)
    text = str(caught.value)
    assert all(part in text for part in said), text
    assert f"at event {caught.value.difference.number}," in text
    assert caught.value.difference.actual is not None
    with pytest.raises(StandInError, match="differs at event"):
        standin.finish()


@pytest.mark.requirement("TRC-26")
def test_a_driver_with_another_descriptor_is_named() -> None:
    """One octet of what the card read of a ring."""
    done: list[int] = []

    def change(event: TraceEvent, names: Names) -> TraceEvent:
        if event.type == EventType.DMA_READ and event.length >= 16 and not done:
            done.append(event.number)
            return event._replace(data=event.data[:9] + bytes((event.data[9] ^ 0x80,)) + event.data[10:])
        return event

    with (
        StandIn(io.BytesIO(changed(kept("rss"), change))) as standin,
        pytest.raises(StandInError, match=r"octet 9 of \d+, at 0x[0-9a-f]+: 0x.. in the trace, 0x.. now"),
    ):
        scenarios.rss(function=lambda config: standin)


# -- the function alone --------------------------------------------------------------------------------------


def alone(work: Callable[[Any], None]) -> bytes:
    """The trace of some calls of a device."""
    stream = io.BytesIO()
    with Device(manual=True) as device, Recorder(stream, device):
        work(device)
    return stream.getvalue()


def calls(function: Any) -> None:
    """A bit of everything that comes from outside."""
    function.connect_interrupts(None)
    function.config_write(4, 6, 2)
    function.set_link(10_000)
    assert function.config_read(0) & 0xFFFF == function.config_read(0, 2)
    function.window(0).write32(BAR0.TEST_ECHO.offset, 7)
    function.window(0).write64(BAR0.TEST_ECHO.offset + 8, 9)
    function.map(1 << 32, memoryview(bytearray(8192)), int(Map.READ | Map.WRITE))
    function.unmap(1 << 32, 4096)
    function.receive(bytes(60))
    function.advance(function.now_ns + 500)
    function.reset()
    function.unmap_all()
    function.remove()
    function.config_read(0)
    function.insert()


@pytest.mark.requirement("TRC-26")
def test_everything_that_comes_from_outside_is_compared() -> None:
    octets = alone(calls)
    with StandIn(io.BytesIO(octets)) as standin:
        calls(standin)
        standin.finish()
        assert standin.now_ns == 500
    with StandIn(io.BytesIO(octets)) as standin:
        with pytest.raises(StandInError, match="nothing"):
            standin.finish()
        with pytest.raises(StandInError, match="nothing"):
            standin.config_read(0)
    with StandIn(io.BytesIO(octets)) as standin:
        calls(standin)
        with pytest.raises(StandInError, match="trace:  nothing"):
            standin.advance(501)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: f.config_read(4, 2), "driver: cr16 COMMAND$"),
        (lambda f: f.config_write(4, 2, 2), "MASTER: 1 in the trace, 0 now"),
        (lambda f: f.window(0).read32(0), "driver: mr32 b0"),
        (lambda f: f.receive(bytes(61)), "driver: rx 61"),
        (lambda f: f.map(0x5000, memoryview(bytearray(4096)), 1), "driver: map 0x5000 4096 r"),
        (lambda f: f.advance(3), "driver: time 3"),
    ],
)
def test_another_call_is_named(call: Callable[[StandIn], None], said: str) -> None:
    with (
        StandIn(io.BytesIO(alone(lambda device: device.config_write(4, 6, 2)))) as standin,
        pytest.raises(StandInError, match=f"(?m){said}"),
    ):
        call(standin)


def test_windows_refuse_what_does_not_fit() -> None:
    with StandIn(io.BytesIO(alone(calls))) as standin:
        with pytest.raises(OverflowError):
            standin.window(0).write8(0, 256)
        with pytest.raises(OverflowError):
            standin.window(0).read64(-1)


def test_a_system_around_it() -> None:
    """Firmware's part alone: BARs are sized and placed."""

    def place(function: Any) -> None:
        assert System(function, GuestMemory(1 << 20)).bar_size(0) > 0

    with StandIn(io.BytesIO(alone(place))) as standin:
        place(standin)
        standin.finish()


def test_faults_fire_as_they_did() -> None:
    fired: list[int] = []

    def work(function: Any) -> None:
        function.config_write(4, 6, 2)
        with function.arm(Fault(site=FaultSite.MMIO_READ, action=FaultAction.CORRUPT, count=2)) as armed:
            for _ in range(3):
                function.window(0).read32(0)
            fired.append(armed.fired)

    with StandIn(io.BytesIO(alone(work))) as standin:
        work(standin)
        standin.finish()
    assert fired[0] == fired[1] > 0


def test_traces_that_cannot_stand_in() -> None:
    with pytest.raises(TraceError, match="vnic trace expand"):
        StandIn(io.BytesIO(recorded(1, compact=True)))
    loads = alone(lambda device: device.load(device.save()))
    with pytest.raises(TraceError, match="became another"):
        StandIn(io.BytesIO(loads))
    with pytest.raises(TraceError, match="no trace"):
        StandIn(io.BytesIO(b"nothing"))


@pytest.mark.parametrize(
    ("event", "call", "said"),
    [
        (TraceEvent(0, EventType.INTERRUPT, 0, width=99), lambda f: f.read(0, 0), "99 is not"),
        (TraceEvent(0, EventType.FRAME_IN, 0, value=98), lambda f: f.receive(b""), "98 is not"),
        (TraceEvent(0, EventType.DMA_WRITE, 0, digest=1, length=9), lambda f: f.read(0, 0), "left out"),
    ],
    ids=["interrupt", "verdict", "digest"],
)
def test_a_trace_that_says_what_no_device_does(
    event: TraceEvent, call: Callable[[StandIn], object], said: str
) -> None:
    stream = io.BytesIO()
    TraceWriter(stream, TraceReader(io.BytesIO(kept("resets"))).header).write(event)
    stream.seek(0)
    with StandIn(stream) as standin, pytest.raises(TraceError, match=f"event 0: .*{said}"):
        call(standin)


def test_memory_over_ranges() -> None:
    memory = DriverMemory()
    one, other = bytearray(4096), bytearray(4096)
    memory.map(8192, memoryview(other))
    memory.map(4096, memoryview(one))
    assert memory.write(8190, b"abcd")
    assert bytes(one[-2:]) + bytes(other[:2]) == b"abcd"
    assert memory.read(8190, 4) == b"abcd"
    assert memory.read(12286, 3) is None
    assert memory.read(4095, 1) is None
    assert not memory.write(12287, b"xy")
    assert other[-1] == 0
    memory.unmap(0, 8192)
    assert memory.read(8191, 1) is None
    assert memory.read(8192, 2) == b"cd"
    assert memory.read(0, 0) == b""
