"""OID requests as a C driver has them: a structure, and a buffer of exactly the bytes that were offered."""

from __future__ import annotations

from vnic.ndis.oid_request import OidRequest
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared, new
from vnic.testbench.c_driver.heap import Heap

__all__ = ["Requests"]

_GUARD = b"\xa5" * 16


class Given:
    """One request in the driver's hands. Guards catch writes beside the buffer; a sanitizer needs none."""

    __slots__ = ("_guard", "block", "buffer", "request", "structure")

    def __init__(self, request: OidRequest, structure: C, guard: bytes) -> None:
        self.request = request
        self.structure = structure
        self._guard = guard
        data = guard + bytes(request.buffer) + guard
        self.block = new(f"uint8_t[{max(len(data), 1)}]")
        declared().memmove(self.block, data, len(data))
        self.buffer = self.block + len(guard)

    @property
    def is_intact(self) -> bool:
        """Whether the guards are."""
        whole = bytes(declared().buffer(self.block))
        return whole.startswith(self._guard) and whole.endswith(self._guard)


class Requests:
    """The requests that the driver has: one at most, but a driver may say otherwise."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._heap = Heap(crossing, "struct vnic_oid_request", "OID request")
        self._live: dict[int, Given] = {}

    def give(self, request: OidRequest) -> C:
        """The structure for a request."""
        structure = self._heap.take()
        given = Given(request, structure, b"" if self._crossing.is_instrumented else _GUARD)
        structure.type, structure.oid = request.type, request.oid
        structure.information_buffer = given.buffer
        structure.information_buffer_length = request.buffer_length
        structure.request_id, structure.port = request.request_id, request.port
        structure.timeout_s = request.timeout_s
        self._live[address_of(structure)] = given
        return structure

    def has(self, structure: C) -> bool:
        """Whether a request is still the driver's."""
        return address_of(structure) in self._live

    def take_back(self, structure: C) -> OidRequest:
        """The request as the driver leaves it."""
        given = self._live.pop(address_of(structure), None)
        if given is None:
            text = f"{address_of(structure):#x} is no OID request that is pending"
            raise self._crossing.breach("OID-1", text)
        request, c_request = given.request, given.structure
        if not given.is_intact:
            raise self._crossing.breach("OID-2", f"{request}: the driver wrote beside the buffer")
        if request.is_query:
            request.buffer[:] = bytes(declared().buffer(given.buffer, request.buffer_length))
        request.bytes_written, request.bytes_read = c_request.bytes_written, c_request.bytes_read
        request.bytes_needed = c_request.bytes_needed
        self._heap.give(c_request)
        return request

    def check(self) -> None:
        """Look at everything the driver gave back; raises DRV-11."""
        self._heap.check()
