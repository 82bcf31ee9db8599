"""The smallest driver of the chimney: objects and rings by registers, over a rig."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

from vnic.gen.descriptors import (
    ChmAdminCompletion,
    ChmCommand,
    ChmCompletion,
    ChmData,
    ChmEventEntry,
    ChmFence,
    ChmPoolBuffer,
    ChmSubmission,
    RxCompletion,
    TxCompletion,
)
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.chimney.images import IMAGES, Image, kind_of, neighbour_image, path_image, tcp_image
from vnic.testbench.chimney.rig_connection import RigConnection
from vnic.testbench.pair import Received
from vnic.testbench.rig import Rig
from vnic.testbench.tcp_peer import Peer

Entry = ChmAdminCompletion | ChmCompletion | ChmData | ChmEventEntry | ChmFence | RxCompletion | TxCompletion

_WORD = Struct("<Q")
_SLOT = 32
_KINDS: dict[int, type[Any]] = {
    CompletionType.RX: RxCompletion,
    CompletionType.TX: TxCompletion,
    CompletionType.CHM_ADMIN: ChmAdminCompletion,
    CompletionType.CHM_SEND: ChmCompletion,
    CompletionType.CHM_RECEIVE: ChmCompletion,
    CompletionType.CHM_DISCONNECT: ChmCompletion,
    CompletionType.CHM_FORWARD: ChmCompletion,
    CompletionType.CHM_DATA: ChmData,
    CompletionType.CHM_EVENT: ChmEventEntry,
    CompletionType.CHM_FENCE: ChmFence,
}


class ChimneyRig:
    """A rig with its chimney on: admin ring, a submission ring and a pool a pair.

    In auto mode every call runs the card to rest. What the card writes to completion rings comes into
    `entries` when poll() is called (admin() and its like call it); CHM_DATA is copied to its connection's
    `data`, and its buffer handed back unless `keeps_pool`.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        admin_count: int = 64,
        sq_count: int = 64,
        pool_count: int = 16,
        pool_len: int = 2048,
        pool_posted: int | None = None,
        enables: bool = True,
        parameters: dict[str, int] | None = None,
    ) -> None:
        self.rig, pairs = rig, len(rig.pairs)
        self.device, self.memory = self.rig.device, self.rig.memory
        self.admin_count, self.sq_count = admin_count, sq_count
        self.pool_count, self.pool_len = pool_count, pool_len
        self.pool_posted = pool_count - 1 if pool_posted is None else pool_posted
        self.admin_memory = self.memory.alloc(admin_count * ChmCommand.SIZE, align=64)
        self.sq_memory = [self.memory.alloc(sq_count * ChmSubmission.SIZE, align=64) for _ in range(pairs)]
        self.pool_memory = [
            self.memory.alloc(pool_count * ChmPoolBuffer.SIZE, align=64) for _ in range(pairs)
        ]
        self.pool_buffers = [self.memory.alloc(pool_count * pool_len, align=64) for _ in range(pairs)]
        self.image_memory = self.memory.alloc(4096, align=64)
        self.admin_tail = 0
        self.sq_tail, self.pool_tail = [0] * pairs, [0] * pairs
        self.pool_index: list[dict[int, int]] = [{} for _ in range(pairs)]
        self.keeps_pool = False
        self.cookie = 0
        self.connections: dict[int, RigConnection] = {}
        self.entries: list[Entry] = []
        self.by_pair: list[list[Entry]] = [[] for _ in range(pairs)]
        self.frames: list[Received] = []
        if enables:
            self.enable(**(parameters or {}))

    # -- life ------------------------------------------------------------------------------------------------

    def enable(self, **parameters: int) -> None:
        """Parameters by their registers' names without CHM_, then the chimney and all its rings."""
        self.switch_on(**parameters)
        self.start_admin()
        for pair in range(len(self.sq_memory)):
            self.start_submissions(pair)
            self.start_pool(pair)

    def switch_on(self, **parameters: int) -> bool:
        """CHM_CTRL.ENABLE alone; whether it reads 1 then."""
        for name, value in parameters.items():
            self.rig.put(BAR0.MAP[f"CHM_{name}"], value)
        self.rig.put(BAR0.CHM_CTRL, BAR0.CHM_CTRL.encode(ENABLE=1))
        return bool(self.rig.field(BAR0.CHM_CTRL, "ENABLE"))

    def switch_off(self) -> None:
        """Every object is forgotten."""
        self.rig.put(BAR0.CHM_CTRL, 0)
        self.connections.clear()

    def start_admin(self, queue: int = 0) -> None:
        """The admin ring, from index 0."""
        self.admin_tail = 0
        self.rig.put(BAR0.CHM_ADMIN_BASE, self.admin_memory.address)
        self.rig.put(BAR0.CHM_ADMIN_COUNT, self.admin_count)
        self.rig.put(BAR0.CHM_ADMIN_QUEUE, queue)
        self.rig.put(BAR0.CHM_ADMIN_CTRL, BAR0.CHM_ADMIN_CTRL.encode(ENABLE=1))

    def start_submissions(self, pair: int) -> None:
        """A submission ring, from index 0."""
        self.sq_tail[pair] = 0
        self.rig.put(BAR0.CHQ_SQ_BASE, self.sq_memory[pair].address, pair)
        self.rig.put(BAR0.CHQ_SQ_COUNT, self.sq_count, pair)
        self.rig.put(BAR0.CHQ_SQ_CTRL, BAR0.CHQ_SQ_CTRL.encode(ENABLE=1), pair)

    def start_pool(self, pair: int) -> None:
        """A receive pool, from index 0, with its buffers."""
        self.pool_tail[pair] = 0
        self.rig.put(BAR0.CHQ_POOL_BASE, self.pool_memory[pair].address, pair)
        self.rig.put(BAR0.CHQ_POOL_COUNT, self.pool_count, pair)
        self.rig.put(BAR0.CHQ_POOL_BUF_LEN, self.pool_len, pair)
        self.rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(ENABLE=1), pair)
        buffers = self.pool_buffers[pair].address
        self.post_pool(pair, *(buffers + n * self.pool_len for n in range(self.pool_posted)))

    def post_pool(self, pair: int, *addresses: int) -> None:
        """Hand pool buffers over with one doorbell."""
        for address in addresses:
            index = self.pool_tail[pair]
            offset = index * ChmPoolBuffer.SIZE
            self.pool_memory[pair].view[offset : offset + ChmPoolBuffer.SIZE] = ChmPoolBuffer(address).pack()
            self.pool_index[pair][index] = address
            self.pool_tail[pair] = (index + 1) % self.pool_count
        if addresses:
            self.rig.put(BAR0.CHQ_POOL_TAIL, self.pool_tail[pair], pair)

    # -- commands --------------------------------------------------------------------------------------------

    def command(self, command: ChmCommand | bytes, *, ring: bool = True) -> None:
        """A command as it is."""
        packed = command if isinstance(command, bytes) else command.pack()
        offset = self.admin_tail * ChmCommand.SIZE
        self.admin_memory.view[offset : offset + ChmCommand.SIZE] = packed
        self.admin_tail = (self.admin_tail + 1) % self.admin_count
        if ring:
            self.rig.put(BAR0.CHM_ADMIN_TAIL, self.admin_tail)

    def admin(self, op: int, kind: int, **fields: int) -> ChmAdminCompletion:
        """A command, run to its completion."""
        self.cookie += 1
        self.command(ChmCommand(**{"op": op, "object": kind, "cookie": self.cookie} | fields))
        return self.completion_of(self.cookie)

    def completion_of(self, cookie: int) -> ChmAdminCompletion:
        """Run, poll, and the completion with this cookie."""
        self.run()
        self.poll()
        (found,) = [e for e in self.entries if isinstance(e, ChmAdminCompletion) and e.cookie == cookie]
        return found

    def creation(self, image: Image, kind: ChmObject, **fields: int) -> dict[str, int]:
        """The fields of a CREATE or UPDATE of this image, which is put into memory."""
        address = self.image_memory.address
        self.memory.write(address, image.pack())
        return {"op": ChmOp.CREATE, "kind": kind, "in_addr": address, "in_len": image.SIZE} | fields

    def create(self, image: Image, **fields: int) -> int:
        """The handle of a new object; OK is asserted."""
        done = self.try_create(image, **fields)
        assert done.status == ChmStatus.OK, ChmStatus(done.status).name
        return done.handle

    def try_create(self, image: Image, **fields: int) -> ChmAdminCompletion:
        """A CREATE, however it ends."""
        return self.admin(**self.creation(image, kind_of(image), **fields))

    def update(self, image: Image, handle: int, **fields: int) -> ChmAdminCompletion:
        """An UPDATE, however it ends."""
        return self.admin(
            **self.creation(image, kind_of(image), **{"op": ChmOp.UPDATE, "handle": handle} | fields)
        )

    def query(self, kind: ChmObject, handle: int) -> Image:
        """The image of an object; OK is asserted."""
        done, image = self.read_out(ChmOp.QUERY, kind, handle)
        assert done.status == ChmStatus.OK, ChmStatus(done.status).name
        return image

    def terminate(self, kind: ChmObject, handle: int) -> tuple[ChmAdminCompletion, Image]:
        """The end of an object; OK is asserted."""
        done, image = self.read_out(ChmOp.TERMINATE, kind, handle)
        assert done.status == ChmStatus.OK, ChmStatus(done.status).name
        if kind == ChmObject.TCP:
            self.connections.pop(handle, None)
        return done, image

    def read_out(self, op: ChmOp, kind: ChmObject, handle: int) -> tuple[ChmAdminCompletion, Image]:
        """A command that writes an image, however it ends, and what is in memory then."""
        address, cls = self.image_memory.address + 1024, IMAGES[kind]
        self.memory.write(address, b"\xee" * cls.SIZE)
        done = self.admin(op, kind, handle=handle, out_addr=address, out_len=cls.SIZE)
        image: Image = cls.unpack(self.memory.read(address, cls.SIZE))
        return done, image

    def invalidate(self, kind: ChmObject, handle: int) -> ChmAdminCompletion:
        """An INVALIDATE, however it ends."""
        return self.admin(ChmOp.INVALIDATE, kind, handle=handle)

    def send_list(self, sends: Iterable[bytes], fin: bool = False) -> dict[str, int]:
        """SEND_ADDR and SEND_COUNT of a list of sends, a request each, and FIN."""
        entries = [
            ChmSubmission(op=ChmSubmissionOp.SEND, addr=self.rig.stage(each), len=len(each), push=1)
            for each in sends
        ]
        entries += [ChmSubmission(op=ChmSubmissionOp.DISCONNECT)] if fin else []
        if not entries:
            return {}
        return {
            "send_addr": self.rig.stage(b"".join(entry.pack() for entry in entries)),
            "send_count": len(entries),
        }

    # -- objects ---------------------------------------------------------------------------------------------

    def neighbour(self, **fields: int) -> int:
        """A new neighbour."""
        return self.create(neighbour_image(**fields))

    def path(self, neighbour: int | None = None, version: int = 4, **fields: int) -> int:
        """A new path, on a new neighbour if none is given."""
        parent = self.neighbour() if neighbour is None else neighbour
        return self.create(path_image(version, **fields), parent=parent)

    def connect(
        self,
        path: int | None = None,
        *,
        version: int = 4,
        queue: int = 0,
        sends: Sequence[bytes] = (),
        fin: bool = False,
        tci: int | None = None,
        **fields: int,
    ) -> RigConnection:
        """A new connection with its peer, on a new path and neighbour if none is given."""
        parent = self.path(version=version) if path is None else path
        image = tcp_image(**{"send_backlog_size": sum(map(len, sends))} | fields)
        handle = self.create(image, parent=parent, queue=queue, **self.send_list(sends, fin))
        peer = Peer(version, (image.remote_port, image.local_port), image.rcv_nxt, image.snd_una, tci=tci)
        made = self.connections[handle] = RigConnection(self, handle, peer, queue)
        self.poll()
        return made

    # -- submissions and entries -----------------------------------------------------------------------------

    def submit(self, pair: int, *entries: ChmSubmission | bytes, ring: bool = True) -> None:
        """Submissions as they are."""
        for entry in entries:
            packed = entry if isinstance(entry, bytes) else entry.pack()
            offset = self.sq_tail[pair] * ChmSubmission.SIZE
            self.sq_memory[pair].view[offset : offset + ChmSubmission.SIZE] = packed
            self.sq_tail[pair] = (self.sq_tail[pair] + 1) % self.sq_count
        if ring:
            self.rig.put(BAR0.CHQ_SQ_TAIL, self.sq_tail[pair], pair)

    def run(self) -> None:
        """To rest, whatever the mode."""
        if self.device.is_manual:
            self.device.run()

    def advance(self, ns: int) -> None:
        """Time goes on by so much in one go; the card then runs to rest."""
        self.device.advance(self.device.now_ns + ns)
        self.run()

    def poll(self, *, give_back: bool = True) -> list[Entry]:
        """What the card wrote to completion rings since the last call, pair by pair."""
        fresh: list[Entry] = []
        for number in range(len(self.sq_memory)):
            fresh += self.poll_pair(number, give_back=give_back)
        return fresh

    def poll_pair(self, number: int, *, give_back: bool = True) -> list[Entry]:
        """The same of one pair."""
        pair, fresh = self.rig[number], list[Entry]()
        while len(fresh) < self.rig.cq_count:
            at = pair.cq_index * _SLOT
            word: int = _WORD.unpack_from(pair.cq_memory.view, at + 24)[0]
            if word >> 63 != pair.generation:
                break
            fresh.append(_KINDS[word & 0xF].unpack(pair.cq_memory.view, at))
            pair.cq_index += 1
            if pair.cq_index == self.rig.cq_count:
                pair.cq_index, pair.generation = 0, 1 - pair.generation
        self.entries += fresh
        self.by_pair[number] += fresh
        self.frames += pair.assemble(entry for entry in fresh if isinstance(entry, RxCompletion))
        self._take_data(number, [entry for entry in fresh if isinstance(entry, ChmData)])
        if fresh and give_back:
            pair.give_back()
        return fresh

    def _take_data(self, pair: int, entries: Iterable[ChmData]) -> None:
        freed = []
        for entry in entries:
            address = self.pool_index[pair].pop(entry.index)
            if entry.handle in self.connections:
                self.connections[entry.handle].data += self.memory.read(address, entry.len)
            freed.append(address)
        if not self.keeps_pool:
            self.post_pool(pair, *freed)

    def take(self) -> list[Entry]:
        """Poll, and everything that came since the last take()."""
        self.poll()
        taken, self.entries = self.entries, []
        return taken

    def events(self) -> list[ChmEventEntry]:
        """Poll, and the events since the last take(), SEND_BACKLOG aside."""
        self.poll()
        entries = [entry for entry in self.entries if isinstance(entry, ChmEventEntry)]
        return [entry for entry in entries if entry.event != ChmEvent.SEND_BACKLOG]

    def reasons(self) -> list[ChmReason]:
        """Of the RETRIEVE events since the last take()."""
        return [ChmReason(entry.reason) for entry in self.events() if entry.event == ChmEvent.RETRIEVE]

    def completions(self, kind: CompletionType) -> list[ChmCompletion]:
        """Poll, and the completions of a kind since the last take()."""
        self.poll()
        return [entry for entry in self.entries if isinstance(entry, ChmCompletion) and entry.type == kind]

    def stat(self, name: str) -> int:
        """A counter of the chimney."""
        return self.rig.get(BAR0.MAP[f"CHM_{name}"])
