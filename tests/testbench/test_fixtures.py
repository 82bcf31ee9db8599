"""The fixtures and the mark: wired to each other, made as the mark says, checked, watched, free of cost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.gen.registers import BAR0
from vnic.host.system import System
from vnic.link.impairments import Impairments
from vnic.ndis.adapter import Adapter
from vnic.ndis.keywords import Settings
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.capture import Capture
from vnic.testbench.frames import MAC, PEER, plain_frame
from vnic.testbench.host import Host
from vnic.testbench.machine import Machine
from vnic.testbench.marker import Wanted, wanted
from vnic.testbench.peer import ADDRESS, Peer
from vnic.testbench.pytest_plugin import pytest_configure_node
from vnic.testbench.step import COMPLETION_WRITE
from vnic.testbench.steps import Steps
from vnic.trace.replay import Outcome, Replay

pytest_plugins = ["pytester"]


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers", *options
    )


# -- what they are -------------------------------------------------------------------------------------------


@pytest.mark.requirement("BEN-50")
def test_bench_adapter_and_device_are_one_machine(bench: Bench, adapter: Adapter, device: Device) -> None:
    assert adapter is bench.adapter
    assert device is bench.device
    assert adapter.state is AdapterState.RUNNING


@pytest.mark.requirement("BEN-50")
def test_frames_go_to_the_peer_and_come_from_it(bench: Bench, peer: Peer) -> None:
    peer.send(plain_frame(100), plain_frame(90))
    bench.settle()
    assert bench.received == [plain_frame(100), plain_frame(90)]
    bench.send(plain_frame(80, to=PEER))
    assert peer.wait() == [plain_frame(80, to=PEER)]
    assert peer.statistics.delivered == 1
    with pytest.raises(AssertionError, match="2 frames did not come within 10 ns; 1 frames came"):
        peer.wait(2, within_ns=10)
    peer.set_link(False)
    bench.settle()
    assert bench.protocol.statuses[-1].status == NDIS_STATUS.LINK_STATE
    assert bench.adapter.link_state.connect == MediaConnectState.DISCONNECTED


@pytest.mark.requirement("BEN-50", "BEN-51")
@pytest.mark.vnic(loss=0.02, chimney=True, seed=1)
def test_tcp_goes_both_ways_over_a_bad_wire(host: Host, peer: Peer, bench: Bench) -> None:
    assert host.bench is bench
    assert host.chimney is not None
    listener = peer.listen(80)
    near = host.streams.connect((ADDRESS, 80))
    far = peer.accept(listener)
    near.write_all(bytes(range(256)) * 400)
    near.finish()
    assert far.read_all() == bytes(range(256)) * 400
    far.write_all(b"thanks")
    far.finish()
    assert near.read_all() == b"thanks"
    assert peer.lost > 0
    near.close()
    far.close()


@pytest.mark.requirement("BEN-50")
def test_the_host_takes_connections_too(host: Host, peer: Peer) -> None:
    listener = host.stack.listen(("0.0.0.0", 7))
    far = peer.connect(7)
    near = host.streams.accept(listener)
    far.write_all(b"x")
    assert near.read(1) == b"x"
    near.close()
    far.close()


@pytest.mark.requirement("BEN-50")
@pytest.mark.vnic(queues=3, cpus=1, seed=4)
def test_a_machine_its_bus_and_its_steps(machine: Machine, bus: System, steps: Steps, device: Device) -> None:
    assert bus is machine.bus
    assert steps is machine.steps
    assert device is machine.device
    assert device.config.queue_pairs == 3
    assert device.is_manual


@pytest.mark.requirement("BEN-50")
def test_a_machine_hears_its_peer(machine: Machine, peer: Peer) -> None:
    machine.bus.enable_device()
    peer.send(plain_frame(100))
    machine.settle()
    assert machine.bus.read(0, BAR0.STAT_RX_DROP_DISABLED.offset, 8) == 1
    peer.set_link(False)
    machine.settle()
    status = machine.bus.read(0, BAR0.GLB_STATUS.offset)
    assert not BAR0.GLB_STATUS.decode(status)["LINK_UP"]


@pytest.mark.requirement("BEN-50")
@pytest.mark.vnic(queues=2, manual=True, device={"mac": MAC})
def test_a_device_by_itself(device: Device, steps: Steps) -> None:
    assert (device.config.queue_pairs, device.config.vectors, device.config.mac) == (2, 3, MAC)
    assert steps.device is device
    assert steps.possible() == []


@pytest.mark.requirement("BEN-50")
def test_a_capture_and_steps_of_a_bench(capture: Capture, steps: Steps, bench: Bench) -> None:
    with capture.indications() as held, steps.hold(before=COMPLETION_WRITE):
        bench.receive(plain_frame(100))
        steps.settle()
        assert len(held) == 0
    steps.settle()
    assert bench.received == [plain_frame(100)]


LATE = """
    def test_peer_late(bench, request):
        request.getfixturevalue("peer")

    def test_bench_late(peer, request):
        request.getfixturevalue("bench")

    def test_alone(request):
        assert request.getfixturevalue("bench").adapter is request.getfixturevalue("adapter")
"""


@pytest.mark.requirement("BEN-50")
def test_what_cannot_be_wired_any_more_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LATE)
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*named in the arguments of the test*"])


@pytest.mark.requirement("BEN-51")
@pytest.mark.vnic(netdma=True, seed=2)
def test_a_host_with_a_copy_engine(host: Host, peer: Peer) -> None:
    assert host.has_netdma
    listener = peer.listen(80)
    near = host.streams.connect((ADDRESS, 80))
    far = peer.accept(listener)
    far.write_all(bytes(20_000))
    far.finish()
    assert near.read_all() == bytes(20_000)
    near.close()
    far.close()


# -- the mark ------------------------------------------------------------------------------------------------


@pytest.mark.vnic(queues=2, interrupt="line", keywords={"*ReceiveBuffers": 64})
class TestMarks:
    """Of a class, and of what is nearer."""

    @pytest.mark.requirement("BEN-51")
    def test_of_the_class(self, bench: Bench) -> None:
        assert bench.device.config.queue_pairs == 2
        assert bench.system.vector_kind == 0
        assert isinstance(bench.settings, Settings)

    @pytest.mark.requirement("BEN-51")
    @pytest.mark.vnic(queues=1)
    def test_of_the_function(self, bench: Bench) -> None:
        assert bench.device.config.queue_pairs == 1
        assert bench.system.vector_kind == 0


@pytest.mark.requirement("BEN-51")
@pytest.mark.vnic(delay_ns=100, forth={"loss": 1.0}, back=Impairments(mtu=600))
def test_the_wire_can_differ_by_direction(bench: Bench, peer: Peer) -> None:
    bench.send(plain_frame(80, to=PEER))
    peer.send(plain_frame(80), plain_frame(1000))
    bench.settle()
    assert peer.received == []
    assert bench.received == [plain_frame(80)]


@pytest.mark.requirement("BEN-51")
@pytest.mark.vnic(plan="frame in drop")
def test_faults_are_armed_once_the_bench_is_up(bench: Bench) -> None:
    bench.receive(plain_frame(100), plain_frame(101))
    bench.settle()
    assert bench.received == [plain_frame(101)]


@pytest.mark.requirement("BEN-51")
@pytest.mark.vnic(plan="frame in drop")
def test_faults_of_a_hosts_card(host: Host, peer: Peer) -> None:
    listener = peer.listen(80)
    near = host.streams.connect((ADDRESS, 80))  # the first answer is lost
    assert len(peer.received) > 2
    peer.accept(listener).close()
    near.close()


@pytest.mark.requirement("BEN-52")
@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"queus": 4}, r"no keyword 'queus'; did you mean 'queues'\?"),
        ({"world": None}, r"no keyword 'world'"),
        ({"xyzzy": 1}, r"(?s)no keyword 'xyzzy'\n.*of the bench: .*queues.*of the wire: .*loss.*driver"),
    ],
)
def test_a_wrong_keyword_is_told_with_the_right_ones(keywords: dict[str, object], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        wanted([((), keywords)])


@pytest.mark.requirement("BEN-52")
def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ArgumentError, match="keywords only, not 4"):
        wanted([((4,), {})])
    with pytest.raises(ArgumentError, match="loss is no probability: 2"):
        wanted([((), {"loss": 2})]).impairments("forth")
    with pytest.raises(ArgumentError, match="unexpected keyword"):
        Wanted(own={"back": {"los": 1}}).impairments("back")


WRONG = """
    import pytest

    @pytest.mark.vnic(queus=4)
    def test_it():
        raise AssertionError
"""


@pytest.mark.requirement("BEN-52")
def test_a_wrong_mark_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG)
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*did you mean 'queues'?"])


# -- options -------------------------------------------------------------------------------------------------

DRIVERS = """
    from vnic.miniport import Adapter

    class Own(Adapter):
        pass
"""
TESTS = """
    import pytest

    def test_driver(bench):
        assert type(bench.miniport).__name__ == "Own"

    def test_seed(bench, peer):
        assert (bench.processors.seed, peer.world is bench.world) == (11, True)

    @pytest.mark.vnic(seed=5, driver="reference")
    def test_of_the_mark(bench):
        assert bench.processors.seed == 5
        assert type(bench.miniport).__name__ == "Adapter"

    def test_without_a_driver(machine):
        pass
"""


@pytest.mark.requirement("BEN-53", "BEN-54")
def test_every_test_for_each_driver(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(own_driver=DRIVERS)
    pytester.makepyfile(TESTS)
    result = run(pytester, f"--vnic-driver={path}:Own", "--vnic-driver=reference", "--vnic-seed=11")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["vnic: seed 11, driver *own_driver.py:Own, driver reference"])
    text = result.stdout.str()
    (again,) = re.findall(
        r"; again: pytest '(.*test_driver.*)' (--vnic-seed=11) (--vnic-driver=reference)\n", text
    )
    run(pytester, *again).assert_outcomes(failed=1)


@pytest.mark.requirement("BEN-54")
@pytest.mark.parametrize("text", ["-1", "4294967296", "many"])
def test_a_seed_that_is_none(pytester: pytest.Pytester, text: str) -> None:
    result = run(pytester, f"--vnic-seed={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--vnic-seed: '{text}': 'random', or a number of 32 bits"])


@pytest.mark.requirement("BEN-54")
def test_a_random_seed_is_printed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(machine): assert machine.processors.seed is None")
    result = run(pytester, "--vnic-seed=random")
    result.assert_outcomes(failed=1)
    (seed,) = set(re.findall(r"vnic: seed (\d+)\n", result.stdout.str()))
    result.stdout.fnmatch_lines([f"seed {seed}, driver reference; again: pytest * --vnic-seed={seed}"])


@pytest.mark.requirement("BEN-54")
def test_workers_are_told_the_seed(pytestconfig: pytest.Config) -> None:
    node = SimpleNamespace(workerinput={}, config=pytestconfig)
    pytest_configure_node(node)
    assert node.workerinput == {"vnic_seed": pytestconfig.getoption("--vnic-seed")}


@pytest.mark.requirement("BEN-53")
def test_a_driver_that_is_not_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(bench): pass")
    result = run(pytester, "--vnic-driver=no.such:Driver")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--vnic-driver no.such: No module named 'no'*"])


ENDS = """
    import pytest
    from vnic.miniport import Adapter

    class Sleepy(Adapter):
        def initialize_ex(self, handle, parameters):
            while True:
                pass

    def test_leaves_something(machine):
        machine.bus.alloc_coherent(10)

    @pytest.mark.vnic(timeout=0.1, driver=Sleepy)
    def test_hangs(bench):
        pass

    @pytest.mark.vnic(timeout=0.1)
    def test_hangs_without_a_bench():
        while True:
            pass

    def test_fails(bench):
        bench.memory.alloc(10)
        raise ZeroDivisionError
"""


@pytest.mark.requirement("BEN-1", "BEN-40", "BEN-56")
def test_a_test_that_leaves_something_and_one_that_hangs(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(ENDS)
    result = run(pytester, f"--vnic-record={tmp_path}/kept")
    result.assert_outcomes(passed=1, errors=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*LeakError: 1 mappings were not ended: coherent memory of 10 bytes*",
            "vnic trace dump *test_leaves_something*",
            "*the test did not end within 0.1 s",
            "*adapter vnic: Initializing",
            "*the test did not end within 0.1 s",
            "*no bench is open",
            "*ZeroDivisionError*",
        ]
    )
    result.stdout.no_fnmatch_line("*previous item was not torn down*")
    (path,) = (tmp_path / "kept").glob("*test_leaves_something*")
    with Replay(path) as replay:
        assert replay.run() is Outcome.END
    assert len(list((tmp_path / "kept").iterdir())) == 3


# -- cost ----------------------------------------------------------------------------------------------------

COST = """
import sys
before = set(sys.modules)
import vnic.testbench.pytest_plugin
print(sorted(name for name in set(sys.modules) - before if name.split(".")[0] in ("vnic", "cffi")))
import pytest
class Seen:
    def pytest_sessionfinish(self):
        print(sorted(name for name in sys.modules if name.split(".")[0] == "vnic"))
pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", sys.argv[1]], plugins=[Seen()])
"""


@pytest.mark.requirement("BEN-55")
def test_nothing_is_imported_before_it_is_used(tmp_path: Path, python_environment: dict[str, str]) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass")
    done = subprocess.run(
        [sys.executable, "-c", COST, str(tmp_path)],
        env=python_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    names = "['vnic', 'vnic.testbench', 'vnic.testbench.pytest_plugin']"
    assert done.stdout.count(names) == 2, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.requirement("BEN-2")
def test_a_bench_takes_another_function() -> None:
    made: list[Device] = []

    def make(config: object) -> Device:
        made.append(Device(config))  # type: ignore[arg-type]
        return made[-1]

    with Bench(queues=1, cpus=1, function=make) as bench:
        assert bench.device is made[0]
