"""The listening side of the in-memory transport."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
import anyio.abc

from tunnel.adapters.memory.link import MemoryPair
from tunnel.adapters.memory.network import MemoryNetwork
from tunnel.ports.transport import LinkService, Listener

__all__ = ["MemoryListener"]

_logger = logging.getLogger("tunnel.memory")


class MemoryListener(Listener):
    """Accepts links at ``memory://NAME``.

    Args:
        name: NAME, unique within the network.
        network: Where clients look for it.
    """

    def __init__(self, name: str, network: MemoryNetwork) -> None:
        self._name = name
        self._network = network
        self._bound = False
        self._stopped = False
        self._tasks: anyio.abc.TaskGroup | None = None

    @property
    def address(self) -> str:
        return self._name

    def bind(self) -> None:
        self._network.take(self._name)
        self._bound = True

    async def serve(self, service: LinkService, started: Callable[[], None]) -> None:
        if self._stopped:
            return
        if not self._bound:
            self.bind()
        accepted: set[MemoryPair] = set()

        async def serve_pair(pair: MemoryPair) -> None:
            try:
                await service.proxy(pair.server)
                await pair.server.aclose()
            except Exception:
                _logger.exception("serving a link failed")
            finally:
                drop(pair)

        def drop(pair: MemoryPair) -> None:
            pair.server.abort()
            self._network.forget(pair)
            accepted.discard(pair)

        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks

                def accept(pair: MemoryPair) -> None:
                    accepted.add(pair)
                    tasks.start_soon(serve_pair, pair)

                with self._network.accepting(self._name, accept):
                    started()
                    await anyio.sleep_forever()
        finally:
            self._tasks = None
            self._release()
            # A task cancelled before it began has cleaned up nothing.
            for pair in list(accepted):
                drop(pair)

    def stop(self) -> None:
        self._stopped = True
        if self._tasks is None:
            self._release()
        else:
            self._tasks.cancel_scope.cancel()

    def _release(self) -> None:
        if self._bound:
            self._bound = False
            self._network.release(self._name)
