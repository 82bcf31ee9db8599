"""A driver of the card: one queue pair, one interrupt. How it grows is told in docs/first_driver.md."""

from __future__ import annotations

from collections import deque

from vnic.gen.descriptors import RxCompletion, RxDesc, TxCompletion, TxData
from vnic.gen.enums import CompletionType, DescType, RxError, TxStatus
from vnic.gen.registers import BAR0, GlbEvent, VecCtrl
from vnic.host.bus import Direction, Segment
from vnic.miniport.bringup import bring_up, reset_device
from vnic.miniport.filters import ReceiveFilter
from vnic.miniport.link import LinkMonitor
from vnic.miniport.registers import ALL_ONES
from vnic.miniport.ring import CompletionRing, DescriptorRing
from vnic.miniport.statistics import Statistics
from vnic.ndis.keywords import Settings
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList
from vnic.ndis.plain_miniport import PlainMiniport
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, StatisticsInfo

RING, BUFFER, FRAME_MIN, SERVED = 128, 2048, 14, VecCtrl.ENABLE | VecCtrl.AUTO_MASK
STATES = (BAR0.QP_CQ_STATUS, BAR0.QP_RX_STATUS, BAR0.QP_TX_STATUS)
ENDS = {int(TxStatus.OK): NDIS_STATUS.SUCCESS, int(TxStatus.LINK): NDIS_STATUS.MEDIA_DISCONNECTED}


class Minimal(PlainMiniport):
    def open(self, settings: Settings) -> tuple[bytes, bytes, LinkState]:
        self.registers, card = bring_up(self.bus)  # PROG-1 to PROG-5
        self.undo.callback(self.bus.disable_device)
        station = settings.network_address or card.permanent_address
        self.filter = ReceiveFilter(self.registers, station, self.frame_max, card.multicast)
        self.link, self.counters = LinkMonitor(self.registers), Statistics(self.registers)
        self.allocate()
        self.connect()  # PROG-6
        self.filter.program()
        return card.permanent_address, station, self.link.state

    def allocate(self) -> None:
        self.spare: deque[Mdl] = deque()  # receive buffers that nobody has
        self.given: deque[tuple[Mdl, list[Segment]]] = deque()  # those that the card has, mapped
        self.rx = self.own(DescriptorRing(self.bus, RING, RxDesc.SIZE))
        self.tx = self.own(DescriptorRing(self.bus, RING, TxData.SIZE))
        self.cq = self.own(CompletionRing(self.bus, 2 * RING))
        self.out = self.coherent(RING * BUFFER)  # sends are copied here
        for _ in range(RING - 1):
            buffer = self.own(self.memory.alloc(BUFFER, align=BUFFER))
            self.spare.append(Mdl(buffer.view, buffer.address))
        self.undo.callback(self.reclaim)
        self.undo.callback(self.quiet)  # PROG-21

    def quiet(self) -> None:
        if not self.is_gone:
            reset_device(self.registers)

    def restart_rings(self) -> bool:
        self.registers.write(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1))  # PROG-22
        self.reclaim()
        for ring in (self.rx, self.tx, self.cq):
            ring.clear()
        for register, value in (
            (BAR0.QP_CQ_BASE, self.cq.memory.addr), (BAR0.QP_CQ_COUNT, 2 * RING), (BAR0.QP_CQ_CTRL, 1),
            (BAR0.QP_CQ_TAIL, 2 * RING - 1), (BAR0.QP_RX_BASE, self.rx.memory.addr), (BAR0.QP_RX_COUNT, RING),
            (BAR0.QP_RX_BUF_LEN, BUFFER), (BAR0.QP_RX_CTRL, 1), (BAR0.QP_TX_BASE, self.tx.memory.addr),
            (BAR0.QP_TX_COUNT, RING), (BAR0.QP_TX_CTRL, 1), (BAR0.MAC_TX_CTRL, 3), (BAR0.VEC_CTRL, SERVED),
            (BAR0.GLB_EVENT_ENABLE, GlbEvent.LINK | GlbEvent.RING), (BAR0.INT_CTRL, 1),  # PROG-7
        ):  # fmt: skip
            self.registers.write(register, value)  # PROG-8 to PROG-11
        self.refill()
        return all(self.registers.read(state) & 1 for state in STATES)

    def refill(self) -> None:
        before = self.rx.tail
        while self.spare and not self.is_gone:
            mdl = self.spare.popleft()
            segments = self.bus.map(mdl.address, BUFFER, Direction.FROM_DEVICE)
            self.given.append((mdl, segments))
            self.rx.put(RxDesc(segments[0].addr).pack())
        if self.rx.tail != before:
            self.registers.write(BAR0.QP_RX_TAIL, self.rx.tail_index)

    def take(self) -> Mdl:
        mdl, segments = self.given.popleft()
        self.bus.unmap(segments, Direction.FROM_DEVICE)
        self.rx.head += 1
        return mdl

    def reclaim(self) -> None:
        self.spare.extend([self.take() for _ in range(len(self.given))])

    def listen(self, packet_filter: int) -> None:
        self.filter.is_open = self.is_running
        self.filter.set_packet_filter(packet_filter)  # PROG-11

    def subscribe(self, multicast: bytes) -> None:
        self.filter.set_multicast(multicast)

    def recycle(self, nbls: list[NetBufferList]) -> None:
        self.spare.extend(mdl for nbl in nbls for buffer in nbl.net_buffers() if (mdl := buffer.mdl_chain))
        self.refill()

    def is_raised(self) -> bool:
        return self.registers.read(BAR0.INT_CAUSE) != 0  # PROG-15

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        events = 0 if self.is_gone else self.registers.read(BAR0.GLB_EVENT)  # PROG-16
        if events == ALL_ONES:
            self.lose(tells=True)
        elif events:
            self.registers.write(BAR0.GLB_EVENT, events)
            self.tell(self.link.news(self.handle))
            if events & GlbEvent.RING:
                self.handle.m_reset_miniport()
        self.poll()
        if not self.is_gone:
            self.registers.write(BAR0.VEC_CTRL, SERVED)

    def poll(self) -> None:  # PROG-13, PROG-14
        sent, received = list[NDIS_STATUS](), list[NetBufferList]()
        while (at := self.cq.next_offset()) is not None:
            entry = RxCompletion.unpack(self.cq.memory.view, at)
            if entry.type == CompletionType.TX:
                done = TxCompletion.unpack(self.cq.memory.view, at)
                self.tx.head += min((done.head - self.tx.head) % RING, self.tx.tail - self.tx.head)
                sent.append(ENDS.get(done.status, NDIS_STATUS.FAILURE))
            elif entry.type != CompletionType.RX or not self.given or entry.index != self.rx.head % RING:
                self.handle.m_reset_miniport()  # no card that works writes that
            elif entry.error != RxError.NONE or not FRAME_MIN <= entry.len <= BUFFER:
                self.spare.append(self.take())
            else:
                received.append(NetBufferList(NetBuffer(self.take(), 0, entry.len), self.handle))
        if (tail := self.cq.tail_to_announce()) is not None and not self.is_gone:
            self.registers.write(BAR0.QP_CQ_TAIL, tail)
        self.report(sent)
        self.indicate(received)
        self.refill()

    def transmit(self, packet: NetBuffer) -> bool:
        if not self.tx.room:
            return False
        start = self.tx.tail_index * BUFFER
        self.out.view[start : start + packet.data_length] = packet.data()
        self.tx.put(TxData(self.out.addr + start, packet.data_length, DescType.DATA, eop=1, rs=1).pack())
        self.registers.write(BAR0.QP_TX_TAIL, self.tx.tail_index)  # PROG-12
        return True

    def statistics(self) -> StatisticsInfo:
        return self.counters.info()
