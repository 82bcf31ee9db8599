"""Sending on one queue: NBLs wait, become descriptors when there is room, and come back completed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from vnic.errors import AllocationError, CapacityError
from vnic.gen.descriptors import TxCompletion, TxContext, TxData
from vnic.gen.enums import DescType, TxStatus
from vnic.host.bus import Bus, Coherent, Direction, Segment
from vnic.miniport.context import SendError, SendOffload
from vnic.miniport.receive import RingFault
from vnic.miniport.ring import DescriptorRing
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList
from vnic.ndis.oob import Slot
from vnic.ndis.status import NDIS_STATUS

#: Descriptors of a frame, context included, that the card takes.
FRAME_DESCRIPTORS_MAX = 128
_REPORT_EVERY = 32

_STATUSES = {
    TxStatus.OK: NDIS_STATUS.SUCCESS,
    TxStatus.DESCRIPTOR: NDIS_STATUS.FAILURE,
    TxStatus.LENGTH: NDIS_STATUS.INVALID_LENGTH,
    TxStatus.OFFLOAD: NDIS_STATUS.INVALID_PACKET,
    TxStatus.DMA: NDIS_STATUS.FAILURE,
    TxStatus.LINK: NDIS_STATUS.MEDIA_DISCONNECTED,
}


class Send:
    """One NBL that the miniport has: how many of its packets are not done, and how it will end."""

    __slots__ = ("cancel_id", "has_begun", "left", "nbl", "offload", "payload", "status")

    def __init__(self, nbl: NetBufferList, offload: SendOffload) -> None:
        self.nbl = nbl
        self.offload = offload
        self.cancel_id = nbl.cancel_id
        self.left = 0
        self.payload = 0
        self.has_begun = False
        self.status = NDIS_STATUS.SUCCESS

    def end_packet(self, status: NDIS_STATUS) -> bool:
        """One packet is done; True when the NBL is. The first failure is the NBL's status."""
        if self.status == NDIS_STATUS.SUCCESS:
            self.status = status
        self.left -= 1
        return self.left == 0

    def finish(self) -> NetBufferList:
        """The NBL as it is completed."""
        nbl = self.nbl
        nbl.status = self.status
        if self.offload.is_large_send:
            nbl.set_info(Slot.TCP_LARGE_SEND, self.offload.large_send.completed(self.payload))
        return nbl


class Packet:
    """One NET_BUFFER in the ring: the positions that it takes, and what is mapped for it."""

    __slots__ = ("bounce", "end", "payload", "segments", "send", "start")

    def __init__(
        self, send: Send, start: int, segments: list[Segment], bounce: Bounce | None, payload: int
    ) -> None:
        self.send = send
        self.start = start
        self.end = start
        self.segments = segments
        self.bounce = bounce
        self.payload = payload


class Bounce:
    """Coherent memory for a packet in more pieces than a frame may have descriptors; queues share it."""

    def __init__(self, bus: Bus, size: int) -> None:
        self._bus = bus
        self.memory: Coherent = bus.alloc_coherent(size)
        self.is_taken = False

    def fill(self, packet: NetBuffer) -> Segment:
        """Copy a packet in; it stays until `is_taken` is cleared."""
        at = 0
        for _, part in packet.views():
            self.memory.view[at : at + len(part)] = part
            at += len(part)
        self.is_taken = True
        return Segment(self.memory.addr, at)

    def free(self) -> None:
        """Give the memory back."""
        self._bus.free_coherent(self.memory)


class TransmitQueue:
    """The transmit ring of one pair. Callers hold the queue's lock, and complete NBLs without it."""

    def __init__(self, bus: Bus, count: int, bounce: Bounce, announce: Callable[[int], None]) -> None:
        self.ring = DescriptorRing(bus, count, TxData.SIZE)
        self._bus = bus
        self._bounce = bounce
        self._announce = announce
        self._waiting: deque[tuple[Send, NetBuffer]] = deque()
        self._posted: deque[Packet] = deque()
        self._since_report = 0

    @property
    def outstanding(self) -> int:
        """Packets that wait or are in the ring."""
        return len(self._waiting) + len(self._posted)

    @property
    def posted(self) -> int:
        """Packets in the ring."""
        return len(self._posted)

    # -- down --------------------------------------------------------------------------------------------

    def submit(self, sends: Iterable[Send]) -> list[NetBufferList]:
        """Queue NBLs and post what fits; the NBLs that ended at once."""
        done = []
        for send in sends:
            packets = list(send.nbl.net_buffers())
            send.left = len(packets)
            self._waiting.extend((send, packet) for packet in packets)
            if not packets:
                done.append(send.finish())
        return done + self.pump()

    def pump(self) -> list[NetBufferList]:
        """Post what waits while there is room, ring the doorbell once; the NBLs that ended at once."""
        done = []
        before = self.ring.tail
        while self._waiting:
            send, packet = self._waiting[0]
            status = self._post(send, packet)
            if status == NDIS_STATUS.PENDING:
                break
            self._waiting.popleft()
            send.has_begun = True
            if status != NDIS_STATUS.SUCCESS and send.end_packet(status):
                done.append(send.finish())
        if self.ring.tail != before:
            self._ask_report(self._posted[-1])
            self._announce(self.ring.tail_index)
        return done

    def _post(self, send: Send, packet: NetBuffer) -> NDIS_STATUS:
        """SUCCESS: it is in the ring; PENDING: no room yet; else why it will never be sent."""
        if packet.data_length == 0:
            return NDIS_STATUS.INVALID_LENGTH
        try:
            context = send.offload.context(packet)
        except SendError as error:
            return error.status
        extra = int(context is not None)
        pieces = len(packet.scatter_gather()) + extra
        if pieces > min(FRAME_DESCRIPTORS_MAX, self.ring.count - 1):
            return self._post_bounced(send, packet, context)
        if pieces > self.ring.room:
            return NDIS_STATUS.PENDING
        try:
            segments = self._map(packet)
        except (AllocationError, CapacityError):
            return NDIS_STATUS.RESOURCES
        self._write(
            Packet(send, self.ring.tail, segments, None, send.offload.payload(packet, context)),
            context,
            segments,
        )
        return NDIS_STATUS.SUCCESS

    def _post_bounced(self, send: Send, packet: NetBuffer, context: TxContext | None) -> NDIS_STATUS:
        if packet.data_length > len(self._bounce.memory):
            return NDIS_STATUS.INVALID_LENGTH
        if self._bounce.is_taken or self.ring.room < 1 + int(context is not None):
            return NDIS_STATUS.PENDING
        segment = self._bounce.fill(packet)
        payload = send.offload.payload(packet, context)
        self._write(Packet(send, self.ring.tail, [], self._bounce, payload), context, [segment])
        return NDIS_STATUS.SUCCESS

    def _map(self, packet: NetBuffer) -> list[Segment]:
        segments: list[Segment] = []
        try:
            for address, part in packet.views():
                segments += self._bus.map(address, len(part), Direction.TO_DEVICE)
        except Exception:
            self._bus.unmap(segments, Direction.TO_DEVICE)
            raise
        return segments

    def _write(self, packet: Packet, context: TxContext | None, segments: list[Segment]) -> None:
        if context is not None:
            self.ring.put(context.pack())
        last = len(segments) - 1
        for place, segment in enumerate(segments):
            self.ring.put(TxData(segment.addr, segment.len, DescType.DATA, int(place == last)).pack())
        packet.end = self.ring.tail
        self._posted.append(packet)
        self._since_report += packet.end - packet.start
        if self._since_report >= _REPORT_EVERY:
            self._ask_report(packet)

    def _ask_report(self, packet: Packet) -> None:
        """Set RS on a packet's last descriptor; the doorbell has not announced it yet."""
        descriptor = TxData.unpack(self.ring.memory.view, (packet.end - 1) % self.ring.count * TxData.SIZE)
        descriptor.rs = 1
        self.ring.rewrite(packet.end - 1, descriptor.pack())
        self._since_report = 0

    # -- and back ----------------------------------------------------------------------------------------

    def reap(self, entry: TxCompletion) -> list[NetBufferList]:
        """One completion: all before HEAD is done, the frame at INDEX with its STATUS. Raises RingFault."""
        ring = self.ring
        until = ring.head + (entry.head - ring.head) % ring.count
        if until > ring.tail or entry.head >= ring.count:
            raise RingFault(f"transmit completion up to {entry.head}, handed over up to {ring.tail_index}")
        done = []
        while self._posted and self._posted[0].end <= until:
            packet = self._posted.popleft()
            is_named = packet.start % ring.count == entry.index
            if self._end(packet, _status(entry.status) if is_named else NDIS_STATUS.SUCCESS):
                done.append(packet.send.finish())
        ring.head = until
        return done

    def _end(self, packet: Packet, status: NDIS_STATUS) -> bool:
        self._release(packet)
        if status == NDIS_STATUS.SUCCESS:
            packet.send.payload += packet.payload
        return packet.send.end_packet(status)

    def _release(self, packet: Packet) -> None:
        if packet.bounce is not None:
            packet.bounce.is_taken = False
        self._bus.unmap(packet.segments, Direction.TO_DEVICE)

    # -- giving up ---------------------------------------------------------------------------------------

    def cancel(self, cancel_id: object) -> list[NetBufferList]:
        """The NBLs with this id of which nothing was posted yet."""
        named = [send for send, _ in self._waiting if send.cancel_id == cancel_id and not send.has_begun]
        return self._drop_waiting(named, NDIS_STATUS.SEND_ABORTED)

    def abort_waiting(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """Everything that is not in the ring; an NBL of which a part is there ends with that part."""
        return self._drop_waiting([send for send, _ in self._waiting], status)

    def _drop_waiting(self, named: list[Send], status: NDIS_STATUS) -> list[NetBufferList]:
        wanted = set(map(id, named))
        done = []
        for send, _ in [each for each in self._waiting if id(each[0]) in wanted]:
            if send.end_packet(status):
                done.append(send.finish())
        self._waiting = deque(each for each in self._waiting if id(each[0]) not in wanted)
        return done

    def abort_all(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """Everything; the ring was reset or the card is gone, so nothing of it will complete."""
        done = []
        while self._posted:
            packet = self._posted.popleft()
            if self._end(packet, status):
                done.append(packet.send.finish())
        self.ring.clear()
        self._since_report = 0
        return done + self.abort_waiting(status)

    def free(self) -> None:
        """Give the ring's memory back."""
        self.ring.free()


def _status(value: int) -> NDIS_STATUS:
    try:
        return _STATUSES[TxStatus(value)]
    except ValueError:
        return NDIS_STATUS.FAILURE
