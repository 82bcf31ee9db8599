"""The Toeplitz hash of RSS as a sum of shifted keys: the reference of the C paths."""

from __future__ import annotations

KEY_LEN = 40
INPUT_MAX = 36
MICROSOFT_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)


def hash(key: bytes, data: bytes) -> int:
    """Hashes data under a key; ValueError when the key is too short to cover it.

    The key is one long number; for every set bit of the data, its 32 bits from that position on are added
    modulo 2. Source: Microsoft, "RSS hashing functions".
    """
    bits = 8 * len(data)
    spare = 8 * len(key) - bits - 32
    if spare < 0 and data:
        raise ValueError(f"a key of {len(key)} bytes does not cover {len(data)} bytes")
    number, whole = int.from_bytes(data), int.from_bytes(key)
    result = 0
    while number:
        lowest = number & -number
        # The last bit of the data sees the key from bit bits - 1 on, so what is below is shifted out.
        result ^= whole >> (spare + lowest.bit_length())
        number ^= lowest
    return result & 0xFFFF_FFFF
