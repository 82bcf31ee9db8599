"""What random mutants change, which tests they are shown to, and how results are kept."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from itertools import islice
from pathlib import Path

import pytest

from tests.mutants.random.__main__ import Rows, part_of, wanted
from tests.mutants.random.chart import Chart
from tests.mutants.random.operators import Change, Source
from tests.mutants.random.sample import Mutant, files, mutants
from tests.mutants.random.tokens import tokens
from tests.mutants.random.trial import portions
from tests.mutants.workshop import ROOT


def changed(body: str) -> set[str]:
    """Every mutant of a function with this body, without spaces."""
    text = f"int f(int a, int b)\n{{\n{body}\n}}\n"
    made = {text[: c.start] + c.text + text[c.end :] for c in Source(text).changes()}
    return {"".join(each.split("\n", 2)[2][:-3].split()) for each in made}


def test_comments_strings_and_directives_are_no_tokens() -> None:
    text = '#define A \\\n 1\n/* a + b */ // c - d\nchar *s = "x\\"<y"; int n = 0x1fu;'
    assert [(t.text, t.line) for t in tokens(text) if t.kind != "mark"] == [
        ("char", 4), ("s", 4), ('"x\\"<y"', 4), ("int", 4), ("n", 4), ("0x1fu", 4),
    ]  # fmt: skip


def test_files_of_the_core_are_understood() -> None:
    for file in files(ROOT)[::8]:
        text = (ROOT / file).read_text(encoding="utf-8")
        found = tokens(text)
        assert all(text[t.start : t.end] == t.text for t in found), file
        assert all(text.count("\n", 0, t.start) + 1 == t.line for t in found[-3:]), file
        assert found[-1].depth == 0, file


@pytest.mark.parametrize(
    ("body", "some", "none"),
    [
        ("return a < b;", ["returna<=b;", "returna!=b;", "return0;", "return!(a<b);"], []),
        ("return -a;", ["return0;"], ["return+a;"]),
        ("return a - 1;", ["returna+1;", "returna-0;", "returna-2;"], ["returna--1;"]),
        ("if (a && b) { a = 3; } else { b = 4; }",
         ["if(!(a&&b)){a=3;}else{b=4;}", "if(a||b){a=3;}else{b=4;}", "if(a&&b){a=3;}{b=4;}",
          "if(a&&b){;}else{b=4;}"], []),
        ("g(a, b, 1);", ["g(b,a,1);", "g(a,1,b);", ";"], []),
        ("g(h(a, b), a);", ["g(a,h(a,b));", "g(h(b,a),a);"], []),
        ("a |= 1u << b;", ["a|=1u>>b;", "a&=1u<<b;", "a=1u<<b;", "a|=0u<<b;", "a|=2u<<b;"], []),
        ("vnic_assert(a < b); static_assert(1 > 0);", [], ["vnic_assert(a>b);static_assert(1>0);"]),
    ],
)  # fmt: skip
def test_changes(body: str, some: list[str], none: list[str]) -> None:
    found = changed(body)
    assert set(some) <= found
    assert not set(none) & found
    assert "".join(body.split()) not in found


def test_the_order_of_some_arguments_is_all_one() -> None:
    assert "bits_min32(b,a);" not in changed("bits_min32(a, b);")
    assert "x_is_equal(b,a);" not in changed("x_is_equal(a, b);")
    assert "g=calloc(b,a);" not in changed("g = calloc(a, b);")


def test_memcmp_is_asked_for_equality_only() -> None:
    """So that the order of what it compares is all one."""
    asked = re.compile(r"memcmp\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*(.{0,2})", re.DOTALL)
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "csrc").rglob("*.c")]
    found = [match[1] for text in texts for match in asked.finditer(text)]
    assert len(found) > 20
    assert set(found) == {"==", "!="}


def test_assertions_are_spared() -> None:
    assert changed("vnic_assert(a < b);") == set()


def test_what_has_no_effect_is_spared() -> None:
    assert changed("__builtin_prefetch(g + a, 1);") == set()


def test_a_sample_is_its_seeds(tmp_path: Path) -> None:
    for file in ("csrc/tcp/rack.c", "csrc/nic/ring.c", "csrc/gen/pci_config.c"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    first = list(islice(mutants(tmp_path, 1), 50))
    assert first == list(islice(mutants(tmp_path, 1), 50))
    assert first != list(islice(mutants(tmp_path, 2), 50))
    assert {m.file for m in first} == {"csrc/tcp/rack.c", "csrc/nic/ring.c"}
    assert len({(m.file, m.change.operator, m.change.start) for m in first}) == 50
    for mutant in first:
        source = (tmp_path / mutant.file).read_text(encoding="utf-8")
        assert mutant.source(tmp_path) != source
        assert mutant.source(tmp_path).count("\n", 0, mutant.change.start) + 1 == mutant.change.line


@pytest.fixture
def chart(tmp_path: Path) -> Chart:
    """Three tests; the second enters no block that begins at line 20. Written and read again."""
    names = [("tests/tcp/a.py::one", 0.5), ("tests/tcp/a.py::two", 3.0), ("tests/nic/b.py::three", 1.0)]
    made = Chart(names, {"csrc/tcp/x.c": {10: 0b111, 20: 0b101, 30: 0}})
    made.write(tmp_path / "chart.json.gz")
    return Chart.read(tmp_path / "chart.json.gz")


@pytest.mark.parametrize(
    ("line", "tests"), [(9, [0, 1, 2]), (10, [0, 1, 2]), (20, [0, 2]), (25, [0, 2]), (31, [])]
)
def test_a_line_belongs_to_the_blocks_around_it(chart: Chart, line: int, tests: list[int]) -> None:
    assert chart.of("csrc/tcp/x.c", line) == tests


def test_what_is_charted_anew_takes_the_place_of_the_old(chart: Chart) -> None:
    names = [("tests/nic/b.py::three", 0.2), ("tests/nic/b.py::four", 0.1)]
    more = chart.and_more(Chart(names, {"csrc/tcp/x.c": {20: 0b10}, "csrc/nic/y.c": {7: 0b01}}))
    tests = [name.partition("::")[2] for name, _ in more.tests]
    assert [tests[n] for n in more.of("csrc/tcp/x.c", 9)] == ["one", "two"]
    assert [tests[n] for n in more.of("csrc/tcp/x.c", 25)] == ["one", "four"]
    assert [more.tests[n] for n in more.of("csrc/nic/y.c", 7)] == [("tests/nic/b.py::three", 0.2)]


def test_every_test_gets_its_portion(chart: Chart) -> None:
    assert [n for portion in portions(chart, [0, 1, 2], 60) for n in portion] == [0, 1, 2]
    assert list(portions(chart, [1, 0, 2], 2.5)) == [[1]]


def test_a_change_says_where_it_is() -> None:
    source = Source("int f(void)\n{\n    return 1;\n}\n")
    assert Change("constant", 3, 25, 26, "2") in list(source.changes())


def test_a_part_has_its_own_mutants(tmp_path: Path) -> None:
    """Two parts are the whole; what has a result is counted, and not tried again."""
    (tmp_path / "csrc" / "tcp").mkdir(parents=True)
    text = (ROOT / "csrc/tcp/rack.c").read_text(encoding="utf-8")
    (tmp_path / "csrc/tcp/rack.c").write_text(text, encoding="utf-8")
    parts = [Namespace(again=False, part=(k, 2), seed=1, leave_out=[], count=10) for k in (0, 1)]
    results: Rows = {}
    tried = [campaign(part, tmp_path, results) for part in parts]
    assert [len(each) for each in tried] == [20, 20]
    assert set(tried[0] + tried[1]) == set(islice(mutants(tmp_path, 1), 40))
    assert campaign(parts[0], tmp_path, results) == []
    survivors = {key for key, row in results.items() if row["outcome"] == "SURVIVED"}
    assert 0 < len(survivors) < 20
    again = wanted(Namespace(again=True), tmp_path, results)
    assert {(mutant.file, *mutant.change) for mutant in again} == survivors


def campaign(chosen: Namespace, root: Path, rows: Rows) -> list[Mutant]:
    """As if every other mutant did not compile, and some others survived."""
    found: list[Mutant] = []
    for mutant in wanted(chosen, root, rows):
        outcome = "SURVIVED" if mutant.change.start % 2 else "killed"
        rows[mutant.file, *mutant.change] = {
            "outcome": outcome if len(found) % 2 else "does not compile",
            "mutant": [mutant.file, *mutant.change],
        }
        found.append(mutant)
    return found


@pytest.mark.parametrize(("text", "part"), [("0/1", (0, 1)), ("3/4", (3, 4))])
def test_parts_are_named(text: str, part: tuple[int, int]) -> None:
    assert part_of(text) == part


@pytest.mark.parametrize("text", ["", "1", "1/1", "2/1", "-1/2", "a/b", "1/2/3", "0/0"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        part_of(text)
