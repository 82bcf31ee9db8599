"""A contender that is a C program, driven line by line over its standard input."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .harness import Figures, MissingError, RoundError
from .workshop import Workshop

STOP_SECONDS = 10


class ProgramContender:
    """Starts a compiled program, says "round EFFORT" to it and reads one JSON line back (see round.h)."""

    def __init__(
        self,
        name: str,
        sources: Sequence[Path],
        *,
        package: str | None = None,
        debian: str = "",
        flags: Sequence[str] = (),
        libraries: Sequence[str] = (),
        takes_folder: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.sources = sources
        self.package = package
        self.debian = debian
        self.flags = flags
        self.libraries = libraries
        self.takes_folder = takes_folder
        self.arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._folder: str | None = None
        self._log: IO[str] | None = None

    def start(self, shop: Workshop) -> None:
        """Compile the program, start it and wait until it is ready."""
        program = self._build(shop)
        arguments = [str(program), *self.arguments]
        if self.takes_folder:
            self._folder = tempfile.mkdtemp(prefix="vnic-perf-")
            arguments += [self._folder, str(shop.cpu)]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        if self._answer() != "ready":
            raise MissingError(f"does not start here: {self._complaint()}")

    def round(self, effort: float) -> Figures:
        """Let the program do one round."""
        if self._process is None or self._process.stdin is None:
            raise RoundError("was not started")
        self._process.stdin.write(f"round {effort}\n")
        self._process.stdin.flush()
        answer = self._answer()
        if not answer.endswith("}"):
            raise RoundError(f"broke off: {self._complaint()}")
        return {name: float(ns) for name, ns in json.loads(answer).items()}

    def stop(self) -> None:
        """End the program and remove its folder."""
        if self._process is not None:
            try:
                self._process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
        if self._log is not None:
            self._log.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._log = self._folder = None

    def _build(self, shop: Workshop) -> Path:
        if not shop.can_compile():
            raise MissingError("no C compiler")
        absent = [str(path) for path in self.sources if not path.is_file()]
        if absent:
            raise MissingError(f"no source {', '.join(absent)}")
        flags, libraries = [*self.flags], [*self.libraries]
        if self.package:
            found = shop.package_flags(self.package)
            if found is None:
                raise MissingError(f"no {self.package} (Debian: {self.debian}, pkg-config)")
            flags, libraries = [*found[0], *flags], [*found[1], *libraries]
        return shop.program(self.sources[0].stem, self.sources, flags, libraries)

    def _answer(self) -> str:
        if self._process is None or self._process.stdout is None:
            return ""
        return self._process.stdout.readline().strip()

    def _complaint(self) -> str:
        if self._log is None:
            return "no reason given"
        if self._process is not None and self._process.stdin is not None:
            self._process.kill()
            self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "no reason given"
