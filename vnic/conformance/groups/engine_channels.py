"""The copy engine's channels, by registers and chains: counts, commands, turns, resets."""

from __future__ import annotations

from vnic.abi import DmaPurpose, EventType, ResetLevel
from vnic.conformance.case import engine_case
from vnic.conformance.chain import content
from vnic.conformance.pages import manual
from vnic.copy_engine import CopyEngine
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanerr
from vnic.host.bus import PAGE
from vnic.testbench.engine_rig import Channel, EngineRig

_ONES = 0xFFFF_FFFF


@engine_case(
    manual("DMA-3", "netdma"), "DMACOUNT counts descriptors of the chain: as many as it is ahead, each once"
)
def counts(rig: EngineRig) -> None:
    """Count in 1, 1 again, 3, the same again, 8; then a new chain, whose count begins at 0."""
    channel = rig.channel(0)
    memory = rig.memory
    source, target = memory.put(content(64)), memory.alloc(64 * 20)
    slots = channel.post(
        *(CopyDescriptor(size=64, src=source, dst=target + 64 * n, compl_write=1) for n in range(12))
    )
    channel.start_at(slots[0], 1)
    for count in (1, 3, 3, 8):
        channel.set_count(count)
        done = [n for n in range(20) if memory.get(target + 64 * n, 64) == content(64)]
        assert done == list(range(count)), f"with DMACOUNT {count} descriptors {done} are done"
        assert channel.completion == (ChanStatus.DONE, slots[count - 1])
    memory.set(target, bytes(64 * 20))
    channel.write(COPY_BAR0.CHAINADDR, slots[9])
    found = channel.status
    assert found == ChanStatus.ARMED, f"CHAINADDR leaves the channel {found.name}"
    assert channel.read(COPY_BAR0.CHANCMD) == 0, "DMACOUNT of the old chain is still there"
    assert channel.last == 0, "an armed channel names a descriptor"
    for count in (2, 3):
        channel.set_count(count)
        done = [n for n in range(20) if memory.get(target + 64 * n, 64) == content(64)]
        assert done == list(range(9, 9 + count)), f"of the new chain, counted to {count}: {done}"


@engine_case(manual("DMA-52", "netdma"), "a chain that bites its own tail ends with its count")
def chains_that_loop(rig: EngineRig) -> None:
    """A descriptor that leads to itself, counted 500 and 1,500 times."""
    channel = rig.channel(0)
    (slot,) = channel.post(CopyDescriptor(null=1, compl_write=1))
    rig.memory.set(slot, CopyDescriptor(null=1, compl_write=1, next=slot).pack())
    channel.start_at(slot, 0)
    for count, wanted in ((500, 500), (1500, 1000)):
        reads: list[Event] = []
        with rig.engine.observe(reads.append, (EventType.DMA_READ,)):
            channel.set_count(count)
        assert len(reads) == wanted, f"DMACOUNT {count}: {len(reads)} descriptors, not {wanted}"
        assert channel.completion == (ChanStatus.DONE, slot)


@engine_case(
    manual("DMA-1", "netdma"),
    "a new chain lets the descriptor at hand finish, and is counted from then on",
    manual=True,
)
def a_chain_in_the_middle_of_another(rig: EngineRig) -> None:
    """Write CHAINADDR and DMACOUNT after 0 to 8 steps of a chain of three."""
    for moment in range(9):
        channel = rig.channel(0)
        channel.command("RESET")
        first = channel.post(*(CopyDescriptor(null=1, compl_write=1, user1=n) for n in range(3)))
        channel.start_at(first[0], 3)
        for _ in range(moment):
            rig.engine.step(0)
        second = channel.post(*(CopyDescriptor(null=1, compl_write=1) for _ in range(2)))
        reads: list[Event] = []
        with rig.engine.observe(reads.append, (EventType.DMA_READ,)):
            channel.start_at(second[0], 2)
            rig.engine.run()
        fetched = [event.addr for event in reads]
        assert fetched == second, f"after {moment} steps {len(fetched)} descriptors were fetched"
        assert (channel.status, channel.last) == (ChanStatus.DONE, second[1])


@engine_case(
    manual("DMA-7", "netdma"),
    "SUSPEND ends between descriptors; RESUME reads NEXT of the last one again and goes on there",
    manual=True,
)
def suspended_chains_may_be_edited(rig: EngineRig) -> None:
    """Suspend after 1 to 5 steps, lead the last descriptor elsewhere, count on, resume."""
    for moment in range(1, 6):
        channel = rig.channel(0)
        channel.command("RESET")
        slots = channel.post(*(CopyDescriptor(null=1, compl_write=1) for _ in range(3)))
        (other,) = channel.post(CopyDescriptor(null=1, compl_write=1))
        channel.start_at(slots[0], 3)
        for _ in range(moment):
            rig.engine.step(0)
        written: list[Event] = []
        with rig.engine.observe(written.append, (EventType.DMA_WRITE,)):
            channel.command("SUSPEND")
            rig.engine.run()
        assert channel.status == ChanStatus.SUSPENDED, f"after {moment} steps: {channel.status.name}"
        last = channel.last
        if written:
            assert channel.completion == (ChanStatus.SUSPENDED, last), "its completion does not say so"
        done = slots.index(last) + 1
        rig.memory.set(last, CopyDescriptor(null=1, compl_write=1, next=other).pack())
        channel.set_count(done + 1)
        assert rig.engine.is_idle, "a suspended channel works"
        channel.command("RESUME")
        rig.engine.run()
        assert (channel.status, channel.last) == (ChanStatus.DONE, other), (
            f"after {moment} steps the channel went on elsewhere"
        )


@engine_case(
    manual("DMA-8", "netdma"),
    "ABORT and RESET stop within the access: nothing is read or written afterwards; RESET forgets the chain",
    manual=True,
)
def nothing_after_abort(rig: EngineRig) -> None:
    """Abort and reset a chain of copies of two pieces with completions after 0 to 11 steps."""
    source = rig.memory.put(content(3 * PAGE), align=PAGE)
    target = rig.memory.alloc(3 * PAGE, align=PAGE)
    for command in ("ABORT", "RESET"):
        for moment in range(12):
            channel = rig.channel(2)
            slots = channel.post(
                *(
                    CopyDescriptor(size=PAGE, src=source + 8, dst=target + 8, compl_write=1, int_en=1)
                    for _ in range(3)
                )
            )
            channel.start()
            for _ in range(moment):
                rig.engine.step(2)
            last = channel.last
            moved: list[Event] = []
            rig.vectors()
            with rig.engine.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
                channel.command(command)
                rig.engine.run()
            assert not moved, f"{moved[0].type.name} after {command} at step {moment}"
            assert channel.status == ChanStatus.HALTED, f"{channel.status.name} after {command}"
            kept = [channel.read(each) for each in (COPY_BAR0.CHAINADDR, COPY_BAR0.CDAR)]
            if command == "RESET":
                assert kept == [0, 0], "RESET leaves the chain"
                assert (channel.last, channel.read(COPY_BAR0.CHANCMD)) == (0, 0)
            else:
                assert (channel.last, kept[0]) == (last, slots[0]), "ABORT forgets what was done"
            channel.counted = channel.posted
            rig.engine.run()
            rig.vectors()
            channel.rearm()


@engine_case(
    manual("DMA-10", "netdma"), "several commands at once, START and APPEND halt a channel with CHANCMD"
)
def commands_that_are_none(rig: EngineRig) -> None:
    """Each wrong command; the channel works again after RESET, and its neighbour never stopped."""
    other = rig.channel(3)
    for names in (("SUSPEND", "ABORT"), ("SUSPEND", "RESUME"), ("RESET", "ABORT"), ("START",), ("APPEND",)):
        channel = rig.channel(0)
        channel.post(CopyDescriptor(null=1))
        channel.start()
        channel.command(*names)
        found = (channel.status, channel.chanerr)
        assert found == (ChanStatus.HALTED, Chanerr.CHANCMD), f"{names}: {found[0].name}, {found[1]:#x}"
        assert channel.read(COPY_BAR0.CHANCMD) & 0xFF == 0, "commands read back"
        channel.command("RESET")
        assert channel.chanerr == 0, "RESET leaves CHANERR"
        for each in (channel, other):
            each.post(CopyDescriptor(null=1))
            each.start()
            assert each.status == ChanStatus.DONE


@engine_case(manual("DMA-4", "netdma"), "DMACOUNT of a halted channel is an error, and moves nothing")
def counting_without_a_chain(rig: EngineRig) -> None:
    """Count before any CHAINADDR, and after ABORT."""
    channel = rig.channel(0)
    reads: list[Event] = []
    for prepare in ("RESET", "ABORT"):
        channel.post(CopyDescriptor(null=1))
        channel.start()
        channel.command(prepare)
        with rig.engine.observe(reads.append, (EventType.DMA_READ,)):
            channel.set_count(channel.read(COPY_BAR0.CHANCMD) // 65536 + 1)
        assert channel.chanerr == Chanerr.DESC_COUNT, f"after {prepare}: CHANERR {channel.chanerr:#x}"
        assert not reads, "a descriptor was fetched"
        channel.command("RESET")


@engine_case(manual("DMA-45", "netdma"), "nothing is fetched while Bus Master Enable is clear; channels wait")
def channels_wait_for_the_bus(rig: EngineRig) -> None:
    """Start a chain without Bus Master Enable; set it."""
    command = rig.engine.config_read(CONFIG.COMMAND.offset, 2)
    rig.engine.config_write(CONFIG.COMMAND.offset, command & ~4, 2)
    moved: list[Event] = []
    channel = rig.channel(0)
    with rig.engine.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        target = channel.post_copy(content(64), compl_write=1)
        channel.start()
        rig.engine.run()
    assert not moved, f"{moved[0].type.name} without Bus Master Enable"
    assert (channel.status, channel.chanerr) == (ChanStatus.ACTIVE, 0)
    rig.engine.config_write(CONFIG.COMMAND.offset, command, 2)
    rig.engine.run()
    assert channel.status == ChanStatus.DONE, "the channel did not go on"
    assert rig.memory.get(target, 64) == content(64)


@engine_case(
    manual("DMA-53", "netdma"),
    "every reset of the function halts every channel and resets its registers",
    manual=True,
)
def resets(rig: EngineRig) -> None:
    """FLR, D3hot to D0, a hot reset and a power cycle in the middle of a copy; then work again."""
    for level in ("FLR", "D3hot", "hot", "power"):
        channel = rig.channel(1)
        target = channel.post_copy(content(64), compl_write=1, int_en=1)
        channel.start()
        rig.engine.step(1)
        channel.write(COPY_BAR0.CHANERRMSK, 5)
        rig.engine.write32(COPY_BAR0.INTRDELAY.offset, 7)
        moved: list[Event] = []
        rig.vectors()
        with rig.engine.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)):
            _reset(rig.engine, level)
            rig.engine.run()
        assert not moved, f"{moved[0].type.name} after {level}"
        assert rig.memory.get(target, 64) == bytes(64)
        rig.enable()
        for register in (COPY_BAR0.CHANSTS, COPY_BAR0.CHAINADDR, COPY_BAR0.CHANCMD, COPY_BAR0.CHANERRMSK,
                         COPY_BAR0.CDAR, COPY_BAR0.CHANERR):  # fmt: skip
            wanted = int(ChanStatus.HALTED) if register is COPY_BAR0.CHANSTS else 0
            assert channel.read(register) == wanted, f"{register.name} after {level}"
        delay = COPY_BAR0.INTRDELAY.decode(rig.engine.read32(COPY_BAR0.INTRDELAY.offset))["DELAY"]
        assert delay == 0, f"INTRDELAY after {level}"
        channel.counted = channel.posted
        again = channel.post_copy(content(32))
        channel.start()
        rig.engine.run()
        assert rig.memory.get(again, 32) == content(32), f"nothing is copied after {level}"


def _reset(engine: CopyEngine, level: str) -> None:
    if level == "FLR":
        register = CONFIG.DEVCTL
        engine.config_write(register.offset, register.encode(FLR=1), 2)
    elif level == "D3hot":
        engine.config_write(CONFIG.PM_CTRL.offset, 3)
        engine.config_write(CONFIG.PM_CTRL.offset, 0)
    else:
        engine.reset(ResetLevel.HOT if level == "hot" else ResetLevel.POWER)


@engine_case(manual("DMA-55", "netdma"), "an engine that was pulled reads all ones and moves nothing")
def removal(rig: EngineRig) -> None:
    """Pull it in the middle of a copy."""
    rig.engine.is_manual = True
    channel = rig.channel(0)
    channel.post_copy(content(64))
    channel.start()
    rig.engine.step(0)
    moved: list[Event] = []
    with rig.engine.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        rig.engine.remove()
        rig.engine.run()
    assert not moved
    assert rig.engine.read32(0) == _ONES
    assert rig.engine.config_read(0) == _ONES


@engine_case(manual("DMA-51", "netdma"), "channels take turns: none waits for more than 16 steps of another")
def channels_take_turns(rig: EngineRig) -> None:
    """Four channels with 60 descriptors each; the order in which they are fetched."""
    rig.engine.is_manual = True
    owner: dict[int, int] = {}
    for index in range(4):
        channel = rig.channel(index)
        owner |= dict.fromkeys(channel.post(*(CopyDescriptor(null=1) for _ in range(60))), index)
        channel.start()
    order: list[int] = []

    def see(event: Event) -> None:
        if event.index == DmaPurpose.DESCRIPTOR:
            order.append(owner[event.addr])

    with rig.engine.observe(see, (EventType.DMA_READ,)):
        rig.engine.run()
    assert len(order) == 240, f"{len(order)} of 240 descriptors were fetched"
    waited = max(order.index(index) for index in range(4))
    assert waited <= 3 * 16, f"a channel waits for {waited} descriptors of others"


def _brought_to(rig: EngineRig, state: ChanStatus) -> Channel:
    """A channel in this state, with a chain of two behind it, of which none, one or both are processed."""
    channel = rig.channel(0)
    channel.command("RESET")
    slots = channel.post(CopyDescriptor(null=1), CopyDescriptor(null=1))
    channel.counted = channel.posted
    if state == ChanStatus.HALTED:
        return channel
    channel.write(COPY_BAR0.CHAINADDR, slots[0])
    if state in (ChanStatus.ACTIVE, ChanStatus.SUSPENDED):
        channel.set_count(2)
    elif state == ChanStatus.DONE:
        channel.set_count(2)
        rig.engine.run()
    if state == ChanStatus.SUSPENDED:
        channel.command("SUSPEND")
        rig.engine.run()
    found = channel.status
    assert found == state, f"a channel that should be {state.name} is {found.name}"
    return channel


@engine_case(
    manual("DMA-6", "netdma"),
    "each command leads from each state where the table of states says, and moves nothing where it says so",
    manual=True,
)
def commands_in_every_state(rig: EngineRig) -> None:
    """SUSPEND, RESUME, ABORT, RESET and CHAINADDR in each of the five states; at once, and after a run."""
    halted, armed, active = ChanStatus.HALTED, ChanStatus.ARMED, ChanStatus.ACTIVE
    done, suspended = ChanStatus.DONE, ChanStatus.SUSPENDED
    table: dict[str, dict[ChanStatus, tuple[ChanStatus, ChanStatus]]] = {
        "SUSPEND": {
            halted: (halted, halted),
            armed: (suspended, suspended),
            active: (suspended, suspended),
            done: (suspended, suspended),
            suspended: (suspended, suspended),
        },
        "RESUME": {
            halted: (halted, halted),
            armed: (armed, armed),
            active: (active, done),
            done: (done, done),
            suspended: (active, done),
        },
        "ABORT": {each: (halted, halted) for each in (halted, armed, active, done, suspended)},
        "RESET": {each: (halted, halted) for each in (halted, armed, active, done, suspended)},
    }
    for command, rows in table.items():
        for state, wanted in rows.items():
            channel = _brought_to(rig, state)
            channel.command(command)
            at_once = channel.status
            rig.engine.run()
            found = at_once, channel.status
            assert found == wanted, (
                f"{command} of a channel that is {state.name}: {[each.name for each in found]}, "
                f"not {[each.name for each in wanted]}"
            )
            assert channel.chanerr == 0, f"{command} when {state.name}: CHANERR {channel.chanerr:#x}"
    for state in (halted, armed, done, suspended):
        channel = _brought_to(rig, state)
        channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
        assert channel.status == armed, f"CHAINADDR of a channel that is {state.name}: {channel.status.name}"


@engine_case(
    manual("PCI-9", "pci"),
    "the engine says how many channels it has, and has registers of these alone",
    channels=3,
)
def channels_that_are_absent(rig: EngineRig) -> None:
    """GENERAL, CBVER and DMACAP; every register of channels 3 and 15 is written, and reads 0."""
    general = COPY_BAR0.GENERAL.decode(rig.engine.read32(COPY_BAR0.GENERAL.offset))
    assert (general["CHANCNT"], general["XFERCAP"]) == (3, 20), f"CHANCNT and XFERCAP are {general}"
    version = COPY_BAR0.CBVER.decode(rig.engine.read32(COPY_BAR0.CBVER.offset))
    assert (version["MAJOR"], version["MINOR"]) == (3, 2), f"CBVER is {version}"
    capable = COPY_BAR0.DMACAP.decode(rig.engine.read32(COPY_BAR0.DMACAP.offset))
    assert capable["PAGE_BREAK"] and capable["FILL_BLOCK"], f"DMACAP is {capable}"
    moved: list[Event] = []
    with rig.engine.observe(moved.append, (EventType.DMA_READ,)):
        for index in (3, 15):
            for register in COPY_BAR0.MAP:
                if register.count == 1:
                    continue
                rig.engine.write(0, register.at(index), _ONES & ~0x7F, register.bytes)
                found = rig.engine.read(0, register.at(index), register.bytes)
                assert found == 0, f"{register.name} of channel {index} reads {found:#x}"
        rig.engine.run()
    assert not moved, "a channel that there is not fetches"
