"""The client of a target over the real stack: trees, failures, terminations, updates, obstacles."""

from __future__ import annotations

import pytest

from tests.protocol.target import CONFIG, Block, Scene, Target
from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_CONST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
    TCP_UPLOAD_REASON,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_blocks import walk_blocks
from vnic.protocol.chimney_tally import Where
from vnic.protocol.coexistence import Component
from vnic.protocol.journal import Cause, Happening
from vnic.protocol.switches import Switches
from vnic.stack.errors import AbortedError
from vnic.testbench.bench import RSS_KEY
from vnic.wire import toeplitz

TYPE = OFFLOAD_STATE_TYPE
S = 1_000_000_000


def roles(tree: Block) -> list[str]:
    """Each block of a tree: placeholder, linker, or the type of its state."""
    found = []
    for block in walk_blocks(tree):
        if block.state_type is not TYPE.NONE:
            found.append(block.state_type.name)
        else:
            found.append("placeholder" if block.OffloadHandle is None else "linker")
    return found


# ---- trees -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-21")
def test_what_hangs_on_what_goes_down_once_and_is_linked_to_afterwards() -> None:
    with Scene() as scene:
        streams = [scene.connect()[0] for _ in range(3)]
        assert scene.chimney.offload(streams[0].socket) and scene.chimney.offload(streams[1].socket)
        scene.settle()
        (tree,) = scene.target.initiates
        assert roles(tree) == ["NEIGHBOR_ALL", "IP4_PATH_ALL", "TCP_ALL", "TCP_ALL"]
        assert scene.chimney.offload(streams[2].socket)
        scene.settle()
        assert len(scene.target.initiates) == 1, "what it hangs on is not there yet"
        scene.complete_initiate()
        scene.settle()
        assert roles(scene.target.initiates[0]) == ["linker", "linker", "TCP_ALL"]


def test_the_state_of_each_object_is_the_hosts() -> None:
    with Scene() as scene:
        near, _ = scene.connect("fd00::2")
        scene.chimney.offload(near.socket)
        scene.settle()
        neighbour, path, tcp = walk_blocks(scene.target.initiates[0])
        info = near.socket.info
        assert neighbour.const == NEIGHBOR_OFFLOAD_STATE_CONST(VlanId=0)
        assert isinstance(neighbour.cached, NEIGHBOR_OFFLOAD_STATE_CACHED)
        assert neighbour.cached.DlDestinationAddress == scene.peer.interface.config.mac
        assert neighbour.delegated == NEIGHBOR_OFFLOAD_STATE_DELEGATED(neighbour.cached.HostReachabilityDelta)
        assert path.state_type is TYPE.IP6_PATH_ALL
        ends = info.local.address.packed, info.remote.address.packed
        assert path.const == PATH_OFFLOAD_STATE_CONST(*ends)
        assert path.cached == PATH_OFFLOAD_STATE_CACHED(1500)
        assert isinstance(tcp.const, TCP_OFFLOAD_STATE_CONST)
        assert (tcp.const.LocalPort, tcp.const.RemotePort) == (info.local.port, 80)
        received = ends[1] + ends[0] + (80).to_bytes(2) + info.local.port.to_bytes(2)
        assert tcp.const.HashValue == toeplitz.hash(RSS_KEY, received)
        assert isinstance(tcp.cached, TCP_OFFLOAD_STATE_CACHED) and tcp.cached.TtlOrHopLimit == 64


@pytest.mark.requirement("POL-20")
def test_bytes_that_wait_go_along() -> None:
    with Scene() as scene:
        near, far = scene.connect()
        far.write_all(b"not read yet")
        scene.settle()
        scene.cut = True
        near.write_all(b"on its way")
        scene.settle()
        (block,) = scene.offload(near)
        state = block.delegated
        assert isinstance(state, TCP_OFFLOAD_STATE_DELEGATED) and state.BufferedData is not None
        buffered, chain = state.BufferedData.first_net_buffer, state.SendDataHead
        assert buffered is not None and buffered.data() == b"not read yet"
        assert chain is block.NetBufferListChain and chain is state.SendDataTail and chain is not None
        assert chain.first_net_buffer is not None and chain.first_net_buffer.data() == b"on its way"
        address, view = next(chain.first_net_buffer.views())
        assert scene.memory.read(address, 10) == bytes(view) == b"on its way", "where the target can read it"
        assert (state.SndNxt - state.SndUna) & 0xFFFFFFFF == 10


@pytest.mark.requirement("POL-21")
def test_connections_come_back_before_paths_and_paths_before_neighbours() -> None:
    with Scene() as scene:
        first, second = scene.connect()[0], scene.connect()[0]
        scene.offload(first, second)
        scene.chimney.upload(first.socket)
        scene.settle()
        assert roles(scene.target.terminates[0]) == ["placeholder", "placeholder", "TCP_DELEGATED"]
        scene.drain()
        table = next(iter(scene.chimney.targets.values())).table
        assert len(table.paths) == len(table.neighbours) == 1, "the second needs them"
        scene.chimney.upload(second.socket)
        seen = []
        for _ in range(3):
            scene.settle()
            (tree,) = scene.target.terminates
            seen.append(roles(tree))
            scene.complete_terminate()
        assert seen == [
            ["placeholder", "placeholder", "TCP_DELEGATED"],
            ["placeholder", "IP4_PATH_DELEGATED"],
            ["NEIGHBOR_DELEGATED"],
        ]
        assert table.is_empty


def test_a_path_that_is_wanted_again_while_it_goes_is_offloaded_anew() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.chimney.upload(near.socket)
        scene.settle()
        scene.complete_terminate()
        scene.settle()
        assert roles(scene.target.terminates[0]) == ["placeholder", "IP4_PATH_DELEGATED"]
        assert scene.chimney.offload(near.socket)
        scene.settle()
        assert not scene.target.initiates
        scene.complete_terminate()
        scene.settle()
        assert roles(scene.target.initiates[0]) == ["linker", "IP4_PATH_ALL", "TCP_ALL"]


# ---- initiates that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [
        NDIS_STATUS.FAILURE, NDIS_STATUS.RESOURCES, NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
        NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER, NDIS_STATUS.OFFLOAD_TCP_RCV_BUFFER,
        NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW, NDIS_STATUS.OFFLOAD_CONNECTION_REJECTED,
    ],
)  # fmt: skip
@pytest.mark.requirement("POL-20")
def test_a_connection_that_is_refused_goes_on_in_the_host(status: NDIS_STATUS) -> None:
    with Scene() as scene:
        near, far = scene.connect()
        far.write_all(b"before")
        scene.chimney.offload(near.socket)
        scene.settle()
        near.write_all(b"meanwhile")
        scene.complete_initiate(lambda block: status if block.state_type is TYPE.TCP_ALL else None)
        scene.drain()
        assert scene.chimney.where(near.socket) is Where.IN_HOST
        assert scene.chimney.initiates == 0 and scene.chimney.initiates_failed == 1
        assert scene.chimney.tally.failures == {str(status): 1}
        assert near.read_exactly(6) == b"before" and far.read_exactly(9) == b"meanwhile"
        assert next(iter(scene.chimney.targets.values())).is_clear, "nobody needs path and neighbour"


def test_a_neighbour_that_is_refused_takes_everything_with_it() -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.chimney.offload(near.socket)
        scene.settle()
        scene.complete_initiate(lambda block: NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES)
        scene.settle()
        target = next(iter(scene.chimney.targets.values()))
        assert target.is_clear and not scene.target.terminates
        near.write_all(b"still here")
        assert far.read_exactly(10) == b"still here"


def test_one_of_two_is_refused() -> None:
    with Scene() as scene:
        first, second = scene.connect()[0], scene.connect()[0]
        scene.chimney.offload(first.socket)
        scene.chimney.offload(second.socket)
        scene.settle()
        seen: list[Block] = []

        def judge(block: Block) -> NDIS_STATUS | None:
            if block.state_type is not TYPE.TCP_ALL:
                return NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS if block.state_type is TYPE.IP4_PATH_ALL else None
            seen.append(block)
            return NDIS_STATUS.RESOURCES if len(seen) == 2 else None

        scene.complete_initiate(judge)
        assert [scene.chimney.where(s.socket) for s in (first, second)] == [Where.OFFLOADED, Where.IN_HOST]


@pytest.mark.parametrize("why", ["closed", "twice", "listening"])
def test_what_cannot_be_offloaded(why: str) -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        if why == "closed":
            near.close()
        elif why == "twice":
            scene.offload(near)
        socket = scene.stack.listen(("10.0.0.1", 99)) if why == "listening" else near.socket
        if why == "listening":
            scene.chimney.offload(socket)  # type: ignore[arg-type]
            scene.settle()
            assert not scene.target.initiates
        else:
            assert not scene.chimney.offload(socket)  # type: ignore[arg-type]


def test_no_more_than_the_target_has_entries() -> None:
    with Scene() as scene:
        streams = [scene.connect()[0] for _ in range(CONFIG.capacity + 1)]
        taken = [scene.chimney.offload(stream.socket) for stream in streams]
        assert taken == [True] * CONFIG.capacity + [False]


# ---- and back ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-20")
def test_it_goes_on_where_the_target_left_it() -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.offload(near)
        scene.settle()
        near.write_all(b"never sent by the target")
        scene.settle()
        assert len(scene.target.sends) == 1
        scene.upload(near)
        far.write_all(b"and back")
        assert far.read_exactly(24) == b"never sent by the target"
        assert near.read_exactly(8) == b"and back"
        assert scene.chimney.uploads == {Cause.USER: 1}
        assert scene.chimney.journal.of(Happening.UPLOADED)[0].reason == Cause.USER


@pytest.mark.requirement("POL-26")
def test_a_target_that_lost_its_state_ends_the_connection_with_an_error() -> None:
    with Scene() as scene:
        near, other = scene.connect()[0], scene.connect()[0]
        scene.offload(near, other)
        near.write_all(b"lost")
        scene.settle()
        scene.target.sends.clear()
        scene.chimney.upload(near.socket)
        scene.settle()
        scene.complete_terminate(NDIS_STATUS.FAILURE)
        scene.settle()
        with pytest.raises(AbortedError):
            near.read()
        assert scene.chimney.tally.lost == 1
        assert scene.chimney.where(other.socket) is Where.OFFLOADED
        assert [entry.subject for entry in scene.chimney.journal.of(Happening.LOST)] == [
            f"{near.socket.info.local} - {near.socket.info.remote}"
        ]


@pytest.mark.requirement("POL-15")
@pytest.mark.parametrize("reason", list(TCP_UPLOAD_REASON))
def test_a_target_that_wants_it_back_gets_it_when_it_must(reason: TCP_UPLOAD_REASON) -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.retrieve(near, reason)
        scene.settle()
        assert len(scene.target.terminates) == int(reason.is_mandatory)
        assert len(scene.chimney.journal.of(Happening.IGNORED)) == int(not reason.is_mandatory)


def test_an_upload_that_is_wanted_during_the_initiate_follows_it() -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.chimney.offload(near.socket)
        scene.settle()
        assert scene.chimney.where(near.socket) is Where.OFFLOADING
        assert scene.chimney.upload(near.socket) and not scene.chimney.upload(near.socket)
        scene.settle()
        assert not scene.target.terminates
        scene.complete_initiate()
        scene.drain()
        near.write_all(b"home")
        assert far.read_exactly(4) == b"home"


def test_one_that_only_waits_is_let_go_at_once() -> None:
    with Scene() as scene:
        first, second = scene.connect()[0], scene.connect()[0]
        scene.chimney.offload(first.socket)
        scene.settle()
        scene.chimney.offload(second.socket)
        assert scene.chimney.upload(second.socket)
        assert scene.chimney.where(second.socket) is Where.IN_HOST
        scene.complete_initiate()
        scene.settle()
        assert not scene.target.initiates


# ---- updates -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-22")
def test_a_neighbours_new_address_is_an_update() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.port.interface.add_neighbour("10.0.0.2", b"\2\0\0\0\0\x99")
        scene.settle()
        (tree,) = scene.target.updates
        assert roles(tree) == ["NEIGHBOR_CACHED"]
        assert isinstance(tree.cached, NEIGHBOR_OFFLOAD_STATE_CACHED)
        assert tree.cached.DlDestinationAddress == b"\2\0\0\0\0\x99"
        scene.port.interface.add_neighbour("10.0.0.2", b"\2\0\0\0\0\x98")
        scene.settle()
        assert len(scene.target.updates) == 1, "one update of an object at a time"
        scene.target.updates.clear()
        tree.Status = NDIS_STATUS.SUCCESS
        scene.client.update_offload_complete(scene.target, tree)  # type: ignore[arg-type]
        scene.settle()
        (tree,) = scene.target.updates
        assert isinstance(tree.cached, NEIGHBOR_OFFLOAD_STATE_CACHED)
        assert tree.cached.DlDestinationAddress == b"\2\0\0\0\0\x98"


@pytest.mark.requirement("POL-22")
def test_options_that_the_user_sets_are_an_update() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        near.socket.set_nodelay()
        scene.settle()
        (tree,) = scene.target.updates
        assert roles(tree) == ["placeholder", "placeholder", "TCP_CACHED"]
        cached = list(walk_blocks(tree))[2].cached
        assert isinstance(cached, TCP_OFFLOAD_STATE_CACHED) and not cached.Flags & 2
        scene.chimney.upload(near.socket)
        scene.settle()
        assert not scene.target.terminates, "not before the update is complete"


@pytest.mark.requirement("POL-22")
def test_an_update_that_fails_brings_the_connection_back() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        near.socket.set_nodelay()
        scene.settle()
        tree = scene.target.updates.popleft()
        for block in walk_blocks(tree):
            block.Status = NDIS_STATUS.FAILURE if block.OffloadHandle else NDIS_STATUS.SUCCESS
        scene.client.update_offload_complete(scene.target, tree)  # type: ignore[arg-type]
        scene.drain()
        assert scene.chimney.uploads == {Cause.UPDATE: 1}


@pytest.mark.requirement("INV-46")
def test_a_reachability_query_is_answered_at_once() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        found = scene.chimney.find(near.socket.handle)
        assert found is not None
        block = Block(
            TYPE.NEIGHBOR_ALL,
            NEIGHBOR_OFFLOAD_STATE_CONST(),
            NEIGHBOR_OFFLOAD_STATE_CACHED(bytes(6), 77),
            NEIGHBOR_OFFLOAD_STATE_DELEGATED(50),
            OffloadHandle=found.path.neighbour.handle,
        )
        kind = INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
        scene.client.indicate_offload_event(scene.target, block, kind)  # type: ignore[arg-type]
        assert isinstance(block.cached, NEIGHBOR_OFFLOAD_STATE_CACHED)
        assert 0 < block.cached.HostReachabilityDelta < 77
        scene.network.clock.advance_to(400 * S)
        scene.settle()
        block.delegated = NEIGHBOR_OFFLOAD_STATE_DELEGATED(300_000)
        scene.client.indicate_offload_event(scene.target, block, kind)  # type: ignore[arg-type]
        assert block.cached.HostReachabilityDelta == 0, "stale: the host begins to probe"


# ---- obstacles ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-30", "POL-31", "INV-49")
@pytest.mark.parametrize("component", list(Component))
def test_a_component_that_appears_takes_everything_back(component: Component) -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.offload(near)
        where = scene.target if component.is_of_a_binding else None
        scene.chimney.coexistence.attach(component, where)
        scene.drain()
        target = next(iter(scene.chimney.targets.values()))
        assert target.is_clear and scene.chimney.uploads == {Cause.COMPONENT: 1}
        assert scene.chimney.obstacle(target) == component
        assert [entry.reason for entry in scene.chimney.journal.of(Happening.BLOCKED)] == [component]
        assert not scene.chimney.offload(near.socket)
        near.write_all(b"none lost")
        assert far.read_exactly(9) == b"none lost"
        scene.chimney.coexistence.detach(component, where)
        assert scene.chimney.obstacle(target) is None
        assert len(scene.chimney.journal.of(Happening.ALLOWED)) == 1
        scene.offload(near)


@pytest.mark.requirement("POL-1")
def test_the_switch_goes_off_and_on() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.chimney.set_switches(Switches(EnableTCPChimney=False))
        scene.drain()
        assert scene.chimney.uploads == {Cause.SWITCH: 1} and not scene.chimney.offload(near.socket)
        scene.chimney.set_switches(Switches())
        scene.offload(near)


@pytest.mark.requirement("POL-1")
def test_an_adapter_without_handlers_is_no_target() -> None:
    with Scene() as scene:
        plain = Target()
        plain.chimney = None
        scene.chimney.add_target(5, plain, CONFIG)  # type: ignore[arg-type]
        assert len(scene.chimney.targets) == 1


@pytest.mark.requirement("INV-41")
def test_pause_upload_all_resume() -> None:
    with Scene() as scene:
        near, other = scene.connect()[0], scene.connect()[0]
        scene.offload(near)
        scene.chimney.on_status(scene.target, NDIS_STATUS.OFFLOAD_PAUSE)  # type: ignore[arg-type]
        scene.settle()
        assert scene.chimney.where(near.socket) is Where.OFFLOADED and not scene.chimney.offload(other.socket)
        scene.chimney.on_status(scene.target, NDIS_STATUS.UPLOAD_ALL)  # type: ignore[arg-type]
        scene.drain()
        assert next(iter(scene.chimney.targets.values())).is_empty
        assert not scene.chimney.offload(near.socket)
        scene.chimney.on_status(scene.target, NDIS_STATUS.OFFLOAD_RESUME)  # type: ignore[arg-type]
        scene.offload(near)


@pytest.mark.requirement("POL-25")
def test_a_binding_that_stops_is_emptied_and_takes_nothing_until_it_runs() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.indicate(near, b"unread")
        scene.chimney.stop(scene.target, Cause.PAUSE)  # type: ignore[arg-type]
        assert not scene.chimney.is_stopped(scene.target)  # type: ignore[arg-type]
        scene.drain()
        assert scene.chimney.is_stopped(scene.target)  # type: ignore[arg-type]
        assert not scene.chimney.offload(near.socket)
        assert len(scene.target.returned) == 1, (
            "the user has not read, the target has its buffer all the same"
        )
        assert near.read() == b"unread"


def test_a_closed_state_of_the_target_ends_the_connection() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.retrieve(near, TCP_UPLOAD_REASON.TIMEOUT_EXPIRATION)
        scene.settle()
        scene.complete_terminate(State=TCP_OFFLOAD_CONNECTION_STATE.CLOSED)
        scene.settle()
        with pytest.raises(TimeoutError):
            near.read()


@pytest.mark.requirement("POL-22", "INV-40")
def test_a_next_hop_that_does_not_answer_is_invalidated_and_its_connections_come_back() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        found = scene.chimney.find(near.socket.handle)
        assert found is not None
        scene.cut = True
        scene.network.clock.advance_to(400 * S)
        scene.settle()
        block = Block(
            TYPE.NEIGHBOR_ALL,
            NEIGHBOR_OFFLOAD_STATE_CONST(),
            NEIGHBOR_OFFLOAD_STATE_CACHED(),
            NEIGHBOR_OFFLOAD_STATE_DELEGATED(300_000),
            OffloadHandle=found.path.neighbour.handle,
        )
        kind = INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
        scene.client.indicate_offload_event(scene.target, block, kind)  # type: ignore[arg-type]
        scene.network.run_for(30 * S)
        (tree,) = scene.target.invalidates
        assert roles(tree) == ["linker"] and tree.OffloadHandle is found.path.neighbour.handle
        assert [roles(each) for each in scene.target.terminates] == [
            ["placeholder", "placeholder", "TCP_DELEGATED"]
        ]
        tree.Status = NDIS_STATUS.SUCCESS
        scene.client.invalidate_offload_complete(scene.target, tree)  # type: ignore[arg-type]
        scene.drain()
        assert scene.chimney.uploads == {Cause.NEIGHBOUR: 1}
        assert next(iter(scene.chimney.targets.values())).is_empty
