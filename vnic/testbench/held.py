"""What a capture holds: NBLs and OID requests, each to be passed on, or completed with another status."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Generic, TypeVar

from vnic.errors import UnknownError
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid_request import OidRequest, RequestType
from vnic.ndis.status import NDIS_STATUS

ThingT = TypeVar("ThingT")


class Place(Enum):
    """Where something was on its way when it was held."""

    SEND = "a send on its way to the driver"
    COMPLETION = "a send on its way back from the driver"
    INDICATION = "an NBL that the driver indicates"
    RETURN = "an indicated NBL on its way back to the driver"
    REQUEST = "an OID request on its way to the driver"
    ANSWER = "an OID request that the driver has completed"


class Held(ABC, Generic[ThingT]):
    """One thing; it is held until it is passed on or completed, which is done once (UnknownError)."""

    def __init__(self, thing: ThingT, place: Place, at_ns: int) -> None:
        self.thing = thing
        self.place = place
        self.at_ns = at_ns
        self.is_held = True

    def pass_on(self) -> None:
        """It goes on as if nothing had been."""
        self._release()
        self._go_on()

    def _release(self) -> None:
        if not self.is_held:
            raise UnknownError(f"{self}: is not held any more")
        self.is_held = False

    @abstractmethod
    def _go_on(self) -> None:
        """To where it was going."""

    def __str__(self) -> str:
        return f"{self.place.value}, since {self.at_ns} ns"


class HeldList(Held[NetBufferList]):
    """An NBL: `nbl`. Its status can be set before a completion is passed on."""

    def __init__(
        self,
        nbl: NetBufferList,
        place: Place,
        at_ns: int,
        go_on: Callable[[NetBufferList], None],
        complete: Callable[[NetBufferList], None],
    ) -> None:
        super().__init__(nbl, place, at_ns)
        self._on = go_on
        self._complete = complete

    @property
    def nbl(self) -> NetBufferList:
        """What is held."""
        return self.thing

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The bytes of each NET_BUFFER."""
        return tuple(buffer.data() for buffer in self.thing.net_buffers())

    def complete(self, status: NDIS_STATUS = NDIS_STATUS.SUCCESS) -> None:
        """End it here: nobody else sees it.

        A send goes back to its sender with this status; what the driver indicates goes back to the driver.
        """
        self._release()
        if self.place in (Place.SEND, Place.COMPLETION):
            self.thing.status = status
        self._complete(self.thing)

    def _go_on(self) -> None:
        self._on(self.thing)

    def __str__(self) -> str:
        return f"{super().__str__()}: {', '.join(f'{len(frame)} bytes' for frame in self.frames)}"


class HeldRequest(Held[OidRequest]):
    """An OID request: `request`; of an answer, `status` is what the driver said."""

    def __init__(
        self,
        request: OidRequest,
        place: Place,
        at_ns: int,
        *,
        go_on: Callable[[OidRequest, NDIS_STATUS], None],
        complete: Callable[[OidRequest, NDIS_STATUS], None],
        status: NDIS_STATUS = NDIS_STATUS.PENDING,
    ) -> None:
        super().__init__(request, place, at_ns)
        self.status = status
        self._on = go_on
        self._complete = complete

    @property
    def request(self) -> OidRequest:
        """What is held."""
        return self.thing

    def complete(self, status: NDIS_STATUS, data: bytes | None = None) -> None:
        """Complete it with a status, and what a query returns; the driver never sees it, or is overruled."""
        self._release()
        if data is not None:
            status = self.thing.answer(data) if status == NDIS_STATUS.SUCCESS else status
        self._complete(self.thing, status)

    def _go_on(self) -> None:
        self._on(self.thing, self.status)

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.thing}"


HeldT = TypeVar("HeldT", HeldList, HeldRequest)


class Catch(Generic[HeldT]):
    """What one hold caught and still holds, oldest first; at its end everything is passed on.

    Used as a context manager. `caught` counts all that it ever held.
    """

    def __init__(
        self, place: Place, is_wanted: Callable[[object], bool], release: Callable[[object], None]
    ) -> None:
        self.place = place
        self.caught = 0
        self.is_over = False
        self._is_wanted = is_wanted
        self._release = release
        self._held: list[HeldT] = []

    def wants(self, thing: NetBufferList | OidRequest) -> bool:
        """Whether it is to be held here."""
        return not self.is_over and self._is_wanted(thing)

    def keep(self, held: HeldT) -> None:
        """Hold it."""
        self.caught += 1
        self._held.append(held)

    def _still(self) -> list[HeldT]:
        self._held = [each for each in self._held if each.is_held]
        return self._held

    def __len__(self) -> int:
        return len(self._still())

    def __getitem__(self, index: int) -> HeldT:
        return self._still()[index]

    def __iter__(self) -> Iterator[HeldT]:
        return iter(list(self._still()))

    def pass_on(self, order: Iterable[int] | None = None) -> None:
        """Let everything go on: in this order of indices, the rest behind; by default oldest first."""
        held: list[HeldT] = list(self._still())
        chosen: list[HeldT] = [held[index] for index in order or ()]
        for each in [*chosen, *(other for other in held if other not in chosen)]:
            if each.is_held:
                each.pass_on()

    def close(self) -> None:
        """Hold nothing any more; idempotent."""
        self.is_over = True
        self._release(self)
        self.pass_on()

    def __enter__(self) -> Catch[HeldT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pattern:
    """Which frames: those with `pattern` at `offset`, in the bits of `mask`, and of which `where` holds."""

    def __init__(
        self,
        pattern: bytes = b"",
        mask: bytes | None = None,
        offset: int = 0,
        where: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._mask = bytes(b"\xff" * len(pattern)) if mask is None else mask
        if len(self._mask) != len(pattern):
            raise ValueError(f"a mask of {len(self._mask)} bytes for a pattern of {len(pattern)}")
        self._wanted = bytes(octet & bits for octet, bits in zip(pattern, self._mask, strict=True))
        self._offset = offset
        self._where = where

    def __call__(self, nbl: object) -> bool:
        """Of an NBL, by its first NET_BUFFER."""
        assert isinstance(nbl, NetBufferList)
        buffer = nbl.first_net_buffer
        frame = buffer.data() if buffer is not None else b""
        part = frame[self._offset : self._offset + len(self._mask)]
        masked = bytes(octet & bits for octet, bits in zip(part, self._mask, strict=False))
        return masked == self._wanted and (self._where is None or self._where(frame))


class Selection:
    """Which OID requests: by OID, type, and port; None: any."""

    def __init__(self, oid: int | None, type: RequestType | None, port: int | None) -> None:
        self._oid = oid
        self._type = type
        self._port = port

    def __call__(self, request: object) -> bool:
        """Of a request."""
        assert isinstance(request, OidRequest)
        pairs = ((self._oid, request.oid), (self._type, request.type), (self._port, request.port))
        return all(wanted is None or wanted == found for wanted, found in pairs)
