"""NDIS structures of receive-side scaling: capabilities, parameters with table and key, receive hash."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar

from vnic.ndis.structures import ObjectType, bad_data, pack_header, parse_header, too_short

#: NdisHashFunctionToeplitz in the low byte of HashInformation.
HASH_FUNCTION_TOEPLITZ = 0x01
HASH_FUNCTION_MASK = 0x000000FF
HASH_TYPE_MASK = 0x00FFFF00
SECRET_KEY_BYTES = 40
TABLE_ENTRIES_MAX = 128


class HashType(IntFlag):
    """NDIS_HASH_*; the UDP types came with NDIS 6.80."""

    IPV4 = 0x00000100
    TCP_IPV4 = 0x00000200
    IPV6 = 0x00000400
    IPV6_EX = 0x00000800
    TCP_IPV6 = 0x00001000
    TCP_IPV6_EX = 0x00002000
    UDP_IPV4 = 0x00004000
    UDP_IPV6 = 0x00008000
    UDP_IPV6_EX = 0x00010000


HASH_TYPES_SNP = (
    HashType.IPV4
    | HashType.TCP_IPV4
    | HashType.IPV6
    | HashType.IPV6_EX
    | HashType.TCP_IPV6
    | HashType.TCP_IPV6_EX
)
HASH_TYPES_ALL = HASH_TYPES_SNP | HashType.UDP_IPV4 | HashType.UDP_IPV6 | HashType.UDP_IPV6_EX


class RssCapability(IntFlag):
    """CapabilitiesFlags of NDIS_RECEIVE_SCALE_CAPABILITIES; the low bits are the hash function."""

    TOEPLITZ = HASH_FUNCTION_TOEPLITZ
    HASH_TYPE_TCP_IPV4 = 0x00000100
    HASH_TYPE_TCP_IPV6 = 0x00000200
    HASH_TYPE_TCP_IPV6_EX = 0x00000400
    HASH_TYPE_UDP_IPV4 = 0x00000800
    HASH_TYPE_UDP_IPV6 = 0x00001000
    HASH_TYPE_UDP_IPV6_EX = 0x00002000
    MESSAGE_SIGNALED_INTERRUPTS = 0x01000000
    CLASSIFICATION_AT_ISR = 0x02000000
    CLASSIFICATION_AT_DPC = 0x04000000
    USING_MSI_X = 0x08000000
    RSS_AVAILABLE_ON_PORTS = 0x10000000
    SUPPORTS_MSI_X = 0x20000000


class RssFlag(IntFlag):
    """Flags of NDIS_RECEIVE_SCALE_PARAMETERS; a clear UNCHANGED flag says "may have changed"."""

    NONE = 0
    BASE_CPU_UNCHANGED = 0x01
    HASH_INFO_UNCHANGED = 0x02
    ITABLE_UNCHANGED = 0x04
    HASH_KEY_UNCHANGED = 0x08
    DISABLE_RSS = 0x10
    DEFAULT_PROCESSOR_UNCHANGED = 0x20


@dataclass(frozen=True, slots=True)
class ReceiveScaleCapabilities:
    """NDIS_RECEIVE_SCALE_CAPABILITIES, revision 1 or 2."""

    flags: RssCapability
    interrupt_messages: int
    receive_queues: int
    table_entries: int = TABLE_ENTRIES_MAX
    revision: int = 2

    SIZES: ClassVar[dict[int, int]] = {1: 16, 2: 18}

    def pack(self) -> bytes:
        """16 or 18 bytes."""
        header = pack_header(ObjectType.RSS_CAPABILITIES, self.revision, self.SIZES[self.revision])
        body = struct.pack("<III", self.flags, self.interrupt_messages, self.receive_queues)
        return header + body + (struct.pack("<H", self.table_entries) if self.revision > 1 else b"")

    @classmethod
    def parse(cls, data: bytes) -> ReceiveScaleCapabilities:
        """Raises StructureError."""
        revision = parse_header(
            "NDIS_RECEIVE_SCALE_CAPABILITIES", data, ObjectType.RSS_CAPABILITIES, cls.SIZES
        )
        flags, messages, queues = struct.unpack_from("<III", data, 4)
        entries = struct.unpack_from("<H", data, 16)[0] if revision > 1 else TABLE_ENTRIES_MAX
        return cls(RssCapability(flags & 0x3F003FFF), messages, queues, entries, revision)


@dataclass(frozen=True, slots=True)
class ReceiveScaleParameters:
    """NDIS_RECEIVE_SCALE_PARAMETERS, revisions 1 to 3.

    `table` and `key` are None where their UNCHANGED flag (or DISABLE_RSS) makes the bytes meaningless. A
    table entry is one byte in revision 1, then a PROCESSOR_NUMBER {USHORT Group; UCHAR Number, Reserved}.
    """

    flags: RssFlag = RssFlag.NONE
    hash_information: int = 0
    table: tuple[int, ...] | None = None
    key: bytes | None = None
    base_cpu: int = 0
    default_processor: int = 0
    revision: int = 2

    NAME: ClassVar[str] = "NDIS_RECEIVE_SCALE_PARAMETERS"
    SIZES: ClassVar[dict[int, int]] = {1: 28, 2: 40, 3: 44}
    _BODY: ClassVar[struct.Struct] = struct.Struct("<HHIHxxIHxxI")

    @property
    def hash_types(self) -> HashType:
        """The types of HashInformation."""
        return HashType(self.hash_information & HASH_TYPE_MASK)

    @property
    def hash_function(self) -> int:
        """The function of HashInformation."""
        return self.hash_information & HASH_FUNCTION_MASK

    @property
    def is_disabling(self) -> bool:
        """DISABLE_RSS, or a new HashInformation whose function is 0."""
        if self.flags & RssFlag.DISABLE_RSS:
            return True
        return not self.flags & RssFlag.HASH_INFO_UNCHANGED and self.hash_function == 0

    @property
    def _entry_bytes(self) -> int:
        return 1 if self.revision == 1 else 4

    def pack(self) -> bytes:
        """The structure followed by table and key, their offsets set."""
        size = self.SIZES[self.revision]
        table = b"".join(self._pack_entry(cpu) for cpu in self.table or ())
        key = self.key or b""
        key_offset = size + -(-len(table) // 4) * 4
        body = self._BODY.pack(
            self.flags, self.base_cpu, self.hash_information, len(table), size, len(key), key_offset
        )
        head = pack_header(ObjectType.RSS_PARAMETERS, self.revision, size) + body
        if self.revision >= 2:
            head += struct.pack("<III", 0, 0, 0)
        if self.revision >= 3:
            head += self._pack_entry(self.default_processor)
        return head + table.ljust(key_offset - size, b"\0") + key

    def _pack_entry(self, cpu: int) -> bytes:
        return struct.pack("<B", cpu) if self.revision == 1 else struct.pack("<HBB", 0, cpu, 0)

    @classmethod
    def parse(cls, data: bytes) -> ReceiveScaleParameters:
        """Check and copy hostile bytes; raises StructureError.

        INVALID_LENGTH when table or key lie outside the buffer, INVALID_DATA when the table is not a power
        of two up to 128 entries, the key is not 40 bytes, or the hash function or type is unknown.
        """
        revision = parse_header(cls.NAME, data, ObjectType.RSS_PARAMETERS, cls.SIZES)
        flags, base_cpu, information, table_bytes, table_at, key_bytes, key_at = cls._BODY.unpack_from(
            data, 4
        )
        known = RssFlag(flags & 0x3F)
        default = _processor(data[40:44]) if revision >= 3 else 0
        if known & RssFlag.DISABLE_RSS:
            return cls(known, information, None, None, base_cpu, default, revision)
        if not known & RssFlag.HASH_INFO_UNCHANGED:
            _check_hash_information(cls.NAME, information)
            if information & HASH_FUNCTION_MASK == 0:  # disables: table and key may be absent
                return cls(known, information, None, None, base_cpu, default, revision)
        table = None
        if not known & RssFlag.ITABLE_UNCHANGED:
            table = cls._parse_table(
                _tail(cls.NAME, data, cls.SIZES[revision], table_at, table_bytes), revision
            )
        key = None
        if not known & RssFlag.HASH_KEY_UNCHANGED:
            key = _parse_key(cls.NAME, _tail(cls.NAME, data, cls.SIZES[revision], key_at, key_bytes))
        return cls(known, information, table, key, base_cpu, default, revision)

    @classmethod
    def _parse_table(cls, data: bytes, revision: int) -> tuple[int, ...]:
        entry_bytes = 1 if revision == 1 else 4
        entries, rest = divmod(len(data), entry_bytes)
        if rest or not 1 <= entries <= TABLE_ENTRIES_MAX or entries & entries - 1:
            raise bad_data(cls.NAME, f"an indirection table of {len(data)} bytes")
        if revision == 1:
            return tuple(data)
        return tuple(_processor(data[at : at + 4]) for at in range(0, len(data), 4))

    def merged_over(self, old: ReceiveScaleParameters | None) -> ReceiveScaleParameters:
        """What is in force after this set: every UNCHANGED member taken from `old`.

        Raises StructureError INVALID_DATA when something is "unchanged" that was never set.
        """
        unchanged = self.flags
        information = self.hash_information
        if unchanged & RssFlag.HASH_INFO_UNCHANGED:
            information = self._inherited(old).hash_information
        table = self._inherited(old).table if unchanged & RssFlag.ITABLE_UNCHANGED else self.table
        key = self._inherited(old).key if unchanged & RssFlag.HASH_KEY_UNCHANGED else self.key
        return ReceiveScaleParameters(
            RssFlag.NONE, information, table, key, self.base_cpu, self.default_processor, self.revision
        )

    def _inherited(self, old: ReceiveScaleParameters | None) -> ReceiveScaleParameters:
        if old is None:
            raise bad_data(self.NAME, "an unchanged member where none was set before")
        return old


class ReceiveHashFlag(IntFlag):
    """Flags of NDIS_RECEIVE_HASH_PARAMETERS."""

    ENABLE_HASH = 1
    HASH_INFO_UNCHANGED = 2
    HASH_KEY_UNCHANGED = 4


@dataclass(frozen=True, slots=True)
class ReceiveHashParameters:
    """NDIS_RECEIVE_HASH_PARAMETERS of OID_GEN_RECEIVE_HASH: a hash without scaling; excludes RSS."""

    flags: ReceiveHashFlag
    hash_information: int = 0
    key: bytes | None = None

    NAME: ClassVar[str] = "NDIS_RECEIVE_HASH_PARAMETERS"
    SIZE: ClassVar[int] = 20

    def pack(self) -> bytes:
        """20 bytes and the key."""
        key = self.key or b""
        body = struct.pack("<IIHxxI", self.flags, self.hash_information, len(key), self.SIZE)
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + body + key

    @classmethod
    def parse(cls, data: bytes) -> ReceiveHashParameters:
        """Raises StructureError."""
        parse_header(cls.NAME, data, ObjectType.DEFAULT, {1: cls.SIZE})
        flags, information, key_bytes, key_at = struct.unpack_from("<IIHxxI", data, 4)
        known = ReceiveHashFlag(flags & 7)
        if not known & ReceiveHashFlag.ENABLE_HASH:
            return cls(known, information)
        if not known & ReceiveHashFlag.HASH_INFO_UNCHANGED:
            _check_hash_information(cls.NAME, information)
        key = None
        if not known & ReceiveHashFlag.HASH_KEY_UNCHANGED:
            key = _parse_key(cls.NAME, _tail(cls.NAME, data, cls.SIZE, key_at, key_bytes))
        return cls(known, information, key)


def _tail(name: str, data: bytes, header: int, offset: int, length: int) -> bytes:
    """`length` bytes at `offset`, which must lie behind the header and inside the buffer."""
    if length and offset < header:
        raise bad_data(name, f"offset {offset} points into the structure")
    if offset + length > len(data):
        raise too_short(name, len(data), offset + length)
    return bytes(data[offset : offset + length])


def _processor(entry: bytes) -> int:
    group, number, _ = struct.unpack("<HBB", entry)
    if group:
        raise bad_data("PROCESSOR_NUMBER", f"processor group {group}")
    return int(number)


def _parse_key(name: str, key: bytes) -> bytes:
    if len(key) != SECRET_KEY_BYTES:
        raise bad_data(name, f"a secret key of {len(key)} bytes")
    return key


def _check_hash_information(name: str, information: int) -> None:
    function = information & HASH_FUNCTION_MASK
    if function not in (0, HASH_FUNCTION_TOEPLITZ):
        raise bad_data(name, f"hash function {function}")
    if information & ~int(HASH_TYPES_ALL | HASH_FUNCTION_MASK):
        raise bad_data(name, f"hash information 0x{information:08X}")
    if function and not information & HASH_TYPE_MASK:
        raise bad_data(name, "a hash function without a hash type")
