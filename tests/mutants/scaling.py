"""Faults of receive-side scaling: invariants 51 to 57."""

from __future__ import annotations

from tests.mutants.fault import Fault

SCALE = "csrc/nic/scale.c"
RSS = "vnic/miniport/rss.py"

FAULTS = (
    Fault(
        "INV-51",
        SCALE,
        "    if (rss->is_active && (t->hash == NULL || memcmp(t->key, rss->key, sizeof rss->key) != 0)) {\n",
        "    if (rss->is_active && t->hash == NULL) {\n",
        "A new key is stored, and frames are hashed with the old one.",
    ),
    Fault(
        "INV-51",
        "csrc/wire/toeplitz.c",
        "be32_load(key + index) << 8) | key[index + 4];",
        "be32_load(key + index) << 8) | key[index + 3];",
        "The window of key bits is short of its last byte.",
    ),
    Fault(
        "INV-52",
        SCALE,
        "        card->state.rss.is_refused = true;\n",
        "        next.is_refused = true;\n        card->state.rss = next;\n",
        "A configuration that is refused is in force all the same.",
    ),
    Fault(
        "INV-52",
        RSS,
        "            self.parameters, self.receive_hash = before\n",
        "            self.parameters = self.receive_hash = None\n",
        "A set that the card refuses switches RSS off.",
    ),
    Fault(
        "INV-53",
        "csrc/nic/classify.c",
        "    c->pair = scale_pair(card, c->hash, c->hash_type);\n",
        "    c->pair = scale_pair(card, c->hash, RSS_TYPE_MASK);\n",
        "A frame that cannot be hashed goes where hash 0 goes.",
    ),
    Fault(
        "INV-53",
        "csrc/nic/rx_train.c",
        "        memset(t->hash, 0, t->count * sizeof t->hash[0]);\n",
        "",
        "Frames without a hash carry those of the frames before.",
    ),
    Fault(
        "INV-53",
        "vnic/miniport/receive.py",
        "        if entry.hash_type and self._may_carry(entry.hash_type << _HASH_TYPE_SHIFT):\n"
        "            nbl.set_hash(entry.hash_type <<",
        "        if True:\n            nbl.set_hash((entry.hash_type or 1) <<",
        "An NBL has a hash type though the card gave none.",
    ),
    Fault(
        "INV-54",
        "csrc/wire/rss.c",
        "    const uint32_t transport = enabled & transport_type(&family_ipv4, f);\n",
        "    const uint32_t transport = enabled\n"
        "        & (frame[f->l2_len + 9] == 6 ? RSS_TYPE_TCP_IPV4 : transport_type(&family_ipv4, f));\n",
        "The first bytes of an IPv4 fragment are taken for ports.",
    ),
    Fault(
        "INV-55",
        SCALE,
        "    chimney_fence(card);\n",
        "",
        "A connection changes its queue without a fence when the table changes.",
    ),
    Fault(
        "INV-55",
        "vnic/miniport/chimney_entries.py",
        "        while held and not self._is_behind_fence(queue):\n",
        "        while held:\n",
        "The miniport does not wait for the fences of the other rings.",
    ),
    Fault(
        "INV-56",
        RSS,
        "        if self.receive_hash is not None:\n            raise",
        "        if not self.types:\n            raise",
        "RSS is switched on beside receive hash.",
    ),
    Fault(
        "INV-56",
        RSS,
        "            self._take(None, self.receive_hash)\n            return\n",
        "            return\n",
        "DISABLE_RSS changes nothing.",
    ),
    Fault(
        "INV-56",
        RSS,
        "self._commit(parameters.hash_types, ",
        "self._commit(self.types, ",
        "Types that the set does not name are hashed.",
    ),
    Fault(
        "INV-57",
        "csrc/nic/chimney_report.c",
        "scale_pair(card, c->hash_value, RSS_TYPE_MASK)",
        "c->queue",
        "A connection reports on the queue that it was created with, whatever the table says.",
    ),
    Fault(
        "INV-57",
        "vnic/miniport/chimney.py",
        "            queue = self.queue_of(connection.hash_value)\n            self._deferred",
        "            queue = connection.queue\n            self._deferred",
        "The miniport tells on the processor of the submission ring.",
    ),
)
