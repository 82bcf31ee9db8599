"""One application script in software, offloaded throughout, and moved at random: nobody can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.chimney.stage import MS, Act, Outcome, Script, played
from vnic.link.impairments import Impairments

SCALE = max(1, settings().max_examples // 100)
# A script is drawn whole, by its seed: there is nothing to shrink.
DRAWN = (Phase.explicit, Phase.reuse, Phase.generate)
#: Connection state x event met by all runs of this module.
MATRIX: Counter[tuple[str, str]] = Counter()
TOLD: Counter[str] = Counter()
TOTALS = {"offloaded": [0, 0, 0, 0], "moving": [0, 0, 0, 0]}


def acts_of(random: Random, *, aborts: bool) -> tuple[Act, ...]:
    """Both talk, stall, the link has bad moments; perhaps one is done before the other, or breaks off."""
    acts = [Act(0, side, "send", random.choice([1, 500, 5000, 60_000])) for side in (0, 1)]
    for _ in range(random.randrange(4, 14)):
        what = random.choice(["send", "send", "send", "send", "stop", "read", "send" if aborts else "storm"])
        sizes = [1, 100, 1460, 3000, 30_000, 100_000] if what == "send" else [0, 1]
        amount = random.choice(sizes)
        acts.append(Act(random.choice([0, 0, 1, 5, 50, 400, 3000]), random.randrange(2), what, amount))
    if random.random() < 0.5:
        acts.insert(random.randrange(2, len(acts)), Act(0, random.randrange(2), "shutdown"))
    if aborts:
        acts.append(Act(random.choice([0, 1, 30]), random.randrange(2), "abort"))
    return tuple(acts)


def script_of(seed: int, *, aborts: bool = False) -> Script:
    """A script with a bit of everything."""
    random = Random(seed)
    loss, duplicate, reorder = (random.choice([0, 0, 0.01, 0.05]) for _ in range(3))
    loss = 0 if aborts else loss  # who is told must not depend on whether the RST was lost
    cable = Impairments(
        loss=loss, duplicate=duplicate, reorder=reorder, delay_ns=random.choice([20_000, MS, 20 * MS]),
        jitter_ns=random.choice([0, MS]),
    )  # fmt: skip
    stack = (
        ("receive_buffer", random.choice([4096, 20_000, 65_535, 262_144])),
        ("send_buffer", random.choice([8192, 65_536, 262_144])),
    )
    acts = acts_of(random, aborts=aborts)
    is_foreign = random.randrange(3) == 0
    version = 4 if is_foreign else random.choice([4, 6])
    return Script(acts, cable, version, random.randrange(2), seed & 0xFFFF, is_foreign, stack)


def note(outcome: Outcome, mode: str) -> None:
    """Remember what a run reached."""
    MATRIX.update(outcome.met)
    runs = TOTALS[mode]
    runs[0] += outcome.initiates
    runs[1] += outcome.offloaded_bytes
    runs[2] += sum(map(len, outcome.received))
    runs[3] += outcome.moves_in_flight


@settings(max_examples=10 * SCALE, phases=DRAWN)
@given(st.integers(0, 2**48))
def test_the_same_bytes_end_and_numbers(seed: int) -> None:
    script = script_of(seed)
    plain = played(script, "software")
    assert plain.received == plain.sent[::-1] and plain.ended == (None, None)
    for mode in ("offloaded", "moving"):
        other = played(script, mode)
        assert other.received == plain.received and other.sent == plain.sent, mode
        assert other.ended == plain.ended and other.spans == plain.spans, mode
        note(other, mode)


@settings(max_examples=5 * SCALE, phases=DRAWN)
@given(st.integers(0, 2**48))
def test_who_breaks_off_and_who_is_told(seed: int) -> None:
    script = script_of(seed, aborts=True)
    plain = played(script, "software")
    for mode in ("offloaded", "moving"):
        other = played(script, mode)
        # A little earlier or later it may have been over, or, at lwIP, not have been read.
        if other.broken_in == plain.broken_in and not script.is_foreign:
            assert other.ended == plain.ended, mode
            TOLD[mode] += 1
        for received, sent in zip(other.received, other.sent[::-1], strict=True):
            assert sent.startswith(received), mode
        note(other, mode)


@pytest.fixture(scope="module", autouse=True)
def _report() -> Iterator[None]:
    """What all runs together must have reached, printed as a matrix."""
    yield
    if not MATRIX:
        return
    states, events = sorted({state for state, _ in MATRIX}), sorted({event for _, event in MATRIX})
    print("\nconnection state x event reached")
    print(f"{'':14}" + "".join(f"{event:>10}" for event in events))
    for state in states:
        print(f"{state:14}" + "".join(f"{MATRIX[(state, event)]:>10}" for event in events))
    for mode, (initiates, moved, total, busy) in TOTALS.items():
        print(f"{mode}: {initiates} initiates, {busy} moves with data in flight, {moved} bytes by the card")
        print(f"{'':{len(mode)}}  of {total} that were read")
    print(f"who is told was compared in {TOLD['offloaded']} and {TOLD['moving']} runs")
    assert all(runs[0] > 0 for runs in TOTALS.values()) and TOTALS["moving"][3] > 0
    assert TOTALS["offloaded"][1] >= 0.8 * TOTALS["offloaded"][2]
