"""The golden table: goodput beside theory and Linux, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.bars.measure import Result

HEAD = (
    f"{'':22} {'Mb/s':>6} {'(least, most)':>15} {'theory':>7} {'ratio':>6} {'Linux':>6}"
    f" {'again/lost':>11} {'RTOs':>5} {'spurious':>9} {'stall p95':>10} {'Jain':>6}"
)


def row(result: Result) -> str:
    """One line."""
    scene, rates = result.scene, [run.mbps for run in result.runs]
    linux = "" if scene.linux_mbps is None else f"{scene.linux_mbps:.2f}"
    spread = f"({min(rates):.2f}, {max(rates):.2f})"
    jain = f"{result.jain:.3f}" if scene.flows > 1 else ""
    rate = f"{result.mbps:6.2f} {spread:>15} {scene.theory_mbps:7.2f} {result.ratio:6.3f} {linux:>6}"
    cost = f"{result.sent_again:11.3f} {result.timeouts:5.1f} {result.spurious:9d} {result.stall_s:8.2f} s"
    return f"{scene.title:22} {rate} {cost} {jain:>6}".rstrip()


def lines(results: Iterable[Result]) -> Iterator[str]:
    """The table."""
    yield HEAD
    for result in results:
        yield row(result)
