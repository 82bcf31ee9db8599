"""Verdicts as JUnit XML, as continuous integration reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from vnic.conformance.case import Case
from vnic.conformance.explain import explain
from vnic.conformance.verdict import Result, Verdict

# What XML 1.0 cannot hold: a driver's output is arbitrary.
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def junit(cases: Mapping[str, Case], results: Sequence[Result], driver: str) -> str:
    """A document with a test suite; NOT SUPPORTED is skipped, HUNG and CRASHED are errors."""
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    errors = counts[Verdict.HUNG] + counts[Verdict.CRASHED]
    head = (
        f'<testsuite name={quoteattr(f"vnic conformance of {driver}")} tests="{len(results)}" '
        f'failures="{counts[Verdict.FAILED]}" errors="{errors}" skipped="{counts[Verdict.NOT_SUPPORTED]}" '
        f'time="{sum(result.seconds for result in results):.3f}">'
    )
    body = "\n".join(_testcase(cases[result.case], result) for result in results)
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n{head}\n{body}\n</testsuite>\n</testsuites>\n'
    )
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _testcase(case: Case, result: Result) -> str:
    group, _, name = case.name.partition(".")
    head = f'<testcase classname={quoteattr(group)} name={quoteattr(name)} time="{result.seconds:.3f}"'
    if result.verdict is Verdict.PASSED:
        return head + "/>"
    message = quoteattr(result.happened)
    if result.verdict is Verdict.NOT_SUPPORTED:
        return f"{head}><skipped message={message}/></testcase>"
    kind = "failure" if result.verdict is Verdict.FAILED else "error"
    text = escape(explain(case, result, with_detail=True))
    return (
        f"{head}><{kind} type={quoteattr(result.verdict.value)} message={message}>{text}</{kind}></testcase>"
    )
