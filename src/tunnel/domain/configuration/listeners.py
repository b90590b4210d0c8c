"""The ``[transports.*]`` and ``[ingress.*]`` tables: where a server listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tunnel.domain.configuration.addresses import check_origin, parse_listen
from tunnel.domain.configuration.admin import AdminSettings
from tunnel.domain.configuration.mistakes import check_name, mistake
from tunnel.domain.configuration.tcp_ingress import TcpIngressSettings
from tunnel.domain.configuration.tls import ListenerTlsSettings, check_listener_tls, is_loopback
from tunnel.domain.errors import ConfigurationError
from tunnel.domain.findings import Findings
from tunnel.domain.limits import GIB, KIB, MIB
from tunnel.domain.rules.hosts import is_host_name, normal_ipv6

__all__ = [
    "GrpcIngressSettings",
    "GrpcTransportSettings",
    "HttpIngressSettings",
    "HttpListenerSettings",
    "IngressSettings",
    "MemoryTransportSettings",
    "TransportsSettings",
    "WebSocketTransportSettings",
    "check_addresses",
    "check_grpc_listener",
    "check_http_listener",
    "check_listeners",
]


class GrpcTransportSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.grpc]``: clients dial ``grpc://``, with TLS ``grpcs://``.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose.
        tls: None: plain text, which carries clients' tokens in clear.
        insecure: Asks for plain text on an address that is not loopback.
    """

    listen: str
    tls: ListenerTlsSettings | None = None
    insecure: bool = False


class WebSocketTransportSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.websocket]``: clients dial ``ws://``, with TLS ``wss://``.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose. None: it has no listener of its own, only ``on_ingress``.
        on_ingress: Whether links come in at ``/.well-known/tunnel`` of ``[ingress.http]`` too, and of the application
            that is mounted elsewhere. No rule hears of that path then.
        tls: Of its own listener. None: plain text, which carries clients' tokens in clear.
        insecure: Asks for plain text on an address that is not loopback.
    """

    listen: str | None = None
    on_ingress: bool = False
    tls: ListenerTlsSettings | None = None
    insecure: bool = False


class MemoryTransportSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports.memory]``: clients in the same process dial ``memory://NAME``.

    Args:
        name: Unique in the process.
    """

    name: str


class TransportsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[transports]``: how clients reach this server. At least one is given."""

    grpc: GrpcTransportSettings | None = None
    websocket: WebSocketTransportSettings | None = None
    memory: MemoryTransportSettings | None = None


class HttpListenerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where HTTP requests enter, on either side.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose.
        max_body_bytes: Largest request body; None: any.
        max_header_bytes: Largest request head.
        max_message_bytes: Largest message that a WebSocket visitor may send.
        upload_stall_s: Seconds for which the application may take nothing of an upload, while nothing of its answer
            moves either, before the request is given up; 0: for ever.
        trusted_proxies: Addresses and networks whose forwarded headers are believed.
        forwarded: Headers that tell the target about the visitor: ``X-Forwarded-*``, or ``Forwarded`` (RFC 7239).
        request_id: Whether an ``X-Request-Id`` is kept that a visitor gives, or only one that a trusted proxy gives;
            every other request is given one. ``off``: the field is like any other.
        tls: None: plain HTTP, as behind a load balancer.
    """

    listen: str
    tls: ListenerTlsSettings | None = None
    max_body_bytes: Annotated[int, Meta(ge=0)] | None = None
    max_header_bytes: Annotated[int, Meta(ge=KIB, le=MIB)] = 64 * KIB
    max_message_bytes: Annotated[int, Meta(ge=KIB, le=GIB)] = 16 * MIB
    upload_stall_s: Annotated[float, Meta(ge=0, le=86_400)] = 60
    trusted_proxies: tuple[str, ...] = ()
    forwarded: Literal["x", "rfc7239"] = "x"
    request_id: Literal["keep", "replace", "off"] = "keep"


class HttpIngressSettings(HttpListenerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[ingress.http]``: where visitors' HTTP requests enter.

    Args:
        public_url: How visitors reach this listener, ``http(s)://HOST[:PORT]``; None: as it listens.
    """

    public_url: str | None = None


class GrpcIngressSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[ingress.grpc]``: where visitors' gRPC calls enter.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose.
        host: What rules take for the host of calls that enter here; None: such calls name no host.
        max_message_bytes: Largest message, in either direction.
        max_header_bytes: Largest metadata of a call.
        tls: None: plain text, as behind a load balancer.
        request_id: Whether an ``x-request-id`` is kept that a caller gives; every other call is given one. ``off``:
            the key is like any other.
    """

    listen: str
    tls: ListenerTlsSettings | None = None
    host: str | None = None
    max_message_bytes: Annotated[int, Meta(ge=KIB, le=GIB)] = 64 * MIB
    max_header_bytes: Annotated[int, Meta(ge=KIB, le=MIB)] = 64 * KIB
    request_id: Literal["keep", "replace", "off"] = "keep"


class IngressSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[ingress]``: listeners for visitors. None at all suits a server mounted in another ASGI application."""

    http: HttpIngressSettings | None = None
    grpc: GrpcIngressSettings | None = None
    tcp: tuple[TcpIngressSettings, ...] = ()


def check_listeners(
    transports: TransportsSettings, ingress: IngressSettings, admin: AdminSettings | None, found: Findings
) -> None:
    """Refuse malformed and doubly used addresses, and a server that no client can reach."""
    with found:
        if transports.grpc is None and transports.websocket is None and transports.memory is None:
            tables = "[transports.grpc], [transports.websocket] and [transports.memory]"
            raise mistake("transports", f"at least one of {tables}")
    with found:
        check_addresses(_addresses(transports, ingress, admin), found)
    with found:
        _check_transports(transports, ingress, found)
    with found:
        if ingress.http is not None and ingress.http.public_url is not None:
            check_origin(ingress.http.public_url, "ingress.http.public_url")
    with found:
        if ingress.http is not None:
            check_http_listener(ingress.http, "ingress.http", found)
    with found:
        if ingress.grpc is not None:
            check_grpc_listener(ingress.grpc, "ingress.grpc", found)
    with found:
        if admin is not None:
            admin.check("admin", found)


def check_addresses(addresses: Iterable[tuple[str, str]], found: Findings) -> None:
    """Refuse malformed and doubly used addresses.

    Args:
        addresses: Key paths, and what they say.
        found: Takes the mistakes.
    """
    used: dict[str, str] = {}
    for where, text in addresses:
        with found:
            address = parse_listen(text, where)
            first = used.setdefault(str(address), where)
            if first != where and address.port:
                raise mistake(where, f"an address that {first} does not use already", got=text)


def _addresses(
    transports: TransportsSettings, ingress: IngressSettings, admin: AdminSettings | None
) -> Iterator[tuple[str, str]]:
    for where, table in (
        ("transports.grpc", transports.grpc),
        ("transports.websocket", transports.websocket),
        ("ingress.http", ingress.http),
        ("ingress.grpc", ingress.grpc),
        *((f"ingress.tcp[{index}]", tcp) for index, tcp in enumerate(ingress.tcp)),
        ("admin", admin),
    ):
        if table is not None and table.listen is not None:
            yield f"{where}.listen", table.listen


def _check_transports(transports: TransportsSettings, ingress: IngressSettings, found: Findings) -> None:
    with found:
        if transports.memory is not None:
            check_name(transports.memory.name, "transports.memory.name", what="a name")
    with found:
        if transports.grpc is not None:
            _check_transport_tls(transports.grpc, (transports.grpc.listen,), "transports.grpc", found)
    with found:
        if transports.websocket is not None:
            _check_websocket(transports.websocket, ingress.http, found)


def _check_websocket(websocket: WebSocketTransportSettings, http: HttpIngressSettings | None, found: Findings) -> None:
    where = "transports.websocket"
    if websocket.listen is None:
        if not websocket.on_ingress:
            raise mistake(f"{where}.listen", 'an address "HOST:PORT", or "on_ingress = true"')
        if websocket.tls is not None:
            raise mistake(f"{where}.tls", 'no such key without "listen": on the ingress its own "tls" counts')
    plain = [websocket.listen] if websocket.listen is not None else []
    if websocket.on_ingress and http is not None and http.tls is None:
        plain.append(http.listen)
    _check_transport_tls(websocket, tuple(plain), where, found)


def _check_transport_tls(
    transport: GrpcTransportSettings | WebSocketTransportSettings,
    listens: tuple[str, ...],
    where: str,
    found: Findings,
) -> None:
    """Refuse plain text that nobody asked for.

    Args:
        transport: Of the listeners.
        listens: Their addresses: of its own, which ``tls`` is for, and of an ingress without TLS.
        where: Key path.
        found: Takes the mistakes.
    """
    own = transport.listen if transport.tls is not None else None
    if transport.tls is not None:
        with found:
            check_listener_tls(transport.tls, f"{where}.tls", found)
    plain = [listen for listen in listens if listen != own]
    if own is not None and transport.insecure and not plain:
        raise mistake(f"{where}.insecure", 'false or no such key, as "tls" is given', got=True)
    if not transport.insecure and not all(map(_stays_here, plain)):
        expected = '"tls", or "insecure = true": tokens would travel in clear, since this address is not loopback'
        raise mistake(f"{where}.insecure", expected)


def _stays_here(listen: str) -> bool:
    try:
        return is_loopback(parse_listen(listen).host)
    except ConfigurationError:
        # What is no address is told where it stands.
        return True


def check_http_listener(http: HttpListenerSettings, path: str, found: Findings) -> None:
    """Refuse what the types of an HTTP listener let pass, its address apart.

    Args:
        http: The table.
        path: Its key path.
        found: Takes the mistakes.
    """
    with found:
        if http.tls is not None:
            check_listener_tls(http.tls, f"{path}.tls", found)
    for index, proxy in enumerate(http.trusted_proxies):
        with found:
            try:
                ip_network(proxy)
            except ValueError:
                where = f"{path}.trusted_proxies[{index}]"
                raise mistake(where, 'an IP address or network such as "10.0.0.0/8"', got=proxy) from None


def check_grpc_listener(grpc: GrpcIngressSettings, path: str, found: Findings) -> None:
    """Refuse what the types of a gRPC listener let pass, its address apart.

    Args:
        grpc: The table.
        path: Its key path.
        found: Takes the mistakes.
    """
    with found:
        if grpc.tls is not None:
            check_listener_tls(grpc.tls, f"{path}.tls", found)
    host = grpc.host
    if host is not None and not is_host_name(host) and normal_ipv6(host) is None:
        raise mistake(f"{path}.host", 'a host name without port, such as "grpc.example.test"', got=host)
