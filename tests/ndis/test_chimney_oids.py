"""The OIDs of the chimney as NDIS passes, answers and checks them, and their structures as bytes."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ndis.chimney_toys import CONNECTIONS, SUCCESS, ChimneyProtocol, Rig, make_rig, neighbor, path, tcp
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE as TYPE
from vnic.ndis.chimney_stats import IpOffloadStats, TcpOffloadStats
from vnic.ndis.offload import OffloadParameters, Switch, TcpConnectionOffload, TcpConnectionOffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError

WIDE = st.integers(0, (1 << 64) - 1)
NARROW = st.integers(0, (1 << 32) - 1)


@pytest.fixture
def rig() -> Rig:
    """A running one whose miniport answers the statistics."""
    rig = make_rig()
    rig.start()
    return rig


def answers(rig: Rig, data: bytes) -> None:
    """Every query of the miniport is answered so; sets are accepted."""

    def oid(default: object, request: OidRequest) -> NDIS_STATUS:
        if request.is_query:
            return request.answer(data)
        request.bytes_read = request.buffer_length
        return SUCCESS

    rig.miniport.hooks["oid_request"] = oid


@given(st.tuples(*[WIDE] * 2, *[NARROW] * 5))
def test_tcp_stats_are_what_they_were(values: tuple[int, ...]) -> None:
    stats = TcpOffloadStats(*values)
    data = stats.pack()
    assert len(data) == 40
    assert astuple(TcpOffloadStats.parse(data)) == values
    assert data[:8] == values[0].to_bytes(8, "little")
    assert data[16:20] == values[2].to_bytes(4, "little")


@given(st.tuples(*[WIDE] * 5, *[NARROW] * 5))
def test_ip_stats_are_what_they_were(values: tuple[int, ...]) -> None:
    data = IpOffloadStats(*values).pack()
    assert len(data) == 64
    assert astuple(IpOffloadStats.parse(data)) == values
    assert data[40:44] == values[5].to_bytes(4, "little")


def test_counters_wrap() -> None:
    stats = TcpOffloadStats(in_segments=1 << 64, out_resets=(1 << 32) + 5)
    assert TcpOffloadStats.parse(stats.pack()) == TcpOffloadStats(out_resets=5)


@pytest.mark.parametrize("cls", [TcpOffloadStats, IpOffloadStats])
def test_stats_that_are_cut_short(cls: type[TcpOffloadStats | IpOffloadStats]) -> None:
    with pytest.raises(StructureError) as caught:
        cls.parse(bytes(cls.SIZE - 1))
    assert caught.value.bytes_needed == cls.SIZE


@pytest.mark.requirement("INV-50")
@pytest.mark.parametrize(("kind", "oid"), [(TYPE.IP4_PATH_ALL, OID.TCP4_OFFLOAD_STATS),
                                           (TYPE.IP6_PATH_ALL, OID.TCP6_OFFLOAD_STATS)])  # fmt: skip
def test_established_connections_are_offloaded_ones(rig: Rig, kind: TYPE, oid: OID) -> None:
    rig.initiate(neighbor(path(tcp(), tcp(), kind=kind)))
    answers(rig, TcpOffloadStats(9, 9, 2).pack())
    assert rig.protocol.query(oid)[0] == SUCCESS
    other = OID.TCP6_OFFLOAD_STATS if oid == OID.TCP4_OFFLOAD_STATS else OID.TCP4_OFFLOAD_STATS
    with rig.breach("INV-50", "target"):
        rig.protocol.query(other)
    answers(rig, TcpOffloadStats(9, 9, 3).pack())
    with rig.breach("INV-50", "target"):
        rig.protocol.query(oid)


def test_stats_of_another_size(rig: Rig) -> None:
    answers(rig, bytes(36))
    with rig.breach("OID-2", "target"):
        rig.protocol.query(OID.IP4_OFFLOAD_STATS)


def test_a_set_of_stats_resets_them_whatever_the_buffer(rig: Rig) -> None:
    answers(rig, b"")
    for oid in (OID.TCP4_OFFLOAD_STATS, OID.TCP6_OFFLOAD_STATS, OID.IP4_OFFLOAD_STATS, OID.IP6_OFFLOAD_STATS):
        assert rig.protocol.set(oid, b"") == SUCCESS
        assert rig.protocol.set(oid, b"ignored") == SUCCESS


def test_ndis_answers_capabilities_and_configuration(rig: Rig) -> None:
    answers(rig, b"")
    for oid in (
        OID.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES,
        OID.TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG,
    ):
        status, data = rig.protocol.query(oid)
        assert (status, TcpConnectionOffload.parse(data)) == (SUCCESS, CONNECTIONS)
    parameters = TcpConnectionOffloadParameters(ticks_per_second=100, push_ticks=50)
    assert rig.protocol.set(OID.TCP_CONNECTION_OFFLOAD_PARAMETERS, parameters.pack()) == SUCCESS
    status, data = rig.protocol.query(OID.TCP_CONNECTION_OFFLOAD_PARAMETERS)
    assert (status, TcpConnectionOffloadParameters.parse(data)) == (SUCCESS, parameters)
    assert rig.adapter.chimney.parameters == parameters


def switch(ipv4: Switch = Switch.NO_CHANGE, ipv6: Switch = Switch.NO_CHANGE) -> bytes:
    """OID_TCP_OFFLOAD_PARAMETERS."""
    return OffloadParameters(tcp_connection_ipv4=ipv4, tcp_connection_ipv6=ipv6).pack()


@pytest.mark.requirement("CHIM-9")
def test_connection_offload_is_switched_by_ip_version(rig: Rig) -> None:
    assert rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.DISABLED)) == SUCCESS
    _, data = rig.protocol.query(OID.TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG)
    assert TcpConnectionOffload.parse(data) == replace(CONNECTIONS, ipv4=False)
    rig.initiate(neighbor(path(tcp(), kind=TYPE.IP6_PATH_ALL)))
    with rig.breach("CHIM-9", "client"):
        rig.initiate(neighbor(path(tcp())))
    assert rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.ENABLED)) == SUCCESS
    rig.initiate(neighbor(path(tcp())))
    assert rig.client.statuses == [SUCCESS] * 3


@pytest.mark.requirement("CHIM-12")
@pytest.mark.parametrize("is_ipv6", [False, True])
def test_a_disable_with_connections_offloaded(rig: Rig, is_ipv6: bool) -> None:
    rig.initiate(neighbor(path(tcp(), kind=TYPE.IP6_PATH_ALL if is_ipv6 else TYPE.IP4_PATH_ALL)))
    off = Switch.DISABLED
    right = switch(ipv4=off) if is_ipv6 else switch(ipv6=off)
    assert rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, right) == SUCCESS
    wrong = switch(ipv6=off) if is_ipv6 else switch(ipv4=off)
    with rig.breach("CHIM-12", "client"):
        rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, wrong)


@pytest.mark.requirement("CHIM-14")
def test_two_protocols_enable_connection_offload(rig: Rig) -> None:
    other = ChimneyProtocol()
    binding = rig.adapter.bind(other)
    assert binding is not None
    assert rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.ENABLED)) == SUCCESS
    assert other.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.NO_CHANGE, Switch.NO_CHANGE)) == SUCCESS
    with rig.breach("CHIM-14", "client"):
        other.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.ENABLED))
    assert rig.binding is not None
    rig.adapter.unbind(rig.binding)
    assert other.set(OID.TCP_OFFLOAD_PARAMETERS, switch(Switch.ENABLED)) == SUCCESS


def test_malformed_parameters_are_the_miniports_to_refuse(rig: Rig) -> None:
    rig.offload()
    status = rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, b"\x80\x01")
    assert status in (NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.INVALID_DATA)


def test_more_than_the_hardware_can(rig: Rig) -> None:
    hardware = replace(CONNECTIONS, ipv6=False)
    rig.miniport.indicate_status(NDIS_STATUS.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES, hardware.pack())
    assert rig.adapter.chimney.capabilities == hardware
    answers(rig, b"")
    with rig.breach("OFFLOAD-1", "target"):
        rig.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, switch(ipv6=Switch.ENABLED))


def test_the_capability_may_go_and_come(rig: Rig) -> None:
    """After OFFLOAD_RESUME capabilities may differ."""
    binding = rig.binding
    assert binding is not None
    none = replace(CONNECTIONS, encapsulation=0)
    status = NDIS_STATUS.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES
    rig.miniport.indicate_status(status, none.pack())
    assert binding.chimney is None
    rig.miniport.indicate_status(status, CONNECTIONS.pack())
    assert binding.chimney is not None
