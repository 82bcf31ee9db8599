"""The Linux kernel's TCP judges connections that move between host and card while they run."""

from __future__ import annotations

import pytest

from tests.strangers.kernel_wire import (
    KERNEL,
    OURS,
    HostWire,
    OurEnd,
    OurServer,
    digests,
    noise,
)
from vnic.link.impairments import Impairments
from vnic.link.netns import Namespace
from vnic.protocol.chimney_options import manual
from vnic.wire.parse import L4, Frame

PORT = 5001
CONNECTIONS = 32
SIZE = 1 << 20  # each way: 64 MiB in all
PATIENCE_S = 150
MOVE_EVERY_NS = 300_000_000
FIN, RST = 1, 4
CABLE = Impairments(loss=0.01, reorder=0.01, duplicate=0.01, delay_ns=200_000)


class ChimneyWire(HostWire):
    """A host with a chimney behind a bad wire.

    Resets are counted, whoever sends them, unless both sides have closed: an old ACK that arrives then, out
    of order, is answered so by any TCP (RFC 9293 3.10.7.1).
    """

    def __init__(self, namespace: Namespace) -> None:
        self.resets = 0
        self._ended: dict[tuple[int, ...], set[int]] = {}
        super().__init__(namespace, CABLE, chimney=manual())

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The card's link."""
        self._look(frame)
        super().transmit(frame, now_ns)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """The TAP's port."""
        self._look(frame)
        super().deliver(frame, now_ns)

    def _look(self, frame: bytes) -> None:
        parsed = Frame.parse(frame)
        if parsed.l4 is not L4.TCP:
            return
        tcp = parsed.l4_offset
        source, destination, flags = (int.from_bytes(frame[tcp + n : tcp + n + 2]) for n in (0, 2, 12))
        ended = self._ended.setdefault(tuple(sorted((source, destination))), set())
        if flags & FIN:
            ended.add(source)
        self.resets += bool(flags & RST) and len(ended) < 2

    def __enter__(self) -> ChimneyWire:
        return self


class Mover:
    """Moves every connection to the card and back, again and again."""

    def __init__(self, wire: ChimneyWire) -> None:
        self._wire = wire
        self._next_ns = 0

    def move(self, ends: list[OurEnd]) -> None:
        """What is due now."""
        now_ns = self._wire.host.world.clock.now_ns
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + MOVE_EVERY_NS
        chimney = self._wire.host.chimney
        for end in ends:
            if end.is_done or end.socket.is_over:
                continue
            where = str(chimney.where(end.socket))
            if where == "InHost":
                chimney.offload(end.socket)
            elif where == "Offloaded":
                chimney.upload(end.socket)


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_all_arrives_while_connections_move(namespace: Namespace, version: int) -> None:
    half = CONNECTIONS // 4
    ours = [noise(SIZE, number) for number in range(2 * half)]
    theirs = [noise(SIZE, 100 + number) for number in range(2 * half)]
    with ChimneyWire(namespace) as wire:
        stack = wire.host.stack
        server = OurServer(stack.listen((OURS[version], PORT)), ours[:half])
        wire.kernel.listen(version, PORT, theirs[:half])
        for number in range(half):
            wire.kernel.connect(version, PORT, theirs[half + number])
        opened = [
            OurEnd(stack.connect((KERNEL[version], PORT)), ours[half + number]) for number in range(half)
        ]
        mover = Mover(wire)

        def is_done() -> bool:
            ends, peers = [*opened, *server.ends], wire.kernel.ends
            mover.move([end for end in ends if end.socket.is_connected])
            is_open = len(ends) == 2 * half == len(peers)
            return is_open and all(end.is_done for end in ends) and all(peer.is_done for peer in peers)

        wire.wait_for(is_done, PATIENCE_S)
        assert digests([end.received for end in wire.kernel.ends]) == digests(ours)
        assert digests([end.received for end in (*opened, *server.ends)]) == digests(theirs)
        assert all(end.socket.error is None for end in (*opened, *server.ends))
        assert all(end.error is None for end in wire.kernel.ends)
        chimney = wire.host.chimney
        moved = chimney.bytes_sent + chimney.bytes_received
        print(f"{chimney.initiates} initiates, {moved} bytes by the card")
        assert chimney.initiates > 2 * half and wire.resets == 0
        for end in (*opened, *server.ends):
            end.socket.close()
