"""Protocol drivers: what sits above NDIS."""

from vnic.protocol.capture import CaptureProtocol, Received, Sent
from vnic.protocol.tcpip import TcpipProtocol

__all__ = ["CaptureProtocol", "Received", "Sent", "TcpipProtocol"]
