"""The C kernels as Python calls on guarded memory, and strategies for frames."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from vnic.wire import packet

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
HEADERS = ("wire/kernels.h", "wire/tcp_header.h")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv", "-UNDEBUG"]


class Guarded:
    """Memory that ends where an inaccessible page begins: one byte too far is a fault, sanitizer or not."""

    def __init__(self, ffi: Any, size: int) -> None:
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.map = mmap.mmap(-1, self.size + mmap.PAGESIZE)
        self.base = ffi.from_buffer("uint8_t[]", self.map)
        address = int(ffi.cast("uintptr_t", self.base))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address + self.size), ctypes.c_size_t(mmap.PAGESIZE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, data: bytes, slack: int = 0) -> Any:
        """Copies data so that slack bytes follow it before the guard, and returns where it is."""
        at = self.size - len(data) - slack
        self.map[at : at + len(data)] = data
        return self.base + at

    def take(self, length: int, slack: int = 0) -> bytes:
        """The bytes that put(data) would have written."""
        return self.map[self.size - length - slack : self.size - slack]


class Kernels:
    """csrc/wire/kernels.h with Python values."""

    def __init__(self, ffi: Any, lib: Any) -> None:
        self.ffi, self.lib = ffi, lib
        self.source = Guarded(ffi, 512 * 1024)
        self.sink = Guarded(ffi, 512 * 1024)
        self.toeplitz_paths = [path for path in range(3) if lib.kernel_toeplitz_has(path)]
        self.csum_paths = [path for path in range(3) if lib.kernel_csum_has(path)]

    def parse(self, data: bytes, *, is_any: bool = False) -> dict[str, int]:
        """The parsed facts by name, "is_plain" among them: whether the shortcut applied."""
        facts = self.ffi.new("struct kernel_facts *")
        plain = self.lib.kernel_parse(self.source.put(data), len(data), is_any, facts)
        names = [name for name, _ in self.ffi.typeof("struct kernel_facts").fields]
        return {name: getattr(facts, name) for name in names} | {"is_plain": plain}

    def rss_input(self, data: bytes, types: int) -> tuple[int, bytes]:
        """The hash type and the bytes to hash."""
        length = self.ffi.new("uint32_t *")
        self.sink.put(b"\xaa" * 36)
        kind = self.lib.kernel_rss_input(
            self.source.put(data), len(data), types, self.sink.base + self.sink.size - 36, length
        )
        return kind, self.sink.take(36)[: length[0]]

    def toeplitz(self, path: int, key: bytes, data: bytes) -> int:
        """One hash."""
        out = self.ffi.new("uint32_t *")
        assert self.lib.kernel_toeplitz(path, key, self.source.put(data), len(data), out)
        return int(out[0])

    def toeplitz_bulk(self, path: int, key: bytes, inputs: list[bytes], length: int) -> list[int]:
        """The hashes of inputs that lie one behind the other."""
        out = self.ffi.new("uint32_t[]", len(inputs) + 1)
        out[len(inputs)] = 0xA5A5A5A5
        at = self.source.put(b"".join(inputs))
        assert self.lib.kernel_toeplitz_bulk(path, key, at, length, length, out, len(inputs))
        assert out[len(inputs)] == 0xA5A5A5A5
        return list(out[0 : len(inputs)])

    def csum_add(self, path: int, data: bytes, acc: int = 0, slack: int = 0) -> int:
        """acc plus the partial sum of data."""
        return int(self.lib.kernel_csum_add(path, acc, self.source.put(data, slack), len(data)))

    def csum_copy(self, path: int, data: bytes, slack: int, margin: int = 80) -> tuple[int, bytes]:
        """The partial sum, and the destination: margin bytes before, the copy, slack bytes after."""
        self.sink.put(b"\xc3" * (margin + len(data) + slack))
        target = self.sink.base + self.sink.size - len(data) - slack
        acc = self.lib.kernel_csum_copy(path, target, self.source.put(data, slack), len(data), 0)
        return int(acc), self.sink.take(margin + len(data) + slack)

    def csum_complete(self, path: int, data: bytes, field: int, *, is_udp: bool) -> bytes:
        """Data with its checksum field filled in."""
        self.lib.kernel_csum_complete(path, self.source.put(data), len(data), field, is_udp)
        return self.source.take(len(data))

    def verify(self, path: int, data: bytes) -> tuple[int, int, int]:
        """The verdicts of the IPv4 header and of the transport checksum, and the span summed."""
        verdict = self.lib.kernel_verify(self.source.put(data), len(data), path)
        return verdict.ip, verdict.l4, verdict.span

    def segment(
        self,
        header: bytes,
        payload: bytes,
        mss: int,
        index: int,
        *,
        l3_offset: int = 14,
        l4_offset: int,
        is_field_seed: bool = False,
    ) -> bytes | int:
        """Segment index, or the negative code with which the template was refused; 0: no such segment."""
        out = self.ffi.new("uint8_t[]", 66000 + 256)
        length = self.lib.kernel_segment(
            header,
            len(header),
            l3_offset,
            l4_offset,
            mss,
            self.source.put(payload),
            len(payload),
            index,
            is_field_seed,
            out,
        )
        return bytes(self.ffi.buffer(out, length)) if length > 0 else int(length)


def _packaged() -> tuple[Any, Any] | None:
    """The compiled module of the package, once it is there and carries the kernels."""
    try:
        core = importlib.import_module("vnic._core")
    except ImportError:
        return None
    return (core.ffi, core.lib) if hasattr(core.lib, "tcp_header_parse") else None


def _sanitize_flags() -> list[str]:
    return SANITIZE if os.environ.get("VNIC_SANITIZE", "0") not in ("", "0") else []


def _object_file(source: Path, folder: Path) -> str:
    """Compiles one kernel with every warning an error."""
    target = folder / f"{source.stem}.o"
    flags = ["-std=c11", "-O2", "-fPIC", *WARNINGS, *_sanitize_flags(), f"-I{CSRC}"]
    subprocess.run(["cc", *flags, "-c", str(source), "-o", str(target)], check=True, timeout=120)
    return str(target)


def _compiled(folder: Path) -> tuple[Any, Any]:
    """A private module of csrc/wire alone; the code that cffi writes does not keep to our warnings."""
    from cffi import FFI  # noqa: PLC0415

    builder = FFI()
    for name in HEADERS:
        marked = (CSRC / name).read_text().split("/* cdef begin */")[1]
        builder.cdef(marked.split("/* cdef end */")[0])
    builder.set_source(
        "wire_kernels",
        "\n".join(f'#include "{name}"' for name in HEADERS),
        include_dirs=[str(CSRC)],
        extra_objects=[_object_file(path, folder) for path in sorted((CSRC / "wire").glob("*.c"))],
        extra_compile_args=_sanitize_flags(),
        extra_link_args=_sanitize_flags(),
    )
    built = builder.compile(tmpdir=str(folder))
    spec = importlib.util.spec_from_file_location("wire_kernels", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ffi, module.lib


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """The C kernels of the package; without one, or with VNIC_KERNELS=private, compiled here."""
    packaged = None if os.environ.get("VNIC_KERNELS") == "private" else _packaged()
    return Kernels(*(packaged or _compiled(tmp_path_factory.mktemp("kernels"))))


ADDRESSES_V4 = st.binary(min_size=4, max_size=4)
ADDRESSES_V6 = st.binary(min_size=16, max_size=16)
PORTS = st.integers(0, 0xFFFF)


@st.composite
def _transport(draw: st.DrawFn, source: bytes, destination: bytes) -> tuple[int, bytes]:
    """A protocol number and a TCP, UDP or other payload, now and then with something wrong in it."""
    payload = draw(st.binary(max_size=48))
    wrong = draw(st.one_of(st.none(), st.none(), st.integers(0, 0xFFFF)))
    kind = draw(
        st.sampled_from([packet.TCP, packet.TCP, packet.UDP, packet.UDP, packet.ICMP, packet.NO_NEXT_HEADER])
    )
    if kind == packet.TCP:
        segment = packet.tcp(
            source,
            destination,
            draw(PORTS),
            draw(PORTS),
            payload,
            options=draw(st.binary(max_size=40)),
            flags=draw(st.integers(0, 255)),
            data_offset=draw(st.one_of(st.none(), st.none(), st.integers(0, 15))),
            field=wrong,
        )
        return kind, segment
    if kind == packet.UDP:
        length = draw(st.one_of(st.none(), st.none(), st.integers(0, 80)))
        return kind, packet.udp(
            source, destination, draw(PORTS), draw(PORTS), payload, length=length, field=wrong
        )
    return kind, payload


@st.composite
def _ipv4(draw: st.DrawFn) -> bytes:
    source, destination = draw(ADDRESSES_V4), draw(ADDRESSES_V4)
    proto, segment = draw(_transport(source, destination))
    return packet.ipv4(
        source,
        destination,
        proto,
        segment,
        options=draw(st.one_of(st.just(b""), st.binary(max_size=40))),
        fragment=draw(st.one_of(st.sampled_from([0, 0x4000, 0x2000, 0x2001, 1]), st.integers(0, 0xFFFF))),
        version=draw(st.sampled_from([4] * 9 + [5])),
        ihl=draw(st.one_of(st.none(), st.none(), st.none(), st.integers(0, 15))),
        total_len=draw(st.one_of(st.none(), st.none(), st.integers(0, 160))),
        header_checksum=draw(st.one_of(st.none(), st.none(), st.just(0))),
    )


@st.composite
def _option(draw: st.DrawFn) -> bytes:
    return draw(
        st.one_of(
            st.just(b"\0"),
            ADDRESSES_V6.map(packet.home_address_option),
            st.tuples(st.integers(0, 255), st.binary(max_size=20)).map(
                lambda option: bytes([option[0], len(option[1])]) + option[1]
            ),
            st.binary(max_size=6),
        )
    )


@st.composite
def _extension(draw: st.DrawFn) -> tuple[int, bytes]:
    kind = draw(st.sampled_from([0, 43, 43, 44, 51, 60, 60, 135]))
    if draw(st.integers(0, 9)) == 0:
        return kind, draw(st.binary(min_size=8, max_size=32))
    if kind == packet.ROUTING:
        segments_left, routing = draw(st.integers(0, 2)), draw(st.sampled_from([2, 2, 2, 0, 4]))
        return kind, packet.routing_header(draw(ADDRESSES_V6), kind=routing, segments_left=segments_left)
    if kind == packet.FRAGMENT:
        offset = draw(st.sampled_from([0, 0, 8, 1480]))
        return kind, packet.fragment_header(offset, more=draw(st.booleans()))
    if kind == packet.AUTHENTICATION:
        return kind, packet.authentication_header(bytes(4 * draw(st.integers(0, 5))))
    return kind, packet.options_header(b"".join(draw(st.lists(_option(), max_size=3))))


@st.composite
def _ipv6(draw: st.DrawFn) -> bytes:
    source, destination = draw(ADDRESSES_V6), draw(ADDRESSES_V6)
    proto, segment = draw(_transport(source, destination))
    return packet.ipv6(
        source,
        destination,
        proto,
        segment,
        extensions=draw(
            st.one_of(st.just([]), st.lists(_extension(), max_size=3), st.lists(_extension(), max_size=10))
        ),
        version=draw(st.sampled_from([6] * 9 + [4])),
        payload_len=draw(st.one_of(st.none(), st.none(), st.integers(0, 160))),
    )


@st.composite
def _mutated(draw: st.DrawFn, frame: bytes) -> bytes:
    """The frame as it is, with a few bytes changed, or cut short."""
    changed = bytearray(frame)
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    length = draw(st.one_of(st.just(len(changed)), st.just(len(changed)), st.integers(0, len(changed))))
    return bytes(changed[:length])


@st.composite
def structured_frames(draw: st.DrawFn) -> bytes:
    """Frames with tags, options, extension headers and fragments; some of them then damaged."""
    datagram = draw(st.one_of(_ipv4(), _ipv6()))
    tags = draw(st.lists(st.tuples(st.sampled_from([0x8100, 0x88A8]), st.integers(0, 0xFFFF)), max_size=3))
    ethertype = draw(st.sampled_from([None] * 9 + [0x0800, 0x86DD, 0x0806, 46]))
    frame = packet.ethernet(datagram, ethertype=ethertype, tags=tags, min_len=draw(st.sampled_from([0, 60])))
    return draw(_mutated(frame))


@pytest.fixture(scope="session")
def frames() -> st.SearchStrategy[bytes]:
    """Structured frames, and noise of any length now and then."""
    return st.one_of(structured_frames(), structured_frames(), structured_frames(), st.binary(max_size=200))
