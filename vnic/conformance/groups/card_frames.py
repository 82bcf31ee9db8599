"""The card's filters and its bus: which frames it takes, and what it does not do without leave."""

from __future__ import annotations

from vnic.abi import EventType, InterruptKind
from vnic.conformance.card_drive import WAYS, arrive
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import MAC, plain_frame
from vnic.testbench.rig import MESSAGE_DATA, Rig

#: Both ends of the table, and both sides of the borders between its entries.
_IDS = (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 2047, 2048, 4000, 4063, 4064, 4094)


def tagged(vlan: int, number: int) -> bytes:
    """A frame to the card with a tag."""
    frame = plain_frame(100, number, MAC)
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2) + frame[12:]


@card_case(manual("RX-5", "receive"), "bit b of entry i of MAC_VLAN is VLAN id 32 i + b")
def vlan_table(rig: Rig) -> None:
    """Let one id after the other in; of frames with each of 17 ids only its own comes, and untagged ones."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=1)
    for own in _IDS:
        rig.put(BAR0.MAC_VLAN, 1 << own % 32, own // 32)
        for number, vlan in enumerate(_IDS):
            came = [each.data for each in rig.receive(tagged(vlan, number))]
            assert len(came) == (vlan == own), f"with id {own} in the table, id {vlan} came {len(came)} times"
        assert rig.receive(plain_frame(80, 1, MAC)), "an untagged frame was dropped"
        assert rig.receive(tagged(0x6000, 2)), "a frame with a priority only was dropped"
        rig.put(BAR0.MAC_VLAN, 0, own // 32)


@card_case(manual("RX-6", "receive"), "a stripped tag is reported whole: priority, format and id")
def stripped_tags(rig: Rig) -> None:
    """Receive tags with every priority and with ids over the whole range."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
    for number, vlan in enumerate(_IDS):
        tag = (number % 8) << 13 | (number & 1) << 12 | vlan
        (got,) = rig.receive(tagged(tag, number))
        assert got.data == plain_frame(100, number, MAC), "the tag was not removed"
        told = got.first
        assert (told.vlan, told.vlan_tci) == (1, tag), f"tag 0x{tag:04x} is reported as 0x{told.vlan_tci:04x}"


@card_case(manual("PCI-13", "pci"), "no DMA is issued while Bus Master Enable is clear")
def no_dma_without_leave(rig: Rig) -> None:
    """Clear Bus Master Enable; frames come and a doorbell rings: no byte of memory changes."""
    moved: list[Event] = []
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
    messages(rig)
    before = bytes(rig[0].cq_memory.view), bytes(rig[0].buffers.view)
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        for frame in frames(4):
            rig.inject(frame)
        rig.put(BAR0.QP_TX_TAIL, 4)
        rig.device.run()
        rig.device.advance(rig.device.now_ns + 1_000_000)
        rig.device.run()
    assert not moved, f"{moved[0].type.name} without Bus Master Enable"
    after = bytes(rig[0].cq_memory.view), bytes(rig[0].buffers.view)
    assert after == before, "memory was written without Bus Master Enable"
    assert not rig.device.frames(), "a frame was sent without Bus Master Enable"
    assert not messages(rig), "a message was sent without Bus Master Enable"


@card_case(
    manual("PCI-31", "pci"),
    "with fewer messages granted than there are vectors, a vector sends its number modulo those",
    level=InterruptKind.MSI,
    pairs=4,
    vectors=8,
)
def fewer_messages_than_vectors(rig: Rig) -> None:
    """Grant 1, 2 and 4 messages and fire each of 8 vectors."""
    for granted in (0, 1, 2):
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=granted)
        for vector in range(8):
            messages(rig)
            rig.put(BAR0.TEST_FIRE, vector)
            sent = [each.data - MESSAGE_DATA for each in rig.device.interrupts()]
            wanted = [vector % (1 << granted)]
            assert sent == wanted, f"{1 << granted} granted: vector {vector} sends {sent}, not {wanted}"


@card_case(
    manual("RX-5", "receive"), "PROMISCUOUS takes every frame, whatever its tag, and no filter counts a drop"
)
def promiscuous_takes_every_tag(rig: Rig) -> None:
    """With an empty VLAN table and no address filter, frames to others with and without tags."""
    for on in (1, 0):
        rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, PROMISCUOUS=on, UNICAST=1, VLAN_FILTER=1))
        sent = [tagged(7, 1), plain_frame(90, 2, bytes.fromhex("020000000077")), tagged(4094, 3)]
        for run in WAYS:
            got = [each.data for each in arrive(rig, sent, run)]
            assert got == (sent if on else []), f"PROMISCUOUS {on}: {len(got)} of {len(sent)} frames came"
    assert rig.counters("RX_DROP_") == {"VLAN": 4, "ADDRESS": 2}, f"{rig.counters('RX_DROP_')}"


@card_case(
    manual("RX-4", "receive"),
    "address and tag are judged when a frame reaches the front, its length and ENABLE at the door",
)
def when_frames_are_judged(rig: Rig) -> None:
    """Frames arrive at a card that stands still; filters, lengths and ENABLE change; it goes on."""
    for fields, comes in (({"UNICAST": 0}, False), ({"ENABLE": 0}, True), ({"UNICAST": 1}, True)):
        rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, UNICAST=1))
        rig.put(BAR0.MAC_RX_MAX, 1000)
        rig.device.is_manual = True
        rig.inject(plain_frame(900, 1))
        rig.change(BAR0.MAC_RX_CTRL, **fields)
        rig.put(BAR0.MAC_RX_MAX, 100)
        rig.device.run()
        rig.device.is_manual = False
        assert bool(rig[0].take()) == comes, f"a frame that was there before {fields}"
    rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, UNICAST=1))
    assert not rig.receive(plain_frame(900, 1)), "MAC_RX_MAX does not count for the next one"


@card_case(
    manual("RX-2", "receive"),
    "without a link nothing arrives: a frame is dropped as RX_DROP_LINK, before all else",
)
def frames_without_a_link(rig: Rig) -> None:
    """Frames with the link down, the receiver on and off, too short and good; then with the link up."""
    rig.device.set_link(0)
    for enable in (1, 0):
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=enable)
        rig.inject(plain_frame(5))
        rig.inject(plain_frame(100))
    assert rig.counters("RX_DROP_") == {"LINK": 4}, f"{rig.counters('RX_DROP_')}"
    rig.device.set_link(10_000)
    rig.change(BAR0.MAC_RX_CTRL, ENABLE=1)
    assert rig.receive(plain_frame(100))
