"""The chimney by registers, on a card of its own."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from vnic.testbench.chimney.images import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    NAGLING,
    NOT_RUNNING,
    SACK,
    SCALING,
    TIMESTAMPS,
    Image,
    kind_of,
    neighbour_image,
    number_of,
    path_image,
    tcp_image,
)
from vnic.testbench.chimney.rig import ChimneyRig, Entry
from vnic.testbench.chimney.rig_connection import RigConnection as Connection
from vnic.testbench.chimney.rig_connection import pieces
from vnic.testbench.rig import Rig

__all__ = [
    "CLOSE_WAIT",
    "CLOSING",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "LAST_ACK",
    "NAGLING",
    "NOT_RUNNING",
    "SACK",
    "SCALING",
    "TIMESTAMPS",
    "Connection",
    "Driver",
    "Entry",
    "Image",
    "kind_of",
    "neighbour_image",
    "number_of",
    "path_image",
    "pieces",
    "tcp_image",
]


class Driver(ChimneyRig):
    """A ChimneyRig over a card of its own; `config` is that of Rig."""

    def __init__(
        self,
        *,
        pairs: int = 1,
        admin_count: int = 64,
        sq_count: int = 64,
        pool_count: int = 16,
        pool_len: int = 2048,
        pool_posted: int | None = None,
        enables: bool = True,
        parameters: dict[str, int] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(
            Rig(pairs=pairs, **config),
            admin_count=admin_count,
            sq_count=sq_count,
            pool_count=pool_count,
            pool_len=pool_len,
            pool_posted=pool_posted,
            enables=enables,
            parameters=parameters,
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.device.close()
