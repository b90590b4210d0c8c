"""The ``[entry]`` table: where conversations enter a client, to be served behind its server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.fallback import (
    DIRECT_GRPC_SCHEMES,
    DIRECT_HTTP_SCHEMES,
    DIRECT_TCP_SCHEMES,
    check_direct,
)
from tunnel.domain.configuration.listeners import (
    GrpcIngressSettings,
    HttpListenerSettings,
    check_grpc_listener,
    check_http_listener,
)
from tunnel.domain.configuration.mistakes import check_name
from tunnel.domain.configuration.tcp_ingress import TcpListenerSettings, check_tcp_names
from tunnel.domain.findings import Findings

__all__ = ["EntrySettings", "GrpcEntrySettings", "HttpEntrySettings", "TcpEntrySettings", "check_entry"]


class HttpEntrySettings(HttpListenerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[entry.http]``: where HTTP requests and WebSockets enter. It has the keys of ``[ingress.http]``.

    Args:
        direct: Where they go by themselves while no tunnel is up: ``http://HOST[:PORT]``, ``https://HOST[:PORT]`` or
            ``unix:/PATH``; None: as ``[fallback]`` says.
    """

    direct: str | None = None


class GrpcEntrySettings(GrpcIngressSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[entry.grpc]``: where gRPC calls enter. It has the keys of ``[ingress.grpc]``.

    Args:
        direct: Where they go by themselves while no tunnel is up: ``grpc://HOST:PORT`` or ``grpcs://HOST:PORT``; None:
            nowhere.
    """

    direct: str | None = None


class TcpEntrySettings(TcpListenerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[entry.tcp]]``: where TCP connections to one of the server's forward upstreams enter.

    Args:
        direct: Where they go by themselves while no tunnel is up: ``tcp://HOST:PORT``; None: nowhere.
    """

    direct: str | None = None


class EntrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[entry]``: listeners of a client.

    Args:
        http: None: there is no such listener.
        grpc: Likewise.
        tcp: One listener each.
        wait_for_server_s: How long a conversation waits while no tunnel is up; 0: not at all.
        max_waiting: Conversations that wait at the same time; further ones fail at once.
    """

    http: HttpEntrySettings | None = None
    grpc: GrpcEntrySettings | None = None
    tcp: tuple[TcpEntrySettings, ...] = ()
    wait_for_server_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    max_waiting: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Key path and value of each ``listen``."""
        if self.http is not None:
            yield "entry.http.listen", self.http.listen
        if self.grpc is not None:
            yield "entry.grpc.listen", self.grpc.listen
        for index, tcp in enumerate(self.tcp):
            yield f"entry.tcp[{index}].listen", tcp.listen


def check_entry(entry: EntrySettings, found: Findings) -> None:
    """Refuse what the types of the tables let pass, addresses apart."""
    with found:
        if entry.http is not None:
            check_http_listener(entry.http, "entry.http", found)
    with found:
        if entry.grpc is not None:
            check_grpc_listener(entry.grpc, "entry.grpc", found)
    with found:
        for index, tcp in enumerate(entry.tcp):
            with found:
                check_name(tcp.upstream, f"entry.tcp[{index}].upstream", what="a name")
    with found:
        check_tcp_names(entry.tcp, "entry.tcp", found)
    for path, table, schemes in _with_direct(entry):
        with found:
            if table.direct is not None:
                check_direct(table.direct, schemes, listen=table.listen, path=path)


def _with_direct(
    entry: EntrySettings,
) -> Iterator[tuple[str, HttpEntrySettings | GrpcEntrySettings | TcpEntrySettings, tuple[str, ...]]]:
    """Key path of each ``direct``, the table that it is of, and what it may begin with."""
    if entry.http is not None:
        yield "entry.http.direct", entry.http, DIRECT_HTTP_SCHEMES
    if entry.grpc is not None:
        yield "entry.grpc.direct", entry.grpc, DIRECT_GRPC_SCHEMES
    for index, tcp in enumerate(entry.tcp):
        yield f"entry.tcp[{index}].direct", tcp, DIRECT_TCP_SCHEMES
