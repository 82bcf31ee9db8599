"""An engine that overlaps transfers, and fails: whose error it is, what was written before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0, Chanerr
from vnic.host.bus import PAGE
from vnic.testbench.engine_rig import Channel, EngineRig

_NOWHERE = 0x7000_0000
_HELD = manual("DMA-27", "netdma")


class _Chain(NamedTuple):
    """Three descriptors: a good one, one whose last piece may be held back, and its successor."""

    channel: Channel
    slots: list[int]
    targets: list[int]


def _chain(rig: EngineRig, held: dict[str, Any], successor: dict[str, Any]) -> _Chain:
    channel = rig.channel(1)
    source = rig.memory.put(content(3 * PAGE), align=PAGE)
    targets = [rig.memory.alloc(2 * PAGE, align=PAGE) for _ in range(3)]
    made = [
        CopyDescriptor(**{"size": 64, "src": source, "dst": target} | fields)
        for target, fields in zip(targets, ({}, held, successor), strict=True)
    ]
    return _Chain(channel, channel.post(*made), targets)


def _assert_halted_at(chain: _Chain, which: int, bit: int, what: str) -> None:
    channel, slots, _ = chain
    assert channel.chanerr == bit, f"{what}: CHANERR is {channel.chanerr:#x}, not {bit:#x}"
    assert channel.status == ChanStatus.HALTED, f"{what}: the channel is {channel.status.name}"
    at, last = channel.read(COPY_BAR0.CDAR), channel.last
    assert at == slots[which], f"{what}: CDAR does not name the descriptor at fault"
    assert last == slots[which - 1], f"{what}: CHANSTS does not name the last one that was processed"
    wanted = (ChanStatus.HALTED, last)
    assert channel.completion == wanted, f"{what}: the completion is {channel.completion}"


def _again(chain: _Chain) -> None:
    """The channel works when the error is over."""
    channel = chain.channel
    channel.command("RESET")
    channel.rearm()
    target = channel.post_copy(content(40))
    channel.counted = channel.posted - 1
    channel.start()
    assert channel.driver.memory.get(target, 40) == content(40), "after the error the channel does not work"


#: What may come behind a descriptor: what reads, what reads nothing, and what is wrong itself.
_SUCCESSORS: dict[str, dict[str, Any]] = {
    "a copy": {},
    "a copy of two pages": {"size": 2 * PAGE},
    "a fill": {"op": CopyOp.FILL, "src": 7},
    "NULL": {"null": 1},
    "a copy that reports": {"compl_write": 1, "int_en": 1},
    "a wrong operation": {"op": 2},
    "a size of 0": {"size": 0},
    "a source that is not there": {"src": _NOWHERE},
}
_KINDS: dict[str, dict[str, Any]] = {
    "a copy": {},
    "a fill": {"op": CopyOp.FILL, "src": 5},
}


def _for_each(rig: EngineRig, run: Callable[[str, dict[str, Any], str, dict[str, Any]], None]) -> None:
    rig.channel(1)
    mark = rig.memory.mark()
    for kind, held in _KINDS.items():
        for name, successor in _SUCCESSORS.items():
            run(kind, held, name, successor)
            rig.memory.rewind(mark)


@engine_case(_HELD, "an error of a write that was held back is that descriptor's own", is_overlapping=True)
def writes_that_fail_late(rig: EngineRig) -> None:
    """A copy and a fill to nowhere, and behind each a successor of every kind, good and wrong."""

    def run(kind: str, held: dict[str, Any], name: str, successor: dict[str, Any]) -> None:
        chain = _chain(rig, held | {"dst": _NOWHERE}, successor)
        chain.channel.start()
        _assert_halted_at(chain, 1, Chanerr.DEST_ADDR, f"{kind} to nowhere before {name}")
        found = rig.memory.get(chain.targets[2], 2 * PAGE)
        assert found == bytes(2 * PAGE), f"{name} behind an error was written"
        _again(chain)

    _for_each(rig, run)


@engine_case(
    _HELD,
    "an error of the successor comes behind the write that was held back, and is the successor's",
    is_overlapping=True,
)
def successors_that_fail(rig: EngineRig) -> None:
    """A copy and a fill that are good, and behind each what is refused, unreadable or not writable."""
    wrong = {
        "a wrong operation": Chanerr.DESC_CONTROL,
        "a size of 0": Chanerr.DESC_LENGTH,
        "a source that is not there": Chanerr.SRC_ADDR,
    }

    def run(kind: str, held: dict[str, Any], name: str, successor: dict[str, Any]) -> None:
        if name == "NULL":
            return
        bit = wrong.get(name)
        chain = _chain(rig, held, successor if bit else successor | {"dst": _NOWHERE})
        what = f"{name} that fails behind {kind}"
        chain.channel.start()
        _assert_halted_at(chain, 2, bit or Chanerr.DEST_ADDR, what)
        wanted = (5).to_bytes(8, "little") * 8 if held else content(64)
        found = rig.memory.get(chain.targets[1], 2 * PAGE)
        assert found == wanted.ljust(2 * PAGE, b"\0"), f"{what}: what was held is not written"
        _again(chain)

    _for_each(rig, run)


@engine_case(
    _HELD,
    "a NEXT that is not aligned or leads nowhere is its descriptor's error, behind the write that was held",
    is_overlapping=True,
)
def next_that_leads_nowhere(rig: EngineRig) -> None:
    """A good descriptor whose NEXT is wrong, with one more counted, and the same to a wrong destination."""
    for wrong, bit in ((8, Chanerr.NEXT_ALIGN), (_NOWHERE, Chanerr.NEXT_ADDR)):
        for is_good in (True, False):
            chain = _chain(rig, {"next": wrong} | ({} if is_good else {"dst": _NOWHERE}), {})
            what = f"NEXT {wrong:#x} behind a {'good' if is_good else 'bad'} write"
            channel = chain.channel
            channel.start()
            found = (channel.chanerr, channel.read(COPY_BAR0.CDAR), channel.last)
            good = (bit, wrong, chain.slots[1])
            expected = good if is_good else (Chanerr.DEST_ADDR, chain.slots[1], chain.slots[0])
            assert found == expected, f"{what}: {found}"
            _again(chain)
