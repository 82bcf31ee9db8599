"""RSS structures: revisions, offsets of table and key, and what a set with hostile bytes is refused for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.ndis.rss import (
    HASH_TYPES_ALL,
    HASH_TYPES_SNP,
    HashType,
    ReceiveHashFlag,
    ReceiveHashParameters,
    ReceiveScaleCapabilities,
    ReceiveScaleParameters,
    RssCapability,
    RssFlag,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError

KEY = bytes(range(40))
TYPES = st.lists(st.sampled_from(list(HashType)), min_size=1).map(lambda types: sum(set(types)) | 1)


def _tables(revision: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.integers(0, 7).flatmap(
        lambda log2: st.lists(st.integers(0, 63), min_size=1 << log2, max_size=1 << log2).map(tuple)
    )


@st.composite
def parameter_sets(draw: st.DrawFn) -> ReceiveScaleParameters:
    revision = draw(st.integers(1, 3))
    default = draw(st.integers(0, 63)) if revision == 3 else 0
    table = draw(_tables(revision))
    key = draw(st.binary(min_size=40, max_size=40))
    return ReceiveScaleParameters(RssFlag.NONE, draw(TYPES), table, key, 0, default, revision)


def status_of(data: bytes) -> NDIS_STATUS:
    with pytest.raises(StructureError) as caught:
        ReceiveScaleParameters.parse(data)
    return caught.value.status


@given(parameter_sets())
def test_parameters_round_trip(parameters: ReceiveScaleParameters) -> None:
    assert ReceiveScaleParameters.parse(parameters.pack()) == parameters


@pytest.mark.parametrize(("revision", "size", "entry"), [(1, 28, 1), (2, 40, 4), (3, 44, 4)])
def test_sizes_and_offsets_are_those_of_the_header(revision: int, size: int, entry: int) -> None:
    packed = ReceiveScaleParameters(RssFlag.NONE, 0x101, (0, 1, 2, 3), KEY, revision=revision).pack()
    kind, found, length = struct.unpack_from("<BBH", packed)
    assert (kind, found, length) == (0x89, revision, size)
    table_bytes, table_at, key_bytes, key_at = struct.unpack_from("<HxxIHxxI", packed, 12)
    assert (table_bytes, table_at, key_bytes) == (4 * entry, size, 40)
    assert packed[key_at:] == KEY
    assert len(packed) == size + 4 * entry + 40


def test_a_revision_2_entry_is_a_processor_number() -> None:
    packed = ReceiveScaleParameters(RssFlag.NONE, 0x101, (5,), KEY).pack()
    assert packed[40:44] == bytes([0, 0, 5, 0])
    beyond = bytearray(packed)
    beyond[40] = 1  # processor group 1
    assert status_of(bytes(beyond)) == NDIS_STATUS.INVALID_DATA


@pytest.mark.requirement("INV-52")
@pytest.mark.parametrize("entries", [0, 3, 5, 6, 7, 127, 129, 256])
def test_a_table_that_is_no_power_of_two_up_to_128_is_refused(entries: int) -> None:
    assert status_of(ReceiveScaleParameters(RssFlag.NONE, 0x101, (0,) * entries, KEY).pack()) == (
        NDIS_STATUS.INVALID_DATA
    )


@pytest.mark.requirement("INV-52")
@pytest.mark.parametrize("length", [0, 16, 39, 41])
def test_a_key_that_is_not_40_bytes_is_refused(length: int) -> None:
    packed = ReceiveScaleParameters(RssFlag.NONE, 0x101, (0, 1), bytes(length)).pack()
    assert status_of(packed) == NDIS_STATUS.INVALID_DATA


@pytest.mark.parametrize("information", [0x102, 0x001, 0x101 | 1 << 17, 0x80000101])
def test_an_unknown_function_or_type_is_refused(information: int) -> None:
    assert status_of(ReceiveScaleParameters(RssFlag.NONE, information, (0,), KEY).pack()) == (
        NDIS_STATUS.INVALID_DATA
    )


def test_table_and_key_outside_of_the_buffer_are_invalid_length_with_bytes_needed() -> None:
    packed = bytearray(ReceiveScaleParameters(RssFlag.NONE, 0x101, (0, 1), KEY).pack())
    for at in (16, 24):  # IndirectionTableOffset, HashSecretKeyOffset
        hostile = packed[:]
        struct.pack_into("<I", hostile, at, 0xFFFFFFF0)
        with pytest.raises(StructureError) as caught:
            ReceiveScaleParameters.parse(bytes(hostile))
        assert caught.value.status == NDIS_STATUS.INVALID_LENGTH
        assert caught.value.bytes_needed > len(packed)


def test_table_or_key_inside_the_structure_are_refused() -> None:
    packed = bytearray(ReceiveScaleParameters(RssFlag.NONE, 0x101, (0, 1), KEY).pack())
    for at in (16, 24):
        hostile = packed[:]
        struct.pack_into("<I", hostile, at, 8)
        assert status_of(bytes(hostile)) == NDIS_STATUS.INVALID_DATA


@given(parameter_sets(), st.data())
def test_any_byte_may_be_wrong(parameters: ReceiveScaleParameters, data: st.DataObject) -> None:
    packed = bytearray(parameters.pack())
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, 43 if len(packed) > 43 else len(packed) - 1))] = data.draw(
            st.integers(0, 255)
        )
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    for hostile in (bytes(packed), cut):
        try:
            found = ReceiveScaleParameters.parse(hostile)
        except StructureError:
            continue
        if found.table is not None:
            assert len(found.table) in (1, 2, 4, 8, 16, 32, 64, 128)
        assert found.key is None or len(found.key) == 40


def test_disable_ignores_everything_else() -> None:
    packed = bytearray(ReceiveScaleParameters(RssFlag.DISABLE_RSS).pack())
    packed[8:40] = b"\xff" * 32
    found = ReceiveScaleParameters.parse(bytes(packed))
    assert found.is_disabling
    assert (found.table, found.key) == (None, None)


def test_hash_function_0_disables() -> None:
    assert ReceiveScaleParameters.parse(ReceiveScaleParameters(hash_information=0).pack()).is_disabling


@pytest.mark.requirement("INV-56")
def test_unchanged_members_come_from_the_last_set_and_others_replace_it() -> None:
    first = ReceiveScaleParameters(RssFlag.NONE, 0x301, (0, 1), KEY)
    second = ReceiveScaleParameters(
        RssFlag.HASH_KEY_UNCHANGED | RssFlag.ITABLE_UNCHANGED, HashType.IPV6 | 1, None, None
    )
    merged = second.merged_over(first)
    assert (merged.table, merged.key, merged.hash_types) == ((0, 1), KEY, HashType.IPV6)
    with pytest.raises(StructureError):
        second.merged_over(None)


@given(st.integers(1, 2), st.integers(0, 2048), st.integers(0, 64), st.sampled_from([1, 2, 64, 128]))
def test_capabilities_round_trip(revision: int, messages: int, queues: int, entries: int) -> None:
    flags = RssCapability.TOEPLITZ | RssCapability.HASH_TYPE_TCP_IPV4 | RssCapability.SUPPORTS_MSI_X
    entries = entries if revision == 2 else 128
    capabilities = ReceiveScaleCapabilities(flags, messages, queues, entries, revision)
    assert len(capabilities.pack()) == {1: 16, 2: 18}[revision]
    assert ReceiveScaleCapabilities.parse(capabilities.pack()) == capabilities


@given(TYPES, st.binary(min_size=40, max_size=40))
def test_receive_hash_round_trips(information: int, key: bytes) -> None:
    parameters = ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, information, key)
    assert ReceiveHashParameters.parse(parameters.pack()) == parameters


@given(st.binary(max_size=120))
def test_noise_is_refused_or_harmless(data: bytes) -> None:
    for parse in (ReceiveScaleParameters.parse, ReceiveHashParameters.parse, ReceiveScaleCapabilities.parse):
        try:
            parse(data)
        except StructureError as error:
            assert error.status.is_error


def test_the_pack_had_no_udp_types() -> None:
    assert HASH_TYPES_SNP == 0x3F00
    assert HASH_TYPES_ALL & ~HASH_TYPES_SNP == HashType.UDP_IPV4 | HashType.UDP_IPV6 | HashType.UDP_IPV6_EX
