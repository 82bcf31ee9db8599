"""A trial: one execution of a script within a limit of time, and what came of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from vnic.errors import ArgumentError
from vnic.fuzz.finding import Failure, failure_of
from vnic.fuzz.scene import Act, Overrun, Scene
from vnic.fuzz.script import Script
from vnic.fuzz.target import target_of

__all__ = ["LIMIT_S", "Trial", "attempt", "run_script", "within"]

#: Of one execution. Work in it is bounded by budgets in virtual time; this is for loops that have none.
LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Trial:
    """The acts that were tried, the failure if there was one, and what was reached."""

    acts: tuple[Act, ...]
    failure: Failure | None
    reached: frozenset[str]


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Overrun in a block that takes longer; only Python's main thread can be interrupted so."""
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Overrun(f"not at its end after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(make: Callable[[], Scene], acts: Iterator[Act], *, limit_s: float = LIMIT_S) -> Trial:
    """Make a scene, do the acts as they come, and finish. ArgumentError and KeyboardInterrupt pass."""
    done: list[Act] = []
    scene: Scene | None = None
    try:
        with within(limit_s):
            scene = _made(make)
            # Acts may be chosen by looking at the scene, so they come one by one.
            source = _from(scene, acts)
            for act in source:
                done.append(act)
                scene.perform(act)
            scene.finish()
    except (KeyboardInterrupt, SystemExit, ArgumentErrorOfScript):
        raise
    except BaseException as error:
        return Trial(tuple(done), failure_of(error), frozenset(scene.reached if scene else ()))
    finally:
        if scene is not None:
            scene.abandon()
    return Trial(tuple(done), None, frozenset(scene.reached))


def _made(make: Callable[[], Scene]) -> Scene:
    try:
        return make()
    except ArgumentError as error:  # options that are refused are no failure
        raise ArgumentErrorOfScript(str(error)) from error


class ArgumentErrorOfScript(ArgumentError):
    """A script names an act or an argument that its scene has not."""


def _from(scene: Scene, acts: Iterator[Act]) -> Iterator[Act]:
    if isinstance(acts, Chosen):
        acts.scene = scene
    for act in acts:
        if not scene.knows(act):
            raise ArgumentErrorOfScript(f"{type(scene).__name__} has no act {act}")
        yield act


class Chosen(Iterator[Act]):
    """Acts that are chosen for a scene as it stands; `scene` is set when it is made."""

    def __init__(self, choose: Callable[[Scene], Act | None]) -> None:
        self.scene: Scene | None = None
        self._choose = choose

    def __next__(self) -> Act:
        assert self.scene is not None
        act = self._choose(self.scene)
        if act is None:
            raise StopIteration
        return act


def run_script(script: Script, *, limit_s: float = LIMIT_S) -> Trial:
    """A script as it is; ArgumentError when its target, options or acts are not known."""
    target = target_of(script.target)
    options: dict[str, Any] = dict(script.options)
    target.prepare(options)
    return attempt(lambda: target.make(options), iter(script.acts), limit_s=limit_s)


__all__ += ["ArgumentErrorOfScript", "Chosen"]
