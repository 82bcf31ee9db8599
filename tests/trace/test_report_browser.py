"""The report in a browser: Chromium draws timeline, heat map and TCP graph, and its console stays empty."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.trace.pages import Page
from vnic.trace.file import TraceReader
from vnic.trace.report.page import page
from vnic.trace.report.survey import LANES, survey

KEPT = Path(__file__).parent.parent / "traces"
CHROMIUM = shutil.which("chromium")
# The nightly run needs one: there, that it is missing is a failure.
IS_NIGHTLY = os.environ.get("VNIC_HYPOTHESIS") in ("explore", "nightly")

pytestmark = pytest.mark.skipif(CHROMIUM is None and not IS_NIGHTLY, reason="needs chromium")

#: What a reader would do: another axis, closer, a part of the graph, another connection, a search.
READER = """<script>
  document.querySelectorAll("#timeline-chart button").forEach(button => button.click());
  const svg = document.querySelector("#tcp-chart svg"), box = svg.getBoundingClientRect();
  svg.setPointerCapture = () => {};
  const grid = () => [...svg.querySelectorAll("text")].map(each => each.textContent).join(" ");
  const before = grid();
  for (const [type, x, y] of [["pointerdown", 300, 100], ["pointermove", 400, 200], ["pointerup", 400, 200]])
    svg.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1 }));
  document.body.dataset.zoomed = String(grid() !== before);
  document.body.dataset.readout = document.querySelector("#tcp-chart .readout").textContent;
  const choice = document.getElementById("tcp-choice");
  choice.value = "1";
  choice.dispatchEvent(new Event("change"));
  document.getElementById("search").value = "link 10000";
  document.getElementById("search").dispatchEvent(new Event("input"));
</script>"""


def browsed(path: Path) -> Page:
    """The document as it is when its scripts have run; nothing may be said on the console."""
    words = [CHROMIUM or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    words += [
        "--window-size=1300,2000",
        "--virtual-time-budget=2000",
        f"--user-data-dir={path.parent / 'own'}",
    ]
    words += ["--dump-dom", path.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return Page(done.stdout)


@pytest.fixture(scope="module")
def markup() -> str:
    with TraceReader(KEPT / "chimney.pcapng.gz") as reader:
        return page(survey(reader), "chimney")


def test_the_pictures_are_drawn(markup: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(markup, encoding="utf-8")
    found = browsed(path)
    paths = {attributes.get("data-lane"): attributes["d"] or "" for attributes in found.all("path")}
    assert set(LANES) < set(paths)
    lanes = found.data["timeline"]["lanes"]
    assert all(bool(paths[lane["name"]]) == bool(lane["counts"]) for lane in lanes)
    strokes = {attributes.get("data-kind"): attributes["d"] or "" for attributes in found.all("path")}
    assert {"data", "acks"} < set(strokes)
    best = max(
        (half for each in found.data["connections"] for half in each["halves"]),
        key=lambda half: half["bytes"],
    )
    assert strokes["data"].count("M") == len(best["data"])
    assert "time since the connection's first segment" in found.texts["tcp-chart"]
    assert "sequence number" in found.texts["tcp-chart"]
    assert "event number" in found.texts["timeline-chart"]
    assert "f0 queue 0" in found.texts["units-chart"]
    numbers = re.findall(
        r"NaN|Infinity|undefined", " ".join(filter(None, strokes.values())) + str(found.texts)
    )
    assert numbers == []


def test_a_reader_can_look_closer(markup: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(markup.replace("</body>", f"{READER}</body>"), encoding="utf-8")
    found = browsed(path)
    body = next(found.all("body"))
    assert body["data-zoomed"] == "true"
    assert re.fullmatch(r"[\d.,-]+ (ns|µs|ms|s), sequence number [\d,-]+", body["data-readout"] or "")
    assert "virtual time since the trace began" in found.texts["timeline-chart"]
    assert found.texts["search-found"] == " 1 of those that are listed"
    rows = [attributes for attributes in found.all("tr") if "hidden" not in attributes]
    assert len(rows) < len(list(found.all("tr")))
