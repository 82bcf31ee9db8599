"""Processors race while connections move and the indirection table changes: order and NDIS's rules hold."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import settings

from tests.chimney.stage import Act, Application, Script, Stage
from vnic.link.impairments import Impairments
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.rss import ReceiveScaleParameters
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import RSS_KEY, RSS_TYPES

#: A thousand in the profile that explores.
SCHEDULES = 12 if settings().max_examples <= 100 else 1000


class RacingStage(Stage):
    """Four processors and queues, a table that changes, and NDIS watching every call."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        acts = tuple(
            Act(random.choice([0, 1, 3]), random.randrange(2), "send", random.choice([100, 3000, 30_000]))
            for _ in range(8)
        )
        cable = Impairments(delay_ns=200_000, loss=random.choice([0, 0, 0.02]))
        script = Script(acts, cable, random.choice([4, 6]), seed=seed)
        super().__init__(script, "moving", queues=4, cpus=4, seed=seed)
        self._random = random
        self.commits = 0

    def __enter__(self) -> RacingStage:
        return self

    def _do(self, apps: Sequence[Application], act: Act) -> None:
        table = tuple(self._random.randrange(4) for _ in range(16))
        parameters = ReceiveScaleParameters(hash_information=int(RSS_TYPES) | 1, table=table, key=RSS_KEY)
        status = self.host.protocol.ask(set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, parameters.pack()))
        assert status == NDIS_STATUS.SUCCESS
        self.commits += 1
        super()._do(apps, act)


@pytest.mark.requirement("INV-6", "INV-23", "INV-37", "INV-55")
def test_order_holds_under_every_schedule() -> None:
    initiates = 0
    for seed in range(SCHEDULES):
        with RacingStage(seed) as stage:
            outcome = stage.run()
            assert outcome.received == outcome.sent[::-1], f"schedule {seed}"
            assert outcome.ended == (None, None), f"schedule {seed}"
            assert stage.commits == 8
            initiates += outcome.initiates
    print(f"{SCHEDULES} schedules, {initiates} initiates")
    assert initiates > SCHEDULES
