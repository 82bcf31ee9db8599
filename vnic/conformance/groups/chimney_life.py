"""TCP chimney over a connection's life: closing, tables that change, links that go, windows, probes."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, forget, offloading, one
from vnic.conformance.pages import chimney, ddi, manual
from vnic.ndis import chimney as nd
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import EVENT, OK, REASON, STATE, ending_of, neighbour, path, tcp
from vnic.testbench.tcp_peer import ISS, Peer
from vnic.wire import packet, verify
from vnic.wire.parse import Frame

_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")
_CACHED = ddi("ns-ndischimney-_tcp_offload_state_cached", "ndischimney")
FIN = packet.ACK | packet.FIN
MS = 1_000_000
_WRAP = 1 << 32


def _cached(block: Any, **members: Any) -> Any:
    """The block with members of its CACHED state."""
    assert isinstance(block.cached, nd.TCP_OFFLOAD_STATE_CACHED)
    for name, value in members.items():
        setattr(block.cached, name, value)
    return block


@case(
    _PROTOCOL,
    "each order of the two FINs goes through the states of RFC 9293, 3.6; closed both ways it is uploaded",
    Feature.CHIMNEY,
)
def orders_of_closing(bench: Bench) -> None:
    """We close first, the peer does, both at once; each step and its state; the data before the FINs."""
    chimneys, _ = one(bench)
    plans: dict[str, tuple[tuple[str, STATE], ...]] = {
        "we first": (("close", STATE.FIN_WAIT1), ("ack", STATE.FIN_WAIT2), ("fin", STATE.TIME_WAIT)),
        "the peer first": (("fin", STATE.CLOSE_WAIT), ("close", STATE.LAST_ACK), ("ack", STATE.CLOSED)),
        "both": (("close", STATE.FIN_WAIT1), ("fin", STATE.CLOSING), ("ack", STATE.TIME_WAIT)),
        "its ACK with its FIN": (("close", STATE.FIN_WAIT1), ("finack", STATE.TIME_WAIT)),
    }
    for number, (name, plan) in enumerate(plans.items()):
        (connection,) = chimneys.connect(tcp(45_000 + number))
        connection.send(b"data")
        connection.acknowledge()
        connection.receive(b"theirs", flags=PUSH)
        for step, wanted in plan:
            if step == "close":
                connection.disconnect()
                (fin,) = [each for each in connection.sent() if each.flags & packet.FIN]
                assert fin.seq == ISS + 4, f"{name}: the FIN's number"
            elif step == "ack":
                connection.peer.ack = ISS + 5
                connection.receive()
            elif step == "fin":
                connection.receive(flags=FIN)
                acks = [each.ack for each in connection.sent()]
                assert acks[-1:] == [connection.peer.seq], f"{name}: the peer's FIN is not acknowledged"
            else:
                connection.peer.ack = ISS + 5
                connection.receive(flags=FIN)
            found = connection.query().State
            assert found == wanted, f"{name}: after {step} it is {found.name}, not {wanted.name}"
        told = connection.told(EVENT.RETRIEVE.name)
        assert told == [(REASON.UPLOAD_REQUESTED,)], f"{name}: TcpIndicateRetrieve {told}"
        assert connection.told("disconnected") == [(OK,)], f"{name}: the disconnect did not complete"
        assert len(connection.told("DISCONNECT")) == 1, f"{name}: TcpIndicateDisconnect"
        assert connection.stream == b"theirs"


@case(
    manual("CHM-61", "chimney"),
    "what is told of a connection stays in order while the indirection table changes, wherever it is told",
    Feature.CHIMNEY,
    Feature.RSS,
    queues=4,
    cpus=4,
)
def tables_that_change(bench: Bench) -> None:
    """Four connections with data both ways; after every second segment the table is turned round."""
    chimneys, _ = one(bench)
    assert chimneys.set_rss((0, 1, 2, 3)) == OK
    blocks = [tcp(46_000 + n, hash_value=n) for n in range(4)]
    assert chimneys.control("initiate", below(chimneys, *blocks)) == [OK] * 5
    connections = [chimneys.connections[block.OffloadHandle] for block in blocks]
    wanted: dict[int, bytes] = dict.fromkeys(range(4), b"")
    for turn in range(8):
        for number, connection in enumerate(connections):
            part = bytes([16 * number + turn]) * (100 + turn)
            wanted[number] += part
            if turn % 3 == 0:
                connection.post(150, settles=False)
            connection.receive(part, flags=PUSH, settles=False)
            connection.send(part, settles=False)
        if turn % 2:
            table = tuple((each + turn) % 4 for each in range(4))
            assert chimneys.set_rss(table) == OK
        chimneys.settle()
        for connection in connections:
            connection.acknowledge()
    for number, connection in enumerate(connections):
        assert connection.stream == wanted[number], f"connection {number}: data in another order"
        sent = connection.told("sent")
        assert sent == [(OK, 100 + turn) for turn in range(8)], f"connection {number}: sends {sent}"


@case(
    manual("CHM-29", "chimney"),
    "while the link is down nothing is sent and nothing lost; when it is up again data goes on",
    Feature.CHIMNEY,
)
def links_that_go_and_come(bench: Bench) -> None:
    """Sends under way, the link down, more sends, a second, the link up."""
    chimneys, connection = one(bench)
    connection.send(b"before" * 100)
    connection.sent()
    chimneys.device.set_link(0)
    chimneys.settle()
    connection.send(b"during" * 100)
    chimneys.advance(1_000 * MS)
    assert not connection.sent(), "a segment was sent without a link"
    chimneys.device.set_link(10_000)
    chimneys.settle()
    chimneys.advance(5_000 * MS)
    assert drained(connection) == b"before" * 100 + b"during" * 100, "data was lost with the link"
    assert connection.told("sent") == [(OK, 600)] * 2


@case(
    _CACHED,
    "segments have the hop limit, traffic class, flow label and priority of CACHED, as they are given",
    Feature.CHIMNEY,
)
def headers_of_the_host(bench: Bench) -> None:
    """TTL 7 and 255, TOS B8h, UserPriority 5, and the same after an update."""
    chimneys, _ = one(bench)
    for number, (ttl, tos, priority) in enumerate(((7, 0xB8, 0), (255, 0, 5), (64, 0x28, 7))):
        block = _cached(tcp(47_000 + number), TtlOrHopLimit=ttl, TosOrTrafficClass=tos, UserPriority=priority)
        assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
        connection = chimneys.connections[block.OffloadHandle]
        connection.send(b"who?")
        (segment,) = connection.sent()
        found = segment.ip[8], segment.ip[1] & 0xFC, segment.tci
        wanted = ttl, tos & 0xFC, (priority << 13 if priority else None)
        assert found == wanted, f"TTL, TOS and tag are {found}, not {wanted}"
        f = Frame.parse(segment.frame)
        assert (verify.ipv4_header(f), verify.transport(f)) == (verify.Verdict.GOOD, verify.Verdict.GOOD)
        connection.peer.ack += 4
        connection.receive()


@case(
    _PROTOCOL,
    "over IPv6 a connection is what it is over IPv4: data both ways, the host's header fields, checksums",
    Feature.CHIMNEY,
)
def connections_over_ipv6(bench: Bench) -> None:
    """Flow label, hop limit and traffic class; 5,000 bytes each way; a disconnect; the tree is taken back."""
    chimneys = offloading(bench)
    fields = {"TtlOrHopLimit": 9, "TosOrTrafficClass": 0x48, "FlowLabel": 0xABCDE}
    block = _cached(tcp(49_000), **fields)
    lower = path(block, version=6)
    upper = neighbour(lower)
    connection = chimneys.enlist(block)
    if set(chimneys.control("initiate", upper)) != {OK}:
        forget(chimneys, block)
        raise NotSupported("no chimney over IPv6")
    connection.peer = Peer(6, connection.peer.ports, connection.peer.seq, connection.peer.ack)
    data = bytes(n * 11 & 0xFF for n in range(5000))
    connection.send(data)
    segments = connection.sent()
    for each in segments:
        word = int.from_bytes(each.ip[:4])
        assert word == 6 << 28 | 0x48 << 20 | 0xABCDE, f"the first word is {word:#x}"
        assert (each.ip[6], each.ip[7]) == (packet.TCP, 9), "next header and hop limit"
        assert verify.transport(Frame.parse(each.frame)) == verify.Verdict.GOOD, "a wrong checksum"
    assert b"".join(each.payload for each in segments) == data
    connection.peer.ack = ISS + 5000
    for start in range(0, 5000, 1000):
        connection.receive(data[start : start + 1000], flags=PUSH)
    assert connection.stream == data
    assert connection.told("sent") == [(OK, 5000)]
    connection.disconnect()
    assert [each for each in connection.sent() if each.flags & packet.FIN], "no FIN"
    connection.terminate()
    del chimneys.connections[connection.handle]
    low, high = ending_of(lower), ending_of(upper)
    high.DependentBlockList = low
    assert chimneys.control("terminate", high) == [OK, OK]


@case(
    _PROTOCOL,
    "no byte is sent beyond the right edge of the peer's window, and what it lets in is sent",
    Feature.CHIMNEY,
)
def windows_of_the_peer(bench: Bench) -> None:
    """20,000 bytes into windows of 1,000 to 7,000 bytes that move by odd steps."""
    chimneys, connection = one(bench)
    connection.receive(window=2000)
    connection.sent()
    edge = 2000
    connection.send(bytes(n % 251 for n in range(20_000)))
    sent = 0
    for number in range(60):
        for each in connection.sent():
            if each.payload:
                end = each.seq + len(each.payload) - ISS
                assert end <= edge, f"{end - edge} bytes beyond the window"
                sent = max(sent, end)
        acked = sent if number % 3 else max(connection.peer.ack - ISS, sent - 700)
        window = max(1000 + number * 613 % 6000, edge - acked)
        edge = acked + window
        connection.peer.ack = ISS + acked
        connection.receive(window=window)
        chimneys.advance(250 * MS)
        if acked == 20_000:
            break
    assert sent == 20_000, f"{sent} of 20,000 bytes left"
    assert connection.told("sent") == [(OK, 20_000)]


@case(
    _CACHED,
    "with KEEP_ALIVE_ENABLED an idle connection is probed as CACHED says, and then uploaded",
    Feature.CHIMNEY,
)
def keep_alive(bench: Bench) -> None:
    """Probes that are answered; then three that are not."""
    chimneys, _ = one(bench)
    flags = nd.TcpCachedFlag.KEEP_ALIVE_ENABLED
    block = _cached(tcp(48_000), Flags=flags, KaTimeout=2000, KaInterval=500, KaProbeCount=3)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    connection = chimneys.connections[block.OffloadHandle]
    found: list[int] = []
    waited = 0
    for _ in range(4000):
        chimneys.advance(50 * MS)
        waited += 50
        probes = connection.sent()
        if not probes:
            continue
        assert all(not each.payload or len(each.payload) == 1 for each in probes), "a probe with data"
        assert all(each.seq == ISS - 1 for each in probes), f"a probe at {probes[0].seq - ISS}"
        found.append(waited)
        waited = 0
        if len(found) <= 2:
            connection.receive()
        if connection.told(EVENT.RETRIEVE.name):
            break
    assert len(found) >= 5, f"{len(found)} probes"
    first, second, third, *unanswered = found
    assert abs(second - first) <= 100 and abs(third - second) <= 100, f"probes after {found} ms"
    for interval in unanswered[:2]:
        assert interval < first, f"unanswered probes come after {found} ms"
    for _ in range(400):
        chimneys.advance(50 * MS)
        if connection.told(EVENT.RETRIEVE.name):
            break
    assert connection.told(EVENT.RETRIEVE.name), "nobody is told that the peer is gone"
    assert len(found) + len(connection.sent()) <= 2 + 3 + 1, "more probes than KaProbeCount"


@case(
    _PROTOCOL,
    "data beyond the window that was offered is not taken, and is answered by an ACK",
    Feature.CHIMNEY,
)
def data_beyond_the_window(bench: Bench) -> None:
    """The client keeps everything; the peer fills the window, and sends 600 bytes more; it gives back."""
    chimneys, connection = one(bench)
    chimneys.client.returns = False
    start = connection.peer.seq
    window = 65_535
    sent = 0
    while sent < window:
        part = min(1400, window - sent)
        connection.receive(bytes([sent // 1400]) * part, flags=PUSH)
        sent += part
    chimneys.advance(600 * MS)
    last = connection.sent()[-1]
    found = (last.ack - start) % _WRAP, last.window
    assert found == (window, 0), f"when the window is full the last ACK and window are {found}"
    for _ in range(2):
        connection.receive(b"beyond" * 50, flags=PUSH, seq=(start + window) % _WRAP)
    assert len(connection.stream) == window, "data beyond the window was taken"
    answers = connection.sent()
    assert answers, "not answered"
    assert all(each.ack == (start + window) % _WRAP for each in answers), "acknowledged"
    chimneys.client.give_back()
    chimneys.settle()
    update = connection.sent()
    assert update and update[-1].window > 30_000, "the window is not opened when all was consumed"
    chimneys.client.returns = True
    connection.receive(b"again", flags=PUSH)
    assert connection.stream[-5:] == b"again"
