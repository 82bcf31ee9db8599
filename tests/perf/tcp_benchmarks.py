"""The TCP benchmarks: full-sized segments, messages, connect and close, memory of an idle connection."""

from __future__ import annotations

from .harness import Benchmark, Goal, InterleavedBenchmark
from .tcp_peers import Smoltcp, TunedLwip, debian_lwip, linux, our_chimney, our_engine, our_stack

# Payload of a full-sized segment: all but lwIP agree on timestamps, which take 12 bytes of it.
PLAIN, STAMPED = 1460, 1448
ONE, MANY, HUGE = "1 connection", "4096 connections", "524288 connections"
LWIP = ("tuned lwIP", "lwIP")


def lwip_named(figure: str) -> tuple[str, ...]:
    """A figure of both lwIPs: a goal is held against the faster one."""
    return tuple(f"{name} {figure}" for name in LWIP)


def segments() -> InterleavedBenchmark:
    """Full-sized segments over one and many connections."""
    ours, veth = f"vnic {ONE}", f"Linux veth {ONE}"
    return InterleavedBenchmark(
        "tcp-segments",
        "a full-sized TCP segment (1514 B frame) with its share of ACKs, checksums on, both ends' CPU time",
        [
            our_stack("data"),
            our_stack("many"),
            our_stack("huge"),
            our_engine(),
            debian_lwip("data"),
            debian_lwip("many"),
            TunedLwip("data"),
            TunedLwip("many"),
            Smoltcp(),
            linux("veth"),
        ],
        [
            Goal(ONE, ours, lwip_named(ONE), at_least=2.5),
            Goal(f"{ONE}, posted buffers", f"{ours}, posted buffers", lwip_named(ONE), at_least=2.5),
            Goal(ONE, ours, ("smoltcp 1 connection",), at_least=1.8),
            Goal(ONE, ours, (veth,), at_least=20),
            Goal(ONE, ours, (f"engine alone {ONE}",)),
            Goal(MANY, f"vnic {MANY}", lwip_named(MANY)),
            Goal(MANY, f"vnic {MANY}", (f"Linux veth {MANY}",)),
            Goal(HUGE, f"vnic {HUGE}", (ours,), at_least=1 / 1.8),
            Goal(HUGE, f"vnic {HUGE}", (f"vnic {MANY}",)),
        ],
        payloads={
            **dict.fromkeys((ours, f"{ours}, posted buffers", f"{ours}, copied to the application"), STAMPED),
            **dict.fromkeys((f"vnic {MANY}", f"vnic {HUGE}", veth, f"Linux veth {MANY}"), STAMPED),
            **dict.fromkeys(lwip_named(ONE) + lwip_named(MANY), PLAIN),
            **dict.fromkeys(lwip_named(f"{ONE}, copied to the application"), PLAIN),
        },
    )


def messages() -> InterleavedBenchmark:
    """Short requests and answers."""
    return InterleavedBenchmark(
        "tcp-messages",
        "a message of 64 B over 4096 connections in turn, requests and answers, CPU time of both ends",
        [our_stack("messages"), debian_lwip("messages"), TunedLwip("messages")],
        [Goal("64 B message", "vnic", LWIP, at_least=300)],
    )


def connects() -> InterleavedBenchmark:
    """Connections that do nothing else than come and go."""
    return InterleavedBenchmark(
        "tcp-connect",
        "connect, accept and orderly close, both ends, TIME-WAIT included; 1e9 / ns are connections a second",
        [our_stack("connects"), debian_lwip("connects"), TunedLwip("connects"), linux("connects")],
        [
            Goal("connect + close", "vnic", LWIP, at_least=2),
            Goal("connect + close", "vnic", ("Linux loopback",), at_least=80),
        ],
    )


def memory() -> InterleavedBenchmark:
    """What an idle connection holds."""
    names = tuple(f"{name} struct tcp_pcb" for name in LWIP)
    return InterleavedBenchmark(
        "tcp-memory",
        "bytes that an idle connection holds at one end",
        [our_stack("memory"), debian_lwip("memory"), TunedLwip("memory")],
        [
            Goal("connection", "vnic struct tcp_connection", names, at_most=256, unit="B"),
            Goal("with its socket", "vnic connection, socket, lookup entry", names),
            Goal("all that it touches", "vnic resident", names),
        ],
        unit="B",
    )


def chimney() -> InterleavedBenchmark:
    """The same segments over offloaded connections."""
    ours = {connections: f"vnic chimney {connections}" for connections in (ONE, MANY, HUGE)}
    posted = f"{ours[ONE]}, posted buffers"
    return InterleavedBenchmark(
        "chimney",
        "a full-sized TCP segment (1514 B frame) with its share of ACKs, both ends offloaded: rings, DMA, "
        "checksums, placing, completion; driver and card",
        [
            our_chimney("data"),
            our_chimney("many"),
            our_chimney("huge"),
            our_stack("data"),
            our_stack("many"),
            debian_lwip("data"),
            debian_lwip("many"),
            TunedLwip("data"),
            TunedLwip("many"),
            linux("veth"),
        ],
        [
            Goal(f"{ONE}, posted buffers", posted, lwip_named(ONE), at_least=2.5),
            Goal(f"{ONE}, receive pool", ours[ONE], lwip_named(ONE), at_least=2.5),
            Goal(ONE, posted, (f"Linux veth {ONE}",), at_least=20),
            Goal(ONE, posted, (f"vnic {ONE}",)),
            Goal(MANY, ours[MANY], lwip_named(MANY)),
            Goal(MANY, ours[MANY], (f"Linux veth {MANY}",)),
            Goal(MANY, ours[MANY], (f"vnic {MANY}",)),
            Goal(HUGE, ours[HUGE], (ours[ONE],), at_least=1 / 1.8),
            Goal(HUGE, ours[HUGE], (ours[MANY],)),
        ],
        payloads={
            **dict.fromkeys((*ours.values(), posted), STAMPED),
            **dict.fromkeys((f"vnic {ONE}", f"vnic {ONE}, posted buffers", f"vnic {MANY}"), STAMPED),
            f"vnic {ONE}, copied to the application": STAMPED,
            **dict.fromkeys((f"Linux veth {ONE}", f"Linux veth {MANY}"), STAMPED),
            **dict.fromkeys(lwip_named(ONE) + lwip_named(MANY), PLAIN),
            **dict.fromkeys(lwip_named(f"{ONE}, copied to the application"), PLAIN),
        },
    )


def chimney_objects() -> InterleavedBenchmark:
    """Initiate and terminate, with 256 k others there."""
    return InterleavedBenchmark(
        "chimney-initiate",
        "initiate and terminate of a connection by the admin ring; 1e9 / ns are connections a second",
        [our_chimney("churn")],
        [Goal("initiate + terminate", "vnic chimney initiate + terminate", at_most=5000)],
    )


def chimney_memory() -> InterleavedBenchmark:
    """What a card costs for each connection; pools of work, blocks and nodes apart."""
    return InterleavedBenchmark(
        "chimney-memory",
        "bytes of card memory a connection, of a card for 512 k",
        [our_chimney("memory")],
        [Goal("idle connection", "vnic chimney connection, lookup included", at_most=512, unit="B")],
        unit="B",
    )


def tcp_benchmarks() -> list[Benchmark]:
    """Every benchmark of TCP."""
    return [
        segments(), messages(), connects(), memory(), chimney(), chimney_objects(), chimney_memory(),
    ]  # fmt: skip
