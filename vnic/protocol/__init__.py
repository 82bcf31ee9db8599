"""Protocol drivers: what sits above NDIS."""

from vnic.protocol.capture import CaptureProtocol, Received, Sent

__all__ = ["CaptureProtocol", "Received", "Sent"]
