"""The copy engine's benchmarks: bytes a second, and nanoseconds a descriptor, beside memcpy and DPDK."""

from __future__ import annotations

from .core_sources import COPY_ROOMS, CORE_FLAGS, sources_of
from .harness import Benchmark, Goal, InterleavedBenchmark
from .program import ProgramContender
from .workshop import HERE

PEERS = HERE / "peers"
KIB, MIB = 1 << 10, 1 << 20
BANDWIDTH = {
    "64 B": 64,
    "256 B": 256,
    "1024 B": 1024,
    "4 KiB": 4 * KIB,
    "16 KiB": 16 * KIB,
    "64 KiB": 64 * KIB,
    "1 MiB": MIB,
    "4 MiB": 4 * MIB,
}
DESCRIPTOR = {"64 B": 64, "1500 B": 1500, "4 KiB": 4 * KIB}
CONTENDERS = ("engine", "memcpy", "dma_skeleton")


def contenders(kind: str) -> list[ProgramContender]:
    """The engine under a C driver, the C library, and DPDK's software device."""
    load = HERE / "copy_load.c"
    return [
        ProgramContender(
            f"copy engine, {kind}",
            [HERE / "copy_path.c", load, *sources_of(*COPY_ROOMS)],
            flags=CORE_FLAGS,
            arguments=[kind],
        ),
        ProgramContender(f"memcpy, {kind}", [PEERS / "memcpy_path.c", load], arguments=[kind]),
        ProgramContender(
            f"DPDK dma_skeleton, {kind}",
            [PEERS / "dma_skeleton.c", load],
            package="libdpdk",
            debian="libdpdk-dev",
            flags=["-DALLOW_EXPERIMENTAL_API"],
            libraries=["-lrte_bus_vdev"],
            takes_folder=True,
            arguments=[kind],
        ),
    ]


def descriptor() -> InterleavedBenchmark:
    """What a descriptor costs, doorbell to completion."""
    return InterleavedBenchmark(
        "dma-descriptor",
        "one copy, bursts of 32: descriptor written, doorbell, fetch, copy, completion; CPU time of the "
        "caller (dma_skeleton copies on a second processor, whose time is not counted)",
        contenders("descriptor"),
        [
            Goal("64 B", "engine 64 B hot", at_most=21),
            *(
                Goal(size, f"engine {size} hot", (f"dma_skeleton {size} hot",), at_least=1)
                for size in DESCRIPTOR
            ),
            *(Goal(size, f"engine {size} hot", (f"memcpy {size} hot",)) for size in DESCRIPTOR),
        ],
        payloads={f"{name} {size} hot": n for name in CONTENDERS for size, n in DESCRIPTOR.items()},
        rate="GB/s",
    )


def bandwidth_goals(cache: str) -> list[Goal]:
    """memcpy first: it is what a host without the engine would do."""
    return [
        Goal(
            f"{size} {cache}",
            f"engine {size} {cache}",
            (f"memcpy {size} {cache}",),
            at_least=1 if cache == "hot" and n >= 4 * KIB else None,
        )
        for size, n in BANDWIDTH.items()
    ] + [
        Goal(f"{size} {cache}", f"engine {size} {cache}", (f"dma_skeleton {size} {cache}",))
        for size in BANDWIDTH
    ]


def bandwidth() -> InterleavedBenchmark:
    """Bytes a second from small to large, from the caches and from memory."""
    return InterleavedBenchmark(
        "dma-bandwidth",
        "one copy from 64 B to 4 MiB, bursts of 32; hot: the same bytes again, cold: bytes that no "
        "cache holds",
        contenders("bandwidth"),
        [*bandwidth_goals("hot"), *bandwidth_goals("cold")],
        payloads={
            f"{name} {size} {cache}": n
            for name in CONTENDERS
            for size, n in BANDWIDTH.items()
            for cache in ("hot", "cold")
        },
        rate="GB/s",
    )


def copy_benchmarks() -> list[Benchmark]:
    """Both rows."""
    return [descriptor(), bandwidth()]
