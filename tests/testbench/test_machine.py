"""The machine without NDIS: a driver in the test itself, in the words of a kernel, and what it leaves."""

from __future__ import annotations

import pytest

from vnic.abi import InterruptKind
from vnic.errors import CapacityError, LeakError, UnknownError
from vnic.gen.descriptors import TxCompletion, TxData
from vnic.gen.enums import DescType
from vnic.gen.registers import BAR0, CONFIG
from vnic.host.bus import Direction, VectorKinds
from vnic.host.pci import CapabilityId
from vnic.testbench.frames import plain_frame
from vnic.testbench.machine import Machine
from vnic.testbench.step import DATA_MOVE

_COUNT = 64


@pytest.mark.requirement("BEN-60")
def test_a_driver_in_the_test_itself_sends_a_frame(machine: Machine) -> None:
    """The whole way, as a kernel driver goes it: probe, rings, an interrupt, stop."""
    frame = plain_frame(200)
    served: list[tuple[int, int]] = []
    with machine.enabled() as bus:
        assert bus.find_capability(CapabilityId.MSIX)
        assert bus.alloc_vectors(1, 1, VectorKinds.MSIX) == 1
        assert bus.vector_kind == InterruptKind.MSIX
        bus.request_irq(0, lambda vector: served.append((vector, machine.processors.current)), 0)
        card = bus.window(0)
        ring, completions = bus.alloc_coherent(_COUNT * 16), bus.alloc_coherent(_COUNT * 32)
        buffer = machine.alloc(frame)
        (segment,) = bus.map(buffer.address, len(frame), Direction.TO_DEVICE)
        card.write32(BAR0.GLB_CTRL.offset, BAR0.GLB_CTRL.encode(RESET=1))
        card.write32(BAR0.VEC_CTRL.at(0), BAR0.VEC_CTRL.encode(ENABLE=1))
        card.write32(BAR0.INT_CTRL.offset, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
        card.write64(BAR0.QP_CQ_BASE.at(0), completions.addr)
        card.write32(BAR0.QP_CQ_COUNT.at(0), _COUNT)
        card.write32(BAR0.QP_CQ_CTRL.at(0), BAR0.QP_CQ_CTRL.encode(ENABLE=1))
        card.write32(BAR0.QP_CQ_TAIL.at(0), _COUNT - 1)
        card.write64(BAR0.QP_TX_BASE.at(0), ring.addr)
        card.write32(BAR0.QP_TX_COUNT.at(0), _COUNT)
        card.write32(BAR0.QP_TX_CTRL.at(0), BAR0.QP_TX_CTRL.encode(ENABLE=1))
        card.write32(BAR0.MAC_TX_CTRL.offset, BAR0.MAC_TX_CTRL.encode(ENABLE=1))
        ring.view[:16] = TxData(segment.addr, segment.len, DescType.DATA, eop=1, rs=1).pack()
        card.write32(BAR0.QP_TX_TAIL.at(0), 1)
        machine.settle()
        assert machine.transmitted == [frame]
        assert served == [(0, 0)]
        assert TxCompletion.unpack(completions.view).head == 1
        card.write32(BAR0.GLB_CTRL.offset, BAR0.GLB_CTRL.encode(RESET=1))
        bus.unmap([segment], Direction.TO_DEVICE)
        buffer.free()
        bus.free_coherent(ring)
        bus.free_coherent(completions)
        bus.free_irq(0)
        bus.free_vectors()


@pytest.mark.requirement("BEN-60")
def test_the_kernels_words(machine: Machine) -> None:
    bus = machine.bus
    found = {capability.id for capability in bus.walk_capabilities() if not capability.extended}
    assert {CapabilityId.PM, CapabilityId.PCIE, CapabilityId.MSI, CapabilityId.MSIX} <= found
    assert bus.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
    bus.enable_device()
    assert bus.read(0, BAR0.GLB_TYPE.offset) != 0xFFFF_FFFF
    assert bus.bar_size(0) > bus.bar_size(1) == 0
    bus.set_master()
    before_ns = machine.clock.now_ns
    bus.delay_ns(1000)
    assert machine.clock.now_ns == machine.device.now_ns == before_ns + 1000
    bus.set_power_state(3)
    assert bus.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
    bus.set_power_state(0)
    assert not CONFIG.COMMAND.decode(bus.config_read(CONFIG.COMMAND.offset))["MASTER"]
    bus.reset_function()
    with pytest.raises(UnknownError):
        bus.find_capability(0x7F)
    with pytest.raises(CapacityError):
        bus.alloc_vectors(9, 9, VectorKinds.MSIX)
    bus.disable_device()


@pytest.mark.requirement("BEN-60")
def test_a_handler_runs_while_the_driver_waits() -> None:
    with Machine(device={"vectors": 2}) as machine:
        seen: list[int] = []
        with machine.enabled() as bus:
            bus.alloc_vectors(2, 2)
            bus.request_irq(1, seen.append)
            card = bus.window(0)
            card.write32(BAR0.VEC_CTRL.at(1), BAR0.VEC_CTRL.encode(ENABLE=1))
            card.write32(BAR0.INT_CTRL.offset, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
            card.write32(BAR0.TEST_FIRE.offset, 1)
            assert seen == []
            bus.delay_ns(10)
            assert seen == [1]
            bus.free_irq(1)
            bus.free_vectors()


@pytest.mark.requirement("BEN-60")
def test_steps_of_a_machine(machine: Machine) -> None:
    with machine.enabled() as bus:
        target = bus.alloc_coherent(64)
        card = bus.window(0)
        steps = machine.steps
        card.write64(BAR0.TEST_DMA_DST.offset, target.addr)
        card.write32(BAR0.TEST_DMA_LEN.offset, 64)
        card.write32(BAR0.TEST_DMA_PATTERN.offset, 0x41)
        card.write32(BAR0.TEST_DMA_CMD.offset, 1)
        (step,) = steps.possible()
        assert step.kind is not DATA_MOVE
        assert bytes(target.view) == bytes(64)
        steps.take(step)
        assert bytes(target.view) != bytes(64)
        steps.close()
        bus.free_coherent(target)


def leave(machine: Machine, what: str) -> None:
    bus = machine.bus
    bus.enable_device()
    bus.set_master()
    if what == "coherent":
        bus.alloc_coherent(100)
    elif what == "mapping":
        bus.map(machine.alloc(b"x").address, 1, Direction.TO_DEVICE)
    elif what == "memory":
        machine.alloc(100)
    elif what == "vectors":
        bus.alloc_vectors(1, 1)
    elif what == "handler":
        bus.alloc_vectors(1, 1)
        bus.request_irq(0, lambda vector: None)
    else:
        bus.config_write(CONFIG.MSI_ADDR_LO.offset, 0x1000)
        control = CONFIG.MSI_CTRL
        bus.config_write(control.offset, control.field("ENABLE").put(bus.config_read(control.offset), 1))
        card = bus.window(0)
        card.write32(BAR0.VEC_CTRL.at(0), BAR0.VEC_CTRL.encode(ENABLE=1))
        card.write32(BAR0.INT_CTRL.offset, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
        card.write32(BAR0.TEST_FIRE.offset, 0)


@pytest.mark.requirement("BEN-61")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("coherent", "coherent memory of 100 bytes"),
        ("mapping", "TO_DEVICE"),
        ("memory", "1 allocations were not freed"),
        ("vectors", "vectors .* were not freed"),
        ("handler", "handlers of vectors 0 were not freed"),
        ("message", "1 messages named no interrupt"),
    ],
)
def test_nothing_may_be_left(what: str, said: str) -> None:
    with pytest.raises(LeakError, match=said), Machine() as machine:
        leave(machine, what)
    with pytest.raises(ZeroDivisionError), Machine() as machine:
        leave(machine, what)
        raise ZeroDivisionError
