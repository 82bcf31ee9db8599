"""tshark's analysis of TCP judges captures of our stack: beside the kernel, and beside itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.strangers.kernel_wire import KERNEL, KERNEL_MAC, OURS, KernelWire, OurEnd, OurServer, noise
from vnic.link.capture import CaptureWriter
from vnic.link.impairments import Impairments
from vnic.link.netns import Namespace
from vnic.testbench.network import Network
from vnic.wire.pcapng import Direction

if TYPE_CHECKING:
    from tests.strangers.conftest import Row, Tshark

PORT = 5001
SIZE = 1 << 20
GOOD = "1"
#: What tshark notes when data is sent twice, is missing, or comes at a wrong place. Window updates and full
#: windows are no faults.
FAULTS = (
    "retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "lost_segment",
    "ack_lost_segment", "duplicate_ack", "reused_ports",
)  # fmt: skip
FIELDS = (
    "frame.number", "tcp.len", "tcp.checksum.status", "ip.checksum.status", "_ws.malformed",
    "eth.src", "tcp.checksum",
    *(f"tcp.analysis.{fault}" for fault in FAULTS),
)  # fmt: skip
AS_DATA = ("-d", f"tcp.port=={PORT},data")
#: A round trip so long that no pause of the machine makes a tail loss probe (RFC 8985 7) due.
CALM = Impairments(delay_ns=20_000_000)
versions = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])


def judged(tshark: Tshark, path: Path) -> list[Row]:
    """The TCP segments of a capture as tshark sees them."""
    return tshark(path, FIELDS, "-Y", "tcp", *AS_DATA)


def faults_of(rows: Sequence[Row]) -> Counter[str]:
    """How often tshark found which fault."""
    found = Counter(name for row in rows for name in FAULTS if row[f"tcp.analysis.{name}"])
    found["malformed"] = sum(bool(row["_ws.malformed"]) for row in rows)
    found["tcp checksum"] = sum(row["tcp.checksum.status"] != GOOD and not is_mangled(row) for row in rows)
    found["ip checksum"] = sum(row["ip.checksum.status"] not in ("", GOOD) for row in rows)
    return +found


def is_mangled(row: Row) -> bool:
    """Linux completes a sum of zero as 0xffff, which tshark calls bad (RFC 1624): one segment in 65536."""
    return row["eth.src"] == KERNEL_MAC.hex(":") and row["tcp.checksum"] == "0xffff"


def carried(rows: Sequence[Row]) -> int:
    """Payload bytes of all segments."""
    return sum(int(row["tcp.len"]) for row in rows)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's capture goes."""
    return tmp_path / "tcp.pcapng"


def talk(wire: KernelWire, version: int) -> None:
    """Two connections, one opened by either side, with data both ways."""
    server = OurServer(wire.stack.listen((OURS[version], PORT)), [noise(SIZE, 1)])
    wire.kernel.listen(version, PORT, [noise(SIZE, 2)])
    wire.kernel.connect(version, PORT, noise(SIZE, 3))
    opened = OurEnd(wire.stack.connect((KERNEL[version], PORT)), noise(SIZE, 4))
    wire.wait_for(
        lambda: (
            opened.is_done
            and bool(server.ends)
            and server.ends[0].is_done
            and len(wire.kernel.ends) == 2
            and all(end.is_done for end in wire.kernel.ends)
        )
    )


@versions
def test_nothing_is_wrong_with_a_talk_to_the_kernel(
    namespace: Namespace, tshark: Tshark, path: Path, version: int
) -> None:
    with CaptureWriter(path) as capture, KernelWire(namespace, CALM, capture=capture) as wire:
        talk(wire, version)
    rows = judged(tshark, path)
    assert carried(rows) == 4 * SIZE
    assert faults_of(rows) == {}


def test_tshark_sees_what_a_bad_wire_does(namespace: Namespace, tshark: Tshark, path: Path) -> None:
    cable = Impairments(loss=0.02, corrupt=0.01, delay_ns=1_000_000)
    with CaptureWriter(path) as capture, KernelWire(namespace, cable, capture=capture) as wire:
        talk(wire, 4)
        assert wire.stack.statistics["bad_l4_checksum"] > 0
    found = faults_of(judged(tshark, path))
    assert found["tcp checksum"] > 0
    assert found["retransmission"] + found["fast_retransmission"] + found["out_of_order"] > 0
    assert found["duplicate_ack"] > 0


# ---- beside itself: no kernel, no root ---------------------------------------------------------------------


class Listening:
    """A link's end that records what passes."""

    def __init__(self, transmit: Callable[[bytes, int], None], writer: CaptureWriter) -> None:
        self._transmit, self._writer = transmit, writer

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Record and pass on."""
        self._writer.record(frame, now_ns, direction=Direction.OUTBOUND)
        self._transmit(frame, now_ns)


@versions
def test_nothing_is_wrong_with_a_talk_to_itself(tshark: Tshark, path: Path, version: int) -> None:
    with CaptureWriter(path) as capture, Network() as network:
        address = {4: "10.9.0.{}/24", 6: "fd00:9::{}/64"}[version]
        first, second = (network.station(address.format(number)) for number in (1, 2))
        nature = Impairments(delay_ns=2_000_000, bandwidth_bps=100_000_000)
        wire = network.join(first, second, forth=nature)
        for side, station in enumerate((first, second)):
            station.port.link = Listening(wire.end(side).transmit, capture)
        listener = second.stack.listen((OURS[version], PORT))
        near = first.streams.connect((OURS[version], PORT))
        far = second.streams.accept(listener)
        for sender, receiver, number in ((near, far, 1), (far, near, 2)):
            sender.write_all(noise(SIZE // 4, number))
            sender.finish()
            assert receiver.read_all() == noise(SIZE // 4, number)
        far.wait_closed()
    rows = judged(tshark, path)
    assert carried(rows) == SIZE // 2
    assert faults_of(rows) == {}
