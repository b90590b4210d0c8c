"""Files that change are noticed: however they are changed, once they are whole, and once each time."""

# ruff: noqa: ASYNC240 - small files, and nothing else to run meanwhile

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.virtual_loop import VirtualLoop
from trio.testing import MockClock

from tunnel.adapters.config_file import FileConfigSource
from tunnel.domain.errors import ConfigurationError

pytestmark = pytest.mark.anyio

LONG_S = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text("a = 1")
    return path


def source_of(path: Path) -> FileConfigSource[object]:
    """A source that was loaded, as it is when it begins to be followed."""
    source = FileConfigSource(path, lambda table: table["a"])
    assert source.load() == 1
    return source


async def changed(source: FileConfigSource[Any], *, within_s: float = 3) -> bool:
    """Whether the source tells of a change in time."""
    with anyio.move_on_after(within_s) as scope:
        await source.changed()
    return not scope.cancelled_caught


def replaced(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text("a = 2")
    new.replace(path)


def truncated_and_written(path: Path) -> None:
    path.write_text("a = 2")


def moved_away_and_written(path: Path) -> None:
    path.rename(path.with_suffix(".bak"))
    path.write_text("a = 2")


def written_with_its_times_restored(path: Path) -> None:
    before = path.stat()
    path.write_text("a = 2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [replaced, truncated_and_written, moved_away_and_written, written_with_its_times_restored]
)
async def test_changed_file_is_noticed_once(path: Path, change: Callable[[Path], None]) -> None:
    source = source_of(path)
    assert not await changed(source, within_s=LONG_S)
    change(path)
    assert await changed(source)
    assert source.load() == 2
    assert not await changed(source, within_s=LONG_S)


async def test_change_between_loading_and_following_is_noticed(path: Path) -> None:
    source = source_of(path)
    path.write_text("a = 2")
    assert await changed(source)


async def test_swapped_symbolic_link_is_noticed(tmp_path: Path) -> None:
    # As Kubernetes mounts a ConfigMap: settings.toml -> ..data/settings.toml, ..data -> a directory of this version.
    for version in (1, 2):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "settings.toml").write_text(f"a = {version}")
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "settings.toml"
    path.symlink_to("..data/settings.toml")
    source = source_of(path)
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert await changed(source)
    assert source.load() == 2


@pytest.mark.parametrize("change", [Path.touch, lambda path: path.write_text("a = 1")], ids=["touched", "rewritten"])
async def test_file_with_the_same_contents_has_not_changed(path: Path, change: Callable[[Path], None]) -> None:
    source = source_of(path)
    change(path)
    assert not await changed(source, within_s=LONG_S)


async def test_file_that_is_being_written_is_left_alone_until_it_rests(path: Path) -> None:
    source = source_of(path)
    noticed = anyio.Event()

    async def follow() -> None:
        await source.changed()
        noticed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        for size in range(1, 20):
            path.write_text("a = " + "2" * size)
            await anyio.sleep(0.9)
            assert not noticed.is_set()
        with anyio.fail_after(3):
            await noticed.wait()
    assert source.load() == int("2" * 19)


async def test_two_quick_writes_are_one_change(path: Path) -> None:
    source = source_of(path)
    path.write_text("a = 2")
    path.write_text("a = 3")
    assert await changed(source)
    assert source.load() == 3
    assert not await changed(source, within_s=LONG_S)


async def test_deleted_file_is_reported_once_and_its_return_is_noticed(path: Path) -> None:
    source = source_of(path)
    path.unlink()
    assert await changed(source)
    with pytest.raises(ConfigurationError, match="no such file"):
        source.load()
    assert not await changed(source, within_s=LONG_S)
    path.write_text("a = 1")
    assert await changed(source)
    assert source.load() == 1


async def test_malformed_file_is_reported_once_and_its_repair_is_noticed(path: Path) -> None:
    source = source_of(path)
    path.write_text("a = ")
    assert await changed(source)
    with pytest.raises(ConfigurationError, match="malformed TOML"):
        source.load()
    assert not await changed(source, within_s=LONG_S)
    path.write_text("a = 2")
    assert await changed(source)


async def test_cancelled_following_loses_nothing(path: Path) -> None:
    source = source_of(path)
    path.write_text("a = 2")
    for _ in range(3):
        assert not await changed(source, within_s=0.9)
    # One poll sees that it has moved, the next that it rests: each in a call of its own.
    assert not await changed(source, within_s=1.5)
    assert await changed(source, within_s=1.5)


async def test_directory_or_pipe_in_its_place_does_not_block(path: Path) -> None:
    source = source_of(path)
    path.unlink()
    os.mkfifo(path)
    assert await changed(source)
    assert not await changed(source, within_s=LONG_S)


async def test_files_that_the_settings_point_to_are_followed_as_long_as_they_are_pointed_to(tmp_path: Path) -> None:
    path, token = tmp_path / "settings.toml", tmp_path / "token"
    token.write_text("one")
    path.write_text(f'token_file = "{token}"')
    source = FileConfigSource(
        path, lambda table: table.get("token_file"), files=lambda table: [str(each) for each in table.values()]
    )
    source.load()
    token.write_text("two")
    assert await changed(source)
    source.load()
    assert not await changed(source, within_s=LONG_S)
    path.write_text("")
    assert await changed(source)
    source.load()
    token.write_text("three")
    assert not await changed(source, within_s=LONG_S)


async def test_file_pointed_to_is_followed_although_the_settings_are_refused(tmp_path: Path) -> None:
    path, token = tmp_path / "settings.toml", tmp_path / "token"
    path.write_text(f'token_file = "{token}"')

    def decode(table: object) -> str:
        if not token.exists():
            raise ConfigurationError("expected a token", key_path="token_file")
        return token.read_text()

    source = FileConfigSource(path, decode, files=lambda _: [str(token)])
    with pytest.raises(ConfigurationError):
        source.load()
    token.write_text("here")
    assert await changed(source)
    assert source.load() == "here"
