"""The smallest driver of the card: registers and rings by the steps of spec/programming.md, no NDIS."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from vnic.abi import InterruptKind, Map, RxVerdict
from vnic.device import Device
from vnic.gen.descriptors import TxCompletion
from vnic.gen.enums import BlockType, TxStatus
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.testbench.frames import MAC, plain_frame
from vnic.testbench.pair import UNTOUCHED, Pair, Received, RigError

__all__ = [
    "BAR0_ADDRESS",
    "MAC",
    "MESSAGE_ADDRESS",
    "MESSAGE_DATA",
    "UNTOUCHED",
    "Pair",
    "Received",
    "Rig",
    "RigError",
    "plain_frame",
]

BAR0_ADDRESS = 0xC000_0000
BAR2_ADDRESS = 0xC010_0000
MESSAGE_ADDRESS = 0xFEE0_0000
MESSAGE_DATA = 0x40


class Rig:
    """A card, 32 MiB of guest memory at the same bus addresses, and the driver. Up and receiving when made.

    `config` is of DeviceConfig; `pairs` are started; `posted` receive descriptors are handed over on each.
    """

    def __init__(
        self,
        *,
        pairs: int = 1,
        vectors: int | None = None,
        rx_count: int = 64,
        tx_count: int = 256,
        cq_count: int = 256,
        buf_len: int = 2048,
        hdr_len: int = 256,
        posted: int | None = None,
        level: InterruptKind = InterruptKind.MSIX,
        interval_ns: int = 0,
        auto_mask: bool = False,
        split: bool = False,
        manual: bool = False,
        mbps: int = 10_000,
        **config: Any,
    ) -> None:
        self.rx_count, self.tx_count, self.cq_count = rx_count, tx_count, cq_count
        self.buf_len, self.hdr_len = buf_len, hdr_len
        self.vectors = vectors or pairs + 1
        self.level, self.interval_ns, self.auto_mask, self.split = level, interval_ns, auto_mask, split
        settings: dict[str, Any] = {"queue_pairs": pairs, "vectors": self.vectors, "mac": MAC} | config
        self.device = Device(manual=manual, **settings)
        self.memory = GuestMemory(32 << 20)
        self.device.map(self.memory.base, self.memory.view, Map.READ | Map.WRITE)
        self.device.set_link(mbps)
        self._staging: GuestBuffer = self.memory.alloc(4 << 20, align=64)
        self._staged = 0
        self.pairs = [Pair(self, number) for number in range(pairs)]
        self.blocks: dict[BlockType, int] = {}
        self.bring_up(rx_count - 1 if posted is None else posted)

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.device.close()

    def __getitem__(self, number: int) -> Pair:
        return self.pairs[number]

    # -- registers -------------------------------------------------------------------------------------------

    def get(self, register: Register, i: int = 0, j: int = 0) -> int:
        """A register of BAR0, in one access of its width."""
        return self.device.read(0, register.at(i, j), register.bytes)

    def put(self, register: Register, value: int, i: int = 0, j: int = 0) -> None:
        """Write a register of BAR0, in one access of its width."""
        self.device.write(0, register.at(i, j), value, register.bytes)

    def field(self, register: Register, name: str, i: int = 0) -> int:
        """A field of a register."""
        return register.field(name).get(self.get(register, i))

    def change(self, register: Register, i: int = 0, **fields: int) -> None:
        """Read, replace fields, write."""
        value = self.get(register, i)
        for name, wanted in fields.items():
            value = register.field(name).put(value, wanted)
        self.put(register, value, i)

    def stat(self, name: str) -> int:
        """A counter of the statistics block."""
        return self.get(BAR0.MAP[f"STAT_{name}"])

    def counters(self, prefix: str) -> dict[str, int]:
        """Counters of the statistics block that are not 0, by what follows the prefix in their names."""
        start = f"STAT_{prefix}"
        found = {r.name.removeprefix(start): self.get(r) for r in BAR0.MAP if r.name.startswith(start)}
        return {name: count for name, count in found.items() if count}

    def configure(self, register: Register, **fields: int) -> None:
        """Write a register of configuration space, fields not given 0."""
        self.device.config_write(register.offset, register.encode(**fields))

    # -- bring-up --------------------------------------------------------------------------------------------

    def bring_up(self, posted: int) -> None:
        """PROG-1 to PROG-11."""
        self.power_up()
        self.discover()
        self.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))  # PROG-3
        self.set_level(self.level)
        self.enable_vectors()
        for pair in self.pairs:
            pair.start()
            if posted:
                pair.post_rx(posted)
        self.put(BAR0.MAC_TX_CTRL, BAR0.MAC_TX_CTRL.encode(ENABLE=1, PAD=1))
        self.put(BAR0.MAC_RX_MAX, min(self.get(BAR0.GLB_MAX_FRAME), 0xFFFF))
        split = int(self.split)
        self.change(BAR0.MAC_RX_CTRL, UNICAST=1, BROADCAST=1, CSUM=1, HEADER_SPLIT=split, ENABLE=1)

    def power_up(self) -> None:
        """PROG-1."""
        self.configure(CONFIG.PM_CTRL, STATE=0)
        for bar, address in ((0, BAR0_ADDRESS), (2, BAR2_ADDRESS)):
            self.device.config_write(CONFIG.BAR.at(bar), address)
            self.device.config_write(CONFIG.BAR.at(bar + 1), 0)
        self.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)

    def discover(self) -> None:
        """PROG-2."""
        self.blocks.clear()
        offset = 0
        while True:
            kind, version, following, _ = (self.device.read(0, offset + 4 * n) for n in range(4))
            if kind == 0xFFFF_FFFF:
                raise RigError("no card")
            if kind in BlockType.__members__.values() and version >= 1:
                self.blocks[BlockType(kind)] = offset
            if following <= offset:
                return
            offset = following

    def set_level(self, level: InterruptKind) -> None:
        """PROG-6: one message a vector, data MESSAGE_DATA + vector."""
        self.level = level
        is_msix, is_msi = level == InterruptKind.MSIX, level == InterruptKind.MSI
        for vector in range(self.vectors if is_msix else 0):
            for register, value in (
                (MSIX_TABLE.ENTRY_ADDR_LO, MESSAGE_ADDRESS),
                (MSIX_TABLE.ENTRY_ADDR_HI, 0),
                (MSIX_TABLE.ENTRY_DATA, MESSAGE_DATA + vector),
                (MSIX_TABLE.ENTRY_CTRL, 0),
            ):
                self.device.write(2, register.at(vector), value)
        if is_msi:
            self.configure(CONFIG.MSI_ADDR_LO, ADDR=MESSAGE_ADDRESS >> 2)
            self.configure(CONFIG.MSI_DATA, DATA=MESSAGE_DATA)
        self.configure(CONFIG.MSI_CTRL, ENABLE=int(is_msi), GRANTED=5 if is_msi else 0)
        self.configure(CONFIG.MSIX_CTRL, ENABLE=int(is_msix))

    def enable_vectors(self) -> None:
        """PROG-7; the last vector is the one of events."""
        for vector in range(self.vectors):
            self.put(BAR0.VEC_INTERVAL, self.interval_ns, vector)
            control = BAR0.VEC_CTRL.encode(ENABLE=1, AUTO_MASK=int(self.auto_mask))
            self.put(BAR0.VEC_CTRL, control, vector)
        self.put(BAR0.GLB_EVENT_VECTOR, self.vectors - 1)
        self.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        self.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.mask())
        self.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))

    # -- traffic ---------------------------------------------------------------------------------------------

    def inject(self, frame: bytes) -> RxVerdict:
        """A frame arrives from the link."""
        return self.device.receive(frame)

    def receive(self, frame: bytes) -> list[Received]:
        """A frame arrives; what came out on any pair."""
        self.inject(frame)
        return [received for pair in self.pairs for received in pair.take()]

    def sent(self) -> list[bytes]:
        """What the card put on the link since the last call."""
        return [frame.data for frame in self.device.frames()]

    def transmit(self, frame: bytes, **options: Any) -> tuple[list[bytes], TxCompletion]:
        """Send on pair 0; the frames on the link and the completion."""
        self.pairs[0].send(frame, **options)
        (report,) = self.pairs[0].reports()
        return self.sent(), report

    def assert_refused(self, descriptors: Sequence[bytes], status: TxStatus) -> None:
        """These descriptors on pair 0 are one frame that ends so: reported, counted, nothing on the link."""
        pair = self.pairs[0]
        first = pair.tx_tail
        pair.send_raw(descriptors)
        (report,) = pair.reports()
        expected = TxCompletion(
            head=pair.tx_tail, index=first, status=status, time=self.device.now_ns, type=2, gen=report.gen
        )
        assert report == expected
        assert self.counters("TX_DROP_") == {status.name: 1}
        assert self.sent() == []
        assert self.transmit(plain_frame(number=1))[0] == [plain_frame(number=1)]

    # -- memory ----------------------------------------------------------------------------------------------

    def stage(self, data: bytes) -> int:
        """Put bytes into transmit memory; their bus address. The memory comes around after 4 MiB."""
        if self._staged + len(data) > len(self._staging):
            self._staged = 0
        address = self._staging.address + self._staged
        self.memory.write(address, data)
        self._staged += len(data)
        return address

    def peek(self, address: int, length: int) -> bytes:
        """Bytes at a bus address; of memory that is not there, none."""
        if self.memory.base <= address < self.memory.base + self.memory.size:
            return self.memory.read(address, length)
        return b""
