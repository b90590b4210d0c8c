"""The dialling side of the WebSocket transport."""

from __future__ import annotations

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException

from tunnel.adapters.websocket.address import format_address
from tunnel.adapters.websocket.connection import (
    SUBPROTOCOL,
    ClientFlow,
    connection_options,
    quiet_logger,
)
from tunnel.adapters.websocket.link import WebSocketLink
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.identity import PeerInfo
from tunnel.ports.transport import Transport

__all__ = ["WebSocketTransport"]


class _ConnectHere(connect):
    """Follows no redirect: credentials go to the configured address or nowhere."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class WebSocketTransport(Transport):
    """Connects to ``ws://host:port/any/path`` with subprotocol ``tunnel.v1``."""

    def __init__(self) -> None:
        self._logger = quiet_logger("client")

    async def connect(self, url: str, *, timeout_s: float) -> WebSocketLink:
        try:
            connection = await _ConnectHere(
                url,
                **connection_options(),
                open_timeout=timeout_s,
                proxy=None,
                user_agent_header=None,
                logger=self._logger,
                create_connection=ClientFlow,
            )
        except InvalidURI as exc:
            # Its words repeat the URL, which may hold a password.
            raise LinkError(LinkEnd.UNREACHABLE, "not a WebSocket URL") from exc
        except (OSError, WebSocketException, ValueError, OverflowError) as exc:
            raise LinkError(LinkEnd.UNREACHABLE, str(exc) or type(exc).__name__) from exc
        assert isinstance(connection, ClientFlow)
        link = WebSocketLink(connection, PeerInfo("ws", format_address(connection.remote_address)))
        if connection.subprotocol != SUBPROTOCOL:
            await link.aclose()
            raise LinkError(LinkEnd.UNREACHABLE, f"the server does not speak {SUBPROTOCOL}")
        return link
