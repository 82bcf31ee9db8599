"""Receive-side scaling: hash, types, table, commit, by spec/rss.md and the NDIS requirements kept there."""

from __future__ import annotations

import random
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import Engine, ResetLevel
from vnic.gen.registers import BAR0
from vnic.testbench.frames import datagram, ethernet, tcp_frame, udp_frame
from vnic.testbench.rig import Received, Rig, plain_frame
from vnic.wire import packet, toeplitz
from vnic.wire.capture import open_capture
from vnic.wire.parse import Frame, HashType, rss_input

SAMPLES = Path(__file__).parents[1] / "samples"
KEY = toeplitz.MICROSOFT_KEY
ALL_TYPES = HashType(0x1FF00)
NON_UDP = ALL_TYPES & ~(HashType.UDP_IPV4 | HashType.UDP_IPV6 | HashType.UDP_IPV6_EX)
TYPES = [kind for kind in HashType if kind]


def write_rss(
    rig: Rig,
    *,
    table: list[int] | None = None,
    types: int = ALL_TYPES,
    key: bytes = KEY,
    enable: int = 1,
    default: int = 0,
    log2: int | None = None,
) -> None:
    """The registers of RSS, not committed; the table is as long as it is given."""
    entries = table or [0]
    size = len(entries).bit_length() - 1 if log2 is None else log2
    rig.put(
        BAR0.RSS_CTRL,
        BAR0.RSS_CTRL.encode(ENABLE=enable, TABLE_LOG2=size, DEFAULT_QUEUE=default),
    )
    rig.put(BAR0.RSS_TYPES, int(types))
    for word in range(10):
        rig.put(BAR0.RSS_KEY, int.from_bytes(key[4 * word : 4 * word + 4], "little"), word)
    padded = bytes(entries).ljust(128, b"\0")
    for word in range(32):
        rig.put(BAR0.RSS_TABLE, int.from_bytes(padded[4 * word : 4 * word + 4], "little"), word)


def commit(rig: Rig) -> bool:
    """Commit; whether it was accepted."""
    before = rig.field(BAR0.RSS_STATUS, "GENERATION")
    rig.put(BAR0.RSS_COMMIT, 1)
    refused = rig.field(BAR0.RSS_STATUS, "REFUSED")
    assert rig.field(BAR0.RSS_STATUS, "GENERATION") == (before + 1 - refused) & 0xFFFF
    return not refused


def expected(frame: bytes, types: int, key: bytes = KEY) -> tuple[HashType, int]:
    """Type and hash by the oracles."""
    kind, octets = rss_input(Frame.parse(frame), types)
    return kind, toeplitz.hash(key, octets) if kind else 0


def spread(rig: Rig) -> list[tuple[int, Received]]:
    """Frames with their pair; descriptors are posted again."""
    found = []
    for pair in rig.pairs:
        for received in pair.take():
            found.append((pair.number, received))
            pair.post_rx(len(received.parts))
    return found


def check(
    rig: Rig, frame: bytes, table: list[int], types: int, key: bytes = KEY, *, default: int = 0
) -> None:
    """One frame: hash, type and pair are those of the oracles."""
    rig.inject(frame)
    ((pair, received),) = spread(rig)
    kind, value = expected(frame, types, key)
    for entry in received.parts:
        assert (HashType(entry.hash_type << 8), entry.hash) == (kind, value)
    assert pair == (table[value & len(table) - 1] if kind else default)


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


@pytest.mark.requirement("INV-51", "RSS-1")
@pytest.mark.parametrize(("to", "to_port", "source", "port", "addresses", "ports"), PUBLISHED)
def test_published_vectors(  # noqa: PLR0917 (a row of the table)
    to: str, to_port: int, source: str, port: int, addresses: int, ports: int
) -> None:
    version = ip_address(to).version
    frame = tcp_frame(b"x", version=version, ports=(port, to_port), ip={"addresses": (source, to)})
    with Rig() as rig:
        for types, value in ((HashType.IPV4 | HashType.IPV6, addresses), (ALL_TYPES, ports)):
            write_rss(rig, types=types)
            assert commit(rig)
            assert rig.receive(frame)[0].first.hash == value


@pytest.mark.requirement("RSS-1")
@given(key=st.binary(min_size=40, max_size=40), ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
def test_any_key(key: bytes, ports: tuple[int, int]) -> None:
    with Rig() as rig:
        write_rss(rig, key=key)
        commit(rig)
        for version in (4, 6):
            check(rig, tcp_frame(version=version, ports=ports), [0], ALL_TYPES, key)


def shapes() -> dict[str, bytes]:
    """Frames of every shape that the rules of hashing tell apart."""
    more = {"fragment": packet.MORE_FRAGMENTS}
    later = {"fragment": 2}
    home = (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8:9::9")))
    routing = (packet.ROUTING, packet.routing_header("2001:db8:8::8"))
    used_up = (packet.ROUTING, packet.routing_header("2001:db8:8::8", segments_left=0))
    type0 = (packet.ROUTING, packet.routing_header("2001:db8:8::8", kind=0))
    hop = (packet.HOP_BY_HOP, packet.options_header(b"\1\2\0\0"))
    auth = (packet.AUTHENTICATION, packet.authentication_header())
    first = (packet.FRAGMENT, packet.fragment_header(0, more=True))
    last = (packet.FRAGMENT, packet.fragment_header(64, more=False))
    atomic = (packet.FRAGMENT, packet.fragment_header(0, more=False))
    chains = {
        "home": [home],
        "routing": [routing],
        "home and routing": [home, routing],
        "used up": [used_up],
        "type 0": [type0],
        "hop-by-hop": [hop],
        "authentication": [auth],
        "first fragment": [first],
        "last fragment": [last],
        "home, fragment": [home, first],
        "atomic": [atomic],
        "eight": [hop] * 8,
        "nine": [hop] * 9,
        "cut": [(packet.DESTINATION, bytes([0, 200, 0, 0, 0, 0, 0, 0]))],
    }
    found = {"arp": ethernet(packet.arp("192.0.2.1", "192.0.2.2")), "plain": plain_frame()}
    for name, make in (("tcp", tcp_frame), ("udp", udp_frame)):
        for version in (4, 6):
            found[f"{name}{version}"] = make(b"data", version=version)
            found[f"{name}{version} tagged"] = make(b"data", version=version, tags=[(0x8100, 3)])
            found[f"{name}{version} qinq"] = make(b"data", version=version, tags=[(0x88A8, 3), (0x8100, 4)])
        found[f"{name}4 options"] = make(b"data", ip={"options": b"\x94\x04\0\0"})
        found[f"{name}4 first fragment"] = make(bytes(16), ip=more)
        found[f"{name}4 later fragment"] = make(bytes(16), ip=later)
        for chain, extensions in chains.items():
            found[f"{name}6 {chain}"] = make(b"data", version=6, ip={"extensions": extensions})
    for version in (4, 6):
        found[f"sctp{version}"] = ethernet(datagram(version, 132, bytes(12)))
        found[f"short tcp{version}"] = ethernet(datagram(version, packet.TCP, bytes(19)))
        found[f"short udp{version}"] = ethernet(datagram(version, packet.UDP, bytes(7)))
    found["version 5"] = tcp_frame(ip={"version": 5})
    found["ihl 4"] = tcp_frame(ip={"ihl": 4})
    return found


TYPE_SETS = [
    HashType.IPV4,
    HashType.TCP_IPV4,
    HashType.TCP_IPV4 | HashType.IPV4,
    HashType.UDP_IPV4,
    HashType.UDP_IPV4 | HashType.TCP_IPV4,
    HashType.IPV6,
    HashType.TCP_IPV6,
    HashType.TCP_IPV6 | HashType.IPV6,
    HashType.UDP_IPV6,
    HashType.UDP_IPV6 | HashType.IPV6,
    HashType.IPV6_EX,
    HashType.TCP_IPV6_EX,
    HashType.UDP_IPV6_EX,
    HashType.TCP_IPV6_EX | HashType.IPV6_EX,
    HashType.TCP_IPV6 | HashType.TCP_IPV6_EX | HashType.IPV6 | HashType.IPV6_EX,
    HashType.UDP_IPV6 | HashType.UDP_IPV6_EX | HashType.IPV6_EX,
    HashType.IPV6 | HashType.IPV6_EX,
    NON_UDP,
    ALL_TYPES,
    HashType.NONE,
]


@pytest.mark.requirement("RSS-2", "RSS-3", "RSS-4", "RSS-5", "RSS-6", "INV-53", "INV-54")
@pytest.mark.parametrize("types", TYPE_SETS, ids=lambda types: f"{types:#x}")
def test_every_shape_by_every_set_of_types(types: HashType) -> None:
    table = [1, 2, 3, 1]
    with Rig(pairs=5) as rig:
        write_rss(rig, table=table, types=types, default=4)
        assert commit(rig)
        for frame in shapes().values():
            check(rig, frame, table, types, default=4)
        kinds = [expected(frame, types)[0] for frame in shapes().values()]
        assert rig.stat("RX_HASHED") == sum(bool(kind) for kind in kinds)
        assert rig.stat("RX_UNHASHED") == sum(not kind for kind in kinds)


@pytest.mark.requirement("RSS-4")
def test_mobility_addresses_in_full() -> None:
    source, to = (packet.packed(address) for address in ("2001:db8:9::9", "2001:db8:8::8"))
    home = (packet.DESTINATION, packet.options_header(packet.home_address_option(source)))
    routing = (packet.ROUTING, packet.routing_header(to))
    frame = tcp_frame(version=6, ports=(1, 2), ip={"extensions": [routing, home]})
    with Rig() as rig:
        write_rss(rig)
        commit(rig)
        entry = rig.receive(frame)[0].first
        assert entry.hash_type << 8 == HashType.TCP_IPV6_EX
        assert entry.hash == toeplitz.hash(KEY, source + to + bytes([0, 1, 0, 2]))


@pytest.mark.requirement("INV-54")
@pytest.mark.parametrize("make", [tcp_frame, udp_frame])
@pytest.mark.parametrize("with_addresses", [False, True])
def test_fragments_are_never_hashed_with_ports(make: type, with_addresses: bool) -> None:
    types = HashType.TCP_IPV4 | HashType.UDP_IPV4 | (HashType.IPV4 if with_addresses else 0)
    with Rig() as rig:
        write_rss(rig, types=types)
        commit(rig)
        whole = make(bytes(64))
        for fragment in packet.ipv4_fragments(whole[14:], 16):
            entry = rig.receive(ethernet(fragment))[0].first
            assert entry.hash_type << 8 == (HashType.IPV4 if with_addresses else 0)


@pytest.mark.requirement("RSS-5", "INV-53")
def test_hash_is_never_stale() -> None:
    with Rig(buf_len=64) as rig:
        write_rss(rig, types=HashType.TCP_IPV4)
        commit(rig)
        rng = random.Random(1)
        for _ in range(30):
            frame = rng.choice([tcp_frame(bytes(200)), udp_frame(bytes(200)), plain_frame()])
            (received,) = rig.receive(frame)
            rig[0].post_rx(len(received.parts))
            for entry in received.parts:
                assert bool(entry.hash_type) == bool(entry.hash) == bool(entry.tcp)


@pytest.mark.requirement("RSS-5")
def test_nothing_is_hashed_or_counted_while_inactive() -> None:
    with Rig() as rig:
        write_rss(rig, enable=0)
        assert commit(rig)
        assert rig.receive(tcp_frame())[0].first.hash_type == 0
        assert (rig.stat("RX_HASHED"), rig.stat("RX_UNHASHED")) == (0, 0)


@pytest.mark.requirement("RSS-6")
def test_inactive_rss_uses_the_default_queue() -> None:
    with Rig(pairs=3) as rig:
        write_rss(rig, enable=0, default=2)
        assert commit(rig)
        rig.inject(tcp_frame())
        assert [pair for pair, _ in spread(rig)] == [2]


@pytest.mark.requirement("INV-52", "RSS-6")
@pytest.mark.parametrize("log2", range(8))
def test_table_of_every_size(log2: int) -> None:
    rng = random.Random(log2)
    table = [rng.randrange(8) for _ in range(1 << log2)]
    with Rig(pairs=8) as rig:
        write_rss(rig, table=table)
        assert commit(rig)
        for _ in range(60):
            frame = tcp_frame(version=rng.choice([4, 6]), ports=(rng.randrange(65536), rng.randrange(65536)))
            check(rig, frame, table, ALL_TYPES)


@pytest.mark.requirement("INV-52", "INV-53", "INV-55", "RSS-6")
def test_real_traffic_over_eight_queues() -> None:
    table = [n % 8 for n in range(128)]
    with Rig(pairs=8, buf_len=1536) as rig, open_capture(SAMPLES / "flows.pcap") as frames:
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
        write_rss(rig, table=table)
        commit(rig)
        pairs: dict[bytes, set[int]] = {}
        used = set()
        for captured in frames:
            rig.inject(captured.data)
            ((pair, received),) = spread(rig)
            kind, octets = rss_input(Frame.parse(captured.data), ALL_TYPES)
            assert received.data == captured.data
            assert received.first.hash_type << 8 == kind
            assert received.first.hash == (toeplitz.hash(KEY, octets) if kind else 0)
            pairs.setdefault(octets, set()).add(pair)
            used.add(pair)
        assert all(len(found) == 1 for found in pairs.values())
        assert used == set(range(8))


@pytest.mark.requirement("RSS-7", "INV-52")
@pytest.mark.parametrize(
    ("fields", "table", "is_sound"),
    [
        ({"log2": 8}, [0], False),
        ({"log2": 15}, [0], False),
        ({"log2": 7}, [3] * 128, True),
        ({"default": 4}, [0], False),
        ({"default": 255}, [0], False),
        ({"default": 3}, [0], True),
        ({}, [0, 1, 2, 4], False),
        ({}, [255, 0], False),
        ({"log2": 1}, [0, 1, 9, 9], True),
        ({"enable": 0}, [9], False),
    ],
)
def test_unsound_configurations_are_refused(fields: dict[str, int], table: list[int], is_sound: bool) -> None:
    old = [1, 2]
    with Rig(pairs=4) as rig:
        write_rss(rig, table=old, types=HashType.TCP_IPV4)
        assert commit(rig)
        write_rss(rig, table=table, key=bytes(40), **fields)
        assert commit(rig) == is_sound
        assert rig.stat("GUEST_ERRORS") == (0 if is_sound else 1)
        if not is_sound:
            assert rig.field(BAR0.RSS_STATUS, "ACTIVE") == 1
            for port in range(20):
                check(rig, tcp_frame(ports=(port, port)), old, HashType.TCP_IPV4)
                check(rig, udp_frame(ports=(port, port)), old, HashType.TCP_IPV4)
            write_rss(rig, table=old)
            assert commit(rig)


@pytest.mark.requirement("RSS-7", "RSS-8")
def test_nothing_changes_before_the_commit() -> None:
    with Rig(pairs=4) as rig:
        write_rss(rig, table=[1, 2])
        commit(rig)
        write_rss(rig, table=[3, 3], types=HashType.IPV6, key=bytes(40), default=3, enable=0)
        for port in range(10):
            check(rig, tcp_frame(ports=(port, port)), [1, 2], ALL_TYPES)


@pytest.mark.requirement("RSS-7")
def test_only_a_1_commits() -> None:
    with Rig(pairs=2) as rig:
        write_rss(rig, table=[1])
        rig.put(BAR0.RSS_COMMIT, 0)
        rig.device.write8(BAR0.RSS_COMMIT.offset + 1, 1)
        assert rig.get(BAR0.RSS_STATUS) == 0


@pytest.mark.requirement("RSS-8", "INV-55", "INV-56")
def test_changes_at_run_time_lose_nothing() -> None:
    rng = random.Random(5)
    with Rig(pairs=4, manual=True, rx_count=1024, cq_count=1024, buf_len=64) as rig:
        expected_pairs: dict[bytes, set[int]] = {}
        tables = [[rng.randrange(4) for _ in range(1 << rng.randrange(8))] for _ in range(12)]
        frames = []
        for number, table in enumerate(tables):
            write_rss(rig, table=table, key=rng.randbytes(40), types=rng.choice(TYPE_SETS[:-1]))
            for flow in range(10):
                frames.append(tcp_frame(number.to_bytes(2) + bytes([flow]), ports=(flow, number)))
                rig.inject(frames[-1])
            for _ in range(rng.randrange(12)):
                rig.device.step(Engine.RX)
            assert commit(rig)
        rig.device.run()
        got = spread(rig)
        assert sorted(received.data for _, received in got) == sorted(frames)
        for pair, received in got:
            expected_pairs.setdefault(received.data, set()).add(pair)
        assert all(len(pairs) == 1 for pairs in expected_pairs.values())


@pytest.mark.requirement("RSS-8")
def test_a_frame_in_delivery_keeps_its_configuration() -> None:
    with Rig(pairs=2, manual=True, buf_len=64) as rig:
        write_rss(rig, table=[0])
        commit(rig)
        frame = tcp_frame(bytes(300))
        rig.inject(frame)
        rig.inject(frame)
        for _ in range(3):
            rig.device.step(Engine.RX)
        write_rss(rig, table=[1], key=bytes(40))
        commit(rig)
        rig.device.run()
        old, new = spread(rig)
        assert (old[0], new[0]) == (0, 1)
        assert {e.hash for e in old[1].parts} == {expected(frame, ALL_TYPES)[1]}
        assert {e.hash for e in new[1].parts} == {0}
        assert {e.hash_type << 8 for e in new[1].parts} == {HashType.TCP_IPV4}


@pytest.mark.requirement("INV-56")
def test_last_set_wins() -> None:
    with Rig() as rig:
        for kind in TYPES:
            write_rss(rig, types=kind)
            commit(rig)
            for frame in (tcp_frame(), udp_frame(), tcp_frame(version=6), udp_frame(version=6)):
                check(rig, frame, [0], kind)
        write_rss(rig, enable=0)
        commit(rig)
        assert rig.receive(tcp_frame())[0].first.hash_type == 0


@pytest.mark.requirement("RSS-9")
def test_a_chosen_pair_that_does_not_run_is_a_drop() -> None:
    with Rig(pairs=2) as rig:
        write_rss(rig, table=[1])
        commit(rig)
        rig[1].put(BAR0.QP_RX_CTRL, 0)
        rig.inject(tcp_frame())
        assert spread(rig) == []
        assert (rig.stat("RX_DROP_QUEUE"), rig[1].get(BAR0.QP_RX_DROPS)) == (1, 1)


@pytest.mark.requirement("RSS-10")
def test_a_pair_that_is_started_first_misses_nothing() -> None:
    with Rig(pairs=2) as rig:
        rig[1].reset()
        write_rss(rig, table=[0])
        commit(rig)
        for port in range(20):
            if port == 10:
                rig[1].start()
                rig[1].post_rx(20)
                write_rss(rig, table=[1])
                commit(rig)
            rig.inject(tcp_frame(ports=(port, 1)))
        assert [pair for pair, _ in spread(rig)] == [0] * 10 + [1] * 10
        assert rig.stat("RX_DROP_QUEUE") == 0


@pytest.mark.requirement("RSS-11")
@pytest.mark.parametrize("how", ["device", "hot", "power"])
def test_reset_ends_rss(how: str) -> None:
    with Rig(pairs=2) as rig:
        write_rss(rig, table=[1], default=1)
        commit(rig)
        if how == "device":
            rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        else:
            rig.device.reset(ResetLevel.HOT if how == "hot" else ResetLevel.POWER)
            rig.power_up()
        assert rig.get(BAR0.RSS_STATUS) == 0
        assert [rig.get(BAR0.RSS_KEY, n) for n in range(10)] == [0] * 10
        assert [rig.get(BAR0.RSS_TABLE, n) for n in range(32)] == [0] * 32
        rig.bring_up(10)
        rig.inject(tcp_frame())
        ((pair, received),) = spread(rig)
        assert (pair, received.first.hash_type) == (0, 0)
