"""OIDs by which a host says what it would like, or what it is: granted, refused or ignored."""

from __future__ import annotations

from dataclasses import replace

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    ask,
    current_offload,
    has_oid,
    link,
    set_filter,
    set_groups,
    tell,
    works,
)
from vnic.conformance.groups.chimney import drained, offloading, one
from vnic.conformance.pages import chimney, ddi, guide
from vnic.ndis.offload import TcpConnectionOffloadParameters
from vnic.ndis.oid import OID, PacketFilter
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    LINK_SPEED_UNKNOWN,
    LinkParameters,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
)
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import EVENT, REASON, tcp
from vnic.testbench.frames import plain_frame

_LINK = guide("oid-gen-link-parameters")
_GENERAL = guide("general-statistics")
_ETHERNET = guide("oid-802-3-rcv-overrun")
_CONNECTIONS = chimney("oid-tcp-connection-offload-parameters")
_SECOND_NS = 1_000_000_000


@case(_LINK, "a wish about the link is granted or refused; what is reported is what is so", **ONE)
def wishes_about_the_link(bench: Bench) -> None:
    """Wish for auto-negotiation, for half duplex, for 10 Mbit/s, and set what makes no sense."""
    if not has_oid(bench, OID.GEN_LINK_PARAMETERS):
        raise NotSupported("OID_GEN_LINK_PARAMETERS")
    wishes = {
        "nothing": LinkParameters(),
        "full duplex": LinkParameters(MediaDuplexState.FULL),
        "half duplex": LinkParameters(MediaDuplexState.HALF),
        "10 Mbit/s": LinkParameters(MediaDuplexState.FULL, 10_000_000, 10_000_000),
    }
    for name, wish in wishes.items():
        status = tell(bench, OID.GEN_LINK_PARAMETERS, wish.pack())
        now = LinkState.parse(bench.query(OID.GEN_LINK_STATE, LinkState.SIZE))
        assert now.connect is MediaConnectState.CONNECTED, f"no link after a wish for {name}"
        if name == "nothing":
            assert status == OK, f"a wish for nothing in particular ended {status!s}"
        elif status == OK:
            assert wish.duplex in (now.duplex, MediaDuplexState.UNKNOWN), f"{name} was granted, and is not so"
            wanted = now.xmit_speed_bps if wish.xmit_speed_bps == LINK_SPEED_UNKNOWN else wish.xmit_speed_bps
            assert now.xmit_speed_bps == wanted, f"{name} was granted, and is not so"
        works(bench)
    good = LinkParameters().pack()
    for data in (b"", good[:31], b"\x81" + good[1:], good[:4] + b"\x09" + good[5:]):
        assert tell(bench, OID.GEN_LINK_PARAMETERS, data).is_error, f"{len(data)} bytes were taken"
    assert link(bench) is MediaConnectState.CONNECTED


@case(_GENERAL, "what a host tells of itself is taken or refused, and changes nothing", **ONE)
def what_a_host_tells_of_itself(bench: Bench) -> None:
    """OID_GEN_MACHINE_NAME and OID_GEN_NETWORK_LAYER_ADDRESSES, of some lengths."""
    for oid, data in (
        (OID.GEN_MACHINE_NAME, "machine".encode("utf-16-le")),
        (OID.GEN_MACHINE_NAME, b""),
        (OID.GEN_NETWORK_LAYER_ADDRESSES, bytes(8)),
        (OID.GEN_NETWORK_LAYER_ADDRESSES, bytes(8 + 12)),
    ):
        status = tell(bench, oid, data)
        assert status == OK or not has_oid(bench, oid), f"{oid.name} of {len(data)} bytes ended {status!s}"
        works(bench)


@case(
    _ETHERNET,
    "Ethernet's counters are 32 or 64 bits, 0 where nothing happened, and can be asked twice",
    **ONE,
)
def counters_of_ethernet(bench: Bench) -> None:
    """Ask for each one that the driver lists, with room for a ULONG, for more, and for less."""
    oids = (
        *(OID.O802_3_RCV_ERROR_ALIGNMENT, OID.O802_3_RCV_OVERRUN, OID.O802_3_XMIT_ONE_COLLISION),
        *(OID.O802_3_XMIT_MORE_COLLISIONS, OID.O802_3_XMIT_DEFERRED, OID.O802_3_XMIT_MAX_COLLISIONS),
        *(OID.O802_3_XMIT_UNDERRUN, OID.O802_3_XMIT_HEARTBEAT_FAILURE, OID.O802_3_XMIT_TIMES_CRS_LOST),
        *(OID.O802_3_XMIT_LATE_COLLISIONS, OID.GEN_RCV_CRC_ERROR),
    )
    listed = [oid for oid in oids if has_oid(bench, oid)]
    if not listed:
        raise NotSupported("counters of Ethernet")
    works(bench)
    for oid in listed:
        for size in (4, 8, 8):
            request = ask(bench, oid, size)
            assert request.status == OK, f"{oid.name} with room for {size} bytes ended {request.status!s}"
            assert len(request.data) in (4, 8), f"{oid.name} has {len(request.data)} bytes"
            assert not any(request.data), f"{oid.name} counts {request.data.hex()} where nothing happened"
        short = ask(bench, oid, 3)
        assert short.status.is_error, f"{oid.name} fitted into 3 bytes"
        assert tell(bench, oid, bytes(4)).is_error, f"{oid.name} was set"


def _parameters(bench: Bench, wanted: TcpConnectionOffloadParameters) -> NDIS_STATUS:
    return tell(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, wanted.pack())


@case(
    _CONNECTIONS,
    "OID_TCP_CONNECTION_OFFLOAD_PARAMETERS is refused by a driver that cannot offload connections",
    **ONE,
)
def parameters_without_a_chimney(bench: Bench) -> None:
    """Set it on a card without a chimney; then frames go both ways."""
    assert _parameters(bench, TcpConnectionOffloadParameters()).is_error
    works(bench)


@case(
    _CONNECTIONS,
    "TcpDoubtReachabilityRetransmissions is in force for connections that are offloaded after the set",
    Feature.CHIMNEY,
)
def retransmissions_by_the_parameters(bench: Bench) -> None:
    """With 2 and with 4: how often a segment is sent again before the host is asked to take it back."""
    if not has_oid(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_CONNECTION_OFFLOAD_PARAMETERS")
    counts = []
    for most in (2, 4):
        wanted = TcpConnectionOffloadParameters(
            maximum_retransmissions=10, doubt_reachability_retransmissions=most
        )
        assert _parameters(bench, wanted) == OK, f"{most} retransmissions were refused"
        chimneys, connection = one(bench)
        connection.send(b"nobody hears")
        for _ in range(120):
            if connection.told(EVENT.RETRIEVE.name):
                break
            chimneys.advance(_SECOND_NS)
        told = connection.told(EVENT.RETRIEVE.name)
        assert told == [(REASON.UPLOAD_REQUESTED,)], f"TcpIndicateRetrieve: {told}"
        counts.append(sum(each.payload == b"nobody hears" for each in connection.sent()) - 1)
        chimneys.upload_all()
        chimneys.connections.clear()
    assert counts[1] - counts[0] == 2, f"with 2 and 4 there were {counts[0]} and {counts[1]} retransmissions"


@case(
    _CONNECTIONS,
    "parameters that cannot be are refused, those in force stay, and what is offloaded goes on",
    Feature.CHIMNEY,
)
def parameters_that_are_refused(bench: Bench) -> None:
    """TicksPerSecond of 0 and 7, no encapsulation, cut short; good ones while a connection is offloaded."""
    if not has_oid(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_CONNECTION_OFFLOAD_PARAMETERS")
    before = current_offload(bench)
    good = TcpConnectionOffloadParameters()
    wrong = [replace(good, ticks_per_second=ticks).pack() for ticks in (0, 7)]
    wrong += [replace(good, encapsulation=0).pack(), good.pack()[:31], b"", b"\x81" + good.pack()[1:]]
    for data in wrong:
        status = tell(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, data)
        assert status.is_error, f"{data.hex()} ended {status!s}"
    chimneys, connection = one(bench)
    for data in [good.pack(), *wrong]:
        tell(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, data)
        connection.send(b"goes on")
        assert drained(connection) == b"goes on", "a set that came beside a connection ended it"
    assert current_offload(bench) == before
    chimneys.receive(plain_frame(100, 1, bench.station))
    chimneys.settle()


@case(
    _CONNECTIONS,
    "whatever values are set, they are taken or refused, and connections can be offloaded afterwards",
    Feature.CHIMNEY,
)
def parameters_at_their_limits(bench: Bench) -> None:
    """Each member at 0, 1 and its largest value; after each set a connection is offloaded and used."""
    if not has_oid(bench, OID.TCP_CONNECTION_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_CONNECTION_OFFLOAD_PARAMETERS")
    good = TcpConnectionOffloadParameters()
    octets = (
        "ack_frequency",
        "delayed_ack_ticks",
        "maximum_retransmissions",
        "doubt_reachability_retransmissions",
    )
    words = "sws_prevention_ticks", "duplicate_ack_threshold", "push_ticks", "nce_stale_ticks"
    largest = dict.fromkeys(octets, 0xFF) | dict.fromkeys(words, 0xFFFF_FFFF)
    chimneys = offloading(bench)
    for name, most in largest.items():
        for value in (0, 1, most):
            _parameters(bench, replace(good, **{name: value}))
            (connection,) = chimneys.connect(tcp(40000 + value % 7))
            connection.send(b"works")
            assert connection.acknowledge() == b"works", f"{name} is {value}, and nothing is sent"
            chimneys.upload_all()
            chimneys.connections.clear()
    assert _parameters(bench, good) == OK, "after all that good values are refused"


@case(
    ddi("ns-oidrequest-ndis_oid_request", "oidrequest"),
    "BytesRead of a set that succeeded counts what was read: of a list, all of it",
    Feature.MULTICAST,
    **ONE,
)
def counts_what_it_read_of_a_set(bench: Bench) -> None:
    """Set the packet filter, multicast lists of 0 to 3 addresses, and RSS where there is RSS."""
    assert bench.adapter.general is not None
    queue, ended = bench.adapter.oids.queue, list[tuple[OidRequest, int]]()
    genuine, keeps = queue.ask, queue.keeps

    def note(request: OidRequest, status: NDIS_STATUS) -> None:
        if not request.is_query and status == OK:
            ended.append((request, request.bytes_read))

    def ask_(request: OidRequest) -> NDIS_STATUS:
        status = genuine(request)
        note(request, status)
        return status

    def complete(request: OidRequest, status: NDIS_STATUS) -> bool:
        note(request, status)
        return keeps(request, status)

    queue.ask, queue.keeps = ask_, complete
    groups = [bytes.fromhex(f"01005e0000{last:02x}") for last in range(3)]
    for count in range(min(3, bench.adapter.general.max_multicast_list_size) + 1):
        set_groups(bench, *groups[:count])
    set_filter(bench, PacketFilter.DIRECTED)
    if bench.adapter.general.receive_scale is not None:
        assert bench.set_rss(table=(0,)) == OK
    assert ended, "no set reached the driver"
    for request, count in ended:
        assert count == request.buffer_length, f"{request} succeeded with BytesRead {count}"
