"""Drivers in C: loaded or refused, run like any other, and caught at what only C can do wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vnic.fuzz.effort import EFFORT
from vnic.host.cpu import DeadlockError
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation
from vnic.testbench.bench import Bench
from vnic.testbench.c_driver import CDriver
from vnic.testbench.driver import Driver, DriverError, load_driver
from vnic.testbench.world import World

from .conftest import ROOT, Build

HEAD = bytes.fromhex("ffffffffffff0200000000020800")


def frame(number: int, size: int = 60) -> bytes:
    """A broadcast frame that differs from others."""
    return HEAD + bytes([number % 256]) * (size - len(HEAD))


def bench_of(driver: Driver, **parameters: object) -> Bench:
    """One machine with the driver."""
    return Bench(miniport=driver.make, queues=1, **parameters)  # type: ignore[arg-type]


# -- loading ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("DRV-1")
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("null", "returned NULL"),
        ("abi", "its table is of ABI 2"),
        ("size", "bytes, ABI 1 has"),
        ("ndis", "written for NDIS 5.20"),
        ("context", "context_bytes"),
        ("entry", "entry points are NULL: restart"),
    ],
)
def test_a_wrong_table_is_refused(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str
) -> None:
    monkeypatch.setenv("HOSTILE_TABLE", wrong)
    with pytest.raises(DriverError, match=words):
        CDriver(hostile)


@pytest.mark.requirement("DRV-1")
def test_what_is_no_driver_is_refused(tmp_path: Path, build: Build) -> None:
    with pytest.raises(DriverError, match="no such file"):
        load_driver(str(tmp_path / "none.so"))
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(DriverError, match=r"text\.so"):
        load_driver(str(tmp_path / "text.so"))
    (tmp_path / "empty.c").write_text("int nothing;\n")
    with pytest.raises(DriverError, match=r"exports no vnic_driver_entry"):
        load_driver(str(build(tmp_path / "empty.c")))


@pytest.mark.requirement("DRV-1")
def test_a_library_that_needs_a_sanitizer_says_how(
    tmp_path: Path, minimal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vnic.testbench.c_driver.library.is_sanitized", lambda: False)
    library = tmp_path / "sanitized.so"
    library.write_bytes(minimal.read_bytes() + b"__asan_init")
    with pytest.raises(DriverError, match="LD_PRELOAD"):
        CDriver(library)


# -- running ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("DRV-2", "DRV-4")
@pytest.mark.parametrize("interrupt", ["msix", "msi", "line"])
@pytest.mark.parametrize("seed", [None, 1])
def test_frames_go_both_ways(minimal: Path, interrupt: str, seed: int | None) -> None:
    frames = [frame(number, 60 + number) for number in range(200)]
    with bench_of(load_driver(str(minimal)), interrupt=interrupt, seed=seed) as bench:
        for start in range(0, 200, 50):
            bench.receive(*frames[start : start + 50])
            bench.settle()
        assert bench.received == frames
        bench.protocol.send_chain(frames)
        bench.send(*frames, pieces=(1, 5, 20), backfill=7)
        bench.settle()
        assert bench.transmitted == frames * 2
        assert {sent.status for sent in bench.protocol.sent} == {NDIS_STATUS.SUCCESS}


@pytest.mark.requirement("DRV-2")
def test_two_adapters_of_one_library_are_apart(minimal: Path) -> None:
    world = World()
    driver = load_driver(str(minimal))
    with bench_of(driver, world=world) as first, bench_of(driver, world=world) as second:
        first.receive(frame(1))
        second.receive(frame(2), frame(3))
        world.settle()
        assert first.received == [frame(1)]
        assert second.received == [frame(2), frame(3)]
        first.adapter.halt()
        second.send(frame(4))
        world.settle()
        assert second.transmitted == [frame(4)]


@pytest.mark.requirement("DRV-2")
def test_an_adapter_starts_again_with_a_clear_context(minimal: Path) -> None:
    with bench_of(load_driver(str(minimal))) as bench:
        for number in range(3):
            bench.receive(frame(number))
            bench.settle()
            bench.adapter.halt()
            bench.adapter.initialize()
            bench.adapter.bind(bench.protocol)
            bench.adapter.restart()
        assert bench.received == [frame(number) for number in range(3)]


#: The example, written for another NDIS.
OTHER_VERSION = """
#define vnic_driver_entry minimal_entry
#include "minimal.c"
#undef vnic_driver_entry

const struct vnic_miniport *vnic_driver_entry(uint32_t abi)
{
    static struct vnic_miniport table;

    table = *minimal_entry(abi);
    table.ndis_minor = %d;
    return &table;
}
"""


@pytest.mark.requirement("DRV-3")
def test_a_library_that_is_built_anew_is_loaded_anew(tmp_path: Path, build: Build) -> None:
    source = tmp_path / "again.c"
    minors = []
    for minor in (20, 30):
        source.write_text(OTHER_VERSION % minor, encoding="utf-8")
        driver = CDriver(build(source))
        with Bench(miniport=driver.make, queues=1) as bench:
            minors.append(bench.miniport.ndis_version)
    assert minors == [(6, 20), (6, 30)]


def test_memory_that_is_not_there_fails_initialization(minimal: Path) -> None:
    driver = load_driver(str(minimal))
    with Bench(miniport=driver.make, queues=1, starts=False, memory_bytes=64 << 10) as bench:
        assert bench.adapter.initialize() == NDIS_STATUS.RESOURCES


# -- what only C can do wrong ----------------------------------------------------------------------------

SENDS = {
    "twice": "SEND-2",
    "foreign": "SEND-1",
    "cycle": "NBL-2",
    "handle": "DRV-10",
    "status": "DRV-12",
    "packet": "SEND-5",
    "mdl": "SEND-5",
    "data": "SEND-5",
    "map stack": "DRV-10",
    "mdl over stack": "DRV-10",
    "timer": "DRV-10",
    "null link": "DRV-10",
    "null routine": "DRV-10",
    "many segments": "DRV-12",
    "unmap": "DRV-13",
    "coherent": "DRV-13",
    "sg list": "DRV-13",
    "memory": "DRV-13",
    "list": "DRV-13",
    "direction": "DRV-12",
    "wide": "DRV-12",
    "lock": "LOCK-2",
}


@pytest.mark.requirement("DRV-10", "DRV-12", "DRV-13", "DRV-14", "DRV-5")
@pytest.mark.parametrize(("act", "rule"), SENDS.items())
def test_a_send_done_wrong(hostile: Path, monkeypatch: pytest.MonkeyPatch, act: str, rule: str) -> None:
    monkeypatch.setenv("HOSTILE", act)
    bench = bench_of(load_driver(str(hostile)))
    with pytest.raises(NdisViolation) as caught:
        bench.send(frame(1))
    assert caught.value.rule_id == rule
    assert caught.value.driver == "hostile.so"
    assert caught.value in bench.ndis.violations
    bench.abandon()


@pytest.mark.requirement("DRV-11")
def test_a_list_written_after_it_was_completed(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", "late")
    bench = bench_of(load_driver(str(hostile)))
    bench.send(frame(1))
    with pytest.raises(NdisViolation, match="NET_BUFFER_LIST of a send at") as caught:
        bench.close()
    assert caught.value.rule_id == "DRV-11"


def test_a_lock_that_is_kept(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", "lock kept")
    bench = bench_of(load_driver(str(hostile)))
    with pytest.raises((NdisViolation, DeadlockError)):
        bench.send(frame(1))
    bench.abandon()


OIDS = {"overflow": "OID-2", "oid status": "DRV-12", "oid twice": "OID-1", "oid foreign": "OID-1"}


@pytest.mark.requirement("DRV-14", "DRV-12")
@pytest.mark.parametrize(("act", "rule"), OIDS.items())
def test_a_request_answered_wrong(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, act: str, rule: str
) -> None:
    monkeypatch.setenv("HOSTILE", act)
    bench = bench_of(load_driver(str(hostile)))
    with pytest.raises(NdisViolation) as caught:
        bench.request(query(OID.GEN_VENDOR_ID, 4))
    assert caught.value.rule_id == rule
    bench.abandon()


RECEIVES = {
    "indicate foreign": "RECV-3",
    "indicate two buffers": "RECV-5",
    "indicated twice": "RECV-3",
    "freed while lent": "NBL-1",
    "written while lent": "NBL-1",
}


@pytest.mark.requirement("DRV-10", "DRV-11")
@pytest.mark.parametrize(("act", "rule"), RECEIVES.items())
def test_a_receive_done_wrong(hostile: Path, monkeypatch: pytest.MonkeyPatch, act: str, rule: str) -> None:
    monkeypatch.setenv("HOSTILE", act)
    bench = bench_of(load_driver(str(hostile)))
    bench.protocol.keeps_nbls = True
    with pytest.raises(NdisViolation) as caught:
        bench.receive(frame(1))
        bench.settle()
        bench.protocol.release()
    assert caught.value.rule_id == rule
    bench.abandon()


@pytest.mark.requirement("DRV-13")
@pytest.mark.parametrize("act", ["leak", "leaked lock"])
def test_what_is_left_after_halt(hostile: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setenv("HOSTILE", act)
    with pytest.raises(NdisViolation, match="not freed") as caught, bench_of(load_driver(str(hostile))):
        pass
    assert caught.value.rule_id == "DRV-13"


@pytest.mark.requirement("DRV-12")
def test_a_pause_that_returns_nonsense(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", "pause status")
    bench = bench_of(load_driver(str(hostile)))
    with pytest.raises(NdisViolation, match="0x00012345") as caught:
        bench.adapter.pause()
    assert caught.value.rule_id == "DRV-12"
    bench.abandon()


# -- crashes and sanitizers ------------------------------------------------------------------------------

PROGRAM = """
import sys
from vnic.testbench.bench import Bench
from vnic.testbench.driver import load_driver

with Bench(miniport=load_driver(sys.argv[1]).make, queues=1) as bench:
    bench.send(bytes(60))
    bench.settle()
    print("sent", len(bench.transmitted))
"""


def run(library: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(library)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=environment,
        check=False,
    )


@pytest.mark.requirement("DRV-6")
def test_a_crash_ends_its_process_only(hostile: Path, python_environment: dict[str, str]) -> None:
    done = run(hostile, python_environment | {"HOSTILE": "crash"})
    assert done.stdout == ""
    if "LD_PRELOAD" not in python_environment:
        assert done.returncode == -signal.SIGSEGV
    else:
        assert "SEGV" in done.stderr


@pytest.mark.skipif(EFFORT <= 1, reason="in `make nightly` only: builds with a sanitizer")
@pytest.mark.requirement("DRV-6")
def test_a_sanitizer_names_the_line(build: Build, python_environment: dict[str, str]) -> None:
    found = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if not os.path.isabs(found):
        pytest.skip("needs gcc's libasan")
    library = build(Path(__file__).with_name("hostile.c"), "-fsanitize=address", name="sanitized")
    environment = python_environment | {"LD_PRELOAD": found, "ASAN_OPTIONS": "detect_leaks=0"}
    done = run(library, environment | {"HOSTILE": "late"})
    assert done.returncode != 0
    assert "heap-use-after-free" in done.stderr
    assert "hostile_send" in done.stderr


# -- what NDIS and the bus give ----------------------------------------------------------------------------


@pytest.mark.requirement("DRV-4")
@pytest.mark.parametrize("seed", [None, 3])
def test_every_service_does_what_its_header_says(build: Build, seed: int | None) -> None:
    library = build(Path(__file__).with_name("services.c"))
    keywords = {"*ReceiveBuffers": 64}
    with bench_of(load_driver(str(library)), seed=seed, keywords=keywords) as bench:
        bench.send(frame(1), pieces=(7, 20), backfill=3)
        bench.settle()
        assert bench.transmitted == [frame(1)]
        assert bench.query(OID.GEN_VENDOR_DESCRIPTION) == b"\0"
        bench.settle()
        scaling = bench.adapter.oids.known.general.receive_scale
        assert scaling is not None
        assert (scaling.interrupt_messages, scaling.receive_queues, scaling.table_entries) == (3, 2, 128)
        assert bench.adapter.known_offload is not None
