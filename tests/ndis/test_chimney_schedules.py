"""Right drivers on two processors under the seeded scheduler: nothing to complain of, no byte lost."""

from __future__ import annotations

from random import Random

import pytest

from tests.ndis.chimney_toys import SUCCESS, Rig, Target, make_rig
from vnic.host.cpu import Level
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import link, net_buffer_list
from vnic.ndis.status import NDIS_STATUS


class Walk:
    """A connection that both ends use at once; what it received and sent is known."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rig: Rig = make_rig(2, seed)
        self.rig.start()
        self.rig.target.cpu = 1
        self.arrived = self.random.randbytes(self.random.randrange(4))
        self.found: Target = self.rig.offload(buffered=self.arrived)
        self.posted = 0
        self.rig.client.answer = self.answer

    def answer(self, data: bytes) -> int | None:
        """Of received data the protocol takes all, nothing or a part."""
        choice = self.random.randrange(4)
        return None if choice > 1 else choice and self.random.randrange(1, len(data) + 1)

    def arrive(self) -> None:
        """A segment comes, perhaps too late."""
        if self.found not in self.rig.target.connections:
            return
        data = self.random.randbytes(self.random.randrange(1, 6))
        self.arrived += data
        self.rig.target.arrive(self.found, data)

    def acknowledge(self) -> None:
        """An ACK comes, perhaps too late."""
        found, target = self.found, self.rig.target
        if found in target.connections:
            target.ack(found, self.random.randrange(len(found.sends) + 1))

    def ask_for_upload(self) -> None:
        """The target runs short of something, perhaps too late."""
        target, reason = self.rig.target, nd.TCP_UPLOAD_REASON.UPLOAD_REQUESTED
        if self.found in target.connections:
            target.event(self.found, nd.TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, reason)

    def step(self) -> None:
        """Something is under way on the other processor while the protocol does something here."""
        rig, random = self.rig, self.random
        for _ in range(random.randrange(3)):
            rig.target.defer(self.arrive)
        rig.target.defer(self.acknowledge)
        handle = rig.handle
        if random.randrange(2):
            sizes = [random.randrange(7) for _ in range(random.randrange(1, 3))]
            head = link([net_buffer_list(bytes(size)) for size in sizes])
            assert head is not None
            rig.as_protocol(lambda: rig.calls.offload_tcp_receive(handle, head))
        if random.randrange(2):
            nbl = net_buffer_list(random.randbytes(random.randrange(1, 9)))
            self.posted += 1
            rig.as_protocol(lambda: rig.calls.offload_tcp_send(handle, nbl))

    def end(self) -> None:
        """Terminate while all of that is still going on, and count."""
        rig = self.rig
        rig.terminate()
        rig.client.answer = lambda data: None
        assert rig.client.stream == self.arrived
        done = [status for status, _ in rig.client.sent]
        assert set(done) <= {SUCCESS}
        rig.give_back()
        rig.adapter.halt()
        assert rig.ndis.violations == []


@pytest.mark.requirement("INV-6", "INV-18", "INV-20", "INV-23", "INV-37")
@pytest.mark.parametrize("part", range(8))
def test_right_drivers_race_without_a_breach(part: int) -> None:
    for seed in range(part * 60, part * 60 + 60):
        walk = Walk(seed)
        for _ in range(3):
            walk.step()
        walk.end()


@pytest.mark.requirement("INV-23")
def test_a_delivery_that_only_a_race_makes_concurrent_is_found() -> None:
    """The target looks whether it is busy, lets another processor ahead, and only then says that it is."""
    found_it = 0
    for seed in range(40):
        walk = Walk(seed)
        walk.rig.client.answer = lambda data: None
        target, found = walk.rig.target, walk.found

        def careless(found: Target = found, walk: Walk = walk, data: bytes = b"x") -> None:
            found.state.RcvNxt += len(data)
            walk.rig.target.indicate(found, net_buffer_list(data))

        for cpu in (0, 1):
            target.cpu = cpu
            target.defer(careless)
        try:
            with walk.rig.ndis.processors.raised_to(Level.PASSIVE):
                walk.rig.run()
        except AssertionError as error:
            assert getattr(error, "rule_id", "") in ("INV-23", "INV-21"), error
            found_it += getattr(error, "rule_id", "") == "INV-23"
    assert found_it > 2


def test_a_terminate_races_with_indications() -> None:
    """Received data and an upload request come while the protocol terminates."""
    for seed in range(60):
        walk = Walk(seed)
        walk.rig.client.answer = lambda data: None
        walk.rig.target.defer(walk.ask_for_upload)
        walk.step()
        walk.end()
        assert NDIS_STATUS.UPLOAD_IN_PROGRESS not in [status for status, _ in walk.rig.client.sent]
