"""The lines of a qtest script, or of the log of -qtest-log: requests, and what was answered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vnic.trace.header import TraceError
from vnic.trace.importers.lines import lines_of, time_of

_LOGGED: Final = re.compile(r"\[([IRS]) \+?([0-9]{1,10}\.[0-9]{6})\] ?(.*)")
_IRQ: Final = re.compile(r"IRQ (?:raise|lower) -?[0-9]+ *")
_ANSWER: Final = re.compile(r"(?:OK|FAIL|ERR)(?: .*)?")
#: Requests of qtest, and how many arguments each needs.
_REQUESTS: Final = {
    **dict.fromkeys(("inb", "inw", "inl", "readb", "readw", "readl", "readq"), 1),
    **dict.fromkeys(("outb", "outw", "outl", "writeb", "writew", "writel", "writeq"), 2),
    **dict.fromkeys(("read", "b64read"), 2),
    **dict.fromkeys(("write", "b64write", "memset"), 3),
    **dict.fromkeys(("irq_intercept_in", "irq_intercept_out", "module_load"), 1),
    **dict.fromkeys(("clock_set",), 1),
    **dict.fromkeys(("clock_step", "endianness", "rtas", "set_irq_in"), 0),
}
_WAITING_MAX: Final = 10_000


@dataclass(slots=True)
class Exchange:
    """A request and its answer; `answer` None: there is none. `line` is the request's number in the file.

    time_ns: None in a script.
    irqs: lines that came while it was carried out, or, where `words` is empty, on their own.
    """

    line: int
    time_ns: int | None
    words: list[str]
    answer: str | None = None
    irqs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The request."""
        return " ".join(self.words)

    @property
    def is_refused(self) -> bool:
        """Whether the answer is that it was not carried out."""
        return self.answer is not None and not self.answer.startswith("OK")


def is_log(path: str | os.PathLike[str]) -> bool:
    """Whether the first line of a file is one of a log."""
    first = next((line for _, line in lines_of(path) if line.strip()), "")
    return _LOGGED.fullmatch(first) is not None


def exchanges_of(path: str | os.PathLike[str]) -> Iterator[Exchange]:
    """Each request in turn; TraceError for what is none."""
    return _logged(path) if is_log(path) else _scripted(path)


def _scripted(path: str | os.PathLike[str]) -> Iterator[Exchange]:
    for number, line in lines_of(path):
        words = line.split()
        if words:
            _check(words, number)
            yield Exchange(number, None, words)


def _logged(path: str | os.PathLike[str]) -> Iterator[Exchange]:
    open_request: Exchange | None = None
    for number, line in lines_of(path):
        if not line.strip():
            continue
        match = _LOGGED.fullmatch(line)
        if match is None:
            raise TraceError(f"line {number}: no line of a qtest log: {line[:60]!r}")
        kind, time_ns, text = match[1], time_of(match[2], number), match[3]
        if kind == "R":
            if open_request is not None:
                yield open_request
            open_request = Exchange(number, time_ns, text.split())
            if not open_request.words:
                raise TraceError(f"line {number}: an empty request")
        elif kind == "S" and _IRQ.fullmatch(text):
            if open_request is None:
                yield Exchange(number, time_ns, [], None, [text.strip()])
            else:
                _wait(open_request, text.strip(), number)
        elif kind == "S":
            if open_request is None or not _ANSWER.fullmatch(text):
                raise TraceError(f"line {number}: no answer to a request: {text[:60]!r}")
            open_request.answer = text.rstrip()
            _check_logged(open_request)
            yield open_request
            open_request = None
    if open_request is not None:
        yield open_request


def _wait(exchange: Exchange, text: str, number: int) -> None:
    if len(exchange.irqs) == _WAITING_MAX:
        raise TraceError(f"line {number}: more than {_WAITING_MAX} interrupts and no answer")
    exchange.irqs.append(text)


def is_request(words: list[str]) -> bool:
    """Whether a script may have it: a request that qtest knows with what it needs, or a comment."""
    if not words or words[0].startswith("#"):
        return bool(words)
    return len(words) > _REQUESTS.get(words[0], len(words))


def is_irq(text: str) -> bool:
    """Whether it is what qtest says of an interrupt that it intercepts."""
    return _IRQ.fullmatch(text) is not None


def _check(words: list[str], number: int) -> None:
    """Comments and requests that qtest knows, with what they need."""
    needed = 0 if words[0].startswith("#") else _REQUESTS.get(words[0])
    if needed is None:
        raise TraceError(f"line {number}: {words[0][:60]!r} is no request of qtest")
    if len(words) - 1 < needed:
        raise TraceError(f"line {number}: {words[0]} needs {needed} arguments")


def _check_logged(exchange: Exchange) -> None:
    """One that was carried out has what it needs; a request of another version is kept as it is."""
    needed = _REQUESTS.get(exchange.words[0], 0)
    if not exchange.is_refused and len(exchange.words) - 1 < needed:
        raise TraceError(f"line {exchange.line}: {exchange.words[0]} needs {needed} arguments")
