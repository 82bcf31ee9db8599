"""What cases do to the card itself: frames at once or step by step, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite, ResetLevel
from vnic.fault import Fault
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import Received, Rig

#: Steps after which a card that never comes to rest is one that hangs.
_MANY = 20_000


def run_at_once(rig: Rig) -> None:
    """Everything that waits, in one run: the card may take like steps together."""
    rig.device.is_manual = True
    rig.device.run()


def run_by_steps(rig: Rig) -> None:
    """Everything that waits, a step at a time."""
    rig.device.is_manual = True
    for _ in range(_MANY):
        runnable = rig.device.runnable
        if not runnable:
            return
        rig.device.step(runnable[0])
    raise AssertionError(f"the card is not at rest after {_MANY} steps")


#: The two ways in which a card works; what comes of it is the same.
WAYS: tuple[Callable[[Rig], None], ...] = (run_at_once, run_by_steps)


#: How a card may be reset, by what reset() takes.
LEVELS = ("device", "FLR", "D3hot", "hot", "power", "removal")


def reset(rig: Rig, level: str) -> None:
    """By one of LEVELS; what it leaves is for the case to see."""
    if level == "device":
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1, LOOPBACK=1))
    elif level == "FLR":
        word = rig.device.config_read(CONFIG.DEVCTL.offset, 2)
        rig.device.config_write(CONFIG.DEVCTL.offset, word | CONFIG.DEVCTL.encode(FLR=1), 2)
    elif level == "D3hot":
        rig.configure(CONFIG.PM_CTRL, STATE=3)
        rig.configure(CONFIG.PM_CTRL, STATE=0)
    elif level == "removal":
        rig.device.remove()
        rig.device.insert()
    else:
        rig.device.reset(ResetLevel.HOT if level == "hot" else ResetLevel.POWER)


def arrive(rig: Rig, frames: Iterable[bytes], run: Callable[[Rig], None]) -> Iterator[Received]:
    """Frames are at the door together; what came of them, and the descriptors are handed over again."""
    rig.device.is_manual = True
    for frame in frames:
        rig.inject(frame)
    run(rig)
    rig.device.is_manual = False
    for pair in rig.pairs:
        taken = pair.take()
        used = sum(len(each.parts) for each in taken)
        if used:
            pair.post_rx(used)
        yield from taken


def filled(fields: dict[str, int]) -> str:
    """`name value` of those that are not 0, for people."""
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value) or "none"


def commit_rss(rig: Rig, *, key: bytes, table: list[int], types: int, log2: int, queue: int = 0,
               enable: int = 1) -> bool:  # fmt: skip
    """PROG-18; whether it was accepted."""
    control = BAR0.RSS_CTRL.encode(ENABLE=enable, TABLE_LOG2=log2, DEFAULT_QUEUE=queue)
    rig.put(BAR0.RSS_CTRL, control)
    rig.put(BAR0.RSS_TYPES, types)
    for word in range(10):
        rig.put(BAR0.RSS_KEY, int.from_bytes(key[4 * word : 4 * word + 4], "little"), word)
    padded = bytes(table).ljust(128, b"\0")
    for word in range(32):
        rig.put(BAR0.RSS_TABLE, int.from_bytes(padded[4 * word : 4 * word + 4], "little"), word)
    before = rig.field(BAR0.RSS_STATUS, "GENERATION")
    rig.put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))
    is_refused = rig.field(BAR0.RSS_STATUS, "REFUSED")
    grown = (rig.field(BAR0.RSS_STATUS, "GENERATION") - before) % 65536
    assert grown == 1 - is_refused, f"REFUSED is {is_refused}, and GENERATION grew by {grown}"
    return not is_refused


def transmit_unread(rig: Rig, answer: DmaStatus) -> None:
    """Send a frame whose data is answered so when the card reads it."""
    fault = Fault(
        site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, count=1, argument=answer
    )
    with rig.device.arm(fault):
        rig.transmit(plain_frame(90, 1, PEER))
