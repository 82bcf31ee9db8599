"""Pieces of HTML; every text that goes in is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

#: What a text may have that a page may not: control characters, and halves of surrogate pairs.
_REPLACED: Final = {code: 0xFFFD for code in (*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000))}


class Html(str):
    """Markup that goes in as it is."""

    __slots__ = ()


def text(value: object) -> str:
    """Markup as it is; everything else escaped."""
    return value if isinstance(value, Html) else escape(str(value).translate(_REPLACED))


def element(name: str, *content: object, **attributes: object) -> Html:
    """`<name ...>content</name>`; an attribute `class_` is class, `data_x` data-x."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{said}>{''.join(map(text, content))}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Markup after markup."""
    return Html("\n".join(parts))


def section(identity: str, title: str, note: str, *content: Html) -> Html:
    """A section with a heading and a sentence on what it shows."""
    return element(
        "section", element("h2", title), element("p", note, class_="note"), join(content), id=identity
    )


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: str = "", **more: object
) -> Html:
    """A table, or nothing when it has no rows; `numbers`: `n` for each column of figures, to the right."""
    kinds = numbers.ljust(len(heads), ".")

    def cells(name: str, values: Sequence[object]) -> Html:
        made = (
            element(name, value, class_="n") if kind == "n" else element(name, value)
            for value, kind in zip(values, kinds, strict=False)
        )
        return element("tr", Html("".join(made)))

    body = join(cells("td", row) for row in rows)
    if not body:
        return body
    made = element("table", element("thead", cells("th", heads)), element("tbody", body), **more)
    return element("div", made, class_="wide")


def bar(parts: Sequence[tuple[str, int]], most: int) -> Html:
    """A bar of parts, each of a class, beside the longest of them all."""
    pieces = (
        element("i", "", class_=kind, style=f"width:{100 * value / most:.2f}%")
        for kind, value in parts
        if value
    )
    return element("span", Html("".join(pieces)), class_="bar")
