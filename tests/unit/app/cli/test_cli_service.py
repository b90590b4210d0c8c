"""Running a service as a process: signals, draining, failures."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Self

import pytest
from support.app_kit import Recorder
from support.fake_source import FakeSource

from tunnel.app.cli import service as service_module
from tunnel.app.cli import stop_signals
from tunnel.app.cli.service import hangups_ignored, run_service, serve
from tunnel.app.reload import Reloader
from tunnel.domain.errors import ErrorCode, RegistrationRefused
from tunnel.ports.telemetry import ConfigurationReloaded


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


class SlowService(FakeService):
    """Waits in its start for what never comes."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append("not started")
        return self


def test_signal_during_a_start_that_never_ends_ends_it() -> None:
    service = SlowService(signals=1)
    run_service(lambda: service)
    assert service.seen == ["start", "not started"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_deadline_of_the_service_itself_is_its_failure() -> None:
    class LateService(FakeService):
        async def __aenter__(self) -> Self:
            raise TimeoutError("nothing came")

    with pytest.raises(TimeoutError, match="nothing came"):
        run_service(LateService)


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


class FollowingService(FakeService):
    """Hangs up on itself when it starts, and stops once it has followed."""

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGHUP)
        return await super().__aenter__()

    async def reload(self, settings: str) -> int:
        self.seen.append(settings)
        os.kill(os.getpid(), signal.SIGTERM)
        return 2


def test_hangup_reloads() -> None:
    service, reports = FollowingService(), Recorder()
    before = signal.getsignal(signal.SIGHUP)
    run_service(lambda: service, lambda service: Reloader(FakeSource("settings"), service.reload, reports))
    assert service.seen == ["start", "settings", None, "exit"]
    assert reports.events == [ConfigurationReloaded("settings.toml", 2)]
    assert signal.getsignal(signal.SIGHUP) == before


def test_hangup_while_settings_are_loaded_passes_without_effect() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hangups_ignored():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == before


def test_hangup_while_the_service_drains_passes_without_effect() -> None:
    class HungUpService(FollowingService):
        async def aclose(self, *, drain_s: float | None = None) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await super().aclose(drain_s=drain_s)

    service = HungUpService()
    with hangups_ignored():
        run_service(lambda: service, lambda service: Reloader(FakeSource("settings"), service.reload, Recorder()))
    assert service.seen == ["start", "settings", None, "exit"]


def test_there_need_be_no_hangup_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "HANGUP", None)
    monkeypatch.setattr(stop_signals, "HANGUP", None)
    with hangups_ignored():
        run_service(
            lambda: FakeService(signals=1),
            lambda _: Reloader(FakeSource("settings"), lambda _: asyncio.sleep(0, 2), Recorder()),
        )


class HungUpOnService(FakeService):
    """Hung up on as soon as it has started, and twice more while it drains."""

    async def __aenter__(self) -> Self:
        os.kill(os.getpid(), signal.SIGHUP)
        return await super().__aenter__()

    async def aclose(self, *, drain_s: float | None = None) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
        await super().aclose(drain_s=drain_s)


def test_hangup_drains_what_cannot_reload_and_never_hurries() -> None:
    before = signal.getsignal(signal.SIGHUP)
    service = HungUpOnService()
    run_service(lambda: service)
    assert service.seen == ["start", None, "exit"]
    assert signal.getsignal(signal.SIGHUP) == before


def test_signal_after_a_hangup_closes_at_once() -> None:
    class Stuck(HungUpOnService):
        async def aclose(self, *, drain_s: float | None = None) -> None:
            if drain_s is None:
                asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
            await super().aclose(drain_s=drain_s)

    service = Stuck(stuck=True)
    run_service(lambda: service)
    assert service.seen == ["start", None, 0, "exit"]


def test_hangup_is_ignored_where_it_was_ignored_before() -> None:
    class Outliving(FakeService):
        async def wait_closed(self) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
            self.seen.append("goes on")

    service = Outliving()
    with hangups_ignored():
        run_service(lambda: service)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert service.seen == ["start", "goes on", "exit"]
