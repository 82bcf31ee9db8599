"""A protocol driver that keeps what it is given: every frame received, every send completed, every status."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

from vnic.host.cpu import Processors
from vnic.ndis.miniport import ReceiveFlag, SendCompleteFlag
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, link, walk
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import OidRequest, set_
from vnic.ndis.oob import LargeSend, ReceiveChecksum, Slot, TransmitChecksum, Vlan
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatusIndication

EVERYTHING = PacketFilter.PROMISCUOUS


class Allocation(Interface):
    """Memory of the guest."""

    @property
    def address(self) -> int:
        """Where Bus.map finds it."""

    @property
    def view(self) -> memoryview:
        """Its bytes."""

    def free(self) -> None:
        """Give it back."""


class Memory(Interface):
    """What the protocol allocates from."""

    def alloc(self, size: int, *, align: int = 16, label: str = "") -> Allocation:
        """Some bytes."""


@dataclass(frozen=True, slots=True)
class Received:
    """One frame as it was indicated; `hash` is (type, function, value) or None."""

    data: bytes
    cpu: int
    hash: tuple[int, int, int] | None
    checksum: ReceiveChecksum
    vlan: Vlan
    pieces: tuple[int, ...]
    nbl_flags: int
    was_lent: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """One send that came back."""

    data: tuple[bytes, ...]
    status: NDIS_STATUS
    large_send_info: int
    context: object


class CaptureProtocol(Protocol):
    """Bound to any number of adapters.

    keeps_nbls: indicated NBLs are held until release() or a pause, as a slow protocol does; else they go back
    at once.
    on_frame: called for each frame, where it arrives, at its level and on its processor.
    """

    def __init__(
        self,
        memory: Memory,
        processors: Processors,
        *,
        packet_filter: int = EVERYTHING,
        keeps_nbls: bool = False,
        on_frame: Callable[[Received], None] | None = None,
        keeps_frames: bool = True,
    ) -> None:
        self._memory = memory
        self._processors = processors
        self.packet_filter = packet_filter
        self.keeps_nbls = keeps_nbls
        self.on_frame = on_frame
        self.keeps_frames = keeps_frames
        self.bindings: list[BindingHandle] = []
        self.parameters: BindParameters | None = None
        self.received: list[Received] = []
        self.sent: list[Sent] = []
        self.statuses: list[StatusIndication] = []
        self.oids_completed: list[tuple[OidRequest, NDIS_STATUS]] = []
        self.events: list[NetEvent] = []
        self._held: list[tuple[BindingHandle, NetBufferList]] = []
        self._sending: dict[int, BindingHandle] = {}
        self._paused: list[BindingHandle] = []
        self._pausing: list[BindingHandle] = []

    @property
    def sends_outstanding(self) -> int:
        """NBLs that are on their way."""
        return len(self._sending)

    @property
    def held(self) -> list[NetBufferList]:
        """Indicated NBLs that were not returned."""
        return [nbl for _, nbl in self._held]

    # -- sending ---------------------------------------------------------------------------------------------

    def send(
        self,
        *packets: bytes,
        checksum: TransmitChecksum | None = None,
        large_send: LargeSend | None = None,
        vlan: Vlan | None = None,
        cancel_id: object = None,
        context: object = None,
        pieces: Sequence[int] = (),
        backfill: int = 0,
        binding: BindingHandle | None = None,
    ) -> NetBufferList:
        """Send one NBL with a NET_BUFFER for each packet.

        pieces: sizes into which the data is cut, an MDL each, the rest in a last one. backfill: unused bytes
        before it.
        """
        nbl, where = self.make_nbl(
            packets,
            checksum=checksum,
            large_send=large_send,
            vlan=vlan,
            cancel_id=cancel_id,
            context=context,
            pieces=pieces,
            backfill=backfill,
            binding=binding,
        )
        self._sending[id(nbl)] = where
        where.send_net_buffer_lists(nbl)
        return nbl

    def send_chain(self, packets: Sequence[bytes], *, cancel_id: object = None) -> None:
        """Send a chain of NBLs, one for each packet."""
        made = [self.make_nbl([packet], cancel_id=cancel_id) for packet in packets]
        head = link(nbl for nbl, _ in made)
        if head is not None:
            self._sending.update((id(nbl), where) for nbl, where in made)
            made[0][1].send_net_buffer_lists(head)

    def make_nbl(
        self,
        packets: Sequence[bytes],
        *,
        checksum: TransmitChecksum | None = None,
        large_send: LargeSend | None = None,
        vlan: Vlan | None = None,
        cancel_id: object = None,
        context: object = None,
        pieces: Sequence[int] = (),
        backfill: int = 0,
        binding: BindingHandle | None = None,
    ) -> tuple[NetBufferList, BindingHandle]:
        """An NBL over fresh memory, freed when its send completes, and the binding that it is for."""
        where = binding or self.bindings[0]
        memory: list[Allocation] = []
        buffers = [self._make_buffer(packet, pieces, backfill, memory) for packet in packets]
        for buffer, following in itertools.pairwise(buffers):
            buffer.next = following
        nbl = NetBufferList(buffers[0] if buffers else None, where)
        nbl.cancel_id = cancel_id
        nbl.context = context
        for slot, info in (
            (Slot.TCP_IP_CHECKSUM, checksum),
            (Slot.TCP_LARGE_SEND, large_send),
            (Slot.IEEE_8021Q, vlan),
        ):
            if info is not None:
                nbl.set_info(slot, info.value)
        nbl.protocol_reserved = memory
        return nbl, where

    def free_injected(self, nbls: Iterable[NetBufferList]) -> None:
        """Free the memory of NBLs that were made here and sent by somebody else."""
        for nbl in nbls:
            _free(nbl)

    def _make_buffer(
        self, packet: bytes, pieces: Sequence[int], backfill: int, memory: list[Allocation]
    ) -> NetBuffer:
        data = bytes(backfill) + packet
        head = tail = None
        at = 0
        for size in (*pieces, len(data)):
            part = data[at : at + size]
            if not part and head is not None:
                break
            allocation = self._memory.alloc(max(len(part), 1), align=1, label="send")
            allocation.view[: len(part)] = part
            memory.append(allocation)
            mdl = Mdl(allocation.view[: len(part)], allocation.address)
            if tail is None:
                head = mdl
            else:
                tail.next = mdl
            tail = mdl
            at += len(part)
        return NetBuffer(head, backfill, len(packet))

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete: note how each ended, free its memory."""
        for nbl in walk(chain):
            del self._sending[id(nbl)]
            data = tuple(buffer.data() for buffer in nbl.net_buffers()) if self.keeps_frames else ()
            self.sent.append(Sent(data, nbl.status, nbl.info(Slot.TCP_LARGE_SEND), nbl.context))
            _free(nbl)
        self._finish_pauses()

    # -- receiving -------------------------------------------------------------------------------------------

    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        """ProtocolReceiveNetBufferLists: note each frame; then keep the NBLs or return them."""
        was_lent = bool(flags & ReceiveFlag.RESOURCES)
        nbls = list(walk(chain))
        for nbl in nbls:
            self._note(nbl, was_lent)
        if was_lent:
            return
        if self.keeps_nbls and binding not in self._paused:
            self._held += [(binding, nbl) for nbl in nbls]
        else:
            binding.return_net_buffer_lists(chain)

    def _note(self, nbl: NetBufferList, was_lent: bool) -> None:
        buffer = nbl.first_net_buffer
        assert buffer is not None
        frame = Received(
            buffer.data(),
            self._processors.current,
            nbl.hash,
            ReceiveChecksum.of(nbl.info(Slot.TCP_IP_CHECKSUM)),
            Vlan.of(nbl.info(Slot.IEEE_8021Q)),
            tuple(len(part) for _, part in buffer.views()),
            nbl.flags,
            was_lent,
        )
        if self.keeps_frames:
            self.received.append(frame)
        if self.on_frame is not None:
            self.on_frame(frame)

    def release(self, count: int | None = None) -> int:
        """Return NBLs that are held, oldest first; how many."""
        taken = self._held[:count]
        del self._held[:count]
        for binding in {id(binding): binding for binding, _ in taken}.values():
            head = link(nbl for owner, nbl in taken if owner is binding)
            if head is not None:
                binding.return_net_buffer_lists(head)
        return len(taken)

    # -- OIDs and status -------------------------------------------------------------------------------------

    def request(self, request: OidRequest, binding: BindingHandle | None = None) -> NDIS_STATUS:
        """Make an OID request; the final status, or PENDING."""
        return (binding or self.bindings[0]).oid_request(request)

    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """ProtocolOidRequestComplete."""
        self.oids_completed.append((request, status))

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx."""
        self.statuses.append(indication)

    # -- binding ---------------------------------------------------------------------------------------------

    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx."""
        self.bindings.append(binding)
        self.parameters = parameters
        return NDIS_STATUS.SUCCESS

    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        """ProtocolUnbindAdapterEx: what is held goes back first."""
        self.release()
        self.bindings.remove(binding)
        binding.close()
        return NDIS_STATUS.SUCCESS

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: a pause lasts until every send is back; a restart sets the packet filter."""
        self.events.append(event)
        if event is NetEvent.PAUSE:
            self._paused.append(binding)
            self.release()
            if any(owner is binding for owner in self._sending.values()):
                self._pausing.append(binding)
                return NDIS_STATUS.PENDING
        elif event is NetEvent.RESTART:
            self._paused = [each for each in self._paused if each is not binding]
            wanted = int(self.packet_filter).to_bytes(4, "little")
            binding.oid_request(set_(OID.GEN_CURRENT_PACKET_FILTER, wanted))
        return NDIS_STATUS.SUCCESS

    def _finish_pauses(self) -> None:
        for binding in list(self._pausing):
            if not any(owner is binding for owner in self._sending.values()):
                self._pausing.remove(binding)
                binding.complete_net_pnp_event(NetEvent.PAUSE, NDIS_STATUS.SUCCESS)


def _free(nbl: NetBufferList) -> None:
    """Give back the memory under an NBL of make_nbl; idempotent."""
    memory, nbl.protocol_reserved = nbl.protocol_reserved, None
    if isinstance(memory, list):
        for allocation in memory:
            allocation.free()
