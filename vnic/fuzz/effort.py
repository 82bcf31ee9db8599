"""How many examples a property gets: few in the default run, more by VNIC_FUZZ_EFFORT or to explore."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

_EXPLORING = 20.0
_USUAL = _EXPLORING if os.environ.get("VNIC_HYPOTHESIS") == "explore" else 1.0
EFFORT = float(os.environ.get("VNIC_FUZZ_EFFORT", _USUAL))

_FINE = [
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,  # those that properties of programs use only count
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
]


def examples(count: int, **more: Any) -> settings:
    """Settings of a property: `count` examples in the default run, the same each time."""
    return settings(
        max_examples=max(int(count * EFFORT), 1),
        deadline=None,
        derandomize=EFFORT <= 1,
        suppress_health_check=_FINE,
        print_blob=True,
        **more,
    )
