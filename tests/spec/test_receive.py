"""Receive: the door, filters, verdicts, splitting and buffers, by the requirements of spec/receive.md."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import DmaPurpose, EventType, RxVerdict
from vnic.events import Event
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import RxCompletion
from vnic.gen.enums import CsumResult, RxError
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import datagram, ethernet, tcp_frame, udp_frame
from vnic.testbench.rig import MAC, UNTOUCHED, Rig, plain_frame
from vnic.wire import packet, verify
from vnic.wire.capture import open_capture
from vnic.wire.parse import L3, L4, Frame, Mark

SAMPLES = Path(__file__).parents[1] / "samples"
GROUP = bytes.fromhex("01005e000005")
BROADCAST = b"\xff" * 6
STRANGER = bytes.fromhex("0200000000aa")
NOWHERE = 0x7000_0000_0000
CLASSES = ("UNICAST", "MULTICAST", "BROADCAST")


def delivered(rig: Rig) -> tuple[int, int]:
    """Frames and bytes in the counters of all classes."""
    frames = sum(rig.stat(f"RX_{name}_FRAMES") for name in CLASSES)
    return frames, sum(rig.stat(f"RX_{name}_BYTES") for name in CLASSES)


@pytest.mark.requirement("RX-1")
def test_every_frame_is_counted_once() -> None:
    rng = random.Random(7)
    with Rig(pairs=2, rx_count=8, cq_count=16, buf_len=128, posted=7) as rig:
        rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=1)
        rig.put(BAR0.MAC_RX_MAX, 1000)
        count, data = 0, b""
        for number in range(400):
            length = rng.choice([4, 14, 60, 100, 400, 999, 1001])
            to = rng.choice([MAC, MAC, BROADCAST, GROUP, STRANGER])
            frame = plain_frame(length, number, to)
            if rng.random() < 0.1:
                frame = frame[:12] + bytes.fromhex("81000007") + frame[12:]
            rig.inject(frame)
            if rng.random() < 0.5:
                got = rig[0].take()
                count, data = count + len(got), data + b"".join(f.data for f in got)
                rig[0].post_rx(rng.randrange(0, 8 - len(rig[0].posted)))
        got = rig[0].take()
        count, data = count + len(got), data + b"".join(f.data for f in got)
        assert delivered(rig) == (count, len(data))
        assert count + sum(rig.counters("RX_DROP_").values()) == 400
        assert {"RUNT", "OVERSIZE", "ADDRESS", "VLAN", "NO_DESCRIPTOR"} <= rig.counters("RX_DROP_").keys()
        assert rig[0].get(BAR0.QP_RX_FRAMES) == count
        assert rig[0].get(BAR0.QP_RX_BYTES) == len(data)
        late = rig.stat("RX_DROP_NO_DESCRIPTOR") + rig.stat("RX_DROP_NO_COMPLETION")
        assert rig[0].get(BAR0.QP_RX_DROPS) == late


@pytest.mark.requirement("RX-1")
@pytest.mark.parametrize(("to", "name"), [(MAC, "UNICAST"), (GROUP, "MULTICAST"), (BROADCAST, "BROADCAST")])
def test_counters_go_by_class(to: bytes, name: str) -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_RX_CTRL, ALL_MULTICAST=1)
        rig.receive(plain_frame(123, to=to))
        counted = {kind: rig.stat(f"RX_{kind}_FRAMES") for kind in CLASSES}
        assert counted == {kind: int(kind == name) for kind in CLASSES}
        assert rig.stat(f"RX_{name}_BYTES") == 123


@pytest.mark.requirement("RX-2")
def test_door_reasons_in_their_order() -> None:
    with Rig(mbps=0) as rig:
        rig.put(BAR0.MAC_RX_MAX, 100)
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=0)
        assert rig.inject(bytes(3)) == RxVerdict.DROPPED
        assert rig.counters("RX_DROP_") == {"LINK": 1}
        rig.device.set_link(1000)
        rig.inject(bytes(3))
        rig.inject(bytes(101))
        assert rig.counters("RX_DROP_") == {"LINK": 1, "DISABLED": 2}
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=1)
        for length in (0, 1, 13):
            assert rig.inject(bytes(length)) == RxVerdict.DROPPED
        assert rig.inject(plain_frame(101)) == RxVerdict.DROPPED
        assert rig.counters("RX_DROP_") == {"LINK": 1, "DISABLED": 2, "RUNT": 3, "OVERSIZE": 1}
        assert [f.data for f in rig.receive(plain_frame(14))] == [plain_frame(14)]
        assert [f.data for f in rig.receive(plain_frame(100))] == [plain_frame(100)]


@pytest.mark.requirement("RX-2")
def test_frames_in_d3_are_dropped_as_disabled() -> None:
    with Rig() as rig:
        rig.configure(CONFIG.PM_CTRL, STATE=3)
        assert rig.inject(plain_frame()) == RxVerdict.DROPPED
        assert rig.device.is_idle
        assert rig.device.interrupts() == []


@pytest.mark.requirement("RX-2", "RX-13")
@pytest.mark.parametrize("longest", [1514, 2000, 9728, 65535])
def test_longest_frame(longest: int) -> None:
    with Rig(max_frame=longest, rx_buffer_bytes=1 << 20, tx_buffer_bytes=1 << 20) as rig:
        rig.put(BAR0.MAC_RX_MAX, 0xFFFF)
        (received,) = rig.receive(plain_frame(longest))
        assert received.data == plain_frame(longest)
        assert rig.inject(plain_frame(longest + 1)) == RxVerdict.DROPPED
        assert rig.counters("RX_DROP_") == {"OVERSIZE": 1}


@pytest.mark.requirement("RX-2", "RX-3")
def test_packet_buffer_fills_and_drains_in_order() -> None:
    with Rig(manual=True, max_frame=1514, rx_buffer_bytes=8192, tx_buffer_bytes=8192) as rig:
        verdicts = [rig.inject(plain_frame(1500, number)) for number in range(7)]
        assert verdicts == [RxVerdict.TAKEN] * 5 + [RxVerdict.FULL] * 2
        assert rig.counters("RX_DROP_") == {"BUFFER": 2}
        rig.device.run()
        assert [f.data for f in rig[0].take()] == [plain_frame(1500, number) for number in range(5)]
        # 64 bytes is what a small frame takes: 8192 / 64 of them fit, wherever the last one ended.
        assert sum(rig.inject(plain_frame(20)) == RxVerdict.TAKEN for _ in range(200)) == 128


@pytest.mark.requirement("RX-3")
def test_frames_wait_for_bus_mastering() -> None:
    with Rig() as rig:
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
        for number in range(5):
            rig.inject(plain_frame(number=number))
        assert rig[0].take() == []
        assert rig.counters("RX_DROP_") == {}
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        assert [f.data for f in rig[0].take()] == [plain_frame(number=number) for number in range(5)]


FILTERS = ("UNICAST", "MULTICAST", "ALL_MULTICAST", "BROADCAST", "PROMISCUOUS")
DESTINATIONS = {
    "own": (MAC, {"UNICAST"}),
    "stranger": (STRANGER, set()),
    "listed": (GROUP, {"MULTICAST", "ALL_MULTICAST"}),
    "unlisted": (bytes.fromhex("01005e000006"), {"ALL_MULTICAST"}),
    "invalid": (bytes.fromhex("01005e000007"), {"ALL_MULTICAST"}),
    "ipv6 group": (bytes.fromhex("333300000001"), {"ALL_MULTICAST", "MULTICAST"}),
    "broadcast": (BROADCAST, {"BROADCAST"}),
}


@pytest.mark.requirement("RX-4")
@pytest.mark.parametrize("chosen", [*FILTERS, None])
@pytest.mark.parametrize("name", DESTINATIONS)
def test_address_filter(name: str, chosen: str | None) -> None:
    to, passes = DESTINATIONS[name]
    with Rig() as rig:
        listed = BAR0.MAC_MULTICAST
        octets = {0: GROUP, 31: bytes.fromhex("333300000001"), 5: bytes.fromhex("01005e000007")}
        for entry, address in octets.items():
            valid = int(entry != 5)
            rig.put(listed, listed.encode(ADDR=int.from_bytes(address, "little"), VALID=valid), entry)
        rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, **({chosen: 1} if chosen else {})))
        passing = chosen == "PROMISCUOUS" or chosen in passes
        assert len(rig.receive(plain_frame(to=to))) == passing
        assert rig.counters("RX_DROP_") == ({} if passing else {"ADDRESS": 1})


@pytest.mark.requirement("RX-4")
def test_station_address_can_be_changed() -> None:
    with Rig() as rig:
        rig.put(BAR0.MAC_ADDR, int.from_bytes(STRANGER, "little"))
        assert len(rig.receive(plain_frame(to=STRANGER))) == 1
        assert rig.receive(plain_frame(to=MAC)) == []
        assert rig.get(BAR0.MAC_PERM_ADDR) == int.from_bytes(MAC, "little")


@pytest.mark.requirement("RX-4")
def test_filters_are_judged_at_the_front() -> None:
    with Rig(manual=True) as rig:
        assert rig.inject(plain_frame(to=STRANGER)) == RxVerdict.TAKEN
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
        rig.device.run()
        assert len(rig[0].take()) == 1


def tagged(tci: int, tpid: int = 0x8100, length: int = 80) -> bytes:
    """A plain frame with a tag."""
    frame = plain_frame(length)
    return frame[:12] + tpid.to_bytes(2) + tci.to_bytes(2) + frame[12:]


@pytest.mark.requirement("RX-5")
@pytest.mark.parametrize("id", [1, 31, 32, 100, 2047, 4095])
def test_vlan_filter(id: int) -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=1)
        assert rig.receive(tagged(id)) == []
        assert rig.counters("RX_DROP_") == {"VLAN": 1}
        rig.put(BAR0.MAC_VLAN, 1 << id % 32, id // 32)
        assert len(rig.receive(tagged(0xE000 | id))) == 1
        assert rig.receive(tagged(id ^ 2)) == []
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
        assert len(rig.receive(tagged(id ^ 2))) == 1
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=0, VLAN_FILTER=0)
        assert len(rig.receive(tagged(id ^ 2))) == 1


@pytest.mark.requirement("RX-5")
def test_what_has_no_vlan_id_passes_the_vlan_filter() -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=1)
        for frame in (plain_frame(), tagged(0xE000), tagged(7, tpid=0x88A8), tagged(0)[:14]):
            assert [f.data for f in rig.receive(frame)] == [frame]


@pytest.mark.requirement("RX-6")
@pytest.mark.parametrize("tci", [0, 1, 0xE123, 0xFFFF])
def test_vlan_strip(tci: int) -> None:
    frame = udp_frame(b"stripped", tags=[(0x8100, tci)])
    with Rig() as rig:
        (kept,) = rig.receive(frame)
        assert (kept.data, kept.first.vlan, kept.first.l3_offset) == (frame, 0, 18)
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
        (stripped,) = rig.receive(frame)
        assert stripped.data == udp_frame(b"stripped")
        entry = stripped.first
        assert (entry.vlan, entry.vlan_tci, entry.frame_len) == (1, tci, len(frame) - 4)
        assert (entry.l3_offset, entry.l4_offset, entry.l4_csum) == (14, 34, CsumResult.GOOD)
        assert delivered(rig) == (2, 2 * len(frame) - 4)


@pytest.mark.requirement("RX-6")
def test_only_the_outer_8100_tag_is_stripped() -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
        double = udp_frame(b"x", tags=[(0x8100, 5), (0x8100, 6)])
        (received,) = rig.receive(double)
        assert received.data == udp_frame(b"x", tags=[(0x8100, 6)])
        assert (received.first.vlan_tci, received.first.l3_offset) == (5, 18)
        for frame in (udp_frame(b"x", tags=[(0x88A8, 5)]), tagged(9)[:17], plain_frame()):
            (received,) = rig.receive(frame)
            assert (received.data, received.first.vlan, received.first.vlan_tci) == (frame, 0, 0)
        (received,) = rig.receive(tagged(9)[:18])
        assert received.data == plain_frame()[:14]


# ---- verdicts and kinds against the oracles

VERDICTS = {verify.Verdict.GOOD: CsumResult.GOOD, verify.Verdict.BAD: CsumResult.BAD}


def check_facts(entry: RxCompletion, data: bytes) -> None:
    """A completion says of a frame what the Python oracles say."""
    frame = Frame.parse(data)
    is_transport = frame.l4 in (L4.TCP, L4.UDP)
    assert (entry.ipv4, entry.ipv6) == (frame.l3 is L3.IPV4, frame.l3 is L3.IPV6)
    assert (entry.tcp, entry.udp) == (frame.l4 is L4.TCP, frame.l4 is L4.UDP)
    assert entry.fragment == bool(frame.marks & Mark.FRAGMENT)
    assert entry.l3_offset == (frame.l2_len if frame.l3 is not L3.NONE else 0)
    assert entry.l4_offset == (frame.l4_offset if is_transport else 0)
    assert entry.ip_csum == VERDICTS.get(verify.ipv4_header(frame), CsumResult.NONE)
    assert entry.l4_csum == VERDICTS.get(verify.transport(frame), CsumResult.NONE)


def shapes() -> dict[str, bytes]:
    """Frames of every shape that verification knows."""
    found = {"arp": ethernet(packet.arp("192.0.2.1", "192.0.2.2")), "plain": plain_frame()}
    fragment = {"fragment": packet.MORE_FRAGMENTS}
    for version in (4, 6):
        for name, make in (("tcp", tcp_frame), ("udp", udp_frame)):
            found |= {
                f"{name}{version}": make(b"payload", version=version),
                f"{name}{version} empty": make(version=version),
                f"{name}{version} odd": make(b"abc", version=version),
                f"{name}{version} padded": make(b"a", version=version, min_len=100),
                f"{name}{version} bad": make(b"payload", version=version, field=0x1234),
                f"{name}{version} tagged": make(b"payload", version=version, tags=[(0x8100, 3)]),
                f"{name}{version} qinq": make(b"payload", version=version, tags=[(0x88A8, 3), (0x8100, 4)]),
                f"{name}{version} cut": make(b"payload", version=version)[:-2],
            }
        found[f"udp{version} zero"] = udp_frame(b"payload", version=version, field=0)
        found[f"udp{version} short length"] = udp_frame(b"payload", version=version, length=7)
        found[f"udp{version} long length"] = udp_frame(b"payload", version=version, length=99)
        found[f"other{version}"] = ethernet(datagram(version, 132, b"sctp"))
    found |= {
        "tcp4 fragment": tcp_frame(b"x" * 16, ip=fragment),
        "udp4 later fragment": udp_frame(b"x" * 16, ip={"fragment": 4}),
        "tcp4 options": tcp_frame(b"x", ip={"options": b"\x94\x04\0\0"}),
        "ip header bad": tcp_frame(b"x", ip={"header_checksum": 1}),
        "ip version": tcp_frame(b"x", ip={"version": 5}),
        "ip short": tcp_frame(b"x", ip={"ihl": 4}),
        "tcp offset": tcp_frame(b"x", data_offset=15),
    }
    options = (packet.DESTINATION, packet.options_header(b"\1\2\0\0"))
    home = (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8:9::9")))
    routing = (packet.ROUTING, packet.routing_header("2001:db8:8::8"))
    other_routing = (packet.ROUTING, packet.routing_header("2001:db8:8::8", kind=0))
    more = (packet.FRAGMENT, packet.fragment_header(0, more=True))
    atomic = (packet.FRAGMENT, packet.fragment_header(0, more=False))
    chains = [[options], [home], [routing], [home, routing], [other_routing], [more], [atomic], [options] * 9]
    for n, chain in enumerate(chains):
        found[f"extensions {n}"] = tcp_frame(b"x" * 9, version=6, ip={"extensions": chain})
    return found


@pytest.mark.requirement("RX-7", "RX-11")
@pytest.mark.parametrize("name", shapes())
def test_verdicts_and_kinds(name: str) -> None:
    frame = shapes()[name]
    with Rig() as rig:
        (received,) = rig.receive(frame)
        assert received.data == frame
        check_facts(received.first, frame)


@pytest.mark.requirement("RX-7")
def test_verdicts_that_must_not_be_missed() -> None:
    with Rig() as rig:
        frames = shapes()
        verdicts = {name: rig.receive(frames[name])[0].first for name in frames}
        good = ["tcp4", "udp4", "tcp6", "udp6", "tcp4 padded", "udp6 padded", "tcp4 options", "tcp6 tagged"]
        bad = ["tcp4 bad", "udp6 bad", "udp6 zero", "udp4 short length", "udp4 long length"]
        none = ["udp4 zero", "tcp4 fragment", "tcp4 cut", "arp", "other4", "extensions 4", "extensions 5"]
        assert {verdicts[name].l4_csum for name in good} == {CsumResult.GOOD}
        assert {verdicts[name].l4_csum for name in bad} == {CsumResult.BAD}
        assert {verdicts[name].l4_csum for name in none} == {CsumResult.NONE}
        assert verdicts["ip header bad"].ip_csum == CsumResult.BAD
        entries = verdicts.values()
        assert rig.stat("RX_L4_CSUM_BAD") == sum(e.l4_csum == CsumResult.BAD for e in entries)
        assert rig.stat("RX_CSUM_GOOD") == sum(e.l4_csum == CsumResult.GOOD for e in entries)
        assert rig.stat("RX_IP_CSUM_BAD") == sum(e.ip_csum == CsumResult.BAD for e in entries)


@pytest.mark.requirement("RX-7")
def test_nothing_is_verified_while_csum_is_clear() -> None:
    with Rig() as rig:
        rig.change(BAR0.MAC_RX_CTRL, CSUM=0)
        for frame in (tcp_frame(b"x"), tcp_frame(b"x", field=1), tcp_frame(ip={"header_checksum": 1})):
            (received,) = rig.receive(frame)
            assert (received.first.ip_csum, received.first.l4_csum) == (CsumResult.NONE, CsumResult.NONE)
        assert rig.stat("RX_CSUM_GOOD") == rig.stat("RX_L4_CSUM_BAD") == rig.stat("RX_IP_CSUM_BAD") == 0


@pytest.mark.requirement("RX-7", "RX-10", "RX-11")
@examples(15)
@given(st.lists(st.tuples(st.sampled_from(sorted(shapes())), st.integers(0, 200), st.integers(0, 255))))
def test_damaged_frames_are_judged_as_the_oracle_judges(damages: list[tuple[str, int, int]]) -> None:
    with Rig() as rig:
        for name, at, value in damages:
            frame = bytearray(shapes()[name])
            frame[12 + at % (len(frame) - 12)] = value
            (received,) = rig.receive(bytes(frame))
            assert received.data == frame
            check_facts(received.first, bytes(frame))
            rig[0].post_rx(1)


@pytest.mark.requirement("RX-7", "RX-10", "RX-11")
def test_real_traffic_is_judged_as_the_oracle_judges() -> None:
    with Rig(buf_len=1536) as rig, open_capture(SAMPLES / "flows.pcap") as frames:
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
        count = 0
        for captured in frames:
            received = rig.receive(captured.data)
            assert [f.data for f in received] == [captured.data]
            check_facts(received[0].first, captured.data)
            rig[0].post_rx(len(received[0].parts))
            count += 1
        assert count == 1316


# ---- buffers


@pytest.mark.requirement("RX-8")
@pytest.mark.parametrize("size", [0, 1, 9, 500, 3000])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("make", [tcp_frame, udp_frame])
def test_split_behind_the_transport_header(make: type, version: int, size: int) -> None:
    frame = make(b"p" * size, version=version)
    with Rig(split=True) as rig:
        (received,) = rig.receive(frame)
        end = Frame.parse(frame).header_end
        assert (received.header, received.payload) == (frame[:end], frame[end:])
        assert [entry.split for entry in received.parts] == [1] * len(received.parts)
        assert [entry.hdr_len for entry in received.parts] == [end] + [0] * (len(received.parts) - 1)
        assert len(received.parts) == max(1, -(-size // 2048))


@pytest.mark.requirement("RX-8")
def test_split_of_other_shapes() -> None:
    with Rig(split=True) as rig:
        for name, frame in shapes().items():
            (received,) = rig.receive(frame)
            facts = Frame.parse(frame)
            end = facts.header_end if facts.l3 is not L3.NONE else 0
            assert (received.header, received.payload) == (frame[:end], frame[end:]), name
            assert received.first.split == bool(end)


@pytest.mark.requirement("RX-8")
@pytest.mark.parametrize(
    ("hdr_len", "options", "is_split"), [(64, 8, True), (64, 12, False), (1024, 40, True)]
)
def test_header_that_does_not_fit_is_not_split(hdr_len: int, options: int, is_split: bool) -> None:
    frame = tcp_frame(b"data", options=bytes([1]) * options)
    with Rig(split=True, hdr_len=hdr_len) as rig:
        (received,) = rig.receive(frame)
        assert received.data == frame
        assert received.first.hdr_len == (54 + options if is_split else 0)


@pytest.mark.requirement("RX-8")
def test_padding_goes_with_the_data() -> None:
    with Rig(split=True) as rig:
        (received,) = rig.receive(tcp_frame(min_len=60))
        assert (len(received.header), received.payload) == (54, bytes(6))


@pytest.mark.requirement("RX-9")
def test_nothing_of_a_refused_frame_is_written() -> None:
    with Rig(buf_len=64, rx_count=8, posted=3) as rig:
        writes: list[Event] = []
        with rig.device.observe(writes.append, [EventType.DMA_WRITE]):
            rig.inject(plain_frame(64 * 3 + 1))
        assert writes == []
        assert rig.counters("RX_DROP_") == {"NO_DESCRIPTOR": 1}
        assert [len(f.parts) for f in rig.receive(plain_frame(64 * 3))] == [3]
        rig[0].put(BAR0.QP_RX_CTRL, 0)
        rig.inject(plain_frame())
        assert rig.counters("RX_DROP_") == {"NO_DESCRIPTOR": 1, "QUEUE": 1}


@pytest.mark.requirement("RX-10", "RX-13")
@pytest.mark.parametrize("buf_len", [64, 100, 1000, 4096, 65536])
@pytest.mark.parametrize("length", [14, 63, 64, 65, 128, 1500, 9014, 9728])
def test_frames_over_several_buffers(length: int, buf_len: int) -> None:
    buffers = -(-length // buf_len)
    with Rig(buf_len=buf_len, rx_count=256, cq_count=512, posted=buffers) as rig:
        (received,) = rig.receive(plain_frame(length))
        assert received.data == plain_frame(length)
        parts = received.parts
        rest = length - buf_len * (buffers - 1)
        assert [entry.len for entry in parts] == [buf_len] * (buffers - 1) + [rest]
        assert [entry.index for entry in parts] == list(range(buffers))
        assert [(e.sop, e.eop) for e in parts] == [(n == 0, n == buffers - 1) for n in range(buffers)]
        assert {entry.frame_len for entry in parts} == {length}


@pytest.mark.requirement("RX-10")
def test_buffers_are_written_before_completions_and_not_beyond() -> None:
    with Rig(buf_len=128, posted=4) as rig:
        writes: list[Event] = []
        with rig.device.observe(writes.append, [EventType.DMA_WRITE]):
            rig.inject(plain_frame(300))
        order = [DmaPurpose.DATA, DmaPurpose.COMPLETION] * 3
        assert [event.index for event in writes] == order
        last = rig[0].posted[2][0]
        assert rig.peek(last + 44, 84) == bytes([UNTOUCHED]) * 84


@pytest.mark.requirement("RX-11")
def test_all_completions_of_a_frame_say_the_same() -> None:
    with Rig(buf_len=64) as rig:
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
        (received,) = rig.receive(udp_frame(bytes(500), tags=[(0x8100, 77)]))
        assert len(received.parts) == 9
        for entry in received.parts:
            check_facts(entry, received.data)
            assert (entry.vlan, entry.vlan_tci) == (1, 77)


@pytest.mark.requirement("RX-12")
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_unwritable_buffer_ends_the_frame(broken: int) -> None:
    with Rig(buf_len=1024, posted=0) as rig:
        good = [rig.stage(bytes(1024)) for _ in range(4)]
        rig[0].post_rx(4, buffers=[NOWHERE if n == broken else good[n] for n in range(4)])
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(DMA=1))
        (received,) = rig.receive(plain_frame(2500))
        last = received.parts[-1]
        assert len(received.parts) == broken + 1
        assert (last.error, last.eop, last.index) == (RxError.DMA, 1, broken)
        assert all(entry.error == RxError.NONE for entry in received.parts[:-1])
        assert rig.counters("RX_DROP_") == {"DMA": 1}
        assert delivered(rig) == (0, 0)
        assert rig.field(BAR0.GLB_EVENT, "DMA") == 1
        (following,) = rig.receive(plain_frame(90))
        assert following.data == plain_frame(90)
        assert following.first.index == broken + 1


@pytest.mark.requirement("RX-12")
def test_unwritable_header_buffer_ends_the_frame() -> None:
    with Rig(split=True) as rig:
        header = rig[0].posted[0][1]
        rig.device.unmap(rig.memory.base, rig.memory.size)
        page = header & ~4095
        start = rig.memory.base
        rig.device.map(start, rig.memory.slice(start, page - start), 3)
        after = page + 4096
        rig.device.map(after, rig.memory.slice(after, start + rig.memory.size - after), 3)
        (received,) = rig.receive(tcp_frame(b"x" * 10))
        assert (received.first.error, received.first.eop) == (RxError.DMA, 1)
        assert rig.counters("RX_DROP_") == {"DMA": 1}


@pytest.mark.requirement("RX-14")
def test_header_split_needs_a_ring_that_was_checked_for_it() -> None:
    with Rig() as rig:
        for pair in rig.pairs:
            pair.put(BAR0.QP_RX_CTRL, 0)
        rig.change(BAR0.MAC_RX_CTRL, HEADER_SPLIT=1)
        for pair in rig.pairs:
            pair.start_rx()
            pair.post_rx(3)
        (received,) = rig.receive(tcp_frame(b"data"))
        assert (received.first.split, received.payload) == (1, b"data")


@pytest.mark.requirement("RX-15")
def test_without_rss_everything_goes_to_pair_0() -> None:
    with Rig(pairs=4) as rig:
        for port in range(20):
            rig.inject(tcp_frame(ports=(port, 80)))
        assert [len(pair.take()) for pair in rig.pairs] == [20, 0, 0, 0]
