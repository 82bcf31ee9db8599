"""tshark and capinfos judge the pcapng files written here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from vnic.wire.capture import open_capture
from vnic.wire.pcap import PcapWriter
from vnic.wire.pcapng import (
    LINKTYPE_USER0,
    Interface,
    InterfaceStatistics,
    NameRecord,
    PacketOptions,
    PcapngWriter,
    Section,
    Verdict,
)

SAMPLES = Path(__file__).parent.parent / "samples"


def ask(tool: str, *arguments: str) -> str:
    """What a Wireshark tool prints; any complaint of its own fails the test."""
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}: not installed")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert done.returncode == 0 and not complaints, done.stderr
    return done.stdout


def write_sample(path: Path, order: str) -> None:
    with path.open("wb") as stream:
        writer = PcapngWriter(
            stream, Section(order, hardware="test card", application="test", comments=("hi",))
        )
        writer.add_interface(
            Interface(tsresol=9, name="port0", snaplen=262_144, mac=bytes(6), speed_bps=10**10)
        )
        writer.add_interface(Interface(tsresol=0x80 | 20, name="port1", snaplen=262_144))
        writer.add_interface(Interface(linktype=LINKTYPE_USER0, tsresol=9, name="vnic-dev"))
        for number, frame in enumerate(open_capture(SAMPLES / "linux-e1000e.pcap")):
            options = PacketOptions(
                flags=1 + number % 2,
                toeplitz=0x51CCC178 + number,
                queue=number % 4,
                packetid=number,
                dropcount=0,
                comments=(f"frame {number}",),
                verdicts=(Verdict(0, b"ok"),),
            )
            writer.packet(number % 2, frame.time_ns, frame.data, options=options)
        writer.name_resolution([NameRecord(1, bytes((10, 0, 2, 2)), ("gateway",))])
        writer.packet(2, 1, b"an event")
        writer.raw_block(0x80000001, b"for local use: passed over")
        writer.statistics(InterfaceStatistics(Interface(), 10**9, received=35, dropped=1), 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_tshark_reads_what_was_written(tmp_path: Path, order: str) -> None:
    path = tmp_path / "sample.pcapng"
    write_sample(path, order)
    frames = list(open_capture(path, linktypes=None))
    fields = ("number", "time_epoch", "len", "interface_name", "interface_queue", "packet_flags_direction")
    arguments = [argument for field in fields for argument in ("-e", f"frame.{field}")]
    lines = ask("tshark", "-n", "-r", str(path), "-T", "json", *arguments)
    packets = [entry["_source"]["layers"] for entry in json.loads(lines)]
    assert len(packets) == len(frames) == 16
    for shown, frame in zip(packets, frames, strict=True):
        seconds, fraction = shown["frame.time_epoch"][0].split(".")
        # A binary resolution is shown with the digits it has.
        assert abs(int(seconds) * 10**9 + int(fraction.ljust(9, "0")) - frame.time_ns) < 1000
        assert int(shown["frame.len"][0]) == frame.orig_len
        if frame.linktype == 1:
            assert int(shown["frame.interface_queue"][0]) == frame.options.queue
            assert int(shown["frame.packet_flags_direction"][0], 0) == frame.options.direction
            assert shown["frame.interface_name"][0] == f"port{frame.interface}"


def test_capinfos_counts_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sample.pcapng"
    write_sample(path, "<")
    report = ask("capinfos", "-c", "-I", "-T", "-r", "-B", "-m", str(path))
    assert ",16" in report.replace("\t", ",")
    described = ask("capinfos", str(path))
    assert "Number of interfaces in file: 3" in described
    assert "test card" in described


@pytest.mark.parametrize(("nanoseconds", "order"), [(True, "<"), (True, ">"), (False, "<"), (False, ">")])
def test_capinfos_reads_classic_pcap(tmp_path: Path, nanoseconds: bool, order: str) -> None:
    path = tmp_path / "sample.pcap"
    frames = list(open_capture(SAMPLES / "linux-e1000e.pcap"))
    with path.open("wb") as stream:
        writer = PcapWriter(stream, nanoseconds=nanoseconds, order=order)
        for frame in frames:
            writer.packet(frame.time_ns, frame.data)
    described = ask("capinfos", str(path))
    assert "Number of packets:   15" in described
    assert ("nanoseconds (9)" if nanoseconds else "microseconds (6)") in described


def test_editcap_conversion_reads_back(tmp_path: Path) -> None:
    """Wireshark's own writer, of pcapng and nanosecond pcap, is read here with the same frames."""
    if shutil.which("editcap") is None:
        pytest.skip("needs editcap: not installed")
    source = SAMPLES / "flows.pcap"
    original = [(frame.data, frame.time_ns) for frame in open_capture(source)]
    for kind in ("pcapng", "nsecpcap", "pcap"):
        path = tmp_path / kind
        ask("editcap", "-F", kind, str(source), str(path))
        assert [(frame.data, frame.time_ns) for frame in open_capture(path)] == original
