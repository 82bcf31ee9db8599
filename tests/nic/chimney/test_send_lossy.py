"""Sends over a network that loses, reorders and repeats: every byte arrives, every send completes once."""

from __future__ import annotations

from random import Random

import pytest

from tests.nic.chimney.driver import SACK, Connection, Driver
from vnic.gen.enums import ChmStatus, CompletionType
from vnic.testbench.tcp_peer import ISS, Segment
from vnic.wire import packet


class Receiver:
    """What has arrived, as the receiving end of TCP keeps it."""

    def __init__(self, total: int) -> None:
        self.data = bytearray(total)
        self.have = bytearray(total)
        self.next = 0
        self.has_fin = False
        self.fin_at: int | None = None

    def take(self, segment: Segment) -> None:
        """A segment in any order, perhaps once more."""
        start = segment.seq - ISS
        end = start + len(segment.payload)
        assert end <= len(self.data)
        for at, byte in enumerate(segment.payload, start):
            assert not self.have[at] or self.data[at] == byte
        self.data[start:end] = segment.payload
        self.have[start:end] = b"\1" * (end - start)
        if segment.flags & packet.FIN:
            assert self.fin_at in (None, end)
            self.fin_at = end
        gap = self.have.find(0, self.next)
        self.next = len(self.have) if gap < 0 else gap
        self.has_fin = self.fin_at == self.next

    def blocks(self) -> bytes:
        """A SACK option of the first two ranges that lie beyond the gap, or nothing."""
        found, at = b"", self.next
        while len(found) < 16 and (left := self.have.find(1, at)) >= 0:
            right = self.have.find(0, left)
            at = len(self.have) if right < 0 else right
            found += (ISS + left).to_bytes(4) + (ISS + at).to_bytes(4)
        return b"\1\1\5" + bytes([2 + len(found)]) + found if found else b""


def exchange(driver: Driver, connection: Connection, receiver: Receiver, random: Random, sacks: bool) -> None:
    """One round: segments arrive or not, in some order, ACKs likewise; time goes on if nothing moves."""
    segments = connection.sent()
    random.shuffle(segments)
    for segment in segments:
        for _ in range(random.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2))):
            receiver.take(segment)
            if random.random() < 0.8:
                connection.peer.ack = ISS + receiver.next + receiver.has_fin
                connection.receive(options=receiver.blocks() if sacks else b"")
    deadline = driver.device.next_deadline_ns()
    if not segments and deadline is not None:
        driver.advance(max(deadline - driver.device.now_ns, 0))


@pytest.mark.requirement("CHM-21", "CHM-24", "INV-16", "INV-18", "INV-31")
@pytest.mark.parametrize("sacks", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_every_byte_arrives_and_every_send_completes(seed: int, sacks: bool) -> None:
    random = Random(seed)
    sizes = [random.choice((0, 1, 100, 1460, 3000, 20000)) for _ in range(14)]
    payload = random.randbytes(sum(sizes))
    receiver, at = Receiver(len(payload)), 0
    parameters = {"MAX_RETRANSMISSIONS": 255, "DOUBT_RETRANSMISSIONS": 255}
    with Driver(sq_count=1024, cq_count=1024, parameters=parameters) as driver:
        connection = driver.connect(const_flags=SACK * sacks, max_rt=0xFFFF_FFFF)
        for size in sizes:
            cuts = [random.randrange(1, 500) for _ in range(random.randrange(4))] if size > 2000 else ()
            connection.send(payload[at : at + size], cuts=cuts, push=random.getrandbits(1))
            at += size
            exchange(driver, connection, receiver, random, sacks)
        connection.disconnect()
        for _ in range(3000):
            exchange(driver, connection, receiver, random, sacks)
            if driver.completions(CompletionType.CHM_DISCONNECT):
                break
        done = driver.completions(CompletionType.CHM_SEND)
        assert receiver.data == payload
        assert receiver.has_fin
        assert [entry.status for entry in done] == [ChmStatus.OK] * len(done)
        assert sum(entry.count for entry in done) == len(sizes)
        assert driver.reasons() == []
        assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
        assert driver.stat("TCP4_RETRANSMITTED_SEGMENTS") > 0
        assert driver.stat("TCP4_OUT_RESETS") == 0
