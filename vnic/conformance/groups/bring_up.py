"""Bring-up: what a driver tells NDIS, what it claims, and that a failure leaves nothing behind."""

from __future__ import annotations

from vnic.abi import EventType, InterruptKind
from vnic.conformance.case import case
from vnic.conformance.drive import OK, link, works
from vnic.conformance.pages import ddi, guide, manual
from vnic.events import Event
from vnic.gen.registers import BAR0
from vnic.ndis.attributes import AttributeFlag
from vnic.ndis.oid import OID
from vnic.ndis.states import AdapterState
from vnic.ndis.structures import LinkState, MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.frames import tcp_frame

_INITIALIZE = ddi("nc-ndis-miniport_initialize")
_ATTRIBUTES = ddi("nf-ndis-ndismsetminiportattributes")
_GENERAL = ddi("ns-ndis-_ndis_miniport_adapter_general_attributes")
_COMMAND_MASTER = 4


@case(
    _INITIALIZE,
    "MiniportInitializeEx brings the adapter to the Paused state, and it must not indicate data before "
    "MiniportRestart",
    starts=False,
)
def initializes_to_paused(bench: Bench) -> None:
    """Initialize on a card that already receives frames from the link; none is indicated before the
    restart."""
    assert bench.adapter.initialize() == OK
    assert bench.adapter.state is AdapterState.PAUSED
    bench.adapter.bind(bench.protocol)
    bench.receive(tcp_frame(b"early"))
    bench.settle()
    assert bench.received == [], "data was indicated before MiniportRestart"
    assert bench.adapter.restart() == OK
    bench.settle()
    works(bench)


@case(
    _ATTRIBUTES,
    "a miniport sets registration attributes before any other, general attributes before "
    "MiniportInitializeEx returns",
    starts=False,
)
def sets_its_attributes(bench: Bench) -> None:
    """Initialize and look at the registration and general attributes that NDIS holds."""
    assert bench.adapter.initialize() == OK
    registration, general = bench.adapter.registration, bench.adapter.general
    assert registration is not None, "no registration attributes"
    assert general is not None, "no general attributes"
    assert general.faults == [], "; ".join(general.faults)


@case(
    ddi("ns-ndis-_ndis_miniport_adapter_registration_attributes"),
    "a driver of a hardware device that transfers data by DMA sets HARDWARE_DEVICE and BUS_MASTER",
    starts=False,
)
def registers_as_a_bus_master(bench: Bench) -> None:
    """Initialize and look at AttributeFlags."""
    assert bench.adapter.initialize() == OK
    assert bench.adapter.registration is not None
    flags = bench.adapter.registration.flags
    assert flags & AttributeFlag.HARDWARE_DEVICE, "HARDWARE_DEVICE is not set"
    assert flags & AttributeFlag.BUS_MASTER, "BUS_MASTER is not set"


@case(_GENERAL, "PermanentMacAddress and CurrentMacAddress hold the adapter's addresses")
def tells_the_address_of_the_card(bench: Bench) -> None:
    """Query both addresses of cards with two different addresses in their registers."""
    mac = bench.device.config.mac
    permanent = bench.query(OID.O802_3_PERMANENT_ADDRESS, 6)
    held = BAR0.MAC_PERM_ADDR.offset
    want = bench.device.read64(held).to_bytes(8, "little")[:6] if mac is None else mac
    assert permanent == want, f"the permanent address is {permanent.hex(':')}, the card has {want.hex(':')}"
    assert bench.query(OID.O802_3_CURRENT_ADDRESS, 6) == permanent


@case(
    _GENERAL,
    "PermanentMacAddress holds the adapter's own address",
    device={"mac": bytes.fromhex("0a1b2c3d4e5f")},
)
def reads_the_address_from_the_card(bench: Bench) -> None:
    """The card has the address 0a:1b:2c:3d:4e:5f; the driver must say so, and receive frames to it."""
    found = bench.query(OID.O802_3_PERMANENT_ADDRESS, 6)
    assert found == bytes.fromhex("0a1b2c3d4e5f"), f"the driver says {found.hex(':')}"
    works(bench)


@case(
    _GENERAL,
    "MtuSize, link speeds and MediaConnectState say what the adapter has at initialization",
    link_mbps=25_000,
)
def tells_link_and_speed(bench: Bench) -> None:
    """The link is up at 25 Gb/s when the driver starts."""
    link = LinkState.parse(bench.query(OID.GEN_LINK_STATE, 40))
    assert link.connect is MediaConnectState.CONNECTED, f"the driver says {link.connect.name}"
    assert link.xmit_speed_bps == link.rcv_speed_bps == 25_000_000_000, (
        f"the driver says {link.xmit_speed_bps} bit/s"
    )


@case(
    guide("ndis-status-link-state"),
    "a miniport tells of the link at initialization, and of every change",
    link_mbps=0,
)
def starts_without_a_link(bench: Bench) -> None:
    """The link is down when the driver starts, and comes up later."""
    assert link(bench) is MediaConnectState.DISCONNECTED, "the link was down at the start"
    bench.device.set_link(10_000)
    bench.settle()
    assert link(bench) is MediaConnectState.CONNECTED, "the link came up and nobody was told"
    works(bench)


@case(
    manual("PROG-1"),
    "a driver sets Bus Master Enable before the card can move data, and clears it when it is done",
    starts=False,
)
def enables_bus_mastering_while_it_runs(bench: Bench) -> None:
    """Look at COMMAND before MiniportInitializeEx, while the adapter runs, and after the halt."""
    bench.start()
    assert bench.device.config_read(4, 2) & _COMMAND_MASTER, "Bus Master Enable is clear on a running adapter"
    bench.adapter.halt()
    assert not bench.device.config_read(4, 2) & _COMMAND_MASTER, "Bus Master Enable is set after the halt"


@case(
    manual("PROG-1"), "a driver gives no doorbell and no ring before Bus Master Enable is set", starts=False
)
def masters_the_bus_before_it_starts_rings(bench: Bench) -> None:
    """Watch the order of COMMAND and the ring enables during bring-up; no DMA of the card may be turned
    down."""
    order: list[str] = []
    enables = {
        register.at(queue)
        for register in (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL)
        for queue in range(4)
    }

    def see(event: Event) -> None:
        if event.type is EventType.CFG_WRITE and event.addr == 4 and event.value & _COMMAND_MASTER:
            order.append("master")
        elif (
            event.type is EventType.MMIO_WRITE
            and event.index == 0
            and event.addr in enables
            and event.value & 1
        ):
            order.append("ring")

    with bench.device.observe(see, (EventType.CFG_WRITE, EventType.MMIO_WRITE)):
        bench.start()
    assert "ring" in order, "no ring was enabled"
    assert order[0] == "master", "a ring was enabled before Bus Master Enable"


@case(
    manual("PROG-3"),
    "a driver resets the card first, so that nothing of an earlier driver is left",
    starts=False,
)
def takes_over_a_card_that_another_driver_left(bench: Bench) -> None:
    """A promiscuous filter, a foreign multicast list, RSS and moderation are still in the card from an
    earlier driver."""
    system = bench.system
    system.enable_device()
    window = system.window(0)
    window.write32(BAR0.MAC_RX_MAX.offset, 100)
    window.write64(BAR0.MAC_ADDR.offset, 0x0605_0403_0202)
    window.write32(BAR0.VEC_INTERVAL.offset, 0xFFFFFF)
    window.write32(BAR0.GLB_EVENT_VECTOR.offset, 3)
    for queue in range(4):
        window.write32(BAR0.QP_CQ_VECTOR.at(queue), 3)
    bench.start()
    works(bench, "on a card that an earlier driver had configured")


@case(
    guide("msi-x-initialization"),
    "a driver works with as many messages as it is granted, fewer than it asked for",
    device={"vectors": 1, "msi_capable_log2": 0},
)
def works_with_one_message(bench: Bench) -> None:
    """The card has four queue pairs and one vector."""
    works(bench)
    bench.device.set_link(0)
    bench.settle()
    assert link(bench) is MediaConnectState.DISCONNECTED, "no link change was indicated"


@case(
    guide("msi-x-initialization"),
    "a driver works with as many messages as it is granted, fewer than it asked for",
    device={"vectors": 3},
)
def works_with_three_messages(bench: Bench) -> None:
    """The card has four queue pairs and three vectors; frames of all processors leave and arrive."""
    for cpu in range(4):
        with bench.processors.on(cpu):
            works(bench, f"from processor {cpu}")


@case(
    manual("PROG-2"),
    "a driver reads BAR sizes from the card, and touches no register that is not there",
    starts=False,
)
def touches_only_registers_that_are_there(bench: Bench) -> None:
    """Bring-up, traffic, queries and halt; every access is to a register, within its bounds and aligned."""
    bench.start()
    works(bench)
    bench.query(OID.GEN_STATISTICS, 152)
    bench.adapter.halt()


@case(ddi("nc-ndis-miniport_halt"), "after MiniportHaltEx an adapter can be initialized again", starts=False)
def comes_and_goes_again_and_again(bench: Bench) -> None:
    """Five times: initialize, traffic, halt; nothing is left after any of them."""
    for turn in range(5):
        bench.start()
        works(bench, f"in life {turn + 1}")
        bench.adapter.halt()
        bench.system.assert_no_leaks()


@case(
    _GENERAL,
    "MaxMulticastListSize, SupportedPacketFilters and SupportedOidList are what the driver really takes",
)
def claims_packet_filters_of_ethernet(bench: Bench) -> None:
    """An Ethernet miniport supports directed and broadcast frames at least."""
    general = bench.adapter.general
    assert general is not None
    assert int(general.supported_packet_filters) & 0x9 == 0x9, "DIRECTED and BROADCAST are not both supported"
    assert general.mtu_size >= 1500, f"an MTU of {general.mtu_size}"


@case(manual("PROG-6"), "a driver works with MSI", interrupt="msi")
def works_with_msi(bench: Bench) -> None:
    """The machine grants MSI and nothing else."""
    assert bench.system.vector_kind is InterruptKind.MSI
    works(bench)


@case(manual("PROG-6"), "a driver works with the line", interrupt="line")
def works_with_the_line(bench: Bench) -> None:
    """The machine grants the INTx line and nothing else."""
    assert bench.system.vector_kind is InterruptKind.INTX
    works(bench)
