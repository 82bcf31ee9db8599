"""RSS as NDIS sees it: the parameters in force, and the check of every indicated hash against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oob import Slot
from vnic.ndis.rss import (
    HASH_FUNCTION_MASK,
    HASH_TYPE_MASK,
    HashType,
    ReceiveHashFlag,
    ReceiveHashParameters,
    ReceiveScaleParameters,
)
from vnic.ndis.verifier import Verifier

#: (frame, enabled types, key) -> (type, value); (0, 0) = not hashed.
HashOracle = Callable[[bytes, int, bytes], tuple[int, int]]

_PLAIN = {
    HashType.IPV6_EX: HashType.IPV6,
    HashType.TCP_IPV6_EX: HashType.TCP_IPV6,
    HashType.UDP_IPV6_EX: HashType.UDP_IPV6,
}


@dataclass(frozen=True, slots=True)
class HashConfig:
    """One configuration that hashes were computed under."""

    types: int
    function: int
    key: bytes
    table: tuple[int, ...] = ()


#: No hash, no table: what is in force until something is set, and after it was switched off.
_OFF = HashConfig(0, 0, b"")


class RssWatch:
    """Parameters after each successful set; a hash of the configuration before the last one is still valid,

    since frames that the card hashed before a change may be indicated after it.
    """

    def __init__(self, verifier: Verifier, oracle: HashOracle | None, is_strict: bool) -> None:
        self._verifier = verifier
        self._oracle = oracle
        self._is_strict = is_strict
        self.parameters: ReceiveScaleParameters | None = None
        self.receive_hash: ReceiveHashParameters | None = None
        self._configs = [_OFF]
        self.on_processor = 0
        self.off_processor = 0

    @property
    def is_enabled(self) -> bool:
        """Whether RSS is on."""
        return self.parameters is not None

    def set_parameters(self, wanted: ReceiveScaleParameters) -> None:
        """A set succeeded; raises StructureError when it leans on values that were never set."""
        if wanted.is_disabling:
            self.parameters = None
            self._remember(_OFF)
            return
        merged = wanted.merged_over(self.parameters)
        self.parameters = merged
        key, table = merged.key or b"", merged.table or ()
        self._remember(HashConfig(merged.hash_types, merged.hash_function, key, table))

    def set_receive_hash(self, wanted: ReceiveHashParameters) -> None:
        """A set of OID_GEN_RECEIVE_HASH succeeded."""
        if not wanted.flags & ReceiveHashFlag.ENABLE_HASH:
            self.receive_hash = None
            self._remember(_OFF)
            return
        old = self.receive_hash
        information, key = wanted.hash_information, wanted.key
        if old is not None and wanted.flags & ReceiveHashFlag.HASH_INFO_UNCHANGED:
            information = old.hash_information
        if old is not None and wanted.flags & ReceiveHashFlag.HASH_KEY_UNCHANGED:
            key = old.key
        self.receive_hash = ReceiveHashParameters(ReceiveHashFlag.ENABLE_HASH, information, key)
        self._remember(HashConfig(information & HASH_TYPE_MASK, information & HASH_FUNCTION_MASK, key or b""))

    def _remember(self, config: HashConfig) -> None:
        if config is not self._configs[-1]:  # off twice is off
            self._configs = [*self._configs[-1:], config]

    def reset(self) -> None:
        """The adapter was halted: all off, nothing remembered."""
        self.parameters = self.receive_hash = None
        self._configs = [_OFF]

    def check(self, miniport: object, nbl: NetBufferList) -> None:
        """Raise RSS-1 to RSS-4 when an indicated hash is not one that the configuration explains."""
        information, value = nbl.info(Slot.HASH_INFO), nbl.info(Slot.HASH_VALUE)
        hash_type, function = information & HASH_TYPE_MASK, information & HASH_FUNCTION_MASK
        require = self._verifier.require
        if not hash_type:
            if function or value:
                text = f"type 0 with 0x{function:02X}, 0x{value:08X}"
                raise self._verifier.breach("RSS-1", miniport, text)
            if self._oracle is not None:
                self._check_value(miniport, nbl, 0, 0)
            return
        explained = [c for c in self._configs if _has_type(c, hash_type) and c.function == function]
        require(
            bool(explained), "RSS-2", miniport, f"hash type 0x{hash_type:X}, function {function} not enabled"
        )
        if self._oracle is not None:
            self._check_value(miniport, nbl, hash_type, value)
        self._check_processor(miniport, value)

    def _check_value(self, miniport: object, nbl: NetBufferList, hash_type: int, value: int) -> None:
        buffer = nbl.first_net_buffer
        if self._oracle is None or buffer is None:
            return
        frame = buffer.data()
        expected = [self._oracle(frame, config.types, config.key) for config in self._configs]
        plain = _plain(hash_type)
        is_right = any((_plain(kind), found) == (plain, value) for kind, found in expected)
        text = f"type 0x{hash_type:X} value 0x{value:08X}, expected " + " or ".join(
            f"0x{kind:X} 0x{found:08X}" for kind, found in expected
        )
        self._verifier.require(is_right, "RSS-3", miniport, text)

    def _check_processor(self, miniport: object, value: int) -> None:
        """Always counted, a rule only when strict: a change of the table may lag behind for a while."""
        current = self._verifier.processors.current
        tables = [config.table for config in self._configs if config.table]
        if not tables:
            return
        if any(table[value & len(table) - 1] == current for table in tables):
            self.on_processor += 1
            return
        self.off_processor += 1
        wanted = tables[-1][value & len(tables[-1]) - 1]
        self._verifier.require(
            not self._is_strict,
            "RSS-4",
            miniport,
            f"hash 0x{value:08X} on processor {current}, table says {wanted}",
        )


def _plain(hash_type: int) -> int:
    """An NBL may carry the _EX type or the plain one."""
    return int(_PLAIN.get(HashType(hash_type), HashType(hash_type)))


def _has_type(config: HashConfig, hash_type: int) -> bool:
    """Whether exactly one type is named, and it is enabled or the twin of an enabled one."""
    if hash_type & hash_type - 1:
        return False
    enabled = {_plain(1 << bit) for bit in range(8, 17) if config.types >> bit & 1}
    return _plain(hash_type) in enabled
