"""Driver, card and wire under ordinary use: nothing lost, nothing twice, and restored at any step."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, Final

from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.fuzz.choice import OneOf, Range
from vnic.fuzz.scene import Broken, Scene, act
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import query, set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, StatisticsInfo
from vnic.testbench.bench import Bench
from vnic.testbench.driver import REFERENCE, load_driver
from vnic.testbench.frames import MAC, tcp_frame
from vnic.testbench.world import World

__all__ = ["MachineScene"]

QUEUES = 2
_OPTIONS: Final[dict[str, Any]] = {"driver": REFERENCE, "seed": 0}
_DROPS = tuple(each for each in BAR0.MAP if each.name.startswith("STAT_RX_DROP_"))
_RINGS = (
    (BAR0.QP_RX_COUNT, BAR0.QP_RX_HEAD, BAR0.QP_RX_TAIL),
    (BAR0.QP_TX_COUNT, BAR0.QP_TX_HEAD, BAR0.QP_TX_TAIL),
    (BAR0.QP_CQ_COUNT, BAR0.QP_CQ_HEAD, BAR0.QP_CQ_TAIL),
)
_DEVICE: Final = {
    "queue_pairs": QUEUES,
    "vectors": QUEUES + 1,
    "connections": 0,
    "rx_buffer_bytes": 1 << 16,
    "tx_buffer_bytes": 1 << 16,
    "map_regions": 512,
}
_MEMORY = 4 << 20
_HELD_MAX = 64
#: Where the payload of a TCP segment over IPv4 begins.
_PAYLOAD = 54
#: Room of the memory that sends need at most.
_ROOM = 1 << 19


class Station:
    """The peer: keeps what arrives."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives."""
        self.frames.append(frame)


class Door:
    """The card's end of the wire: counts what is put in front of the card."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.frames = 0

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives at the card."""
        self.frames += 1
        self._device.deliver(frame, now_ns)

    def link_changed(self, up: bool, now_ns: int) -> None:
        """The wire was pulled or plugged."""
        self._device.link_changed(up, now_ns)


@cache
def _template(flow: int, size: int) -> bytes:
    """A TCP segment of a flow, with number 0."""
    return tcp_frame(bytes(4) + b"\xff" * 4 + bytes(size), ports=(40_000 + flow, 80), to=MAC)


def _numbered(number: int, flow: int, size: int) -> bytes:
    """A TCP segment of a flow that no other equals; number and complement leave the checksum as it is."""
    made = _template(flow, size)
    return made[:_PAYLOAD] + number.to_bytes(4) + (~number & 0xFFFF_FFFF).to_bytes(4) + made[_PAYLOAD + 8 :]


class MachineScene(Scene):
    """A Bench whose card is on a wire with a peer; RSS placement and hashes are checked by NDIS itself.

    What is in flight while a state changes may be lost; nothing else may. So each change of state, when it is
    over and all is at rest, opens a new account.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options.keys() - _OPTIONS.keys():
            raise ArgumentError(f"options of a machine: {sorted(options.keys() - _OPTIONS.keys())}")
        options = _OPTIONS | options
        driver = load_driver(options["driver"])
        self.wire = Wire(forth=Impairments(delay_ns=1_000))
        self.bench = Bench(
            queues=QUEUES,
            cpus=QUEUES,
            seed=options["seed"] or None,
            link=self.wire.end(0),
            world=World(),
            device=_DEVICE,
            memory_bytes=_MEMORY,
            miniport=None if driver.name == REFERENCE else driver.make,
            keywords={"*ReceiveBuffers": 16, "*TransmitBuffers": 16},
        )
        self.station, self.door = Station(), Door(self.bench.device)
        self.wire.attach(0, self.door)
        self.wire.attach(1, self.station)
        self.bench.world.add_link(self.wire)
        self._numbers = 0
        self._sent_up: set[bytes] = set()
        self._delivered: Counter[bytes] = Counter()
        self._latest: dict[bytes, int] = {}
        self._order: dict[bytes, int] = {}
        self._sent_down: list[bytes] = []
        self._seen_ns = 0
        self._seen_statistics = 0
        self.is_asleep = self._is_moving = False
        self._open_account()

    # -- accounts --------------------------------------------------------------------------------------------

    def _open_account(self) -> None:
        """Everything is at rest: from here on each frame is accounted for."""
        self.bench.device.is_manual = False
        self._rest()
        self._take()
        self._into = self.door.frames
        self._came = self._delivered.total()
        self._dropped = self._drops()
        self._gone = len(self.station.frames)
        self._completed = 0

    def _rest(self) -> None:
        self.bench.settle()
        for _ in range(4):  # moderation, and what comes of its interrupts
            self.bench.advance(30_000)
            self.bench.settle()

    def _drops(self) -> int:
        device = self.bench.device
        return 0 if self.is_asleep else sum(device.read(0, each.offset, each.bytes) for each in _DROPS)

    def _take(self) -> None:
        """What the protocol was given since the last look."""
        for frame in self.bench.protocol.received:
            data = frame.data
            if data not in self._sent_up:
                raise Broken(
                    "machine-invented", f"a frame of {len(data)} bytes was indicated that nobody sent"
                )
            self._delivered[data] += 1
            if self._delivered[data] > 1:
                raise Broken("machine-twice", "a frame was indicated twice")
            flow, number = data[34:36], self._order[data]
            if number < self._latest.get(flow, -1) and not self._is_moving:
                raise Broken("machine-order", "two frames of a flow changed places")
            self._latest[flow] = max(number, self._latest.get(flow, -1))
        self.bench.protocol.received.clear()
        for sent in self.bench.protocol.sent:
            self._completed += sent.status == NDIS_STATUS.SUCCESS
            self.reached.add(f"send: {sent.status.name}")
        self.bench.protocol.sent.clear()

    @property
    def is_awake(self) -> bool:
        """Whether the adapter is at full power."""
        return not self.is_asleep

    @property
    def situation(self) -> str:
        """State of the adapter, and whether the card is held."""
        held = " held" if self.bench.device.is_manual else ""
        return f"{'asleep' if self.is_asleep else self.bench.adapter.state.value}{held}"

    # -- traffic ---------------------------------------------------------------------------------------------

    @act(
        20,
        when=lambda s: s.wire.is_up,
        count=OneOf(1, 2, 8, 40),
        flow=Range(0, 7),
        size=OneOf(0, 40, 700, 1400),
    )
    def arrive(self, count: int, flow: int, size: int) -> None:
        """The peer sends frames of a few flows."""
        for each in range(count):
            self._numbers += 1
            frame = _numbered(self._numbers, (flow + each) % 8, size)
            self._sent_up.add(frame)
            self._order[frame] = self._numbers
            self.wire.transmit(1, frame, self.bench.clock.now_ns)

    @act(
        16,
        when=lambda s: s.is_awake and s.bench.memory.free_bytes > _ROOM,
        count=OneOf(1, 3, 30),
        size=OneOf(40, 0, 1400),
        pieces=Range(0, 4),
    )
    def send(self, count: int, size: int, pieces: int) -> None:
        """The protocol sends, each packet in a few pieces."""
        for _ in range(count):
            self._numbers += 1
            frame = _numbered(self._numbers, self._numbers % 8, size)
            self._sent_down.append(frame)
            self.bench.send(frame, pieces=tuple(range(10, 10 + pieces)))

    @act(4)
    def keep(self) -> None:
        """The protocol keeps what it is given, or does so no longer."""
        self.bench.protocol.keeps_nbls = not self.bench.protocol.keeps_nbls

    @act(4, when=lambda s: s.bench.protocol.held, count=Range(1, 40))
    def give_back(self, count: int) -> None:
        """Received NBLs go back."""
        self.bench.protocol.release(count)

    # -- the card stands still -------------------------------------------------------------------------------

    @act(6)
    def hold(self) -> None:
        """The card does nothing by itself, or does so again."""
        self.bench.device.is_manual = not self.bench.device.is_manual

    @act(10, when=lambda s: s.bench.device.is_manual, engine=Range(0, 4), count=OneOf(1, 2, 7))
    def step(self, engine: int, count: int) -> None:
        """One engine takes steps."""
        for _ in range(count):
            if not self.bench.device.step(engine):
                break
            self.reached.add(f"step of engine {engine}")

    @act(8)
    def restore(self) -> None:
        """The card is saved and loaded, whatever it was at; another that loads it cannot be told apart."""
        device = self.bench.device
        image, before = device.save(), device.state_hash()
        with Device(device.config, manual=True) as other:
            other.load(image)
            if other.state_hash() != before or other.save() != image:
                raise Broken("machine-restore", "a card that loaded a snapshot is not the one that was saved")
            if other.runnable != device.runnable:
                raise Broken("machine-restore", "work that was pending is not pending after a restore")
        was_manual, device.is_manual = device.is_manual, True
        device.load(image)
        device.is_manual = was_manual

    # -- life ------------------------------------------------------------------------------------------------

    @act(2, when=lambda s: s.is_awake)
    def pause(self) -> None:
        """Pause and restart, whatever is in flight."""
        self.bench.device.is_manual = False
        self.bench.adapter.pause()
        status = self.bench.adapter.restart()
        if status != NDIS_STATUS.SUCCESS:
            raise Broken("machine-restart", f"MiniportRestart on a sound card: {status.name}")
        self._open_account()

    @act(2, when=lambda s: s.is_awake)
    def reset(self) -> None:
        """MiniportResetEx, whatever is in flight."""
        self.bench.device.is_manual = False
        self.bench.adapter.reset()
        self._open_account()

    @act(1)
    def sleep(self) -> None:
        """To D3, or back."""
        self.bench.device.is_manual = False
        state = DevicePowerState.D0 if self.is_asleep else DevicePowerState.D3
        status = self.bench.adapter.set_power(state)
        if status != NDIS_STATUS.SUCCESS:
            raise Broken("machine-power", f"{state.name} on a sound card: {status.name}")
        self.is_asleep = not self.is_asleep
        self._open_account()

    @act(2)
    def pull(self) -> None:
        """The wire is pulled, or plugged."""
        self.wire.set_link(not self.wire.is_up, self.bench.clock.now_ns)
        self._open_account()

    @act(2, when=lambda s: s.is_awake, log2=Range(0, 5), seed=Range(0, 31))
    def scale(self, log2: int, seed: int) -> None:
        """RSS with another table."""
        self.bench.device.is_manual = False
        table = tuple((entry * 7 + seed) % QUEUES for entry in range(1 << log2))
        status = self.bench.set_rss(table)
        if status != NDIS_STATUS.SUCCESS:
            raise Broken("machine-rss", f"a sound set of RSS parameters: {status.name}")
        # A flow that moves to another queue may overtake what is under way on the old one.
        self._is_moving = True
        self._open_account()
        self._is_moving = False

    @act(2, when=lambda s: s.is_awake, wanted=OneOf(0x20, 0x01, 0x0B))
    def filter(self, wanted: int) -> None:
        """Another packet filter: what is not for it, the card drops and counts."""
        request = set_(OID.GEN_CURRENT_PACKET_FILTER, wanted.to_bytes(4, "little"))
        self.reached.add(f"filter {PacketFilter(wanted)!r}: {self.bench.request(request).name}")

    # -- time and a look -------------------------------------------------------------------------------------

    @act(8, ns=OneOf(1_000, 20_000, 1_000_000, 2_500_000_000))
    def wait(self, ns: int) -> None:
        """Time goes on; a card that stands still for long is reset by its driver, so it is let go."""
        if ns > 1_000_000_000:
            self.bench.device.is_manual = False
        self.bench.advance(ns)

    @act(12, when=lambda s: s.is_awake)
    def balance(self) -> None:
        """At rest, every frame is accounted for."""
        self.bench.device.is_manual = False
        self._rest()
        self._take()
        into = self.door.frames - self._into
        out = self._delivered.total() - self._came + self._drops() - self._dropped
        if into != out:
            raise Broken(
                "machine-balance", f"{into} frames came to the card, {out} were delivered or counted"
            )
        self._check_sent()
        self._check_statistics()
        self.reached.add("balanced")

    def _check_sent(self) -> None:
        """What was completed as sent arrived at the peer, each once."""
        arrived = self.station.frames[self._gone :]
        if self.bench.protocol.sends_outstanding:
            raise Broken("machine-send", "a send is outstanding while all is at rest")
        if self.wire.is_up and len(arrived) != self._completed:
            raise Broken("machine-send", f"{self._completed} sends succeeded, {len(arrived)} frames left")
        known = Counter(frame.ljust(60, b"\0") for frame in self._sent_down)
        if Counter(arrived) - known:
            raise Broken("machine-send", "a frame left the card that nobody sent, or twice")

    def _check_statistics(self) -> None:
        """OID_GEN_STATISTICS never falls, and knows of all that was delivered."""
        request = query(OID.GEN_STATISTICS, 256)
        status = self.bench.request(request)
        if status != NDIS_STATUS.SUCCESS:
            return
        found = StatisticsInfo.parse(request.data)
        received = found.if_hc_in_ucast_pkts + found.if_hc_in_multicast_pkts + found.if_hc_in_broadcast_pkts
        if received < self._seen_statistics:
            raise Broken(
                "machine-statistics", f"OID_GEN_STATISTICS fell from {self._seen_statistics} to {received}"
            )
        self._seen_statistics = received
        if received < self._delivered.total():
            raise Broken(
                "machine-statistics", f"{self._delivered.total()} frames delivered, {received} counted"
            )

    def check(self) -> None:
        """Time does not go back, rings hold what they can, nobody broke a rule and hid it."""
        bench = self.bench
        if bench.device.now_ns < self._seen_ns:
            raise Broken("machine-time", f"time went back from {self._seen_ns} to {bench.device.now_ns}")
        self._seen_ns = bench.device.now_ns
        if bench.ndis.violations:
            raise bench.ndis.violations[0]
        self._take()
        if len(bench.protocol.held) > _HELD_MAX:
            bench.protocol.release(len(bench.protocol.held) - _HELD_MAX)
        if not self.is_asleep:
            self._check_rings()

    def _check_rings(self) -> None:
        for pair in range(QUEUES):
            for registers in _RINGS:
                count, head, tail = (self._get(each, pair) for each in registers)
                if count and not (head < count and tail < count):
                    raise Broken(
                        "machine-ring", f"{registers[1].name}[{pair}] {head}, tail {tail} of {count}"
                    )

    def _get(self, register: Register, pair: int) -> int:
        return self.bench.device.read(0, register.at(pair))

    def finish(self) -> None:
        """Awake, plugged in, balanced, and halted without a trace."""
        if not self.wire.is_up:
            self.perform_now("pull")
        if self.is_asleep:
            self.perform_now("sleep")
        self.perform_now("balance")
        self.bench.close()

    def perform_now(self, name: str) -> None:
        """An act without arguments."""
        self.ACTS[name].method(self)

    def abandon(self) -> None:
        """Pull the plug."""
        self.bench.abandon()
