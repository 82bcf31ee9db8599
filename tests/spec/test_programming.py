"""The driver's guide: each step of spec/programming.md does what it says, from power-on to halt."""

from __future__ import annotations

import struct

import pytest

from vnic.abi import InterruptKind, Map
from vnic.device import Device
from vnic.gen.descriptors import RxCompletion, RxDesc, TxCompletion, TxContext, TxData
from vnic.gen.enums import BlockType, CompletionType, DescType, RingError, TestOp, TestResult, TxStatus
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.memory import GuestMemory
from vnic.testbench.frames import tcp_frame, udp_frame
from vnic.testbench.rig import MAC, MESSAGE_DATA, Rig, RigError, plain_frame
from vnic.wire import checksum, packet, segment

LEVELS = [InterruptKind.INTX, InterruptKind.MSI, InterruptKind.MSIX]


@pytest.mark.requirement("PROG-1", "PROG-2", "PROG-3", "PROG-6", "PROG-7", "PROG-8", "PROG-9", "PROG-10")
@pytest.mark.requirement("PROG-11", "PROG-12", "PROG-13", "PROG-14")
def test_from_power_on_to_the_first_frames_by_register_writes_alone() -> None:  # noqa: PLR0915 (the guide in one piece)
    memory = GuestMemory(1 << 20)
    with Device(queue_pairs=1, vectors=2, mac=MAC) as card:
        card.map(memory.base, memory.view, Map.READ | Map.WRITE)
        card.set_link(1000)
        base = memory.base
        assert card.read32(0) == 0xFFFF_FFFF
        # PROG-1
        card.config_write(0x44, 0)
        card.config_write(0x10, 0xC000_0000)
        card.config_write(0x14, 0)
        card.config_write(0x18, 0xC010_0000)
        card.config_write(0x1C, 0)
        card.config_write(0x04, 0x0006)
        # PROG-2
        blocks, offset = {}, 0
        while True:
            blocks[card.read32(offset)] = offset
            following = card.read32(offset + 8)
            if following == 0:
                break
            offset = following
        assert set(blocks) == set(BlockType)
        glb, mac, queue = (blocks[kind] for kind in (BlockType.GLOBAL, BlockType.MAC, BlockType.QUEUE))
        vec = blocks[BlockType.VECTOR] + 0x100
        pair = queue + 0x100
        # PROG-3
        card.write32(glb + 0x10, 1)
        # PROG-6
        table = card.window(2)
        for vector in range(2):
            for at, value in ((0, 0xFEE0_0000), (4, 0), (8, 0x30 + vector), (12, 0)):
                table.write32(16 * vector + at, value)
        card.config_write(0xB0, 0x8000_0000)
        # PROG-7
        for vector in range(2):
            card.write32(vec + 0x20 * vector + 4, 0)
            card.write32(vec + 0x20 * vector, 1)
        card.write32(glb + 0x50, 1)
        card.write32(glb + 0x4C, 0xF)
        card.write32(blocks[BlockType.INTERRUPT] + 0x20, 1)
        # PROG-8
        card.write64(pair + 0x80, base)
        card.write32(pair + 0x88, 8)
        card.write32(pair + 0x8C, 0)
        card.write32(pair + 0x94, 1)
        assert card.read32(pair + 0x94) == 1
        card.write32(pair + 0xA0, 7)
        # PROG-9
        card.write64(pair + 0x00, base + 0x1000)
        card.write32(pair + 0x08, 8)
        card.write32(pair + 0x0C, 2048)
        card.write32(pair + 0x14, 1)
        memory.write(base + 0x1000, struct.pack("<QQ", base + 0x4000, 0))
        card.write32(pair + 0x20, 1)
        # PROG-10
        card.write64(pair + 0x40, base + 0x2000)
        card.write32(pair + 0x48, 8)
        card.write32(pair + 0x54, 1)
        # PROG-11
        assert card.read64(mac + 0x20) == int.from_bytes(MAC, "little")
        card.write64(mac + 0x18, int.from_bytes(MAC, "little"))
        card.write32(mac + 0x14, 1518)
        card.write32(mac + 0x28, 3)
        card.write32(mac + 0x10, 0x3)
        # the first frame received, PROG-13 and PROG-14
        card.receive(plain_frame(200))
        assert [(i.vector, i.data) for i in card.interrupts()] == [(0, 0x30)]
        entry = RxCompletion.unpack(memory.read(base, 32))
        assert (entry.type, entry.gen, entry.sop, entry.eop) == (CompletionType.RX, 1, 1, 1)
        assert memory.read(base + 0x4000, entry.len) == plain_frame(200)
        # the first frame sent, PROG-12
        memory.write(base + 0x8000, plain_frame(300))
        memory.write(base + 0x2000, TxData(base + 0x8000, 300, DescType.DATA, 1, 1).pack())
        card.write32(pair + 0x60, 1)
        assert [frame.data for frame in card.frames()] == [plain_frame(300)]
        report = TxCompletion.unpack(memory.read(base + 32, 32))
        assert (report.type, report.gen, report.status, report.head) == (CompletionType.TX, 1, TxStatus.OK, 1)
        card.write32(pair + 0xA0, 1)
        assert card.read32(pair + 0xA0) == 1


@pytest.mark.requirement("PROG-1")
@pytest.mark.parametrize("missing", ["MEMORY", "MASTER"])
def test_both_enables_are_needed(missing: str) -> None:
    with Rig() as rig:
        rig.configure(CONFIG.COMMAND, **{"MEMORY": 1, "MASTER": 1} | {missing: 0})
        rig.inject(plain_frame())
        if missing == "MEMORY":
            assert rig.get(BAR0.GLB_TYPE) == 0xFFFF_FFFF
        else:
            assert rig[0].take() == []


@pytest.mark.requirement("PROG-3", "PROG-23")
def test_reset_leaves_nothing_of_an_earlier_driver() -> None:
    with Rig(pairs=2) as rig:
        rig.put(BAR0.RSS_TABLE, 0xFFFF_FFFF)
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        assert rig.get(BAR0.GLB_CTRL) == rig.get(BAR0.MAC_RX_CTRL) == rig.get(BAR0.RSS_TABLE) == 0
        assert [pair.get(BAR0.QP_CQ_STATUS) for pair in rig.pairs] == [0, 0]
        rig.enable_vectors()
        for pair in rig.pairs:
            pair.start()
            pair.post_rx(4)
        rig.change(BAR0.MAC_RX_CTRL, UNICAST=1, ENABLE=1)
        assert len(rig.receive(plain_frame())) == 1


@pytest.mark.requirement("PROG-4", "TEST-1", "TEST-2")
@pytest.mark.parametrize("level", LEVELS)
def test_the_card_proves_itself_alive(level: InterruptKind) -> None:
    with Rig(level=level, vectors=4) as rig:
        for value in (0, 1, 0x1234_5678, 0x8000_0001, 0xFFFF_FFFF):
            rig.put(BAR0.TEST_ECHO, value)
            assert rig.get(BAR0.TEST_ECHO) == 2 * value & 0xFFFF_FFFF
        source, target = rig.stage(bytes(range(256))), rig.stage(bytes(256))
        rig.put(BAR0.TEST_DMA_SRC, source)
        rig.put(BAR0.TEST_DMA_DST, target)
        rig.put(BAR0.TEST_DMA_LEN, 256)
        rig.put(BAR0.TEST_DMA_PATTERN, 0x4433_2211)
        results = {
            TestOp.FILL: bytes([0x11, 0x22, 0x33, 0x44]) * 64,
            TestOp.COPY: bytes(range(256)),
            TestOp.INVERT: bytes(255 - n for n in range(256)),
        }
        for op, result in results.items():
            rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))
            assert rig.get(BAR0.TEST_DMA_STATUS) == BAR0.TEST_DMA_STATUS.encode(BUSY=0, RESULT=TestResult.OK)
            assert rig.peek(target, 256) == result
        rig.get(BAR0.INT_CAUSE)
        rig.device.interrupts()
        for vector in range(4):
            rig.put(BAR0.TEST_FIRE, vector)
            (arrived,) = (i for i in rig.device.interrupts() if level != InterruptKind.INTX or i.data)
            if level == InterruptKind.INTX:
                assert rig.get(BAR0.INT_CAUSE) == 1 << vector
            else:
                assert arrived.data == MESSAGE_DATA + vector


@pytest.mark.requirement("PROG-5", "DEV-3")
def test_capacities() -> None:
    with Rig(pairs=5, vectors=9, max_frame=4000, rx_buffer_bytes=1 << 16) as rig:
        caps = BAR0.GLB_CAPS.decode(rig.get(BAR0.GLB_CAPS))
        assert caps == {"QUEUE_PAIRS": 5, "VECTORS": 9, "MULTICAST": 32, "RSS_TABLE_LOG2": 7}
        features = BAR0.GLB_FEATURES.decode(rig.get(BAR0.GLB_FEATURES))
        assert [name for name, on in features.items() if not on] == []
        limits = [
            BAR0.GLB_MAX_FRAME,
            BAR0.GLB_MAX_RING,
            BAR0.GLB_MAX_LSO,
            BAR0.GLB_MIN_MSS,
            BAR0.GLB_RX_BUFFER,
        ]
        assert [rig.get(limit) for limit in limits] == [4000, 32768, 262144, 64, 65536]


@pytest.mark.requirement("PROG-6", "PROG-7")
@pytest.mark.parametrize("level", LEVELS)
def test_each_level_announces_traffic(level: InterruptKind) -> None:
    with Rig(pairs=3, level=level) as rig:
        rig.get(BAR0.INT_CAUSE)
        rig.device.interrupts()
        rig[2].send(plain_frame())
        (interrupt,) = rig.device.interrupts()
        assert interrupt.kind == level
        if level == InterruptKind.INTX:
            assert rig.get(BAR0.INT_CAUSE) == 1 << 2
        else:
            assert interrupt.vector == 2


@pytest.mark.requirement("PROG-8")
def test_a_ring_that_does_not_start_says_why() -> None:
    with Rig(cq_count=8) as rig:
        rig[0].reset()
        rig.cq_count = 12
        with pytest.raises(RigError, match="BAD_COUNT"):
            rig[0].start_cq()
        rig.cq_count = 8
        with pytest.raises(RigError, match="NO_CQ"):
            rig[0].start_rx()
        rig[0].start()
        assert rig[0].error(BAR0.QP_CQ_STATUS) == RingError.NONE


@pytest.mark.requirement("PROG-9")
def test_descriptors_are_handed_over_after_they_are_written() -> None:
    with Rig(posted=0) as rig:
        address = rig.stage(bytes(2048))
        rig[0].rx_memory.view[:16] = RxDesc(address, 0).pack()
        rig.inject(plain_frame())
        assert rig.stat("RX_DROP_NO_DESCRIPTOR") == 1
        rig[0].put(BAR0.QP_RX_TAIL, 1)
        rig.inject(plain_frame())
        assert rig.peek(address, 100) == plain_frame()


@pytest.mark.requirement("PROG-12")
def test_a_full_transmit_ring_has_one_descriptor_less() -> None:
    with Rig(tx_count=8) as rig:
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
        for number in range(7):
            rig[0].send(plain_frame(number=number))
        assert rig[0].get(BAR0.QP_TX_HEAD) == 0
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=1)
        assert [report.head for report in rig[0].reports()] == list(range(1, 8))
        assert len(rig.sent()) == 7


@pytest.mark.requirement("PROG-13")
def test_slots_go_back_in_one_write() -> None:
    with Rig(cq_count=16) as rig:
        for _ in range(3):
            for number in range(15):
                rig[0].send(plain_frame(number=number))
            assert len(rig[0].poll(give_back=False)) == 15
            assert rig[0].get(BAR0.QP_CQ_HEAD) == rig[0].get(BAR0.QP_CQ_TAIL)
            rig[0].give_back()
        assert len(rig.sent()) == 45


@pytest.mark.requirement("PROG-14")
def test_frames_are_put_together() -> None:
    with Rig(split=True, buf_len=100) as rig:
        frames = [tcp_frame(bytes(range(250))), udp_frame(), plain_frame(333), tcp_frame(bytes(100))]
        for frame in frames:
            rig.inject(frame)
        assert [received.data for received in rig[0].take()] == frames


@pytest.mark.requirement("PROG-16", "DEV-5")
def test_event_service() -> None:
    with Rig(pairs=2) as rig:
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.interrupts()
        rig.device.set_link(0)
        rig[1].put(BAR0.QP_RX_TAIL, 0xFFFF)
        assert {interrupt.vector for interrupt in rig.device.interrupts()} == {2}
        seen = rig.get(BAR0.GLB_EVENT)
        rig.put(BAR0.GLB_EVENT, seen)
        assert BAR0.GLB_EVENT.decode(seen) == {"LINK": 1, "RING": 1, "DMA": 0, "TEST": 0, "CHIMNEY": 0}
        assert (rig.field(BAR0.GLB_STATUS, "LINK_UP"), rig.get(BAR0.GLB_SPEED)) == (0, 0)
        failed = [pair for pair in rig.pairs if pair.error(BAR0.QP_RX_STATUS)]
        assert failed == [rig[1]]
        rig[1].put(BAR0.QP_RX_CTRL, BAR0.QP_RX_CTRL.encode(RESET=1))
        rig[1].start_rx()
        assert rig[1].error(BAR0.QP_RX_STATUS) == RingError.NONE
        assert rig.get(BAR0.GLB_EVENT) == 0


@pytest.mark.requirement("PROG-17")
def test_a_new_interval_takes_effect_at_the_next_interrupt() -> None:
    with Rig(interval_ns=1000) as rig:
        rig.inject(plain_frame())
        rig.put(BAR0.VEC_INTERVAL, 10, 0)
        rig.inject(plain_frame())
        assert rig.device.next_deadline_ns() == 1000
        rig.device.advance(1000)
        rig.inject(plain_frame())
        assert rig.device.next_deadline_ns() == 1010


@pytest.mark.requirement("PROG-18")
def test_rss_is_committed_and_checked() -> None:
    with Rig(pairs=2) as rig:
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=0))
        rig.put(BAR0.RSS_TYPES, BAR0.RSS_TYPES.encode(TCP_IPV4=1))
        rig.put(BAR0.RSS_TABLE, 1)
        rig.put(BAR0.RSS_COMMIT, 1)
        assert rig.get(BAR0.RSS_STATUS) == BAR0.RSS_STATUS.encode(ACTIVE=1, GENERATION=1)
        rig.inject(tcp_frame())
        assert [len(pair.take()) for pair in rig.pairs] == [0, 1]
        rig.put(BAR0.RSS_TABLE, 2)
        rig.put(BAR0.RSS_COMMIT, 1)
        assert rig.get(BAR0.RSS_STATUS) == BAR0.RSS_STATUS.encode(ACTIVE=1, REFUSED=1, GENERATION=1)


@pytest.mark.requirement("PROG-19")
def test_header_split_is_turned_on_between_stop_and_start() -> None:
    with Rig(hdr_len=128) as rig:
        rig[0].put(BAR0.QP_RX_CTRL, 0)
        rig.change(BAR0.MAC_RX_CTRL, HEADER_SPLIT=1)
        rig[0].start_rx()
        rig[0].post_rx(5)
        (received,) = rig.receive(tcp_frame(b"payload"))
        assert (len(received.header), received.payload) == (54, b"payload")


@pytest.mark.requirement("PROG-20")
def test_large_send_and_checksum_offload_seeds() -> None:
    source, to = (packet.packed(address) for address in ("192.0.2.1", "198.51.100.2"))
    with Rig() as rig:
        template = tcp_frame(field=segment.seed_of(source, to))
        sent, report = rig.transmit(
            template + bytes(3000), lso=1, mss=1000, hdr_len=54, l3_offset=14, l4_offset=34
        )
        assert (report.status, report.frames) == (TxStatus.OK, 3)
        assert sent == segment.segment(template, bytes(3000), 1000, l4_offset=34)
        seed = checksum.total(checksum.pseudo(source, to, packet.TCP, 120))
        sent, _ = rig.transmit(tcp_frame(bytes(100), field=seed), l3_offset=14, l4_offset=34, l4_csum=1)
        assert sent == [tcp_frame(bytes(100))]


@pytest.mark.requirement("PROG-21", "DEV-6")
def test_halt() -> None:
    with Rig(pairs=2, manual=True) as rig:
        for number in range(5):
            rig.inject(plain_frame(number=number))
            rig[1].send(plain_frame(number=number))
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=0)
        assert rig.field(BAR0.GLB_STATUS, "IDLE") == 0
        rig.device.run()
        assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1
        assert len(rig[0].take()) == len(rig.sent()) == len(rig[1].reports()) == 5
        for pair in rig.pairs:
            for control in (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL):
                pair.put(control, 0)
        rig.put(BAR0.INT_CTRL, 0)
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        rig.configure(CONFIG.COMMAND, MEMORY=1)
        rig.device.unmap_all()
        rig.device.interrupts()
        rig.inject(plain_frame())
        assert rig.device.run().steps == 0
        assert rig.device.interrupts() == []
        assert rig.stat("DMA_ERRORS") == 0


@pytest.mark.requirement("PROG-22")
def test_one_pair_is_reset_while_the_other_works() -> None:
    with Rig(pairs=2) as rig:
        for number in range(10):
            rig[1].send(plain_frame(number=number))
            if number == 5:
                rig[0].reset()
                rig[0].start()
                rig[0].post_rx(10)
            rig.inject(plain_frame(number=number))
        assert len(rig.sent()) == 10
        assert [f.data for f in rig[0].take()] == [plain_frame(number=number) for number in range(5, 10)]


@pytest.mark.requirement("PROG-24")
@pytest.mark.parametrize("level", LEVELS)
def test_configuration_is_restored_after_a_function_level_reset(level: InterruptKind) -> None:
    with Rig(level=level) as rig:
        rig.configure(CONFIG.DEVCTL, FLR=1)
        rig.device.interrupts()
        assert rig.device.config_read(CONFIG.COMMAND.offset) & 6 == 0
        rig.bring_up(8)
        assert len(rig.receive(plain_frame())) == 1
        assert {interrupt.kind for interrupt in rig.device.interrupts()} == {level}


@pytest.mark.requirement("PROG-12", "PROG-20")
def test_context_is_first() -> None:
    with Rig() as rig:
        rig[0].send_raw(
            [
                TxContext(type=DescType.CONTEXT, vlan_insert=1, vlan_tci=5).pack(),
                TxData(rig.stage(plain_frame()), 100, DescType.DATA, 1, 1).pack(),
            ]
        )
        assert rig.sent() == [plain_frame()[:12] + b"\x81\0\0\5" + plain_frame()[12:]]
        assert rig.device.read(2, MSIX_TABLE.ENTRY_CTRL.at(0), 4) == 0
