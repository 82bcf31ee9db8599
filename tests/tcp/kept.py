"""Kept runs: what the engine did in scenarios of a seed each, as a digest of every segment and all counters.

`python -m tests.tcp.kept` writes them anew, after a change that is meant.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from tests.tcp.options import Options
from tests.tcp.test_metamorphic import scenario_of
from tests.tcp.world import Act, Scenario, World
from vnic._core import ffi

FILE = Path(__file__).resolve().parent / "kept.txt"
#: Seeds of scenarios with memory as they have it, and with hardly any and losses throughout.
USUAL, SCARCE = range(80), range(100, 124)
#: Nodes for runs and ranges; a chimney without a node has its connection uploaded, so both sides are hosts.
NODES = (1, 2, 3, 4, 6, 9)


def _scarce(options: Options, nodes: int) -> Options:
    config = options.config | {"nodes": nodes, "recoveries": 1, "connections": 1}
    return replace(options, config=config, profile="rfc", sack=True, rcv_buf=max(options.rcv_buf, 65_535))


def _busy(seed: int) -> list[Act]:
    """Much to send, a little at a time: every burst is a run of its own."""
    acts = [Act(0, 0, "send", 60_000), Act(40, 1, "send", 30_000)]
    return acts + [Act((seed * 7 + n * 13) % 40, n % 2, "send", 900 + 731 * n) for n in range(24)]


def scenario(seed: int) -> Scenario:
    """The scenario of a kept run."""
    made = scenario_of(seed)
    if seed not in SCARCE:
        return made
    nodes = NODES[seed % len(NODES)]
    one, other = (_scarce(options, nodes) for options in made.options)
    loss = 0.03 + 0.02 * (seed % 5)
    link = replace(made.link, loss=loss, reorder=0.1 * (seed % 2), duplicate=0.02 * (seed % 3), mtu=65_535)
    return replace(made, options=(one, other), link=link, acts=_busy(seed))


def counters(world: World) -> list[dict[str, int]]:
    """The statistics of both engines."""
    fields = [name for name, _ in ffi.typeof("struct tcp_statistics").fields]
    return [{name: int(getattr(side.engine.statistics, name)) for name in fields} for side in world.sides]


def told(world: World) -> str:
    """One line: how many segments, and what they and the counters come to."""
    total = hashlib.sha256()
    for sent in world.trace:
        segment = replace(sent.segment, payload=b"")
        total.update(f"{sent.at_ns} {sent.side} {segment} {len(sent.segment.payload)}\n".encode())
    total.update(repr(counters(world)).encode())
    return f"{len(world.trace)} segments, {total.hexdigest()[:16]}"


def run(seed: int) -> tuple[str, list[dict[str, int]]]:
    """What a scenario comes to, and the counters; AssertionError when bytes or invariants are wrong."""
    world = World(scenario(seed))
    try:
        world.run()
        for index, side in enumerate(world.sides):
            mine, peer = side.endpoint, world.sides[1 - index].endpoint
            assert mine is not None
            assert peer is not None
            assert mine.received == peer.queued[: len(mine.received)], "the stream differs"
        return told(world), counters(world)
    finally:
        world.close()


def main() -> None:
    """Write them anew."""
    lines = [f"{seed}: {run(seed)[0]}\n" for seed in (*USUAL, *SCARCE)]
    FILE.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
