"""A virtual network card, and the NDIS 6 world around it."""

__version__ = "0.1.0"


def get_include() -> str:
    """The folder of the C headers, for a compiler's -I: a C driver's Makefile asks for it."""
    from vnic.headers import include_dir  # noqa: PLC0415 - who imports the package needs no headers

    return str(include_dir())
