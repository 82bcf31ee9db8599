"""The copy engine itself, by registers and chains: what a descriptor moves."""

from __future__ import annotations

from collections.abc import Iterator

from vnic.abi import EventType
from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0
from vnic.host.bus import PAGE
from vnic.testbench.engine_rig import Channel, EngineRig, Memory

_ONES = 0xFFFF_FFFF
_PATTERN = 0x1122_3344_5566_7788
#: Where transfers begin within their pages, and how long they are: both sides of each border.
_OFFSETS = (0, 1, 7, 64, PAGE - 9, PAGE - 1)
_SIZES = (1, 8, 63, 65, 300, PAGE - 1, PAGE, 3 * PAGE + 5)


def _page(rig: EngineRig, count: int) -> int:
    """Bus address of whole pages, all EEh."""
    return rig.memory.put(b"\xee" * (count * PAGE), align=PAGE)


def _run(channel: Channel, descriptor: CopyDescriptor) -> None:
    """One descriptor, which ends well."""
    channel.post(descriptor)
    channel.start()
    assert channel.status == ChanStatus.DONE, f"{descriptor}: {channel.status.name}, {channel.chanerr:#x}"


def _expect(rig: EngineRig, first: int, wanted: bytes, what: str) -> None:
    """These bytes are there, and nothing beside them was touched."""
    found = rig.memory.get(first - 16, len(wanted) + 32)
    assert found[16:-16] == wanted, f"{what}: other bytes"
    assert found[:16] + found[-16:] == b"\xee" * 32, f"{what}: bytes beside the destination changed"


@engine_case(manual("DMA-21", "netdma"), "a copy moves exactly its bytes, from any address to any address")
def copies_of_every_shape(rig: EngineRig) -> None:
    """Copies of 1 byte to three pages, with source and destination anywhere in their pages."""
    channel = rig.channel(0)
    source, target = rig.memory.put(content(5 * PAGE), align=PAGE), _page(rig, 7) + PAGE
    data = content(5 * PAGE)
    for number, size in enumerate(_SIZES):
        for at in _OFFSETS:
            to = target + _OFFSETS[(number + at) % len(_OFFSETS)]
            rig.memory.set(target - PAGE, b"\xee" * (7 * PAGE))
            _run(channel, CopyDescriptor(size=size, src=source + at, dst=to))
            _expect(rig, to, data[at : at + size], f"{size} bytes from {at} to {to % PAGE}")


@engine_case(
    manual("DMA-24", "netdma"),
    "FILL writes its 8 bytes over and over from the first byte of the destination on, across pages",
)
def fills(rig: EngineRig) -> None:
    """Fill 1 byte to three pages from every kind of offset, each of the 8 bytes another."""
    channel = rig.channel(0)
    target = _page(rig, 7) + PAGE
    for size in _SIZES:
        for at in _OFFSETS:
            rig.memory.set(target - PAGE, b"\xee" * (7 * PAGE))
            _run(channel, CopyDescriptor(op=CopyOp.FILL, size=size, src=_PATTERN, dst=target + at))
            wanted = (_PATTERN.to_bytes(8, "little") * (size // 8 + 1))[:size]
            _expect(rig, target + at, wanted, f"{size} bytes at {at}")


@engine_case(manual("DMA-24", "netdma"), "FILL goes on with its pattern behind a page break")
def fills_with_page_breaks(rig: EngineRig) -> None:
    """Fill the end of a page and the beginning of another that is not behind it."""
    channel = rig.channel(0)
    target = _page(rig, 4)
    for at in (1, 2, 3, 5, 7, 64, 100):
        rig.memory.set(target, b"\xee" * (4 * PAGE))
        size = at + 77
        _run(
            channel,
            CopyDescriptor(
                op=CopyOp.FILL, size=size, src=_PATTERN, dst=target + PAGE - at, dst_brk=1,
                next_dst=target + 2 * PAGE,
            ),
        )  # fmt: skip
        wanted = (_PATTERN.to_bytes(8, "little") * (size // 8 + 1))[:size]
        found = rig.memory.get(target + PAGE - at, at) + rig.memory.get(target + 2 * PAGE, 77)
        assert found == wanted, f"with {at} bytes before the break the pattern is another behind it"
        assert rig.memory.get(target + PAGE, PAGE) == b"\xee" * PAGE, "the page between was written"


@engine_case(
    manual("DMA-22", "netdma"), "page breaks of source and destination are independent of each other"
)
def page_breaks(rig: EngineRig) -> None:
    """Break neither, either and both, from odd offsets; what is copied is what lies in the fragments."""
    channel = rig.channel(0)
    data = content(4 * PAGE)
    source, target = rig.memory.put(data, align=PAGE), _page(rig, 4)
    for breaks in range(4):
        for src_at, dst_at, size in ((0, 0, PAGE), (5, 99, PAGE), (PAGE - 3, 1, 3000), (77, PAGE - 1, 4000)):
            rig.memory.set(target, b"\xee" * (4 * PAGE))
            from_pages = (0, 2) if breaks & 1 else (0, 1)
            to_pages = (0, 3) if breaks & 2 else (0, 1)
            _run(
                channel,
                CopyDescriptor(
                    size=size, src=source + src_at, dst=target + dst_at, src_brk=breaks & 1,
                    dst_brk=breaks >> 1, next_src=source + 2 * PAGE, next_dst=target + 3 * PAGE,
                ),
            )  # fmt: skip
            wanted = bytearray(b"\xee" * (4 * PAGE))
            steps = zip(_places(src_at, from_pages, size), _places(dst_at, to_pages, size), strict=True)
            for origin, place in steps:
                wanted[place] = data[origin]
            found = rig.memory.get(target, 4 * PAGE)
            assert found == bytes(wanted), f"breaks {breaks:02b}, {size} bytes from {src_at} to {dst_at}"


def _places(at: int, pages: tuple[int, int], size: int) -> Iterator[int]:
    """Offsets of the bytes of a transfer that begins in the first page and goes on in the second."""
    for n in range(at, at + size):
        yield pages[0] * PAGE + n if n < PAGE else pages[1] * PAGE + n - PAGE


@engine_case(
    manual("DMA-23", "netdma"), "NULL and CONTEXT_CHANGE move nothing, look at nothing, and are completed"
)
def descriptors_that_move_nothing(rig: EngineRig) -> None:
    """NULL descriptors of impossible sizes and addresses, and CONTEXT_CHANGE, each with a completion."""
    channel = rig.channel(0)
    data = _page(rig, 1)
    for fields in (
        {"null": 1, "size": 0},
        {"null": 1, "size": _ONES, "src": 3, "dst": data},
        {"null": 1, "size": 1 << 30, "dst": (1 << 64) - 1, "dst_brk": 1, "next_dst": 5},
        {"op": CopyOp.CONTEXT_CHANGE, "size": 0, "src": 1 << 60, "dst": data},
    ):
        (address,) = channel.post(CopyDescriptor(compl_write=1, int_en=1, **fields))
        channel.start()
        assert (channel.chanerr, channel.completion) == (0, (ChanStatus.DONE, address)), f"{fields}"
        assert rig.vectors() == [0], f"{fields} does not interrupt"
        channel.rearm()
    assert rig.memory.get(data, PAGE) == b"\xee" * PAGE


@engine_case(
    manual("DMA-25", "netdma"), "hints of snooping, bundling and DCA are accepted, and change nothing"
)
def hints_are_accepted(rig: EngineRig) -> None:
    """Each hint alone, and all; USER1 and USER2 with anything in them."""
    channel = rig.channel(0)
    hints = ("src_snoop_dis", "dst_snoop_dis", "bundle", "dest_dca", "hint")
    for chosen in (*((name,) for name in hints), hints):
        target = channel.post_copy(content(100), user1=_PATTERN, user2=_ONES, **dict.fromkeys(chosen, 1))
        channel.start()
        assert channel.status == ChanStatus.DONE, f"{chosen}: CHANERR {channel.chanerr:#x}"
        assert rig.memory.get(target, 100) == content(100), f"{chosen}: other bytes"


@engine_case(
    manual("DMA-30", "netdma"),
    "a completion is written for each descriptor that asks, with its address and what the channel does next",
    manual=True,
)
def completions(rig: EngineRig) -> None:
    """Six descriptors, every second asks; each completion says ACTIVE but the last, which says DONE."""
    channel = rig.channel(1)
    slots = channel.post(*(CopyDescriptor(null=1, compl_write=n % 2) for n in range(6)))
    seen: list[tuple[int, int]] = []

    def see(event: Event) -> None:
        assert (event.addr, len(event.data)) == (channel.completion_addr, 8), "a completion elsewhere"
        word = int.from_bytes(event.data, "little")
        seen.append((word & ~0x3F, word & 0x3F))

    with rig.engine.observe(see, (EventType.DMA_WRITE,)):
        channel.start()
        rig.engine.run()
    active, done = int(ChanStatus.ACTIVE), int(ChanStatus.DONE)
    assert seen == [(slots[1], active), (slots[3], active), (slots[5], done)], f"completions: {seen}"


@engine_case(
    manual("DMA-26", "netdma"),
    "all that a descriptor with FENCE writes is written before data of the next is read",
    is_overlapping=True,
)
def fences(rig: EngineRig) -> None:
    """A to B, B to C, C to D, each fenced, of 1 byte to two pages; on an engine that overlaps."""
    channel = rig.channel(0)
    for size in (1, 64, PAGE, 2 * PAGE):
        places = [rig.memory.alloc(size) for _ in range(4)]
        rig.memory.set(places[0], content(size))
        for n in range(3):
            channel.post(CopyDescriptor(size=size, src=places[n], dst=places[n + 1], fence=int(n < 2)))
        channel.start()
        for n in range(1, 4):
            assert rig.memory.get(places[n], size) == content(size), f"{size} bytes overtook a fence"


@engine_case(manual("DMA-20", "netdma"), "addresses are 64 bits wide: of descriptors, data and completions")
def high_addresses(rig: EngineRig) -> None:
    """Chain, source, destination and completion between 1 TiB and 2^64, each alone."""
    for base in (1 << 32, 1 << 40, (1 << 64) - 4 * PAGE):
        high = Memory(rig.engine, base, 4 * PAGE)
        for which in range(4):
            channel = rig.channel(which)
            homes = [high if n == which else rig.memory for n in range(4)]
            slot, source = homes[0].alloc(64), homes[1].put(content(256, which))
            target, completion = homes[2].alloc(256), homes[3].alloc(8)
            homes[0].set(slot, CopyDescriptor(size=256, src=source, dst=target, compl_write=1).pack())
            channel.write(COPY_BAR0.CHANCMP, completion)
            channel.write(COPY_BAR0.CHAINADDR, slot)
            channel.set_count(1)
            what = ("descriptor", "source", "destination", "completion")[which]
            assert channel.chanerr == 0, f"{what} at {base:#x}: CHANERR {channel.chanerr:#x}"
            assert homes[2].get(target, 256) == content(256, which), f"{what} at {base:#x}"
            assert homes[3].get(completion, 8) == (slot | ChanStatus.DONE).to_bytes(8, "little")
        rig.engine.unmap(base, 4 * PAGE)


@engine_case(
    manual("DMA-21", "netdma"),
    "a piece is read whole before it is written, pieces in rising order: overlaps are defined",
)
def copies_onto_themselves(rig: EngineRig) -> None:
    """Copies whose destination begins before, in and behind the source, within a page and over pages."""
    channel = rig.channel(0)
    base = _page(rig, 6)
    half = PAGE // 2
    for src, dst, size in (
        (100, 101, 500), (101, 100, 500), (0, 64, 4000), (64, 0, 4000), (10, 10, 300),
        (PAGE - 50, PAGE - 40, 200), (PAGE - 40, PAGE - 50, 200), (0, half, 2 * PAGE),
        (half, 0, 2 * PAGE), (1, PAGE + 2, 3 * PAGE),
    ):  # fmt: skip
        wanted = bytearray(content(6 * PAGE))
        rig.memory.set(base, bytes(wanted))
        done = 0
        while done < size:
            piece = min(size - done, PAGE - (src + done) % PAGE, PAGE - (dst + done) % PAGE)
            wanted[dst + done : dst + done + piece] = wanted[src + done : src + done + piece]
            done += piece
        _run(channel, CopyDescriptor(size=size, src=base + src, dst=base + dst))
        assert rig.memory.get(base, 6 * PAGE) == bytes(wanted), f"{size} bytes from {src} to {dst}"
