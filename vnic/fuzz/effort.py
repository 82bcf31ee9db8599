"""How many examples a property gets: by profile (VNIC_HYPOTHESIS), times VNIC_FUZZ_EFFORT.

`dev` (the default): few, the same each time, so that a failure is everybody's. `ci`: as dev, several times as
many. `nightly` (or `explore`): many, other ones each time; failures go to the database of VNIC_EXAMPLES.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings

from vnic.fuzz.example_database import database


@dataclass(frozen=True, slots=True)
class Profile:
    """How many times the usual examples, and whether they are the same each time."""

    effort: float
    is_repeatable: bool


_NIGHTLY = Profile(20.0, False)
#: `vnic` is what the suite's own profile of that name is called in the environment.
PROFILES = {
    "dev": Profile(0.5, True),
    "vnic": Profile(0.5, True),
    "ci": Profile(3.0, True),
    "nightly": _NIGHTLY,
    "explore": _NIGHTLY,
}
PROFILE = PROFILES.get(os.environ.get("VNIC_HYPOTHESIS", "dev"), PROFILES["dev"])
EFFORT = float(os.environ.get("VNIC_FUZZ_EFFORT", PROFILE.effort))
_DATABASE = database()

_FINE = [
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,  # those that properties of programs use only count
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
]


def examples(count: int, **more: Any) -> settings:
    """Settings of a property: `count` examples in the default run, the same each time."""
    if _DATABASE is not None:
        more = {"database": _DATABASE} | more
    # What is the same each time needs no database, and Hypothesis allows none.
    is_repeatable = PROFILE.is_repeatable and PROFILES["ci"].effort >= EFFORT and _DATABASE is None
    return settings(
        max_examples=max(int(count * EFFORT), 1),
        deadline=None,
        derandomize=is_repeatable,
        suppress_health_check=_FINE,
        print_blob=True,
        **more,
    )
