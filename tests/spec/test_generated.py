"""The generated registers and descriptors, in C and in Python, say what the SystemRDL sources say."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.gen import descriptors, enums
from vnic.gen.model import Register, RegisterMap
from vnic.gen.registers import BAR0, CONFIG, MAPS, GlbCtrl, QpRxStatus, Reg

systemrdl = pytest.importorskip("systemrdl", reason="needs systemrdl-compiler")

ROOT = Path(__file__).resolve().parents[2]
GEN = ROOT / "csrc/gen"
COMPILERS = [cc for cc in ("gcc", "clang") if shutil.which(cc)]
DESCRIPTORS = [descriptors.TxData, descriptors.TxContext, descriptors.RxDesc]
DESCRIPTORS += [descriptors.RxCompletion, descriptors.TxCompletion]

# --- the tree as committed


def test_the_committed_outputs_are_up_to_date() -> None:
    check = [sys.executable, str(ROOT / "spec/regen.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


@functools.cache
def compiled_maps() -> dict[str, Any]:
    """The register maps as the SystemRDL compiler itself elaborates them."""
    tops: dict[str, Any] = {}
    for path in sorted((ROOT / "spec").glob("*.rdl")):
        compiler = systemrdl.RDLCompiler()
        compiler.compile_file(str(path))
        names = [name for name in compiler.root.comp_defs if name in MAPS]
        tops |= {name: compiler.elaborate(name).top for name in names}
    return tops


@pytest.mark.parametrize("name", list(MAPS))
def test_every_register_instance_is_where_the_compiler_puts_it(name: str) -> None:
    top, reg_map = compiled_maps()[name], MAPS[name]
    found = 0
    for node in top.registers(unroll=True) + [
        reg
        for regfile in top.descendants(unroll=True)
        if hasattr(regfile, "registers")
        for reg in regfile.registers(unroll=True)
    ]:
        register, _ = reg_map.lookup(node.absolute_address)
        assert register.name.endswith(node.inst_name)
        assert register.width == node.get_property("regwidth")
        assert node.absolute_address in register.offsets()
        assert [(f.name, f.lsb, f.width) for f in register.fields] == [
            (f.inst_name, f.low, f.width) for f in node.fields()
        ]
        assert register.reset == sum((f.get_property("reset") or 0) << f.low for f in node.fields())
        found += 1
    assert found == sum(r.count * r.inner_count for r in reg_map)


@pytest.mark.parametrize("name", list(MAPS))
def test_access_kinds_follow_from_the_properties(name: str) -> None:
    top, reg_map = compiled_maps()[name], MAPS[name]
    for node in (n for n in top.descendants(unroll=True) if hasattr(n, "is_sw_writable")):
        field = reg_map.lookup(node.parent.absolute_address)[0].field(node.inst_name)
        readable = node.is_sw_readable and not node.get_property("singlepulse")
        assert (field.access == "pulse") != readable
        assert (field.access in ("rw", "w1c", "pulse")) == node.is_sw_writable
        assert (field.access == "rc") == (node.get_property("onread") is not None)
        assert (field.access == "w1c") == (node.get_property("onwrite") is not None)
        assert field.sticky == bool(node.get_property("keep", default=False))


@pytest.mark.parametrize("cc", COMPILERS)
def test_c_tables_and_python_registers_agree_on_every_word(words_agree: Callable[..., int], cc: str) -> None:
    assert words_agree(cc, GEN, MAPS.values()) > 1000


def test_c_element_numbers_of_regfile_arrays(c_words: Callable[..., list[str]]) -> None:
    found = {int(line.split()[0]): line for line in c_words(COMPILERS[0], GEN, ["vnic_bar0"])[1:]}
    for i in range(BAR0.QP_RX_TAIL.count):
        assert found[BAR0.QP_RX_TAIL.at(i)].split()[1:3] == ["QP_RX_TAIL", str(i)]


@pytest.mark.parametrize("cc", COMPILERS)
def test_c_accessors_agree_with_python_packing(run_c: Callable[..., str], cc: str) -> None:
    values = {"frame_len": 0x1FFFF, "hash_type": 0x155, "vlan_tci": 0xA5A5, "hdr_len": 0x7001, "gen": 1}
    setters = "\n".join(f"    rx_completion_set_{name}(w, {value}u);" for name, value in values.items())
    getters = "\n".join(f'    printf("%" PRIu64 " ", rx_completion_{name}(w));' for name in values)
    source = f"""
#include <inttypes.h>
#include <stdio.h>
#include "descriptors.h"
int main(void)
{{
    uint64_t w[RX_COMPLETION_WORDS] = {{0}};
    rx_completion_set_hash(w, UINT64_MAX);
    rx_completion_set_hash(w, 0x1234);
{setters}
{getters}
    for (unsigned i = 0; i < RX_COMPLETION_BYTES; i++)
        printf("%02x", (unsigned)(w[i / 8] >> 8 * (i % 8) & 0xFF));
    return 0;
}}
"""
    *found, packed = run_c(cc, GEN, source, []).split()
    assert [int(value) for value in found] == list(values.values())
    assert bytes.fromhex(packed) == descriptors.RxCompletion(hash=0x1234, **values).pack()


# --- registers in Python


def all_registers() -> list[Register]:
    return [register for reg_map in MAPS.values() for register in reg_map]


@given(st.sampled_from(all_registers()), st.integers(0, 2**64 - 1))
def test_decode_then_encode_keeps_the_implemented_bits(register: Register, value: int) -> None:
    assert register.encode(**register.decode(value)) == value & register.mask()


@given(st.sampled_from(all_registers()), st.data())
def test_encode_refuses_values_that_do_not_fit(register: Register, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(register.fields))
    value = data.draw(st.integers(field.max + 1) | st.integers(max_value=-1))
    with pytest.raises(ValueError, match=rf"{register.name}\.{field.name}"):
        register.encode(**{field.name: value})


def test_encode_refuses_unknown_fields() -> None:
    with pytest.raises(KeyError, match="GLB_CTRL has no field SPEED"):
        BAR0.GLB_CTRL.encode(SPEED=1)


@given(st.sampled_from(list(MAPS.values())), st.integers(-8, 2**17))
def test_lookup_and_at_are_inverse(reg_map: RegisterMap, offset: int) -> None:
    try:
        register, index = reg_map.lookup(offset)
    except KeyError:
        assert reg_map.describe(offset) == f"{offset:#x}"
        return
    start = register.at(*divmod(index, register.inner_count))
    assert start <= offset < start + register.bytes
    assert reg_map[register.name] is register
    assert reg_map.describe(offset).startswith(register.name)


def test_at_refuses_elements_outside() -> None:
    tail = BAR0.QP_RX_TAIL
    assert tail.at(3) == Reg.QP_RX_TAIL + 3 * Reg.QP_STRIDE
    for i, j in ((-1, 0), (tail.count, 0), (0, 1), (0, -1)):
        with pytest.raises(IndexError):
            tail.at(i, j)


def test_constants_repeat_the_registers() -> None:
    for name, register in vars(BAR0).items():
        if isinstance(register, Register):
            assert getattr(Reg, name) == register.offset
    assert BAR0.GLB_CTRL.field("RESET").mask == GlbCtrl.RESET
    assert BAR0.QP_RX_STATUS.field("ERROR").mask == QpRxStatus.ERROR_MASK
    assert BAR0.QP_RX_STATUS.field("ERROR").enum is enums.RingError
    assert len({reg_map.hash for reg_map in MAPS.values()}) == len(MAPS)
    assert CONFIG.MAP["BAR"].count == 6


# --- descriptors in Python


@pytest.mark.parametrize("kind", DESCRIPTORS)
@given(data=st.data())
def test_pack_and_unpack_are_inverse(kind: Any, data: st.DataObject) -> None:
    noise = data.draw(st.binary(min_size=kind.SIZE + 7, max_size=kind.SIZE + 7))
    value = kind.unpack(noise, 7)
    packed = value.pack()
    assert len(packed) == kind.SIZE
    assert kind.unpack(packed) == value
    assert all(out & ~seen == 0 for out, seen in zip(packed, noise[7:], strict=True))


@pytest.mark.parametrize("kind", DESCRIPTORS)
@given(data=st.data())
def test_pack_refuses_values_that_do_not_fit(kind: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([f.name for f in fields(kind)]))
    ones = getattr(kind.unpack(b"\xff" * kind.SIZE), name)
    bad = data.draw(st.just(ones + 1) | st.integers(ones + 1) | st.integers(max_value=-1))
    with pytest.raises(ValueError, match=rf"\.{name.upper()}: .* does not fit"):
        kind(**{name: bad}).pack()


@pytest.mark.parametrize("kind", DESCRIPTORS)
@pytest.mark.parametrize("offset", [-1, -16, 1, 10**9])
def test_unpack_refuses_reads_outside_the_buffer(kind: Any, offset: int) -> None:
    with pytest.raises(ValueError, match="bytes at offset"):
        kind.unpack(bytes(kind.SIZE), offset)
