"""The card's interrupts, by registers and rings: masks, moderation, the line, the order of writes."""

from __future__ import annotations

from vnic.abi import DmaPurpose, EventType, InterruptKind
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import plain_frame
from vnic.testbench.rig import Rig


@card_case(
    manual("INT-5", "interrupts"),
    "a masked MSI-X message stays pending, and is sent once when it is unmasked",
)
def masked_messages_wait(rig: Rig) -> None:
    """Mask the vector of a ring, receive three frames, unmask it; the same with the function mask."""
    messages(rig)
    control = MSIX_TABLE.ENTRY_CTRL.at(0)
    rig.device.write(2, control, 1)
    for frame in frames(3):
        rig.inject(frame)
    assert messages(rig) == [], "a masked vector interrupts"
    rig.device.write(2, control, 0)
    assert messages(rig) == [0], "what was pending is not sent once"
    fields = CONFIG.MSIX_CTRL
    rig.configure(fields, ENABLE=1, FUNCTION_MASK=1)
    rig.inject(plain_frame(100, 9))
    assert messages(rig) == [], "a masked function interrupts"
    rig.configure(fields, ENABLE=1)
    assert messages(rig) == [0]


@card_case(
    manual("INT-6", "interrupts"),
    "a vector with AUTO_MASK clears its ENABLE as it is raised, and waits for it",
    auto_mask=True,
)
def raised_vectors_wait_for_their_enable(rig: Rig) -> None:
    """Receive five frames; one message; set ENABLE: one more for what came since, none for nothing."""
    messages(rig)
    for frame in frames(5):
        rig.inject(frame)
    assert messages(rig) == [0], "AUTO_MASK does not mask"
    assert rig.field(BAR0.VEC_CTRL, "ENABLE") == 0, "ENABLE is still set"
    rig[0].take()
    rig.change(BAR0.VEC_CTRL, ENABLE=1)
    assert messages(rig) == [0], "a cause that waited is lost"
    rig.change(BAR0.VEC_CTRL, ENABLE=1)
    assert messages(rig) == [], "a message without a cause"


@card_case(
    manual("INT-6", "interrupts"),
    "a vector is not raised again before VEC_INTERVAL, and is when it is over",
    interval_ns=10_000,
)
def moderation_delays_and_never_loses(rig: Rig) -> None:
    """Frames every microsecond under an interval of ten: a message every ten, the last within ten."""
    rig.device.advance(1_000_000)
    messages(rig)
    count = 0
    for number, frame in enumerate(frames(50)):
        rig.device.advance(1_000_000 + 1_000 * (number + 1))
        rig.inject(frame)
        count += len(messages(rig))
    assert 4 <= count <= 6, f"{count} messages in 50 microseconds"
    waiting = rig.device.next_deadline_ns()
    assert waiting is not None and waiting <= 1_060_000, "nothing is due for what waits"
    rig.device.advance(waiting)
    assert messages(rig) == [0], "the last frame never interrupts"


@card_case(
    manual("INT-9", "interrupts"), "nothing is raised while the master enable is clear; causes stay pending"
)
def the_master_enable_holds_everything(rig: Rig) -> None:
    """Clear it, receive, set it."""
    messages(rig)
    rig.put(BAR0.INT_CTRL, 0)
    rig.inject(plain_frame(100))
    assert messages(rig) == []
    rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
    assert messages(rig) == [0]


@card_case(
    manual("INT-4", "interrupts"),
    "the line is up while INT_CAUSE is not 0; reading it clears it",
    level=InterruptKind.INTX,
    pairs=2,
)
def the_line_follows_its_causes(rig: Rig) -> None:
    """Receive, look at the line, read the cause, look again; Interrupt Disable lowers it."""
    messages(rig)
    rig.inject(plain_frame(100))
    assert messages(rig)[-1:] == [1], "the line is not up"
    assert rig.get(BAR0.INT_CAUSE_PEEK) == 1
    assert rig.get(BAR0.INT_CAUSE) == 1, "the cause is another vector's"
    assert messages(rig) == [0], "the line stays up"
    assert rig.get(BAR0.INT_CAUSE) == 0
    rig.device.write(0, BAR0.TEST_FIRE.offset, 2)
    assert rig.get(BAR0.INT_CAUSE_PEEK) == 1 << 2
    messages(rig)
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, INTX_DISABLE=1)
    assert messages(rig) == [0], "Interrupt Disable does not lower the line"


@card_case(
    manual("INT-5", "interrupts"),
    "with MSI a vector sends the message of its number",
    level=InterruptKind.MSI,
    pairs=2,
)
def messages_of_msi(rig: Rig) -> None:
    """Fire vectors 0 to 2."""
    messages(rig)
    for vector in (2, 0, 1):
        rig.put(BAR0.TEST_FIRE, vector)
        assert messages(rig) == [vector], f"vector {vector} sends another message"


@card_case(
    manual("INT-12", "interrupts"),
    "frame, completion, interrupt: each is written before the next",
    manual=False,
)
def the_order_of_what_is_written(rig: Rig) -> None:
    """Watch what the card does for three frames in and three frames out."""
    order: list[str] = []
    names = {DmaPurpose.DATA: "data", DmaPurpose.COMPLETION: "completion"}

    def see(event: Event) -> None:
        order.append(
            "interrupt" if event.type is EventType.INTERRUPT else names.get(DmaPurpose(event.index), "")
        )

    with rig.device.observe(see, (EventType.DMA_WRITE, EventType.INTERRUPT)):
        for frame in frames(3):
            order.clear()
            rig.inject(frame)
            assert order == ["data", "completion", "interrupt"], f"a frame came as {', '.join(order)}"
        for frame in frames(3):
            order.clear()
            rig[0].send(frame)
            assert order == ["completion", "interrupt"], f"a frame left as {', '.join(order)}"


@card_case(
    manual("INT-7", "interrupts"),
    "a bit of GLB_EVENT is set when its event happens, interrupts when it is enabled, and stays",
)
def events(rig: Rig) -> None:
    """The link goes down and up; a ring stops with an error; a DMA fails."""
    messages(rig)
    rig.device.set_link(0)
    assert messages(rig) == [1], "the event vector is silent"
    assert rig.field(BAR0.GLB_EVENT, "LINK") == 1
    assert rig.field(BAR0.GLB_STATUS, "LINK_UP") == 0
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    assert rig.get(BAR0.GLB_EVENT) == 0, "1 does not clear it"
    rig.device.set_link(25_000)
    assert rig.get(BAR0.GLB_SPEED) == 25_000
    assert messages(rig) == [1]
    rig.put(BAR0.QP_TX_TAIL, 0xFFFF)
    assert rig.field(BAR0.GLB_EVENT, "RING") == 1, "a ring that stopped is no event"
    assert rig.field(BAR0.QP_TX_STATUS, "ERROR") != 0
    assert messages(rig) == [1]


def _waiting(rig: Rig, level: InterruptKind) -> int:
    """Pending bits of the level in force."""
    if level == InterruptKind.MSIX:
        return rig.device.read(2, MSIX_TABLE.PBA.offset, 8)
    return rig.device.config_read(CONFIG.MSI_PENDING.offset)


@card_case(
    manual("PCI-34", "pci"),
    "256 interrupts wait at most: one like another is that one, any other is pending until there is room",
    pairs=2,
    vectors=4,
)
def interrupts_that_nobody_takes(rig: Rig) -> None:
    """With MSI-X and with MSI: 256 messages of one vector, then of all, twice; take them; and once more."""
    for level in (InterruptKind.MSIX, InterruptKind.MSI):
        rig.set_level(level)
        for _ in range(2):
            messages(rig)
            for _ in range(256):
                rig.put(BAR0.TEST_FIRE, 1)
            for vector in (3, 0, 1, 3, 0):
                rig.put(BAR0.TEST_FIRE, vector)
            assert _waiting(rig, level) == 0b1001, f"{level.name}: pending bits {_waiting(rig, level):#b}"
            found = messages(rig)
            assert found == [1] * 256 + [0, 3], f"{level.name}: {len(found)} messages, the last {found[-3:]}"
            assert _waiting(rig, level) == 0, f"{level.name}: something is pending though there was room"


@card_case(
    manual("PCI-34", "pci"),
    "the line keeps its level while 256 changes of it wait, and then has the one that is true",
    level=InterruptKind.INTX,
    pairs=2,
)
def changes_of_the_line_that_nobody_takes(rig: Rig) -> None:
    """The line goes up and down 128 times; then up, or up and down; take what waits."""
    messages(rig)
    for is_up in (1, 0):
        for _ in range(128):
            rig.put(BAR0.TEST_FIRE, 0)
            rig.get(BAR0.INT_CAUSE)
        rig.put(BAR0.TEST_FIRE, 0)
        if not is_up:
            rig.get(BAR0.INT_CAUSE)
        found = messages(rig)
        assert found == [1, 0] * 128 + [1] * is_up, f"{len(found)} changes, the last {found[-3:]}"
        rig.get(BAR0.INT_CAUSE)
        assert messages(rig) == [0] * is_up, "the line is not where its causes are"
