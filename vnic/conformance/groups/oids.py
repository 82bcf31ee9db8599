"""OIDs: what must be answered, sizes reported, sets validated, and that what was set or counted is so."""

from __future__ import annotations

import struct

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    GROUP,
    OK,
    ONE,
    ask,
    has_oid,
    padded,
    set_filter,
    set_groups,
    statistics,
    supports,
    take,
    tell,
    works,
)
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import OID, OIDS, Answerer, PacketFilter
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    InterruptModeration,
    InterruptModerationState,
    LinkState,
    MediaConnectState,
)
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_REQUEST = ddi("nc-ndis-miniport_oid_request")
_STRUCTURE = ddi("ns-oidrequest-ndis_oid_request", "oidrequest")
_MANDATORY = (
    OID.GEN_STATISTICS,
    OID.GEN_MAXIMUM_TOTAL_SIZE,
    OID.GEN_TRANSMIT_BUFFER_SPACE,
    OID.GEN_RECEIVE_BUFFER_SPACE,
    OID.GEN_TRANSMIT_BLOCK_SIZE,
    OID.GEN_RECEIVE_BLOCK_SIZE,
    OID.GEN_VENDOR_ID,
    OID.GEN_VENDOR_DESCRIPTION,
    OID.GEN_VENDOR_DRIVER_VERSION,
    OID.GEN_INTERRUPT_MODERATION,
    OID.O802_3_RCV_ERROR_ALIGNMENT,
    OID.O802_3_XMIT_ONE_COLLISION,
    OID.O802_3_XMIT_MORE_COLLISIONS,
)
_SETTABLE = (OID.GEN_CURRENT_PACKET_FILTER, OID.GEN_CURRENT_LOOKAHEAD, OID.O802_3_MULTICAST_LIST)
_TOO_SHORT = (NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.BUFFER_TOO_SHORT)
_PRIVATE = 0xFF55_AA01


def number(bench: Bench, oid: OID) -> int:
    """The answer to a query of a ULONG."""
    request = ask(bench, oid, 4)
    assert request.status == OK, f"{oid} ended {request.status!s}"
    assert request.bytes_written == 4, f"{oid} wrote {request.bytes_written} bytes of a ULONG"
    return int.from_bytes(request.data, "little")


def answered(bench: Bench) -> list[OID]:
    """The queries that go to the driver and that its list names."""
    return [oid for oid, info in OIDS.items() if info.query is Answerer.MINIPORT and has_oid(bench, oid)]


@case(
    guide("mandatory-oids-for-miniport-drivers"), "these OIDs are mandatory for an Ethernet miniport driver"
)
def answers_what_is_mandatory(bench: Bench) -> None:
    """Query every OID that an Ethernet miniport has to answer itself."""
    wrong = [(oid, ask(bench, oid).status) for oid in _MANDATORY]
    bad = [f"{oid} ends {status!s}" for oid, status in wrong if status != OK]
    assert not bad, "; ".join(bad)


@case(
    ddi("ns-ndis-_ndis_miniport_adapter_general_attributes"),
    "SupportedOidList names every OID that the driver supports",
)
def lists_what_is_mandatory(bench: Bench) -> None:
    """Look for the mandatory OIDs in SupportedOidList."""
    missing = [str(oid) for oid in (*_MANDATORY, *_SETTABLE) if not has_oid(bench, oid)]
    if (
        Feature.MULTICAST.value
        and bench.adapter.general
        and not bench.adapter.general.max_multicast_list_size
    ):
        missing = [name for name in missing if name != str(OID.O802_3_MULTICAST_LIST)]
    assert not missing, "not named: " + ", ".join(missing)


@case(ddi("ns-ndis-_ndis_miniport_adapter_general_attributes"), "what SupportedOidList names is supported")
def answers_all_that_it_lists(bench: Bench) -> None:
    """Query each OID of SupportedOidList that can be queried."""
    bad = []
    for oid in answered(bench):
        request = ask(bench, oid)
        if request.status != OK:
            bad.append(f"{oid} ends {request.status!s}")
        elif OIDS[oid].size and request.bytes_written < OIDS[oid].size:
            bad.append(
                f"{oid} gives {request.bytes_written} bytes, {OIDS[oid].structure} has {OIDS[oid].size}"
            )
    assert not bad, "; ".join(bad)


@case(
    _REQUEST,
    "a request for an OID that the driver does not know ends with NDIS_STATUS_NOT_SUPPORTED (or INVALID_OID)",
)
def refuses_what_it_does_not_know(bench: Bench) -> None:
    """Query and set a private OID of nobody, and OIDs of other media."""
    for oid in (_PRIVATE, 0x0D010101, 0x02020101, 0):
        for status in (ask(bench, oid).status, tell(bench, oid, bytes(16))):
            assert status in (NDIS_STATUS.NOT_SUPPORTED, NDIS_STATUS.INVALID_OID), (
                f"OID 0x{oid:08x} ended {status!s}"
            )
    works(bench)


@case(
    _STRUCTURE,
    "when InformationBufferLength is too small the driver sets BytesNeeded, writes nothing and fails",
)
def says_how_many_bytes_are_needed(bench: Bench) -> None:
    """Query each OID with every size from nothing to one byte less than its answer has (in steps for
    long ones)."""
    for oid in answered(bench):
        whole = ask(bench, oid)
        for size in sorted({0, 1, whole.bytes_written // 2, whole.bytes_written - 1}):
            if not 0 <= size < whole.bytes_written:
                continue
            request = ask(bench, oid, size)
            if oid == OID.GEN_STATISTICS and request.status == OK:
                continue
            assert request.status in _TOO_SHORT, f"{oid} with {size} bytes ended {request.status!s}"
            needed = request.bytes_needed
            assert needed > size, f"{oid} with {size} bytes: BytesNeeded {needed}"
            assert ask(bench, oid, needed).status == OK, f"{oid}: BytesNeeded {needed} do not do"
            assert request.bytes_written == 0, (
                f"{oid}: {request.bytes_written} bytes written of a failed query"
            )
            assert bytes(request.buffer) == bytes(size), f"{oid}: a failed query wrote into the buffer"


@case(_STRUCTURE, "BytesWritten is what was written; the rest of a buffer that is larger stays as it was")
def writes_no_more_than_it_says(bench: Bench) -> None:
    """Query each OID with a buffer of 2048 bytes."""
    for oid in answered(bench):
        request = ask(bench, oid, 2048)
        assert request.status == OK, f"{oid} with 2048 bytes ended {request.status!s}"
        assert 0 < request.bytes_written <= 2048
        assert not any(request.buffer[request.bytes_written :]), f"{oid} wrote behind its BytesWritten"


@case(
    _REQUEST,
    "a set whose buffer is too short ends with NDIS_STATUS_INVALID_LENGTH, says BytesNeeded, and changes "
    "nothing",
)
def refuses_sets_that_are_too_short(bench: Bench) -> None:
    """Set each OID that the driver takes with 0, 1 and one byte too few."""
    bad = []
    for oid, info in OIDS.items():
        if info.set is not Answerer.MINIPORT or not has_oid(bench, oid) or info.size < 4:
            continue
        if oid in (OID.PNP_SET_POWER, OID.PNP_QUERY_POWER) or "ignored" in info.structure:
            continue
        for size in sorted({0, 1, 3, info.size - 1}):
            status = tell(bench, oid, bytes(size))
            if status not in (*_TOO_SHORT, NDIS_STATUS.INVALID_DATA, NDIS_STATUS.NOT_SUPPORTED):
                bad.append(f"{oid} with {size} bytes ended {status!s}")
    assert not bad, "; ".join(bad)
    works(bench)


@case(
    guide("oid-gen-vendor-id"),
    "the three low-order bytes are the vendor's IEEE code, the first three of the address",
)
def vendor_and_version_are_sensible(bench: Bench) -> None:
    """Query vendor id, description and driver version."""
    assert number(bench, OID.GEN_VENDOR_ID) not in (0, 0xFFFFFFFF)
    text = ask(bench, OID.GEN_VENDOR_DESCRIPTION).data
    assert text.endswith(b"\0"), f"the description {text!r} has no zero at its end"
    assert text.rstrip(b"\0").isascii(), "the description is not ANSI"
    assert len(text) > 1, "the description is empty"
    number(bench, OID.GEN_VENDOR_DRIVER_VERSION)


@case(
    guide("oid-gen-maximum-total-size"),
    "MAXIMUM_TOTAL_SIZE is the MTU with the header; block sizes hold a frame",
    **ONE,
)
def sizes_agree_with_each_other(bench: Bench) -> None:
    """Compare MtuSize with the sizes of frames, blocks and buffers that the driver reports; send such a
    frame."""
    assert bench.adapter.general is not None
    mtu, total = bench.adapter.general.mtu_size, number(bench, OID.GEN_MAXIMUM_TOTAL_SIZE)
    assert mtu + 14 <= total <= mtu + 18, f"MtuSize {mtu}, MAXIMUM_TOTAL_SIZE {total}"
    for block, space in (
        (OID.GEN_TRANSMIT_BLOCK_SIZE, OID.GEN_TRANSMIT_BUFFER_SPACE),
        (OID.GEN_RECEIVE_BLOCK_SIZE, OID.GEN_RECEIVE_BUFFER_SPACE),
    ):
        least, most = number(bench, block), number(bench, space)
        assert 0 < least <= most, f"{block} {least}, {space} {most}"
    frame = plain_frame(mtu + 14, 1, PEER)
    bench.send(frame)
    bench.settle()
    assert bench.transmitted == [frame], "a frame of MtuSize and header did not leave"


@case(guide("oid-gen-current-lookahead"), "a miniport takes every lookahead up to its own")
def takes_a_lookahead(bench: Bench) -> None:
    """Set lookaheads from 1 byte to the adapter's; data is indicated whole with each."""
    assert bench.adapter.general is not None
    most = bench.adapter.general.lookahead_size
    for size in (1, 64, 128, most):
        status = tell(bench, OID.GEN_CURRENT_LOOKAHEAD, struct.pack("<I", size))
        assert status == OK, f"a lookahead of {size} bytes ended {status!s}"
        assert bench.query(OID.GEN_CURRENT_LOOKAHEAD, 4) == struct.pack("<I", size)
        works(bench, f"with a lookahead of {size}")
    assert tell(bench, OID.GEN_CURRENT_LOOKAHEAD, struct.pack("<I", most + 1)).is_error


@case(
    guide("ndis-status-link-state"),
    "every change of the link is indicated once, with its speed and state",
    **ONE,
)
def indicates_each_change_of_the_link(bench: Bench) -> None:
    """The link goes down and up again with 1, 25 and 100 Gb/s."""
    bench.protocol.statuses.clear()
    for speed in (0, 1_000, 0, 25_000, 0, 100_000):
        bench.device.set_link(speed)
        bench.settle()
    states = [
        LinkState.parse(each.buffer)
        for each in bench.protocol.statuses
        if each.status == NDIS_STATUS.LINK_STATE
    ]
    seen = [
        state.xmit_speed_bps // 1_000_000 if state.connect is MediaConnectState.CONNECTED else 0
        for state in states
    ]
    assert seen == [0, 1_000, 0, 25_000, 0, 100_000], f"the link states indicated are {seen} Mb/s"
    assert LinkState.parse(bench.query(OID.GEN_LINK_STATE, 40)).connect is MediaConnectState.CONNECTED


@case(
    guide("oid-gen-interrupt-moderation"),
    "moderation is reported as it is, and can be switched where it is supported",
    **ONE,
)
def switches_interrupt_moderation(bench: Bench) -> None:
    """Switch moderation off and on where the driver has it; traffic goes on, with fewer interrupts when
    it is on."""
    state = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data).state
    if state in (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN):
        raise NotSupported("interrupt moderation")
    raised = {}
    for wanted in (InterruptModerationState.DISABLED, InterruptModerationState.ENABLED):
        assert tell(bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(wanted).pack()) == OK
        now = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data).state
        assert now is wanted, f"{wanted.name} was set, {now.name} is reported"
        before = bench.processors[0].interrupts
        bench.protocol.received.clear()
        for n in range(100):
            bench.receive(plain_frame(100, n, bench.station))
            bench.advance(1_000)
        bench.settle()
        assert len(bench.received) == 100
        raised[wanted] = bench.processors[0].interrupts - before
    off, on = raised[InterruptModerationState.DISABLED], raised[InterruptModerationState.ENABLED]
    assert on < off, f"{on} interrupts with moderation, {off} without"
    assert tell(
        bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(InterruptModerationState.UNKNOWN).pack()
    ).is_error


@case(_REQUEST, "OID requests are served while the adapter is Paused")
def serves_requests_while_paused(bench: Bench) -> None:
    """Query and set while the adapter is paused; what was set is in force after the restart."""
    bench.adapter.pause()
    for oid in answered(bench):
        assert ask(bench, oid).status == OK, f"{oid} while Paused"
    if supports(bench, PacketFilter.MULTICAST):
        set_groups(bench, GROUP)
        bench.protocol.packet_filter = PacketFilter.MULTICAST
        assert bench.adapter.restart() == OK
        bench.settle()
        assert [f.data for f in take(bench, plain_frame(80, 1, GROUP))] == [plain_frame(80, 1, GROUP)]
        return
    assert bench.adapter.restart() == OK
    works(bench)


@case(_REQUEST, "OID requests and traffic do not disturb each other", seeds=(1, 2, 3), cpus=4)
def serves_requests_under_traffic(bench: Bench) -> None:
    """Frames arrive and leave on four processors while statistics, filters and moderation are asked for
    and set."""
    frames = [plain_frame(100, n, bench.station) for n in range(120)]
    for n in range(0, 120, 10):
        bench.receive(*frames[n : n + 10])
        for m in range(5):
            bench.send(plain_frame(90, n + m, PEER))
        statistics(bench)
        set_filter(bench, PacketFilter.DIRECTED | PacketFilter.BROADCAST)
        ask(bench, OID.GEN_INTERRUPT_MODERATION, 12)
    bench.settle()
    assert sorted(bench.received) == sorted(frames), f"{len(bench.received)} of 120 frames arrived"
    assert sorted(bench.transmitted) == sorted(
        padded(plain_frame(90, n + m, PEER)) for n in range(0, 120, 10) for m in range(5)
    )


@case(_STRUCTURE, "a set whose buffer is too short ends with NDIS_STATUS_INVALID_LENGTH")
def short_sets(bench: Bench) -> None:
    """Set every OID of the driver that takes a structure with the first 0 to 3 bytes of it."""
    wrong = []
    for oid, whole in (
        (OID.GEN_INTERRUPT_MODERATION, InterruptModeration(InterruptModerationState.ENABLED).pack()),
        (OID.GEN_RECEIVE_SCALE_PARAMETERS, bytes(40)),
        (OID.TCP_OFFLOAD_PARAMETERS, bytes(32)),
        (OID.GEN_CURRENT_PACKET_FILTER, bytes(4)),
    ):
        if not has_oid(bench, oid):
            continue
        for size in range(4):
            status = tell(bench, oid, whole[:size])
            if status in (NDIS_STATUS.NOT_SUPPORTED, NDIS_STATUS.INVALID_OID):
                break
            if status not in (NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.INVALID_DATA):
                wrong.append(f"{oid} with {size} bytes ended {status!s}")
    assert not wrong, "; ".join(wrong)
    works(bench)


@case(guide("oid-gen-interrupt-moderation"), "a change of moderation is in force when the set has succeeded")
def moderation_changes_at_once(bench: Bench) -> None:
    """Moderation off, on and off again: count the interrupts of 50 frames 1 us apart each time."""
    state = InterruptModeration.parse(ask(bench, OID.GEN_INTERRUPT_MODERATION, 12).data)
    if (
        state.state in (InterruptModerationState.NOT_SUPPORTED, InterruptModerationState.UNKNOWN)
        or state.flags
    ):
        raise NotSupported("interrupt moderation that changes at once")
    raised = []
    off, on = InterruptModerationState.DISABLED, InterruptModerationState.ENABLED
    for wanted in (off, on, off):
        assert tell(bench, OID.GEN_INTERRUPT_MODERATION, InterruptModeration(wanted).pack()) == OK
        bench.settle()
        before = sum(bench.processors[cpu].interrupts for cpu in range(len(bench.processors)))
        for number in range(50):
            bench.receive(plain_frame(100, number, bench.station))
            bench.advance(1_000)
        bench.settle()
        after = sum(bench.processors[cpu].interrupts for cpu in range(len(bench.processors)))
        raised.append(after - before)
    assert raised[1] < raised[0], f"{raised[1]} interrupts with moderation, {raised[0]} without it before"
    assert raised[1] < raised[2], f"{raised[1]} interrupts with moderation, {raised[2]} without it after"
