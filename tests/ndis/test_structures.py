"""NDIS structures: sizes of the public headers, round trips, and hostile bytes that end in a status."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.ndis.oid_request import set_
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    AutoNegotiation,
    DevicePowerState,
    InterruptModeration,
    InterruptModerationState,
    LinkParameters,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    ObjectType,
    PauseFunctions,
    PnpCapabilities,
    StatisticsInfo,
    StructureError,
    pack_header,
    parse_header,
    parse_multicast_list,
)

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)

LINK_STATES = st.builds(
    LinkState,
    st.sampled_from(MediaConnectState),
    st.sampled_from(MediaDuplexState),
    U64,
    U64,
    st.sampled_from(PauseFunctions),
    st.integers(0, 15).map(AutoNegotiation),
)
LINK_PARAMETERS = st.builds(
    LinkParameters,
    st.sampled_from(MediaDuplexState),
    U64,
    U64,
    st.sampled_from(PauseFunctions),
    st.integers(0, 15).map(AutoNegotiation),
)
PARSERS: list[Callable[[bytes], object]] = [
    LinkState.parse,
    LinkParameters.parse,
    StatisticsInfo.parse,
    InterruptModeration.parse,
    DevicePowerState.parse,
]


@given(LINK_STATES)
def test_link_state_round_trips(state: LinkState) -> None:
    assert len(state.pack()) == 40
    assert LinkState.parse(state.pack()) == state


@given(LINK_PARAMETERS)
def test_link_parameters_round_trip(parameters: LinkParameters) -> None:
    assert len(parameters.pack()) == 32
    assert LinkParameters.parse(parameters.pack()) == parameters


def test_link_state_has_its_speeds_at_16_and_24() -> None:
    packed = LinkState(MediaConnectState.CONNECTED, MediaDuplexState.FULL, 0x1122334455667788, 9).pack()
    assert packed[:4] == bytes([0x80, 1, 40, 0])
    assert packed[16:24] == bytes.fromhex("8877665544332211")
    assert packed[24] == 9


@given(st.lists(U64, min_size=18, max_size=18))
def test_statistics_round_trip(counters: list[int]) -> None:
    packed = StatisticsInfo(StatisticsInfo.ALL, *counters).pack()
    assert len(packed) == 152
    assert StatisticsInfo.parse(packed) == StatisticsInfo(StatisticsInfo.ALL, *counters)
    assert packed[8:16] == counters[0].to_bytes(8, "little")


def test_statistics_counters_wrap() -> None:
    assert StatisticsInfo.parse(StatisticsInfo(if_in_errors=(1 << 64) + 5).pack()).if_in_errors == 5


@given(st.sampled_from(InterruptModerationState), st.integers(0, 3))
def test_interrupt_moderation_round_trips(state: InterruptModerationState, flags: int) -> None:
    moderation = InterruptModeration(state, flags)
    assert len(moderation.pack()) == 12
    assert InterruptModeration.parse(moderation.pack()) == moderation


def test_pnp_capabilities_have_no_object_header() -> None:
    packed = PnpCapabilities(0, DevicePowerState.D3, DevicePowerState.UNSPECIFIED, DevicePowerState.D2).pack()
    assert packed == bytes.fromhex("00000000 04000000 00000000 03000000")


@pytest.mark.parametrize("value", [0, 5, 0xFFFFFFFF])
def test_a_power_state_out_of_range_is_invalid_data(value: int) -> None:
    with pytest.raises(StructureError) as caught:
        DevicePowerState.parse(value.to_bytes(4, "little"))
    assert caught.value.status == NDIS_STATUS.INVALID_DATA


@given(st.binary(max_size=200))
def test_noise_ends_in_a_status_of_a_driver(data: bytes) -> None:
    for parse in PARSERS:
        try:
            parse(data)
        except StructureError as error:
            assert error.status in (
                NDIS_STATUS.INVALID_LENGTH,
                NDIS_STATUS.INVALID_DATA,
                NDIS_STATUS.BAD_VERSION,
            )
            if error.status == NDIS_STATUS.INVALID_LENGTH:
                assert error.bytes_needed > 0


@given(LINK_STATES, st.integers(0, 39))
def test_a_cut_structure_is_invalid_length_with_bytes_needed(state: LinkState, length: int) -> None:
    with pytest.raises(StructureError) as caught:
        LinkState.parse(state.pack()[:length])
    assert (caught.value.status, caught.value.bytes_needed) == (NDIS_STATUS.INVALID_LENGTH, 40)
    request = set_(1, bytes(length))
    assert caught.value.fail(request) == NDIS_STATUS.INVALID_LENGTH
    assert request.bytes_needed == 40


def test_header_rules() -> None:
    sizes = {1: 8, 2: 12}

    def parse(data: bytes) -> int:
        return parse_header("X", data, ObjectType.DEFAULT, sizes)

    assert parse(pack_header(ObjectType.DEFAULT, 1, 8) + bytes(4)) == 1
    assert parse(pack_header(ObjectType.DEFAULT, 2, 12) + bytes(8)) == 2
    assert parse(pack_header(ObjectType.DEFAULT, 9, 99) + bytes(95)) == 2
    for data, status in (
        (pack_header(ObjectType.OFFLOAD, 1, 8) + bytes(4), NDIS_STATUS.INVALID_DATA),
        (pack_header(ObjectType.DEFAULT, 0, 8) + bytes(4), NDIS_STATUS.BAD_VERSION),
        (pack_header(ObjectType.DEFAULT, 2, 12) + bytes(4), NDIS_STATUS.INVALID_LENGTH),
        (pack_header(ObjectType.DEFAULT, 2, 8) + bytes(8), NDIS_STATUS.INVALID_LENGTH),
        (b"\x80", NDIS_STATUS.INVALID_LENGTH),
    ):
        with pytest.raises(StructureError) as caught:
            parse(data)
        assert caught.value.status == status


def test_multicast_list_rules() -> None:
    group, other = bytes.fromhex("0100 5e00 0001"), bytes.fromhex("3333 0000 0001")
    assert parse_multicast_list(group + other, 2) == (group, other)
    assert parse_multicast_list(b"", 0) == ()
    for data, limit, status in (
        (group + b"\x01", 4, NDIS_STATUS.INVALID_LENGTH),
        (group + other, 1, NDIS_STATUS.MULTICAST_FULL),
        (bytes(6), 4, NDIS_STATUS.INVALID_DATA),
    ):
        with pytest.raises(StructureError) as caught:
            parse_multicast_list(data, limit)
        assert caught.value.status == status
