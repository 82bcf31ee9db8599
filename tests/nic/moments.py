"""Moments of a card at work: each brings a rig in manual mode to where a snapshot of it is of interest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vnic.abi import Engine, InterruptKind
from vnic.gen.enums import DescType, TestOp
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.memory import GuestMemory
from vnic.testbench.frames import large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Rig

TX_CACHE = 128  # descriptors that a frame may have
OUT_MAX = 256  # interrupts that wait for the host
SMALL = 8192  # bytes of a packet buffer that is soon full
_NOTHING = bytes(1 << 16)


@dataclass(frozen=True)
class Moment:
    """How a rig is made, what is done to it, and what its snapshot is then about."""

    prepare: Callable[[Rig], None]
    options: dict[str, Any] = field(default_factory=dict)

    def rig(self) -> Rig:
        """A card at this moment."""
        rig = Rig(manual=True, **{"pairs": 2, "max_frame": 1514} | self.options)
        rig.device.run()
        rig.device.interrupts()
        self.prepare(rig)
        return rig


def step(rig: Rig, engine: Engine, count: int = 1) -> None:
    """So many steps of an engine, each of which is taken."""
    for _ in range(count):
        assert rig.device.step(engine), f"{engine.name} has nothing to do"


def copy_of_memory(rig: Rig) -> GuestMemory:
    """The same bytes, elsewhere."""
    copy = GuestMemory(rig.memory.size)
    for address, piece in pieces(rig.memory):
        if piece != _NOTHING:  # what nobody touched takes no room
            copy.write(address, piece)
    return copy


def pieces(memory: GuestMemory) -> Iterator[tuple[int, bytes]]:
    """All of a memory: addresses and bytes."""
    for address in range(memory.base, memory.base + memory.size, len(_NOTHING)):
        yield address, memory.read(address, len(_NOTHING))


# -- receive -------------------------------------------------------------------------------------------------


def begun(rig: Rig) -> None:
    """A frame accepted, descriptors fetched, nothing delivered."""
    rig.inject(plain_frame(300))
    rig.inject(plain_frame(301, 1))
    step(rig, Engine.RX)


def amid(rig: Rig) -> None:
    """A frame of five buffers after its second."""
    begun(rig)
    step(rig, Engine.RX, 2)


def amid_split(rig: Rig) -> None:
    """The header and one buffer of a TCP segment are written."""
    rig.inject(tcp_frame(bytes(range(200))))
    step(rig, Engine.RX, 2)


def header_only(rig: Rig) -> None:
    """A segment without data, split: nothing is left for the data buffer."""
    rig.inject(tcp_frame(b""))
    step(rig, Engine.RX)


def untagged(rig: Rig) -> None:
    """The tag of the frame under delivery was taken out where it lies."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
    rig.inject(tcp_frame(bytes(200), tags=[(0x8100, 0x2005)]))
    rig.inject(plain_frame(100, 1))
    step(rig, Engine.RX, 2)


def around(rig: Rig) -> None:
    """The receive buffer came around: its second frame skipped the end of the block."""
    for number in range(5):
        rig.inject(plain_frame(1400, number))
    while rig.stat("RX_UNICAST_FRAMES") < 3:
        step(rig, Engine.RX)
    rig.inject(plain_frame(1400, 5))
    rig.inject(plain_frame(200, 6))


def around_first(rig: Rig) -> None:
    """As `around`, and the frame that skipped is the one under delivery, its tag taken out."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
    tagged = tcp_frame(bytes(1300), tags=[(0x8100, 0x2005)])
    for _ in range(5):
        rig.inject(tagged)
    while rig.stat("RX_UNICAST_FRAMES") < 3:
        step(rig, Engine.RX)
    rig.inject(tagged)
    while rig.stat("RX_UNICAST_FRAMES") < 5:
        step(rig, Engine.RX)
    step(rig, Engine.RX, 2)


# -- transmit ------------------------------------------------------------------------------------------------


def fetched(rig: Rig) -> None:
    """Descriptors of three frames in the cache, none begun."""
    for number in range(3):
        rig[0].send(plain_frame(200, number), cuts=[50])
    step(rig, Engine.TX)


def gathering(rig: Rig) -> None:
    """Two of three pieces read, checksums to insert, a tag too."""
    context: dict[str, Any] = {
        "l4_csum": 1,
        "l3_offset": 14,
        "l4_offset": 34,
        "ip_csum": 1,
        "vlan_insert": 1,
        "vlan_tci": 0x0123,
    }
    rig[1].send(tcp_frame(bytes(300)), cuts=[60, 100], **context)
    rig[0].send(plain_frame(100))
    while Engine.TX in rig.device.runnable:
        step(rig, Engine.TX)
    rig[1].send(tcp_frame(bytes(300)), cuts=[60, 100], **context)
    step(rig, Engine.TX, 3)


def fill_outward(rig: Rig) -> None:
    """Frames that nobody takes, until only a small one would fit."""
    for number in range(5):
        rig[0].send(plain_frame(1400, number))
    while Engine.TX in rig.device.runnable:
        step(rig, Engine.TX)


def waiting_for_room(rig: Rig) -> None:
    """A frame read whole for which there is no room."""
    fill_outward(rig)
    rig[1].send(plain_frame(1500, 9))
    while Engine.TX in rig.device.runnable:
        step(rig, Engine.TX)


def send_large(rig: Rig, cuts: list[int], tag: int | None = None) -> None:
    """A large send of four segments on pair 0, its start taken by the transmit engine."""
    data, context, _ = large_send(bytes(range(250)) * 14, 1000, tag=tag)
    rig[0].send(data, cuts=cuts, **context)
    step(rig, Engine.TX, 2)


def in_header(rig: Rig) -> None:
    """20 of the headers' 54 bytes read."""
    send_large(rig, [20, 10, 500])
    step(rig, Engine.LSO)


def in_segment(rig: Rig) -> None:
    """One segment sent, the second part read; a tag goes into each."""
    send_large(rig, [54, 1300, 100], tag=0x0321)
    step(rig, Engine.LSO, 3)


def in_short_segment(rig: Rig) -> None:
    """The last segment, which is shorter, in the middle."""
    send_large(rig, [54, 1000, 1000, 1000, 200])
    step(rig, Engine.LSO, 5)


def full_segment(rig: Rig) -> None:
    """A segment whole, and no room for it."""
    fill_outward(rig)
    send_large(rig, [54])
    while Engine.LSO in rig.device.runnable:
        step(rig, Engine.LSO)


def refusing(rig: Rig) -> None:
    """A frame of more descriptors than the card holds: to be passed over."""
    rig[0].send_raw([rig[0].piece(bytes(8), eop=0)] * (TX_CACHE + 20))
    step(rig, Engine.TX, 5)


def skipping(rig: Rig) -> None:
    """The same, part of it passed over."""
    refusing(rig)
    step(rig, Engine.TX)


def in_debt(rig: Rig) -> None:
    """A ring that overdrew its quantum by a large send, and one whose turn it is."""
    data, context, _ = large_send(bytes(60000), 1000)
    rig[0].send(data, **context)
    while rig.device.runnable:
        rig.device.run()
        rig.device.frames()
    rig[0].send(plain_frame(200))
    rig[1].send(plain_frame(200))
    step(rig, Engine.TX, 3)


def unclosed(rig: Rig) -> None:
    """Descriptors of a frame whose end was not posted yet."""
    rig[0].send_raw([rig[0].piece(bytes(8), eop=0)] * 5)
    rig.device.run()


def sent(rig: Rig) -> None:
    """Frames on their way out of several queues."""
    for number in range(4):
        rig[number % 2].send(plain_frame(100 + number, number))
    rig.device.run()


# -- the rest ------------------------------------------------------------------------------------------------


def testing(rig: Rig) -> None:
    """A bring-up copy after its first chunk."""
    rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(10000)))
    rig.put(BAR0.TEST_DMA_SRC, rig.stage(b"\x5a" * 10000))
    rig.put(BAR0.TEST_DMA_LEN, 10000)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.COPY))
    step(rig, Engine.TEST)


def moderated(rig: Rig) -> None:
    """Vectors raised, held back and disabled, and messages that wait for the host."""
    rig.device.advance(1000)
    for _ in range(2):
        for vector in range(rig.vectors):
            rig.put(BAR0.TEST_FIRE, vector)
        if rig.device.runnable:
            rig.device.run()
    rig.put(BAR0.VEC_CTRL, 0, 1)


def masked(rig: Rig) -> None:
    """A message in the Pending Bit Array."""
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(0), 1)
    rig.put(BAR0.TEST_FIRE, 0)
    rig.put(BAR0.TEST_FIRE, 1)
    rig.device.run()


def masked_message(rig: Rig) -> None:
    """An MSI message in the Pending Bits."""
    rig.device.config_write(CONFIG.MSI_MASK.offset, 1)
    for vector in range(2):
        rig.put(BAR0.TEST_FIRE, vector)
    rig.device.run()


def line_up(rig: Rig) -> None:
    """The line asserted, told and not yet read."""
    rig.put(BAR0.TEST_FIRE, 0)
    rig.device.run()


def crowded(rig: Rig) -> None:
    """The queue of messages full, and one that waits for room in it."""
    for data in range(OUT_MAX):
        rig.device.write(2, MSIX_TABLE.ENTRY_DATA.at(0), data)
        rig.put(BAR0.TEST_FIRE, 0)
        rig.device.run()
    rig.put(BAR0.TEST_FIRE, 1)
    rig.device.run()


def scaled(rig: Rig) -> None:
    """RSS in force, with a refused commit since."""
    rig.put(BAR0.RSS_TYPES, BAR0.RSS_TYPES.mask())
    rig.put(BAR0.RSS_TABLE, 0x0001_0100)
    rig.put(BAR0.RSS_KEY, 0x1234_5678, 3)
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=2, DEFAULT_QUEUE=1))
    rig.put(BAR0.RSS_COMMIT, 1)
    rig.put(BAR0.RSS_TABLE, 0x0909_0909)
    rig.put(BAR0.RSS_COMMIT, 1)
    for port in range(4):
        rig.inject(tcp_frame(bytes(40), ports=(port, 80)))
    step(rig, Engine.RX, 3)


def stopped(rig: Rig) -> None:
    """Rings that stopped, for errors and by request."""
    rig[0].put(BAR0.QP_RX_TAIL, 0xFFFF)
    rig[0].send(plain_frame(200))
    rig.device.run()
    rig[0].put(BAR0.QP_TX_CTRL, 0)
    rig[1].put(BAR0.QP_CQ_TAIL, 0xFFFF)


def counted(rig: Rig) -> None:
    """Pairs without rings: what is left are frames received, frames sent, drops, an error, and nothing."""
    received, sending, dropping, failing, unused = rig.pairs
    for pair, action in (
        (received, lambda: rig.inject(plain_frame(100))),
        (sending, lambda: sending.send(plain_frame(100))),
    ):
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(DEFAULT_QUEUE=pair.number))
        rig.put(BAR0.RSS_COMMIT, 1)
        action()
        rig.device.run()
        pair.reset()
    for pair in (dropping, failing, unused):
        pair.reset()
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, DEFAULT_QUEUE=dropping.number))
    rig.put(BAR0.RSS_COMMIT, 1)
    rig.inject(plain_frame(100))
    rig.device.run()
    failing.put(BAR0.QP_CQ_COUNT, 3)
    failing.put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(ENABLE=1))


def misled(rig: Rig) -> None:
    """Frames refused for their descriptors."""
    rig[0].send_raw([rig[0].piece(bytes(8), type=DescType.CONTEXT)])
    rig[0].send_raw([rig[0].piece(bytes(64), type=7)])
    rig.device.run()


def removed(rig: Rig) -> None:
    """Pulled out."""
    rig.device.remove()


def asleep(rig: Rig) -> None:
    """In D3hot."""
    rig.configure(CONFIG.PM_CTRL, STATE=3)


def up(rig: Rig) -> None:
    """Up and at rest."""


_NARROW = {"buf_len": 64}
_SPLIT = {"buf_len": 64, "hdr_len": 64, "split": True}
_TIGHT = {"tx_buffer_bytes": SMALL}

MOMENTS: dict[str, Moment] = {
    "up": Moment(up),
    "begun": Moment(begun, _NARROW),
    "amid": Moment(amid, _NARROW),
    "amid_split": Moment(amid_split, _SPLIT),
    "header_only": Moment(header_only, _SPLIT),
    "untagged": Moment(untagged, _NARROW),
    "around": Moment(around, {"rx_buffer_bytes": SMALL}),
    "around_first": Moment(around_first, _NARROW | {"rx_buffer_bytes": SMALL, "rx_count": 256}),
    "fetched": Moment(fetched),
    "gathering": Moment(gathering),
    "waiting_for_room": Moment(waiting_for_room, _TIGHT),
    "in_header": Moment(in_header),
    "in_segment": Moment(in_segment),
    "in_short_segment": Moment(in_short_segment),
    "full_segment": Moment(full_segment, _TIGHT),
    "refusing": Moment(refusing),
    "skipping": Moment(skipping),
    "in_debt": Moment(in_debt),
    "unclosed": Moment(unclosed),
    "sent": Moment(sent),
    "testing": Moment(testing),
    "moderated": Moment(moderated, {"interval_ns": 5000, "vectors": 4}),
    "masked": Moment(masked),
    "masked_message": Moment(masked_message, {"level": InterruptKind.MSI}),
    "line_up": Moment(line_up, {"level": InterruptKind.INTX}),
    "all_vectors": Moment(moderated, {"interval_ns": 5000, "vectors": 64, "auto_mask": True}),
    "crowded": Moment(crowded),
    "scaled": Moment(scaled),
    "stopped": Moment(stopped),
    "counted": Moment(counted, {"pairs": 5}),
    "misled": Moment(misled),
    "removed": Moment(removed),
    "asleep": Moment(asleep),
}
