"""Address probes: what they ask, and which frames mean that somebody has the address."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.commands.conflict import claimant, probe_of
from vnic.wire import packet, verify
from vnic.wire.parse import Frame

OURS, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FOUR, SIX = ip_address("10.0.0.1"), ip_address("fd00::1")


def arp(operation: int, source: str, target: str, mac: bytes = OTHER) -> bytes:
    """An ARP frame."""
    body = packet.arp(source, target, operation=operation, source_mac=mac, target_mac=bytes(6))
    return packet.ethernet(body, ethertype=packet.ETHERTYPE_ARP, source=mac, destination=b"\xff" * 6)


def nd(kind: int, source: str, target: str, *, hop_limit: int = 255, mac: bytes = OTHER) -> bytes:
    """A solicitation or advertisement."""
    message = packet.icmpv6(source, "ff02::1", kind, 0, bytes(4) + packet.packed(target))
    datagram = packet.ipv6(source, "ff02::1", packet.ICMPV6, message, hop_limit=hop_limit)
    return packet.ethernet(datagram, source=mac, destination=b"\x33\x33\0\0\0\1")


def test_probes_are_sent_by_somebody_without_an_address() -> None:
    four, six = probe_of(FOUR, OURS), Frame.parse(probe_of(SIX, OURS))
    assert four[28:32] == bytes(4) and four[38:42] == FOUR.packed and four[:6] == b"\xff" * 6
    assert six.data[22:38] == bytes(16) and six.data[62:78] == SIX.packed
    assert six.data[:6] == bytes.fromhex("3333ff000001") and six.data[21] == 255
    assert verify.transport(six) is not verify.Verdict.BAD


@pytest.mark.parametrize(
    "frame",
    [arp(2, "10.0.0.1", "10.0.0.9"), arp(1, "10.0.0.1", "10.0.0.9"), arp(1, "0.0.0.0", "10.0.0.1")],
)
def test_arp_that_claims(frame: bytes) -> None:
    assert claimant(frame, FOUR, OURS) == OTHER and claimant(frame, SIX, OURS) is None


@pytest.mark.parametrize(
    "frame",
    [arp(1, "10.0.0.9", "10.0.0.1"), arp(2, "10.0.0.9", "10.0.0.1"), arp(2, "10.0.0.1", "10.0.0.9", OURS),
     nd(136, "fd00::1", "fd00::1")],
)  # fmt: skip
def test_arp_that_does_not(frame: bytes) -> None:
    assert claimant(frame, FOUR, OURS) is None


@pytest.mark.parametrize("frame", [nd(136, "fd00::1", "fd00::1"), nd(135, "::", "fd00::1")])
def test_nd_that_claims(frame: bytes) -> None:
    assert claimant(frame, SIX, OURS) == OTHER


@pytest.mark.parametrize(
    "frame",
    [nd(136, "fd00::9", "fd00::9"), nd(135, "fd00::9", "fd00::1"), nd(136, "::1", "fd00::1", hop_limit=64),
     nd(135, "::", "fd00::1", mac=OURS), probe_of(SIX, OURS)],
)  # fmt: skip
def test_nd_that_does_not(frame: bytes) -> None:
    assert claimant(frame, SIX, OURS) is None


@given(noise=st.binary(max_size=120))
def test_noise_claims_nothing_it_does_not_say(noise: bytes) -> None:
    for address in (FOUR, SIX):
        if claimant(noise, address, OURS) is not None:
            assert address.packed in noise
