"""Notices that files have other contents than before, by asking the file system once a second.

Asking works wherever files do: for atomic renames, for symbolic links that are swapped (Kubernetes mounts), for editors
that truncate and write, on network file systems and in containers, most of which notifications of the kernel miss.

1. A file's *signature* is cheap: identity, size and times of what its name leads to, links followed.
2. Once no signature has moved for one poll the contents are read: a file that is being written is not looked at.
3. What counts is the digest of the contents. A file that was only touched, or rewritten as it was, has not changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from typing import Final, TypeAlias

import anyio

__all__ = ["FileWatch"]

_POLL_S: Final = 1.0

_Signature: TypeAlias = tuple[int, ...]

_ABSENT: Final[_Signature] = ()
_UNWATCHED: Final[_Signature] = (0,)
"""Pipes and devices give what they hold only once."""


class FileWatch:
    """Compares files with what they held when they were noted, or when ``changed`` last returned."""

    def __init__(self) -> None:
        self._digests: dict[str, bytes] = {}
        # Signatures that go with the digests; unknown while empty, which makes the next poll read the files.
        self._compared: dict[str, _Signature] = {}
        self._moving: dict[str, _Signature] = {}

    def note(self, names: Iterable[str]) -> None:
        """Take the present contents of these files for what ``changed`` compares with.

        Done before the files are read for use: what changes in between is then noticed rather than missed.
        """
        self._digests |= {name: _digest(name) for name in names}
        self._compared = {}

    def keep(self, names: Iterable[str]) -> None:
        """Watch only these of the files noted."""
        wanted = frozenset(names)
        self._digests = {name: digest for name, digest in self._digests.items() if name in wanted}
        self._compared = {}

    async def changed(self) -> None:
        """Return once a file holds something else, has come or has gone. Cancelling loses nothing."""
        while True:
            await anyio.sleep(_POLL_S)
            if self._has_changed():
                return

    def _has_changed(self) -> bool:
        signatures = {name: _signature(name) for name in self._digests}
        if signatures == self._compared:
            return False
        if signatures != self._moving:
            self._moving = signatures
            return False
        digests = {name: _digest(name) for name in self._digests}
        if signatures != {name: _signature(name) for name in self._digests}:
            # Written while it was read. The next poll sees it at rest, or moving still.
            return False
        self._compared = signatures
        before, self._digests = self._digests, digests
        return digests != before


def _signature(name: str) -> _Signature:
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return _ABSENT
    if not stat.S_ISREG(found.st_mode):
        return _UNWATCHED
    # The time of the last change of status too: tools that restore the time of the last write cannot restore that.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _digest(name: str) -> bytes:
    """Of the contents; empty for a file that cannot be read, or only once."""
    if _signature(name) in (_ABSENT, _UNWATCHED):
        return b""
    try:
        with open(name, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
