"""The card's interrupts, clause by clause: which level is in force, what waits where, and when time raises
it."""

from __future__ import annotations

from itertools import permutations, product

from vnic.abi import InterruptKind
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import MESSAGE_ADDRESS, MESSAGE_DATA, Rig

_PBA = MSIX_TABLE.PBA.offset


def _fire(rig: Rig, *vectors: int) -> None:
    for vector in vectors:
        rig.put(BAR0.TEST_FIRE, vector)


def _levels(rig: Rig, *, msi: int, msix: int) -> None:
    rig.configure(CONFIG.MSI_CTRL, ENABLE=msi, GRANTED=5)
    rig.configure(CONFIG.MSIX_CTRL, ENABLE=msix)


@card_case(
    manual("INT-2", "interrupts"),
    "MSI-X is used while its enable bit is set, whatever MSI's says, else MSI, else the line (PCI-26)",
    pairs=2,
    vectors=4,
)
def the_level_in_force(rig: Rig) -> None:
    """From each of the four settings of both bits to each other: one cause, and how it leaves."""
    rig.device.config_write(CONFIG.MSI_ADDR_LO.offset, MESSAGE_ADDRESS)
    rig.device.config_write(CONFIG.MSI_DATA.offset, MESSAGE_DATA)
    settings = list(product((0, 1), (0, 1)))
    for before, after in product(settings, settings):
        for msi, msix in (before, after):
            _levels(rig, msi=msi, msix=msix)
            rig.get(BAR0.INT_CAUSE)
            rig.device.interrupts()
            _fire(rig, 2)
            kind = InterruptKind.MSIX if msix else InterruptKind.MSI if msi else InterruptKind.INTX
            found = [each.kind for each in rig.device.interrupts()]
            assert found == [kind], f"MSI Enable {msi}, MSI-X Enable {msix}: {[each.name for each in found]}"
            cause = rig.get(BAR0.INT_CAUSE_PEEK)
            assert cause == (0 if msix else 4), f"MSI {msi}, MSI-X {msix}: INT_CAUSE is {cause:#x}"


@card_case(
    manual("INT-3", "interrupts"),
    "at the level of MSI causes are collected too; with MSI-X INT_CAUSE stays as it is, and is kept",
    level=InterruptKind.MSI,
    pairs=2,
    vectors=40,
)
def causes_beside_messages(rig: Rig) -> None:
    """Vectors in both halves with MSI, then with MSI-X, then on the line: what stands, what the line does."""
    fired = (1, 31, 32, 39)
    mask = sum(1 << vector for vector in fired)
    rig.get(BAR0.INT_CAUSE)
    _fire(rig, *fired)
    assert rig.get(BAR0.INT_CAUSE_PEEK) == mask, f"with MSI INT_CAUSE is {rig.get(BAR0.INT_CAUSE_PEEK):#x}"
    rig.set_level(InterruptKind.MSIX)
    _fire(rig, 5, 33)
    assert rig.get(BAR0.INT_CAUSE_PEEK) == mask, "raising with MSI-X changes INT_CAUSE"
    rig.device.interrupts()
    rig.set_level(InterruptKind.INTX)
    assert messages(rig) == [1], "the line is not up for causes that nobody read"
    assert rig.device.read(0, BAR0.INT_CAUSE.offset + 4) == mask >> 32, "the upper half"
    assert messages(rig) == [], "the line falls while the lower half stands"
    assert rig.device.read(0, BAR0.INT_CAUSE.offset) == mask & 0xFFFF_FFFF, "the lower half"
    assert messages(rig) == [0]


@card_case(
    manual("INT-11", "interrupts"),
    "the deadline is that of the earliest vector that waits for its interval alone",
    pairs=2,
    vectors=4,
)
def deadlines_of_vectors(rig: Rig) -> None:
    """Three intervals in every order over the vectors; one disabled, the master enable clear; a higher
    number."""
    now = 1_000_000
    for intervals in permutations((0, 700, 30_000, 5_000)):
        now += 1_000_000
        rig.device.advance(now)
        for vector, interval in enumerate(intervals):
            rig.put(BAR0.VEC_INTERVAL, interval, vector)
        _fire(rig, 0, 1, 2, 3)
        assert rig.device.next_deadline_ns() is None, "something is due, and nothing waits"
        _fire(rig, 0, 1, 2, 3)
        messages(rig)
        for held in range(4):
            rig.change(BAR0.VEC_CTRL, held, ENABLE=0)
            waits = [each for number, each in enumerate(intervals) if each and number != held]
            due = rig.device.next_deadline_ns()
            assert due == now + min(waits), (
                f"{intervals}, vector {held} disabled: due at {due}, not {min(waits)}"
            )
            rig.change(BAR0.VEC_CTRL, held, ENABLE=1)
        rig.put(BAR0.INT_CTRL, 0)
        assert rig.device.next_deadline_ns() is None, "something is due with the master enable clear"
        rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
        order = [intervals.index(each) for each in (700, 5_000, 30_000)]
        for vector in order:
            due = now + intervals[vector]
            assert rig.device.next_deadline_ns() == due
            rig.device.advance(due)
            assert messages(rig) == [vector], f"{intervals}: at {due - now} another is raised than {vector}"


@card_case(
    manual("INT-13", "interrupts"),
    "PENDING is for causes that wait for ENABLE, interval or master enable; what waits for a mask is not",
    pairs=2,
    vectors=4,
)
def where_it_waits(rig: Rig) -> None:
    """A cause behind each obstacle, at each level: VEC_STATUS, the pending bits (PCI-32), VEC_RAISED."""
    for level in (InterruptKind.MSIX, InterruptKind.MSI):
        for obstacle in ("ENABLE", "interval", "master enable", "mask", "function mask", "Bus Master Enable"):
            rig.set_level(level)
            rig.device.advance(rig.device.now_ns + 1_000_000)
            messages(rig)
            _fire(rig, 1)
            messages(rig)
            _raise(rig, level, obstacle, on=1)
            raised = rig.get(BAR0.VEC_RAISED, 1)
            for _ in range(3):
                _fire(rig, 1)
            is_masked = obstacle in ("mask", "function mask", "Bus Master Enable")
            if obstacle == "function mask" and level == InterruptKind.MSI:
                is_masked = False
            what = f"{level.name}, {obstacle}"
            if obstacle == "function mask" and level == InterruptKind.MSI:
                assert messages(rig) == [1, 1, 1], f"{what}: MSI heeds MSI-X's mask"
            assert messages(rig) == [], f"{what}: a message"
            waits = int(obstacle in ("ENABLE", "interval", "master enable"))
            assert rig.get(BAR0.VEC_STATUS, 1) == waits, f"{what}: PENDING is {1 - waits}"
            bits = rig.device.read(2, _PBA, 8) if level == InterruptKind.MSIX else _msi_pending(rig)
            assert bits == 2 * is_masked, f"{what}: pending bits {bits:#x}"
            grown = rig.get(BAR0.VEC_RAISED, 1) - raised
            assert grown == (0 if waits else 3), f"{what}: VEC_RAISED has grown by {grown}"
            _raise(rig, level, obstacle, on=0)
            rig.device.advance(rig.device.now_ns + 5_000_000)
            assert messages(rig) == [1] * (waits or is_masked), f"{what}: it is not raised once at its end"
            rig.put(BAR0.VEC_INTERVAL, 0, 1)
            assert rig.get(BAR0.VEC_STATUS, 1) == 0


def _msi_pending(rig: Rig) -> int:
    return rig.device.config_read(CONFIG.MSI_PENDING.offset)


def _raise(rig: Rig, level: InterruptKind, obstacle: str, *, on: int) -> None:
    """Put an obstacle before vector 1, or take it away."""
    if obstacle == "ENABLE":
        rig.change(BAR0.VEC_CTRL, 1, ENABLE=1 - on)
    elif obstacle == "interval" and on:
        rig.device.advance(rig.device.now_ns + 1)
        rig.put(BAR0.VEC_INTERVAL, 2_000_000, 1)
        _fire(rig, 1)
        messages(rig)
    elif obstacle == "master enable":
        rig.put(BAR0.INT_CTRL, 1 - on)
    elif obstacle == "mask" and level == InterruptKind.MSIX:
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(1), on)
    elif obstacle == "mask":
        rig.device.config_write(CONFIG.MSI_MASK.offset, 2 * on)
    elif obstacle == "function mask":
        rig.configure(CONFIG.MSIX_CTRL, ENABLE=int(level == InterruptKind.MSIX), FUNCTION_MASK=on)
    elif obstacle == "Bus Master Enable":
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1 - on)


@card_case(
    manual("PCI-31", "pci"),
    "a message's number takes the place of the low bits of Message Data; more than is capable acts as that",
    level=InterruptKind.MSI,
    pairs=2,
    vectors=32,
    msi_capable_log2=3,
)
def numbers_in_message_data(rig: Rig) -> None:
    """Message Data of all ones, grants from 1 to beyond the 8 that the card is capable of, every vector."""
    assert CONFIG.MSI_CTRL.decode(rig.device.config_read(CONFIG.MSI_CTRL.offset))["CAPABLE"] == 3
    for granted, data in product(range(8), (0xFFFF, 0x1234, 0)):
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=granted)
        rig.configure(CONFIG.MSI_DATA, DATA=data)
        count = 1 << min(granted, 3)
        for vector in (0, 1, 7, 8, 9, 20, 31):
            _fire(rig, vector)
            sent = [each.data for each in rig.device.interrupts()]
            wanted = data & ~(count - 1) | vector % count
            assert sent == [wanted], (
                f"{count} granted, data {data:#x}, vector {vector}: {sent}, not {wanted:#x}"
            )
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0xFFFF_FFFF)
    _fire(rig, 31)
    assert _msi_pending(rig) == 1 << 7, f"vector 31 of 8 messages is pending as {_msi_pending(rig):#x}"
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0)


@card_case(
    manual("PCI-29", "pci"),
    "a message has what its entry says when it is sent, not what it said when it was raised",
    pairs=2,
    vectors=4,
)
def entries_that_change(rig: Rig) -> None:
    """A masked message is pending; its entry changes, word by word, with accesses of each width; it is
    unmasked."""
    entry = MSIX_TABLE.ENTRY_ADDR_LO.at(2)
    for width in (4, 8):
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(2), 1)
        _fire(rig, 2)
        assert rig.device.read(2, _PBA) == 4
        address, data = 0x1_2345_6780 + width, 0xABCD_0000 + width
        if width == 8:
            rig.device.write(2, entry, address, 8)
            rig.device.write(2, entry + 8, data, 8)
        else:
            rig.device.write(2, entry, address & 0xFFFF_FFFF | 3)
            rig.device.write(2, entry + 4, address >> 32)
            rig.device.write(2, entry + 8, data)
            rig.device.write(2, entry + 12, 0xFFFF_FFFE)
        sent = [(each.addr, each.data, each.vector) for each in rig.device.interrupts()]
        assert sent == [(address, data, 2)], f"{width} bytes at a time: {sent}"
        assert rig.device.read(2, entry + 12) == 0, "reserved bits of Vector Control are kept"
        assert rig.device.read(2, _PBA) == 0
    rig.device.write(2, entry + 13, 0xFF, 1)
    assert rig.device.read(2, entry + 12) == 0


@card_case(
    manual("PCI-30", "pci"),
    "the table has as many entries as Table Size says; what is behind them is no register",
    pairs=2,
    vectors=5,
)
def entries_that_are_not_there(rig: Rig) -> None:
    """Write and read every word behind the fifth entry, and behind the Pending Bit Array."""
    errors = rig.stat("GUEST_ERRORS")
    for offset in (*range(5 * 16, 0x400, 4), 0x1008, 0x1400, 0x1FFC):
        for width in (1, 4):
            rig.device.write(2, offset, 0xFFFF_FFFF, width)
            found = rig.device.read(2, offset, width)
            assert found == 0, f"{width} bytes at {offset:#x} of BAR2 read {found:#x}"
    assert rig.stat("GUEST_ERRORS") == errors, "accesses to BAR2 are counted as BAR0's"
    for vector in range(5):
        _fire(rig, vector)
    assert messages(rig) == list(range(5))
    through(rig)


@card_case(
    manual("PCI-27", "pci"),
    "of the line each change is told once, whatever holds it and in whatever order that ends",
    level=InterruptKind.INTX,
    pairs=2,
    vectors=4,
)
def obstacles_of_the_line(rig: Rig) -> None:
    """Two of its obstacles at once, in both orders of coming and going, with a cause and with its end."""

    def disable(on: int) -> None:
        held["INTX_DISABLE"] = on
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, INTX_DISABLE=on)

    def msi(on: int) -> None:
        rig.configure(CONFIG.MSI_CTRL, ENABLE=on)

    def msix(on: int) -> None:
        rig.configure(CONFIG.MSIX_CTRL, ENABLE=on)

    def master(on: int) -> None:
        rig.put(BAR0.INT_CTRL, 1 - on)

    held: dict[str, int] = {}
    messages(rig)
    for first, second in permutations((disable, msi, msix, master), 2):
        for is_read in (False, True):
            _fire(rig, 3)
            assert messages(rig) == [1]
            first(1)
            assert messages(rig) == [0], f"{first.__name__} does not take the line down"
            second(1)
            if is_read:
                rig.get(BAR0.INT_CAUSE)
            first(0)
            assert messages(rig) == [], f"the line moves though {second.__name__} holds it"
            second(0)
            assert messages(rig) == [1] * (not is_read), f"{second.__name__} ended, the cause read: {is_read}"
            rig.get(BAR0.INT_CAUSE)
            assert messages(rig) == [0] * (not is_read)


@card_case(
    manual("INT-1", "interrupts"),
    "a number that the card lacks gives no interrupt; fired, it is a guest error, and nothing else is",
    pairs=2,
    vectors=3,
)
def vectors_that_are_not_there(rig: Rig) -> None:
    """Fire every number; events for vectors that are not there; their registers stay as they are."""
    for vector in (*range(8), 63, 64, 128, 255):
        errors = rig.stat("GUEST_ERRORS")
        _fire(rig, vector)
        found = messages(rig)
        assert found == [vector] * (vector < 3), f"vector {vector} of 3 sends {found}"
        assert rig.stat("GUEST_ERRORS") - errors == (vector >= 3), (
            f"vector {vector} of 3 is counted, or is not"
        )
    for vector in (3, 64, 255):
        errors = rig.stat("GUEST_ERRORS")
        rig.put(BAR0.GLB_EVENT_VECTOR, vector)
        rig.device.set_link(0)
        rig.device.set_link(10_000)
        assert messages(rig) == [] and rig.stat("GUEST_ERRORS") == errors, f"events for vector {vector}"
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    rig[0].send(plain_frame(80, 1, PEER))
    assert messages(rig) == [0]
    counts = [(rig.get(BAR0.VEC_CAUSES, n), rig.get(BAR0.VEC_RAISED, n)) for n in range(3, 64)]
    assert set(counts) == {(0, 0)}, "vectors that are not there count"


@card_case(
    manual("INT-6", "interrupts"),
    "the longest interval is waited for to its end, and one that ends behind the end of time never is over",
    pairs=2,
    vectors=4,
)
def intervals_of_every_length(rig: Rig) -> None:
    """An interval of 2^32 - 1 ns; changed while it runs; intervals that begin in the last microsecond of
    time."""
    longest = 0xFFFF_FFFF
    for now in (1_000_000, (1 << 40) + 5, (1 << 63) + 7):
        rig.device.advance(now)
        for vector, interval in ((1, longest), (2, longest - 1)):
            rig.put(BAR0.VEC_INTERVAL, interval, vector)
            _fire(rig, vector, vector)
            rig.put(BAR0.VEC_INTERVAL, 1, vector)
        assert messages(rig) == [1, 2], "a vector is raised within the longest interval"
        assert rig.device.next_deadline_ns() == now + longest - 1
        rig.device.advance(now + longest - 1)
        assert messages(rig) == [2], f"at {now}: the interval of 2^32 - 2 ns is not over, or the longest is"
        rig.device.advance(now + longest)
        assert messages(rig) == [1], f"at {now}: the longest interval is not over at its end"
    last = (1 << 64) - 1_000
    rig.device.advance(last)
    rig.put(BAR0.VEC_INTERVAL, 5_000, 3)
    rig.put(BAR0.VEC_INTERVAL, 500, 0)
    _fire(rig, 3, 3, 0, 0)
    assert sorted(messages(rig)) == [0, 3], "an interval that reaches behind the end of time is over at once"
    assert rig.device.next_deadline_ns() == last + 500
    rig.device.advance(last + 998)
    assert messages(rig) == [0], "an interval that reaches behind the end of time is over"
    assert rig.device.next_deadline_ns() is None
