"""`python scarce_memory.py LIBRARY`: makes one thing after the other while memory is short, as JSON."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from typing import Any

from vnic import _core
from vnic._core import ffi, lib
from vnic.abi import Result

#: More than anything allocates.
MANY = 200
LENT = 1 << 16
HUGE = 1 << 17
_LENT: list[Any] = []


class Memory:
    """The allocations of the compiled module, from now on ours."""

    def __init__(self, library: str) -> None:
        self._calls: Any = ctypes.CDLL(library)
        for name in ("scarce_fail_after", "scarce_live"):
            getattr(self._calls, name).argtypes = [ctypes.c_int64] if name.endswith("after") else []
        self._calls.scarce_live.restype = ctypes.c_int64
        if self._calls.scarce_watch(str(_core.__file__).encode()) < 3:
            raise RuntimeError("the module's calls were not found")

    @property
    def live(self) -> int:
        """Pieces that are allocated."""
        return int(self._calls.scarce_live())

    def attempt(self, make: Callable[[], Any], allowed: int) -> tuple[Any, bool]:
        """What was made while so many allocations succeed and the next fails; whether one failed."""
        self._calls.scarce_fail_after(allowed)
        made = make()
        has_failed = bool(self._calls.scarce_has_failed())
        self._calls.scarce_fail_after(-1)
        return made, has_failed


def configured(kind: str, initialise: Any, **changes: int) -> Any:
    """A configuration with some values of our own."""
    config = ffi.new(f"struct {kind} *")
    initialise(config)
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def created(create: Any, pointer: str) -> Any:
    """What a call with an out parameter makes; None with the result that names the reason."""
    box = ffi.new(pointer)
    result = create(box)
    if result != Result.OK:
        assert result == Result.ENOMEM, f"the reason is said to be {result}"
        assert box[0] == ffi.NULL, "a pointer to nothing comes back"
        return None
    return box[0]


def or_none(made: Any) -> Any:
    """NULL is None."""
    return None if made == ffi.NULL else made


def _makers() -> dict[str, tuple[Callable[[], Any], Any]]:
    card = configured("vnic_config", lib.vnic_config_init, connections=0)
    chimney = configured("vnic_config", lib.vnic_config_init, connections=64, paths=8, neighbours=8)
    many = configured("vnic_config", lib.vnic_config_init, connections=HUGE, paths=8, neighbours=8)
    engine = configured("vnic_copy_config", lib.vnic_copy_config_init)
    small = configured("vnic_stack_config", lib.vnic_stack_defaults)
    large = configured("vnic_stack_config", lib.vnic_stack_defaults, connections=HUGE)
    tcp = ffi.new("struct tcp_engine_config *")
    lib.tcp_engine_defaults(tcp, 4)
    lent = ffi.new("uint8_t[]", LENT + 4096)
    _LENT.append(lent)
    where = lent + (-int(ffi.cast("uintptr_t", lent)) % 4096)
    return {
        "card": (lambda: created(lambda box: lib.vnic_create(card, box), "vnic **"), lib.vnic_destroy),
        "card with a chimney": (
            lambda: created(lambda box: lib.vnic_create(chimney, box), "vnic **"),
            lib.vnic_destroy,
        ),
        "card of many connections": (
            lambda: created(lambda box: lib.vnic_create(many, box), "vnic **"),
            lib.vnic_destroy,
        ),
        "copy engine": (
            lambda: created(lambda box: lib.vnic_copy_create(engine, box), "vnic_copy **"),
            lib.vnic_copy_destroy,
        ),
        "stack": (lambda: or_none(lib.vnic_stack_create(small)), lib.vnic_stack_destroy),
        "stack of many": (lambda: or_none(lib.vnic_stack_create(large)), lib.vnic_stack_destroy),
        "stack in lent memory": (
            lambda: or_none(lib.vnic_stack_create_in(small, where, LENT)),
            lib.vnic_stack_destroy,
        ),
        "TCP engine": (lambda: or_none(lib.tcp_engine_create(tcp)), lib.tcp_engine_destroy),
        "recorder": (
            lambda: or_none(lib.vnic_trace_create(1 << 20, 0, lib.vnic_py_sink, ffi.NULL)),
            lib.vnic_trace_destroy,
        ),
        "replay": (
            lambda: or_none(lib.vnic_replay_create(lib.vnic_py_source, ffi.NULL)),
            lib.vnic_replay_destroy,
        ),
    }


def starve(memory: Memory, make: Callable[[], Any], destroy: Any) -> dict[str, Any]:
    """Fail the first allocation, then the second, until none was left to fail."""
    wrong: list[str] = []
    for allowed in range(MANY):
        before = memory.live
        made, has_failed = memory.attempt(make, allowed)
        if made is not None:
            destroy(made)
        if has_failed and made is not None:
            wrong.append(f"made without allocation {allowed}")
        if not has_failed and made is None:
            wrong.append("not made, though there was memory")
        if memory.live != before:
            wrong.append(f"{memory.live - before} pieces are left behind by allocation {allowed}")
        if not has_failed:
            return {"allocations": allowed, "wrong": wrong}
    return {"allocations": MANY, "wrong": [*wrong, "no end of allocations"]}


def main(library: str) -> None:
    """Print what was found."""
    memory = Memory(library)
    print(json.dumps({name: starve(memory, *each) for name, each in _makers().items()}))


if __name__ == "__main__":
    main(sys.argv[1])
