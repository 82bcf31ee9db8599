"""Admin commands: their order, what is refused and with which status, and memory that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nic.chimney.driver import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    Driver,
    Image,
    kind_of,
    neighbour_image,
    path_image,
    pieces,
    tcp_image,
)
from vnic.abi import DmaPurpose, DmaStatus, Engine, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import (
    ChmAdminCompletion,
    ChmCommand,
    ChmNeighbour,
    ChmPath,
    ChmSubmission,
    ChmTcp,
)
from vnic.gen.enums import ChmObject, ChmOp, ChmStatus, ChmSubmissionOp, RingError
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import ISS

UNMAPPED = 0x7000_0000_0000
NEIGHBOUR, PATH, TCP = ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP
SIZES = {NEIGHBOUR: ChmNeighbour.SIZE, PATH: ChmPath.SIZE, TCP: ChmTcp.SIZE}


def fault(site: FaultSite, purpose: DmaPurpose, skip: int = 0) -> Fault:
    """One transfer ends with a Completer Abort."""
    return Fault(site=site, action=FaultAction.ERROR, index=purpose, skip=skip, argument=DmaStatus.ABORTED)


class World:
    """A neighbour, a path and a connection, and commands that would succeed on them."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.handles = {NEIGHBOUR: driver.neighbour()}
        self.handles[PATH] = driver.path(self.handles[NEIGHBOUR])
        self.handles[TCP] = driver.connect(self.handles[PATH]).handle
        images: dict[ChmObject, Image] = {
            NEIGHBOUR: neighbour_image(),
            PATH: path_image(),
            TCP: tcp_image(remote_port=41000),
        }
        self.images = {}
        for kind, image in images.items():
            address = driver.memory.alloc(image.SIZE).address
            driver.memory.write(address, image.pack())
            self.images[kind] = address
        self.out = driver.memory.alloc(4096).address

    def command(self, op: ChmOp, kind: ChmObject) -> ChmCommand:
        """A command that is right."""
        has_in, has_out = op in (ChmOp.CREATE, ChmOp.UPDATE), op in (ChmOp.QUERY, ChmOp.TERMINATE)
        parents = {NEIGHBOUR: 0, PATH: self.handles[NEIGHBOUR], TCP: self.handles[PATH]}
        return ChmCommand(
            op=op,
            object=kind,
            cookie=0x1234_5678,
            handle=0 if op == ChmOp.CREATE else self.handles[kind],
            parent=parents[kind] if op == ChmOp.CREATE else 0,
            in_addr=self.images[kind] if has_in else 0,
            in_len=SIZES[kind] if has_in else 0,
            out_addr=self.out if has_out else 0,
            out_len=SIZES[kind] if has_out else 0,
        )

    def run(self, command: ChmCommand | bytes) -> ChmAdminCompletion:
        """The completion of one command."""
        self.driver.take()
        self.driver.command(command)
        self.driver.run()
        (done,) = [entry for entry in self.driver.take() if isinstance(entry, ChmAdminCompletion)]
        return done

    def shape(self) -> tuple[Any, ...]:
        """What no refused command changes."""
        names = ("CONNECTIONS", "PATHS", "NEIGHBOURS", "FREE_WORK", "FREE_BLOCKS", "FREE_NODES")
        images = [self.driver.query(kind, handle) for kind, handle in self.handles.items()]
        return tuple(self.driver.stat(name) for name in names), images


ALL = [(op, kind) for op in ChmOp for kind in ChmObject]
Change = Callable[[World, ChmCommand], Any]

WRONG: dict[str, tuple[Change, ChmStatus, Callable[[ChmOp, ChmObject], bool]]] = {
    "op 0": (lambda _, c: replace(c, op=0), ChmStatus.BAD_COMMAND, lambda *_: True),
    "op 6": (lambda _, c: replace(c, op=6), ChmStatus.BAD_COMMAND, lambda *_: True),
    "op 255": (lambda _, c: replace(c, op=255), ChmStatus.BAD_COMMAND, lambda *_: True),
    "object 0": (lambda _, c: replace(c, object=0), ChmStatus.BAD_COMMAND, lambda *_: True),
    "object 4": (lambda _, c: replace(c, object=4), ChmStatus.BAD_COMMAND, lambda *_: True),
    "reserved word": (lambda _, c: replace(c, reserved=1 << 63), ChmStatus.BAD_COMMAND, lambda *_: True),
    "queue": (
        lambda _, c: replace(c, queue=1),
        ChmStatus.BAD_COMMAND,
        lambda *_: True,
    ),
    "in_addr": (
        lambda w, c: replace(c, in_addr=0 if c.in_addr else w.out),
        ChmStatus.BAD_COMMAND,
        lambda *_: True,
    ),
    "out_addr": (
        lambda w, c: replace(c, out_addr=0 if c.out_addr else w.out),
        ChmStatus.BAD_COMMAND,
        lambda *_: True,
    ),
    "in_len short": (
        lambda _, c: replace(c, in_len=c.in_len - 8),
        ChmStatus.BAD_LENGTH,
        lambda op, _: op in (ChmOp.CREATE, ChmOp.UPDATE),
    ),
    "in_len": (lambda _, c: replace(c, in_len=c.in_len + 1), ChmStatus.BAD_LENGTH, lambda *_: True),
    "in_len huge": (lambda _, c: replace(c, in_len=0xFFFF_FFFF), ChmStatus.BAD_LENGTH, lambda *_: True),
    "out_len": (lambda _, c: replace(c, out_len=c.out_len + 8), ChmStatus.BAD_LENGTH, lambda *_: True),
    "handle of a new one": (
        lambda w, c: replace(c, handle=w.handles[ChmObject(c.object)]),
        ChmStatus.BAD_COMMAND,
        lambda op, _: op == ChmOp.CREATE,
    ),
    "handle 0": (
        lambda _, c: replace(c, handle=0),
        ChmStatus.BAD_HANDLE,
        lambda op, _: op != ChmOp.CREATE,
    ),
    "another generation": (
        lambda _, c: replace(c, handle=c.handle ^ 1 << 22),
        ChmStatus.BAD_HANDLE,
        lambda op, _: op != ChmOp.CREATE,
    ),
    "another index": (
        lambda _, c: replace(c, handle=c.handle + 1),
        ChmStatus.BAD_HANDLE,
        lambda op, _: op != ChmOp.CREATE,
    ),
    "the last index": (
        lambda _, c: replace(c, handle=c.handle | 0x3F_FFFF),
        ChmStatus.BAD_HANDLE,
        lambda op, _: op != ChmOp.CREATE,
    ),
    "no parent": (
        lambda _, c: replace(c, parent=0),
        ChmStatus.BAD_PARENT,
        lambda op, kind: op == ChmOp.CREATE and kind != NEIGHBOUR,
    ),
    "stale parent": (
        lambda _, c: replace(c, parent=c.parent ^ 1 << 23),
        ChmStatus.BAD_PARENT,
        lambda op, kind: op == ChmOp.CREATE and kind != NEIGHBOUR,
    ),
    "strange relink": (
        lambda _, c: replace(c, parent=0x3F_FFFF),
        ChmStatus.BAD_PARENT,
        lambda op, kind: (op, kind) == (ChmOp.UPDATE, PATH),
    ),
    "parent": (
        lambda w, c: replace(c, parent=w.handles[NEIGHBOUR]),
        ChmStatus.BAD_COMMAND,
        lambda op, kind: (
            (op, kind) in ((ChmOp.CREATE, NEIGHBOUR), (ChmOp.UPDATE, TCP))
            or op in (ChmOp.QUERY, ChmOp.INVALIDATE, ChmOp.TERMINATE)
        ),
    ),
    "send_addr": (lambda w, c: replace(c, send_addr=w.out), ChmStatus.BAD_COMMAND, lambda *_: True),
    "send_count": (lambda _, c: replace(c, send_count=1), ChmStatus.BAD_COMMAND, lambda *_: True),
    "in not mapped": (
        lambda _, c: replace(c, in_addr=UNMAPPED),
        ChmStatus.DMA,
        lambda op, _: op in (ChmOp.CREATE, ChmOp.UPDATE),
    ),
    "out not mapped": (
        lambda _, c: replace(c, out_addr=UNMAPPED),
        ChmStatus.DMA,
        lambda op, _: op == ChmOp.QUERY,
    ),
    "address wraps": (
        lambda _, c: replace(c, in_addr=(1 << 64) - 8),
        ChmStatus.DMA,
        lambda op, _: op in (ChmOp.CREATE, ChmOp.UPDATE),
    ),
}
CASES = [
    pytest.param(op, kind, change, status, id=f"{op.name} {kind.name} {name}")
    for name, (change, status, applies) in WRONG.items()
    for op, kind in ALL
    if applies(op, kind)
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all commands that are refused: they change nothing."""
    with Driver() as driver:
        yield World(driver)


@pytest.mark.requirement("CHM-2", "CHM-3")
@pytest.mark.parametrize(("op", "kind", "change", "status"), CASES)
def test_each_field_wrong_in_turn(
    world: World, op: ChmOp, kind: ChmObject, change: Change, status: ChmStatus
) -> None:
    before = world.shape()
    command = change(world, world.command(op, kind))
    done = world.run(command)
    assert (done.status, done.cookie, done.op) == (status, command.cookie, command.op)
    assert done.handle == command.handle
    assert world.shape() == before
    assert world.driver.stat("STATUS") == 1


@pytest.mark.requirement("CHM-3")
@pytest.mark.parametrize("bit", [24, 31])
@pytest.mark.parametrize("word", [0, 6])
def test_reserved_bits_of_the_command(word: int, bit: int) -> None:
    with Driver() as driver:
        world = World(driver)
        packed = bytearray(world.command(ChmOp.QUERY, NEIGHBOUR).pack())
        packed[8 * word + (bit if word == 0 else bit + 32) // 8] |= 1 << bit % 8
        assert world.run(bytes(packed)).status == ChmStatus.BAD_COMMAND


@pytest.mark.requirement("CHM-3")
def test_the_first_that_applies() -> None:
    """A command with everything wrong; its faults are mended one after the other."""
    with Driver() as driver:
        world = World(driver)
        image = tcp_image(state=0, cwnd=0, initial_rcv_wnd=(1 << 30) + 1)
        driver.memory.write(world.images[TCP], image.pack())
        wrong = replace(
            world.command(ChmOp.CREATE, TCP),
            object=9,
            in_len=1,
            parent=77,
            send_addr=UNMAPPED,
            send_count=1,
        )
        mended: list[dict[str, int]] = [
            {"object": TCP},
            {"in_len": ChmTcp.SIZE},
            {"parent": world.handles[PATH]},
            {"send_addr": 0, "send_count": 0},
        ]
        seen = [world.run(wrong).status]
        for fields in mended:
            wrong = replace(wrong, **fields)
            seen.append(world.run(wrong).status)
        for fields in ({"state": ESTABLISHED}, {"cwnd": 14600}, {"initial_rcv_wnd": 65535}):
            image = replace(image, **fields)
            driver.memory.write(world.images[TCP], image.pack())
            seen.append(world.run(wrong).status)
        driver.memory.write(world.images[TCP], replace(image, remote_port=50000).pack())
        seen.append(world.run(wrong).status)
        assert [ChmStatus(status).name for status in seen] == [
            "BAD_COMMAND",
            "BAD_LENGTH",
            "BAD_PARENT",
            "DMA",
            "BAD_STATE",
            "BAD_VALUE",
            "RCV_WINDOW",
            "DUPLICATE",
            "OK",
        ]


@pytest.mark.requirement("CHM-3")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"vlan_id": 0xFFF}, "BAD_VALUE"),
        ({"source_address": 1}, "BAD_VALUE"),
        ({"vlan_id": 0xFFE, "source_address": 2}, "OK"),
    ],
)
def test_images_of_neighbours(fields: dict[str, int], status: str) -> None:
    with Driver() as driver:
        assert driver.try_create(neighbour_image(**fields)).status == ChmStatus[status]


@pytest.mark.requirement("CHM-3")
@pytest.mark.parametrize(
    ("version", "fields", "status"),
    [
        (4, {"path_mtu": 67}, "BAD_VALUE"),
        (4, {"path_mtu": 68}, "OK"),
        (6, {"path_mtu": 1279}, "BAD_VALUE"),
        (4, {"path_mtu": 9728 - 14}, "OK"),
        (4, {"path_mtu": 9728 - 13}, "PATH_MTU"),
        (4, {"path_mtu": 0xFFFF_FFFF}, "PATH_MTU"),
        (4, {"source_hi": 1}, "BAD_VALUE"),
        (4, {"destination_lo": 1 << 32}, "BAD_VALUE"),
        (4, {"reserved": 1}, "BAD_VALUE"),
        (6, {"source_hi": 1}, "OK"),
    ],
)
def test_images_of_paths(version: int, fields: dict[str, int], status: str) -> None:
    with Driver() as driver:
        image = path_image(version, **fields)
        assert driver.try_create(image, parent=driver.neighbour()).status == ChmStatus[status]


@pytest.mark.requirement("CHM-3", "CHM-5")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        *(({"state": state}, "BAD_STATE") for state in (0, 1, 2, 3, 10, 11, 255)),
        ({"const_flags": 8}, "BAD_VALUE"),
        ({"cached_flags": 32}, "BAD_VALUE"),
        ({"snd_wind_scale": 1}, "BAD_VALUE"),
        ({"const_flags": 4, "snd_wind_scale": 15}, "BAD_VALUE"),
        ({"remote_mss": 47}, "BAD_VALUE"),
        ({"cwnd": 0}, "BAD_VALUE"),
        ({"snd_nxt": ISS + 1}, "BAD_VALUE"),
        ({"snd_max": ISS + 1}, "BAD_VALUE"),
        ({"send_backlog_size": 1}, "BAD_VALUE"),
        ({"snd_wnd": (1 << 30) + 1}, "BAD_VALUE"),
        ({"receive_backlog_size": 1 << 31}, "BAD_VALUE"),
        ({"reserved_1": 1}, "BAD_VALUE"),
        ({"reserved_3": 1 << 63}, "BAD_VALUE"),
        ({"initial_rcv_wnd": (1 << 30) + 1}, "RCV_WINDOW"),
        ({"rcv_wnd": 0xFFFF_FFFF}, "RCV_WINDOW"),
        ({"initial_rcv_wnd": 1 << 30}, "OK"),
        ({"remote_port": 0, "local_port": 0}, "OK"),
    ],
)
def test_images_of_connections(fields: dict[str, int], status: str) -> None:
    with Driver() as driver:
        path = driver.path()
        free = driver.stat("FREE_NODES")
        assert driver.try_create(tcp_image(**fields), parent=path).status == ChmStatus[status]
        assert driver.stat("CONNECTIONS") == (status == "OK")
        assert driver.stat("FREE_NODES") == free


LISTS: list[tuple[str, dict[str, int], list[ChmSubmission], str]] = [
    ("a send", {"send_backlog_size": 10}, [ChmSubmission(op=1, len=10)], "OK"),
    ("pieces", {"send_backlog_size": 9}, pieces(ChmSubmissionOp.SEND, 0, 9, (4,)), "OK"),
    ("a FIN", {}, [ChmSubmission(op=4)], "OK"),
    ("a FIN that was sent", {"state": FIN_WAIT_1, "snd_max": ISS + 1, "snd_nxt": ISS + 1}, [], "BAD_VALUE"),
    (
        "it came along",
        {"state": FIN_WAIT_1, "snd_max": ISS + 1, "snd_nxt": ISS + 1},
        [ChmSubmission(op=4)],
        "OK",
    ),
    ("LAST-ACK without", {"state": LAST_ACK}, [], "BAD_VALUE"),
    ("LAST-ACK with", {"state": LAST_ACK}, [ChmSubmission(op=4)], "OK"),
    ("CLOSE-WAIT with", {"state": CLOSE_WAIT}, [ChmSubmission(op=4)], "OK"),
    ("FIN-WAIT-2 with", {"state": FIN_WAIT_2}, [ChmSubmission(op=4)], "BAD_VALUE"),
    (
        "FIN with data",
        {"send_backlog_size": 7},
        [ChmSubmission(op=1, len=4), ChmSubmission(op=4, len=3)],
        "OK",
    ),
    ("the sum is less", {"send_backlog_size": 11}, [ChmSubmission(op=1, len=10)], "BAD_VALUE"),
    ("the sum is more", {"send_backlog_size": 9}, [ChmSubmission(op=1, len=10)], "BAD_VALUE"),
    ("more than a window", {}, [ChmSubmission(op=1, len=(1 << 30) + 1)], "BAD_LENGTH"),
    ("wraps", {}, [ChmSubmission(op=1, len=1 << 30)] * 4, "BAD_LENGTH"),
    ("a receive", {}, [ChmSubmission(op=2, len=1)], "BAD_COMMAND"),
    ("op 0", {}, [ChmSubmission()], "BAD_COMMAND"),
    ("abortive", {}, [ChmSubmission(op=4, abortive=1)], "BAD_COMMAND"),
    ("behind the FIN", {}, [ChmSubmission(op=4), ChmSubmission(op=1)], "BAD_COMMAND"),
    ("two FINs", {}, [ChmSubmission(op=4), ChmSubmission(op=4)], "BAD_COMMAND"),
    ("mixed pieces", {}, [ChmSubmission(op=1, more=1), ChmSubmission(op=4)], "BAD_COMMAND"),
    ("no last piece", {}, [ChmSubmission(op=1, more=1)], "BAD_COMMAND"),
]


@pytest.mark.requirement("CHM-3", "CHM-5")
@pytest.mark.parametrize(
    ("fields", "entries", "status"), [case[1:] for case in LISTS], ids=[case[0] for case in LISTS]
)
def test_send_lists(fields: dict[str, int], entries: list[ChmSubmission], status: str) -> None:
    with Driver() as driver:
        path = driver.path()
        free = driver.stat("FREE_WORK")
        address = driver.rig.stage(bytes(64))
        packed = b"".join(replace(entry, addr=address).pack() for entry in entries)
        listed = {"send_addr": driver.rig.stage(packed), "send_count": len(entries)} if entries else {}
        done = driver.try_create(tcp_image(**fields), parent=path, **listed)
        assert ChmStatus(done.status).name == status
        if status != "OK":
            assert (driver.stat("CONNECTIONS"), driver.stat("FREE_WORK")) == (0, free)
        else:
            assert driver.stat("FREE_WORK") == free - len(entries)
            driver.terminate(TCP, done.handle)
            assert driver.stat("FREE_WORK") == free


@pytest.mark.requirement("CHM-3")
def test_a_list_without_room() -> None:
    """What is wrong with the state comes first; without that nobody has room for 40 pieces among 32."""
    with Driver(chimney_work=32) as driver:
        path = driver.path()
        packed = b"".join(ChmSubmission(op=1, len=1, addr=driver.rig.stage(b"x")).pack() for _ in range(40))
        listed = {"send_addr": driver.rig.stage(packed), "send_count": 40}
        for fields, status in (
            ({"state": 0}, ChmStatus.BAD_STATE),
            ({"cwnd": 0}, ChmStatus.BAD_VALUE),
            ({"send_backlog_size": 40}, ChmStatus.XMIT_BUFFER),
        ):
            assert driver.try_create(tcp_image(**fields), parent=path, **listed).status == status
            assert (driver.stat("FREE_WORK"), driver.stat("CONNECTIONS")) == (32, 0)
        endless = listed | {"send_count": 0xFFFF_FFFF}
        assert driver.try_create(tcp_image(), parent=path, **endless).status == ChmStatus.XMIT_BUFFER


@pytest.mark.requirement("CHM-2", "CHM-3")
def test_dma_faults_at_each_step() -> None:
    with Driver() as driver:
        world = World(driver)
        before = world.shape()
        listed = driver.send_list([b"data"])
        create = replace(world.command(ChmOp.CREATE, TCP), **listed)
        for skip in (0, 1):
            with driver.device.arm(fault(FaultSite.DMA_READ, DmaPurpose.STATE, skip)):
                assert world.run(create).status == ChmStatus.DMA
            assert world.shape() == before
        with driver.device.arm(fault(FaultSite.DMA_WRITE, DmaPurpose.STATE)):
            assert world.run(world.command(ChmOp.QUERY, PATH)).status == ChmStatus.DMA
        assert world.shape() == before


@pytest.mark.requirement("CHM-63", "CHM-2")
def test_a_command_that_cannot_be_fetched() -> None:
    with Driver() as driver:
        world = World(driver)
        with driver.device.arm(fault(FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR)):
            driver.command(world.command(ChmOp.QUERY, PATH))
            driver.run()
        status = BAR0.CHM_ADMIN_STATUS.decode(driver.rig.get(BAR0.CHM_ADMIN_STATUS))
        assert status == {"RUNNING": 0, "ERROR": RingError.FETCH_DMA}
        assert driver.rig.get(BAR0.CHM_ADMIN_CTRL) == 0
        assert driver.rig.field(BAR0.CHM_STATUS, "UPLOAD_ALL") == 1
        driver.start_admin()
        assert world.run(world.command(ChmOp.QUERY, PATH)).status == ChmStatus.OK


@pytest.mark.requirement("CHM-2")
def test_commands_in_order_each_once() -> None:
    with Driver(admin_count=8, manual=True) as driver:
        driver.run()
        address = driver.image_memory.address
        driver.memory.write(address, neighbour_image().pack())
        for cookie in range(7):
            driver.command(
                ChmCommand(op=1, object=1, in_addr=address, in_len=32, cookie=cookie), ring=cookie == 6
            )
        driver.run()
        driver.poll()
        done = [entry for entry in driver.entries if isinstance(entry, ChmAdminCompletion)]
        assert [entry.cookie for entry in done] == list(range(7))
        assert len({entry.handle for entry in done}) == 7
        assert driver.rig.get(BAR0.CHM_ADMIN_HEAD) == driver.rig.get(BAR0.CHM_ADMIN_TAIL) == 7


@pytest.mark.requirement("CHM-2")
def test_a_command_is_fetched_once() -> None:
    """What the driver changes after the fetch is not seen."""
    with Driver(manual=True) as driver:
        driver.run()
        address = driver.image_memory.address
        driver.memory.write(address, neighbour_image().pack())
        driver.command(ChmCommand(op=1, object=1, in_addr=address, in_len=32, cookie=5))
        assert driver.device.step(Engine.ADMIN)
        driver.admin_memory.view[:] = b"\xff" * len(driver.admin_memory)
        assert driver.completion_of(5).status == ChmStatus.OK


@pytest.mark.requirement("CHM-2", "CHM-60")
def test_commands_wait_for_slots() -> None:
    """A full completion ring: nothing is lost, and nothing is done that could not be completed."""
    with Driver(cq_count=8, admin_count=64) as driver:
        address = driver.image_memory.address
        driver.memory.write(address, neighbour_image().pack())
        for cookie in range(30):
            driver.command(
                ChmCommand(op=1, object=1, in_addr=address, in_len=32, cookie=cookie), ring=cookie == 29
            )
        assert driver.stat("NEIGHBOURS") == 7
        seen = []
        while fresh := driver.poll():
            seen += [entry.cookie for entry in fresh if isinstance(entry, ChmAdminCompletion)]
        assert seen == list(range(30))
        assert driver.stat("NEIGHBOURS") == 30


@pytest.mark.requirement("CHM-3", "CHM-10")
def test_what_is_used_up() -> None:
    with Driver(connections=3, paths=2, neighbours=66) as driver:
        neighbours = [driver.neighbour(vlan_id=1 + n) for n in range(64)]
        assert driver.try_create(neighbour_image(vlan_id=99)).status == ChmStatus.VLAN_ENTRIES
        neighbours += [driver.neighbour(vlan_id=64), driver.neighbour()]
        assert driver.try_create(neighbour_image(vlan_id=99)).status == ChmStatus.VLAN_ENTRIES
        assert driver.try_create(neighbour_image()).status == ChmStatus.NEIGHBOUR_ENTRIES
        driver.terminate(NEIGHBOUR, neighbours.pop())
        driver.terminate(NEIGHBOUR, neighbours.pop(0))
        driver.neighbour(vlan_id=99)
        paths = [driver.path(neighbours[0]) for _ in range(2)]
        assert driver.try_create(path_image(), parent=neighbours[0]).status == ChmStatus.PATH_ENTRIES
        for port in range(3):
            driver.connect(paths[0], remote_port=port)
        image = tcp_image(remote_port=9)
        assert driver.try_create(image, parent=paths[0]).status == ChmStatus.TCP_ENTRIES
        names = ("CONNECTIONS", "PATHS", "NEIGHBOURS", "MAX_CONNECTIONS", "MAX_PATHS", "MAX_NEIGHBOURS")
        assert [driver.stat(name) for name in names] == [3, 2, 65, 3, 2, 66]


@pytest.mark.requirement("CHM-2", "CHM-3")
@given(
    commands=st.lists(
        st.builds(
            ChmCommand,
            op=st.integers(0, 7),
            object=st.integers(0, 4),
            queue=st.sampled_from([0, 0, 0, 1, 255]),
            cookie=st.integers(0, 0xFFFF_FFFF),
            handle=st.sampled_from([0, 1 << 22 | 1, 1 << 22 | 2, 2 << 22 | 1, 0xFFFF_FFFF]),
            parent=st.sampled_from([0, 1 << 22 | 1, 2 << 22 | 1, 0xFFFF_FFFF]),
            in_addr=st.sampled_from(["image", 0, UNMAPPED, (1 << 64) - 16]),
            out_addr=st.sampled_from(["image", 0, UNMAPPED]),
            in_len=st.sampled_from([0, 32, 48, 160, 0xFFFF_FFFF]),
            out_len=st.sampled_from([0, 32, 48, 160]),
            send_addr=st.sampled_from([0, "image", UNMAPPED]),
            send_count=st.sampled_from([0, 1, 40, 0xFFFF_FFFF]),
        ),
        max_size=20,
    ),
    image=st.sampled_from([neighbour_image(), path_image(), tcp_image()]),
)
def test_any_commands(commands: list[ChmCommand], image: ChmNeighbour | ChmPath | ChmTcp) -> None:
    """Each ends with a status of its own, and the card comes to rest."""
    with Driver(connections=8, paths=8, neighbours=8, chimney_work=64) as driver:
        world = World(driver)
        place = driver.memory.alloc(4096).address
        for command in commands:
            driver.memory.write(place, image.pack().ljust(4096, b"\0"))
            given_places = {
                name: place
                for name in ("in_addr", "out_addr", "send_addr")
                if getattr(command, name) == "image"
            }
            done = world.run(replace(command, **given_places))
            assert done.cookie == command.cookie
            assert done.status in ChmStatus.__members__.values()
        assert driver.device.is_idle
        assert kind_of(image) in ChmObject
