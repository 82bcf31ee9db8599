"""`vnic run --chimney` and `--netdma`: connections between the host and a peer, every hash checked."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from vnic.commands.kernel import KernelTraffic
from vnic.commands.live import Live
from vnic.commands.plot import check_plot, plot_bars
from vnic.commands.plug import DEFAULT_ADDRESS
from vnic.commands.spared import COLUMNS, VARIANTS, compare_rows, per_mib, policy_of, typical_costs
from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError, VnicError
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.netdma_options import NetDmaOptions
from vnic.protocol.switches import Switches
from vnic.stack.address import address_of, address_on_link
from vnic.testbench.traffic import Costs, Traffic, TrafficPlan

WORKLOADS = ("web", "backup", "storage", "stream")
_CONNECTIONS_MAX = 1024
_ROUNDS, _ROUNDS_MAX = 3, 99
_DELAY_MS = 1.0


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `vnic run` that go with --chimney and --netdma."""
    group = parser.add_argument_group("TCP chimney and NetDMA")
    group.add_argument(
        "--chimney",
        action="store_true",
        help="no capture: connections between a host with the card and a peer",
    )
    group.add_argument(
        "--netdma",
        action="store_true",
        help="the same with a copy engine for received data, instead of the chimney or with it",
    )
    group.add_argument("--connections", type=_count, default=8, metavar="N", help="how many (8)")
    group.add_argument("--bytes", type=_size, default=8 << 20, metavar="N", help="in all, as 8M or 512K (8M)")
    group.add_argument(
        "--loss", type=_loss, default=0.0, metavar="P", help="share of frames lost each way, 0 to 0.5 (0)"
    )
    group.add_argument(
        "--delay", type=_delay, metavar="MS", help=f"each way, milliseconds ({_DELAY_MS:g}; with --tap 0)"
    )
    group.add_argument("--workload", choices=WORKLOADS, default="storage", help="who sends what (storage)")
    group.add_argument(
        "--compare",
        action="store_true",
        help="the same with nothing, RSS, NetDMA, chimney, all: what the host is spared",
    )
    group.add_argument(
        "--rounds",
        type=_rounds,
        metavar="N",
        help=f"how often --compare does each ({_ROUNDS})",
    )
    group.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw --compare as .png or .svg; needs matplotlib"
    )
    group.add_argument(
        "--tap", metavar="NAME", help="the Linux kernel behind this TAP is the peer; with --peer"
    )
    group.add_argument(
        "--address", default=DEFAULT_ADDRESS, metavar="ADDRESS/LENGTH", help=f"our host's ({DEFAULT_ADDRESS})"
    )
    group.add_argument("--peer", metavar="ADDRESS", help="the kernel's address on the TAP")


def _count(text: str) -> int:
    return _whole(text, _CONNECTIONS_MAX)


def _rounds(text: str) -> int:
    return _whole(text, _ROUNDS_MAX)


def _whole(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    if not number.isascii() or not number.isdigit() or not 0 < int(number) * unit <= 1 << 34:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: say 8M, at most 16G")
    return int(number) * unit


def _loss(text: str) -> float:
    return _between(text, 0.5)


def _delay(text: str) -> float:
    return _between(text, 1000)


def _between(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {most:g}")
    return value


# ---- the run -----------------------------------------------------------------------------------------------


def execute(options: argparse.Namespace) -> int:
    """0: every stream arrived as it was sent; 1: not."""
    if options.capture or options.out:
        raise ArgumentError("--chimney and --netdma go without a capture")
    if (options.plot or options.rounds) and not options.compare:
        raise ArgumentError("--plot and --rounds go with --compare")
    if options.plot:
        check_plot(options.plot)
    delay_ms = options.delay if options.delay is not None else 0.0 if options.tap else _DELAY_MS
    plan = TrafficPlan(
        connections=options.connections,
        total_bytes=options.bytes,
        workload=options.workload,
        loss=options.loss,
        delay_ns=int(delay_ms * 1e6),
        queues=options.queues,
        cpus=options.cpus,
        seed=1 if options.seed is None else options.seed,
    )
    live = Live(quiet=options.json)
    try:
        if options.tap:
            return _run_with_kernel(plan, live, options)
        if options.compare:
            return _compare(plan, live, options)
        return _run(plan, _switches_of(options), live, is_json=options.json)
    finally:
        live.close()


def _switches_of(options: argparse.Namespace) -> Switches:
    return Switches(EnableTCPChimney=options.chimney, EnableTCPA=options.netdma)


def _one(plan: TrafficPlan, switches: Switches, live: Live) -> tuple[Costs, list[int]]:
    with ExitStack() as stack:
        choice = ChimneyOptions(switches=switches, policy=policy_of(plan))
        netdma = NetDmaOptions() if switches.EnableTCPA else None
        traffic = stack.enter_context(Traffic(plan, choice, live.show, netdma=netdma))
        try:
            costs = traffic.run()
        except VnicError as error:
            raise ArgumentError(f"a connection broke: {error}") from error
        return costs, traffic.broken


def _run(plan: TrafficPlan, switches: Switches, live: Live, *, is_json: bool) -> int:
    live.begin(plan.workload)
    costs, broken = _one(plan, switches, live)
    if is_json:
        print(json.dumps(asdict(costs) | {"connections": plan.connections, "broken": broken}, indent=2))
    else:
        _print(plan, switches, costs, broken)
    return 1 if broken else 0


def _run_with_kernel(plan: TrafficPlan, live: Live, options: argparse.Namespace) -> int:
    if not options.peer or options.compare:
        raise ArgumentError("--tap goes with --peer, and without --compare")
    address = address_on_link(options.address)
    live.begin(f"{plan.workload}, {options.tap}")
    started = time.monotonic()
    choice = ChimneyOptions(switches=_switches_of(options))
    netdma = NetDmaOptions() if options.netdma else None
    peer = str(address_of(options.peer))
    with KernelTraffic(plan, choice, options.tap, address, peer, netdma=netdma) as traffic:
        traffic.run(live.show)
        chimney, broken, moved = traffic.host.chimney, traffic.broken, traffic.moved
        offloaded = min(chimney.bytes_sent + chimney.bytes_received, moved)
        copied = traffic.host.netdma.tally.bytes_by_engine if options.netdma else 0
        figures = {
            "moved": moved,
            "offloaded_bytes": offloaded,
            "moved_by_netdma": copied,
            "initiates": chimney.initiates,
            "uploads": {str(cause): count for cause, count in chimney.uploads.items()},
            "broken": broken,
        }
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print(
            f"{plan.workload}: {plan.connections} connections with the kernel, {moved:,} bytes in "
            f"{time.monotonic() - started:.1f} s, {offloaded / moved:.0%} of them through the card's chimney"
            f", {copied / moved:.0%} moved by NetDMA"
        )
        print(_verdict(plan, broken))
    return 1 if broken else 0


def _print(plan: TrafficPlan, switches: Switches, costs: Costs, broken: list[int]) -> None:
    shares = []
    if switches.EnableTCPChimney:
        shares.append(f"{_share(costs.offloaded_bytes, costs)} of them through the card's chimney")
    if switches.EnableTCPA:
        shares.append(f"{_share(costs.moved_by_netdma, costs)} moved by NetDMA")
    print(
        f"{plan.workload}: {plan.connections} connections, {costs.moved:,} bytes in "
        f"{costs.virtual_ns / 1e9:.3f} s of virtual time, {', '.join(shares)}"
    )
    rows: list[tuple[str, int]] = [
        ("connections offloaded", costs.initiates),
        *((f"uploads: {cause}", count) for cause, count in costs.uploads.items()),
        ("segments that the host's TCP handled", costs.segments),
        ("of these sent again", costs.retransmits),
        ("NBLs indicated", costs.indicated),
        ("register accesses", costs.register_accesses),
        ("interrupts", costs.interrupts),
        ("DPCs", costs.dpcs),
        ("KiB that the processor copied", costs.touched // 1024),
        ("KiB that NetDMA moved", costs.moved_by_netdma // 1024),
        ("copies by NetDMA", costs.netdma_copies),
        ("of these given together", costs.netdma_batches),
        ("interrupts of the copy engine", costs.engine_interrupts),
    ]
    print_tables([Table("Host", ("what", "count"), [row for row in rows if row[1]])])
    print()
    print(_verdict(plan, broken))


def _share(part: int, costs: Costs) -> str:
    return f"{part / costs.moved if costs.moved else 0:.0%}"


def _verdict(plan: TrafficPlan, broken: list[int]) -> str:
    if broken:
        return f"NOT RIGHT: the streams of {len(broken)} connections are not what was sent"
    return f"the hashes of all {2 * plan.connections} streams are right"


def _compare(plan: TrafficPlan, live: Live, options: argparse.Namespace) -> int:
    results, broken = _measure(plan, live, options.rounds or _ROUNDS)
    title = f"{plan.workload}: what a MiB costs the host"
    if options.json:
        print(json.dumps({name: asdict(costs) for name, costs in results.items()}, indent=2))
    else:
        live.close()
        print_tables([Table(title, ("per MiB", *results), compare_rows(results))])
        print()
        print(COLUMNS)
        print(_verdict(plan, broken))
    if options.plot:
        plot_bars(options.plot, title, list(results), per_mib(results))
    return 1 if broken else 0


def _measure(plan: TrafficPlan, live: Live, rounds: int) -> tuple[dict[str, Costs], list[int]]:
    """Variant after variant, round after round, so that what disturbs times disturbs all of them."""
    found: dict[str, list[Costs]] = {name: [] for name in VARIANTS}
    broken: set[int] = set()
    for number in range(rounds):
        for name, switches in VARIANTS.items():
            live.begin(f"{plan.workload}, {name} ({number + 1} of {rounds})")
            costs, wrong = _one(plan, switches, live)
            found[name].append(costs)
            broken.update(wrong)
    return {name: typical_costs(each) for name, each in found.items()}, sorted(broken)
