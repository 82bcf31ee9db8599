"""A teaming driver: one virtual adapter over several, of which one carries the traffic and the chimney."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vnic.ndis.attributes import AttributeFlag as Flag
from vnic.ndis.attributes import HaltAction, OffloadAttributes, RegistrationAttributes
from vnic.ndis.chimney import ClientChimney
from vnic.ndis.miniport import (
    DriverHandle,
    InitParameters,
    MiniportHandle,
    NdisFailure,
    ReceiveFlag,
    ReturnFlag,
    SendCompleteFlag,
    SendFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.offload import Offload
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, RequestType, query
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    DevicePowerState,
    LinkState,
    MediaConnectState,
    StatusIndication,
    StructureError,
)
from vnic.protocol.intermediate import OWN_OIDS, IntermediateDriver, answer, clone, general
from vnic.protocol.scaling import scaling_off
from vnic.protocol.teaming_chimney import MOODS, Mood, TeamChimney, TeamDown, TeamUp
from vnic.protocol.teaming_member import Member, common_offload, common_parameters

_SUCCESS = NDIS_STATUS.SUCCESS
_LIST_BYTES = 4096


@dataclass(slots=True, eq=False)
class _Asked:
    """A request from above, and how many members still owe an answer to it."""

    original: OidRequest
    left: int
    status: NDIS_STATUS = _SUCCESS


class TeamingDriver(IntermediateDriver):
    """Members bear the same address (NetworkAddress); a member that is another station is declined.

    One member is active: it sends, and has what is offloaded. When its link goes, it is paused, loses power
    or is removed, the next that is fit takes over, and keeps the traffic when the first is back. The virtual
    adapter's link is up while a member's is. Frames come up from every member, group frames from the active
    one only. Members are bound before the virtual adapter is initialized; any may leave.
    """

    def __init__(self) -> None:
        super().__init__(has_chimney=True)
        self.members: list[Member] = []
        self.active: Member | None = None
        #: How often another member took over.
        self.failovers = 0
        self._chimney = TeamChimney(self._tell, self._later)
        self._asked: dict[int, _Asked] = {}
        self._is_link_up = False

    # -- the team --------------------------------------------------------------------------------------------

    def _member(self, binding: BindingHandle) -> Member:
        return next(each for each in self.members if each.binding is binding)

    def _review(self) -> None:
        """Somebody's circumstances changed: who is active, what the host must hear, who is quiet now."""
        self._choose()
        active = self.active
        calls = active.calls if active is not None and active.takes_frames else None
        if self._virtual is not None:
            self._chimney.review(calls, active.mood if active is not None else Mood.OPEN)
            self._tell_link()
        self._look_for_pauses()

    def _choose(self) -> None:
        if self.active is not None and self.active.is_fit:
            return
        ready = [each for each in self.members if each.is_fit]
        ready += [each for each in self.members if each.takes_frames]
        if ready and ready[0] is not self.active:
            self.failovers += self.active is not None
            self.active = ready[0]

    def _tell_link(self) -> None:
        is_up = any(each.is_fit for each in self.members)
        if is_up != self._is_link_up and self.active is not None:
            self._is_link_up = is_up
            state = self.active.link.pack() if is_up else LinkState(MediaConnectState.DISCONNECTED).pack()
            assert self._virtual is not None
            self._virtual.m_indicate_status_ex(StatusIndication(NDIS_STATUS.LINK_STATE, state))

    def _tell(self, status: NDIS_STATUS) -> None:
        assert self._virtual is not None
        self._virtual.m_indicate_status_ex(StatusIndication(status))

    def _later(self, work: Callable[[], None]) -> None:
        assert self._virtual is not None
        self._virtual.m_queue_work_item(work)

    # -- protocol edge: binding ------------------------------------------------------------------------------

    def client_chimney(self) -> ClientChimney | None:
        """Handlers of the protocol edge, of every member."""
        return TeamUp(self._chimney, self._review)

    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx: one more member."""
        station = parameters.current_mac_address
        if self.members and self.members[0].parameters.current_mac_address != station:
            return NDIS_STATUS.NOT_ACCEPTED
        self.members.append(
            Member(binding, parameters, binding.chimney, parameters.link_state, parameters.offload_config)
        )
        return _SUCCESS

    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        """ProtocolUnbindAdapterEx: it was paused before, so nothing is left there."""
        member = self._member(binding)
        self.members.remove(member)
        if member is self.active:
            self.active = None
        binding.close()
        self._review()
        return _SUCCESS

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: a pause, or low power, lasts until sends and offloads have left the member."""
        member = self._member(binding)
        is_leaving = event is NetEvent.PAUSE
        if event is NetEvent.SET_POWER:
            member.is_powered = data is DevicePowerState.D0
            is_leaving = not member.is_powered
        elif event in (NetEvent.PAUSE, NetEvent.RESTART):
            member.is_running = event is NetEvent.RESTART
        self._review()
        if not is_leaving or self._is_quiet(member):
            return _SUCCESS
        member.leaving = event
        return NDIS_STATUS.PENDING

    def _is_quiet(self, member: Member) -> bool:
        return not member.sending and not self._chimney.is_at(member.calls)

    def _look_for_pauses(self) -> None:
        if self._is_pause_pending and not self._sending and self._virtual is not None:
            self._is_pause_pending = False
            self._virtual.m_pause_complete()
        for member in self.members:
            if member.leaving is not None and self._is_quiet(member):
                event, member.leaving = member.leaving, None
                member.binding.complete_net_pnp_event(event, _SUCCESS)

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx: link and chimney are the team's to judge; offloads are what all can do."""
        member = self._member(binding)
        status = indication.status
        try:
            if status == NDIS_STATUS.LINK_STATE:
                member.link = LinkState.parse(indication.buffer)
                self._review()
            elif status in MOODS:
                member.mood = MOODS[NDIS_STATUS(status)]
                self._review()
            elif status == NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG:
                self._configured(member, Offload.parse(indication.buffer))
            elif member is self.active and self._virtual is not None:
                self._virtual.m_indicate_status_ex(StatusIndication(status, indication.buffer))
        except StructureError:
            return  # NDIS told the miniport

    def _configured(self, member: Member, config: Offload) -> None:
        """A member's offloads in force: the team's are those in force at all of them."""
        member.offload = config
        common: Offload | None = config
        for each in self.members:
            common = common_offload(common, each.offload)
        if common is not None and self._virtual is not None:
            made = StatusIndication(NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG, common.pack())
            self._virtual.m_indicate_status_ex(made)

    # -- protocol edge: data ---------------------------------------------------------------------------------

    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        """ProtocolReceiveNetBufferLists: clones go up, but of a group frame only the active member's."""
        is_active = self.active is not None and binding is self.active.binding
        taken: list[NetBufferList] = []
        declined: list[NetBufferList] = []
        for nbl in walk(chain):
            is_wanted = self._is_running and (is_active or not _is_to_group(nbl))
            (taken if is_wanted else declined).append(nbl)
        if declined and not flags & ReceiveFlag.RESOURCES:
            head = link(declined)
            assert head is not None
            binding.return_net_buffer_lists(head)
        if not taken or self._virtual is None:
            return
        clones = []
        for nbl in taken:
            clones.append(clone(nbl, self._virtual))
            clones[-1].miniport_reserved = binding, nbl
        self.received += len(clones)
        self._virtual.m_indicate_receive_net_buffer_lists(link(clones), port, len(clones), int(flags))

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete: the originals go back up."""
        self._member(binding).sending -= sum(1 for _ in walk(chain))
        super().send_net_buffer_lists_complete(binding, chain, flags)

    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """ProtocolOidRequestComplete: the request from above ends with the last member's answer."""
        asked = self._asked.pop(id(request), None)
        if asked is None:
            return  # one of its own
        final = _settle(asked, request, status)
        if final is not NDIS_STATUS.PENDING and self._virtual is not None:
            self._virtual.m_oid_request_complete(asked.original, final)

    # -- miniport edge: life ---------------------------------------------------------------------------------

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        """MiniportSetOptions: the chimney handlers."""
        return handle.m_set_optional_handlers(TeamDown(self._chimney))

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx: the virtual adapter is what all members are."""
        self._choose()
        if self.active is None:
            return NDIS_STATUS.ADAPTER_NOT_READY
        common = common_parameters(self.members)
        self._is_link_up = any(each.is_fit for each in self.members)
        handle.m_set_miniport_attributes(RegistrationAttributes(self, Flag.NDIS_WDM))
        shown = self.active.link
        handle.m_set_miniport_attributes(general(common, shown, self._supported_oids()))
        if common.offload_config is not None:
            offload, connections = common.offload_config, common.connection_offload_config
            handle.m_set_miniport_attributes(OffloadAttributes(offload, offload, connections, connections))
        try:
            self._chimney.start(handle.m_get_offload_handlers(), self.active.calls)
        except NdisFailure as error:
            return error.status
        for each in self.members:
            if each.parameters.receive_scale is not None:
                each.binding.oid_request(scaling_off())  # as whoever was bound before has left it
        self._virtual = handle
        return _SUCCESS

    def _supported_oids(self) -> tuple[int, ...]:
        lists = [_oids_of(each.binding) for each in self.members]
        return tuple(oid for oid in lists[0] if all(oid in each for each in lists))

    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx."""
        self._virtual = None

    # -- miniport edge: data ---------------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists: clones go to the active member, while that runs."""
        member = self.active
        nbls = list(walk(chain))
        if member is None or not member.takes_frames:
            for nbl in nbls:
                nbl.status = NDIS_STATUS.PAUSED
            assert self._virtual is not None
            self._virtual.m_send_net_buffer_lists_complete(link(nbls))
            return
        clones = []
        for nbl in nbls:
            clones.append(clone(nbl, member.binding))
            clones[-1].protocol_reserved = nbl
        self.sent += len(clones)
        self._sending += len(clones)
        member.sending += len(clones)
        head = link(clones)
        assert head is not None
        member.binding.send_net_buffer_lists(head, port)

    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend: wherever it went."""
        for member in self.members:
            member.binding.cancel_send_net_buffer_lists(cancel_id)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists: each original goes back to its member."""
        originals: dict[BindingHandle, list[NetBufferList]] = {}
        for each in walk(chain):
            assert isinstance(each.miniport_reserved, tuple)
            binding, nbl = each.miniport_reserved
            originals.setdefault(binding, []).append(nbl)
        for binding, nbls in originals.items():
            head = link(nbls)
            assert head is not None
            binding.return_net_buffer_lists(head)

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest: what is set is set at every member, what is asked is asked of the active."""
        if request.oid in OWN_OIDS:
            request.bytes_read = request.buffer_length
            return _SUCCESS
        members = (
            self.members if request.type is RequestType.SET_INFORMATION else [self.active or self.members[0]]
        )
        asked = _Asked(request, len(members))
        status = NDIS_STATUS.PENDING
        for member in list(members):
            below = OidRequest(request.type, request.oid, bytearray(request.buffer), port=request.port)
            self._asked[id(below)] = asked
            result = member.binding.oid_request(below)
            if result != NDIS_STATUS.PENDING:
                del self._asked[id(below)]
                status = _settle(asked, below, result)
        return status

    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest: the adapters below answer soon."""


def _settle(asked: _Asked, below: OidRequest, status: NDIS_STATUS) -> NDIS_STATUS:
    """One member answered; PENDING while others have not, else what the request ends with."""
    asked.left -= 1
    if status != _SUCCESS:
        asked.status = status
    answer(asked.original, below)
    return NDIS_STATUS.PENDING if asked.left else asked.status


def _oids_of(binding: BindingHandle) -> tuple[int, ...]:
    request = query(OID.GEN_SUPPORTED_LIST, _LIST_BYTES)
    if binding.oid_request(request) != _SUCCESS:
        return ()
    data = request.data
    return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))


def _is_to_group(nbl: NetBufferList) -> bool:
    buffer = nbl.first_net_buffer
    assert buffer is not None
    _, part = next(iter(buffer.views()))
    return bool(part[0] & 1)
