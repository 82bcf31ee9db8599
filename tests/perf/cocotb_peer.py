"""A register read over a simulated bus: cocotb with Icarus Verilog, a simulation per round."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

from .harness import Figures, MissingError, RoundError
from .workshop import HERE, Workshop

READS_A_ROUND = 3000
ROUND_SECONDS = 120


class CocotbContender:
    """Runs the simulation in a process of its own."""

    name = "cocotb"

    def __init__(self) -> None:
        self._folder: Path | None = None

    def start(self, shop: Workshop) -> None:
        """Look for cocotb 2 and the simulator."""
        if importlib.util.find_spec("cocotb_tools") is None:
            raise MissingError("no cocotb (PyPI: cocotb >= 2)")
        if shutil.which("iverilog") is None:
            raise MissingError("no iverilog (Debian: iverilog)")
        self._folder = shop.folder / "cocotb"
        self._folder.mkdir(exist_ok=True)

    def round(self, effort: float) -> Figures:
        """Simulate; the measurement is written to a file from inside."""
        if self._folder is None:
            raise RoundError("was not started")
        answer = self._folder / "answer.json"
        answer.unlink(missing_ok=True)
        reads = max(int(READS_A_ROUND * effort), 10)
        command = [sys.executable, str(HERE / "peers" / "cocotb_bus_read.py"), str(self._folder), str(reads)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ROUND_SECONDS, check=False)
        if not answer.is_file():
            raise RoundError(f"no answer from the simulation: {done.stderr[-300:]}")
        return {name: float(ns) for name, ns in json.loads(answer.read_text(encoding="utf-8")).items()}

    def stop(self) -> None:
        """Nothing to release: the workshop's folder goes with the workshop."""
