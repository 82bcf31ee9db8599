"""A card that lies of offloaded connections, the client that offloads them, and an engine that lies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from vnic.fuzz.hostile_chimney import HostileChimneyScene
from vnic.fuzz.hostile_engine import HostileEngineScene
from vnic.fuzz.hostile_function import Lie, Twist
from vnic.fuzz.offload_client import Answer, Node
from vnic.fuzz.offload_scene import Peers
from vnic.fuzz.scene import Act, Broken
from vnic.gen.descriptors import ChmCompletion, ChmTcp
from vnic.gen.enums import ChmStatus, CompletionType
from vnic.gen.registers import BAR0, COPY_BAR0, GlbEvent
from vnic.gen.registers import ChmStatus as Status
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.netdma.types import NTSTATUS
from vnic.testbench.chimney.blocks import tcp

OPTIONS: dict[str, Any] = {"seed": 0, "interrupt": "msix", "unbounded": True}


def do(scene: Any, name: str, **arguments: int) -> None:
    """An act; arguments that are not given are the simplest."""
    choices = scene.ACTS[name].choices
    assert scene.perform(Act(name, {key: choice.simplest for key, choice in choices.items()} | arguments))


@pytest.fixture
def scene() -> Iterator[HostileChimneyScene]:
    """One connection is offloaded."""
    made = HostileChimneyScene(dict(OPTIONS))
    for name in ("initialize", "restart", "offload", "settle"):
        do(made, name)
    assert [node.is_usable for node in made.client.nodes] == [True] * 3
    yield made
    made.abandon()


def tell_status(scene: HostileChimneyScene, status: int) -> None:
    """The card says once that its chimney's status is this, and that there is an event."""
    lies = scene.machine.card.lies
    lies[0, BAR0.CHM_STATUS.offset] = Lie(Twist.SET, Status.RUNNING | status, 1)
    lies[0, BAR0.GLB_EVENT.offset] = Lie(Twist.SET, int(GlbEvent.CHIMNEY), 1)
    do(scene, "interrupt", vector=2)
    do(scene, "settle")


@pytest.mark.requirement("FUZ-40")
def test_an_honest_card_moves_the_data_of_both(scene: HostileChimneyScene) -> None:
    for name in ("write", "post", "speak", "query", "update", "forward", "wait", "speak", "close", "wait"):
        do(scene, name)
    do(scene, "upload_all")
    do(scene, "settle")
    assert scene.client.is_empty
    assert {"send: SUCCESS", "receive: SUCCESS", "forward: SUCCESS", "query: SUCCESS", "update: SUCCESS",
            "terminate: SUCCESS"} <= scene.reached  # fmt: skip
    scene.finish()
    assert "data moves again" in scene.reached


@pytest.mark.requirement("FUZ-40")
def test_everything_is_back_before_a_pause_and_low_power(scene: HostileChimneyScene) -> None:
    do(scene, "take", how=Answer.NOTHING.value)
    do(scene, "speak")
    do(scene, "sleep")
    assert scene.client.is_empty and not scene.is_d0
    do(scene, "wake")
    do(scene, "offload")
    do(scene, "pause")
    assert scene.client.is_empty
    scene.finish()


@pytest.mark.requirement("FUZ-41")
def test_a_bounded_card_tells_what_hardware_could() -> None:
    bounded = HostileChimneyScene(OPTIONS | {"unbounded": False})
    rng = random.Random(3)
    try:
        assert not any(bounded.ACTS[name].when(bounded) for name in ("forge_report", "repeat"))
        for number in range(200):
            made = ChmCompletion(handle=number, count=2, bytes=9, type=CompletionType.CHM_RECEIVE, gen=1)
            after = ChmCompletion.unpack(bounded.altered(made.pack(), rng))
            assert after.status in ChmStatus.__members__.values()
            after.status, after.pushed = made.status, made.pushed
            assert after == made
            state = ChmTcp(snd_una=1, snd_nxt=2, snd_max=3, rcv_nxt=4, cwnd=5)
            found = ChmTcp.unpack(bounded._garbled(state.pack(), rng))
            assert (found.snd_una, found.snd_nxt, found.snd_max, found.rcv_nxt) == (1, 2, 3, 4)
    finally:
        bounded.abandon()


@pytest.mark.requirement("FUZ-41")
def test_states_are_garbled_on_their_way_to_memory(scene: HostileChimneyScene) -> None:
    scene.machine.card.garble = lambda image: b"\xff" * len(image)
    scene.machine.card.garbles_left = 1
    do(scene, "query", number=2)
    do(scene, "settle")
    assert "query: FAILURE" in scene.reached
    do(scene, "query", number=2)
    do(scene, "settle")
    assert "query: SUCCESS" in scene.reached
    scene.finish()


@pytest.mark.requirement("FUZ-42")
@pytest.mark.parametrize("status", [Status.PAUSE, Status.UPLOAD_ALL])
@pytest.mark.parametrize("refuses", [False, True])
def test_what_was_paused_goes_on(scene: HostileChimneyScene, status: int, refuses: bool) -> None:
    """A status that was told once and by mistake, and terminates that the card says it refuses."""
    card = scene.machine.card
    card.rewrite = lambda entry: entry[:8] + bytes([ChmStatus.HAS_DEPENDENTS]) + entry[9:]
    card.rewrites_left = 10 if refuses else 0
    tell_status(scene, status)
    do(scene, "wait", ns=5_000_000_000)
    scene.finish()
    assert "status OFFLOAD_RESUME" in scene.reached and "data moves again" in scene.reached


@pytest.mark.requirement("FUZ-42")
def test_a_card_that_sends_nothing_is_no_sound_card(
    scene: HostileChimneyScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Peers, "transmit", lambda *_: None)
    with pytest.raises(Broken, match="chimney-dead"):
        scene.finish()


@pytest.mark.requirement("FUZ-42")
def test_requests_end_once_with_no_more_than_they_held() -> None:
    node = Node(tcp(), None)
    nbls = [NetBufferList(NetBuffer(Mdl(memoryview(bytearray(10)), 0x1000)), None) for _ in range(2)]
    node.lend(nbls)
    nbls[0].set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, 10)
    node.settle(nbls[0])
    with pytest.raises(Broken, match="chimney-twice"):
        node.settle(nbls[0])
    nbls[1].set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, 11)
    with pytest.raises(Broken, match="chimney-bytes"):
        node.settle(nbls[1])


@pytest.mark.requirement("FUZ-43")
@pytest.mark.parametrize("value", [(1 << 8) | 2, (31 << 8) | 0, (12 << 8) | 17, (12 << 8) | 31, 0xFFFF_FFFF])
def test_an_engine_that_cannot_be_is_not_started(value: int) -> None:
    engine = HostileEngineScene(OPTIONS | {"minor": 20, "is_overlapping": False})
    do(engine, "stop")
    engine.hostile.lies[0, COPY_BAR0.GENERAL.offset] = Lie(Twist.SET, value, 1)
    assert engine.bench.provider.start_device() == NTSTATUS.UNSUCCESSFUL
    do(engine, "start")
    do(engine, "allocate")
    do(engine, "copy")
    engine.finish()


@pytest.mark.requirement("FUZ-43")
@pytest.mark.parametrize("status", [0, (1 << 64) - 1, 0xDEAD_BEEF_00, 64])
def test_completion_statuses_that_are_not_so_end_every_copy(status: int) -> None:
    engine = HostileEngineScene(OPTIONS | {"minor": 20, "is_overlapping": False})
    do(engine, "allocate")
    engine.hostile.rewrite = lambda truth: status
    engine.hostile.rewrites_left = 3
    for _ in range(3):
        do(engine, "copy")
        do(engine, "wait", ns=1_000_000)
    assert engine.hostile.told == 3
    engine.finish()
    assert not engine.copies
