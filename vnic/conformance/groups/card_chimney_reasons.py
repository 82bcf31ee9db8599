"""The card's chimney and reasons to upload: each at its limit, once, of whom, and which gives way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmEvent, ChmObject, ChmReason
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import CLOSE_WAIT, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH, _FIN, _URG = packet.ACK, packet.PSH, packet.FIN, packet.URG
_MS = 1_000_000
_WRAP = 1 << 32
_WINDOW = 256


def _swap(connection: RigConnection, segments: int, swapped: int) -> None:
    """So many segments of a byte, of which `swapped` come before the one that precedes them."""
    for number in range(0, segments, 2):
        seq = connection.peer.seq
        if number < 2 * swapped:
            connection.receive(b"b", seq=(seq + 1) % _WRAP)
            connection.receive(b"a", seq=seq)
            connection.peer.seq = (seq + 2) % _WRAP
        else:
            connection.receive(b"a")
            connection.receive(b"b")
        if number % 8 == 6:
            connection.driver.poll()
    connection.driver.poll()
    connection.driver.rig.sent()


def _lose(connection: RigConnection, packets: int, lost: int) -> None:
    """So many packets of a byte, of which the first `lost` have to be sent again."""
    while packets:
        connection.send(b"s")
        assert len(connection.sent()) == 1
        packets -= 1
        if lost:
            while not connection.sent():
                connection.driver.advance(260 * _MS)
            lost, packets = lost - 1, packets - 1
        connection.peer.ack = (connection.peer.ack + 1) % _WRAP
        connection.receive()
        connection.driver.poll()


def _works(connection: RigConnection, what: str) -> None:
    """Data comes and goes as before."""
    connection.driver.poll()
    had = bytes(connection.data)
    connection.receive(b"more", flags=_ACK | _PSH)
    connection.driver.poll()
    assert bytes(connection.data) == had + b"more", f"{what}: then nothing comes"
    connection.sent()
    connection.send(b"answer")
    assert b"answer" in [each.payload for each in connection.sent()], f"{what}: then nothing is sent"


@card_case(
    manual("CHM-65", "chimney"),
    "of 256 segments with new data, one window behind the other, so many per cent out of order are told",
    cq_count=1024,
)
def segments_out_of_order(rig: Rig) -> None:
    """A rate of 25 per cent with one segment less, and as many; duplicates between; two windows."""
    for rate, least in ((25, 64),):
        chimney = ChimneyRig(rig, parameters={"OUT_OF_ORDER_RATE": rate})
        for version, ahead in product((4, 6), (least - 1, least)):
            connection = chimney.connect(chimney.path(version=version), version=version)
            chimney.take()
            _swap(connection, _WINDOW - 2, ahead)
            for _ in range(9):
                connection.receive(b"a", seq=(connection.peer.seq - 1) % _WRAP)
            assert chimney.reasons() == [], f"{rate} per cent: told before the window is over"
            _swap(connection, 2, 0)
            wanted = [ChmReason.HIGH_OUT_OF_ORDER] * (ahead == least)
            assert chimney.reasons() == wanted, f"{ahead} of 256 at {rate} per cent: {chimney.reasons()}"
            if ahead < least:
                _swap(connection, _WINDOW, least - 1)
                assert chimney.reasons() == wanted, f"a second window: {chimney.reasons()}"
            _works(connection, f"{rate} per cent")
            connection.terminate()
            chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-66", "chimney"),
    "of 256 packets with data so many per cent that were sent again are told; ACKs do not count",
    cq_count=1024,
)
def packets_sent_again(rig: Rig) -> None:
    """A rate of 5 per cent, with one packet less and as many; ACKs in between; both versions."""
    for rate, least in ((5, 13),):
        chimney = ChimneyRig(rig, parameters={"DROP_RATE": rate, "DOUBT_RETRANSMISSIONS": 200})
        for version, lost in ((4, least - 1), (6, least)):
            connection = chimney.connect(chimney.path(version=version), version=version, srtt=80, rtt_var=4)
            chimney.take()
            before = chimney.stat(f"TCP{version}_RETRANSMITTED_SEGMENTS")
            _lose(connection, _WINDOW - 1, lost)
            for _ in range(5):
                connection.receive(b"xy", flags=_ACK | _PSH)
                chimney.advance(100 * _MS)
                connection.sent()
            assert chimney.reasons() == [], f"{rate} per cent: told before the window is over"
            _lose(connection, 1, 0)
            again = chimney.stat(f"TCP{version}_RETRANSMITTED_SEGMENTS") - before
            assert again == lost, f"{again} of {lost} are counted as sent again"
            wanted = [ChmReason.HIGH_DROP_RATE] * (lost == least)
            assert chimney.reasons() == wanted, f"{lost} of 256 at {rate} per cent: {chimney.reasons()}"
            _works(connection, f"{rate} per cent")
            connection.terminate()
            chimney.take()
        chimney.switch_off()


@card_case(
    manual("CHM-69", "chimney"),
    "who has neither sent nor taken data between two looks is told of, once, from the first CREATE on",
)
def connections_that_are_idle(rig: Rig) -> None:
    """Looks every 100 ms at three rates of ticks; a send, data, an ACK between them; time passed over."""
    for rate in (1000, 100, 10):
        ticks = {"TICKS_PER_SECOND": rate, "IDLE_TICKS": rate // 10, "DELAYED_ACK_TICKS": 0}
        chimney = ChimneyRig(rig, parameters=ticks)
        path = chimney.path()
        chimney.advance(250 * _MS)
        idle, sends, takes = (chimney.connect(path, remote_port=port) for port in (1, 2, 3))
        sends.send(b"s")
        sends.receive(ack=sends.peer.ack + 1)
        sends.peer.ack += 1
        chimney.take()
        what = f"100 ms of 1/{rate} s"
        chimney.advance(100 * _MS)
        assert chimney.reasons() == [], f"{what}: told at the first look"
        sends.send(b"s")
        sends.receive(ack=sends.peer.ack + 1)
        takes.receive(b"r")
        idle.receive()
        chimney.advance(100 * _MS - 1)
        assert chimney.reasons() == [], f"{what}: told before the second look"
        chimney.advance(1)
        told = [(each.handle, each.reason) for each in chimney.events()]
        assert told == [(idle.handle, ChmReason.LOW_ACTIVITY)], f"{what}: then {told} is told"
        _works(idle, what)
        idle.receive(ack=idle.peer.ack + 6)
        chimney.take()
        chimney.advance(1000 * _MS)
        chimney.advance(100 * _MS)
        found = sorted(each.handle for each in chimney.events())
        assert found == sorted((sends.handle, takes.handle)), f"{what}: later {len(found)} are told"
        chimney.take()
        chimney.advance(1000 * _MS)
        assert chimney.events() == [], f"{what}: told twice"
        chimney.switch_off()


def _spoiled(frame: bytes, how: str) -> bytes:
    spoiled = bytearray(frame)
    if how == "another port":
        spoiled[34] ^= 1
    elif how == "a wrong header checksum":
        spoiled[24] ^= 1
    elif how == "another tag":
        spoiled[12:12] = b"\x88\xa8\0\1"
    elif how == "another VLAN":
        spoiled[12:12] = b"\x81\0\0\7"
    elif how == "another destination":
        spoiled[5] ^= 1
    elif how == "no ports":
        del spoiled[36:]
    return bytes(spoiled)


@card_case(
    manual("CHM-51", "chimney"),
    "fragments at offset 0 of a connection go the plain way, unchanged, and CHM_FRAGMENTS of them are told",
    rx_count=128,
)
def first_fragments(rig: Rig) -> None:
    """Limits of 1 and 3; second fragments, fragments of others and spoiled ones count nothing."""
    rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
    for limit, version in product((1, 3), (4, 6)):
        chimney = ChimneyRig(rig, parameters={"FRAGMENTS": limit})
        connection = chimney.connect(chimney.path(version=version), version=version)
        other = chimney.connect(chimney.path(version=version), version=version, remote_port=40001)
        chimney.take()
        before = chimney.stat(f"IP{version}_IN_RECEIVES")
        what = f"IPv{version}, a limit of {limit}"
        spoils = ["another tag", "another destination"]
        spoils += ["another port", "a wrong header checksum", "no ports"] if version == 4 else []
        for spoil in (*spoils, "second"):
            for _ in range(limit):
                first, second = connection.peer.fragments()
                rig.inject(second if spoil == "second" else _spoiled(first, spoil))
            assert chimney.reasons() == [], f"{what}: told of fragments with {spoil}"
        chimney.frames.clear()
        chimney.take()
        for number in range(1, limit + 1):
            assert chimney.reasons() == [], f"{what}: told of {number - 1}"
            sent = connection.peer.fragments()
            for frame in sent:
                rig.inject(frame)
            chimney.poll()
            assert [frame.data for frame in chimney.frames[-2:]] == sent, f"{what}: they came changed, or not"
        told = [(each.handle, each.reason) for each in chimney.events()]
        assert told == [(connection.handle, ChmReason.HIGH_FRAGMENTATION)], f"{what}: {told}"
        assert chimney.stat(f"IP{version}_IN_RECEIVES") == before, f"{what}: counted as offloaded"
        _works(connection, what)
        _works(other, what)
        chimney.switch_off()


_PARAMETERS = {"UNPOSTED_BYTES": 1000, "FRAGMENTS": 2, "IDLE_TICKS": 100}


def _unposted(connection: RigConnection) -> None:
    connection.receive(bytes(1000))


def _fragmented(connection: RigConnection) -> None:
    for _ in range(2):
        connection.driver.rig.inject(connection.peer.fragments()[0])


def _idle(connection: RigConnection) -> None:
    for _ in range(2):
        connection.driver.advance(100 * _MS)


_WAYS = ("open", "ours", "theirs", "later", "CLOSE_WAIT", "FIN_WAIT_2")
_ASK: Mapping[ChmReason, Callable[[RigConnection], None]] = {
    ChmReason.NO_BUFFER_PREPOSTING: _unposted,
    ChmReason.HIGH_FRAGMENTATION: _fragmented,
    ChmReason.LOW_ACTIVITY: _idle,
}


@card_case(
    manual("CHM-64", "chimney"),
    "an optional reason is told of a connection in ESTABLISHED without a FIN on either side, no other",
)
def reasons_of_whom(rig: Rig) -> None:
    """Three reasons of connections open, closed by the host or the peer, before it or while it waits."""
    chimney = ChimneyRig(rig, parameters=_PARAMETERS)
    path = chimney.path()
    for (reason, ask), way in product(
        _ASK.items(), ("open", "ours", "theirs", "later", "CLOSE_WAIT", "FIN_WAIT_2")
    ):
        state = {"CLOSE_WAIT": CLOSE_WAIT, "FIN_WAIT_2": FIN_WAIT_2}.get(way, 4)
        connection = chimney.connect(path, state=state)
        if way == "ours":
            connection.disconnect()
        elif way == "theirs":
            connection.receive(flags=_ACK | _FIN)
        chimney.take()
        if way == "later":
            if ask is _idle:
                chimney.advance(100 * _MS)
            rig.device.is_manual = True
            ask(connection)
            connection.receive(flags=_ACK | _FIN)
            rig.device.run()
            rig.device.is_manual = False
        else:
            ask(connection)
        told = [each for each in chimney.reasons() if each == reason]
        if way == "later" and ask is _idle:
            told = []
        assert told == [reason] * (way == "open"), f"{reason.name}, {way}: {told}"
        rig[0].take()
        connection.terminate()
        chimney.take()
        rig.sent()


@card_case(
    manual("CHM-62", "chimney"),
    "a reason comes once until TERMINATE, of mandatory ones one alone, to which optional ones give way",
)
def reasons_that_meet(rig: Rig) -> None:
    """Two optional reasons at once; an optional one and a mandatory one; each a second and a third time."""
    chimney = ChimneyRig(rig, parameters=_PARAMETERS | {"IDLE_TICKS": 0})
    path = chimney.path()
    for way in ("optional", "mandatory", "two mandatory"):
        for _ in range(2):
            connection = chimney.connect(path)
            chimney.take()
            asked = chimney.stat("UPLOADS_ASKED")
            rig.device.is_manual = True
            _fragmented(connection)
            if way == "optional":
                _unposted(connection)
            else:
                connection.receive(b"u", flags=_ACK | _URG, urgent=1)
            rig.device.run()
            rig.device.is_manual = False
            first = [ChmReason.HIGH_FRAGMENTATION]
            if way != "optional":
                first = [ChmReason.RECEIVED_URGENT_DATA]
            assert chimney.reasons() == first, f"{way}: {chimney.reasons()}"
            _fragmented(connection)
            _unposted(connection)
            _unposted(connection)
            if way == "two mandatory":
                chimney.invalidate(ChmObject.TCP, connection.handle)
            last = [*first, ChmReason.NO_BUFFER_PREPOSTING] if way == "optional" else first
            assert chimney.reasons() == last, f"{way}, again: {chimney.reasons()}"
            grown = chimney.stat("UPLOADS_ASKED") - asked
            assert grown == len(last), f"{way}: CHM_UPLOADS_ASKED grew by {grown}"
            events = [each.event for each in chimney.events()]
            assert set(events) == {ChmEvent.RETRIEVE}, f"{way}: events {events}"
            rig[0].take()
            connection.terminate()
            chimney.take()


@card_case(
    manual("CHM-41", "chimney"),
    "when both sides have closed RETRIEVE says UPLOAD_REQUESTED; FINs are acknowledged until TERMINATE",
)
def connections_that_have_ended(rig: Rig) -> None:
    """FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT and LAST-ACK to their ends, by each order of FIN and ACK."""
    chimney = ChimneyRig(rig)
    for version, state in product((4, 6), (FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, LAST_ACK)):
        for is_together in (False, True):
            sent_fin = state in (FIN_WAIT_1, LAST_ACK)
            most = ISS + sent_fin
            connection = chimney.connect(
                chimney.path(version=version), version=version, state=state, fin=sent_fin, snd_nxt=most,
                snd_max=most,
            )  # fmt: skip
            chimney.take()
            rig.sent()
            if state == CLOSE_WAIT:
                connection.disconnect()
                assert [each.flags & _FIN for each in connection.sent()] == [_FIN], "no FIN"
            what = f"IPv{version}, from state {state}, {'together' if is_together else 'apart'}"
            closes = state in (FIN_WAIT_1, FIN_WAIT_2)
            acked = ISS + (state != FIN_WAIT_2)
            if not is_together and state != FIN_WAIT_2:
                connection.receive(ack=acked)
            if closes:
                connection.receive(flags=_ACK | _FIN, ack=acked)
                assert [each.ack for each in connection.sent()] == [IRS + 1], f"{what}: no ACK of the FIN"
            elif is_together:
                connection.receive(ack=acked)
            assert chimney.reasons() == [ChmReason.UPLOAD_REQUESTED], f"{what}: {chimney.reasons()}"
            fins = [each.event for each in chimney.events() if each.event == ChmEvent.FIN]
            assert len(fins) == closes, f"{what}: {len(fins)} FIN events"
            if closes:
                connection.receive(flags=_ACK | _FIN, seq=IRS, ack=acked)
                assert [each.ack for each in connection.sent()] == [IRS + 1], (
                    f"{what}: of a FIN that comes again"
                )
            image = connection.terminate()[1]
            assert image.state == (10 if closes else 0), f"{what}: then the state is {image.state}"
            chimney.take()
            rig.sent()
