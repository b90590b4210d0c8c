"""Runs a server or a client as a process: until it fails, or until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from tunnel.app.cli.stop_signals import HANGUP, StopSignals
from tunnel.app.logging import LOG_FORMATS, LOG_LEVELS
from tunnel.app.reload import Reloader

__all__ = ["Service", "add_service_arguments", "hangups_ignored", "run_service", "serve"]


class Service(Protocol):
    """What can be run: ``tunnel.Server`` and ``tunnel.Client``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...

    async def wait_closed(self) -> None: ...

    async def aclose(self, *, drain_s: float | None = None) -> None: ...


S = TypeVar("S", bound=Service)


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that ``tunnel server`` and ``tunnel client`` share."""
    parser.add_argument("--config", metavar="FILE", required=True, help="configuration: .toml, .yaml, .yml or .json")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="text", help="(default: %(default)s)")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="(default: %(default)s)")


@contextmanager
def hangups_ignored() -> Iterator[None]:
    """Let SIGHUP pass without effect. For the time before a service can reload, in which it would end the process.

    Nothing is lost by it: settings that change after they were loaded are noticed all the same.
    """
    if HANGUP is None:
        yield
        return
    before = signal.signal(HANGUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(HANGUP, before)


def run_service(make: Callable[[], S], reloader: Callable[[S], Reloader[Any]] | None = None) -> None:
    """Run a service on asyncio, with uvloop's event loop where that is installed, until it has ended.

    Args:
        make: Called on the event loop.
        reloader: Makes what keeps the service in step with its settings; None: they stay as they are.

    Raises:
        TunnelError: The service failed.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(make, reloader))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(make: Callable[[], S], reloader: Callable[[S], Reloader[Any]] | None = None) -> None:
    """Start a service and wait until it fails or a signal comes.

    SIGTERM or SIGINT drains it; a second one closes it at once; after that signals have their usual effect again. One
    that comes while the service starts ends that: whatever it waits for may never come. With a ``reloader``, SIGHUP has
    the settings loaded again; without, it says that the terminal was closed, and drains as well, but never closes at
    once. Where it was ignored when the process started, as by nohup, it has no effect then.
    """
    with StopSignals(hangup=reloader is None) as signals:
        async with AsyncExitStack() as stack:
            service = make()
            if not await _starts(service, stack, signals):
                return
            if reloader is None:
                await _closed_or_told(service, signals.told)
            else:
                following = reloader(service)
                with _hangups(following.tell):
                    await _closed_or_told(service, signals.told, following)
            if signals.told.is_set():
                await _drain(service, signals)


async def _starts(service: Service, stack: AsyncExitStack, signals: StopSignals) -> bool:
    """Enter the service; False: a signal came first, and it is closed."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as patience:
            signals.on_told = lambda: patience.reschedule(loop.time())
            await stack.enter_async_context(service)
            return True
    except TimeoutError:
        if not patience.expired():
            raise
        return False
    finally:
        signals.on_told = None


async def _closed_or_told(service: Service, told: asyncio.Event, following: Reloader[Any] | None = None) -> None:
    waiting = [service.wait_closed(), told.wait(), *([following.run()] if following is not None else [])]
    tasks = [asyncio.ensure_future(each) for each in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


@contextmanager
def _hangups(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` on the event loop for each SIGHUP, where there is such a signal."""
    if HANGUP is None:
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(HANGUP)
    loop.add_signal_handler(HANGUP, tell)
    try:
        yield
    finally:
        loop.remove_signal_handler(HANGUP)
        signal.signal(HANGUP, before)


async def _drain(service: Service, signals: StopSignals) -> None:
    # Closing stays in this task, which opened the service: its cancel scopes belong to it.
    loop = asyncio.get_running_loop()
    if not signals.hurried:
        try:
            async with asyncio.timeout(None) as patience:
                signals.on_hurry = lambda: patience.reschedule(loop.time())
                await service.aclose()
                return
        except TimeoutError:
            if not patience.expired():
                raise
        finally:
            signals.on_hurry = None
    await service.aclose(drain_s=0)
