"""Register maps of foreign devices: files, what is wrong with them, names, and masks of a tolerant replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import EventType
from vnic.cli import main
from vnic.errors import ArgumentError
from vnic.fuzz.effort import examples
from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceWriter
from vnic.trace.header import FunctionHeader, TraceHeader
from vnic.trace.judge import Tolerant
from vnic.trace.maps import find_map, maps_of, names_of, parse_map, shipped_map, shipped_maps
from vnic.trace.replay import Decision, Difference
from vnic.trace.text import Lines

HEADER = TraceHeader((FunctionHeader(0, "foreign", "8086:10d3"), FunctionHeader(1, "foreign", "1234:5678")))


def device(*registers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A map of one BAR."""
    window = {"bar": 0, "size": "0x100", "registers": list(registers)}
    return {"format": "vnic-map/1", "name": "toy", "ids": ["1234:5678"], "windows": [window]} | more


def parsed(values: Any) -> Any:
    return parse_map(json.dumps(values).encode(), "toy.json")


TOY = device(
    {"name": "CMD", "offset": 0, "width": 8, "fields": [{"name": "GO", "lsb": 0, "kind": "volatile"}]},
    {"name": "MODE", "offset": 1, "width": 8, "fields": [{"name": "A", "lsb": "0x2", "width": 3}]},
    {"name": "HEAD", "offset": "0x2", "width": 16, "kind": "counter"},
    {"name": "RING", "offset": 16, "count": 4, "stride": 8},
    {"name": "SUM", "offset": "0x30", "width": 64, "kind": "statistic"},
)


def access(kind: EventType, width: int, addr: int, value: int, function: int = 1) -> TraceEvent:
    return TraceEvent(0, kind, 0, function, 0, width, addr, value)


def test_narrow_registers_and_arrays_have_names() -> None:
    names = names_of(HEADER, {1: parsed(TOY)})
    found = [
        names.name(access(EventType.MMIO_READ, 1, at, 0)) for at in (0, 1, 2, 3, 16, 24, 27, 20, 0x37, 9)
    ]
    assert found == [
        "CMD",
        "MODE",
        "HEAD",
        "HEAD+1",
        "RING[0]",
        "RING[1]",
        "RING[1]+3",
        "0x14",
        "SUM+7",
        "0x9",
    ]
    lines = Lines(HEADER, names)
    assert lines.what(access(EventType.MMIO_WRITE, 1, 0, 1)) == "mw8 b0 CMD <- 0x1"
    assert names.fields(access(EventType.MMIO_WRITE, 1, 1, 0xC)) == {"A": 3}


def test_masks_are_of_the_kinds() -> None:
    found = parsed(TOY)
    assert found.masks == {"CMD": 1, "MODE": 0, "HEAD": 0xFFFF, "RING": 0, "SUM": (1 << 64) - 1}
    judge = Tolerant(names_of(HEADER, {1: found}), found.masks)

    def read(addr: int, value: int) -> TraceEvent:
        return access(EventType.MMIO_READ, 1, addr, value)

    for addr, one, other in ((0, 2, 3), (2, 0, 0xFF), (3, 0, 0xFF)):
        assert judge(Difference(0, read(addr, one), read(addr, other))) is Decision.GO_ON
    assert (judge.borne, judge.differences) == (3, [])
    judge(Difference(0, read(0, 2), read(0, 4)))
    judge(Difference(0, read(1, 2), read(1, 3)))
    assert judge.counts == {"CMD": 1, "MODE": 1}


def test_the_shipped_map() -> None:
    found = shipped_map("8086:10D3")
    assert found is not None
    assert found.name == "e1000e"
    assert [each.name for each in shipped_maps()] == ["e1000e"]
    assert shipped_map("8086:1521") is None
    names = names_of(HEADER)
    for bar, offset, name in (
        (0, 0x0000, "CTRL"),
        (0, 0x00C0, "ICR"),
        (0, 0x3918, "TDT[1]"),
        (0, 0x4074, "GPRC"),
        (0, 0x540C, "RAH[1]"),
        (0, 0x5C80 + 36, "RSSRK[9]"),
        (3, 0x1C, "MSIXTVCTRL[1]"),
    ):
        assert names.name(TraceEvent(0, EventType.MMIO_READ, 0, 0, bar, 4, offset)) == name
    assert names.name(TraceEvent(0, EventType.CFG_READ, 0, 0, 0, 2, 0xCC)) == "PM_CSR"
    assert names.name(TraceEvent(0, EventType.CFG_READ, 0, 0, 0, 2, 4)) == "COMMAND"
    # What differs between two real boots is borne; what a driver wrote is not.
    assert found.masks["STATUS"] == found.masks["GPRC"] == found.masks["TDH"] == 0xFFFFFFFF
    assert found.masks["CTRL"] == 1 << 31 | 1 << 28 | 1 << 27 | 1 << 26
    assert found.masks["TCTL"] == found.masks["TDT"] == found.masks["RETA"] == 0


def test_capabilities_of_this_card_are_not_those_of_another() -> None:
    names = names_of(HEADER)
    assert names.name(TraceEvent(0, EventType.CFG_READ, 0, 1, 0, 4, 0)) == "ID"
    assert names.name(TraceEvent(0, EventType.CFG_READ, 0, 1, 0, 4, 0xB0)) == "0xb0"


def test_hash_follows_the_content() -> None:
    one, same = (parsed(TOY).windows[0].map.hash for _ in range(2))
    changed = json.loads(json.dumps(TOY))
    changed["windows"][0]["registers"][0]["offset"] = 4
    assert one == same != parsed(changed).windows[0].map.hash


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no vnic-map/1"),
        ({"format": "vnic-map/2"}, "no vnic-map/1"),
        (device(name=""), "map: no name"),
        (device(windows=1), "toy: windows is no list"),
        (
            device(windows=[{"bar": 6, "size": 1, "registers": []}]),
            "toy: window: bar '6' is no number from 0 to 0x5",
        ),
        (device(windows=TOY["windows"] * 2), "CMD is there twice"),
        (device(windows=[{"bar": 0, "size": 1, "registers": []}] * 2), "two windows of one BAR"),
        (device({"offset": 0}), "register: no name"),
        (device({"name": "A"}), "A: offset 'None' is no number"),
        (device({"name": "A", "offset": True}), "A: offset 'True' is no number"),
        (device({"name": "A", "offset": "x"}), "A: offset 'x' is no number"),
        (device({"name": "A", "offset": -1}), "A: offset '-1' is no number"),
        (device({"name": "A", "offset": 0xFE}), "A ends at 0x102, behind the size, 0x100"),
        (device({"name": "A", "offset": 0, "width": 24}), "A: width 24"),
        (device({"name": "A", "offset": 0, "count": 0}), "A: 0 elements"),
        (device({"name": "A", "offset": 0, "count": 2, "stride": 2}), "A: 2 elements, 2 bytes apart"),
        (device({"name": "A", "offset": 0, "count": 1 << 18}), "registers of more than 262144 bytes"),
        (device({"name": "A", "offset": 0, "kind": "odd"}), "A: kind 'odd'"),
        (device({"name": "A", "offset": 0}, {"name": "B", "offset": 3}), "B at 0x3 stands on A"),
        (device({"name": "A", "offset": 0, "fields": [{"name": "F", "lsb": 30, "width": 3}]}), "A.F: 3 bits"),
        (device({"name": "A", "offset": 0, "fields": [{"name": "F", "lsb": 32}]}), "A.F: 1 bits from bit 32"),
        (device({"name": "A", "offset": 0, "fields": {}}), "A: fields is no list"),
    ],
)
def test_what_is_wrong_with_a_map(values: Any, said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parsed(values)
    assert str(caught.value).startswith(f"toy.json: {said}")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data())
@examples(40)
def test_any_json(data: st.DataObject) -> None:
    values = json.loads(json.dumps(TOY))
    window = values["windows"][0]
    place = data.draw(
        st.sampled_from([values, window, *window["registers"], window["registers"][0]["fields"][0]])
    )
    place[data.draw(st.sampled_from([*place, "kind", "count", "stride", "fields"]))] = data.draw(JSON)
    try:
        parsed(values)
    except ArgumentError as error:
        assert str(error).startswith("toy.json: ")


@pytest.mark.parametrize("octets", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "toy.json"
    path.write_bytes(octets)
    with pytest.raises(ArgumentError, match=r"toy\.json: "):
        find_map(str(path))


def test_maps_that_are_given_come_first() -> None:
    toy = parsed(TOY)
    assert maps_of(HEADER).keys() == {0}
    assert maps_of(HEADER, {0: toy, 1: toy}) == {0: toy, 1: toy}
    assert find_map("e1000e").ids == ("8086:10d3",)
    with pytest.raises(ArgumentError, match=r"nowhere: No such file or directory; .*\(e1000e\)"):
        find_map("nowhere")


def test_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, toy = tmp_path / "a.pcapng", tmp_path / "toy.json"
    toy.write_text(json.dumps(TOY))
    with TraceWriter(path, HEADER) as writer:
        writer.write(access(EventType.MMIO_WRITE, 4, 0x18, 5))
        writer.write(access(EventType.MMIO_WRITE, 4, 0x18, 5, 0))

    def said(*words: object) -> str:
        main(["trace", *map(str, words)])
        return capsys.readouterr().out

    assert said("dump", path).splitlines()[0].endswith("mw32 b0 0x18 <- 0x5")
    first, second = said("dump", path, "--map", f"1={toy}").splitlines()
    assert (first.split()[2:5], second.split()[2:5]) == (
        ["mw32", "b0", "RING[1]"],
        ["mw32", "b0", "CTRL_EXT"],
    )
    assert said("dump", path, "--map", toy).count("RING[1]") == 2
    assert "RING[1]" in said("info", path, "--map", f"1={toy}")
    assert "RING[1]" in said("export", path, "--map", f"1={toy}")
    assert said("diff", path, path, "--map", "e1000e") == "the same events\n"
    for wrong in (f"2={toy}", "nowhere", "1="):
        assert main(["trace", "dump", str(path), "--map", wrong]) == 2
        assert capsys.readouterr().err.startswith("vnic: ")
