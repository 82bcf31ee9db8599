"""The card in the driver's hands: all that is allocated and programmed between initialization and halt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from vnic.gen.enums import RingError
from vnic.gen.registers import BAR0, GlbFeatures, MacRxCtrl, MacTxCtrl
from vnic.host.bus import Bus, VectorKinds
from vnic.miniport.bringup import bring_up, reset_device
from vnic.miniport.buffers import Memory
from vnic.miniport.chimney import Chimney
from vnic.miniport.chimney_mood import Mood
from vnic.miniport.chimney_settings import ChimneySettings
from vnic.miniport.chimney_statistics import ChimneyStatistics
from vnic.miniport.context import Tagging
from vnic.miniport.filters import ReceiveFilter
from vnic.miniport.interrupts import MODERATION_NS, Interrupts
from vnic.miniport.link import LinkMonitor
from vnic.miniport.offload import TaskOffloads
from vnic.miniport.queue import QueuePair, QueueShape
from vnic.miniport.receive import RingFault
from vnic.miniport.rss import Scaling, rss_processors
from vnic.miniport.statistics import Statistics
from vnic.miniport.transmit import Bounce
from vnic.ndis.chimney import ProviderCalls
from vnic.ndis.keywords import Settings
from vnic.ndis.miniport import MiniportHandle
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

_RING_MIN = 8
_CHIMNEY_SLOTS = 512


class Card:
    """Steps of the programming guide in their order; `close` undoes what was done, however far it came."""

    def __init__(self, bus: Bus, memory: Memory, settings: Settings) -> None:
        """Bring-up up to the capacities; raises BringUpError."""
        self.bus = bus
        self.settings = settings
        self._memory = memory
        self.registers, self.capacities = bring_up(bus)
        self.statistics = Statistics(self.registers)
        self.link = LinkMonitor(self.registers)
        self.offloads = TaskOffloads(self.capacities, settings)
        self.chimney_settings = self._read_chimney()
        self.chimney_statistics = ChimneyStatistics(self.registers)
        self.mood: Mood | None = None
        self.filter = self._make_filter()
        self.queues: list[QueuePair] = []
        self._interrupts: Interrupts | None = None
        self._scaling: Scaling | None = None
        self._bounce: Bounce | None = None

    # -- what keywords and capacities make of each other -------------------------------------------------

    @property
    def frame_bytes(self) -> int:
        """The longest frame with its Ethernet header, without a tag."""
        return min(self.settings["*JumboPacket"], self.capacities.max_frame)

    @property
    def station(self) -> bytes:
        """The current address: NetworkAddress, or the permanent one."""
        return self.settings.network_address or self.capacities.permanent_address

    @property
    def has_tags(self) -> bool:
        """Whether tags are told of, and put in."""
        return self.capacities.has(GlbFeatures.VLAN) and self.settings["*PriorityVLANTag"] != 0

    @property
    def is_split(self) -> bool:
        """Whether headers go to buffers of their own."""
        return self.capacities.has(GlbFeatures.HEADER_SPLIT) and self.settings["*HeaderDataSplit"] != 0

    @property
    def tagging(self) -> Tagging:
        """How sends are tagged now."""
        return Tagging(self.settings["*PriorityVLANTag"] if self.has_tags else 0, self.filter.vlan_id)

    def _read_chimney(self) -> ChimneySettings | None:
        """None when the card has no chimney, or the keywords forbid it."""
        if not (self.capacities.has(GlbFeatures.CHIMNEY) and self.registers.has_chimney):
            return None
        found = ChimneySettings(self.registers, self.settings)
        return found if found.is_offered else None

    def _make_filter(self) -> ReceiveFilter:
        capacities = self.capacities
        return ReceiveFilter(self.registers, self.station, self.frame_bytes, capacities.multicast)

    def _shape(self) -> QueueShape:
        """The completion ring has an entry a descriptor, so the largest ring bounds their sum."""
        half = self.capacities.max_ring // 2
        sizes = (self.settings["*ReceiveBuffers"], self.settings["*TransmitBuffers"])
        receive, transmit = (max(_RING_MIN, min(size, half)) for size in sizes)
        chimney = min(_CHIMNEY_SLOTS, half) if self.chimney_settings is not None else 0
        return QueueShape(receive, transmit, self.is_split, self.has_tags, chimney)

    def _homes(self, processors: int) -> tuple[int, ...]:
        """A processor for each queue: one queue without RSS, else no more than there are RSS processors."""
        allowed = rss_processors(self.settings, processors)
        if not self.settings["*RSS"]:
            return allowed[:1]
        return allowed[: min(self.settings["*NumRssQueues"], self.capacities.queue_pairs)]

    # -- in order ----------------------------------------------------------------------------------------

    def connect(self, handle: MiniportHandle, kinds: VectorKinds) -> None:
        """Interrupts, and the queues that they can serve; raises NdisFailure or AllocationError."""
        homes = self._homes(len(handle.processors))
        if self.capacities.vectors <= len(homes):  # events need one too
            homes = homes[: max(self.capacities.vectors - 1, 1)]
        self._interrupts = Interrupts(handle, self.registers, homes, kinds)
        self._interrupts.moderation_ns = MODERATION_NS if self.settings["*InterruptModeration"] else 0
        if self._interrupts.queues_served:
            homes = homes[: self._interrupts.queues_served]
        self._bounce = Bounce(self.bus, self.capacities.max_lso)
        for index, home in enumerate(homes):
            self.queues.append(self._make_queue(handle, index, home, self._bounce))
        self._interrupts.attach(self.queues, self.capacities.vectors)
        self._scaling = Scaling(
            self.registers, self.queues, self.capacities, self.settings, len(handle.processors)
        )

    def open_chimney(
        self,
        handle: MiniportHandle,
        ndis: ProviderCalls,
        indicate: Callable[[NDIS_STATUS], None],
    ) -> Mood:
        """Rings and pools of the chimney, for the queues that are connected; raises AllocationError."""
        assert self.chimney_settings is not None
        chimney = Chimney(
            handle,
            ndis,
            bus=self.bus,
            memory=self._memory,
            registers=self.registers,
            queues=self.queues,
            interrupts=self.interrupts,
            scaling=self.scaling,
            settings=self.chimney_settings,
            vlan_id=lambda: self.filter.vlan_id,
        )
        self.chimney_statistics.offloaded = chimney.count
        mood = self.mood = Mood(chimney, self.registers, indicate, handle.m_reset_miniport)
        chimney.mood = mood
        return mood

    @property
    def chimney(self) -> Chimney | None:
        """None when it is not offered."""
        return self.mood.chimney if self.mood is not None else None

    def _make_queue(self, handle: MiniportHandle, index: int, home: int, bounce: Bounce) -> QueuePair:
        return QueuePair(
            index,
            home,
            bus=self.bus,
            memory=self._memory,
            registers=self.registers,
            processors=handle.processors,
            shape=self._shape(),
            offloads=self.offloads,
            bounce=bounce,
            source_handle=handle,
        )

    @property
    def is_connected(self) -> bool:
        """Whether interrupts can be served."""
        return self._interrupts is not None

    @property
    def interrupts(self) -> Interrupts:
        """There once connected."""
        assert self._interrupts is not None
        return self._interrupts

    @property
    def scaling(self) -> Scaling:
        """There once connected."""
        assert self._scaling is not None
        return self._scaling

    def program(self) -> None:
        """Steps 7 to 11 on a card that was reset, from what the driver knows. Raises RingFault."""
        self.write_options()
        self.filter.program()
        for queue in self.queues:
            queue.start()
        if not self.scaling.program():
            raise RingFault("the card refuses the RSS configuration that it had")
        self.registers.write(BAR0.MAC_TX_CTRL, MacTxCtrl.ENABLE | MacTxCtrl.PAD)
        if self.chimney is not None:
            self.chimney.start()
        self.interrupts.program()

    def write_options(self) -> None:
        """MAC_RX_CTRL bits of the offloads in force."""
        # Tags are taken out even where *PriorityVLANTag tells of none: those above cannot read past them.
        options = MacRxCtrl.VLAN_STRIP if self.capacities.has(GlbFeatures.VLAN) else 0
        options |= MacRxCtrl.HEADER_SPLIT if self.is_split else 0
        options |= MacRxCtrl.CSUM if self.offloads.verifies else 0
        self.filter.options = options
        self.filter.write_control()

    # -- while it runs -----------------------------------------------------------------------------------

    def queue_of(self, processor: int) -> QueuePair:
        """The queue to send on: that which this processor serves, else one chosen by its number."""
        queues = self.queues
        return next((queue for queue in queues if queue.cpu == processor), queues[processor % len(queues)])

    @property
    def packets_outstanding(self) -> int:
        """Packets that protocols wait for."""
        return sum(queue.transmit.outstanding for queue in self.queues)

    @property
    def has_nbls(self) -> bool:
        """Whether sends are with the miniport, or received NBLs with protocols."""
        lent = self.chimney.unreturned if self.chimney is not None else 0
        return self.packets_outstanding > 0 or lent > 0 or any(q.receive.indicated for q in self.queues)

    def restart_failed_queues(self, status: NDIS_STATUS) -> tuple[list[NetBufferList], bool]:
        """Reset and start again each pair of which a ring stopped. [PROG-22]

        The sends that were lost, and whether the chimney, which has ended with it, is to be started again.
        """
        done: list[NetBufferList] = []
        has_failed = any(queue.ring_error() is not RingError.NONE for queue in self.queues)
        has_failed |= self.chimney is not None and self.chimney.has_failed_ring
        if has_failed and self.chimney is not None:  # what a ring held of connections is not known any more
            self.registers.write(BAR0.CHM_CTRL, 0)
            self.chimney.fail()
        for queue in self.queues:
            with queue.lock:
                if queue.ring_error() is not RingError.NONE:
                    done += queue.reset(status)
                    with suppress(RingFault):  # the check for hang finds a ring that stands
                        queue.start()
        return done, has_failed and self.chimney is not None

    # -- and to its end ----------------------------------------------------------------------------------

    def stop(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """Device reset: nothing moves afterwards. The sends that end by it, with `status`."""
        self.interrupts.quiet()
        self.statistics.keep()
        if self.chimney is not None:
            self.chimney_statistics.keep()
        reset_device(self.registers)
        return self.forget(status)

    def forget(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """Take every buffer back from a card that was reset or is gone."""
        done = []
        for queue in self.queues:
            with queue.lock:
                done += queue.forget(status)
        if self.chimney is not None:
            self.chimney.fail()
        return done

    def close(self) -> None:
        """Stop, disconnect and give everything back; the card is as before bring-up. [PROG-21]"""
        self.filter.open(False)
        for queue in self.queues:
            queue.stop()
        if self._interrupts is not None:
            self._interrupts.quiet()
            self._interrupts.deregister()
        reset_device(self.registers)
        self.bus.set_master(False)
        if self.chimney is not None:
            self.chimney.close()
            self.mood = None
        for queue in self.queues:
            queue.free()
        self.queues = []
        if self._bounce is not None:
            self._bounce.free()
            self._bounce = None
        self.bus.disable_device()
