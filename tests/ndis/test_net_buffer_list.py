"""NBLs: data start, MDL chains, scatter-gather, and the out-of-band unions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.ndis.net_buffer_list import (
    Mdl,
    NetBuffer,
    NetBufferError,
    NetBufferList,
    link,
    net_buffer,
    net_buffer_list,
    walk,
)
from vnic.ndis.oob import LargeSend, LargeSendType, ReceiveChecksum, Slot, TransmitChecksum, Vlan


def _chain(parts: list[bytes], base: int = 0x10000) -> Mdl | None:
    head: Mdl | None = None
    for index, part in reversed(list(enumerate(parts))):
        head = Mdl(bytearray(part), base + index * 0x10000, head)
    return head


PARTS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


@given(PARTS, st.data())
def test_data_is_the_chain_from_offset_on(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    offset = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - offset))
    buffer = NetBuffer(_chain(parts), offset, length)
    assert buffer.data() == whole[offset : offset + length]
    start = data.draw(st.integers(0, length))
    count = data.draw(st.integers(0, length - start))
    assert buffer.data(start, count) == whole[offset + start :][:count]


@given(PARTS, st.data())
def test_advance_and_retreat_are_inverse(parts: list[bytes], data: st.DataObject) -> None:
    buffer = NetBuffer(_chain(parts))
    before = buffer.data()
    steps = data.draw(st.lists(st.integers(0, len(before)), max_size=5))
    taken = []
    for step in steps:
        if step <= buffer.data_length:
            buffer.advance_data_start(step)
            taken.append(step)
    assert buffer.data() == before[sum(taken) :]
    for step in reversed(taken):
        buffer.retreat_data_start(step)
    assert buffer.data() == before


@given(PARTS, st.integers(0, 30), st.binary(max_size=60))
def test_write_lands_in_the_mdls(parts: list[bytes], offset: int, patch: bytes) -> None:
    buffer = NetBuffer(_chain(parts))
    before = buffer.data()
    if offset + len(patch) > len(before):
        with pytest.raises(NetBufferError):
            buffer.write(offset, patch)
        assert buffer.data() == before
        return
    buffer.write(offset, patch)
    assert buffer.data() == before[:offset] + patch + before[offset + len(patch) :]


def test_retreat_beyond_the_front_takes_a_new_mdl() -> None:
    buffer = net_buffer(b"payload", backfill=4)
    with pytest.raises(NetBufferError, match="unused data space"):
        buffer.retreat_data_start(5)
    buffer.retreat_data_start(6, lambda size: Mdl(bytearray(size + 2)))
    buffer.write(0, b"HEADER")
    assert buffer.data() == b"HEADERpayload"
    assert buffer.data_length == 13


def test_current_mdl_follows_the_data_start() -> None:
    buffer = NetBuffer(_chain([b"abc", b"defg"]))
    buffer.advance_data_start(4)
    assert buffer.current_mdl is not None
    assert (buffer.current_mdl.address, buffer.current_mdl_offset) == (0x20000, 1)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 9000)), min_size=1, max_size=4), st.data())
def test_scatter_gather_covers_the_data_and_crosses_no_page(
    pieces: list[tuple[int, int]], data: st.DataObject
) -> None:
    head: Mdl | None = None
    for index, (shift, size) in reversed(list(enumerate(pieces))):
        head = Mdl(bytearray(size), index * 0x100000 + shift, head)
    total = sum(size for _, size in pieces)
    offset = data.draw(st.integers(0, total))
    buffer = NetBuffer(head, offset)
    elements = buffer.scatter_gather()
    assert sum(length for _, length in elements) == total - offset
    for address, length in elements:
        assert length > 0
        assert address // 4096 == (address + length - 1) // 4096
    flat = [address + at for address, length in elements for at in range(0, length)]
    expected = [
        index * 0x100000 + shift + at for index, (shift, size) in enumerate(pieces) for at in range(size)
    ]
    assert flat == expected[offset:]


def test_data_beyond_the_mdls_is_refused() -> None:
    with pytest.raises(NetBufferError):
        NetBuffer(Mdl(bytearray(4)), 2, 3)
    buffer = net_buffer(b"abcd")
    buffer.data_length = 9
    with pytest.raises(NetBufferError, match="ends 5 bytes"):
        buffer.data()


def test_cycles_are_found() -> None:
    first, second = net_buffer_list(b"a"), net_buffer_list(b"b")
    link([first, second])
    assert list(walk(first)) == [first, second]
    second.next = first
    with pytest.raises(NetBufferError, match="cyclic"):
        list(walk(first))
    mdl = Mdl(bytearray(2))
    mdl.next = mdl
    with pytest.raises(NetBufferError, match="cyclic"):
        NetBuffer(mdl)
    buffer = net_buffer(b"x")
    buffer.next = buffer
    with pytest.raises(NetBufferError, match="cyclic"):
        list(NetBufferList(buffer).net_buffers())


def test_walk_survives_relinking_of_what_it_gave_out() -> None:
    nbls = [net_buffer_list(b"x") for _ in range(3)]
    seen = []
    for nbl in walk(link(nbls)):
        nbl.next = None
        seen.append(nbl)
    assert seen == nbls


@pytest.mark.requirement("INV-53")
def test_type_0_is_no_hash_whatever_the_value() -> None:
    nbl = net_buffer_list(b"x")
    assert nbl.hash is None
    nbl.set_hash(0x200, 1, 0)
    assert nbl.hash == (0x200, 1, 0)
    nbl.set_hash(0, 0, 0x1234)
    assert nbl.hash is None
    nbl.clear_info()
    assert nbl.info(Slot.HASH_VALUE) == 0


def test_the_chimney_shares_slots_with_the_plain_path() -> None:
    assert (Slot.TCP_IP_CHECKSUM, Slot.TCP_LARGE_SEND, Slot.TCP_RECEIVE_BYTES_TRANSFERRED) == (0, 2, 18)


@given(st.builds(TransmitChecksum, *[st.booleans()] * 5, st.integers(0, 1023)))
def test_transmit_checksum_round_trips(info: TransmitChecksum) -> None:
    assert TransmitChecksum.of(info.value) == info
    assert info.value < 1 << 32


@given(st.lists(st.booleans(), min_size=6, max_size=6))
def test_receive_checksum_round_trips(bits: list[bool]) -> None:
    info = ReceiveChecksum(*bits)
    a, b, c, d, e, f = bits
    assert ReceiveChecksum.of(info.value) == info
    assert bool(info.contradictions) == ((a and d) or (b and e) or (c and f) or ((a or d) and (b or e)))


@given(st.integers(0, (1 << 20) - 1), st.integers(0, 1023), st.sampled_from(LargeSendType), st.booleans())
def test_large_send_round_trips(mss: int, offset: int, kind: LargeSendType, is_ipv6: bool) -> None:
    info = LargeSend(mss, offset, kind, is_ipv6 and kind is LargeSendType.V2)
    assert LargeSend.of(info.value) == info
    assert LargeSend.of(info.completed(4711)).type is kind


@given(st.integers(0, 7), st.booleans(), st.integers(0, 4095))
def test_vlan_round_trips(priority: int, canonical: bool, vlan: int) -> None:
    info = Vlan(priority, canonical, vlan)
    assert Vlan.of(info.value) == info
    assert info.tci == priority << 13 | canonical << 12 | vlan
