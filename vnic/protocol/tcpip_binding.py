"""One binding of the TCP/IP driver: an interface of the stack over an adapter, frames as NET_BUFFER_LISTs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from vnic.abi import StackOffload, StackRx
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, link, walk
from vnic.ndis.offload import Encapsulation, Offload, OffloadEncapsulation
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import OidRequest, set_
from vnic.ndis.oob import ReceiveChecksum, Slot, Vlan
from vnic.ndis.protocol import BindingHandle, NetEvent
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.netdma import NetDma
from vnic.protocol.offload_choice import OffloadChoice, completed
from vnic.protocol.send_arena import SendArena, Slab
from vnic.stack.interface import Interface, OutFrame

FILTER = PacketFilter.DIRECTED | PacketFilter.BROADCAST | PacketFilter.MULTICAST
_CHAIN = 32
_KEPT = int(StackRx.KEPT)
_ENCAPSULATION_ON = 1
_ETHERNET = 14
_ALL_HOSTS = bytes.fromhex("01005e000001")
_ALL_NODES = bytes.fromhex("333300000001")
_SOLICITED = bytes.fromhex("3333ff")


def _receive_flags(value: int) -> int:
    """StackRx for the receive half of the checksum information; what failed is left to the stack to see."""
    verdict = ReceiveChecksum.of(value)
    flags = StackRx.L4_GOOD if verdict.tcp_succeeded or verdict.udp_succeeded else StackRx(0)
    return int(flags | (StackRx.IP_GOOD if verdict.ip_succeeded else StackRx(0)))


_RECEIVE_FLAGS = tuple(_receive_flags(value) for value in range(64))


@dataclass(slots=True)
class BindingStatistics:
    """What went over one binding."""

    received: int = 0
    received_bytes: int = 0
    #: NBLs; a large send is one.
    sent: int = 0
    sent_bytes: int = 0
    large_sends: int = 0
    #: Completed here because the adapter does not.
    completed_here: int = 0
    #: Came back with another status than SUCCESS.
    failed: int = 0


class TcpipBinding:
    """Speaks for one interface with one adapter; `handle` is None while no adapter is bound."""

    def __init__(self, interface: Interface, arena: SendArena) -> None:
        self.interface = interface
        self.handle: BindingHandle | None = None
        self.choice = OffloadChoice(None)
        self.is_running = False
        self.is_connected = False
        #: An event of NDIS waits for the binding to be quiet.
        self.must_report_pause = False
        self.pending_event = NetEvent.PAUSE
        self.outstanding = 0
        self.statistics = BindingStatistics()
        self.requests: list[OidRequest] = []
        self._arena = arena
        self._large_send_max = interface.config.tso_bytes
        self._is_sending = False

    # -- OIDs ------------------------------------------------------------------------------------------------

    def ask_for_offloads(self) -> None:
        """OID_OFFLOAD_ENCAPSULATION: plain Ethernet headers, both IP versions."""
        one = (_ENCAPSULATION_ON, int(Encapsulation.IEEE_802_3), _ETHERNET)
        self.request(set_(OID.OFFLOAD_ENCAPSULATION, OffloadEncapsulation(*one, *one).pack()))

    def open_filter(self) -> None:
        """What the interface has to hear: its own address, broadcast, and the groups that it belongs to."""
        self.request(set_(OID.O802_3_MULTICAST_LIST, b"".join(sorted(self.groups()))))
        self.request(set_(OID.GEN_CURRENT_PACKET_FILTER, int(FILTER).to_bytes(4, "little")))

    def groups(self) -> set[bytes]:
        """All hosts, all nodes, and the solicited-node groups of the addresses (RFC 2464 7)."""
        mac = self.interface.config.mac
        ends = {mac[3:]} | {
            each.ip.packed[13:] for each in self.interface.addresses if isinstance(each.ip, IPv6Address)
        }
        return {_ALL_HOSTS, _ALL_NODES} | {_SOLICITED + end for end in ends}

    def request(self, request: OidRequest) -> NDIS_STATUS:
        """Make a request; one that pends is kept until on_request_complete()."""
        assert self.handle is not None
        self.requests.append(request)
        status = self.handle.oid_request(request)
        if status != NDIS_STATUS.PENDING:
            self.on_request_complete(request)
        return status

    def on_request_complete(self, request: OidRequest) -> None:
        """A request ended. One that failed leaves the adapter as it was: more is then done here."""
        self.requests = [each for each in self.requests if each is not request]

    def set_offload(self, config: Offload | None, *, wants_large_send: bool) -> None:
        """The adapter's current configuration, which the stack follows from the next frame on.

        A large send is never longer than when the interface was made: send memory was cut for that.
        """
        self.choice = OffloadChoice(config, wants_large_send=wants_large_send)
        offload, size = self.choice.stack_offload, min(self.choice.large_send_bytes, self._large_send_max)
        if not size:
            offload &= ~StackOffload.TSO
        known = self.interface.config
        if (known.offload, known.tso_bytes) != (int(offload), size):
            self.interface.set_offload(int(offload), size)

    # -- receiving -------------------------------------------------------------------------------------------

    def receive(
        self, nbls: Sequence[NetBufferList], netdma: NetDma | None = None, *, may_keep: bool = False
    ) -> None:
        """Indicated NBLs into the stack, which has copied what it wants when this returns.

        But for what NetDMA will copy: it holds those NBLs, where they may be kept.
        """
        frames = [_frame_of(nbl) for nbl in nbls]
        self.statistics.received += len(frames)
        self.statistics.received_bytes += sum([len(frame) for frame, _ in frames])
        if netdma is None or not netdma.is_listening or self.handle is None:
            self.interface.receive_burst(frames)
            return
        in_place = [
            (nbl, frame)
            for nbl, (frame, _) in zip(nbls, frames, strict=True)
            if isinstance(frame, memoryview)
        ]
        netdma.begin(self.handle, in_place, may_keep=may_keep and self.is_running)
        try:
            self.interface.receive_burst([(frame, flags | _KEPT) for frame, flags in frames])
        finally:
            netdma.end()

    # -- sending ---------------------------------------------------------------------------------------------

    def flush(self) -> int:
        """Send what the stack has, as far as there is memory; how many frames that were.

        At a yield point another processor may come here: it leaves the rest to the one that sends already,
        so that frames keep the stack's order.
        """
        if self._is_sending:
            return 0
        self._is_sending = True
        try:
            count = 0
            while self.is_running and (nbls := self._gather()):
                head = link(nbls)
                self.outstanding += len(nbls)
                count += len(nbls)
                assert self.handle is not None and head is not None
                self.handle.send_net_buffer_lists(head)
        finally:
            self._is_sending = False
        return count

    def _gather(self) -> list[NetBufferList]:
        nbls: list[NetBufferList] = []
        while len(nbls) < _CHAIN:
            slab = self._arena.slab()
            if slab is None:
                break
            frame = self.interface.transmit_into(slab.area, slab.used)
            if frame is None:
                break
            if self.choice.can_complete(frame):
                nbls.append(self._make_nbl(slab, frame))
            else:
                nbls += self._complete_here(slab, frame)
        return nbls

    def _make_nbl(self, slab: Slab, frame: OutFrame) -> NetBufferList:
        start, length = slab.used, frame.length
        slab.take(length)
        buffer = NetBuffer(Mdl(slab.area.view[start : start + length], slab.address + start), 0, length)
        nbl = NetBufferList(buffer, self.handle)
        nbl.protocol_reserved = slab
        if frame.mss:
            nbl.set_info(Slot.TCP_LARGE_SEND, self.choice.large_send_info(frame))
            self.statistics.large_sends += 1
        elif frame.checksum_start:
            nbl.set_info(Slot.TCP_IP_CHECKSUM, self.choice.checksum_info(frame))
        if frame.vlan:
            tci = frame.vlan
            nbl.set_info(Slot.IEEE_8021Q, Vlan(tci >> 13, bool(tci >> 12 & 1), tci & 0xFFF).value)
        self.statistics.sent += 1
        self.statistics.sent_bytes += length
        return nbl

    def _complete_here(self, slab: Slab, frame: OutFrame) -> list[NetBufferList]:
        """Finish a frame in software; the packets of a large send that find no memory are lost."""
        data = bytes(slab.area.view[slab.used : slab.used + frame.length])
        nbls = []
        for packet in completed(data, frame):
            place = self._arena.slab()
            if place is None:
                self.statistics.failed += 1
                continue
            place.area.view[place.used : place.used + len(packet)] = packet
            plain = _with_tag_only(frame, len(packet))
            nbls.append(self._make_nbl(place, plain))
            self.statistics.completed_here += 1
        return nbls

    def take_back(self, chain: NetBufferList) -> None:
        """Sends are complete. TCP knows how to repair what failed."""
        for nbl in walk(chain):
            self.outstanding -= 1
            if nbl.status != NDIS_STATUS.SUCCESS:
                self.statistics.failed += 1
            slab = nbl.protocol_reserved
            assert isinstance(slab, Slab)
            self._arena.give_back(slab)

    def free(self) -> None:
        """Give the memory back; nothing is outstanding."""
        self._arena.free()


def _with_tag_only(frame: OutFrame, length: int) -> OutFrame:
    """A frame of which only the tag is left to do."""
    return frame._replace(length=length, mss=0, checksum_start=0, checksum_offset=0, header_len=0)


def _frame_of(nbl: NetBufferList) -> tuple[bytes | memoryview, int]:
    """The bytes of an indicated NBL, its tag in band again, and what the adapter verified."""
    buffer = nbl.first_net_buffer
    assert buffer is not None
    parts = [part for _, part in buffer.views()]
    data: bytes | memoryview = parts[0] if len(parts) == 1 else b"".join(parts)
    tag = nbl.info(Slot.IEEE_8021Q)
    if tag:
        tci = Vlan.of(tag).tci
        data = bytes(data[:12]) + b"\x81\x00" + tci.to_bytes(2) + bytes(data[12:])
    return data, _RECEIVE_FLAGS[nbl.info(Slot.TCP_IP_CHECKSUM) & 63]
