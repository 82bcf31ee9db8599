"""The card's chimney and changes: windows, keepalive, patience and paths by UPDATE; submissions."""

from __future__ import annotations

from itertools import product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmNeighbour, ChmSubmission
from vnic.gen.enums import ChmObject, ChmOp, ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.testbench.chimney.images import SCALING, neighbour_image, number_of, path_image, tcp_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH = packet.ACK, packet.PSH
_MS = 1_000_000
_KEEPALIVE, _KA_RESTART, _MAX_RT_RESTART, _RCV_WND = 1, 4, 8, 16
_OTHER = bytes.fromhex("0200000000aa")
_KINDS = {
    ChmSubmissionOp.SEND: CompletionType.CHM_SEND,
    ChmSubmissionOp.RECEIVE: CompletionType.CHM_RECEIVE,
    ChmSubmissionOp.DISCONNECT: CompletionType.CHM_DISCONNECT,
    ChmSubmissionOp.FORWARD: CompletionType.CHM_FORWARD,
}


def _change(chimney: ChimneyRig, connection: RigConnection, **fields: int) -> None:
    """An UPDATE that is taken."""
    status = ChmStatus(chimney.update(tcp_image(**fields), connection.handle).status)
    assert status == ChmStatus.OK, f"UPDATE to {fields}: {status.name}"


@card_case(
    manual("CHM-4", "chimney"),
    "InitialRcvWnd counts with UPDATE_RCV_WND only: the window grows at once, and its edge never moves back",
)
def windows_by_update(rig: Rig) -> None:
    """UPDATEs to more and to less, with the flag and without; data in between; both versions."""
    chimney = ChimneyRig(rig, pool_count=64)
    for version, shift in product((4, 6), (0, 4)):
        connection = chimney.connect(
            chimney.path(version=version), version=version, rcv_wnd=4096, initial_rcv_wnd=4096,
            const_flags=SCALING * bool(shift), rcv_wind_scale=shift,
        )  # fmt: skip
        rig.sent()
        what = f"IPv{version}, shift {shift}"
        _change(chimney, connection, initial_rcv_wnd=40_000)
        connection.receive(b"a" * 96, flags=_ACK | _PSH)
        chimney.advance(100 * _MS)
        edge = max(each.ack + (each.window << shift) for each in connection.sent())
        assert edge == IRS + 4096, f"{what}: without the flag the edge is at {edge - IRS}"
        _change(chimney, connection, cached_flags=_RCV_WND, initial_rcv_wnd=40_000)
        chimney.advance(100 * _MS)
        told = [each.ack + (each.window << shift) for each in connection.sent()]
        assert told, f"{what}: a window that grew is not told"
        grown = told[-1] - IRS
        assert 39_000 <= grown <= 40_000 + 96, f"{what}: with the flag the edge is at {grown}"
        _change(chimney, connection, cached_flags=_RCV_WND, initial_rcv_wnd=1000)
        connection.receive(b"b" * 1000, flags=_ACK | _PSH)
        chimney.advance(100 * _MS)
        back = [each.ack + (each.window << shift) - IRS for each in connection.sent()]
        assert back and min(back) > grown - (1 << shift), f"{what}: the edge moved from {grown} to {back}"
        image = connection.query()
        assert image.initial_rcv_wnd == 1000, f"{what}: InitialRcvWnd reads {image.initial_rcv_wnd}"
        connection.terminate()
        chimney.take()


def _probe_after(chimney: ChimneyRig, connection: RigConnection, most: int = 6000) -> int:
    """After how many milliseconds a keepalive probe leaves; -1: none does."""
    for waited in range(0, most, 10):
        if any(each.seq == ISS - 1 for each in connection.sent()):
            return waited
        chimney.advance(10 * _MS)
    return -1


@card_case(
    manual("CHM-4", "chimney"),
    "keepalive is switched, timed and begun anew by UPDATE, in ticks of the host, where it is asked for",
)
def keepalive_by_update(rig: Rig) -> None:
    """Off, on, another time with a restart and without, off; at three rates of ticks."""
    for rate in (1000, 100, 10):
        chimney = ChimneyRig(rig, parameters={"TICKS_PER_SECOND": rate, "DELAYED_ACK_TICKS": 0})
        usual = {"ka_timeout": 2 * rate, "ka_interval": rate, "ka_probe_count": 9}
        connection = chimney.connect(cached_flags=0, **usual)  # type: ignore[arg-type]
        what = f"ticks of 1/{rate} s"
        assert _probe_after(chimney, connection) == -1, f"{what}: probes though keepalive is off"
        connection.receive()
        _change(chimney, connection, cached_flags=_KEEPALIVE, **usual)
        found = _probe_after(chimney, connection)
        assert abs(found - 2000) <= 100, f"{what}: switched on, a probe after {found} ms"
        found = _probe_after(chimney, connection)
        assert abs(found - 1000) <= 100, f"{what}: the second probe after {found} ms"
        connection.receive()
        chimney.advance(1000 * _MS)
        _change(chimney, connection, cached_flags=_KEEPALIVE | _KA_RESTART, **usual)
        found = _probe_after(chimney, connection)
        assert abs(found - 2000) <= 100, f"{what}: restarted, a probe after {found} ms"
        connection.receive()
        chimney.advance(1000 * _MS)
        _change(chimney, connection, cached_flags=_KEEPALIVE, **usual)
        found = _probe_after(chimney, connection)
        assert abs(found - 1000) <= 100, f"{what}: an UPDATE without a restart, a probe after {found} ms"
        connection.receive()
        _change(chimney, connection, cached_flags=0, **usual)
        assert _probe_after(chimney, connection) == -1, f"{what}: probes though keepalive is off again"
        chimney.switch_off()


@card_case(
    manual("CHM-4", "chimney"),
    "MaxRT counts from the last progress; MAX_RT_RESTART lets it begin anew; another MaxRT counts at once",
)
def patience_by_update(rig: Rig) -> None:
    """A MaxRT of 3 s: left alone, restarted after 2 s, made 10 s and made 1 s after 2 s."""
    parameters = {"DOUBT_RETRANSMISSIONS": 255, "MAX_RETRANSMISSIONS": 255}
    rows: tuple[tuple[dict[str, int], int], ...] = (
        ({}, 3000),
        ({"cached_flags": _MAX_RT_RESTART, "max_rt": 3000}, 5000),
        ({"max_rt": 10_000}, 10_000),
        ({"max_rt": 1000}, 2000),
    )
    for change, limit in rows:
        chimney = ChimneyRig(rig, parameters=parameters)
        connection = chimney.connect(max_rt=3000, srtt=160, rtt_var=10)
        connection.send(b"hello?")
        chimney.take()
        passed = 0
        while not chimney.reasons():
            if passed == 2000 and change:
                _change(chimney, connection, **change)
                chimney.take()
            chimney.advance(100 * _MS)
            passed += 100
            assert passed < 60_000, f"{change}: never given up"
        assert chimney.reasons() == [ChmReason.TIMEOUT_EXPIRATION], f"{change}: {chimney.reasons()}"
        assert limit - 100 <= passed <= limit + 1500, f"{change}: given up after {passed} ms, not {limit}"
        connection.terminate()
        chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-4", "chimney"),
    "an UPDATE of a path with PARENT hangs it, and all its connections, on that neighbour",
)
def paths_that_move(rig: Rig) -> None:
    """Two connections of a path; another neighbour with its own address and VLAN; an invalidated one."""
    chimney = ChimneyRig(rig)
    for version in (4, 6):
        first = chimney.neighbour()
        second = chimney.neighbour(destination_address=number_of(_OTHER), vlan_id=7)
        path, other = chimney.path(first, version), chimney.path(first, version)
        made = [chimney.connect(path, version=version, remote_port=port) for port in (1, 2)]
        stays = chimney.connect(other, version=version, remote_port=3)
        for parent, tci, to in ((second, 7, _OTHER), (first, None, None), (second, 7, _OTHER)):
            assert chimney.update(path_image(version), path, parent=parent).status == ChmStatus.OK
            for each in made:
                each.peer.tci = tci
                each.send(b"x")
                (segment,) = each.sent()
                assert segment.tci == tci, f"IPv{version}: the tag is {segment.tci}, not {tci}"
                assert (segment.frame[:6] == _OTHER) == (to is not None), f"IPv{version}: to another address"
                each.peer.ack += 1
                each.receive(b"y", flags=_ACK | _PSH)
                chimney.poll()
                assert bytes(each.data)[-1:] == b"y", f"IPv{version}: what comes on VLAN {tci} is not taken"
                each.data.clear()
                chimney.advance(100 * _MS)
                rig.sent()
            stays.send(b"z")
            assert stays.sent()[0].tci is None, f"IPv{version}: a path beside it has moved too"
        done, _ = chimney.read_out(ChmOp.TERMINATE, ChmObject.NEIGHBOUR, second)
        assert done.status == ChmStatus.HAS_DEPENDENTS, "nothing hangs on the new neighbour"
        stays.terminate()
        chimney.terminate(ChmObject.PATH, other)
        image = chimney.terminate(ChmObject.NEIGHBOUR, first)[1]
        assert isinstance(image, ChmNeighbour)
        third = chimney.neighbour()
        chimney.invalidate(ChmObject.NEIGHBOUR, third)
        status = ChmStatus(chimney.update(path_image(version), path, parent=third).status)
        assert status == ChmStatus.BAD_PARENT, f"hung on a neighbour that was invalidated: {status.name}"
        for create in (path_image(version),):
            status = ChmStatus(chimney.try_create(create, parent=third).status)
            assert status == ChmStatus.BAD_PARENT, f"created on what was invalidated: {status.name}"
        moved = neighbour_image(destination_address=number_of(bytes.fromhex("0200000000bb")))
        assert chimney.update(moved, second).status == ChmStatus.OK
        made[0].send(b"x")
        assert made[0].sent()[0].frame[5] == 0xBB, "a new address of the neighbour is not used at once"
        for each in made:
            each.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-20", "chimney"),
    "each reserved bit of a submission is refused; a request that is broken off ends with BAD_COMMAND",
)
def submissions_bit_by_bit(rig: Rig) -> None:
    """Bits 12 to 31 of word 2 and 32 to 63 of word 3; each operation broken off by each other."""
    chimney = ChimneyRig(rig)
    path, other = chimney.path(), chimney.connect(remote_port=41_000)
    connection = chimney.connect(path)
    chimney.take()
    reserved = [(17, n) for n in range(4, 8)] + [(byte, n) for byte in (18, 19, 28) for n in range(8)]
    for byte, bit in (*reserved, (31, 7)):
        packed = bytearray(
            ChmSubmission(op=ChmSubmissionOp.RECEIVE, handle=connection.handle, addr=4096, len=8).pack()
        )
        packed[byte] |= 1 << bit
        chimney.submit(0, bytes(packed))
        told = [each.status for each in chimney.completions(CompletionType.CHM_RECEIVE)]
        assert told == [ChmStatus.BAD_COMMAND], f"bit {bit} of byte {byte}: {told}"
        chimney.take()
    connection.terminate()
    chimney.take()
    address = rig.stage(bytes(64))
    for first, second, is_stranger in product(_KINDS, _KINDS, (False, True)):
        if first == second and not is_stranger:
            continue
        connection = chimney.connect(path)
        chimney.take()
        by = other if is_stranger else connection
        one = ChmSubmission(op=first, handle=connection.handle, addr=address, len=30, more=1)
        two = ChmSubmission(op=second, handle=by.handle, addr=0, len=0, more=1)
        chimney.submit(0, one, two)
        what = f"{first.name} broken off by {second.name}{' of another' * is_stranger}"
        found = [(each.handle, each.status) for each in chimney.completions(_KINDS[first])]
        assert found == [(connection.handle, ChmStatus.BAD_COMMAND)], f"{what}: {found}"
        assert rig.sent() == [], f"{what}: something is sent"
        chimney.submit(0, ChmSubmission(op=ChmSubmissionOp.CREDIT, handle=other.handle))
        chimney.take()
        assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), f"{what}: work is kept"
        connection.terminate()
        if is_stranger and second in (ChmSubmissionOp.SEND, ChmSubmissionOp.DISCONNECT):
            other.terminate()
            other = chimney.connect(remote_port=41_000)
        chimney.take()
        rig.sent()
