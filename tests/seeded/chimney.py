"""Mistakes in the reference miniport: the chimney's trees, requests, moods and ends."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

CONNECTION = "vnic/miniport/chimney_connection.py"
INITIATE = "vnic/miniport/chimney_initiate.py"
MOOD = "vnic/miniport/chimney_mood.py"
OPERATIONS = "vnic/miniport/chimney_operations.py"
RECEIVING = "vnic/miniport/chimney_receiving.py"
REQUESTS = "vnic/miniport/chimney_requests.py"
TERMINATE = "vnic/miniport/chimney_terminate.py"
SENDING = "vnic/miniport/chimney_sending.py"
STATISTICS = "vnic/miniport/chimney_statistics.py"


FAULTS = (
    Fault(
        "MF-29",
        Subject.MINIPORT,
        INITIATE,
        "        all_are, _ = yield from self._dependents(block, made)\n"
        "        block.Status = _SUCCESS if all_are else _PARTIAL\n",
        "        yield from self._dependents(block, made)\n        block.Status = _SUCCESS\n",
        "A node succeeds whatever became of its dependents.",
        Cites("INV-5: PARTIAL_SUCCESS when an immediate dependent failed"),
    ),
    Fault(
        "MF-30",
        Subject.MINIPORT,
        INITIATE,
        "            block.Status = error.status\n            fail_all(block.DependentBlockList)\n",
        "            block.Status = error.status\n"
        "            block.MiniportOffloadContext.value = block\n"
        "            fail_all(block.DependentBlockList)\n",
        "The context of a node that failed is written.",
        Cites("INV-2: of a node that failed *MiniportOffloadContext is unchanged"),
    ),
    Fault(
        "MF-31",
        Subject.MINIPORT,
        STATISTICS,
        "                0 if name == _GAUGE else count\n",
        "                count\n",
        "Connections that a reset ended are counted as established for ever.",
        Cites("INV-50: CurrentlyEstablished is the objects that there are"),
    ),
    Fault(
        "MF-32",
        Subject.MINIPORT,
        OPERATIONS,
        "        if isinstance(known, Path) and isinstance(above, Neighbour) and "
        "known.parent is not above:\n            return above\n        return None\n",
        "        return None\n",
        "An update that moves a path to another neighbour does nothing, and succeeds.",
        Cites("INV-10: update changes CACHED and the link from path to neighbour"),
    ),
    Fault(
        "MF-33",
        Subject.MINIPORT,
        RECEIVING,
        "        self.requests.extend(requests)\n        self._may_indicate = True\n",
        "        self.requests.extend(requests)\n"
        "        self._may_indicate = any(request.length for request in requests)\n",
        "A receive of no bytes lets nothing be indicated.",
        Cites("INV-25: a zero-byte receive lets data be indicated again"),
    ),
    Fault(
        "MF-34",
        Subject.MINIPORT,
        RECEIVING,
        "        consumed = consumed if status == NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED else 0\n",
        "        consumed = 0\n",
        "Data that the host accepted in part is indicated whole again.",
        Cites("INV-20: no byte twice; DATA_PARTIALLY_ACCEPTED"),
    ),
    Fault(
        "MF-35",
        Subject.MINIPORT,
        REQUESTS,
        "        self.is_no_push = bool(nbl.info(TCP_RECEIVE_NO_PUSH))\n",
        "        self.is_no_push = False\n",
        "A receive in non-push mode is completed by PSH.",
        Cites("INV-26: a non-push request completes when it is full"),
    ),
    Fault(
        "MF-36",
        Subject.MINIPORT,
        TERMINATE,
        "    OFFLOAD_STATE_TYPE.IP6_PATH_DELEGATED,\n",
        "",
        "Paths of IPv6 are never ended.",
        Cites("INV-37: every block of a terminate is ended, and has a status"),
    ),
    Fault(
        "MF-37",
        Subject.MINIPORT,
        CONNECTION,
        "        if self.sending.is_waiting:\n            return False\n",
        "",
        "A graceful disconnect overtakes sends that wait for room.",
        Cites("INV-31: DisconnectComplete never precedes an earlier send"),
    ),
    Fault(
        "MF-38",
        Subject.MINIPORT,
        CONNECTION,
        "        self._tell_forwards([request.end(status) for request in self.forwards])\n"
        "        self.forwards.clear()\n",
        "        self.forwards.clear()\n",
        "Forwarded segments that are outstanding when a connection ends are lost.",
        Cites("INV-37: no forward is outstanding at NdisMTerminateOffloadComplete"),
    ),
    Fault(
        "MF-39",
        Subject.MINIPORT,
        MOOD,
        "            waiting, self._waiting = self._waiting, deque()\n"
        "            for root in waiting:\n                self.initiate(root)\n",
        "            self._waiting.clear()\n",
        "Initiates that came during OFFLOAD_PAUSE are forgotten.",
        Cites("INV-41: a late initiate is queued and completes later"),
    ),
    Fault(
        "MF-40",
        Subject.MINIPORT,
        SENDING,
        "            advance(request.nbl, count)\n            left.append",
        "            left.append",
        "A send that is acknowledged in part comes back whole at terminate.",
        Cites("INV-19: SndUna addresses the first byte of the chain"),
    ),
    Fault(
        "MF-41",
        Subject.MINIPORT,
        CONNECTION,
        "        self.is_aborted = True\n        self.tell_event(TCP_OFFLOAD_EVENT_TYPE.ABORT)\n",
        "        self.tell_event(TCP_OFFLOAD_EVENT_TYPE.ABORT)\n",
        "After a reset by the peer new requests still go to the card.",
        Cites("INV-30: after an acceptable RST every request ends REQUEST_ABORTED"),
    ),
    Fault(
        "MF-42",
        Subject.MINIPORT,
        OPERATIONS,
        "            state.SendBacklogSize = min(state.SendBacklogSize + "
        "known.sending.backlog, 0xFFFF_FFFE)\n",
        "",
        "A query leaves out the sends that wait in the miniport.",
        Cites("TCP_OFFLOAD_STATE_DELEGATED.SendBacklogSize"),
    ),
)
