"""A connection that was created by registers: what its driver asks for, and what its peer sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vnic.abi import RxVerdict
from vnic.gen.descriptors import ChmAdminCompletion, ChmSubmission, ChmTcp
from vnic.gen.enums import ChmObject, ChmSubmissionOp
from vnic.host.memory import GuestBuffer
from vnic.testbench.tcp_peer import Peer, Segment, segment_of
from vnic.wire import packet

if TYPE_CHECKING:
    from vnic.testbench.chimney.rig import ChimneyRig


@dataclass
class RigConnection:
    """A connection that was created: its handle, its peer, and what its CHM_DATA entries brought."""

    driver: ChimneyRig
    handle: int
    peer: Peer
    queue: int = 0
    data: bytearray = field(default_factory=bytearray)

    def send(self, payload: bytes, *, cuts: Sequence[int] = (), push: int = 1) -> int:
        """A send of pieces of these lengths and the rest; the bus address of its bytes."""
        address = self.driver.rig.stage(payload)
        self.submit(*pieces(ChmSubmissionOp.SEND, address, len(payload), cuts, push=push))
        return address

    def post(self, length: int, *, cuts: Sequence[int] = (), **fields: int) -> GuestBuffer:
        """A receive into fresh memory, filled with 0xEE; DATA_COUNT is what was taken so far."""
        buffer = self.driver.memory.alloc(max(length, 1))
        buffer.view[:] = b"\xee" * len(buffer)
        given = {"data_count": len(self.data)} | fields
        address = buffer.address if length else 0
        self.submit(*pieces(ChmSubmissionOp.RECEIVE, address, length, cuts, **given))
        return buffer

    def credit(self, count: int | None = None) -> None:
        """So many bytes of pool data are consumed; None: all that came."""
        self.submit(ChmSubmission(op=ChmSubmissionOp.CREDIT, len=len(self.data) if count is None else count))

    def disconnect(self, payload: bytes = b"", *, abortive: int = 0) -> None:
        """Graceful, with data or without, or abortive."""
        address = self.driver.rig.stage(payload) if payload else 0
        self.submit(
            ChmSubmission(op=ChmSubmissionOp.DISCONNECT, addr=address, len=len(payload), abortive=abortive)
        )

    def forward(self, segment: bytes) -> None:
        """A segment from the TCP header on that the host received."""
        address = self.driver.rig.stage(segment)
        self.submit(ChmSubmission(op=ChmSubmissionOp.FORWARD, addr=address, len=len(segment)))

    def submit(self, *entries: ChmSubmission) -> None:
        """Submissions with this handle, on its ring, by one doorbell."""
        self.driver.submit(self.queue, *(replace(entry, handle=self.handle) for entry in entries))

    def receive(self, payload: bytes = b"", **frame: Any) -> RxVerdict:
        """The peer sends the next bytes; `seq` advances by them and by FIN."""
        verdict = self.driver.rig.inject(self.peer.frame(payload, **frame))
        if "seq" not in frame:
            fin = frame.get("flags", 0) & packet.FIN
            self.peer.seq = (self.peer.seq + len(payload) + fin) % (1 << 32)
        return verdict

    def sent(self) -> list[Segment]:
        """What the card put on the link since the last call, all of it."""
        return [segment_of(frame) for frame in self.driver.rig.sent()]

    def query(self) -> ChmTcp:
        """Its image."""
        image = self.driver.query(ChmObject.TCP, self.handle)
        assert isinstance(image, ChmTcp)
        return image

    def terminate(self) -> tuple[ChmAdminCompletion, ChmTcp]:
        """Its end: the completion and the image; OK is asserted."""
        done, image = self.driver.terminate(ChmObject.TCP, self.handle)
        assert isinstance(image, ChmTcp)
        return done, image


def pieces(
    op: ChmSubmissionOp, address: int, length: int, cuts: Sequence[int] = (), **last: int
) -> list[ChmSubmission]:
    """One request in pieces of the given lengths and the rest; fields are those of every piece."""
    made: list[ChmSubmission] = []
    for cut in cuts:
        made.append(ChmSubmission(op=op, addr=address, len=cut, more=1, **last))
        address, length = address + cut, length - cut
    return [*made, ChmSubmission(op=op, addr=address, len=length, **last)]
