"""Who holds what on a copy engine: clients that wait, channels that stand still, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vnic.copy_engine import CopyEngine
from vnic.errors import InsideError
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, COPY_BAR0
from vnic.testbench.lookahead import Lookahead

if TYPE_CHECKING:
    from vnic.testbench.copy_bench import CopyBench


def who_holds_copies(bench: CopyBench) -> str:
    """A line for each thing; it may be asked for at any time, and changes nothing."""
    lines = [f"who holds what on the copy engine, at {bench.clock.now_ns} ns:"]
    lines += [f"  {line}" for line in (*_clients(bench), *_function(bench), *bench.holding())]
    return "\n".join(lines)


def _clients(bench: CopyBench) -> Iterator[str]:
    for number, channel in enumerate(bench.interface.channels):
        if channel.outstanding:
            state = channel.handle.state.value
            yield f"client channel {number}: {channel.outstanding} copies outstanding, {state}"


def _function(bench: CopyBench) -> list[str]:
    engine: object = bench.engine
    if not isinstance(engine, CopyEngine):
        return [f"of the function ({type(engine).__name__}) nothing is known"]
    if engine.is_closed:
        return ["the engine is closed"]
    try:
        return list(_engine(engine))
    except InsideError:
        return ["of the engine nothing is known now: it is in the middle of a call"]


def _engine(engine: CopyEngine) -> Iterator[str]:
    mode = " (manual: it waits for steps)" if engine.is_manual else ""
    parts = ", ".join(str(part) for part in engine.runnable) or "none"
    yield f"channels that could take a step: {parts}{mode}"
    lookahead = Lookahead(engine)
    try:
        yield from _registers(lookahead.copy())
    finally:
        lookahead.close()


def _registers(engine: CopyEngine) -> Iterator[str]:
    if engine.config_read(0) == 0xFFFF_FFFF:
        yield "the engine is removed: reads give all ones"
        return
    command = CONFIG.COMMAND.decode(engine.config_read(CONFIG.COMMAND.offset))
    if not command["MEMORY"] or not command["MASTER"]:
        yield "Memory Space Enable or Bus Master Enable is clear"
        return
    if not COPY_BAR0.GENERAL.decode(engine.read32(COPY_BAR0.GENERAL.offset))["MASTER_INT_EN"]:
        yield "GENERAL.MASTER_INT_EN is clear: no interrupt"
    for channel in range(engine.config.channels or 0):
        text = _channel(engine, channel)
        if text:
            yield f"channel {channel}: {text}"


def _channel(engine: CopyEngine, channel: int) -> str:
    status = ChanStatus(COPY_BAR0.CHANSTS.decode(engine.read64(COPY_BAR0.CHANSTS.at(channel)))["STATUS"])
    raw = COPY_BAR0.CHANERR.decode(engine.read32(COPY_BAR0.CHANERR.at(channel)))
    errors = ", ".join(name for name, is_set in raw.items() if is_set)
    if errors:
        return f"{status.name}, CHANERR {errors}"
    return status.name if status in (ChanStatus.ACTIVE, ChanStatus.SUSPENDED) else ""
