"""`vnic dma` as a person calls it: memory and files, every way to interrupt, faults, and what cannot be."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from vnic.cli import main
from vnic.commands import dma_copies, dma_file
from vnic.commands.dma_copies import Copies

SIZE = 20_000
CONTENT = bytes((index * 167 + (index >> 8) * 31) & 0xFF for index in range(3 * SIZE + 77))


@pytest.fixture(autouse=True)
def _small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little is already more than what is copied at once."""
    monkeypatch.setattr(dma_copies, "_WINDOW", 2 * SIZE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of more than two windows, whose end fills no copy."""
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    path.chmod(0o640)
    return path


def dma(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> dict[str, Any]:
    """The figures of a run."""
    assert main(["dma", "--json", *map(str, arguments)]) == status
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    return figures


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a call that is wrong: a line, no traceback."""
    try:
        status = main(["dma", *map(str, arguments)])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    said = printed.err.splitlines()[-1]
    assert said.startswith("vnic")
    return said


# ---- memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--hot", "--channels", 3),
        ("--no-iommu", "--channels", 16, "--interrupt", "msi"),
        ("--version", "1.0", "--interrupt", "line"),
        ("--version", "1.1", "--channels", 1),
        ("--version", "2.1", "--seed", 5),
    ],
)
def test_memory_arrives(capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]) -> None:
    figures = dma(capsys, "--size", SIZE, "--bytes", 5 * SIZE + 1, *arguments)
    assert figures["is_right"]
    assert (figures["bytes"], figures["copies"], figures["completions"]) == (5 * SIZE + 1, 6, 6)
    assert figures["descriptors"] >= 6
    assert 1 <= figures["interrupts"] <= 6
    assert figures["by_processor"] == figures["failures"] == 0
    assert figures["errors"] == {}
    assert len(figures["speeds"]) == 3
    assert all(speed["bytes_per_second"] > 0 for speed in figures["speeds"].values())


@pytest.mark.parametrize("size", [1, dma_copies.TRANSFER_MAX])
def test_least_and_largest(capsys: pytest.CaptureFixture[str], size: int) -> None:
    figures = dma(capsys, "--size", size, "--bytes", size + 1)
    assert figures["copies"] == 2
    assert figures["bytes"] == size + 1


def test_pages_need_more_descriptors_without_page_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    counts = [
        dma(capsys, "--size", 65536, "--bytes", 65536, "--version", version)["descriptors"]
        for version in ("1.0", "2.0")
    ]
    assert counts == [16, 8]


def test_text_says_what_json_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dma", "--size", "4k", "--bytes", "64k"]) == 0
    said = capsys.readouterr().out
    assert "65,536 bytes by 4 channels of a NetDMA 2.0 provider" in said
    assert "16 copies of 4,096 bytes" in said
    assert "memcpy" in said
    assert "Errors" not in said
    assert said.endswith("65.5 kB copied, every byte compared\n")


# ---- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "interrupt"), [("2.0", "msix"), ("1.0", "line")])
def test_faults_stop_the_engine_and_not_the_copy(
    capsys: pytest.CaptureFixture[str], version: str, interrupt: str
) -> None:
    how = ("--version", version, "--interrupt", interrupt, "--seed", 3)
    figures = dma(capsys, "--size", 5000, "--bytes", 200_000, "--faults", 12, *how)
    assert figures["is_right"]
    assert figures["faults_armed"] == 12
    assert figures["faults_fired"] >= 10
    assert figures["failures"] == figures["by_processor"] > 0
    assert figures["completions"] == figures["copies"] == 40
    assert sum(figures["errors"].values()) + figures["lost_interrupts"] >= 5


def test_same_seed_same_faults(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--size", 3000, "--bytes", 90_000, "--faults", 8, "--seed", 11)
    first, second = dma(capsys, *arguments), dma(capsys, *arguments)
    del first["speeds"], second["speeds"]
    assert first == second
    assert first["errors"]


def test_a_file_in_spite_of_faults(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    figures = dma(capsys, "--file", source, target, "--size", 2048, "--faults", 9)
    assert target.read_bytes() == CONTENT
    assert figures["by_processor"] > 0


# ---- what is wrong is seen ---------------------------------------------------------------------------------


def _spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's last batch is followed by a byte that is written by nobody's order."""
    finish = Copies._finish

    def finish_badly(self: Copies, batch: Any, begun: float) -> None:
        finish(self, batch, begun)
        view = self._bench.memory.slice(batch[-1].destination, 1)
        view[0] ^= 1

    monkeypatch.setattr(Copies, "_finish", finish_badly)


def test_wrong_byte_in_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil(monkeypatch)
    assert main(["dma", "--size", "1k", "--bytes", "4k"]) == 1
    assert "NOT RIGHT: the destination differs" in capsys.readouterr().out


def test_wrong_byte_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    _spoil(monkeypatch)
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    assert main(["dma", "--file", str(source), str(target)]) == 1
    assert "NOT RIGHT: read " in capsys.readouterr().out
    assert target.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


# ---- files -------------------------------------------------------------------------------------------------


def test_file_larger_than_a_window(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"x" * 100_000)
    figures = dma(capsys, "--file", source, target, "--size", SIZE)
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o640 & ~dma_file._umask()
    assert (figures["bytes"], figures["copies"]) == (len(CONTENT), 4)
    assert figures["digest"] == blake2b(CONTENT, digest_size=16).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_empty_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source, target = tmp_path / "empty", tmp_path / "target"
    source.touch()
    assert dma(capsys, "--file", source, target)["copies"] == 0
    assert target.read_bytes() == b""


def test_link_stays_a_link(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "real"
    real.touch()
    link.symlink_to(real)
    dma(capsys, "--file", source, link)
    assert link.is_symlink()
    assert real.read_bytes() == CONTENT


def test_files_that_cannot_be(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path) -> None:
    fifo, link, folder = tmp_path / "fifo", tmp_path / "link", tmp_path / "folder"
    os.mkfifo(fifo)
    link.symlink_to(source)
    folder.mkdir()
    calls = [
        (tmp_path / "none", "target", "none: No such file or directory"),
        (folder, "target", "folder: not a regular file"),
        (fifo, "target", "fifo: not a regular file"),
        (source, "folder", "folder: is a directory"),
        (source, "fifo", "fifo: not a regular file"),
        (source, "none/target", "none/target: no such directory"),
        (source, "source", "are the same file"),
        (source, "link", "are the same file"),
        (link, "source", "are the same file"),
        (source, "x" * 300, "File name too long"),
        (source, "a\0b", "null byte"),
    ]
    for first, second, complaint in calls:
        assert complaint in refusal(capsys, "--file", first, tmp_path / second)
    assert refusal(capsys, "--file", source, "/dev/full").endswith("/dev/full: not a regular file")
    assert source.read_bytes() == CONTENT
    assert len(list(tmp_path.iterdir())) == 4


def test_no_space(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: _full(descriptor))
    assert "No space left on device" in refusal(capsys, "--file", source, target)
    assert target.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def _full(descriptor: int) -> Any:
    os.close(descriptor)
    return open("/dev/full", "w+b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--size", "0"),
        ("--size", "1048577"),
        ("--size", "-1"),
        ("--size", "1e3"),
        ("--size", "٣"),
        ("--bytes", "0"),
        ("--channels", "0"),
        ("--channels", "17"),
        ("--faults", "-1"),
        ("--seed", "x"),
        ("--version", "3.0"),
        ("--interrupt", "smoke"),
        ("--file", "one"),
        ("--file", "one", "two", "--bytes", "5"),
        ("--file", "one", "two", "--hot"),
        ("stray",),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    refusal(capsys, *arguments)


def test_help_is_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["dma", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for word in ("--channels", "--size", "--file SRC DST", "--faults", "Exit status", "memcpy"):
        assert word in said
