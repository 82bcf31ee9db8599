"""Verdicts as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from vnic.conformance.case import Case
from vnic.conformance.explain import summary
from vnic.conformance.verdict import Result, Verdict

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
h2 { margin: 1.6em 0 .4em; font-size: 1.1em; }
details { border-top: 1px solid #ddd; padding: .35em 0; }
summary { cursor: pointer; display: grid; grid-template-columns: 9em 1fr 5em; gap: 1em; }
summary span:last-child { text-align: right; color: #777; }
dl { display: grid; grid-template-columns: 6em 1fr; gap: .2em 1em; margin: .6em 0 .6em 10em; }
dt { color: #777; } dd { margin: 0; } pre { overflow: auto; background: #f6f6f6; padding: .6em; }
.passed { color: #17722e; } .not { color: #777; }
.failed, .crashed, .hung { color: #b00020; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  body { background: #1b1b1b; color: #ddd; } pre { background: #262626; } details { border-color: #3a3a3a; }
  .passed { color: #6fcf87; } .failed, .crashed, .hung { color: #ff7b8a; } a { color: #8ab4f8; }
}
"""


def html_page(cases: Mapping[str, Case], results: Sequence[Result], driver: str) -> str:
    """A page: the sum, then each group's cases; those that did not go well are open."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(cases[result.case].group, []).append(result)
    body = "".join(
        f"<h2>{escape(group)}: {escape(summary(members))}</h2>\n"
        + "".join(_case(cases[each.case], each) for each in members)
        for group, members in groups.items()
    )
    title = f"Conformance of {escape(driver)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1><p>{escape(summary(results))}</p>\n{body}"
        "</body></html>\n"
    )


def _case(case: Case, result: Result) -> str:
    is_open = "" if result.verdict.is_good else " open"
    kind = result.verdict.value.split()[0].lower()
    parts = [("done", escape(case.done)), ("expected", escape(case.rule))]
    if result.verdict is not Verdict.PASSED:
        parts.append(("happened", escape(result.happened)))
    if result.seed is not None:
        parts.append(("seed", str(result.seed)))
    if result.rule_id:
        parts.append(("broken", escape(f"{result.rule_id}, {result.rule_page}")))
    if result.card:
        parts.append(("card", escape(", ".join(result.card))))
    parts.append(("page", _link(case.page)))
    parts += [("trace", f"<code>{escape(path)}</code>") for path in result.traces]
    listed = "".join(f"<dt>{label}</dt><dd>{text}</dd>" for label, text in parts)
    detail = f"<pre>{escape(result.detail)}</pre>" if result.detail else ""
    return (
        f'<details{is_open}><summary><span class="{kind}">{result.verdict.value}</span>'
        f"<span>{escape(case.name)}</span><span>{result.seconds * 1000:.0f} ms</span></summary>"
        f"<dl>{listed}</dl>{detail}</details>\n"
    )


def _link(page: str) -> str:
    if not page.startswith("https://"):
        return escape(page)
    return f'<a href="{escape(page)}">{escape(page)}</a>'
