"""The demo's processes: when they are ready, how they ended, and that they end."""

from __future__ import annotations

import asyncio
import os
import signal

import anyio
import pytest

from tunnel.app.cli import demo_process
from tunnel.app.cli.demo_process import DidNotStart, running

STAY = "import sys, time\nprint('ready at=here', file=sys.stderr, flush=True)\nsys.stdin.read()\ntime.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{STAY}"
BROKEN = "print('first', flush=True)\nraise SystemExit('the reason')"
MUTE = "import time\ntime.sleep(60)"


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def started(script: str) -> tuple[int, str]:
    async with running("part", "-c", script) as process:
        return process.pid, await process.said(r"^ready at=(\S+)$")


@pytest.mark.parametrize("script", [STAY, STUBBORN], ids=["obedient", "stubborn"])
def test_process_is_gone_after_its_context(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_process, "_GRACE_S", 0.2)
    pid, said = asyncio.run(started(script))
    assert said == "here"
    assert not exists(pid)


def test_process_is_gone_after_a_failure_inside() -> None:
    async def scenario() -> None:
        async with running("part", "-c", STAY) as process:
            pids.append(process.pid)
            raise KeyError

    pids: list[int] = []
    with pytest.raises(KeyError):
        asyncio.run(scenario())
    assert not exists(pids[0])


def test_process_is_gone_after_being_interrupted_while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        with anyio.CancelScope() as scope:
            async with running("part", "-c", STUBBORN) as process:
                pids.append(process.pid)
                await process.said(r"^ready at=(\S+)$")
                asyncio.get_running_loop().call_later(0.05, scope.cancel)

    monkeypatch.setattr(demo_process, "_GRACE_S", 0.2)
    pids: list[int] = []
    asyncio.run(scenario())
    assert not exists(pids[0])


def test_end_before_being_ready_is_told_with_the_last_lines() -> None:
    with pytest.raises(DidNotStart) as caught:
        asyncio.run(started(BROKEN))
    assert str(caught.value) == "the part ended with exit code 1"
    assert caught.value.last_lines == ("first", "the reason")


def test_never_being_ready_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_process, "READY_S", 0.1)
    with pytest.raises(DidNotStart, match="the part was not ready within 0 s"):
        asyncio.run(started(MUTE))


def test_end_by_a_signal_is_named() -> None:
    async def scenario() -> str | None:
        async with running("part", "-c", STAY) as process:
            await process.said("(ready)")
            assert process.end is None
            os.kill(process.pid, signal.SIGKILL)
            async with asyncio.timeout(10):
                await process.ended()
            return process.end

    assert asyncio.run(scenario()) == "was ended by SIGKILL"
