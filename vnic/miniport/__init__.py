"""The reference NDIS 6 miniport: a register-level driver that knows a Bus and nothing below it."""

from vnic.miniport.adapter import Adapter

__all__ = ["Adapter"]
