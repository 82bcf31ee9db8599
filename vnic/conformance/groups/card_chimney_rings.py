"""The card's chimney, by registers and rings: requests that are wrong, that end, and that find no room."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import ChmCompletion, ChmData, ChmSubmission
from vnic.gen.enums import ChmEvent, ChmReason, ChmStatus, CompletionType
from vnic.gen.enums import ChmSubmissionOp as Op
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import neighbour_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_SEND, _RECEIVE = CompletionType.CHM_SEND, CompletionType.CHM_RECEIVE
_DISCONNECT, _FORWARD = CompletionType.CHM_DISCONNECT, CompletionType.CHM_FORWARD
_TICK_NS = 1_000_000
_WRAP = 1 << 32


def _ends(chimney: ChimneyRig) -> list[tuple[CompletionType, ChmStatus]]:
    """Kind and STATUS of the requests that ended since the last take()."""
    chimney.poll()
    found = [each for each in chimney.entries if isinstance(each, ChmCompletion)]
    return [(CompletionType(each.type), ChmStatus(each.status)) for each in found]


@card_case(
    manual("CHM-20", "chimney"),
    "a submission that is wrong ends with what is wrong with it, moves nothing, and keeps no work",
    pairs=2,
)
def requests_that_are_wrong(rig: Rig) -> None:
    """Operations, lengths, reserved bits, handles and rings that are none; requests that are broken off."""
    chimney = ChimneyRig(rig)
    path, other = chimney.path(), chimney.connect(remote_port=41_000)
    wrong: list[tuple[str, dict[str, int], CompletionType, ChmStatus]] = [
        ("operation 0", {"op": 0}, _SEND, ChmStatus.BAD_COMMAND),
        ("operation 6", {"op": 6}, _SEND, ChmStatus.BAD_COMMAND),
        ("a send of more than 2^30", {"op": Op.SEND, "len": (1 << 30) + 1}, _SEND, ChmStatus.BAD_LENGTH),
        ("a receive of 4 GiB", {"op": Op.RECEIVE, "len": _WRAP - 1}, _RECEIVE, ChmStatus.BAD_LENGTH),
        ("an abort of 1", {"op": Op.DISCONNECT, "len": 1, "abortive": 1}, _DISCONNECT, ChmStatus.BAD_LENGTH),
        ("19 bytes forwarded", {"op": Op.FORWARD, "len": 19}, _FORWARD, ChmStatus.BAD_LENGTH),
        ("65,536 bytes forwarded", {"op": Op.FORWARD, "len": 65536}, _FORWARD, ChmStatus.BAD_LENGTH),
    ]  # fmt: skip
    for name, fields, kind, status in wrong:
        connection = chimney.connect(path)
        chimney.take()
        connection.submit(ChmSubmission(**fields))
        assert _ends(chimney) == [(kind, status)], f"{name}: {_ends(chimney)}"
        assert rig.sent() == [], f"{name}: something is sent"
        wanted = [ChmReason.UPLOAD_REQUESTED] * (fields["op"] == Op.SEND)
        assert chimney.reasons() == wanted, f"{name}: RETRIEVE with {chimney.reasons()}"
        assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), f"{name}: work is kept"
        connection.terminate()
        chimney.take()
    connection = chimney.connect(path)
    chimney.take()
    entry = ChmSubmission(op=Op.SEND, handle=connection.handle, addr=rig.stage(b"abc"), len=3, push=1)
    chimney.submit(1, entry)
    assert _ends(chimney) == [(_SEND, ChmStatus.WRONG_QUEUE)] and rig.sent() == []
    chimney.take()
    piece = ChmSubmission(op=Op.SEND, handle=connection.handle, addr=rig.stage(b"abc"), len=3, more=1)
    chimney.submit(0, piece, ChmSubmission(op=Op.RECEIVE, handle=other.handle))
    assert _ends(chimney) == [(_SEND, ChmStatus.BAD_COMMAND), (_RECEIVE, ChmStatus.OK)], f"{_ends(chimney)}"
    assert rig.sent() == [], "a request that was broken off is sent"
    chimney.take()
    connection.terminate()
    chimney.submit(0, entry)
    assert _ends(chimney) == [(_SEND, ChmStatus.BAD_HANDLE)], "a handle of a connection that is gone"


def _acknowledge(connection: RigConnection, count: int) -> None:
    connection.peer.ack = (connection.peer.ack + count) % _WRAP
    connection.receive()


@card_case(
    manual("CHM-24", "chimney"),
    "a disconnect is complete when its FIN is acknowledged, behind every send; an abortive one is a RST",
)
def connections_that_are_closed(rig: Rig) -> None:
    """A FIN alone and behind data, acknowledged byte by byte; an abort with everything held, and a FIN."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for data in (b"", b"bye"):
        connection = chimney.connect(path)
        chimney.take()
        connection.send(b"first")
        connection.disconnect(data)
        segments = connection.sent()
        assert segments[-1].flags & _FIN, "no FIN"
        assert b"".join(each.payload for each in segments) == b"first" + data
        for count in range(5 + len(data) + 1):
            assert (_DISCONNECT, ChmStatus.OK) not in _ends(chimney), f"complete with {count} acknowledged"
            _acknowledge(connection, 1)
        assert _ends(chimney) == [(_SEND, ChmStatus.OK), (_DISCONNECT, ChmStatus.OK)], f"{_ends(chimney)}"
        connection.terminate()
        chimney.take()
    for is_closing in (False, True):
        connection = chimney.connect(path)
        chimney.take()
        connection.send(bytes(500))
        connection.post(100)
        if is_closing:
            connection.disconnect()
        connection.sent()
        connection.disconnect(abortive=1)
        (reset,) = connection.sent()
        assert (reset.flags & _RST, reset.seq) == (_RST, ISS + 500 + is_closing), "another RST"
        wanted = [(_DISCONNECT, ChmStatus.ABORTED)] * is_closing + [(_DISCONNECT, ChmStatus.OK)]
        assert _ends(chimney) == wanted, f"{_ends(chimney)}"
        connection.receive(b"data", flags=_ACK | _FIN)
        chimney.advance(10_000 * _TICK_NS)
        assert connection.sent() == [], "a connection that was aborted speaks"
        assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), "work is kept"
        connection.terminate()
        chimney.take()


#: What has happened before: the peer's FIN, ours, its ACK; and whether an abort owes the peer a RST.
_STATES: tuple[tuple[tuple[str, ...], bool], ...] = (
    ((), True),
    (("theirs",), True),
    (("ours",), True),
    (("ours", "acked"), True),
    (("ours", "theirs"), False),
    (("theirs", "ours"), False),
)


def _step_on(connection: RigConnection, step: str) -> None:
    if step == "ours":
        connection.disconnect()
    elif step == "theirs":
        connection.receive(flags=_ACK | _FIN)
    else:
        _acknowledge(connection, 1)


@card_case(
    manual("CHM-24", "chimney"),
    "an abortive disconnect sends one RST, of SndNxt, in each state in which the peer would not know else",
)
def aborts_in_every_state(rig: Rig) -> None:
    """Either side's FIN, in both orders, with an ACK or without; then an abort; data and time behind it."""
    chimney = ChimneyRig(rig)
    for version, (steps, is_needed) in product((4, 6), _STATES):
        connection = chimney.connect(chimney.path(version=version), version=version)
        for step in steps:
            _step_on(connection, step)
        chimney.take()
        connection.sent()
        connection.disconnect(abortive=1)
        what = f"IPv{version}, an abort behind {steps}"
        found = [(each.flags & _RST, (each.seq - ISS) % _WRAP) for each in connection.sent()]
        if is_needed:
            assert found == [(_RST, int("ours" in steps))], f"{what}: {found} is sent, not a RST"
        ends = _ends(chimney)
        assert ends[-1:] == [(_DISCONNECT, ChmStatus.OK)], f"{what}: {ends}"
        connection.receive(b"data", flags=_ACK | _FIN)
        chimney.advance(10_000 * _TICK_NS)
        assert connection.sent() == [], f"{what}: a connection that was aborted speaks"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-60", "chimney"),
    "what finds no completion slot waits, and comes in the order in which it happened",
    cq_count=8,
)
def reports_without_a_slot(rig: Rig) -> None:
    """20 segments, 5 sends and a FIN with 7 slots; they are given back one by one, and all at once."""
    chimney = ChimneyRig(rig, pool_count=32)
    path = chimney.path()
    for is_slow in (False, True):
        connection = chimney.connect(path)
        chimney.take()
        for number in range(5):
            connection.send(bytes([number]) * 10)
        connection.sent()
        for number in range(20):
            connection.receive(bytes([number]), flags=_ACK | _PSH)
        _acknowledge(connection, 50)
        connection.receive(flags=_ACK | _FIN)
        for _ in range(60):
            chimney.poll(give_back=not is_slow)
            if is_slow and rig[0].cq_index != (rig[0].get(BAR0.QP_CQ_TAIL) + 1) % 8:
                rig[0].put(BAR0.QP_CQ_TAIL, (rig[0].get(BAR0.QP_CQ_TAIL) + 1) % 8)
        assert bytes(connection.data) == bytes(range(20)), "data was lost, or came in another order"
        sends = sum(each.count for each in chimney.completions(_SEND))
        assert sends == 5, f"{sends} of 5 sends are complete"
        events = [each.event for each in chimney.events()]
        assert events == [ChmEvent.FIN], f"the events are {events}"
        last = [each for each in chimney.entries if isinstance(each, ChmData)][-1]
        fin = next(each for each in chimney.entries if getattr(each, "event", None) == ChmEvent.FIN)
        assert chimney.entries.index(last) < chimney.entries.index(fin), "the FIN comes before the last byte"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-42", "chimney"),
    "a pool buffer that cannot be written comes back empty; a receive that cannot is an end",
)
def memory_that_cannot_be_written(rig: Rig) -> None:
    """The first pool buffer, data at once and data that waited; then a posted receive, partly filled."""
    for is_late in (False, True):
        chimney = ChimneyRig(rig, pool_posted=0 if is_late else 8)
        connection = chimney.connect()
        chimney.take()
        first = chimney.pool_buffers[0].address
        fault = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, first=first, last=first + 2047, count=9,
            argument=DmaStatus.ABORTED,
        )  # fmt: skip
        with rig.device.arm(fault):
            connection.receive(b"not there", flags=_ACK | _PSH)
            if is_late:
                chimney.post_pool(0, first, first + 2048)
            chimney.poll()
        found = [(each.index, each.len) for each in chimney.entries if isinstance(each, ChmData)]
        assert found == [(0, 0), (1, 9)], f"INDEX and LEN of the pool's entries are {found}"
        assert bytes(connection.data) == b"not there" and chimney.reasons() == []
        chimney.take()
        memory = connection.post(20, no_push=1)
        connection.receive(b"here", flags=_ACK)
        fault = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, first=memory.address,
            last=memory.address + 19, count=9, argument=DmaStatus.ABORTED,
        )  # fmt: skip
        with rig.device.arm(fault):
            connection.receive(b"and not", flags=_ACK)
            (told,) = chimney.completions(_RECEIVE)
        assert (told.status, told.bytes) == (ChmStatus.DMA, 4), (
            f"STATUS and BYTES are {told.status}, {told.bytes}"
        )
        assert chimney.reasons() == [ChmReason.HARDWARE_FAILURE], f"RETRIEVE with {chimney.reasons()}"
        connection.receive(b"more", flags=_ACK | _PSH)
        chimney.poll()
        assert bytes(connection.data) == b"not there", "data is delivered after that"
        chimney.switch_off()


@card_case(
    manual("CHM-28", "chimney"),
    "a neighbour is asked about before a send when both its ages are beyond NceStaleTicks, once in that time",
)
def neighbours_that_are_stale(rig: Rig) -> None:
    """Ages around 1,000 ticks of the two sides; then time; an UPDATE answers."""
    stale = 1000
    for nic, host, asks in (
        (0, 0, 0),
        (stale, stale + 1, 0),
        (stale + 1, stale, 0),
        (stale + 1, stale + 1, 1),
    ):
        chimney = ChimneyRig(rig, parameters={"NCE_STALE_TICKS": stale})
        ages = {"nic_reachability_delta": nic, "host_reachability_delta": host}
        neighbour = chimney.neighbour(**ages)
        connection = chimney.connect(chimney.path(neighbour))
        chimney.take()

        def asked(chimney: ChimneyRig = chimney, connection: RigConnection = connection) -> int:
            """Send a byte; how often the host is asked."""
            connection.send(b"x")
            assert len(connection.sent()) == 1, "the byte waits for the answer"
            found = [each for each in chimney.events() if each.event == ChmEvent.NEIGHBOUR_QUERY]
            chimney.take()
            return len(found)

        assert asked() == asks, f"ages {nic} and {host}: asked {asks and 'not '}for"
        assert asked() == 0, "asked a second time at once"
        chimney.advance((stale + 1) * _TICK_NS)
        connection.sent()
        assert asked() == 1, "not asked again after NceStaleTicks"
        answer = neighbour_image(host_reachability_delta=0)
        assert chimney.update(answer, neighbour).status == ChmStatus.OK
        assert asked() == 0, "asked though the host has answered"
        chimney.switch_off()
