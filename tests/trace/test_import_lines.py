"""Importers line by line: what is lost is said, dialects and prefixes, and lines that are cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnic.abi import EventType
from vnic.cli import main
from vnic.trace.event import TraceEvent
from vnic.trace.header import TraceError
from vnic.trace.importers import Imported, open_import

PCIDEV = "PCIDEV 0018 808610d3 b feba0000 0 0 0 0 0 0 20000 0 0 0 0 0 0 e1000e"
HEAD = f"VERSION 20070824\n{PCIDEV}\nMAP 1.5 1 0xfeba0000 0xffffc900005c0000 0x20000 0x0 0\n"
MAPPED = "pci_update_mappings_add e1000e 00:03.0 0,0xfeba0000+0x20000\n"
CONFIG = "pci_cfg_read e1000e 00:03.0 @0x0 -> 0x10d38086\n"
WRITE = "memory_region_ops_write cpu 0 mr 0x7f1b addr 0xfeba0400 value 0x2 size 4 name 'e1000e-mmio'"


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Import a text; the file and its events."""

    def reader(form: str, text: str, device: str | None = None) -> tuple[Imported, list[TraceEvent]]:
        path = tmp_path / "file"
        path.write_text(text)
        found = open_import(path, form, device)
        return found, list(found)

    return reader


# -- mmiotrace -----------------------------------------------------------------------------------------------


def test_mmiotrace_says_what_is_lost(read, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    text = (
        HEAD
        + "W 2 1.600001 1 0xfeba0400 0x2 0x0 0\n"
        + "UNKNOWN 1.7 1 0xfeba0000 0f,01,02 0x0 0\n"
        + "MARK 0.000000 Lost 17 events.\n"
        + "R 1 1.8 1 0xfec00000 0x2 0x0 0\n"
        + "UNKNOWN 1.9 1 0xfeba0000 0f,01,02 0x0 0\nUNMAP 2.0 1 0x0 0\n"
    )
    found, events = read("mmiotrace", text)
    assert found.complaints == [
        "2 accesses that mmiotrace could not decode (UNKNOWN)",
        "17 events lost",
        "1 accesses to what is no BAR of the device",
    ]
    assert [event[1:8] for event in events[:1]] == [(EventType.MMIO_WRITE, 1_600_001_000, 0, 0, 2, 0x400, 2)]
    assert events[1].text == "Lost 17 events."
    assert main(["trace", "import", str(tmp_path / "file"), str(tmp_path / "out")]) == 1
    assert "LOST: 17 events lost" in capsys.readouterr().out


def test_mmiotrace_of_several_devices(read) -> None:  # type: ignore[no-untyped-def]
    other = "PCIDEV 0100 10ec8168 b c001 fd000004 0 0 0 0 0 100 1000 0 0 0 0 0 \n"
    text = HEAD + other + "MAP 1.6 2 0xfd000000 0x1 0x1000 0x0 0\nR 4 1.7 2 0xfd000010 0x1 0x0 0\n"
    found, events = read("mmiotrace", text)
    assert [each.map for each in found.header.functions] == ["8086:10d3", "10ec:8168"]
    assert (events[0].function, events[0].index, events[0].addr) == (1, 1, 0x10)
    found, events = read("mmiotrace", text, "01:00.0")
    assert [each.config["location"] for each in found.header.functions] == ["01:00.0"]
    assert events[0].function == 0
    with pytest.raises(TraceError, match=r"no device 1:2; the file has 00:03.0 \(8086:10d3\), 01:00.0"):
        read("mmiotrace", text, "1:2")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("W 4 1.6 1 0xfeba0400", "line 4: no access"),
        ("W 3 1.6 1 0xfeba0400 0x2 0x0 0", "line 4: an access of 3 bytes"),
        ("W 4 1.6 1 0xfeba04zz 0x2 0x0 0", "line 4: '0xfeba04zz' is not a number"),
        ("W 4 x 1 0xfeba0400 0x2 0x0 0", "line 4: 'x' is not a time"),
        ("W 4 1.6 1 0xfeba0400 0x12345678123456789 0x0 0", "line 4: .* does not fit in 64 bits"),
        ("MARK", "line 4: MARK without a time"),
        ("HELLO 1", "line 4: 'HELLO' is no line of mmiotrace"),
    ],
)
def test_mmiotrace_that_is_damaged(read, line: str, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TraceError, match=said):
        read("mmiotrace", f"{HEAD}{line}\n")


# -- QEMU ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefixes", "times"),
    [
        (("", "", ""), [0, 0]),
        (("30137@1795356246.000001:", "30137@1795356247.5:", "1@1795356248.000003:"), None),
        (
            ("30137@1795356246.000001:", "30137@1795356246.000002:", "30138@1795356248.000003:"),
            [0, 2_000_002_000],
        ),
        (
            ("2026-11-22T12:00:00.000001Z ", "2026-11-22T12:00:01Z ", "2026-11-22T13:00:02.000005+01:00 "),
            [0, 2_000_004_000],
        ),
    ],
)
def test_prefixes_of_every_version(read, prefixes, times) -> None:  # type: ignore[no-untyped-def]
    lines = [CONFIG, MAPPED, WRITE + "\n"]
    text = "".join(prefix + line for prefix, line in zip(prefixes, lines, strict=True))
    found, events = read("qemu", text)
    if times is None:  # a prefix of no version: the mapping is an event of its own, unknown kind
        assert found.notes == ["1 lines of other events", "1 accesses to other regions"]
        return
    assert [event.time_ns for event in events] == times
    assert events[1][1:2] + events[1][3:8] == (EventType.MMIO_WRITE, 0, 0, 4, 0x400, 2)
    assert found.complaints == []


def test_a_bar_that_is_unmapped_decodes_no_more(read) -> None:  # type: ignore[no-untyped-def]
    gone = MAPPED.replace("_add", "_del")
    moved = MAPPED.replace("0,0xfeba0000", "1,0xfeba0000")
    found, events = read("qemu", CONFIG + WRITE + "\n" + MAPPED + WRITE + "\n" + gone + moved + WRITE + "\n")
    assert [event.index for event in events if event.type == EventType.MMIO_WRITE] == [0, 1]
    assert found.notes == ["1 accesses to other regions"]


def test_the_dialect_of_vfio(read) -> None:  # type: ignore[no-untyped-def]
    text = (
        "vfio_pci_read_config  (0000:03:00.0, @0x0, len=0x4) 0x15218086\n"
        "vfio_pci_write_config  (0000:03:00.0, @0x4, 0x406, len=0x2)\n"
        "vfio_region_write  (0000:03:00.0:region0+0x3818, 0x1, 4)\n"
        "vfio_region_write  (0000:03:00.0:region0+0x3820, 0x1,8)\n"
        "vfio_region_read  (0000:03:00.0:region3+0x8, 4) = 0x80283\n"
        "vfio_msi_interrupt  (0000:03:00.0) vector 2 0xfee01004/0x41\n"
        "vfio_listener_region_add region_add 0x0 - 0x1\n"
    )
    found, events = read("qemu", text)
    assert found.header.functions[0].map == "8086:1521"
    assert found.header.functions[0].config["location"] == "03:00.0"
    assert [event[1:2] + event[4:8] for event in events] == [
        (EventType.CFG_READ, 0, 4, 0, 0x15218086),
        (EventType.CFG_WRITE, 0, 2, 4, 0x406),
        (EventType.MMIO_WRITE, 0, 4, 0x3818, 1),
        (EventType.MMIO_WRITE, 0, 8, 0x3820, 1),
        (EventType.MMIO_READ, 3, 4, 8, 0x80283),
        (EventType.INTERRUPT, 2, 2, 0xFEE01004, 0x41),
    ]
    assert found.notes == ["1 lines of other events"]
    other = text + "vfio_region_read  (0000:04:00.0:region0+0x8, 4) = 0x1\n"
    with pytest.raises(TraceError, match=r"more than one device; the log has 0000:03:00.0, 0000:04:00.0"):
        read("qemu", other)
    found, events = read("qemu", other, "0000:04:00.0")
    assert len(events) == 1
    assert found.notes == ["6 accesses to other devices", "1 lines of other events"]


def test_a_vector_that_no_event_can_say_is_a_complaint(read) -> None:  # type: ignore[no-untyped-def]
    text = CONFIG + "e1000e_irq_msix_notify_vec MSI-X notify vector 0x101\n"
    found, events = read("qemu", text)
    assert events[1].index == 1
    assert found.complaints == ["1 interrupts of vectors above 255, whose numbers are cut to 8 bits"]


@pytest.mark.parametrize(
    "line",
    [
        WRITE[:60],
        WRITE.replace("size 4", "size 3"),
        WRITE.replace("size 4", "size 99999999999999999999999999"),
        "pci_cfg_read e1000e 00:03.0 @0x0 ->",
        "pci_cfg_write e1000e 00:03.0 @0x0 <- 0x1ffffffffffffffff",
        MAPPED.replace(" 0,", " 77,").rstrip(),
        "vfio_region_read  (a:region0+0x8, 4) =",
        "vfio_region_read  (e1000e 00:03.0:region300+0x8, 4) = 0x1",
        "vfio_pci_read_config  (a, @0x0, len=0x4)",
        "memory_region_ops_read without anything",
    ],
)
def test_a_line_of_qemu_that_is_cut(read, line: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TraceError, match="line 3"):
        read("qemu", f"{CONFIG}{MAPPED}{line}\n", "00:03.0")


def test_a_name_without_an_end_is_no_device(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TraceError, match="line 2: cut, or of another version"):
        read("qemu", f"{CONFIG}pci_cfg_read {'e' * 100_000} 00:03.0 @0x0 -> 0x10d38086\n")
    with pytest.raises(TraceError, match="no device; the log has none"):
        read("qemu", f"vfio_region_read  ({'e' * 100_000}:region0+0x8, 4) = 0x1\n")
