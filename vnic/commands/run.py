"""`vnic run`: a capture, or with --chimney or --netdma connections, through card and driver: is it right."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from importlib.resources import files
from pathlib import Path

from vnic.commands import chimney
from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError
from vnic.link.capture import CaptureWriter
from vnic.ndis.rss import SECRET_KEY_BYTES, HashType
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import RSS_KEY, Bench
from vnic.testbench.fault_plan import FaultPlan, Rule
from vnic.testbench.fault_plan_handle import PlanHandle, arm
from vnic.testbench.fault_plan_text import format_rule, parse_rule
from vnic.testbench.passage import Indication, Outcome, Passage, Share
from vnic.trace.ambient import recording
from vnic.wire.capture import CapturedFrame, open_capture
from vnic.wire.capture_source import CaptureError
from vnic.wire.pcapng import Direction

SHIPPED = "flows.pcap"
QUEUES_MAX = 32
CPUS_MAX = 64
FRAME_MAX = 65535
_PROGRESS_AFTER_S = 1.0
_TYPE_NAMES = {(name or "").lower(): value for name, value in HashType.__members__.items()}
_EVERY_TYPE = HashType(sum(_TYPE_NAMES.values()))


# ---- arguments ---------------------------------------------------------------------------------------------


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "capture",
        nargs="?",
        metavar="CAPTURE",
        help="pcap or pcapng, may be .gz; default: one that is shipped",
    )
    parser.add_argument(
        "--queues", type=_between(1, QUEUES_MAX), default=4, metavar="N", help="queue pairs of the card (4)"
    )
    parser.add_argument(
        "--cpus", type=_between(1, CPUS_MAX), default=4, metavar="N", help="processors of the host (4)"
    )
    parser.add_argument(
        "--rss-types",
        type=_types,
        default=_EVERY_TYPE,
        metavar="LIST",
        help=f"hash types with commas between, or all, none; of {', '.join(_TYPE_NAMES)}",
    )
    parser.add_argument(
        "--key", type=_key, default=RSS_KEY, metavar="HEX", help="secret key, 80 hex digits (Microsoft's)"
    )
    parser.add_argument(
        "--interrupt", choices=("msix", "msi", "line"), default="msix", help="how the card interrupts (msix)"
    )
    parser.add_argument("--no-moderation", action="store_true", help="an interrupt for every cause")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="let other processors get ahead at random points, by this seed"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.pcapng", help="write what was indicated, with RSS hash and queue"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="keep a trace of what happens; see `vnic trace --help`"
    )
    parser.add_argument(
        "--fault",
        action="append",
        type=_rule,
        default=[],
        metavar="RULE",
        help="let something go wrong, like 'interrupt vector=1 drop every=10'; may be given again; "
        "chances are drawn by --seed",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    chimney.declare(parser)


def _between(least: int, most: int) -> type[int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return number  # type: ignore[return-value]


def _types(text: str) -> HashType:
    if text in ("all", "none"):
        return _EVERY_TYPE if text == "all" else HashType(0)
    unknown = [name for name in text.split(",") if name not in _TYPE_NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no hash type {unknown[0]!r}; there are {', '.join(_TYPE_NAMES)}, all, none"
        )
    return HashType(sum({_TYPE_NAMES[name] for name in text.split(",")}))


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError("the key is not hexadecimal") from None
    if len(key) != SECRET_KEY_BYTES:
        raise argparse.ArgumentTypeError(f"the key has {len(key)} bytes, not {SECRET_KEY_BYTES}")
    return key


def _rule(text: str) -> Rule:
    try:
        return parse_rule(text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# ---- the run -----------------------------------------------------------------------------------------------


class Source:
    """The capture's frames; an error of the file is kept until everything before it went through."""

    def __init__(self, path: Path, shows_progress: bool) -> None:
        self.error: CaptureError | None = None
        self.cut = 0
        self._path = path
        self._shows_progress = shows_progress
        self._started = time.monotonic()
        self._shown = self._started + _PROGRESS_AFTER_S

    def __iter__(self) -> Iterator[CapturedFrame]:
        try:
            with open_capture(self._path) as capture:
                for frame in capture:
                    if frame.is_cut:
                        self.cut += 1
                        continue
                    self._show(capture.position(), capture.size)
                    yield frame
        except CaptureError as error:
            self.error = error
        finally:
            if self._shown > self._started + _PROGRESS_AFTER_S:
                print(end="\r\x1b[K", file=sys.stderr)

    def _show(self, position: int, size: int | None) -> None:
        if not self._shows_progress or time.monotonic() < self._shown:
            return
        self._shown = time.monotonic() + 0.2
        done = f"{position / size:.0%}" if size else f"{position:,} bytes"
        print(f"\r{self._path.name}: {done}\x1b[K", end="", file=sys.stderr, flush=True)


def execute(options: argparse.Namespace) -> int:
    """Run; 0: every frame was delivered or dropped with a reason, and came back; 1: not; 2: bad capture."""
    with recording(options.record) if options.record else nullcontext():
        return _execute(options)


def _execute(options: argparse.Namespace) -> int:
    if options.chimney or options.netdma:
        if options.fault:
            raise ArgumentError("--fault is for captures")
        return chimney.execute(options)
    path = Path(options.capture) if options.capture else Path(str(files("vnic") / "data" / SHIPPED))
    source = Source(path, sys.stderr.isatty() and not options.json)
    try:
        outcome, faults = _push(source, options)
    except OSError as error:
        raise ArgumentError(f"{error.filename or path}: {error.strerror}") from error
    if options.json or outcome.frames or source.error is None:
        (_print_json if options.json else _print_text)(outcome, source, path, faults)
    if source.error is not None:
        print(f"vnic: {path}: {source.error}", file=sys.stderr)
        return 2
    return 1 if outcome.problems else 0


def _make_bench(options: argparse.Namespace) -> Bench:
    keywords = {
        "*NumRssQueues": options.queues,
        "*MaxRssProcessors": options.cpus,
        "*InterruptModeration": 0 if options.no_moderation else 1,
        "*JumboPacket": 9014,
    }
    return Bench(
        queues=options.queues,
        cpus=options.cpus,
        seed=options.seed,
        interrupt=options.interrupt,
        keywords=keywords,
        checks_hashes=False,
    )


def _push(source: Source, options: argparse.Namespace) -> tuple[Outcome, PlanHandle]:
    with ExitStack() as stack:
        writer = stack.enter_context(CaptureWriter(options.out)) if options.out else None
        bench = stack.enter_context(_make_bench(options))
        if options.rss_types:
            status = bench.set_rss(types=int(options.rss_types), key=options.key)
            if status != NDIS_STATUS.SUCCESS:
                raise ArgumentError(f"the driver refuses this RSS configuration: {status!s}")
        faults = stack.enter_context(arm(bench, FaultPlan(tuple(options.fault), options.seed or 0)))
        passage = Passage(bench, int(options.rss_types), options.key)
        for indications in passage.run(source):
            if writer is not None:
                _write(writer, indications)
        return passage.outcome, faults


def _write(writer: CaptureWriter, indications: Iterable[Indication]) -> None:
    for indication in indications:
        writer.record(
            indication.data,
            indication.source.time_ns,
            direction=Direction.INBOUND,
            toeplitz=indication.hash_value if indication.hash_type else None,
            queue=indication.queue,
        )


# ---- what is shown -----------------------------------------------------------------------------------------


def _shares(shares: dict[int, Share]) -> list[tuple[int, int, int, int]]:
    return [(number, share.frames, share.bytes, len(share.flows)) for number, share in sorted(shares.items())]


def _fired(faults: PlanHandle) -> list[tuple[str, int]]:
    rules = enumerate(faults.plan.rules)
    return [(format_rule(rule), faults.fired_of(number)) for number, rule in rules]


def _print_text(outcome: Outcome, source: Source, path: Path, faults: PlanHandle) -> None:
    columns = ("frames", "bytes", "flows")
    print(f"{path.name}: {outcome.frames:,} frames, {outcome.bytes:,} bytes, {len(outcome.flows):,} flows")
    print_tables(
        [
            Table("Queues", ("queue", *columns), list(_shares(outcome.queues)), bar=1),
            Table("Processors", ("cpu", *columns), list(_shares(outcome.cpus)), bar=1),
            Table("Hash types", ("type", "frames"), list(outcome.hash_types.most_common()), bar=1),
            Table("Drops", ("reason", "frames"), list(outcome.drops.most_common())),
            Table(
                "Interrupts",
                ("what", "count"),
                [
                    ("interrupts before moderation", outcome.causes),
                    ("interrupts after moderation", outcome.interrupts),
                    ("DPCs", outcome.dpcs),
                ],
            ),
            Table("Faults", ("rule", "fired"), list(_fired(faults))),
            Table("Problems", ("what", "frames"), list(outcome.problems.most_common())),
        ]
    )
    print()
    if source.cut:
        print(f"{source.cut:,} frames are cut short in the capture and were left out")
    print(_verdict(outcome))


def _verdict(outcome: Outcome) -> str:
    if outcome.problems:
        return f"NOT RIGHT: {', '.join(f'{what} ({count:,})' for what, count in outcome.problems.items())}"
    return (
        f"{outcome.delivered:,} of {outcome.frames:,} frames indicated byte for byte, "
        f"{outcome.hashed:,} hashes as the reference, order kept in all {len(outcome.flows):,} flows; "
        f"{outcome.returned:,} sent back out byte for byte"
    )


def _print_json(outcome: Outcome, source: Source, path: Path, faults: PlanHandle) -> None:
    def shares(found: dict[int, Share]) -> dict[str, dict[str, int]]:
        return {str(n): {"frames": f, "bytes": b, "flows": w} for n, f, b, w in _shares(found)}

    print(
        json.dumps(
            {
                "capture": os.fspath(path),
                "frames": outcome.frames,
                "bytes": outcome.bytes,
                "cut": source.cut,
                "flows": len(outcome.flows),
                "delivered": outcome.delivered,
                "returned": outcome.returned,
                "queues": shares(outcome.queues),
                "cpus": shares(outcome.cpus),
                "hash_types": dict(outcome.hash_types),
                "drops": dict(outcome.drops),
                "causes": outcome.causes,
                "interrupts": outcome.interrupts,
                "dpcs": outcome.dpcs,
                "faults": [{"rule": rule, "fired": fired} for rule, fired in _fired(faults)],
                "problems": dict(outcome.problems),
                "error": str(source.error) if source.error else None,
            },
            indent=2,
        )
    )
