"""The NDIS layer with a right miniport and a right protocol: states, data, OIDs, power, reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.host.cpu import Level
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.attributes import AttributeFlag, HaltAction, RegistrationAttributes
from vnic.ndis.layer import Injector
from vnic.ndis.miniport import ReceiveFlag, ResetResult
from vnic.ndis.net_buffer_list import net_buffer_list
from vnic.ndis.offload import ChecksumOffload, Encapsulation, Offload, OffloadParameters, Toggle
from vnic.ndis.oid import OID, OIDS, PacketFilter
from vnic.ndis.oid_request import OidRequest, query
from vnic.ndis.oob import LargeSend, LargeSendType, Slot
from vnic.ndis.protocol import NetEvent
from vnic.ndis.rss import HashType, ReceiveHashFlag, ReceiveHashParameters, ReceiveScaleParameters, RssFlag
from vnic.ndis.states import AdapterState, BindingState
from vnic.ndis.status import NDIS_STATUS, status_name
from vnic.ndis.structures import DevicePowerState, LinkState, MediaConnectState, PnpCapabilities

if TYPE_CHECKING:
    from tests.ndis.conftest import FakeProtocol, Stage, StageMaker

To = Callable[..., bytes]
GROUP = bytes.fromhex("01005e000001")
STATION = bytes.fromhex("020000000001")
RSS = ReceiveScaleParameters(RssFlag.NONE, HashType.TCP_IPV4 | 1, (0, 1), bytes(40))


def ulong(value: int) -> bytes:
    return value.to_bytes(4, "little")


# -- states ------------------------------------------------------------------------------------------------


def test_a_whole_life(make_stage: StageMaker, frame: bytes) -> None:
    stage = make_stage()
    assert stage.state() is AdapterState.HALTED
    stage.start()
    assert stage.state() is AdapterState.RUNNING
    stage.miniport.receive(frame)
    stage.run()
    stage.protocol.send(frame, frame)
    stage.adapter.pause()
    assert stage.state() is AdapterState.PAUSED
    assert stage.adapter.restart() == NDIS_STATUS.SUCCESS
    stage.adapter.halt(HaltAction.STOPPED)
    assert stage.state() is AdapterState.HALTED
    assert stage.binding is not None
    assert stage.binding.state is BindingState.CLOSED
    stage.ndis.remove_adapter(stage.adapter)
    assert stage.miniport.seen[-1] == "driver_unload"
    assert [data for _, data in stage.protocol.frames] == [frame]
    assert [status for _, status in stage.protocol.completed] == [NDIS_STATUS.SUCCESS] * 2
    assert stage.protocol.events == [NetEvent.RESTART, NetEvent.PAUSE, NetEvent.RESTART, NetEvent.PAUSE]
    assert stage.ndis.violations == []


def test_a_halted_adapter_can_start_again(stage: Stage, frame: bytes) -> None:
    stage.adapter.halt()
    stage.start()
    stage.protocol.send(frame)
    assert stage.protocol.completed[-1][1] == NDIS_STATUS.SUCCESS


def test_failed_initialization_leaves_it_halted(make_stage: StageMaker) -> None:
    stage = make_stage()
    stage.miniport.hooks["initialize_ex"] = lambda right, *_: NDIS_STATUS.RESOURCES
    assert stage.adapter.initialize() == NDIS_STATUS.RESOURCES
    assert stage.state() is AdapterState.HALTED


def test_failed_restart_leaves_it_paused(stage: Stage) -> None:
    stage.adapter.pause()
    stage.miniport.hooks["restart"] = lambda right: NDIS_STATUS.RESOURCES
    assert stage.adapter.restart() == NDIS_STATUS.RESOURCES
    assert stage.state() is AdapterState.PAUSED


def test_pause_waits_for_indicated_data_and_protocols_return_it(stage: Stage, frame: bytes) -> None:
    stage.protocol.keeps = True
    stage.miniport.receive(frame)
    stage.run()
    assert stage.adapter.receives.outstanding() == 1
    stage.adapter.pause()
    assert stage.adapter.receives.outstanding() == 0


def test_pause_waits_for_sends_of_the_protocol(stage: Stage, frame: bytes) -> None:
    stage.miniport.completes_at_once = False
    stage.protocol.send(frame)

    def finish() -> None:
        stage.as_miniport(stage.miniport.finish_sends)

    stage.ndis.clock.call_after(1_000_000, lambda: stage.ndis.processors.queue_work(finish))
    stage.adapter.pause()
    assert stage.ndis.clock.now_ns >= 1_000_000
    assert stage.protocol.completed[0][1] == NDIS_STATUS.SUCCESS


def test_a_pending_pause_and_restart_complete_by_call(stage: Stage) -> None:
    miniport = stage.miniport

    def later(complete: Callable[[], None]) -> NDIS_STATUS:
        miniport.handle.m_queue_work_item(complete)
        return NDIS_STATUS.PENDING

    miniport.hooks["pause"] = lambda right: later(lambda: (right(), miniport.handle.m_pause_complete())[1])
    miniport.hooks["restart"] = lambda right: later(
        lambda: (right(), miniport.handle.m_restart_complete(NDIS_STATUS.SUCCESS))[1]
    )
    stage.adapter.pause()
    assert stage.adapter.restart() == NDIS_STATUS.SUCCESS
    assert stage.state() is AdapterState.RUNNING


def test_restart_may_fail_by_call(stage: Stage) -> None:
    miniport = stage.miniport
    stage.adapter.pause()

    def restart(_: Callable[[], NDIS_STATUS]) -> NDIS_STATUS:
        miniport.handle.m_restart_complete(NDIS_STATUS.FAILURE)
        return NDIS_STATUS.PENDING

    miniport.hooks["restart"] = restart
    assert stage.adapter.restart() == NDIS_STATUS.FAILURE
    assert stage.state() is AdapterState.PAUSED


def test_ndis_itself_refuses_a_wrong_order(make_stage: StageMaker) -> None:
    stage = make_stage()
    for call in (stage.adapter.restart, stage.adapter.pause, stage.adapter.halt):
        with pytest.raises(RuntimeError, match="Halted"):
            call()
    stage.start()
    with pytest.raises(RuntimeError, match="Running"):
        stage.adapter.initialize()


# -- sends -------------------------------------------------------------------------------------------------


def test_a_paused_miniport_completes_injected_sends_paused(stage: Stage, frame: bytes) -> None:
    stage.adapter.pause()
    injector = Injector(stage.adapter)
    injector.send(net_buffer_list(frame))
    assert [status for _, status in injector.completed] == [NDIS_STATUS.PAUSED]


def test_a_halted_adapter_gives_sends_back(make_stage: StageMaker, frame: bytes) -> None:
    stage = make_stage()
    injector = Injector(stage.adapter)
    injector.send(net_buffer_list(frame))
    assert [status for _, status in injector.completed] == [NDIS_STATUS.ADAPTER_NOT_READY]


def test_completions_go_to_who_sent(stage: Stage, frame: bytes) -> None:
    stage.miniport.completes_at_once = False
    injector = Injector(stage.adapter)
    first = stage.protocol.send(frame)
    middle = net_buffer_list(frame)
    injector.send(middle)
    last = stage.protocol.send(frame)
    stage.as_miniport(stage.miniport.finish_sends)
    assert [nbl for nbl, _ in stage.protocol.completed] == first + last
    assert [nbl for nbl, _ in injector.completed] == [middle]


def test_cancelled_sends_come_back_aborted(stage: Stage, frame: bytes) -> None:
    stage.miniport.completes_at_once = False
    stage.protocol.send(frame, cancel_id=7)
    stage.protocol.send(frame, cancel_id=8)
    stage.protocol.binding.cancel_send_net_buffer_lists(7)
    assert [status for _, status in stage.protocol.completed] == [NDIS_STATUS.SEND_ABORTED]
    stage.as_miniport(stage.miniport.finish_sends)
    assert stage.protocol.completed[-1][1] == NDIS_STATUS.SUCCESS


@pytest.mark.parametrize("kind", list(LargeSendType))
def test_a_large_send_is_completed_in_its_own_form(stage: Stage, to: To, kind: LargeSendType) -> None:
    tcp = bytes(12) + b"\x50" + bytes(7)
    nbl = net_buffer_list(to(STATION, bytes(20) + tcp + bytes(3000)), stage.protocol.binding)
    nbl.set_info(Slot.TCP_LARGE_SEND, LargeSend(1460, 34, kind).value)
    stage.protocol.send_nbls([nbl])
    assert nbl.info(Slot.TCP_LARGE_SEND) == (3000 if kind is LargeSendType.V1 else 1 << 30)


# -- receives ----------------------------------------------------------------------------------------------


def test_data_comes_up_on_the_processor_of_its_vector(make_stage: StageMaker, frame: bytes) -> None:
    stage = make_stage(cpus=4).start()
    for vector in range(4):
        stage.miniport.receive(frame, vector)
    stage.run()
    assert sorted(cpu for cpu, _ in stage.protocol.frames) == [0, 1, 2, 3]
    assert stage.miniport.out == 0


def test_a_binding_gets_what_its_filter_wants(stage: Stage, to: To) -> None:
    stage.set_filter(PacketFilter.BROADCAST)
    for destination in (STATION, GROUP, b"\xff" * 6, bytes.fromhex("020000000099")):
        stage.miniport.receive(to(destination))
    stage.run()
    assert [data[:6] for _, data in stage.protocol.frames] == [b"\xff" * 6]
    assert stage.miniport.out == 0


def test_two_bindings_share_an_indication(stage: Stage, frame: bytes) -> None:
    other = type(stage.protocol)()
    stage.adapter.bind(other)
    assert other.set(OID.GEN_CURRENT_PACKET_FILTER, ulong(PacketFilter.PROMISCUOUS)) == NDIS_STATUS.SUCCESS
    stage.protocol.keeps = other.keeps = True
    stage.miniport.receive(frame)
    stage.run()
    assert [data for _, data in stage.protocol.frames] == [data for _, data in other.frames] == [frame]
    assert (len(stage.protocol.kept), len(other.kept)) == (0, 1)
    assert stage.protocol.flags[-1] & ReceiveFlag.RESOURCES
    other.give_back()
    assert stage.miniport.out == 0


def test_resources_gives_the_nbl_back_on_return(stage: Stage, frame: bytes) -> None:
    stage.protocol.keeps = True
    nbls = [stage.miniport.nbl(frame) for _ in range(3)]
    stage.as_miniport(lambda: stage.miniport.indicate(nbls, ReceiveFlag.RESOURCES))
    assert len(stage.protocol.frames) == 3
    assert stage.adapter.receives.outstanding() == 0
    stage.as_miniport(lambda: stage.miniport.indicate(nbls))
    assert len(stage.protocol.kept) == 3


def test_indications_continue_while_pausing(stage: Stage, frame: bytes) -> None:
    miniport = stage.miniport

    def pause(right: Callable[[], NDIS_STATUS]) -> NDIS_STATUS:
        miniport.indicate([miniport.nbl(frame)])
        return right()

    miniport.hooks["pause"] = pause
    stage.adapter.pause()
    assert len(stage.protocol.frames) == 1


# -- OID requests ------------------------------------------------------------------------------------------


def test_ndis_answers_from_the_attributes(stage: Stage) -> None:
    ask = stage.protocol.query
    assert ask(OID.GEN_MAXIMUM_FRAME_SIZE) == (NDIS_STATUS.SUCCESS, ulong(1500))
    assert ask(OID.O802_3_CURRENT_ADDRESS) == (NDIS_STATUS.SUCCESS, STATION)
    assert ask(OID.GEN_LINK_SPEED) == (NDIS_STATUS.SUCCESS, ulong(100_000_000))
    assert ask(OID.GEN_MEDIA_CONNECT_STATUS) == (NDIS_STATUS.SUCCESS, ulong(0))
    assert Offload.parse(ask(OID.TCP_OFFLOAD_CURRENT_CONFIG)[1]) == stage.miniport.config
    assert ask(OID.GEN_RECEIVE_SCALE_CAPABILITIES)[1][:2] == b"\x88\x02"
    assert "oid_request" not in stage.miniport.seen[stage.miniport.seen.index("restart") + 2 :]


def test_every_oid_that_ndis_answers_has_an_answer(stage: Stage) -> None:
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    unanswered = set()
    for oid, info in OIDS.items():
        if info.query.value == "NDIS":
            status, data = stage.protocol.query(oid, 512)
            if status != NDIS_STATUS.SUCCESS:
                unanswered.add(oid)
            else:
                assert len(data) >= info.size
    # not in this adapter: header/data split, receive hash (RSS is on), chimney
    assert unanswered == {
        OID.GEN_HD_SPLIT_CURRENT_CONFIG,
        OID.GEN_RECEIVE_HASH,
        OID.TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG,
        OID.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES,
        OID.TCP_CONNECTION_OFFLOAD_PARAMETERS,
    }


def test_a_short_buffer_is_told_what_would_do(stage: Stage) -> None:
    request = query(OID.GEN_LINK_STATE, 39)
    assert stage.protocol.binding.oid_request(request) == NDIS_STATUS.BUFFER_TOO_SHORT
    assert (request.bytes_written, request.bytes_needed) == (0, 40)
    request = query(OID.GEN_STATISTICS, 151)
    assert stage.protocol.binding.oid_request(request) == NDIS_STATUS.BUFFER_TOO_SHORT
    assert request.bytes_needed == 152


def test_old_statistics_come_from_the_new_ones(stage: Stage) -> None:
    assert stage.protocol.query(OID.GEN_RCV_OK, 8) == (NDIS_STATUS.SUCCESS, (12).to_bytes(8, "little"))
    assert stage.protocol.query(OID.GEN_RCV_OK, 4) == (NDIS_STATUS.SUCCESS, ulong(12))


def test_packet_filters_are_combined_over_bindings(stage: Stage) -> None:
    other = type(stage.protocol)()
    binding = stage.adapter.bind(other)
    assert binding is not None
    stage.set_filter(PacketFilter.DIRECTED)
    other.set(OID.GEN_CURRENT_PACKET_FILTER, ulong(PacketFilter.BROADCAST))
    assert stage.miniport.packet_filter == PacketFilter.DIRECTED | PacketFilter.BROADCAST
    assert stage.protocol.query(OID.GEN_CURRENT_PACKET_FILTER)[1] == ulong(PacketFilter.DIRECTED)
    stage.adapter.unbind(binding)
    assert stage.miniport.packet_filter == PacketFilter.DIRECTED


def test_a_filter_bit_that_is_not_supported_is_refused(stage: Stage) -> None:
    status = stage.protocol.set(OID.GEN_CURRENT_PACKET_FILTER, ulong(0x80000001))
    assert status == NDIS_STATUS.NOT_SUPPORTED
    assert stage.protocol.set(OID.GEN_CURRENT_PACKET_FILTER, b"\1") == NDIS_STATUS.INVALID_LENGTH


def test_multicast_lists_are_combined_and_limited(stage: Stage) -> None:
    groups = [bytes([1, 0, 0x5E, 0, 0, last]) for last in range(4)]
    other = type(stage.protocol)()
    stage.adapter.bind(other)
    assert stage.protocol.set(OID.O802_3_MULTICAST_LIST, groups[0]) == NDIS_STATUS.SUCCESS
    assert other.set(OID.O802_3_MULTICAST_LIST, groups[1]) == NDIS_STATUS.SUCCESS
    assert stage.miniport.multicast == frozenset(groups[:2])
    assert other.set(OID.O802_3_ADD_MULTICAST_ADDRESS, groups[2]) == NDIS_STATUS.MULTICAST_FULL
    assert other.set(OID.O802_3_ADD_MULTICAST_ADDRESS, groups[1]) == NDIS_STATUS.MULTICAST_EXISTS
    assert other.set(OID.O802_3_DELETE_MULTICAST_ADDRESS, groups[0]) == NDIS_STATUS.MULTICAST_NOT_FOUND
    assert other.set(OID.O802_3_DELETE_MULTICAST_ADDRESS, groups[1]) == NDIS_STATUS.SUCCESS
    assert stage.miniport.multicast == frozenset(groups[:1])
    assert stage.protocol.query(OID.O802_3_MULTICAST_LIST)[1] == groups[0]
    assert stage.protocol.set(OID.O802_3_MULTICAST_LIST, groups[0][:5]) == NDIS_STATUS.INVALID_LENGTH


def test_oid_requests_reach_the_miniport_one_at_a_time(stage: Stage) -> None:
    waiting: list[OidRequest] = []

    def hold(_: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        waiting.append(request)
        return NDIS_STATUS.PENDING

    stage.miniport.hooks["oid_request"] = hold
    requests = [query(OID.GEN_STATISTICS, 152) for _ in range(3)]
    for request in requests:
        assert stage.protocol.binding.oid_request(request) == NDIS_STATUS.PENDING
    for count in (1, 2, 3):
        assert waiting == requests[:count]
        current = requests[count - 1]

        def complete(current: OidRequest = current) -> None:
            status = stage.miniport.answer(current)
            stage.miniport.handle.m_oid_request_complete(current, status)

        stage.as_miniport(complete)
    assert stage.protocol.oids == [(request, NDIS_STATUS.SUCCESS) for request in requests]


def test_a_request_at_dispatch_reaches_the_miniport_at_passive(stage: Stage) -> None:
    levels: list[Level] = []

    def note(right: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        levels.append(stage.ndis.processors.level)
        return right(request)

    stage.miniport.hooks["oid_request"] = note
    request = query(OID.GEN_STATISTICS, 152)
    with stage.ndis.processors.raised_to(Level.DISPATCH):
        assert stage.protocol.binding.oid_request(request) == NDIS_STATUS.PENDING
    stage.run()
    assert levels == [Level.PASSIVE]
    assert stage.protocol.oids == [(request, NDIS_STATUS.SUCCESS)]


def test_cancelling_aborts_what_waits_and_asks_for_the_rest(stage: Stage) -> None:
    def hold(_: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        stage.miniport.pending_oid = request
        return NDIS_STATUS.PENDING

    stage.miniport.hooks["oid_request"] = hold
    requests = [query(OID.GEN_STATISTICS, 152) for _ in range(2)]
    for number, request in enumerate(requests, 1):
        request.request_id = number
        stage.protocol.binding.oid_request(request)
    stage.protocol.binding.cancel_oid_request(2)
    assert stage.protocol.oids == [(requests[1], NDIS_STATUS.REQUEST_ABORTED)]
    stage.protocol.binding.cancel_oid_request(1)
    assert stage.protocol.oids[1] == (requests[0], NDIS_STATUS.REQUEST_ABORTED)


@pytest.mark.requirement("INV-56")
def test_the_last_rss_set_wins_and_disable_restores_the_start(stage: Stage) -> None:
    def ask() -> tuple[NDIS_STATUS, bytes]:
        return stage.protocol.query(OID.GEN_RECEIVE_SCALE_PARAMETERS)

    before = ask()
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    assert ReceiveScaleParameters.parse(ask()[1]) == RSS
    newer = ReceiveScaleParameters(RssFlag.HASH_KEY_UNCHANGED, HashType.IPV6 | 1, (1,))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, newer.pack())
    found = ReceiveScaleParameters.parse(ask()[1])
    assert (found.hash_types, found.table, found.key) == (HashType.IPV6, (1,), RSS.key)
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, ReceiveScaleParameters(RssFlag.DISABLE_RSS).pack())
    assert ask() == before


@pytest.mark.requirement("INV-52")
def test_a_refused_rss_set_leaves_the_last_in_force(stage: Stage) -> None:
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    bad = ReceiveScaleParameters(RssFlag.NONE, HashType.IPV4 | 1, (0, 1, 0), bytes(40))
    assert stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, bad.pack()) == NDIS_STATUS.INVALID_DATA
    _, data = stage.protocol.query(OID.GEN_RECEIVE_SCALE_PARAMETERS)
    assert ReceiveScaleParameters.parse(data) == RSS


def test_offload_parameters_change_the_current_configuration(stage: Stage) -> None:
    less = Offload(ipv4_transmit=ChecksumOffload(Encapsulation.IEEE_802_3, tcp_checksum=True))
    stage.miniport.config = less
    wanted = OffloadParameters(udp_ipv4_checksum=Toggle.TX_RX_DISABLED)
    assert stage.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, wanted.pack()) == NDIS_STATUS.SUCCESS
    assert Offload.parse(stage.protocol.query(OID.TCP_OFFLOAD_CURRENT_CONFIG)[1]) == less
    assert NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG in stage.protocol.statuses


def test_the_indication_may_follow_the_completion(stage: Stage) -> None:
    miniport = stage.miniport

    def late(right: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        miniport.handle.m_queue_work_item(
            lambda: miniport.indicate_status(NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG, miniport.config.pack())
        )
        return NDIS_STATUS.SUCCESS

    miniport.hooks["oid_request"] = late
    assert stage.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, OffloadParameters().pack()) == NDIS_STATUS.SUCCESS
    stage.run()
    del miniport.hooks["oid_request"]
    stage.protocol.query(OID.GEN_STATISTICS)
    assert stage.ndis.violations == []


def test_lookahead_is_set_within_what_the_adapter_has(stage: Stage) -> None:
    assert stage.protocol.set(OID.GEN_CURRENT_LOOKAHEAD, ulong(128)) == NDIS_STATUS.SUCCESS
    assert stage.miniport.lookahead == 128
    assert stage.protocol.query(OID.GEN_CURRENT_LOOKAHEAD)[1] == ulong(128)
    assert stage.protocol.set(OID.GEN_CURRENT_LOOKAHEAD, ulong(1501)) == NDIS_STATUS.INVALID_DATA
    assert stage.protocol.set(OID.GEN_CURRENT_LOOKAHEAD, b"") == NDIS_STATUS.INVALID_LENGTH


@pytest.mark.requirement("INV-56")
def test_receive_hash_is_kept_changed_and_excludes_rss(stage: Stage) -> None:
    wanted = ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, HashType.IPV4 | 1, bytes(40))
    assert stage.protocol.set(OID.GEN_RECEIVE_HASH, wanted.pack()) == NDIS_STATUS.SUCCESS
    nbl = stage.miniport.nbl(STATION + bytes(50))
    nbl.set_hash(HashType.IPV4, 1, 77)
    stage.as_miniport(lambda: stage.miniport.indicate([nbl]))
    newer = ReceiveHashParameters(
        ReceiveHashFlag.ENABLE_HASH | ReceiveHashFlag.HASH_KEY_UNCHANGED | ReceiveHashFlag.HASH_INFO_UNCHANGED
    )
    assert stage.protocol.set(OID.GEN_RECEIVE_HASH, newer.pack()) == NDIS_STATUS.SUCCESS
    assert ReceiveHashParameters.parse(stage.protocol.query(OID.GEN_RECEIVE_HASH)[1]) == wanted
    assert stage.protocol.set(OID.GEN_RECEIVE_HASH, ReceiveHashParameters(ReceiveHashFlag(0)).pack()) == 0
    assert stage.protocol.query(OID.GEN_RECEIVE_HASH)[0] == NDIS_STATUS.NOT_SUPPORTED
    assert stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack()) == NDIS_STATUS.SUCCESS
    assert stage.protocol.set(OID.GEN_RECEIVE_HASH, wanted.pack()) == NDIS_STATUS.NOT_SUPPORTED


def test_unbinding_takes_its_multicast_groups_along(stage: Stage) -> None:
    other = type(stage.protocol)()
    binding = stage.adapter.bind(other)
    assert binding is not None
    stage.protocol.set(OID.O802_3_MULTICAST_LIST, GROUP)
    other.set(OID.O802_3_MULTICAST_LIST, GROUP[:5] + b"\x09")
    stage.adapter.unbind(binding)
    assert stage.miniport.multicast == {GROUP}


def test_power_is_not_for_protocols(stage: Stage) -> None:
    assert stage.protocol.set(OID.PNP_SET_POWER, ulong(4)) == NDIS_STATUS.NOT_SUPPORTED


# -- link, power, reset, removal ---------------------------------------------------------------------------


def test_link_state_is_kept_and_passed_on(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.link(MediaConnectState.DISCONNECTED))
    assert stage.protocol.statuses == [NDIS_STATUS.LINK_STATE]
    assert stage.protocol.query(OID.GEN_MEDIA_CONNECT_STATUS)[1] == ulong(1)
    assert (
        LinkState.parse(stage.protocol.query(OID.GEN_LINK_STATE)[1]).connect is MediaConnectState.DISCONNECTED
    )


def test_low_power_and_back(stage: Stage, frame: bytes) -> None:
    assert stage.adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.SUCCESS
    assert stage.state() is AdapterState.PAUSED
    injector = Injector(stage.adapter)
    injector.send(net_buffer_list(frame))
    assert injector.completed[0][1] == NDIS_STATUS.LOW_POWER_STATE
    assert stage.adapter.set_power(DevicePowerState.D0) == NDIS_STATUS.SUCCESS
    assert stage.state() is AdapterState.RUNNING
    assert stage.protocol.events[1:] == [
        NetEvent.SET_POWER,
        NetEvent.PAUSE,
        NetEvent.RESTART,
        NetEvent.SET_POWER,
    ]


def test_an_adapter_without_power_management_is_halted_instead(make_stage: StageMaker) -> None:
    stage = make_stage()
    stage.miniport.power = None
    stage.start()
    stage.adapter.set_power(DevicePowerState.D3)
    assert stage.state() is AdapterState.HALTED
    assert stage.adapter.set_power(DevicePowerState.D0) == NDIS_STATUS.SUCCESS
    assert stage.state() is AdapterState.RUNNING


def test_an_adapter_may_keep_running_into_low_power(make_stage: StageMaker) -> None:
    stage = make_stage()
    stage.miniport.registration = RegistrationAttributes(flags=AttributeFlag.NO_PAUSE_ON_SUSPEND)
    stage.start()
    assert stage.adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.SUCCESS
    assert stage.state() is AdapterState.RUNNING
    stage.protocol.send(STATION + bytes(50))
    assert stage.protocol.completed[0][1] == NDIS_STATUS.LOW_POWER_STATE


def test_a_refused_power_state_is_not_entered(stage: Stage) -> None:
    stage.miniport.hooks["oid_request"] = lambda right, request: NDIS_STATUS.FAILURE
    assert stage.adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.FAILURE
    assert stage.adapter.power.state is DevicePowerState.D0


def test_the_device_is_moved_after_the_driver_is_ready_and_before_it_goes_on(make_stage: StageMaker) -> None:
    stage = make_stage()
    order: list[object] = []
    stage.adapter.options = AdapterOptions(on_power=order.append)
    stage.start()

    def note(right: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        order.append(request.oid)
        return right(request)

    stage.miniport.hooks["oid_request"] = note
    stage.adapter.set_power(DevicePowerState.D3)
    stage.adapter.set_power(DevicePowerState.D0)
    assert order == [OID.PNP_SET_POWER, DevicePowerState.D3, DevicePowerState.D0, OID.PNP_SET_POWER]


def test_an_adapter_without_vectors_fails_to_initialize(make_stage: StageMaker) -> None:
    stage = make_stage(messages=0)
    assert stage.adapter.initialize() == NDIS_STATUS.RESOURCE_CONFLICT
    assert stage.state() is AdapterState.HALTED


def test_a_hang_leads_to_a_reset(stage: Stage) -> None:
    stage.miniport.hooks["check_for_hang_ex"] = lambda right: True
    stage.ndis.run_for(2_000_000_000)
    assert stage.miniport.resets == 1
    assert stage.protocol.statuses == [NDIS_STATUS.RESET_START, NDIS_STATUS.RESET_END]


def test_a_stuck_oid_request_leads_to_a_reset(stage: Stage) -> None:
    def hold(_: Callable[..., NDIS_STATUS], request: OidRequest) -> NDIS_STATUS:
        stage.miniport.pending_oid = request
        return NDIS_STATUS.PENDING

    stage.miniport.hooks["oid_request"] = hold
    stage.protocol.query(OID.GEN_STATISTICS)
    stage.ndis.run_for(4_000_000_000)
    assert stage.miniport.resets == 0
    stage.ndis.run_for(2_000_000_000)
    assert stage.miniport.resets == 1
    assert stage.protocol.oids[0][1] == NDIS_STATUS.REQUEST_ABORTED


def test_a_reset_that_lost_the_addresses_gets_them_again(stage: Stage) -> None:
    stage.protocol.set(OID.O802_3_MULTICAST_LIST, GROUP)

    def reset(right: Callable[[], ResetResult]) -> ResetResult:
        right()
        stage.miniport.packet_filter, stage.miniport.multicast = 0, frozenset()
        return ResetResult(NDIS_STATUS.SUCCESS, addressing_reset=True)

    stage.miniport.hooks["reset_ex"] = reset
    stage.adapter.reset()
    assert (
        stage.miniport.packet_filter
        == PacketFilter.DIRECTED | PacketFilter.BROADCAST | PacketFilter.MULTICAST
    )
    assert stage.miniport.multicast == {GROUP}


def test_oid_requests_wait_for_a_pending_reset(stage: Stage) -> None:
    stage.miniport.hooks["reset_ex"] = lambda right: ResetResult(NDIS_STATUS.PENDING)
    stage.adapter.reset()
    assert stage.protocol.query(OID.GEN_STATISTICS)[0] == NDIS_STATUS.PENDING
    stage.as_miniport(lambda: stage.miniport.handle.m_reset_complete(NDIS_STATUS.SUCCESS, False))
    assert stage.protocol.oids[0][1] == NDIS_STATUS.SUCCESS


def test_surprise_removal(stage: Stage) -> None:
    stage.adapter.surprise_remove()
    assert stage.state() is AdapterState.HALTED
    assert stage.miniport.seen.index("SURPRISE_REMOVED") < stage.miniport.seen.index("halt_ex")


def test_a_miniport_may_give_its_hardware_up(stage: Stage) -> None:
    stage.as_miniport(stage.miniport.handle.m_remove_miniport)
    stage.run()
    assert stage.state() is AdapterState.HALTED
    stage.adapter.surprise_remove()
    assert "SURPRISE_REMOVED" not in stage.miniport.seen, "a halted miniport was called"


def test_a_miniport_may_ask_for_a_reset(stage: Stage) -> None:
    stage.as_miniport(stage.miniport.handle.m_reset_miniport)
    stage.run()
    assert stage.miniport.resets == 1


def test_shutdown_is_the_end(stage: Stage) -> None:
    stage.adapter.shutdown()
    assert stage.state() is AdapterState.SHUTDOWN


def test_timers_run_at_dispatch_on_the_processor_that_armed_them(make_stage: StageMaker) -> None:
    stage = make_stage(cpus=3).start()
    seen: list[object] = []
    processors = stage.ndis.processors
    timer = stage.miniport.handle.m_allocate_timer(
        lambda: seen.append((processors.current, processors.level.name))
    )
    with processors.on(2):
        timer.set(1000, 500)
    stage.ndis.run_for(2100)
    assert seen == [(2, "DISPATCH")] * 3
    assert timer.cancel()
    stage.ndis.run_for(5000)
    assert len(seen) == 3


def test_sleeping_lets_virtual_time_pass(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.handle.m_sleep(50))
    assert stage.ndis.clock.now_ns == 50_000


def test_dpcs_go_where_the_isr_wants_them(make_stage: StageMaker) -> None:
    stage = make_stage(cpus=4).start()
    seen = []
    stage.miniport.hooks["interrupt"] = lambda right, message: type(right(message))(
        True, target_processors=frozenset({1, 3})
    )
    stage.miniport.hooks["dpc"] = lambda right, message: seen.append(stage.ndis.processors.current)
    stage.bus.signal(0)
    stage.run()
    assert sorted(seen) == [1, 3]


def test_queue_dpc_ex_tells_which_were_new(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    assert handle.m_queue_dpc_ex(interrupt, 1, frozenset({0, 1})) == {0, 1}
    assert handle.m_queue_dpc_ex(interrupt, 1, frozenset({0, 1})) == frozenset()
    stage.run()
    assert handle.m_queue_dpc_ex(interrupt, 1, frozenset({1})) == {1}


def test_synchronize_runs_at_dirql(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    level = handle.m_synchronize_with_interrupt_ex(interrupt, 0, lambda: stage.ndis.processors.level.name)
    assert level == "DIRQL"


def test_deregistering_waits_for_the_last_dpc(stage: Stage) -> None:
    seen: list[int] = []
    stage.miniport.hooks["dpc"] = lambda right, message: seen.append(message)
    stage.miniport.handle.m_queue_dpc_ex(stage.miniport.interrupt_handle, 2, frozenset({1}))
    stage.adapter.halt()
    assert seen == [2]


def test_a_protocol_may_decline_to_bind(stage: Stage) -> None:
    other = type(stage.protocol)()
    other.hooks["bind"] = lambda right: NDIS_STATUS.FAILURE
    assert stage.adapter.bind(other) is None
    assert len(stage.adapter.bindings) == 1
    assert stage.state() is AdapterState.RUNNING


def test_bind_parameters_describe_the_adapter(stage: Stage) -> None:
    parameters = stage.protocol.parameters
    assert parameters is not None
    assert (parameters.mtu_size, parameters.current_mac_address) == (1500, STATION)
    assert parameters.link_state.connect is MediaConnectState.CONNECTED


def test_status_names() -> None:
    assert str(NDIS_STATUS.PAUSED) == "NDIS_STATUS_PAUSED"
    assert status_name(0xC0FFEE00) == "0xC0FFEE00"
    assert NDIS_STATUS.FAILURE.is_error
    assert not NDIS_STATUS.PENDING.is_error
    assert PnpCapabilities().pack() == bytes(16)


# -- schedules ---------------------------------------------------------------------------------------------


def _life(make_stage: StageMaker, seed: int) -> tuple[list[object], FakeProtocol]:
    stage = make_stage(cpus=4, seed=seed)
    stage.start()
    frames = [STATION + bytes([number]) * 60 for number in range(12)]
    for number, frame in enumerate(frames):
        stage.miniport.receive(frame, number % 4)
        stage.protocol.send(frame)
    stage.run()
    stage.adapter.pause()
    stage.adapter.halt()
    assert stage.ndis.violations == []
    assert sorted(data for _, data in stage.protocol.frames) == frames
    assert len(stage.protocol.completed) == 12
    return list(stage.ndis.processors.schedule), stage.protocol


def test_a_right_pair_breaks_no_rule_under_any_schedule(make_stage: StageMaker) -> None:
    schedules = {tuple(_life(make_stage, seed)[0]) for seed in range(100)}
    assert len(schedules) > 50


def test_a_seed_reproduces_the_schedule_and_the_order_of_frames(make_stage: StageMaker) -> None:
    first, second = _life(make_stage, 7), _life(make_stage, 7)
    assert first[0] == second[0]
    assert first[1].frames == second[1].frames


ACTIONS = ["send", "receive", "pause", "restart", "run", "link", "filter", "reset"]


@examples(25)
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=25))
def test_any_order_of_right_things_is_right(make_stage: StageMaker, actions: list[str]) -> None:
    stage = make_stage(seed=11).start()
    sent = 0
    for action in actions:
        is_running = stage.state() is AdapterState.RUNNING
        if action == "send" and is_running:
            stage.protocol.send(STATION + bytes(50))
            sent += 1
        elif action == "receive" and is_running:
            stage.miniport.receive(STATION + bytes(50))
        elif action == "pause" and is_running:
            stage.adapter.pause()
        elif action == "restart" and not is_running:
            stage.adapter.restart()
        elif action == "run":
            stage.run()
        elif action == "link":
            stage.as_miniport(lambda: stage.miniport.link(MediaConnectState.DISCONNECTED))
        elif action == "filter":
            stage.protocol.set(OID.GEN_CURRENT_PACKET_FILTER, ulong(PacketFilter.DIRECTED))
        elif action == "reset":
            stage.adapter.reset()
    stage.adapter.halt()
    assert len(stage.protocol.completed) == sent
    assert stage.ndis.violations == []
