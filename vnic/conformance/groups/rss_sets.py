"""RSS, sets: what must be refused and change nothing, what is kept, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator

from vnic.conformance.case import Feature, case
from vnic.conformance.drive import OK, works
from vnic.conformance.groups.rss import capabilities, enable, flows, in_order
from vnic.conformance.pages import ddi, guide
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.rss import HashType, ReceiveScaleParameters, RssFlag
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.bench import RSS_KEY, Bench
from vnic.testbench.frames import tcp_frame

_TABLE = guide("rss-configuration")
_SET = guide("oid-gen-receive-scale-parameters")
_PARAMETERS = ddi("ns-ntddndis-_ndis_receive_scale_parameters", "ntddndis")
_INDICATING = guide("indicating-rss-receive-data")
_ADDRESSES_ONLY = HashType.IPV4 | HashType.IPV6
_WITH_PORTS = HashType.TCP_IPV4 | HashType.TCP_IPV6


def set_parameters(bench: Bench, parameters: ReceiveScaleParameters | bytes) -> NDIS_STATUS:
    """OID_GEN_RECEIVE_SCALE_PARAMETERS."""
    data = parameters if isinstance(parameters, bytes) else parameters.pack()
    return bench.request(set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, data))


def refused() -> Iterator[tuple[str, bytes]]:
    """Sets that no driver may accept, with what is wrong with them."""

    def made(**members: object) -> bytes:
        given = {"hash_information": 0x201, "table": (0, 1), "key": RSS_KEY} | members
        return ReceiveScaleParameters(**given).pack()  # type: ignore[arg-type]

    yield "a table of 3 entries", made(table=(0, 1, 0))
    yield "a table of 256 entries", made(table=(0,) * 256)
    yield "a table without entries", made(table=())
    yield "hash function 2", made(hash_information=0x202)
    yield "no hash type", made(hash_information=0x1)
    yield "a processor that the host does not have", made(table=(0, 99))
    yield "a key longer than 40 bytes", made(key=RSS_KEY + b"x")
    yield "an empty key", made(key=b"")
    yield "a buffer that ends before the key", made()[:-1]
    yield "a buffer of a header's part", made()[:3]
    yield "the header of another object", b"\x80" + made()[1:]


@case(_SET, "a set that fails leaves the configuration before it in force", Feature.RSS)
def rejected_set_changes_nothing(bench: Bench) -> None:
    """With RSS on, set what must be refused; frames come up with the same hash on the same processor."""
    enable(bench)
    frames = flows(bench, 20)
    before = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
    for why, data in refused():
        status = set_parameters(bench, data)
        assert status.is_error, f"{why} was accepted ({status!s})"
        after = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
        assert after == before, f"{why} was refused, and changed where frames come up"


@case(_SET, "a first set that fails leaves RSS off", Feature.RSS)
def rejected_first_set_leaves_it_off(bench: Bench) -> None:
    """Before RSS was ever on, set what must be refused: frames have no hash and come up on one processor."""
    for why, data in refused():
        assert set_parameters(bench, data).is_error, f"{why} was accepted"
        got = in_order(bench, flows(bench, 6))
        assert {frame.hash for frame in got} == {None}, f"{why} was refused, and frames are hashed"
        assert len({frame.cpu for frame in got}) == 1, f"{why} was refused, and frames are spread"


@case(_PARAMETERS, "NDIS_RSS_PARAM_FLAG_DISABLE_RSS, or no hash information, ends RSS", Feature.RSS)
def disabled(bench: Bench) -> None:
    """Switch RSS on and off in both ways: all is as it was after initialization."""
    frames = flows(bench, 10)
    first = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
    for off in (
        ReceiveScaleParameters(flags=RssFlag.DISABLE_RSS),
        ReceiveScaleParameters(hash_information=0),
    ):
        enable(bench)
        on = {frame.cpu for frame in in_order(bench, flows(bench, 40))}
        assert len(on) > 1 or len(bench.processors) == 1, "RSS does not spread"
        status = set_parameters(bench, off)
        assert status == OK, f"disabling ended {status!s}"
        last = [(frame.cpu, frame.hash) for frame in in_order(bench, frames)]
        assert last == first, "frames are still hashed or spread"


@case(_PARAMETERS, "members whose UNCHANGED flag is set keep the value of the set before", Feature.RSS)
def unchanged_members(bench: Bench) -> None:
    """Change the table alone, then the key alone, then the types alone."""
    queues = min(len(bench.processors), capabilities(bench).receive_queues)
    enable(bench, tuple(range(queues)) if queues in (1, 2, 4, 8) else (0,))
    frames = flows(bench, 16)
    hashes = [frame.hash for frame in in_order(bench, frames)]
    info, key, table = RssFlag.HASH_INFO_UNCHANGED, RssFlag.HASH_KEY_UNCHANGED, RssFlag.ITABLE_UNCHANGED
    assert set_parameters(bench, ReceiveScaleParameters(flags=info | key, table=(queues - 1,))) == OK
    moved = in_order(bench, frames)
    assert [frame.hash for frame in moved] == hashes, "the table changed, and hashes with it"
    assert {frame.cpu for frame in moved} == {queues - 1}, "the table's change had no effect"
    assert set_parameters(bench, ReceiveScaleParameters(flags=info | table, key=RSS_KEY[::-1])) == OK
    rekeyed = in_order(bench, frames)
    assert [frame.hash for frame in rekeyed] != hashes, "the key's change had no effect"
    assert {frame.cpu for frame in rekeyed} == {queues - 1}, "the key changed, and the table with it"
    only = ReceiveScaleParameters(flags=key | table, hash_information=int(HashType.IPV4) | 1)
    assert set_parameters(bench, only) == OK
    kinds = {frame.hash and frame.hash[0] for frame in in_order(bench, frames)}
    assert kinds == {0x100, None}, "the types' change had no effect"


@case(_TABLE, "the table can change at any time: no frame is lost, none comes twice", Feature.RSS)
def table_changes_under_traffic(bench: Bench) -> None:
    """Change the table 24 times while frames of 6 flows are in the card and with the driver."""
    queues = min(len(bench.processors), capabilities(bench).receive_queues)
    enable(bench)
    bench.protocol.received.clear()
    sent: list[bytes] = []
    for turn in range(24):
        bench.device.is_manual = True
        burst = [
            tcp_frame((turn * 12 + n).to_bytes(4), ports=(7000 + n % 6, 80), to=bench.station)
            for n in range(12)
        ]
        sent += burst
        bench.receive(*burst)
        enable(bench, tuple((entry + turn) % queues for entry in range(16)))
        bench.device.is_manual = False
    bench.settle()
    came = sorted(bench.received)
    assert came == sorted(sent), f"{len(came)} frames came of {len(sent)}, some of them changed, or twice"


@case(_INDICATING, "0 is a hash value like any other", Feature.RSS)
def hash_value_zero(bench: Bench) -> None:
    """With a key of zeros every hash is 0, and still NetBufferListHashInfo has its type."""
    assert bench.set_rss(key=bytes(40)) == OK
    (frame,) = in_order(bench, [tcp_frame(b"x", to=bench.station)])
    assert frame.hash == (int(HashType.TCP_IPV4), 1, 0), f"NetBufferListHashInfo and value are {frame.hash}"


def _spread(bench: Bench) -> list[tuple[int, tuple[int, int, int] | None]]:
    return [(frame.cpu, frame.hash) for frame in in_order(bench, flows(bench, 24))]


@case(guide("miniport-adapter-states-and-operations"), "a pause keeps what was configured", Feature.RSS)
def stands_over_a_pause(bench: Bench) -> None:
    """Pause and restart: frames come up with the same hash where they did before."""
    enable(bench)
    before = _spread(bench)
    bench.adapter.pause()
    assert bench.adapter.restart() == OK
    bench.settle()
    assert _spread(bench) == before, "RSS is not as it was"


@case(ddi("nc-ndis-miniport_reset"), "what NDIS does not restore after a reset the driver keeps", Feature.RSS)
def stands_over_a_reset(bench: Bench) -> None:
    """Reset the adapter: frames come up with the same hash where they did before."""
    enable(bench)
    before = _spread(bench)
    bench.adapter.reset()
    bench.settle()
    assert _spread(bench) == before, "RSS is not as it was"
    works(bench, "after the reset")


@case(_SET, "what a failed set carried is nowhere: not after a reset either", Feature.RSS)
def rejected_set_is_forgotten(bench: Bench) -> None:
    """With RSS on, set what must be refused, then reset the adapter: all is as before the refused set."""
    enable(bench)
    before = _spread(bench)
    for why, data in refused():
        assert set_parameters(bench, data).is_error, f"{why} was accepted"
    bench.adapter.reset()
    bench.settle()
    assert _spread(bench) == before, "after the reset something of the refused sets is in force"


@case(_SET, "what a failed set carried is nowhere: not after low power either", Feature.RSS, Feature.POWER)
def rejected_set_is_forgotten_in_low_power(bench: Bench) -> None:
    """With RSS on, set what must be refused, then D3 and D0: all is as before the refused set."""
    enable(bench)
    before = _spread(bench)
    for why, data in refused():
        assert set_parameters(bench, data).is_error, f"{why} was accepted"
    for state in (DevicePowerState.D3, DevicePowerState.D0):
        assert bench.adapter.set_power(state) == OK
    bench.settle()
    assert _spread(bench) == before, "in D0 again, something of the refused sets is in force"
