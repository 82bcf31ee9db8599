"""Importers and what they should never have been given: TraceError that names a line, and nothing else."""

from __future__ import annotations

import gzip
import re
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.trace.file import TraceWriter
from vnic.trace.header import TraceError
from vnic.trace.importers import FORMATS, guess, open_import

SAMPLES = Path(__file__).parents[1] / "samples"
TEXTS = ("mmiotrace", "qemu", "qtest")
SEEDS = {
    "mmiotrace": SAMPLES / "mmiotrace-e1000e-linux6.1.txt",
    "qemu": SAMPLES / "qemu7.2-log-head.txt",
    "qtest": SAMPLES / "qtest-log.txt",
}
LINES = {form: list(islice(path.read_text().splitlines(), 60)) for form, path in SEEDS.items()}
LINES["qtest"] += (SAMPLES / "tx.qtest").read_text().splitlines()
LINES["qemu"] += [
    "pci_update_mappings_add e1000e 00:03.0 0,0xfeba0000+0x20000",
    "1@1.000001:memory_region_ops_write cpu 0 mr 0x7 addr 0xfeba0400 value 0x2 size 4",
    "2026-11-22T12:00:00.000001Z e1000e_irq_msix_notify_vec MSI-X notify vector 0x1",
    "vfio_region_write  (0000:03:00.0:region0+0x3818, 0x1, 4)",
    "vfio_pci_read_config  (0000:03:00.0, @0x0, len=0x4) 0x15218086",
    "vfio_msi_interrupt  (0000:03:00.0) vector 2 0xfee01004/0x41",
]
ODD = st.sampled_from(
    [
        "",
        "\0",
        "0x" + "f" * 5000,
        "9" * 5000,
        "-1",
        "²",
        "٣",
        "1_0",
        "0x",
        "08",
        "\ud7ff",
        "99999999.999999",
        "=",
        "OK",
    ]
)


@st.composite
def damaged(draw: st.DrawFn, form: str) -> str:
    """Lines of a good file with words, letters or ends changed."""
    lines = draw(st.lists(st.sampled_from(LINES[form]), max_size=12))
    is_whole = draw(st.booleans())
    lines = (LINES[form][:8] if is_whole else []) + lines
    for _ in range(draw(st.integers(0, 3))):
        if not lines:
            break
        at = draw(st.integers(0, len(lines) - 1))
        words = re.split(r"(\W)", lines[at])
        place = draw(st.integers(0, len(words) - 1))
        what = draw(st.integers(0, 2))
        if what == 0:
            words[place] = draw(st.one_of(ODD, st.text(max_size=5)))
        elif what == 1:
            words = words[:place]
        else:
            words.insert(place, draw(ODD))
        lines[at] = "".join(words)
    return "\n".join(lines)


def survives(path: Path, form: str, folder: Path) -> None:
    """It is imported into a file, or TraceError says why not."""
    try:
        found = open_import(path, form)
        with TraceWriter(folder / "out", found.header) as writer:
            for event in found:
                writer.write(event)
    except TraceError as error:
        said = str(error)
        assert re.search(r"line \d|device|no capture|mmiotrace", said), said
        assert len(said) < 2000


@given(st.data())
@examples(80)
def test_damaged_text(tmp_path: Path, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(TEXTS))
    path = tmp_path / "file"
    path.write_text(data.draw(damaged(form)), encoding="utf-8", errors="surrogatepass")
    survives(path, form, tmp_path)


@given(st.binary(max_size=200), st.sampled_from([name for name, _, _ in FORMATS]), st.integers(0, 2))
@examples(40)
def test_octets(tmp_path: Path, octets: bytes, form: str, how: int) -> None:
    packed = gzip.compress(octets, 1)
    path = tmp_path / "file"
    path.write_bytes((octets, packed, packed[: len(packed) // 2] + octets)[how])
    survives(path, form, tmp_path)
    try:
        assert guess(path) in {name for name, _, _ in FORMATS}
    except TraceError as error:
        assert str(path) in str(error) or "line" in str(error)


@pytest.mark.parametrize("form", TEXTS)
def test_a_line_without_an_end(form: str, tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    with pytest.raises(TraceError, match=r"line 1 is longer than 1048576 bytes"):
        open_import(path, form)


def test_more_devices_than_a_trace_has(tmp_path: Path) -> None:
    path = tmp_path / "file"
    devices = [f"PCIDEV {n << 3:04x} 808610d3 b {n + 1:x}0000 0 0 0 0 0 0 1000 0 0 0 0 0 0" for n in range(9)]
    maps = [f"MAP 1.0 {n} {n + 1:#x}0000 0x0 0x1000 0x0 0" for n in range(9)]
    path.write_text("\n".join(["VERSION 20070824", *devices, *maps]))
    with pytest.raises(TraceError, match="more than 8 devices are mapped: name one"):
        open_import(path, "mmiotrace")
    lines = [f"outl 0xcf8 {0x80000010 | n << 11:#x}\noutl 0xcfc 0xe0000000" for n in range(9)]
    path.write_text("\n".join(lines))
    with pytest.raises(TraceError, match=r"9 devices: name one of 00:00.0"):
        open_import(path, "qtest")
    assert len(open_import(path, "qtest", "00:08.0").header.functions) == 1


def test_interrupts_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("[R +0.000001] clock_step\n" + "[S +0.000001] IRQ raise 1\n" * 10_001)
    with pytest.raises(TraceError, match="line 10002: more than 10000 interrupts and no answer"):
        open_import(path, "qtest")


def test_a_capture_that_is_cut(tmp_path: Path) -> None:
    octets = (SAMPLES / "linux-e1000e.pcap").read_bytes()
    whole = list(open_import(SAMPLES / "linux-e1000e.pcap", "capture"))
    path = tmp_path / "file"
    path.write_bytes(octets[:-7])
    found = open_import(path, "capture")
    assert len(list(found)) == len(whole) - 1
    assert "ends within a record" in found.complaints[0]
