"""Where rules stand: addresses of the public pages that cases cite."""

from __future__ import annotations

_LEARN = "https://learn.microsoft.com/en-us/windows-hardware/drivers/"
# The pages of the chimney and of NetDMA are gone from Learn: these are the last versions of the repository.
_REPOSITORY = "https://github.com/MicrosoftDocs/windows-driver-docs/blob/"
_CHIMNEY_COMMIT = "95d2977ef0f67a6f3e25fa8e266737ef9d103cc0"
_NETDMA_COMMIT = "b106ef9aea6c9088d4502f94d6ebc1bbe09f7e8e"
_FOLDER = "/windows-driver-docs-pr/network/"


def guide(page: str) -> str:
    """A page of the network driver design guide."""
    return f"{_LEARN}network/{page}"


def ddi(page: str, header: str = "ndis") -> str:
    """A page of the reference, as nc-ndis-miniport_pause."""
    return f"{_LEARN}ddi/{header}/{page}"


def kernel(page: str) -> str:
    """A page of the kernel-mode driver guide."""
    return f"{_LEARN}kernel/{page}"


def chimney(page: str) -> str:
    """A page of the chimney's design guide."""
    return f"{_REPOSITORY}{_CHIMNEY_COMMIT}{_FOLDER}{page}.md"


def netdma(page: str) -> str:
    """A page of the NetDMA design guide."""
    return f"{_REPOSITORY}{_NETDMA_COMMIT}{_FOLDER}{page}.md"


def manual(requirement: str, chapter: str = "programming") -> str:
    """A requirement of the card's own manual, as PROG-21."""
    return f"spec/{chapter}.md#{requirement}"
