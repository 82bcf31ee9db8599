"""Reads a register over a simulated bus with cocotb; run as a program it simulates, imported it measures."""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb_tools.runner import get_runner

OFFSET = 0x40
WARM_UP_READS = 100


async def bus_read(dut: Any, addr: int) -> int:
    """One read: raise the strobe, wait for valid, take the data."""
    dut.addr.value = addr
    dut.read.value = 1
    await RisingEdge(dut.clk)
    dut.read.value = 0
    await RisingEdge(dut.clk)
    while not dut.valid.value:
        await RisingEdge(dut.clk)
    return int(dut.data.value)


@cocotb.test()
async def measure(dut: Any) -> None:
    """CPU time of a read; the simulator runs in the same thread."""
    count = int(os.environ["PERF_READS"])
    dut.read.value = 0
    Clock(dut.clk, 10, "ns").start()
    await RisingEdge(dut.clk)
    for _ in range(WARM_UP_READS):
        assert await bus_read(dut, OFFSET) == OFFSET // 4
    start = time.thread_time_ns()
    for _ in range(count):
        await bus_read(dut, OFFSET)
    ns = (time.thread_time_ns() - start) / count
    Path(os.environ["PERF_ANSWER"]).write_text(json.dumps({"cocotb bus read": ns}), encoding="utf-8")


def simulate(folder: Path, reads: int) -> None:
    """Build the simulation once and run it."""
    here = Path(__file__).resolve().parent
    runner = get_runner("icarus")
    runner.build(sources=[here / "bus_registers.v"], hdl_toplevel="bus_registers", build_dir=folder)
    runner.test(
        test_module="cocotb_bus_read",
        hdl_toplevel="bus_registers",
        build_dir=folder,
        test_dir=folder,
        extra_env={
            "PYTHONPATH": str(here),
            "PERF_READS": str(reads),
            "PERF_ANSWER": str(folder / "answer.json"),
        },
    )


if __name__ == "__main__":
    simulate(Path(sys.argv[1]), int(sys.argv[2]))
