"""The card's chimney, by registers and rings: receives, pool data, the FIN, and a table that changes."""

from __future__ import annotations

from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmCompletion, ChmData, ChmEventEntry, ChmFence
from vnic.gen.enums import ChmEvent, ChmStatus, CompletionType
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_ACK, _PSH, _FIN = packet.ACK, packet.PSH, packet.FIN
_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_PUSH_NS = 500_000_000
_WRAP = 1 << 32
_KEEPALIVE = 1


def _received(chimney: ChimneyRig) -> list[tuple[ChmStatus, int]]:
    """STATUS and BYTES of the receives that came back since the last take()."""
    found = chimney.completions(CompletionType.CHM_RECEIVE)
    return [(ChmStatus(each.status), each.bytes) for each in found]


@card_case(
    manual("CHM-43", "chimney"),
    "a receive is taken when DATA_COUNT is the bytes that the pool got, and is LATE with any other",
)
def receives_that_come_late(rig: Rig) -> None:
    """0 to 50 bytes go to the pool; receives with counts around it, far away, and the right one."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for length in (0, 1, 50):
        connection = chimney.connect(path)
        if length:
            connection.receive(b"p" * length, flags=_ACK | _PSH)
        chimney.take()
        for wrong in (1, -1, 7, 1 << 31, -(1 << 31), (1 << 32) - 1 - length):
            connection.post(10, data_count=(length + wrong) % _WRAP)
            (told,) = chimney.completions(CompletionType.CHM_RECEIVE)
            found = ChmStatus(told.status), told.data_count, told.bytes
            assert found == (ChmStatus.LATE, length, 0), f"{length} bytes in the pool, {wrong:+}: {found}"
            chimney.take()
        memory = connection.post(10, data_count=length)
        assert _received(chimney) == [], "a receive with the right count comes back empty"
        connection.receive(b"0123456789")
        assert _received(chimney) == [(ChmStatus.OK, 10)]
        assert bytes(memory.view) == b"0123456789"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-44", "chimney"),
    "the push timer runs from the last data that was placed, and ends a receive that is partly filled",
)
def push_timers(rig: Rig) -> None:
    """Bytes without PSH at intervals below the timer's length, then none; NO_PUSH beside."""
    chimney = ChimneyRig(rig)
    for parts in (1, 2, 5):
        connection = chimney.connect(chimney.path())
        chimney.take()
        connection.post(100)
        for number in range(parts):
            if number:
                chimney.advance(_PUSH_NS * 3 // 5)
                assert _received(chimney) == [], f"part {number}: the timer was not started again by new data"
            connection.receive(b"part")
        chimney.advance(_PUSH_NS - 1)
        assert _received(chimney) == [], "the timer ends early"
        chimney.advance(1)
        assert _received(chimney) == [(ChmStatus.OK, 4 * parts)], f"after {parts} parts: {_received(chimney)}"
        chimney.take()
        connection.post(100, no_push=1)
        connection.receive(b"part")
        chimney.advance(4 * _PUSH_NS)
        assert _received(chimney) == [], "the timer ends a receive with NO_PUSH"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-46", "chimney"),
    "the FIN comes behind all data, once; receives that are held come back behind it, and later ones too",
)
def receives_at_the_end(rig: Rig) -> None:
    """0, 1 and 3 receives held, empty or partly filled; the FIN alone, and with data; one more receive."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for held in (0, 1, 3):
        for before in (b"", b"partly"):
            for data in (b"", b"last"):
                for no_push in (0, 1):
                    connection = chimney.connect(path)
                    for _ in range(held):
                        connection.post(20, no_push=no_push)
                    if before:
                        connection.receive(before)
                    chimney.take()
                    connection.receive(data, flags=_ACK | _FIN)
                    chimney.poll()
                    told = _story(chimney)
                    what = f"{held} held, {before!r} before, {data!r} with the FIN, NO_PUSH {no_push}"
                    assert told.count("FIN") == 1, f"{what}: {told}"
                    at = told.index("FIN")
                    assert "CHM_DATA" not in told[at:], f"{what}: data behind the FIN, {told}"
                    ends = sum(each in ("OK", "AFTER_FIN") for each in told)
                    assert ends == held, f"{what}: of {held} receives {ends} came back"
                    assert all(each == "AFTER_FIN" for each in told[at + 1 :]), f"{what}: {told}"
                    chimney.take()
                    connection.post(5)
                    assert [status for status, _ in _received(chimney)] == [ChmStatus.AFTER_FIN], what
                    connection.terminate()
                    chimney.take()


def _story(chimney: ChimneyRig) -> list[str]:
    """What came since the last take(), in order: receives by their status, events by name."""
    told = []
    for each in chimney.entries:
        if isinstance(each, ChmCompletion) and each.type == CompletionType.CHM_RECEIVE:
            told.append(ChmStatus(each.status).name)
        elif isinstance(each, ChmEventEntry) and each.event != ChmEvent.SEND_BACKLOG:
            told.append(ChmEvent(each.event).name)
        elif isinstance(each, ChmData):
            told.append("CHM_DATA")
    return told


@card_case(
    manual("CHM-61", "chimney"),
    "a connection that waits for a pool buffer goes by a new table, behind its fences",
    pairs=3,
)
def tables_that_change_while_data_waits(rig: Rig) -> None:
    """Data for a pair without a pool buffer; a table that names another; a buffer on that."""
    chimney = ChimneyRig(rig, pool_posted=0, pool_count=64)
    path = chimney.path()
    buffers = [chimney.pool_buffers[pair].address for pair in range(3)]
    for turn, (old, new) in enumerate(((0, 1), (1, 0), (0, 2), (2, 1), (1, 1))):
        assert commit_rss(rig, key=_KEY, table=[old], types=0x1FF00, log2=0)
        connection = chimney.connect(path, remote_port=41_000 + turn)
        chimney.take()
        connection.receive(b"waits", flags=_ACK | _PSH)
        assert chimney.take() == [], "data came without a buffer"
        assert commit_rss(rig, key=_KEY, table=[new], types=0x1FF00, log2=0)
        fences = chimney.take()
        assert [type(each) for each in fences] == [ChmFence] * 3, f"{fences} came with the new table"
        chimney.by_pair = [[] for _ in range(3)]
        chimney.keeps_pool = True
        chimney.post_pool(new, buffers[new])
        chimney.poll()
        came = [pair for pair in range(3) for each in chimney.by_pair[pair] if isinstance(each, ChmData)]
        assert came == [new], f"from table {old} to {new}: the data came on {came or 'no pair'}"
        assert bytes(connection.data) == b"waits"
        connection.credit()
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "a keepalive probe has the number before SndNxt and no data, so that a peer that lives answers it",
)
def keepalive_probes(rig: Rig) -> None:
    """Probes after 2 s and 1 s, with nothing sent, behind data sent, and behind data received."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for before in ("nothing", "sent", "received"):
        connection = chimney.connect(
            path, cached_flags=_KEEPALIVE, ka_timeout=2000, ka_interval=1000, ka_probe_count=3
        )
        if before == "sent":
            connection.send(b"data")
            connection.peer.ack = (ISS + 4) % _WRAP
            connection.receive()
        elif before == "received":
            connection.receive(b"data", flags=_ACK | _PSH)
            chimney.advance(_PUSH_NS)
        rig.sent()
        probes = []
        for _ in range(60):
            chimney.advance(100_000_000)
            for each in connection.sent():
                probes.append(each.seq)
                assert not each.payload or len(each.payload) == 1, "a probe with data"
                assert each.flags & _ACK and each.ack == connection.peer.seq
                connection.receive()
        assert probes, f"{before}: no probe in 6 seconds of silence"
        wanted = (connection.peer.ack - 1) % _WRAP
        assert set(probes) == {wanted}, f"{before}: probes of {set(probes)}, SndNxt is {connection.peer.ack}"
        assert chimney.events() == [], "a peer that answers is given up"
        connection.terminate()
        chimney.take()
        rig.sent()
