"""Every rule of the NDIS layer, broken once: the layer names it, its page and the calls that led there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from vnic.host.cpu import Level, SpinLock
from vnic.ndis.attributes import GeneralAttributes, OffloadAttributes, RegistrationAttributes
from vnic.ndis.chimney_rules import CHIMNEY_RULES
from vnic.ndis.layer import Injector
from vnic.ndis.miniport import InterruptCharacteristics, ReceiveFlag, ResetResult
from vnic.ndis.net_buffer_list import NetBufferList, link, net_buffer, net_buffer_list
from vnic.ndis.offload import Encapsulation, LargeSendV1, Offload, OffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query, set_
from vnic.ndis.oob import LargeSend, LargeSendType, ReceiveChecksum, Slot, TransmitChecksum
from vnic.ndis.rss import HashType, ReceiveHashFlag, ReceiveHashParameters, ReceiveScaleParameters, RssFlag
from vnic.ndis.rules import LEVELS, RULES
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, MediaConnectState
from vnic.ndis.verifier import NdisViolation

if TYPE_CHECKING:
    from tests.ndis.conftest import Stage, StageMaker

Breach = Callable[["Stage"], None]
STATION = bytes.fromhex("020000000001")
FRAME = STATION + bytes(60)
RSS = ReceiveScaleParameters(RssFlag.NONE, HashType.TCP_IPV4 | 1, (0, 1), bytes(40))
BREACHES: list[tuple[str, str, Breach]] = []


def breaks(rule_id: str, starts: bool = True) -> Callable[[Breach], Breach]:
    """Register a way to break a rule; on a running stage unless it starts the stage itself."""

    def register(breach: Breach) -> Breach:
        def run(stage: Stage) -> None:
            if starts:
                stage.start()
            breach(stage)

        BREACHES.append((rule_id, breach.__name__, run))
        return breach

    return register


# -- both -------------------------------------------------------------------------------------------------


@breaks("NBL-1")
def miniport_touches_a_completed_send(stage: Stage) -> None:
    (nbl,) = stage.protocol.send(FRAME)

    def touch() -> None:
        nbl.status = NDIS_STATUS.FAILURE

    stage.as_miniport(touch)


@breaks("NBL-1")
def miniport_reads_a_completed_send(stage: Stage) -> None:
    (nbl,) = stage.protocol.send(FRAME)
    stage.as_miniport(lambda: nbl.first_net_buffer)


@breaks("NBL-1")
def protocol_touches_a_send_that_is_out(stage: Stage) -> None:
    stage.miniport.completes_at_once = False
    (nbl,) = stage.protocol.send(FRAME)
    stage.as_protocol(lambda: nbl.set_info(Slot.HASH_VALUE, 1))


@breaks("NBL-1")
def protocol_touches_what_it_returned(stage: Stage) -> None:
    stage.protocol.keeps = True
    stage.miniport.receive(FRAME)
    stage.run()
    (nbl,) = stage.protocol.kept
    stage.protocol.give_back()
    stage.as_protocol(lambda: nbl.info(Slot.HASH_VALUE))


@breaks("NBL-1")
def miniport_touches_what_it_indicated(stage: Stage) -> None:
    stage.protocol.keeps = True
    nbl = stage.miniport.nbl(FRAME)
    stage.as_miniport(lambda: stage.miniport.indicate([nbl]))
    stage.as_miniport(nbl.clear_info)


@breaks("NBL-1")
def protocol_keeps_what_came_with_resources(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    stage.as_miniport(lambda: stage.miniport.indicate([nbl], ReceiveFlag.RESOURCES))
    stage.as_protocol(lambda: nbl.first_net_buffer)


@breaks("NBL-2")
def cyclic_indication(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    nbl.next = nbl
    stage.as_miniport(lambda: stage.miniport.handle.m_indicate_receive_net_buffer_lists(nbl, 0, 1))


@breaks("NBL-2")
def cyclic_completion(stage: Stage) -> None:
    stage.miniport.completes_at_once = False
    (nbl,) = stage.protocol.send(FRAME)

    def complete() -> None:
        nbl.next = nbl
        stage.miniport.handle.m_send_net_buffer_lists_complete(nbl)

    stage.as_miniport(complete)


@breaks("NBL-2")
def data_beyond_the_mdls(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    assert nbl.first_net_buffer is not None
    nbl.first_net_buffer.data_length += 1
    stage.as_miniport(lambda: stage.miniport.indicate([nbl]))


@breaks("NBL-2")
def send_without_a_net_buffer(stage: Stage) -> None:
    stage.protocol.send_nbls([NetBufferList(None, stage.protocol.binding)])


@breaks("LEVEL-1")
def sleep_at_dispatch(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.handle.m_sleep(1), Level.DISPATCH)


@breaks("LEVEL-1")
def indicate_from_an_isr(stage: Stage) -> None:
    def service(right: Callable[..., Any], message: int) -> Any:
        stage.miniport.indicate([stage.miniport.nbl(FRAME)])
        return right(message)

    stage.miniport.hooks["interrupt"] = service
    stage.bus.signal(0)
    stage.run()


@breaks("LEVEL-2")
def dispatch_flag_at_passive(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    handle = stage.miniport.handle
    stage.as_miniport(
        lambda: handle.m_indicate_receive_net_buffer_lists(nbl, 0, 1, ReceiveFlag.DISPATCH_LEVEL)
    )


@breaks("LOCK-1")
def lock_held_across_an_indication(stage: Stage) -> None:
    with SpinLock(stage.ndis.processors):
        stage.miniport.indicate([stage.miniport.nbl(FRAME)])


@breaks("LOCK-2")
def dpc_returns_with_a_lock(stage: Stage) -> None:
    lock = SpinLock(stage.ndis.processors)
    stage.miniport.hooks["dpc"] = lambda right, message: lock.__enter__()
    stage.bus.signal(0)
    stage.run()


@breaks("STATE-1")
def status_after_halt(stage: Stage) -> None:
    stage.adapter.halt()
    stage.as_miniport(lambda: stage.miniport.link(MediaConnectState.CONNECTED))


@breaks("STATE-1")
def attributes_while_running(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.handle.m_set_miniport_attributes(RegistrationAttributes()))


@breaks("STATE-1")
def a_call_after_shutdown(stage: Stage) -> None:
    stage.adapter.shutdown()
    stage.as_miniport(lambda: stage.miniport.handle.m_allocate_timer(lambda: None))


@breaks("HANG-1")
def pause_never_ends(stage: Stage) -> None:
    stage.miniport.hooks["pause"] = lambda right: NDIS_STATUS.PENDING
    stage.adapter.pause()


@breaks("HANG-1")
def protocol_never_ends_a_pause(stage: Stage) -> None:
    stage.protocol.hooks["event"] = lambda right, event: NDIS_STATUS.PENDING
    stage.adapter.pause()


# -- bring-up and end -------------------------------------------------------------------------------------


def _initialize_with(stage: Stage, initialize: Callable[[Any], NDIS_STATUS]) -> None:
    stage.miniport.hooks["initialize_ex"] = lambda right, handle, parameters: initialize(handle)
    stage.adapter.initialize()


@breaks("INIT-1", starts=False)
def general_attributes_first(stage: Stage) -> None:
    _initialize_with(stage, lambda handle: handle.m_set_miniport_attributes(stage.miniport.general()))


@breaks("INIT-1", starts=False)
def registration_attributes_twice(stage: Stage) -> None:
    def initialize(handle: Any) -> NDIS_STATUS:
        handle.m_set_miniport_attributes(RegistrationAttributes())
        return NDIS_STATUS(handle.m_set_miniport_attributes(RegistrationAttributes()))

    _initialize_with(stage, initialize)


@breaks("INIT-1", starts=False)
def offload_attributes_before_general(stage: Stage) -> None:
    def initialize(handle: Any) -> NDIS_STATUS:
        handle.m_set_miniport_attributes(RegistrationAttributes())
        return NDIS_STATUS(handle.m_set_miniport_attributes(OffloadAttributes()))

    _initialize_with(stage, initialize)


@breaks("INIT-2", starts=False)
def interrupt_before_attributes(stage: Stage) -> None:
    _initialize_with(stage, lambda handle: handle.m_register_interrupt_ex(InterruptCharacteristics()))


@breaks("INIT-3", starts=False)
def no_general_attributes(stage: Stage) -> None:
    _initialize_with(stage, lambda handle: NDIS_STATUS.SUCCESS)


@breaks("INIT-4", starts=False)
def short_mac_address(stage: Stage) -> None:
    def initialize(handle: Any) -> NDIS_STATUS:
        handle.m_set_miniport_attributes(RegistrationAttributes())
        general = GeneralAttributes(STATION, STATION[:5], supported_oids=(1,))
        return NDIS_STATUS(handle.m_set_miniport_attributes(general))

    _initialize_with(stage, initialize)


@breaks("INIT-5", starts=False)
def failed_with_the_interrupt_registered(stage: Stage) -> None:
    def initialize(handle: Any) -> NDIS_STATUS:
        handle.m_set_miniport_attributes(RegistrationAttributes())
        handle.m_register_interrupt_ex(InterruptCharacteristics())
        return NDIS_STATUS.FAILURE

    _initialize_with(stage, initialize)


@breaks("HALT-1")
def halt_keeps_the_interrupt(stage: Stage) -> None:
    stage.miniport.hooks["halt_ex"] = lambda right, action: None
    stage.adapter.halt()


@breaks("HALT-2")
def halt_keeps_a_timer(stage: Stage) -> None:
    miniport = stage.miniport
    miniport.hooks["halt_ex"] = lambda right, action: miniport.handle.m_deregister_interrupt_ex(
        miniport.interrupt_handle
    )
    stage.as_miniport(lambda: miniport.handle.m_allocate_timer(lambda: None).set(10**12))
    stage.adapter.halt()


@breaks("PAUSE-1")
def pause_with_data_out(stage: Stage) -> None:
    stage.protocol.keeps = True
    stage.protocol.hooks["event"] = lambda right, event: NDIS_STATUS.SUCCESS
    stage.miniport.receive(FRAME)
    stage.run()
    stage.miniport.hooks["pause"] = lambda right: NDIS_STATUS.SUCCESS
    stage.adapter.pause()


@breaks("PAUSE-2")
def pause_with_sends_out(stage: Stage) -> None:
    stage.miniport.completes_at_once = False
    Injector(stage.adapter).send(net_buffer_list(FRAME))
    stage.miniport.hooks["pause"] = lambda right: NDIS_STATUS.SUCCESS
    stage.adapter.pause()


@breaks("PAUSE-3")
def pause_fails(stage: Stage) -> None:
    stage.miniport.hooks["pause"] = lambda right: NDIS_STATUS.FAILURE
    stage.adapter.pause()


@breaks("PAUSE-4")
def pause_completed_when_none_is_pending(stage: Stage) -> None:
    stage.as_miniport(stage.miniport.handle.m_pause_complete)


@breaks("PAUSE-4")
def pause_completed_both_ways(stage: Stage) -> None:
    def pause(right: Callable[[], NDIS_STATUS]) -> NDIS_STATUS:
        stage.miniport.handle.m_pause_complete()
        return NDIS_STATUS.SUCCESS

    stage.miniport.hooks["pause"] = pause
    stage.adapter.pause()


@breaks("RESTART-1")
def restart_completed_when_none_is_pending(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.handle.m_restart_complete(NDIS_STATUS.SUCCESS))


@breaks("RESTART-1")
def restart_completed_both_ways(stage: Stage) -> None:
    def restart(right: Callable[[], NDIS_STATUS]) -> NDIS_STATUS:
        stage.miniport.handle.m_restart_complete(NDIS_STATUS.SUCCESS)
        return NDIS_STATUS.SUCCESS

    stage.adapter.pause()
    stage.miniport.hooks["restart"] = restart
    stage.adapter.restart()


# -- sends ------------------------------------------------------------------------------------------------


def _complete(stage: Stage, nbls: list[NetBufferList], status: NDIS_STATUS = NDIS_STATUS.SUCCESS) -> None:
    def complete() -> None:
        for nbl in nbls:
            nbl.status = status
        stage.miniport.handle.m_send_net_buffer_lists_complete(link(nbls))

    stage.as_miniport(complete)


def _held(stage: Stage) -> list[NetBufferList]:
    stage.miniport.completes_at_once = False
    return stage.protocol.send(FRAME)


@breaks("SEND-1")
def completes_what_was_never_sent(stage: Stage) -> None:
    _complete(stage, [net_buffer_list(FRAME)])


@breaks("SEND-2")
def completes_a_send_twice(stage: Stage) -> None:
    nbls = _held(stage)
    _complete(stage, nbls)
    stage.miniport.handle.m_send_net_buffer_lists_complete(nbls[0])


@breaks("SEND-3")
def sends_although_paused(stage: Stage) -> None:
    stage.adapter.pause()

    def send(_: object, chain: NetBufferList) -> None:
        chain.status = NDIS_STATUS.SUCCESS
        stage.miniport.handle.m_send_net_buffer_lists_complete(chain)

    stage.miniport.hooks["send"] = send
    Injector(stage.adapter).send(net_buffer_list(FRAME))


@breaks("SEND-4")
def completes_with_pending(stage: Stage) -> None:
    _complete(stage, _held(stage), NDIS_STATUS.PENDING)


@breaks("SEND-5")
def changes_the_data(stage: Stage) -> None:
    nbls = _held(stage)
    buffer = nbls[0]._first_net_buffer
    assert buffer is not None
    buffer.write(20, b"\xff")
    _complete(stage, nbls)


@breaks("SEND-5")
def forgets_to_retreat(stage: Stage) -> None:
    nbls = _held(stage)
    buffer = nbls[0]._first_net_buffer
    assert buffer is not None
    buffer.advance_data_start(14)
    _complete(stage, nbls)


@breaks("SEND-6")
def sends_in_low_power(stage: Stage) -> None:
    stage.adapter.set_power(DevicePowerState.D3)
    stage.miniport.is_low_power = False
    Injector(stage.adapter).send(net_buffer_list(FRAME))


@breaks("SEND-7")
def aborts_what_nobody_cancelled(stage: Stage) -> None:
    _complete(stage, _held(stage), NDIS_STATUS.SEND_ABORTED)


def _large(stage: Stage, info: LargeSend, payload: int = 3000) -> NetBufferList:
    tcp = bytes(12) + b"\x50" + bytes(7)
    nbl = net_buffer_list(FRAME[:14] + bytes(20) + tcp + bytes(payload), stage.protocol.binding)
    nbl.set_info(Slot.TCP_LARGE_SEND, info.value)
    return nbl


@breaks("LSO-1")
def leaves_the_large_send_information(stage: Stage) -> None:
    stage.miniport.completes_at_once = False
    nbl = _large(stage, LargeSend(1460, 34, LargeSendType.V1))
    stage.protocol.send_nbls([nbl])
    _complete(stage, [nbl])


@breaks("PSEND-1")
def sends_what_is_still_out(stage: Stage) -> None:
    (nbl,) = _held(stage)
    stage.protocol.binding.send_net_buffer_lists(nbl)


@breaks("PSEND-2")
def sends_while_paused(stage: Stage) -> None:
    stage.adapter.pause()
    stage.protocol.send(FRAME)


@breaks("PSEND-3")
def foreign_source_handle(stage: Stage) -> None:
    stage.protocol.send_nbls([net_buffer_list(FRAME, object())])


@breaks("PSEND-4")
def asks_for_a_checksum_that_is_off(stage: Stage) -> None:
    stage.adapter.sends.offload = Offload()
    nbl = net_buffer_list(FRAME, stage.protocol.binding)
    nbl.set_info(Slot.TCP_IP_CHECKSUM, TransmitChecksum(is_ipv4=True, tcp=True).value)
    stage.protocol.send_nbls([nbl])


@breaks("PSEND-4")
def large_send_beyond_the_maximum(stage: Stage) -> None:
    stage.protocol.send_nbls([_large(stage, LargeSend(1460, 34, LargeSendType.V1), 65537)])


@breaks("PSEND-4")
def large_send_of_one_segment(stage: Stage) -> None:
    stage.protocol.send_nbls([_large(stage, LargeSend(1460, 34), 1000)])


@breaks("PSEND-4")
def large_send_in_two_net_buffers(stage: Stage) -> None:
    nbl = _large(stage, LargeSend(1460, 34))
    assert nbl.first_net_buffer is not None
    nbl.first_net_buffer.next = net_buffer(FRAME)
    stage.protocol.send_nbls([nbl])


# -- receives ---------------------------------------------------------------------------------------------


def _indicate(stage: Stage, nbl: NetBufferList, flags: int = 0, count: int = 1) -> None:
    handle = stage.miniport.handle
    stage.as_miniport(lambda: handle.m_indicate_receive_net_buffer_lists(nbl, 0, count, flags))


@breaks("RECV-1")
def indicates_while_paused(stage: Stage) -> None:
    stage.adapter.pause()
    _indicate(stage, stage.miniport.nbl(FRAME))


@breaks("RECV-1", starts=False)
def indicates_before_running(stage: Stage) -> None:
    stage.adapter.initialize()
    _indicate(stage, stage.miniport.nbl(FRAME))


@breaks("RECV-2")
def counts_wrong(stage: Stage) -> None:
    _indicate(stage, stage.miniport.nbl(FRAME), count=2)


@breaks("RECV-3")
def indicates_what_is_out(stage: Stage) -> None:
    stage.protocol.keeps = True
    nbl = stage.miniport.nbl(FRAME)
    _indicate(stage, nbl)
    stage.miniport.handle.m_indicate_receive_net_buffer_lists(nbl, 0, 1)


@breaks("RECV-3")
def indicates_a_send(stage: Stage) -> None:
    (nbl,) = stage.protocol.send(FRAME)
    stage.miniport.handle.m_indicate_receive_net_buffer_lists(nbl, 0, 1)


@breaks("RECV-4")
def source_handle_missing(stage: Stage) -> None:
    _indicate(stage, net_buffer_list(FRAME))


@breaks("RECV-5")
def two_net_buffers_in_one_list(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    assert nbl.first_net_buffer is not None
    nbl.first_net_buffer.next = net_buffer(FRAME)
    _indicate(stage, nbl)


@breaks("RECV-5")
def frame_without_a_whole_header(stage: Stage) -> None:
    _indicate(stage, stage.miniport.nbl(FRAME[:13]))


@breaks("RECV-6")
def claims_a_filter_it_does_not_match(stage: Stage) -> None:
    _indicate(stage, stage.miniport.nbl(b"\x02" * 6 + bytes(54)), ReceiveFlag.PERFECT_FILTERED)


@breaks("RECV-7")
def reuses_a_buffer_that_is_out(stage: Stage) -> None:
    stage.protocol.keeps = True
    nbl = stage.miniport.nbl(FRAME)
    stage.as_miniport(lambda: stage.miniport.indicate([nbl]))
    buffer = nbl._first_net_buffer
    assert buffer is not None
    buffer.write(14, b"new frame")
    stage.protocol.give_back()


@breaks("RECV-7")
def protocol_writes_what_it_only_lent(stage: Stage) -> None:
    def receive(_: object, binding: object, chain: NetBufferList, flags: object) -> None:
        assert chain.first_net_buffer is not None
        chain.first_net_buffer.write(0, b"\0")

    stage.protocol.hooks["receive"] = receive
    _indicate(stage, stage.miniport.nbl(FRAME), ReceiveFlag.RESOURCES)


@breaks("RECV-8")
def checksum_both_good_and_bad(stage: Stage) -> None:
    nbl = stage.miniport.nbl(FRAME)
    nbl.set_info(Slot.TCP_IP_CHECKSUM, ReceiveChecksum(tcp_failed=True, tcp_succeeded=True).value)
    _indicate(stage, nbl)


def _hashed(stage: Stage, hash_type: int, function: int, value: int) -> NetBufferList:
    nbl = stage.miniport.nbl(FRAME)
    nbl.set_hash(hash_type, function, value)
    return nbl


@breaks("RSS-1")
def stale_hash_value(stage: Stage) -> None:
    _indicate(stage, _hashed(stage, 0, 0, 0x1234))


@breaks("RSS-2")
def hash_without_rss(stage: Stage) -> None:
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 1, 1))


@breaks("RSS-2")
def hash_type_that_is_not_enabled(stage: Stage) -> None:
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, HashType.IPV4, 1, 1))


@breaks("RSS-2")
def two_hash_types_at_once(stage: Stage) -> None:
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4 | HashType.IPV4, 1, 1))


@breaks("RSS-2")
def another_hash_function(stage: Stage) -> None:
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 2, 1))


@breaks("RSS-3")
def wrong_hash_value(stage: Stage) -> None:
    stage.adapter.rss._oracle = lambda frame, types, key: (HashType.TCP_IPV4, 5)
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 1, 4))


@breaks("RSS-3")
def a_hashable_frame_not_hashed(stage: Stage) -> None:
    stage.adapter.rss._oracle = lambda frame, types, key: (HashType.TCP_IPV4, 5)
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, 0, 0, 0))


@breaks("RSS-4")
def on_the_wrong_processor(stage: Stage) -> None:
    stage.adapter.rss._is_strict = True
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 1, 1))


@breaks("PRECV-1")
def returns_twice(stage: Stage) -> None:
    stage.protocol.keeps = True
    stage.miniport.receive(FRAME)
    stage.run()
    (nbl,) = stage.protocol.kept
    stage.protocol.give_back()
    stage.protocol.binding.return_net_buffer_lists(nbl)


@breaks("PRECV-1")
def returns_its_own_send(stage: Stage) -> None:
    (nbl,) = stage.protocol.send(FRAME)
    stage.protocol.binding.return_net_buffer_lists(nbl)


@breaks("PRECV-2")
def returns_what_came_with_resources(stage: Stage) -> None:
    stage.protocol.hooks["receive"] = lambda right, binding, chain, flags: binding.return_net_buffer_lists(
        chain
    )
    _indicate(stage, stage.miniport.nbl(FRAME), ReceiveFlag.RESOURCES)


@breaks("PRECV-2")
def breaks_the_chain_it_was_lent(stage: Stage) -> None:
    def receive(_: object, binding: object, chain: NetBufferList, flags: object) -> None:
        chain.next = None

    stage.protocol.hooks["receive"] = receive
    nbls = [stage.miniport.nbl(FRAME), stage.miniport.nbl(FRAME)]
    stage.as_miniport(lambda: stage.miniport.indicate(nbls, ReceiveFlag.RESOURCES))


# -- OID requests -----------------------------------------------------------------------------------------


def _answer(stage: Stage, answer: Callable[[OidRequest], NDIS_STATUS]) -> None:
    stage.miniport.hooks["oid_request"] = lambda right, request: answer(request)


@breaks("OID-1")
def oid_completed_when_none_is_pending(stage: Stage) -> None:
    request = query(OID.GEN_STATISTICS, 152)
    stage.as_miniport(lambda: stage.miniport.handle.m_oid_request_complete(request, NDIS_STATUS.SUCCESS))


@breaks("OID-1")
def oid_completed_both_ways(stage: Stage) -> None:
    def answer(request: OidRequest) -> NDIS_STATUS:
        request.answer(b"x")
        stage.miniport.handle.m_oid_request_complete(request, NDIS_STATUS.SUCCESS)
        return NDIS_STATUS.SUCCESS

    _answer(stage, answer)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)


@breaks("OID-1")
def oid_completed_twice(stage: Stage) -> None:
    held: list[OidRequest] = []

    def hold(request: OidRequest) -> NDIS_STATUS:
        held.append(request)
        return NDIS_STATUS.PENDING

    _answer(stage, hold)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)
    held[0].answer(b"x")
    for _ in range(2):
        stage.miniport.handle.m_oid_request_complete(held[0], NDIS_STATUS.SUCCESS)


@breaks("OID-2")
def more_written_than_the_buffer_holds(stage: Stage) -> None:
    def answer(request: OidRequest) -> NDIS_STATUS:
        request.bytes_written = request.buffer_length + 1
        return NDIS_STATUS.SUCCESS

    _answer(stage, answer)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)


@breaks("OID-2")
def buffer_grown(stage: Stage) -> None:
    def answer(request: OidRequest) -> NDIS_STATUS:
        request.buffer += b"more"
        request.bytes_written = 4
        return NDIS_STATUS.SUCCESS

    _answer(stage, answer)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)


@breaks("OID-2")
def success_with_nothing_written(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.SUCCESS)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)


@breaks("OID-3")
def too_short_without_bytes_needed(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.BUFFER_TOO_SHORT)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION, 1)


@breaks("OID-4")
def oid_completed_with_pending(stage: Stage) -> None:
    held: list[OidRequest] = []

    def hold(request: OidRequest) -> NDIS_STATUS:
        held.append(request)
        return NDIS_STATUS.PENDING

    _answer(stage, hold)
    stage.protocol.query(OID.GEN_VENDOR_DESCRIPTION)
    stage.miniport.handle.m_oid_request_complete(held[0], NDIS_STATUS.PENDING)


@breaks("OID-5")
def lists_an_oid_it_does_not_support(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.NOT_SUPPORTED)
    stage.protocol.query(OID.GEN_STATISTICS)


@breaks("OID-6")
def offload_set_without_an_indication(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.SUCCESS)
    stage.protocol.set(OID.TCP_OFFLOAD_PARAMETERS, OffloadParameters().pack())
    stage.protocol.query(OID.GEN_MAXIMUM_FRAME_SIZE)


@breaks("OID-7")
def accepts_a_table_of_three(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.SUCCESS)
    bad = ReceiveScaleParameters(RssFlag.NONE, HashType.IPV4 | 1, (0, 1, 0), bytes(40))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, bad.pack())


@breaks("OID-7")
def accepts_unchanged_of_nothing(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.SUCCESS)
    bad = ReceiveScaleParameters(RssFlag.HASH_KEY_UNCHANGED, HashType.IPV4 | 1, (0,))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, bad.pack())


@breaks("OID-8")
def receive_hash_on_top_of_rss(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.SUCCESS)
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    both = ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, HashType.IPV4 | 1, bytes(40))
    stage.protocol.set(OID.GEN_RECEIVE_HASH, both.pack())


@breaks("POID-1")
def request_used_again_while_pending(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.PENDING)
    request = query(OID.GEN_STATISTICS, 152)
    stage.protocol.binding.oid_request(request)
    stage.protocol.binding.oid_request(request)


# -- status, offload, reset, interrupts, PnP --------------------------------------------------------------


@breaks("STATUS-1")
def link_state_cut_short(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.indicate_status(NDIS_STATUS.LINK_STATE, bytes(39)))


@breaks("STATUS-2")
def media_connect_of_ndis_5(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.indicate_status(NDIS_STATUS.MEDIA_CONNECT))


@breaks("STATUS-2")
def reset_start_by_the_miniport(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.indicate_status(NDIS_STATUS.RESET_START))


@breaks("OFFLOAD-1", starts=False)
def default_beyond_the_hardware(stage: Stage) -> None:
    stage.miniport.config = Offload(lso_v1=LargeSendV1(Encapsulation.IEEE_802_3, 1 << 20, 2))
    stage.adapter.initialize()


@breaks("OFFLOAD-1")
def current_config_beyond_the_hardware(stage: Stage) -> None:
    more = Offload(lso_v1=LargeSendV1(Encapsulation.IEEE_802_3, 65536, 1))
    stage.as_miniport(
        lambda: stage.miniport.indicate_status(NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG, more.pack())
    )


@breaks("RESET-1")
def reset_completed_when_none_is_pending(stage: Stage) -> None:
    stage.as_miniport(lambda: stage.miniport.handle.m_reset_complete(NDIS_STATUS.SUCCESS, False))


@breaks("RESET-1")
def reset_completed_both_ways(stage: Stage) -> None:
    def reset(_: object) -> ResetResult:
        stage.miniport.handle.m_reset_complete(NDIS_STATUS.SUCCESS, False)
        return ResetResult(NDIS_STATUS.SUCCESS)

    stage.miniport.hooks["reset_ex"] = reset
    stage.adapter.reset()


@breaks("RESET-2")
def send_outlives_a_reset(stage: Stage) -> None:
    stage.miniport.ndis_version = (6, 30)
    _held(stage)
    stage.miniport.hooks["reset_ex"] = lambda right: ResetResult(NDIS_STATUS.SUCCESS)
    stage.adapter.reset()


@breaks("RESET-2")
def oid_request_outlives_a_reset(stage: Stage) -> None:
    stage.miniport.ndis_version = (6, 30)
    _answer(stage, lambda request: NDIS_STATUS.PENDING)
    stage.protocol.query(OID.GEN_STATISTICS)
    stage.adapter.reset()


@breaks("RESET-3")
def reset_ends_with_a_strange_status(stage: Stage) -> None:
    stage.miniport.hooks["reset_ex"] = lambda right: ResetResult(NDIS_STATUS.FAILURE)
    stage.adapter.reset()


@breaks("INT-1")
def dpc_after_deregistering(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    stage.as_miniport(lambda: handle.m_deregister_interrupt_ex(interrupt))
    stage.as_miniport(lambda: handle.m_queue_dpc_ex(interrupt, 0, frozenset({0})))


@breaks("INT-1")
def deregistered_twice(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    for _ in range(2):
        stage.as_miniport(lambda: handle.m_deregister_interrupt_ex(interrupt))


@breaks("INT-2")
def dpc_on_a_processor_that_is_not_there(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    stage.as_miniport(lambda: handle.m_queue_dpc_ex(interrupt, 0, frozenset({2})))


@breaks("INT-2")
def dpc_for_a_message_that_was_not_granted(stage: Stage) -> None:
    handle, interrupt = stage.miniport.handle, stage.miniport.interrupt_handle
    stage.as_miniport(lambda: handle.m_queue_dpc_ex(interrupt, 4, frozenset({0})))


@breaks("PNP-1")
def pause_event_done_with_sends_out(stage: Stage) -> None:
    _held(stage)
    stage.protocol.hooks["event"] = lambda right, event: NDIS_STATUS.SUCCESS
    stage.adapter.pause()


@breaks("PNP-2")
def closes_with_an_oid_request_out(stage: Stage) -> None:
    _answer(stage, lambda request: NDIS_STATUS.PENDING)
    stage.protocol.query(OID.GEN_STATISTICS)
    stage.protocol.binding.close()


@breaks("PNP-2")
def unbound_without_closing(stage: Stage) -> None:
    stage.protocol.hooks["unbind"] = lambda right: None
    assert stage.binding is not None
    stage.adapter.unbind(stage.binding)


# -- the tests --------------------------------------------------------------------------------------------


def test_every_rule_is_broken_once() -> None:
    of_the_chimney = {rule.id for rule in CHIMNEY_RULES}  # broken in test_chimney_*.py
    assert {rule_id for rule_id, _, _ in BREACHES} == set(RULES) - of_the_chimney


@pytest.mark.parametrize(("rule_id", "name", "breach"), BREACHES, ids=[f"{r}-{n}" for r, n, _ in BREACHES])
def test_a_breach_is_named(make_stage: StageMaker, rule_id: str, name: str, breach: Breach) -> None:
    stage = make_stage()
    with pytest.raises(NdisViolation) as caught:
        breach(stage)
    violation = caught.value
    assert violation.rule_id == rule_id
    assert violation.source_page == RULES[rule_id].page
    binds = {"miniport": {"FakeMiniport"}, "protocol": {"FakeProtocol"}}.get(RULES[rule_id].binds)
    assert binds is None or violation.driver in binds
    assert violation.history
    assert str(violation.history[-1]) in str(violation)
    assert stage.ndis.violations[0] is violation


@pytest.mark.parametrize("seed", range(5))
def test_a_breach_is_found_under_any_schedule(make_stage: StageMaker, seed: int) -> None:
    for rule_id, _, breach in BREACHES:
        with pytest.raises(NdisViolation) as caught:
            breach(make_stage(seed=seed))
        assert caught.value.rule_id == rule_id


def test_a_breach_that_a_driver_hides_is_still_known(make_stage: StageMaker) -> None:
    stage = make_stage().start()

    def hide() -> None:
        with suppress(NdisViolation):
            stage.miniport.handle.m_pause_complete()

    stage.as_miniport(hide)
    assert [violation.rule_id for violation in stage.ndis.violations] == ["PAUSE-4"]


def test_rules_have_a_text_a_page_and_somebody_they_bind() -> None:
    for rule in RULES.values():
        assert rule.binds in ("miniport", "protocol", "both")
        assert rule.page.startswith(("windows-driver-docs: network/", "windows-driver-docs-ddi: "))
        assert rule.text[0].islower()
    assert all(name.startswith("Ndis") for name in LEVELS)


def test_the_oracle_and_the_right_processor_are_silent(make_stage: StageMaker) -> None:
    stage = make_stage(
        hash_oracle=lambda frame, types, key: (HashType.TCP_IPV4, 1), is_strict_rss=True
    ).start()
    assert stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack()) == NDIS_STATUS.SUCCESS
    nbl = _hashed(stage, HashType.TCP_IPV4, 1, 1)
    with stage.ndis.processors.on(1):
        stage.as_miniport(lambda: stage.miniport.indicate([nbl]))
    assert (stage.adapter.rss.on_processor, stage.adapter.rss.off_processor) == (1, 0)


@pytest.mark.requirement("INV-55")
def test_a_hash_of_before_the_change_is_still_explained(make_stage: StageMaker) -> None:
    stage = make_stage().start()
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, RSS.pack())
    newer = ReceiveScaleParameters(RssFlag.HASH_KEY_UNCHANGED, HashType.IPV6 | 1, (0,))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, newer.pack())
    _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 1, 1))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, newer.pack())
    with pytest.raises(NdisViolation) as caught:
        _indicate(stage, _hashed(stage, HashType.TCP_IPV4, 1, 1))
    assert caught.value.rule_id == "RSS-2"


@pytest.mark.parametrize(
    ("enabled", "reported"),
    [(HashType.TCP_IPV6_EX, HashType.TCP_IPV6), (HashType.IPV6, HashType.IPV6_EX)],
)
def test_ex_and_plain_types_stand_for_each_other(
    make_stage: StageMaker, enabled: HashType, reported: HashType
) -> None:
    stage = make_stage().start()
    wanted = ReceiveScaleParameters(RssFlag.NONE, enabled | 1, (0,), bytes(40))
    stage.protocol.set(OID.GEN_RECEIVE_SCALE_PARAMETERS, wanted.pack())
    _indicate(stage, _hashed(stage, reported, 1, 9))
    assert stage.protocol.frames


def test_set_and_query_print_as_ndis_names_them() -> None:
    assert str(set_(OID.O802_3_MULTICAST_LIST, b"")) == "set OID_802_3_MULTICAST_LIST [0]"
    assert str(query(0x12345678, 4)) == "query OID 0x12345678 [4]"
