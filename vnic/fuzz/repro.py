"""A kept finding run again: a script, a trace, or a program of the card's operation language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vnic.errors import ArgumentError
from vnic.fuzz.finding import Failure
from vnic.fuzz.oplang import decode, from_text
from vnic.fuzz.process import run_alone
from vnic.fuzz.script import Script, read_script
from vnic.fuzz.trial import LIMIT_S, run_script
from vnic.trace.regression import assert_replays

__all__ = ["assert_holds", "reproduce"]

_TRACES: Final = (".pcapng", ".pcapng.gz", ".pcapng.zst")
_OPS_MAX: Final = 4 << 20


def assert_holds(text: str) -> None:
    """AssertionError with all that is known where a script still fails; for generated tests."""
    failure = run_script(Script.from_text(text)).failure
    if failure is not None:
        raise AssertionError(failure.text)


def reproduce(path: Path, limit_s: float = LIMIT_S) -> Failure | None:
    """What a file still comes to, or None. It runs in a process of its own; ArgumentError, TraceError.

    .json: a script; .pcapng, also compressed: replayed strictly; .ops, .failure: a program for the card.
    """
    if path.name.endswith(_TRACES):
        return _replay(path)
    is_program = path.suffix in (".ops", ".failure")
    script = _script_of_program(path) if is_program else read_script(path)
    run_check(script)
    found = run_alone(script, limit_s)
    return found.failure if found is not None else None


def run_check(script: Script) -> None:
    """ArgumentError for a script that its target does not know."""
    from vnic.fuzz.target import target_of  # noqa: PLC0415 - imports scenes

    target = target_of(script.target)
    unknown = [act for act in script.acts if not target.scene.knows(act)]
    if unknown:
        raise ArgumentError(f"target {script.target} has no act {unknown[0]}")
    with suppress_failures():
        target.make(script.options).abandon()


@contextmanager
def suppress_failures() -> Iterator[None]:
    """Only what is wrong with the call counts here; what is wrong with the scene, the child will say."""
    try:
        yield
    except ArgumentError:
        raise
    except Exception:
        return


def _replay(path: Path) -> Failure | None:
    if not path.is_file():
        raise ArgumentError(f"{path}: no such file")
    try:
        assert_replays(path)
    except AssertionError as difference:
        text = str(difference)
        return Failure("trace", text.partition("\n")[0], text)
    return None


def _script_of_program(path: Path) -> Script:
    """A program as a script of the card's scene, each operation an act."""
    try:
        octets = path.read_bytes()[:_OPS_MAX]
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror}") from None
    from vnic.fuzz.card_scene import script_of  # noqa: PLC0415 - only for these

    if octets[:1] == b"\x01":
        return script_of(decode(octets))
    try:
        return script_of(from_text(octets.decode()))
    except (ValueError, IndexError) as error:
        raise ArgumentError(f"{path}: no program: {error}") from None
