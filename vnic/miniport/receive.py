"""Receiving on one queue: buffers into the ring, completions into NBLs with their out-of-band information."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from enum import IntFlag

from vnic.gen.descriptors import RxCompletion, RxDesc
from vnic.gen.enums import CsumResult, RxError
from vnic.host.bus import Bus
from vnic.miniport.buffers import DATA_BYTES, HEADER_BYTES, BufferPool, Memory, ReceiveBuffer
from vnic.miniport.offload import TaskOffloads
from vnic.miniport.ring import DescriptorRing
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oob import ReceiveChecksum, Slot, Vlan
from vnic.ndis.rss import HASH_FUNCTION_TOEPLITZ, HashType
from vnic.ndis.status import NDIS_STATUS

_HASH_TYPE_SHIFT = 8
_ETHERNET_BYTES = 14
#: Types of which a card may name the one where the other is enabled.
_TWINS = (
    HashType.IPV6 | HashType.IPV6_EX,
    HashType.TCP_IPV6 | HashType.TCP_IPV6_EX,
    HashType.UDP_IPV6 | HashType.UDP_IPV6_EX,
)


class NblFlag(IntFlag):
    """NDIS_NBL_FLAGS_* that a header-data split provider sets."""

    HD_SPLIT = 0x0100
    IS_IPV4 = 0x0200
    IS_IPV6 = 0x0400
    IS_TCP = 0x0800
    IS_UDP = 0x1000
    SPLIT_AT_UPPER_LAYER_PROTOCOL_HEADER = 0x2000
    SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD = 0x4000


_UNSPLIT = ~0x7F00


class RingFault(Exception):
    """A completion that the driver's own records contradict; the card needs a reset."""


class ReceiveQueue:
    """The receive ring of one pair. Callers hold the queue's lock."""

    def __init__(
        self,
        bus: Bus,
        memory: Memory,
        count: int,
        offloads: TaskOffloads,
        *,
        is_split: bool,
        reports_tags: bool,
        source_handle: object,
    ) -> None:
        self.indicated = 0
        self._reports_tags = reports_tags
        self._hash_types = self._hash_types_before = 0
        self._offloads = offloads
        with ExitStack() as undo:
            self.ring = DescriptorRing(bus, count, RxDesc.SIZE)
            undo.callback(self.ring.free)
            self._pool = BufferPool(bus, memory, count - 1, is_split, source_handle)
            undo.pop_all()
        self._spare: deque[ReceiveBuffer] = deque(self._pool.buffers)
        self._posted: deque[ReceiveBuffer] = deque()
        self._frame: list[tuple[ReceiveBuffer, RxCompletion]] = []

    @property
    def bytes(self) -> int:
        """Bytes of all data buffers."""
        return len(self._pool.buffers) * DATA_BYTES

    @property
    def is_short(self) -> bool:
        """Whether so few buffers are left that the protocols must not keep more."""
        return len(self._posted) + len(self._spare) < max(self.ring.count // 8, 1)

    def refill(self) -> bool:
        """Post every spare buffer; True when the doorbell is to be rung."""
        before = self.ring.tail
        while self._spare and self.ring.room:
            buffer = self._spare.popleft()
            self.ring.put(RxDesc(*buffer.map()).pack())
            self._posted.append(buffer)
        return self.ring.tail != before

    def accept(self, entry: RxCompletion) -> NetBufferList | None:
        """One completion; the NBL when the frame is whole. Raises RingFault."""
        if not self._posted or entry.index != self.ring.head % self.ring.count:
            raise RingFault(f"receive completion of descriptor {entry.index}")
        self.ring.head += 1
        buffer = self._posted.popleft()
        buffer.unmap()
        if bool(entry.sop) == bool(self._frame):
            self._spare.append(buffer)
            raise RingFault("receive completions of two frames are mixed")
        self._frame.append((buffer, entry))
        if not entry.eop:
            return None
        frame, self._frame = self._frame, []
        if entry.error != RxError.NONE:
            self._spare.extend(each for each, _ in frame)
            return None
        return self._assemble(frame)

    def _assemble(self, frame: list[tuple[ReceiveBuffer, RxCompletion]]) -> NetBufferList:
        first, entry = frame[0]
        length = sum(each.len for _, each in frame) + entry.hdr_len
        if not _fits(frame) or length != entry.frame_len or length < _ETHERNET_BYTES:
            self._spare.extend(each for each, _ in frame)
            raise RingFault(f"{length} bytes in buffers, {entry.frame_len} in the frame")
        self._chain(frame)
        first.net_buffer.data_offset, first.net_buffer.data_length = 0, length
        nbl = first.nbl
        nbl.next = None
        nbl.status = NDIS_STATUS.SUCCESS
        nbl.miniport_reserved = [each for each, _ in frame]
        nbl.clear_info()
        self._describe(nbl, entry)
        self.indicated += 1
        return nbl

    def _chain(self, frame: list[tuple[ReceiveBuffer, RxCompletion]]) -> None:
        """MDLs of exactly the bytes received, header first."""
        pieces = [(buffer.data, entry.len) for buffer, entry in frame]
        first, entry = frame[0]
        if first.header is not None and entry.split:
            pieces = [(first.header, entry.hdr_len), *(each for each in pieces if each[1])]
        for piece, length in pieces:
            piece.trim(length)
        for (piece, _), (following, _) in itertools.pairwise(pieces):
            piece.mdl.next = following.mdl
        first.net_buffer.mdl_chain = pieces[0][0].mdl

    def _describe(self, nbl: NetBufferList, entry: RxCompletion) -> None:
        """Hash, checksum verdicts, tag, split. [INV-53] without a type neither function nor value is set."""
        if entry.hash_type and self._may_carry(entry.hash_type << _HASH_TYPE_SHIFT):
            nbl.set_hash(entry.hash_type << _HASH_TYPE_SHIFT, HASH_FUNCTION_TOEPLITZ, entry.hash)
        nbl.set_info(Slot.TCP_IP_CHECKSUM, self._verdicts(entry))
        if entry.vlan and self._reports_tags:
            tci = entry.vlan_tci
            nbl.set_info(Slot.IEEE_8021Q, Vlan(tci >> 13, bool(tci >> 12 & 1), tci & 0xFFF).value)
        nbl.flags = nbl.flags & _UNSPLIT | (int(_split_flags(entry)) if entry.split else 0)

    def enable_hashes(self, types: int) -> None:
        """These types from now on; frames that were hashed before the change may still come."""
        enabled = with_twins(types)
        if enabled != self._hash_types:
            self._hash_types, self._hash_types_before = enabled, self._hash_types

    def _may_carry(self, hash_type: int) -> bool:
        """Whether it is one type, and one that was enabled. [INV-56]"""
        enabled = self._hash_types | self._hash_types_before
        return bool(hash_type & enabled) and not hash_type & hash_type - 1

    def _verdicts(self, entry: RxCompletion) -> int:
        if entry.tcp and entry.udp:  # no frame is both: nothing that the card says of it counts
            return 0
        wanted = self._offloads.receive(bool(entry.ipv6))
        ip = entry.ip_csum if wanted.ip_checksum else CsumResult.NONE
        tcp = entry.l4_csum if entry.tcp and wanted.tcp_checksum else CsumResult.NONE
        udp = entry.l4_csum if entry.udp and wanted.udp_checksum else CsumResult.NONE
        return _verdict_value(tcp, udp, ip)

    def recycle(self, nbl: NetBufferList) -> None:
        """An NBL is the driver's again: its buffers can be posted."""
        buffers = nbl.miniport_reserved
        assert isinstance(buffers, list)
        nbl.miniport_reserved = None
        self.indicated -= 1
        self._spare.extend(buffers)

    def reclaim(self) -> None:
        """The ring was reset: everything the card had is spare again."""
        for buffer in self._held():
            buffer.unmap()
            self._spare.append(buffer)
        self._posted.clear()
        self._frame = []
        self.ring.clear()

    def _held(self) -> Iterator[ReceiveBuffer]:
        yield from (buffer for buffer, _ in self._frame)
        yield from self._posted

    def free(self) -> None:
        """Give all memory back."""
        self.reclaim()
        self._pool.free()
        self.ring.free()


def _fits(frame: list[tuple[ReceiveBuffer, RxCompletion]]) -> bool:
    """Whether the card claims no more bytes than the buffers have; headers only where it split."""
    first, entry = frame[0]
    most = HEADER_BYTES if first.header is not None and entry.split else 0
    return entry.hdr_len <= most and all(each.len <= DATA_BYTES for _, each in frame)


def with_twins(types: int) -> int:
    """Types, and those that stand for them."""
    for twins in _TWINS:
        types |= int(twins) if types & twins else 0
    return types


@functools.cache
def _verdict_value(tcp: int, udp: int, ip: int) -> int:
    """The slot's bits for three checksum results; there are few combinations and many frames."""
    bad, good = CsumResult.BAD, CsumResult.GOOD
    return ReceiveChecksum(tcp == bad, udp == bad, ip == bad, tcp == good, udp == good, ip == good).value


def _split_flags(entry: RxCompletion) -> NblFlag:
    """NDIS_NBL_FLAGS of a split frame."""
    flags = NblFlag.HD_SPLIT | (NblFlag.IS_IPV6 if entry.ipv6 else NblFlag.IS_IPV4)
    if entry.tcp or entry.udp:
        flags |= NblFlag.IS_TCP if entry.tcp else NblFlag.IS_UDP
        return flags | NblFlag.SPLIT_AT_UPPER_LAYER_PROTOCOL_PAYLOAD
    return flags | NblFlag.SPLIT_AT_UPPER_LAYER_PROTOCOL_HEADER
