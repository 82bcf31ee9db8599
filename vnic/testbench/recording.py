"""Recording of every device that is made: a test that fails leaves a trace, and each can be replayed."""

from __future__ import annotations

import re
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from vnic.function import PciFunction
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Difference, Outcome, Replay
from vnic.trace.text import Lines


@dataclass(eq=False)
class Recording:
    """One device and its trace so far."""

    device: weakref.ref[PciFunction[Any]]
    kind: type[PciFunction[Any]]
    recorder: Recorder
    file: BinaryIO

    @property
    def is_over(self) -> bool:
        """Whether its device is closed, or forgotten."""
        device = self.device()
        return device is None or device.is_closed

    def close(self) -> None:
        """Give the file up."""
        self.recorder.close()
        self.file.close()

    def octets(self) -> bytes:
        """The file as it is now; its device may go on."""
        self.recorder.flush()
        self.file.seek(0)
        data = self.file.read()
        self.file.seek(0, 2)
        return data


class Recordings:
    """Records devices from their making on, each into a temporary file, until they are taken out."""

    def __init__(self) -> None:
        self._alive: list[Recording] = []
        self._is_busy = False

    def start(self) -> None:
        """Devices that are made from now on are recorded."""
        PciFunction.watchers.append(self._on_create)

    def stop(self) -> None:
        """No more."""
        PciFunction.watchers.remove(self._on_create)

    def _on_create(self, device: PciFunction[Any]) -> None:
        if not self._is_busy:
            file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
            self._alive.append(Recording(weakref.ref(device), type(device), Recorder(file, device), file))

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write the traces of all devices there are, as files with this name; which."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_")[-150:]
        paths = []
        for number, recording in enumerate(self._alive):
            paths.append(folder / f"{stem}.{number}.pcapng")
            paths[-1].write_bytes(recording.octets())
        return paths

    def take_over(self) -> list[Recording]:
        """The recordings of devices that are closed or forgotten; they are no longer here."""
        over = [each for each in self._alive if each.is_over]
        self._alive = [each for each in self._alive if each not in over]
        return over

    def take_all(self) -> list[Recording]:
        """All recordings; those of living devices get a state hash at their end."""
        taken, self._alive = self._alive, []
        for each in taken:
            each.recorder.hash()
        return taken

    def replay(self, recording: Recording) -> str:
        """Replay strictly; what is different, or nothing."""
        recording.recorder.close()
        recording.file.seek(0)
        self._is_busy = True
        try:
            with Replay(recording.file) as replay:
                outcome = replay.run()
                lines = Lines(replay.header)
                for device in replay.devices.values():
                    device.close()
        finally:
            self._is_busy = False
        if outcome is Outcome.END:
            return ""
        return _text(outcome, replay.difference, lines)


def _text(outcome: Outcome, difference: Difference | None, lines: Lines) -> str:
    if difference is None:
        return f"the replay ends as {outcome.name}"
    expected, actual = (
        lines.line(event) if event else "nothing" for event in (difference.expected, difference.actual)
    )
    return f"event {difference.number}: recorded {expected!r}, replayed {actual!r}"
