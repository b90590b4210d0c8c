"""The applications that run in a server's or a client's process: each object once, however many targets name it.

An application starts before the first target that needs it can be used, which is when the settings that name it are
taken up: those of a server in ``forward.upstreams``, those of a client in ``upstreams``, since all of these are its
own, and in ``allow_targets``, since whatever else may be pushed stands there literally. So what a server pushes is
running when it comes. It ends when neither the settings nor a target of any configuration hold it any more: replaced
by a reload, after its last conversation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self

import anyio

from tunnel.app.application_object import ApplicationObject, load_object
from tunnel.app.background import Background
from tunnel.domain.configuration import ClientSettings, ServerSettings, UpstreamSettings
from tunnel.domain.configuration.mistakes import key_path
from tunnel.domain.configuration.target_url import is_in_process
from tunnel.domain.errors import ConfigurationError
from tunnel.ports.application import Application

__all__ = ["ApplicationFactory", "Applications", "HeldApplications", "HostedApplication"]

ApplicationFactory = Callable[[ApplicationObject], Application]
"""Makes an application that can be served of an object."""

_NONE: Final[Mapping[str, object]] = {}


class HostedApplication:
    """An application that runs, and how many hold it.

    Args:
        application: The application.
        made_of: What it was made of.
        end: Shuts it down, when nobody holds it any more.
    """

    __slots__ = ("_end", "_holders", "application", "made_of")

    def __init__(
        self,
        application: Application,
        made_of: ApplicationObject,
        end: Callable[[HostedApplication], Awaitable[None]],
    ) -> None:
        self.application = application
        self.made_of = made_of
        self._end = end
        self._holders = 0

    def hold(self) -> Self:
        """Keep it running until ``release``."""
        self._holders += 1
        return self

    async def release(self) -> None:
        """Let go; shuts it down if nobody else holds it."""
        self._holders -= 1
        if not self._holders:
            await self._end(self)


class HeldApplications:
    """Those that some settings name.

    Args:
        held: Each held once for every target that names it.
    """

    __slots__ = ("_held",)

    def __init__(self, held: list[HostedApplication]) -> None:
        self._held = held

    async def release(self) -> None:
        """Let go of all of them; shuts down those that nobody else holds. Idempotent."""
        held, self._held = self._held, []
        async with AsyncExitStack() as stack:
            for each in held:
                stack.push_async_callback(each.release)


class Applications:
    """Starts applications, and keeps them while anybody holds them.

    A context that is entered for as long as any may run; leaving it shuts down those that still do.

    Args:
        make: Makes applications of objects.
        registered: Objects for ``app:NAME`` targets, by name.
    """

    def __init__(self, make: ApplicationFactory, registered: Mapping[str, object] = _NONE) -> None:
        self._make = make
        self._registered = dict(registered)
        self._background = Background()
        self._hosted: dict[str, HostedApplication] = {}
        """By target; several may name one object."""
        self._ending: set[HostedApplication] = set()
        """Those that nobody holds any more, until they are over."""
        self._turn = anyio.Lock()
        self._held = HeldApplications([])
        """By the settings that are followed."""

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        hosted, self._hosted = {*self._hosted.values(), *self._ending}, {}
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    for each in hosted:
                        tasks.start_soon(each.application.aclose)
        finally:
            await self._background.__aexit__(exc_type, exc, traceback)

    @asynccontextmanager
    async def following(self, settings: ServerSettings | ClientSettings) -> AsyncIterator[None]:
        """Have those run that ``settings`` name while the body, which puts these in force, runs, and from then on.

        When the body is over what the settings before named is let go of, and ends in the background unless a target
        needs it still. When the body fails that goes on, and what was started for these alone is shut down again.

        Raises:
            ConfigurationError: As of ``hold``.
        """
        held = await self.hold(settings)
        try:
            yield
        except BaseException:
            with anyio.CancelScope(shield=True):
                await held.release()
            raise
        before, self._held = self._held, held
        self._background.tasks.start_soon(before.release)

    async def hold(self, settings: ServerSettings | ClientSettings) -> HeldApplications:
        """Start what ``settings`` name and does not run yet, one after another, and keep it running.

        Raises:
            ConfigurationError: One cannot be imported, or does not start; names the key. Those that were started for
                these settings alone are shut down again.
        """
        held: list[HostedApplication] = []
        try:
            async with self._turn:
                for path, target in _named(settings):
                    held.append((await self._running(target, path)).hold())
        except BaseException:
            with anyio.CancelScope(shield=True):
                await HeldApplications(held).release()
            raise
        return HeldApplications(held)

    def share(self, target: str) -> HostedApplication:
        """The application that a target names, held once more.

        Raises:
            ConfigurationError: It does not run: no settings that are followed name it.
        """
        hosted = self._hosted.get(target)
        if hosted is None:
            raise ConfigurationError(f"{target} is not named by the settings that are followed")
        return hosted.hold()

    async def _running(self, target: str, path: str) -> HostedApplication:
        known = self._hosted.get(target)
        if known is not None:
            return known
        found = load_object(target, self._registered, path)
        for other in self._hosted.values():
            if other.made_of.called is found.called:
                self._hosted[target] = other
                return other
        for other in tuple(self._ending):
            if other.made_of.called is found.called:
                await other.application.aclose()  # which is idempotent: one object has one lifespan at a time
        application = self._make(found)
        hosted = HostedApplication(application, found, self._end)
        try:
            await self._background.start(application.serve)
        except ConfigurationError as exc:
            raise ConfigurationError(exc.expected, key_path=path) from exc
        except BaseException:
            # Cancelled while it starts. What was started goes on until it is told to end.
            with anyio.CancelScope(shield=True):
                await application.aclose()
            raise
        self._hosted[target] = hosted
        return hosted

    async def _end(self, hosted: HostedApplication) -> None:
        self._hosted = {target: each for target, each in self._hosted.items() if each is not hosted}
        self._ending.add(hosted)
        # Cancelled, it stays among those that are ending, which leaving the context waits for.
        await hosted.application.aclose()
        self._ending.discard(hosted)


def _named(settings: ServerSettings | ClientSettings) -> Iterator[tuple[str, str]]:
    """Key paths and targets of the applications that ``settings`` name for their own process."""
    if isinstance(settings, ServerSettings):
        yield from _targets(settings.forward.upstreams, "forward", "upstreams")
        return
    yield from _targets(settings.upstreams, "upstreams")
    for index, pattern in enumerate(settings.allow_targets):
        if is_in_process(pattern):
            yield f"allow_targets[{index}]", pattern


def _targets(upstreams: Mapping[str, UpstreamSettings], *table: str) -> Iterator[tuple[str, str]]:
    for name, upstream in upstreams.items():
        for index, target in enumerate(upstream.targets):
            if is_in_process(target):
                yield f"{key_path(*table, name)}.targets[{index}]", target
