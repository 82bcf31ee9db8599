"""The copy engine's interrupts, by registers: attention, arming, delay, vectors, the line."""

from __future__ import annotations

from vnic.abi import EventType, InterruptKind
from vnic.conformance.case import engine_case
from vnic.conformance.pages import manual
from vnic.copy_engine import IRQ
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanctrl
from vnic.host import pci
from vnic.testbench.engine_rig import CHANCTRL_RUN, EngineRig

_INTRCTRL = COPY_BAR0.GENERAL.offset + 3
_ENABLE = COPY_BAR0.GENERAL.encode(MASTER_INT_EN=1, MSIX_VECTOR_CONTROL=1) >> 24
_US = 1000


def _work(rig: EngineRig, index: int, **fields: int) -> None:
    """One descriptor that moves nothing and asks for an interrupt, or for what `fields` say."""
    channel = rig.channel(index)
    channel.post(CopyDescriptor(null=1, **{"int_en": 1} | fields))
    channel.start()


def _levels(rig: EngineRig) -> list[int]:
    """What the line did."""
    taken = rig.engine.interrupts()
    assert all(each.kind == InterruptKind.INTX for each in taken), "a message instead of the line"
    return [each.data for each in taken]


@engine_case(
    manual("DMA-31", "netdma"), "an interrupt comes if and only if INT_EN is set, behind the completion"
)
def interrupts_that_are_asked_for(rig: EngineRig) -> None:
    """Descriptors with and without INT_EN and COMPL_WRITE."""
    channel = rig.channel(0)
    for compl_write in (0, 1):
        for int_en in (0, 1):
            order: list[str] = []
            with rig.engine.observe(lambda event, order=order: order.append(event.type.name),  # type: ignore[misc]
                                    (EventType.DMA_WRITE, EventType.INTERRUPT)):  # fmt: skip
                _work(rig, 0, int_en=int_en, compl_write=compl_write)
            wanted = ["DMA_WRITE"] * compl_write + ["INTERRUPT"] * int_en
            assert order == wanted, f"COMPL_WRITE {compl_write}, INT_EN {int_en}: {order}"
            channel.rearm()


@engine_case(
    manual("DMA-32", "netdma"),
    "an interrupt sets the channel's bit in ATTNSTATUS and its INT_DISABLE, and has the channel's vector",
    channels=8,
    vectors=8,
)
def attention_and_vectors(rig: EngineRig) -> None:
    """Each of eight channels interrupts; without MSIX_VECTOR_CONTROL all have vector 0."""
    for index in (7, 0, 3, 6, 1, 2, 4, 5):
        _work(rig, index)
        assert rig.vectors() == [index], f"channel {index} has another vector"
        assert rig.channel(index).read(COPY_BAR0.CHANCTRL) & Chanctrl.INT_DISABLE, "INT_DISABLE is clear"
        found = rig.engine.read32(COPY_BAR0.ATTNSTATUS.offset)
        assert found == 1 << index, f"ATTNSTATUS is {found:#x} for channel {index}"
        assert rig.engine.read32(COPY_BAR0.ATTNSTATUS.offset) == 0, "reading ATTNSTATUS does not clear it"
        rig.channel(index).rearm()
    rig.engine.write8(_INTRCTRL, COPY_BAR0.GENERAL.encode(MASTER_INT_EN=1) >> 24)
    _work(rig, 5)
    assert rig.vectors() == [0], "without MSIX_VECTOR_CONTROL a channel has a vector of its own"


@engine_case(
    manual("DMA-33", "netdma"), "a channel interrupts once until it is armed again, and once for all between"
)
def arming(rig: EngineRig) -> None:
    """Four interrupts fall due; INT_REARM lets one more come, then none."""
    for _ in range(4):
        _work(rig, 2)
    assert rig.vectors() == [2], "a channel interrupts that was not armed again"
    rig.channel(2).rearm()
    rig.engine.run()
    assert rig.vectors() == [2], "what fell due meanwhile is lost, or comes more than once"
    rig.channel(2).rearm()
    rig.engine.run()
    assert rig.vectors() == [], "an interrupt without a cause"


@engine_case(
    manual("DMA-33", "netdma"),
    "with INTRDELAY an interrupt comes so many microseconds after its channel was armed, and not before",
)
def delays(rig: EngineRig) -> None:
    """Delays of 1 us to 16 ms, of two channels that were armed at different times."""
    now = 0
    for delay in (1, 50, 1000, 0x3FFF):
        rig.engine.write32(COPY_BAR0.INTRDELAY.offset, delay)
        armed = {}
        for index in (1, 0):
            now += 300
            rig.engine.advance(now)
            rig.channel(index).rearm()
            armed[index] = now
            _work(rig, index)
        assert rig.vectors() == [], f"an interrupt before its delay of {delay} us"
        for index in (1, 0):
            due = armed[index] + delay * _US
            found = rig.engine.next_deadline_ns()
            assert found == due, f"with a delay of {delay} us an interrupt is due at {found}, not {due}"
            rig.engine.advance(due - 1)
            rig.engine.run()
            assert rig.vectors() == [], "an interrupt came early"
            rig.engine.advance(due)
            rig.engine.run()
            assert rig.vectors() == [index], f"after {delay} us channel {index} does not interrupt"
        now += 2 * delay * _US
    rig.engine.write32(COPY_BAR0.INTRDELAY.offset, 0)
    rig.channel(0).rearm()
    _work(rig, 0)
    assert rig.vectors() == [0], "without a delay the interrupt does not come at once"


@engine_case(
    manual("DMA-33", "netdma"),
    "a clear MASTER_INT_EN keeps interrupts; setting it raises them, one a step, the lowest channel first",
    manual=True,
)
def the_master_enable(rig: EngineRig) -> None:
    """Channels 3, 0 and 1 fall due while it is clear; reading INTRCTRL is what clears it."""
    assert rig.engine.read8(_INTRCTRL) & 1, "MASTER_INT_EN does not read as it was written"
    assert not rig.engine.read8(_INTRCTRL) & 1, "reading INTRCTRL does not clear MASTER_INT_EN"
    for index in (3, 0, 1):
        _work(rig, index)
        rig.engine.run()
    assert rig.vectors() == []
    assert rig.engine.read32(COPY_BAR0.ATTNSTATUS.offset) == 0, "attention without an interrupt"
    rig.engine.write8(_INTRCTRL, _ENABLE)
    seen = []
    while rig.engine.step(IRQ):
        seen.append(list(rig.vectors()))
    assert seen == [[0], [1], [3]], f"the vectors came as {seen}"


@engine_case(
    manual("DMA-34", "netdma"),
    "the line is up while ATTNSTATUS is not 0 and MASTER_INT_EN is set; reading either takes it down",
)
def the_line(rig: EngineRig) -> None:
    """Interrupt on the line; end it by ATTNSTATUS, by INTRCTRL, by RESET of the channel."""
    control = pci.capability_fields(rig.engine, CONFIG.MSIX_CTRL, pci.CapabilityId.MSIX)
    control[CONFIG.MSIX_CTRL, "ENABLE"] = 0
    _work(rig, 1)
    assert _levels(rig) == [1]
    status = rig.engine.config_read(CONFIG.COMMAND.offset)
    assert CONFIG.COMMAND.decode(status)["INTX_STATUS"] == 1, "Interrupt Status is 0 with the line up"
    rig.engine.read32(COPY_BAR0.ATTNSTATUS.offset)
    assert _levels(rig) == [0], "reading ATTNSTATUS does not take the line down"
    rig.channel(1).rearm()
    _work(rig, 1)
    assert _levels(rig) == [1]
    found = COPY_BAR0.GENERAL.decode(rig.engine.read32(COPY_BAR0.GENERAL.offset))
    assert (found["INT"], found["INT_STATUS"], found["MASTER_INT_EN"]) == (1, 1, 1), f"INTRCTRL is {found}"
    assert _levels(rig) == [0], "reading INTRCTRL does not take the line down"
    rig.engine.write8(_INTRCTRL, _ENABLE)
    assert _levels(rig) == [1], "with MASTER_INT_EN set again the line stays down"
    rig.channel(1).command("RESET")
    assert _levels(rig) == [0], "RESET of the channel leaves its attention"


@engine_case(
    manual("DMA-9", "netdma"), "RESET drops an interrupt that waits, and arms the channel; ABORT keeps it"
)
def waiting_interrupts_and_resets(rig: EngineRig) -> None:
    """An interrupt waits for arming; then RESET or ABORT, then arming."""
    kept = Chanctrl.ERR_COMPLETION_EN | Chanctrl.ANY_ERR_ABORT_EN | Chanctrl.ERR_INT_EN
    for command, wanted in (("ABORT", [0]), ("RESET", [])):
        for _ in range(2):
            _work(rig, 0)
        rig.vectors()
        rig.channel(0).command(command)
        control = rig.channel(0).read(COPY_BAR0.CHANCTRL)
        assert control & kept == CHANCTRL_RUN & kept, f"{command} changes CHANCTRL to {control:#x}"
        if command == "RESET":
            assert not control & Chanctrl.INT_DISABLE, "RESET leaves INT_DISABLE"
        rig.channel(0).rearm()
        rig.engine.run()
        assert rig.vectors() == wanted, f"after {command} the interrupt that waited: {wanted} expected"
        rig.channel(0).command("RESET")


@engine_case(
    manual("DMA-32", "netdma"), "a masked message of a channel waits in its pending bit and is sent once"
)
def masked_messages(rig: EngineRig) -> None:
    """Mask the vector of channel 1, let it interrupt twice, unmask it."""
    table = rig.engine.window(0)
    entry = 0x2000 + 16
    table.write32(entry + 12, 1)
    for _ in range(2):
        _work(rig, 1)
        rig.channel(1).rearm()
        rig.engine.run()
    assert rig.vectors() == [], "a masked vector interrupts"
    assert table.read32(0x3000) == 1 << 1, "its pending bit is clear"
    seen: list[Event] = []
    with rig.engine.observe(seen.append, (EventType.INTERRUPT,)):
        table.write32(entry + 12, 0)
    assert len(seen) == 1, f"unmasked, it is sent {len(seen)} times"
    assert table.read32(0x3000) == 0
