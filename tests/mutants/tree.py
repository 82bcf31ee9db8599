"""Faults of block lists, state and the control path: invariants 1 to 13."""

from __future__ import annotations

from tests.mutants.fault import Fault

INITIATE = "vnic/miniport/chimney_initiate.py"
OPERATIONS = "vnic/miniport/chimney_operations.py"

FAULTS = (
    Fault(
        "INV-1",
        INITIATE,
        "            block.Status = _SUCCESS\n            return True\n",
        "            return True\n",
        "A placeholder is left without a status.",
    ),
    Fault(
        "INV-1",
        INITIATE,
        "each.Status = _SUCCESS if each.MiniportOffloadContext is None else _FAILURE",
        "each.Status = _FAILURE",
        "A placeholder below a node that failed has FAILURE.",
    ),
    Fault(
        "INV-1",
        INITIATE,
        "            done.append((yield from self._visit(each, parent)))\n",
        "            done.append((yield from self._visit(each, parent)))\n"
        "            if not done[-1]:\n                break\n",
        "Siblings behind a node that failed are left without a status.",
    ),
    Fault(
        "INV-2",
        INITIATE,
        "        outcome = yield command\n",
        "        assert block.MiniportOffloadContext is not None\n"
        "        block.MiniportOffloadContext.value = made\n"
        "        outcome = yield command\n",
        "The context is written before the card has said whether it takes the object.",
    ),
    Fault(
        "INV-3",
        "vnic/miniport/chimney_adoption.py",
        "            self._chimney.give_send_work(request.pieces_posted)\n            request.unmap()\n",
        "            self._chimney.give_send_work(request.pieces_posted)\n"
        "            request.end(NDIS_STATUS.REQUEST_ABORTED, 0)\n",
        "The sends of a connection that was not offloaded get a status.",
    ),
    Fault(
        "INV-3",
        "vnic/miniport/chimney_sending.py",
        "            request.unmap()\n        self.requests.clear()\n",
        "            request.end(NDIS_STATUS.REQUEST_ABORTED, 0)\n        self.requests.clear()\n",
        "A card that is reset while a tree is offloaded ends the sends that came with it.",
    ),
    Fault(
        "INV-4",
        INITIATE,
        "            block.Status = error.status\n",
        "            block.Status = _FAILURE\n",
        "Whatever the card is short of, the block says FAILURE.",
    ),
    Fault(
        "INV-5",
        INITIATE,
        "        block.Status = _SUCCESS if all_are else _PARTIAL\n",
        "        block.Status = _SUCCESS\n",
        "A node has SUCCESS though a dependent of it failed.",
    ),
    Fault(
        "INV-6",
        INITIATE,
        "        self._made.append((block, made))\n",
        "        self._made.append((block, made))\n        made.is_open = True\n",
        "A connection speaks as soon as the card has it.",
    ),
    Fault(
        "INV-7",
        "csrc/tcp/offload_admit.c",
        "    return (offload_row(ndis)->fins & STATE_NONE) == 0\n",
        "    return ndis <= TcpConnectionTimeWait\n",
        "Connections that are not established are taken.",
    ),
    Fault(
        "INV-8",
        "vnic/miniport/chimney_status.py",
        "NDIS_STATUS.SUCCESS if status == ChmStatus.OK else NDIS_STATUS.FAILURE",
        "request_status(status)",
        "A terminate, update or query that the card refuses ends with UPLOAD_IN_PROGRESS.",
    ),
    Fault(
        "INV-9",
        INITIATE,
        "        except StopIteration:\n            self._chimney.complete_later(self._complete)\n",
        "        except StopIteration:\n            self._chimney.complete_later(self._complete)\n"
        "            self._chimney.complete_later(self._complete)\n",
        "An initiate is completed twice.",
    ),
    Fault(
        "INV-10",
        "csrc/nic/chimney_image.c",
        "    chm_tcp_set_rcv_indication_size(image, c->rcv_indication_size);\n",
        "    chm_tcp_set_rcv_indication_size(image, in->RcvIndicationSize);\n",
        "The card tells the engine's RcvIndicationSize, which knows none.",
    ),
    Fault(
        "INV-10",
        "csrc/nic/chimney_change.c",
        "    image_keep_cached(&cached, chimney_connection(m, a->target));\n",
        "",
        "An update reaches the engine and not what a query tells.",
    ),
    Fault(
        "INV-11",
        "csrc/nic/chimney_command.c",
        "    if (admin_op(a) != CHM_OP_TERMINATE) {\n        return false;\n    }\n",
        "    if (admin_op(a) != CHM_OP_INVALIDATE) {\n        return false;\n    }\n",
        "A path or neighbor is ended under what hangs on it.",
    ),
    Fault(
        "INV-12",
        "vnic/miniport/chimney_settings.py",
        "sack=True, capacity=self._capacity)",
        "sack=True, capacity=self._capacity - 1)",
        "The card takes one connection more than the miniport says.",
    ),
    Fault(
        "INV-13",
        "csrc/nic/chimney_image.c",
        "    chm_tcp_set_max_snd_wnd(image, d->MaxSndWnd);\n",
        "    chm_tcp_set_max_snd_wnd(image, d->SndWnd);\n",
        "MaxSndWnd comes back as the present window.",
    ),
    Fault(
        "INV-13",
        "csrc/tcp/offload_state.c",
        "        return (uint32_t)TICKS_NOT_RUNNING;\n    }\n    return left_ticks(c->t_keep_ms",
        "        return 0;\n    }\n    return left_ticks(c->t_keep_ms",
        "A keepalive timer that did not run is about to expire.",
    ),
    Fault(
        "INV-13",
        "csrc/nic/chimney_image.c",
        "    chm_tcp_set_dup_ack_count(image, d->DupAckCount);\n",
        "",
        "DupAckCount is forgotten.",
    ),
)
