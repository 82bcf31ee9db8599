"""The interrupt controller: messages to handlers, shared lines, storms, and who runs when."""

from __future__ import annotations

import pytest

from vnic.abi import InterruptKind
from vnic.errors import CapacityError, InterruptError, UnknownError, UnrestError
from vnic.host.bus import Interrupt
from vnic.host.cpu import Processors
from vnic.host.interrupts import MESSAGE_BASE, UNCLAIMED_LIMIT, InlineDelivery, InterruptController, Irq


def message(addr: int, data: int) -> Interrupt:
    """An MSI-X message."""
    return Interrupt(InterruptKind.MSIX, 0, addr, data)


def test_a_message_reaches_its_handler_on_its_processor() -> None:
    processors = Processors(4)
    controller = InterruptController(processors.raise_interrupt)
    calls: list[tuple[int, int]] = []
    irqs = controller.allocate(3)
    for irq in irqs:
        irq.handler = lambda vector: calls.append((vector, processors.current))
    controller.signal(message(*controller.message(irqs[2], 3)))
    controller.signal(message(*controller.message(irqs[0], 1)))
    assert calls == []
    processors.run_until_idle()
    assert sorted(calls) == [(0, 1), (2, 3)]
    assert [irq.delivered for irq in irqs] == [1, 0, 1]


def test_numbers_are_given_in_rows() -> None:
    controller = InterruptController(capacity=64)
    one = controller.allocate(1)
    eight = controller.allocate(8, align=8)
    assert [irq.number for irq in eight] == list(range(eight[0].number, eight[0].number + 8))
    assert eight[0].number % 8 == 0
    assert one[0].number not in {irq.number for irq in eight}
    with pytest.raises(CapacityError):
        controller.allocate(60)
    controller.release(eight)
    assert controller.allocate(8, align=8)[0].number == eight[0].number
    with pytest.raises(UnknownError):
        controller.release(eight)


def test_messages_that_lead_nowhere_are_kept_and_counted() -> None:
    controller = InterruptController()
    irq = controller.allocate(1)[0]
    _, data = controller.message(irq, 0)
    wrong = [message(0x1000, data), message(MESSAGE_BASE, data + 1), message(MESSAGE_BASE | 4, data)]
    for stray in wrong * 30:
        controller.signal(stray)
    assert controller.stray_count == 90
    assert controller.strays[:3] == wrong
    assert len(controller.strays) == 64
    controller.signal(message(*controller.message(irq, 0)))
    assert (irq.delivered, irq.unhandled) == (1, 1)
    with pytest.raises(UnknownError):
        controller.message(irq, 256)


def test_handlers_run_one_after_the_other() -> None:
    controller = InterruptController()
    first, second = controller.allocate(2)
    order: list[str] = []

    def outer(_: int) -> None:
        order.append("first in")
        controller.signal(message(*controller.message(second, 0)))
        controller.signal(message(*controller.message(second, 0)))
        order.append("first out")

    first.handler = outer
    second.handler = lambda _: order.append("second")
    controller.signal(message(*controller.message(first, 0)))
    assert order == ["first in", "first out", "second"]


def test_a_storm_is_an_error_and_leaves_no_rest() -> None:
    controller = InterruptController(InlineDelivery(limit=100))
    irq = controller.allocate(1)[0]
    again = message(*controller.message(irq, 0))
    irq.handler = lambda _: controller.signal(again)
    with pytest.raises(UnrestError, match="storm"):
        controller.signal(again)
    irq.handler = None
    delivered = irq.delivered
    controller.signal(again)
    assert irq.delivered == delivered + 1


def test_a_handler_that_raises_does_not_stop_the_next() -> None:
    controller = InterruptController()
    irq = controller.allocate(1)[0]

    def broken(_: int) -> None:
        raise RuntimeError("broken")

    irq.handler = broken
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            controller.signal(message(*controller.message(irq, 0)))


def test_a_line_calls_until_it_is_released() -> None:
    line = InterruptController().line()
    left = 3

    def serve(_: int) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            line.drive("card", False)
        return True

    irq = Irq(0, handler=serve)
    line.connect(irq)
    line.drive("card", True)
    assert (left, irq.delivered, line.is_asserted) == (0, 3, False)


def test_a_shared_line_asks_every_handler() -> None:
    line = InterruptController().line()
    asserted = {"a", "b"}

    def served_by(name: str) -> Irq:
        def serve(_: int) -> bool:
            mine = name in asserted
            asserted.discard(name)
            line.drive(name, False)
            return mine

        return Irq(0, handler=serve)

    irqs = [served_by("a"), served_by("b")]
    for irq in irqs:
        line.connect(irq)
    line.drive("a", True)
    line.drive("b", True)
    assert not line.is_asserted
    assert not line.is_disabled
    assert asserted == set()


def test_nobody_cared() -> None:
    line = InterruptController().line()
    irq = Irq(0, handler=lambda _: False)
    line.connect(irq)
    with pytest.raises(InterruptError, match="nobody cared"):
        line.drive("card", True)
    assert line.is_disabled
    assert irq.delivered == UNCLAIMED_LIMIT
    line.drive("card", False)
    line.drive("card", True)
    assert irq.delivered == UNCLAIMED_LIMIT


def test_an_asserted_line_is_served_on_connection() -> None:
    line = InterruptController().line()
    line.drive("card", True)

    def serve(_: int) -> None:
        line.drive("card", False)

    irq = Irq(0, handler=serve)
    line.connect(irq)
    assert irq.delivered == 1
    line.disconnect(irq)
    with pytest.raises(UnknownError):
        line.disconnect(irq)
