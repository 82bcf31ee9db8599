"""Snapshots by their fields: taken at any moment they are the card, and every field of them is checked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.nic.moments import MOMENTS, Moment, copy_of_memory, pieces
from vnic.abi import Map
from vnic.device import UNBOUNDED, Budget, Device, Frame
from vnic.errors import SnapshotConfigError, SnapshotError, SnapshotVersionError
from vnic.fuzz.records import Edit, Record, edited, records
from vnic.host.bus import Interrupt
from vnic.testbench.rig import Rig, plain_frame

TAG_MAGIC, TAG_VERSION, TAG_CONFIG, TAG_REGISTER_MAP, TAG_END = range(1, 6)
TAG_TXF_HEADER, TAG_STAT, TAG_REG_WORD = 0x70, 0xB3, 0x202
TAG_PACKET_COUNT, TAG_PACKET_NEXT, TAG_RXF_ACTIVE = 0x10, 0x11, 0x50
PACKET_TAGS = range(0x12, 0x17)
RING_TAGS = (0x22, 0x23, 0x24, 0x25, 0x30, 0x31)  # HEAD, TAIL, RUNNING, ERROR, IS_LIVE, RESERVED
HEADER_BYTES = (12, 13, 14, 15, 16, 20, 23, 34, 46, 47, 53, 54, 255)
PLENTY = 1 << 40
PAIRS_OF_EDITS = 100
SAME_MAX = 4
SMALL_CHANGES = (-1, 1, 1, -64, 64, 1000)

Outputs = tuple[list[Frame], list[Interrupt]]


def to_rest(device: Device) -> Outputs:
    """Run until nothing is left to do, now or later; what came out."""
    frames: list[Frame] = []
    interrupts: list[Interrupt] = []
    for _ in range(100):
        device.run(UNBOUNDED)
        frames += device.frames()
        interrupts += device.interrupts()
        deadline = device.next_deadline_ns()
        if deadline is not None:
            device.advance(max(deadline, device.now_ns))
        elif device.is_idle:
            return frames, interrupts
    raise AssertionError("no rest")


# ---- what was saved is the card


@pytest.mark.requirement("PCI-45", "RUN-7")
@pytest.mark.parametrize("name", MOMENTS)
def test_a_card_restored_goes_on_alike(name: str) -> None:
    with MOMENTS[name].rig() as rig, Device(rig.device.config, manual=True) as other:
        memory = copy_of_memory(rig)
        other.map(memory.base, memory.view, Map.READ | Map.WRITE)
        image = rig.device.save()
        other.load(image)
        assert other.save() == image
        assert other.state_hash() == rig.device.state_hash()
        assert (other.runnable, other.idle_steps) == (rig.device.runnable, rig.device.idle_steps)
        assert (other.now_ns, other.next_deadline_ns()) == (rig.device.now_ns, rig.device.next_deadline_ns())
        assert to_rest(other) == to_rest(rig.device)
        assert other.state_hash() == rig.device.state_hash()
        assert all(one == other for one, other in zip(pieces(memory), pieces(rig.memory), strict=True))


@pytest.mark.requirement("PCI-45")
def test_moments_differ() -> None:
    images = {}
    for name, moment in MOMENTS.items():
        with moment.rig() as rig:
            images[name] = rig.device.save()
    assert len(set(images.values())) == len(MOMENTS)


# ---- every field is checked


def before(moment: Moment) -> bytes:
    """The snapshot of the same card before the moment was prepared."""
    with Moment(lambda rig: None, moment.options).rig() as rig:
        return rig.device.save()


def fields_of(image: bytes) -> dict[tuple[int, int], tuple[int, Record]]:
    """Records by tag and place among those of the tag; with their number."""
    seen: Counter[int] = Counter()
    found = {}
    for number, record in enumerate(records(image)):
        found[record.tag, seen[record.tag]] = (number, record)
        seen[record.tag] += 1
    return found


def told_apart(image: bytes, base: bytes) -> list[tuple[int, Record]]:
    """The records that the moment is about: new ones and other values, at most SAME_MAX of a tag."""
    old = fields_of(base)
    taken: Counter[int] = Counter()
    chosen = []
    for key, (number, record) in fields_of(image).items():
        if (key not in old or old[key][1].value != record.value) and taken[record.tag] < SAME_MAX:
            taken[record.tag] += 1
            chosen.append((number, record))
    return chosen


def rings_of(image: bytes) -> list[tuple[int, Record]]:
    """The records that rings are made of, and of what was promised of them."""
    return [(number, record) for number, record in enumerate(records(image)) if record.tag in RING_TAGS]


def values_around(record: Record) -> Iterator[int]:
    """Values to put in a field's place; of a register's word also some of its bits, others in each."""
    bits, now = 8 * len(record.value), record.number
    if record.tag == TAG_REG_WORD:
        yield from (now ^ 1 << bit for bit in range(record.at // 12 % 8, bits, 8))
        return
    yield from (0, 1, (1 << bits) - 1, now - 1, now + 1)
    if record.tag not in (TAG_STAT, *RING_TAGS):
        yield from (2, 3, 4, 6, 63, 64, 128, 1 << (bits - 1), now + now)
        yield from (now + change for change in (-4096, -64, -4, 4, 64, 4096))


def images_around(image: bytes, record: Record) -> Iterator[bytes]:
    """The snapshot with one field replaced."""
    start, size = record.start, len(record.value)
    if 0 < size <= 8:
        wanted = {value & (1 << 8 * size) - 1 for value in values_around(record)} - {record.number}
        contents: Iterator[bytes] = (value.to_bytes(size, "little") for value in sorted(wanted))
    else:
        places = HEADER_BYTES if record.tag == TAG_TXF_HEADER else range(0, size, max(size // 8, 1))
        contents = (
            record.value[:at] + bytes([record.value[at] ^ 0x11]) + record.value[at + 1 :] for at in places
        )
    for content in contents:
        yield image[:start] + content + image[start + size :]


class Judge:
    """A card with a past that is given snapshots: what came of each, and that it holds in either case."""

    def __init__(self, moment: Moment) -> None:
        self.rig = Rig(manual=True, **{"pairs": 2, "max_frame": 1514} | moment.options)
        self.device = self.rig.device
        with Device(self.device.config, manual=True) as fresh:
            self.fresh = fresh.state_hash()
        self.refused = self.accepted = 0

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.device.close()

    def take(self, image: bytes) -> bool:
        """Load: refused, the card is as after a power cycle; accepted, it is the snapshot and can rest."""
        try:
            self.device.load(image)
        except SnapshotError:
            self.device.interrupts()
            assert self.device.state_hash() == self.fresh
            self.refused += 1
            return False
        assert self.device.save() == image
        self.settle()
        self.accepted += 1
        return True

    def settle(self) -> None:
        """[RUN-4] Rest is reached within the bound."""
        bound, steps = self.device.idle_steps, 0
        while used := self.device.run(Budget(10_000, PLENTY)).steps:
            steps += used
            self.device.frames()
            assert steps <= bound

    def check_usable(self) -> None:
        """After one more refusal the card comes up and works."""
        assert not self.take(b"")
        self.device.set_link(10_000)
        self.rig.bring_up(20)
        self.device.is_manual = False
        assert self.rig.transmit(plain_frame(200))[0] == [plain_frame(200)]
        assert [received.data for received in self.rig.receive(plain_frame(300))] == [plain_frame(300)]


@pytest.mark.requirement("PCI-46", "RUN-4")
@pytest.mark.parametrize("name", MOMENTS)
def test_every_field_is_refused_or_harmless(name: str) -> None:
    moment = MOMENTS[name]
    with moment.rig() as rig:
        image = rig.device.save()
    chosen = list(enumerate(records(image)))
    if name != "up":
        chosen = sorted({*told_apart(image, before(moment)), *rings_of(image)})
    with Judge(moment) as judge:
        assert judge.take(image)
        for _, record in chosen:
            for wrong in images_around(image, record):
                judge.take(wrong)
        assert judge.accepted > len(chosen) // 4
        assert judge.refused > 0
        assert judge.take(image)
        judge.check_usable()


@pytest.mark.requirement("PCI-46", "RUN-4")
@pytest.mark.parametrize("name", MOMENTS)
def test_fields_that_change_together_are_refused_or_harmless(name: str) -> None:
    moment = MOMENTS[name]
    rng = random.Random(name)
    with moment.rig() as rig:
        image = rig.device.save()
    numbers = [number for number, record in told_apart(image, before(moment)) if record.tag != TAG_STAT]
    numbers = numbers or [number for number, _ in enumerate(records(image))]
    with Judge(moment) as judge:
        for _ in range(PAIRS_OF_EDITS):
            pair = rng.choices(numbers, k=2)
            judge.take(edited(image, [(number, Edit.ADD, rng.choice(SMALL_CHANGES)) for number in pair]))
        judge.check_usable()


@pytest.mark.requirement("PCI-46")
@pytest.mark.parametrize("name", ["begun", "amid"])
def test_a_frame_under_delivery_is_in_the_buffer(name: str) -> None:
    """The snapshot without the frames of the receive buffer, in itself sound, is refused for the delivery."""
    moment = MOMENTS[name]
    with moment.rig() as rig:
        image = rig.device.save()
    found = fields_of(image)
    packets = sorted((number for (tag, _), (number, _) in found.items() if tag in PACKET_TAGS), reverse=True)
    empty = edited(image, [(number, Edit.DROP, 0) for number in packets])
    count, following = found[TAG_PACKET_COUNT, 0][0], found[TAG_PACKET_NEXT, 0][0]
    empty = edited(empty, [(count, Edit.SET, 0), (following, Edit.SET, 0)])
    active = found[TAG_RXF_ACTIVE, 0][0] - len(packets)
    idle = edited(empty, [(active + n, Edit.DROP, 0) for n in range(8, 0, -1)])
    idle = edited(idle, [(active, Edit.SET, 0)])
    with Judge(moment) as judge:
        assert not judge.take(empty)
        assert judge.take(idle)
        judge.check_usable()


# ---- the header


def with_field(image: bytes, tag: int, value: int) -> bytes:
    """The snapshot with the first field of a tag replaced."""
    return edited(image, [(fields_of(image)[tag, 0][0], Edit.SET, value)])


@pytest.mark.requirement("PCI-45", "PCI-46")
def test_the_header_says_what_is_wrong() -> None:
    with MOMENTS["up"].rig() as rig:
        image = rig.device.save()
        for tag, error in (
            (TAG_MAGIC, SnapshotError),
            (TAG_VERSION, SnapshotVersionError),
            (TAG_REGISTER_MAP, SnapshotVersionError),
            (TAG_CONFIG, SnapshotConfigError),
            (TAG_END, SnapshotError),
        ):
            with pytest.raises(SnapshotError) as caught:
                rig.device.load(with_field(image, tag, 7))
            assert caught.type is error
        for cut in range(0, 60):
            with pytest.raises(SnapshotError) as caught:
                rig.device.load(image[:cut])
            assert caught.type is SnapshotError
        rig.device.load(image)
        assert rig.device.save() == image
