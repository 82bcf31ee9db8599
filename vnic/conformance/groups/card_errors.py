"""The card and its bus: where DMA may go, how transfers that fail are logged, and the bring-up engine."""

from __future__ import annotations

from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite, Map
from vnic.conformance.case import card_case
from vnic.conformance.chain import content
from vnic.conformance.groups.card import messages, through
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.enums import TestOp, TestResult
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import BAR0_ADDRESS, BAR2_ADDRESS, Rig

_PAGE = 4096
_NOWHERE = 0x5000_0000


def _error(rig: Rig, purpose: DmaPurpose, status: DmaStatus, site: FaultSite = FaultSite.DMA_READ) -> None:
    """The next transfer of this kind ends so."""
    action = FaultAction.ERROR
    rig.device.arm(Fault(site=site, action=action, index=purpose, count=1, argument=status))


def _bits(rig: Rig, *names: str) -> dict[str, int]:
    """`REGISTER.FIELD` of configuration space, by name."""
    found = {}
    for name in names:
        register, _, field = name.partition(".")
        word = rig.device.config_read(CONFIG.MAP[register].offset)
        found[name] = CONFIG.MAP[register].field(field).get(word)
    return found


def _clear_errors(rig: Rig) -> None:
    for register in (CONFIG.AER_UNCOR_STATUS, CONFIG.AER_COR_STATUS):
        rig.device.config_write(register.offset, 0xFFFF_FFFF)
    for register in (CONFIG.COMMAND, CONFIG.DEVCTL):
        word = rig.device.config_read(register.offset) & ~CONFIG.DEVCTL.encode(FLR=1)
        rig.device.config_write(register.offset, word | register.mask("w1c"))


_LOGGED = (
    "COMMAND.RCV_MASTER_ABORT", "COMMAND.RCV_TARGET_ABORT", "COMMAND.PARITY_ERROR", "COMMAND.MASTER_PARITY",
    "COMMAND.SIG_SERR", "DEVCTL.CORRECTABLE", "DEVCTL.NONFATAL", "DEVCTL.FATAL", "DEVCTL.UR",
    "AER_UNCOR_STATUS.POISONED", "AER_UNCOR_STATUS.TIMEOUT", "AER_UNCOR_STATUS.UR", "AER_COR_STATUS.ADVISORY",
)  # fmt: skip


@card_case(
    manual("PCI-37", "pci"),
    "each way in which a transfer fails is logged where PCI Express has it, and nowhere else",
)
def transfers_that_fail(rig: Rig) -> None:
    """UR, CA, poison and a timeout, of reads and writes; parity and SERR# enabled and not."""
    wanted: dict[DmaStatus, tuple[str, ...]] = {
        DmaStatus.UNSUPPORTED: ("COMMAND.RCV_MASTER_ABORT",),
        DmaStatus.ABORTED: ("COMMAND.RCV_TARGET_ABORT",),
        DmaStatus.POISONED: ("COMMAND.PARITY_ERROR", "DEVCTL.CORRECTABLE", "AER_COR_STATUS.ADVISORY"),
        DmaStatus.TIMEOUT: ("DEVCTL.NONFATAL", "AER_UNCOR_STATUS.TIMEOUT"),
    }
    for enable in (0, 1):
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, PARITY=enable, SERR=enable)
        for status, bits in wanted.items():
            for site in (FaultSite.DMA_READ, FaultSite.DMA_WRITE):
                _clear_errors(rig)
                errors = rig.stat("DMA_ERRORS")
                _error(rig, DmaPurpose.DATA, status, site)
                if site == FaultSite.DMA_READ:
                    rig.transmit(plain_frame(90, 1, PEER))
                else:
                    rig.receive(plain_frame(90, 1))
                    rig[0].post_rx(1)
                right = set(bits)
                if enable and status == DmaStatus.POISONED:
                    right.add("COMMAND.MASTER_PARITY")
                if enable and status == DmaStatus.TIMEOUT:
                    right.add("COMMAND.SIG_SERR")
                found = {name for name, value in _bits(rig, *_LOGGED).items() if value}
                assert found == right, f"{site.name} with {status.name} is logged as {found}, not {right}"
                assert rig.stat("DMA_ERRORS") == errors + 1


@card_case(
    manual("PCI-36", "pci"),
    "a request that is not supported is logged: a posted write as uncorrectable, a read as advisory",
)
def requests_that_are_not_supported(rig: Rig) -> None:
    """Read and write BAR0 with Memory Space Enable clear, and in D3hot; by severity, and masked."""
    for way in ("memory", "D3hot"):
        for is_write in (False, True):
            for severity in (0, 1):
                rig.device.config_write(
                    CONFIG.AER_UNCOR_SEVERITY.offset, CONFIG.AER_UNCOR_SEVERITY.encode(UR=severity)
                )
                _clear_errors(rig)
                if way == "memory":
                    rig.configure(CONFIG.COMMAND, MASTER=1)
                else:
                    rig.configure(CONFIG.PM_CTRL, STATE=3)
                if is_write:
                    rig.device.write(0, BAR0.TEST_ECHO.offset, 1)
                else:
                    assert rig.device.read(0, 0) == 0xFFFF_FFFF, "BAR0 answers"
                what = f"a {'write' if is_write else 'read'}, {way}, severity {severity}"
                is_advisory = not is_write and not severity
                right = {"DEVCTL.UR"}
                right |= (
                    {"DEVCTL.CORRECTABLE", "AER_COR_STATUS.ADVISORY"}
                    if is_advisory
                    else {"AER_UNCOR_STATUS.UR"}
                )
                right |= set() if is_advisory else {"DEVCTL.FATAL" if severity else "DEVCTL.NONFATAL"}
                found = {name for name, value in _bits(rig, *_LOGGED).items() if value}
                assert found == right, f"{what} is logged as {found}, not {right}"
                first = _bits(rig, "AER_CTRL.FIRST")["AER_CTRL.FIRST"]
                wanted = 0 if is_advisory else CONFIG.AER_UNCOR_STATUS.field("UR").mask.bit_length() - 1
                assert first == wanted, f"{what}: First Error Pointer {first}, not {wanted}"
                rig.power_up()


@card_case(
    manual("PCI-16", "pci"),
    "DMA to what the card's own BARs decode is refused, even where the host has memory at that address",
)
def dma_to_own_bars(rig: Rig) -> None:
    """Memory is mapped under both BARs; copy to them, from them, and over their ends."""
    before = rig.device.read(0, BAR0.TEST_ECHO.offset)
    for base, size in ((BAR0_ADDRESS, 0x1_0000), (BAR2_ADDRESS, 0x2000)):
        shadow = bytearray(b"\xa5" * (size + 2 * _PAGE))
        rig.device.map(base - _PAGE, shadow, Map.READ | Map.WRITE)
        for offset in (0, 0x590, size - 4):
            assert _fill(rig, base + offset, 4) == TestResult.DMA_ERROR, f"BAR at {base:#x} + {offset:#x}"
            assert _copy(rig, base + offset, rig.stage(bytes(64)), 4) == TestResult.DMA_ERROR
        assert shadow[_PAGE : _PAGE + size] == b"\xa5" * size, "memory under a BAR was written"
        assert _fill(rig, base - 8, 16) == TestResult.DMA_ERROR, "a transfer runs on into a BAR"
        assert shadow[_PAGE - 8 : _PAGE + 8] == b"\x5a" * 8 + b"\xa5" * 8, (
            "bytes before the BAR, and none behind"
        )
        assert _fill(rig, base - 8, 8) == _fill(rig, base + size, 8) == TestResult.OK, "beside a BAR"
        rig.device.unmap(base - _PAGE, len(shadow))
    assert rig.device.read(0, BAR0.TEST_ECHO.offset) == before, "a register was written by DMA"
    through(rig)


def _go(rig: Rig, op: int, dst: int, src: int, length: int, *, pattern: int = 0x5A5A_5A5A) -> TestResult:
    """A bring-up operation, to its end."""
    rig.put(BAR0.TEST_DMA_DST, dst)
    rig.put(BAR0.TEST_DMA_SRC, src)
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_PATTERN, pattern)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))
    return TestResult(rig.field(BAR0.TEST_DMA_STATUS, "RESULT"))


def _fill(rig: Rig, dst: int, length: int) -> TestResult:
    return _go(rig, TestOp.FILL, dst, 0, length)


def _copy(rig: Rig, src: int, dst: int, length: int) -> TestResult:
    return _go(rig, TestOp.COPY, dst, src, length)


@card_case(
    manual("PCI-15", "pci"),
    "memory is read and written as its mapping permits, and only where one is; 2^64 is an end",
)
def permissions_of_memory(rig: Rig) -> None:
    """Memory that may only be read, only be written, that ends, and that ends with the address space."""
    top = (1 << 64) - 2 * _PAGE
    for base in (_NOWHERE, 1 << 40, top):
        readable, writable = bytearray(content(_PAGE)), bytearray(_PAGE)
        rig.device.map(base, readable, Map.READ)
        rig.device.map(base + _PAGE, writable, Map.WRITE)
        own = rig.stage(bytes(_PAGE))
        assert _copy(rig, base, own, _PAGE) == TestResult.OK
        assert rig.peek(own, _PAGE) == content(_PAGE)
        assert _fill(rig, base, 64) == TestResult.DMA_ERROR, "memory that may only be read is written"
        assert readable == content(_PAGE), "memory that may only be read is written"
        assert _fill(rig, base + _PAGE, 64) == TestResult.OK
        assert writable[:64] == b"\x5a" * 64
        assert _copy(rig, base + _PAGE, own, 64) == TestResult.DMA_ERROR, (
            "memory that may only be written is read"
        )
        assert _fill(rig, base + 2 * _PAGE - 16, 32) == TestResult.DMA_ERROR, "a transfer has no end"
        assert writable[-16:] == b"\x5a" * 16, "the bytes before the end were not moved"
        rig.device.unmap(base, 2 * _PAGE)
        assert _fill(rig, base + _PAGE, 4) == TestResult.DMA_ERROR, "unmapped memory is written"
        assert writable[64:128] == bytes(64)
    through(rig)


@card_case(
    manual("PCI-14", "pci"),
    "a transfer goes over any number of mappings, and ends at the first that is missing",
)
def transfers_over_several_mappings(rig: Rig) -> None:
    """Five pages at one place, in another order in the host; then the third is taken away."""
    host = [bytearray(_PAGE) for _ in range(5)]
    for number, page in enumerate(host):
        rig.device.map(_NOWHERE + number * _PAGE, page, Map.READ | Map.WRITE)
    data = content(4 * _PAGE)
    assert _copy(rig, rig.stage(data), _NOWHERE + 100, len(data)) == TestResult.OK
    assert b"".join(host)[100 : 100 + len(data)] == data
    rig.device.unmap(_NOWHERE + 2 * _PAGE, _PAGE)
    for page in host:
        page[:] = bytes(_PAGE)
    assert _fill(rig, _NOWHERE, 4 * _PAGE) == TestResult.DMA_ERROR
    assert [any(page) for page in host] == [True, True, False, False, False], (
        "bytes behind the hole were written"
    )


@card_case(
    manual("PCI-15", "pci"),
    "memory that was taken away is not touched again, whoever used it; what is mapped there now is",
)
def memory_that_is_taken_away(rig: Rig) -> None:
    """Frames in and out, and fills, by one page; it is unmapped, alone or with all; then another."""
    for way in ("unmap", "unmap_all"):
        pages = [bytearray(_PAGE), bytearray(_PAGE)]
        for number, page in enumerate(pages):
            rig.device.map(_NOWHERE, page, Map.READ | Map.WRITE)
            page[:100] = plain_frame(100, number, PEER)
            rig[0].send_raw([rig[0].piece(b"", addr=_NOWHERE, len=100, rs=1)])
            assert rig.sent() == [plain_frame(100, number, PEER)], f"{way}: bytes of another page are sent"
            rig[0].poll()
            _through_a_page(rig, number)
            assert _fill(rig, _NOWHERE + 3000, 100) == TestResult.OK
            found = bytes(page[1000:1090]), bytes(page[3000:3100])
            assert found == (plain_frame(90, number), b"\x5a" * 100), f"{way}: page {number} was not written"
            kept = bytes(page)
            if way == "unmap":
                rig.device.unmap(_NOWHERE, _PAGE)
            else:
                rig.device.unmap_all()
            assert _fill(rig, _NOWHERE, 4) == TestResult.DMA_ERROR, f"{way}: the page is written after that"
            assert _copy(rig, _NOWHERE, rig.memory.base, 4) == TestResult.DMA_ERROR, f"{way}: it is read"
            if way == "unmap_all":
                _without_memory(rig)
            assert bytes(page) == kept
        assert bytes(pages[0][1000:1090]) == plain_frame(90, 0), f"{way}: the first page was written again"
    through(rig)


def _without_memory(rig: Rig) -> None:
    """Nothing is read or written of what is not there; then it is there again."""
    before = bytes(rig[0].cq_memory.view), bytes(rig[0].buffers.view)
    rig.inject(plain_frame(90, 5))
    rig[0].send(plain_frame(90, 5, PEER))
    assert rig.sent() == [], "a frame is sent out of memory that is not there"
    after = bytes(rig[0].cq_memory.view), bytes(rig[0].buffers.view)
    assert after == before, "memory that is not there is written"
    rig.device.map(rig.memory.base, rig.memory.view, Map.READ | Map.WRITE)
    rig[0].reset()
    rig[0].start()
    rig[0].post_rx(8)


def _through_a_page(rig: Rig, number: int) -> None:
    """A frame comes into the page, by a receive ring of its own."""
    rig[0].put(BAR0.QP_RX_CTRL, 0)
    rig[0].start_rx()
    rig[0].post_rx(4, buffers=[_NOWHERE + 1000] * 4)
    rig.inject(plain_frame(90, number))
    rig[0].poll()
    rig[0].put(BAR0.QP_RX_CTRL, 0)
    rig[0].start_rx()
    rig[0].post_rx(8)


@card_case(
    manual("TEST-2", "overview"),
    "FILL, COPY and INVERT do what they say with 1 to 65,536 bytes, and end with an event",
)
def bring_up_operations(rig: Rig) -> None:
    """Each operation with lengths around words and chunks, at odd addresses, above 4 GiB too."""
    high = bytearray(20 * _PAGE)
    rig.device.map(1 << 36, high, Map.READ | Map.WRITE)
    source = content(65536)
    for length in (1, 2, 3, 5, 4095, 4096, 4097, 65536):
        for base in (1 << 36, rig.stage(bytes(65600))):
            for at in (0, 3):
                dst, src = base + at, rig.stage(source)
                rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
                assert _go(rig, TestOp.FILL, dst, 0, length, pattern=0x0403_0201) == TestResult.OK
                _expect(
                    rig, high, dst, (b"\1\2\3\4" * (length // 4 + 1))[:length], f"FILL of {length} at {at}"
                )
                assert rig.field(BAR0.GLB_EVENT, "TEST") == 1, "no event"
                assert _go(rig, TestOp.COPY, dst, src, length) == TestResult.OK
                _expect(rig, high, dst, source[:length], f"COPY of {length} at {at}")
                assert _go(rig, TestOp.INVERT, dst, 0, length) == TestResult.OK
                inverted = bytes(byte ^ 0xFF for byte in source[:length])
                _expect(rig, high, dst, inverted, f"INVERT of {length} at {at}")


def _expect(rig: Rig, high: bytearray, at: int, wanted: bytes, what: str) -> None:
    """These bytes at a bus address, in memory above or below 4 GiB."""
    is_high = at >= 1 << 36
    found = bytes(high[at - (1 << 36) :][: len(wanted)]) if is_high else rig.peek(at, len(wanted))
    assert found == wanted, f"{what}: other bytes"


@card_case(
    manual("TEST-4", "overview"),
    "operations that are none move nothing; GO while busy is ignored; what counts is latched at GO",
)
def bring_up_operations_that_are_none(rig: Rig) -> None:
    """Unknown operations, lengths of 0 and 65,537, GO and other registers in the middle of an operation."""
    target = rig.stage(bytes(65536))
    moved: list[Event] = []
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        assert _go(rig, 3, target, target, 64) == TestResult.BAD_OP
        for length in (0, 65537, 0xFFFF_FFFF):
            assert _fill(rig, target, length) == TestResult.BAD_LEN, f"{length} bytes"
    assert not moved, "an operation that is none moves bytes"
    rig.device.is_manual = True
    errors = rig.stat("GUEST_ERRORS")
    _go(rig, TestOp.FILL, target, 0, 3 * _PAGE)
    assert rig.field(BAR0.TEST_DMA_STATUS, "BUSY") == 1
    rig.device.step(rig.device.runnable[0])
    _go(rig, TestOp.FILL, target + 8 * _PAGE, 0, 64, pattern=0xFFFF_FFFF)
    assert rig.stat("GUEST_ERRORS") == errors + 1, "GO while busy is no guest error"
    rig.device.run()
    assert rig.field(BAR0.TEST_DMA_STATUS, "BUSY") == 0
    assert rig.peek(target, 3 * _PAGE) == b"\x5a" * (3 * _PAGE), "what was written after GO counts"
    assert rig.peek(target + 8 * _PAGE, 64) == bytes(64), "a GO while busy was carried out"
    messages(rig)


@card_case(
    manual("PCI-40", "pci"),
    "First Error Pointer points to the first error that is not masked, until its status bit is cleared",
)
def the_first_error(rig: Rig) -> None:
    """Timeouts and unsupported writes, masked and not, in both orders; then each status bit is cleared."""
    timeout, unsupported = (CONFIG.AER_UNCOR_STATUS.field(name).mask for name in ("TIMEOUT", "UR"))

    def happen(bit: int) -> None:
        if bit == timeout:
            _error(rig, DmaPurpose.DATA, DmaStatus.TIMEOUT)
            rig.transmit(plain_frame(90, 1, PEER))
        else:
            rig.configure(CONFIG.COMMAND, MASTER=1)
            rig.device.write(0, BAR0.TEST_ECHO.offset, 1)
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)

    for masked in (0, timeout, unsupported, timeout | unsupported):
        for order in ((timeout, unsupported), (unsupported, timeout)):
            rig.device.config_write(CONFIG.AER_UNCOR_MASK.offset, masked)
            _clear_errors(rig)
            for bit in order:
                happen(bit)
            status = rig.device.config_read(CONFIG.AER_UNCOR_STATUS.offset)
            assert status == timeout | unsupported, f"a masked error is not in the status, {status:#x}"
            shown = [bit for bit in order if not bit & masked]
            first = _bits(rig, "AER_CTRL.FIRST")["AER_CTRL.FIRST"]
            wanted = shown[0].bit_length() - 1 if shown else 0
            assert first == wanted, f"masked {masked:#x}: First Error Pointer {first}, not {wanted}"
            if shown:
                rig.device.config_write(CONFIG.AER_UNCOR_STATUS.offset, (timeout | unsupported) & ~shown[0])
                assert _bits(rig, "AER_CTRL.FIRST")["AER_CTRL.FIRST"] == wanted, "another bit's end moves it"
                rig.device.config_write(CONFIG.AER_UNCOR_STATUS.offset, shown[0])
                assert _bits(rig, "AER_CTRL.FIRST")["AER_CTRL.FIRST"] == 0, "it outlasts its error"
    rig.device.config_write(CONFIG.AER_UNCOR_MASK.offset, 0)
    through(rig)
