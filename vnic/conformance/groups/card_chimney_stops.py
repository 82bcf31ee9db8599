"""Rings of the card's chimney that end with entries half read, at each step: the next start knows of none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand, ChmData, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.rig import Rig
from vnic.wire import packet

_ACK, _PSH = packet.ACK, packet.PSH


def _stop(rig: Rig, ring: str) -> None:
    rig.put(BAR0.MAP[f"{ring}_CTRL"], 0)


def _reset(rig: Rig, ring: str) -> None:
    register = BAR0.MAP[f"{ring}_CTRL"]
    rig.put(register, register.encode(RESET=1))


def _bad_tail(rig: Rig, ring: str) -> None:
    rig.put(BAR0.MAP[f"{ring}_TAIL"], 0xFFFF)


_ENDS: Mapping[str, Callable[[Rig, str], None]] = {
    "a stop": _stop,
    "RESET": _reset,
    "BAD_TAIL": _bad_tail,
}


def _steps(rig: Rig, count: int) -> None:
    for _ in range(count):
        if rig.device.runnable:
            rig.device.step(rig.device.runnable[0])


def _go_on(rig: Rig) -> None:
    rig.device.run()
    rig.device.is_manual = False


@card_case(
    manual("CHM-63", "chimney"),
    "submissions that a ring had when it ended are taken before it, or never; after a start it has its own",
)
def submissions_that_are_broken_off(rig: Rig) -> None:
    """Six sends; every end after 0 to 8 steps; a start, and two sends from entry 0 on."""
    for how, end in _ENDS.items():
        for steps in range(9):
            chimney = ChimneyRig(rig)
            connection = chimney.connect()
            rig.sent()
            rig.device.is_manual = True
            for number in range(6):
                connection.send(bytes([number]) * 10)
            _steps(rig, steps)
            end(rig, "CHQ_SQ")
            chimney.start_submissions(0)
            connection.send(b"new one")
            connection.send(b"new two")
            _go_on(rig)
            sent = b"".join(each.payload for each in connection.sent())
            what = f"{how} after {steps} steps: {sent!r} is sent"
            assert sent.endswith(b"new onenew two"), what
            old = sent[: -len(b"new onenew two")]
            assert old == b"".join(bytes([n]) * 10 for n in range(len(old) // 10)), what
            assert rig.get(BAR0.CHQ_SQ_HEAD) == 2, f"{what}, HEAD is {rig.get(BAR0.CHQ_SQ_HEAD)}"
            chimney.switch_off()
            rig[0].reset()
            rig[0].start()


@card_case(
    manual("CHM-63", "chimney"),
    "buffers that a pool had when it ended are filled before it, or never; after a start it has its own",
)
def pools_that_are_broken_off(rig: Rig) -> None:
    """Five segments for a pool; every end after 0 to 8 steps; a start with other buffers, two segments."""
    for how, end in _ENDS.items():
        for steps in range(9):
            chimney = ChimneyRig(rig, pool_count=32, pool_posted=12)
            connection = chimney.connect()
            chimney.keeps_pool, first = True, chimney.pool_buffers[0].address
            rig.device.is_manual = True
            for number in range(5):
                connection.receive(bytes([number]) * 10, flags=_ACK | _PSH)
            _steps(rig, steps)
            end(rig, "CHQ_POOL")
            chimney.poll()
            before = rig.memory.read(first, 12 * 2048)
            chimney.pool_posted = 0
            chimney.start_pool(0)
            chimney.entries.clear()
            chimney.post_pool(0, *(first + n * 2048 for n in range(16, 24)))
            connection.receive(b"new one", flags=_ACK | _PSH)
            connection.receive(b"new two", flags=_ACK | _PSH)
            _go_on(rig)
            chimney.poll()
            what = f"{how} after {steps} steps"
            wanted = b"".join(bytes([n]) * 10 for n in range(5)) + b"new onenew two"
            assert bytes(connection.data) == wanted, f"{what}: {bytes(connection.data)!r} came"
            index = [each.index for each in chimney.entries if isinstance(each, ChmData)]
            assert index == list(range(len(index))), f"{what}: the entries are of buffers {index}"
            assert rig.memory.read(first, 12 * 2048) == before, f"{what}: a buffer of before is written"
            chimney.switch_off()
            rig[0].reset()
            rig[0].start()


@card_case(
    manual("CHM-63", "chimney"),
    "a command that the admin ring had when it ended is not completed after it; a start begins at entry 0",
)
def commands_that_are_broken_off(rig: Rig) -> None:
    """Four queries of a connection; every end after 0 to 8 steps; a start, and one more query."""
    for how, end in _ENDS.items():
        for steps in range(9):
            chimney = ChimneyRig(rig)
            connection = chimney.connect()
            chimney.take()
            rig.device.is_manual = True
            target = chimney.image_memory.address + 1024
            query = {"op": ChmOp.QUERY, "object": ChmObject.TCP, "handle": connection.handle}
            query |= {"out_addr": target, "out_len": ChmTcp.SIZE}
            for cookie in range(4):
                chimney.command(ChmCommand(**query, cookie=100 + cookie))
            _steps(rig, steps)
            end(rig, "CHM_ADMIN")
            told = [each.cookie for each in chimney.take() if isinstance(each, ChmAdminCompletion)]
            chimney.start_admin()
            chimney.command(ChmCommand(**query, cookie=7))
            _go_on(rig)
            done = [each for each in chimney.take() if isinstance(each, ChmAdminCompletion)]
            later = [(each.cookie, ChmStatus(each.status)) for each in done]
            assert later == [(7, ChmStatus.OK)], f"{how} after {steps} steps: of {told} then {later}"
            assert told == [100 + n for n in range(len(told))], f"{how} after {steps} steps: {told}"
            head = rig.get(BAR0.CHM_ADMIN_HEAD)
            assert head == 1, f"{how} after {steps} steps: HEAD is {head} behind one command"
            chimney.switch_off()
            rig[0].reset()
            rig[0].start()


@card_case(
    manual("CHM-63", "chimney"),
    "a completion ring that stops takes the rings of its pair with it, and an admin ring that is on it",
    pairs=2,
)
def rings_that_go_with_their_completions(rig: Rig) -> None:
    """Pair 0 or 1 stops or is reset, the admin ring is on either; connections run on; a new start."""
    names = ("CHM_ADMIN", "CHQ_SQ", "CHQ_POOL")
    for pair, admin, is_reset in product((0, 1), (0, 1), (0, 1)):
        chimney = ChimneyRig(rig, enables=False)
        chimney.switch_on()
        chimney.start_admin(admin)
        for number in range(2):
            chimney.start_submissions(number)
            chimney.start_pool(number)
        connection = chimney.connect(queue=pair)
        rig.sent()
        rig.put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(RESET=1) if is_reset else 0, pair)
        what = f"pair {pair} {'is reset' if is_reset else 'stops'}, the admin ring is on {admin}"
        for name in names:
            status = BAR0.MAP[f"{name}_STATUS"]
            for number in range(1 if name == "CHM_ADMIN" else 2):
                found = status.decode(rig.get(status, number))
                on = (admin if name == "CHM_ADMIN" else number) != pair
                assert found == {"RUNNING": int(on), "ERROR": 0}, f"{what}: {name} {number} is {found}"
        assert not rig.field(BAR0.CHM_STATUS, "UPLOAD_ALL"), f"{what}: UPLOAD_ALL"
        connection.receive(b"runs on", flags=_ACK | _PSH)
        chimney.advance(100_000_000)
        assert [each.ack for each in connection.sent()] == [connection.peer.seq], f"{what}: no ACK"
        rig[pair].reset()
        rig[pair].start()
        chimney.start_submissions(pair)
        chimney.start_pool(pair)
        if admin == pair:
            chimney.start_admin(admin)
        chimney.poll()
        assert bytes(connection.data) == b"runs on", f"{what}: what came meanwhile is lost"
        connection.terminate()
        chimney.take()
        chimney.switch_off()
