"""The rules the NDIS layer holds drivers to: one table of id, who is bound, text and public page."""

from __future__ import annotations

from collections.abc import Mapping

from vnic.host.cpu import Level
from vnic.ndis.chimney_rules import CHIMNEY_RULES
from vnic.ndis.rule import Rule

_DDI = "windows-driver-docs-ddi: ndis/"
_GUIDE = "windows-driver-docs: network/"


_MINI, _PROTO, _BOTH = "miniport", "protocol", "both"

_TABLE = (
    # what every driver owes
    Rule("NBL-1", _BOTH, "touches no NET_BUFFER_LIST that it has given away",
         _DDI + "nc-ndis-miniport_send_net_buffer_lists"),
    Rule("NBL-2", _BOTH, "passes well-formed chains: no cycle, NET_BUFFERs present, data inside their MDLs",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("LEVEL-1", _BOTH, "calls NDIS only at a level the function allows",
         _DDI + "nf-ndis-ndismsendnetbufferlistscomplete (IRQL of each page)"),
    Rule("LEVEL-2", _BOTH, "sets a DISPATCH_LEVEL flag only when it runs at DISPATCH_LEVEL",
         _GUIDE + "dispatch-irql-tracking"),
    Rule("LOCK-1", _BOTH, "holds no spin lock across a call that can call back",
         _DDI + "nf-ndis-ndismresetcomplete~r1"),
    Rule("LOCK-2", _BOTH, "returns with every spin lock released and the level it was called at",
         _DDI + "nc-ndis-miniport_interrupt_dpc"),
    Rule("STATE-1", _MINI, "makes no call that is not valid in the adapter's state",
         _GUIDE + "miniport-adapter-states-and-operations"),
    Rule("HANG-1", _BOTH, "ends every pending operation", _GUIDE + "miniport-adapter-states-and-operations"),
    # bring-up and end
    Rule("INIT-1", _MINI, "sets registration attributes first, then general, then others, each once",
         _DDI + "nf-ndis-ndismsetminiportattributes"),
    Rule("INIT-2", _MINI, "sets registration attributes before it claims an interrupt",
         _DDI + "nf-ndis-ndismregisterinterruptex"),
    Rule("INIT-3", _MINI, "has set general attributes when initialization succeeds",
         _DDI + "nf-ndis-ndismsetminiportattributes"),
    Rule("INIT-4", _MINI, "sets attributes that are valid",
         _DDI + "ns-ndis-_ndis_miniport_adapter_general_attributes"),
    Rule("INIT-5", _MINI, "leaves nothing registered when initialization fails",
         _DDI + "nc-ndis-miniport_initialize"),
    Rule("HALT-1", _MINI, "deregisters its interrupt before MiniportHaltEx returns",
         _DDI + "nc-ndis-miniport_halt"),
    Rule("HALT-2", _MINI, "cancels its timers before MiniportHaltEx returns", _DDI + "nc-ndis-miniport_halt"),
    Rule("PAUSE-1", _MINI, "has every indicated NET_BUFFER_LIST back before it completes a pause",
         _DDI + "nc-ndis-miniport_pause"),
    Rule("PAUSE-2", _MINI, "completes every send before it completes a pause",
         _DDI + "nc-ndis-miniport_pause"),
    Rule("PAUSE-3", _MINI, "cannot fail a pause: SUCCESS or PENDING", _DDI + "nc-ndis-miniport_pause"),
    Rule("PAUSE-4", _MINI, "completes a pause once, and only a pending one",
         _DDI + "nf-ndis-ndismpausecomplete"),
    Rule("RESTART-1", _MINI, "completes a restart once, and only a pending one",
         _DDI + "nf-ndis-ndismrestartcomplete"),
    # sends
    Rule("SEND-1", _MINI, "completes only sends that it was given",
         _DDI + "nf-ndis-ndismsendnetbufferlistscomplete"),
    Rule("SEND-2", _MINI, "completes each send once", _DDI + "nf-ndis-ndismsendnetbufferlistscomplete"),
    Rule("SEND-3", _MINI, "completes with PAUSED what is sent while it is not Running",
         _DDI + "nc-ndis-miniport_pause"),
    Rule("SEND-4", _MINI, "completes with a final status", _DDI + "nf-ndis-ndismsendnetbufferlistscomplete"),
    Rule("SEND-5", _BOTH, "leaves a send's NET_BUFFERs and data as they were",
         _DDI + "nf-ndis-ndissendnetbufferlists"),
    Rule("SEND-6", _MINI, "completes with LOW_POWER_STATE what is sent while in low power",
         _GUIDE + "oid-pnp-set-power"),
    Rule("SEND-7", _MINI, "completes with SEND_ABORTED only what MiniportCancelSend named",
         _DDI + "nc-ndis-miniport_cancel_send"),
    Rule("LSO-1", _MINI, "turns the large-send information into its completed form",
         "windows-driver-docs-ddi: nbllso/ns-nbllso-ndis_tcp_large_send_offload_net_buffer_list_info"),
    Rule("PSEND-1", _PROTO, "sends only NET_BUFFER_LISTs that it owns",
         _DDI + "nf-ndis-ndissendnetbufferlists"),
    Rule("PSEND-2", _PROTO, "sends nothing on a binding that is paused, pausing or closed",
         _GUIDE + "pausing-a-binding"),
    Rule("PSEND-3", _PROTO, "sets SourceHandle to the binding", _DDI + "nf-ndis-ndissendnetbufferlists"),
    Rule("PSEND-4", _PROTO, "asks for no offload that the current configuration does not have",
         _GUIDE + "ndis-status-task-offload-current-config"),
    # receives
    Rule("RECV-1", _MINI, "indicates data only while Running or Pausing",
         _GUIDE + "miniport-adapter-states-and-operations"),
    Rule("RECV-2", _MINI, "counts right in NumberOfNetBufferLists",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("RECV-3", _MINI, "indicates only NET_BUFFER_LISTs that it owns",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("RECV-4", _MINI, "sets SourceHandle to its adapter handle",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("RECV-5", _MINI, "indicates one NET_BUFFER a list, with a whole Ethernet header",
         _GUIDE + "indicating-received-ethernet-frames"),
    Rule("RECV-6", _MINI, "claims PERFECT_FILTERED only for frames that match filter and multicast list",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("RECV-7", _BOTH, "leaves indicated data as it was until it is returned",
         _DDI + "nf-ndis-ndismindicatereceivenetbufferlists"),
    Rule("RECV-8", _MINI, "reports a checksum as good, bad or unchecked, of one transport",
         "windows-driver-docs-ddi: nblchecksum/ns-nblchecksum-ndis_tcp_ip_checksum_net_buffer_list_info"),
    Rule("RSS-1", _MINI, "leaves no stale hash: type 0 goes with function 0 and value 0 [INV-53]",
         _GUIDE + "indicating-rss-receive-data"),
    Rule("RSS-2", _MINI, "reports only an enabled hash type, of the configured function [INV-56]",
         _GUIDE + "oid-gen-receive-scale-parameters"),
    Rule("RSS-3", _MINI, "reports the hash of the frame [INV-51]",
         _GUIDE + "verifying-the-rss-hash-calculation"),
    Rule("RSS-4", _MINI, "indicates on the processor that table and hash choose [INV-52]",
         _GUIDE + "rss-configuration"),
    Rule("PRECV-1", _PROTO, "returns only what was indicated to it, once",
         _DDI + "nf-ndis-ndisreturnnetbufferlists"),
    Rule("PRECV-2", _PROTO, "keeps nothing indicated with RESOURCES, and leaves its chain as it was",
         _DDI + "nc-ndis-protocol_receive_net_buffer_lists"),
    # OIDs
    Rule("OID-1", _MINI, "completes every OID request once", _DDI + "nf-ndis-ndismoidrequestcomplete"),
    Rule("OID-2", _MINI, "writes and reads no more than the buffer holds",
         "windows-driver-docs-ddi: oidrequest/ns-oidrequest-ndis_oid_request"),
    Rule("OID-3", _MINI, "says in BytesNeeded what would do when a buffer is too small",
         "windows-driver-docs-ddi: oidrequest/ns-oidrequest-ndis_oid_request"),
    Rule("OID-4", _MINI, "completes with a final status", _DDI + "nf-ndis-ndismoidrequestcomplete"),
    Rule("OID-5", _MINI, "supports what its SupportedOidList names",
         _DDI + "ns-ndis-_ndis_miniport_adapter_general_attributes"),
    Rule("OID-6", _MINI, "indicates its current offload configuration after a set changed it",
         _GUIDE + "ndis-status-task-offload-current-config"),
    Rule("OID-7", _MINI, "validates the content of a set", _DDI + "nc-ndis-miniport_oid_request"),
    Rule("OID-8", _MINI, "never has RSS and receive hash enabled together [INV-56]",
         _GUIDE + "oid-gen-receive-scale-parameters"),
    Rule("POID-1", _PROTO, "reuses no OID request before it completed", _DDI + "nf-ndis-ndisoidrequest"),
    # status, offload, reset, interrupts, PnP
    Rule("STATUS-1", _MINI, "indicates a status with the buffer that belongs to it",
         _DDI + "nf-ndis-ndismindicatestatusex"),
    Rule("STATUS-2", _MINI, "leaves to NDIS what NDIS indicates (reset, media connect)",
         _DDI + "nc-ndis-miniport_reset"),
    Rule("OFFLOAD-1", _MINI, "enables no more than its hardware capabilities",
         _DDI + "ns-ndis-_ndis_miniport_adapter_offload_attributes"),
    Rule("RESET-1", _MINI, "completes a reset once, and only a pending one",
         _DDI + "nf-ndis-ndismresetcomplete~r1"),
    Rule("RESET-2", _MINI, "completes pending sends and OID requests before a reset is complete (NDIS 6.30)",
         _DDI + "nc-ndis-miniport_reset"),
    Rule("RESET-3", _MINI, "answers a reset with a status of MiniportResetEx",
         _DDI + "nc-ndis-miniport_reset"),
    Rule("INT-1", _MINI, "uses no interrupt that it deregistered",
         _DDI + "nf-ndis-ndismderegisterinterruptex"),
    Rule("INT-2", _MINI, "queues DPCs for messages and processors that exist",
         _DDI + "nf-ndis-ndismqueuedpcex"),
    Rule("PNP-1", _PROTO, "has every send back before it completes NetEventPause",
         _GUIDE + "pausing-a-binding"),
    Rule("PNP-2", _PROTO, "closes a binding with nothing outstanding", _DDI + "nf-ndis-ndiscloseadapterex"),
)  # fmt: skip

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _TABLE + CHIMNEY_RULES}

#: The highest level at which a driver may call each function (the IRQL of its page).
LEVELS: Mapping[str, Level] = {
    "NdisMSetMiniportAttributes": Level.PASSIVE,
    "NdisMRegisterInterruptEx": Level.PASSIVE,
    "NdisMDeregisterInterruptEx": Level.PASSIVE,
    "NdisMSleep": Level.PASSIVE,
    "NdisMSynchronizeWithInterruptEx": Level.DISPATCH,
    "NdisMQueueDpcEx": Level.DIRQL,
    "NdisMSendNetBufferListsComplete": Level.DISPATCH,
    "NdisMIndicateReceiveNetBufferLists": Level.DISPATCH,
    "NdisMIndicateStatusEx": Level.DISPATCH,
    "NdisMOidRequestComplete": Level.DISPATCH,
    "NdisMResetComplete": Level.DISPATCH,
    "NdisMPauseComplete": Level.DISPATCH,
    "NdisMRestartComplete": Level.DISPATCH,
    "NdisMRemoveMiniport": Level.DISPATCH,
    "NdisMResetMiniport": Level.DISPATCH,
    "NdisAllocateTimerObject": Level.DISPATCH,
    "NdisSetTimerObject": Level.DISPATCH,
    "NdisCancelTimerObject": Level.DISPATCH,
    "NdisQueueIoWorkItem": Level.DISPATCH,
    "NdisSendNetBufferLists": Level.DISPATCH,
    "NdisCancelSendNetBufferLists": Level.DISPATCH,
    "NdisReturnNetBufferLists": Level.DISPATCH,
    "NdisOidRequest": Level.DISPATCH,
    "NdisCancelOidRequest": Level.DISPATCH,
    "NdisCompleteNetPnPEvent": Level.DISPATCH,
    "NdisCloseAdapterEx": Level.PASSIVE,
    "NdisMGetOffloadHandlers": Level.PASSIVE,
} | dict.fromkeys(
    (
        "NdisInitiateOffload",
        "NdisTerminateOffload",
        "NdisUpdateOffload",
        "NdisInvalidateOffload",
        "NdisQueryOffloadState",
        "NdisOffloadTcpSend",
        "NdisOffloadTcpReceive",
        "NdisOffloadTcpReceiveReturn",
        "NdisOffloadTcpDisconnect",
        "NdisOffloadTcpForward",
        "NdisMInitiateOffloadComplete",
        "NdisMTerminateOffloadComplete",
        "NdisMUpdateOffloadComplete",
        "NdisMInvalidateOffloadComplete",
        "NdisMQueryOffloadStateComplete",
        "NdisTcpOffloadSendComplete",
        "NdisTcpOffloadReceiveComplete",
        "NdisTcpOffloadDisconnectComplete",
        "NdisTcpOffloadForwardComplete",
        "NdisMOffloadEventIndicate",
        "NdisTcpOffloadEventHandler",
        "NdisTcpOffloadReceiveHandler",
    ),
    Level.DISPATCH,
)

#: Functions that are called at DISPATCH_LEVEL and at no other.
AT_DISPATCH = frozenset(
    ("NdisMOffloadEventIndicate", "NdisTcpOffloadEventHandler", "NdisTcpOffloadReceiveHandler")
)

#: Functions that call back into drivers, so that a spin lock held across them can deadlock.
CALLS_BACK = frozenset(
    name
    for name in LEVELS
    if name.endswith("Complete")
    or name in AT_DISPATCH
    or name.startswith(("NdisOffloadTcp", "NdisInitiateOffload", "NdisTerminateOffload", "NdisUpdateOffload",
                        "NdisInvalidateOffload", "NdisQueryOffload"))
    or name in ("NdisMIndicateReceiveNetBufferLists", "NdisMIndicateStatusEx", "NdisSendNetBufferLists",
                "NdisReturnNetBufferLists", "NdisOidRequest", "NdisMDeregisterInterruptEx")
)  # fmt: skip
