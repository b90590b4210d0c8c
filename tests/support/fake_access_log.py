"""An access log in memory, for tests of those who write to one."""

from __future__ import annotations

import anyio

from tunnel.domain.configuration import AccessLogSettings
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.access_log import AccessLog
from tunnel.ports.telemetry import SessionEnded

__all__ = ["FakeLog"]


class FakeLog(AccessLog):
    """Notes what it is asked."""

    def __init__(self, settings: AccessLogSettings) -> None:
        self.settings = settings
        self.records: list[SessionEnded] = []
        self.asked: list[str] = []
        self.wanted = True
        self.failed: tuple[int, str] | None = None

    async def start(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.settings.path == "unwritable":
            raise ConfigurationError("expected a file that can be written", key_path="access_log.path")
        self.asked.append("start")

    def wants(self) -> bool:
        return self.wanted

    def record(self, record: SessionEnded) -> None:
        self.records.append(record)

    def lost(self) -> tuple[int, str] | None:
        failed, self.failed = self.failed, None
        return failed

    def reopen(self) -> None:
        self.asked.append("reopen")

    async def aclose(self) -> None:
        self.asked.append("aclose")
