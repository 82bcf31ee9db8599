"""The card as a PCI function: configuration space, BARs, registers under every access, power, resets."""

from __future__ import annotations

from vnic.abi import InterruptKind, ResetLevel
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.pci import CapabilityId, ExtendedId, size_bars, walk_capabilities
from vnic.testbench.rig import MESSAGE_ADDRESS, MESSAGE_DATA, Rig

_ONES = 0xFFFF_FFFF
_PBA = 0x1000


def _get(rig: Rig, register: Register, name: str) -> int:
    return register.field(name).get(rig.device.config_read(register.offset))


@card_case(
    manual("PCI-5", "pci"), "writing all ones to a BAR and reading back gives its size; its type bits stay"
)
def sizes_of_bars(rig: Rig) -> None:
    """Size every BAR; then DMA, registers and MSI-X are where the BARs say."""
    bars = {bar.number: (bar.size, bar.is_64) for bar in size_bars(rig.device)}
    assert bars == {0: (0x1_0000, True), 2: (0x2000, True)}, f"the BARs are {bars}"
    for slot, size in ((0, 0x1_0000), (2, 0x2000)):
        for value in (_ONES, 0, 0x1234_5678):
            rig.device.config_write(CONFIG.BAR.at(slot), value)
            found = rig.device.config_read(CONFIG.BAR.at(slot))
            assert found == value & ~(size - 1) & _ONES | 4, f"BAR {slot}: {value:#x} reads {found:#x}"
            rig.device.config_write(CONFIG.BAR.at(slot + 1), value)
            assert rig.device.config_read(CONFIG.BAR.at(slot + 1)) == value
    for slot in (4, 5):
        rig.device.config_write(CONFIG.BAR.at(slot), _ONES)
        assert rig.device.config_read(CONFIG.BAR.at(slot)) == 0, f"slot {slot} of no BAR keeps a value"
    rig.power_up()
    through(rig)


@card_case(
    manual("PCI-3", "pci"),
    "the capabilities are linked: PM, MSI, PCI Express, MSI-X; AER at 100h",
)
def capabilities(rig: Rig) -> None:
    """Walk both lists; identity before and after everything was overwritten with ones."""
    found = [(each.id, each.extended) for each in walk_capabilities(rig.device)]
    kinds = (CapabilityId.PM, CapabilityId.MSI, CapabilityId.PCIE, CapabilityId.MSIX)
    wanted = [(int(each), False) for each in kinds]
    assert found == [*wanted, (int(ExtendedId.AER), True)], f"capabilities {found}"
    fixed = [CONFIG.ID, CONFIG.CLASS, CONFIG.SUBSYSTEM, CONFIG.CAP_PTR, CONFIG.PM_CAP, CONFIG.DEVCAP,
             CONFIG.LNKCAP, CONFIG.MSIX_TABLE, CONFIG.MSIX_PBA, CONFIG.AER_CAP]  # fmt: skip
    before = [rig.device.config_read(register.offset) for register in fixed]
    for register in fixed:
        rig.device.config_write(register.offset, _ONES)
        rig.device.config_write(register.offset, 0)
    assert [rig.device.config_read(register.offset) for register in fixed] == before, "identity was written"
    assert _get(rig, CONFIG.MSIX_CTRL, "TABLE_SIZE") == rig.vectors - 1
    through(rig)


@card_case(
    manual("PCI-1", "pci"),
    "a configuration access is of 1, 2 or 4 bytes in one dword; bytes that it does not name stay",
)
def configuration_accesses(rig: Rig) -> None:
    """Every width at every offset of a dword; accesses over its end, of 8 bytes, and behind 4095."""
    at = CONFIG.MSI_ADDR_HI.offset
    for width in (1, 2, 4):
        for shift in range(0, 5 - width):
            rig.device.config_write(at, 0x1122_3344)
            rig.device.config_write(at + shift, 0xAABB_CCDD, width)
            mask = ((1 << 8 * width) - 1) << 8 * shift
            wanted = 0x1122_3344 & ~mask | 0xAABB_CCDD << 8 * shift & mask
            assert rig.device.config_read(at) == wanted, f"{width} bytes at {shift}"
            part = rig.device.config_read(at + shift, width)
            assert part == wanted >> 8 * shift & ((1 << 8 * width) - 1)
    for offset, width in ((at + 3, 2), (at + 1, 4), (4096, 4), (4094, 4)):
        before = rig.device.config_read(at)
        rig.device.config_write(offset, 0x5A5A_5A5A, width)
        assert rig.device.config_read(at) == before, f"{width} bytes at {offset:#x} were written"
        found = rig.device.config_read(offset, width)
        assert found == (1 << 8 * width) - 1, f"{width} bytes at {offset:#x} read {found:#x}"
    for offset in (0x200, 0xFFC, CONFIG.CHANERR_INT.offset):
        rig.device.config_write(offset, _ONES)
        assert rig.device.config_read(offset) == 0, f"{offset:#x}, which is no register, keeps a value"


@card_case(
    manual("PCI-7", "pci"),
    "an access of any width at any offset is byte enables: other bytes of a register stay as they were",
)
def widths_of_register_accesses(rig: Rig) -> None:
    """Write and read two neighbouring words with 1, 2, 4 and 8 bytes at each offset."""
    at = BAR0.TEST_DMA_DST.offset
    old = 0x1122_3344_5566_7788
    for width in (1, 2, 4, 8):
        for shift in range(0, 9 - width):
            rig.device.write(0, at, old, 8)
            rig.device.write(0, at + shift, 0xA1B2_C3D4_E5F6_0718 & ((1 << 8 * width) - 1), width)
            mask = ((1 << 8 * width) - 1) << 8 * shift
            wanted = old & ~mask | 0xA1B2_C3D4_E5F6_0718 << 8 * shift & mask
            found = rig.device.read(0, at, 8)
            assert found == wanted, f"{width} bytes at {shift}: {found:#x}, not {wanted:#x}"
            part = rig.device.read(0, at + shift, width)
            assert part == wanted >> 8 * shift & ((1 << 8 * width) - 1), f"{width} bytes read at {shift}"


@card_case(
    manual("PCI-8", "pci"),
    "rw stores, ro ignores, w1c clears the bits written as 1 and no others, bits of no field read 0",
)
def kinds_of_register_access(rig: Rig) -> None:
    """Each plain register with ones, zeros and patterns; each event cleared alone, and by a byte."""
    for register in BAR0.MAP:
        kinds = {field.access for field in register.fields}
        if kinds != {"rw"} or register.name.startswith(("CH", "QP_", "VEC_CTRL", "TEST_FIRE", "TEST_ECHO")):
            continue
        mask = register.mask("rw")
        for value in ((1 << 8 * register.bytes) - 1, 0, 0x5AA5_C33C_0FF0_1248):
            rig.put(register, value & ((1 << 8 * register.bytes) - 1))
            found = rig.get(register)
            assert found == value & mask, f"{register.name}: {value:#x} reads {found:#x}"
        rig.put(register, register.reset)
    for register in (BAR0.GLB_TYPE, BAR0.GLB_CAPS, BAR0.GLB_MAX_FRAME, BAR0.MAC_PERM_ADDR, BAR0.QP_RX_HEAD):
        before = rig.get(register)
        rig.put(register, before ^ 0xFFFF)
        assert rig.get(register) == before, f"{register.name} was written"


@card_case(manual("PCI-8", "pci"), "a bit of GLB_EVENT is cleared by 1 to it, and by nothing else")
def events_are_cleared_one_by_one(rig: Rig) -> None:
    """LINK, RING and TEST stand; clear one after the other, in every order, by words and bytes."""
    names = ("LINK", "RING", "TEST")
    for first in names:
        for second in names:
            rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
            rig.device.set_link(0)
            rig.device.set_link(10_000)
            rig[0].put(BAR0.QP_TX_TAIL, 0xFFFF)
            rig.put(BAR0.TEST_DMA_LEN, 0)
            rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))
            left = set(names)
            rig.put(BAR0.GLB_EVENT, 0)
            for each, width in ((first, 4), (second, 1)):
                rig.device.write(0, BAR0.GLB_EVENT.offset, BAR0.GLB_EVENT.encode(**{each: 1}), width)
                left.discard(each)
                found = {name for name in names if rig.field(BAR0.GLB_EVENT, name)}
                assert found == left, f"with {each} cleared {found or 'none'} stand, not {left or 'none'}"
            rig[0].put(BAR0.QP_TX_CTRL, BAR0.QP_TX_CTRL.encode(RESET=1))
            rig[0].start_tx()


@card_case(
    manual("PCI-9", "pci"),
    "a word that is no register reads 0, keeps nothing, and is counted",
)
def accesses_to_no_register(rig: Rig) -> None:
    """Offsets between blocks, behind the last pair and at the end of the BAR, with each width."""
    for offset in (0x60, 0x5C0, 0x1F80, 0xFFF8):
        for width, words in ((1, 1), (2, 1), (4, 1), (8, 2)):
            before = rig.stat("GUEST_ERRORS")
            rig.device.write(0, offset, _ONES, width)
            assert rig.device.read(0, offset, width) == 0, f"{offset:#x} reads something"
            counted = rig.stat("GUEST_ERRORS") - before
            assert counted == 2 * words, f"{width} bytes at {offset:#x} count {counted}, not {2 * words}"


@card_case(
    manual("DEV-1", "overview"),
    "the blocks are linked from 0 on, ascending and apart, and hold their registers",
)
def the_list_of_blocks(rig: Rig) -> None:
    """Walk the list; every register of the manual lies in the block of its kind."""
    offset, blocks = 0, []
    while True:
        kind, version, following, size = (rig.device.read(0, offset + 4 * n) for n in range(4))
        blocks.append((offset, size, kind))
        assert version >= 1
        if following == 0:
            break
        assert following >= offset + size, f"the block at {offset:#x} reaches into the next"
        offset = following
    kinds = [kind for _, _, kind in blocks]
    assert len(set(kinds)) == len(kinds), f"the kinds of the blocks are {kinds}"
    for register in BAR0.MAP:
        if register.name.startswith("CH") and not rig.field(BAR0.GLB_FEATURES, "CHIMNEY"):
            continue
        inside = [1 for start, size, _ in blocks if start <= register.offset < start + size]
        assert inside, f"{register.name} is in no block"
    caps = BAR0.GLB_CAPS.decode(rig.get(BAR0.GLB_CAPS))
    assert (caps["QUEUE_PAIRS"], caps["VECTORS"]) == (len(rig.pairs), rig.vectors)


@card_case(manual("PCI-18", "pci"), "PowerState takes D0 and D3hot; 1 and 2 are ignored")
def power_states(rig: Rig) -> None:
    """Write each PowerState out of D0 and out of D3hot."""
    for state in (1, 2):
        rig.configure(CONFIG.PM_CTRL, STATE=state)
        assert _get(rig, CONFIG.PM_CTRL, "STATE") == 0, f"PowerState {state} is taken"
        through(rig)
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    for state in (1, 2):
        rig.configure(CONFIG.PM_CTRL, STATE=state)
        assert _get(rig, CONFIG.PM_CTRL, "STATE") == 3, f"PowerState {state} ends D3hot"
    assert rig.device.read(0, 0) == _ONES, "BAR0 answers in D3hot"


@card_case(
    manual("PCI-20", "pci"),
    "the way from D3hot to D0 resets the function, configuration space included",
)
def the_way_back_to_d0(rig: Rig) -> None:
    """To D3hot and back: COMMAND, BARs, MSI-X and registers are as after a reset, at once."""
    rig.put(BAR0.TEST_ECHO, 5)
    assert _get(rig, CONFIG.PM_CTRL, "NO_SOFT_RESET") == 0
    rig.configure(CONFIG.PM_CTRL, STATE=3)
    rig.configure(CONFIG.PM_CTRL, STATE=0)
    assert rig.device.config_read(CONFIG.COMMAND.offset, 2) & 6 == 0, "COMMAND was not reset"
    assert rig.device.config_read(CONFIG.BAR.at(0)) == 4, "BAR 0 was not reset"
    assert _get(rig, CONFIG.MSIX_CTRL, "ENABLE") == 0, "MSI-X Enable was not reset"
    rig.power_up()
    assert rig.get(BAR0.TEST_ECHO) == 0, "registers were not reset"
    _assert_table_is_reset(rig, "D3hot")


def _assert_table_is_reset(rig: Rig, what: str) -> None:
    for vector in range(rig.vectors):
        words = [
            rig.device.read(2, register.at(vector))
            for register in (MSIX_TABLE.ENTRY_ADDR_LO, MSIX_TABLE.ENTRY_ADDR_HI, MSIX_TABLE.ENTRY_DATA,
                             MSIX_TABLE.ENTRY_CTRL)
        ]  # fmt: skip
        assert words == [0, 0, 0, 1], f"after {what} table entry {vector} is {words}"


@card_case(
    manual("PCI-21", "pci"),
    "a Function Level Reset leaves what PCIe exempts, a hot reset does not; AER outlasts both",
)
def what_outlasts_a_reset(rig: Rig) -> None:
    """Max_Payload_Size, ASPM, Common Clock, AER masks and ordinary fields through each level."""
    for level in ("FLR", "hot", "power"):
        rig.device.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(MPS=1, MRRS=3, NO_SNOOP=1), 2)
        rig.device.config_write(CONFIG.LNKCTL.offset, CONFIG.LNKCTL.encode(ASPM=3, COMMON_CLOCK=1), 2)
        rig.device.config_write(CONFIG.AER_UNCOR_MASK.offset, CONFIG.AER_UNCOR_MASK.encode(POISONED=1))
        rig.device.config_write(CONFIG.INTERRUPT.offset, 0x5A, 1)
        if level == "FLR":
            reset = CONFIG.DEVCTL.encode(MPS=1, MRRS=3, NO_SNOOP=1, FLR=1)
            rig.device.config_write(CONFIG.DEVCTL.offset, reset, 2)
        else:
            rig.device.reset(ResetLevel.HOT if level == "hot" else ResetLevel.POWER)
        is_flr = int(level == "FLR")
        found = {
            "MPS": _get(rig, CONFIG.DEVCTL, "MPS"),
            "ASPM": _get(rig, CONFIG.LNKCTL, "ASPM"),
            "COMMON_CLOCK": _get(rig, CONFIG.LNKCTL, "COMMON_CLOCK"),
            "AER": _get(rig, CONFIG.AER_UNCOR_MASK, "POISONED"),
            "MRRS": _get(rig, CONFIG.DEVCTL, "MRRS"),
            "LINE": _get(rig, CONFIG.INTERRUPT, "LINE"),
            "COMMAND": rig.device.config_read(CONFIG.COMMAND.offset, 2) & 6,
        }
        wanted = {
            "MPS": is_flr,
            "ASPM": 3 * is_flr,
            "COMMON_CLOCK": is_flr,
            "AER": int(level != "power"),
            "MRRS": CONFIG.DEVCTL.decode(CONFIG.DEVCTL.reset)["MRRS"],
            "LINE": CONFIG.INTERRUPT.decode(CONFIG.INTERRUPT.reset)["LINE"],
            "COMMAND": 0,
        }
        assert found == wanted, f"after {level}: {found}, wanted {wanted}"
        rig.power_up()
        _assert_table_is_reset(rig, level)


@card_case(
    manual("PCI-29", "pci"),
    "a message has the address and data of its entry, all 64 bits; masked, its pending bit is set",
    pairs=2,
    vectors=64,
)
def entries_of_the_msix_table(rig: Rig) -> None:
    """Every one of 64 vectors with addresses and data of its own; then masked: both words of the PBA."""
    table = {}
    for vector in range(64):
        address, data = 0xFEE0_0001_0000_0000 + (vector << 8), 0xC0DE_0000 + vector
        for register, value in (
            (MSIX_TABLE.ENTRY_ADDR_LO, address & _ONES),
            (MSIX_TABLE.ENTRY_ADDR_HI, address >> 32),
            (MSIX_TABLE.ENTRY_DATA, data),
        ):
            rig.device.write(2, register.at(vector), value)
        table[vector] = (address, data)
    for vector in (0, 1, 31, 32, 33, 63):
        rig.put(BAR0.TEST_FIRE, vector)
        sent = [(each.addr, each.data) for each in rig.device.interrupts()]
        assert sent == [table[vector]], f"vector {vector} sends {sent}, its entry is {table[vector]}"
    for vector in (0, 5, 31, 32, 63):
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(vector), 1)
        for _ in range(2):
            rig.put(BAR0.TEST_FIRE, vector)
        assert not rig.device.interrupts(), f"vector {vector} is masked, and sends"
        low, high = (rig.device.read(2, _PBA + 4 * n) for n in range(2))
        assert (low | high << 32) == 1 << vector, (
            f"with vector {vector} pending the PBA reads {high:#x} {low:#x}"
        )
        assert rig.device.read(2, _PBA, 8) == 1 << vector
        rig.device.write(2, _PBA, 0, 8)
        assert rig.device.read(2, _PBA, 8) == 1 << vector, "software writes the PBA"
        rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(vector), 0)
        sent = [(each.addr, each.data) for each in rig.device.interrupts()]
        assert sent == [table[vector]], f"vector {vector} sends {sent} when it is unmasked"
        assert rig.device.read(2, _PBA, 8) == 0


@card_case(
    manual("PCI-31", "pci"),
    "masked messages of MSI are pending, each its own bit, and are sent once each when they are unmasked",
    level=InterruptKind.MSI,
    pairs=2,
    vectors=8,
)
def masks_of_msi(rig: Rig) -> None:
    """Mask three of eight messages, fire all twice, unmask; the address in both halves."""
    rig.device.config_write(CONFIG.MSI_ADDR_HI.offset, 0x12)
    rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=3)
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0b1001_0100)
    for vector in (*range(8), *range(8)):
        rig.put(BAR0.TEST_FIRE, vector)
    taken = rig.device.interrupts()
    assert {each.data - MESSAGE_DATA for each in taken} == {0, 1, 3, 5, 6}, (
        "other messages than those unmasked"
    )
    assert {each.addr for each in taken} == {0x12 << 32 | MESSAGE_ADDRESS}, "another address"
    pending = rig.device.config_read(CONFIG.MSI_PENDING.offset)
    assert pending == 0b1001_0100, f"pending bits {pending:#b}"
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0b1000_0000)
    assert sorted(messages(rig)) == [2, 4], "what was pending is not sent once"
    rig.device.config_write(CONFIG.MSI_MASK.offset, 0)
    assert messages(rig) == [7]
    assert rig.device.config_read(CONFIG.MSI_PENDING.offset) == 0


@card_case(
    manual("PCI-28", "pci"),
    "Interrupt Status is 1 while a cause asserts the line, with Interrupt Disable too, and 0 with messages",
    level=InterruptKind.INTX,
)
def the_interrupt_status(rig: Rig) -> None:
    """A cause on the line, Interrupt Disable, the cause read; then MSI."""
    messages(rig)
    assert _get(rig, CONFIG.COMMAND, "INTX_STATUS") == 0
    for disable in (0, 1):
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, INTX_DISABLE=disable)
        rig.put(BAR0.TEST_FIRE, 0)
        assert _get(rig, CONFIG.COMMAND, "INTX_STATUS") == 1, (
            f"Interrupt Status is 0, Interrupt Disable {disable}"
        )
        rig.get(BAR0.INT_CAUSE)
        assert _get(rig, CONFIG.COMMAND, "INTX_STATUS") == 0, "Interrupt Status stays"
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    rig.put(BAR0.TEST_FIRE, 0)
    messages(rig)
    rig.configure(CONFIG.MSI_CTRL, ENABLE=1)
    assert messages(rig) == [0], "MSI does not take the line down"
    assert _get(rig, CONFIG.COMMAND, "INTX_STATUS") == 0, "Interrupt Status with MSI"


@card_case(
    manual("PCI-33", "pci"),
    "pending messages belong to their mode: another does not send them, its own does",
)
def pending_messages_of_another_mode(rig: Rig) -> None:
    """A masked MSI-X message, then MSI, then MSI-X again; without Bus Master Enable it waits, too."""
    messages(rig)
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(0), 1)
    rig.put(BAR0.TEST_FIRE, 0)
    rig.configure(CONFIG.MSIX_CTRL, ENABLE=0)
    rig.configure(CONFIG.MSI_CTRL, ENABLE=1)
    assert rig.device.interrupts() == [], "MSI sends what MSI-X held"
    rig.configure(CONFIG.MSI_CTRL, ENABLE=0)
    rig.configure(CONFIG.MSIX_CTRL, ENABLE=1)
    assert messages(rig) == []
    rig.device.write(2, MSIX_TABLE.ENTRY_CTRL.at(0), 0)
    assert messages(rig) == [0], "a pending message was lost on the way"
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
    for _ in range(2):
        rig.put(BAR0.TEST_FIRE, 1)
    assert messages(rig) == [], "a message without Bus Master Enable"
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    assert messages(rig) == [1], "what waited for Bus Master Enable is not sent once"
