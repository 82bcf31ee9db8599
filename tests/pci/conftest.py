"""A PCI function with the card's register map and nothing else: csrc/pci with a recording device."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from tests.c_objects import build_folder, is_asked

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
HERE = Path(__file__).resolve().parent
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv", "-g"]
MARKED = re.compile(r"/\* cdef begin \*/\n(.*?)/\* cdef end \*/", re.DOTALL)
HOOK_MASK = 0xA5C35A3C  # of harness.c

COMMAND, PM_CTRL, MSI_CTRL, DEVCTL, MSIX_CTRL = 0x04, 0x44, 0x50, 0x78, 0xB0
MEMORY, MASTER = 1 << 1, 1 << 2
MSIX_BAR, MSIX_TABLE, MSIX_PBA = 2, 0x0, 0x1000


def build(folder: Path) -> Path:
    """Compile the library and the harness into a shared object."""
    files = [*(p for room in ("base", "gen", "pci") for p in sorted((CSRC / room).glob("*.c")))]
    flags = [*STRICT, "-O1", "-fPIC", "-shared"]
    flags += SANITIZE if is_asked("VNIC_SANITIZE") else []
    flags += ["--coverage", "-fno-early-inlining"] if is_asked("VNIC_COVERAGE") else []
    target = folder / "harness.so"
    include = ["-I", str(CSRC), "-I", str(CSRC / "include"), "-I", str(HERE)]
    command = ["gcc", *flags, *include, "-o", str(target), *map(str, files), str(HERE / "harness.c")]
    subprocess.run(command, check=True, timeout=240, cwd=folder)
    return target


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[FFI, Any]:
    """The compiled harness; for coverage it is built where the report looks."""
    folder = build_folder("pci", tmp_path_factory)
    ffi = FFI()
    for header in (CSRC / "include/vnic/vnic.h", HERE / "harness.h"):
        ffi.cdef("\n".join(MARKED.findall(header.read_text(encoding="utf-8"))).replace("VNIC_API ", ""))
    return ffi, ffi.dlopen(str(build(folder)))


@dataclass(frozen=True)
class Message:
    """An interrupt that left the function."""

    kind: int
    vector: int = 0
    addr: int = 0
    data: int = 0


@dataclass(frozen=True)
class Event:
    """What the observer was told; `data` are at most the first 64 bytes."""

    type: int
    index: int
    width: int
    addr: int
    value: int
    len: int = 0
    data: bytes = b""
    function: int = field(default=3, compare=False)
    time_ns: int = field(default=0, compare=False)


class Function:
    """One function: every call of harness.h without its prefix, and what an operating system does."""

    def __init__(self, ffi: FFI, lib: Any, **options: Any) -> None:
        self.ffi, self.lib = ffi, lib
        config: Any = ffi.new("struct harness_config *")
        config.vectors = options.pop("vectors", 8)
        config.msi_capable_log2 = options.pop("msi_log2", 3)
        config.interrupt_pin = options.pop("pin", 1)
        config.map_regions = options.pop("regions", 16)
        config.faults = options.pop("faults", 4)
        config.bar_bytes = options.pop("bars", [0x10000, 0, 0x2000, 0, 0, 0])
        config.msix_bar = options.pop("msix_bar", 2)
        config.msix_table_offset = options.pop("table", 0)
        config.msix_pba_offset = options.pop("pba", config.msix_table_offset + 0x1000)
        config.is_multifunction = options.pop("multi", 0)
        config.has_channel_errors = options.pop("channel_errors", 0)
        assert not options
        box = ffi.new("harness **")
        result = lib.harness_create(config, box)
        if result != 0:
            raise ValueError(result)
        self.h = box[0]
        self.keep: list[Any] = []

    def close(self) -> None:
        """Free it."""
        if self.h is not None:
            self.lib.harness_destroy(self.h)
            self.h = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.lib, f"harness_{name}")
        bound: Callable[..., Any] = lambda *args: call(self.h, *args)  # noqa: E731
        setattr(self, name, bound)
        return bound

    # --- accesses

    def cfg(self, offset: int, width: int = 4) -> int:
        """Read configuration space."""
        return int(self.cfg_read(offset, width))

    def cfg_set(self, offset: int, mask: int, value: int | None = None) -> None:
        """Replace the bits of mask in a configuration dword, leaving write-1-to-clear status alone."""
        status = {COMMAND: 0xFFFF0000, DEVCTL: 0xFFFF0000}.get(offset, 0)
        now = self.cfg(offset) & ~status & ~mask
        self.cfg_write(offset, 4, now | (mask if value is None else value & mask))

    def start(self, command: int = MEMORY | MASTER) -> None:
        """Place the BARs high up and set the bits of Command."""
        for bar, base in ((0, 0x4000_0000_0000), (2, 0x4000_0010_0000), (4, 0x4000_0020_0000)):
            self.cfg_write(0x10 + 4 * bar, 4, base & 0xFFFFFFFF)
            self.cfg_write(0x14 + 4 * bar, 4, base >> 32)
        self.cfg_set(COMMAND, command)

    # --- memory

    def memory(self, iova: int, size: int, permissions: int = 3) -> Any:
        """Map fresh memory; returns it as a writable buffer."""
        data = self.ffi.new("uint8_t[]", size)
        self.keep.append(data)
        assert self.map(iova, data, size, permissions) == 0
        return self.ffi.buffer(data)

    def dma_get(self, addr: int, size: int, purpose: int = 1) -> tuple[int, bytes]:
        """Read host memory as the function does: status and bytes."""
        data = self.ffi.new("uint8_t[]", b"\x5a" * size + b"\0")
        status = self.dma_read(addr, data, size, purpose)
        return status, bytes(self.ffi.buffer(data)[:size])

    def dma_put(self, addr: int, data: bytes, purpose: int = 1) -> int:
        """Write host memory as the function does."""
        return int(self.dma_write(addr, self.ffi.from_buffer(data), len(data), purpose))

    # --- interrupts

    def enable_msix(self, entries: int = 8, function_mask: int = 0) -> None:
        """Program and unmask the first entries, then enable."""
        for n in range(entries):
            self.write(MSIX_BAR, 16 * n, 4, 0xFEE00000 + 0x1000 * n)
            self.write(MSIX_BAR, 16 * n + 4, 4, n)
            self.write(MSIX_BAR, 16 * n + 8, 4, 0x4000 + n)
            self.write(MSIX_BAR, 16 * n + 12, 4, 0)
        self.cfg_set(MSIX_CTRL, 3 << 30, 1 << 31 | function_mask << 30)

    def enable_msi(self, granted_log2: int, data: int = 0x4300) -> None:
        """Program and enable MSI."""
        self.cfg_write(0x54, 4, 0xFEE00000)
        self.cfg_write(0x58, 4, 1)
        self.cfg_write(0x5C, 4, data)
        self.cfg_set(MSI_CTRL, 0x710000, granted_log2 << 20 | 1 << 16)

    def take(self, most: int = 512) -> list[Message]:
        """The interrupts that left since the last call."""
        out = self.ffi.new("struct vnic_interrupt[]", most)
        count = self.interrupts(out, most)
        assert all(bytes(out[i].reserved) == b"\0\0" for i in range(count))
        return [Message(out[i].kind, out[i].vector, out[i].addr, out[i].data) for i in range(count)]

    # --- the rest

    def told(self) -> Any:
        """What the device was told so far."""
        counts = self.ffi.new("struct harness_counts *")
        self.counts(counts)
        return counts

    def arm_fault(self, site: int, action: int, **options: Any) -> int:
        """Arm a fault, by default on the next match anywhere; its id, or an error."""
        fields = {"site": site, "action": action, "index": 0xFF, "last": 2**64 - 1, "count": 1, **options}
        fault = self.ffi.new("struct vnic_fault *", fields)
        return int(self.arm(fault))

    def seen(self) -> list[Event]:
        """The events since the last call."""
        out = self.ffi.new("struct harness_event[]", 1024)
        events = []
        for i in range(self.events(out, 1024)):
            e = out[i].event
            data = bytes(self.ffi.buffer(out[i].head)[: e.len])
            events.append(
                Event(e.type, e.index, e.width, e.addr, e.value, e.len, data, e.function, e.time_ns)
            )
        return events

    def snapshot(self) -> bytes:
        """Save."""
        size = self.save(self.ffi.NULL, 0)
        buf = self.ffi.new("uint8_t[]", size)
        assert self.save(buf, size) == size
        return bytes(self.ffi.buffer(buf))

    def restore(self, data: bytes) -> int:
        """Load; 0 or an error."""
        return int(self.load(self.ffi.from_buffer(data), len(data)))


@pytest.fixture
def make(library: tuple[FFI, Any]) -> Iterator[Callable[..., Function]]:
    """A maker of functions."""
    made: list[Function] = []

    def make_function(**options: Any) -> Function:
        made.append(Function(*library, **options))
        return made[-1]

    yield make_function
    for function in made:
        function.close()


@pytest.fixture
def function(make: Callable[..., Function]) -> Function:
    """A function whose BARs are placed and which may do everything."""
    made = make()
    made.start()
    return made


@pytest.fixture
def bare(make: Callable[..., Function]) -> Function:
    """A function as it comes out of reset."""
    return make()
