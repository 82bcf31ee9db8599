"""struct vnic_bus_ops over a Bus: the bus operations of a C driver."""

from __future__ import annotations

from vnic.errors import AllocationError, CapacityError, UnknownError
from vnic.host.bus import Bus, Direction, Segment
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C
from vnic.testbench.c_driver.guest import Guest

__all__ = ["BusCalls"]

_SEGMENTS_MAX = 1 << 14


class BusCalls:
    """Every member of the table by its name; arguments are C's, without the first."""

    def __init__(self, crossing: Crossing, bus: Bus, guest: Guest) -> None:
        self._crossing = crossing
        self._bus = bus
        self._guest = guest

    # -- registers ---------------------------------------------------------------------------------------

    def config_read(self, offset: int, width: int) -> int:
        """Configuration space."""
        return self._bus.config_read(offset, width)

    def config_write(self, offset: int, width: int, value: int) -> None:
        """Configuration space."""
        self._bus.config_write(offset, value, width)

    def read(self, bar: int, offset: int, width: int) -> int:
        """A BAR."""
        return self._bus.read(bar, offset, width)

    def write(self, bar: int, offset: int, width: int, value: int) -> None:
        """A BAR."""
        if value >> 8 * width:
            text = f"{value:#x} written to BAR {bar} offset {offset:#x} does not fit {width} bytes"
            raise self._crossing.breach("DRV-12", text)
        self._bus.write(bar, offset, value, width)

    def bar_size(self, bar: int) -> int:
        """Bytes of a BAR."""
        return self._bus.bar_size(bar)

    def enable_device(self) -> bool:
        """D0, Memory Space Enable; False when there is no function."""
        try:
            self._bus.enable_device()
        except UnknownError:
            return False
        return True

    def disable_device(self) -> None:
        """Memory Space Enable and Bus Master Enable off."""
        self._bus.disable_device()

    def set_master(self, on: bool) -> None:
        """Bus Master Enable."""
        self._bus.set_master(on)

    def delay_ns(self, ns: int) -> None:
        """Let virtual time pass."""
        self._bus.delay_ns(ns)

    # -- DMA ---------------------------------------------------------------------------------------------

    def alloc_coherent(self, size: int, addr: C) -> C:
        """Memory for both; *addr is its bus address."""
        pointer, addr[0] = self._guest.alloc_coherent(size)
        return pointer

    def free_coherent(self, memory: C, size: int, addr: int) -> None:
        """Give it back."""
        self._guest.free_coherent(memory, size, addr)

    def map(self, memory: C, size: int, direction: int, segments: C, capacity: int) -> int:
        """Map memory of the machine; how many segments there are, or would be."""
        address = self._guest.address(memory, size, "map")
        way = self._direction(direction)
        try:
            found = self._bus.map(address, size, way)
        except (AllocationError, CapacityError):
            return 0
        if len(found) > capacity or not segments:
            self._bus.unmap(found, way)
        else:
            for place, segment in enumerate(found):
                segments[place].addr, segments[place].len = segment
        return len(found)

    def unmap(self, segments: C, count: int, direction: int) -> None:
        """End a mapping; DRV-13 when there is none such."""
        if count > _SEGMENTS_MAX or (count and not segments):
            raise self._crossing.breach("DRV-12", f"unmap of {count} segments at {segments}")
        wanted = [Segment(segments[place].addr, segments[place].len) for place in range(count)]
        way = self._direction(direction)
        try:
            self._bus.unmap(wanted, way)
        except UnknownError as error:
            raise self._crossing.breach("DRV-13", f"unmap: {error}") from None

    def _direction(self, value: int) -> Direction:
        try:
            return Direction(value)
        except ValueError:
            raise self._crossing.breach("DRV-12", f"{value} is no direction of DMA") from None

    # -- vectors without NDIS ----------------------------------------------------------------------------

    def alloc_vectors(self, least: int, most: int) -> int:
        """Vectors; below 0 when there are fewer than `least`."""
        try:
            return self._bus.alloc_vectors(least, most)
        except CapacityError:
            return -1

    def free_vectors(self) -> None:
        """Give all vectors back."""
        self._bus.free_vectors()

    def request_irq(self, vector: int, handler: C, context: C) -> int:
        """Call a handler at DIRQL."""

        def service(raised: int) -> None:
            self._crossing.call(handler, context, raised)

        self._bus.request_irq(vector, service)
        return 0

    def free_irq(self, vector: int) -> None:
        """No more calls."""
        self._bus.free_irq(vector)
