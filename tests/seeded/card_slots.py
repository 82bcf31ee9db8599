"""Mistakes in the card's turns and completion slots: who is next, and which of them are free."""

from __future__ import annotations

from tests.seeded.fault import Cites, Fault, Subject

FAULTS = (
    Fault(
        "CC-75",
        Subject.CARD,
        "csrc/nic/vector.c",
        "card->state.vector_turn = (uint8_t)((vector + 1) % CARD_VECTORS_MAX);",
        "card->state.vector_turn = (uint8_t)vector;",
        "The turn stays with the vector that was raised last: a busy one starves the others.",
        Cites("INT-10: ascending from the one after the vector raised last"),
    ),
    Fault(
        "CC-76",
        Subject.CARD,
        "csrc/nic/transmit.c",
        "(uint32_t)is_building + p->tx.is_skipping;",
        "(uint32_t)is_building;",
        "The completion slot of a frame that was being skipped stays reserved when its ring stops.",
        Cites("RST-5: its reserved completion slots are free again"),
    ),
    Fault(
        "CC-77",
        Subject.CARD,
        "csrc/nic/receive.c",
        "if (completion_free(&p->cq) < buffers) {",
        "if (completion_free(&p->cq) == 0) {",
        "A frame of several buffers is accepted when the completion ring has room for one.",
        Cites("RX-9: a frame is accepted when there is a completion slot for each of its buffers"),
    ),
)
