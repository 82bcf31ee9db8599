"""OPT: options of TCP headers, as bytes and in what the engine makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tcp.states import established, fresh, syn_received, syn_sent
from vnic._core import ffi, lib

MSS_1234 = bytes([2, 4, 1234 >> 8, 1234 & 255])
TIMESTAMP = bytes([8, 10, 0, 0, 1, 2, 0, 0, 3, 4])


def parse(options: bytes, payload: bytes = b"") -> Any:
    """The segment that a header with these options (a multiple of 4 bytes) makes."""
    assert len(options) % 4 == 0
    header = bytes(12) + bytes([(5 + len(options) // 4) << 4, 0x10]) + bytes(6) + options + payload
    segment = ffi.new("struct tcp_segment *")
    assert lib.tcp_header_parse(segment, header, len(header)) == 0
    assert segment.len == len(payload)
    return segment


def written(segment: Any) -> bytes:
    """The header as bytes."""
    out = ffi.new("uint8_t[]", b"\xee" * 60)
    length = lib.tcp_header_write(segment, 80, 40000, out)
    assert length == lib.tcp_header_len(segment)
    assert set(bytes(out)[length:60]) <= {0xEE}
    return bytes(out)[:length]


@pytest.mark.requirement("OPT-01")
@pytest.mark.parametrize("lead", range(8))
def test_mss_at_any_alignment_and_eol(lead: int) -> None:
    options = bytes([1] * lead) + MSS_1234
    segment = parse(options + bytes(-len(options) % 4))
    assert (segment.options, segment.mss) == (lib.TCP_OPT_MSS, 1234)
    hidden = parse((bytes([1] * lead) + b"\0" + MSS_1234).ljust(16, b"\0"))
    assert hidden.options == 0, "options after the end of the list count"


@pytest.mark.requirement("OPT-01")
def test_options_count_in_any_segment() -> None:
    t = established()
    t.inject(
        "ACK",
        data=100,
        options=lib.TCP_OPT_MSS | lib.TCP_OPT_WSCALE | lib.TCP_OPT_TIMESTAMP,
        mss=88,
        wscale=3,
    )
    t.flush_ack()
    assert len(t.received) == 100
    t.send(1460)
    t.expect("ACK", len=1460)


@pytest.mark.requirement("OPT-02")
@pytest.mark.parametrize("kind", [9, 19, 29, 30, 69, 253, 254, 255])
@pytest.mark.parametrize("length", [2, 3, 6, 11])
def test_an_unknown_kind_is_skipped_by_its_length(kind: int, length: int) -> None:
    options = bytes([kind, length]) + b"\2" * (length - 2) + MSS_1234
    segment = parse(options + bytes(-len(options) % 4))
    assert (segment.options, segment.mss) == (lib.TCP_OPT_MSS, 1234)


@pytest.mark.requirement("OPT-02")
@pytest.mark.parametrize("kind", [2, 3, 4, 5, 8, 28, 254])
@pytest.mark.parametrize("length", [0, 1, 37, 41, 255])
def test_an_illegal_length_ends_the_list(kind: int, length: int) -> None:
    segment = parse(MSS_1234 + bytes([kind, length]) + bytes([3, 3, 7] * 10))
    assert segment.options == lib.TCP_OPT_MSS | lib.TCP_OPT_MALFORMED
    assert segment.mss == 1234
    last = parse(MSS_1234 + bytes([1, 1, 1, kind]))  # its length lies beyond the header
    assert last.options == lib.TCP_OPT_MSS | lib.TCP_OPT_MALFORMED


@pytest.mark.requirement("OPT-02")
def test_a_malformed_option_does_not_cost_the_segment() -> None:
    t = established()
    t.inject("ACK", data=100, options=lib.TCP_OPT_MALFORMED)
    t.flush_ack()
    assert len(t.received) == 100
    assert t.statistics.bad_options == 1


@pytest.mark.requirement("OPT-03")
def test_the_header_is_padded_with_zeros() -> None:
    segment = ffi.new("struct tcp_segment *")
    segment.options, segment.mss, segment.wscale = lib.TCP_OPT_MSS | lib.TCP_OPT_WSCALE, 1460, 7
    segment.control = lib.TCP_SYN
    header = written(segment)
    assert len(header) % 4 == 0
    assert header[12] >> 4 == len(header) // 4
    rest = header[20:]
    while rest and rest[0] > 1:
        rest = rest[rest[1] :]
    assert rest == b"" or rest[0] == 1 or set(rest) == {0}
    assert parse(header[20:]).mss == 1460


@pytest.mark.requirement("OPT-03")
@pytest.mark.parametrize("is_active", [False, True])
def test_a_syns_options_are_in_syns_only(is_active: bool) -> None:
    options: Any = {"timestamps": True, "sack": True, "wscale": 7}
    t = fresh(**options)
    if is_active:
        t.connect().expect("SYN", mss=1460, wscale=7, sack_permitted=True)
        t.syn_ack()
        t.expect("ACK", mss=None, wscale=None, sack_permitted=False)
    else:
        t.accept().expect("SYN,ACK", mss=1460, wscale=7, sack_permitted=True)
        t.inject("ACK", seq=1, ack=1)
    t.send(100)
    t.expect("ACK", len=100, mss=None, wscale=None, sack_permitted=False)
    t.shutdown()
    t.expect("FIN,ACK", mss=None, wscale=None, sack_permitted=False)


@pytest.mark.requirement("OPT-04")
@pytest.mark.parametrize(
    ("is_ipv6", "mtu", "peer_mss", "mss"),
    [
        (False, 1500, 1460, 1460), (False, 1500, 9000, 1460), (False, 1500, 500, 500),
        (False, 1500, None, 536), (False, 576, 1460, 536), (False, 576, None, 536),
        (False, 9000, 8960, 8960), (False, 9000, 65535, 8960),
        (True, 1500, 1440, 1440), (True, 1500, None, 1220), (True, 1280, 1440, 1220),
        (True, 1500, 1460, 1440),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
def test_the_effective_send_mss(  # noqa: PLR0917
    is_ipv6: bool, mtu: int, peer_mss: int | None, mss: int, is_active: bool, timestamps: bool
) -> None:
    t = established(
        is_ipv6=is_ipv6, mtu=mtu, peer_mss=peer_mss, is_active=is_active, timestamps=timestamps, nodelay=True
    )
    t.send(2 * mss)
    lengths = [seen.len for seen in t.drain()]
    packet = mss - 12 if timestamps else mss
    assert lengths[:2] == [packet, packet]


@pytest.mark.requirement("OPT-05")
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize(("is_ipv6", "mtu"), [(False, 1500), (False, 9000), (True, 1500), (True, 1280)])
def test_the_announced_mss_is_not_reduced_for_options(timestamps: bool, is_ipv6: bool, mtu: int) -> None:
    wanted = mtu - (60 if is_ipv6 else 40)
    fresh(is_ipv6=is_ipv6, mtu=mtu, timestamps=timestamps).accept().expect("SYN,ACK", mss=wanted)
    fresh(is_ipv6=is_ipv6, mtu=mtu, timestamps=timestamps).connect().expect("SYN", mss=wanted)


@pytest.mark.requirement("OPT-05")
@pytest.mark.parametrize(("timestamps", "options"), [(False, 0), (True, 12)])
def test_each_data_segment_shrinks_by_its_own_options(timestamps: bool, options: int) -> None:
    t = established(timestamps=timestamps, sack=True)
    t.inject("ACK", seq=5001, data=100)
    t.expect("ACK", sack=[(5001, 5101)])
    t.inject("ACK", seq=7001, data=100)
    t.expect("ACK")
    t.send(2920)
    for seen in t.drain():
        blocks = len(seen.sack)
        option_bytes = options + (4 + 8 * blocks if blocks else 0)
        assert seen.len + option_bytes <= 1460
        assert seen.len in (1460 - option_bytes, 2920 - sum(s[1].payload.__len__() for s in t.trace[:-1]))


@pytest.mark.requirement("OPT-04")
def test_a_large_send_is_cut_by_the_same_mss() -> None:
    t = established(timestamps=True)
    t.endpoint.max_len = 65535
    t.send(10_000)
    seen = t.outbox.pop(0)
    assert seen.len > 1448
    assert seen.absolute.mss == 1448
    t.drain()


def test_the_constructors_reach_the_state_they_name() -> None:
    assert (syn_sent().state, syn_received().state) == ("SYN_SENT", "SYN_RECEIVED")
