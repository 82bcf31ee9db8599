"""Who has which guest memory, and what the host may not do to it meanwhile: every race is found here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from vnic.host.memory import GuestMemory
from vnic.testbench.races.flight import Claim, Flight
from vnic.testbench.races.history import History
from vnic.testbench.races.race import Moment, Party, Race, RaceKind
from vnic.testbench.races.shadow import Change, Shadow
from vnic.testbench.races.spans import Spans

_RACES_KEPT = 64
_RETIRED_KEPT = 256


class Custody:
    """The claims of all devices on one guest memory.

    Bytes of a claim may change by DMA that was seen, and not otherwise. now: virtual time; None: `latest_ns`,
    the latest of an event.
    """

    def __init__(self, memory: GuestMemory, now: Callable[[], int] | None = None) -> None:
        self.memory = memory
        self.history = History()
        self.races: list[Race] = []
        self.more = 0
        self.latest_ns = 0
        #: Who can say when the oldest descriptor was handed over that has yet to be seen.
        self.pending: list[Callable[[], int | None]] = []
        self._now = now
        self._order = 0
        self._shadow = Shadow(memory)
        self._claims: Spans[Claim] = Spans()
        self._all: dict[Claim, None] = {}
        self._retired: deque[Flight] = deque()
        self._retired_claims: Spans[Claim] = Spans()

    def moment(self) -> Moment:
        """Now, later than every moment before."""
        self._order += 1
        return Moment(self._order, self.latest_ns if self._now is None else self._now())

    # -- claims ----------------------------------------------------------------------------------------------

    def claim(self, claims: Iterable[Claim]) -> None:
        """A device has memory from now on, with the bytes that are in it."""
        for claim in claims:
            if self._claims.at(claim.start, claim.length):
                self.verify(claim.start, claim.length)
            self._shadow.take(claim.start, claim.length)
            self._claims.add(claim.start, claim.length, claim)
            self._all[claim] = None

    def release(self, claims: Iterable[Claim]) -> None:
        """It is the host's again."""
        for claim in claims:
            self.verify(claim.start, claim.length)
            self._claims.remove(claim.start, claim.length, claim)
            self._all.pop(claim, None)

    def start(self, flight: Flight) -> None:
        """A transfer begins: who has what it writes, or writes what it has, must be ordered before it."""
        for claim in flight.claims:
            rivals = self._claims.at(claim.start, claim.length)
            if self._retired:
                rivals += self._retired_claims.at(claim.start, claim.length)
            for rival in rivals:
                if _collide(rival, claim):
                    self._report_overlap(rival, claim)
        self.claim(flight.claims)

    def end(self, flight: Flight) -> None:
        """A transfer is over; remembered while others that were handed over before are still to come."""
        if flight.ended is not None:
            return
        self.release(flight.claims)
        flight.ended = self.moment()
        moved = [claim for claim in flight.claims if not claim.is_descriptor]
        if moved and self._oldest_pending() is not None:
            self._retired.append(flight)
            for claim in moved:
                self._retired_claims.add(claim.start, claim.length, claim)
            if len(self._retired) > _RETIRED_KEPT:
                self._drop_retired()

    def _oldest_pending(self) -> int | None:
        orders = [order for ask in self.pending if (order := ask()) is not None]
        return min(orders, default=None)

    def prune(self) -> None:
        """Forget transfers that ended before every one that can still come was handed over."""
        if not self._retired:
            return
        oldest = self._oldest_pending()
        while self._retired and (oldest is None or _order(self._retired[0]) < oldest):
            self._drop_retired()

    def _drop_retired(self) -> None:
        for claim in self._retired.popleft().claims:
            self._retired_claims.remove(claim.start, claim.length, claim)

    # -- what devices do -------------------------------------------------------------------------------------

    def device_wrote(self, address: int, data: bytes | memoryview) -> None:
        """DMA wrote these bytes; they are in memory."""
        self._shadow.put(address, data)

    # -- what the host does ----------------------------------------------------------------------------------

    def verify(self, address: int, length: int, site: str = "") -> None:
        """Report what the host changed of what is claimed in a range."""
        if self._shadow.is_same(address, length):
            return
        end = address + length
        for claim in sorted(self._claims.at(address, length), key=_rank):
            first = max(address, claim.start)
            size = min(end, claim.end) - first
            change = self._shadow.change(first, size)
            if change is not None:
                self._report_change(claim, change, site)
                self._shadow.take(first, size)

    def verify_all(self) -> None:
        """Look at everything that is claimed."""
        for claim in list(self._all):
            self.verify(claim.start, claim.length)

    def host_wrote(self, address: int, length: int, site: Callable[[], str]) -> None:
        """The host was caught writing; the bytes are in memory, and need not be others than before."""
        claims = self._claims.at(address, length)
        if not claims:
            return
        count = len(self.races) + self.more
        where = site()
        self.verify(address, length, where)
        if len(self.races) + self.more == count:  # it wrote what was there
            claim = min(claims, key=_rank)
            first, end = max(address, claim.start), min(address + length, claim.end)
            same = self.memory.view[first - self.memory.base : end - self.memory.base].tobytes()
            self._report_change(claim, Change(first, same, same), where)

    def host_reads(self, address: int, length: int, site: Callable[[], str]) -> None:
        """The host was caught reading: the destination of a transfer has nothing to say yet."""
        for claim in self._claims.at(address, length):
            if claim.is_written and claim.flight is not None:
                first, end = max(address, claim.start), min(address + length, claim.end)
                self.report(RaceKind.HOST_READ, first, end - first, (claim.party(), Party("host", site())))

    # -- reports ---------------------------------------------------------------------------------------------

    def _report_change(self, claim: Claim, change: Change, site: str) -> None:
        kind = RaceKind.DESCRIPTOR if claim.is_descriptor else RaceKind.HOST_WRITE
        host = Party("host", site or "wrote it; where is not known")
        self.report_change(kind, change, (claim.party(), host))

    def _report_overlap(self, earlier: Claim, later: Claim) -> None:
        first = max(earlier.start, later.start)
        length = min(earlier.end, later.end) - first
        self.report(RaceKind.OVERLAP, first, length, (earlier.party(), later.party()))

    def report(self, kind: RaceKind, address: int, length: int, parties: tuple[Party, Party]) -> None:
        """Keep a race over a range."""
        self._keep(kind, address, length, parties, Change(address, b"", b""))

    def report_change(self, kind: RaceKind, change: Change, parties: tuple[Party, Party]) -> None:
        """Keep a race that changed bytes."""
        self._keep(kind, change.address, len(change.after), parties, change)

    def _keep(
        self, kind: RaceKind, address: int, length: int, parties: tuple[Party, Party], change: Change
    ) -> None:
        """Or count it when many are kept."""
        if len(self.races) >= _RACES_KEPT:
            self.more += 1
            return
        race = Race(
            kind,
            address,
            length,
            parties,
            self.moment(),
            before=change.before,
            after=change.after,
            label=self._label(address),
            writes=self.history.lines(),
        )
        self.races.append(race)

    def _label(self, address: int) -> str:
        for buffer in self.memory.live:
            if buffer.address <= address < buffer.address + len(buffer):
                return f"{buffer.label or 'unnamed'}+{address - buffer.address:#x}"
        return "not allocated"


def _order(flight: Flight) -> int:
    return flight.ended.order if flight.ended is not None else 0


def _collide(rival: Claim, claim: Claim) -> bool:
    """Whether two transfers may meet in memory that one of them writes."""
    theirs, ours = rival.flight, claim.flight
    if theirs is None or ours is None or theirs is ours:
        return False
    return (rival.is_written or claim.is_written) and not theirs.is_ordered_before(ours)


def _rank(claim: Claim) -> tuple[bool, bool]:
    """Which to name first: a transfer before the mapping that it lies in."""
    return claim.flight is None, claim.is_descriptor
