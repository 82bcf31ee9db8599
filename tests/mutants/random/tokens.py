"""The tokens of a C file that a mutant may change: comments, strings and directives are passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_PATTERN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<directive>(?<![^\n])[ \t]*\#(?:\\\n|[^\n])*)
    |(?P<string>L?"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)
    |(?P<mark><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """`kind`: name, number, string or mark. `start`: characters from the beginning of the file."""

    kind: str
    text: str
    start: int
    line: int
    #: Braces that are open before it: 0 outside functions.
    depth: int

    @property
    def end(self) -> int:
        """Behind its last character."""
        return self.start + len(self.text)


def _matches(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        found = _PATTERN.match(text, at)
        if found is None:
            raise ValueError(f"not C at {text[at : at + 20]!r}")
        yield found
        at = found.end()


def tokens(text: str) -> list[Token]:
    """All tokens in order. ValueError for what is not C."""
    found: list[Token] = []
    line, depth = 1, 0
    for match in _matches(text):
        kind, words = str(match.lastgroup), match[0]
        if kind not in ("space", "directive"):
            depth -= words == "}"
            found.append(Token(kind, words, match.start(), line, depth))
            depth += words == "{"
        line += words.count("\n")
    return found


def closing(all_tokens: list[Token], opening: int) -> int:
    """Where the bracket at `opening` is closed; the end of the list when nowhere."""
    level = 0
    for at in range(opening, len(all_tokens)):
        level += (all_tokens[at].text in ("(", "[", "{")) - (all_tokens[at].text in (")", "]", "}"))
        if level == 0:
            return at
    return len(all_tokens)
