"""One C host stack as a Python object: its interfaces, routes, sockets and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vnic import errors
from vnic._core import ffi, lib
from vnic.abi import AddressState, NeighbourState, Result
from vnic.stack.address import (
    Address,
    AddressLike,
    AddressOnLink,
    EndpointLike,
    Prefix,
    address_of,
    address_on_link,
    endpoint_of,
    prefix_of,
    raw_address,
    raw_endpoint,
    read_address,
)
from vnic.stack.config import InterfaceConfig, StackConfig
from vnic.stack.datagram import Ping, UdpSocket
from vnic.stack.errors import check
from vnic.stack.interface import Interface
from vnic.stack.native import CopyHook, Native
from vnic.stack.socket import endpoint_or_null
from vnic.stack.tcp import Listener, TcpSocket

if TYPE_CHECKING:
    from vnic._core import vnic_interface_address, vnic_neighbour, vnic_stack_statistics

_NEVER = (1 << 64) - 1


class Neighbour(NamedTuple):
    """An entry of the neighbour caches."""

    address: Address
    mac: bytes
    state: NeighbourState
    is_router: bool
    interface: int
    confirmed_ns: int


class HeldAddress(NamedTuple):
    """An address of an interface."""

    address: AddressOnLink
    interface: int
    state: AddressState
    #: From a router's prefix (RFC 4862 5.5).
    is_autonomous: bool


class Stack:
    """A host's IP stack: a pure function of its inputs, as the card is.

    Frames go in and out at its interfaces, time comes in by advance(); dispatch() then tells sockets what
    happened. A Port or a protocol driver does all of that.
    """

    def __init__(
        self, config: StackConfig | None = None, *, send_memory: memoryview | None = None, **parameters: Any
    ) -> None:
        """`parameters` are those of StackConfig, where no `config` is given.

        `send_memory` is where send queues are to lie, at a page (config.send_memory_bytes).
        """
        if config is not None and parameters:
            raise errors.ArgumentError("a config or parameters, not both")
        self._native = Native(config or StackConfig(**parameters), send_memory)
        self.interfaces: list[Interface] = []
        self._now_ns = 0

    # -- life ------------------------------------------------------------------------------------------------

    @property
    def config(self) -> StackConfig:
        """What the stack was made with, defaults filled in."""
        return self._native.config

    @property
    def native(self) -> Native:
        """The C stack, for other parts of this package."""
        return self._native

    @property
    def connections(self) -> list[TcpSocket]:
        """Connections that users hold, in the order in which they were made."""
        held = self._native.sockets.values()
        return [each for each in held if isinstance(each, TcpSocket) and not each.is_closed]

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._native.is_closed

    def close(self) -> None:
        """Free the stack; connections end without a word. Idempotent."""
        self._native.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- interfaces and routes -------------------------------------------------------------------------------

    def add_interface(self, config: InterfaceConfig | None = None, **parameters: Any) -> Interface:
        """Add one; `parameters` are those of InterfaceConfig."""
        wanted = config or InterfaceConfig(**parameters)
        values = {name: getattr(wanted, name) for name in InterfaceConfig.__slots__}
        try:
            raw = ffi.new("struct vnic_stack_interface *", values | {"mac": list(wanted.mac)})
        except (OverflowError, IndexError) as error:
            raise errors.ArgumentError(f"{wanted}: {error}") from None
        if len(wanted.mac) != len(raw.mac):
            raise errors.ArgumentError(f"a MAC address has {len(raw.mac)} octets, not {len(wanted.mac)}")
        number = check(lib.vnic_stack_add_interface(self._native.enter(), raw), f"add {wanted}")
        made = Interface(self._native, number, wanted)
        self.interfaces.append(made)
        return made

    def add_route(
        self,
        prefix: Prefix | str,
        gateway: AddressLike | None = None,
        *,
        interface: Interface | int = 0,
        metric: int = 0,
    ) -> None:
        """Route a prefix through a gateway, or on-link without one."""
        wanted = prefix_of(prefix)
        via = address_of(gateway) if gateway is not None else type(wanted.network_address)(0)
        network, next_hop = raw_address(wanted.network_address), raw_address(via)
        number, length = _number(interface), wanted.prefixlen
        stack = self._native.enter()
        result = lib.vnic_stack_add_route(stack, network, length, next_hop, number, metric)
        check(result, f"route {wanted}")

    def remove_route(self, prefix: Prefix | str, *, interface: Interface | int = 0) -> None:
        """Take a route out; UnknownError when there is none."""
        wanted = prefix_of(prefix)
        network, length = raw_address(wanted.network_address), wanted.prefixlen
        result = lib.vnic_stack_remove_route(self._native.enter(), network, length, _number(interface))
        check(result, f"route {wanted}")

    @property
    def addresses(self) -> list[HeldAddress]:
        """Every address of every interface, tentative and duplicate ones too."""
        found: list[HeldAddress] = []
        raw: vnic_interface_address = ffi.new("struct vnic_interface_address *")
        while True:
            result = lib.vnic_stack_address(self._native.enter(), len(found), raw)
            if result == Result.ENOENT:
                return found
            check(result, "addresses")
            where = address_on_link(f"{read_address(raw.address)}/{raw.prefix_len}")
            state = AddressState(raw.state)
            found.append(HeldAddress(where, raw.interface, state, bool(raw.is_autonomous)))

    @property
    def neighbours(self) -> list[Neighbour]:
        """The neighbour caches."""
        found: list[Neighbour] = []
        raw: vnic_neighbour = ffi.new("struct vnic_neighbour *")
        while True:
            result = lib.vnic_stack_neighbour(self._native.enter(), len(found), raw)
            if result == Result.ENOENT:
                return found
            check(result, "neighbours")
            found.append(
                Neighbour(
                    read_address(raw.address),
                    bytes(ffi.buffer(raw.mac)),
                    NeighbourState(raw.state),
                    bool(raw.is_router),
                    raw.interface,
                    raw.confirmed_ns,
                )
            )

    # -- sockets ---------------------------------------------------------------------------------------------

    def listen(self, local: EndpointLike, backlog: int = 128) -> Listener:
        """Take connections at an address ('0.0.0.0' or '::' for any) and port; AddressInUseError."""
        where = endpoint_of(local)
        handle = lib.vnic_tcp_listen(self._native.enter(), raw_endpoint(where), backlog)
        return Listener(self._native, check(handle, f"listen at {where}"))

    def connect(self, remote: EndpointLike, local: EndpointLike | None = None) -> TcpSocket:
        """Begin to connect: CONNECTED or CLOSED says how it went."""
        where, source = endpoint_of(remote), endpoint_or_null(local)
        handle = lib.vnic_tcp_connect(self._native.enter(), source, raw_endpoint(where))
        return TcpSocket(self._native, check(handle, f"connect to {where}"))

    def udp(self, local: EndpointLike) -> UdpSocket:
        """Bind a UDP port; 0 chooses one."""
        where = endpoint_of(local)
        handle = lib.vnic_udp_bind(self._native.enter(), raw_endpoint(where))
        return UdpSocket(self._native, check(handle, f"bind to {where}"))

    def ping(self, version: int = 4) -> Ping:
        """A socket for echo requests of IP version 4 or 6."""
        if version not in (4, 6):
            raise errors.ArgumentError(f"IP version {version}")
        handle = lib.vnic_icmp_open(self._native.enter(), int(version == 6))
        return Ping(self._native, check(handle, "ICMP"), version)

    # -- time and events -------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Virtual time as last told."""
        return self._now_ns

    def advance(self, now_ns: int) -> None:
        """Virtual time is `now_ns` now: what is due happens. TimeError when that is the past."""
        result = lib.vnic_stack_time(self._native.enter(), now_ns)
        self._native.finish(result, f"advance to {now_ns}")
        self._now_ns = now_ns

    def next_deadline_ns(self) -> int | None:
        """When to advance() again at the latest; None: nothing waits for time."""
        deadline = lib.vnic_stack_deadline(self._native.enter())
        return None if deadline == _NEVER else deadline

    def dispatch(self) -> int:
        """Tell sockets what happened to them; how many events there were."""
        return self._native.dispatch()

    # -- the copy of received data ---------------------------------------------------------------------------

    def set_copy_hook(self, hook: CopyHook | None) -> None:
        """Have a copy engine move received bytes into posted buffers; None: the processor does."""
        self._native.set_copy_hook(hook)

    def copied(self, ticket: int) -> None:
        """A copy that the hook put off is done."""
        self._native.copied(ticket)

    # -- counters --------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> dict[str, int]:
        """Every counter of struct vnic_stack_statistics, by name."""
        raw: vnic_stack_statistics = ffi.new("struct vnic_stack_statistics *")
        lib.vnic_stack_get_statistics(self._native.enter(), raw)
        return {name: getattr(raw, name) for name, _ in ffi.typeof(raw).item.fields}


def _number(interface: Interface | int) -> int:
    return interface.number if isinstance(interface, Interface) else interface
