"""Frames that the card may take together, and one among them that is not like the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vnic.conformance.card_drive import WAYS, arrive, commit_rss, filled
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0
from vnic.testbench.frames import tcp_frame, udp_frame
from vnic.testbench.rig import Received, Rig
from vnic.wire.parse import Frame, HashType

_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_GROUP, _EVERYBODY = bytes.fromhex("01005e000001"), b"\xff" * 6
_OTHER = bytes.fromhex("020000000077")
_COUNT = 7
_PLACES = (0, 4)
#: Offset of TTL or Hop Limit, by version.
_TTL = {4: 22, 6: 21}


def _data(number: int, length: int = 120) -> bytes:
    return bytes((n * 7 + number) & 0xFF for n in range(length))


def _flip(frame: bytes, at: int, bits: int) -> bytes:
    changed = bytearray(frame)
    changed[at] ^= bits
    return bytes(changed)


#: What a frame of a train may be instead, by length and transport of the others.
_ODD: Mapping[str, Callable[[Callable[..., bytes], int], bytes]] = {
    "a wrong byte": lambda make, version: _flip(make(_data(9), version=version), -1, 0x40),
    "a transport checksum of 0": lambda make, version: make(_data(9), version=version, field=0),
    "a transport checksum of FFFFh": lambda make, version: make(_data(9), version=version, field=0xFFFF),
    "another TTL": lambda make, version: _flip(make(_data(9), version=version), _TTL[version], 1),
    "another flow": lambda make, version: make(_data(9), version=version, ports=(9, 9)),
    "a tag": lambda make, version: make(_data(9, 116), version=version, tags=((0x8100, 5),)),
    "a datagram that ends early": lambda make, version: make(_data(9, 100), version=version) + b"\xa5" * 20,
    "another length": lambda make, version: make(_data(9, 121), version=version),
    "a group's address": lambda make, version: make(_data(9), version=version, to=_GROUP),
    "everybody's address": lambda make, version: make(_data(9), version=version, to=_EVERYBODY),
    "another station's address": lambda make, version: make(_data(9), version=version, to=_OTHER),
}  # fmt: skip
#: Of one transport alone.
_ODD_TCP: Mapping[str, Callable[[Callable[..., bytes], int], bytes]] = {
    "a longer TCP header": lambda make, version: make(_data(9, 108), version=version, options=b"\x01" * 12),
    "a data offset beyond the segment": lambda make, version: make(_data(9), version=version, data_offset=4),
    "UDP": lambda _, version: udp_frame(_data(9, 132), version=version),
}
_ODD_UDP: Mapping[str, Callable[[Callable[..., bytes], int], bytes]] = {
    "a UDP length below its datagram": lambda make, version: make(_data(9), version=version, length=100),
    "a UDP length beyond its datagram": lambda make, version: make(_data(9), version=version, length=200),
    "a UDP length of 7": lambda make, version: make(_data(9), version=version, length=7),
    "TCP": lambda _, version: tcp_frame(_data(9, 108), version=version),
}


def _told(received: Received) -> tuple[object, ...]:
    """All that a completion says of a frame, but for where it lies."""
    first = received.first
    return (
        received.data, first.frame_len, first.hash, first.hash_type, first.queue, first.vlan, first.vlan_tci,
        first.ip_csum, first.l4_csum, first.ipv4, first.ipv6, first.tcp, first.udp, first.fragment,
        first.l3_offset, first.l4_offset, first.error,
    )  # fmt: skip


def _grown(rig: Rig, before: dict[str, int]) -> dict[str, int]:
    found = {name: count - before.get(name, 0) for name, count in rig.counters("RX_").items()}
    return {name: count for name, count in found.items() if count}


def _alone(rig: Rig, frame: bytes) -> tuple[list[tuple[object, ...]], dict[str, int]]:
    """What is told of a frame that comes alone, step by step, and what it counts."""
    before = rig.counters("RX_")
    told = [_told(each) for each in arrive(rig, [frame], WAYS[-1])]
    return told, _grown(rig, before)


def _compare(rig: Rig, what: str, train: list[bytes]) -> None:
    """Together each frame is told of as alone, and the counters are the sums."""
    told, counted, known = (
        [],
        dict[str, int](),
        dict[bytes, tuple[list[tuple[object, ...]], dict[str, int]]](),
    )
    for frame in train:
        known[frame] = known.get(frame) or _alone(rig, frame)
        told += known[frame][0]
        for name, count in known[frame][1].items():
            counted[name] = counted.get(name, 0) + count
    before = rig.counters("RX_")
    found = sorted((_told(each) for each in arrive(rig, train, WAYS[0])), key=repr)
    assert found == sorted(told, key=repr), f"{what}: together frames are told of otherwise than alone"
    grown = _grown(rig, before)
    assert grown == counted, f"{what}: together {filled(grown)} are counted, alone {filled(counted)}"


@card_case(
    manual("RX-7", "receive"),
    "a frame among others that are alike but for it is judged, hashed, filtered and counted as alone",
    pairs=2,
    rx_count=64,
)
def the_odd_one_of_a_train(rig: Rig) -> None:
    """Trains of 7 over both versions with one that differs, first and in the middle; alone, then together."""
    every = sum(each for each in HashType)
    assert commit_rss(rig, key=_KEY, table=[0, 1], types=every, log2=1)
    for version in (4, 6):
        for make, more in ((tcp_frame, _ODD_TCP), (udp_frame, _ODD_UDP)):
            like = make(_data(1), version=version)
            for name, odd in {**_ODD, **more}.items():
                frame = odd(make, version)
                for place in _PLACES:
                    train = [like] * _COUNT
                    train[place] = frame
                    _compare(rig, f"{make.__name__}, IPv{version}, {name} at {place}", train)


@card_case(
    manual("RX-7", "receive"),
    "of frames that come together each UDP checksum of 0 is none over IPv4 and a wrong one over IPv6",
    rx_count=64,
)
def datagrams_without_a_checksum(rig: Rig) -> None:
    """Every second of 12 datagrams, short and long, has no checksum; in tags that are stripped, too."""
    for strip in (0, 1):
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=strip)
        tags = ((0x8100, 5),) * strip
        for version in (4, 6):
            for length in (40, 600):
                train = [
                    udp_frame(_data(n, length), version=version, tags=tags, field=0 if n % 2 else None)
                    for n in range(12)
                ]
                for run in WAYS:
                    found = [each.first.l4_csum for each in arrive(rig, train, run)]
                    wanted = [1, 0 if version == 4 else 2] * 6
                    assert found == wanted, f"IPv{version}, {length} bytes: the verdicts are {found}"


@card_case(
    manual("RX-8", "receive"),
    "headers that fill the header buffer exactly are split off; those of one byte more are not",
    hdr_len=256,
    split=True,
)
def headers_that_fill_their_buffer(rig: Rig) -> None:
    """Header buffers of the headers' length, one byte less and one more; options, versions, tags."""
    frames = {
        "TCP with 12 bytes of options": tcp_frame(_data(1), options=b"\x01" * 12),
        "TCP with IPv4 options": tcp_frame(_data(1), ip={"options": b"\x01" * 40}),
        "TCP over IPv6": tcp_frame(_data(1), version=6),
        "TCP over IPv6 in a tag": tcp_frame(_data(1), version=6, tags=((0x8100, 5),)),
        "UDP with IPv4 options": udp_frame(_data(1), ip={"options": b"\x01" * 40}),
        "a fragment with options": tcp_frame(_data(1), ip={"options": b"\x01" * 40, "fragment": 0x2000}),
    }  # fmt: skip
    for name, frame in frames.items():
        at = Frame.parse(frame).header_end
        assert at >= 65
        for length in (at - 1, at, at + 1):
            rig.hdr_len = length
            rig[0].reset()
            rig[0].start()
            rig[0].post_rx(8)
            for run in WAYS:
                (got,) = arrive(rig, [frame], run)
                told = (got.first.split, got.first.hdr_len, got.first.len)
                wanted = (1, at, len(frame) - at) if at <= length else (0, 0, len(frame))
                assert told == wanted, f"{name}, {at} bytes, header buffers of {length}: {told}"
                assert got.data == frame, f"{name} came otherwise"
