"""Names that nobody answers hold up nothing but those who wait for them."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunnel
from tunnel.sockets.resolver import Resolved, Resolver, resolve

DEADLINE_S = 10.0
HOME = (Resolved(socket.AF_INET, ("127.0.0.1", 80)),)


class Names:
    """What looks names up in place of the system: a name beginning with ``lost`` is answered when told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()

    def __call__(self, host: str, port: int) -> tuple[Resolved, ...]:
        self.asked.append(host)
        if host.startswith("lost"):
            self.answer.wait()
        if host.startswith("bad"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return HOME


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    def running(scenario: Any) -> Any:
        factory = pytest.importorskip("uvloop").new_event_loop if request.param == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(scenario, DEADLINE_S))

    return running


async def given_up(resolver: Resolver, *names: str) -> None:
    """Ask, let the threads begin, and stop asking."""
    tasks = [asyncio.ensure_future(resolver.resolve(name, 80)) for name in names]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_addresses_take_no_thread(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        names = Names()
        resolver = Resolver(names, max_threads=0)
        assert await resolver.resolve("127.0.0.1", 80) == HOME
        [found] = await resolver.resolve("::1", 80)
        assert (found.family, found.at[:2]) == (socket.AF_INET6, ("::1", 80))
        assert names.asked == []

    run(scenario())


def test_name_is_looked_up_as_the_system_does(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        assert ("127.0.0.1", 80) in [each.at[:2] for each in await resolve("localhost", 80)]

    run(scenario())


def test_names_without_an_answer_delay_no_others(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        names = Names()
        resolver = Resolver(names)
        try:
            await given_up(resolver, *(f"lost{number}.test" for number in range(32)))
            assert await resolver.resolve("good.test", 80) == HOME
        finally:
            names.answer.set()

    run(scenario())


def test_those_who_ask_for_the_same_name_share_a_lookup(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        names = Names()
        resolver = Resolver(names)
        asking = [asyncio.ensure_future(resolver.resolve("lost.test", 80)) for _ in range(9)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        assert resolver.threads == 1
        names.answer.set()
        assert await asyncio.gather(*asking[1:]) == [HOME] * 8
        assert names.asked == ["lost.test"]
        assert await resolver.resolve("lost.test", 80) == HOME
        assert names.asked == ["lost.test"] * 2

    run(scenario())


def test_beyond_the_bound_lookups_wait_and_those_that_nobody_wants_are_passed_over(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        names = Names()
        resolver = Resolver(names, max_threads=1)
        first = asyncio.ensure_future(resolver.resolve("lost.test", 80))
        await asyncio.sleep(0)
        await given_up(resolver, "unwanted.test")
        last = asyncio.ensure_future(resolver.resolve("good.test", 80))
        await asyncio.sleep(0)
        names.answer.set()
        assert await asyncio.gather(first, last) == [HOME, HOME]
        assert names.asked == ["lost.test", "good.test"]

    run(scenario())


def test_name_that_does_not_exist_is_told_to_each_who_asks(run: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        resolver = Resolver(Names())
        both = await asyncio.gather(*(resolver.resolve("bad.test", 80) for _ in range(2)), return_exceptions=True)
        assert [type(each) for each in both] == [socket.gaierror] * 2
        assert both[0] is not both[1]
        with pytest.raises(UnicodeError):
            await resolver.resolve(f"{'a' * 64}.test", 80)

    run(scenario())


def test_process_without_threads_says_so(run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        resolver = Resolver(Names())
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            with pytest.raises(OSError, match="no thread"):
                await resolver.resolve("good.test", 80)
        assert await resolver.resolve("good.test", 80) == HOME

    run(scenario())


ENDING = """
import asyncio, sys, threading
from tunnel.sockets.resolver import Resolver

async def main():
    try:
        await asyncio.wait_for(Resolver(lambda host, port: threading.Event().wait()).resolve("lost.test", 80), 0.01)
    except TimeoutError:
        print("ended")

factory = __import__("uvloop").new_event_loop if sys.argv[1] == "uvloop" else None
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_process_ends_while_a_name_is_being_looked_up(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, loop], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert (ended.stdout, ended.stderr) == ("ended\n", "")


def test_nobody_asks_the_event_loop_for_names() -> None:
    sources = Path(tunnel.__file__).parent.rglob("*.py")
    assert [str(each) for each in sources if re.search(r"loop(\(\))?\.getaddrinfo", each.read_text())] == []
