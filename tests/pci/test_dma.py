"""DMA: who may issue it, where it may go, how far it gets, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples

Make = Callable[..., Any]
PAGE = 4096
OK, UNSUPPORTED, ABORTED, POISONED, TIMEOUT, MASTER_OFF = range(6)
READ, WRITE = 1, 2
MEMORY, MASTER = 1 << 1, 1 << 2
BAR0 = 0x4000_0000_0000


@pytest.mark.requirement("PCI-13")
def test_without_bus_master_enable_nothing_moves(function: Any) -> None:
    memory = function.memory(0x10000, PAGE)
    function.cfg_set(4, MASTER, 0)
    assert function.dma_put(0x10000, b"abcd") == MASTER_OFF
    assert function.dma_get(0x10000, 4) == (MASTER_OFF, b"\xff" * 4)
    assert memory[:4] == b"\0" * 4
    assert function.direct(0x10000, 4, READ) == function.ffi.NULL
    assert function.told().dma_errors == 2
    assert function.cfg(4) >> 16 & 0xF900 == 0
    function.cfg_set(4, MASTER)
    assert function.dma_put(0x10000, b"abcd") == OK
    assert memory[:4] == b"abcd"


@pytest.mark.requirement("PCI-13", "PCI-19")
def test_no_dma_in_d3hot(function: Any) -> None:
    function.memory(0x10000, PAGE)
    function.cfg_write(0x44, 2, 3)
    assert function.dma_get(0x10000, 4)[0] == MASTER_OFF


@pytest.mark.requirement("PCI-13", "PCI-24")
def test_no_dma_when_removed(function: Any) -> None:
    function.memory(0x10000, PAGE)
    function.remove()
    assert function.dma_put(0x10000, b"x") == MASTER_OFF


@pytest.mark.requirement("PCI-14")
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("purpose", [0, 1])
def test_scattered_granules(function: Any, watched: bool, purpose: int) -> None:
    pages = [function.memory(0x10000 + i * PAGE, PAGE) for i in (2, 0, 1)]
    function.observe(0x60 if watched else 0)
    data = bytes(range(256)) * 40
    assert function.dma_put(0x10100, data, purpose) == OK
    assert function.dma_get(0x10100, len(data), purpose) == (OK, data)
    in_order = bytes(pages[1][:]) + bytes(pages[2][:]) + bytes(pages[0][:])
    assert in_order == (b"\0" * 0x100 + data).ljust(3 * PAGE, b"\0")


@pytest.mark.requirement("PCI-14", "PCI-15")
@pytest.mark.parametrize("watched", [False, True])
def test_bytes_before_the_failing_granule_are_moved(function: Any, watched: bool) -> None:
    memory = function.memory(0x10000, PAGE)
    memory[PAGE - 8 :] = b"ABCDEFGH"
    function.observe(0x60 if watched else 0)
    assert function.dma_get(0x10FF8, 16) == (UNSUPPORTED, b"ABCDEFGH" + b"\xff" * 8)
    assert function.dma_put(0x10FFC, b"ijklmnop") == UNSUPPORTED
    assert memory[PAGE - 8 :] == b"ABCDijkl"
    assert function.told().dma_errors == 2
    assert function.told().last_dma_status == UNSUPPORTED


@pytest.mark.requirement("PCI-14")
@pytest.mark.parametrize("addr", [0, 0x10000, 0xDEAD000, 2**64 - 1])
def test_no_bytes_no_failure(function: Any, addr: int) -> None:
    assert function.dma_get(addr, 0) == (OK, b"")
    function.cfg_set(4, MASTER, 0)
    assert function.dma_put(addr, b"") == OK
    assert function.told().dma_errors == 0


@pytest.mark.requirement("PCI-15")
def test_permissions(function: Any) -> None:
    readable = function.memory(0x10000, PAGE, READ)
    function.memory(0x11000, PAGE, WRITE)
    readable[:4] = b"data"
    assert function.dma_get(0x10000, 4) == (OK, b"data")
    assert function.dma_put(0x10000, b"x") == ABORTED
    assert readable[:4] == b"data"
    assert function.dma_put(0x11000, b"x") == OK
    assert function.dma_get(0x11000, 1)[0] == ABORTED
    assert function.direct(0x11000, 1, READ) == function.ffi.NULL
    assert function.direct(0x10000, 1, READ | WRITE) == function.ffi.NULL


@pytest.mark.requirement("PCI-16")
@pytest.mark.parametrize(("bar", "size"), [(0, 0x10000), (2, 0x2000)])
def test_own_bars_even_where_memory_is_mapped(function: Any, bar: int, size: int) -> None:
    base = function.cfg(0x14 + 4 * bar) << 32 | function.cfg(0x10 + 4 * bar) & ~0xF
    memory = function.memory(base - PAGE, size + 2 * PAGE)
    for addr in (base, base + size - 1, base + size // 2):
        assert function.dma_put(addr, b"x") == UNSUPPORTED
        assert function.dma_get(addr, 1)[0] == UNSUPPORTED
        assert function.direct(addr, 1, READ) == function.ffi.NULL
    assert function.dma_put(base - 4, b"abcdefgh") == UNSUPPORTED
    assert memory[PAGE - 4 : PAGE + 4] == b"abcd\0\0\0\0"
    assert function.dma_put(base + size, b"behind") == OK


@pytest.mark.requirement("PCI-16")
def test_a_hint_never_reaches_into_a_bar(function: Any) -> None:
    function.memory(BAR0 - PAGE, 0x10000 + 2 * PAGE)
    first, last = function.ffi.new("uint64_t *"), function.ffi.new("uint64_t *")
    assert function.seek(BAR0 - 1, READ, first, last)
    assert (first[0], last[0]) == (BAR0 - PAGE, BAR0 - 1)
    assert function.seek(BAR0 + 0x10000, READ, first, last)
    assert (first[0], last[0]) == (BAR0 + 0x10000, BAR0 + 0x10000 + PAGE - 1)
    assert not function.seek(BAR0, READ, first, last)


@pytest.mark.requirement("PCI-16")
def test_bars_count_only_while_they_decode_and_where_they_are(function: Any) -> None:
    function.memory(BAR0, 2 * PAGE)
    assert function.dma_get(BAR0, 1)[0] == UNSUPPORTED
    function.cfg_set(4, MEMORY, 0)
    assert function.dma_get(BAR0, 1)[0] == OK
    function.cfg_set(4, MEMORY)
    assert function.dma_get(BAR0, 1)[0] == UNSUPPORTED
    function.cfg_write(0x14, 4, 0x5000)
    assert function.dma_get(BAR0, 1)[0] == OK


@pytest.mark.requirement("PCI-16")
def test_a_bar_smaller_than_a_granule(make: Make) -> None:
    f = make(bars=[16, 0, 0x2000, 0, 0, 0])
    f.start()
    memory = f.memory(BAR0, PAGE)
    assert f.dma_put(BAR0 + 8, b"x") == UNSUPPORTED
    assert f.dma_put(BAR0 + 16, b"next") == OK
    assert memory[:20] == b"\0" * 16 + b"next"


@pytest.mark.requirement("PCI-17")
@pytest.mark.parametrize("watched", [False, True])
def test_the_address_space_does_not_wrap(function: Any, watched: bool) -> None:
    end, start = function.memory(2**64 - PAGE, PAGE), function.memory(0, PAGE)
    function.observe(0x60 if watched else 0)
    assert function.dma_put(2**64 - 4, b"12345678") == UNSUPPORTED
    assert end[PAGE - 4 :] == b"1234"
    assert start[:4] == b"\0" * 4
    assert function.dma_put(2**64 - 4, b"5678") == OK


@pytest.mark.requirement("PCI-15")
def test_the_host_answers_for_what_is_not_mapped(function: Any) -> None:
    asked: list[tuple[int, int, int]] = []
    written: list[bytes] = []
    reply = {"status": OK}

    def answer(_opaque: Any, iova: int, data: Any, size: int, is_write: int) -> int:
        asked.append((iova, size, is_write))
        view = function.ffi.buffer(data, size)
        if is_write:
            written.append(bytes(view))
            view[:] = b"\xee" * size
        else:
            view[:4] = b"host"
        return reply["status"]

    callback = function.ffi.callback("vnic_unmapped", answer)
    memory = function.memory(0x11000, PAGE)
    memory[:] = b"m" * PAGE
    function.set_unmapped(callback, function.ffi.NULL)
    assert function.dma_get(0x10FF0, 32) == (OK, b"host" + b"\0" * 12 + b"m" * 16)
    assert function.dma_get(0x20800, 2 * PAGE)[0] == OK
    assert asked == [(0x10FF0, 16, 0), (0x20800, 0x800, 0), (0x21000, PAGE, 0), (0x22000, 0x800, 0)]
    data = b"to the host"
    assert function.dma_put(0x30000, data) == OK
    assert written == [data]
    assert data == b"to the host"
    for status in (UNSUPPORTED, ABORTED, POISONED, TIMEOUT):
        reply["status"] = status
        assert function.dma_get(0x30000, 4) == (status, b"\xff" * 4)
    for status in (-1, MASTER_OFF, 99, 2**31 - 1):
        reply["status"] = status
        assert function.dma_get(0x30000, 4)[0] == UNSUPPORTED
    asked.clear()
    assert function.dma_get(BAR0, 4)[0] == UNSUPPORTED
    assert asked == []
    assert function.unmap(0x11000, PAGE) == 0
    assert function.map(0x11000, callback, PAGE, WRITE) == 0
    assert function.dma_get(0x11000, 4)[0] == ABORTED
    assert asked == []


@pytest.mark.requirement("PCI-14", "PCI-15", "PCI-16", "PCI-17")
@given(
    layout=st.lists(st.sampled_from([0, 1, 2, 3]), min_size=12, max_size=12),
    transfers=st.lists(
        st.tuples(st.booleans(), st.integers(0, 12 * PAGE), st.integers(0, 6 * PAGE), st.integers(0, 255)),
        max_size=8,
    ),
    watched=st.booleans(),
    bar_page=st.integers(0, 11),
)
@examples(60)
def test_any_transfer_equals_a_byte_by_byte_model(
    make: Make, layout: list[int], transfers: list[tuple[bool, int, int, int]], watched: bool, bar_page: int
) -> None:
    """Twelve granules at the top of the address space, with permissions or without; a BAR among them."""
    base = 2**64 - 12 * PAGE
    f = make(bars=[0x800, 0, 0x2000, 0, 0, 0])
    f.start()
    bar = base + bar_page * PAGE
    f.cfg_write(0x10, 4, bar & 0xFFFFFFFF)
    f.cfg_write(0x14, 4, bar >> 32)
    views = {i: f.memory(base + i * PAGE, PAGE, p) for i, p in enumerate(layout) if p}
    model = {i: bytearray(PAGE) for i in views}
    f.observe(0x60 if watched else 0)
    for is_write, offset, size, fill in transfers:
        status, moved = OK, 0
        data = bytes((fill + k) & 0xFF for k in range(size))
        out = bytearray(b"\xff" * size)
        for k in range(size):
            page, at = divmod(offset + k, PAGE)
            in_bar = bar <= base + offset + k < bar + 0x800
            if page >= 12 or in_bar or page not in model:
                status = UNSUPPORTED
            elif not layout[page] & (WRITE if is_write else READ):
                status = ABORTED
            if status != OK:
                break
            if is_write:
                model[page][at] = data[k]
            else:
                out[k] = model[page][at]
            moved += 1
        addr = (base + offset) % 2**64
        if offset == 12 * PAGE and size:
            continue  # address 0: another granule
        if is_write:
            assert f.dma_put(addr, data) == status
        else:
            assert f.dma_get(addr, size) == (status, bytes(out))
        if watched and size:
            events = f.seen()
            assert [(e.len, e.value) for e in events] == [(moved, status)]
    for page, view in views.items():
        assert bytes(view[:]) == bytes(model[page])
    f.close()


def test_direct_needs_one_piece(function: Any) -> None:
    function.memory(0x10000, PAGE)
    function.memory(0x11000, PAGE)
    assert function.direct(0x10FF0, 16, READ) != function.ffi.NULL
    assert function.direct(0x10FF0, 17, READ) == function.ffi.NULL
    assert function.direct(0x12000, 1, READ) == function.ffi.NULL


@pytest.mark.requirement("PCI-44")
def test_direct_is_off_while_dma_is_watched_or_disturbed(function: Any) -> None:
    function.memory(0x10000, PAGE)
    assert function.is_direct()
    function.observe(1 << 7)
    assert function.is_direct()
    for mask in (1 << 5, 1 << 6):
        function.observe(mask)
        assert not function.is_direct()
        assert function.direct(0x10000, 4, READ) == function.ffi.NULL
    function.observe(0)
    for site in (0, 1):
        fault = function.arm_fault(site, 0, argument=1)
        assert not function.is_direct()
        assert function.disarm(fault) == 0
    assert function.is_direct()
