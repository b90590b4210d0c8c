"""The dialling side of the WebSocket transport."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from tunnel.adapters.websocket.address import format_address
from tunnel.adapters.websocket.connection import (
    SUBPROTOCOL,
    ClientFlow,
    connection_options,
    quiet_logger,
    tls_options,
)
from tunnel.adapters.websocket.dialling import dialled
from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.adapters.websocket.proxy import connect_through
from tunnel.domain.configuration.addresses import parse_server_url
from tunnel.domain.configuration.proxies import Proxy
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Transport

__all__ = ["WebSocketTransport"]

_DIRECTLY: Final[Mapping[str, Proxy]] = {}

_REJECTED: Final = {
    10: "the server's certificate has expired",
    9: "the server's certificate is not valid yet",
    62: "the server's certificate is for another name",
    64: "the server's certificate is for another address",
}
"""By the codes of OpenSSL's verification, which its own documentation lists (X509_V_ERR)."""


class _ConnectHere(connect):
    """Follows no redirect: credentials go to the configured address or nowhere."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class WebSocketTransport(Transport):
    """Connects to ``ws://host:port/any/path``, or with TLS to ``wss://...``, with subprotocol ``tunnel.v1``.

    Args:
        ssl_context: For TLS; None: plain text.
        server_name: The name to ask for and to verify; None: the URL's host.
        proxies: Through which proxies servers are reached, by their URLs; others are reached directly.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        proxies: Mapping[str, Proxy] = _DIRECTLY,
    ) -> None:
        self._logger = quiet_logger("client")
        self._scheme = "ws" if ssl_context is None else "wss"
        self._ssl_context = ssl_context
        self._server_name = server_name
        self._proxies = proxies

    async def connect(self, url: str, *, timeout_s: float) -> WebSocketLink:
        if url.partition(":")[0] != self._scheme:
            raise LinkError(LinkEnd.UNREACHABLE, f"expected {self._scheme}://host:port")
        tls = tls_options(self._ssl_context, handshake_s=timeout_s)
        if self._server_name is not None:
            tls["server_hostname"] = self._server_name
        try:
            async with asyncio.timeout(timeout_s):
                connection = await _ConnectHere(
                    url,
                    **connection_options(),
                    **tls,
                    **await _way(url, self._proxies.get(url)),
                    open_timeout=None,
                    user_agent_header=None,
                    logger=self._logger,
                    create_connection=ClientFlow,
                )
        except InvalidURI as exc:
            # Its words repeat the URL, which may hold a password.
            raise LinkError(LinkEnd.UNREACHABLE, "not a WebSocket URL") from exc
        except ImportError as exc:
            raise LinkError(LinkEnd.UNREACHABLE, "SOCKS proxies need the package hextunnel[socks]") from exc
        except TimeoutError as exc:
            raise LinkError(LinkEnd.UNREACHABLE, f"timed out after {timeout_s:g} s") from exc
        except (OSError, WebSocketException, ValueError, OverflowError) as exc:
            raise LinkError(LinkEnd.UNREACHABLE, _reason(exc, tls=self._ssl_context is not None)) from exc
        assert isinstance(connection, ClientFlow)
        link = WebSocketLink(connection, PeerInfo(self._scheme, format_address(connection.remote_address)))
        if connection.subprotocol != SUBPROTOCOL:
            await link.aclose()
            raise LinkError(LinkEnd.UNREACHABLE, f"the server does not speak {SUBPROTOCOL}")
        return link


async def _way(url: str, proxy: Proxy | None) -> dict[str, Any]:
    """Options of ``connect`` that say how the server is reached."""
    if proxy is not None and proxy.scheme == "socks5":
        return {"proxy": proxy.revealed_url()}
    if proxy is None:
        asked = parse_uri(url)
        return {"proxy": None, "sock": await dialled(asked.host, asked.port)}
    server = parse_server_url(url)
    return {"proxy": None, "sock": await connect_through(proxy, server.host, server.port)}


def _reason(error: Exception, *, tls: bool) -> str:
    """In words. What TLS found is often the cause of what the library says."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        unknown = f"the server's certificate was not issued by a trusted authority ({cause.verify_message})"
        return _REJECTED.get(cause.verify_code, unknown)
    if isinstance(cause, ssl.SSLError):
        words = (cause.reason or "failed").replace("_", " ").lower()
        if cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "the server does not speak TLS at this address"
        return f"TLS: {words}"
    if isinstance(error, ConnectionError) and not str(error):
        # asyncio's own, which has no words: the handshake of TLS met the end of the stream.
        return "the server ended the TLS handshake; perhaps it does not speak TLS at this address"
    if tls and isinstance(error, InvalidMessage):
        # With TLS 1.3 a server refuses a client that has finished its handshake already.
        return "the server closed the connection; perhaps it asks for another client certificate"
    return str(error) or type(error).__name__
