"""What the card's chimney statuses are in NDIS's words."""

from __future__ import annotations

from vnic.gen.enums import ChmStatus
from vnic.ndis.status import NDIS_STATUS

_INITIATE: dict[int, NDIS_STATUS] = {
    ChmStatus.OK: NDIS_STATUS.SUCCESS,
    ChmStatus.TCP_ENTRIES: NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
    ChmStatus.PATH_ENTRIES: NDIS_STATUS.OFFLOAD_PATH_ENTRIES,
    ChmStatus.NEIGHBOUR_ENTRIES: NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES,
    ChmStatus.VLAN_ENTRIES: NDIS_STATUS.OFFLOAD_VLAN_ENTRIES,
    ChmStatus.XMIT_BUFFER: NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER,
    ChmStatus.RCV_BUFFER: NDIS_STATUS.OFFLOAD_TCP_RCV_BUFFER,
    ChmStatus.RCV_WINDOW: NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW,
}

_REQUEST: dict[int, NDIS_STATUS] = {
    ChmStatus.OK: NDIS_STATUS.SUCCESS,
    ChmStatus.ABORTED: NDIS_STATUS.REQUEST_ABORTED,
    ChmStatus.AFTER_FIN: NDIS_STATUS.INVALID_STATE,
}


def initiate_status(status: int) -> NDIS_STATUS:
    """Of a CREATE. PATH_MTU has no public NDIS value, so it is a plain FAILURE like all that has no word."""
    return _INITIATE.get(status, NDIS_STATUS.FAILURE)


def operation_status(status: int) -> NDIS_STATUS:
    """Of any other command: SUCCESS or FAILURE [INV-8]."""
    return NDIS_STATUS.SUCCESS if status == ChmStatus.OK else NDIS_STATUS.FAILURE


def request_status(status: int) -> NDIS_STATUS:
    """Of a send, receive, disconnect or forward; what the card would not take is the host's to do."""
    return _REQUEST.get(status, NDIS_STATUS.UPLOAD_IN_PROGRESS)
