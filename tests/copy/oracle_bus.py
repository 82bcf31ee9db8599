"""Host memory as the reference engine sees it: pages with permissions, the own BAR, and faults to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite, Map
from vnic.fault import ANY, Fault

PAGE = 4096
TOP = 1 << 64


class BusError(Exception):
    """A transfer that failed; nothing of it was moved."""

    def __init__(self, status: DmaStatus) -> None:
        super().__init__(status.name)
        self.status = status


@dataclass
class Page:
    """4 KiB of memory, and who may do what there: with 0 it is not mapped."""

    data: bytearray
    permissions: int


@dataclass
class Armed:
    """A fault, and how often it matched and fired."""

    fault: Fault
    matched: int = 0
    fired: int = 0

    def takes(self, site: FaultSite, purpose: int, first: int, last: int) -> bool:
        """Whether it would fire at this transfer, which it counts."""
        fault = self.fault
        is_match = (
            fault.site == site
            and fault.index in (ANY, purpose)
            and first <= fault.last
            and last >= fault.first
        )
        if not is_match:
            return False
        turn, self.matched = self.matched, self.matched + 1
        return fault.skip <= turn < fault.skip + fault.count


@dataclass
class Memory:
    """Pages by number. `window`: first and last address of the engine's own BAR."""

    pages: dict[int, Page] = field(default_factory=dict)
    window: tuple[int, int] = (TOP, TOP)
    armed: list[Armed] = field(default_factory=list)
    #: Status of every transfer that failed, in order.
    failures: list[DmaStatus] = field(default_factory=list)

    def map(self, addr: int, content: bytes, permissions: int) -> None:
        """Whole pages from addr on."""
        for at in range(0, len(content), PAGE):
            self.pages[(addr + at) // PAGE] = Page(bytearray(content[at : at + PAGE]), permissions)

    def image(self) -> dict[int, bytes]:
        """Everything that is mapped, by address."""
        return {number * PAGE: bytes(page.data) for number, page in self.pages.items()}

    def arm(self, fault: Fault) -> None:
        """Let a fault (ERROR or DROP) wait for its match."""
        self.armed.append(Armed(fault))

    def read(self, addr: int, count: int, purpose: DmaPurpose) -> bytes:
        """Bytes that lie in one page. Raises BusError."""
        self._disturb(FaultSite.DMA_READ, addr, count, purpose)
        data = self._page(addr, Map.READ).data
        return bytes(data[addr % PAGE : addr % PAGE + count])

    def write(self, addr: int, data: bytes, purpose: DmaPurpose) -> None:
        """Into one page. Raises BusError."""
        if self._disturb(FaultSite.DMA_WRITE, addr, len(data), purpose):
            self._page(addr, Map.WRITE).data[addr % PAGE : addr % PAGE + len(data)] = data

    def _page(self, addr: int, permission: Map) -> Page:
        first, last = self.window
        page = self.pages.get(addr // PAGE)
        if addr >= TOP or first <= addr <= last or page is None or not page.permissions:
            raise self._failure(DmaStatus.UNSUPPORTED)
        if not page.permissions & permission:
            raise self._failure(DmaStatus.ABORTED)
        return page

    def _disturb(self, site: FaultSite, addr: int, count: int, purpose: DmaPurpose) -> bool:
        """False when the transfer is lost and nobody hears of it. Raises what a fault asks for."""
        firing = [armed for armed in self.armed if armed.takes(site, purpose, addr, addr + count - 1)]
        if not firing:
            return True
        firing[0].fired += 1
        if firing[0].fault.action == FaultAction.ERROR:
            raise self._failure(DmaStatus(firing[0].fault.argument))
        return False

    def _failure(self, status: DmaStatus) -> BusError:
        self.failures.append(status)
        return BusError(status)
