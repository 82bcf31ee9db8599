"""Descriptors and addresses that are wrong: the right error, no stray byte, usable after RESET."""

from __future__ import annotations

import pytest

from tests.copy.oracle_bus import PAGE
from tests.copy.pair import BAR, DATA, HOLE, LAST, READ, READ_ONLY, WRITE, WRITE_ONLY, Shape
from tests.copy.scene import COMPLETION, SLOT, Scene, completion_word, copy, slot
from vnic.function import Budget
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0, Chanerr

ALL = (1 << 64) - 1
MOST = 1 << 13
UNMAPPED, NO_READ, NO_WRITE = 0, WRITE, READ

SENSELESS: dict[str, dict[str, int]] = {
    "operation 2": {"op": 2},
    "XOR": {"op": 0x87},
    "P and Q": {"op": 0x89},
    "operation 254": {"op": 254},
    "NULL that fills": {"op": CopyOp.FILL, "null": 1},
    "NULL and CONTEXT_CHANGE": {"op": CopyOp.CONTEXT_CHANGE, "null": 1},
    "fill with a source break": {"op": CopyOp.FILL, "src_brk": 1, "next_src": DATA.addr},
    "CONTEXT_CHANGE with a source break": {"op": CopyOp.CONTEXT_CHANGE, "src_brk": 1},
    "next source off its page": {"src_brk": 1, "next_src": DATA.addr + 1},
    "next source half a page off": {"src_brk": 1, "next_src": DATA.addr + 0x800},
    "next destination off its page": {"dst_brk": 1, "next_dst": DATA.addr + 64},
    "both, one off": {"src_brk": 1, "dst_brk": 1, "next_src": DATA.addr, "next_dst": DATA.addr + 0xFFF},
    "fill, next destination off its page": {"op": CopyOp.FILL, "dst_brk": 1, "next_dst": DATA.addr + 8},
    "unknown and too long": {"op": 2, "size": ALL >> 32},
}
LENGTHS: dict[str, dict[str, int]] = {
    "nothing": {"size": 0},
    "nothing to fill": {"size": 0, "op": CopyOp.FILL},
    "one above XFERCAP": {"size": MOST + 1},
    "fill, one above XFERCAP": {"size": MOST + 1, "op": CopyOp.FILL},
    "all that 32 bits say": {"size": ALL >> 32},
    "one more than two source pages": {"size": 4097 + 4096 - 0x100, "src_brk": 1, "next_src": DATA.addr},
    "one more than two target pages": {
        "size": 8192,
        "dst_brk": 1,
        "dst": DATA.addr + 1,
        "next_dst": DATA.addr,
    },
    "fill of more than two pages": {
        **{"size": 4098, "op": CopyOp.FILL, "dst_brk": 1},
        **{"dst": DATA.addr + 4095, "next_dst": DATA.addr},
    },
}
REFUSED = {
    **{name: (fields, Chanerr.DESC_CONTROL) for name, fields in SENSELESS.items()},
    **{name: (fields, Chanerr.DESC_LENGTH) for name, fields in LENGTHS.items()},
}


def refused(scene: Scene, bit: int, bad: int, done: int) -> None:
    """The chain stops at `bad` after `done` copies, says so, and the engine goes on after RESET."""
    last = slot(done - 1) if done else 0
    scene.run()
    scene.assert_halted(bit, current=bad, last=last)
    copied = [(copy(at=n).dst, scene.old(copy(at=n).src, 256)) for n in range(done)]
    scene.assert_only([*copied, (COMPLETION, completion_word(last, ChanStatus.HALTED, has_error=True))])
    assert scene.vectors == [0]
    assert scene.config("CHANERR_INT", "ERRORS") == bit
    scene.recover()


@pytest.mark.requirement("DMA-40", "DMA-42", "DMA-46", "INV-67")
@pytest.mark.parametrize("is_overlapping", [False, True])
@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("name", REFUSED)
def test_a_descriptor_that_is_refused_moves_nothing(name: str, position: int, is_overlapping: bool) -> None:
    fields, bit = REFUSED[name]
    with Scene(Shape(transfer_log2=13, is_overlapping=is_overlapping)) as scene:
        bad = copy(at=position)
        for field, value in fields.items():
            setattr(bad, field, value)
        scene.chain(*(copy(at=n) for n in range(position)), bad, copy(at=8))
        scene.start(position + 2)
        refused(scene, bit, slot(position), position)


@pytest.mark.requirement("DMA-40")
@pytest.mark.parametrize("bit", range(43, 56))
@pytest.mark.parametrize("fields", [{}, {"null": 1}, {"op": CopyOp.CONTEXT_CHANGE}, {"size": 0}], ids=str)
def test_a_reserved_bit_is_refused(bit: int, fields: dict[str, int]) -> None:
    with Scene() as scene:
        bad = copy()
        for field, value in fields.items():
            setattr(bad, field, value)
        scene.chain(bad)
        word = int.from_bytes(scene.old(slot(0), 8), "little") | 1 << bit
        scene.pair.set(slot(0), word.to_bytes(8, "little"))
        scene.before = scene.image()
        scene.start(1)
        refused(scene, Chanerr.DESC_CONTROL, slot(0), 0)


@pytest.mark.requirement("DMA-23", "DMA-25", "DMA-40", "INV-64")
@pytest.mark.parametrize("kind", [{"null": 1}, {"op": CopyOp.CONTEXT_CHANGE}], ids=str)
@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0},
        {"size": 1},
        {"size": ALL >> 32},
        {"src": HOLE.addr, "dst": BAR},
        {"dst": ALL, "next_dst": 1},
    ],
    ids=str,
)
def test_what_moves_nothing_is_not_refused(kind: dict[str, int], fields: dict[str, int]) -> None:
    hints = {"src_snoop_dis": 1, "dst_snoop_dis": 1, "bundle": 1, "dest_dca": 1, "hint": 1}
    with Scene() as scene:
        scene.chain(CopyDescriptor(**{"size": 9, **kind, **fields, **hints, "compl_write": 1, "user2": ALL}))
        scene.start(1)
        scene.run()
        scene.assert_only([(COMPLETION, completion_word(slot(0), ChanStatus.DONE))])
        assert scene.vectors == []


@pytest.mark.requirement("DMA-40", "INV-67")
@pytest.mark.parametrize("off", [1, 8, 32, 63])
def test_a_chain_that_is_not_aligned(off: int) -> None:
    with Scene() as scene:
        scene.chain(copy())
        scene.start(1, slot(0) + off)
        refused(scene, Chanerr.CHAIN_ADDR, slot(0) + off, 0)


@pytest.mark.requirement("DMA-5", "DMA-40", "INV-67")
@pytest.mark.parametrize("off", [1, 16, 63])
@pytest.mark.parametrize("position", [1, 2])
def test_a_next_that_is_not_aligned(off: int, position: int) -> None:
    with Scene() as scene:
        chain = [copy(at=n) for n in range(position)]
        chain[-1].next = slot(position) + off
        scene.chain(*chain, copy(at=position))
        scene.start(position)
        scene.run()
        assert scene.state() == ChanStatus.DONE
        scene.before = scene.image()
        scene.count(position + 1)
        scene.run()
        scene.assert_halted(Chanerr.NEXT_ALIGN, current=slot(position) + off, last=slot(position - 1))
        scene.assert_only(
            [(COMPLETION, completion_word(slot(position - 1), ChanStatus.HALTED, has_error=True))]
        )
        scene.recover()


@pytest.mark.requirement("DMA-40", "INV-67")
@pytest.mark.parametrize(
    "where", [HOLE.addr, WRITE_ONLY.addr, BAR, BAR + 0x3FC0, PAGE, LAST.addr - SLOT], ids=hex
)
@pytest.mark.parametrize("is_overlapping", [False, True])
@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_descriptor_that_cannot_be_read(where: int, position: int, is_overlapping: bool) -> None:
    with Scene(Shape(is_overlapping=is_overlapping)) as scene:
        chain = [copy(at=n) for n in range(position)]
        for descriptor in chain[-1:]:
            descriptor.next = where
        scene.chain(*chain)
        scene.start(position + 1, slot(0) if position else where)
        refused(scene, Chanerr.NEXT_ADDR, where, position)


@pytest.mark.requirement("DMA-21", "DMA-41", "INV-67")
@pytest.mark.parametrize("permissions", [UNMAPPED, NO_READ])
@pytest.mark.parametrize("offset", [0, 1, 0x800, 0xFFF])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_page_of_the_source_that_cannot_be_read(permissions: int, offset: int, position: int) -> None:
    with Scene(Shape(transfer_log2=14)) as scene:
        source, target = DATA.addr + offset, DATA.addr + 3 * PAGE + 0x700
        size = 2 * PAGE + 0x800
        scene.chain(copy(size, src=source, dst=target))
        scene.pair.protect(DATA.addr + position * PAGE, permissions)
        before = max(position * PAGE - offset, 0)
        scene.start(1)
        scene.run()
        scene.assert_halted(Chanerr.SRC_ADDR, current=slot(0), last=0)
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        scene.assert_only([(target, scene.old(source, before)), (COMPLETION, halted)])
        scene.pair.protect(DATA.addr + position * PAGE, READ | WRITE) if permissions else None


@pytest.mark.requirement("DMA-21", "DMA-41", "INV-67")
@pytest.mark.parametrize("fill", [False, True], ids=["copy", "fill"])
@pytest.mark.parametrize("permissions", [UNMAPPED, NO_WRITE])
@pytest.mark.parametrize("offset", [0, 1, 0x800, 0xFFF])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_page_of_the_target_that_cannot_be_written(
    permissions: int, offset: int, position: int, fill: bool
) -> None:
    with Scene(Shape(transfer_log2=14)) as scene:
        source, target = DATA.addr + 0x700, DATA.addr + 3 * PAGE + offset
        size = 2 * PAGE + 0x7FF
        work = copy(size, src=source, dst=target)
        if fill:
            work.op, work.src = CopyOp.FILL, 0x8877_6655_4433_2211
        scene.chain(work)
        scene.pair.protect(DATA.addr + (3 + position) * PAGE, permissions)
        before = max(position * PAGE - offset, 0)
        scene.start(1)
        scene.run()
        scene.assert_halted(Chanerr.DEST_ADDR, current=slot(0), last=0)
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        moved = bytes(range(0x11, 0x99, 0x11)) * size if fill else scene.old(source, before)
        scene.assert_only([(target, moved[:before]), (COMPLETION, halted)])


@pytest.mark.requirement("DMA-22", "DMA-41", "INV-66", "INV-67")
@pytest.mark.parametrize("side", ["next_src", "next_dst"])
@pytest.mark.parametrize("bad", [HOLE.addr, BAR, 0], ids=hex)
def test_a_page_break_to_where_nothing_is(side: str, bad: int) -> None:
    with Scene() as scene:
        work = copy(0x200, src=DATA.addr + 0xF80, dst=DATA.addr + 4 * PAGE + 0xF40)
        work.src_brk = work.dst_brk = 1
        work.next_src, work.next_dst = DATA.addr + PAGE, DATA.addr + 2 * PAGE
        setattr(work, side, bad)
        scene.chain(work)
        scene.start(1)
        scene.run()
        bit = Chanerr.SRC_ADDR if side == "next_src" else Chanerr.DEST_ADDR
        scene.assert_halted(bit, current=slot(0), last=0)
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        scene.assert_only([(work.dst, scene.old(work.src, 0x80)), *(
            [(work.dst + 0x80, scene.old(DATA.addr + PAGE, 0x40))] if side == "next_dst" else []
        ), (COMPLETION, halted)])  # fmt: skip
        scene.recover()


@pytest.mark.requirement("DMA-41", "PCI-17", "INV-67")
@pytest.mark.parametrize("side", ["source", "target", "fill"])
def test_nothing_goes_on_at_0_behind_the_last_address(side: str) -> None:
    with Scene() as scene:
        edge, inside = LAST.end - 0x180, DATA.addr + 3 * PAGE
        work = copy(0x400, src=edge if side == "source" else inside, dst=inside if side == "source" else edge)
        if side == "fill":
            work.op, work.src = CopyOp.FILL, 0x0101_0101_0101_0101
        scene.chain(work)
        scene.start(1)
        scene.run()
        bit = Chanerr.SRC_ADDR if side == "source" else Chanerr.DEST_ADDR
        scene.assert_halted(bit, current=slot(0), last=0)
        halted = completion_word(0, ChanStatus.HALTED, has_error=True)
        moved = b"\x01" * 0x180 if side == "fill" else scene.old(work.src, 0x180)
        scene.assert_only([(work.dst, moved), (COMPLETION, halted)])
        scene.recover()


@pytest.mark.requirement("PCI-17", "INV-67")
def test_the_last_bytes_of_the_address_space_are_as_good_as_any() -> None:
    with Scene() as scene:
        work = copy(0x180, src=LAST.end - 0x180)
        scene.chain(work, copy(8, src=work.dst, dst=LAST.end - 8, compl_write=1))
        scene.start(2)
        scene.run()
        assert scene.state() == ChanStatus.DONE
        assert scene.pair.get(LAST.end - 8, 8) == scene.old(LAST.end - 0x180, 8)


@pytest.mark.requirement("DMA-41", "PCI-16", "INV-67")
@pytest.mark.parametrize("is_overlapping", [False, True])
@pytest.mark.parametrize("side", ["src", "dst"])
@pytest.mark.parametrize("addr", [BAR + 0x1000, BAR - 0x40], ids=["inside", "from before it"])
@pytest.mark.parametrize("position", [0, 2])
def test_data_in_the_own_bar(side: str, addr: int, is_overlapping: bool, position: int) -> None:
    with Scene(Shape(is_overlapping=is_overlapping)) as scene:
        scene.chain(*(copy(at=n) for n in range(position)), copy(0x100, **{side: addr}), copy(at=8))
        scene.start(position + 2)
        bit = Chanerr.SRC_ADDR if side == "src" else Chanerr.DEST_ADDR
        refused(scene, bit, slot(position), position)


@pytest.mark.requirement("DMA-40", "DMA-41", "DMA-42", "INV-67")
@pytest.mark.parametrize("where", [HOLE.addr, READ_ONLY.addr + 8, BAR + 0x90, 0, LAST.addr - 8], ids=hex)
@pytest.mark.parametrize("position", [0, 2])
def test_a_completion_that_cannot_be_written(where: int, position: int) -> None:
    with Scene() as scene:
        scene.chain(
            *(copy(at=n) for n in range(position)), copy(at=position, compl_write=1, int_en=1), copy(at=8)
        )
        scene.write("CHANCMP", where)
        scene.start(position + 2)
        scene.run()
        scene.assert_halted(Chanerr.CMPL_ADDR, current=slot(position), last=slot(position))
        scene.assert_only((copy(at=n).dst, scene.old(copy(at=n).src, 256)) for n in range(position + 1))
        assert scene.vectors == [0]
        scene.recover()


@pytest.mark.requirement("DMA-3", "DMA-52")
@pytest.mark.parametrize("loop", [1, 2, 5])
def test_a_ring_runs_until_its_count_is_used_up(loop: int) -> None:
    with Scene() as scene:
        chain = [copy(8, at=n, int_en=1) for n in range(loop)]
        chain[-1].next = slot(0)
        scene.chain(*chain)
        scene.start(3 * loop + 1)
        taken = scene.run()
        assert taken == 3 * (3 * loop + 1)
        assert (scene.state(), scene.last) == (ChanStatus.DONE, slot(0))
        scene.recover()


@pytest.mark.requirement("DMA-52")
def test_the_longest_that_a_loop_can_run() -> None:
    with Scene() as scene:
        scene.chain(CopyDescriptor(null=1, next=slot(0)))
        engine, index = scene.pair.engine, scene.index
        engine.write(0, COPY_BAR0.CHAINADDR.at(index), slot(0), 8)
        engine.write(0, COPY_BAR0.CHANCMD.at(index) + 2, 0xFFFF, 2)
        assert engine.idle_steps >= 0xFFFF
        assert engine.run(Budget(0x1_8000, ALL)) == Budget(0xFFFF, 0xFFFF * SLOT)
        assert engine.is_idle


@pytest.mark.requirement("DMA-51", "DMA-52", "RUN-4")
@pytest.mark.parametrize("steps", [0, 1, 2, 7])
@pytest.mark.parametrize("bytes_", [0, 63, 64, 100, 8192])
def test_a_loop_keeps_the_budget(steps: int, bytes_: int) -> None:
    with Scene(Shape(channels=3)) as scene:
        scene.chain(copy(5000, next=slot(0), compl_write=1))
        engine = scene.pair.engine
        for index in range(3):
            engine.write(0, COPY_BAR0.CHANCMP.at(index), COMPLETION, 8)
            engine.write(0, COPY_BAR0.CHAINADDR.at(index), slot(0), 8)
            engine.write(0, COPY_BAR0.CHANCMD.at(index) + 2, 1000, 2)
        for _ in range(20):
            used = engine.run(Budget(steps, bytes_))
            assert used.steps <= steps and used.bytes <= bytes_


@pytest.mark.requirement("DMA-5", "DMA-20")
def test_a_descriptor_that_overwrites_the_next_one() -> None:
    with Scene() as scene:
        forged = copy(16, at=3, compl_write=1)
        forged.next = slot(7)
        scene.chain(copy(SLOT, src=slot(5), dst=slot(1)), CopyDescriptor(op=99))
        scene.pair.put(slot(5), forged)
        scene.start(2)
        scene.run()
        assert (scene.state(), scene.last, scene.read("CHANERR")) == (ChanStatus.DONE, slot(1), 0)
        assert scene.pair.get(forged.dst, 16) == scene.old(forged.src, 16)


@pytest.mark.requirement("DMA-20")
def test_a_descriptor_that_overwrites_itself_is_carried_out_as_it_was() -> None:
    with Scene() as scene:
        scene.chain(copy(SLOT, dst=slot(0), compl_write=1), copy(8, at=2))
        scene.start(2)
        scene.run()
        assert (scene.state(), scene.last) == (ChanStatus.DONE, slot(1))
        assert scene.pair.get(copy(at=2).dst, 8) == scene.old(copy(at=2).src, 8)
