"""What a host's chimney did: counted, and the view of its connections."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from vnic.abi import TcpState
from vnic.stack.address import Endpoint


class Where(StrEnum):
    """Offload state of a connection, as `netstat -t` names it."""

    IN_HOST = "InHost"
    OFFLOADING = "Offloading"
    OFFLOADED = "Offloaded"
    UPLOADING = "Uploading"


class Row(NamedTuple):
    """A connection of the host."""

    protocol: str
    local: Endpoint
    remote: Endpoint
    state: TcpState | None
    where: Where
    #: Bytes to send or unacknowledged; received and not read.
    send_queue: int
    receive_queue: int


@dataclass(slots=True)
class Tally:
    """Counters of one chimney; `uploads` by cause."""

    initiates: int = 0
    #: By the block's status, or what the stack said.
    initiates_failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    #: Connections whose state a target lost.
    lost: int = 0
    #: Moved while offloaded, of connections that are back.
    bytes_sent: int = 0
    bytes_received: int = 0
    #: NBLs that targets indicated, and receives that they completed.
    indications: int = 0
