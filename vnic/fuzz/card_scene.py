"""The card under a hostile driver, peer and host: budgets, guards, and the same outcome in every manner."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

from vnic.abi import Engine, FaultAction, FaultSite, OpCode
from vnic.errors import ArgumentError
from vnic.fault import Fault
from vnic.fuzz.bring_up import BRING_UP, RING_COUNT, STARTED, rx_ring, transmit_block, tx_ring
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.oplang import Flag, Program, Step, WorldCode, encode, pack_edits, pack_fault
from vnic.fuzz.oplang import decode as decode_program
from vnic.fuzz.records import Edit
from vnic.fuzz.scene import Act, Broken, Scene, act
from vnic.fuzz.script import Script
from vnic.fuzz.world import BAR0_ADDRESS, BAR2_ADDRESS, FAULTS, PAIRS, PLACES, RAM, VECTORS, Region, World
from vnic.gen.descriptors import RxDesc, TxContext, TxData
from vnic.gen.enums import DescType, RingError
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import plain_frame, tcp_frame, udp_frame

__all__ = ["CardScene", "script_of"]

_BAR0, _CONFIG, _TABLE = tuple(BAR0.MAP), tuple(CONFIG.MAP), tuple(MSIX_TABLE.MAP)
_WIDTHS = OneOf(4, 4, 4, 8, 1, 2, 0, 3, 255)
_CONTROLS = (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL)
_COUNTS = (BAR0.QP_RX_COUNT, BAR0.QP_TX_COUNT, BAR0.QP_CQ_COUNT)
_BASES = (BAR0.QP_RX_BASE, BAR0.QP_TX_BASE, BAR0.QP_CQ_BASE)
_TAILS = (BAR0.QP_TX_TAIL, BAR0.QP_RX_TAIL, BAR0.QP_CQ_TAIL)
_STATUSES = (BAR0.QP_RX_STATUS, BAR0.QP_TX_STATUS, BAR0.QP_CQ_STATUS)
_PLACES = (RAM, *(place.addr for place in PLACES), BAR0_ADDRESS, BAR2_ADDRESS, 0, (1 << 64) - 4096)
_LAST = (1 << 64) - 1
_BLOCK = transmit_block()
_NOTHING: Final[dict[str, Any]] = {
    "is_up": True,
    "is_answering": False,
    "split": 0,
    "is_watched": False,
    "is_restored": False,
}


def _place(base: int, offset: int) -> int:
    return _PLACES[base] + offset & _LAST


_BASE, _OFFSET = Range(0, len(_PLACES) - 1), Edges(14)


@cache
def _up() -> tuple[bytes, bytes]:
    """Memory and state of a card that was brought up: the same each time, and quicker loaded than done."""
    with World() as world:
        world.apply(BRING_UP)
        return world.image(), world.device.save()


class CardScene(Scene):
    """A World, and at the end a twin that is run in another manner: in pieces, watched, restored half-way."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options.keys() - _NOTHING.keys():
            raise ArgumentError(f"options of a card's scene: {sorted(options.keys() - _NOTHING.keys())}")
        self.options = _NOTHING | options
        self.world = self._begin(None)
        self.steps: list[Step] = []

    def _begin(self, split: int | None) -> World:
        """A world whose card is fresh, or up."""
        world = World(split=split, answering=bool(self.options["is_answering"]))
        if self.options["is_up"]:
            memory, state = _up()
            world.become(memory)
            world.device.load(state)
        return world

    def _do(self, *steps: Step) -> None:
        for step in steps:
            self.steps.append(step)
            self.world.act(step)

    # -- registers -------------------------------------------------------------------------------------------

    @act(
        6,
        register=Range(0, len(_BAR0) - 1),
        element=Range(0, VECTORS),
        nudge=OneOf(0, 0, 0, 4, 1, 2),
        width=_WIDTHS,
    )
    def read(self, register: int, element: int, nudge: int, width: int) -> None:
        """A read of BAR0, at a register or a little beside it."""
        found = _BAR0[register]
        self.reached.add(f"read {found.name}")
        self._do(Step(OpCode.READ, 0, width, _at(found, element) + nudge))

    @act(
        20,
        register=Range(0, len(_BAR0) - 1),
        element=Range(0, VECTORS),
        nudge=OneOf(0, 0, 0, 4, 1, 2),
        width=_WIDTHS,
        value=Edges(64),
    )
    def write(self, register: int, element: int, nudge: int, width: int, value: int) -> None:
        """A write of BAR0."""
        found = _BAR0[register]
        self.reached.add(f"write {found.name}")
        self._do(Step(OpCode.WRITE, 0, width, _at(found, element) + nudge, value))

    @act(3, register=Range(0, len(_TABLE) - 1), vector=Range(0, VECTORS), value=Edges(32))
    def write_table(self, register: int, vector: int, value: int) -> None:
        """A write of the message table."""
        self._do(Step(OpCode.WRITE, 2, 4, _at(_TABLE[register], vector), value))

    @act(2, bar=Range(0, 7), offset=Edges(64), width=_WIDTHS, value=Edges(64))
    def stray(self, bar: int, offset: int, width: int, value: int) -> None:
        """An access anywhere."""
        self._do(Step(OpCode.WRITE, bar, width, offset, value), Step(OpCode.READ, bar, width, offset))

    @act(5, register=Range(0, len(_CONFIG) - 1), width=_WIDTHS, value=Edges(32))
    def configure(self, register: int, width: int, value: int) -> None:
        """A write of configuration space, read back."""
        found = _CONFIG[register]
        self.reached.add(f"configure {found.name}")
        self._do(
            Step(OpCode.CFG_WRITE, 0, width, found.offset, value),
            Step(OpCode.CFG_READ, 0, width, found.offset),
        )

    @act(3, value=OneOf(6, 4, 2, 0, 0x406, 0x506))
    def command(self, value: int) -> None:
        """Memory Space Enable, Bus Master Enable, Interrupt Disable."""
        self._do(Step(OpCode.CFG_WRITE, 0, 4, CONFIG.COMMAND.offset, value))

    # -- rings -----------------------------------------------------------------------------------------------

    @act(20, which=Range(0, 2), pair=Range(0, PAIRS), tail=Range(0, RING_COUNT))
    def ring_doorbell(self, which: int, pair: int, tail: int) -> None:
        """A tail, in range or just not."""
        self._do(Step(OpCode.WRITE, 0, 4, _TAILS[which].at(pair), tail))

    @act(6, which=Range(0, 2), pair=Range(0, PAIRS), value=OneOf(1, 0, 2, 3))
    def control(self, which: int, pair: int, value: int) -> None:
        """A ring is started, stopped, reset."""
        self._do(Step(OpCode.WRITE, 0, 4, _CONTROLS[which].at(pair), value))

    @act(
        4,
        which=Range(0, 2),
        pair=Range(0, PAIRS),
        count=OneOf(64, 8, 16, 0, 7, 32768, 65536),
        base=_BASE,
        offset=_OFFSET,
    )
    def reshape(self, which: int, pair: int, count: int, base: int, offset: int) -> None:
        """A ring is stopped, put elsewhere, and started."""
        self._do(
            Step(OpCode.WRITE, 0, 4, _CONTROLS[which].at(pair), 0),
            Step(OpCode.WRITE, 0, 8, _BASES[which].at(pair), _place(base, offset) & ~63),
            Step(OpCode.WRITE, 0, 4, _COUNTS[which].at(pair), count),
            Step(OpCode.WRITE, 0, 4, _CONTROLS[which].at(pair), 1),
        )

    @act(10, pair=Range(0, STARTED - 1), index=Range(0, RING_COUNT - 1), part=Range(0, 4))
    def post_sound(self, pair: int, index: int, part: int) -> None:
        """Frames that can be sent, and the doorbell."""
        block = (_BLOCK[:16], _BLOCK[16:32], _BLOCK[32:80], _BLOCK[80:], _BLOCK)[part]
        self._post(pair, index, block)

    @act(
        10,
        pair=Range(0, STARTED - 1),
        index=Range(0, RING_COUNT - 1),
        count=Range(1, 6),
        seed=Range(0, 65535),
    )
    def post(self, pair: int, index: int, count: int, seed: int) -> None:
        """Transmit descriptors of any kind, and the doorbell."""
        rng = random.Random(seed)
        self._post(pair, index, b"".join(_transmit_descriptor(rng) for _ in range(count)))

    def _post(self, pair: int, index: int, block: bytes) -> None:
        tail = (index + len(block) // 16) % RING_COUNT
        self._do(
            Step(WorldCode.POKE, addr=tx_ring(pair) + 16 * index, data=block),
            Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(pair), tail),
        )

    @act(
        4,
        pair=Range(0, STARTED - 1),
        index=Range(0, RING_COUNT - 1),
        data=_BASE,
        header=_BASE,
        offset=_OFFSET,
    )
    def post_buffer(self, pair: int, index: int, data: int, header: int, offset: int) -> None:
        """A receive descriptor to anywhere."""
        made = RxDesc(_place(data, offset), _place(header, offset)).pack()
        self._do(Step(WorldCode.POKE, addr=rx_ring(pair) + 16 * index, data=bytes(made)))

    # -- the peer and the host -------------------------------------------------------------------------------

    @act(16, kind=Range(0, 5), size=Edges(14), seed=Range(0, 255), count=Range(1, 4))
    def arrive(self, kind: int, size: int, seed: int, count: int) -> None:
        """Frames from the link, right and wrong."""
        for each in range(count):
            self._do(Step(OpCode.RECEIVE, data=_frame(kind, size, seed + each)))

    @act(2, mbps=OneOf(10_000, 0, 1_000))
    def link(self, mbps: int) -> None:
        """The link."""
        self._do(Step(OpCode.LINK, value=mbps))

    @act(4, ns=Edges(40))
    def wait(self, ns: int) -> None:
        """Time."""
        self._do(Step(OpCode.ADVANCE, value=ns))

    @act(2, level=Range(0, 3))
    def reset(self, level: int) -> None:
        """A reset from outside."""
        self.reached.add(f"reset {level}")
        self._do(Step(OpCode.RESET, level))

    @act(1, is_gone=OneOf(0, 1))
    def remove(self, is_gone: int) -> None:
        """Surprise removal, or the return."""
        self._do(Step(OpCode.REMOVE, value=is_gone))

    @act(3, region=Range(0, len(Region) - 1), rights=Range(0, 3))
    def map(self, region: int, rights: int) -> None:
        """Memory is given with any permissions."""
        self._do(Step(WorldCode.MAP, rights, addr=region))

    @act(3, base=_BASE, offset=_OFFSET, pages=Range(1, 3))
    def unmap(self, base: int, offset: int, pages: int) -> None:
        """Memory is taken away."""
        self._do(Step(WorldCode.UNMAP, addr=_place(base, offset) & ~4095, value=4096 * pages))

    @act(
        3,
        site=Range(0, len(FaultSite) - 1),
        action=Range(0, len(FaultAction) - 1),
        index=OneOf(255, 0, 1, 2, 3),
        skip=Range(0, 7),
        count=Range(1, 4),
        argument=Edges(8),
        mask=Edges(64),
    )
    def fail(self, site: int, action: int, **others: int) -> None:
        """A fault is armed."""
        fault = Fault(site=FaultSite(site), action=FaultAction(action), **others)  # type: ignore[arg-type]
        self._do(Step(WorldCode.ARM, data=pack_fault(fault)))

    @act(1, number=Range(0, FAULTS - 1))
    def mend(self, number: int) -> None:
        """A fault is disarmed."""
        self._do(Step(WorldCode.DISARM, value=number))

    @act(2, record=Range(0, 2000), kind=Range(0, len(Edit) - 1), value=Edges(64))
    def tamper(self, record: int, kind: int, value: int) -> None:
        """A snapshot is saved, edited, and loaded."""
        self._do(Step(WorldCode.TAMPER, data=pack_edits([(record, kind, value)])))

    # -- work ------------------------------------------------------------------------------------------------

    @act(8, engine=OneOf(*(int(each) for each in Engine), len(Engine), 255))
    def step(self, engine: int) -> None:
        """One step of an engine."""
        self._do(Step(OpCode.STEP, engine))

    @act(16, steps=OneOf(64, 200, 1000, 1, 3, 0), byte_count=OneOf(_LAST, _LAST, 30_000, 9_000, 0))
    def run(self, steps: int, byte_count: int) -> None:
        """A run within a budget."""
        self._do(Step(OpCode.RUN, addr=steps, value=byte_count))

    @act(6)
    def drain(self) -> None:
        """Interrupts and frames are taken."""
        self._do(Step(OpCode.DRAIN))

    @act(0, octets=OneOf(""))
    def operation(self, octets: str) -> None:
        """An operation of the op language, as one comes out of a file: a program of one record, in hex."""
        self._do(*decode_program(bytes.fromhex(octets)).steps)

    @classmethod
    def knows(cls, act: Act) -> bool:
        """Operations come with any octets."""
        if act.name != "operation":
            return super().knows(act)
        octets = act.arguments.get("octets")
        try:
            return (
                isinstance(octets, str)
                and act.arguments.keys() == {"octets"}
                and bool(decode_program(bytes.fromhex(octets)))
            )
        except ValueError:
            return False

    # -- looking ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """To rest; then the twin, and all that came of it is the same."""
        self._settle(self.world)
        self.world.check_guards()
        with self._twin() as twin:
            if twin.said != self.world.said:
                raise Broken("card-outputs", self._first_difference(twin))
            if twin.device.state_hash() != self.world.device.state_hash():
                raise Broken("card-state", "the state hash differs between two manners of the same program")
            if twin.image() != self.world.image():
                raise Broken("card-memory", "host memory differs between two manners of the same program")
        self._note_rings()  # last: a read where nothing decodes sets an error bit
        self.abandon()

    @staticmethod
    def _settle(world: World) -> None:
        world.settle()
        world.drain()

    def _twin(self) -> World:
        """The same program in the manner that the options say."""
        twin = self._begin(self.options["split"] or None)
        if self.options["is_watched"]:
            twin.watch()
        middle = len(self.steps) // 2
        twin.apply(tuple(self.steps[:middle]))
        if self.options["is_restored"]:
            image = twin.device.save()
            twin.device.reset()
            twin.device.load(image)
            if twin.device.save() != image:
                raise Broken("card-snapshot", "a snapshot that was loaded is saved otherwise")
        twin.apply(tuple(self.steps[middle:]))
        self._settle(twin)
        return twin

    def _first_difference(self, twin: World) -> str:
        pairs = zip(self.world.said, twin.said, strict=False)
        found = next(((n, a, b) for n, (a, b) in enumerate(pairs) if a != b), None)
        if found is None:
            return f"{len(self.world.said)} outputs in one manner, {len(twin.said)} in another"
        return f"output {found[0]} is {str(found[1])[:60]} in one manner, {str(found[2])[:60]} in another"

    def _note_rings(self) -> None:
        """States of rings that were met."""
        for register in _STATUSES:
            for pair in range(PAIRS):
                status = register.decode(self.world.device.read(0, register.at(pair)))
                if status["ERROR"] in RingError._value2member_map_:
                    self.reached.add(f"{register.name}: {RingError(status['ERROR']).name}")

    def abandon(self) -> None:
        """Free the card."""
        self.world.close()


def _at(register: Register, element: int) -> int:
    return register.at(element % register.count, element % register.inner_count)


def _transmit_descriptor(rng: random.Random) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(16)
    if kind == 1:
        start = 16 * rng.randrange(len(_BLOCK) // 16)
        return _BLOCK[start : start + 16]
    if kind == 2:
        return bytes(_context(rng).pack())
    address = _place(rng.randrange(len(_PLACES)), rng.choice((0, 64, 4090, rng.randrange(8192))))
    length = rng.choice((0, 1, 13, 14, 59, 60, 9728, 9729, 262_144, 0xFFFFF, rng.randrange(1, 2000)))
    return bytes(TxData(address, length, DescType.DATA, rng.choice((1, 1, 0)), rng.randrange(2)).pack())


def _context(rng: random.Random) -> TxContext:
    def mostly(usual: int, most: int) -> int:
        return usual if rng.randrange(3) else rng.randint(0, most)

    return TxContext(
        mostly(14, 511), mostly(34, 511), mostly(54, 511), mss=mostly(500, 65535), type=DescType.CONTEXT,
        vlan_tci=rng.randrange(65536), ip_csum=rng.randrange(2), l4_csum=rng.randrange(2),
        lso=rng.randrange(2),
        vlan_insert=rng.randrange(2), l3_kind=rng.randrange(4) == 0, l4_kind=rng.randrange(4) == 0,
    )  # fmt: skip


def _frame(kind: int, size: int, seed: int) -> bytes:
    """Plain, TCP, UDP, IPv6, damaged, noise."""
    rng = random.Random(seed)
    body = bytes(min(size, 9600))
    if kind == 0:
        return plain_frame(min(size, 65535), seed)
    if kind == 5:
        return rng.randbytes(min(size, 65535))
    version = 6 if kind == 3 else 4
    make = udp_frame if kind == 2 else tcp_frame
    made = bytearray(make(body[:9000], version=version, ports=(seed + 1, 80)))
    for _ in range(rng.randint(1, 3) if kind == 4 else 0):
        made[rng.randrange(min(len(made), 80))] = rng.randrange(256)
    return bytes(made)


def script_of(program: Program) -> Script:
    """A program of the op language as a script of this scene."""
    acts = tuple(
        Act("operation", {"octets": encode(Program(Flag(0), (step,))).hex()}) for step in program.steps
    )
    flags = program.flags
    options = {
        "is_up": bool(flags & Flag.UP),
        "is_answering": bool(flags & Flag.ANSWER),
        "split": (1, 2, 3, 64)[(flags & (Flag.SPLIT_LOW | Flag.SPLIT_HIGH)) >> 3],
        "is_watched": bool(flags & Flag.WATCH),
        "is_restored": bool(flags & Flag.RESTORE),
    }
    return Script("card", acts, options)
