"""Transmit: frames, offloads, large sends, order and failures, by the requirements of spec/transmit.md."""

from __future__ import annotations

import random

import pytest

from vnic.abi import DmaStatus, Engine, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import TxContext, TxData
from vnic.gen.enums import DescType, L3Kind, TxStatus
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import large_send, udp_frame
from vnic.testbench.rig import MAC, Rig, plain_frame

NOWHERE = 0x7000_0000_0000
KINDS = {4: L3Kind.IPV4, 6: L3Kind.IPV6}
DATA = DescType.DATA


def with_bit(packed: bytes, bit: int) -> bytes:
    """The same descriptor with one bit more."""
    return (int.from_bytes(packed, "little") | 1 << bit).to_bytes(16, "little")


# ---- taking frames


@pytest.mark.requirement("TX-1")
@pytest.mark.parametrize("what", ["enable", "master"])
def test_rings_wait_while_transmit_is_off(what: str) -> None:
    def switch(on: int) -> None:
        if what == "enable":
            rig.change(BAR0.MAC_TX_CTRL, ENABLE=on)
        else:
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=on)

    with Rig() as rig:
        switch(0)
        for number in range(3):
            rig[0].send(plain_frame(number=number))
        assert rig.sent() == []
        assert rig.device.is_idle
        switch(1)
        assert rig.sent() == [plain_frame(number=number) for number in range(3)]
        assert len(rig[0].reports()) == 3


@pytest.mark.requirement("TX-1")
@pytest.mark.parametrize("steps", range(2, 6))
def test_a_frame_half_gathered_waits(steps: int) -> None:
    with Rig(manual=True) as rig:
        rig[0].send(plain_frame(200), cuts=[50, 50, 50])
        for _ in range(steps - 1):
            rig.device.step(Engine.TX)
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
        assert Engine.TX not in rig.device.runnable
        sent = len(rig.sent())
        rig.change(BAR0.MAC_TX_CTRL, ENABLE=1)
        rig.device.run()
        assert sent + len(rig.sent()) == 1
        assert [r.status for r in rig[0].reports()] == [TxStatus.OK]


@pytest.mark.requirement("TX-2")
def test_a_frame_waits_for_its_end() -> None:
    with Rig() as rig:
        rig[0].send_raw([rig[0].piece(b"a" * 30, eop=0)])
        rig[0].send_raw([rig[0].piece(b"b" * 30, eop=0)])
        assert rig.sent() == []
        assert rig.device.is_idle
        rig[0].send_raw([rig[0].piece(b"c" * 30)])
        assert rig.sent() == [b"a" * 30 + b"b" * 30 + b"c" * 30]


@pytest.mark.requirement("TX-2")
def test_frames_of_a_ring_keep_their_order() -> None:
    rng = random.Random(3)
    frames = [plain_frame(rng.randrange(60, 1500), number) for number in range(200)]
    with Rig() as rig:
        sent: list[bytes] = []
        for start in range(0, 200, 40):
            for frame in frames[start : start + 40]:
                rig[0].send(frame, cuts=[rng.randrange(1, 60) for _ in range(rng.randrange(4))], ring=False)
            rig[0].ring_tx()
            sent += rig.sent()
            rig[0].reports()
        assert sent == frames


CONTEXT = TxContext(type=DescType.CONTEXT).pack()


@pytest.mark.requirement("TX-3")
@pytest.mark.parametrize("bit", [64 + b for b in (*range(20, 28), *range(34, 64))])
def test_reserved_bits_of_data_descriptors(bit: int) -> None:
    with Rig() as rig:
        rig.assert_refused(
            [rig[0].piece(bytes(50), eop=0), with_bit(rig[0].piece(bytes(50)), bit)], TxStatus.DESCRIPTOR
        )


CONTEXT_BITS = [*range(9, 16), *range(25, 32), *range(41, 48), *range(64 + 16, 64 + 28), *range(64 + 38, 128)]


@pytest.mark.requirement("TX-3")
@pytest.mark.parametrize("bit", CONTEXT_BITS)
def test_reserved_bits_of_context_descriptors(bit: int) -> None:
    with Rig() as rig:
        rig.assert_refused([with_bit(CONTEXT, bit), rig[0].piece(bytes(60))], TxStatus.DESCRIPTOR)


@pytest.mark.requirement("TX-3")
def test_malformed_descriptors() -> None:
    with Rig() as rig:
        whole = rig[0].piece(bytes(60))
        part = rig[0].piece(bytes(60), eop=0)
        empty = rig[0].piece(b"")
        long = rig[0].piece(bytes(60), len=262145)
        malformed = [[part, CONTEXT, whole], [CONTEXT, CONTEXT, whole], [empty], [part, empty], [long]]
        for kind in (0, 3, 15):
            malformed.append([part, rig[0].piece(bytes(60), type=kind, eop=0)])
            malformed.append([rig[0].piece(bytes(60), type=kind)])
        for descriptors in malformed:
            rig.put(BAR0.STAT_CTRL, 1)
            rig.assert_refused(descriptors, TxStatus.DESCRIPTOR)


@pytest.mark.requirement("TX-4")
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 127, 128])
def test_scatter_gather(count: int) -> None:
    frame = plain_frame(9000)
    with Rig() as rig:
        for _ in range(3):  # over the end of the ring
            cuts = [7] * (count - 1)
            assert rig.transmit(frame, cuts=cuts)[0] == [frame]
        assert rig[0].get(BAR0.QP_TX_HEAD) == 3 * count % 256


@pytest.mark.requirement("TX-4")
def test_128_descriptors_with_the_context() -> None:
    with Rig() as rig:
        frame = udp_frame(bytes(3000))
        assert rig.transmit(frame, cuts=[10] * 126, l3_offset=14, ip_csum=1)[0] == [frame]


@pytest.mark.requirement("TX-4", "TX-5")
@pytest.mark.parametrize("count", [129, 130, 200, 500])
def test_too_many_descriptors(count: int) -> None:
    with Rig(tx_count=1024) as rig:
        rig.assert_refused(
            [rig[0].piece(b"xy", eop=int(n == count - 1)) for n in range(count)], TxStatus.DESCRIPTOR
        )


@pytest.mark.requirement("TX-4")
def test_too_many_descriptors_handed_over_in_pieces() -> None:
    with Rig(tx_count=1024) as rig:
        for n in range(300):
            rig[0].send_raw([rig[0].piece(b"xy", eop=int(n == 299))])
        (report,) = rig[0].reports()
        assert (report.status, report.index, report.head) == (TxStatus.DESCRIPTOR, 0, 300)
        assert rig.transmit(plain_frame())[0] == [plain_frame()]


@pytest.mark.requirement("TX-5")
def test_completions_of_reported_frames() -> None:
    with Rig() as rig:
        rig.device.advance(12345)
        for number in range(6):
            rig[0].send(plain_frame(100 + number), cuts=[20], report=number % 3 == 2)
        reports = rig[0].reports()
        assert [(r.index, r.head, r.bytes, r.frames) for r in reports] == [(4, 6, 102, 1), (10, 12, 105, 1)]
        assert {(r.status, r.time, r.queue) for r in reports} == {(TxStatus.OK, 12345, 0)}


@pytest.mark.requirement("TX-5")
def test_errors_are_reported_without_being_asked() -> None:
    with Rig() as rig:
        rig[0].send(bytes(13), report=False)
        rig[0].send(plain_frame(), report=False)
        assert [r.status for r in rig[0].reports()] == [TxStatus.LENGTH]


@pytest.mark.requirement("TX-5")
def test_rs_counts_on_the_last_descriptor_only() -> None:
    with Rig() as rig:
        rig[0].send_raw([rig[0].piece(bytes(50), eop=0, rs=1), rig[0].piece(bytes(50), rs=0)])
        assert rig[0].reports() == []
        rig[0].send_raw([rig[0].piece(bytes(50), eop=0, rs=0), rig[0].piece(bytes(50), rs=1)])
        assert len(rig[0].reports()) == 1


@pytest.mark.requirement("TX-6")
@pytest.mark.parametrize(
    ("length", "is_sent"), [(1, False), (13, False), (14, True), (9728, True), (9729, False)]
)
def test_length_limits(length: int, is_sent: bool) -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_TX_CTRL, PAD=0)
        frame = plain_frame(length)
        if is_sent:
            assert rig.transmit(frame)[0] == [frame]
        else:
            rig.assert_refused([rig[0].piece(frame)], TxStatus.LENGTH)


@pytest.mark.requirement("TX-6")
def test_lengths_do_not_wrap() -> None:
    with Rig() as rig:
        pieces = [rig[0].piece(b"x", len=262144, eop=int(n == 127)) for n in range(128)]
        rig.assert_refused(pieces, TxStatus.LENGTH)


# ---- order, waiting, failing


def bytes_by_queue(rig: Rig, until: int) -> list[list[int]]:
    """For each pair the bytes on the wire after each frame, up to a total."""
    order = [(frame.queue, len(frame.data)) for frame in rig.device.frames()]
    sums = [0] * len(rig.pairs)
    history = []
    for queue, length in order:
        sums[queue] += length
        history.append(list(sums))
        if sum(sums) >= until:
            break
    return history


@pytest.mark.requirement("TX-14")
@pytest.mark.parametrize("sizes", [(1500, 1500), (60, 1500), (1500, 9000, 60), (9000, 300, 1500, 60)])
def test_rings_share_by_bytes(sizes: tuple[int, ...]) -> None:
    each = 120_000
    with Rig(
        pairs=len(sizes), manual=True, tx_count=4096, cq_count=4096, posted=0, tx_buffer_bytes=1 << 22
    ) as rig:
        for pair, size in zip(rig.pairs, sizes, strict=True):
            address = rig.stage(plain_frame(size))
            pair.send_raw([TxData(address, size, DATA, 1, 0).pack()] * (each // size))
        rig.device.run()
        history = bytes_by_queue(rig, until=each * len(sizes) * 3 // 4)
        for sums in history:
            assert max(sums) - min(sums) <= 16384 + 2 * max(sizes)


@pytest.mark.requirement("TX-14")
def test_a_turn_is_a_quantum() -> None:
    with Rig(pairs=3, manual=True, posted=0) as rig:
        for pair in rig.pairs:
            address = rig.stage(plain_frame(4096))
            pair.send_raw([TxData(address, 4096, DATA, 1, 0).pack()] * 8)
        rig.device.run()
        queues = [frame.queue for frame in rig.device.frames()]
        assert queues == ([0] * 4 + [1] * 4 + [2] * 4) * 2


@pytest.mark.requirement("TX-14")
def test_a_large_send_is_paid_off() -> None:
    frame, context, _ = large_send(bytes(200_000), 1460)
    with Rig(pairs=2, manual=True, posted=0, tx_buffer_bytes=1 << 22) as rig:
        rig[0].send(frame, **context)
        rig[0].send(plain_frame(1000))
        address = rig.stage(plain_frame(1000))
        rig[1].send_raw([TxData(address, 1000, DATA, 1, 0).pack()] * 250)
        rig.device.run()
        queues = [f.queue for f in rig.device.frames()]
        assert queues[: 200_000 // 1460 + 1] == [0] * 137
        before = queues[137:].index(0)
        assert 190_000 <= before * 1000 <= 230_000


@pytest.mark.requirement("TX-14")
def test_an_idle_ring_saves_no_credit() -> None:
    with Rig(pairs=2, manual=True, posted=0) as rig:
        address = rig.stage(plain_frame(4096))
        one = TxData(address, 4096, DATA, 1, 0).pack()
        for _ in range(20):
            rig[0].send_raw([one])
            rig.device.run()
            rig.device.frames()
        for pair in rig.pairs:
            pair.send_raw([one] * 12)
        rig.device.run()
        queues = "".join(str(f.queue) for f in rig.device.frames())
        assert max(map(len, queues.replace("1", " ").split())) <= 4


@pytest.mark.requirement("TX-16")
def test_loopback() -> None:
    with Rig() as rig:
        rig.device.set_link(0)
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        sent, report = rig.transmit(udp_frame(b"round")[:12] + b"\x81\0\0\5" + udp_frame(b"round")[12:])
        assert (sent, report.status) == ([], TxStatus.OK)
        rig[0].send(plain_frame(20), vlan_insert=1, vlan_tci=3)
        assert len(rig[0].reports()) == 1
        assert rig.stat("TX_UNICAST_FRAMES") == rig.stat("RX_UNICAST_FRAMES") == 2
        rig.change(BAR0.GLB_CTRL, LOOPBACK=0)
        rig.device.set_link(1000)
        assert rig.transmit(plain_frame())[0] == [plain_frame()]


@pytest.mark.requirement("TX-16", "TX-15")
def test_looped_frames_arrive_tagged_and_padded() -> None:
    with Rig() as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        frame = plain_frame(20)
        rig[0].send(frame, vlan_insert=1, vlan_tci=3)
        (received,) = rig[0].take()
        assert received.data == (frame[:12] + b"\x81\0\0\3" + frame[12:]).ljust(60, b"\0")


@pytest.mark.requirement("TX-16", "TX-13")
def test_looped_large_send() -> None:
    frame, context, expected = large_send(bytes(20000), 1000)
    with Rig() as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig[0].send(frame, **context)
        assert [f.data for f in rig[0].take()] == expected


@pytest.mark.requirement("TX-16")
def test_looped_frames_refused_at_the_door_are_sent() -> None:
    with Rig() as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=0)
        _, report = rig.transmit(plain_frame())
        assert (report.status, report.frames) == (TxStatus.OK, 1)
        assert rig.stat("RX_DROP_DISABLED") == 1


@pytest.mark.requirement("TX-16", "TX-21")
def test_loopback_waits_for_room() -> None:
    with Rig(manual=True, max_frame=1514, rx_buffer_bytes=8192, tx_buffer_bytes=8192) as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
        for number in range(20):
            rig[0].send(plain_frame(1500, number), report=False)
        while rig.device.step(Engine.TX):
            pass
        assert rig.stat("TX_UNICAST_FRAMES") == 5
        rig.device.run()
        assert [f.data for f in rig[0].take()] == [plain_frame(1500, number) for number in range(20)]
        assert rig.stat("RX_DROP_BUFFER") == 0


@pytest.mark.requirement("TX-17")
def test_link_down() -> None:
    with Rig() as rig:
        rig.device.set_link(0)
        sent, report = rig.transmit(plain_frame())
        assert (sent, report.status, report.frames) == ([], TxStatus.LINK, 0)
        assert rig.counters("TX_DROP_") == {"LINK": 1}


@pytest.mark.requirement("TX-17", "RST-5")
def test_link_goes_down_in_a_large_send() -> None:
    frame, context, expected = large_send(bytes(1000), 100)
    with Rig(manual=True) as rig:
        rig[0].send(frame, cuts=[54, *[100] * 9], **context)
        while len(rig.device.frames()) == 0:
            rig.device.step(Engine.TX)
            rig.device.step(Engine.LSO)
        rig.device.set_link(0)
        rig.device.run()
        (report,) = rig[0].reports()
        assert (report.status, report.frames) == (TxStatus.LINK, 1)
        assert len(expected) == 10
        assert rig.stat("TX_LSO_SENDS") == 0


@pytest.mark.requirement("TX-18")
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_unreadable_data(bad: int) -> None:
    with Rig() as rig:
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(DMA=1))
        parts = [
            rig[0].piece(bytes(50), eop=int(n == 2), **({"addr": NOWHERE} if n == bad else {}))
            for n in range(3)
        ]
        rig.assert_refused(parts, TxStatus.DMA)
        assert rig.field(BAR0.GLB_EVENT, "DMA") == 1
        assert rig.stat("DMA_ERRORS") == 1


@pytest.mark.requirement("TX-18")
@pytest.mark.parametrize("status", [DmaStatus.ABORTED, DmaStatus.POISONED, DmaStatus.TIMEOUT])
def test_large_send_fails_in_the_middle(status: DmaStatus) -> None:
    frame, context, expected = large_send(bytes(1000), 100)
    with Rig() as rig:
        pieces = rig.stage(frame)
        first = pieces + 54 + 350
        fault = Fault(
            site=FaultSite.DMA_READ, action=FaultAction.ERROR, first=first, last=first, argument=status
        )
        with rig.device.arm(fault) as armed:
            head = TxContext(type=DescType.CONTEXT, **context).pack()
            rig[0].send_raw([head, TxData(pieces, len(frame), DATA, 1, 0).pack()])
            assert armed.fired == 1
        (report,) = rig[0].reports()
        assert (report.status, report.frames, report.bytes) == (TxStatus.DMA, 3, 3 * 154)
        assert rig.sent() == expected[:3]
        assert rig.counters("TX_DROP_") == {"DMA": 1}
        assert rig.transmit(plain_frame())[0] == [plain_frame()]


@pytest.mark.requirement("TX-21", "RUN-8")
def test_transmit_waits_for_the_link_to_take_frames() -> None:
    with Rig(max_frame=1514, rx_buffer_bytes=8192, tx_buffer_bytes=8192) as rig:
        for number in range(30):
            rig[0].send(plain_frame(1500, number))
        assert rig.device.is_idle
        sent: list[bytes] = []
        rounds = 0
        while got := rig.sent():
            assert len(got) <= 5
            sent += got
            rig.device.run()
            rounds += 1
        assert sent == [plain_frame(1500, number) for number in range(30)]
        assert rounds >= 6


@pytest.mark.requirement("TX-22")
def test_counters() -> None:
    group, all_ones = bytes.fromhex("01005e000001"), b"\xff" * 6
    large, context, expected = large_send(bytes(1000), 100)
    with Rig(pairs=2) as rig:
        for to, length in ((MAC, 70), (group, 80), (all_ones, 90), (group, 100)):
            rig[1].send(plain_frame(length, to=to))
        rig[0].send(large, **context)
        rig[0].send(plain_frame(20), vlan_insert=1)
        rig[0].send(bytes(13))
        rig[0].send(udp_frame(b"x"), l3_offset=14, ip_csum=1)
        total = sum(map(len, expected)) + 60 + 60
        counted = {
            name: (rig.stat(f"TX_{name}_FRAMES"), rig.stat(f"TX_{name}_BYTES"))
            for name in ("UNICAST", "MULTICAST", "BROADCAST")
        }
        assert counted == {
            "UNICAST": (13, 70 + total),
            "MULTICAST": (2, 180),
            "BROADCAST": (1, 90),
        }
        assert (rig[0].get(BAR0.QP_TX_FRAMES), rig[0].get(BAR0.QP_TX_BYTES)) == (12, total)
        assert (rig[1].get(BAR0.QP_TX_FRAMES), rig[1].get(BAR0.QP_TX_BYTES)) == (4, 340)
        assert rig.counters("TX_DROP_") == {"LENGTH": 1}
        assert (rig.stat("TX_LSO_SENDS"), rig.stat("TX_LSO_SEGMENTS"), rig.stat("TX_CSUM_INSERTED")) == (
            1,
            10,
            1,
        )
