"""Statistics: OID_GEN_STATISTICS equals what passed, and goes on over everything that is no power-off."""

from __future__ import annotations

from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import (
    EVERYBODY,
    GROUP,
    ONE,
    statistics,
    take,
    works,
)
from vnic.conformance.pages import guide
from vnic.ndis.structures import (
    StatisticsInfo,
)
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame


def grown(before: StatisticsInfo, after: StatisticsInfo, name: str) -> int:
    """By how much a statistic grew."""
    return int(getattr(after, name)) - int(getattr(before, name))


def _octets(found: int, wanted: int, frames: int, name: str) -> None:
    """Octets may be counted with the FCS or without."""
    assert found in (wanted, wanted + 4 * frames), (
        f"{name} grew by {found}; {wanted} bytes went over the wire"
    )


@case(
    guide("oid-gen-statistics"),
    "SupportedStatistics has the bit of every statistic of an NDIS 6 driver, and the structure its header",
)
def statistics_have_their_header(bench: Bench) -> None:
    """Query OID_GEN_STATISTICS right after the start."""
    found = statistics(bench)
    assert found.supported == StatisticsInfo.ALL, f"SupportedStatistics 0x{found.supported:x}"


@case(
    guide("oid-gen-statistics"), "statistics count the frames and bytes that the miniport transmitted", **ONE
)
def counts_what_was_sent(bench: Bench) -> None:
    """Send frames of many lengths to a station, a group and to all; compare each counter with what left
    the card."""
    before = statistics(bench)
    for count, to in ((7, PEER), (3, GROUP), (5, EVERYBODY)):
        for n in range(count):
            bench.send(plain_frame(64 + 100 * n, n, to))
    bench.settle()
    after = statistics(bench)
    for kind, count, to in (("ucast", 7, PEER), ("multicast", 3, GROUP), ("broadcast", 5, EVERYBODY)):
        found = grown(before, after, f"if_hc_out_{kind}_pkts")
        assert found == count, f"ifHCOut {kind} packets grew by {found}, {count} were sent"
        octets = sum(len(frame) for frame in bench.transmitted if frame[:6] == to)
        _octets(grown(before, after, f"if_hc_out_{kind}_octets"), octets, count, f"ifHCOut {kind} octets")
    _octets(grown(before, after, "if_hc_out_octets"), sum(map(len, bench.transmitted)), 15, "ifHCOutOctets")
    assert grown(before, after, "if_out_errors") == 0


@case(guide("oid-gen-statistics"), "statistics count the frames and bytes that the miniport received", **ONE)
def counts_what_was_received(bench: Bench) -> None:
    """Receive frames of many lengths to the station, to a group and to all; compare each counter."""
    station = bench.station
    before = statistics(bench)
    frames = [
        plain_frame(60 + 90 * n, n, to)
        for count, to in ((6, station), (2, GROUP), (4, EVERYBODY))
        for n in range(count)
    ]
    assert len(take(bench, *frames)) == 12, "not every frame was received"
    after = statistics(bench)
    for kind, count, to in (("ucast", 6, station), ("multicast", 2, GROUP), ("broadcast", 4, EVERYBODY)):
        found = grown(before, after, f"if_hc_in_{kind}_pkts")
        assert found == count, f"ifHCIn {kind} packets grew by {found}, {count} came"
        octets = sum(len(frame) for frame in frames if frame[:6] == to)
        _octets(grown(before, after, f"if_hc_in_{kind}_octets"), octets, count, f"ifHCIn {kind} octets")
    _octets(grown(before, after, "if_hc_in_octets"), sum(map(len, frames)), 12, "ifHCInOctets")
    assert grown(before, after, "if_in_errors") == 0
    assert grown(before, after, "if_in_discards") == 0


@case(
    guide("oid-gen-statistics"),
    "ifInDiscards counts frames that were discarded for want of buffers, though nothing was wrong with them",
    keywords={"*ReceiveBuffers": 8},
    **ONE,
)
def counts_what_it_had_no_buffer_for(bench: Bench) -> None:
    """Receive thousands of frames while no processor serves an interrupt."""
    before = statistics(bench)
    sent = 3000
    for n in range(sent):
        bench.device.receive(plain_frame(200, n, bench.station))
    bench.settle()
    arrived, after = len(bench.received), statistics(bench)
    if arrived == sent:
        raise NotSupported("has room for 3,000 frames")
    lost = sent - arrived
    found = grown(before, after, "if_in_discards") + grown(before, after, "if_in_errors")
    assert found == lost, f"{arrived} of {sent} frames arrived; discards and errors grew by {found}"
    works(bench, "after an overrun")


@case(guide("oid-gen-statistics"), "a reset of the adapter does not set its statistics back", **ONE)
def counts_on_over_a_reset(bench: Bench) -> None:
    """Traffic, a reset, traffic; the counters hold both."""
    before = statistics(bench)
    works(bench)
    bench.adapter.reset()
    bench.settle()
    works(bench)
    after = statistics(bench)
    for name in ("if_hc_out_ucast_pkts", "if_hc_in_ucast_pkts"):
        assert grown(before, after, name) == 6, (
            f"{name} grew by {grown(before, after, name)}, 6 frames passed"
        )


@case(guide("oid-gen-statistics"), "statistics go on over any number of resets", **ONE)
def counts_on_over_many_resets(bench: Bench) -> None:
    """Traffic before, between and behind resets, of which the last two come with nothing between."""
    names = ("if_hc_out_ucast_pkts", "if_hc_in_ucast_pkts", "if_hc_out_octets", "if_hc_in_octets")
    start = before = statistics(bench)
    works(bench)
    once = [grown(before, statistics(bench), name) for name in names]
    for number, resets in enumerate((1, 1, 2), 2):
        for _ in range(resets):
            bench.adapter.reset()
            bench.settle()
        works(bench)
        found = [grown(start, statistics(bench), name) for name in names]
        assert found == [number * each for each in once], (
            f"{', '.join(names)} grew by {found} in {number} rounds, by {once} in the first"
        )


@case(
    guide("oid-gen-statistics"),
    "ifInErrors or ifInDiscards counts frames that are no frames: too short, too long",
    **ONE,
)
def counts_frames_that_are_none(bench: Bench) -> None:
    """Frames of 1519 to 9000 bytes and of 10 to 59 arrive among good ones; *JumboPacket is 1514."""
    for lengths in ((1519, 1600, 2000, 4000, 9000), (10, 14, 59)):
        before = statistics(bench)
        frames = [plain_frame(length, length, bench.station) for length in lengths]
        good = [plain_frame(100, number, bench.station) for number in range(4)]
        got = take(bench, good[0], *frames, *good[1:])
        wrong = len(frames) + 4 - len(got)
        after = statistics(bench)
        found = grown(before, after, "if_in_errors") + grown(before, after, "if_in_discards")
        assert found == wrong, f"{wrong} frames were not indicated, errors and discards grew by {found}"
        assert grown(before, after, "if_hc_in_ucast_pkts") == len(got), (
            "what did not come is counted as received"
        )
