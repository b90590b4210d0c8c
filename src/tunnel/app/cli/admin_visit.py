"""Asking an admin port, without an event loop and without a proxy."""

from __future__ import annotations

import http.client
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from tunnel.domain.errors import ConfigurationError, TunnelError

__all__ = ["AdminUnavailable", "AdminVisit"]

_TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A thousand clients with sixteen tunnels each take a tenth of that."""

_CONNECTIONS: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class AdminUnavailable(TunnelError):
    """The admin port does not answer, or not as one does."""


class AdminVisit:
    """Asks one admin port for JSON.

    Args:
        url: Where it is, ``http(s)://HOST[:PORT]``.
        token: Bearer token; None: without.

    Raises:
        ConfigurationError: This is no such URL.
    """

    def __init__(self, url: str, *, token: str | None) -> None:
        expected = "expected a URL such as http://127.0.0.1:8090, without a path"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise ConfigurationError(expected, key_path="--admin") from exc
        more = parts.query or parts.fragment or parts.path not in ("", "/") or "@" in parts.netloc
        if parts.scheme not in _CONNECTIONS or not parts.hostname or more:
            raise ConfigurationError(expected, key_path="--admin")
        self._url = url.rstrip("/")
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, port
        self._token = token

    def get(self, path: str) -> dict[str, Any]:
        """The object that is shown at ``path``.

        Raises:
            AdminUnavailable: It is not.
        """
        connection = _CONNECTIONS[self._scheme](self._host, self._port, timeout=_TIMEOUT_S)
        fields = {"Accept": "application/json", "Connection": "close"}
        if self._token is not None:
            fields["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request("GET", path, headers=fields)
            response = connection.getresponse()
            status, body = response.status, response.read(_MAX_ANSWER_BYTES)
        except ConnectionRefusedError as exc:
            raise AdminUnavailable(f"nothing listens at {self._url}; is [admin] configured there?") from exc
        except (OSError, ValueError, http.client.HTTPException) as exc:
            raise AdminUnavailable(f"{self._url} does not answer: {exc or type(exc).__name__}") from exc
        finally:
            connection.close()
        return self._shown(status, body)

    def _shown(self, status: int, body: bytes) -> dict[str, Any]:
        if status == http.HTTPStatus.UNAUTHORIZED:
            hint = (
                "asks for a token: name its variable with --token-env" if self._token is None else "wants another token"
            )
            raise AdminUnavailable(f"{self._url} {hint}")
        try:
            shown = msgspec.json.decode(body)
        except msgspec.DecodeError:
            shown = None
        if status != http.HTTPStatus.OK or not isinstance(shown, dict):
            detail = f": {shown['detail']}" if isinstance(shown, dict) and "detail" in shown else ""
            raise AdminUnavailable(f"{self._url} does not answer as an admin port does: status {status}{detail}")
        return shown
