"""The hostile card against a driver: a scene whose card lies, within what hardware could do or beyond."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

from vnic.abi import DmaStatus, FaultAction, FaultSite, InterruptKind
from vnic.errors import VnicError
from vnic.fault import Fault
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.driver_machine import QUEUES
from vnic.fuzz.driver_scene import DriverScene
from vnic.fuzz.hostile_card import ENTRY_BYTES
from vnic.fuzz.hostile_function import CONFIG_SPACE, Lie, Twist
from vnic.fuzz.scene import act
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.gen.enums import CompletionType
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.bus import Interrupt

__all__ = ["HostileDriverScene"]

_REGISTERS = tuple(BAR0.MAP)
#: What a driver reads of configuration space itself; the rest a kernel reads for it.
_CONFIG = (CONFIG.ID, CONFIG.CLASS)
_STATUSES = tuple(DmaStatus)[1:]
#: What describes a frame and binds the driver to nothing: any value is one that hardware could write.
_LOOSE = (
    *("hash", "hash_type", "vlan_tci", "vlan", "ip_csum", "l4_csum", "error", "l3_offset", "l4_offset"),
    *("ipv4", "ipv6", "tcp", "udp", "fragment"),
)
_RX_FIELDS = tuple(each.name for each in fields(RxCompletion))
_TX_FIELDS = tuple(each.name for each in fields(TxCompletion))
_WIDTHS = {"hash": 32, "len": 16, "frame_len": 16, "vlan_tci": 16, "hash_type": 9}


def _is_unbounded(scene: HostileDriverScene) -> bool:
    return scene.options.unbounded


def _altered(entry: bytes, rng: random.Random, is_unbounded: bool) -> bytes:
    """A completion with a field changed; bounded: a field that binds to nothing, or a transmit status."""
    kind = entry[24] & 0xF
    if kind == CompletionType.RX:
        made: Any = RxCompletion.unpack(entry)
        names = _RX_FIELDS if is_unbounded else _LOOSE
    elif kind == CompletionType.TX:
        made = TxCompletion.unpack(entry)
        names = _TX_FIELDS if is_unbounded else ("status",)
    else:
        return entry
    for _ in range(rng.randint(1, 3)):
        _change_field(made, rng.choice(names), rng)
    return bytes(made.pack())


def _change_field(made: Any, name: str, rng: random.Random) -> None:
    """The widest of a few values that the field takes."""
    before = getattr(made, name)
    for bits in (_WIDTHS.get(name, 16), 4, 2, 1):
        setattr(made, name, rng.choice((rng.getrandbits(bits), (1 << bits) - 1, 0, before ^ 1)))
        try:
            made.pack()
        except ValueError:
            setattr(made, name, before)
        else:
            return


class HostileDriverScene(DriverScene):
    """Bounded: values within fields, completions of what was posted, faults that a bus has. Else: anything.

    Every trick lasts for a number of accesses, so that a driver that resets its card gets a sound one.
    """

    # -- what hardware could do ------------------------------------------------------------------------------

    @act(
        8,
        register=Range(0, len(_REGISTERS) - 1),
        element=Range(0, QUEUES),
        field=Range(0, 7),
        value=Edges(64),
        times=OneOf(1, 1, 2, 5, 50),
    )
    def lie(self, register: int, element: int, field: int, value: int, times: int) -> None:
        """The next reads of a register have another value in one field."""
        found = _REGISTERS[register]
        part = found.fields[field % len(found.fields)]
        truth = part.reset << part.lsb
        self._tell_lie(found, element, Twist.XOR, (value % (part.max + 1) << part.lsb) ^ truth, times)

    @act(2, register=Range(0, len(_REGISTERS) - 1), element=Range(0, QUEUES), times=OneOf(1, 2, 20))
    def go_silent(self, register: int, element: int, times: int) -> None:
        """Reads of a register give all ones, as after a completion timeout."""
        self._tell_lie(_REGISTERS[register], element, Twist.ONES, 0, times)

    @act(1, register=Range(0, len(_CONFIG) - 1), value=Edges(32), times=Range(1, 3))
    def lie_of_config(self, register: int, value: int, times: int) -> None:
        """Vendor, device or class are others."""
        offset = _CONFIG[register].offset
        self.machine.card.lies[CONFIG_SPACE, offset] = Lie(Twist.SET, value, times)

    def _tell_lie(self, register: Register, element: int, twist: Twist, value: int, times: int) -> None:
        offset = register.at(min(element, register.count - 1))
        self.machine.card.lies[0, offset] = Lie(twist, value, times)
        self.reached.add(f"lie: {register.name}")

    @act(8, seed=Range(0, 65535), times=OneOf(1, 2, 10))
    def alter(self, seed: int, times: int) -> None:
        """The next completions are written with other fields."""
        rng = random.Random(seed)
        self.machine.card.rewrite = lambda entry: self.altered(entry, rng)
        self.machine.card.rewrites_left = times

    def altered(self, entry: bytes, rng: random.Random) -> bytes:
        """What an altered completion becomes."""
        return _altered(entry, rng, self.options.unbounded)

    @act(2, count=OneOf(1, 2, 8))
    def lose_interrupts(self, count: int) -> None:
        """The next interrupts do not arrive."""
        self.machine.card.lost_interrupts = count

    @act(3)
    def hold_interrupts(self) -> None:
        """Interrupts wait, or those that waited come at once."""
        card = self.machine.card
        if card.is_holding:
            card.let_go()
        else:
            card.hold()

    @act(4, vector=Range(0, QUEUES), times=OneOf(1, 2, 5))
    def interrupt(self, vector: int, times: int) -> None:
        """A message that nobody asked for, on a vector that the driver has."""
        device = self.machine.device
        addr = device.read(2, MSIX_TABLE.ENTRY_ADDR_LO.at(vector))
        data = device.read(2, MSIX_TABLE.ENTRY_DATA.at(vector))
        for _ in range(times):
            self.machine.card.forge_message(Interrupt(InterruptKind.MSIX, vector, addr, data))

    @act(
        3,
        site=OneOf(*(int(each) for each in FaultSite)),
        action=OneOf(*(int(each) for each in FaultAction)),
        skip=Range(0, 7),
        count=Range(1, 3),
        argument=Range(0, len(_STATUSES) - 1),
    )
    def fail(self, site: int, action: int, skip: int, count: int, argument: int) -> None:
        """The bus or the wire fails: DMA with an error, lost writes, frames lost or doubled."""
        fault = Fault(
            site=FaultSite(site),
            action=FaultAction(action),
            skip=skip,
            count=count,
            argument=int(_STATUSES[argument]),
        )
        try:
            self.machine.device.arm(fault)
        except VnicError:
            return  # a combination that there is not, or no room
        self.reached.add(f"fault: {FaultSite(site).name} {FaultAction(action).name}")

    @act(1, when=lambda s: not s.is_gone)
    def vanish(self) -> None:
        """The card is pulled and nobody says so."""
        self.machine.device.remove()
        self.is_gone = True

    # -- what it could not -----------------------------------------------------------------------------------

    @act(
        6,
        when=_is_unbounded,
        register=Range(0, len(_REGISTERS) - 1),
        element=Range(0, QUEUES),
        twist=OneOf(*(int(each) for each in Twist)),
        value=Edges(64),
        times=OneOf(1, 2, 5, 50),
    )
    def invent(self, register: int, element: int, twist: int, value: int, times: int) -> None:
        """The next reads of a register give anything, reserved bits too."""
        self._tell_lie(_REGISTERS[register], element, Twist(twist), value, times)

    @act(
        4,
        when=_is_unbounded,
        register=Range(0, len(_REGISTERS) - 1),
        element=Range(0, QUEUES),
        times=Range(1, 4),
    )
    def ignore(self, register: int, element: int, times: int) -> None:
        """The next writes of a register are not heard."""
        found = _REGISTERS[register]
        self.machine.card.deaf[0, found.at(min(element, found.count - 1))] = times

    @act(
        8,
        when=_is_unbounded,
        queue=Range(0, QUEUES - 1),
        kind=OneOf(1, 2, 0, 3),
        seed=Range(0, 65535),
        rings=OneOf(1, 0),
    )
    def forge(self, queue: int, kind: int, seed: int, rings: int) -> None:
        """A completion of nothing, new to the driver, and perhaps an interrupt."""
        rng = random.Random(seed)
        entry = bytearray(rng.choice((bytes(ENTRY_BYTES), rng.randbytes(ENTRY_BYTES))))
        if kind == CompletionType.RX:
            entry[:] = _forged_receive(rng)
        elif kind == CompletionType.TX:
            entry[:] = TxCompletion(head=rng.randrange(20), index=rng.randrange(20), type=2).pack()
        entry[24] = entry[24] & 0xF0 | (kind if kind else rng.randrange(16))
        if self.machine.card.forge_completion(queue, bytes(entry)):
            self.reached.add(f"forged: {kind}")
        if rings:
            self.interrupt(queue, 1)

    @act(
        4,
        when=_is_unbounded,
        region=Range(0, 63),
        offset=Edges(16),
        seed=Range(0, 65535),
        size=OneOf(1, 4, 32, 2048),
    )
    def scribble(self, region: int, offset: int, seed: int, size: int) -> None:
        """DMA to anywhere that the driver has mapped for writing: rings, buffers, posted or not."""
        self.machine.card.scribble(region, offset, random.Random(seed).randbytes(size))

    @act(2, when=_is_unbounded, addr=Edges(64), data=Edges(32), vector=Range(0, 63))
    def send_message(self, addr: int, data: int, vector: int) -> None:
        """A message to anywhere, with any data."""
        self.machine.card.forge_message(Interrupt(InterruptKind.MSIX, vector, addr & ~(0xFF << 12), data))


def _forged_receive(rng: random.Random) -> bytes:
    length = rng.choice((0, 1, 13, 14, 60, 1514, 2048, 2049, 4096, 65535))
    return bytes(
        RxCompletion(
            len=length,
            frame_len=rng.choice((length, length, 0, 65535)),
            index=rng.randrange(20),
            sop=rng.choice((1, 1, 0)),
            eop=rng.choice((1, 1, 0)),
            type=1,
        ).pack()
    )
