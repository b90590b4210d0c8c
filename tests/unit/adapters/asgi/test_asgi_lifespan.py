"""The lifespan of applications."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from tunnel.adapters.asgi.application import AsgiApplication
from tunnel.adapters.signals import signals_of_running_loop
from tunnel.domain.errors import ConfigurationError

pytestmark = pytest.mark.anyio


async def served(app: Any, *, farewell_s: float = 10.0) -> AsgiApplication:
    """Starts an application and ends it."""
    application = AsgiApplication(app, name="shop:app", signals=signals_of_running_loop(), farewell_s=farewell_s)
    async with anyio.create_task_group() as tasks:
        started = anyio.Event()
        tasks.start_soon(application.serve, started.set)
        await started.wait()
        await application.aclose()
    return application


def orderly(log: list[str]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope == {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        assert await receive() == {"type": "lifespan.startup"}
        scope["state"]["pool"] = "a pool"
        log.append("startup")
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    return app


async def test_application_starts_and_stops_once():
    log: list[str] = []
    application = await served(orderly(log))
    assert log == ["startup", "shutdown"]
    await application.aclose()


async def test_each_conversation_gets_a_copy_of_the_state():
    application = await served(orderly([]))
    first, second = application.state(), application.state()
    first["mine"] = 1
    assert second == {"pool": "a pool"}


async def test_startup_that_fails_says_why_even_if_it_raises_afterwards():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ValueError

    with pytest.raises(ConfigurationError, match="shop:app failed to start: no database"):
        await AsgiApplication(app, name="shop:app", signals=signals_of_running_loop()).serve(
            lambda: pytest.fail("it has not started")
        )


@pytest.mark.parametrize("manner", ["raises", "returns"])
async def test_application_without_a_lifespan_is_ready(manner: str, caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if manner == "raises":
            assert scope["type"] == "http"

    await served(app)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_lifespan_that_breaks_later_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError

    await served(app)
    assert "the lifespan of shop:app failed" in caplog.text


async def test_shutdown_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await anyio.sleep_forever()

    began = anyio.current_time()
    await served(app, farewell_s=3.0)
    assert anyio.current_time() - began == pytest.approx(3.0)
    assert "did not shut down within 3 s" in caplog.text


async def test_failed_shutdown_is_logged(caplog: pytest.LogCaptureFixture):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "disk full"})

    await served(app)
    assert "failed to shut down: disk full" in caplog.text


async def test_message_that_does_not_belong_is_raised():
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start"})
        except RuntimeError as exc:
            raised.append(exc)
            raise

    await served(app)
    assert len(raised) == 1


async def test_closing_while_it_starts_cancels_the_startup():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    application = AsgiApplication(app, name="shop:app", signals=signals_of_running_loop())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(application.serve, lambda: pytest.fail("it has not started"))
        await anyio.wait_all_tasks_blocked()
        await application.aclose()


async def test_closed_before_it_began_it_never_starts():
    application = AsgiApplication(orderly([]), name="shop:app", signals=signals_of_running_loop())
    await application.aclose()
    await application.serve(lambda: pytest.fail("it has not started"))
