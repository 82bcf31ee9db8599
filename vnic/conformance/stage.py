"""The stage of a case: its machine with the subject in it, made, started, and looked over at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from vnic.conformance.case import Case, NotSupported, Subject
from vnic.conformance.machine import Witness, card_words, make_bench, start
from vnic.conformance.subjects import NamedProvider, Subjects
from vnic.copy_engine import CopyEngine
from vnic.testbench.bench import INTERRUPTS, Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.engine_rig import EngineRig
from vnic.testbench.rig import Rig

_TAIL = 24


class Stage(ABC):
    """A machine of one case."""

    bench: Any

    @property
    @abstractmethod
    def violations(self) -> Sequence[AssertionError]:
        """The rules that were broken, those that the subject hid included."""

    @property
    @abstractmethod
    def border(self) -> Any:
        """What notes every call between subject and host: note(text), history."""

    @abstractmethod
    def start(self) -> None:
        """Bring the subject up as the case wants it; NotSupported."""

    @abstractmethod
    def check_end(self) -> None:
        """Stop it, and see that nothing is left."""

    @abstractmethod
    def hardware_words(self) -> list[str]:
        """What the hardware's own error counters say."""

    def announce(self, before_calls: Callable[[], None]) -> None:
        """Have somebody called before every call over the border."""
        border = self.border
        note = border.note

        def announced(*words: Any) -> Any:
            before_calls()
            return note(*words)

        border.note = announced

    def calls(self) -> str:
        """The last calls over the border, a line each."""
        return "\n".join(f"  {call}" for call in list(self.border.history)[-_TAIL:])

    def held(self) -> str:
        """Who holds what in a machine that does not go on."""
        with suppress(Exception):
            return str(self.bench.who_holds())
        return ""

    def abandon(self) -> None:
        """Pull the plug."""
        with suppress(Exception):
            self.bench.abandon()


class MiniportStage(Stage):
    """A machine with a card and the miniport."""

    def __init__(self, case: Case, subjects: Subjects, seed: int | None) -> None:
        self._case = case
        self.bench: Bench = make_bench(case, subjects.driver, seed)
        self._witness = None if case.is_rough else Witness(self.bench.device)

    @property
    def violations(self) -> Sequence[AssertionError]:
        """Of the rules of NDIS."""
        return self.bench.ndis.violations

    @property
    def border(self) -> Any:
        """NDIS's verifier."""
        return self.bench.ndis.verifier

    def start(self) -> None:
        """Initialize, bind, restart."""
        start(self._case, self.bench)

    def check_end(self) -> None:
        """Halt; memory, mappings, vectors, NBLs, rules, accesses that went astray."""
        if not self.bench.device.is_closed:
            self.bench.device.is_manual = False
            self.bench.close()
        if self._witness is not None and self._witness.faults:
            raise AssertionError("; ".join(self._witness.faults[:5]))

    def hardware_words(self) -> list[str]:
        """The card's."""
        return card_words(self.bench)


class ProviderStage(Stage):
    """A machine with a copy engine and the provider."""

    def __init__(self, case: Case, provider: NamedProvider, seed: int | None) -> None:
        wanted: dict[str, Any] = dict(case.bench)
        self._starts = wanted.pop("starts", True)
        self._is_manual = wanted.pop("manual", False)
        assert wanted.get("interrupt", "msix") in INTERRUPTS
        if seed is not None:
            wanted["seed"] = seed
        if provider.make is not None:
            wanted["driver"] = provider.make
        self.bench: CopyBench = CopyBench(starts=False, **wanted)

    @property
    def violations(self) -> Sequence[AssertionError]:
        """Of the rules of NetDMA."""
        return self.bench.interface.violations

    @property
    def border(self) -> Any:
        """The interface's watch."""
        return self.bench.interface.watch

    def start(self) -> None:
        """AddDevice, start."""
        if self._starts:
            self.bench.start()
        self.bench.engine.is_manual = self._is_manual

    def check_end(self) -> None:
        """Stop and remove."""
        self.bench.close()

    def hardware_words(self) -> list[str]:
        """Nothing that the completion status did not say."""
        return []


class Border:
    """Between a case and the card there is nobody: no calls to tell of."""

    history: tuple[str, ...] = ()

    def note(self, text: str) -> None:
        """Nothing."""


class HardwareStage(Stage):
    """Hardware that the case itself drives, and alone judges."""

    def __init__(self) -> None:
        self._border = Border()

    @property
    def violations(self) -> Sequence[AssertionError]:
        """The case itself is the judge."""
        return ()

    @property
    def border(self) -> Border:
        """None."""
        return self._border

    def start(self) -> None:
        """It is up when it is made."""

    def check_end(self) -> None:
        """Nothing but what the case asks."""


class CardStage(HardwareStage):
    """A card, its memory and the smallest driver."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.bench: Rig = Rig(**case.bench)

    def hardware_words(self) -> list[str]:
        """Drops and errors."""
        counters = self.bench.counters("")
        return [f"{name} {count}" for name, count in counters.items() if "DROP" in name or "ERRORS" in name]

    def abandon(self) -> None:
        """Pull the plug."""
        with suppress(Exception):
            self.bench.device.close()


class EngineStage(HardwareStage):
    """A copy engine, its memory and the smallest driver."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.bench: EngineRig = EngineRig(CopyEngine(**case.bench))

    def hardware_words(self) -> list[str]:
        """The errors of its channels."""
        return self.bench.errors()

    def abandon(self) -> None:
        """Pull the plug."""
        with suppress(Exception):
            self.bench.engine.close()


def make_stage(case: Case, subjects: Subjects, seed: int | None) -> Stage:
    """The stage of a case; NotSupported when its subject is not there."""
    if case.subject is Subject.CARD:
        return CardStage(case)
    if case.subject is Subject.ENGINE:
        return EngineStage(case)
    if case.subject is Subject.MINIPORT:
        return MiniportStage(case, subjects, seed)
    if subjects.provider is None:
        raise NotSupported("no NetDMA provider was named")
    return ProviderStage(case, subjects.provider, seed)
