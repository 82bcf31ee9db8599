"""A driver and all that NDIS, a protocol and a peer may do to it, in any order that is legal."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vnic.abi import RxVerdict
from vnic.errors import ArgumentError
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.driver_machine import DriverMachine
from vnic.fuzz.oid_payload import QUERIES, SETS, payload
from vnic.fuzz.scene import Broken, Overrun, Scene, act
from vnic.host.cpu import Level
from vnic.ndis.attributes import HaltAction
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.oob import LargeSend, LargeSendType, TransmitChecksum, Vlan
from vnic.ndis.send_path import offload_faults
from vnic.ndis.states import AdapterState, BindingState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.driver import REFERENCE, load_driver
from vnic.testbench.frames import MAC, large_send, plain_frame, tcp_frame, udp_frame

__all__ = ["DriverOptions", "DriverScene"]

_ROOM = 1 << 20
_KEPT_MAX = 64
#: Long enough for three checks for hang, each 2 s apart.
_PATIENCE_NS = 9_000_000_000
_FINAL = (NDIS_STATUS.PENDING,)


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """How the machine is made; JSON's types only. seed: 0 is no race between processors."""

    driver: str = REFERENCE
    seed: int = 0
    interrupt: str = "msix"
    keywords: dict[str, int] = field(default_factory=dict)
    unbounded: bool = True

    @classmethod
    def of(cls, options: dict[str, Any]) -> DriverOptions:
        """Of a script; ArgumentError."""
        try:
            made = cls(**options)
        except TypeError as error:
            raise ArgumentError(f"options of a driver's scene: {error}") from None
        if made.interrupt not in ("msix", "msi", "line"):
            raise ArgumentError(f"interrupt {made.interrupt!r}: msix, msi or line")
        return made


@cache
def frame(number: int) -> bytes:
    """One of a few frames, told apart by their number: sizes, protocols, addresses, tags."""
    kind, size = number % 8, (14, 60, 61, 128, 700, 1500, 1514, 300)[number // 8 % 8]
    group = bytes.fromhex("01005e000001")
    if kind == 0:
        return plain_frame(size, number)
    if kind in (1, 2):
        return plain_frame(size, number, to=(b"\xff" * 6, group)[kind - 1])
    version = 6 if kind in (4, 6) else 4
    tags = ((0x8100, number & 0xFFF),) if kind == 7 else ()
    make = udp_frame if kind in (5, 6) else tcp_frame
    made = make(bytes(min(size, 1400)), version=version, ports=(40000 + number, 80), tags=tags, to=MAC)
    return made[:1514]


@cache
def _segment(version: int, number: int) -> bytes:
    return tcp_frame(bytes(100), version=version, ports=(number, 80))


@cache
def _large(version: int) -> tuple[bytes, int]:
    """A packet to be segmented, and where its TCP header is."""
    packet, context, _ = large_send(bytes(4000), 1000, version)
    return packet, int(context["l4_offset"])


class DriverScene(Scene):
    """A machine whose driver is under test; the card is honest here. Acts come at PASSIVE_LEVEL."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = DriverOptions.of(options)
        self.machine = self.make_machine()
        self.is_gone = False
        self.cancel_id = 0

    def make_machine(self, **more: Any) -> DriverMachine:
        """The machine that the options describe; `more` is DriverMachine's."""
        return DriverMachine(
            load_driver(self.options.driver),
            seed=self.options.seed or None,
            interrupt=self.options.interrupt,
            keywords=dict(self.options.keywords),
            **more,
        )

    # -- where it stands -------------------------------------------------------------------------------------

    @property
    def state(self) -> AdapterState:
        """The adapter's."""
        return self.machine.adapter.state

    @property
    def is_up(self) -> bool:
        """Whether a driver is there to be asked."""
        return self.state.takes_oids and bool(self.machine.protocol.bindings)

    @property
    def is_d0(self) -> bool:
        """Whether the adapter is at full power."""
        return self.machine.adapter.power.state is DevicePowerState.D0

    @property
    def may_send(self) -> bool:
        """Whether a protocol may send."""
        bindings = self.machine.adapter.bindings
        is_running = any(each.state is BindingState.RUNNING for each in bindings)
        return self.is_up and is_running and self.machine.memory.free_bytes > _ROOM

    @property
    def situation(self) -> str:
        """State, power, and whether the card is there."""
        power = "" if self.is_d0 else " in low power"
        return f"{self.state.value}{power}{' removed' if self.is_gone else ''}"

    # -- life ------------------------------------------------------------------------------------------------

    @act(40, when=lambda s: s.state is AdapterState.HALTED and not s.is_gone)
    def initialize(self) -> None:
        """MiniportInitializeEx, and the protocol binds."""
        adapter = self.machine.adapter
        status = adapter.initialize()
        self.reached.add(f"MiniportInitializeEx: {status.name}")
        if status == NDIS_STATUS.SUCCESS and not adapter.bindings:
            adapter.bind(self.machine.protocol)

    @act(30, when=lambda s: s.state is AdapterState.PAUSED and s.is_d0)
    def restart(self) -> None:
        """MiniportRestart."""
        status = self.machine.adapter.restart()
        self.reached.add(f"MiniportRestart: {status.name}")

    @act(2, when=lambda s: s.state is AdapterState.RUNNING)
    def pause(self) -> None:
        """MiniportPause, to its end."""
        self.machine.adapter.pause()

    @act(1, when=lambda s: s.state in (AdapterState.PAUSED, AdapterState.RUNNING))
    def halt(self) -> None:
        """Pause, unbind, MiniportHaltEx."""
        self.machine.adapter.halt()

    @act(2, when=lambda s: s.state.takes_oids)
    def reset(self) -> None:
        """MiniportResetEx."""
        self.machine.adapter.reset()

    @act(3, when=lambda s: s.state.takes_oids)
    def check_for_hang(self) -> None:
        """MiniportCheckForHangEx."""
        if self.machine.adapter.check_for_hang():
            self.reached.add("a hang was found")

    @act(1, when=lambda s: s.is_up and s.is_d0 and not s.is_gone)
    def sleep(self) -> None:
        """OID_PNP_SET_POWER: D3."""
        self.machine.adapter.set_power(DevicePowerState.D3)

    @act(20, when=lambda s: not s.is_d0 and s.state.takes_oids and not s.is_gone)
    def wake(self) -> None:
        """OID_PNP_SET_POWER: D0."""
        status = self.machine.adapter.set_power(DevicePowerState.D0)
        self.reached.add(f"D0: {status.name}")

    @act(1, when=lambda s: s.state in (AdapterState.PAUSED, AdapterState.RUNNING))
    def remove(self) -> None:
        """Surprise removal: the card is pulled, NDIS says so, and halts."""
        self.machine.device.remove()
        self.is_gone = True
        self.machine.adapter.surprise_remove()

    @act(40, when=lambda s: s.is_gone)
    def insert(self) -> None:
        """The card is back, as after a power cycle; a driver that was not told of the removal is now."""
        if self.state.takes_oids:
            self.machine.adapter.surprise_remove()
        self.machine.device.insert()
        self.machine.device.set_link(10_000)
        self.machine.system.enable_device()
        self.machine.system.disable_device()
        self.is_gone = False

    # -- traffic ---------------------------------------------------------------------------------------------

    @act(12, when=lambda s: s.may_send, number=Range(0, 63), count=Range(1, 3), pieces=Range(0, 6))
    def send(self, number: int, count: int, pieces: int) -> None:
        """One NBL of a few packets, each in a few pieces."""
        self.cancel_id += 1
        packets = [frame(number + each) for each in range(count)]
        self._submit(packets, cancel_id=self.cancel_id, pieces=tuple(range(1, pieces + 1)))

    @act(4, when=lambda s: s.may_send, count=Range(1, 40))
    def send_many(self, count: int) -> None:
        """A chain of NBLs: more than a ring holds."""
        self.machine.protocol.send_chain([frame(each) for each in range(count)])

    @act(
        4,
        when=lambda s: s.may_send,
        kind=Range(0, 5),
        mss=OneOf(1000, 536, 64, 1, 1460, 0xFFFF),
        number=Range(0, 63),
    )
    def send_offloaded(self, kind: int, mss: int, number: int) -> None:
        """Checksums, large sends, tags, where the configuration in force has them."""
        version = 6 if kind & 1 else 4
        oob: dict[str, Any]
        if kind < 2:
            packet = _segment(version, number)
            checksum = TransmitChecksum(
                version == 4, version == 6, tcp=True, tcp_header_offset=34 + 20 * (kind & 1)
            )
            oob = {"checksum": checksum}
        elif kind < 4:
            packet, offset = _large(version)
            oob = {"large_send": LargeSend(mss, offset, LargeSendType.V2, version == 6)}
        else:
            packet, oob = frame(number), {"vlan": Vlan(number & 7, False, number)}
        self._submit([packet], **oob)

    def _submit(self, packets: list[bytes], **oob: Any) -> None:
        """Send what the configuration in force allows."""
        protocol = self.machine.protocol
        nbl, binding = protocol.make_nbl(packets, **oob)
        config = self.machine.adapter.sends.offload
        is_legal = config is None or not offload_faults(nbl, config)
        protocol.free_injected([nbl])
        if is_legal and binding in protocol.bindings:
            protocol.send(*packets, **oob)

    @act(2, when=lambda s: s.is_up and s.machine.memory.free_bytes > _ROOM, number=Range(0, 63))
    def inject(self, number: int) -> None:
        """A send from a filter driver, which also comes while the miniport is paused."""
        nbl, _ = self.machine.protocol.make_nbl([frame(number)])
        self.machine.inject(nbl)

    @act(2, when=lambda s: s.may_send, back=Range(0, 3))
    def cancel(self, back: int) -> None:
        """NdisCancelSendNetBufferLists for one of the last sends."""
        self.machine.protocol.bindings[0].cancel_send_net_buffer_lists(self.cancel_id - back)

    @act(12, number=Range(0, 63), count=OneOf(1, 2, 5, 40))
    def arrive(self, number: int, count: int) -> None:
        """Frames from the link."""
        for each in range(count):
            verdict = self.machine.device.receive(frame(number + each))
            self.reached.add(f"frame: {RxVerdict(verdict).name}")

    @act(3)
    def keep(self) -> None:
        """From now on the protocol keeps what it is given, or does so no longer."""
        self.machine.protocol.keeps_nbls = not self.machine.protocol.keeps_nbls

    @act(3, when=lambda s: s.machine.protocol.held, count=Range(1, 40))
    def give_back(self, count: int) -> None:
        """Received NBLs go back."""
        self.machine.protocol.release(count)

    # -- requests --------------------------------------------------------------------------------------------

    @act(4, when=lambda s: s.is_up, oid=Range(0, len(QUERIES) - 1), size=OneOf(1024, 0, 1, 4, 8, 64))
    def ask(self, oid: int, size: int) -> None:
        """An OID query with a buffer of any size."""
        self._request(query(QUERIES[oid], size))

    @act(
        6,
        when=lambda s: s.is_up,
        oid=Range(0, len(SETS) - 1),
        damage=OneOf(0, 0, 0, 1, 2, 3),
        seed=Range(0, 255),
    )
    def tell(self, oid: int, damage: int, seed: int) -> None:
        """An OID set, right or not."""
        self._request(set_(SETS[oid], payload(SETS[oid], damage, seed)))

    def _request(self, request: OidRequest) -> None:
        status = self.machine.protocol.request(request)
        self.reached.add(f"{OID(request.oid).name} {'query' if request.is_query else 'set'}: {status.name}")

    # -- time ------------------------------------------------------------------------------------------------

    @act(10)
    def settle(self) -> None:
        """Run until nothing is under way."""
        self.machine.settle()

    @act(4, ns=OneOf(1_000, 20_000, 1_000_000, 2_000_000_000, 5_000_000_000))
    def wait(self, ns: int) -> None:
        """Time goes on."""
        self.machine.advance(ns)

    @act(2, mbps=OneOf(0, 10_000, 10_000, 1_000), glitch=Edges(4))
    def change_link(self, mbps: int, glitch: int) -> None:
        """The link goes down or up; a few times at once."""
        for _ in range(glitch & 3):
            self.machine.device.set_link(0)
            self.machine.device.set_link(10_000)
        self.machine.device.set_link(mbps)

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """No breach that a driver hid, no guard written, no processor left where it should not be."""
        machine = self.machine
        machine.card.accesses = 0
        self.is_gone |= machine.is_card_gone
        if machine.ndis.violations:
            raise machine.ndis.violations[0]
        machine.memory.check_all()
        processors = machine.processors
        if processors.locks_held or any(
            processors[cpu].level != Level.PASSIVE for cpu in range(len(processors))
        ):
            raise Broken("level", "a spin lock or a raised level is left behind")
        if len(machine.protocol.held) > _KEPT_MAX:
            machine.protocol.release(len(machine.protocol.held) - _KEPT_MAX)
        machine.protocol.statuses.clear()
        machine.protocol.sent.clear()

    def finish(self) -> None:
        """Every NBL is back, halt leaves nothing."""
        machine = self.machine
        self.recover()
        self.prove()
        machine.card.accesses = 0
        if self.state in (AdapterState.PAUSED, AdapterState.RUNNING):
            machine.adapter.halt(HaltAction.DISABLED)
        if self.state is not AdapterState.HALTED:
            raise Broken("state", f"the adapter is left {self.state.value}")
        machine.ndis.remove_adapter(machine.adapter)
        self._look_for_leaks()
        self.abandon()

    def recover(self) -> None:
        """The card is sound from now on, and there is time for three checks for hang."""
        machine = self.machine
        machine.mend()
        machine.card.reform()
        machine.card.accesses = 0
        if self.is_gone and self.state.takes_oids:
            machine.adapter.surprise_remove()
        machine.settle()
        machine.advance(_PATIENCE_NS)
        machine.protocol.release()
        machine.settle()

    def prove(self) -> None:
        """What works on a card that is sound again; Broken."""

    def _look_for_leaks(self) -> None:
        machine = self.machine
        if machine.protocol.sends_outstanding:
            raise Broken("send-lost", f"{machine.protocol.sends_outstanding} sends never came back")
        if len(machine.injector.completed) != machine.injected:
            lost = machine.injected - len(machine.injector.completed)
            raise Broken("send-lost", f"{lost} sends of a filter never came back")
        machine.free_injected()
        machine.system.assert_no_leaks()
        machine.memory.assert_no_leaks()
        if machine.ndis.violations:
            raise machine.ndis.violations[0]

    def abandon(self) -> None:
        """Pull the plug."""
        self.machine.abandon()


__all__ += ["Overrun", "frame"]
