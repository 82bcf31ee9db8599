"""What every page has around its body: style and policy in the file itself, so that it asks no network."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from vnic.trace.report.html import Html, element, join, text

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def document(title: str, body: Html) -> str:
    """A file that asks no network for anything, around a body."""
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}">'),
            Html('<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'),
            element("title", title),
            element("style", Html(asset("report.css"))),
        ]
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def asset(name: str) -> str:
    """A file of the package's data, as text."""
    return (files("vnic") / "data" / name).read_text(encoding="utf-8")
