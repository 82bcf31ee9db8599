"""A team under the TCP/IP driver of a host: its own adapter and further slots, put in and taken out again."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.ndis.adapter import Adapter, AdapterOptions
from vnic.protocol.teaming import TeamingDriver
from vnic.testbench.host import Host
from vnic.testbench.slot import Slot


class Team:
    """`driver` over the host's adapter and those of `slots`; connections live on while it comes and goes."""

    def __init__(self, host: Host, slots: Sequence[Slot]) -> None:
        self.host = host
        self.driver = TeamingDriver()
        own, ndis = host.bench.adapter, host.bench.ndis
        self.adapters = [own, *(slot.adapter for slot in slots)]
        (binding,) = [each for each in own.bindings if each.protocol is host.protocol]
        own.unbind(binding)
        for adapter in self.adapters:
            if adapter.bind(self.driver) is None:
                raise RuntimeError(f"the team declines {adapter.name}")
        self.virtual: Adapter = ndis.add_adapter(self.driver, AdapterOptions("team"))
        status = self.virtual.initialize()
        if status != 0 or self.virtual.bind(host.protocol) is None or self.virtual.restart() != 0:
            raise RuntimeError(f"the team does not start: {status!s}")

    def dissolve(self) -> None:
        """TCP/IP is bound to the host's own adapter again."""
        own = self.host.bench.adapter
        self.virtual.halt()
        self.host.bench.ndis.remove_adapter(self.virtual)
        for adapter in self.adapters:
            for each in [each for each in adapter.bindings if each.protocol is self.driver]:
                adapter.unbind(each)
        if own.state.takes_oids:
            own.bind(self.host.protocol)
