"""The hostile card against a driver's chimney: completions, events and states of objects that are not so."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.driver_machine import QUEUES
from vnic.fuzz.hostile_function import Twist
from vnic.fuzz.offload_scene import OffloadScene
from vnic.fuzz.scene import act
from vnic.gen.descriptors import (
    ChmAdminCompletion,
    ChmCompletion,
    ChmData,
    ChmEventEntry,
    ChmFence,
    ChmNeighbour,
    ChmPath,
    ChmTcp,
)
from vnic.gen.enums import ChmEvent, ChmReason, ChmStatus, CompletionType
from vnic.gen.registers import BAR0

__all__ = ["HostileChimneyScene"]

_KIND_BYTE = 24
_ENTRIES: dict[int, type[Any]] = {
    CompletionType.CHM_ADMIN: ChmAdminCompletion,
    CompletionType.CHM_SEND: ChmCompletion,
    CompletionType.CHM_RECEIVE: ChmCompletion,
    CompletionType.CHM_DISCONNECT: ChmCompletion,
    CompletionType.CHM_FORWARD: ChmCompletion,
    CompletionType.CHM_DATA: ChmData,
    CompletionType.CHM_EVENT: ChmEventEntry,
    CompletionType.CHM_FENCE: ChmFence,
}
#: What a driver is not bound by: each value of these is one that hardware could write.
_LOOSE: dict[int, tuple[str, ...]] = {
    CompletionType.CHM_ADMIN: ("status",),
    CompletionType.CHM_SEND: ("status",),
    CompletionType.CHM_RECEIVE: ("status", "pushed"),
    CompletionType.CHM_DISCONNECT: ("status",),
    CompletionType.CHM_FORWARD: ("status",),
    CompletionType.CHM_DATA: ("push",),
    CompletionType.CHM_EVENT: ("reason",),
}
_ENUMS: dict[str, tuple[int, ...]] = {
    "status": tuple(ChmStatus),
    "reason": tuple(ChmReason),
    "event": tuple(ChmEvent),
    "type": tuple(CompletionType),
}
_IMAGES = {each.SIZE: each for each in (ChmNeighbour, ChmPath, ChmTcp)}
#: Members of a connection's image that are estimates, timers and counts: no sum has to come out with them.
_ESTIMATES = (
    *("cwnd", "ss_thresh", "srtt", "rtt_var", "ts_recent", "ts_recent_age", "ts_time", "total_rt", "d_wnd"),
    *("keep_alive_probe_count", "keep_alive_timeout_delta", "retransmit_count", "retransmit_timeout_delta"),
    *("dup_ack_count", "snd_wnd_probe_count", "max_snd_wnd", "send_wl1", "snd_wnd"),
)
_REGISTERS = tuple(each for each in BAR0.MAP if each.name.startswith(("CHM_", "CHQ_")))
_WIDTHS = (64, 48, 32, 16, 12, 8, 4, 2, 1)


def _put(made: Any, name: str, value: int) -> bool:
    """Set a member; False, and as before, when its field has no room for that."""
    before = getattr(made, name)
    setattr(made, name, value)
    try:
        made.pack()
    except ValueError:
        setattr(made, name, before)
        return False
    return True


def _change(made: Any, name: str, rng: random.Random) -> None:
    """Another value: a neighbour of the true one, an edge, one of an enumeration, or any."""
    truth = getattr(made, name)
    known = _ENUMS.get(name, (truth + 1, truth - 1, truth ^ 1, 0))
    if rng.randrange(3) and _put(made, name, max(rng.choice(known), 0)):
        return
    for bits in _WIDTHS:
        if _put(made, name, rng.choice((rng.getrandbits(bits), (1 << bits) - 1))):
            return


class HostileChimneyScene(OffloadScene):
    """Bounded: statuses, reasons and estimates that hardware could tell, of what there is. Else: anything."""

    # -- what hardware could do ------------------------------------------------------------------------------

    def altered(self, entry: bytes, rng: random.Random) -> bytes:
        """What an altered completion becomes, those of the chimney too."""
        kind = entry[_KIND_BYTE] & 0xF
        if kind not in _ENTRIES:
            return super().altered(entry, rng)
        made = _ENTRIES[kind].unpack(entry)
        is_unbounded = self.options.unbounded
        names = tuple(each.name for each in fields(made)) if is_unbounded else _LOOSE.get(kind, ())
        for _ in range(rng.randint(1, 2) if names else 0):
            name = rng.choice(names)
            if is_unbounded:
                _change(made, name, rng)
            else:
                _put(made, name, rng.choice(_ENUMS.get(name, (0, 1))))
        self.reached.add(f"altered: {CompletionType(kind).name}")
        return bytes(made.pack())

    @act(5, seed=Range(0, 65535), times=OneOf(1, 2, 5))
    def garble(self, seed: int, times: int) -> None:
        """The states of objects that a query or a terminate asks for are written otherwise."""
        rng = random.Random(seed)
        self.machine.card.garble = lambda image: self._garbled(image, rng)
        self.machine.card.garbles_left = times

    def _garbled(self, image: bytes, rng: random.Random) -> bytes:
        kind = _IMAGES.get(len(image))
        if kind is None:
            return image
        made: Any = kind.unpack(image)
        self.reached.add(f"garbled: {kind.__name__}")
        if not self.options.unbounded:
            if kind is ChmTcp:
                _put(made, rng.choice(_ESTIMATES), rng.getrandbits(8))
            return bytes(made.pack())
        if not rng.randrange(4):
            return rng.choice((rng.randbytes(len(image)), bytes(len(image)), b"\xff" * len(image)))
        names = [each.name for each in fields(made)]
        for _ in range(rng.randint(1, 4)):
            _change(made, rng.choice(names), rng)
        return bytes(made.pack())

    @act(
        6,
        register=Range(0, len(_REGISTERS) - 1),
        element=Range(0, QUEUES),
        value=Edges(64),
        times=OneOf(1, 1, 2, 5, 50),
    )
    def lie_of_chimney(self, register: int, element: int, value: int, times: int) -> None:
        """The next reads of a register of the chimney have another value in one field."""
        found = _REGISTERS[register]
        part = found.fields[value % len(found.fields)]
        self._tell_lie(found, element, Twist.XOR, value % (part.max + 1) << part.lsb, times)

    # -- what it could not -----------------------------------------------------------------------------------

    @act(
        10,
        when=lambda s: s.options.unbounded,
        queue=Range(0, QUEUES - 1),
        kind=OneOf(*sorted(_ENTRIES)),
        seed=Range(0, 65535),
        rings=OneOf(1, 1, 0),
    )
    def forge_report(self, queue: int, kind: int, seed: int, rings: int) -> None:
        """An entry about an object that there is or was, of something that never happened."""
        rng = random.Random(seed)
        made = _ENTRIES[kind](type=kind)
        for each in fields(made):
            if each.name == "handle":
                made.handle = self._handle(rng)
            elif each.name not in ("type", "gen"):
                _put(made, each.name, rng.choice((0, 1, 1, 2, rng.randrange(300), rng.getrandbits(32))))
                if each.name in _ENUMS:
                    _put(made, each.name, rng.choice(_ENUMS[each.name]))
        self._slip_in(queue, bytes(made.pack()), rings)
        self.reached.add(f"forged: {CompletionType(kind).name}")

    @act(
        4,
        when=lambda s: s.options.unbounded and s.machine.card.seen,
        queue=Range(0, QUEUES - 1),
        back=Range(0, 20),
        rings=OneOf(1, 1, 0),
    )
    def repeat(self, queue: int, back: int, rings: int) -> None:
        """A completion comes again, perhaps on another queue."""
        seen = self.machine.card.seen
        entry = seen[-1 - back % len(seen)]
        self._slip_in(queue, entry, rings)
        self.reached.add(f"repeated: {entry[_KIND_BYTE] & 0xF}")

    def _slip_in(self, queue: int, entry: bytes, rings: int) -> None:
        self.machine.card.forge_completion(queue, entry)
        if rings:
            self.interrupt(queue, 1)

    def _handle(self, rng: random.Random) -> int:
        """One that the card gave to an object, for what is forged is to concern somebody; or any."""
        given = [
            ChmAdminCompletion.unpack(entry).handle
            for entry in self.machine.card.seen
            if entry[_KIND_BYTE] & 0xF == CompletionType.CHM_ADMIN
        ]
        return rng.choice([*given, *given, *given, 0, rng.getrandbits(32)])
