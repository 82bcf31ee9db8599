"""`vnic run` as a person calls it: the shipped capture, other formats, bad input, and what is printed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vnic.cli import main
from vnic.wire import parse, toeplitz
from vnic.wire.capture import open_capture
from vnic.wire.pcap import PcapWriter
from vnic.wire.pcapng import PcapngReader

SHIPPED = Path(__file__).parents[2] / "vnic" / "data" / "flows.pcap"
FRAMES = 1316
KEY = toeplitz.MICROSOFT_KEY


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """The figures of a run that is as it must be."""
    assert main(["run", "--json", *arguments]) == 0
    figures: dict[str, object] = json.loads(capsys.readouterr().out)
    return figures


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--queues", "1", "--cpus", "1"),
        ("--queues", "16", "--cpus", "8", "--seed", "1"),
        ("--interrupt", "msi", "--no-moderation"),
        ("--interrupt", "line", "--queues", "3", "--cpus", "2"),
    ],
)
def test_every_frame_of_the_shipped_capture_passes(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    figures = run_json(capsys, *arguments)
    assert figures["frames"] == figures["delivered"] == figures["returned"] == FRAMES
    assert figures["problems"] == figures["drops"] == {}
    assert figures["hash_types"] == {
        "TCP_IPV4": 804,
        "TCP_IPV6": 430,
        "IPV6": 34,
        "IPV4": 26,
        "NONE": 16,
        "UDP_IPV4": 6,
    }


def test_moderation_raises_fewer_interrupts_than_there_are_causes(capsys: pytest.CaptureFixture[str]) -> None:
    moderated = run_json(capsys)
    plain = run_json(capsys, "--no-moderation")
    assert int(str(moderated["interrupts"])) < int(str(plain["interrupts"])) <= int(str(plain["causes"]))


def test_types_that_are_off_are_not_hashed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "--rss-types", "none")["hash_types"] == {"NONE": FRAMES}
    assert set(run_json(capsys, "--rss-types", "ipv4,ipv6")["hash_types"]) == {"IPV4", "IPV6", "NONE"}  # type: ignore[call-overload]


def test_another_key_spreads_differently(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys)["queues"] != run_json(capsys, "--key", "5a" * 20 + "c3" * 20)["queues"]


def test_out_holds_hash_and_queue_of_every_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.pcapng"
    figures = run_json(capsys, "--out", str(out))
    with out.open("rb") as stream:
        packets = list(PcapngReader(stream).packets())
    assert len(packets) == FRAMES
    queues: dict[str, int] = {}
    for each in packets:
        kind, covered = parse.rss_input(parse.Frame.parse(each.data), 0x1FF00)
        assert each.options.toeplitz == (toeplitz.hash(KEY, covered) if kind else None)
        queues[str(each.options.queue)] = queues.get(str(each.options.queue), 0) + 1
    assert queues == {name: share["frames"] for name, share in figures["queues"].items()}  # type: ignore[attr-defined]


def test_a_run_reads_what_a_run_wrote_compressed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.pcapng"
    run_json(capsys, "--out", str(out))
    packed = tmp_path / "again.gz"
    packed.write_bytes(gzip.compress(out.read_bytes()))
    assert run_json(capsys, str(packed))["delivered"] == FRAMES


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_of_either_order_and_resolution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: str, nanoseconds: bool
) -> None:
    path = tmp_path / "some.pcap"
    with open_capture(SHIPPED) as capture, path.open("wb") as stream:
        writer = PcapWriter(stream, order=order, nanoseconds=nanoseconds)
        for frame, _ in zip(capture, range(40), strict=False):
            writer.packet(frame.time_ns, frame.data)
    assert run_json(capsys, str(path))["delivered"] == 40


def test_a_truncated_capture_ends_with_an_error_after_what_could_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    assert main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "219 of 219 frames indicated byte for byte" in out
    assert "file ends in the record" in err and "offset 100000" in err


@pytest.mark.parametrize("content", [b"", b"root:x:0:0:root", b"\0" * 64])
def test_a_foreign_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert main(["run", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vnic: ") and "offset" in err


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "none.pcap")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--key", "00"), "1 bytes, not 40"),
        (("--key", "zz"), "not hexadecimal"),
        (("--rss-types", "ipx"), "no hash type 'ipx'"),
        (("--queues", "0"), "from 1 to 32"),
        (("--queues", "33"), "from 1 to 32"),
        (("--cpus", "-1"), "from 1 to 64"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", *arguments])
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err


def test_frames_that_do_not_fit_are_dropped_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.pcap"
    good = bytes(6) + bytes.fromhex("020000000002 88b5") + bytes(100)
    with path.open("wb") as stream:
        writer = PcapWriter(stream)
        for frame in (good, good[:13], good + bytes(20_000)):
            writer.packet(0, frame)
    figures = run_json(capsys, str(path))
    assert figures["delivered"] == 1
    assert figures["drops"] == {"runt": 1, "oversize": 1}


def test_the_table_has_bars_and_a_verdict(python_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "vnic", "run"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env=python_environment
    )
    assert "Queues" in done.stdout and "####" in done.stdout
    assert "1,316 of 1,316 frames indicated byte for byte" in done.stdout
    assert done.stderr == ""


@pytest.mark.requirement("FLT-13", "FLT-15")
def test_a_fault_goes_wrong_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    rule = "frame in drop after=3 times=2"
    assert main(["run", "--json", "--fault", rule, "--fault", "write-back drop after=9999"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["faults"] == [
        {"rule": rule, "fired": 2},
        {"rule": "write-back drop after=9999", "fired": 0},
    ]
    assert sum(told["problems"].values()) == 2


@pytest.mark.requirement("FLT-13")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--fault", "interupt drop"], "did you mean interrupt"),
        (["--chimney", "--fault", "frame in drop"], "captures"),
    ],
)
def test_a_fault_that_is_none(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["run", *arguments])
    except SystemExit as stopped:
        status = int(str(stopped.code))
    assert status == 2
    assert why in capsys.readouterr().err
