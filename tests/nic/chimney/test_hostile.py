"""Drivers and peers that do anything at any moment: the card comes to rest, and nothing of it is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.nic.chimney.driver import Driver, Image, neighbour_image, path_image, tcp_image
from vnic.abi import DmaStatus, Engine, EventType, FaultAction, FaultSite
from vnic.device import Budget
from vnic.errors import VnicError
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.descriptors import ChmCommand, ChmSubmission
from vnic.gen.enums import ChmObject, ChmOp
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import IRS, ISS, Peer
from vnic.wire import packet

EFFORT = 40
SIZES = {ChmObject.NEIGHBOUR: 32, ChmObject.PATH: 48, ChmObject.TCP: 160}
SMALL: dict[str, Any] = {
    "connections": 8,
    "paths": 4,
    "neighbours": 4,
    "chimney_work": 40,
    "chimney_nodes": 16,
    "chimney_recoveries": 2,
    "chimney_bytes": 1 << 16,
}
REGISTERS: list[Register] = [
    BAR0.CHM_CTRL,
    BAR0.CHM_BLOCKS_LOW,
    BAR0.CHM_BLOCKS_HIGH,
    BAR0.CHM_ADMIN_QUEUE,
    BAR0.CHM_ADMIN_CTRL,
    BAR0.CHM_ADMIN_TAIL,
    BAR0.CHM_STAT_CLEAR,
    BAR0.CHQ_SQ_CTRL,
    BAR0.CHQ_SQ_TAIL,
    BAR0.CHQ_POOL_CTRL,
    BAR0.CHQ_POOL_TAIL,
    BAR0.CHQ_POOL_BUF_LEN,
    BAR0.QP_CQ_CTRL,
    BAR0.QP_CQ_TAIL,
    BAR0.RSS_CTRL,
    BAR0.RSS_COMMIT,
    BAR0.RSS_TABLE,
    BAR0.MAC_TX_CTRL,
]


class Chaos:
    """One program: a driver with a few objects, and whatever chance does to them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.driver = Driver(
            manual=True,
            pairs=2,
            cq_count=self.chance.choice((8, 64)),
            pool_len=self.chance.choice((64, 2048)),
            tx_buffer_bytes=1 << 16,
            **SMALL,
        )
        self.driver.run()
        neighbour = self.driver.neighbour(vlan_id=self.chance.choice((0, 0, 0, 5)))
        self.handles = [neighbour, self.driver.path(neighbour)]
        for port in range(3):
            made = self.driver.connect(self.handles[1], remote_port=port, queue=port % 2)
            self.handles.append(made.handle)
        self.place = self.driver.memory.alloc(1 << 16).address
        self.acts: list[Callable[[], None]] = [
            self.command,
            self.submit,
            self.submit,
            self.frame,
            self.frame,
            self.step,
            self.step,
            self.work,
            self.register,
            self.spoil,
            self.time,
            self.poll,
            self.fault,
            self.link,
            self.loop,
        ]

    def handle(self) -> int:
        """Of an object, mostly."""
        return self.chance.choice([*self.handles, self.chance.getrandbits(32), 0])

    def command(self) -> None:
        """Right but for what chance changes; the image is of a kind, then spoilt now and then."""
        kind, op = self.chance.choice(list(ChmObject)), self.chance.choice(list(ChmOp))
        images: dict[ChmObject, Image] = {
            ChmObject.NEIGHBOUR: neighbour_image(vlan_id=self.chance.choice((0, 5, 6))),
            ChmObject.PATH: path_image(
                self.chance.choice((4, 6)), path_mtu=self.chance.choice((576, 1280, 9000))
            ),
            ChmObject.TCP: tcp_image(
                remote_port=self.chance.randrange(6),
                state=self.chance.choice((4, 4, 4, 5, 6, 7, 8, 9)),
                hash_value=self.chance.getrandbits(8),
            ),
        }
        image = images[kind].pack()
        if self.chance.random() < 0.2:
            at = self.chance.randrange(len(image))
            image = image[:at] + self.chance.randbytes(1) + image[at + 1 :]
        self.driver.memory.write(self.place, image)
        has_in, has_out = op in (ChmOp.CREATE, ChmOp.UPDATE), op in (ChmOp.QUERY, ChmOp.TERMINATE)
        command = ChmCommand(
            op=op,
            object=kind,
            handle=0 if op == ChmOp.CREATE else self.handle(),
            parent=self.handle() if op == ChmOp.CREATE and kind != ChmObject.NEIGHBOUR else 0,
            in_addr=self.place if has_in else 0,
            in_len=SIZES[kind] if has_in else 0,
            out_addr=self.place + 4096 if has_out else 0,
            out_len=SIZES[kind] if has_out else 0,
        )
        if op == ChmOp.CREATE and kind == ChmObject.TCP and self.chance.random() < 0.5:
            entries = [
                ChmSubmission(addr=self.place, len=1, op=self.chance.choice((1, 1, 1, 4)))
                for _ in range(self.chance.randrange(1, 50))
            ]
            self.driver.memory.write(self.place + 8192, b"".join(entry.pack() for entry in entries))
            command.send_addr, command.send_count = self.place + 8192, len(entries)
        self.driver.command(command)

    def submit(self) -> None:
        """Any operation with any length, in pieces that may not end."""
        length = self.chance.choice((0, 1, 100, 100, 5000, 5000, 1 << 30, 0xFFFF_FFFF))
        entry = ChmSubmission(
            addr=self.chance.choice((self.place, self.place, 0, 1 << 63)),
            handle=self.handle(),
            len=length,
            op=self.chance.choice((1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6)),
            more=int(self.chance.random() < 0.1),
            push=self.chance.getrandbits(1),
            no_push=self.chance.getrandbits(1),
            abortive=int(self.chance.random() < 0.1),
            data_count=self.chance.choice((0, 0, 0, 7)),
            before=self.chance.choice((0, 0, 5)),
        )
        pair = self.chance.randrange(2)
        if self.chance.random() < 0.8:
            pair = self.chance.randrange(3)
            entry.handle = self.handles[2 + pair]
        self.driver.submit(pair % 2, entry)

    def frame(self) -> None:
        """From the peer of a connection, more or less where it should be."""
        near = self.chance.choice((0, 0, 0, 1, -1, 100, 65535, 1 << 31))
        rare = (packet.SYN, packet.RST, packet.FIN | packet.ACK, 0x3F, 0)
        flags = self.chance.choice((packet.ACK,) * 12 + rare)
        peer = Peer(self.chance.choice((4,) * 5 + (6,)), (self.chance.randrange(4), 80))
        image = peer.frame(
            self.chance.randbytes(self.chance.choice((0, 0, 1, 100, 1000))),
            seq=(IRS + near + self.chance.choice((0, 100, 1000))) % (1 << 32),
            ack=(ISS + self.chance.choice((0, 1, 100, 5000, 1 << 31))) % (1 << 32),
            flags=flags,
            window=self.chance.choice((0, 1, 1000, 65535)),
            tci=self.chance.choice((None,) * 6 + (5, 6)),
        )
        if self.chance.random() < 0.1:
            at = self.chance.randrange(14, len(image))
            image = image[:at] + self.chance.randbytes(1) + image[at + 1 :]
        self.driver.rig.inject(image)

    def step(self) -> None:
        """A few steps of any engines."""
        for _ in range(self.chance.randrange(1, 12)):
            self.driver.device.step(self.chance.choice(list(Engine)))

    def work(self) -> None:
        """A run that may be cut off anywhere."""
        self.run(Budget(self.chance.randrange(200), 1 << self.chance.randrange(8, 30)))

    def run(self, budget: Budget) -> None:
        """All at once."""
        self.driver.device.run(budget)

    def register(self) -> None:
        """Any value, and what brings it back to life now and then."""
        register = self.chance.choice(REGISTERS)
        value = self.chance.choice((0, 1, 1, 2, 3, 7, self.chance.getrandbits(32)))
        self.driver.rig.put(register, value, self.chance.randrange(register.count))
        if self.chance.random() < 0.5:
            for pair in self.driver.rig.pairs:
                with suppress(Exception):
                    pair.start_cq()
            with suppress(Exception):
                self.driver.enable()

    def spoil(self) -> None:
        """Rings that change under the card's eyes."""
        buffers = [self.driver.admin_memory, *self.driver.sq_memory, *self.driver.pool_memory]
        buffer = self.chance.choice(buffers)
        at = self.chance.randrange(len(buffer) - 8)
        buffer.view[at : at + 8] = self.chance.randbytes(8)

    def time(self) -> None:
        """From a moment to minutes."""
        self.driver.device.advance(self.driver.device.now_ns + self.chance.choice((1, 10**7, 10**9, 10**11)))

    def poll(self) -> None:
        """Take entries and frames; a ring whose driver lost its place starts anew."""
        with suppress(KeyError, VnicError):
            self.driver.poll()
        self.driver.rig.sent()

    def fault(self) -> None:
        """A transfer or two that fail."""
        fault = Fault(
            site=self.chance.choice((FaultSite.DMA_READ, FaultSite.DMA_WRITE)),
            action=FaultAction.ERROR,
            skip=self.chance.randrange(4),
            argument=DmaStatus.ABORTED,
        )
        with self.driver.device.arm(fault):
            self.work()

    def link(self) -> None:
        """Down, or up again."""
        self.driver.device.set_link(self.chance.choice((0, 10_000, 10_000)))

    def loop(self) -> None:
        """What is sent comes back, and it comes to rest all the same."""
        self.driver.rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=1))
        assert self.driver.device.run(Budget(1 << 20, 1 << 40)).steps < 1 << 20
        self.driver.rig.put(BAR0.GLB_CTRL, 0)

    def judge(self) -> None:
        """It rests within its bound, knows itself again, and has everything back when it is off."""
        driver, device = self.driver, self.driver.device
        device.set_link(10_000)
        bound = device.idle_steps
        used = device.run().steps
        assert used <= bound
        image, state = device.save(), device.state_hash()
        device.load(image)
        assert device.state_hash() == state
        assert driver.stat("CONNECTIONS") <= 8
        driver.rig.put(BAR0.CHM_CTRL, 0)
        device.run()
        for name in ("WORK", "NODES", "BLOCKS"):
            assert driver.stat(f"FREE_{name}") == driver.stat(f"MAX_{name}")


@pytest.mark.requirement("CHM-1", "CHM-3", "CHM-22", "CHM-48", "CHM-80", "RUN-4")
@pytest.mark.parametrize("seed", range(EFFORT))
def test_anything(seed: int) -> None:
    chaos = Chaos(seed)
    with chaos.driver:
        for _ in range(120):
            chaos.chance.choice(chaos.acts)()
        chaos.judge()


class Patient(Chaos):
    """The same one step at a time, and somebody watches every transfer."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.transfers = 0
        self.driver.device.observe(self.count, (EventType.DMA_READ, EventType.DMA_WRITE))

    def count(self, event: Event) -> None:
        """Look at a transfer."""
        self.transfers += 1

    def run(self, budget: Budget) -> None:
        """In as many runs as it takes."""
        steps, moved = budget
        while steps:
            used = self.driver.device.run(Budget(1, moved))
            if not used.steps:
                break
            steps, moved = steps - 1, moved - used.bytes


@pytest.mark.requirement("RUN-2", "RUN-6", "RUN-7", "CHM-80")
@pytest.mark.parametrize("seed", range(1000, 1000 + EFFORT // 4))
def test_however_a_run_is_cut_up(seed: int) -> None:
    """Steps taken together do what they do one by one: state after each act, memory at the end."""
    hasty, patient = Chaos(seed), Patient(seed)
    with hasty.driver, patient.driver:
        for _ in range(120):
            acts = [chaos.chance.randrange(len(chaos.acts)) for chaos in (hasty, patient)]
            assert acts[0] == acts[1]
            hasty.acts[acts[0]]()
            patient.acts[acts[1]]()
            assert hasty.driver.device.state_hash() == patient.driver.device.state_hash()
        for chaos in (hasty, patient):
            chaos.driver.device.set_link(10_000)
            chaos.run(Budget(1 << 20, 1 << 40))
        assert hasty.driver.device.state_hash() == patient.driver.device.state_hash()
        assert bytes(hasty.driver.memory.view) == bytes(patient.driver.memory.view)
        assert patient.transfers > 0
