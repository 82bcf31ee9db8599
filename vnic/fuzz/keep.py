"""Findings as files: the script, a trace of what its devices did, a test, and a line in a list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vnic.errors import ArgumentError, VnicError
from vnic.fuzz.finding import Finding
from vnic.fuzz.script import Script
from vnic.fuzz.trial import run_script
from vnic.testbench.recording import Recordings

__all__ = ["Kept", "keep"]

_LIST: Final = "findings.txt"
_TEST: Final = '''"""{title}; found by `vnic fuzz {target}`."""

from __future__ import annotations

from vnic.fuzz.repro import assert_holds

SCRIPT = r"""
{script}"""


def test_{function}() -> None:
    assert_holds(SCRIPT)
'''


class Kept:
    """The files of one finding."""

    def __init__(self, folder: Path, finding: Finding) -> None:
        self.finding = finding
        words = re.sub(r"[^A-Za-z0-9]+", "_", finding.failure.key).strip("_").lower()[:60]
        digest = hashlib.sha256(finding.failure.key.encode()).hexdigest()[:8]
        self.stem = f"{finding.script.target}_{words}_{digest}"
        self.script = folder / f"{self.stem}.json"
        self.trace = folder / f"{self.stem}.pcapng"
        self.test = folder / f"test_{self.stem}.py"

    def write(self) -> None:
        """All of them; a crash leaves no trace."""
        finding = self.finding
        script = finding.script.to_text(key=finding.failure.key, title=finding.failure.title)
        self.script.write_text(script, encoding="utf-8")
        title = re.sub(r"[^ !#-\[\]-~]", "?", finding.failure.title)[:90]
        plain = finding.script.to_text()
        words = {"title": title, "target": finding.script.target, "function": self.stem}
        self.test.write_text(_TEST.format(script=plain, **words), encoding="utf-8")
        if not finding.failure.key.startswith(("crash", "hang")):
            self._record(finding.script)

    def _record(self, script: Script) -> None:
        """The device that the script makes; a scene without one has no trace."""
        recordings = Recordings()
        recordings.start()
        try:
            run_script(script)
        except VnicError:
            pass  # the failure itself is in the script's file
        finally:
            recordings.stop()
        taken = recordings.take_over()
        if taken:
            self.trace.write_bytes(taken[-1].octets())
        for each in taken:
            each.close()

    @property
    def line(self) -> str:
        """What the list says."""
        finding = self.finding
        return (
            f"{self.stem}: {finding.failure.title} ({finding.count} times, {len(finding.script.acts)} acts)"
        )


def keep(folder: Path, findings: Iterable[Finding]) -> list[Kept]:
    """Write them into a folder, which is made; a finding with the same key replaces the one that is there.

    ArgumentError when it cannot be written.
    """
    kept = [Kept(folder, each) for each in findings]
    if not kept:
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in kept:
            each.write()
        listed = folder / _LIST
        before = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
        lines = {line.partition(":")[0]: line for line in before if line}
        lines.update((each.stem, each.line) for each in kept)
        listed.write_text("\n".join(lines[stem] for stem in sorted(lines)) + "\n", encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{error.filename or folder}: {error.strerror}") from None
    return kept
