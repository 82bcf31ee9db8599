"""One C device as a Python object: every input goes in here, and every output is handed on."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vnic import errors
from vnic._card import BarWindow, Card, Observation, check
from vnic._core import ffi, lib
from vnic.abi import Engine, EventType, InterruptKind, ResetLevel, RxVerdict
from vnic.config import DeviceConfig
from vnic.events import Answer, Observer
from vnic.fault import Fault, FaultHandle
from vnic.host.bus import Interrupt, InterruptSink
from vnic.oplist import OpList

if TYPE_CHECKING:
    from vnic._core import vnic, vnic_interrupt

__all__ = ["UNBOUNDED", "BarWindow", "Budget", "Device", "DeviceConfig", "Frame", "FrameSink", "Observation"]

_NEVER = (1 << 64) - 1
_BATCH = 64
_ROUNDS = 10_000
_BARS = 6


class Frame(NamedTuple):
    """A frame that the card sent, and the transmit queue it came from."""

    data: bytes
    queue: int


class Budget(NamedTuple):
    """Steps, and bytes moved by DMA: what a run may take, or took."""

    steps: int
    bytes: int


UNBOUNDED = Budget(_NEVER, _NEVER)


class FrameSink(Protocol):
    """The link as the card sees it: the end of a wire, a TAP, a list in a test."""

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame that was sent."""


class Device(BarWindow):
    """The card. Its own read8 to write64 are those of BAR0; those of other BARs are in window().

    In auto mode (the default) every input is followed by running to rest and by handing interrupts and frames
    to who is connected; what nobody is connected for waits to be fetched. In manual mode nothing happens but
    what is called. An exception of an observer or answer is raised by the call that caused it.
    """

    def __init__(
        self, config: DeviceConfig | None = None, *, manual: bool = False, **parameters: Any
    ) -> None:
        """`parameters` are those of DeviceConfig, where no `config` is given."""
        if config is not None and parameters:
            raise errors.ArgumentError("a config or parameters, not both")
        self._card = Card(config or DeviceConfig(**parameters), _weak_call(self._settle))
        self._access = self._card.access
        self._access.is_auto = not manual
        self._interrupt_sink: InterruptSink | None = None
        self._frame_sink: FrameSink | None = None
        self._backlog: deque[Interrupt] = deque()
        self._used = ffi.new("struct vnic_budget *")
        self._unbounded = ffi.new("struct vnic_budget *", UNBOUNDED)
        self._frames = ffi.new("struct vnic_frame[]", _BATCH)
        self._windows: dict[int, BarWindow] = {}
        self._card.open(self, 0)

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the card; every later call raises ClosedError. Idempotent."""
        self._card.close()

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return not self._access.card

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> DeviceConfig:
        """What the card was made with, defaults filled in."""
        return self._card.config

    @property
    def is_manual(self) -> bool:
        """Whether the caller decides about every step; may be changed at any time."""
        return not self._access.is_auto

    @is_manual.setter
    def is_manual(self, manual: bool) -> None:
        self._enter()
        self._access.is_auto = not manual
        self._settle()

    # -- registers and configuration space -------------------------------------------------------------------

    def window(self, bar: int) -> BarWindow:
        """The accesses of a BAR; 0 to 5, whether the card has it or not."""
        if bar not in self._windows:
            if not 0 <= bar < _BARS:
                raise errors.ArgumentError(f"BAR {bar}")
            self._enter()
            window = self._windows[bar] = BarWindow()
            self._card.open(window, bar)
        return self._windows[bar]

    def read(self, bar: int, offset: int, width: int = 4) -> int:
        """An access of any width, defined or not."""
        value = lib.vnic_read(self._enter(), bar, offset, width)
        self._after()
        return value

    def write(self, bar: int, offset: int, value: int, width: int = 4) -> None:
        """An access of any width, defined or not."""
        lib.vnic_write(self._enter(), bar, offset, width, value)
        self._after()

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read configuration space."""
        value = lib.vnic_cfg_read(self._enter(), offset, width)
        self._after()
        return value

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write configuration space."""
        lib.vnic_cfg_write(self._enter(), offset, width, value)
        self._after()

    def batch(self, ops: OpList) -> int:
        """Run a list of operations in one call; how many ran. In auto mode the card then comes to rest."""
        if ops.native is None:
            ops.native = ffi.from_buffer("struct vnic_op[]", ops.buffer)
        data = ffi.from_buffer("uint8_t[]", ops.data) if ops.data else ffi.NULL
        count = lib.vnic_batch(self._enter(), ops.native, ops.count, data, len(ops.data))
        self._after()
        return count

    # -- host memory -----------------------------------------------------------------------------------------

    def map(self, iova: int, memory: memoryview | bytearray, permissions: int) -> None:
        """Let DMA reach memory; address and length are multiples of 4096. permissions: vnic.abi.Map bits.

        The memory is kept alive for as long as the device.
        """
        view = memoryview(memory)
        pointer = ffi.from_buffer("uint8_t[]", view, require_writable=True)
        self._check(lib.vnic_map(self._enter(), iova, pointer, len(view), permissions), f"map {iova:#x}")
        self._card.keep(view)
        self._after()

    def unmap(self, iova: int, length: int) -> None:
        """Take a range of bus addresses away."""
        self._check(lib.vnic_unmap(self._enter(), iova, length), f"unmap {iova:#x}+{length:#x}")
        self._after()

    def unmap_all(self) -> None:
        """Take all of host memory away."""
        lib.vnic_unmap_all(self._enter())
        self._after()

    def answer_unmapped(self, answer: Answer | None) -> None:
        """Have DMA to what is not mapped answered by a callback; None: Unsupported Request."""
        self._card.set_answer(answer)

    # -- link and interrupts ---------------------------------------------------------------------------------

    def set_link(self, mbps: int) -> None:
        """Link up with a speed, or down with 0."""
        lib.vnic_set_link(self._enter(), mbps)
        self._after()

    def receive(self, frame: bytes | bytearray | memoryview) -> RxVerdict:
        """A frame arrives, without FCS."""
        verdict = lib.vnic_receive(self._enter(), ffi.from_buffer("uint8_t[]", frame), len(frame))
        self._after()
        return RxVerdict(verdict)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives at a time; with link_changed() this makes the device a port of a link."""
        self.advance(max(now_ns, self.now_ns))
        self.receive(frame)

    def link_changed(self, up: bool, now_ns: int, mbps: int = 10_000) -> None:
        """The link that the card is plugged into went up or down."""
        self.advance(max(now_ns, self.now_ns))
        self.set_link(mbps if up else 0)

    def connect_link(self, sink: FrameSink | None) -> None:
        """Frames that are sent go to `sink` from now on; None: they wait for frames()."""
        self._enter()
        self._frame_sink = sink
        self._settle()

    def connect_interrupts(self, sink: InterruptSink | None) -> None:
        """Interrupts go to `sink` from now on; None: they wait for interrupts()."""
        self._enter()
        self._interrupt_sink = sink
        self._access.is_listening = sink is not None
        self._after()

    def frames(self) -> list[Frame]:
        """Take the frames that wait."""
        self._enter()
        taken: list[Frame] = []
        while batch := self._take_frames():
            taken += batch
        self._settle()
        return taken

    def interrupts(self) -> list[Interrupt]:
        """Take the interrupts that wait, in their order."""
        self._enter()
        while self._take_interrupts():
            pass
        taken = list(self._backlog)
        self._backlog.clear()
        self._card.raise_failure()
        return taken

    # -- time and work ---------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Virtual time since power-on."""
        return lib.vnic_now(self._enter())

    def next_deadline_ns(self) -> int | None:
        """When moderation will next raise a vector; None: never, as things are."""
        deadline = lib.vnic_deadline(self._enter())
        return None if deadline == _NEVER else deadline

    def advance(self, now_ns: int) -> None:
        """Virtual time is `now_ns` now; TimeError when that is the past."""
        self._check(lib.vnic_advance(self._enter(), now_ns), f"advance to {now_ns}")
        self._after()

    @property
    def runnable(self) -> list[Engine]:
        """Engines that could take a step."""
        mask = lib.vnic_runnable(self._enter())
        return [engine for engine in Engine if mask >> engine & 1]

    @property
    def is_idle(self) -> bool:
        """Whether no engine could take a step."""
        return lib.vnic_runnable(self._enter()) == 0

    @property
    def idle_steps(self) -> int:
        """An upper bound of the steps to rest from here."""
        return lib.vnic_idle_steps(self._enter())

    def step(self, engine: Engine) -> bool:
        """One step of one engine; False when it had none to take."""
        taken = lib.vnic_step(self._enter(), engine, ffi.new("uint64_t *"))
        self._card.raise_failure()
        return bool(taken)

    def run(self, budget: Budget = UNBOUNDED) -> Budget:
        """Run within a budget; what was used. In auto mode outputs are handed on afterwards."""
        lib.vnic_run(self._enter(), ffi.new("struct vnic_budget *", budget), self._used)
        used = Budget(self._used.steps, self._used.bytes)
        self._card.raise_failure()
        if self._access.is_auto:
            self._hand_on()
        return used

    # -- resets and snapshots --------------------------------------------------------------------------------

    def reset(self, level: ResetLevel = ResetLevel.HOT) -> None:
        """Reset from outside; queue, device and Function Level Reset are register writes."""
        lib.vnic_reset(self._enter(), level)
        self._after()

    def remove(self) -> None:
        """Surprise removal: reads give all ones, nothing moves."""
        lib.vnic_remove(self._enter())
        self._after()

    def insert(self) -> None:
        """The card is back, as after a power cycle."""
        lib.vnic_insert(self._enter())
        self._after()

    def save(self) -> bytes:
        """The whole state, work pending included; mappings, observers and faults are not in it."""
        card = self._enter()
        size = lib.vnic_save(card, ffi.NULL, 0)
        image = bytearray(size)
        lib.vnic_save(card, ffi.from_buffer("uint8_t[]", image), size)
        return bytes(image)

    def load(self, image: bytes) -> None:
        """Become the card that was saved; after a SnapshotError it is as after a power cycle."""
        card = self._enter()
        self._backlog.clear()
        self._access.interrupts = 0
        self._check(lib.vnic_load(card, ffi.from_buffer("uint8_t[]", image), len(image)), "load")
        self._after()

    def state_hash(self) -> int:
        """64 bits over the state, equal for cards that behave alike."""
        return lib.vnic_state_hash(self._enter())

    @property
    def footprint(self) -> int:
        """Bytes that the card takes."""
        return lib.vnic_footprint(self._enter())

    # -- observation and faults ------------------------------------------------------------------------------

    def observe(self, observer: Observer, types: Iterable[EventType] = tuple(EventType)) -> Observation:
        """Call `observer` with each event of these types until cancelled; it must not use the device."""
        self._enter()
        observation = Observation(self._card, observer, types)
        self._card.attach(observation)
        return observation

    def arm(self, fault: Fault) -> FaultHandle:
        """Arm a fault; CapacityError when the registry is full."""
        number = lib.vnic_fault_arm(self._enter(), ffi.new("struct vnic_fault *", asdict(fault)))
        self._check(number, f"arm {fault}")
        return FaultHandle(self, fault, number)

    def disarm(self, number: int) -> None:
        """Take a fault out."""
        self._check(lib.vnic_fault_disarm(self._enter(), number), f"disarm {number}")

    def fault_fired(self, number: int) -> int:
        """How often a fault fired."""
        fired = lib.vnic_fault_fired(self._enter(), number)
        self._check(fired, f"fault {number}")
        return fired

    # -- what follows an input -------------------------------------------------------------------------------

    def _enter(self) -> vnic:
        return self._card.enter()

    def _check(self, result: int, what: str) -> None:
        """Raise what a callback raised meanwhile, or what the result means."""
        self._card.raise_failure()
        check(result, what)

    def _after(self) -> None:
        if lib.vnic_access_has_work(self._access):
            self._settle()

    def _settle(self) -> None:
        """Run to rest and hand outputs on, until there is nothing more to do."""
        self._card.raise_failure()
        self._access.must_settle = False
        if not self._access.is_auto:
            return
        for _ in range(_ROUNDS):
            if self.is_closed:
                return
            lib.vnic_run(self._access.card, self._unbounded, self._used)
            self._card.raise_failure()
            if not self._hand_on():
                return
        raise errors.UnrestError(f"interrupts and frames kept the device busy for {_ROUNDS} rounds")

    def _hand_on(self) -> bool:
        """Give interrupts and frames to who is connected; whether there were any."""
        return self._hand_on_interrupts() | self._hand_on_frames()

    def _hand_on_interrupts(self) -> bool:
        sink = self._interrupt_sink
        if sink is None or not (self._take_interrupts() or self._backlog):
            return False
        # Handlers use the device and so come back here: oldest first keeps the order. What an exception
        # leaves in the backlog goes out with the next access.
        try:
            while self._backlog:
                sink.signal(self._backlog.popleft())
        finally:
            self._access.must_settle = bool(self._backlog)
        return True

    def _take_interrupts(self) -> bool:
        """Put some interrupts of the card in the backlog; whether there were any."""
        access = self._access
        if not access.interrupts and access.card:
            raw: vnic_interrupt = ffi.addressof(access, "interrupt", 0)
            access.interrupts = lib.vnic_interrupts(access.card, raw, _BATCH)
        count, access.interrupts = access.interrupts, 0
        for taken in access.interrupt[0:count]:
            kind = InterruptKind(taken.kind)
            self._backlog.append(Interrupt(kind, taken.vector, taken.addr, taken.data))
        return count > 0

    def _hand_on_frames(self) -> bool:
        sink = self._frame_sink
        if sink is None or self.is_closed:
            return False
        now_ns = lib.vnic_now(self._access.card)
        batch = self._take_frames()
        for frame in batch:
            sink.transmit(frame.data, now_ns)
        return bool(batch)

    def _take_frames(self) -> list[Frame]:
        """Up to 64 frames, copied out so that the card's buffer is free before anybody else runs."""
        card = self._access.card
        count = lib.vnic_frames(card, self._frames, _BATCH)
        taken = [Frame(bytes(ffi.buffer(f.data, f.len)), f.queue) for f in self._frames[0:count]]
        lib.vnic_frames_release(card, count)
        return taken


def _weak_call(method: Callable[[], None]) -> Callable[[], None]:
    """Calls a method without keeping its object alive."""
    weak = weakref.WeakMethod(method)

    def call() -> None:
        strong = weak()
        if strong is not None:
            strong()

    return call
