"""What cases do to every driver: traffic in both directions, and the questions that follow it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vnic.gen.registers import BAR0
from vnic.ndis.offload import Offload
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import MediaConnectState, StatisticsInfo
from vnic.protocol.capture import Received
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

OK = NDIS_STATUS.SUCCESS
#: Short rings, so that a few frames go round them; *ReceiveBuffers and *TransmitBuffers are powers of two.
SHORT_RINGS: dict[str, object] = {"*TransmitBuffers": 8, "*ReceiveBuffers": 16}
#: One ring pair on one processor: what is sent leaves in its order.
ONE: dict[str, Any] = {"queues": 1, "cpus": 1}
EVERYBODY = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
OTHER_GROUP = bytes.fromhex("01005e000002")
LEAST_FRAME = 60


def padded(frame: bytes) -> bytes:
    """A frame as it leaves: Ethernet's least length without FCS is 60 bytes."""
    return frame.ljust(LEAST_FRAME, b"\0")


def frames_to(station: bytes, count: int, length: int = 100, first: int = 0) -> list[bytes]:
    """Distinct frames to an address."""
    return [plain_frame(length, first + n, station) for n in range(count)]


def outgoing(count: int, length: int = 90, first: int = 0) -> list[bytes]:
    """Distinct frames to a peer."""
    return [plain_frame(length, first + n, PEER) for n in range(count)]


def transmit_ring(bench: Bench) -> int:
    """Descriptors of the first transmit ring; a driver may ignore *TransmitBuffers."""
    return bench.device.read32(BAR0.QP_TX_COUNT.offset)


def flows(bench: Bench, bytes_each: int, count: int) -> None:
    """Fill both directions: `count` frames in the card, `count` sends with the driver, nothing done yet."""
    bench.device.is_manual = True
    bench.receive(*frames_to(bench.station, count, bytes_each))
    for number in range(count):
        bench.send(plain_frame(bytes_each, number, PEER), context=number)


def let_go(bench: Bench) -> None:
    """The card works again, and everything happens that can."""
    bench.device.is_manual = False
    bench.settle()


def take(bench: Bench, *frames: bytes) -> list[Received]:
    """Frames arrive; what the protocol got of them."""
    bench.protocol.received.clear()
    bench.receive(*frames)
    bench.settle()
    return list(bench.protocol.received)


def works(bench: Bench, why: str = "") -> None:
    """Frames go through in both directions."""
    after = f" {why}" if why else ""
    incoming = frames_to(bench.station, 3, 120, first=0xC0DE)
    bench.transmitted.clear()
    got = [frame.data for frame in take(bench, *incoming)]
    assert sorted(got) == sorted(incoming), f"{len(got)} of 3 frames were received{after}"
    outgoing = [plain_frame(99, number, PEER) for number in range(3)]
    before = len(bench.protocol.sent)
    for frame in outgoing:
        bench.send(frame)
    bench.settle()
    assert bench.transmitted == outgoing, f"{len(bench.transmitted)} of 3 frames left{after}"
    ended = [sent.status for sent in bench.protocol.sent[before:]]
    assert ended == [OK] * 3, f"sends ended {_names(ended)}{after}"


def link(bench: Bench) -> MediaConnectState:
    """The link as NDIS was last told."""
    return bench.adapter.link_state.connect


def state(bench: Bench) -> AdapterState:
    """The adapter's state."""
    return bench.adapter.state


def statuses(bench: Bench) -> list[NDIS_STATUS]:
    """How the sends ended, in the order in which they did."""
    return [sent.status for sent in bench.protocol.sent]


def contexts(bench: Bench) -> list[object]:
    """The contexts of the sends that ended, in that order."""
    return [sent.context for sent in bench.protocol.sent]


def injected(bench: Bench) -> list[NDIS_STATUS]:
    """How the sends from below the protocols ended."""
    return [status for _, status in bench.injector.completed]


def assert_all_sent(bench: Bench, frames: Sequence[bytes]) -> None:
    """These frames left, whole and in order, and each send ended with success."""
    assert len(bench.protocol.sent) == len(frames), f"{len(bench.protocol.sent)} of {len(frames)} sends ended"
    assert set(statuses(bench)) <= {OK}, f"sends ended {_names(set(statuses(bench)))}"
    same(bench.transmitted, [padded(frame) for frame in frames], "left")


def same(found: Sequence[bytes], wanted: Sequence[bytes], verb: str = "arrived") -> None:
    """The frames are the wanted ones, in their order; says where they are not."""
    assert len(found) == len(wanted), f"{len(found)} frames {verb}, {len(wanted)} should have"
    for number, (got, want) in enumerate(zip(found, wanted, strict=True)):
        if got != want:
            raise AssertionError(f"frame {number} {verb} as {_difference(got, want)}")


def _difference(got: bytes, want: bytes) -> str:
    if len(got) != len(want):
        return f"{len(got)} bytes instead of {len(want)}"
    at = next(place for place, pair in enumerate(zip(got, want, strict=True)) if pair[0] != pair[1])
    return f"0x{got[at]:02x} at byte {at} of {len(want)}, not 0x{want[at]:02x}"


def _names(found: Iterable[NDIS_STATUS]) -> str:
    return ", ".join(sorted({str(status) for status in found})) or "not at all"


def ask(bench: Bench, oid: int, size: int = 1024) -> OidRequest:
    """A query, and what came of it; its status is in it. One that pends is waited for."""
    request = query(oid, size)
    request.status = finished(bench, request)
    return request


def tell(bench: Bench, oid: int, data: bytes) -> NDIS_STATUS:
    """A set; its final status."""
    return finished(bench, set_(oid, data))


def finished(bench: Bench, request: OidRequest) -> NDIS_STATUS:
    """Make a request of the protocol and wait for its end."""
    status = bench.request(request)
    if status != NDIS_STATUS.PENDING:
        return status
    bench.settle()
    for done, final in bench.protocol.oids_completed:
        if done is request:
            return final
    raise AssertionError(f"{request} was never completed")


def set_filter(bench: Bench, wanted: int) -> None:
    """OID_GEN_CURRENT_PACKET_FILTER."""
    status = tell(bench, OID.GEN_CURRENT_PACKET_FILTER, int(wanted).to_bytes(4, "little"))
    assert status == OK, f"OID_GEN_CURRENT_PACKET_FILTER 0x{int(wanted):x} ended {status!s}"


def set_groups(bench: Bench, *addresses: bytes) -> None:
    """OID_802_3_MULTICAST_LIST."""
    status = tell(bench, OID.O802_3_MULTICAST_LIST, b"".join(addresses))
    assert status == OK, f"OID_802_3_MULTICAST_LIST of {len(addresses)} ended {status!s}"


def supports(bench: Bench, wanted: int) -> bool:
    """Whether the driver has a packet filter."""
    assert bench.adapter.general is not None
    return wanted & ~int(bench.adapter.general.supported_packet_filters) == 0


def statistics(bench: Bench) -> StatisticsInfo:
    """OID_GEN_STATISTICS."""
    request = ask(bench, OID.GEN_STATISTICS, StatisticsInfo.SIZE)
    assert request.status == OK, f"OID_GEN_STATISTICS ended {request.status!s}"
    return StatisticsInfo.parse(request.data)


def resets(bench: Bench) -> int:
    """How often NDIS reset the adapter."""
    return int.from_bytes(bench.query(OID.GEN_RESET_COUNTS, 4), "little")


def has_oid(bench: Bench, oid: int) -> bool:
    """Whether the driver's list of supported OIDs names one."""
    assert bench.adapter.general is not None
    return oid in bench.adapter.general.supported_oids


def current_offload(bench: Bench) -> Offload:
    """What is enabled, as NDIS was told."""
    return Offload.parse(bench.query(OID.TCP_OFFLOAD_CURRENT_CONFIG))


def keep_frames(bench: Bench, filters: int = PacketFilter.DIRECTED) -> None:
    """The protocol wants frames of a filter and keeps the NBLs."""
    set_filter(bench, filters)
    bench.protocol.keeps_nbls = True
