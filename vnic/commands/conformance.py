"""`vnic conformance`: is a driver what the public pages ask of an NDIS miniport?"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vnic.commands.table import Table, print_tables
from vnic.conformance.case import Case, Subject
from vnic.conformance.explain import document, explain, summary
from vnic.conformance.groups import load, select
from vnic.conformance.html_page import html_page
from vnic.conformance.junit import junit
from vnic.conformance.shift import Shift
from vnic.conformance.subjects import Subjects, load_provider
from vnic.conformance.verdict import Result
from vnic.errors import ArgumentError
from vnic.testbench.driver import REFERENCE, load_driver

_DASH = "-"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--driver",
        metavar="NAME",
        help="reference, package.module:Class, path/file.py:Class or path/library.so (reference)",
    )
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="NetDMA provider: reference, package.module:Name or path/file.py:Name (reference beside "
        "the reference driver, else none); given alone, only it is judged",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a group, or group.case; several times for more (all)",
    )
    parser.add_argument("--list", action="store_true", help="name the cases, run none")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="cases at a time (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="S", help="seconds that a case may take (%(default)g)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep a trace of each case that fails in DIR"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page")
    parser.add_argument(
        "--json", nargs="?", const=_DASH, metavar="FILE", help="write JSON, to standard output without FILE"
    )
    parser.add_argument(
        "--verbose", "-v", action="store_true", help="with calls, stacks and reports of failures"
    )


def execute(options: argparse.Namespace) -> int:
    """0: every case passed, or is of what the driver does not have; 1: not so; 2: the call is wrong."""
    if options.jobs < 1 or options.timeout <= 0:
        raise ArgumentError("--jobs and --timeout are above 0")
    chosen = choose(options)
    if options.list:
        _list(chosen, options.json)
        return 0
    shift = Shift(_subjects(options), jobs=options.jobs, timeout=options.timeout, record=options.record)
    is_quiet = options.json == _DASH
    results = _run(shift, chosen, is_quiet)
    _write_all(options, results)
    if not is_quiet:
        _tell(results, options.verbose)
    return 0 if all(result.verdict.is_good for result in results) else 1


def choose(options: argparse.Namespace) -> list[Case]:
    """The cases asked for; of a user's driver or provider those of what he named."""
    named = [name for given in options.only for name in given.split(",")]
    chosen = select(named)
    if named:
        return chosen
    if options.provider is not None and options.driver is None:
        return [case for case in chosen if case.subject is Subject.PROVIDER]
    is_ours = options.driver in (None, REFERENCE)
    return [case for case in chosen if is_ours or case.subject not in (Subject.CARD, Subject.ENGINE)]


def _subjects(options: argparse.Namespace) -> Subjects:
    """A user's miniport is not judged by a provider that is not his."""
    is_ours = options.driver in (None, REFERENCE)
    provider = options.provider or (REFERENCE if is_ours else None)
    return Subjects(
        load_driver(options.driver or REFERENCE), load_provider(provider) if provider is not None else None
    )


def _name(options: argparse.Namespace) -> str:
    """What is judged, for reports."""
    return " and ".join(name for name in (options.driver, options.provider) if name) or REFERENCE


def _list(chosen: Sequence[Case], json: str | None) -> None:
    if json is not None:
        _put(json, _names(chosen))
        return
    table = Table(f"{len(chosen)} cases", ("case", "what it does", "needs"))
    for case in chosen:
        needs = ", ".join(sorted(feature.value for feature in case.needs))
        table.rows.append((case.name, case.title, needs))
    print_tables([table])


def _names(chosen: Sequence[Case]) -> str:
    import json  # noqa: PLC0415 - the option of that name hides it elsewhere

    rows = [{"case": c.name, "done": c.done, "rule": c.rule, "page": c.page} for c in chosen]
    return json.dumps(rows, indent=2) + "\n"


def _run(shift: Shift, chosen: Sequence[Case], is_quiet: bool) -> list[Result]:
    """Run them, with a line for each as soon as those before it are done."""
    results = []
    width = max((len(case.name) for case in chosen), default=0)
    for result in shift.run(chosen):
        results.append(result)
        if not is_quiet:
            line = f"{result.verdict.value:<13}  {result.case:<{width}}  {result.seconds * 1000:5.0f} ms"
            print(
                line if result.verdict.is_good and not result.happened else f"{line}  {result.happened}"[:200]
            )
            sys.stdout.flush()
    return results


def _write_all(options: argparse.Namespace, results: Sequence[Result]) -> None:
    makers: list[tuple[Path | str | None, Callable[..., str]]] = [
        (options.junit, junit),
        (options.html, html_page),
        (options.json, document),
    ]
    for target, make in makers:
        if target is not None:
            _put(target, make(load(), results, _name(options)))


def _put(target: Path | str, text: str) -> None:
    if target == _DASH:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{target}: {error.strerror}") from None


def _tell(results: Sequence[Result], is_verbose: bool) -> None:
    cases = load()
    for result in results:
        if not result.verdict.is_good:
            print("\n" + explain(cases[result.case], result, with_detail=is_verbose))
    print(f"\n{summary(results)}")
