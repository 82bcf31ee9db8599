"""TCP chimney, counts and limits: statistics of offloaded traffic, and how much is offloaded at once."""

from __future__ import annotations

from dataclasses import fields

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, below, forget, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis.chimney_stats import IpOffloadStats, TcpOffloadStats
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import OK, tcp
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_STATISTICS = chimney("maintaining-and-reporting-chimney-specific-statistics")
MS = 1_000_000


def _counts(chimneys: ChimneyBench) -> dict[str, int]:
    """Both structures of IPv4, by member."""
    tcp_stats = TcpOffloadStats.parse(chimneys.query(OID.TCP4_OFFLOAD_STATS))
    ip_stats = IpOffloadStats.parse(chimneys.query(OID.IP4_OFFLOAD_STATS))
    found = {each.name: int(getattr(tcp_stats, each.name)) for each in fields(tcp_stats)}
    return found | {f"ip_{each.name}": int(getattr(ip_stats, each.name)) for each in fields(ip_stats)}


class _Ledger:
    """What the counters have grown by since the last look, against what should have been counted."""

    def __init__(self, chimneys: ChimneyBench) -> None:
        self.chimneys = chimneys
        self.last = _counts(chimneys)

    def expect(self, what: str, **wanted: int) -> None:
        """These have grown by so much, and no other has."""
        now = _counts(self.chimneys)
        grown = {name: now[name] - self.last[name] for name in now if now[name] != self.last[name]}
        assert grown == {name: count for name, count in wanted.items() if count}, f"{what} counts {grown}"
        self.last = now


@case(
    _STATISTICS,
    "segments and octets of offloaded connections count once each, by what they are; retransmissions apart",
    Feature.CHIMNEY,
)
def statistics_by_what_happens(bench: Bench) -> None:
    """Data in and out, a bad checksum, a retransmission, a reset each way; each counter of IPv4."""
    chimneys, connection = one(bench)
    (other,) = chimneys.connect(tcp(40_001))
    chimneys.advance(600 * MS)
    ledger = _Ledger(chimneys)
    frame = connection.peer.frame(b"x" * 100, flags=PUSH)
    chimneys.receive(frame)
    connection.peer.seq += 100
    chimneys.advance(600 * MS)
    acks = connection.sent()
    ledger.expect(
        "a segment in", in_segments=1, out_segments=len(acks), ip_in_receives=1, ip_in_octets=len(frame) - 14,
        ip_in_delivers=1, ip_out_requests=len(acks), ip_out_octets=sum(len(each.ip) for each in acks),
    )  # fmt: skip
    connection.send(bytes(3000))
    out = connection.sent()
    octets = sum(len(each.ip) for each in out)
    ledger.expect("a send", out_segments=len(out), ip_out_requests=len(out), ip_out_octets=octets)
    chimneys.advance(3_200 * MS)
    again = connection.sent()
    assert again, "nothing was sent again in 3.2 s"
    ledger.expect(
        "a retransmission", retransmitted_segments=len(again), ip_out_requests=len(again),
        ip_out_octets=sum(len(each.ip) for each in again),
    )  # fmt: skip
    connection.peer.ack = ISS + 3000
    bad = connection.peer.frame(b"y" * 50, flags=PUSH, field=1)
    chimneys.receive(bad)
    chimneys.settle()
    ledger.expect(
        "a wrong checksum", in_segments=1, in_errors=1, ip_in_receives=1, ip_in_delivers=1,
        ip_in_octets=len(bad) - 14,
    )  # fmt: skip
    chimneys.receive(connection.peer.frame(b"z", flags=PUSH, ip={"options": b"\x01" * 4}))
    chimneys.settle()
    ledger.expect("a datagram of the plain path")
    reset = connection.peer.frame(flags=packet.RST | packet.ACK)
    chimneys.receive(reset)
    chimneys.settle()
    ledger.expect(
        "a reset of the peer's", in_segments=1, currently_established=-1, reset_established=1,
        ip_in_receives=1, ip_in_delivers=1, ip_in_octets=len(reset) - 14,
    )  # fmt: skip
    other.disconnect(abortive=True)
    (rst,) = other.sent()
    ledger.expect(
        "an abortive disconnect", out_segments=1, currently_established=-1, reset_established=1, out_resets=1,
        ip_out_requests=1, ip_out_octets=len(rst.ip),
    )  # fmt: skip


@case(
    ddi("ns-ntddndis-_ndis_tcp_connection_offload", "ntddndis"),
    "no more connections are offloaded than there is room for; one that is terminated makes room for another",
    Feature.CHIMNEY,
    device={"connections": 8},
)
def as_many_as_there_is_room_for(bench: Bench) -> None:
    """Offload until one is refused, twice; every other one works; terminate some, and fill up again."""
    chimneys, first = one(bench)
    taken = [first]
    for turn in range(2):
        for number in range(20):
            block = tcp(50_000 + 100 * turn + number)
            statuses = chimneys.control("initiate", below(chimneys, block))
            if statuses[1] != OK:
                forget(chimneys, block)
                break
            taken.append(chimneys.connections[block.OffloadHandle])
        assert len(taken) == 8, f"{len(taken)} connections are offloaded to a target of 8"
        for number, each in enumerate(taken):
            each.send(bytes([number]) * 30)
            assert each.acknowledge() == bytes([number]) * 30, (
                "a connection does not work when the target is full"
            )
        for _ in range(3):
            ended = taken.pop(1)
            ended.terminate()
            del chimneys.connections[ended.handle]
