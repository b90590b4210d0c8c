"""The ``[admin]`` table: where operators look inside, on either side."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tunnel.domain.configuration.addresses import parse_listen
from tunnel.domain.configuration.mistakes import mistake
from tunnel.domain.configuration.tls import ListenerTlsSettings, check_listener_tls, is_loopback
from tunnel.domain.findings import Findings

__all__ = ["AdminSettings"]

_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[admin]``: health, metrics and what is connected, over HTTP or HTTPS.

    Args:
        listen: ``HOST:PORT``; port 0 lets the system choose. Another address than a loopback one needs a token.
        token_sha256: SHA-256 of the bearer token that everything but ``/healthz`` and ``/readyz`` asks for, 64
            hexadecimal digits, as ``tunnel token new`` prints it; None: nothing is asked for.
        insecure: Whether the token may travel in plain text over a network.
        tls: None: plain HTTP.
    """

    listen: str
    tls: ListenerTlsSettings | None = None
    token_sha256: str | None = None
    insecure: bool = False

    def check(self, path: str, found: Findings) -> None:
        """Refuse malformed values, and what would show the inside to a network. A hash is never repeated.

        Args:
            path: Key path of the table.
            found: Takes the mistakes.
        """
        with found:
            if self.token_sha256 is not None and not _SHA256.fullmatch(self.token_sha256):
                # Whoever puts the token itself here must not find it in a log.
                raise mistake(f"{path}.token_sha256", "64 hexadecimal digits, as `tunnel token new` prints them")
        if self.tls is not None:
            with found:
                check_listener_tls(self.tls, f"{path}.tls", found)
            with found:
                if self.insecure:
                    raise mistake(f"{path}.insecure", 'false or no such key, as "tls" is given', got=True)
        with found:
            self._check_reach(path)

    def _check_reach(self, path: str) -> None:
        if is_loopback(parse_listen(self.listen, f"{path}.listen").host):
            return
        if self.token_sha256 is None:
            raise mistake(f"{path}.listen", f"a loopback address, or a token in {path}.token_sha256", got=self.listen)
        if self.tls is None and not self.insecure:
            expected = (
                f"a loopback address, {path}.tls, or {path}.insecure = true: the token would cross the network in "
                "plain text"
            )
            raise mistake(f"{path}.listen", expected, got=self.listen)
