"""What servers and clients are given alike, and is no table of adapters."""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING

from tunnel.domain.limits import MIB
from tunnel.domain.request_ids import RequestIds
from tunnel.ports.tls import ListenerTls

if TYPE_CHECKING:
    from tunnel.adapters.memory.network import MemoryNetwork
    from tunnel.domain.configuration import ListenerTlsSettings

__all__ = ["PROCESS_RECEIVE_BYTES", "memory_network", "new_request_ids", "openssl_listener_tls"]

PROCESS_RECEIVE_BYTES = 1024 * MIB
"""Credit that all tunnels of one server or client may have promised to their peers together. Sessions that peers open
take at most half of it, so that they cannot crowd out our own."""


@cache
def memory_network() -> MemoryNetwork:
    """The process's one namespace of ``memory://`` names."""
    from tunnel.adapters.memory.network import MemoryNetwork

    return MemoryNetwork()


def new_request_ids() -> RequestIds:
    """Ids that no other process gives."""
    return RequestIds(secrets.token_hex(8))


def openssl_listener_tls(settings: ListenerTlsSettings, where: str) -> ListenerTls:
    """What a listener proves itself with, read of the files that the table at the key path ``where`` names.

    Raises:
        ConfigurationError: A file is missing or wrong.
    """
    from tunnel.adapters.tls.listener import OpensslListenerTls

    return OpensslListenerTls(settings, where)
