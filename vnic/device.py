"""One C card as a Python object: a PCI function with a link and frames."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from vnic._core import ffi, lib
from vnic._kind import Kind
from vnic.abi import Engine, RxVerdict
from vnic.config import DeviceConfig
from vnic.function import UNBOUNDED, BarWindow, Budget, Observation, PciFunction
from vnic.gen.registers import BAR0
from vnic.oplist import OpList

__all__ = ["UNBOUNDED", "BarWindow", "Budget", "Device", "DeviceConfig", "Frame", "FrameSink", "Observation"]

_BATCH = 64
_CARD = Kind("vnic", DeviceConfig, BAR0.MAP, lib.vnic_access_to_card)


class Frame(NamedTuple):
    """A frame that the card sent, and the transmit queue it came from."""

    data: bytes
    queue: int


class FrameSink(Protocol):
    """The link as the card sees it: the end of a wire, a TAP, a list in a test."""

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame that was sent."""


class Device(PciFunction[DeviceConfig]):
    """The card. Its own read8 to write64 are those of BAR0; those of other BARs are in window().

    In auto mode (the default) every input is followed by running to rest and by handing interrupts and frames
    to who is connected; what nobody is connected for waits to be fetched. In manual mode nothing happens but
    what is called. An exception of an observer or answer is raised by the call that caused it.
    """

    def __init__(
        self, config: DeviceConfig | None = None, *, manual: bool = False, **parameters: Any
    ) -> None:
        """`parameters` are those of DeviceConfig, where no `config` is given."""
        super().__init__(_CARD, config, manual, parameters)
        self._frame_sink: FrameSink | None = None
        self._frames = ffi.new("struct vnic_frame[]", _BATCH)

    # -- registers -------------------------------------------------------------------------------------------

    def batch(self, ops: OpList) -> int:
        """Run a list of operations in one call; how many ran. In auto mode the card then comes to rest."""
        if ops.native is None:
            ops.native = ffi.from_buffer("struct vnic_op[]", ops.buffer)
        data = ffi.from_buffer("uint8_t[]", ops.data) if ops.data else ffi.NULL
        count = lib.vnic_batch(self._enter(), ops.native, ops.count, data, len(ops.data))
        self._after()
        return count

    # -- the link --------------------------------------------------------------------------------------------

    def set_link(self, mbps: int) -> None:
        """Link up with a speed, or down with 0."""
        lib.vnic_set_link(self._enter(), mbps)
        self._after()

    def receive(self, frame: bytes | bytearray | memoryview) -> RxVerdict:
        """A frame arrives, without FCS."""
        verdict = lib.vnic_receive(self._enter(), ffi.from_buffer("uint8_t[]", frame), len(frame))
        self._after()
        return RxVerdict(verdict)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives at a time; with link_changed() this makes the device a port of a link."""
        self.advance(max(now_ns, self.now_ns))
        self.receive(frame)

    def link_changed(self, up: bool, now_ns: int, mbps: int = 10_000) -> None:
        """The link that the card is plugged into went up or down."""
        self.advance(max(now_ns, self.now_ns))
        self.set_link(mbps if up else 0)

    def connect_link(self, sink: FrameSink | None) -> None:
        """Frames that are sent go to `sink` from now on; None: they wait for frames()."""
        self._enter()
        self._frame_sink = sink
        self._settle()

    def frames(self) -> list[Frame]:
        """Take the frames that wait."""
        self._enter()
        taken: list[Frame] = []
        while batch := self._take_frames():
            taken += batch
        self._settle()
        return taken

    # -- work ------------------------------------------------------------------------------------------------

    @property
    def runnable(self) -> list[Engine]:
        """Engines that could take a step."""
        return [Engine(part) for part in super().runnable]

    # -- what follows an input -------------------------------------------------------------------------------

    def _hand_on(self) -> bool:
        """Give interrupts and frames to who is connected; whether there were any."""
        return self._hand_on_interrupts() | self._hand_on_frames()

    def _hand_on_frames(self) -> bool:
        sink = self._frame_sink
        if sink is None or self.is_closed:
            return False
        now_ns = self._calls.now(self._access.function)
        batch = self._take_frames()
        for frame in batch:
            sink.transmit(frame.data, now_ns)
        return bool(batch)

    def _take_frames(self) -> list[Frame]:
        """Up to 64 frames, copied out so that the card's buffer is free before anybody else runs."""
        card: Any = self._access.function
        count = lib.vnic_frames(card, self._frames, _BATCH)
        taken = [Frame(bytes(ffi.buffer(f.data, f.len)), f.queue) for f in self._frames[0:count]]
        lib.vnic_frames_release(card, count)
        return taken
