"""What every PCI function is as a Python object: inputs go in here, and outputs are handed on."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self

from vnic import errors
from vnic._core import ffi, lib
from vnic._kind import ConfigT, Kind
from vnic._native import BarWindow, Native, Observation, check
from vnic.abi import EventType, InterruptKind, ResetLevel
from vnic.events import Answer, Observer
from vnic.fault import Fault, FaultAction, FaultHandle, refusal
from vnic.host.bus import Interrupt, InterruptSink

if TYPE_CHECKING:
    from vnic._core import vnic_interrupt

__all__ = ["UNBOUNDED", "BarWindow", "Budget", "Observation", "PciFunction"]

_NEVER = (1 << 64) - 1
_BATCH = 64
_ROUNDS = 10_000
_BARS = 6
_KEEPING = (FaultAction.DELAY, FaultAction.REORDER, FaultAction.DUPLICATE)


class Budget(NamedTuple):
    """Steps, and bytes moved by DMA: what a run may take, or took."""

    steps: int
    bytes: int


UNBOUNDED = Budget(_NEVER, _NEVER)


class PciFunction(BarWindow, Generic[ConfigT]):
    """A function in C. Its own read8 to write64 are those of BAR0; those of other BARs are in window().

    In auto mode (the default) every input is followed by running to rest and by handing outputs to who is
    connected; what nobody is connected for waits to be fetched. In manual mode nothing happens but what is
    called. An exception of an observer or answer is raised by the call that caused it.
    """

    #: Called with every function that is made: who records all there are adds himself.
    watchers: ClassVar[list[Callable[[PciFunction[Any]], None]]] = []

    def __init__(
        self, kind: Kind[ConfigT], config: ConfigT | None, manual: bool, parameters: dict[str, Any]
    ) -> None:
        if config is not None and parameters:
            raise errors.ArgumentError("a config or parameters, not both")
        self._native = Native(kind, config or kind.config(**parameters), _weak_call(self._settle))
        self._calls = self._native.calls
        self._access = self._native.access
        self._access.is_auto = not manual
        self._interrupt_sink: InterruptSink | None = None
        self._backlog: deque[Interrupt] = deque()
        self._used = ffi.new("struct vnic_budget *")
        self._unbounded = ffi.new("struct vnic_budget *", UNBOUNDED)
        self._windows: dict[int, BarWindow] = {}
        self._mapped: dict[int, tuple[memoryview, int]] = {}
        #: Faults that may keep something for later.
        self._keeping: set[int] = set()
        self._native.open(self, 0)
        for watcher in self.watchers:
            watcher(self)

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the function; every later call raises ClosedError. Idempotent."""
        self._native.close()
        self._mapped.clear()

    @property
    def map_hash(self) -> int:
        """64 bits over the register map of BAR0."""
        return self._calls.register_map_hash()

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return not self._access.function

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> ConfigT:
        """What the function was made with, defaults filled in."""
        return self._native.config

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
        """The accesses of a BAR; 0 to 5, whether the function has it or not."""
        if bar not in self._windows:
            if not 0 <= bar < _BARS:
                raise errors.ArgumentError(f"BAR {bar}")
            self._enter()
            window = self._windows[bar] = BarWindow()
            self._native.open(window, bar)
        return self._windows[bar]

    def read(self, bar: int, offset: int, width: int = 4) -> int:
        """An access of any width, defined or not."""
        value = self._calls.read(self._enter(), bar, offset, width)
        self._after()
        return value

    def write(self, bar: int, offset: int, value: int, width: int = 4) -> None:
        """An access of any width, defined or not."""
        self._calls.write(self._enter(), bar, offset, width, value)
        self._after()

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read configuration space."""
        value = self._calls.cfg_read(self._enter(), offset, width)
        self._after()
        return value

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write configuration space."""
        self._calls.cfg_write(self._enter(), offset, width, value)
        self._after()

    # -- host memory -----------------------------------------------------------------------------------------

    def map(self, iova: int, memory: memoryview | bytearray, permissions: int) -> None:
        """Let DMA reach memory; address and length are multiples of 4096. permissions: vnic.abi.Map bits.

        The memory is kept alive for as long as the function.
        """
        view = memoryview(memory)
        pointer = ffi.from_buffer("uint8_t[]", view, require_writable=True)
        self._check(self._calls.map(self._enter(), iova, pointer, len(view), permissions), f"map {iova:#x}")
        self._native.keep(view)
        self._mapped[iova] = view, permissions
        self._after()

    def unmap(self, iova: int, length: int) -> None:
        """Take a range of bus addresses away."""
        self._check(self._calls.unmap(self._enter(), iova, length), f"unmap {iova:#x}+{length:#x}")
        self._forget(iova, length)
        self._after()

    def unmap_all(self) -> None:
        """Take all of host memory away."""
        self._calls.unmap_all(self._enter())
        self._mapped.clear()
        self._after()

    def _forget(self, iova: int, length: int) -> None:
        """Mappings that lie within are gone; of those that reach beyond, what is left stays."""
        whole = self._mapped.get(iova)
        if whole is not None and len(whole[0]) == length:
            del self._mapped[iova]
            return
        end = iova + length
        for start, (view, permissions) in list(self._mapped.items()):
            last = start + len(view)
            if start < end and iova < last:
                del self._mapped[start]
                if start < iova:
                    self._mapped[start] = view[: iova - start], permissions
                if end < last:
                    self._mapped[end] = view[end - start :], permissions

    def memory_at(self, iova: int, length: int) -> tuple[memoryview, int] | None:
        """What DMA reaches from a bus address on, up to `length` bytes, with its permissions; None: nothing.

        Less than `length` where the mapping ends before.
        """
        for start, (view, permissions) in self._mapped.items():
            if start <= iova < start + len(view):
                return view[iova - start : iova - start + length], permissions
        return None

    def answer_unmapped(self, answer: Answer | None) -> None:
        """Have DMA to what is not mapped answered by a callback; None: Unsupported Request."""
        self._native.set_answer(answer)

    # -- interrupts ------------------------------------------------------------------------------------------

    def connect_interrupts(self, sink: InterruptSink | None) -> None:
        """Interrupts go to `sink` from now on; None: they wait for interrupts()."""
        self._enter()
        self._interrupt_sink = sink
        self._access.is_listening = sink is not None
        self._after()

    def interrupts(self) -> list[Interrupt]:
        """Take the interrupts that wait, in their order."""
        self._enter()
        while self._take_interrupts():
            pass
        taken = list(self._backlog)
        self._backlog.clear()
        self._native.raise_failure()
        return taken

    # -- time and work ---------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Virtual time since power-on."""
        return self._calls.now(self._enter())

    def next_deadline_ns(self) -> int | None:
        """When time alone will next make the function do something; None: never, as things are."""
        deadline = self._calls.deadline(self._enter())
        return None if deadline == _NEVER else deadline

    def advance(self, now_ns: int) -> None:
        """Virtual time is `now_ns` now; TimeError when that is the past."""
        self._check(self._calls.advance(self._enter(), now_ns), f"advance to {now_ns}")
        if self._keeping:
            self._settle()  # what a fault kept may go out, with nothing to run
        else:
            self._after()

    @property
    def runnable(self) -> Sequence[int]:
        """The engines that could take a step, by number."""
        mask = self._calls.runnable(self._enter())
        return [part for part in range(mask.bit_length()) if mask >> part & 1]

    @property
    def is_idle(self) -> bool:
        """Whether no engine could take a step."""
        return self._calls.runnable(self._enter()) == 0

    @property
    def idle_steps(self) -> int:
        """An upper bound of the steps to rest from here."""
        return self._calls.idle_steps(self._enter())

    def step(self, part: int) -> bool:
        """One step of one engine; False when it had none to take."""
        taken = self._calls.step(self._enter(), part, ffi.new("uint64_t *"))
        self._native.raise_failure()
        return bool(taken)

    def run(self, budget: Budget = UNBOUNDED) -> Budget:
        """Run within a budget; what was used. In auto mode outputs are handed on afterwards."""
        self._calls.run(self._enter(), ffi.new("struct vnic_budget *", budget), self._used)
        used = Budget(self._used.steps, self._used.bytes)
        self._native.raise_failure()
        if self._access.is_auto:
            self._hand_on()
        return used

    # -- resets and snapshots --------------------------------------------------------------------------------

    def reset(self, level: ResetLevel = ResetLevel.HOT) -> None:
        """Reset from outside; those that a driver can ask for are register and configuration writes."""
        self._calls.reset(self._enter(), level)
        self._after()

    def remove(self) -> None:
        """Surprise removal: reads give all ones, nothing moves."""
        self._calls.remove(self._enter())
        self._after()

    def insert(self) -> None:
        """The function is back, as after a power cycle."""
        self._calls.insert(self._enter())
        self._after()

    def save(self) -> bytes:
        """The whole state, work pending included; mappings, observers and faults are not in it."""
        function = self._enter()
        size = self._calls.save(function, ffi.NULL, 0)
        image = bytearray(size)
        self._calls.save(function, ffi.from_buffer("uint8_t[]", image), size)
        return bytes(image)

    def load(self, image: bytes) -> None:
        """Become the function that was saved; after a SnapshotError it is as after a power cycle."""
        function = self._enter()
        self._backlog.clear()
        self._access.interrupts = 0
        self._check(self._calls.load(function, ffi.from_buffer("uint8_t[]", image), len(image)), "load")
        self._after()

    def state_hash(self) -> int:
        """64 bits over the state, equal for functions that behave alike."""
        return self._calls.state_hash(self._enter())

    @property
    def footprint(self) -> int:
        """Bytes that the function takes."""
        return self._calls.footprint(self._enter())

    # -- observation and faults ------------------------------------------------------------------------------

    def observe(self, observer: Observer, types: Iterable[EventType] = tuple(EventType)) -> Observation:
        """Call `observer` with each event of these types until cancelled; it must not use the function."""
        self._enter()
        observation = Observation(self._native, observer, types)
        self._native.attach(observation)
        return observation

    def mark(self, text: str) -> None:
        """Put a mark into the recording that is under way, if one is."""
        self._enter()
        self._native.mark(self.config.function or 0, self.now_ns, text)

    def arm(self, fault: Fault) -> FaultHandle:
        """Arm a fault; CapacityError when the registry is full, ArgumentError with the reason otherwise."""
        if (why := refusal(fault)) is not None:
            raise errors.ArgumentError(f"arm {fault}: {why}")
        number = self._calls.fault_arm(self._enter(), ffi.new("struct vnic_fault *", asdict(fault)))
        self._check(number, f"arm {fault}")
        if fault.action in _KEEPING:
            self._keeping.add(number)
        return FaultHandle(self, fault, number)

    def disarm(self, number: int) -> None:
        """Take a fault out; what it keeps goes its way at once."""
        self._check(self._calls.fault_disarm(self._enter(), number), f"disarm {number}")
        if number in self._keeping:
            self._keeping.remove(number)
            self._settle()
        else:
            self._after()

    def fault_fired(self, number: int) -> int:
        """How often a fault fired."""
        fired = self._calls.fault_fired(self._enter(), number)
        self._check(fired, f"fault {number}")
        return fired

    @property
    def fault_kept(self) -> int:
        """Writes, interrupts, frames and commands that faults keep for later."""
        return self._calls.fault_kept(self._enter())

    # -- what follows an input -------------------------------------------------------------------------------

    def _enter(self) -> Any:
        return self._native.enter()

    def _check(self, result: int, what: str) -> None:
        """Raise what a callback raised meanwhile, or what the result means."""
        self._native.raise_failure()
        check(result, what)

    def _after(self) -> None:
        if lib.vnic_access_has_work(self._access):
            self._settle()

    def _settle(self) -> None:
        """Run to rest and hand outputs on, until there is nothing more to do."""
        self._native.raise_failure()
        self._access.must_settle = False
        if not self._access.is_auto:
            return
        for _ in range(_ROUNDS):
            if self.is_closed:
                return
            self._calls.run(self._access.function, self._unbounded, self._used)
            self._native.raise_failure()
            if not self._hand_on():
                return
        raise errors.UnrestError(f"its outputs kept the device busy for {_ROUNDS} rounds")

    def _hand_on(self) -> bool:
        """Give outputs to who is connected; whether there were any."""
        return self._hand_on_interrupts()

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
        """Put some interrupts of the function in the backlog; whether there were any."""
        access = self._access
        if not access.interrupts and access.function:
            raw: vnic_interrupt = ffi.addressof(access, "interrupt", 0)
            access.interrupts = self._calls.interrupts(access.function, raw, _BATCH)
        count, access.interrupts = access.interrupts, 0
        for taken in access.interrupt[0:count]:
            kind = InterruptKind(taken.kind)
            self._backlog.append(Interrupt(kind, taken.vector, taken.addr, taken.data))
        return count > 0


def _weak_call(method: Callable[[], None]) -> Callable[[], None]:
    """Calls a method without keeping its object alive."""
    weak = weakref.WeakMethod(method)

    def call() -> None:
        strong = weak()
        if strong is not None:
            strong()

    return call
