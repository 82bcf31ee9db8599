"""The kept traces: today's code does what they say, and recording the scenarios again gives the same bytes.

After a change that is meant, `python -m tests.traces` writes them anew; `vnic trace diff` shows what changed.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from tests.traces.scenarios import SCENARIOS, record
from vnic.abi import EventType
from vnic.cli import main
from vnic.trace.event import READS
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.names import Names
from vnic.trace.regression import assert_replays

FOLDER = Path(__file__).resolve().parent
KEPT = sorted(FOLDER.glob("*.pcapng.gz"))


def test_every_scenario_is_kept() -> None:
    assert {path.name for path in KEPT} == {f"{name}.pcapng.gz" for name in SCENARIOS}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name.partition(".")[0])
def test_it_is_still_done_so(path: Path) -> None:
    assert_replays(path)


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_is_still_recorded_so(name: str) -> None:
    kept = gzip.decompress((FOLDER / f"{name}.pcapng.gz").read_bytes())
    assert record(name) == kept, "see `vnic trace diff`, then `python -m tests.traces`"


def test_another_reset_value_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As if GLB_CAPS had been made with one more vector: the replay says which register and field."""
    path = tmp_path / "other.pcapng"
    with TraceReader(FOLDER / "bring-up.pcapng.gz") as reader, TraceWriter(path, reader.header) as writer:
        names = Names(reader.header)
        for event in reader:
            is_caps = event.type in READS and names.name(event) == "GLB_CAPS"
            writer.write(event._replace(value=event.value + (1 << 8)) if is_caps else event)
    assert main(["trace", "replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "GLB_CAPS" in out
    assert "VECTORS: 6 in the trace, 5 now" in out


def test_they_cover_the_kinds_of_events() -> None:
    kinds = {
        event.type
        for name in SCENARIOS
        for event in TraceReader(io.BytesIO((FOLDER / f"{name}.pcapng.gz").read_bytes()))
    }
    assert kinds >= set(EventType) - {EventType.STEP, EventType.MARK, EventType.HASH}
