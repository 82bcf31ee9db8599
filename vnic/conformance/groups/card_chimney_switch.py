"""The card's chimney on and off: bounds of its parameters, what counts from when, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from vnic.abi import ResetLevel
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.enums import ChmObject, ChmOp, ChmReason, ChmStatus, CompletionType
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.chimney.images import SACK
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH = packet.ACK, packet.PSH
_MS = 1_000_000
_ALL = 0xFFFF_FFFF
#: Of each parameter what is within its bounds, and what is not.
_BOUNDS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "TICKS_PER_SECOND": ((10, 100, 1000), (0, 1, 9, 11, 99, 101, 999, 1001, _ALL)),
    "ACK_FREQUENCY": ((1, 2, 255), (0, 256, _ALL)),
    "DELAYED_ACK_TICKS": ((0, 1, 499), (500, 501, _ALL)),
    "MAX_RETRANSMISSIONS": ((1, 255), (0, 256, _ALL)),
    "DOUBT_RETRANSMISSIONS": ((1, 255), (0, 256, _ALL)),
    "SWS_TICKS": ((0, 100, 1000), (1, 99, 1001, _ALL)),
    "DUPLICATE_ACK_THRESHOLD": ((2, 255), (0, 1, 256, _ALL)),
    "PUSH_TICKS": ((0, _ALL), ()),
    "NCE_STALE_TICKS": ((0, _ALL), ()),
    "CONGESTION": ((0, 1), (2, 3, 8, 15)),
    "OUT_OF_ORDER_RATE": ((0, 1, 100), (101, _ALL)),
    "DROP_RATE": ((0, 1, 100), (101, _ALL)),
    "SMALL_IO": ((0, 1 << 24), ((1 << 24) + 1, _ALL)),
    "UNPOSTED_BYTES": ((0, _ALL), ()),
    "IDLE_TICKS": ((0, 1, _ALL), ()),
    "FRAGMENTS": ((0, 1, 0xFFFF), (0x1_0000, _ALL)),
}
#: Parameters as they are after a reset, with a delay that fits every rate.
_USUAL = {"DELAYED_ACK_TICKS": 4}
_LIMITS = ("WORK", "BLOCKS", "NODES")
_GONE = ("STATUS", "CONNECTIONS", "PATHS", "NEIGHBOURS", "TCP4_ESTABLISHED", "TCP6_ESTABLISHED")


@card_case(
    manual("CHM-1", "chimney"),
    "with a parameter out of its bounds the chimney does not start: ENABLE reads 0, a guest error is counted",
)
def parameters_and_their_bounds(rig: Rig) -> None:
    """Each parameter at its bounds and beyond them, alone; then what fits together."""
    chimney = ChimneyRig(rig, enables=False)
    for name, (good, bad) in _BOUNDS.items():
        register = BAR0.MAP[f"CHM_{name}"]
        usual = rig.get(register)
        for value in good:
            given = {"DELAYED_ACK_TICKS": 0 if value == 10 else 4} | {name: value}
            assert chimney.switch_on(**given), f"{name} {value} is refused"
            assert chimney.stat("STATUS") & 1, f"{name} {value}: it does not run"
            chimney.switch_off()
        for value in bad:
            errors = rig.stat("GUEST_ERRORS")
            assert not chimney.switch_on(**_USUAL | {name: value}), f"{name} {value} is taken"
            assert chimney.stat("STATUS") == 0, f"{name} {value}: STATUS is {chimney.stat('STATUS')}"
            assert rig.stat("GUEST_ERRORS") == errors + 1, f"{name} {value}: no guest error, or several"
        rig.put(register, usual)
    for ticks, delay, is_sound in ((10, 4, True), (10, 5, False), (100, 49, True), (100, 50, False)):
        is_on = chimney.switch_on(TICKS_PER_SECOND=ticks, DELAYED_ACK_TICKS=delay)
        assert is_on == is_sound, f"a delay of {delay} ticks of which {ticks} are a second"
        chimney.switch_off()
    chimney.enable(TICKS_PER_SECOND=1000)
    chimney.connect().send(b"works")
    assert rig.sent(), "a chimney that was refused before does not work"


def _delay(chimney: ChimneyRig) -> int:
    """Milliseconds until a lone segment is acknowledged."""
    connection = chimney.connect()
    connection.receive(b"x")
    for after in range(600):
        if chimney.rig.sent():
            connection.terminate()
            return after
        chimney.advance(_MS)
    return -1


@card_case(
    manual("CHM-1", "chimney"),
    "parameters are latched: what is written while it runs counts from the next start",
)
def parameters_that_are_latched(rig: Rig) -> None:
    """A delay of ACKs in ticks of each length; another, and ENABLE again, while it runs; off and on."""
    chimney = ChimneyRig(rig, enables=False)
    for rate in (10, 100, 1000):
        first, second = rate // 10, rate // 5
        chimney.enable(TICKS_PER_SECOND=rate, DELAYED_ACK_TICKS=first)
        found = _delay(chimney)
        assert found == 100, f"{first} ticks of 1/{rate} s: an ACK after {found} ms"
        rig.put(BAR0.CHM_DELAYED_ACK_TICKS, second)
        rig.put(BAR0.CHM_TICKS_PER_SECOND, 1000 if rate != 1000 else 100)
        rig.put(BAR0.CHM_CTRL, BAR0.CHM_CTRL.encode(ENABLE=1))
        found = _delay(chimney)
        assert found == 100, f"written while it runs: an ACK after {found} ms"
        chimney.switch_off()
        chimney.enable(TICKS_PER_SECOND=rate)
        found = _delay(chimney)
        assert found == 200, f"after the next start: an ACK after {found} ms"
        chimney.switch_off()


def _switch(chimney: ChimneyRig) -> None:
    """ENABLE to 0"""
    chimney.switch_off()


def _soft(chimney: ChimneyRig) -> None:
    """GLB_CTRL.RESET"""
    chimney.rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))


def _hot(chimney: ChimneyRig) -> None:
    """a hot reset"""
    chimney.device.reset(ResetLevel.HOT)
    chimney.rig.power_up()


def _function(chimney: ChimneyRig) -> None:
    """FLR"""
    chimney.rig.configure(CONFIG.DEVCTL, FLR=1)
    chimney.rig.power_up()


_ENDS: tuple[Callable[[ChimneyRig], None], ...] = (_switch, _soft, _hot, _function)


def _fill(chimney: ChimneyRig) -> None:
    """Objects of each kind, sends, receives, data out of order, data that waits, timers that run."""
    for version in (4, 6):
        path = chimney.path(chimney.neighbour(vlan_id=version), version)
        for port in range(3):
            connection = chimney.connect(
                path, version=version, remote_port=40_000 + port, sends=[b"old"], const_flags=SACK,
                cached_flags=1, ka_timeout=500, tci=version,
            )  # fmt: skip
            connection.send(bytes(5000))
            connection.post(100)
            connection.receive(b"later", seq=IRS + 200)
            connection.receive(bytes(150))
            chimney.poll()
            connection.post(100)
            connection.receive(bytes(7))
        connection.disconnect(b"bye")
        chimney.connect(path, version=version, remote_port=40_009).receive(bytes(3000), flags=_ACK | _PSH)


@card_case(
    manual("CHM-1", "chimney"),
    "off, and after a reset, every object, request, byte and timer is forgotten, without a word",
    cq_count=128, chimney_bytes=1 << 16,
)  # fmt: skip
def nothing_is_left_behind(rig: Rig) -> None:
    """All that a chimney can hold; each way to its end; an hour passes; then the same again."""
    for end in _ENDS:
        chimney = ChimneyRig(rig, pool_posted=1)
        _fill(chimney)
        chimney.poll(give_back=False)
        rig.sent()
        end(chimney)
        what = end.__doc__ or ""
        before = bytes(rig[0].cq_memory.view)
        rig.device.interrupts()
        chimney.advance(3_600_000 * _MS)
        assert rig.sent() == [], f"{what}: something is sent afterwards"
        assert not rig.device.interrupts(), f"{what}: an interrupt afterwards"
        assert bytes(rig[0].cq_memory.view) == before, f"{what}: an entry afterwards"
        left = {name: chimney.stat(name) for name in _GONE if chimney.stat(name)}
        assert not left, f"{what}: {left}"
        free = [chimney.stat(f"FREE_{name}") - chimney.stat(f"MAX_{name}") for name in _LIMITS]
        assert free == [0, 0, 0], f"{what}: of {_LIMITS} {free} are kept"
        rings = [BAR0.CHM_ADMIN_STATUS, BAR0.CHM_ADMIN_HEAD, BAR0.CHM_ADMIN_TAIL, BAR0.CHQ_SQ_STATUS]
        rings += [BAR0.CHQ_SQ_HEAD, BAR0.CHQ_SQ_TAIL, BAR0.CHQ_POOL_STATUS, BAR0.CHQ_POOL_TAIL]
        shown = {each.name: rig.get(each) for each in rings if rig.get(each)}
        assert not shown, f"{what}: {shown}"
        rig.bring_up(8)
        _live_again(chimney, what)


def _live_again(chimney: ChimneyRig, what: str) -> None:
    """Switched on anew it has every VLAN id, its timers, and all of its blocks."""
    chimney.connections.clear()
    chimney.pool_posted = 0
    chimney.enable()
    chimney.take()
    for vlan in range(1, 65):
        chimney.neighbour(vlan_id=vlan)
        chimney.take()
    path = chimney.path()
    connections = [chimney.connect(path, remote_port=50_000 + n, rcv_wnd=65535) for n in range(8)]
    connections[0].post(100)
    connections[0].receive(b"partly")
    chimney.advance(600 * _MS)
    found = [(each.status, each.bytes) for each in chimney.completions(CompletionType.CHM_RECEIVE)]
    assert found == [(ChmStatus.OK, 6)], (
        f"{what}, then on again: a receive partly filled comes back as {found}"
    )
    for number in range(40):
        connections[number % 4 + 4].receive(bytes(1000), seq=IRS + 5000 + number // 4 * 4000)
    connections[3].send(b"and sends")
    sent = b"".join(each.payload for each in connections[3].sent())
    assert sent == b"and sends", f"{what}, then on again: {sent!r} is sent"
    dropped = chimney.stat("RANGES_DROPPED")
    for number in range(100):
        connections[number % 2 + 1].receive(bytes(1000))
    dropped = chimney.stat("RANGES_DROPPED") - dropped
    assert dropped == 4, f"{what}, then on again: of 4 that hold data out of order {dropped} gave it up"
    assert set(chimney.reasons()) == {ChmReason.UPLOAD_REQUESTED}, (
        f"{what}, then on again: {chimney.reasons()}"
    )
    assert chimney.stat("FREE_BLOCKS") <= 4, f"{what}: {chimney.stat('FREE_BLOCKS')} blocks are not used"
    chimney.switch_off()


@card_case(
    manual("CHM-1", "chimney"),
    "a handle of before the chimney was off names nothing, though its place is taken anew",
)
def handles_of_another_life(rig: Rig) -> None:
    """Handles of each kind; off and on; the same places; commands and submissions with the old ones."""
    chimney = ChimneyRig(rig)
    for _ in range(3):
        neighbour = chimney.neighbour()
        path = chimney.path(neighbour)
        old = {
            ChmObject.NEIGHBOUR: neighbour,
            ChmObject.PATH: path,
            ChmObject.TCP: chimney.connect(path).handle,
        }
        stale = chimney.connections[old[ChmObject.TCP]]
        chimney.switch_off()
        chimney.enable()
        new = chimney.connect()
        rig.sent()
        for kind, handle in old.items():
            found = ChmStatus(chimney.read_out(ChmOp.QUERY, kind, handle)[0].status)
            assert found == ChmStatus.BAD_HANDLE, f"{kind.name} of before: {found.name}"
        chimney.take()
        stale.send(b"nobody's")
        (told,) = chimney.completions(CompletionType.CHM_SEND)
        assert (told.status, rig.sent()) == (ChmStatus.BAD_HANDLE, []), "a send of a connection of before"
        new.send(b"mine")
        assert new.sent()[0].payload == b"mine"
        chimney.switch_off()
        chimney.enable()
        chimney.take()


@card_case(
    manual("CHM-3", "chimney"),
    "an old handle names nothing: a place is used again with another generation, never 0",
)
def generations_of_handles(rig: Rig) -> None:
    """A place of each kind 1,030 times: no generation twice in 1,023, none 0; the one before is no handle."""
    chimney = ChimneyRig(rig)
    neighbours = [_turn(chimney) for _ in range(1030)]
    assert len({handle & 0x3F_FFFF for handle in neighbours}) == 1, "a free place is not used again"
    seen = [handle >> 22 for handle in neighbours]
    assert 0 not in seen, "generation 0"
    assert len(set(seen)) == 1023, f"1,030 objects at one place had {len(set(seen))} generations"
    path = chimney.path()
    last = 0
    for _ in range(4):
        connection = chimney.connect(path)
        assert connection.handle != last and connection.handle >> 22 != 0
        if last:
            done, _ = chimney.read_out(ChmOp.QUERY, ChmObject.TCP, last)
            assert done.status == ChmStatus.BAD_HANDLE, "the connection before has still a handle"
        last = connection.handle
        connection.terminate()
        chimney.take()


def _turn(chimney: ChimneyRig) -> int:
    """A neighbour that comes and goes."""
    handle = chimney.neighbour()
    chimney.terminate(ChmObject.NEIGHBOUR, handle)
    chimney.take()
    return handle


@card_case(
    manual("CHM-49", "chimney"),
    "PAUSE is set below the low mark and cleared from the high one on; each change raises GLB_EVENT.CHIMNEY",
)
def water_marks(rig: Rig) -> None:
    """Data that waits in blocks takes them one by one, and gives them back; the marks around each count."""
    chimney = ChimneyRig(rig, pool_posted=0, pool_count=64)
    most = chimney.stat("MAX_BLOCKS")
    for low, high in ((most - 2, most - 1), (most - 3, most), (most - 2, most - 2)):
        rig.put(BAR0.CHM_BLOCKS_LOW, low)
        rig.put(BAR0.CHM_BLOCKS_HIGH, high)
        connection = chimney.connect(rcv_wnd=65535)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        is_paused = False
        for _ in range(12):
            connection.receive(bytes(1460))
            is_paused = _judged(chimney, low, high, is_paused)
        assert is_paused, "no data waits in blocks"
        first = chimney.pool_buffers[0].address
        for number in range(12):
            chimney.post_pool(0, first + number % 16 * 2048)
            chimney.poll()
            is_paused = _judged(chimney, low, high, is_paused)
        assert not is_paused, f"marks {low} and {high}: blocks are not given back"
        connection.terminate()
        chimney.take()
        rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(RESET=1))
        chimney.start_pool(0)
    rig.put(BAR0.CHM_BLOCKS_LOW, most + 1)
    assert rig.field(BAR0.CHM_STATUS, "PAUSE"), "a low mark above all blocks is no pause"
    assert rig.field(BAR0.GLB_EVENT, "CHIMNEY"), "a mark that is written makes a pause without an event"


def _judged(chimney: ChimneyRig, low: int, high: int, was_paused: bool) -> bool:
    """PAUSE as it has to be by the marks, with an event if and only if it changed."""
    rig, free = chimney.rig, chimney.stat("FREE_BLOCKS")
    is_paused = free < low or (was_paused and free < high)
    found = bool(rig.field(BAR0.CHM_STATUS, "PAUSE"))
    assert found == is_paused, f"marks {low} and {high}, {free} free: PAUSE is {found}, was {was_paused}"
    event = bool(rig.field(BAR0.GLB_EVENT, "CHIMNEY"))
    assert event == (found != was_paused), (
        f"{free} free: CHIMNEY is {event}, PAUSE went {was_paused} to {found}"
    )
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    return found


@card_case(
    manual("CHM-41", "chimney"),
    "CHM_DOUBT_RETRANSMISSIONS timeouts in a row ask for an upload, each of them twice as late, and stop it",
)
def timeouts_in_a_row(rig: Rig) -> None:
    """1, 2 and 4 timeouts; progress between them begins the count again; then a silent peer."""
    for doubt in (1, 2, 4):
        chimney = ChimneyRig(rig, parameters={"DOUBT_RETRANSMISSIONS": doubt})
        for version in (4, 6):
            connection = chimney.connect(version=version)
            connection.send(bytes(200))
            rig.sent()
            for _ in range(doubt - 1):
                _next_segment(chimney)
            assert chimney.reasons() == [], f"of {doubt} timeouts {doubt - 1} ask for an upload"
            connection.receive(ack=ISS + 100)
            rig.sent()
            waits = [_next_segment(chimney) for _ in range(doubt - 1)]
            assert chimney.reasons() == [], f"progress does not begin the count of {doubt} again"
            for before, after in pairwise(waits):
                assert before * 3 // 2 <= after <= before * 5 // 2, f"timeouts after {waits} ms"
            chimney.advance(200_000 * _MS)
            assert chimney.reasons() == [ChmReason.UPLOAD_REQUESTED], f"{doubt} timeouts: {chimney.reasons()}"
            rig.sent()
            chimney.advance(200_000 * _MS)
            assert rig.sent() == [], "a connection that is to be uploaded goes on"
            connection.terminate()
            chimney.take()
        chimney.switch_off()


def _next_segment(chimney: ChimneyRig) -> int:
    """Milliseconds until something with data is sent again after time went by."""
    for waited in range(0, 100_000, 100):
        if chimney.rig.sent():
            return waited
        chimney.advance(100 * _MS)
    raise AssertionError("nothing is sent again")
