"""A virtual network card, and the NDIS 6 world around it."""

__version__ = "0.1.0"
