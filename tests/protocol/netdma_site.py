"""A host with NetDMA and a station on one wire, and conversations whose every byte is checked."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Self

from tests.protocol.copier import ToldCopier
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.netdma_options import NetDmaOptions
from vnic.stack.stream import Stream
from vnic.testbench.bench import Bench
from vnic.testbench.copier import Copier, engine_copier
from vnic.testbench.host import Host
from vnic.testbench.network import Network, Station
from vnic.testbench.posted import PostedSocket

US, MS, S = 1_000, 1_000_000, 1_000_000_000
NOISE = random.Random(9).randbytes(1 << 20)
QUICK = Impairments(delay_ns=50_000)


class Site:
    """A host (10.0.0.1, fd00::1) whose readers post guest memory, and a station (10.0.0.2, fd00::2)."""

    def __init__(
        self,
        options: NetDmaOptions | bool = True,
        *,
        wire: Impairments = QUICK,
        wire_seed: int = 0,
        copier: Callable[[Bench], Copier] | None = None,
        engine: dict[str, Any] | None = None,
        chimney: ChimneyOptions | None = None,
        vlan: int = 0,
        mtu: int = 1500,
        **bench: Any,
    ) -> None:
        self.network = Network()
        self.wire = Wire(forth=wire, back=wire, seed=wire_seed)
        self.peer: Station = self.network.station(
            "10.0.0.2/24", "fd00::2/64", mac=b"\2\0\0\0\0\x22", link=self.wire.end(1), vlan=vlan, mtu=mtu
        )
        settings = {"queues": 1, "cpus": 1} | bench
        self.host = Host(
            "10.0.0.1/24",
            "fd00::1/64",
            link=self.wire.end(0),
            world=self.network,
            vlan=vlan,
            stack={"address_probes": 0},
            bench=settings,
            netdma=options,
            copier=copier or engine_copier(settings, **engine or {}),
            chimney=chimney,
        )
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.peer.port)
        self.network.add_link(self.wire)
        self.netdma = self.host.netdma
        self.readers: list[PostedSocket] = []

    @property
    def memory(self) -> Any:
        return self.host.bench.memory

    def connect(self, address: str = "10.0.0.2", port: int = 80) -> tuple[PostedSocket, Stream]:
        """The host's end, with posted buffers, and the station's."""
        listener = self.peer.stack.listen((address, port))
        near = self.host.streams.connect((address, port))
        far = self.peer.streams.accept(listener)
        listener.close()
        self.readers.append(PostedSocket(near.socket, self.memory))
        return self.readers[-1], far

    def run_until(self, is_done: Callable[[], bool], within_ns: int = 60 * S) -> bool:
        return self.network.run_until(is_done, within_ns)

    def read(self, reader: PostedSocket, size: int) -> bytes:
        """So many bytes."""
        got = bytearray()

        def is_done() -> bool:
            while len(got) < size and (part := reader.recv(size - len(got))):
                got.extend(part)
            return len(got) >= size

        assert self.run_until(is_done), f"{len(got)} of {size} bytes came"
        return bytes(got)

    def download(self, reader: PostedSocket, far: Stream, size: int = 200_000) -> None:
        """So many bytes from the station, as they were."""
        far.write_all(NOISE[:size])
        assert self.read(reader, size) == NOISE[:size]

    def finish(self, reader: PostedSocket, far: Stream) -> None:
        """An orderly end."""
        far.finish()
        assert self.run_until(lambda: reader.recv(1) == b"")
        reader.close()
        far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.network:
            if kind is None:
                for each in self.readers:
                    each.close()
                self.host.close()
            else:
                self.host.abandon()


class ToldSite(Site):
    """The same with an engine that does what it is told; it copies by itself unless told otherwise."""

    def __init__(self, options: NetDmaOptions | bool = True, *, channels: int = 4, **parameters: Any) -> None:
        self.made: list[ToldCopier] = []

        def make(bench: Bench) -> ToldCopier:
            self.made.append(ToldCopier(bench.memory, channels=channels))
            return self.made[0]

        super().__init__(options, copier=make, **parameters)
        self.copier.is_automatic = True
        self.network.add_link(self.copier)

    @property
    def copier(self) -> ToldCopier:
        return self.made[0]
