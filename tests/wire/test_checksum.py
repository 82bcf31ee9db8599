"""The Internet checksum: every C path against the reference at every length, alignment and split."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.wire import checksum, packet

NOISE = random.Random(1071).randbytes(70_000)


def fold(kernels: Any, acc: int) -> int:
    return int(kernels.lib.kernel_csum_fold(acc))


def test_rfc_1071_example(kernels: Any) -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert checksum.total(data) == 0xDDF2
    assert checksum.internet(data) == 0x220D
    for path in kernels.csum_paths:
        assert fold(kernels, kernels.csum_add(path, data)) == 0xDDF2


@pytest.mark.parametrize("path", range(3))
def test_sum_and_copy_at_every_length(kernels: Any, path: int) -> None:
    if path not in kernels.csum_paths:
        pytest.skip(f"needs a processor with checksum path {path}")
    for length in range(301):
        data, slack = NOISE[length : 2 * length], length % 7
        expected = checksum.total(data)
        assert fold(kernels, kernels.csum_add(path, data, slack=slack)) == expected
        acc, found = kernels.csum_copy(path, data, slack)
        assert fold(kernels, acc) == expected
        assert found == b"\xc3" * 80 + data + b"\xc3" * slack


@pytest.mark.parametrize("length", [0, 1, 31, 63, 64, 65, 127, 129, 191, 255, 256, 257, 300])
def test_sum_and_copy_at_every_alignment(kernels: Any, length: int) -> None:
    data = NOISE[:length]
    expected = checksum.total(data)
    for path in kernels.csum_paths:
        for slack in range(65):
            acc, found = kernels.csum_copy(path, data, slack)
            assert fold(kernels, acc) == expected
            assert found == b"\xc3" * 80 + data + b"\xc3" * slack
            assert fold(kernels, kernels.csum_add(path, data, slack=slack)) == expected


@pytest.mark.parametrize("length", [1500, 9000, 65535, 65536, 65537, 65600, 131_072, 262_144, 262_145])
@pytest.mark.parametrize("fill", [None, 0, 0x7F, 0x80, 0xFF])
def test_long_runs_overflow_nothing(kernels: Any, length: int, fill: int | None) -> None:
    data = (NOISE * 4)[:length] if fill is None else bytes([fill]) * length
    expected = checksum.total(data)
    for path in kernels.csum_paths:
        assert fold(kernels, kernels.csum_add(path, data)) == expected
        acc, found = kernels.csum_copy(path, data, 0)
        assert fold(kernels, acc) == expected
        assert found[80:] == data


@given(
    data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=4), start=st.integers(0, 2**40)
)
def test_runs_join_at_even_and_odd_offsets(kernels: Any, data: bytes, cuts: list[int], start: int) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    expected = checksum.total(start.to_bytes(8, "little") + data)
    for path in kernels.csum_paths:
        acc = start
        for at, end in itertools.pairwise(edges):
            part = kernels.csum_add(path, data[at:end])
            acc = kernels.lib.kernel_csum_join(acc, part, at)
        assert fold(kernels, acc) % 0xFFFF == expected % 0xFFFF


@given(data=st.binary(max_size=200), acc=st.integers(0, 2**48))
def test_a_start_value_is_added(kernels: Any, data: bytes, acc: int) -> None:
    expected = checksum.total(acc.to_bytes(8, "little") + data)
    for path in kernels.csum_paths:
        assert fold(kernels, kernels.csum_add(path, data, acc)) == expected


@given(data=st.binary(min_size=2, max_size=64), at=st.integers(0, 31))
def test_a_field_can_be_taken_out_of_a_sum(kernels: Any, data: bytes, at: int) -> None:
    at = 2 * (at % (len(data) // 2))
    field = int.from_bytes(data[at : at + 2])
    without = data[:at] + b"\0\0" + data[at + 2 :]
    acc = kernels.lib.kernel_csum_without16(kernels.csum_add(0, data), field)
    assert fold(kernels, acc) % 0xFFFF == checksum.total(without) % 0xFFFF


@given(
    addresses=st.sampled_from([4, 16]).flatmap(lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 2)),
    proto=st.integers(0, 255),
    length=st.integers(0, 0xFFFF),
)
def test_pseudo_headers(kernels: Any, addresses: tuple[bytes, bytes], proto: int, length: int) -> None:
    expected = checksum.total(checksum.pseudo(*addresses, proto, length))
    if len(addresses[0]) == 4:
        acc = kernels.lib.kernel_csum_pseudo_v4(b"".join(addresses), proto, length)
    else:
        acc = kernels.lib.kernel_csum_pseudo_v6(*addresses, proto, length)
    assert fold(kernels, acc) == expected


@given(payload=st.binary(max_size=300), kind=st.sampled_from([packet.TCP, packet.UDP]), is_v6=st.booleans())
def test_offload_completes_a_seeded_field(kernels: Any, payload: bytes, kind: int, is_v6: bool) -> None:
    source, destination = ("2001:db8::1", "2001:db8::2") if is_v6 else ("192.0.2.1", "192.0.2.2")
    build = packet.tcp if kind == packet.TCP else packet.udp
    right = build(source, destination, 80, 5001, payload)
    header = checksum.pseudo(packet.packed(source), packet.packed(destination), kind, len(right))
    seeded = build(source, destination, 80, 5001, payload, field=checksum.total(header))
    for path in kernels.csum_paths:
        field = 16 if kind == packet.TCP else 6
        assert kernels.csum_complete(path, seeded, field, is_udp=kind == packet.UDP) == right


def test_a_udp_checksum_of_zero_is_sent_as_all_ones(kernels: Any) -> None:
    source = destination = "0.0.0.0"
    payload = (0xFFFF - 17 - 10 - 10).to_bytes(2)
    assert packet.udp(source, destination, 0, 0, payload)[6:8] == b"\xff\xff"
    seed = checksum.total(checksum.pseudo(bytes(4), bytes(4), packet.UDP, 10))
    seeded = packet.udp(source, destination, 0, 0, payload, field=seed)
    for path in kernels.csum_paths:
        assert kernels.csum_complete(path, seeded, 6, is_udp=True)[6:8] == b"\xff\xff"
        assert kernels.csum_complete(path, seeded, 6, is_udp=False)[6:8] == b"\0\0"


def test_the_best_path_is_one_the_processor_has(kernels: Any) -> None:
    assert kernels.lib.kernel_csum_best() == max(kernels.csum_paths)
    assert not kernels.lib.kernel_csum_has(3)
