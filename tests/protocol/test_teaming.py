"""Two cards in one host: segments that come by the other one, and a team that changes over."""

from __future__ import annotations

import random

import pytest

from tests.protocol.team_site import MS, TwoCards
from vnic.ndis.attributes import HaltAction
from vnic.ndis.offload import ChecksumOffload, LargeSendV2, Offload, TcpConnectionOffload
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, StatusIndication
from vnic.protocol.chimney_tally import Where
from vnic.protocol.journal import Cause, Happening
from vnic.protocol.teaming import TeamingDriver
from vnic.protocol.teaming_member import common_connections, common_offload
from vnic.stack.errors import StackError
from vnic.stack.stream import Stream

NOISE = random.Random(9).randbytes(300_000)


def exchange(near: Stream, far: Stream, size: int = 100_000) -> None:
    """Bytes both ways at once."""
    near.write_all(NOISE[:size])
    far.write_all(NOISE[:size][::-1])
    assert far.read_exactly(size) == NOISE[:size]
    assert near.read_exactly(size) == NOISE[:size][::-1]


@pytest.mark.requirement("POL-23", "POL-40")
@pytest.mark.parametrize("is_team", [False, True])
def test_segments_that_come_by_another_card_are_forwarded(is_team: bool) -> None:
    with TwoCards(is_team=is_team) as site:
        near, far = site.offloaded()
        if is_team:
            site.switch.misdirected[0] = 1
        else:
            site.second.interface.add_address("10.0.0.1/32")
            site.peer.interface.add_neighbour("10.0.0.1", site.second.interface.config.mac)
        strays = site.slot.adapter.receives.indicated
        exchange(near, far)
        assert site.chimney.where(near.socket) is Where.OFFLOADED
        assert site.slot.adapter.receives.indicated - strays > 60, "all of it came by the other card"
        site.switch.misdirected.clear()
        assert not site.chimney.journal.of(Happening.LOST)


@pytest.mark.requirement("POL-41", "POL-42")
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_team_changes_over_when_a_link_is_lost(seed: int | None) -> None:
    with TwoCards(bench={"cpus": 2, "queues": 2, "seed": seed}) as site:
        near, far = site.offloaded()
        near.write_all(NOISE)
        far.write_all(NOISE[::-1])
        site.network.run_for(MS // 2)
        site.set_link(0, False)
        assert site.network.run_until(lambda: site.the_team.driver.failovers == 1, MS)
        assert near.read_exactly(len(NOISE)) == NOISE[::-1]
        assert far.read_exactly(len(NOISE)) == NOISE
        site.reach(near, Where.IN_HOST)
        assert site.chimney.uploads[Cause.UPLOAD_ALL] == 1
        assert site.chimney.offload(near.socket)
        site.reach(near, Where.OFFLOADED)
        exchange(near, far)
        assert len(site.slot.adapter.chimney.registry.live) == 3, "neighbor, path and connection"
        assert not site.host.bench.adapter.chimney.registry.live
        site.set_link(0, True)
        exchange(near, far)
        assert site.the_team.driver.failovers == 1, "it does not go back by itself"


@pytest.mark.requirement("POL-41", "POL-42")
@pytest.mark.parametrize("how", ["pause", "power", "halt"])
def test_a_team_survives_its_active_member(how: str) -> None:
    with TwoCards() as site:
        near, far = site.offloaded()
        exchange(near, far)
        near.write_all(NOISE)
        far.write_all(NOISE[::-1])
        adapter = site.host.bench.adapter
        if how == "pause":
            adapter.pause()
            adapter.restart()
        elif how == "power":
            adapter.power.set(DevicePowerState.D3)
            adapter.power.set(DevicePowerState.D0)
        else:
            adapter.halt(HaltAction.DISABLED)
        assert site.the_team.driver.failovers == 1
        assert near.read_exactly(len(NOISE)) == NOISE[::-1]
        assert far.read_exactly(len(NOISE)) == NOISE
        assert site.chimney.offload(near.socket)
        site.reach(near, Where.OFFLOADED)
        exchange(near, far)
        assert not site.chimney.journal.of(Happening.LOST)


@pytest.mark.requirement("POL-41")
def test_a_team_without_links_is_down_and_comes_back() -> None:
    with TwoCards() as site:
        near, far = site.offloaded()
        for number in (0, 1):
            site.set_link(number, False)
        site.network.run_for(10 * MS)
        assert not site.host.protocol.bindings[-1].is_connected
        site.set_link(1, True)
        site.network.run_for(10 * MS)
        assert site.host.protocol.bindings[-1].is_connected
        exchange(near, far)


@pytest.mark.requirement("POL-43")
def test_a_team_can_do_what_all_members_can() -> None:
    one = TcpConnectionOffload(3, True, True, False, True, 0, 1000)
    other = TcpConnectionOffload(2, True, False, False, False, 0, 64)
    assert common_connections(one, other) == TcpConnectionOffload(2, True, False, False, False, 0, 64)
    assert common_connections(one, None) is None
    large = Offload(ChecksumOffload(2, ip_checksum=True, tcp_checksum=True), lso_v2=LargeSendV2(2, 65_000, 2))
    small = Offload(ChecksumOffload(2, tcp_checksum=True), lso_v2=LargeSendV2(2, 32_000, 4))
    common = common_offload(large, small)
    assert common is not None
    assert common.ipv4_transmit == ChecksumOffload(2, tcp_checksum=True)
    assert common.lso_v2 == LargeSendV2(2, 32_000, 4)
    with TwoCards(slot={"device": {"connections": 7}}) as site:
        offload = site.the_team.virtual.known_offload
        assert offload is not None and offload.connection_hardware is not None
        assert offload.connection_hardware.capacity == 7


@pytest.mark.requirement("POL-43")
def test_a_team_declines_another_station() -> None:
    with TwoCards(is_team=False) as site:
        driver = TeamingDriver()
        own = site.host.bench.adapter.bind(driver)
        assert own is not None
        assert site.slot.adapter.bind(driver) is None
        site.host.bench.adapter.unbind(own)


@pytest.mark.requirement("POL-41", "POL-26")
def test_a_team_goes_on_when_its_active_member_is_pulled_out() -> None:
    with TwoCards() as site:
        near, far = site.offloaded()
        other, its = site.connect(port=81)
        exchange(near, far)
        site.host.bench.device.remove()
        site.host.bench.adapter.surprise_remove()
        assert site.the_team.driver.failovers == 1
        with pytest.raises(StackError):
            near.read_exactly(1)
        exchange(other, its)
        assert site.chimney.offload(other.socket)
        site.reach(other, Where.OFFLOADED)
        exchange(other, its)


@pytest.mark.requirement("POL-42", "INV-41")
@pytest.mark.parametrize("status", [NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL])
def test_a_team_hands_on_what_its_active_member_says(status: NDIS_STATUS) -> None:
    with TwoCards() as site:
        near, far = site.offloaded()
        other, its = site.connect(port=81)
        driver = site.the_team.driver
        (binding,) = [each for each in site.host.bench.adapter.bindings if each.protocol is driver]
        driver.status_ex(binding, StatusIndication(status))
        assert not site.chimney.offload(other.socket)
        exchange(near, far)
        stays = status == NDIS_STATUS.OFFLOAD_PAUSE
        assert site.chimney.where(near.socket) is (Where.OFFLOADED if stays else Where.IN_HOST)
        driver.status_ex(binding, StatusIndication(NDIS_STATUS.OFFLOAD_RESUME))
        site.network.run_for(MS)
        assert site.chimney.offload(other.socket)
        site.reach(other, Where.OFFLOADED)
        exchange(other, its)
