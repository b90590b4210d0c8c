"""A context for listeners that chooses another context for each connection, and bounds handshakes under way.

asyncio and uvloop take one context for the life of a listener, and ask it for ``wrap_bio`` once for each connection.
Loading another certificate into that context would do for new connections; but a pair that turns out wrong leaves it
half loaded, and trusted certificates cannot be taken out of it. So each pair gets a context of its own.
"""

from __future__ import annotations

import ssl
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

__all__ = ["HANDSHAKE_S", "MAX_HANDSHAKES", "FollowingContext"]

HANDSHAKE_S: Final = 10.0
"""How long a handshake may take; listeners set it where they listen."""

MAX_HANDSHAKES: Final = 1000
"""Handshakes under way on one listener: half-open connections cost some hundred kilobytes each."""


class FollowingContext(ssl.SSLContext):
    """Wraps each connection with the context that is current at that moment.

    Args:
        current: Used at first.
    """

    def __new__(cls, current: ssl.SSLContext) -> FollowingContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, current: ssl.SSLContext) -> None:
        self._current = current
        self._handshakes: Final = _Handshakes()

    def follow(self, successor: FollowingContext) -> None:
        """Use the context that ``successor`` uses, for connections from now on."""
        self._current = successor._current

    def wrap_bio(self, incoming: Any, outgoing: Any, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        current = self._current
        current.sslobject_class = _CountedObject
        wrapped = current.wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(wrapped, _CountedObject)
        wrapped.handshakes = self._handshakes
        return wrapped


class _Handshakes:
    """Those under way. One that was given up without a word counts until its deadline at most."""

    def __init__(self) -> None:
        self._since: WeakKeyDictionary[ssl.SSLObject, float] = WeakKeyDictionary()

    def begin(self, connection: ssl.SSLObject) -> None:
        """Count ``connection``, once.

        Raises:
            ssl.SSLError: There are too many.
        """
        if connection in self._since:
            return
        now = time.monotonic()
        if len(self._since) >= MAX_HANDSHAKES:
            for each, since in list(self._since.items()):
                if now - since > HANDSHAKE_S:
                    del self._since[each]
            if len(self._since) >= MAX_HANDSHAKES:
                raise ssl.SSLError("too many handshakes are under way")
        self._since[connection] = now

    def end(self, connection: ssl.SSLObject) -> None:
        self._since.pop(connection, None)


class _CountedObject(ssl.SSLObject):
    handshakes: _Handshakes

    def do_handshake(self) -> None:
        self.handshakes.begin(self)
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except BaseException:
            self.handshakes.end(self)
            raise
        self.handshakes.end(self)
