"""Running a service as a process: signals, draining, failures."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Self

import pytest

from tunnel.app.cli.service import run_service, serve
from tunnel.domain.errors import ErrorCode, RegistrationRefused


class FakeService:
    """Drains until it is let go, and writes down what was asked of it."""

    def __init__(self, *, signals: int = 0, failure: Exception | None = None, stuck: bool = False) -> None:
        self.seen: list[object] = []
        self._signals = signals
        self._failure = failure
        self._stuck = stuck

    async def __aenter__(self) -> Self:
        self.seen.append("start")
        if self._signals:
            os.kill(os.getpid(), signal.SIGTERM)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.seen.append("exit")

    async def wait_closed(self) -> None:
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()

    async def aclose(self, *, drain_s: float | None = None) -> None:
        self.seen.append(drain_s)
        if self._signals == 2 and drain_s is None:
            os.kill(os.getpid(), signal.SIGINT)
        if self._stuck and drain_s is None:
            await asyncio.Event().wait()


def test_signal_drains_and_returns() -> None:
    service = FakeService(signals=1)
    run_service(lambda: service)
    assert service.seen == ["start", None, "exit"]


def test_second_signal_closes_at_once() -> None:
    service = FakeService(signals=2, stuck=True)
    run_service(lambda: service)
    assert service.seen == ["start", None, 0, "exit"]


def test_failure_comes_out_after_clean_up() -> None:
    service = FakeService(failure=RegistrationRefused(ErrorCode.UNAUTHENTICATED, "unknown token"))
    with pytest.raises(RegistrationRefused):
        run_service(lambda: service)
    assert service.seen == ["start", "exit"]


def test_signals_work_on_the_standard_event_loop_too() -> None:
    service = FakeService(signals=2, stuck=True)
    asyncio.run(serve(lambda: service))
    assert service.seen == ["start", None, 0, "exit"]


def test_handlers_are_restored() -> None:
    run_service(lambda: FakeService(signals=1))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
