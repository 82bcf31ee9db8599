"""Any step: with the card and the driver one step at a time, something else begins between two of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from vnic.conformance.case import Feature, case
from vnic.conformance.drive import OK, SHORT_RINGS, frames_to, same, statuses, take, works
from vnic.conformance.groups.chimney import PUSH, drained, offloading
from vnic.conformance.groups.removal import gone
from vnic.conformance.pages import chimney, ddi, guide
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import PARTIAL, context_of, ending_of, neighbour, path, tcp, tree
from vnic.testbench.frames import PEER, plain_frame

_RESET = ddi("nc-ndis-miniport_reset")
_PAUSE = ddi("nc-ndis-miniport_pause")
_POWER = guide("oid-pnp-set-power")
_SURPRISE = guide("handling-the-surprise-removal-of-a-nic")
_INITIATED = chimney("returning-completion-status-of-an-initiate-offload-operation")
_EVENTS = chimney("processing-events-that-occur-during-an-offload")
_JUMBO = 9014
_ROUNDS = 5
_MOST_STEPS = 45
_SHAPE: dict[str, Any] = {
    "keywords": SHORT_RINGS | {"*JumboPacket": _JUMBO},
    "queues": 1,
    "cpus": 2,
    "seeds": (401, 402),
}


def some_steps(bench: Bench, choose: random.Random) -> None:
    """Some steps of card and host, in an order that chance chooses; then the card goes on by itself."""
    steps = bench.steps
    for _ in range(choose.randrange(_MOST_STEPS)):
        possible = steps.possible()
        if not possible:
            break
        steps.take(choose.choice(possible))
    steps.close()
    bench.device.is_manual = False


def _traffic(bench: Bench, choose: random.Random) -> int:
    """Frames of one buffer and of many, both ways, all at once; how many are sent."""
    assert bench.adapter.general is not None
    most = min(bench.adapter.general.mtu_size, 9000)
    bench.device.is_manual = True
    for n in range(3):
        bench.receive(plain_frame(choose.choice((60, 1500, most)), n, bench.station))
    count = choose.randrange(1, 12)
    for n in range(count):
        bench.send(plain_frame(choose.choice((60, 1500, most)), n, PEER), context=n)
    return count


def _between_steps(bench: Bench, event: Callable[[], None]) -> None:
    """Traffic, some steps, the event, and then traffic that must be whole; several times."""
    choose = random.Random(bench.processors.seed)
    for turn in range(_ROUNDS):
        count = _traffic(bench, choose)
        some_steps(bench, choose)
        event()
        bench.settle()
        ended = statuses(bench)
        assert len(ended) == count, f"{len(ended)} of {count} sends came back"
        bench.protocol.sent.clear()
        bench.protocol.received.clear()
        assert bench.adapter.general is not None
        size = min(bench.adapter.general.mtu_size, 9000)
        frames = [plain_frame(size, turn, bench.station), *frames_to(bench.station, 2, 100, turn)]
        same([each.data for each in take(bench, *frames)], frames)
        works(bench)
        bench.protocol.sent.clear()


@case(_RESET, "whatever is half done when MiniportResetEx comes, nothing of it is left afterwards", **_SHAPE)
def a_reset(bench: Bench) -> None:
    """Frames of one buffer and of many, both ways; a reset after any number of steps."""
    _between_steps(bench, bench.adapter.reset)


@case(_PAUSE, "whatever is half done when MiniportPause comes, it ends, and all of it is back", **_SHAPE)
def a_pause(bench: Bench) -> None:
    """Frames of one buffer and of many, both ways; a pause and a restart after any number of steps."""

    def event() -> None:
        bench.adapter.pause()
        assert bench.adapter.restart() == OK

    _between_steps(bench, event)


@case(_POWER, "whatever is half done when D3 comes, nothing of it is left in D0", Feature.POWER, **_SHAPE)
def low_power(bench: Bench) -> None:
    """Frames of one buffer and of many, both ways; D3 and D0 after any number of steps."""

    def event() -> None:
        for state in (DevicePowerState.D3, DevicePowerState.D0):
            assert bench.adapter.set_power(state) == OK

    _between_steps(bench, event)


@case(_SURPRISE, "whatever is half done when the NIC goes, everything comes back", is_rough=True, **_SHAPE)
def a_removal(bench: Bench) -> None:
    """Frames of one buffer and of many, both ways; the card is pulled after any number of steps."""
    choose = random.Random(bench.processors.seed)
    count = _traffic(bench, choose)
    some_steps(bench, choose)
    bench.device.remove()
    gone(bench)
    assert len(statuses(bench)) == count, f"{len(statuses(bench))} of {count} sends came back"


@case(
    _EVENTS,
    "whatever is half done on a connection when the adapter is reset, the next one finds nothing of it",
    Feature.CHIMNEY,
    seeds=(401, 402),
    device={"chimney_work": 16},
)
def a_reset_with_connections(bench: Bench) -> None:
    """Sends, receives, a disconnect and data of the peer; a reset after any number of steps; another one."""
    choose = random.Random(bench.processors.seed)
    chimneys = offloading(bench)
    for turn in range(3):
        (connection,) = chimneys.connect(tcp(40000 + turn))
        chimneys.device.is_manual = True
        connection.send(*[b"0123456789"] * 12, cuts=(3, 5), settles=False)
        connection.post(100, 200, no_push=True, settles=False)
        for _ in range(3):
            connection.receive(b"x" * 150, flags=PUSH, settles=False)
        connection.disconnect(b"bye", settles=False)
        some_steps(bench, choose)
        chimneys.adapter.reset()
        chimneys.settle()
        ended = [len(connection.told(what)) for what in ("sent", "received", "disconnected")]
        assert ended == [12, 2, 1], f"{ended} of 12 sends, 2 receives and 1 disconnect ended"
        chimneys.upload_all()
        chimneys.connections.clear()
        chimneys.transmitted.clear()
        (again,) = chimneys.connect(tcp(41000 + turn))
        again.send(b"works" * 100)
        again.receive(b"comes", flags=PUSH)
        assert drained(again) == b"works" * 100
        assert again.stream == b"comes"
        chimneys.upload_all()


@case(
    _INITIATED,
    "an initiate that a reset overtakes is completed: what it made is lost and says so, the rest has failed",
    Feature.CHIMNEY,
    seeds=(401, 402, 403),
)
def a_reset_while_offloading(bench: Bench) -> None:
    """A tree of five, with data to send; a reset after any number of steps; the same tree anew."""
    choose = random.Random(bench.processors.seed)
    chimneys = offloading(bench)
    for turn in range(4):
        blocks = [tcp(40000 + 10 * turn + n) for n in range(3)]
        for block in blocks:
            block.NetBufferListChain = chimneys.nbl(b"to be sent")
        lower = path(*blocks)
        root = neighbour(lower)
        connections = [chimneys.enlist(block) for block in blocks]
        done = len(chimneys.client.done)
        chimneys.device.is_manual = True
        chimneys.control("initiate", root, settles=False)
        some_steps(bench, choose)
        chimneys.adapter.reset()
        chimneys.settle()
        assert [each is root for _, each in chimneys.client.done[done:]] == [True], "not completed, or twice"
        for block in tree(root):
            has_context = context_of(block) is not None
            assert has_context == (block.Status in (OK, PARTIAL)), f"{block.Status!r}, context {has_context}"
        for connection in connections:
            if connection.block.Status != OK:
                del chimneys.connections[connection.handle]
            else:
                assert connection.told("RETRIEVE") or connection.told("ABORT"), "a lost one was not told of"
                connection.terminate()
        for block in (lower, root):
            if block.Status in (OK, PARTIAL):
                chimneys.control("terminate", ending_of(block))
        chimneys.connections.clear()
        chimneys.transmitted.clear()
    (again,) = chimneys.connect(tcp(41000))
    again.send(b"works")
    assert again.acknowledge() == b"works"
