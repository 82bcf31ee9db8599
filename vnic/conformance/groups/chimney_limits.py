"""TCP chimney, limits: how each kind of object is refused, rings that begin anew, and what waits for whom."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, forget, named, offloading, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import (
    FAILURE,
    OK,
    STATE,
    TYPE,
    Block,
    block_of,
    bytes_of,
    chain,
    chain_of,
    ending_of,
    neighbour,
    path,
    tcp,
)
from vnic.testbench.chimney.client import Offloader
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_STATUS = chimney("returning-completion-status-of-an-initiate-offload-operation")
_TERMINATE = chimney("terminate-offload-initiated-by-the-host-stack")
_EVENTS = chimney("processing-events-that-occur-during-an-offload")
_INDICATE = ddi("nc-ndischimney-ndis_tcp_offload_receive_indicate", "ndischimney")
_PAUSE = ddi("nc-ndis-miniport_pause", "ndis")
_SECOND_NS = 1_000_000_000
_ANY = {FAILURE, NDIS_STATUS.RESOURCES}
_OF_NEIGHBOURS = {NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES, NDIS_STATUS.OFFLOAD_VLAN_ENTRIES}
_OF_PATHS = {NDIS_STATUS.OFFLOAD_PATH_ENTRIES, NDIS_STATUS.OFFLOAD_IP_ADDRESS_ENTRIES}
_OF_CONNECTIONS = {
    NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
    NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER,
    NDIS_STATUS.OFFLOAD_TCP_RCV_BUFFER,
    NDIS_STATUS.OFFLOAD_CONNECTION_REJECTED,
}
_FEW = {"connections": 4, "paths": 3, "neighbours": 3}
_MANY = 8


def _refused(bench: ChimneyBench, root: Block | None, blocks: list[Block], own: set[NDIS_STATUS]) -> None:
    """Offload more `blocks` than fit, below `root` or alone; see how the rest ends; take back the others."""
    bench.control("initiate", root or blocks[0])
    taken = [block for block in blocks if block.Status == OK]
    lost = [block.Status for block in blocks if block.Status != OK]
    assert taken and lost, f"{len(taken)} of {_MANY} were offloaded to a card with room for a few"
    assert set(lost) <= own | _ANY, f"they were refused with {named(lost)}"
    for block in taken:
        assert bench.control("terminate", ending_of(block)) == [OK], "what was offloaded cannot be terminated"


@case(
    _STATUS,
    "the status of a path or a neighbour that found no entry is its own, and its siblings work",
    Feature.CHIMNEY,
    device=_FEW,
)
def each_kind_runs_out(bench: Bench) -> None:
    """Eight paths, then eight neighbours, for a card with room for three of each; twice."""
    chimneys, connection = one(bench)
    above = chimneys.neighbour_block
    assert above is not None
    for _ in range(2):
        paths = [path() for _ in range(_MANY)]
        _refused(chimneys, block_of(TYPE.NONE, *paths, handle=above.OffloadHandle), paths, _OF_PATHS)
        neighbours = [neighbour() for _ in range(_MANY)]
        chain(neighbours)
        _refused(chimneys, None, neighbours, _OF_NEIGHBOURS)
    connection.send(b"works")
    assert connection.acknowledge() == b"works"


@case(
    _STATUS,
    "a connection is refused with a status of connections, for its window with OFFLOAD_TCP_RCV_WINDOW",
    Feature.CHIMNEY,
    device=_FEW,
)
def windows_that_are_too_large(bench: Bench) -> None:
    """InitialRcvWnd and RcvWnd of 2^31 and of 2^32 - 1, on a card that has room."""
    chimneys, _ = one(bench)
    assert chimneys.path_block is not None
    for window in (1 << 31, (1 << 32) - 1):
        for block in (tcp(40001, cached={"InitialRcvWnd": window}), tcp(40001, RcvWnd=window)):
            root = block_of(TYPE.NONE, block, handle=chimneys.path_block.OffloadHandle)
            status = chimneys.control("initiate", root)[1]
            assert status in _ANY | {NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW}, f"{named([status])}"


def _talk(bench: ChimneyBench, turn: int) -> None:
    """Data both ways on a new connection: posted for, indicated, sent in pieces."""
    (connection,) = bench.connect(tcp(41000 + turn))
    sent = came = b""
    for n in range(5 + turn):
        data = bytes([turn, n]) * (100 + 30 * n)
        connection.post(150, no_push=True)
        connection.receive(data, flags=PUSH)
        connection.send(data, cuts=(10, 20))
        sent, came = sent + drained(connection), came + data
    connection.receive(b"end", flags=PUSH)
    bench.advance(_SECOND_NS)
    assert sent == came, f"turn {turn}: {len(sent)} bytes left, or others than the {len(came)} that were sent"
    assert connection.stream == came + b"end", (
        f"turn {turn}: {len(connection.stream)} of {len(came) + 3} bytes came"
    )


def _over(bench: Bench, way: str) -> None:
    chimneys = offloading(bench)
    for turn in range(3):
        _talk(chimneys, turn)
        if way == "low power":
            chimneys.upload_all()
            for state in (DevicePowerState.D3, DevicePowerState.D0):
                assert chimneys.adapter.set_power(state) == OK
        else:
            chimneys.adapter.reset()
            chimneys.settle()
            chimneys.upload_all()
        chimneys.connections.clear()
        chimneys.transmitted.clear()


@case(_EVENTS, "after a reset every ring of the chimney begins anew, on both sides", Feature.CHIMNEY)
def rings_after_a_reset(bench: Bench) -> None:
    """Data both ways, by posted receives and by indications, then a reset; three times."""
    _over(bench, "a reset")


@case(
    _EVENTS,
    "after low power every ring of the chimney begins anew, on both sides",
    Feature.CHIMNEY,
    Feature.POWER,
)
def rings_after_low_power(bench: Bench) -> None:
    """Data both ways, by posted receives and by indications, all taken back, D3 and D0; three times."""
    _over(bench, "low power")


@case(
    _INDICATE,
    "the peer's FIN is not told before the host has all bytes in front of it, also when it refused them",
    Feature.CHIMNEY,
)
def a_fin_with_data_that_is_refused(bench: Bench) -> None:
    """Data and FIN in one segment; the client takes 0 or 2 of 4 bytes, then posts for the rest, in parts."""
    for turn, taken in enumerate((0, 2)):
        chimneys = offloading(bench)
        (connection,) = chimneys.connect(tcp(42000 + turn))
        chimneys.client.accepts = lambda _, taken=taken: taken  # type: ignore[misc]
        connection.receive(b"last", flags=PUSH | packet.FIN)
        assert not connection.told("DISCONNECT"), f"Disconnect was told with {4 - taken} bytes refused"
        chimneys.client.accepts = lambda data: 0
        connection.post(3 - taken)
        assert not connection.told("DISCONNECT"), "Disconnect was told before the last byte"
        chimneys.client.accepts = lambda data: None
        connection.post(1)
        assert connection.stream == b"last", f"{connection.stream!r} came"
        assert len(connection.told("DISCONNECT")) == 1, "Disconnect was never told, or twice"
        state = connection.terminate().delegated
        assert isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED)
        assert state.RcvNxt == connection.peer.seq, "RcvNxt is not behind the FIN"


@case(
    _PAUSE,
    "before a pause is complete every NET_BUFFER_LIST that was indicated is back, the chimney's too",
    Feature.CHIMNEY,
)
def a_pause_waits_for_what_the_client_keeps(bench: Bench) -> None:
    """All is taken back but three indications, which the client returns a second after the pause began."""
    chimneys, connection = one(bench)
    assert isinstance(chimneys.protocol, Offloader)
    chimneys.protocol.on_pause = chimneys.upload_all
    chimneys.client.returns = False
    for _ in range(3):
        connection.receive(b"kept", flags=PUSH)
    if not chimneys.client.kept:
        raise NotSupported("indicates nothing that can be kept")
    seen: list[str] = []

    def give_back() -> None:
        seen.append(bench.adapter.state.value)
        chimneys.client.give_back()

    bench.clock.call_after(_SECOND_NS, give_back)
    bench.adapter.pause()
    assert seen == ["Pausing"], f"the pause was complete before indications came back ({seen})"
    assert bench.adapter.restart() == OK
    assert connection.stream == b"kept" * 3, f"{connection.stream!r} came"


@case(
    _EVENTS,
    "what comes in the same moment as the end of an initiate is told after it, and none of it is lost",
    Feature.CHIMNEY,
)
def what_comes_with_the_completion(bench: Bench) -> None:
    """The card has made the connection and has three segments and a FIN for it when the driver looks."""
    chimneys, _ = one(bench)
    block = tcp(40001)
    root = below(chimneys, block)
    connection = chimneys.connections[block.OffloadHandle]
    before: list[int] = []
    chimneys.client.during = lambda what, _: (
        before.append(len(connection.log)) if what == "initiated" else None
    )
    bench.device.is_manual = True
    chimneys.control("initiate", root, settles=False)
    bench.device.run()
    for data in (b"one", b"two", b"three"):
        connection.receive(data, flags=PUSH, settles=False)
    connection.receive(flags=packet.ACK | packet.FIN, settles=False)
    bench.device.run()
    bench.device.is_manual = False
    chimneys.settle()
    assert before == [0], f"{before} calls came before the initiate's completion"
    assert connection.stream == b"onetwothree", f"{connection.stream!r} came"
    assert connection.told("DISCONNECT"), "the FIN was lost"


@case(
    _TERMINATE,
    "to terminate what a reset has lost touches nothing that was offloaded since",
    Feature.CHIMNEY,
)
def what_was_lost_and_what_is_new(bench: Bench) -> None:
    """A reset; a neighbour, a path and a connection are offloaded anew, then the old ones are terminated."""
    chimneys, lost = one(bench)
    old = chimneys.path_block, chimneys.neighbour_block
    chimneys.adapter.reset()
    chimneys.settle()
    chimneys.path_block = chimneys.neighbour_block = None
    (new,) = chimneys.connect(tcp(40001))
    new.send(b"before")
    lost.terminate()
    for block in old:
        assert block is not None
        chimneys.control("terminate", ending_of(block))
    assert new.acknowledge() == b"before"
    new.send(b"after")
    assert new.acknowledge() == b"after", "the new connection ended with the old one"
    new.receive(b"comes", flags=PUSH)
    assert new.stream == b"comes"


@case(
    _STATUS,
    "a connection that is refused leaves nothing in the way of others, whatever it came with",
    Feature.CHIMNEY,
    device={"chimney_work": 16},
)
def refusals_leave_nothing_behind(bench: Bench) -> None:
    """Sixty, closing or with send data, are refused by a card that holds 16 pieces; a sound one sends."""
    chimneys, _ = one(bench)
    for turn in range(60):
        state = (STATE.FIN_WAIT1, STATE.LAST_ACK, STATE.ESTABLISHED)[turn // 20]
        bad = tcp(40001, State=state, RcvWnd=1 << 31)
        if state is STATE.ESTABLISHED:
            bad.NetBufferListChain = chimneys.nbl(b"still the host's", cuts=(3, 6))
        statuses = chimneys.control("initiate", below(chimneys, bad))
        assert statuses[1] not in (OK, None), f"a window of 2^31 was taken: {named(statuses)}"
        forget(chimneys, bad)
    block = tcp(40002)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    connection = chimneys.connections[block.OffloadHandle]
    connection.send(*[b"0123456789"] * 20, cuts=(2, 5))
    assert drained(connection) == b"0123456789" * 20
    assert connection.told("sent") == [(OK, 10)] * 20


@case(
    _STATUS,
    "with more to send than the card holds a connection is refused, or offloaded and all of it is sent",
    Feature.CHIMNEY,
    device={"chimney_work": 16},
)
def more_send_data_than_the_card_holds(bench: Bench) -> None:
    """Forty sends in the state: none of them sent, all of them sent, closing or not; then terminate."""
    chimneys, _ = one(bench)
    data = [bytes([33 + n]) * 10 for n in range(40)]
    cases = [(state, sent) for state in (STATE.ESTABLISHED, STATE.FIN_WAIT1) for sent in (0, 50, 400)]
    for number, (state, sent) in enumerate([*cases, (STATE.CLOSE_WAIT, 50), (STATE.LAST_ACK, 0)]):
        block = tcp(40010 + number, State=state, SndNxt=ISS, SndMax=ISS + sent)
        nbls = [chimneys.nbl(each) for each in data]
        block.NetBufferListChain = chain_of(nbls)
        status = chimneys.control("initiate", below(chimneys, block))[1]
        what = f"{state.name} with {sent} of 400 bytes sent"
        if status != OK:
            assert status in _OF_CONNECTIONS | _ANY, f"{what} was refused with {named([status])}"
            assert [bytes_of(nbl) for nbl in nbls] == data, f"{what} was refused, and its NBLs were touched"
            forget(chimneys, block)
            continue
        connection = chimneys.connections[block.OffloadHandle]
        assert drained(connection) == b"".join(data), f"{what}: other bytes were sent"
        assert connection.told("sent") == [(OK, 10)] * 40, f"{what}: {connection.told('sent')}"
        connection.terminate()
    (first, second) = chimneys.connect(tcp(40020), tcp(40021))
    for connection in (first, second):
        connection.send(*data, cuts=(3, 5, 7))
    for connection in (first, second):
        assert drained(connection) == b"".join(data), "after refusals more is given than the card holds"
        assert connection.told("sent") == [(OK, 10)] * 40, f"{connection.told('sent')}"
