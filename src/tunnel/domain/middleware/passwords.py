"""Passwords as they are kept: hashed, in one of two forms.

``scrypt$LN$R$P$SALT$KEY``, for what people make up: the cost's binary logarithm, block size, parallelism, and in
hexadecimal digits salt and key. ``sha256$DIGEST``, for random tokens of 128 bits and more, which nobody guesses.

Source: RFC 7914.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NamedTuple, Self

__all__ = ["DUMMY", "PasswordHash"]

_SCRYPT: Final = re.compile(r"scrypt\$([0-9]{1,2})\$([0-9]{1,2})\$([0-9]{1,2})\$([0-9a-f]{16,128})\$([0-9a-f]{32,128})")
_SHA256: Final = re.compile(r"sha256\$([0-9A-Fa-f]{64})")

_LN: Final = 14
_R: Final = 8
_P: Final = 1
"""16 MiB and some 50 ms: what an interactive login may cost (RFC 7914 section 2)."""

_MAX_MEMORY_BYTES: Final = 64 * 1024 * 1024
"""A hash that asks for more would let whoever guesses passwords take the machine's memory."""

_KEY_BYTES: Final = 32


class PasswordHash(NamedTuple):
    """A hash as configured.

    Args:
        ln: Binary logarithm of the cost; 0 for SHA-256.
        r: Block size.
        p: Parallelism.
        salt: Empty for SHA-256.
        key: What a password is compared by.
    """

    ln: int
    r: int
    p: int
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read either form.

        Raises:
            ValueError: It is neither, or would cost too much memory.
        """
        plain = _SHA256.fullmatch(text)
        if plain is not None:
            return cls(0, 0, 0, b"", bytes.fromhex(plain[1]))
        found = _SCRYPT.fullmatch(text)
        if found is None:
            raise ValueError("no hash of a password")
        ln, r, p = int(found[1]), int(found[2]), int(found[3])
        if not (ln and r and 1 <= p <= 4) or 128 * r * 2**ln > _MAX_MEMORY_BYTES // 2:
            raise ValueError("too costly")
        return cls(ln, r, p, bytes.fromhex(found[4]), bytes.fromhex(found[5]))

    @classmethod
    def of(cls, password: bytes, salt: bytes) -> Self:
        """The hash of a password that somebody made up.

        Args:
            password: In UTF-8.
            salt: 16 random bytes.
        """
        key = hashlib.scrypt(password, salt=salt, n=2**_LN, r=_R, p=_P, maxmem=_MAX_MEMORY_BYTES, dklen=_KEY_BYTES)
        return cls(_LN, _R, _P, salt, key)

    @property
    def slow(self) -> bool:
        """Whether comparing takes tens of milliseconds."""
        return self.ln > 0

    def fits(self, password: bytes) -> bool:
        """Whether this is the hash of ``password``; compared in constant time."""
        if not self.slow:
            return hmac.compare_digest(hashlib.sha256(password).digest(), self.key)
        found = hashlib.scrypt(
            password,
            salt=self.salt,
            n=2**self.ln,
            r=self.r,
            p=self.p,
            maxmem=_MAX_MEMORY_BYTES,
            dklen=len(self.key),
        )
        return hmac.compare_digest(found, self.key)

    def __str__(self) -> str:
        if not self.slow:
            return f"sha256${self.key.hex()}"
        return f"scrypt${self.ln}${self.r}${self.p}${self.salt.hex()}${self.key.hex()}"

    def __repr__(self) -> str:
        return "PasswordHash(...)"


DUMMY: Final = PasswordHash(_LN, _R, _P, bytes(16), bytes(_KEY_BYTES))
"""No password's: what one is compared with whose user is unknown, so that the time does not tell."""
