"""The NDIS layer: the adapters of one host, and the passing of time while NDIS waits for a driver."""

from __future__ import annotations

from collections.abc import Callable

from vnic.host.clock import VirtualClock
from vnic.host.cpu import Processors
from vnic.ndis.adapter import Adapter, AdapterOptions
from vnic.ndis.miniport import Miniport, SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.rss_watch import HashOracle
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation, Verifier

_WAIT_NS = 30_000_000_000


class Ndis:
    """One host's NDIS.

    `pump` makes the world outside go on (device, links) and says whether it did anything; `hash_oracle`
    recomputes the RSS hash of every indicated frame; `is_strict_rss` makes a wrong processor a breach;
    `next_deadline` says when that world next does something by itself, in ns.
    `who_holds` is asked when a wait never ends (HANG-1).
    """

    def __init__(
        self,
        processors: Processors | None = None,
        clock: VirtualClock | None = None,
        *,
        pump: Callable[[], bool] | None = None,
        hash_oracle: HashOracle | None = None,
        is_strict_rss: bool = False,
        checks_for_hang: bool = True,
        verify_data: bool = True,
        wait_ns: int = _WAIT_NS,
        next_deadline: Callable[[], int | None] | None = None,
        who_holds: Callable[[], str] | None = None,
    ) -> None:
        self.processors = processors or Processors()
        self.clock = clock or VirtualClock()
        self.verifier = Verifier(self.processors, self.clock, verify_data=verify_data)
        self.pump = pump
        self.hash_oracle = hash_oracle
        self.is_strict_rss = is_strict_rss
        self.checks_for_hang = checks_for_hang
        self.who_holds = who_holds
        self.adapters: list[Adapter] = []
        self._wait_ns = wait_ns
        self._next_deadline = next_deadline

    @property
    def violations(self) -> list[NdisViolation]:
        """Every breach so far, those that a driver caught and hid included."""
        return self.verifier.violations

    def add_adapter(self, miniport: Miniport, options: AdapterOptions | None = None) -> Adapter:
        """A device with its driver, Halted, MiniportSetOptions called; RuntimeError when that fails."""
        adapter = Adapter(self, miniport, options or AdapterOptions())
        adapter.is_setting_options = True
        with self.verifier.entering(miniport, "MiniportSetOptions"):
            status = miniport.set_options(adapter)
        adapter.is_setting_options = False
        if status != NDIS_STATUS.SUCCESS:
            raise RuntimeError(f"MiniportSetOptions: {status!s}")
        self.adapters.append(adapter)
        return adapter

    def remove_adapter(self, adapter: Adapter) -> None:
        """Forget a halted adapter; its driver is unloaded."""
        adapter.unload()
        self.adapters.remove(adapter)

    def run_until_idle(self) -> None:
        """Run interrupts, DPCs, work items and the world until nothing is left to do at this time."""
        self.processors.run_until_idle()
        while self.pump is not None and self.pump():
            self.processors.run_until_idle()

    def run_for(self, duration_ns: int) -> None:
        """Let virtual time pass, stopping at every deadline on the way."""
        end_ns = self.clock.now_ns + duration_ns
        self.run_until_idle()
        while self.clock.now_ns < end_ns:
            deadline_ns = self._nearest_ns()
            self.clock.advance_to(
                end_ns if deadline_ns is None else min(max(deadline_ns, self.clock.now_ns), end_ns)
            )
            self.run_until_idle()

    def wait_until(self, is_done: Callable[[], bool]) -> bool:
        """Run and let time pass until `is_done`; False when nothing is left that could make it so."""
        give_up_ns = self.clock.now_ns + self._wait_ns
        while True:
            self.run_until_idle()
            if is_done():
                return True
            deadline_ns = self._nearest_ns()
            if deadline_ns is None or deadline_ns > give_up_ns:
                return False
            self.clock.advance_to(max(deadline_ns, self.clock.now_ns))

    def _nearest_ns(self) -> int | None:
        """When the next timer fires, or the world outside does something by itself."""
        timer_ns = self.clock.next_deadline_ns()
        outside_ns = self._next_deadline() if self._next_deadline is not None else None
        if outside_ns is None or outside_ns <= self.clock.now_ns:  # held still: due, and nobody does it
            return timer_ns
        return outside_ns if timer_ns is None else min(timer_ns, outside_ns)


class Injector:
    """Sends below the protocols, as a filter driver does, to a paused miniport too; keeps what came back."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.completed: list[tuple[NetBufferList, NDIS_STATUS]] = []

    @property
    def driver(self) -> object:
        """The owner of what it sends."""
        return self

    def send(self, chain: NetBufferList, port: int = 0) -> None:
        """NdisFSendNetBufferLists."""
        self._adapter.sends.submit(self, chain, port)

    def on_sends_complete(self, chain: NetBufferList, flags: SendCompleteFlag) -> None:
        """FilterSendNetBufferListsComplete."""
        verifier = self._adapter.verifier
        self.completed += [(nbl, nbl.status) for nbl in verifier.walk(chain, self)]
