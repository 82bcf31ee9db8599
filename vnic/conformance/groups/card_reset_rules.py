"""What the levels of reset reset, row by row of the manual's table, with everything different from its
reset value."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from vnic.abi import EventType, InterruptKind
from vnic.conformance.card_drive import LEVELS, reset
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages, through
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Pair, Rig

_MOVES = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT)


def come_up(rig: Rig) -> None:
    """From the start, with memory of its own."""
    rig.device.is_manual = False
    for pair in rig.pairs:
        for memory in (pair.rx_memory, pair.tx_memory, pair.cq_memory, pair.buffers, pair.headers):
            memory.free()
    rig.pairs = [Pair(rig, number) for number in range(len(rig.pairs))]
    rig.bring_up(rig.rx_count - 1)
    rig.device.frames()
    messages(rig)


def _words(rig: Rig) -> Iterator[tuple[str, int, int]]:
    """Name, offset and reset value of words of BAR0 but the chimney's: of an array the ends and the
    middle."""
    perm = int.from_bytes(MAC, "little")
    for register in BAR0.MAP:
        if register.name.startswith("CH"):
            continue
        reset_value = perm if register.name == "MAC_ADDR" else register.reset
        for index in sorted({0, 1 % register.count, register.count // 2, register.count - 1}):
            for half in range(register.bytes // 4):
                word = reset_value >> 32 * half & 0xFFFF_FFFF
                yield f"{register.name}[{index}]", register.at(index) + 4 * half, word


#: What no reset changes, or what reading changes.
_OWN = ("GLB_STATUS", "GLB_SPEED", "GLB_TIME", "GLB_CAPS", "GLB_FEATURES", "GLB_MAX_FRAME", "GLB_RX_BUFFER",
        "MAC_PERM_ADDR", "STAT_GUEST_ERRORS")  # fmt: skip
#: What would set off more than a value: doorbells, commands, and the ends of rings.
_ACTS = ("GLB_CTRL", "RSS_COMMIT", "STAT_CTRL", "TEST_FIRE", "TEST_DMA_CMD", "GLB_EVENT[")


def _disturb(rig: Rig) -> None:
    """Counters of every kind that count, events, causes; then every word that can be written is written."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1, ALL_MULTICAST=1)
    for to in (MAC, b"\xff" * 6, bytes.fromhex("01005e000001")):
        rig.inject(tcp_frame(b"x", to=to))
        rig[0].send(plain_frame(90, 1, to))
    rig.inject(plain_frame(5))
    rig.inject(tcp_frame(b"x", field=1))
    rig[0].send_raw([rig[0].piece(b"short")])
    data, context, _ = large_send(bytes(300), 100)
    rig[1].send(data, **context)
    rig.device.read(0, 0x60)
    rig.put(BAR0.TEST_FIRE, 60)
    rig[1].send_raw([rig[1].piece(b"x" * 60, addr=0x7000_0000)])
    rig[1].put(BAR0.QP_TX_TAIL, 0xFFFF)
    for number in range(len(rig.pairs)):
        rig.put(BAR0.QP_CQ_CTRL, 0, number)
    rig.device.frames()
    for name, offset, _ in _words(rig):
        if not name.startswith((*_ACTS, "QP_RX_CTRL", "QP_TX_CTRL", "QP_CQ_CTRL")) and "TAIL" not in name:
            rig.device.write(0, offset, 0xA5A5_A5A5 | 1)


@card_case(
    manual("RST-1", "reset"),
    "every word behind BAR0 has its reset value after a reset of each level, whatever was in it",
    pairs=2,
    vectors=4,
)
def every_word_after_a_reset(rig: Rig) -> None:
    """Traffic, errors, and every register full of ones; then each level; every word, and what stays, is
    read."""
    for level in LEVELS:
        _disturb(rig)
        rig.device.advance(rig.device.now_ns + 1_000)
        reset(rig, level)
        rig.power_up()
        errors = rig.stat("GUEST_ERRORS")
        wrong = [
            f"{name} 0x{found:x}"
            for name, offset, wanted in _words(rig)
            if not name.startswith(_OWN) and (found := rig.device.read(0, offset)) != wanted
        ]
        assert not wrong, f"{level} reset, {len(wrong)} words: {', '.join(wrong[:6])}"
        assert errors == 0, f"{level} reset: STAT_GUEST_ERRORS is {errors}"
        stays = (rig.field(BAR0.GLB_STATUS, "LINK_UP"), rig.get(BAR0.GLB_SPEED), rig.get(BAR0.GLB_TIME))
        assert stays == (1, 10_000, rig.device.now_ns), f"{level} reset: link, speed and time are {stays}"
        assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1
        assert rig.get(BAR0.MAC_PERM_ADDR) == int.from_bytes(MAC, "little")
        come_up(rig)
        through(rig)


def _work(rig: Rig) -> None:
    """Something for every engine, and more of it than a few steps do."""
    rig.device.is_manual = True
    for frame in frames(3, 700):
        rig.inject(frame)
    data, context, _ = large_send(bytes(3000), 700)
    rig[0].send(data, cuts=[54, 900], **context)
    rig[1].send(plain_frame(300, 1, PEER), cuts=[100, 100])
    rig[1].send(plain_frame(300, 2, PEER))
    rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(9000)))
    rig.put(BAR0.TEST_DMA_LEN, 9000)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))
    rig.put(BAR0.TEST_FIRE, 1)


@card_case(
    manual("RST-11", "reset"),
    "at every level nothing that was accepted before is read, written, sent or completed after it",
    pairs=2,
    vectors=4,
    buf_len=256,
)
def work_before_a_reset(rig: Rig) -> None:
    """Every engine has work; each level of reset after 0 to 15 steps of it; it comes up again (RST-3)."""
    for level, steps in product(LEVELS, (0, 4, 9, 15)):
        _work(rig)
        for number in range(steps):
            runnable = rig.device.runnable
            if runnable:
                rig.device.step(runnable[number * (steps & 1) % len(runnable)])
        reset(rig, level)
        what = f"{level} reset after {steps} steps"
        assert rig.device.frames() == [], f"{what}: a frame that the link had not taken leaves"
        assert not rig.device.runnable, f"{what}: {rig.device.runnable} could go on"
        told: list[Event] = []
        with rig.device.observe(told.append, _MOVES):
            rig.power_up()
            rig.put(BAR0.MAC_TX_CTRL, BAR0.MAC_TX_CTRL.encode(ENABLE=1))
            rig.put(BAR0.INT_CTRL, 1)
            for vector in range(4):
                rig.put(BAR0.VEC_CTRL, 1, vector)
            rig.device.run()
            rig.device.advance(rig.device.now_ns + 10_000_000)
            rig.device.run()
        assert not told, f"{what}: {told[0].type.name}"
        come_up(rig)
        through(rig)


@card_case(
    manual("PCI-23", "pci"),
    "interrupts that had left the card arrive after each reset but a power cycle; the line falls once",
    pairs=2,
    vectors=4,
)
def interrupts_that_had_left(rig: Rig) -> None:
    """Messages, and a line that is up, that nobody took yet: each level of reset, then take what is there."""
    for level, kind in product(LEVELS, InterruptKind):
        rig.set_level(kind)
        rig.get(BAR0.INT_CAUSE)
        messages(rig)
        for vector in (2, 0, 2):
            rig.put(BAR0.TEST_FIRE, vector)
        reset(rig, level)
        is_lost = level in ("power", "removal")
        found = [each.data for each in rig.device.interrupts()]
        if kind == InterruptKind.INTX:
            wanted = [0] if is_lost else [1, 0]
        else:
            wanted = [] if is_lost else [0x42, 0x40, 0x42]
        assert found == wanted, f"{level} reset, {kind.name}: {found}, not {wanted}"
        come_up(rig)
        rig.set_level(InterruptKind.MSIX)


@card_case(
    manual("RST-4", "reset"),
    "RESET of the completion ring wins over its ENABLE, forgets all three rings and their errors, and no "
    "more",
    pairs=2,
)
def resets_of_pairs(rig: Rig) -> None:
    """Errors in all three rings of pair 1, frames waiting and in the link's buffer; RESET with ENABLE;
    start."""
    names = [
        each.name
        for each in BAR0.MAP
        if each.name.startswith("QP_") and each.name.endswith(("COUNT", "BASE"))
    ]
    for fields in ({"RESET": 1}, {"RESET": 1, "ENABLE": 1}):
        through(rig)
        rig.device.is_manual = True
        rig[0].send(plain_frame(70, 1, PEER))
        rig.device.run()
        kept = {name: rig.get(BAR0.MAP[name], 1) for name in (*names, "QP_RX_BUF_LEN", "QP_CQ_VECTOR")}
        for ring in ("RX", "TX", "CQ"):
            rig[1].put(BAR0.MAP[f"QP_{ring}_TAIL"], 0x8000)
        counters = rig.counters("RX_"), rig.counters("TX_"), rig.stat("GUEST_ERRORS")
        rig[1].put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(**fields))
        for ring in ("RX", "TX", "CQ"):
            words = [rig[1].get(BAR0.MAP[f"QP_{ring}_{name}"]) for name in ("CTRL", "STATUS", "HEAD", "TAIL")]
            assert words == [0] * 4, f"{ring} after {fields}: CTRL, STATUS, HEAD and TAIL are {words}"
        now = {name: rig.get(BAR0.MAP[name], 1) for name in kept}
        assert now == kept, "the configuration went with the reset"
        assert (rig.counters("RX_"), rig.counters("TX_"), rig.stat("GUEST_ERRORS")) == counters
        assert rig.sent() == [plain_frame(70, 1, PEER)], "a frame that the link had not taken went with it"
        rig.device.is_manual = False
        rig[0].poll()
        rig.pairs[1] = Pair(rig, 1)
        rig[1].start()
        rig[1].post_rx(8)


@card_case(
    manual("RST-8", "reset"),
    "a card that is gone reads all ones at every offset, and what is written to it is written nowhere",
    pairs=2,
    vectors=4,
)
def a_card_that_is_gone(rig: Rig) -> None:
    """Read and write with each width; put it in: everything is as new (PCI-24, PCI-25)."""
    rig.put(BAR0.TEST_FIRE, 1)
    rig.device.remove()
    for offset, width in product((0, 0x10, 0x118, 0x590, 0x1000, 0xFFF8), (1, 2, 4, 8)):
        found = rig.device.read(0, offset, width)
        assert found == (1 << 8 * width) - 1, f"{width} bytes at {offset:#x} of BAR0 read {found:#x}"
        rig.device.write(0, offset, 0x77, width)
        assert rig.device.read(2, offset & 0xFF8, width) == (1 << 8 * width) - 1
        rig.device.write(2, offset & 0xFF8, 0x77, width)
    for offset, width in product((0, 4, 0x3C, 0x44, 0x100, 0xFFC), (1, 2, 4)):
        found = rig.device.config_read(offset, width)
        assert found == (1 << 8 * width) - 1, (
            f"{width} bytes at {offset:#x} of configuration space: {found:#x}"
        )
        rig.device.config_write(offset, 0x77, width)
    assert rig.inject(plain_frame(100)) == 1, "a card that is gone takes a frame"
    assert not rig.device.runnable and messages(rig) == [] and rig.device.next_deadline_ns() is None
    rig.device.insert()
    assert messages(rig) == [], "what was not taken when the card was pulled arrives"
    found_words = {
        offset: rig.device.config_read(offset)
        for register in CONFIG.MAP
        for offset in register.offsets()
        if register.mask("rw", "w1c") and not register.name.startswith(("BAR", "CHANERR"))
    }
    for register in CONFIG.MAP:
        mask = register.mask("rw", "w1c")
        for offset in register.offsets():
            if offset in found_words:
                word = found_words[offset] & mask
                assert word == register.reset & mask, f"{register.name} after insertion is {word:#x}"
    table = [rig.device.read(2, MSIX_TABLE.ENTRY_CTRL.at(n)) for n in range(4)]
    assert table == [0xFFFF_FFFF] * 4, "BAR2 answers though COMMAND was reset"
    rig.power_up()
    assert [rig.device.read(2, MSIX_TABLE.ENTRY_CTRL.at(n)) for n in range(4)] == [1] * 4
    come_up(rig)
    through(rig)


@card_case(
    manual("PCI-21", "pci"),
    "a Function Level Reset is carried out in D3hot too, and ends it; one that is not asked for is none",
    pairs=2,
    vectors=4,
)
def function_level_resets_in_d3hot(rig: Rig) -> None:
    """FLR by a byte and by a word, in D0 and in D3hot; DEVCTL written without it; then come up."""
    for state, (at, width) in product((0, 3), ((0, 2), (1, 1))):
        _work(rig)
        rig.device.config_write(CONFIG.INTERRUPT.offset, 0x5A, 1)
        rig.configure(CONFIG.PM_CTRL, STATE=state)
        word = CONFIG.DEVCTL.encode(MRRS=3)
        rig.device.config_write(CONFIG.DEVCTL.offset, word, 2)
        line = rig.device.config_read(CONFIG.INTERRUPT.offset, 1)
        assert line == 0x5A, "DEVCTL without FLR resets the function"
        word |= CONFIG.DEVCTL.encode(FLR=1)
        rig.device.config_write(CONFIG.DEVCTL.offset + at, word >> 8 * at, width)
        found = [
            rig.device.config_read(CONFIG.PM_CTRL.offset) & 3,
            rig.device.config_read(CONFIG.INTERRUPT.offset, 1),
            rig.device.config_read(CONFIG.BAR.at(0)),
            rig.device.config_read(CONFIG.DEVCTL.offset, 2),
        ]
        wanted = [0, 0xFF, 4, CONFIG.DEVCTL.reset & 0xFFFF]
        assert found == wanted, f"FLR in PowerState {state}: PowerState, line, BAR0, DEVCTL are {found}"
        assert not rig.device.runnable and rig.device.frames() == []
        come_up(rig)
        through(rig)
