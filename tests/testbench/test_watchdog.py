"""The watchdog: a loop ends wherever it is, the last resort is the end of the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from vnic.testbench.watchdog import STATUS, HungTest, Watchdog


def loop() -> None:
    while True:
        pass


@pytest.mark.requirement("BEN-40")
def test_a_loop_in_python_ends() -> None:
    started = time.monotonic()
    with pytest.raises(HungTest, match=r"(?s)did not end within 0.05 s\nwho holds the world"):  # noqa: SIM117
        with Watchdog(0.05, lambda: "who holds the world"):
            loop()
    assert time.monotonic() - started < 5


@pytest.mark.requirement("BEN-40")
def test_code_that_catches_exceptions_ends_too() -> None:
    caught = 0
    with pytest.raises(HungTest):  # noqa: SIM117
        with Watchdog(0.02, lambda: "", grace_s=0.02):
            try:
                loop()
            except Exception:
                caught += 1
            except BaseException:
                caught += 10  # swallowed: it comes again
            loop()
    assert caught == 10


@pytest.mark.requirement("BEN-40")
def test_a_report_that_fails_is_no_loss() -> None:
    def report() -> str:
        raise ZeroDivisionError("in the middle")

    with pytest.raises(HungTest, match="is not known: ZeroDivisionError"):  # noqa: SIM117
        with Watchdog(0.02, report):
            loop()


@pytest.mark.requirement("BEN-40", "BEN-42")
def test_what_ends_in_time_is_left_alone() -> None:
    def handler(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 500)
    try:
        with Watchdog(100, lambda: "") as watchdog:
            assert signal.getsignal(signal.SIGALRM) is not handler
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        assert not watchdog.has_barked
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 400 < signal.getitimer(signal.ITIMER_REAL)[0] <= 500
        with Watchdog(0, lambda: ""):
            assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for thread in threading.enumerate():
        if thread.name == "vnic-watchdog":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.requirement("BEN-41")
def test_off_the_main_thread_the_process_ends() -> None:
    told: list[str] = []
    left = threading.Event()

    def leave(status: int) -> None:
        told.append(str(status))
        left.set()

    def hang() -> None:
        with Watchdog(0.02, lambda: "who", grace_s=0.01, tell=told.append, leave=leave):
            left.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    thread.join()
    assert told[1] == str(STATUS)
    assert "did not end within 0.02 s\nwho\nand no exception ends it" in told[0]
    assert "in hang" in told[0]


NATIVE = """
import ctypes
from vnic.testbench.watchdog import Watchdog
with Watchdog(0.1, lambda: "who holds it", grace_s=0.05):
    ctypes.CDLL(None).sleep(100)
    while True:
        try:
            ctypes.CDLL(None).sleep(100)
        except BaseException:
            pass
"""


@pytest.mark.requirement("BEN-41")
def test_a_hang_outside_of_python_ends_the_process(python_environment: dict[str, str]) -> None:
    swallowing = NATIVE.replace("    ctypes.CDLL(None).sleep(100)\n    while", "    while", 1)
    done = subprocess.run(
        [sys.executable, "-c", swallowing],
        env=python_environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == STATUS
    assert "who holds it" in done.stderr
    assert "no exception ends it" in done.stderr
