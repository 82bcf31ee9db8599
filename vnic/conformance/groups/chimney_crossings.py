"""TCP chimney, crossings: what comes while something else is told, on its way, or more than a ring holds."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, named, offloading, one
from vnic.conformance.groups.chimney_moods import fill_the_gap, moods
from vnic.conformance.pages import chimney, ddi
from vnic.gen.registers import BAR0
from vnic.ndis import chimney as nd
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import (
    OK,
    PARTIAL,
    TYPE,
    Block,
    block_of,
    ending_of,
    neighbour,
    path,
    tcp,
)
from vnic.testbench.chimney.connection import Connection

_SEND = ddi("nc-ndischimney-w_tcp_offload_send_handler", "ndischimney")
_RECEIVE = ddi("nc-ndischimney-w_tcp_offload_receive_handler", "ndischimney")
_REACH = chimney("making-a-neighborreachabilityquery-indication")
_TERMINATE = chimney("terminate-offload-initiated-by-the-host-stack")
_PAUSE = chimney("ndis-status-offload-pause")
_UPLOAD_ALL = chimney("ndis-status-upload-all")
_OTHER_MAC = bytes.fromhex("0200000000cc")
_SECOND_NS = 1_000_000_000
_STALE_NS = 120 * _SECOND_NS
_BURST = 320
_INITIATES = 30


@case(_SEND, "a miniport accepts every send, also more at once than its rings hold", Feature.CHIMNEY)
def more_sends_than_a_ring_holds(bench: Bench) -> None:
    """Twice 320 sends of a few bytes are posted while the card stands still; each byte leaves once."""
    _, connection = one(bench)
    for turn in range(2):
        data = [bytes([turn, n & 0xFF, n >> 8]) for n in range(_BURST)]
        bench.device.is_manual = True
        for start in range(0, _BURST, 80):
            connection.send(*data[start : start + 80], settles=False)
        bench.ndis.run_until_idle()
        bench.device.is_manual = False
        bench.settle()
        left = drained(connection)
        assert left == b"".join(data), f"{len(left)} bytes left in turn {turn}, or others than {3 * _BURST}"
    assert connection.told("sent") == [(OK, 3)] * (2 * _BURST), "not every send completed"


@case(_RECEIVE, "a miniport accepts every receive, also more at once than its rings hold", Feature.CHIMNEY)
def more_receives_than_a_ring_holds(bench: Bench) -> None:
    """Twice 320 receives of 2 bytes are posted while the card stands still; each is filled in order."""
    _, connection = one(bench)
    wanted = b""
    for turn in range(2):
        bench.device.is_manual = True
        for _ in range(5):
            connection.post(*[2] * (_BURST // 5), no_push=True, settles=False)
        bench.ndis.run_until_idle()
        bench.device.is_manual = False
        bench.settle()
        data = bytes((n * 7 + turn) & 0xFF for n in range(2 * _BURST))
        connection.receive(data, flags=PUSH)
        wanted += data
        assert connection.stream == wanted, f"receives hold other bytes in turn {turn}"
    assert connection.told("received") == [(OK, 2)] * (2 * _BURST), "not every receive completed"


def _answers(bench: Bench, connection: Connection, mac: bytes) -> list[int]:
    """The host updates the neighbour's address as it is asked about it; how often it was asked."""
    chimneys = offloading(bench)
    assert chimneys.neighbour_block is not None
    handle, asked = chimneys.neighbour_block.OffloadHandle, list[int]()

    def indicated(binding: BindingHandle, block: Block | None, event: nd.INDICATE_OFFLOAD_EVENT) -> None:
        assert block is not None
        assert isinstance(block.cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED)
        block.cached.HostReachabilityDelta = 1
        if not asked:
            cached = nd.NEIGHBOR_OFFLOAD_STATE_CACHED(mac, 1)
            chimneys.calls.update_offload(block_of(TYPE.NEIGHBOR_CACHED, handle=handle, cached=cached))
        asked.append(1)

    chimneys.client.indicate_offload_event = indicated  # type: ignore[method-assign]
    chimneys.clock.advance(_STALE_NS)
    connection.send(b"stale")
    chimneys.advance(_SECOND_NS)
    return asked


@case(
    _REACH,
    "an update that the host makes while it is asked holds: the answer does not undo it",
    Feature.CHIMNEY,
)
def updates_while_it_is_asked(bench: Bench) -> None:
    """Two minutes go by, data is sent; asked, the host gives another address: data goes there at once."""
    chimneys, connection = one(bench)
    if not _answers(bench, connection, _OTHER_MAC):
        raise NotSupported("NeighborReachabilityQuery")
    assert drained(connection).endswith(b"stale"), "the data was not sent"
    assert [what for what, _ in chimneys.client.done].count("update") == 1, "the update was not completed"
    for _ in range(2):
        connection.send(b"later")
        found = {each.frame[:6] for each in connection.sent() if each.payload}
        assert found == {_OTHER_MAC}, "segments go to the address before the update"
        connection.peer.ack += 5
        connection.receive()
        chimneys.clock.advance(_STALE_NS)


@case(
    _TERMINATE,
    "DELEGATED of a neighbour comes back: NicReachabilityDelta is how long nothing was heard of it",
    Feature.CHIMNEY,
)
def a_neighbour_that_comes_back(bench: Bench) -> None:
    """Data goes both ways, half a minute goes by, query and terminate the neighbour: both say the same."""
    chimneys, connection = one(bench)
    connection.send(b"forward progress")
    connection.acknowledge()
    chimneys.advance(30 * _SECOND_NS)
    connection.terminate()
    assert chimneys.neighbour_block is not None and chimneys.path_block is not None
    asked = block_of(
        TYPE.NEIGHBOR_DELEGATED,
        handle=chimneys.neighbour_block.OffloadHandle,
        delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(),
    )
    if chimneys.control("query", asked) != [OK] or not _delta(asked):
        raise NotSupported("NicReachabilityDelta")
    lower, upper = ending_of(chimneys.path_block), ending_of(chimneys.neighbour_block)
    upper.DependentBlockList = lower
    statuses = chimneys.control("terminate", upper)
    chimneys.path_block = chimneys.neighbour_block = None
    assert statuses == [OK, OK], named(statuses)
    assert _delta(upper) == _delta(asked), (
        f"NicReachabilityDelta is {_delta(upper)} at the end, {_delta(asked)} just before"
    )


def _delta(block: Block) -> int:
    assert isinstance(block.delegated, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED)
    return block.delegated.NicReachabilityDelta


@case(
    _UPLOAD_ALL,
    "UPLOAD_ALL is indicated also to a host that initiates one offload after the other",
    Feature.CHIMNEY,
    is_rough=True,
)
def uploads_all_of_a_host_that_goes_on(bench: Bench) -> None:
    """A submission ring of the card stops; each initiate that completes begins the next, up to thirty."""
    chimneys, _ = one(bench)
    waits, begun = [_tree_of_its_own(41000 + number) for number in range(_INITIATES)], list[list[Block]]()

    def begin() -> None:
        begun.append(waits.pop(0))
        chimneys.calls.initiate_offload(begun[-1][-1])

    def next_one(what: str, handle: object) -> None:
        if what == "initiated" and NDIS_STATUS.UPLOAD_ALL not in moods(chimneys) and waits:
            if len(begun) == 2:
                bench.device.write32(BAR0.CHQ_SQ_TAIL.at(0), 1 << 20)
            begin()

    chimneys.client.during = next_one
    chimneys.as_protocol(begin)
    chimneys.settle()
    used, is_told = len(begun), NDIS_STATUS.UPLOAD_ALL in moods(chimneys)
    chimneys.upload_all()
    _end_all(chimneys, begun)
    chimneys.advance(_SECOND_NS)
    _end_all(chimneys, begun)  # and what has waited for OFFLOAD_RESUME
    assert not begun, f"{len(begun)} initiates were never completed"
    chimneys.connections.clear()
    if not is_told:
        raise NotSupported("UPLOAD_ALL")
    assert used < _INITIATES // 2, f"UPLOAD_ALL was indicated when the host had begun {used} initiates"


def _tree_of_its_own(port: int) -> list[Block]:
    """A connection, its path, its neighbour."""
    connection = tcp(port)
    below_it = path(connection)
    return [connection, below_it, neighbour(below_it)]


def _end_all(chimneys: ChimneyBench, trees: list[list[Block]]) -> None:
    """Terminate what is offloaded of them, and take them off the list, as those that failed."""
    for tree in [each for each in trees if each[-1].Status is not None]:
        for block in tree:
            if block.Status in (OK, PARTIAL):
                chimneys.control("terminate", ending_of(block), settles=False)
                chimneys.settle()
        trees.remove(tree)


def race_with_a_pause(bench: Bench) -> tuple[ChimneyBench, Connection, list[Connection]]:
    """The driver will tell of a pause on one processor as the host begins an initiate on another.

    The chimney, a connection, and where the other one will be if its initiate comes first.
    """
    chimneys, connection = one(bench)
    free = bench.device.read32(BAR0.CHM_FREE_BLOCKS.offset)
    bench.device.write32(BAR0.CHM_BLOCKS_HIGH.offset, free)
    bench.device.write32(BAR0.CHM_BLOCKS_LOW.offset, free)
    block, begun = tcp(40001), list[Connection]()
    root = below(chimneys, block)
    other = chimneys.connections.pop(block.OffloadHandle)

    def begin() -> None:
        if NDIS_STATUS.OFFLOAD_PAUSE not in moods(chimneys):
            chimneys.connections[other.handle] = other
            begun.append(other)
            chimneys.calls.initiate_offload(root)

    connection.receive(b"out of order", seq=connection.peer.seq + 100, flags=PUSH, settles=False)
    bench.device.run()
    bench.processors.queue_dpc(1, lambda _: chimneys.as_protocol(begin))
    return chimneys, connection, begun


@case(
    _PAUSE,
    "an initiate of another processor that comes while the pause is being told waits, and is completed",
    Feature.CHIMNEY,
    seeds=tuple(range(301, 313)),
)
def an_initiate_that_races_with_a_pause(bench: Bench) -> None:
    """The driver tells of the pause on one processor as the host begins an initiate on another; it ends."""
    chimneys, connection, begun = race_with_a_pause(bench)
    chimneys.settle()
    fill_the_gap(connection)
    chimneys.advance(5 * _SECOND_NS)
    for other in begun:
        assert other.block.Status is not None, "an initiate that met a pause was never completed"
        if other.block.Status != OK:
            del chimneys.connections[other.handle]


@case(
    _UPLOAD_ALL,
    "an initiate below a path that is to be uploaded ends: nobody can terminate the path before",
    Feature.CHIMNEY,
    seeds=tuple(range(301, 313)),
    is_rough=True,
)
def an_initiate_that_meets_the_upload(bench: Bench) -> None:
    """An initiate races with a pause, then a submission ring of the card stops, then all is terminated."""
    chimneys, connection, begun = race_with_a_pause(bench)
    chimneys.settle()
    bench.device.write32(BAR0.CHQ_SQ_TAIL.at(0), 1 << 20)
    chimneys.settle()
    told = [each for each in moods(chimneys) if each is not NDIS_STATUS.OFFLOAD_PAUSE]
    if not told:
        raise NotSupported("UPLOAD_ALL")
    assert told == [NDIS_STATUS.UPLOAD_ALL], f"before anything was terminated the host heard {told}"
    chimneys.advance(5 * _SECOND_NS)
    for other in begun:
        assert other.block.Status is not None, "an initiate waits for OFFLOAD_RESUME, and that for its path"
    for each in (connection, *(other for other in begun if other.block.Status == OK)):
        each.terminate()
    chimneys.release()
    chimneys.connections.clear()
    chimneys.settle()
    assert moods(chimneys)[-1] is NDIS_STATUS.OFFLOAD_RESUME, "everything is uploaded, and nothing resumes"
