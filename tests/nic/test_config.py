"""Creation: every bound of every parameter, and a machine that has not the memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from vnic._core import ffi, lib
from vnic.abi import Result
from vnic.device import Device
from vnic.errors import ArgumentError

MIB = 1 << 20

# Parameter: the least and the most that is taken, and what else must be so for them.
BOUNDS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "function": (0, 7, {}),
    "queue_pairs": (1, 32, {}),
    "vectors": (1, 64, {}),
    "msi_capable_log2": (0, 5, {}),
    "max_frame": (1514, 65535, {}),
    "map_regions": (1, 1 << 24, {}),
    "faults": (0, 65536, {}),
    "rx_buffer_bytes": (8192, 1 << 28, {"max_frame": 1514}),
    "tx_buffer_bytes": (8192, 1 << 28, {"max_frame": 1514}),
    "connections": (0, 1 << 20, {}),
    "paths": (1, 1 << 20, {}),
    "neighbours": (1, 1 << 20, {}),
    "chimney_work": (16, 1 << 24, {}),
    "chimney_nodes": (16, 1 << 24, {}),
    "chimney_recoveries": (1, 1 << 20, {}),
    "chimney_bytes": (1 << 16, 1 << 36, {}),
}


@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "map_regions"])
def test_the_bounds_are_taken(name: str) -> None:
    least, most, others = BOUNDS[name]
    for value in (least, most if not name.endswith("bytes") else 1 << 22):
        with Device(**others | {name: value}) as device:
            assert getattr(device.config, name) == value
            assert device.is_idle


@pytest.mark.parametrize("name", BOUNDS)
def test_beyond_the_bounds_is_refused(name: str) -> None:
    least, most, others = BOUNDS[name]
    beyond = (least // 2, most * 2) if name.endswith("bytes") else (least - 1, most + 1)
    for value in beyond:
        if value >= 0:
            with pytest.raises(ArgumentError):
                Device(**others | {name: value})


@pytest.mark.parametrize("name", ["rx_buffer_bytes", "tx_buffer_bytes"])
@pytest.mark.parametrize(("size", "max_frame"), [(0, 1514), (8191, 1514), (12288, 1514), (1 << 15, 8193)])
def test_buffers_are_powers_of_two_of_four_frames(name: str, size: Any, max_frame: int) -> None:
    with pytest.raises(ArgumentError):
        Device(**{"max_frame": max_frame, name: size})


def test_a_group_address_is_not_a_cards_own() -> None:
    with pytest.raises(ArgumentError):
        Device(mac=bytes.fromhex("030000000001"))


def test_nothing_is_made_when_refused() -> None:
    config, card = ffi.new("struct vnic_config *"), ffi.new("vnic **")
    lib.vnic_config_init(config)
    config.queue_pairs = 0
    assert lib.vnic_create(config, card) == Result.EINVAL
    assert card[0] == ffi.NULL
    lib.vnic_destroy(card[0])


def test_the_footprint_is_what_the_parameters_ask_for() -> None:
    def footprint(**parameters: Any) -> int:
        with Device(max_frame=1514, **parameters) as device:
            return device.footprint

    least = footprint(rx_buffer_bytes=MIB, tx_buffer_bytes=MIB, map_regions=16, faults=0)
    assert least > 2 * MIB
    grown = footprint(rx_buffer_bytes=2 * MIB, tx_buffer_bytes=MIB, map_regions=16, faults=0) - least
    assert grown == MIB + MIB // 64 * 16
    regions = footprint(rx_buffer_bytes=MIB, tx_buffer_bytes=MIB, map_regions=1016, faults=0) - least
    assert regions % 1000 == 0 and 24 <= regions // 1000 <= 64
    assert footprint(rx_buffer_bytes=MIB, tx_buffer_bytes=MIB, map_regions=16, faults=100) > least


STARVED = """
import resource, sys
from pathlib import Path
from vnic.device import Device
from vnic.errors import AllocationError

parameters = dict(map_regions=1 << 18, faults=65536, rx_buffer_bytes=1 << 24, tx_buffer_bytes=1 << 24)
refused = made = 0
Device().close()
for megabytes in range(0, 80, 2):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), hard))
    try:
        Device(**parameters).close()
        made += 1
    except AllocationError:
        refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
print(refused, made)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: RLIMIT_AS and /proc")
def test_without_memory_there_is_no_card(python_environment: dict[str, str]) -> None:
    """The address space ends a bit later each time: each large allocation is once the one that fails."""
    options = python_environment.get("ASAN_OPTIONS", "")
    environment = python_environment | {"ASAN_OPTIONS": f"{options}:allocator_may_return_null=1"}
    command = [sys.executable, "-P", "-c", STARVED]  # -P: the package that is under test
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, made = map(int, done.stdout.split())
    assert refused >= 10
    assert made >= 2


def test_without_connections_the_rest_is_not_looked_at() -> None:
    wrong: dict[str, Any] = {
        name: 0 for name in BOUNDS if name.startswith("chimney") or name in ("paths", "neighbours")
    }
    with Device(connections=0, **wrong) as device:
        assert device.is_idle
