"""Optional upload reasons: keywords set the card's thresholds, and what it asks for reaches the host."""

from __future__ import annotations

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.gen.registers import BAR0
from vnic.miniport.chimney_connection import Connection
from vnic.ndis.keywords import KEYWORDS
from vnic.testbench.chimney.blocks import EVENT, REASON, context_of

REGISTERS = {
    "ChimneyOutOfOrderRate": BAR0.CHM_OUT_OF_ORDER_RATE,
    "ChimneyDropRate": BAR0.CHM_DROP_RATE,
    "ChimneySmallIo": BAR0.CHM_SMALL_IO,
    "ChimneyUnpostedBytes": BAR0.CHM_UNPOSTED_BYTES,
    "ChimneyIdleTicks": BAR0.CHM_IDLE_TICKS,
    "ChimneyFragments": BAR0.CHM_FRAGMENTS,
}
MS = 1_000_000


@pytest.mark.requirement("CHM-64")
def test_keywords_reach_the_card() -> None:
    wanted = {name: KEYWORDS[name].most - n for n, name in enumerate(REGISTERS)}
    with ChimneyBench(keywords=wanted) as bench:
        assert read(bench) == wanted
    with ChimneyBench() as bench:
        assert set(read(bench).values()) == {0}


def read(bench: ChimneyBench) -> dict[str, int]:
    """The thresholds in the card."""
    return {name: bench.device.read(0, register.offset, 4) for name, register in REGISTERS.items()}


@pytest.mark.requirement("CHM-64")
def test_what_the_card_asks_for_is_indicated_and_it_goes_on() -> None:
    with ChimneyBench(keywords={"ChimneyUnpostedBytes": 1000, "ChimneyIdleTicks": 100}) as bench:
        (connection,) = bench.connect()
        connection.receive(bytes(1000))
        assert connection.told(EVENT.RETRIEVE.name) == [(REASON.NO_BUFFER_PREPOSTING,)]
        for _ in range(2):
            bench.advance(100 * MS)
        assert connection.told(EVENT.RETRIEVE.name)[1:] == [(REASON.LOW_ACTIVITY,)]
        connection.receive(b"more")
        assert connection.stream == bytes(1000) + b"more"
        connection.send(b"answer")
        assert connection.acknowledge() == b"answer"


@pytest.mark.requirement("CHM-64")
@pytest.mark.parametrize("why", ["closed", "asked"])
def test_what_the_host_needs_not_hear_is_not_indicated(why: str) -> None:
    """The card asked before it knew that the host closes, or that the miniport asked itself."""
    with ChimneyBench(keywords={"ChimneyUnpostedBytes": 1000}) as bench:
        (connection,) = bench.connect()
        connection.receive(bytes(1000), settles=False)
        bench.device.run()
        if why == "closed":
            connection.disconnect(settles=False)
        else:
            inside = context_of(connection.block)
            assert isinstance(inside, Connection)
            inside.ask_upload()
        bench.settle()
        assert REASON.NO_BUFFER_PREPOSTING not in [each for (each,) in connection.told(EVENT.RETRIEVE.name)]
