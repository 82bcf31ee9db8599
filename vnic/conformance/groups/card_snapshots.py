"""Snapshots of the card: what is saved in the middle of anything goes on in another card as it would have."""

from __future__ import annotations

from typing import NamedTuple

from vnic.abi import EventType, InterruptKind, Map
from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.device import Device
from vnic.errors import SnapshotError
from vnic.function import UNBOUNDED, Budget
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Rig
from vnic.wire.parse import HashType

_KEY = bytes((n * 91 + 5) & 0xFF for n in range(40))
_ALL = sum(each for each in HashType)
_SHAPE = {"pairs": 3, "vectors": 6, "connections": 0}
_SMALL = {"rx_count": 32, "tx_count": 128, "cq_count": 128, "buf_len": 256, "max_frame": 4096,
          "rx_buffer_bytes": 32768, "tx_buffer_bytes": 32768}  # fmt: skip
#: Registers whose fields nobody writes, and whose value is not that of reset.
_OWN = ("MSI_CTRL", "MSIX_CTRL", "INTERRUPT", "HEADER")
_STEPS = (4, 11, 26)


class _End(NamedTuple):
    """All that can be seen of a card that has come to rest, and what it told on the way."""

    told: list[tuple[int, int, int, int, bytes]]
    registers: dict[str, int]
    memory: list[bytes]


def _begin(rig: Rig) -> None:
    """Something that waits in every part of the card."""
    assert commit_rss(rig, key=_KEY, table=[0, 1, 2, 1], types=_ALL, log2=2, queue=2)
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(DEFAULT_QUEUE=9))
    rig.put(BAR0.RSS_COMMIT, 1)
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
    rig.device.advance(5_000_000)
    for vector, interval in ((0, 40_000), (1, 0), (2, 9_000)):
        rig.put(BAR0.VEC_INTERVAL, interval, vector)
        rig.put(BAR0.TEST_FIRE, vector)
    rig.put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(ENABLE=1, AUTO_MASK=1), 1)
    rig.change(BAR0.VEC_CTRL, 4, ENABLE=0)
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(3), 1)
    for vector in (3, 4):
        rig.put(BAR0.TEST_FIRE, vector)
    rig.device.read(0, 0x60)
    rig.configure(CONFIG.COMMAND, MASTER=1)
    rig.device.write(0, 0, 1)
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    rig.device.is_manual = True
    for number in range(6):
        rig.inject(tcp_frame(bytes(80 * number), ports=(number, 80), tags=((0x8100, 7),) * (number % 2)))
        rig[number % 3].send(plain_frame(300, number, PEER), cuts=[100, 100], report=number % 2 == 1)
    data, context, _ = large_send(bytes(n & 0xFF for n in range(1500)), 300, tag=0x2007)
    rig[1].send(data, cuts=[30, 24, 500], **context)
    pieces = [rig[2].piece(b"x", eop=int(n == 39)) for n in range(40)]
    rig[2].send_raw(pieces)
    for pair in (rig[0], rig[2]):  # more than a turn on the wire is
        for number in range(72):
            pair.send(plain_frame(250, number, PEER), ring=False, report=False)
        pair.ring_tx()
    rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(9000)))
    rig.put(BAR0.TEST_DMA_LEN, 9000)
    rig.put(BAR0.TEST_DMA_PATTERN, 0x0102_0304)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))
    rig.put(BAR0.TEST_DMA_LEN, 1)


def _advance(rig: Rig, steps: int) -> None:
    """Steps of engines in turn, so that several are in the middle of something."""
    for number in range(steps):
        runnable = rig.device.runnable
        if runnable:
            rig.device.step(runnable[number % len(runnable)])


def _other(rig: Rig) -> None:
    """The rig's card is another one now, which was loaded with what this one saved."""
    image = rig.device.save()
    other = Device(manual=True, **{f: getattr(rig.device.config, f) for f in rig.device.config.__slots__})
    other.map(rig.memory.base, rig.memory.view, Map.READ | Map.WRITE)
    other.load(image)
    assert other.save() == image, "what was loaded is saved otherwise"
    rig.device.close()
    rig.device = other


def _registers(rig: Rig) -> dict[str, int]:
    found = {}
    for register in BAR0.MAP:
        if register.name.startswith("CH") or register.name == "INT_CAUSE":
            continue
        for index in range(min(register.count, 6)):
            found[f"{register.name}[{index}]"] = rig.get(register, index)
    for register in CONFIG.MAP:
        found[register.name] = rig.device.config_read(register.offset)
    return found | {f"BAR2 {at:#x}": rig.device.read(2, at) for at in (*range(0, 0x60, 4), 0x1000)}


def _finish(rig: Rig) -> _End:
    """To rest, with time that goes on until nothing is due; then what waited is let go."""
    told: list[tuple[int, int, int, int, bytes]] = []
    kinds = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT)
    with rig.device.observe(
        lambda e: told.append((int(e.type), e.index, e.addr, e.value, bytes(e.data))), kinds
    ):
        for _ in range(8):
            while rig.device.runnable:
                rig.device.run(Budget(7, UNBOUNDED.bytes))
                rig.device.frames()
            due = rig.device.next_deadline_ns()
            if due is None:
                break
            told.append((-1, 0, due, 0, b""))
            rig.device.advance(due)
        for each in rig.device.interrupts():
            told.append((-2, int(each.kind), each.addr, each.data, b""))
        rig.change(BAR0.VEC_CTRL, 4, ENABLE=1)
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(3), 0)
        rig.device.run()
    memory = [bytes(part.view) for pair in rig.pairs for part in (pair.cq_memory, pair.buffers)]
    return _End(told, _registers(rig), memory)


@card_case(
    manual("PCI-45", "pci"),
    "a card that was loaded with what another saved in the middle of its work goes on as that one would have",
    **_SHAPE,
    **_SMALL,
)
def snapshots_in_the_middle(rig: Rig) -> None:
    """Every part has work or something that waits; save after 4 to 26 steps; both cards go on, step for
    step alike."""
    del rig
    for steps in _STEPS:
        ends = []
        for is_other in (False, True):
            with Rig(**_SHAPE, **_SMALL) as each:  # type: ignore[arg-type]
                _begin(each)
                _advance(each, steps)
                if is_other:
                    _other(each)
                ends.append(_finish(each))
        one, other = ends
        differ = [name for name, value in one.registers.items() if other.registers[name] != value]
        assert not differ, f"saved after {steps} steps: {differ[:5]} are others at the end"
        pairs = zip(one.told, other.told, strict=False)
        same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one.told), len(other.told)))
        assert one.told == other.told, (
            f"saved after {steps} steps: event {same} of {len(one.told)} is another"
        )
        assert one.memory == other.memory, f"saved after {steps} steps: memory is written otherwise"


@card_case(
    manual("PCI-45", "pci"),
    "interrupts that nobody took, the line, and messages that wait in either mode are in a snapshot",
    level=InterruptKind.INTX,
    **_SHAPE,
    **_SMALL,
)
def snapshots_of_interrupts(rig: Rig) -> None:
    """The line up and not taken, MSI messages masked and queued, MSI-X ones too; saved, loaded, and let
    go."""
    wanted: list[tuple[int, int]] = []
    rig.get(BAR0.INT_CAUSE)
    messages(rig)
    rig.put(BAR0.TEST_FIRE, 5)
    wanted.append((InterruptKind.INTX, 1))
    _other(rig)
    rig.device.is_manual = False
    rig.set_level(InterruptKind.MSI)
    wanted.append((InterruptKind.INTX, 0))
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0b10)
    for vector in (0, 1, 4):
        rig.put(BAR0.TEST_FIRE, vector)
    wanted += [(InterruptKind.MSI, 0x40), (InterruptKind.MSI, 0x44)]
    _other(rig)
    rig.device.is_manual = False
    rig.set_level(InterruptKind.MSIX)
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(2), 1)
    for vector in (3, 2):
        rig.put(BAR0.TEST_FIRE, vector)
    wanted += [(InterruptKind.INTX, 1), (InterruptKind.INTX, 0), (InterruptKind.MSIX, 0x43)]
    _other(rig)
    rig.device.is_manual = False
    found = [(int(each.kind), each.data) for each in rig.device.interrupts()]
    assert found == wanted, f"kinds and data are {found}, not {wanted}"
    assert rig.device.read(2, 0x1000) == 4 and rig.device.config_read(CONFIG.MSI_PENDING.offset) == 2
    assert rig.get(BAR0.INT_CAUSE_PEEK) == 0b110011, "causes that nobody read were lost"
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(2), 0)
    assert [each.data for each in rig.device.interrupts()] == [0x42]
    rig.configure(CONFIG.MSIX_CTRL, ENABLE=0)
    rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=5)
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0)
    found = [(int(each.kind), each.data) for each in rig.device.interrupts()]
    assert found[-1] == (InterruptKind.MSI, 0x41), f"the message of MSI that waited: {found}"


@card_case(
    manual("PCI-46", "pci"),
    "an image that is cut short or spoiled is refused, or is an image that is saved again byte for byte",
    **_SHAPE,
    **_SMALL,
)
def images_that_are_refused(rig: Rig) -> None:
    """Every length but its own, and a bit of every byte of an image; after a refusal the card is as after
    power."""
    _begin(rig)
    _advance(rig, 12)
    image = rig.device.save()
    config = {name: getattr(rig.device.config, name) for name in rig.device.config.__slots__}
    for change in (
        {"vectors": 7},
        {"queue_pairs": 2},
        {"revision": 9},
        {"device_id": 1},
        {"subsystem_id": 1},
        {"max_frame": 4095},
    ):
        with Device(manual=True, **config | change) as stranger:
            assert not _loads(stranger, image), f"an image is taken by a card with {change}"
    with Device(manual=True, **config) as other:
        cold = other.save()
        for length in (*range(0, 64), *range(64, len(image), 149), len(image) - 1, len(image) + 1):
            assert not _loads(other, (image + b"\0")[:length]), f"{length} of {len(image)} bytes are taken"
        assert other.save() == cold, "a card that refused an image is not as after a power cycle"
        taken = 0
        for at in (*range(400), *range(400, len(image), 97)):
            spoiled = bytearray(image)
            spoiled[at] ^= 1 << at % 8
            if _loads(other, bytes(spoiled)):
                taken += 1
                assert other.save() == spoiled, f"byte {at} was spoiled, taken, and is saved otherwise"
                _assert_lawful(other, f"byte {at} was spoiled and taken")
        other.load(image)
        assert other.save() == image
    assert taken, "nothing but the image itself is ever taken"


def _assert_lawful(device: Device, what: str) -> None:
    """Bits of no field are 0, what nobody can write is as it was made, and the PowerState is one that
    there is."""
    for register in CONFIG.MAP:
        word = device.config_read(register.offset)
        if word == 0xFFFF_FFFF:
            return  # it is gone
        assert word & ~register.mask() == 0, f"{what}: {register.name} is {word:#x}"
        for field in register.fields:
            if field.access == "ro" and field.reset and not register.name.startswith("AER_CTRL"):
                assert field.get(word) == field.reset or register.name in _OWN, (
                    f"{what}: {register.name} {word:#x}"
                )
    assert device.config_read(CONFIG.ID.offset) == 0x10F0_1AF4, f"{what}: another identity"
    assert device.config_read(CONFIG.PM_CTRL.offset) & 3 in (0, 3), f"{what}: another PowerState"
    for register in (BAR0.MAC_RX_CTRL, BAR0.MAC_TX_CTRL, BAR0.RSS_CTRL, BAR0.INT_CTRL, BAR0.QP_RX_CTRL):
        word = device.read(0, register.offset)
        assert word == 0xFFFF_FFFF or word & ~register.mask() == 0, f"{what}: {register.name} is {word:#x}"


def _loads(device: Device, image: bytes) -> bool:
    try:
        device.load(image)
    except SnapshotError:
        return False
    return True


@card_case(
    manual("PCI-45", "pci"),
    "a card that is gone, one in D3hot and one with registers of every value are saved as they are",
    **_SHAPE,
    **_SMALL,
)
def snapshots_of_states(rig: Rig) -> None:
    """Removed, then put in; D3hot, then D0; a moved BAR; each through another card; then frames."""
    rig.device.remove()
    _other(rig)
    assert rig.device.read(0, 0) == 0xFFFF_FFFF and rig.device.config_read(0) == 0xFFFF_FFFF
    rig.device.insert()
    rig.power_up()
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    _other(rig)
    assert rig.device.read(0, 0) == 0xFFFF_FFFF, "BAR0 answers in D3hot"
    assert rig.device.config_read(CONFIG.PM_CTRL.offset) & 3 == 3
    rig.configure(CONFIG.PM_CTRL, STATE=0)
    rig.power_up()
    rig.device.config_write(CONFIG.BAR.at(1), 0x12)
    rig.put(BAR0.MAC_VLAN, 0xDEAD_BEEF, 127)
    rig.device.set_link(1_234)
    _other(rig)
    assert rig.device.config_read(CONFIG.BAR.at(1)) == 0x12
    assert rig.get(BAR0.MAC_VLAN, 127) == 0xDEAD_BEEF and rig.get(BAR0.GLB_SPEED) == 1_234
    rig.device.is_manual = False
    for pair in rig.pairs:
        pair.rx_tail = pair.tx_tail = 0
    rig.bring_up(8)
    assert rig.get(BAR0.MAC_ADDR) == int.from_bytes(MAC, "little")
    through(rig)
