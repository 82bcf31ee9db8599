"""The card as a PCI function, clause by clause: identity, every writable bit, decoding, errors,
capacities."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaStatus, InterruptKind
from vnic.conformance.card_drive import LEVELS, filled, reset, transmit_unread
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.testbench.frames import PEER, large_send, plain_frame
from vnic.testbench.rig import Rig

_ONES = 0xFFFF_FFFF
_PATTERNS = (_ONES, 0, 0x5A5A_5A5A, 0xA5A5_A5A5)


def _identity(rig: Rig) -> dict[str, int]:
    """Everything of configuration space that nobody can write."""
    found = {}
    for register in CONFIG.MAP:
        if register.name.startswith(("BAR", "AER_CTRL", "AER_HEADER", "CHANERR")):
            continue
        for field in register.fields:
            if field.access == "ro" and field.name != "INTX_STATUS":
                word = rig.device.config_read(register.offset)
                found[f"{register.name}.{field.name}"] = field.get(word)
    return found


@card_case(
    manual("PCI-2", "pci"),
    "ids, revision, class, header type, pin and table sizes are as made, at every level, whatever is written",
    pairs=2,
    vectors=7,
    vendor_id=0x1234,
    device_id=0x5678,
    subsystem_vendor_id=0x9ABC,
    subsystem_id=0xDEF0,
    revision=0x42,
    msi_capable_log2=3,
    is_multifunction=True,
)
def identity_at_every_level(rig: Rig) -> None:
    """A card with ids of its own; ones and zeros over configuration space; each level of reset."""
    wanted = {
        "ID.VENDOR": 0x1234,
        "ID.DEVICE": 0x5678,
        "SUBSYSTEM.VENDOR": 0x9ABC,
        "SUBSYSTEM.ID": 0xDEF0,
        "CLASS.REVISION": 0x42,
        "CLASS.CLASS": 0x020000,
        "HEADER.HEADER_TYPE": 0x80,
        "INTERRUPT.PIN": 1,
        "MSI_CTRL.CAPABLE": 3,
        "MSIX_CTRL.TABLE_SIZE": 6,
        "MSIX_TABLE.BIR": 2,
        "MSIX_PBA.BIR": 2,
        "MSIX_PBA.OFFSET": 0x1000 >> 3,
    }
    first = _identity(rig)
    assert {name: first[name] for name in wanted} == wanted, (
        "the card has another identity than it was made with"
    )
    for level in LEVELS:
        for pattern in (_ONES, 0):
            for offset in range(0, 0x200, 4):
                if offset not in (CONFIG.PM_CTRL.offset, CONFIG.DEVCTL.offset, CONFIG.COMMAND.offset):
                    rig.device.config_write(offset, pattern)
            assert _identity(rig) == first, f"{pattern:#x} over configuration space changes the identity"
        rig.power_up()
        reset(rig, level)
        found = _identity(rig)
        changed = {name: value for name, value in found.items() if value != first[name]}
        assert not changed, f"{level} reset changes {filled(changed)}"
        rig.power_up()


@card_case(
    manual("PCI-8", "pci"),
    "of configuration space each field keeps what is written if it is rw, and every other bit what it was",
    vectors=4,
)
def every_bit_of_configuration_space(rig: Rig) -> None:
    """Each register with ones, zeros and patterns, by dwords and bytes; others stay; PCI-47: no
    CHANERR_INT."""
    for register in CONFIG.MAP:
        if register.name.startswith(("BAR", "CHANERR")) or register.mask("pulse", "w1c"):
            continue
        for offset in register.offsets():
            rw = register.mask("rw")
            if register is CONFIG.PM_CTRL:
                rw = 0
            before = rig.device.config_read(offset)
            beside = [rig.device.config_read(offset + n) for n in (-4, 4) if offset + n >= 0]
            for value in _PATTERNS:
                for width in (4, 1):
                    for at in range(0, 4, width):
                        part = value >> 8 * at & ((1 << 8 * width) - 1)
                        if register is CONFIG.PM_CTRL:
                            part &= ~3 if at == 0 else part
                        rig.device.config_write(offset + at, part, width)
                    found = rig.device.config_read(offset)
                    wanted = value & rw | before & ~rw
                    assert found == wanted, f"{register.name}: {value:#x} by {width} bytes reads {found:#x}"
            rig.device.config_write(offset, before)
            again = [rig.device.config_read(offset + n) for n in (-4, 4) if offset + n >= 0]
            assert again == beside, f"a write to {register.name} changes the word beside it"
    for offset in (
        0x180,
        0x184,
        *range(0x24, 0x2C, 4),
        0x30,
        0x38,
        0x48,
        0x4C,
        0x68,
        0x6C,
        0x84,
        0x9C,
        0xAC,
        0xBC,
        0x12C,
    ):
        rig.device.config_write(offset, _ONES)
        assert rig.device.config_read(offset) == 0, f"{offset:#x}, which is no register, keeps a value"
    rig.power_up()
    rig.set_level(InterruptKind.MSIX)
    through(rig)


@card_case(
    manual("PCI-8", "pci"),
    "every element of every array of registers has a place of its own, and so has every bit of it",
    pairs=4,
    vectors=8,
)
def every_element_of_an_array(rig: Rig) -> None:
    """Values that tell place from place in all elements; read them all back, by words and by 8 bytes."""
    arrays = [BAR0.MAC_MULTICAST, BAR0.MAC_VLAN, BAR0.RSS_KEY, BAR0.RSS_TABLE, BAR0.VEC_INTERVAL]
    rings = [f"QP_{ring}_{name}" for ring in ("RX", "TX", "CQ") for name in ("BASE", "COUNT")]
    arrays += [BAR0.MAP[name] for name in (*rings, "QP_RX_BUF_LEN", "QP_RX_HDR_LEN", "QP_CQ_VECTOR")]
    for turn in (0, _ONES * (_ONES + 2)):
        wanted = {}
        for register in arrays:
            count = len(rig.pairs) if register.name.startswith("QP_") else register.count
            for index in range(count):
                value = (register.at(index) * 0x9E37_79B9_7F4A_7C15 ^ turn) & ((1 << register.width) - 1)
                rig.put(register, value, index)
                wanted[register, index] = value & register.mask("rw")
        for (register, index), value in wanted.items():
            found = rig.get(register, index)
            assert found == value, f"{register.name}[{index}] is {found:#x}, {value:#x} was written"
            halves = [rig.device.read(0, register.at(index) + 4 * n) for n in range(register.bytes // 4)]
            assert sum(half << 32 * n for n, half in enumerate(halves)) == value
    through(rig)


@card_case(
    manual("PCI-6", "pci"),
    "BARs are decoded only with Memory Space Enable in D0: else a read is all ones and a write is lost",
    vectors=4,
)
def accesses_that_nobody_decodes(rig: Rig) -> None:
    """Each width at both BARs, without Memory Space Enable and in D3hot; a moved BAR is where it was moved
    to."""
    rig.put(BAR0.TEST_DMA_LEN, 0x1234)
    entry = MSIX_TABLE.ENTRY_DATA.at(1)
    for way, bar, width in product(("memory", "D3hot"), (0, 2), (1, 2, 4, 8)):
        at = BAR0.TEST_DMA_LEN.offset if bar == 0 else entry
        before = rig.device.read(bar, at, 4)
        if way == "memory":
            rig.configure(CONFIG.COMMAND, MASTER=1)
        else:
            rig.configure(CONFIG.PM_CTRL, STATE=3)
        found = rig.device.read(bar, at, width)
        assert found == (1 << 8 * width) - 1, f"{way}: {width} bytes of BAR{bar} read {found:#x}"
        rig.device.write(bar, at, 0x5555, width)
        told = CONFIG.DEVCTL.decode(rig.device.config_read(CONFIG.DEVCTL.offset))["UR"]
        assert told == 1, f"{way}: no Unsupported Request for BAR{bar}"
        rig.device.config_write(CONFIG.DEVCTL.offset + 2, CONFIG.DEVCTL.mask("w1c") >> 16, 2)
        rig.power_up()
        after = rig.device.read(bar, at, 4)
        if way == "memory":
            assert after == before, f"a write of {width} bytes to BAR{bar} was not lost"
        else:
            assert after == 0, f"BAR{bar} has {after:#x} after D3hot"
            rig.put(BAR0.TEST_DMA_LEN, 0x1234)


@card_case(
    manual("PCI-9", "pci"),
    "an access of a width that there is not reads all ones, writes nothing and is one stray",
)
def accesses_of_other_widths(rig: Rig) -> None:
    """Widths of 0, 3, 5, 6, 7 and 16; accesses that lie half in a register, or over the end of the BAR
    (DEV-7)."""
    at = BAR0.TEST_DMA_DST.offset
    for width in (0, 3, 5, 6, 7, 9, 16):
        rig.put(BAR0.TEST_DMA_DST, 0x1122_3344_5566_7788)
        before = rig.stat("GUEST_ERRORS")
        rig.device.write(0, at, 0, width)
        assert rig.stat("GUEST_ERRORS") == before + 1, f"a write of {width} bytes is not one stray"
        assert rig.get(BAR0.TEST_DMA_DST) == 0x1122_3344_5566_7788, f"{width} bytes were written"
        found = rig.device.read(0, at, width)
        assert found == (1 << 64) - 1, f"{width} bytes read {found:#x}"
        assert rig.stat("GUEST_ERRORS") == before + 2
    vector = BAR0.GLB_EVENT_VECTOR.offset
    for offset, width, words in (
        (0x60, 1, 1), (0x62, 2, 1), (0x63, 2, 2), (0x60, 8, 2), (0x61, 8, 3), (0xFFFC, 8, 2), (vector, 8, 1),
        (vector - 4, 8, 0), (vector + 3, 2, 1),
    ):  # fmt: skip
        before = rig.stat("GUEST_ERRORS")
        rig.device.read(0, offset, width)
        rig.device.write(0, offset, 0, width)
        counted = rig.stat("GUEST_ERRORS") - before
        assert counted == 2 * words, f"{width} bytes at {offset:#x}: {counted} counted, {2 * words} are right"


@card_case(
    manual("PCI-22", "pci"),
    "what a Function Level Reset spares, the way to D0 and a hot reset do not; AER outlasts all but power",
    vectors=4,
)
def fields_over_each_level(rig: Rig) -> None:
    """Every writable field of configuration space set, then each level; which of them still are."""
    for level in LEVELS:
        for register in CONFIG.MAP:
            mask = register.mask("rw")
            if register.name.startswith(("BAR", "CHANERR", "PM_CTRL")) or not mask:
                continue
            if register in (CONFIG.MSIX_CTRL, CONFIG.MSI_CTRL):
                mask &= ~register.encode(ENABLE=1)
            rig.device.config_write(register.offset, mask)
        rig.device.config_write(
            CONFIG.COMMAND.offset, CONFIG.COMMAND.mask("rw") & ~CONFIG.COMMAND.encode(MASTER=1), 2
        )
        reset(rig, level)
        for register in CONFIG.MAP:
            if register.name.startswith(("BAR", "CHANERR", "PM_CTRL")):
                continue
            word = rig.device.config_read(register.offset)
            for field in register.fields:
                if field.access != "rw":
                    continue
                is_kept = level == "device" or (field.sticky and level in ("FLR", "hot", "D3hot"))
                is_kept |= level == "FLR" and field.name in ("MPS", "ASPM", "COMMON_CLOCK")
                is_own = register in (CONFIG.MSIX_CTRL, CONFIG.MSI_CTRL) and field.name == "ENABLE"
                wanted = field.reset if not is_kept or is_own else field.max
                if register is CONFIG.COMMAND and field.name == "MASTER":
                    wanted = 0
                found = field.get(word)
                assert found == wanted, (
                    f"{level} reset: {register.name}.{field.name} is {found:#x}, not {wanted:#x}"
                )
        bars = [rig.device.config_read(CONFIG.BAR.at(n)) for n in (0, 2)]
        assert (bars == [4, 4]) == (level != "device"), f"{level} reset: the BARs are {bars}"
        rig.power_up()
        rig.device.config_write(CONFIG.AER_UNCOR_SEVERITY.offset, CONFIG.AER_UNCOR_SEVERITY.reset)


@card_case(
    manual("PCI-38", "pci"),
    "an advisory error has its own bit and the first error pointer only while Advisory is not masked",
)
def advisory_errors(rig: Rig) -> None:
    """Reads that are not supported and poisoned data, with the advisory error masked, and their own bits
    masked."""
    for name, is_advised, is_masked, serr in product(("UR", "POISONED"), (0, 1), (0, 1), (0, 1)):
        bit = CONFIG.AER_UNCOR_STATUS.field(name).mask
        rig.device.config_write(
            CONFIG.AER_COR_MASK.offset, CONFIG.AER_COR_MASK.encode(ADVISORY=1 - is_advised)
        )
        rig.device.config_write(CONFIG.AER_UNCOR_MASK.offset, bit * is_masked)
        rig.device.config_write(CONFIG.AER_UNCOR_SEVERITY.offset, 0)
        for register in (CONFIG.AER_UNCOR_STATUS, CONFIG.AER_COR_STATUS):
            rig.device.config_write(register.offset, _ONES)
        rig.device.config_write(CONFIG.DEVCTL.offset + 2, 0xFFFF, 2)
        rig.device.config_write(CONFIG.COMMAND.offset + 2, 0xFFFF, 2)
        if name == "UR":
            rig.configure(CONFIG.COMMAND, MASTER=1, SERR=serr)
            rig.device.read(0, 0)
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, SERR=serr)
        else:
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, SERR=serr)
            transmit_unread(rig, DmaStatus.POISONED)
        what = f"{name}, advisory {'told' if is_advised else 'masked'}, own bit masked {is_masked}"
        control = CONFIG.DEVCTL.decode(rig.device.config_read(CONFIG.DEVCTL.offset))
        told = control["CORRECTABLE"], control["NONFATAL"], control["FATAL"]
        assert told == (1, 0, 0), f"{what}: CORRECTABLE, NONFATAL and FATAL are {told}"
        assert rig.device.config_read(CONFIG.AER_COR_STATUS.offset) == CONFIG.AER_COR_STATUS.mask(), what
        status = rig.device.config_read(CONFIG.AER_UNCOR_STATUS.offset)
        assert status == bit * is_advised, f"{what}: Uncorrectable Error Status is {status:#x}"
        first = CONFIG.AER_CTRL.decode(rig.device.config_read(CONFIG.AER_CTRL.offset))["FIRST"]
        wanted = bit.bit_length() - 1 if is_advised and not is_masked else 0
        assert first == wanted, f"{what}: First Error Pointer is {first}, not {wanted}"
        command = CONFIG.COMMAND.decode(rig.device.config_read(CONFIG.COMMAND.offset))
        assert command["SIG_SERR"] == 0, f"{what}: a system error"
        rig.device.config_write(CONFIG.AER_COR_STATUS.offset, _ONES)
        assert rig.device.config_read(CONFIG.AER_COR_STATUS.offset) == 0


@card_case(
    manual("DEV-3", "overview"),
    "capacities are what the card was made with, and what it does: frames, rings, large sends, address",
    pairs=5,
    vectors=11,
    max_frame=3000,
    rx_buffer_bytes=32768,
    tx_buffer_bytes=16384,
)
def capacities(rig: Rig) -> None:
    """A card with numbers of its own; the least MSS and the largest send as its registers have them."""
    caps = BAR0.GLB_CAPS.decode(rig.get(BAR0.GLB_CAPS))
    wanted = {"QUEUE_PAIRS": 5, "VECTORS": 11, "MULTICAST": 32, "RSS_TABLE_LOG2": 7}
    assert caps == wanted, f"GLB_CAPS: {filled(caps)}"
    sizes = {name: rig.get(BAR0.MAP[f"GLB_{name}"]) for name in ("MAX_FRAME", "MAX_RING", "RX_BUFFER")}
    assert sizes == {"MAX_FRAME": 3000, "MAX_RING": 32768, "RX_BUFFER": 32768}, filled(sizes)
    least, most = rig.get(BAR0.GLB_MIN_MSS), rig.get(BAR0.GLB_MAX_LSO)
    for mss, length in ((least, 500), (2946, most - 54)):
        data, context, cut = large_send(bytes(length), mss)
        rig.device.is_manual = True
        rig[0].send(data, cuts=[262144 - 54], **context)
        sent: list[bytes] = []
        while rig.device.runnable:
            rig.device.run()
            sent += rig.sent()
        rig.device.is_manual = False
        assert sent == cut, f"MSS {mss}, {length} bytes: {len(sent)} segments"
    features = BAR0.GLB_FEATURES.decode(rig.get(BAR0.GLB_FEATURES))
    assert all(features[name] for name in features if name != "CHIMNEY"), filled(features)
    address = rig.get(BAR0.MAC_PERM_ADDR)
    rig.put(BAR0.MAC_ADDR, 0x0123_4567_89AB)
    assert rig.get(BAR0.MAC_PERM_ADDR) == address == int.from_bytes(bytes.fromhex("020000000001"), "little")
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
    assert rig.get(BAR0.MAC_ADDR) == address, "MAC_ADDR is not the permanent address after a reset"
    messages(rig)


@card_case(
    manual("DEV-5", "overview"),
    "link, speed and time are what they are now, in both halves and in every power state that shows them",
)
def link_and_time(rig: Rig) -> None:
    """Speeds up to 2^32 - 1, times up to 2^63; GLB_TIME by words and as a whole; IDLE (DEV-6) as the card
    is."""
    for mbps in (1, 10, 100_000, _ONES, 0):
        rig.device.set_link(mbps)
        assert rig.get(BAR0.GLB_SPEED) == mbps
        assert rig.field(BAR0.GLB_STATUS, "LINK_UP") == int(mbps != 0), f"LINK_UP at {mbps} Mb/s"
    for now in (1, _ONES, _ONES + 1, 0x1234_5678_9ABC_DEF0, 1 << 63):
        rig.device.advance(now)
        halves = [rig.device.read(0, BAR0.GLB_TIME.offset + 4 * n) for n in range(2)]
        assert halves == [now & _ONES, now >> 32], f"GLB_TIME is {halves} at {now:#x}"
        assert rig.get(BAR0.GLB_TIME) == now
    rig.device.set_link(1_000)
    rig.device.is_manual = True
    acts = (
        lambda: rig.put(BAR0.TEST_FIRE, 0),
        lambda: rig.inject(plain_frame(90)),
        lambda: rig[0].send(plain_frame(90, 1, PEER)),
        lambda: rig.set_level(InterruptKind.INTX),
    )
    for act in acts:
        act()
        while True:
            idle = rig.field(BAR0.GLB_STATUS, "IDLE")
            assert idle == int(not rig.device.runnable), f"IDLE is {idle} with {rig.device.runnable}"
            if idle:
                break
            rig.device.step(rig.device.runnable[-1])
