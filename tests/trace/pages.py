"""A report's page taken apart, as a browser's parser would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

_EMPTY = frozenset({"meta", "link", "input", "br"})


class Page(HTMLParser):
    """Elements with their attributes, and the text of each; AssertionError where the markup is not sound."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.scripts: list[str] = []
        self.title = ""
        self._open: list[tuple[str, str | None]] = []
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in _EMPTY:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"an end of {tag} too many"
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        tag = self._open[-1][0] if self._open else ""
        if tag == "script":
            self.scripts[-1] += data
        if tag == "title":
            self.title += data
        for _, identity in self._open:
            if identity is not None:
                self.texts[identity] = self.texts.get(identity, "") + data

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        """The attributes of each element of that name."""
        return (attributes for name, attributes in self.elements if name == tag)

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        values: dict[str, Any] = json.loads(self.scripts[0])
        return values
