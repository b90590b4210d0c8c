"""Maintenance: while a file is there, visitors are told to come back later."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tunnel.domain.errors import ConfigurationError, ErrorCode
from tunnel.domain.refusal import Refusal
from tunnel.ports.middleware import Middleware
from tunnel.ports.target import ProxyTarget, Stream


class Options(msgspec.Struct, frozen=True):
    """What the table may hold; other keys and other types are refused by name."""

    file: str
    retry_after_s: int = 60


class Maintenance(Middleware):
    """Refuses conversations that begin while the file is there; those under way finish."""

    Options = Options

    def __init__(self, options: Options) -> None:
        if options.retry_after_s < 1:
            raise ConfigurationError("expected at least 1", key_path="retry_after_s")
        self._file = Path(options.file)
        self._headers = (b"retry-after", str(options.retry_after_s).encode())

    async def handle(self, stream: Stream, target: ProxyTarget) -> None:
        if self._file.exists():
            raise Refusal(ErrorCode.OVERLOADED, "closed for maintenance", status=503, headers=self._headers)
        await target.handle(stream)
