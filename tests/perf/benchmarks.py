"""The benchmarks that exist: who is measured, beside whom, and what we aim for."""

from __future__ import annotations

from .card_access import CardMemoryContender, CardRegisterContender
from .cocotb_peer import CocotbContender
from .copy_benchmarks import copy_benchmarks
from .core_sources import CARD_ROOMS, CORE_FLAGS, sources_of
from .fuzz_benchmarks import fuzz_rate, hypothesis_rate
from .harness import Benchmark, Goal, InterleavedBenchmark
from .kernels import KernelBenchmark
from .program import ProgramContender
from .python_access import CffiContender, CtypesContender, ExtensionContender
from .qtest import QtestContender
from .tcp_benchmarks import tcp_benchmarks
from .trace_benchmarks import trace_benchmarks
from .workshop import HERE

PEERS = HERE / "peers"


def virtio_user(ring: str, frame_bytes: int) -> tuple[str, ...]:
    """Both directions of a virtqueue layout: a goal is held against the faster one."""
    return tuple(
        f"{direction} {ring} {frame_bytes} B"
        for direction in ("virtio_user -> vhost", "vhost -> virtio_user")
    )


def dpdk_path() -> ProgramContender:
    """DPDK's in-process paths."""
    return ProgramContender(
        "DPDK virtio_user, vhost, net_ring",
        [PEERS / "dpdk_path.c"],
        package="libdpdk",
        debian="libdpdk-dev",
        libraries=["-lrte_bus_vdev", "-lrte_net_ring"],
        takes_folder=True,
    )


def card_path() -> ProgramContender:
    """The card under a C driver, compiled as the package compiles it."""
    own = [HERE / name for name in ("vnic_path.c", "card_bus.c", "flow_frames.c", "poll_driver.c")]
    return ProgramContender("card", [*own, *sources_of(*CARD_ROOMS)], flags=CORE_FLAGS)


def floor_path() -> ProgramContender:
    """What no device can go below: the card's kernels in a bare loop."""
    sources = [PEERS / "floor.c", HERE / "flow_frames.c", *sources_of("wire")]
    return ProgramContender("floor", sources, flags=CORE_FLAGS)


def packet_path() -> InterleavedBenchmark:
    """A frame from transmit ring to receive ring."""
    return InterleavedBenchmark(
        "packet-path",
        "one frame, transmit ring to receive ring, bursts of 32, both sides' CPU time",
        [card_path(), dpdk_path(), floor_path()],
        [
            # split is the layout that virtio_user has unless asked for another
            Goal("64 B frame", "card 64 B", virtio_user("split", 64), at_least=4),
            Goal("64 B frame", "card 64 B", virtio_user("packed", 64)),
            Goal("64 B frame", "card 64 B", ("floor with packet buffer 64 B",)),
            Goal("1514 B frame", "card 1514 B", virtio_user("split", 1514), at_least=1.4),
            Goal("1514 B frame", "card 1514 B", virtio_user("packed", 1514)),
            Goal("1514 B frame", "card 1514 B", ("floor with packet buffer 1514 B",)),
        ],
    )


def register_read() -> InterleavedBenchmark:
    """One register from Python, and many at once."""
    one, many = "card read32", "card batch of 512"
    return InterleavedBenchmark(
        "register-read",
        "a register read from Python",
        [
            CardRegisterContender(),
            QtestContender(("readl", "readl pipelined")),
            CtypesContender(),
            CffiContender(),
            ExtensionContender(),
            CocotbContender(),
        ],
        [
            Goal("one read", one, ("qtest readl",), at_least=500),
            Goal("one read", one, ("C extension",), at_least=1 / 1.5),
            Goal("one read", one, ("cffi API mode",)),
            Goal("one read", one, ("ctypes",)),
            Goal("one read", one, ("cocotb bus read",)),
            Goal("one op of a batch", many, ("qtest readl pipelined",), at_most=3),
        ],
    )


def guest_memory() -> InterleavedBenchmark:
    """A block of guest memory from Python."""
    return InterleavedBenchmark(
        "guest-memory",
        "1 KiB into and out of guest memory from Python",
        [
            CardMemoryContender(),
            QtestContender(("write 1 KiB", "b64write 1 KiB", "read 1 KiB", "b64read 1 KiB")),
        ],
        [
            Goal(
                "write 1 KiB", "card write 1 KiB", ("qtest write 1 KiB", "qtest b64write 1 KiB"), at_least=300
            ),
            Goal("read 1 KiB", "card read 1 KiB", ("qtest read 1 KiB", "qtest b64read 1 KiB"), at_least=300),
        ],
    )


def toeplitz() -> KernelBenchmark:
    """The RSS hash."""
    return KernelBenchmark(
        "toeplitz",
        "one Toeplitz hash of 12 or 36 bytes",
        HERE / "toeplitz_bench.c",
        {
            ("toeplitz_bulk_12", "rte_thash_gfni_bulk"): 2.2,
            ("toeplitz_bulk_36", "rte_thash_gfni_bulk"): 2.0,
            ("toeplitz_single_12", "rte_thash_gfni"): 1.4,
            ("toeplitz_portable_12", "rte_softrss_be"): 11,
            ("toeplitz_portable_36", "rte_softrss_be"): 11,
        },
        sources_of("wire"),
        CORE_FLAGS,
        package="libdpdk",
        define="WITH_DPDK",
        debian="libdpdk-dev",
    )


def checksum_copy() -> KernelBenchmark:
    """The Internet checksum taken while copying."""
    return KernelBenchmark(
        "checksum-copy",
        "a copy with its Internet checksum",
        HERE / "checksum_bench.c",
        {
            ("checksum_copy_1500", "memcpy then AVX-512 VNNI"): 1.75,
            ("checksum_copy_1500", "memcpy then adc"): 4,
        },
        sources_of("wire"),
        CORE_FLAGS,
    )


def all_benchmarks() -> list[Benchmark]:
    """Every benchmark, in the order in which they run."""
    return [
        toeplitz(),
        checksum_copy(),
        register_read(),
        guest_memory(),
        packet_path(),
        *copy_benchmarks(),
        *tcp_benchmarks(),
        *trace_benchmarks(),
        fuzz_rate(),
        hypothesis_rate(),
    ]
