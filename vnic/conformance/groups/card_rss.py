"""The card's receive-side scaling, by registers: hashes of every shape, tables, commits that are refused."""

from __future__ import annotations

from itertools import product

from vnic.abi import ResetLevel
from vnic.conformance.card_drive import WAYS, arrive, commit_rss
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import through
from vnic.conformance.pages import manual
from vnic.conformance.shapes import shapes, trains
from vnic.gen.registers import BAR0
from vnic.testbench.frames import plain_frame, tcp_frame
from vnic.testbench.rig import Pair, Received, Rig
from vnic.wire import toeplitz
from vnic.wire.parse import Frame, HashType, rss_input

_KEY = bytes((n * 73 + 41) & 0xFF for n in range(40))
_ALL = sum(each for each in HashType)
_MASKS = (
    _ALL,
    HashType.IPV4 | HashType.IPV6,
    HashType.TCP_IPV4 | HashType.TCP_IPV6,
    HashType.UDP_IPV4 | HashType.UDP_IPV6 | HashType.IPV4,
    HashType.IPV6_EX | HashType.TCP_IPV6_EX | HashType.UDP_IPV6_EX,
    HashType.TCP_IPV6 | HashType.IPV6_EX,
    HashType.UDP_IPV4,
    0,
)


def _wanted(frame: bytes, types: int, key: bytes = _KEY) -> tuple[int, int]:
    """Type, as a completion has it, and hash."""
    kind, data = rss_input(Frame.parse(frame), types)
    return (int(kind) >> 8, toeplitz.hash(key, data)) if kind else (0, 0)


def _told(received: Received) -> tuple[int, int]:
    return received.first.hash_type, received.first.hash


def _flows(count: int) -> list[bytes]:
    return [tcp_frame(n.to_bytes(2), ports=(20_000 + n, 80)) for n in range(count)]


def _pairs(rig: Rig, frames: list[bytes]) -> list[int]:
    """The pair on which each frame came, or -1."""
    where = []
    for frame in frames:
        rig.inject(frame)
        found = [(number, pair.take()) for number, pair in enumerate(rig.pairs)]
        came = [number for number, taken in found if taken]
        for number in came:
            rig[number].post_rx(1)
        where.append(came[0] if len(came) == 1 else -1)
    return where


@card_case(
    manual("RSS-2", "rss"),
    "the hash is over addresses and ports, wherever in the frame they are; its type is what was chosen",
)
def hashes_of_every_shape(rig: Rig) -> None:
    """Frames of every shape under 8 sets of types, both ways; counters of hashed and unhashed ones
    (RSS-5)."""
    frames = shapes()
    for types in _MASKS:
        assert commit_rss(rig, key=_KEY, table=[0], types=int(types), log2=0)
        before = rig.stat("RX_HASHED"), rig.stat("RX_UNHASHED")
        hashed = 0
        for (name, frame), run in product(frames.items(), WAYS):
            (got,) = arrive(rig, [frame], run)
            wanted = _wanted(frame, int(types))
            hashed += wanted[0] != 0
            assert _told(got) == wanted, f"{name}, types {types:#x}: type and hash {_told(got)}, not {wanted}"
        counted = rig.stat("RX_HASHED") - before[0], rig.stat("RX_UNHASHED") - before[1]
        assert counted == (hashed, 2 * len(frames) - hashed), f"types {types:#x}: {counted} counted"


@card_case(
    manual("RSS-1", "rss"),
    "frames that come together have the hashes that they have alone",
    pairs=4,
    rx_count=128,
)
def hashes_of_trains(rig: Rig) -> None:
    """Trains of TCP and UDP flows over both versions, taken at once and step by step, over four pairs."""
    table = [(n * 5 + 1) % 4 for n in range(128)]
    assert commit_rss(rig, key=_KEY, table=table, types=_ALL, log2=7)
    for run in WAYS:
        for train in trains():
            got = {each.data: each for each in arrive(rig, train, run)}
            assert len(got) == len(train), f"{len(got)} of {len(train)} frames came"
            for frame in train:
                kind, value = _wanted(frame, _ALL)
                assert _told(got[frame]) == (kind, value), "another hash"
                assert got[frame].first.queue == table[value & 127], "another pair"


@card_case(
    manual("RSS-6", "rss"),
    "entry hash & (2^TABLE_LOG2 - 1) of the table names the pair; what has no hash goes to DEFAULT_QUEUE",
    pairs=4,
)
def every_entry_of_the_table(rig: Rig) -> None:
    """Tables of 1 to 128 entries, each entry in turn another than all others."""
    flows = _flows(60)
    values = [_wanted(frame, _ALL)[1] for frame in flows]
    for log2 in range(8):
        table = [(n * 7 + log2) % 4 for n in range(1 << log2)]
        assert commit_rss(rig, key=_KEY, table=table, types=_ALL, log2=log2, queue=log2 % 4)
        wanted = [table[value & ((1 << log2) - 1)] for value in values]
        assert _pairs(rig, flows) == wanted, f"with a table of {1 << log2} frames go elsewhere"
        assert _pairs(rig, [plain_frame(90, 1)]) == [log2 % 4], "a frame without a hash goes elsewhere"


@card_case(
    manual("RSS-8", "rss"),
    "what is written does nothing before GO, and then all of it counts; RSS goes on and off",
    pairs=2,
)
def commits_are_whole(rig: Rig) -> None:
    """On, off, on with another table; between them everything is written, and nothing committed."""
    flows = _flows(16)
    for table, enable in (([0], 1), ([1], 1), ([1], 0), ([1], 1), ([0], 0)):
        before = _pairs(rig, flows)
        rig.put(BAR0.RSS_CTRL, 0)
        rig.put(BAR0.RSS_TYPES, 0)
        for word in range(10):
            rig.put(BAR0.RSS_KEY, 0xA5A5_A5A5, word)
        rig.put(BAR0.RSS_TABLE, 0x0101_0101)
        assert _pairs(rig, flows) == before, "registers count before they are committed"
        assert commit_rss(rig, key=_KEY, table=table, types=_ALL, log2=0, enable=enable)
        assert rig.field(BAR0.RSS_STATUS, "ACTIVE") == enable, f"ENABLE {enable} is not ACTIVE {enable}"
        counted = rig.counters("RX_HASHED") | rig.counters("RX_UNHASHED")
        assert _pairs(rig, flows) == [table[0] * enable] * len(flows), f"table {table}, ENABLE {enable}"
        rig.inject(flows[0])
        (got,) = [each for pair in rig.pairs for each in pair.take()]
        assert bool(got.first.hash_type) == bool(enable), "a hash while RSS is off, or none while it is on"
        rig[table[0] * enable].post_rx(1)
        if not enable:
            now = rig.counters("RX_HASHED") | rig.counters("RX_UNHASHED")
            assert now == counted, "frames are counted as hashed or not while RSS is off"


@card_case(
    manual("RSS-8", "rss"),
    "a key counts from its commit on, in whatever byte it differs from the one before",
)
def keys_that_differ_in_a_byte(rig: Rig) -> None:
    """Every byte of the key, one commit after the other; TCP over both versions, alone and as trains."""
    key = bytearray(_KEY)
    frames = [tcp_frame(b"key", version=version) for version in (4, 6)]
    for number in (*range(40), 39, 0):
        key[number] ^= 1 << number % 8
        assert commit_rss(rig, key=bytes(key), table=[0], types=_ALL, log2=0)
        for frame, run in product(frames, WAYS):
            got = [_told(each) for each in arrive(rig, [frame] * 3, run)]
            wanted = [_wanted(frame, _ALL, bytes(key))] * 3
            assert got == wanted, f"byte {number} of the key is another: {got}, not {wanted}"


@card_case(
    manual("RSS-7", "rss"),
    "a configuration that names no pair of the card is refused, on or off, and changes nothing",
    pairs=2,
)
def refused_commits_change_nothing(rig: Rig) -> None:
    """Wrong table sizes, wrong entries at either end, a wrong default; everything else is new each time."""
    assert commit_rss(rig, key=_KEY, table=[0, 1], types=_ALL, log2=1, queue=1)
    flows = _flows(24)
    before = _pairs(rig, flows)
    other = bytes(reversed(_KEY))
    wrong: list[dict[str, object]] = [
        {"table": [1, 0], "log2": 8},
        {"table": [1, 0], "log2": 15},
        {"table": [2, 0], "log2": 1},
        {"table": [1, 2], "log2": 1},
        {"table": [1] * 127 + [255], "log2": 7},
        {"table": [1, 0], "log2": 1, "queue": 2},
        {"table": [1, 0], "log2": 1, "queue": 255},
    ]
    for fields in wrong:
        for enable in (0, 1):
            errors = rig.stat("GUEST_ERRORS")
            accepted = commit_rss(rig, key=other, types=0, enable=enable, **fields)  # type: ignore[arg-type]
            assert not accepted, f"{fields} is accepted"
            assert rig.stat("GUEST_ERRORS") == errors + 1, "a refusal is no guest error"
            assert _pairs(rig, flows) == before, f"after {fields} was refused frames go elsewhere"
            (got,) = rig.receive(flows[3])
            rig[got.first.queue].post_rx(1)
            assert _told(got) == _wanted(flows[3], _ALL), f"after {fields} was refused the hash is another"
    assert commit_rss(rig, key=_KEY, table=[1, 2], types=_ALL, log2=0), "entries behind the table count"
    assert rig.field(BAR0.RSS_STATUS, "REFUSED") == 0


@card_case(
    manual("RSS-9", "rss"),
    "a chosen pair that does not run is a drop, and no reason to choose another",
    pairs=2,
)
def pairs_that_do_not_run(rig: Rig) -> None:
    """Stop the receive ring that the table names."""
    assert commit_rss(rig, key=_KEY, table=[1], types=_ALL, log2=0)
    rig[1].put(BAR0.QP_RX_CTRL, 0)
    assert _pairs(rig, _flows(5)) == [-1] * 5
    assert rig.counters("RX_DROP_") == {"QUEUE": 5}, f"drops are counted as {rig.counters('RX_DROP_')}"
    assert rig[1].get(BAR0.QP_RX_DROPS) == 5
    assert rig[0].get(BAR0.QP_RX_DROPS) == 0


@card_case(manual("RSS-11", "rss"), "each reset of the device leaves RSS off, and nothing of it", pairs=2)
def resets_switch_it_off(rig: Rig) -> None:
    """RSS on, all to pair 1; a device reset, a hot reset, a power cycle: all to pair 0, without a hash."""
    for level in (None, ResetLevel.HOT, ResetLevel.POWER):
        assert commit_rss(rig, key=_KEY, table=[1], types=_ALL, log2=0, queue=1)
        assert _pairs(rig, _flows(4)) == [1] * 4
        if level is None:
            rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        else:
            rig.device.reset(level)
        rig.power_up()
        assert rig.get(BAR0.RSS_STATUS) == 0, f"RSS_STATUS is {rig.get(BAR0.RSS_STATUS):#x} after a reset"
        rig.pairs = [Pair(rig, number) for number in range(2)]
        rig.bring_up(rig.rx_count - 1)
        assert _pairs(rig, _flows(4)) == [0] * 4, "frames go by the old table"
        (got,) = rig.receive(_flows(1)[0])
        assert _told(got) == (0, 0), "a hash without RSS"
        rig[0].post_rx(1)
    rig.device.frames()
    through(rig)
