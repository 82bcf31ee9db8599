"""The host stack: interfaces, addresses, sockets, over the C library's vnic_stack.h."""

from vnic.stack.address import Address, Endpoint
from vnic.stack.config import InterfaceConfig, StackConfig
from vnic.stack.datagram import Ping, UdpSocket
from vnic.stack.errors import StackError
from vnic.stack.interface import Interface, OutFrame
from vnic.stack.port import Port
from vnic.stack.socket import Socket
from vnic.stack.stack import Neighbour, Stack
from vnic.stack.stream import Stream, Streams
from vnic.stack.tcp import Listener, TcpInfo, TcpSocket

__all__ = [
    "Address",
    "Endpoint",
    "Interface",
    "InterfaceConfig",
    "Listener",
    "Neighbour",
    "OutFrame",
    "Ping",
    "Port",
    "Socket",
    "Stack",
    "StackConfig",
    "StackError",
    "Stream",
    "Streams",
    "TcpInfo",
    "TcpSocket",
    "UdpSocket",
]
