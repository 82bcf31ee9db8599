"""Receive-side scaling, clause by clause: which type a frame takes, and which configuration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from vnic.conformance.card_drive import WAYS, arrive, commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0
from vnic.testbench.frames import ADDRESSES, datagram, ethernet, plain_frame, tcp_frame, udp_frame
from vnic.testbench.rig import Rig
from vnic.wire import packet, toeplitz
from vnic.wire.parse import Frame, HashType, rss_input

_KEY = bytes((n * 59 + 17) & 0xFF for n in range(40))
_ALL = sum(each for each in HashType)


def _mobile(proto: int, *, home: bool, routed: bool) -> bytes:
    """A datagram with the addresses of mobility, or without."""
    source, destination = ADDRESSES[6]
    extensions = []
    if routed:
        extensions.append((packet.ROUTING, packet.routing_header("2001:db8:99::5")))
        destination = "2001:db8:99::5"
    if home:
        option = packet.options_header(packet.home_address_option("2001:db8:77::1"))
        extensions.append((packet.DESTINATION, option))
        source = "2001:db8:77::1"
    body = b"who goes where"
    if proto in (packet.TCP, packet.UDP):
        make = packet.tcp if proto == packet.TCP else packet.udp
        body = make(source, destination, 40000, 80, body)
    return ethernet(datagram(6, proto, body, extensions=tuple(extensions)))


def _sets(types: tuple[HashType, ...]) -> Iterator[int]:
    for count in range(len(types) + 1):
        for chosen in combinations(types, count):
            yield sum(chosen)


@card_case(
    manual("RSS-4", "rss"),
    "plain and _EX types, of transport and of address, each alone and with each other: the one that is "
    "chosen",
)
def types_of_mobile_frames(rig: Rig) -> None:
    """TCP, UDP and ICMPv6 with a home address, a type 2 routing header, both, none; 28 sets of types, both
    ways."""
    kinds = [
        _mobile(proto, home=home, routed=routed)
        for proto, home, routed in product(
            (packet.TCP, packet.UDP, packet.ICMPV6), (False, True), (False, True)
        )
    ]
    address = (HashType.IPV6, HashType.IPV6_EX)
    sets = {*_sets((*address, HashType.TCP_IPV6, HashType.TCP_IPV6_EX))}
    sets |= {*_sets((*address, HashType.UDP_IPV6, HashType.UDP_IPV6_EX))}
    for types in sorted(sets):
        assert commit_rss(rig, key=_KEY, table=[0], types=types, log2=0)
        for run in WAYS:
            got = list(arrive(rig, kinds, run))
            for each, frame in zip(got, kinds, strict=True):
                kind, data = rss_input(Frame.parse(frame), types)
                wanted = (int(kind) >> 8, toeplitz.hash(_KEY, data)) if kind else (0, 0)
                assert (each.first.hash_type, each.first.hash) == wanted, (
                    f"types {types:#x}: {frame[20:].hex()}"
                )


@card_case(
    manual("RSS-3", "rss"),
    "TCP and UDP take their own type, else that of the address, else none; other IP the address's",
)
def types_of_plain_frames(rig: Rig) -> None:
    """Each type alone, and each left out of all, with TCP, UDP, ICMP and fragments of both versions, both
    ways."""
    kinds = [make(b"plain", version=version) for version in (4, 6) for make in (tcp_frame, udp_frame)]
    kinds += [ethernet(datagram(4, packet.ICMP, b"x" * 30)), tcp_frame(b"x", ip={"fragment": 0x2000})]
    kinds += [ethernet(datagram(6, packet.ICMPV6, b"x" * 30)), plain_frame(90)]
    for types in (*HashType, *(_ALL & ~each for each in HashType)):
        assert commit_rss(rig, key=_KEY, table=[0], types=int(types), log2=0)
        for frame, run in product(kinds, WAYS):
            kind, data = rss_input(Frame.parse(frame), int(types))
            wanted = (int(kind) >> 8, toeplitz.hash(_KEY, data)) if kind else (0, 0)
            found = {(each.first.hash_type, each.first.hash) for each in arrive(rig, [frame] * 3, run)}
            assert found == {wanted}, f"types {int(types):#x}: {found}, not {wanted}"


@card_case(
    manual("RSS-8", "rss"),
    "a frame in delivery stays with the configuration of its beginning; the next one has the new one",
    pairs=2,
    buf_len=128,
)
def commits_in_the_middle_of_a_frame(rig: Rig) -> None:
    """A frame of six buffers; another key, table and default after each of its steps; another frame behind
    it."""
    other = bytes(reversed(_KEY))
    for frame, steps in product((tcp_frame(bytes(650)), plain_frame(700, 2)), range(1, 6)):
        assert commit_rss(rig, key=_KEY, table=[0], types=_ALL, log2=0, queue=0)
        rig.device.is_manual = True
        rig.inject(frame)
        rig.inject(frame)
        for _ in range(steps):
            rig.device.step(1)
        assert commit_rss(rig, key=other, table=[1], types=_ALL, log2=0, queue=1)
        rig.device.run()
        rig.device.is_manual = False
        ((first,), (second,)) = (pair.take() for pair in rig.pairs)
        assert first.data == second.data == frame
        for got, key in ((first, _KEY), (second, other)):
            kind, data = rss_input(Frame.parse(frame), _ALL)
            wanted = (int(kind) >> 8, toeplitz.hash(key, data)) if kind else (0, 0)
            found = {(part.hash_type, part.hash) for part in got.parts}
            assert found == {wanted}, f"a commit after {steps} steps: {found}, not {wanted}"
        for pair, got in zip(rig.pairs, (first, second), strict=True):
            pair.post_rx(len(got.parts))


@card_case(
    manual("RSS-7", "rss"),
    "GENERATION counts accepted commits, on or off, refused ones not; REFUSED goes with the next good one",
    pairs=2,
)
def generations_of_commits(rig: Rig) -> None:
    """300 commits, on and off, every seventh refused; without GO nothing counts."""
    wanted, active = 0, 0
    for number in range(300):
        is_bad, enable = number % 7 == 3, number // 2 % 2
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=enable, DEFAULT_QUEUE=9 if is_bad else 1))
        rig.put(BAR0.RSS_COMMIT, 0)
        rig.put(BAR0.RSS_COMMIT, 0xFFFF_FFFE if number % 50 else 0)
        rig.put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))
        wanted += not is_bad
        active = active if is_bad else enable
        status = BAR0.RSS_STATUS.decode(rig.get(BAR0.RSS_STATUS))
        assert status["GENERATION"] == wanted, f"GENERATION is {status['GENERATION']}, not {wanted}"
        told = status["REFUSED"], status["ACTIVE"]
        assert told == (int(is_bad), active), f"commit {number}: REFUSED and ACTIVE are {told}"
    (got,) = rig.receive(frames(1)[0])
    assert (got.data, got.first.queue) == (frames(1)[0], 1)
