"""Addresses and endpoints: those of Python's ipaddress, and those of vnic_stack.h."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import TYPE_CHECKING, NamedTuple

from vnic._core import ffi
from vnic.errors import ArgumentError

if TYPE_CHECKING:
    from vnic._core import vnic_address, vnic_endpoint

Address = IPv4Address | IPv6Address
AddressLike = Address | str
#: An address of a host with its prefix: "10.0.0.1/24".
AddressOnLink = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network


class Endpoint(NamedTuple):
    """An address and a port; port 0: any."""

    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


EndpointLike = Endpoint | tuple[AddressLike, int]


def address_of(value: AddressLike) -> Address:
    """An address; ArgumentError when the text is none, or has a zone: routes choose the interface."""
    try:
        address = ip_address(value)
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ArgumentError(f"{address}: no zone here, routes choose the interface")
    return address


def address_on_link(value: AddressOnLink | str) -> AddressOnLink:
    """An address with its prefix length; ArgumentError."""
    try:
        return ip_interface(value)
    except ValueError as error:
        raise ArgumentError(str(error)) from None


def prefix_of(value: Prefix | str) -> Prefix:
    """A prefix; 'default' is not one: say 0.0.0.0/0 or ::/0. ArgumentError."""
    try:
        return ip_network(value)
    except ValueError as error:
        raise ArgumentError(str(error)) from None


def endpoint_of(value: EndpointLike) -> Endpoint:
    """An endpoint; ArgumentError."""
    address, port = value
    if not 0 <= port <= 0xFFFF:
        raise ArgumentError(f"port {port}")
    return Endpoint(address_of(address), port)


def raw_address(address: Address) -> vnic_address:
    """struct vnic_address."""
    made: vnic_address = ffi.new("struct vnic_address *")
    _write(made, address)
    return made


def raw_endpoint(endpoint: Endpoint) -> vnic_endpoint:
    """struct vnic_endpoint."""
    made: vnic_endpoint = ffi.new("struct vnic_endpoint *")
    _write(made.address, endpoint.address)
    made.port = endpoint.port
    return made


def _write(raw: vnic_address, address: Address) -> None:
    packed = address.packed
    ffi.memmove(raw.bytes, packed, len(packed))
    raw.is_ipv6 = int(address.version == 6)


def read_address(raw: vnic_address) -> Address:
    """Python's address."""
    data = bytes(ffi.buffer(raw.bytes))
    return IPv6Address(data) if raw.is_ipv6 else IPv4Address(data[:4])


def read_endpoint(raw: vnic_endpoint) -> Endpoint:
    """Python's endpoint."""
    return Endpoint(read_address(raw.address), raw.port)


def raw_mac(mac: bytes) -> bytes:
    """The six octets; ArgumentError when they are not six."""
    if len(mac) != 6:
        raise ArgumentError(f"a MAC address has 6 octets, not {len(mac)}")
    return bytes(mac)
