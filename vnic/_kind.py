"""What tells one kind of PCI function from another: its configuration, its functions in C, its registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from vnic import errors
from vnic._core import ffi, lib
from vnic.gen.model import RegisterMap

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class FunctionConfig(DataclassInstance, Protocol):
        """What every kind's configuration has."""

        @property
        def function(self) -> int | None:
            """Number of the function."""


ConfigT = TypeVar("ConfigT", bound="FunctionConfig")


class Calls(NamedTuple):
    """The functions in C that every kind of PCI function has; each takes the pointer to it first."""

    config_init: Callable[[Any], None]
    create: Callable[[Any, Any], int]
    destroy: Callable[[Any], None]
    footprint: Callable[[Any], int]
    read: Callable[[Any, int, int, int], int]
    write: Callable[[Any, int, int, int, int], None]
    cfg_read: Callable[[Any, int, int], int]
    cfg_write: Callable[[Any, int, int, int], None]
    map: Callable[[Any, int, Any, int, int], int]
    unmap: Callable[[Any, int, int], int]
    unmap_all: Callable[[Any], None]
    set_unmapped: Callable[[Any, Any, Any], None]
    interrupts: Callable[[Any, Any, int], int]
    advance: Callable[[Any, int], int]
    now: Callable[[Any], int]
    deadline: Callable[[Any], int]
    runnable: Callable[[Any], int]
    step: Callable[[Any, int, Any], int]
    run: Callable[[Any, Any, Any], int]
    idle_steps: Callable[[Any], int]
    reset: Callable[[Any, int], None]
    remove: Callable[[Any], None]
    insert: Callable[[Any], None]
    save: Callable[[Any, Any, int], int]
    load: Callable[[Any, Any, int], int]
    state_hash: Callable[[Any], int]
    observe: Callable[[Any, Any, Any, int], None]
    retell: Callable[[Any], None]
    fault_arm: Callable[[Any, Any], int]
    fault_disarm: Callable[[Any, int], int]
    fault_fired: Callable[[Any, int], int]
    fault_kept: Callable[[Any], int]
    register_map_hash: Callable[[], int]

    @classmethod
    def named(cls, prefix: str) -> Calls:
        """Those whose names begin so: vnic_read() is `read` of "vnic"."""
        return cls(*(getattr(lib, f"{prefix}_{name}") for name in cls._fields))


class OpenAccess(Protocol):
    """vnic_access_to_card() and its like."""

    def __call__(self, function: Any, settle: int, closed: int, inside: int, /) -> Any:
        """The struct vnic_access of a function, of addresses of Python objects; NULL without memory."""


@dataclass(frozen=True)
class Kind(Generic[ConfigT]):
    """A kind of PCI function; `prefix`: of the names of its types and functions in C."""

    prefix: str
    config: type[ConfigT]
    registers: RegisterMap
    open_access: OpenAccess

    @cached_property
    def calls(self) -> Calls:
        """Its functions in C; BuildError when they come from other registers than vnic.gen."""
        calls = Calls.named(self.prefix)
        if calls.register_map_hash() != self.registers.hash:
            raise errors.BuildError("the compiled module has other registers than vnic.gen: build it again")
        return calls

    def pointer(self) -> Any:
        """Where create() puts the new function."""
        return ffi.new(f"{self.prefix} **")

    def raw(self, config: ConfigT) -> Any:
        """A configuration as C has it, with the library's defaults; ArgumentError for what does not fit."""
        raw = ffi.new(f"struct {self.prefix}_config *")
        self.calls.config_init(raw)
        for name, value in asdict(config).items():
            if value is not None:
                _put(raw, name, value)
        return raw

    def resolved(self, raw: Any) -> ConfigT:
        """A configuration out of C, every field filled in."""
        return self.config(**{field.name: _taken(raw, field.name) for field in fields(self.config)})


def _put(raw: Any, name: str, value: int | bytes) -> None:
    if isinstance(value, bytes):
        room = len(getattr(raw, name))
        if len(value) != room:
            raise errors.ArgumentError(f"{name}: {room} octets, not {len(value)}")
    try:
        setattr(raw, name, list(value) if isinstance(value, bytes) else value)
    except OverflowError as error:
        raise errors.ArgumentError(f"{name}: {error}") from None


def _taken(raw: Any, name: str) -> int | bytes:
    value = getattr(raw, name)
    if isinstance(value, int):
        return bool(value) if name.startswith("is_") else value
    return bytes(value)
