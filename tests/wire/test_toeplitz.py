"""The Toeplitz hash: published vectors, every C path against the reference, and the algebra."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.wire import toeplitz

# Microsoft, "Verifying the RSS hash calculation": destination, source, hash of addresses, with TCP ports.
PUBLISHED = [
    ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323E8FC2, 0x51CCC178),
    ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xD718262A, 0xC626B0EA),
    ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xD2D0A5DE, 0x5C2B394A),
    ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xAFC7327F),
    ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2CC18CD5, 0x40207D3D),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0F0C461C, 0xDDE51BBF),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4B61E985, 0x02D1FEEF),
]
VECTORS = [
    (ip_address(source).packed + ip_address(destination).packed + ports, value)
    for destination, to_port, source, from_port, plain, with_ports in PUBLISHED
    for ports, value in ((b"", plain), (from_port.to_bytes(2) + to_port.to_bytes(2), with_ports))
]
KEYS = st.binary(min_size=40, max_size=40)


@pytest.mark.requirement("INV-51")
def test_the_reference_gives_the_published_hashes() -> None:
    assert len(VECTORS) == 16
    for data, value in VECTORS:
        assert toeplitz.hash(toeplitz.MICROSOFT_KEY, data) == value


@pytest.mark.requirement("INV-51")
@pytest.mark.parametrize("path", range(3))
def test_every_path_gives_the_published_hashes(kernels: Any, path: int) -> None:
    if path not in kernels.toeplitz_paths:
        pytest.skip(f"needs a processor with Toeplitz path {path}")
    for data, value in VECTORS:
        assert kernels.toeplitz(path, toeplitz.MICROSOFT_KEY, data) == value
    for length in (8, 12, 32, 36):
        group = [(data, value) for data, value in VECTORS if len(data) == length]
        inputs = [data for data, _ in group]
        found = kernels.toeplitz_bulk(path, toeplitz.MICROSOFT_KEY, inputs, length)
        assert found == [value for _, value in group]


@given(key=KEYS, data=st.binary(max_size=36))
def test_single_hashes_agree_with_the_reference(kernels: Any, key: bytes, data: bytes) -> None:
    expected = toeplitz.hash(key, data)
    for path in kernels.toeplitz_paths:
        assert kernels.toeplitz(path, key, data) == expected


@given(data=st.data(), key=KEYS, length=st.sampled_from([0, 1, 4, 8, 11, 12, 13, 31, 32, 35, 36]))
def test_bulk_hashes_agree_with_the_reference(
    kernels: Any, data: st.DataObject, key: bytes, length: int
) -> None:
    count = data.draw(st.integers(0, 40))
    block = data.draw(st.binary(min_size=count * length, max_size=count * length))
    inputs = [block[at * length : (at + 1) * length] for at in range(count)]
    expected = [toeplitz.hash(key, one) for one in inputs]
    for path in kernels.toeplitz_paths:
        assert kernels.toeplitz_bulk(path, key, inputs, length) == expected


@pytest.mark.parametrize("length", [8, 12, 32, 36])
def test_every_count_about_a_batch_is_hashed_whole(kernels: Any, length: int) -> None:
    key = toeplitz.MICROSOFT_KEY
    inputs = [bytes((17 * index + at) & 0xFF for at in range(length)) for index in range(50)]
    expected = [toeplitz.hash(key, data) for data in inputs]
    for path in kernels.toeplitz_paths:
        for count in range(51):
            assert kernels.toeplitz_bulk(path, key, inputs[:count], length) == expected[:count]


@given(
    key=KEYS, pair=st.integers(0, 36).flatmap(lambda n: st.tuples(*[st.binary(min_size=n, max_size=n)] * 2))
)
def test_the_hash_is_linear_over_xor(kernels: Any, key: bytes, pair: tuple[bytes, bytes]) -> None:
    both = bytes(a ^ b for a, b in zip(*pair, strict=True))
    for path in kernels.toeplitz_paths:
        first, second = (kernels.toeplitz(path, key, data) for data in pair)
        assert kernels.toeplitz(path, key, both) == first ^ second


@pytest.mark.parametrize("bit", range(0, 288, 7))
def test_one_input_bit_shows_the_key_from_that_bit_on(kernels: Any, bit: int) -> None:
    key = bytes((31 * at + 7) & 0xFF for at in range(40))
    data = (1 << (287 - bit)).to_bytes(36)
    window = (int.from_bytes(key) >> (320 - 32 - bit)) & 0xFFFF_FFFF
    assert toeplitz.hash(key, data) == window
    for path in kernels.toeplitz_paths:
        assert kernels.toeplitz(path, key, data) == window


def test_a_key_too_short_for_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="does not cover"):
        toeplitz.hash(bytes(8), bytes(5))
    assert toeplitz.hash(bytes(8), bytes(4)) == 0


def test_the_best_path_is_one_the_processor_has(kernels: Any) -> None:
    assert kernels.lib.kernel_toeplitz_best() == max(kernels.toeplitz_paths)
    assert not kernels.lib.kernel_toeplitz_has(3)
