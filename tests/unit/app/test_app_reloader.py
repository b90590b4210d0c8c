"""Settings are followed: when their source changes and when told to; what is wrong with them is reported once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from support.app_kit import Recorder, until
from support.fake_source import FakeSource

from tunnel.app.reload import Reloader
from tunnel.domain.errors import ConfigurationError, ErrorCode, LinkEnd, LinkError, ListenError, RegistrationRefused
from tunnel.ports.telemetry import ConfigurationReloaded

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def threads_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time would run away while a real thread works."""

    async def run_here(work: Callable[[], Any], **_: object) -> Any:
        await anyio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_here)


class Follower:
    """What runs by the settings; refuses them when told to."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.failure: Exception | None = None
        self.slow = anyio.Event()
        self.slow.set()

    async def follow(self, word: str) -> int:
        await self.slow.wait()
        if self.failure is not None:
            raise self.failure
        self.words.append(word)
        return 1 + len(self.words)


class Followed:
    def __init__(self) -> None:
        self.source = FakeSource("first")
        self.follower = Follower()
        self.telemetry = Recorder()
        self.reloader = Reloader(self.source, self.follower.follow, self.telemetry)

    @property
    def reports(self) -> list[ConfigurationReloaded]:
        return self.telemetry.of(ConfigurationReloaded)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.reloader.run)
            await anyio.sleep(0.001)
            yield
            tasks.cancel_scope.cancel()


async def test_changed_settings_are_followed_and_reported() -> None:
    followed = Followed()
    async with followed.running():
        followed.source.put("second")
        await until(lambda: followed.reports)
        followed.source.put("third")
        await until(lambda: len(followed.reports) == 2)
    assert followed.follower.words == ["second", "third"]
    assert followed.reports == [ConfigurationReloaded("settings.toml", 2), ConfigurationReloaded("settings.toml", 3)]


async def test_settings_are_loaded_when_told_to_although_nothing_changed() -> None:
    followed = Followed()
    async with followed.running():
        followed.reloader.tell()
        await until(lambda: followed.reports)
    assert followed.follower.words == ["first"]


async def test_settings_nobody_touches_are_not_loaded() -> None:
    followed = Followed()
    async with followed.running():
        await anyio.sleep(60)
    assert (followed.source.loads, followed.reports) == (0, [])


FAILURES = [
    ConfigurationError("expected a group", key_path="rules[0].group", source="settings.toml"),
    ListenError("127.0.0.1:80", "in use"),
    RegistrationRefused(ErrorCode.UNAUTHENTICATED, "unknown token"),
    LinkError(LinkEnd.UNREACHABLE, "nobody there"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("where", ["load", "follow"])
async def test_settings_that_are_wrong_are_reported_once_with_what_stays(failure: Exception, where: str) -> None:
    followed = Followed()
    async with followed.running():
        followed.source.put("second")
        await until(lambda: followed.reports)
        if where == "follow":
            followed.follower.failure = failure
        followed.source.put(failure if where == "load" else "wrong")
        await until(lambda: len(followed.reports) == 2)
        await anyio.sleep(60)
        assert followed.reports[1:] == [ConfigurationReloaded("settings.toml", 2, str(failure))]
        followed.follower.failure = None
        followed.source.put("right")
        await until(lambda: len(followed.reports) == 3)
    assert followed.follower.words == ["second", "right"]
    assert followed.reports[-1] == ConfigurationReloaded("settings.toml", 3)


async def test_bug_in_following_does_not_end_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    followed = Followed()
    followed.follower.failure = ZeroDivisionError("oh")
    async with followed.running():
        followed.source.put("second")
        await until(lambda: followed.reports)
    assert followed.reports == [ConfigurationReloaded("settings.toml", 1, "an unforeseen ZeroDivisionError: oh")]
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_being_told_while_a_reload_runs_makes_another_one() -> None:
    followed = Followed()
    followed.follower.slow = anyio.Event()
    async with followed.running():
        followed.reloader.tell()
        await until(lambda: followed.source.loads == 1)
        for _ in range(3):
            followed.reloader.tell()
        followed.source.put("second")
        followed.follower.slow.set()
        await until(lambda: len(followed.reports) >= 2)
        await anyio.sleep(60)
    assert followed.follower.words[0] == "first"
    assert followed.follower.words[-1] == "second"
    assert len(followed.reports) in (2, 3)
