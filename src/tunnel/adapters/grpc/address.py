"""Taking an address before anything runs on it.

gRPC binds its own sockets, only within a running event loop, and says of a failure no more than that it failed. So the
address is first taken with a plain socket, which tells the real reason and the real port, and handed over to gRPC when
it starts to serve.
"""

from __future__ import annotations

import socket
from typing import Final

from tunnel.domain.errors import ListenError

__all__ = ["Reservation"]

_LAST_PORT: Final = 65535


class Reservation:
    """An address held with a socket that accepts nobody; who connects is reset when it is released.

    Args:
        listen: ``host:port``, IPv6 hosts in brackets; port 0 takes a free one. A name stands for the first address it
            resolves to.

    Raises:
        ListenError: The address cannot be had.
    """

    def __init__(self, listen: str) -> None:
        host, separator, port = listen.rpartition(":")
        if not separator or not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
            raise ListenError(listen, "expected host:port")
        self._name = host
        try:
            family, _, _, _, address = socket.getaddrinfo(
                host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, socket.SOCK_STREAM)
        except UnicodeError as error:
            raise ListenError(listen, "the host is not a name") from error
        except OSError as error:
            raise ListenError(listen, error.strerror or str(error)) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind(address)
            # Only a listening socket keeps others away who, as one must to restart, reuse addresses too.
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            raise ListenError(listen, error.strerror or str(error)) from error
        bound = self._socket.getsockname()
        self._host, self._port = str(bound[0]), int(bound[1])

    @property
    def address(self) -> str:
        """``host:port`` with the host as given and the real port."""
        return f"{self._name}:{self._port}"

    def release(self) -> str:
        """Let go of the address; returns it as numbers, ``host:port``. Idempotent."""
        self._socket.close()
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
