"""Rings of the card that end with work half done, at each step of it: the next start knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames
from vnic.conformance.pages import manual
from vnic.gen.enums import TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, large_send, plain_frame
from vnic.testbench.rig import Rig


def _stop(rig: Rig, ring: str) -> None:
    rig.put(BAR0.MAP[f"QP_{ring}_CTRL"], 0)


def _reset(rig: Rig, ring: str) -> None:
    register = BAR0.MAP[f"QP_{ring}_CTRL"]
    rig.put(register, register.encode(RESET=1))


def _bad_tail(rig: Rig, ring: str) -> None:
    rig.put(BAR0.MAP[f"QP_{ring}_TAIL"], 0xFFFF)


def _stop_completions(rig: Rig, ring: str) -> None:
    _stop(rig, "CQ")


def _reset_completions(rig: Rig, ring: str) -> None:
    _reset(rig, "CQ")


#: How a ring may end, alone or with its pair.
_ENDS: Mapping[str, tuple[Callable[[Rig, str], None], bool]] = {
    "a stop": (_stop, True),
    "RESET": (_reset, True),
    "BAD_TAIL": (_bad_tail, True),
    "a stop of the completion ring": (_stop_completions, False),
    "RESET of the completion ring": (_reset_completions, False),
}


def _too_many(rig: Rig) -> None:
    """A frame of more descriptors than a frame may have."""
    rig[0].send_raw([rig[0].piece(b"x", eop=int(n == 199)) for n in range(200)])


def _in_pieces(rig: Rig) -> None:
    rig[0].send(plain_frame(300, 1, PEER), cuts=[60, 60, 60, 60])


def _large(rig: Rig) -> None:
    data, context, _ = large_send(bytes(4000), 500)
    rig[0].send(data, cuts=[54, 700, 700], **context)


def _steps(rig: Rig, count: int) -> None:
    for _ in range(count):
        if rig.device.runnable:
            rig.device.step(rig.device.runnable[0])


def _begin(rig: Rig) -> None:
    """A pair of its own start, and a card that stands still."""
    rig[0].reset()
    rig[0].start()
    rig.device.is_manual = True


@card_case(
    manual("RST-5", "reset"),
    "a frame that is being built when its ring ends is discarded; after a start the ring begins anew",
    cq_count=8,
    posted=0,
)
def frames_out_that_are_broken_off(rig: Rig) -> None:
    """Frames of 200 descriptors and in pieces, a large send; every end after 0 to 8 steps; 8 frames."""
    sent = [plain_frame(80 + n, n, PEER) for n in range(8)]
    for work in (_too_many, _in_pieces, _large):
        for how, (end, is_alone) in _ENDS.items():
            for steps in range(9):
                what = f"{(work.__doc__ or work.__name__).strip()} {how} after {steps} steps"
                _begin(rig)
                work(rig)
                _steps(rig, steps)
                end(rig, "TX")
                rig.device.run()
                rig.device.frames()
                rig[0].poll()
                if is_alone:
                    rig[0].start_tx()
                else:
                    rig[0].start()
                rig.device.run()
                assert rig.sent() == [], f"{what}: something leaves of a ring that was started anew"
                for frame in sent:
                    rig[0].send(frame)
                _told(rig, sent, what)


def _told(rig: Rig, sent: list[bytes], what: str) -> None:
    """All leave, and their reports are those of a ring from its first entry on; 7 slots are enough."""
    left, told = [], []
    for turn in range(3):
        rig.device.run()
        left += rig.sent()
        reports = rig[0].reports()
        assert len(reports) <= 7
        assert turn or len(reports) == 7, f"{what}: {len(reports)} of 7 slots are free"
        told += [(TxStatus(each.status), each.index, each.head) for each in reports]
    assert left == sent, f"{what}: of 8 frames behind it {len(left)} leave, or others"
    assert told == [(TxStatus.OK, n, n + 1) for n in range(len(sent))], f"{what}: the reports are {told}"


@card_case(
    manual("RST-5", "reset"),
    "a frame in delivery to a ring that ends is dropped and counted once; its slots are free",
    buf_len=128,
    cq_count=8,
    posted=0,
)
def frames_in_that_are_broken_off(rig: Rig) -> None:
    """A frame of 6 buffers; every end after 0 to 9 steps; start again, and 7 frames come."""
    arrived = 0
    for how, (end, is_alone) in _ENDS.items():
        for steps in range(10):
            what = f"{how} after {steps} steps"
            _begin(rig)
            rig[0].post_rx(20)
            rig.inject(plain_frame(700, 1))
            _steps(rig, steps)
            end(rig, "RX")
            rig.device.run()
            rig[0].poll()
            if is_alone:
                rig[0].start_rx()
            else:
                rig[0].start()
            rig[0].post_rx(20)
            for frame in frames(7):
                rig.inject(frame)
            rig.device.run()
            found = [each.data for each in rig[0].take()]
            assert found == frames(7), f"{what}: {len(found)} of 7 frames came into a ring started anew"
            arrived += 8
            counted = rig.stat("RX_UNICAST_FRAMES") + sum(rig.counters("RX_DROP_").values())
            assert counted == arrived, f"{what}: of {arrived} frames {counted} are counted"
