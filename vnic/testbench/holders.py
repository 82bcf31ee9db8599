"""Who holds what in a bench: the report of a test that hangs, and of a machine that does not come to rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from vnic.abi import Engine, InterruptKind
from vnic.device import Device
from vnic.errors import InsideError
from vnic.gen.enums import RingError
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.cpu import Kind, Level, Processors
from vnic.ndis.adapter import Adapter
from vnic.ndis.verifier import Call, Verifier
from vnic.testbench.lookahead import Lookahead

if TYPE_CHECKING:
    from vnic.testbench.bench import Bench

_MOST = 8
_RINGS = ("RX", "TX", "CQ")


def who_holds(bench: Bench) -> str:
    """NBLs and OID requests with the call since when, locks, levels, interrupts, engines, timers, holds."""
    lines = [f"who holds what, at {bench.clock.now_ns} ns:"]
    lines += [f"  {line}" for line in _parts(bench)]
    return "\n".join(lines)


def _parts(bench: Bench) -> Iterator[str]:
    yield from _adapter(bench.adapter)
    yield from _protocol(bench)
    yield from _processors(bench.processors)
    yield from _function(bench)
    yield from _timers(bench)
    yield from bench.holding()


# -- NDIS ----------------------------------------------------------------------------------------------------


def _adapter(adapter: Adapter) -> Iterator[str]:
    resetting = ", a reset is in progress" if adapter.is_resetting else ""
    yield f"adapter {adapter.name}: {adapter.state.value}{resetting}"
    driver = adapter.verifier.name_of(adapter.miniport)
    sends = [
        (f"a send of {Verifier.name_of(send.originator.driver)}", send.since)
        for _, send in adapter.sends.away()
    ]
    yield from _listed(f"NBLs were given to {driver}", sends)
    received = [
        (f"an indicated NBL at {Verifier.name_of(each.receiver.driver)}", each.since)
        for _, each in adapter.receives.away()
    ]
    yield from _listed("protocols have NBLs", received)
    if adapter.receives.calls_in_progress:
        yield f"{adapter.receives.calls_in_progress} receive indications have not returned"
    yield from _oids(adapter, driver)
    yield from _chimney(adapter)
    if adapter.outstanding_timers():
        yield f"{driver} has {adapter.outstanding_timers()} timers armed or about to run"


def _oids(adapter: Adapter, driver: str) -> Iterator[str]:
    if not adapter.state.takes_oids:
        return
    queue = adapter.oids.queue
    if queue.current is not None:
        yield from _listed(
            f"an OID request was given to {driver}", [(str(queue.current.request), queue.current.since)]
        )
    held = " (NDIS holds them: a reset)" if queue.is_held else ""
    yield from _listed(f"OID requests wait for it{held}", [(str(e.request), e.since) for e in queue.waiting])


def _chimney(adapter: Adapter) -> Iterator[str]:
    live = adapter.chimney.registry.live
    objects = [
        (f"{each}, {each.phase.name}", each.calls[-1] if each.calls else None)
        for each in sorted(live, key=str)
    ]
    yield from _listed("offloaded objects", objects)
    if adapter.chimney.control.outstanding():
        yield f"{adapter.chimney.control.outstanding()} chimney control calls are not complete"
    if adapter.chimney.inbox.outstanding():
        yield f"{adapter.chimney.inbox.outstanding()} chimney indications are not returned"


def _protocol(bench: Bench) -> Iterator[str]:
    if bench.protocol.held:
        yield f"the protocol keeps {len(bench.protocol.held)} NBLs until release()"


def _listed(what: str, things: Iterable[tuple[str, Call | None]]) -> Iterator[str]:
    """A heading with the number, and the first of them with the call by which they came."""
    all_of = list(things)
    if not all_of:
        return
    yield f"{what}: {len(all_of)}"
    for text, since in all_of[:_MOST]:
        when = f", since {since.time_ns} ns: {since.text}" if since is not None else ""
        yield f"  {text}{when}"
    if len(all_of) > _MOST:
        yield f"  and {len(all_of) - _MOST} more"


# -- the processors ------------------------------------------------------------------------------------------


def _processors(processors: Processors) -> Iterator[str]:
    for number in range(len(processors)):
        if processors[number].level != Level.PASSIVE:
            running = ", it runs now" if number == processors.current else ""
            yield f"processor {number} is at {processors[number].level.name}{running}"
    for lock in processors.locks:
        yield f"spin lock {lock.name!r} is held by processor {lock.owner}"
    for item in processors.pending[:_MOST]:
        kind = {Kind.INTERRUPT: "an interrupt", Kind.DPC: "a DPC", Kind.WORK: "a work item"}[item.kind]
        yield f"{kind} waits for processor {item.cpu}: {item.name}"
    if len(processors.pending) > _MOST:
        yield f"  and {len(processors.pending) - _MOST} more wait"


# -- the function --------------------------------------------------------------------------------------------


def _function(bench: Bench) -> list[str]:
    """The report may be asked for in the middle of a callback, where nobody may use the device."""
    try:
        return list(_device(bench))
    except InsideError:
        return ["of the device nothing is known now: it is in the middle of a call"]


def _device(bench: Bench) -> Iterator[str]:
    device: object = bench.device
    if not isinstance(device, Device):
        yield f"of the function ({type(device).__name__}) nothing is known"
        return
    if device.is_closed:
        yield "the device is closed"
        return
    mode = " (manual: it waits for steps)" if device.is_manual else ""
    names = ", ".join(Engine(engine).name for engine in device.runnable) or "none"
    yield f"engines that could take a step: {names}{mode}"
    deadline_ns = device.next_deadline_ns()
    if deadline_ns is not None:
        yield f"the device does something by itself at {deadline_ns} ns"
    lookahead = Lookahead(device)
    try:
        yield from _registers(lookahead.copy(), bench)
    finally:
        lookahead.close()


def _registers(device: Device, bench: Bench) -> Iterator[str]:
    if device.config_read(0) == 0xFFFF_FFFF:
        yield "the device is removed: reads give all ones"
        return
    command = CONFIG.COMMAND.decode(device.config_read(CONFIG.COMMAND.offset))
    if not command["MEMORY"]:
        yield "Memory Space Enable is clear: no register decodes"
        return
    if not command["MASTER"]:
        yield "Bus Master Enable is clear: no DMA, no message"
    yield from _rings(device)
    yield from _interrupts(device, bench)


def _get(device: Device, register: Register, index: int = 0) -> int:
    return device.read(0, register.at(index), register.bytes)


def _rings(device: Device) -> Iterator[str]:
    for pair in range(device.config.queue_pairs or 0):
        for ring in _RINGS:
            text = _ring(device, ring, pair)
            if text:
                yield f"pair {pair} {ring}: {text}"


def _ring(device: Device, ring: str, pair: int) -> str:
    def get(name: str) -> int:
        return _get(device, BAR0.MAP[f"QP_{ring}_{name}"], pair)

    status = BAR0.MAP[f"QP_{ring}_STATUS"].decode(get("STATUS"))
    error = RingError(status["ERROR"])
    if error:
        return f"stopped by {error.name}, head {get('HEAD')}, tail {get('TAIL')}"
    count = get("COUNT")
    if not status["RUNNING"] or not count:
        return ""
    left = (get("TAIL") - get("HEAD")) % count
    if ring == "TX":
        return f"{left} descriptors to send, head {get('HEAD')} of {count}" if left else ""
    return f"none left for the device, head = tail = {get('HEAD')} of {count}" if not left else ""


def _interrupts(device: Device, bench: Bench) -> Iterator[str]:
    if not _get(device, BAR0.INT_CTRL) & BAR0.INT_CTRL.field("MASTER_ENABLE").mask:
        yield "INT_CTRL.MASTER_ENABLE is clear: no vector is raised"
    vectors = bench.system.vectors
    kind = vectors.scheme.kind if vectors.is_allocated else None
    for vector in range(device.config.vectors or 0):
        faults = list(_vector(device, vector, kind))
        if faults and _get(device, BAR0.VEC_STATUS, vector):
            yield f"vector {vector} has something to say, but {', '.join(faults)}"
    if vectors.is_allocated:
        for irq in vectors.scheme.irqs:
            if irq.handler is None and irq.unhandled:
                yield f"interrupt {irq.number} came {irq.unhandled} times with no handler connected"
    else:
        yield "no interrupt vectors are allocated"
    if bench.controller.stray_count:
        yield f"{bench.controller.stray_count} messages named no interrupt"


def _vector(device: Device, vector: int, kind: InterruptKind | None) -> Iterator[str]:
    control: dict[str, Any] = BAR0.VEC_CTRL.decode(_get(device, BAR0.VEC_CTRL, vector))
    if not control["ENABLE"]:
        yield "VEC_CTRL.ENABLE is clear"
    if kind == InterruptKind.MSIX and device.read(2, MSIX_TABLE.ENTRY_CTRL.at(vector)) & 1:
        yield "its MSI-X entry is masked"


# -- time ----------------------------------------------------------------------------------------------------


def _timers(bench: Bench) -> Iterator[str]:
    for timer in bench.clock.armed[:_MOST]:
        name = getattr(timer.callback, "__qualname__", repr(timer.callback))
        yield f"a timer fires at {timer.deadline_ns} ns: {name}"
