"""The card's chimney and images: what a CREATE takes, what comes back, and how a connection is given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import (
    ChmAdminCompletion,
    ChmCommand,
    ChmData,
    ChmNeighbour,
    ChmPath,
    ChmSubmission,
    ChmTcp,
)
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus, CompletionType
from vnic.testbench.chimney.images import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    NOT_RUNNING,
    path_image,
    tcp_image,
)
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_NEIGHBOUR, _PATH, _TCP = ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP
_ACK, _PSH, _FIN = packet.ACK, packet.PSH, packet.FIN
_MS = 1_000_000
_SEND, _RECEIVE, _DISCONNECT = 1, 2, 4
_WRAP = 1 << 32
#: States in which a FIN of ours leads to another.
_CLOSED_BY_US = {ESTABLISHED: FIN_WAIT_1, CLOSE_WAIT: LAST_ACK}

_CONST = {
    "const_flags": 7, "remote_port": 0xFEDC, "local_port": 0x8001, "snd_wind_scale": 13, "rcv_wind_scale": 9,
    "remote_mss": 0x1234, "hash_value": 0x89AB_CDEF,
}  # fmt: skip
_CACHED = {
    "cached_flags": 0x1B, "ka_probe_count": 0x81, "ttl_or_hop_limit": 0x92, "tos_or_traffic_class": 0xA4,
    "user_priority": 5, "flow_label": 0xA_5C3D, "initial_rcv_wnd": 0x3456_7890,
    "rcv_indication_size": 0x9000_0001,
    "ka_timeout": 0x8765_4321, "ka_interval": 0xF000_000F, "max_rt": 0xC001_D00D,
}  # fmt: skip


@card_case(
    manual("CHM-4", "chimney"),
    "CONST and CACHED fields come back as they were given, bit by bit, whatever the card makes of them",
)
def fields_that_are_the_hosts(rig: Rig) -> None:
    """Every field with a value of its own and its complement; an UPDATE, traffic, QUERY and TERMINATE."""
    rates = (1000, 100, 10)
    for rate in rates:
        chimney = ChimneyRig(rig, parameters={"TICKS_PER_SECOND": rate, "DELAYED_ACK_TICKS": 1})
        path = chimney.path()
        for small in (0, 1):
            cached = dict.fromkeys(_CACHED, 1) if small else _CACHED
            fields: dict[str, Any] = _CONST | cached
            connection = chimney.connect(path, **fields, snd_wnd=65535 * small)
            image = asdict(connection.query())
            for name, value in (_CONST | cached).items():
                assert image[name] == value, f"1/{rate} s: {name} of CREATE {value:#x} reads {image[name]:#x}"
            other = {name: value ^ 0xA for name, value in cached.items()} | {"user_priority": 2}
            changed = {name: 0xB for name in ("remote_port", "local_port", "hash_value", "remote_mss")}
            assert chimney.update(tcp_image(**changed | other), connection.handle).status == ChmStatus.OK
            connection.receive(b"some data", window=100)
            connection.send(b"some")
            chimney.advance(1_000_000_000)
            for image in (asdict(connection.query()), asdict(connection.terminate()[1])):
                for name, value in (_CONST | other).items():
                    assert image[name] == value, f"1/{rate} s: {name} {value:#x} reads {image[name]:#x} later"
            chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-4", "chimney"),
    "of neighbours and paths too an UPDATE takes CACHED fields alone; the rest is as it was given",
)
def fields_of_neighbours_and_paths(rig: Rig) -> None:
    """Every field with a value of its own, an UPDATE with another for each, time; QUERY and TERMINATE."""
    chimney = ChimneyRig(rig)
    neighbour = ChmNeighbour(0x8877_6655_4422, 0xABC, 0x1122_3344_5566, 0x8000_0001, 0x7000_0001)
    handle = chimney.create(neighbour)
    assert chimney.query(_NEIGHBOUR, handle) == neighbour, "an image of a neighbour comes back otherwise"
    chimney.advance(1_234_000_000)
    other_image = replace(
        neighbour, destination_address=0xFF, host_reachability_delta=5, vlan_id=1, source_address=2
    )
    assert chimney.update(other_image, handle).status == ChmStatus.OK
    kept = replace(
        neighbour,
        destination_address=0xFF,
        host_reachability_delta=5,
        nic_reachability_delta=0x7000_0001 + 1234,
    )
    assert chimney.terminate(_NEIGHBOUR, handle)[1] == kept, "of a neighbour UPDATE takes CACHED fields alone"
    for version in (4, 6):
        image_of_path = path_image(version)
        handle = chimney.create(image_of_path, parent=chimney.neighbour())
        assert chimney.query(_PATH, handle) == image_of_path
        assert (
            chimney.update(ChmPath(1, 2, 3, 4, 1400, 1 - image_of_path.ipv6), handle).status == ChmStatus.OK
        )
        assert chimney.terminate(_PATH, handle)[1] == replace(image_of_path, path_mtu=1400)


#: Fields of an image, its send list, and how its CREATE ends.
_CREATED: Sequence[tuple[dict[str, int], Sequence[ChmSubmission], str]] = (
    *(({"state": state}, (), "BAD_STATE") for state in (0, 1, 2, 3, 10, 11, 255)),
    *(({field: 1 << bit}, (), "BAD_VALUE") for field, bit in (
        ("const_flags", 3), ("const_flags", 15), ("cached_flags", 5), ("cached_flags", 15),
        ("snd_wind_scale", 0), ("rcv_wind_scale", 0), ("reserved_1", 0), ("reserved_2", 63),
        ("reserved_3", 5), ("receive_backlog_size", 31), ("snd_wnd", 31), ("max_snd_wnd", 31),
        ("send_backlog_size", 0),
    )),
    ({"const_flags": 4, "snd_wind_scale": 14, "rcv_wind_scale": 14}, (), "OK"),
    ({"const_flags": 4, "snd_wind_scale": 15}, (), "BAD_VALUE"),
    ({"const_flags": 4, "rcv_wind_scale": 15}, (), "BAD_VALUE"),
    ({"remote_mss": 47}, (), "BAD_VALUE"),
    ({"remote_mss": 48}, (), "OK"),
    ({"cwnd": 0}, (), "BAD_VALUE"),
    ({"snd_nxt": ISS + 1}, (), "BAD_VALUE"),
    ({"snd_max": ISS + 1}, (), "BAD_VALUE"),
    ({"snd_max": ISS - 1}, (), "BAD_VALUE"),
    ({"snd_wnd": (1 << 30) + 1}, (), "BAD_VALUE"),
    ({"initial_rcv_wnd": (1 << 30) + 1}, (), "RCV_WINDOW"),
    ({"rcv_wnd": (1 << 30) + 1}, (), "RCV_WINDOW"),
    ({"initial_rcv_wnd": 1 << 30, "rcv_wnd": 1 << 30}, (), "OK"),
    ({"remote_port": 0, "local_port": 0}, (), "OK"),
    ({"send_backlog_size": 10}, (ChmSubmission(op=_SEND, len=10),), "OK"),
    ({"send_backlog_size": 9}, (ChmSubmission(op=1, len=4, more=1), ChmSubmission(op=_SEND, len=5)), "OK"),
    ({"send_backlog_size": 9}, (ChmSubmission(op=_SEND, len=10),), "BAD_VALUE"),
    ({"send_backlog_size": 11}, (ChmSubmission(op=_SEND, len=10),), "BAD_VALUE"),
    ({"send_backlog_size": 1 << 30}, (ChmSubmission(op=_SEND, len=1 << 30),), "OK"),
    ({}, (ChmSubmission(op=_SEND, len=(1 << 30) + 1),), "BAD_LENGTH"),
    ({}, (ChmSubmission(op=_SEND, len=1 << 30), ChmSubmission(op=_SEND, len=1)), "BAD_LENGTH"),
    ({}, (ChmSubmission(op=_SEND, len=1 << 30),) * 4, "BAD_LENGTH"),
    ({}, (ChmSubmission(op=_RECEIVE, len=1),), "BAD_COMMAND"),
    ({}, (ChmSubmission(),), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_DISCONNECT, abortive=1),), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_DISCONNECT), ChmSubmission(op=_SEND)), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_DISCONNECT), ChmSubmission(op=_DISCONNECT)), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_SEND, more=1), ChmSubmission(op=_DISCONNECT)), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_DISCONNECT, more=1), ChmSubmission(op=_SEND)), "BAD_COMMAND"),
    ({}, (ChmSubmission(op=_SEND, more=1),), "BAD_COMMAND"),
    ({"send_backlog_size": 7}, (ChmSubmission(op=_SEND, len=4), ChmSubmission(op=_DISCONNECT, len=3)), "OK"),
    *(({"state": state}, (), "OK" if state in (ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT) else "BAD_VALUE")
      for state in range(4, 10)),
    *(({"state": state}, (ChmSubmission(op=_DISCONNECT),), "BAD_VALUE" if state == FIN_WAIT_2 else "OK")
      for state in range(4, 10)),
    ({"state": FIN_WAIT_2}, (ChmSubmission(op=_SEND),), "BAD_VALUE"),
    ({"state": FIN_WAIT_1, "snd_max": ISS + 1, "snd_nxt": ISS + 1}, (ChmSubmission(op=_DISCONNECT),), "OK"),
    ({"state": FIN_WAIT_1, "snd_max": ISS + 2, "snd_nxt": ISS + 2}, (ChmSubmission(op=_DISCONNECT),),
     "BAD_VALUE"),
)  # fmt: skip


@card_case(
    manual("CHM-5", "chimney"),
    "a connection is taken in the states of CH-01 with the data and FIN that its state needs, no other",
)
def connections_that_are_taken(rig: Rig) -> None:
    """States, fields at their bounds, lists that fit and do not: the status, and what is kept of it."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    free = chimney.stat("FREE_WORK")
    for fields, entries, status in _CREATED:
        packed = b"".join(replace(entry, addr=rig.stage(bytes(64))).pack() for entry in entries)
        listed = {"send_addr": rig.stage(packed), "send_count": len(entries)} if entries else {}
        done = chimney.try_create(tcp_image(**{"snd_wnd": 0, "retransmit_timeout_delta": 9999} | fields),
                                  parent=path, **listed)  # fmt: skip
        what = f"{fields} with {len(entries)} entries"
        assert ChmStatus(done.status).name == status, f"{what}: {ChmStatus(done.status).name}"
        assert chimney.stat("CONNECTIONS") == (status == "OK"), f"{what}: CHM_CONNECTIONS"
        if status == "OK":
            image = chimney.terminate(_TCP, done.handle)[1]
            assert isinstance(image, ChmTcp)
            state, has_fin = fields.get("state", ESTABLISHED), entries[-1:] and entries[-1].op == _DISCONNECT
            state = _CLOSED_BY_US.get(state, state) if has_fin else state
            assert image.state == state, f"{what}: the state is {image.state}, not {state}"
            length = sum(entry.len for entry in entries)
            assert image.send_backlog_size == length, f"{what}: a backlog of {image.send_backlog_size}"
        assert chimney.stat("FREE_WORK") == free, f"{what}: work is kept"
        rig.sent()
        chimney.take()


@card_case(
    manual("CHM-5", "chimney"),
    "what was sent from SndNxt to SndMax goes first, then what was not; nothing precedes the completion",
)
def connections_that_come_with_data(rig: Rig) -> None:
    """Two sends and a FIN, some of it sent; numbers that wrap at each place; acknowledged in parts."""
    chimney = ChimneyRig(rig)
    data = bytes(range(200))
    for version, una in ((4, ISS), (6, (1 << 32) - 70), (4, (1 << 32) - 130), (6, (1 << 32) - 201)):
        for resent, sent in ((0, 0), (50, 150), (200, 200), (0, 100)):
            numbers = {
                "snd_una": una,
                "snd_nxt": (una + resent) % _WRAP,
                "snd_max": (una + sent) % _WRAP,
            }
            connection = chimney.connect(
                version=version, sends=[b"", data[:100], data[100:]], fin=True, **numbers
            )
            what = f"IPv{version}, SndUna {una}, SndNxt + {resent}, SndMax + {sent}"
            kinds = [each.type for each in chimney.take() if getattr(each, "handle", 0) == connection.handle]
            assert kinds[0] == CompletionType.CHM_ADMIN, f"{what}: {kinds} in this order"
            segments = connection.sent()
            if resent != sent:
                assert segments[0].seq == (una + resent) % _WRAP, f"{what}: first {segments[0].seq}"
            came = b"".join(each.payload for each in segments)
            assert came == data[resent:], f"{what}: {len(came)} bytes are sent"
            assert segments[-1].flags & _FIN, f"{what}: no FIN"
            connection.receive(ack=(una + 100) % _WRAP)
            ended = sum(each.count for each in chimney.completions(CompletionType.CHM_SEND))
            assert ended == 1, f"{what}: with 100 bytes acknowledged {ended} sends are complete"
            connection.receive(ack=(una + 201) % _WRAP)
            ended = sum(each.count for each in chimney.completions(CompletionType.CHM_SEND))
            closed = len(chimney.completions(CompletionType.CHM_DISCONNECT))
            assert (ended, closed) == (2, 1), f"{what}: {ended} sends and {closed} disconnects at the end"
            connection.terminate()
            chimney.take()
            rig.sent()


_DELEGATED = {
    "rcv_nxt": 0xFFFF_FF00, "snd_una": 0xFFFF_FFF0, "snd_wnd": 0x2345_6789, "max_snd_wnd": 0x3456_789A,
    "send_wl1": 0xFFFF_FEFF, "cwnd": 0x0123_4567, "ss_thresh": 0x0765_4321, "srtt": 0x7001, "rtt_var": 0x6003,
    "ts_recent": 0xFEDC_BA98, "ts_time": 0x8765_4321, "ts_recent_age": 77_000,
    "receive_backlog_size": 0x1234_5678,    "d_wnd": 0, "rcv_wnd": 0x2233_4455,
}  # fmt: skip


@card_case(
    manual("CHM-9", "chimney"),
    "DELEGATED fields come back as they were while nothing happens; a QUERY disturbs nothing",
)
def states_that_are_asked_for(rig: Rig) -> None:
    """Every DELEGATED field with a value of its own; timers left; two lives alike, one asked often."""
    chimney = ChimneyRig(rig)
    path = chimney.path()
    given = _DELEGATED | {"snd_nxt": 0xFFFF_FFF0, "snd_max": 0xFFFF_FFF0}
    more = {"cached_flags": 1, "ka_timeout": 90_000, "ka_interval": 5000, "ka_probe_count": 9}
    fields: dict[str, Any] = given | more
    connection = chimney.connect(
        path, const_flags=5, initial_rcv_wnd=1 << 30, keep_alive_timeout_delta=60_000, **fields
    )
    for number in range(2):
        image = asdict(connection.query() if number == 0 else connection.terminate()[1])
        for name, value in given.items():
            assert image[name] == value, f"{name} {value:#x} reads {image[name]:#x}"
        assert image["keep_alive_timeout_delta"] == 60_000, image["keep_alive_timeout_delta"]
        assert image["retransmit_timeout_delta"] == NOT_RUNNING, "a timer of nothing runs"
    chimney.take()
    lives = [
        _life(chimney, chimney.path(version=version), version, asks) for version in (4, 6) for asks in (0, 1)
    ]
    assert lives[0] == lives[1] and lives[2] == lives[3], "a connection that is asked does something else"


def _life(chimney: ChimneyRig, path: int, version: int, asks: int) -> list[Any]:
    """What can be seen of data both ways, losses and time; with a QUERY after each thing."""
    connection = chimney.connect(path, version=version, const_flags=3, ts_recent=5, ts_time=9)
    seen: list[Any] = []
    begun = chimney.device.now_ns

    def look(backlog: int, unread: int) -> None:
        if asks:
            image = connection.query()
            found = image.send_backlog_size, image.receive_backlog_size
            assert found == (backlog, unread), f"backlogs {found}, not {(backlog, unread)}"
            assert image == connection.query(), "two queries, two answers"
        seen.extend((chimney.device.now_ns - begun, each.seq, each.ack, each.flags, each.window, each.payload)
                    for each in connection.sent())  # fmt: skip

    connection.send(bytes(5000))
    look(5000, 0)
    connection.receive(bytes(500), ack=ISS + 1448)
    chimney.poll()
    look(3552, 500)
    connection.credit(200)
    look(3552, 300)
    connection.receive(b"ahead", seq=IRS + 600)
    look(3552, 300)
    chimney.advance(3_000 * _MS)
    look(3552, 300)
    connection.disconnect(b"bye")
    look(3555, 300)
    connection.terminate()
    chimney.take()
    return seen


def _end(chimney: ChimneyRig, connection: RigConnection) -> None:
    """TERMINATE by a doorbell, without waiting for it."""
    chimney.cookie += 1
    out = chimney.image_memory.address + 1024
    fields = {"handle": connection.handle, "out_addr": out, "out_len": ChmTcp.SIZE, "cookie": chimney.cookie}
    chimney.command(ChmCommand(op=ChmOp.TERMINATE, object=_TCP, **fields))


@card_case(
    manual("CHM-7", "chimney"),
    "TERMINATE sends an ACK that is owed and gives data to the pool; what comes later is the host's",
)
def connections_that_are_given_back(rig: Rig) -> None:
    """An ACK owed or not, stopped or not, data in order without a buffer; a segment while it waits."""
    chimney = ChimneyRig(rig, pool_posted=0, pool_len=64)
    for version, is_owed, is_stopped in product((4, 6), (True, False), (True, False)):
        path = chimney.path(version=version)
        connection = chimney.connect(path, version=version)
        chimney.take()
        connection.receive(bytes(range(150)))
        if not is_owed:
            chimney.advance(100 * _MS)
            rig.sent()
        if is_stopped:
            connection.receive(b"u", flags=_ACK | packet.URG, urgent=1, seq=IRS + 150)
            chimney.take()
        unread = connection.query().receive_backlog_size
        assert unread == 0, f"{unread} bytes are the host's that wait in the card"
        chimney.take()
        _end(chimney, connection)
        owed = [(each.seq, each.ack, each.payload) for each in connection.sent()]
        assert owed == [(ISS, IRS + 150, b"")] * is_owed, f"IPv{version}: {owed} is sent at the end"
        assert chimney.stat("CONNECTIONS") == 1, "complete, though data waits for a buffer"
        late = connection.peer.frame(b"late", seq=IRS + 150)
        (came,) = rig.receive(late)
        assert came.data == late, "a segment behind TERMINATE came changed, or not at all"
        assert rig.sent() == [], "it is answered"
        first = chimney.pool_buffers[0].address
        for number in range(3):
            chimney.post_pool(0, first + 64 * number)
            chimney.poll()
        entries = chimney.take()
        told = [each.len for each in entries if isinstance(each, ChmData)]
        assert told == [64, 64, 22] and bytes(connection.data) == bytes(range(150)), f"lengths {told}"
        (done,) = [each for each in entries if isinstance(each, ChmAdminCompletion)]
        image = ChmTcp.unpack(chimney.memory.read(chimney.image_memory.address + 1024, ChmTcp.SIZE))
        assert done.status == ChmStatus.OK and entries.index(done) > 2, "the completion comes before data"
        assert (image.rcv_nxt, image.receive_backlog_size) == (IRS + 150, 150), "the image says otherwise"
        assert [chimney.stat(f"FREE_{n}") - chimney.stat(f"MAX_{n}") for n in ("BLOCKS", "NODES")] == [0, 0]
        chimney.connections.clear()
        chimney.frames.clear()
        chimney.switch_off()
        chimney.enable()


@card_case(
    manual("CHM-7", "chimney"),
    "an image that cannot be written leaves the connection, silent and BUSY to all but QUERY and TERMINATE",
)
def images_that_cannot_be_written(rig: Rig) -> None:
    """TERMINATE with a DMA error, of a connection with data to send; segments, time, commands; again."""
    chimney = ChimneyRig(rig)
    connection = chimney.connect(sends=[b"unsent"], snd_wnd=0)
    fault = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.STATE, argument=DmaStatus.ABORTED
    )
    for _ in range(2):
        with rig.device.arm(fault):
            done, _ = chimney.read_out(ChmOp.TERMINATE, _TCP, connection.handle)
        assert (done.status, chimney.stat("CONNECTIONS")) == (ChmStatus.DMA, 1), ChmStatus(done.status).name
        connection.receive(window=65535)
        chimney.advance(10_000 * _MS)
        assert rig.sent() == [], "it speaks"
    status = ChmStatus(chimney.update(tcp_image(), connection.handle).status)
    assert status == ChmStatus.BUSY, f"UPDATE ends with {status.name}"
    assert chimney.invalidate(_TCP, connection.handle).status == ChmStatus.BUSY, "INVALIDATE is taken"
    assert connection.query().send_backlog_size == 6
    chimney.take()
    connection.send(b"more")
    told = [each.status for each in chimney.completions(CompletionType.CHM_SEND)]
    assert set(told) <= {ChmStatus.UPLOAD}, f"a send to it ends with {told}"
    _, image = connection.terminate()
    assert (image.snd_una, image.send_backlog_size) == (ISS, 6)
    assert chimney.stat("FREE_WORK") == chimney.stat("MAX_WORK"), "work is kept"
    chimney.connect().send(b"the place is free")
    assert rig.sent(), "its place is not free"
