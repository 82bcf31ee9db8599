"""The card's chimney, by registers and rings: whose a segment is, what is told of whom, how objects end."""

from __future__ import annotations

from itertools import permutations, product

from vnic.conformance.card_drive import WAYS
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmEvent, ChmObject, ChmReason, ChmStatus
from vnic.testbench.chimney.images import SCALING
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_ACK, _PSH, _FIN, _RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
_WRAP = 1 << 32
_SECOND_NS = 1_000_000_000


@card_case(
    manual("CHM-26", "chimney"),
    "a frame is tagged if and only if VlanId or UserPriority is not 0, with both in the tag",
)
def tags_of_connections(rig: Rig) -> None:
    """VlanId 0, 5 and 4094 with UserPriority 0, 1 and 7, over both versions; a send and an ACK of each."""
    chimney = ChimneyRig(rig)
    for version, vlan, priority in product((4, 6), (0, 5, 4094), (0, 1, 7)):
        path = chimney.path(chimney.neighbour(vlan_id=vlan), version)
        tci = vlan or None
        connection = chimney.connect(path, version=version, user_priority=priority, tci=tci)
        connection.send(b"tagged?")
        connection.receive(b"answer", flags=_ACK | _PSH)
        connection.receive(b"answer", flags=_ACK | _PSH)
        wanted = priority << 13 | vlan if vlan or priority else None
        segments = connection.sent()
        assert segments, "nothing is sent"
        for each in segments:
            assert each.tci == wanted, (
                f"IPv{version}, VlanId {vlan}, UserPriority {priority}: the tag is {each.tci}"
            )
        chimney.poll()
        assert bytes(connection.data) == b"answeranswer"
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-40", "chimney"),
    "of connections with one tuple a segment is whose VlanId it has, else whose VlanId is 0",
    rx_count=64,
)
def one_tuple_on_several_vlans(rig: Rig) -> None:
    """Connections alike on VLANs 0, 5 and 6, created in each order; segments of each in bunches."""
    chimney = ChimneyRig(rig, pool_count=64)
    neighbours = {vlan: chimney.neighbour(vlan_id=vlan) for vlan in (0, 5, 6)}
    paths = {vlan: chimney.path(neighbours[vlan]) for vlan in (0, 5, 6)}
    for order in (*permutations((0, 5, 6)), (5, 6), (6, 5)):
        made = {vlan: chimney.connect(paths[vlan], tci=vlan or None) for vlan in order}
        for run in WAYS:
            rig.device.is_manual = True
            wanted = {vlan: bytes(made[vlan].data) for vlan in order}
            for number in range(6):
                vlan = order[number % len(order)]
                made[vlan].receive(bytes([number]) * 9, flags=_ACK | _PSH)
                wanted[vlan] += bytes([number]) * 9
            if 0 not in order:
                stranger = made[5].peer.frame(b"nobody's", tci=7)
                before = chimney.stat("WRONG_VLAN")
                rig.inject(stranger)
            run(rig)
            rig.device.is_manual = False
            chimney.poll()
            found = {vlan: bytes(made[vlan].data) for vlan in order}
            assert found == wanted, f"created in the order {order}: segments went to another, or nowhere"
            if 0 not in order:
                assert chimney.stat("WRONG_VLAN") == before + 1, "a segment of another VLAN"
                assert not chimney.frames, "a segment of another VLAN came the plain way"
        for vlan in order:
            made[vlan].terminate()
        chimney.take()


def _told(chimney: ChimneyRig, of: list[RigConnection]) -> list[list[ChmReason]]:
    """What each was asked to be uploaded for since the last take()."""
    found = {each.handle: list[ChmReason]() for each in of}
    for event in chimney.events():
        if event.event == ChmEvent.RETRIEVE and event.handle in found:
            found[event.handle].append(ChmReason(event.reason))
    chimney.take()
    return list(found.values())


def _tree(chimney: ChimneyRig, which: int) -> dict[ChmObject, tuple[int, list[RigConnection], list[bool]]]:
    """12 connections on 6 paths on 2 neighbours: by kind an object, the connections, which hang on it."""
    neighbours = [chimney.neighbour() for _ in range(2)]
    paths = [chimney.path(neighbours[n % 2], destination_lo=0x0100_00C0 + n) for n in range(6)]
    of = [chimney.connect(paths[n % 6], remote_port=40_000 + n) for n in range(12)]
    chimney.take()
    return {
        ChmObject.NEIGHBOUR: (neighbours[which % 2], of, [n % 2 == which % 2 for n in range(12)]),
        ChmObject.PATH: (paths[2 * which], of, [n % 6 == 2 * which for n in range(12)]),
        ChmObject.TCP: (of[3 * which].handle, of, [n == 3 * which for n in range(12)]),
    }


@card_case(
    manual("CHM-8", "chimney"),
    "an INVALIDATE is of the object and all that hangs on it: each connection is told once, and is silent",
)
def objects_that_are_invalidated(rig: Rig) -> None:
    """Two neighbours, three paths each, two connections each; invalidate one of each kind; who speaks."""
    for kind in (ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP):
        for which in range(3):
            chimney = ChimneyRig(rig)
            handle, connections, hit = _tree(chimney, which)[kind]
            assert chimney.invalidate(kind, handle).status == ChmStatus.OK
            told = _told(chimney, connections)
            wanted = [[ChmReason.INVALID_STATE] * is_hit for is_hit in hit]
            assert told == wanted, f"{kind.name} {which}: RETRIEVE came of {[len(each) for each in told]}"
            rig.sent()
            for is_hit, each in zip(hit, connections, strict=True):
                each.send(b"speaks")
                assert bool(rig.sent()) == (not is_hit), f"{kind.name} {which}: silent, or not"
            assert chimney.invalidate(kind, handle).status == ChmStatus.OK
            assert _told(chimney, connections) == [[]] * len(hit), "told a second time"
            chimney.switch_off()
            rig[0].reset()
            rig[0].start()


def _partly(connection: RigConnection, acked: int) -> None:
    """Two sends in three pieces of 100 each; so many bytes are acknowledged."""
    for _ in range(2):
        connection.send(bytes(300), cuts=(100, 100))
    connection.sent()
    connection.peer.ack = (ISS + acked) % _WRAP
    connection.receive()


@card_case(
    manual("CHM-7", "chimney"),
    "ACKED is what was acknowledged of the oldest send that is not complete, all pieces of it together",
)
def bytes_that_were_acknowledged(rig: Rig) -> None:
    """Sends in pieces, acknowledged up to the borders of pieces and beside them; TERMINATE, or a RST."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for acked in (0, 1, 99, 100, 101, 199, 200, 299, 300, 301, 400, 550, 599):
        for way in ("TERMINATE", "RST"):
            connection = chimney.connect(path)
            _partly(connection, acked)
            if way == "TERMINATE":
                found = connection.terminate()[0].acked
            else:
                connection.receive(flags=_RST)
                (abort,) = [each for each in chimney.events() if each.event == ChmEvent.ABORT]
                found = abort.acked
                connection.terminate()
            assert found == acked % 300, f"{acked} bytes acknowledged, {way}: ACKED is {found}"
            chimney.take()
            rig.sent()


@card_case(
    manual("CHM-47", "chimney"),
    "a RST at RcvNxt ends the connection; one anywhere else in the window is answered, one outside is not",
)
def resets_that_a_peer_sends(rig: Rig) -> None:
    """RSTs at RcvNxt - 1, + 1, at the edge, behind it and far away; data goes on; then the right one."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    for offset in (1, 2, 1000, 65534, 65535, 65536, 1 << 31, _WRAP - 1, _WRAP - 1000):
        connection = chimney.connect(path)
        connection.receive(b"before", flags=_ACK | _PSH)
        rig.sent()
        connection.receive(flags=_RST, seq=(connection.peer.seq + offset) % _WRAP)
        assert chimney.events() == [], f"a RST at RcvNxt + {offset} ends the connection"
        connection.receive(b" after", flags=_ACK | _PSH)
        chimney.poll()
        assert bytes(connection.data) == b"before after", f"after a RST at RcvNxt + {offset} nothing comes"
        connection.receive(flags=_RST)
        assert [each.event for each in chimney.events()] == [ChmEvent.ABORT], "a RST at RcvNxt is not told"
        connection.terminate()
        chimney.take()


@card_case(
    manual("CHM-45", "chimney"),
    "the right edge offered never moves back while there is room, in whatever units the window is told",
    cq_count=1024,
)
def right_edges_that_are_scaled(rig: Rig) -> None:
    """Shifts of 0, 3, 7 and 14; odd segments, consumed at once or later: each ACK's edge."""
    chimney = ChimneyRig(rig, pool_count=256)
    path = chimney.path()
    for shift, is_kept in product((0, 3, 7, 14), (False, True)):
        unit, window = 1 << shift, 65535 << min(shift, 7)
        connection = chimney.connect(
            path, const_flags=SCALING, rcv_wind_scale=shift, rcv_wnd=window, initial_rcv_wnd=window
        )
        edge, kept = (connection.peer.seq + window) % _WRAP, 0
        for number in range(30):
            length = number * 397 % 1200 + 1
            connection.receive(b"e" * length, flags=_ACK | _PSH)
            chimney.poll()
            kept += length
            if not is_kept or number % 7 == 6:
                connection.credit(kept)
                kept = 0
            chimney.advance(_SECOND_NS // 2)
            for each in connection.sent():
                moved = (each.ack + (each.window << shift) - edge + _WRAP // 2) % _WRAP - _WRAP // 2
                least = 1 - unit if is_kept or not number else 0
                assert moved >= least, (
                    f"shift {shift}, segment {number}: the right edge is {-moved} bytes back"
                )
                edge = (edge + moved) % _WRAP
        connection.terminate()
        chimney.take()
