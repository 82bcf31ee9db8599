"""What the card's chimney statuses are in NDIS's words."""

from __future__ import annotations

from vnic.gen.enums import ChmObject, ChmStatus
from vnic.ndis.status import NDIS_STATUS

_INITIATE: dict[tuple[int, int], NDIS_STATUS] = {
    (ChmObject.TCP, ChmStatus.TCP_ENTRIES): NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
    (ChmObject.PATH, ChmStatus.PATH_ENTRIES): NDIS_STATUS.OFFLOAD_PATH_ENTRIES,
    (ChmObject.NEIGHBOUR, ChmStatus.NEIGHBOUR_ENTRIES): NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES,
    (ChmObject.NEIGHBOUR, ChmStatus.VLAN_ENTRIES): NDIS_STATUS.OFFLOAD_VLAN_ENTRIES,
    (ChmObject.TCP, ChmStatus.XMIT_BUFFER): NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER,
    (ChmObject.TCP, ChmStatus.RCV_BUFFER): NDIS_STATUS.OFFLOAD_TCP_RCV_BUFFER,
    (ChmObject.TCP, ChmStatus.RCV_WINDOW): NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW,
}

_REQUEST: dict[int, NDIS_STATUS] = {
    ChmStatus.OK: NDIS_STATUS.SUCCESS,
    ChmStatus.ABORTED: NDIS_STATUS.REQUEST_ABORTED,
}


def initiate_status(kind: int, status: int) -> NDIS_STATUS:
    """Of a CREATE that failed. What has no word, as PATH_MTU, or that of another kind, is a plain FAILURE."""
    return _INITIATE.get((kind, status), NDIS_STATUS.FAILURE)


def operation_status(status: int) -> NDIS_STATUS:
    """Of any other command: SUCCESS or FAILURE [INV-8]."""
    return NDIS_STATUS.SUCCESS if status == ChmStatus.OK else NDIS_STATUS.FAILURE


def request_status(status: int) -> NDIS_STATUS:
    """Of a send, receive, disconnect or forward; what the card would not take is the host's to do."""
    return _REQUEST.get(status, NDIS_STATUS.UPLOAD_IN_PROGRESS)


def receive_status(status: int) -> NDIS_STATUS:
    """Of a receive, which alone can come after the end."""
    return NDIS_STATUS.INVALID_STATE if status == ChmStatus.AFTER_FIN else request_status(status)
