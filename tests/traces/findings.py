"""What fuzzing once found in the card: each as the case that shows it, whose trace is kept.

Not here, for no device takes part: findings in the TCP engine alone (`tests/fuzz/corpus/segment/bug-*` and
`image/bug-*`) and in the reader of traces (`corpus/trace/bug-*`, which are traces themselves).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tests.fuzz import test_regressions as cases
from tests.fuzz.workshop import targets
from vnic.fuzz.bring_up import BRING_UP
from vnic.fuzz.oplang import Flag, decode
from vnic.fuzz.world import World
from vnic.gen.registers import BAR0

FOUND_ONCE = "bug-"


def program(name: str) -> None:
    """An input that the target `twins` once did not survive."""
    kept = decode((targets()["twins"].corpus / f"{FOUND_ONCE}{name}.ops").read_bytes())
    with World(answering=Flag.ANSWER in kept.flags) as world:
        if Flag.UP in kept.flags:
            world.apply(BRING_UP)
        world.apply(kept)
        world.settle()
        world.drain()


_CASES: Final[dict[str, Callable[[], None]]] = {
    "table-bits": cases.test_reserved_bits_of_the_message_table_are_not_loaded,
    "register-bits": cases.test_reserved_bits_of_registers_are_not_loaded,
    "frame-overlap": partial(cases.test_frames_in_a_snapshot_do_not_overlap, cases.Tag.PACKET_OFFSET, 64),
    "frame-span": partial(cases.test_frames_in_a_snapshot_do_not_overlap, cases.Tag.PACKET_SPAN, 64),
    "refused-removal": cases.test_a_card_that_refused_a_snapshot_is_there,
    "refused-interrupts": cases.test_a_refused_snapshot_leaves_no_interrupts_of_the_past,
    "refused-line": cases.test_a_refused_snapshot_still_lets_the_line_fall_once,
    "moderation": cases.test_moderation_in_a_snapshot_ends,
    "idle-pair": cases.test_a_pair_with_nothing_to_save_is_not_live,
    "delivery-start": cases.test_a_frame_in_delivery_starts_at_its_start,
    "segments-sent": partial(cases.test_a_large_send_has_sent_what_its_segments_hold, cases.Tag.TXF_BYTES),
    "segments-counted": partial(
        cases.test_a_large_send_has_sent_what_its_segments_hold, cases.Tag.TXF_FRAMES
    ),
    "completion-lost": cases.test_a_frame_whose_completion_cannot_be_written_is_counted_alike,
    "receive-taken-back": partial(cases.test_taking_back_what_a_frame_needs_stops_the_ring, BAR0.QP_RX_TAIL),
    "slots-taken-back": partial(cases.test_taking_back_what_a_frame_needs_stops_the_ring, BAR0.QP_CQ_TAIL),
    "one-event": cases.test_an_access_is_one_event,
    "full-ring": cases.test_a_ring_that_is_full_of_reports_is_saved,
}
_PROGRAMS: Final = (
    "dead-pair", "endless-interval", "overlapping-frames", "reserved-bits", "stale-interrupts",
)  # fmt: skip

#: By the names of their files.
FINDINGS: Final[dict[str, Callable[[], None]]] = {
    **{f"found-{name}": case for name, case in _CASES.items()},
    **{f"found-{name}": partial(program, name) for name in _PROGRAMS},
}
