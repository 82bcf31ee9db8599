"""The benchmarks of traces: what recording costs, how quickly traces are replayed and read, and memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from time import process_time_ns

from .card_access import imported
from .core_sources import CARD_ROOMS, COPY_ROOMS, CORE_FLAGS, sources_of
from .harness import Benchmark, Figures, Goal, InterleavedBenchmark, RoundError
from .program import ProgramContender
from .workshop import HERE, Workshop

FRAMES = (64, 1514)
SECONDS = 900
REPLAY_EVENTS, READ_EVENTS, STREAM_EVENTS = 1_000_000, 100_000, 10_000_000
MIB = 1 << 20
COMMAND, MEMORY, TEST_ECHO = 4, 2, "TEST_ECHO"


def packet_contender(size: int) -> ProgramContender:
    """The card's packet path with and without a recorder."""
    own = [HERE / name for name in ("trace_path.c", "card_bus.c", "flow_frames.c", "poll_driver.c")]
    core = sorted({*sources_of(*CARD_ROOMS), *sources_of(*COPY_ROOMS), *sources_of("trace")})
    return ProgramContender(
        f"recorded card, {size} B", [*own, *core], flags=CORE_FLAGS, arguments=[str(size)]
    )


def write_accesses(path: Path, events: int) -> None:
    """A trace of a card whose registers are written, read and which is told of the time, in turn."""
    device_module, trace = imported("vnic.device"), imported("vnic.trace")
    echo = getattr(imported("vnic.gen.registers").BAR0, TEST_ECHO).offset
    with device_module.Device(manual=True) as device, trace.Recorder(path, device):
        device.config_write(COMMAND, MEMORY, 2)
        for number in range(events // 3):
            device.write32(echo, number & 0xFFFF_FFFF)
            device.read32(echo)
            device.advance(number)


class Contender:
    """Something in Python that works on files in a folder of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder: Path | None = None

    def start(self, shop: Workshop) -> None:
        """Make the folder, and see that the package is there."""
        imported("vnic.trace")
        self._folder = Path(tempfile.mkdtemp(prefix="vnic-perf-"))

    @property
    def folder(self) -> Path:
        """The folder; RoundError before start."""
        if self._folder is None:
            raise RoundError("was not started")
        return self._folder

    def stop(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None


def child(*words: str) -> tuple[int, str]:
    """CPU nanoseconds of a Python process with these arguments, and what it printed; RoundError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RoundError(f"{' '.join(words)}: {done.stderr.strip()[-200:]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(spent * 1e9), done.stdout


# -- vnic run ------------------------------------------------------------------------------------------------


class RunContender(Contender):
    """`vnic run` of the shipped capture with and without --record: as a process, and within one."""

    def round(self, effort: float) -> Figures:
        """CPU time of each; the figures of both have to be the same."""
        record = ["--record", str(self.folder / "run.pcapng")]
        base = ["-m", "vnic", "run", "--json"]
        plain_ns, plain = child(*base)
        record_ns, recorded = child(*base, *record)
        if plain != recorded:
            raise RoundError("a run that is recorded gives other figures")
        return {
            "vnic run": plain_ns,
            "vnic run --record": record_ns,
            "run without start": self._within([]),
            "run --record without start": self._within(record),
        }

    @staticmethod
    def _within(more: list[str]) -> float:
        """CPU time of the command in this process."""
        cli = imported("vnic.cli")
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            start = process_time_ns()
            if cli.main(["run", "--json", *more]):
                raise RoundError("the run fails")
            return process_time_ns() - start


# -- replay --------------------------------------------------------------------------------------------------


class ReplayContender(Contender):
    """Strict replay: a run of packets, and accesses to registers alone."""

    def start(self, shop: Workshop) -> None:
        """Record both."""
        super().start(shop)
        child("-m", "vnic", "run", "--json", "--record", str(self.folder / "packets.pcapng"))
        write_accesses(self.folder / "registers.pcapng", REPLAY_EVENTS)

    def round(self, effort: float) -> Figures:
        """Nanoseconds an event."""
        return {
            "replay of packets": self._replay("packets"),
            "replay of registers": self._replay("registers"),
        }

    def _replay(self, name: str) -> float:
        trace = imported("vnic.trace")
        start = process_time_ns()
        with trace.Replay(self.folder / f"{name}.pcapng") as replay:
            outcome = replay.run()
            spent = process_time_ns() - start
            for device in replay.devices.values():
                device.close()
            if outcome is not trace.Outcome.END:
                raise RoundError(f"the replay of {name} ends as {outcome.name}")
            return float(spent / replay.events)


class ReadContender(Contender):
    """A trace read event by event in Python, and dumped as text."""

    def start(self, shop: Workshop) -> None:
        """Record one."""
        super().start(shop)
        write_accesses(self.folder / "a.pcapng", READ_EVENTS)

    def round(self, effort: float) -> Figures:
        """Nanoseconds an event."""
        return {"read": self._read(), "dump": self._dump()}

    def _read(self) -> float:
        trace = imported("vnic.trace")
        start = process_time_ns()
        with trace.TraceReader(self.folder / "a.pcapng") as reader:
            count = sum(1 for _ in reader)
        return (process_time_ns() - start) / count

    def _dump(self) -> float:
        spent, text = child("-m", "vnic", "trace", "dump", str(self.folder / "a.pcapng"))
        return spent / text.count("\n")


# -- memory --------------------------------------------------------------------------------------------------

_PEAK = """
import json, resource, sys
from vnic import trace
path, kind = sys.argv[1:]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if kind == "replay":
    with trace.Replay(path) as replay:
        before = peak()
        assert replay.run() is trace.Outcome.END
        events = replay.events
else:
    with trace.TraceReader(path) as reader:
        before = peak()
        events = sum(1 for _ in reader)
print(json.dumps({"events": events, "grown": peak() - before}))
"""


class StreamContender(Contender):
    """Peak memory of a replay and of a reader over ten million events, beyond what they begin with."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._known: dict[float, Figures] = {}

    def round(self, effort: float) -> Figures:
        """MiB; measured once for each effort: memory does not vary as time does, and this takes minutes."""
        if effort not in self._known:
            path, events = self.folder / "stream.pcapng", int(STREAM_EVENTS * effort)
            write_accesses(path, events)
            self._known[effort] = {
                "replay": self._grown(path, events, "replay"),
                "read": self._grown(path, events, "read"),
                "the file": path.stat().st_size / MIB,
            }
            path.unlink()
        return self._known[effort]

    @staticmethod
    def _grown(path: Path, events: int, kind: str) -> float:
        found = json.loads(child("-c", _PEAK, str(path), kind)[1])
        if found["events"] < events // 3 * 3:
            raise RoundError(f"{kind}: {found['events']} of {events} events")
        return float(found["grown"] / MIB)


# -- the rows ------------------------------------------------------------------------------------------------


def record() -> InterleavedBenchmark:
    """What a recorder costs the packet path."""
    bytes_of_trace = [f"{mode}, a byte of trace {size} B" for mode in ("full", "compact") for size in FRAMES]
    return InterleavedBenchmark(
        "trace-record",
        "one frame, transmit ring to receive ring, bursts of 32, recorded into a sink that costs nothing; "
        "what an event and a byte of the trace cost on top",
        [packet_contender(size) for size in FRAMES],
        [
            Goal(f"{size} B frame", f"recorded {how} {size} B", (f"not recorded {size} B",))
            for size in FRAMES
            for how in ("in full", "compactly")
        ],
        payloads=dict.fromkeys(bytes_of_trace, 1),
        rate="GB/s",
    )


def run() -> InterleavedBenchmark:
    """What --record costs `vnic run`."""
    return InterleavedBenchmark(
        "trace-run",
        "`vnic run` of the shipped capture, CPU time of a whole process, and without its start",
        [RunContender("vnic run")],
        [
            Goal("a run", "vnic run --record", ("vnic run",), at_least=1 / 1.3),
            Goal("without start", "run --record without start", ("run without start",), at_least=1 / 1.3),
        ],
    )


def replay() -> InterleavedBenchmark:
    """How quickly a trace is replayed."""
    return InterleavedBenchmark(
        "trace-replay",
        "an event of a trace, replayed strictly",
        [ReplayContender("replay")],
        [Goal("an event", f"replay of {what}", at_most=1000) for what in ("packets", "registers")],
    )


def read() -> InterleavedBenchmark:
    """How quickly a trace is read in Python."""
    return InterleavedBenchmark(
        "trace-read",
        "an event of a trace, read in Python, and as a line of `vnic trace dump`: 1,000 ns are a second for "
        "a million",
        [ReadContender("read")],
        [Goal("an event", "read"), Goal("an event", "dump", at_most=30_000)],
    )


def stream() -> InterleavedBenchmark:
    """How much memory a large trace takes."""
    return InterleavedBenchmark(
        "trace-stream",
        f"memory that a trace of {STREAM_EVENTS:,} events takes while it is replayed, and read in Python",
        [StreamContender("stream")],
        [Goal("replay", "replay", at_most=8, unit="MiB"), Goal("read", "read", at_most=8, unit="MiB")],
        unit="MiB",
    )


def trace_benchmarks() -> list[Benchmark]:
    """All rows."""
    return [record(), run(), replay(), read(), stream()]
