"""OID_TCP_TASK_OFFLOAD: tasks as the hosts of the Scalable Networking Pack asked for them."""

from __future__ import annotations

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, ask, current_offload, has_oid, take, tell, works
from vnic.conformance.pages import guide
from vnic.ndis.offload import ChecksumOffload, Offload
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.task_offload import ChecksumBits, ChecksumTask, HeaderFormat, LargeSendTask, TaskOffload
from vnic.testbench.bench import Bench
from vnic.testbench.frames import tcp_frame

_PAGE = guide("oid-tcp-task-offload")
_OFF = ChecksumBits()
_TCP = ChecksumBits(tcp_options=True, tcp_checksum=True)
_DIRECTIONS = ("v4_transmit", "v4_receive", "v6_transmit", "v6_receive")
_NAMES = {"v4_transmit": "ipv4_transmit", "v4_receive": "ipv4_receive",
          "v6_transmit": "ipv6_transmit", "v6_receive": "ipv6_receive"}  # fmt: skip
_LSO_V1_MAX = 0x10000


def offered(bench: Bench) -> TaskOffload:
    """What the query says that the driver can; NOT SUPPORTED without the OID."""
    if not has_oid(bench, OID.TCP_TASK_OFFLOAD):
        raise NotSupported("OID_TCP_TASK_OFFLOAD")
    request = ask(bench, OID.TCP_TASK_OFFLOAD)
    assert request.status == OK, f"the query ended {request.status!s}"
    return TaskOffload.parse(request.data)


def ask_for(bench: Bench, wanted: TaskOffload) -> NDIS_STATUS:
    """Set it."""
    return tell(bench, OID.TCP_TASK_OFFLOAD, wanted.pack())


def in_force(bench: Bench, direction: str) -> ChecksumOffload:
    """The current configuration of a direction, as NDIS 6 was told."""
    found = getattr(current_offload(bench), _NAMES[direction])
    assert isinstance(found, ChecksumOffload)
    return found


def _has_tcp(bench: Bench) -> dict[str, bool]:
    return {each: in_force(bench, each).tcp_checksum for each in _DIRECTIONS}


@case(
    _PAGE, "the tasks that are listed are on, the others off, and both forms say so", Feature.CHECKSUM, **ONE
)
def each_direction_alone(bench: Bench) -> None:
    """Ask for the TCP checksum of one direction at a time, for nothing, and for all that is offered."""
    able = offered(bench)
    if able.checksum is None:
        raise NotSupported("the checksum task")
    has = {each: getattr(able.checksum, each).tcp_checksum for each in _DIRECTIONS}
    for one in [each for each in _DIRECTIONS if has[each]]:
        bench.protocol.statuses.clear()
        assert ask_for(bench, TaskOffload(ChecksumTask(**{one: _TCP}))) == OK, f"{one} alone was refused"
        assert _has_tcp(bench) == {each: each == one for each in _DIRECTIONS}, (
            f"{one} alone: {_has_tcp(bench)}"
        )
        told = [each.status for each in bench.protocol.statuses]
        assert NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG in told, "the change was not indicated"
        (seen,) = take(bench, tcp_frame(b"x", to=bench.station))
        assert bool(seen.checksum.tcp_succeeded) == (one == "v4_receive"), f"{one}: {seen.checksum}"
    assert ask_for(bench, TaskOffload()) == OK, "a set without tasks was refused"
    assert current_offload(bench) == Offload(), "an empty list leaves tasks on"
    assert offered(bench) == able, "a query says what is on, not what can be"
    assert ask_for(bench, able) == OK, "what the driver offers is refused"
    assert _has_tcp(bench) == has, f"all that is offered: {_has_tcp(bench)}"
    works(bench)


@case(_PAGE, "each checksum of a direction is switched by its own bit", Feature.CHECKSUM, **ONE)
def each_bit_alone(bench: Bench) -> None:
    """The sums of TCP, UDP and the IPv4 header one by one, in every direction that has them."""
    able = offered(bench)
    if able.checksum is None:
        raise NotSupported("the checksum task")
    for direction in _DIRECTIONS:
        for bit in ("tcp_checksum", "udp_checksum", "ip_checksum"):
            if not getattr(getattr(able.checksum, direction), bit):
                continue
            wish = TaskOffload(ChecksumTask(**{direction: ChecksumBits(**{bit: True})}))
            assert ask_for(bench, wish) == OK, f"{direction} {bit} alone was refused"
            for each in _DIRECTIONS:
                found = in_force(bench, each)
                on = [
                    name for name in ("tcp_checksum", "udp_checksum", "ip_checksum") if getattr(found, name)
                ]
                assert on == ([bit] if each == direction else []), f"{direction} {bit}: {each} has {on}"


@case(_PAGE, "large sends are switched with their own task, and no larger than was said", Feature.LSO, **ONE)
def large_sends(bench: Bench) -> None:
    """Ask for the large send with the sums that it needs, and alone, with sizes up to and above the most."""
    able = offered(bench)
    if able.large_send is None:
        raise NotSupported("the large send task")
    most = able.large_send.max_offload_size
    assert 0 < most <= _LSO_V1_MAX, f"MaxOffLoadSize is {most}"
    for size in (most, 1500, _LSO_V1_MAX + 1, 0xFFFF_FFFF):
        ask_for(
            bench, TaskOffload(ChecksumTask(v4_transmit=able_sums(able)), LargeSendTask(size, 1, True, True))
        )
        largest = current_offload(bench).lso_v1.max_offload_size
        assert largest <= most, f"after a wish of {size} large sends of {largest}"
        if size == most:
            assert largest, "large sends are off after their task was asked for"
    assert ask_for(bench, TaskOffload(ChecksumTask(v4_transmit=able_sums(able)))) == OK
    assert not current_offload(bench).lso_v1.max_offload_size, "large sends are on without their task"
    ask_for(bench, TaskOffload(None, able.large_send))
    now = current_offload(bench)
    if now.lso_v1.max_offload_size:
        assert now.ipv4_transmit.tcp_checksum, (
            "large sends are on, and the TCP checksum that they need is off"
        )
    works(bench)


def able_sums(able: TaskOffload) -> ChecksumBits:
    """Every sum over IPv4 on the way out."""
    return able.checksum.v4_transmit if able.checksum is not None else _OFF


@case(_PAGE, "a list that makes no sense is refused, and changes nothing", **ONE)
def lists_that_make_no_sense(bench: Bench) -> None:
    """Cut short, of another version, with offsets out of the buffer, of another encapsulation."""
    able = offered(bench)
    assert ask_for(bench, able) == OK
    before = current_offload(bench)
    good = able.pack()
    wrong = [b"", good[:27], good[:-1], b"\x09" + good[1:]]
    wrong.append(good[:12] + (len(good) + 4).to_bytes(4, "little") + good[16:])
    wrong.append(good[:12] + (1).to_bytes(4, "little") + good[16:])
    wrong.append(good[:16] + (99).to_bytes(4, "little") + good[20:])
    wrong.append(TaskOffload(header_format=HeaderFormat.IEEE_802_5).pack())
    for data in wrong:
        status = tell(bench, OID.TCP_TASK_OFFLOAD, data)
        assert status.is_error, f"{len(data)} bytes ({data[:32].hex()}) ended {status!s}"
        assert current_offload(bench) == before, (
            f"{len(data)} bytes were refused and changed the configuration"
        )
    works(bench)
