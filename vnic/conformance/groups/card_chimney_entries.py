"""The card's chimney and its entries: every field of data, completions and events, on which ring."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmCompletion, ChmData, ChmEventEntry
from vnic.gen.enums import ChmEvent, ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import neighbour_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_MS = 1_000_000
_WRAP = 1 << 32
_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))


@card_case(
    manual("CHM-42", "chimney"),
    "CHM_DATA says whose bytes are in which buffer, how many, from which number on, and all so far",
    pairs=2, cq_count=16,
)  # fmt: skip
def fields_of_pool_data(rig: Rig) -> None:
    """Segments of 1 to 200 bytes into buffers of 64, over the ends of rings and numbers; both pairs."""
    chimney = ChimneyRig(rig, pool_len=64, pool_count=16)
    for turn, (version, pair, first) in enumerate(product((4, 6), (0, 1), (IRS, _WRAP - 100))):
        assert commit_rss(rig, key=_KEY, table=[pair], types=0x1FF00, log2=0)
        path = chimney.path(version=version)
        connection = chimney.connect(
            path, version=version, rcv_nxt=first, send_wl1=first, remote_port=turn + 1
        )
        chimney.take()
        index, taken = rig.get(BAR0.CHQ_POOL_HEAD, pair), 0
        for number, length in enumerate((1, 64, 65, 200, 128, 63, 199, 64)):
            connection.receive(bytes(length), flags=_ACK | _PSH * (number % 2))
            what = f"IPv{version}, pair {pair}, numbers from {first}, segment {number}"
            left = length
            for entry in chimney.take():
                assert isinstance(entry, ChmData), f"{what}: {entry}"
                size, left = min(left, 64), left - min(left, 64)
                taken += size
                right = ChmData(
                    handle=connection.handle, len=size, index=index, push=int(number % 2 and left == 0),
                    data_count=taken, seq=(first + taken - size) % _WRAP, type=CompletionType.CHM_DATA,
                    queue=pair, gen=entry.gen,
                )  # fmt: skip
                assert entry == right, f"{what}: {entry}, not {right}"
                index = (index + 1) % 16
            assert left == 0, f"{what}: {left} bytes did not come"
            connection.credit(length)
            rig.sent()
        head = rig.get(BAR0.CHQ_POOL_HEAD, pair)
        assert head == index, f"pair {pair}: POOL_HEAD is {head}, not {index}"
        connection.terminate()
        chimney.take()


def _completion(handle: int, pair: int, kind: CompletionType, **fields: int) -> ChmCompletion:
    """An entry of a connection."""
    return ChmCompletion(**{"handle": handle, "type": kind, "count": 1, "queue": pair} | fields)


def _only(chimney: ChimneyRig, kind: type[Any]) -> list[Any]:
    return [each for each in chimney.take() if isinstance(each, kind)]


@card_case(
    manual("CHM-20", "chimney"),
    "a completion says whose, how many, how, on which pair, and the bytes of the last receive",
    pairs=3,
)
def fields_of_completions(rig: Rig) -> None:
    """Sends that end together, receives full, pushed and late, a disconnect, a forward; on each pair."""
    chimney = ChimneyRig(rig)
    for turn, (version, pair, queue) in enumerate(product((4, 6), (0, 2), (0, 1))):
        assert commit_rss(rig, key=_KEY, table=[pair], types=0x1FF00, log2=0)
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version, queue=queue, remote_port=turn + 1)
        chimney.take()

        right = partial(_completion, connection.handle, pair)
        send, receive = CompletionType.CHM_SEND, CompletionType.CHM_RECEIVE
        for _ in range(3):
            connection.send(b"abc")
        connection.peer.ack += 9
        connection.receive()
        steps = [("three sends", [right(send, count=3)])]
        found: list[list[Any]] = [_only(chimney, ChmCompletion)]
        connection.send(b"d")
        connection.peer.ack += 1
        connection.receive()
        steps.append(("one more", [right(send, count=1)]))
        found.append(_only(chimney, ChmCompletion))
        connection.post(10)
        connection.receive(bytes(10), flags=_ACK | _PSH)
        steps.append(("a full receive", [right(receive, bytes=10)]))
        found.append(_only(chimney, ChmCompletion))
        connection.post(10)
        connection.receive(bytes(4), flags=_ACK | _PSH)
        steps.append(("a pushed receive", [right(receive, bytes=4, pushed=1)]))
        found.append(_only(chimney, ChmCompletion))
        connection.receive(bytes(7), flags=_ACK | _PSH)
        chimney.take()
        connection.post(10, data_count=3)
        steps.append(("a late receive", [right(receive, status=ChmStatus.LATE, data_count=7)]))
        found.append(_only(chimney, ChmCompletion))
        connection.forward(connection.peer.tcp())
        steps.append(("a forward", [right(CompletionType.CHM_FORWARD)]))
        found.append(_only(chimney, ChmCompletion))
        connection.disconnect()
        connection.peer.ack += 1
        connection.receive()
        steps.append(("a disconnect", [right(CompletionType.CHM_DISCONNECT)]))
        found.append(_only(chimney, ChmCompletion))
        for (name, wanted), came in zip(steps, found, strict=True):
            for each in came:
                each.gen = 0
            assert came == wanted, f"IPv{version}, pair {pair}, ring {queue}, {name}: {came}, not {wanted}"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-47", "chimney"),
    "an event says whose, and what of it: ABORT the bytes of the first requests, a query the age",
    pairs=2,
)
def fields_of_events(rig: Rig) -> None:
    """A FIN, a RST with half a receive and half a send, a stale neighbour, a backlog; on either pair."""
    stale = 100
    for pair in (0, 1):
        chimney = ChimneyRig(rig, parameters={"NCE_STALE_TICKS": stale})
        rig.put(BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_CTRL.encode(RESET=1))
        chimney.start_admin(1 - pair)
        assert commit_rss(rig, key=_KEY, table=[pair], types=0x1FF00, log2=0)
        connection = chimney.connect(cwnd=2000, remote_mss=1000)
        chimney.take()
        connection.send(bytes(300))
        connection.post(100)
        connection.receive(bytes(30))
        connection.peer.ack += 120
        connection.receive()
        chimney.take()
        connection.receive(flags=_RST)
        (abort,) = _only(chimney, ChmEventEntry)
        found = abort.handle, abort.event, abort.reason, abort.count, abort.acked, abort.queue
        right = connection.handle, ChmEvent.ABORT, 0, 30, 120, pair
        assert found == right, f"ABORT says {found}, not {right}"
        connection.terminate()
        chimney.take()
        old = chimney.neighbour(nic_reachability_delta=500, host_reachability_delta=stale + 1)
        asked = chimney.connect(chimney.path(old), remote_port=7, cwnd=2000)
        chimney.take()
        chimney.advance(7 * _MS)
        asked.send(b"x")
        (query,) = [each for each in _only(chimney, ChmEventEntry) if each.event == ChmEvent.NEIGHBOUR_QUERY]
        age = query.handle, query.count, query.queue
        assert age == (old, 507, 1 - pair), f"NEIGHBOUR_QUERY says {age}, not {(old, 507, 1 - pair)}"
        assert chimney.update(neighbour_image(), old).status == ChmStatus.OK
        chimney.take()
        asked.send(bytes(1500))
        asked.receive(ack=asked.peer.ack + 1501)
        (backlog,) = [each for each in _only(chimney, ChmEventEntry) if each.event == ChmEvent.SEND_BACKLOG]
        assert (backlog.handle, backlog.queue) == (asked.handle, pair), (
            f"SEND_BACKLOG is of {backlog.handle:#x}"
        )
        cwnd = asked.query().cwnd
        assert cwnd <= backlog.count <= 8 * cwnd, f"SEND_BACKLOG says {backlog.count} with a cwnd of {cwnd}"
        chimney.take()
        asked.receive(flags=_ACK | _FIN)
        (fin,) = _only(chimney, ChmEventEntry)
        assert (fin.event, fin.handle, fin.queue) == (ChmEvent.FIN, asked.handle, pair), f"FIN: {fin}"
        chimney.switch_off()
