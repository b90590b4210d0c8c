"""The access log that is in force, and its replacement by another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tunnel.app.ledger import Ledger
from tunnel.domain.configuration import AccessLogSettings
from tunnel.ports.access_log import AccessLog

__all__ = ["AccessLogs"]


class AccessLogs:
    """Gives the ledger its access log, as configured.

    Args:
        ledger: Records conversations there.
        make: Makes one.
    """

    def __init__(self, ledger: Ledger, make: Callable[[AccessLogSettings], AccessLog]) -> None:
        self._ledger = ledger
        self._make = make
        self._settings: AccessLogSettings | None = None

    @asynccontextmanager
    async def following(self, settings: AccessLogSettings | None) -> AsyncIterator[None]:
        """Start a log by ``settings``, which takes the place of the present one, and gives it back if the body fails.

        With the same settings as before, the file is opened anew: by then it may have been renamed.

        Args:
            settings: None: there is to be none.

        Raises:
            ConfigurationError: It cannot be written; nothing has changed.
        """
        if settings == self._settings:
            yield
            if self._ledger.access_log is not None:
                self._ledger.access_log.reopen()
            return
        log = None
        if settings is not None:
            log = self._make(settings)
            await log.start()
        # Before the body, in which the first conversations may come.
        before, self._ledger.access_log = self._ledger.access_log, log
        try:
            yield
        except BaseException:
            self._ledger.access_log = before
            await self._close(log)
            raise
        self._settings = settings
        await self._close(before)

    async def aclose(self) -> None:
        """Write what there is, and end. Nothing is recorded afterwards."""
        before, self._ledger.access_log, self._settings = self._ledger.access_log, None, None
        await self._close(before)

    async def _close(self, log: AccessLog | None) -> None:
        if log is not None:
            await log.aclose()
            self._ledger.note_lost(log)
