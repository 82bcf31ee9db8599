"""`vnic run --chimney` and `vnic status` as a person calls them."""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.commands.conftest import Wall
from vnic.abi import TcpState
from vnic.cli import main
from vnic.commands.view import StatusFile, status_directory
from vnic.protocol.chimney_tally import Row, Where
from vnic.stack.address import Endpoint

SMALL = ("run", "--chimney", "--connections", "2", "--bytes", "2M")
ROW = Row(
    "tcp",
    Endpoint(ip_address("10.0.0.1"), 50000),
    Endpoint(ip_address("10.0.0.2"), 80),
    TcpState.ESTABLISHED,
    Where.OFFLOADED,
    17,
    4,
)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs show themselves in a place of their own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.mark.parametrize("workload", ["backup", "storage", "stream"])
def test_bulk_goes_through_the_chimney_and_every_hash_is_right(
    capsys: pytest.CaptureFixture[str], workload: str
) -> None:
    assert main([*SMALL, "--json", "--workload", workload, "--loss", "0.002"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["broken"] == [] and figures["moved"] >= (2 << 20) - (1 << 18)
    assert figures["initiates"] >= 2 and sum(figures["uploads"].values()) == figures["initiates"]
    assert figures["offloaded_bytes"] > figures["moved"] // 4


def test_small_requests_stay_in_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["run", "--chimney", "--json", "--workload", "web", "--bytes", "60K", "--connections", "2"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["broken"] == []


def test_the_table_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(SMALL)) == 0
    out = capsys.readouterr().out
    assert "storage: 2 connections" in out and "the hashes of all 4 streams are right" in out
    assert "connections offloaded" in out


def test_compare_spares_the_host_what_the_chimney_does(capsys: pytest.CaptureFixture[str]) -> None:
    few = ("run", "--netdma", "--connections", "2", "--bytes", "1M", "--compare", "--rounds", "1", "--json")
    assert main(few) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["nothing", "RSS", "NetDMA", "chimney", "chimney + RSS", "all three"]
    plain, offloaded, moved = found["nothing"], found["chimney"], found["NetDMA"]
    assert plain["initiates"] == found["RSS"]["initiates"] == 0 < offloaded["initiates"]
    assert len({each["moved"] for each in found.values()}) == 1
    for cost in ("segments", "indicated", "touched"):
        assert offloaded[cost] < plain[cost]
    assert plain["moved_by_netdma"] == offloaded["moved_by_netdma"] == 0 < moved["moved_by_netdma"]
    spared = plain["touched"] - moved["touched"]
    assert moved["moved_by_netdma"] <= spared < 1.1 * moved["moved_by_netdma"], (
        "what the one moved, no other did"
    )


def test_received_data_goes_through_the_copy_engine(capsys: pytest.CaptureFixture[str]) -> None:
    bulk = (
        "run",
        "--netdma",
        "--connections",
        "2",
        "--bytes",
        "1M",
        "--workload",
        "stream",
        "--loss",
        "0.002",
    )
    assert main([*bulk, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["broken"] == [] and figures["initiates"] == 0
    # How much meets a posted buffer is the kernel's pace: less under sanitizers, nearly all without.
    assert figures["moved_by_netdma"] > figures["moved"] // 10
    assert figures["netdma_copies"] > figures["netdma_batches"] >= figures["engine_interrupts"] > 0


def test_chimney_and_netdma_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--netdma"]) == 0
    out = capsys.readouterr().out
    assert "through the card's chimney" in out and "moved by NetDMA" in out
    assert "the hashes of all 4 streams are right" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--connections", "0"), "from 1 to 1024"),
        (("--bytes", "12Q"), "is no size"),
        (("--loss", "0.6"), "from 0 to 0.5"),
        (("--delay", "x"), "from 0 to 1000"),
        (("--workload", "chat"), "invalid choice"),
        (("--compare", "--rounds", "0"), "from 1 to 99"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "--chimney", *arguments])
    assert stop.value.code == 2 and complaint in capsys.readouterr().err


def test_a_capture_and_connections_are_two_things(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "some.pcap", "--chimney"]) == 2
    assert "without a capture" in capsys.readouterr().err


# ---- status ------------------------------------------------------------------------------------------------


def test_status_shows_what_a_run_left_until_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert "no run" in capsys.readouterr().out
    file = StatusFile()
    file.write([ROW])
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert f"Run {os.getpid()}" in out
    assert "10.0.0.1:50000" in out and "ESTABLISHED" in out and "Offloaded" in out
    assert main(["status", "--json", "--pid", str(os.getpid())]) == 0
    (row,) = json.loads(capsys.readouterr().out)[str(os.getpid())]
    assert row == ["tcp", "10.0.0.1:50000", "10.0.0.2:80", "ESTABLISHED", "Offloaded", 4, 17]
    assert main(["status", "--pid", "1"]) == 1
    file.remove()
    capsys.readouterr()
    assert main(["status"]) == 1


@pytest.mark.parametrize("content", ["{", "[[1]]", '{"a": 1}'])
def test_status_of_a_spoilt_file(capsys: pytest.CaptureFixture[str], content: str) -> None:
    status_directory().mkdir()
    (status_directory() / f"{os.getpid()}.json").write_text(content)
    assert main(["status"]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_the_kernel_as_the_peer(wall: Wall) -> None:
    bulk = ("run", "--chimney", "--connections", "2", "--bytes", "4M", "--workload", "storage", "--json")
    status, out, err = wall.call(*bulk, "--tap", "tap0", "--peer", "10.0.0.2")
    assert status == 0, err
    figures = json.loads(out)
    assert figures["broken"] == [] and figures["initiates"] >= 2
    assert figures["offloaded_bytes"] > figures["moved"] // 2


def test_netdma_with_the_kernel_as_the_peer(wall: Wall) -> None:
    bulk = ("run", "--netdma", "--connections", "2", "--bytes", "1M", "--workload", "stream", "--json")
    status, out, err = wall.call(*bulk, "--tap", "tap0", "--peer", "10.0.0.2")
    assert status == 0, err
    figures = json.loads(out)
    assert figures["broken"] == [] and figures["initiates"] == 0
    # How much meets a posted buffer is the kernel's pace: less under sanitizers, nearly all without.
    assert figures["moved_by_netdma"] > figures["moved"] // 10


def test_a_tap_goes_with_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--chimney", "--tap", "tap0"]) == 2
    assert "--tap goes with --peer" in capsys.readouterr().err


def test_the_kernel_behind_a_line_that_loses(wall: Wall) -> None:
    bulk = ("run", "--chimney", "--connections", "2", "--bytes", "1M", "--workload", "storage", "--json")
    line = ("--loss", "0.01", "--delay", "2")
    status, out, err = wall.call(*bulk, *line, "--tap", "tap0", "--peer", "10.0.0.2")
    assert status == 0, err
    figures = json.loads(out)
    assert figures["broken"] == [] and figures["initiates"] >= 2
