"""A hold: steps that are withheld, before a kind of step or after one."""

from __future__ import annotations

from collections.abc import Callable

from vnic.errors import VnicError
from vnic.testbench.step import Step, StepKind


class StepError(VnicError):
    """A step that cannot be taken now, or one that never comes."""


class Hold:
    """Steps that are withheld until release(): those of a kind, or what follows the first of a kind.

    Used as a context manager it is released at the end of the block.
    """

    def __init__(
        self,
        before: StepKind | None,
        after: StepKind | None,
        queue: int | None,
        release: Callable[[Hold], None],
    ) -> None:
        self.before = before
        self.after = after
        self.queue = queue
        #: The step after which everything is held.
        self.met: Step | None = None
        self._release = release

    def release(self) -> None:
        """Withhold nothing any more; idempotent."""
        self._release(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def keeps(self, step: Step) -> bool:
        """Whether a step has to wait."""
        if self.before is not None:
            return step.is_(self.before, self.queue)
        if self.met is None or step.kind > StepKind.INTERRUPT_DELIVERY:
            return False
        is_same_engine = step.part is not None and step.part == self.met.part
        follows = self.after is not None and step.kind > self.after
        return is_same_engine or (follows and (self.queue is None or self.queue in step.queues))

    def see(self, step: Step) -> None:
        """A step was taken."""
        if self.after is not None and self.met is None and step.is_(self.after, self.queue):
            self.met = step

    def __str__(self) -> str:
        what = f"before {self.before.name}" if self.before is not None else ""
        what += f"after {self.after.name}" if self.after is not None else ""
        return what + (f" of queue {self.queue}" if self.queue is not None else "")
