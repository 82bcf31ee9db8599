"""Switches of the task offloads: each keyword, each member of NDIS_OFFLOAD_PARAMETERS, encapsulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK, ONE, current_offload, has_oid, tell, works
from vnic.conformance.pages import guide
from vnic.ndis.offload import Offload, OffloadEncapsulation, OffloadParameters, Switch, Toggle
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench

_KEYWORDS = guide("using-registry-values-to-enable-and-disable-task-offloading")
_PARAMETERS = guide("oid-tcp-offload-parameters")
_COMBINED = guide("combining-types-of-task-offloads")
#: Keyword, member of NDIS_OFFLOAD_PARAMETERS, and the two switches: transmit and receive.
_CHECKSUMS = (
    ("*IPChecksumOffloadIPv4", "ipv4_checksum", ("ipv4_transmit.ip", "ipv4_receive.ip")),
    ("*TCPChecksumOffloadIPv4", "tcp_ipv4_checksum", ("ipv4_transmit.tcp", "ipv4_receive.tcp")),
    ("*UDPChecksumOffloadIPv4", "udp_ipv4_checksum", ("ipv4_transmit.udp", "ipv4_receive.udp")),
    ("*TCPChecksumOffloadIPv6", "tcp_ipv6_checksum", ("ipv6_transmit.tcp", "ipv6_receive.tcp")),
    ("*UDPChecksumOffloadIPv6", "udp_ipv6_checksum", ("ipv6_transmit.udp", "ipv6_receive.udp")),
)
_LARGE_SENDS = (
    ("*LsoV1IPv4", "lso_v1", "lso_v1"),
    ("*LsoV2IPv4", "lso_v2_ipv4", "lso_v2.ipv4"),
    ("*LsoV2IPv6", "lso_v2_ipv6", "lso_v2.ipv6"),
)
#: The checksums that a large send computes, so that it cannot be on without them.
_NEEDS = {
    "lso_v1": ("ipv4_transmit.ip", "ipv4_transmit.tcp"),
    "lso_v2.ipv4": ("ipv4_transmit.ip", "ipv4_transmit.tcp"),
    "lso_v2.ipv6": ("ipv6_transmit.tcp",),
}
_TOGGLES = {
    Toggle.TX_RX_DISABLED: (False, False),
    Toggle.TX_ENABLED_RX_DISABLED: (True, False),
    Toggle.RX_ENABLED_TX_DISABLED: (False, True),
    Toggle.TX_RX_ENABLED: (True, True),
}
Switches = dict[str, bool]


def switches(offload: Offload) -> Switches:
    """What is on."""
    found = {
        f"{part}.{sum_}": bool(getattr(getattr(offload, part), f"{sum_}_checksum"))
        for part in ("ipv4_transmit", "ipv4_receive", "ipv6_transmit", "ipv6_receive")
        for sum_ in ("ip", "tcp", "udp")
    }
    found["lso_v1"] = offload.lso_v1.max_offload_size > 0
    found["lso_v2.ipv4"] = offload.lso_v2.ipv4_max_offload_size > 0
    found["lso_v2.ipv6"] = offload.lso_v2.ipv6_max_offload_size > 0
    return found


def agree(now: Switches, before: Switches, changed: Mapping[str, bool], what: str) -> None:
    """Just that changed; but a large send goes off with a checksum that it needs. [combining]"""
    for name, wanted in changed.items():
        assert now[name] == wanted, f"{what}: {name} is {'on' if now[name] else 'off'}"
    for name, needed in _NEEDS.items():
        lacks = [each for each in needed if not now[each]]
        assert not (now[name] and lacks), f"{what}: {name} is on without {', '.join(lacks)}"
    for name, was in before.items():
        may_end = any(not now[each] for each in _NEEDS.get(name, ()))
        if name not in changed and not may_end:
            assert now[name] == was, f"{what}: {name} went {'on' if now[name] else 'off'}"


def hardware(bench: Bench) -> Switches:
    """What can be on; NOT SUPPORTED when the driver offers no task at all."""
    if bench.adapter.known_offload is None:
        raise NotSupported("task offloads")
    return switches(Offload.parse(bench.query(OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES)))


# -- keywords ------------------------------------------------------------------------------------------------


def _keywords(checksums: Sequence[int], large_sends: Sequence[int] = (1, 1, 1)) -> dict[str, Any]:
    """Parameters of a case: a value for each keyword."""
    found = {keyword: value for (keyword, *_), value in zip(_CHECKSUMS, checksums, strict=True)}
    found |= {keyword: value for (keyword, *_), value in zip(_LARGE_SENDS, large_sends, strict=True)}
    return {"keywords": found} | ONE


def _as_configured(bench: Bench, checksums: Sequence[int], large_sends: Sequence[int] = (1, 1, 1)) -> None:
    """What is on is what the keywords say and the hardware can; a large send needs its checksums."""
    wanted = hardware(bench)
    for (_, _, (transmit, receive)), value in zip(_CHECKSUMS, checksums, strict=True):
        wanted[transmit] &= bool(value & 1)
        wanted[receive] &= bool(value & 2)
    for (_, _, name), value in zip(_LARGE_SENDS, large_sends, strict=True):
        wanted[name] &= bool(value) and all(wanted[each] for each in _NEEDS[name])
    found = switches(current_offload(bench))
    wrong = [f"{name} is {'on' if found[name] else 'off'}" for name in wanted if found[name] != wanted[name]]
    assert not wrong, ", ".join(wrong)
    works(bench)


@case(_KEYWORDS, "1 of a checksum keyword is transmit only", **_keywords((1, 1, 1, 1, 1)))
def transmit_only(bench: Bench) -> None:
    """Every checksum keyword is 1, and large sends are on."""
    _as_configured(bench, (1, 1, 1, 1, 1))


@case(_KEYWORDS, "2 of a checksum keyword is receive only; large sends go with the transmit sums",
      **_keywords((2, 2, 2, 2, 2)))  # fmt: skip
def receive_only(bench: Bench) -> None:
    """Every checksum keyword is 2, and large sends are on by their keywords."""
    _as_configured(bench, (2, 2, 2, 2, 2))


@case(_KEYWORDS, "each keyword is of its own task", **_keywords((0, 3, 0, 3, 0), (1, 0, 1)))
def ipv4_headers_and_udp_off(bench: Bench) -> None:
    """The IPv4 header's sum, UDP and LSOv2 over IPv4 are off."""
    _as_configured(bench, (0, 3, 0, 3, 0), (1, 0, 1))


@case(_KEYWORDS, "each keyword is of its own task and IP version", **_keywords((3, 0, 0, 3, 3), (1, 1, 0)))
def ipv4_transports_off(bench: Bench) -> None:
    """TCP and UDP over IPv4 and LSOv2 over IPv6 are off."""
    _as_configured(bench, (3, 0, 0, 3, 3), (1, 1, 0))


@case(_KEYWORDS, "large sends need the checksums that they compute", **_keywords((3, 3, 1, 0, 2), (0, 1, 1)))
def ipv6_transports_off(bench: Bench) -> None:
    """TCP over IPv6 and LSOv1 are off; UDP over IPv4 is transmit only, over IPv6 receive only."""
    _as_configured(bench, (3, 3, 1, 0, 2), (0, 1, 1))


@case(_COMBINED, "a large send over IPv4 goes with the IPv4 header's checksum", **_keywords((2, 3, 3, 3, 3)))
def ipv4_headers_receive_only(bench: Bench) -> None:
    """The IPv4 header's sum is receive only; every other keyword is on."""
    _as_configured(bench, (2, 3, 3, 3, 3))


# -- NDIS_OFFLOAD_PARAMETERS ---------------------------------------------------------------------------------


def _set(bench: Bench, **members: Any) -> bool:
    """Whether it was taken."""
    return tell(bench, OID.TCP_OFFLOAD_PARAMETERS, OffloadParameters(**members).pack()) == OK


def _all_on(bench: Bench) -> Switches:
    """Everything that can be is on."""
    able = hardware(bench)
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    for _, member, (transmit, receive) in _CHECKSUMS:
        both = (able[transmit], able[receive])
        for toggle, sides in _TOGGLES.items():
            if any(both) and sides == both:
                assert _set(bench, **{member: toggle}), f"{member} cannot be switched on"
    for _, member, name in _LARGE_SENDS:
        if able[name]:
            assert _set(bench, **{member: Switch.ENABLED}), f"{member} cannot be switched on"
    found = switches(current_offload(bench))
    assert found == able, f"on is {found}, can be {able}"
    return found


@case(
    _PARAMETERS,
    "a member switches transmit and receive of its own task, and nothing else",
    Feature.CHECKSUM,
    **ONE,
)
def each_checksum_each_way(bench: Bench) -> None:
    """From all on, each checksum to each of its four values and back."""
    able = _all_on(bench)
    for _, member, pair in _CHECKSUMS:
        for toggle, sides in _TOGGLES.items():
            wanted = {name: on for name, on in zip(pair, sides, strict=True) if able[name] or on}
            before = _all_on(bench)
            what = f"{member} {toggle.name}"
            if _set(bench, **{member: toggle}):
                agree(switches(current_offload(bench)), before, wanted, what)
            else:
                assert switches(current_offload(bench)) == before, f"{what} was refused and changed something"
                assert not all(able[name] or not on for name, on in wanted.items()), f"{what} was refused"
    _all_on(bench)
    works(bench)


@case(_PARAMETERS, "a member of a large send switches its own, and nothing else", Feature.LSO, **ONE)
def each_large_send(bench: Bench) -> None:
    """From all on, each large send off and on; then with its checksums off."""
    able = _all_on(bench)
    for _, member, name in _LARGE_SENDS:
        for switch in (Switch.DISABLED, Switch.ENABLED):
            before = _all_on(bench)
            wanted = {name: switch is Switch.ENABLED}
            if _set(bench, **{member: switch}):
                agree(switches(current_offload(bench)), before, wanted, f"{member} {switch.name}")
            else:
                assert not able[name], f"{member} {switch.name} was refused"
    for _, member, pair in _CHECKSUMS:
        before = _all_on(bench)
        if not _set(bench, **{member: Toggle.TX_RX_DISABLED}):
            continue
        for _, large, name in _LARGE_SENDS:
            _set(bench, **{large: Switch.ENABLED})
            agree(
                switches(current_offload(bench)),
                before,
                dict.fromkeys(pair, False),
                f"{name} without {member}",
            )
    works(bench)


# -- NDIS_OFFLOAD_ENCAPSULATION ------------------------------------------------------------------------------


def _is_of(name: str, version: str) -> bool:
    """Whether a switch is one of a version of IP; LSOv1 is of IPv4."""
    return version in name or (version == "ipv4" and name == "lso_v1")


@case(
    guide("oid-offload-encapsulation"),
    "each version of IP is switched by its own member; NDIS_OFFLOAD_SET_NO_CHANGE leaves it as it is",
    Feature.CHECKSUM,
    **ONE,
)
def encapsulation_of_each_version(bench: Bench) -> None:
    """From both on and from both off, each of no change, on and off for IPv4 with each for IPv6."""
    if not has_oid(bench, OID.OFFLOAD_ENCAPSULATION):
        raise NotSupported("OID_OFFLOAD_ENCAPSULATION")
    able = _all_on(bench)
    no_change, on, off = range(3)
    for first, (four, six) in product((on, off), product(range(3), repeat=2)):
        for ipv4, ipv6 in ((first, first), (four, six)):
            wanted = OffloadEncapsulation(ipv4, 2, 14, ipv6, 2, 14)
            assert tell(bench, OID.OFFLOAD_ENCAPSULATION, wanted.pack()) == OK, f"{wanted} was refused"
        found = switches(current_offload(bench))
        for version, member in (("ipv4", four), ("ipv6", six)):
            is_on = (member if member != no_change else first) == on
            own = {name: found[name] for name in able if _is_of(name, version) and able[name]}
            wrong = [name for name, now in own.items() if now != is_on]
            said = f"IPv4Enabled {four}, IPv6Enabled {six} from {first}"
            assert not wrong, f"{said}: {', '.join(wrong)} {'off' if is_on else 'on'}"
    works(bench)
