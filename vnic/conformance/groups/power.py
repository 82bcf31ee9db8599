"""Power: what a driver does before low power, what it knows in it, and that D0 brings everything back."""

from __future__ import annotations

from vnic.conformance.case import Feature, case
from vnic.conformance.drive import (
    GROUP,
    OK,
    SHORT_RINGS,
    ask,
    flows,
    frames_to,
    injected,
    let_go,
    set_groups,
    statistics,
    statuses,
    take,
    works,
)
from vnic.conformance.groups.reset import LONG_FRAMES, come_in_part
from vnic.conformance.pages import guide, manual
from vnic.gen.registers import CONFIG
from vnic.ndis.oid import OID
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import PEER, plain_frame

_SET = guide("oid-pnp-set-power")
_QUERY = guide("oid-pnp-query-power")
_LOW = guide("miniport-adapter-states-and-operations")
_STATES = (DevicePowerState.D1, DevicePowerState.D2, DevicePowerState.D3)


def down(bench: Bench, state: DevicePowerState = DevicePowerState.D3) -> None:
    """To low power; a miniport must not refuse it."""
    status = bench.adapter.set_power(state)
    assert status == OK, f"OID_PNP_SET_POWER to {state.name} ended {status!s}"


def up(bench: Bench) -> None:
    """Back to D0."""
    status = bench.adapter.set_power(DevicePowerState.D0)
    assert status == OK, f"OID_PNP_SET_POWER to D0 ended {status!s}"
    bench.settle()


@case(_SET, "a miniport driver must succeed OID_PNP_SET_POWER, and works again in D0", Feature.POWER)
def down_and_up(bench: Bench) -> None:
    """To D3 and back, five times; traffic after each."""
    for turn in range(5):
        down(bench)
        up(bench)
        works(bench, f"after {turn + 1} times D3")


@case(_SET, "the rule is the same with the messages of MSI", Feature.POWER, interrupt="msi")
def down_and_up_with_msi(bench: Bench) -> None:
    """To D3 and back with MSI."""
    down_and_up(bench)


@case(_SET, "the rule is the same with a line interrupt", Feature.POWER, interrupt="line")
def down_and_up_with_a_line(bench: Bench) -> None:
    """To D3 and back with the line."""
    down_and_up(bench)


@case(
    _SET,
    "before it completes the request a driver has every send completed and its device quiet",
    Feature.POWER,
)
def sends_end_before_low_power(bench: Bench) -> None:
    """Go to D3 with 40 sends in the rings; each has come back, and none comes back twice."""
    flows(bench, 300, 40)
    bench.device.is_manual = False
    down(bench)
    bench.settle()
    ended = statuses(bench)
    assert len(ended) == 40, f"{len(ended)} of 40 sends came back"
    up(bench)
    works(bench)


@case(
    manual("RST-7", "reset"), "in D3hot the card answers no register: a driver leaves it alone", Feature.POWER
)
def leaves_the_card_alone(bench: Bench) -> None:
    """In D3 time goes by and frames arrive: no register is touched, nothing is indicated."""
    down(bench)
    assert bench.device.config_read(CONFIG.PM_CTRL.offset) & 3 == 3, "the device is not in D3hot"
    before = len(bench.received)
    bench.receive(*frames_to(bench.station, 3))
    bench.advance(5_000_000_000)
    assert len(bench.received) == before, "a frame was indicated in D3"
    up(bench)
    works(bench)


@case(_LOW, "a send in low power ends with NDIS_STATUS_LOW_POWER_STATE", Feature.POWER)
def sends_in_low_power(bench: Bench) -> None:
    """Send from below the protocols in D3."""
    down(bench)
    bench.inject(plain_frame(80, 1, PEER))
    bench.settle()
    assert injected(bench) == [NDIS_STATUS.LOW_POWER_STATE], f"the send ended {injected(bench)}"
    assert not bench.transmitted, "a frame left in D3"
    up(bench)
    works(bench)


@case(
    _SET,
    "filters, addresses and multicast list are in force again in D0",
    Feature.POWER,
    Feature.MULTICAST,
    packet_filter=0x3,
)
def filters_come_back(bench: Bench) -> None:
    """Set packet filter and multicast list, go to D3 and back: the same frames come up."""
    set_groups(bench, GROUP)
    frames = [
        plain_frame(80, 1, bench.station),
        plain_frame(80, 2, GROUP),
        plain_frame(80, 3, b"\xff" * 6),
        plain_frame(80, 4, bytes.fromhex("01005e7f7f7f")),
    ]
    before = sorted(frame.data for frame in take(bench, *frames))
    down(bench)
    up(bench)
    after = sorted(frame.data for frame in take(bench, *frames))
    assert after == before, f"{len(after)} of the frames come up, {len(before)} did before"
    assert before == sorted(frames[:2])


@case(_SET, "statistics go on counting after low power", Feature.POWER)
def statistics_go_on(bench: Bench) -> None:
    """Count 5 frames before D3 and 5 after it: 10 of them are known."""
    take(bench, *frames_to(bench.station, 5))
    first = statistics(bench)
    down(bench)
    up(bench)
    take(bench, *frames_to(bench.station, 5, first=50))
    last = statistics(bench)
    grown = last.if_hc_in_ucast_pkts - first.if_hc_in_ucast_pkts
    assert first.if_hc_in_ucast_pkts == 5 and grown == 5, (
        f"ifHCInUcastPkts {first.if_hc_in_ucast_pkts}, then {grown} more"
    )


@case(guide("oid-gen-link-state"), "a link that changed in low power is indicated in D0", Feature.POWER)
def link_change_in_low_power(bench: Bench) -> None:
    """Pull the cable in D3, and put it back in the next D3."""
    for mbps, wanted in ((0, MediaConnectState.DISCONNECTED), (10_000, MediaConnectState.CONNECTED)):
        down(bench)
        bench.device.set_link(mbps)
        up(bench)
        found = bench.adapter.link_state.connect
        assert found is wanted, f"the link is {found.name} for NDIS, not {wanted.name}"
    works(bench)


@case(
    _QUERY,
    "a driver answers OID_PNP_QUERY_POWER with success: it is asked whether, not told to",
    Feature.POWER,
)
def query_power_changes_nothing(bench: Bench) -> None:
    """Query each state; the adapter stays in D0 and works."""
    for state in _STATES:
        request = ask(bench, OID.PNP_QUERY_POWER, 4)
        assert request.status in (OK, NDIS_STATUS.NOT_SUPPORTED, NDIS_STATUS.INVALID_OID), (
            f"{state.name}: {request.status!s}"
        )
    assert bench.device.config_read(CONFIG.PM_CTRL.offset) & 3 == 0
    works(bench)


@case(_LOW, "an adapter can be halted in low power", Feature.POWER)
def halt_in_low_power(bench: Bench) -> None:
    """Go to D3 and halt; nothing is left."""
    down(bench)
    bench.adapter.halt()
    assert bench.adapter.state is AdapterState.HALTED


@case(
    _LOW, "an adapter that was paused when the power went can be restarted after it came back", Feature.POWER
)
def paused_over_low_power(bench: Bench) -> None:
    """Pause, D3, D0: frames go through."""
    bench.adapter.pause()
    down(bench)
    up(bench)
    if bench.adapter.state is AdapterState.PAUSED:
        assert bench.adapter.restart() == OK
    bench.settle()
    works(bench)


@case(
    _SET,
    "NBLs that a protocol still has do not stop a driver from going to D3",
    Feature.POWER,
    keywords=SHORT_RINGS,
)
def lent_buffers_over_low_power(bench: Bench) -> None:
    """A protocol keeps NBLs until the pause before D3 takes them; afterwards every buffer is in use again."""
    for _ in range(3):
        bench.protocol.keeps_nbls = True
        bench.receive(*frames_to(bench.station, 5))
        bench.settle()
        down(bench)
        bench.protocol.keeps_nbls = False
        up(bench)
    for turn in range(6):
        works(bench, f"and {turn} times before")


@case(
    _SET,
    "after D3 the device has forgotten its rings: a driver sets them up anew",
    Feature.POWER,
    seeds=(1, 2, 3),
)
def traffic_on_both_sides_of_low_power(bench: Bench) -> None:
    """With traffic both ways under way, go to D3 and back on a machine whose processors race."""
    for turn in range(3):
        flows(bench, 200 + turn, 12)
        let_go(bench)
        down(bench)
        up(bench)
    bench.transmitted.clear()
    works(bench)


@case(
    _SET,
    "of a frame that had arrived in part nothing is left after low power: the next one is whole",
    Feature.POWER,
    **LONG_FRAMES,
)
def frames_that_have_come_in_part(bench: Bench) -> None:
    """Frames of 9,000 bytes stop after 1 to 6 steps of the card, are looked at; D3, and D0 again."""

    def sleep() -> None:
        down(bench)
        bench.device.is_manual = False
        up(bench)

    come_in_part(bench, sleep, "low power")
