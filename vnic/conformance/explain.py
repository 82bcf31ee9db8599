"""A verdict explained to somebody who has never seen the case: done, expected, happened, page."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from vnic.conformance.case import Case
from vnic.conformance.verdict import Result, Verdict

_WIDTH = 100


def explain(case: Case, result: Result, *, with_detail: bool = False) -> str:
    """Some lines of text; `with_detail` adds calls, stacks and reports."""
    parts = [("done", case.done), ("expected", case.rule), ("happened", result.happened)]
    if result.seed is not None:
        parts.append(("seed", str(result.seed)))
    if result.rule_id:
        parts.append(("broken", f"rule {result.rule_id} of the NDIS layer, {result.rule_page}"))
    if result.card:
        parts.append(("card", "its counters say " + ", ".join(result.card)))
    parts.append(("page", case.page))
    parts += [("trace", path) for path in result.traces]
    lines = [f"{result.verdict.value}  {case.name}"]
    for label, text in parts:
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {label:<9} ",
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
    if with_detail and result.detail:
        lines += ["  detail", *(f"    {line}" for line in result.detail.splitlines())]
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """How many of each verdict, in one line."""
    counts = [(sum(result.verdict is verdict for result in results), verdict) for verdict in Verdict]
    return ", ".join(f"{count} {verdict.value.lower()}" for count, verdict in counts if count) or "no case"


def document(cases: Mapping[str, Case], results: Sequence[Result], driver: str) -> str:
    """All verdicts as JSON: {"driver", "summary": {verdict: count}, "cases": [...]}."""
    found: dict[str, Any] = {
        "driver": driver,
        "summary": {
            verdict.value: sum(result.verdict is verdict for result in results) for verdict in Verdict
        },
        "cases": [_entry(cases[result.case], result) for result in results],
    }
    return json.dumps(found, indent=2) + "\n"


def _entry(case: Case, result: Result) -> dict[str, Any]:
    described = {"title": case.title, "done": case.done, "rule": case.rule, "page": case.page}
    return result.pack() | described | {"needs": sorted(feature.value for feature in case.needs)}
