"""Faults of sends: invariants 14 to 19."""

from __future__ import annotations

from tests.mutants.fault import Fault

CARD = "csrc/nic/chimney_send.c"
REQUESTS = "vnic/miniport/chimney_requests.py"
SENDING = "vnic/miniport/chimney_sending.py"

FAULTS = (
    Fault(
        "INV-14",
        "csrc/tcp/offload_state.c",
        "    out->SndMax = c->snd_nxt;\n",
        "    out->SndMax = c->snd_una;\n",
        "SndMax is what is acknowledged, not what was sent.",
    ),
    Fault(
        "INV-15",
        "csrc/tcp/offload_take.c",
        "    if (t->d->SndNxt != c->snd_nxt) {\n",
        "    if (t->d->SndNxt == c->snd_una) {\n",
        "Sending goes on at SndMax, and what lies before waits for a timeout.",
    ),
    Fault(
        "INV-16",
        CARD,
        "    return seq_min(t->snd_una, t->snd_end);\n",
        "    return seq_min(t->snd_nxt, t->snd_end);\n",
        "A send is complete when it was sent.",
    ),
    Fault(
        "INV-16",
        SENDING,
        "            if request.is_begun or not (request.is_done or self.end is not None):\n",
        "            if not (request.is_begun or request.is_done or self.end is not None):\n",
        "The miniport completes a send as soon as the card has it.",
    ),
    Fault(
        "INV-17",
        "csrc/nic/chimney_request.c",
        "        c->flags |= CHM_SENDS_REFUSED;\n"
        "        chimney_retrieve(card, index, CHM_REASON_UPLOAD_REQUESTED);\n",
        "        c->retrieved = 0;\n",
        "Sends go on behind one that was refused.",
    ),
    Fault(
        "INV-17",
        SENDING,
        "        if self.end is None or (request.is_done and not self._has_failed):\n",
        "        if self.end is None or request.is_done:\n",
        "A send of no bytes succeeds behind one that failed.",
    ),
    Fault(
        "INV-18",
        REQUESTS,
        "        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, count)\n",
        "        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, self.length)\n",
        "A request that was cut off is reported as transferred to its end.",
    ),
    Fault(
        "INV-18",
        CARD,
        "        next->before = w->before + w->len;\n",
        "        next->before = w->len;\n",
        "Of a send in many pieces the card forgets what was acknowledged of the first ones.",
    ),
    Fault(
        "INV-19",
        SENDING,
        "            advance(request.nbl, count)\n",
        "",
        "The chain of a terminate begins with bytes that are acknowledged.",
    ),
    Fault(
        "INV-19",
        SENDING,
        "            left.append(request.nbl)\n",
        "            left.insert(0, request.nbl)\n",
        "The chain of a terminate has the last send first.",
    ),
)
