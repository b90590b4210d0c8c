"""Servers and clients for code that is not asynchronous: scripts, notebooks, tests of other programs.

Each has a thread of its own with an event loop of its own, from when its context is entered until it is left. So it
does not matter whether the caller has a running loop, as notebooks do. Every method waits for its result and returns
it; what fails is raised where it was called. An interrupt (Ctrl-C) while a method waits cancels what it waits for.
Methods may be called from several threads. A context that is never left is closed when the interpreter ends; in a child
that was forked it counts as not entered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from tunnel.app.client import Client as AsyncClient
from tunnel.app.container import ClientContainer, ServerContainer
from tunnel.app.loop_thread import LoopThread
from tunnel.app.server import Server as AsyncServer
from tunnel.domain.configuration import ClientSettings, ServerSettings
from tunnel.domain.errors import LinkEnd, LinkError
from tunnel.domain.registry import RegistrySnapshot

__all__ = ["Blocking", "Client", "Server"]

T = TypeVar("T")
R = TypeVar("R")


class Blocking(Generic[T]):
    """Keeps an asynchronous context manager entered in a thread of its own.

    Entering and leaving this enters and leaves that one. Used once.

    Args:
        make: Makes it, in that thread, when this is entered.
        backend: ``asyncio`` or ``trio``.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]], *, backend: str = "asyncio") -> None:
        self._make = make
        self._backend = backend
        self._stack = ExitStack()
        self._thread: LoopThread | None = None
        self._portal: BlockingPortal | None = None
        self._inner: T | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._thread = LoopThread(self._backend)
            portal = stack.enter_context(self._thread)
            context = _waited(portal, self._made)
            self._inner = stack.enter_context(portal.wrap_async_context_manager(context))
            self._portal = portal
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._is_elsewhere:
            # The parent's. What would be waited for runs in a thread that did not come along.
            self._stack.pop_all()
        try:
            return self._stack.__exit__(exc_type, exc, traceback)
        finally:
            self._portal = None

    @property
    def inner(self) -> T:
        """What entering gave. It belongs to the other thread: have ``call`` use it.

        Raises:
            LinkError: ``CLOSED``: the context is not entered, or was entered before this process was forked.
        """
        if self._is_elsewhere:
            raise LinkError(LinkEnd.CLOSED, "the context was entered by the parent of this process")
        if self._portal is None or self._inner is None:
            raise LinkError(LinkEnd.CLOSED, "the context is not entered")
        return self._inner

    def call(self, work: Callable[[T], Awaitable[R]], *, timeout_s: float | None = None) -> R:
        """Have ``work`` done with ``inner`` in the other thread, and wait for its result.

        Args:
            work: Called there.
            timeout_s: Seconds to wait; None: without end. When they are over ``work`` is cancelled.

        Raises:
            LinkError: ``CLOSED``: the context is not entered.
            TimeoutError: It took too long.
        """
        inner = self.inner
        assert self._portal is not None

        async def bounded() -> R:
            with anyio.fail_after(timeout_s):
                return await work(inner)

        return _waited(self._portal, bounded)

    def look(self, work: Callable[[T], R]) -> R:
        """As ``call``, for what does not wait."""

        async def looked(inner: T) -> R:
            return work(inner)

        return self.call(looked)

    @property
    def _is_elsewhere(self) -> bool:
        return self._thread is not None and self._thread.forked

    async def _made(self) -> AbstractAsyncContextManager[T]:
        return self._make()


def _waited(portal: BlockingPortal, work: Callable[[], Awaitable[R]]) -> R:
    future = portal.start_task_soon(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # an interrupt: nobody waits any more. Otherwise it is done, and this does nothing
        raise


class Server(Blocking[AsyncServer]):
    """A ``tunnel.Server`` that runs while the context is entered.

    ::

        with tunnel.blocking.Server(settings) as server:
            print(server.addresses)
            server.wait_closed()

    Args:
        settings: Checked settings.
        container: Parts to use instead of the usual ones.
        applications: As of ``tunnel.Server``. They are called in the thread of the context.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        container: ServerContainer | None = None,
        applications: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(lambda: AsyncServer(settings, container=container, applications=applications))

    @property
    def addresses(self) -> dict[str, str]:
        """As ``tunnel.Server.addresses``."""
        return self.look(lambda server: server.addresses)

    def clients(self) -> RegistrySnapshot:
        """As ``tunnel.Server.clients``."""
        return self.look(lambda server: server.clients())

    def reload(self, settings: ServerSettings) -> int:
        """As ``tunnel.Server.reload``."""
        return self.call(lambda server: server.reload(settings))

    def wait_closed(self, *, timeout_s: float | None = None) -> None:
        """Return once ``close`` has run, in another thread.

        Raises:
            TimeoutError: It has not within ``timeout_s`` seconds.
        """
        self.call(lambda server: server.wait_closed(), timeout_s=timeout_s)

    def close(self, *, drain_s: float | None = None) -> None:
        """As ``tunnel.Server.aclose``. Leaving the context does so with ``drain_s=0``."""
        self.call(lambda server: server.aclose(drain_s=drain_s))


class Client(Blocking[AsyncClient]):
    """A ``tunnel.Client`` that runs while the context is entered.

    ::

        with tunnel.blocking.Client(settings) as client:
            client.ready(timeout_s=10)
            client.wait_closed()

    Args:
        settings: Checked settings with a token.
        container: Parts to use instead of the usual ones.
        applications: As of ``tunnel.Client``. They are called in the thread of the context.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        container: ClientContainer | None = None,
        applications: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(lambda: AsyncClient(settings, container=container, applications=applications))

    @property
    def client_id(self) -> str:
        """The name it registers under."""
        return self.look(lambda client: client.client_id)

    @property
    def addresses(self) -> dict[str, str]:
        """As ``tunnel.Client.addresses``."""
        return self.look(lambda client: client.addresses)

    def ready(self, *, timeout_s: float | None = None) -> None:
        """As ``tunnel.Client.ready``.

        Raises:
            RegistrationRefused: The server will not have this client.
            LinkError: ``CLOSED``: the client was closed.
            TimeoutError: Nothing of it has happened within ``timeout_s`` seconds.
        """
        self.call(lambda client: client.ready(), timeout_s=timeout_s)

    def reload(self, settings: ClientSettings) -> int:
        """As ``tunnel.Client.reload``."""
        return self.call(lambda client: client.reload(settings))

    def wait_closed(self, *, timeout_s: float | None = None) -> None:
        """Return once ``close`` has run, in another thread.

        Raises:
            RegistrationRefused: The server will not have this client.
            TimeoutError: Neither within ``timeout_s`` seconds.
        """
        self.call(lambda client: client.wait_closed(), timeout_s=timeout_s)

    def close(self, *, drain_s: float | None = None) -> None:
        """As ``tunnel.Client.aclose``. Leaving the context does so with ``drain_s=0``."""
        self.call(lambda client: client.aclose(drain_s=drain_s))
