"""Components of a host beside which connections are not offloaded, and what they leave possible."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from vnic.errors import ArgumentError, UnknownError


class Component(StrEnum):
    """What the Scalable Networking Pack does not work with ("Scalable Networking Pack", TechNet cc164368)."""

    WINDOWS_FIREWALL = "Windows Firewall"
    IPSEC = "IPsec policy"
    IPNAT = "IPNAT"
    THIRD_PARTY_FIREWALL = "third-party firewall"
    ISA_FIREWALL = "ISA firewall"
    NDIS_5_1_INTERMEDIATE = "NDIS 5.1 intermediate driver"

    @property
    def is_of_a_binding(self) -> bool:
        """Whether it acts on one binding, not on the whole host."""
        return self is Component.NDIS_5_1_INTERMEDIATE


class Coexistence:
    """Which components are there. [INV-49]

    While one is, chimney and NetDMA are off where it acts, and RSS stays on. `listeners` are called after
    each change; a component that is attached twice is detached twice.
    """

    def __init__(self) -> None:
        self._present: list[tuple[Component, object]] = []
        self.listeners: list[Callable[[], None]] = []

    def attach(self, component: Component, binding: object = None) -> None:
        """A component appears; ArgumentError unless `binding` is given if and only if it acts on one."""
        if component.is_of_a_binding is (binding is None):
            raise ArgumentError(f"{component}: a binding goes with those that act on one")
        self._present.append((component, binding))
        self._tell()

    def detach(self, component: Component, binding: object = None) -> None:
        """A component goes; UnknownError when it is not there."""
        for place, (known, where) in enumerate(self._present):
            if known is component and where is binding:
                del self._present[place]
                self._tell()
                return
        raise UnknownError(f"{component} is not attached")

    def obstacles(self, binding: object = None) -> tuple[Component, ...]:
        """What is in the way on a binding; of the host when there is none."""
        return tuple(known for known, where in self._present if where is None or where is binding)

    def may_chimney(self, binding: object = None) -> bool:
        """Whether connections over a binding may be offloaded."""
        return not self.obstacles(binding)

    def may_netdma(self, binding: object = None) -> bool:
        """Whether received data of a binding may be copied by a copy engine."""
        return not self.obstacles(binding)

    def may_rss(self, binding: object = None) -> bool:
        """Always: RSS is not on the list."""
        return True

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()
