"""What a mutant changes: one operator, constant, condition, statement, argument or result of a C file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.mutants.random.tokens import closing, tokens

_RELATIONS = ("<", "<=", ">", ">=", "==", "!=")
_SWAPS: dict[str, tuple[str, ...]] = {
    **{text: tuple(other for other in _RELATIONS if other != text) for text in _RELATIONS},
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "*": ("+",),
    "/": ("*",),
    "%": ("/",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
    "<<": (">>",),
    ">>": ("<<",),
    "+=": ("-=", "="),
    "-=": ("+=", "="),
    "|=": ("&=", "="),
    "&=": ("|=", "="),
    "^=": ("|=",),
    "<<=": (">>=",),
    ">>=": ("<<=",),
    "++": ("--",),
    "--": ("++",),
    "!": ("",),
    "~": ("",),
}
#: Behind these an operator has no left side.
_UNARY_BEHIND = ("return", "case", "sizeof", "else")
_ONE_SIDED = ("!", "~", "++", "--")
_TRUTHS = {"true": "false", "false": "true"}
_NOT_CALLS = ("if", "while", "for", "switch", "return", "sizeof", "offsetof")
#: Parts of names of functions whose arguments may stand in any order: memcmp() is only asked for equality.
_SYMMETRIC = ("is_equal", "_min", "_max", "is_same", "calloc", "memcmp")
_NOT_REMOVED = ("if", "while", "for", "switch", "do", "else", "case", "default", "goto", "typedef", "static")
_ASSERTIONS = ("static_assert", "_Static_assert", "vnic_assert")
#: Asks for memory to be near, and has no effect that a program could see.
_PREFETCH = "__builtin_prefetch"


class Change(NamedTuple):
    """The characters from `start` to `end` become `text`."""

    operator: str
    line: int
    start: int
    end: int
    text: str


class Source:
    """A file, its tokens, and what one of them may become."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)

    def changes(self) -> Iterator[Change]:
        """Every change inside functions, in the order of the file."""
        for at, token in enumerate(self.tokens):
            if token.depth > 0 and not self._is_spared(at):
                for operator in (self._swaps, self._constants, self._conditions, self._statements):
                    yield from operator(at)
                yield from self._results(at)
                yield from self._arguments(at)

    def span(self, first: int, last: int) -> str:
        """The text from one token to another, both included."""
        return self.text[self.tokens[first].start : self.tokens[last].end]

    def _is_spared(self, at: int) -> bool:
        """Assertions are about our own mistakes: a build for use has none. To prefetch does nothing else."""
        begin = at
        while begin > 0 and self.tokens[begin - 1].text not in (";", "{", "}"):
            begin -= 1
        return self.tokens[begin].text in (*_ASSERTIONS, _PREFETCH)

    def _change(self, operator: str, first: int, last: int, text: str) -> Change:
        return Change(
            operator, self.tokens[first].line, self.tokens[first].start, self.tokens[last].end, text
        )

    def _has_left_side(self, at: int) -> bool:
        before = self.tokens[at - 1]
        is_value = before.kind in ("name", "number") and before.text not in _UNARY_BEHIND
        return is_value or before.text in (")", "]")

    def _swaps(self, at: int) -> Iterator[Change]:
        text = self.tokens[at].text
        if text in _ONE_SIDED or self._has_left_side(at):
            for other in _SWAPS.get(text, ()):
                yield self._change("operator", at, at, other)

    def _constants(self, at: int) -> Iterator[Change]:
        token = self.tokens[at]
        if token.text in _TRUTHS:
            yield self._change("constant", at, at, _TRUTHS[token.text])
        if token.kind != "number":
            return
        digits = token.text.rstrip("uUlL")
        is_hex = digits[:2] in ("0x", "0X")
        value = int(digits, 16 if is_hex else 10)
        for other in sorted({value + 1, value - 1, 0} - {value, -1}):
            number = f"{other:#x}" if is_hex else str(other)
            yield self._change("constant", at, at, number + token.text[len(digits) :])

    def _conditions(self, at: int) -> Iterator[Change]:
        token = self.tokens[at]
        if token.text in ("if", "while") and self.tokens[at + 1].text == "(":
            first, last = at + 2, closing(self.tokens, at + 1) - 1
            yield self._change("negated", first, last, f"!({self.span(first, last)})")
        if token.text == "else":
            yield self._change("else removed", at, at, "")

    def _statements(self, at: int) -> Iterator[Change]:
        token = self.tokens[at]
        begins = token.kind == "name" and self.tokens[at - 1].text in (";", "{", "}", ")", ":", "else")
        if not begins or token.text in _NOT_REMOVED:
            return
        end = next(n for n in range(at, len(self.tokens)) if self.tokens[n].text in (";", "{", "}"))
        if self.tokens[end].text == ";":
            yield self._change("removed", at, end - 1, "")

    def _results(self, at: int) -> Iterator[Change]:
        if self.tokens[at].text != "return" or self.tokens[at + 1].text == ";":
            return
        end = next(n for n in range(at, len(self.tokens)) if self.tokens[n].text == ";")
        if end > at + 2:
            yield self._change("result", at + 1, end - 1, "0")
            yield self._change("result", at + 1, end - 1, f"!({self.span(at + 1, end - 1)})")

    def _arguments(self, at: int) -> Iterator[Change]:
        token = self.tokens[at]
        is_call = token.kind == "name" and token.text not in _NOT_CALLS and self.tokens[at + 1].text == "("
        if not is_call or any(part in token.text for part in _SYMMETRIC):
            return
        edges = self._edges(at + 1)
        for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
            one, other = self.span(left + 1, middle - 1), self.span(middle + 1, right - 1)
            yield self._change("arguments", left + 1, right - 1, f"{other}, {one}")

    def _edges(self, opening: int) -> list[int]:
        """The brackets of a call and the commas between its arguments."""
        end, level, edges = closing(self.tokens, opening), 0, [opening]
        for at in range(opening, end):
            text = self.tokens[at].text
            level += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            if level == 1 and text == ",":
                edges.append(at)
        return [*edges, end]
