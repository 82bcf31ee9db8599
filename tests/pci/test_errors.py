"""Error logging: Status, Device Status, Advanced Error Reporting, by the rules of role-based reporting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

COMMAND, DEVCTL = 0x04, 0x78
STATUS, MASK, SEVERITY, COR_STATUS, COR_MASK, CTRL, HEADER = 0x104, 0x108, 0x10C, 0x110, 0x114, 0x118, 0x11C
UR, TIMEOUT_BIT, POISONED_BIT, INTERNAL = 1 << 20, 1 << 14, 1 << 12, 1 << 22
CHANERR_INT, CHANERRMSK_INT = 0x180, 0x184
CORRECTABLE, NONFATAL, FATAL, UR_DETECTED = 1, 2, 4, 8
MEMORY, PARITY, SERR = 1 << 1, 1 << 6, 1 << 8
RCV_TARGET_ABORT, RCV_MASTER_ABORT, SIG_SERR = 1 << 12, 1 << 13, 1 << 14
PARITY_ERROR, MASTER_PARITY = 1 << 15, 1 << 8
ADVISORY = 1 << 13
DMA_READ, DMA_WRITE, ERROR = 0, 1, 0


def pci_status(f: Any) -> int:
    return int(f.cfg(COMMAND + 2, 2)) & 0xF900


def device_status(f: Any) -> int:
    return int(f.cfg(DEVCTL + 2, 2)) & 0xF


def fail_dma(f: Any, status: int, site: int = DMA_READ) -> None:
    f.arm_fault(site, ERROR, argument=status)
    assert (f.dma_get(0, 4)[0] if site == DMA_READ else f.dma_put(0, b"abcd")) == status


@pytest.mark.requirement("PCI-36", "PCI-39", "PCI-6")
def test_a_write_that_nothing_decodes_is_uncorrectable(function: Any) -> None:
    function.cfg_set(COMMAND, MEMORY, 0)
    function.write(0, 0x580, 4, 1)
    assert device_status(function) == NONFATAL | UR_DETECTED
    assert function.cfg(STATUS) == UR
    assert function.cfg(COR_STATUS) == 0
    assert function.cfg(CTRL) & 0x1F == 20
    assert function.told().bar_writes == 0


@pytest.mark.requirement("PCI-36", "PCI-38", "PCI-6")
@pytest.mark.parametrize("bar", [0, 2])
def test_a_read_that_nothing_decodes_is_advisory(function: Any, bar: int) -> None:
    function.cfg_set(COMMAND, MEMORY, 0)
    assert function.read(bar, 0, 8) == 2**64 - 1
    assert device_status(function) == CORRECTABLE | UR_DETECTED
    assert function.cfg(COR_STATUS) == ADVISORY
    assert function.cfg(STATUS) == 0
    assert function.cfg(CTRL) & 0x1F == 0


@pytest.mark.requirement("PCI-38")
def test_an_advisory_error_that_is_not_masked_shows_its_bit(function: Any) -> None:
    function.cfg_write(COR_MASK, 4, 0)
    function.log_unsupported(0)
    assert function.cfg(STATUS) == UR
    assert function.cfg(CTRL) & 0x1F == 20
    assert device_status(function) == CORRECTABLE | UR_DETECTED


@pytest.mark.requirement("PCI-38", "PCI-39")
def test_a_fatal_read_is_not_advisory(function: Any) -> None:
    function.cfg_write(SEVERITY, 4, UR)
    function.log_unsupported(0)
    assert device_status(function) == FATAL | UR_DETECTED
    assert function.cfg(COR_STATUS) == 0


@pytest.mark.requirement("PCI-6")
def test_nothing_is_logged_where_the_function_is_not_addressed(function: Any) -> None:
    for bar, offset in (
        (1, 0),
        (4, 0),
        (6, 0),
        (255, 0),
        (2**31, 0),
        (0, 0x10000),
        (2, 0x2000),
        (0, 2**64 - 1),
    ):
        assert function.read(bar, offset, 4) == 0xFFFFFFFF
        function.write(bar, offset, 4, 0)
    assert device_status(function) == 0
    assert function.told().bar_reads == 0


@pytest.mark.requirement("PCI-37")
@pytest.mark.parametrize("site", [DMA_READ, DMA_WRITE])
@pytest.mark.parametrize(
    ("status", "logged"),
    [
        (1, (RCV_MASTER_ABORT, 0, 0, 0)),
        (2, (RCV_TARGET_ABORT, 0, 0, 0)),
        (3, (PARITY_ERROR, CORRECTABLE, 0, ADVISORY)),
        (4, (0, NONFATAL, TIMEOUT_BIT, 0)),
    ],
)
def test_how_a_transfer_fails(
    function: Any, site: int, status: int, logged: tuple[int, int, int, int]
) -> None:
    """`logged`: Status, Device Status, Uncorrectable and Correctable Error Status."""
    fail_dma(function, status, site)
    aer = function.cfg(STATUS), function.cfg(COR_STATUS)
    assert (pci_status(function), device_status(function), *aer) == logged
    assert function.told().last_dma_status == status
    function.cfg_write(COMMAND + 2, 2, 0xFFFF)
    assert pci_status(function) == 0


@pytest.mark.requirement("PCI-37")
def test_the_map_fails_like_a_fault(function: Any) -> None:
    function.memory(0x10000, 4096, 1)
    assert function.dma_get(0x50000, 4)[0] == 1
    assert pci_status(function) == RCV_MASTER_ABORT
    assert function.dma_put(0x10000, b"x") == 2
    assert pci_status(function) == RCV_MASTER_ABORT | RCV_TARGET_ABORT


@pytest.mark.requirement("PCI-37")
def test_parity_response_decides_master_parity(function: Any) -> None:
    function.cfg_set(COMMAND, PARITY)
    fail_dma(function, 3)
    assert pci_status(function) == PARITY_ERROR | MASTER_PARITY


@pytest.mark.requirement("PCI-37")
def test_bus_master_off_is_no_error_of_the_bus(function: Any) -> None:
    function.cfg_set(COMMAND, 4, 0)
    assert function.dma_put(0, b"x") == 5
    assert (pci_status(function), device_status(function), function.cfg(STATUS)) == (0, 0, 0)


@pytest.mark.requirement("PCI-39")
@pytest.mark.parametrize(("masked", "serr"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_signaled_system_error(function: Any, masked: int, serr: int) -> None:
    function.cfg_write(MASK, 4, TIMEOUT_BIT * masked)
    function.cfg_set(COMMAND, SERR, SERR * serr)
    fail_dma(function, 4)
    assert bool(pci_status(function) & SIG_SERR) == (serr == 1 and masked == 0)
    assert function.cfg(STATUS) == TIMEOUT_BIT


@pytest.mark.requirement("PCI-40")
def test_the_first_error_stays_first(function: Any) -> None:
    fail_dma(function, 4)
    function.log_unsupported(1)
    assert function.cfg(STATUS) == TIMEOUT_BIT | UR
    assert function.cfg(CTRL) & 0x1F == 14
    function.cfg_write(STATUS, 4, UR)
    assert function.cfg(CTRL) & 0x1F == 14
    function.cfg_write(STATUS, 4, TIMEOUT_BIT)
    assert function.cfg(STATUS) == 0
    assert function.cfg(CTRL) & 0x1F == 0
    function.log_unsupported(1)
    assert function.cfg(CTRL) & 0x1F == 20


@pytest.mark.requirement("PCI-40")
def test_a_masked_error_is_not_the_first(function: Any) -> None:
    function.cfg_write(MASK, 4, TIMEOUT_BIT)
    fail_dma(function, 4)
    assert function.cfg(STATUS) == TIMEOUT_BIT
    assert function.cfg(CTRL) & 0x1F == 0
    function.log_unsupported(1)
    assert function.cfg(CTRL) & 0x1F == 20
    assert [function.cfg(HEADER + 4 * i) for i in range(4)] == [0] * 4


@pytest.mark.requirement("PCI-8", "PCI-40")
def test_the_pointer_cannot_be_written(function: Any) -> None:
    fail_dma(function, 4)
    function.cfg_write(CTRL, 4, 0xFFFFFFFF)
    assert function.cfg(CTRL) == 14


@pytest.fixture
def engine(make: Callable[..., Any]) -> Any:
    """A function with channels, whose errors AER shows."""
    made = make(channel_errors=1)
    made.start()
    return made


@pytest.mark.requirement("PCI-47")
def test_other_functions_have_no_channel_errors(function: Any) -> None:
    for offset in (CHANERR_INT, CHANERRMSK_INT):
        function.cfg_write(offset, 4, 0xFFFFFFFF)
        assert function.cfg(offset) == 0


@pytest.mark.requirement("PCI-47", "PCI-8")
def test_channel_errors_are_noted_until_cleared(engine: Any) -> None:
    engine.log_channel_errors(0x41)
    engine.log_channel_errors(0x80004)
    assert engine.cfg(CHANERR_INT) == 0x45
    engine.cfg_write(CHANERR_INT, 4, 0x41)
    assert engine.cfg(CHANERR_INT) == 4
    engine.cfg_write(CHANERRMSK_INT, 4, 0xFFFFFFFF)
    assert engine.cfg(CHANERRMSK_INT) == 0x7FFFF


@pytest.mark.requirement("PCI-48", "PCI-39")
def test_a_channel_error_is_an_internal_error(engine: Any) -> None:
    """Mask and severity start as PCIe says: masked, fatal."""
    assert engine.cfg(MASK) == engine.cfg(SEVERITY) == INTERNAL
    engine.cfg_set(COMMAND, SERR)
    engine.log_channel_errors(1)
    assert (device_status(engine), engine.cfg(STATUS), engine.cfg(CTRL)) == (FATAL, INTERNAL, 0)
    assert pci_status(engine) == 0


@pytest.mark.requirement("PCI-48", "PCI-40")
@pytest.mark.parametrize(("severity", "detected"), [(INTERNAL, FATAL), (0, NONFATAL)])
def test_an_internal_error_that_is_not_masked(engine: Any, severity: int, detected: int) -> None:
    engine.cfg_write(MASK, 4, 0)
    engine.cfg_write(SEVERITY, 4, severity)
    engine.cfg_set(COMMAND, SERR)
    engine.log_channel_errors(1)
    assert (device_status(engine), engine.cfg(CTRL)) == (detected, 22)
    assert pci_status(engine) == SIG_SERR


@pytest.mark.requirement("PCI-48")
def test_a_masked_channel_error_stays_away_from_aer(engine: Any) -> None:
    engine.cfg_write(CHANERRMSK_INT, 4, 1)
    engine.log_channel_errors(1)
    assert (engine.cfg(CHANERR_INT), engine.cfg(STATUS), device_status(engine)) == (1, 0, 0)
    engine.log_channel_errors(3)
    assert (engine.cfg(CHANERR_INT), engine.cfg(STATUS), device_status(engine)) == (3, INTERNAL, FATAL)


@pytest.mark.requirement("PCI-47", "PCI-21", "PCI-22")
def test_channel_errors_survive_all_but_a_power_cycle(engine: Any) -> None:
    engine.log_channel_errors(0x20)
    engine.cfg_write(CHANERRMSK_INT, 4, 0x10)
    for level in range(3):
        engine.reset(level)
        assert (engine.cfg(CHANERR_INT), engine.cfg(CHANERRMSK_INT)) == (0x20, 0x10)
    engine.reset(3)
    assert (engine.cfg(CHANERR_INT), engine.cfg(CHANERRMSK_INT)) == (0, 0)


@pytest.mark.requirement("PCI-46", "PCI-47")
def test_only_a_function_with_channel_errors_loads_them(engine: Any, function: Any) -> None:
    plain = engine.snapshot()
    assert function.restore(plain) == 0
    engine.log_channel_errors(1)
    logged = engine.snapshot()
    assert function.restore(logged) == -7
    engine.cfg_write(CHANERR_INT, 4, 1)
    cleared = engine.snapshot()
    assert engine.cfg(STATUS) == INTERNAL
    assert function.restore(cleared) == -7
    for saved in (logged, cleared):
        assert engine.restore(saved) == 0
        assert engine.snapshot() == saved
