"""The card's chimney and its commands: order, refusals and what they leave, limits, rings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

from vnic.conformance.card_drive import commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand, ChmSubmission, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import IMAGES, Image, neighbour_image, path_image, tcp_image
from vnic.testbench.chimney.rig import ChimneyRig
from vnic.testbench.rig import Rig

_NEIGHBOUR, _PATH, _TCP = ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP
_UNMAPPED = 0x7000_0000_0000
_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_IN, _OUT = (ChmOp.CREATE, ChmOp.UPDATE), (ChmOp.QUERY, ChmOp.TERMINATE)
_COUNTS = ("CONNECTIONS", "PATHS", "NEIGHBOURS", "FREE_WORK", "FREE_BLOCKS", "FREE_NODES")
_Change = Callable[["_World", ChmCommand], Any]


class _World:
    """A neighbour, a path and a connection, and commands that would succeed on them."""

    def __init__(self, chimney: ChimneyRig) -> None:
        self.chimney = chimney
        neighbour = chimney.neighbour()
        path = chimney.path(neighbour)
        self.handles = {_NEIGHBOUR: neighbour, _PATH: path, _TCP: chimney.connect(path).handle}
        given: dict[ChmObject, Image] = {
            _NEIGHBOUR: neighbour_image(),
            _PATH: path_image(),
            _TCP: tcp_image(remote_port=41000),
        }
        self.images = {kind: chimney.rig.stage(image.pack()) for kind, image in given.items()}
        self.out = chimney.memory.alloc(4096).address

    def command(self, op: ChmOp, kind: ChmObject) -> ChmCommand:
        """A command that is right."""
        parents = {_NEIGHBOUR: 0, _PATH: self.handles[_NEIGHBOUR], _TCP: self.handles[_PATH]}
        size = IMAGES[kind].SIZE
        return ChmCommand(
            op=op, object=kind, cookie=0x8765_4321,
            handle=0 if op == ChmOp.CREATE else self.handles[kind],
            parent=parents[kind] if op == ChmOp.CREATE else 0,
            in_addr=self.images[kind] if op in _IN else 0, in_len=size if op in _IN else 0,
            out_addr=self.out if op in _OUT else 0, out_len=size if op in _OUT else 0,
        )  # fmt: skip

    def run(self, command: ChmCommand | bytes) -> ChmAdminCompletion:
        """The completion of one command."""
        self.chimney.take()
        self.chimney.command(command)
        (done,) = [each for each in self.chimney.take() if isinstance(each, ChmAdminCompletion)]
        return done

    def shape(self) -> list[Any]:
        """What no refused command changes."""
        images = [self.chimney.query(kind, handle) for kind, handle in self.handles.items()]
        return [*(self.chimney.stat(name) for name in _COUNTS), images]


def _swap(address: int, other: int) -> int:
    return 0 if address else other


#: What is wrong, how it is told, and of which commands it is.
_WRONG: tuple[tuple[str, _Change, ChmStatus, Callable[[ChmOp, ChmObject], bool]], ...] = (
    ("op 0", lambda _, c: replace(c, op=0), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("op 6", lambda _, c: replace(c, op=6), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("object 0", lambda _, c: replace(c, object=0), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("object 4", lambda _, c: replace(c, object=4), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("a reserved word", lambda _, c: replace(c, reserved=1 << 63), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("a queue that is none, or not wanted", lambda _, c: replace(c, queue=2), ChmStatus.BAD_COMMAND,
     lambda *_: True),
    ("IN_ADDR missing or not wanted", lambda w, c: replace(c, in_addr=_swap(c.in_addr, w.out)),
     ChmStatus.BAD_COMMAND, lambda *_: True),
    ("OUT_ADDR missing or not wanted", lambda w, c: replace(c, out_addr=_swap(c.out_addr, w.out)),
     ChmStatus.BAD_COMMAND, lambda *_: True),
    ("SEND_ADDR alone", lambda w, c: replace(c, send_addr=w.out), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("SEND_COUNT alone", lambda _, c: replace(c, send_count=1), ChmStatus.BAD_COMMAND, lambda *_: True),
    ("a handle of a new one", lambda w, c: replace(c, handle=w.handles[ChmObject(c.object)]),
     ChmStatus.BAD_COMMAND, lambda op, _: op == ChmOp.CREATE),
    ("a parent that is not wanted", lambda w, c: replace(c, parent=w.handles[_NEIGHBOUR]),
     ChmStatus.BAD_COMMAND,
     lambda op, kind: op in (ChmOp.QUERY, ChmOp.INVALIDATE, ChmOp.TERMINATE)
     or (op, kind) in ((ChmOp.CREATE, _NEIGHBOUR), (ChmOp.UPDATE, _TCP), (ChmOp.UPDATE, _NEIGHBOUR))),
    ("IN_LEN too short", lambda _, c: replace(c, in_len=c.in_len - 8), ChmStatus.BAD_LENGTH,
     lambda op, _: op in _IN),
    ("IN_LEN too long", lambda _, c: replace(c, in_len=c.in_len + 1), ChmStatus.BAD_LENGTH, lambda *_: True),
    ("OUT_LEN too short", lambda _, c: replace(c, out_len=c.out_len - 1), ChmStatus.BAD_LENGTH,
     lambda op, _: op in _OUT),
    ("OUT_LEN too long", lambda _, c: replace(c, out_len=c.out_len + 8), ChmStatus.BAD_LENGTH,
     lambda *_: True),
    ("handle 0", lambda _, c: replace(c, handle=0), ChmStatus.BAD_HANDLE, lambda op, _: op != ChmOp.CREATE),
    ("another generation", lambda _, c: replace(c, handle=c.handle ^ 1 << 22), ChmStatus.BAD_HANDLE,
     lambda op, _: op != ChmOp.CREATE),
    ("another index", lambda _, c: replace(c, handle=c.handle + 1), ChmStatus.BAD_HANDLE,
     lambda op, _: op != ChmOp.CREATE),
    ("index 0", lambda _, c: replace(c, handle=c.handle & ~0x3F_FFFF), ChmStatus.BAD_HANDLE,
     lambda op, _: op != ChmOp.CREATE),
    ("the last index", lambda _, c: replace(c, handle=c.handle | 0x3F_FFFF), ChmStatus.BAD_HANDLE,
     lambda op, _: op != ChmOp.CREATE),
    ("no parent", lambda _, c: replace(c, parent=0), ChmStatus.BAD_PARENT,
     lambda op, kind: op == ChmOp.CREATE and kind != _NEIGHBOUR),
    ("a parent of before", lambda _, c: replace(c, parent=c.parent ^ 1 << 23), ChmStatus.BAD_PARENT,
     lambda op, kind: op == ChmOp.CREATE and kind != _NEIGHBOUR),
    ("a parent that is none", lambda _, c: replace(c, parent=0x3F_FFFF), ChmStatus.BAD_PARENT,
     lambda op, kind: (op, kind) == (ChmOp.UPDATE, _PATH)),
    ("what others hang on", lambda _, c: c, ChmStatus.HAS_DEPENDENTS,
     lambda op, kind: op == ChmOp.TERMINATE and kind != _TCP),
    ("an image where no memory is", lambda _, c: replace(c, in_addr=_UNMAPPED), ChmStatus.DMA,
     lambda op, _: op in _IN),
    ("an image behind the last address", lambda _, c: replace(c, in_addr=(1 << 64) - 8), ChmStatus.DMA,
     lambda op, _: op in _IN),
    ("an answer where no memory is", lambda _, c: replace(c, out_addr=_UNMAPPED), ChmStatus.DMA,
     lambda op, _: op == ChmOp.QUERY),
)  # fmt: skip


@card_case(
    manual("CHM-3", "chimney"),
    "each command with each of its fields wrong is refused with what is wrong, and changes nothing",
    pairs=2,
)
def commands_that_are_wrong(rig: Rig) -> None:
    """All fifteen commands, one field wrong each time; reserved bits; a QUERY of everything in between."""
    world = _World(ChimneyRig(rig))
    before = world.shape()
    for name, change, status, applies in _WRONG:
        for op, kind in ((op, kind) for op in ChmOp for kind in ChmObject if applies(op, kind)):
            command = change(world, world.command(op, kind))
            done = world.run(command)
            what = f"{op.name} of {kind.name} with {name}"
            assert done.status == status, f"{what}: {ChmStatus(done.status).name}"
            told = done.cookie, done.op, done.object, done.handle
            right = command.cookie, command.op, command.object, command.handle
            assert told == right, f"{what}: the completion is of {told}"
        assert world.shape() == before, f"{name}: something has changed"
    for at, bit in ((3, 0), (3, 7), (52, 0), (55, 7), (56, 0)):
        packed = bytearray(world.command(ChmOp.QUERY, _PATH).pack())
        packed[at] |= 1 << bit
        status = ChmStatus(world.run(bytes(packed)).status)
        assert status == ChmStatus.BAD_COMMAND, f"reserved bit {bit} of byte {at}: {status.name}"


def _mended(world: _World) -> Iterator[tuple[str, ChmCommand]]:
    """A CREATE with everything wrong whose faults are mended one after the other; the status due."""
    chimney = world.chimney
    image = tcp_image(state=0, cwnd=0, initial_rcv_wnd=(1 << 30) + 1)
    at = world.images[_TCP]
    chimney.memory.write(at, image.pack())
    listed = chimney.rig.stage(ChmSubmission(op=9, len=(1 << 30) + 1).pack())
    wrong = replace(
        world.command(ChmOp.CREATE, _TCP), object=9, in_len=1, parent=77, send_addr=_UNMAPPED, send_count=1
    )
    yield "BAD_COMMAND", wrong
    wrong = replace(wrong, object=_TCP)
    yield "BAD_LENGTH", wrong
    wrong = replace(wrong, in_len=ChmTcp.SIZE)
    yield "BAD_PARENT", wrong
    wrong = replace(wrong, parent=world.handles[_PATH])
    yield "DMA", wrong
    wrong = replace(wrong, send_addr=listed)
    yield "BAD_COMMAND", wrong
    chimney.memory.write(listed, ChmSubmission(op=1, len=(1 << 30) + 1).pack())
    yield "BAD_LENGTH", wrong
    wrong = replace(wrong, send_addr=0, send_count=0)
    yield "BAD_STATE", wrong
    for fields, status in (
        ({"state": 4}, "BAD_VALUE"),
        ({"cwnd": 14600}, "RCV_WINDOW"),
        ({"initial_rcv_wnd": 65535}, "DUPLICATE"),
        ({"remote_port": 50000}, "OK"),
    ):
        image = replace(image, **fields)
        chimney.memory.write(at, image.pack())
        yield status, wrong


@card_case(
    manual("CHM-3", "chimney"), "of all that is wrong with a command the first in the manual's order is told"
)
def the_first_that_applies(rig: Rig) -> None:
    """A CREATE in which everything is wrong; one fault after the other is mended."""
    world = _World(ChimneyRig(rig))
    before = world.chimney.stat("FREE_WORK")
    for status, command in _mended(world):
        found = ChmStatus(world.run(command).status).name
        assert found == status, f"{found} where {status} is due"
    assert world.chimney.stat("FREE_WORK") == before, "work is kept of a command that was refused"
    for kind in (_NEIGHBOUR, _PATH):
        done = world.run(replace(world.command(ChmOp.TERMINATE, kind), out_addr=_UNMAPPED))
        assert done.status == ChmStatus.HAS_DEPENDENTS, f"{kind.name}: memory is looked at before dependents"


@card_case(
    manual("CHM-10", "chimney"), "as many objects as a limit says; one more is refused for want of its kind",
    connections=3, paths=2, neighbours=66, chimney_work=20, cq_count=1024,
)  # fmt: skip
def what_is_used_up(rig: Rig) -> None:
    """Every neighbour, VLAN, path, connection and work entry; one more of each; one is given back."""
    chimney = ChimneyRig(rig, admin_count=256)
    limits = [chimney.stat(f"MAX_{name}") for name in ("CONNECTIONS", "PATHS", "NEIGHBOURS", "WORK", "VLANS")]
    assert limits == [3, 2, 66, 20, 64], f"the limits are {limits}"
    neighbours = [chimney.neighbour(vlan_id=1 + n) for n in range(64)]

    def refused(image: Any, status: ChmStatus, **fields: int) -> None:
        """It is, with this status, and counts stay."""
        counts = [chimney.stat(name) for name in _COUNTS]
        found = ChmStatus(chimney.try_create(image, **fields).status)
        assert found == status, f"{found.name} where {status.name} is due"
        assert [chimney.stat(name) for name in _COUNTS] == counts, f"{status.name}: something is kept"

    refused(neighbour_image(vlan_id=99), ChmStatus.VLAN_ENTRIES)
    neighbours += [chimney.neighbour(vlan_id=64), chimney.neighbour()]
    refused(neighbour_image(vlan_id=99), ChmStatus.VLAN_ENTRIES)
    refused(neighbour_image(), ChmStatus.NEIGHBOUR_ENTRIES)
    chimney.terminate(_NEIGHBOUR, neighbours.pop(64))
    refused(neighbour_image(vlan_id=99), ChmStatus.VLAN_ENTRIES)
    chimney.terminate(_NEIGHBOUR, neighbours.pop(5))
    last = [chimney.neighbour() for _ in range(2)]
    refused(neighbour_image(vlan_id=100), ChmStatus.NEIGHBOUR_ENTRIES)
    for each in last:
        chimney.terminate(_NEIGHBOUR, each)
    neighbours.append(chimney.neighbour(vlan_id=99))
    chimney.terminate(_NEIGHBOUR, chimney.neighbour(vlan_id=64))
    paths = [chimney.path(neighbours[0]) for _ in range(2)]
    refused(path_image(), ChmStatus.PATH_ENTRIES, parent=neighbours[0])
    refused(path_image(path_mtu=67), ChmStatus.BAD_VALUE, parent=neighbours[0])
    image, rows = tcp_image(send_backlog_size=21), chimney.send_list([b"x"] * 21)
    refused(image, ChmStatus.XMIT_BUFFER, parent=paths[0], **rows)
    made = [chimney.connect(paths[port % 2], remote_port=port) for port in (1, 2)]
    made.append(chimney.connect(paths[0], remote_port=3, sends=[b"x"] * 20, snd_wnd=0))
    refused(tcp_image(remote_port=9), ChmStatus.TCP_ENTRIES, parent=paths[0])
    found = [chimney.stat(name) for name in ("CONNECTIONS", "PATHS", "NEIGHBOURS", "FREE_WORK")]
    assert found == [3, 2, 65, 0], f"connections, paths, neighbours and free work are {found}"
    made[2].terminate()
    made[1].terminate()
    chimney.connect(paths[1], remote_port=9)
    assert chimney.stat("FREE_WORK") == 20, "work entries of a list do not come back"


@card_case(
    manual("CHM-2", "chimney"),
    "commands are executed in ring order, each once, over its end; they wait for slots",
    cq_count=8, pairs=2,
)  # fmt: skip
def commands_in_their_order(rig: Rig) -> None:
    """50 commands, good and bad, by doorbells of 1 to 7; seven slots that are given back late."""
    chimney = ChimneyRig(rig, admin_count=8)
    chimney.memory.write(chimney.image_memory.address, neighbour_image().pack())
    good = ChmCommand(op=ChmOp.CREATE, object=_NEIGHBOUR, in_addr=chimney.image_memory.address, in_len=32)
    seen: list[int] = []
    given = number = 0
    while len(seen) < 50:
        burst = min(number % 7 + 1, 7 - (given - len(seen)), 50 - given)
        for _ in range(burst):
            command = replace(good, cookie=given, op=0 if given % 3 == 2 else ChmOp.CREATE)
            chimney.command(command, ring=False)
            given += 1
        rig.put(BAR0.CHM_ADMIN_TAIL, chimney.admin_tail)
        fresh = chimney.poll(give_back=number % 2 == 1)
        for each in fresh:
            assert isinstance(each, ChmAdminCompletion)
            right = ChmStatus.BAD_COMMAND if each.cookie % 3 == 2 else ChmStatus.OK
            assert each.status == right, f"command {each.cookie}: {ChmStatus(each.status).name}"
            seen.append(each.cookie)
        if number % 2:
            rig[0].give_back()
        number += 1
        assert chimney.stat("NEIGHBOURS") <= len(seen), "a command is executed that could not be completed"
        assert number < 500, f"the commands hang behind {seen[-1:]}"
    assert seen == list(range(50)), f"in another order, or not once: {seen}"
    assert chimney.stat("NEIGHBOURS") == sum(n % 3 != 2 for n in range(50))


def _ended(chimney: ChimneyRig, wanted: int, what: str) -> None:
    """The only completion since the last call came on this pair."""
    came = [n for n in range(3) for each in chimney.by_pair[n] if isinstance(each, ChmAdminCompletion)]
    assert came == [wanted], f"{what} ended on {came}, not on {wanted}"
    chimney.by_pair[:] = [[] for _ in range(3)]


@card_case(
    manual("CHM-2", "chimney"),
    "what names no live connection ends on the ring of CHM_ADMIN_QUEUE, what names one on the connection's",
    pairs=3,
)
def rings_on_which_commands_end(rig: Rig) -> None:
    """The admin queue 0, 1 and 2, a table that names pair 1 or 2; commands of each kind, good and bad."""
    chimney = ChimneyRig(rig)
    for queue, own in ((1, 2), (2, 1), (0, 1), (1, 0)):
        rig.put(BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_CTRL.encode(RESET=1))
        chimney.start_admin(queue)
        assert commit_rss(rig, key=_KEY, table=[own], types=0x1FF00, log2=0)
        chimney.take()

        chimney.by_pair[:] = [[] for _ in range(3)]
        neighbour = chimney.neighbour()
        _ended(chimney, queue, "CREATE of a neighbour")
        path = chimney.path(neighbour)
        _ended(chimney, queue, "CREATE of a path")
        connection = chimney.connect(path)
        _ended(chimney, own, "CREATE of a connection")
        assert chimney.try_create(tcp_image(), parent=path).status == ChmStatus.DUPLICATE
        _ended(chimney, queue, "a CREATE that is refused")
        connection.query()
        _ended(chimney, own, "QUERY of a connection")
        chimney.update(tcp_image(cached_flags=32), connection.handle)
        _ended(chimney, own, "an UPDATE that is refused")
        chimney.read_out(ChmOp.QUERY, _TCP, connection.handle ^ 1 << 22)
        _ended(chimney, queue, "a QUERY of nobody")
        connection.terminate()
        _ended(chimney, own, "TERMINATE of a connection")
        chimney.terminate(_PATH, path)
        _ended(chimney, queue, "TERMINATE of a path")
        chimney.terminate(_NEIGHBOUR, neighbour)
        chimney.by_pair[:] = [[] for _ in range(3)]


@card_case(
    manual("CHM-2", "chimney"), "a command is fetched once: what is changed in the ring later is not seen"
)
def commands_that_change_later(rig: Rig) -> None:
    """Two commands; after each step the ring is overwritten with a third, whose cookie nobody may see."""
    chimney = ChimneyRig(rig)
    world = _World(chimney)
    chimney.take()
    poison = replace(world.command(ChmOp.INVALIDATE, _TCP), cookie=666).pack()
    rig.device.is_manual = True
    for cookie in (1, 2):
        first = chimney.admin_tail
        chimney.command(replace(world.command(ChmOp.QUERY, _TCP), cookie=cookie))
        rig.device.step(rig.device.runnable[0])
        chimney.admin_memory.view[first * 64 : first * 64 + 64] = poison
        rig.device.run()
        told = [each.cookie for each in chimney.take() if isinstance(each, ChmAdminCompletion)]
        assert told == [cookie], f"completions of {told}"
    rig.device.is_manual = False
    assert chimney.events() == []


@card_case(
    manual("CHM-6", "chimney"), "a neighbour or a path ends when nothing hangs on it any more, and not before"
)
def objects_that_others_hang_on(rig: Rig) -> None:
    """Three paths, two connections on one; each order of ends; what is written where TERMINATE is refused."""
    chimney = ChimneyRig(rig)
    for order in permutations(range(3)):
        neighbour = chimney.neighbour()
        paths = [chimney.path(neighbour) for _ in range(3)]
        made = [chimney.connect(paths[order[1]], remote_port=port) for port in (1, 2)]
        chimney.take()

        def refused(kind: ChmObject, handle: int) -> None:
            """Others hang on it."""
            done, image = chimney.read_out(ChmOp.TERMINATE, kind, handle)
            assert done.status == ChmStatus.HAS_DEPENDENTS, f"{kind.name}: {ChmStatus(done.status).name}"
            untouched = chimney.memory.read(chimney.image_memory.address + 1024, 32)
            assert untouched == b"\xee" * 32, f"an image of {kind.name} is written all the same: {image}"

        for number in order:
            refused(_NEIGHBOUR, neighbour)
            if number == order[1]:
                for each in made:
                    refused(_PATH, paths[number])
                    each.terminate()
            chimney.terminate(_PATH, paths[number])
        chimney.terminate(_NEIGHBOUR, neighbour)
        chimney.take()
    counts = [chimney.stat(name) for name in ("CONNECTIONS", "PATHS", "NEIGHBOURS")]
    assert counts == [0, 0, 0], f"connections, paths and neighbours at the end: {counts}"
