"""What of a frame the adapter does by its current configuration, and what is done here instead."""

from __future__ import annotations

from vnic.abi import StackOffload
from vnic.ndis.offload import Encapsulation, Offload
from vnic.ndis.oob import LargeSend, LargeSendType, TransmitChecksum
from vnic.stack.interface import OutFrame
from vnic.wire import checksum
from vnic.wire.segment import segment

_ETHERNET = 14
_TAG = 4
_UDP_FIELD = 6
_PLAIN = Encapsulation.IEEE_802_3
#: IPv4's total length and LSOv1 have 16 bits; headers take the rest.
LARGE_SEND_MAX = 0xFFFF - 120


class OffloadChoice:
    """NDIS_OFFLOAD in force on one binding, as the sender of stack frames needs it."""

    def __init__(self, config: Offload | None, *, wants_large_send: bool = True) -> None:
        self.config = config or Offload()
        self._wants_large_send = wants_large_send
        four, six = self.config.ipv4_transmit, self.config.ipv6_transmit
        has_four, has_six = (bool(each.encapsulation & _PLAIN) for each in (four, six))
        self._checksums = {
            (False, True): has_four and four.tcp_checksum and four.tcp_options,
            (False, False): has_four and four.udp_checksum,
            (True, True): has_six and six.tcp_checksum and six.tcp_options,
            (True, False): has_six and six.udp_checksum,
        }
        self._inserts_tags = bool(four.encapsulation & Encapsulation.IEEE_802_3_P_AND_Q_IN_OOB)
        self._large = {False: self._choose_ipv4(), True: self._choose_ipv6()}
        self._infos: dict[tuple[bool, bool, int], int] = {}

    def _choose_ipv4(self) -> tuple[LargeSendType, int, int] | None:
        v1, v2 = self.config.lso_v1, self.config.lso_v2
        if v2.ipv4_encapsulation & _PLAIN:
            return LargeSendType.V2, v2.ipv4_max_offload_size, v2.ipv4_min_segment_count
        if v1.encapsulation & _PLAIN and v1.tcp_options:
            return LargeSendType.V1, v1.max_offload_size, v1.min_segment_count
        return None

    def _choose_ipv6(self) -> tuple[LargeSendType, int, int] | None:
        v2 = self.config.lso_v2
        if v2.ipv6_encapsulation & _PLAIN and v2.ipv6_tcp_options:
            return LargeSendType.V2, v2.ipv6_max_offload_size, v2.ipv6_min_segment_count
        return None

    # -- what the stack is told ------------------------------------------------------------------------------

    @property
    def large_send_bytes(self) -> int:
        """The longest payload that is worth a large send; 0: none."""
        sizes = [min(size, LARGE_SEND_MAX) for _, size, _ in filter(None, self._large.values())]
        return min(sizes) if sizes and self._wants_large_send else 0

    @property
    def stack_offload(self) -> StackOffload:
        """What an interface over this adapter leaves to it."""
        offload = StackOffload(0)
        if any(self._checksums.values()):
            offload |= StackOffload.TX_CHECKSUM
            if self.large_send_bytes:
                offload |= StackOffload.TSO
        return offload | StackOffload.TX_VLAN if self._inserts_tags else offload

    # -- what is said of a frame -----------------------------------------------------------------------------

    def can_complete(self, frame: OutFrame) -> bool:
        """Whether the adapter does all that the frame needs."""
        if not frame.mss:
            return not frame.checksum_start or self._checksums[frame.is_ipv6, frame.is_tcp]
        large = self._large[frame.is_ipv6]
        payload = frame.length - frame.header_len
        return large is not None and payload <= large[1] and -(-payload // frame.mss) >= large[2]

    def checksum_info(self, frame: OutFrame) -> int:
        """NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO; 0: nothing to do."""
        if not frame.checksum_start:
            return 0
        key = frame.is_ipv6, frame.is_tcp, frame.checksum_start
        info = self._infos.get(key)
        if info is None:
            is_ipv6, is_tcp, at = key
            asked = TransmitChecksum(not is_ipv6, is_ipv6, is_tcp, not is_tcp, False, at if is_tcp else 0)
            info = self._infos[key] = asked.value
        return info

    def large_send_info(self, frame: OutFrame) -> int:
        """NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO of a frame that is to be cut."""
        large = self._large[frame.is_ipv6]
        assert large is not None
        return LargeSend(frame.mss, frame.checksum_start, large[0], frame.is_ipv6).value


def completed(data: bytes, frame: OutFrame) -> list[bytes]:
    """The packets that a frame becomes when nobody below helps, without the tag that is out of band."""
    if frame.mss:
        header, payload = data[: frame.header_len], data[frame.header_len :]
        l3 = _ETHERNET + (_TAG if data[12:14] == b"\x81\x00" else 0)
        return segment(header, payload, frame.mss, l3_offset=l3, l4_offset=frame.checksum_start)
    if not frame.checksum_start:
        return [data]
    at = frame.checksum_start + frame.checksum_offset
    # The field holds the pseudo header's sum, which so takes part.
    value = checksum.internet(data[frame.checksum_start :])
    if frame.checksum_offset == _UDP_FIELD and value == 0:
        value = 0xFFFF
    return [data[:at] + value.to_bytes(2) + data[at + 2 :]]
