"""Progress: units, lines now and then, a bar where rich and a terminal are."""

from __future__ import annotations

import io
import sys

import pytest

from vnic.commands.meter import Bar, Lines, Silence, make_meter, rate_text, size_text


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        """So it says."""
        return True


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (67_108_864, "67.1 MB"), (5e15, "5000.0 TB")],
)
def test_sizes(count: float, text: str) -> None:
    assert size_text(count) == text


def test_rates() -> None:
    assert rate_text(10_000_000, 2) == "5.0 MB/s" and rate_text(10, 0) == "-"


def test_lines_come_every_two_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("vnic.commands.meter.time.monotonic", lambda: now[0])
    lines = Lines("name")
    for step in range(1, 11):
        now[0] = 100 + step / 2
        lines.show(step * 1_000_000, 20_000_000 if step < 8 else None)
    lines.note("noted")
    lines.close()
    out, err = capsys.readouterr()
    assert err.splitlines() == ["name: 4.0 MB of 20.0 MB (20%), 2.0 MB/s", "name: 8.0 MB, 2.0 MB/s"]
    assert out == "noted\n"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="needs rich: an extra of vnic")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = make_meter("name", quiet=False)
    assert isinstance(bar, Bar)
    bar.show(0, 100)
    assert terminal.getvalue() == ""
    bar.show(50, 100)
    bar.note("[bold]as it is[/bold]")
    bar.show(100, 100)
    bar.close()
    bar.close()
    assert "name" in terminal.getvalue() and "[bold]as it is[/bold]" in terminal.getvalue()


def test_quiet_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_meter("name", quiet=True), Silence)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_meter("name", quiet=False), Lines)
