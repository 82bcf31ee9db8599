"""Offload structures of NDIS 6 and the task-offload list of NDIS 5."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.ndis.offload import (
    ChecksumOffload,
    Encapsulation,
    LargeSendV1,
    LargeSendV2,
    Offload,
    OffloadEncapsulation,
    OffloadParameters,
    Switch,
    TcpConnectionOffload,
    TcpConnectionOffloadParameters,
    Toggle,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError
from vnic.ndis.task_offload import ChecksumBits, ChecksumTask, LargeSendTask, TaskOffload

U32 = st.integers(0, (1 << 32) - 1)
BOOL = st.booleans()
CHECKSUMS = st.builds(ChecksumOffload, U32, BOOL, BOOL, BOOL, BOOL, BOOL)
LSO_V1 = st.builds(LargeSendV1, U32, U32, U32, BOOL, BOOL)
LSO_V2 = st.builds(LargeSendV2, U32, U32, U32, U32, U32, U32, BOOL, BOOL)
OFFLOADS = st.builds(Offload, CHECKSUMS, CHECKSUMS, CHECKSUMS, CHECKSUMS, LSO_V1, LSO_V2, U32)
PARAMETERS = st.builds(
    OffloadParameters, *[st.sampled_from(Toggle)] * 5, *[st.sampled_from(Switch)] * 5, flags=U32
)
BITS = st.builds(ChecksumBits, BOOL, BOOL, BOOL, BOOL, BOOL)
TASKS = st.builds(
    TaskOffload,
    st.none() | st.builds(ChecksumTask, BITS, BITS, BITS, BITS),
    st.none() | st.builds(LargeSendTask, U32, U32, BOOL, BOOL),
)


@given(OFFLOADS)
def test_offload_round_trips_in_112_bytes(offload: Offload) -> None:
    assert len(offload.pack()) == 112
    assert Offload.parse(offload.pack()) == offload


@given(PARAMETERS)
def test_parameters_round_trip(parameters: OffloadParameters) -> None:
    assert len(parameters.pack()) == 20
    assert OffloadParameters.parse(parameters.pack()) == parameters


@given(
    st.builds(OffloadEncapsulation, st.integers(0, 2), U32, U32, st.integers(0, 2), U32, U32),
    st.builds(TcpConnectionOffload, U32, BOOL, BOOL, BOOL, BOOL, st.integers(0, 15), U32, U32),
)
def test_encapsulation_and_connection_offload_round_trip(
    encapsulation: OffloadEncapsulation, connection: TcpConnectionOffload
) -> None:
    assert OffloadEncapsulation.parse(encapsulation.pack()) == encapsulation
    assert TcpConnectionOffload.parse(connection.pack()) == connection


def test_connection_parameters() -> None:
    parameters = TcpConnectionOffloadParameters(push_ticks=50, ticks_per_second=100)
    assert TcpConnectionOffloadParameters.parse(parameters.pack()) == parameters
    for wrong in (
        TcpConnectionOffloadParameters(ticks_per_second=60),
        TcpConnectionOffloadParameters(encapsulation=Encapsulation.NULL),
    ):
        with pytest.raises(StructureError) as caught:
            TcpConnectionOffloadParameters.parse(wrong.pack())
        assert caught.value.status == NDIS_STATUS.INVALID_DATA


@pytest.mark.parametrize("place", [*range(4, 15)])
def test_each_member_of_the_parameters_has_a_range(place: int) -> None:
    packed = bytearray(OffloadParameters().pack())
    packed[place] = 5
    with pytest.raises(StructureError) as caught:
        OffloadParameters.parse(bytes(packed))
    assert caught.value.status == NDIS_STATUS.INVALID_DATA


def test_ipsec_of_revision_2_is_refused_and_disabling_it_is_fine() -> None:
    packed = bytearray(OffloadParameters().pack()) + bytes(2)
    struct.pack_into("<BH", packed, 1, 2, 22)
    packed[20] = 1
    assert OffloadParameters.parse(bytes(packed)) == OffloadParameters()
    packed[21] = 4
    with pytest.raises(StructureError):
        OffloadParameters.parse(bytes(packed))


def test_exceeds_names_what_the_hardware_cannot() -> None:
    hardware = Offload(
        ipv4_transmit=ChecksumOffload(Encapsulation.IEEE_802_3, tcp_checksum=True),
        lso_v1=LargeSendV1(Encapsulation.IEEE_802_3, 65536, 2),
    )
    assert hardware.exceeds(hardware) == []
    assert Offload().exceeds(hardware) == []
    wish = Offload(
        ipv4_transmit=ChecksumOffload(Encapsulation.NULL, tcp_checksum=True, udp_checksum=True),
        lso_v1=LargeSendV1(Encapsulation.IEEE_802_3, 65537, 1),
    )
    assert wish.exceeds(hardware) == [
        "ipv4_transmit.encapsulation",
        "ipv4_transmit.udp_checksum",
        "lso_v1.max_offload_size",
        "lso_v1.min_segment_count",
    ]


@given(TASKS)
def test_task_offload_round_trips(tasks: TaskOffload) -> None:
    assert TaskOffload.parse(tasks.pack()) == tasks


def test_task_offload_links_its_nodes_by_offset() -> None:
    packed = TaskOffload(ChecksumTask(), LargeSendTask(65536, 2)).pack()
    assert struct.unpack_from("<4I", packed) == (1, 28, 0, 28)
    assert struct.unpack_from("<5I", packed, 28) == (1, 24, 0, 36, 16)
    assert struct.unpack_from("<5I", packed, 64) == (1, 24, 2, 0, 16)
    assert struct.unpack_from("<4I", TaskOffload().pack())[3] == 0


@given(TASKS, st.data())
def test_task_offload_with_any_bytes_wrong_ends(tasks: TaskOffload, data: st.DataObject) -> None:
    packed = bytearray(tasks.pack())
    for _ in range(data.draw(st.integers(1, 6))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        TaskOffload.parse(bytes(packed[: data.draw(st.integers(0, len(packed)))]))
    except StructureError as error:
        assert error.status in (NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.INVALID_DATA)


def test_a_task_list_cannot_loop_or_repeat() -> None:
    packed = bytearray(TaskOffload(ChecksumTask(), LargeSendTask()).pack())
    for step in (1, 19, 0xFFFFFFFF):
        struct.pack_into("<I", packed, 28 + 12, step)
        with pytest.raises(StructureError):
            TaskOffload.parse(bytes(packed))
    twice = TaskOffload(ChecksumTask(), LargeSendTask()).pack()
    repeated = bytearray(twice)
    struct.pack_into("<I", repeated, 64 + 8, 0)
    with pytest.raises(StructureError, match="twice"):
        TaskOffload.parse(bytes(repeated))


@given(st.binary(max_size=160))
def test_noise_is_refused_or_harmless(data: bytes) -> None:
    for parse in (
        Offload.parse,
        OffloadParameters.parse,
        OffloadEncapsulation.parse,
        TcpConnectionOffload.parse,
        TcpConnectionOffloadParameters.parse,
        TaskOffload.parse,
    ):
        try:
            parse(data)
        except StructureError as error:
            assert error.status.is_error
