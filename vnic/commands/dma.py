"""`vnic dma`: memory or a file copied by the engine, through NetDMA: is it right, how fast, beside memcpy."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import closing
from pathlib import Path

from vnic.commands.dma_copies import TRANSFER_MAX, Copies
from vnic.commands.dma_file import copy_file
from vnic.commands.dma_tally import Plan, Tally
from vnic.commands.meter import make_meter, rate_text, size_text
from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError

_CHANNELS_MAX = 16
_TOTAL_MAX = 1 << 40
_FAULTS_MAX = 10_000
_COPIES = 2048
_MEMORY_BYTES = 32 << 20
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

# ---- arguments ---------------------------------------------------------------------------------------------

_DESCRIPTION = """\
Copies memory, or with --file a file, by the virtual copy engine (DMA channels laid out as Intel I/OAT),
through its NetDMA provider, and compares every byte. Prints what it took: descriptors, completions,
interrupts, errors, and the rate beside this machine's memcpy. Rates are processor time of the simulation:
they say what it costs to run it, not how fast an engine in hardware would be.
"""
_EPILOG = """\
Sizes take k, M, G (1024 each). Exit status: 0 every byte is right, 1 it is not, 2 the call is wrong or a file
cannot be read or written.
  vnic dma --size 4k --hot             pages, over and over the same ones
  vnic dma --file big.iso copy.iso     a file
  vnic dma --faults 20 --seed 7        DMA goes wrong 20 times; the copy is right even so
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    add = parser.add_argument
    add("--file", nargs=2, type=Path, metavar=("SRC", "DST"), help="copy a file; default: memory")
    add(
        "--bytes", type=_size(1, _TOTAL_MAX), metavar="BYTES",
        help=f"how much memory to copy ({_COPIES:,} copies, but at most {_MEMORY_BYTES >> 20} MiB)",
    )  # fmt: skip
    add(
        "--size", type=_size(1, TRANSFER_MAX), default=1 << 16, metavar="BYTES",
        help=f"length of one copy, at most the engine's largest transfer, {TRANSFER_MAX >> 20} MiB (64k)",
    )  # fmt: skip
    add(
        "--channels", type=_size(1, _CHANNELS_MAX), default=4, metavar="N",
        help="DMA channels, which get the copies in turn (4)",
    )  # fmt: skip
    add(
        "--hot", action="store_true",
        help="the copies of a channel all use the same two buffers; by default they go through memory",
    )  # fmt: skip
    add(
        "--no-iommu", action="store_true",
        help="memory is in one piece for the engine; by default each copy is mapped, its pages lie anywhere",
    )  # fmt: skip
    add("--interrupt", choices=("msix", "msi", "line"), default="msix", help="how it interrupts (msix)")
    add(
        "--version", choices=("1.0", "1.1", "2.0", "2.1"), default="2.0",
        help="of the provider: before 2.0 chains end with NULL and there are no page breaks (2.0)",
    )  # fmt: skip
    add(
        "--faults", type=_size(0, _FAULTS_MAX), default=0, metavar="N",
        help="DMA transfers, and interrupts, that go wrong; what they stop, the processor copies (0)",
    )  # fmt: skip
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="where pages lie, what is copied, what goes wrong (0)",
    )
    add("--json", action="store_true", help="print JSON instead of tables")


def _size(least: int, most: int) -> type[int]:
    def number(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,18})([kmg]?)", text.lower(), re.ASCII)
        value = int(found[1]) * _UNITS[found[2]] if found else -1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:,} to {most:,}")
        return value

    return number  # type: ignore[return-value]


def _plan(options: argparse.Namespace) -> Plan:
    major, minor = (int(part) for part in options.version.split("."))
    return Plan(
        channels=options.channels,
        size=options.size,
        is_hot=options.hot,
        has_iommu=not options.no_iommu,
        interrupt=options.interrupt,
        version=(major, minor),
        faults=options.faults,
        seed=options.seed,
    )


# ---- the run -----------------------------------------------------------------------------------------------


def execute(options: argparse.Namespace) -> int:
    """Copy; 0: every byte is right, 1: not; ArgumentError: the call is wrong."""
    if options.file and (options.bytes is not None or options.hot):
        raise ArgumentError("--bytes and --hot are of memory, not of --file")
    what = f"{options.file[0]} to {options.file[1]}" if options.file else "memory"
    meter = make_meter(options.file[0].name if options.file else what, quiet=options.json)
    with closing(meter), Copies(_plan(options), meter.show) as copies:
        if options.file:
            is_right = copy_file(copies, *options.file)
        else:
            is_right = copies.copy_memory(options.bytes or min(_COPIES * options.size, _MEMORY_BYTES))
    (_print_json if options.json else _print_text)(what, copies.plan, copies.tally, is_right)
    return 0 if is_right else 1


# ---- what is shown -----------------------------------------------------------------------------------------


def _print_text(what: str, plan: Plan, tally: Tally, is_right: bool) -> None:
    pages = "each mapped by an IOMMU, page by page" if plan.has_iommu else "memory in one piece"
    where = "always the same buffers (hot)" if plan.is_hot else "each in a place of its own (cold)"
    print(f"{what}: {tally.bytes:,} bytes by {plan.channels} channels of a NetDMA {_version(plan)} provider")
    print(f"{tally.copies:,} copies of {plan.size:,} bytes, {where}, {pages}")
    print_tables([_speed_table(tally), _counts_table(tally), _errors_table(tally)])
    print()
    print(_verdict(tally, is_right))


def _version(plan: Plan) -> str:
    return ".".join(map(str, plan.version))


def _speed_table(tally: Tally) -> Table:
    table = Table("Speed: processor time, median of the batches", ("copied by", "rate", "ns a copy"))
    for name, speed in tally.speeds().items():
        table.rows.append((name, rate_text(speed.bytes, speed.seconds), round(speed.ns_per_copy)))
    return table


def _counts_table(tally: Tally) -> Table:
    return Table(
        "Counts",
        ("what", "count"),
        [
            ("copies by the engine", tally.copies - tally.by_processor),
            ("copies by the processor instead", tally.by_processor),
            ("descriptors given to it", tally.descriptors),
            ("completions (done was called)", tally.completions),
            ("interrupts", tally.interrupts),
            ("interrupts lost, made up for by looking", tally.lost_interrupts),
        ],
    )


def _errors_table(tally: Tally) -> Table:
    rows: list[tuple[str, int]] = [(f"CHANERR {name}", count) for name, count in sorted(tally.errors.items())]
    if tally.faults_armed:
        rows.insert(0, ("faults that hit", tally.faults_fired))
        rows.append(("copies that ended with an error", tally.failures))
    return Table("Errors", ("what", "count"), list(rows))


def _verdict(tally: Tally, is_right: bool) -> str:
    if not is_right:
        return f"NOT RIGHT: {tally.wrong or 'the copy differs from its source'}"
    return f"{size_text(tally.bytes)} copied, every byte compared" + (
        f"; BLAKE2b {tally.digest}" if tally.digest else ""
    )


def _print_json(what: str, plan: Plan, tally: Tally, is_right: bool) -> None:
    counts = {name: value for name, value in vars(tally).items() if name != "batches"}
    speeds = {
        name: {"bytes_per_second": speed.bytes / speed.seconds, "ns_per_copy": speed.ns_per_copy}
        for name, speed in tally.speeds().items()
    }
    shown = {"what": what, "is_right": is_right, **vars(plan), **counts, "speeds": speeds}
    print(json.dumps(shown, indent=2))
