"""The harness of drivers in C: its card is the card, and each of its rules tells of a mistake."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import vnic
from tests.c_objects import INCLUDE, flavour
from tests.fuzz.workshop import LANGUAGE, ROOT, files_of, has_libfuzzer, targets
from tests.seeded.example_c import FAULTS
from vnic.cli import main
from vnic.config import DeviceConfig
from vnic.device import Device
from vnic.fuzz.effort import EFFORT
from vnic.fuzz.harness import FOLDER, arguments, sources
from vnic.gen.registers import BAR0, CONFIG

_HEADER = (FOLDER / "driver_input.h").read_text(encoding="utf-8")
_CARD = (FOLDER / "driver_card.c").read_text(encoding="utf-8")
#: Acts by name.
_CODES = {name: code for code, name in enumerate(re.findall(r"^ +ACT_(\w+),", _HEADER, re.MULTILINE))}
_EAGER, _BOUNDED = 0x10, 0x01
#: From here on a number of ACT_QUERY names OIDs that need not be the driver's.
OTHERS = 0x80
EXAMPLE = "vnic/examples/minimal.c"
_SECONDS = 60


def act(name: str, a: int = 0, b: int = 0, c: int = 0) -> bytes:
    """One act, as an input has it."""
    return bytes([_CODES[name], a]) + b.to_bytes(2, "little") + c.to_bytes(4, "little")


def _words(table: str) -> dict[str, int]:
    """A table of the harness's card: what each word is after power-on, by how the table names it."""
    body = re.search(rf"{table}\[\] = {{(.*?)^}};", _CARD, re.DOTALL | re.MULTILINE)
    assert body is not None
    return {where: int(value, 0) for where, value in re.findall(r"\{([^{},]+), (\w+)\}", body[1])}


# -- the card --------------------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Device:
    """A card of the harness's shape, after power-on."""
    device = Device(DeviceConfig(queue_pairs=2, vectors=3, connections=0, rx_buffer_bytes=1 << 16))
    device.config_write(CONFIG.COMMAND.offset, 2, 2)
    return device


@pytest.mark.requirement("FUZ-32")
def test_registers_are_those_of_the_card(fresh: Device) -> None:
    """All that is not 0, but for the chimney, which the harness leaves out of the list of blocks."""
    words = _words(r"power_on")
    own = {f"REG_{register.name}": register.offset for register in BAR0.MAP}
    told = {own[name.split(" ")[0]] + (4 if "+ 4" in name else 0): value for name, value in words.items()}
    last = BAR0.QP_RX_BASE.offset
    found = {offset: value for offset in range(0, last, 4) if (value := fresh.read(0, offset, 4))}
    found.pop(BAR0.GLB_STATUS.offset)  # worked out, not kept: idle, and no link
    found.pop(BAR0.STAT_GUEST_ERRORS.offset)  # of reads between registers
    assert found.pop(BAR0.QPS_NEXT.offset) == BAR0.CHM_TYPE.offset
    assert told.pop(BAR0.QPS_NEXT.offset) == 0
    assert told == found


@pytest.mark.requirement("FUZ-32")
def test_configuration_space_is_that_of_the_card(fresh: Device) -> None:
    fresh.config_write(CONFIG.COMMAND.offset, 0, 2)
    told = {int(name, 16): value for name, value in _words("config_power_on").items()}
    assert told == {offset: value for offset in range(0, 256, 4) if (value := fresh.config_read(offset, 4))}


# -- rules -----------------------------------------------------------------------------------------------


@pytest.fixture
def run_driver(
    fuzz_program: Callable[[str], Path], fuzz_folder: Path, tmp_path: Path
) -> Callable[[str, bytes], str]:
    """What the harness says of the example with a fault, for an input; '' when it survives."""

    def run(fault_id: str, given: bytes) -> str:
        fuzz_program("driver")
        (tmp_path / "input").write_bytes(given)
        done = subprocess.run(
            [str(_faulty(fault_id, tmp_path, fuzz_folder)), "input"],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=_SECONDS,
            env={"ASAN_OPTIONS": "detect_leaks=0"},
        )
        return done.stderr if done.returncode else ""

    return run


def _faulty(fault_id: str, folder: Path, objects: Path) -> Path:
    """A program of the example with a mistake; its headers are copied, where the mistake is one of theirs."""
    fault = next(each for each in FAULTS if each.id == fault_id)
    names = [EXAMPLE, *(f"csrc/include/vnic/{path.name}" for path in _headers())]
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace(fault.text, fault.wrong) if name == fault.file else text)
    return _program(folder / EXAMPLE, folder, objects, f"-I{folder / 'csrc' / 'include'}")


def _program(driver: Path, folder: Path, objects: Path, *flags: str) -> Path:
    """A program of another driver and the harness, whose objects there are."""
    others = [
        str(objects / f"{path.stem}.o")
        for name in (*targets()["driver"].sources, "standalone")
        for path in files_of(name)
        if path.stem != "minimal"
    ]
    program = folder / "program"
    command = [
        "gcc",
        *LANGUAGE,
        "-O0",
        *flavour(),
        *flags,
        *INCLUDE,
        str(driver),
        *others,
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True, timeout=_SECONDS)
    return program


def _headers() -> list[Path]:
    return sorted((ROOT / "csrc" / "include" / "vnic").glob("vnic_plain_*.h"))


_SEND = act("SEND", 0, 100)
_SETTLE = act("SETTLE")


@pytest.mark.parametrize(
    ("fault", "options", "acts", "rule"),
    [
        pytest.param("EC-2", _EAGER, b"", "FUZ-33", marks=pytest.mark.requirement("FUZ-33")),
        pytest.param("EC-1", _EAGER, _SEND, "FUZ-34", marks=pytest.mark.requirement("FUZ-34")),
        pytest.param(
            "EC-12", 0, act("ARRIVE", 0, 100) + _SETTLE, "FUZ-35", marks=pytest.mark.requirement("FUZ-35")
        ),
        pytest.param(
            "EC-13", 0, act("ARRIVE", 0, 100, 0x100), "FUZ-36", marks=pytest.mark.requirement("FUZ-36")
        ),
        pytest.param(
            "EC-10", 0, act("PAUSE") + _SEND + _SETTLE, "SEND-3", marks=pytest.mark.requirement("FUZ-37")
        ),
    ],
)
def test_a_mistake_breaks_its_rule(
    run_driver: Callable[[str, bytes], str], fault: str, options: int, acts: bytes, rule: str
) -> None:
    assert f"driver: {rule}: " in run_driver(fault, bytes([options, 0]) + acts)


@pytest.mark.requirement("FUZ-31")
def test_every_service_of_ndis_and_bus_is_there(
    fuzz_program: Callable[[str], Path], fuzz_folder: Path, tmp_path: Path
) -> None:
    """The driver that tries them all answers with the lines where something was not right: with none."""
    fuzz_program("driver")
    driver = ROOT / "tests" / "drivers" / "services.c"
    program = _program(driver, tmp_path, fuzz_folder, f"-I{ROOT / 'vnic' / 'examples'}")
    of_vendor = OTHERS + 3  # OID_GEN_VENDOR_DESCRIPTION
    acts = act("SEND", 0, 200, 0x63) + _SETTLE + act("QUERY", of_vendor, 1024) + _SETTLE
    (tmp_path / "input").write_bytes(bytes([0, 0xC3]) + acts)  # a sound card, 64 buffers
    done = subprocess.run(
        [str(program), "input"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=_SECONDS,
        env={"VNIC_FUZZ_TELL": "1", "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert "OID 0x0001010D query: 0x00000000, 1 bytes" in done.stderr


@pytest.mark.requirement("FUZ-30")
def test_an_input_is_told_act_by_act(fuzz_program: Callable[[str], Path], tmp_path: Path) -> None:
    acts = (act("SEND_MANY", 3, 60, 7), act("FORGE_RECEIVE", 1, 2, 0xABC), b"\x00")  # the last is cut short
    (tmp_path / "input").write_bytes(bytes([_BOUNDED, 0]) + b"".join(acts))
    done = subprocess.run(
        [str(fuzz_program("driver")), "input"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=_SECONDS,
        env={"VNIC_FUZZ_TELL": "1", "ASAN_OPTIONS": "detect_leaks=0"},
    )
    told = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert told == [
        "the card is bounded; interrupts: MSI-X; buffers: 0",
        "OID 0x0001010E set: 0x00000000, 4 bytes",  # the filter, as a protocol binds
        "0 Running send many a=3 b=60 c=0x7",
        "1 Running forge receive a=1 b=2 c=0xABC",
        "2 Running settle a=0 b=0 c=0x0",
    ]


# -- how it is had ---------------------------------------------------------------------------------------


@pytest.mark.requirement("FUZ-30")
def test_it_comes_with_the_package() -> None:
    """Its files are where a compiler is told, and the wheel has them."""
    assert {str(path) for path in sources()} <= set(arguments())
    assert Path(vnic.__file__).parent / "fuzz/harness" == FOLDER and len(sources()) > 10
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = project["tool"]["setuptools"]["package-data"]["vnic"]
    assert {"fuzz/harness/*.c", "fuzz/harness/*.h"} <= set(packaged)


@pytest.mark.requirement("FUZ-76")
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["card"], "goes with target driver"),
        (["driver"], "goes with target driver"),
        (["driver", "--driver", "a.py:A"], "a C file or a shared library"),
        (["driver", "--driver", "a.c", "--jobs", "2"], "no shards, jobs or executors"),
    ],
)
def test_wrong_calls_are_named(capsys: pytest.CaptureFixture[str], wrong: list[str], why: str) -> None:
    assert main(["fuzz", *wrong, "--engine", "libfuzzer"]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.skipif(EFFORT <= 1, reason="in `make nightly` only: builds with clang")
@pytest.mark.requirement("FUZ-30", "FUZ-31")
def test_a_driver_is_fuzzed_by_one_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver with a mistake is a finding, with its rule and an input that shows it again."""
    if not has_libfuzzer():
        pytest.skip("needs clang with libFuzzer")
    fault = next(each for each in FAULTS if each.id == "EC-4")
    mine = tmp_path / "mine.c"
    mine.write_text((ROOT / fault.file).read_text(encoding="utf-8").replace(fault.text, fault.wrong))
    command = ["fuzz", "driver", "--engine", "libfuzzer", "--driver", str(mine), "--time", "60s"]
    assert main([*command, "--keep", str(tmp_path / "kept"), "--json"]) == 1
    assert "FUZ-35: " in capsys.readouterr().out
