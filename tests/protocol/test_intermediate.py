"""Intermediate drivers between TCP/IP and the card, put in and taken out while connections run."""

from __future__ import annotations

import pytest

from tests.protocol.test_chimney_host import MS, NOISE, Site
from vnic.protocol.chimney_tally import Where
from vnic.protocol.coexistence import Component
from vnic.protocol.intermediate import IntermediateDriver
from vnic.protocol.journal import Happening


@pytest.mark.requirement("POL-30", "POL-31", "POL-32", "INV-49")
def test_a_driver_of_ndis_5_1_takes_connections_back_and_loses_nothing() -> None:
    with Site() as site:
        near, far = site.offloaded()
        near.write_all(NOISE[:200_000])
        far.write_all(NOISE[:200_000])
        site.network.run_for(2 * MS)
        driver = IntermediateDriver(has_chimney=False)
        site.host.insert(driver)
        assert site.chimney.where(near.socket) is Where.IN_HOST
        assert far.read_exactly(200_000) == NOISE[:200_000] == near.read_exactly(200_000)
        site.exchange(near, far, 50_000)
        assert driver.sent > 0 and driver.received > 0
        assert not site.chimney.offload(near.socket)
        handle = site.host.protocol.bindings[0].handle
        assert site.host.coexistence.obstacles(handle) == (Component.NDIS_5_1_INTERMEDIATE,)
        assert not site.host.coexistence.may_netdma(handle) and site.host.coexistence.may_netdma()
        assert site.host.coexistence.may_rss(handle)
        assert site.chimney.initiates == 1
        site.host.remove()
        site.exchange(near, far, 50_000)
        assert site.host.coexistence.may_chimney(site.host.protocol.bindings[0].handle)
        assert site.chimney.offload(near.socket)
        site.exchange(near, far, 50_000)
        assert site.chimney.initiates == 2


@pytest.mark.requirement("POL-32")
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_driver_of_ndis_6_with_handlers_lets_the_chimney_through(seed: int | None) -> None:
    with Site(bench={"cpus": 2, "queues": 2, "seed": seed}) as site:
        near, far = site.connect()
        driver = IntermediateDriver()
        site.host.insert(driver)
        site.exchange(near, far, 50_000)
        assert site.chimney.offload(near.socket)
        site.reach(near, Where.OFFLOADED)
        frames = driver.sent + driver.received
        site.exchange(near, far, 300_000)
        assert driver.sent + driver.received - frames < 10, "its frames are the card's affair"
        assert site.chimney.bytes_received == 300_000
        assert site.chimney.upload(near.socket)
        site.reach(near, Where.IN_HOST)
        site.exchange(near, far, 50_000)
        assert site.chimney.offload(near.socket)
        site.host.remove()
        site.exchange(near, far, 50_000)
        assert not site.chimney.journal.of(Happening.LOST)
