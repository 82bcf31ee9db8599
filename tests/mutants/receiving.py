"""Faults of the delivery of data: invariants 20 to 27."""

from __future__ import annotations

from tests.mutants.fault import Fault

POST = "csrc/nic/chimney_post.c"
PLACE = "csrc/nic/chimney_place.c"
RECEIVING = "vnic/miniport/chimney_receiving.py"

FAULTS = (
    Fault(
        "INV-20",
        "vnic/miniport/chimney_indication.py",
        "            piece.consume(step)\n",
        "",
        "What the host accepted of an indication comes a second time.",
    ),
    Fault(
        "INV-20",
        RECEIVING,
        "        self._of.chimney.give_receive_work(request.take_back(placed))\n        if is_ok and placed",
        "        self._of.chimney.give_receive_work(request.take_back(had))\n        if is_ok and placed",
        "A receive that ends early is said to be full.",
    ),
    Fault(
        "INV-21",
        RECEIVING,
        "        if self.kept or self.has_fin or self._is_indicating:\n",
        "        if self.has_fin or self._is_indicating:\n",
        "A receive goes to the card though older data is kept here.",
    ),
    Fault(
        "INV-21",
        "vnic/miniport/chimney_adoption.py",
        "            connection.receiving.kept.append(self._kept)\n",
        "            connection.receiving.kept = type(connection.receiving.kept)()\n",
        "BufferedData is copied and forgotten.",
    ),
    Fault(
        "INV-22",
        POST,
        "    c->posts = pieces_last;\n    if (c->post_open == 0) {\n",
        "    c->posts = c->posts != 0 ? c->posts : pieces_last;\n    if (c->post_open == 0) {\n",
        "A receive that is posted goes before those that wait.",
    ),
    Fault(
        "INV-22",
        RECEIVING,
        "        requests = [ReceiveRequest(of.chimney.bus, nbl) for nbl in walk(chain)]\n",
        "        requests = [ReceiveRequest(of.chimney.bus, nbl) for nbl in walk(chain)]\n"
        "        requests = [each for each in requests if each.length]\n",
        "A receive of no bytes is never completed.",
    ),
    Fault(
        "INV-23",
        "vnic/miniport/chimney_connection.py",
        "        if self._is_busy or not self.is_open:\n",
        "        if not self.is_open:\n",
        "A second processor tells while the first one is at it.",
    ),
    Fault(
        "INV-24",
        RECEIVING,
        "        done = self._fill()\n        if done:\n",
        "        if self.kept and self._may_indicate and of.ending is None:\n            self._indicate()\n"
        "            return\n"
        "        done = self._fill()\n        if done:\n",
        "Data is indicated though a receive waits.",
    ),
    Fault(
        "INV-24",
        PLACE,
        "    return c->post_open != 0 && !chimney_has(c, CHM_ENDING);\n",
        "    return c->placed != 0 && !chimney_has(c, CHM_ENDING);\n",
        "What waited in the card goes to the pool though a receive is posted.",
    ),
    Fault(
        "INV-25",
        RECEIVING,
        "self._may_indicate and of.ending is None:",
        "of.ending is None:",
        "What the host refused is indicated again at once.",
    ),
    Fault(
        "INV-25",
        RECEIVING,
        "        self.requests.extend(requests)\n        self._may_indicate = True\n",
        "        self.requests.extend(requests)\n"
        "        self._may_indicate = self._may_indicate or any(each.length for each in requests)\n",
        "A receive of no bytes does not enable indications again.",
    ),
    Fault(
        "INV-26",
        POST,
        "c->post_open != 0 && (w->flags & CHM_WORK_NO_PUSH) == 0 && ",
        "c->post_open != 0 && ",
        "A non-push receive ends at PSH.",
    ),
    Fault(
        "INV-26",
        "csrc/nic/chimney_apply.c",
        "    c->flags |= CHM_PUSHED;\n",
        "",
        "PSH is forgotten: a push receive waits for its timer.",
    ),
    Fault(
        "INV-26",
        "csrc/nic/chimney_push.c",
        "    push_stop(m, index);\n    chimney_connection(m, index)->push_ns = push_expiry(card);\n",
        "    if (chimney_has(chimney_connection(m, index), CHM_PUSH_TIMER)) {\n        return;\n    }\n"
        "    chimney_connection(m, index)->push_ns = push_expiry(card);\n",
        "The push timer counts from the first byte of a receive, not from its last.",
    ),
    Fault(
        "INV-27",
        RECEIVING,
        "            return  # ReceiveReturn brings it back\n",
        "            indication.release()\n            return\n",
        "The buffer of an accepted NBL goes back to the card at once.",
    ),
)
