"""TCP chimney, moods of the adapter and of the host: pause, upload of all, refusals, what is counted."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, one
from vnic.conformance.pages import chimney, ddi
from vnic.gen.registers import BAR0
from vnic.ndis.chimney_stats import TcpOffloadStats
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import OK, TYPE, UPLOAD, block_of, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.wire import packet

_PAUSE = chimney("ndis-status-offload-pause")
_UPLOAD_ALL = chimney("ndis-status-upload-all")
_DELIVERY = chimney("delivery-algorithm")
_RECEIVE = ddi("nc-ndischimney-w_tcp_offload_receive_handler", "ndischimney")
_INDICATE = ddi("nc-ndischimney-ndis_tcp_offload_receive_indicate", "ndischimney")
_STATISTICS = chimney("maintaining-and-reporting-chimney-specific-statistics")
_EVENTS = chimney("processing-events-that-occur-during-an-offload")
_MOODS = (NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME)
_SECOND_NS = 1_000_000_000
_NEVER = 0xFFFF_FFFF


def moods(bench: ChimneyBench) -> list[NDIS_STATUS]:
    """The status indications about offloading, in order."""
    return [NDIS_STATUS(each.status) for each in bench.protocol.statuses if each.status in _MOODS]


def _short_of_blocks(bench: Bench, *, for_ever: bool = False) -> tuple[ChimneyBench, Connection]:
    """A card that asks for a pause because data out of order takes its blocks; `for_ever`: till a reset."""
    chimneys, connection = one(bench)
    free = bench.device.read32(BAR0.CHM_FREE_BLOCKS.offset)
    bench.device.write32(BAR0.CHM_BLOCKS_HIGH.offset, _NEVER if for_ever else free)
    bench.device.write32(BAR0.CHM_BLOCKS_LOW.offset, free)
    connection.receive(b"out of order", seq=connection.peer.seq + 100, flags=PUSH)
    if NDIS_STATUS.OFFLOAD_PAUSE not in moods(chimneys):
        raise NotSupported("OFFLOAD_PAUSE")
    return chimneys, connection


def fill_the_gap(connection: Connection) -> None:
    connection.receive(b"x" * 100, flags=PUSH)
    connection.peer.seq += 12


@case(
    _PAUSE, "in a pause connections go on; it ends with OFFLOAD_RESUME, and offloads go on", Feature.CHIMNEY
)
def a_pause_and_its_end(bench: Bench) -> None:
    """The card runs short of memory; data goes both ways; it has memory again; another one is offloaded."""
    chimneys, connection = _short_of_blocks(bench)
    connection.send(b"goes on")
    assert connection.acknowledge() == b"goes on", "nothing is sent in a pause"
    fill_the_gap(connection)
    assert connection.stream == b"x" * 100 + b"out of order", "what came in a pause was lost"
    assert moods(chimneys) == [NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.OFFLOAD_RESUME], f"{moods(chimneys)}"
    block = tcp(40001)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK], "no offload after OFFLOAD_RESUME"
    other = chimneys.connections[block.OffloadHandle]
    other.send(b"works")
    assert other.acknowledge() == b"works"


@case(
    _PAUSE,
    "an initiate that is on its way when the pause is indicated is completed, at the latest when it ends",
    Feature.CHIMNEY,
)
def an_initiate_that_meets_a_pause(bench: Bench) -> None:
    """The host begins an initiate while the card runs short and the driver does not know it yet."""
    chimneys, connection = one(bench)
    free = bench.device.read32(BAR0.CHM_FREE_BLOCKS.offset)
    bench.device.write32(BAR0.CHM_BLOCKS_HIGH.offset, free)
    bench.device.write32(BAR0.CHM_BLOCKS_LOW.offset, free)
    connection.receive(b"out of order", seq=connection.peer.seq + 100, flags=PUSH, settles=False)
    block = tcp(40001)
    chimneys.control("initiate", below(chimneys, block), settles=False)
    chimneys.settle()
    fill_the_gap(connection)
    chimneys.advance(5 * _SECOND_NS)
    assert block.Status is not None, "an initiate that met a pause was never completed"
    assert ("initiate", True) in [
        (what, each.DependentBlockList is block) for what, each in chimneys.client.done
    ]
    if block.Status == OK:
        other = chimneys.connections[block.OffloadHandle]
        other.send(b"works")
        assert other.acknowledge() == b"works"
    else:
        del chimneys.connections[block.OffloadHandle]


@case(
    _UPLOAD_ALL,
    "after UPLOAD_ALL everything can be taken back, and when that is done OFFLOAD_RESUME comes",
    Feature.CHIMNEY,
    is_rough=True,
)
def everything_is_uploaded(bench: Bench) -> None:
    """A submission ring of the card stops; terminate all; then offload anew."""
    chimneys, first = one(bench)
    block = tcp(40001)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    second = chimneys.connections[block.OffloadHandle]
    first.send(b"in the card")
    bench.device.write32(BAR0.CHQ_SQ_TAIL.at(0), 1 << 20)
    chimneys.settle()
    if NDIS_STATUS.UPLOAD_ALL not in moods(chimneys):
        raise NotSupported("UPLOAD_ALL")
    assert first.acknowledge() == b"in the card", "what the card had was not sent"
    second.send(b"comes back")
    assert second.told("sent") == [(UPLOAD, 0)], f"a send after UPLOAD_ALL ended {second.told('sent')}"
    for each in (first, second):
        each.terminate()
    chimneys.release()
    chimneys.connections.clear()
    chimneys.settle()
    assert moods(chimneys) == [NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME], f"{moods(chimneys)}"
    chimneys.transmitted.clear()
    (again,) = chimneys.connect(tcp(40009))
    again.send(b"works")
    assert again.acknowledge() == b"works"


def _over(bench: Bench, way: str) -> None:
    """Everything is taken back in a pause; then a reset, or low power and D0."""
    chimneys, _ = _short_of_blocks(bench, for_ever=True)
    chimneys.upload_all()
    chimneys.connections.clear()
    assert moods(chimneys) == [NDIS_STATUS.OFFLOAD_PAUSE], f"{moods(chimneys)}"
    if way == "low power":
        for state in (DevicePowerState.D3, DevicePowerState.D0):
            assert chimneys.adapter.set_power(state) == OK
    else:
        chimneys.adapter.reset()
    chimneys.settle()
    assert moods(chimneys)[-1] is NDIS_STATUS.OFFLOAD_RESUME, (
        f"after {way} nobody says that the pause is over"
    )
    (again,) = chimneys.connect(tcp(40009))
    again.send(b"works")
    assert again.acknowledge() == b"works"


@case(_PAUSE, "low power ends a pause, and OFFLOAD_RESUME says so", Feature.CHIMNEY, Feature.POWER)
def a_pause_before_low_power(bench: Bench) -> None:
    """The card runs short of memory, everything is taken back, D3, D0: offloads go on."""
    _over(bench, "low power")


@case(_PAUSE, "a reset ends a pause, and OFFLOAD_RESUME says so", Feature.CHIMNEY)
def a_pause_before_a_reset(bench: Bench) -> None:
    """The card runs short of memory, everything is taken back, the adapter is reset: offloads go on."""
    _over(bench, "a reset")


@case(
    _RECEIVE,
    "a receive of no bytes lets refused data be indicated again, and takes none of it",
    Feature.CHIMNEY,
)
def a_receive_of_no_bytes(bench: Bench) -> None:
    """The client refuses 6 bytes, changes its mind, and posts a receive of no bytes; twice."""
    chimneys, connection = one(bench)
    for turn in range(2):
        chimneys.client.accepts = lambda data: 0
        connection.receive(b"refuse", flags=PUSH)
        chimneys.client.accepts = lambda data: None
        before = len(connection.told("indicate"))
        connection.post(0)
        assert connection.told("received") == [(OK, 0)] * (turn + 1), f"{connection.told('received')}"
        chimneys.settle()
        assert len(connection.told("indicate")) == before + 1, (
            "refused data was not indicated after a receive"
        )
        assert connection.stream == b"refuse" * (turn + 1), f"{connection.stream!r} came"


@case(
    _INDICATE,
    "of data that was accepted in part no byte comes twice, whatever is posted next",
    Feature.CHIMNEY,
)
def parts_that_are_accepted(bench: Bench) -> None:
    """The client takes 1, 2, 3 ... bytes of what is indicated; receives of 0 to 3 bytes are posted."""
    chimneys, connection = one(bench)
    sent = b""
    for turn in range(1, 9):
        data = bytes(turn * 16 + n for n in range(12))
        sent += data
        taken = turn
        chimneys.client.accepts = lambda _, taken=taken: taken  # type: ignore[misc]
        connection.receive(data, flags=PUSH)
        connection.post(turn % 4)
    chimneys.client.accepts = lambda data: None
    connection.post(0)
    connection.receive(b"end", flags=PUSH)
    connection.post(0)
    chimneys.advance(_SECOND_NS)
    assert connection.stream == sent + b"end", (
        f"{len(connection.stream)} bytes came, or others, of {len(sent) + 3}"
    )


@case(
    _DELIVERY, "TcpReceiveNoPush is of each receive: PSH ends those without it, and no other", Feature.CHIMNEY
)
def push_and_no_push_in_turns(bench: Bench) -> None:
    """Receives of both kinds in turns, filled from the wire and from data that the client refused before."""
    for is_refused in (False, True):
        chimneys, connection = one(bench) if not is_refused else _another(bench)
        chimneys.client.accepts = lambda data: 0
        for number, no_push in enumerate((True, False, True, False)):
            if is_refused:
                connection.receive(b"four", flags=PUSH)
                connection.post(8, no_push=no_push)
            else:
                connection.post(8, no_push=no_push)
                connection.receive(b"four", flags=PUSH)
            ended = len(connection.told("received"))
            if no_push:
                assert ended == number, f"receive {number} with TcpReceiveNoPush ended with 4 of 8 bytes"
                connection.receive(b"more", flags=packet.ACK)
            assert connection.told("received")[number:] == [(OK, 8 if no_push else 4)], (
                f"receive {number}: {connection.told('received')}"
            )


def _another(bench: Bench) -> tuple[ChimneyBench, Connection]:
    chimneys = bench
    assert isinstance(chimneys, ChimneyBench)
    block = tcp(40077)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    return chimneys, chimneys.connections[block.OffloadHandle]


@case(
    _EVENTS,
    "no handler is called for a connection before NdisMInitiateOffloadComplete has returned",
    Feature.CHIMNEY,
)
def nothing_before_the_initiate_returns(bench: Bench) -> None:
    """Data, a FIN and BufferedData are there before the initiate completes; within its completion, too."""
    chimneys, _ = one(bench)
    block = tcp(40001, RcvWnd=60000, BufferedData=chimneys.nbl(b"old "))
    connection = chimneys.enlist(block)
    before: list[int] = []

    def looks(what: str, handle: object) -> None:
        if what == "initiated":
            bench.device.is_manual = False
            before.append(len(connection.log))
            before.append(len(connection.stream))

    chimneys.client.during = looks
    assert chimneys.path_block is not None
    bench.device.is_manual = True
    root = block_of(TYPE.NONE, block, handle=chimneys.path_block.OffloadHandle)
    chimneys.control("initiate", root, settles=False)
    for _ in range(6):
        bench.device.run()
        connection.receive(b"new!", flags=PUSH, settles=False)
        bench.processors.run_until_idle()
    connection.receive(flags=packet.ACK | packet.FIN, settles=False)
    bench.device.run()
    bench.device.is_manual = False
    chimneys.settle()
    assert before == [0, 0], f"{before} calls and bytes came before the initiate's completion returned"
    assert connection.stream.startswith(b"old "), f"{connection.stream!r} came"


@case(
    _STATISTICS,
    "TcpCurrentlyEstablished is the connections that there are, whatever became of others",
    Feature.CHIMNEY,
)
def established_connections_are_counted(bench: Bench) -> None:
    """Offload three, terminate one, reset the adapter, offload one: the count follows; a set leaves it."""

    def counted() -> int:
        return TcpOffloadStats.parse(chimneys.query(OID.TCP4_OFFLOAD_STATS)).currently_established

    chimneys, first = one(bench)
    blocks = [tcp(40001), tcp(40002)]
    assert chimneys.control("initiate", below(chimneys, *blocks)) == [OK] * 3
    found = [counted()]
    first.terminate()
    found.append(counted())
    assert chimneys.request(set_(OID.TCP4_OFFLOAD_STATS, b"")) == OK
    found.append(counted())
    chimneys.adapter.reset()
    chimneys.settle()
    found.append(counted())
    chimneys.upload_all()
    chimneys.connections.clear()
    chimneys.connect(tcp(40009))
    found.append(counted())
    assert found == [3, 2, 2, 0, 1], f"TcpCurrentlyEstablished was {found}, wanted [3, 2, 2, 0, 1]"


@case(
    _STATISTICS,
    "a set of the statistics sets them to zero, and a reset of the adapter does not",
    Feature.CHIMNEY,
)
def counts_stand_until_they_are_set(bench: Bench) -> None:
    """Segments in and out, a reset, segments, a set of zero, segments: the counters hold what they should."""
    chimneys, connection = one(bench)

    def counted() -> tuple[int, int]:
        stats = TcpOffloadStats.parse(chimneys.query(OID.TCP4_OFFLOAD_STATS))
        return stats.in_segments, stats.out_segments

    start = counted()
    for _ in range(3):
        connection.receive(b"in", flags=PUSH)
    connection.send(b"out")
    drained(connection)
    first = counted()
    assert first[0] - start[0] >= 4 and first[1] > start[1], f"counted {start}, then {first}"
    chimneys.adapter.reset()
    chimneys.settle()
    assert counted() >= first, f"a reset set {first} back to {counted()}"
    assert chimneys.request(set_(OID.TCP4_OFFLOAD_STATS, b"")) == OK
    assert counted() == (0, 0), f"after a set the counters are {counted()}"
