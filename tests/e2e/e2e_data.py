"""Deterministic bulk data, the same in the upstream's process and in the tests'.

Every block starts with its own index, so that a lost, repeated or reordered block changes the checksum.
"""

import hashlib
import random
from collections.abc import Iterator

MIB = 1 << 20
BLOCK_BYTES = 256 * 1024
_INDEX_BYTES = 8
_FILLER = random.Random(20).randbytes(BLOCK_BYTES - _INDEX_BYTES)


def blocks(total_bytes: int) -> Iterator[bytes]:
    """Yield blocks that sum to `total_bytes`; the last one may be short."""
    for index in range(-(-total_bytes // BLOCK_BYTES)):
        block = index.to_bytes(_INDEX_BYTES, "big") + _FILLER
        yield block[: total_bytes - index * BLOCK_BYTES]


def digest(total_bytes: int) -> str:
    """Return the SHA-256 of all the blocks that sum to `total_bytes`."""
    sha256 = hashlib.sha256()
    for block in blocks(total_bytes):
        sha256.update(block)
    return sha256.hexdigest()
