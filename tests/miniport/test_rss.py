"""Receive-side scaling: where frames go, what sets are refused, and what a failed set leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vnic.gen.registers import BAR0
from vnic.miniport.rss import assign_queues, rss_processors
from vnic.ndis.keywords import read_settings
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.rss import (
    HashType,
    ReceiveHashFlag,
    ReceiveHashParameters,
    ReceiveScaleCapabilities,
    ReceiveScaleParameters,
    RssCapability,
    RssFlag,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol import Received
from vnic.testbench import Bench
from vnic.testbench.bench import RSS_KEY, RSS_TYPES
from vnic.testbench.frames import ADDRESSES, datagram, ethernet, plain_frame, tcp_frame, udp_frame
from vnic.wire import packet

LEVELS = ["msix", "msi", "line"]
OK = NDIS_STATUS.SUCCESS


def set_parameters(bench: Bench, parameters: ReceiveScaleParameters | bytes) -> NDIS_STATUS:
    """OID_GEN_RECEIVE_SCALE_PARAMETERS."""
    data = parameters if isinstance(parameters, bytes) else parameters.pack()
    return bench.request(set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, data))


def flows(count: int, first: int = 0) -> list[bytes]:
    """One frame each of so many TCP flows over IPv4 and IPv6."""
    return [
        tcp_frame(n.to_bytes(2), version=4 if n % 2 else 6, ports=(10000 + n, 80))
        for n in range(first, first + count)
    ]


def traffic(bench: Bench, *frames: bytes) -> list[Received]:
    """What the protocol got of these frames."""
    bench.protocol.received.clear()
    bench.receive(*frames)
    bench.settle()
    return list(bench.protocol.received)


@pytest.mark.requirement("INV-52")
@pytest.mark.parametrize("interrupt", LEVELS)
@pytest.mark.parametrize("entries", [1, 2, 8, 64, 128])
def test_the_table_names_the_processor_of_every_hashed_frame(interrupt: str, entries: int) -> None:
    table = tuple((entry * 3 + 1) % 4 for entry in range(entries))
    with Bench(interrupt=interrupt, strict_rss=True) as bench:
        assert bench.set_rss(table) == OK
        seen = traffic(bench, *flows(60))
        assert len(seen) == 60
        for frame in seen:
            assert frame.hash is not None
            assert frame.cpu == table[frame.hash[2] & entries - 1]


@pytest.mark.requirement("INV-52")
def test_any_processor_of_the_host_can_be_named() -> None:
    with Bench(queues=4, cpus=8, strict_rss=True) as bench:
        assert bench.set_rss((7, 5, 2, 6)) == OK
        assert {frame.cpu for frame in traffic(bench, *flows(40))} == {7, 5, 2, 6}


@pytest.mark.requirement("INV-52")
def test_with_more_processors_than_queues_a_subset_serves_them() -> None:
    with Bench(queues=2, cpus=8) as bench:
        assert bench.set_rss(tuple(range(8))) == OK
        seen = traffic(bench, *flows(64))
        assert len(seen) == 64
        assert len({frame.cpu for frame in seen}) == 2


def bad_sets() -> Iterator[tuple[str, bytes]]:
    """Sets that a miniport must not take, with why."""
    good = ReceiveScaleParameters(hash_information=int(RSS_TYPES) | 1, table=(0, 1), key=RSS_KEY)
    yield (
        "key of 39 bytes",
        ReceiveScaleParameters(hash_information=0x201, table=(0, 1), key=RSS_KEY[:39]).pack(),
    )
    yield (
        "key of 41 bytes",
        ReceiveScaleParameters(hash_information=0x201, table=(0,), key=RSS_KEY + b"x").pack(),
    )
    yield "3 entries", ReceiveScaleParameters(hash_information=0x201, table=(0, 1, 2), key=RSS_KEY).pack()
    yield "256 entries", ReceiveScaleParameters(hash_information=0x201, table=(0,) * 256, key=RSS_KEY).pack()
    yield "no entry", ReceiveScaleParameters(hash_information=0x201, table=(), key=RSS_KEY).pack()
    yield "foreign function", ReceiveScaleParameters(hash_information=0x202, table=(0,), key=RSS_KEY).pack()
    yield "no type", ReceiveScaleParameters(hash_information=0x1, table=(0,), key=RSS_KEY).pack()
    yield (
        "no such processor",
        ReceiveScaleParameters(hash_information=0x201, table=(0, 9), key=RSS_KEY).pack(),
    )
    yield "cut short", good.pack()[:-1]
    yield "no header", good.pack()[:3]


@pytest.mark.requirement("INV-52")
@pytest.mark.parametrize(("why", "data"), list(bad_sets()))
def test_a_refused_set_leaves_the_old_configuration(why: str, data: bytes) -> None:
    with Bench(strict_rss=True) as bench:
        assert bench.set_rss((3, 2, 1, 0)) == OK
        before = [(frame.cpu, frame.hash) for frame in traffic(bench, *flows(20))]
        generation = BAR0.RSS_STATUS.decode(bench.device.read32(BAR0.RSS_STATUS.offset))["GENERATION"]
        assert set_parameters(bench, data).is_error, why
        assert [(frame.cpu, frame.hash) for frame in traffic(bench, *flows(20))] == before
        assert BAR0.RSS_STATUS.decode(bench.device.read32(BAR0.RSS_STATUS.offset))["GENERATION"] == generation


@pytest.mark.requirement("INV-52")
def test_a_refused_first_set_leaves_rss_off() -> None:
    for _, data in bad_sets():
        with Bench(queues=2, cpus=2) as bench:
            assert set_parameters(bench, data).is_error
            assert {frame.hash for frame in traffic(bench, *flows(4))} == {None}


@pytest.mark.requirement("INV-53")
def test_an_unhashable_frame_has_no_hash_and_goes_to_the_default_processor() -> None:
    odd = [
        plain_frame(100),
        ethernet(packet.arp("192.0.2.1", "192.0.2.2")),
        ethernet(b"\x45" + bytes(10)),
    ]
    with Bench(strict_rss=True) as bench:
        assert bench.set_rss((1, 2, 3, 1)) == OK
        mixed = [frame for pair in zip(flows(3), odd, strict=True) for frame in pair]
        seen = {frame.data: frame for frame in traffic(bench, *mixed)}
        assert {seen[frame].hash for frame in odd} == {None}
        assert {seen[frame].cpu for frame in odd} == {0}
        assert None not in {seen[frame].hash for frame in flows(3)}


@pytest.mark.requirement("INV-53")
def test_the_default_processor_of_revision_3_takes_unhashed_frames() -> None:
    with Bench(strict_rss=True) as bench:
        assert bench.set_rss((0, 1), revision=3, default_processor=2) == OK
        assert [frame.cpu for frame in traffic(bench, plain_frame(100), plain_frame(101))] == [2, 2]


@pytest.mark.requirement("INV-53")
def test_a_hash_value_of_0_is_a_hash() -> None:
    with Bench() as bench:
        assert bench.set_rss(key=bytes(40)) == OK
        (frame,) = traffic(bench, tcp_frame(b"x"))
        assert frame.hash == (int(HashType.TCP_IPV4), 1, 0)


@pytest.mark.requirement("INV-54")
@pytest.mark.parametrize(("types", "hashed"), [(0x200, None), (0x300, 0x100), (0x100, 0x100)])
def test_a_fragment_is_hashed_by_its_addresses_or_not_at_all(types: int, hashed: int | None) -> None:
    whole = datagram(4, packet.TCP, packet.tcp(*ADDRESSES[4], 1, 2, bytes(100)), fragment=0)
    pieces = [ethernet(piece) for piece in packet.ipv4_fragments(whole, 40)]
    with Bench() as bench:
        assert bench.set_rss(types=types) == OK
        kinds = {frame.hash and frame.hash[0] for frame in traffic(bench, *pieces)}
        assert kinds == {hashed}


@pytest.mark.requirement("INV-55")
@pytest.mark.parametrize("interrupt", LEVELS)
def test_a_flow_has_one_hash_and_keeps_its_order(interrupt: str) -> None:
    with Bench(interrupt=interrupt, strict_rss=True, frames_per_dpc=4) as bench:
        assert bench.set_rss() == OK
        frames = [tcp_frame(n.to_bytes(4), ports=(7000 + n % 8, 80), seq=n) for n in range(240)]
        seen = traffic(bench, *frames)
        for flow in range(8):
            port = (7000 + flow).to_bytes(2)
            mine = [frame for frame in seen if frame.data[34:36] == port]
            assert len({frame.hash for frame in mine}) == 1
            assert [frame.data for frame in mine] == [frame for frame in frames if frame[34:36] == port]


@pytest.mark.requirement("INV-56")
def test_the_last_set_wins_and_a_type_it_does_not_name_is_not_hashed() -> None:
    with Bench() as bench:
        frames = [tcp_frame(b"x"), tcp_frame(b"x", version=6), udp_frame(b"x"), udp_frame(b"x", version=6)]
        for types, wanted in (
            (int(RSS_TYPES), [0x200, 0x1000, 0x100, 0x400]),
            (0x200, [0x200, None, None, None]),
            (0x400, [None, 0x400, None, 0x400]),
            (0xC000, [None, None, 0x4000, 0x8000]),
        ):
            assert bench.set_rss(types=types) == OK
            assert [frame.hash and frame.hash[0] for frame in traffic_in_order(bench, frames)] == wanted


def traffic_in_order(bench: Bench, frames: list[bytes]) -> list[Received]:
    """What the protocol got, in the order of the frames, which differ."""
    seen = {frame.data: frame for frame in traffic(bench, *frames)}
    return [seen[frame] for frame in frames]


@pytest.mark.requirement("INV-56")
@pytest.mark.parametrize(
    "off",
    [
        ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS),
        ReceiveScaleParameters(hash_information=0),
        ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS, hash_information=0x201, table=(3,), key=RSS_KEY),
    ],
)
def test_disabling_brings_back_the_state_after_initialization(off: ReceiveScaleParameters) -> None:
    with Bench() as bench:
        first = [(frame.cpu, frame.hash) for frame in traffic(bench, *flows(8))]
        assert bench.set_rss((3, 2)) == OK
        traffic(bench, *flows(8))
        assert set_parameters(bench, off) == OK
        assert [(frame.cpu, frame.hash) for frame in traffic(bench, *flows(8))] == first
        assert set(first) == {(0, None)}
        assert not bench.device.read32(BAR0.RSS_STATUS.offset) & 1


@pytest.mark.requirement("INV-56")
def test_unchanged_members_are_kept_from_the_set_before() -> None:
    with Bench(strict_rss=True) as bench:
        assert bench.set_rss((0, 1, 2, 3)) == OK
        hashes = [frame.hash for frame in traffic_in_order(bench, flows(12))]
        kept = RssFlag.HASH_INFO_UNCHANGED | RssFlag.HASH_KEY_UNCHANGED
        assert set_parameters(bench, ReceiveScaleParameters(flags=kept, table=(3, 2, 1, 0))) == OK
        moved = traffic_in_order(bench, flows(12))
        assert [frame.hash for frame in moved] == hashes
        assert all(frame.cpu == 3 - (frame.hash[2] & 3) for frame in moved if frame.hash)
        assert set_parameters(bench, ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS)) == OK
        assert set_parameters(bench, ReceiveScaleParameters(flags=kept, table=(0,))).is_error


@pytest.mark.requirement("INV-56")
def test_rss_and_receive_hash_exclude_each_other() -> None:
    hashing = ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, 0x301, RSS_KEY)
    with Bench() as bench:
        assert bench.request(set_(OID.GEN_RECEIVE_HASH, hashing.pack())) == OK
        hashed = traffic(bench, *flows(8))
        assert {frame.cpu for frame in hashed} == {0}
        assert {frame.hash[0] for frame in hashed if frame.hash} == {0x200}
        assert bench.set_rss() in (NDIS_STATUS.INVALID_OID, NDIS_STATUS.NOT_SUPPORTED)
        off = ReceiveHashParameters(ReceiveHashFlag(0))
        assert bench.request(set_(OID.GEN_RECEIVE_HASH, off.pack())) == OK
        assert bench.set_rss() == OK
        assert bench.request(set_(OID.GEN_RECEIVE_HASH, hashing.pack())).is_error


def test_receive_hash_keeps_unchanged_members() -> None:
    enable, info, key = (
        ReceiveHashFlag.ENABLE_HASH,
        ReceiveHashFlag.HASH_INFO_UNCHANGED,
        ReceiveHashFlag.HASH_KEY_UNCHANGED,
    )
    with Bench(queues=1, cpus=1) as bench:

        def hashed(parameters: ReceiveHashParameters) -> tuple[int, int, int] | None:
            assert bench.request(set_(OID.GEN_RECEIVE_HASH, parameters.pack())) == OK
            (frame,) = traffic(bench, tcp_frame(b"x"))
            return frame.hash

        early = ReceiveHashParameters(enable | info, 0, RSS_KEY)
        assert bench.request(set_(OID.GEN_RECEIVE_HASH, early.pack())) == NDIS_STATUS.INVALID_DATA
        none = ReceiveHashParameters(enable, 0, RSS_KEY)
        assert bench.request(set_(OID.GEN_RECEIVE_HASH, none.pack())) == NDIS_STATUS.INVALID_DATA
        first = hashed(ReceiveHashParameters(enable, 0x201, RSS_KEY))
        assert first is not None
        assert hashed(ReceiveHashParameters(enable | key, 0x201)) == first
        other = hashed(ReceiveHashParameters(enable | info, 0, RSS_KEY[::-1]))
        assert other is not None
        assert other[2] != first[2]
        assert hashed(ReceiveHashParameters(ReceiveHashFlag(0))) is None


def test_a_table_that_changes_under_traffic_loses_no_frame() -> None:
    with Bench(queues=4, cpus=4) as bench:
        bench.set_rss()
        for turn in range(12):
            bench.device.is_manual = True
            bench.receive(*flows(10, turn * 10))
            assert bench.set_rss(tuple((entry + turn) % 4 for entry in range(16))) == OK
            bench.device.is_manual = False
        bench.settle()
        assert sorted(bench.received) == sorted(flows(120))


def test_capabilities_by_interrupt_level_and_profile() -> None:
    found = {}
    for interrupt in LEVELS:
        with Bench(interrupt=interrupt) as bench:
            found[interrupt] = ReceiveScaleCapabilities.parse(bench.query(OID.GEN_RECEIVE_SCALE_CAPABILITIES))
    assert {each.receive_queues for each in found.values()} == {4}
    assert found["msix"].interrupt_messages == 5
    assert found["msix"].flags & RssCapability.USING_MSI_X
    assert found["msi"].flags & RssCapability.MESSAGE_SIGNALED_INTERRUPTS
    assert not found["msi"].flags & RssCapability.USING_MSI_X
    assert not found["line"].flags & RssCapability.MESSAGE_SIGNALED_INTERRUPTS
    with Bench(profile="snp2003") as bench:
        caps = ReceiveScaleCapabilities.parse(bench.query(OID.GEN_RECEIVE_SCALE_CAPABILITIES))
        assert not caps.flags & RssCapability.HASH_TYPE_UDP_IPV4
        assert bench.set_rss(types=int(HashType.UDP_IPV4)) == NDIS_STATUS.NOT_SUPPORTED
        assert bench.set_rss() == OK


def test_the_keyword_switches_rss_off() -> None:
    with Bench(keywords={"*RSS": 0}) as bench:
        assert bench.set_rss().is_error
        assert {frame.cpu for frame in traffic(bench, *flows(8))} == {0}


@pytest.mark.parametrize(
    ("keywords", "processors", "wanted"),
    [
        ({}, 4, (0, 1, 2, 3)),
        ({"*RssBaseProcNumber": 2}, 4, (2, 3)),
        ({"*MaxRssProcessors": 2}, 4, (0, 1)),
        ({"*RssBaseProcNumber": 1, "*RssMaxProcNumber": 2}, 8, (1, 2)),
        ({"*RssBaseProcNumber": 9}, 4, (0, 1, 2, 3)),
    ],
)
def test_rss_processors_by_keyword(
    keywords: dict[str, object], processors: int, wanted: tuple[int, ...]
) -> None:
    assert rss_processors(read_settings(keywords), processors) == wanted


def test_the_base_processor_is_the_default_one() -> None:
    with Bench(cpus=6, keywords={"*RssBaseProcNumber": 2}) as bench:
        assert [frame.cpu for frame in traffic(bench, plain_frame(80))] == [2]


@pytest.mark.parametrize(
    ("wanted", "homes", "queues"),
    [
        ([0, 1], [0, 1], {0: 0, 1: 1}),
        ([1, 0], [0, 1], {1: 1, 0: 0}),
        ([5, 1, 5], [0, 1, 2], {1: 1, 5: 0}),
        ([5, 6, 7], [0, 1], {5: 0, 6: 1, 7: 0}),
        ([3], [3, 3], {3: 0}),
    ],
)
def test_assignment_of_queues(wanted: list[int], homes: list[int], queues: dict[int, int]) -> None:
    assert assign_queues(wanted, homes) == queues
