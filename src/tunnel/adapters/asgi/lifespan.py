"""The lifespan of an application: what it does before its first conversation, and after its last.

An application that knows no lifespan says so by raising, or returns; it is taken to be ready then.

Source: ASGI Lifespan Protocol 2.0.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import anyio

from tunnel.adapters.asgi.types import AsgiCallable, Message

__all__ = ["Lifespan"]

_logger = logging.getLogger("tunnel.asgi")

_ASGI: Final[Mapping[str, str]] = {"version": "3.0", "spec_version": "2.0"}


class Lifespan:
    """Tells an application to start and to stop, once each.

    Args:
        called: The application.
        name: For log lines.
    """

    __slots__ = ("_asked", "_called", "_leaving", "_name", "_started", "_starting", "_stopped", "failure", "state")

    def __init__(self, called: AsgiCallable, name: str) -> None:
        self._called = called
        self._name = name
        self._starting = True
        self._asked = 0
        self._started = anyio.Event()
        self._leaving = anyio.Event()
        self._stopped = anyio.Event()
        self.failure: str | None = None
        """Why it did not start; None when it did."""
        self.state: dict[str, Any] = {}
        """What it keeps for its conversations, each of which gets a copy."""

    async def run(self) -> None:
        """Be in the application's lifespan until it returns. Never raises what the application does."""
        scope = {"type": "lifespan", "asgi": dict(_ASGI), "state": self.state}
        try:
            await self._called(scope, self._receive, self._send)
        except Exception as exc:
            if self._starting and self.failure is None:
                _logger.info("%s has no lifespan: %s: %s", self._name, type(exc).__name__, exc)
            else:
                _logger.exception("the lifespan of %s failed", self._name)
        finally:
            self._starting = False
            self._started.set()
            self._stopped.set()

    async def startup(self) -> None:
        """Return once it has started, or ``failure`` tells why it has not."""
        await self._started.wait()

    async def shutdown(self, timeout_s: float) -> None:
        """Tell it to stop; return once it has, or has taken ``timeout_s`` seconds."""
        self._leaving.set()
        with anyio.move_on_after(timeout_s) as scope:
            await self._stopped.wait()
        if scope.cancelled_caught:
            _logger.warning("%s did not shut down within %g s", self._name, timeout_s)

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self._leaving.wait()
        if self._asked > 2:
            await anyio.sleep_forever()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete" if self._starting:
                self._starting = False
                self._started.set()
            case "lifespan.startup.failed" if self._starting:
                self.failure = str(message.get("message") or "it does not say why")
                self._started.set()
            case "lifespan.shutdown.complete":
                self._stopped.set()
            case "lifespan.shutdown.failed":
                _logger.error("%s failed to shut down: %s", self._name, message.get("message") or "it does not say why")
                self._stopped.set()
            case other:
                raise RuntimeError(f"unexpected {other!r} in a lifespan")
