"""The card's chimney saved and restored between any two steps: everything goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmCommand, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import NAGLING, SACK, SCALING, TIMESTAMPS
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

_ACK, _PSH, _FIN, _SYN = packet.ACK, packet.PSH, packet.FIN, packet.SYN
_MS = 1_000_000
_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_STEPS = 3000
_PARAMETERS = {
    "OUT_OF_ORDER_RATE": 1, "DROP_RATE": 1, "SMALL_IO": 50, "UNPOSTED_BYTES": 900, "IDLE_TICKS": 400,
    "FRAGMENTS": 9, "NCE_STALE_TICKS": 300, "DUPLICATE_ACK_THRESHOLD": 2, "PUSH_TICKS": 70,
    "ACK_FREQUENCY": 3, "DELAYED_ACK_TICKS": 60, "SWS_TICKS": 150, "DOUBT_RETRANSMISSIONS": 4,
    "MAX_RETRANSMISSIONS": 9,
}  # fmt: skip


class _Life:
    """Acts on a card; all that can be seen of them is in `seen`."""

    def __init__(self, rig: Rig, *, restores: bool) -> None:
        self.rig, self.restores = rig, restores
        self.chimney = ChimneyRig(rig, pool_posted=2, pool_len=512, parameters=_PARAMETERS)
        self.seen: list[Any] = []

    def rest(self) -> None:
        """To rest, step by step; with a snapshot that is saved and loaded before each step."""
        device = self.rig.device
        for _ in range(_STEPS):
            ready = device.runnable
            if self.restores:
                device.load(device.save())
                assert device.runnable == ready, f"{ready} could go before, {device.runnable} after"
            if not ready:
                return
            device.step(ready[0])
        raise AssertionError(f"the card is not at rest after {_STEPS} steps")

    def look(self, what: str) -> None:
        """What has come, and the clock of what comes next."""
        self.rest()
        for each in self.chimney.take():
            self.seen.append((what, each))
            self.rest()
        frames = [sha256(frame).hexdigest()[:16] for frame in self.rig.sent()]
        self.seen.append((what, self.rig.device.now_ns, frames))

    def wait(self, ms: int) -> None:
        """Time goes on."""
        self.rig.device.advance(self.rig.device.now_ns + ms * _MS)
        self.look(f"{ms} ms later")

    def connect(self, version: int, **fields: Any) -> RigConnection:
        """A connection, made step by step."""
        self.rig.device.is_manual = False
        made = self.chimney.connect(self.chimney.path(version=version), version=version, **fields)
        self.rig.device.is_manual = True
        self.look("CREATE")
        return made

    def image(self, connection: RigConnection, op: ChmOp = ChmOp.QUERY) -> None:
        """QUERY or TERMINATE."""
        out = self.chimney.image_memory.address + 2048
        fields = {"handle": connection.handle, "out_addr": out, "out_len": ChmTcp.SIZE, "cookie": 7}
        self.chimney.command(ChmCommand(op=op, object=ChmObject.TCP, **fields))
        self.look(op.name)
        self.seen.append(ChmTcp.unpack(self.chimney.memory.read(out, ChmTcp.SIZE)))


def _sending(life: _Life) -> None:
    """Pieces, losses, duplicates, SACKs, a timeout, a window that closes, a FIN."""
    connection = life.connect(4, const_flags=SACK | TIMESTAMPS, ts_recent=7, ts_time=9, remote_mss=600,
                              cwnd=2400, srtt=160, rtt_var=20, remote_port=1)  # fmt: skip
    connection.send(bytes(range(256)) * 20, cuts=(100, 1, 3000), push=1)
    life.look("send")
    life.wait(20)
    connection.receive(ack=ISS + 588)
    life.look("ACK")
    edges = (ISS + 1176).to_bytes(4) + (ISS + 2352).to_bytes(4)
    connection.receive(ack=ISS + 588, options=b"\x01\x01\x05\x0a" + edges)
    life.look("SACK")
    life.image(connection)
    for wait in (5, 60, 300, 900):
        life.wait(wait)
    connection.receive(ack=ISS + 2940, window=0)
    life.look("a window of 0")
    for wait in (300, 700):
        life.wait(wait)
    connection.receive(ack=ISS + 2940, window=9000)
    connection.disconnect(b"bye")
    life.look("FIN")
    connection.receive(ack=ISS + 5123)
    life.look("almost all")
    life.image(connection, ChmOp.TERMINATE)


def _receiving(life: _Life) -> None:
    """Receives in pieces, the push timer, the pool and what waits for it, gaps, credit, the FIN."""
    connection = life.connect(6, const_flags=SACK | SCALING, rcv_wind_scale=3, rcv_wnd=40_000,
                              initial_rcv_wnd=40_000, remote_port=2, send_wl1=IRS)  # fmt: skip
    connection.post(300, cuts=(50, 120))
    life.look("post")
    connection.receive(bytes(range(200)))
    life.look("data")
    life.wait(50)
    connection.receive(bytes(10))
    life.look("more")
    life.wait(71)
    for at in (2000, 3000, 1500):
        connection.receive(bytes(range(250)), seq=IRS + at)
        life.look("behind a gap")
    life.chimney.keeps_pool = True
    connection.receive(bytes(1290), seq=IRS + 210, flags=_ACK | _PSH)
    connection.peer.seq = IRS + 1750
    life.look("into the gap")
    life.image(connection)
    connection.receive(flags=_SYN, seq=IRS + 2200)
    life.look("SYN")
    first = life.chimney.pool_buffers[0].address
    life.chimney.post_pool(0, first, first + 512, first + 1024)
    life.look("buffers")
    connection.credit(700)
    life.look("credit")
    connection.receive(bytes(250), seq=IRS + 1750)
    connection.peer.seq = IRS + 2250
    connection.receive(b"end", flags=_ACK | _FIN, seq=IRS + 2250)
    life.look("beyond")
    life.image(connection, ChmOp.TERMINATE)
    life.chimney.keeps_pool = False


def _waiting(life: _Life) -> None:
    """Keepalive, Nagle, a delayed ACK, looks, stale neighbours, small requests, a table that changes."""
    connection = life.connect(4, cached_flags=1 | NAGLING, ka_timeout=900, ka_interval=300, ka_probe_count=3,
                              remote_port=3, hash_value=5, max_rt=9000, snd_wnd=300,
                              max_snd_wnd=2000)  # fmt: skip
    for number in range(5):
        connection.send(b"tiny")
        connection.receive(b"t", flags=_ACK | _PSH * (number % 2))
        life.look("small")
    connection.receive(ack=ISS + 4)
    life.look("ACK")
    life.wait(61)
    assert commit_rss(life.rig, key=_KEY, table=[0, 0], types=0x1FF00, log2=1)
    connection.receive(b"behind the fence", flags=_ACK | _PSH)
    life.look("a table")
    connection.receive(ack=ISS + 20)
    life.look("ACK")
    for wait in (400, 500, 400, 300, 300, 400):
        life.wait(wait)
    life.image(connection)
    life.image(connection, ChmOp.TERMINATE)


_SMALL: dict[str, Any] = {"chimney_bytes": 1 << 16, "connections": 16, "paths": 8, "neighbours": 8}
_RULE = "a chimney that is saved and restored between two steps goes on as if nothing had been"


def _alike(live: Callable[[_Life], None]) -> None:
    """A life with and without a snapshot before each step: all that can be seen is alike."""
    told = []
    for restores in (False, True):
        with Rig(**_SMALL) as other:
            life = _Life(other, restores=restores)
            other.device.is_manual = True
            live(life)
            counts = [other.get(each) for each in BAR0.MAP if each.name.startswith("CHM_FREE_")]
            told.append([*life.seen, counts])
    for number, (right, found) in enumerate(zip(*told, strict=False)):
        assert right == found, f"at {number}: {str(found)[:300]} and not {str(right)[:300]}"
    assert len(told[0]) == len(told[1]), f"{len(told[1])} things are seen, not {len(told[0])}"


@card_case(manual("CHM-80", "chimney"), _RULE, **_SMALL)
def snapshots_while_it_sends(rig: Rig) -> None:
    """Pieces, losses, duplicates, SACKs, a timeout, a window that closes, a FIN."""
    _alike(_sending)


@card_case(manual("CHM-80", "chimney"), _RULE, **_SMALL)
def snapshots_while_it_receives(rig: Rig) -> None:
    """Receives in pieces, the push timer, the pool and what waits for it, gaps, credit, the FIN."""
    _alike(_receiving)


@card_case(manual("CHM-80", "chimney"), _RULE, **_SMALL)
def snapshots_while_it_waits(rig: Rig) -> None:
    """Keepalive, Nagle, a delayed ACK, looks, stale neighbours, small requests, a table that changes."""
    _alike(_waiting)
