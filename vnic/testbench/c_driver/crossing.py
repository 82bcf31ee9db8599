"""The border between Python and a C driver: calls down, calls back, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from vnic.ndis.miniport_calls import MiniportCalls
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.rules import RULES
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation
from vnic.testbench.c_driver.declarations import C, declared
from vnic.testbench.c_driver.rules import DRIVER_RULES

__all__ = ["Crossing"]

#: What a callback answers that could not do what it was asked, by the name of the member of the table.
_STATUS = int(NDIS_STATUS.FAILURE)
_ERRORS: dict[str, int] = {
    "read": (1 << 64) - 1,
    "config_read": (1 << 32) - 1,
    "alloc_vectors": -1,
    "request_irq": -1,
    "set_registration_attributes": _STATUS,
    "set_general_attributes": _STATUS,
    "set_offload_attributes": _STATUS,
    "register_interrupt_ex": _STATUS,
    "read_configuration": _STATUS,
    "read_network_address": _STATUS,
}


#: Structures that a driver may have none of: the end of a chain, a list without room.
_MAY_BE_NULL = {"struct vnic_net_buffer_list", "struct vnic_mdl", "struct vnic_segment"}


def _must_be_there(argument: C) -> bool:
    """Whether an argument points to a structure that is looked into."""
    if argument.kind != "pointer" or argument.item.kind != "struct":
        return False
    return argument.item.cname.removeprefix("const ") not in _MAY_BE_NULL


class Crossing:
    """One adapter's border. An exception of a callback is kept; the call that it came out of raises it."""

    def __init__(self, driver: object, handle: object, *, is_instrumented: bool = False) -> None:
        self.driver = driver
        #: The driver was built with AddressSanitizer, which sees more than we can.
        self.is_instrumented = is_instrumented
        self._verifier = handle.verifier if isinstance(handle, MiniportCalls) else None
        self._kept: BaseException | None = None

    # -- down --------------------------------------------------------------------------------------------

    def call(self, function: C, *arguments: Any) -> Any:
        """Call into the driver; raises what a callback under it kept."""
        result = function(*arguments)
        kept, self._kept = self._kept, None
        if kept is not None:
            raise kept
        return result

    # -- up ----------------------------------------------------------------------------------------------

    def callback(self, kind: C, name: str, function: Callable[..., Any], own: C = None) -> C:
        """A C function that calls `function`; with `own` its first argument must be that, and is dropped."""
        error = _ERRORS.get(name)
        places = [place for place, argument in enumerate(kind.args) if _must_be_there(argument)]

        def guarded(*arguments: Any) -> Any:
            if self._kept is not None:
                return error
            for place in places:
                if not arguments[place]:
                    raise self.breach("DRV-10", f"{name} was given NULL")
            if own is None:
                return function(*arguments)
            if arguments[0] != own:
                raise self.breach("DRV-10", f"{name} with a handle that is not this adapter's")
            return function(*arguments[1:])

        def keep(kind: type[BaseException], what: BaseException, where: TracebackType) -> None:
            is_null = isinstance(what, RuntimeError) and "null" in str(what)  # cffi's word for it
            self._kept = self.breach("DRV-10", f"{name} was given NULL") if is_null else what

        ffi = declared()
        if error is None:
            return ffi.callback(kind, guarded, onerror=keep)
        return ffi.callback(kind, guarded, error=error, onerror=keep)

    def table(self, kind: str, own: C, members: object, table: C) -> list[C]:
        """Fill a table of functions from the methods of the same names; keep what is returned."""
        made = []
        for name, field in declared().typeof(kind).fields or []:
            made.append(self.callback(field.type, name, getattr(members, name), own))
            setattr(table, name, made[-1])
        return made

    # -- judging -----------------------------------------------------------------------------------------

    def breach(self, rule_id: str, message: str) -> NdisViolation:
        """Record that a rule was broken, of the border or of NDIS; the caller raises what it returns."""
        verifier = self._verifier
        if verifier is not None and rule_id in RULES:
            return verifier.breach(rule_id, self.driver, message)
        rule = DRIVER_RULES.get(rule_id) or RULES[rule_id]
        history = tuple(verifier.history) if verifier is not None else ()
        violation = NdisViolation(rule, type(self.driver).__name__, message, history)
        if verifier is not None:
            verifier.violations.append(violation)
        return violation

    def status(self, value: int, what: str) -> NDIS_STATUS:
        """A status out of the driver's hands."""
        try:
            return NDIS_STATUS(value)
        except ValueError:
            raise self.breach("DRV-12", f"{what} is 0x{value:08X}, which is no NDIS status") from None

    def is_held_by_driver(self, nbl: NetBufferList) -> bool:
        """Whether the driver may touch a NET_BUFFER_LIST now."""
        return nbl.custodian is None or nbl.holder is self.driver
