"""Who transfers data over TCP: our stack and engine, lwIP twice, smoltcp, and the Linux kernel."""

from __future__ import annotations

import os
from pathlib import Path

from .core_sources import CARD_ROOMS, CORE_FLAGS, CSRC, STACK_ROOMS, sources_of
from .harness import Figures, MissingError
from .program import ProgramContender
from .workshop import HERE, Workshop

PEERS = HERE / "peers"
TUNED = PEERS / "lwip_tuned"
LWIP_PROGRAM = [PEERS / "lwip_path.c", PEERS / "lwip_end.c"]
SOURCE_VARIABLE = "LWIP_SOURCE"


def our_stack(kind: str) -> ProgramContender:
    """Two stacks of ours, back to back."""
    own = [HERE / "stack_path.c", HERE / "stack_apps.c", HERE / "stack_pair.c"]
    return ProgramContender(
        f"stack, {kind}", [*own, *sources_of(*STACK_ROOMS)], flags=CORE_FLAGS, arguments=[kind]
    )


def our_engine() -> ProgramContender:
    """Two engines, no stack around them."""
    return ProgramContender(
        "engine alone", [HERE / "engine_path.c", *sources_of("base", "wire", "tcp")], flags=CORE_FLAGS
    )


def our_chimney(kind: str) -> ProgramContender:
    """Offloaded connections: rings, DMA and both ends in one card in loopback, under a C driver."""
    own = [HERE / "chimney_path.c", HERE / "chimney_driver.c", HERE / "card_bus.c"]
    return ProgramContender(
        f"chimney, {kind}", [*own, *sources_of(*CARD_ROOMS)], flags=CORE_FLAGS, arguments=[kind]
    )


def debian_lwip(kind: str) -> ProgramContender:
    """lwIP as the distribution ships it."""
    return ProgramContender(
        f"lwIP, {kind}",
        LWIP_PROGRAM,
        package="lwip",
        debian="liblwip-dev",
        arguments=[kind, "liblwip.so.0"],
    )


class TunedLwip(ProgramContender):
    """lwIP compiled for speed: no locks, static pools, sending by reference, the card's checksum kernel."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"tuned lwIP, {kind}", LWIP_PROGRAM)
        self.kind = kind

    def round(self, effort: float) -> Figures:
        """As the other lwIP, under names of its own."""
        return {name.replace("lwIP", "tuned lwIP", 1): ns for name, ns in super().round(effort).items()}

    def _build(self, shop: Workshop) -> Path:
        tree = Path(os.environ.get(SOURCE_VARIABLE, "")) / "src"
        if not shop.can_compile():
            raise MissingError("no C compiler")
        if SOURCE_VARIABLE not in os.environ or not (tree / "core" / "tcp.c").is_file():
            raise MissingError(f"{SOURCE_VARIABLE} names no source of lwIP 2.1 (Debian: apt-get source lwip)")
        core = [*(tree / "core").glob("*.c"), *(tree / "core" / "ipv4").glob("*.c")]
        port = [tree / "netif" / "ethernet.c", TUNED / "port.c", *(CSRC / "wire").glob("checksum*.c")]
        flags = [f"-I{TUNED}", f"-isystem{tree / 'include'}"]
        library = shop.shared(
            "lwip_tuned", sorted([*core, *port]), ["-march=native", "-w", f"-I{CSRC}", *flags]
        )
        self.arguments = [self.kind, str(library)]
        return shop.program("lwip_tuned_path", LWIP_PROGRAM, flags)


class Smoltcp(ProgramContender):
    """smoltcp: named, so that nobody takes the table for complete."""

    def __init__(self) -> None:
        super().__init__("smoltcp", [])

    def start(self, shop: Workshop) -> None:
        """Say that it is missing."""
        raise MissingError("needs Rust crates from a registry, which this benchmark does without")


def linux(kind: str) -> ProgramContender:
    """The kernel's TCP, in namespaces of its own."""
    return ProgramContender(f"Linux, {kind}", [PEERS / "kernel_path.c"], arguments=[kind])
