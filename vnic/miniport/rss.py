"""Receive-side scaling: parameters in force, the queue of each processor, and the card's RSS registers."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.gen.registers import BAR0, RssCommit
from vnic.host.bus import InterruptKind
from vnic.miniport.bringup import Capacities
from vnic.miniport.queue import QueuePair
from vnic.miniport.registers import Registers
from vnic.ndis.keywords import Settings
from vnic.ndis.rss import (
    HASH_FUNCTION_TOEPLITZ,
    HASH_TYPES_ALL,
    HASH_TYPES_SNP,
    SECRET_KEY_BYTES,
    HashType,
    ReceiveHashFlag,
    ReceiveHashParameters,
    ReceiveScaleCapabilities,
    ReceiveScaleParameters,
    RssCapability,
)
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StructureError

_TABLE_WORDS = BAR0.RSS_TABLE.count


def rss_processors(settings: Settings, processors: int) -> tuple[int, ...]:
    """The processors RSS may use: from *RssBaseProcNumber to *RssMaxProcNumber, *MaxRssProcessors at most."""
    last = min(settings["*RssMaxProcNumber"], processors - 1)
    base = settings["*RssBaseProcNumber"]
    if base > last:
        base = 0
    return tuple(range(base, last + 1))[: settings["*MaxRssProcessors"]]


def assign_queues(wanted: Sequence[int], homes: Sequence[int]) -> dict[int, int]:
    """A queue for each processor in `wanted`; homes[q] is the processor that queue q interrupts.

    A processor keeps the queue that interrupts it; others get the queues left over. When these run out, the
    rest share: the driver uses a subset of the processors, one for each queue.
    """
    distinct = list(dict.fromkeys(wanted))
    free = list(range(len(homes)))
    found: dict[int, int] = {}
    for processor in distinct:
        queue = next((q for q in free if homes[q] == processor), None)
        if queue is not None:
            found[processor] = queue
            free.remove(queue)
    left = [processor for processor in distinct if processor not in found]
    for place, processor in enumerate(left):
        found[processor] = free.pop(0) if free else place % len(homes)
    return found


class Scaling:
    """RSS or receive hash of one adapter, never both [INV-56]. A set that fails changes nothing [INV-52]."""

    def __init__(
        self,
        registers: Registers,
        queues: Sequence[QueuePair],
        capacities: Capacities,
        settings: Settings,
        processors: int,
    ) -> None:
        self._registers = registers
        self._queues = queues
        self._processors = processors
        self._table_max = 1 << capacities.rss_table_log2
        has_udp = capacities.has_udp_hash and settings.has_udp_hash
        self.types = HASH_TYPES_ALL if has_udp else HASH_TYPES_SNP
        self.is_offered = bool(settings["*RSS"])
        self._entries: Sequence[int] = (0,)
        self.parameters: ReceiveScaleParameters | None = None
        self.receive_hash: ReceiveHashParameters | None = None

    def capabilities(self, kind: InterruptKind, messages: int) -> ReceiveScaleCapabilities | None:
        """NDIS_RECEIVE_SCALE_CAPABILITIES; None with *RSS off."""
        if not self.is_offered:
            return None
        flags = RssCapability.TOEPLITZ | RssCapability.CLASSIFICATION_AT_ISR | RssCapability.SUPPORTS_MSI_X
        flags |= RssCapability.HASH_TYPE_TCP_IPV4 | RssCapability.HASH_TYPE_TCP_IPV6
        flags |= RssCapability.HASH_TYPE_TCP_IPV6_EX
        if self.types & HashType.UDP_IPV4:
            flags |= RssCapability.HASH_TYPE_UDP_IPV4 | RssCapability.HASH_TYPE_UDP_IPV6
            flags |= RssCapability.HASH_TYPE_UDP_IPV6_EX
        if kind != InterruptKind.INTX:
            flags |= RssCapability.MESSAGE_SIGNALED_INTERRUPTS
        if kind == InterruptKind.MSIX:
            flags |= RssCapability.USING_MSI_X
        return ReceiveScaleCapabilities(flags, messages, len(self._queues), self._table_max)

    # -- sets --------------------------------------------------------------------------------------------

    def set_parameters(self, data: bytes) -> None:
        """OID_GEN_RECEIVE_SCALE_PARAMETERS: the last set wins. Raises StructureError."""
        if not self.is_offered:
            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "RSS is off by keyword")
        wanted = ReceiveScaleParameters.parse(data)
        if wanted.is_disabling:
            self._take(None, self.receive_hash)
            return
        if self.receive_hash is not None:
            raise StructureError(NDIS_STATUS.INVALID_OID, "receive hash is enabled")
        merged = wanted.merged_over(self.parameters)
        self._check_types(merged.hash_types)
        table = merged.table or ()
        if len(table) > self._table_max:
            raise StructureError(
                NDIS_STATUS.INVALID_PARAMETER, f"an indirection table of {len(table)} entries"
            )
        beyond = [cpu for cpu in (*table, merged.default_processor) if cpu >= self._processors]
        if beyond:
            raise StructureError(NDIS_STATUS.INVALID_PARAMETER, f"there is no processor {beyond[0]}")
        self._take(merged, None)

    def set_receive_hash(self, data: bytes) -> None:
        """OID_GEN_RECEIVE_HASH: hash without scaling. Raises StructureError."""
        wanted = ReceiveHashParameters.parse(data)
        if not wanted.flags & ReceiveHashFlag.ENABLE_HASH:
            self._take(self.parameters, None)
            return
        if self.parameters is not None:
            raise StructureError(NDIS_STATUS.INVALID_OID, "RSS is enabled")
        merged = _merged_hash(wanted, self.receive_hash)
        self._check_types(HashType(merged.hash_information & ~0xFF))
        self._take(None, merged)

    def _check_types(self, types: HashType) -> None:
        if types & ~self.types:
            raise StructureError(NDIS_STATUS.NOT_SUPPORTED, f"hash types {types & ~self.types:#x}")

    def _take(
        self, parameters: ReceiveScaleParameters | None, receive_hash: ReceiveHashParameters | None
    ) -> None:
        before = self.parameters, self.receive_hash
        self.parameters, self.receive_hash = parameters, receive_hash
        if not self.program():
            self.parameters, self.receive_hash = before
            self.program()
            raise StructureError(NDIS_STATUS.FAILURE, "the card refused the configuration")

    # -- the card ----------------------------------------------------------------------------------------

    def program(self) -> bool:
        """Write what is in force and commit it; False when the card refuses."""
        if self.parameters is not None:
            entries, default = self._spread(self.parameters)
            parameters = self.parameters
            return self._commit(parameters.hash_types, parameters.key or b"", entries, default)
        self._send_home()
        if self.receive_hash is not None:
            types = HashType(self.receive_hash.hash_information & ~0xFF)
            return self._commit(types, self.receive_hash.key or b"", (0,), 0)
        return self._commit(HashType(0), bytes(SECRET_KEY_BYTES), (0,), 0, is_on=False)

    def _send_home(self) -> None:
        for queue in self._queues:
            queue.cpu = queue.home

    def _spread(self, parameters: ReceiveScaleParameters) -> tuple[tuple[int, ...], int]:
        """Queue of each table entry and of frames without hash; the DPCs move to the queues' processors."""
        table = parameters.table or ()
        homes = [queue.home for queue in self._queues]
        default = parameters.default_processor if parameters.revision >= 3 else homes[0]
        queue_of = assign_queues(table, homes)
        queue_of.setdefault(default, _queue_left(default, homes, queue_of))
        self._send_home()
        for processor, queue in reversed(queue_of.items()):
            self._queues[queue].cpu = processor
        return tuple(queue_of[processor] for processor in table), queue_of[default]

    def queue_of_hash(self, value: int) -> int:
        """The queue that the indirection table chooses for a hash, or the default one. [INV-57]"""
        return self._entries[value & (len(self._entries) - 1)]

    def _commit(
        self, types: HashType, key: bytes, entries: Sequence[int], default: int, *, is_on: bool = True
    ) -> bool:
        registers = self._registers
        for queue in self._queues:
            queue.receive.enable_hashes(int(types))
        log2 = len(entries).bit_length() - 1
        control = BAR0.RSS_CTRL.encode(ENABLE=int(is_on), TABLE_LOG2=log2, DEFAULT_QUEUE=default)
        registers.write(BAR0.RSS_CTRL, control)
        registers.write(BAR0.RSS_TYPES, int(types))
        for word in range(SECRET_KEY_BYTES // 4):
            registers.write(BAR0.RSS_KEY, int.from_bytes(key[4 * word : 4 * word + 4], "little"), word)
        table = bytes(entries).ljust(4 * _TABLE_WORDS, b"\0")
        for word in range(_TABLE_WORDS):
            registers.write(BAR0.RSS_TABLE, int.from_bytes(table[4 * word : 4 * word + 4], "little"), word)
        registers.write(BAR0.RSS_COMMIT, RssCommit.GO)
        if registers.field(BAR0.RSS_STATUS, "REFUSED"):
            return False
        self._entries = tuple(entries) if is_on else (default,)
        return True


def _queue_left(processor: int, homes: Sequence[int], taken: dict[int, int]) -> int:
    """A queue for frames without a hash: one that no hashed frame uses, if there is one."""
    left = [queue for queue in range(len(homes)) if queue not in taken.values()]
    return next((queue for queue in left if homes[queue] == processor), left[0] if left else 0)


def _merged_hash(wanted: ReceiveHashParameters, old: ReceiveHashParameters | None) -> ReceiveHashParameters:
    """What is in force after this set; raises StructureError for "unchanged" where nothing was set."""
    inherits = wanted.flags & (ReceiveHashFlag.HASH_INFO_UNCHANGED | ReceiveHashFlag.HASH_KEY_UNCHANGED)
    if inherits and old is None:
        raise StructureError(NDIS_STATUS.INVALID_DATA, "an unchanged member where none was set before")
    information, key = wanted.hash_information, wanted.key
    if old is not None and wanted.flags & ReceiveHashFlag.HASH_INFO_UNCHANGED:
        information = old.hash_information
    if old is not None and wanted.flags & ReceiveHashFlag.HASH_KEY_UNCHANGED:
        key = old.key
    if information & 0xFF != HASH_FUNCTION_TOEPLITZ:
        raise StructureError(NDIS_STATUS.INVALID_DATA, "receive hash enabled without a hash function")
    return ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, information, key)
